/*
 * Owns the descriptors that are waited on and every sleep of trimtab. Time is
 * CLOCK_MONOTONIC throughout: a wall clock that is set cannot move a deadline.
 */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_MS = 100 };

uint64_t loop_now_us(void)
{
    struct timespec now = { 0 };
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock, clock_gettime(2) */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t loop_now_ms(void)
{
    return loop_now_us() / 1000;
}

int loop_open(struct loop *loop, bool descriptors)
{
    *loop = (struct loop){ .epoll_fd = -1, .signal_fd = -1 };
    if (!descriptors)
        return 0;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return -errno;
    loop->signal_fd = signals_open();
    return loop->signal_fd < 0 ? loop->signal_fd : loop_add(loop, loop->signal_fd, LOOP_SIGNALS);
}

static int add(struct loop *loop, int fd, uint32_t events, uint32_t tag)
{
    struct epoll_event event = { .events = events, .data.u32 = tag };
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, int fd, uint32_t tag)
{
    return add(loop, fd, EPOLLIN, tag);
}

int loop_add_priority(struct loop *loop, int fd, uint32_t tag)
{
    return add(loop, fd, EPOLLPRI | EPOLLET, tag);
}

int loop_remove(struct loop *loop, int fd)
{
    struct epoll_event unused = { 0 };
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, &unused) < 0 ? -errno : 0;
}

/*
 * epoll_wait(2) never returns early and our clock is cut to whole
 * milliseconds, so that what is waited for has always come.
 */
static int timeout_ms(uint64_t now_ms, uint64_t deadline_ms)
{
    if (deadline_ms == LOOP_FOREVER)
        return -1;
    if (now_ms == 0)
        now_ms = loop_now_ms();
    if (deadline_ms <= now_ms)
        return 0;
    uint64_t left_ms = deadline_ms - now_ms;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static int pause_after(int error)
{
    if (poll(NULL, 0, PAUSE_MS) < 0 && errno != EINTR)
        (void)nanosleep(&(struct timespec){ .tv_nsec = PAUSE_MS * 1000000L }, NULL);
    return error;
}

static int wait_for_descriptors(struct loop *loop, int wait_ms, struct loop_events *ret_events)
{
    struct epoll_event events[LOOP_BATCH];
    int count = epoll_wait(loop->epoll_fd, events, LOOP_BATCH, wait_ms);
    int r = count >= 0 || errno == EINTR ? 0 : pause_after(-errno);
    bool signals = r < 0; /* then nobody tells what is ready */
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 == LOOP_SIGNALS)
            signals = true;
        else
            ret_events->tag[ret_events->count++] = events[i].data.u32;
    }
    if (signals)
        ret_events->signal_count = signals_read(loop->signal_fd, ret_events->signal);
    return r;
}

int loop_wait(struct loop *loop, uint64_t now_ms, uint64_t deadline_ms, struct loop_events *ret_events)
{
    int wait_ms = timeout_ms(now_ms, deadline_ms);
    ret_events->count = 0;
    ret_events->signal_count = 0;
    if (loop->epoll_fd >= 0)
        return wait_for_descriptors(loop, wait_ms, ret_events);
    int r = signals_wait(wait_ms, ret_events->signal);
    if (r < 0)
        return pause_after(r);
    ret_events->signal_count = r;
    return 0;
}
