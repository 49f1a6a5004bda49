/*
 * A recording of a tree of processes as CSV (RFC 4180, UTF-8 or any bytes in
 * names): `trimtabctl record` writes it, `trimtabctl replay` reads it, and
 * anything else may. The first line names the columns, all of them, in any
 * order. Then comes one row for each process and look.
 *
 *   time          UTC, seconds since 1970, up to 9 decimals; may step back, as clocks do
 *   mono_ms       milliseconds since the recording began, by a clock that does
 *                 not jump; the same in all rows of a look, never less than before
 *   pid           1 .. 2147483647
 *   start_ms      when the process was started, by the clock of mono_ms; negative:
 *                 before the recording. With the pid it tells one process from another
 *   parent        its parent's pid, 0 for none that is visible
 *   name          its command name
 *   role          worker: the one process that trimtab starts, at most one in a look;
 *                 child: any other, of whatever depth
 *   same_program  yes or no: it runs the worker's executable. Empty: not known,
 *                 the names are compared instead
 *   rss           resident memory, bytes
 *   pss  uss      proportional and unique part of it, bytes; empty: not read
 *   cpu_ms        CPU time used in its life, milliseconds; empty: not known
 *   used          the container's working set, bytes; empty: not known
 *   limit         the container's limit, bytes; empty: not known
 *   oom_kill      processes the kernel has killed there for want of memory; empty: not known
 *   pressure_us   time some process there waited for memory, microseconds (`some total`
 *                 of memory.pressure); empty: not known
 *   command       its command line, blanks between the words; empty: as in its row
 *                 before, or not recorded
 *
 * Sizes are whole numbers below 2^63. What is of the container stands in each
 * row and is taken from the first of a look. A recording that was cut ends in
 * a line without newline, which does not count.
 *
 * Pure but for the heap that libcsv takes: text in, numbers out.
 */
#ifndef TRIMTAB_CTL_TRACE_H
#define TRIMTAB_CTL_TRACE_H

#include <csv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRACE_NAME_MAX = 64,     /* bytes of a name with its NUL; what is longer is cut */
    TRACE_COMMAND_MAX = 256, /* and of a command line */
    TRACE_LINE_MAX = 4096,   /* bytes of a line without its newline */
    TRACE_ERROR_MAX = 320
};

#define TRACE_UNKNOWN  UINT64_MAX         /* an empty size or count */
#define TRACE_TIME_MAX (INT64_C(1) << 53) /* milliseconds; farther is no time */

enum trace_column {
    TRACE_TIME,
    TRACE_MONO_MS,
    TRACE_PID,
    TRACE_START_MS,
    TRACE_PARENT,
    TRACE_NAME,
    TRACE_ROLE,
    TRACE_SAME_PROGRAM,
    TRACE_RSS,
    TRACE_PSS,
    TRACE_USS,
    TRACE_CPU_MS,
    TRACE_USED,
    TRACE_LIMIT,
    TRACE_OOM_KILL,
    TRACE_PRESSURE_US,
    TRACE_COMMAND,
    TRACE_COLUMNS
};

enum trace_role { TRACE_WORKER, TRACE_CHILD };
enum trace_answer { TRACE_NO, TRACE_YES, TRACE_NOT_KNOWN };

/* What is of the container as a whole; each TRACE_UNKNOWN where it is not known. */
struct trace_container {
    uint64_t used_bytes;
    uint64_t limit_bytes;
    uint64_t oom_kill;
    uint64_t pressure_us;
};

struct trace_row {
    int64_t utc_ms;
    uint64_t mono_ms;
    int64_t start_ms;
    int32_t pid;
    int32_t parent;
    enum trace_role role;
    enum trace_answer same_program;
    uint64_t rss_bytes;
    uint64_t pss_bytes; /* TRACE_UNKNOWN: not read */
    uint64_t uss_bytes;
    uint64_t cpu_ms;
    struct trace_container container;
    char name[TRACE_NAME_MAX];
    char command[TRACE_COMMAND_MAX]; /* empty: as before, or not recorded */
};

/* Where in a line something is wrong, and what. */
struct trace_error {
    size_t column; /* bytes from 1 */
    char text[TRACE_ERROR_MAX];
};

/* Which column of the file is which; filled from its first line. */
struct trace_parser {
    struct csv_parser csv;
    int count; /* of columns */
    enum trace_column column[TRACE_COLUMNS];
};

/* 0, or -1 without memory. */
int trace_parser_open(struct trace_parser *parser);
void trace_parser_close(struct trace_parser *parser);

/* One line, without its newline, of any bytes. 0, or -1 with *ret_error set. */
int trace_parse_header(struct trace_parser *parser, const char *line, size_t size, struct trace_error *ret_error);
int trace_parse_row(struct trace_parser *parser, const char *line, size_t size, struct trace_row *ret_row,
                    struct trace_error *ret_error);

/* Where the field of this column begins in a line that trace_parse_row took. */
size_t trace_column_of(const struct trace_parser *parser, enum trace_column column, const char *line, size_t size);

/* Lines with their newline; return the length, 0 when size is too small. TRACE_LINE_MAX is enough. */
size_t trace_format_header(char *ret_line, size_t size);
size_t trace_format_row(const struct trace_row *row, char *ret_line, size_t size);

#endif
