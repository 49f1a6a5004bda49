/*
 * Memory pressure: how long tasks were kept waiting for memory. The kernel's
 * Documentation/accounting/psi.rst.
 *
 * Three ways, the best that is to be had: a trigger in our own cgroup's
 * memory.pressure; a trigger in /proc/pressure/memory, which tells of the whole
 * machine, where the cgroups are mounted read-only; reading either at times.
 */
#ifndef TRIMTAB_OS_PRESSURE_H
#define TRIMTAB_OS_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgroup.h"

enum {
    PRESSURE_WINDOW_MAX_US = 10000000, /* what a trigger may have: WINDOW_MAX_US of kernel/sched/psi.c */
    PRESSURE_WINDOW_STEP_US = 2000000  /* without CAP_SYS_RESOURCE: multiples of it, PSI_FREQ there */
};

/* Told once tasks waited stall_us within window_us. */
struct pressure_trigger {
    bool full; /* all tasks that could run waited at the same time; else at least one */
    uint64_t stall_us;
    uint64_t window_us;
};

enum pressure_method {
    PRESSURE_NONE,
    PRESSURE_TRIGGER, /* fd is for loop_add_priority */
    PRESSURE_READING  /* the kernel grants no trigger: pressure_read at every look */
};

struct pressure {
    enum pressure_method method;
    int fd;                          /* unless PRESSURE_NONE */
    bool own_cgroup;                 /* else of the machine */
    struct pressure_trigger trigger; /* in force; the window may be longer than asked for */
    bool has_base;                   /* the last two are from a read */
    uint64_t base_us;                /* when the waiting was base_total_us in all */
    uint64_t base_total_us;
    char path[CGROUP_PATH_MAX]; /* for people */
};

/*
 * Open. root is "" outside tests. 0; -ENOTSUP: the kernel has no PSI, or it was
 * disabled at boot; -EINVAL: no such trigger can be; other -errno: no file
 * that has it could be opened. On failure method is PRESSURE_NONE.
 */
int pressure_open(struct pressure *ret_pressure, const struct pressure_trigger *trigger, const char *root);
void pressure_close(struct pressure *pressure); /* does nothing to a struct of zeros */

/*
 * Whether there was that much pressure. Of a trigger: to be called when the
 * loop tells of it; it was, if the file is still there. Reading: whether tasks
 * waited stall_us within the last window_us, or as large a share of the time
 * since the read before, if that is longer ago; false the first time.
 * now_ms: loop_now_ms. -errno: the file has gone (PSI was turned off in our
 * cgroup); close, and open anew if wanted.
 */
int pressure_read(struct pressure *pressure, uint64_t now_ms, bool *ret_exceeded);

/* ---- pure ---- */

/* The total of the line `some` or `full`, in us. 0 or -EINVAL. */
int pressure_parse_total(const char *text, size_t size, bool full, uint64_t *ret_total_us);

/* The window up to the next multiple of PRESSURE_WINDOW_STEP_US, the stall alike. False: it is one. */
bool pressure_round(struct pressure_trigger *trigger);

#endif
