"""The drawing of table.py: for each incident both memory curves, bare and with the shipped policy, and beside them
the idle RSS of every environment as bars."""
import pathlib
import sys

import incidents
from runs import MIB, TOP

sys.path.insert(0, str(TOP / "examples/demo"))
from report import ceiling, text_at

BARE, SHIPPED, OTHER = "#c0392b", "#1f6fb2", "#9aa5b1"
WIDTH, TOP_MARGIN, ROW, PANEL = 1080, 70, 250, 170
CURVES_LEFT, CURVES_WIDTH = 70, 450
BARS_LEFT, BARS_WIDTH = 740, 250
LABEL_WIDTH = 60
SMALL = ' font-size="11"'


def colour_of(variant):
    return BARE if variant.bare else SHIPPED if variant is incidents.SHIPPED else OTHER


def line(x1, y1, x2, y2, stroke, extra=""):
    """An SVG line element."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"{extra}/>'


def curves(runs, y):
    """RSS over time, with its axes, from y downwards."""
    bottom = y + PANEL
    right = CURVES_LEFT + CURVES_WIDTH
    top = ceiling(max(run.peak() for run in runs) / MIB)
    seconds = max(run.samples[-1][0] for run in runs)
    parts = []
    for quarter in range(5):
        height = bottom - PANEL * quarter / 4
        parts.append(line(CURVES_LEFT, height, right, height, "#ddd"))
        parts.append(text_at(CURVES_LEFT - 8, height + 4, f"{top * quarter / 4:.0f}", "end", SMALL))
    for fifth in range(6):
        x = CURVES_LEFT + CURVES_WIDTH * fifth / 5
        parts.append(line(x, bottom, x, bottom + 4, "#333"))
        parts.append(text_at(x, bottom + 17, f"{seconds * fifth / 5:.0f} s", "middle", SMALL))
    for run in runs:
        points = " ".join(f"{CURVES_LEFT + at / seconds * CURVES_WIDTH:.1f},{bottom - size / MIB / top * PANEL:.1f}"
                          for at, size in run.samples)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour_of(run.variant)}" stroke-width="2"/>')
    return parts


def bars(results, incident, y):
    """The idle RSS of each environment, and where it has to end."""
    variants = [variant for variant in incident.variants if results.idle(incident, variant)]
    scale = BARS_WIDTH / max(results.idle(incident, variant) for variant in variants)
    step = min(20, PANEL / len(variants))
    bare = results.idle(incident, incidents.BARE)
    goal = BARS_LEFT + bare * (incident.most_percent or 0) / 100 * scale
    parts = []
    for number, variant in enumerate(variants):
        height = y + number * step
        idle = results.idle(incident, variant)
        share = results.share(incident, variant)
        label = f"{idle / MIB:.0f}" + (f", {share:.0f} %" if share is not None and not variant.bare else "")
        weight = ' font-weight="bold"' if variant is incidents.SHIPPED else ""
        parts.append(text_at(BARS_LEFT - 8, height + step - 5, variant.name, "end", SMALL + weight))
        parts.append(f'<rect x="{BARS_LEFT}" y="{height:.1f}" width="{idle * scale:.1f}" height="{step - 4:.1f}" '
                     f'fill="{colour_of(variant)}"/>')
        end = BARS_LEFT + idle * scale
        behind = goal if goal - LABEL_WIDTH < end < goal else end
        parts.append(text_at(behind + 6, height + step - 5, label, "start", SMALL + weight))
    if incident.most_percent is not None and bare:
        bottom = y + step * len(variants)
        parts.append(line(goal, y - 4, goal, bottom, "#333", ' stroke-dasharray="4 3"'))
        parts.append(text_at(goal, bottom + 13, f"to reach: {incident.most_percent} %", "middle", SMALL))
    return parts


def row(results, incident, y):
    """One incident."""
    runs = [run for variant in (incidents.BARE, incidents.SHIPPED)
            if (run := results.of(incident, variant)) and not run.problem and run.samples]
    parts = [text_at(CURVES_LEFT, y - 14, incident.title, "start", ' font-weight="bold"')]
    if len(runs) < 2:
        return [*parts, text_at(CURVES_LEFT, y + 20, "not measured", "start")]
    return parts + curves(runs, y) + bars(results, incident, y)


def write(path, results, chosen):
    """The whole drawing."""
    height = TOP_MARGIN + ROW * len(chosen)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text_at(CURVES_LEFT, 24, "Resident memory, MiB", "start"),
        text_at(BARS_LEFT, 24, "idle after the last load, MiB, and of the bare run", "start"),
    ]
    for number, (label, colour) in enumerate((("bare", BARE), ("shipped policy of trimtab", SHIPPED))):
        x = CURVES_LEFT + 160 + number * 90
        parts.append(line(x, 20, x + 24, 20, colour, ' stroke-width="3"'))
        parts.append(text_at(x + 30, 24, label, "start"))
    for number, incident in enumerate(chosen):
        parts += row(results, incident, TOP_MARGIN + number * ROW)
    parts.append("</svg>\n")
    pathlib.Path(path).write_text("\n".join(parts), encoding="utf-8")
