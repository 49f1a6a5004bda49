/*
 * Prints conf/trimtab.ini from the table of keys. A program of its own, so
 * that PID 1 does not carry the texts.
 */
#include <stdio.h>
#include <string.h>

#include "keys.h"

/* One sentence a key, in the order of the table. */
#define KEY(section, field, kind, fallback, min, max, choices, help)          help,
#define KEY_AS(section, name, field, kind, fallback, min, max, choices, help) help,
static const char *const help[] = {
#include "keys_table.inc"
};

static const char head[] =
    "# The settings of trimtab, each commented out with its default. Take the '#' away to change one.\n"
    "# A key of which nothing stands after '=' is unset.\n"
    "#\n"
    "# Sizes are written 512M or 1.5G (powers of 1024), times 200ms, 1.5s, 10m or 2h, shares 80% (of the\n"
    "# limit), signals TERM, RTMIN+3 or 15, lists with commas. A comment has a line of its own; values are\n"
    "# not quoted. Each key can also be set as TRIMTAB_<SECTION>_<KEY> in the environment and by\n"
    "# --set section.key=value; the command line wins over the environment, which wins over this file.\n"
    "#\n"
    "# Printed by trimtab-conf from the table in src/config/keys_table.inc; change it there.\n";

static void print_choices(const char *const *choices)
{
    for (int i = 0; choices[i]; i++)
        (void)printf("%s%s", i == 0 ? "# " : " | ", choices[i]);
    (void)printf("\n");
}

int main(void)
{
    const char *section = "";

    (void)fputs(head, stdout);
    for (int i = 0; i < keys_count; i++) {
        const struct key *key = &keys[i];
        if (strcmp(section, key->section) != 0)
            (void)printf("\n[%s]\n", key->section);
        section = key->section;
        (void)printf("\n# %s\n", help[i]);
        if (key->choices)
            print_choices(key->choices);
        (void)printf("#%s =%s%s\n", key->name, *key->fallback ? " " : "", key->fallback);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
