#include "sim/world.h"

#include <inttypes.h>
#include <string.h>

#include "policy/u64.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

enum { SECOND_MS = 1000, MINUTE_MS = 60000, HOUR_MS = 3600000 };

static uint64_t below(struct world *world, uint64_t count)
{
    return model_random_below(&world->random, count);
}

static bool chance(struct world *world, unsigned percent)
{
    return below(world, 100) < percent;
}

/* Any order of magnitude as likely as any other. */
static uint64_t between(struct world *world, uint64_t low, uint64_t high)
{
    unsigned magnitudes = 0;
    while (low << (magnitudes + 1) <= high)
        magnitudes++;
    uint64_t from = low << below(world, magnitudes + 1);
    uint64_t to = from * 2 < high ? from * 2 : high;
    return from + below(world, to - from + 1);
}

static uint64_t maybe(struct world *world, unsigned percent, uint64_t low, uint64_t high)
{
    return chance(world, percent) ? between(world, low, high) : 0;
}

/* ---- processes ---- */

static void make_shape(struct world *world, struct model_shape *shape, uint64_t room)
{
    *shape = (struct model_shape){
        .base_bytes = between(world, room / 32 + 1, room / 2 + 2),
        .boot_ms = maybe(world, 70, 10, 3 * MINUTE_MS),
        .leak_rate = 1000 * maybe(world, 50, room / 200000 + 1, room / 30 + 2),
        .cache_bytes = maybe(world, 40, room / 32 + 1, room / 2 + 2),
        .cache_ms = between(world, SECOND_MS, 6 * (uint64_t)HOUR_MS),
        .fragment_rate = 1000 * maybe(world, 40, room / 200000 + 1, room / 30 + 2),
        .fragment_bytes = maybe(world, 70, room / 32 + 1, room),
        .pinned_permyriad = (uint32_t)(chance(world, 40) ? 0 : below(world, 10001)),
        .regrow_ms = maybe(world, 40, 100, HOUR_MS),
        .spike_bytes = between(world, room / 64 + 1, room / 2 + 2),
        .spike_every_ms = maybe(world, 25, SECOND_MS, HOUR_MS),
        .spike_ms = between(world, 50, MINUTE_MS),
        .cpu_permille = (uint32_t)below(world, 1000),
        .drain_ms = between(world, 1, 5 * MINUTE_MS),
        .replace_ms = between(world, 1, 10 * SECOND_MS),
        .kill_ms = maybe(world, 10, 1, 20 * SECOND_MS),
        .handles_trim = chance(world, 85),
        .handles_recycle = chance(world, 90),
        .ignores_recycle = chance(world, 8),
        .agent = chance(world, 50),
        .answer_ms = maybe(world, 60, 1, chance(world, 80) ? 500 : MINUTE_MS),
        .opaque = chance(world, 10),
    };
}

static void make_processes(struct world *world)
{
    uint64_t limit = between(world, 64 * MIB, 16 * GIB);
    uint32_t workers = chance(world, 30) ? 0 : 1 + (uint32_t)below(world, chance(world, 10) ? POD_WORKERS_MAX : 8);
    make_shape(world, &world->worker, limit / (workers + 1));
    make_shape(world, &world->master, limit / (workers + 1));
    if (workers > 0 && chance(world, 60)) {
        uint64_t most = min_u64(world->worker.base_bytes, world->master.base_bytes);
        world->worker.shared_bytes = below(world, most + 1);
        world->worker.unshare_ms = maybe(world, 80, SECOND_MS, 5 * (uint64_t)HOUR_MS);
    }
    if (workers > 0) {
        world->master.spike_every_ms = 0;
        world->master.leak_rate /= 16;
    }
    world->traffic = (struct model_traffic){ 0 };
    if (chance(world, 30)) {
        world->traffic.busy_ms = between(world, 100, HOUR_MS);
        world->traffic.quiet_ms = between(world, 100, HOUR_MS);
    }
    world->spec.limit_bytes = limit;
    world->spec.other_bytes = maybe(world, 30, limit / 64, limit / 2);
    world->spec.workers = workers;
}

/* ---- the policy ---- */

static struct fleet_threshold threshold(struct world *world, uint32_t low_permyriad, uint32_t high_permyriad)
{
    uint32_t share = low_permyriad + (uint32_t)below(world, high_permyriad - low_permyriad + 1);
    if (chance(world, 50))
        return (struct fleet_threshold){ .share_permyriad = share };
    return (struct fleet_threshold){ .bytes = world->spec.limit_bytes / 10000 * share + 1 };
}

static void make_lines(struct world *world, struct fleet_config *fleet)
{
    uint32_t part = world->spec.workers > 0 ? 10000 / (world->spec.workers + 1) : 4500;
    if (chance(world, 60))
        fleet->trim_at = threshold(world, part / 8 + 1, part);
    if (chance(world, 70))
        fleet->recycle_at = threshold(world, part, 2 * part);
    if (chance(world, 60))
        fleet->container_trim_at = threshold(world, 3000, 7500);
    if (chance(world, 60))
        fleet->container_recycle_at = threshold(world, 7500, 9800);
    fleet->metric = (enum fleet_metric)(chance(world, 60) ? 0 : below(world, 3));
    fleet->trim_every_ms = maybe(world, 30, SECOND_MS, HOUR_MS);
    fleet->trim_idle_ms = maybe(world, 50, 100, HOUR_MS);
}

static void make_policy(struct world *world)
{
    struct fleet_config *fleet = &world->spec.fleet;
    struct life_config *life = &world->spec.life;
    *life = (struct life_config){
        .restart = (enum life_restart)(chance(world, 20) ? below(world, 4) : LIFE_RESTART_ALWAYS),
        .restart_delay_ms = between(world, 100, LIFE_DELAY_MAX_MS),
        .stop_grace_ms = maybe(world, 50, 100, HOUR_MS),
        .wait_all = chance(world, 20),
    };
    do {
        *fleet = (struct fleet_config){
            .can_trim = chance(world, 75),
            .expects_reports = chance(world, 50),
            .can_respawn = life->restart != LIFE_RESTART_NEVER,
            .dry_run = chance(world, 6),
            .method = (enum fleet_method)(chance(world, 60) ? 0 : below(world, 4)),
            .samples = (uint32_t)between(world, 1, chance(world, 90) ? 6 : 1000),
            .at_once = (uint32_t)(chance(world, 60) ? 1 : between(world, 1, 6)),
            .jitter_permyriad = (uint32_t)maybe(world, 70, 1, 5000),
            .min_yield_permyriad = (uint32_t)maybe(world, 80, 1, 5000),
            .settle_ms = between(world, 100, MINUTE_MS),
            .grace_ms = between(world, 100, 4 * MINUTE_MS),
            .interval_ms = maybe(world, 80, 100, 5 * MINUTE_MS),
            .min_age_ms = maybe(world, 80, 100, 5 * MINUTE_MS),
            .look_ms = between(world, 100, 30 * SECOND_MS),
        };
        make_lines(world, fleet);
    } while (!fleet_has_work(fleet));
    world->spec.target = (enum target_mode)(chance(world, 60) ? TARGET_AUTO : below(world, 4));
    if (chance(world, 20))
        world->spec.policy_limit_bytes = between(world, world->spec.limit_bytes / 2, world->spec.limit_bytes);
    world->spec.seen_late_ms = maybe(world, 50, 1, SECOND_MS);
    world->spec.spare_each = (uint32_t)maybe(world, 15, 1, 4);
    world->spec.sum_only = chance(world, 15);
    world->spec.uneven = chance(world, 50);
}

/* Where PSS and USS matter: every process is above its line by its RSS alone, for what it shares with the master. */
static void make_fat_master(struct world *world)
{
    struct model_shape *worker = &world->worker;
    if (world->spec.workers < 2 || world->spec.fleet.metric == FLEET_METRIC_RSS || chance(world, 50))
        return;
    world->master.base_bytes = worker->base_bytes;
    worker->shared_bytes = worker->base_bytes / 10 * 9;
    world->spec.fleet.recycle_at = (struct fleet_threshold){ .bytes = worker->base_bytes / 10 * 8 + 1 };
}

void world_make(struct world *world, uint64_t seed, uint64_t number)
{
    uint64_t mix = seed;
    memset(world, 0, sizeof *world);
    world->random = model_random(&mix) ^ (number * UINT64_C(0xd1342543de82ef95));
    make_processes(world);
    make_policy(world);
    make_fat_master(world);
    world->spec.seed = model_random(&world->random);
    world->spec.worker = &world->worker;
    world->spec.master = &world->master;
    world->spec.traffic = &world->traffic;
    if (chance(world, 60)) {
        world->event_gap_ms = between(world, 100, HOUR_MS);
        world->hostile = chance(world, 60);
    }
    world->duration_ms = between(world, MINUTE_MS, 48 * (uint64_t)HOUR_MS);
    world->stop_at_ms = chance(world, 10) ? below(world, world->duration_ms) : MODEL_NEVER;
    if (world->traffic.quiet_ms == 0)
        model_traffic_init(&world->traffic);
}

/* ---- events ---- */

uint64_t world_next_ms(struct world *world, uint64_t now_ms)
{
    return world->event_gap_ms > 0 ? now_ms + 1 + below(world, 2 * world->event_gap_ms) : MODEL_NEVER;
}

static uint16_t any_place(struct world *world, const struct pod *pod)
{
    return pod->places > 0 ? (uint16_t)below(world, pod->places) : 0;
}

static const uint64_t wild_bytes[] = {
    0, 1, UINT64_C(1) << 32, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 1, UINT64_MAX - 4096
};
enum { WILD = sizeof wild_bytes / sizeof wild_bytes[0] };

/* The policy's own doing, or nobody's, is at stake here: memory, time and starts go wrong. */
static void befall_hostile(struct world *world, struct pod *pod)
{
    uint64_t for_ms = between(world, 1, 10 * MINUTE_MS);
    switch (below(world, 7)) {
    case 0:
        pod->wild_bytes = chance(world, 30) ? below(world, UINT64_MAX - 1) : wild_bytes[below(world, WILD)];
        pod->wild_place = any_place(world, pod);
        break;
    case 1:
        pod->no_samples_until_ms = pod->now_ms + for_ms;
        break;
    case 2:
        pod->no_start_until_ms = pod->now_ms + for_ms;
        break;
    case 3:
        pod->no_fork_until_ms = pod->now_ms + for_ms;
        break;
    case 4:
        pod_clock_stops(pod, for_ms);
        break;
    case 5:
        pod_clock_leaps(pod, between(world, 1, 50 * (uint64_t)HOUR_MS));
        break;
    default:
        pod_crash(pod, any_place(world, pod));
        break;
    }
}

void world_befall(struct world *world, struct pod *pod)
{
    uint64_t limit = pod->spec->limit_bytes;
    uint16_t place = any_place(world, pod);
    if (world->hostile && chance(world, 60)) {
        befall_hostile(world, pod);
        return;
    }
    switch (below(world, 8)) {
    case 0:
        pod_set_limit(pod, chance(world, 60) ? between(world, limit / 2, limit) : between(world, limit, 2 * limit));
        break;
    case 1:
        if (pod->spec->workers > 0)
            pod_set_pool(pod, 1 + (uint32_t)below(world, POD_WORKERS_MAX / 4));
        break;
    case 2:
        pod_set_other(pod, below(world, limit / 2));
        break;
    case 3:
        pod_set_leak(pod, 1000 * maybe(world, 50, limit / 1000000 + 1, limit / 60));
        break;
    case 4:
        pod_spike(pod, place, below(world, limit / 2), between(world, 1, 10 * MINUTE_MS));
        break;
    case 5:
        pod_stop_process(pod, place);
        break;
    case 6:
        pod_continue_process(pod, place);
        break;
    default:
        pod_pressure(pod);
        break;
    }
}

/* ---- promises ---- */

static bool is_bounded(const struct model_shape *shape)
{
    return shape->leak_rate == 0 && shape->spike_every_ms == 0 &&
           (shape->fragment_rate == 0 || shape->fragment_bytes > 0);
}

/* Until such a process grows no more, whatever is trimmed meanwhile; quiet times count fully. */
static uint64_t grown_after_ms(const struct world *world, const struct model_shape *shape)
{
    uint64_t ms = shape->boot_ms + shape->cache_ms;
    if (shape->fragment_rate > 0)
        ms += shape->fragment_bytes * 1000 / shape->fragment_rate * 1000 + 1000;
    if (shape->shared_bytes > 0)
        ms += shape->unshare_ms;
    if (world->traffic.quiet_ms > 0)
        ms = (ms / world->traffic.busy_ms + 1) * (world->traffic.busy_ms + world->traffic.quiet_ms);
    return ms;
}

void world_promise(const struct world *world, struct check *check)
{
    const struct pod_spec *spec = &world->spec;
    bool pooled = spec->workers > 0;
    uint64_t worker_ms = grown_after_ms(world, &world->worker);
    uint64_t master_ms = pooled ? grown_after_ms(world, &world->master) : 0;
    check->fair =
        world->event_gap_ms == 0 && world->stop_at_ms == MODEL_NEVER && !spec->fleet.dry_run && !world->worker.opaque;
    check->flat = world->event_gap_ms == 0 && is_bounded(&world->worker) && (!pooled || is_bounded(&world->master)) &&
                  !(spec->fleet.can_trim && world->worker.handles_trim);
    check->flat_after_ms = max_u64(worker_ms, master_ms);
}

/* ---- print ---- */

static void print_shape(const char *name, const struct model_shape *shape, FILE *out)
{
    (void)fprintf(
        out,
        "  %s: base=%" PRIu64 "K shared=%" PRIu64 "K unshare=%" PRIu64 "ms boot=%" PRIu64 "ms leak=%" PRIu64
        "/s cache=%" PRIu64 "K/%" PRIu64 "ms fragment=%" PRIu64 "/s<=%" PRIu64 "K pinned=%u regrow=%" PRIu64
        "ms spike=%" PRIu64 "K every %" PRIu64 "ms for %" PRIu64 "ms\n    drain=%" PRIu64 "ms replace=%" PRIu64
        "ms kill=%" PRIu64 "ms trims=%d recycles=%d ignores=%d agent=%d after %" PRIu64 "ms opaque=%d\n",
        name, shape->base_bytes >> 10, shape->shared_bytes >> 10, shape->unshare_ms, shape->boot_ms,
        shape->leak_rate / 1000, shape->cache_bytes >> 10, shape->cache_ms, shape->fragment_rate / 1000,
        shape->fragment_bytes >> 10, shape->pinned_permyriad, shape->regrow_ms, shape->spike_bytes >> 10,
        shape->spike_every_ms, shape->spike_ms, shape->drain_ms, shape->replace_ms, shape->kill_ms, shape->handles_trim,
        shape->handles_recycle, shape->ignores_recycle, shape->agent, shape->answer_ms, shape->opaque);
}

static void print_line(const char *name, const struct fleet_threshold *threshold, uint64_t limit, FILE *out)
{
    (void)fprintf(out, " %s=%" PRIu64 "K", name, fleet_threshold_bytes(threshold, limit) >> 10);
}

void world_print(const struct world *world, FILE *out)
{
    const struct pod_spec *spec = &world->spec;
    const struct fleet_config *fleet = &spec->fleet;
    uint64_t limit = spec->policy_limit_bytes > 0 ? spec->policy_limit_bytes : spec->limit_bytes;
    (void)fprintf(out,
                  "  pod: limit=%" PRIu64 "K (policy %" PRIu64 "K) other=%" PRIu64 "K workers=%u late=%" PRIu64
                  "ms spare=%u sum_only=%d uneven=%d events every %" PRIu64 "ms hostile=%d busy=%" PRIu64
                  "ms quiet=%" PRIu64 "ms\n",
                  spec->limit_bytes >> 10, limit >> 10, spec->other_bytes >> 10, spec->workers, spec->seen_late_ms,
                  spec->spare_each, spec->sum_only, spec->uneven, world->event_gap_ms, world->hostile,
                  world->traffic.busy_ms, world->traffic.quiet_ms);
    print_shape("worker", &world->worker, out);
    if (spec->workers > 0)
        print_shape("master", &world->master, out);
    (void)fprintf(out,
                  "  policy: target=%d metric=%d can_trim=%d reports=%d can_respawn=%d dry_run=%d method=%d samples=%u "
                  "at_once=%u "
                  "jitter=%u yield=%u every=%" PRIu64 "ms idle=%" PRIu64 "ms settle=%" PRIu64 "ms grace=%" PRIu64
                  "ms interval=%" PRIu64 "ms min_age=%" PRIu64 "ms look=%" PRIu64 "ms\n    lines:",
                  spec->target, fleet->metric, fleet->can_trim, fleet->expects_reports, fleet->can_respawn,
                  fleet->dry_run, fleet->method, fleet->samples, fleet->at_once, fleet->jitter_permyriad,
                  fleet->min_yield_permyriad, fleet->trim_every_ms, fleet->trim_idle_ms, fleet->settle_ms,
                  fleet->grace_ms, fleet->interval_ms, fleet->min_age_ms, fleet->look_ms);
    print_line("trim_at", &fleet->trim_at, limit, out);
    print_line("recycle_at", &fleet->recycle_at, limit, out);
    print_line("container_trim_at", &fleet->container_trim_at, limit, out);
    print_line("container_recycle_at", &fleet->container_recycle_at, limit, out);
    (void)fprintf(out, "\n  life: restart=%d delay=%" PRIu64 "ms stop_grace=%" PRIu64 "ms\n", spec->life.restart,
                  spec->life.restart_delay_ms, spec->life.stop_grace_ms);
}
