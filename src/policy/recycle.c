/* When a process is recycled, and what is waited for before the next one. */
#include "policy/fleet_parts.h"

static void forget_awaited(struct fleet *fleet, uint32_t index)
{
    fleet->awaited_count--;
    for (uint32_t i = index; i < fleet->awaited_count; i++)
        fleet->awaited[i] = fleet->awaited[i + 1];
}

/* Without the one that went the container is another: what it was heading for says nothing of it. */
static void begin_anew(struct fleet *fleet)
{
    slope_reset(&fleet->container.slope);
    floors_reset(&fleet->container.floors);
    fleet->container.shape = TREND_UNKNOWN;
}

/*
 * A process that ended by itself is most likely replaced, too: what comes is
 * taken for that one's replacement first. If it was not, as in a pool that
 * was made smaller, judge_awaited puts it right.
 */
static bool is_of_stray(struct fleet *fleet, uint16_t slot, uint64_t now_ms)
{
    const struct fleet_process *process = &fleet->process[slot];
    if (slot == FLEET_WORKER || !process->counts || fleet->strays == 0 ||
        less_u64(now_ms, fleet->stray_ms) >= FLEET_HOLD_MS)
        return false;
    fleet->strays--;
    for (uint32_t i = 0; i < fleet->awaited_count; i++) {
        struct fleet_awaited *awaited = &fleet->awaited[i];
        if (!awaited->worker && awaited->gone_ms > 0 && awaited->other_pid == 0) {
            awaited->other_pid = process->pid;
            awaited->other_slot = slot;
            break;
        }
    }
    return true;
}

/* The one awaited at this index has its replacement. */
static struct fleet_decision replace(struct fleet *fleet, uint32_t index, uint16_t slot, int32_t pid, uint64_t now_ms)
{
    const struct fleet_awaited awaited = fleet->awaited[index];
    forget_awaited(fleet, index);
    begin_anew(fleet);
    return (struct fleet_decision){ .action = FLEET_REPLACED,
                                    .slot = slot,
                                    .pid = pid,
                                    .old_pid = awaited.old_pid,
                                    .took_ms = less_u64(now_ms, awaited.since_ms) };
}

struct fleet_decision recycle_take_place(struct fleet *fleet, uint16_t slot, uint64_t now_ms)
{
    const struct fleet_process *process = &fleet->process[slot];
    if (is_of_stray(fleet, slot, now_ms))
        return fleet_nothing();
    for (uint32_t i = 0; i < fleet->awaited_count; i++) { /* the longest awaited first */
        const struct fleet_awaited *awaited = &fleet->awaited[i];
        bool fits = awaited->worker ? slot == FLEET_WORKER : slot != FLEET_WORKER && process->counts;
        if (fits && awaited->gone_ms > 0 && process->born_ms + FLEET_TICK_MS >= awaited->since_ms)
            return replace(fleet, i, slot, process->pid, now_ms);
    }
    return fleet_nothing();
}

void recycle_gone(struct fleet *fleet, uint16_t slot, uint64_t now_ms)
{
    const struct fleet_process *process = &fleet->process[slot];
    for (uint32_t i = 0; i < fleet->awaited_count; i++) {
        if (fleet->awaited[i].old_pid == process->pid && fleet->awaited[i].gone_ms == 0)
            fleet->awaited[i].gone_ms = max_u64(now_ms, 1);
        if (fleet->awaited[i].other_pid == process->pid)
            fleet->awaited[i].other_pid = 0;
    }
    if (slot != FLEET_WORKER) {
        bool recent = less_u64(now_ms, fleet->stray_ms) < FLEET_HOLD_MS;
        bool stray = process->counts && process->state != FLEET_LEAVING;
        fleet->strays = (recent ? fleet->strays : 0) + stray;
        fleet->stray_ms = stray ? now_ms : fleet->stray_ms;
        return;
    }
    fleet->strays = 0;
    for (uint32_t i = fleet->awaited_count; i-- > 0;) { /* its pool goes with it: nobody is left to replace one */
        if (!fleet->awaited[i].worker)
            forget_awaited(fleet, i);
    }
}

struct fleet_decision recycle_kill_if_late(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    if (fleet->now_ms < process->deadline_ms) {
        fleet_wish_look(fleet, min_u64(process->deadline_ms, fleet->now_ms + fleet->config.look_ms));
        return fleet_nothing();
    }
    bool first = !process->killed;
    process->killed = true;
    process->deadline_ms = fleet->now_ms + FLEET_KILL_REPEAT_MS;
    fleet_wish_look(fleet, min_u64(process->deadline_ms, fleet->now_ms + fleet->config.look_ms));
    return (struct fleet_decision){ .action = FLEET_KILL,
                                    .slot = slot,
                                    .pid = process->pid,
                                    .first = first,
                                    .rss_bytes = process->rss_bytes,
                                    .took_ms = fleet->now_ms - process->since_ms };
}

/* ---- who ---- */

static bool is_old_enough(const struct fleet *fleet, const struct fleet_process *process)
{
    return fleet->now_ms >= process->born_ms + fleet->config.min_age_ms;
}

/* Whether an end of this process can be asked for at all, now. */
static bool may_go(const struct fleet *fleet, uint16_t slot)
{
    const struct fleet_process *process = &fleet->process[slot];
    return fleet_sees(fleet, process) && process->counts && !process->spared &&
           fleet->now_ms >= process->quiet_until_ms;
}

static bool ends_worker(const struct fleet *fleet, uint16_t slot)
{
    return slot == FLEET_WORKER || fleet->config.method == FLEET_METHOD_RESPAWN;
}

/* The end of the worker itself takes the whole pool away: nothing else may be on its way. */
static bool worker_may_go(const struct fleet *fleet)
{
    const struct fleet_process *worker = &fleet->process[FLEET_WORKER];
    return fleet->config.can_respawn && fleet->awaited_count == 0 && worker->state == FLEET_WATCHED &&
           fleet->now_ms >= worker->quiet_until_ms && is_old_enough(fleet, worker);
}

void recycle_consider(struct fleet *fleet, uint16_t slot)
{
    struct fleet_process *process = &fleet->process[slot];
    uint64_t line = fleet_line_of(fleet, process);
    process->ready = false;
    if (line == 0)
        return;
    if (process->metric_bytes < line) {
        process->over = 0;
        process->tried = false;
        fleet_wish_look_before(fleet, process->metric_bytes, line, process->rate);
        return;
    }
    fleet_count_over(fleet, &process->over, &process->counted_ms);
    process->ready = process->over >= fleet->config.samples && (process->tried || !fleet->config.can_trim) &&
                     may_go(fleet, slot) && is_old_enough(fleet, process);
}

/* The largest that is ready: its end frees most. -1: none. */
static int largest_ready(const struct fleet *fleet)
{
    int victim = -1;
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++) {
        const struct fleet_process *process = &fleet->process[slot];
        if (!fleet_sees(fleet, process) || !process->ready)
            continue;
        if (ends_worker(fleet, (uint16_t)slot) && !worker_may_go(fleet))
            continue;
        if (victim < 0 || process->metric_bytes > fleet->process[victim].metric_bytes)
            victim = (int)slot;
    }
    return victim;
}

/* ---- for the container ---- */

/* The limit is near, and the way to it is steep: no noise. */
static bool container_is_urgent(const struct fleet *fleet)
{
    const struct fleet_container *container = &fleet->container;
    bool full = container->used_bytes >= share_of(fleet->limit_bytes, FLEET_FULL_PERMYRIAD);
    bool steep = slope_grown(&container->slope) >= fleet->limit_bytes / FLEET_STEEP_PART;
    return (full || steep) && slope_is_steady(&container->slope) && fleet_eta_ms(fleet) <= FLEET_HORIZON_MS;
}

/*
 * Whether a good part of the container's growth is of processes that were there before its last recycle. In a pool
 * of two that leak it is half of it, and nothing where only the replacement warms up.
 */
static bool the_old_grow(const struct fleet *fleet)
{
    uint64_t rate = 0;
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++) {
        const struct fleet_process *process = &fleet->process[slot];
        if (fleet_sees(fleet, process) && process->born_ms < fleet->container.recycled_ms)
            rate += slope_rate(&process->slope) >> 8; /* so that the sum of 4096 fits */
    }
    return rate > 0 && rate >= slope_rate(&fleet->container.slope) / FLEET_AGAIN_PART >> 8;
}

/* The replacement of one that was recycled fills its caches again: up to where it was before, that is no growth. */
static bool container_grows_again(const struct fleet *fleet)
{
    const struct fleet_container *container = &fleet->container;
    if (container->recycled_ms == 0 || fleet->now_ms - container->recycled_ms >= FLEET_AGAIN_MS)
        return true;
    uint64_t again = container->recycled_bytes + share_of(fleet->limit_bytes, FLEET_AGAIN_PERMYRIAD);
    return container->used_bytes >= min_u64(again, share_of(fleet->limit_bytes, FLEET_FULL_PERMYRIAD)) ||
           the_old_grow(fleet);
}

/* What its end would free for sure: its USS where that is known, else its RSS. */
static uint64_t freed_by(const struct fleet *fleet, const struct fleet_process *process)
{
    bool known = process->uss_bytes != FLEET_UNKNOWN && fleet->now_ms - process->measured_ms <= FLEET_MEASURE_FRESH_MS;
    return known ? process->uss_bytes : process->rss_bytes;
}

static bool is_measured(const struct fleet *fleet, const struct fleet_process *process)
{
    return process->opaque ||
           (process->measured_ms > 0 && fleet->now_ms - process->measured_ms <= FLEET_MEASURE_FRESH_MS);
}

/* The largest of those that no longer grow: how large such a process is when it is warm. */
static uint64_t largest_flat(const struct fleet *fleet)
{
    uint64_t bytes = 0;
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++) {
        const struct fleet_process *process = &fleet->process[slot];
        if (process->state != FLEET_FREE && process->counts && process->shape == TREND_FLAT)
            bytes = max_u64(bytes, process->rss_bytes);
    }
    return bytes;
}

static bool may_go_now(const struct fleet *fleet, const struct fleet_process *process, uint64_t warm_bytes)
{
    bool asked = !fleet->config.can_trim || process->deaf || process->trims > 0 || !trim_is_worth(fleet, process);
    return asked && is_old_enough(fleet, process) && process->shape == TREND_RISING && process->rss_bytes > warm_bytes;
}

/*
 * The one whose end frees most, and enough to matter. -1: none. If there is
 * time, only one that makes the container grow, which one on its way to the
 * size of its warm siblings does not; and not before it was asked to trim.
 */
static int best_for_container(const struct fleet *fleet, bool urgent)
{
    int victim = -1;
    uint64_t warm_bytes = urgent ? 0 : largest_flat(fleet);
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++) {
        const struct fleet_process *process = &fleet->process[slot];
        if (!may_go(fleet, (uint16_t)slot) || (!urgent && !may_go_now(fleet, process, warm_bytes)))
            continue;
        if (freed_by(fleet, process) < share_of(fleet->limit_bytes, FLEET_VICTIM_PERMYRIAD))
            continue;
        if (ends_worker(fleet, (uint16_t)slot) && !worker_may_go(fleet))
            continue;
        if (victim < 0 || freed_by(fleet, process) > freed_by(fleet, &fleet->process[victim]))
            victim = (int)slot;
    }
    return victim;
}

static struct fleet_decision helpless(struct fleet *fleet)
{
    struct fleet_container *container = &fleet->container;
    if (container->helpless)
        return fleet_nothing();
    container->helpless = true;
    return (struct fleet_decision){ .action = FLEET_HELPLESS,
                                    .reason = FLEET_REASON_CONTAINER,
                                    .rss_bytes = container->used_bytes,
                                    .used_bytes = container->used_bytes,
                                    .at_bytes = container->recycle_line,
                                    .eta_ms = fleet_eta_ms(fleet) };
}

/* ---- the recycle ---- */

static bool old_and_new_fit(const struct fleet *fleet, const struct fleet_process *process)
{
    return fleet->container.used_bytes < fleet->limit_bytes &&
           fleet->limit_bytes - fleet->container.used_bytes >= process->rss_bytes;
}

static enum fleet_method method_for(const struct fleet *fleet, uint16_t slot, bool *ret_no_room)
{
    *ret_no_room = false;
    if (!ends_worker(fleet, slot))
        return FLEET_METHOD_SIGNAL;
    if (fleet->config.method != FLEET_METHOD_HANDOVER)
        return FLEET_METHOD_RESPAWN;
    *ret_no_room = !old_and_new_fit(fleet, &fleet->process[slot]);
    return *ret_no_room ? FLEET_METHOD_RESPAWN : FLEET_METHOD_HANDOVER;
}

static struct fleet_decision begin(struct fleet *fleet, uint16_t victim, enum fleet_reason reason)
{
    bool no_room;
    enum fleet_method method = method_for(fleet, victim, &no_room);
    uint16_t slot = method == FLEET_METHOD_SIGNAL ? victim : FLEET_WORKER;
    struct fleet_process *over = &fleet->process[victim];
    struct fleet_process *leaving = &fleet->process[slot];
    struct verdict_evidence evidence = fleet_evidence(over);
    bool container = reason == FLEET_REASON_CONTAINER;

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
        fleet_wish_look(fleet, min_u64(leaving->deadline_ms, fleet->now_ms + fleet->config.look_ms));
    }
    return (struct fleet_decision){ .action = FLEET_RECYCLE,
                                    .reason = reason,
                                    .method = method,
                                    .verdict = verdict_of(&evidence),
                                    .no_room = no_room,
                                    .slot = slot,
                                    .pid = over->pid,
                                    .rss_bytes = container ? over->rss_bytes : over->metric_bytes,
                                    .at_bytes = container ? fleet->container.recycle_line : fleet_line_of(fleet, over),
                                    .used_bytes = fleet->container.used_bytes,
                                    .eta_ms = fleet_eta_ms(fleet) };
}

/* Over its line often enough, trims did not do, and still growing: by a steep end, or all along. */
static struct fleet_decision next_for_container(struct fleet *fleet)
{
    struct fleet_container *container = &fleet->container;
    if (container->over < fleet->config.samples || !container_grows_again(fleet))
        return fleet_nothing();
    bool urgent = container_is_urgent(fleet);
    bool late = urgent && fleet_eta_ms(fleet) / 2 <= fleet->config.settle_ms; /* to see what a trim does */
    if (!container->tried && !late)
        return fleet_nothing();
    bool calm = container->shape != TREND_RISING || fleet->now_ms < fleet->next_recycle_ms;
    if (calm && !urgent)
        return fleet_nothing();
    int victim = best_for_container(fleet, urgent);
    if (victim < 0) /* there may be one that only is to be waited for */
        return best_for_container(fleet, true) < 0 ? helpless(fleet) : fleet_nothing();
    if (!is_measured(fleet, &fleet->process[victim]) && fleet->measures < FLEET_MEASURE_CANDIDATES) {
        if (fleet_may_measure(fleet))
            return fleet_measure(fleet, (uint16_t)victim, FLEET_REASON_CONTAINER);
        if (!urgent) {
            fleet_wish_look(fleet, fleet->next_measure_ms);
            return fleet_nothing();
        }
    }
    container->over = 0;
    container->tried = false;
    container->recycled_bytes = container->used_bytes;
    container->recycled_ms = max_u64(fleet->now_ms, 1);
    return begin(fleet, (uint16_t)victim, FLEET_REASON_CONTAINER);
}

/* No replacement is seen for long: said once, and waited on. */
static struct fleet_decision judge_awaited(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->awaited_count; i++) {
        struct fleet_awaited *awaited = &fleet->awaited[i];
        uint64_t late_ms = less_u64(fleet->now_ms, awaited->gone_ms);
        if (awaited->gone_ms == 0 || (awaited->held && awaited->other_pid == 0))
            continue;
        fleet_wish_look(fleet, fleet->now_ms + fleet->config.look_ms);
        /* What came was taken for another's replacement, but that one is not replaced any more: it was this one's. */
        if (awaited->other_pid != 0 && late_ms >= FLEET_REFUSED_MS)
            return replace(fleet, i, awaited->other_slot, awaited->other_pid, fleet->now_ms);
        if (awaited->held || late_ms < FLEET_HOLD_MS)
            continue;
        awaited->held = true;
        return (struct fleet_decision){ .action = FLEET_HELD, .old_pid = awaited->old_pid, .took_ms = late_ms };
    }
    return fleet_nothing();
}

struct fleet_decision recycle_next(struct fleet *fleet)
{
    struct fleet_decision decision = judge_awaited(fleet);
    if (decision.action != FLEET_NONE || fleet->awaited_count >= fleet->config.at_once)
        return decision;
    int victim = fleet->now_ms >= fleet->next_recycle_ms ? largest_ready(fleet) : -1;
    return victim >= 0 ? begin(fleet, (uint16_t)victim, FLEET_REASON_AT) : next_for_container(fleet);
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
