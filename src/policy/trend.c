#include "trend.h"

static uint32_t kib_of(uint64_t bytes)
{
    uint64_t kib = bytes >> 10;
    return kib < UINT32_MAX ? (uint32_t)kib : UINT32_MAX;
}

/* ---- slope ---- */

void slope_reset(struct slope *slope)
{
    *slope = (struct slope){ 0 };
}

void slope_add(struct slope *slope, uint64_t bytes, uint64_t now_ms)
{
    slope->kib[slope->next] = kib_of(bytes);
    slope->at_ms[slope->next] = (uint32_t)now_ms;
    slope->next = (uint8_t)((slope->next + 1) % SLOPE_POINTS);
    if (slope->count < SLOPE_POINTS)
        slope->count++;
}

/* Bytes a second from sample a to the later sample b, each counted from the oldest; at one time: 0. */
static int64_t slope_between(const struct slope *slope, unsigned a, unsigned b)
{
    unsigned oldest = slope->count < SLOPE_POINTS ? 0 : slope->next;
    a = (oldest + a) % SLOPE_POINTS;
    b = (oldest + b) % SLOPE_POINTS;
    uint32_t took_ms = slope->at_ms[b] - slope->at_ms[a];
    int64_t grown = (int64_t)slope->kib[b] - (int64_t)slope->kib[a];
    return took_ms == 0 ? 0 : grown * 1024 * 1000 / (int64_t)took_ms;
}

uint64_t slope_rate(const struct slope *slope)
{
    int64_t sorted[SLOPE_POINTS * (SLOPE_POINTS - 1) / 2];
    unsigned count = 0;
    if (slope->count < SLOPE_POINTS_MIN)
        return 0;
    for (unsigned a = 0; a + 1 < slope->count; a++) {
        for (unsigned b = a + 1; b < slope->count; b++) {
            int64_t rate = slope_between(slope, a, b);
            unsigned place = count++;
            for (; place > 0 && sorted[place - 1] > rate; place--)
                sorted[place] = sorted[place - 1];
            sorted[place] = rate;
        }
    }
    int64_t median = sorted[count / 2];
    return median > 0 ? (uint64_t)median : 0;
}

uint64_t slope_grown(const struct slope *slope)
{
    unsigned oldest = slope->count < SLOPE_POINTS ? 0 : slope->next;
    unsigned newest = (slope->next + SLOPE_POINTS - 1U) % SLOPE_POINTS;
    return slope->kib[newest] > slope->kib[oldest] ? (uint64_t)(slope->kib[newest] - slope->kib[oldest]) << 10 : 0;
}

bool slope_is_steady(const struct slope *slope)
{
    unsigned pairs = 0;
    unsigned rising = 0;
    if (slope->count < SLOPE_POINTS)
        return false;
    for (unsigned a = 0; a + 1 < SLOPE_POINTS; a++) {
        for (unsigned b = a + 1; b < SLOPE_POINTS; b++) {
            pairs++;
            rising += slope_between(slope, a, b) > 0;
        }
    }
    return rising * 10 >= pairs * 9;
}

uint64_t trend_eta_ms(uint64_t bytes, uint64_t line, uint64_t rate)
{
    if (bytes >= line)
        return 0;
    uint64_t left = line - bytes;
    if (rate == 0)
        return TREND_NEVER;
    return left / rate < TREND_NEVER / 1000 ? left / rate * 1000 + left % rate * 1000 / rate : TREND_NEVER;
}

/* ---- floors ---- */

void floors_reset(struct floors *floors)
{
    *floors = (struct floors){ 0 };
}

static void join_periods(struct floors *floors)
{
    for (unsigned from = 0; from < FLOORS_MAX; from += 2) {
        uint32_t first = floors->kib[from];
        uint32_t second = floors->kib[from + 1];
        floors->kib[from / 2] = first < second ? first : second;
    }
    floors->count = FLOORS_MAX / 2;
    floors->doublings++;
}

bool floors_add(struct floors *floors, uint64_t bytes, uint64_t now_ms)
{
    uint32_t kib = kib_of(bytes);
    if (floors->count > 0 && now_ms < floors->open_until_ms) {
        if (kib < floors->kib[floors->count - 1])
            floors->kib[floors->count - 1] = kib;
        return false;
    }
    bool ended = floors->count > 0;
    if (floors->count == FLOORS_MAX)
        join_periods(floors);
    floors->open_until_ms = now_ms + ((uint64_t)FLOORS_PERIOD_MS << floors->doublings);
    floors->kib[floors->count++] = kib;
    return ended;
}

enum trend_shape floors_shape(const struct floors *floors)
{
    if (floors->count <= FLOORS_MIN) /* the last one is open */
        return TREND_UNKNOWN;
    unsigned last = floors->count - 2U;
    unsigned first = (last + 1) / 4;
    unsigned pairs = 0;
    unsigned rising = 0;
    for (unsigned a = first; a < last; a++) {
        for (unsigned b = a + 1; b <= last; b++) {
            pairs++;
            rising += floors->kib[b] > floors->kib[a];
        }
    }
    if (rising * 5 < pairs * 4)
        return TREND_FLAT;
    uint64_t begin = floors->kib[first];
    uint64_t end = floors->kib[last];
    uint64_t periods = last - first;
    uint64_t late_periods = periods / 3;
    uint64_t late = floors->kib[last - late_periods];
    uint64_t grown = end - begin; /* above 0: were the last no higher than the first, too many pairs would not rise */
    bool much = grown * 10 >= begin;
    bool still = end > late && (end - late) * periods * 4 >= grown * late_periods * 3;
    return much && still ? TREND_RISING : TREND_FLAT;
}
