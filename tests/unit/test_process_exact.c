/* PSS, USS and CPU time: of ourselves, children, those that have ended, and those of others. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "in_child.h"
#include "os/process.h"

enum { SHARED_BYTES = 32 << 20 };

/* Start a child that says when it is ready and sleeps until it is killed. */
static pid_t sleeper(void (*first)(void))
{
    int ready[2];
    char byte;
    assert_return_code(pipe(ready), errno);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (first)
            first();
        (void)!write(ready[1], "", 1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return pid;
}

static void kill_to_zombie(pid_t pid)
{
    siginfo_t info;
    assert_return_code(kill(pid, SIGKILL), errno);
    assert_return_code(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), errno);
}

/* ---- PSS and USS ---- */

#define ROLLUP                                                                                                         \
    "5605cf973000-7ffc818cf000 ---p 00000000 00:00 0                          [rollup]\n"                              \
    "Rss:                1064 kB\n"                                                                                    \
    "Pss:                 233 kB\n"                                                                                    \
    "Pss_Dirty:           108 kB\n"                                                                                    \
    "Shared_Clean:        956 kB\n"                                                                                    \
    "Private_Clean:         4 kB\n"                                                                                    \
    "Private_Dirty:       108 kB\n"                                                                                    \
    "Shared_Hugetlb:        0 kB\n"                                                                                    \
    "Private_Hugetlb:    2048 kB\n"                                                                                    \
    "SwapPss:               0 kB\n"

static void rollup_is_parsed(void **state)
{
    (void)state;
    uint64_t pss_bytes = 1, uss_bytes = 1;
    size_t size = sizeof ROLLUP - 1;
    assert_int_equal(process_parse_exact(ROLLUP, size, &pss_bytes, &uss_bytes), 0);
    assert_int_equal(pss_bytes, 233 << 10);
    assert_int_equal(uss_bytes, (4 + 108 + 2048) << 10);

    /* Cut short it is refused, up to the last line that counts: never another number. */
    size_t enough = (size_t)(strstr(ROLLUP, "SwapPss") - ROLLUP);
    for (size_t cut = 0; cut <= size; cut++) {
        char *text = malloc(cut + 1); /* the sanitizer watches its end */
        assert_non_null(text);
        memcpy(text, ROLLUP, cut);
        pss_bytes = uss_bytes = 1;
        int r = process_parse_exact(text, cut, &pss_bytes, &uss_bytes);
        assert_int_equal(r, cut < enough ? -EINVAL : 0);
        assert_int_equal(pss_bytes, cut < enough ? 1 : 233 << 10);
        free(text);
    }
}

static void wild_numbers_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Pss: 9007199254740993 kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: 0 kB\nPrivate_Hugetlb: 0 kB\n",
        "Pss: 1 kB\nPrivate_Clean: 9007199254740991 kB\nPrivate_Dirty: 1 kB\nPrivate_Hugetlb: 0 kB\n",
        "Pss: 1 kB\nPrivate_Clean: 9007199254740991 kB\nPrivate_Dirty: 0 kB\nPrivate_Hugetlb: 1 kB\n",
        "Pss: -1 kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: 0 kB\nPrivate_Hugetlb: 0 kB\n",
        "Pss: 1 kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: 0 kB\n",
    };
    uint64_t pss_bytes = 1, uss_bytes = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(process_parse_exact(bad[i], strlen(bad[i]), &pss_bytes, &uss_bytes), -EINVAL);
    assert_int_equal(pss_bytes, 1);
    assert_int_equal(uss_bytes, 1);
}

/* Two processes over the same pages after a fork: half of the PSS each, and hardly any USS. */
static void shared_pages_are_told_from_own_ones(void **state)
{
    (void)state;
    uint64_t pss_bytes, uss_bytes, child_pss, child_uss, rss_bytes;
    char *memory = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    memset(memory, 1, SHARED_BYTES);
    assert_int_equal(process_exact(getpid(), &pss_bytes, &uss_bytes), 0);
    assert_true(uss_bytes >= SHARED_BYTES && pss_bytes >= uss_bytes);

    pid_t pid = sleeper(NULL);
    struct process process;
    assert_int_equal(process_open(&process, pid, 0), 0);
    assert_int_equal(process_rss(&process, &rss_bytes), 0);
    process_close(&process);
    assert_int_equal(process_exact(pid, &child_pss, &child_uss), 0);
    assert_true(rss_bytes > SHARED_BYTES);
    assert_true(child_pss >= SHARED_BYTES / 2 && child_pss < rss_bytes);
    assert_true(child_uss < SHARED_BYTES / 4);
    uint64_t now_pss, now_uss;
    assert_int_equal(process_exact(getpid(), &now_pss, &now_uss), 0);
    assert_true(now_uss < uss_bytes - SHARED_BYTES / 2);

    kill_to_zombie(pid);
    child_pss = child_uss = 1;
    assert_int_equal(process_exact(pid, &child_pss, &child_uss), -ESRCH);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(process_exact(pid, &child_pss, &child_uss), -ESRCH);
    assert_int_equal(child_pss, 1);
    assert_int_equal(child_uss, 1);
    (void)munmap(memory, SHARED_BYTES);
}

static void no_process_has_no_memory(void **state)
{
    (void)state;
    uint64_t pss_bytes, uss_bytes;
    assert_int_equal(process_exact(0, &pss_bytes, &uss_bytes), -ESRCH);
    assert_int_equal(process_exact(-1, &pss_bytes, &uss_bytes), -ESRCH);
    assert_int_equal(process_exact(INT32_MAX, &pss_bytes, &uss_bytes), -ESRCH);
}

static int look_at_another_users(void)
{
    uint64_t pss_bytes, uss_bytes, cpu_ms;
    if (setgid(65534) < 0 || setuid(65534) < 0)
        return 1;
    if (process_exact(getppid(), &pss_bytes, &uss_bytes) != -EACCES)
        return 2;
    return process_cpu_ms(getppid(), &cpu_ms) == 0 ? 0 : 3;
}

static int look_without_the_file(void)
{
    uint64_t pss_bytes, uss_bytes;
    if (chroot("/dev") < 0) /* where no proc is */
        return 1;
    int r = process_exact(getpid(), &pss_bytes, &uss_bytes);
    return r == -ENOENT ? 0 : 2;
}

static void refusals_are_told_apart(void **state)
{
    (void)state;
    if (getuid() != 0) {
        print_message("SKIPPED: only root can become another user and change its root directory\n");
        skip();
    }
    assert_int_equal(in_child(look_at_another_users), 0);
    assert_int_equal(in_child(look_without_the_file), 0);
}

/* ---- CPU time ---- */

static uint64_t own_cpu_ms(void)
{
    struct timespec used;
    assert_return_code(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), errno);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

static void burn(void)
{
    for (uint64_t begin_ms = own_cpu_ms(); own_cpu_ms() < begin_ms + 40;)
        ;
}

static void *burn_in_thread(void *unused)
{
    burn();
    return unused;
}

/* In a thread that has ended when it is looked at. */
static void burn_aside(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, burn_in_thread, NULL) != 0 || pthread_join(thread, NULL) != 0)
        _exit(1);
}

static void cpu_time_is_that_of_all_threads(void **state)
{
    (void)state;
    uint64_t idle_ms, busy_ms, again_ms, last_ms = 0;
    pid_t idle = sleeper(NULL), busy = sleeper(burn_aside);
    assert_int_equal(process_cpu_ms(idle, &idle_ms), 0);
    assert_int_equal(process_cpu_ms(busy, &busy_ms), 0);
    assert_true(busy_ms >= 40 && busy_ms < 4000);
    assert_true(idle_ms < 40);
    burn(); /* ours is not theirs */
    assert_int_equal(process_cpu_ms(idle, &again_ms), 0);
    assert_true(again_ms - idle_ms < 10);

    kill_to_zombie(busy);
    assert_int_equal(process_cpu_ms(busy, &last_ms), 0);
    assert_true(last_ms >= busy_ms);
    assert_int_equal(waitpid(busy, NULL, 0), busy);
    assert_int_equal(process_cpu_ms(busy, &last_ms), -ESRCH);
    kill_to_zombie(idle);
    assert_int_equal(waitpid(idle, NULL, 0), idle);
    assert_int_equal(process_cpu_ms(0, &last_ms), -ESRCH);
    assert_int_equal(process_cpu_ms(-1, &last_ms), -ESRCH);
    assert_int_equal(process_cpu_ms(INT32_MAX, &last_ms), -ESRCH); /* whose clock's number would be our own's */
    assert_int_equal(process_cpu_ms(INT32_MAX >> 3, &last_ms), -ESRCH);
}

static pid_t *thread_id; /* shared with the child */

static void *sleep_in_thread(void *unused)
{
    *thread_id = gettid();
    for (;;)
        (void)pause();
    return unused;
}

static void have_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, sleep_in_thread, NULL) != 0)
        _exit(1);
    while (*(volatile pid_t *)thread_id == 0)
        (void)sched_yield();
}

/* A number that lives but has no such clock: that of another process's thread. */
static void what_has_no_clock_has_not_ended(void **state)
{
    (void)state;
    uint64_t ms;
    thread_id = mmap(NULL, sizeof *thread_id, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(thread_id, MAP_FAILED);
    pid_t pid = sleeper(have_thread);
    assert_int_equal(process_cpu_ms(*thread_id, &ms), -ENOTSUP);
    kill_to_zombie(pid);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)munmap(thread_id, sizeof *thread_id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollup_is_parsed),
        cmocka_unit_test(wild_numbers_are_refused),
        cmocka_unit_test(shared_pages_are_told_from_own_ones),
        cmocka_unit_test(no_process_has_no_memory),
        cmocka_unit_test(refusals_are_told_apart),
        cmocka_unit_test(cpu_time_is_that_of_all_threads),
        cmocka_unit_test(what_has_no_clock_has_not_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
