/*
 * What is known before the worker exists: the policy applied to this machine
 * and this program. `--check` prints it, the supervisor runs on it.
 */
#ifndef TRIMTAB_SETUP_H
#define TRIMTAB_SETUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "config/options.h"
#include "os/allocator.h"
#include "os/cgroup.h"
#include "os/log.h"
#include "os/privileges.h"
#include "os/program.h"
#include "os/signals.h"
#include "policy/fleet.h"
#include "policy/life.h"
#include "policy/target.h"

enum { SETUP_ERROR_MAX = 512 };

/*
 * What only a policy fills comes first; what a plain init needs comes last and
 * lies on few pages, next to the supervisor's (main.c).
 */
struct setup {
    struct cgroup cgroup;
    struct program program;
    struct allocator_plan plan;
    char library[PROGRAM_PATH_MAX]; /* what was found, fit or not */
    char agent[PROGRAM_PATH_MAX];
    /* Of plan.preload: what the maps of a process show where it is loaded. */
    char library_stem[ALLOCATOR_PRELOADS_MAX][NAME_MAX + 1];
    char error[SETUP_ERROR_MAX];

    struct options options;
    struct signals_inherited inherited;
    struct life_config life;
    struct fleet_config fleet;
    enum target_mode target;
    bool watches;       /* looks are needed */
    bool may_restart;   /* the worker may be started a second time */
    bool program_known; /* program could be inspected, else program_error says why not */
    int program_error;
    uint64_t held_capabilities; /* of PID 1 at the start */
    uint64_t kept_capabilities; /* and once the worker runs */
    uint64_t limit_bytes;
    enum allocator_problem library_problem;
    bool agent_wanted;
    enum allocator_problem agent_problem; /* and why it cannot be had */
    bool agent_loaded;
    int agent_fd;         /* the one inside, as a memory file; -1: it is none */
    char report_name[32]; /* of the socket for reports; empty: none is wanted */
    struct privileges privileges;
    struct allocator_environment environment;
    struct config_load load;
};

/* Policy, environment and command line into setup->load. 0, or -1 with setup->error. */
int setup_read(struct setup *setup, char **environment);

/* Look at the machine and make everything ready. 0, or -1 with setup->error. */
int setup_prepare(struct setup *setup, char **environment);

/* `auto`, `worker`, ... */
const char *setup_target_name(const struct setup *setup);

enum log_level setup_log_level(const struct setup *setup);

#endif
