/* The one table of a scenario's keys. Shared by scenario.c and scenario_keys.c only. */
#ifndef TRIMTAB_CTL_SCENARIO_KEYS_H
#define TRIMTAB_CTL_SCENARIO_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/scenario.h"

enum scenario_section {
    SECTION_NONE,
    SECTION_SCENARIO,
    SECTION_TRAFFIC,
    SECTION_WORKER, /* these two have the same keys */
    SECTION_MASTER,
    SECTION_EVENT,
    SECTIONS
};

enum scenario_kind {
    KIND_TEXT,
    KIND_SIZE,  /* 512M */
    KIND_RATE,  /* 4K/s, 10M/h: in 1/1000 bytes a second */
    KIND_TIME,  /* 1.5s */
    KIND_SHARE, /* 20%: in 1/10000 */
    KIND_CPU,   /* 20%: in 1/1000 of one CPU */
    KIND_COUNT,
    KIND_FLAG,   /* yes | no */
    KIND_WHAT,   /* a word of scenario_whats */
    KIND_VALUE,  /* as the event's `what` says: kept as text until that is known */
    KIND_NOTHING /* an event that takes no value */
};

struct scenario_key {
    const char *name;
    enum scenario_section section; /* SECTION_WORKER: of the master too */
    enum scenario_kind kind;
    size_t offset; /* in struct scenario, model_traffic, model_shape or scenario_event */
    uint64_t min, max;
};

extern const struct scenario_key scenario_keys[];
extern const unsigned scenario_keys_count;

/* What an event takes. */
struct scenario_what_word {
    const char *name;
    uint64_t max;
    enum scenario_kind value;
    bool takes_for;
    bool takes_process;
};

extern const struct scenario_what_word scenario_whats[SCENARIO_WHATS];

/* "scenario" ... ; "event" without its name. */
const char *scenario_section_name(enum scenario_section section);

/* Parse a value, between min and max. Returns NULL, or what it is instead. */
const char *scenario_value(enum scenario_kind kind, const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);

/* Put it where the key wants it. */
void scenario_store(const struct scenario_key *key, uint64_t value, void *section);

/* What a scenario says that says nothing. */
void scenario_defaults(struct scenario *scenario);

#endif
