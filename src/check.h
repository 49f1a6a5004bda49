/*
 * --check: what would be done, and what was found on this machine.
 */
#ifndef TRIMTAB_CHECK_H
#define TRIMTAB_CHECK_H

#include "setup.h"

/* Print to stdout. Returns the exit status: 0, or 1 when the worker could not be started as asked. */
int check_print(const struct setup *setup);

#endif
