/*
 * What the system does to a policy that is being read: a folder /etc of our own, reads that fail or come late, no
 * memory, another build of inih or libcap. The linker puts the functions below in the place of the real ones.
 */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/keys.h"

/* What goes wrong in this test. */
static struct {
    char folder[64]; /* stands for /etc */
    int open_error, stat_error, map_error;
    int read_error;        /* of the first read */
    bool grown;            /* the file has grown after it was looked at */
    bool secure;           /* we are set-id */
    int capability;        /* what every name of one means, 0: what libcap says */
    bool no_name;          /* a capability's number has none */
    int ini_error;         /* inih ends at once with this */
    int ini_line_capacity; /* inih's buffer has only this size */
} fault;

static struct config_load load;

int __wrap_open(const char *path, int flags, ...);
int __real_open(const char *path, int flags, ...);
int __wrap_fstat(int fd, struct stat *status);
int __real_fstat(int fd, struct stat *status);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
ssize_t __real_read(int fd, void *buffer, size_t size);
unsigned long __wrap_getauxval(unsigned long type);
int __wrap_cap_from_name(const char *name, cap_value_t *ret_value);
int __real_cap_from_name(const char *name, cap_value_t *ret_value);
char *__wrap_cap_to_name(cap_value_t value);
char *__real_cap_to_name(cap_value_t value);
int __wrap_ini_parse_stream(ini_reader reader, void *stream, ini_handler handler, void *user);
int __real_ini_parse_stream(ini_reader reader, void *stream, ini_handler handler, void *user);

static int failing(int error)
{
    errno = error;
    return -1;
}

int __wrap_open(const char *path, int flags, ...)
{
    char ours[256];

    if (fault.open_error)
        return failing(fault.open_error);
    if (strncmp(path, "/etc/", 5) != 0)
        return __real_open(path, flags);
    (void)snprintf(ours, sizeof ours, "%s/%s", fault.folder, path + 5);
    return __real_open(ours, flags);
}

int __wrap_fstat(int fd, struct stat *status)
{
    const int result = fault.stat_error ? failing(fault.stat_error) : __real_fstat(fd, status);

    if (fault.grown)
        status->st_size = 0;
    return result;
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (!fault.map_error)
        return __real_mmap(address, size, protection, flags, fd, offset);
    errno = fault.map_error;
    return MAP_FAILED;
}

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
    const int error = fault.read_error;

    fault.read_error = 0;
    return error ? failing(error) : __real_read(fd, buffer, size);
}

unsigned long __wrap_getauxval(unsigned long type)
{
    assert_int_equal(type, AT_SECURE);
    return fault.secure;
}

int __wrap_cap_from_name(const char *name, cap_value_t *ret_value)
{
    if (!fault.capability)
        return __real_cap_from_name(name, ret_value);
    *ret_value = fault.capability;
    return 0;
}

char *__wrap_cap_to_name(cap_value_t value)
{
    return fault.no_name ? NULL : __real_cap_to_name(value);
}

int __wrap_ini_parse_stream(ini_reader reader, void *stream, ini_handler handler, void *user)
{
    char line[32];

    if (fault.ini_error)
        return fault.ini_error;
    if (!fault.ini_line_capacity)
        return __real_ini_parse_stream(reader, stream, handler, user);
    assert_in_range(fault.ini_line_capacity, 1, sizeof line);
    while (reader(line, fault.ini_line_capacity, stream))
        ;
    return 0;
}

/* path: below /etc. */
static void write_file(const char *path, const char *text)
{
    char ours[256];

    (void)snprintf(ours, sizeof ours, "%s/%s", fault.folder, path);
    FILE *file = fopen(ours, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fchmod(fileno(file), 0644), 0);
    assert_int_equal(fclose(file), 0);
}

static int make_etc(void **state)
{
    char folder[256];

    (void)state;
    memset(&fault, 0, sizeof fault);
    strcpy(fault.folder, "/tmp/trimtab-etc-XXXXXX");
    if (!mkdtemp(fault.folder))
        return -1;
    (void)snprintf(folder, sizeof folder, "%s/trimtab", fault.folder);
    config_defaults(&load);
    return chmod(fault.folder, 0755) == 0 ? mkdir(folder, 0755) : -1;
}

static int drop_etc(void **state)
{
    static const char *const paths[] = { "trimtab/gunicorn", "trimtab/local", "trimtab", "trimtab.ini", "" };
    char ours[256];
    int result = 0;

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        (void)snprintf(ours, sizeof ours, "%s/%s", fault.folder, paths[i]);
        result = remove(ours);
    }
    return result;
}

static void the_machine_policy_is_read_if_it_is_there(void **state)
{
    (void)state;
    assert_int_equal(config_read_policy(&load, NULL), 0);
    assert_null(load.file);
    assert_false(load.any);
    write_file("trimtab.ini", "[trim]\nat = 1G\n");
    assert_int_equal(config_read_policy(&load, NULL), 0);
    assert_string_equal(load.file, "/etc/trimtab.ini");
    assert_int_equal(load.config.trim.at.bytes, 1 << 30);
    write_file("trimtab.ini", "[trim]\nat = 1X\n");
    config_defaults(&load);
    assert_int_equal(config_read_policy(&load, NULL), -1);
    assert_string_equal(load.error, "/etc/trimtab.ini:2: [trim] at: '1X' is not a size (512M, 1.5G) or a share (80%)");
}

static void a_policy_of_the_machine_wins_over_a_shipped_one(void **state)
{
    (void)state;
    write_file("trimtab/gunicorn", "[recycle]\nsamples = 7\n");
    assert_int_equal(config_read_policy(&load, "gunicorn"), 0);
    assert_string_equal(load.file, "/etc/trimtab/gunicorn");
    assert_int_equal(load.config.recycle.samples, 7);
    write_file("trimtab/local", "[recycle]\nsamples = 8\n");
    config_defaults(&load);
    assert_int_equal(config_read_policy(&load, "local"), 0);
    assert_int_equal(load.config.recycle.samples, 8);
}

/* 199 bytes are looked for in /etc/trimtab, 200 are no name. */
static void a_name_has_a_longest_length(void **state)
{
    char name[CONFIG_TEXT_MAX + 1];

    (void)state;
    memset(name, 'x', sizeof name);
    name[CONFIG_TEXT_MAX] = '\0';
    fault.open_error = EACCES;
    assert_int_equal(config_read_policy(&load, name), -1);
    assert_non_null(strstr(load.error, "no such policy"));
    name[CONFIG_TEXT_MAX - 1] = '\0';
    assert_int_equal(config_read_policy(&load, name), -1);
    assert_non_null(strstr(load.error, "cannot be opened: Permission denied"));
    assert_int_equal(strlen(load.file), strlen("/etc/trimtab/") + CONFIG_TEXT_MAX - 1);
}

static void a_file_of_our_own_is_trusted(void **state)
{
    char ours[256];

    (void)state;
    write_file("trimtab.ini", "[trim]\nat = 1G\n");
    (void)snprintf(ours, sizeof ours, "%s/trimtab.ini", fault.folder);
    if (geteuid() == 0) {
        assert_int_equal(chown(ours, 4711, 4711), 0);
        assert_int_equal(seteuid(4711), 0);
    }
    const int result = config_read_policy(&load, NULL);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(result, 0);
    assert_true(load.any);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    static const char *const error = "/etc/trimtab.ini: cannot be ";

    (void)state;
    write_file("trimtab.ini", "[trim]\nat = 1G\n");
    fault.stat_error = EIO;
    assert_int_equal(config_read_policy(&load, NULL), -1);
    assert_non_null(strstr(load.error, error));
    assert_non_null(strstr(load.error, "looked at: Input/output error"));
    fault.map_error = ENOMEM; /* the first error is told */
    assert_int_equal(config_read_policy(&load, NULL), -1);
    assert_non_null(strstr(load.error, "looked at: Input/output error"));
    fault.stat_error = 0;
    assert_int_equal(config_read_policy(&load, NULL), -1);
    assert_non_null(strstr(load.error, "read: Cannot allocate memory"));
    fault.map_error = 0;
    fault.read_error = EISDIR;
    assert_int_equal(config_read_policy(&load, NULL), -1);
    assert_non_null(strstr(load.error, "read: Is a directory"));
    assert_false(load.any);
    fault.read_error = EINTR; /* no error: again */
    assert_int_equal(config_read_policy(&load, NULL), 0);
    assert_int_equal(load.config.trim.at.bytes, 1 << 30);
}

static void a_file_that_grows_while_it_is_read_is_refused(void **state)
{
    static char text[(64 << 10) + 2];

    (void)state;
    fault.grown = true;
    memset(text, '\n', sizeof text - 1);
    write_file("trimtab.ini", text);
    assert_int_equal(config_read_policy(&load, NULL), -1);
    assert_string_equal(load.error, "/etc/trimtab.ini: is larger than 64 KiB");
    text[sizeof text - 2] = '\0';
    write_file("trimtab.ini", text);
    assert_int_equal(config_read_policy(&load, NULL), 0);
}

static void a_set_id_program_ignores_the_environment(void **state)
{
    char *environment[] = { "TRIMTAB_TRIM_AT=51X2", NULL };

    (void)state;
    fault.secure = true;
    assert_int_equal(config_read_environment(&load, environment), 0);
    assert_false(load.any);
    fault.secure = false;
    assert_int_equal(config_read_environment(&load, environment), -1);
}

static void an_inih_that_gives_up_is_an_error(void **state)
{
    (void)state;
    fault.ini_error = -2; /* no memory, in builds of it that use the heap */
    assert_int_equal(config_parse(&load, "x.ini", "", 0), -1);
    assert_string_equal(load.error, "x.ini: not understood");
    assert_false(load.any);
}

/* A line that does not fit into inih's buffer with its newline and its NUL is refused, never cut. */
static void a_shorter_buffer_in_inih_is_respected(void **state)
{
    static const char text[] = "[trim]\nat = 100M\n";

    (void)state;
    fault.ini_line_capacity = 11; /* "at = 100M" and two more */
    assert_int_equal(config_parse(&load, "x.ini", text, sizeof text - 1), 0);
    fault.ini_line_capacity = 10;
    assert_int_equal(config_parse(&load, "x.ini", text, sizeof text - 1), -1);
    assert_string_equal(load.error, "x.ini:2: line longer than 198 bytes");
}

static void a_libcap_of_another_kernel_is_respected(void **state)
{
    const struct key *key = &keys[keys_find("worker", "capabilities")];
    char text[64];

    (void)state;
    fault.capability = 63;
    assert_null(keys_apply(key, "cap_of_tomorrow", &load.config));
    assert_true(load.config.worker.capabilities.mask == UINT64_C(1) << 63);
    fault.capability = 64;
    assert_non_null(keys_apply(key, "cap_after_that", &load.config));
    fault.no_name = true; /* its heap is empty */
    keys_print(key, &load.config, text, sizeof text);
    assert_string_equal(text, "none");
}

#define FAULT_TEST(test) cmocka_unit_test_setup_teardown(test, make_etc, drop_etc)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(the_machine_policy_is_read_if_it_is_there),
        FAULT_TEST(a_policy_of_the_machine_wins_over_a_shipped_one),
        FAULT_TEST(a_name_has_a_longest_length),
        FAULT_TEST(a_file_of_our_own_is_trusted),
        FAULT_TEST(a_file_that_cannot_be_read_is_an_error),
        FAULT_TEST(a_file_that_grows_while_it_is_read_is_refused),
        FAULT_TEST(a_set_id_program_ignores_the_environment),
        FAULT_TEST(an_inih_that_gives_up_is_an_error),
        FAULT_TEST(a_shorter_buffer_in_inih_is_respected),
        FAULT_TEST(a_libcap_of_another_kernel_is_respected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
