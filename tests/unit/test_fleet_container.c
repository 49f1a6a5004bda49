/* What is done for the container's sake: trims first, then the one whose end frees most, if it still grows. */
#include "fleet_story.h"

static const struct fleet_config base = {
    .container_trim_at = { .share_permyriad = 7000 },
    .container_recycle_at = { .share_permyriad = 8500 },
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

static struct seen container(uint64_t used_bytes, uint64_t first, uint64_t second, uint64_t third)
{
    return (struct seen){
        .limit_bytes = MIB(1000), .used_bytes = used_bytes, .rss_bytes = { 0, first, second, third }, .cost_us = 500
    };
}

/* A container that has risen to its line for long, by what its processes grew: from half of what they have. */
static uint64_t rise_to(uint64_t used_bytes, struct seen *seen)
{
    uint64_t now_ms = 0;
    uint64_t before_bytes = seen->used_bytes;
    const struct seen end = *seen;
    for (unsigned minute = 1; minute <= 60; minute++) {
        for (unsigned i = 0; i < 6; i++) {
            struct fleet_decision decisions[8];
            seen->used_bytes = before_bytes + (used_bytes - before_bytes) * minute / 60;
            for (unsigned slot = 0; slot < 4; slot++)
                seen->rss_bytes[slot] = end.rss_bytes[slot] * (60 + minute) / 120;
            now_ms += 10000;
            (void)look_at(now_ms, seen, decisions, 8);
        }
    }
    return now_ms;
}

static void trims_what_grew_most_first(void **state)
{
    (void)state;
    struct seen seen = container(MIB(700) - 1, MIB(100), MIB(300), MIB(200));
    begin(&base, 3);
    assert_int_equal(look(1000, &seen).action, FLEET_NONE);
    seen.used_bytes = MIB(700);
    struct fleet_decision decision = look(2000, &seen);
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_CONTAINER);
    assert_int_equal(decision.slot, 2);
    assert_true(decision.used_bytes == MIB(700));
    assert_int_equal(look(3000, &seen).action, FLEET_NONE); /* one at a time */
    seen.rss_bytes[2] = MIB(250);
    struct fleet_decision decisions[4];
    assert_int_equal(look_at(4000, &seen, decisions, 4), 2);
    assert_int_equal(decisions[0].action, FLEET_TRIMMED);
    assert_int_equal(decisions[1].action, FLEET_TRIM);
    assert_int_equal(decisions[1].slot, 3);
    assert_int_equal(look_at(6000, &seen, decisions, 4), 2);
    assert_int_equal(decisions[1].slot, 1);
    assert_int_equal(look(8000, &seen).action, FLEET_TRIMMED);
    uint64_t now_ms = 10000;
    assert_int_equal(look_until(&now_ms, 600000, &seen).action, FLEET_NONE); /* none of them grew since */
}

static void pressure_asks_for_one_trim(void **state)
{
    (void)state;
    struct seen seen = container(MIB(100), MIB(10), MIB(30), MIB(20));
    begin(&base, 3);
    assert_int_equal(look(1000, &seen).action, FLEET_NONE);
    fleet_pressure(&fleet, 1500);
    assert_int_equal(fleet_next_look_ms(&fleet), 1500);
    struct fleet_decision decision = look(1500, &seen);
    assert_int_equal(decision.action, FLEET_TRIM);
    assert_int_equal(decision.reason, FLEET_REASON_PRESSURE);
    assert_int_equal(decision.slot, 2);
    assert_int_equal(look(4000, &seen).action, FLEET_TRIMMED);
    uint64_t now_ms = 4000;
    assert_int_equal(look_until(&now_ms, 60000, &seen).action, FLEET_NONE);
    fleet_pressure(&fleet, now_ms); /* at once, but not twice within a look */
    assert_int_equal(fleet_next_look_ms(&fleet), now_ms + FLEET_LOOK_MIN_MS);
}

/* What it decides about recycles, in looks a second apart; trims are left out. */
static struct fleet_decision recycled_until(uint64_t *now_ms, uint64_t end_ms, struct seen *seen)
{
    while (*now_ms < end_ms) {
        struct fleet_decision decisions[8];
        unsigned count = look_at(*now_ms += 1000, seen, decisions, 8);
        for (unsigned i = 0; i < count; i++) {
            if (decisions[i].action == FLEET_RECYCLE || decisions[i].action == FLEET_HELPLESS)
                return decisions[i];
        }
    }
    return (struct fleet_decision){ 0 };
}

static void recycles_the_one_whose_end_frees_most(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.can_trim = false;
    struct seen seen = container(MIB(100), MIB(300), MIB(290), MIB(240));
    seen.pss_bytes[1] = MIB(200), seen.uss_bytes[1] = MIB(100);
    seen.pss_bytes[2] = MIB(270), seen.uss_bytes[2] = MIB(250);
    seen.pss_bytes[3] = MIB(200), seen.uss_bytes[3] = MIB(120);
    begin(&config, 3);
    uint64_t now_ms = rise_to(MIB(849), &seen);
    assert_int_equal(look(now_ms += 10000, &seen).action, FLEET_NONE);
    assert_int_equal(seen.measured, 0);
    seen.used_bytes = MIB(850);
    assert_int_equal(look(now_ms += 1000, &seen).action, FLEET_NONE);
    assert_int_equal(look(now_ms += 1000, &seen).action, FLEET_NONE);
    assert_int_equal(look(now_ms += 1000, &seen).action, FLEET_NONE); /* third: the largest by RSS is measured */
    assert_int_equal(seen.measured, 1);
    struct fleet_decision decision = look(now_ms += 1000, &seen); /* the next one is larger, and beats the last */
    assert_int_equal(seen.measured, 1);
    assert_int_equal(decision.action, FLEET_RECYCLE);
    assert_int_equal(decision.reason, FLEET_REASON_CONTAINER);
    assert_int_equal(decision.slot, 2);
    assert_true(decision.at_bytes == MIB(850));
    assert_true(decision.used_bytes == MIB(850));
}

static void trims_come_before(void **state)
{
    (void)state;
    struct seen seen = container(MIB(100), MIB(300), MIB(290), MIB(280));
    begin(&base, 3);
    uint64_t now_ms = rise_to(MIB(849), &seen);
    seen.used_bytes = MIB(860);
    struct fleet_decision decision = recycled_until(&now_ms, now_ms + 60000, &seen);
    assert_int_equal(decision.action, FLEET_RECYCLE);
    assert_true(fleet.process[decision.slot].trims > 0);
    assert_int_equal(fleet.trimming, 0);
}

/* The largest has been so for long; another one makes the container grow. */
static void the_one_that_grows_goes(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.can_trim = false;
    struct seen seen = container(MIB(600), MIB(200), MIB(100), MIB(100));
    begin(&config, 3);
    uint64_t now_ms = 0;
    for (; now_ms < 3600000; now_ms += 10000) {
        struct fleet_decision decisions[8];
        seen.used_bytes += MIB(1);
        seen.rss_bytes[2] += MIB(1); /* past its siblings */
        if (seen.rss_bytes[3] < MIB(180))
            seen.rss_bytes[3] += MIB(1); /* warms up: it ends below the largest that stands */
        unsigned count = look_at(now_ms + 10000, &seen, decisions, 8);
        if (count > 0 && decisions[0].action == FLEET_RECYCLE) {
            assert_int_equal(decisions[0].slot, 2);
            return;
        }
    }
    fail_msg("nothing was recycled");
}

static void a_container_that_stands_is_left_alone(void **state)
{
    (void)state;
    struct seen seen = container(MIB(950), MIB(300), MIB(290), MIB(280));
    struct fleet_config config = base;
    config.can_trim = false;
    begin(&config, 3);
    uint64_t now_ms = 0;
    for (unsigned i = 0; i < 86400 / 10; i++) { /* a day full to 95 %, as a cache would have it, with some noise */
        seen.used_bytes = MIB(950) + MIB((i * 7919) % 11);
        assert_int_equal(look(now_ms += 10000, &seen).action, FLEET_NONE);
    }
}

static void a_steep_rise_does_not_wait(void **state)
{
    (void)state;
    struct seen seen = container(MIB(500), MIB(300), MIB(290), MIB(280));
    struct fleet_config config = base;
    config.can_trim = false;
    begin(&config, 3);
    fleet.process[1].born_ms = fleet.process[2].born_ms = fleet.process[3].born_ms = 1000;
    uint64_t now_ms = 1000;
    struct fleet_decision decision = { 0 };
    while (decision.action == FLEET_NONE && seen.used_bytes < MIB(1000)) { /* 10 MiB a second: 35 s to the limit */
        seen.used_bytes += MIB(10);
        decision = look(now_ms += 1000, &seen);
    }
    assert_int_equal(decision.action, FLEET_RECYCLE); /* though it is younger than min_age */
    assert_in_range(seen.used_bytes, MIB(850), MIB(900));
    assert_in_range(decision.eta_ms, 10000, 15000);
}

static void nobody_to_blame_is_said_once(void **state)
{
    (void)state;
    struct seen seen = container(MIB(100), MIB(19), MIB(18), MIB(300));
    begin(&base, 3);
    fleet_set_spared(&fleet, 3, true); /* the others hold less than 2 % of the limit */
    struct fleet_config config = base;
    config.can_trim = false;
    fleet.config = config;
    uint64_t now_ms = rise_to(MIB(849), &seen);
    seen.used_bytes = MIB(860);
    struct fleet_decision decision = recycled_until(&now_ms, now_ms + 60000, &seen);
    assert_int_equal(decision.action, FLEET_HELPLESS);
    assert_true(decision.used_bytes == MIB(860));
    assert_int_equal(look_until(&now_ms, now_ms + 60000, &seen).action, FLEET_NONE);
    seen.used_bytes = MIB(800);
    (void)look(now_ms += 1000, &seen);
    seen.used_bytes = MIB(870); /* and again, when it was below meanwhile */
    assert_int_equal(look_until(&now_ms, now_ms + 60000, &seen).action, FLEET_HELPLESS);
}

static void the_sum_stands_for_an_unlimited_container(void **state)
{
    (void)state;
    struct seen seen = container(FLEET_UNKNOWN, MIB(300), MIB(290), MIB(109));
    begin(&base, 3);
    assert_int_equal(look(1000, &seen).action, FLEET_NONE);
    seen.rss_bytes[3] = MIB(110);
    assert_int_equal(look(2000, &seen).action, FLEET_TRIM);
}

static void after_a_recycle_the_growth_is_judged_anew(void **state)
{
    (void)state;
    struct seen seen = container(MIB(100), MIB(300), MIB(290), MIB(280));
    struct fleet_config config = base;
    config.can_trim = false;
    begin(&config, 3);
    uint64_t now_ms = rise_to(MIB(849), &seen);
    seen.used_bytes = MIB(860);
    assert_int_equal(look_until(&now_ms, now_ms + 60000, &seen).action, FLEET_RECYCLE);
    fleet_gone(&fleet, 1, now_ms + 500);
    assert_int_equal(fleet_appear(&fleet, 1, 99, true, now_ms + 600, now_ms + 1000).action, FLEET_REPLACED);
    assert_int_equal(look_until(&now_ms, now_ms + 600000, &seen).action, FLEET_NONE); /* it no longer grows */
}

/* What one look could not read is neither trimmed nor recycled by what an earlier look saw. */
static void the_unseen_are_left_alone(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.recycle_at.bytes = MIB(400);
    config.can_trim = false;
    struct seen seen = container(MIB(500), MIB(450), 0, 0);
    begin(&config, 1);
    fleet.next_recycle_ms = 65000;
    for (uint64_t now_ms = 60000; now_ms < 64500; now_ms += 1000)
        assert_int_equal(look(now_ms, &seen).action, FLEET_NONE);
    assert_true(fleet.process[1].ready);
    fleet_look_begin(&fleet, seen.limit_bytes, seen.used_bytes, 65000);
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
    assert_int_equal(look(66000, &seen).action, FLEET_RECYCLE);
}

static void handover_needs_room_for_both(void **state)
{
    (void)state;
    struct fleet_config config = base;
    config.method = FLEET_METHOD_HANDOVER;
    config.recycle_at.bytes = MIB(400);
    config.can_trim = false;
    for (unsigned fits = 0; fits < 2; fits++) {
        struct seen seen = container(fits ? MIB(600) : MIB(601), 0, 0, 0);
        seen.rss_bytes[0] = MIB(400);
        begin(&config, 0);
        (void)fleet_appear(&fleet, FLEET_WORKER, 40, true, 0, 0);
        uint64_t now_ms = 60000;
        struct fleet_decision decision = look_until(&now_ms, 120000, &seen);
        assert_int_equal(decision.action, FLEET_RECYCLE);
        assert_int_equal(decision.method, fits ? FLEET_METHOD_HANDOVER : FLEET_METHOD_RESPAWN);
        assert_int_equal(decision.no_room, !fits);
    }
}

static void an_old_measure_is_taken_anew(void **state)
{
    (void)state;
    struct seen seen = container(MIB(100), MIB(300), 0, 0);
    struct fleet_config config = base;
    config.can_trim = false;
    seen.pss_bytes[1] = MIB(200), seen.uss_bytes[1] = MIB(100);
    seen.cost_us = 1000000; /* 100 s of budget */
    begin(&config, 1);
    uint64_t now_ms = rise_to(MIB(849), &seen);
    seen.used_bytes = MIB(860);
    fleet.next_measure_ms = now_ms + 20000; /* spent on another */
    assert_int_equal(look_until(&now_ms, now_ms + 19000, &seen).action, FLEET_NONE);
    assert_int_equal(look_until(&now_ms, now_ms + 5000, &seen).action, FLEET_RECYCLE);
}

static void a_steep_end_does_not_wait_for_trims(void **state)
{
    (void)state;
    struct seen seen = container(MIB(500), MIB(300), MIB(290), MIB(280));
    begin(&base, 3);
    uint64_t now_ms = 0;
    unsigned trims = 0;
    struct fleet_decision decision = { 0 };
    while (decision.action != FLEET_RECYCLE && seen.used_bytes < MIB(1000)) { /* 60 MiB a second, trims bring nothing */
        struct fleet_decision decisions[4];
        seen.used_bytes += MIB(6);
        for (unsigned i = 1; i <= 3; i++)
            seen.rss_bytes[i] += MIB(2);
        unsigned count = look_at(now_ms += 100, &seen, decisions, 4);
        for (unsigned i = 0; i < count; i++) {
            trims += decisions[i].action == FLEET_TRIM;
            decision = decisions[i];
        }
    }
    assert_int_equal(decision.action, FLEET_RECYCLE);
    assert_true(trims > 0);
    assert_true(seen.used_bytes < MIB(900));
    assert_in_range(decision.eta_ms, 1500, 2 * base.settle_ms);
}

static void who_cannot_be_asked_takes_no_time(void **state)
{
    (void)state;
    struct seen seen = container(MIB(700), MIB(300), MIB(250), MIB(200));
    begin(&base, 3);
    fleet_look_begin(&fleet, seen.limit_bytes, MIB(500), 1000);
    for (uint16_t slot = 1; slot <= 3; slot++)
        (void)fleet_sample(&fleet, slot, seen.rss_bytes[slot], FLEET_UNKNOWN);
    fleet_pressure(&fleet, 1000);
    for (uint16_t slot = 1; slot <= 2; slot++) { /* the largest first, then the next in the same look */
        struct fleet_decision decision = fleet_look_end(&fleet);
        assert_int_equal(decision.action, FLEET_TRIM);
        assert_int_equal(decision.reason, FLEET_REASON_PRESSURE);
        assert_int_equal(decision.slot, slot);
        assert_true(fleet_refuse_trim(&fleet, slot));
    }
    assert_int_equal(fleet_look_end(&fleet).slot, 3);
    assert_int_equal(fleet_look_end(&fleet).action, FLEET_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trims_what_grew_most_first),
        cmocka_unit_test(pressure_asks_for_one_trim),
        cmocka_unit_test(who_cannot_be_asked_takes_no_time),
        cmocka_unit_test(recycles_the_one_whose_end_frees_most),
        cmocka_unit_test(trims_come_before),
        cmocka_unit_test(the_one_that_grows_goes),
        cmocka_unit_test(a_container_that_stands_is_left_alone),
        cmocka_unit_test(a_steep_rise_does_not_wait),
        cmocka_unit_test(a_steep_end_does_not_wait_for_trims),
        cmocka_unit_test(nobody_to_blame_is_said_once),
        cmocka_unit_test(the_sum_stands_for_an_unlimited_container),
        cmocka_unit_test(after_a_recycle_the_growth_is_judged_anew),
        cmocka_unit_test(the_unseen_are_left_alone),
        cmocka_unit_test(handover_needs_room_for_both),
        cmocka_unit_test(an_old_measure_is_taken_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
