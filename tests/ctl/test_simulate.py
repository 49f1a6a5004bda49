"""trimtabctl simulate: a scenario under a policy, with decisions that act."""
import xml.etree.ElementTree

import pytest

from conftest import events, summary, table

LEAK = """
[scenario]
title = two workers that leak
duration = 2h
limit = 1G
workers = 2

[worker]
base = 80M
leak = 40K/s
boot = 5s
drain = 2s
replace = 1s
handles_recycle = yes
"""
POLICY = "[recycle]\nat = 160M\njitter = 0%\n[container]\ntrim_at = off\n"


@pytest.fixture
def simulate(ctl, tmp_path):
    def run(scenario=LEAK, policy=POLICY, *more, status=0):
        (tmp_path / "s.ini").write_text(scenario)
        (tmp_path / "p.ini").write_text(policy)
        return ctl("simulate", "s.ini", "--policy", "p.ini", *more, status=status)

    return run


def test_decisions_act_on_the_model(simulate):
    out = simulate()
    assert out.startswith("# A simulation: the processes are models") and "\n# two workers that leak\n" in out
    recycles = events(out, "recycle")
    # 80 MiB at 40 KiB a second: some 34 minutes for each life.
    assert 4 <= len(recycles) <= 6 and all("dry_run" not in line and "reason=at" in line for _, line in recycles)
    assert len(events(out, "replaced")) == len(recycles)
    gone = {int(line.split("pid=")[1].split()[0]) for _, line in recycles}
    processes = table(out)
    assert all(processes[pid]["to"] != "1:59:59" and processes[pid]["recycles"] == "1" for pid in gone)
    assert summary(out)["recycles"] == str(len(recycles)) and summary(out)["kills for want of memory"] == "0"
    assert {line.split()[0] for _, line in events(out, "start")} == {"start"}


def test_the_kernel_kills_where_no_policy_acts(simulate):
    policy = "[recycle]\nat = 700M\n[container]\ntrim_at = off\n"
    out = simulate(LEAK.replace("limit = 1G", "limit = 300M"), policy.replace("700M", "290M"))
    assert int(summary(out)["kills for want of memory"]) == len(events(out, "oom")) > 0


def test_events_of_the_scenario_are_told(simulate):
    out = simulate(LEAK + "[event smaller]\nat = 1h\nwhat = limit\nvalue = 700M\n")
    assert events(out, "limit") == [(3600.0, "limit old=1G new=700M")]
    assert events(out, "event") == [(3600.0, "event name=smaller")]


def test_the_same_seed_gives_the_same_run(simulate, tmp_path):
    wild = LEAK + "spike = 60M\nspike_every = 5m\nspike_time = 3s\n"
    first = simulate(wild, POLICY, "--seed", "3", "--svg", "a.svg")
    assert simulate(wild, POLICY, "--seed", "3", "--svg", "b.svg") == first
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    xml.etree.ElementTree.parse(tmp_path / "a.svg")
    other = simulate(wild, POLICY, "--seed", "4")
    assert "seed 3;" in first and "seed 4;" in other and events(first) != events(other)


def test_the_limit_of_the_policy_wins(simulate):
    out = simulate(LEAK, POLICY, "--set", "watch.limit=170M")
    assert summary(out)["above the limit"].endswith("at 170M")


@pytest.mark.parametrize("change, policy, what", [
    (("leak = 40K/s", "leek = 40K/s"), POLICY, "s.ini:10: [worker] leek: unknown key; did you mean 'leak'?"),
    (("leak = 40K/s", "leak = lots"), POLICY, "s.ini:10: [worker] leak: 'lots' is not"),
    (("limit = 1G", "limit = 100M"), POLICY, "s.ini: [recycle] at is 160M, above the limit of 100M"),
    ((LEAK, ""), POLICY, "s.ini: "),
    (("", ""), "[recycle]\natt = 1M\n", "./p.ini:2: [recycle] att: unknown key; did you mean 'at'?"),
])
def test_bad_input_is_refused_with_its_line(simulate, tmp_path, change, policy, what):
    error = simulate(LEAK.replace(*change), policy, "--svg", "x.svg", status=1)
    assert error.startswith("trimtabctl: " + what), error
    assert not (tmp_path / "x.svg").exists()


def test_a_scenario_that_is_not_there(ctl):
    assert "none.ini" in ctl("simulate", "none.ini", "--set", "recycle.at=100M", status=1)
