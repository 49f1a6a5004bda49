/* Processes that could not be read in a look: deadlines run on, nothing is begun; and whose turn it is to be measured. */
#include "policy/fleet_parts.h"

#include "fleet_story.h"

static const struct fleet_config base = {
    .recycle_at = { .bytes = MIB(500) },
    .metric = FLEET_METRIC_PSS,
    .can_respawn = true,
    .samples = 3,
    .at_once = 1,
    .settle_ms = 2000,
    .grace_ms = 60000,
    .look_ms = 1000,
};

/* A look in which nobody was read yet. */
static void look_at_nobody(uint64_t now_ms)
{
    fleet_look_begin(&fleet, MIB(4096), MIB(1000), now_ms);
    fleet.next_look_ms = UINT64_MAX;
}

static void each_look_has_its_number(void **state)
{
    (void)state;
    begin(&base, 1);
    for (uint32_t look = 1; look < 4; look++) {
        look_at_nobody(1000 * look);
        assert_int_equal(fleet.look, look);
        assert_false(fleet_sees(&fleet, &fleet.process[1]));
        (void)fleet_sample(&fleet, 1, MIB(100), FLEET_UNKNOWN);
        assert_true(fleet_sees(&fleet, &fleet.process[1]));
        fleet.process[1].state = FLEET_TRIMMING;
        assert_false(fleet_sees(&fleet, &fleet.process[1]));
        fleet.process[1].state = FLEET_WATCHED;
    }
}

static void below_its_line_a_process_is_forgiven_in_every_state(void **state)
{
    (void)state;
    begin(&base, 1);
    for (unsigned i = FLEET_WATCHED; i <= FLEET_LEAVING; i++) {
        look_at_nobody(1000);
        fleet.process[1].state = (uint8_t)i;
        fleet.process[1].deadline_ms = 9000;
        fleet.process[1].over = 2;
        fleet.process[1].opaque = true; /* held against its RSS */
        fleet.process[1].counted_ms = 1000;
        (void)fleet_sample(&fleet, 1, MIB(500), FLEET_UNKNOWN);
        assert_int_equal(fleet.process[1].over, 2);
        (void)fleet_sample(&fleet, 1, MIB(500) - 1, FLEET_UNKNOWN);
        assert_int_equal(fleet.process[1].over, 0);
    }
}

static void a_trim_ends_unseen(void **state)
{
    (void)state;
    begin(&base, 1);
    struct fleet_process *process = &fleet.process[1];
    process->state = FLEET_TRIMMING;
    fleet.trimming = 1;
    process->before_bytes = MIB(300);
    process->deadline_ms = 5000;
    process->trim_retry_ms = 40000;
    look_at_nobody(3000);
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
    assert_int_equal(process->state, FLEET_TRIMMING);
    assert_int_equal(fleet.next_look_ms, 5000);
    look_at_nobody(5000);
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
    assert_int_equal(process->state, FLEET_WATCHED);
    assert_int_equal(fleet.trimming, 0);
    assert_true(process->after_bytes == MIB(300)); /* nothing is known but what was before */
    assert_int_equal(process->trimmed_ms, 5000);
    assert_int_equal(process->trim_after_ms, 45000);
    assert_int_equal(process->trim_retry_ms, 80000);
}

static void who_was_seen_is_judged_at_its_sample(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.can_trim = true;
    config.metric = FLEET_METRIC_RSS;
    config.settle_ms = 0;
    begin(&config, 1);
    look_at_nobody(5000);
    assert_int_equal(fleet_sample(&fleet, 1, MIB(500), FLEET_UNKNOWN).action, FLEET_TRIM);
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
    assert_int_equal(fleet.process[1].state, FLEET_TRIMMING); /* it was asked a moment ago */
}

static void the_grace_ends_unseen(void **state)
{
    (void)state;
    begin(&base, 4);
    (void)fleet_appear(&fleet, FLEET_WORKER, 40, true, 0, 0);
    for (unsigned slot = 0; slot <= 5; slot++) { /* 5 is behind the last known one */
        fleet.process[slot].state = FLEET_LEAVING;
        fleet.process[slot].deadline_ms = slot == 2 ? 5001 : 5000;
    }
    fleet.process[4].state = FLEET_WATCHED;
    fleet.process[4].verdict_due = true;
    fleet.verdicts_due = 1;
    look_at_nobody(5000);
    (void)fleet_sample(&fleet, 3, MIB(100), FLEET_UNKNOWN); /* judged at its sample */
    struct fleet_decision decision = fleet_look_end(&fleet);
    assert_int_equal(decision.action, FLEET_KILL);
    assert_int_equal(decision.slot, 0);
    decision = fleet_look_end(&fleet); /* one decision at a time */
    assert_int_equal(decision.action, FLEET_KILL);
    assert_int_equal(decision.slot, 1);
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_VERDICT); /* then the rest */
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
    assert_false(fleet.process[2].killed || fleet.process[4].killed || fleet.process[5].killed);
}

/* ---- turns ---- */

/* Slots that are over their line in this look; which is asked to be measured, 0: none. */
static unsigned measured_of(uint64_t now_ms, unsigned first, unsigned last)
{
    unsigned asked = 0;
    look_at_nobody(now_ms);
    for (unsigned slot = first; slot <= last; slot++) {
        if (fleet_sample(&fleet, (uint16_t)slot, MIB(900), FLEET_UNKNOWN).action != FLEET_MEASURE)
            continue;
        assert_int_equal(asked, 0);
        asked = slot;
        (void)fleet_measured(&fleet, (uint16_t)slot, MIB(400), MIB(400), 5000); /* spends the budget of 500 ms */
    }
    (void)fleet_look_end(&fleet);
    return asked;
}

static void all_are_measured_in_turn(void **state)
{
    static const unsigned turns[] = { 1, 2, 3, 1, 2, 3, 1 };

    (void)state;
    begin(&base, 3);
    for (unsigned i = 0; i < sizeof turns / sizeof turns[0]; i++)
        assert_int_equal(measured_of(1000 + 600 * i, 1, 3), turns[i]);
    assert_int_equal(measured_of(10000, 1, 1), 0); /* it is for others, who do not want it: the next round begins */
    assert_int_equal(measured_of(11000, 1, 1), 1);
    assert_int_equal(measured_of(12000, 1, 1), 0);
    assert_int_equal(measured_of(13000, 1, 3), 1);
    assert_int_equal(measured_of(13100, 1, 1), 0); /* the budget is spent: the round goes on */
    assert_int_equal(measured_of(13600, 1, 2), 2);
    assert_int_equal(fleet.measure_from, 3);
    assert_false(fleet.measure_wanted);
}

static void who_wants_a_turn_is_remembered(void **state)
{
    (void)state;
    begin(&base, 3);
    fleet.measure_from = 2;
    fleet.next_measure_ms = 5000;
    look_at_nobody(1000);
    (void)fleet_sample(&fleet, 2, MIB(900), FLEET_UNKNOWN); /* it is its turn: no round has to end for it */
    assert_false(fleet.measure_wanted);
    (void)fleet_sample(&fleet, 1, MIB(900), FLEET_UNKNOWN);
    assert_true(fleet.measure_wanted);
    (void)fleet_sample(&fleet, 3, MIB(900), FLEET_UNKNOWN);
    assert_true(fleet.measure_wanted);
    (void)fleet_look_end(&fleet);
    assert_int_equal(fleet.measure_from, 2); /* without a budget no round begins */
    look_at_nobody(5000);
    assert_int_equal(fleet_sample(&fleet, 2, MIB(900), FLEET_UNKNOWN).action, FLEET_MEASURE);
    assert_int_equal(fleet.measure_from, 3);
    assert_false(fleet.measure_wanted);
    (void)fleet_look_end(&fleet);
    assert_int_equal(fleet.measure_from, 3); /* nobody wants it */
    fleet.measure_wanted = true;
    look_at_nobody(6000);
    (void)fleet_look_end(&fleet);
    assert_int_equal(fleet.measure_from, 0);
    assert_false(fleet.measure_wanted);
    fleet.measure_from = 4; /* behind the last one: the round is over in any case */
    fleet.next_measure_ms = 9000;
    look_at_nobody(7000);
    (void)fleet_look_end(&fleet);
    assert_int_equal(fleet.measure_from, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_look_has_its_number),
        cmocka_unit_test(below_its_line_a_process_is_forgiven_in_every_state),
        cmocka_unit_test(a_trim_ends_unseen),
        cmocka_unit_test(who_was_seen_is_judged_at_its_sample),
        cmocka_unit_test(the_grace_ends_unseen),
        cmocka_unit_test(all_are_measured_in_turn),
        cmocka_unit_test(who_wants_a_turn_is_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
