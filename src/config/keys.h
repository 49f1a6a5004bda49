/*
 * The one table of keys. Parser, checks, `--check`, the commented
 * conf/trimtab.ini and the names of the environment variables all read it.
 */
#ifndef TRIMTAB_CONFIG_KEYS_H
#define TRIMTAB_CONFIG_KEYS_H

#include "config.h"

enum key_kind {
    KEY_TEXT,
    KEY_FLAG, /* yes | no */
    KEY_COUNT,
    KEY_SIZE,    /* 512M; `auto` where auto_word is set */
    KEY_AMOUNT,  /* 512M, 80% or off */
    KEY_TIME,    /* 1.5s 10m; 0 */
    KEY_SHARE,   /* 5% */
    KEY_SIGNAL,  /* TERM, SIGTERM, 15, RTMIN+3; `none` where min is 0 */
    KEY_SIGNALS, /* TERM, INT */
    KEY_REWRITE, /* TERM:QUIT, HUP:0 */
    KEY_CHOICE,
    KEY_CAPABILITIES, /* inherit | none | net_bind_service, chown */
    KEY_OPTIONAL      /* a number that may be unset */
};

struct key {
    const char *section;
    const char *name;
    enum key_kind kind;
    size_t offset;        /* of the value in struct config */
    const char *fallback; /* the default, as a user would write it; "" for unset */
    uint64_t min, max;
    const char *const *choices; /* KEY_CHOICE: words in the order of their enum, NULL at the end */
    const char *help;           /* one sentence for the shipped file */
};

extern const struct key keys[];
extern const int keys_count;

/* Row of a key, or -1. */
int keys_find(const char *section, const char *name);

/* The nearest name to a mistyped one, or NULL when none is near. */
const char *keys_nearest(const char *section, const char *name);
const char *keys_nearest_section(const char *section);
bool keys_has_section(const char *section);

/* Parse a value into config. Returns NULL, or what is wrong with it ("not a size (512M, 1.5G)"). */
const char *keys_apply(const struct key *key, const char *value, struct config *config);

/* The value as a user would write it. */
void keys_print(const struct key *key, const struct config *config, char *ret_text, size_t size);

#endif
