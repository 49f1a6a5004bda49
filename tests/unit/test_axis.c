/* Ticks of a plot and quantities for people: round, few, and exact where they say so. */
#include "ctl/axis.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/format.h"

#define MIB   (1024.0 * 1024.0)
#define DAY   UINT64_C(86400000)
#define HOUR  UINT64_C(3600000)
#define TICKS 8

static void steps_of_bytes_are_powers_of_two_and_few(void **state)
{
    (void)state;
    assert_true(axis_bytes_step(800 * MIB, TICKS) == 128 * MIB);
    assert_true(axis_bytes_step(1024 * MIB, TICKS) == 128 * MIB);
    assert_true(axis_bytes_step(1025 * MIB, TICKS) == 256 * MIB);
    for (double max = 1; max < 9e18; max *= 1.7) {
        double step = axis_bytes_step(max, TICKS);
        assert_true(step * TICKS >= max && (step == 1 || step / 2 * TICKS < max));
    }
}

static void steps_of_time_are_round_and_few(void **state)
{
    static const struct {
        uint64_t span_ms, step_ms;
    } rows[] = { { 0, 1000 },          { 7800, 1000 },          { 11000, 2000 },        { 600000, 60000 },
                 { HOUR, 600000 },     { 24 * HOUR, 3 * HOUR }, { 5 * DAY, 12 * HOUR }, { 10 * DAY, DAY },
                 { 30 * DAY, 4 * DAY } };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t step_ms = axis_time_step_ms(rows[i].span_ms, 10);
        if (step_ms != rows[i].step_ms)
            fail_msg("%" PRIu64 ": %" PRIu64, rows[i].span_ms, step_ms);
    }
    for (uint64_t span_ms = 1; span_ms < UINT64_C(1) << 53; span_ms += span_ms / 3 + 1)
        assert_true(span_ms / axis_time_step_ms(span_ms, 10) <= 10);
}

static void ticks_of_time_are_written_in_their_unit(void **state)
{
    char text[FORMAT_MAX];
    (void)state;
    axis_print_time(90000, 30000, text, sizeof text);
    assert_string_equal(text, "1:30");
    assert_string_equal(axis_time_unit(30000), "minutes:seconds");
    axis_print_time(90 * 60000, 30 * 60000, text, sizeof text);
    assert_string_equal(text, "1:30");
    assert_string_equal(axis_time_unit(30 * 60000), "hours:minutes");
    axis_print_time(3 * DAY, DAY, text, sizeof text);
    assert_string_equal(text, "3");
    assert_string_equal(axis_time_unit(DAY), "days");
}

static void quantities_are_short(void **state)
{
    static const struct {
        double bytes;
        const char *text;
    } sizes[] = { { 0, "0" },
                  { 1, "1B" },
                  { 1023, "1023B" },
                  { 1024, "1K" },
                  { 1.5 * MIB, "1.5M" },
                  { 612.4 * MIB, "612M" },
                  { 1280 * MIB, "1.25G" },
                  { 9.3e18, "8.07E" } };
    char text[FORMAT_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        format_bytes(sizes[i].bytes, text);
        assert_string_equal(text, sizes[i].text);
    }
    format_span(3723999, text);
    assert_string_equal(text, "1:02:03");
    format_span(UINT64_MAX, text);
    assert_string_equal(text, "5124095576030:25:51");
    format_moment(3723045, text);
    assert_string_equal(text, "1:02:03.045");
    format_utc(INT64_C(1764000000123), text);
    assert_string_equal(text, "2025-11-24T16:00:00.123Z");
    format_utc(INT64_C(253402300799999), text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    format_clean("a\n\x1b\xff~b", text, 6);
    assert_string_equal(text, "a???~");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_bytes_are_powers_of_two_and_few),
        cmocka_unit_test(steps_of_time_are_round_and_few),
        cmocka_unit_test(ticks_of_time_are_written_in_their_unit),
        cmocka_unit_test(quantities_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
