/* What is kept of a run; report_print.c prints it. */
#include "report.h"

#include <stdlib.h>

#include "ctl/format.h"
#include "os/log.h"
#include "say.h"

enum { INDEX_SIZE = 2 * REPORT_PROCESSES_MAX, LINE_SIZE = 1024 };

/* ---- lines ---- */

static void take_event(void *user, enum log_level level, const char *event, const struct log_field *fields,
                       size_t count)
{
    struct report *report = user;
    char line[LINE_SIZE], utc[FORMAT_MAX], moment[FORMAT_MAX];
    bool has_utc = report->utc_ms != REPORT_NO_UTC;

    size_t length = log_format_line(LOG_TEXT, level, event, fields, count, 0, line, sizeof line);
    if (has_utc)
        format_utc(report->utc_ms, utc);
    format_moment(report->now_ms, moment);
    (void)fprintf(report->out, "%s%s+%s %.*s", has_utc ? utc : "", has_utc ? " " : "", moment, (int)length, line);
}

int report_open(struct report *report, FILE *out, bool draws)
{
    *report = (struct report){ .out = out, .utc_ms = REPORT_NO_UTC, .start_utc_ms = REPORT_NO_UTC };
    report->index = calloc(INDEX_SIZE, sizeof *report->index);
    report->plot = draws ? calloc(1, sizeof *report->plot) : NULL;
    if (report->index == NULL || (draws && report->plot == NULL)) {
        report_close(report);
        return -1;
    }
    log_divert(take_event, report);
    return 0;
}

void report_close(struct report *report)
{
    log_divert(NULL, NULL);
    for (uint32_t i = 0; i < report->count; i++) {
        series_free(&report->process[i]->series);
        free(report->process[i]);
    }
    for (int panel = 0; panel < PLOT_PANELS; panel++) {
        for (int i = 0; i < PLOT_LEVELS_MAX; i++)
            series_free(&report->level[panel][i]);
    }
    series_free(&report->used);
    series_free(&report->sum);
    free(report->process);
    free(report->index);
    free(report->plot);
    *report = (struct report){ 0 };
}

/* ---- series ---- */

static void halve_all(struct report *report)
{
    for (uint32_t i = 0; i < report->count; i++)
        series_halve(&report->process[i]->series);
    for (int panel = 0; panel < PLOT_PANELS; panel++) {
        for (int i = 0; i < PLOT_LEVELS_MAX; i++)
            series_halve(&report->level[panel][i]);
    }
    series_halve(&report->used);
    series_halve(&report->sum);
}

static void draw_point(struct report *report, struct series *series, uint64_t bytes)
{
    if (report->plot != NULL && series_add(series, &report->scale, report->now_ms, (double)bytes) < 0)
        report->failed = true;
}

static void mark(struct report *report, enum plot_mark_kind kind, enum plot_panel panel, uint64_t bytes)
{
    if (report->plot != NULL)
        plot_add_mark(
            report->plot,
            &(struct plot_mark){ .at_ms = report->now_ms, .bytes = (double)bytes, .kind = kind, .panel = panel });
}

/* ---- processes ---- */

static uint32_t *find_place(const struct report *report, int32_t pid)
{
    uint32_t at = (uint32_t)pid * UINT32_C(2654435761) % INDEX_SIZE;
    while (report->index[at] != 0 && report->process[report->index[at] - 1]->pid != pid)
        at = (at + 1) % INDEX_SIZE;
    return &report->index[at];
}

struct report_process *report_latest(const struct report *report, int32_t pid)
{
    uint32_t number = *find_place(report, pid);
    return number > 0 ? report->process[number - 1] : NULL;
}

static struct report_process *add(struct report *report, uint32_t *place)
{
    if (report->count == REPORT_PROCESSES_MAX) {
        report->unlisted++;
        return NULL;
    }
    if (report->count == report->room) {
        uint32_t room = report->room > 0 ? 2 * report->room : 64;
        struct report_process **grown = realloc(report->process, room * sizeof(struct report_process *));
        report->failed = report->failed || grown == NULL;
        if (grown == NULL)
            return NULL;
        report->process = grown;
        report->room = room;
    }
    struct report_process *process = calloc(1, sizeof *process);
    report->failed = report->failed || process == NULL;
    if (process == NULL)
        return NULL;
    report->process[report->count++] = process;
    *place = report->count;
    return process;
}

struct report_process *report_find(struct report *report, int32_t pid, int64_t start_ms, const char *name, bool worker)
{
    uint32_t *place = find_place(report, pid);
    struct report_process *process = *place > 0 ? report->process[*place - 1] : NULL;
    if (process == NULL || process->start_ms != start_ms) {
        process = add(report, place);
        if (process == NULL)
            return NULL;
        process->pid = pid;
        process->start_ms = start_ms;
        process->first_ms = process->last_ms = report->now_ms;
    }
    process->worker = worker;
    format_clean(name, process->name, sizeof process->name);
    return process;
}

static uint64_t sum_of(uint64_t a, uint64_t b)
{
    return a < UINT64_MAX - b ? a + b : UINT64_MAX;
}

/* A line that is there, and reached. */
static bool reaches(uint64_t bytes, uint64_t line)
{
    return line > 0 && bytes >= line;
}

void report_sample(struct report *report, struct report_process *process, uint64_t bytes, uint64_t own_bytes,
                   bool counts)
{
    uint64_t held_ms = report->after_gap ? 0 : report->now_ms - process->last_ms;
    process->above_trim_ms += reaches(process->own_bytes, report->lines.trim) ? held_ms : 0;
    process->above_recycle_ms += reaches(process->own_bytes, report->lines.recycle) ? held_ms : 0;
    process->last_ms = report->now_ms;
    process->bytes = bytes;
    process->own_bytes = own_bytes;
    process->watched = counts;
    if (bytes > process->peak_bytes) {
        process->peak_bytes = bytes;
        process->peak_at_ms = report->now_ms;
    }
    if (counts)
        report->sum_bytes = sum_of(report->sum_bytes, bytes);
    draw_point(report, &process->series, bytes);
}

/* ---- looks ---- */

void report_begin(struct report *report, uint64_t now_ms, int64_t utc_ms, bool after_gap)
{
    struct plot *plot = report->plot;
    if (report->looks == 0)
        report->start_utc_ms = utc_ms;
    if (after_gap && plot != NULL && plot->gaps < PLOT_GAPS_MAX)
        plot->gap[plot->gaps++] = (struct plot_gap){ .from_ms = report->now_ms, .to_ms = now_ms };
    report->now_ms = now_ms;
    report->utc_ms = utc_ms;
    report->after_gap = after_gap;
    report->sum_bytes = 0;
    for (unsigned times = plot != NULL ? series_scale_to(&report->scale, now_ms) : 0; times > 0; times--)
        halve_all(report);
}

static void hold_container(struct report *report)
{
    struct report_container *container = &report->container;
    uint64_t held_ms = report->after_gap || report->looks == 0 ? 0 : report->now_ms - report->last_look_ms;
    container->above_trim_ms += reaches(container->used_bytes, report->lines.container_trim) ? held_ms : 0;
    container->above_recycle_ms += reaches(container->used_bytes, report->lines.container_recycle) ? held_ms : 0;
    container->above_limit_ms += reaches(container->used_bytes, report->lines.limit) ? held_ms : 0;
}

void report_end(struct report *report, uint64_t used_bytes, const struct report_lines *lines)
{
    struct report_container *container = &report->container;
    hold_container(report);
    report->last_look_ms = report->now_ms;
    report->looks++;
    report->lines = *lines;
    container->known = used_bytes != FLEET_UNKNOWN;
    container->used_bytes = container->known ? used_bytes : report->sum_bytes;
    if (container->used_bytes > container->peak_bytes) {
        container->peak_bytes = container->used_bytes;
        container->peak_at_ms = report->now_ms;
    }
    if (report->sum_bytes > report->sum_peak_bytes) {
        report->sum_peak_bytes = report->sum_bytes;
        report->sum_peak_at_ms = report->now_ms;
    }
    if (container->known)
        draw_point(report, &report->used, used_bytes);
    draw_point(report, &report->sum, report->sum_bytes);
    const uint64_t levels[PLOT_PANELS][PLOT_LEVELS_MAX] = {
        [PLOT_PROCESSES] = { lines->trim, lines->recycle, 0 },
        [PLOT_CONTAINER] = { lines->container_trim, lines->container_recycle, lines->limit }
    };
    for (int panel = 0; panel < PLOT_PANELS; panel++) {
        for (int i = 0; i < PLOT_LEVELS_MAX; i++) {
            if (levels[panel][i] > 0)
                draw_point(report, &report->level[panel][i], levels[panel][i]);
        }
    }
}

/* ---- decisions ---- */

void report_evidence(struct report_process *process, const struct verdict_evidence *evidence)
{
    process->has_evidence = true;
    process->evidence = *evidence;
    process->verdict = verdict_of(evidence);
}

void report_decision(struct report *report, const struct fleet_decision *decision)
{
    struct report_process *process = report_latest(report, decision->pid);
    uint64_t bytes = process != NULL ? process->bytes : decision->rss_bytes;

    report->decisions[decision->action]++;
    if (process != NULL) {
        process->trims += decision->action == FLEET_TRIM;
        process->recycles += decision->action == FLEET_RECYCLE;
        process->kills += decision->action == FLEET_KILL && decision->first;
    }
    if (process != NULL && decision->action == FLEET_VERDICT)
        report_evidence(process, &decision->evidence);
    switch (decision->action) {
    case FLEET_TRIM:
        mark(report, PLOT_TRIM, PLOT_PROCESSES, bytes);
        break;
    case FLEET_TRIMMED:
        report->trims_worth += decision->enough;
        break;
    case FLEET_VERDICT:
        mark(report, PLOT_VERDICT, PLOT_PROCESSES, bytes);
        break;
    case FLEET_RECYCLE:
        mark(report, PLOT_RECYCLE, PLOT_PROCESSES, bytes);
        break;
    case FLEET_KILL:
        mark(report, PLOT_KILL, PLOT_PROCESSES, bytes);
        break;
    case FLEET_HELPLESS:
        mark(report, PLOT_HELPLESS, PLOT_CONTAINER, decision->used_bytes);
        break;
    case FLEET_NONE:
    case FLEET_MEASURE:
    case FLEET_REPLACED:
    case FLEET_HELD:
        break;
    }
    /* A KILL is repeated, its line is not. PID 1 would have said a dry run's acts as such. */
    if (decision->action != FLEET_KILL || decision->first)
        say_decision(decision, report->dry_run);
}

void report_oom(struct report *report, int32_t pid, uint64_t count)
{
    report->ooms += count;
    mark(report, PLOT_OOM, PLOT_CONTAINER, report->container.used_bytes);
    log_event(LOG_WARNING, "oom", pid > 0 ? log_number("pid", pid) : log_text("", NULL),
              log_number("count", (int64_t)count));
}
