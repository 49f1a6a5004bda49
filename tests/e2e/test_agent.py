"""The agent: workers are given it, asked through it, and judged by what they report. Real programs, unmodified."""
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess

import pytest

from conftest import MIB, TRIMTAB, alive, descendants, holds, read, resident, sets, signal_set, status, until

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"

# A settle that no test waits for: only a report ends it sooner.
AGENT = {"log.format": "json", "log.level": "debug", "watch.interval": "100ms", "trim.settle": "10m", "trim.at": "40M"}


@pytest.fixture(scope="module")
def heap(tmp_path_factory):
    """programs: heap (glibc), heap-static, heap-musl."""
    directory = tmp_path_factory.mktemp("heaps")
    directory.chmod(0o755)
    source = HERE / "heaps/heap.c"
    flags = ["-O1", "-Wall", "-Werror", source, "-o"]
    subprocess.run(["gcc", *flags, directory / "heap"], check=True)
    subprocess.run(["gcc", "-static", *flags, directory / "heap-static"], check=True)
    if shutil.which("musl-gcc"):
        subprocess.run(["musl-gcc", *flags, directory / "heap-musl"], check=True)
    return directory / "heap"


def environment(pid):
    """Of a process; its file is empty while exec has not yet laid it out."""
    entries = until(lambda: read(f"/proc/{pid}/environ"), "its environment").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def start(init, heap, *words, policy=(), **how):
    """trimtab over heap; returns it and the file that heap writes to."""
    file = init.directory / f"told{len(init.started)}"
    file.touch()
    file.chmod(0o666)
    running = init.start(*sets({**AGENT, **dict(policy)}), heap, words[0], file, *words[1:], **how)
    return running, lambda: read(file).splitlines()


def preloads(running):
    return environment(running.worker()).get("LD_PRELOAD", "")


def test_a_trim_is_answered_with_figures(init, heap):
    running, told = start(init, heap, "hole")
    trim = running.event("trim")
    assert trim["rss_before"] > 80 * MIB and trim["rss_after"] < 20 * MIB
    assert trim["allocator"] == "glibc" and trim["reason"] == "at"
    assert trim["used"] <= trim["held"] <= trim["rss_after"]
    assert 0 <= trim["took"] < 10 and trim["yield"] > 0.7 and "report" not in trim
    assert resident(running.worker()) < 20 * MIB
    set_variables = running.event("env")["set"]
    assert "libtrimtab-agent.so" in set_variables and "TRIMTAB_AGENT_REPORT=@trimtab-" in set_variables
    assert len(told()) == 1 and told()[0].startswith("ready"), "it saw our signal"
    assert running.events("warning") == []


def test_every_child_of_a_pool_answers(init, heap):
    running, told = start(init, heap, "pool", 5)
    trims = [running.event("trim", n) for n in range(1, 6)]
    assert len({t["pid"] for t in trims}) == 5
    assert all(t["allocator"] == "glibc" and t["yield"] > 0.5 for t in trims)


@pytest.mark.parametrize("musl", [False, True], ids=["glibc", "musl"])
def test_grandchildren_by_exec_answer_too(init, heap, musl):
    program = f"{heap}-musl" if musl else heap
    if musl and not os.path.exists(program):
        pytest.skip("there is no musl-gcc")
    inner = init.directory / "inner"
    how = "pinned" if musl else "hole"  # musl gives whole blocks back by itself
    running, _ = start(init, heap, "run", program, how, inner, policy={"watch.target": "tree"})
    until(lambda: read(inner).startswith("ready"), "the grandchild")
    pid = int(read(inner).split()[1])
    trim = running.event("trim")
    assert trim["pid"] == pid
    assert trim["allocator"] == ("none" if musl else "glibc")


def test_what_no_trim_can_return_is_said(init, heap):
    running, _ = start(init, heap, "pinned")
    verdict = running.event("verdict", timeout=60)
    assert verdict["verdict"] == "pinned" and "jemalloc" in verdict["advice"]
    assert verdict["held"] - verdict["used"] > verdict["held"] / 4
    assert verdict["trims"] >= 2 and verdict["worth"] == 0


def test_a_worker_that_never_waits_is_asked_in_vain_and_unharmed(init, heap):
    running, told = start(init, heap, "busy", policy={"trim.settle": "100ms"})
    warning = until(lambda: [w for w in running.events("warning") if "not reachable by the agent" in w["what"]],
                    "that it does not answer", 60)[0]
    trims = running.events("trim")
    assert len(trims) == 3 and all(t["report"] == "none" and t["yield"] < 0.05 for t in trims)
    assert warning["pid"] == trims[0]["pid"]
    assert running.events("verdict") == [], "no evidence, no verdict"
    assert alive(running.worker()) and len(told()) == 1


def test_a_handler_of_its_own_wins(init, heap):
    running, told = start(init, heap, "own", policy={"trim.settle": "100ms"})
    trim = running.event("trim")
    assert trim["report"] == "none" and "allocator" not in trim
    until(lambda: {line.split()[0] for line in told()} >= {"ready", "urgent"}, "its own handler took it")
    assert alive(running.worker())


def test_an_allocator_of_the_policy_is_trimmed(init, heap):
    running, _ = start(init, heap, "hole", policy={"allocator.malloc": "jemalloc"})
    trim = running.event("trim")
    assert trim["allocator"] == "jemalloc" and trim["rss_after"] < trim["rss_before"]
    names = [os.path.basename(path) for path in preloads(running).split(":")]
    assert names == ["libjemalloc.so.2", "libtrimtab-agent.so"]
    loaded = lambda: {os.path.basename(e["library"]) for e in running.events("preload")}
    until(lambda: loaded() == set(names), "both seen in its maps")


def test_what_the_user_preloads_stays(init, heap):
    running, _ = start(init, heap, "hole", env={"LD_PRELOAD": "libm.so.6"})
    assert re.fullmatch(r"/.*/libtrimtab-agent\.so:libm\.so\.6", preloads(running))
    assert running.event("trim")["allocator"] == "glibc"


def test_an_agent_that_the_user_preloads_is_not_loaded_twice(init, heap):
    own = str(pathlib.Path(TRIMTAB).parent.parent / "lib/libtrimtab-agent.so")
    running, _ = start(init, heap, "hole", env={"LD_PRELOAD": own})
    assert preloads(running) == own
    assert running.event("trim")["allocator"] == "glibc"
    assert "LD_PRELOAD" in running.event("env")["kept"]


def test_garbage_is_collected_first_if_asked(init):
    script = ("import gc, time\ngc.set_threshold(10**6)\n"
              "for _ in range(800):\n    x = [bytearray(100000)]; x.append(x)\n"
              "print('ready', flush=True)\ntime.sleep(600)\n")
    kept = init.start(*sets(AGENT), PYTHON, "-c", script).event("trim")
    freed = init.start(*sets({**AGENT, "trim.collect": "yes"}), PYTHON, "-c", script).event("trim")
    assert kept["used"] > 60 * MIB, "without it the garbage is in use"
    assert freed["used"] < 20 * MIB and freed["rss_after"] < 40 * MIB


# ---- who is given none ----

def test_a_static_program_is_given_none_and_not_asked(init, heap):
    running, told = start(init, f"{heap}-static", "hole")
    until(told, "the heap")
    agent = running.event("agent")
    assert "static" in agent["what"] and len(running.events("agent")) == 1
    assert "LD_PRELOAD" not in environment(running.worker()) and running.events("warning") == []
    assert "TRIMTAB_AGENT_REPORT" not in environment(running.worker())
    assert holds(lambda: running.events("trim") == [], 1) is None


def test_a_set_id_program_is_given_none(init, heap):
    program = init.directory / "set-id"
    shutil.copy(heap, program)
    program.chmod(0o4755)
    running, told = start(init, program, "hole")
    until(told, "the heap")
    assert "set-user-ID" in running.event("agent")["what"]
    assert "LD_PRELOAD" not in environment(running.worker())


def test_a_program_with_address_sanitizer_is_given_none(init, tmp_path):
    """It would refuse to start."""
    program = tmp_path / "sanitized"
    subprocess.run(["gcc", "-fsanitize=address", HERE / "heaps/heap.c", "-o", program], check=True)
    running, told = start(init, program, "hole")
    until(told, "the heap")
    assert "AddressSanitizer" in running.event("agent")["what"]
    assert "LD_PRELOAD" not in environment(running.worker())
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True).stdout
    preloaded = init.start(*sets(AGENT), PYTHON, "-c", "import time; time.sleep(600)", env={"LD_PRELOAD": runtime.strip()})
    assert "AddressSanitizer" in preloaded.event("agent")["what"]
    assert environment(preloaded.worker())["LD_PRELOAD"] == runtime.strip()


@pytest.mark.parametrize("settings", [
    {"log.format": "json"}, {"worker.restart": "never"}, {"allocator.arena_max": "1"},
    {"recycle.at": "1G", "allocator.agent": "no"}, {"recycle.at": "1G", "trim.signal": "none"},
    {"recycle.at": "1G", "trim.signal": "USR1"}], ids=str)
def test_a_policy_that_does_not_trim_by_it_preloads_nothing(init, heap, settings):
    file = init.directory / "told"
    running = init.start(*sets(settings), heap, "hole", file)
    until(lambda: read(file), "the heap")
    assert "LD_PRELOAD" not in environment(running.worker())
    assert "agent" not in running.err


def test_it_can_be_wanted_without_a_policy_to_trim(init, heap):
    file = init.directory / "told"
    running = init.start(*sets({"allocator.agent": "yes", "trim.signal": "none"}), heap, "hole", file)
    until(lambda: read(file), "the heap")
    assert "libtrimtab-agent.so" in environment(running.worker())["LD_PRELOAD"]
    assert "TRIMTAB_AGENT_REPORT" not in environment(running.worker())
    assert signal.SIGURG in signal_set(status(running.worker())["SigCgt"])


def test_a_dry_run_asks_nobody(init, heap):
    file = init.directory / "dry"
    dry = init.start("--dry-run", *sets(AGENT), heap, "hole", file)
    trim = dry.event("trim")
    until(lambda: read(file), "the heap")
    assert trim["dry_run"] == "yes" and "rss_after" not in trim
    assert holds(lambda: resident(dry.worker()) > 80 * MIB, 1) is None


# ---- reports ----

def report_address(running):
    return "\0" + environment(running.worker())["TRIMTAB_AGENT_REPORT"][1:]


def test_a_report_of_somebody_else_is_not_believed(init, heap):
    """The pid is the kernel's, and what is no report is passed over, however much of it there is."""
    running, told = start(init, heap, "busy", policy={"trim.settle": "1s"})
    until(told, "the heap")
    worker = running.worker()
    inside = int(told()[0].split()[1])
    forged = bytearray(112)
    forged[0:8] = b"TTAR" + (1).to_bytes(2, "little") + (112).to_bytes(2, "little")
    forged[8:12] = inside.to_bytes(4, "little")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sent = 0
        until(lambda: [t for t in running.events("trim")] or flood(sock, report_address(running), bytes(forged)), "a trim", 30)
    trim = running.event("trim")
    assert trim["report"] == "none" and "allocator" not in trim
    assert alive(worker) and alive(running.pid)


def flood(sock, address, forged):
    for junk in (b"", b"x", b"x" * 4000, forged, forged + b"more"):
        try:
            sock.sendto(junk, address)
        except (BlockingIOError, ConnectionRefusedError):
            pass
    return False


# ---- an install of a single file ----

@pytest.fixture
def alone(init, tmp_path):
    """trimtab with no library beside it."""
    directory = tmp_path / "alone"
    directory.mkdir()
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent == pathlib.Path("/tmp"):
            break
        parent.chmod(0o755)
    directory.chmod(0o755)
    init.path = shutil.copy(TRIMTAB, directory / "trimtab")
    return init


def run_mounted(options):
    """A wrapper that gives a /run of its own."""
    return ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o {options} none /run && exec "$@"', "sh"]


def test_the_one_inside_is_a_file_for_all(alone, heap):
    running, _ = start(alone, heap, "hole", policy={"worker.user": "65534", "worker.group": "65534"},
                       wrap=run_mounted("mode=755"), becomes=None)
    assert running.event("trim")["allocator"] == "glibc"
    assert preloads(running) == "/run/libtrimtab-agent.so"
    file = pathlib.Path(f"/proc/{running.pid}/root/run/libtrimtab-agent.so")
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert os.listdir(file.parent) == ["libtrimtab-agent.so"]


def test_the_one_inside_is_a_memory_file_where_none_can_be_written(alone, heap):
    inner = alone.directory / "inner"
    running, _ = start(alone, heap, "run", heap, "hole", inner, policy={"watch.target": "tree"},
                       wrap=run_mounted("mode=755,noexec"))
    until(lambda: read(inner).startswith("ready"), "the grandchild")
    assert re.fullmatch(r"/proc/\d+/fd/\d+", preloads(running))
    assert running.event("trim")["pid"] == int(read(inner).split()[1])
    assert os.listdir(f"/proc/{running.pid}/root/run") == []
    assert "cannot be preloaded" not in running.err
    until(lambda: running.events("preload"), "seen in its maps")
    for pid in descendants(running.pid):
        assert not any("libtrimtab" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))


def test_one_that_does_not_fit_is_passed_over(alone, heap):
    """A path that LD_PRELOAD cannot carry, a library cut short, one that the worker's user cannot read."""
    beside = alone.directory / "two words"
    (beside / "bin").mkdir(parents=True)
    (beside / "lib").mkdir()
    library = beside / "lib/libtrimtab-agent.so"
    shutil.copy(pathlib.Path(TRIMTAB).parent.parent / "lib/libtrimtab-agent.so", library)
    alone.path = shutil.copy(TRIMTAB, beside / "bin/trimtab")
    running, _ = start(alone, heap, "hole", wrap=run_mounted("mode=755"))
    assert preloads(running) == "/run/libtrimtab-agent.so"
    good = beside.rename(alone.directory / "one-word")
    alone.path = good / "bin/trimtab"
    running, _ = start(alone, heap, "hole", wrap=run_mounted("mode=755"))
    assert preloads(running) == str(good / "lib/libtrimtab-agent.so")
    (good / "lib/libtrimtab-agent.so").chmod(0o600)
    running, _ = start(alone, heap, "hole", policy={"worker.user": "65534", "worker.group": "65534"},
                       wrap=run_mounted("mode=755"))
    assert preloads(running) == "/run/libtrimtab-agent.so"
    (good / "lib/libtrimtab-agent.so").write_bytes(library_start(good))
    running, _ = start(alone, heap, "hole", wrap=run_mounted("mode=755"))
    assert preloads(running) == "/run/libtrimtab-agent.so"
    assert running.events("warning") == []


def library_start(directory):
    return (directory / "lib/libtrimtab-agent.so").read_bytes()[:20000]


def test_an_ordinary_user_has_it_too(alone, heap):
    running, _ = start(alone, heap, "hole", wrap=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert running.event("trim")["allocator"] == "glibc"
    assert re.fullmatch(r"/proc/\d+/fd/\d+", preloads(running))


def test_who_could_not_open_it_is_told_what_to_install(alone, heap):
    """Otherwise ld.so would print a line at every exec."""
    running, told = start(alone, heap, "hole", policy={"worker.user": "65534", "worker.group": "65534"},
                          wrap=run_mounted("mode=755,noexec"))
    until(told, "the heap")
    (warning,) = running.events("warning")
    assert "cannot load" in warning["what"] and "libtrimtab-agent.so" in warning["help"]
    assert "LD_PRELOAD" not in environment(running.worker())
    assert holds(lambda: running.events("trim") == [], 1) is None
    assert "cannot be preloaded" not in running.err


def test_a_check_leaves_nothing_behind(alone, heap):
    result = alone.run("--check", *sets(AGENT), heap, wrap=run_mounted("mode=755"))
    assert result.code == 0 and "; agent: the one inside trimtab\n" in result.out
    beside = alone.run("--check", *sets(AGENT), f"{heap}-static")
    assert "; agent: the program is static" in beside.out
