/* Where an axis has its ticks, and what is written at them. Pure. */
#ifndef TRIMTAB_CTL_AXIS_H
#define TRIMTAB_CTL_AXIS_H

#include <stddef.h>
#include <stdint.h>

/* The step between ticks: a power of two, at most `ticks` of which reach up to max_bytes. */
double axis_bytes_step(double max_bytes, int ticks);

/* The step between ticks: 1, 2, 5, 10, 15, 30 s or min, 1, 2, 3, 6, 12 h, days. */
uint64_t axis_time_step_ms(uint64_t span_ms, int ticks);

/* How a tick of that step is written: `1:30`; and what that counts: `minutes:seconds`. */
void axis_print_time(uint64_t ms, uint64_t step_ms, char *ret_text, size_t size);
const char *axis_time_unit(uint64_t step_ms);

#endif
