/*
 * fgetpwent(3) and fgetgrent(3) for the static binary: the fields that
 * trimtab reads, in memory of its own until the next call. A line longer than
 * LINE_BYTES, or a group of more than MEMBERS_MAX, is cut to that.
 */
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 16 << 10, MEMBERS_MAX = 1024, FIELDS_MAX = 7 };

static char line[LINE_BYTES];

/* Read a line and part it at its colons; fields that are missing are empty. */
static bool read_fields(FILE *file, char **ret_fields)
{
    if (fgets(line, sizeof line, file) == NULL)
        return false;
    char *end = line + strcspn(line, "\n");
    bool cut = end == line + sizeof line - 1;
    for (int c = 0; cut && c != '\n' && c != EOF;)
        c = fgetc(file);
    *end = '\0';
    char *at = line;
    for (int i = 0; i < FIELDS_MAX; i++) {
        ret_fields[i] = at;
        at += strcspn(at, ":");
        if (*at == ':')
            *at++ = '\0';
    }
    return true;
}

/* An id that is not a number must never pass for 0: such a line is skipped. */
static bool is_id(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

struct passwd *fgetpwent(FILE *file)
{
    static struct passwd entry;
    char *fields[FIELDS_MAX];
    do {
        if (!read_fields(file, fields))
            return NULL;
    } while (!is_id(fields[2]) || !is_id(fields[3]));
    entry.pw_name = fields[0];
    entry.pw_passwd = fields[1];
    entry.pw_uid = (uid_t)strtoul(fields[2], NULL, 10);
    entry.pw_gid = (gid_t)strtoul(fields[3], NULL, 10);
    entry.pw_gecos = fields[4];
    entry.pw_dir = fields[5];
    entry.pw_shell = fields[6];
    return &entry;
}

struct group *fgetgrent(FILE *file)
{
    static struct group entry;
    static char *members[MEMBERS_MAX + 1];
    char *fields[FIELDS_MAX];
    size_t count = 0;
    do {
        if (!read_fields(file, fields))
            return NULL;
    } while (!is_id(fields[2]));
    for (char *at = fields[3]; *at != '\0' && count < MEMBERS_MAX;) {
        members[count++] = at;
        at += strcspn(at, ",");
        if (*at == ',')
            *at++ = '\0';
    }
    members[count] = NULL;
    entry.gr_name = fields[0];
    entry.gr_passwd = fields[1];
    entry.gr_gid = (gid_t)strtoul(fields[2], NULL, 10);
    entry.gr_mem = members;
    return &entry;
}
