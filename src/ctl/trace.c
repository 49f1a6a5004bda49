#include "trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/keys.h"
#include "ctl/format.h"

enum { SHOWN_MAX = 48, MILLI_DIGITS = 3, NANO_DIGITS = 9 };

#define SECONDS_MAX INT64_C(253402300799) /* the end of the year 9999 */

static const char *const names[TRACE_COLUMNS] = {
    [TRACE_TIME] = "time",         [TRACE_MONO_MS] = "mono_ms",
    [TRACE_PID] = "pid",           [TRACE_START_MS] = "start_ms",
    [TRACE_PARENT] = "parent",     [TRACE_NAME] = "name",
    [TRACE_ROLE] = "role",         [TRACE_SAME_PROGRAM] = "same_program",
    [TRACE_RSS] = "rss",           [TRACE_PSS] = "pss",
    [TRACE_USS] = "uss",           [TRACE_CPU_MS] = "cpu_ms",
    [TRACE_USED] = "used",         [TRACE_LIMIT] = "limit",
    [TRACE_OOM_KILL] = "oom_kill", [TRACE_PRESSURE_US] = "pressure_us",
    [TRACE_COMMAND] = "command",
};

/* The fields of one line, as texts. */
struct fields {
    size_t count; /* there may be more than are kept */
    size_t used;
    const char *text[TRACE_COLUMNS];
    char bytes[TRACE_LINE_MAX + TRACE_COLUMNS];
};

__attribute__((format(printf, 3, 4))) static int fail(struct trace_error *error, size_t column, const char *format, ...)
{
    va_list arguments;
    error->column = column;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return -1;
}

/* Bytes of unknown origin, for a message. */
static const char *shown(const char *text, char *ret_text)
{
    format_clean(text, ret_text, SHOWN_MAX);
    if (strlen(text) >= SHOWN_MAX)
        memcpy(ret_text + SHOWN_MAX - sizeof "...", "...", sizeof "...");
    return ret_text;
}

/* ---- a line into fields ---- */

static void take_field(void *text, size_t size, void *data)
{
    struct fields *fields = data;
    if (fields->count++ >= TRACE_COLUMNS)
        return;
    char *kept = fields->bytes + fields->used;
    memcpy(kept, text, size);
    kept[size] = '\0';
    fields->text[fields->count - 1] = kept;
    fields->used += size + 1;
}

/* Column where the n-th field begins, the first being 0, in a line whose quotes are right. */
static size_t field_column(const char *line, size_t size, size_t n)
{
    bool quoted = false;
    for (size_t i = 0; i < size && n > 0; i++) {
        if (line[i] == '"')
            quoted = !quoted;
        else if (line[i] == ',' && !quoted && --n == 0)
            return i + 2;
    }
    return n == 0 ? 1 : size + 1;
}

static int restart_csv(struct trace_parser *parser)
{
    trace_parser_close(parser);
    return csv_init(&parser->csv, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) == 0 ? 0 : -1;
}

static int split(struct trace_parser *parser, const char *line, size_t size, struct fields *fields,
                 struct trace_error *error)
{
    fields->count = fields->used = 0;
    if (size > TRACE_LINE_MAX)
        return fail(error, TRACE_LINE_MAX + 1, "a line of more than %d bytes", TRACE_LINE_MAX);
    for (size_t i = 0; i < size; i++) {
        if (line[i] == '\0' || line[i] == '\r' || line[i] == '\n')
            return fail(error, i + 1, "a byte that no line of a recording holds: 0x%02x", (unsigned)line[i]);
    }
    size_t taken = csv_parse(&parser->csv, line, size, take_field, NULL, fields);
    if (taken == size && csv_fini(&parser->csv, take_field, NULL, fields) == 0)
        return 0;
    int why = csv_error(&parser->csv);
    (void)restart_csv(parser);
    if (why != CSV_EPARSE && why != CSV_SUCCESS)
        return fail(error, 1, "out of memory");
    if (taken == size)
        return fail(error, field_column(line, size, fields->count), "a quote that is not closed");
    return fail(error, taken + 1, "a quote within a field; write it twice, and the field in quotes");
}

/* ---- one field into a value ---- */

static int parse_whole(const char *text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (*text == '\0')
        return -1;
    for (; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (number > (max - digit) / 10)
            return -2;
        number = number * 10 + digit;
    }
    if (*text != '\0')
        return -1;
    *ret_number = number;
    return 0;
}

static int fail_number(struct trace_error *error, const char *text, int why, const char *range)
{
    char seen[SHOWN_MAX];
    if (*text == '\0')
        return fail(error, 0, "is empty");
    if (why == -2)
        return fail(error, 0, "%s is too large: %s", shown(text, seen), range);
    return fail(error, 0, "'%s' is not a whole number", shown(text, seen));
}

static int take_number(const char *text, uint64_t max, const char *range, uint64_t *ret_number,
                       struct trace_error *error)
{
    int r = parse_whole(text, max, ret_number);
    return r == 0 ? 0 : fail_number(error, text, r, range);
}

static int take_size(const char *text, bool may_be_empty, uint64_t *ret_number, struct trace_error *error)
{
    if (may_be_empty && *text == '\0') {
        *ret_number = TRACE_UNKNOWN;
        return 0;
    }
    return take_number(text, INT64_MAX, "it must be below 2^63", ret_number, error);
}

static int take_pid(const char *text, uint64_t least, int32_t *ret_pid, struct trace_error *error)
{
    uint64_t number = 0;
    if (take_number(text, INT32_MAX, "no pid is above 2147483647", &number, error) < 0)
        return -1;
    if (number < least)
        return fail(error, 0, "is 0");
    *ret_pid = (int32_t)number;
    return 0;
}

static int take_start(const char *text, int64_t *ret_ms, struct trace_error *error)
{
    uint64_t number = 0;
    bool before = *text == '-';
    int r = parse_whole(text + before, TRACE_TIME_MAX, &number);
    if (r < 0)
        return fail_number(error, text, r, "it is in milliseconds");
    *ret_ms = before ? -(int64_t)number : (int64_t)number;
    return 0;
}

static int take_time(const char *text, int64_t *ret_ms, struct trace_error *error)
{
    char seen[SHOWN_MAX], whole[24];
    uint64_t seconds = 0;
    const char *point = strchr(text, '.');
    size_t length = point != NULL ? (size_t)(point - text) : strlen(text);
    size_t decimals = point != NULL ? strlen(point + 1) : 0;

    if (*text == '\0')
        return fail(error, 0, "is empty");
    int64_t ms = 0, weight = 100;
    bool right = length < sizeof whole && (point == NULL || (decimals > 0 && decimals <= NANO_DIGITS));
    for (size_t i = 0; right && i < decimals; i++, weight /= 10) {
        right = point[1 + i] >= '0' && point[1 + i] <= '9';
        ms += i < MILLI_DIGITS ? (point[1 + i] - '0') * weight : 0;
    }
    if (right) {
        memcpy(whole, text, length);
        whole[length] = '\0';
        right = parse_whole(whole, SECONDS_MAX, &seconds) == 0;
    }
    if (!right)
        return fail(error, 0, "'%s' is not a time in seconds (1764000000.123)", shown(text, seen));
    *ret_ms = (int64_t)seconds * 1000 + ms;
    return 0;
}

static int take_role(const char *text, enum trace_role *ret_role, struct trace_error *error)
{
    char seen[SHOWN_MAX];
    bool worker = strcmp(text, "worker") == 0;
    if (!worker && strcmp(text, "child") != 0)
        return fail(error, 0, "'%s' is neither worker nor child", shown(text, seen));
    *ret_role = worker ? TRACE_WORKER : TRACE_CHILD;
    return 0;
}

static int take_answer(const char *text, enum trace_answer *ret_answer, struct trace_error *error)
{
    char seen[SHOWN_MAX];
    if (*text == '\0')
        *ret_answer = TRACE_NOT_KNOWN;
    else if (strcmp(text, "yes") == 0)
        *ret_answer = TRACE_YES;
    else if (strcmp(text, "no") == 0)
        *ret_answer = TRACE_NO;
    else
        return fail(error, 0, "'%s' is neither yes nor no", shown(text, seen));
    return 0;
}

static int take_text(const char *text, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "%s", text);
    return 0;
}

static int take(enum trace_column column, const char *text, struct trace_row *row, struct trace_error *error)
{
    switch (column) {
    case TRACE_TIME:
        return take_time(text, &row->utc_ms, error);
    case TRACE_MONO_MS:
        return take_number(text, TRACE_TIME_MAX, "it is in milliseconds", &row->mono_ms, error);
    case TRACE_PID:
        return take_pid(text, 1, &row->pid, error);
    case TRACE_START_MS:
        return take_start(text, &row->start_ms, error);
    case TRACE_PARENT:
        return take_pid(text, 0, &row->parent, error);
    case TRACE_NAME:
        return take_text(text, row->name, sizeof row->name);
    case TRACE_ROLE:
        return take_role(text, &row->role, error);
    case TRACE_SAME_PROGRAM:
        return take_answer(text, &row->same_program, error);
    case TRACE_RSS:
        return take_size(text, false, &row->rss_bytes, error);
    case TRACE_PSS:
        return take_size(text, true, &row->pss_bytes, error);
    case TRACE_USS:
        return take_size(text, true, &row->uss_bytes, error);
    case TRACE_CPU_MS:
        return take_size(text, true, &row->cpu_ms, error);
    case TRACE_USED:
        return take_size(text, true, &row->container.used_bytes, error);
    case TRACE_LIMIT:
        return take_size(text, true, &row->container.limit_bytes, error);
    case TRACE_OOM_KILL:
        return take_size(text, true, &row->container.oom_kill, error);
    case TRACE_PRESSURE_US:
        return take_size(text, true, &row->container.pressure_us, error);
    case TRACE_COMMAND:
        return take_text(text, row->command, sizeof row->command);
    case TRACE_COLUMNS:
        break;
    }
    return 0;
}

/* ---- lines ---- */

int trace_parser_open(struct trace_parser *parser)
{
    *parser = (struct trace_parser){ 0 };
    return restart_csv(parser);
}

void trace_parser_close(struct trace_parser *parser)
{
    csv_free(&parser->csv);
}

static int fail_unknown(struct trace_error *error, size_t column, const char *name)
{
    char seen[SHOWN_MAX];
    const char *nearest = NULL;
    size_t best = KEYS_NOT_NEAR;

    for (int i = 0; i < TRACE_COLUMNS; i++) {
        if (keys_near(name, names[i], &best))
            nearest = names[i];
    }
    if (nearest != NULL)
        return fail(error, column, "unknown column '%s'; did you mean '%s'?", shown(name, seen), nearest);
    return fail(error, column, "unknown column '%s'", shown(name, seen));
}

static int fail_missing(struct trace_error *error, size_t column, uint32_t known)
{
    char list[TRACE_ERROR_MAX / 2] = "";
    size_t used = 0;
    for (int i = 0; i < TRACE_COLUMNS; i++) {
        if ((known >> i & 1) == 0)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", names[i]);
    }
    return fail(error, column, "missing columns: %s", list);
}

int trace_parse_header(struct trace_parser *parser, const char *line, size_t size, struct trace_error *ret_error)
{
    struct fields fields;
    uint32_t known = 0;

    parser->count = 0;
    if (split(parser, line, size, &fields, ret_error) < 0)
        return -1;
    for (size_t i = 0; i < fields.count; i++) {
        size_t column = field_column(line, size, i);
        if (i >= TRACE_COLUMNS)
            return fail(ret_error, column, "more columns than a recording has: it has %d", TRACE_COLUMNS);
        int found = 0;
        while (found < TRACE_COLUMNS && strcmp(fields.text[i], names[found]) != 0)
            found++;
        if (found == TRACE_COLUMNS)
            return fail_unknown(ret_error, column, fields.text[i]);
        if ((known >> found & 1) != 0)
            return fail(ret_error, column, "column '%s' is there twice", names[found]);
        known |= UINT32_C(1) << found;
        parser->column[i] = (enum trace_column)found;
    }
    if (fields.count < TRACE_COLUMNS)
        return fail_missing(ret_error, size + 1, known);
    parser->count = TRACE_COLUMNS;
    return 0;
}

int trace_parse_row(struct trace_parser *parser, const char *line, size_t size, struct trace_row *ret_row,
                    struct trace_error *ret_error)
{
    struct fields fields;
    struct trace_row row = { 0 };

    if (split(parser, line, size, &fields, ret_error) < 0)
        return -1;
    if (fields.count > TRACE_COLUMNS)
        return fail(ret_error, field_column(line, size, TRACE_COLUMNS), "%zu fields; there are %d columns",
                    fields.count, TRACE_COLUMNS);
    if (fields.count < TRACE_COLUMNS)
        return fail(ret_error, size + 1, "only %zu fields; there are %d columns", fields.count, TRACE_COLUMNS);
    for (size_t i = 0; i < TRACE_COLUMNS; i++) {
        struct trace_error error;
        if (take(parser->column[i], fields.text[i], &row, &error) < 0)
            return fail(ret_error, field_column(line, size, i), "%s: %s", names[parser->column[i]], error.text);
    }
    *ret_row = row;
    return 0;
}

size_t trace_column_of(const struct trace_parser *parser, enum trace_column column, const char *line, size_t size)
{
    for (int i = 0; i < parser->count; i++) {
        if (parser->column[i] == column)
            return field_column(line, size, (size_t)i);
    }
    return 1;
}

/* ---- writing ---- */

struct text {
    char *bytes;
    size_t size, used;
    bool full;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->bytes + text->used, text->size - text->used, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= text->size - text->used)
        text->full = true;
    else
        text->used += (size_t)length;
}

static void put_size(struct text *text, uint64_t bytes)
{
    if (bytes == TRACE_UNKNOWN)
        put(text, ",");
    else
        put(text, ",%" PRIu64, bytes);
}

/* Quoted, which csv_write always does, only where it must be; control characters would break the line. */
static void put_text(struct text *text, const char *bytes)
{
    char clean[TRACE_COMMAND_MAX], quoted[2 * TRACE_COMMAND_MAX + 2];
    (void)snprintf(clean, sizeof clean, "%s", bytes);
    size_t length = strlen(clean);
    for (char *at = clean; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    }
    bool plain = strpbrk(clean, ",\"") == NULL && clean[0] != ' ' && (length == 0 || clean[length - 1] != ' ');
    if (plain)
        put(text, "%s", clean);
    else
        put(text, "%.*s", (int)csv_write(quoted, sizeof quoted, clean, length), quoted);
}

size_t trace_format_header(char *ret_line, size_t size)
{
    struct text text = { .size = size };
    text.bytes = ret_line;
    for (int i = 0; i < TRACE_COLUMNS; i++)
        put(&text, "%s%s", i > 0 ? "," : "", names[i]);
    put(&text, "\n");
    return text.full ? 0 : text.used;
}

size_t trace_format_row(const struct trace_row *row, char *ret_line, size_t size)
{
    static const char *const answers[] = { [TRACE_NO] = "no", [TRACE_YES] = "yes", [TRACE_NOT_KNOWN] = "" };
    struct text text = { .size = size };

    text.bytes = ret_line;
    put(&text, "%" PRId64 ".%03d,%" PRIu64 ",%" PRId32 ",%" PRId64 ",%" PRId32 ",", row->utc_ms / 1000,
        (int)(row->utc_ms % 1000), row->mono_ms, row->pid, row->start_ms, row->parent);
    put_text(&text, row->name);
    put(&text, ",%s,%s", row->role == TRACE_WORKER ? "worker" : "child", answers[row->same_program]);
    const uint64_t sizes[] = { row->rss_bytes,
                               row->pss_bytes,
                               row->uss_bytes,
                               row->cpu_ms,
                               row->container.used_bytes,
                               row->container.limit_bytes,
                               row->container.oom_kill,
                               row->container.pressure_us };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        put_size(&text, sizes[i]);
    put(&text, ",");
    put_text(&text, row->command);
    put(&text, "\n");
    return text.full ? 0 : text.used;
}
