"""Runs the drivers of the bench, prints one table, and holds it against the numbers to reach.

Started by run.sh: table.py TRIMTAB DIRECTORY_OF_DRIVERS [--quick] [--strict]
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

# Debian's inits, with the words that make them do the same as trimtab does by itself.
PEERS = {
    "tini": ("/usr/bin/tini", "-s", "--"),  # -s: subreaper, and no warning that it is not PID 1
    "tini-static": ("/usr/bin/tini-static", "-s", "--"),
    "dumb-init": ("/usr/bin/dumb-init", "-c", "--"),  # -c: signals go to the worker alone, no session of its own
    "catatonit": ("/usr/bin/catatonit", "--"),
}
POLICY = ("--set", "recycle.at=4G")  # a policy that watches, with all far from its line
WATCHED = 64
# How far apart two programs that do the same are measured: of a signal, and of a burst of 20000 processes, where
# the same init differs from itself by so much from one run to the next.
NOISE = 1.05
NOISE_BURST = 1.25


class Table:
    """Rows of measures, columns of contestants, and the targets."""

    def __init__(self, names):
        self.names = names
        self.rows = []
        self.targets = []
        self.missed = 0

    def add(self, measure, unit, values, digits=0):
        self.rows.append((measure, unit, values, digits))

    def target(self, what, value, limit, digits=2, remark=""):
        good = value is not None and value <= limit
        self.missed += not good
        shown = "not measured" if value is None else f"{value:.{digits}f}"
        self.targets.append((what, f"{limit:.{digits}f}", shown, "ok" if good else "MISSED", remark))

    def print(self):
        print("Each peer's value is followed by trimtab's as a multiple of it.\n")
        lines = [["", "unit", *self.names]]
        for measure, unit, values, digits in self.rows:
            line = [measure, unit]
            own = values.get("trimtab")
            for name in self.names:
                value = values.get(name)
                if value is None:
                    line.append("-")
                elif name == "trimtab" or not value or own is None:
                    line.append(f"{value:.{digits}f}")
                else:
                    line.append(f"{value:.{digits}f} {own / value:.2f}x")
            lines.append(line)
        print_columns(lines)
        print()
        print_columns([["number to reach", "at most", "is", "", ""], *map(list, self.targets)])


def print_columns(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        first = line[0].ljust(widths[0])
        print("  ".join([first, *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]).rstrip())


def drive(driver, words, contestants, columns):
    """Run a C driver; return {column: {name: number}}."""
    command = [driver, *map(str, words)]
    for name, prefix in contestants.items():
        command += [":", name, *prefix]
    with open(os.devnull, "r+b") as null:
        done = subprocess.run(command, stdin=null, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: {os.path.basename(driver)} failed ({done.returncode}): {done.stdout}{done.stderr[-2000:]}")
    result = {column: {} for column in columns}
    for line in done.stdout.splitlines():
        name, *numbers = line.split("\t")
        for column, number in zip(columns, numbers):
            result[column][name] = int(number)
    return result


def scaled(values, divisor):
    return {name: value / divisor for name, value in values.items()}


def ratio(values, own="trimtab", peer="tini"):
    """own as a multiple of peer, or None where that is not installed."""
    return values[own] / values[peer] if peer in values else None


def to_best(values, own="trimtab"):
    """own as a multiple of the best peer."""
    peers = [values[name] for name in PEERS if name in values]
    return values[own] / min(peers) if peers else None


def measure_size(table, contestants, scratch):
    sizes = {}
    for name, prefix in contestants.items():
        stripped = os.path.join(scratch, "stripped")
        subprocess.run(["strip", "-o", stripped, prefix[0]], check=True)
        sizes[name] = os.path.getsize(stripped)
        os.unlink(stripped)
    table.add("size, stripped", "KiB", scaled(sizes, 1024), 1)
    image = pathlib.Path(contestants["trimtab"][0]).resolve().parent.parent / "src/agent/image.so"
    agent = image.stat().st_size if image.exists() else 0
    table.target("size, stripped, without the agent inside: KiB", (sizes["trimtab"] - agent) / 1024, 122, 1)


def measure_startup(table, drivers, contestants, rounds):
    with_bare = {**contestants, "bare": (), "with policy": (*contestants["trimtab"][:1], *POLICY, "--")}
    for program, path in (("a static program", os.path.join(drivers, "static_true")), ("/bin/true", "/bin/true")):
        took = drive(os.path.join(drivers, "startup"), (rounds, path), with_bare, ("median", "p10"))
        table.add(f"start {program}, median", "us", scaled(took["median"], 1000))
        table.add(f"start {program}, p10", "us", scaled(took["p10"], 1000))
        if program == "a static program":
            floor = ratio(took["median"], own="floor")
            remark = f"(the floor: {floor:.2f})" if floor else ""
            table.target("start a static program: x tini's median", ratio(took["median"]), 0.20, remark=remark)


def memory_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))


def wakeups(pid):
    """How often it slept and was woken so far."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches:"))


def start_idle(command, log):
    """As PID 1 of a pid namespace of its own; returns the unshare(1) around it, and its pid out here."""
    around = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
    )
    if around.stdout.readline() != b"ready\n":
        around.kill()
        sys.exit(f"bench: {command[0]} does not start its worker")
    with open(f"/proc/{around.pid}/task/{around.pid}/children", encoding="ascii") as file:
        return around, int(file.read())


def measure_idle(table, drivers, contestants, seconds, settle_s):
    worker = os.path.join(drivers, "idle_worker")
    commands = {name: [*prefix, worker, "0"] for name, prefix in contestants.items()}
    own = contestants["trimtab"][0]
    commands["with policy"] = [own, *POLICY, "--", worker, str(WATCHED)]
    around, pids = [], {}
    with open(os.path.join(drivers, "idle.log"), "wb") as log:
        try:
            for name, command in commands.items():
                process, pids[name] = start_idle(command, log)
                around.append(process)
            time.sleep(settle_s)  # a fresh pool is looked at more often
            before = {name: wakeups(pid) for name, pid in pids.items()}
            begin_s = time.monotonic()
            time.sleep(seconds)
            took_s = time.monotonic() - begin_s
            woken = {name: (wakeups(pid) - before[name]) / took_s for name, pid in pids.items()}
            memory = {name: memory_kb(pid) for name, pid in pids.items()}
        finally:
            for process in around:
                process.kill()  # and with it its namespace
                process.wait(timeout=10)
    table.add("idle memory (Rss)", "kB", memory)
    table.add(f"idle wakeups, {seconds} s", "1/s", woken, 2)
    table.target("memory without policy: kB", memory["trimtab"], 100, 0)
    table.target(f"memory watching {WATCHED} workers: kB", memory["with policy"], 192, 0)
    table.target("wakeups without policy: 1/s", woken["trimtab"], 0)
    table.target("wakeups watching, all far from a limit: 1/s", woken["with policy"], 0.2)


def measure_latency(table, drivers, contestants, rounds, signals):
    peers = {name: prefix for name, prefix in contestants.items() if name != "floor"}  # which forwards nothing
    result = drive(
        os.path.join(drivers, "latency"), (rounds, signals), {**peers, "bare": ()}, ("median", "best", "arrived")
    )
    table.add("pass SIGTERM on, median of rounds", "us", scaled(result["median"], 1000), 1)
    table.add("pass SIGTERM on, best round", "us", scaled(result["best"], 1000), 1)
    table.add(f"signals arrived of {rounds * signals}", "", result["arrived"])
    table.target("pass SIGTERM on: x the best peer", to_best(result["median"]), NOISE)
    table.target("signals lost", rounds * signals - result["arrived"]["trimtab"], 0, 0)


def measure_orphans(table, drivers, contestants, rounds, count):
    columns = ("total", "drain", "best", "cpu", "reaped")
    result = drive(os.path.join(drivers, "orphans"), (rounds, count), contestants, columns)
    table.add(f"{count} orphans, total", "ms", scaled(result["total"], 1e6))
    table.add(f"{count} orphans, drain, median", "ms", scaled(result["drain"], 1e6))
    table.add(f"{count} orphans, drain, best round", "ms", scaled(result["best"], 1e6))
    table.add(f"{count} orphans, CPU of the init", "ms", scaled(result["cpu"], 1e6))
    table.add(f"rounds of {rounds} with all reaped", "", result["reaped"])
    floor = to_best(result["best"], own="floor")
    remark = f"(the floor: {floor:.2f})" if floor else ""
    table.target(f"{count} orphans, drain, best round: x the best peer", to_best(result["best"]), NOISE_BURST, remark=remark)
    table.target("rounds with an orphan left", rounds - result["reaped"]["trimtab"], 0, 0)


def measure_look(table, drivers):
    done = subprocess.run([os.path.join(drivers, "look")], stdout=subprocess.PIPE, text=True, check=True)
    looks = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("look ")]
    cost = {}
    for count, bare_ns, look_ns, times_bare in looks:
        both_us = {"trimtab": float(look_ns) / 1e3, "bare": float(bare_ns) / 1e3}
        table.add(f"a look, {count} processes, each", "us", both_us, 2)
        table.target(f"a look, {count} processes: x a bare pread", float(times_bare), 1.25)
        cost[int(count)] = float(look_ns) / float(bare_ns), float(look_ns)
    most = max(cost)
    table.target(f"a look at {most}: x the excess over a pread at 1", cost[most][0] / cost[1][0], NOISE)


def main():
    parser = argparse.ArgumentParser(prog="run.sh", description="What trimtab costs, beside other inits.")
    parser.add_argument("trimtab", help=argparse.SUPPRESS)
    parser.add_argument("drivers", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a number is missed")
    options = parser.parse_args()

    for name in [name for name in os.environ if name.startswith(("TRIMTAB_", "TINI_", "DUMB_INIT_", "CATATONIT_"))]:
        del os.environ[name]
    contestants = {"trimtab": (os.path.abspath(options.trimtab), "--")}
    contestants["floor"] = (os.path.join(options.drivers, "floor_init"),)
    for name, command in PEERS.items():
        if os.access(command[0], os.X_OK):
            contestants[name] = command
        else:
            print(f"bench: {command[0]} is not installed and left out", file=sys.stderr)
    table = Table([*contestants, "with policy", "bare"])
    quick = options.quick
    print(f"trimtab is {options.trimtab}; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n", flush=True)
    measure_size(table, contestants, options.drivers)
    measure_startup(table, options.drivers, contestants, 100 if quick else 600)
    measure_idle(table, options.drivers, contestants, 10 if quick else 30, 3)
    measure_latency(table, options.drivers, contestants, 2 if quick else 5, 1000)
    measure_orphans(table, options.drivers, contestants, 3 if quick else 7, 20000)
    measure_look(table, options.drivers)
    table.print()
    return 1 if options.strict and table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
