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
 * One that /etc/passwd knows brings its primary group and every group that
 * lists it; a number that it does not know needs group, and gets that alone.
 * group: name or number, in the place of the primary one, or "". Without
 * both, nothing is to be set.
 *
 * Returns 0, -ENOENT (no such user or group), -EINVAL (a number that
 * /etc/passwd does not know, without group), -E2BIG (too many groups), or
 * -errno; *ret_what then names the user, the group or the file.
 */
int account_resolve(const char *user, const char *group, struct privileges *ret_privileges, const char **ret_what);

#endif
