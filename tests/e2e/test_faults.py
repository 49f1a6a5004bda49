"""When the system fails: trimtab goes on, and nothing hangs."""
import fcntl
import json
import os
import signal
import subprocess

import pytest

from conftest import alive, children, descendants, handles, read, status, until


def strace(init, calls, fault, children_too=False):
    """Let calls of trimtab fail, not those of the worker."""
    follow = ["-f"] if children_too else []
    return ["strace", *follow, "-o", init.directory / "trace", "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]


def reads_before_the_worker(init, options):
    """How many calls of read a start needs, the loader's included."""
    trace = init.directory / "reads"
    command = ["strace", "-o", trace, "-e", "trace=read,clone,clone3,vfork,fork", init.path, *options,
               init.programs / "end", "exit", "0"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    lines = read(trace).splitlines()
    return next(i for i, line in enumerate(lines) if not line.startswith("read("))


OPTIONS = pytest.mark.parametrize("options", [[], ["--set", "recycle.at=1G"]], ids=["init", "policy"])


@pytest.mark.parametrize("calls, fault", [
    ("wait4,waitid", "error=ENOMEM:when=1"), ("wait4,waitid", "error=EINTR:when=1..20"),
    ("rt_sigtimedwait", "error=ENOMEM:when=1..3"), ("rt_sigtimedwait", "error=EINTR:when=1..5"),
    ("wait4,waitid", "error=EAGAIN:when=1..3"), ("epoll_wait,epoll_pwait", "error=ENOMEM:when=1..3"),
    ("epoll_wait,epoll_pwait", "error=EINTR:when=1..5"), ("epoll_wait,epoll_pwait", "error=EBADF:when=1"),
    ("chdir", "error=EACCES"), ("close_range", "error=ENOSYS"), ("close_range", "error=EPERM"),
    ("mlockall", "error=EPERM"), ("capset", "error=EPERM"), ("pidfd_open", "error=ENOSYS"),
    ("setrlimit,prlimit64", "error=EPERM"), ("kill,tgkill,rt_sigqueueinfo", "error=EPERM")])
@OPTIONS
def test_a_failed_call_ends_nothing_and_loses_no_status(subreaper, programs, calls, fault, options):
    running = subreaper.start(*options, programs / "orphans", 3, "exit=37", wrap=strace(subreaper, calls, fault))
    assert running.wait() == 37


@pytest.mark.parametrize("error", ["EINTR", "ENOMEM", "EIO", "EAGAIN"])
@OPTIONS
def test_a_signal_descriptor_that_cannot_be_read_ends_nothing(subreaper, programs, error, options):
    first = reads_before_the_worker(subreaper, options) + 1
    running = subreaper.start(*options, programs / "orphans", 3, "exit=37", wrap=strace(
        subreaper, "read", f"error={error}:when={first}..{first + 3}"))
    assert running.wait() == 37


@pytest.mark.parametrize("error", ["EACCES", "EPERM", "EIO", "ENXIO", "ENOTTY", "EBADF"])
def test_a_terminal_that_refuses_is_no_error(subreaper, programs, error):
    running = subreaper.start(programs / "end", "exit", 37, wrap=strace(
        subreaper, "ioctl", f"error={error}", children_too=True))
    assert running.wait() == 37


@pytest.mark.parametrize("calls, fault", [
    ("clone,clone3,vfork,fork", "error=EAGAIN:when=1"), ("epoll_create1", "error=EMFILE"), ("signalfd4", "error=EMFILE")])
def test_a_system_that_fails_before_the_worker_exists_is_111(subreaper, programs, calls, fault):
    running = subreaper.start("--set", "recycle.at=1G", programs / "end", "exit", 0,
                              wrap=strace(subreaper, calls, fault))
    assert running.wait() == 111
    assert running.err != ""


def test_a_wait_that_fails_for_a_while_is_tried_again_without_spinning(subreaper, programs):
    running = subreaper.start(programs / "orphans", 3, "exit=5", wrap=strace(
        subreaper, "wait4,waitid", "error=ENOMEM:when=1..5"))
    assert running.wait() == 5
    assert read(subreaper.directory / "trace").count("ENOMEM") == 5
    assert running.err.count("cannot wait") == 1


def full_pipe():
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(theirs, False)
    try:
        while True:
            os.write(theirs, b"x")
    except BlockingIOError:
        pass
    os.set_blocking(theirs, True)
    return ours, theirs


def test_a_log_that_nobody_reads_never_blocks(init, programs):
    ours, theirs = full_pipe()
    try:
        running = init.start("-vvv", "-w", programs / "orphans", 100, stderr=theirs)
        worker = running.worker()
        until(lambda: not children(worker) and children(running.pid) == [worker] and status(worker)["State"][0] == "S",
              "orphans reaped")
        for _ in range(50):
            running.kill(signal.SIGWINCH)
        running.kill(signal.SIGTERM)
        assert running.wait() == 143
    finally:
        os.close(ours)
        os.close(theirs)


def test_what_was_dropped_is_counted_and_said(init, programs, tmp_path):
    ours, theirs = full_pipe()
    try:
        file = tmp_path / "pids"
        running = init.start("-w", programs / "orphans", 40, f"hold={file}", stderr=theirs)
        worker = running.worker()
        until(lambda: len(children(running.pid)) == 41 and len(read(file).split()) == 40)
        orphans = [pid for pid in children(running.pid) if pid != worker]
        for pid in orphans[:30]:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(children(running.pid)) == 11)
        os.set_blocking(ours, False)
        while os.read(ours, 65536).count(b"x") == 65536:
            pass
        for pid in orphans[30:]:
            os.kill(pid, signal.SIGKILL)
        until(lambda: children(running.pid) == [worker])
        running.kill(signal.SIGTERM)
        assert running.wait() == 143
        text = os.read(ours, 65536).decode()
        assert "30" in text.splitlines()[0], text
        assert text.count(" reap ") == 10, text
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_workers_stderr_still_blocks(init, tmp_path):
    """Our not waiting must not become the worker's: the description is shared."""
    ours, theirs = os.pipe()
    try:
        running = init.start("-vvv", "sh", "-c", "head -c 300000 /dev/zero >&2 && echo done", stderr=theirs)
        os.close(theirs)
        theirs = None
        count = 0
        while True:
            data = os.read(ours, 65536)
            if not data:
                break
            count += data.count(b"\0")
        assert running.wait() == 0
        assert count == 300000
        assert running.out == "done\n"
    finally:
        os.close(ours)


def test_a_log_whose_reader_is_gone_ends_nothing(init, programs):
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        running = init.start("-vvv", "-w", programs / "orphans", 20, "exit=6", stderr=theirs)
        assert running.wait() == 6
    finally:
        os.close(theirs)


def test_a_full_log_file_ends_nothing(init, programs):
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert init.start("-vvv", programs / "end", "exit", 6, stderr=full).wait() == 6
    finally:
        os.close(full)


@pytest.mark.parametrize("closed", ["0", "1", "2", "0,1,2"])
def test_closed_standard_descriptors_are_no_error(init, programs, closed):
    assert init.run("-vvv", programs / "end", "exit", 11, arrange=[f"close={closed}"]).code == 11


def test_lines_are_whole_and_json_parses(init, programs):
    result = init.run("--set", "log.format=json", "--set", "log.level=debug", "-w", programs / "orphans", 20, "exit=1")
    assert result.code == 1
    assert result.err.endswith("\n")
    for line in result.err.splitlines():
        event = json.loads(line)
        assert {"ts", "level", "event"} <= event.keys()
        assert event["level"] in ("error", "warning", "info", "debug")


def test_odd_bytes_in_names_are_quoted(init, tmp_path):
    program = os.fsencode(tmp_path) + b'/a "b"\n\xff\\'
    with open(program, "wb") as file:
        file.write(b"#!/bin/sh\nexit 2\n")
    os.chmod(program, 0o755)
    running = init.start("--set", "log.format=json", "--", os.fsdecode(program))
    assert running.wait() == 2
    raw = running.err_file.read_bytes()
    lines = raw.splitlines()
    for line in lines:
        json.loads(line)
    (start,) = [json.loads(line) for line in lines if b'"start"' in line]
    assert 'a "b"\n' in start["program"]


def test_without_proc_it_is_still_an_init(pid1, programs):
    """A container whose /proc is hidden."""
    script = f"mount -t tmpfs none /proc && exec {pid1.path} -w {programs / 'orphans'} 5 exit=19"
    running = pid1.start("sh", "-c", script, bare=True, becomes=pid1.path)
    assert running.wait() == 19


def test_without_proc_stragglers_are_killed_by_pid_1(pid1, programs, tmp_path):
    script = (f"mount -t tmpfs none /proc && exec {pid1.path} --set worker.stop_grace=1s {programs / 'orphans'} 3 deaf "
              f"hold={tmp_path / 'pids'}")
    running = pid1.start("sh", "-c", script, bare=True, becomes=pid1.path)
    until(lambda: len(read(tmp_path / "pids").split()) == 3)
    left = descendants(running.pid)
    running.kill(signal.SIGTERM)
    assert running.wait() == 143
    assert not [pid for pid in left if alive(pid)]


def test_a_worker_that_cannot_be_watched_at_first_is_watched_later(subreaper, programs):
    running = subreaper.start("--set", "recycle.at=1G", "--set", "watch.interval=100ms", programs / "many", 0,
                              wrap=strace(subreaper, "pidfd_open", "error=EMFILE:when=1"))
    until(lambda: "cannot watch" in running.err, "the warning")
    trimtab = until(lambda: children(running.pid), "trimtab")[0]
    until(lambda: handles(trimtab) > 0, "a handle on the worker")
