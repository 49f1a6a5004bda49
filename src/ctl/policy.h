/*
 * A policy for trimtabctl: read as PID 1 reads it (file or shipped name,
 * TRIMTAB_* of the environment, --set), and turned into the rules of the pure
 * core by the same code.
 */
#ifndef TRIMTAB_CTL_POLICY_H
#define TRIMTAB_CTL_POLICY_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "policy/fleet.h"
#include "policy/life.h"
#include "policy/target.h"

enum { POLICY_SETS_MAX = 64 };

struct policy_options {
    const char *name; /* --policy, else TRIMTAB_POLICY, else NULL */
    const char *set[POLICY_SETS_MAX];
    int set_count;
};

struct policy {
    struct config_load load;
    struct fleet_config fleet;
    struct life_config life;
    enum target_mode target;
    char path[NAME_MAX + 3]; /* load.file may be this */
};

/* 0, or -1 with policy->load.error. */
int policy_read(struct policy *policy, const struct policy_options *options, char *const *environment);

/* What the policy is called, for people. */
const char *policy_name(const struct policy *policy);

/* Whether the lines make sense under this limit, as PID 1 asks before it starts. 0, or -1 with policy->load.error. */
int policy_check_limit(struct policy *policy, uint64_t limit_bytes);

#endif
