/* trimtabctl replay: a recording under a policy. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/replay.h"
#include "ctl/run.h"
#include "ctl/trace_file.h"

enum { TITLE_MAX = 256 };

/* All of it; too large for the stack. */
struct work {
    struct run_options options;
    struct policy policy;
    struct trace_file file;
    struct trace_look look;
    struct replay replay;
    struct report report;
};

static void print_head(const struct work *work, FILE *out)
{
    char name[TITLE_MAX], policy[TITLE_MAX];
    format_clean(work->options.input, name, sizeof name);
    format_clean(policy_name(&work->policy), policy, sizeof policy);
    (void)fprintf(out,
                  "# A recording does not change: these are decisions as of a dry run, nothing follows from them, and "
                  "trims that took place in it are seen as drops only.\n"
                  "# recording %s, policy %s; times are UTC, then since the first look\n\n",
                  name, policy);
}

static void note(FILE *out, bool *any, uint64_t count, const char *text)
{
    if (count == 0)
        return;
    (void)fprintf(out, "%s%" PRIu64 " %s\n", *any ? "" : "\n# notes\n", count, text);
    *any = true;
}

static void print_notes(const struct work *work, FILE *out)
{
    const struct trace_file_counts *file = &work->file.counts;
    const struct replay_counts *replay = &work->replay.counts;
    const struct config *config = &work->policy.load.config;
    char longest[FORMAT_MAX], text[TITLE_MAX];
    bool any = false;

    note(out, &any, file->cut, "last line without newline, skipped: the recording was cut there");
    note(out, &any, file->blank, "empty lines, skipped");
    note(out, &any, replay->duplicates, "rows of a process that the same look had already, skipped");
    note(out, &any, file->crowded, "rows skipped: too many in one look");
    format_span(file->gap_longest_ms, longest);
    (void)snprintf(text, sizeof text, "gaps, the longest %s: they count for no time above a line", longest);
    note(out, &any, file->gaps, text);
    note(out, &any, file->clock_back, "looks whose time of day is before that of the look before: mono_ms counts");
    note(out, &any, file->clock_leap,
         "looks whose time of day is far ahead of mono_ms: the machine slept, or its clock was set");
    note(out, &any, replay->orphans, "processes whose parent is in no row: not the worker's own children");
    note(out, &any, replay->unwatched, "processes not watched: the policy core knows 4096 at a time");
    note(out, &any, replay->unmeasured,
         "measures of PSS and USS that the policy asked for and the recording does not have (record --exact): RSS "
         "was used");
    note(out, &any, replay->nameless,
         "processes whose command lines are not recorded (record --commands): patterns were held against their names");
    note(out, &any, config->container.pressure.full && config->container.pressure.window_ms > 0,
         "[container] pressure of the kind full, which is not recorded: it had no effect");
    note(out, &any, !fleet_has_work(&work->policy.fleet), "policy without a line: it decides nothing");
}

/* 0, or -1 after it was said why. */
static int read_all(struct work *work)
{
    int r;
    while ((r = trace_file_look(&work->file, &work->look)) == 1) {
        if (replay_look(&work->replay, &work->look) < 0)
            return command_fail("%s: %s", work->options.input, work->replay.error), -1;
        if (work->report.failed)
            return command_fail("out of memory"), -1;
    }
    if (r == 0 && work->file.counts.rows == 0)
        return command_fail("%s: has no rows", work->options.input), -1;
    if (r == 0 && !work->replay.had_worker)
        return command_fail("%s: has no worker: no row has that role", work->options.input), -1;
    return r == 0 ? 0 : (command_fail("%s", work->file.error), -1);
}

static int replay_file(void *user, FILE *gathered)
{
    struct work *work = user;
    char title[TITLE_MAX], subtitle[TITLE_MAX], name[TITLE_MAX / 2];

    print_head(work, gathered);
    replay_init(&work->replay, &work->policy, &work->report, work->options.seed);
    if (read_all(work) < 0)
        return COMMAND_FAILED;
    replay_end(&work->replay);
    report_print(&work->report, gathered);
    print_notes(work, gathered);
    format_clean(work->options.input, name, sizeof name);
    (void)snprintf(title, sizeof title, "%s", name);
    format_clean(policy_name(&work->policy), name, sizeof name);
    (void)snprintf(subtitle, sizeof subtitle,
                   "policy %s; what it would have decided: nothing in a recording follows from a decision", name);
    return run_finish(&work->report, gathered, &work->options, title, subtitle);
}

static int replay_with(struct work *work)
{
    int status = run_read_policy(&work->policy, &work->options);
    if (status != 0)
        return status;
    if (trace_file_open(&work->file, work->options.input) < 0)
        status = command_fail("%s", work->file.error);
    else
        status = run_report(&work->report, &work->options, replay_file, work);
    replay_close(&work->replay);
    trace_file_close(&work->file);
    return status;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct work *work = calloc(1, sizeof *work);
    if (work == NULL)
        return command_fail("out of memory");
    int status = run_parse(&work->options, command, argc, argv);
    if (status == 0)
        status = replay_with(work);
    free(work);
    return status;
}

const struct command command_replay = {
    .name = "replay",
    .summary = "say what a policy would have decided over a recording",
    .help = "usage: trimtabctl replay TRACE.csv --policy FILE|NAME [options]\n"
            "\n"
            "Feeds a recording of trimtabctl record to the code that decides in trimtab, and prints each decision\n"
            "with its time and reason, then for each process its peak, the time above each line and the verdict.\n"
            "TRACE.csv may be - for standard input.\n"
            "\n"
            "  --policy FILE|NAME      as for trimtab, also from TRIMTAB_POLICY, else /etc/trimtab.ini\n"
            "  --set SECTION.KEY=VALUE one setting; repeatable\n"
            "  --svg FILE              draw it too\n"
            "  --seed N                for the jitter of lines (1)\n"
            "\n"
            "A recording does not change: decisions are those of trimtab --dry-run, and nothing follows from them.\n",
    .run = run,
};
