/*
 * Reading a scenario. Each line is checked here before inih is given it, as
 * config/policy_file.c does with policies and for its reasons; sections are
 * opened here, so that an error has its line.
 */
#include "ctl/scenario.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/keys.h"
#include "ctl/scenario_keys.h"

enum { LINE_MAX_BYTES = 198, SHOWN_MAX = 80, SET_KEYS = 64 };

struct reader {
    struct scenario scenario;
    const char *file;
    const char *next;
    const char *end;
    int line;
    enum scenario_section section;
    int section_line;
    int set_at[SECTIONS][SET_KEYS]; /* line of each key, by its row; 0: not set */
    int seen_at[SECTIONS];          /* line of each section */
    char value[SHOWN_MAX];          /* of the event that is read */
    bool failed;
    char *error;
};

/* Writes the error, unless there is one. Returns -1. */
__attribute__((format(printf, 3, 4))) static int fail(struct reader *reader, int line, const char *format, ...)
{
    va_list arguments;
    if (reader->failed)
        return -1;
    reader->failed = true;
    int used = line > 0 ? snprintf(reader->error, SCENARIO_ERROR_MAX, "%s:%d: ", reader->file, line)
                        : snprintf(reader->error, SCENARIO_ERROR_MAX, "%s: ", reader->file);
    if (used < 0 || used >= SCENARIO_ERROR_MAX)
        return -1;
    va_start(arguments, format);
    (void)vsnprintf(reader->error + used, (size_t)(SCENARIO_ERROR_MAX - used), format, arguments);
    va_end(arguments);
    return -1;
}

/* A user's own bytes in a message: printable, and not too many. */
static const char *shown(const char *text, char ret_shown[SHOWN_MAX])
{
    size_t n = 0;
    for (; n < SHOWN_MAX - 1 && text[n] != '\0'; n++)
        ret_shown[n] = (char)(text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?');
    ret_shown[n] = '\0';
    return ret_shown;
}

/* "[worker] leak: " as messages about a key begin. */
static const char *place(const struct reader *reader, const char *name, char ret_place[2 * SHOWN_MAX])
{
    char key[SHOWN_MAX];
    const char *event =
        reader->section == SECTION_EVENT ? reader->scenario.event[reader->scenario.events - 1].name : NULL;
    (void)snprintf(ret_place, (size_t)2 * SHOWN_MAX, "[%s%s%s] %s", scenario_section_name(reader->section),
                   event != NULL ? " " : "", event != NULL ? event : "", shown(name, key));
    return ret_place;
}

/* ---- events ---- */

static unsigned row_of(const char *event_key)
{
    for (unsigned row = 0; row < scenario_keys_count; row++) {
        if (scenario_keys[row].section == SECTION_EVENT && strcmp(scenario_keys[row].name, event_key) == 0)
            return row;
    }
    return 0;
}

static bool is_set(const struct reader *reader, const char *event_key)
{
    return reader->set_at[SECTION_EVENT][row_of(event_key)] > 0;
}

/* One of an event's keys that its `what` asks for, or does not. */
static int check_taken(struct reader *reader, const struct scenario_event *event, const char *key, bool takes)
{
    const char *what = scenario_whats[event->what].name;
    if (takes && !is_set(reader, key))
        return fail(reader, event->line, "[event %s] what = %s needs '%s'", event->name, what, key);
    if (!takes && is_set(reader, key))
        return fail(reader, reader->set_at[SECTION_EVENT][row_of(key)], "[event %s] what = %s takes no '%s'",
                    event->name, what, key);
    return 0;
}

/* An event is whole when the next section begins, or the file ends. */
static int close_event(struct reader *reader)
{
    if (reader->section != SECTION_EVENT)
        return 0;
    struct scenario_event *event = &reader->scenario.event[reader->scenario.events - 1];
    char text[SHOWN_MAX];
    if (!is_set(reader, "what") || !is_set(reader, "at"))
        return fail(reader, event->line, "[event %s] needs '%s'", event->name, is_set(reader, "at") ? "what" : "at");
    const struct scenario_what_word *what = &scenario_whats[event->what];
    bool takes_value = what->value != KIND_NOTHING;
    if (check_taken(reader, event, "value", takes_value) != 0 ||
        check_taken(reader, event, "for", what->takes_for) != 0)
        return -1;
    if (!what->takes_process && check_taken(reader, event, "process", false) != 0)
        return -1;
    if (!is_set(reader, "process"))
        event->process = UINT32_MAX; /* the first that does the work: known when the file is read */
    const char *wrong = takes_value ? scenario_value(what->value, reader->value, 0, what->max, &event->value) : NULL;
    if (wrong != NULL)
        return fail(reader, reader->set_at[SECTION_EVENT][row_of("value")], "[event %s] value: '%s' is %s", event->name,
                    shown(reader->value, text), wrong);
    return 0;
}

static int open_event(struct reader *reader, const char *name)
{
    struct scenario *scenario = &reader->scenario;
    char text[SHOWN_MAX];
    while (*name == ' ' || *name == '\t')
        name++;
    if (*name == '\0')
        return fail(reader, reader->line, "[event]: an event has a name, as in '[event more_memory]'");
    if (strlen(name) >= SCENARIO_NAME_MAX)
        return fail(reader, reader->line, "[event %s]: name longer than %d bytes", shown(name, text),
                    SCENARIO_NAME_MAX - 1);
    for (uint32_t i = 0; i < scenario->events; i++) {
        if (strcmp(scenario->event[i].name, name) == 0)
            return fail(reader, reader->line, "[event %s]: there is one of that name in line %d", shown(name, text),
                        scenario->event[i].line);
    }
    if (scenario->events == SCENARIO_EVENTS_MAX)
        return fail(reader, reader->line, "more than %d events", SCENARIO_EVENTS_MAX);
    struct scenario_event *event = &scenario->event[scenario->events++];
    (void)shown(name, text);
    memcpy(event->name, text, sizeof event->name);
    event->line = reader->line;
    memset(reader->set_at[SECTION_EVENT], 0, sizeof reader->set_at[SECTION_EVENT]);
    reader->value[0] = '\0';
    reader->section = SECTION_EVENT;
    return 0;
}

/* ---- sections ---- */

static int fail_section(struct reader *reader, const char *name)
{
    char text[SHOWN_MAX];
    size_t best = KEYS_NOT_NEAR;
    const char *nearest = NULL;
    for (int section = SECTION_SCENARIO; section < SECTIONS; section++) {
        if (keys_near(name, scenario_section_name((enum scenario_section)section), &best))
            nearest = scenario_section_name((enum scenario_section)section);
    }
    if (nearest != NULL)
        return fail(reader, reader->line, "[%s]: unknown section; did you mean '%s'?", shown(name, text), nearest);
    return fail(reader, reader->line, "[%s]: unknown section; there are scenario, traffic, worker, master and event",
                shown(name, text));
}

/* `[name]`, and nothing else. */
static int open_section(struct reader *reader, const char *line)
{
    char name[LINE_MAX_BYTES + 1];
    const char *end = strchr(line, ']');
    if (close_event(reader) != 0)
        return -1;
    if (end == NULL || end[1] != '\0')
        return fail(reader, reader->line, end == NULL ? "'[' without ']'" : "text after ']'");
    memcpy(name, line + 1, (size_t)(end - line - 1));
    name[end - line - 1] = '\0';
    size_t word = strcspn(name, " \t");
    if (word == strlen("event") && strncmp(name, "event", word) == 0)
        return open_event(reader, name + word);
    for (int section = SECTION_SCENARIO; section < SECTION_EVENT; section++) {
        if (strcmp(name, scenario_section_name((enum scenario_section)section)) != 0)
            continue;
        if (reader->seen_at[section] > 0)
            return fail(reader, reader->line, "[%s]: already begun in line %d", name, reader->seen_at[section]);
        reader->seen_at[section] = reader->line;
        reader->section = (enum scenario_section)section;
        return 0;
    }
    return fail_section(reader, name);
}

/* ---- keys ---- */

static int fail_key(struct reader *reader, const char *name)
{
    char where[2 * SHOWN_MAX];
    size_t best = KEYS_NOT_NEAR;
    const char *nearest = NULL;
    enum scenario_section section = reader->section == SECTION_MASTER ? SECTION_WORKER : reader->section;
    for (unsigned row = 0; row < scenario_keys_count; row++) {
        if (scenario_keys[row].section == section && keys_near(name, scenario_keys[row].name, &best))
            nearest = scenario_keys[row].name;
    }
    if (nearest != NULL)
        return fail(reader, reader->line, "%s: unknown key; did you mean '%s'?", place(reader, name, where), nearest);
    return fail(reader, reader->line, "%s: unknown key", place(reader, name, where));
}

static void *section_of(struct reader *reader)
{
    switch (reader->section) {
    case SECTION_TRAFFIC:
        return &reader->scenario.traffic;
    case SECTION_WORKER:
        return &reader->scenario.worker;
    case SECTION_MASTER:
        return &reader->scenario.master;
    case SECTION_EVENT:
        return &reader->scenario.event[reader->scenario.events - 1];
    case SECTION_NONE:
    case SECTION_SCENARIO:
    case SECTIONS:
        break;
    }
    return &reader->scenario;
}

static int take_what(struct reader *reader, const char *value)
{
    char text[SHOWN_MAX];
    size_t best = KEYS_NOT_NEAR;
    const char *nearest = NULL;
    struct scenario_event *event = &reader->scenario.event[reader->scenario.events - 1];
    for (int what = 0; what < SCENARIO_WHATS; what++) {
        if (strcmp(scenario_whats[what].name, value) == 0) {
            event->what = (enum scenario_what)what;
            return 0;
        }
        if (keys_near(value, scenario_whats[what].name, &best))
            nearest = scenario_whats[what].name;
    }
    return fail(reader, reader->line, "[event %s] what: nothing is called '%s'%s%s%s", event->name, shown(value, text),
                nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
}

static int take_value(struct reader *reader, const struct scenario_key *key, const char *value)
{
    char where[2 * SHOWN_MAX], text[SHOWN_MAX];
    uint64_t number = 0;
    size_t length = strlen(value);
    switch (key->kind) {
    case KIND_WHAT:
        return take_what(reader, value);
    case KIND_VALUE:
        if (length >= sizeof reader->value)
            return fail(reader, reader->line, "%s: too long", place(reader, key->name, where));
        memcpy(reader->value, value, length + 1);
        return 0;
    case KIND_TEXT:
        if (length >= sizeof reader->scenario.title)
            return fail(reader, reader->line, "%s: too long", place(reader, key->name, where));
        memcpy(reader->scenario.title, value, length + 1);
        return 0;
    case KIND_SIZE:
    case KIND_RATE:
    case KIND_TIME:
    case KIND_SHARE:
    case KIND_CPU:
    case KIND_COUNT:
    case KIND_FLAG:
    case KIND_NOTHING:
        break;
    }
    const char *wrong = scenario_value(key->kind, value, key->min, key->max, &number);
    if (wrong != NULL)
        return fail(reader, reader->line, "%s: '%s' is %s", place(reader, key->name, where), shown(value, text), wrong);
    scenario_store(key, number, section_of(reader));
    return 0;
}

/* inih's section is not looked at: the reader knows it, however long it is. */
static int take_pair(void *user, const char *section, const char *name, const char *value)
{
    struct reader *reader = user;
    char where[2 * SHOWN_MAX];
    enum scenario_section keyed = reader->section == SECTION_MASTER ? SECTION_WORKER : reader->section;
    (void)section;
    if (reader->failed)
        return 0;
    for (unsigned row = 0; row < scenario_keys_count; row++) {
        const struct scenario_key *key = &scenario_keys[row];
        if (key->section != keyed || strcmp(key->name, name) != 0)
            continue;
        int *set_at = &reader->set_at[reader->section][row];
        if (*set_at > 0)
            return fail(reader, reader->line, "%s: already set in line %d", place(reader, name, where), *set_at) == 0;
        if (*value == '\0')
            return fail(reader, reader->line, "%s: empty value", place(reader, name, where)) == 0;
        *set_at = reader->line;
        return take_value(reader, key, value) == 0;
    }
    return fail_key(reader, name) == 0;
}

/* ---- lines ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static int check_pair(struct reader *reader, const char *line)
{
    char text[SHOWN_MAX];
    const char *equals = strchr(line, '=');
    if (equals == NULL || equals == line)
        return fail(reader, reader->line, "%s: no %s; a key is set as in 'limit = 512M'", shown(line, text),
                    equals == NULL ? "'='" : "key before '='");
    if (reader->section == SECTION_NONE)
        return fail(reader, reader->line, "%s: key before any section", shown(line, text));
    for (const char *p = line; *p != '\0'; p++) {
        bool comment = (*p == '#' || *p == ';') && (p < equals || is_blank(p[-1]));
        if (comment || (*p == ':' && p < equals))
            return fail(reader, reader->line, "%s: '%c'; a comment has a line of its own", shown(line, text), *p);
    }
    return 0;
}

static int check_line(struct reader *reader, const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)line[i];
        if ((byte < ' ' && byte != '\t') || byte == 0x7f)
            return fail(reader, reader->line, "control character 0x%02x; is this a text file?", byte);
    }
    return line[0] == '[' ? open_section(reader, line) : check_pair(reader, line);
}

/* In place of fgets(3): one checked `key = value` line each time. */
static char *next_line(char *buffer, int capacity, void *stream)
{
    struct reader *reader = stream;
    while (!reader->failed && reader->next < reader->end) {
        const char *start = reader->next;
        const char *newline = memchr(start, '\n', (size_t)(reader->end - start));
        const char *stop = newline != NULL ? newline : reader->end;
        reader->next = newline != NULL ? newline + 1 : reader->end;
        reader->line++;
        while (start < stop && is_blank(*start))
            start++;
        while (stop > start && is_blank(stop[-1]))
            stop--;
        size_t size = (size_t)(stop - start);
        if (size == 0 || *start == '#' || *start == ';')
            continue;
        if (size > LINE_MAX_BYTES || size + 2 > (size_t)capacity) {
            (void)fail(reader, reader->line, "line longer than %d bytes", LINE_MAX_BYTES);
            return NULL;
        }
        memcpy(buffer, start, size);
        buffer[size] = '\0';
        if (check_line(reader, buffer, size) != 0)
            return NULL;
        if (*buffer == '[')
            continue;
        buffer[size] = '\n';
        buffer[size + 1] = '\0';
        return buffer;
    }
    return NULL;
}

/* ---- the whole ---- */

static int check_shape(struct reader *reader, enum scenario_section section, const struct model_shape *shape)
{
    const char *name = scenario_section_name(section);
    int line = reader->seen_at[section];
    if (shape->shared_bytes > shape->base_bytes)
        return fail(reader, line, "[%s] shared: more than base", name);
    if (shape->spike_every_ms > 0 && shape->spike_bytes == 0)
        return fail(reader, line, "[%s] spike_every: there is no spike", name);
    if (shape->fragment_rate == 0 && shape->fragment_bytes > 0)
        return fail(reader, line, "[%s] fragment_max: nothing fragments, set fragment", name);
    if (shape->ignores_recycle && !shape->handles_recycle)
        return fail(reader, line, "[%s] ignores_recycle: without a handler the signal ends it", name);
    return 0;
}

static int check_events(struct reader *reader)
{
    struct scenario *scenario = &reader->scenario;
    for (uint32_t i = 0; i < scenario->events; i++) {
        struct scenario_event *event = &scenario->event[i];
        if (event->process == UINT32_MAX)
            event->process = scenario->workers > 0 ? 1 : 0;
        if (event->at_ms > scenario->duration_ms)
            return fail(reader, event->line, "[event %s] at: after the end, see [scenario] duration", event->name);
        if (event->what == SCENARIO_WORKERS && scenario->workers == 0)
            return fail(reader, event->line, "[event %s] what = workers: there is no pool", event->name);
        if (scenario->workers == 0 && event->process > 0)
            return fail(reader, event->line, "[event %s] process: there is no pool, the worker is 0", event->name);
    }
    return 0;
}

static int check_whole(struct reader *reader)
{
    const struct scenario *scenario = &reader->scenario;
    const struct model_traffic *traffic = &scenario->traffic;
    if (close_event(reader) != 0)
        return -1;
    if (scenario->limit_bytes == 0)
        return fail(reader, 0, "no [scenario] limit: how much memory has the container?");
    if ((traffic->busy_ms > 0) != (traffic->quiet_ms > 0))
        return fail(reader, reader->seen_at[SECTION_TRAFFIC], "[traffic] busy and quiet go together");
    if (traffic->busy_ms > 0 && traffic->swing_permyriad > 0)
        return fail(reader, reader->seen_at[SECTION_TRAFFIC], "[traffic] swing: not together with busy and quiet");
    if (scenario->workers == 0 && reader->seen_at[SECTION_MASTER] > 0)
        return fail(reader, reader->seen_at[SECTION_MASTER], "[master]: without [scenario] workers there is none");
    if (scenario->workers == 0 && scenario->worker.shared_bytes > 0)
        return fail(reader, reader->seen_at[SECTION_WORKER], "[worker] shared: with whom? there is no pool");
    if (scenario->worker.shared_bytes > scenario->master.base_bytes)
        return fail(reader, reader->seen_at[SECTION_WORKER], "[worker] shared: more than the master's base");
    if (check_shape(reader, SECTION_WORKER, &scenario->worker) != 0 ||
        check_shape(reader, SECTION_MASTER, &scenario->master) != 0)
        return -1;
    return check_events(reader);
}

int scenario_parse(struct scenario *ret_scenario, const char *file, const char *text, size_t size,
                   char ret_error[SCENARIO_ERROR_MAX])
{
    struct reader reader = { .file = file, .next = text, .end = text + size, .error = ret_error };
    scenario_defaults(&reader.scenario);
    ret_error[0] = '\0';
    int result = ini_parse_stream(next_line, &reader, take_pair, &reader);
    if (result != 0 && !reader.failed)
        (void)fail(&reader, reader.line, "not understood");
    if (reader.failed || check_whole(&reader) != 0)
        return -1;
    reader.scenario.traffic.start_ms = reader.scenario.start_ms;
    model_traffic_init(&reader.scenario.traffic);
    *ret_scenario = reader.scenario;
    return 0;
}

int scenario_read(struct scenario *ret_scenario, const char *file, char ret_error[SCENARIO_ERROR_MAX])
{
    static char text[SCENARIO_SIZE_MAX + 1];
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        (void)snprintf(ret_error, SCENARIO_ERROR_MAX, "%s: cannot be read: %s", file, strerror(errno));
        return -1;
    }
    errno = 0;
    size_t size = fread(text, 1, sizeof text, stream);
    int error = ferror(stream) != 0 ? errno : 0;
    (void)fclose(stream);
    if (error != 0) {
        (void)snprintf(ret_error, SCENARIO_ERROR_MAX, "%s: cannot be read: %s", file, strerror(error));
        return -1;
    }
    if (size > SCENARIO_SIZE_MAX) {
        (void)snprintf(ret_error, SCENARIO_ERROR_MAX, "%s: larger than %d bytes", file, SCENARIO_SIZE_MAX);
        return -1;
    }
    return scenario_parse(ret_scenario, file, text, size, ret_error);
}
