/* The agent's library: where it is looked for, and the one inside, as a file and as a memory file. */
#include "os/agent_library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "os/child.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/trimtab-agent-XXXXXX");
    return mkdtemp(folder) != NULL && chmod(folder, 0755) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/" AGENT_LIBRARY_FILE, folder);
    (void)unlink(path);
    return rmdir(folder);
}

static void places_are_ours_and_the_systems(void **state)
{
    (void)state;
    char path[PROGRAM_PATH_MAX];
    assert_int_equal(agent_library_place(0, "", path, sizeof path), 0);
    char *end = strstr(path, "/lib/" AGENT_LIBRARY_FILE); /* bin/test_agent_library: lib beside bin */
    assert_non_null(end);
    *end = '\0';
    char own[PROGRAM_PATH_MAX] = { 0 };
    assert_true(readlink("/proc/self/exe", own, sizeof own - 1) > 0);
    assert_memory_equal(own, path, strlen(path));
    assert_string_equal(own + strlen(path), "/bin/test_agent_library");
    assert_int_equal(agent_library_place(1, "", path, sizeof path), 0);
    assert_string_equal(path, "/usr/local/lib/" AGENT_LIBRARY_FILE);
    assert_int_equal(agent_library_place(2, "/root", path, sizeof path), 0);
    assert_string_equal(path, "/root/usr/lib/" AGENT_LIBRARY_FILE);
    assert_int_equal(agent_library_place(3, "", path, sizeof path), 0);
    assert_int_equal(agent_library_place(4, "", path, sizeof path), -ENOENT);
    assert_int_equal(agent_library_place(0, "", path, 10), -ENAMETOOLONG);
    assert_int_equal(agent_library_place(1, "", path, 10), -ENAMETOOLONG);
}

static void check_library(const char *path)
{
    struct program library;
    assert_int_equal(program_inspect_library(path, &library), 0);
    assert_int_equal(library.libc, PROGRAM_LIBC_UNKNOWN); /* it needs none: it fits any */
    assert_int_equal(child_can_load(path, NULL), 0);
}

static void the_one_inside_becomes_a_file(void **state)
{
    (void)state;
    char path[128];
    struct stat first, second;
    mode_t mask = umask(0777);
    assert_int_equal(agent_library_write(folder, path, sizeof path), 0);
    (void)umask(mask);
    assert_memory_equal(path, folder, strlen(folder));
    assert_int_equal(stat(path, &first), 0);
    assert_int_equal(first.st_mode & 07777, 0444);
    check_library(path);
    /* It is replaced, not written to: a worker may run it. */
    assert_int_equal(agent_library_write(folder, path, sizeof path), 0);
    assert_int_equal(stat(path, &second), 0);
    assert_true(first.st_ino != second.st_ino);
    assert_true(first.st_size == second.st_size);
}

static void a_directory_that_others_write_to_is_none(void **state)
{
    (void)state;
    char path[128];
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(agent_library_write(folder, path, sizeof path), -EPERM);
    assert_int_equal(chmod(folder, 0775), 0);
    assert_int_equal(agent_library_write(folder, path, sizeof path), -EPERM);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(agent_library_write("/proc/self/exe", path, sizeof path), -EPERM);
    assert_int_equal(agent_library_write("/there/is/none", path, sizeof path), -EPERM);
    assert_int_equal(agent_library_write(folder, path, 10), -ENAMETOOLONG);
    if (geteuid() == 0) {
        assert_int_equal(chown(folder, 65534, 65534), 0);
        assert_int_equal(agent_library_write(folder, path, sizeof path), -EPERM);
    }
}

static void nothing_is_left_of_a_file_that_cannot_be_written(void **state)
{
    (void)state;
    char path[128];
    if (geteuid() != 0 || mount("none", folder, "tmpfs", 0, "size=4k,mode=755") < 0) {
        print_message("SKIPPED: mounting a file system needs root\n");
        skip();
    }
    int r = agent_library_write(folder, path, sizeof path);
    bool there = access(path, F_OK) == 0;
    char partial[256];
    (void)snprintf(partial, sizeof partial, "%s.%ld", path, (long)getpid());
    bool partly = access(partial, F_OK) == 0;
    assert_int_equal(umount(folder), 0);
    assert_int_equal(r, -ENOSPC);
    assert_false(there || partly);
}

static void code_of_a_noexec_mount_cannot_be_loaded(void **state)
{
    (void)state;
    char path[128];
    if (geteuid() != 0 || mount("none", folder, "tmpfs", MS_NOEXEC, "size=1m,mode=755") < 0) {
        print_message("SKIPPED: mounting a file system needs root\n");
        skip();
    }
    int r = agent_library_write(folder, path, sizeof path);
    int load = child_can_load(path, NULL);
    assert_int_equal(umount(folder), 0);
    assert_int_equal(r, 0);
    assert_int_equal(load, -EPERM);
}

static void the_one_inside_becomes_a_memory_file(void **state)
{
    (void)state;
    char path[64];
    int fd = -1;
    int r = agent_library_remember(&fd, path, sizeof path);
    if (r == -EACCES) {
        print_message("SKIPPED: vm.memfd_noexec forbids memory files that run\n");
        skip();
    }
    assert_int_equal(r, 0);
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "/proc/%d/fd/%d", (int)getpid(), fd);
    assert_string_equal(path, wanted);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    check_library(path);
    (void)close(fd);
    assert_int_equal(agent_library_remember(&fd, path, 5), -ENAMETOOLONG);
}

/* The kernel lets nobody look into a process of another user, ptrace(2). */
static void another_user_cannot_load_a_memory_file(void **state)
{
    (void)state;
    char path[64];
    int fd = -1;
    if (geteuid() != 0 || agent_library_remember(&fd, path, sizeof path) < 0) {
        print_message("SKIPPED: needs root, and memory files that run\n");
        skip();
    }
    struct privileges nobody = { .set_ids = true, .uid = 65534, .gid = 65534 };
    assert_int_equal(privileges_prepare(&nobody), 0);
    assert_int_equal(child_can_load(path, &nobody), -EACCES);
    assert_int_equal(child_can_load(path, NULL), 0);
    assert_int_equal(geteuid(), 0); /* it was a child that tried */
    (void)close(fd);
}

static void what_cannot_be_loaded_is_told(void **state)
{
    (void)state;
    assert_int_equal(child_can_load("/there/is/none", NULL), -ENOENT);
    assert_int_equal(child_can_load("/etc/passwd", NULL), 0); /* that it is a library is not asked here */
    assert_int_equal(child_can_load("/", NULL), -ENODEV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_ours_and_the_systems),
        cmocka_unit_test_setup_teardown(the_one_inside_becomes_a_file, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_directory_that_others_write_to_is_none, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(nothing_is_left_of_a_file_that_cannot_be_written, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(code_of_a_noexec_mount_cannot_be_loaded, make_folder, remove_folder),
        cmocka_unit_test(the_one_inside_becomes_a_memory_file),
        cmocka_unit_test(another_user_cannot_load_a_memory_file),
        cmocka_unit_test(what_cannot_be_loaded_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
