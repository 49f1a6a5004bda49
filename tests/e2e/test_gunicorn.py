"""The main job: real gunicorn with an application that grows, under load, kept under its limit."""
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from conftest import HERE, children, holds, resident, status, until

MIB = 1 << 20
AT = 45 * MIB
WORKERS = 4
SECONDS = 15

pytestmark = pytest.mark.skipif(shutil.which("gunicorn", path="/usr/bin") is None or shutil.which("wrk") is None,
                                reason="gunicorn or wrk is not installed")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def load(port, tmp_path):
    """wrk on /grow, counting what was answered with anything but 200."""
    script = tmp_path / "count.lua"
    script.write_text("""
        local threads = {}
        function setup(thread) table.insert(threads, thread) end
        function init() bad = 0 end
        function response(status) if status ~= 200 then bad = bad + 1 end end
        function done(summary)
            local bad = 0
            for _, thread in ipairs(threads) do bad = bad + thread:get("bad") end
            local e = summary.errors
            io.write(string.format("requests=%d bad=%d connect=%d read=%d write=%d timeout=%d\\n",
                summary.requests, bad, e.connect, e.read, e.write, e.timeout))
        end
    """)
    return subprocess.Popen(
        ["wrk", "-t1", "-c8", f"-d{SECONDS}s", "--timeout", "10s", "-H", "Connection: close", "-s", script,
         f"http://127.0.0.1:{port}/grow"], stdout=subprocess.PIPE, text=True)


def test_gunicorn_is_kept_under_its_limit_and_no_request_fails(init, tmp_path):
    port = free_port()
    policy = {"recycle.at": str(AT), "recycle.samples": "2", "recycle.interval": "200ms", "recycle.min_age": "1s",
              "recycle.grace": "30s", "recycle.jitter": "20%", "watch.interval": "100ms", "log.format": "json",
              "log.level": "debug"}
    options = [word for key, value in policy.items() for word in ("--set", f"{key}={value}")]
    running = init.start(
        *options, "/usr/bin/gunicorn", "-w", WORKERS, "-b", f"127.0.0.1:{port}", "--chdir", HERE, "--graceful-timeout",
        "20", "--backlog", "2048", "gunicorn_app:app", env={"BLOAT_BYTES": "4096"})
    until(lambda: answers(port), "gunicorn serves")
    master = running.worker()
    until(lambda: len(children(master)) == WORKERS)
    wrk = load(port, tmp_path)
    peaks = {}

    def watch():
        for pid in children(master):
            peaks[pid] = max(peaks.get(pid, 0), resident(pid))
        return wrk.poll() is not None

    until(watch, "wrk ends", timeout=SECONDS + 60)
    text = wrk.communicate()[0]
    result = dict((key, int(value)) for key, value in re.findall(r"(\w+)=(\d+)", text))
    assert result["requests"] > 500, text
    assert [result[name] for name in ("bad", "connect", "read", "write", "timeout")] == [0] * 5, text
    recycles = running.events("recycle")
    assert len(recycles) >= WORKERS, (len(recycles), text)
    assert len(running.events("replaced")) >= len(recycles) - 1
    assert running.events("kill") == []
    assert all(event["method"] == "signal" for event in recycles)
    # What can be added while those before it in the row are replaced.
    assert max(peaks.values()) < AT + 25 * MIB, {pid: peak // MIB for pid, peak in peaks.items()}
    assert running.worker() == master
    holds(lambda: running.running() and answers(port), 0.2)
    running.kill(15)
    assert running.wait(40) == 0
    assert status(master) == {} or status(master)["State"][0] == "Z"


def test_the_shipped_policy_is_good_for_gunicorn(init):
    port = free_port()
    running = init.start("--policy", "gunicorn", "/usr/bin/gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "--chdir", HERE,
                         "gunicorn_app:app")
    until(lambda: answers(port), "gunicorn serves")
    running.kill(15)
    assert running.wait(40) == 0
