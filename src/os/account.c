/*
 * Owns the look into /etc/passwd and /etc/group.
 *
 * A user or group is first looked for by name, because a name may consist of
 * digits, and then by number, as chown(1) does.
 */
#include "account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct user {
    bool known; /* /etc/passwd has it */
    uid_t uid;
    gid_t gid;
    char name[256];
};

/* A whole string of digits that is an id; the greatest one means "no id" to the kernel. */
static bool parse_id(const char *text, uint32_t *ret_id)
{
    uint64_t id = 0;
    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text) || strlen(text) > 10)
        return false;
    for (; *text != '\0'; text++)
        id = id * 10 + (uint64_t)(*text - '0');
    *ret_id = (uint32_t)id;
    return id < UINT32_MAX;
}

/* Returns 0 with *ret_file NULL where there is no such file: an image FROM scratch has none. */
static int open_database(const char *path, FILE **ret_file, const char **ret_what)
{
    *ret_file = fopen(path, "re");
    if (*ret_file != NULL || errno == ENOENT || errno == ENOTDIR)
        return 0;
    *ret_what = path;
    return -errno;
}

/* Returns 0, or -EIO when reading stopped short of the end. */
static int close_database(FILE *file, const char *path, const char **ret_what)
{
    bool broken = ferror(file) != 0;
    (void)fclose(file);
    if (broken)
        *ret_what = path;
    return broken ? -EIO : 0;
}

static int take_user(const struct passwd *entry, struct user *ret_user)
{
    if (strlen(entry->pw_name) >= sizeof ret_user->name)
        return -E2BIG;
    *ret_user = (struct user){ .known = true, .uid = entry->pw_uid, .gid = entry->pw_gid };
    memcpy(ret_user->name, entry->pw_name, strlen(entry->pw_name) + 1);
    return 0;
}

static int find_user(const char *text, struct user *ret_user, const char **ret_what)
{
    static const char path[] = "/etc/passwd";
    uint32_t number = 0;
    bool is_number = parse_id(text, &number);
    const struct passwd *entry;
    FILE *file;

    *ret_user = (struct user){ .uid = number };
    int r = open_database(path, &file, ret_what);
    if (r == 0 && file != NULL) {
        bool by_name = false;
        while (r == 0 && !by_name && (entry = fgetpwent(file)) != NULL) {
            by_name = strcmp(entry->pw_name, text) == 0;
            if (by_name || (is_number && !ret_user->known && entry->pw_uid == number))
                r = take_user(entry, ret_user);
        }
        int closed = close_database(file, path, ret_what);
        r = r < 0 ? r : closed;
    }
    if (r == 0 && !ret_user->known && !is_number)
        r = -ENOENT;
    return r;
}

static int find_group(const char *text, gid_t *ret_gid, const char **ret_what)
{
    static const char path[] = "/etc/group";
    uint32_t number = 0;
    bool found = parse_id(text, &number);
    const struct group *entry;
    FILE *file;

    *ret_gid = number;
    int r = open_database(path, &file, ret_what);
    if (r == 0 && file != NULL) {
        bool by_name = false;
        while (!by_name && (entry = fgetgrent(file)) != NULL) {
            by_name = strcmp(entry->gr_name, text) == 0;
            if (by_name)
                *ret_gid = entry->gr_gid;
        }
        found = found || by_name;
        r = close_database(file, path, ret_what);
    }
    return r == 0 && !found ? -ENOENT : r;
}

static int add_group(struct privileges *privileges, gid_t gid)
{
    for (size_t i = 0; i < privileges->group_count; i++) {
        if (privileges->groups[i] == gid)
            return 0;
    }
    if (privileges->group_count == PRIVILEGES_GROUPS_MAX)
        return -E2BIG;
    privileges->groups[privileges->group_count++] = gid;
    return 0;
}

static bool lists(char *const *members, const char *name)
{
    while (*members != NULL && strcmp(*members, name) != 0)
        members++;
    return *members != NULL;
}

/* Every group that lists the user, as initgroups(3) does. */
static int add_groups_of(const char *name, struct privileges *privileges, const char **ret_what)
{
    static const char path[] = "/etc/group";
    const struct group *entry;
    FILE *file;

    int r = open_database(path, &file, ret_what);
    if (r < 0 || file == NULL)
        return r;
    while (r == 0 && (entry = fgetgrent(file)) != NULL) {
        if (lists(entry->gr_mem, name))
            r = add_group(privileges, entry->gr_gid);
    }
    int closed = close_database(file, path, ret_what);
    return r < 0 ? r : closed;
}

int account_resolve(const char *user, const char *group, struct privileges *ret_privileges, const char **ret_what)
{
    struct user found = { .uid = geteuid(), .gid = getegid() };
    int r = 0;

    ret_privileges->set_ids = user[0] != '\0' || group[0] != '\0';
    ret_privileges->group_count = 0;
    if (!ret_privileges->set_ids)
        return 0;
    if (user[0] != '\0') {
        *ret_what = user;
        r = find_user(user, &found, ret_what);
        if (r == 0 && !found.known && group[0] == '\0')
            r = -EINVAL;
    }
    if (r == 0 && group[0] != '\0') {
        *ret_what = group;
        r = find_group(group, &found.gid, ret_what);
    }
    if (r < 0)
        return r;
    ret_privileges->uid = found.uid;
    ret_privileges->gid = found.gid;
    *ret_what = user;
    r = add_group(ret_privileges, found.gid);
    if (r == 0 && found.known)
        r = add_groups_of(found.name, ret_privileges, ret_what);
    return r;
}
