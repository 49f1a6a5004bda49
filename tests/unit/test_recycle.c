/* recycle.c function by function: who goes, for its own size or the container's, and who takes whose place. */
#include "policy/fleet_parts.h"

#include "fleet_story.h"

static const struct fleet_config base = {
    .recycle_at = { .bytes = MIB(500) },
    .container_recycle_at = { .bytes = MIB(850) },
    .can_respawn = true,
    .samples = 3,
    .at_once = 2,
    .settle_ms = 2000,
    .grace_ms = 60000,
    .interval_ms = 30000,
    .min_age_ms = 60000,
    .look_ms = 1000,
};

/* The worker and three processes in a look at a time, nothing of it wished for yet. */
static void at(const struct fleet_config *config, uint64_t now_ms)
{
    begin(config, 3);
    (void)fleet_appear(&fleet, FLEET_WORKER, 40, true, 0, 0);
    fleet_look_begin(&fleet, MIB(1000), MIB(850), now_ms);
    all_seen();
    fleet.next_look_ms = UINT64_MAX;
}

static void ready(unsigned slot, uint64_t bytes)
{
    fleet.process[slot].rss_bytes = fleet.process[slot].metric_bytes = bytes;
    fleet.process[slot].ready = true;
}

/* ---- replacements ---- */

static void the_longest_awaited_is_replaced_first(void **state)
{
    (void)state;
    at(&base, 100000);
    fleet.awaited_count = 3;
    fleet.awaited[0] = (struct fleet_awaited){ .old_pid = 41, .since_ms = 90000, .gone_ms = 0 }; /* still there */
    fleet.awaited[1] = (struct fleet_awaited){ .old_pid = 42, .since_ms = 91000, .gone_ms = 1 };
    fleet.awaited[2] = (struct fleet_awaited){ .old_pid = 43, .since_ms = 92000, .gone_ms = 93000 };
    slope_add(&fleet.container.slope, MIB(1), 1);
    (void)floors_add(&fleet.container.floors, MIB(1), 1);
    fleet.container.shape = TREND_RISING;
    struct fleet_decision decision = fleet_appear(&fleet, 4, 44, true, 91000 - FLEET_TICK_MS, 95000);
    assert_int_equal(decision.action, FLEET_REPLACED);
    assert_int_equal(decision.slot, 4);
    assert_int_equal(decision.pid, 44);
    assert_int_equal(decision.old_pid, 42);
    assert_int_equal(decision.took_ms, 4000);
    assert_int_equal(fleet.awaited_count, 2);
    assert_int_equal(fleet.awaited[0].old_pid, 41);
    assert_int_equal(fleet.awaited[1].old_pid, 43);
    /* without the old one the container is another */
    assert_int_equal(fleet.container.slope.count + fleet.container.floors.count, 0);
    assert_int_equal(fleet.container.shape, TREND_UNKNOWN);
    assert_int_equal(fleet_appear(&fleet, 5, 45, true, 92000 - FLEET_TICK_MS - 1, 95000).action, FLEET_NONE);
    decision = fleet_appear(&fleet, 5, 45, true, 92000, 91000); /* a clock that lags */
    assert_int_equal(decision.old_pid, 43);
    assert_int_equal(decision.took_ms, 0);
    fleet.awaited[1] = (struct fleet_awaited){ .old_pid = 46, .gone_ms = 1 }; /* no longer in the list */
    assert_int_equal(fleet_appear(&fleet, 6, 47, true, 95000, 95000).action, FLEET_NONE);
    assert_int_equal(fleet.awaited_count, 1);
}

static void worker_and_children_replace_their_like(void **state)
{
    (void)state;
    at(&base, 100000);
    fleet.awaited_count = 1;
    fleet.awaited[0] = (struct fleet_awaited){ .old_pid = 41, .gone_ms = 1 };
    assert_int_equal(fleet_appear(&fleet, FLEET_WORKER, 50, true, 0, 0).action, FLEET_NONE);
    assert_int_equal(fleet_appear(&fleet, 4, 51, false, 0, 0).action, FLEET_NONE);
    assert_int_equal(fleet_appear(&fleet, 4, 51, true, 0, 0).action, FLEET_REPLACED);
    fleet.awaited_count = 1;
    fleet.awaited[0] = (struct fleet_awaited){ .old_pid = 40, .worker = true, .gone_ms = 1 };
    assert_int_equal(fleet_appear(&fleet, 5, 52, true, 0, 0).action, FLEET_NONE);
    assert_int_equal(fleet_appear(&fleet, FLEET_WORKER, 53, false, 0, 0).action, FLEET_REPLACED);
}

static void who_goes_is_noted_once(void **state)
{
    (void)state;
    at(&base, 100000);
    fleet.awaited_count = 3;
    fleet.awaited[0] = (struct fleet_awaited){ .old_pid = 42 };
    fleet.awaited[1] = (struct fleet_awaited){ .old_pid = 41, .gone_ms = 5 }; /* its pid came again */
    fleet.awaited[2] = (struct fleet_awaited){ .old_pid = 41 };
    fleet.awaited[3] = (struct fleet_awaited){ .old_pid = 41 }; /* not in the list */
    recycle_gone(&fleet, 1, 0);
    assert_int_equal(fleet.awaited[0].gone_ms, 0);
    assert_int_equal(fleet.awaited[1].gone_ms, 5);
    assert_int_equal(fleet.awaited[2].gone_ms, 1); /* 0 would mean: still there */
    assert_int_equal(fleet.awaited[3].gone_ms, 0);
    recycle_gone(&fleet, 2, 100001);
    assert_int_equal(fleet.awaited[0].gone_ms, 100001);
    fleet.awaited[1].worker = true;
    recycle_gone(&fleet, FLEET_WORKER, 100002); /* nobody is left to replace those of its pool */
    assert_int_equal(fleet.awaited_count, 1);
    assert_true(fleet.awaited[0].worker);
}

static void a_replacement_that_does_not_come_is_said(void **state)
{
    (void)state;
    at(&base, 100000);
    fleet.awaited_count = 3;
    fleet.awaited[0] = (struct fleet_awaited){ .old_pid = 41 };
    fleet.awaited[1] = (struct fleet_awaited){ .old_pid = 42, .gone_ms = 1, .held = true };
    fleet.awaited[2] = (struct fleet_awaited){ .old_pid = 43, .gone_ms = 100001 - FLEET_HOLD_MS };
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 101000);
    fleet.now_ms++;
    struct fleet_decision decision = recycle_next(&fleet);
    assert_int_equal(decision.action, FLEET_HELD);
    assert_int_equal(decision.old_pid, 43);
    assert_int_equal(decision.took_ms, FLEET_HOLD_MS);
    fleet.next_look_ms = UINT64_MAX;
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    assert_true(fleet.next_look_ms == UINT64_MAX); /* nothing more to say of them */
    fleet.awaited_count = 1;                       /* one is said although others could be recycled meanwhile */
    fleet.awaited[0] = (struct fleet_awaited){ .old_pid = 41, .gone_ms = 1 };
    ready(1, MIB(600));
    assert_int_equal(recycle_next(&fleet).action, FLEET_HELD);
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
}

static void a_late_one_is_killed_and_again(void **state)
{
    (void)state;
    at(&base, 100000);
    struct fleet_process *process = &fleet.process[2];
    process->state = FLEET_LEAVING;
    process->since_ms = 50000;
    process->deadline_ms = 101001;
    process->rss_bytes = 77;
    assert_int_equal(recycle_kill_if_late(&fleet, 2).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 101000); /* it may have gone by then */
    process->deadline_ms = 100500;
    assert_int_equal(recycle_kill_if_late(&fleet, 2).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, 100500);
    process->deadline_ms = 100000;
    fleet.next_look_ms = UINT64_MAX;
    struct fleet_decision decision = recycle_kill_if_late(&fleet, 2);
    assert_int_equal(decision.action, FLEET_KILL);
    assert_int_equal(decision.slot, 2);
    assert_int_equal(decision.pid, 42);
    assert_true(decision.first);
    assert_int_equal(decision.rss_bytes, 77);
    assert_int_equal(decision.took_ms, 50000);
    assert_int_equal(fleet.next_look_ms, 101000);
    assert_int_equal(process->deadline_ms, 100000 + FLEET_KILL_REPEAT_MS);
    fleet.now_ms = process->deadline_ms;
    decision = recycle_kill_if_late(&fleet, 2);
    assert_int_equal(decision.action, FLEET_KILL);
    assert_false(decision.first);
}

/* ---- its own size ---- */

static void a_candidate_is_over_tried_old_and_may_go(void **state)
{
    (void)state;
    at(&base, 60000);
    struct fleet_process *process = &fleet.process[1];
    process->metric_bytes = MIB(500);
    process->over = 2;
    recycle_consider(&fleet, 1);
    assert_true(process->ready);
    assert_int_equal(process->over, 3);
    assert_int_equal(fleet.next_look_ms, 60000 + fleet.pace_ms);
    process->metric_bytes--;
    process->tried = true;
    recycle_consider(&fleet, 1);
    assert_false(process->ready || process->tried);
    assert_int_equal(process->over, 0);
    process->metric_bytes++;
    for (unsigned i = 0; i < 7; i++) { /* each alone is reason enough not to be */
        fleet.config.can_trim = i == 0;
        process->counts = i != 1;
        process->spared = i == 2;
        process->quiet_until_ms = i == 3 ? 60001 : 60000;
        process->born_ms = i == 4 ? 1 : 0;
        process->state = i == 5 ? FLEET_TRIMMING : FLEET_WATCHED;
        process->over = i == 6 ? 1 : 2;
        process->counted_ms = 59000;
        recycle_consider(&fleet, 1);
        assert_false(process->ready);
    }
    fleet.config.can_trim = process->tried = true;
    process->over = 3;
    recycle_consider(&fleet, 1);
    assert_true(process->ready);
    fleet.recycle_line = 0; /* no longer a policy for it */
    recycle_consider(&fleet, 1);
    assert_false(process->ready);
}

static void the_largest_that_may_go_goes(void **state)
{
    (void)state;
    at(&base, 100000);
    ready(0, MIB(600));
    ready(1, MIB(600));
    ready(3, MIB(600));
    assert_int_equal(recycle_next(&fleet).slot, 0); /* of equals the first */
    at(&base, 100000);
    ready(1, MIB(600));
    ready(2, MIB(700));
    ready(3, MIB(900));
    fleet.process[3].state = FLEET_TRIMMING;
    fleet.process[4] = fleet.process[3]; /* behind the last known one */
    fleet.process[4].state = FLEET_WATCHED;
    const struct fleet_decision decision = recycle_next(&fleet);
    assert_int_equal(decision.action, FLEET_RECYCLE);
    assert_int_equal(decision.reason, FLEET_REASON_AT);
    assert_int_equal(decision.slot, 2);
    assert_true(decision.rss_bytes == MIB(700) && decision.at_bytes == MIB(500) && decision.used_bytes == MIB(850));
    assert_false(fleet.process[2].ready);
    assert_int_equal(fleet.next_recycle_ms, 130000);
}

static void a_recycle_starts_the_grace(void **state)
{
    (void)state;
    struct fleet_config config = base;
    at(&config, 100000);
    struct fleet_process *process = &fleet.process[1];
    ready(1, MIB(600));
    process->metric_bytes = MIB(550);
    process->trims = process->worth = 3;
    process->killed = true; /* of an earlier life */
    const struct fleet_decision decision = recycle_next(&fleet);
    assert_int_equal(decision.action, FLEET_RECYCLE);
    assert_true(decision.rss_bytes == MIB(550)); /* by the metric */
    assert_int_equal(decision.verdict, VERDICT_FRAGMENTATION);
    assert_true(decision.eta_ms == FLEET_NEVER);
    assert_false(decision.no_room);
    assert_int_equal(process->state, FLEET_LEAVING);
    assert_int_equal(process->since_ms, 100000);
    assert_int_equal(process->deadline_ms, 160000);
    assert_false(process->killed);
    assert_int_equal(fleet.awaited_count, 1);
    assert_int_equal(fleet.awaited[0].old_pid, 41);
    assert_int_equal(fleet.awaited[0].since_ms, 100000);
    assert_int_equal(fleet.next_look_ms, 101000);
    config.grace_ms = 500;
    at(&config, 100000);
    ready(1, MIB(600));
    (void)recycle_next(&fleet);
    assert_int_equal(fleet.next_look_ms, 100500);
    config.dry_run = true;
    at(&config, 100000);
    ready(1, MIB(600));
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    assert_int_equal(fleet.process[1].state, FLEET_WATCHED);
    assert_int_equal(fleet.process[1].quiet_until_ms, 100000 + FLEET_REFUSED_MS);
    assert_int_equal(fleet.awaited_count, 0);
}

static void the_worker_goes_alone(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.method = FLEET_METHOD_RESPAWN;
    for (unsigned i = 0; i < 6; i++) {
        at(&config, 60000);
        struct fleet_process *worker = &fleet.process[FLEET_WORKER];
        ready(1, MIB(600));
        fleet.config.can_respawn = i != 1;
        fleet.awaited_count = i == 2;
        worker->state = i == 3 ? FLEET_LEAVING : FLEET_WATCHED;
        worker->quiet_until_ms = i == 4 ? 60001 : 60000;
        worker->born_ms = i == 5 ? 1 : 0;
        const struct fleet_decision decision = recycle_next(&fleet);
        assert_int_equal(decision.action, i == 0 ? FLEET_RECYCLE : FLEET_NONE);
        if (i == 0)
            assert_true(decision.slot == FLEET_WORKER && decision.method == FLEET_METHOD_RESPAWN && decision.pid == 41);
    }
}

static void handover_needs_room(void **state)
{
    static const struct {
        uint64_t used_mib, rss_mib;
        bool fits;
    } rows[] = { { 400, 600, true }, { 400, 601, false }, { 1000, 0, false }, { 999, 1, true }, { 1001, 0, false } };

    (void)state;
    struct fleet_config config = base;
    config.method = FLEET_METHOD_HANDOVER;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        at(&config, 60000);
        ready(FLEET_WORKER, MIB(rows[i].rss_mib));
        fleet.container.used_bytes = MIB(rows[i].used_mib);
        const struct fleet_decision decision = recycle_next(&fleet);
        assert_int_equal(decision.method, rows[i].fits ? FLEET_METHOD_HANDOVER : FLEET_METHOD_RESPAWN);
        assert_int_equal(decision.no_room, !rows[i].fits);
        assert_true(fleet.awaited[0].worker);
    }
    at(&config, 60000);
    fleet.process[1].ready = true; /* children are ended by a signal all the same */
    assert_int_equal(recycle_next(&fleet).method, FLEET_METHOD_SIGNAL);
}

static void who_refuses_stays_and_the_next_may_go_at_once(void **state)
{
    (void)state;
    at(&base, 100000);
    ready(1, MIB(600));
    fleet.awaited_count = 1;
    fleet.awaited[0] = (struct fleet_awaited){ .old_pid = 42 };
    assert_int_equal(recycle_next(&fleet).action, FLEET_RECYCLE);
    assert_int_equal(fleet.awaited_count, 2);
    fleet_refuse_recycle(&fleet, 1);
    assert_int_equal(fleet.process[1].state, FLEET_WATCHED);
    assert_int_equal(fleet.process[1].quiet_until_ms, 100000 + FLEET_REFUSED_MS);
    assert_int_equal(fleet.next_recycle_ms, 100000);
    assert_int_equal(fleet.awaited_count, 1);
    assert_int_equal(fleet.awaited[0].old_pid, 42);
    fleet.awaited[1].old_pid = 41; /* not in the list */
    fleet_refuse_recycle(&fleet, 1);
    assert_int_equal(fleet.awaited_count, 1);
    fleet.awaited_count = 3; /* a pid that came again: one of the two was meant */
    fleet.awaited[0].old_pid = fleet.awaited[2].old_pid = 41;
    fleet.awaited[1].old_pid = 43;
    fleet_refuse_recycle(&fleet, 1);
    assert_int_equal(fleet.awaited_count, 2);
    assert_int_equal(fleet.awaited[0].old_pid, 43);
    assert_int_equal(fleet.awaited[1].old_pid, 41);
}

static void the_list_of_the_awaited_may_be_full(void **state)
{
    (void)state;
    at(&base, 100000);
    fleet.awaited_count = FLEET_AWAIT_MAX;
    for (int i = 0; i < FLEET_AWAIT_MAX; i++)
        fleet.awaited[i] = (struct fleet_awaited){ .old_pid = 100 + i, .gone_ms = 1 };
    for (int i = 0; i < FLEET_AWAIT_MAX; i++)
        assert_int_equal(fleet_appear(&fleet, (uint16_t)(4 + i), 200 + i, true, 0, 0).old_pid, 100 + i);
    assert_int_equal(fleet.awaited_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_awaited_is_replaced_first),
        cmocka_unit_test(worker_and_children_replace_their_like),
        cmocka_unit_test(who_goes_is_noted_once),
        cmocka_unit_test(a_replacement_that_does_not_come_is_said),
        cmocka_unit_test(a_late_one_is_killed_and_again),
        cmocka_unit_test(a_candidate_is_over_tried_old_and_may_go),
        cmocka_unit_test(the_largest_that_may_go_goes),
        cmocka_unit_test(a_recycle_starts_the_grace),
        cmocka_unit_test(the_worker_goes_alone),
        cmocka_unit_test(handover_needs_room),
        cmocka_unit_test(who_refuses_stays_and_the_next_may_go_at_once),
        cmocka_unit_test(the_list_of_the_awaited_may_be_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
