/*
 * Least privilege by libcap(3): what the worker runs as, and what PID 1 keeps.
 *
 * Everything is prepared before the worker exists; privileges_apply runs in
 * the child, allocates nothing, and stops at the first step that fails.
 * Order (capabilities(7)): bounding set, groups, ids, capabilities, ambient
 * set, no_new_privs.
 */
#ifndef TRIMTAB_OS_PRIVILEGES_H
#define TRIMTAB_OS_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PRIVILEGES_GROUPS_MAX = 64 };

struct privileges {
    bool set_ids; /* uid, gid and groups are changed */
    uid_t uid;
    gid_t gid;
    gid_t groups[PRIVILEGES_GROUPS_MAX];
    size_t group_count;
    bool set_capabilities; /* mask becomes the ambient and the bounding set */
    uint64_t mask;         /* bit n: capability n */
    bool no_new_privs;
    int bits; /* number of capabilities the kernel knows, by privileges_prepare */
};

enum privileges_step {
    PRIVILEGES_NONE,
    PRIVILEGES_KEEP, /* prctl(PR_SET_KEEPCAPS) */
    PRIVILEGES_BOUNDING,
    PRIVILEGES_GROUPS,
    PRIVILEGES_GID,
    PRIVILEGES_UID,
    PRIVILEGES_SETS,
    PRIVILEGES_AMBIENT,
    PRIVILEGES_NO_NEW
};

const char *privileges_step_name(enum privileges_step step);

/* Whether there is anything to apply. */
bool privileges_any(const struct privileges *privileges);

/* Find out what privileges_apply needs. Returns 0, or -EINVAL: mask has a capability that this kernel does not know. */
int privileges_prepare(struct privileges *privileges);

/* In the child. Returns 0 or -errno and the step that failed. */
int privileges_apply(const struct privileges *privileges, enum privileges_step *ret_step);

/*
 * PID 1: keep at most the capabilities of mask, of those it has. The bounding
 * and the inheritable set stay: they give PID 1 nothing, and a restarted
 * worker gets from them what the first one got. The ambient set shrinks with
 * the permitted one, so that for an ordinary user mask must hold what its
 * next worker is to have. Returns 0 or -errno.
 */
int privileges_keep(uint64_t mask);

/* The permitted set of this process, as a mask; 0 also when it cannot be read. */
uint64_t privileges_held(void);

/* "cap_kill,cap_setuid", or "none". */
void privileges_print(uint64_t mask, char *ret_text, size_t size);

#endif
