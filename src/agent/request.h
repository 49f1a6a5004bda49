/*
 * The request to trim: SIGURG, its handler, and the wish it leaves.
 */
#ifndef AGENT_REQUEST_H
#define AGENT_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct wait;

/* What a thread that comes to a wait has to look after. */
enum request_attention {
    REQUEST_TRIM = 1,
    REQUEST_CHORE = 2,         /* jemalloc's background thread is to be started again */
    REQUEST_STORM = 4,         /* SIGURG comes faster than makes sense */
    REQUEST_TIMED_SOCKETS = 8, /* the program gave sockets a timeout */
    REQUEST_ANYWHERE = REQUEST_TRIM | REQUEST_CHORE
};

extern atomic_uint request_attention;

/* Whether the handler was installed; without it every wrapper passes the call on. */
extern bool request_active;

/* Install the handler if SIGURG has its default action. */
void request_start(void);

/* Where signals cannot be blocked (seccomp(2)): SIGURG is ignored again, before it shows. */
void request_stop(void);

/* In the child of a fork: what was asked of the parent is not asked of it. */
void request_forget(void);

/* Whether SIGURG still comes to our handler. */
bool request_is_ours(void);

/* A wish that did not come through the handler. */
void request_note(void);

/* Do what is to be done anywhere, one thread at a time, with every signal blocked. */
void request_serve(const struct wait *wait);

/* musl: its sigtimedwait(3) hides EINTR, and it has its own way to cancel a thread. */
bool request_under_musl(void);

/* Every signal that a wrapper blocks: not those of faults, nor those a C library keeps to itself. */
uint64_t request_all_signals(void);

/*
 * Whether a handler of the program's waits to run as soon as `mask` is set
 * again; restarts: count those with SA_RESTART too.
 */
bool request_interrupted(uint64_t mask, bool restarts);

bool request_in_storm(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t request_now_ns(void);

#endif
