/*
 * A day of a fleet: sim --fleet PODS [--hours H].
 *
 * Each pod is a container of 2 GiB with a pool of four workers that leak, at a
 * rate of the pod's own (lognormal), under a policy as one writes for gunicorn.
 * All are rolled out within the first hour from midnight; traffic swings by
 * 30 % over the day. Pods share nothing, so they are run one after another in
 * the same room: memory does not grow with their number, time grows with it.
 *
 * Asked of the row `day`:
 *   max/mean  Recycles are counted by simulated minute over all pods. From the
 *             first minute with a recycle to the end, the largest count is at
 *             most 1.5 times the mean. (Of so many pods that a minute's count
 *             is no small number: below 10^4 pods it is printed only.)
 *   avoidable A pod in which the kernel killed for memory is run again under a
 *             perfect policy: it looks every second, knows what each
 *             process truly uses and grows by, and how long an end takes; it
 *             ends the one that frees most at the look after which waiting
 *             would be too late. It is bound by at_once alone. The pod's OOM
 *             kills beyond those of the perfect policy are avoidable: 0.
 * None is avoidable in the row `guards only` either, where the policy has but
 * the lines of the container and no way to trim, as `auto` without the agent.
 * The row `synchronised` is for information: all pods start in the same second
 * with equal leaks, so that only jitter keeps them apart.
 */
#ifndef TRIMTAB_SIM_FLEET_DAY_H
#define TRIMTAB_SIM_FLEET_DAY_H

#include <stdbool.h>
#include <stdint.h>

/* Prints the table. Returns whether what is asked of it was so. */
bool fleet_day(uint64_t pods, uint64_t hours, uint64_t seed, long jobs);

#endif
