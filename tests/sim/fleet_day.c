#include "sim/fleet_day.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/pod.h"
#include "policy/u64.h"

#define MIB (UINT64_C(1) << 20)

enum {
    WORKERS = 4,
    HOUR_MS = 3600000,
    MINUTE_MS = 60000,
    LOOK_MS = 10000,
    HOURS_MAX = 24 * 7,
    MINUTES_MAX = HOURS_MAX * 60,
    LEAK_BYTES = 16000,   /* a second, of the median pod: a worker is at its line after some 4 hours */
    STEEP_BYTES = 200000, /* a worker lives some 20 minutes */
    PERFECT_LOOK_MS = 1000,
    MANY_PODS = 50000,
    SHARES = 1001 /* peaks are counted by 1/1000 of the limit */
};

static const uint64_t limit_bytes = 2048 * MIB;

/* What a process of ours found out; added up by the parent. */
struct tally {
    uint64_t pods;
    uint64_t recycles;
    uint64_t trims;
    uint64_t kills;
    uint64_t ooms;
    uint64_t avoidable;
    uint64_t looks;
    uint32_t minute[MINUTES_MAX];
    uint32_t peak[SHARES];
};

struct day {
    uint64_t pods;
    uint64_t hours;
    uint64_t seed;
    double leak; /* bytes a second, of the median pod */
    double sigma;
    bool synchronised;
    bool guards_only; /* the container's lines alone, and no way to trim: --policy auto without the agent */
    bool unwatched;
};

struct run {
    struct fleet fleet;
    struct pod pod;
    struct pod_spec spec;
    struct model_shape worker;
    struct model_shape master;
    struct model_traffic traffic;
    struct tally *tally;
    uint64_t peak_bytes;
    uint64_t trims;
};

static const struct fleet_config policy = {
    .trim_at = { .share_permyriad = 1500 },
    .recycle_at = { .share_permyriad = 2000 },
    .container_trim_at = { .share_permyriad = 7000 },
    .container_recycle_at = { .share_permyriad = 8500 },
    .can_trim = true,
    .can_respawn = true,
    .samples = 3,
    .at_once = 1,
    .jitter_permyriad = 1000,
    .min_yield_permyriad = 500,
    .trim_idle_ms = 10000,
    .settle_ms = 2000,
    .grace_ms = 60000,
    .interval_ms = 30000,
    .min_age_ms = 60000,
    .look_ms = LOOK_MS,
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- a pod ---- */

static double uniform(uint64_t *random)
{
    return ((double)(model_random(random) >> 11) + 0.5) / 9007199254740992.0;
}

static double lognormal(uint64_t *random, double median, double sigma)
{
    double radius = sqrt(-2 * log(uniform(random)));
    return median * exp(sigma * radius * cos(2 * M_PI * uniform(random)));
}

static void make_pod(struct run *run, const struct day *day, uint64_t number)
{
    uint64_t mix = day->seed + number * UINT64_C(0xd1342543de82ef95);
    uint64_t random = model_random(&mix);
    double leak = day->synchronised ? day->leak : lognormal(&random, day->leak, day->sigma);
    run->worker = (struct model_shape){
        .base_bytes = (day->synchronised ? 120 : 80 + model_random_below(&random, 80)) * MIB,
        .shared_bytes = 40 * MIB,
        .unshare_ms = HOUR_MS,
        .boot_ms = 3000,
        .leak_rate = (uint64_t)(leak * 1000),
        .fragment_rate = (uint64_t)(leak * 500),
        .fragment_bytes = 60 * MIB,
        .pinned_permyriad = 3000,
        .cpu_permille = 200,
        .drain_ms = day->synchronised ? 500 : 100 + model_random_below(&random, 3000),
        .replace_ms = 50,
        .handles_trim = true,
        .handles_recycle = true,
    };
    run->master = (struct model_shape){
        .base_bytes = 60 * MIB, .boot_ms = 2000, .drain_ms = 1000, .handles_trim = true, .handles_recycle = true
    };
    run->traffic.start_ms = day->synchronised ? 0 : model_random_below(&random, HOUR_MS);
    run->spec = (struct pod_spec){
        .seed = model_random(&random),
        .limit_bytes = limit_bytes,
        .workers = WORKERS,
        .worker = &run->worker,
        .master = &run->master,
        .traffic = &run->traffic,
        .fleet = policy,
        .life = { .restart = LIFE_RESTART_ALWAYS, .restart_delay_ms = 1000 },
        .target = TARGET_AUTO,
        .unwatched = day->unwatched,
    };
    if (day->guards_only) {
        run->spec.fleet.can_trim = false;
        run->spec.fleet.trim_at = run->spec.fleet.recycle_at = (struct fleet_threshold){ 0 };
    }
}

static void take_step(void *user, const struct pod *pod, enum pod_step step, uint16_t place,
                      const struct fleet_decision *decision)
{
    struct run *run = user;
    struct tally *tally = run->tally;
    (void)place;
    if (step == POD_LOOK_BEGIN) {
        tally->looks++;
        if (pod->used_bytes > run->peak_bytes)
            run->peak_bytes = pod->used_bytes;
    }
    if (decision == NULL)
        return;
    tally->trims += decision->action == FLEET_TRIM;
    tally->kills += decision->action == FLEET_KILL;
    if (decision->action != FLEET_RECYCLE)
        return;
    uint64_t minute = (pod->now_ms + run->traffic.start_ms) / MINUTE_MS;
    tally->recycles++;
    if (minute < MINUTES_MAX)
        tally->minute[minute]++;
}

/* ---- the perfect policy ---- */

/* What the container will hold so long from now, if nobody ends. */
static uint64_t used_after(struct run *run, uint64_t ms)
{
    struct model_memory memory;
    uint64_t shared = 0;
    uint64_t used = run->pod.other_bytes;
    for (uint32_t place = 0; place < run->pod.places; place++) {
        struct pod_process *process = &run->pod.process[place];
        if (!process->alive)
            continue;
        model_memory(&process->model, &run->traffic, run->pod.now_ms + ms, &memory);
        used += memory.private_bytes;
        shared = max_u64(memory.shared_bytes, shared);
    }
    return used + shared;
}

/* Of those that are old enough to be recycled, the one whose end frees most; 0: there is none. */
static uint16_t largest_of(struct pod *pod)
{
    uint16_t largest = 0;
    (void)pod_measure(pod);
    for (uint16_t place = 1; place <= WORKERS; place++) {
        const struct pod_process *process = &pod->process[place];
        if (pod->now_ms - process->model.born_ms >= policy.min_age_ms &&
            (largest == 0 || process->memory.private_bytes > pod->process[largest].memory.private_bytes))
            largest = place;
    }
    return largest;
}

/*
 * What it does not know is what comes; what the policy promises, it keeps: one at a time, `interval` apart, none that
 * is younger than `min_age`. lead_ms: how long before the limit would be reached one is ended, besides what its end
 * takes.
 */
static uint64_t perfect_ooms(struct run *run, uint64_t until_ms, uint64_t lead_ms)
{
    struct pod *pod = &run->pod;
    uint64_t next_ms = 0;
    run->spec.unwatched = true;
    pod_init(pod, &run->fleet, &run->spec, NULL);
    while (!pod->over && pod->now_ms < until_ms) {
        uint64_t look_ms = pod->now_ms + PERFECT_LOOK_MS;
        while (pod_advance(pod, look_ms < until_ms ? look_ms : until_ms))
            ;
        if (pod->over || pod_capacity(pod) < WORKERS || pod->process[FLEET_WORKER].pid == 0 || pod->now_ms < next_ms)
            continue;
        uint16_t largest = largest_of(pod);
        if (largest == 0 || used_after(run, run->worker.drain_ms + PERFECT_LOOK_MS + lead_ms) < limit_bytes)
            continue;
        (void)pod_signal(pod, largest, POD_SIGNAL_END, false);
        pod->process[largest].asked = true;
        next_ms = pod->now_ms + policy.interval_ms;
    }
    return pod->ooms;
}

/* The last moment is not the best one when several are due: all of the pool may have to go one after another. */
static uint64_t least_ooms(struct run *run, uint64_t until_ms)
{
    const uint64_t leads_ms[] = { 0, WORKERS * (run->worker.drain_ms + run->worker.boot_ms + PERFECT_LOOK_MS),
                                  policy.interval_ms, WORKERS * policy.interval_ms };
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < sizeof leads_ms / sizeof leads_ms[0]; i++)
        least = min_u64(least, perfect_ooms(run, until_ms, leads_ms[i]));
    return least;
}

/* Nobody looks, but memory runs out all the same. */
static void run_unwatched(struct run *run, uint64_t until_ms)
{
    struct pod *pod = &run->pod;
    while (!pod->over && pod->now_ms + LOOK_MS < until_ms) {
        uint64_t look_ms = pod->now_ms + LOOK_MS;
        while (pod_advance(pod, look_ms))
            ;
        if (pod->used_bytes > run->peak_bytes)
            run->peak_bytes = pod->used_bytes;
    }
}

static void run_pod(struct run *run, const struct day *day, uint64_t number)
{
    const struct pod_observer observer = { .user = run, .step = take_step };
    make_pod(run, day, number);
    uint64_t until_ms = day->hours * HOUR_MS - run->traffic.start_ms;
    run->peak_bytes = 0;
    pod_init(&run->pod, &run->fleet, &run->spec, &observer);
    if (day->unwatched)
        run_unwatched(run, until_ms);
    while (!run->pod.over && pod_advance(&run->pod, until_ms))
        ;
    uint64_t share = run->peak_bytes * 1000 / limit_bytes;
    uint64_t ooms = run->pod.ooms;
    run->tally->peak[share < SHARES ? share : SHARES - 1]++;
    run->tally->pods++;
    run->tally->ooms += ooms;
    if (ooms == 0)
        return;
    uint64_t least = least_ooms(run, until_ms);
    run->tally->avoidable += ooms > least ? ooms - least : 0;
}

/* ---- the fleet ---- */

static void run_share(const struct day *day, struct tally *tally, uint64_t first, uint64_t each)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        perror("sim");
        exit(1);
    }
    run->tally = tally;
    run->traffic = (struct model_traffic){ .swing_permyriad = 3000, .peak_ms = 14 * (uint64_t)HOUR_MS };
    model_traffic_init(&run->traffic);
    for (uint64_t number = first; number < day->pods; number += each)
        run_pod(run, day, number);
    free(run);
}

static void add(struct tally *sum, const struct tally *tally)
{
    sum->pods += tally->pods;
    sum->recycles += tally->recycles;
    sum->trims += tally->trims;
    sum->kills += tally->kills;
    sum->ooms += tally->ooms;
    sum->avoidable += tally->avoidable;
    sum->looks += tally->looks;
    for (unsigned i = 0; i < MINUTES_MAX; i++)
        sum->minute[i] += tally->minute[i];
    for (unsigned i = 0; i < SHARES; i++)
        sum->peak[i] += tally->peak[i];
}

/* Each job is a process with a tally of its own. Returns whether all of them ended well. */
static bool run_day(const struct day *day, long jobs, struct tally *sum)
{
    size_t size = (size_t)jobs * sizeof(struct tally);
    struct tally *tallies = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tallies == MAP_FAILED) {
        perror("sim: mmap");
        return false;
    }
    (void)fflush(stdout);
    long started = 0;
    for (; started < jobs; started++) {
        pid_t pid = fork();
        if (pid == 0) {
            run_share(day, &tallies[started], (uint64_t)started, (uint64_t)jobs);
            _exit(0);
        }
        if (pid < 0)
            break;
    }
    bool good = started == jobs;
    for (long i = 0; i < started; i++) {
        int status = 0;
        good = wait(&status) > 0 && status == 0 && good;
    }
    for (long i = 0; i < jobs; i++)
        add(sum, &tallies[i]);
    (void)munmap(tallies, size);
    return good && sum->pods == day->pods;
}

/* Of the pods, so many permille peaked no higher: in 1/1000 of the limit. */
static unsigned peak_of(const struct tally *tally, unsigned permille)
{
    uint64_t below = 0;
    unsigned share = 0;
    while (share < SHARES - 1 && (below += tally->peak[share]) * 1000 < tally->pods * permille)
        share++;
    return share;
}

/* Largest count of a minute over the mean, from the first minute with a recycle on. */
static double spread(const struct tally *tally, const struct day *day, double *ret_mean, uint32_t *ret_max)
{
    uint64_t minutes = day->hours * 60;
    uint64_t first = 0;
    uint64_t sum = 0;
    *ret_max = 0;
    while (first < minutes && tally->minute[first] == 0)
        first++;
    for (uint64_t i = first; i < minutes; i++) {
        sum += tally->minute[i];
        *ret_max = tally->minute[i] > *ret_max ? tally->minute[i] : *ret_max;
    }
    *ret_mean = first < minutes ? (double)sum / (double)(minutes - first) : 0;
    return *ret_mean > 0 ? *ret_max / *ret_mean : 0;
}

static long child_memory_kib(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_CHILDREN, &usage) == 0 ? usage.ru_maxrss : 0;
}

static double print_row(const char *name, const struct day *day, const struct tally *tally, double took)
{
    double mean = 0;
    uint32_t max = 0;
    double ratio = spread(tally, day, &mean, &max);
    printf("%-13s %7" PRIu64 " %9" PRIu64 " %8.1f %6" PRIu32 " %6.2f %6.1f%% %6.1f%% %9" PRIu64 " %6" PRIu64
           " %6" PRIu64 " %9" PRIu64 " %8.1f %7.1f\n",
           name, tally->pods, tally->recycles, mean, max, ratio, peak_of(tally, 500) / 10.0, peak_of(tally, 990) / 10.0,
           tally->trims, tally->kills, tally->ooms, tally->avoidable, took, (double)child_memory_kib() / 1024);
    (void)fflush(stdout);
    return ratio;
}

static bool one_row(const char *name, const struct day *day, long jobs, struct tally *tally, double *ret_ratio)
{
    memset(tally, 0, sizeof *tally);
    double began = seconds();
    bool good = run_day(day, jobs, tally);
    *ret_ratio = print_row(name, day, tally, seconds() - began);
    return good;
}

static bool none_avoidable(const struct tally *tally)
{
    if (tally->avoidable > 0)
        printf("FAILED: %" PRIu64 " OOM kills could have been avoided\n", tally->avoidable);
    return tally->avoidable == 0;
}

bool fleet_day(uint64_t pods, uint64_t hours, uint64_t seed, long jobs)
{
    static struct tally tally;
    struct day day = { .pods = pods, .hours = hours, .seed = seed, .leak = LEAK_BYTES, .sigma = 1 };
    double ratio = 0;
    if (hours > HOURS_MAX) {
        (void)fprintf(stderr, "sim: at most %d hours\n", HOURS_MAX);
        return false;
    }
    printf("%" PRIu64 " h, seed %" PRIu64 ", %d workers a pod, limit 2048M; recycles by minute from the first one on; "
           "memory of a job; %ld jobs\n"
           "%-13s %7s %9s %8s %6s %6s %7s %7s %9s %6s %6s %9s %8s %7s\n",
           hours, seed, WORKERS, jobs, "", "pods", "recycles", "mean", "max", "ratio", "p50peak", "p99peak", "trims",
           "kills", "ooms", "avoidable", "seconds", "MiB");
    bool good = true;
    if (pods >= 10) {
        day.pods = pods / 10;
        good = one_row("day, a tenth", &day, jobs, &tally, &ratio);
    }
    day.pods = pods;
    good = one_row("day", &day, jobs, &tally, &ratio) && good;
    good = none_avoidable(&tally) && good;
    if (pods >= MANY_PODS && ratio > 1.5) {
        printf("FAILED: %.2f times the mean recycles in a minute, more than 1.5\n", ratio);
        good = false;
    }
    day.pods = pods / 10;
    if (day.pods == 0)
        return good;
    day.guards_only = true;
    good = one_row("guards only", &day, jobs, &tally, &ratio) && good;
    good = none_avoidable(&tally) && good;
    day.guards_only = false;
    day.synchronised = true;
    good = one_row("synchronised", &day, jobs, &tally, &ratio) && good;
    day.synchronised = false;
    day.leak = STEEP_BYTES;
    day.sigma = 1.5;
    day.pods = pods / 100 + 100;
    good = one_row("steep", &day, jobs, &tally, &ratio) && good;
    good = none_avoidable(&tally) && good;
    day.leak = LEAK_BYTES;
    day.sigma = 1;
    day.unwatched = true;
    good = one_row("no policy", &day, jobs, &tally, &ratio) && good;
    return good;
}
