/* Processes that end by themselves while a replacement is awaited: what comes is theirs first. */
#include "policy/fleet_parts.h"

#include "fleet_story.h"

static const struct fleet_config base = {
    .recycle_at = { .bytes = MIB(500) },
    .can_respawn = true,
    .samples = 3,
    .at_once = 4,
    .grace_ms = 60000,
    .look_ms = 1000,
};

/* Three children at 1000 s, of which the first was recycled and has gone. */
static void at(void)
{
    begin(&base, 3);
    (void)fleet_appear(&fleet, FLEET_WORKER, 40, true, 0, 0);
    fleet_look_begin(&fleet, MIB(1000), MIB(100), 1000000);
    fleet.next_look_ms = UINT64_MAX;
    fleet.awaited_count = 1;
    fleet.awaited[0] = (struct fleet_awaited){ .old_pid = 41, .since_ms = 990000 };
    fleet.process[1].state = FLEET_LEAVING;
    fleet_gone(&fleet, 1, 1000000);
}

static struct fleet_decision come(unsigned slot, int32_t pid, uint64_t now_ms)
{
    return fleet_appear(&fleet, (uint16_t)slot, pid, true, now_ms, now_ms);
}

static void who_was_told_to_go_is_no_stray(void **state)
{
    (void)state;
    at();
    assert_int_equal(fleet.strays, 0);
    assert_int_equal(come(1, 51, 1000100).action, FLEET_REPLACED);
}

static void what_comes_is_a_strays_first(void **state)
{
    (void)state;
    at();
    fleet_gone(&fleet, 2, 1000100);
    assert_int_equal(fleet.strays, 1);
    assert_int_equal(fleet.stray_ms, 1000100);
    assert_int_equal(come(2, 52, 1000200).action, FLEET_NONE);
    assert_int_equal(fleet.strays, 0);
    assert_int_equal(fleet.awaited[0].other_pid, 52);
    assert_int_equal(fleet.awaited[0].other_slot, 2);
    const struct fleet_decision decision = come(1, 51, 1000300);
    assert_int_equal(decision.action, FLEET_REPLACED);
    assert_int_equal(decision.old_pid, 41);
    assert_int_equal(decision.pid, 51);
}

static void strays_are_counted_for_a_minute(void **state)
{
    static const struct {
        uint64_t later_ms;
        unsigned strays;
    } rows[] = { { FLEET_HOLD_MS - 1, 2 }, { FLEET_HOLD_MS, 1 } };

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        at();
        fleet_gone(&fleet, 2, 1000000);
        fleet_gone(&fleet, 3, 1000000 + rows[i].later_ms);
        assert_int_equal(fleet.strays, rows[i].strays);
        assert_int_equal(fleet.stray_ms, 1000000 + rows[i].later_ms);
        at();
        fleet_gone(&fleet, 2, 1000000);
        assert_int_equal(come(2, 52, 1000000 + rows[i].later_ms).action, i == 0 ? FLEET_NONE : FLEET_REPLACED);
    }
    at();
    fleet_gone(&fleet, 2, 1000000);
    fleet_set_counts(&fleet, 3, false);
    fleet_gone(&fleet, 3, 1000500); /* no target, no stray */
    assert_int_equal(fleet.strays, 1);
    assert_int_equal(fleet.stray_ms, 1000000);
    fleet_gone(&fleet, FLEET_WORKER, 1000600); /* its pool went with it */
    assert_int_equal(fleet.strays, 0);
}

static void only_a_child_that_counts_is_a_strays(void **state)
{
    (void)state;
    at();
    fleet.awaited[0].worker = true;
    fleet_gone(&fleet, 2, 1000000);
    assert_int_equal(come(FLEET_WORKER, 50, 1000100).action, FLEET_REPLACED);
    at();
    fleet_gone(&fleet, 2, 1000000);
    assert_int_equal(fleet_appear(&fleet, 2, 52, false, 1000100, 1000100).action, FLEET_NONE);
    assert_int_equal(fleet.strays, 1);
    assert_int_equal(fleet.awaited[0].other_pid, 0);
    assert_int_equal(come(4, 54, 1000100).action, FLEET_NONE); /* and it is its */
    assert_int_equal(fleet.strays, 0);
}

static void the_first_that_is_free_notes_the_other(void **state)
{
    (void)state;
    at();
    fleet.awaited_count = 5;
    fleet.awaited[0] = (struct fleet_awaited){ .old_pid = 60, .worker = true, .gone_ms = 1 };
    fleet.awaited[1] = (struct fleet_awaited){ .old_pid = 61 }; /* still leaving */
    fleet.awaited[2] = (struct fleet_awaited){ .old_pid = 62, .gone_ms = 1, .other_pid = 1 };
    fleet.awaited[3] = (struct fleet_awaited){ .old_pid = 63, .gone_ms = 1 };
    fleet.awaited[4] = (struct fleet_awaited){ .old_pid = 64, .gone_ms = 1 };
    fleet.awaited[5] = (struct fleet_awaited){ .old_pid = 65, .gone_ms = 1 }; /* not in the list */
    fleet.strays = 3;
    fleet.stray_ms = 1000000;
    for (int32_t pid = 71; pid < 74; pid++)
        assert_int_equal(come((unsigned)(pid - 66), pid, 1000100).action, FLEET_NONE);
    static const int32_t others[] = { 0, 0, 1, 71, 72, 0 };
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(fleet.awaited[i].other_pid, others[i]);
    assert_int_equal(fleet.awaited[3].other_slot, 5);
    fleet_gone(&fleet, 5, 1000200); /* 71 has gone, too */
    assert_int_equal(fleet.awaited[3].other_pid, 0);
    assert_int_equal(fleet.awaited[4].other_pid, 72);
    at();
    fleet.strays = 1;
    fleet.stray_ms = 1000000;
    assert_int_equal(come(1, 41, 1000100).action, FLEET_NONE); /* noted from the first on */
    assert_int_equal(fleet.awaited[0].other_pid, 41);
}

static void a_stray_that_is_not_replaced_gives_it_back(void **state)
{
    (void)state;
    at();
    fleet.awaited[0].gone_ms = 1;
    fleet.awaited[0].other_pid = 1;
    fleet.awaited[0].other_slot = 2;
    slope_add(&fleet.container.slope, MIB(1), 1);
    fleet.now_ms = FLEET_HOLD_MS; /* one ms before a replacement is missed */
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, fleet.now_ms + 1000);
    fleet.now_ms++;
    assert_int_equal(recycle_next(&fleet).action, FLEET_HELD);
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE); /* said once */
    fleet.now_ms = FLEET_REFUSED_MS;
    fleet.next_look_ms = UINT64_MAX;
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    assert_int_equal(fleet.next_look_ms, FLEET_REFUSED_MS + 1000);
    fleet.awaited[0].since_ms = 1000;
    fleet.now_ms++;
    const struct fleet_decision decision = recycle_next(&fleet);
    assert_int_equal(decision.action, FLEET_REPLACED);
    assert_int_equal(decision.slot, 2);
    assert_int_equal(decision.pid, 1);
    assert_int_equal(decision.old_pid, 41);
    assert_int_equal(decision.took_ms, FLEET_REFUSED_MS + 1 - 1000);
    assert_int_equal(fleet.awaited_count, 0);
    assert_int_equal(fleet.container.slope.count, 0); /* the container is another */
    at();
    fleet.awaited[0].gone_ms = 1; /* nobody came: it is waited for, however long */
    fleet.awaited[0].held = true;
    fleet.now_ms = 10 * FLEET_REFUSED_MS;
    assert_int_equal(recycle_next(&fleet).action, FLEET_NONE);
    assert_int_equal(fleet.awaited_count, 1);
    fleet.awaited[0].held = false;
    assert_int_equal(recycle_next(&fleet).action, FLEET_HELD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_told_to_go_is_no_stray),
        cmocka_unit_test(what_comes_is_a_strays_first),
        cmocka_unit_test(strays_are_counted_for_a_minute),
        cmocka_unit_test(only_a_child_that_counts_is_a_strays),
        cmocka_unit_test(the_first_that_is_free_notes_the_other),
        cmocka_unit_test(a_stray_that_is_not_replaced_gives_it_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
