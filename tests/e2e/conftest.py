"""What the end-to-end tests share: trimtab started as PID 1 or as a subreaper, and ways to wait for what it does.

TRIMTAB_BIN is the binary under test. Every test that takes `init` runs in both modes. No test sleeps for a time
and hopes: `until` waits for a condition, `holds` watches that one stays true.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

HERE = pathlib.Path(__file__).parent
TOP = HERE.parent.parent
TRIMTAB = os.path.abspath(os.environ.get("TRIMTAB_BIN", TOP / "build/release/bin/trimtab"))

# Seconds. Generous: a condition that is met ends the wait at once.
PATIENCE = float(os.environ.get("PATIENCE_S", "20"))

MIB = 1 << 20

NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def pytest_configure(config):
    """A directory of our own for all that is temporary: pytest's own is closed to other users whenever one starts."""
    if not config.option.basetemp:
        config.option.basetemp = tempfile.mkdtemp(prefix="trimtab-e2e-", dir="/tmp")


def pytest_sessionfinish(session, exitstatus):
    """It stays after a failure."""
    base = pathlib.Path(session.config.option.basetemp)
    if exitstatus == 0 and base.name.startswith("trimtab-e2e-"):
        shutil.rmtree(base)


def until(condition, what="", timeout=PATIENCE):
    """Wait until condition() is true, and return what it returned."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.005)


def open_of(pid):
    """Descriptors of a process: number to target."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def handles(pid):
    """On how many processes it has a pidfd."""
    return sum("[pidfd]" in target for target in open_of(pid).values())


def holds(condition, seconds, what=""):
    """Watch that condition() stays true for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), what
        time.sleep(0.01)


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def status(pid):
    """/proc/PID/status as a dictionary; empty when there is no such process."""
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines() if ":\t" in line)


def alive(pid):
    """Whether the process exists and is no zombie."""
    return status(pid).get("State", "Z")[0] not in "ZX"


def children(pid):
    return [int(word) for word in read(f"/proc/{pid}/task/{pid}/children").split()]


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def signal_set(text):
    """A mask of /proc/PID/status as a set of numbers."""
    mask = int(text, 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def resident(pid):
    fields = read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def at_end(fd):
    """Whether the other end of a pipe is closed, so that a read gives its end."""
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 4096) == b""
    except BlockingIOError:
        return False


def report(path):
    """What programs/report.c wrote; waits for it."""
    until(lambda: os.path.exists(path), f"report {path}")
    lines = read(path).splitlines()
    assert lines[-1] == "done"
    return dict(line.split("=", 1) for line in lines[:-1] if "=" in line)


def section(values, name):
    """Entries `name.key` of a report, by key."""
    return {key[len(name) + 1:]: value for key, value in values.items() if key.startswith(name + ".")}


class Running:
    """A program that was started, with trimtab or without, and its output in files."""

    def __init__(self, popen, directory, in_namespace, program):
        self.popen = popen
        self.out_file = directory / "stdout"
        self.err_file = directory / "stderr"
        self.in_namespace = in_namespace
        self.pid = until(lambda: self._find(program), f"start of {program}", timeout=5)

    def _find(self, program):
        """The pid of the program, once exec has made it that."""
        if self.popen.poll() is not None:
            return self.popen.pid
        for pid in children(self.popen.pid) if self.in_namespace else [self.popen.pid]:
            try:
                if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(program):
                    return pid
            except OSError:
                pass
        return None

    @property
    def out(self):
        return read(self.out_file)

    @property
    def err(self):
        return read(self.err_file)

    def kill(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=PATIENCE):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {timeout} s; stderr:\n{self.err}") from None

    def running(self):
        return self.popen.poll() is None

    def worker(self):
        """The pid, as seen here, of the first child of trimtab that has got past exec."""
        def find():
            for pid in children(self.pid):
                try:
                    if os.readlink(f"/proc/{pid}/exe") != os.readlink(f"/proc/{self.pid}/exe"):
                        return pid
                except OSError:
                    pass
            return None
        return until(find, "worker")

    def events(self, name=None):
        """Log lines written as JSON."""
        found = []
        for line in self.err.splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                event = json.loads(line)
                if name in (None, event["event"]):
                    found.append(event)
        return found

    def event(self, name, count=1, timeout=PATIENCE):
        """The count-th event of that name; waits for it."""
        try:
            return until(lambda: self.events(name)[count - 1:count], f"event {name}", timeout)[0]
        except AssertionError as error:
            raise AssertionError(f"{error}; stderr:\n{self.err}") from None

    def here(self, pid):
        """The pid outside of the namespace of a process that has this pid inside."""
        if not self.in_namespace:
            return pid
        for outside in descendants(self.pid):
            if status(outside).get("NSpid", "").split()[-1:] == [str(pid)]:
                return outside
        return None

    def end(self):
        for pid in [*descendants(self.popen.pid), self.popen.pid]:
            if self.popen.poll() is None or pid != self.popen.pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.popen.wait(10)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"Result(code={self.code}, out={self.out!r}, err={self.err!r})"


class Init:
    """Starts programs under trimtab in one of the modes."""

    def __init__(self, mode, directory, programs):
        self.mode = mode
        self.directory = directory
        self.programs = programs
        self.started = []
        self.path = TRIMTAB

    def start(self, *arguments, arrange=(), env=None, clean=False, bare=False, wrap=(), stdin=None,
              stdout=None, stderr=None, cwd=None, pass_fds=(), becomes=None):
        """Start `trimtab arguments`, or with bare=True just the arguments.

        arrange: words for programs/arrange.c. env: added to the environment, or all of it when clean.
        wrap: a command in front, such as strace. becomes: the program that a bare command ends up as by exec.
        """
        directory = self.directory / f"run{len(self.started)}"
        directory.mkdir()
        environment = {} if clean else {k: v for k, v in os.environ.items() if k != "TRIMTAB_BIN"}
        environment.update(env or {})
        command = list(NAMESPACE) if self.mode == "pid1" else []
        if arrange:
            command += [self.programs / "arrange", *arrange, "--"]
        command += [*wrap, *([] if bare else [self.path]), *arguments]
        with open(directory / "stdout", "wb") as out, open(directory / "stderr", "wb") as err:
            popen = subprocess.Popen(
                [str(word) for word in command], env=environment, cwd=cwd, pass_fds=pass_fds,
                stdin=subprocess.DEVNULL if stdin is None else stdin, stdout=stdout or out, stderr=stderr or err)
        try:
            stays = wrap[:1] == ["strace"]  # the other wrappers become what they start
            target = becomes or (wrap[0] if stays else arguments[0] if bare else self.path)
            running = Running(popen, directory, self.mode == "pid1", _which(target))
        except AssertionError:
            popen.kill()
            raise
        self.started.append(running)
        return running

    def run(self, *arguments, timeout=PATIENCE, **options):
        running = self.start(*arguments, **options)
        code = running.wait(timeout)
        return Result(code, running.out, running.err)

    def catcher(self, *options, name="caught", **how):
        """trimtab over programs/catch.c, ready. Returns it and a function that lists the signals caught."""
        file = self.directory / name
        running = self.start(*options, self.programs / "catch", file, **how)
        until(lambda: read(file).startswith("ready\n"), "catcher ready")
        return running, lambda: [tuple(map(int, line.split())) for line in read(file).splitlines()[1:]]


# Looks as often as they can be, and no patience that a test would have to wait for.
QUICK = {
    "log.format": "json", "log.level": "debug", "watch.interval": "100ms", "recycle.at": "64M", "recycle.samples": "2",
    "recycle.interval": "0", "recycle.min_age": "0", "recycle.grace": "30s", "recycle.jitter": "0%", "trim.settle": "200ms"}


def sets(values):
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


class Pool:
    """trimtab over programs/pool.c."""

    def __init__(self, init, count, *words, policy=None, options=(), directory=None, **how):
        self.directory = directory or init.directory / f"pool{len(init.started)}"
        self.directory.mkdir(exist_ok=True)
        values = {key: value for key, value in {**QUICK, **(policy or {})}.items() if value is not None}
        self.trimtab = init.start(*options, *sets(values), init.programs / "pool", self.directory, count, *words, **how)
        until(lambda: len(self.log("up")) >= max(count, 1), "pool up")

    def log(self, event=None):
        """Lines of the pool's log as lists: event, index, pid inside, ..."""
        lines = [line.split() for line in read(self.directory / "log").splitlines()]
        return [[line[0], *map(int, line[1:])] for line in lines if event in (None, line[0])]

    def pid(self, index):
        """Of the newest process with this index, inside."""
        return [line[2] for line in self.log("up") if line[1] == index][-1]

    def outside(self, index):
        return until(lambda: self.trimtab.here(self.pid(index)), "pid outside")

    def watched(self):
        """Wait until trimtab knows its children, which it looks at once they are a second old."""
        until(lambda: handles(self.trimtab.pid) >= len({line[1] for line in self.log("up")}) + 1, "all are watched")

    def tell(self, index, command):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(command.encode(), str(self.directory / str(index)))

    def grow(self, index, mib):
        pid = self.outside(index)
        goal = resident(pid) + (mib - 1) * MIB  # the kernel's figure lags by some pages a CPU
        self.tell(index, f"grow {mib * MIB}")
        until(lambda: resident(pid) >= goal or not alive(pid), "growth")

    def ended(self, index, count=1):
        return until(lambda: [line for line in self.log("down") if line[1] == index][count - 1:], f"end of {index}")


class Box:
    """A real memory cgroup below our own, with a limit: of version 2, or of version 1 with one of version 2 beside it,
    which has the pressure file."""

    def __init__(self, limit):
        own = dict(line.split(":", 2)[1:] for line in read("/proc/self/cgroup").splitlines())
        name = f"trimtab-e2e-{os.getpid()}-{time.monotonic_ns()}"
        self.version = 1 if "memory" in own else 2
        tops = {1: [f"/sys/fs/cgroup/memory{own.get('memory', '')}", f"/sys/fs/cgroup/unified{own.get('', '')}"],
                2: [f"/sys/fs/cgroup{own.get('', '')}"]}[self.version]
        self.directories = [pathlib.Path(top) / name for top in tops if os.path.isdir(top)]
        self.memory = self.directories[0]
        self.pressure = self.directories[-1] / "memory.pressure"
        try:
            for directory in self.directories:
                directory.mkdir()
            if self.version == 1:
                (self.memory / "memory.swappiness").write_text("0")
            elif (self.memory / "memory.swap.max").exists():
                (self.memory / "memory.swap.max").write_text("0")
            self.limit(limit)
        except OSError as error:
            self.remove()
            pytest.skip(f"no memory cgroup can be made below our own: {error}")
        enter = "; ".join(f"echo 0 > {directory}/cgroup.procs" for directory in self.directories)
        self.enter = ["sh", "-c", f'{enter}; exec "$@"', "sh"]  # in front of a command

    def limit(self, size):
        (self.memory / ("memory.limit_in_bytes" if self.version == 1 else "memory.max")).write_text(str(size))

    def used(self):
        return int(read(self.memory / ("memory.usage_in_bytes" if self.version == 1 else "memory.current")))

    def oom_kills(self):
        text = read(self.memory / ("memory.oom_control" if self.version == 1 else "memory.events"))
        return int(text.split("oom_kill ")[1].split()[0])

    def remove(self):
        """With all that is in it; a cgroup may hold its pages for a while."""
        def removed(directory):
            try:
                for pid in (directory / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                directory.rmdir()
            except FileNotFoundError:
                return True
            except OSError:
                pass
            return not directory.exists()
        for directory in self.directories:
            until(lambda: removed(directory), f"{directory} removed")


def _which(program):
    program = str(program)
    if "/" in program:
        return program
    for directory in os.environ["PATH"].split(":"):
        if os.access(f"{directory}/{program}", os.X_OK):
            return f"{directory}/{program}"
    return program


@pytest.fixture(autouse=True)
def no_test_hangs():
    """A wait that `until` does not bound ends too."""
    def too_long(number, frame):
        raise AssertionError("the test hangs")
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(180)
    yield
    signal.alarm(0)


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The helper programs, compiled: static, so that they start fast and load no preloaded library."""
    directory = tmp_path_factory.mktemp("programs")
    for source in sorted((HERE / "programs").glob("*.c")):
        library = source.stem == "heap_calls"
        kind = ["-shared", "-fPIC", "-fno-builtin"] if library else ["-static"]
        target = directory / (source.stem + (".so" if library else ""))
        subprocess.run(["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", *kind, "-o", target, source], check=True)
    for path in (directory, *directory.parents):
        if path.is_relative_to("/tmp") and path != pathlib.Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)  # a worker of another user must reach them
    return directory


@pytest.fixture(params=["pid1", "subreaper"])
def init(request, tmp_path, programs):
    yield from started(request.param, tmp_path, programs)


@pytest.fixture
def pid1(tmp_path, programs):
    yield from started("pid1", tmp_path, programs)


@pytest.fixture
def subreaper(tmp_path, programs):
    yield from started("subreaper", tmp_path, programs)


def started(mode, directory, programs):
    made = Init(mode, directory, programs)
    try:
        yield made
    finally:
        for running in made.started:
            running.end()


@pytest.fixture
def pool(init):
    return lambda count, *words, **how: Pool(init, count, *words, **how)


@pytest.fixture
def box(init):
    """Makes cgroups, and removes them before trimtab is ended from outside."""
    made = []

    def make(limit):
        made.append(Box(limit))
        return made[-1]

    yield make
    for one in made:
        one.remove()
