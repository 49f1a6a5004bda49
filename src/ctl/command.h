/*
 * The commands of trimtabctl: one table in main.c, one row each.
 *
 * Exit status of all: 0, or 1 for bad usage, bad input and what the system
 * refused; the reason is on stderr, and then nothing was printed as a result.
 */
#ifndef TRIMTAB_CTL_COMMAND_H
#define TRIMTAB_CTL_COMMAND_H

struct option;

enum { COMMAND_FAILED = 1 };

struct command {
    const char *name;
    const char *summary;                                              /* one line */
    const char *help;                                                 /* usage and options, ends in a newline */
    int (*run)(const struct command *command, int argc, char **argv); /* argv[0]: its name. Returns an exit status */
};

extern const struct command command_record;
extern const struct command command_replay;
extern const struct command command_simulate;

/* `trimtabctl: TEXT` on stderr. Returns COMMAND_FAILED. */
__attribute__((format(printf, 1, 2))) int command_fail(const char *format, ...);

/*
 * Go through the options by getopt_long(3), which leaves optind at the first
 * word that is none; take gets what `options` has for each, its value is
 * optarg. Returns 0, or an exit status after it was said why, as take does.
 */
int command_options(const struct command *command, int argc, char **argv, const struct option *options,
                    int (*take)(void *user, int found), void *user);

#endif
