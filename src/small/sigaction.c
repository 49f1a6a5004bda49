/*
 * sigaction(2) for the static binary, of SIG_DFL and SIG_IGN: trimtab has no
 * handlers. The disposition is the first word of the kernel's structure, and
 * all else in it is 0.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KERNEL_WORDS = 16 }; /* no machine's structure is larger */

int sigaction(int number, const struct sigaction *restrict action, struct sigaction *restrict ret_before)
{
    uintptr_t after[KERNEL_WORDS] = { 0 };
    uintptr_t before[KERNEL_WORDS] = { 0 };
    if (action != NULL && action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN) {
        errno = EINVAL;
        return -1;
    }
    if (action != NULL)
        after[0] = (uintptr_t)action->sa_handler;
    if (syscall(SYS_rt_sigaction, number, action != NULL ? after : NULL, before, (size_t)(_NSIG / 8)) < 0)
        return -1;
    if (ret_before != NULL) {
        memset(ret_before, 0, sizeof *ret_before);
        memcpy(&ret_before->sa_handler, before, sizeof ret_before->sa_handler);
    }
    return 0;
}
