/*
 * crowd CALL SECONDS: eight threads, the main one among them, wait in CALL again and again until the time is over.
 * No signal of the program's own comes. Prints `CALL waits eintr wrong`: how many waits there were, how many failed
 * with EINTR, and how many came out otherwise than they should. crowd list: the names of the calls.
 *
 * Some waits end by a timeout, the others by a ninth thread that takes no signal.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, WAIT_MS = 3 };

static struct place {
    int epoll_fd;
    int pair[2];
    int listener;
    struct sockaddr_un address;
    sem_t semaphore;
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool turn;
} places[THREADS];

static const struct call *chosen;
static atomic_ulong waits, interrupted, wrong;
static atomic_bool over;

static struct timespec a_while(void)
{
    return (struct timespec){ .tv_nsec = WAIT_MS * 1000000L };
}

static struct timespec later(clockid_t clock)
{
    struct timespec end;
    clock_gettime(clock, &end);
    end.tv_nsec += WAIT_MS * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    return end;
}

/* 0: as it should be, -1: see errno */

static int w_epoll_wait(struct place *here)
{
    struct epoll_event event;
    return epoll_wait(here->epoll_fd, &event, 1, WAIT_MS);
}

static int w_epoll_pwait(struct place *here)
{
    struct epoll_event event;
    return epoll_pwait(here->epoll_fd, &event, 1, WAIT_MS, NULL);
}

/* All of them at one. */
static int w_epoll_shared(struct place *here)
{
    (void)here;
    return w_epoll_wait(&places[0]);
}

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 35)
#define HAVE_EPOLL_PWAIT2
#endif
#endif

#ifdef HAVE_EPOLL_PWAIT2
static int w_epoll_pwait2(struct place *here)
{
    struct epoll_event event;
    struct timespec time = a_while();
    return epoll_pwait2(here->epoll_fd, &event, 1, &time, NULL);
}
#endif

static int w_poll(struct place *here)
{
    struct pollfd one = { .fd = here->pair[0], .events = POLLIN };
    return poll(&one, 1, WAIT_MS);
}

static int w_ppoll(struct place *here)
{
    struct pollfd one = { .fd = here->pair[0], .events = POLLIN };
    struct timespec time = a_while();
    return ppoll(&one, 1, &time, NULL);
}

static int w_select(struct place *here)
{
    fd_set set;
    struct timeval time = { .tv_usec = WAIT_MS * 1000 };
    FD_ZERO(&set);
    FD_SET(here->pair[0], &set);
    return select(here->pair[0] + 1, &set, NULL, NULL, &time);
}

static int w_pselect(struct place *here)
{
    fd_set set;
    struct timespec time = a_while();
    FD_ZERO(&set);
    FD_SET(here->pair[0], &set);
    return pselect(here->pair[0] + 1, &set, NULL, NULL, &time, NULL);
}

static int w_nanosleep(struct place *here)
{
    (void)here;
    struct timespec time = a_while();
    return nanosleep(&time, NULL);
}

static int w_clock_nanosleep(struct place *here)
{
    (void)here;
    struct timespec end = later(CLOCK_MONOTONIC);
    errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
    return errno == 0 ? 0 : -1;
}

static int w_sigtimedwait(struct place *here)
{
    (void)here;
    sigset_t set;
    struct timespec time = a_while();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, NULL, &time) == -1 && errno == EAGAIN ? 0 : -1;
}

static int w_sem_timedwait(struct place *here)
{
    struct timespec end = later(CLOCK_REALTIME);
    return sem_timedwait(&here->semaphore, &end) == -1 && errno == ETIMEDOUT ? 0 : -1;
}

static int w_cond_timedwait(struct place *here)
{
    struct timespec end = later(CLOCK_REALTIME);
    pthread_mutex_lock(&here->mutex);
    errno = pthread_cond_timedwait(&here->condition, &here->mutex, &end);
    pthread_mutex_unlock(&here->mutex);
    return errno == ETIMEDOUT ? 0 : -1;
}

static int w_epoll_untimed(struct place *here)
{
    char byte;
    struct epoll_event event;
    return epoll_wait(here->epoll_fd, &event, 1, -1) == 1 ? (int)recv(here->pair[0], &byte, 1, MSG_DONTWAIT) - 1 : -1;
}

static int w_read(struct place *here)
{
    char byte;
    return (int)read(here->pair[0], &byte, 1) - 1;
}

static int w_recv(struct place *here)
{
    char byte;
    return (int)recv(here->pair[0], &byte, 1, 0) - 1;
}

static int w_accept(struct place *here)
{
    int fd = accept(here->listener, NULL, NULL);
    if (fd < 0)
        return -1;
    (void)close(fd);
    return 0;
}

static int w_sem_wait(struct place *here)
{
    return sem_wait(&here->semaphore);
}

static int w_cond_wait(struct place *here)
{
    pthread_mutex_lock(&here->mutex);
    errno = 0;
    while (!here->turn && errno == 0)
        errno = pthread_cond_wait(&here->condition, &here->mutex);
    here->turn = false;
    pthread_mutex_unlock(&here->mutex);
    return errno == 0 ? 0 : -1;
}

static void say_byte(struct place *there)
{
    (void)!send(there->pair[1], "x", 1, MSG_DONTWAIT);
}

static void say_connect(struct place *there)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)connect(fd, (struct sockaddr *)&there->address, sizeof there->address);
    (void)close(fd);
}

static void say_post(struct place *there)
{
    (void)sem_post(&there->semaphore);
}

static void say_condition(struct place *there)
{
    pthread_mutex_lock(&there->mutex);
    there->turn = true;
    pthread_cond_signal(&there->condition);
    pthread_mutex_unlock(&there->mutex);
}

static const struct call {
    const char *name;
    int (*wait)(struct place *here);
    void (*end)(struct place *there); /* NULL: by its timeout */
} calls[] = {
    { "epoll_wait", w_epoll_wait, NULL },
    { "epoll_wait:shared", w_epoll_shared, NULL },
    { "epoll_wait:untimed", w_epoll_untimed, say_byte },
    { "epoll_pwait", w_epoll_pwait, NULL },
#ifdef HAVE_EPOLL_PWAIT2
    { "epoll_pwait2", w_epoll_pwait2, NULL },
#endif
    { "poll", w_poll, NULL },
    { "ppoll", w_ppoll, NULL },
    { "select", w_select, NULL },
    { "pselect", w_pselect, NULL },
    { "nanosleep", w_nanosleep, NULL },
    { "clock_nanosleep", w_clock_nanosleep, NULL },
    { "sigtimedwait", w_sigtimedwait, NULL },
    { "sem_timedwait", w_sem_timedwait, NULL },
    { "pthread_cond_timedwait", w_cond_timedwait, NULL },
    { "read", w_read, say_byte },
    { "recv", w_recv, say_byte },
    { "accept", w_accept, say_connect },
    { "sem_wait", w_sem_wait, say_post },
    { "pthread_cond_wait", w_cond_wait, say_condition },
};

static void *wait_again_and_again(void *argument)
{
    while (!over) {
        errno = 0;
        int r = chosen->wait(argument);
        waits++;
        interrupted += r != 0 && errno == EINTR;
        wrong += r != 0 && errno != EINTR;
    }
    return NULL;
}

static atomic_bool all_ended;

/* Goes on after the time is over, until every thread has seen that. */
static void *end_waits(void *argument)
{
    int left = (int)(intptr_t)argument * 1000 / WAIT_MS;
    while (!all_ended) {
        usleep(WAIT_MS * 1000);
        over = over || left-- <= 0;
        for (int i = 0; chosen->end != NULL && i < THREADS; i++)
            chosen->end(&places[i]);
    }
    return NULL;
}

static void set_up(struct place *here, int number)
{
    struct epoll_event event = { .events = EPOLLIN };
    here->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    here->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    here->address.sun_family = AF_UNIX;
    snprintf(here->address.sun_path + 1, sizeof here->address.sun_path - 1, "crowd-%d-%d", (int)getpid(), number);
    sem_init(&here->semaphore, 0, 0);
    pthread_mutex_init(&here->mutex, NULL);
    pthread_cond_init(&here->condition, NULL);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, here->pair) < 0 ||
        epoll_ctl(here->epoll_fd, EPOLL_CTL_ADD, here->pair[0], &event) < 0 ||
        bind(here->listener, (struct sockaddr *)&here->address, sizeof here->address) < 0 ||
        listen(here->listener, 64) < 0)
        exit(3);
}

static int run(int seconds)
{
    pthread_t thread[THREADS];
    sigset_t all, before;
    for (int i = 0; i < THREADS; i++)
        set_up(&places[i], i);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread[0], NULL, end_waits, (void *)(intptr_t)seconds) != 0)
        return 3;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (int i = 1; i < THREADS; i++) {
        if (pthread_create(&thread[i], NULL, wait_again_and_again, &places[i]) != 0)
            return 3;
    }
    (void)wait_again_and_again(&places[0]);
    for (int i = 1; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    all_ended = true;
    pthread_join(thread[0], NULL);
    printf("%s %lu %lu %lu\n", chosen->name, waits, interrupted, wrong);
    return 0;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        chosen = &calls[i];
        if (argc == 2 && strcmp(argv[1], "list") == 0)
            puts(chosen->name);
        else if (argc == 3 && strcmp(argv[1], chosen->name) == 0)
            return run((int)strtol(argv[2], NULL, 10));
    }
    return argc == 2 ? 0 : 2;
}
