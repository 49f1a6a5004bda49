/*
 * The memory of this container as the kernel accounts for it: its limit, what
 * is used of it and what the kernel had to do about it. cgroup v2 or v1, seen
 * from inside or outside a container.
 *
 * The tightest limit from our own cgroup up to the top that is visible counts
 * (Documentation/admin-guide/cgroup-v2.rst, "memory.max"); of equal ones the
 * outermost, which holds all that the others hold. A limit that is not below
 * the machine's memory is no limit.
 */
#ifndef TRIMTAB_OS_CGROUP_H
#define TRIMTAB_OS_CGROUP_H

#include <stddef.h>
#include <stdint.h>

enum {
    CGROUP_DEPTH_MAX = 16,
    CGROUP_PATH_MAX = 1024,
    CGROUP_DESCRIPTORS_MAX = CGROUP_DEPTH_MAX + 4 /* that a struct cgroup ever holds open */
};

/* To be read by the functions below only, but for version, count and path. */
struct cgroup {
    int version; /* 2, 1, or 0: no memory controller found */
    int count;
    int limit_fd[CGROUP_DEPTH_MAX];       /* kept open, own cgroup first */
    uint16_t directory[CGROUP_DEPTH_MAX]; /* so many bytes of path are the directory of limit_fd[i] */
    int level;                            /* whose limit was in force when last asked; -1: none */
    int used_level;                       /* whose files the next two are */
    int used_fd;                          /* these are -1 until first asked for */
    int stat_fd;
    int events_fd;
    int failures_fd;
    char path[CGROUP_PATH_MAX]; /* the limit file of our own cgroup, for people */
};

/* Find and open. root is "" outside tests. Returns 0 or -errno; version says what was found. */
int cgroup_open(struct cgroup *ret_cgroup, const char *root);
void cgroup_close(struct cgroup *cgroup);

/* The descriptors that are open now, max of them at most. Returns how many; 0 for a struct of zeros. */
int cgroup_descriptors(const struct cgroup *cgroup, int *ret_fds, size_t max);

/* The limit in bytes, read anew; the machine's memory when there is none. -errno: keep what you had. */
int cgroup_limit(struct cgroup *cgroup, uint64_t *ret_bytes);

/*
 * What is used, in bytes, of the limit that cgroup_limit last found in force:
 * the working set, which is all memory charged there less the page cache that
 * is let go of first (memory.current less inactive_file; v1: usage_in_bytes
 * less total_inactive_file). Below enough_bytes it is all memory, without the
 * look into memory.stat, for which the kernel has to add up all CPUs.
 * -ENODATA: no limit is in force; any other -errno: it cannot be read now. The
 * sum of the processes is what remains then.
 */
int cgroup_used(struct cgroup *cgroup, uint64_t enough_bytes, uint64_t *ret_bytes);

/*
 * Counters since our own cgroup was made, its children's included on v2
 * (memory.events). Of our own cgroup whichever limit is in force, so that they
 * never go back: oom_kill counts our processes, whoever's limit they died of;
 * the others count for limits at our own cgroup or below.
 */
struct cgroup_events {
    uint64_t oom;      /* allocations about to fail at the limit; v1: not counted, 0 */
    uint64_t oom_kill; /* processes killed; v1: 0 before Linux 4.13 */
    uint64_t high;     /* throttled at memory.high; v1 has none, 0 */
    uint64_t max;      /* hit the limit (v1: memory.failcnt) */
};

/* -ENODATA: no memory controller. */
int cgroup_events(struct cgroup *cgroup, struct cgroup_events *ret_events);

/* ---- where a cgroup is ---- */

enum cgroup_kind {
    CGROUP_MEMORY, /* the hierarchy that the memory controller is on */
    CGROUP_UNIFIED /* version 2, whichever controllers it has: for pressure files */
};

/*
 * Mount point, and the path below it, of our cgroup; each ret_ holds
 * CGROUP_PATH_MAX bytes. Returns the version, 0: there is none, or -errno.
 */
int cgroup_find(const char *root, enum cgroup_kind kind, char *ret_mount, char *ret_path);

/* ---- pure ---- */

/*
 * As cgroup_find: mountinfo and cgroup are the texts of /proc/self/mountinfo
 * and /proc/self/cgroup. Handles a hybrid machine (a `0::` line without a
 * memory controller on v2), a mount whose root is our cgroup, and a path that
 * lies outside what is mounted.
 */
int cgroup_locate(const char *mountinfo, const char *cgroup, enum cgroup_kind kind, char *ret_mount, size_t mount_size,
                  char *ret_path, size_t path_size);

/* "max", 9223372036854771712 or a number; UINT64_MAX for no limit. 0 or -EINVAL. */
int cgroup_parse_limit(const char *text, size_t size, uint64_t *ret_bytes);

/* memory.events, or memory.oom_control; a counter that is not in it is 0. 0 or -EINVAL. */
int cgroup_parse_events(const char *text, size_t size, struct cgroup_events *ret_events);

#endif
