"""The container's limit, in a real memory cgroup: what is done before the kernel acts, and what is left alone."""
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from conftest import HERE, MIB, QUICK, TRIMTAB, Pool, children, holds, read, resident, sets, until

# No line of a process's own, and steps short enough for a test.
GUARD = {"recycle.at": None, "container.trim_at": "off", "container.recycle_at": "off"}


ONLY_PID1 = pytest.mark.parametrize("init", ["pid1"], indirect=True)
ONLY_SUBREAPER = pytest.mark.parametrize("init", ["subreaper"], indirect=True)


@pytest.fixture
def boxed(init, box):
    """A pool in a cgroup of its own. Returns both."""
    def make(limit, count, *words, policy=None, **how):
        made = box(limit)
        p = Pool(init, count, *words, policy={**GUARD, **(policy or {})}, wrap=made.enter, **how)
        p.watched()
        return made, p
    return make


def acts(running):
    """What was done or would have been done to a process."""
    return [event for event in running.events() if event["event"] in ("trim", "recycle", "kill")]


def helpless(running):
    return [event for event in running.events("warning") if "no process that may be recycled" in event["what"]]


@ONLY_SUBREAPER
def test_page_cache_is_no_reason_for_anything(boxed):
    """The kernel drops it by itself, however full the container looks."""
    box, p = boxed(96 * MIB, 2, "trim", policy={"trim.signal": "USR1", "container.trim_at": "40%",
                                                "container.recycle_at": "60%"})
    assert p.trimtab.event("start")["limit"] == 96 * MIB
    p.grow(0, 10)
    p.tell(1, f"file {150 * MIB}")
    until(lambda: p.log("file"), "file written")
    assert box.used() > 70 * MIB
    holds(lambda: not acts(p.trimtab), 2, "page cache was taken for use")
    p.tell(0, f"grow {50 * MIB}")
    assert p.trimtab.event("trim")["reason"] == "container"


@ONLY_PID1
def test_trim_at_asks_the_one_that_grew_most(boxed):
    _, p = boxed(128 * MIB, 3, "trim", policy={"trim.signal": "USR1", "container.trim_at": "60%"})
    for index, mib in ((0, 15), (1, 45), (2, 10)):
        p.grow(index, mib)
    holds(lambda: not acts(p.trimtab), 0.5, "below the line")
    p.tell(2, f"grow {10 * MIB}")
    trim = p.trimtab.event("trim")
    assert (trim["pid"], trim["reason"]) == (p.pid(1), "container")
    assert trim["rss_before"] > 45 * MIB > 10 * MIB > trim["rss_after"]
    holds(lambda: len(acts(p.trimtab)) == 1, 0.5, "asked although one was enough")


@ONLY_SUBREAPER
def test_recycle_at_takes_the_one_that_frees_most_while_the_container_grows(boxed):
    box, p = boxed(192 * MIB, 3, f"preload={20 * MIB}", policy={"container.recycle_at": "70%"})
    p.grow(2, 80)
    p.tell(0, f"leak {15 * MIB}")
    recycle = p.trimtab.event("recycle")
    p.ended(2)
    assert p.log("term") == [["term", 2, recycle["pid"]]]
    assert (recycle["reason"], recycle["method"]) == ("container", "signal")
    assert recycle["container"] >= recycle["at"] == 192 * MIB * 70 // 100
    assert 0 < recycle["eta"] < 30
    p.trimtab.event("replaced")
    until(lambda: box.used() < 192 * MIB * 70 // 100, "memory is free again")
    assert box.oom_kills() == 0
    assert p.trimtab.running()


@ONLY_PID1
def test_a_steep_end_does_not_wait_for_vain_trims(boxed):
    """Each of the four would be asked to trim for two seconds, one after the other; the limit is not that far."""
    box, p = boxed(128 * MIB, 4, "futile", policy={"trim.signal": "USR1", "trim.settle": "2s", "container.trim_at": "70%",
                                                   "container.recycle_at": "85%"})
    for index in range(4):
        p.grow(index, 18)
    for index in range(4):
        p.tell(index, f"leak {2 * MIB}")
    assert p.trimtab.event("recycle")["reason"] == "container"
    assert p.log("trim")
    p.trimtab.event("replaced")
    assert box.oom_kills() == 0


@ONLY_PID1
def test_above_the_line_but_standing_still_it_is_left_alone(boxed):
    box, p = boxed(128 * MIB, 3, policy={"container.recycle_at": "60%"})
    for index in range(3):
        p.grow(index, 35)
    assert box.used() > 100 * MIB
    holds(lambda: not acts(p.trimtab) and not helpless(p.trimtab), 3, "recycled without need")
    p.tell(1, f"leak {4 * MIB}")
    p.trimtab.event("recycle")


@ONLY_SUBREAPER
def test_who_does_not_match_is_never_recycled(boxed):
    """Not for the container, nor for its own line; that nothing can be done is said once."""
    _, p = boxed(192 * MIB, 2, "name=celeryd", policy={"container.recycle_at": "50%", "recycle.at": "30M",
                                                       "recycle.match": "gunicorn*, *bin/gunicorn *"})
    p.grow(0, 80)
    p.tell(1, f"leak {20 * MIB}")
    until(lambda: helpless(p.trimtab), "it is said")
    until(lambda: resident(p.outside(1)) > 60 * MIB)
    p.tell(1, "leak 0")
    holds(lambda: not acts(p.trimtab), 1, "recycled although nobody may be")
    assert len(helpless(p.trimtab)) == 1
    assert helpless(p.trimtab)[0]["container"] >= helpless(p.trimtab)[0]["at"]
    assert p.log("term") == p.log("down") == []


@pytest.mark.parametrize("init, pattern", [("pid1", "gunicorn*"), ("subreaper", "*/pool *name=gunicorn*")],
                         indirect=["init"], ids=["name", "command line"])
def test_who_matches_may_be_recycled(pool, pattern):
    p = pool(2, "name=gunicorn: w", policy={"recycle.match": f"puma*, {pattern}"})
    p.grow(0, 80)
    p.trimtab.event("replaced")


@ONLY_PID1
def test_an_oom_kill_is_told_of(boxed):
    box, p = boxed(64 * MIB, 2, policy={"container.recycle_at": "90%"})
    p.tell(0, f"grow {100 * MIB}")
    oom = p.trimtab.event("oom")
    assert (oom["killed"], oom["limit"]) == (1, 64 * MIB)
    assert box.oom_kills() == 1
    assert p.ended(0)[0][3] == 128 + signal.SIGKILL
    holds(lambda: len(p.trimtab.events("oom")) == 1 and p.trimtab.running(), 1.5)


@ONLY_SUBREAPER
def test_a_resize_in_place_moves_the_lines(boxed):
    box, p = boxed(256 * MIB, 2, "trim", policy={"trim.signal": "USR1", "container.trim_at": "50%"})
    p.grow(0, 60)
    holds(lambda: not acts(p.trimtab), 0.5)
    box.limit(100 * MIB)
    limit = p.trimtab.event("limit")
    assert (limit["old"], limit["new"]) == (256 * MIB, 100 * MIB)
    trim = p.trimtab.event("trim")
    assert trim["pid"] == p.pid(0)
    assert p.trimtab.running()


@ONLY_PID1
def test_a_dry_run_says_what_it_would_do_for_the_container(boxed):
    _, p = boxed(192 * MIB, 2, "trim", options=["--dry-run"], policy={"trim.signal": "USR1", "container.trim_at": "40%",
                                                                      "container.recycle_at": "50%"})
    p.grow(1, 40)
    p.tell(0, f"leak {25 * MIB}")
    trim = p.trimtab.event("trim")
    assert (trim["reason"], trim["dry_run"]) == ("container", "yes")
    assert trim["container"] >= trim["at"] == 192 * MIB * 4 // 10
    recycle = p.trimtab.event("recycle")
    assert (recycle["reason"], recycle["dry_run"]) == ("container", "yes")
    p.tell(0, "leak 0")
    holds(lambda: not p.log("term") + p.log("trim") + p.log("down"), 0.5, "a dry run acted")


@ONLY_SUBREAPER
def test_pressure_asks_for_a_trim(boxed):
    """Writing through a small container again and again: tasks wait for memory."""
    box, p = boxed(64 * MIB, 2, "trim", policy={"trim.signal": "USR1", "container.pressure": "some 10ms/2s"})
    if not box.pressure.exists():
        pytest.skip(f"no memory.pressure in a cgroup here: {box.pressure} is not there (a kernel without PSI)")
    (opened,) = p.trimtab.events("pressure")
    assert opened["file"] == str(box.pressure)
    assert (opened["by"], opened["stall"], opened["window"]) == ("trigger", 0.01, 2)
    p.grow(0, 30)
    holds(lambda: not acts(p.trimtab), 0.5)
    end = time.monotonic() + 15
    while not p.trimtab.events("trim") and time.monotonic() < end:
        done = len(p.log("file"))
        p.tell(1, f"file {120 * MIB}")
        until(lambda: len(p.log("file")) > done, "file written")
    if not p.trimtab.events("trim") and "total=0" in read(box.pressure).splitlines()[0]:
        pytest.skip("this kernel counted no stall in the cgroup")
    trim = p.trimtab.event("trim")
    assert (trim["pid"], trim["reason"]) == (p.pid(0), "pressure")


@ONLY_PID1
def test_check_prints_the_lines_under_this_limit(init, box):
    made = box(200 * MIB)
    result = subprocess.run(
        [*made.enter, TRIMTAB, *sets({"container.trim_at": "70%", "container.recycle_at": "85%", "trim.signal": "USR1",
                                      "container.pressure": "some 200ms/2s"}), "--check"],
        capture_output=True, text=True, timeout=20, check=True)
    assert f"; limit: 200M, cgroup v{made.version}, {made.memory}/" in result.stdout
    assert "; container trim at: 140M under this limit\n" in result.stdout
    assert "; container recycle at: 170M under this limit\n" in result.stdout
    assert re.search(r"; pressure: \S+, by (trigger|reading), some 200ms/2s\n", result.stdout), result.stdout
    if made.pressure.exists():
        assert f"; pressure: {made.pressure}, by trigger" in result.stdout


# ---- --policy auto: without a number, on whatever server ----

def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def get(port, path):
    """Whether it answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


AUTO = ["--policy", "auto", *sets({"log.format": "json", "log.level": "debug"})]


@ONLY_PID1
@pytest.mark.skipif(shutil.which("gunicorn", path="/usr/bin") is None, reason="gunicorn is not installed")
def test_auto_recycles_leaking_gunicorn_before_the_kernel_acts(init, box):
    made = box(128 * MIB)
    port = free_port()
    running = init.start(*AUTO, "/usr/bin/gunicorn", "-w", 2, "-b", f"127.0.0.1:{port}", "--chdir", HERE,
                         "gunicorn_app:app", env={"BLOAT_BYTES": str(MIB // 2)}, wrap=made.enter)
    until(lambda: get(port, "/"), "gunicorn serves")
    master = running.worker()
    until(lambda: len(children(master)) == 2)
    assert all(get(port, "/grow") for _ in range(80)), "a quick start"
    end = time.monotonic() + 30
    while len(running.events("replaced")) < 2 and time.monotonic() < end:
        assert get(port, "/grow"), running.err
        time.sleep(0.04)
    recycles = running.events("recycle")
    assert len(recycles) >= 2, running.err
    assert all((event["reason"], event["method"]) == ("container", "signal") for event in recycles)
    assert all(event["container"] >= event["at"] == 128 * MIB * 85 // 100 for event in recycles)
    assert running.events("oom") == running.events("kill") == [] and made.oom_kills() == 0
    assert running.worker() == master
    running.kill(signal.SIGTERM)
    assert running.wait(40) == 0


@pytest.mark.parametrize("init, count, words", [("pid1", 0, []), ("subreaper", 2, ["name=ForkPoolWorker"])],
                         indirect=["init"], ids=["one process", "unknown pool"])
def test_auto_signals_nobody_it_does_not_know(init, box, count, words):
    """A program of one process, and a pool whose children would lose their task: only the warning."""
    made = box(128 * MIB)
    p = Pool(init, count, *words, policy={**dict.fromkeys(QUICK), "log.format": "json"}, options=["--policy", "auto"],
             wrap=made.enter)
    p.grow(0, 85)
    p.tell(0, f"leak {9 * MIB}")
    (warning,) = until(lambda: helpless(p.trimtab), "it is said")
    p.tell(0, "leak 0")
    assert warning["container"] >= warning["at"] == 128 * MIB * 85 // 100
    holds(lambda: p.trimtab.running() and not acts(p.trimtab), 1)
    assert len(helpless(p.trimtab)) == 1
    assert p.log("term") == p.log("trim") == p.log("down") == []
    assert made.oom_kills() == 0
