/*
 * Sizes, times, shares and signal names. Owns the spelling of each unit and
 * nothing else: no state, no locale, no floating point.
 */
#include "units.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* whole + part / scale; a part has at most six digits, so part * 2^40 fits into 64 bits. */
struct decimal {
    uint64_t whole;
    uint64_t part;
    uint64_t scale;
};

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit byte_units[] = {
    { "T", UINT64_C(1) << 40 },
    { "G", UINT64_C(1) << 30 },
    { "M", UINT64_C(1) << 20 },
    { "K", UINT64_C(1) << 10 },
};
static const struct unit time_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
enum { BYTE_UNITS = sizeof byte_units / sizeof byte_units[0], TIME_UNITS = sizeof time_units / sizeof time_units[0] };

enum { PART_SCALE_MAX = 1000000, PERMYRIAD_PER_PERCENT = 100, PERMYRIAD_MAX = 10000 };

/*
 * Real-time signals by the numbers that docker, systemd and every glibc
 * program mean: RTMIN is 34. musl's SIGRTMIN is 35, so the macro is not used.
 */
enum { SIGNAL_RTMIN = 34, SIGNAL_RTMAX = 64 };

static const struct {
    char name[8];
    int number;
} signal_names[] = {
    { "HUP", SIGHUP },       { "INT", SIGINT },     { "QUIT", SIGQUIT }, { "ILL", SIGILL },   { "TRAP", SIGTRAP },
    { "ABRT", SIGABRT },     { "BUS", SIGBUS },     { "FPE", SIGFPE },   { "KILL", SIGKILL }, { "USR1", SIGUSR1 },
    { "SEGV", SIGSEGV },     { "USR2", SIGUSR2 },   { "PIPE", SIGPIPE }, { "ALRM", SIGALRM }, { "TERM", SIGTERM },
#ifdef SIGSTKFLT
    { "STKFLT", SIGSTKFLT },
#endif
    { "CHLD", SIGCHLD },     { "CONT", SIGCONT },   { "STOP", SIGSTOP }, { "TSTP", SIGTSTP }, { "TTIN", SIGTTIN },
    { "TTOU", SIGTTOU },     { "URG", SIGURG },     { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ }, { "VTALRM", SIGVTALRM },
    { "PROF", SIGPROF },     { "WINCH", SIGWINCH }, { "IO", SIGIO },     { "PWR", SIGPWR },   { "SYS", SIGSYS },
    { "IOT", SIGABRT },      { "CLD", SIGCHLD },    { "POLL", SIGIO },
};
enum { SIGNAL_NAMES = sizeof signal_names / sizeof signal_names[0] };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* At least one digit. Returns what follows them, or NULL. */
static const char *parse_digits(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *p = text;

    for (; is_digit(*p); p++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*p - '0'), &number))
            return NULL;
    }
    if (p == text)
        return NULL;
    *ret_number = number;
    return p;
}

static const char *parse_decimal(const char *text, struct decimal *ret_decimal)
{
    struct decimal decimal = { .scale = 1 };
    const char *p = parse_digits(text, &decimal.whole);

    if (!p || *p != '.') {
        *ret_decimal = decimal;
        return p;
    }
    for (p++; is_digit(*p); p++) {
        if (decimal.scale == PART_SCALE_MAX)
            return NULL;
        decimal.scale *= 10;
        decimal.part = decimal.part * 10 + (uint64_t)(*p - '0');
    }
    if (decimal.scale == 1)
        return NULL;
    *ret_decimal = decimal;
    return p;
}

/* Rounds down, but never a number above 0 to 0: that often means "off". */
static int scale_decimal(const struct decimal *decimal, uint64_t factor, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (__builtin_mul_overflow(decimal->whole, factor, &number) ||
        __builtin_add_overflow(number, decimal->part * factor / decimal->scale, &number))
        return -1;
    if (number == 0 && decimal->part != 0)
        return -1;
    *ret_number = number;
    return 0;
}

int units_parse_bytes(const char *text, uint64_t *ret_bytes)
{
    struct decimal decimal;
    const char *suffix = parse_decimal(text, &decimal);

    if (!suffix)
        return -1;
    if (*suffix == '\0')
        return decimal.scale == 1 ? scale_decimal(&decimal, 1, ret_bytes) : -1;
    for (int i = 0; i < BYTE_UNITS; i++) {
        if (strncasecmp(suffix, byte_units[i].name, 1) != 0)
            continue;
        const char *rest = suffix + 1;
        if (*rest == '\0' || strcasecmp(rest, "B") == 0 || strcasecmp(rest, "i") == 0 || strcasecmp(rest, "iB") == 0)
            return scale_decimal(&decimal, byte_units[i].factor, ret_bytes);
    }
    return -1;
}

int units_parse_ms(const char *text, uint64_t *ret_ms)
{
    struct decimal decimal;
    const char *suffix = parse_decimal(text, &decimal);

    if (!suffix)
        return -1;
    if (*suffix == '\0' && decimal.whole == 0 && decimal.scale == 1) {
        *ret_ms = 0;
        return 0;
    }
    for (int i = 0; i < TIME_UNITS; i++) {
        if (strcmp(suffix, time_units[i].name) == 0)
            return scale_decimal(&decimal, time_units[i].factor, ret_ms);
    }
    return -1;
}

int units_parse_permyriad(const char *text, uint32_t *ret_permyriad)
{
    struct decimal decimal;
    uint64_t permyriad = 0;
    const char *suffix = parse_decimal(text, &decimal);

    if (!suffix || strcmp(suffix, "%") != 0)
        return -1;
    if (scale_decimal(&decimal, PERMYRIAD_PER_PERCENT, &permyriad) != 0 || permyriad > PERMYRIAD_MAX)
        return -1;
    /* 100.001% rounds down to 100%, but is above it */
    if (permyriad == PERMYRIAD_MAX && decimal.part != 0)
        return -1;
    *ret_permyriad = (uint32_t)permyriad;
    return 0;
}

int units_parse_count(const char *text, uint64_t *ret_count)
{
    uint64_t count = 0;
    const char *rest = parse_digits(text, &count);

    if (!rest || *rest != '\0')
        return -1;
    *ret_count = count;
    return 0;
}

/* "" or the sign and a distance that stays between RTMIN and RTMAX. */
static int parse_realtime(const char *rest, char sign, int from, int *ret_signal)
{
    uint64_t distance = 0;

    if (*rest != '\0' && (*rest != sign || units_parse_count(rest + 1, &distance) != 0))
        return -1;
    if (distance > SIGNAL_RTMAX - SIGNAL_RTMIN)
        return -1;
    *ret_signal = sign == '+' ? from + (int)distance : from - (int)distance;
    return 0;
}

int units_parse_signal(const char *text, int *ret_signal)
{
    uint64_t number = 0;

    if (units_parse_count(text, &number) == 0) {
        if (number < 1 || number > SIGNAL_RTMAX)
            return -1;
        *ret_signal = (int)number;
        return 0;
    }
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    if (strncasecmp(name, "RTMIN", 5) == 0)
        return parse_realtime(name + 5, '+', SIGNAL_RTMIN, ret_signal);
    if (strncasecmp(name, "RTMAX", 5) == 0)
        return parse_realtime(name + 5, '-', SIGNAL_RTMAX, ret_signal);
    for (int i = 0; i < SIGNAL_NAMES; i++) {
        if (strcasecmp(name, signal_names[i].name) == 0) {
            *ret_signal = signal_names[i].number;
            return 0;
        }
    }
    return -1;
}

void units_print_bytes(uint64_t bytes, char *ret_text, size_t size)
{
    for (int i = 0; i < BYTE_UNITS && bytes != 0; i++) {
        if (bytes % byte_units[i].factor == 0) {
            (void)snprintf(ret_text, size, "%" PRIu64 "%s", bytes / byte_units[i].factor, byte_units[i].name);
            return;
        }
    }
    (void)snprintf(ret_text, size, "%" PRIu64, bytes);
}

void units_print_ms(uint64_t ms, char *ret_text, size_t size)
{
    const struct unit *unit = time_units;

    while (ms % unit->factor != 0) /* the last one divides all */
        unit++;
    if (ms == 0)
        (void)snprintf(ret_text, size, "0");
    else
        (void)snprintf(ret_text, size, "%" PRIu64 "%s", ms / unit->factor, unit->name);
}

void units_print_permyriad(uint32_t permyriad, char *ret_text, size_t size)
{
    const unsigned whole = permyriad / PERMYRIAD_PER_PERCENT;
    const unsigned part = permyriad % PERMYRIAD_PER_PERCENT;

    if (part == 0)
        (void)snprintf(ret_text, size, "%u%%", whole);
    else if (part % 10 == 0)
        (void)snprintf(ret_text, size, "%u.%u%%", whole, part / 10);
    else
        (void)snprintf(ret_text, size, "%u.%02u%%", whole, part);
}

void units_print_signal(int signal, char *ret_text, size_t size)
{
    for (int i = 0; i < SIGNAL_NAMES; i++) {
        if (signal_names[i].number == signal) {
            (void)snprintf(ret_text, size, "%s", signal_names[i].name);
            return;
        }
    }
    if (signal == SIGNAL_RTMIN)
        (void)snprintf(ret_text, size, "RTMIN");
    else if (signal == SIGNAL_RTMAX)
        (void)snprintf(ret_text, size, "RTMAX");
    else if (signal > SIGNAL_RTMIN && signal < SIGNAL_RTMAX)
        (void)snprintf(ret_text, size, "RTMIN+%d", signal - SIGNAL_RTMIN);
    else
        (void)snprintf(ret_text, size, "%d", signal); /* 32 and 33 have no name: the C library keeps them */
}
