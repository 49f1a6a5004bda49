/*
 * What the drivers of the bench share: the contestants on the command line,
 * the clock, and order statistics.
 *
 * A driver is started as `DRIVER its-own-words : NAME [prefix words] : NAME ...`
 * where the prefix is the init with its options, and is empty for the bare
 * program. Results go to stdout, one contestant a line, tab-separated.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BENCH_CONTESTANTS_MAX = 16, BENCH_WORDS_MAX = 24 };

struct bench_contestant {
    const char *name;
    char *argv[BENCH_WORDS_MAX]; /* prefix and program, NULL at the end */
    int words;
    uint64_t *result_ns;
};

struct bench {
    struct bench_contestant contestant[BENCH_CONTESTANTS_MAX];
    int count;
    char **own; /* words before the first ':' */
    int own_count;
};

/* program: NULL-terminated words that every contestant ends with; ends the driver on bad usage. */
void bench_parse(struct bench *bench, int argc, char **argv, int own_count);
void bench_program(struct bench *bench, char *const *program);

/* The contestant to run at a position of a round: each round begins with another one. */
struct bench_contestant *bench_turn(struct bench *bench, unsigned round, int position);

/*
 * Keep this process and all it starts on one CPU, where that can be done: on
 * which CPUs the scheduler happens to put an init and its worker otherwise
 * decides more than the init does.
 */
void bench_pin(void);

uint64_t bench_now_ns(void);
unsigned bench_number(const char *text);

/* Sorts values. */
uint64_t bench_percentile(uint64_t *values, size_t count, unsigned percent);

/* Path of the running driver, for starting itself as a worker. */
const char *bench_self(void);

/* perror(3) and exit 1. */
_Noreturn void bench_die(const char *what);

#endif
