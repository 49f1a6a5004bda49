/* trend.c and the shares against a second way to compute them, over random series with many equal and edge values. */
#include <stdlib.h>

#include "cmocka_all.h"
#include "policy/fleet.h"
#include "policy/trend.h"
#include "policy/verdict.h"
#include "random.h"

typedef __int128 wide;

/* ---- slope ---- */

enum { SERIES_MAX = 12 };

struct series {
    unsigned count;
    uint64_t kib[SERIES_MAX];
    uint64_t at_ms[SERIES_MAX];
};

static int compare(const void *left, const void *right)
{
    const wide *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* All rates between two of the last samples, in order; those at one time are 0. Returns how many. */
static unsigned rates_of(const struct series *series, wide *ret_rates)
{
    unsigned count = 0;
    for (unsigned a = series->count > SLOPE_POINTS ? series->count - SLOPE_POINTS : 0; a < series->count; a++) {
        for (unsigned b = a + 1; b < series->count; b++) {
            wide took_ms = (wide)series->at_ms[b] - (wide)series->at_ms[a];
            wide grown = (wide)series->kib[b] - (wide)series->kib[a];
            ret_rates[count++] = took_ms == 0 ? 0 : grown * 1024000 / took_ms;
        }
    }
    qsort(ret_rates, count, sizeof ret_rates[0], compare);
    return count;
}

static struct series random_series(struct random *random)
{
    struct series series = { .count = 1 + (unsigned)random_below(random, SERIES_MAX) };
    const uint64_t step_ms = UINT64_C(1) << random_below(random, 21);
    const uint64_t step_kib = UINT64_C(1) << random_below(random, 12);
    const bool leak = random_below(random, 2);
    uint64_t now_ms = random_below(random, 2) ? UINT32_MAX - 3 : random_next(random) >> 32;
    uint64_t kib = random_below(random, 1000);

    for (unsigned i = 0; i < series.count; i++) {
        kib =
            leak && random_below(random, 8) ? kib + random_below(random, step_kib) : random_below(random, 3) * step_kib;
        series.kib[i] = kib;
        series.at_ms[i] = now_ms;
        now_ms += random_below(random, 4) ? step_ms : random_below(random, 3);
    }
    return series;
}

static void slopes_are_what_all_pairs_say(void **state)
{
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const struct series series = random_series(&random);
        wide rates[SERIES_MAX * SERIES_MAX];
        const unsigned count = rates_of(&series, rates);
        const unsigned first = series.count > SLOPE_POINTS ? series.count - SLOPE_POINTS : 0;
        struct slope slope;
        slope_reset(&slope);
        for (unsigned j = 0; j < series.count; j++)
            slope_add(&slope, series.kib[j] << 10 | random_below(&random, 1024), series.at_ms[j]);

        const wide median = series.count < SLOPE_POINTS_MIN ? 0 : rates[count / 2];
        assert_true(slope_rate(&slope) == (median > 0 ? (uint64_t)median : 0));
        const uint64_t oldest = series.kib[first], newest = series.kib[series.count - 1];
        assert_true(slope_grown(&slope) == (newest > oldest ? (newest - oldest) << 10 : 0));
        unsigned rising = 0;
        for (unsigned j = 0; j < count; j++)
            rising += rates[j] > 0;
        assert_int_equal(slope_is_steady(&slope), series.count >= SLOPE_POINTS && rising * 10 >= count * 9);
    }
}

static void nine_in_ten_pairs_make_a_steady_slope(void **state)
{
    static const uint64_t kib[][SLOPE_POINTS] = {
        { 1, 2, 3, 4, 5, 6, 7, 8 }, /* 28 of 28 rise */
        { 2, 1, 4, 3, 5, 6, 7, 8 }, /* 26 */
        { 2, 1, 4, 3, 6, 5, 7, 8 }, /* 25: just below nine in ten */
    };

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct slope slope;
        slope_reset(&slope);
        for (unsigned j = 0; j < SLOPE_POINTS; j++)
            slope_add(&slope, kib[i][j] << 10, j * 1000);
        assert_int_equal(slope_is_steady(&slope), i < 2);
    }
}

static void a_size_too_large_for_the_room_is_the_largest_there(void **state)
{
    static const uint64_t bytes[] = { (uint64_t)(UINT32_MAX - 1) << 10, (uint64_t)UINT32_MAX << 10,
                                      ((uint64_t)UINT32_MAX + 1) << 10, UINT64_MAX };

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct slope slope;
        slope_reset(&slope);
        slope_add(&slope, bytes[i], 0);
        assert_int_equal(slope.kib[0], i == 0 ? UINT32_MAX - 1 : UINT32_MAX);
    }
}

static void a_time_is_what_arithmetic_says(void **state)
{
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const uint64_t bytes = random_number(&random), line = random_number(&random);
        const uint64_t rate = random_below(&random, 8) ? random_number(&random) : 0;
        uint64_t eta_ms = TREND_NEVER;
        if (bytes >= line)
            eta_ms = 0;
        else if (rate > 0 && (line - bytes) / rate < UINT64_MAX / 1000)
            eta_ms = (line - bytes) / rate * 1000 + (uint64_t)((wide)((line - bytes) % rate) * 1000 / rate);
        if ((line - bytes) % (rate ? rate : 1) > UINT64_MAX / 1000)
            continue; /* sizes of petabytes: only that nothing breaks */
        assert_true(trend_eta_ms(bytes, line, rate) == eta_ms);
    }
    assert_true(trend_eta_ms(0, UINT64_MAX / 1000, 1) == TREND_NEVER);
    assert_true(trend_eta_ms(0, UINT64_MAX / 1000 - 1, 1) == (UINT64_MAX / 1000 - 1) * 1000);
}

/* ---- floors ---- */

/* As trend.h says it, in fractions. */
static enum trend_shape shape_of(const uint32_t *kib, unsigned complete)
{
    const unsigned skipped = complete / 4, last = complete - 1;
    unsigned pairs = 0, rising = 0;
    if (complete < FLOORS_MIN)
        return TREND_UNKNOWN;
    for (unsigned b = skipped + 1; b <= last; b++) {
        for (unsigned a = skipped; a < b; a++) {
            pairs++;
            rising += kib[b] > kib[a];
        }
    }
    const unsigned periods = last - skipped, late_periods = periods / 3;
    const wide grown = (wide)kib[last] - kib[skipped];
    const wide late = (wide)kib[last] - kib[last - late_periods];
    const bool most = (wide)rising * 5 >= (wide)pairs * 4;
    const bool much = grown > 0 && grown * 10 >= kib[skipped];
    /* late / late_periods is three quarters of grown / periods, or more */
    const bool still = late > 0 && late * 4 * periods >= 3 * grown * late_periods;
    return most && much && still ? TREND_RISING : TREND_FLAT;
}

static void shapes_are_what_the_rule_says(void **state)
{
    struct random random = random_begin();
    unsigned rising = 0;

    (void)state;
    for (int i = 0; i < 4 * RANDOM_CASES; i++) {
        struct floors floors = { .count = (uint8_t)random_below(&random, FLOORS_MAX + 1) };
        const uint32_t begin = (uint32_t)random_below(&random, 200);
        const size_t step = 1 + random_below(&random, 8);
        for (unsigned j = 0; j < FLOORS_MAX; j++) {
            floors.kib[j] = j == 0 ? begin : floors.kib[j - 1] + (uint32_t)random_below(&random, step);
            if (random_below(&random, 6) == 0)
                floors.kib[j] = (uint32_t)random_below(&random, 2 * begin + 1);
        }
        const enum trend_shape want = shape_of(floors.kib, floors.count > 0 ? floors.count - 1U : 0);
        rising += want == TREND_RISING;
        assert_int_equal(floors_shape(&floors), want);
    }
    assert_in_range(rising, RANDOM_CASES / 20, RANDOM_CASES * 3);
}

static void the_least_growth_can_be_a_rise(void **state)
{
    static const uint32_t kib[FLOORS_MAX] = { 9, 9, 10, 3, 4, 5, 6, 7, 8, 9, 11, 0 }; /* from 10 to 11; 29 of 36 rise */

    (void)state;
    struct floors floors = { .count = FLOORS_MAX };
    memcpy(floors.kib, kib, sizeof kib);
    assert_int_equal(floors_shape(&floors), TREND_RISING);
    floors.kib[10] = 10; /* and none at all is not */
    assert_int_equal(floors_shape(&floors), TREND_FLAT);
}

/* Each floor is the least of the samples of its period, however often periods were joined. */
static void floors_are_the_least_of_equal_periods(void **state)
{
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < 2000; i++) {
        enum { SAMPLES = 200 };
        const uint64_t begin_ms = random_below(&random, 100000);
        uint32_t kib[SAMPLES];
        struct floors floors;
        floors_reset(&floors);
        for (unsigned j = 0; j < SAMPLES; j++) { /* two a period */
            kib[j] = (uint32_t)random_below(&random, 1000);
            const bool ended = floors_add(&floors, (uint64_t)kib[j] << 10, begin_ms + j * (FLOORS_PERIOD_MS / 2));
            const unsigned samples = 2U << floors.doublings; /* a period has now */
            assert_int_equal(floors.count, j / samples + 1);
            assert_true(!ended || j % samples == 0 || floors.count == FLOORS_MAX / 2 + 1);
            for (unsigned k = 0; k < floors.count; k++) {
                uint32_t least = UINT32_MAX;
                for (unsigned s = k * samples; s < (k + 1) * samples && s <= j; s++)
                    least = kib[s] < least ? kib[s] : least;
                assert_int_equal(floors.kib[k], least);
            }
        }
    }
}

/* A first sample before a clock that has run for long, and one at a time that was already open. */
static void the_first_sample_opens_a_period(void **state)
{
    (void)state;
    struct floors floors;
    floors_reset(&floors);
    floors.open_until_ms = 5000; /* whatever was there */
    assert_false(floors_add(&floors, 7 << 10, 1000));
    assert_int_equal(floors.count, 1);
    assert_int_equal(floors.kib[0], 7);
    assert_true(floors.open_until_ms == 1000 + FLOORS_PERIOD_MS);
}

/* ---- shares ---- */

static void shares_are_what_arithmetic_says(void **state)
{
    struct random random = random_begin();

    (void)state;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const struct fleet_threshold share = { .share_permyriad = (uint32_t)random_below(&random, 10001) };
        const uint64_t limit = random_number(&random);
        assert_true(fleet_threshold_bytes(&share, limit) == (uint64_t)((wide)limit * share.share_permyriad / 10000));
        const struct fleet_threshold bytes = { .bytes = 1 + (limit >> 1), .share_permyriad = share.share_permyriad };
        assert_true(fleet_threshold_bytes(&bytes, limit) == bytes.bytes);
    }
}

/* ---- verdicts ---- */

static wide free_of(uint64_t held, uint64_t used)
{
    return used > held ? 0 : (wide)held - used;
}

static enum verdict verdict_by_the_book(const struct verdict_evidence *evidence)
{
    const uint64_t there = evidence->held_bytes > evidence->rss_bytes ? evidence->rss_bytes : evidence->held_bytes;
    const bool told = evidence->held_bytes != VERDICT_NO_FIGURE && evidence->used_bytes != VERDICT_NO_FIGURE &&
                      evidence->held_bytes > 0;
    const bool help = evidence->worth > 0 && 2 * evidence->worth >= evidence->trims;
    const bool returned =
        free_of(there, evidence->used_bytes) < free_of(evidence->held_bytes, evidence->used_bytes) / 2;
    const bool much = free_of(there, evidence->used_bytes) >= (wide)(there / 100) * VERDICT_FREE_PCT && !returned;
    const bool outside = evidence->held_bytes < evidence->rss_bytes / 2;
    const bool often = evidence->trims >= VERDICT_TRIMS_MIN;
    if (evidence->trims == 0)
        return VERDICT_UNKNOWN;
    if (often && told && much && !help && !outside)
        return VERDICT_PINNED;
    if (evidence->shape == TREND_RISING && (often || !help))
        return VERDICT_GROWTH;
    if (often && told && !help && outside)
        return VERDICT_OUTSIDE;
    return often && help ? VERDICT_FRAGMENTATION : VERDICT_UNKNOWN;
}

static void every_evidence_has_its_verdict(void **state)
{
    static const uint64_t figures[] = {
        0, 1, 100, 300, 301, 399, 400, 40000, 30000, 30001, 29999, 1ULL << 40, UINT64_MAX - 1, UINT64_MAX
    };
    enum { FIGURES = sizeof figures / sizeof figures[0] };

    (void)state;
    for (unsigned i = 0; i < FIGURES * FIGURES * FIGURES * 5 * 5 * 3; i++) {
        const unsigned rest = i / (FIGURES * FIGURES * FIGURES);
        const struct verdict_evidence evidence = {
            .held_bytes = figures[i % FIGURES],
            .used_bytes = figures[i / FIGURES % FIGURES],
            .rss_bytes = figures[i / FIGURES / FIGURES % FIGURES],
            .trims = rest % 5,
            .worth = rest / 5 % 5,
            .shape = (enum trend_shape)(rest / 25),
        };
        if (evidence.worth <= evidence.trims)
            assert_int_equal(verdict_of(&evidence), verdict_by_the_book(&evidence));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slopes_are_what_all_pairs_say),
        cmocka_unit_test(nine_in_ten_pairs_make_a_steady_slope),
        cmocka_unit_test(a_size_too_large_for_the_room_is_the_largest_there),
        cmocka_unit_test(a_time_is_what_arithmetic_says),
        cmocka_unit_test(shapes_are_what_the_rule_says),
        cmocka_unit_test(the_least_growth_can_be_a_rise),
        cmocka_unit_test(floors_are_the_least_of_equal_periods),
        cmocka_unit_test(the_first_sample_opens_a_period),
        cmocka_unit_test(shares_are_what_arithmetic_says),
        cmocka_unit_test(every_evidence_has_its_verdict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
