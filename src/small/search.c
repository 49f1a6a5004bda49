/*
 * Searching and numbers for the static binary, where short texts are searched
 * at start-up: the C library's fast ways cost 5 KiB.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void *memmem(const void *text, size_t size, const void *part, size_t part_size)
{
    const char *at = text;
    for (; size >= part_size; at++, size--) {
        if (memcmp(at, part, part_size) == 0)
            return (void *)at;
    }
    return NULL;
}

char *strstr(const char *text, const char *part)
{
    return memmem(text, strlen(text), part, strlen(part));
}

/* Decimal whatever the base; too large a number becomes LONG_MAX or LONG_MIN. */
long strtol(const char *restrict text, char **restrict ret_end, int base)
{
    const char *digits = text + strspn(text, " \t\n\v\f\r");
    int negative = *digits == '-';
    long value = 0;
    (void)base;
    digits += *digits == '-' || *digits == '+';
    const char *end = digits;
    for (; *end >= '0' && *end <= '9'; end++) { /* downwards: LONG_MIN has no positive counterpart */
        long next = 0;
        if (__builtin_mul_overflow(value, 10L, &next) || __builtin_sub_overflow(next, (long)(*end - '0'), &next))
            next = LONG_MIN;
        value = next;
    }
    if (!negative)
        value = value == LONG_MIN ? LONG_MAX : -value;
    if (ret_end != NULL)
        *ret_end = (char *)(end == digits ? text : end);
    return value;
}

/* What libcap reads a numeric capability with. */
unsigned long strtoul(const char *restrict text, char **restrict ret_end, int base)
{
    return (unsigned long)strtol(text, ret_end, base);
}
