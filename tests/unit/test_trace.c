/* The recording: each kind of bad line is refused at its column, what is written reads back as the same. */
#include "ctl/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/series.h"
#include "ctl/trace_file.h"

#define HEADER                                                                                                         \
    "time,mono_ms,pid,start_ms,parent,name,role,same_program,rss,pss,uss,cpu_ms,used,limit,oom_kill,pressure_us,"      \
    "command"
#define ROW "1764000000.123,1000,41,-250,7,gunicorn,child,yes,1048576,,4096,20,2097152,4194304,0,77,"

enum { ROUNDS = 20000 };

static struct trace_parser parser;

static int open_parser(void **state)
{
    struct trace_error error;
    (void)state;
    trace_parser_close(&parser);
    return trace_parser_open(&parser) < 0 || trace_parse_header(&parser, HEADER, strlen(HEADER), &error) < 0;
}

static int close_parser(void **state)
{
    (void)state;
    trace_parser_close(&parser);
    return 0;
}

/* A copy that ends where the line does, so that a read past it is found by the sanitizer. */
static int parse(const char *line, size_t size, struct trace_row *row, struct trace_error *error)
{
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, line, size);
    int r = trace_parse_row(&parser, copy, size, row, error);
    free(copy);
    return r;
}

static void a_row_is_read(void **state)
{
    struct trace_row row;
    struct trace_error error;
    (void)state;
    assert_int_equal(parse(ROW, strlen(ROW), &row, &error), 0);
    assert_true(row.utc_ms == INT64_C(1764000000123) && row.mono_ms == 1000);
    assert_true(row.pid == 41 && row.start_ms == -250 && row.parent == 7);
    assert_string_equal(row.name, "gunicorn");
    assert_true(row.role == TRACE_CHILD && row.same_program == TRACE_YES);
    assert_true(row.rss_bytes == 1048576 && row.pss_bytes == TRACE_UNKNOWN && row.uss_bytes == 4096);
    assert_true(row.cpu_ms == 20 && row.container.used_bytes == 2097152 && row.container.limit_bytes == 4194304);
    assert_true(row.container.oom_kill == 0 && row.container.pressure_us == 77);
}

static void columns_may_stand_in_any_order(void **state)
{
    static const char header[] =
        "rss,time,mono_ms,pid,start_ms,parent,name,role,same_program,pss,uss,cpu_ms,used,limit,oom_kill,pressure_us,"
        "command";
    static const char line[] = "5,1.5,2,3,4,0,\"a, \"\"b\"\"\",worker,,,,,,,,,a b";
    struct trace_row row;
    struct trace_error error;
    (void)state;
    assert_int_equal(trace_parse_header(&parser, header, strlen(header), &error), 0);
    assert_int_equal(parse(line, strlen(line), &row, &error), 0);
    assert_true(row.rss_bytes == 5 && row.utc_ms == 1500 && row.pid == 3 && row.role == TRACE_WORKER);
    assert_string_equal(row.name, "a, \"b\"");
    assert_string_equal(row.command, "a b");
    assert_true(row.same_program == TRACE_NOT_KNOWN && row.container.used_bytes == TRACE_UNKNOWN);
    assert_int_equal((int)trace_column_of(&parser, TRACE_RSS, line, strlen(line)), 1);
    assert_int_equal((int)trace_column_of(&parser, TRACE_ROLE, line, strlen(line)), 26);
    assert_int_equal(open_parser(NULL), 0);
}

static void bad_headers_are_refused(void **state)
{
    static const struct {
        const char *line;
        size_t column;
        const char *text;
    } rows[] = {
        { "", 1, "missing columns: time, mono_ms" },
        { "time,mono_ms,pid", 17, "missing columns: start_ms, parent" },
        { "time,mono,pid", 6, "unknown column 'mono'" },
        { "time,mono_ms,pdi", 14, "unknown column 'pdi'; did you mean 'pid'?" },
        { "time,limits", 6, "unknown column 'limits'; did you mean 'limit'?" },
        { "time,time", 6, "column 'time' is there twice" },
        { HEADER ",more", sizeof HEADER + 1, "more columns than a recording has" },
        { "\"time", 1, "a quote that is not closed" },
        { "ti\"me,pid", 3, "a quote within a field" },
        { "time,pi\rd", 8, "a byte that no line of a recording holds: 0x0d" },
    };
    struct trace_error error;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(trace_parse_header(&parser, rows[i].line, strlen(rows[i].line), &error), -1);
        if (error.column != rows[i].column || strstr(error.text, rows[i].text) == NULL)
            fail_msg("%s: %zu: %s", rows[i].line, error.column, error.text);
    }
    assert_int_equal(open_parser(NULL), 0);
}

static void bad_rows_are_refused_at_their_column(void **state)
{
    static const struct {
        const char *line;
        size_t column;
        const char *text;
    } rows[] = {
        { "", 1, "only 0 fields" },
        { "   ", 4, "only 0 fields" },
        { "1.0,1,1,1,1,a,child,yes,1,,,,,,0", 33, "only 15 fields; there are 17 columns" },
        { ROW ",1", sizeof ROW + 1, "18 fields; there are 17 columns" },
        { "x,1,1,1,1,a,child,yes,1,,,,,,,,", 1, "time: 'x' is not a time" },
        { ",1,1,1,1,a,child,yes,1,,,,,,,,", 1, "time: is empty" },
        { "nan,1,1,1,1,a,child,yes,1,,,,,,,,", 1, "time: 'nan' is not a time" },
        { "-5,1,1,1,1,a,child,yes,1,,,,,,,,", 1, "time: '-5' is not a time" },
        { "1.,1,1,1,1,a,child,yes,1,,,,,,,,", 1, "time: '1.' is not a time" },
        { "1.0000000001,1,1,1,1,a,child,yes,1,,,,,,,,", 1, "is not a time" },
        { "253402300800,1,1,1,1,a,child,yes,1,,,,,,,,", 1, "is not a time" },
        { "1,,1,1,1,a,child,yes,1,,,,,,,,", 3, "mono_ms: is empty" },
        { "1,1.5,1,1,1,a,child,yes,1,,,,,,,,", 3, "mono_ms: '1.5' is not a whole number" },
        { "1,9007199254740993,1,1,1,a,child,yes,1,,,,,,,,", 3, "mono_ms: 9007199254740993 is too large" },
        { "1,1,0,1,1,a,child,yes,1,,,,,,,,", 5, "pid: is 0" },
        { "1,1,-1,1,1,a,child,yes,1,,,,,,,,", 5, "pid: '-1' is not a whole number" },
        { "1,1,2147483648,1,1,a,child,yes,1,,,,,,,,", 5, "pid: 2147483648 is too large" },
        { "1,1,1,--1,1,a,child,yes,1,,,,,,,,", 7, "start_ms: '--1' is not a whole number" },
        { "1,1,1,1,x,a,child,yes,1,,,,,,,,", 9, "parent: 'x' is not a whole number" },
        { "1,1,1,1,1,a,boss,yes,1,,,,,,,,", 13, "role: 'boss' is neither worker nor child" },
        { "1,1,1,1,1,a,child,maybe,1,,,,,,,,", 19, "same_program: 'maybe' is neither yes nor no" },
        { "1,1,1,1,1,a,child,yes,,,,,,,,,", 23, "rss: is empty" },
        { "1,1,1,1,1,a,child,yes,NaN,,,,,,,,", 23, "rss: 'NaN' is not a whole number" },
        { "1,1,1,1,1,a,child,yes,1e9,,,,,,,,", 23, "rss: '1e9' is not a whole number" },
        { "1,1,1,1,1,a,child,yes,9223372036854775808,,,,,,,,", 23, "rss: 9223372036854775808 is too large" },
        { "1,1,1,1,1,a,child,yes,99999999999999999999999999,,,,,,,,", 23, "is too large: it must be below 2^63" },
        { "1,1,1,1,1,a,child,yes,1,18446744073709551616,,,,,,,", 25, "pss: 18446744073709551616 is too large" },
        { "1,1,1,1,1,\"a,b\",child,yes,1,,,,x,,,,", 32, "used: 'x' is not a whole number" },
        { "1,1,1,1,1,\"a,child,yes,1,,,,,,,,", 11, "a quote that is not closed" },
        { "1,1,1,1,1,a\"b,child,yes,1,,,,,,,,", 12, "a quote within a field" },
        { "1,1,1,1,1,\"a\"b,child,yes,1,,,,,,,,", 14, "a quote within a field" },
    };
    struct trace_row row;
    struct trace_error error;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(&row, 0x5a, sizeof row);
        struct trace_row before = row;
        assert_int_equal(parse(rows[i].line, strlen(rows[i].line), &row, &error), -1);
        if (error.column != rows[i].column || strstr(error.text, rows[i].text) == NULL)
            fail_msg("%s: %zu: %s", rows[i].line, error.column, error.text);
        assert_memory_equal(&row, &before, sizeof row);
        assert_int_equal(parse(ROW, strlen(ROW), &row, &error), 0); /* nothing of the bad line is left */
    }
}

static void odd_bytes_are_refused(void **state)
{
    char line[TRACE_LINE_MAX + 2];
    struct trace_row row;
    struct trace_error error;
    (void)state;
    memcpy(line, ROW, sizeof ROW);
    line[5] = '\0';
    assert_int_equal(parse(line, strlen(ROW), &row, &error), -1);
    assert_int_equal((int)error.column, 6);
    assert_non_null(strstr(error.text, "0x00"));
    memset(line, '1', sizeof line);
    assert_int_equal(parse(line, sizeof line, &row, &error), -1);
    assert_int_equal((int)error.column, TRACE_LINE_MAX + 1);
    memset(line, 0xff, sizeof line);
    assert_int_equal(parse(line, TRACE_LINE_MAX, &row, &error), -1);
    assert_non_null(strstr(error.text, "only 1 fields"));
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Any bytes: refused or taken, never read past, and the parser is as before. */
static void noise_does_no_harm(void **state)
{
    static const char letters[] = "\"\",,,\n\r 0123456789.-abcyesworkerchild\xff\x01";
    uint64_t random = 88172645463325252U;
    struct trace_row row;
    struct trace_error error;
    char line[256];
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        size_t size = (size_t)(next_random(&random) % sizeof line);
        bool from_row = round % 2 == 0;
        size = from_row ? strlen(ROW) : size;
        for (size_t i = 0; i < size; i++)
            line[i] = from_row ? ROW[i] : letters[next_random(&random) % (sizeof letters - 1)];
        if (from_row)
            line[next_random(&random) % size] = letters[next_random(&random) % (sizeof letters - 1)];
        if (parse(line, size, &row, &error) < 0)
            assert_true(error.column >= 1 && error.column <= size + 1);
        assert_int_equal(parse(ROW, strlen(ROW), &row, &error), 0);
    }
}

static void what_is_written_is_read_as_the_same(void **state)
{
    static const char *const names[] = { "python3", "a,b", "\"", " x", "x ", "", "a\"\"b", "\xc3\xa4", "\xff" };
    uint64_t random = 1234567;
    char line[TRACE_LINE_MAX];
    struct trace_error error;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct trace_row row, read;
        memset(&row, 0, sizeof row);
        memset(&read, 0, sizeof read);
        row.utc_ms = (int64_t)(next_random(&random) % UINT64_C(253402300799000));
        row.mono_ms = next_random(&random) % TRACE_TIME_MAX;
        row.pid = (int32_t)(1 + next_random(&random) % INT32_MAX);
        row.start_ms = (int64_t)(next_random(&random) % TRACE_TIME_MAX) * (round % 2 == 0 ? 1 : -1);
        row.parent = (int32_t)(next_random(&random) % INT32_MAX);
        row.role = (enum trace_role)(next_random(&random) % 2);
        row.same_program = (enum trace_answer)(next_random(&random) % 3);
        uint64_t *sizes[] = { &row.rss_bytes,
                              &row.pss_bytes,
                              &row.uss_bytes,
                              &row.cpu_ms,
                              &row.container.used_bytes,
                              &row.container.limit_bytes,
                              &row.container.oom_kill,
                              &row.container.pressure_us };
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            *sizes[i] = i > 0 && next_random(&random) % 4 == 0 ? TRACE_UNKNOWN : next_random(&random) >> 1;
        const char *name = names[next_random(&random) % (sizeof names / sizeof names[0])];
        memcpy(row.name, name, strlen(name));
        name = names[next_random(&random) % (sizeof names / sizeof names[0])];
        memcpy(row.command, name, strlen(name));
        size_t size = trace_format_row(&row, line, sizeof line);
        assert_true(size > 0 && line[size - 1] == '\n');
        if (parse(line, size - 1, &read, &error) < 0)
            fail_msg("%.*s: %s", (int)size, line, error.text);
        assert_memory_equal(&row, &read, sizeof row);
    }
}

static void no_line_breaks_come_out_of_a_name(void **state)
{
    struct trace_row row = { .pid = 1, .name = "a\nb\r\x7f" }, read;
    struct trace_error error;
    char line[TRACE_LINE_MAX];
    (void)state;
    size_t size = trace_format_row(&row, line, sizeof line);
    assert_int_equal(parse(line, size - 1, &read, &error), 0);
    assert_string_equal(read.name, "a?b??");
    assert_int_equal((int)trace_format_row(&row, line, 20), 0);
    assert_int_equal((int)trace_format_header(line, 20), 0);
    assert_int_equal((int)trace_format_header(line, sizeof line), (int)sizeof HEADER);
}

/* ---- look by look ---- */

static struct trace_file file;

/* Written to a file of its own, and opened. */
static int open_text(const char *text, size_t size)
{
    static char path[] = "/tmp/trimtab-trace-XXXXXX";
    char name[sizeof path];
    memcpy(name, path, sizeof path);
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal((int)write(fd, text, size), (int)size);
    (void)close(fd);
    int r = trace_file_open(&file, name);
    (void)unlink(name);
    return r;
}

static void looks_are_told_apart_by_time(void **state)
{
    static const char text[] = "\xef\xbb\xbf" HEADER "\r\n"
                               "1.0,0,1,0,0,a,worker,,1,,,,9,8,,,\r\n"
                               "1.0,0,2,0,1,a,child,,2,,,,7,8,,,\r\n"
                               "\r\n"
                               "2.0,1000,1,0,0,a,worker,,3,,,,10,8,,,\r\n"
                               "0.5,2000,1,0,0,a,worker,,4,,,,,,,,\r\n"
                               "99.0,99000,1,0,0,a,worker,,5,,,,,,,,\r\n"
                               "199.0,99500,1,0,0,a,worker,,6,,,,,,,,\r\n"
                               "200.0,100500,1,0,0,a,wor";
    struct trace_look look;
    (void)state;
    assert_int_equal(open_text(text, strlen(text)), 0);
    assert_int_equal(trace_file_look(&file, &look), 1);
    assert_true(look.mono_ms == 0 && look.count == 2 && look.row[1].rss_bytes == 2);
    assert_true(look.container.used_bytes == 9 && !look.after_gap);
    assert_int_equal(trace_file_look(&file, &look), 1);
    assert_true(look.mono_ms == 1000 && look.count == 1 && look.row[0].rss_bytes == 3);
    assert_int_equal(trace_file_look(&file, &look), 1);
    assert_int_equal(trace_file_look(&file, &look), 1);
    assert_true(look.mono_ms == 99000 && look.after_gap);
    assert_int_equal(trace_file_look(&file, &look), 1);
    assert_false(look.after_gap);
    assert_int_equal(trace_file_look(&file, &look), 0);
    assert_int_equal(trace_file_look(&file, &look), 0);
    const struct trace_file_counts *counts = &file.counts;
    assert_true(counts->rows == 6 && counts->looks == 5 && counts->blank == 1 && counts->cut);
    assert_true(counts->gaps == 1 && counts->gap_longest_ms == 97000);
    assert_true(counts->clock_back == 1 && counts->clock_leap == 1);
    trace_file_close(&file);
}

static void what_no_recording_holds_is_refused_where_it_stands(void **state)
{
#define WORKER "1.0,5,1,0,0,a,worker,,1,,,,,,,,\n"
    static const struct {
        const char *text;
        const char *error;
    } files[] = {
        { "", ": is empty" },
        { HEADER, ": is no recording: it has no line that ends" },
        { "pid,\n", ":1:5: unknown column ''" },
        { HEADER "\n" WORKER "1.0,4,1,0,0,a,worker,,1,,,,,,,,\n", ":3:5: time goes back" },
        { HEADER "\n" WORKER "1.0,5,2,0,0,a,worker,,1,,,,,,,,\n", ":3:15: a second worker in one look" },
        { HEADER "\n" WORKER HEADER "\n" WORKER, ":3:1: time: 'time' is not a time" },
        { HEADER "\n" WORKER "1.0,5,2,0,0\n" WORKER, ":3:12: only 5 fields" },
        { HEADER "\n" WORKER "\"\n", ":3:1: a quote that is not closed" },
        { HEADER "\r" WORKER, ":1:115: a byte that no line of a recording holds: 0x0d" },
    };
    struct trace_look look;
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        int r = open_text(files[i].text, strlen(files[i].text));
        while (r >= 0 && (r = trace_file_look(&file, &look)) == 1)
            continue;
        if (r != -1 || strstr(file.error, files[i].error) == NULL)
            fail_msg("%s: %d: %s", files[i].error, r, file.error);
        trace_file_close(&file);
    }
}

static void a_line_without_end_is_refused(void **state)
{
    size_t size = 1 << 20;
    char *text = malloc(size);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', size);
    assert_int_equal(open_text(text, size), -1);
    assert_non_null(strstr(file.error, ":1:4097: a line of more than 4096 bytes"));
    trace_file_close(&file);
    free(text);
}

/* ---- what the plot keeps ---- */

static void a_series_keeps_every_peak_in_a_bounded_room(void **state)
{
    struct series_scale scale = { 0 };
    struct series early = { 0 }, late = { 0 };
    (void)state;
    for (uint64_t ms = 0; ms < 50000000; ms += 1000) {
        for (unsigned times = series_scale_to(&scale, ms); times > 0; times--) {
            series_halve(&early);
            series_halve(&late);
        }
        if (ms < 20000000)
            assert_int_equal(series_add(&early, &scale, ms, ms == 7777000 ? 9 : 1), 0);
        if (ms >= 33333000)
            assert_int_equal(series_add(&late, &scale, ms, ms == 33333000 ? 0 : 5), 0);
    }
    assert_true(early.count <= SERIES_BUCKETS && late.first + late.count <= SERIES_BUCKETS);
    uint32_t peak = (uint32_t)(7777000 / scale.width_ms), begin = (uint32_t)(33333000 / scale.width_ms);
    for (uint32_t i = 0; i < early.count; i++)
        assert_true(early.bucket[i].high == (early.first + i == peak ? 9.F : 1.F) && early.bucket[i].low == 1.F);
    assert_int_equal(late.first, begin);
    assert_true(late.bucket[0].low == 0.F && late.bucket[0].high == 5.F);
    series_free(&early);
    series_free(&late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_read),
        cmocka_unit_test(columns_may_stand_in_any_order),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(bad_rows_are_refused_at_their_column),
        cmocka_unit_test(odd_bytes_are_refused),
        cmocka_unit_test(noise_does_no_harm),
        cmocka_unit_test(what_is_written_is_read_as_the_same),
        cmocka_unit_test(no_line_breaks_come_out_of_a_name),
        cmocka_unit_test(looks_are_told_apart_by_time),
        cmocka_unit_test(what_no_recording_holds_is_refused_where_it_stands),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(a_series_keeps_every_peak_in_a_bounded_room),
    };
    return cmocka_run_group_tests(tests, open_parser, close_parser);
}
