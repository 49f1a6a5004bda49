/* Texts of /proc: well formed, cut anywhere, hostile and random. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "edge.h"
#include "os/process.h"

#define TAIL " 10 10 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 777 2662400 200 18446744073709551615\n"

static void stat_line_is_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
        char state;
    } good[] = {
        { "41 (gunicorn) S 7" TAIL, "gunicorn", 'S' },     { "41 (a) R 1) S 7" TAIL, "a) R 1", 'S' },
        { "41 (a\nb (c)) Z 7" TAIL, "a\nb (c)", 'Z' },     { "41 () T 7" TAIL, "", 'T' },
        { "41 ()) R 1 1 1) D 7" TAIL, ")) R 1 1 1", 'D' }, { "41 (\xff\x80 x) S 7" TAIL, "\xff\x80 x", 'S' },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct process_stat stat;
        size_t size = strlen(good[i].text);
        assert_int_equal(process_parse_stat(at_the_edge(good[i].text, size), size, &stat), 0);
        assert_int_equal(stat.pid, 41);
        assert_int_equal(stat.parent, 7);
        assert_int_equal(stat.state, good[i].state);
        assert_int_equal(stat.start_ticks, 777);
        assert_string_equal(stat.name, good[i].name);
    }
}

static void stat_line_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static const char text[] = "41 (gunicorn) S 7" TAIL;
    size_t whole = (size_t)(strstr(text, " 777 ") - text) + 5; /* the start time and the blank that ends it */
    for (size_t size = 0; size < sizeof text; size++) {
        struct process_stat stat = { .pid = -7 };
        int r = process_parse_stat(at_the_edge(text, size), size, &stat);
        assert_int_equal(r, size >= whole ? 0 : -EINVAL);
        if (r < 0)
            assert_int_equal(stat.pid, -7); /* nothing is left behind by a failure */
    }
}

static void malformed_stat_lines_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ")",
        "()",
        "(x) S 7" TAIL,
        "-1 (x) S 7" TAIL,
        "41(x) S 7" TAIL,
        "41 x) S 7" TAIL,
        "41 (x S 7 10 10 0",
        "41 (x)S 7" TAIL,
        "41 (x) S -7" TAIL,
        "41 (x) S 99999999999" TAIL,
        "99999999999 (x) S 7" TAIL,
        "41 (x) S 7 10  10 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 777 1\n",
        "41 (x) S 7 10 10 0 - 4194560 100 0 0 0 1 2 0 0 20 0 1 0 777 1\n",
        "41 (x) S 7 10 10 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 -777 1\n",
        "41 (x) S 7 10 10 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 18446744073709551616 1\n",
        "41 (x) S 7 10 10 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 777x\n",
    };
    struct process_stat stat;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(process_parse_stat(at_the_edge(bad[i], strlen(bad[i])), strlen(bad[i]), &stat), -EINVAL);
    assert_int_equal(process_parse_stat("41 (x\0) S 7" TAIL, sizeof "41 (x\0) S 7" TAIL - 1, &stat), 0);
}

static void long_names_are_cut(void **state)
{
    (void)state;
    char text[400], name[101];
    memset(name, 'n', 100);
    name[100] = '\0';
    int size = snprintf(text, sizeof text, "41 (%s) S 7%s", name, TAIL);
    struct process_stat stat;
    assert_int_equal(process_parse_stat(text, (size_t)size, &stat), 0);
    assert_int_equal(strlen(stat.name), PROCESS_NAME_MAX - 1);
    assert_int_equal(stat.parent, 7);
}

static void statm_is_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint64_t pages;
    } cases[] = {
        { "2545 312 289 5 0 100 0\n", 0, 312 },
        { "0 0 0 0 0 0 0\n", 0, 0 },
        { "18446744073709551615 18446744073709551615 ", 0, UINT64_MAX },
        { "1 18446744073709551616 1", -EINVAL, 0 },
        { "1 99999999999999999999999 1", -EINVAL, 0 },
        { "", -EINVAL, 0 },
        { "2545", -EINVAL, 0 },
        { "2545 ", -EINVAL, 0 },
        { "2545 312", -EINVAL, 0 }, /* it may have been cut */
        { " 312 1", -EINVAL, 0 },
        { "2545  312 1", -EINVAL, 0 },
        { "2545 -312 1", -EINVAL, 0 },
        { "2545 3x2 1", -EINVAL, 0 },
        { "2545\n312 1", -EINVAL, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].text);
        uint64_t pages = 0;
        assert_int_equal(process_parse_statm(at_the_edge(cases[i].text, size), size, &pages), cases[i].result);
        assert_int_equal(pages, cases[i].pages);
    }
}

static void caught_mask_is_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint64_t mask;
    } cases[] = {
        { "Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t0000000180014a07\nCapInh:\t0\n", 0, 0x180014a07 },
        { "\nSigCgt:\tffffffffffffffff\n", 0, UINT64_MAX },
        { "\nSigCgt:\t00000000\n", 0, 0 },
        { "", -EINVAL, 0 },
        { "SigCgt:\t0000000000000001\n", -EINVAL, 0 },        /* never the first line */
        { "Name:\tSigCgt:\t0000000000000001\n", -EINVAL, 0 }, /* a name is no label */
        { "\nSigCgt:\t0000000000000001", -EINVAL, 0 },        /* it may have been cut */
        { "\nSigCgt:\t00000000000000001\n", -EINVAL, 0 },
        { "\nSigCgt:\t\n", -EINVAL, 0 },
        { "\nSigCgt:\t", -EINVAL, 0 },
        { "\nSigCgt:\t000000000000000g\n", -EINVAL, 0 },
        { "\nSigCgt: 0000000000000001\n", -EINVAL, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].text);
        uint64_t mask = 0;
        assert_int_equal(process_parse_mask(at_the_edge(cases[i].text, size), size, PROCESS_CAUGHT, &mask),
                         cases[i].result);
        assert_int_equal(mask, cases[i].mask);
    }
}

static void generation_is_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint64_t generation;
    } cases[] = {
        { "0.00 0.01 0.05 1/123 4567\n", 0, 4567 },
        { "0.00 0.01 0.05 1/123 4567", -EINVAL, 0 },
        { "0.00 0.01 0.05 1/123 \n", -EINVAL, 0 },
        { "0.00 0.01 0.05 1/123 -1\n", -EINVAL, 0 },
        { "4567\n", -EINVAL, 0 },
        { "", -EINVAL, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].text);
        uint64_t generation = 0;
        assert_int_equal(process_parse_generation(at_the_edge(cases[i].text, size), size, &generation),
                         cases[i].result);
        assert_int_equal(generation, cases[i].generation);
    }
}

/* Any bytes: no fault, and success only with what such a text can say. */
static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789 ()\n\tSigCgt:abcdef-\0\xff";
    unsigned seed = 1;
    for (int round = 0; round < 200000; round++) {
        char text[96];
        size_t size = (seed >> 16) % sizeof text;
        for (size_t i = 0; i < size; i++) {
            seed = seed * 1103515245u + 12345u;
            text[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        seed = seed * 1103515245u + 12345u;
        const char *edge = at_the_edge(text, size);
        struct process_stat stat;
        uint64_t number;
        (void)process_parse_stat(edge, size, &stat);
        (void)process_parse_statm(edge, size, &number);
        (void)process_parse_mask(edge, size, PROCESS_CAUGHT, &number);
        (void)process_parse_mask(edge, size, PROCESS_BLOCKED, &number);
        (void)process_parse_generation(edge, size, &number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_line_is_parsed),
        cmocka_unit_test(stat_line_cut_anywhere_is_refused),
        cmocka_unit_test(malformed_stat_lines_are_refused),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(statm_is_parsed),
        cmocka_unit_test(caught_mask_is_parsed),
        cmocka_unit_test(generation_is_parsed),
        cmocka_unit_test(random_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
