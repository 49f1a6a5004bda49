/*
 * trimtab: PID 1 of a container. The composition root: what was asked for is
 * read and checked, then the worker is started; from there on the supervisor
 * has it.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "config/options.h"
#include "os/descriptors.h"
#include "os/log.h"
#include "os/self.h"
#include "os/signals.h"
#include "setup.h"
#include "supervisor.h"
#include "trimtab/exit.h"

/* Side by side: the few pages that a plain init touches are the same for both. */
static struct {
    struct setup setup;
    struct supervisor supervisor;
} trimtab;

static int refuse(const char *why, int status)
{
    log_fatal(why);
    return status;
}

static int print_and_leave(const struct options *options)
{
    static char text[8192];
    if (options->help)
        options_help(text, sizeof text);
    else if (options->version)
        (void)snprintf(text, sizeof text, "trimtab version %s\n", TRIMTAB_VERSION);
    return dprintf(STDOUT_FILENO, "%s", options->license ? options_license : text) < 0 ? TRIMTAB_EXIT_SYSTEM : 0;
}

/* Before anything else: no signal may end us or get lost, no descriptor of ours may be a standard one. */
static int take_over(void)
{
    int r = signals_take(&trimtab.setup.inherited);
    return r < 0 ? r : descriptors_reserve_standard();
}

int main(int argc, char **argv)
{
    struct options *options = &trimtab.setup.options;
    int parent = getppid();
    int r = take_over();

    if (r < 0)
        return refuse(strerror(-r), TRIMTAB_EXIT_SYSTEM);
    if (options_parse(options, argc, argv) < 0)
        return refuse(options->error, TRIMTAB_EXIT_USAGE);
    if (options->help || options->version || options->license)
        return print_and_leave(options);
    if (options->death_signal != 0 && self_die_with_parent(options->death_signal, parent) < 0)
        return refuse("cannot ask for a signal at the parent's end", TRIMTAB_EXIT_SYSTEM);
    if (setup_read(&trimtab.setup, environ) < 0)
        return refuse(trimtab.setup.error, TRIMTAB_EXIT_USAGE);
    log_open(setup_log_level(&trimtab.setup),
             trimtab.setup.load.config.log.format == CONFIG_FORMAT_JSON ? LOG_JSON : LOG_TEXT);
    if (trimtab.setup.load.warning[0] != '\0')
        log_event(LOG_WARNING, "warning", log_text("what", trimtab.setup.load.warning));
    if (setup_prepare(&trimtab.setup, environ) < 0)
        return refuse(trimtab.setup.error, TRIMTAB_EXIT_USAGE);
    if (options->check)
        return check_print(&trimtab.setup);
    if (supervisor_start(&trimtab.supervisor, &trimtab.setup) == 0)
        supervisor_run(&trimtab.supervisor);
    return supervisor_exit_status(&trimtab.supervisor);
}
