/* What is used of the limit and what the kernel counted: files made for the purpose, and a real cgroup. */
#include <sys/statfs.h>
#include <sys/sysinfo.h>

#include "box.h"
#include "os/cgroup.h"
#include "tree.h"

enum { MIB = 1 << 20, FILE_BYTES = 32 * MIB };

#define V2     "/sys/fs/cgroup/pod/box/"
#define V2_POD "/sys/fs/cgroup/pod/"
#define V1     "/sys/fs/cgroup/memory/"

static void put_v2(void)
{
    put("/proc/self/mountinfo", "600 590 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    put("/proc/self/cgroup", "0::/pod/box\n");
    put(V2_POD "memory.max", "max\n");
    put(V2_POD "memory.current", "5000\n");
    put(V2_POD "memory.stat", "inactive_file 1000\n");
    put(V2 "memory.max", "8000\n");
    put(V2 "memory.current", "3000\n");
    put(V2 "memory.stat", "anon 900\nactive_file 1\ninactive_file 500\nslab 9\n");
    put(V2 "memory.events", "low 0\nhigh 11\nmax 12\noom 13\noom_kill 14\noom_group_kill 15\n");
}

static void put_v1(void)
{
    put("/proc/self/mountinfo", "705 700 0:32 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    put("/proc/self/cgroup", "4:memory:/docker/x\n0::/docker/x\n");
    put(V1 "memory.limit_in_bytes", "8000\n");
    put(V1 "memory.usage_in_bytes", "3000\n");
    put(V1 "memory.stat", "cache 700\ninactive_file 1\ntotal_cache 700\ntotal_inactive_file 600\n");
    put(V1 "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    put(V1 "memory.failcnt", "77\n");
}

static void open_with_limit(struct cgroup *cgroup, uint64_t wanted_bytes)
{
    uint64_t bytes = 0;
    assert_int_equal(cgroup_open(cgroup, tree), 0);
    assert_int_equal(cgroup_limit(cgroup, &bytes), 0);
    assert_int_equal(bytes, wanted_bytes);
}

static void page_cache_is_left_out(void **state)
{
    (void)state;
    struct cgroup cgroup;
    uint64_t bytes = 0;
    put_v2();
    open_with_limit(&cgroup, 8000);
    assert_int_equal(cgroup_used(&cgroup, 0, &bytes), 0);
    assert_int_equal(bytes, 2500);
    put(V2 "memory.current", "4000\n"); /* read anew each time */
    put(V2 "memory.stat", "inactive_file 1500\n");
    assert_int_equal(cgroup_used(&cgroup, 4000, &bytes), 0);
    assert_int_equal(bytes, 2500);
    put(V2 "memory.stat", "inactive_file 4001\n"); /* read a moment later */
    assert_int_equal(cgroup_used(&cgroup, 0, &bytes), 0);
    assert_int_equal(bytes, 0);
    cgroup_close(&cgroup);

    put_v1();
    open_with_limit(&cgroup, 8000);
    assert_int_equal(cgroup_used(&cgroup, 0, &bytes), 0);
    assert_int_equal(bytes, 2400);
    cgroup_close(&cgroup);
}

static void statistics_are_read_only_where_they_matter(void **state)
{
    (void)state;
    struct cgroup cgroup;
    uint64_t bytes = 0;
    put_v2();
    put(V2 "memory.stat", "no such thing\n");
    open_with_limit(&cgroup, 8000);
    assert_int_equal(cgroup_used(&cgroup, 3001, &bytes), 0);
    assert_int_equal(bytes, 3000);
    bytes = 1;
    assert_int_equal(cgroup_used(&cgroup, 3000, &bytes), -EINVAL);
    put(V2 "memory.stat", "inactive_file x\n");
    assert_int_equal(cgroup_used(&cgroup, 3000, &bytes), -EINVAL);
    put(V2 "memory.current", "x\n");
    assert_int_equal(cgroup_used(&cgroup, UINT64_MAX, &bytes), -EINVAL);
    assert_int_equal(bytes, 1);
    cgroup_close(&cgroup);
}

static void it_is_used_where_the_limit_is(void **state)
{
    (void)state;
    struct cgroup cgroup;
    uint64_t bytes = 0, limit_bytes;
    put_v2();
    assert_int_equal(cgroup_open(&cgroup, tree), 0);
    assert_int_equal(cgroup_used(&cgroup, 0, &bytes), -ENODATA); /* the limit was not asked for yet */
    static const struct {
        const char *pod;
        const char *own;
        int result;
        uint64_t bytes;
    } steps[] = {
        { "max\n", "8000\n", 0, 2500 },  { "7000\n", "8000\n", 0, 4000 }, /* appears above */
        { "9000\n", "8000\n", 0, 2500 }, { "8000\n", "8000\n", 0, 4000 }, /* equal: above there is more in it */
        { "8000\n", "max\n", 0, 4000 },  { "max\n", "max\n", -ENODATA, 0 }, { "max\n", "8000\n", 0, 2500 },
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        put(V2_POD "memory.max", steps[i].pod);
        put(V2 "memory.max", steps[i].own);
        assert_int_equal(cgroup_limit(&cgroup, &limit_bytes), 0);
        bytes = 0;
        assert_int_equal(cgroup_used(&cgroup, 0, &bytes), steps[i].result);
        assert_int_equal(bytes, steps[i].bytes);
    }
    cgroup_close(&cgroup);
    assert_int_equal(cgroup_used(&cgroup, 0, &bytes), -ENODATA);
}

static void what_cannot_be_opened_is_tried_again(void **state)
{
    (void)state;
    struct cgroup cgroup;
    struct cgroup_events events;
    uint64_t bytes = 0;
    char file[512];
    put_v2();
    open_with_limit(&cgroup, 8000);
    (void)snprintf(file, sizeof file, "%s" V2 "memory.stat", tree);
    assert_return_code(unlink(file), errno);
    (void)snprintf(file, sizeof file, "%s" V2 "memory.events", tree);
    assert_return_code(unlink(file), errno);
    assert_int_equal(cgroup_used(&cgroup, UINT64_MAX, &bytes), -ENOENT);
    assert_int_equal(cgroup_events(&cgroup, &events), -ENOENT);
    assert_int_equal(cgroup_descriptors(&cgroup, (int[8]){ 0 }, 8), 2); /* of the limits */
    put_v2();
    assert_int_equal(cgroup_used(&cgroup, 0, &bytes), 0);
    assert_int_equal(bytes, 2500);
    assert_int_equal(cgroup_events(&cgroup, &events), 0);
    cgroup_close(&cgroup);
}

static void events_are_counted(void **state)
{
    (void)state;
    struct cgroup cgroup;
    struct cgroup_events events;
    put_v2();
    open_with_limit(&cgroup, 8000);
    assert_int_equal(cgroup_events(&cgroup, &events), 0);
    assert_int_equal(events.high, 11);
    assert_int_equal(events.max, 12);
    assert_int_equal(events.oom, 13);
    assert_int_equal(events.oom_kill, 14);
    put(V2 "memory.events", "low 0\nhigh 0\nmax 0\noom 1\n"); /* before Linux 4.13 */
    assert_int_equal(cgroup_events(&cgroup, &events), 0);
    assert_int_equal(events.oom, 1);
    assert_int_equal(events.oom_kill, 0);
    put(V2 "memory.events", "oom many\n");
    assert_int_equal(cgroup_events(&cgroup, &events), -EINVAL);
    assert_int_equal(events.oom, 1);
    cgroup_close(&cgroup);

    put_v1();
    open_with_limit(&cgroup, 8000);
    assert_int_equal(cgroup_events(&cgroup, &events), 0);
    assert_int_equal(events.oom_kill, 3);
    assert_int_equal(events.max, 77);
    assert_int_equal(events.oom, 0);
    assert_int_equal(events.high, 0);
    put(V1 "memory.failcnt", "\n");
    assert_int_equal(cgroup_events(&cgroup, &events), -EINVAL);
    cgroup_close(&cgroup);
}

static void descriptors_are_listed(void **state)
{
    (void)state;
    struct cgroup cgroup = { 0 };
    struct cgroup_events events;
    uint64_t bytes;
    int fds[CGROUP_DESCRIPTORS_MAX] = { 0 };
    assert_int_equal(cgroup_descriptors(&cgroup, fds, CGROUP_DESCRIPTORS_MAX), 0);
    assert_int_equal(cgroup_used(&cgroup, 0, &bytes), -ENODATA);
    assert_int_equal(cgroup_events(&cgroup, &events), -ENODATA);
    cgroup_close(&cgroup); /* closes nobody's standard input */
    assert_return_code(fcntl(0, F_GETFD), errno);

    put_v1();
    open_with_limit(&cgroup, 8000);
    assert_int_equal(cgroup_descriptors(&cgroup, fds, CGROUP_DESCRIPTORS_MAX), 1);
    assert_int_equal(cgroup_used(&cgroup, 0, &bytes), 0);
    assert_int_equal(cgroup_descriptors(&cgroup, fds, CGROUP_DESCRIPTORS_MAX), 3);
    assert_int_equal(cgroup_events(&cgroup, &events), 0);
    assert_int_equal(cgroup_descriptors(&cgroup, fds, CGROUP_DESCRIPTORS_MAX), 5);
    assert_int_equal(cgroup_descriptors(&cgroup, fds, 4), 4);
    for (int i = 0; i < 5; i++)
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
    cgroup_close(&cgroup);
    for (int i = 0; i < 5; i++)
        assert_int_equal(fcntl(fds[i], F_GETFD), -1);
}

/* ---- the real thing ---- */

static char file_name[] = "/var/tmp/trimtab-cache-XXXXXX";

/* Page cache: written once, and read no more. */
static void fill_cache(void)
{
    static char block[MIB];
    int fd = open(file_name, O_WRONLY | O_CLOEXEC);
    for (int i = 0; i < FILE_BYTES / MIB; i++)
        if (fd < 0 || write(fd, block, sizeof block) != (ssize_t)sizeof block)
            _exit(1);
    if (fsync(fd) < 0)
        _exit(1);
}

/* More than the limit allows. */
static void burst(void)
{
    for (;;) {
        char *memory = malloc(MIB);
        if (!memory)
            _exit(1);
        memset(memory, 1, MIB);
    }
}

static void cache_and_kills_are_seen_on_this_machine(void **state)
{
    (void)state;
    struct cgroup cgroup;
    struct cgroup_events before, after;
    struct statfs system;
    uint64_t all_bytes = 0, used_bytes = 0;
    int status;
    box_make();
    box_limit("67108864");
    open_with_limit(&cgroup, 67108864);
    assert_int_equal(cgroup.version, box.version);
    assert_int_equal(cgroup_events(&cgroup, &before), 0);

    memcpy(file_name + sizeof file_name - 7, "XXXXXX", 6);
    int fd = mkstemp(file_name);
    assert_true(fd >= 0);
    assert_return_code(fstatfs(fd, &system), errno);
    assert_int_equal(waitpid(box_run(fill_cache), &status, 0) > 0 ? status : -1, 0);
    assert_int_equal(cgroup_used(&cgroup, UINT64_MAX, &all_bytes), 0);
    assert_int_equal(cgroup_used(&cgroup, 0, &used_bytes), 0);
    print_message("cgroup v%d: %llu bytes, %llu of them used\n", box.version, (unsigned long long)all_bytes,
                  (unsigned long long)used_bytes);
    (void)close(fd);
    (void)unlink(file_name);
    if (system.f_type == 0x01021994 || system.f_type == 0x858458f6) /* tmpfs, ramfs: their pages cannot be let go of */
        print_message("SKIPPED: /var/tmp has no page cache here\n");
    else
        assert_true(all_bytes >= FILE_BYTES / 2 && used_bytes + FILE_BYTES / 2 <= all_bytes);

    pid_t pid = box_run(burst);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(cgroup_events(&cgroup, &after), 0);
    assert_int_equal(after.oom_kill, before.oom_kill + 1);
    assert_true(after.max > before.max);
    assert_true(box.version == 1 || after.oom > before.oom);
    cgroup_close(&cgroup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(page_cache_is_left_out, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(statistics_are_read_only_where_they_matter, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(it_is_used_where_the_limit_is, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(what_cannot_be_opened_is_tried_again, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(events_are_counted, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(descriptors_are_listed, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(cache_and_kills_are_seen_on_this_machine, make_tree, box_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
