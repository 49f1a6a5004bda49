/*
 * What workers do that a preloaded library has to survive. Exit status 0: it did.
 *
 *   hazards malloc SECONDS   eight threads allocate, check, free and wait
 *   hazards spawn ROUNDS     chains of fork, vfork and posix_spawn with exec; prints how many ended by a signal
 *   hazards chain LINKS      one such chain, whose last link ends at once; with HAZARDS_LAST_MS each link prints its pid,
 *                            and the last one waits so long in poll. HAZARDS_OTHER: a second build of this program,
 *                            which the links take turns with
 *   hazards cancel ROUNDS    cancels threads in their waits; their cleanups find the mask of the program
 *   hazards jump ROUNDS      leaves waits by siglongjmp and longjmp out of a handler
 *   hazards stack MS         waits in read with an alternate stack of the smallest size in use
 *   hazards closed MS        waits in poll with no descriptor open
 *   hazards seccomp MS       waits in poll where socket(2) and openat(2) are refused
 *   hazards refused MS       waits in several calls where the kernel refuses those whose numbers HAZARDS_REFUSED lists,
 *                            with the errno that comes first: `1 271,270`
 *   hazards own MS           waits in poll with a SIGURG handler of its own: prints how often it ran
 *   hazards forked MS        a forked child waits in poll
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8 };

static const char *self;
static int pipes[2];
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static atomic_bool stop;

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    _exit(1);
}

static void wait_a_little(unsigned seed)
{
    struct timespec end;
    switch (seed % 4) {
    case 0:
        usleep(200);
        break;
    case 1:
        (void)poll(NULL, 0, 1);
        break;
    case 2:
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_nsec = (end.tv_nsec + 300000) % 1000000000;
        (void)sem_timedwait(&semaphore, &end);
        break;
    default:
        clock_gettime(CLOCK_REALTIME, &end);
        pthread_mutex_lock(&mutex);
        (void)pthread_cond_timedwait(&condition, &mutex, &end);
        pthread_mutex_unlock(&mutex);
    }
}

static void *allocate(void *argument)
{
    enum { BLOCKS = 200 };
    unsigned char *block[BLOCKS] = { 0 };
    size_t size[BLOCKS] = { 0 };
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (unsigned round = 0; !stop; round++) {
        unsigned i = (seed = seed * 1103515245 + 12345) / 65536 % BLOCKS;
        for (size_t at = 0; at < size[i]; at += 512)
            check(block[i][at] == (unsigned char)i, "a block was changed");
        free(block[i]);
        size[i] = 1 + (seed / 7) % (i % 16 == 0 ? 300000 : 3000);
        block[i] = malloc(size[i]);
        check(block[i] != NULL, "malloc");
        memset(block[i], (int)i, size[i]);
        if (round % 50 == 0)
            wait_a_little(seed / 65536);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(block[i]);
    return NULL;
}

static time_t since_ms(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000;
}

static int do_malloc(int seconds)
{
    pthread_t thread[THREADS];
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uintptr_t i = 0; i < THREADS; i++)
        check(pthread_create(&thread[i], NULL, allocate, (void *)(i + 1)) == 0, "pthread_create");
    while (since_ms(&begin) < seconds * 1000)
        usleep(1000);
    stop = true;
    for (int i = 0; i < THREADS; i++)
        check(pthread_join(thread[i], NULL) == 0, "pthread_join");
    return 0;
}

static int wait_in_poll(int ms)
{
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int r = poll(NULL, 0, ms);
    return r == 0 && since_ms(&begin) >= ms - 1 ? 0 : 1;
}

/* A chain: each link starts the next one in another way and ends as that ended. */
static int do_chain(int depth)
{
    char text[16];
    const char *other = getenv("HAZARDS_OTHER");
    const char *last_ms = getenv("HAZARDS_LAST_MS");
    const char *next = other != NULL ? other : self;
    char *argv[] = { (char *)next, "chain", text, NULL };
    extern char **environ;
    int status = 0;
    pid_t pid = -1;
    if (last_ms != NULL)
        (void)!write(1, text, (size_t)snprintf(text, sizeof text, "%d\n", (int)getpid()));
    snprintf(text, sizeof text, "%d", depth - 1);
    if (depth <= 0)
        return last_ms != NULL ? wait_in_poll((int)strtol(last_ms, NULL, 10)) : 0;
    if (other != NULL)
        (void)setenv("HAZARDS_OTHER", self, 1);
    if (depth % 3 == 0) {
        check(posix_spawn(&pid, next, NULL, NULL, argv, environ) == 0, "posix_spawn");
    } else {
        pid = depth % 3 == 1 ? fork() : vfork();
        if (pid == 0) {
            execv(next, argv);
            _exit(127);
        }
    }
    check(pid > 0 && waitpid(pid, &status, 0) == pid, "waitpid");
    if (WIFSIGNALED(status))
        (void)kill(getpid(), WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int do_spawn(int rounds)
{
    int killed = 0, failed = 0, status = 0;
    for (int i = 0; i < rounds; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(do_chain(6));
        check(pid > 0 && waitpid(pid, &status, 0) == pid, "waitpid");
        killed += WIFSIGNALED(status);
        failed += WIFEXITED(status) && WEXITSTATUS(status) != 0;
    }
    printf("%d %d\n", killed, failed);
    return killed + failed == 0 ? 0 : 1;
}

static void mask_is_empty(void *what)
{
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    for (int number = 1; number < 32; number++)
        check(sigismember(&now, number) == 0, what);
}

static void unlock(void *argument)
{
    pthread_mutex_unlock(argument);
}

static void *wait_for_ever(void *argument)
{
    static const struct timespec never = { .tv_sec = 4000000000 };
    int which = (int)(uintptr_t)argument;
    struct pollfd one = { .fd = pipes[0], .events = POLLIN };
    struct epoll_event event;
    char byte;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_cleanup_push(mask_is_empty, "a signal is blocked in a cleanup");
    switch (which) {
    case 0:
        (void)!read(pipes[0], &byte, 1);
        break;
    case 1:
        (void)poll(&one, 1, -1);
        break;
    case 2:
        /* EINTR: a signal for the process woke this thread, and the main one took it (src/agent/wait.h). */
        for (int fd = epoll_create1(EPOLL_CLOEXEC); epoll_wait(fd, &event, 1, -1) < 0 && errno == EINTR;)
            continue;
        break;
    case 3:
        (void)nanosleep(&(struct timespec){ .tv_sec = 1000 }, NULL);
        break;
    case 4:
        (void)sem_wait(&semaphore);
        break;
    case 5:
        (void)sigtimedwait(&set, NULL, NULL);
        break;
    case 6:
        (void)select(0, NULL, NULL, NULL, NULL);
        break;
    case 7:
        pthread_mutex_lock(&mutex);
        pthread_cleanup_push(unlock, &mutex);
        for (;;)
            pthread_cond_wait(&condition, &mutex);
        pthread_cleanup_pop(1);
        break;
    case 8:
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &never, NULL);
        break;
    case 9:
        (void)sem_timedwait(&semaphore, &never);
        break;
    case 10:
        (void)ppoll(&one, 1, NULL, NULL);
        break;
    case 11:
        (void)waitpid(-1, NULL, __WALL);
        break;
    default:
        pause();
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static int do_cancel(int rounds)
{
    pid_t child = fork(); /* to be waited for */
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    for (int i = 0; i < rounds; i++) {
        pthread_t thread;
        void *result;
        check(pthread_create(&thread, NULL, wait_for_ever, (void *)(uintptr_t)(i % 13)) == 0, "pthread_create");
        usleep((useconds_t)(i * 37 % 900));
        check(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0, "pthread_join");
        check(result == PTHREAD_CANCELED, "not cancelled");
        mask_is_empty("a signal is blocked after a join");
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    return 0;
}

static sigjmp_buf back;
static bool with_mask;

static void jump(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    if (with_mask)
        siglongjmp(back, 1);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    longjmp(back, 1);
}

static int do_jump(int rounds)
{
    char byte;
    struct sigaction action = { .sa_handler = jump, .sa_flags = SA_RESTART };
    sigaction(SIGALRM, &action, NULL);
    for (volatile int i = 0; i < rounds; i++) {
        with_mask = i % 2 == 0;
        if (sigsetjmp(back, with_mask) != 0) {
            mask_is_empty("a signal is blocked after a jump");
            free(malloc(100000));
            continue;
        }
        setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = { .tv_usec = 1000 + i % 7 * 100 } }, NULL);
        if (i % 3 == 0)
            (void)!read(pipes[0], &byte, 1);
        else if (i % 3 == 1)
            (void)poll(NULL, 0, -1);
        else
            (void)sem_wait(&semaphore);
        check(false, "the wait ended");
    }
    return 0;
}

static void *release(void *argument)
{
    usleep((useconds_t)(uintptr_t)argument * 1000);
    return write(pipes[1], "x", 1) == 1 ? NULL : argument;
}

static int do_stack(int ms)
{
    static char space[8192];
    pthread_t thread;
    sigset_t all, before;
    char byte;
    check(sigaltstack(&(stack_t){ .ss_sp = space, .ss_size = sizeof space }, NULL) == 0, "sigaltstack");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    check(pthread_create(&thread, NULL, release, (void *)(uintptr_t)ms) == 0, "pthread_create");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return read(pipes[0], &byte, 1) == 1 ? 0 : 1;
}

static void filter(const struct sock_filter *rules, size_t count)
{
    struct sock_fprog program = { .len = (unsigned short)count, .filter = (struct sock_filter *)rules };
    check(prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) == 0 && prctl(PR_SET_SECCOMP, 2, &program) == 0, "seccomp");
}

/* From here on the system call fails with that. */
static void refuse(unsigned number, unsigned error)
{
    const struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    filter(rules, sizeof rules / sizeof rules[0]);
}

static int do_seccomp(int ms)
{
    refuse(SYS_socket, EACCES);
    refuse(SYS_openat, EACCES);
    check(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY) < 0 && errno == EACCES, "the filter");
    return wait_in_poll(ms);
}

static bool waits_for(int ms, int which)
{
    struct timespec begin, time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
    struct timeval as_timeval = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    struct epoll_event event;
    int r = -1;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (which == 0)
        r = poll(NULL, 0, ms);
    else if (which == 1)
        r = select(0, NULL, NULL, NULL, &as_timeval);
    else if (which == 2)
        r = epoll_wait(epoll_create1(EPOLL_CLOEXEC), &event, 1, ms);
    else if (which == 3)
        r = nanosleep(&time, NULL);
    else
        r = usleep((useconds_t)ms * 1000);
    return r == 0 && since_ms(&begin) >= ms - 1;
}

static int do_refused(int ms)
{
    const char *text = getenv("HAZARDS_REFUSED");
    check(text != NULL, "HAZARDS_REFUSED");
    char *at;
    unsigned error = (unsigned)strtoul(text, &at, 10);
    while (*at != '\0')
        refuse((unsigned)strtoul(at + 1, &at, 10), error);
    for (int i = 0; i < 5; i++) {
        if (!waits_for(ms, i))
            printf("%d %d\n", i, errno);
    }
    return 0;
}

static volatile sig_atomic_t own;

static void on_urgent(int number)
{
    (void)number;
    own++;
}

static int do_own(int ms)
{
    struct sigaction action = { .sa_handler = on_urgent };
    sigaction(SIGURG, &action, NULL);
    (void)!write(1, "ready\n", 6);
    int r = poll(NULL, 0, ms);
    printf("%d %d\n", (int)own, r);
    return own > 0 && r == -1 ? 0 : 1;
}

static int do_forked(int ms)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        printf("%d\n", (int)getpid());
        fflush(stdout);
        _exit(wait_in_poll(ms));
    }
    while (waitpid(pid, &status, 0) < 0)
        check(errno == EINTR, "waitpid");
    return status == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argument);
    } hazards[] = {
        { "malloc", do_malloc }, { "spawn", do_spawn },      { "chain", do_chain },     { "cancel", do_cancel },
        { "jump", do_jump },     { "stack", do_stack },      { "own", do_own },         { "seccomp", do_seccomp },
        { "forked", do_forked }, { "closed", wait_in_poll }, { "refused", do_refused },
    };
    self = argv[0];
    if (argc != 3 || pipe(pipes) < 0)
        return 2;
    sem_init(&semaphore, 0, 0);
    for (int fd = 0; strcmp(argv[1], "closed") == 0 && fd < 1024; fd++)
        (void)close(fd);
    for (size_t i = 0; i < sizeof hazards / sizeof hazards[0]; i++) {
        if (strcmp(argv[1], hazards[i].name) == 0)
            return hazards[i].run((int)strtol(argv[2], NULL, 10));
    }
    return 2;
}
