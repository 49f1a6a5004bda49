/* How a modelled process uses memory. */
#include "cmocka_all.h"

#include "ctl/model.h"

#define MIB (UINT64_C(1) << 20)

enum { MINUTE_MS = 60000, HOUR_MS = 3600000 };

static struct model_traffic steady;

static uint64_t rss(struct model_process *process, uint64_t now_ms)
{
    struct model_memory memory;
    model_memory(process, &steady, now_ms, &memory);
    assert_int_equal(memory.rss_bytes, memory.private_bytes + memory.shared_bytes);
    assert_true(memory.used_bytes <= memory.held_bytes && memory.held_bytes <= memory.private_bytes);
    return memory.rss_bytes;
}

static struct model_process process_of(const struct model_shape *shape)
{
    struct model_process process;
    model_begin(&process, shape, &steady, 1, 0);
    return process;
}

static void boots_then_leaks(void **state)
{
    const struct model_shape shape = { .base_bytes = 64 * MIB, .boot_ms = 1000, .leak_rate = MIB * 1000 };
    struct model_process process = process_of(&shape);
    (void)state;
    assert_int_equal(rss(&process, 0), 0);
    assert_int_equal(rss(&process, 500), 32 * MIB + MIB / 2);
    assert_int_equal(rss(&process, 1000), 65 * MIB);
    assert_int_equal(rss(&process, 3600 * 1000), (64 + 3600) * MIB);
    model_set_leak(&process, &steady, 0, 3600 * 1000);
    assert_int_equal(rss(&process, 7200 * 1000), (64 + 3600) * MIB);
}

/* However often it is looked at, nothing is lost by rounding. */
static void looking_changes_nothing(void **state)
{
    const struct model_shape shape = {
        .base_bytes = MIB, .leak_rate = 333, .fragment_rate = 7, .cache_bytes = MIB, .cache_ms = HOUR_MS
    };
    struct model_process often = process_of(&shape);
    struct model_process once = process_of(&shape);
    (void)state;
    for (uint64_t now_ms = 0; now_ms < HOUR_MS; now_ms += 7)
        (void)rss(&often, now_ms);
    assert_int_equal(rss(&often, HOUR_MS), rss(&once, HOUR_MS));
}

static void cache_fills_and_is_full(void **state)
{
    const struct model_shape shape = { .cache_bytes = 100 * MIB, .cache_ms = HOUR_MS };
    struct model_process process = process_of(&shape);
    (void)state;
    uint64_t half = rss(&process, HOUR_MS / 2);
    assert_true(half > 74 * MIB && half < 76 * MIB); /* ever slower */
    assert_int_equal(rss(&process, HOUR_MS), 100 * MIB);
    assert_int_equal(rss(&process, UINT64_C(100) * HOUR_MS), 100 * MIB);
}

static void trims_return_what_is_not_pinned(void **state)
{
    const struct model_shape shape = { .fragment_rate = MIB * 1000,
                                       .fragment_bytes = 100 * MIB,
                                       .pinned_permyriad = 3000 };
    struct model_process process = process_of(&shape);
    (void)state;
    assert_int_equal(rss(&process, HOUR_MS), 100 * MIB);
    model_trim(&process, &steady, HOUR_MS);
    uint64_t left = rss(&process, HOUR_MS);
    assert_true(left > 29 * MIB && left <= 30 * MIB);
    assert_int_equal(rss(&process, HOUR_MS + 10000), left + 10 * MIB);
    model_trim(&process, &steady, HOUR_MS + 10000);
    assert_int_equal(rss(&process, HOUR_MS + 10000), left); /* what was pinned stays so */
    assert_int_equal(rss(&process, UINT64_C(2) * HOUR_MS), 100 * MIB);
}

static void what_was_trimmed_comes_back(void **state)
{
    const struct model_shape shape = {
        .fragment_rate = MIB * 1000, .fragment_bytes = 64 * MIB, .regrow_ms = MINUTE_MS, .agent = true
    };
    struct model_process process = process_of(&shape);
    struct model_memory memory;
    (void)state;
    model_trim(&process, &steady, HOUR_MS);
    assert_int_equal(rss(&process, HOUR_MS), 0);
    model_memory(&process, &steady, HOUR_MS + MINUTE_MS / 2, &memory);
    assert_int_equal(memory.rss_bytes, 62 * MIB); /* 30 by its rate, 32 back */
    assert_int_equal(memory.used_bytes, 0);
    assert_int_equal(memory.held_bytes, 62 * MIB);
}

static void shared_pages_become_its_own(void **state)
{
    const struct model_shape shape = { .base_bytes = 100 * MIB, .shared_bytes = 80 * MIB, .unshare_ms = HOUR_MS };
    struct model_process process = process_of(&shape);
    struct model_memory memory;
    (void)state;
    model_memory(&process, &steady, 0, &memory);
    assert_int_equal(memory.private_bytes, 20 * MIB);
    model_memory(&process, &steady, HOUR_MS / 2, &memory);
    assert_int_equal(memory.private_bytes, 60 * MIB);
    assert_int_equal(memory.rss_bytes, 100 * MIB);
    model_memory(&process, &steady, UINT64_C(2) * HOUR_MS, &memory);
    assert_int_equal(memory.shared_bytes, 0);
}

static void spikes_come_and_go(void **state)
{
    const struct model_shape shape = {
        .base_bytes = MIB, .spike_bytes = 100 * MIB, .spike_every_ms = MINUTE_MS, .spike_ms = 1000
    };
    struct model_process process = process_of(&shape);
    unsigned spikes = 0;
    bool before = false;
    (void)state;
    for (uint64_t now_ms = 0; now_ms < UINT64_C(10) * HOUR_MS; now_ms += 100) {
        uint64_t bytes = rss(&process, now_ms);
        bool now = bytes > MIB;
        assert_true(!now || (bytes >= 51 * MIB && bytes <= 101 * MIB));
        spikes += now && !before;
        before = now;
    }
    assert_in_range(spikes, 450, 750);
    (void)rss(&process, UINT64_C(1000000) * HOUR_MS); /* a long time without a look */
}

static void a_days_traffic(void **state)
{
    struct model_traffic traffic = { .swing_permyriad = 3000, .peak_ms = UINT64_C(14) * HOUR_MS };
    (void)state;
    model_traffic_init(&traffic);
    uint64_t day_ms = model_worked_ms(&traffic, MODEL_DAY_MS);
    assert_in_range(day_ms, MODEL_DAY_MS - MODEL_DAY_MS / 1000, MODEL_DAY_MS + MODEL_DAY_MS / 1000);
    assert_int_equal(model_worked_ms(&traffic, UINT64_C(3) * MODEL_DAY_MS), 3 * day_ms);
    uint64_t peak = model_worked_ms(&traffic, UINT64_C(14) * HOUR_MS + MINUTE_MS) -
                    model_worked_ms(&traffic, UINT64_C(14) * HOUR_MS);
    uint64_t low =
        model_worked_ms(&traffic, UINT64_C(2) * HOUR_MS + MINUTE_MS) - model_worked_ms(&traffic, UINT64_C(2) * HOUR_MS);
    assert_int_equal(peak, MINUTE_MS * 13 / 10);
    assert_int_equal(low, MINUTE_MS * 7 / 10);
    for (uint64_t now_ms = 0; now_ms < MODEL_DAY_MS; now_ms += 12345)
        assert_true(model_worked_ms(&traffic, now_ms) <= model_worked_ms(&traffic, now_ms + 1));
}

static void busy_and_quiet(void **state)
{
    const struct model_traffic traffic = { .busy_ms = 1000, .quiet_ms = 3000 };
    const struct model_shape shape = { .cpu_permille = 500 };
    struct model_process process;
    (void)state;
    assert_int_equal(model_worked_ms(&traffic, 500), 500);
    assert_int_equal(model_worked_ms(&traffic, 3999), 1000);
    assert_int_equal(model_worked_ms(&traffic, 4100), 1100);
    model_begin(&process, &shape, &traffic, 1, 0);
    assert_int_equal(model_cpu_ms(&process, &traffic, 4000), 500);
}

static void beyond_all_memory(void **state)
{
    const struct model_shape shape = { .leak_rate = UINT64_C(1000) << 40 };
    struct model_process process = process_of(&shape);
    (void)state;
    assert_true(rss(&process, UINT64_C(3660) * MODEL_DAY_MS) > UINT64_C(1) << 43);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boots_then_leaks),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(cache_fills_and_is_full),
        cmocka_unit_test(trims_return_what_is_not_pinned),
        cmocka_unit_test(what_was_trimmed_comes_back),
        cmocka_unit_test(shared_pages_become_its_own),
        cmocka_unit_test(spikes_come_and_go),
        cmocka_unit_test(a_days_traffic),
        cmocka_unit_test(busy_and_quiet),
        cmocka_unit_test(beyond_all_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
