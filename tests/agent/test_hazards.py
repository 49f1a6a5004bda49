"""What workers do that a preloaded library has to survive, under 10^4 requests a second where that matters."""
import errno
import os
import pathlib
import platform
import signal
import socket
import subprocess
import time

import pytest

from conftest import AGENT, LIBCS, UNKNOWN, Reports, check_outside, sleeps, until


@pytest.fixture(scope="module")
def storm_on(program):
    storm = program("storm", "glibc", "-static")  # built before what it is to meet runs
    return lambda start, process, group=False: start(storm, -process.pid if group else process.pid)


@pytest.mark.parametrize("libc", LIBCS)
@pytest.mark.parametrize("hazard, argument", [("cancel", 400), ("jump", 600)])
def test_survives_under_storm(libc, hazard, argument, program, reports, start, storm_on):
    process = start(program("hazards", libc), hazard, argument, env=reports.environment())
    storm_on(start, process)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


@pytest.mark.parametrize("libc", LIBCS)
def test_nothing_that_is_started_is_killed(libc, program, reports, start, storm_on):
    process = start(program("hazards", libc), "spawn", 60, env=reports.environment(), start_new_session=True)
    storm_on(start, process, group=True)
    output, errors = process.communicate(timeout=60)
    assert (output, process.returncode) == ("0 0\n", 0), errors


@pytest.mark.parametrize("first, second", [("glibc", "musl"), ("musl", "glibc"), ("glibc", "glibc-2.31")])
def test_chains_of_both_c_libraries(first, second, program, reports, start, storm_on):
    """One LD_PRELOAD for all: under storm each link starts, none is killed, and every one answers."""
    environment = reports.environment(HAZARDS_OTHER=program("hazards", second))
    process = start(program("hazards", first), "spawn", 60, env=environment, start_new_session=True)
    storm_on(start, process, group=True)
    output, errors = process.communicate(timeout=60)
    assert (output, errors, process.returncode) == ("0 0\n", "", 0)
    while reports.take(0) is not None:
        pass
    links = 7
    process = start(program("hazards", first), "chain", links - 1, env={**environment, "HAZARDS_LAST_MS": "1000"},
                    start_new_session=True)
    storm_on(start, process, group=True)
    answered = {}
    while process.poll() is None:
        report = reports.take(0.1)
        if report is not None:
            answered[report["proven_pid"]] = report["where"]
    output, errors = process.communicate()
    pids = [int(line) for line in output.splitlines()]
    assert (errors, process.returncode, len(pids)) == ("", 0, links)
    assert [answered.get(pid) for pid in pids] == ["waitpid"] * (links - 1) + ["poll"]


@pytest.mark.parametrize("libc", LIBCS)
@pytest.mark.parametrize("hazard, where", [("stack", "read"), ("closed", "poll"), ("forked", "poll")])
def test_answers(libc, hazard, where, program, reports, start):
    process = start(program("hazards", libc), hazard, 500, env=reports.environment())
    pid = int(process.stdout.readline()) if hazard == "forked" else process.pid
    until(lambda: pathlib.Path(f"/proc/{pid}/comm").read_text() != "python3\n" and sleeps(pid))
    os.kill(pid, signal.SIGURG)
    report = reports.take()
    assert report is not None and report["where"] == where and report["proven_pid"] == pid
    process.communicate(timeout=10)
    assert process.returncode == 0


@pytest.mark.parametrize("libc", LIBCS)
def test_goes_on_where_it_may_open_nothing(libc, program, reports, start):
    process = start(program("hazards", libc), "seccomp", 300, env=reports.environment())
    until(lambda: "Seccomp:\t2" in pathlib.Path(f"/proc/{process.pid}/status").read_text() and sleeps(process.pid))
    process.send_signal(signal.SIGURG)
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert reports.take(0.05) is None


# Numbers of system calls on x86-64, with the errno they are refused with. A process that may not block signals is no
# more asked; a wait whose form with a mask is refused keeps SIGURG away.
REFUSED = {"rt_sigprocmask": [14], "forms with a mask": [271, 270, 281, 441], "both": [14, 271, 270, 281, 441]}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls")
@pytest.mark.parametrize("libc", LIBCS)
@pytest.mark.parametrize("calls", REFUSED)
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS, errno.EACCES])
def test_waits_where_the_kernel_refuses_what_the_agent_needs(libc, calls, error, program, reports, start, storm_on):
    hazards = program("hazards", libc)
    refused = f"{error} " + ",".join(map(str, REFUSED[calls]))
    bare = start(hazards, "refused", 40, env={**os.environ, "HAZARDS_REFUSED": refused})
    process = start(hazards, "refused", 40, env=reports.environment(HAZARDS_REFUSED=refused))
    storm_on(start, process)
    assert process.communicate(timeout=20) == bare.communicate(timeout=20)
    assert process.returncode == bare.returncode == 0


@pytest.mark.parametrize("libc", LIBCS)
def test_a_handler_of_the_program_wins(libc, program, reports, start):
    process = start(program("hazards", libc), "own", 2000, env=reports.environment())
    assert process.stdout.readline() == "ready\n"
    until(lambda: sleeps(process.pid))
    process.send_signal(signal.SIGURG)
    output = process.communicate(timeout=10)[0]
    assert (output, process.returncode) == ("1 -1\n", 0)
    assert reports.take(0.05) is None


@pytest.mark.parametrize("libc", LIBCS)
def test_a_full_queue_costs_reports_only(libc, program, reports, start):
    """Nobody reads: more reports than a socket holds (net.unix.max_dgram_qlen), five a second at most."""
    room = int(pathlib.Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    with pytest.raises(BlockingIOError):
        for _ in range(room + 10):
            filler.sendto(b"x", "\0" + reports.name[1:])
    process = start(program("waits", libc), "once", "poll", 500, env=reports.environment())
    assert process.stdout.readline() == "ready\n"
    until(lambda: sleeps(process.pid))
    process.send_signal(signal.SIGURG)
    assert process.communicate()[0].startswith("0 0 5")


def test_reports_to_a_path(program, start, tmp_path):
    reports = Reports(str(tmp_path / "reports"))
    process = start(program("waits"), "once", "poll", 300, env=reports.environment())
    assert process.stdout.readline() == "ready\n"
    until(lambda: sleeps(process.pid))
    process.send_signal(signal.SIGURG)
    assert reports.take()["proven_pid"] == process.pid
    reports.socket.close()


def test_asks_in_a_row_are_one_trim(program, reports, start):
    process = start(program("waits"), "once", "poll", 600, env=reports.environment())
    assert process.stdout.readline() == "ready\n"
    until(lambda: sleeps(process.pid))
    for _ in range(20):
        process.send_signal(signal.SIGURG)
        time.sleep(0.005)
    assert reports.take() is not None
    assert reports.take(0.05) is None
    time.sleep(0.2)
    process.send_signal(signal.SIGURG)
    assert reports.take() is not None


def test_needs_nothing_newer_than_glibc_2_17():
    check_outside(AGENT, f"/lib/{platform.machine()}-linux-gnu/libc.so.6")


def test_is_small_enough_to_be_carried_inside(tmp_path):
    stripped = tmp_path / "agent.so"
    subprocess.run(["strip", "-o", stripped, AGENT], check=True)
    assert stripped.stat().st_size <= 40 << 10


def test_unknown_is_what_the_header_says():
    assert UNKNOWN == 0xFFFFFFFFFFFFFFFF
