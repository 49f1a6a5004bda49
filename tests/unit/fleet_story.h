/* What the tests of the fleet share: a fleet, and looks at it. */
#ifndef TRIMTAB_TESTS_FLEET_STORY_H
#define TRIMTAB_TESTS_FLEET_STORY_H

#include <string.h>

#include "cmocka_all.h"
#include "policy/fleet.h"

#define MIB(n) ((uint64_t)(n) << 20)

static struct fleet fleet;

/* What is seen at a look; the processes are those in slots 1 to 8. */
struct seen {
    uint64_t limit_bytes;
    uint64_t used_bytes;
    uint64_t rss_bytes[9];
    uint64_t cpu_ms[9];
    uint64_t pss_bytes[9]; /* 0: cannot be read */
    uint64_t uss_bytes[9];
    uint64_t cost_us;
    uint32_t measured; /* how many were, in the last look */
};

static inline void begin(const struct fleet_config *config, unsigned processes)
{
    memset(&fleet, 0, sizeof fleet);
    fleet_init(&fleet, config, 1);
    for (unsigned i = 1; i <= processes; i++)
        (void)fleet_appear(&fleet, (uint16_t)i, (int32_t)(40 + i), true, 0, 0);
}

/* As if every process had been sampled in this look. */
static inline void all_seen(void)
{
    for (unsigned slot = 0; slot < fleet.high_slot; slot++)
        fleet.process[slot].seen_look = fleet.look;
}

static inline struct fleet_decision answer(struct seen *seen, struct fleet_decision decision)
{
    if (decision.action != FLEET_MEASURE)
        return decision;
    seen->measured++;
    bool can = seen->pss_bytes[decision.slot] > 0;
    return fleet_measured(&fleet, decision.slot, can ? seen->pss_bytes[decision.slot] : FLEET_UNKNOWN,
                          can ? seen->uss_bytes[decision.slot] : FLEET_UNKNOWN, seen->cost_us);
}

/* One look; returns how many decisions it took, the first of them at most max in ret. */
static inline unsigned look_at(uint64_t now_ms, struct seen *seen, struct fleet_decision *ret, unsigned max)
{
    unsigned count = 0;
    seen->measured = 0;
    fleet_look_begin(&fleet, seen->limit_bytes, seen->used_bytes, now_ms);
    for (uint16_t slot = 0; slot < fleet.high_slot; slot++) {
        if (fleet.process[slot].state == FLEET_FREE)
            continue;
        uint64_t cpu_ms = fleet_wants_cpu(&fleet, slot, seen->rss_bytes[slot]) ? seen->cpu_ms[slot] : FLEET_UNKNOWN;
        struct fleet_decision decision = answer(seen, fleet_sample(&fleet, slot, seen->rss_bytes[slot], cpu_ms));
        if (decision.action != FLEET_NONE && count++ < max)
            ret[count - 1] = decision;
    }
    for (;;) {
        struct fleet_decision decision = fleet_look_end(&fleet);
        if (decision.action == FLEET_NONE)
            break;
        decision = answer(seen, decision);
        if (decision.action != FLEET_NONE && count++ < max)
            ret[count - 1] = decision;
    }
    assert_true(fleet_next_look_ms(&fleet) > fleet.now_ms);
    return count;
}

/* One look that decides at most one thing, verdicts left out. */
static inline struct fleet_decision look(uint64_t now_ms, struct seen *seen)
{
    struct fleet_decision decisions[4];
    struct fleet_decision found = { 0 };
    unsigned count = look_at(now_ms, seen, decisions, 4);
    for (unsigned i = 0; i < count; i++) {
        if (decisions[i].action == FLEET_VERDICT)
            continue;
        assert_int_equal(found.action, FLEET_NONE);
        found = decisions[i];
    }
    return found;
}

/* Looks a second apart until something is decided, or until the end; *now_ms moves along. */
static inline struct fleet_decision look_until(uint64_t *now_ms, uint64_t end_ms, struct seen *seen)
{
    struct fleet_decision found = { 0 };
    while (found.action == FLEET_NONE && *now_ms < end_ms) {
        *now_ms += 1000;
        found = look(*now_ms, seen);
    }
    return found;
}

#endif
