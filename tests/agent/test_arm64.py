"""The library for arm64 and the same programs, under QEMU's user emulation."""
import concurrent.futures
import os
import shutil
import signal
import subprocess

import pytest

from conftest import PROGRAMS, Reports, build_agent, check_outside, until

COMPILER = "aarch64-linux-gnu-gcc"
QEMU = "qemu-aarch64-static"
ROOT = "/usr/aarch64-linux-gnu"
# QEMU 7.2 does not know epoll_pwait2; recv:timed keeps SIGURG for later on every machine.
LEFT_OUT = {"epoll_pwait2", "recv:timed"}

pytestmark = pytest.mark.skipif(not (shutil.which(COMPILER) and shutil.which(QEMU)),
                                reason=f"{COMPILER} or {QEMU} is not installed")


@pytest.fixture(scope="module")
def arm64(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arm64")
    build_agent(folder / "agent.so", COMPILER, "-mno-outline-atomics")
    for name in ("waits", "hazards"):
        subprocess.run([COMPILER, "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-pthread", "-o", folder / name,
                        PROGRAMS / f"{name}.c"], check=True)
    return folder


def emulated(folder, reports, *words):
    return [QEMU, "-L", ROOT, "-E", f"LD_PRELOAD={folder}/agent.so", "-E", f"TRIMTAB_AGENT_REPORT={reports.name}",
            folder / words[0], *words[1:]]


def waits_in_kernel(pid):
    with open(f"/proc/{pid}/syscall") as file:
        return file.read().split()[0] not in ("running", "-1")


def test_needs_nothing_newer_than_glibc_2_17(arm64):
    check_outside(arm64 / "agent.so", f"{ROOT}/lib/libc.so.6")


def once(arm64, call, start):
    reports = Reports()
    process = start(*emulated(arm64, reports, "waits", "once", call, 300))
    assert process.stdout.readline() == "ready\n"
    until(lambda: waits_in_kernel(process.pid))
    process.send_signal(signal.SIGURG)
    report = reports.take(0.2)
    if report is None:  # the signal came just before the wait: ask again
        process.send_signal(signal.SIGURG)
        report = reports.take(1)
    process.communicate()
    reports.socket.close()
    good = report is not None and call.startswith(report["where"]) and process.returncode == 0
    return None if good else (call, report, process.returncode)


def test_each_call_answers_while_it_waits(arm64, start):
    calls = subprocess.run([QEMU, "-L", ROOT, arm64 / "waits", "list"], check=True, capture_output=True,
                           text=True).stdout.split()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        bad = list(pool.map(lambda call: once(arm64, call, start), sorted(set(calls) - LEFT_OUT)))
    assert [found for found in bad if found] == []


@pytest.mark.parametrize("hazard, argument", [("cancel", 80), ("jump", 60), ("malloc", 2)])
def test_survives_under_storm(hazard, argument, arm64, program, reports, start):
    process = start(*emulated(arm64, reports, "hazards", hazard, argument))
    start(program("storm", "glibc", "-static"), process.pid, env={**os.environ, "STORM_NS": "2000000"})
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
