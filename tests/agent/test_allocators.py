"""What a trim gives back on each allocator, and Python's collector."""
import glob
import os
import pathlib
import platform
import shutil
import signal
import subprocess

import pytest

from conftest import AGENT, UNKNOWN, sleeps, until

LIBRARY = f"/usr/lib/{platform.machine()}-linux-gnu"
PRELOADED = {"glibc": None, "jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4",
             "mimalloc": "libmimalloc.so.2"}
MIB = 1 << 20


@pytest.mark.parametrize("allocator", PRELOADED)
def test_a_trim_returns_what_is_free(allocator, program, reports, start):
    name = PRELOADED[allocator]
    if name and not os.path.exists(f"{LIBRARY}/{name}"):
        pytest.skip(f"{name} is not installed")
    preload = f"{LIBRARY}/{name}:{AGENT}" if name else str(AGENT)
    # Without its own timed purges, or what the trim brings could not be told from them.
    process = start(program("heap"), 64, env=reports.environment(
        LD_PRELOAD=preload, MALLOC_CONF="dirty_decay_ms:-1,muzzy_decay_ms:-1", MIMALLOC_PAGE_RESET="0"))
    pid = int(process.stdout.readline())
    until(lambda: sleeps(pid))
    os.kill(pid, signal.SIGURG)
    report = reports.take()
    assert report["allocator"] == allocator
    print(allocator, {key: report[key] // MIB if report[key] != UNKNOWN else None
                      for key in ("rss_before", "rss_after", "held", "used", "free")}, report["took_ns"] // 1000, "us")
    if allocator == "glibc":  # what is free at the top of the heap was returned at free(3) already
        assert report["held"] >= report["used"] > 0
    if allocator in ("jemalloc", "tcmalloc"):
        assert report["held"] >= report["used"] > 0
    assert report["rss_after"] < report["rss_before"] - 8 * MIB or allocator == "mimalloc"
    assert report["rss_after"] <= report["rss_before"] + MIB


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


@pytest.mark.parametrize("asked", [True, False])
def test_background_thread_of_jemalloc_runs_in_a_forked_child(asked, program, reports, start):
    library = f"{LIBRARY}/libjemalloc.so.2"
    if not os.path.exists(library):
        pytest.skip("libjemalloc.so.2 is not installed")
    process = start(program("heap"), 8, env=reports.environment(
        LD_PRELOAD=f"{library}:{AGENT}", FORK_FIRST="1", MALLOC_CONF=f"background_thread:{str(asked).lower()}"))
    pid = int(process.stdout.readline())
    until(lambda: sleeps(pid))
    if asked:
        until(lambda: threads(pid) == 2)
    assert threads(pid) == (2 if asked else 1)
    os.kill(pid, signal.SIGKILL)  # the child, which has the pipes too


PYTHON_WAITS = {
    "select": "import select; select.select([], [], [], 3)",
    "sleep": "import time; time.sleep(3)",
    "event": "import threading; threading.Event().wait(3)",
    "asyncio": "import asyncio; asyncio.run(asyncio.sleep(3))",
    "threads": "import threading, time\n"
               "def spin():\n while True: sum(range(1000))\n"
               "threading.Thread(target=spin, daemon=True).start(); time.sleep(3)",
}
GARBAGE = """
import gc, warnings
warnings.simplefilter('error')
gc.disable(); gc.enable(); gc.set_threshold(10**9)
class Node: pass
for i in range(20000):
    node = Node(); node.itself = node; node.text = bytearray(1000)
print('ready', flush=True)
"""


def pythons():
    found = [shutil.which("python3", path="/usr/bin"), *sorted(glob.glob("/root/.pyenv/versions/3.*/bin/python3"))]
    versions = {}
    for python in filter(None, found):
        version = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                                 capture_output=True, text=True).stdout.strip()
        if version in ("3.9", "3.10", "3.11", "3.12", "3.13"):
            versions.setdefault(version, python)
    return sorted(versions.items(), key=lambda item: int(item[0][2:]))


@pytest.mark.parametrize("wait", PYTHON_WAITS)
@pytest.mark.parametrize("version, python", pythons())
def test_python_collects_at_the_wait(version, python, wait, reports, start):
    process = start(python, "-c", GARBAGE + PYTHON_WAITS[wait], env=reports.environment(
        TRIMTAB_AGENT_COLLECT="1", PYTHONUNBUFFERED="1"))
    assert process.stdout.readline() == "ready\n"
    if wait == "threads":  # never idle: somebody always holds the interpreter's lock
        until(lambda: threads(process.pid) == 2)
    else:
        until(lambda: sleeps(process.pid))
    process.send_signal(signal.SIGURG)
    report = reports.take()
    assert report is not None
    print(version, wait, report["where"], report["collected"], report["rss_before"] // MIB, report["rss_after"] // MIB)
    if report["where"] in ("sem_wait", "pthread_cond_timedwait", "pthread_cond_wait"):
        assert report["collected"] == 0  # trims in the handler, or the thread waits for the interpreter's lock itself
    else:
        assert report["collected"] == 1
        assert report["rss_after"] < report["rss_before"] - 10 * MIB


def test_python_is_left_alone_unless_asked(reports, start):
    process = start("/usr/bin/python3", "-c", GARBAGE + PYTHON_WAITS["select"], env=reports.environment())
    assert process.stdout.readline() == "ready\n"
    until(lambda: sleeps(process.pid))
    process.send_signal(signal.SIGURG)
    assert reports.take()["collected"] == 0


def test_python_forks_without_a_warning(reports, start):
    text = ("import os, warnings, time\nwarnings.simplefilter('error')\ntime.sleep(0.5)\npid = os.fork()\n"
            "if pid == 0: os._exit(0)\nassert os.waitpid(pid, 0)[1] == 0")
    for version, python in pythons():
        process = start(python, "-c", text, env=reports.environment(TRIMTAB_AGENT_COLLECT="1"))
        until(lambda: pathlib.Path(f"/proc/{process.pid}/comm").exists() and sleeps(process.pid))
        process.send_signal(signal.SIGURG)
        assert process.communicate(timeout=10)[1] == "" and process.returncode == 0, version
