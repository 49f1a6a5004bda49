/*
 * The only place where trimtab sleeps: one epoll descriptor.
 */
#ifndef TRIMTAB_OS_LOOP_H
#define TRIMTAB_OS_LOOP_H

#include <stdint.h>

enum { LOOP_BATCH = 64 };

#define LOOP_FOREVER UINT64_MAX

struct loop {
    int epoll_fd;
};

struct loop_events {
    int count;
    uint32_t tag[LOOP_BATCH]; /* as given to loop_add */
};

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t loop_now_ms(void);

/* All functions: 0 or -errno. */
int loop_open(struct loop *loop);

/* Watch fd for input; level-triggered. Closing fd ends the watch. */
int loop_add(struct loop *loop, int fd, uint32_t tag);
int loop_remove(struct loop *loop, int fd);

/*
 * Wait until something is ready or deadline_ms of loop_now_ms has come. A
 * signal or a deadline gives 0 events, and so does a wait of 24 days, the most
 * that epoll_wait(2) takes. When the kernel refuses to wait
 * (-ENOMEM ...) it pauses 100 ms by other means first, so that a caller that
 * tries again does not spin.
 */
int loop_wait(struct loop *loop, uint64_t deadline_ms, struct loop_events *ret_events);

#endif
