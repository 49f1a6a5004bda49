#include "supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/descriptors.h"
#include "os/log.h"
#include "os/process.h"
#include "os/self.h"
#include "policy/u64.h"
#include "trimtab/exit.h"

enum {
    REAP_RETRY_MS = 100,
    RELEASE_AFTER_MS = 1000, /* a container that lives longer is here to stay */
    CONFIRM_AFTER_MS = 2000  /* the loader maps a preloaded library before anything else */
};

static void warn(const char *what, int error)
{
    log_warning(what, log_text("pid", NULL), error);
}

/* The time of this wake-up: read once, when it is first asked for. */
static uint64_t now_of(struct supervisor *supervisor)
{
    if (supervisor->now_ms == 0)
        supervisor->now_ms = loop_now_ms();
    return supervisor->now_ms;
}

/* ---- the worker ---- */

/*
 * The first worker runs: let go of what it was for, before anything is opened
 * to watch it. None of this failing is a reason to end it.
 */
static void settle(struct supervisor *supervisor)
{
    const struct setup *setup = supervisor->setup;
    if (!setup->may_restart) {
        enum { OWN = 4 };
        int keep[OWN + WATCH_DESCRIPTORS + CGROUP_DESCRIPTORS_MAX] = { supervisor->loop.epoll_fd,
                                                                       supervisor->loop.signal_fd, log_descriptor(),
                                                                       setup->agent_fd };
        watch_descriptors(&supervisor->watch, keep + OWN);
        int count = cgroup_descriptors(&setup->cgroup, keep + OWN + WATCH_DESCRIPTORS, CGROUP_DESCRIPTORS_MAX);
        int r = descriptors_close_except(keep, OWN + WATCH_DESCRIPTORS + (size_t)count);
        if (r < 0)
            warn("cannot close the inherited descriptors", -r);
    }
    int r = self_leave_directory();
    if (r < 0)
        warn("cannot change to /", -r);
    if (setup->held_capabilities != setup->kept_capabilities) {
        r = privileges_keep(setup->kept_capabilities);
        if (r < 0)
            warn("cannot drop capabilities", -r);
    }
}

static int start_worker(struct supervisor *supervisor, struct child_failure *ret_failure)
{
    pid_t pid = 0;
    int r = child_spawn(&supervisor->spec, &pid, ret_failure);
    if (r < 0)
        return r;
    const struct setup *setup = supervisor->setup;
    supervisor->now_ms = 0; /* starting took time */
    uint64_t now_ms = now_of(supervisor);
    supervisor->worker_pid = pid;
    life_started(&supervisor->life, now_ms);
    const char *policy = setup->load.file != NULL ? setup->load.file : setup->load.any ? "settings" : "none";
    struct log_field limit = setup->watches ? log_bytes("limit", setup->limit_bytes) : log_text("limit", "none");
    log_event(LOG_INFO, "start", log_number("pid", pid), log_text("program", setup->options.program[0]),
              log_text("policy", policy), limit,
              log_text("target", setup->watches ? setup_target_name(setup) : "none"));
    if (!supervisor->settled)
        settle(supervisor);
    supervisor->settled = true;
    watch_worker_started(&supervisor->watch, pid, now_ms);
    supervisor->confirm_at_ms = setup->plan.preloads > 0 ? now_ms + CONFIRM_AFTER_MS : LOOP_FOREVER;
    supervisor->release_at_ms = now_ms + RELEASE_AFTER_MS;
    return 0;
}

static void restart_worker(struct supervisor *supervisor)
{
    struct child_failure failure = { 0 };
    if (start_worker(supervisor, &failure) == 0)
        return;
    life_start_failed(&supervisor->life, now_of(supervisor));
    log_warning("cannot start the worker; trying again later", log_text("step", child_stage_name(&failure)),
                failure.error);
}

/* ---- what is left when the worker is gone ---- */

/* What cannot be listed or made sure of: as PID 1 everything else here is ours, else it is left alone. */
static void signal_unseen(int number, int error)
{
    if (getpid() == 1)
        (void)kill(-1, number);
    else
        warn("cannot reach the processes that are left", error);
}

static void signal_rest(struct supervisor *supervisor, int number, bool wake)
{
    int r = process_list(getpid(), PROCESS_DESCENDANTS, false, &supervisor->rest);
    if (r < 0) {
        signal_unseen(number, -r);
        return;
    }
    if (supervisor->rest.count > 0)
        log_event(number == SIGKILL ? LOG_WARNING : LOG_INFO, number == SIGKILL ? "kill" : "stop",
                  log_number("signal", number), log_number("processes", supervisor->rest.count));
    for (uint32_t i = 0; i < supervisor->rest.count; i++) {
        struct process process;
        r = process_open(&process, supervisor->rest.item[i].pid, 0);
        if (r == -ESRCH || r == -ENOENT)
            continue;
        if (r < 0) {
            signal_unseen(number, -r);
            return;
        }
        r = process_signal(&process, number, false);
        if (r == 0 && wake)
            (void)process_wake(&process);
        if (r < 0 && r != -ESRCH)
            log_warning("cannot signal a process that is left", log_number("pid", process.pid), -r);
        process_close(&process);
    }
}

/* A worker that is stopped can only have become so with a SIGCHLD: without one there is nothing to ask. */
static void wake_worker(struct supervisor *supervisor)
{
    if (supervisor->child_changed && supervisor->worker_pid > 0 && child_is_stopped(supervisor->worker_pid))
        (void)kill(supervisor->worker_pid, SIGCONT);
    supervisor->child_changed = false;
}

static void apply(struct supervisor *supervisor, enum life_action action)
{
    switch (action) {
    case LIFE_NONE:
        break;
    case LIFE_START:
        restart_worker(supervisor);
        break;
    case LIFE_WAKE:
        wake_worker(supervisor);
        break;
    case LIFE_STOP_REST:
        signal_rest(supervisor, supervisor->stop_signal, true);
        break;
    case LIFE_KILL_REST:
        signal_rest(supervisor, SIGKILL, false);
        break;
    case LIFE_LEAVE:
        supervisor->leaving = true;
        break;
    }
}

/* ---- children that ended ---- */

static void worker_gone(struct supervisor *supervisor, int status)
{
    uint64_t now_ms = now_of(supervisor);
    supervisor->worker_pid = 0;
    supervisor->exit_status = status;
    supervisor->confirm_at_ms = LOOP_FOREVER;
    watch_worker_gone(&supervisor->watch, now_ms);
    apply(supervisor, life_worker_gone(&supervisor->life, status != 0, now_ms));
}

static void child_gone(struct supervisor *supervisor, const struct child_end *end)
{
    if (end->pid != supervisor->worker_pid) {
        if (supervisor->setup->options.warn_on_reap)
            log_event(LOG_WARNING, "reap", log_number("pid", end->pid),
                      log_number(end->signaled ? "signal" : "status", end->status));
        return;
    }
    log_event(LOG_INFO, "exit", log_number("pid", end->pid),
              log_number(end->signaled ? "signal" : "status", end->status));
    worker_gone(supervisor, end->signaled ? TRIMTAB_EXIT_SIGNAL_BASE + end->status : end->status);
}

/* Everything that has ended is reaped before trimtab leaves, whoever ended first. */
static void reap(struct supervisor *supervisor)
{
    struct child_end end;
    supervisor->reap_retry_ms = LOOP_FOREVER;
    for (;;) {
        int r = child_reap(&end);
        if (r == -ECHILD) {
            if (supervisor->worker_pid > 0) {
                warn("the worker is gone and its exit status is lost", ECHILD);
                worker_gone(supervisor, TRIMTAB_EXIT_SYSTEM);
            }
            apply(supervisor, life_all_gone(&supervisor->life));
            return;
        }
        if (r < 0) {
            if (!supervisor->said_wait)
                warn("cannot wait for children; trying again", -r);
            supervisor->said_wait = true;
            supervisor->reap_retry_ms = now_of(supervisor) + REAP_RETRY_MS;
            return;
        }
        supervisor->said_wait = false;
        if (end.pid == 0)
            return;
        child_gone(supervisor, &end);
    }
}

/* ---- signals ---- */

static void take_signal(struct supervisor *supervisor, const struct signals_info *info)
{
    const struct config_worker *config = &supervisor->setup->load.config.worker;
    int number = info->number;

    if (info->from_kernel && (number == SIGTTIN || number == SIGTTOU)) /* meant for a job of the terminal: us */
        return;
    int passed = config->rewrite[number];
    if (passed == 0)
        return;
    if (supervisor->worker_pid > 0) {
        int r = signals_forward(supervisor->worker_pid, supervisor->setup->options.kill_group, passed, info);
        log_event(LOG_DEBUG, "forward", log_number("signal", passed), log_number("pid", supervisor->worker_pid));
        if (r < 0 && r != -ESRCH)
            log_warning("cannot pass a signal on to the worker", log_number("signal", passed), -r);
    }
    if (number < 64 && (config->stop_signals >> number & 1) != 0) {
        supervisor->stop_signal = passed;
        bool timed = supervisor->setup->watches || supervisor->life.config.stop_grace_ms > 0;
        uint64_t now_ms = timed ? now_of(supervisor) : 0;
        watch_freeze(&supervisor->watch, now_ms);
        apply(supervisor, life_stop(&supervisor->life, now_ms));
    }
}

/* Returns whether a child may have ended. */
static bool take_signals(struct supervisor *supervisor, const struct loop_events *events)
{
    bool child = false;
    for (int i = 0; i < events->signal_count; i++) {
        if (events->signal[i].number == SIGCHLD)
            child = true;
        else
            take_signal(supervisor, &events->signal[i]);
    }
    return child;
}

/* ---- time ---- */

static void confirm_libraries(struct supervisor *supervisor, uint64_t now_ms)
{
    const struct setup *setup = supervisor->setup;
    if (now_ms < supervisor->confirm_at_ms)
        return;
    supervisor->confirm_at_ms = LOOP_FOREVER;
    for (size_t i = 0; i < setup->plan.preloads; i++) {
        struct log_field library = log_text("library", setup->plan.preload[i]);
        int r = process_maps_contain(supervisor->worker_pid, setup->library_stem[i]);
        if (r == 0)
            log_warning("the preloaded library is not loaded in the worker", library, 0);
        else if (r > 0)
            log_event(LOG_DEBUG, "preload", library, log_number("pid", supervisor->worker_pid));
        else if (r != -ESRCH)
            log_warning("cannot see whether the preloaded library is loaded", library, -r);
    }
}

static uint64_t next_deadline_ms(const struct supervisor *supervisor)
{
    uint64_t deadline_ms = min_u64(life_deadline_ms(&supervisor->life), watch_due_ms(&supervisor->watch));
    deadline_ms = min_u64(deadline_ms, supervisor->release_at_ms);
    return min_u64(deadline_ms, min_u64(supervisor->reap_retry_ms, supervisor->confirm_at_ms));
}

static void keep_time(struct supervisor *supervisor)
{
    if (next_deadline_ms(supervisor) == LOOP_FOREVER)
        return;
    uint64_t now_ms = now_of(supervisor);
    if (now_ms >= supervisor->reap_retry_ms)
        reap(supervisor);
    if (now_ms >= supervisor->release_at_ms) {
        supervisor->release_at_ms = LOOP_FOREVER;
        (void)self_release_code();
        if (supervisor->setup->watches) /* what is touched from now on stays, however short memory gets */
            (void)self_lock_memory();
    }
    apply(supervisor, life_tick(&supervisor->life, now_ms));
    watch_tick(&supervisor->watch, now_ms);
    confirm_libraries(supervisor, now_ms);
}

void supervisor_run(struct supervisor *supervisor)
{
    struct loop_events events;
    bool said_loop = false;
    while (!supervisor->leaving) {
        int r = loop_wait(&supervisor->loop, supervisor->now_ms, next_deadline_ms(supervisor), &events);
        supervisor->now_ms = 0;
        if (r < 0 && !said_loop)
            warn("cannot wait for events; looking for them ten times a second", -r);
        said_loop = r < 0;
        for (int i = 0; i < events.count; i++)
            watch_event(&supervisor->watch, events.tag[i], now_of(supervisor));
        if (take_signals(supervisor, &events) || r < 0) {
            reap(supervisor);
            supervisor->child_changed = true;
            apply(supervisor, life_child_changed(&supervisor->life));
        }
        keep_time(supervisor);
    }
}

int supervisor_exit_status(const struct supervisor *supervisor)
{
    return supervisor->setup->options.remap[supervisor->exit_status & 0xff] ? 0 : supervisor->exit_status;
}

/* ---- start ---- */

static void fail(const char *what, int error)
{
    char text[2 * SETUP_ERROR_MAX];
    (void)snprintf(text, sizeof text, "cannot %s: %s", what, strerror(error));
    log_fatal(text);
}

static int prepare_spec(struct supervisor *supervisor)
{
    const struct setup *setup = supervisor->setup;
    struct child_spec *spec = &supervisor->spec;
    size_t argc = 0;
    while (setup->options.program[argc] != NULL)
        argc++;
    *spec = (struct child_spec){ .argv = setup->options.program,
                                 .env = setup->environment.env,
                                 .listen_pid = setup->environment.listen_pid,
                                 .path = setup->environment.path,
                                 .script_argv = supervisor->script_argv,
                                 .signals = &setup->inherited,
                                 .cwd_fd = -1,
                                 .set_oom_score_adj = setup->load.config.worker.oom_score_adj.set,
                                 .oom_score_adj = (int)setup->load.config.worker.oom_score_adj.value,
                                 .privileges = privileges_any(&setup->privileges) ? &setup->privileges : NULL };
    if (argc + 2 > sizeof supervisor->script_argv / sizeof supervisor->script_argv[0])
        spec->script_argv = calloc(argc + 2, sizeof(char *));
    if (spec->script_argv == NULL)
        return -ENOMEM;
    if (setup->may_restart)
        spec->cwd_fd = self_open_directory();
    return spec->cwd_fd < -1 ? spec->cwd_fd : 0;
}

/* With a policy PID 1 watches over memory and must outlive a shortage; the worker gets none of this. */
static void raise_own_limits(struct supervisor *supervisor)
{
    struct child_spec *spec = &supervisor->spec;
    int before = 0;
    bool changed = false;
    if (!supervisor->setup->watches)
        return;
    spec->restore_nofile = descriptors_raise_limit(&spec->nofile) == 0;
    (void)self_lower_oom_score(&before, &changed);
    if (changed && !spec->set_oom_score_adj) {
        spec->set_oom_score_adj = true;
        spec->oom_score_adj = before;
    }
}

static void say_environment(const struct setup *setup)
{
    const struct allocator_environment *environment = &setup->environment;
    if (setup->library_problem != ALLOCATOR_FINE)
        log_event(LOG_WARNING, "warning", log_text("what", allocator_problem_text(setup->library_problem)),
                  log_text("malloc", setup->load.config.allocator.malloc),
                  log_text("library", setup->library[0] != '\0' ? setup->library : NULL));
    bool nothing_to_gain = setup->agent_problem == ALLOCATOR_STATIC || setup->agent_problem == ALLOCATOR_SET_ID ||
                           setup->agent_problem == ALLOCATOR_SANITIZED;
    if (setup->agent_problem != ALLOCATOR_FINE)
        log_event(nothing_to_gain ? LOG_INFO : LOG_WARNING, nothing_to_gain ? "agent" : "warning",
                  log_text("what", allocator_problem_text(setup->agent_problem)),
                  log_text("agent", nothing_to_gain ? NULL : setup->agent),
                  log_text("help", nothing_to_gain ? NULL : "install libtrimtab-agent.so in /usr/local/lib"));
    if (environment->set[0] != '\0' || environment->kept[0] != '\0')
        log_event(LOG_INFO, "env", log_text("set", environment->set[0] != '\0' ? environment->set : NULL),
                  log_text("kept", environment->kept[0] != '\0' ? environment->kept : NULL));
}

int supervisor_start(struct supervisor *supervisor, struct setup *setup)
{
    struct child_failure failure = { 0 };

    supervisor->setup = setup;
    supervisor->stop_signal = SIGTERM;
    supervisor->reap_retry_ms = LOOP_FOREVER;
    supervisor->confirm_at_ms = LOOP_FOREVER;
    int r = loop_open(&supervisor->loop, setup->watches);
    if (r == 0)
        r = prepare_spec(supervisor);
    if (r < 0) {
        fail("get ready", -r);
        supervisor->exit_status = TRIMTAB_EXIT_SYSTEM;
        return -1;
    }
    r = self_adopt_orphans();
    if (r < 0)
        warn("cannot adopt orphans: zombies may stay elsewhere", -r);
    say_environment(setup);
    raise_own_limits(supervisor);
    life_init(&supervisor->life, &setup->life);
    if (setup->watches)
        watch_init(&supervisor->watch, setup, &supervisor->loop, &supervisor->life, self_seed());

    r = start_worker(supervisor, &failure);
    if (r < 0) {
        char what[SETUP_ERROR_MAX];
        bool exec = failure.stage == CHILD_STAGE_EXEC;
        (void)snprintf(what, sizeof what, "%s '%s'%s%s", exec ? "exec" : "start", setup->options.program[0],
                       exec ? "" : ": cannot ", exec ? "" : child_stage_name(&failure));
        fail(what, failure.error);
        supervisor->exit_status = exec ? child_exec_status(failure.error) : TRIMTAB_EXIT_SYSTEM;
        return -1;
    }
    log_event(LOG_INFO, "ready", log_number("pid", supervisor->worker_pid));
    return 0;
}
