#include "setup.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/units.h"
#include "os/account.h"
#include "preload.h"
#include "rules.h"

__attribute__((format(printf, 2, 3))) static int refuse(struct setup *setup, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(setup->error, sizeof setup->error, format, arguments);
    va_end(arguments);
    return -1;
}

static int read_config(struct setup *setup, char **environment)
{
    const struct options *options = &setup->options;
    struct config_load *load = &setup->load;

    config_defaults(load);
    if (config_read_policy(load, options->policy) < 0 || config_read_environment(load, environment) < 0)
        return -1;
    for (int i = 0; i < options->set_count; i++) {
        if (config_set(load, options->set[i]) < 0)
            return -1;
    }
    for (int i = 0; i < options->rewrite_count; i++) {
        if (config_rewrite(load, options->rewrite[i]) < 0)
            return -1;
    }
    return config_check(load);
}

int setup_read(struct setup *setup, char **environment)
{
    return read_config(setup, environment) < 0 ? refuse(setup, "%s", setup->load.error) : 0;
}

enum log_level setup_log_level(const struct setup *setup)
{
    if (setup->options.verbosity_given || !setup->load.any) {
        int verbosity = setup->options.verbosity;
        return verbosity < LOG_ERROR ? LOG_ERROR : verbosity > LOG_DEBUG ? LOG_DEBUG : (enum log_level)verbosity;
    }
    return (enum log_level)setup->load.config.log.level;
}

const char *setup_target_name(const struct setup *setup)
{
    static const char *const names[] = {
        [TARGET_AUTO] = "auto", [TARGET_WORKER] = "worker", [TARGET_CHILDREN] = "children", [TARGET_TREE] = "tree"
    };
    return names[setup->target];
}

static void translate_policy(struct setup *setup)
{
    const struct config *config = &setup->load.config;

    setup->target = rules_target(config);
    setup->life = rules_life(config);
    setup->fleet = rules_fleet(config);
    setup->fleet.dry_run = setup->options.dry_run;
    setup->fleet.can_trim = setup->fleet.can_trim && setup->load.memory;
    bool by_agent = setup->fleet.can_trim && setup->fleet.expects_reports;
    setup->agent_wanted = config->allocator.agent == CONFIG_AGENT_YES || by_agent;
}

static void inspect_program(struct setup *setup)
{
    if (!setup->load.any || setup->options.program == NULL)
        return;
    const char *path = getenv("PATH");
    setup->program_error = program_inspect(setup->options.program[0], path, &setup->program);
    if (setup->program_error == -ENOEXEC) /* a script without #!: the shell will run it */
        setup->program_error = program_inspect("/bin/sh", path, &setup->program);
    setup->program_known = setup->program_error == 0;
}

/* What follows from the policy and from what was found. */
static void conclude(struct setup *setup)
{
    if (setup->fleet.expects_reports && setup->program_known)
        setup->fleet.can_trim = setup->fleet.can_trim && setup->agent_loaded;
    setup->watches = fleet_has_work(&setup->fleet);
    bool recycles_worker = fleet_recycles(&setup->fleet) && !setup->options.dry_run &&
                           (setup->target != TARGET_CHILDREN || setup->fleet.method == FLEET_METHOD_RESPAWN);
    setup->may_restart = life_may_restart(&setup->life, recycles_worker);
}

static int find_limit(struct setup *setup)
{
    setup->limit_bytes = setup->load.config.watch.limit_bytes;
    if (setup->limit_bytes > 0 || (!setup->watches && !setup->options.check))
        return 0;
    int r = cgroup_open(&setup->cgroup, "");
    if (r == 0)
        r = cgroup_limit(&setup->cgroup, &setup->limit_bytes);
    return r < 0 ? refuse(setup, "cannot find the memory limit: %s; set [watch] limit", strerror(-r)) : 0;
}

static int prepare_environment(struct setup *setup, char **environment)
{
    int r = allocator_environment_build(environment, &setup->plan, (long)getpid(), &setup->environment);
    return r < 0 ? refuse(setup, "cannot make the worker's environment: %s", strerror(-r)) : 0;
}

static int prepare_privileges(struct setup *setup)
{
    const struct config_worker *worker = &setup->load.config.worker;
    struct privileges *privileges = &setup->privileges;

    if (worker->user[0] != '\0' || worker->group[0] != '\0') {
        const char *what = "";
        int r = account_resolve(worker->user, worker->group, privileges, &what);
        if (r == -ENOENT)
            return refuse(setup, "[worker] user, group: '%s' is not in /etc/passwd or /etc/group", what);
        if (r == -EINVAL)
            return refuse(setup, "[worker] user: '%s' is a number that /etc/passwd does not know; set group too", what);
        if (r < 0)
            return refuse(setup, "[worker] user, group: '%s': %s", what, strerror(-r));
    }
    privileges->set_capabilities = worker->capabilities.set;
    privileges->mask = worker->capabilities.mask;
    privileges->no_new_privs = worker->no_new_privs;
    if (!privileges_any(privileges))
        return 0;
    int r = privileges_prepare(privileges);
    return r < 0 ? refuse(setup, "cannot prepare the worker's privileges: %s", strerror(-r)) : 0;
}

static uint64_t capability(unsigned number)
{
    return UINT64_C(1) << number;
}

/* What PID 1 can still need once the worker runs. */
static void choose_kept_capabilities(struct setup *setup)
{
    uint64_t held = setup->held_capabilities = privileges_held();
    uint64_t needed = capability(CAP_KILL);
    if (setup->watches || setup->plan.preloads > 0) {
        /* To look into a worker one needs this, or all that the worker has (ptrace(2)). */
        bool same_user = !setup->privileges.set_ids && !setup->privileges.set_capabilities;
        needed |= (held & capability(CAP_SYS_PTRACE)) == 0 && same_user ? held : capability(CAP_SYS_PTRACE);
    }
    if (setup->may_restart) {
        needed |= capability(CAP_SETUID) | capability(CAP_SETGID) | capability(CAP_SETPCAP) |
                  capability(CAP_SYS_RESOURCE) | setup->privileges.mask;
        if (geteuid() != 0 && !setup->privileges.set_ids) /* the next worker's ambient set comes from ours */
            needed = held;
    }
    setup->kept_capabilities = held & needed;
}

int setup_prepare(struct setup *setup, char **environment)
{
    translate_policy(setup);
    if (prepare_privileges(setup) < 0)
        return -1;
    inspect_program(setup);
    preload_plan(setup);
    conclude(setup);
    if (find_limit(setup) < 0)
        return -1;
    if (setup->watches && rules_check(&setup->fleet, setup->limit_bytes, setup->error, sizeof setup->error) < 0)
        return -1;
    if (prepare_environment(setup, environment) < 0)
        return -1;
    choose_kept_capabilities(setup);
    return 0;
}
