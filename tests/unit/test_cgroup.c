/* The memory limit: texts of the machines we met, trees of files made for the purpose, and a real v1 cgroup. */
#include "os/cgroup.h"

#include <sys/sysinfo.h>

#include "box.h"
#include "tree.h"

/* ---- texts ---- */

#define ID "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"

struct sample {
    const char *name;
    const char *mountinfo;
    const char *cgroup;
    int version;
    const char *mount;
    const char *path;
};

static const struct sample samples[] = {
    { "v1 host",
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
      "35 31 0:32 / /sys/fs/cgroup/memory rw,nosuid,relatime shared:12 master:3 - cgroup cgroup rw,memory\n",
      "5:cpu,cpuacct:/user.slice\n4:memory:/user.slice/user-0.slice\n1:name=systemd:/user.slice\n", 1,
      "/sys/fs/cgroup/memory", "/user.slice/user-0.slice" },
    { "v1 with controllers mounted together", "35 31 0:32 / /cgroup rw - cgroup none rw,cpu,memory,blkio\n",
      "4:cpu,memory,blkio:/batch\n", 1, "/cgroup", "/batch" },
    { "v1 docker, and the cgroup2 line of a hybrid machine",
      "700 690 0:50 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755\n"
      "705 700 0:32 /docker/" ID " /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,memory\n"
      "706 700 0:36 /docker/" ID " /sys/fs/cgroup/pids ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,pids\n",
      "8:pids:/docker/" ID "\n4:memory:/docker/" ID "\n0::/docker/" ID "\n", 1, "/sys/fs/cgroup/memory", "" },
    { "hybrid, with cgroup2 mounted and listed first",
      "38 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
      "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n",
      "0::/user.slice\n4:memory:/jobs/a\n", 1, "/sys/fs/cgroup/memory", "/jobs/a" },
    { "v1 docker, private namespace", "705 700 0:32 / /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n",
      "4:memory:/\n0::/\n", 1, "/sys/fs/cgroup/memory", "" },
    { "v1 docker, a cgroup below the container's",
      "705 700 0:32 /docker/" ID " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
      "4:memory:/docker/" ID "/inner\n", 1, "/sys/fs/cgroup/memory", "/inner" },
    { "v1 kubernetes with colons", "705 700 0:32 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
      "4:memory:/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:" ID "\n", 1,
      "/sys/fs/cgroup/memory", "/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:" ID },
    { "v2 docker", "600 590 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n",
      "0::/\n", 2, "/sys/fs/cgroup", "" },
    { "v2 systemd host",
      "29 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
      "rw,memory_recursiveprot\n",
      "0::/system.slice/gunicorn.service\n", 2, "/sys/fs/cgroup", "/system.slice/gunicorn.service" },
    { "v2 kubernetes, host namespace",
      "600 590 0:26 /kubepods.slice/pod1.slice/cri-" ID ".scope /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
      "0::/kubepods.slice/pod1.slice/cri-" ID ".scope\n", 2, "/sys/fs/cgroup", "" },
    { "v2, outside of our namespace", "600 590 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/../../other\n", 2,
      "/sys/fs/cgroup", "" },
    { "v2, mounted from above our namespace", "600 590 0:26 /../.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/\n",
      2, "/sys/fs/cgroup", "" },
    { "a name that begins with two dots is no way up", "600 590 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
      "0::/..data/x\n", 2, "/sys/fs/cgroup", "/..data/x" },
    { "mount of another cgroup", "705 700 0:32 /docker/other /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
      "4:memory:/docker/" ID "\n", 1, "/sys/fs/cgroup/memory", "" },
    { "a root that is no component of ours", "705 700 0:32 /dock /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
      "4:memory:/docker/x\n", 1, "/sys/fs/cgroup/memory", "" },
    { "the mount that shows most ancestors wins",
      "705 700 0:32 /a/b /mnt/own rw - cgroup cgroup rw,memory\n"
      "706 700 0:32 / /mnt/all rw - cgroup cgroup rw,memory\n"
      "707 700 0:32 /a /mnt/some rw - cgroup cgroup rw,memory\n"
      "708 700 0:32 /x /mnt/none rw - cgroup cgroup rw,memory\n",
      "4:memory:/a/b/c\n", 1, "/mnt/all", "/a/b/c" },
    { "of equal mounts the later is on top",
      "705 700 0:32 / /mnt/below rw - cgroup cgroup rw,memory\n"
      "706 700 0:32 / /mnt/above rw - cgroup cgroup rw,memory\n",
      "4:memory:/a\n", 1, "/mnt/above", "/a" },
    { "blanks in the mount point and the root",
      "705 700 0:32 /my\\040jobs\\134x /mnt/c\\040g\\011t rw - cgroup cgroup rw,memory\n", "4:memory:/my jobs\\x/one\n",
      1, "/mnt/c g\tt", "/one" },
    { "no newline at the end", "600 590 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw", "0::/x", 2, "/sys/fs/cgroup",
      "/x" },
    { "a path that only resembles a mount type",
      "705 700 0:32 / /x rw - ext4 cgroup2 rw,memory\n"
      "706 700 0:32 / /cgroup2 rw - tmpfs cgroup rw,memory\n",
      "4:memory:/a\n0::/\n", 0, NULL, NULL },
    { "v1 without its mount", "600 590 0:26 / /sys/fs/cgroup/unified ro - cgroup2 cgroup rw\n", "4:memory:/a\n0::/a\n",
      0, NULL, NULL },
    { "v1 without the memory controller", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
      "1:cpu:/a\n2:name=memory:/a\n", 0, NULL, NULL },
    { "nothing", "", "", 0, NULL, NULL },
    { "no controllers, no mounts", "\n\n \n- \n", "\n:\n::\n:::\n0\n0:\n0::\n0::x\n", 0, NULL, NULL },
    { "lines cut short",
      "705\n705 700 0:32 / \n705 700 0:32 / /x rw -\n705 700 0:32 / /x rw - cgroup2\n705 700 0:32 / /x rw - cgroup2 "
      "x\n",
      "0::/a\n", 0, NULL, NULL },
};

static void every_sample_is_located(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        char mount[CGROUP_PATH_MAX] = "untouched", path[CGROUP_PATH_MAX] = "untouched";
        const struct sample *sample = &samples[i];
        int version =
            cgroup_locate(sample->mountinfo, sample->cgroup, CGROUP_MEMORY, mount, sizeof mount, path, sizeof path);
        if (version != sample->version)
            fail_msg("%s: version %d instead of %d", sample->name, version, sample->version);
        if (version != 0 && (strcmp(mount, sample->mount) != 0 || strcmp(path, sample->path) != 0))
            fail_msg("%s: '%s' + '%s' instead of '%s' + '%s'", sample->name, mount, path, sample->mount, sample->path);
    }
}

static void pressure_files_are_on_version_2_alone(void **state)
{
    (void)state;
    static const struct {
        const char *mountinfo;
        const char *cgroup;
        int version;
        const char *where;
    } cases[] = {
        { "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
          "38 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
          "4:memory:/jobs/a\n0::/user.slice/x\n", 2, "/sys/fs/cgroup/unified/user.slice/x" },
        { "600 590 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/\n", 2, "/sys/fs/cgroup" },
        { "705 700 0:32 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "4:memory:/a\n0::/a\n", 0, "" },
        { "38 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "4:memory:/a\n", 0, "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char mount[CGROUP_PATH_MAX] = "", path[CGROUP_PATH_MAX] = "", where[2 * CGROUP_PATH_MAX];
        int version =
            cgroup_locate(cases[i].mountinfo, cases[i].cgroup, CGROUP_UNIFIED, mount, sizeof mount, path, sizeof path);
        (void)snprintf(where, sizeof where, "%s%s", mount, path);
        assert_int_equal(version, cases[i].version);
        assert_string_equal(where, cases[i].where);
    }
}

/* Every prefix of every text: no fault (the sanitizers look on), and nothing but 0, 1 or 2. */
static void texts_cut_anywhere_do_no_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        const char *texts[] = { samples[i].mountinfo, samples[i].cgroup };
        for (int which = 0; which < 2; which++) {
            for (size_t size = 0; size <= strlen(texts[which]); size++) {
                char mount[64], path[64];
                char *cut = strndup(texts[which], size);
                assert_non_null(cut);
                int version = cgroup_locate(which == 0 ? cut : texts[0], which == 1 ? cut : texts[1], CGROUP_MEMORY,
                                            mount, sizeof mount, path, sizeof path);
                assert_in_range(version, 0, 2);
                free(cut);
            }
        }
    }
}

static void what_is_too_long_is_not_cut_to_another_path(void **state)
{
    (void)state;
    static char text[3 * CGROUP_PATH_MAX];
    char mount[CGROUP_PATH_MAX], path[8];
    const char *mountinfo = "600 590 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    assert_int_equal(cgroup_locate(mountinfo, "0::/123456\n", CGROUP_MEMORY, mount, sizeof mount, path, sizeof path),
                     2);
    assert_int_equal(cgroup_locate(mountinfo, "0::/1234567\n", CGROUP_MEMORY, mount, sizeof mount, path, sizeof path),
                     0);
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "0::/", 4);
    assert_int_equal(cgroup_locate(mountinfo, text, CGROUP_MEMORY, mount, sizeof mount, path, sizeof path), 0);
}

static void limits_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint64_t bytes;
    } cases[] = {
        { "max\n", 0, UINT64_MAX },
        { "max", 0, UINT64_MAX },
        { "67108864\n", 0, 67108864 },
        { "0\n", 0, 0 },
        { "9223372036854771712\n", 0, UINT64_MAX }, /* pages of 4 KiB */
        { "9223372036854710272\n", 0, UINT64_MAX }, /* pages of 64 KiB */
        { "9223372036854775807\n", 0, UINT64_MAX },
        { "1099511627776\n", 0, UINT64_C(1) << 40 },
        { "18446744073709551615\n", 0, UINT64_MAX },
        { "18446744073709551616\n", -EINVAL, 1 },
        { "99999999999999999999999\n", -EINVAL, 1 },
        { "", -EINVAL, 1 },
        { "\n", -EINVAL, 1 },
        { "-1\n", -EINVAL, 1 },
        { "64M\n", -EINVAL, 1 },
        { "maximum\n", -EINVAL, 1 },
        { "ma", -EINVAL, 1 },
        { " 1\n", -EINVAL, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes = 1;
        int r = cgroup_parse_limit(cases[i].text, strlen(cases[i].text), &bytes);
        if (r != cases[i].result || bytes != cases[i].bytes)
            fail_msg("'%s': %d, %llu", cases[i].text, r, (unsigned long long)bytes);
    }
}

/* ---- a tree of files ---- */

static uint64_t machine_bytes(void)
{
    struct sysinfo machine;
    assert_return_code(sysinfo(&machine), errno);
    return (uint64_t)machine.totalram * machine.mem_unit;
}

static void tightest_of_all_ancestors_counts(void **state)
{
    (void)state;
    struct cgroup cgroup;
    uint64_t bytes;
    put("/proc/self/mountinfo", "600 590 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    put("/proc/self/cgroup", "0::/kubepods/pod1/box\n");
    put("/sys/fs/cgroup/kubepods/memory.max", "8000000\n"); /* the root has none, as on a real machine */
    put("/sys/fs/cgroup/kubepods/pod1/memory.max", "5000000\n");
    put("/sys/fs/cgroup/kubepods/pod1/box/memory.max", "max\n");
    assert_int_equal(cgroup_open(&cgroup, tree), 0);
    assert_int_equal(cgroup.version, 2);
    assert_int_equal(cgroup.count, 3);
    char own[512];
    (void)snprintf(own, sizeof own, "%s/sys/fs/cgroup/kubepods/pod1/box/memory.max", tree);
    assert_string_equal(cgroup.path, own);
    assert_int_equal(cgroup_limit(&cgroup, &bytes), 0);
    assert_int_equal(bytes, 5000000);

    put("/sys/fs/cgroup/kubepods/memory.max", "4000000\n"); /* changed in place */
    assert_int_equal(cgroup_limit(&cgroup, &bytes), 0);
    assert_int_equal(bytes, 4000000);
    put("/sys/fs/cgroup/kubepods/pod1/box/memory.max", "3000000\n");
    assert_int_equal(cgroup_limit(&cgroup, &bytes), 0);
    assert_int_equal(bytes, 3000000);

    put("/sys/fs/cgroup/kubepods/pod1/memory.max", "nonsense\n"); /* the caller keeps what it had */
    assert_int_equal(cgroup_limit(&cgroup, &bytes), -EINVAL);
    assert_int_equal(bytes, 3000000);
    cgroup_close(&cgroup);
    cgroup_close(&cgroup);
}

static void no_limit_is_the_machines_memory(void **state)
{
    (void)state;
    struct cgroup cgroup;
    uint64_t bytes;
    put("/proc/self/mountinfo", "705 700 0:32 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    put("/proc/self/cgroup", "4:memory:/docker/x\n0::/docker/x\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(cgroup_open(&cgroup, tree), 0);
    assert_int_equal(cgroup.version, 1);
    assert_int_equal(cgroup.count, 1);
    assert_int_equal(cgroup_limit(&cgroup, &bytes), 0);
    assert_int_equal(bytes, machine_bytes());
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n");
    assert_int_equal(cgroup_limit(&cgroup, &bytes), 0);
    assert_int_equal(bytes, 67108864);
    cgroup_close(&cgroup);
}

static void no_controller_is_no_error(void **state)
{
    (void)state;
    struct cgroup cgroup;
    uint64_t bytes;
    put("/proc/self/mountinfo", "29 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/a/b\n"); /* located, but without a memory controller */
    assert_int_equal(cgroup_open(&cgroup, tree), 0);
    assert_int_equal(cgroup.version, 0);
    assert_int_equal(cgroup.count, 0);
    assert_string_equal(cgroup.path, "");
    assert_int_equal(cgroup_limit(&cgroup, &bytes), 0);
    assert_int_equal(bytes, machine_bytes());
}

static void missing_proc_is_an_error(void **state)
{
    (void)state;
    struct cgroup cgroup;
    assert_int_equal(cgroup_open(&cgroup, tree), -ENOENT);
    assert_int_equal(cgroup.version, 0);
    assert_int_equal(cgroup.count, 0);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct cgroup cgroup;
    char file[512] = "/sys/fs/cgroup", line[512] = "0::";
    put("/proc/self/mountinfo", "29 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    for (int i = 0; i < CGROUP_DEPTH_MAX + 8; i++) {
        char limit[600];
        (void)strcat(file, "/d");
        (void)strcat(line, "/d");
        (void)snprintf(limit, sizeof limit, "%.400s/memory.max", file);
        put(limit, "4096\n");
    }
    put("/proc/self/cgroup", line);
    assert_int_equal(cgroup_open(&cgroup, tree), 0);
    assert_int_equal(cgroup.count, CGROUP_DEPTH_MAX);
    cgroup_close(&cgroup);
}

/* ---- the real thing ---- */

static int ask[2], answer[2];

/* One that lives in the box, and says its limit whenever it is asked. */
static void say_limit(void)
{
    struct cgroup cgroup = { .version = -1 };
    uint64_t bytes;
    char byte;
    (void)close(ask[1]);
    for (bool open = false; read(ask[0], &byte, 1) == 1; open = true) {
        if ((!open && cgroup_open(&cgroup, "") < 0) || cgroup_limit(&cgroup, &bytes) < 0)
            bytes = 1;
        if (cgroup.version != box.version || write(answer[1], &bytes, sizeof bytes) != (ssize_t)sizeof bytes)
            _exit(1);
    }
}

static void resize_in_place_is_seen_on_this_machine(void **state)
{
    (void)state;
    box_make();
    assert_return_code(pipe(ask), errno);
    assert_return_code(pipe(answer), errno);
    pid_t pid = box_run(say_limit);
    (void)close(ask[0]);
    (void)close(answer[1]);
    static const struct {
        const char *limit;
        uint64_t bytes;
    } steps[] = { { "268435456", 268435456 }, { "134217728", 134217728 }, { "301989888", 301989888 } };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        uint64_t bytes = 0;
        box_limit(steps[i].limit);
        assert_int_equal(write(ask[1], "x", 1), 1);
        assert_int_equal(read(answer[0], &bytes, sizeof bytes), sizeof bytes);
        assert_int_equal(bytes, steps[i].bytes);
    }
    (void)close(ask[1]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)close(answer[0]);
}

static void this_machine_has_a_limit(void **state)
{
    (void)state;
    struct cgroup cgroup;
    uint64_t bytes = 0;
    assert_int_equal(cgroup_open(&cgroup, ""), 0);
    assert_int_equal(cgroup_limit(&cgroup, &bytes), 0);
    assert_true(bytes > 0 && bytes <= machine_bytes());
    cgroup_close(&cgroup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_is_located),
        cmocka_unit_test(pressure_files_are_on_version_2_alone),
        cmocka_unit_test(texts_cut_anywhere_do_no_harm),
        cmocka_unit_test(what_is_too_long_is_not_cut_to_another_path),
        cmocka_unit_test(limits_are_parsed),
        cmocka_unit_test_setup_teardown(tightest_of_all_ancestors_counts, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(no_limit_is_the_machines_memory, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(no_controller_is_no_error, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(missing_proc_is_an_error, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(depth_is_bounded, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(resize_in_place_is_seen_on_this_machine, make_tree, box_remove),
        cmocka_unit_test(this_machine_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
