/*
 * What trimtab arranges for itself as a process.
 * All functions: 0 or -errno.
 */
#ifndef TRIMTAB_OS_SELF_H
#define TRIMTAB_OS_SELF_H

#include <stdbool.h>
#include <stdint.h>

/* Orphans of our descendants come to us: nothing to do as PID 1, else PR_SET_CHILD_SUBREAPER (prctl(2)). */
int self_adopt_orphans(void);

/*
 * Get this signal when the parent ends (prctl(2), PR_SET_PDEATHSIG), also when
 * it ended while we asked; parent: getppid() as it was when we started.
 */
int self_die_with_parent(int number, int parent);

/* Keep the pages that are touched in memory, so that a thrashing container does not stall PID 1. */
int self_lock_memory(void);

/*
 * The pages of code that were needed to start are the page cache's again; what
 * runs from now on comes back as it is touched. The kernel maps up to 64 KiB
 * around a fault but never beyond a mapping: ours is cut in pieces by a flag
 * that means nothing for code (MADV_DONTDUMP, madvise(2)).
 */
int self_release_code(void);

/*
 * Ask the OOM killer to take others first: -1000 where we may. *ret_before is
 * what the worker is to get back; *ret_changed: whether it was changed.
 */
int self_lower_oom_score(int *ret_before, bool *ret_changed);

/* The working directory as a descriptor to go back to, or -errno. */
int self_open_directory(void);

/* Leave it for "/", so that no mount is held busy. */
int self_leave_directory(void);

/* A number that differs from start to start. */
uint64_t self_seed(void);

#endif
