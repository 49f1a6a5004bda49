/*
 * Waits that have a form with a mask: wait.h says how they trim.
 *
 * A call with few descriptors is first tried without waiting: where something
 * is ready, which is what costs count in, the wrapper costs no system call.
 */
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include "masked.h"
#include "wait.h"

enum {
    TRY_MAX = 64,
    TRY_SETS_MAX = 1024,
    IDLE_CALLS = 3 /* not tried after one that found nothing: a thread with little to do waits again */
};

static _Thread_local unsigned idle __attribute__((tls_model("initial-exec")));

#define KIND(call) static const struct wait_kind kind = { #call, -1, true, WAIT_MASK }

const sigset_t *masked_enter(struct wait *wait, const sigset_t *own, sigset_t *space)
{
    if (!request_active)
        return NULL;
    if (!wait_block(wait)) {
        request_stop();
        return NULL;
    }
    wait->ours = 0; /* what comes from here on comes in the wait */
    wait->error = errno;
    if ((atomic_load_explicit(&request_attention, memory_order_relaxed) & REQUEST_ANYWHERE) != 0)
        request_serve(wait);
    errno = wait->error;
    if (own != NULL)
        return own;
    memset(space, 0, sizeof *space);
    memcpy(space, &wait->program_mask, sizeof wait->program_mask);
    return space;
}

bool masked_again(struct wait *wait, struct limit *limit, long result)
{
    if (result != -1 || errno != EINTR || !wait->ours)
        return false;
    wait->ours = 0;
    request_serve(wait);
    if (limit != NULL)
        limit_look(limit);
    errno = wait->error;
    return true;
}

bool masked_refused(struct wait *wait, long result)
{
    if (LIKELY(result != -1 || (errno != ENOSYS && errno != EPERM && errno != EACCES)))
        return false;
    wait_restore(wait);
    wait_mute(wait);
    return true;
}

static bool may_try(unsigned long count, bool at_once)
{
    if (!request_active || count > TRY_MAX ||
        (atomic_load_explicit(&request_attention, memory_order_relaxed) & REQUEST_ANYWHERE) != 0)
        return false;
    if (LIKELY(at_once || idle == 0))
        return true;
    idle--;
    return false;
}

/* Whether what was tried is the result of the call. */
static bool is_done(int ready, bool at_once)
{
    if (LIKELY(ready != 0 || at_once))
        return true;
    idle = IDLE_CALLS;
    return false;
}

static struct timespec from_ms(int ms)
{
    return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
}

/* poll, ppoll */

static int real_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    REAL(ppoll);
    if (LIKELY(real != NULL))
        return real(fds, count, timeout, mask);
    struct timespec left = timeout != NULL ? *timeout : (struct timespec){ 0 };
    return (int)KERNEL5(SYS_ppoll, fds, count, timeout != NULL ? &left : NULL, mask, sizeof(uint64_t));
}

static int real_poll(struct pollfd *fds, nfds_t count, int ms)
{
    REAL(poll);
    if (LIKELY(real != NULL))
        return real(fds, count, ms);
    struct timespec left = from_ms(ms);
    return (int)KERNEL5(SYS_ppoll, fds, count, ms < 0 ? NULL : &left, NULL, sizeof(uint64_t));
}

/*
 * Without waiting, poll and select still fail with EINTR when a signal comes
 * just then; epoll_wait does not. After ours: again.
 */
static bool tries_again(const struct wait *wait, int ready)
{
    if (LIKELY(ready != -1 || errno != EINTR || !wait->ours))
        return false;
    errno = wait->error;
    return true;
}

static int try_poll(struct wait *wait, struct pollfd *fds, nfds_t count)
{
    int ready;
    wait->error = errno;
    do {
        wait->ours = 0;
        ready = real_poll(fds, count, 0);
    } while (tries_again(wait, ready));
    return ready;
}

int masked_ppoll(struct wait *wait, struct pollfd *fds, nfds_t count, struct limit *limit, const sigset_t *mask)
{
    int result;
    do
        result = real_ppoll(fds, count, limit_left(limit), mask);
    while (masked_again(wait, limit, result));
    return result;
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int ms)
{
    KIND(poll);
    WAIT(&kind);
    if (may_try(count, ms == 0)) {
        int ready = try_poll(&wait, fds, count);
        if (is_done(ready, ms == 0))
            return ready;
    }
    sigset_t space;
    const sigset_t *mask = masked_enter(&wait, NULL, &space);
    if (mask == NULL)
        return real_poll(fds, count, ms);
    struct limit limit;
    struct timespec timeout = from_ms(ms);
    limit_begin(&limit, ms < 0 ? NULL : &timeout);
    int result = masked_ppoll(&wait, fds, count, &limit, mask);
    return masked_refused(&wait, result) ? real_poll(fds, count, ms) : result;
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *own)
{
    KIND(ppoll);
    WAIT(&kind);
    if (!limit_is_valid(timeout))
        return real_ppoll(fds, count, timeout, own);
    if (may_try(count, false)) {
        int ready = try_poll(&wait, fds, count);
        if (is_done(ready, false))
            return ready;
    }
    sigset_t space;
    const sigset_t *mask = masked_enter(&wait, own, &space);
    if (mask == NULL)
        return real_ppoll(fds, count, timeout, own);
    struct limit limit;
    limit_begin(&limit, timeout);
    return masked_ppoll(&wait, fds, count, &limit, mask);
}

/* What a fortified caller checks; the real function says what is wrong and ends the program. */
EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int ms, size_t size);
EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int ms, size_t size)
{
    if (LIKELY(size / sizeof *fds >= count))
        return poll(fds, count, ms);
    REAL(__poll_chk);
    return real != NULL ? real(fds, count, ms, size) : (__builtin_trap(), -1);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *own,
                       size_t size);
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *own,
                       size_t size)
{
    if (LIKELY(size / sizeof *fds >= count))
        return ppoll(fds, count, timeout, own);
    REAL(__ppoll_chk);
    return real != NULL ? real(fds, count, timeout, own, size) : (__builtin_trap(), -1);
}

/* epoll_wait, epoll_pwait, epoll_pwait2 */

static int real_epoll_pwait(int fd, struct epoll_event *events, int max, int ms, const sigset_t *mask)
{
    REAL(epoll_pwait);
    if (LIKELY(real != NULL))
        return real(fd, events, max, ms, mask);
    return (int)KERNEL6(SYS_epoll_pwait, fd, events, max, ms, mask, sizeof(uint64_t));
}

static int real_epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
    REAL(epoll_wait);
    return LIKELY(real != NULL) ? real(fd, events, max, ms) : real_epoll_pwait(fd, events, max, ms, NULL);
}

/* What is left is not whole milliseconds: the rest is waited for by poll on the epoll descriptor. */
static int rest_of_epoll(int fd, struct epoll_event *events, int max, const struct limit *limit, const sigset_t *mask)
{
    int64_t ms = (int64_t)limit->left.tv_sec * 1000 + limit->left.tv_nsec / 1000000;
    if (limit->forever || ms > 0 || limit->left.tv_nsec == 0)
        return real_epoll_pwait(fd, events, max, limit->forever ? -1 : (int)ms, mask);
    struct pollfd one = { .fd = fd, .events = POLLIN };
    int ready = real_ppoll(&one, 1, &limit->left, mask);
    return ready > 0 ? real_epoll_wait(fd, events, max, 0) : ready;
}

static int masked_epoll(struct wait *wait, int fd, struct epoll_event *events, int max, int ms, const sigset_t *mask)
{
    struct limit limit;
    struct timespec timeout = from_ms(ms);
    limit_begin(&limit, ms < 0 ? NULL : &timeout);
    int result = real_epoll_pwait(fd, events, max, ms, mask);
    if (!masked_again(wait, &limit, result))
        return result;
    for (;;) {
        result = rest_of_epoll(fd, events, max, &limit, mask);
        if (masked_again(wait, &limit, result))
            continue;
        if (result != 0)
            return result;
        limit_look(&limit);
        if (limit.left.tv_sec == 0 && limit.left.tv_nsec == 0)
            return 0;
    }
}

EXPORT int epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
    KIND(epoll_wait);
    WAIT(&kind);
    if (may_try(0, ms == 0)) {
        int ready = real_epoll_wait(fd, events, max, 0);
        if (is_done(ready, ms == 0))
            return ready;
    }
    sigset_t space;
    const sigset_t *mask = masked_enter(&wait, NULL, &space);
    if (mask == NULL)
        return real_epoll_wait(fd, events, max, ms);
    int result = masked_epoll(&wait, fd, events, max, ms, mask);
    return masked_refused(&wait, result) ? real_epoll_wait(fd, events, max, ms) : result;
}

EXPORT int epoll_pwait(int fd, struct epoll_event *events, int max, int ms, const sigset_t *own)
{
    KIND(epoll_pwait);
    WAIT(&kind);
    if (may_try(0, false)) {
        int ready = real_epoll_wait(fd, events, max, 0);
        if (is_done(ready, false))
            return ready;
    }
    sigset_t space;
    const sigset_t *mask = masked_enter(&wait, own, &space);
    if (mask == NULL)
        return real_epoll_pwait(fd, events, max, ms, own);
    return masked_epoll(&wait, fd, events, max, ms, mask);
}

static int real_epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
                             const sigset_t *mask)
{
    REAL(epoll_pwait2);
    if (LIKELY(real != NULL))
        return real(fd, events, max, timeout, mask);
    return (int)KERNEL6(SYS_epoll_pwait2, fd, events, max, timeout, mask, sizeof(uint64_t));
}

EXPORT int epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
                        const sigset_t *own)
{
    KIND(epoll_pwait2);
    WAIT(&kind);
    sigset_t space;
    const sigset_t *mask = limit_is_valid(timeout) ? masked_enter(&wait, own, &space) : NULL;
    if (mask == NULL)
        return real_epoll_pwait2(fd, events, max, timeout, own);
    struct limit limit;
    limit_begin(&limit, timeout);
    int result;
    do
        result = real_epoll_pwait2(fd, events, max, limit_left(&limit), mask);
    while (masked_again(&wait, &limit, result));
    return result;
}

/* select, pselect */

static int real_pselect(int n, fd_set **sets, const struct timespec *timeout, const sigset_t *mask)
{
    REAL(pselect);
    if (LIKELY(real != NULL))
        return real(n, sets[0], sets[1], sets[2], timeout, mask);
    struct timespec left = timeout != NULL ? *timeout : (struct timespec){ 0 };
    const struct {
        const sigset_t *mask;
        size_t size;
    } with_size = { mask, sizeof(uint64_t) };
    return (int)KERNEL6(SYS_pselect6, n, sets[0], sets[1], sets[2], timeout != NULL ? &left : NULL, &with_size);
}

static int real_select(int n, fd_set **sets, struct timeval *timeout)
{
    REAL(select);
    if (LIKELY(real != NULL))
        return real(n, sets[0], sets[1], sets[2], timeout);
    struct timespec left = { 0 };
    if (timeout != NULL)
        left = (struct timespec){ .tv_sec = timeout->tv_sec, .tv_nsec = timeout->tv_usec * 1000 };
    return real_pselect(n, sets, timeout != NULL ? &left : NULL, NULL);
}

/* The sets are changed by a call that finds nothing: it gets copies, which are taken over if it finds something. */
static int try_select(struct wait *wait, int n, fd_set **sets)
{
    fd_set space[3];
    fd_set *copies[3];
    struct timeval none = { 0 };
    int ready;
    size_t size = ((size_t)n + 63) / 64 * sizeof(uint64_t);
    if (n < 0)
        return 0;
    for (int i = 0; i < 3; i++) {
        copies[i] = sets[i] != NULL ? &space[i] : NULL;
        if (sets[i] != NULL)
            memcpy(&space[i], sets[i], size);
    }
    wait->error = errno;
    do { /* a call that fails leaves the sets as they are */
        wait->ours = 0;
        ready = real_select(n, copies, &none);
    } while (tries_again(wait, ready));
    for (int i = 0; ready > 0 && i < 3; i++) {
        if (sets[i] != NULL)
            memcpy(sets[i], &space[i], size);
    }
    return ready;
}

static int masked_select(struct wait *wait, int n, fd_set **sets, struct limit *limit, const sigset_t *mask)
{
    int result;
    do
        result = real_pselect(n, sets, limit_left(limit), mask);
    while (masked_again(wait, limit, result));
    return result;
}

EXPORT int select(int n, fd_set *reading, fd_set *writing, fd_set *other, struct timeval *timeout)
{
    KIND(select);
    WAIT(&kind);
    fd_set *sets[] = { reading, writing, other };
    struct timespec time = { 0 };
    bool at_once = timeout != NULL && timeout->tv_sec == 0 && timeout->tv_usec == 0;
    if (at_once || (timeout != NULL && (timeout->tv_sec < 0 || timeout->tv_usec < 0))) {
        int ready;
        wait.error = errno;
        do {
            wait.ours = 0;
            ready = real_select(n, sets, timeout);
        } while (tries_again(&wait, ready));
        return ready;
    }
    if (n <= TRY_SETS_MAX && may_try(0, false)) {
        int ready = try_select(&wait, n, sets);
        if (is_done(ready, false))
            return ready;
    }
    sigset_t space;
    const sigset_t *mask = masked_enter(&wait, NULL, &space);
    if (mask == NULL)
        return real_select(n, sets, timeout);
    if (timeout != NULL)
        time = (struct timespec){ .tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000,
                                  .tv_nsec = timeout->tv_usec % 1000000 * 1000 };
    struct limit limit;
    limit_begin(&limit, timeout != NULL ? &time : NULL);
    int result = masked_select(&wait, n, sets, &limit, mask);
    if (masked_refused(&wait, result))
        return real_select(n, sets, timeout);
    if (timeout != NULL) { /* select(2): Linux says what is left */
        limit_look(&limit);
        *timeout = (struct timeval){ .tv_sec = limit.left.tv_sec, .tv_usec = limit.left.tv_nsec / 1000 };
    }
    return result;
}

EXPORT int pselect(int n, fd_set *reading, fd_set *writing, fd_set *other, const struct timespec *timeout,
                   const sigset_t *own)
{
    KIND(pselect);
    WAIT(&kind);
    fd_set *sets[] = { reading, writing, other };
    if (!limit_is_valid(timeout))
        return real_pselect(n, sets, timeout, own);
    if (n <= TRY_SETS_MAX && may_try(0, false)) {
        int ready = try_select(&wait, n, sets);
        if (is_done(ready, false))
            return ready;
    }
    sigset_t space;
    const sigset_t *mask = masked_enter(&wait, own, &space);
    if (mask == NULL)
        return real_pselect(n, sets, timeout, own);
    struct limit limit;
    limit_begin(&limit, timeout);
    return masked_select(&wait, n, sets, &limit, mask);
}

/* pause, sigsuspend */

static int real_sigsuspend(const sigset_t *mask)
{
    REAL(sigsuspend);
    return LIKELY(real != NULL) ? real(mask) : (int)KERNEL2(SYS_rt_sigsuspend, mask, sizeof(uint64_t));
}

static int masked_suspend(struct wait *wait, const sigset_t *own)
{
    sigset_t space;
    const sigset_t *mask = masked_enter(wait, own, &space);
    if (mask == NULL) {
        uint64_t now = 0;
        if (own != NULL)
            return real_sigsuspend(own);
        (void)kernel_mask(SIG_BLOCK, NULL, &now);
        memset(&space, 0, sizeof space);
        memcpy(&space, &now, sizeof now);
        return real_sigsuspend(&space);
    }
    int result;
    do
        result = real_sigsuspend(mask);
    while (masked_again(wait, NULL, result));
    return result;
}

EXPORT int pause(void)
{
    KIND(pause);
    WAIT(&kind);
    return masked_suspend(&wait, NULL);
}

EXPORT int sigsuspend(const sigset_t *own)
{
    KIND(sigsuspend);
    WAIT(&kind);
    return masked_suspend(&wait, own);
}

/* Names that glibc gives some of them besides. */
EXPORT int __poll(struct pollfd *fds, nfds_t count, int ms) __attribute__((alias("poll")));
EXPORT int __select(int n, fd_set *reading, fd_set *writing, fd_set *other, struct timeval *timeout)
    __attribute__((alias("select")));
