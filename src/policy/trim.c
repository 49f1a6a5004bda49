/* When a process is asked to trim, what its trims brought, and what that says about it. */
#include "policy/fleet_parts.h"

bool trim_is_worth_at(const struct fleet *fleet, const struct fleet_process *process, uint64_t rss_bytes)
{
    uint64_t least = share_of(process->after_bytes, fleet->config.min_yield_permyriad);
    return less_u64(rss_bytes, process->after_bytes) >= max_u64(least, FLEET_IDLE_GROWTH_MIN);
}

bool trim_is_worth(const struct fleet *fleet, const struct fleet_process *process)
{
    return trim_is_worth_at(fleet, process, process->rss_bytes);
}

static void note_cpu(struct fleet *fleet, struct fleet_process *process, uint64_t cpu_ms)
{
    if (cpu_ms == FLEET_UNKNOWN)
        return;
    uint64_t took_ms = fleet->now_ms - process->cpu_seen_ms;
    /* Not asked for long, because it had not grown: what it used since tells nothing of now. */
    bool long_ago = took_ms > 2 * (uint64_t)FLEET_QUIET_FACTOR * fleet->config.look_ms;
    bool first = process->cpu_ms == FLEET_UNKNOWN || long_ago;
    if (first || less_u64(cpu_ms, process->cpu_ms) > took_ms / 1000 * FLEET_IDLE_PERMILLE + 1)
        process->idle_since_ms = fleet->now_ms;
    process->cpu_ms = cpu_ms;
    process->cpu_seen_ms = fleet->now_ms;
}

void trim_note(struct fleet *fleet, struct fleet_process *process, uint64_t cpu_ms)
{
    note_cpu(fleet, process, cpu_ms);
    bool postponed = process->trim_retry_ms > FLEET_TRIM_RETRY_MS && process->after_bytes > 0;
    if (postponed && less_u64(process->rss_bytes, process->after_bytes) >= process->after_bytes / FLEET_CHANGED_PART) {
        process->trim_retry_ms = FLEET_TRIM_RETRY_MS;
        uint64_t last_ms = max_u64(process->trimmed_ms, process->since_ms); /* the later of judged and asked */
        process->trim_after_ms = min_u64(process->trim_after_ms, last_ms + FLEET_TRIM_RETRY_MS);
    }
}

static void postpone(struct fleet *fleet, struct fleet_process *process)
{
    process->trim_after_ms = fleet->now_ms + process->trim_retry_ms;
    process->trim_retry_ms = (uint32_t)min_u64((uint64_t)process->trim_retry_ms * 2, FLEET_TRIM_RETRY_MAX_MS);
}

void trim_end(struct fleet *fleet, struct fleet_process *process)
{
    if (process->state != FLEET_TRIMMING)
        return;
    process->state = FLEET_WATCHED;
    fleet->trimming--;
}

void trim_unseen(struct fleet *fleet, struct fleet_process *process)
{
    if (fleet->now_ms < process->deadline_ms) {
        fleet_wish_look(fleet, process->deadline_ms);
        return;
    }
    trim_end(fleet, process);
    process->after_bytes = process->before_bytes;
    process->trimmed_ms = fleet->now_ms;
    postpone(fleet, process);
}

/* So that the pool goes on working: only a part of it trims at one time. */
static bool may_begin(const struct fleet *fleet)
{
    return fleet->trimming < max_u64(1, fleet->counted / FLEET_TRIM_PART);
}

static struct fleet_decision begin(struct fleet *fleet, uint16_t slot, enum fleet_reason reason, uint64_t line)
{
    struct fleet_process *process = &fleet->process[slot];
    if (fleet->config.dry_run) {
        process->tried = true;
        process->after_bytes = process->rss_bytes;
        process->trimmed_ms = fleet->now_ms;
        process->trim_after_ms = fleet->now_ms + FLEET_REFUSED_MS;
    } else {
        process->state = FLEET_TRIMMING;
        fleet->trimming++;
        process->trim_reason = (uint8_t)reason;
        process->before_bytes = process->rss_bytes;
        process->since_ms = fleet->now_ms;
        process->deadline_ms = fleet->now_ms + fleet->config.settle_ms;
        fleet_wish_look(fleet, process->deadline_ms);
    }
    return (struct fleet_decision){ .action = FLEET_TRIM,
                                    .reason = reason,
                                    .slot = slot,
                                    .pid = process->pid,
                                    .rss_bytes = process->rss_bytes,
                                    .at_bytes = line,
                                    .used_bytes = fleet->container.used_bytes };
}

static enum fleet_reason reason_for(struct fleet *fleet, const struct fleet_process *process, uint64_t line)
{
    const struct fleet_config *config = &fleet->config;
    if (line > 0 && process->metric_bytes >= line)
        return FLEET_REASON_AT;
    if (config->trim_every_ms > 0) {
        uint64_t due_ms = max_u64(process->trimmed_ms, process->born_ms) + config->trim_every_ms;
        if (fleet->now_ms >= due_ms)
            return FLEET_REASON_EVERY;
        fleet_wish_look(fleet, due_ms);
    }
    if (config->trim_idle_ms > 0 && trim_is_worth(fleet, process)) {
        bool known = process->cpu_seen_ms == fleet->now_ms; /* a look that did not ask for it knows nothing */
        uint64_t since_ms = known ? process->idle_since_ms : fleet->now_ms;
        uint64_t due_ms = since_ms + config->trim_idle_ms;
        if (fleet->now_ms >= due_ms)
            return FLEET_REASON_IDLE;
        fleet_wish_look(fleet, due_ms);
    }
    return FLEET_REASON_NONE;
}

struct fleet_decision trim_if_due(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    if (!fleet->config.can_trim)
        return fleet_nothing();
    uint64_t line = fleet_first_line(fleet, process);
    if (line > 0 && process->metric_bytes < line)
        fleet_wish_look_before(fleet, process->metric_bytes, line, process->rate);
    enum fleet_reason reason = reason_for(fleet, process, line);
    if (reason == FLEET_REASON_NONE || (reason == FLEET_REASON_AT && process->ready))
        return fleet_nothing();
    if (fleet->now_ms < process->trim_after_ms) {
        process->tried = process->tried || reason == FLEET_REASON_AT; /* lately, and it is not due again */
        fleet_wish_look(fleet, process->trim_after_ms);
        return fleet_nothing();
    }
    if (!may_begin(fleet)) {
        fleet_wish_look(fleet, fleet->now_ms + fleet->pace_ms);
        return fleet_nothing();
    }
    return begin(fleet, slot, reason, reason == FLEET_REASON_AT ? line : 0);
}

static void note_trim(struct fleet *fleet, struct fleet_process *process, bool enough)
{
    process->trims = (uint8_t)((process->trims << 1 | 1) & ((1 << VERDICT_TRIMS) - 1));
    process->worth = (uint8_t)((process->worth << 1 | enough) & ((1 << VERDICT_TRIMS) - 1));
    process->unanswered = 0;
    if (enough)
        process->trim_retry_ms = FLEET_TRIM_RETRY_MS;
    trim_review(fleet, process);
}

/* The process was asked, and holds process->rss_bytes now. */
static struct fleet_decision judge(struct fleet *fleet, uint16_t slot, bool reported)
{
    struct fleet_process *process = &fleet->process[slot];
    uint64_t least = share_of(process->before_bytes, fleet->config.min_yield_permyriad);
    bool enough = process->rss_bytes < process->before_bytes && process->before_bytes - process->rss_bytes >= least;
    bool answered = reported || enough || !fleet->config.expects_reports;
    trim_end(fleet, process);
    process->tried = process->rss_bytes >= fleet_line_of(fleet, process);
    if (answered)
        note_trim(fleet, process, enough);
    else if (process->unanswered < UINT8_MAX)
        process->unanswered++;
    if (answered || process->unanswered >= FLEET_UNANSWERED_MAX) {
        process->after_bytes = process->rss_bytes;
        process->trimmed_ms = fleet->now_ms;
        postpone(fleet, process);
    } else {
        process->trim_after_ms = fleet->now_ms + FLEET_TRIM_RETRY_MS;
    }
    fleet_wish_look(fleet, fleet->now_ms + fleet->pace_ms);
    uint64_t recycle_line = fleet_line_of(fleet, process);
    return (struct fleet_decision){
        .action = FLEET_TRIMMED,
        .reason = (enum fleet_reason)process->trim_reason,
        .slot = slot,
        .pid = process->pid,
        .enough = enough,
        .unanswered = process->unanswered,
        .before_bytes = process->before_bytes,
        .rss_bytes = process->rss_bytes,
        .at_bytes = fleet_first_line(fleet, process),
        .took_ms = fleet->now_ms - process->since_ms,
        .eta_ms = recycle_line > 0 ? trend_eta_ms(process->metric_bytes, recycle_line, slope_rate(&process->slope))
                                   : FLEET_NEVER,
    };
}

struct fleet_decision trim_judge(struct fleet *fleet, uint16_t slot)
{
    const struct fleet_process *process = &fleet->process[slot];
    if (fleet->now_ms < process->deadline_ms) {
        fleet_wish_look(fleet, process->deadline_ms);
        return fleet_nothing();
    }
    return judge(fleet, slot, false);
}

struct fleet_decision fleet_reported(struct fleet *fleet, uint16_t slot, const struct fleet_report *report,
                                     uint64_t now_ms)
{
    struct fleet_process *process = &fleet->process[slot];
    bool asked = process->state == FLEET_TRIMMING || (process->state == FLEET_WATCHED && process->unanswered > 0);
    fleet->now_ms = max_u64(now_ms, fleet->now_ms);
    process->held_bytes = report->held_bytes;
    process->used_bytes = report->used_bytes;
    process->other_heap = report->other_heap;
    if (!asked)
        return fleet_nothing();
    if (report->before_bytes != FLEET_UNKNOWN)
        process->before_bytes = report->before_bytes;
    if (report->after_bytes != FLEET_UNKNOWN)
        process->rss_bytes = report->after_bytes;
    return judge(fleet, slot, true);
}

bool fleet_refuse_trim(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    bool news = !process->deaf;
    process->deaf = true;
    process->tried = true;
    fleet->container.trim_begun = false; /* in this look another may be asked in its stead */
    if (process->trim_reason == FLEET_REASON_PRESSURE)
        fleet->container.pressure = true;
    trim_end(fleet, process);
    postpone(fleet, process);
    return news;
}

/* ---- for the container ---- */

/* Of those that grew since their last trim, the one that grew most. -1: none. */
static int choose(const struct fleet *fleet)
{
    int best = -1;
    uint64_t best_bytes = 0;
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++) {
        const struct fleet_process *process = &fleet->process[slot];
        if (!fleet_sees(fleet, process) || !process->counts || process->ready ||
            fleet->now_ms < process->trim_after_ms || !trim_is_worth(fleet, process))
            continue;
        uint64_t grown = less_u64(process->rss_bytes, process->after_bytes);
        if (best < 0 || grown > best_bytes) {
            best = (int)slot;
            best_bytes = grown;
        }
    }
    return best;
}

struct fleet_decision trim_for_container(struct fleet *fleet)
{
    struct fleet_container *container = &fleet->container;
    uint64_t line = container->trim_line;
    bool over = line > 0 && container->used_bytes >= line;
    if (!fleet->config.can_trim)
        container->tried = true;
    if (!fleet->config.can_trim || container->trim_begun || !(over || container->pressure))
        return fleet_nothing();
    if (!may_begin(fleet))
        return fleet_nothing();
    enum fleet_reason reason = over ? FLEET_REASON_CONTAINER : FLEET_REASON_PRESSURE;
    int slot = choose(fleet);
    container->pressure = false;
    if (slot < 0) {
        container->tried = container->tried || fleet->trimming == 0;
        return fleet_nothing();
    }
    container->trim_begun = true;
    return begin(fleet, (uint16_t)slot, reason, over ? line : 0);
}

/* ---- verdicts ---- */

static uint32_t bits(uint8_t set)
{
    uint32_t count = 0;
    for (; set != 0; set &= (uint8_t)(set - 1))
        count++;
    return count;
}

struct verdict_evidence fleet_evidence(const struct fleet_process *process)
{
    return (struct verdict_evidence){ .rss_bytes = process->rss_bytes,
                                      .held_bytes = process->held_bytes,
                                      .used_bytes = process->used_bytes,
                                      .trims = bits(process->trims),
                                      .worth = bits(process->worth),
                                      .other_heap = process->other_heap,
                                      .shape = (enum trend_shape)process->shape };
}

void trim_review(struct fleet *fleet, struct fleet_process *process)
{
    struct verdict_evidence evidence = fleet_evidence(process);
    enum verdict verdict = verdict_of(&evidence);
    bool sure = verdict != VERDICT_UNKNOWN || (evidence.trims == VERDICT_TRIMS && evidence.shape == TREND_FLAT);
    bool news = process->verdict_ms == 0 ||
                (verdict != (enum verdict)process->verdict && fleet->now_ms - process->verdict_ms >= FLEET_VERDICT_MS);
    if (!sure || !news || process->verdict_due)
        return;
    process->verdict_due = true;
    fleet->verdicts_due++;
}

struct fleet_decision trim_verdict(struct fleet *fleet)
{
    for (uint32_t slot = 0; fleet->verdicts_due > 0 && slot < fleet->high_slot; slot++) {
        struct fleet_process *process = &fleet->process[slot];
        if (!process->verdict_due)
            continue;
        process->verdict_due = false;
        fleet->verdicts_due--;
        struct verdict_evidence evidence = fleet_evidence(process);
        process->verdict = (uint8_t)verdict_of(&evidence);
        process->verdict_ms = max_u64(fleet->now_ms, 1);
        return (struct fleet_decision){ .action = FLEET_VERDICT,
                                        .slot = (uint16_t)slot,
                                        .pid = process->pid,
                                        .verdict = (enum verdict)process->verdict,
                                        .evidence = evidence,
                                        .rss_bytes = process->rss_bytes,
                                        .before_bytes = process->before_bytes };
    }
    return fleet_nothing();
}
