"""Watching, trimming and recycling, with a pool whose children do exactly what they are told."""
import os
import signal
import socket
import time

import pytest

from conftest import MIB, QUICK, children, descendants, handles, holds, read, resident, sets, signal_set, status, until


def test_a_child_over_the_line_is_recycled_and_replaced(pool):
    p = pool(3)
    old = p.pid(1)
    p.grow(1, 80)
    recycle = p.trimtab.event("recycle")
    assert recycle["pid"] == old
    assert recycle["rss"] >= recycle["at"] == 64 * MIB
    assert (recycle["reason"], recycle["method"]) == ("at", "signal")
    assert "eta" in recycle
    (down,) = p.ended(1)[:1]
    assert down == ["down", 1, old, 0]
    assert ["term", 1, old] in p.log("term")
    replaced = p.trimtab.event("replaced")
    assert replaced["old"] == old
    assert replaced["new"] == p.pid(1) != old
    assert replaced["took"] >= 0
    assert len(p.log("term")) == 1
    assert p.trimtab.running()


def test_the_events_at_the_start_have_their_keys(pool):
    p = pool(2)
    start = p.trimtab.event("start")
    assert start["program"].endswith("pool")
    assert start["limit"] > 0 and start["target"] == "auto" and "policy" in start
    p.trimtab.event("ready")
    assert "MALLOC_ARENA_MAX" in p.trimtab.event("env")["set"]


def test_a_spike_is_not_a_leak(pool):
    """Fewer looks in a row than `samples`: nobody is recycled."""
    p = pool(2, policy={"recycle.samples": "40"})
    for _ in range(3):
        p.grow(0, 80)
        holds(lambda: not p.trimtab.events("recycle"), 0.5, f"recycled: {p.trimtab.events()}")
        p.tell(0, "drop")
        until(lambda: resident(p.outside(0)) < 3 * MIB, "memory given back")
    assert p.trimtab.events("recycle") == []


def test_only_one_is_recycled_at_a_time(pool):
    p = pool(4, "stubborn", policy={"recycle.grace": "700ms"})
    for index in range(4):
        p.grow(index, 80)
    p.trimtab.event("replaced", 4)
    order = [event["event"] for event in p.trimtab.events() if event["event"] in ("recycle", "replaced")]
    assert order[:8] == ["recycle", "replaced"] * 4


def test_the_next_waits_for_the_replacement(pool):
    """The master is stopped, so that no replacement comes."""
    p = pool(3)
    master = p.trimtab.worker()
    for index in range(3):
        p.grow(index, 80)
        if index == 0:
            os.kill(master, signal.SIGSTOP)
    p.trimtab.event("recycle")
    holds(lambda: len(p.trimtab.events("recycle")) == 1, 1.5, "recycled without a replacement")
    os.kill(master, signal.SIGCONT)
    p.trimtab.event("replaced", 3)


def test_at_once(pool):
    p = pool(4, "stubborn", policy={"recycle.at_once": "2", "recycle.grace": "2s"})
    for index in range(4):
        p.grow(index, 80)
    p.trimtab.event("recycle", 2)
    p.trimtab.event("replaced", 4, timeout=30)
    away = worst = 0
    for event in p.trimtab.events():
        away += {"recycle": 1, "replaced": -1}.get(event["event"], 0)
        worst = max(worst, away)
    assert worst == 2


def test_interval_between_two_recycles(pool):
    p = pool(3, policy={"recycle.interval": "1s"})
    for index in range(3):
        p.grow(index, 80)
    p.trimtab.event("recycle", 3)
    at = [event["ts"] for event in p.trimtab.events("recycle")]
    assert all(b - a >= 0.95 for a, b in zip(at, at[1:])), at


def test_the_young_are_spared(pool):
    p = pool(2, policy={"recycle.min_age": "3s"})
    begin = time.monotonic()
    p.grow(0, 80)
    p.trimtab.event("recycle")
    assert time.monotonic() - begin > 1.5


def test_kill_comes_after_the_grace_and_not_before(pool):
    p = pool(2, "stubborn", policy={"recycle.grace": "1500ms"})
    p.grow(0, 80)
    old = p.pid(0)
    recycle = p.trimtab.event("recycle")
    kill = p.trimtab.event("kill")
    assert kill["pid"] == old
    assert kill["after"] >= 1.5 and kill["ts"] - recycle["ts"] >= 1.45
    assert p.ended(0)[0][3] == 128 + signal.SIGKILL
    p.trimtab.event("replaced")


def test_a_stopped_child_is_continued_so_that_it_can_go(pool):
    p = pool(2)
    pid = p.outside(0)
    p.tell(0, f"grow {80 * MIB}")
    p.tell(0, "stop")
    until(lambda: status(pid).get("State", "Z")[0] in "TZ", "stopped")
    p.trimtab.event("recycle")
    assert p.ended(0)[0][3] == 0, "not by KILL"
    p.trimtab.event("replaced")


def test_a_child_that_does_not_handle_the_signal_is_left_alone(pool):
    p = pool(2, "bare")
    p.grow(0, 80)
    warning = p.trimtab.event("warning")
    assert warning["pid"] == p.pid(0)
    holds(lambda: not p.log("down"), 1, "a child without a handler was signalled")
    assert p.trimtab.events("recycle") == []


def test_dry_run_decides_and_acts_on_nobody(pool):
    p = pool(2, "trim", options=["--dry-run"], policy={"trim.at": "40M", "trim.signal": "USR1"})
    p.grow(0, 80)
    assert p.trimtab.event("recycle")["dry_run"] == "yes"
    p.trimtab.event("trim")
    holds(lambda: not p.log("down") + p.log("term") + p.log("trim"), 1, "a dry run acted")


def test_trim_is_asked_for_measured_and_enough(pool):
    p = pool(2, "trim", policy={"trim.at": "40M", "trim.signal": "USR1"})
    p.grow(0, 50)
    trim = p.trimtab.event("trim")
    assert trim["pid"] == p.pid(0)
    assert trim["rss_before"] >= 50 * MIB > 10 * MIB > trim["rss_after"]
    assert 0.8 < trim["yield"] <= 1
    assert trim["reason"] == "at"
    assert 0.1 < trim["took"] < 10
    assert len(p.log("trim")) == 1
    holds(lambda: not p.trimtab.events("recycle"), 0.5)


def test_trim_comes_before_recycle(pool):
    p = pool(2, "trim", policy={"trim.at": "40M", "trim.signal": "USR1"})
    p.grow(0, 100)
    p.trimtab.event("trim")
    holds(lambda: not p.trimtab.events("recycle"), 1, "recycled although the trim helped")
    assert p.log("down") == []


def test_a_trim_that_brings_nothing_is_followed_by_a_recycle_and_not_repeated(pool):
    p = pool(2, "futile", policy={"trim.at": "40M", "trim.signal": "USR1"})
    p.grow(0, 50)
    trim = p.trimtab.event("trim")
    assert trim["yield"] < 0.05
    holds(lambda: len(p.log("trim")) == 1, 1.5, "asked again at once")
    p.grow(0, 30)
    p.trimtab.event("recycle")
    p.trimtab.event("replaced")


def test_who_handles_no_trim_signal_is_never_sent_it(pool):
    """USR1 would end it. It is said of the first of a pool."""
    p = pool(2, policy={"trim.at": "40M", "trim.signal": "USR1", "recycle.at": None})
    p.watched()
    p.grow(0, 50)
    p.grow(1, 50)
    p.trimtab.event("warning")
    holds(lambda: not p.log("down"), 1, "a child without a handler was signalled")
    assert p.trimtab.events("trim") == []
    assert len(p.trimtab.events("warning")) == 1


def test_a_single_worker_is_respawned_and_the_container_stays_up(pool):
    p = pool(0)
    first = p.trimtab.worker()
    p.tell(0, f"grow {80 * MIB}")
    recycle = p.trimtab.event("recycle")
    assert recycle["method"] == "respawn"
    p.trimtab.event("start", 2)
    assert p.trimtab.running()
    assert p.trimtab.worker() != first
    until(lambda: len(p.log("up")) == 2)
    p.trimtab.event("replaced")
    p.tell(0, f"grow {80 * MIB}")
    p.trimtab.event("start", 3)
    until(lambda: len(p.log("up")) == 3)
    p.trimtab.kill(signal.SIGTERM)
    assert p.trimtab.wait() == 0
    assert len(p.trimtab.events("start")) == 3


def test_a_single_worker_that_will_not_go_is_killed_and_respawned(pool):
    p = pool(0, "stubborn", policy={"recycle.grace": "500ms"})
    p.tell(0, f"grow {80 * MIB}")
    p.trimtab.event("kill")
    p.trimtab.event("start", 2)
    assert p.trimtab.running()


def test_with_restart_never_the_worker_itself_is_not_recycled(pool):
    p = pool(0, policy={"worker.restart": "never"})
    p.tell(0, f"grow {80 * MIB}")
    until(lambda: resident(p.trimtab.worker()) > 80 * MIB)
    holds(lambda: p.trimtab.running() and len(p.log("up")) == 1, 1.5, "the worker was ended")


def test_method_respawn_ends_the_worker_for_a_child(pool):
    p = pool(2, policy={"recycle.method": "respawn"})
    p.grow(1, 80)
    assert p.trimtab.event("recycle")["method"] == "respawn"
    p.trimtab.event("start", 2)
    until(lambda: len(p.log("up")) == 4)


def test_target_worker_leaves_children_alone(pool):
    p = pool(2, policy={"watch.target": "worker"})
    p.grow(0, 80)
    holds(lambda: not p.trimtab.events("recycle"), 1)


def test_target_tree_sees_grandchildren(init):
    """A shell between the worker and the pool."""
    directory = init.directory / "pool"
    directory.mkdir()
    running = init.start(*sets({**QUICK, "watch.target": "tree", "watch.match": "*pool*", "watch.exclude": "sh*"}), "sh",
                         "-c", f"{init.programs / 'pool'} {directory} 0; exit 1")
    until(lambda: read(directory / "log").count("up"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(f"grow {80 * MIB}".encode(), str(directory / "0"))
    running.event("recycle")
    until(lambda: read(directory / "log").count("term"))


def test_match_and_exclude_by_name(pool):
    p = pool(2, "name=odd-name", policy={"watch.exclude": "odd-*"})
    p.grow(0, 80)
    holds(lambda: not p.trimtab.events("recycle"), 1)
    p = pool(2, "name=odd-name", policy={"watch.match": "odd-*"})
    p.grow(0, 80)
    p.trimtab.event("recycle")


def test_a_share_of_a_given_limit(pool):
    p = pool(2, policy={"watch.limit": "200M", "recycle.at": "30%"})
    p.grow(0, 80)
    recycle = p.trimtab.event("recycle")
    assert recycle["at"] == 60 * MIB


def test_jitter_sets_lines_apart_and_never_above(pool):
    p = pool(3, policy={"recycle.jitter": "20%"})
    for index in range(3):
        p.grow(index, 80)
    p.trimtab.event("recycle", 3)
    lines = [event["at"] for event in p.trimtab.events("recycle")]
    assert all(0.8 * 64 * MIB <= at <= 64 * MIB for at in lines)
    assert len(set(lines)) > 1


def test_children_that_come_and_go_on_their_own_are_no_trouble(pool):
    p = pool(4)
    for turn in range(1, 21):
        p.tell(turn % 4, "exit 3")
        until(lambda: len(p.log("up")) == 4 + turn)
    p.grow(2, 80)
    p.trimtab.event("replaced")
    assert len(p.trimtab.events("recycle")) == 1


def test_recycling_stops_when_the_container_is_told_to_stop(pool):
    p = pool(2, policy={"worker.stop_grace": "20s"})
    p.trimtab.kill(signal.SIGTERM)
    assert p.trimtab.wait() == 0
    assert p.trimtab.events("recycle") == []


def test_recycle_signal_can_be_chosen(pool):
    p = pool(2, "trim", policy={"recycle.signal": "USR1", "recycle.grace": "500ms"})
    p.grow(0, 80)
    p.trimtab.event("recycle")
    until(lambda: p.log("trim"))
    assert p.log("term") == []


def test_many_children_are_watched(pool):
    p = pool(60)
    for index in (5, 33, 59):
        p.grow(index, 80)
    p.trimtab.event("replaced", 3)
    assert {line[1] for line in p.log("down")} == {5, 33, 59}


def test_text_lines_have_sizes_and_times_for_people(pool):
    p = pool(2, policy={"log.format": "text"})
    p.grow(0, 80)
    until(lambda: " replaced " in p.trimtab.err)
    (line,) = [line for line in p.trimtab.err.splitlines() if " recycle " in line]
    assert line.startswith(f"trimtab: recycle pid={p.trimtab.err.split('old=')[1].split()[0]} rss=8")
    assert " at=64M" in line and "reason=at" in line and "method=signal" in line


@pytest.mark.parametrize("init, options, line", [("pid1", [], "2G"), ("subreaper", ["--policy", "auto"], None)],
                         indirect=["init"], ids=["recycle.at", "auto"])
def test_it_looks_rarely_while_all_is_far_from_a_line(pool, options, line):
    """At most 0.2 wake-ups a second with the interval of 1 s that is the default."""
    p = pool(2, options=options, policy={"watch.interval": "1s", "recycle.at": line})
    pid = p.trimtab.pid
    def wakeups():
        return int(status(pid)["voluntary_ctxt_switches"])
    time.sleep(3)  # discovery of the pool is over
    before = wakeups()
    time.sleep(10)  # what is measured is wake-ups over time
    assert wakeups() - before <= 2


def test_a_fork_bomb_of_short_lived_children_is_no_trouble(init):
    running = init.start(*sets(QUICK), "sh", "-c", "i=0; while [ $i -lt 800 ]; do true & i=$((i+1)); (:); done; wait; exit 5")
    assert running.wait(60) == 5


def test_signals_are_still_passed_on_while_watching(init):
    running, caught = init.catcher(*sets(QUICK))
    os.kill(running.pid, signal.SIGUSR2)
    until(lambda: [number for number, _, _ in caught()] == [signal.SIGUSR2])
    worker = running.worker()
    assert children(running.pid) == [worker] and descendants(worker) == []
    assert signal.SIGUSR2 not in signal_set(status(worker)["SigCgt"])


def test_past_the_limit_of_processes_it_says_so_and_goes_on(init, programs):
    """4096 are watched, the worker among them; the rest is said once, and a stop still works."""
    running = init.start("--set", "recycle.at=1G", "--set", "log.format=json", programs / "many", 4200)
    warning = until(lambda: [w for w in running.events("warning") if w.get("limit") == 4096], "limit said", 60)
    assert len(warning) == 1
    assert handles(running.pid) == 4096
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait() == 128 + signal.SIGTERM
    assert len([w for w in running.events("warning") if w.get("limit") == 4096]) == 1


def test_a_worker_that_will_not_be_restarted_is_watched_all_the_same(pool):
    """What trimtab holds of the worker outlives the closing of the inherited descriptors."""
    p = pool(0, "futile", policy={"recycle.at": None, "trim.at": "40M", "trim.signal": "USR1"})
    p.grow(0, 60)
    trim = p.trimtab.event("trim")
    assert trim["pid"] == p.pid(0)
    assert trim["rss_before"] >= 40 * MIB
