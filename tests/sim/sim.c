/*
 * The policy core in random containers, with its promises checked at every
 * step. A step is one call into the core, or one event of the model: a process
 * that starts or ends, a signal, a change of the limit seen by a look.
 *
 *   sim [--seeds A-B] [--steps N] [--jobs N]   each seed in a process of its own (default: 1-2, 10^6, one a core)
 *   sim --seed N [--steps N] [--verbose]       one seed; --verbose prints the last pod of it, step by step
 *   sim --fleet PODS [--hours H]               see fleet_day.h
 *
 * A violated promise prints seed, pod, step and the last 50 steps, and the
 * line that replays it. The same seed and steps give the same run everywhere:
 * the model computes with integers only, and all chance comes from the seed.
 *
 * The files: src/ctl/model.c is how processes use memory, src/ctl/pod*.c one
 * container with the core over it; world.c makes random ones of a seed and
 * lets things befall them; check.c holds the promises, which test_check.c
 * shows to be able to fail; fleet_day.c is the day of a fleet.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policy/u64.h"
#include "sim/check.h"
#include "sim/fleet_day.h"
#include "sim/world.h"

enum { POD_STEPS_MAX = 100000, ENOUGH_STEPS = 10000000 };

struct options {
    uint64_t first_seed;
    uint64_t last_seed;
    uint64_t steps;
    uint64_t fleet; /* pods; 0: no fleet mode */
    uint64_t hours;
    long jobs;
    bool verbose;
    bool one;
};

static struct fleet fleet;
static struct world world;
static struct pod pod;
static struct check check;

/* One pod, until `steps` steps were checked in all, or it ends. Returns whether all promises held. */
static bool run_pod(uint64_t seed, uint64_t number, uint64_t steps)
{
    static const struct pod_observer observer = { .user = &check, .step = check_step };
    uint64_t last_step = min_u64(steps, check.steps + POD_STEPS_MAX);
    world_make(&world, seed, number);
    check_begin(&check, &world.spec);
    world_promise(&world, &check);
    if (check.verbose != NULL)
        world_print(&world, check.verbose);
    pod_init(&pod, &fleet, &world.spec, &observer);
    uint64_t befalls_ms = world_next_ms(&world, 0);
    bool told = false;
    while (!pod.over && check.violated < 0 && check.steps < last_step && pod.now_ms < world.duration_ms) {
        uint64_t until_ms = min_u64(befalls_ms, world.duration_ms);
        if (!told)
            until_ms = min_u64(until_ms, world.stop_at_ms);
        if (pod_advance(&pod, until_ms))
            continue;
        if (pod.now_ms >= befalls_ms) {
            check.steps++;
            world_befall(&world, &pod);
            befalls_ms = world_next_ms(&world, pod.now_ms);
        } else if (pod.now_ms >= world.stop_at_ms && !told) {
            told = true;
            pod_told_to_stop(&pod);
        }
    }
    return check.violated < 0;
}

static void report(uint64_t seed, uint64_t number)
{
    enum rule rule = (enum rule)check.violated;
    printf("seed %" PRIu64 ", pod %" PRIu64 ", step %" PRIu64 ": '%s' does not hold: %s\n  %s\n", seed, number,
           check.steps, check_rule_name(rule), check_rule_text(rule), check.text);
    world_print(&world, stdout);
    check_print_events(&check, stdout);
    printf("replay: sim --seed %" PRIu64 " --steps %" PRIu64 " --verbose\n", seed, check.steps);
}

/* Returns whether all promises held. */
static bool run_seed(uint64_t seed, uint64_t steps, bool verbose)
{
    uint64_t number = 0;
    uint64_t before = 0;
    memset(&check, 0, sizeof check);
    bool good = true;
    while (good && check.steps < steps) {
        before = check.steps;
        check.steps++; /* a pod is made */
        good = run_pod(seed, number++, steps);
    }
    if (verbose) { /* the last pod again, aloud */
        check.steps = before + 1;
        check.verbose = stdout;
        good = run_pod(seed, number - 1, steps);
    }
    if (!good)
        report(seed, number - 1);
    else
        printf("seed %" PRIu64 ": %" PRIu64 " steps in %" PRIu64 " pods\n", seed, check.steps, number);
    return good;
}

/* ---- seeds in parallel ---- */

/* Of all seeds: how often each promise was tested, and each decision taken. Without these a pass says nothing. */
struct tally {
    uint64_t steps;
    uint64_t tested[RULES];
    uint64_t actions[CHECK_ACTIONS];
};

static void add(struct tally *tally)
{
    (void)__atomic_add_fetch(&tally->steps, check.steps, __ATOMIC_RELAXED);
    for (int i = 0; i < RULES; i++)
        (void)__atomic_add_fetch(&tally->tested[i], check.tested[i], __ATOMIC_RELAXED);
    for (int i = 0; i < CHECK_ACTIONS; i++)
        (void)__atomic_add_fetch(&tally->actions[i], check.actions[i], __ATOMIC_RELAXED);
}

/* Returns whether everything was put to the test. */
static bool print_tally(const struct tally *tally)
{
    bool all = true;
    for (int i = 0; i < RULES; i++) {
        printf("  %-11s held %12" PRIu64 " times: %s\n", check_rule_name((enum rule)i), tally->tested[i],
               check_rule_text((enum rule)i));
        all = all && tally->tested[i] > 0;
    }
    printf("  decisions:");
    for (int i = FLEET_MEASURE; i < CHECK_ACTIONS; i++) {
        printf(" %s %" PRIu64, check_action_name((enum fleet_action)i), tally->actions[i]);
        all = all && tally->actions[i] > 0;
    }
    printf("\n");
    if (!all && tally->steps >= ENOUGH_STEPS)
        printf("FAILED: something was never put to the test\n");
    return all || tally->steps < ENOUGH_STEPS;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Returns whether all seeds passed; each runs in a process of its own. */
static bool run_seeds(const struct options *options)
{
    double began = seconds();
    uint64_t next = options->first_seed;
    uint64_t failed = 0;
    long running = 0;
    struct tally *tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tally == MAP_FAILED) {
        perror("sim: mmap");
        return false;
    }
    while (running > 0 || next <= options->last_seed) {
        if (running < options->jobs && next <= options->last_seed) {
            fflush(stdout);
            pid_t pid = fork();
            if (pid == 0) {
                bool good = run_seed(next, options->steps, false);
                add(tally);
                exit(fflush(stdout) == 0 && good ? 0 : 1);
            }
            if (pid > 0) {
                running++;
                next++;
                continue;
            }
            if (running == 0) {
                perror("sim: fork");
                return false;
            }
        }
        int status = 0;
        if (wait(&status) > 0) {
            running--;
            failed += status != 0;
        }
    }
    uint64_t seeds = options->last_seed - options->first_seed + 1;
    double took = seconds() - began;
    bool tested = print_tally(tally);
    printf("%" PRIu64 " seeds of %" PRIu64 " steps: %" PRIu64 " failed; %.1f s, %.0f ns a step with %ld at a time\n",
           seeds, options->steps, failed, took, took * 1e9 / (double)(seeds * options->steps), options->jobs);
    return failed == 0 && tested;
}

static int usage(const char *wrong)
{
    (void)fprintf(stderr,
                  "sim: %s\nusage: sim [--seed N | --seeds A-B] [--steps N] [--jobs N] [--verbose]\n"
                  "       sim --fleet PODS [--hours H]\n",
                  wrong);
    return 2;
}

static bool parse_number(const char *text, uint64_t *ret_number, const char **ret_rest)
{
    char *rest = NULL;
    errno = 0;
    *ret_number = strtoull(text, &rest, 10);
    *ret_rest = rest;
    return errno == 0 && rest != text;
}

static bool parse_seeds(const char *text, struct options *options)
{
    const char *rest;
    if (!parse_number(text, &options->first_seed, &rest))
        return false;
    options->last_seed = options->first_seed;
    if (*rest == '-' && !parse_number(rest + 1, &options->last_seed, &rest))
        return false;
    return *rest == '\0' && options->first_seed <= options->last_seed;
}

int main(int argc, char **argv)
{
    struct options options = { .first_seed = 1, .last_seed = 2, .steps = 1000000, .hours = 24 };
    options.jobs = sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        const char *rest = "";
        uint64_t number = 0;
        if (strcmp(argv[i], "--verbose") == 0) {
            options.verbose = true;
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--seed") == 0 || strcmp(argv[i - 1], "--seeds") == 0) {
            if (!parse_seeds(value, &options))
                return usage("--seeds takes a number, or two as in 1-100");
            options.one = options.first_seed == options.last_seed;
            continue;
        }
        if (!parse_number(value, &number, &rest) || *rest != '\0' || number == 0)
            return usage("an option without a number above 0, or an unknown one");
        if (strcmp(argv[i - 1], "--steps") == 0)
            options.steps = number;
        else if (strcmp(argv[i - 1], "--jobs") == 0)
            options.jobs = (long)number;
        else if (strcmp(argv[i - 1], "--fleet") == 0)
            options.fleet = number;
        else if (strcmp(argv[i - 1], "--hours") == 0)
            options.hours = number;
        else
            return usage("unknown option");
    }
    if (options.fleet > 0)
        return fleet_day(options.fleet, options.hours, options.first_seed, options.jobs) ? 0 : 1;
    if (options.one)
        return run_seed(options.first_seed, options.steps, options.verbose) ? 0 : 1;
    return run_seeds(&options) ? 0 : 1;
}
