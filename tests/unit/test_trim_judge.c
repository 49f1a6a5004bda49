/* trim.c function by function: what a trim brought, trims for the container, and verdicts. */
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

/* ---- what it brought ---- */

static struct fleet_decision judge(uint64_t before_bytes, uint64_t after_bytes)
{
    process->state = FLEET_TRIMMING;
    fleet.trimming = 1;
    process->trim_reason = FLEET_REASON_IDLE;
    process->since_ms = 4000;
    process->deadline_ms = 5000;
    process->before_bytes = before_bytes;
    process->rss_bytes = process->metric_bytes = after_bytes;
    fleet.next_look_ms = UINT64_MAX;
    return trim_judge(&fleet, 1);
}

static void a_judged_trim_is_told_with_all_that_is_known(void **state)
{
    (void)state;
    at(&base, 5001);
    for (unsigned i = 0; i < SLOPE_POINTS; i++)
        slope_add(&process->slope, MIB(200 + i), i * 1000); /* 1 MiB a second */
    const struct fleet_decision decision = judge(MIB(400), MIB(380));
    assert_int_equal(decision.action, FLEET_TRIMMED);
    assert_int_equal(decision.reason, FLEET_REASON_IDLE);
    assert_int_equal(decision.slot, 1);
    assert_int_equal(decision.pid, 41);
    assert_true(decision.enough);
    assert_true(decision.before_bytes == MIB(400) && decision.rss_bytes == MIB(380));
    assert_true(decision.at_bytes == MIB(300));
    assert_int_equal(decision.took_ms, 1001);
    assert_int_equal(decision.eta_ms, 120000); /* to the recycle line */
    assert_int_equal(process->state, FLEET_WATCHED);
    assert_int_equal(fleet.trimming, 0);
    assert_false(process->tried); /* it is below the recycle line, which it may cross anew */
    assert_true(process->after_bytes == MIB(380));
    assert_int_equal(process->trimmed_ms, 5001);
    assert_int_equal(fleet.next_look_ms, 5001 + fleet.pace_ms);

    (void)judge(MIB(600), MIB(500) - 1);
    assert_false(process->tried);
    (void)judge(MIB(600), MIB(500));
    assert_true(process->tried);
    fleet.recycle_line = 0;
    assert_true(judge(MIB(400), MIB(380)).eta_ms == FLEET_NEVER);
    fleet.recycle_line = 1;
    assert_int_equal(judge(MIB(400), MIB(380)).eta_ms, 0);
    fleet.now_ms = 4999;
    assert_int_equal(judge(MIB(400), MIB(380)).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 4999 + FLEET_LOOK_MIN_MS);
    fleet.now_ms = 3000;
    assert_int_equal(judge(MIB(400), MIB(380)).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 5000); /* when it is to be judged */
}

static void a_trim_is_worth_its_least_yield(void **state)
{
    static const struct {
        uint32_t least_permyriad;
        uint64_t before_bytes, after_bytes;
        bool enough;
    } rows[] = {
        { 500, MIB(400), MIB(380), true },  { 500, MIB(400), MIB(380) + 1, false }, { 500, MIB(400), MIB(400), false },
        { 500, MIB(400), MIB(500), false }, { 0, MIB(400), MIB(400) - 1, true },    { 0, MIB(400), MIB(400), false },
        { 0, MIB(400), MIB(401), false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        at(&base, 5000);
        fleet.config.min_yield_permyriad = rows[i].least_permyriad;
        process->trim_retry_ms = 8 * FLEET_TRIM_RETRY_MS;
        assert_int_equal(judge(rows[i].before_bytes, rows[i].after_bytes).enough, rows[i].enough);
        const uint32_t waited_ms = rows[i].enough ? FLEET_TRIM_RETRY_MS : 8 * FLEET_TRIM_RETRY_MS;
        assert_int_equal(process->trim_after_ms, 5000 + waited_ms);
        assert_int_equal(process->trim_retry_ms, 2 * waited_ms);
    }
    process->trim_retry_ms = FLEET_TRIM_RETRY_MAX_MS / 2 + 1; /* ever later, up to a cap */
    (void)judge(MIB(400), MIB(400));
    assert_int_equal(process->trim_retry_ms, FLEET_TRIM_RETRY_MAX_MS);
}

static void the_last_four_trims_are_remembered(void **state)
{
    static const bool enough[] = { true, false, true, true, false, false, false };
    static const uint8_t trims[] = { 1, 3, 7, 15, 15, 15, 15 }, worth[] = { 1, 2, 5, 11, 6, 12, 8 };

    (void)state;
    at(&base, 5000);
    for (unsigned i = 0; i < sizeof enough; i++) {
        (void)judge(MIB(400), enough[i] ? MIB(300) : MIB(400));
        assert_int_equal(process->trims, trims[i]);
        assert_int_equal(process->worth, worth[i]);
    }
    process->held_bytes = 7;
    process->used_bytes = 5;
    process->shape = TREND_FLAT;
    const struct verdict_evidence evidence = fleet_evidence(process);
    assert_int_equal(evidence.trims, VERDICT_TRIMS);
    assert_int_equal(evidence.worth, 1);
    assert_int_equal(evidence.held_bytes, 7);
    assert_int_equal(evidence.used_bytes, 5);
    assert_int_equal(evidence.shape, TREND_FLAT);
}

static void who_refuses_is_asked_ever_later(void **state)
{
    (void)state;
    at(&base, 5000);
    process->metric_bytes = MIB(300);
    assert_int_equal(trim_if_due(&fleet, 1).action, FLEET_TRIM);
    assert_true(fleet_refuse_trim(&fleet, 1));
    assert_true(process->deaf && process->tried);
    assert_false(fleet.container.pressure);
    assert_int_equal(process->state, FLEET_WATCHED);
    assert_int_equal(fleet.trimming, 0);
    assert_int_equal(process->trim_after_ms, 5000 + FLEET_TRIM_RETRY_MS);
    process->state = FLEET_LEAVING; /* only a trim ends with it */
    assert_false(fleet_refuse_trim(&fleet, 1));
    assert_int_equal(process->state, FLEET_LEAVING);
    assert_int_equal(fleet.trimming, 0);
    assert_int_equal(process->trim_after_ms, 5000 + 2 * FLEET_TRIM_RETRY_MS);
}

/* ---- for the container ---- */

/* Slots 0 to 3 grown by so much since their last trim. */
static void grown(const uint64_t mib[4], uint64_t now_ms)
{
    struct fleet_config config = base;
    config.container_trim_at.bytes = MIB(700);
    begin(&config, 3);
    (void)fleet_appear(&fleet, FLEET_WORKER, 40, true, 0, 0);
    for (unsigned slot = 0; slot < 4; slot++) {
        fleet.process[slot].after_bytes = MIB(10);
        fleet.process[slot].rss_bytes = MIB(10 + mib[slot]);
    }
    fleet_look_begin(&fleet, MIB(1000), MIB(700), now_ms);
    all_seen();
}

static void who_grew_most_is_chosen(void **state)
{
    (void)state;
    static const uint64_t first[] = { 50, 30, 40, 50 }, last[] = { 30, 40, 40, 60 };
    grown(first, 5000);
    struct fleet_decision decision = trim_for_container(&fleet);
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_CONTAINER);
    assert_int_equal(decision.slot, 0); /* of equals the first */
    assert_true(decision.at_bytes == MIB(700) && decision.used_bytes == MIB(700));
    assert_true(fleet.container.trim_begun);
    assert_int_equal(trim_for_container(&fleet).action, FLEET_NONE); /* one a look */
    fleet.trimming = 0;
    assert_int_equal(trim_for_container(&fleet).action, FLEET_NONE);
    grown(last, 5000);
    assert_int_equal(trim_for_container(&fleet).slot, 3);
    grown(last, 5000);
    fleet.process[3].state = FLEET_LEAVING;
    fleet.process[1].trim_after_ms = 5001;
    assert_int_equal(trim_for_container(&fleet).slot, 2);
    grown(last, 5000);
    fleet.process[3].counts = false;
    fleet.process[1].trim_after_ms = 5000;
    assert_int_equal(trim_for_container(&fleet).slot, 1);
    grown(last, 5000);
    fleet.process[3].ready = true; /* about to be recycled */
    assert_int_equal(trim_for_container(&fleet).slot, 1);
    grown(last, 5000);
    fleet.process[3].seen_look--; /* not read in this look */
    assert_int_equal(trim_for_container(&fleet).slot, 1);
    grown(last, 5000);
    fleet.process[4] = fleet.process[3]; /* behind the last known one */
    fleet.process[4].rss_bytes = MIB(900);
    assert_int_equal(trim_for_container(&fleet).slot, 3);
}

static void nobody_worth_a_trim_counts_as_tried(void **state)
{
    (void)state;
    static const uint64_t none[] = { 0, 0, 0, 0 }, one[] = { 0, 0, 0, 30 };
    grown(none, 5000);
    assert_int_equal(trim_for_container(&fleet).action, FLEET_NONE);
    assert_true(fleet.container.tried);
    grown(none, 5000);
    fleet.counted = 8;
    fleet.trimming = 1; /* one is at it: that is to be waited for */
    assert_int_equal(trim_for_container(&fleet).action, FLEET_NONE);
    assert_false(fleet.container.tried);
    fleet.container.tried = true;
    assert_int_equal(trim_for_container(&fleet).action, FLEET_NONE);
    assert_true(fleet.container.tried);
    grown(one, 5000);
    fleet.trimming = 1; /* of four, one may trim */
    assert_int_equal(trim_for_container(&fleet).action, FLEET_NONE);
    assert_false(fleet.container.tried);
    grown(one, 5000);
    assert_int_equal(trim_for_container(&fleet).action, FLEET_TRIM);
    assert_false(fleet.container.tried);
    grown(one, 5000);
    fleet.config.can_trim = false;
    assert_int_equal(trim_for_container(&fleet).action, FLEET_NONE);
    assert_true(fleet.container.tried);
}

static void the_container_asks_from_its_line_on(void **state)
{
    (void)state;
    static const uint64_t one[] = { 0, 30, 0, 0 };
    grown(one, 5000);
    fleet.container.used_bytes = MIB(700) - 1;
    assert_int_equal(trim_for_container(&fleet).action, FLEET_NONE);
    assert_false(fleet.container.tried);
    fleet.container.pressure = true;
    struct fleet_decision decision = trim_for_container(&fleet);
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_PRESSURE);
    assert_int_equal(decision.at_bytes, 0);
    assert_false(fleet.container.pressure);
    grown(one, 5000);
    fleet.container.trim_line = 0;
    assert_int_equal(trim_for_container(&fleet).action, FLEET_NONE);
    fleet.container.trim_line = fleet.container.used_bytes = 1;
    assert_int_equal(trim_for_container(&fleet).reason, FLEET_REASON_CONTAINER);
}

/* ---- verdicts ---- */

/* trims of which worth helped, bits as in fleet_process. */
static void review(uint8_t trims, uint8_t worth, enum trend_shape shape)
{
    process->trims = trims;
    process->worth = worth;
    process->shape = (uint8_t)shape;
    trim_review(&fleet, process);
}

static void a_verdict_is_due_when_it_is_sure(void **state)
{
    static const struct {
        uint8_t trims, worth;
        enum trend_shape shape;
        bool due;
    } rows[] = {
        { 3, 3, TREND_UNKNOWN, true }, { 3, 0, TREND_RISING, true },    { 1, 1, TREND_FLAT, false },
        { 15, 0, TREND_FLAT, true },   { 15, 0, TREND_UNKNOWN, false }, { 7, 0, TREND_FLAT, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        at(&base, 5000);
        review(rows[i].trims, rows[i].worth, rows[i].shape);
        assert_int_equal(process->verdict_due, rows[i].due);
        assert_int_equal(fleet.verdicts_due, rows[i].due);
        review(rows[i].trims, rows[i].worth, rows[i].shape); /* due once */
        assert_int_equal(fleet.verdicts_due, rows[i].due);
    }
}

static void a_verdict_is_said_once_and_changes_seldom(void **state)
{
    (void)state;
    at(&base, 0);
    process->rss_bytes = MIB(300);
    process->before_bytes = MIB(400);
    review(3, 3, TREND_FLAT);
    const struct fleet_decision decision = trim_verdict(&fleet);
    assert_int_equal(decision.action, FLEET_VERDICT);
    assert_int_equal(decision.verdict, VERDICT_FRAGMENTATION);
    assert_int_equal(decision.slot, 1);
    assert_int_equal(decision.pid, 41);
    assert_int_equal(decision.evidence.trims, 2);
    assert_int_equal(decision.evidence.worth, 2);
    assert_true(decision.rss_bytes == MIB(300) && decision.before_bytes == MIB(400));
    assert_int_equal(process->verdict_ms, 1); /* 0 would mean never */
    assert_int_equal(fleet.verdicts_due, 0);
    assert_false(process->verdict_due);
    assert_int_equal(trim_verdict(&fleet).action, FLEET_NONE);
    review(3, 3, TREND_FLAT);
    assert_false(process->verdict_due);
    fleet.now_ms = FLEET_VERDICT_MS; /* one ms before it may change */
    review(3, 3, TREND_RISING);
    assert_false(process->verdict_due);
    fleet.now_ms++;
    review(3, 3, TREND_FLAT); /* no news */
    assert_false(process->verdict_due);
    review(3, 3, TREND_RISING);
    assert_true(process->verdict_due);
    assert_int_equal(trim_verdict(&fleet).verdict, VERDICT_GROWTH);
    assert_int_equal(process->verdict_ms, FLEET_VERDICT_MS + 1);
}

static void verdicts_are_said_one_at_a_time(void **state)
{
    (void)state;
    begin(&base, 3);
    (void)fleet_appear(&fleet, FLEET_WORKER, 40, true, 0, 0);
    for (unsigned slot = 0; slot < 4; slot += 3) {
        process = &fleet.process[slot];
        review(3, 3, TREND_FLAT);
    }
    assert_int_equal(fleet.verdicts_due, 2);
    assert_int_equal(trim_verdict(&fleet).slot, 0);
    assert_int_equal(fleet.verdicts_due, 1);
    assert_int_equal(trim_verdict(&fleet).slot, 3);
    assert_int_equal(trim_verdict(&fleet).action, FLEET_NONE);
    fleet.verdicts_due = 1; /* of a process that is not in the table any more */
    fleet.process[4].verdict_due = true;
    assert_int_equal(trim_verdict(&fleet).action, FLEET_NONE);
    fleet.verdicts_due = 0; /* nothing is searched for then */
    fleet.process[3].verdict_due = true;
    assert_int_equal(trim_verdict(&fleet).action, FLEET_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_judged_trim_is_told_with_all_that_is_known),
        cmocka_unit_test(a_trim_is_worth_its_least_yield),
        cmocka_unit_test(the_last_four_trims_are_remembered),
        cmocka_unit_test(who_refuses_is_asked_ever_later),
        cmocka_unit_test(who_grew_most_is_chosen),
        cmocka_unit_test(nobody_worth_a_trim_counts_as_tried),
        cmocka_unit_test(the_container_asks_from_its_line_on),
        cmocka_unit_test(a_verdict_is_due_when_it_is_sure),
        cmocka_unit_test(a_verdict_is_said_once_and_changes_seldom),
        cmocka_unit_test(verdicts_are_said_one_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
