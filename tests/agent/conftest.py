"""A worker with the agent, the socket its reports go to, and programs for both C libraries."""
import functools
import os
import pathlib
import platform
import signal
import socket
import struct
import subprocess
import time

import pytest

TOP = pathlib.Path(__file__).parent.parent.parent
AGENT = pathlib.Path(os.environ.get("TRIMTAB_AGENT", TOP / "build/release/lib/libtrimtab-agent.so"))
PROGRAMS = pathlib.Path(__file__).parent / "programs"
UNKNOWN = 2 ** 64 - 1
ALLOCATORS = {0: "none", 1: "glibc", 2: "jemalloc", 4: "tcmalloc", 8: "mimalloc"}
COMPILERS = {"glibc": "gcc", "musl": "musl-gcc", "glibc-2.31": "gcc"}
LIBCS = list(COMPILERS)
OLD_GLIBC = TOP / "build/old-glibc"
FIELDS = ("magic", "version", "size", "pid", "tid", "allocators", "allocator", "collected", "rss_before", "rss_after",
          "held", "used", "free", "took_ns", "collect_ns", "delay_ns", "where")
LAYOUT = struct.Struct("<IHHIIHHIQQQQQQQQ24s")


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.005)
    raise AssertionError("this did not come about")


def sleeps(pid):
    """Whether the process waits: in state S, and it has used no CPU time for 20 ms."""
    def used():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[11:13]
    before = used()
    time.sleep(0.02)
    return before[0] == "S" and used() == before


class Reports:
    """A datagram socket whose reports carry the sender's pid as the kernel knows it."""

    def __init__(self, name=None):
        self.name = name = name or f"@trimtab-test-{os.getpid()}-{time.monotonic_ns()}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)

    def take(self, seconds=5.0):
        self.socket.settimeout(seconds)
        try:
            data, ancillary, _, _ = self.socket.recvmsg(512, 512)
        except (TimeoutError, BlockingIOError):
            return None
        assert len(data) == LAYOUT.size == 112
        report = dict(zip(FIELDS, LAYOUT.unpack(data)))
        report["where"] = report["where"].rstrip(b"\0").decode()
        report["allocator"] = ALLOCATORS[report["allocator"]]
        report["proven_pid"] = struct.unpack("iii", ancillary[0][2])[0]
        assert (report["magic"], report["version"], report["size"]) == (0x52415454, 1, 112)
        return report

    def environment(self, **more):
        return {**os.environ, "LD_PRELOAD": str(AGENT), "TRIMTAB_AGENT_REPORT": self.name, **more}


@pytest.fixture
def reports():
    result = Reports()
    yield result
    result.socket.close()


@functools.cache
def flags_for(libc):
    """What a program needs to be built against, and to be started with, that C library."""
    if libc == "musl":  # the kernel's headers, which musl-gcc does not look for
        return ["-idirafter", "/usr/include", "-idirafter", f"/usr/include/{platform.machine()}-linux-gnu"]
    if libc == "glibc":
        return []
    got = subprocess.run(["sh", TOP / "tests/agent/old_glibc.sh", OLD_GLIBC], capture_output=True, text=True)
    if got.returncode != 0:
        return None
    library, development = OLD_GLIBC / "lib/x86_64-linux-gnu", OLD_GLIBC / "usr/lib/x86_64-linux-gnu"
    return [f"--sysroot={OLD_GLIBC}", f"-B{development}", f"-L{library}", f"-L{development}",
            f"-Wl,--dynamic-linker={library}/ld-2.31.so", f"-Wl,--disable-new-dtags,-rpath,{library}"]


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """program(NAME, LIBC): the path of a test program."""
    folder = tmp_path_factory.mktemp("programs")
    built = {}

    def build(name, libc="glibc", *flags):
        key = (name, libc, flags)
        if key not in built:
            path = folder / f"{name}-{libc}-{len(built)}"
            extra = flags_for(libc)
            if extra is None:
                pytest.skip("glibc 2.31 of Debian 11 cannot be had (tests/agent/old_glibc.sh)")
            subprocess.run([COMPILERS[libc], "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-pthread",
                            *flags, "-o", path, PROGRAMS / f"{name}.c", *extra], check=True)
            built[key] = str(path)
        return built[key]
    return build


AGENT_FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-I", TOP / "include", "-Wall", "-Wextra", "-Wconversion", "-Wshadow",
               "-Werror", "-Os", "-fPIC", "-fno-plt", "-fno-stack-protector", "-fvisibility=hidden", "-fno-exceptions",
               "-fasynchronous-unwind-tables", "-ftls-model=initial-exec", "-nostdlib", "-shared", "-Wl,-z,now"]


def build_agent(path, compiler, *flags):
    """The library as CMake builds it, by another compiler or with other flags; those come first."""
    subprocess.run([compiler, *flags, *AGENT_FLAGS, "-o", path, *sorted((TOP / "src/agent").glob("*.c"))], check=True)
    return str(path)


def symbols(path):
    """(name, version or "", binding, defined) of each dynamic symbol."""
    text = subprocess.run(["readelf", "--dyn-syms", "-W", path], check=True, capture_output=True, text=True).stdout
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 8 and words[0].rstrip(":").isdigit():
            name, _, version = words[7].partition("@")
            found.append((name, version.lstrip("@"), words[4], words[6] != "UND"))
    return found


def check_outside(agent, libc):
    """It needs no library and no version of a symbol; what it takes weakly is in glibc 2.17 already."""
    dynamic = subprocess.run(["readelf", "-dW", agent], check=True, capture_output=True, text=True).stdout
    assert not any(word in dynamic for word in ("NEEDED", "TEXTREL", "VERNEED"))
    outside = {(name, binding) for name, _, binding, defined in symbols(agent) if not defined}
    assert {binding for _, binding in outside} == {"WEAK"}
    old = {name for name, version, _, defined in symbols(libc)
           if defined and version.startswith("GLIBC_2.") and int(version.split(".")[1]) <= 17}
    assert "dl_iterate_phdr" in old and "pidfd_open" not in old
    assert {name for name, _ in outside} - old == set()


@pytest.fixture(scope="session")
def eager_agent(tmp_path_factory):
    """Trims each millisecond when it is asked so often, and traps where its own code is undefined (UBSan)."""
    folder = tmp_path_factory.mktemp("eager")
    (folder / "trimtab").mkdir()
    header = (TOP / "include/trimtab/agent.h").read_text()
    eager = header.replace("TRIMTAB_AGENT_INTERVAL_MS 200", "TRIMTAB_AGENT_INTERVAL_MS 1")
    assert eager != header
    (folder / "trimtab/agent.h").write_text(eager)
    return build_agent(folder / "agent.so", "gcc", "-I", folder, "-fsanitize=undefined",
                       "-fsanitize-undefined-trap-on-error")


@pytest.fixture
def start():
    started = []

    def run(*command, **options):
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, **options)
        started.append(process)
        return process
    yield run
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
