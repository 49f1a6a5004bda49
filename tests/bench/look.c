/*
 * What a look at a process costs: process_rss and the step of the policy that
 * follows, beside the least it could cost, a pread(2) of the same kept
 * descriptor of /proc/PID/statm.
 *
 * For each size it forks that many sleeping children, and measures rounds of
 * both by turns, so that a change of the machine's speed meets both alike.
 * Prints `look N bare_ns look_ns ratio`, medians, a row for each size.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/process.h"
#include "policy/fleet.h"

enum {
    CHILDREN_MAX = 4096,
    ROUNDS = 201,
    LOOKS_PER_ROUND = 4096 /* at least; small sizes are gone over several times */
};

static struct process children[CHILDREN_MAX];
static struct fleet fleet; /* a process has the slot of its place in children */
static uint64_t fleet_now_ms = 1;

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "look: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void start_child(struct process *child)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent)
            (void)pause();
        _exit(0);
    }
    int r = process_open(child, pid, 0);
    if (r < 0) {
        errno = -r;
        die("process_open");
    }
}

static void pread_all(int count)
{
    char text[48]; /* as much as process_rss asks for */
    for (int i = 0; i < count; i++)
        if (pread(children[i].statm_fd, text, sizeof text, 0) <= 0)
            die("pread");
}

/* One look as trimtab takes it; every process is far from its line, so that nothing is to be done. */
static void look_at_all(int count)
{
    fleet_now_ms += 1000;
    fleet_look_begin(&fleet, UINT64_C(64) << 30, FLEET_UNKNOWN, fleet_now_ms);
    for (int i = 0; i < count; i++) {
        uint64_t bytes = 0;
        if (process_rss(&children[i], &bytes) < 0 || bytes == 0)
            die("process_rss");
        if (fleet_sample(&fleet, (uint16_t)i, bytes, FLEET_UNKNOWN).action != FLEET_NONE)
            die("a decision");
    }
    if (fleet_look_end(&fleet).action != FLEET_NONE)
        die("a decision");
}

/* Nanoseconds a look at one process, over all children, as often as a round has it. */
static double measure(int count, bool bare)
{
    int passes = LOOKS_PER_ROUND / count;
    uint64_t start = now_ns();
    for (int pass = 0; pass < passes; pass++) {
        if (bare)
            pread_all(count);
        else
            look_at_all(count);
    }
    return (double)(now_ns() - start) / (double)(passes * count);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static void measure_size(int count)
{
    static double bare_ns[ROUNDS], look_ns[ROUNDS], ratio[ROUNDS];
    (void)measure(count, true);
    (void)measure(count, false);
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 2 == 0)
            bare_ns[round] = measure(count, true);
        look_ns[round] = measure(count, false);
        if (round % 2 == 1)
            bare_ns[round] = measure(count, true);
        ratio[round] = look_ns[round] / bare_ns[round];
    }
    (void)printf("look %d %.0f %.0f %.3f\n", count, median(bare_ns), median(look_ns), median(ratio));
    (void)fflush(stdout);
}

int main(void)
{
    static const int sizes[] = { 1, 64, 1024, CHILDREN_MAX };
    static const struct fleet_config config = { .trim_at.bytes = UINT64_C(1) << 30,
                                                .recycle_at.bytes = UINT64_C(2) << 30,
                                                .can_trim = true,
                                                .samples = 3,
                                                .at_once = 1,
                                                .look_ms = 1000 };
    struct rlimit limit = { 0 };
    int started = 0;
    fleet_init(&fleet, &config, 1);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("setrlimit");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (; started < sizes[i]; started++) {
            start_child(&children[started]);
            (void)fleet_appear(&fleet, (uint16_t)started, children[started].pid, true, fleet_now_ms, fleet_now_ms);
        }
        measure_size(sizes[i]);
    }
    for (int i = 0; i < started; i++) {
        (void)kill(children[i].pid, SIGKILL);
        process_close(&children[i]);
    }
    while (wait(NULL) > 0 || errno == EINTR) {
    }
    return 0;
}
