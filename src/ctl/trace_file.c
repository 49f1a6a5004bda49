#include "trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(TRACE_FILE_BUFFER > 2 * TRACE_LINE_MAX, "a line fits into the buffer");

static const char byte_order_mark[] = "\xef\xbb\xbf"; /* spreadsheets write one */

__attribute__((format(printf, 3, 4))) static int fail(struct trace_file *file, size_t column, const char *format, ...)
{
    va_list arguments;
    int used = column > 0 ? snprintf(file->error, sizeof file->error, "%.128s:%" PRIu64 ":%zu: ", file->name,
                                     file->line, column)
                          : snprintf(file->error, sizeof file->error, "%.128s: ", file->name);
    va_start(arguments, format);
    (void)vsnprintf(file->error + used, sizeof file->error - (size_t)used, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- lines ---- */

/* 0, or -1. */
static int fill(struct trace_file *file)
{
    memmove(file->buffer, file->buffer + file->begin, file->end - file->begin);
    file->end -= file->begin;
    file->begin = 0;
    ssize_t taken;
    do
        taken = read(file->fd, file->buffer + file->end, sizeof file->buffer - file->end);
    while (taken < 0 && errno == EINTR);
    if (taken < 0)
        return fail(file, 0, "%s", strerror(errno));
    file->ended = taken == 0;
    file->end += (size_t)taken;
    return 0;
}

/* 1: file->text is the next line; 0: no more; -1. */
static int next_line(struct trace_file *file)
{
    const char *newline = NULL;
    size_t searched = 0;

    while (newline == NULL) {
        size_t size = file->end - file->begin;
        newline = memchr(file->buffer + file->begin + searched, '\n', size - searched);
        if (newline != NULL)
            break;
        searched = size;
        if (file->ended || size > TRACE_LINE_MAX + 1)
            break;
        if (fill(file) < 0)
            return -1;
    }
    if (newline == NULL && file->ended) {
        file->counts.cut = file->end > file->begin;
        return 0;
    }
    file->line++;
    file->text = file->buffer + file->begin;
    file->line_size = newline != NULL ? (size_t)(newline - file->text) : searched;
    file->begin += file->line_size + 1; /* without newline it is too long, and refused */
    if (file->line_size > 0 && file->text[file->line_size - 1] == '\r')
        file->line_size--;
    return 1;
}

static int read_header(struct trace_file *file)
{
    struct trace_error error;
    int r = next_line(file);
    if (r < 0)
        return -1;
    if (r == 0)
        return file->counts.cut ? fail(file, 0, "is no recording: it has no line that ends")
                                : fail(file, 0, "is empty");
    const size_t mark = sizeof byte_order_mark - 1;
    if (file->line_size >= mark && memcmp(file->text, byte_order_mark, mark) == 0) {
        file->text += mark;
        file->line_size -= mark;
    }
    if (trace_parse_header(&file->parser, file->text, file->line_size, &error) < 0)
        return fail(file, error.column, "%s", error.text);
    return 0;
}

int trace_file_open(struct trace_file *file, const char *path)
{
    *file = (struct trace_file){ .name = path, .fd = STDIN_FILENO };
    file->row = calloc(TRACE_LOOK_MAX + 1, sizeof *file->row);
    if (file->row == NULL || trace_parser_open(&file->parser) < 0)
        return fail(file, 0, "out of memory");
    if (strcmp(path, "-") != 0)
        file->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0)
        return fail(file, 0, "%s", strerror(errno));
    return read_header(file);
}

void trace_file_close(struct trace_file *file)
{
    if (file->fd > STDIN_FILENO)
        (void)close(file->fd);
    trace_parser_close(&file->parser);
    free(file->row);
    file->row = NULL;
}

/* ---- looks ---- */

static int fail_at(struct trace_file *file, enum trace_column column, const char *what)
{
    return fail(file, trace_column_of(&file->parser, column, file->text, file->line_size), "%s", what);
}

/* 1: file->row[file->filled] is the next row; 0: no more; -1. */
static int next_row(struct trace_file *file)
{
    struct trace_error error;
    int r;

    if (file->pending) {
        file->pending = false;
        file->row[0] = file->row[file->filled];
        file->filled = 0;
        return 1;
    }
    while ((r = next_line(file)) == 1 && file->line_size == 0)
        file->counts.blank++;
    if (r <= 0)
        return r;
    if (trace_parse_row(&file->parser, file->text, file->line_size, &file->row[file->filled], &error) < 0)
        return fail(file, error.column, "%s", error.text);
    file->counts.rows++;
    return 1;
}

/* What the time since the last look says. */
static bool count_time(struct trace_file *file, const struct trace_row *row)
{
    struct trace_file_counts *counts = &file->counts;
    bool gap = false;

    if (counts->looks > 0) {
        uint64_t step_ms = row->mono_ms - file->last_ms;
        int64_t leap_ms = row->utc_ms - file->last_utc_ms - (int64_t)step_ms;
        gap = step_ms > TRACE_GAP_MS && step_ms > TRACE_GAP_FACTOR * file->shortest_ms && file->shortest_ms > 0;
        if (gap) {
            counts->gaps++;
            counts->gap_total_ms += step_ms;
            counts->gap_longest_ms = step_ms > counts->gap_longest_ms ? step_ms : counts->gap_longest_ms;
        }
        counts->clock_back += row->utc_ms < file->last_utc_ms;
        counts->clock_leap += leap_ms > TRACE_LEAP_MS;
        if (file->shortest_ms == 0 || step_ms < file->shortest_ms)
            file->shortest_ms = step_ms;
    }
    file->last_ms = row->mono_ms;
    file->last_utc_ms = row->utc_ms;
    counts->looks++;
    return gap;
}

int trace_file_look(struct trace_file *file, struct trace_look *ret_look)
{
    int32_t worker = 0;

    file->filled = file->pending ? file->filled : 0;
    int r = next_row(file);
    if (r <= 0)
        return r;
    const struct trace_row *first = &file->row[0];
    *ret_look = (struct trace_look){ .mono_ms = first->mono_ms,
                                     .utc_ms = first->utc_ms,
                                     .after_gap = count_time(file, first),
                                     .container = first->container,
                                     .row = file->row };
    do {
        const struct trace_row *row = &file->row[file->filled];
        if (row->mono_ms < ret_look->mono_ms)
            return fail_at(file, TRACE_MONO_MS, "time goes back: mono_ms is less than in the row before");
        if (row->mono_ms > ret_look->mono_ms) {
            file->pending = true;
            break;
        }
        if (row->role == TRACE_WORKER && worker != 0 && row->pid != worker)
            return fail_at(file, TRACE_ROLE, "a second worker in one look");
        worker = row->role == TRACE_WORKER ? row->pid : worker;
        if (file->filled < TRACE_LOOK_MAX)
            file->filled++;
        else
            file->counts.crowded++;
    } while ((r = next_row(file)) == 1);
    ret_look->count = file->filled;
    return r < 0 ? -1 : 1;
}
