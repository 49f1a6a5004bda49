/* Each story runs in a process of its own, because it changes the mask of the whole process. */
#include "os/signals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

/* The first check that fails is the exit status of the story: its line. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                      \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static void run_story(void (*story)(void))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(20);
        story();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static uint64_t status_mask(const char *key)
{
    char line[256];
    uint64_t mask = 0;
    FILE *file = fopen("/proc/self/status", "re");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0)
            mask = strtoull(line + strlen(key) + 1, NULL, 16);
    }
    (void)fclose(file);
    return mask;
}

static uint64_t bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

static void set_kernel_mask(uint64_t mask)
{
    CHECK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask) == 0);
}

static void tell_mask_exactly(void)
{
    struct signals_inherited inherited;
    uint64_t mine = bit(SIGTERM) | bit(SIGUSR2) | bit(32) | bit(33) | bit(34) | bit(64);

    set_kernel_mask(mine);
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR && signal(SIGHUP, SIG_IGN) != SIG_ERR);
    CHECK(signals_take(&inherited) == 0);
    CHECK(status_mask("SigBlk:") == ~(bit(SIGKILL) | bit(SIGSTOP)));
    CHECK(inherited.child_ignored);
    CHECK(status_mask("SigIgn:") == bit(SIGHUP));

    CHECK(signals_restore(&inherited) == 0);
    CHECK(status_mask("SigBlk:") == mine);
    CHECK(status_mask("SigIgn:") == (bit(SIGHUP) | bit(SIGCHLD)));
}

static void the_inherited_mask_comes_back_exactly(void **state)
{
    (void)state;
    run_story(tell_mask_exactly);
}

static void tell_every_signal(void)
{
    struct signals_inherited inherited;
    struct signals_info infos[SIGNALS_BATCH];
    uint64_t seen = 0;
    int count;

    set_kernel_mask(0);
    CHECK(signals_take(&inherited) == 0);
    CHECK(!inherited.child_ignored);
    int fd = signals_open();
    CHECK(fd >= 0);
    CHECK(signals_read(fd, infos) == 0);
    for (int number = 1; number <= 64; number++) {
        /* SIGPIPE in our own name is what a write of ours looks like */
        if (number != SIGKILL && number != SIGSTOP && number != SIGPIPE)
            CHECK(kill(getpid(), number) == 0);
    }
    while ((count = signals_read(fd, infos)) > 0) {
        CHECK(count <= SIGNALS_BATCH);
        for (int i = 0; i < count; i++) {
            CHECK((seen & bit(infos[i].number)) == 0);
            CHECK(!infos[i].from_kernel && !infos[i].queued && infos[i].sender == getpid());
            seen |= bit(infos[i].number);
        }
    }
    CHECK(count == 0);
    /* SIGCONT and the stop signals throw each other out of the queue, signal(7) */
    uint64_t stops = bit(SIGCONT) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);
    CHECK((seen | stops) == (~(bit(SIGKILL) | bit(SIGSTOP) | bit(SIGPIPE)) | stops));
}

static void all_signals_are_read_in_batches(void **state)
{
    (void)state;
    run_story(tell_every_signal);
}

static void tell_own_pipe(void)
{
    struct signals_inherited inherited;
    struct signals_info infos[SIGNALS_BATCH];
    int ends[2];

    CHECK(signals_take(&inherited) == 0);
    int fd = signals_open();
    CHECK(fd >= 0 && pipe(ends) == 0 && close(ends[0]) == 0);
    CHECK(write(ends[1], "x", 1) < 0 && errno == EPIPE);
    CHECK(status_mask("ShdPnd:") != 0 || status_mask("SigPnd:") != 0);
    CHECK(signals_read(fd, infos) == 0);
    CHECK(status_mask("ShdPnd:") == 0 && status_mask("SigPnd:") == 0);

    if (fork() == 0) { /* another's is passed on */
        (void)kill(getppid(), SIGPIPE);
        _exit(0);
    }
    CHECK(wait(NULL) > 0);
    int count = signals_read(fd, infos);
    CHECK(count == 2);
    bool piped = infos[0].number == SIGPIPE || infos[1].number == SIGPIPE;
    bool ended = infos[0].number == SIGCHLD || infos[1].number == SIGCHLD;
    CHECK(piped && ended);
}

static void a_sigpipe_of_our_own_is_left_out(void **state)
{
    (void)state;
    run_story(tell_own_pipe);
}

/* A child with everything blocked that exits with 0 when it got this signal with this value. */
static pid_t start_receiver(int number, bool queued, uint64_t value)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        siginfo_t info;
        sigset_t set;
        CHECK(sigemptyset(&set) == 0 && sigaddset(&set, number) == 0);
        CHECK(sigwaitinfo(&set, &info) == number);
        CHECK((info.si_code == SI_QUEUE) == queued);
        CHECK(!queued || (uint64_t)(uintptr_t)info.si_value.sival_ptr == value);
        _exit(0);
    }
    CHECK(setpgid(pid, pid) == 0);
    return pid;
}

static void tell_forwarding(void)
{
    struct signals_inherited inherited;
    struct signals_info queued = { .queued = true, .value = UINT64_C(0x123456789abcdef0) };
    struct signals_info plain = { .queued = false };
    int status;

    CHECK(signals_take(&inherited) == 0);
    const struct {
        int number;
        bool group;
        const struct signals_info *info;
        bool arrives_queued;
    } rows[] = { { SIGTERM, false, &plain, false },      { SIGTERM, false, NULL, false },
                 { SIGTERM, true, &plain, false },       { SIGUSR1, false, &queued, true },
                 { SIGRTMIN + 3, false, &queued, true }, { SIGRTMIN + 3, true, &queued, false } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pid_t pid = start_receiver(rows[i].number, rows[i].arrives_queued, queued.value);
        CHECK(signals_forward(pid, rows[i].group, rows[i].number, rows[i].info) == 0);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(signals_forward(pid, rows[i].group, rows[i].number, rows[i].info) == -ESRCH);
    }
    CHECK(signals_forward(getpid(), false, 65, &plain) == -EINVAL);
}

static void a_signal_is_passed_on_with_its_value(void **state)
{
    (void)state;
    run_story(tell_forwarding);
}

static void tell_full_queue(void)
{
    struct signals_inherited inherited;
    struct signals_info queued = { .queued = true, .value = 1 };
    int status;

    CHECK(signals_take(&inherited) == 0);
    CHECK(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){ 0 }) == 0);
    pid_t pid = start_receiver(SIGRTMIN + 3, false, 0);
    CHECK(sigqueue(pid, SIGRTMIN + 3, (union sigval){ .sival_int = 1 }) < 0 && errno == EAGAIN);
    CHECK(signals_forward(pid, false, SIGRTMIN + 3, &queued) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void a_full_queue_costs_the_value_and_not_the_signal(void **state)
{
    (void)state;
    run_story(tell_full_queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_inherited_mask_comes_back_exactly),
                                        cmocka_unit_test(all_signals_are_read_in_batches),
                                        cmocka_unit_test(a_sigpipe_of_our_own_is_left_out),
                                        cmocka_unit_test(a_signal_is_passed_on_with_its_value),
                                        cmocka_unit_test(a_full_queue_costs_the_value_and_not_the_signal) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
