"""Runs the incidents, prints one table of them, and holds it against the numbers to reach.

Started by run.sh: table.py TRIMTAB DIRECTORY [--quick] [--jobs N] [INCIDENT ...]
"""
import argparse
import concurrent.futures
import os
import pathlib
import signal
import sys
import time

import chart
import incidents
from runs import MIB, PHASES, Run, namespace

JOBS = 12  # most of a run is waiting for a process to be idle


def percent(part, whole):
    return 100 * part / whole if whole else 0.0


class Results:
    """What became of all runs."""

    def __init__(self, runs):
        self.runs = {(run.incident.name, run.variant.name): run for run in runs}

    def of(self, incident, variant):
        return self.runs.get((incident.name, variant.name))

    def idle(self, incident, variant):
        """Idle RSS after the last phase; 0 where that is not known."""
        run = self.of(incident, variant)
        return run.phases[-1].idle_bytes if run and not run.problem else 0

    def share(self, incident, variant):
        """Of the bare idle RSS, in percent; None where that is not known."""
        bare, own = self.idle(incident, incidents.BARE), self.idle(incident, variant)
        return percent(own, bare) if bare and own else None


HEADER = ("", "live", "peak", "before", "idle", "of bare", "trims", "yield", "CPU s", "verdict")


def row_of(results, incident, variant):
    """One run, by its last phase."""
    run = results.of(incident, variant)
    if run.problem:
        return f"  {variant.name}", "failed:", run.problem
    last = run.phases[-1]
    trims = run.trims()
    verdict = run.verdict()
    return (f"  {variant.name}", f"{last.live_bytes / MIB:.1f}", f"{run.peak() / MIB:.0f}",
            f"{last.before_bytes / MIB:.0f}", f"{last.idle_bytes / MIB:.0f}",
            f"{share:.0f}%" if (share := results.share(incident, variant)) is not None else "?",
            str(len(trims)) if variant.trims else "-",
            f"{trims[-1]['yield'] * 100:.0f}%" if trims else "-",
            f"{sum(phase.cpu_seconds for phase in run.phases):.1f}", verdict["verdict"] if verdict else "-")


def print_table(results, chosen):
    rows = [HEADER]
    for incident in chosen:
        rows.append((incident.title,))
        rows += [row_of(results, incident, variant) for variant in incident.variants
                 if results.of(incident, variant)]
    widths = [max(len(row[i]) for row in rows if len(row) == len(HEADER)) for i in range(len(HEADER))]
    print(f"MiB of resident memory, after the last of {PHASES} phases of load. live: what the program keeps on\n"
          "purpose; before: as the load ends; idle: once it has held still. yield: of the last trim. CPU s: of the\n"
          "loads, with other runs beside.\n"
          "environment: no agent; trims: no MALLOC_ARENA_MAX; jemalloc with\n"
          f"1 arena: {incidents.ONE_ARENA}; decay: {incidents.BACKGROUND}\n")
    for row in rows:
        if len(row) == len(HEADER):
            print(row[0].ljust(widths[0]) + "".join(cell.rjust(width + 3) for cell, width in zip(row[1:], widths[1:])))
        else:
            print("  ".join(row))


def print_verdicts(results, chosen):
    print("\nWhat trimtab says with the shipped policy:")
    for incident in chosen:
        run = results.of(incident, incidents.SHIPPED)
        verdict = run and run.verdict()
        print(f"  {incident.title}: {verdict['verdict']}: {verdict['advice']}" if verdict else
              f"  {incident.title}: no verdict")


def check(what, good, wanted, found):
    """One line; returns whether it is good."""
    print(f"  {what.ljust(66)} {wanted.ljust(36)} {found.ljust(14)} {'OK' if good else 'MISSED'}")
    return good


def check_share(results, incident, variant, most_percent):
    share = results.share(incident, variant)
    return check(f"{incident.title}: idle RSS, {variant.name}", share is not None and share <= most_percent,
                 f"<= {most_percent}% of bare", "not measured" if share is None else f"{share:.1f}%")


def check_verdict(results, incident):
    verdict = results.of(incident, incidents.SHIPPED).verdict() or {"verdict": "none", "advice": ""}
    good = verdict["verdict"] == incident.verdict and incident.advice in verdict["advice"]
    return check(f"{incident.title}: verdict", good, f"{incident.verdict}: {incident.advice}", verdict["verdict"])


def check_all(results, chosen):
    """The numbers to reach; returns how many are missed."""
    good = []
    print("\nTo reach:")
    for incident in chosen:
        if incident.most_percent is not None:
            good.append(check_share(results, incident, incidents.SHIPPED, incident.most_percent))
        good.append(check_verdict(results, incident))
        advised = incident.variants[-1]
        if incident.advised_percent is not None and results.of(incident, advised):
            good.append(check_share(results, incident, advised, incident.advised_percent))
    for run in results.runs.values():
        if run.problem:
            good.append(check(f"{run.incident.title}, {run.variant.name}", False, "to end well", run.problem))
    return good.count(False)


def print_logs(runs):
    """What those that failed had to say."""
    for run in runs:
        if run.problem:
            print(f"\n{run.directory / 'log'}:\n{run.tail()}")


def stop_all(runs, number):
    """Told to end before the end."""
    for run in runs:
        run.kill()
    os._exit(128 + number)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trimtab", type=os.path.abspath)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="bare and with the shipped policy only")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("incident", nargs="*")
    arguments = parser.parse_intermixed_args()
    chosen = incidents.chosen(arguments.incident)
    variants = (incidents.BARE, incidents.SHIPPED)
    words = namespace()
    if not words:
        print("incidents: no pid namespace to be had here: trimtab is not PID 1")
    runs = [Run(incident, variant, [*words, arguments.trimtab], arguments.directory.absolute())
            for incident in chosen for variant in (variants if arguments.quick else incident.variants)]
    signal.signal(signal.SIGTERM, lambda number, _: stop_all(runs, number))
    signal.signal(signal.SIGINT, lambda number, _: stop_all(runs, number))
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for number, run in enumerate(pool.map(Run.run, runs), 1):
            print(f"{number}/{len(runs)} {run.name}{': ' + run.problem if run.problem else ''}", flush=True)
    print()
    results = Results(runs)
    print_table(results, chosen)
    print_verdicts(results, chosen)
    missed = check_all(results, chosen)
    print_logs(runs)
    drawing = arguments.directory / "incidents.svg"
    chart.write(drawing, results, chosen)
    print(f"\n{time.monotonic() - begin:.0f} s for {len(runs)} runs. Drawn in {drawing}; logs of trimtab beside it.")
    print(f"{missed} missed" if missed else "all reached")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
