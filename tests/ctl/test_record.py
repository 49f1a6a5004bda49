"""trimtabctl record: real processes, written down and replayed."""
import csv
import io
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from conftest import COLUMNS, CTL, HEADER, MIB, TRIMTAB, clean_environment, events, table, until

# Forks as many children as told, which grow by 1 MiB each 20 ms until they are killed.
GROW = """
import os, sys, time
for i in range(int(sys.argv[1])):
    if os.fork() == 0:
        kept = []
        while True:
            kept.append(b"x" * (1 << 20))
            time.sleep(0.02)
print("ready", flush=True)
time.sleep(600)
"""


class Grower:
    def __init__(self, children, under=()):
        self.process = subprocess.Popen([*under, sys.executable, "-c", GROW, str(children)], stdout=subprocess.PIPE,
                                        start_new_session=True)
        assert self.process.stdout.readline() == b"ready\n"
        self.pid = self.process.pid

    def end(self):
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def grower():
    one = Grower(2)
    yield one
    if one.process.returncode is None:
        one.end()


def start(*words, **more):
    return subprocess.Popen([CTL, "record", *map(str, words)], stderr=subprocess.PIPE, env=clean_environment(), **more)


def read_rows(text):
    assert text == "" or text.endswith("\n"), "whole lines"
    return list(csv.DictReader(io.StringIO(text)))


def test_what_a_process_does_is_in_the_recording(grower, tmp_path, ctl):
    path = tmp_path / "t.csv"
    recorder = start("--pid", grower.pid, "--interval", "50ms", "--duration", "3s", "--output", path)
    _, said = recorder.communicate(timeout=30)
    assert recorder.returncode == 0 and b"the duration is over" in said
    text = path.read_text()
    assert text.splitlines()[0] == HEADER
    rows = read_rows(text)
    roles = {}
    for one in rows:
        roles.setdefault((int(one["pid"]), one["start_ms"]), []).append(one)
    workers = [key for key, all_of_it in roles.items() if all_of_it[0]["role"] == "worker"]
    assert [pid for pid, _ in workers] == [grower.pid] and len(roles) == 3
    for (pid, started), all_of_it in roles.items():
        assert int(started) < 0
        if pid == grower.pid:
            continue
        sizes = [int(one["rss"]) for one in all_of_it]
        assert sizes[-1] > sizes[0] + 20 * MIB, "it grew"
        assert all(one["parent"] == str(grower.pid) and one["same_program"] == "yes" for one in all_of_it)
        assert int(all_of_it[-1]["cpu_ms"]) >= int(all_of_it[0]["cpu_ms"])
        assert all(one["pss"] == "" and one["uss"] == "" for one in all_of_it)
    assert abs(float(rows[0]["time"]) - time.time()) < 60
    assert all(int(one["limit"]) > 0 for one in rows)

    out = ctl("replay", "t.csv", "--set", "recycle.at=64M", "--set", "recycle.min_age=0", "--set",
              "watch.interval=100ms", "--set", "container.trim_at=off", "--svg", "t.svg")
    found = table(out)
    assert set(found) == {pid for pid, _ in roles} and "# notes" not in out
    recycled = {int(re.search(r"pid=(\d+)", line)[1]) for _, line in events(out, "recycle")}
    assert recycled and grower.pid not in recycled
    assert (tmp_path / "t.svg").stat().st_size > 1000


def test_looks_keep_to_their_interval(grower, tmp_path):
    path = tmp_path / "t.csv"
    recorder = start("--pid", grower.pid, "--interval", "100ms", "--duration", "2s", "--output", path)
    assert recorder.wait(timeout=30) == 0
    times = sorted({int(one["mono_ms"]) for one in read_rows(path.read_text())})
    # The last look is as far from a multiple as the first: nothing adds up. A busy machine may leave some out.
    assert times[0] < 100 and 10 <= len(times) <= 21
    assert sorted(ms % 100 for ms in times)[len(times) // 2] < 50


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_whole_lines(grower, tmp_path, number):
    path = tmp_path / "t.csv"
    recorder = start("--pid", grower.pid, "--interval", "10ms", "--output", path)
    until(lambda: path.exists() and path.stat().st_size > 2000)
    recorder.send_signal(number)
    _, said = recorder.communicate(timeout=20)
    assert recorder.returncode == 0 and b"told to stop" in said
    looks, rows = map(int, re.search(rb"(\d+) looks, (\d+) rows", said).groups())
    assert len(read_rows(path.read_text())) == rows and rows >= looks


def test_it_ends_with_the_process(grower, tmp_path):
    path = tmp_path / "t.csv"
    recorder = start("--pid", grower.pid, "--interval", "20ms", "--output", path)
    until(lambda: path.exists() and path.stat().st_size > 500)
    grower.end()
    _, said = recorder.communicate(timeout=20)
    assert recorder.returncode == 0 and b"the process has ended" in said
    read_rows(path.read_text())


def test_lines_can_be_followed_as_they_come(grower):
    recorder = start("--pid", grower.pid, "--interval", "20ms", stdout=subprocess.PIPE)
    assert recorder.stdout.readline().decode() == HEADER + "\n"
    assert recorder.stdout.readline().count(b",") == len(COLUMNS) - 1
    recorder.stdout.close()
    _, said = recorder.communicate(timeout=20)
    assert recorder.returncode == 1 and b"standard output: Broken pipe" in said


def test_a_full_disk_is_an_error_and_lines_stay_whole(grower, tmp_path):
    recorder = start("--pid", grower.pid, "--output", "/dev/full")
    _, said = recorder.communicate(timeout=20)
    assert recorder.returncode == 1 and b"/dev/full: No space left on device" in said
    script = f"mount -t tmpfs -o size=8k tmpfs . && cd . && cd {tmp_path} && {CTL} record --pid {grower.pid} " \
             "--interval 10ms --output t.csv; echo $?; cat t.csv"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True,
                          timeout=60, env=clean_environment())
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no tmpfs can be mounted: {done.stderr}")
    status, text = done.stdout.split("\n", 1)
    assert status == "1" and "t.csv: No space left on device" in done.stderr
    assert len(read_rows(text)) > 3 and len(text) > 4000


def test_a_recording_is_not_written_over_another(grower, tmp_path, ctl):
    (tmp_path / "t.csv").write_text("mine")
    assert "t.csv: is there already" in ctl("record", "--pid", grower.pid, "--output", "t.csv", status=1)
    assert (tmp_path / "t.csv").read_text() == "mine"
    assert "none/t.csv: No such file" in ctl("record", "--pid", grower.pid, "--output", "none/t.csv", status=1)


def test_no_such_process(ctl, tmp_path):
    child = subprocess.Popen(["true"])
    child.wait()
    assert ctl("record", "--pid", child.pid, "--output", "t.csv", status=1) == f"trimtabctl: no process {child.pid}\n"


def test_exact_measures_are_written_and_bounded(grower, tmp_path):
    path = tmp_path / "t.csv"
    recorder = start("--pid", grower.pid, "--interval", "20ms", "--duration", "2s", "--exact", "--output", path)
    assert recorder.wait(timeout=30) == 0
    rows = read_rows(path.read_text())
    measured = [one for one in rows if one["pss"] != ""]
    assert {one["pid"] for one in measured} == {one["pid"] for one in rows}, "each had its turn"
    for one in measured:
        # The rss is read a moment before, and the process grows meanwhile.
        assert 0 < int(one["uss"]) <= int(one["pss"]) <= int(one["rss"]) + 8 * MIB


def test_command_lines_are_written_once_and_only_if_asked_for(grower, tmp_path):
    for words, expected in ((["--commands"], 3), ([], 0)):
        path = tmp_path / f"{expected}.csv"
        recorder = start("--pid", grower.pid, "--interval", "20ms", "--duration", "200ms", "--output", path, *words)
        assert recorder.wait(timeout=30) == 0
        told = [one for one in read_rows(path.read_text()) if one["command"] != ""]
        assert len(told) == expected and len({one["pid"] for one in told}) == expected
        assert all(one["command"].startswith(f"{sys.executable} -c ?import os") for one in told)


def test_names_cannot_break_a_line(tmp_path, ctl):
    code = "import ctypes,sys,time; ctypes.CDLL(None).prctl(15, b'a\\n,\"b\\xff'); print('ready', flush=True); " \
           "time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"ready\n"
            out = subprocess.run([CTL, "record", "--pid", str(child.pid), "--interval", "10ms", "--duration", "100ms"],
                                 capture_output=True, timeout=20, env=clean_environment())
        finally:
            child.kill()
    assert out.returncode == 0 and b',"a?,""b\xff",' in out.stdout
    printed = ctl("replay", "-", "--set", "recycle.at=1G", given=out.stdout)
    assert table(printed)[child.pid]["name"] == 'a?,"b?'


@pytest.mark.parametrize("name", ["trimtab", "tini", "docker-init"])
def test_of_an_init_the_worker_is_its_child(tmp_path, name):
    """Each of them by its name only; what runs is trimtab, as a subreaper."""
    os.symlink(TRIMTAB, tmp_path / name)
    one = Grower(1, under=[tmp_path / name, "-s", "--"])
    try:
        path = tmp_path / "t.csv"
        recorder = start("--pid", one.pid, "--interval", "20ms", "--duration", "500ms", "--output", path)
        assert recorder.wait(timeout=30) == 0
        rows = read_rows(path.read_text())
        worker, = {one_row["pid"] for one_row in rows if one_row["role"] == "worker"}
        assert worker != str(one.pid) and str(one.pid) not in {one_row["pid"] for one_row in rows}
        assert {one_row["parent"] for one_row in rows if one_row["role"] == "worker"} == {str(one.pid)}
        assert {one_row["parent"] for one_row in rows if one_row["role"] == "child"} == {worker}
    finally:
        # Its worker has a session of its own.
        subprocess.run(["kill", "-KILL", *{one_row["pid"] for one_row in rows}], check=False)
        one.end()
