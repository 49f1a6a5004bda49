/*
 * The memory limit that the kernel holds this container to: cgroup v2 or v1,
 * seen from inside or outside a container.
 *
 * The tightest limit from our own cgroup up to the top that is visible counts
 * (Documentation/admin-guide/cgroup-v2.rst, "memory.max"). A limit that is
 * not below the machine's memory is no limit.
 */
#ifndef TRIMTAB_OS_CGROUP_H
#define TRIMTAB_OS_CGROUP_H

#include <stddef.h>
#include <stdint.h>

enum { CGROUP_DEPTH_MAX = 16, CGROUP_PATH_MAX = 1024 };

struct cgroup {
    int version; /* 2, 1, or 0: no memory controller found */
    int count;
    int limit_fd[CGROUP_DEPTH_MAX]; /* kept open, own cgroup first */
    char path[CGROUP_PATH_MAX];     /* the limit file of our own cgroup, for people */
};

/* Find and open. root is "" outside tests. Returns 0 or -errno; version says what was found. */
int cgroup_open(struct cgroup *ret_cgroup, const char *root);
void cgroup_close(struct cgroup *cgroup);

/* The limit in bytes, read anew; the machine's memory when there is none. -errno: keep what you had. */
int cgroup_limit(const struct cgroup *cgroup, uint64_t *ret_bytes);

/* ---- pure ---- */

/*
 * Path of a controller's cgroup directory below root: mountinfo and cgroup are
 * the texts of /proc/self/mountinfo and /proc/self/cgroup. Returns the
 * version, or 0 when there is none. Handles a hybrid machine (a `0::` line
 * without a memory controller on v2), a mount whose root is our cgroup, and a
 * path that lies outside what is mounted.
 */
int cgroup_locate(const char *mountinfo, const char *cgroup, char *ret_mount, size_t mount_size, char *ret_path,
                  size_t path_size);

/* "max", 9223372036854771712 or a number; UINT64_MAX for no limit. 0 or -EINVAL. */
int cgroup_parse_limit(const char *text, size_t size, uint64_t *ret_bytes);

#endif
