/*
 * Owns the start and the end of children.
 *
 * Between clone and exec the child runs in our memory, on a stack of its own,
 * while we wait (vfork(2)): it only makes system calls, and tells us of the
 * one that failed by writing into struct start. What belongs to the task and
 * not to the memory, such as ids, mask and descriptors, it changes for itself
 * alone.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/bin:/bin:/usr/bin"
#define SHELL        "/bin/sh"

enum { STACK_BYTES = 32 * 1024 };

/* Frames that exec leaves behind would stay poisoned in the shadow memory we share. */
#define LEFT_BY_EXEC __attribute__((no_sanitize_address))

struct start {
    const struct child_spec *spec;
    struct child_failure failure; /* error 0: it got through, or a signal ended it first */
};

struct probe {
    const char *path;
    const struct privileges *privileges;
    int result;
};

const char *child_stage_name(const struct child_failure *failure)
{
    switch (failure->stage) {
    case CHILD_STAGE_NONE:
        break;
    case CHILD_STAGE_CLONE:
        return "create a process";
    case CHILD_STAGE_DIRECTORY:
        return "enter the working directory";
    case CHILD_STAGE_LIMIT:
        return "restore the descriptor limit";
    case CHILD_STAGE_OOM:
        return "set oom_score_adj";
    case CHILD_STAGE_PRIVILEGES:
        return privileges_step_name(failure->step);
    case CHILD_STAGE_EXEC:
        return "exec";
    }
    return "start";
}

const char *child_path_next(const char *name, const char *path, const char **state, char *ret_path, size_t size)
{
    static const char end[1];
    const char *element = *state != NULL ? *state : path != NULL ? path : DEFAULT_PATH;
    size_t name_size = strlen(name) + 1;

    if (name[0] == '\0' || *state == end)
        return NULL;
    if (strchr(name, '/') != NULL) {
        *state = end;
        return name_size <= size ? memcpy(ret_path, name, name_size) : NULL;
    }
    while (element != end) {
        size_t length = strcspn(element, ":");
        const char *prefix = element;
        element = element[length] == ':' ? element + length + 1 : end;
        if (length + 1 + name_size > size)
            continue;
        memcpy(ret_path, prefix, length);
        if (length > 0) /* an empty element is the working directory, execvp(3) */
            ret_path[length++] = '/';
        memcpy(ret_path + length, name, name_size);
        *state = element;
        return ret_path;
    }
    *state = end;
    return NULL;
}

/* Errors after which execvp(3) tries the next element of PATH. */
static bool may_be_elsewhere(int error)
{
    return error == EACCES || error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG || error == ESTALE ||
           error == ENODEV || error == ETIMEDOUT;
}

/* A file that is no program is given to the shell, execvp(3). Returns the errno to report. */
LEFT_BY_EXEC static int exec_script(const struct child_spec *spec, const char *file)
{
    static char shell[] = SHELL;
    size_t i;

    spec->script_argv[0] = shell;
    spec->script_argv[1] = (char *)file; /* execve(2) does not write to it */
    for (i = 1; spec->argv[i] != NULL; i++)
        spec->script_argv[i + 1] = spec->argv[i];
    spec->script_argv[i + 1] = NULL;
    (void)execve(SHELL, spec->script_argv, spec->env);
    return may_be_elsewhere(errno) ? ENOEXEC : errno; /* without a shell it is the file that cannot be run */
}

/* Returns the errno to report. */
LEFT_BY_EXEC static int exec_program(const struct child_spec *spec)
{
    char file[PATH_MAX];
    const char *state = NULL;
    int error = ENOENT;
    bool denied = false;

    bool direct = strchr(spec->argv[0], '/') != NULL; /* then `file`, a page of its own, is not touched */
    do {
        const char *candidate =
            direct ? spec->argv[0] : child_path_next(spec->argv[0], spec->path, &state, file, sizeof file);
        if (candidate == NULL)
            break;
        (void)execve(candidate, spec->argv, spec->env);
        error = errno;
        if (error == ENOEXEC && spec->script_argv != NULL)
            error = exec_script(spec, candidate);
        denied = denied || error == EACCES;
    } while (!direct && may_be_elsewhere(error));
    return denied && may_be_elsewhere(error) ? EACCES : error;
}

static void write_number(char *ret_text, long number)
{
    char digits[20];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *ret_text++ = digits[--count];
    *ret_text = '\0';
}

static int write_oom_score(int score)
{
    char text[24];
    int sign = score < 0;

    text[0] = '-';
    write_number(text + sign, score < 0 ? -(long)score : score);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); /* the exec closes it */
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Everything but the exec. Returns 0 or -errno, with the stage that failed. */
static int prepare(const struct child_spec *spec, struct child_failure *ret_failure)
{
    pid_t pid = getpid();
    int r = 0;

    /* Neither failure keeps the worker from running: no terminal, not ours, or a filter (seccomp(2)) in the way. */
    bool leads = setpgid(0, 0) == 0;

    if (spec->listen_pid != NULL)
        write_number(spec->listen_pid, pid);
    if (spec->cwd_fd >= 0) {
        ret_failure->stage = CHILD_STAGE_DIRECTORY;
        r = fchdir(spec->cwd_fd) < 0 ? -errno : 0;
    }
    if (r == 0 && spec->set_oom_score_adj) { /* needs a descriptor: before the limit may come down */
        ret_failure->stage = CHILD_STAGE_OOM;
        r = write_oom_score(spec->oom_score_adj);
    }
    if (r == 0 && spec->restore_nofile) {
        ret_failure->stage = CHILD_STAGE_LIMIT;
        /* not setrlimit(2): musl's tries to change every thread */
        r = prlimit(0, RLIMIT_NOFILE, &spec->nofile, NULL) < 0 ? -errno : 0;
    }
    if (r == 0 && spec->privileges != NULL) {
        ret_failure->stage = CHILD_STAGE_PRIVILEGES;
        r = privileges_apply(spec->privileges, &ret_failure->step);
    }
    /* Last, so that a worker that cannot be started has not taken the terminal. SIGTTOU is blocked still. */
    if (r == 0 && leads)
        (void)tcsetpgrp(STDIN_FILENO, pid);
    return r;
}

LEFT_BY_EXEC static int run_child(void *argument)
{
    struct start *start = argument;
    struct child_failure *failure = &start->failure;

    int r = prepare(start->spec, failure);
    if (r == 0) {
        failure->stage = CHILD_STAGE_EXEC;
        r = signals_restore(start->spec->signals);
    }
    failure->error = r < 0 ? -r : exec_program(start->spec);
    _exit(127);
}

/* What ld.so(8) does with a library. A directory may be mounted noexec, a path lead where the user may not look. */
static int map_library(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t size = (size_t)getpagesize();
    void *mapped = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    int r = mapped == MAP_FAILED ? -errno : 0;
    if (r == 0)
        (void)munmap(mapped, size);
    (void)close(fd);
    return r;
}

static int run_probe(void *argument)
{
    struct probe *probe = argument;
    enum privileges_step step;
    int r = probe->privileges != NULL ? privileges_apply(probe->privileges, &step) : 0;
    probe->result = r < 0 ? r : map_library(probe->path);
    _exit(0);
}

static void reap_one(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Returns the pid of the child, which has left our memory, or -errno. */
static int run_in_child(int (*run)(void *), void *argument, bool changes_ids)
{
    static _Alignas(4096) char stack[STACK_BYTES];
    int dumpable = changes_ids ? prctl(PR_GET_DUMPABLE, 0L, 0L, 0L, 0L) : 0;
    int saved_errno = errno;
    int pid = clone(run, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, argument);
    if (pid < 0)
        pid = -errno;
    (void)madvise(stack, sizeof stack, MADV_DONTNEED); /* not needed before the next worker */
    errno = saved_errno;
    if (dumpable == 1) /* a change of ids by the child cleared it for the memory we share, prctl(2) */
        (void)prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L);
    return pid;
}

int child_can_load(const char *path, const struct privileges *privileges)
{
    struct probe probe = { .path = path, .privileges = privileges, .result = -ECHILD };
    int pid = run_in_child(run_probe, &probe, privileges != NULL);
    if (pid < 0)
        return pid;
    reap_one(pid);
    return probe.result;
}

int child_spawn(const struct child_spec *spec, pid_t *ret_pid, struct child_failure *ret_failure)
{
    struct start start = { .spec = spec };
    int pid = run_in_child(run_child, &start, spec->privileges != NULL);
    if (pid < 0)
        start.failure = (struct child_failure){ .stage = CHILD_STAGE_CLONE, .error = -pid };
    if (start.failure.error == 0) {
        *ret_pid = pid;
        *ret_failure = (struct child_failure){ 0 };
        return 0;
    }
    if (pid > 0)
        reap_one(pid);
    *ret_failure = start.failure;
    return -start.failure.error;
}

int child_reap(struct child_end *ret_end)
{
    int status = 0;
    pid_t pid;

    *ret_end = (struct child_end){ 0 };
    do
        pid = waitpid(-1, &status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid < 0)
        return -errno;
    if (pid > 0) {
        bool signaled = WIFSIGNALED(status);
        *ret_end = (struct child_end){ .pid = pid,
                                       .signaled = signaled,
                                       .status = signaled ? WTERMSIG(status) : WEXITSTATUS(status) };
    }
    return 0;
}

bool child_is_stopped(pid_t pid)
{
    siginfo_t info = { 0 };
    return waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

int child_exec_status(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return 127;
    case EACCES:
    case EPERM:
    case ENOEXEC:
    case EISDIR:
    case ELOOP:
    case ELIBBAD:
    case EINVAL: /* an ELF file with a second interpreter, execve(2) */
    case ETXTBSY:
    case E2BIG:
        return 126;
    default:
        return 111;
    }
}
