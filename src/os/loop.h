/*
 * The only place where trimtab sleeps: for signals alone in rt_sigtimedwait(2),
 * with descriptors to watch besides in epoll_wait(2), where the signals come by
 * a descriptor too.
 */
#ifndef TRIMTAB_OS_LOOP_H
#define TRIMTAB_OS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "signals.h"

enum {
    LOOP_BATCH = 64,
    LOOP_SIGNALS = UINT16_MAX /* a tag that the two below do not take */
};

#define LOOP_FOREVER UINT64_MAX

struct loop {
    int epoll_fd; /* both -1: signals alone */
    int signal_fd;
};

struct loop_events {
    int signal_count;
    struct signals_info signal[SIGNALS_BATCH];
    int count;
    uint32_t tag[LOOP_BATCH]; /* as given when added */
};

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t loop_now_ms(void);
uint64_t loop_now_us(void);

/* All functions: 0 or -errno. The signals must have been taken (signals_take). */

/* descriptors: loop_add will be called. */
int loop_open(struct loop *loop, bool descriptors);

/* Watch fd for input; level-triggered. Closing fd ends the watch. */
int loop_add(struct loop *loop, int fd, uint32_t tag);

/*
 * Watch fd for what is told by POLLPRI, as a pressure trigger is. Edge-triggered:
 * waiting takes the event, and a file that has gone, which poll(2) calls ready
 * for ever, is told once.
 */
int loop_add_priority(struct loop *loop, int fd, uint32_t tag);
int loop_remove(struct loop *loop, int fd);

/*
 * Wait until a signal comes, something is ready or deadline_ms of loop_now_ms
 * has come. now_ms: the time, if it was just read; 0: it is read where needed. When the kernel refuses to wait (-ENOMEM ...) it pauses 100 ms by
 * other means first, so that a caller that tries again does not spin; signals
 * are then told all the same.
 */
int loop_wait(struct loop *loop, uint64_t now_ms, uint64_t deadline_ms, struct loop_events *ret_events);

#endif
