"""The measuring tools of examples/demo.sh.

sample.py wait URL PID          until the server answers; fails when PID ends first
sample.py record PID SECONDS    memory of the gunicorn workers below PID, 4 times a second, as
                                "seconds sum_bytes largest_bytes workers" lines on stdout
sample.py stop PID              TERM to PID, or to PID 1 of the namespace that the unshare PID made; KILL after
                                10 s (unshare itself ignores TERM, and its end ends its namespace)

The workers are the children of the gunicorn master, which is the first process below PID that has
children of its own kind.
"""

import os
import signal
import sys
import time
import urllib.error
import urllib.request

PERIOD_SECONDS = 0.25
START_SECONDS = 30
STOP_SECONDS = 10
PAGE = os.sysconf("SC_PAGE_SIZE")


def children(pid):
    """Pids whose parent is pid; none once it has ended."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except OSError:
        pass
    return found


def command(pid):
    """The command line, or an empty one."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def rss_bytes(pid):
    """Resident memory; 0 for a process that has ended."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE
    except OSError:
        return 0


def workers(top):
    """The workers' pids."""
    level = [top]
    while level:
        for pid in level:
            below = children(pid)
            if below and b"gunicorn" in command(pid) and any(command(child) == command(pid) for child in below):
                return below
        level = [child for pid in level for child in children(pid)]
    return []


def record(top, seconds):
    """Print a line a sample."""
    begin = time.monotonic()
    due = begin
    while due <= begin + seconds:
        time.sleep(max(0, due - time.monotonic()))
        sizes = [size for size in map(rss_bytes, workers(top)) if size]
        print(f"{time.monotonic() - begin:.2f} {sum(sizes)} {max(sizes, default=0)} {len(sizes)}", flush=True)
        due += PERIOD_SECONDS


def wait(url, pid):
    """Return when the server answers."""
    begin = time.monotonic()
    while time.monotonic() < begin + START_SECONDS:
        if not os.path.exists(f"/proc/{pid}"):
            sys.exit("demo: the server ended while it was started")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"demo: no answer from {url} in {START_SECONDS} s")


def ended(pid):
    """Whether it is gone, or only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def stop(pid):
    """Return when it has ended."""
    told = children(pid) if command(pid).startswith(b"unshare\0") else [pid]
    for signal_number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        for target in told:
            try:
                os.kill(target, signal_number)
            except ProcessLookupError:
                pass
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            if ended(pid):
                return
            time.sleep(0.05)
        told = [pid]
    sys.exit(f"demo: {pid} does not end")


if __name__ == "__main__":
    if sys.argv[1] == "wait":
        wait(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "stop":
        stop(int(sys.argv[2]))
    else:
        record(int(sys.argv[2]), float(sys.argv[3]))
