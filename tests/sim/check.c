/*
 * Nearly every rule is held where a decision is seen; what must be so at any
 * time, where a look is done.
 */
#include "sim/check.h"
#include "policy/u64.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* ---- rules ---- */

__attribute__((format(printf, 4, 5))) static void hold(struct check *check, enum rule rule, bool holds,
                                                       const char *format, ...)
{
    check->tested[rule]++;
    if (holds || check->violated >= 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(check->text, sizeof check->text, format, arguments);
    va_end(arguments);
    check->violated = (int)rule;
}

static uint64_t part_of(uint64_t bytes, uint32_t permyriad)
{
    return bytes / 10000 * permyriad + bytes % 10000 * permyriad / 10000;
}

static const struct fleet_process *core_of(const struct pod *pod, uint16_t place)
{
    uint16_t slot = pod->process[place].slot;
    return slot == POD_NOWHERE ? NULL : &pod->fleet->process[slot];
}

/* The place of a pid among those that are alive, or POD_NOWHERE. */
static uint16_t place_of_pid(const struct pod *pod, int32_t pid)
{
    for (uint32_t place = 0; place < pod->places; place++) {
        if (pod->process[place].alive && pod->process[place].pid == pid)
            return (uint16_t)place;
    }
    return POD_NOWHERE;
}

static bool can_trim(const struct pod *pod, uint16_t place)
{
    return pod->spec->fleet.can_trim && pod->process[place].model.shape->handles_trim;
}

/* At which the policy recycles it, its jitter taken off. */
static uint64_t own_line(const struct pod *pod, uint16_t place)
{
    uint64_t line = pod->fleet->recycle_line;
    return line - part_of(line, core_of(pod, place)->jitter_permyriad);
}

static void decided_trim(struct check *check, const struct pod *pod, uint16_t place)
{
    struct check_process *process = &check->process[place];
    uint64_t clock_ms = pod->fleet->now_ms;
    uint32_t trimming = 0;
    uint32_t counted = 0;
    for (uint32_t slot = 0; slot < pod->fleet->high_slot; slot++) {
        const struct fleet_process *other = &pod->fleet->process[slot];
        trimming += other->state == FLEET_TRIMMING;
        counted += other->state != FLEET_FREE && other->counts;
    }
    hold(check, RULE_TRIM_PART, trimming <= max_u64(1, counted / FLEET_TRIM_PART), "%u of %u trim at one time",
         trimming, counted);
    hold(check, RULE_TRIM_RATE, process->trim_ms == 0 || clock_ms - process->trim_ms >= FLEET_TRIM_RETRY_MS,
         "pid %d is asked to trim %" PRIu64 " ms after the last time", process->pid, clock_ms - process->trim_ms);
    hold(check, RULE_SENSE, process->asked_ms == 0, "pid %d is asked to trim while it leaves", process->pid);
    process->trim_ms = max_u64(clock_ms, 1);
    process->trimmed_since = true;
}

static void decided_kill(struct check *check, const struct pod *pod, uint16_t place)
{
    struct check_process *process = &check->process[place];
    uint64_t clock_ms = pod->fleet->now_ms;
    hold(check, RULE_GRACE, process->asked_ms > 0, "KILL of pid %d, which was not asked to leave", process->pid);
    hold(check, RULE_GRACE, clock_ms - process->asked_ms >= pod->spec->fleet.grace_ms,
         "KILL of pid %d %" PRIu64 " ms after it was asked to leave", process->pid, clock_ms - process->asked_ms);
    hold(check, RULE_GRACE, process->killed_ms == 0 || clock_ms - process->killed_ms >= FLEET_KILL_REPEAT_MS,
         "KILL of pid %d again after %" PRIu64 " ms", process->pid, clock_ms - process->killed_ms);
    process->killed_ms = max_u64(clock_ms, 1);
}

/* For its own size: over its line at each of the last looks, and trims tried. */
static void check_own_reason(struct check *check, const struct pod *pod, uint16_t victim)
{
    const struct check_process *process = &check->process[victim];
    hold(check, RULE_SAMPLES, process->over >= pod->spec->fleet.samples,
         "pid %d is recycled after %u looks in a row at or above its line", process->pid, process->over);
    hold(check, RULE_TRIM_FIRST, !can_trim(pod, victim) || process->trimmed_since || process->lately || process->deaf,
         "pid %d is recycled, but was asked for no trim since it crossed its line", process->pid);
}

static void check_container_reason(struct check *check, const struct pod *pod, uint16_t victim,
                                   const struct fleet_decision *decision)
{
    const struct check_process *process = &check->process[victim];
    bool urgent = decision->eta_ms <= FLEET_HORIZON_MS;
    hold(check, RULE_SAMPLES, check->container_over >= pod->spec->fleet.samples,
         "recycle for the container after %u looks in a row at or above its line", check->container_over);
    check->container_over = 0;
    bool worth = core_of(pod, victim)->rss_bytes >= FLEET_IDLE_GROWTH_MIN;
    hold(check, RULE_TRIM_FIRST, urgent || !can_trim(pod, victim) || process->trim_ms > 0 || process->deaf || !worth,
         "pid %d is recycled for the container, but never was asked for a trim", process->pid);
    hold(check, RULE_FLAT, pod->fleet->container.shape == TREND_RISING || urgent,
         "recycle for a container that does not rise, %" PRIu64 " ms from its limit", decision->eta_ms);
    /* floors look at the whole life: its last third must have been without growth */
    uint64_t flat_ms = pod->now_ms - check->started_ms - check->flat_after_ms;
    bool settled = check->flat && pod->now_ms > check->started_ms + check->flat_after_ms &&
                   flat_ms > check->flat_after_ms + CHECK_SETTLE_MS;
    hold(check, RULE_FLAT, !settled, "recycle for a container in which nothing has grown for %" PRIu64 " ms", flat_ms);
}

static void check_protected(struct check *check, const struct pod *pod, uint16_t victim, bool may_be_young)
{
    const struct check_process *process = &check->process[victim];
    const struct fleet_process *core = core_of(pod, victim);
    uint64_t clock_ms = pod->fleet->now_ms;
    hold(check, RULE_PROTECTED, core->counts && !core->spared, "pid %d, which is none of the targets or spared, goes",
         process->pid);
    hold(check, RULE_PROTECTED, may_be_young || clock_ms - core->born_ms >= pod->spec->fleet.min_age_ms,
         "pid %d goes at an age of %" PRIu64 " ms", process->pid, clock_ms - core->born_ms);
    hold(check, RULE_PROTECTED, !process->refused || clock_ms - process->refused_ms >= FLEET_REFUSED_MS,
         "pid %d goes %" PRIu64 " ms after it could not be recycled", process->pid, clock_ms - process->refused_ms);
}

static void decided_recycle(struct check *check, const struct pod *pod, const struct fleet_decision *decision)
{
    bool respawn = decision->method != FLEET_METHOD_SIGNAL;
    bool container = decision->reason == FLEET_REASON_CONTAINER;
    uint16_t victim = place_of_pid(pod, decision->pid);
    uint16_t leaving = respawn ? FLEET_WORKER : victim;
    uint64_t clock_ms = pod->fleet->now_ms;
    hold(check, RULE_SENSE, victim != POD_NOWHERE, "recycle of pid %d, which is gone", decision->pid);
    if (victim == POD_NOWHERE)
        return;
    if (container)
        check_container_reason(check, pod, victim, decision);
    else
        check_own_reason(check, pod, victim);
    check_protected(check, pod, victim, container && decision->eta_ms <= FLEET_HORIZON_MS);
    struct check_process *process = &check->process[leaving];
    hold(check, RULE_SENSE, process->asked_ms == 0, "pid %d is recycled while it leaves", process->pid);
    check->moved_ms = clock_ms;
    if (pod->spec->fleet.dry_run) {
        check->process[victim].refused = true;
        check->process[victim].refused_ms = clock_ms;
        return;
    }
    hold(check, RULE_AT_ONCE, check->outstanding < (respawn ? 1 : pod->spec->fleet.at_once),
         "pid %d is recycled while %u are away or on their way out", process->pid, check->outstanding);
    check->outstanding++;
    check->worker_outstanding = check->worker_outstanding || respawn;
    process->asked_ms = max_u64(clock_ms, 1);
    check->worker_asked = check->worker_asked || respawn;
}

static void refused_recycle(struct check *check, const struct pod *pod, uint16_t place)
{
    struct check_process *process = &check->process[place];
    process->asked_ms = 0;
    process->refused = true;
    process->refused_ms = pod->fleet->now_ms;
    if (place == FLEET_WORKER) {
        check->worker_asked = false;
        check->worker_outstanding = false;
    }
    check->outstanding--;
}

static void decided(struct check *check, const struct pod *pod, uint16_t place, const struct fleet_decision *decision)
{
    const struct fleet *fleet = pod->fleet;
    check->actions[decision->action]++;
    if (decision->action == FLEET_NONE)
        return;
    bool acts = decision->action == FLEET_KILL || decision->action == FLEET_TRIMMED ||
                decision->action == FLEET_REPLACED || decision->action == FLEET_HELD;
    hold(check, RULE_DRY_RUN, !pod->spec->fleet.dry_run || !acts, "a dry run reports what it has not done");
    if (place == POD_NOWHERE && decision->action != FLEET_HELD && decision->action != FLEET_HELPLESS)
        place = decision->slot < POD_SLOTS ? pod->place_of[decision->slot] : POD_NOWHERE;
    bool about = decision->action != FLEET_HELD && decision->action != FLEET_HELPLESS;
    if (about)
        hold(check, RULE_SENSE, fleet->process[decision->slot].state != FLEET_FREE, "a decision on the free slot %u",
             decision->slot);
    if (about && check->violated >= 0)
        return;
    switch (decision->action) {
    case FLEET_TRIM:
        decided_trim(check, pod, place);
        break;
    case FLEET_RECYCLE:
        decided_recycle(check, pod, decision);
        break;
    case FLEET_KILL:
        decided_kill(check, pod, place);
        break;
    case FLEET_REPLACED:
        hold(check, RULE_REPLACED, check->outstanding > 0, "pid %d replaces nobody", decision->pid);
        check->outstanding -= check->outstanding > 0;
        check->worker_outstanding = check->worker_outstanding && decision->slot != FLEET_WORKER;
        check->moved_ms = pod_clock_ms(pod);
        break;
    case FLEET_TRIMMED: /* it may have crossed its line meanwhile */
        check->process[place].trimmed_since = decision->rss_bytes >= own_line(pod, place);
        break;
    case FLEET_NONE:
    case FLEET_MEASURE:
    case FLEET_VERDICT:
    case FLEET_HELD:
    case FLEET_HELPLESS:
        break;
    }
}

static void note_truth(struct check_process *process, const struct pod *pod, uint16_t place, uint64_t line)
{
    bool pss = pod->spec->fleet.metric == FLEET_METRIC_PSS;
    uint64_t bytes = pss ? pod_pss_bytes(pod, place) : pod->process[place].memory.private_bytes;
    if (bytes < line)
        process->crossed_ms = 0;
    else if (process->crossed_ms == 0)
        process->crossed_ms = max_u64(pod->fleet->now_ms, 1);
}

/* After a sample or a measure of a process that is watched: in a row at or above its line, by our own count. */
static void count_over(struct check *check, const struct pod *pod, uint16_t place, bool measured)
{
    if (measured && (pod->spec->fleet.metric == FLEET_METRIC_RSS || pod->fleet->ending))
        return;
    struct check_process *process = &check->process[place];
    const struct fleet_process *core = core_of(pod, place);
    uint64_t line = own_line(pod, place);
    uint64_t bytes = pod->process[place].told_bytes;
    uint64_t trim_line = pod->fleet->trim_line;
    uint64_t lowest = trim_line > 0 && trim_line < line ? trim_line : line;
    bool inexact = pod->spec->fleet.metric != FLEET_METRIC_RSS && !core->opaque && !measured;
    if (inexact && line > 0 &&
        bytes >= line) { /* it takes an exact measure to say; the truth is held against it all the same */
        note_truth(process, pod, place, line);
        return;
    }
    if (measured)
        bytes = core->metric_bytes;
    bool due = process->trim_ms == 0 || core->trim_after_ms <= pod->fleet->now_ms;
    if (!inexact || bytes < lowest)
        process->lately = !due || (process->lately && bytes >= line);
    if (line == 0 || bytes < line) {
        process->over = 0;
        process->crossed_ms = 0;
        process->trimmed_since = false;
        return;
    }
    process->over++;
    if (process->crossed_ms == 0)
        process->crossed_ms = max_u64(pod->fleet->now_ms, 1);
}

static void check_process_of_look(struct check *check, const struct pod *pod, const struct fleet_process *core)
{
    const struct fleet *fleet = pod->fleet;
    bool busy = core->state == FLEET_TRIMMING || core->state == FLEET_LEAVING;
    hold(check, RULE_DRY_RUN, !busy || !pod->spec->fleet.dry_run, "pid %d is %s in a dry run", core->pid,
         check_state_name(core->state));
    if (!busy)
        return;
    uint64_t longest_ms = core->state == FLEET_TRIMMING ? pod->spec->fleet.settle_ms : pod->spec->fleet.grace_ms;
    if (core->killed)
        longest_ms = fleet->now_ms + FLEET_KILL_REPEAT_MS - core->since_ms;
    hold(check, RULE_DEADLINE, core->deadline_ms >= core->since_ms && core->deadline_ms - core->since_ms <= longest_ms,
         "pid %d is %s for %" PRIu64 " ms from the beginning", core->pid, check_state_name(core->state),
         core->deadline_ms - core->since_ms);
    uint64_t latest_ms = max_u64(core->deadline_ms, fleet->now_ms + FLEET_LOOK_MIN_MS);
    hold(check, RULE_DEADLINE, fleet_next_look_ms(fleet) <= latest_ms,
         "pid %d is %s until %" PRIu64 ", the next look is at %" PRIu64, core->pid, check_state_name(core->state),
         core->deadline_ms, fleet_next_look_ms(fleet));
}

static bool must_go(const struct check *check, const struct pod *pod, uint16_t place)
{
    const struct check_process *process = &check->process[place];
    const struct fleet_process *core = core_of(pod, place);
    const struct pod_process *real = &pod->process[place];
    bool respawn = place == FLEET_WORKER || pod->spec->fleet.method == FLEET_METHOD_RESPAWN ||
                   pod->spec->fleet.method == FLEET_METHOD_HANDOVER;
    if (core == NULL || !core->counts || core->spared || process->crossed_ms == 0 || process->asked_ms > 0)
        return false;
    if (respawn)
        return pod->spec->fleet.can_respawn && !process->refused;
    return real->model.shape->handles_recycle && !process->refused;
}

static void check_progress(struct check *check, const struct pod *pod)
{
    uint64_t clock_ms = pod->fleet->now_ms;
    for (uint32_t place = 0; place < pod->places; place++) {
        if (!pod->process[place].alive || !must_go(check, pod, (uint16_t)place))
            continue;
        const struct check_process *process = &check->process[place];
        uint64_t since_ms = max_u64(process->crossed_ms, process->born_ms + pod->spec->fleet.min_age_ms);
        since_ms = max_u64(since_ms, check->moved_ms);
        hold(check, RULE_PROGRESS, clock_ms < since_ms || clock_ms - since_ms <= check->progress_ms,
             "pid %d is over its line for %" PRIu64 " ms, and nothing was recycled for %" PRIu64 " ms", process->pid,
             clock_ms - process->crossed_ms, clock_ms - check->moved_ms);
    }
}

static void check_capacity(struct check *check, const struct pod *pod)
{
    uint32_t leaving = 0;
    for (uint32_t place = 1; place < pod->places; place++)
        leaving += pod->process[place].alive && pod->process[place].asked;
    uint32_t missing = leaving + check->our_vacancies;
    if (leaving == 0)
        check->our_credits = 0;
    hold(check, RULE_CAPACITY, missing <= pod->spec->fleet.at_once,
         "%u of the pool are missing because of us: %u places empty", missing, check->our_vacancies);
}

static void look_done(struct check *check, const struct pod *pod)
{
    const struct fleet *fleet = pod->fleet;
    uint64_t next_ms = fleet_next_look_ms(fleet);
    check->look_ends = 0;
    hold(check, RULE_LOOK_PAST, next_ms >= fleet->now_ms + FLEET_LOOK_MIN_MS,
         "at %" PRIu64 " the next look is at %" PRIu64, fleet->now_ms, next_ms);
    hold(check, RULE_LOOK_FAR, next_ms <= fleet->now_ms + FLEET_QUIET_FACTOR * pod->spec->fleet.look_ms,
         "at %" PRIu64 " the next look is at %" PRIu64, fleet->now_ms, next_ms);
    hold(check, RULE_REPLACED, fleet->awaited_count == check->outstanding, "%u replacements awaited, %u recycled",
         fleet->awaited_count, check->outstanding);
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++)
        check_process_of_look(check, pod, &fleet->process[slot]);
    check->blurred = check->blurred || pod->pool != pod->spec->workers || pod->clock_ahead_ms > 0;
    if (pod->spec->workers > 0 && !check->blurred)
        check_capacity(check, pod);
    if (check->fair && check->outstanding == 0)
        check_progress(check, pod);
}

/* ---- the life of the worker ---- */

/* A place is taken: one of those that our recycles left empty, if there is any. */
static void fill_vacancy(struct check *check, uint16_t place)
{
    const struct check_process *before = &check->process[place];
    bool crashed = before->pid != 0 && before->known && before->asked_ms == 0 && !before->unwanted;
    if (check->our_vacancies > 0)
        check->our_vacancies--;
    else if (!crashed)
        check->our_credits++;
}

static void started(struct check *check, const struct pod *pod, uint16_t place)
{
    if (place != FLEET_WORKER)
        fill_vacancy(check, place);
    check->process[place] = (struct check_process){ .pid = pod->process[place].pid, .born_ms = pod_clock_ms(pod) };
    check->started_ms = pod->now_ms;
    if (place != FLEET_WORKER)
        return;
    hold(check, RULE_BACKOFF, pod_clock_ms(pod) >= check->earliest_start_ms,
         "the worker is started %" PRIu64 " ms too early", check->earliest_start_ms - pod_clock_ms(pod));
    check->worker_up_ms = pod_clock_ms(pod);
    check->worker_asked = false;
}

static void put_off_start(struct check *check, const struct pod *pod)
{
    check->earliest_start_ms = pod_clock_ms(pod) + check->start_delay_ms;
    check->start_delay_ms = min_u64(2 * check->start_delay_ms, LIFE_DELAY_MAX_MS);
}

static void ended(struct check *check, const struct pod *pod, uint16_t place)
{
    if (place != FLEET_WORKER) {
        check->process[place].unwanted = place > pod->pool;
        check->blurred = check->blurred || !check->process[place].known;
        if (pod->process[place].asked && check->our_credits > 0)
            check->our_credits--;
        else
            check->our_vacancies += pod->process[place].asked;
        return;
    }
    check->our_vacancies = 0;
    check->our_credits = 0;
    check->outstanding = check->worker_outstanding;
    uint64_t lived_ms = pod_clock_ms(pod) - check->worker_up_ms;
    if (check->worker_asked || lived_ms >= LIFE_STEADY_MS)
        check->start_delay_ms = pod->spec->life.restart_delay_ms;
    if (check->worker_asked)
        check->earliest_start_ms = pod_clock_ms(pod);
    else
        put_off_start(check, pod);
}

static void life_acts(struct check *check, const struct pod *pod)
{
    uint64_t grace_ms = pod->spec->life.stop_grace_ms;
    if (pod->life_action != LIFE_KILL_REST)
        return;
    hold(check, RULE_STOP_GRACE,
         check->told_to_stop_ms > 0 && pod_clock_ms(pod) - check->told_to_stop_ms >= grace_ms && grace_ms > 0,
         "what is left is killed %" PRIu64 " ms after the stop", pod_clock_ms(pod) - check->told_to_stop_ms);
}

/* ---- steps ---- */

void check_step(void *user, const struct pod *pod, enum pod_step step, uint16_t place,
                const struct fleet_decision *decision)
{
    struct check *check = user;
    if (check->violated >= 0)
        return;
    check->steps += step != POD_LOOK_DONE && step != POD_MISSED;
    check_note_event(check, pod, step, place, decision);
    switch (step) {
    case POD_SAMPLE:
    case POD_MEASURED:
        count_over(check, pod, place, step == POD_MEASURED);
        break;
    case POD_LOOK_END:
        if (check->look_ends++ == 0) {
            bool over = pod->fleet->container.recycle_line > 0 &&
                        pod->fleet->container.used_bytes >= pod->fleet->container.recycle_line;
            check->container_over = over ? check->container_over + 1 : 0;
        }
        hold(check, RULE_LOOK_ENDS, check->look_ends <= 4 * POD_SLOTS, "a look goes on and on");
        break;
    case POD_LOOK_DONE:
        look_done(check, pod);
        break;
    case POD_REFUSED_TRIM:
        check->process[place].deaf = true;
        break;
    case POD_REFUSED_RECYCLE:
        refused_recycle(check, pod, place);
        break;
    case POD_START:
        started(check, pod, place);
        break;
    case POD_START_FAILED:
        hold(check, RULE_BACKOFF, pod_clock_ms(pod) >= check->earliest_start_ms, "the worker is started too early");
        put_off_start(check, pod);
        break;
    case POD_EXIT:
        ended(check, pod, place);
        break;
    case POD_TOLD_TO_STOP:
        if (check->told_to_stop_ms == 0)
            check->told_to_stop_ms = max_u64(pod_clock_ms(pod), 1);
        break;
    case POD_LIFE:
        life_acts(check, pod);
        break;
    case POD_APPEAR:
        check->process[place].known = true;
        break;
    case POD_GONE:
    case POD_LOOK_BEGIN:
    case POD_MISSED:
    case POD_PRESSURE:
    case POD_REPORTED:
    case POD_OOM:
    case POD_SIGNALLED:
    case POD_STEPS:
        break;
    }
    if (decision != NULL)
        decided(check, pod, place, decision);
}
