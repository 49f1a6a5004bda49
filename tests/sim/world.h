/*
 * Random containers: what runs in them, under which policy, and what befalls
 * them. All of it follows from a seed.
 */
#ifndef TRIMTAB_SIM_WORLD_H
#define TRIMTAB_SIM_WORLD_H

#include "ctl/pod.h"
#include "sim/check.h"

struct world {
    uint64_t random;
    struct pod_spec spec;
    struct model_shape worker;
    struct model_shape master;
    struct model_traffic traffic;
    uint64_t event_gap_ms; /* mean; 0: nothing befalls it */
    uint64_t duration_ms;
    uint64_t stop_at_ms; /* the container is told to stop */
    bool hostile;        /* wild samples, spawn failures, a clock that is wrong, ... */
};

/* The pod number `number` of this seed, the same wherever and whenever it is made. */
void world_make(struct world *world, uint64_t seed, uint64_t number);

/* What befalls the pod next, at its now_ms. */
void world_befall(struct world *world, struct pod *pod);

/* When that is. */
uint64_t world_next_ms(struct world *world, uint64_t now_ms);

/* What the check may hold such a pod to: progress, and not recycling what does not grow. */
void world_promise(const struct world *world, struct check *check);

void world_print(const struct world *world, FILE *out);

#endif
