/*
 * Owns the signal mask and the disposition of SIGCHLD of trimtab, and what
 * they were before.
 *
 * The mask is set by the system call itself: the wrappers of glibc and musl
 * quietly leave out signals 32 to 34, which they use for threads
 * (nptl(7)), and so could neither block nor give back every signal.
 */
#include "signals.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SYS_rt_sigtimedwait_time64
#define RT_SIGTIMEDWAIT SYS_rt_sigtimedwait_time64 /* 32 bit: time_t has 64 */
#else
#define RT_SIGTIMEDWAIT SYS_rt_sigtimedwait
#endif

static int set_mask(const sigset_t *mask, sigset_t *ret_before)
{
    return syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, ret_before, (size_t)(_NSIG / 8)) < 0 ? -errno : 0;
}

static void fill(sigset_t *mask)
{
    memset(mask, 0xff, sizeof *mask);
}

int signals_take(struct signals_inherited *ret_inherited)
{
    struct sigaction before;
    sigset_t all;

    fill(&all);
    memset(ret_inherited, 0, sizeof *ret_inherited);
    int r = set_mask(&all, &ret_inherited->mask);
    if (r < 0)
        return r;
    if (sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, &before) < 0)
        return -errno;
    ret_inherited->child_ignored = before.sa_handler == SIG_IGN;
    return 0;
}

int signals_restore(const struct signals_inherited *inherited)
{
    if (inherited->child_ignored && sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL) < 0)
        return -errno;
    return set_mask(&inherited->mask, NULL);
}

int signals_open(void)
{
    sigset_t all;
    fill(&all);
    int fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* A write to a pipe without a reader: the kernel sends SIGPIPE in the writer's own name. */
static bool is_own_pipe(int number, int code, pid_t sender)
{
    return number == SIGPIPE && code == SI_USER && sender == getpid();
}

int signals_wait(int wait_ms, struct signals_info *ret_info)
{
    siginfo_t raw;
    sigset_t all;
    struct timespec left = { .tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000L };
    fill(&all);
    int number = (int)syscall(RT_SIGTIMEDWAIT, &all, &raw, wait_ms < 0 ? NULL : &left, (size_t)(_NSIG / 8));
    if (number < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (is_own_pipe(raw.si_signo, raw.si_code, raw.si_pid))
        return 0;
    *ret_info = (struct signals_info){
        .number = raw.si_signo, .from_kernel = raw.si_code > 0, .queued = raw.si_code == SI_QUEUE, .sender = raw.si_pid
    };
    memcpy(&ret_info->value, &raw.si_value, sizeof raw.si_value);
    return 1;
}

int signals_read(int signal_fd, struct signals_info *ret_infos)
{
    struct signalfd_siginfo raw[SIGNALS_BATCH];
    int count = 0;

    while (count == 0) {
        ssize_t size = read(signal_fd, raw, sizeof raw);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (size == 0)
            return 0;
        for (size_t i = 0; i < (size_t)size / sizeof raw[0]; i++) {
            if (is_own_pipe((int)raw[i].ssi_signo, raw[i].ssi_code, (pid_t)raw[i].ssi_pid))
                continue;
            ret_infos[count++] = (struct signals_info){ .number = (int)raw[i].ssi_signo,
                                                        .from_kernel = raw[i].ssi_code > 0,
                                                        .queued = raw[i].ssi_code == SI_QUEUE,
                                                        .sender = (pid_t)raw[i].ssi_pid,
                                                        .value = raw[i].ssi_ptr };
        }
    }
    return count;
}

int signals_forward(pid_t pid, bool group, int number, const struct signals_info *info)
{
    if (!group && info != NULL && info->queued) {
        union sigval value;
        memcpy(&value, &info->value, sizeof value);
        if (sigqueue(pid, number, value) == 0)
            return 0;
        if (errno != EAGAIN) /* the queue is full (RLIMIT_SIGPENDING): better without its value than not at all */
            return -errno;
    }
    return kill(group ? -pid : pid, number) < 0 ? -errno : 0;
}
