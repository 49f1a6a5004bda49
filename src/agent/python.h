/*
 * Python's garbage collector, by the interpreter's own interface (3.9 to 3.13).
 */
#ifndef AGENT_PYTHON_H
#define AGENT_PYTHON_H

#include <stdbool.h>
#include <stdint.h>

/* From the constructor: whether to collect at all. */
void python_start(bool collect);

void python_find(void);

/*
 * 1 if the collector was run. Only by a thread that the interpreter knows and
 * that does not hold its lock: such a thread has let go of it in order to wait.
 */
uint32_t python_collect(void);

#endif
