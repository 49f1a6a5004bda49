/* Sizes, times, shares and signal names: tables of both spellings, and print-then-parse over many values. */
#include "config/units.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

enum { ROUNDS = 200000, UNTOUCHED = 4711 };

/* A fixed sequence: a failure can be repeated. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void bytes_are_powers_of_1024(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        { "0", 0 },
        { "1", 1 },
        { "4096", 4096 },
        { "64k", 64 * KIB },
        { "64K", 64 * KIB },
        { "512M", 512 * MIB },
        { "512m", 512 * MIB },
        { "512MB", 512 * MIB },
        { "512Mi", 512 * MIB },
        { "512MiB", 512 * MIB },
        { "512mb", 512 * MIB },
        { "1.5G", GIB + GIB / 2 },
        { "0.5K", 512 },
        { "0.000001T", 1099511 },
        { "1.1G", UINT64_C(1181116006) },
        { "16777215T", UINT64_C(16777215) * TIB },
        { "18446744073709551615", UINT64_MAX },
        { "0G", 0 },
        { "007M", 7 * MIB },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bytes = UNTOUCHED;
        if (units_parse_bytes(rows[i].text, &bytes) != 0 || bytes != rows[i].bytes)
            fail_msg("%s: %" PRIu64, rows[i].text, bytes);
    }
}

static void bad_bytes_are_refused_and_leave_the_result(void **state)
{
    static const char *const rows[] = { "",
                                        " ",
                                        "M",
                                        ".5G",
                                        "1.G",
                                        "1.",
                                        "1.5",
                                        "1,5G",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1 M",
                                        "51X2",
                                        "512MM",
                                        "512Mx",
                                        "512MiBB",
                                        "512iB",
                                        "0x10",
                                        "1e3",
                                        "80%",
                                        "1.5.5G",
                                        "nan",
                                        "inf",
                                        "0.0000001T",
                                        "0.0001K",
                                        "16777216T",
                                        "16777215.9999999T",
                                        "18446744073709551616",
                                        "18446744073709551615K",
                                        "99999999999999999999999999",
                                        "17179869184G",
                                        "1P",
                                        "16E" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bytes = UNTOUCHED;
        if (units_parse_bytes(rows[i], &bytes) != -1 || bytes != UNTOUCHED)
            fail_msg("'%s' was taken as %" PRIu64, rows[i], bytes);
    }
}

static void times_need_a_unit(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = { { "0", 0 },
                 { "200ms", 200 },
                 { "1.5s", 1500 },
                 { "10m", 600000 },
                 { "2h", 7200000 },
                 { "1d", 86400000 },
                 { "0.25m", 15000 },
                 { "1.000001d", 86400086 },
                 { "0ms", 0 },
                 { "0s", 0 },
                 { "0.001s", 1 },
                 { "1.5ms", 1 },
                 { "213503982334d", UINT64_C(213503982334) * 86400000 },
                 { "213503982334.6d", UINT64_C(213503982334) * 86400000 + 51840000 } };
    static const char *const bad[] = { "",
                                       "1",
                                       "10",
                                       "00.0",
                                       "s",
                                       "1 s",
                                       "1S",
                                       "1M",
                                       "1min",
                                       "ms",
                                       "-1s",
                                       "1.s",
                                       ".5s",
                                       "1sm",
                                       "1s ",
                                       "0.1ms",
                                       "1m30s",
                                       "1.5",
                                       "5%",
                                       "10k",
                                       "99999999999999999999s",
                                       "213503982335d",
                                       "213503982334.9d",
                                       "18446744073709551616ms" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t ms = UNTOUCHED;
        if (units_parse_ms(good[i].text, &ms) != 0 || ms != good[i].ms)
            fail_msg("%s: %" PRIu64, good[i].text, ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t ms = UNTOUCHED;
        if (units_parse_ms(bad[i], &ms) != -1 || ms != UNTOUCHED)
            fail_msg("'%s' was taken as %" PRIu64, bad[i], ms);
    }
}

static void shares_go_from_0_to_100_percent(void **state)
{
    static const struct {
        const char *text;
        uint32_t permyriad;
    } good[] = { { "0%", 0 },        { "5%", 500 },     { "80%", 8000 },     { "2.5%", 250 },    { "0.01%", 1 },
                 { "12.34%", 1234 }, { "100%", 10000 }, { "100.0%", 10000 }, { "99.99%", 9999 }, { "33.3333%", 3333 } };
    static const char *const bad[] = { "",
                                       "%",
                                       "80",
                                       "80 %",
                                       "101%",
                                       "100.01%",
                                       "100.001%",
                                       "-1%",
                                       "1%%",
                                       "1%x",
                                       "0.001%",
                                       ".5%",
                                       "5.%",
                                       "80percent",
                                       "1.5",
                                       "4294967297%",
                                       "18446744073709551616%",
                                       "%5" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint32_t permyriad = UNTOUCHED;
        if (units_parse_permyriad(good[i].text, &permyriad) != 0 || permyriad != good[i].permyriad)
            fail_msg("%s: %" PRIu32, good[i].text, permyriad);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint32_t permyriad = UNTOUCHED;
        if (units_parse_permyriad(bad[i], &permyriad) != -1 || permyriad != UNTOUCHED)
            fail_msg("'%s' was taken as %" PRIu32, bad[i], permyriad);
    }
}

static void counts_are_digits_only(void **state)
{
    static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1k", "18446744073709551616" };
    uint64_t count = 0;

    (void)state;
    assert_int_equal(units_parse_count("0", &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(units_parse_count("18446744073709551615", &count), 0);
    assert_true(count == UINT64_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        count = UNTOUCHED;
        if (units_parse_count(bad[i], &count) != -1 || count != UNTOUCHED)
            fail_msg("'%s' was taken as %" PRIu64, bad[i], count);
    }
}

static void signals_have_names_and_numbers(void **state)
{
    static const struct {
        const char *text;
        int number;
    } good[] = { { "TERM", SIGTERM },
                 { "SIGTERM", SIGTERM },
                 { "term", SIGTERM },
                 { "sigterm", SIGTERM },
                 { "SigTerm", SIGTERM },
                 { "15", 15 },
                 { "1", 1 },
                 { "64", 64 },
                 { "RTMIN", 34 },
                 { "SIGRTMIN", 34 },
                 { "RTMIN+3", 37 },
                 { "SIGRTMIN+30", 64 },
                 { "RTMAX", 64 },
                 { "SIGRTMAX-2", 62 },
                 { "rtmax-30", 34 },
                 { "IOT", SIGABRT },
                 { "CLD", SIGCHLD },
                 { "POLL", SIGIO },
                 { "WINCH", SIGWINCH },
                 { "33", 33 } };
    static const char *const bad[] = { "",
                                       "0",
                                       "65",
                                       "-1",
                                       "SIG",
                                       "SIG15",
                                       "TER",
                                       "TERMS",
                                       " TERM",
                                       "TERM ",
                                       "RTMIN+31",
                                       "RTMIN-1",
                                       "RTMAX+1",
                                       "RTMAX-31",
                                       "RTMIN+",
                                       "RTMIN3",
                                       "RTMIN++3",
                                       "RTMIN+ 3",
                                       "RTMIN+-3",
                                       "SIGSIGTERM",
                                       "none",
                                       "15TERM",
                                       "4294967311",
                                       "18446744073709551631",
                                       "RTMIN+18446744073709551616" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int number = 0;
        if (units_parse_signal(good[i].text, &number) != 0 || number != good[i].number)
            fail_msg("%s: %d", good[i].text, number);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int number = UNTOUCHED;
        if (units_parse_signal(bad[i], &number) != -1 || number != UNTOUCHED)
            fail_msg("'%s' was taken as %d", bad[i], number);
    }
}

static void every_signal_is_read_back(void **state)
{
    (void)state;
    for (int signal = 1; signal <= 64; signal++) {
        char text[32], full[48];
        int number = 0;
        units_print_signal(signal, text, sizeof text);
        assert_int_equal(units_parse_signal(text, &number), 0);
        assert_int_equal(number, signal);
        (void)snprintf(full, sizeof full, "SIG%s", text);
        if (signal != 32 && signal != 33) {
            assert_int_equal(units_parse_signal(full, &number), 0);
            assert_int_equal(number, signal);
        }
    }
}

static void what_is_no_signal_is_printed_as_its_number(void **state)
{
    char text[32];

    (void)state;
    units_print_signal(65, text, sizeof text);
    assert_string_equal(text, "65");
    units_print_signal(0, text, sizeof text);
    assert_string_equal(text, "0");
}

static void printed_sizes_and_times_are_exact(void **state)
{
    char text[32];

    (void)state;
    units_print_bytes(0, text, sizeof text);
    assert_string_equal(text, "0");
    units_print_bytes(512 * MIB, text, sizeof text);
    assert_string_equal(text, "512M");
    units_print_bytes(GIB + GIB / 2, text, sizeof text);
    assert_string_equal(text, "1536M");
    units_print_bytes(4097, text, sizeof text);
    assert_string_equal(text, "4097");
    units_print_bytes(UINT64_MAX, text, sizeof text);
    assert_string_equal(text, "18446744073709551615");
    units_print_ms(0, text, sizeof text);
    assert_string_equal(text, "0");
    units_print_ms(1500, text, sizeof text);
    assert_string_equal(text, "1500ms");
    units_print_ms(90000, text, sizeof text);
    assert_string_equal(text, "90s");
    units_print_ms(3600000, text, sizeof text);
    assert_string_equal(text, "1h");
    units_print_permyriad(250, text, sizeof text);
    assert_string_equal(text, "2.5%");
    units_print_permyriad(1, text, sizeof text);
    assert_string_equal(text, "0.01%");
    units_print_permyriad(1020, text, sizeof text);
    assert_string_equal(text, "10.2%");
    units_print_permyriad(10000, text, sizeof text);
    assert_string_equal(text, "100%");
}

static void what_is_printed_is_read_back(void **state)
{
    uint64_t seed = 88172645463325252U;
    char text[32];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const uint64_t random = next_random(&seed) >> (next_random(&seed) % 64);
        const uint64_t value = random << (next_random(&seed) % 4 * 10);
        uint64_t read = 0;
        units_print_bytes(value, text, sizeof text);
        if (units_parse_bytes(text, &read) != 0 || read != value)
            fail_msg("%" PRIu64 " bytes became %s", value, text);
        units_print_ms(value, text, sizeof text);
        if (units_parse_ms(text, &read) != 0 || read != value)
            fail_msg("%" PRIu64 " ms became %s", value, text);
    }
    for (uint32_t permyriad = 0; permyriad <= 10000; permyriad++) {
        uint32_t read = UNTOUCHED;
        units_print_permyriad(permyriad, text, sizeof text);
        if (units_parse_permyriad(text, &read) != 0 || read != permyriad)
            fail_msg("%" PRIu32 " permyriad became %s", permyriad, text);
    }
}

/* Whatever is typed: taken whole, and then what it means is printed and read back the same, or refused. */
static void mutations_are_refused_or_mean_themselves(void **state)
{
    static const char letters[] = "0123456789.%KMGTkmsdhiBb+- RTMINAXSG,:\x01\xff";
    uint64_t seed = 2463534242U;
    char text[16], printed[32];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const size_t length = next_random(&seed) % (sizeof text - 1);
        for (size_t j = 0; j < length; j++)
            text[j] = letters[next_random(&seed) % (sizeof letters - 1)];
        text[length] = '\0';
        uint64_t number = UNTOUCHED, again = 0;
        uint32_t permyriad = UNTOUCHED, permyriad_again = 0;
        int signal = UNTOUCHED, signal_again = 0;
        if (units_parse_bytes(text, &number) == 0) {
            units_print_bytes(number, printed, sizeof printed);
            assert_int_equal(units_parse_bytes(printed, &again), 0);
            assert_true(again == number);
        } else {
            assert_true(number == UNTOUCHED);
        }
        number = UNTOUCHED;
        if (units_parse_ms(text, &number) == 0) {
            units_print_ms(number, printed, sizeof printed);
            assert_int_equal(units_parse_ms(printed, &again), 0);
            assert_true(again == number);
        } else {
            assert_true(number == UNTOUCHED);
        }
        if (units_parse_permyriad(text, &permyriad) == 0) {
            assert_true(permyriad <= 10000);
            units_print_permyriad(permyriad, printed, sizeof printed);
            assert_int_equal(units_parse_permyriad(printed, &permyriad_again), 0);
            assert_true(permyriad_again == permyriad);
        }
        if (units_parse_signal(text, &signal) == 0) {
            assert_in_range(signal, 1, 64);
            units_print_signal(signal, printed, sizeof printed);
            assert_int_equal(units_parse_signal(printed, &signal_again), 0);
            assert_int_equal(signal_again, signal);
        }
    }
}

/* No strict prefix of a spelling may mean the same as the whole, and nothing may stand behind it. */
static void prefixes_and_suffixes_change_the_meaning(void **state)
{
    static const char *const sizes[] = { "512M", "1.5G", "64K", "3T", "4096" };
    static const char junk[] = "x!.,%\x7f ";
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t whole = 0, part = 0;
        assert_int_equal(units_parse_bytes(sizes[i], &whole), 0);
        for (size_t length = 0; length < strlen(sizes[i]); length++) {
            (void)snprintf(text, sizeof text, "%.*s", (int)length, sizes[i]);
            if (units_parse_bytes(text, &part) == 0 && part == whole)
                fail_msg("'%s' means the same as '%s'", text, sizes[i]);
        }
        for (size_t j = 0; j < sizeof junk - 1; j++) {
            (void)snprintf(text, sizeof text, "%s%c", sizes[i], junk[j]);
            if (units_parse_bytes(text, &part) == 0)
                fail_msg("'%s' was taken", text);
            (void)snprintf(text, sizeof text, "%c%s", junk[j], sizes[i]);
            if (units_parse_bytes(text, &part) == 0)
                fail_msg("'%s' was taken", text);
        }
    }
}

static void a_short_buffer_is_not_overrun(void **state)
{
    char text[4] = { 'a', 'b', 'c', 'd' };

    (void)state;
    units_print_bytes(UINT64_MAX, text, 3);
    assert_string_equal(text, "18");
    assert_int_equal(text[3], 'd');
    units_print_signal(40, text, 3);
    assert_string_equal(text, "RT");
    assert_int_equal(text[3], 'd');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_powers_of_1024),
        cmocka_unit_test(bad_bytes_are_refused_and_leave_the_result),
        cmocka_unit_test(times_need_a_unit),
        cmocka_unit_test(shares_go_from_0_to_100_percent),
        cmocka_unit_test(counts_are_digits_only),
        cmocka_unit_test(signals_have_names_and_numbers),
        cmocka_unit_test(every_signal_is_read_back),
        cmocka_unit_test(what_is_no_signal_is_printed_as_its_number),
        cmocka_unit_test(printed_sizes_and_times_are_exact),
        cmocka_unit_test(what_is_printed_is_read_back),
        cmocka_unit_test(mutations_are_refused_or_mean_themselves),
        cmocka_unit_test(prefixes_and_suffixes_change_the_meaning),
        cmocka_unit_test(a_short_buffer_is_not_overrun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
