/*
 * What was seen and decided over a time, whether recorded or simulated: lines
 * as they come, then tables, and a plot. Times are ms since the beginning.
 *
 * A look is: report_begin; report_sample for each process, and
 * report_decision as decisions fall; report_end. Memory is bounded by the
 * number of processes, not by the length of the time.
 */
#ifndef TRIMTAB_CTL_REPORT_H
#define TRIMTAB_CTL_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/plot.h"
#include "ctl/series.h"
#include "policy/fleet.h"

enum {
    REPORT_PROCESSES_MAX = 65536, /* over the whole time; what is beyond is counted */
    REPORT_NAME_MAX = 64,
    REPORT_ROWS_MAX = 64 /* of the table; what is beyond is counted */
};

#define REPORT_NO_UTC INT64_MIN

struct report_process {
    int32_t pid;
    int64_t start_ms;
    char name[REPORT_NAME_MAX]; /* printable ASCII */
    bool worker;
    bool watched; /* it counted for the policy when last seen */
    bool has_evidence;
    uint64_t first_ms, last_ms;
    uint64_t bytes, peak_bytes, peak_at_ms;
    uint64_t own_bytes; /* by the policy's metric: what its lines are held against */
    uint64_t above_trim_ms, above_recycle_ms;
    uint64_t trims, recycles, kills;
    enum verdict verdict; /* the last */
    struct verdict_evidence evidence;
    struct series series;
    void *user; /* the caller's */
};

/* Bytes; 0: off. */
struct report_lines {
    uint64_t trim, recycle, container_trim, container_recycle, limit;
};

struct report_container {
    uint64_t used_bytes; /* at the last look */
    uint64_t peak_bytes, peak_at_ms;
    uint64_t above_trim_ms, above_recycle_ms, above_limit_ms;
    bool known; /* else used_bytes is the sum of the watched processes */
};

struct report {
    FILE *out;
    bool dry_run;                 /* nothing was done, and the lines say so */
    bool recorded;                /* what was seen does not depend on what was decided */
    bool failed;                  /* no memory */
    int64_t utc_ms, start_utc_ms; /* of now and of the beginning, or REPORT_NO_UTC */
    uint64_t now_ms, last_look_ms;
    bool after_gap;
    uint64_t looks;

    struct report_process **process;
    uint32_t count, room;
    uint32_t *index;   /* hash of a pid -> number of its latest process + 1 */
    uint64_t unlisted; /* samples of those beyond REPORT_PROCESSES_MAX */

    struct report_lines lines;
    struct report_container container;
    uint64_t sum_bytes, sum_peak_bytes, sum_peak_at_ms; /* over the watched ones */
    uint64_t decisions[FLEET_HELPLESS + 1];
    uint64_t trims_worth;
    uint64_t ooms;

    struct plot *plot; /* NULL: none is wanted */
    struct series_scale scale;
    struct series used, sum;
    struct series level[PLOT_PANELS][PLOT_LEVELS_MAX];
};

/* out gets the lines; every log_event goes there too, until report_close. 0, or -1 without memory. */
int report_open(struct report *report, FILE *out, bool draws);
void report_close(struct report *report);

/* utc_ms: or REPORT_NO_UTC. after_gap: nothing is known of the time since the last look. */
void report_begin(struct report *report, uint64_t now_ms, int64_t utc_ms, bool after_gap);

/* A process, known before or new; NULL when there are too many, or no memory (report->failed). */
struct report_process *report_find(struct report *report, int32_t pid, int64_t start_ms, const char *name, bool worker);

/* The process that last had this pid, or NULL. */
struct report_process *report_latest(const struct report *report, int32_t pid);

/* bytes: resident. own_bytes: by the policy's metric. counts: it is one of those that the policy watches. */
void report_sample(struct report *report, struct report_process *process, uint64_t bytes, uint64_t own_bytes,
                   bool counts);

/* Say and count it. FLEET_NONE and FLEET_MEASURE are passed over. */
void report_decision(struct report *report, const struct fleet_decision *decision);

/* What is known of a process, when the policy has not said it. */
void report_evidence(struct report_process *process, const struct verdict_evidence *evidence);

/* The kernel killed for want of memory; pid: whom, 0: not known. */
void report_oom(struct report *report, int32_t pid, uint64_t count);

/* used_bytes: of the container, FLEET_UNKNOWN: not known. lines: as they stood in this look. */
void report_end(struct report *report, uint64_t used_bytes, const struct report_lines *lines);

/* The tables. */
void report_print(struct report *report, FILE *out);

/* The plot. 0 or -errno. */
int report_draw(struct report *report, const char *path, const char *title, const char *subtitle);

#endif
