/*
 * Users and groups from /etc/passwd and /etc/group by fgetpwent(3) and
 * fgetgrent(3): no NSS, so that a static binary does the same. Start-up only.
 */
#ifndef TRIMTAB_OS_ACCOUNT_H
#define TRIMTAB_OS_ACCOUNT_H

#include "privileges.h"

/*
 * Fill ids and supplementary groups of *ret_privileges.
 *
 * user: name or number, or "" for unchanged (then only gid and groups change).
 * A name brings its primary group and every group that lists it; a number
 * that /etc/passwd does not know keeps gid = number 0 only if group is given,
 * else it is refused. group: name, number or "".
 *
 * Returns 0, -ENOENT (no such user or group: *ret_what names it), -EINVAL
 * (a bare number without group), -E2BIG (too many groups), or -errno.
 */
int account_resolve(const char *user, const char *group, struct privileges *ret_privileges, const char **ret_what);

#endif
