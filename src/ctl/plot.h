/*
 * Memory over time as SVG: the processes above, the container below, the
 * lines of the policy in each, and marks where something was decided.
 */
#ifndef TRIMTAB_CTL_PLOT_H
#define TRIMTAB_CTL_PLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/series.h"

enum {
    PLOT_NAMED_MAX = 12, /* curves with a colour and a name of their own; the rest is grey */
    PLOT_LEVELS_MAX = 3,
    PLOT_MARKS_MAX = 4096,
    PLOT_GAPS_MAX = 256
};

enum plot_panel { PLOT_PROCESSES, PLOT_CONTAINER, PLOT_PANELS };

enum plot_mark_kind { PLOT_TRIM, PLOT_RECYCLE, PLOT_KILL, PLOT_VERDICT, PLOT_HELPLESS, PLOT_OOM, PLOT_MARK_KINDS };

struct plot_curve {
    const char *label;
    const struct series *series;
    double peak_bytes; /* the highest ones are named */
};

/* A line of the policy, which moves when the limit does. */
struct plot_level {
    const char *label;
    const struct series *series;
    double last_bytes; /* 0: off, and not drawn */
    bool limit;        /* drawn as the limit is */
};

struct plot_mark {
    uint64_t at_ms;
    double bytes;
    enum plot_mark_kind kind;
    enum plot_panel panel;
};

struct plot_gap {
    uint64_t from_ms, to_ms;
};

struct plot {
    const char *title;
    const char *subtitle;
    int64_t start_utc_ms; /* what the time axis counts from; negative: not known */
    uint64_t span_ms;
    const struct series_scale *scale;
    const struct plot_curve *curve[PLOT_PANELS];
    uint32_t curves[PLOT_PANELS];
    struct plot_level level[PLOT_PANELS][PLOT_LEVELS_MAX];
    struct plot_mark mark[PLOT_MARKS_MAX];
    uint32_t marks;
    uint64_t mark_count[PLOT_MARK_KINDS]; /* those that found no room in mark[] too */
    struct plot_gap gap[PLOT_GAPS_MAX];
    uint32_t gaps;
};

/* More than PLOT_MARKS_MAX are counted only. */
void plot_add_mark(struct plot *plot, const struct plot_mark *mark);

/*
 * Draw into a file beside path, which is then renamed to it: path is there as
 * a whole or not at all. 0 or -errno.
 */
int plot_write(const struct plot *plot, const char *path);

#endif
