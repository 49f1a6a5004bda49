/*
 * Owns what trimtab says: how a line reads and how it gets to stderr.
 *
 * The description behind descriptor 2 is shared with the worker and often
 * with others, so its flags are left alone (O_NONBLOCK would break them).
 * A write is kept from waiting by other means, see enum log_way.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

enum { LINE_MAX_BYTES = 1024, FATAL_JSON_MAX_BYTES = 640 };
_Static_assert(LINE_MAX_BYTES <= PIPE_BUF, "a line is written to a pipe as a whole or not at all, pipe(7)");

enum log_way {
    LOG_WAY_UNKNOWN,
    LOG_WAY_PLAIN,  /* a file: it does not make one wait for a reader */
    LOG_WAY_SOCKET, /* MSG_DONTWAIT */
    LOG_WAY_OWN,    /* pipe or terminal, opened once more with O_NONBLOCK */
    LOG_WAY_ASKED   /* one that may not be opened: RWF_NOWAIT, or poll before each line */
};

static struct {
    enum log_level level;
    enum log_format format;
    enum log_way way;
    int own_fd;
    bool torn;     /* the last line was taken in part: begin with a newline */
    uint64_t lost; /* lines, since one got through */
} log_state = { .level = LOG_INFO, .own_fd = -1 };

static struct {
    log_taker *take;
    void *user;
} log_diverted;

/* ---- the line ---- */

struct line {
    char *text;
    size_t length;
    size_t size;
    bool full; /* something did not fit */
};

static void put_char(struct line *line, char character)
{
    if (line->length < line->size)
        line->text[line->length++] = character;
    else
        line->full = true;
}

static void put(struct line *line, const char *text)
{
    while (*text != '\0')
        put_char(line, *text++);
}

static void put_unsigned(struct line *line, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        put_char(line, digits[--count]);
}

static void put_signed(struct line *line, int64_t number)
{
    if (number < 0)
        put_char(line, '-');
    put_unsigned(line, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

/* number / scale without trailing zeros; scale: a power of ten. */
static void put_fraction(struct line *line, uint64_t number, uint64_t scale)
{
    put_unsigned(line, number / scale);
    uint64_t rest = number % scale;
    if (rest > 0)
        put_char(line, '.');
    while (rest > 0) { /* as digits after the point: once for each 0 of scale at most */
        put_char(line, (char)('0' + rest * 10 / scale));
        rest = rest * 10 % scale;
    }
}

/* In units, with one decimal as long as that says something: 1.5, 41.2, 612. */
static void put_units(struct line *line, uint64_t number, uint64_t unit)
{
    uint64_t whole = number / unit;
    uint64_t tenths = number % unit / (unit / 10 > 0 ? unit / 10 : 1);
    if (unit == 1)
        tenths = 0;
    put_unsigned(line, whole);
    if (whole < 100 && tenths > 0) {
        put_char(line, '.');
        put_char(line, (char)('0' + (tenths > 9 ? 9 : tenths)));
    }
}

static void put_bytes(struct line *line, uint64_t bytes)
{
    static const char names[] = "BKMGTPE";
    size_t unit = 0;
    while (unit + 2 < sizeof names && bytes >> (10 * (unit + 1)) > 0)
        unit++;
    put_units(line, bytes, UINT64_C(1) << (10 * unit));
    put_char(line, names[unit]);
}

static void put_ms(struct line *line, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        uint64_t from_ms; /* 90s and 90m read better than 1.5m and 1.5h */
        const char *name;
    } units[] = { { 86400000, 172800000, "d" },
                  { 3600000, 7200000, "h" },
                  { 60000, 120000, "m" },
                  { 1000, 1000, "s" },
                  { 1, 0, "ms" } };
    size_t unit = 0;
    while (ms < units[unit].from_ms)
        unit++;
    put_units(line, ms, units[unit].ms);
    put(line, units[unit].name);
}

static void put_hex(struct line *line, const char *prefix, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    put(line, prefix);
    put_char(line, digits[byte >> 4]);
    put_char(line, digits[byte & 15]);
}

static bool is_plain(const char *text)
{
    const char *at = text;
    while (*at > ' ' && *at < 0x7f && *at != '"' && *at != '\\')
        at++;
    return *at == '\0' && at != text;
}

static void put_quoted_text(struct line *line, const char *text)
{
    put_char(line, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            put_char(line, '\\');
        if (*text >= ' ' && *text < 0x7f)
            put_char(line, *text);
        else
            put_hex(line, "\\x", (unsigned char)*text);
    }
    put_char(line, '"');
}

/* Length of the UTF-8 character that text starts with, 0 when it is none (RFC 3629). */
static size_t utf8_length(const unsigned char *text)
{
    size_t length = text[0] < 0x80   ? 1
                    : text[0] < 0xc2 ? 0
                    : text[0] < 0xe0 ? 2
                    : text[0] < 0xf0 ? 3
                    : text[0] < 0xf5 ? 4
                                     : 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) /* the end of the text is seen here too */
            return 0;
    }
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool surrogate = text[0] == 0xed && text[1] >= 0xa0;
    bool beyond = text[0] == 0xf4 && text[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

/* A byte that is not UTF-8 is shown as the character of that number: JSON has no bytes (RFC 8259). */
static void put_quoted_json(struct line *line, const char *text)
{
    put_char(line, '"');
    while (*text != '\0') {
        size_t length = utf8_length((const unsigned char *)text);
        if (length == 0 || (length == 1 && (*text < ' ' || *text == 0x7f))) {
            put_hex(line, "\\u00", (unsigned char)*text++);
            continue;
        }
        if (*text == '"' || *text == '\\')
            put_char(line, '\\');
        for (; length > 0; length--)
            put_char(line, *text++);
    }
    put_char(line, '"');
}

static void put_text(struct line *line, enum log_format format, const char *text)
{
    if (format == LOG_JSON)
        put_quoted_json(line, text);
    else if (is_plain(text))
        put(line, text);
    else
        put_quoted_text(line, text);
}

static void put_value(struct line *line, enum log_format format, const struct log_field *field)
{
    uint64_t number = (uint64_t)field->number;
    switch (field->kind) {
    case LOG_KIND_NUMBER:
        put_signed(line, field->number);
        return;
    case LOG_KIND_BYTES:
        if (format == LOG_JSON)
            put_unsigned(line, number);
        else
            put_bytes(line, number);
        return;
    case LOG_KIND_MS:
        if (format == LOG_JSON)
            put_fraction(line, number, 1000);
        else
            put_ms(line, number);
        return;
    case LOG_KIND_PERMYRIAD:
        if (format == LOG_JSON) {
            put_fraction(line, number, 10000);
        } else {
            put_fraction(line, number / 10, 10);
            put_char(line, '%');
        }
        return;
    case LOG_KIND_TEXT:
        put_text(line, format, field->text);
        return;
    case LOG_KIND_ERRNO:
        put_text(line, format, strerror((int)field->number));
        return;
    }
}

static void put_field(struct line *line, enum log_format format, const struct log_field *field)
{
    put(line, format == LOG_JSON ? ",\"" : " ");
    put(line, field->key);
    put(line, format == LOG_JSON ? "\":" : "=");
    put_value(line, format, field);
}

static void put_head(struct line *line, enum log_format format, enum log_level level, const char *event,
                     uint64_t utc_ms)
{
    static const char *const levels[] = {
        [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"
    };
    if (format == LOG_TEXT) {
        put(line, "trimtab: ");
        put(line, event);
        return;
    }
    put(line, "{\"ts\":");
    put_fraction(line, utc_ms, 1000);
    put(line, ",\"level\":\"");
    put(line, levels[level]);
    put(line, "\",\"event\":");
    put_quoted_json(line, event);
}

size_t log_format_line(enum log_format format, enum log_level level, const char *event, const struct log_field *fields,
                       size_t count, uint64_t utc_ms, char *ret_line, size_t size)
{
    const char *tail = format == LOG_JSON ? "}\n" : "\n";
    if (size < strlen(tail))
        return 0;
    struct line line = { .size = size - strlen(tail) };
    line.text = ret_line;

    put_head(&line, format, level, event, utc_ms);
    if (line.full)
        return 0;
    for (size_t i = 0; i < count && !line.full; i++) {
        size_t before = line.length;
        if (fields[i].kind != LOG_KIND_TEXT || fields[i].text != NULL)
            put_field(&line, format, &fields[i]);
        if (line.full)
            line.length = before;
    }
    line.size = size;
    put(&line, tail);
    return line.length;
}

/* ---- stderr ---- */

static void find_way(void)
{
    struct stat status;

    log_state.way = LOG_WAY_PLAIN;
    if (fstat(STDERR_FILENO, &status) < 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
        return;
    log_state.way = LOG_WAY_SOCKET;
    if (S_ISSOCK(status.st_mode))
        return;
    log_state.own_fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    log_state.way = log_state.own_fd >= 0 ? LOG_WAY_OWN : LOG_WAY_ASKED;
}

static ssize_t write_asked(const char *text, size_t size)
{
    struct iovec part = { .iov_base = (void *)text, .iov_len = size };
    struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };

    ssize_t taken = syscall(SYS_pwritev2, STDERR_FILENO, &part, 1UL, -1L, -1L, RWF_NOWAIT);
    if (taken >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL && errno != ESPIPE && errno != EPERM))
        return taken;
    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0 ? write(STDERR_FILENO, text, size) : -1;
}

static ssize_t write_once(const char *text, size_t size)
{
    switch (log_state.way) {
    case LOG_WAY_SOCKET:
        return send(STDERR_FILENO, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    case LOG_WAY_OWN:
        return write(log_state.own_fd, text, size);
    case LOG_WAY_ASKED:
        return write_asked(text, size);
    case LOG_WAY_UNKNOWN:
    case LOG_WAY_PLAIN:
        break;
    }
    return write(STDERR_FILENO, text, size);
}

/* text[0] is a newline that is only sent after a torn line. */
static bool send_line(const char *text, size_t size)
{
    size_t skip = log_state.torn ? 0 : 1;
    ssize_t taken;

    if (log_state.way == LOG_WAY_UNKNOWN)
        find_way();
    do
        taken = write_once(text + skip, size - skip);
    while (taken < 0 && errno == EINTR);
    bool whole = taken == (ssize_t)(size - skip);
    if (taken > 0)
        log_state.torn = !whole;
    return whole;
}

static bool format_and_send(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    char text[LINE_MAX_BYTES];
    struct timespec now = { 0 };

    if (log_state.format == LOG_JSON)
        (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t utc_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    text[0] = '\n';
    size_t size = log_format_line(log_state.format, level, event, fields, count, utc_ms, text + 1, sizeof text - 1);
    return send_line(text, size + 1);
}

void log_open(enum log_level level, enum log_format format)
{
    log_state.level = level;
    log_state.format = format;
    if (level >= LOG_INFO) /* who says little need not prepare for it */
        find_way();
}

int log_descriptor(void)
{
    return log_state.own_fd;
}

void log_divert(log_taker *take, void *user)
{
    log_diverted.take = take;
    log_diverted.user = user;
}

bool log_enabled(enum log_level level)
{
    return level <= log_state.level;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    if (!log_enabled(level))
        return;
    if (log_diverted.take != NULL) {
        log_diverted.take(log_diverted.user, level, event, fields, count);
        return;
    }
    int saved_errno = errno;
    if (log_state.lost > 0) {
        struct log_field lost[] = { log_text("what", "log lines lost"), log_number("count", (int64_t)log_state.lost) };
        if (format_and_send(LOG_WARNING, "warning", lost, sizeof lost / sizeof lost[0]))
            log_state.lost = 0;
    }
    if (log_state.lost > 0 || !format_and_send(level, event, fields, count))
        log_state.lost++;
    errno = saved_errno;
}

void log_warning(const char *what, struct log_field detail, int error)
{
    struct log_field cause = error != 0 ? log_errno(error) : log_text("errno", NULL);
    log_event(LOG_WARNING, "warning", log_text("what", what), detail, cause);
}

void log_fatal(const char *text)
{
    char line[LINE_MAX_BYTES];

    if (log_state.format == LOG_JSON) {
        char cut[FATAL_JSON_MAX_BYTES]; /* a field that does not fit would be left out as a whole */
        struct line what = { .text = cut, .size = sizeof cut - 1 };
        put(&what, text);
        cut[what.length] = '\0';
        struct log_field field = log_text("what", cut);
        (void)format_and_send(LOG_ERROR, "error", &field, 1);
        return;
    }
    struct line plain = { .text = line, .size = sizeof line - 1 };
    put(&plain, "\ntrimtab: ");
    for (; *text != '\0'; text++) {
        if (*text >= ' ' && *text < 0x7f)
            put_char(&plain, *text);
        else
            put_hex(&plain, "\\x", (unsigned char)*text);
    }
    plain.size++;
    put_char(&plain, '\n');
    (void)send_line(line, plain.length);
}
