"""malloc and free in eight threads under a storm of requests, on each allocator, C library and sanitizer.

AGENT_MALLOC_SECONDS: how long each one takes, 1 if unset. The library here trims each millisecond, where it is asked
so often, and traps where its own code is undefined; the C libraries are run with the one that is installed, too.

A sanitizer's runtime has to be there when the program starts. ASan checks that it comes first and ends the program if
it does not: either it is named first in LD_PRELOAD, or ASAN_OPTIONS=verify_asan_link_order=0 is set. Linked into the
program (clang, -static-libasan) it is first in any case. TSan works both ways.
"""
import os
import platform
import re
import subprocess
import time

import pytest

from conftest import AGENT

SECONDS = int(os.environ.get("AGENT_MALLOC_SECONDS", "1"))
LIBRARY = f"/usr/lib/{platform.machine()}-linux-gnu"
JEMALLOC = f"{LIBRARY}/libjemalloc.so.2"
FINDING = re.compile("Sanitizer|WARNING|runtime error|corrupt", re.IGNORECASE)


def runtime(name):
    path = subprocess.run(["gcc", f"-print-file-name=lib{name}.so"], check=True, capture_output=True, text=True).stdout
    return os.path.realpath(path.strip())


def flags(sanitizer, *more):
    return (f"-fsanitize={sanitizer}", "-g", "-O1", *more)


# C library, preloaded before the agent, flags of the program, environment
WAYS = {
    "glibc": ("glibc", None, (), {}),
    "musl": ("musl", None, (), {}),
    "glibc-2.31": ("glibc-2.31", None, (), {}),
    "jemalloc": ("glibc", lambda: JEMALLOC, (), {"MALLOC_CONF": "background_thread:true,dirty_decay_ms:100"}),
    "asan-first": ("glibc", lambda: runtime("asan"), flags("address"), {}),
    "asan-unverified": ("glibc", None, flags("address"), {"ASAN_OPTIONS": "verify_asan_link_order=0"}),
    "asan-static": ("glibc", None, flags("address", "-static-libasan"), {}),
    "tsan-first": ("glibc", lambda: runtime("tsan"), flags("thread"), {}),
    "tsan-after": ("glibc", None, flags("thread"), {}),
}


def survive(way, agent, hazard, argument, program, reports, start):
    libc, first, compiled, environment = WAYS[way]
    preload = f"{first()}:{agent}" if first else str(agent)
    if first and not os.path.exists(first()):
        pytest.skip(f"{first()} is not installed")
    hazards, storm = program("hazards", libc, *compiled), program("storm", "glibc", "-static")
    process = start(hazards, hazard, argument, start_new_session=True,
                    env=reports.environment(LD_PRELOAD=preload, **environment))
    storm = start(storm, -process.pid if hazard == "spawn" else process.pid)
    answered = {}
    end = time.monotonic() + SECONDS + 60
    while process.poll() is None:
        report = reports.take(0.1)
        if report is not None:
            answered[report["where"]] = answered.get(report["where"], 0) + 1
        assert time.monotonic() < end, "it hangs"
    output, errors = process.communicate()
    print(way, hazard, argument, "asked:", storm.communicate(timeout=10)[0].strip(), "trims reported:", answered)
    assert process.returncode == 0 and not FINDING.search(errors + output), errors
    assert sum(answered.values()) > 0


@pytest.mark.parametrize("way", WAYS)
def test_malloc_where_each_ask_trims(way, eager_agent, program, reports, start):
    survive(way, eager_agent, "malloc", SECONDS, program, reports, start)


@pytest.mark.parametrize("way", ["glibc", "musl", "jemalloc"])
def test_malloc(way, program, reports, start):
    survive(way, AGENT, "malloc", SECONDS, program, reports, start)


# Under TSan a jump out of a handler hangs without us, too, and a cancelled wait may show an EINTR: it hands a signal on
# to its handler later than it came.
@pytest.mark.parametrize("way, hazard, argument", [("asan-first", "cancel", 160), ("asan-first", "jump", 120),
                                                   ("asan-first", "spawn", 5), ("tsan-first", "spawn", 5)])
def test_other_hazards_under_a_sanitizer(way, hazard, argument, program, reports, start):
    survive(way, AGENT, hazard, argument, program, reports, start)
