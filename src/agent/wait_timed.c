/*
 * Sleeping, and waiting for signals.
 *
 * A sleep is a poll of no descriptor, which has a form with a mask. Its slack
 * is a share of its length, where that of nanosleep is fixed (select(2) and
 * prctl(2), PR_SET_TIMERSLACK), so a long one is made in ever shorter pieces.
 */
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include "masked.h"
#include "wait.h"

enum {
    PIECE_MIN_NS = 10 * 1000 * 1000, /* from here on the share is below the fixed slack of 50 us */
    SLACK_PART = 128                 /* the kernel takes 1/1000, or 1/200 of a process with a nice value */
};

/* What is left is waited for but a last part, unless it is short enough. */
static struct timespec piece_of(const struct timespec *left)
{
    int64_t ns =
        left->tv_sec > INT32_MAX ? INT32_MAX * LIMIT_SECOND_NS : left->tv_sec * LIMIT_SECOND_NS + left->tv_nsec;
    if (ns > PIECE_MIN_NS)
        ns -= ns / SLACK_PART;
    else if (ns == 0)
        ns = 1; /* a sleep of nothing still sleeps as long as the slack */
    return (struct timespec){ .tv_sec = ns / LIMIT_SECOND_NS, .tv_nsec = ns % LIMIT_SECOND_NS };
}

/* Until the end of limit; -1 and EINTR when a handler of the program's came. */
static int sleep_masked(struct wait *wait, struct limit *limit, const sigset_t *mask)
{
    for (;;) {
        struct limit piece = { .left = piece_of(&limit->left) };
        int result = masked_ppoll(wait, NULL, 0, &piece, mask);
        if (result != 0)
            return result;
        limit_look(limit);
        if (limit->left.tv_sec == 0 && limit->left.tv_nsec == 0)
            return 0;
    }
}

static int real_nanosleep(const struct timespec *time, struct timespec *rest)
{
    REAL(nanosleep);
    return LIKELY(real != NULL) ? real(time, rest) : (int)KERNEL2(SYS_nanosleep, time, rest);
}

static int sleep_for(struct wait *wait, const struct timespec *time, struct timespec *rest)
{
    sigset_t space;
    const sigset_t *mask = time != NULL && limit_is_valid(time) ? masked_enter(wait, NULL, &space) : NULL;
    if (mask == NULL)
        return real_nanosleep(time, rest);
    struct limit limit;
    int error = errno;
    limit_begin(&limit, time);
    int result = sleep_masked(wait, &limit, mask);
    if (masked_refused(wait, result))
        return real_nanosleep(time, rest);
    if (result == 0)
        errno = error;
    if (result != 0 && rest != NULL) {
        limit_look(&limit);
        *rest = limit.left;
    }
    return result;
}

#define KIND(call) static const struct wait_kind kind = { #call, -1, true, WAIT_MASK }

EXPORT int nanosleep(const struct timespec *time, struct timespec *rest)
{
    KIND(nanosleep);
    WAIT(&kind);
    return sleep_for(&wait, time, rest);
}

EXPORT int __nanosleep(const struct timespec *time, struct timespec *rest) __attribute__((alias("nanosleep")));

EXPORT unsigned sleep(unsigned seconds)
{
    KIND(sleep);
    WAIT(&kind);
    struct timespec time = { .tv_sec = seconds };
    return sleep_for(&wait, &time, &time) == 0 ? 0 : (unsigned)time.tv_sec;
}

EXPORT int usleep(useconds_t us)
{
    KIND(usleep);
    WAIT(&kind);
    const struct timespec time = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L };
    return sleep_for(&wait, &time, NULL);
}

EXPORT int thrd_sleep(const struct timespec *time, struct timespec *rest)
{
    KIND(thrd_sleep);
    WAIT(&kind);
    int error = errno;
    if (sleep_for(&wait, time, rest) == 0)
        return 0;
    int result = errno == EINTR ? -1 : -2; /* C11, 7.26.5.7 */
    errno = error;
    return result;
}

static int real_clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *rest)
{
    REAL(clock_nanosleep);
    return LIKELY(real != NULL) ? real(clock, flags, time, rest)
                                : (int)-kernel_call(SYS_clock_nanosleep, clock, flags, (long)time, (long)rest, 0, 0);
}

/* A clock that can be set, or that goes on while the machine sleeps, is looked at every second. */
static int sleep_until(struct wait *wait, clockid_t clock, const struct timespec *end, const sigset_t *mask)
{
    for (;;) {
        struct timespec now;
        if (clock_gettime(clock, &now) < 0)
            return -1;
        struct timespec left = { .tv_sec = end->tv_sec - now.tv_sec, .tv_nsec = end->tv_nsec - now.tv_nsec };
        if (left.tv_nsec < 0) {
            left.tv_sec--;
            left.tv_nsec += LIMIT_SECOND_NS;
        }
        if (left.tv_sec < 0 || (left.tv_sec == 0 && left.tv_nsec == 0))
            return 0;
        if (clock != CLOCK_MONOTONIC && left.tv_sec >= 1)
            left = (struct timespec){ .tv_sec = 1 };
        struct limit piece = { .left = piece_of(&left) };
        int result = masked_ppoll(wait, NULL, 0, &piece, mask);
        if (result != 0)
            return result;
    }
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *rest)
{
    KIND(clock_nanosleep);
    WAIT(&kind);
    bool known = clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME || clock == CLOCK_TAI;
    if (!known && request_active)
        wait_mute(&wait); /* a clock of CPU time */
    if (!known || (flags & ~TIMER_ABSTIME) != 0 || time == NULL || !limit_is_valid(time))
        return real_clock_nanosleep(clock, flags, time, rest);
    int error = errno;
    int result;
    if ((flags & TIMER_ABSTIME) == 0) {
        result = sleep_for(&wait, time, rest);
    } else {
        sigset_t space;
        const sigset_t *mask = masked_enter(&wait, NULL, &space);
        if (mask == NULL)
            return real_clock_nanosleep(clock, flags, time, rest);
        result = sleep_until(&wait, clock, time, mask);
        if (masked_refused(&wait, result))
            return real_clock_nanosleep(clock, flags, time, rest);
    }
    result = result == 0 ? 0 : errno;
    errno = error;
    return result;
}

/*
 * Waiting for signals: SIGURG is waited for along with them, and so never
 * interrupts; so is every signal of the program's that would. What is not to be
 * returned is sent to the thread again, as it came, and handled when the mask
 * of the program is set.
 */
static int real_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    REAL(sigtimedwait);
    return LIKELY(real != NULL) ? real(set, info, timeout)
                                : (int)KERNEL4(SYS_rt_sigtimedwait, set, info, timeout, sizeof(uint64_t));
}

/* Whether its handler is to end the wait; if not, or if it has none, the signal takes its effect here. */
static bool ends_wait(struct wait *wait, int number, const siginfo_t *info)
{
    const uint64_t all = request_all_signals();
    struct kernel_sigaction action = { 0 };
    (void)kernel_look_at_action(number, &action);
    (void)kernel_call(SYS_rt_tgsigqueueinfo, kernel_call(SYS_getpid, 0, 0, 0, 0, 0, 0),
                      kernel_call(SYS_gettid, 0, 0, 0, 0, 0, 0), number, (long)info, 0, 0);
    if (!request_under_musl() && action.handler != (uintptr_t)SIG_DFL && action.handler != (uintptr_t)SIG_IGN)
        return true;
    (void)kernel_mask(SIG_SETMASK, &wait->program_mask, NULL);
    (void)kernel_mask(SIG_BLOCK, &all, NULL);
    return false;
}

static int wait_for_signal(struct wait *wait, const sigset_t *set, siginfo_t *ret_info, struct limit *limit)
{
    uint64_t awaited;
    sigset_t wider = *set;
    memcpy(&awaited, set, sizeof awaited);
    uint64_t any = awaited | (request_all_signals() & ~wait->program_mask);
    memcpy(&wider, &any, sizeof any);
    for (;;) {
        siginfo_t info;
        request_serve(wait);
        int number = real_sigtimedwait(&wider, &info, limit_left(limit));
        if (number < 0 && errno == EINTR) { /* no handler can have run: another thread took the signal */
            limit_look(limit);
            continue;
        }
        if (number > 0 && (awaited & SIGNAL_BIT(number)) != 0 && ret_info != NULL)
            *ret_info = info;
        if (number <= 0 || (awaited & SIGNAL_BIT(number)) != 0)
            return number;
        if (number == SIGURG) {
            request_note();
        } else if (ends_wait(wait, number, &info)) {
            errno = EINTR;
            return -1;
        }
        limit_look(limit);
    }
}

/* Whether the thread can listen; else the call is passed on. */
static bool enter_signal_wait(struct wait *wait, const sigset_t *set)
{
    uint64_t awaited;
    memcpy(&awaited, set, sizeof awaited);
    if (!request_active || (awaited & SIGNAL_BIT(SIGURG)) != 0 || !request_is_ours() || !wait_block(wait))
        return false;
    if ((wait->program_mask & SIGNAL_BIT(SIGURG)) == 0)
        return true;
    wait_restore(wait);
    return false;
}

EXPORT int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info, const struct timespec *restrict timeout)
{
    KIND(sigtimedwait);
    WAIT(&kind);
    if (!limit_is_valid(timeout) || !enter_signal_wait(&wait, set))
        return real_sigtimedwait(set, info, timeout);
    struct limit limit;
    limit_begin(&limit, timeout);
    return wait_for_signal(&wait, set, info, &limit);
}

EXPORT int sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info)
{
    KIND(sigwaitinfo);
    WAIT(&kind);
    if (!enter_signal_wait(&wait, set))
        return real_sigtimedwait(set, info, NULL);
    struct limit limit = { .forever = true };
    return wait_for_signal(&wait, set, info, &limit);
}

/* sigwait(3) fails with no EINTR: a handler of the program's runs, and it waits on. */
EXPORT int sigwait(const sigset_t *restrict set, int *restrict ret_number)
{
    KIND(sigwait);
    WAIT(&kind);
    int error = errno;
    int number;
    do {
        struct limit limit = { .forever = true };
        number = enter_signal_wait(&wait, set) ? wait_for_signal(&wait, set, NULL, &limit)
                                               : real_sigtimedwait(set, NULL, NULL);
        wait_restore(&wait);
    } while (number == -1 && errno == EINTR);
    int result = number < 0 ? errno : 0;
    errno = error;
    if (result == 0)
        *ret_number = number;
    return result;
}
