/*
 * The command line. Owns the spelling of every option: the table below is
 * parser and help at once.
 *
 * The walk over argv is ours and not getopt_long(3)'s: that takes shortened
 * long names, keeps its place in globals, and tells glibc and musl callers
 * different things about which word was wrong. What is kept of getopt is what
 * tini's users rely on: bundled letters, `-pTERM` and `-p TERM`, `--`, and as
 * with "+" the first word that is not an option ends them.
 */
#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "load.h"
#include "units.h"

const char options_license[] =
#include "license.inc"
    ;

enum option_id {
    OPTION_SUBREAPER,
    OPTION_DEATH_SIGNAL,
    OPTION_VERBOSE,
    OPTION_WARN_ON_REAP,
    OPTION_KILL_GROUP,
    OPTION_REMAP,
    OPTION_POLICY,
    OPTION_SET,
    OPTION_REWRITE,
    OPTION_CHECK,
    OPTION_DRY_RUN,
    OPTION_LICENSE,
    OPTION_HELP,
    OPTION_VERSION
};

struct option_row {
    enum option_id id;
    char letter;          /* 0: none */
    const char *name;     /* without the "--" */
    const char *argument; /* NULL: takes none */
    const char *help;
};

static const struct option_row rows[] = {
    { OPTION_SUBREAPER, 's', "subreaper", NULL, "adopt orphans when not PID 1 (also TINI_SUBREAPER)" },
    { OPTION_DEATH_SIGNAL, 'p', "death-signal", "SIGNAL", "be sent SIGNAL when the parent dies" },
    { OPTION_VERBOSE, 'v', "verbose", NULL, "say more; repeat for more still (also TINI_VERBOSITY=0..3)" },
    { OPTION_WARN_ON_REAP, 'w', "warn-on-reap", NULL, "say when an orphan is reaped" },
    { OPTION_KILL_GROUP, 'g', "kill-process-group", NULL,
      "pass signals to the program's group (also TINI_KILL_PROCESS_GROUP)" },
    { OPTION_REMAP, 'e', "remap-exit", "CODE", "exit 0 where the program exits CODE (0 to 255; repeatable)" },
    { OPTION_POLICY, 0, "policy", "FILE|NAME", "how memory is kept flat: a file, or a shipped policy" },
    { OPTION_SET, 0, "set", "SECTION.KEY=VALUE", "one setting of the policy (repeatable)" },
    { OPTION_REWRITE, 0, "rewrite", "FROM:TO", "pass signal FROM on as TO, 0 drops it (repeatable)" },
    { OPTION_CHECK, 0, "check", NULL, "say what would be done, and exit" },
    { OPTION_DRY_RUN, 0, "dry-run", NULL, "decide and log, never act on a process" },
    { OPTION_LICENSE, 'l', "license", NULL, "show the license" },
    { OPTION_HELP, 'h', "help", NULL, "show this" },
    { OPTION_VERSION, 0, "version", NULL, "show the version" },
};
enum { ROWS = sizeof rows / sizeof rows[0] };

enum { EXIT_CODE_MAX = 255, VERBOSITY_DEFAULT = 1, VERBOSITY_MAX = 3 };

static const char usage[] = "usage: trimtab [options] [--] program [args]";

__attribute__((format(printf, 2, 3))) static int fail(struct options *options, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(options->error, sizeof options->error, format, arguments);
    va_end(arguments);
    return -1;
}

/* word: the option as it was typed, or the part of it that is wrong; begins with '-'. */
static int fail_unknown(struct options *options, const char *word)
{
    char shown[CONFIG_SHOWN_MAX];
    size_t best = KEYS_NOT_NEAR;
    const char *nearest = NULL;

    config_escape(word, shown, sizeof shown);
    for (int i = 0; word[1] == '-' && i < ROWS; i++) {
        if (keys_near(word + 2, rows[i].name, &best))
            nearest = rows[i].name;
    }
    if (nearest)
        return fail(options, "unknown option '%s'; did you mean '--%s'?", shown, nearest);
    return fail(options, "unknown option '%s'; %s, or --help", shown, usage);
}

static int add(struct options *options, const char **list, int *count, const char *name, const char *argument)
{
    if (*count == OPTIONS_SETS_MAX)
        return fail(options, "--%s is given more than %d times", name, OPTIONS_SETS_MAX);
    list[(*count)++] = argument;
    return 0;
}

static int take_remap(struct options *options, const char *argument)
{
    char shown[CONFIG_SHOWN_MAX];
    uint64_t code = 0;

    if (units_parse_count(argument, &code) != 0 || code > EXIT_CODE_MAX) {
        config_escape(argument, shown, sizeof shown);
        return fail(options, "-e: '%s' is not an exit code (0 to %d)", shown, EXIT_CODE_MAX);
    }
    options->remap[code] = 1;
    return 0;
}

static int take_death_signal(struct options *options, const char *argument)
{
    char shown[CONFIG_SHOWN_MAX];

    if (units_parse_signal(argument, &options->death_signal) == 0)
        return 0;
    config_escape(argument, shown, sizeof shown);
    return fail(options, "-p: '%s' is not a signal (TERM, SIGTERM, RTMIN+3, 15)", shown);
}

/* argument: NULL for an option that takes none. */
static int take(struct options *options, const struct option_row *row, const char *argument)
{
    switch (row->id) {
    case OPTION_SUBREAPER:
        options->subreaper = true;
        return 0;
    case OPTION_DEATH_SIGNAL:
        return take_death_signal(options, argument);
    case OPTION_VERBOSE:
        options->verbosity += options->verbosity < VERBOSITY_MAX ? 1 : 0;
        options->verbosity_given = true;
        return 0;
    case OPTION_WARN_ON_REAP:
        options->warn_on_reap = true;
        return 0;
    case OPTION_KILL_GROUP:
        options->kill_group = true;
        return 0;
    case OPTION_REMAP:
        return take_remap(options, argument);
    case OPTION_POLICY:
        options->policy = argument;
        return 0;
    case OPTION_SET:
        return add(options, options->set, &options->set_count, row->name, argument);
    case OPTION_REWRITE:
        return add(options, options->rewrite, &options->rewrite_count, row->name, argument);
    case OPTION_CHECK:
        options->check = true;
        return 0;
    case OPTION_DRY_RUN:
        options->dry_run = true;
        return 0;
    case OPTION_LICENSE:
        options->license = true;
        return 0;
    case OPTION_HELP:
        options->help = true;
        return 0;
    case OPTION_VERSION:
        options->version = true;
        return 0;
    }
    return -1;
}

/* What is shown wins over all that follows, right or wrong, as with tini. */
static bool shows_and_exits(const struct options *options)
{
    return options->help || options->version || options->license;
}

/* `--name`, `--name=argument` or `--name argument`. *index moves to the last word used. */
static int parse_long(struct options *options, char **argv, int *index)
{
    const char *word = argv[*index];
    const char *name = word + 2;
    const size_t length = strcspn(name, "=");
    const char *argument = name[length] == '=' ? name + length + 1 : NULL;

    for (int i = 0; i < ROWS; i++) {
        if (strncmp(rows[i].name, name, length) != 0 || rows[i].name[length] != '\0')
            continue;
        if (!rows[i].argument && argument)
            return fail(options, "--%s takes no argument; %s", rows[i].name, usage);
        if (rows[i].argument && !argument) {
            argument = argv[*index + 1];
            if (!argument)
                return fail(options, "--%s needs an argument: %s", rows[i].name, rows[i].argument);
            (*index)++;
        }
        return take(options, &rows[i], argument);
    }
    return fail_unknown(options, word);
}

static const struct option_row *find_letter(char letter)
{
    for (int i = 0; i < ROWS; i++) {
        if (rows[i].letter != 0 && rows[i].letter == letter)
            return &rows[i];
    }
    return NULL;
}

/* `-s`, several as in `-sgv`, the last with an argument as in `-pTERM` or `-p TERM`. */
static int parse_letters(struct options *options, char **argv, int *index)
{
    for (const char *p = argv[*index] + 1; *p != '\0' && !shows_and_exits(options); p++) {
        const struct option_row *row = find_letter(*p);
        const char *argument = NULL;
        if (!row)
            return fail_unknown(options, (const char[]){ '-', *p, '\0' });
        if (row->argument) {
            argument = p[1] != '\0' ? p + 1 : argv[++*index];
            if (!argument)
                return fail(options, "-%c needs an argument: %s", row->letter, row->argument);
        }
        if (take(options, row, argument) != 0)
            return -1;
        if (argument)
            break;
    }
    return 0;
}

/* As atoi(3), which tini uses: 0 for what is no number. */
static int parse_verbosity(const char *text)
{
    int level = 0;

    for (; *text >= '0' && *text <= '9' && level <= VERBOSITY_MAX; text++)
        level = level * 10 + (*text - '0');
    return level <= VERBOSITY_MAX ? level : VERBOSITY_MAX;
}

/* After the flags, so that the variables win over them, as with tini. */
static void read_environment(struct options *options)
{
    const char *verbosity = secure_getenv("TINI_VERBOSITY");
    const char *policy = secure_getenv("TRIMTAB_POLICY");

    if (verbosity) {
        options->verbosity = parse_verbosity(verbosity);
        options->verbosity_given = true;
    }
    if (secure_getenv("TINI_SUBREAPER"))
        options->subreaper = true;
    if (secure_getenv("TINI_KILL_PROCESS_GROUP"))
        options->kill_group = true;
    if (!options->policy && policy && *policy != '\0')
        options->policy = policy;
}

int options_parse(struct options *options, int argc, char **argv)
{
    int i = 1;

    memset(options, 0, sizeof *options);
    options->verbosity = VERBOSITY_DEFAULT;
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        const bool is_long = argv[i][1] == '-';
        if ((is_long ? parse_long(options, argv, &i) : parse_letters(options, argv, &i)) != 0)
            return -1;
        if (shows_and_exits(options))
            return 0;
    }
    read_environment(options);
    options->program = i < argc ? argv + i : NULL;
    if (!options->program && !options->check)
        return fail(options, "no program is given; %s", usage);
    return 0;
}

void options_help(char *ret_text, size_t size)
{
    char left[48];
    size_t used =
        (size_t)snprintf(ret_text, size,
                         "%s\n\n"
                         "Runs program as PID 1 of a container should: passes signals on, reaps orphans, exits\n"
                         "as it does, and with a policy keeps the memory of its processes flat.\n\n",
                         usage);

    for (int i = 0; i < ROWS && used < size; i++) {
        const struct option_row *row = &rows[i];
        char letter[] = "-?,";
        if (row->letter)
            letter[1] = row->letter;
        else
            memset(letter, ' ', sizeof letter - 1);
        (void)snprintf(left, sizeof left, "%s --%s%s%s", letter, row->name, row->argument ? " " : "",
                       row->argument ? row->argument : "");
        used += (size_t)snprintf(ret_text + used, size - used, "  %-28s %s\n", left, row->help);
    }
    if (used < size)
        (void)snprintf(ret_text + used, size - used,
                       "\nEvery setting of a policy can also be given as TRIMTAB_<SECTION>_<KEY>, the policy as\n"
                       "TRIMTAB_POLICY. Settings: conf/trimtab.ini in the documentation.\n");
}
