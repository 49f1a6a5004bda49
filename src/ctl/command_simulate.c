/* trimtabctl simulate: a described container under a policy. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/run.h"
#include "ctl/simulate.h"
#include "os/log.h"

enum { TITLE_MAX = 512 };

/* All of it; too large for the stack. */
struct work {
    struct run_options options;
    struct policy policy;
    struct scenario scenario;
    struct simulate_policy rules;
    struct simulate_result result;
    struct report report;
    uint64_t limit_bytes; /* as last told */
    bool begun;
    char error[SCENARIO_ERROR_MAX];
};

/* ---- what the simulator tells ---- */

static void begin(struct work *work, uint64_t now_ms)
{
    if (work->begun && now_ms == work->report.now_ms)
        return;
    work->begun = true;
    report_begin(&work->report, now_ms, REPORT_NO_UTC, false);
}

static void take_process(void *user, uint64_t now_ms, const struct simulate_process *process)
{
    struct work *work = user;
    bool worker = process->slot == FLEET_WORKER;
    begin(work, now_ms);
    if (process->rss_bytes == FLEET_UNKNOWN)
        return;
    struct report_process *seen = report_find(&work->report, process->pid, 0, worker ? "worker" : "child", worker);
    uint64_t own_bytes = work->rules.fleet.metric == FLEET_METRIC_PSS   ? process->pss_bytes
                         : work->rules.fleet.metric == FLEET_METRIC_USS ? process->uss_bytes
                                                                        : process->rss_bytes;
    if (seen != NULL)
        report_sample(&work->report, seen, process->rss_bytes, own_bytes, process->counts);
}

static void take_look(void *user, uint64_t now_ms, const struct simulate_look *look)
{
    struct work *work = user;
    begin(work, now_ms);
    work->limit_bytes = look->limit_bytes;
    report_end(&work->report, look->used_bytes,
               &(struct report_lines){ .trim = look->trim_line_bytes,
                                       .recycle = look->recycle_line_bytes,
                                       .container_trim = work->rules.fleet.can_trim ? look->container_trim_bytes : 0,
                                       .container_recycle = look->container_recycle_bytes,
                                       .limit = look->limit_bytes });
}

static void take_decision(void *user, uint64_t now_ms, const struct fleet_decision *decision)
{
    struct work *work = user;
    begin(work, now_ms);
    if (decision->action != FLEET_NONE && decision->action != FLEET_MEASURE)
        report_decision(&work->report, decision);
}

static void take_happening(void *user, uint64_t now_ms, enum simulate_happening what, int32_t pid, uint64_t bytes,
                           const char *text)
{
    struct work *work = user;
    begin(work, now_ms);
    switch (what) {
    case SIMULATE_START:
        log_event(LOG_INFO, "start", log_number("pid", pid));
        break;
    case SIMULATE_EXIT:
        log_event(LOG_INFO, "exit", log_number("pid", pid), log_bytes("rss", bytes));
        break;
    case SIMULATE_OOM:
        report_oom(&work->report, pid, 1);
        break;
    case SIMULATE_LIMIT:
        log_event(LOG_INFO, "limit", log_bytes("old", work->limit_bytes), log_bytes("new", bytes));
        work->limit_bytes = bytes;
        break;
    case SIMULATE_EVENT:
        log_event(LOG_INFO, "event", log_text("name", text));
        break;
    case SIMULATE_REFUSED:
        log_event(LOG_WARNING, "warning", log_text("what", "the process handles no such signal, and gets none"),
                  log_number("pid", pid));
        break;
    }
}

/* ---- the command ---- */

static void print_head(const struct work *work, const char *scenario, const char *policy, uint64_t seed, FILE *out)
{
    (void)fprintf(
        out,
        "# A simulation: the processes are models, and the decisions act on them. Scenario %s, policy %s, seed "
        "%" PRIu64 "; times are since the beginning.\n",
        scenario, policy, seed);
    if (work->scenario.title[0] != '\0') {
        char title[TITLE_MAX];
        format_clean(work->scenario.title, title, sizeof title);
        (void)fprintf(out, "# %s\n", title);
    }
    (void)fprintf(out, "\n");
}

static int simulate(void *user, FILE *gathered)
{
    struct work *work = user;
    char scenario[TITLE_MAX / 4], policy[TITLE_MAX / 4], subtitle[TITLE_MAX], title[TITLE_MAX];
    const struct simulate_observer observer = {
        .user = work, .process = take_process, .look = take_look, .decision = take_decision, .happening = take_happening
    };

    format_clean(work->options.input, scenario, sizeof scenario);
    format_clean(policy_name(&work->policy), policy, sizeof policy);
    print_head(work, scenario, policy, work->scenario.seed, gathered);
    if (simulate_run(&work->scenario, &work->rules, &observer, &work->result) < 0)
        return command_fail("out of memory");
    report_print(&work->report, gathered);
    (void)fprintf(gathered, "%-28s %" PRIu64 "\n", "starts of the worker", work->result.starts);
    if (work->result.end_ms < work->scenario.duration_ms)
        (void)fprintf(gathered, "the worker ended for good, and the container with it\n");
    format_clean(work->scenario.title[0] != '\0' ? work->scenario.title : work->options.input, title, sizeof title);
    (void)snprintf(subtitle, sizeof subtitle, "simulated: scenario %s, policy %s, seed %" PRIu64, scenario, policy,
                   work->scenario.seed);
    return run_finish(&work->report, gathered, &work->options, title, subtitle);
}

/* 0, or an exit status after it was said why. */
static int prepare(struct work *work)
{
    int status = run_read_policy(&work->policy, &work->options);
    if (status != 0)
        return status;
    if (scenario_read(&work->scenario, work->options.input, work->error) < 0)
        return command_fail("%s", work->error);
    if (work->options.seed_given)
        work->scenario.seed = work->options.seed;
    uint64_t set_bytes = work->policy.load.config.watch.limit_bytes;
    work->limit_bytes = set_bytes > 0 ? set_bytes : work->scenario.limit_bytes;
    if (policy_check_limit(&work->policy, work->limit_bytes) < 0)
        return command_fail("%s: %s", work->options.input, work->policy.load.error);
    work->rules = (struct simulate_policy){
        .fleet = work->policy.fleet, .life = work->policy.life, .target = work->policy.target, .limit_bytes = set_bytes
    };
    return 0;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct work *work = calloc(1, sizeof *work);
    if (work == NULL)
        return command_fail("out of memory");
    int status = run_parse(&work->options, command, argc, argv);
    if (status == 0)
        status = prepare(work);
    if (status == 0)
        status = run_report(&work->report, &work->options, simulate, work);
    free(work);
    return status;
}

const struct command command_simulate = {
    .name = "simulate",
    .summary = "say what a policy does to a described container",
    .help = "usage: trimtabctl simulate SCENARIO.ini --policy FILE|NAME [options]\n"
            "\n"
            "Runs the code that decides in trimtab over a model of a container and its processes, with a clock of its\n"
            "own, and prints what replay prints. Decisions act on the model. The same scenario, policy and seed give\n"
            "the same run.\n"
            "\n"
            "  --policy FILE|NAME      as for trimtab, also from TRIMTAB_POLICY, else /etc/trimtab.ini\n"
            "  --set SECTION.KEY=VALUE one setting; repeatable\n"
            "  --svg FILE              draw it too\n"
            "  --seed N                instead of the scenario's\n",
    .run = run,
};
