/* Numbers in the kernel's texts: well formed, cut anywhere, behind the first part. */
#include "os/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "edge.h"

static void lines_are_found_by_their_first_word(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint64_t number;
    } cases[] = {
        { "oom 3\n", 0, 3 },
        { "low 1\noom_kill 2\noom 3\n", 0, 3 },
        { "oom_group_kill 9\noom 18446744073709551615\n", 0, UINT64_MAX },
        { "oom      12 kB\n", 0, 12 },
        { "oom 0\noom 1\n", 0, 0 },
        { "", -ENODATA, 7 },
        { "\n", -ENODATA, 7 },
        { "oom", -ENODATA, 7 },
        { "oom\n", -ENODATA, 7 },
        { "oom\t3\n", -ENODATA, 7 },
        { "oom 3", -ENODATA, 7 }, /* perhaps 30 */
        { " oom 3\n", -ENODATA, 7 },
        { "x oom 3\n", -ENODATA, 7 },
        { "boom 3\n", -ENODATA, 7 },
        { "oo 3\n", -ENODATA, 7 },
        { "oom \n", -EINVAL, 7 },
        { "oom   \n3\n", -EINVAL, 7 },
        { "oom x\n", -EINVAL, 7 },
        { "oom -1\n", -EINVAL, 7 },
        { "oom 3x\n", -EINVAL, 7 },
        { "oom 18446744073709551616\n", -EINVAL, 7 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t number = 7;
        size_t size = strlen(cases[i].text);
        int r = text_find_number(at_the_edge(cases[i].text, size), size, "oom", &number);
        if (r != cases[i].result || number != cases[i].number)
            fail_msg("'%s': %d, %llu", cases[i].text, r, (unsigned long long)number);
    }
    uint64_t number;
    assert_int_equal(text_find_number(at_the_edge("a\0b 1\noom 3\n", 12), 12, "oom", &number), 0);
    assert_int_equal(number, 3);
}

static void numbers_are_taken_up_to_the_largest(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool taken;
        uint64_t number;
        size_t at;
    } cases[] = {
        { "0", true, 0, 1 },
        { "007 ", true, 7, 3 },
        { "18446744073709551615", true, UINT64_MAX, 20 },
        { "18446744073709551616", false, 1, 0 },
        { "99999999999999999999", false, 1, 0 },
        { "", false, 1, 0 },
        { "-1", false, 1, 0 },
        { " 1", false, 1, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t number = 1;
        size_t at = 0, size = strlen(cases[i].text);
        assert_int_equal(text_take_number(at_the_edge(cases[i].text, size), size, &at, &number), cases[i].taken);
        assert_int_equal(number, cases[i].number);
        assert_int_equal(at, cases[i].at);
    }
}

static int file_of(const char *text, size_t size)
{
    int fd = memfd_create("text", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    return fd;
}

/* The line lies at every place around the seam of two parts, and beyond. */
static void a_line_is_found_wherever_it_lies(void **state)
{
    (void)state;
    char text[4096];
    for (size_t before = 900; before < 2200; before++) {
        uint64_t number = 0;
        memset(text, '.', before);
        for (size_t i = 49; i < before; i += 50)
            text[i] = '\n';
        text[before - 1] = '\n';
        int size = snprintf(text + before, sizeof text - before, "inactive_file 1234567890\nslab 7\n");
        int fd = file_of(text, before + (size_t)size);
        assert_int_equal(text_read_number(fd, "inactive_file", &number), 0);
        assert_int_equal(number, 1234567890);
        assert_int_equal(text_read_number(fd, "slab", &number), 0);
        assert_int_equal(number, 7);
        assert_int_equal(text_read_number(fd, "file", &number), -ENODATA);
        (void)close(fd);
    }
}

static void a_file_without_the_line_ends_the_search(void **state)
{
    (void)state;
    uint64_t number = 7;
    char text[3000];
    memset(text, 'x', sizeof text);
    int fd = file_of(text, sizeof text); /* no line at all */
    assert_int_equal(text_read_number(fd, "x", &number), -EINVAL);
    (void)close(fd);
    fd = file_of("", 0);
    assert_int_equal(text_read_number(fd, "x", &number), -ENODATA);
    (void)close(fd);
    fd = file_of("y 1\nx 3", 7); /* cut short */
    assert_int_equal(text_read_number(fd, "x", &number), -ENODATA);
    (void)close(fd);
    assert_int_equal(text_read_number(fd, "x", &number), -EBADF);
    assert_int_equal(number, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_found_by_their_first_word),
        cmocka_unit_test(numbers_are_taken_up_to_the_largest),
        cmocka_unit_test(a_line_is_found_wherever_it_lies),
        cmocka_unit_test(a_file_without_the_line_ends_the_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
