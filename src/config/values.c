/*
 * The value of a key, from text into struct config: one function a kind. What
 * is refused is refused here, with its reason, for every source alike.
 */
#include "keys.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>

#include "load.h"
#include "units.h"

enum { ITEM_MAX = 48, PRINTED_MAX = 32, CAPABILITY_BITS = 64 };

#define NOT_A_SIZE   "not a size (512M, 1.5G)"
#define NOT_A_TIME   "not a time (1.5s, 10m)"
#define NOT_A_SHARE  "not a share (80%)"
#define NOT_A_SIGNAL "not a signal (TERM, RTMIN+3, 15)"

static char reason[CONFIG_SHOWN_MAX + 160];

__attribute__((format(printf, 1, 2))) static const char *because(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return reason;
}

static const char *because_item(const char *what, const char *item)
{
    char shown[CONFIG_SHOWN_MAX];

    config_escape(item, shown, sizeof shown);
    return because("%s: '%s'", what, shown);
}

/*
 * The next item of a list by comma, without the blanks around it. Returns 1,
 * 0 at the end, or -1 for an empty or over-long one.
 */
static int next_item(const char **cursor, char *ret_item)
{
    const char *start = *cursor;

    if (!start)
        return 0;
    const char *end = start + strcspn(start, ",");
    *cursor = *end == ',' ? end + 1 : NULL;
    while (*start == ' ' || *start == '\t')
        start++;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    const size_t length = (size_t)(end - start);
    if (length == 0 || length >= ITEM_MAX)
        return -1;
    memcpy(ret_item, start, length);
    ret_item[length] = '\0';
    return 1;
}

/* Signals with which a key would do nothing, or harm. */
static const char *refuse_signal(int number, bool needs_grace)
{
    if (number == SIGKILL && needs_grace)
        return "of no use here: a program cannot catch it, so there would be no grace";
    if (number == SIGKILL || number == SIGSTOP)
        return "of no use here: it cannot be caught";
    if (number == SIGCHLD)
        return "of no use here: the kernel sends it for every child that ends";
    return NULL;
}

static const char *apply_text(const char *value, char *field)
{
    const size_t length = strlen(value);

    if (length >= CONFIG_TEXT_MAX)
        return because("too long (%d bytes at most)", CONFIG_TEXT_MAX - 1);
    for (size_t i = 0; i < length; i++) {
        if (iscntrl((unsigned char)value[i]))
            return "not plain text: it holds a control character";
    }
    memset(field, 0, CONFIG_TEXT_MAX); /* nothing of an earlier value stays behind */
    memcpy(field, value, length + 1);
    return NULL;
}

static const char *apply_flag(const char *value, bool *field)
{
    if (strcmp(value, "yes") == 0 || strcmp(value, "true") == 0)
        *field = true;
    else if (strcmp(value, "no") == 0 || strcmp(value, "false") == 0)
        *field = false;
    else
        return "neither yes nor no";
    return NULL;
}

static const char *check_bytes(const struct key *key, uint64_t bytes)
{
    char least[PRINTED_MAX], most[PRINTED_MAX];

    if (bytes >= (uint64_t)key->min && bytes <= (uint64_t)key->max)
        return NULL;
    units_print_bytes((uint64_t)key->min, least, sizeof least);
    if (bytes < (uint64_t)key->min)
        return because("below %s: is its unit missing, as in 512M?", least);
    units_print_bytes((uint64_t)key->max, most, sizeof most);
    return because("above %s", most);
}

static const char *apply_size(const struct key *key, const char *value, uint64_t *field)
{
    uint64_t bytes = 0;

    if (strcmp(value, "auto") != 0) {
        if (units_parse_bytes(value, &bytes) != 0)
            return NOT_A_SIZE;
        const char *wrong = bytes != 0 ? check_bytes(key, bytes) : NULL;
        if (wrong)
            return wrong;
    }
    *field = bytes;
    return NULL;
}

static const char *apply_amount(const struct key *key, const char *value, struct config_amount *field)
{
    struct config_amount amount = { 0 };

    if (strcmp(value, "off") != 0 && units_parse_permyriad(value, &amount.share_permyriad) != 0) {
        if (units_parse_bytes(value, &amount.bytes) != 0)
            return NOT_A_SIZE " or a share (80%)";
        const char *wrong = amount.bytes != 0 ? check_bytes(key, amount.bytes) : NULL;
        if (wrong)
            return wrong;
    }
    *field = amount;
    return NULL;
}

static const char *apply_time(const struct key *key, const char *value, uint64_t *field)
{
    char least[PRINTED_MAX], most[PRINTED_MAX];
    uint64_t ms = 0;

    if (units_parse_ms(value, &ms) != 0)
        return NOT_A_TIME;
    if (ms < (uint64_t)key->min || ms > (uint64_t)key->max) {
        units_print_ms((uint64_t)key->min, least, sizeof least);
        units_print_ms((uint64_t)key->max, most, sizeof most);
        return because("not from %s to %s", least, most);
    }
    *field = ms;
    return NULL;
}

static const char *apply_share(const struct key *key, const char *value, uint32_t *field)
{
    char least[PRINTED_MAX], most[PRINTED_MAX];
    uint32_t permyriad = 0;

    if (units_parse_permyriad(value, &permyriad) != 0)
        return NOT_A_SHARE;
    if (permyriad < (uint32_t)key->min || permyriad > (uint32_t)key->max) {
        units_print_permyriad((uint32_t)key->min, least, sizeof least);
        units_print_permyriad((uint32_t)key->max, most, sizeof most);
        return because("not from %s to %s", least, most);
    }
    *field = permyriad;
    return NULL;
}

/* A whole number, with a sign where the key goes below 0. */
static const char *parse_number(const struct key *key, const char *value, int64_t *ret_number)
{
    const bool negative = key->min < 0 && *value == '-';
    uint64_t count = 0;

    if (units_parse_count(negative ? value + 1 : value, &count) != 0)
        return "not a whole number";
    const int64_t number = count > INT64_MAX ? INT64_MAX : (int64_t)count;
    if ((negative ? -number : number) < key->min || (negative ? -number : number) > key->max)
        return because("not from %" PRId64 " to %" PRId64, key->min, key->max);
    *ret_number = negative ? -number : number;
    return NULL;
}

static const char *apply_count(const struct key *key, const char *value, uint32_t *field)
{
    int64_t number = 0;
    const char *wrong = parse_number(key, value, &number);

    if (!wrong)
        *field = (uint32_t)number;
    return wrong;
}

static const char *apply_optional(const struct key *key, const char *value, struct config_optional *field)
{
    struct config_optional optional = { .set = *value != '\0' };
    const char *wrong = NULL;

    if (optional.set && key->kind == KEY_OPTIONAL) {
        wrong = parse_number(key, value, &optional.value);
    } else if (optional.set) {
        uint64_t bytes = 0;
        wrong = units_parse_bytes(value, &bytes) != 0 ? NOT_A_SIZE : check_bytes(key, bytes);
        optional.value = wrong ? 0 : (int64_t)bytes;
    }
    if (!wrong)
        *field = optional;
    return wrong;
}

static const char *apply_signal(const struct key *key, const char *value, int *field)
{
    int number = 0;

    if (key->min < 0 && strcmp(value, "agent") == 0) {
        number = CONFIG_SIGNAL_AGENT;
    } else if (key->min > 0 || strcmp(value, "none") != 0) {
        if (units_parse_signal(value, &number) != 0)
            return key->min > 0 ? NOT_A_SIGNAL : NOT_A_SIGNAL ", agent or none";
        const char *wrong = refuse_signal(number, key->min > 0);
        if (wrong)
            return wrong;
    }
    *field = number;
    return NULL;
}

static const char *apply_signals(const char *value, uint64_t *field)
{
    char item[ITEM_MAX];
    uint64_t mask = 0;
    int more = 0;

    while ((more = next_item(&value, item)) > 0) {
        int number = 0;
        if (units_parse_signal(item, &number) != 0)
            return because_item("not a list of signals (TERM, RTMIN+3, 15)", item);
        const char *wrong = refuse_signal(number, false);
        if (wrong)
            return because_item(wrong, item);
        if (number >= 64) /* the mask has bits 0 to 63 */
            return because_item("of no use here: the last real-time signal cannot be one of these", item);
        mask |= UINT64_C(1) << number;
    }
    if (more < 0)
        return "not a list of signals (TERM, INT)";
    *field = mask;
    return NULL;
}

/* FROM:TO. */
static const char *apply_pair(char *pair, uint8_t *map, bool *taken)
{
    char *colon = strchr(pair, ':');
    int from = 0, to = 0;

    if (!colon)
        return because_item("not a list of FROM:TO (TERM:QUIT, HUP:0)", pair);
    *colon = '\0';
    if (units_parse_signal(pair, &from) != 0)
        return because_item(NOT_A_SIGNAL, pair);
    if (strcmp(colon + 1, "0") != 0 && units_parse_signal(colon + 1, &to) != 0)
        return because_item("neither a signal (TERM, RTMIN+3, 15) nor 0", colon + 1);
    const char *wrong = refuse_signal(from, false);
    if (wrong)
        return because_item(wrong, pair);
    if (to == SIGCHLD)
        return because_item(refuse_signal(to, false), colon + 1);
    if (taken[from])
        return because_item("ambiguous, it names a signal twice", pair);
    taken[from] = true;
    map[from] = (uint8_t)to;
    return NULL;
}

static const char *apply_rewrite(const char *value, uint8_t *field)
{
    uint8_t map[CONFIG_SIGNALS];
    bool taken[CONFIG_SIGNALS] = { false };
    char item[ITEM_MAX];
    int more = 0;

    for (int i = 0; i < CONFIG_SIGNALS; i++)
        map[i] = (uint8_t)i;
    if (*value == '\0' || strcmp(value, "none") == 0)
        value = NULL;
    while ((more = next_item(&value, item)) > 0) {
        const char *wrong = apply_pair(item, map, taken);
        if (wrong)
            return wrong;
    }
    if (more < 0)
        return "not a list of FROM:TO (TERM:QUIT, HUP:0)";
    memcpy(field, map, sizeof map);
    return NULL;
}

/* A capability by its name, with or without cap_; -1 for none. */
static int find_capability(const char *name)
{
    char full[ITEM_MAX + 4] = "cap_";
    cap_value_t capability = 0;
    const size_t prefix = strncasecmp(name, "cap_", 4) == 0 ? 0 : 4;
    size_t length = prefix;

    /* letters only: cap_from_name(3) would take a number as well, and stop at a comma */
    for (; *name != '\0'; name++) {
        if (!isalpha((unsigned char)*name) && *name != '_')
            return -1;
        full[length++] = (char)tolower((unsigned char)*name);
    }
    full[length] = '\0';
    return cap_from_name(full, &capability) == 0 && capability < CAPABILITY_BITS ? capability : -1;
}

static const char *apply_capabilities(const char *value, struct config_capabilities *field)
{
    struct config_capabilities capabilities = { .set = strcmp(value, "inherit") != 0 };
    char item[ITEM_MAX];
    int more = 0;

    if (!capabilities.set || strcmp(value, "none") == 0)
        value = NULL;
    while ((more = next_item(&value, item)) > 0) {
        const int capability = find_capability(item);
        if (capability < 0)
            return because_item("neither inherit, none nor a list of capabilities (net_bind_service, chown)", item);
        capabilities.mask |= UINT64_C(1) << capability;
    }
    if (more < 0)
        return "neither inherit, none nor a list of capabilities (net_bind_service, chown)";
    *field = capabilities;
    return NULL;
}

/* The windows that the kernel takes, Documentation/accounting/psi.rst. */
enum { PRESSURE_WINDOW_MIN_MS = 500, PRESSURE_WINDOW_MAX_MS = 10000 };

static const char *apply_pressure(const char *value, struct config_pressure *field)
{
    struct config_pressure pressure = { .full = strncmp(value, "full ", 5) == 0 };
    char stall[ITEM_MAX];

    if (strcmp(value, "off") == 0) {
        *field = pressure;
        return NULL;
    }
    const char *slash = strchr(value, '/');
    const size_t length = slash ? (size_t)(slash - value) : 0;
    if ((!pressure.full && strncmp(value, "some ", 5) != 0) || length <= 5 || length - 5 >= sizeof stall)
        return "neither off nor a trigger (some 200ms/2s)";
    memcpy(stall, value + 5, length - 5);
    stall[length - 5] = '\0';
    if (units_parse_ms(stall, &pressure.stall_ms) != 0 || units_parse_ms(slash + 1, &pressure.window_ms) != 0)
        return "neither off nor a trigger (some 200ms/2s)";
    if (pressure.window_ms < PRESSURE_WINDOW_MIN_MS || pressure.window_ms > PRESSURE_WINDOW_MAX_MS)
        return "a trigger whose window is not from 500ms to 10s";
    if (pressure.stall_ms == 0 || pressure.stall_ms > pressure.window_ms)
        return "a trigger whose time is not within its window";
    *field = pressure;
    return NULL;
}

static const char *apply_choice(const struct key *key, const char *value, int *field)
{
    char words[CONFIG_SHOWN_MAX] = "";

    for (int i = 0; key->choices[i]; i++) {
        if (strcmp(key->choices[i], value) == 0) {
            *field = i;
            return NULL;
        }
        config_append(words, sizeof words, key->choices[i]);
    }
    return because("not one of %s", words);
}

const char *keys_apply(const struct key *key, const char *value, struct config *config)
{
    void *field = (char *)config + key->offset;

    switch (key->kind) {
    case KEY_TEXT:
        return apply_text(value, field);
    case KEY_FLAG:
        return apply_flag(value, field);
    case KEY_COUNT:
        return apply_count(key, value, field);
    case KEY_SIZE:
        return apply_size(key, value, field);
    case KEY_AMOUNT:
        return apply_amount(key, value, field);
    case KEY_TIME:
        return apply_time(key, value, field);
    case KEY_SHARE:
        return apply_share(key, value, field);
    case KEY_SIGNAL:
        return apply_signal(key, value, field);
    case KEY_SIGNALS:
        return apply_signals(value, field);
    case KEY_REWRITE:
        return apply_rewrite(value, field);
    case KEY_CHOICE:
        return apply_choice(key, value, field);
    case KEY_PRESSURE:
        return apply_pressure(value, field);
    case KEY_CAPABILITIES:
        return apply_capabilities(value, field);
    case KEY_OPTIONAL:
    case KEY_OPTIONAL_SIZE:
        return apply_optional(key, value, field);
    }
    return "of an unknown kind";
}
