"""trimtabctl replay: what it decides over recordings made by hand, and what it says of them."""
import os
import subprocess
import time
import xml.etree.ElementTree

import pytest

from conftest import BEGIN, COLUMNS, CTL, GIB, HEADER, MIB, SANITIZED, clean_environment, events, pool, row, summary, table, text_of

RECYCLE = ["recycle.at=100M", "recycle.jitter=0%", "recycle.samples=3", "container.trim_at=off"]


def grow(begin, rate):
    return lambda second: begin + rate * second


def flat(size):
    return lambda second: size


# ---- decisions ----

def test_the_first_line_says_what_a_recording_cannot_show(replay):
    first = replay(pool(5, [flat(30)]), *RECYCLE).splitlines()[0]
    assert first.startswith("# A recording does not change") and "dry run" in first and "drops only" in first


def test_a_process_that_grows_is_recycled_after_samples_in_a_row(replay):
    out = replay(pool(120, [grow(50, 1), flat(60)]), *RECYCLE, "trim.signal=none")
    (second, line), = events(out, "recycle")
    assert 52 <= second <= 56
    assert line.startswith("recycle pid=10 ") and "reason=at" in line and "dry_run=yes" in line
    assert events(out) == events(out, "recycle"), "nothing else was decided"
    processes = table(out)
    assert processes[10]["above_recycle"] == "0:01:09" and processes[10]["peak"] == "169M"
    assert processes[10]["at"] == "0:01:59" and processes[10]["recycles"] == "1"
    assert processes[11]["above_recycle"] == "0:00:00" and processes[11]["watched"] == "yes"
    assert processes[1]["watched"] == "no" and processes[1]["role"] == "worker"
    assert summary(out)["recycles"] == "1" and summary(out)["time"] == "0:01:59, 120 looks"


def test_times_are_of_the_recording(replay):
    out = replay(pool(120, [grow(50, 1)]), *RECYCLE, "trim.signal=none")
    second, _ = events(out)[0]
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGIN + int(second)))
    assert f"\n{stamp}.000Z +0:00:{int(second)}.000 trimtab: recycle " in out


def test_a_trim_comes_before_a_recycle(replay):
    out = replay(pool(120, [grow(50, 1)]), *RECYCLE, "trim.signal=USR1", "trim.at=80M", "trim.idle=0")
    assert [line.split()[0] for _, line in events(out)] == ["trim", "recycle"]
    second, line = events(out, "trim")[0]
    assert 30 <= second <= 34 and "at=80M" in line and "dry_run=yes" in line
    assert table(out)[10]["above_trim"] == "0:01:29"


def test_an_idle_process_that_has_grown_is_trimmed(replay):
    rows = []
    for second in range(60):
        rows.append(row(second, 1, 20 * MIB, cpu_ms=10))
        rows.append(row(second, 10, (50 + 2 * min(second, 20)) * MIB, cpu_ms=900 * min(second, 20)))
    out = replay(rows, "trim.signal=USR1", "trim.idle=10s", "container.trim_at=off")
    (second, line), = events(out, "trim")
    assert 30 <= second <= 45 and "pid=10" in line and "reason=idle" in line


def test_the_worker_itself_is_watched_where_it_is_alone(replay):
    out = replay([row(second, 1, (50 + second) * MIB) for second in range(90)], *RECYCLE)
    assert "pid=1 " in events(out, "recycle")[0][1] and "method=respawn" in events(out, "recycle")[0][1]


def test_targets_and_patterns(replay):
    rows = [line for second in range(90) for line in (
        row(second, 1, 20 * MIB), row(second, 10, (50 + second) * MIB, name="serve"),
        row(second, 11, (50 + second) * MIB, name="helper", same_program="no"),
        row(second, 12, (50 + second) * MIB, name="deep", parent=10))]
    recycled = {"auto": {10}, "children": {10, 11}, "tree": {10, 11, 12}}
    settings = [*RECYCLE, "recycle.at_once=4", "recycle.interval=0"]
    for target, pids in recycled.items():
        out = replay(rows, *settings, f"watch.target={target}")
        assert {pid for pid, one in table(out).items() if one["recycles"] != "0"} == pids, target
    out = replay(rows, *settings, "watch.target=tree", "watch.match=h*, deep", "watch.exclude=deep")
    assert {pid for pid, one in table(out).items() if one["watched"] == "yes"} == {11}
    assert note_of(out, "patterns were held against their names") == 4
    out = replay(rows, *settings, "watch.target=children", "recycle.match=helper")
    assert {pid for pid, one in table(out).items() if one["recycles"] != "0"} == {11}


def test_patterns_are_held_against_command_lines_where_they_are_recorded(replay):
    """A command line stands in the first row of its process, and where it changes."""
    rows = [line for second in range(90) for line in (
        row(second, 1, 20 * MIB, command="master" if second == 0 else ""),
        row(second, 10, (50 + second) * MIB, command="/usr/bin/python3 -m gunicorn app" if second == 0 else ""),
        row(second, 11, (50 + second) * MIB, command="/usr/bin/python3 -m celery" if second == 0 else ""))]
    out = replay(rows, *RECYCLE, "recycle.match=gunicorn*, *-m gunicorn *", "recycle.interval=0")
    assert {pid for pid, one in table(out).items() if one["recycles"] != "0"} == {10}
    assert "# notes" not in out


def test_names_are_compared_where_the_program_is_not_known(replay):
    rows = [line for second in range(90) for line in (
        row(second, 1, 20 * MIB, same_program=""), row(second, 10, (50 + second) * MIB, same_program=""),
        row(second, 11, (50 + second) * MIB, same_program="", name="sh"))]
    processes = table(replay(rows, *RECYCLE))
    assert processes[10]["watched"] == "yes" and processes[11]["watched"] == "no"


def test_the_container_is_told_apart_from_its_processes(replay):
    rows = list(pool(300, [grow(50, 1), grow(60, 1)], limit=GIB))
    rows = [line.replace(f",{GIB},", f",{GIB},", 1) for line in rows]
    used = []
    for line in rows:
        fields = line.split(",")
        fields[12] = str((400 + 2 * int(fields[1]) // 1000) * MIB)
        used.append(",".join(fields))
    out = replay(used, "recycle.jitter=0%", "container.recycle_at=80%", "trim.signal=none")
    line = events(out, "recycle")[0][1]
    assert "reason=container" in line and "pid=11" in line
    assert summary(out)["peak of the container"] == "998M at +0:04:59"
    seconds_above = 300 - 1 - int((0.8 * 1024 - 400) / 2 + 0.999)
    assert summary(out)["above [container] recycle_at"] == f"0:0{seconds_above // 60}:{seconds_above % 60:02}, at 819M"
    assert summary(out)["above the limit"] == "0:00:00, at 1G"


def test_limits_and_kills_are_told(replay):
    rows = [row(second, 1, 10 * MIB, limit=GIB if second < 10 else GIB // 2, oom_kill=3 if second < 20 else 5)
            for second in range(30)]
    out = replay(rows, *RECYCLE)
    assert events(out, "limit") == [(10.0, "limit old=1G new=512M")]
    assert events(out, "oom") == [(20.0, "oom killed=2")] or events(out, "oom") == [(20.0, "oom count=2")]
    assert summary(out)["kills for want of memory"] == "2"
    out = replay(rows, *RECYCLE, "watch.limit=700M")
    assert events(out, "limit") == [] and summary(out)["above the limit"] == "0:00:00, at 700M"


def test_a_limit_that_is_not_known_must_be_given(replay):
    rows = [row(0, limit="")]
    assert "t.csv: its first look tells no limit" in replay(rows, *RECYCLE, status=1)
    replay(rows, *RECYCLE, "watch.limit=1G")


def test_pressure_asks_for_a_trim(replay):
    rows = [line for second in range(40) for line in (
        row(second, 1, 20 * MIB, pressure_us=0 if second < 20 else 300000 * (second - 19)),
        row(second, 10, (50 + second) * MIB))]
    settings = ["trim.signal=USR1", "trim.idle=0", "container.trim_at=off"]
    (second, line), *_ = events(replay(rows, *settings, "container.pressure=some 200ms/2s"), "trim")
    assert 20 <= second <= 22 and "reason=pressure" in line
    assert events(replay(rows, *settings, "container.pressure=some 900ms/2s"), "trim") == []
    out = replay(rows, *settings, "container.pressure=full 200ms/2s")
    assert events(out, "trim") == [] and "of the kind full, which is not recorded" in out


def test_lines_are_held_against_the_metric(replay):
    rows = [line for second in range(60) for line in (
        row(second, 1, 20 * MIB), row(second, 10, (90 + second) * MIB, pss=50 * MIB, uss=(60 + second) * MIB))]
    out = replay(rows, *RECYCLE, "watch.metric=pss")
    assert events(out, "recycle") == [] and table(out)[10]["above_recycle"] == "0:00:00"
    out = replay(rows, *RECYCLE, "watch.metric=uss")
    assert 40 <= events(out, "recycle")[0][0] <= 60 and table(out)[10]["above_recycle"] == "0:00:19"
    bare = [line for second in range(60) for line in (row(second, 1, 20 * MIB), row(second, 10, (90 + second) * MIB))]
    out = replay(bare, *RECYCLE, "watch.metric=pss")
    assert events(out, "recycle") != [] and "measures of PSS and USS that the policy asked for" in out


def test_a_new_worker_begins_anew(replay):
    rows = [line for second in range(100) for line in (
        row(second, 1 if second < 50 else 2, 20 * MIB, role="worker", parent=0,
            start_ms=-600000 if second < 50 else 49000),
        row(second, 10 if second < 50 else 20, 30 * MIB, parent=1 if second < 50 else 2,
            start_ms=-600000 if second < 50 else 49500, role="child"))]
    processes = table(replay(rows, *RECYCLE))
    assert processes[1]["to"] == "0:00:49" and processes[2]["from"] == "0:00:50"
    assert processes[20]["watched"] == "yes" and processes[2]["watched"] == "no"


def test_a_pid_that_is_used_again_is_another_process(replay):
    rows = [line for second in range(60) for line in (
        row(second, 1, 20 * MIB), row(second, 10, (90 + second % 30) * MIB, start_ms=-9000 if second < 30 else 29000))]
    out = replay(rows, *RECYCLE)
    assert out.split("# processes")[1].split("for: ")[0].count("\n        10 ") == 2


def test_short_lived_processes_are_not_taken_for_workers(replay):
    rows = [line for second in range(60) for line in (
        row(second, 1, 20 * MIB), row(second, 100 + second, 200 * MIB, start_ms=second * 1000 - 200))]
    out = replay(rows, *RECYCLE, "recycle.min_age=0")
    assert events(out) == [] and all(one["watched"] == "no" for pid, one in table(out).items() if pid >= 100)


def test_verdicts_say_what_a_recording_can_show(replay):
    rows = pool(1200, [grow(50, 0.2), flat(60)], step=5)
    verdicts = replay(rows, *RECYCLE).split("# verdicts\n")[1].split("\n\n")[0].splitlines()
    assert [line.split(";")[0] for line in verdicts] == [
        "unknown: it keeps growing", "unknown: it does not keep growing: a cache that fills, spikes, or nothing at all"]
    assert verdicts[0].endswith("pid 10") and verdicts[1].endswith("pid 11")


# ---- what a real recording can hold ----

def note_of(out, text):
    notes = out.split("\n# notes\n")[1].splitlines()
    return int(next(line for line in notes if text in line).split()[0])


def test_a_whole_recording_has_no_notes(replay):
    assert "# notes" not in replay(pool(10, [flat(30)]), *RECYCLE)


def test_a_cut_recording_is_read_up_to_the_cut(replay):
    whole = text_of(pool(30, [flat(30)])).encode()
    assert note_of(replay(whole[:-7], *RECYCLE), "the recording was cut there") == 1
    assert note_of(replay(whole[:-1], *RECYCLE), "the recording was cut there") == 1
    kept = replay(whole[:-7], *RECYCLE).split("\n# notes")[0]
    assert kept == replay(whole[:whole[:-1].rindex(b"\n") + 1], *RECYCLE)


def test_carriage_returns_and_a_byte_order_mark_change_nothing(replay):
    text = text_of(pool(90, [grow(50, 1)])).encode()
    assert replay(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"), *RECYCLE) == replay(text, *RECYCLE)


def test_doubled_and_empty_lines_are_counted(replay):
    rows = list(pool(90, [grow(50, 1)]))
    once = replay(rows, *RECYCLE)
    out = replay([line for one in rows for line in (one, one, "")], *RECYCLE)
    assert out.split("\n# notes")[0] == once
    assert note_of(out, "rows of a process that the same look had already") == len(rows)
    assert note_of(out, "empty lines") == len(rows)


def test_a_gap_counts_for_no_time_above_a_line(replay):
    rows = [row(second, 1, 150 * MIB) for second in [*range(0, 10), *range(1000, 1010)]]
    out = replay(rows, *RECYCLE)
    assert table(out)[1]["above_recycle"] == "0:00:18"
    assert note_of(out, "gaps, the longest 0:16:31") == 1


def test_the_time_of_day_may_leap(replay):
    rows = [row(second, time=BEGIN + second + (0 if second < 10 else 3600 if second < 20 else -50))
            for second in range(30)]
    out = replay(rows, *RECYCLE)
    assert note_of(out, "is before that of the look before") == 1
    assert note_of(out, "the machine slept") == 1
    assert summary(out)["time"] == "0:00:29, 30 looks"


def test_children_of_nobody_are_counted(replay):
    rows = [line for second in range(30) for line in (
        row(second, 1), row(second, 10, parent=1), row(second, 11, parent=77), row(second, 12, parent=0))]
    out = replay(rows, *RECYCLE, "watch.target=children")
    assert note_of(out, "whose parent is in no row") == 2
    assert {pid for pid, one in table(out).items() if one["watched"] == "yes"} == {10}


def test_more_rows_than_a_look_has_room_for_are_counted(replay):
    rows = [row(0, pid) for pid in range(1, 9001)]
    out = replay(rows, *RECYCLE, "watch.target=tree")
    assert note_of(out, "rows skipped: too many in one look") == 9000 - 8192
    assert note_of(out, "processes not watched") == 8192 - 4096
    assert "and 8128 with lower peaks" in out


def test_sizes_at_the_edge_do_no_harm(replay, tmp_path):
    most = (1 << 63) - 1
    rows = [line for second in range(0, 60, 5) for line in (
        row(second, 1, most, cpu_ms=most, used=most, limit=most, oom_kill=most, pressure_us=most),
        row(second, 10, most, start_ms=-(1 << 53), pss=most, uss=most), row(second, 11, 0, start_ms=1 << 53))]
    out = replay(rows, "recycle.at=1G", "watch.target=tree", more=["--svg", "x.svg"])
    assert table(out)[1]["peak"] == "8E"
    xml.etree.ElementTree.parse(tmp_path / "x.svg")


# ---- what no recording holds ----

GOOD = row(0) + "\n"


def at(line, column, more=0):
    """Where a column begins in a line of the usual order, whose fields have no commas; from 1."""
    before = COLUMNS.index(column)
    return sum(len(field) + 1 for field in line.split(",")[:before]) + 1 + more


def bad_row(what, column, more=0, **values):
    line = row(0, **values)
    return text_of([line, row(1)]), f"t.csv:2:{at(line, column, more)}: {what}"


BAD = {
    "nothing": ("", "t.csv: is empty"),
    "no newline": (HEADER, "t.csv: is no recording: it has no line that ends"),
    "no rows": (HEADER + "\n", "t.csv: has no rows"),
    "only a cut row": (HEADER + "\n1764", "t.csv: has no rows"),
    "a missing column": (HEADER.replace("rss,", "") + "\n" + GOOD,
                         f"t.csv:1:{len(HEADER) - 3}: missing columns: rss"),
    "an unknown column": (HEADER.replace("rss,", "rrs,") + "\n" + GOOD,
                          f"t.csv:1:{at(HEADER, 'rss')}: unknown column 'rrs'; did you mean 'rss'?"),
    "a column too many": (HEADER + ",rss\n" + GOOD,
                          f"t.csv:1:{len(HEADER) + 2}: more columns than a recording has: it has 17"),
    "a column twice": (HEADER.replace("pss", "rss") + "\n" + GOOD,
                       f"t.csv:1:{at(HEADER, 'pss')}: column 'rss' is there twice"),
    "no header": (GOOD, "t.csv:1:1: unknown column '1764000000.000'"),
    "too few fields": (f"{HEADER}\n{GOOD}1764000001.0,1000,1\n{GOOD}", "t.csv:3:20: only 3 fields; there are 17"),
    "too many fields": (f"{HEADER}\n{GOOD[:-1]},9\n", f"t.csv:2:{len(GOOD) + 1}: 18 fields; there are 17 columns"),
    "time that goes back": (text_of([row(0), row(5), row(4)]), "t.csv:4:16: time goes back"),
    "two recordings joined": (text_of([row(0), row(5)]) * 2, "t.csv:4:1: time: 'time' is not a time"),
    "two workers": (text_of([row(0), row(0, 2, role="worker")]),
                    f"t.csv:3:{at(row(0, 2), 'role')}: a second worker in one look"),
    "no worker": (text_of([row(0, role="child")]), "t.csv: has no worker: no row has that role"),
    "a role that is none": bad_row("role: 'boss' is neither worker nor child", "role", role="boss"),
    "a size of 2^63": bad_row("rss: 9223372036854775808 is too large: it must be below 2^63", "rss", rss=1 << 63),
    "a size far beyond": bad_row("limit: 99999", "limit", limit="9" * 60),
    "no number": bad_row("used: 'NaN' is not a whole number", "used", used="NaN"),
    "a negative size": bad_row("used: '-4096' is not a whole number", "used", used="-4096"),
    "a size with a unit": bad_row("used: '4M' is not a whole number", "used", used="4M"),
    "a pid of 0": bad_row("pid: is 0", "pid", pid=0, role="worker"),
    "a time that is none": bad_row("time: 'nan' is not a time in seconds", "time", time="nan"),
    "an open quote": bad_row("a quote that is not closed", "name", name='"x'),
    "a quote inside": bad_row("a quote within a field", "name", 1, name='x"y'),
    "a NUL": bad_row("a byte that no line of a recording holds: 0x00", "name", 1, name="x\0y"),
    "old line ends": (text_of([row(0)]).replace("\n", "\r") + "\n",
                      f"t.csv:1:{len(HEADER) + 1}: a byte that no line of a recording holds: 0x0d"),
    "a program": (open(CTL, "rb").read(), "t.csv:1:"),
    "an endless line": ("a" * 1000000, "t.csv:1:4097: a line of more than 4096 bytes"),
    "an endless row": (HEADER + "\n" + "1" * 5000 + "\n", "t.csv:2:4097: a line of more than 4096 bytes"),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_bad_input_is_refused_as_a_whole(replay, tmp_path, what):
    data, message = BAD[what]
    (tmp_path / "out.svg").write_text("old")
    error = replay(data.encode() if isinstance(data, str) else data, *RECYCLE, status=1, more=["--svg", "out.svg"])
    assert error.startswith("trimtabctl: " + message), error
    assert (tmp_path / "out.svg").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["out.svg", "t.csv"], "nothing half made is left"


def test_a_mistake_in_the_last_row_is_found_before_anything_is_printed(replay):
    rows = list(pool(2000, [grow(50, 1)]))
    assert "t.csv:4002:1: time: 'x' is not a time" in replay([*rows, "x" + row(2000)[14:]], *RECYCLE, status=1)


# ---- the plot ----

def plot(replay, tmp_path, rows, *settings):
    replay(rows, *settings, more=["--svg", "out.svg"])
    data = (tmp_path / "out.svg").read_bytes()
    root = xml.etree.ElementTree.fromstring(data)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return data


def test_a_plot_is_drawn(replay, tmp_path):
    rows = list(pool(120, [grow(50, 1), flat(60)]))
    one = plot(replay, tmp_path, rows, *RECYCLE)
    assert plot(replay, tmp_path, rows, *RECYCLE) == one, "the same again"
    more = plot(replay, tmp_path, list(pool(120, [grow(50, 1), flat(60), flat(61)])), *RECYCLE)
    assert more != one
    assert sorted(os.listdir(tmp_path)) == ["out.svg", "t.csv"]


@pytest.mark.parametrize("rows", [
    pytest.param([row(0)], id="one look"),
    pytest.param([row(0, rss=0), row(1, rss=0)], id="no memory"),
    pytest.param([row(0, name="\udcff\udcfe"), row(1, name="\x1b[1m")], id="odd names"),
    pytest.param([row(second, pid, start_ms=second * 1000) for second in range(50) for pid in (1, 100 + second)],
                 id="processes of one look"),
    pytest.param([row(second) for second in (*range(10), *range(5000, 5010))], id="a gap"),
])
def test_odd_recordings_are_drawn(replay, tmp_path, rows):
    plot(replay, tmp_path, text_of(rows).encode(errors="surrogateescape"), *RECYCLE)


def test_a_plot_of_many_processes_and_marks_stays_small(replay, tmp_path):
    rows = pool(3000, [(lambda second, i=i: 60 + (second * (i + 7)) % 90) for i in range(64)], step=2)
    data = plot(replay, tmp_path, list(rows), *RECYCLE, "recycle.interval=0", "recycle.at_once=8",
                "trim.signal=USR1", "trim.at=70M")
    assert len(data) < 8 << 20


@pytest.mark.parametrize("path, why", [
    ("none/out.svg", "No such file or directory"),
    ("/dev/null", "is there, and no regular file"),
    (".", "is there, and no regular file"),
])
def test_a_plot_that_cannot_be_written_is_an_error(replay, tmp_path, path, why):
    assert f"{path}: {why}" in replay([row(0)], *RECYCLE, status=1, more=["--svg", path])
    assert os.listdir(tmp_path) == ["t.csv"]


def test_a_full_disk_leaves_no_plot(replay, tmp_path):
    (tmp_path / "t.csv").write_text(text_of(pool(600, [grow(50, 1)])))
    (tmp_path / "small").mkdir()
    script = f"mount -t tmpfs -o size=16k tmpfs small && TMPDIR=/tmp {CTL} replay t.csv --set recycle.at=100M " \
             "--svg small/out.svg; echo $?; ls small"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True,
                          timeout=60, env=clean_environment())
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no tmpfs can be mounted: {done.stderr}")
    assert done.stdout == "1\n" and "small/out.svg: No space left on device" in done.stderr


def test_a_result_that_cannot_be_printed_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text(text_of([row(0)]))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CTL, "replay", "t.csv", "--set", "recycle.at=1G"], cwd=tmp_path, stdout=full,
                              stderr=subprocess.PIPE, timeout=60, env=clean_environment())
    assert done.returncode == 1 and b"cannot print: No space left on device" in done.stderr


# ---- the same, and large ----

def test_the_same_recording_gives_the_same_result(replay):
    rows = list(pool(3000, [grow(50, 0.05), grow(60, 0.04)]))
    settings = [*RECYCLE[:1], "recycle.jitter=50%"]
    assert replay(rows, *settings) == replay(rows, *settings, more=["--seed", "1"])
    assert events(replay(rows, *settings, more=["--seed", "1"])) != events(replay(rows, *settings, more=["--seed", "7"]))


def test_a_day_is_replayed_within_seconds_and_in_little_memory(tmp_path):
    """86400 looks at a worker and three children, one of which leaks and is replaced."""
    begin = time.monotonic()
    with open(tmp_path / "day.csv", "w") as file:
        file.write(HEADER + "\n")
        for second in range(86400):
            tail = f"{second * 20},{(300 + second % 600) * MIB},{4 * GIB},0,0,\n"
            head = f"{BEGIN + second}.000,{second * 1000}"
            born = second // 20000 * 20000
            leak = 60 * MIB + (second - born) * 5000
            file.write(f"{head},1,-1000,0,server,worker,yes,{30 * MIB},,,{tail}"
                       f"{head},{100 + second // 20000},{born * 1000},1,server,child,yes,{leak},,,{tail}"
                       f"{head},11,-500,1,server,child,yes,{80 * MIB + second % 100 * 4096},,,{tail}"
                       f"{head},12,-400,1,server,child,yes,{70 * MIB},,,{tail}")
    made = time.monotonic()
    # 16 MiB of data, a third of the file: as much as for a recording of any length.
    bound = "" if SANITIZED else "ulimit -d 16384 && "
    command = f"{bound}exec {CTL} replay day.csv --set recycle.at=150M --svg day.svg"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                          env=clean_environment())
    took = time.monotonic() - made
    print(f"made in {made - begin:.1f} s, replayed in {took:.2f} s, {(tmp_path / 'day.csv').stat().st_size >> 20} MiB")
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert summary(out)["time"] == "23:59:59, 86400 looks"
    assert {line.split()[1] for _, line in events(out, "recycle")} == {f"pid={pid}" for pid in range(100, 104)}
    assert took < 20
