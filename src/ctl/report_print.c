/* The tables and the plot of a run. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "ctl/format.h"
#include "ctl/report.h"

enum { PIDS_SHOWN = 12, LABEL_MAX = 96 };

static int by_peak(const void *a, const void *b)
{
    const struct report_process *left = *(const struct report_process *const *)a;
    const struct report_process *right = *(const struct report_process *const *)b;
    if (left->peak_bytes != right->peak_bytes)
        return left->peak_bytes > right->peak_bytes ? -1 : 1;
    if (left->first_ms != right->first_ms)
        return left->first_ms < right->first_ms ? -1 : 1;
    return left->pid < right->pid ? -1 : left->pid > right->pid;
}

static void sort(struct report *report)
{
    if (report->count > 0)
        qsort(report->process, report->count, sizeof(struct report_process *), by_peak);
}

/* `-` for a time above a line that is off. */
static const char *span_above(uint64_t line, uint64_t ms, char *text)
{
    if (line == 0)
        return "-";
    format_span(ms, text);
    return text;
}

/* ---- processes ---- */

static void print_process(const struct report *report, const struct report_process *process, FILE *out)
{
    char peak[FORMAT_MAX], at[FORMAT_MAX], from[FORMAT_MAX], to[FORMAT_MAX], trim[FORMAT_MAX], recycle[FORMAT_MAX];
    format_bytes((double)process->peak_bytes, peak);
    format_span(process->peak_at_ms, at);
    format_span(process->first_ms, from);
    format_span(process->last_ms, to);
    (void)fprintf(out, "%10" PRId32 " %-16.16s %-6s %-3s %9s %9s %6s %9s %10s %13s %5" PRIu64 " %7" PRIu64 " %s\n",
                  process->pid, process->name, process->worker ? "worker" : "child", process->watched ? "yes" : "no",
                  from, to, peak, at, span_above(report->lines.trim, process->above_trim_ms, trim),
                  span_above(report->lines.recycle, process->above_recycle_ms, recycle), process->trims,
                  process->recycles, process->watched ? verdict_name(process->verdict) : "-");
}

static void print_processes(const struct report *report, FILE *out)
{
    (void)fprintf(out, "%10s %-16s %-6s %-3s %9s %9s %6s %9s %10s %13s %5s %7s %s\n", "pid", "name", "role", "for",
                  "from", "to", "peak", "at", "above trim", "above recycle", "trims", "recycle", "verdict");
    for (uint32_t i = 0; i < report->count && i < REPORT_ROWS_MAX; i++)
        print_process(report, report->process[i], out);
    if (report->count > REPORT_ROWS_MAX)
        (void)fprintf(out, "%10s and %u with lower peaks\n", "", report->count - REPORT_ROWS_MAX);
    if (report->unlisted > 0)
        (void)fprintf(out, "%10s and %" PRIu64 " samples of processes beyond the first %d\n", "", report->unlisted,
                      REPORT_PROCESSES_MAX);
    (void)fprintf(out, "for: whether the policy watches it; trim and recycle: how often it was told to\n");
}

/* ---- verdicts ---- */

/* Nothing is trimmed for the sake of a recording, so that its own words say what it can show. */
static const char *advice_of(const struct report *report, const struct report_process *process)
{
    static const struct verdict_evidence nothing = { .held_bytes = VERDICT_NO_FIGURE, .used_bytes = VERDICT_NO_FIGURE };
    const struct verdict_evidence *evidence = process->has_evidence ? &process->evidence : &nothing;
    if (!report->recorded || evidence->trims > 0)
        return verdict_advice(process->verdict, evidence);
    switch (evidence->shape) {
    case TREND_RISING:
        return "it keeps growing; a leak and fragmentation look alike until a trim is tried, which a recording cannot "
               "show: run it under this policy with [trim] signal set";
    case TREND_FLAT:
        return "it does not keep growing: a cache that fills, spikes, or nothing at all";
    case TREND_UNKNOWN:
        break;
    }
    return "it was seen for too short a time to tell";
}

/* One paragraph for all that have the same said of them, in the order of their peaks. */
static void print_verdicts(const struct report *report, FILE *out)
{
    for (uint32_t i = 0; i < report->count; i++) {
        const struct report_process *first = report->process[i];
        const char *advice = advice_of(report, first);
        uint32_t like = 0;
        bool said = !first->watched;
        for (uint32_t j = 0; j < i && !said; j++)
            said = report->process[j]->watched && report->process[j]->verdict == first->verdict &&
                   advice_of(report, report->process[j]) == advice;
        if (said)
            continue;
        (void)fprintf(out, "%s: %s; pid", verdict_name(first->verdict), advice);
        for (uint32_t j = i; j < report->count; j++) {
            const struct report_process *other = report->process[j];
            if (!other->watched || other->verdict != first->verdict || advice_of(report, other) != advice)
                continue;
            if (like++ < PIDS_SHOWN)
                (void)fprintf(out, " %" PRId32, other->pid);
        }
        if (like > PIDS_SHOWN)
            (void)fprintf(out, " and %u more", like - PIDS_SHOWN);
        (void)fprintf(out, "\n");
    }
}

/* ---- the whole ---- */

static void print_amount(FILE *out, const char *what, uint64_t bytes, uint64_t at_ms)
{
    char size[FORMAT_MAX], at[FORMAT_MAX];
    format_bytes((double)bytes, size);
    format_span(at_ms, at);
    (void)fprintf(out, "%-28s %s at +%s\n", what, size, at);
}

static void print_above(FILE *out, const char *what, uint64_t line, uint64_t ms)
{
    char size[FORMAT_MAX], span[FORMAT_MAX];
    if (line == 0)
        return;
    format_bytes((double)line, size);
    format_span(ms, span);
    (void)fprintf(out, "%-28s %s, at %s\n", what, span, size);
}

static void print_summary(const struct report *report, FILE *out)
{
    const struct report_container *container = &report->container;
    const uint64_t *decisions = report->decisions;
    char span[FORMAT_MAX];

    format_span(report->last_look_ms, span);
    (void)fprintf(out, "%-28s %s, %" PRIu64 " looks\n", "time", span, report->looks);
    (void)fprintf(out, "%-28s %u\n", "processes", report->count);
    print_amount(out, container->known ? "peak of the container" : "peak of the container (sum)", container->peak_bytes,
                 container->peak_at_ms);
    print_amount(out, "peak of the watched sum", report->sum_peak_bytes, report->sum_peak_at_ms);
    print_above(out, "above [container] trim_at", report->lines.container_trim, container->above_trim_ms);
    print_above(out, "above [container] recycle_at", report->lines.container_recycle, container->above_recycle_ms);
    print_above(out, "above the limit", report->lines.limit, container->above_limit_ms);
    (void)fprintf(out, "%-28s %" PRIu64, "trims", decisions[FLEET_TRIM]);
    if (!report->dry_run)
        (void)fprintf(out, ", %" PRIu64 " of %" PRIu64 " judged brought min_yield", report->trims_worth,
                      decisions[FLEET_TRIMMED]);
    (void)fprintf(out, "\n%-28s %" PRIu64 "\n", "recycles", decisions[FLEET_RECYCLE]);
    if (!report->dry_run)
        (void)fprintf(out, "%-28s %" PRIu64 "\n", "kills", decisions[FLEET_KILL]);
    (void)fprintf(out, "%-28s %" PRIu64 "\n", "kills for want of memory", report->ooms);
}

void report_print(struct report *report, FILE *out)
{
    sort(report);
    (void)fprintf(out, "\n# processes, by their peak\n");
    print_processes(report, out);
    (void)fprintf(out, "\n# verdicts\n");
    print_verdicts(report, out);
    (void)fprintf(out, "\n# summary\n");
    print_summary(report, out);
}

/* ---- the plot ---- */

static void choose_levels(const struct report *report, struct plot *plot)
{
    static const char *const labels[PLOT_PANELS][PLOT_LEVELS_MAX] = {
        [PLOT_PROCESSES] = { "trim at", "recycle at", "" }, [PLOT_CONTAINER] = { "trim at", "recycle at", "limit" }
    };
    const struct report_lines *lines = &report->lines;
    const uint64_t last[PLOT_PANELS][PLOT_LEVELS_MAX] = {
        [PLOT_PROCESSES] = { lines->trim, lines->recycle, 0 },
        [PLOT_CONTAINER] = { lines->container_trim, lines->container_recycle, lines->limit }
    };
    for (int panel = 0; panel < PLOT_PANELS; panel++) {
        for (int i = 0; i < PLOT_LEVELS_MAX; i++)
            plot->level[panel][i] = (struct plot_level){ .label = labels[panel][i],
                                                         .series = &report->level[panel][i],
                                                         .last_bytes = (double)last[panel][i],
                                                         .limit = panel == PLOT_CONTAINER && i == PLOT_LEVELS_MAX - 1 };
    }
}

int report_draw(struct report *report, const char *path, const char *title, const char *subtitle)
{
    struct plot *plot = report->plot;
    struct plot_curve *curves = calloc(report->count + 2, sizeof *curves);
    char(*labels)[LABEL_MAX] = calloc(report->count + 1, sizeof *labels);
    int r = -ENOMEM;

    if (curves != NULL && labels != NULL) {
        sort(report);
        for (uint32_t i = 0; i < report->count; i++) {
            const struct report_process *process = report->process[i];
            (void)snprintf(labels[i], LABEL_MAX, "%" PRId32 " %s%s", process->pid, process->name,
                           process->worker ? " (worker)" : "");
            curves[i] = (struct plot_curve){ .label = labels[i],
                                             .series = &process->series,
                                             .peak_bytes = (double)process->peak_bytes };
        }
        struct plot_curve container[2] = {
            { .label = "watched processes", .series = &report->sum, .peak_bytes = (double)report->sum_peak_bytes },
            { .label = "working set", .series = &report->used, .peak_bytes = (double)report->container.peak_bytes }
        };
        plot->title = title;
        plot->subtitle = subtitle;
        plot->start_utc_ms = report->start_utc_ms == REPORT_NO_UTC ? -1 : report->start_utc_ms;
        plot->span_ms = report->last_look_ms;
        plot->scale = &report->scale;
        plot->curve[PLOT_PROCESSES] = curves;
        plot->curves[PLOT_PROCESSES] = report->count;
        plot->curve[PLOT_CONTAINER] = container;
        plot->curves[PLOT_CONTAINER] = report->used.count > 0 ? 2 : 1;
        choose_levels(report, plot);
        r = plot_write(plot, path);
    }
    free(labels);
    free(curves);
    return r;
}
