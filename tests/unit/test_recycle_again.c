/* After a recycle for the container's sake: what is growth again, and what is a cache that fills. */
#include "container_story.h"

/* After one was recycled for the container, its replacement may fill what it left. */
static void growth_is_judged_from_the_last_recycle_on(void **state)
{
    (void)state;
    static const struct {
        uint64_t ago_ms, recycled_mib, used_bytes;
        enum fleet_action want;
    } rows[] = {
        { FLEET_AGAIN_MS - 1, 860, MIB(880) - 1, FLEET_NONE }, /* 20 MiB more are growth */
        { FLEET_AGAIN_MS - 1, 860, MIB(880), FLEET_MEASURE },
        { FLEET_AGAIN_MS, 860, MIB(860), FLEET_MEASURE }, /* long ago */
        { 1000, 965, MIB(970) - 1, FLEET_NONE },
        { 1000, 965, MIB(970), FLEET_MEASURE }, /* full */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        over();
        fleet.now_ms = 10000000;
        fleet.container.recycled_ms = fleet.now_ms - rows[i].ago_ms;
        fleet.container.recycled_bytes = MIB(rows[i].recycled_mib);
        fleet.container.used_bytes = rows[i].used_bytes;
        assert_int_equal(recycle_next(&fleet).action, rows[i].want);
    }
    for (unsigned recycled_ms = 0; recycled_ms < 2; recycled_ms++) { /* 0: never */
        over();
        fleet.container.recycled_ms = recycled_ms;
        fleet.container.recycled_bytes = MIB(965);
        assert_int_equal(recycle_next(&fleet).action, recycled_ms == 0 ? FLEET_MEASURE : FLEET_NONE);
    }
    over();
    fleet.next_measure_ms = 200000;
    for (unsigned slot = 1; slot < 4; slot++)
        measure(slot, MIB(100 * slot), 100000);
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    assert_int_equal(fleet.container.recycled_ms, 100000);
    assert_true(fleet.container.recycled_bytes == MIB(900));
    over();
    fleet.now_ms = fleet.config.min_age_ms = 0;
    fleet.measures = FLEET_MEASURE_CANDIDATES;
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    assert_int_equal(fleet.container.recycled_ms, 1); /* 0 would mean never */
}

static void rise(struct slope *slope, uint64_t step_bytes)
{
    slope_reset(slope);
    for (unsigned i = 0; i < SLOPE_POINTS; i++)
        slope_add(slope, MIB(100) + step_bytes * i, i * 1000);
}

/* It is growth, too, when those grow that were there before. */
static void an_old_process_that_grows_is_growth(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        over();
        fleet.now_ms = 10000000;
        fleet.container.recycled_ms = 9900000;
        fleet.container.recycled_bytes = MIB(900);
        fleet.process[1].born_ms = i == 1 ? 9900000 : 9899999; /* 1: it came afterwards */
        fleet.process[1].seen_look -= i == 2;
        rise(&fleet.container.slope, MIB(1));
        rise(&fleet.process[1].slope, i == 3 ? MIB(1) / 4 - 1024 : MIB(1) / 4); /* 3: less than a quarter of it */
        if (i == 4) {
            slope_reset(&fleet.container.slope);
            slope_reset(&fleet.process[1].slope);
        }
        assert_int_equal(recycle_next(&fleet).action, i == 0 ? FLEET_MEASURE : FLEET_NONE);
    }
}

/* The first of the table as well, by however little; what is behind the last one does not count. */
static void all_old_processes_are_looked_at(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        over();
        (void)fleet_appear(&fleet, FLEET_WORKER, 40, true, 0, 0);
        fleet.process[4] = fleet.process[FLEET_WORKER];
        all_seen();
        fleet.process[4].seen_look = fleet.look;
        fleet.container.recycled_ms = 99000;
        fleet.container.recycled_bytes = MIB(900);
        for (unsigned j = 0; j < SLOPE_POINTS; j++) { /* 256 bytes a second */
            slope_add(&fleet.container.slope, MIB(100) + j * 1024, j * 4000);
            if (i > 0)
                slope_add(&fleet.process[i == 1 ? FLEET_WORKER : 4].slope, MIB(100) + j * 1024, j * 4000);
        }
        assert_int_equal(recycle_next(&fleet).action, i == 1 ? FLEET_MEASURE : FLEET_NONE);
    }
}

/* 300 KiB a second, of which nothing but the rest of the room makes a case. */
static void in_a_full_container_any_steady_growth_counts(void **state)
{
    (void)state;
    for (unsigned full = 0; full < 2; full++) {
        over();
        fleet.container.shape = TREND_FLAT;
        fleet.container.used_bytes = MIB(970) - !full;
        fleet.measures = FLEET_MEASURE_CANDIDATES;
        rise(&fleet.container.slope, 300 << 10);
        assert_int_equal(recycle_next(&fleet).action, full ? FLEET_RECYCLE : FLEET_NONE);
    }
}

/* Before a trim was tried one is recycled only if there is no time to see what it does, twice over. */
static void a_trim_that_would_come_too_late_is_not_waited_for(void **state)
{
    (void)state;
    for (uint64_t eta_ms = 3999; eta_ms <= 4003; eta_ms++) {
        over();
        fleet.config.settle_ms = 2000;
        fleet.container.tried = false;
        fleet.measures = FLEET_MEASURE_CANDIDATES;
        rise(&fleet.container.slope, 1000 << 10); /* 1024 bytes a millisecond */
        fleet.container.used_bytes = MIB(1000) - 1024 * eta_ms;
        assert_int_equal(fleet_eta_ms(&fleet), eta_ms);
        assert_int_equal(recycle_next(&fleet).action, eta_ms <= 4001 ? FLEET_RECYCLE : FLEET_NONE);
    }
    over();
    fleet.config.settle_ms = 2000;
    fleet.container.tried = false;
    fleet.container.used_bytes = MIB(999);
    for (unsigned i = 0; i < SLOPE_POINTS_MIN; i++) /* too few to be sure */
        slope_add(&fleet.container.slope, MIB(100 + i), i * 1000);
    assert_int_equal(fleet_eta_ms(&fleet), 1000);
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_is_judged_from_the_last_recycle_on),
        cmocka_unit_test(an_old_process_that_grows_is_growth),
        cmocka_unit_test(all_old_processes_are_looked_at),
        cmocka_unit_test(in_a_full_container_any_steady_growth_counts),
        cmocka_unit_test(a_trim_that_would_come_too_late_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
