/* Quantities held against each other. Pure. */
#ifndef TRIMTAB_POLICY_U64_H
#define TRIMTAB_POLICY_U64_H

#include <stdint.h>

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* a - b, 0 where that is below 0. */
static inline uint64_t less_u64(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

#endif
