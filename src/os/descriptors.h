/*
 * File descriptors: the worker gets exactly those trimtab was given.
 */
#ifndef TRIMTAB_OS_DESCRIPTORS_H
#define TRIMTAB_OS_DESCRIPTORS_H

#include <stddef.h>
#include <sys/resource.h>

/*
 * Occupy 0, 1 and 2 where they are closed, with descriptors that are closed on
 * exec, so that none of ours gets such a number and the worker still finds
 * them closed. Returns 0 or -errno.
 */
int descriptors_reserve_standard(void);

/*
 * Close every descriptor from 3 on but those of keep (any order, -1 ignored),
 * and replace 0 and 1 by /dev/null, so that a pipe's other end sees the worker
 * close it. Falls back to /proc/self/fd where close_range(2) is missing.
 * Returns 0 or -errno; what could be closed is closed.
 */
int descriptors_close_except(const int *keep, size_t count);

/* Raise the soft limit of descriptors to the hard one; the old one is returned. 0 or -errno. */
int descriptors_raise_limit(struct rlimit *ret_before);

#endif
