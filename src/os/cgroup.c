/*
 * The memory of our cgroup, v1 or v2. See cgroups(7) and the kernel's
 * cgroup-v1/memory.rst and cgroup-v2.rst.
 *
 * Owns the descriptors of the files. They stay open: a pread(2) at 0 makes the
 * kernel format the value anew, so a resize in place is seen.
 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "text.h"

enum { EVENTS_TEXT_MAX = 512 }; /* of memory.events; seven lines of at most 37 bytes */

/* ---- pure ---- */

int cgroup_parse_limit(const char *text, size_t size, uint64_t *ret_bytes)
{
    /* v1 writes LONG_MAX rounded down to a page, of 64 KiB at most, for "none". */
    static const uint64_t none_from = INT64_MAX - 0xffff;
    while (size > 0 && text[size - 1] == '\n')
        size--;
    if (size == 3 && memcmp(text, "max", 3) == 0) {
        *ret_bytes = UINT64_MAX;
        return 0;
    }
    uint64_t bytes;
    size_t at = 0;
    if (!text_take_number(text, size, &at, &bytes) || at != size)
        return -EINVAL;
    *ret_bytes = bytes >= none_from ? UINT64_MAX : bytes;
    return 0;
}

int cgroup_parse_events(const char *text, size_t size, struct cgroup_events *ret_events)
{
    struct cgroup_events events = { 0 };
    const struct {
        const char *key;
        uint64_t *number;
    } counters[] = {
        { "oom", &events.oom },
        { "oom_kill", &events.oom_kill },
        { "high", &events.high },
        { "max", &events.max },
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        int r = text_find_number(text, size, counters[i].key, counters[i].number);
        if (r < 0 && r != -ENODATA)
            return r;
    }
    *ret_events = events;
    return 0;
}

/* ---- opening ---- */

/* Open the limit files from our own cgroup up to the top of the mount. */
static int open_limits(struct cgroup *cgroup, const char *root, const char *mount, char *path)
{
    const char *name = cgroup->version == 2 ? "memory.max" : "memory.limit_in_bytes";
    char file[CGROUP_PATH_MAX];
    while (cgroup->count < CGROUP_DEPTH_MAX) {
        int length = snprintf(file, sizeof file, "%s%s%s/%s", root, mount, path, name);
        if (length < 0 || (size_t)length >= sizeof file)
            return -ENAMETOOLONG;
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT) /* not there: the root cgroup, or a level that was removed */
            return -errno;
        if (fd >= 0) {
            if (cgroup->count == 0)
                memcpy(cgroup->path, file, (size_t)length + 1);
            cgroup->directory[cgroup->count] = (uint16_t)((size_t)length - strlen(name));
            cgroup->limit_fd[cgroup->count++] = fd;
        }
        char *slash = strrchr(path, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    return 0;
}

int cgroup_open(struct cgroup *ret_cgroup, const char *root)
{
    char mount[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX];
    memset(ret_cgroup, 0, sizeof *ret_cgroup);
    ret_cgroup->level = -1;
    ret_cgroup->used_fd = ret_cgroup->stat_fd = ret_cgroup->events_fd = ret_cgroup->failures_fd = -1;

    int r = cgroup_find(root, CGROUP_MEMORY, mount, path);
    if (r > 0) {
        ret_cgroup->version = r;
        r = open_limits(ret_cgroup, root, mount, path);
    }
    if (r < 0)
        cgroup_close(ret_cgroup);
    if (ret_cgroup->count == 0)
        ret_cgroup->version = 0;
    return r;
}

/* Open a file of a level, if it is not open. The levels above our own are its path cut shorter. */
static int open_at(const struct cgroup *cgroup, int level, const char *name, int *fd)
{
    char file[CGROUP_PATH_MAX];
    if (*fd >= 0)
        return 0;
    int length = snprintf(file, sizeof file, "%.*s%s", (int)cgroup->directory[level], cgroup->path, name);
    if (length < 0 || (size_t)length >= sizeof file)
        return -ENAMETOOLONG;
    *fd = open(file, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? -errno : 0;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void close_used(struct cgroup *cgroup)
{
    close_one(&cgroup->used_fd);
    close_one(&cgroup->stat_fd);
}

static void close_events(struct cgroup *cgroup)
{
    close_one(&cgroup->events_fd);
    close_one(&cgroup->failures_fd);
}

void cgroup_close(struct cgroup *cgroup)
{
    if (cgroup->count == 0) /* of zeros, perhaps, which are descriptors of others */
        return;
    for (int i = 0; i < cgroup->count; i++)
        close_one(&cgroup->limit_fd[i]);
    close_used(cgroup);
    close_events(cgroup);
    cgroup->count = 0;
}

int cgroup_descriptors(const struct cgroup *cgroup, int *ret_fds, size_t max)
{
    const int more[] = { cgroup->used_fd, cgroup->stat_fd, cgroup->events_fd, cgroup->failures_fd };
    size_t count = 0;
    if (cgroup->count == 0)
        return 0;
    for (int i = 0; i < cgroup->count && count < max; i++)
        ret_fds[count++] = cgroup->limit_fd[i];
    for (size_t i = 0; i < sizeof more / sizeof more[0] && count < max; i++) {
        if (more[i] >= 0)
            ret_fds[count++] = more[i];
    }
    return (int)count;
}

/* ---- reading ---- */

static int read_bytes(int fd, uint64_t *ret_bytes)
{
    char text[32];
    ssize_t got = pread(fd, text, sizeof text, 0);
    return got < 0 ? -errno : cgroup_parse_limit(text, (size_t)got, ret_bytes);
}

int cgroup_limit(struct cgroup *cgroup, uint64_t *ret_bytes)
{
    struct sysinfo machine;
    if (sysinfo(&machine) < 0)
        return -errno;
    uint64_t machine_bytes = (uint64_t)machine.totalram * machine.mem_unit;
    uint64_t least = machine_bytes;
    int level = -1, gone = 0;
    for (int i = 0; i < cgroup->count; i++) {
        uint64_t bytes = 0;
        int r = read_bytes(cgroup->limit_fd[i], &bytes);
        if (r == -ENODEV) { /* removed: it holds nobody any more */
            gone++;
            continue;
        }
        if (r < 0)
            return r;
        if (bytes < machine_bytes && bytes <= least) {
            least = bytes;
            level = i;
        }
    }
    if (cgroup->count > 0 && gone == cgroup->count)
        return -ENODEV;
    cgroup->level = level;
    *ret_bytes = least;
    return 0;
}

int cgroup_used(struct cgroup *cgroup, uint64_t enough_bytes, uint64_t *ret_bytes)
{
    bool v2 = cgroup->version == 2;
    uint64_t used = 0, inactive = 0;
    if (cgroup->count == 0 || cgroup->level < 0)
        return -ENODATA;
    if (cgroup->level != cgroup->used_level)
        close_used(cgroup);
    cgroup->used_level = cgroup->level;
    int r = open_at(cgroup, cgroup->level, v2 ? "memory.current" : "memory.usage_in_bytes", &cgroup->used_fd);
    if (r == 0)
        r = open_at(cgroup, cgroup->level, "memory.stat", &cgroup->stat_fd);
    if (r == 0)
        r = read_bytes(cgroup->used_fd, &used);
    if (r == 0 && used >= enough_bytes) {
        r = text_read_number(cgroup->stat_fd, v2 ? "inactive_file" : "total_inactive_file", &inactive);
        if (r == -ENODATA) /* what it means to us is another thing */
            r = -EINVAL;
    }
    if (r < 0) {
        close_used(cgroup); /* of a cgroup that was removed, perhaps, and made again */
        return r;
    }
    *ret_bytes = used > inactive ? used - inactive : 0; /* they were read one after the other */
    return 0;
}

int cgroup_events(struct cgroup *cgroup, struct cgroup_events *ret_events)
{
    bool v2 = cgroup->version == 2;
    char text[EVENTS_TEXT_MAX];
    struct cgroup_events events;
    if (cgroup->count == 0)
        return -ENODATA;
    int r = open_at(cgroup, 0, v2 ? "memory.events" : "memory.oom_control", &cgroup->events_fd);
    if (r == 0 && !v2)
        r = open_at(cgroup, 0, "memory.failcnt", &cgroup->failures_fd);
    if (r == 0) {
        ssize_t got = pread(cgroup->events_fd, text, sizeof text, 0);
        r = got < 0 ? -errno : cgroup_parse_events(text, (size_t)got, &events);
    }
    if (r == 0 && !v2)
        r = read_bytes(cgroup->failures_fd, &events.max);
    if (r < 0) {
        close_events(cgroup);
        return r;
    }
    *ret_events = events;
    return 0;
}
