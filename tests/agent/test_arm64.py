"""The library for arm64 and the same programs, under QEMU's user emulation."""
import os
import shutil
import signal
import subprocess

import pytest

from conftest import PROGRAMS, build_agent, until

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


def test_needs_nothing(arm64):
    dynamic = subprocess.run(["readelf", "-dW", arm64 / "agent.so"], check=True, capture_output=True, text=True).stdout
    symbols = subprocess.run(["readelf", "--dyn-syms", "-W", arm64 / "agent.so"], check=True, capture_output=True,
                             text=True).stdout
    assert "NEEDED" not in dynamic
    assert [line for line in symbols.splitlines() if " UND " in line and " GLOBAL " in line] == []


def test_each_call_answers_while_it_waits(arm64, reports, start):
    calls = subprocess.run([QEMU, "-L", ROOT, arm64 / "waits", "list"], check=True, capture_output=True,
                           text=True).stdout.split()
    bad = []
    for call in sorted(set(calls) - LEFT_OUT):
        process = start(*emulated(arm64, reports, "waits", "once", call, 300))
        assert process.stdout.readline() == "ready\n"
        until(lambda: waits_in_kernel(process.pid))
        process.send_signal(signal.SIGURG)
        report = reports.take(0.2)
        if report is None:  # the signal came just before the wait: ask again
            process.send_signal(signal.SIGURG)
            report = reports.take(1)
        process.communicate()
        if report is None or not call.startswith(report["where"]) or process.returncode != 0:
            bad.append((call, report, process.returncode))
    assert bad == []


@pytest.mark.parametrize("hazard, argument", [("cancel", 80), ("jump", 60), ("malloc", 2)])
def test_survives_under_storm(hazard, argument, arm64, program, reports, start):
    process = start(*emulated(arm64, reports, "hazards", hazard, argument))
    start(program("storm", "glibc", "-static"), process.pid, env={**os.environ, "STORM_NS": "2000000"})
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
