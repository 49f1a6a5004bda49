"""The allocator environment of the worker."""
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import read, report, section, until

JSON = ["--set", "log.format=json", "--set", "log.level=debug"]
BASE = {"PATH": os.environ["PATH"]}
JEMALLOC = "libjemalloc.so.2"


def sets(*assignments):
    return [word for assignment in assignments for word in ("--set", assignment)]


def environment(init, *assignments, env=None, program="env"):
    result = init.run(*sets(*assignments), program, env={**BASE, **(env or {})}, clean=True)
    assert result.code == 0, result
    return dict(line.split("=", 1) for line in result.out.splitlines())


def added(init, *assignments, env=None):
    got = environment(init, *assignments, env=env)
    return {key: value for key, value in got.items() if key not in BASE}


def test_without_a_policy_nothing_is_added(init):
    assert environment(init) == BASE


def test_a_policy_limits_arenas(init):
    assert added(init, "log.level=error") == {"MALLOC_ARENA_MAX": "2"}
    assert added(init, "allocator.arena_max=5") == {"MALLOC_ARENA_MAX": "5"}
    assert added(init, "allocator.arena_max=0") == {}


def test_every_variable(init):
    got = added(init, "allocator.trim_threshold=128k", "allocator.mmap_threshold=64k", "allocator.top_pad=1M",
                "allocator.malloc_conf=narenas:1,tcache:false", "allocator.pythonmalloc=malloc")
    assert got == {
        "MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": str(128 << 10), "MALLOC_MMAP_THRESHOLD_": str(64 << 10),
        "MALLOC_TOP_PAD_": str(1 << 20), "MALLOC_CONF": "narenas:1,tcache:false", "PYTHONMALLOC": "malloc"}


@pytest.mark.parametrize("user", ["7", "0", "", "junk"])
def test_the_users_own_value_wins(init, user):
    assert added(init, "allocator.arena_max=3", env={"MALLOC_ARENA_MAX": user}) == {"MALLOC_ARENA_MAX": user}


def test_unless_override(init):
    got = added(init, "allocator.arena_max=3", "allocator.override=yes", env={"MALLOC_ARENA_MAX": "7"})
    assert got == {"MALLOC_ARENA_MAX": "3"}


def test_a_tunable_counts_as_the_users_value(init):
    tunable = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.malloc.check=0"}
    assert added(init, "allocator.arena_max=3", env=tunable) == tunable
    got = added(init, "allocator.arena_max=3", "allocator.override=yes", env=tunable)
    assert got["MALLOC_ARENA_MAX"] == "3"
    assert "arena_max" not in got.get("GLIBC_TUNABLES", "")


def test_one_line_says_what_was_set_and_what_kept(init):
    running = init.start(*JSON, *sets("allocator.malloc_conf=narenas:1"), "true",
                         env={**BASE, "MALLOC_ARENA_MAX": "4"}, clean=True)
    running.wait()
    (event,) = running.events("env")
    assert "MALLOC_CONF=narenas:1" in event["set"]
    assert "MALLOC_ARENA_MAX" in event["kept"]


def jemalloc():
    found = sorted(pathlib.Path("/usr/lib").glob(f"*/{JEMALLOC}"))
    if not found:
        pytest.skip("libjemalloc2 is not installed")
    return found[0]


def test_jemalloc_is_found_preloaded_and_confirmed(init):
    library = jemalloc()
    running = init.start(*JSON, *sets("allocator.malloc=jemalloc"), "sleep", "1000", env=BASE, clean=True)
    worker = running.worker()
    until(lambda: JEMALLOC in read(f"/proc/{worker}/maps"), "library loaded")
    assert f"LD_PRELOAD={library}\0" in read(f"/proc/{worker}/environ")
    assert str(library) in running.event("env")["set"]
    running.event("preload")
    assert running.events("warning") == []


def test_it_goes_in_front_of_what_is_preloaded(init, programs):
    library = jemalloc()
    other = programs / "heap_calls.so"
    got = environment(init, "allocator.malloc=jemalloc", env={"LD_PRELOAD": str(other)}, program="/usr/bin/env")
    assert got["LD_PRELOAD"].replace(" ", ":").split(":") == [str(library), str(other)]
    got = environment(init, "allocator.malloc=jemalloc", env={"LD_PRELOAD": str(library)})
    assert got["LD_PRELOAD"] == str(library)


def warned_once(running, word):
    warnings = [event["what"] for event in running.events("warning")]
    return len(warnings) == 1 and (word in warnings[0] or not word), warnings


def test_a_missing_library_is_warned_about_once_and_the_worker_starts(init, tmp_path):
    for name in (tmp_path / "no-such.so", "mimalloc"):
        if name == "mimalloc" and list(pathlib.Path("/usr/lib").glob("*/libmimalloc*")):
            continue
        running = init.start(*JSON, *sets(f"allocator.malloc={name}"), "sh", "-c", "echo $LD_PRELOAD", env=BASE, clean=True)
        assert running.wait() == 0
        assert running.out == "\n"
        good, warnings = warned_once(running, "")
        assert good, warnings


def test_a_library_for_another_libc_is_left_out(init, tmp_path):
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed: no program for another C library")
    source = tmp_path / "one.c"
    source.write_text("#include <stdlib.h>\nint main(void) { return getenv(\"LD_PRELOAD\") != NULL; }\n")
    subprocess.run(["musl-gcc", "-o", tmp_path / "one", source], check=True)
    running = init.start(*JSON, *sets(f"allocator.malloc={jemalloc()}"), tmp_path / "one", env=BASE, clean=True)
    assert running.wait() == 0
    good, warnings = warned_once(running, "")
    assert good, warnings


def test_a_static_program_is_told_of_and_started(init, programs, tmp_path):
    jemalloc()
    running = init.start(*JSON, *sets("allocator.malloc=jemalloc"), programs / "report", tmp_path / "report", env=BASE,
                         clean=True)
    assert running.wait() == 0
    assert "LD_PRELOAD" not in section(report(tmp_path / "report"), "env")
    good, warnings = warned_once(running, "static")
    assert good, warnings


def test_no_library_at_all_is_a_library_of_the_wrong_kind(init, tmp_path):
    for name, content in (("text.so", b"no ELF at all"), ("empty.so", b""), ("cut.so", b"\x7fELF\x02\x01\x01")):
        (tmp_path / name).write_bytes(content)
        running = init.start(*JSON, *sets(f"allocator.malloc={tmp_path / name}"), "sh", "-c", "echo $LD_PRELOAD",
                             env=BASE, clean=True)
        assert (running.wait(), running.out) == (0, "\n")
        good, warnings = warned_once(running, "")
        assert good, warnings


def test_scripts_are_followed_to_their_interpreter(init, tmp_path):
    library = jemalloc()
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env sh\necho $LD_PRELOAD\n")
    script.chmod(0o755)
    result = init.run(*sets("allocator.malloc=jemalloc"), script, env=BASE, clean=True)
    assert (result.code, result.out) == (0, f"{library}\n")
