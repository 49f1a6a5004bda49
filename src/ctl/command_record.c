/* trimtabctl record: watch a tree of processes and write it down. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/units.h"
#include "ctl/command.h"
#include "ctl/record.h"
#include "os/loop.h"

enum {
    OPTION_PID = 256,
    OPTION_INTERVAL,
    OPTION_DURATION,
    OPTION_OUTPUT,
    OPTION_EXACT,
    OPTION_COMMANDS,
    INTERVAL_MS = 1000,
    INTERVAL_MIN_MS = 10,
    MODE_NEW = 0666
};

struct record_options {
    pid_t pid; /* 0: PID 1 */
    uint64_t interval_ms;
    uint64_t duration_ms; /* 0: until it is told to stop */
    const char *output;   /* NULL: standard output */
    bool exact;
    bool commands;
};

/* ---- options ---- */

static int take_option(void *user, int found)
{
    struct record_options *options = user;
    uint64_t number = 0;
    switch (found) {
    case OPTION_PID:
        if (units_parse_count(optarg, &number) < 0 || number == 0 || number > INT_MAX)
            return command_fail("--pid: not a pid");
        options->pid = (pid_t)number;
        return 0;
    case OPTION_INTERVAL:
        if (units_parse_ms(optarg, &options->interval_ms) < 0 || options->interval_ms < INTERVAL_MIN_MS)
            return command_fail("--interval: not a time of at least 10ms (500ms, 1s)");
        return 0;
    case OPTION_DURATION:
        if (units_parse_ms(optarg, &options->duration_ms) < 0 || options->duration_ms == 0)
            return command_fail("--duration: not a time (90s, 1h)");
        return 0;
    case OPTION_OUTPUT:
        options->output = optarg;
        return 0;
    case OPTION_EXACT:
        options->exact = true;
        return 0;
    case OPTION_COMMANDS:
        options->commands = true;
        return 0;
    default:
        return COMMAND_FAILED;
    }
}

static int parse(struct record_options *options, const struct command *command, int argc, char **argv)
{
    static const struct option longs[] = { { "pid", required_argument, NULL, OPTION_PID },
                                           { "interval", required_argument, NULL, OPTION_INTERVAL },
                                           { "duration", required_argument, NULL, OPTION_DURATION },
                                           { "output", required_argument, NULL, OPTION_OUTPUT },
                                           { "exact", no_argument, NULL, OPTION_EXACT },
                                           { "commands", no_argument, NULL, OPTION_COMMANDS },
                                           { NULL, 0, NULL, 0 } };

    *options = (struct record_options){ .interval_ms = INTERVAL_MS };
    int status = command_options(command, argc, argv, longs, take_option, options);
    if (status != 0)
        return status;
    return optind == argc ? 0 : command_fail("'%s' is no option; see trimtabctl help record", argv[optind]);
}

/* ---- the file ---- */

/* A recording is not written over another. Returns a descriptor or -errno. */
static int open_output(const char *path)
{
    struct stat status;
    if (path == NULL)
        return STDOUT_FILENO;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, MODE_NEW);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        (void)close(fd);
        return -EEXIST;
    }
    return fd;
}

/* ---- the looks ---- */

/* By the clock that does not jump: looks stay on multiples of the interval. True: told to stop. */
static bool wait_until(const sigset_t *signals, uint64_t due_ms)
{
    for (;;) {
        uint64_t now_ms = loop_now_ms();
        uint64_t rest_ms = due_ms > now_ms ? due_ms - now_ms : 0;
        struct timespec rest = { .tv_sec = (time_t)(rest_ms / 1000), .tv_nsec = (long)(rest_ms % 1000) * 1000000 };
        if (sigtimedwait(signals, NULL, &rest) > 0)
            return true;
        if (errno == EAGAIN && loop_now_ms() >= due_ms)
            return false;
    }
}

static int tell_end(const struct record *record, const char *why)
{
    (void)fprintf(stderr, "trimtabctl: %" PRIu64 " looks, %" PRIu64 " rows: %s\n", record->looks, record->rows, why);
    if (record->unread > 0)
        (void)fprintf(stderr, "trimtabctl: %" PRIu64 " rows are missing: those processes could not be read\n",
                      record->unread);
    if (record->cut)
        (void)fprintf(stderr, "trimtabctl: rows are missing: more than %d processes at a time\n", PROCESS_LIST_MAX);
    return 0;
}

static int fail_look(const struct record_options *options, const struct record *record, int error)
{
    return command_fail("%s: %s; %" PRIu64 " looks are whole",
                        options->output != NULL ? options->output : "standard output", strerror(error),
                        record->looks > 0 ? record->looks - 1 : 0);
}

static int look_on(const struct record_options *options, struct record *record, const sigset_t *signals)
{
    uint64_t begin_ms = loop_now_ms();
    for (;;) {
        int r = record_look(record);
        if (r == -ESRCH)
            return record->looks > 0 ? tell_end(record, "the process has ended") : command_fail("no such process");
        if (r < 0)
            return fail_look(options, record, -r);
        uint64_t gone_ms = loop_now_ms() - begin_ms;
        uint64_t due_ms = (gone_ms / options->interval_ms + 1) * options->interval_ms;
        if (options->duration_ms > 0 && due_ms > options->duration_ms)
            return tell_end(record, "the duration is over");
        if (wait_until(signals, begin_ms + due_ms))
            return tell_end(record, "told to stop");
    }
}

static void prepare(sigset_t *ret_signals)
{
    struct rlimit limit;
    (void)sigemptyset(ret_signals);
    (void)sigaddset(ret_signals, SIGINT);
    (void)sigaddset(ret_signals, SIGTERM);
    (void)sigaddset(ret_signals, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, ret_signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);              /* a reader that has gone is an error of write */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) { /* two descriptors a process */
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int record_into(const struct record_options *options, struct record *record, int fd)
{
    sigset_t signals;
    prepare(&signals);
    int r = record_open(record, options->pid, fd);
    record->exact = options->exact;
    record->commands = options->commands;
    int status;
    if (r == -ESRCH)
        status = command_fail("no process %d", options->pid > 0 ? options->pid : 1);
    else if (r < 0)
        status = command_fail("cannot begin: %s", strerror(-r));
    else {
        if (!record->same_cgroup)
            (void)fprintf(stderr, "trimtabctl: the process is in another cgroup: used, limit, oom_kill and "
                                  "pressure_us stay empty; run this inside its container\n");
        status = look_on(options, record, &signals);
    }
    record_close(record);
    return status;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct record_options options;
    int status = parse(&options, command, argc, argv);
    if (status != 0)
        return status;
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL)
        return command_fail("out of memory");
    int fd = open_output(options.output);
    if (fd == -EEXIST)
        status = command_fail("%s: is there already; give another name, or remove it", options.output);
    else if (fd < 0)
        status = command_fail("%s: %s", options.output, strerror(-fd));
    else
        status = record_into(&options, record, fd);
    if (fd > STDOUT_FILENO && close(fd) < 0 && status == 0)
        status = command_fail("%s: %s", options.output, strerror(errno));
    free(record);
    return status;
}

const struct command command_record = {
    .name = "record",
    .summary = "write down the memory of a tree of processes, for replay",
    .help =
        "usage: trimtabctl record [options]\n"
        "\n"
        "Looks at a process and its descendants, and writes one row of CSV for each of them and each look. If it\n"
        "is an init (trimtab, tini, dumb-init, catatonit), its oldest child is the worker and the init is left out;\n"
        "else it is the worker itself. Ends with the process, after --duration, or at INT, TERM or HUP, with whole "
        "lines.\n"
        "\n"
        "  --pid N          the process (1)\n"
        "  --interval TIME  between two looks (1s)\n"
        "  --duration TIME  how long (until it is told to stop)\n"
        "  --output FILE    a new file (standard output)\n"
        "  --exact          PSS and USS too, at 1 % of one CPU at most\n"
        "  --commands       command lines too, for policies with patterns; they may hold secrets\n",
    .run = run,
};
