/*
 * What the agent's wrappers cost: agent_cost LIBRARY [ROUNDS]
 *
 * Two workers of this program, one bare and one with the library preloaded,
 * take turns: in each round each measures every call once, so that what the
 * machine does meanwhile falls on both. Prints the nanoseconds of a call in the
 * tenth of the rounds that was disturbed least, and their ratio. A call is
 * measured where something is ready, and, for the timed ones, with a timeout
 * that is not reached; `blocking` is two threads that wake each other through a
 * pair of pipes or a condition.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 20000, PINGS = 1500, ROUNDS_DEFAULT = 41, ROUNDS_MAX = 1000 };

static int epoll_fd;
static int zero_fd;
static int ready[2];
static int ping[2];
static int pong[2];
static int ping_epoll;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void epoll_untimed(void)
{
    struct epoll_event event;
    if (epoll_wait(epoll_fd, &event, 1, -1) != 1)
        die("epoll_wait");
}

static void epoll_timed(void)
{
    struct epoll_event event;
    if (epoll_wait(epoll_fd, &event, 1, 1000) != 1)
        die("epoll_wait");
}

static void poll_for(int ms)
{
    struct pollfd one = { .fd = ready[0], .events = POLLIN };
    if (poll(&one, 1, ms) != 1)
        die("poll");
}

static void poll_untimed(void)
{
    poll_for(-1);
}

static void poll_timed(void)
{
    poll_for(1000);
}

static void select_timed(void)
{
    fd_set set;
    struct timeval time = { .tv_sec = 1 };
    FD_ZERO(&set);
    FD_SET(ready[0], &set);
    if (select(ready[0] + 1, &set, NULL, NULL, &time) != 1)
        die("select");
}

static void read_byte(void)
{
    char byte;
    if (read(zero_fd, &byte, 1) != 1)
        die("read");
}

static void recv_peek(void)
{
    char byte;
    if (recv(ready[0], &byte, 1, MSG_PEEK) != 1)
        die("recv");
}

static void cond_expired(void)
{
    const struct timespec past = { .tv_sec = 1 };
    pthread_mutex_lock(&mutex);
    if (pthread_cond_timedwait(&condition, &mutex, &past) != ETIMEDOUT)
        die("pthread_cond_timedwait");
    pthread_mutex_unlock(&mutex);
}

static void *answer(void *argument)
{
    char byte;
    for (int i = 0; i < PINGS; i++) {
        if (read(ping[0], &byte, 1) != 1 || write(pong[1], &byte, 1) != 1)
            die("answer");
    }
    return argument;
}

static void *answer_condition(void *argument)
{
    for (int i = 0; i < PINGS; i++) {
        pthread_mutex_lock(&mutex);
        while (turn == 0)
            pthread_cond_wait(&condition, &mutex);
        turn = 0;
        pthread_cond_signal(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

static void with_thread(void *(*other)(void *), void (*one)(void))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, other, NULL) != 0)
        die("pthread_create");
    for (int i = 0; i < PINGS; i++)
        one();
    pthread_join(thread, NULL);
}

static void ping_by_epoll(void)
{
    struct epoll_event event;
    char byte = 'x';
    if (write(ping[1], &byte, 1) != 1 || epoll_wait(ping_epoll, &event, 1, -1) != 1 || read(pong[0], &byte, 1) != 1)
        die("ping");
}

static void ping_by_condition(void)
{
    pthread_mutex_lock(&mutex);
    turn = 1;
    pthread_cond_signal(&condition);
    while (turn == 1)
        pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void blocking_epoll(void)
{
    with_thread(answer, ping_by_epoll);
}

static void blocking_condition(void)
{
    with_thread(answer_condition, ping_by_condition);
}

static const struct subject {
    const char *name;
    void (*run)(void);
    int calls;   /* in one measurement */
    int inner;   /* of which run makes so many */
    double most; /* times the bare one; 0: no promise */
} subjects[] = {
    { "epoll_wait, untimed", epoll_untimed, CALLS, 1, 1.05 },
    { "epoll_wait, timed", epoll_timed, CALLS, 1, 1.15 },
    { "poll, untimed", poll_untimed, CALLS, 1, 1.05 },
    { "poll, timed", poll_timed, CALLS, 1, 1.15 },
    { "select, timed", select_timed, CALLS, 1, 1.15 },
    { "read", read_byte, CALLS, 1, 1.05 },
    { "recv", recv_peek, CALLS, 1, 1.05 },
    { "pthread_cond_timedwait, expired", cond_expired, CALLS, 1, 1.15 },
    { "epoll_wait, blocking", blocking_epoll, 1, PINGS, 0 },
    { "pthread_cond_wait, blocking", blocking_condition, 1, PINGS, 1.05 },
};
enum { SUBJECTS = sizeof subjects / sizeof subjects[0] };

/* On one processor: from which one a thread wakes the other would count for more than all else. */
static void stay_here(void)
{
    cpu_set_t set;
    int cpu = 0;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        die("sched_getaffinity");
    while (!CPU_ISSET(cpu, &set))
        cpu++;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        die("sched_setaffinity");
}

/* A worker measures when it gets a byte, and answers with its numbers. */
static void work(int fd)
{
    char byte;
    struct epoll_event event = { .events = EPOLLIN };
    stay_here();
    epoll_fd = epoll_create1(0);
    zero_fd = open("/dev/zero", O_RDONLY);
    ping_epoll = epoll_create1(0);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ready) < 0 || pipe(ping) < 0 || pipe(pong) < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ready[0], &event) < 0 ||
        epoll_ctl(ping_epoll, EPOLL_CTL_ADD, pong[0], &event) < 0 || write(ready[1], "x", 1) != 1)
        die("worker");
    while (read(fd, &byte, 1) == 1) {
        double ns[SUBJECTS];
        for (int i = 0; i < SUBJECTS; i++) {
            int64_t begin = now_ns();
            for (int call = 0; call < subjects[i].calls; call++)
                subjects[i].run();
            ns[i] = (double)(now_ns() - begin) / subjects[i].calls / subjects[i].inner;
        }
        if (write(fd, ns, sizeof ns) != (ssize_t)sizeof ns)
            die("write");
    }
}

static int start(const char *self, const char *library)
{
    char text[16];
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        die("socketpair");
    if (fork() == 0) {
        close(pair[0]);
        snprintf(text, sizeof text, "%d", pair[1]);
        if (library != NULL)
            setenv("LD_PRELOAD", library, 1);
        execl(self, self, "worker", text, (char *)NULL);
        _exit(127);
    }
    close(pair[1]);
    return pair[0];
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double ns[2][SUBJECTS][ROUNDS_MAX];
    if (argc == 3 && strcmp(argv[1], "worker") == 0) {
        work((int)strtol(argv[2], NULL, 10));
        return 0;
    }
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : ROUNDS_DEFAULT;
    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    int fd[2] = { start("/proc/self/exe", NULL), start("/proc/self/exe", argv[1]) };
    for (int round = 0; round < rounds; round++) {
        for (int k = 0; k < 2; k++) {
            double got[SUBJECTS];
            int which = (round + k) % 2;
            if (write(fd[which], "x", 1) != 1 || recv(fd[which], got, sizeof got, MSG_WAITALL) != (ssize_t)sizeof got)
                die("a worker is gone");
            for (int i = 0; i < SUBJECTS; i++)
                ns[which][i][round] = got[i];
        }
    }
    int missed = 0;
    printf("%-34s %8s %8s %7s %7s\n", "ns a call, tenth percentile", "bare", "agent", "ratio", "at most");
    for (int i = 0; i < SUBJECTS; i++) {
        qsort(ns[0][i], (size_t)rounds, sizeof ns[0][i][0], by_size);
        qsort(ns[1][i], (size_t)rounds, sizeof ns[1][i][0], by_size);
        double bare = ns[0][i][rounds / 10], ours = ns[1][i][rounds / 10];
        printf("%-34s %8.0f %8.0f %7.3f", subjects[i].name, bare, ours, ours / bare);
        if (subjects[i].most > 0)
            printf(" %7.2f%s", subjects[i].most, ours / bare > subjects[i].most ? "  MISSED" : "");
        missed += subjects[i].most > 0 && ours / bare > subjects[i].most;
        putchar('\n');
    }
    return missed == 0 ? 0 : 1;
}
