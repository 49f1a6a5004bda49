"""Eight threads in the same call, under 10^4 requests a second: no thread ever sees an EINTR.

trimtab asks one thread (tgkill(2), PIDFD_SIGNAL_THREAD). Asked as a process, epoll_wait alone may end with EINTR, when
another thread takes the signal that woke this one (src/agent/wait.h); every other call does not even then.
"""
import concurrent.futures
import os
import subprocess

import pytest

from conftest import AGENT

SECONDS = 1
AT_ONCE = 6  # crowds; each waits most of the time


def crowd(program, libc, call, to):
    with subprocess.Popen([program("crowd", libc), call, str(SECONDS)], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "LD_PRELOAD": str(AGENT)}) as process:
        with subprocess.Popen([program("storm", "glibc", "-static"), str(process.pid), *to],
                              stdout=subprocess.PIPE, text=True) as storm:
            waits, eintr, wrong = (int(n) for n in process.communicate(timeout=60)[0].split()[1:])
            process.wait()
            sent = int(storm.communicate(timeout=10)[0])
    return call, {"sent": sent, "waits": waits, "eintr": eintr, "wrong": wrong, "status": process.returncode}


@pytest.mark.parametrize("libc, asked", [("glibc", "each"), ("glibc", "main"), ("glibc", "process"), ("musl", "each"),
                                         ("glibc-2.31", "each")])
def test_no_thread_sees_eintr(libc, asked, program):
    calls = subprocess.run([program("crowd", libc), "list"], check=True, capture_output=True, text=True).stdout.split()
    assert len(calls) >= 18
    program("storm", "glibc", "-static")
    if asked == "main":
        calls = [call for call in calls if call.startswith("epoll")]
    elif asked == "process":
        calls = [call for call in calls if not call.startswith("epoll")]
    to = [] if asked == "process" else [asked]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(pool.map(lambda call: crowd(program, libc, call, to), calls))
    for call, result in results.items():
        print(f"{call:26} {result}")
    assert {call: result for call, result in results.items()
            if (result["eintr"], result["wrong"], result["status"]) != (0, 0, 0)} == {}
    assert min(result["waits"] for result in results.values()) >= 200
    assert min(result["sent"] for result in results.values()) >= 1000 * SECONDS
