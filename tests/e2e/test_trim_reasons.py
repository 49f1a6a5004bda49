"""Why a process is asked to trim, and what its lines are held against: real processes that give memory back."""
import re
import statistics
import time

import pytest

from conftest import MIB, Pool, holds, read, resident, started, until

ONLY_PID1 = pytest.mark.parametrize("init", ["pid1"], indirect=True)
ONLY_SUBREAPER = pytest.mark.parametrize("init", ["subreaper"], indirect=True)

ASKED = {"recycle.at": None, "trim.signal": "USR1"}


def trims(running, pid=None):
    """Trims that were judged; a dry run has none."""
    return [event for event in running.events("trim") if "rss_after" in event and pid in (None, event["pid"])]


def cpu_seconds(pid):
    return int(read(f"/proc/{pid}/schedstat").split()[0]) / 1e9


@pytest.fixture(scope="module")
def aged(tmp_path_factory, programs):
    """Eight that are asked again and again: one always has something to give back, one never. Ten seconds are the
    least time between two trims of a process, so this goes on beside the tests of this file, and is judged last."""
    runs = started("pid1", tmp_path_factory.mktemp("aged"), programs)
    p = Pool(next(runs), 8, "trim", policy={**ASKED, "trim.every": "1s", "trim.settle": "300ms"})
    for index in range(8):
        p.tell(index, f"grow {20 * MIB}")
    p.tell(1, "heed futile")
    p.tell(0, f"leak {3 * MIB}")
    yield p
    runs.close()


@pytest.fixture(autouse=True)
def beside(aged):
    """Start it with the first test."""


@ONLY_SUBREAPER
def test_an_idle_process_that_has_grown_is_asked_and_a_busy_one_is_not(pool):
    p = pool(3, "trim", policy={**ASKED, "trim.idle": "1s"})
    p.tell(1, "busy 1")
    for index in (0, 1):
        p.grow(index, 30)
    trim = p.trimtab.event("trim")
    assert (trim["pid"], trim["reason"]) == (p.pid(0), "idle")
    assert trim["rss_before"] > 30 * MIB > 10 * MIB > trim["rss_after"]
    holds(lambda: len(p.log("trim")) == 1, 1.2, "asked while busy, or without need")
    p.tell(1, "busy 0")
    begin = time.monotonic()
    assert p.trimtab.event("trim", 2)["pid"] == p.pid(1)
    assert time.monotonic() - begin >= 0.9
    assert p.log("down") == []


@ONLY_SUBREAPER
def test_a_dry_run_says_each_reason_and_asks_nobody(pool):
    p = pool(2, "trim", options=["--dry-run"], policy={**ASKED, "trim.idle": "500ms"})
    p.grow(0, 30)
    trim = p.trimtab.event("trim")
    assert (trim["pid"], trim["reason"], trim["dry_run"]) == (p.pid(0), "idle", "yes")
    q = pool(1, "trim", options=["--dry-run"], policy={**ASKED, "trim.every": "500ms"})
    assert q.trimtab.event("trim")["reason"] == "every"
    holds(lambda: not p.log("trim") + q.log("trim"), 0.5, "a dry run acted")


@ONLY_PID1
def test_the_eta_to_the_line_is_in_the_trim(pool):
    """It leaks what no trim returns: at this rate the recycle line is some seconds away."""
    p = pool(1, "futile", policy={"recycle.at": "400M", "trim.signal": "USR1", "trim.at": "40M", "trim.settle": "1s"})
    p.tell(0, f"leak {30 * MIB}")
    trim = p.trimtab.event("trim")
    left = (400 * MIB - trim["rss_after"]) / (30 * MIB)
    assert 0.4 * left < trim["eta"] < 2 * left


# ---- [watch] metric ----

# The parent touches what is shared before it has children: meanwhile it is the one that is watched.
SHARING = {"trim.at": None, "recycle.at": "64M", "recycle.min_age": "2s"}


@pytest.mark.parametrize("init, metric", [("pid1", "pss"), ("subreaper", "uss")], indirect=["init"])
def test_what_is_shared_with_the_parent_does_not_count(pool, metric):
    """By RSS all three are far over the line; what they share is none of their USS, and a fourth of it their PSS."""
    p = pool(3, f"preload={120 * MIB}", policy={**SHARING, "watch.metric": metric})
    assert all(resident(p.outside(index)) > 100 * MIB for index in range(3))
    holds(lambda: not p.trimtab.events("recycle"), 2, "recycled for what it shares")
    p.grow(2, 70)
    recycle = p.trimtab.event("recycle")
    p.ended(2)
    assert p.log("term") == [["term", 2, recycle["pid"]]]
    assert 64 * MIB <= recycle["rss"] < 120 * MIB
    p.trimtab.event("replaced")
    assert len(p.trimtab.events("recycle")) == 1


@ONLY_PID1
def test_by_rss_what_is_shared_counts(pool):
    p = pool(2, f"preload={120 * MIB}", policy=SHARING)
    assert p.trimtab.event("recycle")["rss"] > 100 * MIB


def opened(trace):
    return len(re.findall(r"smaps_rollup", read(trace)))


@ONLY_SUBREAPER
def test_nothing_is_measured_exactly_below_the_line(init, pool):
    trace = init.directory / "trace"
    p = pool(2, policy={**SHARING, "watch.metric": "uss"}, wrap=["strace", "-o", trace, "-e", "trace=?open,openat"])
    p.grow(0, 50)
    holds(lambda: opened(trace) == 0, 1.5, "measured below the line")
    p.grow(0, 20)
    until(lambda: opened(trace) > 0, "measured above it")


@ONLY_SUBREAPER
def test_exact_measures_cost_a_stated_share_of_cpu(pool):
    """Sixteen processes over the line by what they share, looked at ten times a second."""
    p = pool(16, f"preload={200 * MIB}", policy={**SHARING, "watch.metric": "uss"})
    pid = p.trimtab.pid
    p.watched()
    begin = time.monotonic()
    before = cpu_seconds(pid)
    holds(p.trimtab.running, 3)
    share = (cpu_seconds(pid) - before) / (time.monotonic() - begin)
    assert share < 0.03, share  # a hundredth for the measures, and the looks
    assert p.trimtab.events("recycle") == []


@ONLY_PID1
def test_without_the_right_to_measure_it_says_so_once_and_goes_by_rss(pool, tmp_path):
    tmp_path.chmod(0o777)
    p = pool(2, directory=tmp_path, arrange=["drop=19"],
             policy={**SHARING, "watch.metric": "uss", "worker.user": "1234", "worker.group": "1234"})
    p.grow(0, 80)
    assert p.trimtab.event("recycle")["rss"] >= 80 * MIB
    p.trimtab.event("replaced")
    p.grow(1, 80)
    p.trimtab.event("replaced", 2)
    said = [event["what"] for event in p.trimtab.events("warning") if "PSS and USS" in event["what"]]
    assert len(said) == 1 and "CAP_SYS_PTRACE" in said[0]


# ---- the pool that was begun at the start ----

def test_trims_by_age_go_to_a_quarter_of_the_pool_and_become_rarer_where_they_bring_nothing(aged):
    good, futile = aged.pid(0), aged.pid(1)
    until(lambda: len(trims(aged.trimtab, good)) >= 3, "a third trim of the one that gives back", timeout=40)
    first = trims(aged.trimtab, good)[0]
    assert set(first) >= {"ts", "pid", "rss_before", "rss_after", "took", "yield", "reason"}
    assert first["reason"] == "every" and first["took"] >= 0.3
    assert first["rss_before"] > 20 * MIB > 10 * MIB > first["rss_after"]
    assert 0.5 < first["yield"] <= 1
    by_time = [event["ts"] for event in trims(aged.trimtab, good)]
    assert 10 <= by_time[2] - by_time[1] < 13
    at = [event["ts"] for event in trims(aged.trimtab, futile)]
    gaps = [later - former for former, later in zip(at, at[1:])]
    assert gaps[0] >= 10 and all(later >= 20 for later in gaps[1:]), gaps
    assert sum(time <= by_time[2] for time in at) == 2, "asked as often as the one that gives back"
    assert all(event["yield"] < 0.05 for event in trims(aged.trimtab, futile))


def test_a_quarter_of_the_pool_is_at_it_at_one_time(aged):
    until(lambda: len({event["pid"] for event in trims(aged.trimtab)}) == 8, "a trim of all")
    spans = [(event["ts"] - event["took"], event["ts"]) for event in trims(aged.trimtab)]
    crowd = [sum(begin < middle < end for begin, end in spans) for middle in map(statistics.mean, spans)]
    assert max(crowd) == 2, spans


def test_trims_that_help_make_a_verdict(aged):
    until(lambda: len(trims(aged.trimtab, aged.pid(0))) >= 2, "two trims")
    (verdict,) = [event for event in aged.trimtab.events("verdict") if event["pid"] == aged.pid(0)]
    assert (verdict["verdict"], verdict["trims"], verdict["worth"]) == ("fragmentation", 2, 2)
    assert verdict["advice"] == "trims give it back: nothing to do"
    assert not [event for event in aged.trimtab.events("verdict") if event["pid"] == aged.pid(1)]
