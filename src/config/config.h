/*
 * What the user asked for: the effective policy, and where each value of it
 * came from.
 *
 * Filled by policy_file.c, from the environment and from the command line, all
 * through the one table in keys.c. Nothing here touches a process.
 */
#ifndef TRIMTAB_CONFIG_CONFIG_H
#define TRIMTAB_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONFIG_TEXT_MAX = 200, /* bytes of a text value, with its NUL; inih's line is no longer */
    CONFIG_SIGNALS = 65,   /* signal numbers 1 .. 64, indexed by number */
    CONFIG_KEYS_MAX = 64,  /* rows the key table may have */
    CONFIG_ERROR_MAX = 512
};

/* [trim] signal: what the agent is asked by. */
#define CONFIG_SIGNAL_AGENT (-1)

/* A size, or a share of the limit; both 0: off. */
struct config_amount {
    uint64_t bytes;
    uint32_t share_permyriad; /* 1/10000 of the limit */
};

/* A trigger of pressure stall information: tasks stalled for so long within a window. Both 0: off. */
struct config_pressure {
    bool full; /* all tasks at once, else some of them */
    uint64_t stall_ms;
    uint64_t window_ms;
};

/* A number that may be left unset. */
struct config_optional {
    bool set;
    int64_t value;
};

struct config_capabilities {
    bool set;      /* false: inherit */
    uint64_t mask; /* bit n: capability n of linux/capability.h */
};

enum config_restart { CONFIG_RESTART_NEVER, CONFIG_RESTART_RECYCLED, CONFIG_RESTART_FAILED, CONFIG_RESTART_ALWAYS };
enum config_wait { CONFIG_WAIT_WORKER, CONFIG_WAIT_ALL };
enum config_target { CONFIG_TARGET_AUTO, CONFIG_TARGET_WORKER, CONFIG_TARGET_CHILDREN, CONFIG_TARGET_TREE };
enum config_metric { CONFIG_METRIC_RSS, CONFIG_METRIC_PSS, CONFIG_METRIC_USS };
enum config_method { CONFIG_METHOD_AUTO, CONFIG_METHOD_SIGNAL, CONFIG_METHOD_RESPAWN };
enum config_format { CONFIG_FORMAT_TEXT, CONFIG_FORMAT_JSON };
enum config_agent { CONFIG_AGENT_AUTO, CONFIG_AGENT_YES, CONFIG_AGENT_NO };
enum config_level { CONFIG_LEVEL_ERROR, CONFIG_LEVEL_WARNING, CONFIG_LEVEL_INFO, CONFIG_LEVEL_DEBUG };

struct config_worker {
    char user[CONFIG_TEXT_MAX]; /* name or number; empty: unchanged */
    char group[CONFIG_TEXT_MAX];
    struct config_capabilities capabilities;
    bool no_new_privs;
    struct config_optional oom_score_adj;
    uint8_t rewrite[CONFIG_SIGNALS]; /* signal that arrives -> signal passed on; 0: dropped */
    uint64_t stop_signals;           /* bit n: signal n tells the container to stop; 1 .. 63 */
    uint64_t stop_grace_ms;
    int wait_for; /* enum config_wait */
    int restart;  /* enum config_restart */
    uint64_t restart_delay_ms;
};

struct config_allocator {
    char malloc[CONFIG_TEXT_MAX];          /* inherit, jemalloc, tcmalloc, mimalloc or a path */
    struct config_optional arena_max;      /* 0: left alone */
    struct config_optional trim_threshold; /* bytes */
    struct config_optional mmap_threshold; /* bytes */
    struct config_optional top_pad;        /* bytes */
    char malloc_conf[CONFIG_TEXT_MAX];     /* empty: unset */
    char pythonmalloc[CONFIG_TEXT_MAX];    /* empty: unset */
    int agent;                             /* enum config_agent */
    bool override;
};

struct config_watch {
    int target;                    /* enum config_target */
    char match[CONFIG_TEXT_MAX];   /* fnmatch(3) patterns, by comma; empty: everything */
    char exclude[CONFIG_TEXT_MAX]; /* empty: nothing */
    int metric;                    /* enum config_metric */
    uint64_t interval_ms;
    uint64_t limit_bytes; /* 0: found on the machine */
};

struct config_trim {
    struct config_amount at;
    uint64_t every_ms; /* 0: never */
    uint64_t idle_ms;  /* 0: never */
    int signal;        /* CONFIG_SIGNAL_AGENT; 0: none */
    bool collect;
    uint64_t settle_ms;
    uint32_t min_yield_permyriad;
};

struct config_recycle {
    struct config_amount at;
    char match[CONFIG_TEXT_MAX]; /* patterns of those that may be recycled; empty: everything watched */
    uint32_t samples;
    int method; /* enum config_method */
    int signal;
    uint64_t grace_ms;
    uint32_t at_once;
    uint64_t interval_ms;
    uint64_t min_age_ms;
    uint32_t jitter_permyriad;
};

struct config_container {
    struct config_amount trim_at;
    struct config_amount recycle_at;
    struct config_pressure pressure;
};

struct config_log {
    int format; /* enum config_format */
    int level;  /* enum config_level */
};

struct config {
    struct config_worker worker;
    struct config_allocator allocator;
    struct config_watch watch;
    struct config_trim trim;
    struct config_recycle recycle;
    struct config_container container;
    struct config_log log;
};

/* Where a value came from; later ones win. */
enum config_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_COMMAND_LINE };

struct config_origin {
    enum config_source source;
    int line; /* SOURCE_FILE: 1-based */
};

/*
 * A policy being put together. `error` holds one finished sentence of the
 * form `conf/x.ini:12: [recycle] att: unknown key; did you mean 'at'?` after a
 * function here returned -1; the config is then not to be used.
 */
struct config_load {
    struct config config;
    struct config_origin origin[CONFIG_KEYS_MAX]; /* by row of the key table */
    const char *file;                             /* the policy's name as given, or NULL */
    bool any;                                     /* there is a policy: a file, or at least one key set */
    bool memory; /* and it is about memory: by a key of what watches it, or the agent */
    char error[CONFIG_ERROR_MAX];
    char warning[CONFIG_ERROR_MAX]; /* empty, or something to say and go on */
};

void config_defaults(struct config_load *load);

/*
 * Read a policy. name: a path when it has a '/' or names a readable file in
 * /etc/trimtab, else a shipped policy. NULL: /etc/trimtab.ini if it is there.
 * The file must be a regular one of at most 64 KiB, without NUL bytes, owned
 * by root or us and not writable by others. Returns 0 or -1.
 */
int config_read_policy(struct config_load *load, const char *name);

/*
 * Parse policy text; file names it in errors. text needs no NUL at its end.
 * Returns 0 or -1; on -1 load->config is as it was before the call.
 */
int config_parse(struct config_load *load, const char *file, const char *text, size_t size);

/* Take TRIMTAB_<SECTION>_<KEY> from an environment. An empty value counts as unset. */
int config_read_environment(struct config_load *load, char *const *environment);

/* Take one `section.key=value` of the command line. */
int config_set(struct config_load *load, const char *assignment);

/* Add one `FROM:TO` of --rewrite; does not by itself make a policy. */
int config_rewrite(struct config_load *load, const char *pair);

/*
 * Checks across keys that do not need the machine: a threshold below another
 * it must exceed, a key that cannot have an effect as the others stand.
 */
int config_check(struct config_load *load);

#endif
