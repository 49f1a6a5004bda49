/* What the rules are called, how a check begins, and the last steps, which are printed when a rule is broken. */
#include "policy/u64.h"
#include "sim/check.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
} rules[RULES] = {
    [RULE_GRACE] = { "grace", "no KILL before the grace is over, nor more often than FLEET_KILL_REPEAT_MS" },
    [RULE_STOP_GRACE] = { "stop-grace", "told to stop, nothing is killed before stop_grace is over" },
    [RULE_AT_ONCE] = { "at-once", "never more than at_once on their way out or awaited" },
    [RULE_CAPACITY] = { "capacity", "never more than at_once of the pool missing because of a recycle" },
    [RULE_BACKOFF] = { "backoff", "the worker is not started again before its backoff is over" },
    [RULE_DEADLINE] = { "deadline", "who trims or leaves has a deadline, and the next look is no later" },
    [RULE_LOOK_PAST] = { "look-past", "the next look is not before FLEET_LOOK_MIN_MS from now" },
    [RULE_LOOK_FAR] = { "look-far", "the next look is not after FLEET_QUIET_FACTOR intervals" },
    [RULE_LOOK_ENDS] = { "look-ends", "a look ends" },
    [RULE_TRIM_RATE] = { "trim-rate", "two trims of a process are FLEET_TRIM_RETRY_MS apart" },
    [RULE_TRIM_PART] = { "trim-part", "at most one in FLEET_TRIM_PART of the pool trims at one time" },
    [RULE_SAMPLES] = { "samples", "no recycle without `samples` looks in a row at or above the line" },
    [RULE_TRIM_FIRST] = { "trim-first", "no recycle before a trim was tried, where one is possible" },
    [RULE_PROTECTED] = { "protected", "who is spared, young, refused or no target is not recycled" },
    [RULE_FLAT] = { "flat", "a container that does not grow is not recycled for its size" },
    [RULE_DRY_RUN] = { "dry-run", "a dry run changes nothing" },
    [RULE_PROGRESS] = { "progress", "who is over its line for good is recycled within the bound" },
    [RULE_REPLACED] = { "replaced", "what the core awaits is what was recycled and not yet replaced" },
    [RULE_SENSE] = { "sense", "a decision is about a process that there is, in a state that allows it" },
};

const char *check_rule_name(enum rule rule)
{
    return rules[rule].name;
}

const char *check_rule_text(enum rule rule)
{
    return rules[rule].text;
}

/* ---- the last events ---- */

static const char *const step_names[POD_STEPS] = {
    [POD_APPEAR] = "appear",
    [POD_GONE] = "gone",
    [POD_LOOK_BEGIN] = "look",
    [POD_SAMPLE] = "sample",
    [POD_MISSED] = "not readable",
    [POD_MEASURED] = "measured",
    [POD_LOOK_END] = "look end",
    [POD_LOOK_DONE] = "look done",
    [POD_PRESSURE] = "pressure",
    [POD_REPORTED] = "reported",
    [POD_REFUSED_TRIM] = "refused trim",
    [POD_REFUSED_RECYCLE] = "refused recycle",
    [POD_LIFE] = "life",
    [POD_START] = "START",
    [POD_START_FAILED] = "START FAILED",
    [POD_EXIT] = "EXIT",
    [POD_OOM] = "OOM",
    [POD_SIGNALLED] = "signalled",
    [POD_TOLD_TO_STOP] = "TOLD TO STOP",
};
static const char *const action_names[] = { "",        "MEASURE", "TRIM",     "TRIMMED", "VERDICT",
                                            "RECYCLE", "KILL",    "REPLACED", "HELD",    "HELPLESS" };
static const char *const reason_names[] = { "", "at", "every", "idle", "container", "pressure" };
static const char *const state_names[] = { "free", "watched", "trimming", "leaving" };

const char *check_action_name(enum fleet_action action)
{
    return action_names[action];
}

const char *check_state_name(unsigned state)
{
    return state_names[state];
}

static void print_event(const struct check_event *event, FILE *out)
{
    (void)fprintf(out, "%12" PRIu64 " %10" PRIu64 ".%03u s", event->step, event->at_ms / 1000,
                  (unsigned)(event->at_ms % 1000));
    if (event->clock_ms != event->at_ms)
        (void)fprintf(out, " (clock %" PRIu64 ".%03u)", event->clock_ms / 1000, (unsigned)(event->clock_ms % 1000));
    (void)fprintf(out, "  %-14s", step_names[event->kind]);
    if (event->pid != 0)
        (void)fprintf(out, " pid=%d %s", event->pid, state_names[event->state]);
    if (event->bytes != 0)
        (void)fprintf(out, " %" PRIu64 "K", event->bytes >> 10);
    if (event->line != 0)
        (void)fprintf(out, " line=%" PRIu64 "K", event->line >> 10);
    if (event->action != FLEET_NONE)
        (void)fprintf(out, " -> %s %s", action_names[event->action], reason_names[event->reason]);
    (void)fputc('\n', out);
}

void check_print_events(const struct check *check, FILE *out)
{
    uint64_t first = check->events > CHECK_EVENTS ? check->events - CHECK_EVENTS : 0;
    for (uint64_t i = first; i < check->events; i++)
        print_event(&check->event[i % CHECK_EVENTS], out);
}

void check_note_event(struct check *check, const struct pod *pod, enum pod_step step, uint16_t place,
                      const struct fleet_decision *decision)
{
    struct check_event *event = &check->event[check->events++ % CHECK_EVENTS];
    *event = (struct check_event){
        .at_ms = pod->now_ms, .clock_ms = pod_clock_ms(pod), .step = check->steps, .kind = (uint8_t)step
    };
    if (step == POD_LOOK_BEGIN)
        event->bytes = pod->used_bytes;
    if (step == POD_LOOK_BEGIN)
        event->line = pod->seen_limit_bytes;
    if (decision != NULL && decision->action != FLEET_NONE) {
        event->action = (uint8_t)decision->action;
        event->reason = (uint8_t)decision->reason;
        event->line = decision->at_bytes;
        event->bytes = decision->rss_bytes;
        event->pid = decision->pid;
    }
    if (place != POD_NOWHERE) {
        const struct pod_process *process = &pod->process[place];
        event->pid = process->pid;
        event->bytes = step == POD_SAMPLE ? process->told_bytes : process->memory.rss_bytes;
        if (process->slot != POD_NOWHERE)
            event->state = pod->fleet->process[process->slot].state;
    }
    if (check->verbose != NULL)
        print_event(event, check->verbose);
}

/* ---- the beginning ---- */

void check_begin(struct check *check, const struct pod_spec *spec)
{
    const struct fleet_config *fleet = &spec->fleet;
    memset(check->process, 0, sizeof check->process);
    check->events = 0;
    check->outstanding = 0;
    check->worker_outstanding = false;
    check->our_vacancies = 0;
    check->our_credits = 0;
    check->blurred = false;
    check->container_over = 0;
    check->look_ends = 0;
    check->told_to_stop_ms = 0;
    check->earliest_start_ms = 0;
    check->start_delay_ms = spec->life.restart_delay_ms;
    check->worker_asked = false;
    check->moved_ms = 0;
    check->started_ms = 0;
    check->violated = -1;
    /* Nobody is away. Until the next thing moves: */
    uint64_t look_ms = fleet->look_ms + spec->seen_late_ms + FLEET_LOOK_MIN_MS;
    if (fleet->metric != FLEET_METRIC_RSS) /* exact measures take turns, and may cost a share of a CPU only */
        look_ms =
            max_u64(look_ms, (spec->workers + 2) * (pod_measure_cost_us(spec->limit_bytes) / FLEET_MEASURE_PERMILLE +
                                                    FLEET_LOOK_MIN_MS + spec->seen_late_ms));
    uint64_t trim_ms = fleet->settle_ms + 2 * look_ms + FLEET_TRIM_RETRY_MS;
    uint64_t sample_ms = 2 * look_ms + (fleet->can_trim ? trim_ms : 0); /* none counts while a trim settles */
    check->progress_ms = FLEET_QUIET_FACTOR * look_ms                   /* until it is first seen */
                         + (fleet->samples + 1) * sample_ms             /* looks in a row */
                         + (uint64_t)(spec->workers + 1) * trim_ms      /* until it is its turn to trim */
                         + fleet->interval_ms + look_ms;                /* after the last recycle */
}
