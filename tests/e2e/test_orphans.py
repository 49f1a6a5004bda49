"""Orphans: reaped, all of them, whatever happens to SIGCHLD."""
import os
import signal
import time

import pytest

from conftest import alive, children, descendants, read, status, until

COUNT = 2000


def zombies(pid):
    return [child for child in descendants(pid) if status(child).get("State", "")[:1] == "Z"]


def test_orphans_are_reaped(init, programs):
    running = init.start(programs / "orphans", 50)
    worker = running.worker()
    until(lambda: not children(worker) and children(running.pid) == [worker] and
          status(worker)["State"][0] == "S", "only the worker left")
    assert running.running()
    running.kill(signal.SIGTERM)
    assert running.wait() == 143


def test_a_held_orphan_becomes_ours(init, programs, tmp_path):
    running = init.start(programs / "orphans", 3, f"hold={tmp_path / 'pids'}", "session")
    until(lambda: len(read(tmp_path / "pids").split()) == 3)
    worker = running.worker()
    until(lambda: len(children(running.pid)) == 4, "three orphans and the worker")
    for pid in set(children(running.pid)) - {worker}:
        os.kill(pid, signal.SIGKILL)
    until(lambda: children(running.pid) == [worker], "orphans reaped")


@pytest.mark.parametrize("mode", ["-s", "TINI_SUBREAPER"])
def test_asking_to_be_a_subreaper_is_no_error(init, programs, tmp_path, mode):
    options = ["-s"] if mode == "-s" else []
    env = {"TINI_SUBREAPER": ""} if not options else {}
    running = init.start(*options, programs / "orphans", 1, f"hold={tmp_path / 'pids'}", env=env)
    until(lambda: len(children(running.pid)) == 2, "the orphan is ours")
    assert running.err == ""


def test_a_burst_of_orphans_is_reaped(init, programs, tmp_path):
    """All of them end at the same time."""
    running = init.start(programs / "orphans", COUNT, f"hold={tmp_path / 'pids'}")
    worker = running.worker()
    until(lambda: len(read(tmp_path / "pids").split()) == COUNT, "orphans made", timeout=60)
    orphans = set(children(running.pid)) - {worker}
    assert len(orphans) == COUNT
    for pid in orphans:
        os.kill(pid, signal.SIGKILL)
    until(lambda: children(running.pid) == [worker], "orphans reaped")
    assert running.running()
    running.kill(signal.SIGTERM)
    assert running.wait() == 143


def test_children_that_end_while_trimtab_is_stopped_are_all_reaped(init, programs, tmp_path):
    """However many end, one SIGCHLD is pending in the end."""
    running = init.start(programs / "orphans", 100, f"hold={tmp_path / 'pids'}")
    worker = running.worker()
    until(lambda: len(read(tmp_path / "pids").split()) == 100)
    until(lambda: len(children(running.pid)) == 101)
    running.kill(signal.SIGSTOP)
    until(lambda: status(running.pid)["State"][0] == "T")
    for pid in set(children(running.pid)) - {worker}:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(zombies(running.pid)) == 100)
    running.kill(signal.SIGCONT)
    until(lambda: children(running.pid) == [worker], "orphans reaped")


def test_a_worker_that_ends_while_trimtab_is_stopped_is_noticed(init, programs, tmp_path):
    running = init.start(programs / "orphans", 20, f"hold={tmp_path / 'pids'}")
    worker = running.worker()
    until(lambda: len(children(running.pid)) == 21)
    running.kill(signal.SIGSTOP)
    until(lambda: status(running.pid)["State"][0] == "T")
    for pid in children(running.pid):
        os.kill(pid, signal.SIGKILL)
    until(lambda: status(worker)["State"][0] == "Z")
    running.kill(signal.SIGCONT)
    assert running.wait() == 137


def test_orphans_that_end_with_the_worker_do_not_change_its_status(init, programs):
    for _ in range(20):
        assert init.run(programs / "orphans", 30, "exit=42").code == 42


@pytest.mark.parametrize("options", [["-w"], []])
def test_reaped_orphans_are_told_when_asked_for(init, programs, options):
    running = init.start(*options, programs / "orphans", 5)
    worker = running.worker()
    until(lambda: not children(worker) and children(running.pid) == [worker] and
          status(worker)["State"][0] == "S", "only the worker left")
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    lines = [line for line in running.err.splitlines() if " reap pid=" in line]
    assert len(lines) == (5 if options else 0)


def test_trimtab_leaves_at_once_when_the_worker_does(subreaper, programs, tmp_path):
    """As tini: what the worker leaves behind is not waited for."""
    running = subreaper.start(programs / "orphans", 1, f"hold={tmp_path / 'pids'}", "exit=3")
    assert running.wait() == 3
    (left,) = map(int, until(lambda: read(tmp_path / "pids").split()))
    assert alive(left)
    os.kill(left, signal.SIGKILL)


def test_it_sleeps_while_nothing_happens(init):
    """No timer: not one wake-up while there is nothing to do."""
    running = init.start("sleep", "1000")
    running.worker()
    def switches():
        values = status(running.pid)
        return int(values["voluntary_ctxt_switches"]) + int(values["nonvoluntary_ctxt_switches"])
    before = until(lambda: status(running.pid)["State"][0] == "S" and switches())
    time.sleep(3)  # what is measured is time without a wake-up
    assert switches() - before <= 1
