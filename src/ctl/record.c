#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/loop.h"
#include "os/pressure.h"

enum { PRESSURE_PATH_MAX = 2 * CGROUP_PATH_MAX + 32, PRESSURE_TEXT_MAX = 512, CGROUP_TEXT_MAX = 4096 };

/* Programs that start one other and are not what is looked for. A name is cut to 15 bytes, proc_pid_stat(5). */
static const char *const inits[] = { "trimtab", "tini", "tini-static", "docker-init", "dumb-init", "catatonit" };

/* ---- writing ---- */

static int make_room(struct record *record, size_t size)
{
    if (record->text_room - record->text_used >= size)
        return 0;
    size_t room = 2 * record->text_room + size;
    char *grown = realloc(record->text, room);
    if (grown == NULL)
        return -ENOMEM;
    record->text = grown;
    record->text_room = room;
    return 0;
}

/* Whole lines: what was written of a line that failed is taken back, where the file allows it. */
static int write_text(struct record *record)
{
    size_t written = 0;
    while (written < record->text_used) {
        ssize_t taken = write(record->fd, record->text + written, record->text_used - written);
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken < 0) {
            int error = errno;
            size_t whole = written;
            while (whole > 0 && record->text[whole - 1] != '\n')
                whole--;
            if (whole < written && ftruncate(record->fd, record->size + (off_t)whole) < 0 && errno != EINVAL)
                error = errno;
            return -error;
        }
        written += (size_t)taken;
    }
    record->size += (int64_t)written;
    record->text_used = 0;
    return 0;
}

/* ---- the container ---- */

static int open_pressure(void)
{
    char mount[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX], file[PRESSURE_PATH_MAX];
    if (cgroup_find("", CGROUP_UNIFIED, mount, path) == 2) {
        (void)snprintf(file, sizeof file, "%s%s/memory.pressure", mount, path);
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);
}

static ssize_t read_cgroup(const char *pid, char *ret_text, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%s/cgroup", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, ret_text, size) : -1;
    if (fd >= 0)
        (void)close(fd);
    return length;
}

/* What the files of our own cgroup say is only of use if the tree is in it. */
static bool same_cgroup(pid_t root)
{
    char pid[16], own[CGROUP_TEXT_MAX], its[CGROUP_TEXT_MAX];
    (void)snprintf(pid, sizeof pid, "%d", root);
    ssize_t own_size = read_cgroup("self", own, sizeof own), its_size = read_cgroup(pid, its, sizeof its);
    return own_size > 0 && own_size == its_size && memcmp(own, its, (size_t)own_size) == 0;
}

static void look_at_container(struct record *record)
{
    struct trace_container *container = &record->container;
    struct cgroup_events events;
    char text[PRESSURE_TEXT_MAX];

    *container = (struct trace_container){ TRACE_UNKNOWN, TRACE_UNKNOWN, TRACE_UNKNOWN, TRACE_UNKNOWN };
    if (!record->same_cgroup)
        return;
    if (cgroup_limit(&record->cgroup, &container->limit_bytes) < 0)
        container->limit_bytes = TRACE_UNKNOWN;
    if (cgroup_used(&record->cgroup, 0, &container->used_bytes) < 0)
        container->used_bytes = TRACE_UNKNOWN;
    container->oom_kill = cgroup_events(&record->cgroup, &events) == 0 ? events.oom_kill : TRACE_UNKNOWN;
    ssize_t size = record->pressure_fd >= 0 ? pread(record->pressure_fd, text, sizeof text, 0) : -1;
    if (size <= 0 || pressure_parse_total(text, (size_t)size, false, &container->pressure_us) < 0)
        container->pressure_us = TRACE_UNKNOWN;
}

/* ---- the tree ---- */

static void forget(struct record_known *known)
{
    process_close(&known->process);
    free(known->command);
}

int record_open(struct record *record, pid_t root, int fd)
{
    struct process_stat stat;
    *record = (struct record){ .fd = fd, .root = root > 0 ? root : 1, .pressure_fd = -1 };
    record->text_room = TRACE_LINE_MAX;
    record->text = malloc(record->text_room);
    if (record->text == NULL)
        return -ENOMEM;
    int r = process_stat(record->root, &stat);
    if (r == 0)
        r = cgroup_open(&record->cgroup, "");
    if (r < 0)
        return r == -ENOENT ? -ESRCH : r;
    for (size_t i = 0; i < sizeof inits / sizeof inits[0]; i++)
        record->is_init = record->is_init || strcmp(stat.name, inits[i]) == 0;
    record->same_cgroup = same_cgroup(record->root);
    record->pressure_fd = open_pressure();
    record->begin_ms = loop_now_ms();
    record->exact_at_us = loop_now_us();
    record->exact_us = RECORD_EXACT_SAVED_US;
    return 0;
}

void record_close(struct record *record)
{
    for (uint32_t i = 0; i < record->known_count; i++)
        forget(&record->known[i]);
    if (record->pressure_fd >= 0)
        (void)close(record->pressure_fd);
    cgroup_close(&record->cgroup);
    free(record->known);
    free(record->text);
    record->known = NULL;
    record->text = NULL;
    record->known_count = 0;
    record->pressure_fd = -1;
}

/* An init's worker is the child it started first; one that trimtab starts again later follows. */
static void find_worker(struct record *record)
{
    uint64_t oldest = UINT64_MAX;
    struct process_stat stat;
    pid_t worker = 0;

    if (!record->is_init) {
        record->worker = record->root;
        return;
    }
    if (record->worker > 0 && process_stat(record->worker, &stat) == 0 && stat.parent == record->root &&
        stat.state != 'Z')
        return;
    for (uint32_t i = 0; i < record->list.count; i++) {
        if (record->list.item[i].parent != record->root || process_stat(record->list.item[i].pid, &stat) < 0 ||
            stat.state == 'Z' || stat.start_ticks >= oldest)
            continue;
        oldest = stat.start_ticks;
        worker = stat.pid;
    }
    record->worker = worker;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t left = ((const struct record_known *)a)->process.pid, right = ((const struct record_known *)b)->process.pid;
    return left < right ? -1 : left > right;
}

/* Known before, or opened now. sorted: how many of known[] are in order, which new ones are not. */
static struct record_known *know(struct record *record, const struct process_stat *stat, uint32_t sorted,
                                 uint64_t now_ms)
{
    const struct record_known wanted = { .process.pid = stat->pid };
    struct record_known *found =
        sorted > 0 ? bsearch(&wanted, record->known, sorted, sizeof wanted, compare_pids) : NULL;
    if (found != NULL && found->process.start_ticks == stat->start_ticks)
        return found;
    if (record->known_count == record->known_room) {
        uint32_t room = record->known_room > 0 ? 2 * record->known_room : 64;
        struct record_known *grown = realloc(record->known, room * sizeof *grown);
        if (grown == NULL)
            return NULL;
        record->known = grown;
        record->known_room = room;
    }
    struct record_known *known = &record->known[record->known_count];
    *known = (struct record_known){ 0 };
    if (process_open(&known->process, stat->pid, stat->start_ticks) < 0)
        return NULL;
    known->start_ms = (int64_t)now_ms - (int64_t)process_age_ms(stat->start_ticks);
    record->known_count++;
    return known;
}

static void forget_unseen(struct record *record)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < record->known_count; i++) {
        if (record->known[i].seen)
            record->known[kept++] = record->known[i];
        else
            forget(&record->known[i]);
    }
    record->known_count = kept;
    if (kept > 0)
        qsort(record->known, kept, sizeof record->known[0], compare_pids);
}

/* ---- rows ---- */

static enum trace_answer same_program(const struct record *record, pid_t pid)
{
    struct process_executable executable;
    if (!record->executable_known || process_executable(pid, &executable) < 0)
        return TRACE_NOT_KNOWN;
    return executable.device == record->executable.device && executable.inode == record->executable.inode ? TRACE_YES
                                                                                                          : TRACE_NO;
}

/* In turns by pid, as far as the share of CPU reaches; the root comes first. */
static void measure(struct record *record, struct trace_row *row)
{
    uint64_t pss_bytes = 0, uss_bytes = 0;
    bool its_turn = row->pid == record->root ? record->exact_after == 0 : row->pid > record->exact_after;
    if (!record->exact || record->exact_us <= 0 || !its_turn)
        return;
    uint64_t begin_us = loop_now_us();
    int r = process_exact(row->pid, &pss_bytes, &uss_bytes);
    record->exact_us -= (int64_t)(loop_now_us() - begin_us);
    record->exact_after = row->pid == record->root ? 1 : row->pid;
    if (r == 0) {
        row->pss_bytes = pss_bytes;
        row->uss_bytes = uss_bytes;
    }
}

static void earn_exact(struct record *record)
{
    uint64_t now_us = loop_now_us();
    int64_t earned = (int64_t)((now_us - record->exact_at_us) * RECORD_EXACT_PERMILLE / 1000);
    record->exact_at_us = now_us;
    record->exact_us += earned;
    if (record->exact_us > RECORD_EXACT_SAVED_US)
        record->exact_us = RECORD_EXACT_SAVED_US;
}

/* Once, and again when it has changed by exec or by the program itself. */
static int read_command(const struct record *record, struct record_known *known, struct trace_row *row)
{
    row->command[0] = '\0';
    if (!record->commands || process_command_line(row->pid, row->command, sizeof row->command) <= 0)
        return 0;
    if (known->command != NULL && strcmp(known->command, row->command) == 0) {
        row->command[0] = '\0';
        return 0;
    }
    free(known->command);
    known->command = strdup(row->command);
    return known->command != NULL ? 0 : -ENOMEM;
}

/* sorted: as for know. */
static int add_row(struct record *record, pid_t pid, uint32_t sorted, struct trace_row *row)
{
    struct process_stat stat;
    if (process_stat(pid, &stat) < 0 || stat.state == 'Z')
        return 0;
    struct record_known *known = know(record, &stat, sorted, row->mono_ms);
    int r = known != NULL ? process_rss(&known->process, &row->rss_bytes) : -ENOENT;
    if (r == -ESRCH) /* it has just ended */
        return 0;
    if (r < 0) {
        record->unread++;
        return 0;
    }
    known->seen = true;
    row->pid = pid;
    row->parent = stat.parent;
    row->start_ms = known->start_ms;
    row->role = pid == record->worker ? TRACE_WORKER : TRACE_CHILD;
    row->same_program = pid == record->worker ? TRACE_YES : same_program(record, pid);
    row->pss_bytes = row->uss_bytes = TRACE_UNKNOWN;
    if (process_cpu_ms(pid, &row->cpu_ms) < 0)
        row->cpu_ms = TRACE_UNKNOWN;
    (void)snprintf(row->name, sizeof row->name, "%s", stat.name);
    measure(record, row);
    r = read_command(record, known, row);
    if (r < 0)
        return r;
    r = make_room(record, RECORD_LINE_SIZE);
    if (r < 0)
        return r;
    record->text_used += trace_format_row(row, record->text + record->text_used, RECORD_LINE_SIZE);
    record->rows++;
    return 0;
}

static int add_rows(struct record *record, struct trace_row *row)
{
    uint32_t sorted = record->known_count;
    pid_t self = getpid();

    for (uint32_t i = 0; i < sorted; i++)
        record->known[i].seen = false;
    int r = record->is_init ? 0 : add_row(record, record->root, sorted, row);
    for (uint32_t i = 0; i < record->list.count && r == 0; i++) {
        if (record->list.item[i].pid != self)
            r = add_row(record, record->list.item[i].pid, sorted, row);
    }
    if (record->exact_us > 0) /* all had their turn */
        record->exact_after = 0;
    return r;
}

static void learn_worker(struct record *record)
{
    record->executable_known = record->worker > 0 && process_executable(record->worker, &record->executable) == 0;
}

int record_look(struct record *record)
{
    struct timespec utc;
    struct process_stat stat;

    if (process_stat(record->root, &stat) < 0 || stat.state == 'Z')
        return -ESRCH;
    int r = process_list(record->root, PROCESS_DESCENDANTS, false, &record->list);
    if (r < 0)
        return r;
    record->cut = record->cut || record->list.cut;
    find_worker(record);
    learn_worker(record);
    look_at_container(record);
    earn_exact(record);
    (void)clock_gettime(CLOCK_REALTIME, &utc);
    struct trace_row row = { .utc_ms = (int64_t)utc.tv_sec * 1000 + utc.tv_nsec / 1000000,
                             .mono_ms = loop_now_ms() - record->begin_ms,
                             .container = record->container };
    if (record->looks == 0)
        record->text_used = trace_format_header(record->text, record->text_room);
    r = add_rows(record, &row);
    if (r == 0)
        r = write_text(record);
    forget_unseen(record);
    record->looks++;
    return r;
}
