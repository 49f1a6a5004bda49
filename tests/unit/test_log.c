#include "os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

enum { SIZE = 1024 };

static void assert_line(enum log_format format, const struct log_field *field, const char *expected)
{
    char line[SIZE];
    size_t length = log_format_line(format, LOG_INFO, "e", field, 1, 0, line, sizeof line - 1);
    line[length] = '\0';
    assert_string_equal(line, expected);
}

static void assert_both(struct log_field field, const char *text, const char *json)
{
    char expected[SIZE];
    (void)snprintf(expected, sizeof expected, "trimtab: e%s%s\n", text[0] != '\0' ? " k=" : "", text);
    assert_line(LOG_TEXT, &field, expected);
    (void)snprintf(expected, sizeof expected, "{\"ts\":0,\"level\":\"info\",\"event\":\"e\"%s%s}\n",
                   json[0] != '\0' ? ",\"k\":" : "", json);
    assert_line(LOG_JSON, &field, expected);
}

static void numbers_read_well(void **state)
{
    (void)state;
    assert_both(log_number("k", 0), "0", "0");
    assert_both(log_number("k", -12), "-12", "-12");
    assert_both(log_number("k", INT64_MIN), "-9223372036854775808", "-9223372036854775808");

    const struct {
        uint64_t bytes;
        const char *text;
        const char *json;
    } sizes[] = { { 0, "0B", "0" },
                  { 100, "100B", "100" },
                  { 1023, "1023B", "1023" },
                  { 1024, "1K", "1024" },
                  { 4096, "4K", "4096" },
                  { 1536, "1.5K", "1536" },
                  { UINT64_C(641728512), "612M", "641728512" },
                  { UINT64_C(641728512) + 600000, "612M", "642328512" },
                  { UINT64_C(1048575), "1023K", "1048575" },
                  { UINT64_C(99) << 20 | 0xfffff, "99.9M", "104857599" },
                  { UINT64_C(3) << 29, "1.5G", "1610612736" },
                  { UINT64_MAX, "15.9E", "18446744073709551615" } };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_both(log_bytes("k", sizes[i].bytes), sizes[i].text, sizes[i].json);
}

static void times_and_shares_read_well(void **state)
{
    (void)state;
    const struct {
        uint64_t ms;
        const char *text;
        const char *json;
    } times[] = { { 0, "0ms", "0" },         { 20, "20ms", "0.02" },      { 999, "999ms", "0.999" },
                  { 1000, "1s", "1" },       { 1500, "1.5s", "1.5" },     { 61234, "61.2s", "61.234" },
                  { 90000, "90s", "90" },    { 240000, "4m", "240" },     { 5400000, "90m", "5400" },
                  { 7200000, "2h", "7200" }, { 9000000, "2.5h", "9000" }, { UINT64_C(604800000), "7d", "604800" },
                  { 1, "1ms", "0.001" } };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        assert_both(log_ms("k", times[i].ms), times[i].text, times[i].json);
    assert_both(log_permyriad("k", 0), "0%", "0");
    assert_both(log_permyriad("k", 4127), "41.2%", "0.4127");
    assert_both(log_permyriad("k", 10000), "100%", "1");
    assert_both(log_permyriad("k", 500), "5%", "0.05");
}

static void texts_are_quoted_and_escaped(void **state)
{
    (void)state;
    const struct {
        const char *text, *plain, *json;
    } rows[] = { { "growth", "growth", "\"growth\"" },
                 { "A=1,B=/x", "A=1,B=/x", "\"A=1,B=/x\"" },
                 { "", "\"\"", "\"\"" },
                 { "a b", "\"a b\"", "\"a b\"" },
                 { "a\"b", "\"a\\\"b\"", "\"a\\\"b\"" },
                 { "a\\b", "\"a\\\\b\"", "\"a\\\\b\"" },
                 { "a\nb\x7f", "\"a\\x0ab\\x7f\"", "\"a\\u000ab\\u007f\"" },
                 { "\x1b[31m", "\"\\x1b[31m\"", "\"\\u001b[31m\"" },
                 { "\xc3\xa9", "\"\\xc3\\xa9\"", "\"\xc3\xa9\"" },
                 { "\xf0\x9f\x98\x80!", "\"\\xf0\\x9f\\x98\\x80!\"", "\"\xf0\x9f\x98\x80!\"" },
                 { "\xe9", "\"\\xe9\"", "\"\\u00e9\"" },
                 { "\xc0\xaf", "\"\\xc0\\xaf\"", "\"\\u00c0\\u00af\"" },                 /* overlong */
                 { "\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", "\"\\u00ed\\u00a0\\u0080\"" }, /* surrogate */
                 { "\xe2\x82", "\"\\xe2\\x82\"", "\"\\u00e2\\u0082\"" },                 /* cut */
                 { "\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\"", "\"\\u00f4\\u0090\\u0080\\u0080\"" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_both(log_text("k", rows[i].text), rows[i].plain, rows[i].json);
    assert_both(log_text("k", NULL), "", "");
}

static void errors_have_a_message(void **state)
{
    struct log_field field = log_errno(EPERM);
    (void)state;
    assert_line(LOG_TEXT, &field, "trimtab: e errno=\"Operation not permitted\"\n");
    assert_line(LOG_JSON, &field,
                "{\"ts\":0,\"level\":\"info\",\"event\":\"e\",\"errno\":\"Operation not permitted\"}\n");
}

static void a_whole_line(void **state)
{
    char line[SIZE];
    const struct log_field fields[] = { log_number("pid", 41), log_bytes("rss", UINT64_C(612) << 20),
                                        log_ms("eta", 240000), log_text("policy", NULL), log_text("reason", "growth") };
    (void)state;
    size_t length = log_format_line(LOG_TEXT, LOG_INFO, "recycle", fields, 5, 5, line, sizeof line - 1);
    line[length] = '\0';
    assert_string_equal(line, "trimtab: recycle pid=41 rss=612M eta=4m reason=growth\n");
    length =
        log_format_line(LOG_JSON, LOG_WARNING, "recycle", fields, 5, UINT64_C(1700000000123), line, sizeof line - 1);
    line[length] = '\0';
    assert_string_equal(line, "{\"ts\":1700000000.123,\"level\":\"warning\",\"event\":\"recycle\",\"pid\":41,"
                              "\"rss\":641728512,\"eta\":240,\"reason\":\"growth\"}\n");
}

/* At any size: whole fields, a newline at the end, nothing past it. */
static void a_line_that_does_not_fit_is_cut_between_fields(void **state)
{
    static const char *const text_cuts[] = { "trimtab: event\n", "trimtab: event a=1\n",
                                             "trimtab: event a=1 b=\"x y\"\n" };
    static const char *const json_cuts[] = {
        "{\"ts\":0,\"level\":\"info\",\"event\":\"event\"}\n",
        "{\"ts\":0,\"level\":\"info\",\"event\":\"event\",\"a\":1}\n",
        "{\"ts\":0,\"level\":\"info\",\"event\":\"event\",\"a\":1,\"b\":\"x y\"}\n"
    };
    const struct log_field fields[] = { log_number("a", 1), log_text("b", "x y") };
    (void)state;
    for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
        const char *const *cuts = format == LOG_TEXT ? text_cuts : json_cuts;
        for (size_t size = 0; size <= 80; size++) {
            char line[81];
            memset(line, '#', sizeof line);
            size_t length = log_format_line((enum log_format)format, LOG_INFO, "event", fields, 2, 0, line, size);
            int fitting = 2;
            while (fitting >= 0 && strlen(cuts[fitting]) > size)
                fitting--;
            assert_int_equal(length, fitting < 0 ? 0 : strlen(cuts[fitting]));
            assert_memory_equal(line, fitting < 0 ? "" : cuts[fitting], length);
            for (size_t i = size; i < sizeof line; i++)
                assert_int_equal(line[i], '#');
        }
    }
}

/* Outside strings nothing but our own punctuation; inside, only what RFC 8259 allows. */
static void assert_json_string_line(const char *line, size_t length)
{
    bool inside = false;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)line[i];
        if (byte == '\\') {
            assert_true(inside);
            char next = line[++i];
            assert_true(next == '"' || next == '\\' || next == 'u');
            for (int digit = 0; next == 'u' && digit < 4; digit++)
                assert_non_null(memchr("0123456789abcdef", line[++i], 16));
            continue;
        }
        inside = byte == '"' ? !inside : inside;
        assert_true(!inside || byte >= 0x20);
    }
    assert_false(inside);
}

static void any_bytes_give_valid_json(void **state)
{
    unsigned seed = 20240229;
    iconv_t check = iconv_open("UCS-4LE", "UTF-8");
    (void)state;
    assert_true(check != (iconv_t)-1);
    for (int round = 0; round < 20000; round++) {
        char bytes[24], line[SIZE], wide[8 * SIZE];
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1103515245u + 12345u;
            unsigned pick = seed >> 16;
            /* mostly lead and continuation bytes, so that near misses are common */
            bytes[i] = (char)(pick % 3 == 0   ? pick >> 4
                              : pick % 3 == 1 ? 0xc0 | (pick >> 4 & 0x3f)
                                              : 0x80 | (pick >> 4 & 0x3f));
        }
        bytes[sizeof bytes - 1] = '\0';
        struct log_field field = log_text("k", bytes);
        size_t length = log_format_line(LOG_JSON, LOG_INFO, "e", &field, 1, 0, line, sizeof line);
        assert_json_string_line(line, length);
        char *in = line, *out = wide;
        size_t in_left = length, out_left = sizeof wide;
        assert_int_equal(iconv(check, &in, &in_left, &out, &out_left), 0);
    }
    assert_int_equal(iconv_close(check), 0);
}

/* ---- what stderr does: each story in a process of its own ---- */

static int report_fd;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)dprintf(report_fd, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);                 \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static void run_story(void (*story)(void))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        report_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 900);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)alarm(20); /* a write that waits ends the story */
        story();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool is_readable(int fd)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    return poll(&ready, 1, 0) == 1;
}

/* Read what is there up to, and with, the first newline. */
static const char *next_line(int fd)
{
    static char line[2 * SIZE];
    size_t length = 0;
    while (length + 1 < sizeof line && is_readable(fd) && read(fd, line + length, 1) == 1 && line[length++] != '\n')
        ;
    line[length] = '\0';
    return line;
}

static void say(int number)
{
    log_event(LOG_INFO, "number", log_number("n", number));
}

/* Say lines until stderr is full and lines are lost, make room, and hear what was lost. */
static void check_losing(int reader)
{
    char expected[64];
    int said = 0, heard = 0;
    char block[4096];

    for (; said < 200000; said++)
        say(said);
    CHECK(is_readable(reader));
    CHECK(strcmp(next_line(reader), "trimtab: number n=0\n") == 0);
    for (heard = 1; is_readable(reader); heard++) {
        (void)snprintf(expected, sizeof expected, "trimtab: number n=%d\n", heard);
        if (strcmp(next_line(reader), expected) != 0)
            break;
    }
    while (is_readable(reader))
        CHECK(read(reader, block, sizeof block) > 0);
    CHECK(heard > 10 && heard < said);
    say(-1);
    const char *line = next_line(reader);
    line += line[0] == '\n'; /* after a line that was taken in part */
    (void)snprintf(expected, sizeof expected, "trimtab: warning what=\"log lines lost\" count=%d\n", said - heard);
    CHECK(strcmp(line, expected) == 0);
    CHECK(strcmp(next_line(reader), "trimtab: number n=-1\n") == 0);
    say(-2);
    CHECK(strcmp(next_line(reader), "trimtab: number n=-2\n") == 0);
    CHECK(!is_readable(reader));
}

static void tell_pipe(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    log_open(LOG_INFO, LOG_TEXT);
    CHECK(log_descriptor() >= 0 && fcntl(log_descriptor(), F_GETFD) == FD_CLOEXEC);
    check_losing(ends[0]);
    CHECK((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0); /* shared with the worker */
}

static void a_full_pipe_loses_and_counts(void **state)
{
    (void)state;
    run_story(tell_pipe);
}

static void tell_foreign_pipe(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    CHECK(fchmod(STDERR_FILENO, 0) == 0);
    CHECK(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
    log_open(LOG_INFO, LOG_TEXT);
    CHECK(log_descriptor() == -1);
    check_losing(ends[0]);
    CHECK((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0);
}

static void a_full_pipe_of_another_user_too(void **state)
{
    (void)state;
    run_story(tell_foreign_pipe);
}

static void tell_socket(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    log_open(LOG_INFO, LOG_TEXT);
    CHECK(log_descriptor() == -1);
    check_losing(ends[0]);
    CHECK((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0);
    CHECK(close(ends[0]) == 0 && signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    say(-3); /* does not end us */
}

static void a_full_socket_too(void **state)
{
    (void)state;
    run_story(tell_socket);
}

static void tell_terminal(void)
{
    static char all[1 << 17];
    char name[64];
    size_t length = 0;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    CHECK(ptsname_r(master, name, sizeof name) == 0);
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(slave >= 0 && dup2(slave, STDERR_FILENO) == STDERR_FILENO);
    log_open(LOG_INFO, LOG_TEXT);
    CHECK(log_descriptor() >= 0);
    for (int i = 0; i < 20000; i++) /* far more than a terminal holds: the last one is taken in part */
        say(i);
    CHECK((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0);
    while (strstr(all, "\ntrimtab: number n=-1\r\n") == NULL) {
        ssize_t count = read(master, all + length, sizeof all - 1 - length);
        CHECK(count > 0);
        length += (size_t)count;
        say(-1); /* gets through once there is room */
    }
    for (char *at = all; (at = strstr(at, "trimtab:")) != NULL; at++)
        CHECK(at == all || at[-1] == '\n');
}

static void a_stopped_terminal_does_not_stop_us(void **state)
{
    (void)state;
    run_story(tell_terminal);
}

static void tell_file(void)
{
    char name[] = "/tmp/trimtab-log-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0 && unlink(name) == 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    log_open(LOG_WARNING, LOG_TEXT);
    CHECK(log_descriptor() == -1);
    CHECK(log_enabled(LOG_ERROR) && log_enabled(LOG_WARNING) && !log_enabled(LOG_INFO));
    say(1);
    errno = ERANGE;
    log_event(LOG_WARNING, "warning", log_text("what", "it"));
    CHECK(errno == ERANGE);
    log_fatal("cannot read 'caf\xc3\xa9\n'");
    char text[256] = "";
    CHECK(pread(fd, text, sizeof text - 1, 0) > 0);
    CHECK(strcmp(text, "trimtab: warning what=it\ntrimtab: cannot read 'caf\\xc3\\xa9\\x0a'\n") == 0);
}

static void a_file_gets_what_the_level_lets_through(void **state)
{
    (void)state;
    run_story(tell_file);
}

static void tell_fatal(void)
{
    static char huge[5000];
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    memset(huge, 'x', sizeof huge - 1);
    log_fatal("before log_open");
    CHECK(strcmp(next_line(ends[0]), "trimtab: before log_open\n") == 0);
    log_fatal(huge);
    CHECK(strncmp(next_line(ends[0]), "trimtab: xxx", 12) == 0 && !is_readable(ends[0]));
    log_open(LOG_INFO, LOG_JSON);
    log_fatal("it's \"over\"");
    const char *line = next_line(ends[0]);
    CHECK(strncmp(line, "{\"ts\":1", 7) == 0);
    CHECK(strstr(line, ",\"level\":\"error\",\"event\":\"error\",\"what\":\"it's \\\"over\\\"\"}\n") != NULL);
    log_fatal(huge);
    line = next_line(ends[0]);
    CHECK(strstr(line, "\"what\":\"xxx") != NULL && strcmp(line + strlen(line) - 3, "\"}\n") == 0);
}

static void the_last_words_get_out_in_any_case(void **state)
{
    (void)state;
    run_story(tell_fatal);
}

static void tell_nobody(void)
{
    int ends[2];
    CHECK(close(STDERR_FILENO) == 0);
    log_open(LOG_INFO, LOG_TEXT);
    say(1);
    CHECK(log_descriptor() == -1);
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
}

static void without_stderr_all_goes_on(void **state)
{
    (void)state;
    run_story(tell_nobody);
}

static void tell_gone_reader(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO && close(ends[1]) == 0);
    log_open(LOG_INFO, LOG_TEXT);
    CHECK(close(ends[0]) == 0);
    say(1);
    say(2);
}

static void a_reader_that_is_gone_is_no_obstacle(void **state)
{
    (void)state;
    run_story(tell_gone_reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(numbers_read_well),
                                        cmocka_unit_test(times_and_shares_read_well),
                                        cmocka_unit_test(texts_are_quoted_and_escaped),
                                        cmocka_unit_test(errors_have_a_message),
                                        cmocka_unit_test(a_whole_line),
                                        cmocka_unit_test(a_line_that_does_not_fit_is_cut_between_fields),
                                        cmocka_unit_test(any_bytes_give_valid_json),
                                        cmocka_unit_test(a_full_pipe_loses_and_counts),
                                        cmocka_unit_test(a_full_pipe_of_another_user_too),
                                        cmocka_unit_test(a_full_socket_too),
                                        cmocka_unit_test(a_stopped_terminal_does_not_stop_us),
                                        cmocka_unit_test(a_file_gets_what_the_level_lets_through),
                                        cmocka_unit_test(the_last_words_get_out_in_any_case),
                                        cmocka_unit_test(without_stderr_all_goes_on),
                                        cmocka_unit_test(a_reader_that_is_gone_is_no_obstacle) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
