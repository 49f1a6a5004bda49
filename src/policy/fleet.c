/* The table of processes and the course of a look; what is done with them is decided in trim.c and recycle.c. */
#include "policy/fleet_parts.h"

/* splitmix64: enough to spread workers that grow alike. */
static uint64_t next_random(struct fleet *fleet)
{
    uint64_t z = (fleet->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

bool fleet_sees(const struct fleet *fleet, const struct fleet_process *process)
{
    return process->state == FLEET_WATCHED && process->seen_look == fleet->look;
}

void fleet_wish_look(struct fleet *fleet, uint64_t at_ms)
{
    at_ms = max_u64(at_ms, fleet->now_ms + FLEET_LOOK_MIN_MS);
    fleet->next_look_ms = min_u64(fleet->next_look_ms, at_ms);
}

void fleet_wish_look_before(struct fleet *fleet, uint64_t bytes, uint64_t line, uint64_t rate)
{
    uint64_t fast = max_u64(min_u64(rate, UINT64_MAX / 2) * 2, FLEET_RATE_MIN);
    uint64_t reach_ms = less_u64(line, bytes) / (fast / 1000) / 2;
    fleet_wish_look(fleet, fleet->now_ms + max_u64(reach_ms, fleet->pace_ms));
}

void fleet_count_over(struct fleet *fleet, uint16_t *over, uint64_t *counted_ms)
{
    if (*over == 0 || fleet->now_ms - *counted_ms >= fleet->pace_ms) {
        *counted_ms = fleet->now_ms;
        if (*over < UINT16_MAX)
            ++*over;
    }
    fleet_wish_look(fleet, fleet->now_ms + fleet->pace_ms);
}

uint64_t fleet_eta_ms(const struct fleet *fleet)
{
    return trend_eta_ms(fleet->container.used_bytes, fleet->limit_bytes, slope_rate(&fleet->container.slope));
}

uint64_t fleet_line_of(const struct fleet *fleet, const struct fleet_process *process)
{
    return fleet->recycle_line - share_of(fleet->recycle_line, process->jitter_permyriad);
}

uint64_t fleet_first_line(const struct fleet *fleet, const struct fleet_process *process)
{
    uint64_t recycle_line = fleet_line_of(fleet, process);
    if (fleet->trim_line == 0 || recycle_line == 0)
        return fleet->trim_line + recycle_line;
    return min_u64(fleet->trim_line, recycle_line);
}

bool fleet_may_measure(const struct fleet *fleet)
{
    return fleet->now_ms >= fleet->next_measure_ms;
}

struct fleet_decision fleet_measure(struct fleet *fleet, uint16_t slot, enum fleet_reason reason)
{
    fleet->measures++;
    return (struct fleet_decision){
        .action = FLEET_MEASURE, .reason = reason, .slot = slot, .pid = fleet->process[slot].pid
    };
}

/* ---- configuration ---- */

void fleet_init(struct fleet *fleet, const struct fleet_config *config, uint64_t seed)
{
    fleet->config = *config;
    fleet->random = seed;
    fleet->pace_ms = config->look_ms;
}

static bool is_set(const struct fleet_threshold *threshold)
{
    return threshold->bytes > 0 || threshold->share_permyriad > 0;
}

bool fleet_recycles(const struct fleet_config *config)
{
    return is_set(&config->recycle_at) || is_set(&config->container_recycle_at);
}

bool fleet_has_work(const struct fleet_config *config)
{
    bool trims = is_set(&config->trim_at) || is_set(&config->container_trim_at) || config->trim_every_ms > 0 ||
                 config->trim_idle_ms > 0 || config->hears_pressure;
    return fleet_recycles(config) || (config->can_trim && trims);
}

uint64_t fleet_threshold_bytes(const struct fleet_threshold *threshold, uint64_t limit_bytes)
{
    return threshold->bytes > 0 ? threshold->bytes : share_of(limit_bytes, threshold->share_permyriad);
}

/* ---- the table ---- */

int fleet_free_slot(const struct fleet *fleet)
{
    for (uint32_t slot = FLEET_WORKER + 1; slot < fleet->high_slot; slot++) {
        if (fleet->process[slot].state == FLEET_FREE)
            return (int)slot;
    }
    uint32_t slot = fleet->high_slot > FLEET_WORKER ? fleet->high_slot : FLEET_WORKER + 1;
    return slot < FLEET_MAX ? (int)slot : -1;
}

struct fleet_decision fleet_appear(struct fleet *fleet, uint16_t slot, int32_t pid, bool counts, uint64_t born_ms,
                                   uint64_t now_ms)
{
    uint32_t spread = fleet->config.jitter_permyriad;
    fleet->process[slot] = (struct fleet_process){
        .state = FLEET_WATCHED,
        .pid = pid,
        .counts = counts,
        .born_ms = born_ms,
        .uss_bytes = FLEET_UNKNOWN,
        .cpu_ms = FLEET_UNKNOWN,
        .held_bytes = FLEET_UNKNOWN,
        .used_bytes = FLEET_UNKNOWN,
        .trim_retry_ms = FLEET_TRIM_RETRY_MS,
        .jitter_permyriad = spread > 0 ? (uint32_t)(next_random(fleet) % (spread + 1)) : 0,
    };
    fleet->counted += counts;
    if (slot >= fleet->high_slot)
        fleet->high_slot = slot + 1U;
    return recycle_take_place(fleet, slot, now_ms);
}

void fleet_set_counts(struct fleet *fleet, uint16_t slot, bool counts)
{
    struct fleet_process *process = &fleet->process[slot];
    fleet->counted = fleet->counted - process->counts + counts;
    process->counts = counts;
    process->over = 0;
}

void fleet_set_spared(struct fleet *fleet, uint16_t slot, bool spared)
{
    fleet->process[slot].spared = spared;
}

void fleet_gone(struct fleet *fleet, uint16_t slot, uint64_t now_ms)
{
    struct fleet_process *process = &fleet->process[slot];
    recycle_gone(fleet, slot, now_ms);
    trim_end(fleet, process);
    fleet->counted -= process->counts;
    fleet->verdicts_due -= process->verdict_due;
    process->state = FLEET_FREE;
    process->verdict_due = false;
    while (fleet->high_slot > 0 && fleet->process[fleet->high_slot - 1].state == FLEET_FREE)
        fleet->high_slot--;
}

/* ---- the look ---- */

void fleet_look_begin(struct fleet *fleet, uint64_t limit_bytes, uint64_t used_bytes, uint64_t now_ms)
{
    const struct fleet_config *config = &fleet->config;
    fleet->look++;
    fleet->limit_bytes = limit_bytes;
    fleet->now_ms = max_u64(now_ms, fleet->now_ms);
    fleet->trim_line = config->can_trim ? fleet_threshold_bytes(&config->trim_at, limit_bytes) : 0;
    fleet->recycle_line = fleet_threshold_bytes(&config->recycle_at, limit_bytes);
    fleet->container.trim_line = fleet_threshold_bytes(&config->container_trim_at, limit_bytes);
    fleet->container.recycle_line = fleet_threshold_bytes(&config->container_recycle_at, limit_bytes);
    fleet->container.trim_begun = false;
    fleet->container.used_bytes = used_bytes;
    fleet->sum_only = used_bytes == FLEET_UNKNOWN;
    fleet->sum_bytes = 0;
    fleet->sum_rate = 0;
    fleet->measures = 0;
    fleet->ending = false;
    fleet->next_look_ms = fleet->now_ms + config->look_ms * FLEET_QUIET_FACTOR;
}

bool fleet_wants_cpu(const struct fleet *fleet, uint16_t slot, uint64_t rss_bytes)
{
    const struct fleet_process *process = &fleet->process[slot];
    return fleet->config.can_trim && fleet->config.trim_idle_ms > 0 && process->counts &&
           process->state == FLEET_WATCHED && trim_is_worth_at(fleet, process, rss_bytes);
}

static uint64_t sum_of(uint64_t a, uint64_t b)
{
    return a < UINT64_MAX - b ? a + b : UINT64_MAX - 1;
}

/* A growth counts at once, and is forgotten by halves. */
static void note_rss(struct fleet *fleet, struct fleet_process *process, uint64_t rss_bytes)
{
    uint64_t rate = 0;
    if (process->seen_ms > 0 && fleet->now_ms > process->seen_ms && rss_bytes > process->rss_bytes)
        rate = (rss_bytes - process->rss_bytes) / (fleet->now_ms - process->seen_ms) * 1000;
    process->rate = max_u64(rate, process->rate / 2);
    process->rss_bytes = rss_bytes;
    process->seen_ms = fleet->now_ms;
    slope_add(&process->slope, rss_bytes, fleet->now_ms);
    if (process->counts) {
        fleet->sum_bytes = sum_of(fleet->sum_bytes, rss_bytes);
        fleet->sum_rate = sum_of(fleet->sum_rate, process->rate);
    }
    if (process->counts && floors_add(&process->floors, rss_bytes, fleet->now_ms)) {
        process->shape = (uint8_t)floors_shape(&process->floors);
        trim_review(fleet, process);
    }
}

static struct fleet_decision judge_size(struct fleet *fleet, uint16_t slot)
{
    recycle_consider(fleet, slot);
    return trim_if_due(fleet, slot);
}

/* PSS and USS are no larger than the RSS: below every line there is nothing to measure. */
static struct fleet_decision judge_watched(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    bool exact = fleet->config.metric != FLEET_METRIC_RSS && !process->opaque;
    if (!process->counts)
        return fleet_nothing();
    uint64_t line = exact ? fleet_first_line(fleet, process) : 0;
    if (line == 0 || process->rss_bytes < line) {
        process->metric_bytes = process->rss_bytes;
        return judge_size(fleet, slot);
    }
    if (fleet_may_measure(fleet) && slot >= fleet->measure_from) { /* by turns: the budget is not for the first */
        fleet->measure_from = slot + 1U;
        fleet->measure_wanted = false;
        return fleet_measure(fleet, slot, FLEET_REASON_AT);
    }
    fleet->measure_wanted = fleet->measure_wanted || slot < fleet->measure_from;
    fleet_wish_look(fleet, fleet->next_measure_ms);
    return fleet_nothing();
}

struct fleet_decision fleet_sample(struct fleet *fleet, uint16_t slot, uint64_t rss_bytes, uint64_t cpu_ms)
{
    struct fleet_process *process = &fleet->process[slot];
    process->ready = false;
    process->seen_look = fleet->look;
    note_rss(fleet, process, rss_bytes);
    trim_note(fleet, process, cpu_ms);
    if (rss_bytes < fleet_line_of(fleet, process)) /* in whichever state */
        process->over = 0;
    switch ((enum fleet_state)process->state) {
    case FLEET_WATCHED:
        return judge_watched(fleet, slot);
    case FLEET_TRIMMING:
        return trim_judge(fleet, slot);
    case FLEET_LEAVING:
        return recycle_kill_if_late(fleet, slot);
    case FLEET_FREE:
        break;
    }
    return fleet_nothing();
}

struct fleet_decision fleet_measured(struct fleet *fleet, uint16_t slot, uint64_t pss_bytes, uint64_t uss_bytes,
                                     uint64_t cost_us)
{
    struct fleet_process *process = &fleet->process[slot];
    fleet->next_measure_ms = fleet->now_ms + cost_us / FLEET_MEASURE_PERMILLE;
    process->opaque = pss_bytes == FLEET_UNKNOWN;
    process->measured_ms = max_u64(fleet->now_ms, 1);
    process->uss_bytes = uss_bytes;
    if (process->opaque)
        process->metric_bytes = process->rss_bytes;
    else
        process->metric_bytes = fleet->config.metric == FLEET_METRIC_PSS ? pss_bytes : uss_bytes;
    if (fleet->ending || process->state != FLEET_WATCHED)
        return fleet_nothing();
    return judge_size(fleet, slot);
}

/* The samples that a recycle needs, those of a steady slope among them, are to take half of the time to the limit. */
static void set_pace(struct fleet *fleet)
{
    uint64_t used_bytes = fleet->container.used_bytes;
    uint64_t eta_ms = trend_eta_ms(used_bytes, fleet->limit_bytes, fleet->sum_rate);
    fleet->pace_ms = fleet->config.look_ms;
    if (eta_ms == TREND_NEVER || eta_ms == 0)
        return;
    uint64_t samples = max_u64((uint64_t)fleet->config.samples + 1, SLOPE_POINTS);
    uint64_t pace_ms = eta_ms / (2 * samples);
    fleet->pace_ms = min_u64(fleet->config.look_ms, max_u64(pace_ms, FLEET_LOOK_MIN_MS));
}

static void note_container(struct fleet *fleet)
{
    struct fleet_container *container = &fleet->container;
    if (fleet->sum_only)
        container->used_bytes = fleet->sum_bytes;
    slope_add(&container->slope, container->used_bytes, fleet->now_ms);
    if (floors_add(&container->floors, container->used_bytes, fleet->now_ms))
        container->shape = (uint8_t)floors_shape(&container->floors);
    set_pace(fleet);
    if (container->trim_line > 0 && fleet->config.can_trim)
        fleet_wish_look_before(fleet, container->used_bytes, container->trim_line, fleet->sum_rate);
    if (container->recycle_line == 0)
        return;
    if (container->used_bytes >= container->recycle_line) {
        fleet_count_over(fleet, &container->over, &container->counted_ms);
        return;
    }
    container->over = 0;
    container->tried = false;
    container->helpless = false;
    fleet_wish_look_before(fleet, container->used_bytes, container->recycle_line, fleet->sum_rate);
}

/* All whose turn it was to be measured had it: the next round begins. */
static void begin_round(struct fleet *fleet)
{
    bool over = fleet->measure_from >= fleet->high_slot || (fleet->measure_wanted && fleet_may_measure(fleet));
    if (!over)
        return;
    fleet->measure_from = 0;
    fleet->measure_wanted = false;
}

/* Deadlines run on for those that could not be read in this look. */
static struct fleet_decision judge_unseen(struct fleet *fleet)
{
    struct fleet_decision decision = fleet_nothing();
    for (uint32_t slot = 0; slot < fleet->high_slot && decision.action == FLEET_NONE; slot++) {
        struct fleet_process *process = &fleet->process[slot];
        if (process->seen_look == fleet->look)
            continue;
        if (process->state == FLEET_TRIMMING)
            trim_unseen(fleet, process);
        else if (process->state == FLEET_LEAVING)
            decision = recycle_kill_if_late(fleet, (uint16_t)slot);
    }
    return decision;
}

struct fleet_decision fleet_look_end(struct fleet *fleet)
{
    if (!fleet->ending) {
        begin_round(fleet);
        note_container(fleet);
    }
    fleet->ending = true;
    struct fleet_decision decision = judge_unseen(fleet);
    if (decision.action == FLEET_NONE)
        decision = trim_verdict(fleet);
    if (decision.action == FLEET_NONE)
        decision = trim_for_container(fleet);
    if (decision.action == FLEET_NONE)
        decision = recycle_next(fleet);
    return decision;
}

void fleet_pressure(struct fleet *fleet, uint64_t now_ms)
{
    fleet->container.pressure = true;
    fleet->next_look_ms = min_u64(fleet->next_look_ms, max_u64(now_ms, fleet->now_ms + FLEET_LOOK_MIN_MS));
}

uint64_t fleet_next_look_ms(const struct fleet *fleet)
{
    return fleet->next_look_ms;
}
