/* Policies as text and as files, and what is said when one is wrong. */
#include "config/config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/keys.h"
#include "same_config.h"

#define FILE_NAME     "conf/x.ini"
#define TEXT(literal) literal, sizeof(literal) - 1

static int parse(struct config_load *load, const char *text, size_t size)
{
    config_defaults(load);
    load->file = FILE_NAME;
    return config_parse(load, FILE_NAME, text, size);
}

static void a_policy_is_read(void **state)
{
    struct config_load load;

    (void)state;
    assert_int_equal(parse(&load, TEXT("\xef\xbb\xbf# comment = [x\r\n"
                                       "\r\n"
                                       "[recycle]\r\n"
                                       "at=512M\r\n"
                                       "   samples = 5\n"
                                       "\t grace\t=\t2m  \n"
                                       "; [typo]\n"
                                       "  [worker]  \n"
                                       "rewrite = TERM:QUIT, HUP:0\n"
                                       "   ; and\n"
                                       "user=a=b\n"
                                       "[recycle]\n"
                                       "interval = 0")),
                     0);
    assert_int_equal(load.config.recycle.at.bytes, 512 << 20);
    assert_int_equal(load.config.recycle.samples, 5);
    assert_int_equal(load.config.recycle.grace_ms, 120000);
    assert_int_equal(load.config.recycle.interval_ms, 0);
    assert_int_equal(load.config.worker.rewrite[SIGTERM], SIGQUIT);
    assert_int_equal(load.config.worker.rewrite[SIGHUP], 0);
    assert_string_equal(load.config.worker.user, "a=b");
    assert_true(load.any);
    assert_int_equal(load.origin[keys_find("recycle", "grace")].source, SOURCE_FILE);
    assert_int_equal(load.origin[keys_find("recycle", "grace")].line, 6);
    assert_int_equal(load.origin[keys_find("recycle", "signal")].source, SOURCE_DEFAULT);
}

static void an_empty_policy_is_one(void **state)
{
    static const char *const texts[] = { "", "\n", "\r\n", "#", "[trim]", "\xef\xbb\xbf", "   \t" };
    struct config_load load, none;

    (void)state;
    config_defaults(&none);
    assert_false(none.any);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(parse(&load, texts[i], strlen(texts[i])), 0);
        assert_true(load.any);
        assert_same_config(&load.config, &none.config);
    }
}

#define FORTY "0123456789012345678901234567890123456789"

static const struct {
    const char *text;
    size_t size;
    const char *error;
} refused[] = {
    { TEXT("[recycle]\natt = 1\n"), "conf/x.ini:2: [recycle] att: unknown key; did you mean 'at'?" },
    { TEXT("#\n\n[trmi]\n"), "conf/x.ini:3: [trmi]: unknown section; did you mean 'trim'?" },
    { TEXT("[trim]\nat = 51X2\n"), "conf/x.ini:2: [trim] at: '51X2' is not a size (512M, 1.5G) or a share (80%)" },
    { TEXT("[trim]\ngrace = 5s\n"), "conf/x.ini:2: [trim] grace: unknown key; did you mean [recycle] grace?" },
    { TEXT("[trim]\nqqqq = 5s\n"), "conf/x.ini:2: [trim] qqqq: unknown key" },
    { TEXT("[zzzz]\n"), "conf/x.ini:1: [zzzz]: unknown section" },
    { TEXT("[]\n"), "conf/x.ini:1: []: unknown section" },
    { TEXT("[ trim]\n"), "conf/x.ini:1: [ trim]: unknown section; did you mean 'trim'?" },
    { TEXT("[trim\nat = 1G\n"), "conf/x.ini:1: '[' without ']'" },
    { TEXT("[trim] at = 1G\n"), "conf/x.ini:1: text after ']'; a comment has a line of its own" },
    { TEXT("[trim] # x\n"), "conf/x.ini:1: text after ']'; a comment has a line of its own" },
    { TEXT("[trim]]\n"), "conf/x.ini:1: text after ']'; a comment has a line of its own" },
    { TEXT("at = 1G\n[trim]\n"), "conf/x.ini:1: at = 1G: key before any section" },
    { TEXT("[trim]\nat\n"), "conf/x.ini:2: at: no '='; a key is set as in 'at = 80%'" },
    { TEXT("[trim]\nat: 1G\n"), "conf/x.ini:2: at: 1G: no '='; a key is set as in 'at = 80%'" },
    { TEXT("[worker]\n/bin:/usr/bin=x\n"), "conf/x.ini:2: /bin:/usr/bin=x: ':' in the name of a key" },
    { TEXT("[worker]\nuser ;x = y\n"), "conf/x.ini:2: user ;x = y: ';' in the name of a key" },
    { TEXT("[trim]\n= 1G\n"), "conf/x.ini:2: = 1G: no key before '='" },
    { TEXT("[trim]\nat =\n"), "conf/x.ini:2: [trim] at: empty value" },
    { TEXT("[worker]\nuser =   \r\n"), "conf/x.ini:2: [worker] user: empty value" },
    { TEXT("[trim]\nat = 1G # x\n"), "conf/x.ini:2: at = 1G # x: '#' starts a comment only at the start of a line" },
    { TEXT("[trim]\nat = 1G ; x\n"), "conf/x.ini:2: at = 1G ; x: ';' starts a comment only at the start of a line" },
    { TEXT("[trim]\nat = 1G\t;\n"), "conf/x.ini:2: at = 1G\\x09;: ';' starts a comment only at the start of a line" },
    { TEXT("[worker]\nuser = ;x\n"), "conf/x.ini:2: user = ;x: ';' starts a comment only at the start of a line" },
    { TEXT("[worker]\nuser = \"app\"\n"), "conf/x.ini:2: [worker] user: \"app\": a value is written without quotes" },
    { TEXT("[worker]\nuser = 'app'\n"), "conf/x.ini:2: [worker] user: 'app': a value is written without quotes" },
    { TEXT("[trim]\nat = 1G\nsettle = 3s\nat = 2G\n"), "conf/x.ini:4: [trim] at: already set in line 2" },
    { TEXT("[trim]\nat = 1G\n[log]\n[trim]\nat = 1G\n"), "conf/x.ini:5: [trim] at: already set in line 2" },
    { TEXT("[trim]\n\nat = 1\0G\n"), "conf/x.ini:3: NUL byte; is this a text file?" },
    { TEXT("[trim]\nat = 1\x1bG\n"), "conf/x.ini:2: control character 0x1b" },
    { TEXT("[trim]\rat = 1G\r"), "conf/x.ini:1: control character 0x0d" },
    { TEXT("[trim]\n\xc3\xa4t = 1\n"), "conf/x.ini:2: [trim] \\xc3\\xa4t: unknown key" },
    { TEXT("[trim]\nat = \xff\n"), "conf/x.ini:2: [trim] at: '\\xff' is not a size (512M, 1.5G) or a share (80%)" },
    { TEXT("[trim]\n# " FORTY FORTY FORTY FORTY FORTY "\n"), "conf/x.ini:2: line longer than 198 bytes" },
    { TEXT("[worker]\nuser = " FORTY FORTY FORTY FORTY FORTY), "conf/x.ini:2: line longer than 198 bytes" },
    { TEXT("[recycle]\nsignal = KILL\n"),
      "conf/x.ini:2: [recycle] signal: 'KILL' is of no use here: a program cannot catch it, so there would be no "
      "grace" },
};

static void what_is_wrong_is_said_with_its_line(void **state)
{
    struct config_load load, before;

    (void)state;
    config_defaults(&before);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(parse(&load, refused[i].text, refused[i].size), -1);
        assert_string_equal(load.error, refused[i].error);
        assert_same_config(&load.config, &before.config);
        assert_memory_equal(load.origin, before.origin, sizeof load.origin);
        assert_false(load.any);
    }
}

/* Every length around the buffer of inih: taken whole, or refused; never cut, never continued. */
static void no_length_of_line_is_cut(void **state)
{
    char text[512];
    struct config_load load;

    (void)state;
    for (int length = 150; length < 300; length++) {
        const int value = length - (int)strlen("user=");
        int size = snprintf(text, sizeof text, "[worker]\nuser=%0*d\nno_new_privs=yes\n", value, 1);
        const bool fits = length <= CONFIG_TEXT_MAX - 2;
        assert_int_equal(parse(&load, text, (size_t)size), fits ? 0 : -1);
        if (fits) {
            assert_int_equal(strlen(load.config.worker.user), value);
            assert_true(load.config.worker.no_new_privs);
        } else {
            assert_string_equal(load.error, "conf/x.ini:2: line longer than 198 bytes");
        }
        size = snprintf(text, sizeof text, "[worker]\n#%0*dno_new_privs=yes\n", length - 1, 0);
        (void)parse(&load, text, (size_t)size);
        assert_false(load.config.worker.no_new_privs);
    }
}

static void an_indented_key_is_no_continuation(void **state)
{
    struct config_load load;

    (void)state;
    assert_int_equal(parse(&load, TEXT("[worker]\nuser = app\n  group = web\n\tno_new_privs = yes\n")), 0);
    assert_string_equal(load.config.worker.user, "app");
    assert_string_equal(load.config.worker.group, "web");
    assert_true(load.config.worker.no_new_privs);
    assert_int_equal(parse(&load, TEXT("[worker]\nuser = app\n  something\n")), -1);
    assert_string_equal(load.error, "conf/x.ini:3: something: no '='; a key is set as in 'at = 80%'");
}

static void a_message_is_one_printable_line(void **state)
{
    static const char shape[] = "[recycle]\nat = 80%\nsignal = TERM # x\n[worker]\nrewrite = TERM:QUIT\nuser = \"a\"\n";
    uint64_t seed = 88172645463325252U;
    struct config_load load, before;

    (void)state;
    config_defaults(&before);
    for (int i = 0; i < 50000; i++) {
        char text[sizeof shape];
        memcpy(text, shape, sizeof shape);
        for (int j = 0; j < 4; j++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            text[seed % (sizeof text - 1)] = (char)(seed >> 32);
        }
        const size_t size = (seed >> 16) % sizeof text;
        if (parse(&load, text, size) == 0)
            continue;
        assert_true(strncmp(load.error, "conf/x.ini:", 11) == 0);
        for (const char *p = load.error; *p != '\0'; p++)
            assert_in_range(*p, 0x20, 0x7e);
        assert_same_config(&load.config, &before.config);
    }
}

/* A folder for this run, with one file. */
struct fixture {
    char folder[64];
    char path[128];
    struct config_load load;
};

static int make_fixture(void **state)
{
    static struct fixture fixture;

    strcpy(fixture.folder, "/tmp/trimtab-policy-XXXXXX");
    if (!mkdtemp(fixture.folder))
        return -1;
    (void)snprintf(fixture.path, sizeof fixture.path, "%s/p.ini", fixture.folder);
    config_defaults(&fixture.load);
    *state = &fixture;
    return 0;
}

static int drop_fixture(void **state)
{
    struct fixture *fixture = *state;

    (void)unlink(fixture->path);
    (void)rmdir(fixture->path);
    return rmdir(fixture->folder);
}

static void write_file(const struct fixture *fixture, const char *text, size_t size)
{
    const int fd = open(fixture->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(close(fd), 0);
}

static void expect_error(struct fixture *fixture, const char *what)
{
    char error[CONFIG_ERROR_MAX];

    (void)snprintf(error, sizeof error, "%s: %s", fixture->path, what);
    assert_int_equal(config_read_policy(&fixture->load, fixture->path), -1);
    assert_string_equal(fixture->load.error, error);
    assert_false(fixture->load.any);
}

static void a_file_is_read_also_through_a_link(void **state)
{
    struct fixture *fixture = *state;
    char link[sizeof fixture->path + 8];

    write_file(fixture, TEXT("[trim]\nat = 1G\n"));
    (void)snprintf(link, sizeof link, "%s.link", fixture->path);
    assert_int_equal(symlink(fixture->path, link), 0);
    const int result = config_read_policy(&fixture->load, link);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(result, 0);
    assert_string_equal(fixture->load.file, link);
    assert_int_equal(fixture->load.config.trim.at.bytes, 1 << 30);
}

static void a_file_that_others_may_write_is_refused(void **state)
{
    struct fixture *fixture = *state;

    write_file(fixture, TEXT("[trim]\nat = 1G\n"));
    assert_int_equal(chmod(fixture->path, 0664), 0);
    expect_error(fixture, "may be written by others (mode 0664); chmod go-w");
    assert_int_equal(chmod(fixture->path, 0602), 0);
    expect_error(fixture, "may be written by others (mode 0602); chmod go-w");
    assert_int_equal(chmod(fixture->path, 0600), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(fixture->path, 4711, 0), 0);
        expect_error(fixture, "belongs to user 4711, neither to root nor to us");
        assert_int_equal(chown(fixture->path, 0, 4711), 0);
    }
    assert_int_equal(config_read_policy(&fixture->load, fixture->path), 0);
}

static void what_is_no_file_is_refused(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(mkdir(fixture->path, 0755), 0);
    expect_error(fixture, "is a directory, not a file");
    assert_int_equal(rmdir(fixture->path), 0);
    assert_int_equal(mkfifo(fixture->path, 0644), 0);
    expect_error(fixture, "is not a regular file"); /* and without waiting for a writer */
    assert_int_equal(config_read_policy(&fixture->load, "/dev/null"), -1);
    assert_string_equal(fixture->load.error, "/dev/null: is not a regular file");
    assert_int_equal(config_read_policy(&fixture->load, "/dev/null/x"), -1);
    assert_string_equal(fixture->load.error, "/dev/null/x: cannot be opened: Not a directory");
}

static void a_file_has_a_largest_size(void **state)
{
    static char text[(64 << 10) + 1];
    struct fixture *fixture = *state;

    memset(text, '\n', sizeof text);
    write_file(fixture, text, sizeof text);
    expect_error(fixture, "is larger than 64 KiB");
    memcpy(text + sizeof text - 1 - 18, "[trim]\nsettle = 3s", 18);
    write_file(fixture, text, sizeof text - 1);
    assert_int_equal(config_read_policy(&fixture->load, fixture->path), 0);
    assert_int_equal(fixture->load.config.trim.settle_ms, 3000);
}

static void a_policy_that_is_not_there_is_named(void **state)
{
    static const struct {
        const char *name, *error;
    } rows[] = {
        { "gunicron", "policy 'gunicron': no such policy (a file is named with a '/', as in ./x.ini); shipped "
                      "policies: auto, gunicorn; did you mean 'gunicorn'?" },
        { "x.ini", "policy 'x.ini': no such policy (a file is named with a '/', as in ./x.ini); shipped policies: "
                   "auto, gunicorn" },
        { "",
          "policy '': no such policy (a file is named with a '/', as in ./x.ini); shipped policies: auto, gunicorn" },
        { "/nowhere/x\n.ini", "policy '/nowhere/x\\x0a.ini': no such file; shipped policies: auto, gunicorn" },
    };
    struct config_load load;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        config_defaults(&load);
        assert_int_equal(config_read_policy(&load, rows[i].name), -1);
        assert_string_equal(load.error, rows[i].error);
    }
}

static void every_shipped_policy_is_sound(void **state)
{
    struct config_load load;

    (void)state;
    config_defaults(&load);
    assert_int_equal(config_read_policy(&load, "auto"), 0);
    assert_int_equal(config_check(&load), 0);
    assert_true(load.config.recycle.at.bytes == 0 && load.config.recycle.at.share_permyriad == 0);
    assert_true(load.config.recycle.match[0] != '\0'); /* never a process that nobody is known to replace */
    assert_int_equal(load.config.recycle.method, CONFIG_METHOD_SIGNAL);
    config_defaults(&load);
    assert_int_equal(config_read_policy(&load, "gunicorn"), 0);
    assert_int_equal(config_check(&load), 0);
    assert_string_equal(load.file, "gunicorn");
    assert_true(load.any);
    assert_int_equal(load.config.recycle.signal, SIGTERM);
    assert_true(load.config.recycle.grace_ms > 33000); /* a drain that went well was seen to take 33 s */
    assert_true(load.config.container.recycle_at.share_permyriad > 0);
    assert_int_equal(load.config.recycle.at_once, 1);
    assert_true(load.config.recycle.samples >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_is_read),
        cmocka_unit_test(an_empty_policy_is_one),
        cmocka_unit_test(what_is_wrong_is_said_with_its_line),
        cmocka_unit_test(no_length_of_line_is_cut),
        cmocka_unit_test(an_indented_key_is_no_continuation),
        cmocka_unit_test(a_message_is_one_printable_line),
        cmocka_unit_test_setup_teardown(a_file_is_read_also_through_a_link, make_fixture, drop_fixture),
        cmocka_unit_test_setup_teardown(a_file_that_others_may_write_is_refused, make_fixture, drop_fixture),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, make_fixture, drop_fixture),
        cmocka_unit_test_setup_teardown(a_file_has_a_largest_size, make_fixture, drop_fixture),
        cmocka_unit_test(a_policy_that_is_not_there_is_named),
        cmocka_unit_test(every_shipped_policy_is_sound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
