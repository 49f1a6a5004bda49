/*
 * What the static binary has instead of parts of the C library gives the same
 * results. The files are included under other names, so that both are here.
 */
#include <fnmatch.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define vsnprintf small_vsnprintf
#define snprintf  small_snprintf
#define vasprintf small_vasprintf
#define asprintf  small_asprintf
#define dprintf   small_dprintf
#include "small/format.c"
#undef vsnprintf
#undef snprintf
#undef vasprintf
#undef asprintf
#undef dprintf

#define fnmatch small_fnmatch
#include "small/fnmatch.c"
#undef fnmatch

#define memmem  small_memmem
#define strstr  small_strstr
#define strtol  small_strtol
#define strtoul small_strtoul
#include "small/search.c"
#undef memmem
#undef strstr
#undef strtol
#undef strtoul

#define malloc  small_malloc
#define calloc  small_calloc
#define realloc small_realloc
#define free    small_free
#include "small/heap.c"
#undef malloc
#undef calloc
#undef realloc
#undef free

#define clock_gettime small_clock_gettime
#include "small/clock.c"
#undef clock_gettime

#define stat(path, result) small_stat(path, result)
#define fstat(fd, result)  small_fstat(fd, result)
#include "small/stat.c"
#undef stat
#undef fstat

#define fgetpwent small_fgetpwent
#define fgetgrent small_fgetgrent
#include "small/account.c"
#undef fgetpwent
#undef fgetgrent

#define sigaction(number, action, before) small_sigaction(number, action, before)
#include "small/sigaction.c"
#undef sigaction

#include "cmocka_all.h"

/* Both, at every size of the buffer. */
#define SAME(...)                                                                                                      \
    do {                                                                                                               \
        for (size_t size_ = 0; size_ < 40; size_++) {                                                                  \
            char ours_[64] = "untouched", libcs_[64] = "untouched";                                                    \
            int length_ = small_snprintf(ours_, size_, __VA_ARGS__);                                                   \
            assert_int_equal(length_, snprintf(libcs_, size_, __VA_ARGS__));                                           \
            assert_string_equal(ours_, libcs_);                                                                        \
        }                                                                                                              \
    } while (0)

#ifndef __clang__ /* which does not know these */
#pragma GCC diagnostic ignored "-Wformat-truncation"
#pragma GCC diagnostic ignored "-Wformat-overflow"
#endif

static void formats_are_the_librarys(void **state)
{
    (void)state;
    SAME("%s", "plain");
    SAME("%d %d %d", 0, INT_MIN, INT_MAX);
    SAME("%u %x %o", UINT_MAX, 0xbeefU, 0644U);
    SAME("%ld %lu", LONG_MIN, ULONG_MAX);
    SAME("%lld %llu", LLONG_MIN, ULLONG_MAX);
    SAME("%zu %jd", (size_t)7, (intmax_t)-7);
    SAME("%5d|%-5d|%05d", 42, 42, -42);
    SAME("%5s|%-5s|%2s", "abc", "abc", "abc");
    SAME("%.2s|%.*s|%.0s|%-*s|", "abc", 1, "abc", "abc", 6, "ab");
    SAME("%*d", -6, 3);
    SAME("%c%%%c", 'a', 'b');
    SAME("%02x%02u", 5U, 7U);
}

static void asprintf_returns_all_of_it(void **state)
{
    char *text = NULL;
    (void)state;
    assert_int_equal(small_asprintf(&text, "%s=%u", "cap", 40U), 6);
    assert_string_equal(text, "cap=40");
    free(text);
}

static void dprintf_writes_all_of_it(void **state)
{
    int ends[2];
    char text[8] = "";
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(small_dprintf(ends[1], "%d!", 123), 4);
    assert_int_equal(read(ends[0], text, sizeof text), 4);
    assert_string_equal(text, "123!");
    assert_true(small_dprintf(-1, "x") < 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void patterns_match_as_the_librarys(void **state)
{
    (void)state;
    static const char *const patterns[] = { "",     "*",     "a",     "a*",     "*a",   "*a*",  "a*b*c",      "?",
                                            "a?c",  "[abc]", "[a-c]", "[!a-c]", "[]a]", "[a-]", "[!]]*",      "\\*",
                                            "a\\b", "**",    "*?*",   "[",      "a[b",  "x*y*", "gun*:*[0-9]" };
    static const char *const texts[] = { "",    "a",  "b", "abc",  "aXbYc",
                                         "*",   "]",  "-", "a[b",  "ab",
                                         "xyy", "xy", "[", "a\\b", "gunicorn: worker 7" };
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
            bool ours = small_fnmatch(patterns[i], texts[k], 0) == 0;
            if (ours != (fnmatch(patterns[i], texts[k], 0) == 0))
                fail_msg("'%s' on '%s': %d", patterns[i], texts[k], (int)ours);
        }
    }
}

static void searches_find_the_same_place(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "a", "aab", "abab", "xxabab", "aaaa" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
            assert_ptr_equal(small_strstr(texts[i], texts[k]), strstr(texts[i], texts[k]));
            assert_ptr_equal(small_memmem(texts[i], strlen(texts[i]), texts[k], strlen(texts[k])),
                             memmem(texts[i], strlen(texts[i]), texts[k], strlen(texts[k])));
        }
    }
}

static void numbers_end_where_the_librarys_do(void **state)
{
    (void)state;
    static const char *const texts[] = { "",
                                         "0",
                                         "12",
                                         "-12",
                                         "+7",
                                         " 5x",
                                         "x",
                                         "-",
                                         "+-1",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "-9223372036854775808",
                                         "-9223372036854775809",
                                         "99999999999999999999999" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *ours = NULL;
        char *libcs = NULL;
        assert_true(small_strtol(texts[i], &ours, 10) == strtol(texts[i], &libcs, 10));
        assert_ptr_equal(ours, libcs);
    }
    char *end = NULL;
    assert_true(small_strtoul("40", &end, 0) == 40);
    assert_int_equal(*end, '\0');
}

static void the_heap_hands_out_and_grows(void **state)
{
    (void)state;
    char *first = small_malloc(10);
    assert_non_null(first);
    assert_int_equal((uintptr_t)first % ALIGN, 0);
    memset(first, 'a', 10);
    char *second = small_calloc(3, 5);
    for (int i = 0; i < 15; i++)
        assert_int_equal(second[i], 0);
    assert_ptr_equal(small_realloc(second, 200), second); /* the last one, in place */
    char *moved = small_realloc(first, 100);
    assert_ptr_not_equal(moved, first);
    assert_memory_equal(moved, "aaaaaaaaaa", 10);
    small_free(moved);
    assert_ptr_equal(small_malloc(100), moved);
    small_free(NULL);
    char *large = small_malloc(2 * ARENA_BYTES); /* from mmap */
    assert_non_null(large);
    memset(large, 1, 2 * ARENA_BYTES);
    large = small_realloc(large, 4 * ARENA_BYTES);
    assert_int_equal(large[2 * ARENA_BYTES - 1], 1);
    assert_null(small_malloc(SIZE_MAX));
    assert_null(small_calloc(SIZE_MAX / 2, 3));
}

static void the_clock_is_the_same(void **state)
{
    struct timespec before, ours, after;
    (void)state;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &before), 0);
    assert_int_equal(small_clock_gettime(CLOCK_MONOTONIC, &ours), 0);
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &after), 0);
    assert_true(ours.tv_sec >= before.tv_sec && ours.tv_sec <= after.tv_sec);
    assert_int_equal(small_clock_gettime(-1, &ours), -1);
}

static void files_look_the_same(void **state)
{
    struct stat ours, libcs;
    (void)state;
    memset(&ours, 0, sizeof ours);
    memset(&libcs, 0, sizeof libcs);
    assert_int_equal(small_stat("/etc/passwd", &ours), 0);
    assert_int_equal(stat("/etc/passwd", &libcs), 0);
    assert_memory_equal(&ours, &libcs, sizeof ours);
    assert_int_equal(small_stat("/no/such", &ours), -1);
    assert_int_equal(small_fstat(0, &ours), fstat(0, &libcs));
    assert_true(ours.st_ino == libcs.st_ino && ours.st_mode == libcs.st_mode);
    assert_int_equal(small_fstat(-1, &ours), -1);
}

static FILE *text_file(const char *text)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    rewind(file);
    return file;
}

static void accounts_are_read_and_bad_lines_skipped(void **state)
{
    static const char users[] = "root:x:0:0:root:/root:/bin/sh\n"
                                "\nbroken\nempty:x:::\nhalf:x:12:\nminus:x:-1:0::/:\nword:x:12a:7::/:\n"
                                "www:x:33:44:a,b:/var:/bin/false\nlast:x:5:6";
    static const char groups[] = "root:x:0:\nbad:x:\nwww:x:33:ann,bob\nlast:x:4:carl";
    FILE *ours = text_file(users);
    const struct passwd *user;
    (void)state;
    assert_string_equal(small_fgetpwent(ours)->pw_name, "root");
    user = small_fgetpwent(ours);
    assert_string_equal(user->pw_name, "www");
    assert_true(user->pw_uid == 33 && user->pw_gid == 44);
    assert_string_equal(user->pw_shell, "/bin/false");
    user = small_fgetpwent(ours);
    assert_string_equal(user->pw_name, "last");
    assert_int_equal(user->pw_gid, 6);
    assert_null(small_fgetpwent(ours));
    (void)fclose(ours);

    ours = text_file(groups);
    assert_string_equal(small_fgetgrent(ours)->gr_name, "root");
    const struct group *group = small_fgetgrent(ours);
    assert_string_equal(group->gr_name, "www");
    assert_string_equal(group->gr_mem[1], "bob");
    assert_null(group->gr_mem[2]);
    assert_string_equal(small_fgetgrent(ours)->gr_mem[0], "carl");
    assert_null(small_fgetgrent(ours));
    (void)fclose(ours);
}

static void this_machines_accounts_are_the_librarys(void **state)
{
    FILE *ours = fopen("/etc/passwd", "re");
    FILE *libcs = fopen("/etc/passwd", "re");
    const struct passwd *user;
    (void)state;
    while ((user = fgetpwent(libcs)) != NULL) {
        const struct passwd *same = small_fgetpwent(ours);
        assert_string_equal(same->pw_name, user->pw_name);
        assert_true(same->pw_uid == user->pw_uid && same->pw_gid == user->pw_gid);
    }
    assert_null(small_fgetpwent(ours));
    (void)fclose(ours);
    (void)fclose(libcs);
}

static void on_signal(int number)
{
    (void)number;
}

static void dispositions_are_set_and_told(void **state)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    struct sigaction handler = { .sa_handler = on_signal };
    struct sigaction before;
    (void)state;
    assert_int_equal(small_sigaction(SIGUSR1, &ignore, NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, NULL, &before), 0);
    assert_ptr_equal(before.sa_handler, SIG_IGN);
    assert_int_equal(small_sigaction(SIGUSR1, NULL, &before), 0);
    assert_ptr_equal(before.sa_handler, SIG_IGN);
    assert_int_equal(small_sigaction(SIGUSR1, &handler, NULL), -1);
    assert_int_equal(small_sigaction(SIGKILL, &ignore, NULL), -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_the_librarys),
        cmocka_unit_test(asprintf_returns_all_of_it),
        cmocka_unit_test(dprintf_writes_all_of_it),
        cmocka_unit_test(patterns_match_as_the_librarys),
        cmocka_unit_test(searches_find_the_same_place),
        cmocka_unit_test(numbers_end_where_the_librarys_do),
        cmocka_unit_test(the_heap_hands_out_and_grows),
        cmocka_unit_test(the_clock_is_the_same),
        cmocka_unit_test(files_look_the_same),
        cmocka_unit_test(accounts_are_read_and_bad_lines_skipped),
        cmocka_unit_test(this_machines_accounts_are_the_librarys),
        cmocka_unit_test(dispositions_are_set_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
