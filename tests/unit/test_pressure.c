/* Memory pressure: texts, files made for the purpose, and this machine's own. */
#include "os/pressure.h"

#include <sys/syscall.h>

#include <linux/capability.h>

#include "box.h"
#include "in_child.h"
#include "os/loop.h"
#include "tree.h"

#define LINES(some, full)                                                                                              \
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=" some "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=" full "\n"

static const struct pressure_trigger some_200ms_in_2s = { .stall_us = 200000, .window_us = 2000000 };

/* ---- pure ---- */

static void totals_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool full;
        int result;
        uint64_t total_us;
    } cases[] = {
        { LINES("421229", "333537"), false, 0, 421229 },
        { LINES("421229", "333537"), true, 0, 333537 },
        { LINES("0", "18446744073709551615"), true, 0, UINT64_MAX },
        { "some avg10=100.00 avg60=100.00 avg300=100.00 total=5\n", false, 0, 5 },
        { "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", true, -EINVAL, 7 },
        { LINES("", "1"), false, -EINVAL, 7 },
        { LINES("1x", "1"), false, -EINVAL, 7 },
        { LINES("-1", "1"), false, -EINVAL, 7 },
        { LINES("18446744073709551616", "1"), false, -EINVAL, 7 },
        { "some avg10=0.00\nfull total=1\n", false, -EINVAL, 7 },
        { "awesome total=1\n", false, -EINVAL, 7 },
        { "some\n total=1\n", false, -EINVAL, 7 },
        { "\n\nsome\n", false, -EINVAL, 7 },
        { "some total=12", false, -EINVAL, 7 },
        { "", false, -EINVAL, 7 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t total_us = 7;
        char *text = strdup(cases[i].text); /* the sanitizer watches its end */
        assert_non_null(text);
        int r = pressure_parse_total(text, strlen(text), cases[i].full, &total_us);
        if (r != cases[i].result || total_us != cases[i].total_us)
            fail_msg("'%s': %d, %llu", text, r, (unsigned long long)total_us);
        free(text);
    }
    const char *whole = LINES("421229", "333537");
    for (size_t size = 0; size < strlen(whole); size++) {
        uint64_t total_us = 0;
        assert_int_equal(pressure_parse_total(whole, size, true, &total_us), -EINVAL);
    }
}

static void windows_are_rounded_up_with_their_stall(void **state)
{
    (void)state;
    static const struct {
        uint64_t stall_us, window_us;
        bool rounded;
        uint64_t new_stall_us, new_window_us;
    } cases[] = {
        { 200000, 2000000, false, 200000, 2000000 },
        { 200000, 1000000, true, 400000, 2000000 },
        { 300000, 3000000, true, 400000, 4000000 },
        { 500000, 500000, true, 2000000, 2000000 },
        { 1, 1, true, 2000000, 2000000 },
        { 70000, 7000000, true, 80000, 8000000 },
        { 90000, 10000000, false, 90000, 10000000 },
        { 1, 1999999, true, 1, 2000000 },
        { 1000, UINT32_MAX, true, 1000, 4296000000 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pressure_trigger trigger = { .stall_us = cases[i].stall_us, .window_us = cases[i].window_us };
        assert_int_equal(pressure_round(&trigger), cases[i].rounded);
        assert_int_equal(trigger.stall_us, cases[i].new_stall_us);
        assert_int_equal(trigger.window_us, cases[i].new_window_us);
    }
}

/* ---- a tree of files ---- */

#define OWN     "/sys/fs/cgroup/box/memory.pressure"
#define MACHINE "/proc/pressure/memory"

static void put_all(void)
{
    put("/proc/self/mountinfo", "600 590 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    put("/proc/self/cgroup", "0::/box\n");
    put(OWN, LINES("1000", "500"));
    put(MACHINE, LINES("70000", "60000"));
}

static void remove_file(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s", tree, name);
    assert_return_code(unlink(path), errno);
}

static void assert_path(const struct pressure *pressure, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s", tree, name);
    assert_string_equal(pressure->path, path);
}

static void assert_file(const char *name, const char *text)
{
    char path[512], have[512] = "";
    (void)snprintf(path, sizeof path, "%s%s", tree, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, have, sizeof have - 1) >= 0);
    (void)close(fd);
    assert_string_equal(have, text);
}

static void own_cgroup_comes_first(void **state)
{
    (void)state;
    struct pressure pressure = { 0 };
    struct pressure_trigger full = { .full = true, .stall_us = 150000, .window_us = 1000000 };
    bool exceeded = false;
    pressure_close(&pressure); /* closes nobody's standard input */
    assert_return_code(fcntl(0, F_GETFD), errno);
    assert_int_equal(pressure_read(&pressure, 1, &exceeded), -EBADF);
    put_all();
    assert_int_equal(pressure_open(&pressure, &some_200ms_in_2s, tree), 0);
    assert_int_equal(pressure.method, PRESSURE_TRIGGER);
    assert_true(pressure.own_cgroup);
    assert_path(&pressure, OWN);
    assert_file(OWN, "some 200000 2000000"); /* and its NUL: the rest of the file is behind it */
    assert_int_equal(fcntl(pressure.fd, F_GETFD), FD_CLOEXEC);
    put(OWN, LINES("1000", "500"));
    assert_int_equal(pressure_read(&pressure, 1, &exceeded), 0);
    assert_true(exceeded); /* the kernel said so */
    put(OWN, "");
    assert_int_equal(pressure_read(&pressure, 1, &exceeded), -EINVAL);
    int fd = pressure.fd;
    pressure_close(&pressure);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    pressure_close(&pressure);

    put_all();
    assert_int_equal(pressure_open(&pressure, &full, tree), 0);
    assert_file(OWN, "full 150000 1000000");
    pressure_close(&pressure);
}

static void the_machine_comes_next(void **state)
{
    (void)state;
    struct pressure pressure;
    put_all();
    remove_file(OWN);
    assert_int_equal(pressure_open(&pressure, &some_200ms_in_2s, tree), 0);
    assert_int_equal(pressure.method, PRESSURE_TRIGGER);
    assert_false(pressure.own_cgroup);
    assert_path(&pressure, MACHINE);
    assert_file(MACHINE, "some 200000 2000000");
    pressure_close(&pressure);

    put_all();
    put("/proc/self/cgroup", "4:memory:/box\n"); /* no version 2 at all */
    assert_int_equal(pressure_open(&pressure, &some_200ms_in_2s, tree), 0);
    assert_path(&pressure, MACHINE);
    pressure_close(&pressure);
    remove_file("/proc/self/cgroup");
    assert_int_equal(pressure_open(&pressure, &some_200ms_in_2s, tree), 0);
    assert_path(&pressure, MACHINE);
    pressure_close(&pressure);
}

static void without_any_it_is_said(void **state)
{
    (void)state;
    struct pressure pressure;
    const struct pressure_trigger wrong[] = { { false, 0, 2000000 },
                                              { false, 3000000, 2000000 },
                                              { false, 1, UINT64_C(1) << 32 } };
    put_all();
    remove_file(OWN);
    remove_file(MACHINE);
    assert_int_equal(pressure_open(&pressure, &some_200ms_in_2s, tree), -ENOTSUP);
    assert_int_equal(pressure.method, PRESSURE_NONE);
    put_all();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(pressure_open(&pressure, &wrong[i], tree), -EINVAL);
    assert_int_equal(pressure.method, PRESSURE_NONE);
}

/* A window that no trigger may have is left to reading. */
static const struct pressure_trigger some_1s_in_20s = { .stall_us = 1000000, .window_us = 20000000 };

static void reading_compares_with_the_time_since(void **state)
{
    (void)state;
    struct pressure pressure;
    bool exceeded = true;
    static const struct {
        uint64_t now_ms;
        const char *text;
        bool exceeded;
    } steps[] = {
        { 100000, LINES("9000000", "0"), false },  /* whatever it was before */
        { 105000, LINES("9900000", "0"), false },  /* 0.9 s so far */
        { 110000, LINES("10000000", "0"), true },  /* 1 s in 10 s */
        { 112000, LINES("10999999", "0"), false }, /* counted anew since then */
        { 113000, LINES("11000000", "0"), true },
        { 133000, LINES("11999999", "0"), false }, /* a window over, and not enough */
        { 140000, LINES("12999998", "0"), false }, /* since 133 */
        { 140500, LINES("12999999", "0"), true },
        { 170500, LINES("14499998", "0"), false }, /* 30 s: 1.5 s would be as large a share */
        { 200500, LINES("15999998", "0"), true },
        { 200500, LINES("15999998", "0"), false }, /* in no time at all */
    };
    put_all();
    assert_int_equal(pressure_open(&pressure, &some_1s_in_20s, tree), 0);
    assert_int_equal(pressure.method, PRESSURE_READING);
    assert_true(pressure.own_cgroup);
    assert_path(&pressure, OWN);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        put(OWN, steps[i].text);
        assert_int_equal(pressure_read(&pressure, steps[i].now_ms, &exceeded), 0);
        if (exceeded != steps[i].exceeded)
            fail_msg("step %zu: %d", i, exceeded);
    }
    put(OWN, "nonsense\n");
    assert_int_equal(pressure_read(&pressure, 300000, &exceeded), -EINVAL);
    pressure_close(&pressure);

    put_all(); /* our own cannot be read, the machine's can */
    put(OWN, "");
    assert_int_equal(pressure_open(&pressure, &some_1s_in_20s, tree), 0);
    assert_int_equal(pressure.method, PRESSURE_READING);
    assert_path(&pressure, MACHINE);
    pressure_close(&pressure);
}

/* ---- the real thing ---- */

static bool chmod_in_tree(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s", tree, name);
    return chmod(path, 0444) == 0;
}

/* As one who may read only, as with a read-only mount. */
static int read_where_writing_is_refused(void)
{
    struct pressure pressure;
    if (!chmod_in_tree(OWN) || chmod(tree, 0755) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
        return 1;
    (void)pressure_open(&pressure, &some_200ms_in_2s, tree);
    return pressure.method == PRESSURE_READING && pressure.own_cgroup && pressure.fd >= 0 ? 0 : 2;
}

static int trigger_on_machine_where_own_is_refused(void)
{
    struct pressure pressure;
    char path[512];
    (void)snprintf(path, sizeof path, "%s" MACHINE, tree);
    if (chmod(path, 0666) < 0)
        return 3;
    if (!chmod_in_tree(OWN) || chmod(tree, 0755) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
        return 1;
    (void)pressure_open(&pressure, &some_200ms_in_2s, tree);
    return pressure.method == PRESSURE_TRIGGER && !pressure.own_cgroup ? 0 : 2;
}

static void without_write_permission_it_reads(void **state)
{
    (void)state;
    if (getuid() != 0) {
        print_message("SKIPPED: only root can become another user\n");
        skip();
    }
    put_all();
    assert_int_equal(in_child(read_where_writing_is_refused), 0);
    assert_int_equal(in_child(trigger_on_machine_where_own_is_refused), 0);
}

static void show_machine(void)
{
    char path[512];
    put("/none", "");
    (void)snprintf(path, sizeof path, "%s/proc", tree);
    assert_return_code(symlink("/proc", path), errno);
}

/* 0: has PSI; else the error of reading it. */
static int machine_pressure(void)
{
    char text[256];
    int fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);
    int error = fd < 0 || read(fd, text, sizeof text) < 0 ? errno : 0;
    if (fd >= 0)
        (void)close(fd);
    return error;
}

/* Without CAP_SYS_RESOURCE: see capabilities(7). */
static int open_without_privilege(void)
{
    struct pressure pressure;
    const struct pressure_trigger in_1s = { .stall_us = 150000, .window_us = 1000000 };
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { { 0 } };
    if (syscall(SYS_capset, &header, none) < 0)
        return 1;
    int r = pressure_open(&pressure, &in_1s, tree);
    if (r < 0 || pressure.own_cgroup)
        return 2;
    if (pressure.method == PRESSURE_READING) /* older kernels grant none */
        return 0;
    return pressure.trigger.stall_us == 300000 && pressure.trigger.window_us == 2000000 ? 0 : 3;
}

static void refused_windows_are_rounded_on_this_machine(void **state)
{
    (void)state;
    struct pressure pressure;
    int error = machine_pressure();
    show_machine();
    if (error != 0) {
        assert_int_equal(pressure_open(&pressure, &some_200ms_in_2s, tree), -ENOTSUP);
        print_message("SKIPPED: no PSI on this machine: %s\n", strerror(error));
        skip();
    }
    assert_int_equal(in_child(open_without_privilege), 0);
}

static char file_name[] = "/var/tmp/trimtab-stall-XXXXXX";

/* Reads a file over and over for which there is no room: every read waits for the disk again. */
static void thrash(void)
{
    static char block[1 << 20];
    int fd = open(file_name, O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 96; i++)
        if (fd < 0 || write(fd, block, sizeof block) != (ssize_t)sizeof block)
            _exit(1);
    for (;;) {
        if (lseek(fd, 0, SEEK_SET) < 0)
            _exit(1);
        while (read(fd, block, sizeof block) > 0)
            ;
    }
}

/* Waits until the loop tells of pressure; false after a minute. */
static bool told(struct loop *loop)
{
    struct loop_events events;
    uint64_t end_ms = loop_now_ms() + 60000;
    for (uint64_t now_ms = loop_now_ms(); now_ms < end_ms; now_ms = loop_now_ms()) {
        assert_int_equal(loop_wait(loop, now_ms, end_ms, &events), 0);
        if (events.count > 0)
            return events.tag[0] == 5;
    }
    return false;
}

static void pressure_is_told_on_this_machine(void **state)
{
    (void)state;
    struct pressure pressure;
    struct loop loop;
    struct loop_events events;
    bool exceeded = false;
    const struct pressure_trigger some_10ms_in_1s = { .stall_us = 10000, .window_us = 1000000 };
    box_make();
    if (machine_pressure() != 0 || box.pressure[0] == '\0') {
        print_message("SKIPPED: no pressure file of a cgroup of ours on this machine\n");
        skip();
    }
    box_limit("33554432");
    assert_int_equal(pressure_open(&pressure, &some_10ms_in_1s, tree), 0);
    assert_int_equal(pressure.method, PRESSURE_TRIGGER);
    assert_true(pressure.own_cgroup);
    assert_int_equal(loop_open(&loop, true), 0);
    assert_int_equal(loop_add_priority(&loop, pressure.fd, 5), 0);
    assert_int_equal(loop_wait(&loop, 0, 1, &events), 0);
    assert_int_equal(events.count, 0);

    memcpy(file_name + sizeof file_name - 7, "XXXXXX", 6);
    int fd = mkstemp(file_name);
    assert_true(fd >= 0);
    uint64_t begin_ms = loop_now_ms();
    pid_t pid = box_run(thrash);
    assert_true(told(&loop));
    print_message("%s in %s: told after %llu ms\n", box.version == 2 ? "v2" : "v1 with v2 beside it", pressure.path,
                  (unsigned long long)(loop_now_ms() - begin_ms));
    assert_int_equal(pressure_read(&pressure, loop_now_ms(), &exceeded), 0);
    assert_true(exceeded);
    assert_return_code(kill(pid, SIGKILL), errno);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)close(fd);
    (void)unlink(file_name);

    /* Turned off in our cgroup: told once more, and then no more. */
    char file[BOX_PATH_MAX + 64];
    (void)snprintf(file, sizeof file, "%s/cgroup.pressure", box.pressure);
    if (access(file, W_OK) == 0) { /* Linux 6.1 */
        box_set(box.pressure, "cgroup.pressure", "0");
        assert_int_equal(loop_wait(&loop, 0, loop_now_ms() + 10, &events), 0);
        assert_int_equal(loop_wait(&loop, 0, loop_now_ms() + 10, &events), 0);
        assert_int_equal(events.count, 0);
        assert_int_equal(pressure_read(&pressure, loop_now_ms(), &exceeded), -ENODEV);
    }
    pressure_close(&pressure);
    (void)close(loop.epoll_fd);
    (void)close(loop.signal_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_are_parsed),
        cmocka_unit_test(windows_are_rounded_up_with_their_stall),
        cmocka_unit_test_setup_teardown(own_cgroup_comes_first, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(the_machine_comes_next, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(without_any_it_is_said, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(reading_compares_with_the_time_since, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(without_write_permission_it_reads, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(refused_windows_are_rounded_on_this_machine, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(pressure_is_told_on_this_machine, make_tree, box_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
