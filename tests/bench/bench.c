/* See bench.h. */
#include "bench.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void bench_die(const char *what)
{
    perror(what);
    exit(1);
}

static _Noreturn void usage(const char *driver)
{
    fprintf(stderr, "usage: %s words... : NAME [init words] : NAME ...\n", driver);
    exit(2);
}

void bench_parse(struct bench *bench, int argc, char **argv, int own_count)
{
    memset(bench, 0, sizeof(*bench));
    bench->own = argv + 1;
    bench->own_count = own_count;
    if (argc < own_count + 3)
        usage(argv[0]);
    struct bench_contestant *contestant = NULL;
    for (int i = own_count + 1; i < argc; i++) {
        if (strcmp(argv[i], ":") == 0) {
            if (i + 1 == argc || bench->count == BENCH_CONTESTANTS_MAX)
                usage(argv[0]);
            contestant = &bench->contestant[bench->count++];
            contestant->name = argv[++i];
        } else if (contestant == NULL || contestant->words == BENCH_WORDS_MAX / 2) {
            usage(argv[0]);
        } else {
            contestant->argv[contestant->words++] = argv[i];
        }
    }
}

void bench_program(struct bench *bench, char *const *program)
{
    for (int i = 0; i < bench->count; i++) {
        struct bench_contestant *contestant = &bench->contestant[i];
        for (int k = 0; program[k] != NULL && contestant->words < BENCH_WORDS_MAX - 1; k++)
            contestant->argv[contestant->words++] = program[k];
        contestant->argv[contestant->words] = NULL;
    }
}

struct bench_contestant *bench_turn(struct bench *bench, unsigned round, int position)
{
    return &bench->contestant[(round + (unsigned)position) % (unsigned)bench->count];
}

void bench_pin(void)
{
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof(one), &one);
            return;
        }
    }
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

unsigned bench_number(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || number == 0 || number > 1000000) {
        fprintf(stderr, "bad number: %s\n", text);
        exit(2);
    }
    return (unsigned)number;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

uint64_t bench_percentile(uint64_t *values, size_t count, unsigned percent)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof(*values), compare);
    return values[(count - 1) * percent / 100];
}

const char *bench_self(void)
{
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (length < 0)
        bench_die("/proc/self/exe");
    path[length] = '\0';
    return path;
}
