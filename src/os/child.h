/*
 * Starting the worker: one clone(CLONE_VM | CLONE_VFORK), so that the parent
 * is told of a failed exec, with its reason, before it goes on. Nothing is
 * allocated and the parent's state is not changed.
 */
#ifndef TRIMTAB_OS_CHILD_H
#define TRIMTAB_OS_CHILD_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "privileges.h"
#include "signals.h"

struct child_spec {
    char *const *argv;
    char *const *env;   /* complete environment of the worker */
    char *listen_pid;   /* the value part of env's LISTEN_PID=, with room for 10 digits and NUL;
                               overwritten with the worker's pid. NULL: leave it */
    const char *path;   /* PATH to search, NULL: a default */
    char **script_argv; /* scratch for the /bin/sh fallback: argc + 2 pointers */
    const struct signals_inherited *signals;
    int cwd_fd;          /* working directory of the worker; -1: ours */
    bool restore_nofile; /* give the worker this descriptor limit */
    struct rlimit nofile;
    bool set_oom_score_adj;
    int oom_score_adj;
    const struct privileges *privileges; /* NULL: unchanged */
};

enum child_stage {
    CHILD_STAGE_NONE,
    CHILD_STAGE_CLONE,
    CHILD_STAGE_DIRECTORY,
    CHILD_STAGE_LIMIT,
    CHILD_STAGE_OOM,
    CHILD_STAGE_PRIVILEGES, /* which step: privileges_step_name */
    CHILD_STAGE_EXEC
};

struct child_failure {
    enum child_stage stage;
    enum privileges_step step;
    int error; /* positive errno */
};

/* "set the user", "exec", ... as in "cannot <name>". */
const char *child_stage_name(const struct child_failure *failure);

/* Returns 0 and the pid, or -errno with *ret_failure filled; the child is then reaped. */
int child_spawn(const struct child_spec *spec, pid_t *ret_pid, struct child_failure *ret_failure);

/*
 * Whether a library can be loaded by a worker with these privileges (NULL:
 * ours), found out by a child that tries. 0 or -errno.
 */
int child_can_load(const char *path, const struct privileges *privileges);

struct child_end {
    pid_t pid; /* 0: no child has ended */
    bool signaled;
    int status; /* exit status, or the signal */
};

/*
 * Reap one child that has ended, without waiting. Returns 0 (pid 0: none), or
 * -errno; -ECHILD: there are no children. EINTR is retried.
 */
int child_reap(struct child_end *ret_end);

/* Whether a child of ours is stopped (job control, state T). It need not be reaped nor looked up in /proc. */
bool child_is_stopped(pid_t pid);

/* Exit status for a failed exec: 127, 126 or, when the system was at fault, 111. */
int child_exec_status(int error);

/*
 * Iterate over the candidates for a program as execvp(3) would: name itself if
 * it has a '/', else each element of path. state starts as NULL. Returns
 * ret_path, or NULL at the end. Too long candidates are skipped.
 */
const char *child_path_next(const char *name, const char *path, const char **state, char *ret_path, size_t size);

#endif
