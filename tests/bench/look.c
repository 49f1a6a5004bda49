/*
 * What a look at a process costs: process_rss beside the least it could cost,
 * a pread(2) of the same kept descriptor of /proc/PID/statm.
 *
 * For each size it forks that many sleeping children, and measures rounds of
 * both by turns, so that a change of the machine's speed meets both alike.
 * Prints `look N bare_ns process_rss_ns ratio`, medians, a row for each size.
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

enum {
    CHILDREN_MAX = 4096,
    ROUNDS = 201,
    LOOKS_PER_ROUND = 4096 /* at least; small sizes are gone over several times */
};

static struct process children[CHILDREN_MAX];

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

/* Nanoseconds a look, over all children, as often as a round has it. */
static double measure(int count, bool bare)
{
    char text[48]; /* as much as process_rss asks for */
    uint64_t bytes;
    int passes = LOOKS_PER_ROUND / count;
    uint64_t start = now_ns();
    for (int pass = 0; pass < passes; pass++)
        for (int i = 0; i < count; i++)
            if (bare ? pread(children[i].statm_fd, text, sizeof text, 0) <= 0
                     : process_rss(&children[i], &bytes) < 0 || bytes == 0)
                die("a look failed");
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
    struct rlimit limit = { 0 };
    int started = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("setrlimit");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        while (started < sizes[i])
            start_child(&children[started++]);
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
