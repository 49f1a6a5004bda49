/* What fleet.c notes in a look: the table, rates and sums, which exact measures are wanted, and when to look again. */
#include "policy/fleet_parts.h"

#include "fleet_story.h"

static const struct fleet_config base = {
    .recycle_at = { .bytes = MIB(500) },
    .can_respawn = true,
    .samples = 3,
    .at_once = 1,
    .min_yield_permyriad = 500,
    .settle_ms = 2000,
    .grace_ms = 60000,
    .look_ms = 1000,
};

/* ---- when to look again ---- */

static void a_wish_is_for_the_earliest_look_but_not_at_once(void **state)
{
    (void)state;
    begin(&base, 0);
    fleet.now_ms = 5000;
    fleet.next_look_ms = 9000;
    fleet_wish_look(&fleet, 9001);
    assert_int_equal(fleet.next_look_ms, 9000);
    fleet_wish_look(&fleet, 8000);
    assert_int_equal(fleet.next_look_ms, 8000);
    fleet_wish_look(&fleet, 5000 + FLEET_LOOK_MIN_MS + 1);
    assert_int_equal(fleet.next_look_ms, 5000 + FLEET_LOOK_MIN_MS + 1);
    fleet_wish_look(&fleet, 0);
    assert_int_equal(fleet.next_look_ms, 5000 + FLEET_LOOK_MIN_MS);
}

static uint64_t wish_before(uint64_t bytes, uint64_t line, uint64_t rate)
{
    fleet.next_look_ms = UINT64_MAX;
    fleet_wish_look_before(&fleet, bytes, line, rate);
    return fleet.next_look_ms;
}

static void what_grows_is_seen_at_half_the_way(void **state)
{
    (void)state;
    begin(&base, 0);
    fleet.pace_ms = 700;
    /* a line is taken to be reached at twice the rate, and half of that time is let go by */
    assert_int_equal(wish_before(0, 4000000000000, 1000000000), 1000000);
    assert_int_equal(wish_before(4000, 4000000004000, 1000000000), 1000000);
    assert_int_equal(wish_before(MIB(100), MIB(100), 1), 700);     /* there: a pace on */
    assert_int_equal(wish_before(MIB(100) + 1, MIB(100), 1), 700); /* and beyond */
    const uint64_t least = FLEET_RATE_MIN / 1000;                  /* bytes in a millisecond, for what seems to stand */
    assert_int_equal(wish_before(0, least * 200000, 0), 100000);
    assert_int_equal(wish_before(0, least * 200000, FLEET_RATE_MIN / 2), 100000);
    assert_true(wish_before(0, least * 200000, FLEET_RATE_MIN / 2 + 20000) < 100000);
    fleet.pace_ms = 0; /* rates that twice would not fit */
    fleet.now_ms = 10000;
    assert_int_equal(wish_before(0, UINT64_MAX, UINT64_C(1) << 63), 10500);
    assert_int_equal(wish_before(0, UINT64_MAX, UINT64_MAX), 10500);
}

static void samples_count_a_pace_apart(void **state)
{
    (void)state;
    uint16_t over = 0;
    uint64_t counted_ms = 0;
    begin(&base, 0);
    fleet.pace_ms = 1000;
    fleet.now_ms = 400; /* the first one counts at once */
    fleet.next_look_ms = UINT64_MAX;
    fleet_count_over(&fleet, &over, &counted_ms);
    assert_int_equal(over, 1);
    assert_int_equal(counted_ms, 400);
    assert_int_equal(fleet.next_look_ms, 1400);
    fleet.now_ms = 1399;
    fleet_count_over(&fleet, &over, &counted_ms);
    assert_int_equal(over, 1);
    fleet.now_ms = 1400;
    fleet_count_over(&fleet, &over, &counted_ms);
    assert_int_equal(over, 2);
    assert_int_equal(counted_ms, 1400);
    over = UINT16_MAX - 1;
    for (unsigned i = 0; i < 2; i++) { /* as high as it goes, and no further */
        fleet.now_ms += 1000;
        fleet_count_over(&fleet, &over, &counted_ms);
        assert_int_equal(over, UINT16_MAX);
    }
}

/* ---- the table ---- */

static void a_seed_gives_the_jitter_of_splitmix64(void **state)
{
    static const uint64_t drawn[] = { UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                      UINT64_C(9817491932198370423), UINT64_C(4593380528125082431) };

    (void)state;
    struct fleet_config config = base;
    config.jitter_permyriad = 9999;
    memset(&fleet, 0, sizeof fleet);
    fleet_init(&fleet, &config, 1234567);
    assert_int_equal(fleet.pace_ms, config.look_ms);
    for (uint16_t i = 0; i < 4; i++) {
        (void)fleet_appear(&fleet, i, 7, true, 0, 0);
        assert_int_equal(fleet.process[i].jitter_permyriad, drawn[i] % 10000);
    }
    fleet.config.jitter_permyriad = 1; /* the least there is: some have it, some not */
    unsigned sum = 0;
    for (uint16_t i = 0; i < 64; i++) {
        (void)fleet_appear(&fleet, i, 7, true, 0, 0);
        assert_in_range(fleet.process[i].jitter_permyriad, 0, 1);
        sum += fleet.process[i].jitter_permyriad;
    }
    assert_in_range(sum, 1, 63);
    fleet.config.jitter_permyriad = 0;
    const uint64_t random = fleet.random;
    (void)fleet_appear(&fleet, 5, 7, true, 0, 0);
    assert_int_equal(fleet.process[5].jitter_permyriad, 0);
    assert_true(fleet.random == random); /* nothing is drawn */
}

static void jitter_is_taken_off_the_line(void **state)
{
    (void)state;
    begin(&base, 1);
    fleet.recycle_line = 10000;
    fleet.process[1].jitter_permyriad = 1000;
    assert_int_equal(fleet_line_of(&fleet, &fleet.process[1]), 9000);
}

static void of_a_new_process_nothing_is_known(void **state)
{
    (void)state;
    begin(&base, 0);
    memset(&fleet.process[3], 0xff, sizeof fleet.process[3]); /* whatever was there */
    assert_int_equal(fleet_appear(&fleet, 3, 43, true, 500, 600).action, FLEET_NONE);
    const struct fleet_process *process = &fleet.process[3];
    assert_int_equal(process->state, FLEET_WATCHED);
    assert_int_equal(process->pid, 43);
    assert_int_equal(process->born_ms, 500);
    assert_int_equal(process->trim_retry_ms, FLEET_TRIM_RETRY_MS);
    assert_true(process->uss_bytes == FLEET_UNKNOWN && process->cpu_ms == FLEET_UNKNOWN);
    assert_true(process->held_bytes == FLEET_UNKNOWN && process->used_bytes == FLEET_UNKNOWN);
    assert_int_equal(process->rss_bytes + process->after_bytes + process->measured_ms + process->over, 0);
    assert_int_equal(fleet.high_slot, 4);
    assert_int_equal(fleet.counted, 1);
    (void)fleet_appear(&fleet, 1, 41, false, 0, 0); /* lower, and no target */
    assert_int_equal(fleet.high_slot, 4);
    assert_int_equal(fleet.counted, 1);
    assert_int_equal(fleet_free_slot(&fleet), 2);
    fleet_gone(&fleet, 1, 700);
    assert_int_equal(fleet_free_slot(&fleet), 1);
    assert_int_equal(fleet.counted, 1);
    fleet_gone(&fleet, 3, 700);
    assert_int_equal(fleet.counted, 0);
    assert_int_equal(fleet.high_slot, 0);
}

static void who_stops_counting_begins_anew(void **state)
{
    (void)state;
    begin(&base, 2);
    fleet.process[1].over = 2;
    fleet_set_counts(&fleet, 1, false);
    assert_int_equal(fleet.counted, 1);
    assert_false(fleet.process[1].counts);
    assert_int_equal(fleet.process[1].over, 0);
    fleet_set_counts(&fleet, 1, false);
    assert_int_equal(fleet.counted, 1);
    fleet_set_counts(&fleet, 1, true);
    assert_int_equal(fleet.counted, 2);
    assert_true(fleet.process[1].counts);
}

static void a_verdict_goes_with_its_process(void **state)
{
    (void)state;
    begin(&base, 2);
    for (uint16_t slot = 1; slot <= 2; slot++) {
        const struct fleet_report report = {
            .before_bytes = MIB(30), .after_bytes = MIB(20), .held_bytes = MIB(10), .used_bytes = MIB(9)
        };
        fleet.process[slot].trims = fleet.process[slot].worth = 3;
        fleet.process[slot].unanswered = 1;
        assert_int_equal(fleet_reported(&fleet, slot, &report, 100).action, FLEET_TRIMMED);
    }
    assert_true(fleet.process[1].held_bytes == MIB(10) && fleet.process[1].used_bytes == MIB(9));
    assert_int_equal(fleet.verdicts_due, 2);
    fleet_gone(&fleet, 1, 100);
    assert_int_equal(fleet.verdicts_due, 1);
    assert_false(fleet.process[1].verdict_due);
    fleet_gone(&fleet, 2, 100);
    assert_int_equal(fleet.verdicts_due, 0);
}

static void every_reason_alone_is_work(void **state)
{
    static const struct {
        struct fleet_config config;
        bool with_trims, without;
    } rows[] = {
        { { .recycle_at = { .bytes = 1 } }, true, true },
        { { .recycle_at = { .share_permyriad = 1 } }, true, true },
        { { .container_recycle_at = { .bytes = 1 } }, true, true },
        { { .trim_at = { .bytes = 1 } }, true, false },
        { { .container_trim_at = { .share_permyriad = 1 } }, true, false },
        { { .trim_every_ms = 1 }, true, false },
        { { .trim_idle_ms = 1 }, true, false },
        { { .hears_pressure = true }, true, false },
        { { .samples = 3 }, false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fleet_config config = rows[i].config;
        assert_int_equal(fleet_has_work(&config), rows[i].without);
        config.can_trim = true;
        assert_int_equal(fleet_has_work(&config), rows[i].with_trims);
    }
    struct fleet_threshold one = { .bytes = 1 };
    assert_int_equal(fleet_threshold_bytes(&one, MIB(1)), 1);
}

/* ---- a look ---- */

static void a_look_begins_with_nothing_of_the_last_one(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_at.bytes = MIB(300);
    config.container_trim_at.share_permyriad = 7000;
    config.container_recycle_at.share_permyriad = 8500;
    begin(&config, 1);
    fleet.sum_bytes = fleet.sum_rate = 77;
    fleet.measures = 77;
    fleet.ending = fleet.container.trim_begun = true;
    fleet_look_begin(&fleet, 10000, 5000, 3000);
    assert_int_equal(fleet.sum_bytes + fleet.sum_rate + fleet.measures, 0);
    assert_false(fleet.ending || fleet.container.trim_begun || fleet.sum_only);
    assert_int_equal(fleet.trim_line, 0); /* nothing to ask with */
    assert_int_equal(fleet.recycle_line, MIB(500));
    assert_int_equal(fleet.container.trim_line, 7000);
    assert_int_equal(fleet.container.recycle_line, 8500);
    assert_int_equal(fleet.next_look_ms, 3000 + 1000 * FLEET_QUIET_FACTOR);
    fleet.config.can_trim = true;
    fleet_look_begin(&fleet, 10000, FLEET_UNKNOWN, 2000); /* the clock does not go back */
    assert_int_equal(fleet.now_ms, 3000);
    assert_int_equal(fleet.trim_line, MIB(300));
    assert_true(fleet.sum_only);
}

static struct fleet_decision sample(uint64_t now_ms, uint64_t rss_bytes)
{
    fleet_look_begin(&fleet, MIB(4096), MIB(10), now_ms);
    return fleet_sample(&fleet, 1, rss_bytes, FLEET_UNKNOWN);
}

static void growth_counts_at_once_and_is_forgotten_by_halves(void **state)
{
    static const struct {
        uint64_t now_ms, rss_bytes, rate;
    } rows[] = {
        { 0, 5000, 0 },                              /* a look at time 0 tells nothing of growth */
        { 0, 9000, 0 },                              /* and two at one time neither */
        { 1, 10000, 0 },                             /* its successor takes it for the first */
        { 2, 12000, 2000000 },                       /* at 1 ms */
        { 3, 12000, 1000000 }, { 4, 11000, 500000 }, /* shrinks */
        { 6, 13000, 1000000 }, { 6, 99000, 500000 }, /* at the same time */
        { 8, 99007, 250000 },                        /* slower than what is still remembered */
    };

    (void)state;
    begin(&base, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)sample(rows[i].now_ms, rows[i].rss_bytes);
        assert_int_equal(fleet.process[1].rate, rows[i].rate);
        assert_int_equal(fleet.sum_bytes, rows[i].rss_bytes);
        assert_int_equal(fleet.sum_rate, rows[i].rate);
        assert_int_equal(fleet.process[1].rss_bytes, rows[i].rss_bytes);
    }
    assert_int_equal(fleet.process[1].slope.count, SLOPE_POINTS);
}

static void who_does_not_count_adds_nothing(void **state)
{
    (void)state;
    begin(&base, 1);
    fleet_set_counts(&fleet, 1, false);
    for (uint64_t now_ms = 1000; now_ms < 10 * FLOORS_PERIOD_MS; now_ms += 1000) {
        assert_int_equal(sample(now_ms, MIB(600) + now_ms).action, FLEET_NONE);
        assert_int_equal(fleet.sum_bytes + fleet.sum_rate, 0);
    }
    assert_int_equal(fleet.process[1].floors.count, 0);
    assert_int_equal(fleet.process[1].over, 0);
    assert_int_equal(fleet.process[1].metric_bytes, 0);
}

static void a_sum_stops_below_what_means_unknown(void **state)
{
    (void)state;
    begin(&base, 2);
    fleet_look_begin(&fleet, MIB(1), FLEET_UNKNOWN, 1000);
    (void)fleet_sample(&fleet, 1, UINT64_MAX - 100, FLEET_UNKNOWN);
    (void)fleet_sample(&fleet, 2, 98, FLEET_UNKNOWN);
    assert_true(fleet.sum_bytes == UINT64_MAX - 2);
    fleet.sum_bytes = UINT64_MAX - 100;
    (void)fleet_sample(&fleet, 2, 99, FLEET_UNKNOWN);
    assert_true(fleet.sum_bytes == UINT64_MAX - 1);
    (void)fleet_sample(&fleet, 2, 1, FLEET_UNKNOWN);
    assert_true(fleet.sum_bytes == UINT64_MAX - 1);
    (void)fleet_sample(&fleet, 2, UINT64_MAX - 5, FLEET_UNKNOWN);
    assert_true(fleet.sum_bytes == UINT64_MAX - 1);
}

static void a_period_that_ends_may_bring_a_verdict(void **state)
{
    (void)state;
    begin(&base, 1);
    fleet.process[1].trims = VERDICT_TRIMS_MIN | 1;
    for (uint64_t i = 0; i <= FLOORS_MIN; i++) {
        assert_int_equal(fleet.verdicts_due, 0);
        (void)sample(1000 + i * FLOORS_PERIOD_MS, MIB(100 + 10 * i));
    }
    assert_int_equal(fleet.process[1].shape, TREND_RISING);
    assert_int_equal(fleet.verdicts_due, 1);
}

static void a_process_that_waits_for_nothing_is_not_ready(void **state)
{
    (void)state;
    begin(&base, 1);
    fleet.process[1].state = FLEET_LEAVING;
    fleet.process[1].deadline_ms = 100000;
    fleet.process[1].ready = true;
    assert_int_equal(sample(1000, MIB(600)).action, FLEET_NONE);
    assert_false(fleet.process[1].ready);
    fleet.process[1].state = FLEET_FREE;
    assert_int_equal(sample(200000, MIB(600)).action, FLEET_NONE);
    fleet.process[1].state = 99;
    assert_int_equal(sample(201000, MIB(600)).action, FLEET_NONE);
}

/* ---- exact measures ---- */

static void exact_figures_are_asked_for_at_the_first_line(void **state)
{
    static const struct {
        uint64_t trim, recycle, first;
    } rows[] = { { 0, MIB(500), MIB(500) },
                 { MIB(300), MIB(500), MIB(300) },
                 { MIB(300), 0, MIB(300) },
                 { MIB(700), MIB(500), MIB(500) },
                 { 1, 0, 1 },
                 { 0, 1, 1 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fleet_config config = base;
        config.metric = FLEET_METRIC_USS;
        config.can_trim = true;
        config.trim_at.bytes = rows[i].trim;
        config.recycle_at.bytes = rows[i].recycle;
        begin(&config, 1);
        assert_int_equal(sample(1000, rows[i].first - 1).action, FLEET_NONE);
        assert_int_equal(fleet.process[1].metric_bytes, rows[i].first - 1);
        struct fleet_decision decision = sample(2000, rows[i].first);
        assert_int_equal(decision.action, FLEET_MEASURE);
        assert_int_equal(decision.reason, FLEET_REASON_AT);
        assert_int_equal(decision.slot, 1);
        assert_int_equal(decision.pid, 41);
        assert_int_equal(fleet.measures, 1);
    }
    struct fleet_config config = base; /* without a line there is nothing to measure for */
    config.metric = FLEET_METRIC_USS;
    config.recycle_at.bytes = 0;
    begin(&config, 1);
    assert_int_equal(sample(1000, UINT64_MAX - 1).action, FLEET_NONE);
}

static void each_metric_is_held_against_the_line(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.samples = 1;
    for (unsigned metric = FLEET_METRIC_PSS; metric <= FLEET_METRIC_USS; metric++) {
        config.metric = (enum fleet_metric)metric;
        begin(&config, 1);
        assert_int_equal(sample(1000, MIB(900)).action, FLEET_MEASURE);
        assert_int_equal(fleet_measured(&fleet, 1, MIB(400), MIB(300), 30000).action, FLEET_NONE);
        assert_true(fleet.process[1].metric_bytes == (metric == FLEET_METRIC_PSS ? MIB(400) : MIB(300)));
        assert_true(fleet.process[1].uss_bytes == MIB(300));
        assert_int_equal(fleet.process[1].measured_ms, 1000);
        assert_false(fleet.process[1].opaque);
        assert_int_equal(fleet.next_measure_ms, 1000 + 30000 / FLEET_MEASURE_PERMILLE);
        assert_int_equal(fleet.process[1].over, 0);
        assert_int_equal(sample(3999, MIB(900)).action, FLEET_NONE); /* the budget */
        assert_int_equal(fleet.next_look_ms, 3999 + FLEET_LOOK_MIN_MS);
        (void)fleet_look_end(&fleet); /* the next round */
        assert_int_equal(sample(4000, MIB(900)).action, FLEET_MEASURE);
        (void)fleet_measured(&fleet, 1, MIB(600), MIB(600), 0);
        assert_int_equal(fleet.process[1].over, 1);
        assert_true(fleet.process[1].ready == (fleet.now_ms >= config.min_age_ms));
    }
    begin(&config, 1);
    fleet.next_measure_ms = 5000;
    assert_int_equal(sample(1000, MIB(900)).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 5000); /* as soon as the budget allows */
}

static void who_cannot_be_measured_is_judged_by_its_rss(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.samples = 1;
    config.metric = FLEET_METRIC_PSS;
    begin(&config, 1);
    assert_int_equal(sample(0, MIB(900)).action, FLEET_MEASURE);
    (void)fleet_measured(&fleet, 1, FLEET_UNKNOWN, FLEET_UNKNOWN, 0);
    assert_true(fleet.process[1].opaque);
    assert_int_equal(fleet.process[1].measured_ms, 1); /* 0 would mean never */
    assert_true(fleet.process[1].metric_bytes == MIB(900));
    assert_int_equal(fleet.process[1].over, 1);
    assert_int_equal(sample(10000, MIB(800)).action, FLEET_NONE); /* not asked for again */
    assert_true(fleet.process[1].metric_bytes == MIB(800));
    (void)fleet_measured(&fleet, 1, MIB(700), MIB(600), 0); /* it can, after all */
    assert_false(fleet.process[1].opaque);
}

/* At the end of a look, or in another state, an answer is noted and nothing is decided. */
static void an_answer_that_comes_late_decides_nothing(void **state)
{
    (void)state;
    begin(&base, 1);
    (void)sample(1000, MIB(100));
    fleet.ending = true;
    assert_int_equal(fleet_measured(&fleet, 1, MIB(600), MIB(500), 0).action, FLEET_NONE);
    assert_int_equal(fleet.process[1].over, 0);
    assert_true(fleet.process[1].uss_bytes == MIB(500));
    fleet.ending = false;
    fleet.process[1].state = FLEET_LEAVING;
    assert_int_equal(fleet_measured(&fleet, 1, MIB(600), MIB(500), 0).action, FLEET_NONE);
    assert_int_equal(fleet.process[1].over, 0);
    fleet.process[1].state = FLEET_WATCHED;
    (void)fleet_measured(&fleet, 1, MIB(600), MIB(500), 0);
    assert_int_equal(fleet.process[1].over, 1);
}

static void cpu_time_is_asked_for_only_where_it_matters(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.can_trim = true;
    config.trim_idle_ms = 1;
    begin(&config, 1);
    struct fleet_process *process = &fleet.process[1];
    assert_false(fleet_wants_cpu(&fleet, 1, FLEET_IDLE_GROWTH_MIN - 1));
    assert_true(fleet_wants_cpu(&fleet, 1, MIB(100))); /* by what was read just now, not by the last look */
    process->after_bytes = MIB(100);
    assert_false(fleet_wants_cpu(&fleet, 1, MIB(100))); /* not grown */
    process->after_bytes = 0;
    process->counts = false;
    assert_false(fleet_wants_cpu(&fleet, 1, MIB(100)));
    process->counts = true;
    process->state = FLEET_TRIMMING;
    assert_false(fleet_wants_cpu(&fleet, 1, MIB(100)));
    process->state = FLEET_WATCHED;
    fleet.config.trim_idle_ms = 0;
    assert_false(fleet_wants_cpu(&fleet, 1, MIB(100)));
    fleet.config.trim_idle_ms = 1;
    fleet.config.can_trim = false;
    assert_false(fleet_wants_cpu(&fleet, 1, MIB(100)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wish_is_for_the_earliest_look_but_not_at_once),
        cmocka_unit_test(what_grows_is_seen_at_half_the_way),
        cmocka_unit_test(samples_count_a_pace_apart),
        cmocka_unit_test(a_seed_gives_the_jitter_of_splitmix64),
        cmocka_unit_test(jitter_is_taken_off_the_line),
        cmocka_unit_test(of_a_new_process_nothing_is_known),
        cmocka_unit_test(who_stops_counting_begins_anew),
        cmocka_unit_test(a_verdict_goes_with_its_process),
        cmocka_unit_test(every_reason_alone_is_work),
        cmocka_unit_test(a_look_begins_with_nothing_of_the_last_one),
        cmocka_unit_test(growth_counts_at_once_and_is_forgotten_by_halves),
        cmocka_unit_test(who_does_not_count_adds_nothing),
        cmocka_unit_test(a_sum_stops_below_what_means_unknown),
        cmocka_unit_test(a_period_that_ends_may_bring_a_verdict),
        cmocka_unit_test(a_process_that_waits_for_nothing_is_not_ready),
        cmocka_unit_test(exact_figures_are_asked_for_at_the_first_line),
        cmocka_unit_test(each_metric_is_held_against_the_line),
        cmocka_unit_test(who_cannot_be_measured_is_judged_by_its_rss),
        cmocka_unit_test(an_answer_that_comes_late_decides_nothing),
        cmocka_unit_test(cpu_time_is_asked_for_only_where_it_matters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
