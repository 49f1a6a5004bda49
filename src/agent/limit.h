/*
 * How long a wait may take that is begun again: until the point in time that
 * the first beginning gave it. CLOCK_MONOTONIC, which relative timeouts follow.
 */
#ifndef AGENT_LIMIT_H
#define AGENT_LIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "request.h"

#define LIMIT_SECOND_NS INT64_C(1000000000)

struct limit {
    bool forever;
    int64_t begin_ns;
    int64_t end_ns;       /* INT64_MAX: later than the clock can say */
    struct timespec left; /* at the last look */
};

static inline bool limit_is_valid(const struct timespec *timeout)
{
    return timeout == NULL || (timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec < LIMIT_SECOND_NS);
}

/* timeout: valid, or NULL for ever. */
static inline void limit_begin(struct limit *limit, const struct timespec *timeout)
{
    *limit = (struct limit){ .forever = timeout == NULL };
    if (timeout == NULL)
        return;
    limit->left = *timeout;
    if (timeout->tv_sec == 0 && timeout->tv_nsec == 0)
        return;
    limit->begin_ns = request_now_ns();
    if (timeout->tv_sec >= (INT64_MAX - limit->begin_ns) / LIMIT_SECOND_NS - 1)
        limit->end_ns = INT64_MAX;
    else
        limit->end_ns = limit->begin_ns + timeout->tv_sec * LIMIT_SECOND_NS + timeout->tv_nsec;
}

static inline void limit_look(struct limit *limit)
{
    int64_t left_ns = limit->forever ? 0 : limit->end_ns - request_now_ns();
    if (left_ns < 0)
        left_ns = 0;
    limit->left = (struct timespec){ .tv_sec = left_ns / LIMIT_SECOND_NS, .tv_nsec = left_ns % LIMIT_SECOND_NS };
}

static inline const struct timespec *limit_left(const struct limit *limit)
{
    return limit->forever ? NULL : &limit->left;
}

#endif
