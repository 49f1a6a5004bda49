#include "say.h"

#include "os/log.h"

static const char *reason_name(enum fleet_reason reason)
{
    static const char *const names[] = { [FLEET_REASON_NONE] = NULL,
                                         [FLEET_REASON_AT] = "at",
                                         [FLEET_REASON_EVERY] = "every",
                                         [FLEET_REASON_IDLE] = "idle",
                                         [FLEET_REASON_CONTAINER] = "container",
                                         [FLEET_REASON_PRESSURE] = "pressure" };
    return names[reason];
}

static const char *method_name(enum fleet_method method)
{
    static const char *const names[] = { [FLEET_METHOD_AUTO] = "auto",
                                         [FLEET_METHOD_SIGNAL] = "signal",
                                         [FLEET_METHOD_RESPAWN] = "respawn",
                                         [FLEET_METHOD_HANDOVER] = "handover" };
    return names[method];
}

static struct log_field omitted(void)
{
    return log_text("", NULL);
}

static struct log_field eta_field(uint64_t eta_ms)
{
    return eta_ms == FLEET_NEVER ? log_text("eta", "never") : log_ms("eta", eta_ms);
}

/* What the container uses, where that is the reason. */
static struct log_field used_field(const struct fleet_decision *decision)
{
    bool container = decision->reason == FLEET_REASON_CONTAINER || decision->reason == FLEET_REASON_PRESSURE;
    return container ? log_bytes("container", decision->used_bytes) : omitted();
}

static struct log_field at_field(const struct fleet_decision *decision)
{
    return decision->at_bytes > 0 ? log_bytes("at", decision->at_bytes) : omitted();
}

static struct log_field dry_field(bool dry_run)
{
    return log_text("dry_run", dry_run ? "yes" : NULL);
}

static void say_trim(const struct fleet_decision *decision, bool dry_run)
{
    log_event(LOG_INFO, "trim", log_number("pid", decision->pid), log_bytes("rss_before", decision->rss_bytes),
              at_field(decision), used_field(decision), log_text("reason", reason_name(decision->reason)),
              dry_field(dry_run));
}

static const char *allocator_name(uint16_t allocator)
{
    switch (allocator) {
    case TRIMTAB_AGENT_GLIBC:
        return "glibc";
    case TRIMTAB_AGENT_JEMALLOC:
        return "jemalloc";
    case TRIMTAB_AGENT_TCMALLOC:
        return "tcmalloc";
    case TRIMTAB_AGENT_MIMALLOC:
        return "mimalloc";
    default:
        return "none";
    }
}

/* Of the heap. Of what an allocator counts as its own not all is resident. */
static struct log_field figure(const char *key, uint64_t bytes, uint64_t rss_bytes)
{
    return bytes == VERDICT_NO_FIGURE ? omitted() : log_bytes(key, bytes < rss_bytes ? bytes : rss_bytes);
}

void say_trimmed(const struct fleet_decision *decision, const struct trimtab_agent_report *report)
{
    uint64_t freed = decision->before_bytes > decision->rss_bytes ? decision->before_bytes - decision->rss_bytes : 0;
    uint32_t yield = (uint32_t)(freed / (decision->before_bytes / 10000 + 1));
    log_event(
        LOG_INFO, "trim", log_number("pid", decision->pid), log_bytes("rss_before", decision->before_bytes),
        log_bytes("rss_after", decision->rss_bytes),
        log_ms("took", report != NULL ? (report->took_ns + 999999) / 1000000 : decision->took_ms),
        log_permyriad("yield", yield), log_text("allocator", report != NULL ? allocator_name(report->allocator) : NULL),
        report != NULL ? figure("held", report->held_bytes, decision->rss_bytes) : omitted(),
        report != NULL ? figure("used", report->used_bytes, decision->rss_bytes) : omitted(),
        log_text("reason", reason_name(decision->reason)), log_text("report", decision->unanswered > 0 ? "none" : NULL),
        decision->eta_ms == FLEET_NEVER ? omitted() : log_ms("eta", decision->eta_ms));
}

static void say_verdict(const struct fleet_decision *decision)
{
    const struct verdict_evidence *evidence = &decision->evidence;
    log_event(LOG_INFO, "verdict", log_number("pid", decision->pid), log_bytes("rss", decision->rss_bytes),
              log_text("verdict", verdict_name(decision->verdict)),
              figure("held", evidence->held_bytes, decision->rss_bytes),
              figure("used", evidence->used_bytes, decision->rss_bytes), log_number("trims", evidence->trims),
              log_number("worth", evidence->worth), log_text("advice", verdict_advice(decision->verdict, evidence)));
}

static void say_recycle(const struct fleet_decision *decision, bool dry_run)
{
    log_event(LOG_INFO, "recycle", log_number("pid", decision->pid), log_bytes("rss", decision->rss_bytes),
              log_bytes("at", decision->at_bytes), used_field(decision), eta_field(decision->eta_ms),
              log_text("reason", reason_name(decision->reason)), log_text("method", method_name(decision->method)),
              log_text("note", decision->no_room ? "no room for old and new together" : NULL),
              log_text("verdict", decision->verdict == VERDICT_UNKNOWN ? NULL : verdict_name(decision->verdict)),
              dry_field(dry_run));
}

void say_decision(const struct fleet_decision *decision, bool dry_run)
{
    switch (decision->action) {
    case FLEET_NONE:
    case FLEET_MEASURE:
        break;
    case FLEET_TRIM:
        say_trim(decision, dry_run);
        break;
    case FLEET_TRIMMED:
        say_trimmed(decision, NULL);
        break;
    case FLEET_VERDICT:
        say_verdict(decision);
        break;
    case FLEET_RECYCLE:
        say_recycle(decision, dry_run);
        break;
    case FLEET_KILL:
        log_event(LOG_WARNING, "kill", log_number("pid", decision->pid), log_ms("after", decision->took_ms));
        break;
    case FLEET_REPLACED:
        log_event(LOG_INFO, "replaced", log_number("old", decision->old_pid), log_number("new", decision->pid),
                  log_ms("took", decision->took_ms));
        break;
    case FLEET_HELD:
        log_event(LOG_WARNING, "warning", log_text("what", "no replacement seen: recycling is held until one comes"),
                  log_number("old", decision->old_pid), log_ms("after", decision->took_ms));
        break;
    case FLEET_HELPLESS:
        log_event(
            LOG_WARNING, "warning",
            log_text("what", "the container nears its limit, and no process that may be recycled would free much"),
            log_bytes("container", decision->used_bytes), log_bytes("at", decision->at_bytes),
            eta_field(decision->eta_ms));
        break;
    }
}

bool say_once(bool *said)
{
    bool first = !*said;
    *said = true;
    return first;
}

void say_warning(const char *what, pid_t pid, int error)
{
    log_warning(what, log_number("pid", pid), error);
}
