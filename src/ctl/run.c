#include "run.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "config/units.h"

enum { OPTION_POLICY = 256, OPTION_SET, OPTION_SVG, OPTION_SEED, COPY_SIZE = 1 << 16 };

static int take_option(void *user, int found)
{
    struct run_options *options = user;
    switch (found) {
    case OPTION_POLICY:
        options->policy.name = optarg;
        return 0;
    case OPTION_SET:
        if (options->policy.set_count == POLICY_SETS_MAX)
            return command_fail("more than %d --set", POLICY_SETS_MAX);
        options->policy.set[options->policy.set_count++] = optarg;
        return 0;
    case OPTION_SVG:
        options->svg = optarg;
        return 0;
    case OPTION_SEED:
        options->seed_given = true;
        if (units_parse_count(optarg, &options->seed) < 0)
            return command_fail("--seed: not a whole number");
        return 0;
    default:
        return COMMAND_FAILED;
    }
}

int run_parse(struct run_options *options, const struct command *command, int argc, char **argv)
{
    static const struct option longs[] = { { "policy", required_argument, NULL, OPTION_POLICY },
                                           { "set", required_argument, NULL, OPTION_SET },
                                           { "svg", required_argument, NULL, OPTION_SVG },
                                           { "seed", required_argument, NULL, OPTION_SEED },
                                           { NULL, 0, NULL, 0 } };

    *options = (struct run_options){ .seed = 1 };
    int status = command_options(command, argc, argv, longs, take_option, options);
    if (status != 0)
        return status;
    if (argc - optind != 1)
        return command_fail("%s; see trimtabctl help %s", argc == optind ? "no file is named" : "more than one file",
                            command->name);
    options->input = argv[optind];
    return 0;
}

int run_read_policy(struct policy *policy, const struct run_options *options)
{
    if (policy_read(policy, &options->policy, environ) < 0)
        return command_fail("%s", policy->load.error);
    if (policy->load.warning[0] != '\0')
        (void)command_fail("warning: %s", policy->load.warning);
    return 0;
}

int run_report(struct report *report, const struct run_options *options, int (*make)(void *user, FILE *gathered),
               void *user)
{
    FILE *gathered = tmpfile();
    if (gathered == NULL)
        return command_fail("cannot make a temporary file: %s", strerror(errno));
    int status =
        report_open(report, gathered, options->svg != NULL) < 0 ? command_fail("out of memory") : make(user, gathered);
    report_close(report);
    (void)fclose(gathered);
    return status;
}

static int copy_out(FILE *gathered)
{
    char buffer[COPY_SIZE];
    size_t size;
    rewind(gathered);
    while ((size = fread(buffer, 1, sizeof buffer, gathered)) > 0) {
        if (fwrite(buffer, 1, size, stdout) != size)
            return -1;
    }
    return ferror(gathered) == 0 && fflush(stdout) == 0 ? 0 : -1;
}

int run_finish(struct report *report, FILE *gathered, const struct run_options *options, const char *title,
               const char *subtitle)
{
    if (report->failed)
        return command_fail("out of memory");
    if (fflush(gathered) != 0 || ferror(gathered) != 0)
        return command_fail("cannot write to a temporary file: %s", strerror(errno));
    if (options->svg != NULL) {
        int r = report_draw(report, options->svg, title, subtitle);
        if (r < 0)
            return command_fail("%s: %s", options->svg, r == -EEXIST ? "is there, and no regular file" : strerror(-r));
    }
    return copy_out(gathered) == 0 ? 0 : command_fail("cannot print: %s", strerror(errno));
}
