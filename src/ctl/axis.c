#include "axis.h"

#include <inttypes.h>
#include <stdio.h>

#define SECOND_MS UINT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

double axis_bytes_step(double max_bytes, int ticks)
{
    double step = 1;
    while (step * ticks < max_bytes)
        step *= 2;
    return step;
}

uint64_t axis_time_step_ms(uint64_t span_ms, int ticks)
{
    static const uint64_t steps[] = { SECOND_MS,      2 * SECOND_MS,  5 * SECOND_MS, 10 * SECOND_MS, 15 * SECOND_MS,
                                      30 * SECOND_MS, MINUTE_MS,      2 * MINUTE_MS, 5 * MINUTE_MS,  10 * MINUTE_MS,
                                      15 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS,       2 * HOUR_MS,    3 * HOUR_MS,
                                      6 * HOUR_MS,    12 * HOUR_MS,   DAY_MS };
    const size_t count = sizeof steps / sizeof steps[0];
    for (size_t i = 0; i < count; i++) {
        if (span_ms / steps[i] <= (uint64_t)ticks)
            return steps[i];
    }
    uint64_t step_ms = DAY_MS;
    while (span_ms / step_ms > (uint64_t)ticks)
        step_ms *= 2;
    return step_ms;
}

void axis_print_time(uint64_t ms, uint64_t step_ms, char *ret_text, size_t size)
{
    if (step_ms < MINUTE_MS)
        (void)snprintf(ret_text, size, "%" PRIu64 ":%02u", ms / MINUTE_MS, (unsigned)(ms % MINUTE_MS / SECOND_MS));
    else if (step_ms < DAY_MS)
        (void)snprintf(ret_text, size, "%" PRIu64 ":%02u", ms / HOUR_MS, (unsigned)(ms % HOUR_MS / MINUTE_MS));
    else
        (void)snprintf(ret_text, size, "%" PRIu64, ms / DAY_MS);
}

const char *axis_time_unit(uint64_t step_ms)
{
    return step_ms < MINUTE_MS ? "minutes:seconds" : step_ms < DAY_MS ? "hours:minutes" : "days";
}
