/* trim.c function by function: every boundary of when a trim is asked for. test_trim_judge.c has what comes of it. */
#include "policy/fleet_parts.h"

#include "fleet_story.h"

static const struct fleet_config base = {
    .trim_at = { .bytes = MIB(300) },
    .recycle_at = { .bytes = MIB(500) },
    .can_trim = true,
    .can_respawn = true,
    .samples = 3,
    .at_once = 1,
    .min_yield_permyriad = 500,
    .settle_ms = 2000,
    .grace_ms = 60000,
    .look_ms = 1000,
};

static struct fleet_process *process;

/* One process, watched, in a look at a time. */
static void at(const struct fleet_config *config, uint64_t now_ms)
{
    begin(config, 1);
    fleet_look_begin(&fleet, MIB(4096), MIB(1000), now_ms);
    all_seen();
    process = &fleet.process[1];
    fleet.next_look_ms = UINT64_MAX;
}

static struct fleet_decision size(uint64_t bytes)
{
    process->rss_bytes = process->metric_bytes = bytes;
    fleet.next_look_ms = UINT64_MAX;
    return trim_if_due(&fleet, 1);
}

/* ---- worth, idleness, a changed picture ---- */

static void growth_is_worth_a_trim_from_its_least_yield_on(void **state)
{
    (void)state;
    at(&base, 1000);
    process->rss_bytes = FLEET_IDLE_GROWTH_MIN;
    assert_true(trim_is_worth(&fleet, process));
    process->rss_bytes--;
    assert_false(trim_is_worth(&fleet, process));
    process->after_bytes = MIB(1000);
    process->rss_bytes = MIB(1050);
    assert_true(trim_is_worth(&fleet, process));
    process->rss_bytes--;
    assert_false(trim_is_worth(&fleet, process));
    process->rss_bytes = MIB(10); /* shrunk */
    assert_false(trim_is_worth(&fleet, process));
}

static void idle_is_who_uses_a_hundredth_of_a_cpu_at_most(void **state)
{
    static const struct {
        uint64_t took_ms, used_ms;
        bool idle;
    } rows[] = {
        { 20000, 201, true }, { 20000, 202, false }, { 20001, 0, false }, /* the last is too long ago */
        { 10000, 101, true }, { 10000, 102, false }, { 10999, 101, true }, { 10999, 102, false },
        { 9990, 91, true },   { 9990, 92, false },   { 999, 1, true },     { 999, 2, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        at(&base, 5000);
        trim_note(&fleet, process, FLEET_UNKNOWN);
        assert_true(process->cpu_ms == FLEET_UNKNOWN && process->cpu_seen_ms == 0 && process->idle_since_ms == 0);
        trim_note(&fleet, process, 0); /* the first figure tells only from when on */
        assert_int_equal(process->cpu_ms, 0);
        assert_int_equal(process->cpu_seen_ms, 5000);
        assert_int_equal(process->idle_since_ms, 5000);
        fleet.now_ms += rows[i].took_ms;
        trim_note(&fleet, process, rows[i].used_ms);
        assert_int_equal(process->idle_since_ms, rows[i].idle ? 5000 : fleet.now_ms);
        assert_int_equal(process->cpu_ms, rows[i].used_ms);
        assert_int_equal(process->cpu_seen_ms, fleet.now_ms);
        trim_note(&fleet, process, FLEET_UNKNOWN);
        assert_int_equal(process->cpu_ms, rows[i].used_ms);
    }
    at(&base, 5000);
    trim_note(&fleet, process, FLEET_UNKNOWN - 1); /* the largest figure there can be */
    assert_true(process->cpu_ms == FLEET_UNKNOWN - 1);
}

static void a_changed_picture_ends_the_waiting(void **state)
{
    static const struct {
        uint64_t after_bytes, rss_bytes;
        uint32_t retry_ms;
        bool changed;
    } rows[] = {
        { MIB(100), MIB(125), 2 * FLEET_TRIM_RETRY_MS, true },
        { MIB(100), MIB(125) - 1, 2 * FLEET_TRIM_RETRY_MS, false },
        { MIB(100), MIB(125), FLEET_TRIM_RETRY_MS + 1, true },
        { MIB(100), MIB(125), FLEET_TRIM_RETRY_MS, false }, /* it was not put off */
        { 1, MIB(125), 2 * FLEET_TRIM_RETRY_MS, true },
        { 0, MIB(125), 2 * FLEET_TRIM_RETRY_MS, false }, /* there was no trim */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        at(&base, 1000000);
        process->after_bytes = rows[i].after_bytes;
        process->rss_bytes = rows[i].rss_bytes;
        process->trim_retry_ms = rows[i].retry_ms;
        process->trimmed_ms = 995000;
        process->trim_after_ms = 2000000;
        trim_note(&fleet, process, FLEET_UNKNOWN);
        assert_int_equal(process->trim_retry_ms, rows[i].changed ? FLEET_TRIM_RETRY_MS : rows[i].retry_ms);
        assert_int_equal(process->trim_after_ms, rows[i].changed ? 995000 + FLEET_TRIM_RETRY_MS : 2000000);
        process->trim_retry_ms = 2 * FLEET_TRIM_RETRY_MS;
        process->trim_after_ms = 1000100; /* it comes sooner as it is */
        trim_note(&fleet, process, FLEET_UNKNOWN);
        assert_int_equal(process->trim_after_ms, 1000100);
    }
}

/* ---- when a trim is due ---- */

static void a_trim_is_asked_for_with_all_that_is_known(void **state)
{
    (void)state;
    at(&base, 5000);
    const struct fleet_decision decision = size(MIB(300));
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_AT);
    assert_int_equal(decision.slot, 1);
    assert_int_equal(decision.pid, 41);
    assert_true(decision.rss_bytes == MIB(300));
    assert_true(decision.at_bytes == MIB(300));
    assert_true(decision.used_bytes == MIB(1000));
    assert_int_equal(process->state, FLEET_TRIMMING);
    assert_int_equal(process->trim_reason, FLEET_REASON_AT);
    assert_int_equal(fleet.trimming, 1);
    assert_int_equal(process->deadline_ms, 7000);
    assert_int_equal(fleet.next_look_ms, 7000);
}

static void below_its_line_a_process_is_looked_at_in_time(void **state)
{
    (void)state;
    struct fleet_config config = base;
    at(&config, 5000);
    process->rate = MIB(1000);
    assert_int_equal(size(MIB(300) - 1).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 5000 + fleet.pace_ms);
    process->rate = 0;
    assert_int_equal(size(0).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 5000 + MIB(300) / (FLEET_RATE_MIN / 1000) / 2);
    config.trim_at.bytes = 0; /* then its recycle line is one to trim at */
    at(&config, 5000);
    assert_int_equal(size(MIB(500) - 1).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 5000 + fleet.pace_ms);
    const struct fleet_decision decision = size(MIB(500));
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_true(decision.at_bytes == MIB(500));
    config.recycle_at.bytes = 0; /* no line, no wish */
    at(&config, 5000);
    assert_int_equal(size(MIB(500)).action, FLEET_NONE);
    assert_true(fleet.next_look_ms == UINT64_MAX);
    config.recycle_at.bytes = 1; /* the lowest lines that can be */
    at(&config, 5000);
    assert_int_equal(size(1).action, FLEET_TRIM);
    config.trim_at.bytes = 1;
    config.recycle_at.bytes = 100;
    at(&config, 5000);
    assert_int_equal(size(0).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 5000 + fleet.pace_ms);
    assert_int_equal(size(1).action, FLEET_TRIM);
    config.can_trim = false;
    at(&config, 5000);
    assert_int_equal(size(MIB(900)).action, FLEET_NONE);
}

static void at_its_line_while_a_trim_is_not_due(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_every_ms = 1000;
    at(&config, 5000);
    process->trim_after_ms = 5001;
    assert_int_equal(size(MIB(300)).action, FLEET_NONE);
    assert_true(process->tried); /* it was, and the next is not due */
    assert_int_equal(fleet.next_look_ms, 5000 + FLEET_LOOK_MIN_MS);
    process->trim_after_ms = 9000;
    assert_int_equal(size(MIB(300)).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 9000);
    process->tried = false;
    assert_int_equal(size(MIB(300) - 1).action, FLEET_NONE); /* for its age: says nothing of the line */
    assert_false(process->tried);
    process->tried = true;
    assert_int_equal(size(MIB(300) - 1).action, FLEET_NONE);
    assert_true(process->tried);
    process->trim_after_ms = 5000;
    const struct fleet_decision decision = size(MIB(300) - 1);
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_EVERY);
    assert_int_equal(decision.at_bytes, 0); /* no line was crossed */
}

static void the_shortest_periods_work(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_every_ms = 1;
    at(&config, 1);
    assert_int_equal(size(0).action, FLEET_TRIM);
    at(&config, 0);
    assert_int_equal(size(0).action, FLEET_NONE);
    config.trim_every_ms = 0;
    config.trim_idle_ms = 1;
    at(&config, 2);
    process->cpu_seen_ms = 2;
    process->idle_since_ms = 1;
    const struct fleet_decision decision = size(MIB(10));
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_IDLE);
    at(&config, 2);
    process->cpu_seen_ms = process->idle_since_ms = 1; /* not told in this look: idle from now on at the earliest */
    assert_int_equal(size(MIB(10)).action, FLEET_NONE);
    process->cpu_seen_ms = 2;
    assert_int_equal(size(FLEET_IDLE_GROWTH_MIN - 1).action, FLEET_NONE); /* idle, but not grown */
    fleet.config.trim_idle_ms = 5000;
    process->cpu_seen_ms = process->idle_since_ms = 2;
    process->rate = 0;
    fleet.config.trim_at.bytes = fleet.trim_line = fleet.recycle_line = 0;
    assert_int_equal(size(MIB(10)).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 5002); /* when it has been idle long enough */
}

static void who_is_about_to_be_recycled_is_not_trimmed_for_its_size(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.trim_every_ms = 1000;
    at(&config, 5000);
    process->ready = true;
    assert_int_equal(size(MIB(300)).action, FLEET_NONE);
    assert_int_equal(size(MIB(300) - 1).reason, FLEET_REASON_EVERY);
    at(&config, 999);
    assert_int_equal(size(MIB(300) - 1).action, FLEET_NONE);
}

static void a_quarter_of_the_pool_trims(void **state)
{
    (void)state;
    for (unsigned counted = 1; counted <= 13; counted++) {
        at(&base, 5000);
        fleet.counted = counted;
        fleet.trimming = counted / FLEET_TRIM_PART > 0 ? counted / FLEET_TRIM_PART - 1 : 0;
        assert_int_equal(size(MIB(300)).action, FLEET_TRIM);
        process->state = FLEET_WATCHED;
        assert_int_equal(size(MIB(300)).action, FLEET_NONE);
        assert_int_equal(fleet.next_look_ms, 5000 + fleet.pace_ms);
        assert_int_equal(process->state, FLEET_WATCHED);
    }
}

static void a_dry_run_asks_and_forgets(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.dry_run = true;
    at(&config, 5000);
    assert_int_equal(size(MIB(300)).action, FLEET_TRIM);
    assert_true(process->tried);
    assert_int_equal(process->state, FLEET_WATCHED);
    assert_int_equal(fleet.trimming, 0);
    assert_true(process->after_bytes == MIB(300));
    assert_int_equal(process->trimmed_ms, 5000);
    assert_int_equal(process->trim_after_ms, 5000 + FLEET_REFUSED_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_is_worth_a_trim_from_its_least_yield_on),
        cmocka_unit_test(idle_is_who_uses_a_hundredth_of_a_cpu_at_most),
        cmocka_unit_test(a_changed_picture_ends_the_waiting),
        cmocka_unit_test(a_trim_is_asked_for_with_all_that_is_known),
        cmocka_unit_test(below_its_line_a_process_is_looked_at_in_time),
        cmocka_unit_test(at_its_line_while_a_trim_is_not_due),
        cmocka_unit_test(the_shortest_periods_work),
        cmocka_unit_test(who_is_about_to_be_recycled_is_not_trimmed_for_its_size),
        cmocka_unit_test(a_quarter_of_the_pool_trims),
        cmocka_unit_test(a_dry_run_asks_and_forgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
