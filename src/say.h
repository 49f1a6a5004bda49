/*
 * A decision of the fleet as the log line that belongs to it, the same from
 * PID 1 and from trimtabctl. A decision that asks for an act is said by
 * whoever did it, once it is done; FLEET_MEASURE is not said.
 */
#ifndef TRIMTAB_SAY_H
#define TRIMTAB_SAY_H

#include <stdbool.h>
#include <sys/types.h>

#include "policy/fleet.h"
#include "trimtab/agent.h"

/* dry_run: nothing is done, and the line says so. */
void say_decision(const struct fleet_decision *decision, bool dry_run);

/* FLEET_TRIMMED; report: the agent's of this trim, NULL: there is none. */
void say_trimmed(const struct fleet_decision *decision, const struct trimtab_agent_report *report);

/* A warning that holds on is said once: whether this is the first time. Clear *said when the thing worked meanwhile. */
bool say_once(bool *said);

/* error: errno, 0: there is none. */
void say_warning(const char *what, pid_t pid, int error);

#endif
