/*
 * What is preloaded into the worker, and the variables of its allocator: the
 * policy's [allocator] section applied to this program and this machine.
 */
#ifndef TRIMTAB_PRELOAD_H
#define TRIMTAB_PRELOAD_H

#include "setup.h"

/*
 * Into setup->plan, with what was found on the way. Needs the program, the
 * privileges and the fleet's configuration in setup. An agent may be left where
 * it is found: as a file in /run, or as a descriptor of ours.
 */
void preload_plan(struct setup *setup);

#endif
