/*
 * Where a quantity of memory is heading, from a few samples kept in a fixed
 * room. Pure: no system call, no clock, no heap.
 *
 * Two views, because one cannot serve both questions. A slope looks at the
 * last few samples and answers "when will it be there". Floors look at the
 * whole life and answer "does what stays grow": a floor is the least that was
 * seen in a period, so that spikes, and what a trim gives back, do not count.
 */
#ifndef TRIMTAB_POLICY_TREND_H
#define TRIMTAB_POLICY_TREND_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SLOPE_POINTS = 8,
    SLOPE_POINTS_MIN = 4, /* fewer tell nothing */
    FLOORS_MAX = 12,
    FLOORS_MIN = 6, /* complete ones; fewer tell nothing */
    FLOORS_PERIOD_MS = 30000
};

#define TREND_NEVER UINT64_MAX

/* The last samples, in KiB and in milliseconds cut to 32 bits: only differences count. */
struct slope {
    uint32_t kib[SLOPE_POINTS];
    uint32_t at_ms[SLOPE_POINTS];
    uint8_t count;
    uint8_t next;
};

void slope_reset(struct slope *slope);
void slope_add(struct slope *slope, uint64_t bytes, uint64_t now_ms);

/*
 * Bytes a second, the median of the slopes between all pairs of samples
 * (Theil 1950, Sen 1968): two samples of eight may be anything. 0 while there
 * are too few samples, and for what shrinks.
 */
uint64_t slope_rate(const struct slope *slope);

/* From the oldest to the newest sample, in bytes; 0 for what shrinks. */
uint64_t slope_grown(const struct slope *slope);

/* Whether there are SLOPE_POINTS samples and of all pairs at least nine in ten rise with time: hardly chance. */
bool slope_is_steady(const struct slope *slope);

/* Time from bytes to line at a rate of bytes a second: 0 when it is there, TREND_NEVER at rate 0. */
uint64_t trend_eta_ms(uint64_t bytes, uint64_t line, uint64_t rate);

/* The floors of equal periods since the beginning; when the room is full, periods are joined by twos. */
struct floors {
    uint32_t kib[FLOORS_MAX];
    uint8_t count; /* the last one is still open */
    uint8_t doublings;
    uint64_t open_until_ms;
};

enum trend_shape {
    TREND_UNKNOWN, /* too short a time */
    TREND_FLAT,    /* does not grow, or ever less: a cache that fills, a slow start */
    TREND_RISING
};

void floors_reset(struct floors *floors);

/* Returns whether a period ended: time to ask floors_shape again. */
bool floors_add(struct floors *floors, uint64_t bytes, uint64_t now_ms);

/*
 * Rising: of all pairs of complete floors at least four in five rise with
 * time, the growth over them is a tenth or more, and in the last third it is
 * three quarters as fast as on average or more. The first quarter is left out: a start is not a leak.
 */
enum trend_shape floors_shape(const struct floors *floors);

#endif
