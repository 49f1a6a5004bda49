#include "fleet.h"

static const struct fleet_decision nothing;

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* bytes * permyriad / 10000 without overflow. */
static uint64_t share_of(uint64_t bytes, uint32_t permyriad)
{
    return bytes / 10000 * permyriad + bytes % 10000 * permyriad / 10000;
}

/* splitmix64: enough to spread workers that grow alike. */
static uint64_t next_random(struct fleet *fleet)
{
    uint64_t z = (fleet->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void wish_look(struct fleet *fleet, uint64_t at_ms)
{
    at_ms = max_u64(at_ms, fleet->now_ms + FLEET_LOOK_MIN_MS);
    fleet->next_look_ms = min_u64(fleet->next_look_ms, at_ms);
}

void fleet_init(struct fleet *fleet, const struct fleet_config *config, uint64_t seed)
{
    fleet->config = *config;
    fleet->random = seed;
    fleet->pace_ms = config->look_ms;
}

bool fleet_has_work(const struct fleet_config *config)
{
    return config->recycle_at.bytes > 0 || config->recycle_at.share_permyriad > 0 ||
           (config->can_trim && (config->trim_at.bytes > 0 || config->trim_at.share_permyriad > 0));
}

uint64_t fleet_threshold_bytes(const struct fleet_threshold *threshold, uint64_t limit_bytes)
{
    return threshold->bytes > 0 ? threshold->bytes : share_of(limit_bytes, threshold->share_permyriad);
}

int fleet_free_slot(const struct fleet *fleet)
{
    for (uint32_t slot = FLEET_WORKER + 1; slot < fleet->high_slot; slot++) {
        if (fleet->process[slot].state == FLEET_FREE)
            return (int)slot;
    }
    uint32_t slot = fleet->high_slot > FLEET_WORKER ? fleet->high_slot : FLEET_WORKER + 1;
    return slot < FLEET_MAX ? (int)slot : -1;
}

static void forget_awaited(struct fleet *fleet, uint32_t index)
{
    fleet->awaited_count--;
    for (uint32_t i = index; i < fleet->awaited_count; i++)
        fleet->awaited[i] = fleet->awaited[i + 1];
}

/* A process that came after one was recycled takes that one's place: the longest awaited first. */
static struct fleet_decision take_place(struct fleet *fleet, uint16_t slot, uint64_t now_ms)
{
    const struct fleet_process *process = &fleet->process[slot];
    for (uint32_t i = 0; i < fleet->awaited_count; i++) {
        const struct fleet_awaited awaited = fleet->awaited[i];
        bool fits = awaited.worker ? slot == FLEET_WORKER : slot != FLEET_WORKER && process->counts;
        if (!fits || awaited.gone_ms == 0 || process->born_ms + FLEET_TICK_MS < awaited.since_ms)
            continue;
        forget_awaited(fleet, i);
        return (struct fleet_decision){ .action = FLEET_REPLACED,
                                        .slot = slot,
                                        .pid = process->pid,
                                        .old_pid = awaited.old_pid,
                                        .took_ms = now_ms - awaited.since_ms };
    }
    return nothing;
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
        .trim_retry_ms = FLEET_TRIM_RETRY_MS,
        .jitter_permyriad = spread > 0 ? (uint32_t)(next_random(fleet) % (spread + 1)) : 0,
    };
    if (slot >= fleet->high_slot)
        fleet->high_slot = slot + 1U;
    return take_place(fleet, slot, now_ms);
}

void fleet_set_counts(struct fleet *fleet, uint16_t slot, bool counts)
{
    fleet->process[slot].counts = counts;
    fleet->process[slot].over = 0;
}

void fleet_gone(struct fleet *fleet, uint16_t slot, uint64_t now_ms)
{
    struct fleet_process *process = &fleet->process[slot];
    for (uint32_t i = 0; i < fleet->awaited_count; i++) {
        if (fleet->awaited[i].old_pid == process->pid && fleet->awaited[i].gone_ms == 0)
            fleet->awaited[i].gone_ms = max_u64(now_ms, 1);
    }
    if (slot == FLEET_WORKER) { /* its pool goes with it: nobody is left to replace one of them */
        for (uint32_t i = fleet->awaited_count; i-- > 0;) {
            if (!fleet->awaited[i].worker)
                forget_awaited(fleet, i);
        }
    }
    process->state = FLEET_FREE;
    while (fleet->high_slot > 0 && fleet->process[fleet->high_slot - 1].state == FLEET_FREE)
        fleet->high_slot--;
}

void fleet_look_begin(struct fleet *fleet, uint64_t limit_bytes, uint64_t now_ms)
{
    fleet->limit_bytes = limit_bytes;
    fleet->now_ms = now_ms;
    fleet->trim_line = fleet->config.can_trim ? fleet_threshold_bytes(&fleet->config.trim_at, limit_bytes) : 0;
    fleet->recycle_line = fleet_threshold_bytes(&fleet->config.recycle_at, limit_bytes);
    fleet->sum_bytes = 0;
    fleet->sum_rate = 0;
    fleet->next_look_ms = now_ms + fleet->config.look_ms * FLEET_QUIET_FACTOR;
}

static uint64_t line_of(const struct fleet *fleet, const struct fleet_process *process)
{
    return fleet->recycle_line - share_of(fleet->recycle_line, process->jitter_permyriad);
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
    if (process->counts) {
        fleet->sum_bytes += rss_bytes;
        fleet->sum_rate += process->rate;
    }
}

static struct fleet_decision begin_trim(struct fleet *fleet, uint16_t slot, uint64_t line)
{
    struct fleet_process *process = &fleet->process[slot];
    if (fleet->config.dry_run) {
        process->tried = true;
        process->trim_after_ms = fleet->now_ms + FLEET_REFUSED_MS;
    } else {
        process->state = FLEET_TRIMMING;
        process->before_bytes = process->rss_bytes;
        process->since_ms = fleet->now_ms;
        process->deadline_ms = fleet->now_ms + fleet->config.settle_ms;
        wish_look(fleet, process->deadline_ms);
    }
    return (struct fleet_decision){ .action = FLEET_TRIM,
                                    .reason = FLEET_REASON_AT,
                                    .slot = slot,
                                    .pid = process->pid,
                                    .rss_bytes = process->rss_bytes,
                                    .at_bytes = line };
}

static void postpone_trim(struct fleet *fleet, struct fleet_process *process)
{
    process->trim_after_ms = fleet->now_ms + process->trim_retry_ms;
    process->trim_retry_ms = (uint32_t)min_u64((uint64_t)process->trim_retry_ms * 2, FLEET_TRIM_RETRY_MAX_MS);
}

static struct fleet_decision judge_trim(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    if (fleet->now_ms < process->deadline_ms) {
        wish_look(fleet, process->deadline_ms);
        return nothing;
    }
    uint64_t least = share_of(process->before_bytes, fleet->config.min_yield_permyriad);
    bool enough = process->rss_bytes < process->before_bytes && process->before_bytes - process->rss_bytes >= least;
    process->state = FLEET_WATCHED;
    process->tried = true;
    if (enough)
        process->trim_retry_ms = FLEET_TRIM_RETRY_MS;
    postpone_trim(fleet, process);
    wish_look(fleet, fleet->now_ms + fleet->pace_ms);
    return (struct fleet_decision){ .action = FLEET_TRIMMED,
                                    .reason = FLEET_REASON_AT,
                                    .slot = slot,
                                    .pid = process->pid,
                                    .enough = enough,
                                    .before_bytes = process->before_bytes,
                                    .rss_bytes = process->rss_bytes,
                                    .at_bytes = fleet->trim_line,
                                    .took_ms = fleet->now_ms - process->since_ms };
}

static struct fleet_decision kill_if_late(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    if (fleet->now_ms < process->deadline_ms) {
        wish_look(fleet, min_u64(process->deadline_ms, fleet->now_ms + fleet->config.look_ms));
        return nothing;
    }
    bool first = !process->killed;
    process->killed = true;
    process->deadline_ms = fleet->now_ms + FLEET_KILL_REPEAT_MS;
    wish_look(fleet, fleet->now_ms + fleet->config.look_ms);
    return (struct fleet_decision){ .action = FLEET_KILL,
                                    .slot = slot,
                                    .pid = process->pid,
                                    .first = first,
                                    .rss_bytes = process->rss_bytes,
                                    .took_ms = fleet->now_ms - process->since_ms };
}

/* When a process below its next line may have reached it, with as much time again to spare. */
static void wish_look_before(struct fleet *fleet, const struct fleet_process *process, uint64_t line)
{
    uint64_t rate = max_u64(process->rate * 2, FLEET_RATE_MIN);
    uint64_t reach_ms = (line - process->rss_bytes) / (rate / 1000) / 2;
    wish_look(fleet, fleet->now_ms + max_u64(reach_ms, fleet->pace_ms));
}

/* Samples in a row at or above the process's own line, no closer together than the pace. */
static void count_over(struct fleet *fleet, struct fleet_process *process, uint64_t line)
{
    if (process->rss_bytes < line) {
        process->over = 0;
        process->tried = false;
        wish_look_before(fleet, process, line);
        return;
    }
    if (process->over == 0 || fleet->now_ms - process->counted_ms >= fleet->pace_ms) {
        process->counted_ms = fleet->now_ms;
        if (process->over < UINT16_MAX)
            process->over++;
    }
    wish_look(fleet, fleet->now_ms + fleet->pace_ms);
}

static struct fleet_decision judge_watched(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    if (!process->counts)
        return nothing;
    if (fleet->recycle_line > 0)
        count_over(fleet, process, line_of(fleet, process));
    if (fleet->trim_line > 0) {
        if (process->rss_bytes < fleet->trim_line) {
            wish_look_before(fleet, process, fleet->trim_line);
        } else if (fleet->now_ms >= process->trim_after_ms) {
            return begin_trim(fleet, slot, fleet->trim_line);
        } else {
            process->tried = true; /* lately, and it is not due again */
            wish_look(fleet, process->trim_after_ms);
        }
    }
    process->ready = process->over >= fleet->config.samples && (process->tried || fleet->trim_line == 0) &&
                     fleet->now_ms >= process->quiet_until_ms &&
                     fleet->now_ms >= process->born_ms + fleet->config.min_age_ms;
    return nothing;
}

struct fleet_decision fleet_sample(struct fleet *fleet, uint16_t slot, uint64_t rss_bytes)
{
    struct fleet_process *process = &fleet->process[slot];
    process->ready = false;
    note_rss(fleet, process, rss_bytes);
    switch ((enum fleet_state)process->state) {
    case FLEET_WATCHED:
        return judge_watched(fleet, slot);
    case FLEET_TRIMMING:
        return judge_trim(fleet, slot);
    case FLEET_LEAVING:
        return kill_if_late(fleet, slot);
    case FLEET_FREE:
        break;
    }
    return nothing;
}

static enum fleet_method method_for(const struct fleet *fleet, uint16_t slot)
{
    return slot == FLEET_WORKER || fleet->config.method == FLEET_METHOD_RESPAWN ? FLEET_METHOD_RESPAWN
                                                                                : FLEET_METHOD_SIGNAL;
}

/* The largest that is ready: its end frees most. -1: none. */
static int choose_victim(const struct fleet *fleet)
{
    int victim = -1;
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++) {
        const struct fleet_process *process = &fleet->process[slot];
        if (process->state != FLEET_WATCHED || !process->ready)
            continue;
        if (method_for(fleet, (uint16_t)slot) == FLEET_METHOD_RESPAWN) {
            const struct fleet_process *worker = &fleet->process[FLEET_WORKER];
            if (!fleet->config.can_respawn || fleet->awaited_count > 0 || worker->state == FLEET_FREE ||
                fleet->now_ms < worker->quiet_until_ms || fleet->now_ms < worker->born_ms + fleet->config.min_age_ms)
                continue;
        }
        if (victim < 0 || process->rss_bytes > fleet->process[victim].rss_bytes)
            victim = (int)slot;
    }
    return victim;
}

/* At the rate of this look. The sum counts shared pages more than once, so that it may be at the limit already. */
static uint64_t time_to_limit_ms(const struct fleet *fleet)
{
    if (fleet->sum_bytes >= fleet->limit_bytes)
        return 0;
    return fleet->sum_rate < 1000 ? FLEET_NEVER : (fleet->limit_bytes - fleet->sum_bytes) / (fleet->sum_rate / 1000);
}

static struct fleet_decision begin_recycle(struct fleet *fleet, uint16_t victim)
{
    enum fleet_method method = method_for(fleet, victim);
    uint16_t slot = method == FLEET_METHOD_RESPAWN ? FLEET_WORKER : victim;
    struct fleet_process *over = &fleet->process[victim];
    struct fleet_process *leaving = &fleet->process[slot];

    over->ready = false;
    fleet->next_recycle_ms = fleet->now_ms + fleet->config.interval_ms;
    if (fleet->config.dry_run) {
        over->quiet_until_ms = fleet->now_ms + FLEET_REFUSED_MS;
    } else {
        leaving->state = FLEET_LEAVING;
        leaving->since_ms = fleet->now_ms;
        leaving->deadline_ms = fleet->now_ms + fleet->config.grace_ms;
        leaving->killed = false;
        fleet->awaited[fleet->awaited_count++] = (struct fleet_awaited){ .old_pid = leaving->pid,
                                                                         .worker = slot == FLEET_WORKER,
                                                                         .since_ms = fleet->now_ms };
        wish_look(fleet, min_u64(leaving->deadline_ms, fleet->now_ms + fleet->config.look_ms));
    }
    return (struct fleet_decision){ .action = FLEET_RECYCLE,
                                    .reason = FLEET_REASON_AT,
                                    .method = method,
                                    .slot = slot,
                                    .pid = over->pid,
                                    .rss_bytes = over->rss_bytes,
                                    .at_bytes = line_of(fleet, over),
                                    .eta_ms = time_to_limit_ms(fleet) };
}

/* Shared out among the samples that are still to be taken. */
static void set_pace(struct fleet *fleet)
{
    uint64_t eta_ms = time_to_limit_ms(fleet);
    fleet->pace_ms = fleet->config.look_ms;
    if (eta_ms == FLEET_NEVER || eta_ms == 0)
        return;
    uint64_t pace_ms = eta_ms / (2 * ((uint64_t)fleet->config.samples + 1));
    fleet->pace_ms = min_u64(fleet->config.look_ms, max_u64(pace_ms, FLEET_LOOK_MIN_MS));
}

struct fleet_decision fleet_look_end(struct fleet *fleet)
{
    set_pace(fleet);
    for (uint32_t i = 0; i < fleet->awaited_count; i++) {
        struct fleet_awaited *awaited = &fleet->awaited[i];
        if (awaited->gone_ms == 0 || awaited->held)
            continue;
        wish_look(fleet, fleet->now_ms + fleet->config.look_ms);
        if (fleet->now_ms - awaited->gone_ms >= FLEET_HOLD_MS) {
            awaited->held = true;
            return (struct fleet_decision){ .action = FLEET_HELD,
                                            .old_pid = awaited->old_pid,
                                            .took_ms = fleet->now_ms - awaited->gone_ms };
        }
    }
    if (fleet->awaited_count >= fleet->config.at_once || fleet->now_ms < fleet->next_recycle_ms)
        return nothing;
    int victim = choose_victim(fleet);
    return victim < 0 ? nothing : begin_recycle(fleet, (uint16_t)victim);
}

bool fleet_refuse_trim(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    bool news = !process->deaf;
    process->deaf = true;
    process->state = FLEET_WATCHED;
    process->tried = true;
    postpone_trim(fleet, process);
    return news;
}

void fleet_refuse_recycle(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    process->state = FLEET_WATCHED;
    process->quiet_until_ms = fleet->now_ms + FLEET_REFUSED_MS;
    for (uint32_t i = 0; i < fleet->awaited_count; i++) {
        if (fleet->awaited[i].old_pid == process->pid) {
            forget_awaited(fleet, i);
            break;
        }
    }
    fleet->next_recycle_ms = fleet->now_ms;
}

uint64_t fleet_next_look_ms(const struct fleet *fleet)
{
    return fleet->next_look_ms;
}
