#include "policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules.h"

/*
 * PID 1 takes a word without '/' for a name, because it may start in any
 * directory. Here a person is in one, and p.ini is the file that is there.
 */
static const char *file_here(const char *name, char *buffer, size_t size)
{
    size_t length = name != NULL ? strlen(name) : 0;
    bool is_ini = length > 4 && strcmp(name + length - 4, ".ini") == 0 && strchr(name, '/') == NULL;
    if (!is_ini || access(name, F_OK) != 0)
        return name;
    (void)snprintf(buffer, size, "./%s", name);
    return buffer;
}

int policy_read(struct policy *policy, const struct policy_options *options, char *const *environment)
{
    struct config_load *load = &policy->load;
    const char *name = options->name;
    const char *variable = getenv("TRIMTAB_POLICY");

    if (name == NULL && variable != NULL && variable[0] != '\0')
        name = variable;
    name = file_here(name, policy->path, sizeof policy->path);
    config_defaults(load);
    if (config_read_policy(load, name) < 0 || config_read_environment(load, environment) < 0)
        return -1;
    for (int i = 0; i < options->set_count; i++) {
        if (config_set(load, options->set[i]) < 0)
            return -1;
    }
    if (config_check(load) < 0)
        return -1;
    if (!load->any) {
        (void)snprintf(load->error, sizeof load->error, "no policy: give --policy FILE or NAME, or --set");
        return -1;
    }
    policy->fleet = rules_fleet(&load->config);
    policy->life = rules_life(&load->config);
    policy->target = rules_target(&load->config);
    return 0;
}

const char *policy_name(const struct policy *policy)
{
    return policy->load.file != NULL ? policy->load.file : "of the command line and the environment";
}

int policy_check_limit(struct policy *policy, uint64_t limit_bytes)
{
    return rules_check(&policy->fleet, limit_bytes, policy->load.error, sizeof policy->load.error);
}
