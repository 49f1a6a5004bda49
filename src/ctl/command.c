#include "command.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>

#include "ctl/format.h"

enum { SHOWN_MAX = 64 };

int command_fail(const char *format, ...)
{
    va_list arguments;
    (void)fputs("trimtabctl: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    return COMMAND_FAILED;
}

/* Say which option is unknown or lacks its value. */
static int fail_option(const struct command *command, int argc, char **argv, int found)
{
    char shown[SHOWN_MAX], letter[] = { '-', (char)optopt, '\0' };
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    format_clean(word[0] == '-' && word[1] == '-' ? word : letter, shown, sizeof shown);
    if (found == ':')
        return command_fail("%s needs a value; see trimtabctl help %s", shown, command->name);
    return command_fail("unknown option %s; see trimtabctl help %s", shown, command->name);
}

int command_options(const struct command *command, int argc, char **argv, const struct option *options,
                    int (*take)(void *user, int found), void *user)
{
    int found;
    opterr = 0;
    while ((found = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (found == '?' || found == ':')
            return fail_option(command, argc, argv, found);
        int status = take(user, found);
        if (status != 0)
            return status;
    }
    return 0;
}
