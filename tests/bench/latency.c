/*
 * `latency ROUNDS SIGNALS : NAME [init words] ...`
 * Time from kill(init, SIGTERM) to the moment the worker has the signal in its
 * hands. All contestants run at once and take turns signal by signal, so that
 * what else the machine does hits them alike.
 * Prints: name, median of the rounds' medians in ns, best median, signals that arrived.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

extern char **environ;

enum { ROUNDS_MAX = 100, LOST_AFTER_MS = 2000, LOST_MAX = 5 };

struct runner {
    pid_t init;
    pid_t worker;
    int from_fd; /* the worker writes here what time it was */
    unsigned arrived;
    unsigned lost;
    uint64_t median_ns[ROUNDS_MAX];
};

static struct runner runners[BENCH_CONTESTANTS_MAX];

/* The worker: says its pid, then for every SIGTERM the time it came. */
static int work(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* with the init, however that ends */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (uint64_t message = (uint64_t)getpid();; message = bench_now_ns()) {
        if (write(STDOUT_FILENO, &message, sizeof(message)) != (ssize_t)sizeof(message))
            return 1;
        while (sigwaitinfo(&set, NULL) != SIGTERM) {
        }
    }
}

/* The next message of the worker, or 0 when none comes. */
static uint64_t receive(const struct runner *runner)
{
    struct pollfd poll_fd = { .fd = runner->from_fd, .events = POLLIN };
    uint64_t message = 0;
    if (poll(&poll_fd, 1, LOST_AFTER_MS) != 1 ||
        read(runner->from_fd, &message, sizeof(message)) != (ssize_t)sizeof(message))
        return 0;
    return message;
}

static void start(struct runner *runner, const struct bench_contestant *contestant)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        bench_die("pipe2");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (posix_spawn(&runner->init, contestant->argv[0], &actions, NULL, contestant->argv, environ) != 0)
        bench_die(contestant->argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    runner->from_fd = ends[0];
    runner->worker = (pid_t)receive(runner);
    if (runner->worker <= 0) {
        fprintf(stderr, "%s: its worker does not start\n", contestant->name);
        exit(1);
    }
}

static void finish(struct runner *runner)
{
    kill(runner->worker, SIGKILL);
    while (waitpid(runner->init, NULL, 0) < 0 && errno == EINTR) {
    }
    close(runner->from_fd);
}

static void play_round(struct bench *bench, unsigned round, unsigned signals)
{
    for (unsigned i = 0; i < signals; i++) {
        for (int k = 0; k < bench->count; k++) {
            struct bench_contestant *contestant = bench_turn(bench, i, k);
            struct runner *runner = &runners[contestant - bench->contestant];
            uint64_t sent_ns = bench_now_ns();
            kill(runner->init, SIGTERM);
            uint64_t came_ns = receive(runner);
            if (came_ns == 0 && ++runner->lost == LOST_MAX) {
                fprintf(stderr, "%s: %u signals lost\n", contestant->name, runner->lost);
                exit(1);
            }
            runner->arrived += came_ns != 0;
            contestant->result_ns[i] = came_ns != 0 ? came_ns - sent_ns : (uint64_t)LOST_AFTER_MS * 1000000U;
        }
    }
    for (int i = 0; i < bench->count; i++)
        runners[i].median_ns[round] = bench_percentile(bench->contestant[i].result_ns, signals, 50);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--worker") == 0)
        return work();
    struct bench bench;
    bench_parse(&bench, argc, argv, 2);
    unsigned rounds = bench_number(bench.own[0]), signals = bench_number(bench.own[1]);
    if (rounds > ROUNDS_MAX)
        rounds = ROUNDS_MAX;
    char worker_flag[] = "--worker";
    bench_pin();
    bench_program(&bench, (char *[]){ (char *)bench_self(), worker_flag, NULL });
    for (int i = 0; i < bench.count; i++) {
        bench.contestant[i].result_ns = calloc(signals, sizeof(uint64_t));
        if (bench.contestant[i].result_ns == NULL)
            bench_die("calloc");
        start(&runners[i], &bench.contestant[i]);
    }
    for (unsigned round = 0; round < rounds; round++)
        play_round(&bench, round, signals);
    for (int i = 0; i < bench.count; i++) {
        finish(&runners[i]);
        uint64_t median_ns = bench_percentile(runners[i].median_ns, rounds, 50);
        printf("%s\t%llu\t%llu\t%u\n", bench.contestant[i].name, (unsigned long long)median_ns,
               (unsigned long long)runners[i].median_ns[0], runners[i].arrived); /* sorted: the first is the best */
    }
    return 0;
}
