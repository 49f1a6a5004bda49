/*
 * A random crowd of processes, under which the rules that never bend must hold
 * at every step.
 */
#include "policy/fleet.h"

#include <string.h>

#include "cmocka_all.h"

#define MIB(n) ((uint64_t)(n) << 20)

static struct fleet fleet;

static const struct fleet_config base = {
    .trim_at = { .bytes = MIB(300) },
    .recycle_at = { .bytes = MIB(500) },
    .can_trim = true,
    .can_respawn = true,
    .samples = 3,
    .min_yield_permyriad = 500,
    .settle_ms = 2000,
    .look_ms = 1000,
};

enum { CROWD = 24, CROWD_STEPS = 200000 };

static uint64_t crowd_random;

static uint32_t draw(uint32_t below)
{
    crowd_random = crowd_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(crowd_random >> 33) % below;
}

struct crowd_process {
    int32_t pid;
    uint64_t told_ms;
};

static void check_crowd(const struct fleet_decision *decision, struct crowd_process *crowd, uint64_t now_ms,
                        uint64_t *last_recycle_ms)
{
    struct crowd_process *process = &crowd[decision->slot];
    if (decision->action == FLEET_RECYCLE) {
        assert_true(*last_recycle_ms == 0 || now_ms - *last_recycle_ms >= fleet.config.interval_ms);
        assert_true(fleet.awaited_count <= fleet.config.at_once);
        assert_true(now_ms >= fleet.process[decision->slot].born_ms + fleet.config.min_age_ms);
        assert_true(process->told_ms == 0);
        process->told_ms = now_ms;
        *last_recycle_ms = now_ms;
    } else if (decision->action == FLEET_KILL) {
        assert_true(process->told_ms > 0 && now_ms - process->told_ms >= fleet.config.grace_ms);
    } else if (decision->action == FLEET_TRIM) {
        assert_true(process->told_ms == 0);
    }
}

static void the_rules_hold_for_any_crowd(void **state)
{
    (void)state;
    static struct crowd_process crowd[CROWD + 1];
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct fleet_config config = base;
        config.at_once = 1 + (uint32_t)seed % 3;
        config.min_age_ms = 5000;
        config.grace_ms = 8000;
        config.interval_ms = 1000 * seed;
        memset(&fleet, 0, sizeof fleet);
        fleet_init(&fleet, &config, 1);
        crowd_random = seed;
        memset(crowd, 0, sizeof crowd);
        uint64_t now_ms = 1000, last_recycle_ms = 0;
        int32_t next_pid = 100;
        uint32_t recycles = 0;
        for (int step = 0; step < CROWD_STEPS; step++) {
            now_ms += draw(10) == 0 ? draw(100000) : draw(1500); /* late looks happen */
            uint16_t slot = (uint16_t)(1 + draw(CROWD));
            if (fleet.process[slot].state == FLEET_FREE) {
                crowd[slot] = (struct crowd_process){ .pid = next_pid };
                (void)fleet_appear(&fleet, slot, next_pid++, true, now_ms, now_ms);
            } else if (draw(20) == 0 || (crowd[slot].told_ms > 0 && draw(3) == 0)) {
                fleet_gone(&fleet, slot, now_ms);
            }
            fleet_look_begin(&fleet, draw(50) == 0 ? 0 : MIB(4096), FLEET_UNKNOWN, now_ms);
            for (uint16_t i = 1; i < fleet.high_slot; i++) {
                if (fleet.process[i].state == FLEET_FREE)
                    continue;
                struct fleet_decision decision =
                    fleet_sample(&fleet, i, draw(4) == 0 ? MIB(draw(400)) : MIB(550), FLEET_UNKNOWN);
                check_crowd(&decision, crowd, now_ms, &last_recycle_ms);
                if (decision.action == FLEET_TRIM && draw(3) == 0)
                    (void)fleet_refuse_trim(&fleet, i);
            }
            for (;;) {
                struct fleet_decision decision = fleet_look_end(&fleet);
                if (decision.action == FLEET_NONE)
                    break;
                check_crowd(&decision, crowd, now_ms, &last_recycle_ms);
                recycles += decision.action == FLEET_RECYCLE;
            }
            assert_true(fleet_next_look_ms(&fleet) >= now_ms + FLEET_LOOK_MIN_MS);
            assert_true(fleet_next_look_ms(&fleet) <= now_ms + config.look_ms * FLEET_QUIET_FACTOR);
        }
        assert_true(recycles > 100); /* and it gets on */
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules_hold_for_any_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
