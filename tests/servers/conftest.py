"""Each server twice: bare, and with the agent preloaded. At the end a table of what was measured: build/servers.txt.

For figures to quote, on a machine that does nothing else: more rounds (TRIMTAB_SERVERS_ROUNDS, 3) of more seconds
(TRIMTAB_SERVERS_SECONDS, 2).
"""
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest

from asking import Reports
from described import ENVIRONMENT, SERVERS, missing, version

TOP = pathlib.Path(__file__).parent.parent.parent
AGENT = pathlib.Path(os.environ.get("TRIMTAB_AGENT", TOP / "build/release/lib/libtrimtab-agent.so"))
TABLE = pathlib.Path(os.environ.get("TRIMTAB_SERVERS_TABLE", TOP / "build/servers.txt"))
SIGURG_BIT = 1 << (signal.SIGURG - 1)
COLUMNS = ("server", "version", "waits in", "idle", "4/s", "delay us", "trim ms", "1/s", "errors", "rate", "ratio",
           "p99 ms", "CPU us", "ratio of CPU")
NOTES = """\
waits in: where idle workers trim. idle: reports/asks, master and all. 4/s, 1/s: reports/asks of workers under load.
delay, trim, errors: at 4/s: p50/p99 from the signal to the trim, and of the trim; wrong or failed/all requests.
rate (requests or tasks a second), p99 (of a request or task), CPU (of the server, for one): without/with the agent, at
1 ask a second and worker, medians of rounds in turns; ratio: median of the rounds, with/without.
"""
rows = {}


def until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"this did not come about: {what}")


def children(pid):
    found = set()
    for file in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(int(word) for word in file.read_text().split())
        except OSError:
            continue
    return sorted(found)


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def catches_sigurg(pid):
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("SigCgt:") and int(line.split()[1], 16) & SIGURG_BIT for line in lines)


def cpu_ticks(pid):
    """State, and user and system time used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[11]) + int(fields[12])


def sleeps(pid):
    """Whether it waits, and has used no CPU time for a while: it has started, or has ended its work."""
    try:
        before = cpu_ticks(pid)
        time.sleep(0.1)
        return before[0] == "S" and cpu_ticks(pid) == before
    except OSError:
        return False


class Instance:
    """A running server. reports: where its agent reports; None: bare, without the agent."""

    def __init__(self, server, folder, reports=None, more=None):
        self.server = server
        self.folder = folder
        self.reports = reports
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.environment = more or {}
        server.prepare(self)
        agent = {} if reports is None else {"LD_PRELOAD": str(AGENT), "TRIMTAB_AGENT_REPORT": reports.name}
        words = [str(word).format(port=self.port, folder=folder) for word in server.command]
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                                            env={**ENVIRONMENT, **self.environment, **agent}, start_new_session=True)

    def log(self):
        return (self.folder / "log").read_bytes()

    def workers(self):
        if self.server.workers == 0:
            return [self.process.pid]
        return [pid for pid in children(self.process.pid) if self.server.worker in command_line(pid)]

    def cpu_us(self):
        """Used by all of it so far."""
        ticks = sum(cpu_ticks(pid)[1] for pid in self.processes())
        return ticks * 1e6 / os.sysconf("SC_CLK_TCK")

    def processes(self):
        return sorted({self.process.pid, *children(self.process.pid)})

    def is_ready(self):
        assert self.process.poll() is None, self.log().decode(errors="replace")
        pids = self.workers()
        return (len(pids) == max(self.server.workers, 1) and self.server.look(self) and
                (self.reports is None or all(catches_sigurg(pid) for pid in self.processes())))

    def becomes_ready(self):
        until(self.is_ready, f"{self.server.name} serves: {self.log().decode(errors='replace')}")

    def becomes_idle(self):
        until(lambda: all(sleeps(pid) for pid in self.processes()), f"{self.server.name} is idle")

    def stop(self):
        """As an operator does: the exit status, None if it does not end."""
        self.process.terminate()
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            return None

    def remove(self):
        """What is left of its session, which is all ours."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A bare redis for those that need one."""
    redis = next(server for server in SERVERS if server.name == "redis")
    instance = Instance(redis, tmp_path_factory.mktemp("broker"))
    instance.becomes_ready()
    yield instance
    instance.remove()


@pytest.fixture(scope="module", params=SERVERS, ids=lambda server: server.name.replace(" ", "-"))
def pair(request, tmp_path_factory):
    """The server without and with the agent; only one of them has work at a time."""
    server = request.param
    if missing(server):
        pytest.skip(f"{server.name}: not installed: {', '.join(missing(server))}")
    reports = Reports()
    instances = []
    try:
        for place, socket_ in enumerate((None, reports)):
            more = {}
            if server.with_redis:
                more["TEST_REDIS"] = f"redis://127.0.0.1:{request.getfixturevalue('broker').port}/{place}"
            instances.append(Instance(server, tmp_path_factory.mktemp("server"), socket_, more))
        for instance in instances:
            instance.becomes_ready()
        rows[server.name] = {"server": server.name, "version": version(server)}
        yield instances
    finally:
        for instance in instances:
            instance.remove()
        reports.socket.close()


@pytest.fixture
def row(pair):
    """This server's line of the table."""
    return rows[pair[0].server.name]


def table():
    lines = [COLUMNS] + [[row.get(column, "-") for column in COLUMNS] for row in rows.values()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) if i < 3 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]


def pytest_terminal_summary(terminalreporter):
    if not rows:
        return
    text = "\n".join(table()) + "\n\n" + NOTES
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(text)
    terminalreporter.section("servers")
    terminalreporter.write(text)
