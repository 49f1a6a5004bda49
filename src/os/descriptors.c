/*
 * Owns the table of descriptors as a whole: which numbers are taken, which
 * survive, and how many there may be.
 */
#include "descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIRST_OWN_FD = 3 };

/* A descriptor that can be neither read nor written, as if it were closed; "/" is there in every container. */
static int open_placeholder(void)
{
    return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int descriptors_reserve_standard(void)
{
    int fd;
    struct pollfd standard[FIRST_OWN_FD] = { { .fd = STDIN_FILENO }, { .fd = STDOUT_FILENO }, { .fd = STDERR_FILENO } };
    (void)poll(standard, FIRST_OWN_FD, 0);
    if (((standard[0].revents | standard[1].revents | standard[2].revents) & POLLNVAL) == 0)
        return 0;
    do { /* open(2) gives the lowest free number */
        fd = open_placeholder();
    } while (fd >= 0 && fd < FIRST_OWN_FD);
    if (fd < 0)
        return -errno;
    (void)close(fd);
    return 0;
}

static bool is_kept(unsigned fd, const int *keep, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (keep[i] >= 0 && (unsigned)keep[i] == fd)
            return true;
    }
    return false;
}

static unsigned next_kept(unsigned from, const int *keep, size_t count)
{
    unsigned next = UINT_MAX;
    for (size_t i = 0; i < count; i++) {
        if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
            next = (unsigned)keep[i];
    }
    return next;
}

static int close_by_range(const int *keep, size_t count)
{
    unsigned first = FIRST_OWN_FD;
    for (;;) {
        unsigned kept = next_kept(first, keep, count);
        unsigned last = kept == UINT_MAX ? UINT_MAX : kept - 1;
        if (first <= last && syscall(SYS_close_range, first, last, 0U) < 0)
            return -errno;
        if (kept == UINT_MAX)
            return 0;
        first = kept + 1;
    }
}

/* What getdents64(2) writes; musl and glibc name it differently. */
struct kernel_dirent {
    uint64_t inode;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

/* opendir(3) would allocate. */
static int close_by_proc(const int *keep, size_t count)
{
    _Alignas(struct kernel_dirent) char entries[1024];

    int dir_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    long size;
    while ((size = syscall(SYS_getdents64, dir_fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < size;) {
            const struct kernel_dirent *entry = (const void *)(entries + at);
            at += entry->size;
            long fd = strtol(entry->name, NULL, 10); /* "." and ".." become 0 */
            if (fd >= FIRST_OWN_FD && fd != dir_fd && !is_kept((unsigned)fd, keep, count))
                (void)close((int)fd);
        }
    }
    int r = size < 0 ? -errno : 0;
    (void)close(dir_fd);
    return r;
}

static int replace_input_and_output(void)
{
    int r = 0;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fd = open_placeholder();
    if (fd < 0)
        return -errno;
    for (int standard = STDIN_FILENO; standard <= STDOUT_FILENO; standard++) {
        if (fd != standard && dup3(fd, standard, O_CLOEXEC) < 0)
            r = -errno;
    }
    if (fd > STDERR_FILENO)
        (void)close(fd);
    return r;
}

int descriptors_close_except(const int *keep, size_t count)
{
    int r = close_by_range(keep, count);
    if (r < 0) /* an old kernel says ENOSYS, an old seccomp profile EPERM */
        r = close_by_proc(keep, count);
    int replaced = replace_input_and_output();
    return r < 0 ? r : replaced;
}

int descriptors_raise_limit(struct rlimit *ret_before)
{
    if (prlimit(0, RLIMIT_NOFILE, NULL, ret_before) < 0)
        return -errno;
    struct rlimit raised = { .rlim_cur = ret_before->rlim_max, .rlim_max = ret_before->rlim_max };
    return prlimit(0, RLIMIT_NOFILE, &raised, NULL) < 0 ? -errno : 0;
}
