"""Signals: which are passed on, to whom, with what, and what the worker inherits."""
import ctypes
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import alive, children, descendants, holds, read, report, section, signal_set, status, until

LIBC = ctypes.CDLL(None, use_errno=True)

# CHLD is ours: it tells of children. The other two cannot be caught by anyone.
FORWARDED = sorted(set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD})


def send(pid, number):
    """kill(2) itself: Python's and the C library's refuse the two signals that the C library keeps."""
    if LIBC.syscall(62, pid, number) != 0:  # __NR_kill of x86-64
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def queue(pid, number, value):
    assert LIBC.sigqueue(pid, number, ctypes.c_void_p(value)) == 0


def test_every_signal_is_passed_on_once(init):
    running, caught = init.catcher()
    order = [number for number in FORWARDED if number != signal.SIGALRM] + [signal.SIGALRM]  # ALRM ends the catcher
    for count, number in enumerate(order, 1):
        send(running.pid, number)
        until(lambda: len(caught()) >= count, f"signal {number}")
    assert running.wait() == 0
    assert [number for number, _, _ in caught()] == order


def test_many_signals_at_once_all_arrive(init):
    running, caught = init.catcher()
    expected = [n for n in FORWARDED if n not in (signal.SIGALRM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
                                                  signal.SIGCONT)]  # stop and CONT cancel each other in the kernel
    os.kill(running.pid, signal.SIGSTOP)
    until(lambda: status(running.pid)["State"][0] == "T", "trimtab stopped")
    for number in expected:
        send(running.pid, number)
    os.kill(running.pid, signal.SIGCONT)
    until(lambda: {n for n, _, _ in caught()} >= set(expected))
    assert running.running()


def test_a_queued_signal_keeps_its_value_and_order(init):
    running, caught = init.catcher()
    for value in range(1, 101):
        queue(running.pid, signal.SIGRTMIN + 3, value)
    until(lambda: len(caught()) >= 100)
    assert caught() == [(signal.SIGRTMIN + 3, -1, value) for value in range(1, 101)]
    queue(running.pid, signal.SIGHUP, 77)
    until(lambda: len(caught()) >= 101)
    assert caught()[-1] == (signal.SIGHUP, -1, 77)


def test_a_flood_of_queued_signals_loses_none(init):
    running, caught = init.catcher()
    for value in range(2000):
        queue(running.pid, signal.SIGRTMIN + 5, value)
    until(lambda: len(caught()) >= 2000)
    assert [value for _, _, value in caught()] == list(range(2000))


def group_of_two(init, *options, **how):
    """A worker and a child of it in its process group, both catching."""
    one, two = init.directory / "one", init.directory / "two"
    catch = init.programs / "catch"
    running = init.start(*options, "sh", "-c", f"{catch} {two} & exec {catch} {one}", **how)
    until(lambda: read(one).startswith("ready\n") and read(two).startswith("ready\n"))
    return running, lambda: [[int(line.split()[0]) for line in read(f).splitlines()[1:]] for f in (one, two)]


def test_only_the_worker_gets_a_signal(init):
    running, caught = group_of_two(init)
    for number in (signal.SIGHUP, signal.SIGUSR1):
        os.kill(running.pid, number)
    until(lambda: len(caught()[0]) == 2)
    assert caught() == [[signal.SIGHUP, signal.SIGUSR1], []]


@pytest.mark.parametrize("how", ["-g", "TINI_KILL_PROCESS_GROUP", "both"])
def test_the_whole_group_gets_it_when_asked_for(init, how):
    options = [] if how == "TINI_KILL_PROCESS_GROUP" else ["-g"]
    env = {} if how == "-g" else {"TINI_KILL_PROCESS_GROUP": ""}
    running, caught = group_of_two(init, *options, env=env)
    os.kill(running.pid, signal.SIGUSR1)
    until(lambda: caught() == [[signal.SIGUSR1], [signal.SIGUSR1]])
    queue(running.pid, signal.SIGRTMIN, 5)
    until(lambda: caught() == [[signal.SIGUSR1, signal.SIGRTMIN]] * 2)


@pytest.mark.parametrize("rules, sent, received", [
    (["TERM:QUIT"], signal.SIGTERM, signal.SIGQUIT), (["15:3"], signal.SIGTERM, signal.SIGQUIT),
    (["SIGTERM:SIGINT"], signal.SIGTERM, signal.SIGINT), (["RTMIN+3:TERM"], signal.SIGRTMIN + 3, signal.SIGTERM),
    (["40:RTMAX"], 40, signal.SIGRTMAX), (["HUP:USR1", "USR1:USR2"], signal.SIGHUP, signal.SIGUSR1),
    (["term:winch"], signal.SIGTERM, signal.SIGWINCH)])
def test_rewrite(init, rules, sent, received):
    options = [word for rule in rules for word in ("--rewrite", rule)]
    running, caught = init.catcher(*options)
    os.kill(running.pid, sent)
    until(caught)
    os.kill(running.pid, signal.SIGURG)
    until(lambda: len(caught()) == 2)
    assert [number for number, _, _ in caught()] == [received, signal.SIGURG]


def test_rewrite_to_0_drops(init):
    running, caught = init.catcher("--rewrite", "HUP:0")
    os.kill(running.pid, signal.SIGHUP)
    os.kill(running.pid, signal.SIGUSR1)
    until(caught)
    assert [number for number, _, _ in caught()] == [signal.SIGUSR1]


def test_rewrite_by_environment(init):
    running, caught = init.catcher(env={"TRIMTAB_WORKER_REWRITE": "TERM:QUIT, HUP:0"})
    os.kill(running.pid, signal.SIGHUP)
    os.kill(running.pid, signal.SIGTERM)
    until(caught)
    assert [number for number, _, _ in caught()] == [signal.SIGQUIT]


INHERITED = [
    [], ["block=15"], ["block=15,12,37"], ["ignore=1,2,10"], ["ignore=17"], ["ignore=21,22"], ["ignore=13"],
    ["block=17,20,21,22", "ignore=17,13"], ["block=1,2,3,11,32,33,64", "ignore=15,64"]]


@pytest.mark.parametrize("arrange", INHERITED, ids=[" ".join(words) or "nothing" for words in INHERITED])
def test_mask_and_ignored_signals_are_inherited_exactly(init, programs, tmp_path, arrange):
    masks = ("SigBlk", "SigIgn", "SigCgt", "ShdPnd", "SigPnd")
    given = {}
    for name, bare in (("bare", True), ("under", False)):
        init.start(programs / "report", tmp_path / name, arrange=["nocore", *arrange], bare=bare).wait()
        values = section(report(tmp_path / name), "status")
        given[name] = {mask: sorted(signal_set(values[mask])) for mask in masks}
    assert given["under"] == given["bare"]


def test_a_worker_whose_parent_ignored_children_still_gives_its_status(init, programs):
    assert init.run(programs / "end", "exit", 5, arrange=["ignore=17"]).code == 5
    assert init.run(programs / "end", "exit", 5, arrange=["block=17"]).code == 5


def test_stop_signals_do_not_stop_trimtab(init):
    running, caught = init.catcher()
    for number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        before = len(caught())
        os.kill(running.pid, number)
        until(lambda: len(caught()) == before + 1)
        assert status(running.pid)["State"][0] == "S"


def test_tstp_and_cont_reach_the_worker(init):
    running = init.start("sleep", "1000")
    worker = running.worker()
    os.kill(running.pid, signal.SIGTSTP)
    until(lambda: status(worker)["State"][0] == "T", "worker stopped")
    os.kill(running.pid, signal.SIGCONT)
    until(lambda: status(worker)["State"][0] == "S", "worker continued")
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait() == 143


def test_a_stopped_worker_gets_term_once_it_is_continued(init):
    running = init.start("sleep", "1000")
    worker = running.worker()
    os.kill(worker, signal.SIGSTOP)
    until(lambda: status(worker)["State"][0] == "T")
    os.kill(running.pid, signal.SIGTERM)
    until(lambda: 15 in signal_set(status(worker).get("ShdPnd", "0")) or not running.running())
    if running.running():
        os.kill(running.pid, signal.SIGCONT)
    assert running.wait() == 143


def test_a_signal_that_comes_before_exec_is_not_lost(init, programs):
    """From the moment all signals are blocked, none may be lost; sent as early as that can be seen.

    The worker inherits TERM blocked, so that none can end it before it is ready to catch."""
    for turn in range(60):
        file = init.directory / f"caught{turn}"
        running = init.start(programs / "catch", file, arrange=["block=15"])
        # While it waits in rt_sigtimedwait(2) the kernel shows them as not blocked; then there is a worker.
        until(lambda: 10 in signal_set(status(running.pid).get("SigBlk", "0")) or descendants(running.pid))
        os.kill(running.pid, signal.SIGTERM)
        until(lambda: re.search(r"^15 ", read(file), re.M), "TERM at the worker")
        running.end()


def test_a_signal_during_a_slow_exec_is_not_lost(subreaper, programs):
    """The exec of the worker is held up, so that the signal is certain to come before it."""
    file = subreaper.directory / "caught"
    trace = subreaper.directory / "trace"
    tracer = ["strace", "-f", "-o", trace, "-e", "trace=execve", "-e", "inject=execve:delay_enter=500000"]
    running = subreaper.start(programs / "catch", file, wrap=tracer, arrange=["block=15"])
    pid = until(lambda: [p for p in descendants(running.pid) if 10 in signal_set(status(p).get("SigBlk", "0"))],
                "trimtab with its signals blocked")[0]
    os.kill(pid, signal.SIGTERM)
    assert not file.exists()
    until(lambda: re.search(r"^15 ", read(file), re.M), "TERM at the worker")


def run_as_other_user(init, programs, *options):
    """A worker of another user, under a trimtab that may not signal it: root without CAP_KILL."""
    file = init.directory / "caught"
    init.directory.chmod(0o777)
    for path in init.directory.parents:
        if str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o055)
    running = init.start(*options, "setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", programs / "catch", file,
                         wrap=["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"])
    until(lambda: read(file).startswith("ready\n"), "worker of another user")
    return running, file


def test_a_forward_that_is_not_permitted_ends_nothing(init, programs):
    running, file = run_as_other_user(init, programs)
    pid = running.pid
    assert int(status(pid)["CapEff"], 16) >> 5 & 1 == 0, "trimtab was meant to be without CAP_KILL"
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        os.kill(pid, number)
    until(lambda: running.err.count("EPERM") >= 1 or running.err.count("not permitted") >= 1, "a warning of EPERM")
    holds(running.running, 0.3, "trimtab ended")
    worker = running.worker()
    send(worker, signal.SIGALRM)
    assert running.wait() == 0


def test_a_signal_when_the_worker_has_just_ended_ends_nothing(init, programs):
    """ESRCH, or a zombie: signals sent all the while that the worker ends."""
    for _ in range(20):
        running = init.start(programs / "end", "exit", 3)
        while running.running():
            try:
                os.kill(running.pid, signal.SIGWINCH)
            except ProcessLookupError:
                break
        assert running.wait() in (3, 128 + signal.SIGWINCH)


@pytest.mark.parametrize("name, number", [
    ("SIGTERM", signal.SIGTERM), ("TERM", signal.SIGTERM), ("15", signal.SIGTERM), ("SIGUSR1", signal.SIGUSR1),
    ("RTMIN+1", signal.SIGRTMIN + 1)])
def test_parents_death_is_passed_on_as_a_signal(subreaper, programs, name, number):
    """The parent of trimtab is a shell that is killed."""
    file = subreaper.directory / "caught"
    shell = subprocess.Popen(
        ["sh", "-c", f'{subreaper.path} -s -p {name} {programs / "catch"} {file} & wait'], start_new_session=True)
    try:
        until(lambda: read(file).startswith("ready\n"))
        trimtab = children(shell.pid)[0]
        worker = children(trimtab)[0]
        shell.kill()
        shell.wait()
        until(lambda: re.search(rf"^{number} ", read(file), re.M), "the signal at the worker")
        assert alive(trimtab)
        send(worker, signal.SIGALRM)
        until(lambda: not alive(trimtab))
    finally:
        for pid in descendants(shell.pid):
            os.kill(pid, signal.SIGKILL)


def test_parents_death_can_be_kill(subreaper):
    shell = subprocess.Popen(["sh", "-c", f"{subreaper.path} -s -p SIGKILL sleep 1000 & wait"], start_new_session=True)
    trimtab = until(lambda: children(shell.pid))[0]
    worker = until(lambda: children(trimtab))[0]
    until(lambda: read(f"/proc/{worker}/comm") == "sleep\n")
    shell.kill()
    shell.wait()
    try:
        until(lambda: not alive(trimtab))
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_parent_that_is_gone_already_counts_as_dead(subreaper, programs):
    """The parent ends between our start and our asking for its death: held up there, it must still be noticed."""
    file = subreaper.directory / "caught"
    trace = subreaper.directory / "trace"
    command = (f'strace -o {trace} -D -e trace=prctl -e inject=prctl:delay_enter=400000 '
               f'{subreaper.path} -s -p SIGUSR1 {programs / "catch"} {file}')
    said = subreaper.directory / "said"
    with open(said, "wb") as stderr:
        shell = subprocess.Popen(["sh", "-c", f"{command} & wait"], start_new_session=True, stderr=stderr,
                                 env={**os.environ, "TRIMTAB_LOG_LEVEL": "info"})
    trimtab = until(lambda: [p for p in children(shell.pid) if os.path.basename(
        os.path.realpath(f"/proc/{p}/exe")) == os.path.basename(os.path.realpath(subreaper.path))
        and 10 in signal_set(status(p).get("SigBlk", "0"))], "trimtab")[0]
    seen = time.monotonic()
    shell.kill()
    shell.wait()
    try:
        if time.monotonic() - seen > 0.3:
            pytest.skip("the machine was too slow to end the parent in time")
        # On a slow machine it may come before the worker has set its handler, and end it.
        until(lambda: re.search(rf"^{signal.SIGUSR1} ", read(file), re.M) or f"signal={signal.SIGUSR1:d}" in read(said),
              "the signal at the worker")
    finally:
        for pid in [*descendants(trimtab), trimtab]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def test_the_worker_does_not_inherit_the_death_signal(init, programs, tmp_path):
    init.start("-p", "SIGTERM", programs / "report", tmp_path / "report").wait()
    assert report(tmp_path / "report")["death_signal"] == "0"
