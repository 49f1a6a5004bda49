/*
 * A real cgroup with a memory limit, made below our own: v2, or v1 with a v2
 * cgroup beside it for the pressure files. And a tree that shows it as ours.
 */
#ifndef TESTS_UNIT_BOX_H
#define TESTS_UNIT_BOX_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tree.h"

enum { BOX_PATH_MAX = 1024 };

static struct box {
    int version;
    char memory[BOX_PATH_MAX];   /* directory */
    char pressure[BOX_PATH_MAX]; /* directory; empty: there is none */
} box;

/* What is behind prefix in a line of /proc/self/cgroup. */
static inline bool own_path(const char *prefix, char *ret_path)
{
    char line[BOX_PATH_MAX];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        char *at = strstr(line, prefix);
        if (!at)
            continue;
        at += strlen(prefix);
        at[strcspn(at, "\n")] = '\0';
        (void)snprintf(ret_path, BOX_PATH_MAX / 2, "%.400s/trimtab-test-%d", strcmp(at, "/") == 0 ? "" : at,
                       (int)getpid());
        found = true;
    }
    if (file)
        (void)fclose(file);
    return found;
}

static inline void box_set(const char *directory, const char *name, const char *value)
{
    char path[BOX_PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value))
        fail_msg("%s to %s: %s", value, path, strerror(errno));
    (void)close(fd);
}

static inline void box_limit(const char *bytes)
{
    box_set(box.memory, box.version == 2 ? "memory.max" : "memory.limit_in_bytes", bytes);
}

/* Skips the test if this machine has none. In the tree, /proc/self says that we are in it. */
static inline void box_make(void)
{
    char path[BOX_PATH_MAX / 2], unified[BOX_PATH_MAX / 2] = "", text[2 * BOX_PATH_MAX], file[BOX_PATH_MAX + 64];
    static char mounts[1 << 20];
    if (own_path(":memory:", path)) {
        box.version = 1;
        (void)snprintf(box.memory, sizeof box.memory, "/sys/fs/cgroup/memory%s", path);
        if (own_path("0::", unified))
            (void)snprintf(box.pressure, sizeof box.pressure, "/sys/fs/cgroup/unified%s", unified);
        (void)snprintf(text, sizeof text, "4:memory:%s\n0::%s\n", path, unified);
        (void)snprintf(file, sizeof file, "%s/memory.limit_in_bytes", box.memory);
    } else if (own_path("0::", path)) {
        box.version = 2;
        (void)snprintf(box.memory, sizeof box.memory, "/sys/fs/cgroup%s", path);
        (void)snprintf(box.pressure, sizeof box.pressure, "/sys/fs/cgroup%s", path);
        (void)snprintf(text, sizeof text, "0::%s\n", path);
        (void)snprintf(file, sizeof file, "%s/memory.max", box.memory);
    }
    if (box.version == 0 || mkdir(box.memory, 0755) < 0 || access(file, W_OK) < 0) {
        print_message("SKIPPED: no memory cgroup that can be added to on this machine\n");
        skip();
    }
    (void)snprintf(file, sizeof file, "%s/memory.swap.max", box.memory);
    if (box.version == 1)
        box_set(box.memory, "memory.swappiness", "0");
    else if (access(file, W_OK) == 0)
        box_set(box.memory, "memory.swap.max", "0");
    if (box.version == 1 && (box.pressure[0] == '\0' || mkdir(box.pressure, 0755) < 0))
        box.pressure[0] = '\0';
    FILE *from = fopen("/proc/self/mountinfo", "re");
    assert_non_null(from);
    mounts[fread(mounts, 1, sizeof mounts - 1, from)] = '\0';
    (void)fclose(from);
    put("/proc/self/mountinfo", mounts);
    put("/proc/self/cgroup", text);
    (void)snprintf(file, sizeof file, "%s/sys", tree);
    assert_return_code(symlink("/sys", file), errno);
}

/* A removed cgroup may hold its pages for a while. */
static inline int box_remove_one(const char *directory)
{
    for (int i = 0; directory[0] != '\0' && rmdir(directory) < 0 && errno == EBUSY && i < 1000; i++)
        (void)nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    return directory[0] == '\0' || access(directory, F_OK) < 0 ? 0 : -1;
}

static inline int box_remove(void **state)
{
    int r = remove_tree(state);
    r |= box_remove_one(box.memory);
    r |= box_remove_one(box.pressure);
    box = (struct box){ 0 };
    return r;
}

/* A child in the box that runs work, and dies with us. */
static inline pid_t box_run(void (*work)(void))
{
    int go[2];
    char byte, text[32];
    assert_return_code(pipe(go), errno);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(go[1]);
        if (read(go[0], &byte, 1) == 1)
            work();
        _exit(0);
    }
    (void)close(go[0]);
    (void)snprintf(text, sizeof text, "%d", (int)pid);
    box_set(box.memory, "cgroup.procs", text);
    if (box.version == 1 && box.pressure[0] != '\0')
        box_set(box.pressure, "cgroup.procs", text);
    assert_int_equal(write(go[1], "x", 1), 1);
    (void)close(go[1]);
    return pid;
}

#endif
