/*
 * trimtabctl: what a person runs beside trimtab. One table of commands; each
 * is a file of its own.
 */
#include <stdio.h>
#include <string.h>

#include "config/keys.h"
#include "ctl/command.h"
#include "ctl/format.h"

enum { SHOWN_MAX = 64 };

static const struct command *const commands[] = { &command_record, &command_replay, &command_simulate };

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static int print_overview(void)
{
    (void)printf("usage: trimtabctl COMMAND [options]\n\n");
    for (int i = 0; i < COMMANDS; i++)
        (void)printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    (void)printf("  %-10s %s\n\n", "help", "say how a command is used: trimtabctl help COMMAND");
    (void)printf(
        "  --help     this text\n  --version  the version\n\nExit status: 0, or 1 when it could not be done.\n");
    return fflush(stdout) == 0 ? 0 : COMMAND_FAILED;
}

static const struct command *find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static int fail_unknown(const char *name)
{
    char shown[SHOWN_MAX];
    const char *nearest = NULL;
    size_t best = KEYS_NOT_NEAR;
    for (int i = 0; i < COMMANDS; i++) {
        if (keys_near(name, commands[i]->name, &best))
            nearest = commands[i]->name;
    }
    format_clean(name, shown, sizeof shown);
    if (nearest != NULL)
        return command_fail("no command '%s'; did you mean '%s'?", shown, nearest);
    return command_fail("no command '%s'; see trimtabctl --help", shown);
}

static int print_help(const char *name)
{
    const struct command *command = find(name);
    if (command == NULL)
        return fail_unknown(name);
    (void)fputs(command->help, stdout);
    return fflush(stdout) == 0 ? 0 : COMMAND_FAILED;
}

int main(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : NULL;
    if (first == NULL) {
        (void)command_fail("no command; see trimtabctl --help");
        return COMMAND_FAILED;
    }
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || (strcmp(first, "help") == 0 && argc == 2))
        return print_overview();
    if (strcmp(first, "help") == 0)
        return print_help(argv[2]);
    if (strcmp(first, "--version") == 0) {
        (void)printf("trimtabctl version %s\n", TRIMTAB_VERSION);
        return fflush(stdout) == 0 ? 0 : COMMAND_FAILED;
    }
    const struct command *command = find(first);
    if (command == NULL)
        return fail_unknown(first);
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return print_help(first);
    }
    return command->run(command, argc - 1, argv + 1);
}
