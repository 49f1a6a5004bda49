/* The watch over the container's processes: src/watch.c, with the model in place of /proc. */
#include <stddef.h>
#include <string.h>

#include "ctl/pod.h"
#include "policy/u64.h"

enum {
    MEASURE_BASE_US = 200,    /* of one smaps_rollup, */
    MEASURE_US_PER_GIB = 8000 /* and of the page tables it walks */
};

/* ---- decisions into signals ---- */

static void ask_trim(struct pod *pod, uint16_t place, uint16_t slot)
{
    if (pod_signal(pod, place, POD_SIGNAL_TRIM, true))
        return;
    (void)fleet_refuse_trim(pod->fleet, slot);
    pod_say(pod, POD_REFUSED_TRIM, place, NULL);
}

static void recycle(struct pod *pod, uint16_t place, const struct fleet_decision *decision)
{
    bool respawn = decision->method != FLEET_METHOD_SIGNAL;
    bool refused = respawn && pod->life.stopping;
    if (!refused)
        refused = !pod_signal(pod, place, POD_SIGNAL_END, !respawn);
    if (refused) {
        fleet_refuse_recycle(pod->fleet, decision->slot);
        pod_say(pod, POD_REFUSED_RECYCLE, place, NULL);
        return;
    }
    pod->process[place].asked = true;
    if (respawn)
        life_recycle(&pod->life);
    (void)pod_signal(pod, place, POD_SIGNAL_CONTINUE, false);
}

static void act(struct pod *pod, const struct fleet_decision *decision)
{
    uint16_t place = pod->place_of[decision->slot];
    if (pod->spec->fleet.dry_run)
        return;
    switch (decision->action) {
    case FLEET_TRIM:
        ask_trim(pod, place, decision->slot);
        break;
    case FLEET_RECYCLE:
        recycle(pod, place, decision);
        break;
    case FLEET_KILL:
        (void)pod_signal(pod, place, POD_SIGNAL_KILL, false);
        break;
    case FLEET_NONE:
    case FLEET_MEASURE:
    case FLEET_TRIMMED:
    case FLEET_VERDICT:
    case FLEET_REPLACED:
    case FLEET_HELD:
    case FLEET_HELPLESS:
        break;
    }
}

uint64_t pod_measure_cost_us(uint64_t rss_bytes)
{
    return MEASURE_BASE_US + (rss_bytes >> 20) * MEASURE_US_PER_GIB / 1024;
}

/* Carries a decision out, and what comes of a measure. Returns whether there was any. */
static bool follow(struct pod *pod, enum pod_step step, uint16_t place, struct fleet_decision decision)
{
    bool any = decision.action != FLEET_NONE;
    pod_say(pod, step, place, &decision);
    while (decision.action == FLEET_MEASURE) {
        uint16_t slot = decision.slot;
        place = pod->place_of[slot];
        const struct pod_process *process = &pod->process[place];
        uint64_t pss_bytes = FLEET_UNKNOWN;
        uint64_t uss_bytes = FLEET_UNKNOWN;
        if (!process->model.shape->opaque) {
            pss_bytes = pod_pss_bytes(pod, place);
            uss_bytes = process->memory.private_bytes;
        }
        decision =
            fleet_measured(pod->fleet, slot, pss_bytes, uss_bytes, pod_measure_cost_us(process->memory.rss_bytes));
        pod_say(pod, POD_MEASURED, place, &decision);
    }
    if (decision.action != FLEET_NONE)
        act(pod, &decision);
    return any;
}

/* ---- processes that come and go ---- */

static struct target_facts facts_of(uint16_t place)
{
    return (struct target_facts){
        .is_worker = place == FLEET_WORKER, .is_child = place != FLEET_WORKER, .same_executable = true, .matched = true
    };
}

static bool counts(const struct pod *pod, uint16_t place)
{
    struct target_facts facts = facts_of(place);
    return target_counts(&pod->target, &facts);
}

static void admit(struct pod *pod, uint16_t place)
{
    struct pod_process *process = &pod->process[place];
    uint64_t clock_ms = pod_clock_ms(pod);
    int slot = place == FLEET_WORKER ? FLEET_WORKER : fleet_free_slot(pod->fleet);
    if (slot < 0 || slot >= POD_SLOTS)
        return;
    uint64_t age_ms = pod->now_ms - process->model.born_ms;
    process->slot = (uint16_t)slot;
    pod->place_of[slot] = place;
    struct fleet_decision decision = fleet_appear(pod->fleet, (uint16_t)slot, process->pid, counts(pod, place),
                                                  age_ms < clock_ms ? clock_ms - age_ms : 0, clock_ms);
    if (pod->spec->spare_each > 0 && place != FLEET_WORKER && place % pod->spec->spare_each == 0)
        fleet_set_spared(pod->fleet, (uint16_t)slot, true);
    (void)follow(pod, POD_APPEAR, place, decision);
}

static void recount(struct pod *pod)
{
    for (uint32_t slot = 0; slot < pod->fleet->high_slot; slot++) {
        if (pod->fleet->process[slot].state != FLEET_FREE)
            fleet_set_counts(pod->fleet, (uint16_t)slot, counts(pod, pod->place_of[slot]));
    }
}

static void consider(struct pod *pod, uint16_t place, uint64_t clock_ms)
{
    struct target_facts facts = facts_of(place);
    uint64_t age_ms = pod->now_ms - pod->process[place].model.born_ms;
    if (age_ms < POD_ADMIT_MS) {
        pod->discover_at_ms = min_u64(pod->discover_at_ms, clock_ms + POD_ADMIT_MS - age_ms);
        return;
    }
    if (target_learn(&pod->target, &facts))
        recount(pod);
    if (target_counts(&pod->target, &facts))
        admit(pod, place);
}

/* Returns whether more may come soon. */
static bool discover(struct pod *pod, uint64_t clock_ms)
{
    bool changed = pod->forked;
    if (!changed && clock_ms < pod->discover_at_ms)
        return false;
    pod->forked = false;
    pod->discover_at_ms = clock_ms + POD_DISCOVER_MS;
    if (pod->target.mode == TARGET_WORKER)
        return false;
    uint32_t before = pod->fleet->high_slot;
    for (uint32_t place = 1; place < pod->places; place++) {
        if (pod->process[place].alive && pod->process[place].slot == POD_NOWHERE)
            consider(pod, (uint16_t)place, clock_ms);
    }
    bool booting = clock_ms < pod->boot_until_ms && before <= FLEET_WORKER + 1;
    return pod->fleet->high_slot > before || (changed && booting);
}

static void forget(struct pod *pod, uint16_t slot)
{
    uint16_t place = pod->place_of[slot];
    fleet_gone(pod->fleet, slot, pod_clock_ms(pod));
    pod->process[place].slot = POD_NOWHERE;
    pod_say(pod, POD_GONE, place, NULL);
}

void pod_watch_gone(struct pod *pod, uint16_t slot)
{
    forget(pod, slot);
    pod->discover_at_ms = min_u64(pod->discover_at_ms, pod_clock_ms(pod) + FLEET_LOOK_MIN_MS);
    pod->next_look_ms = min_u64(pod->next_look_ms, pod->discover_at_ms);
}

void pod_watch_worker_gone(struct pod *pod)
{
    pod_watch_gone(pod, FLEET_WORKER);
    for (uint32_t slot = pod->fleet->high_slot; slot-- > 0;) {
        if (pod->fleet->process[slot].state != FLEET_FREE)
            forget(pod, (uint16_t)slot);
    }
    pod->next_look_ms = LIFE_NEVER;
}

void pod_watch_worker_started(struct pod *pod)
{
    uint64_t clock_ms = pod_clock_ms(pod);
    target_init(&pod->target, pod->spec->target);
    pod->next_look_ms = clock_ms + FLEET_LOOK_MIN_MS;
    pod->discover_at_ms = clock_ms + POD_ADMIT_MS;
    pod->boot_until_ms = clock_ms + POD_BOOT_MS;
    admit(pod, FLEET_WORKER);
}

void pod_watch_reported(struct pod *pod, uint16_t place)
{
    const struct pod_process *process = &pod->process[place];
    if (process->slot == POD_NOWHERE)
        return;
    (void)follow(pod, POD_REPORTED, place,
                 fleet_reported(pod->fleet, process->slot, &process->report, pod_clock_ms(pod)));
    pod->next_look_ms = min_u64(pod->next_look_ms, fleet_next_look_ms(pod->fleet));
}

/* ---- looks ---- */

static void read_limit(struct pod *pod, uint64_t clock_ms)
{
    if (pod->spec->policy_limit_bytes > 0 || clock_ms - pod->limit_read_ms < POD_LIMIT_MS)
        return;
    pod->limit_read_ms = clock_ms;
    pod->seen_limit_bytes = pod->limit_bytes;
}

static void sample(struct pod *pod, uint16_t slot)
{
    uint16_t place = pod->place_of[slot];
    struct pod_process *process = &pod->process[place];
    uint64_t cpu_ms = FLEET_UNKNOWN;
    if (pod->now_ms < pod->no_samples_until_ms) {
        process->told_bytes = FLEET_UNKNOWN;
        pod_say(pod, POD_MISSED, place, NULL);
        return;
    }
    process->told_bytes = process->memory.rss_bytes;
    if (pod->wild_place == place) {
        process->told_bytes = pod->wild_bytes;
        pod->wild_place = POD_NOWHERE;
    }
    if (fleet_wants_cpu(pod->fleet, slot, process->told_bytes))
        cpu_ms = model_cpu_ms(&process->model, pod->spec->traffic, pod->now_ms);
    (void)follow(pod, POD_SAMPLE, place, fleet_sample(pod->fleet, slot, process->told_bytes, cpu_ms));
}

void pod_watch_look(struct pod *pod)
{
    struct fleet *fleet = pod->fleet;
    uint64_t clock_ms = pod_clock_ms(pod);
    bool fresh = pod->measured_ms == pod->now_ms && !pod->forked;
    uint64_t used_bytes = fresh ? pod->used_bytes : pod_measure(pod);

    read_limit(pod, clock_ms);
    pod->moving = discover(pod, clock_ms);
    fleet_look_begin(fleet, pod->seen_limit_bytes, pod->spec->sum_only ? FLEET_UNKNOWN : used_bytes, clock_ms);
    pod_say(pod, POD_LOOK_BEGIN, POD_NOWHERE, NULL);
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++) {
        if (fleet->process[slot].state != FLEET_FREE)
            sample(pod, (uint16_t)slot);
    }
    while (follow(pod, POD_LOOK_END, POD_NOWHERE, fleet_look_end(fleet)))
        ;
    pod->next_look_ms = min_u64(fleet_next_look_ms(fleet), pod->discover_at_ms);
    if (pod->moving)
        pod->next_look_ms = min_u64(pod->next_look_ms, clock_ms + fleet->config.look_ms);
    pod_say(pod, POD_LOOK_DONE, POD_NOWHERE, NULL);
}

uint64_t pod_watch_due_ms(const struct pod *pod)
{
    if (pod->spec->unwatched)
        return LIFE_NEVER;
    return max_u64(pod->next_look_ms, pod->frozen_until_ms);
}

/* A fleet must be zeroed; only what the last pod used is not. */
void pod_watch_init(struct pod *pod)
{
    struct fleet *fleet = pod->fleet;
    pod->seen_limit_bytes = pod->spec->policy_limit_bytes > 0 ? pod->spec->policy_limit_bytes : pod->limit_bytes;
    pod->next_look_ms = LIFE_NEVER;
    if (pod->spec->unwatched)
        return;
    memset(fleet->process, 0, POD_SLOTS * sizeof fleet->process[0]);
    memset((char *)fleet + offsetof(struct fleet, awaited), 0, sizeof *fleet - offsetof(struct fleet, awaited));
    fleet_init(fleet, &pod->spec->fleet, model_random(&pod->random));
}
