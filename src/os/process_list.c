/*
 * Finding processes: children and descendants of one, from
 * /proc/PID/task/TID/children, or from the parent links of a whole /proc.
 *
 * Runs after start, so opendir(3) and qsort(3), which may allocate, are out:
 * directories are read by getdents64(2) into a static buffer.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- directories whose entries are numbers ---- */

struct directory {
    int fd;
    size_t at;
    size_t size;
};

/* As getdents64(2) gives it; no libc exports it by this name. */
struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* One directory is read at a time. */
static _Alignas(struct directory_entry) char directory_buffer[4096];

static int directory_open(struct directory *directory, const char *path)
{
    *directory = (struct directory){ .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    return directory->fd < 0 ? -errno : 0;
}

/* The number that name is, or 0. */
static pid_t number_of(const char *name)
{
    pid_t number = 0;
    for (; *name >= '0' && *name <= '9'; name++) {
        if (number > (INT32_MAX - 9) / 10)
            return 0;
        number = number * 10 + (*name - '0');
    }
    return *name == '\0' ? number : 0;
}

/* The next entry that is a number, 0 at the end, or -errno. */
static pid_t directory_next(struct directory *directory)
{
    for (;;) {
        if (directory->at >= directory->size) {
            long got = syscall(SYS_getdents64, directory->fd, directory_buffer, sizeof directory_buffer);
            if (got <= 0)
                return got < 0 ? -errno : 0;
            directory->at = 0;
            directory->size = (size_t)got;
        }
        const struct directory_entry *entry = (const void *)(directory_buffer + directory->at);
        directory->at += entry->size;
        pid_t number = number_of(entry->name);
        if (number > 0)
            return number;
    }
}

/* ---- the list ---- */

static bool list_add(struct process_list *list, pid_t pid, pid_t parent)
{
    if (list->count == PROCESS_LIST_MAX) {
        list->cut = true;
        return false;
    }
    list->item[list->count].pid = pid;
    list->item[list->count].parent = parent;
    list->count++;
    return true;
}

/* By pid; Shell's method in place. Most of what comes in is in order already. */
static void list_sort(struct process_list *list)
{
    static const uint32_t gaps[] = { 1750, 701, 301, 132, 57, 23, 10, 4, 1 };
    for (size_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++) {
        uint32_t gap = gaps[g];
        for (uint32_t i = gap; i < list->count; i++) {
            pid_t pid = list->item[i].pid;
            pid_t parent = list->item[i].parent;
            uint32_t j = i;
            for (; j >= gap && list->item[j - gap].pid > pid; j -= gap)
                list->item[j] = list->item[j - gap];
            list->item[j].pid = pid;
            list->item[j].parent = parent;
        }
    }
}

/* Position of a pid in a sorted list, or -1. */
static int list_find(const struct process_list *list, pid_t pid)
{
    uint32_t low = 0;
    uint32_t high = list->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (list->item[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && list->item[low].pid == pid ? (int)low : -1;
}

/* A process whose parent ended while we read shows up under its old and its new one. */
static void list_drop_doubles(struct process_list *list)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (kept == 0 || list->item[kept - 1].pid != list->item[i].pid)
            list->item[kept++] = list->item[i];
    list->count = kept;
}

/* ---- by /proc/PID/task/TID/children ---- */

/* Numbers, each followed by a blank; one may be cut by the end of a read. */
static int read_children(pid_t pid, pid_t thread, struct process_list *list)
{
    char text[1024];
    (void)snprintf(text, sizeof text, "/proc/%d/task/%d/children", (int)pid, (int)thread);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    pid_t number = 0;
    ssize_t got;
    while ((got = read(fd, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                number = number * 10 + (text[i] - '0');
            } else {
                if (number > 0 && !list_add(list, number, pid))
                    break;
                number = 0;
            }
        }
        if (list->cut)
            break;
    }
    int error = got < 0 ? -errno : 0;
    (void)close(fd);
    return error;
}

/* Every thread may have children of its own. */
static int add_children(pid_t pid, struct process_list *list)
{
    char path[64];
    struct directory tasks;
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    int r = directory_open(&tasks, path);
    if (r < 0)
        return r == -ENOENT ? -ESRCH : r;
    pid_t thread = 0;
    while (!list->cut && (thread = directory_next(&tasks)) > 0) {
        r = read_children(pid, thread, list);
        if (r < 0 && r != -ESRCH) /* a thread may have ended */
            break;
        r = 0;
    }
    if (!list->cut && r == 0 && thread < 0)
        r = thread == -ENOENT ? -ESRCH : (int)thread;
    (void)close(tasks.fd);
    return r;
}

static int list_by_children(pid_t root, enum process_depth depth, struct process_list *list)
{
    int r = add_children(root, list);
    if (r < 0)
        return r;
    for (uint32_t i = 0; depth == PROCESS_DESCENDANTS && i < list->count && !list->cut; i++) {
        r = add_children(list->item[i].pid, list);
        if (r < 0 && r != -ESRCH && r != -EACCES)
            return r;
    }
    list_sort(list);
    list_drop_doubles(list);
    return 0;
}

/* ---- by a scan of /proc ---- */

enum verdict { VERDICT_OPEN, VERDICT_ASKED, VERDICT_IN, VERDICT_OUT };

static uint8_t verdicts[PROCESS_LIST_MAX]; /* by position in the list */

/*
 * Whether root is above the process at this position: up the parent links to
 * one whose verdict is known, then up again to note it, so that each link is
 * followed twice in all. Links read at different times may form a circle;
 * whoever is in one is out.
 */
static void judge(const struct process_list *list, int position, pid_t root)
{
    enum verdict verdict = VERDICT_OUT;
    int at = position;
    while (at >= 0 && verdicts[at] == VERDICT_OPEN) {
        verdicts[at] = VERDICT_ASKED;
        if (list->item[at].parent == root) {
            verdict = VERDICT_IN;
            break;
        }
        at = list_find(list, list->item[at].parent);
    }
    if (at >= 0 && verdicts[at] == VERDICT_IN)
        verdict = VERDICT_IN;
    for (at = position; at >= 0 && verdicts[at] == VERDICT_ASKED; at = list_find(list, list->item[at].parent))
        verdicts[at] = (uint8_t)verdict;
}

static void keep_related(struct process_list *list, pid_t root, enum process_depth depth)
{
    memset(verdicts, VERDICT_OPEN, list->count);
    for (int i = 0; i < (int)list->count; i++) {
        if (list->item[i].pid == root)
            verdicts[i] = VERDICT_OUT;
        else if (depth == PROCESS_CHILDREN)
            verdicts[i] = list->item[i].parent == root ? VERDICT_IN : VERDICT_OUT;
        else
            judge(list, i, root);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (verdicts[i] == VERDICT_IN)
            list->item[kept++] = list->item[i];
    list->count = kept;
}

static int list_by_scan(pid_t root, enum process_depth depth, struct process_list *list)
{
    struct directory proc;
    int r = directory_open(&proc, "/proc");
    if (r < 0)
        return r;
    pid_t pid;
    while ((pid = directory_next(&proc)) > 0) {
        struct process_stat stat;
        r = process_stat(pid, &stat);
        if (r == -ESRCH || r == -EACCES || r == -EPERM) { /* ended, or hidden from us (hidepid, proc(5)) */
            r = 0;
            continue;
        }
        if (r < 0 || !list_add(list, pid, stat.parent))
            break;
    }
    (void)close(proc.fd);
    if (r == 0 && pid < 0)
        r = (int)pid;
    if (r < 0)
        return r;
    list_sort(list);
    if (list_find(list, root) < 0 && !list->cut)
        return -ESRCH;
    keep_related(list, root, depth);
    return 0;
}

int process_list(pid_t root, enum process_depth depth, bool force_scan, struct process_list *ret_list)
{
    static bool asked, has_children_file;
    if (!asked) { /* CONFIG_PROC_CHILDREN */
        has_children_file = access("/proc/thread-self/children", F_OK) == 0;
        asked = true;
    }
    ret_list->count = 0;
    ret_list->cut = false;
    int r;
    if (has_children_file && !force_scan)
        r = list_by_children(root, depth, ret_list);
    else
        r = list_by_scan(root, depth, ret_list);
    if (r < 0)
        ret_list->count = 0;
    return r;
}
