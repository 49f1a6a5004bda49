/*
 * Signals of trimtab itself: all are blocked and read from a descriptor.
 *
 * A fault of our own (SIGSEGV ...) still ends us: the kernel forces a
 * synchronous signal through any mask. See signalfd(2), kernel/signal.c.
 */
#ifndef TRIMTAB_OS_SIGNALS_H
#define TRIMTAB_OS_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { SIGNALS_BATCH = 16 };

/* How the process was started, to be given to the worker unchanged. */
struct signals_inherited {
    sigset_t mask;
    bool child_ignored; /* SIGCHLD came in ignored; we need it and set it to default */
};

struct signals_info {
    int number;
    bool from_kernel; /* si_code > 0: not sent by a process */
    bool queued;      /* sigqueue(3): value counts */
    pid_t sender;
    uint64_t value;
};

/* Block all, SIGCHLD to default. Returns 0 or -errno. */
int signals_take(struct signals_inherited *ret_inherited);

/* In a child before exec: everything as it was inherited. Allocates nothing. Returns 0 or -errno. */
int signals_restore(const struct signals_inherited *inherited);

/* A close-on-exec, non-blocking signalfd over all signals, or -errno. */
int signals_open(void);

/*
 * Read what is pending, at most SIGNALS_BATCH. Returns the number, 0 when there
 * is none, or -errno. A SIGPIPE that trimtab's own write caused is left out.
 */
int signals_read(int signal_fd, struct signals_info *ret_infos);

/*
 * Wait for one signal, at most so long; -1: for ever. Returns 1, 0 when none
 * came, or -errno.
 */
int signals_wait(int wait_ms, struct signals_info *ret_info);

/*
 * Pass a signal on to a child of ours that has not been reaped (its pid cannot
 * have been reused), or to its process group. A queued signal keeps its value,
 * a group's does not. Returns 0 or -errno.
 */
int signals_forward(pid_t pid, bool group, int number, const struct signals_info *info);

#endif
