"""What the workloads share: a phase of load, then nothing to do until stdin says more.

    idle live=BYTES         on stdout, when a phase is over: what the program keeps of it on purpose
    a line on stdin         starts the next phase; the end of stdin ends the program
"""
import sys

SEED = 20


def say_idle(live_bytes):
    """The load is over."""
    print(f"idle live={live_bytes}", flush=True)


def next_wanted():
    """Wait for the word to go on; whether it came."""
    return bool(sys.stdin.readline())


def run(phase):
    """phase() is one load and returns the bytes that are still in use."""
    while True:
        say_idle(phase())
        if not next_wanted():
            return
