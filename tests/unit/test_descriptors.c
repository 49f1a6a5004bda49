/* Each story runs in a process of its own, because it changes the table of the whole process. */
#include "os/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

static int report_fd;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)dprintf(report_fd, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);                 \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static void run_story(void (*story)(void))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        report_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 900);
        (void)alarm(20);
        story();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void tell_reserving(void)
{
    CHECK(close(0) == 0 && close(2) == 0);
    CHECK(descriptors_reserve_standard() == 0);
    CHECK(fcntl(0, F_GETFD) == FD_CLOEXEC && fcntl(2, F_GETFD) == FD_CLOEXEC);
    CHECK((fcntl(1, F_GETFD) & FD_CLOEXEC) == 0);
    CHECK(write(2, "x", 1) < 0 && errno == EBADF); /* as if it were closed */
    int fd = open("/", O_RDONLY);
    CHECK(fd > 2);
}

static void closed_standard_descriptors_are_occupied(void **state)
{
    (void)state;
    run_story(tell_reserving);
}

static void tell_reserving_nothing(void)
{
    int lowest = fcntl(1, F_DUPFD, 3);
    CHECK(lowest >= 3 && close(lowest) == 0);
    CHECK(descriptors_reserve_standard() == 0);
    CHECK((fcntl(0, F_GETFD) & FD_CLOEXEC) == 0);
    CHECK(!is_open(lowest)); /* nothing is left behind */
}

static void open_ones_are_left_alone(void **state)
{
    (void)state;
    run_story(tell_reserving_nothing);
}

static bool is_null(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

static void check_closing(void)
{
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    int reader = fcntl(ends[0], F_DUPFD, 400);
    CHECK(reader == 400 && dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO);
    for (int fd = 10; fd < 300; fd++)
        CHECK(dup2(ends[1], fd) == fd);

    const int keep[] = { 299, -1, 400, 12, 13, report_fd, 3 };
    CHECK(descriptors_close_except(keep, sizeof keep / sizeof keep[0]) == 0);
    for (int fd = 4; fd < 500; fd++)
        CHECK(is_open(fd) == (fd == 12 || fd == 13 || fd == 299 || fd == 400));
    CHECK(is_null(0) && is_null(1) && is_open(2) && !is_null(report_fd));

    CHECK(close(12) == 0 && close(13) == 0 && close(299) == 0);
    (void)close(3);
    CHECK(read(400, &byte, 1) == 0); /* the other end is told */
    CHECK(descriptors_close_except(&report_fd, 1) == 0);
    CHECK(!is_open(3) && !is_open(400));
}

static void everything_else_is_closed(void **state)
{
    (void)state;
    run_story(check_closing);
}

/* An old kernel or an old seccomp profile: close_range(2) fails. */
static void tell_closing_without_close_range(void)
{
    struct sock_filter code[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    struct sock_fprog program = { .len = sizeof code / sizeof code[0], .filter = code };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0L, 0L) == 0);
    CHECK(syscall(SYS_close_range, 4000U, 4000U, 0U) < 0 && errno == EPERM);
    check_closing();
}

static void everything_else_is_closed_without_close_range(void **state)
{
    (void)state;
    run_story(tell_closing_without_close_range);
}

static void tell_raising(void)
{
    struct rlimit limit = { .rlim_cur = 123, .rlim_max = 456 }, before, after;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(descriptors_raise_limit(&before) == 0);
    CHECK(before.rlim_cur == 123 && before.rlim_max == 456);
    CHECK(getrlimit(RLIMIT_NOFILE, &after) == 0 && after.rlim_cur == 456 && after.rlim_max == 456);
}

static void the_soft_limit_is_raised(void **state)
{
    (void)state;
    run_story(tell_raising);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(closed_standard_descriptors_are_occupied),
                                        cmocka_unit_test(open_ones_are_left_alone),
                                        cmocka_unit_test(everything_else_is_closed),
                                        cmocka_unit_test(everything_else_is_closed_without_close_range),
                                        cmocka_unit_test(the_soft_limit_is_raised) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
