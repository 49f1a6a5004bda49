/*
 * Random cases for property tests. The seed is printed; TRIMTAB_SEED sets another, so that a failure can be repeated
 * and a longer search can be made. Include after cmocka.h.
 */
#ifndef TRIMTAB_TESTS_RANDOM_H
#define TRIMTAB_TESTS_RANDOM_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_CASES = 100000, RANDOM_SEED = 20250301 };

struct random {
    uint64_t state;
};

/* A generator for one test. */
static inline struct random random_begin(void)
{
    const char *text = getenv("TRIMTAB_SEED");
    struct random random = { text ? strtoull(text, NULL, 10) : RANDOM_SEED };

    printf("TRIMTAB_SEED=%" PRIu64 "\n", random.state);
    return random;
}

/* splitmix64 */
static inline uint64_t random_next(struct random *random)
{
    uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 .. below - 1 */
static inline size_t random_below(struct random *random, size_t below)
{
    return (size_t)(random_next(random) % below);
}

/* Every magnitude is as likely, and the edges of each are. */
static inline uint64_t random_number(struct random *random)
{
    const uint64_t number = random_next(random) >> random_below(random, 64);

    switch (random_below(random, 4)) {
    case 0:
        return (UINT64_C(1) << random_below(random, 64)) - random_below(random, 2);
    case 1:
        return UINT64_MAX - random_below(random, 3);
    default:
        return number;
    }
}

/* A byte, most often one that parsers care about. */
static inline char random_byte(struct random *random)
{
    static const char likely[] = "0123456789 \t\n\r=:;,.#[]()-+%/'\"\\_abkKmMgGtTsSdhiIBxe";

    return random_below(random, 8) == 0 ? (char)random_next(random) : likely[random_below(random, sizeof likely - 1)];
}

/*
 * Damage a text of *size bytes in a buffer of capacity: some of bytes changed, taken out, put in, a part said twice,
 * the end cut off. May leave it as it is.
 */
static inline void random_damage(struct random *random, char *text, size_t *size, size_t capacity)
{
    for (size_t round = random_below(random, 4); round > 0; round--) {
        const size_t at = random_below(random, *size + 1);
        const size_t part = random_below(random, 2) ? 1 : random_below(random, *size - at + 1);
        switch (random_below(random, 5)) {
        case 0:
            if (at < *size)
                text[at] = random_byte(random);
            break;
        case 1: /* out */
            if (at + part <= *size) {
                memmove(text + at, text + at + part, *size - at - part);
                *size -= part;
            }
            break;
        case 2: /* in */
            if (*size < capacity) {
                memmove(text + at + 1, text + at, *size - at);
                text[at] = random_byte(random);
                (*size)++;
            }
            break;
        case 3: /* twice */
            if (at + part <= *size && *size + part <= capacity) {
                memmove(text + at + part, text + at, *size - at);
                *size += part;
            }
            break;
        default:
            *size = random_below(random, 8) ? *size : at;
            break;
        }
    }
}

/* A copy on the heap of exactly size bytes, so that a sanitizer sees a read behind them. To be freed. */
static inline char *exact_copy(const char *text, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    if (size == 0)
        return copy; /* one byte that no parser may look at */
    return memcpy(copy, text, size);
}

/* The same with a NUL behind the text, which ends at the first NUL in it. To be freed. */
static inline char *exact_string(const char *text, size_t size)
{
    const size_t length = strnlen(text, size);
    char *copy = malloc(length + 1);

    assert_non_null(copy);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

#endif
