/*
 * The watched processes and the container they are in: when one is asked to
 * trim, when one is recycled, and when the next look is due.
 *
 * Pure: no system call, no clock, no heap. The caller looks at the processes
 * and tells what it saw; every call yields at most one decision. A decision
 * asks for an act (measure, ask to trim, recycle, kill), or reports.
 *
 * A look is: fleet_look_begin; for each known slot fleet_wants_cpu, then
 * fleet_sample; fleet_look_end until it yields FLEET_NONE; fleet_next_look_ms.
 * FLEET_MEASURE may come from fleet_sample and from fleet_look_end; the answer
 * is fleet_measured, which yields a decision too.
 *
 * Rules it keeps: trim before recycle; `samples` in a row, an interval apart,
 * before a recycle; at most `at_once` processes away or on their way out; the
 * next only after a replacement was seen; never a KILL before `grace`; a trim
 * that brings little is tried ever later; the next look in time for all of it.
 */
#ifndef TRIMTAB_POLICY_FLEET_H
#define TRIMTAB_POLICY_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/trend.h"
#include "policy/verdict.h"

enum {
    FLEET_MAX = 4096,        /* processes known at one time; slots are 0 .. FLEET_MAX - 1 */
    FLEET_WORKER = 0,        /* the slot of the worker itself */
    FLEET_AWAIT_MAX = 64,    /* replacements awaited at one time; at_once is not above it */
    FLEET_QUIET_FACTOR = 10, /* all far from a limit: looks are this many intervals apart */
    FLEET_LOOK_MIN_MS = 100, /* looks are never closer */
    FLEET_HOLD_MS = 60000,   /* a replacement that takes longer is worth a warning */
    FLEET_KILL_REPEAT_MS = 5000,
    FLEET_REFUSED_MS = 600000,         /* a process that cannot be recycled is not tried before */
    FLEET_TICK_MS = 20,                /* start times are this coarse */
    FLEET_TRIM_RETRY_MS = 10000,       /* between two trims of a process */
    FLEET_TRIM_RETRY_MAX_MS = 3600000, /* a trim that brings nothing is tried ever later, up to this */
    FLEET_TRIM_PART = 4,               /* of the processes that count, at most one in so many trims at a time */
    FLEET_CHANGED_PART = 4,            /* grown by one in so many since its last trim: worth a new one */
    FLEET_IDLE_PERMILLE = 10,          /* of one CPU: a process that uses no more is idle */
    FLEET_IDLE_GROWTH_MIN = 4 << 20,   /* bytes since the last trim; less is not worth an idle trim */
    FLEET_MEASURE_PERMILLE = 10,       /* of one CPU: what exact measures may cost */
    FLEET_MEASURE_FRESH_MS = 60000,    /* an exact measure is good for so long when a victim is chosen */
    FLEET_MEASURE_CANDIDATES = 4,      /* the largest by RSS are measured exactly before one is chosen */
    FLEET_HORIZON_MS = 120000,         /* the container's limit is near when it is no farther off */
    FLEET_STEEP_PART = 200,            /* of the limit: growth over the last samples that is more than noise */
    FLEET_VERDICT_MS = 600000,         /* a verdict on a process changes no more often than this in the log */
    FLEET_VICTIM_PERMYRIAD = 200,      /* of the limit: a process that holds less is no victim for the container */
    FLEET_AGAIN_PERMYRIAD = 200,       /* of the limit: above the last recycle for its sake it is growth again */
    FLEET_AGAIN_MS = 1800000,          /* after which that one is forgotten */
    FLEET_AGAIN_PART = 4,              /* of the container's growth: as much of the old processes is growth again */
    FLEET_UNANSWERED_MAX = 3,          /* asked in vain so often: not reachable */
    FLEET_FULL_PERMYRIAD = 9700        /* of the limit: from here on any steady growth counts */
};

#define FLEET_NEVER   UINT64_MAX
#define FLEET_UNKNOWN UINT64_MAX

/* Processes are taken to grow at least so fast when the time to the next look is chosen: bytes a second. */
#define FLEET_RATE_MIN (UINT64_C(64) << 20)

/* Exactly one of the two is above 0; both 0: off. */
struct fleet_threshold {
    uint64_t bytes;
    uint32_t share_permyriad; /* of the limit, in 1/10000 */
};

enum fleet_method {
    FLEET_METHOD_AUTO,    /* respawn for the worker, signal for the others */
    FLEET_METHOD_SIGNAL,  /* end the process that is over the line; its parent replaces it */
    FLEET_METHOD_RESPAWN, /* end the worker, whichever process is over the line */
    FLEET_METHOD_HANDOVER /* start the new worker beside the old one, then end that: needs room for both */
};

/* What a process's own lines are held against. PSS and USS are measured only where the RSS has reached a line. */
enum fleet_metric { FLEET_METRIC_RSS, FLEET_METRIC_PSS, FLEET_METRIC_USS };

struct fleet_config {
    struct fleet_threshold trim_at;
    struct fleet_threshold recycle_at;
    struct fleet_threshold container_trim_at;
    struct fleet_threshold container_recycle_at;
    enum fleet_metric metric;
    bool can_trim;        /* there is a way to ask for a trim */
    bool can_respawn;     /* the worker's end does not end the container */
    bool hears_pressure;  /* fleet_pressure may be called */
    bool expects_reports; /* a process that trims tells so by fleet_reported */
    bool dry_run;         /* decide and say, but count on nothing being done */
    enum fleet_method method;
    uint32_t samples;
    uint32_t at_once;
    uint32_t jitter_permyriad;    /* a process's own line is up to this much below recycle_at */
    uint32_t min_yield_permyriad; /* of the RSS before; a trim that brings less is not worth repeating */
    uint64_t trim_every_ms;       /* 0: never for its age alone */
    uint64_t trim_idle_ms;        /* so long without CPU, and grown since the last trim; 0: never */
    uint64_t settle_ms;           /* how long a trim gets to show its effect */
    uint64_t grace_ms;            /* from the recycle to the KILL */
    uint64_t interval_ms;         /* between two recycles */
    uint64_t min_age_ms;          /* younger processes are not recycled */
    uint64_t look_ms;             /* between two looks at a process that is near a line */
};

/* What an agent says of a trim; FLEET_UNKNOWN where it could not find out. */
struct fleet_report {
    uint64_t before_bytes; /* RSS */
    uint64_t after_bytes;
    uint64_t held_bytes; /* by the heap, after it */
    uint64_t used_bytes; /* of that, by the program */
    bool other_heap;     /* not the C library's */
};

enum fleet_action {
    FLEET_NONE,
    FLEET_MEASURE,  /* act: read PSS and USS, and say so by fleet_measured */
    FLEET_TRIM,     /* act: ask the process to trim */
    FLEET_TRIMMED,  /* report: before_bytes, rss_bytes, took_ms, enough */
    FLEET_VERDICT,  /* report: verdict, and the evidence of it */
    FLEET_RECYCLE,  /* act: send the recycle signal; the method says to whom */
    FLEET_KILL,     /* act: the grace is over; took_ms since the recycle */
    FLEET_REPLACED, /* report: old_pid, pid, took_ms since the recycle */
    FLEET_HELD,     /* report: no replacement for old_pid; recycling waits for one */
    FLEET_HELPLESS  /* report: the container nears its limit, and no recycle of ours would help */
};

enum fleet_reason {
    FLEET_REASON_NONE,
    FLEET_REASON_AT,
    FLEET_REASON_EVERY,
    FLEET_REASON_IDLE,
    FLEET_REASON_CONTAINER,
    FLEET_REASON_PRESSURE
};

struct fleet_decision {
    enum fleet_action action;
    enum fleet_reason reason;
    enum fleet_method method;         /* FLEET_RECYCLE, FLEET_KILL: signal, respawn or handover */
    enum verdict verdict;             /* FLEET_VERDICT, FLEET_RECYCLE: what is known of the process */
    struct verdict_evidence evidence; /* FLEET_VERDICT */
    uint16_t slot;
    uint8_t unanswered; /* FLEET_TRIMMED: the last so many were not reported, and nothing came of them */
    bool enough;        /* FLEET_TRIMMED: at least min_yield */
    bool first;         /* FLEET_KILL: not a repetition */
    bool no_room;       /* FLEET_RECYCLE: handover was wanted, but old and new do not fit together */
    int32_t pid;
    int32_t old_pid;
    uint64_t rss_bytes;  /* of the process, by the metric; FLEET_HELPLESS: of the container */
    uint64_t at_bytes;   /* the line that was crossed */
    uint64_t used_bytes; /* reasons container and pressure: of the container */
    uint64_t before_bytes;
    uint64_t took_ms;
    uint64_t eta_ms; /* FLEET_RECYCLE, FLEET_HELPLESS: to the limit, as all grows now; FLEET_NEVER: it does not */
};

enum fleet_state {
    FLEET_FREE, /* no process in this slot */
    FLEET_WATCHED,
    FLEET_TRIMMING, /* asked to trim; judged when settle_ms are over */
    FLEET_LEAVING   /* told to go; KILLed when grace_ms are over */
};

struct fleet_process {
    uint64_t rss_bytes;
    uint64_t metric_bytes;   /* what its lines are held against */
    uint64_t uss_bytes;      /* FLEET_UNKNOWN: not measured */
    uint64_t measured_ms;    /* when, 0: never */
    uint64_t seen_ms;        /* when rss_bytes was read */
    uint64_t born_ms;        /* may lie before the first look */
    uint64_t since_ms;       /* TRIMMING: asked; LEAVING: told to go */
    uint64_t deadline_ms;    /* TRIMMING, LEAVING: when the state ends */
    uint64_t before_bytes;   /* TRIMMING: RSS when asked */
    uint64_t after_bytes;    /* RSS when the last trim was judged; 0: there was none */
    uint64_t trimmed_ms;     /* when that was */
    uint64_t trim_after_ms;  /* no trim before */
    uint64_t counted_ms;     /* when `over` last grew */
    uint64_t quiet_until_ms; /* not recycled before (dry run, refused) */
    uint64_t rate;           /* bytes a second it was last seen to grow by */
    uint64_t cpu_ms;         /* used in its life, when last asked; FLEET_UNKNOWN: never */
    uint64_t cpu_seen_ms;
    uint64_t idle_since_ms;
    uint64_t held_bytes; /* by its heap; FLEET_UNKNOWN without an agent */
    uint64_t used_bytes;
    uint64_t verdict_ms; /* when its verdict was last said */
    struct slope slope;
    struct floors floors;
    uint32_t trim_retry_ms;
    uint32_t jitter_permyriad;
    uint32_t seen_look; /* the number of the look that last saw it */
    int32_t pid;
    uint16_t over; /* samples in a row at or above its line */
    uint8_t state;
    uint8_t verdict;     /* the last that was said */
    uint8_t shape;       /* enum trend_shape of floors */
    uint8_t trims;       /* bit n: of the last trims, there was an nth */
    uint8_t worth;       /* bit n: and it brought min_yield */
    uint8_t trim_reason; /* TRIMMING */
    uint8_t unanswered;  /* trims in a row that were not reported, and of which nothing came */
    bool other_heap;     /* held_bytes are not the C library's */
    bool counts;         /* a target of the policy; the worker may be known and not count */
    bool spared;         /* never recycled: the policy does not name it among those that may be */
    bool deaf;           /* handles no trim signal */
    bool tried;          /* a trim was tried since it crossed its line */
    bool killed;         /* LEAVING: KILL was sent */
    bool ready;          /* candidate for a recycle, in the look that last saw it */
    bool opaque;         /* PSS and USS cannot be read */
    bool verdict_due;
};

struct fleet_awaited {
    int32_t old_pid;
    bool worker; /* the worker itself was recycled */
    bool held;
    uint64_t since_ms; /* when the recycle began */
    uint64_t gone_ms;  /* 0: still leaving */
    int32_t other_pid; /* came meanwhile, and was taken for the replacement of another; 0: none */
    uint16_t other_slot;
};

/* The container as a whole. */
struct fleet_container {
    uint64_t used_bytes;
    uint64_t trim_line; /* this look's; 0: off */
    uint64_t recycle_line;
    uint64_t counted_ms;
    uint64_t recycled_bytes; /* what it used when the last recycle for its sake began */
    uint64_t recycled_ms;    /* when that was; 0: never */
    uint16_t over;
    bool pressure;   /* a trim is wanted for it */
    bool trim_begun; /* in this look */
    bool tried;      /* trims were tried since it crossed its line, or none is possible */
    bool helpless;   /* said */
    uint8_t shape;
    struct slope slope;
    struct floors floors;
};

struct fleet {
    struct fleet_config config;
    struct fleet_process process[FLEET_MAX];
    struct fleet_awaited awaited[FLEET_AWAIT_MAX];
    struct fleet_container container;
    uint32_t awaited_count;
    uint32_t strays;    /* ended by themselves, and not replaced yet */
    uint64_t stray_ms;  /* when the last of them did */
    uint32_t high_slot; /* all slots from here on are free */
    uint32_t counted;   /* processes that count */
    uint32_t trimming;  /* how many are at it */
    uint32_t verdicts_due;
    uint32_t look; /* the number of this one */
    uint64_t limit_bytes;
    uint64_t trim_line; /* this look's lines for a process, in bytes; 0: off */
    uint64_t recycle_line;
    uint64_t sum_bytes; /* over the processes that count, in this look */
    uint64_t sum_rate;
    uint64_t pace_ms; /* between two samples that count: look_ms, less when the limit is near in time */
    uint64_t now_ms;
    uint64_t next_look_ms;
    uint64_t next_recycle_ms;
    uint64_t next_measure_ms; /* the budget of exact measures allows none before */
    uint64_t random;
    uint32_t measure_from; /* whose turn it is */
    bool measure_wanted;   /* by one whose turn it was not */
    uint32_t measures;     /* of candidates, in this look */
    bool sum_only;         /* nothing is known of the container but the sum of its processes */
    bool ending;           /* all samples of this look are in */
};

/* seed: any number; the same seed gives the same jitter. fleet must be zeroed. */
void fleet_init(struct fleet *fleet, const struct fleet_config *config, uint64_t seed);

/* Whether processes may be recycled. */
bool fleet_recycles(const struct fleet_config *config);

/* Whether the configuration needs looks at all. */
bool fleet_has_work(const struct fleet_config *config);

/* A free slot other than FLEET_WORKER, or -1 when all are taken. */
int fleet_free_slot(const struct fleet *fleet);

/* A process is known from now on. May report FLEET_REPLACED. */
struct fleet_decision fleet_appear(struct fleet *fleet, uint16_t slot, int32_t pid, bool counts, uint64_t born_ms,
                                   uint64_t now_ms);

/* Whether the process is a target changed; whether the policy lets it be recycled is said once it is known. */
void fleet_set_counts(struct fleet *fleet, uint16_t slot, bool counts);
void fleet_set_spared(struct fleet *fleet, uint16_t slot, bool spared);

/* The process ended; its slot is free. */
void fleet_gone(struct fleet *fleet, uint16_t slot, uint64_t now_ms);

/*
 * used_bytes: the container's working set, FLEET_UNKNOWN when only the sum of
 * the watched processes is to be had. A now_ms that goes back counts as the
 * last one again.
 */
void fleet_look_begin(struct fleet *fleet, uint64_t limit_bytes, uint64_t used_bytes, uint64_t now_ms);

/* Whether the CPU time of this process, with this RSS, matters now; asking costs the caller a system call. */
bool fleet_wants_cpu(const struct fleet *fleet, uint16_t slot, uint64_t rss_bytes);

/* cpu_ms: CPU time used in its life, FLEET_UNKNOWN when not asked for or not to be had. */
struct fleet_decision fleet_sample(struct fleet *fleet, uint16_t slot, uint64_t rss_bytes, uint64_t cpu_ms);

/* FLEET_MEASURE was done, at this cost; FLEET_UNKNOWN for both: it cannot be read. */
struct fleet_decision fleet_measured(struct fleet *fleet, uint16_t slot, uint64_t pss_bytes, uint64_t uss_bytes,
                                     uint64_t cost_us);

struct fleet_decision fleet_look_end(struct fleet *fleet);

/* The kernel reports memory pressure: a trim is wanted. The next look is due at once. */
void fleet_pressure(struct fleet *fleet, uint64_t now_ms);

/* The agent of a process tells of a trim. One that was asked for is judged by it, however late it comes. */
struct fleet_decision fleet_reported(struct fleet *fleet, uint16_t slot, const struct fleet_report *report,
                                     uint64_t now_ms);

/*
 * The act that was asked for was not done, because the process handles no such
 * signal. Returns whether that is news of this process.
 */
bool fleet_refuse_trim(struct fleet *fleet, uint16_t slot);
void fleet_refuse_recycle(struct fleet *fleet, uint16_t slot);

/* The process's own recycle line, its jitter taken off; 0: off. */
uint64_t fleet_line_of(const struct fleet *fleet, const struct fleet_process *process);

/* What is known of the matter with a process. */
struct verdict_evidence fleet_evidence(const struct fleet_process *process);

/* When the next look is due. */
uint64_t fleet_next_look_ms(const struct fleet *fleet);

/* bytes of a threshold under a limit; 0: off. */
uint64_t fleet_threshold_bytes(const struct fleet_threshold *threshold, uint64_t limit_bytes);

#endif
