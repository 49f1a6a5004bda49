/* What the tests of recycles for the container share: one that is full, and grows. */
#ifndef TESTS_UNIT_CONTAINER_STORY_H
#define TESTS_UNIT_CONTAINER_STORY_H

#include "policy/fleet_parts.h"

#include "fleet_story.h"

static const struct fleet_config base = {
    .container_trim_at = { .bytes = MIB(700) },
    .container_recycle_at = { .bytes = MIB(850) },
    .can_respawn = true,
    .samples = 3,
    .at_once = 2,
    .grace_ms = 60000,
    .interval_ms = 30000,
    .min_age_ms = 60000,
    .look_ms = 1000,
};

/* Three processes in a container that is over its line, tried to trim, and grows; at 100 s. */
static inline void over(void)
{
    begin(&base, 3);
    fleet_look_begin(&fleet, MIB(1000), MIB(900), 100000);
    all_seen();
    fleet.next_look_ms = UINT64_MAX;
    fleet.container.over = 3;
    fleet.container.tried = true;
    fleet.container.shape = TREND_RISING;
    for (unsigned slot = 1; slot < 4; slot++) {
        fleet.process[slot].rss_bytes = MIB(100 * slot);
        fleet.process[slot].shape = TREND_RISING;
    }
}

static inline void measure(unsigned slot, uint64_t uss_bytes, uint64_t measured_ms)
{
    fleet.process[slot].uss_bytes = uss_bytes;
    fleet.process[slot].measured_ms = measured_ms;
}

#endif
