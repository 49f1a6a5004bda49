/* A scenario under a policy: what befalls the pod in its time, and what of it is told to whom. */
#include "ctl/simulate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/pod.h"
#include "policy/u64.h"

_Static_assert((int)SCENARIO_WORKERS_MAX == (int)POD_WORKERS_MAX,
               "a scenario may ask for no more than a pod has room for");

enum { UNWATCHED_MS = 1000 }; /* without a policy nobody looks: so often it shows whether memory has run out */

struct run {
    const struct scenario *scenario;
    const struct simulate_observer *observer;
    struct simulate_result result;
    struct pod pod;
    struct fleet fleet;
    bool look_told; /* of this look */
    uint64_t last_look_ms;
    uint64_t due_ms[SCENARIO_EVENTS_MAX];
};

/* ---- what is told ---- */

static void tell_happening(struct run *run, enum simulate_happening what, int32_t pid, uint64_t bytes, const char *text)
{
    const struct simulate_observer *observer = run->observer;
    if (observer->happening != NULL)
        observer->happening(observer->user, run->pod.now_ms, what, pid, bytes, text);
}

static void tell_process(struct run *run, uint16_t place)
{
    const struct pod *pod = &run->pod;
    const struct simulate_observer *observer = run->observer;
    const struct pod_process *process = &pod->process[place];
    const struct fleet_process *core = &pod->fleet->process[process->slot];
    run->result.samples += process->told_bytes != FLEET_UNKNOWN;
    if (observer->process == NULL)
        return;
    const struct simulate_process seen = {
        .slot = process->slot,
        .pid = process->pid,
        .counts = core->counts,
        .state = (enum fleet_state)core->state,
        .rss_bytes = process->told_bytes,
        .pss_bytes = pod_pss_bytes(pod, place),
        .uss_bytes = process->memory.private_bytes,
        .line_bytes = fleet_line_of(pod->fleet, core),
    };
    observer->process(observer->user, pod->now_ms, &seen);
}

/* Once a look, when all its samples are in. */
static void tell_look(struct run *run)
{
    const struct pod *pod = &run->pod;
    const struct fleet *fleet = pod->fleet;
    struct simulate_result *result = &run->result;
    if (run->look_told)
        return;
    run->look_told = true;
    result->looks++;
    uint64_t since_ms = pod->now_ms - run->last_look_ms;
    run->last_look_ms = pod->now_ms;
    if (fleet->container.trim_line > 0 && pod->used_bytes >= fleet->container.trim_line)
        result->above_trim_ms += since_ms;
    if (fleet->container.recycle_line > 0 && pod->used_bytes >= fleet->container.recycle_line)
        result->above_recycle_ms += since_ms;
    if (pod->used_bytes > result->peak_bytes) {
        result->peak_bytes = pod->used_bytes;
        result->peak_at_ms = pod->now_ms;
    }
    const struct simulate_look look = { .used_bytes = pod->used_bytes,
                                        .limit_bytes = pod->seen_limit_bytes,
                                        .trim_line_bytes = fleet->trim_line,
                                        .recycle_line_bytes = fleet->recycle_line,
                                        .container_trim_bytes = fleet->container.trim_line,
                                        .container_recycle_bytes = fleet->container.recycle_line,
                                        .processes = fleet->counted };
    if (run->observer->look != NULL)
        run->observer->look(run->observer->user, pod->now_ms, &look);
}

static void tell_decision(struct run *run, const struct fleet_decision *decision)
{
    struct simulate_result *result = &run->result;
    result->measures += decision->action == FLEET_MEASURE;
    result->trims += decision->action == FLEET_TRIM;
    result->trims_worth += decision->action == FLEET_TRIMMED && decision->enough;
    result->recycles += decision->action == FLEET_RECYCLE;
    result->kills += decision->action == FLEET_KILL && decision->first;
    if (run->observer->decision != NULL)
        run->observer->decision(run->observer->user, run->pod.now_ms, decision);
}

static void take_step(void *user, const struct pod *pod, enum pod_step step, uint16_t place,
                      const struct fleet_decision *decision)
{
    struct run *run = user;
    int32_t pid = place != POD_NOWHERE ? pod->process[place].pid : 0;
    uint64_t bytes = place != POD_NOWHERE ? pod->process[place].memory.rss_bytes : 0;
    switch (step) {
    case POD_LOOK_BEGIN:
        run->look_told = false;
        break;
    case POD_SAMPLE:
    case POD_MISSED:
        tell_process(run, place);
        break;
    case POD_LOOK_END:
        tell_look(run);
        break;
    case POD_START:
        run->result.starts += place == FLEET_WORKER;
        tell_happening(run, SIMULATE_START, pid, 0, NULL);
        break;
    case POD_EXIT:
        tell_happening(run, SIMULATE_EXIT, pid, bytes, NULL);
        break;
    case POD_OOM:
        run->result.ooms++;
        tell_happening(run, SIMULATE_OOM, pid, bytes, NULL);
        break;
    case POD_REFUSED_TRIM:
    case POD_REFUSED_RECYCLE:
        tell_happening(run, SIMULATE_REFUSED, pid, 0, NULL);
        break;
    case POD_APPEAR:
    case POD_GONE:
    case POD_MEASURED:
    case POD_LOOK_DONE:
    case POD_PRESSURE:
    case POD_REPORTED:
    case POD_LIFE:
    case POD_START_FAILED:
    case POD_SIGNALLED:
    case POD_TOLD_TO_STOP:
    case POD_STEPS:
        break;
    }
    if (decision != NULL && decision->action != FLEET_NONE)
        tell_decision(run, decision);
}

/* ---- what befalls the pod ---- */

static void befall(struct run *run, const struct scenario_event *event)
{
    struct pod *pod = &run->pod;
    uint16_t place = (uint16_t)event->process;
    uint64_t until_ms = pod->now_ms + event->for_ms;
    tell_happening(run, SIMULATE_EVENT, 0, 0, event->name);
    switch (event->what) {
    case SCENARIO_LIMIT:
        tell_happening(run, SIMULATE_LIMIT, 0, event->value, NULL);
        pod_set_limit(pod, event->value);
        break;
    case SCENARIO_WORKERS:
        pod_set_pool(pod, (uint32_t)event->value);
        break;
    case SCENARIO_OTHER:
        pod_set_other(pod, event->value);
        break;
    case SCENARIO_PRESSURE:
        pod_pressure(pod);
        break;
    case SCENARIO_SPIKE:
        pod_spike(pod, place, event->value, event->for_ms);
        break;
    case SCENARIO_LEAK:
        pod_set_leak(pod, event->value);
        break;
    case SCENARIO_CRASH:
        pod_crash(pod, place);
        break;
    case SCENARIO_STOP:
        pod_stop_process(pod, place);
        break;
    case SCENARIO_CONTINUE:
        pod_continue_process(pod, place);
        break;
    case SCENARIO_NO_START:
        pod->no_start_until_ms = until_ms;
        break;
    case SCENARIO_NO_FORK:
        pod->no_fork_until_ms = until_ms;
        break;
    case SCENARIO_NO_SAMPLES:
        pod->no_samples_until_ms = until_ms;
        break;
    case SCENARIO_WILD:
        pod->wild_place = place;
        pod->wild_bytes = event->value;
        break;
    case SCENARIO_CLOCK_STOPS:
        pod_clock_stops(pod, event->for_ms);
        break;
    case SCENARIO_CLOCK_LEAPS:
        pod_clock_leaps(pod, event->for_ms);
        break;
    case SCENARIO_SHUTDOWN:
        pod_told_to_stop(pod);
        break;
    case SCENARIO_WHATS:
        break;
    }
}

static uint64_t next_event_ms(const struct run *run)
{
    uint64_t next_ms = MODEL_NEVER;
    for (uint32_t i = 0; i < run->scenario->events; i++)
        next_ms = min_u64(next_ms, run->due_ms[i]);
    return next_ms;
}

static void befall_due(struct run *run)
{
    for (uint32_t i = 0; i < run->scenario->events && !run->pod.over; i++) {
        const struct scenario_event *event = &run->scenario->event[i];
        if (run->due_ms[i] > run->pod.now_ms)
            continue;
        run->due_ms[i] = event->every_ms > 0 ? run->due_ms[i] + event->every_ms : MODEL_NEVER;
        befall(run, event);
    }
}

static void run_all(struct run *run)
{
    struct pod *pod = &run->pod;
    uint64_t duration_ms = run->scenario->duration_ms;
    while (!pod->over && pod->now_ms < duration_ms) {
        uint64_t until_ms = min_u64(next_event_ms(run), duration_ms);
        if (pod->spec->unwatched)
            until_ms = min_u64(until_ms, pod->now_ms + UNWATCHED_MS);
        if (!pod_advance(pod, until_ms) && !pod->over && pod->now_ms < duration_ms)
            befall_due(run);
    }
}

int simulate_run(const struct scenario *scenario, const struct simulate_policy *policy,
                 const struct simulate_observer *observer, struct simulate_result *ret_result)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return -ENOMEM;
    const struct pod_spec spec = { .seed = scenario->seed,
                                   .limit_bytes = scenario->limit_bytes,
                                   .other_bytes = scenario->other_bytes,
                                   .workers = scenario->workers,
                                   .worker = &scenario->worker,
                                   .master = &scenario->master,
                                   .traffic = &scenario->traffic,
                                   .fleet = policy->fleet,
                                   .life = policy->life,
                                   .target = policy->target,
                                   .policy_limit_bytes = policy->limit_bytes,
                                   .unwatched = !fleet_has_work(&policy->fleet) };
    const struct pod_observer pod_observer = { .user = run, .step = take_step };
    run->scenario = scenario;
    run->observer = observer;
    for (uint32_t i = 0; i < scenario->events; i++)
        run->due_ms[i] = scenario->event[i].at_ms;
    pod_init(&run->pod, &run->fleet, &spec, &pod_observer);
    run_all(run);
    run->result.end_ms = run->pod.now_ms;
    *ret_result = run->result;
    free(run);
    return 0;
}
