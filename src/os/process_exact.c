/*
 * What a process holds alone and its share of what it shares, and the CPU time
 * it used: asked by pid, now and then.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

enum { ROLLUP_TEXT_MAX = 2048 }; /* Linux 6.18 writes 698 bytes */

static int find_bytes(const char *text, size_t size, const char *key, uint64_t *ret_bytes)
{
    uint64_t kib;
    int r = text_find_number(text, size, key, &kib);
    if (r < 0 || kib > INT64_MAX >> 10)
        return -EINVAL;
    *ret_bytes = kib << 10;
    return 0;
}

int process_parse_exact(const char *text, size_t size, uint64_t *ret_pss_bytes, uint64_t *ret_uss_bytes)
{
    uint64_t pss, clean, dirty, huge;
    if (find_bytes(text, size, "Pss:", &pss) < 0 || find_bytes(text, size, "Private_Clean:", &clean) < 0 ||
        find_bytes(text, size, "Private_Dirty:", &dirty) < 0 || find_bytes(text, size, "Private_Hugetlb:", &huge) < 0)
        return -EINVAL;
    if (clean + dirty > INT64_MAX || clean + dirty + huge > INT64_MAX)
        return -EINVAL;
    *ret_pss_bytes = pss;
    *ret_uss_bytes = clean + dirty + huge;
    return 0;
}

int process_exact(pid_t pid, uint64_t *ret_pss_bytes, uint64_t *ret_uss_bytes)
{
    char text[ROLLUP_TEXT_MAX];
    (void)snprintf(text, sizeof text, "/proc/%d/smaps_rollup", (int)pid);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) /* no such process, or no such file */
        return access("/proc/self/smaps_rollup", F_OK) == 0 ? -ESRCH : -ENOENT;
    if (fd < 0)
        return -errno;
    ssize_t got = read(fd, text, sizeof text);
    int error = got < 0 ? -errno : got == 0 ? -ESRCH : 0;
    (void)close(fd);
    return error < 0 ? error : process_parse_exact(text, (size_t)got, ret_pss_bytes, ret_uss_bytes);
}

int process_cpu_ms(pid_t pid, uint64_t *ret_ms)
{
    enum { CLOCK_OF_PROCESS = 2 }; /* CPUCLOCK_SCHED of all threads: the kernel's posix-timers_types.h */
    struct timespec used;
    if (pid <= 0 || pid > INT32_MAX >> 3) /* 0 would be our own; the clock's number has 29 bits for it, a pid has 22 */
        return -ESRCH;
    if (clock_gettime((clockid_t)(~(unsigned)pid << 3 | CLOCK_OF_PROCESS), &used) < 0) {
        if (errno != EINVAL)
            return -errno;
        return kill(pid, 0) < 0 && errno == ESRCH ? -ESRCH : -ENOTSUP;
    }
    *ret_ms = (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
    return 0;
}
