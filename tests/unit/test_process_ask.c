/* Which thread of a process is asked to trim by its agent. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "os/process.h"

static void end(pid_t pid)
{
    assert_return_code(kill(pid, SIGKILL), errno);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int tell;

static void on_ask(int number)
{
    (void)number;
    long thread = syscall(SYS_gettid);
    if (write(tell, &thread, sizeof thread) != sizeof thread)
        _exit(1);
}

static void *other_thread(void *argument)
{
    (void)argument;
    sigset_t urgent;
    (void)sigemptyset(&urgent);
    (void)sigaddset(&urgent, SIGURG);
    (void)pthread_sigmask(SIG_UNBLOCK, &urgent, NULL);
    for (;;)
        (void)pause();
    return NULL;
}

/* A process of two threads with a handler, whose main thread blocks SIGURG or not; *ret_fd tells who took it. */
static pid_t listener(bool blocks, bool handles, int *ret_fd)
{
    int fds[2];
    char byte;
    int ready[2];
    assert_return_code(pipe(fds), errno);
    assert_return_code(pipe(ready), errno);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t urgent;
        pthread_t thread;
        tell = fds[1];
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (handles)
            (void)signal(SIGURG, on_ask);
        (void)sigemptyset(&urgent);
        (void)sigaddset(&urgent, SIGURG);
        (void)pthread_sigmask(SIG_BLOCK, &urgent, NULL);
        (void)pthread_create(&thread, NULL, other_thread, NULL);
        if (!blocks)
            (void)pthread_sigmask(SIG_UNBLOCK, &urgent, NULL);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    (void)close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

static bool main_thread_blocks(pid_t pid)
{
    uint64_t mask = 0;
    assert_int_equal(process_mask(pid, PROCESS_BLOCKED, &mask), 0);
    return (mask >> (SIGURG - 1) & 1) != 0;
}

static void the_main_thread_is_asked_unless_it_blocks_that(void **state)
{
    (void)state;
    for (int blocks = 0; blocks <= 1; blocks++) {
        struct process process;
        int fd;
        pid_t pid = listener(blocks != 0, true, &fd);
        assert_int_equal(process_open(&process, pid, 0), 0);
        for (int i = 0; i < 50; i++) {
            long thread = 0;
            assert_int_equal(process_ask_agent(&process), 0);
            assert_int_equal(read(fd, &thread, sizeof thread), sizeof thread);
            assert_true((thread == pid) == (blocks == 0));
            while (blocks == 0 && main_thread_blocks(pid)) /* it does until its handler returns */
                (void)sched_yield();
        }
        struct process wrong = process;
        wrong.start_ticks++;
        assert_int_equal(process_ask_agent(&wrong), -ESRCH);
        end(pid);
        assert_int_equal(process_ask_agent(&process), -ESRCH);
        process_close(&process);
        (void)close(fd);
    }
}

static void who_has_no_agent_is_not_asked(void **state)
{
    (void)state;
    struct process process;
    int fd;
    pid_t pid = listener(false, false, &fd);
    assert_int_equal(process_open(&process, pid, 0), 0);
    assert_int_equal(process_ask_agent(&process), -ENOTSUP);
    process_close(&process);
    end(pid);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_main_thread_is_asked_unless_it_blocks_that),
        cmocka_unit_test(who_has_no_agent_is_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
