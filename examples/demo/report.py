"""The report of examples/demo.sh: both memory curves as text and as SVG, and a table.

report.py DIRECTORY LINE_BYTES SVG

DIRECTORY holds, for the runs `bare` and `trimtab`: NAME.samples (sample.py), NAME.wrk (what wrk printed)
and NAME.log (stderr of the server). Every number printed comes from these files.
"""

import os
import re
import sys
from xml.sax.saxutils import escape

RUNS = ("bare", "trimtab")
MIB = 1 << 20
COLUMNS, LINES = 72, 16


class Run:
    """What is known of one run."""

    def __init__(self, directory, name):
        def read(kind):
            with open(os.path.join(directory, f"{name}.{kind}"), encoding="utf-8", errors="replace") as file:
                return file.read()

        rows = [tuple(map(float, line.split())) for line in read("samples").splitlines()]
        if not rows:
            sys.exit(f"demo: no sample of the run {name}")
        self.name = name
        self.curves = {
            "sum": [(row[0], row[1] / MIB) for row in rows],
            "largest": [(row[0], row[2] / MIB) for row in rows],
        }
        self.log = read("log")
        self.count_events()
        self.read_wrk(read("wrk"))

    def count_events(self):
        """Lines of trimtab's log, by event."""
        self.recycles = len(re.findall(r"^trimtab: recycle ", self.log, re.MULTILINE))
        self.replaced = len(re.findall(r"^trimtab: replaced ", self.log, re.MULTILINE))
        self.kills = len(re.findall(r"^trimtab: kill ", self.log, re.MULTILINE))

    def read_wrk(self, text):
        """Requests served and failed."""
        total = re.search(r"(\d+) requests in", text)
        if total is None:
            sys.exit(f"demo: wrk of the run {self.name} says: {text.strip() or 'nothing'}")
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        self.refused = int(refused.group(1)) if refused else 0
        self.served = int(total.group(1)) - self.refused
        self.failed = self.refused + (sum(map(int, errors.groups())) if errors else 0)
        slow = re.search(r"99%\s+([\d.]+\w+)", text)
        self.p99 = slow.group(1) if slow else "-"

    def peak(self, curve):
        """Highest value, MiB."""
        return max(value for _, value in self.curves[curve])

    def final(self, curve):
        """Last value, MiB."""
        return self.curves[curve][-1][1]


def ceiling(value):
    """A round number not below value, whose quarters are round too."""
    step = 10
    while True:
        for tenths in (10, 12, 16, 20, 24, 32, 40, 60, 80):
            if value <= tenths * step / 10:
                return tenths * step // 10
        step *= 10


def text_plot(runs, curve, title, top, seconds, line=None):
    """One plot: '#' bare, 'o' trimtab, '@' both, '-' the line."""
    grid = [[" "] * COLUMNS for _ in range(LINES)]

    def row_of(value):
        return LINES - 1 - min(LINES - 1, int(value / top * LINES))

    if line is not None:
        grid[row_of(line)] = ["-"] * COLUMNS
    for run, mark in zip(runs, "#o"):
        for at, value in run.curves[curve]:
            column = min(COLUMNS - 1, int(at / seconds * COLUMNS))
            row = grid[row_of(value)]
            row[column] = mark if row[column] in (" ", "-", mark) else "@"
    print(title)
    for number, row in enumerate(grid):
        label = f"{top * (LINES - number) / LINES:.0f} MiB" if number % 4 == 0 else ""
        print(f"{label:>9} |{''.join(row)}".rstrip())
    print(" " * 10 + "+" + "-" * COLUMNS)
    middle = f"{seconds / 2:.0f} s"
    print(" " * 11 + "0 s".ljust(COLUMNS // 2) + middle.ljust(COLUMNS // 2 - 5) + f"{seconds:.0f} s")
    legend = "# bare    o under trimtab    @ both"
    print(" " * 11 + legend + (f"    - recycle.at = {line:.0f}M" if line is not None else "") + "\n")


COLOURS = {"bare": "#c0392b", "trimtab": "#1f6fb2"}
WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, GAP = 860, 230, 80, 30, 70, 70


def text_at(x, y, text, anchor="middle", extra=""):
    """An SVG text element."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def svg_panel(runs, curve, title, top, seconds, y, line=None):
    """Axes, grid, curves and the line of one panel, from y downwards."""
    inner = WIDTH - LEFT - RIGHT
    bottom = y + PANEL_HEIGHT

    def place(at, value):
        return LEFT + at / seconds * inner, bottom - value / top * PANEL_HEIGHT

    parts = [text_at(LEFT, y - 12, title, "start", ' font-weight="bold"')]
    for i in range(5):
        value = top * i / 4
        height = place(0, value)[1]
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" stroke="#ddd"/>')
        parts.append(text_at(LEFT - 8, height + 4, f"{value:.0f} MiB", "end"))
    for i in range(6):
        at = seconds * i / 5
        x = place(at, 0)[0]
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}" stroke="#333"/>')
        parts.append(text_at(x, bottom + 20, f"{at:.0f} s"))
    parts.append(f'<polyline points="{LEFT},{y} {LEFT},{bottom} {WIDTH - RIGHT},{bottom}" fill="none" stroke="#333"/>')
    if line is not None:
        height = place(0, line)[1]
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" '
            'stroke="#555" stroke-dasharray="6 4"/>'
        )
        parts.append(text_at(LEFT + 6, height - 5, f"recycle.at = {line:.0f}M", "start"))
    for run in runs:
        points = " ".join("{:.1f},{:.1f}".format(*place(at, value)) for at, value in run.curves[curve])
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[run.name]}" stroke-width="2"/>')
    return parts


def write_svg(path, runs, tops, seconds, line):
    """Two panels, one above the other."""
    height = TOP + 2 * PANEL_HEIGHT + GAP + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for number, run in enumerate(runs):
        x = LEFT + number * 170
        label = "bare" if run.name == "bare" else "under trimtab"
        parts.append(f'<line x1="{x}" x2="{x + 26}" y1="24" y2="24" stroke="{COLOURS[run.name]}" stroke-width="3"/>')
        parts.append(text_at(x + 34, 28, f"gunicorn {label}", "start"))
    parts += svg_panel(runs, "sum", "Resident memory of all workers", tops["sum"], seconds, TOP)
    second = TOP + PANEL_HEIGHT + GAP
    parts += svg_panel(runs, "largest", "Resident memory of the largest worker", tops["largest"], seconds, second, line)
    parts.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))


def print_table(runs):
    """One row a measure, one column a run."""
    rows = [("", *(run.name for run in runs))]
    for curve, words in (("sum", "all workers"), ("largest", "largest worker")):
        rows.append((f"{words}, peak RSS", *(f"{run.peak(curve):.0f} MiB" for run in runs)))
        rows.append((f"{words}, RSS at the end", *(f"{run.final(curve):.0f} MiB" for run in runs)))
    for words, name in (
        ("recycles", "recycles"),
        ("workers replaced", "replaced"),
        ("workers killed after the grace", "kills"),
        ("requests served", "served"),
        ("requests failed", "failed"),
        ("slowest 1 % of requests, from", "p99"),
    ):
        rows.append((words, *(str(getattr(run, name)) for run in runs)))
    for row in rows:
        print(row[0].ljust(32) + "".join(cell.rjust(14) for cell in row[1:]))


def main():
    directory, line, svg = sys.argv[1], int(sys.argv[2]) / MIB, sys.argv[3]
    runs = [Run(directory, name) for name in RUNS]
    seconds = max(run.curves["sum"][-1][0] for run in runs)
    tops = {curve: ceiling(max(*(run.peak(curve) for run in runs), line)) for curve in ("sum", "largest")}
    print()
    text_plot(runs, "sum", "Resident memory of all workers", tops["sum"], seconds)
    text_plot(runs, "largest", "Resident memory of the largest worker", tops["largest"], seconds, line)
    print_table(runs)
    write_svg(svg, runs, tops, seconds, line)
    print(f"\nThe same as a drawing: {svg}")


if __name__ == "__main__":
    main()
