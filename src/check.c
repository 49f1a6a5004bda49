#include "check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/keys.h"
#include "config/units.h"
#include "container.h"
#include "trimtab/exit.h"

static void print_origin(const struct setup *setup, const struct key *key, const struct config_origin *origin)
{
    switch (origin->source) {
    case SOURCE_DEFAULT:
        (void)dprintf(STDOUT_FILENO, "default");
        break;
    case SOURCE_FILE:
        (void)dprintf(STDOUT_FILENO, "%s:%d", setup->load.file, origin->line);
        break;
    case SOURCE_ENVIRONMENT:
        (void)dprintf(STDOUT_FILENO, "environment");
        break;
    case SOURCE_COMMAND_LINE:
        (void)dprintf(STDOUT_FILENO, strcmp(key->name, "rewrite") == 0 ? "command line" : "--set");
        break;
    }
}

static void print_keys(const struct setup *setup)
{
    const char *section = "";
    for (int i = 0; i < keys_count; i++) {
        char value[2 * CONFIG_TEXT_MAX];
        if (strcmp(section, keys[i].section) != 0) {
            section = keys[i].section;
            (void)dprintf(STDOUT_FILENO, "%s[%s]\n", i > 0 ? "\n" : "", section);
        }
        keys_print(&keys[i], &setup->load.config, value, sizeof value);
        (void)dprintf(STDOUT_FILENO, "%s = %-*s ; ", keys[i].name, (int)(30 - strlen(keys[i].name)), value);
        print_origin(setup, &keys[i], &setup->load.origin[i]);
        (void)dprintf(STDOUT_FILENO, "\n");
    }
}

static void print_threshold(const char *name, const struct fleet_threshold *threshold, uint64_t limit_bytes)
{
    char text[32];
    if (threshold->share_permyriad == 0)
        return;
    units_print_bytes(fleet_threshold_bytes(threshold, limit_bytes) >> 20 << 20, text, sizeof text);
    (void)dprintf(STDOUT_FILENO, "; %s: %s under this limit\n", name, text);
}

static void print_pressure(const struct setup *setup)
{
    struct pressure pressure;
    char stall[32], window[32];
    if (setup->load.config.container.pressure.window_ms == 0)
        return;
    int r = container_open_pressure(setup, &pressure);
    if (r < 0) {
        (void)dprintf(STDOUT_FILENO, "; pressure: not to be seen here: %s\n", strerror(-r));
        return;
    }
    units_print_ms(pressure.trigger.stall_us / 1000, stall, sizeof stall);
    units_print_ms(pressure.trigger.window_us / 1000, window, sizeof window);
    (void)dprintf(STDOUT_FILENO, "; pressure: %s, by %s, %s %s/%s\n", pressure.path, container_pressure_way(&pressure),
                  pressure.trigger.full ? "full" : "some", stall, window);
    pressure_close(&pressure);
}

static void print_lines(const struct setup *setup)
{
    const struct fleet_config *fleet = &setup->fleet;
    print_threshold("trim at", &fleet->trim_at, setup->limit_bytes);
    print_threshold("recycle at", &fleet->recycle_at, setup->limit_bytes);
    if (fleet->can_trim)
        print_threshold("container trim at", &fleet->container_trim_at, setup->limit_bytes);
    print_threshold("container recycle at", &fleet->container_recycle_at, setup->limit_bytes);
    print_pressure(setup);
    if (setup->watches && !fleet->can_trim)
        (void)dprintf(STDOUT_FILENO, "; no process is asked to trim\n");
}

static void print_program(const struct setup *setup)
{
    if (setup->options.program == NULL || !setup->load.any)
        return;
    if (!setup->program_known)
        (void)dprintf(STDOUT_FILENO, "; program: '%s': %s\n", setup->options.program[0],
                      strerror(-setup->program_error));
    else
        (void)dprintf(STDOUT_FILENO, "; program: %s, %s, %d bit\n", setup->program.path,
                      program_libc_name(setup->program.libc), setup->program.elf_class == 2 ? 64 : 32);
    if (setup->library_problem != ALLOCATOR_FINE)
        (void)dprintf(STDOUT_FILENO, "; allocator: %s %s\n", allocator_problem_text(setup->library_problem),
                      setup->library);
    else if (setup->library[0] != '\0')
        (void)dprintf(STDOUT_FILENO, "; allocator: %s\n", setup->library);
    if (setup->agent_problem != ALLOCATOR_FINE)
        (void)dprintf(STDOUT_FILENO, "; agent: %s\n", allocator_problem_text(setup->agent_problem));
    else if (setup->agent_loaded)
        (void)dprintf(STDOUT_FILENO, "; agent: %s\n", setup->agent_fd < 0 ? setup->agent : "the one inside trimtab");
    if (setup->environment.set[0] != '\0')
        (void)dprintf(STDOUT_FILENO, "; environment set: %s\n", setup->environment.set);
    if (setup->environment.kept[0] != '\0')
        (void)dprintf(STDOUT_FILENO, "; environment kept: %s\n", setup->environment.kept);
}

static void print_machine(const struct setup *setup)
{
    char limit[32];
    char capabilities[1024];
    units_print_bytes(setup->limit_bytes >> 20 << 20, limit, sizeof limit);
    (void)dprintf(STDOUT_FILENO, "; limit: %s, ", limit);
    if (setup->load.config.watch.limit_bytes > 0)
        (void)dprintf(STDOUT_FILENO, "set by [watch] limit\n");
    else if (setup->cgroup.count > 0)
        (void)dprintf(STDOUT_FILENO, "cgroup v%d, %s\n", setup->cgroup.version, setup->cgroup.path);
    else
        (void)dprintf(STDOUT_FILENO, "the machine's memory: no cgroup limit found\n");
    print_lines(setup);
    print_program(setup);
    privileges_print(setup->kept_capabilities, capabilities, sizeof capabilities);
    (void)dprintf(STDOUT_FILENO, "; capabilities that trimtab keeps: %s\n", capabilities);
    (void)dprintf(STDOUT_FILENO, "; memory is %s; the worker %s be started again\n",
                  setup->watches ? "watched" : "not watched", setup->may_restart ? "may" : "will not");
}

int check_print(const struct setup *setup)
{
    (void)dprintf(STDOUT_FILENO, "; policy: %s\n",
                  setup->load.file != NULL ? setup->load.file
                  : setup->load.any        ? "environment and command line"
                                           : "none, a plain init");
    print_keys(setup);
    (void)dprintf(STDOUT_FILENO, "\n; found on this machine\n");
    print_machine(setup);
    bool missing = setup->options.program != NULL && setup->load.any && !setup->program_known;
    return missing ? TRIMTAB_EXIT_USAGE : 0;
}
