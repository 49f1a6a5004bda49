/*
 * The translator for the container as a whole: limit, working set, what the
 * kernel had to do for want of memory, and its pressure trigger.
 */
#ifndef TRIMTAB_CONTAINER_H
#define TRIMTAB_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "os/cgroup.h"
#include "os/loop.h"
#include "os/pressure.h"
#include "policy/fleet.h"
#include "setup.h"

enum { CONTAINER_READ_MS = 1000 }; /* limit and counters are read no more often */

struct container {
    const struct setup *setup;
    struct cgroup *cgroup; /* count 0: the limit is a setting, or the machine's memory */
    struct pressure pressure;
    struct cgroup_events events;
    bool counts_events;
    uint64_t read_ms;
    uint64_t limit_bytes;
    uint64_t used_bytes; /* FLEET_UNKNOWN: only the sum of the processes is to be had */
};

/* The best way to see pressure as [container] pressure asks for; as pressure_open. `trigger` or `reading`. */
int container_open_pressure(const struct setup *setup, struct pressure *ret_pressure);
const char *container_pressure_way(const struct pressure *pressure);

/* tag: what the loop is to say when the kernel reports pressure. */
void container_init(struct container *container, const struct setup *setup, struct cgroup *cgroup, struct loop *loop,
                    uint32_t tag);

/*
 * Read anew what a look needs. Below enough_bytes used_bytes may be too high.
 * Returns whether there are signs of pressure.
 */
bool container_read(struct container *container, struct loop *loop, uint64_t enough_bytes, uint64_t now_ms);

/* The loop told of the tag. Returns whether there was pressure. */
bool container_pressure(struct container *container, struct loop *loop, uint64_t now_ms);

/* A descriptor that is held besides those of the cgroup, or -1. */
int container_descriptor(const struct container *container);

#endif
