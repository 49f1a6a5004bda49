"""Descriptors, working directory and sockets handed down: the worker gets what trimtab was given, and no more."""
import os

import pytest

from conftest import at_end, children, open_of, read, report, section, until


@pytest.mark.parametrize("arrange", [
    [], ["open=7"], ["open=3,4,5,6,7,8,9,10,11,12,13"], ["open=900"], ["open=5,333,1000", "close=0"], ["close=0"],
    ["close=1"], ["close=2"], ["close=0,1"], ["close=0,2"], ["close=1,2"], ["close=0,1,2"], ["close=0,1,2", "open=3,77"]],
    ids=lambda words: " ".join(words) or "nothing")
@pytest.mark.parametrize("policy", [[], ["--set", "recycle.at=1G"]], ids=["init", "policy"])
def test_the_worker_has_exactly_the_given_descriptors(init, programs, tmp_path, arrange, policy):
    given = {}
    for name, bare in (("bare", True), ("under", False)):
        options = [] if bare else policy
        code = init.run(*options, programs / "report", tmp_path / name, "exit=4", arrange=arrange, bare=bare).code
        assert code == 4
        given[name] = {n: os.path.basename(t) for n, t in section(report(tmp_path / name), "fd").items()}
    assert given["under"] == given["bare"]


def test_the_limit_of_descriptors_is_inherited_unchanged(init, programs, tmp_path):
    """With a policy trimtab raises its own; the worker must not see that."""
    for name, options in (("init", []), ("policy", ["--set", "recycle.at=1G"])):
        init.start(*options, programs / "report", tmp_path / name, arrange=["nofile=300"]).wait()
        assert report(tmp_path / name)["nofile"] == "300"


def test_trimtab_lets_go_of_inherited_descriptors(init):
    """Those at the other end see the worker close its copies; nothing stays open in trimtab."""
    stdin, stdout, extra = os.pipe(), os.pipe(), os.pipe()
    os.set_inheritable(extra[1], True)
    close = f"exec sleep 1000 <&- >&- {extra[1]}>&-"
    running = init.start("bash", "-c", close, stdin=stdin[0], stdout=stdout[1], pass_fds=[extra[1]])
    for fd in (stdin[0], stdout[1], extra[1]):
        os.close(fd)
    until(lambda: read(f"/proc/{running.worker()}/comm") == "sleep\n")
    try:
        if init.mode == "pid1":  # unshare, between us and trimtab, has copies of its own
            until(lambda: not [t for t in open_of(running.pid).values() if t.startswith("pipe:")], "pipes closed")
            return
        until(lambda: at_end(stdout[0]), "stdout closed")
        until(lambda: at_end(extra[0]), "the inherited descriptor closed")
        with pytest.raises(BrokenPipeError):
            os.write(stdin[1], b"x")
    finally:
        for fd in (stdin[1], stdout[0], extra[0]):
            os.close(fd)


def test_trimtab_keeps_them_while_a_restart_can_need_them(init, programs, tmp_path):
    """The second worker gets the same descriptors as the first."""
    script = f"n=$(ls {tmp_path} | grep -c '^of'); {programs / 'report'} {tmp_path}/of$n; exit $((n < 1 ? 9 : 0))"
    result = init.run("--set", "worker.restart=failed", "--set", "worker.restart_delay=100ms", "sh", "-c", script,
                      arrange=["open=5,77", "close=0"])
    assert result.code == 0
    first, second = (section(report(tmp_path / name), "fd") for name in ("of0", "of1"))
    assert first == second
    assert {"5", "77"} <= first.keys() and "0" not in first


def test_only_its_own_descriptors_are_left_to_trimtab(init):
    running = init.start("sleep", "1000", arrange=["open=3,4,5,6,7,50"])
    running.worker()
    until(lambda: len(open_of(running.pid)) <= 6, "inherited descriptors closed")
    for number, target in open_of(running.pid).items():
        assert number <= 2 or "anon_inode" in target or "stderr" in target, open_of(running.pid)
    assert open_of(running.pid)[0] == open_of(running.pid)[1] == "/dev/null"


def test_trimtab_itself_works_in_the_root_and_the_worker_where_it_was_started(init, programs, tmp_path):
    (tmp_path / "here").mkdir()
    running = init.start(programs / "report", tmp_path / "report", "pause", cwd=tmp_path / "here")
    assert report(tmp_path / "report")["cwd"] == str(tmp_path / "here")
    until(lambda: os.readlink(f"/proc/{running.pid}/cwd") == "/")


def test_a_program_by_relative_path_is_found_where_it_was_started(init, programs):
    assert init.run("./end", "exit", 8, cwd=programs).code == 8


def test_a_restarted_worker_is_where_the_first_was(init, tmp_path):
    (tmp_path / "here").mkdir()
    script = f"pwd >>{tmp_path}/where; exit $(($(wc -l <{tmp_path}/where) < 3))"
    code = init.run("--set", "worker.restart=failed", "--set", "worker.restart_delay=100ms", "sh", "-c", script,
                    cwd=tmp_path / "here").code
    assert code == 0
    assert read(tmp_path / "where").splitlines() == [str(tmp_path / "here")] * 3


def test_listen_pid_that_named_trimtab_names_the_worker(init, programs, tmp_path):
    init.start(programs / "report", tmp_path / "report", arrange=["listen-pid"], env={"LISTEN_FDS": "2"}).wait()
    values = report(tmp_path / "report")
    assert values["env.LISTEN_PID"] == values["pid"]
    assert values["env.LISTEN_FDS"] == "2"


def test_listen_pid_of_another_is_left_alone(init, programs, tmp_path):
    for number, value in enumerate(("99999", "", "x")):
        file = tmp_path / f"report{number}"
        init.start(programs / "report", file, env={"LISTEN_PID": value}).wait()
        assert report(file)["env.LISTEN_PID"] == value


def test_each_restarted_worker_is_named_by_listen_pid(init, programs, tmp_path):
    script = f"n=$(ls {tmp_path} | grep -c '^of'); exec {programs / 'report'} {tmp_path}/of$n exit=$((n < 2))"
    code = init.run("--set", "worker.restart=failed", "--set", "worker.restart_delay=100ms", "sh", "-c", script,
                    arrange=["listen-pid"]).code
    assert code == 0
    reports = [report(tmp_path / f"of{n}") for n in range(3)]
    assert len({values["pid"] for values in reports}) == 3
    for values in reports:
        assert values["env.LISTEN_PID"] == values["pid"]


def test_trimtab_has_no_other_child(init):
    running = init.start("sleep", "1000")
    worker = running.worker()
    assert children(running.pid) == [worker]
