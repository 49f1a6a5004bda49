/*
 * The command line: tini's flags with long names for all, and trimtab's own.
 * One table gives parser and help.
 */
#ifndef TRIMTAB_CONFIG_OPTIONS_H
#define TRIMTAB_CONFIG_OPTIONS_H

#include "config.h"

enum { OPTIONS_SETS_MAX = 64 };

struct options {
    char **program;                        /* program and its arguments, NULL at the end; NULL: none (--check) */
    const char *policy;                    /* --policy, else TRIMTAB_POLICY, else NULL */
    const char *set[OPTIONS_SETS_MAX];     /* --set, in order */
    const char *rewrite[OPTIONS_SETS_MAX]; /* --rewrite, in order */
    int set_count;
    int rewrite_count;
    int death_signal;     /* -p; 0: none */
    int verbosity;        /* -v adds to 1, TINI_VERBOSITY replaces; 0 errors, 1 warnings, 2 info, 3 debug */
    bool verbosity_given; /* by either; else the policy's [log] level counts */
    bool subreaper;       /* -s, TINI_SUBREAPER */
    bool warn_on_reap;    /* -w */
    bool kill_group;      /* -g, TINI_KILL_PROCESS_GROUP */
    bool check;
    bool dry_run;
    bool help, version, license;
    uint8_t remap[256]; /* -e: 1 where this exit status becomes 0 */
    char error[CONFIG_ERROR_MAX];
};

/*
 * Returns 0, or -1 with options->error set. argv is not changed; parsing stops
 * at the first word that is not an option. TINI_* of the environment are read
 * after the flags, as tini does.
 */
int options_parse(struct options *options, int argc, char **argv);

/* For -h, --version and -l; all end with a newline. */
void options_help(char *ret_text, size_t size);
extern const char options_license[];

#endif
