#include "policy/trend.h"

#include "cmocka_all.h"

#define MIB(n) ((uint64_t)(n) << 20)

static struct slope line(const uint64_t *mib, unsigned count, uint64_t step_ms)
{
    struct slope slope;
    slope_reset(&slope);
    for (unsigned i = 0; i < count; i++)
        slope_add(&slope, MIB(mib[i]), 1000 + i * step_ms);
    return slope;
}

#define LINE(step_ms, ...)                                                                                             \
    line((const uint64_t[]){ __VA_ARGS__ }, sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t), step_ms)

static void a_straight_line_has_its_rate(void **state)
{
    (void)state;
    struct slope slope = LINE(1000, 100, 101, 102, 103);
    assert_true(slope_rate(&slope) == MIB(1));
    slope = LINE(500, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12); /* the ring has gone round */
    assert_true(slope_rate(&slope) == MIB(2));
    assert_true(slope_grown(&slope) == MIB(7));
    assert_true(slope_is_steady(&slope));
}

static void too_few_samples_tell_nothing(void **state)
{
    (void)state;
    struct slope slope = LINE(1000, 100, 200, 300);
    assert_true(slope_rate(&slope) == 0);
    slope = LINE(1000, 1, 2, 3, 4, 5, 6, 7);
    assert_false(slope_is_steady(&slope));
}

static void two_wild_samples_of_eight_change_little(void **state)
{
    (void)state;
    struct slope slope = LINE(1000, 100, 101, 5000, 103, 104, 0, 106, 107);
    assert_in_range(slope_rate(&slope), MIB(1) / 2, MIB(3) / 2);
    assert_false(slope_is_steady(&slope));
}

static void what_shrinks_or_stands_has_no_rate(void **state)
{
    (void)state;
    struct slope slope = LINE(1000, 107, 106, 105, 104, 103, 102, 101, 100);
    assert_true(slope_rate(&slope) == 0);
    assert_true(slope_grown(&slope) == 0);
    slope = LINE(1000, 100, 100, 100, 100);
    assert_true(slope_rate(&slope) == 0);
    slope = LINE(0, 1, 2, 3, 4); /* a clock that stands still */
    assert_true(slope_rate(&slope) == 0);
}

static void wild_sizes_do_not_overflow(void **state)
{
    (void)state;
    struct slope slope;
    slope_reset(&slope);
    for (unsigned i = 0; i < SLOPE_POINTS; i++)
        slope_add(&slope, i % 2 == 0 ? 0 : UINT64_MAX, UINT32_MAX - 2 + i); /* the time wraps, too */
    assert_true(slope_rate(&slope) < UINT64_MAX / 2);
}

static void the_time_to_a_line(void **state)
{
    (void)state;
    assert_true(trend_eta_ms(MIB(100), MIB(100), 0) == 0);
    assert_true(trend_eta_ms(MIB(101), MIB(100), MIB(1)) == 0);
    assert_true(trend_eta_ms(MIB(99), MIB(100), 0) == TREND_NEVER);
    assert_true(trend_eta_ms(MIB(40), MIB(100), MIB(1)) == 60000);
    assert_true(trend_eta_ms(0, 3, 2) == 1500);
    assert_true(trend_eta_ms(0, UINT64_MAX - 1, 1) == TREND_NEVER);
}

/* Periods of FLOORS_PERIOD_MS with these floors; in each there is a spike, too. */
static struct floors floors_of(const uint64_t *mib, unsigned count)
{
    struct floors floors;
    floors_reset(&floors);
    for (unsigned i = 0; i < count; i++) {
        uint64_t begin_ms = 1000 + (uint64_t)i * FLOORS_PERIOD_MS;
        (void)floors_add(&floors, MIB(mib[i] + 500), begin_ms);
        (void)floors_add(&floors, MIB(mib[i]), begin_ms + FLOORS_PERIOD_MS / 2);
        (void)floors_add(&floors, MIB(mib[i] + 900), begin_ms + FLOORS_PERIOD_MS - 1);
    }
    return floors;
}

#define FLOORS(...)                                                                                                    \
    floors_of((const uint64_t[]){ __VA_ARGS__ }, sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static void a_leak_rises_through_spikes(void **state)
{
    (void)state;
    struct floors floors = FLOORS(100, 110, 120, 130, 140, 150, 160, 170);
    assert_int_equal(floors_shape(&floors), TREND_RISING);
    floors = FLOORS(100, 110, 120, 130, 140, 150); /* the last one is open */
    assert_int_equal(floors_shape(&floors), TREND_UNKNOWN);
}

static void a_cache_that_fills_is_flat(void **state)
{
    (void)state;
    struct floors floors = FLOORS(100, 200, 260, 290, 300, 304, 305, 305, 305, 305);
    assert_int_equal(floors_shape(&floors), TREND_FLAT);
}

static void a_slow_start_is_flat(void **state)
{
    (void)state;
    struct floors floors = FLOORS(20, 90, 160, 200, 200, 201, 200, 201, 200, 201);
    assert_int_equal(floors_shape(&floors), TREND_FLAT);
}

static void noise_is_flat(void **state)
{
    (void)state;
    struct floors floors = FLOORS(100, 120, 90, 130, 95, 125, 100, 118, 99, 121);
    assert_int_equal(floors_shape(&floors), TREND_FLAT);
    floors = FLOORS(1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007); /* rising, but by nothing much */
    assert_int_equal(floors_shape(&floors), TREND_FLAT);
}

static void a_life_of_days_is_seen_whole(void **state)
{
    (void)state;
    struct floors floors;
    floors_reset(&floors);
    for (uint64_t s = 0; s < 5 * 86400; s += 10)
        (void)floors_add(&floors, MIB(100) + s * 1024, 1000 + s * 1000);
    assert_int_equal(floors_shape(&floors), TREND_RISING);
    assert_in_range(floors.count, FLOORS_MAX / 2, FLOORS_MAX);
    for (uint64_t s = 5 * 86400; s < 30 * 86400; s += 10) /* and that it stopped */
        (void)floors_add(&floors, MIB(100) + 5 * 86400 * 1024, 1000 + s * 1000);
    assert_int_equal(floors_shape(&floors), TREND_FLAT);
}

static void a_period_ends_once(void **state)
{
    (void)state;
    struct floors floors;
    floors_reset(&floors);
    assert_false(floors_add(&floors, MIB(10), 1000));
    assert_false(floors_add(&floors, MIB(9), 1000 + FLOORS_PERIOD_MS - 1));
    assert_true(floors_add(&floors, MIB(11), 1000 + FLOORS_PERIOD_MS));
    assert_int_equal(floors.kib[0], MIB(9) >> 10);
    assert_true(floors_add(&floors, MIB(12), UINT64_MAX / 2)); /* the clock leapt */
    assert_int_equal(floors.count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_straight_line_has_its_rate),
        cmocka_unit_test(too_few_samples_tell_nothing),
        cmocka_unit_test(two_wild_samples_of_eight_change_little),
        cmocka_unit_test(what_shrinks_or_stands_has_no_rate),
        cmocka_unit_test(wild_sizes_do_not_overflow),
        cmocka_unit_test(the_time_to_a_line),
        cmocka_unit_test(a_leak_rises_through_spikes),
        cmocka_unit_test(a_cache_that_fills_is_flat),
        cmocka_unit_test(a_slow_start_is_flat),
        cmocka_unit_test(noise_is_flat),
        cmocka_unit_test(a_life_of_days_is_seen_whole),
        cmocka_unit_test(a_period_ends_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
