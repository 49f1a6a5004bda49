#include "plot.h"

#include <cairo-svg.h>
#include <cairo.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/axis.h"
#include "ctl/format.h"
#include "ctl/output.h"

enum { WIDTH = 1280, HEIGHT = 800, LEFT = 76, RIGHT = 992, LEGEND = 1012, LEGEND_END = WIDTH - 16 };
enum { BYTES_TICKS = 8, TIME_TICKS = 10, LEGEND_ROW = 17, LABEL_MAX = 96 };

static const struct {
    double top, bottom;
    const char *title;
} panels[PLOT_PANELS] = {
    [PLOT_PROCESSES] = { 84, 464, "each process: resident memory" },
    [PLOT_CONTAINER] = { 520, 740, "the container" },
};

struct colour {
    double red, green, blue;
};

static const struct colour ink = { 0.13, 0.13, 0.15 }, faint = { 0.45, 0.45, 0.48 }, grid = { 0.89, 0.89, 0.91 },
                           grey = { 0.66, 0.66, 0.69 }, gap_colour = { 0.95, 0.93, 0.88 };

/* Told apart with any kind of colour vision: Okabe and Ito (2008), then darker ones of the same. */
static const struct colour curve_colours[PLOT_NAMED_MAX] = {
    { 0.00, 0.45, 0.70 }, { 0.80, 0.47, 0.65 }, { 0.90, 0.62, 0.00 }, { 0.34, 0.71, 0.91 },
    { 0.40, 0.35, 0.75 }, { 0.55, 0.50, 0.00 }, { 0.00, 0.25, 0.45 }, { 0.00, 0.62, 0.55 },
    { 0.60, 0.35, 0.00 }, { 0.50, 0.22, 0.40 }, { 0.55, 0.75, 0.30 }, { 0.25, 0.25, 0.30 },
};

static const struct colour level_colours[PLOT_LEVELS_MAX] = { { 0.00, 0.50, 0.20 },
                                                              { 0.80, 0.35, 0.00 },
                                                              { 0.75, 0.00, 0.10 } };

static const struct {
    const char *name;
    struct colour colour;
} marks[PLOT_MARK_KINDS] = {
    [PLOT_TRIM] = { "trim", { 0.00, 0.50, 0.20 } },         [PLOT_RECYCLE] = { "recycle", { 0.80, 0.35, 0.00 } },
    [PLOT_KILL] = { "kill", { 0.75, 0.00, 0.10 } },         [PLOT_VERDICT] = { "verdict", { 0.45, 0.20, 0.60 } },
    [PLOT_HELPLESS] = { "helpless", { 0.30, 0.30, 0.33 } }, [PLOT_OOM] = { "OOM kill", { 0.75, 0.00, 0.10 } },
};

struct canvas {
    cairo_t *cairo;
    const struct plot *plot;
    double max_bytes[PLOT_PANELS];
    uint64_t span_ms;
    double legend_y;
    uint32_t named[PLOT_PANELS]; /* of the curves, from the first */
};

void plot_add_mark(struct plot *plot, const struct plot_mark *mark)
{
    plot->mark_count[mark->kind]++;
    if (plot->marks < PLOT_MARKS_MAX)
        plot->mark[plot->marks++] = *mark;
}

static void use(struct canvas *canvas, struct colour colour, double alpha)
{
    cairo_set_source_rgba(canvas->cairo, colour.red, colour.green, colour.blue, alpha);
}

static double x_of(const struct canvas *canvas, double ms)
{
    return LEFT + ms / (double)canvas->span_ms * (RIGHT - LEFT);
}

static double y_of(const struct canvas *canvas, enum plot_panel panel, double bytes)
{
    double top = panels[panel].top, bottom = panels[panel].bottom;
    return bottom - fmin(bytes, canvas->max_bytes[panel]) / canvas->max_bytes[panel] * (bottom - top);
}

/* ---- text ---- */

enum align { ALIGN_LEFT, ALIGN_CENTRE, ALIGN_RIGHT };

static double text_width(struct canvas *canvas, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(canvas->cairo, text, &extents);
    return extents.x_advance;
}

static void write_text(struct canvas *canvas, double x, double y, enum align align, const char *text)
{
    double shift = align == ALIGN_LEFT ? 0 : text_width(canvas, text) * (align == ALIGN_CENTRE ? 0.5 : 1);
    cairo_move_to(canvas->cairo, x - shift, y);
    cairo_show_text(canvas->cairo, text);
}

/* What is too wide loses its end. text is ASCII. */
static void write_cut(struct canvas *canvas, double x, double y, double width, const char *text)
{
    char cut[LABEL_MAX];
    (void)snprintf(cut, sizeof cut, "%s", text);
    for (size_t length = strlen(cut); length > 3 && text_width(canvas, cut) > width; length--)
        (void)snprintf(cut + length - 3, sizeof cut - (length - 3), "..");
    write_text(canvas, x, y, ALIGN_LEFT, cut);
}

static void set_font(struct canvas *canvas, double size, bool bold)
{
    cairo_select_font_face(canvas->cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(canvas->cairo, size);
}

/* ---- scales ---- */

static double highest(const struct series *series)
{
    double high = 0;
    for (uint32_t i = 0; i < series->count; i++) {
        if (series->bucket[i].low <= series->bucket[i].high)
            high = fmax(high, series->bucket[i].high);
    }
    return high;
}

/* The curves decide; a level is taken in where that leaves the curves half of the room. */
static double panel_max(const struct plot *plot, enum plot_panel panel)
{
    double curves = 0;
    for (uint32_t i = 0; i < plot->curves[panel]; i++)
        curves = fmax(curves, plot->curve[panel][i].peak_bytes);
    double max = curves;
    for (int i = 0; i < PLOT_LEVELS_MAX; i++) {
        const struct plot_level *level = &plot->level[panel][i];
        double high = level->last_bytes > 0 ? highest(level->series) : 0;
        if (high <= 2 * curves)
            max = fmax(max, high);
    }
    double step = axis_bytes_step(fmax(max * 1.03, 1 << 20), BYTES_TICKS);
    return ceil(fmax(max * 1.03, 1 << 20) / step) * step;
}

static void draw_bytes_axis(struct canvas *canvas, enum plot_panel panel)
{
    double step = axis_bytes_step(canvas->max_bytes[panel], BYTES_TICKS);
    char text[LABEL_MAX];
    set_font(canvas, 11, false);
    cairo_set_line_width(canvas->cairo, 1);
    for (int tick = 0; tick * step <= canvas->max_bytes[panel]; tick++) {
        double bytes = tick * step;
        double y = round(y_of(canvas, panel, bytes)) + 0.5;
        use(canvas, bytes > 0 ? grid : faint, 1);
        cairo_move_to(canvas->cairo, LEFT, y);
        cairo_line_to(canvas->cairo, RIGHT, y);
        cairo_stroke(canvas->cairo);
        format_bytes(bytes, text);
        use(canvas, faint, 1);
        write_text(canvas, LEFT - 8, y + 4, ALIGN_RIGHT, text);
    }
    set_font(canvas, 12, true);
    use(canvas, ink, 1);
    write_text(canvas, LEFT, panels[panel].top - 10, ALIGN_LEFT, panels[panel].title);
}

static void draw_time_axis(struct canvas *canvas)
{
    uint64_t step_ms = axis_time_step_ms(canvas->span_ms, TIME_TICKS);
    char text[LABEL_MAX], since[LABEL_MAX / 2] = "it began";
    set_font(canvas, 11, false);
    for (uint64_t ms = 0; ms <= canvas->span_ms; ms += step_ms) {
        double x = round(x_of(canvas, (double)ms)) + 0.5;
        for (int panel = 0; panel < PLOT_PANELS; panel++) {
            use(canvas, ms > 0 ? grid : faint, 1);
            cairo_move_to(canvas->cairo, x, panels[panel].top);
            cairo_line_to(canvas->cairo, x, panels[panel].bottom + 4);
            cairo_stroke(canvas->cairo);
        }
        axis_print_time(ms, step_ms, text, sizeof text);
        use(canvas, faint, 1);
        for (int panel = 0; panel < PLOT_PANELS; panel++)
            write_text(canvas, x, panels[panel].bottom + 18, ALIGN_CENTRE, text);
    }
    if (canvas->plot->start_utc_ms >= 0) {
        time_t seconds = (time_t)(canvas->plot->start_utc_ms / 1000);
        struct tm utc;
        if (gmtime_r(&seconds, &utc) != NULL)
            (void)strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S UTC", &utc);
    }
    (void)snprintf(text, sizeof text, "%s since %s", axis_time_unit(step_ms), since);
    write_text(canvas, (LEFT + RIGHT) / 2.0, panels[PLOT_CONTAINER].bottom + 40, ALIGN_CENTRE, text);
}

static void draw_gaps(struct canvas *canvas)
{
    for (uint32_t i = 0; i < canvas->plot->gaps; i++) {
        const struct plot_gap *gap = &canvas->plot->gap[i];
        double from = x_of(canvas, (double)gap->from_ms), to = x_of(canvas, (double)gap->to_ms);
        for (int panel = 0; panel < PLOT_PANELS; panel++) {
            use(canvas, gap_colour, 1);
            cairo_rectangle(canvas->cairo, from, panels[panel].top, fmax(to - from, 1),
                            panels[panel].bottom - panels[panel].top);
            cairo_fill(canvas->cairo);
        }
    }
}

/* ---- curves ---- */

/* Whether a gap of the recording lies between two times: no line is drawn over it. */
static bool gap_between(const struct plot *plot, double from_ms, double to_ms)
{
    for (uint32_t i = 0; i < plot->gaps; i++) {
        if ((double)plot->gap[i].from_ms < to_ms && (double)plot->gap[i].to_ms > from_ms)
            return true;
    }
    return false;
}

/* From the low to the high of each bucket, beginning with the one that is nearer. steps: levels turn square corners. */
static void trace_path(struct canvas *canvas, enum plot_panel panel, const struct series *series, bool steps)
{
    double width_ms = (double)canvas->plot->scale->width_ms, last_ms = -1, last = 0;
    for (uint32_t i = 0; i < series->count; i++) {
        const struct series_bucket *bucket = &series->bucket[i];
        if (bucket->low > bucket->high)
            continue;
        double ms = fmin(((double)series->first + i + 0.5) * width_ms, (double)canvas->span_ms);
        bool up = last_ms < 0 || fabs(last - bucket->low) <= fabs(last - bucket->high);
        double first = up ? bucket->low : bucket->high, second = up ? bucket->high : bucket->low;
        double x = x_of(canvas, ms);
        if (last_ms < 0 || gap_between(canvas->plot, last_ms, ms))
            cairo_move_to(canvas->cairo, x, y_of(canvas, panel, first));
        else if (steps)
            cairo_line_to(canvas->cairo, x, y_of(canvas, panel, last));
        cairo_line_to(canvas->cairo, x, y_of(canvas, panel, first));
        if (second != first) /* NOLINT(clang-analyzer-core.*): two ends of one bucket */
            cairo_line_to(canvas->cairo, x, y_of(canvas, panel, second));
        last = second;
        last_ms = ms;
    }
}

static void draw_curve(struct canvas *canvas, enum plot_panel panel, uint32_t i)
{
    bool named = i < canvas->named[panel];
    const struct plot_curve *curve = &canvas->plot->curve[panel][i];
    use(canvas, named ? curve_colours[i] : grey, named ? 0.9 : 0.75);
    cairo_set_line_width(canvas->cairo, named ? 1.4 : 0.8);
    trace_path(canvas, panel, curve->series, false);
    /* A process that was seen in one look only has no line: show a dot. */
    cairo_set_line_cap(canvas->cairo, CAIRO_LINE_CAP_ROUND);
    cairo_stroke(canvas->cairo);
    cairo_set_line_cap(canvas->cairo, CAIRO_LINE_CAP_BUTT);
}

static void dash(struct canvas *canvas, bool limit)
{
    static const double line[] = { 6, 4 };
    cairo_set_dash(canvas->cairo, line, limit ? 0 : 2, 0);
    cairo_set_line_width(canvas->cairo, limit ? 1.6 : 1.2);
}

static bool is_above(const struct canvas *canvas, enum plot_panel panel, const struct plot_level *level)
{
    return highest(level->series) > canvas->max_bytes[panel];
}

static void draw_level(struct canvas *canvas, enum plot_panel panel, int i)
{
    const struct plot_level *level = &canvas->plot->level[panel][i];
    if (level->last_bytes <= 0 || is_above(canvas, panel, level))
        return;
    use(canvas, level_colours[i], 0.9);
    dash(canvas, level->limit);
    cairo_new_path(canvas->cairo);
    trace_path(canvas, panel, level->series, true);
    cairo_stroke(canvas->cairo);
    cairo_set_dash(canvas->cairo, NULL, 0, 0);
}

/* ---- marks ---- */

static void draw_shape(struct canvas *canvas, enum plot_mark_kind kind, double x, double y)
{
    cairo_t *cairo = canvas->cairo;
    cairo_new_path(cairo);
    switch (kind) {
    case PLOT_TRIM: /* a triangle that points down */
        cairo_move_to(cairo, x - 4, y - 7);
        cairo_line_to(cairo, x + 4, y - 7);
        cairo_line_to(cairo, x, y);
        cairo_close_path(cairo);
        break;
    case PLOT_RECYCLE:
        cairo_arc(cairo, x, y, 4.5, 0, 2 * M_PI);
        break;
    case PLOT_VERDICT:
        cairo_move_to(cairo, x, y - 5);
        cairo_line_to(cairo, x + 5, y);
        cairo_line_to(cairo, x, y + 5);
        cairo_line_to(cairo, x - 5, y);
        cairo_close_path(cairo);
        break;
    case PLOT_HELPLESS:
        cairo_rectangle(cairo, x - 4, y - 4, 8, 8);
        break;
    case PLOT_KILL:
    case PLOT_OOM:
    case PLOT_MARK_KINDS:
        cairo_move_to(cairo, x - 4, y - 4);
        cairo_line_to(cairo, x + 4, y + 4);
        cairo_move_to(cairo, x - 4, y + 4);
        cairo_line_to(cairo, x + 4, y - 4);
        break;
    }
    bool strokes = kind == PLOT_KILL || kind == PLOT_OOM;
    use(canvas, marks[kind].colour, 0.75);
    cairo_set_line_width(cairo, kind == PLOT_OOM ? 3 : 2);
    if (strokes) {
        cairo_stroke(cairo);
        return;
    }
    cairo_fill_preserve(cairo);
    use(canvas, (struct colour){ 1, 1, 1 }, 1);
    cairo_set_line_width(cairo, 0.6);
    cairo_stroke(cairo);
}

static void draw_marks(struct canvas *canvas)
{
    for (uint32_t i = 0; i < canvas->plot->marks; i++) {
        const struct plot_mark *mark = &canvas->plot->mark[i];
        draw_shape(canvas, mark->kind, x_of(canvas, (double)mark->at_ms), y_of(canvas, mark->panel, mark->bytes));
    }
}

/* ---- the legend ---- */

static void legend_text(struct canvas *canvas, const char *text)
{
    use(canvas, ink, 1);
    set_font(canvas, 11, false);
    write_cut(canvas, LEGEND + 30, canvas->legend_y + 4, LEGEND_END - LEGEND - 30, text);
    canvas->legend_y += LEGEND_ROW;
}

static void legend_stroke(struct canvas *canvas)
{
    cairo_move_to(canvas->cairo, LEGEND, canvas->legend_y);
    cairo_line_to(canvas->cairo, LEGEND + 22, canvas->legend_y);
    cairo_stroke(canvas->cairo);
}

static void legend_levels(struct canvas *canvas, enum plot_panel panel)
{
    for (int i = PLOT_LEVELS_MAX - 1; i >= 0; i--) {
        const struct plot_level *level = &canvas->plot->level[panel][i];
        char text[LABEL_MAX], bytes[FORMAT_MAX];
        if (level->last_bytes <= 0)
            continue;
        format_bytes(level->last_bytes, bytes);
        (void)snprintf(text, sizeof text, "%s %s%s", level->label, bytes,
                       is_above(canvas, panel, level) ? " (above the chart)" : "");
        use(canvas, level_colours[i], 0.9);
        dash(canvas, level->limit);
        legend_stroke(canvas);
        cairo_set_dash(canvas->cairo, NULL, 0, 0);
        legend_text(canvas, text);
    }
}

static void legend_curves(struct canvas *canvas, enum plot_panel panel)
{
    uint32_t count = canvas->plot->curves[panel];
    cairo_set_line_width(canvas->cairo, 2);
    for (uint32_t i = 0; i < canvas->named[panel]; i++) {
        const struct plot_curve *curve = &canvas->plot->curve[panel][i];
        char text[LABEL_MAX], bytes[FORMAT_MAX];
        format_bytes(curve->peak_bytes, bytes);
        (void)snprintf(text, sizeof text, "%s, peak %s", curve->label, bytes);
        use(canvas, curve_colours[i], 0.9);
        cairo_set_line_width(canvas->cairo, 2);
        legend_stroke(canvas);
        legend_text(canvas, text);
    }
    if (count > canvas->named[panel]) {
        char text[LABEL_MAX];
        (void)snprintf(text, sizeof text, "%u with lower peaks", count - canvas->named[panel]);
        use(canvas, grey, 1);
        legend_stroke(canvas);
        legend_text(canvas, text);
    }
}

static void legend_marks(struct canvas *canvas)
{
    for (int kind = 0; kind < PLOT_MARK_KINDS; kind++) {
        char text[LABEL_MAX];
        if (canvas->plot->mark_count[kind] == 0)
            continue;
        draw_shape(canvas, (enum plot_mark_kind)kind, LEGEND + 11, canvas->legend_y + (kind == PLOT_TRIM ? 3 : 0));
        (void)snprintf(text, sizeof text, "%s (%llu)", marks[kind].name,
                       (unsigned long long)canvas->plot->mark_count[kind]);
        legend_text(canvas, text);
    }
}

static void draw_legend(struct canvas *canvas)
{
    canvas->legend_y = panels[PLOT_PROCESSES].top + 6;
    legend_levels(canvas, PLOT_PROCESSES);
    legend_curves(canvas, PLOT_PROCESSES);
    canvas->legend_y += LEGEND_ROW / 2.0;
    legend_marks(canvas);
    canvas->legend_y = panels[PLOT_CONTAINER].top + 6;
    legend_levels(canvas, PLOT_CONTAINER);
    legend_curves(canvas, PLOT_CONTAINER);
    if (canvas->plot->gaps > 0) {
        use(canvas, gap_colour, 1);
        cairo_rectangle(canvas->cairo, LEGEND, canvas->legend_y - 6, 22, 12);
        cairo_fill(canvas->cairo);
        legend_text(canvas, "nothing was recorded");
    }
}

/* ---- the whole ---- */

static void draw(struct canvas *canvas)
{
    use(canvas, (struct colour){ 1, 1, 1 }, 1);
    cairo_paint(canvas->cairo);
    draw_gaps(canvas);
    for (int panel = 0; panel < PLOT_PANELS; panel++)
        draw_bytes_axis(canvas, (enum plot_panel)panel);
    draw_time_axis(canvas);
    for (int panel = 0; panel < PLOT_PANELS; panel++) {
        for (uint32_t i = canvas->plot->curves[panel]; i-- > 0;)
            draw_curve(canvas, (enum plot_panel)panel, i);
        for (int i = 0; i < PLOT_LEVELS_MAX; i++)
            draw_level(canvas, (enum plot_panel)panel, i);
    }
    draw_marks(canvas);
    draw_legend(canvas);
    use(canvas, ink, 1);
    set_font(canvas, 16, true);
    write_cut(canvas, LEFT, 30, LEGEND_END - LEFT, canvas->plot->title);
    set_font(canvas, 12, false);
    use(canvas, faint, 1);
    write_cut(canvas, LEFT, 50, LEGEND_END - LEFT, canvas->plot->subtitle);
}

static cairo_status_t send_bytes(void *file, const unsigned char *bytes, unsigned length)
{
    return fwrite(bytes, 1, length, file) == length ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static int draw_into(const struct plot *plot, FILE *file)
{
    struct canvas canvas = { .plot = plot, .span_ms = plot->span_ms > 0 ? plot->span_ms : 1 };
    cairo_surface_t *surface = cairo_svg_surface_create_for_stream(send_bytes, file, WIDTH, HEIGHT);
    canvas.cairo = cairo_create(surface);
    for (int panel = 0; panel < PLOT_PANELS; panel++) {
        canvas.max_bytes[panel] = panel_max(plot, (enum plot_panel)panel);
        canvas.named[panel] = plot->curves[panel] < PLOT_NAMED_MAX ? plot->curves[panel] : PLOT_NAMED_MAX;
    }
    errno = 0;
    draw(&canvas);
    cairo_status_t status = cairo_status(canvas.cairo);
    cairo_destroy(canvas.cairo);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        return 0;
    return status == CAIRO_STATUS_NO_MEMORY ? -ENOMEM : errno > 0 ? -errno : -EIO;
}

int plot_write(const struct plot *plot, const char *path)
{
    struct output_file output;
    int r = output_begin(&output, path);
    if (r < 0)
        return r;
    r = draw_into(plot, output.stream);
    return output_end(&output, r);
}
