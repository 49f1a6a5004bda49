/* When processes are asked to trim, and how trims that bring little become rare. */
#include "fleet_story.h"

static const struct fleet_config base = {
    .can_trim = true,
    .samples = 3,
    .at_once = 1,
    .min_yield_permyriad = 500,
    .settle_ms = 2000,
    .grace_ms = 60000,
    .look_ms = 1000,
};

static struct seen flat(uint64_t rss_bytes)
{
    struct seen seen = { .limit_bytes = MIB(4096), .used_bytes = FLEET_UNKNOWN };
    for (unsigned i = 0; i < 9; i++)
        seen.rss_bytes[i] = rss_bytes;
    return seen;
}

static void every_so_often(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_every_ms = 60000;
    struct seen seen = flat(MIB(100));
    begin(&config, 1);
    uint64_t now_ms = 0;
    struct fleet_decision decision = look_until(&now_ms, 100000, &seen);
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_EVERY);
    assert_int_equal(now_ms, 60000);
    seen.rss_bytes[1] = MIB(80);
    assert_int_equal(look_until(&now_ms, 100000, &seen).action, FLEET_TRIMMED);
    assert_int_equal(now_ms, 62000);
    assert_int_equal(look_until(&now_ms, 200000, &seen).action, FLEET_TRIM);
    assert_int_equal(now_ms, 122000); /* after the last one was judged */
}

static void every_look_comes_in_time(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_every_ms = 15000;
    struct seen seen = flat(MIB(100));
    begin(&config, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_NONE);
    assert_int_equal(fleet_next_look_ms(&fleet), 11000); /* all is quiet */
    assert_int_equal(look(11000, &seen).action, FLEET_NONE);
    assert_int_equal(fleet_next_look_ms(&fleet), 15000);
    assert_int_equal(look(15000, &seen).action, FLEET_TRIM);
    assert_int_equal(fleet_next_look_ms(&fleet), 17000); /* when it is judged */
}

static void idle_and_grown(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_idle_ms = 10000;
    struct seen seen = flat(MIB(100));
    begin(&config, 1);
    uint64_t now_ms = 0;
    for (; now_ms < 60000; now_ms += 1000) { /* busy: a tenth of a CPU */
        seen.cpu_ms[1] += 100;
        assert_int_equal(look(now_ms + 1000, &seen).action, FLEET_NONE);
    }
    seen.cpu_ms[1] += 5; /* then next to nothing */
    struct fleet_decision decision = look_until(&now_ms, 120000, &seen);
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_IDLE);
    assert_int_equal(now_ms, 70000);
    assert_int_equal(look_until(&now_ms, 120000, &seen).action, FLEET_TRIMMED);
    seen.rss_bytes[1] += FLEET_IDLE_GROWTH_MIN - 1; /* not grown by what is worth it */
    assert_int_equal(look_until(&now_ms, 300000, &seen).action, FLEET_NONE);
    assert_false(fleet_wants_cpu(&fleet, 1, seen.rss_bytes[1]));
}

/* It was idle long ago, when last asked; since then it worked and grew. */
static void an_old_idleness_does_not_count(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_idle_ms = 10000;
    struct seen seen = flat(MIB(100));
    begin(&config, 1);
    uint64_t now_ms = 0;
    assert_int_equal(look_until(&now_ms, 60000, &seen).action, FLEET_TRIM);
    assert_int_equal(look_until(&now_ms, 60000, &seen).action, FLEET_TRIMMED);
    seen.cpu_ms[1] += 60000;
    seen.rss_bytes[1] = MIB(150);
    assert_int_equal(look(now_ms += 60000, &seen).action, FLEET_NONE); /* it worked meanwhile */
    assert_int_equal(fleet_next_look_ms(&fleet), now_ms + 10000);
    assert_int_equal(look(now_ms + 9999, &seen).action, FLEET_NONE);
    const struct fleet_decision decision = look(now_ms + 10000, &seen); /* idle since the look that saw it grown */
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_IDLE);
}

static void without_cpu_times_nothing_is_idle(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_idle_ms = 10000;
    struct seen seen = flat(MIB(100));
    seen.cpu_ms[1] = FLEET_UNKNOWN;
    begin(&config, 1);
    uint64_t now_ms = 0;
    assert_int_equal(look_until(&now_ms, 100000, &seen).action, FLEET_NONE);
}

/* Times of the trims of a process that stands at its line, of which none brings anything. */
static unsigned vain_trims(uint64_t end_ms, uint64_t *ret_ms, unsigned max)
{
    struct fleet_config config = base;
    config.trim_at.bytes = MIB(90);
    struct seen seen = flat(MIB(100));
    unsigned count = 0;
    begin(&config, 1);
    for (uint64_t now_ms = 1000; now_ms < end_ms; now_ms = fleet_next_look_ms(&fleet)) {
        struct fleet_decision decisions[4];
        unsigned decided = look_at(now_ms, &seen, decisions, 4);
        for (unsigned i = 0; i < decided; i++) {
            if (decisions[i].action == FLEET_TRIM && count < max)
                ret_ms[count++] = now_ms;
        }
    }
    return count;
}

static void vain_trims_become_rare(void **state)
{
    (void)state;
    uint64_t at_ms[64];
    unsigned count = vain_trims(86400000, at_ms, 64);
    assert_in_range(count, 25, 40); /* doubling to an hour, then one an hour */
    for (unsigned i = 1; i + 1 < count; i++)
        assert_true(at_ms[i + 1] - at_ms[i] >= at_ms[i] - at_ms[i - 1]);
    assert_in_range(at_ms[count - 1] - at_ms[count - 2], FLEET_TRIM_RETRY_MAX_MS,
                    FLEET_TRIM_RETRY_MAX_MS + 3 * base.look_ms);
}

static void a_changed_picture_is_worth_a_trim(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_at.bytes = MIB(90);
    struct seen seen = flat(MIB(100));
    begin(&config, 1);
    uint64_t now_ms = 0;
    for (unsigned trims = 0; trims < 6; trims++) { /* the next would come after 640 s */
        assert_int_equal(look_until(&now_ms, 10000000, &seen).action, FLEET_TRIM);
        assert_int_equal(look_until(&now_ms, 10000000, &seen).action, FLEET_TRIMMED);
    }
    uint64_t before_ms = now_ms;
    seen.rss_bytes[1] = MIB(125) - 1;
    assert_int_equal(look_until(&now_ms, before_ms + 60000, &seen).action, FLEET_NONE);
    seen.rss_bytes[1] = MIB(125); /* a quarter more than after the last trim */
    assert_int_equal(look_until(&now_ms, before_ms + 70000, &seen).action, FLEET_TRIM);
}

static void a_part_of_the_pool_trims_at_a_time(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_every_ms = 10000;
    struct seen seen = flat(MIB(100));
    struct fleet_decision decisions[8];
    begin(&config, 8);
    assert_int_equal(look_at(10000, &seen, decisions, 8), 8 / FLEET_TRIM_PART);
    assert_int_equal(look_at(11000, &seen, decisions, 8), 0); /* while they are at it */
    assert_int_equal(look_at(12000, &seen, decisions, 8), 4); /* two judged, two begun */
    fleet_gone(&fleet, decisions[3].slot, 12500);             /* one ends in the middle of it */
    assert_int_equal(fleet.trimming, 1);
    (void)fleet_refuse_trim(&fleet, decisions[2].slot);
    assert_int_equal(fleet.trimming, 0);
}

static void the_lines_hold_for_uss(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_at.bytes = MIB(90);
    config.metric = FLEET_METRIC_USS;
    struct seen seen = flat(MIB(89));
    seen.pss_bytes[1] = MIB(70);
    seen.uss_bytes[1] = MIB(60);
    seen.cost_us = 50000; /* of which one in 5 s is one in a hundred of a CPU */
    begin(&config, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_NONE);
    assert_int_equal(seen.measured, 0); /* below the line by its RSS already */
    seen.rss_bytes[1] = MIB(200);
    unsigned measured = 0;
    for (uint64_t now_ms = 2000; now_ms < 62000; now_ms += 1000) {
        assert_int_equal(look(now_ms, &seen).action, FLEET_NONE);
        measured += seen.measured;
    }
    assert_int_equal(measured, 12);
    seen.uss_bytes[1] = MIB(90);
    uint64_t now_ms = 62000;
    assert_int_equal(look_until(&now_ms, 80000, &seen).action, FLEET_TRIM);
}

static void what_cannot_be_measured_counts_by_its_rss(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_at.bytes = MIB(90);
    config.metric = FLEET_METRIC_PSS;
    struct seen seen = flat(MIB(95));
    begin(&config, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    assert_int_equal(seen.measured, 1);
    (void)look(3000, &seen);
    assert_int_equal(seen.measured, 0);
}

static void dry_runs_leave_no_state(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_every_ms = 10000;
    config.dry_run = true;
    struct seen seen = flat(MIB(100));
    begin(&config, 1);
    assert_int_equal(look(10000, &seen).action, FLEET_TRIM);
    assert_int_equal(fleet.process[1].state, FLEET_WATCHED);
    assert_int_equal(fleet.trimming, 0);
    assert_int_equal(look(11000, &seen).action, FLEET_NONE);
}

/* A leak under a trim line: each trim gives a little back. */
static void a_leak_is_called_growth_and_once(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_every_ms = 30000;
    struct seen seen = flat(MIB(100));
    unsigned verdicts = 0;
    begin(&config, 1);
    for (uint64_t now_ms = 1000; now_ms < 1800000; now_ms += 1000) {
        struct fleet_decision decisions[4];
        seen.rss_bytes[1] += 200 << 10;
        unsigned decided = look_at(now_ms, &seen, decisions, 4);
        for (unsigned i = 0; i < decided; i++) {
            if (decisions[i].action == FLEET_VERDICT && decisions[i].verdict == VERDICT_GROWTH)
                verdicts++;
        }
    }
    assert_int_equal(verdicts, 1);
}

static void fragmentation_is_called_so(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_at.bytes = MIB(300);
    struct seen seen = flat(MIB(100));
    enum verdict last = VERDICT_UNKNOWN;
    unsigned verdicts = 0;
    begin(&config, 1);
    for (uint64_t now_ms = 1000; now_ms < 1800000; now_ms += 1000) {
        struct fleet_decision decisions[4];
        seen.rss_bytes[1] += MIB(2);
        unsigned decided = look_at(now_ms, &seen, decisions, 4);
        for (unsigned i = 0; i < decided; i++) {
            if (decisions[i].action == FLEET_TRIM)
                seen.rss_bytes[1] = MIB(100);
            if (decisions[i].action != FLEET_VERDICT)
                continue;
            last = decisions[i].verdict;
            verdicts++;
        }
    }
    assert_int_equal(last, VERDICT_FRAGMENTATION);
    assert_int_equal(verdicts, 1);
}

static void pinned_by_the_figures_of_the_heap(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_at.bytes = MIB(90);
    struct seen seen = flat(MIB(100));
    struct fleet_decision decisions[4];
    begin(&config, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    const struct fleet_report report = {
        .before_bytes = MIB(100), .after_bytes = MIB(100), .held_bytes = MIB(95), .used_bytes = MIB(40)
    };
    assert_int_equal(fleet_reported(&fleet, 1, &report, 3000).action, FLEET_TRIMMED);
    assert_int_equal(look(13000, &seen).action, FLEET_TRIM);
    assert_int_equal(look_at(15000, &seen, decisions, 4), 2);
    assert_int_equal(decisions[0].action, FLEET_TRIMMED);
    assert_int_equal(decisions[1].action, FLEET_VERDICT);
    assert_int_equal(decisions[1].verdict, VERDICT_PINNED);
    assert_true(decisions[1].evidence.held_bytes == MIB(95));
}

static void a_verdict_goes_with_its_process(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_at.bytes = MIB(90);
    struct seen seen = flat(MIB(100));
    begin(&config, 2);
    seen.rss_bytes[2] = MIB(10);
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    assert_int_equal(look(3000, &seen).action, FLEET_TRIMMED);
    assert_int_equal(look(13000, &seen).action, FLEET_TRIM);
    fleet.process[1].held_bytes = MIB(95);
    fleet.process[1].used_bytes = MIB(40);
    fleet_look_begin(&fleet, seen.limit_bytes, seen.used_bytes, 15000);
    assert_int_equal(fleet_sample(&fleet, 1, MIB(100), FLEET_UNKNOWN).action, FLEET_TRIMMED);
    assert_int_equal(fleet.verdicts_due, 1);
    fleet_gone(&fleet, 1, 3000);
    assert_int_equal(fleet.verdicts_due, 0);
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
}

static void growth_after_a_rest_is_not_idle(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_idle_ms = 10000;
    struct seen seen = flat(MIB(100));
    begin(&config, 1);
    uint64_t now_ms = 0;
    assert_int_equal(look_until(&now_ms, 60000, &seen).action, FLEET_TRIM);
    seen.rss_bytes[1] = MIB(50);
    assert_int_equal(look_until(&now_ms, 60000, &seen).action, FLEET_TRIMMED);
    assert_int_equal(look_until(&now_ms, now_ms + 3600000, &seen).action, FLEET_NONE);
    for (unsigned i = 0; i < 20; i++) { /* on the average of the hour it is idle still */
        seen.rss_bytes[1] += MIB(5);
        seen.cpu_ms[1] += 500;
        assert_int_equal(look(now_ms += 1000, &seen).action, FLEET_NONE);
    }
    uint64_t stopped_ms = now_ms;
    assert_int_equal(look_until(&now_ms, now_ms + 60000, &seen).action, FLEET_TRIM);
    assert_int_equal(now_ms, stopped_ms + 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_so_often),
        cmocka_unit_test(every_look_comes_in_time),
        cmocka_unit_test(idle_and_grown),
        cmocka_unit_test(growth_after_a_rest_is_not_idle),
        cmocka_unit_test(an_old_idleness_does_not_count),
        cmocka_unit_test(without_cpu_times_nothing_is_idle),
        cmocka_unit_test(vain_trims_become_rare),
        cmocka_unit_test(a_changed_picture_is_worth_a_trim),
        cmocka_unit_test(a_part_of_the_pool_trims_at_a_time),
        cmocka_unit_test(the_lines_hold_for_uss),
        cmocka_unit_test(what_cannot_be_measured_counts_by_its_rss),
        cmocka_unit_test(dry_runs_leave_no_state),
        cmocka_unit_test(a_leak_is_called_growth_and_once),
        cmocka_unit_test(fragmentation_is_called_so),
        cmocka_unit_test(pinned_by_the_figures_of_the_heap),
        cmocka_unit_test(a_verdict_goes_with_its_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
