/*
 * Every call that the agent wraps, as a program would wait in it.
 *
 *   waits list                 their names
 *   waits once CALL MS         wait in CALL until MS are over, print what came out
 *   waits storm CALL ROUNDS STORM   the same ROUNDS times for 20 ms while STORM sends SIGURG, then with a SIGALRM of
 *                              the program's own after 4 to 8 ms of 60; STORM may be `none`
 *
 * once prints `result errno microseconds rest-microseconds`; storm prints `CALL early late latest wrong lost`: the
 * most that a wait was too short, and the median and most that it was too long, in microseconds; results, errno, times
 * that were said to be left and masks that were not as they should be, and signals that did not end the wait.
 *
 * It is over 500 lines, because there are so many calls: each is there once.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

enum { FOREVER = -1 };

static int epoll_fd;
static int pair[2];
static int listener;
static struct sockaddr_un listen_address = { .sun_family = AF_UNIX };
static int64_t rest_us; /* what the call said was left */
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition;
static bool finished;
static int release_ms;
static char byte;
static volatile sig_atomic_t alarms;

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static struct timespec of_ms(int ms)
{
    return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
}

static struct timespec after_ms(clockid_t clock, int ms)
{
    struct timespec end;
    clock_gettime(clock, &end);
    end.tv_nsec += (long)(ms % 1000) * 1000000;
    end.tv_sec += ms / 1000 + end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    return end;
}

/* Waits with a time of their own. */

static long w_epoll_wait(int ms)
{
    struct epoll_event event;
    return epoll_wait(epoll_fd, &event, 1, ms);
}

static long w_epoll_pwait(int ms)
{
    struct epoll_event event;
    return epoll_pwait(epoll_fd, &event, 1, ms, NULL);
}

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 35)
#define HAVE_EPOLL_PWAIT2
#endif
#endif

#ifdef HAVE_EPOLL_PWAIT2
static long w_epoll_pwait2(int ms)
{
    struct epoll_event event;
    struct timespec time = of_ms(ms);
    return epoll_pwait2(epoll_fd, &event, 1, &time, NULL);
}
#endif

#ifdef __GLIBC__
long poll_chk(struct pollfd *fds, nfds_t count, int ms, size_t size) __asm__("__poll_chk");
long ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *time, const sigset_t *mask,
               size_t size) __asm__("__ppoll_chk");

static long w_poll_chk(int ms)
{
    struct pollfd one = { .fd = pair[0], .events = POLLIN };
    return (int)poll_chk(&one, 1, ms, sizeof one);
}

static long w_ppoll_chk(int ms)
{
    struct pollfd one = { .fd = pair[0], .events = POLLIN };
    struct timespec time = of_ms(ms);
    return (int)ppoll_chk(&one, 1, &time, NULL, sizeof one);
}

static long w_sem_clockwait(int ms)
{
    struct timespec end = after_ms(CLOCK_MONOTONIC, ms);
    return sem_clockwait(&semaphore, CLOCK_MONOTONIC, &end);
}

static long w_cond_clockwait(int ms)
{
    struct timespec end = after_ms(CLOCK_MONOTONIC, ms);
    pthread_mutex_lock(&mutex);
    int r = pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &end);
    pthread_mutex_unlock(&mutex);
    return r;
}
#endif

static long w_poll(int ms)
{
    struct pollfd one = { .fd = pair[0], .events = POLLIN };
    return poll(&one, 1, ms);
}

static long w_ppoll(int ms)
{
    struct pollfd one = { .fd = pair[0], .events = POLLIN };
    struct timespec time = of_ms(ms);
    return ppoll(&one, 1, &time, NULL);
}

static long w_select(int ms)
{
    fd_set set;
    struct timeval time = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    FD_ZERO(&set);
    FD_SET(pair[0], &set);
    long r = select(pair[0] + 1, &set, NULL, NULL, &time);
    rest_us = time.tv_sec * INT64_C(1000000) + time.tv_usec;
    return r;
}

static long w_pselect(int ms)
{
    fd_set set;
    struct timespec time = of_ms(ms);
    FD_ZERO(&set);
    FD_SET(pair[0], &set);
    return pselect(pair[0] + 1, &set, NULL, NULL, &time, NULL);
}

static long slept(long r, const struct timespec *rest)
{
    rest_us = rest->tv_sec * INT64_C(1000000) + rest->tv_nsec / 1000;
    return r;
}

static long w_nanosleep(int ms)
{
    struct timespec time = of_ms(ms), rest = { 0 };
    long r = nanosleep(&time, &rest);
    return slept(r, &rest);
}

static long w_clock_nanosleep(int ms)
{
    struct timespec time = of_ms(ms), rest = { 0 };
    int r = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &rest);
    errno = r;
    return slept(r == 0 ? 0 : -1, &rest);
}

static long sleep_until(clockid_t clock, int ms)
{
    struct timespec end = after_ms(clock, ms);
    int r = clock_nanosleep(clock, TIMER_ABSTIME, &end, NULL);
    errno = r;
    return r == 0 ? 0 : -1;
}

static long w_clock_nanosleep_until(int ms)
{
    return sleep_until(CLOCK_MONOTONIC, ms);
}

static long w_clock_nanosleep_realtime(int ms)
{
    return sleep_until(CLOCK_REALTIME, ms);
}

static long w_usleep(int ms)
{
    return usleep((useconds_t)ms * 1000);
}

static long w_thrd_sleep(int ms)
{
    struct timespec time = of_ms(ms), rest = { 0 };
    int r = thrd_sleep(&time, &rest);
    errno = r == -1 ? EINTR : 0;
    return slept(r, &rest);
}

static long w_sigtimedwait(int ms)
{
    struct timespec time = of_ms(ms);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, NULL, &time);
}

static long w_sem_timedwait(int ms)
{
    struct timespec end = after_ms(CLOCK_REALTIME, ms);
    return sem_timedwait(&semaphore, &end);
}

static long w_cond_timedwait(int ms)
{
    struct timespec end = after_ms(CLOCK_REALTIME, ms);
    pthread_mutex_lock(&mutex);
    int r = pthread_cond_timedwait(&condition, &mutex, &end);
    pthread_mutex_unlock(&mutex);
    return r;
}

/*
 * Waits that somebody else has to end: after release_ms, a child that was forked before, so that its own time does
 * not matter. It says so by a byte, by connecting, by ending, or by a signal.
 */

static pid_t releaser;

static void release_by(void (*act)(void))
{
    fflush(stdout);
    releaser = fork();
    if (releaser != 0)
        return;
    struct timespec time = of_ms(release_ms);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGURG, SIG_IGN);
    (void)syscall(SYS_nanosleep, &time, NULL);
    act();
    _exit(0);
}

static void reap(void)
{
    int error = errno;
    if (releaser > 0) {
        (void)kill(releaser, SIGKILL);
        while (waitpid(releaser, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    releaser = 0;
    errno = error;
}

static void say_byte(void)
{
    (void)!write(pair[1], "x", 1);
}

static void do_connect(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)connect(fd, (struct sockaddr *)&listen_address, sizeof listen_address);
    pause();
}

static void end(void)
{
}

static void signal_parent(void)
{
    (void)kill(getppid(), SIGUSR1);
}

static long released(long r)
{
    reap();
    int error = errno;
    if (r < 0) /* what was sent meanwhile must not be found by the next */
        while (recv(pair[0], &byte, 1, MSG_DONTWAIT) == 1)
            continue;
    errno = error;
    return r > 0 ? 0 : r;
}

#define READING(name, call)                                                                                            \
    static long name(int ms)                                                                                           \
    {                                                                                                                  \
        release_ms = ms;                                                                                               \
        release_by(say_byte);                                                                                          \
        long r = call;                                                                                                 \
        return released(r);                                                                                            \
    }

READING(w_read, read(pair[0], &byte, 1))
READING(w_recv, recv(pair[0], &byte, 1, 0))
READING(w_recvfrom, recvfrom(pair[0], &byte, 1, 0, NULL, NULL))
READING(w_recvmsg, recvmsg(pair[0], &(struct msghdr){ .msg_iov = &(struct iovec){ &byte, 1 }, .msg_iovlen = 1 }, 0))
#ifdef __GLIBC__
ssize_t read_chk(int fd, void *data, size_t size, size_t space) __asm__("__read_chk");
ssize_t recv_chk(int fd, void *data, size_t size, size_t space, int flags) __asm__("__recv_chk");
READING(w_read_chk, read_chk(pair[0], &byte, 1, 1))
READING(w_recv_chk, recv_chk(pair[0], &byte, 1, 1, 0))
#endif

static long accepted(long fd)
{
    int error = errno;
    if (fd >= 0)
        close((int)fd);
    errno = error;
    return released(fd >= 0 ? 0 : -1);
}

static long w_accept(int ms)
{
    release_ms = ms;
    release_by(do_connect);
    return accepted(accept(listener, NULL, NULL));
}

static long w_accept4(int ms)
{
    release_ms = ms;
    release_by(do_connect);
    return accepted(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
}

#define CHILD(name, call)                                                                                              \
    static long name(int ms)                                                                                           \
    {                                                                                                                  \
        release_ms = ms;                                                                                               \
        release_by(end);                                                                                               \
        long r = call;                                                                                                 \
        if (r >= 0)                                                                                                    \
            releaser = 0;                                                                                              \
        reap();                                                                                                        \
        return r < 0 ? -1 : 0;                                                                                         \
    }

CHILD(w_wait, wait(NULL))
CHILD(w_waitpid, waitpid(releaser, NULL, 0))
CHILD(w_wait3, wait3(NULL, 0, NULL))
CHILD(w_wait4, wait4(releaser, NULL, 0, NULL))
CHILD(w_waitid, waitid(P_PID, (id_t)releaser, &(siginfo_t){ 0 }, WEXITED))

static void noted(int number)
{
    (void)number;
}

#define SIGNALLED(name, prepare, call)                                                                                 \
    static long name(int ms)                                                                                           \
    {                                                                                                                  \
        sigset_t set, before;                                                                                          \
        prepare;                                                                                                       \
        sigemptyset(&set);                                                                                             \
        sigaddset(&set, SIGUSR1);                                                                                      \
        release_ms = ms;                                                                                               \
        release_by(signal_parent);                                                                                     \
        long r = call;                                                                                                 \
        int error = errno;                                                                                             \
        reap();                                                                                                        \
        sigprocmask(SIG_BLOCK, &set, &before);                                                                         \
        (void)syscall(SYS_rt_sigtimedwait, &set, NULL, &(struct timespec){ 0 }, (size_t)8);                            \
        sigprocmask(SIG_SETMASK, &before, NULL);                                                                       \
        errno = error;                                                                                                 \
        return r;                                                                                                      \
    }

static void mask_usr1(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(how, &set, NULL);
}

static void block_usr1(void)
{
    mask_usr1(SIG_BLOCK);
}

static void handle_usr1(void)
{
    struct sigaction action = { .sa_handler = noted };
    sigaction(SIGUSR1, &action, NULL);
    mask_usr1(SIG_UNBLOCK);
}

SIGNALLED(w_sigwaitinfo, block_usr1(), sigwaitinfo(&set, NULL) == SIGUSR1 ? 0 : -1)
SIGNALLED(w_sigwait, int number; block_usr1(), sigwait(&set, &number))
SIGNALLED(w_pause, handle_usr1(), pause() == -1 && errno == EINTR ? 0 : -2)
SIGNALLED(w_sigsuspend, handle_usr1(); sigemptyset(&before), sigsuspend(&before) == -1 && errno == EINTR ? 0 : -2)

static void *finish(void *argument)
{
    struct timespec time = of_ms(*(int *)argument);
    (void)syscall(SYS_nanosleep, &time, NULL);
    pthread_mutex_lock(&mutex);
    finished = true;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    sem_post(&semaphore);
    return NULL;
}

/* The other thread takes no signal: it is the waiting one that is asked. */
static pthread_t start_thread(int *ms)
{
    sigset_t all, before;
    pthread_t thread;
    finished = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&thread, NULL, finish, ms);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
}

static void drain(void)
{
    while (sem_trywait(&semaphore) == 0)
        continue;
}

static long w_cond_wait(int ms)
{
    pthread_t thread = start_thread(&ms);
    int r = 0;
    pthread_mutex_lock(&mutex);
    while (!finished && r == 0)
        r = pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
    drain();
    return r;
}

static long w_join(int ms)
{
    pthread_t thread = start_thread(&ms);
    int r = pthread_join(thread, NULL);
    drain();
    return r;
}

static long w_sem_wait(int ms)
{
    pthread_t thread = start_thread(&ms);
    int r = sem_wait(&semaphore);
    int error = errno;
    pthread_join(thread, NULL);
    drain();
    errno = error;
    return r;
}

static long w_recv_timed(int ms)
{
    struct timeval time = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    long r = recv(pair[0], &byte, 1, 0);
    int error = errno;
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 0 }, sizeof time);
    errno = error;
    return r;
}

/* end: what comes out when the time is over. eintr: a signal of the program's ends the wait. */
static const struct call {
    const char *name;
    long (*wait)(int ms);
    int end_errno; /* 0: the result is 0 */
    bool eintr;
} calls[] = {
    { "epoll_wait", w_epoll_wait, 0, true },
    { "epoll_pwait", w_epoll_pwait, 0, true },
    { "poll", w_poll, 0, true },
    { "ppoll", w_ppoll, 0, true },
    { "select", w_select, 0, true },
    { "pselect", w_pselect, 0, true },
    { "nanosleep", w_nanosleep, 0, true },
    { "clock_nanosleep", w_clock_nanosleep, 0, true },
    { "clock_nanosleep:until", w_clock_nanosleep_until, 0, true },
    { "clock_nanosleep:realtime", w_clock_nanosleep_realtime, 0, true },
    { "usleep", w_usleep, 0, true },
    { "thrd_sleep", w_thrd_sleep, 0, true },
    { "sigtimedwait", w_sigtimedwait, EAGAIN, true },
    { "sem_timedwait", w_sem_timedwait, ETIMEDOUT, true },
    { "pthread_cond_timedwait", w_cond_timedwait, -ETIMEDOUT, false },
    { "read", w_read, 0, true },
    { "recv", w_recv, 0, true },
    { "recvfrom", w_recvfrom, 0, true },
    { "recvmsg", w_recvmsg, 0, true },
    { "accept", w_accept, 0, true },
    { "accept4", w_accept4, 0, true },
    { "wait", w_wait, 0, true },
    { "waitpid", w_waitpid, 0, true },
    { "wait3", w_wait3, 0, true },
    { "wait4", w_wait4, 0, true },
    { "waitid", w_waitid, 0, true },
    { "sigwaitinfo", w_sigwaitinfo, 0, true },
    { "sigwait", w_sigwait, 0, false },
    { "pause", w_pause, 0, false },
    { "sigsuspend", w_sigsuspend, 0, false },
    { "pthread_cond_wait", w_cond_wait, 0, false },
    { "pthread_join", w_join, 0, false },
    { "sem_wait", w_sem_wait, 0, true },
    { "recv:timed", w_recv_timed, EAGAIN, true },
#ifdef HAVE_EPOLL_PWAIT2
    { "epoll_pwait2", w_epoll_pwait2, 0, true },
#endif
#ifdef __GLIBC__
    { "poll:chk", w_poll_chk, 0, true },
    { "ppoll:chk", w_ppoll_chk, 0, true },
    { "read:chk", w_read_chk, 0, true },
    { "recv:chk", w_recv_chk, 0, true },
    { "sem_clockwait", w_sem_clockwait, ETIMEDOUT, true },
    { "pthread_cond_clockwait", w_cond_clockwait, -ETIMEDOUT, false },
#endif
};

/* The mask of the program, in its handlers and after a wait: none of these tests blocks SIGTERM or SIGURG. */
static bool is_blocked(int number)
{
    sigset_t now;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &now);
    return sigismember(&now, number) != 0;
}

static volatile sig_atomic_t wrong_masks;

/* How often others were given the processor instead of this thread. */
static long count_switches(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static volatile long switches_at_alarm;

static void on_alarm(int number)
{
    (void)number;
    switches_at_alarm = count_switches();
    wrong_masks += is_blocked(SIGTERM);
    alarms++;
}

static void set_up(void)
{
    struct sigaction action = { .sa_handler = on_alarm };
    setvbuf(stdout, NULL, _IOLBF, 0);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        exit(3);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(listen_address.sun_path + 1, sizeof listen_address.sun_path - 1, "waits-%d", (int)getpid());
    if (bind(listener, (struct sockaddr *)&listen_address, sizeof listen_address) < 0 || listen(listener, 64) < 0)
        exit(3);
    sem_init(&semaphore, 0, 0);
    pthread_cond_init(&condition, NULL);
    sigaction(SIGALRM, &action, NULL);
}

static bool is_right(const struct call *call, long r, int error)
{
    if (call->end_errno < 0)
        return r == -call->end_errno;
    return call->end_errno == 0 ? r == 0 : r == -1 && error == call->end_errno;
}

static int once(const struct call *call, int ms)
{
    (void)!write(STDOUT_FILENO, "ready\n", 6);
    int64_t begin = now_us();
    errno = 0;
    long r = call->wait(ms);
    int error = errno;
    printf("%ld %d %lld %lld\n", r, r < 0 ? error : 0, (long long)(now_us() - begin), (long long)rest_us);
    return is_right(call, r, error) ? 0 : 1;
}

static pid_t start_storm(const char *program)
{
    char text[16];
    char *const environment[] = { NULL };
    snprintf(text, sizeof text, "%d", (int)getpid());
    if (strcmp(program, "none") == 0)
        return 0;
    pid_t pid = fork();
    if (pid == 0) {
        execle(program, program, text, (char *)NULL, environment);
        _exit(127);
    }
    return pid;
}

static void arm(int ms)
{
    setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = { .tv_usec = ms * 1000 } }, NULL);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void storm(const struct call *call, int rounds)
{
    enum { PLAIN_MS = 20, ALARMED_MS = 60, ROUNDS_MAX = 1000 };
    if (rounds < 1 || rounds > ROUNDS_MAX)
        exit(2);
    int64_t early = 0;
    int64_t late[ROUNDS_MAX] = { 0 };
    int wrong = 0, lost = 0;
    for (int i = 0; i < rounds; i++) {
        int64_t begin = now_us();
        errno = 0;
        long r = call->wait(PLAIN_MS);
        int error = errno;
        int64_t over = now_us() - begin - PLAIN_MS * 1000;
        wrong += !is_right(call, r, error) || (call->eintr && call->end_errno == 0 && error != 0);
        wrong += is_blocked(SIGTERM) || is_blocked(SIGURG);
        early = -over > early ? -over : early;
        late[i] = over;
    }
    int doubtful = 0;
    for (int i = 0; call->eintr && i < rounds * 4; i++) {
        long switches = count_switches();
        int before = alarms;
        int64_t begin = now_us();
        errno = 0;
        rest_us = -1;
        arm(4 + i % 5);
        long r = call->wait(ALARMED_MS);
        int error = errno;
        arm(0);
        int64_t whole_us = now_us() - begin + rest_us; /* when it says what was left: of the time that was given */
        wrong += rest_us >= 0 && r < 0 && (whole_us < ALARMED_MS * 1000 - 1000 || rest_us > ALARMED_MS * 1000);
        wrong += is_blocked(SIGTERM) || is_blocked(SIGURG);
        bool ended = alarms == before + 1 && r < 0 && error == EINTR;
        /* On a slow machine the alarm may come before the wait, or the end of the wait before the alarm. */
        if (!ended && alarms != before && switches != switches_at_alarm && doubtful++ < rounds * 4) {
            i--;
            continue;
        }
        lost += !ended && alarms != before;
    }
    wrong += wrong_masks;
    wrong_masks = 0;
    qsort(late, (size_t)rounds, sizeof late[0], by_size);
    printf("%s %lld %lld %lld %d %d\n", call->name, (long long)early, (long long)late[rounds / 2],
           (long long)late[rounds - 1], wrong, lost);
}

int main(int argc, char **argv)
{
    set_up();
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (argc == 2 && strcmp(argv[1], "list") == 0)
            puts(calls[i].name);
        else if (argc == 4 && strcmp(argv[1], "once") == 0 && strcmp(argv[2], calls[i].name) == 0)
            return once(&calls[i], (int)strtol(argv[3], NULL, 10));
        else if (argc == 5 && strcmp(argv[1], "storm") == 0 &&
                 (strcmp(argv[2], "all") == 0 || strcmp(argv[2], calls[i].name) == 0)) {
            pid_t pid = start_storm(argv[4]);
            storm(&calls[i], (int)strtol(argv[3], NULL, 10));
            if (pid > 0) {
                kill(pid, SIGKILL);
                while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                    continue;
            }
        }
    }
    return argc < 2 ? 2 : 0;
}
