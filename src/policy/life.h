/*
 * The life of the container: when the worker is started again, when what it
 * left behind is told to go, and when trimtab itself leaves.
 *
 * Pure: no system call, no clock, no heap. Time comes in as milliseconds of a
 * clock that does not jump; what should be done goes out as an action.
 * Forwarding a signal is no decision and is not here.
 */
#ifndef TRIMTAB_POLICY_LIFE_H
#define TRIMTAB_POLICY_LIFE_H

#include <stdbool.h>
#include <stdint.h>

/* A deadline that never comes. */
#define LIFE_NEVER UINT64_MAX

enum life_restart { LIFE_RESTART_NEVER, LIFE_RESTART_RECYCLED, LIFE_RESTART_FAILED, LIFE_RESTART_ALWAYS };

struct life_config {
    enum life_restart restart;
    uint64_t restart_delay_ms; /* first delay after a failure; doubled up to LIFE_DELAY_MAX_MS */
    uint64_t stop_grace_ms;    /* 0: leave as soon as the worker has */
    bool wait_all;             /* leave only when no child is left */
};

enum {
    LIFE_DELAY_MAX_MS = 60000, /* the restart delay doubles no further */
    LIFE_STEADY_MS = 60000,    /* a worker that lived so long starts again without an old delay */
    LIFE_KILL_REPEAT_MS = 1000 /* a process in state D may outlive one KILL */
};

enum life_state {
    LIFE_UP,       /* the worker runs */
    LIFE_DOWN,     /* between two workers, until restart_at_ms */
    LIFE_DRAINING, /* the worker is gone for good, others are left */
    LIFE_OVER      /* nothing is left to wait for */
};

enum life_action {
    LIFE_NONE,
    LIFE_START,     /* start the worker */
    LIFE_WAKE,      /* the worker was told to stop: CONT it if it is stopped */
    LIFE_STOP_REST, /* tell what is left to stop, and wake what is stopped */
    LIFE_KILL_REST, /* the grace is over: KILL what is left, the worker included */
    LIFE_LEAVE      /* exit with the worker's status */
};

struct life {
    struct life_config config;
    enum life_state state;
    bool stopping;  /* the container was told to stop */
    bool recycling; /* the worker's end was asked for by a recycle */
    uint64_t up_since_ms;
    uint64_t restart_at_ms; /* LIFE_DOWN: when to start */
    uint64_t kill_at_ms;    /* stopping: when the grace ends, else LIFE_NEVER */
    uint64_t delay_ms;      /* next restart delay */
};

void life_init(struct life *life, const struct life_config *config);

/* The worker was started. */
void life_started(struct life *life, uint64_t now_ms);

/* The worker could not be started again: the next try comes after a longer delay. */
void life_start_failed(struct life *life, uint64_t now_ms);

/* The worker's end was asked for, so that a new one takes its place. */
void life_recycle(struct life *life);

/* A signal that means "stop" came, and was passed on if there is a worker. */
enum life_action life_stop(struct life *life, uint64_t now_ms);

/* A child ended, stopped or went on: a worker that is to end must not stay stopped. */
enum life_action life_child_changed(const struct life *life);

/* The worker ended; failed: with another status than 0. */
enum life_action life_worker_gone(struct life *life, bool failed, uint64_t now_ms);

/* No child of trimtab is left, or none can be waited for. */
enum life_action life_all_gone(struct life *life);

/* Time passed. */
enum life_action life_tick(struct life *life, uint64_t now_ms);

/* When life_tick must be called next; LIFE_NEVER when no deadline runs. */
uint64_t life_deadline_ms(const struct life *life);

/* Whether this configuration can ever start the worker a second time. */
bool life_may_restart(const struct life_config *config, bool recycles_worker);

#endif
