/*
 * `startup ROUNDS PROGRAM : NAME [init words] ...`
 * Time from the spawn of `init PROGRAM` to its end, all contestants once a round.
 * Prints: name, median ns, p10 ns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static uint64_t run_once(const struct bench_contestant *contestant)
{
    int status;
    uint64_t begin_ns = bench_now_ns();
    pid_t pid = vfork(); /* not posix_spawn(3): what it does besides would count for all */
    if (pid == 0) {
        execv(contestant->argv[0], contestant->argv);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid)
        bench_die("waitpid");
    uint64_t took_ns = bench_now_ns() - begin_ns;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        dprintf(STDOUT_FILENO, "%s\tfailed\t%d\n", contestant->name, status);
        exit(1);
    }
    return took_ns;
}

int main(int argc, char **argv)
{
    struct bench bench;
    bench_parse(&bench, argc, argv, 2);
    unsigned rounds = bench_number(bench.own[0]);
    bench_pin();
    bench_program(&bench, (char *[]){ bench.own[1], NULL });
    for (int i = 0; i < bench.count; i++) {
        bench.contestant[i].result_ns = calloc(rounds, sizeof(uint64_t));
        if (bench.contestant[i].result_ns == NULL)
            bench_die("calloc");
        run_once(&bench.contestant[i]); /* brings its pages into the cache */
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (int k = 0; k < bench.count; k++) {
            struct bench_contestant *contestant = bench_turn(&bench, round, k);
            contestant->result_ns[round] = run_once(contestant);
        }
    }
    for (int i = 0; i < bench.count; i++) {
        struct bench_contestant *contestant = &bench.contestant[i];
        printf("%s\t%llu\t%llu\n", contestant->name,
               (unsigned long long)bench_percentile(contestant->result_ns, rounds, 50),
               (unsigned long long)bench_percentile(contestant->result_ns, rounds, 10));
    }
    return 0;
}
