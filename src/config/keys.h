/*
 * The one table of keys, whose rows are in keys_table.inc. Parser, checks,
 * `--check`, the commented conf/trimtab.ini and the names of the environment
 * variables all read it.
 */
#ifndef TRIMTAB_CONFIG_KEYS_H
#define TRIMTAB_CONFIG_KEYS_H

#include "config.h"

enum key_kind {
    KEY_TEXT,
    KEY_FLAG, /* yes | no */
    KEY_COUNT,
    KEY_SIZE,    /* 512M; 0 is written `auto` */
    KEY_AMOUNT,  /* 512M, 80% or off */
    KEY_TIME,    /* 1.5s 10m; 0 */
    KEY_SHARE,   /* 5% */
    KEY_SIGNAL,  /* TERM, SIGTERM, 15, RTMIN+3; `none` where min is below 1, `agent` where it is below 0 */
    KEY_SIGNALS, /* TERM, INT */
    KEY_REWRITE, /* TERM:QUIT, HUP:0; none */
    KEY_CHOICE,
    KEY_PRESSURE,     /* some 200ms/2s | full 100ms/2s | off */
    KEY_CAPABILITIES, /* inherit | none | net_bind_service, chown */
    KEY_OPTIONAL,     /* a number that may be unset */
    KEY_OPTIONAL_SIZE /* a size that may be unset */
};

#define KEYS_NOT_NEAR SIZE_MAX

struct key {
    const char *section;
    const char *name;
    const char *fallback;       /* the default, as a user would write it; "" for unset */
    const char *const *choices; /* KEY_CHOICE: words in the order of their enum, NULL at the end */
    int64_t min, max;           /* in the unit the field is stored in */
    enum key_kind kind;
    uint16_t offset; /* of the value in struct config */
};

extern const struct key keys[];
extern const int keys_count;

/* Row of a key, or -1. */
int keys_find(const char *section, const char *name);

/* First row of a section other than this one that has a key of this name, or -1. */
int keys_find_elsewhere(const char *section, const char *name);

/*
 * Whether `typed` looks like a slip for `name`, and a smaller one than
 * *best_distance, which is then lowered. Start with KEYS_NOT_NEAR.
 */
bool keys_near(const char *typed, const char *name, size_t *best_distance);

/* The nearest name to a mistyped one, or NULL when none is near. */
const char *keys_nearest(const char *section, const char *name);
const char *keys_nearest_section(const char *section);
bool keys_has_section(const char *section);

/*
 * Parse a value into config. Returns NULL, or what it is instead ("not a size
 * (512M, 1.5G)"); that text lasts until the next call, and config is unchanged.
 */
const char *keys_apply(const struct key *key, const char *value, struct config *config);

/* The value as a user would write it. */
void keys_print(const struct key *key, const struct config *config, char *ret_text, size_t size);

#endif
