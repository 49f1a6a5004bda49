#include "os/account.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"

static const char passwd_text[] = "root:x:0:0:root:/root:/bin/sh\n"
                                  "web:x:500:600:web:/:/bin/sh\n"
                                  "500:x:777:888:a name of digits:/:/bin/sh\n"
                                  "again:x:501:601::/:/bin/sh\n"
                                  "busy:x:502:602::/:/bin/sh\n"
                                  "later:x:501:603::/:/bin/sh\n";
static bool prepared;

static bool put_in_place(const char *path, const char *text)
{
    char name[] = "/tmp/trimtab-account-XXXXXX";
    int fd = mkstemp(name);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
                mount(name, path, NULL, MS_BIND, NULL) == 0;
    (void)close(fd);
    (void)unlink(name);
    return good;
}

/* Our own /etc/passwd and /etc/group, in a mount namespace of our own. */
static int prepare(void **state)
{
    static char groups[8192];
    size_t length = (size_t)snprintf(groups, sizeof groups,
                                     "root:x:0:\nweb:x:600:web\nlog:x:4:again,web\n"
                                     "no:x:5:\ndisk:x:6:web,again\n4:x:44:\n");
    for (int i = 0; i < PRIVILEGES_GROUPS_MAX; i++)
        length += (size_t)snprintf(groups + length, sizeof groups - length, "g%d:x:%d:busy\n", i, 1000 + i);
    (void)state;
    prepared = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               put_in_place("/etc/passwd", passwd_text) && put_in_place("/etc/group", groups);
    return 0;
}

static void need_files(void)
{
    if (!prepared) {
        print_message("SKIPPED: needs CAP_SYS_ADMIN for a mount namespace\n");
        skip();
    }
}

static void people_are_found(void **state)
{
    (void)state;
    need_files();
    const struct {
        const char *user, *group;
        uid_t uid;
        gid_t groups[4]; /* the first is the primary one */
        size_t count;
    } rows[] = {
        { "root", "", 0, { 0 }, 1 },
        { "web", "", 500, { 600, 4, 6 }, 3 },
        { "500", "", 777, { 888 }, 1 },       /* a name comes before a number */
        { "501", "", 501, { 601, 4, 6 }, 3 }, /* the first of that number */
        { "web", "no", 500, { 5, 600, 4, 6 }, 4 },
        { "web", "4", 500, { 44, 600, 4, 6 }, 4 },
        { "web", "600", 500, { 600, 4, 6 }, 3 },
        { "4711", "4712", 4711, { 4712 }, 1 },
        { "4294967294", "0", 4294967294, { 0 }, 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct privileges privileges = { .no_new_privs = true };
        const char *what = "nothing";
        assert_int_equal(account_resolve(rows[i].user, rows[i].group, &privileges, &what), 0);
        assert_true(privileges.set_ids && privileges.no_new_privs);
        assert_int_equal(privileges.uid, rows[i].uid);
        assert_int_equal(privileges.gid, rows[i].groups[0]);
        assert_int_equal(privileges.group_count, rows[i].count);
        assert_memory_equal(privileges.groups, rows[i].groups, rows[i].count * sizeof(gid_t));
    }
}

static void what_is_not_found_is_named(void **state)
{
    (void)state;
    need_files();
    const struct {
        const char *user, *group;
        int error;
        const char *what;
    } rows[] = { { "nobody-here", "", -ENOENT, "nobody-here" },
                 { "4711", "", -EINVAL, "4711" },
                 { "web", "nogroup-here", -ENOENT, "nogroup-here" },
                 { "", "-1", -ENOENT, "-1" },
                 { "4294967295", "0", -ENOENT, "4294967295" },
                 { "99999999999", "0", -ENOENT, "99999999999" },
                 { "0x10", "0", -ENOENT, "0x10" },
                 { "we", "", -ENOENT, "we" },
                 { "busy", "", -E2BIG, "busy" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct privileges privileges = { 0 };
        const char *what = NULL;
        assert_int_equal(account_resolve(rows[i].user, rows[i].group, &privileges, &what), rows[i].error);
        assert_string_equal(what, rows[i].what);
    }
}

static void a_group_alone_leaves_the_user(void **state)
{
    struct privileges privileges = { 0 };
    const char *what = NULL;
    (void)state;
    assert_int_equal(account_resolve("", "4712", &privileges, &what), 0);
    assert_true(privileges.set_ids);
    assert_int_equal(privileges.uid, geteuid());
    assert_int_equal(privileges.gid, 4712);
    assert_int_equal(privileges.group_count, 1);
    assert_int_equal(privileges.groups[0], 4712);
}

static void nothing_asked_is_nothing_set(void **state)
{
    struct privileges privileges = { .set_ids = true };
    const char *what = NULL;
    (void)state;
    assert_int_equal(account_resolve("", "", &privileges, &what), 0);
    assert_false(privileges.set_ids);
}

/* As in an image FROM scratch. The last case: it hides the files for good. */
static void without_the_files_numbers_work(void **state)
{
    struct privileges privileges = { 0 };
    const char *what = NULL;
    (void)state;
    need_files();
    assert_int_equal(mount("none", "/etc", "tmpfs", 0, NULL), 0);
    assert_int_equal(account_resolve("65534", "65534", &privileges, &what), 0);
    assert_int_equal(privileges.uid, 65534);
    assert_int_equal(account_resolve("web", "", &privileges, &what), -ENOENT);
    assert_string_equal(what, "web");
    assert_int_equal(mkdir("/etc/passwd", 0755), 0);
    assert_int_equal(account_resolve("web", "", &privileges, &what), -EIO);
    assert_string_equal(what, "/etc/passwd");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(people_are_found),
                                        cmocka_unit_test(what_is_not_found_is_named),
                                        cmocka_unit_test(a_group_alone_leaves_the_user),
                                        cmocka_unit_test(nothing_asked_is_nothing_set),
                                        cmocka_unit_test(without_the_files_numbers_work) };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
