"""Who the worker runs as, what it may do, and what trimtab keeps for itself."""
import os
import pwd

import pytest

from conftest import report, section, status, until

CAP = {"chown": 0, "kill": 5, "setgid": 6, "setuid": 7, "net_bind_service": 10, "sys_ptrace": 19, "sys_admin": 21}


def sets(**values):
    return [word for key, value in values.items() for word in ("--set", f"worker.{key}={value}")]


def capabilities(text):
    mask = int(text, 16)
    return {number for number in range(64) if mask >> number & 1}


@pytest.fixture
def start(init, programs, tmp_path):
    """Start a reporting worker; returns trimtab and the report."""
    for path in (tmp_path, *tmp_path.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o055)
    tmp_path.chmod(0o777)

    def go(*options, **how):
        running = init.start(*options, programs / "report", tmp_path / "report", "pause", **how)
        until(lambda: (tmp_path / "report").exists() or not running.running(), "report")
        assert running.running(), running.err
        return running, report(tmp_path / "report")
    return go


def ids(values, name):
    return values[f"status.{name}"].split()


def test_a_user_by_name_has_its_groups_and_no_capabilities(start):
    entry = pwd.getpwnam("www-data")
    _, values = start(*sets(user="www-data"))
    assert ids(values, "Uid") == [str(entry.pw_uid)] * 4
    assert ids(values, "Gid") == [str(entry.pw_gid)] * 4
    assert {int(g) for g in ids(values, "Groups")} == set(os.getgrouplist("www-data", entry.pw_gid))
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert capabilities(values[f"status.{name}"]) == set()


def test_a_user_and_a_group_by_number(start):
    _, values = start(*sets(user=4321, group=8765))
    assert ids(values, "Uid") == ["4321"] * 4
    assert ids(values, "Gid") == ["8765"] * 4


def test_a_group_alone(start):
    _, values = start(*sets(group="daemon"))
    assert ids(values, "Uid") == ["0"] * 4
    assert ids(values, "Gid") == ["1"] * 4


def test_nothing_is_changed_without_being_asked_for(start):
    _, values = start()
    own = status(os.getpid())
    for name in ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs"):
        assert values[f"status.{name}"].split() == own[name].split(), name


def test_capabilities_by_name_are_kept_across_exec(start):
    _, values = start(*sets(user="www-data", capabilities="net_bind_service, cap_chown"))
    kept = {CAP["net_bind_service"], CAP["chown"]}
    for name in ("CapEff", "CapPrm", "CapAmb", "CapBnd"):
        assert capabilities(values[f"status.{name}"]) == kept, name


def test_no_capabilities_for_root(start):
    _, values = start(*sets(capabilities="none"))
    for name in ("CapEff", "CapPrm", "CapAmb", "CapBnd"):
        assert capabilities(values[f"status.{name}"]) == set(), name


def test_no_new_privs(start):
    running, values = start(*sets(no_new_privs="yes"))
    assert values["status.NoNewPrivs"] == "1"
    assert status(running.pid)["NoNewPrivs"] == "0"


def test_oom_score_adj(start):
    _, values = start(*sets(oom_score_adj=500))
    assert values["oom_score_adj"] == "500"


def test_what_trimtab_raises_for_itself_the_worker_does_not_inherit(start):
    """With a policy it lowers its own OOM score where it may."""
    _, values = start("--set", "recycle.at=1G")
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        assert values["oom_score_adj"] == file.read().strip()


def test_trimtab_drops_what_it_does_not_need(start):
    running, _ = start()
    def kept():
        return capabilities(status(running.pid)["CapEff"])
    until(lambda: kept() <= {CAP["kill"]}, "capabilities dropped")
    assert kept() == {CAP["kill"]}


def test_trimtab_keeps_what_a_restart_needs(start):
    running, _ = start(*sets(user="www-data", restart="always"))
    until(lambda: CAP["sys_admin"] not in capabilities(status(running.pid)["CapEff"]))
    assert {CAP["kill"], CAP["setuid"], CAP["setgid"]} <= capabilities(status(running.pid)["CapEff"])


def test_a_restarted_worker_has_the_same_identity(init, programs, tmp_path):
    for path in (tmp_path, *tmp_path.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o055)
    tmp_path.chmod(0o777)
    script = f"n=$(ls {tmp_path} | grep -c '^of'); exec {programs / 'report'} {tmp_path}/of$n exit=$((n < 1))"
    code = init.run(*sets(user="www-data", capabilities="chown", restart="failed", restart_delay="100ms"), "sh", "-c",
                    script).code
    assert code == 0
    first, second = (section(report(tmp_path / name), "status") for name in ("of0", "of1"))
    for name in ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        assert first[name] == second[name], name


@pytest.mark.parametrize("values, word", [
    ({"user": "no-such-user"}, "no-such-user"), ({"group": "no-such-group"}, "no-such-group"), ({"user": "4321"}, "4321"),
    ({"capabilities": "no_such_cap"}, "no_such_cap")])
def test_what_cannot_be_is_refused_before_the_worker_is_started(init, tmp_path, values, word):
    result = init.run(*sets(**values), "touch", tmp_path / "started")
    assert (result.code, result.out) == (1, "")
    assert word in result.err
    assert not (tmp_path / "started").exists()


def test_a_step_that_is_not_permitted_starts_no_worker(init, tmp_path):
    """No right to change ids: the worker must not run as someone else than asked for."""
    tmp_path.chmod(0o777)
    result = init.run(*sets(user="www-data"), "touch", tmp_path / "started",
                      wrap=["setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid"])
    assert result.code == 111
    assert "user" in result.err
    assert not (tmp_path / "started").exists()


def test_check_says_what_trimtab_would_keep(init):
    result = init.run("--check", *sets(user="www-data"), "true")
    assert result.code == 0
    assert "cap_kill" in result.out and "cap_sys_admin" not in result.out


def test_as_an_ordinary_user_it_is_an_init_too(init, programs, tmp_path):
    for path in (tmp_path, *tmp_path.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o055)
    binary = tmp_path / "trimtab"
    binary.write_bytes(open(init.path, "rb").read())
    binary.chmod(0o755)
    init.path = str(binary)
    ordinary = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", "--inh-caps=-all"]
    assert init.run(programs / "orphans", 10, "exit=4", wrap=ordinary).code == 4
    assert init.run("--set", "recycle.at=1G", programs / "end", "exit", 5, wrap=ordinary).code == 5
