/*
 * A recording read look by look, in constant memory: what is right in each
 * line by itself is trace.c's, what must be right from one line to the next is
 * here.
 *
 * Refused: time that goes back, two workers in one look. Counted and passed
 * over, because a real recording can hold it: a last line without newline,
 * empty lines, times of day that go back or leap, gaps.
 */
#ifndef TRIMTAB_CTL_TRACE_FILE_H
#define TRIMTAB_CTL_TRACE_FILE_H

#include "ctl/trace.h"

enum {
    TRACE_LOOK_MAX = 8192, /* rows of one look; what is beyond is counted */
    TRACE_GAP_MS = 10000,  /* a shorter silence is no gap, */
    TRACE_GAP_FACTOR = 5,  /* nor is one of fewer usual intervals */
    TRACE_LEAP_MS = 10000, /* the time of day against the clock: less is no leap */
    TRACE_FILE_BUFFER = 1 << 16,
    TRACE_FILE_ERROR_MAX = 512
};

/* One look at all processes; row is good until the next call. */
struct trace_look {
    uint64_t mono_ms;
    int64_t utc_ms;
    bool after_gap; /* nothing is known of the time since the look before */
    struct trace_container container;
    const struct trace_row *row;
    uint32_t count;
};

struct trace_file_counts {
    uint64_t rows, looks;
    uint64_t blank;      /* empty lines */
    uint64_t crowded;    /* rows beyond TRACE_LOOK_MAX */
    uint64_t clock_back; /* looks whose time of day is less than that of the one before */
    uint64_t clock_leap; /* and ahead by more than went by: asleep, or set */
    uint64_t gaps, gap_longest_ms, gap_total_ms;
    bool cut; /* the last line has no newline */
};

struct trace_file {
    const char *name; /* as in messages */
    int fd;
    bool ended;
    bool pending; /* row[filled]: the first of the next look */
    uint64_t line;
    uint64_t last_ms, shortest_ms; /* of the looks; the usual interval */
    int64_t last_utc_ms;
    size_t begin, end; /* in buffer */
    size_t line_size;
    const char *text; /* the current line, line_size bytes */
    struct trace_parser parser;
    struct trace_file_counts counts;
    struct trace_row *row; /* TRACE_LOOK_MAX + 1 */
    uint32_t filled;
    char buffer[TRACE_FILE_BUFFER];
    char error[TRACE_FILE_ERROR_MAX]; /* `file:line:column: what`, after -1 */
};

/* path: "-" is standard input. 0, or -1 with file->error; then too trace_file_close is due. */
int trace_file_open(struct trace_file *file, const char *path);
void trace_file_close(struct trace_file *file);

/* 1: a look; 0: no more; -1: file->error. */
int trace_file_look(struct trace_file *file, struct trace_look *ret_look);

#endif
