/*
 * A scenario: a container, how the processes in it behave, and what befalls
 * them, as a text that anyone can write. examples/scenarios holds one for each
 * case, with every key explained.
 */
#ifndef TRIMTAB_CTL_SCENARIO_H
#define TRIMTAB_CTL_SCENARIO_H

#include <stddef.h>
#include <stdint.h>

#include "ctl/model.h"

enum {
    SCENARIO_EVENTS_MAX = 256,
    SCENARIO_NAME_MAX = 64, /* of an event, with its NUL */
    SCENARIO_TITLE_MAX = 200,
    SCENARIO_WORKERS_MAX = 64,
    SCENARIO_SIZE_MAX = 64 << 10, /* of the file */
    SCENARIO_ERROR_MAX = 512
};

enum scenario_what {
    SCENARIO_LIMIT,       /* value: the container's limit is this from now on */
    SCENARIO_WORKERS,     /* value: the pool is this large from now on */
    SCENARIO_OTHER,       /* value: memory of the container that is in no process */
    SCENARIO_PRESSURE,    /* the kernel reports memory pressure */
    SCENARIO_SPIKE,       /* value, for, process: one request takes so much */
    SCENARIO_LEAK,        /* value: the processes leak so fast from now on */
    SCENARIO_CRASH,       /* process: it ends by itself, with an error */
    SCENARIO_STOP,        /* process: it is stopped (SIGSTOP) */
    SCENARIO_CONTINUE,    /* process: and goes on */
    SCENARIO_NO_START,    /* for: the worker cannot be started */
    SCENARIO_NO_FORK,     /* for: the pool gets no new process */
    SCENARIO_NO_SAMPLES,  /* for: memory cannot be read */
    SCENARIO_WILD,        /* value, process: its next sample says this */
    SCENARIO_CLOCK_STOPS, /* for: the clock that the policy sees stands still */
    SCENARIO_CLOCK_LEAPS, /* for: it is so far ahead at once, as after a suspend */
    SCENARIO_SHUTDOWN,    /* the container is told to stop */
    SCENARIO_WHATS
};

struct scenario_event {
    char name[SCENARIO_NAME_MAX];
    enum scenario_what what;
    uint64_t at_ms;
    uint64_t every_ms; /* again and again so long after; 0: once */
    uint64_t for_ms;
    uint64_t value;   /* bytes, 1/1000 bytes a second, or a count: see above */
    uint32_t process; /* 0: the worker; n: the nth of its pool */
    int line;         /* of its section, in the file */
};

struct scenario {
    char title[SCENARIO_TITLE_MAX];
    uint64_t duration_ms;
    uint64_t start_ms; /* time of the day at which it begins */
    uint64_t limit_bytes;
    uint64_t other_bytes;
    uint64_t seed;
    uint32_t workers; /* processes of the pool; 0: the worker is alone and does the work itself */
    struct model_traffic traffic;
    struct model_shape worker;                        /* a process of the pool, or the worker that is alone */
    struct model_shape master;                        /* the worker of a pool */
    struct scenario_event event[SCENARIO_EVENTS_MAX]; /* in the order of the file */
    uint32_t events;
};

/*
 * Parse a scenario; file names it in errors. text needs no NUL at its end.
 * Returns 0, or -1 with one finished sentence in ret_error, of the form
 * `x.ini:12: [worker] leek: unknown key; did you mean 'leak'?`, and
 * *ret_scenario as it was.
 */
int scenario_parse(struct scenario *ret_scenario, const char *file, const char *text, size_t size,
                   char ret_error[SCENARIO_ERROR_MAX]);

/* The same of a file. */
int scenario_read(struct scenario *ret_scenario, const char *file, char ret_error[SCENARIO_ERROR_MAX]);

#endif
