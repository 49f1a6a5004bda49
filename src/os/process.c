/*
 * Processes as /proc shows them: opened, looked at, signalled. See proc(5).
 *
 * Owns the texts of /proc/PID/... and their parsers. Never allocates. The only
 * hot function is process_rss: one pread(2) and a parser over 42 bytes.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

enum {
    FILE_PATH_MAX = 64,  /* "/proc/2147483647/status" and the like */
    STAT_TEXT_MAX = 512, /* holds the first 22 fields at their widest */
    STATM_TEXT_MAX = 48, /* holds the first 2 fields at their widest; the rest is not asked for */
    MASK_LABEL_SIZE = sizeof "\nSigCgt:\t",
    SIGNAL_THREAD = 1 << 0, /* PIDFD_SIGNAL_THREAD of linux/pidfd.h, which the headers do not have yet */
    WINDOW_MAX = 4096
};

/* ---- pure ---- */

static bool take(const char *text, size_t size, size_t *at, char wanted)
{
    if (*at >= size || text[*at] != wanted)
        return false;
    (*at)++;
    return true;
}

static bool take_pid(const char *text, size_t size, size_t *at, pid_t *ret_pid)
{
    uint64_t number;
    if (!text_take_number(text, size, at, &number) || number > INT32_MAX)
        return false;
    *ret_pid = (pid_t)number;
    return true;
}

/* Skip ` NUMBER`, which may be negative, count times. */
static bool skip_numbers(const char *text, size_t size, size_t *at, int count)
{
    uint64_t ignored;
    for (int i = 0; i < count; i++) {
        if (!take(text, size, at, ' '))
            return false;
        (void)take(text, size, at, '-');
        if (!text_take_number(text, size, at, &ignored))
            return false;
    }
    return true;
}

int process_parse_stat(const char *text, size_t size, struct process_stat *ret_stat)
{
    struct process_stat stat = { 0 };
    size_t at = 0;
    if (!take_pid(text, size, &at, &stat.pid) || !take(text, size, &at, ' ') || !take(text, size, &at, '('))
        return -EINVAL;

    /* A name may hold blanks, newlines and parentheses: only the last one ends it. */
    const char *close = memrchr(text + at, ')', size - at);
    if (!close)
        return -EINVAL;
    size_t length = (size_t)(close - text) - at;
    memcpy(stat.name, text + at, length < PROCESS_NAME_MAX ? length : PROCESS_NAME_MAX - 1);
    at += length + 1;

    if (!take(text, size, &at, ' ') || at >= size)
        return -EINVAL;
    stat.state = text[at++];
    if (!take(text, size, &at, ' ') || !take_pid(text, size, &at, &stat.parent))
        return -EINVAL;
    /* Fields 5 (pgrp) to 21 (itrealvalue); 22 is the start time. */
    if (!skip_numbers(text, size, &at, 17) || !take(text, size, &at, ' ') ||
        !text_take_number(text, size, &at, &stat.start_ticks))
        return -EINVAL;
    if (at >= size || (text[at] != ' ' && text[at] != '\n')) /* a number cut short is another number */
        return -EINVAL;
    *ret_stat = stat;
    return 0;
}

int process_parse_statm(const char *text, size_t size, uint64_t *ret_pages)
{
    size_t at = 0;
    while (at < size && text[at] >= '0' && text[at] <= '9')
        at++;
    if (at == 0 || !take(text, size, &at, ' '))
        return -EINVAL;
    uint64_t pages;
    if (!text_take_number(text, size, &at, &pages) || at >= size || text[at] != ' ')
        return -EINVAL;
    *ret_pages = pages;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int process_parse_mask(const char *text, size_t size, enum process_mask which, uint64_t *ret_mask)
{
    /* Never the first line; "Name:" escapes its newlines. */
    static const char labels[][MASK_LABEL_SIZE] = {
        [PROCESS_BLOCKED] = "\nSigBlk:\t", [PROCESS_CAUGHT] = "\nSigCgt:\t"
    };
    const char *found = memmem(text, size, labels[which], MASK_LABEL_SIZE - 1);
    if (!found)
        return -EINVAL;
    size_t at = (size_t)(found - text) + MASK_LABEL_SIZE - 1;
    size_t first = at;
    uint64_t mask = 0;
    for (; at < size && hex_digit(text[at]) >= 0; at++) {
        if (at - first == 16)
            return -EINVAL;
        mask = mask << 4 | (uint64_t)hex_digit(text[at]);
    }
    if (at == first || at >= size || text[at] != '\n')
        return -EINVAL;
    *ret_mask = mask;
    return 0;
}

int process_parse_generation(const char *text, size_t size, uint64_t *ret_generation)
{
    const char *blank = memrchr(text, ' ', size);
    if (!blank)
        return -EINVAL;
    size_t at = (size_t)(blank - text) + 1;
    uint64_t generation;
    if (!text_take_number(text, size, &at, &generation) || at >= size || text[at] != '\n')
        return -EINVAL;
    *ret_generation = generation;
    return 0;
}

/* ---- reading ---- */

/* A file of a process that has ended is not there: ENOENT means ESRCH. */
static int open_file(pid_t pid, const char *name)
{
    char path[FILE_PATH_MAX];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    return fd;
}

int process_stat(pid_t pid, struct process_stat *ret_stat)
{
    char text[STAT_TEXT_MAX];
    int fd = open_file(pid, "stat");
    if (fd < 0)
        return fd;
    ssize_t got = read(fd, text, sizeof text);
    int error = got < 0 ? -errno : 0;
    (void)close(fd);
    return error < 0 ? error : process_parse_stat(text, (size_t)got, ret_stat);
}

/*
 * A text of any length seen through a buffer: each step shows the next part,
 * led by the last keep bytes of the part before, so that what is no longer
 * than keep is never cut in two.
 */
struct window {
    int fd;
    size_t keep;
    size_t size;
};

static char window_text[WINDOW_MAX];

/* Returns the size of what is in window_text, 0 at the end, or -errno. */
static ssize_t window_next(struct window *window)
{
    if (window->size > window->keep) {
        memmove(window_text, window_text + window->size - window->keep, window->keep);
        window->size = window->keep;
    }
    ssize_t got = read(window->fd, window_text + window->size, sizeof window_text - window->size);
    if (got <= 0)
        return got < 0 ? -errno : 0;
    window->size += (size_t)got;
    return (ssize_t)window->size;
}

int process_mask(pid_t pid, enum process_mask which, uint64_t *ret_mask)
{
    /* The line before them, `Groups:`, may have 65536 numbers; ours has at most 27 bytes with both newlines. */
    struct window window = { .fd = open_file(pid, "status"), .keep = 32 };
    if (window.fd < 0)
        return window.fd;
    ssize_t size;
    int result = -EINVAL;
    while (result < 0 && (size = window_next(&window)) != 0) {
        if (size < 0) {
            result = (int)size;
            break;
        }
        result = process_parse_mask(window_text, (size_t)size, which, ret_mask);
    }
    (void)close(window.fd);
    return result;
}

int process_maps_contain(pid_t pid, const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > WINDOW_MAX / 2)
        return -EINVAL;
    struct window window = { .fd = open_file(pid, "maps"), .keep = length - 1 };
    if (window.fd < 0)
        return window.fd;
    ssize_t size;
    int result = 0;
    while (result == 0 && (size = window_next(&window)) != 0)
        result = size < 0 ? (int)size : memmem(window_text, (size_t)size, text, length) != NULL;
    (void)close(window.fd);
    return result;
}

int process_executable(pid_t pid, struct process_executable *ret_executable)
{
    char path[FILE_PATH_MAX];
    struct stat file;
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    if (stat(path, &file) < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ret_executable->device = (uint64_t)file.st_dev;
    ret_executable->inode = (uint64_t)file.st_ino;
    return 0;
}

int process_command_line(pid_t pid, char *ret_text, size_t size)
{
    if (size == 0 || size > INT32_MAX)
        return -EINVAL;
    int fd = open_file(pid, "cmdline");
    if (fd < 0)
        return fd;
    size_t length = 0;
    ssize_t got = 0;
    while (length < size - 1 && (got = read(fd, ret_text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    int error = got < 0 ? -errno : 0;
    (void)close(fd);
    if (error < 0)
        return error;
    while (length > 0 && ret_text[length - 1] == '\0')
        length--;
    for (size_t i = 0; i < length; i++)
        if (ret_text[i] == '\0')
            ret_text[i] = ' ';
    ret_text[length] = '\0';
    return (int)length;
}

int process_generation(int *fd, uint64_t *ret_generation)
{
    char text[128];
    if (*fd < 0) {
        int opened = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
        if (opened < 0)
            return -errno;
        *fd = opened;
    }
    ssize_t got = pread(*fd, text, sizeof text, 0);
    if (got < 0)
        return -errno;
    return process_parse_generation(text, (size_t)got, ret_generation);
}

uint64_t process_age_ms(uint64_t start_ticks)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    uint64_t hz = (uint64_t)getauxval(AT_CLKTCK);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    uint64_t start_ms = start_ticks / hz * 1000 + start_ticks % hz * 1000 / hz;
    return now_ms > start_ms ? now_ms - start_ms : 0;
}

/* ---- a process kept open ---- */

/* By number: the wrappers are younger than some libcs we build with. */
static int pidfd_open_pid(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

static int pidfd_signal(int pid_fd, int number, unsigned flags)
{
    return syscall(SYS_pidfd_send_signal, pid_fd, number, NULL, flags) < 0 ? -errno : 0;
}

/* That the number still means this process. */
static int check_identity(const struct process *process, struct process_stat *ret_stat)
{
    int r = process_stat(process->pid, ret_stat);
    if (r < 0)
        return r;
    return ret_stat->start_ticks == process->start_ticks ? 0 : -ESRCH;
}

int process_open(struct process *ret_process, pid_t pid, uint64_t start_ticks)
{
    struct process process = { .pid = pid, .statm_fd = -1, .pid_fd = -1 };
    struct process_stat stat;
    int r;

    *ret_process = process;
    if (pid <= 0)
        return -ESRCH;
    process.pid_fd = pidfd_open_pid(pid);
    if (process.pid_fd < 0)
        return process.pid_fd;
    process.statm_fd = open_file(pid, "statm");
    if (process.statm_fd < 0) {
        r = process.statm_fd;
        goto fail;
    }
    r = process_stat(pid, &stat);
    if (r < 0)
        goto fail;
    r = -ESRCH;
    if ((start_ticks != 0 && stat.start_ticks != start_ticks) || stat.state == 'Z' || stat.state == 'X')
        goto fail;
    /* The pidfd's process has not been reaped, so the number was its own all along, in both reads above. */
    r = pidfd_signal(process.pid_fd, 0, 0);
    if (r < 0 && r != -EPERM)
        goto fail;
    process.start_ticks = stat.start_ticks;
    *ret_process = process;
    return 0;

fail:
    process_close(&process);
    return r;
}

void process_close(struct process *process)
{
    if (process->statm_fd >= 0)
        (void)close(process->statm_fd);
    if (process->pid_fd >= 0)
        (void)close(process->pid_fd);
    process->statm_fd = -1;
    process->pid_fd = -1;
}

int process_rss(const struct process *process, uint64_t *ret_bytes)
{
    char text[STATM_TEXT_MAX];
    uint64_t pages;
    ssize_t got = pread(process->statm_fd, text, sizeof text, 0);
    if (got < 0)
        return -errno;
    int r = process_parse_statm(text, (size_t)got, &pages);
    if (r < 0)
        return r;
    if (text[0] == '0') /* no address space: a zombie */
        return -ESRCH;
    *ret_bytes = pages * (uint64_t)getpagesize();
    return 0;
}

int process_signal(const struct process *process, int number, bool must_handle)
{
    struct process_stat stat;
    uint64_t caught = 0;
    int r;

    if (number < 0 || number > 64 || (must_handle && number == 0))
        return -EINVAL;
    if (must_handle) {
        r = process_mask(process->pid, PROCESS_CAUGHT, &caught);
        if (r < 0)
            return r;
    }
    r = check_identity(process, &stat);
    if (r < 0)
        return r;
    if (must_handle && !(caught >> (number - 1) & 1))
        return -ENOTSUP;
    /* Fails with ESRCH once it has been reaped: what was read above was not another's, then. */
    return pidfd_signal(process->pid_fd, number, 0);
}

int process_ask_agent(const struct process *process)
{
    struct process_stat stat;
    uint64_t blocked = 0;
    uint64_t caught = 0;
    int r = process_mask(process->pid, PROCESS_BLOCKED, &blocked);
    if (r == 0)
        r = process_mask(process->pid, PROCESS_CAUGHT, &caught);
    if (r == 0)
        r = check_identity(process, &stat);
    if (r < 0)
        return r;
    if ((caught >> (SIGURG - 1) & 1) == 0)
        return -ENOTSUP;
    if ((blocked >> (SIGURG - 1) & 1) != 0)
        return pidfd_signal(process->pid_fd, SIGURG, 0);
    r = pidfd_signal(process->pid_fd, SIGURG, SIGNAL_THREAD);
    if (r != -EINVAL)
        return r;
    /* Before Linux 6.9. Should the number have become another's just now: that one ignores it, signal(7). */
    return syscall(SYS_tgkill, process->pid, process->pid, SIGURG) < 0 ? -errno : 0;
}

int process_wake(const struct process *process)
{
    struct process_stat stat;
    int r = check_identity(process, &stat);
    if (r < 0)
        return r;
    return stat.state == 'T' ? pidfd_signal(process->pid_fd, SIGCONT, 0) : 0;
}
