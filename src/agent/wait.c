#include "wait.h"

#include <sys/socket.h>
#include <sys/time.h>

_Thread_local struct wait *volatile wait_current;

void (*wait_cleanup_push)(void *entry, void (*run)(void *), void *argument);
void (*wait_cleanup_pop)(void *entry, int run);

void wait_restore(struct wait *wait)
{
    static const uint64_t urgent = SIGNAL_BIT(SIGURG);
    if (wait->blocked)
        (void)kernel_mask(SIG_SETMASK, &wait->program_mask, NULL);
    else if (wait->muted)
        (void)kernel_mask(SIG_UNBLOCK, &urgent, NULL);
    wait->blocked = false;
    wait->muted = false;
}

void wait_push(struct wait *wait)
{
    wait_cleanup_push(wait->cleanup, wait_forget, wait);
    wait->pushed = true;
}

void wait_undo(struct wait *wait)
{
    wait_restore(wait);
    if (wait->pushed)
        wait_cleanup_pop(wait->cleanup, 0);
}

void wait_forget(void *argument)
{
    struct wait *wait = argument;
    wait_current = wait->outer;
    wait_restore(wait);
}

bool wait_block(struct wait *wait)
{
    uint64_t all = request_all_signals();
    if (kernel_mask(SIG_BLOCK, &all, &wait->program_mask) < 0)
        return false;
    wait->blocked = true;
    return true;
}

void wait_mute(struct wait *wait)
{
    static const uint64_t urgent = SIGNAL_BIT(SIGURG);
    uint64_t before = 0;
    if (wait->muted || !request_is_ours())
        return;
    if (kernel_mask(SIG_BLOCK, &urgent, &before) < 0)
        request_stop();
    else
        wait->muted = (before & urgent) == 0;
}

/* With a timeout of its own, a socket's wait ends with EINTR after any handler: signal(7). */
static bool has_timeout(int fd, int option)
{
    struct timeval timeout = { 0 };
    socklen_t size = sizeof timeout;
    long r = kernel_call(SYS_getsockopt, fd, SOL_SOCKET, option, (long)&timeout, (long)&size, 0);
    return r == 0 && (timeout.tv_sec != 0 || timeout.tv_usec != 0);
}

bool wait_attend(struct wait *wait, int fd)
{
    unsigned attention = atomic_load(&request_attention);
    bool goes_on = true;
    if (wait->blocked || ((attention & REQUEST_ANYWHERE) != 0 && wait_block(wait))) {
        int error = errno;
        request_serve(wait);
        goes_on = !wait->kind->shows_eintr || !request_interrupted(wait->program_mask, wait->kind->class == WAIT_TIMED);
        wait_restore(wait);
        errno = error;
    }
    if ((attention & REQUEST_STORM) != 0 && request_in_storm())
        wait_mute(wait);
    if ((attention & REQUEST_TIMED_SOCKETS) != 0 && fd >= 0 &&
        (has_timeout(fd, SO_RCVTIMEO) || has_timeout(fd, SO_SNDTIMEO)))
        wait_mute(wait);
    if (!goes_on)
        errno = EINTR;
    return goes_on;
}
