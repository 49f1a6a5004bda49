"""When the container is told to stop, when it leaves, and when the worker is started again."""
import os
import signal
import time

import pytest

from conftest import alive, children, descendants, holds, read, status, until

JSON = ["--set", "log.format=json", "--set", "log.level=debug"]


def settings(**values):
    """--set words: worker_stop_grace="2s" becomes worker.stop_grace=2s."""
    return [word for key, value in values.items() for word in ("--set", f"{key.replace('_', '.', 1)}={value}")]


def held(init, count, *words, options=(), **how):
    """trimtab over a worker with so many held orphans. Returns it and the pids of all, as seen here."""
    file = init.directory / "pids"
    running = init.start(*JSON, *options, init.programs / "orphans", count, f"hold={file}", *words, **how)
    until(lambda: len(read(file).split()) == count, "orphans")
    return running


def orphans_of(running):
    worker = running.worker()
    return [pid for pid in until(lambda: children(running.pid)) if pid != worker]


def test_with_a_grace_what_is_left_is_told_to_stop_and_trimtab_leaves_at_once(init):
    running = held(init, 5, options=settings(worker_stop_grace="60s"))
    orphans = orphans_of(running)
    begin = time.monotonic()
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    assert time.monotonic() - begin < 10
    assert not [pid for pid in orphans if alive(pid)]


def test_the_grace_can_come_from_the_environment(init):
    running = held(init, 2, env={"TRIMTAB_WORKER_STOP_GRACE": "60s"})
    orphans = orphans_of(running)
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    assert not [pid for pid in orphans if alive(pid)]


def test_stragglers_are_killed_when_the_grace_is_over_and_not_before(init):
    running = held(init, 3, "deaf", options=settings(worker_stop_grace="1500ms"))
    orphans = orphans_of(running)
    begin = time.monotonic()
    running.kill(signal.SIGTERM)
    until(lambda: running.events("exit"), "the worker's end")
    while time.monotonic() - begin < 1.2:
        assert all(alive(pid) for pid in orphans)
        time.sleep(0.01)
    assert running.wait() == 143
    assert 1.4 < time.monotonic() - begin < 10
    assert not [pid for pid in orphans if alive(pid)]


def test_a_worker_that_ignores_term_is_killed_too(init, programs):
    running = init.start(*settings(worker_stop_grace="1s"), programs / "catch", init.directory / "caught")
    until(lambda: read(init.directory / "caught"))
    running.kill(signal.SIGTERM)
    assert running.wait() == 137


def test_stopped_processes_are_continued_so_that_they_can_end(init):
    running = held(init, 2, "stopped", options=settings(worker_stop_grace="60s"))
    orphans = orphans_of(running)
    until(lambda: all(status(pid)["State"][0] == "T" for pid in orphans))
    begin = time.monotonic()
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    assert time.monotonic() - begin < 10
    assert not [pid for pid in orphans if alive(pid)]


@pytest.mark.parametrize("options", [(), settings(worker_stop_grace="60s"), settings(recycle_at="4G")])
def test_a_stopped_worker_is_continued_so_that_it_can_end(init, options):
    running = init.start(*options, "sleep", "1000")
    worker = running.worker()
    os.kill(worker, signal.SIGSTOP)
    until(lambda: status(worker)["State"][0] == "T")
    running.kill(signal.SIGTERM)
    assert running.wait() == 143


def test_a_worker_that_stops_while_it_is_to_end_is_continued(init):
    running = init.start("python3", "-c", "import os, signal, sys\n"
                         "def leave(*_):\n"
                         "    os.kill(os.getpid(), signal.SIGSTOP)\n"
                         "    sys.exit(7)\n"
                         "signal.signal(signal.SIGTERM, leave)\n"
                         "print('ready', flush=True)\n"
                         "while True: signal.pause()\n")
    until(lambda: "ready" in running.out)
    running.kill(signal.SIGTERM)
    assert running.wait() == 7


def test_stopped_and_deaf_processes_are_killed(init):
    running = held(init, 2, "stopped", "deaf", options=settings(worker_stop_grace="1s"))
    orphans = orphans_of(running)
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    assert not [pid for pid in orphans if alive(pid)]


def test_without_a_grace_trimtab_leaves_when_the_worker_does(subreaper):
    running = held(subreaper, 1, "deaf")
    (orphan,) = orphans_of(running)
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    assert alive(orphan)
    os.kill(orphan, signal.SIGKILL)


def test_a_worker_that_ends_by_itself_ends_the_container(init):
    """The grace is for stopping; nobody asked for a stop here."""
    running = init.start(*settings(worker_stop_grace="60s"), init.programs / "orphans", 1,
                         f"hold={init.directory / 'pids'}", "deaf", "exit=3")
    begin = time.monotonic()
    code = running.wait(90)
    assert code == 3
    assert time.monotonic() - begin < 70


def test_wait_for_all_waits_for_orphans_and_keeps_the_workers_status(init):
    file = init.directory / "pids"
    begin = time.monotonic()
    running = init.start(*settings(worker_wait_for="all"), init.programs / "orphans", 3, f"hold={file}", "after=1.5",
                         "exit=33")
    assert running.wait() == 33
    assert time.monotonic() - begin >= 1.5


def test_wait_for_all_can_be_told_to_stop(init):
    running = held(init, 3, "exit=7", options=settings(worker_wait_for="all"))
    until(lambda: running.events("exit"), "the worker's end")
    holds(running.running, 0.2, "left before the orphans")
    orphans = children(running.pid)
    assert len(orphans) == 3
    running.kill(signal.SIGTERM)
    assert running.wait() == 7
    assert not [pid for pid in orphans if alive(pid)]


def test_wait_for_all_with_a_grace_kills_stragglers(init):
    running = held(init, 3, "deaf", options=settings(worker_wait_for="all", worker_stop_grace="1s"))
    orphans = orphans_of(running)
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    assert not [pid for pid in orphans if alive(pid)]


def test_orphans_in_sessions_of_their_own_are_found(init):
    running = held(init, 3, "session", options=settings(worker_stop_grace="60s"))
    orphans = orphans_of(running)
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    assert not [pid for pid in orphans if alive(pid)]


def starts(file):
    return len(read(file).splitlines())


def counting(init, status_):
    """A worker that notes that it was started, and ends."""
    file = init.directory / "starts"
    return file, ["sh", "-c", f"echo >>{file}; exit {status_}"]


@pytest.mark.parametrize("restart, code", [("failed", 9), ("always", 9), ("always", 0)])
def test_the_worker_is_started_again(init, restart, code):
    file, worker = counting(init, code)
    running = init.start(*JSON, *settings(worker_restart=restart, worker_restart_delay="100ms"), *worker)
    until(lambda: starts(file) >= 3, "three starts")
    assert running.running()
    running.kill(signal.SIGTERM)
    running.wait()
    assert len(running.events("start")) == starts(file)


@pytest.mark.parametrize("restart, code", [("never", 9), ("recycled", 9), ("failed", 0)])
def test_the_worker_is_not_started_again(init, restart, code):
    file, worker = counting(init, code)
    result = init.run(*settings(worker_restart=restart, worker_restart_delay="100ms"), *worker)
    assert (result.code, starts(file)) == (code, 1)


def test_death_by_a_signal_is_a_failure(init):
    running = init.start(*JSON, *settings(worker_restart="failed", worker_restart_delay="100ms"), "sleep", "1000")
    for count in (1, 2):
        running.event("start", count)
        worker = running.worker()
        os.kill(worker, signal.SIGKILL)
    running.event("start", 3)


def test_the_delay_grows_with_every_failure(init):
    file, worker = counting(init, 1)
    running = init.start(*JSON, *settings(worker_restart="failed", worker_restart_delay="100ms"), *worker)
    running.event("start", 5)
    at = [event["ts"] for event in running.events("start")]
    gaps = [b - a for a, b in zip(at, at[1:])]
    for gap, least in zip(gaps, (0.1, 0.2, 0.4, 0.8)):
        assert gap >= least * 0.95, gaps
    assert gaps[3] < 3


def test_term_ends_a_container_between_two_starts(init):
    file, worker = counting(init, 4)
    running = init.start(*JSON, *settings(worker_restart="failed", worker_restart_delay="60s"), *worker)
    running.event("exit")
    until(lambda: not children(running.pid))
    running.kill(signal.SIGTERM)
    assert running.wait() == 4
    assert starts(file) == 1


def test_term_is_not_followed_by_a_restart(init):
    running = init.start(*JSON, *settings(worker_restart="always", worker_restart_delay="100ms"), "sleep", "1000")
    running.worker()
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    assert len(running.events("start")) == 1


def test_a_worker_that_cannot_be_started_again_is_tried_again(init):
    """The program is gone for a while."""
    program = init.directory / "program"
    program.write_text("#!/bin/sh\nrm $0; exit 1\n")
    program.chmod(0o755)
    running = init.start(*JSON, *settings(worker_restart="failed", worker_restart_delay="100ms"), program)
    running.event("warning")
    assert running.running()
    again = init.directory / "again"
    again.write_text("#!/bin/sh\nexec sleep 1000\n")
    again.chmod(0o755)
    again.rename(program)
    running.event("start", 2)


def test_a_first_start_that_fails_is_fatal(init):
    result = init.run(*settings(worker_restart="always"), "/no/such/program")
    assert result.code == 127


def test_other_stop_signals_can_be_chosen(init):
    running = held(init, 2, options=settings(worker_stop_grace="60s", worker_stop_signals="QUIT"))
    orphans = orphans_of(running)
    running.kill(signal.SIGQUIT)
    assert running.wait() in (131, 128 + signal.SIGQUIT)
    assert not [pid for pid in orphans if alive(pid)]
    assert not descendants(running.pid)
