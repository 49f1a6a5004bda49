#include "replay.h"

#include <stdlib.h>
#include <string.h>

#include "os/log.h"
#include "pattern.h"
#include "policy/u64.h"

/* The core's clock at the first look: processes are older than the recording, and 0 means never. */
static const uint64_t first_ms = UINT64_C(1) << 41;

void replay_init(struct replay *replay, struct policy *policy, struct report *report, uint64_t seed)
{
    struct fleet_config config = policy->fleet;
    config.dry_run = true;
    replay->policy = policy;
    replay->report = report;
    replay->limit_bytes = policy->load.config.watch.limit_bytes;
    replay->oom_kill = TRACE_UNKNOWN;
    fleet_init(&replay->fleet, &config, seed);
    target_init(&replay->target, policy->target);
    report->dry_run = true;
    report->recorded = true;
}

void replay_close(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->live_count; i++)
        free(replay->live[i]);
    replay->live_count = 0;
}

/* ---- decisions ---- */

/* About what a pass over its page tables takes, process_exact: 8 us a MiB. */
static uint64_t measure_cost_us(const struct replay_live *live)
{
    return (live->row->rss_bytes >> 20) * 8 + 1;
}

static void act(struct replay *replay, struct fleet_decision decision)
{
    if (decision.action == FLEET_MEASURE) {
        const struct replay_live *live = replay->by_slot[decision.slot];
        bool known = live->pss_bytes != TRACE_UNKNOWN && live->uss_bytes != TRACE_UNKNOWN;
        replay->counts.unmeasured += !known;
        decision = fleet_measured(&replay->fleet, decision.slot, known ? live->pss_bytes : FLEET_UNKNOWN,
                                  known ? live->uss_bytes : FLEET_UNKNOWN, measure_cost_us(live));
    }
    if (decision.action != FLEET_NONE && decision.action != FLEET_MEASURE)
        report_decision(replay->report, &decision);
}

/* ---- processes that come and go ---- */

/* The fleet forgets the process; what it knew is kept. */
static void forget(struct replay *replay, struct replay_live *live)
{
    if (live->slot == REPLAY_NO_SLOT)
        return;
    const struct verdict_evidence evidence = fleet_evidence(&replay->fleet.process[live->slot]);
    report_evidence(live->seen, &evidence);
    fleet_gone(&replay->fleet, (uint16_t)live->slot, replay->now_ms);
    replay->by_slot[live->slot] = NULL;
    live->slot = REPLAY_NO_SLOT;
    replay->next_look_ms = min_u64(replay->next_look_ms, replay->now_ms + FLEET_LOOK_MIN_MS);
}

static void forget_all(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->live_count; i++)
        forget(replay, replay->live[i]);
    target_init(&replay->target, replay->policy->target);
    replay->worker = NULL;
}

/* What left no row in this look has gone; with the worker goes all that was learnt. */
static void sweep(struct replay *replay)
{
    if (replay->worker != NULL && (replay->worker->look != replay->looks || replay->worker->row->role != TRACE_WORKER))
        forget_all(replay);
    for (uint32_t i = replay->live_count; i-- > 0;) {
        struct replay_live *live = replay->live[i];
        if (live->look == replay->looks)
            continue;
        forget(replay, live);
        live->seen->user = NULL;
        free(live);
        replay->live[i] = replay->live[--replay->live_count];
    }
}

static struct replay_live *begin_life(struct replay *replay, struct report_process *seen)
{
    struct replay_live *live = calloc(1, sizeof *live);
    if (live == NULL) {
        replay->report->failed = true;
        return NULL;
    }
    live->seen = seen;
    live->pid = seen->pid;
    live->slot = REPLAY_NO_SLOT;
    live->pss_bytes = live->uss_bytes = TRACE_UNKNOWN;
    replay->live[replay->live_count++] = live;
    seen->user = live;
    return live;
}

/* A row is of the process of its pid that was started then, known or new. */
static void track(struct replay *replay, const struct trace_row *row)
{
    struct report_process *seen =
        report_find(replay->report, row->pid, row->start_ms, row->name, row->role == TRACE_WORKER);
    if (seen == NULL)
        return;
    struct replay_live *live = seen->user;
    if (live != NULL && live->look == replay->looks) {
        replay->counts.duplicates++;
        return;
    }
    if (live == NULL)
        live = begin_life(replay, seen);
    if (live == NULL)
        return;
    live->look = replay->looks;
    live->row = row;
    if (row->command[0] != '\0')
        memcpy(live->command, row->command, sizeof live->command);
    if (row->pss_bytes != TRACE_UNKNOWN && row->uss_bytes != TRACE_UNKNOWN) {
        live->pss_bytes = row->pss_bytes;
        live->uss_bytes = row->uss_bytes;
    }
}

static bool has_row(const struct replay *replay, int32_t pid)
{
    const struct report_process *seen = report_latest(replay->report, pid);
    const struct replay_live *live = seen != NULL ? seen->user : NULL;
    return live != NULL && live->look == replay->looks;
}

static void track_all(struct replay *replay, const struct trace_look *look)
{
    uint32_t known = replay->live_count;
    for (uint32_t i = 0; i < look->count; i++)
        track(replay, &look->row[i]);
    for (uint32_t i = known; i < replay->live_count; i++) {
        const struct trace_row *row = replay->live[i]->row;
        replay->counts.orphans += row->role == TRACE_CHILD && !has_row(replay, row->parent);
    }
    sweep(replay);
    for (uint32_t i = 0; i < replay->live_count && replay->worker == NULL; i++) {
        if (replay->live[i]->row->role == TRACE_WORKER)
            replay->worker = replay->live[i];
    }
    replay->had_worker = replay->had_worker || replay->worker != NULL;
}

/* ---- which of them the policy watches, as watch.c finds out ---- */

static bool matches(struct replay *replay, const char *patterns, struct replay_live *live)
{
    bool nameless = patterns[0] != '\0' && live->command[0] == '\0';
    replay->counts.nameless += nameless && !live->nameless;
    live->nameless = live->nameless || nameless;
    return pattern_matches(patterns, live->row->name, live->command);
}

static void match_patterns(struct replay *replay, struct replay_live *live)
{
    const struct config_watch *config = &replay->policy->load.config.watch;
    live->facts.matched = config->match[0] == '\0' || matches(replay, config->match, live);
    live->facts.excluded = matches(replay, config->exclude, live);
}

static void set_spared(struct replay *replay, struct replay_live *live)
{
    const char *patterns = replay->policy->load.config.recycle.match;
    if (patterns[0] != '\0')
        fleet_set_spared(&replay->fleet, (uint16_t)live->slot, !matches(replay, patterns, live));
}

static uint64_t age_ms(const struct replay *replay, const struct replay_live *live)
{
    int64_t now = (int64_t)(replay->now_ms - first_ms + replay->base_ms);
    return now > live->row->start_ms ? (uint64_t)(now - live->row->start_ms) : 0;
}

static void admit(struct replay *replay, struct replay_live *live)
{
    int slot = live == replay->worker ? FLEET_WORKER : fleet_free_slot(&replay->fleet);
    if (slot < 0) {
        replay->counts.unwatched += !live->no_room;
        live->no_room = true;
        return;
    }
    uint64_t born_ms = replay->now_ms - min_u64(age_ms(replay, live), replay->now_ms);
    live->slot = slot;
    replay->by_slot[slot] = live;
    struct fleet_decision decision =
        fleet_appear(&replay->fleet, (uint16_t)slot, live->pid, target_counts(&replay->target, &live->facts), born_ms,
                     replay->now_ms);
    set_spared(replay, live);
    act(replay, decision);
}

static void recount(struct replay *replay, struct replay_live *live)
{
    bool counts = target_counts(&replay->target, &live->facts);
    if (counts != replay->fleet.process[live->slot].counts)
        fleet_set_counts(&replay->fleet, (uint16_t)live->slot, counts);
}

static void consider(struct replay *replay, struct replay_live *live)
{
    const struct trace_row *row = live->row, *worker = replay->worker->row;
    bool is_child = row->parent == worker->pid;
    if (live->slot != REPLAY_NO_SLOT || (!is_child && replay->target.mode != TARGET_TREE))
        return;
    uint64_t age = age_ms(replay, live);
    if (age < REPLAY_ADMIT_MS) {
        replay->next_look_ms = min_u64(replay->next_look_ms, replay->now_ms + REPLAY_ADMIT_MS - age);
        return;
    }
    bool same_name = strcmp(row->name, worker->name) == 0;
    live->facts =
        (struct target_facts){ .is_child = is_child,
                               .same_executable =
                                   row->same_program == TRACE_NOT_KNOWN ? same_name : row->same_program == TRACE_YES };
    match_patterns(replay, live);
    if (target_learn(&replay->target, &live->facts)) {
        for (uint32_t i = 0; i < replay->live_count; i++) {
            if (replay->live[i]->slot != REPLAY_NO_SLOT)
                recount(replay, replay->live[i]);
        }
    }
    if (target_counts(&replay->target, &live->facts))
        admit(replay, live);
}

static void discover(struct replay *replay)
{
    struct replay_live *worker = replay->worker;
    if (worker == NULL)
        return;
    worker->facts = (struct target_facts){ .is_worker = true, .same_executable = true };
    match_patterns(replay, worker);
    if (worker->slot == REPLAY_NO_SLOT)
        admit(replay, worker);
    set_spared(replay, worker);
    recount(replay, worker);
    for (uint32_t i = 0; i < replay->live_count && replay->target.mode != TARGET_WORKER; i++) {
        if (replay->live[i] != worker)
            consider(replay, replay->live[i]);
    }
}

/* ---- the container ---- */

static int read_limit(struct replay *replay, const struct trace_look *look)
{
    uint64_t limit_bytes = look->container.limit_bytes;
    if (replay->policy->load.config.watch.limit_bytes == 0 && limit_bytes != TRACE_UNKNOWN &&
        limit_bytes != replay->limit_bytes) {
        if (replay->limit_bytes > 0)
            log_event(LOG_INFO, "limit", log_bytes("old", replay->limit_bytes), log_bytes("new", limit_bytes));
        replay->limit_bytes = limit_bytes;
    }
    if (replay->looks > 1)
        return 0;
    if (replay->limit_bytes == 0) {
        (void)snprintf(replay->error, sizeof replay->error,
                       "its first look tells no limit of the container; say it: --set watch.limit=SIZE");
        return -1;
    }
    if (policy_check_limit(replay->policy, replay->limit_bytes) < 0) {
        (void)snprintf(replay->error, sizeof replay->error, "%s", replay->policy->load.error);
        return -1;
    }
    return 0;
}

static void read_kills(struct replay *replay, const struct trace_look *look)
{
    uint64_t kills = look->container.oom_kill;
    if (kills == TRACE_UNKNOWN)
        return;
    if (replay->oom_kill != TRACE_UNKNOWN && kills > replay->oom_kill)
        report_oom(replay->report, 0, kills - replay->oom_kill);
    replay->oom_kill = kills;
}

/* Whether tasks waited as long within the window as [container] pressure names. */
static bool is_pressed(struct replay *replay, const struct trace_look *look)
{
    const struct config_pressure *config = &replay->policy->load.config.container.pressure;
    uint64_t total_us = look->container.pressure_us;
    bool pressed = false;

    if (config->window_ms == 0 || config->full || total_us == TRACE_UNKNOWN)
        return false;
    uint32_t kept = replay->pressures < REPLAY_PRESSURE_MAX ? replay->pressures : REPLAY_PRESSURE_MAX;
    for (uint32_t back = 1; back <= kept && !pressed; back++) {
        uint32_t i = (replay->pressures - back) % REPLAY_PRESSURE_MAX;
        uint64_t span_ms = replay->now_ms - replay->pressure[i].at_ms;
        uint64_t waited_us = total_us - min_u64(replay->pressure[i].total_us, total_us);
        if (span_ms > config->window_ms) /* a longer time must show as large a share */
            pressed = back == 1 && waited_us / 1000 >= config->stall_ms * span_ms / config->window_ms;
        else
            pressed = waited_us / 1000 >= config->stall_ms;
        if (span_ms > config->window_ms)
            break;
    }
    uint32_t next = replay->pressures++ % REPLAY_PRESSURE_MAX;
    replay->pressure[next].at_ms = replay->now_ms;
    replay->pressure[next].total_us = total_us;
    return pressed;
}

/* ---- looks ---- */

static uint64_t own_bytes(const struct replay *replay, const struct replay_live *live)
{
    enum fleet_metric metric = replay->policy->fleet.metric;
    uint64_t exact = metric == FLEET_METRIC_PSS ? live->pss_bytes : live->uss_bytes;
    return metric == FLEET_METRIC_RSS || exact == TRACE_UNKNOWN ? live->row->rss_bytes : exact;
}

static void sample_all(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->live_count; i++) {
        const struct replay_live *live = replay->live[i];
        bool counts = live->slot != REPLAY_NO_SLOT && replay->fleet.process[live->slot].counts;
        report_sample(replay->report, live->seen, live->row->rss_bytes, own_bytes(replay, live), counts);
    }
}

static void decide(struct replay *replay, uint64_t used_bytes)
{
    struct fleet *fleet = &replay->fleet;
    struct fleet_decision decision;

    fleet_look_begin(fleet, replay->limit_bytes, used_bytes, replay->now_ms);
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++) {
        const struct replay_live *live = replay->by_slot[slot];
        if (fleet->process[slot].state == FLEET_FREE)
            continue;
        uint64_t rss_bytes = live->row->rss_bytes;
        uint64_t cpu_ms = fleet_wants_cpu(fleet, (uint16_t)slot, rss_bytes) ? live->row->cpu_ms : FLEET_UNKNOWN;
        act(replay, fleet_sample(fleet, (uint16_t)slot, rss_bytes, cpu_ms));
    }
    do {
        decision = fleet_look_end(fleet);
        act(replay, decision);
    } while (decision.action != FLEET_NONE);
    replay->next_look_ms = min_u64(replay->next_look_ms, fleet_next_look_ms(fleet));
}

static void end_look(struct replay *replay, uint64_t used_bytes)
{
    const struct fleet_config *config = &replay->policy->fleet;
    uint64_t limit_bytes = replay->limit_bytes;
    bool trims = config->can_trim;
    report_end(replay->report, used_bytes,
               &(struct report_lines){
                   .trim = trims ? fleet_threshold_bytes(&config->trim_at, limit_bytes) : 0,
                   .recycle = fleet_threshold_bytes(&config->recycle_at, limit_bytes),
                   .container_trim = trims ? fleet_threshold_bytes(&config->container_trim_at, limit_bytes) : 0,
                   .container_recycle = fleet_threshold_bytes(&config->container_recycle_at, limit_bytes),
                   .limit = limit_bytes });
}

int replay_look(struct replay *replay, const struct trace_look *look)
{
    /* As in PID 1, where a limit of the policy's own is held against the sum. Unknown is the same number to both. */
    bool own_limit = replay->policy->load.config.watch.limit_bytes > 0;
    uint64_t used_bytes = own_limit ? FLEET_UNKNOWN : look->container.used_bytes;
    if (replay->looks++ == 0)
        replay->base_ms = look->mono_ms;
    replay->now_ms = first_ms + look->mono_ms - replay->base_ms;
    report_begin(replay->report, look->mono_ms - replay->base_ms, look->utc_ms, look->after_gap);
    if (read_limit(replay, look) < 0)
        return -1;
    read_kills(replay, look);
    track_all(replay, look);
    if (is_pressed(replay, look)) {
        fleet_pressure(&replay->fleet, replay->now_ms);
        replay->next_look_ms = min_u64(replay->next_look_ms, fleet_next_look_ms(&replay->fleet));
    }
    bool due = replay->now_ms >= replay->next_look_ms;
    if (due) {
        replay->next_look_ms = UINT64_MAX;
        discover(replay);
    }
    sample_all(replay);
    if (due)
        decide(replay, used_bytes);
    end_look(replay, used_bytes);
    return 0;
}

void replay_end(struct replay *replay)
{
    forget_all(replay);
}
