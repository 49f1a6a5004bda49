/*
 * A quantity over a time of any length in a bounded room: the least and the
 * most of each of at most SERIES_BUCKETS equal spans. When time runs past the
 * last one, spans are joined by twos.
 */
#ifndef TRIMTAB_CTL_SERIES_H
#define TRIMTAB_CTL_SERIES_H

#include <stddef.h>
#include <stdint.h>

enum { SERIES_BUCKETS = 1024, SERIES_WIDTH_MS = 10 };

struct series_bucket {
    float low, high; /* low above high: nothing was seen */
};

/* Zeroed: empty. */
struct series {
    uint32_t first; /* number of bucket[0] on the common scale */
    uint32_t count;
    uint32_t room; /* of bucket */
    struct series_bucket *bucket;
};

/* The common scale of several series; zeroed: none yet. */
struct series_scale {
    uint64_t width_ms; /* of a bucket; SERIES_WIDTH_MS at first */
};

/* How many times all series of the scale must be halved before a value at now_ms fits; the scale is then as wide. */
unsigned series_scale_to(struct series_scale *scale, uint64_t now_ms);
void series_halve(struct series *series);

/* now_ms fits the scale and does not go back. 0, or -1 without memory. */
int series_add(struct series *series, const struct series_scale *scale, uint64_t now_ms, double value);
void series_free(struct series *series);

#endif
