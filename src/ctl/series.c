#include "series.h"

#include <stdlib.h>

static const struct series_bucket empty = { .low = 1, .high = 0 };

static void widen(struct series_bucket *bucket, float low, float high)
{
    if (low > high)
        return;
    if (bucket->low > bucket->high) {
        *bucket = (struct series_bucket){ .low = low, .high = high };
        return;
    }
    bucket->low = low < bucket->low ? low : bucket->low;
    bucket->high = high > bucket->high ? high : bucket->high;
}

unsigned series_scale_to(struct series_scale *scale, uint64_t now_ms)
{
    unsigned times = 0;
    if (scale->width_ms == 0)
        scale->width_ms = SERIES_WIDTH_MS;
    for (; now_ms / scale->width_ms >= SERIES_BUCKETS; times++)
        scale->width_ms *= 2;
    return times;
}

void series_halve(struct series *series)
{
    uint32_t first = series->first / 2;
    uint32_t count = series->count > 0 ? (series->first + series->count - 1) / 2 - first + 1 : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct series_bucket joined = empty;
        for (uint32_t half = 0; half < 2; half++) {
            uint32_t number = 2 * (first + i) + half;
            if (number < series->first || number >= series->first + series->count)
                continue;
            const struct series_bucket *old = &series->bucket[number - series->first];
            widen(&joined, old->low, old->high);
        }
        series->bucket[i] = joined; /* i is behind what is still to be read */
    }
    series->first = first;
    series->count = count;
}

int series_add(struct series *series, const struct series_scale *scale, uint64_t now_ms, double value)
{
    uint32_t number = (uint32_t)(now_ms / scale->width_ms);
    if (series->count == 0)
        series->first = number;
    uint32_t count = number - series->first + 1;
    while (series->room < count) {
        uint32_t room = series->room > 0 ? 2 * series->room : 8;
        struct series_bucket *grown = realloc(series->bucket, room * sizeof *grown);
        if (grown == NULL)
            return -1;
        series->bucket = grown;
        series->room = room;
    }
    while (series->count < count)
        series->bucket[series->count++] = empty;
    widen(&series->bucket[count - 1], (float)value, (float)value);
    return 0;
}

void series_free(struct series *series)
{
    free(series->bucket);
    *series = (struct series){ 0 };
}
