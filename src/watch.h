/*
 * The translator for the watched processes: what /proc shows becomes samples
 * for policy/fleet, what it decides becomes signals and log lines.
 */
#ifndef TRIMTAB_WATCH_H
#define TRIMTAB_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "container.h"
#include "os/loop.h"
#include "os/process.h"
#include "policy/fleet.h"
#include "policy/life.h"
#include "policy/target.h"
#include "setup.h"

enum {
    WATCH_TAG = 1U << 16, /* loop tag of slot n: WATCH_TAG + n */
    WATCH_TAG_PRESSURE = WATCH_TAG + FLEET_MAX,
    WATCH_TAG_REPORTS,
    WATCH_DESCRIPTORS = 2,
    WATCH_INDEX_SIZE = 2 * FLEET_MAX,
    WATCH_ADMIT_MS = 1000,    /* a younger process may be a fork on its way to exec */
    WATCH_FREEZE_MS = 600000, /* a stop is over by then */
    WATCH_BOOT_MS = 60000,    /* a worker makes its pool within this time of its start */
    WATCH_DISCOVER_MS = 30000 /* processes are looked for at least so often */
};

struct watch_known {
    struct process process;
    struct target_facts facts;
};

/* The large tables come last: without a policy they are never touched. */
struct watch {
    const struct setup *setup; /* NULL: nothing is watched */
    struct loop *loop;
    struct life *life;
    bool by_name; /* executables cannot be read: compared by command name */
    bool said_full, said_open, said_list, said_by_name, said_exact, said_deaf, said_unreachable;
    pid_t worker_pid;
    int generation_fd;
    int report_fd; /* -1: nobody reports */
    uint64_t generation;
    uint64_t boot_until_ms;
    uint64_t discover_at_ms; /* at the latest */
    uint64_t next_look_ms;
    uint64_t frozen_until_ms; /* the container was told to stop: nothing is decided before */
    struct container container;
    struct target target;
    struct process_executable worker_executable;
    char worker_name[PROCESS_NAME_MAX];

    struct fleet fleet;
    struct watch_known known[FLEET_MAX]; /* by slot of the fleet */
    uint16_t index[WATCH_INDEX_SIZE];    /* hash of a pid -> slot + 1; 0: empty */
    struct process_list list;
};

/*
 * setup, loop and life must outlive watch, which must be zeroed. A zeroed watch
 * that was not initialised watches nothing.
 */
void watch_init(struct watch *watch, struct setup *setup, struct loop *loop, struct life *life, uint64_t seed);

/* Descriptors that it holds from then on, besides those of setup->cgroup; -1: none. */
void watch_descriptors(const struct watch *watch, int ret_fds[WATCH_DESCRIPTORS]);

/* The slot of a process in the fleet, or -1. */
int watch_slot(const struct watch *watch, pid_t pid);

void watch_worker_started(struct watch *watch, pid_t pid, uint64_t now_ms);
void watch_worker_gone(struct watch *watch, uint64_t now_ms);

/*
 * The container was told to stop: leave its processes alone. A worker that
 * lives on long after meant something else by that signal.
 */
void watch_freeze(struct watch *watch, uint64_t now_ms);

/* A watched process ended. */
void watch_event(struct watch *watch, uint32_t tag, uint64_t now_ms);

/* When watch_tick must be called; LOOP_FOREVER: never. */
uint64_t watch_due_ms(const struct watch *watch);
void watch_tick(struct watch *watch, uint64_t now_ms);

#endif
