#include "ctl/scenario_keys.h"

#include <stdio.h>
#include <string.h>

#include "config/units.h"

#define MOST_BYTES (UINT64_C(1) << 50)
#define MOST_RATE  (UINT64_C(1000) << 40)
#define MOST_MS    (UINT64_C(3660) * MODEL_DAY_MS)

#define SCENARIO(key, kind, field, min, max)                                                                           \
    {                                                                                                                  \
        key, SECTION_SCENARIO, kind, offsetof(struct scenario, field), min, max                                        \
    }
#define TRAFFIC(key, kind, field, min, max)                                                                            \
    {                                                                                                                  \
        key, SECTION_TRAFFIC, kind, offsetof(struct model_traffic, field), min, max                                    \
    }
#define SHAPE(key, kind, field, min, max)                                                                              \
    {                                                                                                                  \
        key, SECTION_WORKER, kind, offsetof(struct model_shape, field), min, max                                       \
    }
#define EVENT(key, kind, field, min, max)                                                                              \
    {                                                                                                                  \
        key, SECTION_EVENT, kind, offsetof(struct scenario_event, field), min, max                                     \
    }

const struct scenario_key scenario_keys[] = {
    SCENARIO("title", KIND_TEXT, title, 0, SCENARIO_TITLE_MAX - 1),
    SCENARIO("duration", KIND_TIME, duration_ms, 1, MOST_MS),
    SCENARIO("start", KIND_TIME, start_ms, 0, MODEL_DAY_MS),
    SCENARIO("limit", KIND_SIZE, limit_bytes, 1 << 20, MOST_BYTES),
    SCENARIO("other", KIND_SIZE, other_bytes, 0, MOST_BYTES),
    SCENARIO("workers", KIND_COUNT, workers, 0, SCENARIO_WORKERS_MAX),
    SCENARIO("seed", KIND_COUNT, seed, 0, UINT64_MAX),

    TRAFFIC("busy", KIND_TIME, busy_ms, 1, MOST_MS),
    TRAFFIC("quiet", KIND_TIME, quiet_ms, 1, MOST_MS),
    TRAFFIC("swing", KIND_SHARE, swing_permyriad, 0, 10000),
    TRAFFIC("peak", KIND_TIME, peak_ms, 0, MODEL_DAY_MS),

    SHAPE("base", KIND_SIZE, base_bytes, 0, MOST_BYTES),
    SHAPE("shared", KIND_SIZE, shared_bytes, 0, MOST_BYTES),
    SHAPE("unshare", KIND_TIME, unshare_ms, 0, MOST_MS),
    SHAPE("boot", KIND_TIME, boot_ms, 0, MOST_MS),
    SHAPE("leak", KIND_RATE, leak_rate, 0, MOST_RATE),
    SHAPE("cache", KIND_SIZE, cache_bytes, 0, MOST_BYTES),
    SHAPE("cache_time", KIND_TIME, cache_ms, 1, MOST_MS),
    SHAPE("fragment", KIND_RATE, fragment_rate, 0, MOST_RATE),
    SHAPE("fragment_max", KIND_SIZE, fragment_bytes, 1, MOST_BYTES),
    SHAPE("pinned", KIND_SHARE, pinned_permyriad, 0, 10000),
    SHAPE("regrow", KIND_TIME, regrow_ms, 0, MOST_MS),
    SHAPE("spike", KIND_SIZE, spike_bytes, 0, MOST_BYTES),
    SHAPE("spike_every", KIND_TIME, spike_every_ms, 100, MOST_MS),
    SHAPE("spike_time", KIND_TIME, spike_ms, 1, MOST_MS),
    SHAPE("cpu", KIND_CPU, cpu_permille, 0, 1000),
    SHAPE("drain", KIND_TIME, drain_ms, 0, MOST_MS),
    SHAPE("replace", KIND_TIME, replace_ms, 0, MOST_MS),
    SHAPE("outlive_kill", KIND_TIME, kill_ms, 0, MOST_MS),
    SHAPE("handles_trim", KIND_FLAG, handles_trim, 0, 1),
    SHAPE("handles_recycle", KIND_FLAG, handles_recycle, 0, 1),
    SHAPE("ignores_recycle", KIND_FLAG, ignores_recycle, 0, 1),
    SHAPE("agent", KIND_FLAG, agent, 0, 1),
    SHAPE("opaque", KIND_FLAG, opaque, 0, 1),

    EVENT("at", KIND_TIME, at_ms, 0, MOST_MS),
    EVENT("every", KIND_TIME, every_ms, 1, MOST_MS),
    EVENT("what", KIND_WHAT, what, 0, 0),
    EVENT("for", KIND_TIME, for_ms, 1, MOST_MS),
    EVENT("value", KIND_VALUE, value, 0, 0),
    EVENT("process", KIND_COUNT, process, 0, SCENARIO_WORKERS_MAX),
};
const unsigned scenario_keys_count = sizeof scenario_keys / sizeof scenario_keys[0];

const struct scenario_what_word scenario_whats[SCENARIO_WHATS] = {
    [SCENARIO_LIMIT] = { "limit", MOST_BYTES, KIND_SIZE, false, false },
    [SCENARIO_WORKERS] = { "workers", SCENARIO_WORKERS_MAX, KIND_COUNT, false, false },
    [SCENARIO_OTHER] = { "other", MOST_BYTES, KIND_SIZE, false, false },
    [SCENARIO_PRESSURE] = { "pressure", 0, KIND_NOTHING, false, false },
    [SCENARIO_SPIKE] = { "spike", MOST_BYTES, KIND_SIZE, true, true },
    [SCENARIO_LEAK] = { "leak", MOST_RATE, KIND_RATE, false, false },
    [SCENARIO_CRASH] = { "crash", 0, KIND_NOTHING, false, true },
    [SCENARIO_STOP] = { "stop", 0, KIND_NOTHING, false, true },
    [SCENARIO_CONTINUE] = { "continue", 0, KIND_NOTHING, false, true },
    [SCENARIO_NO_START] = { "no_start", 0, KIND_NOTHING, true, false },
    [SCENARIO_NO_FORK] = { "no_fork", 0, KIND_NOTHING, true, false },
    [SCENARIO_NO_SAMPLES] = { "no_samples", 0, KIND_NOTHING, true, false },
    [SCENARIO_WILD] = { "wild", UINT64_MAX - 1, KIND_SIZE, false, true },
    [SCENARIO_CLOCK_STOPS] = { "clock_stops", 0, KIND_NOTHING, true, false },
    [SCENARIO_CLOCK_LEAPS] = { "clock_leaps", 0, KIND_NOTHING, true, false },
    [SCENARIO_SHUTDOWN] = { "shutdown", 0, KIND_NOTHING, false, false },
};

const char *scenario_section_name(enum scenario_section section)
{
    static const char *const names[SECTIONS] = {
        [SECTION_NONE] = "",         [SECTION_SCENARIO] = "scenario", [SECTION_TRAFFIC] = "traffic",
        [SECTION_WORKER] = "worker", [SECTION_MASTER] = "master",     [SECTION_EVENT] = "event"
    };
    return names[section];
}

/* ---- values ---- */

/* "4K/s" "10M/h": a size, and the time in which it comes. */
static int parse_rate(const char *text, uint64_t *ret_rate)
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = { { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
    char size[64];
    uint64_t bytes = 0;
    const char *slash = strchr(text, '/');
    if (slash == NULL)
        return strcmp(text, "0") == 0 ? (*ret_rate = 0, 0) : -1;
    if ((size_t)(slash - text) >= sizeof size)
        return -1;
    memcpy(size, text, (size_t)(slash - text));
    size[slash - text] = '\0';
    if (units_parse_bytes(size, &bytes) != 0 || bytes > MOST_BYTES)
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(slash + 1, units[i].name) == 0) {
            *ret_rate = bytes * 1000 / units[i].seconds;
            return 0;
        }
    }
    return -1;
}

static const char *parse_flag(const char *text, uint64_t *ret_value)
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return "neither yes nor no";
    *ret_value = strcmp(text, "yes") == 0;
    return NULL;
}

static const char *parse(enum scenario_kind kind, const char *text, uint64_t *ret_value)
{
    uint32_t permyriad = 0;
    switch (kind) {
    case KIND_SIZE:
        return units_parse_bytes(text, ret_value) == 0 ? NULL : "not a size (512M, 1.5G)";
    case KIND_RATE:
        return parse_rate(text, ret_value) == 0 ? NULL : "not a size in a time (4K/s, 10M/h)";
    case KIND_TIME:
        return units_parse_ms(text, ret_value) == 0 ? NULL : "not a time (200ms, 1.5s, 10m)";
    case KIND_SHARE:
    case KIND_CPU:
        if (units_parse_permyriad(text, &permyriad) != 0)
            return "not a share (20%)";
        *ret_value = kind == KIND_CPU ? permyriad / 10 : permyriad;
        return NULL;
    case KIND_COUNT:
        return units_parse_count(text, ret_value) == 0 ? NULL : "not a number";
    case KIND_FLAG:
        return parse_flag(text, ret_value);
    case KIND_TEXT:
    case KIND_WHAT:
    case KIND_VALUE:
    case KIND_NOTHING:
        break;
    }
    return "nothing that has a value";
}

const char *scenario_value(enum scenario_kind kind, const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *wrong = parse(kind, text, &value);
    if (wrong != NULL)
        return wrong;
    if (value < min)
        return "too small";
    if (value > max)
        return "too large";
    *ret_value = value;
    return NULL;
}

/* The kinds whose fields are not 64 bits wide. */
void scenario_store(const struct scenario_key *key, uint64_t value, void *section)
{
    char *field = (char *)section + key->offset;
    bool is_seed = key->offset == offsetof(struct scenario, seed) && key->section == SECTION_SCENARIO;
    uint32_t narrow = (uint32_t)value;
    bool flag = value != 0;
    if (key->kind == KIND_FLAG)
        memcpy(field, &flag, sizeof flag);
    else if (key->kind == KIND_SHARE || key->kind == KIND_CPU || (key->kind == KIND_COUNT && !is_seed))
        memcpy(field, &narrow, sizeof narrow);
    else
        memcpy(field, &value, sizeof value);
}

void scenario_defaults(struct scenario *scenario)
{
    const struct model_shape shape = { .base_bytes = UINT64_C(50) << 20,
                                       .boot_ms = 1000,
                                       .cache_ms = 600000,
                                       .spike_ms = 5000,
                                       .cpu_permille = 100,
                                       .drain_ms = 100,
                                       .replace_ms = 100,
                                       .handles_trim = true,
                                       .agent = true,
                                       .handles_recycle = true };
    *scenario = (struct scenario){ .duration_ms = 3600000, .seed = 1, .worker = shape, .master = shape };
    scenario->master.drain_ms = 1000;
    scenario->traffic.peak_ms = 14 * UINT64_C(3600000);
}
