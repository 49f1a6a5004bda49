/*
 * The watched processes: when one is asked to trim, when one is recycled, and
 * when the next look is due.
 *
 * Pure: no system call, no clock, no heap. The caller looks at the processes
 * and tells what it saw; every call yields at most one decision. A decision
 * either asks for an act (ask, recycle, kill) or reports that one is complete
 * (trimmed, replaced, held).
 *
 * A look is: fleet_look_begin, fleet_sample once for each known slot,
 * fleet_look_end until it yields FLEET_NONE, then fleet_next_look_ms.
 *
 * Rules it keeps: trim before recycle; `samples` in a
 * row, an interval apart, before a recycle; at most `at_once` processes away
 * or on their way out; the next only after a replacement was seen; never a
 * KILL before `grace`; the next look in time for all of it.
 */
#ifndef TRIMTAB_POLICY_FLEET_H
#define TRIMTAB_POLICY_FLEET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FLEET_MAX = 4096,        /* processes known at one time; slots are 0 .. FLEET_MAX - 1 */
    FLEET_WORKER = 0,        /* the slot of the worker itself */
    FLEET_AWAIT_MAX = 64,    /* replacements awaited at one time; at_once is not above it */
    FLEET_QUIET_FACTOR = 10, /* all far from a limit: looks are this many intervals apart */
    FLEET_LOOK_MIN_MS = 100, /* looks are never closer */
    FLEET_HOLD_MS = 60000,   /* a replacement that takes longer is worth a warning */
    FLEET_KILL_REPEAT_MS = 5000,
    FLEET_REFUSED_MS = 600000,        /* a process that cannot be recycled is not tried before */
    FLEET_TICK_MS = 20,               /* start times are this coarse */
    FLEET_TRIM_RETRY_MS = 10000,      /* between two trims of a process */
    FLEET_TRIM_RETRY_MAX_MS = 3600000 /* a trim that brings nothing is tried ever later, up to this */
};

#define FLEET_NEVER UINT64_MAX

/* Processes are taken to grow at least so fast when the time to the next look is chosen: bytes a second. */
#define FLEET_RATE_MIN (UINT64_C(64) << 20)

/* Exactly one of the two is above 0; both 0: off. */
struct fleet_threshold {
    uint64_t bytes;
    uint32_t share_permyriad; /* of the limit, in 1/10000 */
};

enum fleet_method {
    FLEET_METHOD_AUTO,   /* respawn for the worker, signal for the others */
    FLEET_METHOD_SIGNAL, /* end the process that is over the line; its parent replaces it */
    FLEET_METHOD_RESPAWN /* end the worker, whichever process is over the line */
};

struct fleet_config {
    struct fleet_threshold trim_at;
    struct fleet_threshold recycle_at;
    bool can_trim;    /* there is a way to ask for a trim */
    bool can_respawn; /* the worker's end does not end the container */
    bool dry_run;     /* decide and say, but count on nothing being done */
    enum fleet_method method;
    uint32_t samples;
    uint32_t at_once;
    uint32_t jitter_permyriad;    /* a process's own line is up to this much below recycle_at */
    uint32_t min_yield_permyriad; /* of the RSS before; a trim that brings less is not worth repeating */
    uint64_t settle_ms;           /* how long a trim gets to show its effect */
    uint64_t grace_ms;            /* from the recycle to the KILL */
    uint64_t interval_ms;         /* between two recycles */
    uint64_t min_age_ms;          /* younger processes are not recycled */
    uint64_t look_ms;             /* between two looks at a process that is near a line */
};

enum fleet_action {
    FLEET_NONE,
    FLEET_TRIM,     /* act: ask the process to trim */
    FLEET_TRIMMED,  /* report: before_bytes, rss_bytes, took_ms, enough */
    FLEET_RECYCLE,  /* act: send the recycle signal; the method says to whom */
    FLEET_KILL,     /* act: the grace is over; took_ms since the recycle */
    FLEET_REPLACED, /* report: old_pid, pid, took_ms since the recycle */
    FLEET_HELD      /* report: no replacement for old_pid; recycling waits for one */
};

enum fleet_reason { FLEET_REASON_NONE, FLEET_REASON_AT };

struct fleet_decision {
    enum fleet_action action;
    enum fleet_reason reason;
    enum fleet_method method; /* FLEET_RECYCLE, FLEET_KILL: signal or respawn */
    uint16_t slot;
    bool enough; /* FLEET_TRIMMED: at least min_yield */
    bool first;  /* FLEET_KILL: not a repetition */
    int32_t pid;
    int32_t old_pid;
    uint64_t rss_bytes;
    uint64_t at_bytes; /* the line that was crossed */
    uint64_t before_bytes;
    uint64_t took_ms;
    uint64_t eta_ms; /* FLEET_RECYCLE: to the limit, as all that counts grows now; FLEET_NEVER: it does not */
};

enum fleet_state {
    FLEET_FREE, /* no process in this slot */
    FLEET_WATCHED,
    FLEET_TRIMMING, /* asked to trim; judged when settle_ms are over */
    FLEET_LEAVING   /* told to go; KILLed when grace_ms are over */
};

struct fleet_process {
    uint64_t rss_bytes;
    uint64_t seen_ms;        /* when rss_bytes was read */
    uint64_t born_ms;        /* may lie before the first look */
    uint64_t since_ms;       /* TRIMMING: asked; LEAVING: told to go */
    uint64_t deadline_ms;    /* TRIMMING, LEAVING: when the state ends */
    uint64_t before_bytes;   /* TRIMMING: RSS when asked */
    uint64_t trim_after_ms;  /* no trim before */
    uint64_t counted_ms;     /* when `over` last grew */
    uint64_t quiet_until_ms; /* not recycled before (dry run, refused) */
    uint64_t rate;           /* bytes a second it was last seen to grow by */
    uint32_t trim_retry_ms;
    uint32_t jitter_permyriad;
    int32_t pid;
    uint16_t over; /* samples in a row at or above its line */
    uint8_t state;
    bool counts; /* a target of the policy; the worker may be known and not count */
    bool deaf;   /* handles no trim signal */
    bool tried;  /* a trim was tried since it crossed its line */
    bool killed; /* LEAVING: KILL was sent */
    bool ready;  /* candidate for a recycle in this look */
};

struct fleet_awaited {
    int32_t old_pid;
    bool worker; /* the worker itself was recycled */
    bool held;
    uint64_t since_ms; /* when the recycle began */
    uint64_t gone_ms;  /* 0: still leaving */
};

struct fleet {
    struct fleet_config config;
    struct fleet_process process[FLEET_MAX];
    struct fleet_awaited awaited[FLEET_AWAIT_MAX];
    uint32_t awaited_count;
    uint32_t high_slot; /* all slots from here on are free */
    uint64_t limit_bytes;
    uint64_t trim_line; /* this look's thresholds in bytes; 0: off */
    uint64_t recycle_line;
    uint64_t sum_bytes; /* over the processes that count, in this look */
    uint64_t sum_rate;
    uint64_t pace_ms; /* between two samples that count: look_ms, less when the limit is near in time */
    uint64_t now_ms;
    uint64_t next_look_ms;
    uint64_t next_recycle_ms;
    uint64_t random;
};

/* seed: any number; the same seed gives the same jitter. fleet must be zeroed. */
void fleet_init(struct fleet *fleet, const struct fleet_config *config, uint64_t seed);

/* Whether the configuration needs looks at all. */
bool fleet_has_work(const struct fleet_config *config);

/* A free slot other than FLEET_WORKER, or -1 when all are taken. */
int fleet_free_slot(const struct fleet *fleet);

/* A process is known from now on. May report FLEET_REPLACED. */
struct fleet_decision fleet_appear(struct fleet *fleet, uint16_t slot, int32_t pid, bool counts, uint64_t born_ms,
                                   uint64_t now_ms);

/* Whether the process is a target changed. */
void fleet_set_counts(struct fleet *fleet, uint16_t slot, bool counts);

/* The process ended; its slot is free. */
void fleet_gone(struct fleet *fleet, uint16_t slot, uint64_t now_ms);

void fleet_look_begin(struct fleet *fleet, uint64_t limit_bytes, uint64_t now_ms);
struct fleet_decision fleet_sample(struct fleet *fleet, uint16_t slot, uint64_t rss_bytes);
struct fleet_decision fleet_look_end(struct fleet *fleet);

/*
 * The act that was asked for was not done, because the process handles no such
 * signal. Returns whether that is news of this process.
 */
bool fleet_refuse_trim(struct fleet *fleet, uint16_t slot);
void fleet_refuse_recycle(struct fleet *fleet, uint16_t slot);

/* When the next look is due. */
uint64_t fleet_next_look_ms(const struct fleet *fleet);

/* bytes of a threshold under a limit; 0: off. */
uint64_t fleet_threshold_bytes(const struct fleet_threshold *threshold, uint64_t limit_bytes);

#endif
