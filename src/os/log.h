/*
 * One event, one line, one write to stderr that never waits.
 *
 * Text: `trimtab: EVENT key=value ...`; JSON: one object a line with the same
 * keys. A line that stderr does not take at once is dropped and counted; the
 * next line that gets through is preceded by one that says how many were lost.
 */
#ifndef TRIMTAB_OS_LOG_H
#define TRIMTAB_OS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

enum log_kind { LOG_KIND_NUMBER, LOG_KIND_BYTES, LOG_KIND_MS, LOG_KIND_PERMYRIAD, LOG_KIND_TEXT, LOG_KIND_ERRNO };

struct log_field {
    const char *key;
    enum log_kind kind;
    union {
        int64_t number;
        const char *text; /* LOG_KIND_TEXT; NULL leaves the field out */
    };
};

static inline struct log_field log_number(const char *key, int64_t number)
{
    return (struct log_field){ .key = key, .kind = LOG_KIND_NUMBER, .number = number };
}

/* Text: 612M. JSON: bytes. */
static inline struct log_field log_bytes(const char *key, uint64_t bytes)
{
    return (struct log_field){ .key = key, .kind = LOG_KIND_BYTES, .number = (int64_t)bytes };
}

/* Text: 4m, 1.5s, 20ms. JSON: seconds. */
static inline struct log_field log_ms(const char *key, uint64_t ms)
{
    return (struct log_field){ .key = key, .kind = LOG_KIND_MS, .number = (int64_t)ms };
}

/* Text: 41.2%. JSON: a number from 0 to 1. */
static inline struct log_field log_permyriad(const char *key, uint32_t permyriad)
{
    return (struct log_field){ .key = key, .kind = LOG_KIND_PERMYRIAD, .number = (int64_t)permyriad };
}

/* Quoted where it holds blanks, quotes or control characters; any bytes are allowed in. */
static inline struct log_field log_text(const char *key, const char *text)
{
    return (struct log_field){ .key = key, .kind = LOG_KIND_TEXT, .text = text };
}

/* error: positive errno; as strerror(3) says it. */
static inline struct log_field log_errno(int error)
{
    return (struct log_field){ .key = "errno", .kind = LOG_KIND_ERRNO, .number = error };
}

/*
 * Prepare stderr: where that can be done without changing the description
 * that the worker shares, writes are made not to wait.
 */
void log_open(enum log_level level, enum log_format format);

/* Descriptor of its own that log_open made, or -1; it must survive descriptors_close_except. */
int log_descriptor(void);

bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count);

/*
 * For a program that is not PID 1 and has a clock of its own: from now on each
 * event goes to take, and nothing to stderr. NULL: as before.
 */
typedef void log_taker(void *user, enum log_level level, const char *event, const struct log_field *fields,
                       size_t count);
void log_divert(log_taker *take, void *user);

#define log_event(level, event, ...)                                                                                   \
    log_write((level), (event), (const struct log_field[]){ __VA_ARGS__ },                                             \
              sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))

/* Something is wrong and trimtab goes on: event `warning`. error: positive errno, 0 for none. */
void log_warning(const char *what, struct log_field detail, int error);

/* `trimtab: TEXT`, for what is said before a worker exists; in JSON an event "error" with key what. */
void log_fatal(const char *text);

/*
 * The line itself, for tests: returns its length with newline, at most size.
 * Lines that do not fit are cut between two fields and still end in newline.
 */
size_t log_format_line(enum log_format format, enum log_level level, const char *event, const struct log_field *fields,
                       size_t count, uint64_t utc_ms, char *ret_line, size_t size);

#endif
