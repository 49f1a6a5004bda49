/*
 * The trim: Python's collector if that is wanted, every allocator that is
 * there, and the report.
 */
#ifndef AGENT_TRIM_H
#define AGENT_TRIM_H

#include <stdbool.h>
#include <stdint.h>

struct trim_request {
    const char *where;
    const void *caller; /* of the wrapped call */
    int64_t begin_ns;
    int64_t delay_ns;
    bool in_handler; /* then no function is looked for, and nothing is collected */
};

/* Look for the allocators; not in a handler. Again and again, at little cost: only when objects were loaded. */
void trim_find(void);

/* With every signal blocked, by one thread at a time. */
void trim_run(const struct trim_request *request);

/* Start jemalloc's background thread again, which a fork has left behind. */
void trim_start_background(void);

#endif
