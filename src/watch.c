#include "watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "act.h"
#include "os/log.h"
#include "os/report_socket.h"
#include "pattern.h"
#include "policy/u64.h"
#include "say.h"

/* ---- pid -> slot: open addressing; removal closes the gap, so that a probe ends at the first empty place ---- */

static uint32_t index_home(pid_t pid)
{
    return (uint32_t)pid * UINT32_C(2654435761) % WATCH_INDEX_SIZE;
}

int watch_slot(const struct watch *watch, pid_t pid)
{
    for (uint32_t i = index_home(pid); watch->index[i] != 0; i = (i + 1) % WATCH_INDEX_SIZE) {
        uint16_t slot = (uint16_t)(watch->index[i] - 1);
        if (watch->known[slot].process.pid == pid)
            return slot;
    }
    return -1;
}

static void index_add(struct watch *watch, pid_t pid, uint16_t slot)
{
    uint32_t i = index_home(pid);
    while (watch->index[i] != 0)
        i = (i + 1) % WATCH_INDEX_SIZE;
    watch->index[i] = (uint16_t)(slot + 1);
}

static void index_remove(struct watch *watch, uint16_t slot)
{
    uint32_t gap = index_home(watch->known[slot].process.pid);
    while (watch->index[gap] != slot + 1)
        gap = (gap + 1) % WATCH_INDEX_SIZE;
    for (uint32_t i = (gap + 1) % WATCH_INDEX_SIZE; watch->index[i] != 0; i = (i + 1) % WATCH_INDEX_SIZE) {
        uint32_t home = index_home(watch->known[watch->index[i] - 1].process.pid);
        uint32_t from_home = (i - home) % WATCH_INDEX_SIZE;
        uint32_t from_gap = (i - gap) % WATCH_INDEX_SIZE;
        if (from_home >= from_gap) {
            watch->index[gap] = watch->index[i];
            gap = i;
        }
    }
    watch->index[gap] = 0;
}

/* ---- processes that come and go ---- */

static void forget(struct watch *watch, uint16_t slot, uint64_t now_ms)
{
    fleet_gone(&watch->fleet, slot, now_ms);
    index_remove(watch, slot);
    (void)loop_remove(watch->loop, watch->known[slot].process.pid_fd);
    process_close(&watch->known[slot].process);
}

static void match_patterns(const struct watch *watch, const struct process_stat *stat, struct target_facts *ret_facts)
{
    const struct config_watch *config = &watch->setup->load.config.watch;
    char command[1024];
    ret_facts->matched = config->match[0] == '\0';
    ret_facts->excluded = false;
    if (ret_facts->matched && config->exclude[0] == '\0')
        return;
    if (process_command_line(stat->pid, command, sizeof command) < 0)
        command[0] = '\0';
    ret_facts->matched = ret_facts->matched || pattern_matches(config->match, stat->name, command);
    ret_facts->excluded = pattern_matches(config->exclude, stat->name, command);
}

static bool same_executable(struct watch *watch, const struct process_stat *stat)
{
    struct process_executable executable;
    if (!watch->by_name && process_executable(stat->pid, &executable) == 0)
        return executable.device == watch->worker_executable.device &&
               executable.inode == watch->worker_executable.inode;
    return strcmp(stat->name, watch->worker_name) == 0;
}

/* Whether the policy names it among those that may be recycled. */
static void set_spared(struct watch *watch, uint16_t slot, const struct process_stat *stat)
{
    const char *patterns = watch->setup->load.config.recycle.match;
    char command[1024];
    if (patterns[0] == '\0')
        return;
    if (process_command_line(stat->pid, command, sizeof command) < 0)
        command[0] = '\0';
    fleet_set_spared(&watch->fleet, slot, !pattern_matches(patterns, stat->name, command));
}

/* Whether fork may still be on its way to exec; then it is looked at again when it is old enough. */
static bool too_young(struct watch *watch, uint64_t age_ms, uint64_t now_ms)
{
    if (age_ms >= WATCH_ADMIT_MS)
        return false;
    watch->discover_at_ms = min_u64(watch->discover_at_ms, now_ms + WATCH_ADMIT_MS - age_ms);
    return true;
}

static void recount(struct watch *watch)
{
    for (uint32_t slot = 0; slot < watch->fleet.high_slot; slot++) {
        if (watch->fleet.process[slot].state != FLEET_FREE)
            fleet_set_counts(&watch->fleet, (uint16_t)slot, target_counts(&watch->target, &watch->known[slot].facts));
    }
}

static void admit(struct watch *watch, const struct process_stat *stat, const struct target_facts *facts,
                  uint64_t age_ms, uint64_t now_ms)
{
    int slot = facts->is_worker ? FLEET_WORKER : fleet_free_slot(&watch->fleet);
    if (slot < 0) {
        if (say_once(&watch->said_full))
            log_warning("too many processes: the rest is not watched", log_number("limit", FLEET_MAX), 0);
        return;
    }
    struct watch_known *known = &watch->known[slot];
    int r = process_open(&known->process, stat->pid, stat->start_ticks);
    if (r == 0) {
        r = loop_add(watch->loop, known->process.pid_fd, (uint32_t)(WATCH_TAG + slot));
        if (r < 0)
            process_close(&known->process);
    }
    if (r < 0) {
        if (r != -ESRCH && say_once(&watch->said_open))
            say_warning("cannot watch the process; trying again later", stat->pid, -r);
        return;
    }
    watch->said_open = false;
    known->facts = *facts;
    index_add(watch, stat->pid, (uint16_t)slot);
    struct fleet_decision decision = fleet_appear(&watch->fleet, (uint16_t)slot, stat->pid,
                                                  target_counts(&watch->target, facts), now_ms - age_ms, now_ms);
    set_spared(watch, (uint16_t)slot, stat);
    act(watch, &decision);
}

/* Returns whether the worker is watched; what failed is tried again at the next look. */
static bool admit_worker(struct watch *watch, uint64_t now_ms)
{
    struct process_stat stat;
    struct target_facts facts = { .is_worker = true, .same_executable = true };
    if (watch->fleet.process[FLEET_WORKER].state != FLEET_FREE)
        return true;
    int r = process_stat(watch->worker_pid, &stat);
    if (r < 0) {
        if (say_once(&watch->said_open))
            say_warning("cannot watch the worker; trying again later", watch->worker_pid, -r);
        return false;
    }
    match_patterns(watch, &stat, &facts);
    uint64_t age_ms = process_age_ms(stat.start_ticks);
    admit(watch, &stat, &facts, age_ms < now_ms ? age_ms : now_ms, now_ms);
    return watch->fleet.process[FLEET_WORKER].state != FLEET_FREE;
}

static void consider(struct watch *watch, pid_t pid, pid_t worker, uint64_t now_ms)
{
    struct process_stat stat;
    if (watch_slot(watch, pid) >= 0 || process_stat(pid, &stat) < 0 || stat.state == 'Z')
        return;
    uint64_t age_ms = process_age_ms(stat.start_ticks);
    if (too_young(watch, age_ms, now_ms))
        return;
    struct target_facts facts = { .is_child = stat.parent == worker, .same_executable = same_executable(watch, &stat) };
    match_patterns(watch, &stat, &facts);
    if (target_learn(&watch->target, &facts))
        recount(watch);
    if (target_counts(&watch->target, &facts))
        admit(watch, &stat, &facts, age_ms < now_ms ? age_ms : now_ms, now_ms);
}

/* What the worker is now: an entry script has become the server by exec. */
static void learn_worker(struct watch *watch)
{
    struct process_stat stat;
    struct watch_known *worker = &watch->known[FLEET_WORKER];
    if (process_stat(worker->process.pid, &stat) < 0)
        return;
    memcpy(watch->worker_name, stat.name, sizeof watch->worker_name);
    int r = process_executable(stat.pid, &watch->worker_executable);
    watch->by_name = r < 0;
    if (watch->by_name && r != -ESRCH && r != -ENOENT && say_once(&watch->said_by_name))
        say_warning(
            "cannot read the worker's executable, command names are compared instead (CAP_SYS_PTRACE would help)",
            stat.pid, -r);
    match_patterns(watch, &stat, &worker->facts);
    set_spared(watch, FLEET_WORKER, &stat);
    bool counts = target_counts(&watch->target, &worker->facts);
    if (counts != watch->fleet.process[FLEET_WORKER].counts)
        fleet_set_counts(&watch->fleet, FLEET_WORKER, counts);
}

/*
 * Look for new processes if any was made since the last time. Returns whether
 * more may come soon: the worker is young and alone, or a process came that
 * counts.
 */
static bool discover(struct watch *watch, uint64_t now_ms)
{
    uint64_t generation = watch->generation + 1;
    (void)process_generation(&watch->generation_fd, &generation);
    bool changed = generation != watch->generation;
    if (!admit_worker(watch, now_ms) || (!changed && now_ms < watch->discover_at_ms))
        return false;
    watch->generation = generation;
    watch->discover_at_ms = now_ms + WATCH_DISCOVER_MS;
    learn_worker(watch);
    if (watch->target.mode == TARGET_WORKER)
        return false;
    pid_t worker = watch->known[FLEET_WORKER].process.pid;
    bool tree = watch->target.mode == TARGET_TREE;
    int r = process_list(tree ? getpid() : worker, tree ? PROCESS_DESCENDANTS : PROCESS_CHILDREN, false, &watch->list);
    if (r < 0) {
        if (say_once(&watch->said_list))
            say_warning("cannot list the worker's processes; trying again later", worker, -r);
        return false;
    }
    watch->said_list = false;
    uint32_t before = watch->fleet.high_slot;
    for (uint32_t i = 0; i < watch->list.count; i++) {
        if (watch->list.item[i].pid != worker)
            consider(watch, watch->list.item[i].pid, worker, now_ms);
    }
    bool booting = now_ms < watch->boot_until_ms && before <= FLEET_WORKER + 1;
    return watch->fleet.high_slot > before || (changed && booting);
}

/* ---- looks ---- */

/* The container's lowest line that matters: below it its use need not be known exactly. */
static uint64_t enough_bytes(const struct watch *watch)
{
    const struct fleet_config *config = &watch->fleet.config;
    uint64_t limit_bytes = watch->container.limit_bytes;
    uint64_t trim = config->can_trim ? fleet_threshold_bytes(&config->container_trim_at, limit_bytes) : 0;
    uint64_t recycle = fleet_threshold_bytes(&config->container_recycle_at, limit_bytes);
    return trim > 0 && (recycle == 0 || trim < recycle) ? trim : recycle > 0 ? recycle : UINT64_MAX;
}

static void sample(struct watch *watch, uint16_t slot, uint64_t now_ms)
{
    struct fleet *fleet = &watch->fleet;
    const struct process *process = &watch->known[slot].process;
    uint64_t rss_bytes = 0;
    uint64_t cpu_ms = FLEET_UNKNOWN;
    int r = process_rss(process, &rss_bytes);
    if (r == -ESRCH)
        watch_event(watch, WATCH_TAG + slot, now_ms);
    if (r < 0)
        return;
    if (fleet_wants_cpu(fleet, slot, rss_bytes) && process_cpu_ms(process->pid, &cpu_ms) < 0)
        cpu_ms = FLEET_UNKNOWN;
    struct fleet_decision decision = fleet_sample(fleet, slot, rss_bytes, cpu_ms);
    act(watch, &decision);
}

static void look(struct watch *watch, uint64_t now_ms)
{
    struct fleet *fleet = &watch->fleet;
    struct fleet_decision decision;

    if (container_read(&watch->container, watch->loop, enough_bytes(watch), now_ms))
        fleet_pressure(fleet, now_ms);
    bool moving = discover(watch, now_ms);
    fleet_look_begin(fleet, watch->container.limit_bytes, watch->container.used_bytes, now_ms);
    for (uint32_t slot = 0; slot < fleet->high_slot; slot++) {
        if (fleet->process[slot].state != FLEET_FREE)
            sample(watch, (uint16_t)slot, now_ms);
    }
    do {
        decision = fleet_look_end(fleet);
        act(watch, &decision);
    } while (decision.action != FLEET_NONE);

    watch->next_look_ms = min_u64(fleet_next_look_ms(fleet), watch->discover_at_ms);
    if (moving)
        watch->next_look_ms = min_u64(watch->next_look_ms, now_ms + fleet->config.look_ms);
}

/* Without it trims are judged by what is seen of them. */
static void open_reports(struct watch *watch)
{
    int r = report_socket_open(watch->setup->report_name);
    if (r >= 0) {
        watch->report_fd = r;
        r = loop_add(watch->loop, watch->report_fd, WATCH_TAG_REPORTS);
    }
    if (r < 0)
        log_warning("cannot receive what agents report", log_text("socket", watch->setup->report_name), -r);
}

void watch_init(struct watch *watch, struct setup *setup, struct loop *loop, struct life *life, uint64_t seed)
{
    watch->setup = setup;
    watch->loop = loop;
    watch->life = life;
    watch->report_fd = -1;
    if (setup->report_name[0] != '\0')
        open_reports(watch);
    container_init(&watch->container, setup, &setup->cgroup, loop, WATCH_TAG_PRESSURE);
    watch->generation_fd = -1;
    watch->next_look_ms = LOOP_FOREVER;
    fleet_init(&watch->fleet, &setup->fleet, seed);
}

void watch_descriptors(const struct watch *watch, int ret_fds[WATCH_DESCRIPTORS])
{
    ret_fds[0] = watch->setup != NULL ? container_descriptor(&watch->container) : -1;
    ret_fds[1] = watch->setup != NULL ? watch->report_fd : -1;
}

void watch_worker_started(struct watch *watch, pid_t pid, uint64_t now_ms)
{
    if (watch->setup == NULL)
        return;
    target_init(&watch->target, watch->setup->target);
    watch->worker_pid = pid;
    watch->next_look_ms = now_ms + FLEET_LOOK_MIN_MS;
    watch->discover_at_ms = now_ms + WATCH_ADMIT_MS;
    watch->boot_until_ms = now_ms + WATCH_BOOT_MS;
    admit_worker(watch, now_ms);
}

void watch_worker_gone(struct watch *watch, uint64_t now_ms)
{
    if (watch->setup == NULL)
        return;
    for (uint32_t slot = watch->fleet.high_slot; slot-- > 0;) {
        if (watch->fleet.process[slot].state != FLEET_FREE)
            forget(watch, (uint16_t)slot, now_ms);
    }
    watch->next_look_ms = LOOP_FOREVER;
}

void watch_freeze(struct watch *watch, uint64_t now_ms)
{
    watch->frozen_until_ms = now_ms + WATCH_FREEZE_MS;
}

void watch_event(struct watch *watch, uint32_t tag, uint64_t now_ms)
{
    if (tag == WATCH_TAG_PRESSURE) {
        if (container_pressure(&watch->container, watch->loop, now_ms))
            fleet_pressure(&watch->fleet, now_ms);
        watch->next_look_ms = min_u64(watch->next_look_ms, fleet_next_look_ms(&watch->fleet));
        return;
    }
    if (tag == WATCH_TAG_REPORTS) {
        act_on_reports(watch, now_ms);
        watch->next_look_ms = min_u64(watch->next_look_ms, fleet_next_look_ms(&watch->fleet));
        return;
    }
    uint16_t slot = (uint16_t)(tag - WATCH_TAG);
    if (watch->fleet.process[slot].state == FLEET_FREE)
        return;
    forget(watch, slot, now_ms);
    /* A replacement may come, and the kernel's list may have skipped one while this one went. */
    watch->discover_at_ms = min_u64(watch->discover_at_ms, now_ms + FLEET_LOOK_MIN_MS);
    watch->next_look_ms = min_u64(watch->next_look_ms, watch->discover_at_ms);
}

uint64_t watch_due_ms(const struct watch *watch)
{
    if (watch->setup == NULL)
        return LOOP_FOREVER;
    return max_u64(watch->next_look_ms, watch->frozen_until_ms);
}

void watch_tick(struct watch *watch, uint64_t now_ms)
{
    if (now_ms >= watch_due_ms(watch))
        look(watch, now_ms);
}
