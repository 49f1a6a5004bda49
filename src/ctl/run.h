/* What replay and simulate have in common: their options, and how a result comes out as a whole or not at all. */
#ifndef TRIMTAB_CTL_RUN_H
#define TRIMTAB_CTL_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/policy.h"
#include "ctl/report.h"

struct run_options {
    const char *input; /* the one word that is no option */
    const char *svg;   /* NULL: none */
    struct policy_options policy;
    uint64_t seed;
    bool seed_given;
};

/* 0, or an exit status after it was said why. */
int run_parse(struct run_options *options, const struct command *command, int argc, char **argv);

/* Read the policy that the options name. 0, or an exit status after it was said why. */
int run_read_policy(struct policy *policy, const struct run_options *options);

/*
 * Make a report. What make prints is gathered in a file first; it ends with
 * run_finish. Returns an exit status, make's if it came to that.
 */
int run_report(struct report *report, const struct run_options *options, int (*make)(void *user, FILE *gathered),
               void *user);

/*
 * Draw if that is wanted, then print what was gathered. Returns an exit
 * status; if it is not 0, nothing was printed and no plot is there.
 */
int run_finish(struct report *report, FILE *gathered, const struct run_options *options, const char *title,
               const char *subtitle);

#endif
