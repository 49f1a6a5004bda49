/*
 * Memory pressure by the kernel's PSI files. Owns one descriptor: a trigger
 * lives as long as the descriptor that it was written to.
 */
#include "pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

enum { PRESSURE_TEXT_MAX = 256 }; /* two lines of at most 73 bytes */

/* ---- pure ---- */

int pressure_parse_total(const char *text, size_t size, bool full, uint64_t *ret_total_us)
{
    static const char label[] = " total=";
    const char *end;
    for (size_t at = 0; at < size && (end = memchr(text + at, '\n', size - at)) != NULL;
         at = (size_t)(end - text) + 1) {
        size_t stop = (size_t)(end - text);
        if (stop - at < 5 || memcmp(text + at, full ? "full " : "some ", 5) != 0)
            continue;
        const char *found = memmem(text + at, stop - at, label, sizeof label - 1);
        if (!found)
            return -EINVAL;
        at = (size_t)(found - text) + sizeof label - 1;
        uint64_t total_us;
        if (!text_take_number(text, stop, &at, &total_us) || at != stop)
            return -EINVAL;
        *ret_total_us = total_us;
        return 0;
    }
    return -EINVAL;
}

bool pressure_round(struct pressure_trigger *trigger)
{
    uint64_t window_us = trigger->window_us + PRESSURE_WINDOW_STEP_US - 1;
    window_us -= window_us % PRESSURE_WINDOW_STEP_US;
    if (window_us == trigger->window_us)
        return false;
    trigger->stall_us = trigger->stall_us * window_us / trigger->window_us;
    trigger->window_us = window_us;
    return true;
}

/* ---- opening ---- */

static int write_trigger(int fd, const struct pressure_trigger *trigger)
{
    char text[64];
    if (trigger->window_us > PRESSURE_WINDOW_MAX_US) /* the kernel would take it modulo 2^32 */
        return -EINVAL;
    int length = snprintf(text, sizeof text, "%s %u %u", trigger->full ? "full" : "some", (unsigned)trigger->stall_us,
                          (unsigned)trigger->window_us);
    return write(fd, text, (size_t)length + 1) < 0 ? -errno
                                                   : 0; /* with its NUL: the kernel puts one on the last byte */
}

/*
 * A window that the kernel refuses is one that it grants only those with
 * CAP_SYS_RESOURCE, or one below 500 ms: rounded up it is good for both.
 */
static int open_trigger(struct pressure *pressure)
{
    pressure->fd = open(pressure->path, O_RDWR | O_CLOEXEC);
    if (pressure->fd < 0)
        return -errno;
    int r = write_trigger(pressure->fd, &pressure->trigger);
    if (r == -EINVAL && pressure_round(&pressure->trigger))
        r = write_trigger(pressure->fd, &pressure->trigger);
    if (r < 0)
        (void)close(pressure->fd);
    return r;
}

static int read_total(const struct pressure *pressure, uint64_t *ret_total_us)
{
    char text[PRESSURE_TEXT_MAX];
    ssize_t got = pread(pressure->fd, text, sizeof text, 0);
    return got < 0 ? -errno : pressure_parse_total(text, (size_t)got, pressure->trigger.full, ret_total_us);
}

static int open_reading(struct pressure *pressure)
{
    uint64_t total_us;
    pressure->fd = open(pressure->path, O_RDONLY | O_CLOEXEC);
    if (pressure->fd < 0)
        return -errno;
    int r = read_total(pressure, &total_us);
    if (r < 0)
        (void)close(pressure->fd);
    return r;
}

static int find_file(const char *root, bool own_cgroup, char *ret_path)
{
    char mount[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX];
    int length;
    if (own_cgroup) {
        int r = cgroup_find(root, CGROUP_UNIFIED, mount, path);
        if (r <= 0)
            return r < 0 ? r : -ENOENT;
        length = snprintf(ret_path, CGROUP_PATH_MAX, "%s%s%s/memory.pressure", root, mount, path);
    } else {
        length = snprintf(ret_path, CGROUP_PATH_MAX, "%s/proc/pressure/memory", root);
    }
    return length < 0 || length >= CGROUP_PATH_MAX ? -ENAMETOOLONG : 0;
}

int pressure_open(struct pressure *ret_pressure, const struct pressure_trigger *trigger, const char *root)
{
    static const struct {
        enum pressure_method method;
        bool own_cgroup;
    } ways[] = {
        { PRESSURE_TRIGGER, true },
        { PRESSURE_TRIGGER, false },
        { PRESSURE_READING, true },
        { PRESSURE_READING, false },
    };
    int r = 0;
    memset(ret_pressure, 0, sizeof *ret_pressure);
    if (trigger->stall_us == 0 || trigger->stall_us > trigger->window_us || trigger->window_us > UINT32_MAX)
        return -EINVAL;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        ret_pressure->trigger = *trigger;
        r = find_file(root, ways[i].own_cgroup, ret_pressure->path);
        if (r == 0)
            r = ways[i].method == PRESSURE_TRIGGER ? open_trigger(ret_pressure) : open_reading(ret_pressure);
        if (r == 0) {
            ret_pressure->method = ways[i].method;
            ret_pressure->own_cgroup = ways[i].own_cgroup;
            return 0;
        }
    }
    return r == -ENOENT ? -ENOTSUP : r; /* disabled: EOPNOTSUPP, which is the same number */
}

void pressure_close(struct pressure *pressure)
{
    if (pressure->method != PRESSURE_NONE)
        (void)close(pressure->fd);
    pressure->method = PRESSURE_NONE;
}

/* ---- reading ---- */

/* As much waiting in passed_us as the trigger's share; for less than a window, what it allows in a whole one. */
static uint64_t share_us(const struct pressure_trigger *trigger, uint64_t passed_us)
{
    if (passed_us < trigger->window_us)
        return trigger->stall_us;
    return passed_us / trigger->window_us * trigger->stall_us +
           passed_us % trigger->window_us * trigger->stall_us / trigger->window_us;
}

int pressure_read(struct pressure *pressure, uint64_t now_ms, bool *ret_exceeded)
{
    uint64_t total_us = 0;
    if (pressure->method == PRESSURE_NONE)
        return -EBADF;
    int r = read_total(pressure, &total_us);
    if (r < 0)
        return r;
    if (pressure->method == PRESSURE_TRIGGER) {
        *ret_exceeded = true;
        return 0;
    }
    uint64_t passed_us = now_ms * 1000 - pressure->base_us;
    *ret_exceeded = pressure->has_base && total_us - pressure->base_total_us >= share_us(&pressure->trigger, passed_us);
    if (!pressure->has_base || *ret_exceeded || passed_us >= pressure->trigger.window_us) {
        pressure->has_base = true;
        pressure->base_us = now_ms * 1000;
        pressure->base_total_us = total_us;
    }
    return 0;
}
