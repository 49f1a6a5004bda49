/*
 * clock_gettime(2) for the static binary, as a system call. Finding the vDSO
 * costs 1 KiB of code and two pages; trimtab reads a clock once a wake-up.
 */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef SYS_clock_gettime64
#define CLOCK_GETTIME SYS_clock_gettime64 /* 32 bit: time_t has 64 */
#else
#define CLOCK_GETTIME SYS_clock_gettime
#endif

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    return (int)syscall(CLOCK_GETTIME, clock, ret_time);
}
