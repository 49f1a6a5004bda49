/*
 * The table of keys, how a name is found in it, and how a value is written.
 * Parsing is in values.c.
 */
#include "keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>

#include "load.h"
#include "units.h"

static const char *const wait_words[] = { "worker", "all", NULL };
static const char *const restart_words[] = { "never", "recycled", "failed", "always", NULL };
static const char *const target_words[] = { "auto", "worker", "children", "tree", NULL };
static const char *const metric_words[] = { "rss", "pss", "uss", NULL };
static const char *const method_words[] = { "auto", "signal", "respawn", NULL };
static const char *const agent_words[] = { "auto", "yes", "no", NULL };
static const char *const format_words[] = { "text", "json", NULL };
static const char *const level_words[] = { "error", "warning", "info", "debug", NULL };

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };

/* A threshold or limit below this is a size whose unit was forgotten: `at = 512`. */
enum { SMALLEST_BYTES = 64 << 10 };

enum { SHARE_ALL = 10000 };

enum { PRINTED_MAX = 32, CAPABILITY_BITS = 64 }; /* longest name of a signal, size or time */

#define KEY(section, field, kind, fallback, min, max, choices, help)                                                   \
    KEY_AS(section, #field, field, kind, fallback, min, max, choices, help)
#define KEY_AS(section, name, field, kind, fallback, min, max, choices, help)                                          \
    { #section, name, fallback, choices, min, max, kind, offsetof(struct config, section.field) },

const struct key keys[] = {
#include "keys_table.inc"
};

const int keys_count = sizeof keys / sizeof keys[0];

_Static_assert(sizeof keys / sizeof keys[0] <= CONFIG_KEYS_MAX, "config_load has an origin for every key");

int keys_find(const char *section, const char *name)
{
    for (int i = 0; i < keys_count; i++) {
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
            return i;
    }
    return -1;
}

int keys_find_elsewhere(const char *section, const char *name)
{
    for (int i = 0; i < keys_count; i++) {
        if (strcmp(keys[i].section, section) != 0 && strcmp(keys[i].name, name) == 0)
            return i;
    }
    return -1;
}

bool keys_has_section(const char *section)
{
    for (int i = 0; i < keys_count; i++) {
        if (strcmp(keys[i].section, section) == 0)
            return true;
    }
    return false;
}

enum { SLIP_MAX = 32 }; /* no name of ours is longer */

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/*
 * Optimal string alignment: insertions, deletions, changes and swaps of
 * neighbours, letters compared without case. Both at most SLIP_MAX long.
 */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][SLIP_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_length; j++)
        above[j] = before[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (same ? 0 : 1));
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b_length];
}

bool keys_near(const char *typed, const char *name, size_t *best_distance)
{
    const size_t typed_length = strlen(typed);
    const size_t name_length = strlen(name);

    if (typed_length == 0 || typed_length > SLIP_MAX || name_length > SLIP_MAX)
        return false;
    const size_t found = distance(typed, typed_length, name, name_length);
    /* one slip in a short word, up to three in a long one; never every letter */
    const size_t slips = least(1 + typed_length / 4, 3);
    if (found > slips || found >= name_length || found >= *best_distance)
        return false;
    *best_distance = found;
    return true;
}

const char *keys_nearest(const char *section, const char *name)
{
    size_t best = KEYS_NOT_NEAR;
    const char *nearest = NULL;

    for (int i = 0; i < keys_count; i++) {
        if (strcmp(keys[i].section, section) == 0 && keys_near(name, keys[i].name, &best))
            nearest = keys[i].name;
    }
    return nearest;
}

const char *keys_nearest_section(const char *section)
{
    size_t best = KEYS_NOT_NEAR;
    const char *nearest = NULL;

    for (int i = 0; i < keys_count; i++) {
        if (keys_near(section, keys[i].section, &best))
            nearest = keys[i].section;
    }
    return nearest;
}

static void print_signals(uint64_t mask, char *ret_text, size_t size)
{
    char name[PRINTED_MAX];

    for (int number = 1; number < 64; number++) {
        if ((mask >> number & 1) == 0)
            continue;
        units_print_signal(number, name, sizeof name);
        config_append(ret_text, size, name);
    }
}

static void print_rewrite(const uint8_t *map, char *ret_text, size_t size)
{
    char from[PRINTED_MAX], to[PRINTED_MAX], pair[2 * PRINTED_MAX];

    for (int number = 1; number < CONFIG_SIGNALS; number++) {
        if (map[number] == number)
            continue;
        units_print_signal(number, from, sizeof from);
        units_print_signal(map[number], to, sizeof to);
        (void)snprintf(pair, sizeof pair, "%s:%s", from, to);
        config_append(ret_text, size, pair);
    }
}

static void print_capabilities(const struct config_capabilities *capabilities, char *ret_text, size_t size)
{
    for (int i = 0; i < CAPABILITY_BITS && capabilities->set; i++) {
        if ((capabilities->mask >> i & 1) == 0)
            continue;
        char *name = cap_to_name(i);
        if (name)
            config_append(ret_text, size, strncmp(name, "cap_", 4) == 0 ? name + 4 : name);
        (void)cap_free(name);
    }
    if (*ret_text == '\0')
        config_append(ret_text, size, capabilities->set ? "none" : "inherit");
}

static void print_amount(const struct config_amount *amount, char *ret_text, size_t size)
{
    if (amount->bytes != 0)
        units_print_bytes(amount->bytes, ret_text, size);
    else if (amount->share_permyriad != 0)
        units_print_permyriad(amount->share_permyriad, ret_text, size);
    else
        config_append(ret_text, size, "off");
}

static void print_pressure(const struct config_pressure *pressure, char *ret_text, size_t size)
{
    char stall[PRINTED_MAX], window[PRINTED_MAX];

    units_print_ms(pressure->stall_ms, stall, sizeof stall);
    units_print_ms(pressure->window_ms, window, sizeof window);
    if (pressure->window_ms == 0)
        config_append(ret_text, size, "off");
    else
        (void)snprintf(ret_text, size, "%s %s/%s", pressure->full ? "full" : "some", stall, window);
}

static void print_optional(const struct key *key, const struct config_optional *optional, char *ret_text, size_t size)
{
    if (optional->set && key->kind == KEY_OPTIONAL)
        (void)snprintf(ret_text, size, "%" PRId64, optional->value);
    else if (optional->set)
        units_print_bytes((uint64_t)optional->value, ret_text, size);
}

static void print_signal(int number, char *ret_text, size_t size)
{
    if (number <= 0)
        config_append(ret_text, size, number == CONFIG_SIGNAL_AGENT ? "agent" : "none");
    else
        units_print_signal(number, ret_text, size);
}

static void print_size(uint64_t bytes, char *ret_text, size_t size)
{
    if (bytes == 0)
        config_append(ret_text, size, "auto");
    else
        units_print_bytes(bytes, ret_text, size);
}

void keys_print(const struct key *key, const struct config *config, char *ret_text, size_t size)
{
    const void *field = (const char *)config + key->offset;

    if (size == 0)
        return;
    ret_text[0] = '\0';
    switch (key->kind) {
    case KEY_TEXT:
        config_append(ret_text, size, field);
        break;
    case KEY_FLAG:
        config_append(ret_text, size, *(const bool *)field ? "yes" : "no");
        break;
    case KEY_COUNT:
        (void)snprintf(ret_text, size, "%" PRIu32, *(const uint32_t *)field);
        break;
    case KEY_SIZE:
        print_size(*(const uint64_t *)field, ret_text, size);
        break;
    case KEY_AMOUNT:
        print_amount(field, ret_text, size);
        break;
    case KEY_TIME:
        units_print_ms(*(const uint64_t *)field, ret_text, size);
        break;
    case KEY_SHARE:
        units_print_permyriad(*(const uint32_t *)field, ret_text, size);
        break;
    case KEY_SIGNAL:
        print_signal(*(const int *)field, ret_text, size);
        break;
    case KEY_SIGNALS:
        print_signals(*(const uint64_t *)field, ret_text, size);
        break;
    case KEY_REWRITE:
        print_rewrite(field, ret_text, size);
        break;
    case KEY_CHOICE:
        config_append(ret_text, size, key->choices[*(const int *)field]);
        break;
    case KEY_PRESSURE:
        print_pressure(field, ret_text, size);
        break;
    case KEY_CAPABILITIES:
        print_capabilities(field, ret_text, size);
        break;
    case KEY_OPTIONAL:
    case KEY_OPTIONAL_SIZE:
        print_optional(key, field, ret_text, size);
        break;
    }
}
