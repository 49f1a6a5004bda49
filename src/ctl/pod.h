/*
 * One container in the simulator: its processes, and over them the policy core
 * as PID 1 drives it. What watch.c and supervisor.c do with system calls is
 * done here with the model; a change there belongs here too.
 *
 * Two clocks: now_ms is the true one, by which the processes live; the policy
 * sees pod_clock_ms, which may stand still or leap.
 */
#ifndef TRIMTAB_CTL_POD_H
#define TRIMTAB_CTL_POD_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/model.h"
#include "policy/fleet.h"
#include "policy/life.h"
#include "policy/target.h"

enum {
    POD_WORKERS_MAX = 64,
    POD_PLACES = 1 + POD_WORKERS_MAX, /* the worker, and its pool */
    POD_SLOTS = 2 * POD_PLACES,       /* the fleet takes the lowest that is free */
    POD_NOWHERE = UINT16_MAX,         /* no such slot or place */
    POD_ADMIT_MS = 1000,              /* these four as in watch.h */
    POD_DISCOVER_MS = 30000,
    POD_BOOT_MS = 60000,
    POD_LIMIT_MS = 1000,
    POD_FREEZE_MS = 600000,
    POD_FIRST_PID = 100
};

/* One call into the policy core, or one event of the model. */
enum pod_step {
    POD_APPEAR, /* policy calls: after them */
    POD_GONE,
    POD_LOOK_BEGIN,
    POD_SAMPLE,
    POD_MISSED, /* a process that cannot be read: no call */
    POD_MEASURED,
    POD_LOOK_END,
    POD_LOOK_DONE, /* the next look is known: no call */
    POD_PRESSURE,
    POD_REPORTED,
    POD_REFUSED_TRIM,
    POD_REFUSED_RECYCLE,
    POD_LIFE,  /* the action is in life_action */
    POD_START, /* events of the model */
    POD_START_FAILED,
    POD_EXIT, /* before the policy hears of it */
    POD_OOM,  /* about to end for it */
    POD_SIGNALLED,
    POD_TOLD_TO_STOP,
    POD_STEPS
};

struct pod_spec {
    uint64_t seed;
    uint64_t limit_bytes;
    uint64_t other_bytes;
    uint32_t workers; /* in the pool; 0: the worker is alone */
    const struct model_shape *worker;
    const struct model_shape *master; /* the worker of a pool */
    const struct model_traffic *traffic;
    struct fleet_config fleet;
    struct life_config life;
    enum target_mode target;
    uint64_t policy_limit_bytes; /* 0: the container's */
    uint64_t seen_late_ms;       /* wake-ups come up to so much late */
    uint32_t spare_each;         /* each nth place of the pool is spared by the policy; 0: none */
    bool sum_only;               /* the container's working set cannot be read */
    bool uneven;                 /* each process leaks at a rate of its own, up to twice that of its shape */
    bool unwatched;              /* no policy: somebody else asks processes to end */
};

struct pod_process {
    struct model_process model;
    struct model_memory memory; /* as of the look */
    uint64_t told_bytes;        /* RSS, as the policy was last told; FLEET_UNKNOWN: it could not be read */
    int32_t pid;
    uint16_t slot; /* POD_NOWHERE: unknown to the policy */
    struct fleet_report report;
    uint64_t reports_ms; /* MODEL_NEVER: it has nothing to tell */
    bool alive;
    bool stopped;
    bool trim_pending; /* signals that wait for CONT */
    bool end_pending;
    bool asked;        /* told to end, by the policy */
    bool failed;       /* its end is an error */
    uint64_t ends_ms;  /* MODEL_NEVER: not in sight */
    uint64_t comes_ms; /* not alive: when a new one is forked; MODEL_NEVER: none is */
};

struct pod;

struct pod_observer {
    void *user;
    /* place: POD_NOWHERE where no single process is meant; decision: NULL where there is none. */
    void (*step)(void *user, const struct pod *pod, enum pod_step step, uint16_t place,
                 const struct fleet_decision *decision);
};

struct pod {
    const struct pod_spec *spec;
    const struct pod_observer *observer;
    struct fleet *fleet;
    struct life life;
    struct target target;
    enum life_action life_action;
    uint64_t now_ms;
    uint64_t next_event_ms; /* of the model, the earliest */
    uint64_t random;
    int32_t next_pid;
    bool over; /* the worker ended for good: nothing happens any more */

    uint32_t pool;   /* how large it is to be */
    uint32_t places; /* that were ever used */
    uint64_t limit_bytes;
    uint64_t other_bytes;
    uint64_t used_bytes; /* as of measured_ms */
    uint64_t measured_ms;
    uint64_t ooms;
    struct pod_process process[POD_PLACES]; /* place 0: the worker */
    uint16_t place_of[POD_SLOTS];

    uint64_t clock_behind_ms; /* the policy's clock: now + ahead - behind */
    uint64_t clock_ahead_ms;
    uint64_t clock_stands_until_ms; /* true time; 0: it runs */
    uint64_t clock_stood_ms;
    uint64_t no_start_until_ms; /* true times, past ones: nothing is wrong */
    uint64_t no_fork_until_ms;
    uint64_t no_samples_until_ms;
    uint64_t wild_bytes; /* what the next sample of wild_place says */
    uint16_t wild_place; /* POD_NOWHERE: all is well */

    uint64_t seen_limit_bytes; /* the watch; by the policy's clock */
    uint64_t limit_read_ms;
    uint64_t next_look_ms;
    uint64_t discover_at_ms;
    uint64_t boot_until_ms;
    uint64_t frozen_until_ms;
    uint64_t late_ms; /* of the next wake-up */
    bool forked;      /* since processes were last looked for */
    bool moving;
};

/* fleet: as large as it is, the caller's, and left over from another pod if need be. All three must outlive pod. */
void pod_init(struct pod *pod, struct fleet *fleet, const struct pod_spec *spec, const struct pod_observer *observer);

/*
 * What happens next, if that is not after until_ms. Returns false when nothing
 * did: now_ms is until_ms then. Whether memory has run out shows at looks and
 * when something happens; in a pod that is unwatched, also at until_ms.
 */
bool pod_advance(struct pod *pod, uint64_t until_ms);

uint64_t pod_clock_ms(const struct pod *pod);

/* The working set: all processes, what they share once, and what is in none of them. Fills their memory. */
uint64_t pod_measure(struct pod *pod);

/* PSS of a process, by the last pod_measure. */
uint64_t pod_pss_bytes(const struct pod *pod, uint16_t place);

/* What reading the smaps_rollup of such a process costs. */
uint64_t pod_measure_cost_us(uint64_t rss_bytes);

/* Processes that run and were not asked to end. */
uint32_t pod_capacity(const struct pod *pod);

/* ---- what befalls it; all at now_ms ---- */

void pod_set_limit(struct pod *pod, uint64_t bytes);
void pod_set_pool(struct pod *pod, uint32_t workers);
void pod_set_other(struct pod *pod, uint64_t bytes);
void pod_set_leak(struct pod *pod, uint64_t rate);
void pod_pressure(struct pod *pod);
void pod_spike(struct pod *pod, uint16_t place, uint64_t bytes, uint64_t for_ms);
void pod_crash(struct pod *pod, uint16_t place);
void pod_stop_process(struct pod *pod, uint16_t place);
void pod_continue_process(struct pod *pod, uint16_t place);
void pod_clock_stops(struct pod *pod, uint64_t for_ms);
void pod_clock_leaps(struct pod *pod, uint64_t by_ms);
/* The container is told to stop. */
void pod_told_to_stop(struct pod *pod);

/* ---- signals, as trimtab sends them ---- */

enum pod_signal { POD_SIGNAL_TRIM, POD_SIGNAL_END, POD_SIGNAL_KILL, POD_SIGNAL_CONTINUE };

/* Returns whether there is a handler; without one nothing is sent, if `handled` asks for that. */
bool pod_signal(struct pod *pod, uint16_t place, enum pod_signal signal, bool handled);

/* ---- between pod.c and pod_watch.c ---- */

void pod_say(struct pod *pod, enum pod_step step, uint16_t place, const struct fleet_decision *decision);
void pod_watch_init(struct pod *pod);
void pod_watch_worker_started(struct pod *pod);
void pod_watch_worker_gone(struct pod *pod);
void pod_watch_gone(struct pod *pod, uint16_t slot);
void pod_watch_reported(struct pod *pod, uint16_t place);
void pod_watch_look(struct pod *pod);
/* By the policy's clock; LIFE_NEVER: none. */
uint64_t pod_watch_due_ms(const struct pod *pod);

#endif
