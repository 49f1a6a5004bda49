#include "act.h"

#include <errno.h>
#include <signal.h>

#include "os/report_socket.h"
#include "say.h"

enum { ACT_REPORTS_MAX = 64 };

/* ---- decisions into signals and lines ---- */

static void ask_trim(struct watch *watch, const struct fleet_decision *decision)
{
    if (watch->setup->options.dry_run) {
        say_decision(decision, true);
        return;
    }
    const struct process *process = &watch->known[decision->slot].process;
    int number = watch->setup->load.config.trim.signal;
    bool agent = number == CONFIG_SIGNAL_AGENT;
    int r = agent ? process_ask_agent(process) : process_signal(process, number, true);
    if (r == 0 || r == -ESRCH) /* its end is told by the pidfd */
        return;
    bool news = fleet_refuse_trim(&watch->fleet, decision->slot);
    if (r == -ENOTSUP && news && say_once(&watch->said_deaf)) /* the others of a pool are hardly different */
        say_warning(agent ? "the agent is not at work in the process, so it is not asked to trim"
                          : "no handler for [trim] signal, so the process is not asked to trim",
                    decision->pid, 0);
    else if (r != -ENOTSUP)
        say_warning("cannot ask the process to trim", decision->pid, -r);
}

/*
 * A child that does not handle the signal would die in the middle of its work
 * and is left alone. The worker itself gets what a stop of the container sends.
 */
static void recycle(struct watch *watch, const struct fleet_decision *decision)
{
    if (watch->setup->options.dry_run) {
        say_decision(decision, true);
        return;
    }
    bool respawn = decision->method == FLEET_METHOD_RESPAWN;
    const struct process *process = &watch->known[respawn ? FLEET_WORKER : decision->slot].process;
    if (respawn && watch->life->stopping) { /* its end would be the container's, after a stop that was none */
        fleet_refuse_recycle(&watch->fleet, FLEET_WORKER);
        return;
    }
    int r = process_signal(process, watch->setup->load.config.recycle.signal, !respawn);
    if (r == 0) {
        if (respawn)
            life_recycle(watch->life);
        say_decision(decision, false);
        (void)process_wake(process);
    } else if (r != -ESRCH) {
        fleet_refuse_recycle(&watch->fleet, respawn ? FLEET_WORKER : decision->slot);
        say_warning(r == -ENOTSUP
                        ? "no handler for [recycle] signal, so the process is not recycled: its work would be cut"
                        : "cannot recycle the process",
                    decision->pid, r == -ENOTSUP ? 0 : -r);
    }
}

static void kill_late(struct watch *watch, const struct fleet_decision *decision)
{
    if (decision->first)
        say_decision(decision, false);
    int r = process_signal(&watch->known[decision->slot].process, SIGKILL, false);
    if (r < 0 && r != -ESRCH && decision->first)
        say_warning("cannot kill the process", decision->pid, -r);
}

/* Returns what follows from the measure. */
static struct fleet_decision measure(struct watch *watch, const struct fleet_decision *decision)
{
    uint64_t pss_bytes = FLEET_UNKNOWN;
    uint64_t uss_bytes = FLEET_UNKNOWN;
    uint64_t begin_us = loop_now_us();
    int r = process_exact(decision->pid, &pss_bytes, &uss_bytes);
    if (r < 0) {
        pss_bytes = uss_bytes = FLEET_UNKNOWN;
        if (r != -ESRCH && say_once(&watch->said_exact))
            say_warning("cannot read PSS and USS, the RSS is used instead (CAP_SYS_PTRACE would help)", decision->pid,
                        -r);
    }
    return fleet_measured(&watch->fleet, decision->slot, pss_bytes, uss_bytes, loop_now_us() - begin_us);
}

static void trimmed(struct watch *watch, const struct fleet_decision *decision,
                    const struct trimtab_agent_report *report)
{
    say_trimmed(decision, report);
    if (decision->unanswered == FLEET_UNANSWERED_MAX && say_once(&watch->said_unreachable))
        say_warning("not reachable by the agent: the last trims were not answered; what they brought is judged by the "
                    "process's size",
                    decision->pid, 0);
}

void act(struct watch *watch, const struct fleet_decision *decision)
{
    struct fleet_decision next;
    switch (decision->action) {
    case FLEET_NONE:
        break;
    case FLEET_MEASURE:
        next = measure(watch, decision);
        act(watch, &next); /* never a measure again */
        break;
    case FLEET_TRIM:
        ask_trim(watch, decision);
        break;
    case FLEET_RECYCLE:
        recycle(watch, decision);
        break;
    case FLEET_KILL:
        kill_late(watch, decision);
        break;
    case FLEET_TRIMMED:
        trimmed(watch, decision, NULL);
        break;
    case FLEET_VERDICT:
    case FLEET_REPLACED:
    case FLEET_HELD:
    case FLEET_HELPLESS:
        say_decision(decision, false);
        break;
    }
}

/* ---- reports of agents ---- */

static void take_report(struct watch *watch, const struct trimtab_agent_report *report, pid_t pid, uint64_t now_ms)
{
    const struct fleet_report told = { .before_bytes = report->rss_before_bytes,
                                       .after_bytes = report->rss_after_bytes,
                                       .held_bytes = report->held_bytes,
                                       .used_bytes = report->used_bytes,
                                       .other_heap = report->allocator != TRIMTAB_AGENT_GLIBC };
    int slot = watch_slot(watch, pid);
    if (slot < 0) /* young still, or not a target */
        return;
    struct fleet_decision decision = fleet_reported(&watch->fleet, (uint16_t)slot, &told, now_ms);
    if (decision.action == FLEET_TRIMMED)
        trimmed(watch, &decision, report);
}

void act_on_reports(struct watch *watch, uint64_t now_ms)
{
    struct trimtab_agent_report report;
    pid_t pid = 0;
    /* What is left is told again: whoever floods us takes no more than its turn. */
    for (int i = 0; i < ACT_REPORTS_MAX; i++) {
        int r = report_socket_receive(watch->report_fd, &report, &pid);
        if (r == 0)
            take_report(watch, &report, pid, now_ms);
        else if (r != -EBADMSG)
            return;
    }
}
