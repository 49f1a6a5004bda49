/*
 * What is the matter with a process that holds more memory than it should,
 * and what to do about it. Pure.
 */
#ifndef TRIMTAB_POLICY_VERDICT_H
#define TRIMTAB_POLICY_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/trend.h"

#define VERDICT_NO_FIGURE UINT64_MAX

enum verdict {
    VERDICT_UNKNOWN,
    VERDICT_FRAGMENTATION, /* free inside the heap, and trims return it */
    VERDICT_PINNED,        /* free inside the heap, and trims cannot return it */
    VERDICT_GROWTH,        /* in use, and more and more of it: a leak */
    VERDICT_OUTSIDE        /* most is not in the heap that trims reach */
};

struct verdict_evidence {
    uint64_t rss_bytes;     /* of the process */
    uint64_t held_bytes;    /* by the heap, as the agent tells; VERDICT_NO_FIGURE: it does not */
    uint64_t used_bytes;    /* of these, by the program */
    uint32_t trims;         /* trims that were judged, at most the last VERDICT_TRIMS */
    bool other_heap;        /* held_bytes are not the C library's allocator's */
    uint32_t worth;         /* of these, those that brought min_yield */
    enum trend_shape shape; /* of what stays after trims, see trend.h */
};

enum {
    VERDICT_TRIMS = 4,
    VERDICT_TRIMS_MIN = 2, /* one alone may be chance, but for one in vain while it grows */
    VERDICT_FREE_PCT = 25
};

enum verdict verdict_of(const struct verdict_evidence *evidence);

/* `fragmentation`, ... */
const char *verdict_name(enum verdict verdict);

/* What an operator can do, for a log line: one clause, without figures. */
const char *verdict_advice(enum verdict verdict, const struct verdict_evidence *evidence);

#endif
