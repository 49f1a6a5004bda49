#include "ctl/model.h"
#include "policy/u64.h"

enum {
    MINUTE_MS = 60000,
    QUARTER_MINUTES = MODEL_DAY_MINUTES / 4,
    PERMYRIAD = 10000,
    ONE = 1 << 16,        /* fixed point */
    RATE_SCALE = 1000000, /* 1/1000 bytes a second, by ms */
    SPIKES_MISSED_MAX = 64
};

uint64_t model_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t model_random_below(uint64_t *state, uint64_t below)
{
    return model_random(state) % below;
}

/* What is beyond all memory stays there. */
static uint64_t product(uint64_t a, uint64_t b)
{
    uint64_t result = 0;
    return __builtin_mul_overflow(a, b, &result) ? UINT64_MAX : result;
}

/* whole * part / of, where part <= of: exact enough for memory, and never too large to compute. */
static uint64_t share(uint64_t whole, uint64_t part, uint64_t of)
{
    return part >= of ? whole : whole / ONE * (part * ONE / of) + whole % ONE * (part * ONE / of) / ONE;
}

/* ---- traffic ---- */

/* A cosine made of two parabolas, in 1/10000: 1 at the peak, -1 half a day later, 0 on average. */
static int64_t day_curve(unsigned minutes_from_peak)
{
    unsigned from_peak = minutes_from_peak;
    unsigned from_low = 0;
    if (from_peak > MODEL_DAY_MINUTES / 2)
        from_peak = MODEL_DAY_MINUTES - from_peak;
    from_low = MODEL_DAY_MINUTES / 2 - from_peak;
    const int64_t quarter = QUARTER_MINUTES;
    if (from_peak < QUARTER_MINUTES)
        return PERMYRIAD - (int64_t)from_peak * from_peak * PERMYRIAD / (quarter * quarter);
    return (int64_t)from_low * from_low * PERMYRIAD / (quarter * quarter) - PERMYRIAD;
}

void model_traffic_init(struct model_traffic *traffic)
{
    unsigned peak = (unsigned)(traffic->peak_ms / MINUTE_MS) % MODEL_DAY_MINUTES;
    traffic->worked_ms[0] = 0;
    for (unsigned minute = 0; minute < MODEL_DAY_MINUTES; minute++) {
        int64_t curve = day_curve((minute + MODEL_DAY_MINUTES - peak) % MODEL_DAY_MINUTES);
        int64_t level = PERMYRIAD + (int64_t)traffic->swing_permyriad * curve / PERMYRIAD;
        traffic->worked_ms[minute + 1] = traffic->worked_ms[minute] + (uint64_t)level * MINUTE_MS / PERMYRIAD;
    }
}

uint64_t model_worked_ms(const struct model_traffic *traffic, uint64_t now_ms)
{
    if (traffic->quiet_ms > 0) {
        uint64_t cycle_ms = traffic->busy_ms + traffic->quiet_ms;
        return now_ms / cycle_ms * traffic->busy_ms + min_u64(now_ms % cycle_ms, traffic->busy_ms);
    }
    if (traffic->swing_permyriad == 0)
        return now_ms;
    now_ms += traffic->start_ms;
    uint64_t of_day_ms = now_ms % MODEL_DAY_MS;
    uint64_t minute = of_day_ms / MINUTE_MS;
    const uint64_t *worked_ms = &traffic->worked_ms[minute];
    return now_ms / MODEL_DAY_MS * traffic->worked_ms[MODEL_DAY_MINUTES] + worked_ms[0] +
           (worked_ms[1] - worked_ms[0]) * (of_day_ms % MINUTE_MS) / MINUTE_MS;
}

/* ---- a process ---- */

static void plan_spike(struct model_process *process, uint64_t after_ms)
{
    const struct model_shape *shape = process->shape;
    if (shape->spike_every_ms == 0) {
        process->spike_from_ms = MODEL_NEVER;
        process->spike_until_ms = MODEL_NEVER;
        return;
    }
    process->spike_from_ms = after_ms + model_random_below(&process->random, 2 * shape->spike_every_ms);
    process->spike_until_ms = process->spike_from_ms + shape->spike_ms;
    process->spike_bytes = shape->spike_bytes / 2 + share(shape->spike_bytes, process->random % ONE, ONE) / 2;
}

void model_begin(struct model_process *process, const struct model_shape *shape, const struct model_traffic *traffic,
                 uint64_t seed, uint64_t now_ms)
{
    uint64_t worked_ms = model_worked_ms(traffic, now_ms);
    *process = (struct model_process){
        .shape = shape,
        .born_ms = now_ms,
        .born_worked_ms = worked_ms,
        .leak_rate = shape->leak_rate,
        .leak_from_ms = worked_ms,
        .trimmed_ms = now_ms,
        .fragment_from_ms = worked_ms,
        .random = seed,
    };
    plan_spike(process, now_ms);
}

/* Free inside the heap, and held. */
static uint64_t fragmented(const struct model_process *process, uint64_t worked_ms, uint64_t now_ms)
{
    const struct model_shape *shape = process->shape;
    uint64_t bytes = process->pinned_bytes;
    if (shape->regrow_ms > 0)
        bytes += share(process->trimmed_bytes, now_ms - process->trimmed_ms, shape->regrow_ms);
    if (shape->fragment_rate > 0)
        bytes += product(shape->fragment_rate, worked_ms - process->fragment_from_ms) / RATE_SCALE;
    return shape->fragment_bytes > 0 ? min_u64(bytes, shape->fragment_bytes) : bytes;
}

static uint64_t leaked(const struct model_process *process, uint64_t worked_ms)
{
    return process->leaked_bytes + product(process->leak_rate, worked_ms - process->leak_from_ms) / RATE_SCALE;
}

static uint64_t cached(const struct model_shape *shape, uint64_t age_ms)
{
    if (age_ms >= shape->cache_ms)
        return shape->cache_bytes;
    uint64_t left = ONE - age_ms * ONE / shape->cache_ms;
    return shape->cache_bytes - share(shape->cache_bytes, left * left / ONE, ONE);
}

/* A spike is over between two looks as if it had never been. */
static uint64_t spiking(struct model_process *process, uint64_t now_ms)
{
    if (process->spike_from_ms == MODEL_NEVER)
        return 0;
    for (unsigned missed = 0; now_ms >= process->spike_until_ms && process->spike_from_ms != MODEL_NEVER; missed++)
        plan_spike(process, missed < SPIKES_MISSED_MAX ? process->spike_until_ms : now_ms);
    return now_ms >= process->spike_from_ms ? process->spike_bytes : 0;
}

void model_memory(struct model_process *process, const struct model_traffic *traffic, uint64_t now_ms,
                  struct model_memory *ret_memory)
{
    const struct model_shape *shape = process->shape;
    uint64_t worked_ms = model_worked_ms(traffic, now_ms);
    uint64_t age_ms = now_ms - process->born_ms;
    uint64_t shared = min_u64(shape->shared_bytes, shape->base_bytes);
    uint64_t base =
        max_u64(shared, shape->boot_ms > 0 ? share(shape->base_bytes, age_ms, shape->boot_ms) : shape->base_bytes);
    if (shared > 0 && shape->unshare_ms > 0)
        shared -= share(shared, worked_ms - process->born_worked_ms, shape->unshare_ms);
    uint64_t fragments = fragmented(process, worked_ms, now_ms);
    uint64_t heap = leaked(process, worked_ms) + cached(shape, age_ms) + fragments + spiking(process, now_ms);
    *ret_memory = (struct model_memory){ .rss_bytes = base + heap,
                                         .private_bytes = base - shared + heap,
                                         .shared_bytes = shared,
                                         .held_bytes = heap,
                                         .used_bytes = heap - fragments };
}

uint64_t model_cpu_ms(const struct model_process *process, const struct model_traffic *traffic, uint64_t now_ms)
{
    return (model_worked_ms(traffic, now_ms) - process->born_worked_ms) * process->shape->cpu_permille / 1000;
}

void model_trim(struct model_process *process, const struct model_traffic *traffic, uint64_t now_ms)
{
    uint64_t worked_ms = model_worked_ms(traffic, now_ms);
    uint64_t bytes = fragmented(process, worked_ms, now_ms);
    uint64_t pinned = share(bytes, process->shape->pinned_permyriad, PERMYRIAD);
    process->pinned_bytes = min_u64(bytes, max_u64(process->pinned_bytes, pinned));
    process->trimmed_bytes = bytes - process->pinned_bytes;
    process->trimmed_ms = now_ms;
    process->fragment_from_ms = worked_ms;
}

void model_set_leak(struct model_process *process, const struct model_traffic *traffic, uint64_t rate, uint64_t now_ms)
{
    uint64_t worked_ms = model_worked_ms(traffic, now_ms);
    process->leaked_bytes = leaked(process, worked_ms);
    process->leak_from_ms = worked_ms;
    process->leak_rate = rate;
}

void model_spike(struct model_process *process, uint64_t bytes, uint64_t for_ms, uint64_t now_ms)
{
    process->spike_from_ms = now_ms;
    process->spike_until_ms = now_ms + for_ms;
    process->spike_bytes = bytes;
}
