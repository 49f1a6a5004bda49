/* The patterns of [watch] match and exclude and of [recycle] match. */
#ifndef TRIMTAB_PATTERN_H
#define TRIMTAB_PATTERN_H

#include <stdbool.h>

/* Whether one of the fnmatch(3) patterns, by comma, fits the command name or the command line. */
bool pattern_matches(const char *patterns, const char *name, const char *command);

#endif
