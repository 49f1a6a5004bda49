/* What the agent of a process reports of its trims, and what it means when it reports nothing. */
#include "fleet_story.h"

static const struct fleet_config base = {
    .trim_at = { .bytes = MIB(90) },
    .recycle_at = { .bytes = MIB(150) },
    .can_trim = true,
    .can_respawn = true,
    .expects_reports = true,
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
    seen.rss_bytes[1] = rss_bytes;
    return seen;
}

static struct fleet_report of(uint64_t before_bytes, uint64_t after_bytes)
{
    return (struct fleet_report){
        .before_bytes = before_bytes, .after_bytes = after_bytes, .held_bytes = MIB(80), .used_bytes = MIB(70)
    };
}

static void a_report_is_judged_at_once(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(100));
    begin(&base, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    const struct fleet_report report = of(MIB(101), MIB(60));
    const struct fleet_decision decision = fleet_reported(&fleet, 1, &report, 1020);
    assert_int_equal(decision.action, FLEET_TRIMMED);
    assert_int_equal(decision.reason, FLEET_REASON_AT);
    assert_int_equal(decision.slot, 1);
    assert_int_equal(decision.pid, 41);
    assert_true(decision.enough);
    assert_int_equal(decision.unanswered, 0);
    assert_true(decision.before_bytes == MIB(101) && decision.rss_bytes == MIB(60));
    assert_int_equal(decision.took_ms, 20);
    const struct fleet_process *process = &fleet.process[1];
    assert_int_equal(process->state, FLEET_WATCHED);
    assert_int_equal(fleet.trimming, 0);
    assert_true(process->after_bytes == MIB(60) && process->rss_bytes == MIB(60));
    assert_int_equal(process->trimmed_ms, 1020);
    assert_int_equal(process->trim_after_ms, 11020);
    assert_true(process->held_bytes == MIB(80) && process->used_bytes == MIB(70) && !process->other_heap);
    assert_int_equal(process->trims, 1);
    assert_int_equal(process->worth, 1);
    assert_int_equal(fleet_next_look_ms(&fleet), 2000); /* as before: no later for it */
    assert_int_equal(look(3000, &seen).action, FLEET_NONE);
}

static void what_it_tells_is_the_evidence(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(100));
    struct fleet_decision decisions[4];
    struct fleet_report report = of(MIB(100), MIB(99));
    report.used_bytes = MIB(10);
    report.other_heap = true;
    begin(&base, 1);
    for (uint64_t now_ms = 1000; now_ms < 20000; now_ms += 11000) {
        assert_int_equal(look(now_ms, &seen).action, FLEET_TRIM);
        assert_int_equal(fleet_reported(&fleet, 1, &report, now_ms + 10).action, FLEET_TRIMMED);
    }
    assert_int_equal(look_at(14000, &seen, decisions, 4), 1);
    assert_int_equal(decisions[0].action, FLEET_VERDICT);
    assert_int_equal(decisions[0].verdict, VERDICT_PINNED);
    assert_true(decisions[0].evidence.other_heap);
    assert_true(decisions[0].evidence.rss_bytes == MIB(100));
    assert_true(decisions[0].evidence.held_bytes == MIB(80) && decisions[0].evidence.used_bytes == MIB(10));
}

static void what_the_agent_could_not_find_out_is_what_was_seen(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(100));
    begin(&base, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    struct fleet_report report = of(FLEET_UNKNOWN, FLEET_UNKNOWN);
    report.held_bytes = report.used_bytes = FLEET_UNKNOWN;
    report.other_heap = true;
    const struct fleet_decision decision = fleet_reported(&fleet, 1, &report, 1020);
    assert_int_equal(decision.action, FLEET_TRIMMED);
    assert_false(decision.enough);
    assert_true(decision.before_bytes == MIB(100) && decision.rss_bytes == MIB(100));
    assert_true(fleet.process[1].held_bytes == VERDICT_NO_FIGURE && fleet.process[1].used_bytes == VERDICT_NO_FIGURE);
    assert_true(fleet.process[1].other_heap);
    assert_int_equal(fleet.process[1].unanswered, 0);
    assert_int_equal(fleet.process[1].trims, 1);
    assert_int_equal(fleet.process[1].worth, 0);
}

static void a_report_nobody_asked_for_is_only_noted(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(50));
    begin(&base, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_NONE);
    const struct fleet_report report = of(MIB(50), MIB(10));
    assert_int_equal(fleet_reported(&fleet, 1, &report, 1020).action, FLEET_NONE);
    assert_true(fleet.process[1].held_bytes == MIB(80));
    assert_true(fleet.process[1].rss_bytes == MIB(50));
    assert_int_equal(fleet.process[1].trims, 0);

    fleet.process[1].state = FLEET_LEAVING; /* it answers while it leaves */
    fleet.process[1].unanswered = 1;
    assert_int_equal(fleet_reported(&fleet, 1, &report, 1030).action, FLEET_NONE);
    assert_int_equal(fleet.process[1].state, FLEET_LEAVING);
}

static void time_does_not_go_back_for_a_report(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(100));
    begin(&base, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    const struct fleet_report report = of(MIB(100), MIB(50));
    assert_int_equal(fleet_reported(&fleet, 1, &report, 10).took_ms, 0);
    assert_int_equal(fleet.now_ms, 1000);
}

/* Asked again soon at first, as the ask may have met a moment between two waits; then as rarely as other vain trims. */
static void who_does_not_answer_is_asked_again(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(100));
    struct fleet_decision decision = { 0 };
    uint64_t now_ms = 0;
    begin(&base, 1);
    const struct fleet_process *process = &fleet.process[1];
    for (unsigned i = 1; i <= FLEET_UNANSWERED_MAX; i++) {
        uint64_t before_ms = now_ms;
        assert_int_equal(look_until(&now_ms, 1000000, &seen).action, FLEET_TRIM);
        assert_true(i == 1 || now_ms == before_ms + FLEET_TRIM_RETRY_MS);
        decision = look_until(&now_ms, 1000000, &seen);
        assert_int_equal(decision.action, FLEET_TRIMMED);
        assert_int_equal(decision.unanswered, i);
        assert_false(decision.enough);
        assert_int_equal(process->trim_after_ms, now_ms + FLEET_TRIM_RETRY_MS);
        assert_true(i == FLEET_UNANSWERED_MAX || (process->after_bytes == 0 && process->trimmed_ms == 0));
    }
    assert_true(process->after_bytes == MIB(100));
    assert_int_equal(process->trimmed_ms, now_ms);
    assert_int_equal(process->trim_after_ms, now_ms + FLEET_TRIM_RETRY_MS);
    assert_int_equal(process->trim_retry_ms, 2 * FLEET_TRIM_RETRY_MS);
    assert_int_equal(process->trims, 0); /* no evidence */
    assert_int_equal(process->unanswered, 3);
    assert_int_equal(look_until(&now_ms, 1000000, &seen).action, FLEET_TRIM);
    assert_int_equal(look_until(&now_ms, 1000000, &seen).unanswered, 4);
    assert_int_equal(process->trim_after_ms, now_ms + 2 * FLEET_TRIM_RETRY_MS);
}

static void however_often_it_is_counted_to_a_bound(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(100));
    begin(&base, 1);
    fleet.process[1].unanswered = UINT8_MAX - 1;
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    assert_int_equal(look(3000, &seen).unanswered, UINT8_MAX);
    assert_int_equal(look(13000, &seen).action, FLEET_TRIM);
    assert_int_equal(look(15000, &seen).unanswered, UINT8_MAX);
}

/* It cannot tell, as under a filter that forbids sockets, but trims all the same. */
static void what_it_brought_is_an_answer_too(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(100));
    begin(&base, 1);
    fleet.process[1].unanswered = 2;
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    seen.rss_bytes[1] = MIB(80);
    const struct fleet_decision decision = look(3000, &seen);
    assert_int_equal(decision.action, FLEET_TRIMMED);
    assert_true(decision.enough);
    assert_int_equal(decision.unanswered, 0);
    assert_int_equal(fleet.process[1].trims, 1);
    assert_int_equal(fleet.process[1].worth, 1);
    assert_true(fleet.process[1].after_bytes == MIB(80));
}

static void a_late_report_answers(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(100));
    begin(&base, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    assert_int_equal(look(3000, &seen).unanswered, 1);
    const struct fleet_report report = of(MIB(100), MIB(50));
    const struct fleet_decision decision = fleet_reported(&fleet, 1, &report, 4500);
    assert_int_equal(decision.action, FLEET_TRIMMED);
    assert_int_equal(decision.unanswered, 0);
    assert_int_equal(decision.took_ms, 3500);
    assert_true(decision.enough);
    assert_int_equal(fleet.process[1].trims, 1);
    assert_int_equal(fleet.process[1].trim_after_ms, 14500);
    assert_int_equal(fleet_reported(&fleet, 1, &report, 4600).action, FLEET_NONE); /* it was judged */
}

static void without_an_agent_nothing_is_expected(void **state)
{
    (void)state;
    struct fleet_config config = base;
    struct seen seen = flat(MIB(100));
    config.expects_reports = false;
    begin(&config, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    assert_int_equal(look(3000, &seen).unanswered, 0);
    assert_int_equal(fleet.process[1].trims, 1);
    assert_true(fleet.process[1].after_bytes == MIB(100));
}

/* Whoever does not answer is no reason to let it run out of memory. */
static void an_unanswered_trim_is_tried(void **state)
{
    (void)state;
    struct seen seen = flat(MIB(200));
    uint64_t now_ms = 3000;
    begin(&base, 1);
    assert_int_equal(look(1000, &seen).action, FLEET_TRIM);
    assert_int_equal(look(3000, &seen).action, FLEET_TRIMMED);
    assert_true(fleet.process[1].tried);
    assert_int_equal(look_until(&now_ms, 20000, &seen).action, FLEET_RECYCLE);
    assert_true(now_ms <= 6000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_judged_at_once),
        cmocka_unit_test(what_it_tells_is_the_evidence),
        cmocka_unit_test(what_the_agent_could_not_find_out_is_what_was_seen),
        cmocka_unit_test(a_report_nobody_asked_for_is_only_noted),
        cmocka_unit_test(time_does_not_go_back_for_a_report),
        cmocka_unit_test(who_does_not_answer_is_asked_again),
        cmocka_unit_test(however_often_it_is_counted_to_a_bound),
        cmocka_unit_test(what_it_brought_is_an_answer_too),
        cmocka_unit_test(a_late_report_answers),
        cmocka_unit_test(without_an_agent_nothing_is_expected),
        cmocka_unit_test(an_unanswered_trim_is_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
