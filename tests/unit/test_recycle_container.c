/* The container's part of fleet.c and recycle.c, step by step: its lines, its pace, who goes for it, and who is
 * measured before. */
#include "container_story.h"

/* ---- the course of a look ---- */

static struct fleet_decision end(uint64_t now_ms, uint64_t limit_bytes, uint64_t used_bytes)
{
    fleet_look_begin(&fleet, limit_bytes, used_bytes, now_ms);
    fleet.next_look_ms = UINT64_MAX;
    return fleet_look_end(&fleet);
}

static void the_container_is_noted_once_a_look(void **state)
{
    (void)state;
    begin(&base, 0);
    for (unsigned i = 1; i <= 2; i++) {
        (void)end(i * FLOORS_PERIOD_MS, MIB(1000), MIB(10 * i));
        assert_true(fleet.ending);
        assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
        assert_int_equal(fleet.container.slope.count, i);
        assert_int_equal(fleet.container.floors.count, i);
    }
    for (unsigned i = 3; i <= 2 + FLOORS_MIN; i++)
        (void)end((uint64_t)i * FLOORS_PERIOD_MS, MIB(1000), MIB(10 * i));
    assert_int_equal(fleet.container.shape, TREND_RISING);
}

static void its_lines_are_looked_at_in_time(void **state)
{
    (void)state;
    struct fleet_config config = base;
    const uint64_t per_ms = FLEET_RATE_MIN / 1000;
    config.can_trim = true;
    begin(&config, 0);
    (void)end(1000, MIB(1000), 0);
    assert_int_equal(fleet.next_look_ms, 1000 + MIB(700) / per_ms / 2);
    fleet.config.can_trim = false;
    (void)end(1000, MIB(1000), 0);
    assert_int_equal(fleet.next_look_ms, 1000 + MIB(850) / per_ms / 2);
    fleet.config.container_recycle_at.bytes = 0;
    (void)end(1000, MIB(1000), 0);
    assert_true(fleet.next_look_ms == UINT64_MAX);
    fleet.config.can_trim = true;
    fleet.config.container_trim_at.bytes = 1;
    (void)end(1000, MIB(1000), 0);
    assert_int_equal(fleet.next_look_ms, 1000 + fleet.pace_ms);
}

static void samples_over_its_line_are_counted_in_a_row(void **state)
{
    (void)state;
    begin(&base, 0);
    (void)end(1000, MIB(1000), MIB(850));
    (void)end(2000, MIB(1000), MIB(850));
    assert_int_equal(fleet.container.over, 2);
    assert_int_equal(fleet.next_look_ms, 2000 + fleet.pace_ms);
    fleet.container.tried = fleet.container.helpless = true;
    (void)end(3000, MIB(1000), MIB(850));
    assert_true(fleet.container.helpless);
    fleet.config.can_trim = true;
    (void)end(4000, MIB(1000), MIB(850) - 1);
    assert_int_equal(fleet.container.over, 0);
    assert_false(fleet.container.helpless);
    assert_true(fleet.container.tried); /* nobody is there to be trimmed */
    fleet.config.container_trim_at.bytes = 0;
    (void)end(5000, MIB(1000), MIB(850) - 1);
    assert_false(fleet.container.tried);
    fleet.container.over = 2;
    fleet.config.container_recycle_at.bytes = 1; /* the lowest line */
    (void)end(6000, MIB(1000), 0);
    assert_int_equal(fleet.container.over, 0);
}

static void the_sum_stands_in(void **state)
{
    (void)state;
    begin(&base, 2);
    fleet_look_begin(&fleet, MIB(1000), FLEET_UNKNOWN, 1000);
    (void)fleet_sample(&fleet, 1, MIB(400), FLEET_UNKNOWN);
    (void)fleet_sample(&fleet, 2, MIB(450), FLEET_UNKNOWN);
    (void)fleet_look_end(&fleet);
    assert_true(fleet.container.used_bytes == MIB(850));
    assert_int_equal(fleet.container.over, 1);
}

/* Half of the time to the limit, shared out among the samples that are needed. */
static void the_pace_quickens_as_the_limit_comes_near(void **state)
{
    static const struct {
        uint64_t used_bytes, rate, pace_ms;
        uint32_t samples;
    } rows[] = {
        { 0, 0, 1000, 3 },               /* never */
        { 1000000, 5, 1000, 3 },         /* there already */
        { 1000000 - 10, 10000, 100, 3 }, /* 1 ms */
        { 1000000 - 160, 100, 100, 3 },  /* 1600 ms for the eight of a steady slope */
        { 1000000 - 162, 100, 101, 3 },
        { 1000000 - 1598, 100, 998, 3 },
        { 1000000 - 1600, 100, 1000, 3 },
        { 1000000 - 1700, 100, 1000, 3 },
        { 1000000 - 160, 100, 100, SLOPE_POINTS - 1 },
        { 1000000 - 360, 100, 200, SLOPE_POINTS }, /* 3600 ms for nine */
        { 1000000 - 400, 100, 200, SLOPE_POINTS + 1 },
    };

    (void)state;
    begin(&base, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fleet.config.samples = rows[i].samples;
        fleet_look_begin(&fleet, 1000000, rows[i].used_bytes, 1000 * i);
        fleet.sum_rate = rows[i].rate;
        fleet.pace_ms = 77;
        (void)fleet_look_end(&fleet);
        assert_int_equal(fleet.pace_ms, rows[i].pace_ms);
    }
}

/* ---- who goes ---- */

static void whose_end_frees_most_goes(void **state)
{
    (void)state;
    over();
    struct fleet_decision decision = recycle_next(&fleet);
    assert_int_equal(decision.action, FLEET_MEASURE);
    assert_int_equal(decision.reason, FLEET_REASON_CONTAINER);
    assert_int_equal(decision.slot, 3);
    assert_int_equal(fleet.measures, 1);
    measure(3, MIB(150), 100000);
    assert_int_equal(recycle_next(&fleet).slot, 2);
    measure(2, MIB(150), 100000);
    decision = recycle_next(&fleet); /* of equals the first, and they are measured */
    assert_int_equal(decision.action, FLEET_RECYCLE);
    assert_int_equal(decision.reason, FLEET_REASON_CONTAINER);
    assert_int_equal(decision.slot, 2);
    assert_true(decision.rss_bytes == MIB(200) && decision.at_bytes == MIB(850) && decision.used_bytes == MIB(900));
    assert_int_equal(fleet.container.over, 0);
    assert_false(fleet.container.tried);
    assert_int_equal(fleet.next_recycle_ms, 130000);
}

static void a_measure_is_good_for_a_minute(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        over();
        measure(3, MIB(250), 100000 - FLEET_MEASURE_FRESH_MS - late);
        const struct fleet_decision decision = recycle_next(&fleet);
        assert_int_equal(decision.action, late ? FLEET_MEASURE : FLEET_RECYCLE);
        assert_int_equal(decision.slot, 3);
    }
    over();
    measure(3, MIB(90), 100000 - FLEET_MEASURE_FRESH_MS); /* still known: it would free little */
    measure(2, MIB(190), 100000);
    assert_int_equal(recycle_next(&fleet).slot, 2);
    over();
    measure(3, MIB(90), 100000 - FLEET_MEASURE_FRESH_MS - 1); /* no longer: its RSS it is */
    measure(2, MIB(190), 100000);
    assert_int_equal(recycle_next(&fleet).slot, 3);
    over();
    fleet.now_ms = 30000; /* soon after the start: never is not a moment ago */
    fleet.config.min_age_ms = 0;
    measure(3, FLEET_UNKNOWN, 0);
    assert_int_equal(recycle_next(&fleet).action, FLEET_MEASURE);
    measure(3, FLEET_UNKNOWN, 1);
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    over();
    measure(3, FLEET_UNKNOWN, 1); /* long ago, but it cannot be read at all */
    fleet.process[3].opaque = true;
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    over();
    measure(3, FLEET_UNKNOWN - 1, 100000); /* the largest that can be */
    assert_int_equal(recycle_next(&fleet).slot, 3);
}

static void only_some_are_measured_before_one_is_chosen(void **state)
{
    (void)state;
    over();
    fleet.measures = FLEET_MEASURE_CANDIDATES - 1;
    assert_int_equal(recycle_next(&fleet).action, FLEET_MEASURE);
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    over();
    fleet.next_measure_ms = 105000; /* there is no budget: it can wait */
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 105000);
    fleet.next_measure_ms = 100000;
    assert_int_equal(recycle_next(&fleet).action, FLEET_MEASURE);
}

static void who_holds_little_or_may_not_go_is_no_victim(void **state)
{
    (void)state;
    const uint64_t least =
        MIB(1000) / 10000 * FLEET_VICTIM_PERMYRIAD + MIB(1000) % 10000 * FLEET_VICTIM_PERMYRIAD / 10000;
    for (unsigned i = 0; i < 8; i++) {
        over();
        fleet.measures = FLEET_MEASURE_CANDIDATES;
        fleet.process[1].rss_bytes = i == 1 ? least - 1 : least;
        for (unsigned slot = 2; slot < 4; slot++)
            fleet.process[slot].spared = true;
        fleet.process[1].counts = i != 2;
        fleet.process[1].state = i == 3 ? FLEET_TRIMMING : FLEET_WATCHED;
        fleet.process[1].quiet_until_ms = i == 4 ? 100001 : 100000;
        fleet.process[1].born_ms = i == 5 ? 40001 : 40000;
        if (i == 6)
            fleet.config.method = FLEET_METHOD_RESPAWN; /* and there is no worker to end */
        fleet.process[4] = fleet.process[1];            /* behind the last known one */
        fleet.process[4].rss_bytes = MIB(500);
        fleet.process[1].spared = i == 7;
        const struct fleet_decision decision = recycle_next(&fleet);
        const enum fleet_action otherwise = i == 5 ? FLEET_NONE : FLEET_HELPLESS; /* the young can be waited for */
        assert_int_equal(decision.action, i == 0 ? FLEET_RECYCLE : otherwise);
        assert_int_equal(decision.slot, i == 0 ? 1 : 0);
    }
}

static void on_the_way_to_the_size_of_its_warm_siblings_nobody_goes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        over();
        fleet.measures = FLEET_MEASURE_CANDIDATES;
        fleet.process[1].rss_bytes = i == 6 ? 0 : MIB(300);
        fleet.process[1].shape = i == 1 ? TREND_UNKNOWN : TREND_FLAT;
        fleet.process[1].counts = i != 2;
        fleet.process[1].state = i == 3 ? FLEET_FREE : FLEET_TRIMMING;
        fleet.process[3].rss_bytes = i == 4 ? MIB(300) + 1 : MIB(300);
        fleet.process[4] = fleet.process[1]; /* behind the last known one */
        if (i == 5) {
            fleet.process[FLEET_WORKER] = fleet.process[1]; /* the first of the table */
            fleet.process[1].shape = TREND_UNKNOWN;
        }
        fleet.process[4].rss_bytes = MIB(900);
        const bool goes = i != 0 && i != 5;
        const struct fleet_decision decision = recycle_next(&fleet);
        assert_int_equal(decision.action, goes ? FLEET_RECYCLE : FLEET_NONE);
        assert_int_equal(decision.slot, goes ? 3 : 0);
    }
    over(); /* without such siblings the smallest will do */
    fleet.measures = FLEET_MEASURE_CANDIDATES;
    fleet.limit_bytes = 10;
    for (unsigned slot = 1; slot < 4; slot++)
        fleet.process[slot].rss_bytes = slot == 3;
    assert_int_equal(recycle_next(&fleet).slot, 3);
    over(); /* too soon to tell whether it grows */
    fleet.measures = FLEET_MEASURE_CANDIDATES;
    for (unsigned slot = 1; slot < 4; slot++)
        fleet.process[slot].shape = TREND_UNKNOWN;
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    over(); /* one that does not grow is no cause, and can be waited for, the worker as well */
    fleet.measures = FLEET_MEASURE_CANDIDATES;
    for (unsigned slot = 1; slot < 4; slot++)
        fleet.process[slot].spared = true;
    (void)fleet_appear(&fleet, FLEET_WORKER, 40, true, 0, 0);
    fleet.process[FLEET_WORKER].rss_bytes = MIB(300);
    fleet.process[FLEET_WORKER].shape = TREND_FLAT;
    all_seen();
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    assert_false(fleet.container.helpless);
}

static void nobody_goes_who_was_not_asked_to_trim(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        over();
        fleet.measures = FLEET_MEASURE_CANDIDATES;
        fleet.config.can_trim = i != 1;
        fleet.process[3].deaf = i == 2;
        fleet.process[3].trims = i == 3;
        fleet.process[3].after_bytes = i == 4 ? MIB(300) : 0; /* it would not be worth it */
        for (unsigned slot = 1; slot < 3; slot++)
            fleet.process[slot].spared = true;
        assert_int_equal(recycle_next(&fleet).action, i == 0 ? FLEET_NONE : FLEET_RECYCLE);
    }
}

static void the_worker_may_be_the_one(void **state)
{
    (void)state;
    for (unsigned can = 0; can < 2; can++) {
        over();
        (void)fleet_appear(&fleet, FLEET_WORKER, 40, true, 0, 0);
        fleet.process[FLEET_WORKER].rss_bytes = MIB(300); /* as large as the largest child */
        fleet.process[FLEET_WORKER].shape = TREND_RISING;
        all_seen();
        fleet.measures = FLEET_MEASURE_CANDIDATES;
        fleet.config.can_respawn = can;
        const struct fleet_decision decision = recycle_next(&fleet);
        assert_int_equal(decision.action, FLEET_RECYCLE);
        assert_int_equal(decision.slot, can ? FLEET_WORKER : 3);
        assert_int_equal(decision.method, can ? FLEET_METHOD_RESPAWN : FLEET_METHOD_SIGNAL);
    }
}

static void helplessness_is_told_with_all_that_is_known(void **state)
{
    (void)state;
    over();
    for (unsigned slot = 1; slot < 4; slot++)
        fleet.process[slot].spared = true;
    for (unsigned i = 0; i < SLOPE_POINTS; i++)
        slope_add(&fleet.container.slope, MIB(800 + i), i * 1000);
    const struct fleet_decision decision = recycle_next(&fleet);
    assert_int_equal(decision.action, FLEET_HELPLESS);
    assert_int_equal(decision.reason, FLEET_REASON_CONTAINER);
    assert_true(decision.rss_bytes == MIB(900) && decision.used_bytes == MIB(900) && decision.at_bytes == MIB(850));
    assert_int_equal(decision.eta_ms, 100000);
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
}

/* ---- whether one has to go ---- */

static void it_is_over_tried_rising_and_an_interval_later(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        over();
        fleet.container.over = i == 1 ? 2 : 3;
        fleet.container.tried = i != 2;
        fleet.container.shape = i == 3 ? TREND_FLAT : TREND_RISING;
        fleet.next_recycle_ms = i == 4 ? 100001 : 100000;
        fleet.awaited_count = i == 5 ? 2 : 0;
        fleet.awaited[0].old_pid = fleet.awaited[1].old_pid = 99;
        assert_int_equal(recycle_next(&fleet).action, i == 0 ? FLEET_MEASURE : FLEET_NONE);
    }
}

/* A rise so steep that neither age, interval nor budget count: 5 MiB over the last samples, 120 s to the limit. */
static void steep(uint64_t grown_bytes, uint64_t used_bytes, uint64_t step_ms)
{
    over();
    fleet.container.shape = TREND_FLAT;
    fleet.container.used_bytes = used_bytes;
    fleet.limit_bytes = (uint64_t)1000 << 20;
    fleet.next_recycle_ms = 200000;
    fleet.next_measure_ms = 200000;
    for (unsigned slot = 1; slot < 4; slot++)
        fleet.process[slot].born_ms = 99000;
    for (unsigned i = 0; i < SLOPE_POINTS; i++)
        slope_add(&fleet.container.slope, MIB(800) + grown_bytes * i / (SLOPE_POINTS - 1), i * step_ms);
}

static void a_steep_rise_near_the_limit_cannot_wait(void **state)
{
    (void)state;
    const uint64_t part = ((uint64_t)1000 << 20) / FLEET_STEEP_PART; /* 5 MiB, 5120 KiB */
    steep(part, MIB(969), 1000);
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    steep(part - 1024, MIB(969), 1000); /* noise */
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    steep(part, MIB(969), 1000);
    fleet.limit_bytes = part * (FLEET_STEEP_PART + 1); /* of a larger one it is noise */
    fleet.container.used_bytes = fleet.limit_bytes - MIB(36);
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    steep(part, MIB(969), 1000);
    fleet.limit_bytes = part * FLEET_STEEP_PART + FLEET_STEEP_PART - 1;
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    steep(7 << 20, MIB(1000) - 120 * MIB(1), 1000); /* 1 MiB a second: 120 s */
    assert_int_equal(fleet_eta_ms(&fleet), FLEET_HORIZON_MS);
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    steep(7 << 20, MIB(1000) - 120 * MIB(1) - 1049, 1000);
    assert_int_equal(fleet_eta_ms(&fleet), FLEET_HORIZON_MS + 1);
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    steep(7 << 20, MIB(969), 1000);
    slope_add(&fleet.container.slope, MIB(900), 8000); /* up, down and up: not steady */
    slope_add(&fleet.container.slope, MIB(803), 9000);
    slope_add(&fleet.container.slope, MIB(902), 10000);
    assert_true(slope_grown(&fleet.container.slope) > part && fleet_eta_ms(&fleet) < FLEET_HORIZON_MS);
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
}

/* Where hardly any room is left, the slowest steady growth counts. */
static void a_full_container_cannot_wait_for_a_steep_rise(void **state)
{
    (void)state;
    steep(MIB(1), MIB(970), 1000); /* 150 KiB a second: 210 s */
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    steep(MIB(1), MIB(985), 1000); /* 105 s */
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    steep(7 << 10, MIB(1000) - (100 << 10), 1000);
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    steep(MIB(2), MIB(970) - (1 << 20), 1000); /* 105 s, but not full */
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
}

/* ---- pressure ---- */

static void pressure_is_looked_at_at_once(void **state)
{
    (void)state;
    begin(&base, 0);
    fleet_look_begin(&fleet, MIB(1000), MIB(100), 5000);
    fleet_pressure(&fleet, 5000 + FLEET_LOOK_MIN_MS - 1);
    assert_true(fleet.container.pressure);
    assert_int_equal(fleet_next_look_ms(&fleet), 5000 + FLEET_LOOK_MIN_MS);
    fleet_pressure(&fleet, 9000); /* what is wished for already stays */
    assert_int_equal(fleet_next_look_ms(&fleet), 5000 + FLEET_LOOK_MIN_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_container_is_noted_once_a_look),
        cmocka_unit_test(its_lines_are_looked_at_in_time),
        cmocka_unit_test(samples_over_its_line_are_counted_in_a_row),
        cmocka_unit_test(the_sum_stands_in),
        cmocka_unit_test(the_pace_quickens_as_the_limit_comes_near),
        cmocka_unit_test(whose_end_frees_most_goes),
        cmocka_unit_test(a_measure_is_good_for_a_minute),
        cmocka_unit_test(only_some_are_measured_before_one_is_chosen),
        cmocka_unit_test(who_holds_little_or_may_not_go_is_no_victim),
        cmocka_unit_test(on_the_way_to_the_size_of_its_warm_siblings_nobody_goes),
        cmocka_unit_test(nobody_goes_who_was_not_asked_to_trim),
        cmocka_unit_test(the_worker_may_be_the_one),
        cmocka_unit_test(helplessness_is_told_with_all_that_is_known),
        cmocka_unit_test(it_is_over_tried_rising_and_an_interval_later),
        cmocka_unit_test(a_steep_rise_near_the_limit_cannot_wait),
        cmocka_unit_test(a_full_container_cannot_wait_for_a_steep_rise),
        cmocka_unit_test(pressure_is_looked_at_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
