/*
 * Stories of single processes with every boundary. test_fleet_crowd.c has what
 * must hold for many.
 */
#include "policy/fleet.h"

#include <string.h>

#include "cmocka_all.h"

#define MIB(n) ((uint64_t)(n) << 20)

static struct fleet fleet;

static const struct fleet_config base = {
    .recycle_at = { .bytes = MIB(500) },
    .can_respawn = true,
    .samples = 3,
    .at_once = 1,
    .min_yield_permyriad = 500,
    .settle_ms = 2000,
    .grace_ms = 60000,
    .interval_ms = 30000,
    .min_age_ms = 60000,
    .look_ms = 1000,
};

static void begin(const struct fleet_config *config)
{
    memset(&fleet, 0, sizeof fleet);
    fleet_init(&fleet, config, 1);
}

/* One look in which every process has the same RSS; what it decided, at most one thing. */
static struct fleet_decision look(uint64_t now_ms, uint64_t rss_bytes)
{
    struct fleet_decision found = { 0 };
    fleet_look_begin(&fleet, MIB(4096), FLEET_UNKNOWN, now_ms);
    for (uint16_t slot = 0; slot < fleet.high_slot; slot++) {
        if (fleet.process[slot].state == FLEET_FREE)
            continue;
        struct fleet_decision decision = fleet_sample(&fleet, slot, rss_bytes, FLEET_UNKNOWN);
        if (decision.action != FLEET_NONE) {
            assert_int_equal(found.action, FLEET_NONE);
            found = decision;
        }
    }
    for (;;) {
        struct fleet_decision decision = fleet_look_end(&fleet);
        if (decision.action == FLEET_NONE)
            return found;
        if (decision.action == FLEET_VERDICT)
            continue;
        assert_int_equal(found.action, FLEET_NONE);
        found = decision;
    }
}

struct step {
    uint64_t now_ms;
    uint64_t rss_bytes;
    enum fleet_action want;
};

static void tell(const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum fleet_action action = look(steps[i].now_ms, steps[i].rss_bytes).action;
        if (action != steps[i].want)
            fail_msg("at %llu ms: decided %d, wanted %d", (unsigned long long)steps[i].now_ms, (int)action,
                     (int)steps[i].want);
    }
}

#define TELL(steps) tell(steps, sizeof(steps) / sizeof(steps)[0])

static void samples_in_a_row_then_grace_then_kill(void **state)
{
    (void)state;
    static const struct step story[] = {
        { 100000, MIB(500) - 1, FLEET_NONE }, /* one byte below the line */
        { 101000, MIB(500), FLEET_NONE },     /* first */
        { 101999, MIB(500), FLEET_NONE },     /* too soon to count */
        { 102000, MIB(500), FLEET_NONE },     /* second */
        { 103000, MIB(500), FLEET_RECYCLE },  /* third */
        { 162999, MIB(500), FLEET_NONE },     /* one ms before the grace ends */
        { 163000, MIB(500), FLEET_KILL },     { 167999, MIB(500), FLEET_NONE },
        { 168000, MIB(500), FLEET_KILL }, /* state D: again */
    };
    begin(&base);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    TELL(story);
}

static void a_spike_is_forgotten(void **state)
{
    (void)state;
    static const struct step story[] = {
        { 100000, MIB(900), FLEET_NONE }, { 101000, MIB(900), FLEET_NONE }, { 102000, MIB(100), FLEET_NONE },
        { 103000, MIB(900), FLEET_NONE }, { 104000, MIB(900), FLEET_NONE }, { 105000, MIB(499), FLEET_NONE },
        { 106000, MIB(900), FLEET_NONE }, { 107000, MIB(900), FLEET_NONE }, { 108000, MIB(900), FLEET_RECYCLE },
    };
    begin(&base);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    TELL(story);
}

static void the_young_are_spared(void **state)
{
    (void)state;
    static const struct step story[] = {
        { 101000, MIB(900), FLEET_NONE }, { 102000, MIB(900), FLEET_NONE },    { 103000, MIB(900), FLEET_NONE },
        { 159999, MIB(900), FLEET_NONE }, { 160000, MIB(900), FLEET_RECYCLE }, /* a minute old */
    };
    begin(&base);
    (void)fleet_appear(&fleet, 1, 41, true, 100000, 100000);
    TELL(story);
}

static const struct fleet_config trimming = {
    .trim_at = { .bytes = MIB(300) },
    .recycle_at = { .bytes = MIB(500) },
    .can_trim = true,
    .can_respawn = true,
    .samples = 3,
    .at_once = 1,
    .min_yield_permyriad = 500,
    .settle_ms = 2000,
    .grace_ms = 60000,
    .interval_ms = 30000,
    .min_age_ms = 60000,
    .look_ms = 1000,
};

static void trim_comes_before_recycle(void **state)
{
    (void)state;
    static const struct step story[] = {
        { 100000, MIB(300) - 1, FLEET_NONE },
        { 101000, MIB(600), FLEET_TRIM },
        { 102000, MIB(600), FLEET_NONE }, /* settling: neither nagged nor counted */
        { 102999, MIB(600), FLEET_NONE },
        { 103000, MIB(600), FLEET_TRIMMED }, /* brought nothing */
        { 104000, MIB(600), FLEET_NONE },
        { 105000, MIB(600), FLEET_RECYCLE }, /* with the sample before the trim: three in a row */
    };
    begin(&trimming);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    TELL(story);
}

static void a_useful_trim_repeats_and_a_useless_one_comes_ever_later(void **state)
{
    (void)state;
    begin(&trimming);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    uint64_t now_ms = 100000;
    assert_int_equal(look(now_ms, MIB(400)).action, FLEET_TRIM);
    struct fleet_decision decision = look(now_ms += 2000, MIB(380)); /* exactly 5 % */
    assert_int_equal(decision.action, FLEET_TRIMMED);
    assert_true(decision.enough);
    assert_true(decision.before_bytes == MIB(400) && decision.rss_bytes == MIB(380) && decision.took_ms == 2000);
    assert_int_equal(look(now_ms + FLEET_TRIM_RETRY_MS - 1, MIB(400)).action, FLEET_NONE);

    uint64_t pause_ms = FLEET_TRIM_RETRY_MS;
    for (int i = 0; i < 14; i++) {
        now_ms += pause_ms;
        assert_int_equal(look(now_ms - 1, MIB(400)).action, FLEET_NONE);
        assert_int_equal(look(now_ms, MIB(400)).action, FLEET_TRIM);
        decision = look(now_ms += 2000, MIB(380) + 1); /* one byte short */
        assert_int_equal(decision.action, FLEET_TRIMMED);
        assert_false(decision.enough);
        if (i > 0)
            pause_ms = pause_ms * 2 < FLEET_TRIM_RETRY_MAX_MS ? pause_ms * 2 : FLEET_TRIM_RETRY_MAX_MS;
        else
            pause_ms = 2 * FLEET_TRIM_RETRY_MS;
    }
    assert_true(pause_ms == FLEET_TRIM_RETRY_MAX_MS);
}

static void who_cannot_trim_is_recycled_all_the_same(void **state)
{
    (void)state;
    begin(&trimming);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    assert_int_equal(look(100000, MIB(600)).action, FLEET_TRIM);
    assert_true(fleet_refuse_trim(&fleet, 1));
    assert_false(fleet_refuse_trim(&fleet, 1)); /* no news */
    assert_int_equal(look(101000, MIB(600)).action, FLEET_NONE);
    assert_int_equal(look(102000, MIB(600)).action, FLEET_RECYCLE);
}

static void the_next_waits_for_the_replacement(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.interval_ms = 0;
    config.samples = 1;
    begin(&config);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    (void)fleet_appear(&fleet, 2, 42, true, 0, 100000);
    assert_int_equal(look(101000, MIB(600)).action, FLEET_RECYCLE);
    assert_int_equal(look(102000, MIB(600)).action, FLEET_NONE); /* leaving */
    fleet_gone(&fleet, 1, 103000);
    assert_int_equal(look(103000, MIB(600)).action, FLEET_NONE); /* gone, not replaced */
    assert_int_equal(look(103000 + FLEET_HOLD_MS - 1, MIB(600)).action, FLEET_NONE);
    struct fleet_decision held = look(103000 + FLEET_HOLD_MS, MIB(600));
    assert_int_equal(held.action, FLEET_HELD);
    assert_int_equal(held.old_pid, 41);
    assert_int_equal(look(500000, MIB(600)).action, FLEET_NONE); /* said once, held on */

    struct fleet_decision older = fleet_appear(&fleet, 3, 40, true, 50000, 500500);
    assert_int_equal(older.action, FLEET_NONE); /* it was there before the recycle */
    struct fleet_decision bystander = fleet_appear(&fleet, 4, 39, false, 500000, 500500);
    assert_int_equal(bystander.action, FLEET_NONE); /* no target */
    struct fleet_decision replaced = fleet_appear(&fleet, 5, 43, true, 500000, 501000);
    assert_int_equal(replaced.action, FLEET_REPLACED);
    assert_int_equal(replaced.old_pid, 41);
    assert_int_equal(replaced.pid, 43);
    assert_true(replaced.took_ms == 400000);
    assert_int_equal(look(502000, MIB(600)).action, FLEET_RECYCLE);
}

static void recycles_are_an_interval_apart(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.at_once = 3;
    config.samples = 1;
    begin(&config);
    for (uint16_t slot = 1; slot <= 4; slot++)
        (void)fleet_appear(&fleet, slot, 40 + slot, true, 0, 100000);
    assert_int_equal(look(100000, MIB(600)).action, FLEET_RECYCLE);
    assert_int_equal(look(129999, MIB(600)).action, FLEET_NONE);
    assert_int_equal(look(130000, MIB(600)).action, FLEET_RECYCLE);
    assert_int_equal(look(159999, MIB(600)).action, FLEET_NONE);
    assert_int_equal(fleet.awaited_count, 2);
}

static void the_largest_goes_first(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.samples = 1;
    begin(&config);
    for (uint16_t slot = 1; slot <= 3; slot++)
        (void)fleet_appear(&fleet, slot, 40 + slot, true, 0, 100000);
    fleet_look_begin(&fleet, MIB(4096), FLEET_UNKNOWN, 100000);
    static const uint64_t sizes_mib[] = { 0, 600, 700, 650 };
    for (uint16_t slot = 1; slot <= 3; slot++)
        assert_int_equal(fleet_sample(&fleet, slot, MIB(sizes_mib[slot]), FLEET_UNKNOWN).action, FLEET_NONE);
    struct fleet_decision decision = fleet_look_end(&fleet);
    assert_int_equal(decision.action, FLEET_RECYCLE);
    assert_int_equal(decision.pid, 42);
    assert_int_equal(decision.method, FLEET_METHOD_SIGNAL);
}

static void the_worker_itself_is_respawned(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.samples = 1;
    begin(&config);
    (void)fleet_appear(&fleet, FLEET_WORKER, 7, true, 0, 100000);
    struct fleet_decision decision = look(100000, MIB(600));
    assert_int_equal(decision.action, FLEET_RECYCLE);
    assert_int_equal(decision.method, FLEET_METHOD_RESPAWN);
    fleet_gone(&fleet, FLEET_WORKER, 101000);
    decision = fleet_appear(&fleet, FLEET_WORKER, 8, true, 101000, 101000);
    assert_int_equal(decision.action, FLEET_REPLACED);
    assert_int_equal(decision.old_pid, 7);

    config.can_respawn = false; /* its end would be the container's */
    begin(&config);
    (void)fleet_appear(&fleet, FLEET_WORKER, 7, true, 0, 100000);
    assert_int_equal(look(100000, MIB(600)).action, FLEET_NONE);
}

static void respawn_takes_the_worker_for_a_fat_child(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.samples = 1;
    config.method = FLEET_METHOD_RESPAWN;
    config.at_once = 8;
    config.interval_ms = 0;
    begin(&config);
    (void)fleet_appear(&fleet, FLEET_WORKER, 7, false, 0, 100000);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    (void)fleet_appear(&fleet, 2, 42, true, 0, 100000);
    struct fleet_decision decision = look(100000, MIB(600));
    assert_int_equal(decision.action, FLEET_RECYCLE);
    assert_int_equal(decision.slot, FLEET_WORKER);
    assert_int_equal(decision.pid, 41);
    assert_int_equal(look(101000, MIB(600)).action, FLEET_NONE); /* one respawn is enough for all */
    struct fleet_decision late = look(160000, MIB(600));
    assert_int_equal(late.action, FLEET_KILL);
    assert_int_equal(late.slot, FLEET_WORKER);
}

static void who_cannot_be_recycled_does_not_block_the_others(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.samples = 1;
    begin(&config);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    (void)fleet_appear(&fleet, 2, 42, true, 0, 100000);
    fleet_look_begin(&fleet, MIB(4096), FLEET_UNKNOWN, 100000);
    (void)fleet_sample(&fleet, 1, MIB(700), FLEET_UNKNOWN);
    (void)fleet_sample(&fleet, 2, MIB(600), FLEET_UNKNOWN);
    assert_int_equal(fleet_look_end(&fleet).pid, 41);
    fleet_refuse_recycle(&fleet, 1);
    assert_int_equal(fleet.awaited_count, 0);
    assert_int_equal(fleet_look_end(&fleet).pid, 42); /* in the same look */
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
}

static void a_pool_that_ends_with_its_worker_is_not_awaited(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.samples = 1;
    begin(&config);
    (void)fleet_appear(&fleet, FLEET_WORKER, 7, false, 0, 100000);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    assert_int_equal(look(100000, MIB(600)).action, FLEET_RECYCLE);
    fleet_gone(&fleet, 1, 101000);
    fleet_gone(&fleet, FLEET_WORKER, 101000);
    assert_int_equal(fleet.awaited_count, 0);
    assert_int_equal(fleet.high_slot, 0);
}

static void a_dry_run_decides_but_counts_on_nothing(void **state)
{
    (void)state;
    struct fleet_config config = trimming;
    config.dry_run = true;
    begin(&config);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    assert_int_equal(look(100000, MIB(600)).action, FLEET_TRIM);
    assert_int_equal(look(101000, MIB(600)).action, FLEET_NONE);
    assert_int_equal(look(102000, MIB(600)).action, FLEET_RECYCLE);
    assert_int_equal(fleet.process[1].state, FLEET_WATCHED);
    assert_int_equal(fleet.awaited_count, 0);
    assert_int_equal(look(200000, MIB(600)).action, FLEET_NONE); /* never a KILL */
}

static void jitter_lowers_each_line_and_no_further(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.jitter_permyriad = 1000;
    begin(&config);
    uint32_t low = 10000, high = 0;
    for (uint16_t slot = 1; slot < 1000; slot++) {
        (void)fleet_appear(&fleet, slot, slot, true, 0, 0);
        uint32_t jitter = fleet.process[slot].jitter_permyriad;
        low = jitter < low ? jitter : low;
        high = jitter > high ? jitter : high;
    }
    assert_true(high <= 1000 && high > 900 && low < 100);
}

static void shares_follow_the_limit(void **state)
{
    (void)state;
    struct fleet_threshold share = { .share_permyriad = 8000 };
    assert_true(fleet_threshold_bytes(&share, 1000) == 800);
    assert_true(fleet_threshold_bytes(&share, UINT64_MAX) ==
                UINT64_MAX / 10000 * 8000 + UINT64_MAX % 10000 * 8000 / 10000);
    struct fleet_config config = base;
    config.recycle_at = (struct fleet_threshold){ .share_permyriad = 5000 };
    config.samples = 1;
    begin(&config);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    fleet_look_begin(&fleet, MIB(1000), FLEET_UNKNOWN, 100000);
    (void)fleet_sample(&fleet, 1, MIB(500) - 1, FLEET_UNKNOWN);
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
    fleet_look_begin(&fleet, MIB(900), FLEET_UNKNOWN, 101000); /* resized in place */
    (void)fleet_sample(&fleet, 1, MIB(500) - 1, FLEET_UNKNOWN);
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_RECYCLE);
}

static void looks_are_rare_when_quiet_and_close_near_a_line(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.recycle_at.bytes = MIB(3000);
    begin(&config);
    (void)fleet_appear(&fleet, 1, 41, true, 0, 100000);
    (void)look(100000, MIB(50));
    assert_true(fleet_next_look_ms(&fleet) == 100000 + config.look_ms * FLEET_QUIET_FACTOR);
    (void)look(200000, MIB(2900));
    assert_true(fleet_next_look_ms(&fleet) == 201000);
    (void)look(201000, MIB(3500)); /* the limit of 4096M is near in time */
    uint64_t before_ms = fleet_next_look_ms(&fleet);
    (void)look(202000, MIB(3900));
    (void)look(202100, MIB(3940));
    assert_true(before_ms <= 202000);
    assert_true(fleet_next_look_ms(&fleet) < 202100 + config.look_ms);
    assert_true(fleet_next_look_ms(&fleet) >= 202100 + FLEET_LOOK_MIN_MS);
}

static void nothing_to_do_needs_no_looks(void **state)
{
    (void)state;
    struct fleet_config config = { 0 };
    assert_false(fleet_has_work(&config));
    config.trim_at.bytes = 1;
    assert_false(fleet_has_work(&config)); /* nothing to ask with */
    config.can_trim = true;
    assert_true(fleet_has_work(&config));
    config = (struct fleet_config){ .recycle_at = { .share_permyriad = 1 } };
    assert_true(fleet_has_work(&config));
}

static void slots_fill_up_and_come_back(void **state)
{
    (void)state;
    begin(&base);
    for (int i = 1; i < FLEET_MAX; i++) {
        int slot = fleet_free_slot(&fleet);
        assert_int_equal(slot, i);
        (void)fleet_appear(&fleet, (uint16_t)slot, i, true, 0, 0);
    }
    assert_int_equal(fleet_free_slot(&fleet), -1);
    fleet_gone(&fleet, 77, 0);
    assert_int_equal(fleet_free_slot(&fleet), 77);
    fleet_gone(&fleet, FLEET_MAX - 1, 0);
    assert_int_equal(fleet.high_slot, FLEET_MAX - 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_in_a_row_then_grace_then_kill),
        cmocka_unit_test(a_spike_is_forgotten),
        cmocka_unit_test(the_young_are_spared),
        cmocka_unit_test(trim_comes_before_recycle),
        cmocka_unit_test(a_useful_trim_repeats_and_a_useless_one_comes_ever_later),
        cmocka_unit_test(who_cannot_trim_is_recycled_all_the_same),
        cmocka_unit_test(the_next_waits_for_the_replacement),
        cmocka_unit_test(recycles_are_an_interval_apart),
        cmocka_unit_test(the_largest_goes_first),
        cmocka_unit_test(the_worker_itself_is_respawned),
        cmocka_unit_test(respawn_takes_the_worker_for_a_fat_child),
        cmocka_unit_test(who_cannot_be_recycled_does_not_block_the_others),
        cmocka_unit_test(a_pool_that_ends_with_its_worker_is_not_awaited),
        cmocka_unit_test(a_dry_run_decides_but_counts_on_nothing),
        cmocka_unit_test(jitter_lowers_each_line_and_no_further),
        cmocka_unit_test(shares_follow_the_limit),
        cmocka_unit_test(looks_are_rare_when_quiet_and_close_near_a_line),
        cmocka_unit_test(nothing_to_do_needs_no_looks),
        cmocka_unit_test(slots_fill_up_and_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
