"""One run: a workload in one of the environments, phase by phase, watched from outside.

A phase is over when the workload says so; its RSS (/proc/PID/statm) is idle RSS once it has held still. Where trims
are expected, that is counted from the trim on; where none comes, after TRIM_SECONDS without one.
"""
import json
import os
import pathlib
import shutil
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent.parent
PYTHON = "/usr/bin/python3"
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20

PHASES = 2  # a verdict takes two trims
SAMPLE_SECONDS = 0.1
STILL_SECONDS = 2  # the RSS has to hold still for so long
STILL_BYTES = MIB  # and this is still
TRIM_SECONDS = 30  # how long a trim is waited for: [trim] idle is 10s, and looks may be as far apart
LOAD_SECONDS = 150
STOP_SECONDS = 15
# What a user may have set, and what would change what is measured.
UNSET = ("MALLOC_", "LD_PRELOAD", "PYTHON", "TRIMTAB_", "TINI_", "GUNICORN_", "WEB_CONCURRENCY")



class Failed(Exception):
    """The run did not come to its end."""


def read(path):
    """The text; an empty one if it is gone."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid):
    return [int(word) for word in read(f"/proc/{pid}/task/{pid}/children").split()]


def rss_bytes(pid):
    fields = read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * PAGE if fields else 0


def cpu_seconds(pid):
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK if fields else 0


def parent(pid):
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def runs_python(pid):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", PYTHON)
    except OSError:
        return False


def namespace():
    """Words that make the next one PID 1, as in a container; none where that is not allowed."""
    words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    allowed = subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    return words if allowed else []


def until(condition, seconds, what):
    """Wait for it, and return what it returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Phase:
    """What is known of one phase."""

    def __init__(self):
        self.live_bytes = 0
        self.cpu_seconds = 0.0  # of the load
        self.over_at = 0.0  # seconds, the load
        self.before_bytes = 0  # RSS then
        self.idle_bytes = 0


class Run:
    """A workload below the words of init, which end in trimtab; bare without any."""

    def __init__(self, incident, variant, init, directory):
        self.incident = incident
        self.variant = variant
        self.init = [] if variant.bare else init
        self.name = f"{incident.name}-{variant.name}".replace(" ", "-")
        self.directory = directory / self.name
        self.phases = []
        self.samples = []  # seconds, bytes
        self.problem = ""
        self.top = None
        self.pid = None
        self.begin = 0.0
        self.over = threading.Event()

    # ---- what trimtab says ----

    def events(self, name):
        """Lines of trimtab's log of that event."""
        found = []
        for line in read(self.directory / "log").splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                event = json.loads(line)
                if event["event"] == name:
                    found.append(event)
        return found

    def tail(self):
        """The last lines of the log."""
        return "\n".join(read(self.directory / "log").splitlines()[-20:])

    def trims(self):
        """Those whose outcome is known."""
        return [event for event in self.events("trim") if "rss_after" in event]

    def verdict(self):
        """The last; None without one."""
        return next(reversed(self.events("verdict")), None)

    # ---- what was seen ----

    def peak(self):
        return max((size for _, size in self.samples), default=0)

    # ---- the program ----

    def command(self):
        words = self.incident.command(self.directory)
        if not self.init:
            return words
        return [*self.init, "--policy", self.incident.policy, "--set", "log.format=json",
                *(word for key, value in self.variant.settings for word in ("--set", f"{key}={value}")), "--", *words]

    def find(self):
        """The pid, as seen from here, of the process whose memory counts."""
        if self.top.poll() is not None:
            raise Failed(f"ended with status {self.top.returncode} as it was started")
        level = [self.top.pid]
        while level:
            for pid in level:
                if self.incident.is_it(pid):
                    return pid
            level = [child for pid in level for child in children(pid)]
        return None

    def first(self):
        """The pid of trimtab, or of the bare program."""
        return children(self.top.pid)[0] if self.init[:1] == ["unshare"] else self.top.pid

    def start(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(UNSET)}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        with open(self.directory / "log", "wb") as log:
            self.top = subprocess.Popen([str(word) for word in self.command()], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=log, bufsize=0, env=environment, cwd=HERE)
        self.begin = time.monotonic()
        self.pid = until(self.find, 20, "the process of the workload")
        threading.Thread(target=self.sample, daemon=True).start()

    def end(self):
        """The workload ends when it is told nothing more, gunicorn when it is asked to."""
        self.over.set()
        status = self.incident.end(self)
        if status != 0:
            raise Failed(f"ended with status {status}")

    def kill(self):
        """If it still runs."""
        if self.top is not None and self.top.poll() is None:
            self.top.kill()
            self.top.wait()

    # ---- the course ----

    def sample(self):
        """Until told to stop: the RSS."""
        while not self.over.wait(SAMPLE_SECONDS):
            self.samples.append((time.monotonic() - self.begin, rss_bytes(self.pid)))

    def settled(self, since):
        """Whether the RSS has held still since then, and for long enough."""
        now = time.monotonic() - self.begin
        recent = [size for at, size in self.samples if at >= max(since, now - STILL_SECONDS)]
        return now - since >= STILL_SECONDS and recent and max(recent) - min(recent) <= STILL_BYTES

    def wait_idle(self):
        since = time.monotonic() - self.begin
        trims_before = len(self.trims())
        if self.variant.trims:
            try:
                until(lambda: len(self.trims()) > trims_before, TRIM_SECONDS, "a trim")
            except Failed:  # there may be nothing worth one
                pass
            since = time.monotonic() - self.begin
        until(lambda: self.settled(since), TRIM_SECONDS, "an RSS that holds still")

    def one_phase(self, number):
        phase = Phase()
        cpu_before = cpu_seconds(self.pid)
        line = self.incident.load(self, number)
        if not line.startswith("idle live="):
            raise Failed(f"said {line!r} instead of being idle")
        phase.live_bytes = int(line.partition("=")[2])
        phase.over_at = time.monotonic() - self.begin
        phase.before_bytes = rss_bytes(self.pid)
        phase.cpu_seconds = cpu_seconds(self.pid) - cpu_before
        self.wait_idle()
        phase.idle_bytes = rss_bytes(self.pid)
        self.phases.append(phase)

    def run(self):
        """All of it; problem says what went wrong."""
        try:
            self.start()
            for number in range(PHASES):
                self.one_phase(number)
            self.end()
        except (Failed, OSError, subprocess.SubprocessError) as error:
            self.problem = str(error)
        finally:
            self.over.set()
            self.kill()
        return self
