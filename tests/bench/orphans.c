/*
 * `orphans ROUNDS COUNT : NAME [init words] ...`
 * The init is PID 1 of a pid namespace. Its worker leaves it COUNT dead orphans
 * at one moment, and sees when the last one is reaped.
 * Prints: name, median total ns, median and least drain ns, median CPU ns of
 * the init in the drain, rounds in which all were reaped.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

enum { ROUNDS_MAX = 100, ROUND_LIMIT_MS = 120000, POLL_NS = 5000000 };

struct outcome {
    uint64_t total_ns, drain_ns, cpu_ns;
};

static struct outcome outcomes[BENCH_CONTESTANTS_MAX][ROUNDS_MAX];
static unsigned reaped_rounds[BENCH_CONTESTANTS_MAX];

/* Signal 0 to everyone else but PID 1 (kill(2)): zombies are still someone. */
static int anyone_left(void)
{
    return kill(-1, 0) == 0 || errno != ESRCH;
}

/* A child that makes zombies and ends when the gate is closed: they become the init's all at once. */
static pid_t make_zombies(unsigned count, const int gate[2])
{
    pid_t parent = fork();
    if (parent != 0)
        return parent;
    char byte = 'r';
    close(gate[1]);
    for (unsigned i = 0; i < count; i++) {
        pid_t pid = vfork(); /* several times faster than fork(2) */
        if (pid == 0)
            _exit(0);
        siginfo_t info; /* it has ended, and stays a zombie */
        if (pid < 0 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0)
            _exit(1);
    }
    if (write(STDOUT_FILENO, &byte, 1) != 1)
        _exit(1);
    _exit(read(gate[0], &byte, 1) == 0 ? 0 : 1);
}

/* The worker. 'r' goes out when the zombies are made, 'd' when none is left; a byte from the driver opens the gate. */
static int work(unsigned count)
{
    int gate[2];
    char byte;
    if (pipe2(gate, O_CLOEXEC) != 0)
        return 1;
    pid_t parent = make_zombies(count, gate);
    if (parent < 0 || read(STDIN_FILENO, &byte, 1) != 1)
        return 1;
    close(gate[1]);
    int status;
    if (waitpid(parent, &status, 0) != parent || status != 0)
        return 1;
    while (anyone_left())
        nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
    if (write(STDOUT_FILENO, "d", 1) != 1)
        return 1;
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1; /* until the driver has read what it wants of the init */
}

/* Time on a CPU so far (Documentation/scheduler/sched-stats.rst). */
static uint64_t cpu_ns(pid_t pid)
{
    char path[64];
    unsigned long long value = 0;
    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%llu", &value) != 1)
        bench_die(path);
    fclose(file);
    return value;
}

/* As PID 1 of its own namespace, with a /proc of its own. */
static pid_t start(const struct bench_contestant *contestant, int in_fd, int out_fd)
{
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        dup2(in_fd, STDIN_FILENO);
        dup2(out_fd, STDOUT_FILENO);
        if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0)
            execv(contestant->argv[0], contestant->argv);
        _exit(127);
    }
    if (pid < 0)
        bench_die("clone");
    return pid;
}

static int await(int fd, char wanted)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    char byte;
    return poll(&poll_fd, 1, ROUND_LIMIT_MS) == 1 && read(fd, &byte, 1) == 1 && byte == wanted;
}

static int play(const struct bench_contestant *contestant, struct outcome *ret_outcome)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        bench_die("pipe2");
    uint64_t begin_ns = bench_now_ns();
    pid_t pid = start(contestant, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    int good = await(from[0], 'r');
    if (good) {
        uint64_t cpu_before_ns = cpu_ns(pid), gate_ns = bench_now_ns();
        good = write(to[1], "g", 1) == 1 && await(from[0], 'd');
        uint64_t end_ns = bench_now_ns();
        *ret_outcome = (struct outcome){ end_ns - begin_ns, end_ns - gate_ns, cpu_ns(pid) - cpu_before_ns };
    }
    close(to[1]);
    if (!good)
        kill(pid, SIGKILL); /* the kernel ends the whole namespace with it */
    int status;
    waitpid(pid, &status, 0);
    close(from[0]);
    return good && status == 0;
}

static uint64_t percentile(const struct outcome *rows, unsigned rounds, size_t offset, unsigned percent)
{
    uint64_t values[ROUNDS_MAX];
    for (unsigned i = 0; i < rounds; i++)
        memcpy(&values[i], (const char *)&rows[i] + offset, sizeof(values[i]));
    return bench_percentile(values, rounds, percent);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--worker") == 0)
        return work(bench_number(argv[2]));
    struct bench bench;
    bench_parse(&bench, argc, argv, 2);
    unsigned rounds = bench_number(bench.own[0]);
    if (rounds > ROUNDS_MAX)
        rounds = ROUNDS_MAX;
    bench_number(bench.own[1]);
    char worker_flag[] = "--worker";
    bench_program(&bench, (char *[]){ (char *)bench_self(), worker_flag, bench.own[1], NULL });
    for (unsigned round = 0; round < rounds; round++) {
        for (int k = 0; k < bench.count; k++) {
            struct bench_contestant *contestant = bench_turn(&bench, round, k);
            ptrdiff_t index = contestant - bench.contestant;
            reaped_rounds[index] += play(contestant, &outcomes[index][round]) != 0;
        }
    }
    for (int i = 0; i < bench.count; i++) {
        const struct outcome *rows = outcomes[i];
        printf("%s\t%llu\t%llu\t%llu\t%llu\t%u\n", bench.contestant[i].name,
               (unsigned long long)percentile(rows, rounds, offsetof(struct outcome, total_ns), 50),
               (unsigned long long)percentile(rows, rounds, offsetof(struct outcome, drain_ns), 50),
               (unsigned long long)percentile(rows, rounds, offsetof(struct outcome, drain_ns), 0),
               (unsigned long long)percentile(rows, rounds, offsetof(struct outcome, cpu_ns), 50), reaped_rounds[i]);
    }
    return 0;
}
