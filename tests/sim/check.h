/*
 * The promises of the policy core, held against what it does, step by step.
 * The check keeps its own books, from the decisions and from what really
 * befalls the processes; it looks into the core only for deadlines and for
 * each process's jitter.
 */
#ifndef TRIMTAB_SIM_CHECK_H
#define TRIMTAB_SIM_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/pod.h"

/* Each is named and worded in check.c. */
enum rule {
    RULE_GRACE,
    RULE_STOP_GRACE,
    RULE_AT_ONCE,
    RULE_CAPACITY,
    RULE_BACKOFF,
    RULE_DEADLINE,
    RULE_LOOK_PAST,
    RULE_LOOK_FAR,
    RULE_LOOK_ENDS,
    RULE_TRIM_RATE,
    RULE_TRIM_PART,
    RULE_SAMPLES,
    RULE_TRIM_FIRST,
    RULE_PROTECTED,
    RULE_FLAT,
    RULE_DRY_RUN,
    RULE_PROGRESS,
    RULE_REPLACED,
    RULE_SENSE,
    RULES
};

enum { CHECK_EVENTS = 50, CHECK_TEXT_MAX = 400, CHECK_SETTLE_MS = 600000, CHECK_ACTIONS = FLEET_HELPLESS + 1 };

/* What the check knows of the process in a place. Times by the policy's clock. */
struct check_process {
    int32_t pid;
    uint64_t born_ms;
    uint64_t asked_ms; /* to end, by the policy; 0: not */
    uint64_t killed_ms;
    uint64_t trim_ms; /* last asked to trim; 0: never */
    uint64_t refused_ms;
    uint64_t crossed_ms; /* at or above its line since; 0: below */
    uint32_t over;       /* looks in a row that found it so */
    bool trimmed_since;  /* asked to trim since it crossed */
    bool lately;         /* or so short a time before that another was not due */
    bool known;          /* to the policy */
    bool unwanted;       /* ended because the pool was made smaller */
    bool deaf;
    bool refused;
};

struct check_event {
    uint64_t at_ms;
    uint64_t clock_ms;
    uint64_t step;
    uint64_t bytes;
    uint64_t line;
    int32_t pid;
    uint8_t kind; /* enum pod_step */
    uint8_t action;
    uint8_t reason;
    uint8_t state;
};

struct check {
    uint64_t steps; /* before this pod, and then on */
    uint64_t tested[RULES];
    uint64_t actions[CHECK_ACTIONS]; /* decisions taken */
    struct check_process process[POD_PLACES];
    struct check_event event[CHECK_EVENTS];
    uint64_t events;
    FILE *verbose; /* NULL: quiet */

    uint32_t outstanding; /* recycles whose replacement was not seen */
    bool worker_outstanding;
    uint32_t our_vacancies; /* places that stand empty because of a recycle */
    uint32_t our_credits;   /* processes that came in advance of such a place: the pool grew meanwhile */
    uint32_t container_over;
    uint32_t look_ends;
    uint64_t told_to_stop_ms;
    uint64_t earliest_start_ms; /* of the worker */
    uint64_t start_delay_ms;
    uint64_t worker_up_ms;
    uint64_t moved_ms; /* when something last happened that may hold a recycle up */
    bool blurred; /* who replaces whom: the pool was resized, the clock leapt, or one ended that was not yet known */
    bool worker_asked;
    bool fair;              /* nothing befalls the pod that the policy has no power over: it must get on */
    bool flat;              /* nothing in it grows for good */
    uint64_t flat_after_ms; /* after the last start, true time */
    uint64_t started_ms;
    uint64_t progress_ms; /* bound */

    int violated; /* enum rule, or -1 */
    char text[CHECK_TEXT_MAX];
};

/* What it remembers of the pod before is forgotten; steps, tested, actions and verbose stay. */
void check_begin(struct check *check, const struct pod_spec *spec);

/* As a pod_observer's step; user: a struct check. */
void check_step(void *user, const struct pod *pod, enum pod_step step, uint16_t place,
                const struct fleet_decision *decision);

const char *check_rule_name(enum rule rule);
const char *check_rule_text(enum rule rule);

const char *check_action_name(enum fleet_action action);

/* Of enum fleet_state. */
const char *check_state_name(unsigned state);

void check_note_event(struct check *check, const struct pod *pod, enum pod_step step, uint16_t place,
                      const struct fleet_decision *decision);

/* The last events, oldest first. */
void check_print_events(const struct check *check, FILE *out);

#endif
