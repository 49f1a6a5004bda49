"""What the tests of trimtabctl share: the real binary, and recordings made by hand.

TRIMTABCTL_BIN is the binary under test.
"""
import os
import pathlib
import re
import subprocess
import time

import pytest

HERE = pathlib.Path(__file__).parent
TOP = HERE.parent.parent
CTL = os.path.abspath(os.environ.get("TRIMTABCTL_BIN", TOP / "build/release/bin/trimtabctl"))
TRIMTAB = os.path.abspath(os.environ.get("TRIMTAB_BIN", TOP / "build/release/bin/trimtab"))
PATIENCE = float(os.environ.get("PATIENCE_S", "20"))

COLUMNS = ["time", "mono_ms", "pid", "start_ms", "parent", "name", "role", "same_program", "rss", "pss", "uss",
           "cpu_ms", "used", "limit", "oom_kill", "pressure_us", "command"]
HEADER = ",".join(COLUMNS)
MIB = 1 << 20
GIB = 1 << 30
BEGIN = 1764000000

# The time of day is there in a replay.
EVENT = re.compile(r"^(?:[0-9T:.-]+Z )?\+(\d+):(\d\d):(\d\d\.\d{3}) trimtab: (.*)$", re.M)


def until(condition, what="", timeout=PATIENCE):
    """Wait until condition() is true, and return what it returned."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.005)


SANITIZED = b"__asan_init" in pathlib.Path(CTL).read_bytes()


def clean_environment(**more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TRIMTAB_")}
    # What fontconfig keeps until the end is no leak of ours.
    return {**kept, "LSAN_OPTIONS": f"print_suppressions=0:suppressions={HERE / 'leaks.txt'}", **more}


def row(second, pid=1, rss=MIB, **more):
    """One line of a recording. Sizes in bytes."""
    values = {"time": f"{BEGIN + second:.3f}", "mono_ms": int(second * 1000), "pid": pid, "start_ms": -600000,
              "parent": 0 if pid == 1 else 1, "name": "server", "role": "worker" if pid == 1 else "child",
              "same_program": "yes", "rss": int(rss), "limit": GIB, "oom_kill": 0, "pressure_us": 0}
    values.update(more)
    return ",".join(str(values.get(column, "")) for column in COLUMNS)


def text_of(rows):
    return "\n".join([HEADER, *rows]) + "\n"


def pool(seconds, sizes, step=1, **more):
    """A worker of 20 MiB and children, pids from 10: sizes is for each of them a function from second to MiB."""
    for second in range(0, seconds, step):
        yield row(second, 1, 20 * MIB, **more)
        for i, size in enumerate(sizes):
            yield row(second, 10 + i, size(second) * MIB, **more)


@pytest.fixture
def ctl(tmp_path):
    """Run trimtabctl in tmp_path: ctl(word, ..., status=0) returns stdout; of status 1 it returns stderr."""

    def run(*words, status=0, given=None, environment=None):
        done = subprocess.run([CTL, *map(str, words)], cwd=tmp_path, input=given, capture_output=True, timeout=120,
                              env=clean_environment(**(environment or {})))
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == status, (done.returncode, out[-2000:], err)
        if status != 0:
            assert out == "", "a refusal prints no result"
            assert err.startswith("trimtabctl: ") and err.count("\n") == 1, err
            return err
        return out

    return run


@pytest.fixture
def replay(ctl, tmp_path):
    """Replay rows, or bytes, under settings: replay(rows, "recycle.at=100M", ...)."""

    def run(rows, *settings, status=0, more=(), name="t.csv", **others):
        data = rows if isinstance(rows, bytes) else text_of(rows).encode()
        (tmp_path / name).write_bytes(data)
        words = [word for setting in settings for word in ("--set", setting)]
        return ctl("replay", name, *words, *more, status=status, **others)

    return run


def events(out, name=None):
    """The lines of decisions: [(second, line)], those of an event, if one is named."""
    found = []
    for hours, minutes, seconds, line in EVENT.findall(out):
        if name is None or line.split(" ")[0] == name:
            found.append((int(hours) * 3600 + int(minutes) * 60 + float(seconds), line))
    return found


def table(out):
    """The processes of the table, by pid."""
    names = ["pid", "name", "role", "watched", "from", "to", "peak", "at", "above_trim", "above_recycle", "trims",
             "recycles", "verdict"]
    part = out.split("# processes, by their peak\n")[1].split("\nfor: ")[0].splitlines()[1:]
    return {int(line.split()[0]): dict(zip(names, line.split())) for line in part if line.split()[0].isdigit()}


def summary(out):
    """The lines of the summary, by their words."""
    part = out.split("# summary\n")[1].split("\n\n")[0]
    return {line[:28].strip(): line[28:].strip() for line in part.splitlines()}
