/* The processes of the container, what befalls them, and the life of the worker. */
#include "ctl/pod.h"
#include "policy/u64.h"

#include <stddef.h>
#include <string.h>

void pod_say(struct pod *pod, enum pod_step step, uint16_t place, const struct fleet_decision *decision)
{
    if (pod->observer != NULL)
        pod->observer->step(pod->observer->user, pod, step, place, decision);
}

/* ---- the policy's clock ---- */

uint64_t pod_clock_ms(const struct pod *pod)
{
    if (pod->clock_stands_until_ms > 0)
        return pod->clock_stood_ms;
    return pod->now_ms + pod->clock_ahead_ms - pod->clock_behind_ms;
}

static void run_clock(struct pod *pod)
{
    if (pod->clock_stands_until_ms == 0 || pod->now_ms < pod->clock_stands_until_ms)
        return;
    pod->clock_stands_until_ms = 0;
    pod->clock_behind_ms = pod->now_ms + pod->clock_ahead_ms - pod->clock_stood_ms;
}

void pod_clock_stops(struct pod *pod, uint64_t for_ms)
{
    pod->clock_stood_ms = pod_clock_ms(pod);
    pod->clock_stands_until_ms = pod->now_ms + for_ms;
}

void pod_clock_leaps(struct pod *pod, uint64_t by_ms)
{
    pod->clock_ahead_ms += by_ms;
    pod->clock_stood_ms += by_ms;
}

/* True time at which the policy's clock shows this; LIFE_NEVER while it stands. */
static uint64_t true_ms(const struct pod *pod, uint64_t clock_ms)
{
    if (clock_ms == LIFE_NEVER)
        return MODEL_NEVER;
    uint64_t shown_ms = pod_clock_ms(pod);
    if (clock_ms <= shown_ms)
        return pod->now_ms;
    return pod->clock_stands_until_ms > 0 ? MODEL_NEVER : pod->now_ms + (clock_ms - shown_ms);
}

/* ---- memory ---- */

uint64_t pod_measure(struct pod *pod)
{
    uint64_t used_bytes = pod->other_bytes;
    uint64_t shared_bytes = 0;
    for (uint32_t place = 0; place < pod->places; place++) {
        struct pod_process *process = &pod->process[place];
        if (!process->alive)
            continue;
        model_memory(&process->model, pod->spec->traffic, pod->now_ms, &process->memory);
        used_bytes += process->memory.private_bytes;
        if (process->memory.shared_bytes > shared_bytes)
            shared_bytes = process->memory.shared_bytes;
    }
    pod->used_bytes = used_bytes + shared_bytes;
    pod->measured_ms = pod->now_ms;
    return pod->used_bytes;
}

uint64_t pod_pss_bytes(const struct pod *pod, uint16_t place)
{
    uint64_t sharers = 0;
    for (uint32_t i = 0; i < pod->places; i++)
        sharers += pod->process[i].alive && pod->process[i].memory.shared_bytes > 0;
    const struct model_memory *memory = &pod->process[place].memory;
    return memory->private_bytes + (sharers > 0 ? memory->shared_bytes / sharers : 0);
}

uint32_t pod_capacity(const struct pod *pod)
{
    uint32_t first = pod->spec->workers > 0 ? 1 : 0;
    uint32_t capacity = 0;
    for (uint32_t place = first; place < pod->places; place++)
        capacity += pod->process[place].alive && !pod->process[place].asked;
    return capacity;
}

/* ---- processes ---- */

static void plan(struct pod *pod)
{
    pod->next_event_ms = pod->clock_stands_until_ms > 0 ? pod->clock_stands_until_ms : MODEL_NEVER;
    for (uint32_t place = 0; place < pod->places; place++) {
        const struct pod_process *process = &pod->process[place];
        uint64_t at_ms = process->alive ? min_u64(process->ends_ms, process->reports_ms) : process->comes_ms;
        if (process->alive && process->model.spike_from_ms > pod->now_ms)
            at_ms = min_u64(at_ms, process->model.spike_from_ms);
        pod->next_event_ms = min_u64(pod->next_event_ms, at_ms);
    }
}

static void start_process(struct pod *pod, uint16_t place, const struct model_shape *shape)
{
    struct pod_process *process = &pod->process[place];
    *process = (struct pod_process){ .pid = pod->next_pid++,
                                     .slot = POD_NOWHERE,
                                     .alive = true,
                                     .ends_ms = MODEL_NEVER,
                                     .comes_ms = MODEL_NEVER,
                                     .reports_ms = MODEL_NEVER };
    model_begin(&process->model, shape, pod->spec->traffic, model_random(&pod->random), pod->now_ms);
    if (pod->spec->uneven)
        process->model.leak_rate = process->model.leak_rate / 1000 * model_random_below(&pod->random, 2001);
    if (place >= pod->places)
        pod->places = place + 1U;
    pod->forked = true;
    pod_say(pod, POD_START, place, NULL);
}

/* A master makes its pool when it has booted. */
static void plan_pool(struct pod *pod, uint64_t from_ms)
{
    for (uint32_t place = 1; place < POD_PLACES; place++) {
        struct pod_process *process = &pod->process[place];
        if (process->alive)
            continue;
        bool wanted = place <= pod->pool;
        if (wanted && place >= pod->places)
            pod->places = place + 1U;
        if (!wanted)
            process->comes_ms = MODEL_NEVER;
        else if (process->comes_ms == MODEL_NEVER || process->comes_ms == 0)
            process->comes_ms = from_ms;
    }
}

static void start_worker(struct pod *pod)
{
    const struct pod_spec *spec = pod->spec;
    if (pod->now_ms < pod->no_start_until_ms) {
        life_start_failed(&pod->life, pod_clock_ms(pod));
        pod_say(pod, POD_START_FAILED, FLEET_WORKER, NULL);
        return;
    }
    start_process(pod, FLEET_WORKER, spec->workers > 0 ? spec->master : spec->worker);
    if (spec->workers > 0)
        plan_pool(pod, pod->now_ms + spec->master->boot_ms);
    life_started(&pod->life, pod_clock_ms(pod));
    if (!spec->unwatched)
        pod_watch_worker_started(pod);
}

static void apply(struct pod *pod, enum life_action action)
{
    pod->life_action = action;
    pod_say(pod, POD_LIFE, POD_NOWHERE, NULL);
    switch (action) {
    case LIFE_NONE:
    case LIFE_STOP_REST: /* the pool ends with the worker: there is no rest */
        break;
    case LIFE_START:
        start_worker(pod);
        break;
    case LIFE_WAKE:
        (void)pod_signal(pod, FLEET_WORKER, POD_SIGNAL_CONTINUE, false);
        break;
    case LIFE_KILL_REST:
        (void)pod_signal(pod, FLEET_WORKER, POD_SIGNAL_KILL, false);
        break;
    case LIFE_LEAVE:
        pod->over = true;
        break;
    }
}

static void end_process(struct pod *pod, uint16_t place)
{
    struct pod_process *process = &pod->process[place];
    process->alive = false;
    process->comes_ms = MODEL_NEVER;
    pod_say(pod, POD_EXIT, place, NULL);
}

/* Its pool does not outlive it. */
static void end_worker(struct pod *pod)
{
    bool failed = pod->process[FLEET_WORKER].failed;
    for (uint32_t place = 0; place < pod->places; place++) {
        if (pod->process[place].alive)
            end_process(pod, (uint16_t)place);
        pod->process[place].comes_ms = MODEL_NEVER;
    }
    if (!pod->spec->unwatched)
        pod_watch_worker_gone(pod);
    apply(pod, life_worker_gone(&pod->life, failed, pod_clock_ms(pod)));
    if (pod->life.state == LIFE_DRAINING)
        apply(pod, life_all_gone(&pod->life));
}

static void end(struct pod *pod, uint16_t place)
{
    struct pod_process *process = &pod->process[place];
    if (place == FLEET_WORKER) {
        end_worker(pod);
        return;
    }
    uint16_t slot = process->slot;
    end_process(pod, place);
    if (slot != POD_NOWHERE)
        pod_watch_gone(pod, slot);
    if (place <= pod->pool)
        process->comes_ms = pod->now_ms + process->model.shape->replace_ms;
}

/* The kernel takes the largest, until the rest fits. */
static void run_out_of_memory(struct pod *pod)
{
    while (!pod->over && pod_measure(pod) > pod->limit_bytes) {
        int largest = -1;
        for (uint32_t place = 0; place < pod->places; place++) {
            const struct pod_process *process = &pod->process[place];
            if (process->alive && (largest < 0 || process->memory.rss_bytes > pod->process[largest].memory.rss_bytes))
                largest = (int)place;
        }
        if (largest < 0)
            return;
        pod->ooms++;
        pod->process[largest].failed = true;
        pod_say(pod, POD_OOM, (uint16_t)largest, NULL);
        end(pod, (uint16_t)largest);
    }
}

static void take_events(struct pod *pod)
{
    for (uint32_t place = 0; place < pod->places && !pod->over; place++) {
        struct pod_process *process = &pod->process[place];
        if (process->alive && pod->now_ms >= process->ends_ms) {
            end(pod, (uint16_t)place);
        } else if (process->alive && pod->now_ms >= process->reports_ms) {
            process->reports_ms = MODEL_NEVER;
            pod_watch_reported(pod, (uint16_t)place);
        } else if (!process->alive && pod->now_ms >= process->comes_ms) {
            if (pod->now_ms < pod->no_fork_until_ms)
                process->comes_ms = pod->no_fork_until_ms;
            else
                start_process(pod, (uint16_t)place, pod->spec->worker);
        }
    }
}

/* ---- time ---- */

void pod_init(struct pod *pod, struct fleet *fleet, const struct pod_spec *spec, const struct pod_observer *observer)
{
    memset(pod, 0, offsetof(struct pod, process));
    memset((char *)pod + offsetof(struct pod, place_of), 0, sizeof *pod - offsetof(struct pod, place_of));
    for (uint32_t place = 0; place < POD_PLACES; place++)
        pod->process[place] =
            (struct pod_process){ .ends_ms = MODEL_NEVER, .comes_ms = MODEL_NEVER, .reports_ms = MODEL_NEVER };
    pod->spec = spec;
    pod->observer = observer;
    pod->fleet = fleet;
    pod->random = spec->seed;
    pod->next_pid = POD_FIRST_PID;
    pod->pool = spec->workers;
    pod->limit_bytes = spec->limit_bytes;
    pod->other_bytes = spec->other_bytes;
    pod->wild_place = POD_NOWHERE;
    life_init(&pod->life, &spec->life);
    pod_watch_init(pod);
    start_worker(pod);
    plan(pod);
}

static uint64_t wake_ms(const struct pod *pod)
{
    uint64_t clock_ms = min_u64(life_deadline_ms(&pod->life), pod_watch_due_ms(pod));
    uint64_t at_ms = true_ms(pod, clock_ms);
    return at_ms == MODEL_NEVER ? at_ms : at_ms + pod->late_ms;
}

bool pod_advance(struct pod *pod, uint64_t until_ms)
{
    uint64_t wakes_ms = wake_ms(pod);
    uint64_t at_ms = min_u64(pod->next_event_ms, wakes_ms);
    if (pod->over || at_ms > until_ms) {
        pod->now_ms = until_ms;
        run_clock(pod);
        if (pod->spec->unwatched) { /* nobody looks: only here it can show that there is too much */
            run_out_of_memory(pod);
            plan(pod);
        }
        return false;
    }
    pod->now_ms = max_u64(at_ms, pod->now_ms);
    run_clock(pod);
    take_events(pod);
    run_out_of_memory(pod);
    if (pod->now_ms >= wakes_ms && !pod->over) {
        if (pod->spec->seen_late_ms > 0)
            pod->late_ms = model_random_below(&pod->random, pod->spec->seen_late_ms + 1);
        uint64_t clock_ms = pod_clock_ms(pod);
        if (clock_ms >= life_deadline_ms(&pod->life))
            apply(pod, life_tick(&pod->life, clock_ms));
        if (clock_ms >= pod_watch_due_ms(pod) && !pod->over)
            pod_watch_look(pod);
    }
    plan(pod);
    return true;
}

/* ---- what befalls it ---- */

void pod_set_limit(struct pod *pod, uint64_t bytes)
{
    pod->limit_bytes = bytes;
    run_out_of_memory(pod);
    plan(pod);
}

/* A pool that is to be smaller tells its last ones to go. */
void pod_set_pool(struct pod *pod, uint32_t workers)
{
    if (pod->spec->workers == 0 || pod->over)
        return;
    pod->pool = workers;
    if (pod->process[FLEET_WORKER].alive)
        plan_pool(pod, pod->now_ms);
    for (uint32_t place = workers + 1; place < pod->places; place++) {
        if (pod->process[place].alive)
            (void)pod_signal(pod, (uint16_t)place, POD_SIGNAL_END, false);
    }
    plan(pod);
}

void pod_set_other(struct pod *pod, uint64_t bytes)
{
    pod->other_bytes = bytes;
    run_out_of_memory(pod);
    plan(pod);
}

void pod_set_leak(struct pod *pod, uint64_t rate)
{
    for (uint32_t place = pod->spec->workers > 0 ? 1 : 0; place < pod->places; place++) {
        if (pod->process[place].alive)
            model_set_leak(&pod->process[place].model, pod->spec->traffic, rate, pod->now_ms);
    }
}

void pod_pressure(struct pod *pod)
{
    if (pod->over || pod->spec->unwatched)
        return;
    fleet_pressure(pod->fleet, pod_clock_ms(pod));
    pod->next_look_ms = min_u64(pod->next_look_ms, fleet_next_look_ms(pod->fleet));
    pod_say(pod, POD_PRESSURE, POD_NOWHERE, NULL);
}

void pod_spike(struct pod *pod, uint16_t place, uint64_t bytes, uint64_t for_ms)
{
    if (!pod->process[place].alive)
        return;
    model_spike(&pod->process[place].model, bytes, for_ms, pod->now_ms);
    run_out_of_memory(pod);
    plan(pod);
}

void pod_crash(struct pod *pod, uint16_t place)
{
    if (!pod->process[place].alive)
        return;
    pod->process[place].failed = true;
    end(pod, place);
    plan(pod);
}

void pod_stop_process(struct pod *pod, uint16_t place)
{
    pod->process[place].stopped = pod->process[place].alive;
}

void pod_continue_process(struct pod *pod, uint16_t place)
{
    if (pod->process[place].alive)
        (void)pod_signal(pod, place, POD_SIGNAL_CONTINUE, false);
    plan(pod);
}

void pod_told_to_stop(struct pod *pod)
{
    if (pod->over)
        return;
    uint64_t clock_ms = pod_clock_ms(pod);
    pod_say(pod, POD_TOLD_TO_STOP, POD_NOWHERE, NULL);
    if (pod->process[FLEET_WORKER].alive)
        (void)pod_signal(pod, FLEET_WORKER, POD_SIGNAL_END, false);
    pod->frozen_until_ms = clock_ms + POD_FREEZE_MS;
    apply(pod, life_stop(&pod->life, clock_ms));
    if (pod->life.state == LIFE_DRAINING)
        apply(pod, life_all_gone(&pod->life));
    plan(pod);
}

/* ---- signals ---- */

static void trim(struct pod *pod, struct pod_process *process)
{
    struct model_memory after;
    struct model_memory before;
    process->trim_pending = false;
    model_memory(&process->model, pod->spec->traffic, pod->now_ms, &before);
    model_trim(&process->model, pod->spec->traffic, pod->now_ms);
    if (!process->model.shape->agent)
        return;
    model_memory(&process->model, pod->spec->traffic, pod->now_ms, &after);
    process->report = (struct fleet_report){ .before_bytes = before.rss_bytes,
                                             .after_bytes = after.rss_bytes,
                                             .held_bytes = after.held_bytes,
                                             .used_bytes = after.used_bytes };
    process->reports_ms = pod->now_ms + process->model.shape->answer_ms;
    plan(pod);
}

static void begin_end(struct pod *pod, struct pod_process *process)
{
    process->end_pending = false;
    if (!process->model.shape->ignores_recycle)
        process->ends_ms = min_u64(process->ends_ms, pod->now_ms + process->model.shape->drain_ms);
}

bool pod_signal(struct pod *pod, uint16_t place, enum pod_signal signal, bool handled)
{
    struct pod_process *process = &pod->process[place];
    const struct model_shape *shape = process->model.shape;
    switch (signal) {
    case POD_SIGNAL_TRIM:
        if (handled && !shape->handles_trim)
            return false;
        process->trim_pending = true;
        break;
    case POD_SIGNAL_END:
        if (handled && !shape->handles_recycle)
            return false;
        process->end_pending = true;
        break;
    case POD_SIGNAL_KILL:
        process->failed = true;
        process->ends_ms = min_u64(process->ends_ms, pod->now_ms + shape->kill_ms);
        break;
    case POD_SIGNAL_CONTINUE:
        process->stopped = false;
        break;
    }
    pod_say(pod, POD_SIGNALLED, place, NULL);
    if (process->trim_pending && !process->stopped)
        trim(pod, process);
    if (process->end_pending && !process->stopped)
        begin_end(pod, process);
    return true;
}
