/* One process, seen and signalled: ourselves and forked children. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/process.h"

/* Wait for a condition, at most ten seconds. */
#define AWAIT(condition)                                                                                               \
    do {                                                                                                               \
        int rounds_ = 0;                                                                                               \
        while (!(condition)) {                                                                                         \
            assert_true(rounds_++ < 10000);                                                                            \
            (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);                                           \
        }                                                                                                              \
    } while (0)

static void on_signal(int number)
{
    (void)number;
}

/* A child that does nothing until it is killed; it dies with us. handled: a signal it has a handler for, or 0. */
static pid_t sleeper(int handled)
{
    int ready[2];
    char byte;
    assert_return_code(pipe(ready), errno);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (handled)
            (void)signal(handled, on_signal);
        (void)!write(ready[1], "", 1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return pid;
}

static void end(pid_t pid)
{
    assert_return_code(kill(pid, SIGKILL), errno);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static char state_of(pid_t pid)
{
    struct process_stat stat;
    assert_int_equal(process_stat(pid, &stat), 0);
    return stat.state;
}

static void own_process_is_seen(void **state)
{
    (void)state;
    struct process_stat stat;
    struct process process;
    uint64_t rss_bytes, mask;
    assert_int_equal(process_stat(getpid(), &stat), 0);
    assert_int_equal(stat.pid, getpid());
    assert_int_equal(stat.parent, getppid());
    assert_int_equal(stat.state, 'R');
    assert_true(process_age_ms(stat.start_ticks) < 600000);
    assert_int_equal(process_age_ms(UINT64_MAX), 0); /* a start in the future is no age */

    assert_int_equal(process_open(&process, getpid(), stat.start_ticks), 0);
    assert_int_equal(process_rss(&process, &rss_bytes), 0);
    assert_int_equal(rss_bytes % (uint64_t)getpagesize(), 0);

    size_t grown = 32 << 20;
    char *memory = mmap(NULL, grown, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    memset(memory, 1, grown);
    uint64_t more_bytes;
    assert_int_equal(process_rss(&process, &more_bytes), 0);
    assert_true(more_bytes > rss_bytes + grown - (4 << 20) && more_bytes < rss_bytes + grown + (4 << 20));
    (void)munmap(memory, grown);

    (void)signal(SIGUSR2, on_signal);
    assert_int_equal(process_mask(getpid(), PROCESS_CAUGHT, &mask), 0);
    assert_true(mask >> (SIGUSR2 - 1) & 1);
    (void)signal(SIGUSR2, SIG_DFL);
    assert_int_equal(process_mask(getpid(), PROCESS_CAUGHT, &mask), 0);
    assert_false(mask >> (SIGUSR2 - 1) & 1);
    process_close(&process);
    process_close(&process);
}

static void ended_processes_are_told_from_living_ones(void **state)
{
    (void)state;
    struct process process, again;
    uint64_t rss_bytes;
    pid_t pid = sleeper(0);
    assert_int_equal(process_open(&process, pid, 0), 0);
    assert_int_equal(process_rss(&process, &rss_bytes), 0);
    assert_true(rss_bytes > 0);

    assert_return_code(kill(pid, SIGKILL), errno);
    AWAIT(state_of(pid) == 'Z');
    assert_int_equal(process_rss(&process, &rss_bytes), -ESRCH);
    assert_int_equal(process_open(&again, pid, process.start_ticks), -ESRCH);
    assert_int_equal(process_command_line(pid, (char[8]){ 0 }, 8), 0);

    assert_int_equal(waitpid(pid, NULL, 0), pid);
    struct process_stat stat;
    struct process_executable executable;
    uint64_t mask;
    assert_int_equal(process_rss(&process, &rss_bytes), -ESRCH);
    assert_int_equal(process_signal(&process, 0, false), -ESRCH);
    assert_int_equal(process_signal(&process, SIGUSR1, true), -ESRCH);
    assert_int_equal(process_wake(&process), -ESRCH);
    assert_int_equal(process_stat(pid, &stat), -ESRCH);
    assert_int_equal(process_mask(pid, PROCESS_CAUGHT, &mask), -ESRCH);
    assert_int_equal(process_executable(pid, &executable), -ESRCH);
    assert_int_equal(process_command_line(pid, (char[8]){ 0 }, 8), -ESRCH);
    assert_int_equal(process_maps_contain(pid, "x"), -ESRCH);
    assert_int_equal(process_open(&again, pid, 0), -ESRCH);
    assert_int_equal(again.pid_fd, -1);
    assert_int_equal(again.statm_fd, -1);
    process_close(&process);
}

static void another_start_time_is_another_process(void **state)
{
    (void)state;
    struct process process;
    pid_t pid = sleeper(SIGUSR1);
    assert_int_equal(process_open(&process, pid, 0), 0);
    struct process wrong;
    assert_int_equal(process_open(&wrong, pid, process.start_ticks + 1), -ESRCH);
    assert_int_equal(wrong.pid_fd, -1);

    wrong = process;
    wrong.start_ticks++;
    assert_int_equal(process_signal(&wrong, SIGKILL, false), -ESRCH);
    assert_int_equal(process_signal(&wrong, SIGUSR1, true), -ESRCH);
    assert_int_equal(process_wake(&wrong), -ESRCH);
    assert_int_not_equal(state_of(pid), 'Z');

    /* A number in use again while the handle is of an older process: nothing is sent. */
    pid_t old = sleeper(0);
    struct process mixed;
    assert_int_equal(process_open(&mixed, old, 0), 0);
    end(old);
    int old_fd = mixed.pid_fd;
    mixed.pid_fd = process.pid_fd;
    process.pid_fd = old_fd;
    assert_int_equal(process_signal(&process, SIGKILL, false), -ESRCH);
    assert_int_equal(process_signal(&process, SIGUSR1, true), -ESRCH);
    assert_int_not_equal(state_of(pid), 'Z');
    process_close(&mixed);
    process_close(&process);
    end(pid);
}

static void impossible_pids_are_no_processes(void **state)
{
    (void)state;
    struct process process;
    assert_int_equal(process_open(&process, 0, 0), -ESRCH);
    assert_int_equal(process_open(&process, -1, 0), -ESRCH);
    assert_int_equal(process_open(&process, INT32_MAX, 0), -ESRCH);
}

/* How many descriptors are open. */
static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void opening_leaks_no_descriptors(void **state)
{
    (void)state;
    struct process process;
    int before = open_descriptors();
    pid_t pid = sleeper(0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(process_open(&process, pid, 1), -ESRCH);
        assert_int_equal(process_open(&process, pid, 0), 0);
        process_close(&process);
    }
    end(pid);
    assert_int_equal(open_descriptors(), before);
}

static void signals_go_only_to_who_handles_them(void **state)
{
    (void)state;
    struct process process;
    pid_t deaf = sleeper(0);
    assert_int_equal(process_open(&process, deaf, 0), 0);
    assert_int_equal(process_signal(&process, SIGUSR1, true), -ENOTSUP);
    assert_int_equal(process_signal(&process, SIGRTMIN + 5, true), -ENOTSUP);
    assert_int_equal(process_signal(&process, 0, true), -EINVAL);
    assert_int_equal(process_signal(&process, 65, true), -EINVAL);
    assert_int_equal(process_signal(&process, -1, false), -EINVAL);
    assert_int_equal(process_signal(&process, 0, false), 0);
    assert_int_equal(process_rss(&process, &(uint64_t){ 0 }), 0); /* it lives */
    process_close(&process);
    end(deaf);

    static const int numbers[] = { SIGUSR1, SIGHUP, SIGSYS, 64 };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        pid_t pid = sleeper(numbers[i]);
        assert_int_equal(process_open(&process, pid, 0), 0);
        assert_int_equal(process_signal(&process, numbers[i], true), 0);
        assert_int_equal(process_signal(&process, SIGUSR2, true), -ENOTSUP);
        AWAIT(state_of(pid) == 'S');
        /* Without the question it is delivered, and this one kills. */
        assert_int_equal(process_signal(&process, SIGUSR2, false), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2);
        process_close(&process);
    }
}

static void stopped_process_is_woken(void **state)
{
    (void)state;
    struct process process;
    pid_t pid = sleeper(0);
    assert_int_equal(process_open(&process, pid, 0), 0);
    assert_int_equal(process_wake(&process), 0);
    assert_return_code(kill(pid, SIGSTOP), errno);
    AWAIT(state_of(pid) == 'T');
    assert_int_equal(process_rss(&process, &(uint64_t){ 0 }), 0);
    assert_int_equal(process_wake(&process), 0);
    AWAIT(state_of(pid) == 'S');
    process_close(&process);
    end(pid);
}

/* Supplementary groups make /proc/PID/status longer than the buffer. */
static void mask_is_found_behind_many_groups(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("SKIPPED: setgroups needs root\n");
        skip();
    }
    int up[2], down[2];
    char byte;
    assert_return_code(pipe(up), errno);
    assert_return_code(pipe(down), errno);
    pid_t pid = fork();
    if (pid == 0) {
        static gid_t groups[20000];
        for (size_t i = 0; i < 20000; i++)
            groups[i] = (gid_t)(1000000000 + i);
        (void)signal(SIGUSR1, on_signal);
        for (size_t count = 300; count <= 20000; count = count < 700 ? count + 1 : 20000 + (count == 20000)) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (setgroups(count, groups) < 0 || write(up[1], "", 1) != 1 || read(down[0], &byte, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    (void)close(up[1]);
    (void)close(down[0]);
    int rounds = 0;
    while (read(up[0], &byte, 1) == 1) { /* ends of the chunks fall everywhere in the line */
        uint64_t mask = 0;
        assert_int_equal(process_mask(pid, PROCESS_CAUGHT, &mask), 0);
        assert_true(mask >> (SIGUSR1 - 1) & 1);
        assert_int_equal(write(down[1], "", 1), 1);
        rounds++;
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(rounds, 402);
    (void)close(up[0]);
    (void)close(down[1]);
}

static void executable_is_device_and_inode(void **state)
{
    (void)state;
    struct process_executable executable;
    struct stat file;
    assert_return_code(stat("/proc/self/exe", &file), errno);
    pid_t pid = sleeper(0);
    assert_int_equal(process_executable(pid, &executable), 0);
    assert_int_equal(executable.device, file.st_dev);
    assert_int_equal(executable.inode, file.st_ino);
    end(pid);
}

static void command_line_is_read_and_cut(void **state)
{
    (void)state;
    int ready[2];
    char byte, text[64], expected[] = "sh -c read x; exit 3 a\tb";
    assert_return_code(pipe(ready), errno);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ready[0], 0);
        (void)close(ready[1]);
        (void)execl("/bin/sh", "sh", "-c", "read x; exit 3", "a\tb", "", NULL);
        _exit(127);
    }
    (void)close(ready[0]);
    AWAIT(process_command_line(pid, text, sizeof text) > 0 && strncmp(text, "sh -c", 5) == 0);
    assert_int_equal(process_command_line(pid, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    assert_int_equal(process_command_line(pid, text, 6), 5);
    assert_string_equal(text, "sh -c");
    assert_int_equal(process_command_line(pid, text, 1), 0);
    assert_string_equal(text, "");
    assert_int_equal(process_command_line(pid, text, 0), -EINVAL);
    (void)byte;
    (void)close(ready[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Every mapped file is found, wherever in its chunk its line falls. */
static void maps_are_searched_whole(void **state)
{
    (void)state;
    enum { MAPS = 400 };
    static void *mapped[MAPS];
    char name[64], last[64];
    for (int i = 0; i < MAPS; i++) {
        (void)snprintf(name, sizeof name, "/tmp/trimtab-maps-%d-%d-end", (int)getpid(), i);
        int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_return_code(ftruncate(fd, 1), errno);
        mapped[i] = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
        assert_ptr_not_equal(mapped[i], MAP_FAILED);
        (void)close(fd);
        (void)unlink(name);
    }
    for (int i = 0; i < MAPS; i++) {
        (void)snprintf(last, sizeof last, "/tmp/trimtab-maps-%d-%d-end", (int)getpid(), i);
        assert_int_equal(process_maps_contain(getpid(), last), 1);
    }
    assert_int_equal(process_maps_contain(getpid(), "/tmp/trimtab-maps-none"), 0);
    assert_int_equal(process_maps_contain(getpid(), ""), -EINVAL);
    for (int i = 0; i < MAPS; i++)
        (void)munmap(mapped[i], 1);
    assert_int_equal(process_maps_contain(getpid(), last), 0);
}

static void generation_changes_with_every_fork(void **state)
{
    (void)state;
    int fd = -1;
    uint64_t before, after;
    assert_int_equal(process_generation(&fd, &before), 0);
    assert_true(fd >= 0);
    int kept = fd;
    for (int i = 0; i < 20; i++) {
        end(sleeper(0));
        assert_int_equal(process_generation(&fd, &after), 0);
        assert_int_equal(fd, kept);
        assert_int_not_equal(before, after);
        before = after;
    }
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_process_is_seen),
        cmocka_unit_test(ended_processes_are_told_from_living_ones),
        cmocka_unit_test(another_start_time_is_another_process),
        cmocka_unit_test(impossible_pids_are_no_processes),
        cmocka_unit_test(opening_leaks_no_descriptors),
        cmocka_unit_test(signals_go_only_to_who_handles_them),
        cmocka_unit_test(stopped_process_is_woken),
        cmocka_unit_test(mask_is_found_behind_many_groups),
        cmocka_unit_test(executable_is_device_and_inode),
        cmocka_unit_test(command_line_is_read_and_cut),
        cmocka_unit_test(maps_are_searched_whole),
        cmocka_unit_test(generation_changes_with_every_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
