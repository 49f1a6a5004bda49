/*
 * Taking one value, whatever it was read from, and saying what is wrong with
 * it. Shared by the files of this folder only.
 */
#ifndef TRIMTAB_CONFIG_LOAD_H
#define TRIMTAB_CONFIG_LOAD_H

#include "config.h"

enum { CONFIG_SHOWN_MAX = 160 }; /* of a user's own bytes in a message */

/* Where a value stands, as a message begins: `x.ini:12: `, `TRIMTAB_TRIM_AT: `, `--set trim.at=1: `. */
struct config_place {
    enum config_source source;
    const char *option; /* SOURCE_COMMAND_LINE: "--set" or "--rewrite" */
    const char *name;   /* the file, the variable, or the option's argument */
    int line;           /* SOURCE_FILE: 1-based, 0 for the file as a whole */
};

/* Write load->error. Returns -1. */
__attribute__((format(printf, 3, 4))) int config_fail(struct config_load *load, const struct config_place *place,
                                                      const char *format, ...);

/* Set one key. Returns 0 or -1. */
int config_take(struct config_load *load, const struct config_place *place, const char *section, const char *name,
                const char *value);

/* No such section. Returns -1. */
int config_fail_section(struct config_load *load, const struct config_place *place, const char *section);

/* Bytes of unknown origin as printable ASCII: others as \xNN, what is too long cut with "...". */
void config_escape(const char *bytes, char *ret_text, size_t size);

/* Add an item to a list by comma. */
void config_append(char *text, size_t size, const char *item);

#endif
