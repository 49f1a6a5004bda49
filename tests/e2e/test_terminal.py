"""Terminals: the worker is the foreground job of the terminal that trimtab was started on."""
import fcntl
import os
import pty
import signal
import subprocess
import termios

import pytest

from conftest import NAMESPACE, descendants, read, report, until


@pytest.fixture
def terminal():
    ours, theirs = pty.openpty()
    yield ours, theirs
    for fd in (ours, theirs):
        try:
            os.close(fd)
        except OSError:
            pass


def start_on(init, terminal, *arguments, arrange=()):
    """trimtab as the leader of a session that owns the terminal, or as a job in such a session."""
    command = [*(NAMESPACE if init.mode == "pid1" else []),
               *([init.programs / "arrange", *arrange, "--"] if arrange else []), init.path, *arguments]

    def own_the_terminal():
        os.setsid()
        fcntl.ioctl(terminal[1], termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(terminal[1], fd)

    popen = subprocess.Popen([str(word) for word in command], preexec_fn=own_the_terminal)
    init.started.append(_Terminated(popen))
    return popen


class _Terminated:
    """What conftest's cleaning needs of a program."""

    def __init__(self, popen):
        self.popen = popen

    def end(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()


def test_the_worker_is_the_foreground_job(init, terminal, programs, tmp_path):
    popen = start_on(init, terminal, programs / "report", tmp_path / "report")
    values = report(tmp_path / "report")
    assert values["foreground"] == values["pgrp"] == values["pid"]
    assert popen.wait(10) == 0


def test_ctrl_c_reaches_the_worker_once_and_not_by_way_of_trimtab(init, terminal, tmp_path):
    file = tmp_path / "caught"
    start_on(init, terminal, init.programs / "catch", file)
    until(lambda: read(file).startswith("ready\n"))
    os.write(terminal[0], b"\x03")
    until(lambda: "\n2 " in read(file))
    os.write(terminal[0], b"\x1c")
    until(lambda: "\n3 " in read(file))
    numbers = [int(line.split()[0]) for line in read(file).splitlines()[1:]]
    assert [n for n in numbers if n not in (signal.SIGWINCH, signal.SIGCONT)] == [signal.SIGINT, signal.SIGQUIT]


def test_an_interactive_shell_has_job_control(init, terminal):
    popen = start_on(init, terminal, "bash", "--norc", "--noprofile", "-i")
    os.write(terminal[0], b"PS1=; sleep 1000\n")
    seen = b""
    os.set_blocking(terminal[0], False)

    def shown(text):
        nonlocal seen
        try:
            seen += os.read(terminal[0], 65536)
        except BlockingIOError:
            pass
        return text in seen

    until(lambda: "sleep\n" in [read(f"/proc/{pid}/comm") for pid in descendants(popen.pid)], "the job")
    os.write(terminal[0], b"\x1a")
    until(lambda: shown(b"Stopped"), "the job stopped by ctrl-Z")
    os.write(terminal[0], b"kill -9 %1; wait %1; echo job$((40+2))\n")  # with a stopped job left, exit would ask again
    until(lambda: shown(b"job42"))
    assert b"no job control" not in seen
    os.write(terminal[0], b"exit 5\n")
    assert popen.wait(10) == 5


def test_reading_from_the_terminal_works(init, terminal):
    popen = start_on(init, terminal, "sh", "-c", "read line; exit $line")
    os.write(terminal[0], b"37\n")
    assert popen.wait(10) == 37


def test_a_hang_up_reaches_the_worker(subreaper, terminal, tmp_path):
    """Only here: as PID 1 it would end unshare, which leads the session, and that ends trimtab."""
    file = tmp_path / "caught"
    start_on(subreaper, terminal, subreaper.programs / "catch", file)
    until(lambda: read(file).startswith("ready\n"))
    os.close(terminal[1])
    os.close(terminal[0])
    until(lambda: f"\n{signal.SIGHUP} " in read(file), "HUP at the worker")


@pytest.mark.parametrize("closed", ["0", "1", "2", "0,1,2"])
def test_closed_standard_descriptors_are_no_error_on_a_terminal(init, terminal, programs, tmp_path, closed):
    popen = start_on(init, terminal, programs / "report", tmp_path / "report", "exit=3", arrange=[f"close={closed}"])
    assert popen.wait(10) == 3


def test_without_a_terminal_the_worker_has_its_own_group(init, programs, tmp_path):
    running = init.start(programs / "report", tmp_path / "report")
    running.wait()
    values = report(tmp_path / "report")
    assert values["pgrp"] == values["pid"]


@pytest.mark.parametrize("stdin", ["/dev/null", "/dev/zero", "/proc/self/status", "/"])
def test_any_stdin_works(init, programs, stdin):
    fd = os.open(stdin, os.O_RDONLY)
    try:
        assert init.run(programs / "end", "exit", 12, stdin=fd).code == 12
    finally:
        os.close(fd)
