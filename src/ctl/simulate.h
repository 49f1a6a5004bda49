/*
 * What a policy would do to a container that a scenario describes: the policy
 * core of PID 1, unchanged, with a virtual clock and modelled processes.
 * Nothing of the machine is read but the scenario file; the same scenario,
 * policy and seed give the same run.
 */
#ifndef TRIMTAB_CTL_SIMULATE_H
#define TRIMTAB_CTL_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/scenario.h"
#include "policy/fleet.h"
#include "policy/life.h"
#include "policy/target.h"

/* The part of a policy that decides; setup.c makes the same of a policy file. */
struct simulate_policy {
    struct fleet_config fleet;
    struct life_config life;
    enum target_mode target;
    uint64_t limit_bytes; /* [watch] limit; 0: the scenario's, and its changes */
};

/* A process as one look found it. Bytes. */
struct simulate_process {
    uint16_t slot; /* of the policy core; FLEET_WORKER: the worker that trimtab started */
    int32_t pid;   /* counted up from 100; the worker's and its children's */
    bool counts;   /* the policy's target names it */
    enum fleet_state state;
    uint64_t rss_bytes; /* what the policy was told: FLEET_UNKNOWN where the sample was missing */
    uint64_t pss_bytes; /* the model's own, whether the policy measured it or not */
    uint64_t uss_bytes;
    uint64_t line_bytes; /* at which the policy would recycle it, its jitter included; 0: none */
};

/* The container as one look found it, told after its processes. Bytes. */
struct simulate_look {
    uint64_t used_bytes; /* the working set; all processes, and what is in none of them */
    uint64_t limit_bytes;
    uint64_t trim_line_bytes;    /* [trim] at; 0: off */
    uint64_t recycle_line_bytes; /* [recycle] at, without jitter; 0: off */
    uint64_t container_trim_bytes;
    uint64_t container_recycle_bytes;
    uint32_t processes;
};

/* What happens in the container, whether the policy can see it or not. */
enum simulate_happening {
    SIMULATE_START,  /* a process started */
    SIMULATE_EXIT,   /* a process ended; bytes: it had */
    SIMULATE_OOM,    /* the kernel killed this process, because the container was at its limit */
    SIMULATE_LIMIT,  /* the limit changed; bytes: to this */
    SIMULATE_EVENT,  /* text: name of the [event NAME] that took place */
    SIMULATE_REFUSED /* a decision was not carried out: the process handles no such signal */
};

/* Every member may be NULL. Times are ms since the scenario began. */
struct simulate_observer {
    void *user;
    void (*process)(void *user, uint64_t now_ms, const struct simulate_process *process);
    void (*look)(void *user, uint64_t now_ms, const struct simulate_look *look);
    void (*decision)(void *user, uint64_t now_ms, const struct fleet_decision *decision);
    void (*happening)(void *user, uint64_t now_ms, enum simulate_happening what, int32_t pid, uint64_t bytes,
                      const char *text);
};

struct simulate_result {
    uint64_t looks;
    uint64_t samples;
    uint64_t measures;
    uint64_t trims;
    uint64_t trims_worth; /* of these, those that brought min_yield */
    uint64_t recycles;
    uint64_t kills;
    uint64_t starts; /* of the worker, the first one included */
    uint64_t ooms;
    uint64_t peak_bytes; /* of the container, as the looks saw it */
    uint64_t peak_at_ms;
    uint64_t above_trim_ms; /* time the container spent at or above its lines, from look to look; 0 when off */
    uint64_t above_recycle_ms;
    uint64_t end_ms; /* before duration when the worker ended for good */
};

/* Returns 0, or -ENOMEM. */
int simulate_run(const struct scenario *scenario, const struct simulate_policy *policy,
                 const struct simulate_observer *observer, struct simulate_result *ret_result);

#endif
