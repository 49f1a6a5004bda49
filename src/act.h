/*
 * What the fleet decides, carried out: signals to processes and log lines; and
 * what their agents report, told to the fleet.
 */
#ifndef TRIMTAB_ACT_H
#define TRIMTAB_ACT_H

#include <stdint.h>

#include "watch.h"

void act(struct watch *watch, const struct fleet_decision *decision);

/* Take the reports that are there. */
void act_on_reports(struct watch *watch, uint64_t now_ms);

#endif
