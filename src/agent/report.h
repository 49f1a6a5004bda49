/*
 * The report of a trim: include/trimtab/agent.h.
 */
#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H

#include "trim.h"
#include "trimtab/agent.h"

/* From the constructor. address: of TRIMTAB_AGENT_REPORT_VARIABLE, or NULL. */
void report_start(const char *address);

void report_begin(struct trimtab_agent_report *report, const struct trim_request *request);

/* Take the time and the RSS again, and send; a report that finds no room is lost. */
void report_end(struct trimtab_agent_report *report, const struct trim_request *request);

#endif
