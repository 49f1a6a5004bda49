/*
 * The translator: signals, children and time become events of the policy; its
 * actions become system calls. Once the worker exists, nothing here ends
 * trimtab but the worker's end.
 */
#ifndef TRIMTAB_SUPERVISOR_H
#define TRIMTAB_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/child.h"
#include "os/loop.h"
#include "policy/life.h"
#include "setup.h"
#include "watch.h"

/* The large tables come last: a plain init never touches them. */
struct supervisor {
    struct setup *setup;
    struct loop loop;
    struct life life;
    struct child_spec spec;
    char *script_argv[32]; /* of spec, where that is enough */
    pid_t worker_pid;      /* 0: there is none */
    int stop_signal;       /* what the rest is told to stop with */
    int exit_status;
    bool settled; /* what only the start needed was let go */
    bool leaving;
    bool said_wait;
    bool child_changed;     /* SIGCHLD came since the worker was last asked whether it is stopped */
    uint64_t now_ms;        /* 0: not read in this wake-up */
    uint64_t reap_retry_ms; /* a failed wait is tried again; LOOP_FOREVER: none failed */
    uint64_t release_at_ms; /* the pages of the start are given back once; LOOP_FOREVER: they were */
    uint64_t confirm_at_ms; /* the preloaded libraries are looked for in the worker; LOOP_FOREVER: no need */
    struct watch watch;
    struct process_list rest; /* scratch for what is left when the worker is gone */
};

/*
 * Open what must not fail later, and start the worker. Returns 0, or -1 when
 * there is no worker; what went wrong has then been said. supervisor must be
 * zeroed; setup must outlive it.
 */
int supervisor_start(struct supervisor *supervisor, struct setup *setup);

/* Until the worker has ended, and what else is to be waited for. */
void supervisor_run(struct supervisor *supervisor);

/* Of trimtab, after either. */
int supervisor_exit_status(const struct supervisor *supervisor);

#endif
