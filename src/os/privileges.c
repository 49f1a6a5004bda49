/*
 * Owns ids and capabilities.
 *
 * What runs in the child goes to the kernel directly where the wrapper is
 * more than that: setresuid(2) and its kin of both libcs want to change every
 * thread, and cap_set_proc(3) takes a lock that a child killed just there
 * would leave taken for ever in the memory it shares with PID 1.
 */
#include "privileges.h"

#include <errno.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where ids were 16 bits once, the plain names still are those calls. */
#ifdef SYS_setresuid32
#define SET_UIDS   SYS_setresuid32
#define SET_GIDS   SYS_setresgid32
#define SET_GROUPS SYS_setgroups32
#else
#define SET_UIDS   SYS_setresuid
#define SET_GIDS   SYS_setresgid
#define SET_GROUPS SYS_setgroups
#endif

struct sets {
    uint64_t permitted;
    uint64_t effective;
    uint64_t inheritable;
};

static int get_sets(struct sets *ret_sets)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (capget(&header, data) < 0)
        return -errno;
    *ret_sets = (struct sets){ .permitted = data[0].permitted | (uint64_t)data[1].permitted << 32,
                               .effective = data[0].effective | (uint64_t)data[1].effective << 32,
                               .inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32 };
    return 0;
}

static int set_sets(const struct sets *sets)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].permitted = (uint32_t)(sets->permitted >> 32 * i);
        data[i].effective = (uint32_t)(sets->effective >> 32 * i);
        data[i].inheritable = (uint32_t)(sets->inheritable >> 32 * i);
    }
    return capset(&header, data) < 0 ? -errno : 0;
}

const char *privileges_step_name(enum privileges_step step)
{
    switch (step) {
    case PRIVILEGES_NONE:
        break;
    case PRIVILEGES_KEEP:
        return "keep capabilities across the change of user";
    case PRIVILEGES_BOUNDING:
        return "lower the capability bounding set";
    case PRIVILEGES_GROUPS:
        return "set the supplementary groups";
    case PRIVILEGES_GID:
        return "set the group";
    case PRIVILEGES_UID:
        return "set the user";
    case PRIVILEGES_SETS:
        return "set the capabilities";
    case PRIVILEGES_AMBIENT:
        return "raise the ambient capabilities";
    case PRIVILEGES_NO_NEW:
        return "set no_new_privs";
    }
    return "set privileges";
}

bool privileges_any(const struct privileges *privileges)
{
    return privileges->set_ids || privileges->set_capabilities || privileges->no_new_privs;
}

int privileges_prepare(struct privileges *privileges)
{
    privileges->bits = cap_max_bits();
    bool known = privileges->bits >= 64 || privileges->mask >> privileges->bits == 0;
    return privileges->set_capabilities && !known ? -EINVAL : 0;
}

static bool has(uint64_t mask, int bit)
{
    return (mask >> bit & 1) != 0;
}

static int drop_bounding(const struct privileges *privileges)
{
    for (int bit = 0; bit < privileges->bits; bit++) {
        if (has(privileges->mask, bit) || cap_drop_bound(bit) == 0)
            continue;
        int error = errno; /* without CAP_SETPCAP: fine as long as it is not in there */
        if (cap_get_bound(bit) != 0)
            return -error;
    }
    return 0;
}

static bool holds(const gid_t *groups, size_t count, gid_t primary, gid_t gid)
{
    bool found = gid == primary;
    for (size_t i = 0; i < count && !found; i++)
        found = groups[i] == gid;
    return found;
}

/* Whether our groups are those wanted, the primary one counting as there: container engines differ in that. */
static bool has_groups(const struct privileges *privileges)
{
    gid_t now[PRIVILEGES_GROUPS_MAX];
    bool same = true;

    int count = getgroups(PRIVILEGES_GROUPS_MAX, now);
    if (count < 0)
        return false;
    for (int i = 0; i < count; i++)
        same = same && holds(privileges->groups, privileges->group_count, privileges->gid, now[i]);
    for (size_t i = 0; i < privileges->group_count; i++)
        same = same && holds(now, (size_t)count, privileges->gid, privileges->groups[i]);
    return same;
}

/* Ids that are set to what they are need no privilege, setresuid(2); groups do, so they are compared. */
static int change_ids(const struct privileges *privileges, enum privileges_step *ret_step)
{
    *ret_step = PRIVILEGES_GROUPS;
    if (syscall(SET_GROUPS, privileges->group_count, privileges->groups) < 0) {
        int error = errno;
        if (error != EPERM || !has_groups(privileges))
            return -error;
    }
    *ret_step = PRIVILEGES_GID;
    if (syscall(SET_GIDS, privileges->gid, privileges->gid, privileges->gid) < 0)
        return -errno;
    *ret_step = PRIVILEGES_UID;
    return syscall(SET_UIDS, privileges->uid, privileges->uid, privileges->uid) < 0 ? -errno : 0;
}

static int raise_ambient(const struct privileges *privileges)
{
    for (int bit = 0; bit < privileges->bits; bit++) {
        if (has(privileges->mask, bit) && cap_set_ambient(bit, CAP_SET) < 0)
            return -errno;
    }
    return 0;
}

int privileges_apply(const struct privileges *privileges, enum privileges_step *ret_step)
{
    bool ordinary_user = privileges->set_ids && privileges->uid != 0;
    uint64_t wanted = privileges->set_capabilities ? privileges->mask : 0;
    int r = 0;

    if (privileges->set_capabilities) {
        *ret_step = PRIVILEGES_BOUNDING;
        r = drop_bounding(privileges);
    }
    if (r == 0 && ordinary_user && wanted != 0) { /* exec clears it again, prctl(2) */
        *ret_step = PRIVILEGES_KEEP;
        r = prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) < 0 ? -errno : 0;
    }
    if (r == 0 && privileges->set_ids)
        r = change_ids(privileges, ret_step);
    if (r == 0 && (privileges->set_capabilities || ordinary_user)) {
        *ret_step = PRIVILEGES_SETS; /* what leaves them also leaves the ambient set, capabilities(7) */
        r = set_sets(&(struct sets){ .permitted = wanted, .effective = wanted, .inheritable = wanted });
    }
    if (r == 0 && privileges->set_capabilities) {
        *ret_step = PRIVILEGES_AMBIENT;
        r = raise_ambient(privileges);
    }
    if (r == 0 && privileges->no_new_privs) {
        *ret_step = PRIVILEGES_NO_NEW;
        r = prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0 ? -errno : 0;
    }
    if (r == 0)
        *ret_step = PRIVILEGES_NONE;
    return r;
}

int privileges_keep(uint64_t mask)
{
    struct sets sets = { 0 };
    int r = get_sets(&sets);
    if (r < 0)
        return r;
    sets.permitted &= mask;
    sets.effective = sets.permitted;
    return set_sets(&sets);
}

uint64_t privileges_held(void)
{
    struct sets sets = { 0 };
    return get_sets(&sets) < 0 ? 0 : sets.permitted;
}

void privileges_print(uint64_t mask, char *ret_text, size_t size)
{
    size_t length = 0;
    bool fits = true;

    if (size == 0)
        return;
    ret_text[0] = '\0';
    for (int bit = 0; bit < 64 && fits; bit++) {
        char *name = has(mask, bit) ? cap_to_name(bit) : NULL;
        if (name == NULL)
            continue;
        size_t name_size = strlen(name);
        fits = length + (length > 0) + name_size < size;
        if (fits) {
            if (length > 0)
                ret_text[length++] = ',';
            memcpy(ret_text + length, name, name_size + 1);
            length += name_size;
        }
        (void)cap_free(name);
    }
    if (mask == 0 && size > strlen("none"))
        memcpy(ret_text, "none", sizeof "none");
}
