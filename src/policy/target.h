/*
 * Which of the worker's processes are watched.
 *
 * Pure. The caller says what a process is; this says whether it counts.
 */
#ifndef TRIMTAB_POLICY_TARGET_H
#define TRIMTAB_POLICY_TARGET_H

#include <stdbool.h>

enum target_mode { TARGET_AUTO, TARGET_WORKER, TARGET_CHILDREN, TARGET_TREE };

struct target {
    enum target_mode mode;
    bool pooled; /* auto: the worker was seen to run a pool of processes like itself */
};

struct target_facts {
    bool is_worker;
    bool is_child;        /* the worker is its parent */
    bool same_executable; /* as the worker */
    bool matched;         /* by [watch] match, or there is none */
    bool excluded;        /* by [watch] exclude */
};

/* A new worker: what was learnt of the old one is forgotten. */
void target_init(struct target *target, enum target_mode mode);

/*
 * Learn from a process that has lived long enough not to be a fork on its way
 * to exec. Returns whether it turned auto from the worker to its children, so
 * that the caller asks target_counts again for all it knows.
 */
bool target_learn(struct target *target, const struct target_facts *facts);

bool target_counts(const struct target *target, const struct target_facts *facts);

#endif
