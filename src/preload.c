#include "preload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/agent_library.h"
#include "os/child.h"
#include "os/self.h"
#include "trimtab/agent.h"

#define WRITTEN_AGENT_DIRECTORY "/run"

static void add_number(struct allocator_plan *plan, const char *name, const struct config_optional *value)
{
    char text[24];
    if (!value->set)
        return;
    (void)snprintf(text, sizeof text, "%lld", (long long)value->value);
    allocator_plan_add(plan, name, text);
}

static void plan_variables(struct setup *setup)
{
    const struct config_allocator *config = &setup->load.config.allocator;
    struct allocator_plan *plan = &setup->plan;

    plan->override = config->override;
    if (config->arena_max.value > 0)
        add_number(plan, "MALLOC_ARENA_MAX", &config->arena_max);
    add_number(plan, "MALLOC_TRIM_THRESHOLD_", &config->trim_threshold);
    add_number(plan, "MALLOC_MMAP_THRESHOLD_", &config->mmap_threshold);
    add_number(plan, "MALLOC_TOP_PAD_", &config->top_pad);
    if (config->malloc_conf[0] != '\0')
        allocator_plan_add(plan, "MALLOC_CONF", config->malloc_conf);
    if (config->pythonmalloc[0] != '\0')
        allocator_plan_add(plan, "PYTHONMALLOC", config->pythonmalloc);
}

/* The file's name up to ".so", as it is also when links are followed. */
static void preload(struct setup *setup, const char *path, const char *file)
{
    char *stem = setup->library_stem[setup->plan.preloads];
    (void)snprintf(stem, sizeof setup->library_stem[0], "/%.*s", (int)strcspn(file, "."), file);
    allocator_plan_preload(&setup->plan, path);
}

static void plan_allocator(struct setup *setup)
{
    const char *name = setup->load.config.allocator.malloc;
    if (strcmp(name, "inherit") == 0)
        return;
    setup->library_problem = allocator_find(name, &setup->program, "", setup->library, sizeof setup->library);
    if (setup->library_problem == ALLOCATOR_FINE)
        preload(setup, setup->library, strrchr(setup->library, '/') + 1);
}

/* ---- the agent ---- */

/* Whether the worker can load the one at setup->agent. What is wrong with a file that is there is remembered. */
static bool agent_fits(struct setup *setup)
{
    struct program library;
    int r = program_inspect_library(setup->agent, &library);
    if (r == -ENOENT || r == -ENOTDIR)
        return false;
    setup->agent_problem = ALLOCATOR_UNPRELOADABLE;
    if (strpbrk(setup->agent, " \t\n:") != NULL) /* they part the words of LD_PRELOAD */
        return false;
    setup->agent_problem = ALLOCATOR_UNFIT;
    if (r < 0 || !program_accepts(&setup->program, &library))
        return false;
    setup->agent_problem = ALLOCATOR_SHUT;
    if (child_can_load(setup->agent, privileges_any(&setup->privileges) ? &setup->privileges : NULL) < 0)
        return false;
    setup->agent_problem = ALLOCATOR_FINE;
    return true;
}

static bool find_installed_agent(struct setup *setup)
{
    int r = 0;
    for (unsigned place = 0; r != -ENOENT; place++) {
        r = agent_library_place(place, "", setup->agent, sizeof setup->agent);
        if (r == 0 && agent_fits(setup))
            return true;
    }
    return false;
}

/* A file serves programs of every user; --check leaves none behind. */
static bool write_agent(struct setup *setup)
{
    if (setup->options.check || geteuid() != 0 ||
        agent_library_write(WRITTEN_AGENT_DIRECTORY, setup->agent, sizeof setup->agent) < 0)
        return false;
    if (agent_fits(setup))
        return true;
    (void)unlink(setup->agent);
    return false;
}

static bool remember_agent(struct setup *setup)
{
    if (agent_library_remember(&setup->agent_fd, setup->agent, sizeof setup->agent) < 0)
        return false;
    if (agent_fits(setup))
        return true;
    (void)close(setup->agent_fd);
    setup->agent_fd = -1;
    return false;
}

static void plan_agent(struct setup *setup)
{
    const struct program *program = &setup->program;
    if (program->libc == PROGRAM_LIBC_STATIC || program->set_id || program->sanitized) {
        setup->agent_problem = program->sanitized ? ALLOCATOR_SANITIZED
                               : program->set_id  ? ALLOCATOR_SET_ID
                                                  : ALLOCATOR_STATIC;
        return;
    }
    setup->agent_problem = ALLOCATOR_MISSING;
    if (!find_installed_agent(setup) && !write_agent(setup) && !remember_agent(setup))
        return;
    setup->agent_loaded = true;
    preload(setup, setup->agent, setup->agent_fd >= 0 ? "memfd:" AGENT_LIBRARY_FILE : AGENT_LIBRARY_FILE);
    if (setup->load.config.trim.collect)
        allocator_plan_always(&setup->plan, TRIMTAB_AGENT_COLLECT_VARIABLE, "1");
    if (!setup->fleet.expects_reports)
        return;
    (void)snprintf(setup->report_name, sizeof setup->report_name, "@trimtab-%llx", (unsigned long long)self_seed());
    allocator_plan_always(&setup->plan, TRIMTAB_AGENT_REPORT_VARIABLE, setup->report_name);
}

void preload_plan(struct setup *setup)
{
    setup->agent_fd = -1;
    if (!setup->load.any)
        return;
    plan_variables(setup);
    if (!setup->program_known)
        return;
    const char *user_preload = getenv("LD_PRELOAD");
    if (user_preload != NULL && program_is_sanitizer(user_preload))
        setup->program.sanitized = true;
    plan_allocator(setup);
    if (setup->agent_wanted)
        plan_agent(setup);
}
