/*
 * The commands of trimtabctl: one table in main.c, one row each.
 *
 * Exit status of all: 0, or 1 for bad usage, bad input and what the system
 * refused; the reason is on stderr, and then nothing was printed as a result.
 */
#ifndef TRIMTAB_CTL_COMMAND_H
#define TRIMTAB_CTL_COMMAND_H

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

/* For getopt_long(3) with opterr 0: say which option is unknown or lacks its value. Returns COMMAND_FAILED. */
int command_fail_option(const struct command *command, int argc, char **argv, int found);

#endif
