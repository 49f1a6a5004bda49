"""trimtab as the entry point of real containers: one image from nothing, one from Debian with gunicorn."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pytest

TOP = pathlib.Path(__file__).parent.parent.parent
TRIMTAB = os.path.abspath(os.environ.get("TRIMTAB_BIN", TOP / "build/static/bin/trimtab"))
CACHE = TOP / "build/docker"
ENGINE = pathlib.Path(__file__).parent / "engine.sh"
MIB = 1 << 20
PATIENCE = 60.0
JSON = ["--set", "log.format=json", "--set", "log.level=debug"]
QUICK = [*JSON, *[word for pair in (
    "watch.interval=100ms", "recycle.samples=2", "recycle.interval=200ms", "recycle.min_age=1s", "recycle.jitter=0%",
    "recycle.grace=20s") for word in ("--set", pair)]]


def until(condition, what="", timeout=PATIENCE):
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.05)


@pytest.fixture(scope="session")
def engine():
    """A Docker engine of our own; without one the tests are skipped, and say why."""
    missing = [name for name in ("dockerd", "docker") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Docker cannot run here: no {' and no '.join(missing)}")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="trimtab-", dir="/tmp"))
    up = subprocess.run(["sh", ENGINE, "up", directory], capture_output=True, text=True, check=False)
    try:
        if up.returncode != 0:
            pytest.skip(f"Docker cannot run here: {up.stderr.strip().splitlines()[-1:]}")
        os.environ["DOCKER_HOST"] = up.stdout.strip()
        yield
    finally:
        subprocess.run(["sh", ENGINE, "down", directory], check=False)
        shutil.rmtree(directory, ignore_errors=True)


def docker(*words, check=True):
    result = subprocess.run(["docker", *map(str, words)], capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, f"docker {words}: {result.stderr}"
    return result


@pytest.fixture(scope="session")
def scratch(engine, tmp_path_factory):
    """An image with nothing but trimtab and static helper programs."""
    root = tmp_path_factory.mktemp("scratch")
    shutil.copy(TRIMTAB, root / "trimtab")
    for name in ("end", "report", "catch", "orphans", "pool"):
        source = TOP / f"tests/e2e/programs/{name}.c"
        subprocess.run(["cc", "-std=gnu11", "-O1", "-static", "-o", root / name, source], check=True)
    (root / "Dockerfile").write_text('FROM scratch\nCOPY . /\nENTRYPOINT ["/trimtab"]\n')
    docker("build", "-q", "-t", "scratch-trimtab", root)
    return "scratch-trimtab"


def mirror():
    """Where this machine gets its packages."""
    for file in sorted(pathlib.Path("/etc/apt").glob("sources.list.d/*.sources")):
        found = re.search(r"^URIs:\s*(\S+)", file.read_text(), re.M)
        if found:
            return [found.group(1)]
    for file in (pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt").glob("sources.list.d/*.list"))):
        found = re.search(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)", file.read_text() if file.exists() else "", re.M)
        if found:
            return [found.group(1)]
    return []


@pytest.fixture(scope="session")
def debian(engine, tmp_path_factory):
    """Debian with gunicorn; the tree is made once and kept under build/."""
    archive = CACHE / "gunicorn.tar"
    if not archive.exists():
        if shutil.which("debootstrap") is None:
            pytest.skip("no image with gunicorn: no debootstrap")
        CACHE.mkdir(parents=True, exist_ok=True)
        root = tmp_path_factory.mktemp("debian") / "root"
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", "--include=gunicorn,libjemalloc2", "bookworm", root, *mirror()],
            stdout=open(CACHE / "debootstrap.log", "w", encoding="utf-8"), stderr=subprocess.STDOUT, check=False)
        if made.returncode != 0:
            pytest.skip(f"no image with gunicorn: debootstrap failed, see {CACHE / 'debootstrap.log'}")
        subprocess.run(["tar", "-C", root, "--exclude=./var/cache/apt", "-cf", f"{archive}.new", "."], check=True)
        os.rename(f"{archive}.new", archive)
        shutil.rmtree(root)
    docker("import", archive, "debian-gunicorn")
    context = tmp_path_factory.mktemp("image")
    shutil.copy(TRIMTAB, context / "trimtab")
    shutil.copy(TOP / "tests/e2e/gunicorn_app.py", context)
    (context / "Dockerfile").write_text(
        'FROM debian-gunicorn\nCOPY trimtab /usr/bin/trimtab\nCOPY gunicorn_app.py /app/\nWORKDIR /app\n'
        'ENV PYTHONDONTWRITEBYTECODE=1\nENTRYPOINT ["/usr/bin/trimtab"]\n')
    docker("build", "-q", "-t", "debian-trimtab", context)
    return "debian-trimtab"


class Container:
    def __init__(self, image, *words, options=()):
        self.id = docker("run", "-d", "--init=false", "--network", "none" if "host" not in options else "host",
                         *[word for word in options if word != "host"], image, *words).stdout.strip()

    def inspect(self, key):
        return docker("inspect", "-f", f"{{{{json .{key}}}}}", self.id).stdout.strip()

    def running(self):
        return self.inspect("State.Running") == "true"

    def wait(self):
        return int(docker("wait", self.id).stdout)

    def logs(self):
        result = docker("logs", self.id)
        return result.stdout, result.stderr

    def events(self, name=None):
        lines = [json.loads(line) for line in self.logs()[1].splitlines() if line.startswith("{")]
        return [event for event in lines if name in (None, event["event"])]

    def event(self, name, count=1):
        return until(lambda: self.events(name)[count - 1:count], f"event {name}; log: {self.logs()[1][-2000:]}")[0]

    def stop(self, seconds):
        begin = time.monotonic()
        docker("stop", "-t", seconds, self.id)
        return time.monotonic() - begin

    def pid(self):
        return int(self.inspect("State.Pid"))

    def remove(self):
        docker("rm", "-f", self.id, check=False)


@pytest.fixture
def container(request):
    made = []

    def make(image, *words, options=()):
        made.append(Container(image, *words, options=options))
        return made[-1]

    yield make
    for one in made:
        if request.config.getoption("verbose") > 0:
            print(one.logs()[1])
        one.remove()


def run(image, *words, options=()):
    return docker("run", "--rm", "--init=false", "--network", "none", *options, image, *words, check=False)


@pytest.mark.parametrize("code", [0, 1, 7, 126, 255])
def test_exit_codes(scratch, code):
    result = run(scratch, "/end", "exit", code)
    assert (result.returncode, result.stdout, result.stderr) == (code, "", "")


def test_a_signal_a_missing_program_and_one_that_cannot_be_run(scratch):
    assert run(scratch, "/end", "signal", 15).returncode == 143
    assert run(scratch, "/no-such-program").returncode == 127
    assert run(scratch, "/dev").returncode == 126
    assert run(scratch, "-Z").returncode == 1


def test_it_is_pid_1(scratch, tmp_path):
    tmp_path.chmod(0o777)
    assert run(scratch, "/report", "/out/report", options=["-v", f"{tmp_path}:/out"]).returncode == 0
    values = dict(line.split("=", 1) for line in (tmp_path / "report").read_text().splitlines() if "=" in line)
    assert values["ppid"] == "1"


LOCKED = ["--read-only", "--user", "1000:1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


@pytest.mark.parametrize("options", [["--read-only"], ["--user", "1000"], ["--user", "1000:1000", "--read-only"],
                                     ["--cap-drop", "ALL"], LOCKED], ids=" ".join)
@pytest.mark.parametrize("policy", [[], ["--set", "recycle.at=80%"]], ids=["init", "policy"])
def test_locked_down_containers(scratch, options, policy):
    result = run(scratch, *policy, "/orphans", 10, "exit=5", options=[*options, "--memory", "64m"])
    assert result.returncode == 5
    assert "warning" not in result.stderr


@pytest.mark.parametrize("memory, size", [("64m", "64M"), ("100m", "100M"), ("1g", "1G")])
def test_the_limit_is_the_containers(scratch, container, memory, size):
    result = run(scratch, "--check", "--set", "recycle.at=50%", "/end", "exit", 0, options=["--memory", memory])
    assert result.returncode == 0
    assert re.search(rf"limit: {size}, cgroup v[12], /sys/fs/cgroup/", result.stdout), result.stdout
    one = container(scratch, *JSON, "--set", "recycle.at=50%", "/orphans", 0, options=["--memory", memory])
    assert one.event("start")["limit"] == int(memory[:-1]) * (MIB if memory[-1] == "m" else MIB << 10)


@pytest.mark.parametrize("namespace", ["host", "private"])
def test_the_limit_is_found_in_either_cgroup_namespace(scratch, namespace):
    result = run(scratch, "--check", "--set", "recycle.at=50%", "/end", "exit", 0,
                 options=["--memory", "80m", "--cgroupns", namespace])
    assert "limit: 80M, cgroup" in result.stdout, result.stdout + result.stderr


def test_a_limit_changed_in_place_is_noticed(scratch, container):
    one = container(scratch, *QUICK, "--set", "recycle.at=50%", "/orphans", 0,
                    options=["--memory", "64m", "--memory-swap", "64m"])
    one.event("ready")
    docker("update", "--memory", "128m", "--memory-swap", "128m", one.id)
    change = one.event("limit")
    assert (change["old"], change["new"]) == (64 * MIB, 128 * MIB)
    assert one.running()


def test_docker_stop_does_not_wait(scratch, container):
    one = container(scratch, *JSON, "/orphans", 3)
    one.event("start")
    assert one.stop(40) < 10
    assert one.wait() == 143


def test_docker_stop_with_a_grace_kills_what_is_left_before_docker_does(scratch, container):
    one = container(scratch, *JSON, "--set", "worker.stop_grace=1s", "/orphans", 3, "hold=/tmp/pids", "deaf",
                    options=["--tmpfs", "/tmp"])
    one.event("start")
    assert one.stop(40) < 15
    assert one.wait() == 143
    assert one.inspect("State.OOMKilled") == "false"


def test_docker_kill_sends_any_signal(scratch, container, tmp_path):
    tmp_path.chmod(0o777)
    one = container(scratch, "/catch", "/out/caught", options=["-v", f"{tmp_path}:/out"])
    caught = tmp_path / "caught"
    until(lambda: caught.exists() and caught.read_text().startswith("ready"))
    for number in (1, 10, 12, 28, 40, 64):
        docker("kill", "-s", number, one.id)
        until(lambda: f"\n{number} " in caught.read_text(), f"signal {number}")


def tell(directory, index, command):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(command.encode(), str(directory / str(index)))


def pool_log(directory, event):
    file = directory / "log"
    return [line for line in (file.read_text().splitlines() if file.exists() else []) if line.startswith(event + " ")]


@pytest.fixture
def directory():
    """Short, for sockets, and open to any user."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="trimtab-pool-", dir="/tmp"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("options", [[], LOCKED], ids=["default", "locked"])
def test_a_child_is_recycled_before_the_kernel_acts(scratch, container, directory, options):
    one = container(scratch, *QUICK, "--set", "recycle.at=40%", "/pool", "/pool-dir", 3,
                    options=["--memory", "128m", "--memory-swap", "128m", "-v", f"{directory}:/pool-dir", *options])
    until(lambda: len(pool_log(directory, "up")) == 3)
    tell(directory, 1, f"grow {70 * MIB}")
    assert one.event("recycle")["at"] == 128 * MIB * 40 // 100
    one.event("replaced")
    assert len(pool_log(directory, "term")) == 1
    assert one.inspect("State.OOMKilled") == "false"
    assert one.running()


def test_a_worker_of_another_user_is_recycled_without_the_right_to_trace_it(scratch, container, directory):
    """trimtab as root, the worker not, and no CAP_SYS_PTRACE: Docker's default."""
    one = container(scratch, *QUICK, "--set", "recycle.at=40%", "--set", "worker.user=1234", "--set", "worker.group=1234",
                    "/pool", "/pool-dir", 3,
                    options=["--memory", "128m", "--memory-swap", "128m", "-v", f"{directory}:/pool-dir"])
    until(lambda: len(pool_log(directory, "up")) == 3)
    tell(directory, 2, f"grow {70 * MIB}")
    one.event("replaced")
    assert len([event for event in one.events("warning") if "executable" in event["what"]]) <= 1


def test_a_worker_that_the_kernel_kills_for_memory_is_reported_as_137(scratch, container, directory):
    one = container(scratch, "/pool", "/pool-dir", 0,
                    options=["--memory", "64m", "--memory-swap", "64m", "-v", f"{directory}:/pool-dir"])
    until(lambda: pool_log(directory, "up"))
    tell(directory, 0, f"grow {100 * MIB}")
    assert one.wait() == 137


def test_after_an_oom_kill_the_container_stays_up_if_asked_to(scratch, container, directory):
    one = container(scratch, *JSON, "--set", "worker.restart=failed", "--set", "worker.restart_delay=100ms", "/pool",
                    "/pool-dir", 0, options=["--memory", "64m", "--memory-swap", "64m", "-v", f"{directory}:/pool-dir"])
    until(lambda: pool_log(directory, "up"))
    tell(directory, 0, f"grow {100 * MIB}")
    until(lambda: len(pool_log(directory, "up")) == 2)
    assert one.event("exit")["signal"] == 9
    assert one.running()
    one.stop(20)


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/grow", timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.parametrize("options, agent", [
    ([], "/run/libtrimtab-agent.so"), (["--read-only", "--tmpfs", "/tmp"], "/proc/1/fd/"),
    (["--read-only", "--tmpfs", "/tmp", "--user", "33:33", "--cap-drop", "ALL"], "/proc/1/fd/")],
    ids=["default", "read-only", "locked"])
def test_gunicorn_in_debian_is_trimmed_recycled_and_never_killed(debian, container, options, agent):
    """One file is installed: the agent comes from inside it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    one = container(debian, *QUICK, "--set", "recycle.at=20%", "gunicorn", "-w", 2, "-b", f"127.0.0.1:{port}",
                    "gunicorn_app:app",
                    options=["host", "--memory", "256m", "--memory-swap", "256m", "-e", "BLOAT_BYTES=32768", *options])
    until(lambda: answers(port), "gunicorn serves")
    failed = 0
    end = time.monotonic() + PATIENCE
    while len(one.events("replaced")) < 3 and time.monotonic() < end:
        failed += sum(not answers(port) for _ in range(20))
    assert failed == 0
    assert len(one.events("replaced")) >= 3, one.logs()
    assert one.events("kill") == []
    assert f"LD_PRELOAD={agent}" in one.event("env")["set"]
    answered = {event["pid"] for event in one.events("trim") if event.get("allocator") == "glibc"}
    assert {event["pid"] for event in one.events("recycle")} <= answered, one.logs()
    assert one.inspect("State.OOMKilled") == "false"
    assert one.stop(40) < 20
    assert one.wait() == 0


def oom_kills(one):
    """What the kernel has counted in the container's own cgroup."""
    text = docker("exec", one.id, "sh", "-c",
                  "cd /sys/fs/cgroup && cat memory.events memory/memory.oom_control 2>/dev/null || :").stdout
    return int(re.search(r"^oom_kill (\d+)$", text, re.M).group(1))


def test_auto_keeps_leaking_gunicorn_from_the_oom_killer(debian, container):
    """No number given: under load, at 10 MiB a second, in 160 MiB, every request is answered."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    one = container(debian, "--policy", "auto", *JSON, "gunicorn", "-w", 2, "-b", f"127.0.0.1:{port}", "gunicorn_app:app",
                    options=["host", "--memory", "160m", "--memory-swap", "160m", "-e", f"BLOAT_BYTES={MIB // 2}"])
    until(lambda: answers(port), "gunicorn serves")
    failed = 0
    end = time.monotonic() + PATIENCE
    while len(one.events("replaced")) < 2 and time.monotonic() < end:
        for _ in range(20):
            failed += not answers(port)
            time.sleep(0.04)
    recycles = one.events("recycle")
    assert len(recycles) >= 2 and {event["reason"] for event in recycles} == {"container"}, one.logs()
    assert all(event["at"] == 160 * MIB * 85 // 100 <= event["container"] for event in recycles)
    assert failed == 0
    assert one.events("oom") == one.events("kill") == []
    assert oom_kills(one) == 0
    assert one.inspect("State.OOMKilled") == "false"
    assert one.stop(40) < 20
    assert one.wait() == 0


def test_jemalloc_is_preloaded_in_debian(debian, container):
    one = container(debian, *JSON, "--set", "allocator.malloc=jemalloc", "python3", "-c",
                    "print('jemalloc' in open('/proc/self/maps').read())")
    assert one.wait() == 0
    assert one.logs()[0] == "True\n"
