"""The command line of trimtabctl."""
import subprocess

import pytest

from conftest import CTL, HEADER

COMMANDS = ["record", "replay", "simulate"]


def test_help_lists_every_command(ctl):
    out = ctl("--help")
    for command in COMMANDS:
        assert f"\n  {command} " in out
        assert ctl("help", command) == ctl(command, "--help")
        assert ctl("help", command).startswith(f"usage: trimtabctl {command} ")
    assert ctl("help") == out


def test_version(ctl):
    assert ctl("--version").startswith("trimtabctl version ")


@pytest.mark.parametrize("words, what", [
    ([], "no command; see trimtabctl --help"),
    (["reply"], "no command 'reply'; did you mean 'replay'?"),
    (["x\x1b[31m"], "no command 'x?[31m'; see trimtabctl --help"),
    (["help", "recrod"], "no command 'recrod'; did you mean 'record'?"),
    (["replay"], "no file is named; see trimtabctl help replay"),
    (["replay", "a", "b"], "more than one file; see trimtabctl help replay"),
    (["replay", "--polcy", "x", "a"], "unknown option --polcy; see trimtabctl help replay"),
    (["replay", "a", "--policy"], "--policy needs a value; see trimtabctl help replay"),
    (["replay", "-x", "a"], "unknown option -x; see trimtabctl help replay"),
    (["replay", "a", "--seed", "-1"], "--seed: not a whole number"),
    (["simulate"], "no file is named; see trimtabctl help simulate"),
    (["record", "x"], "'x' is no option; see trimtabctl help record"),
    (["record", "--pid", "0"], "--pid: not a pid"),
    (["record", "--pid", "9999999999"], "--pid: not a pid"),
    (["record", "--interval", "1"], "--interval: not a time of at least 10ms (500ms, 1s)"),
    (["record", "--interval", "1ms"], "--interval: not a time of at least 10ms (500ms, 1s)"),
    (["record", "--duration", "soon"], "--duration: not a time (90s, 1h)"),
])
def test_bad_usage_says_what_is_wrong(ctl, words, what):
    assert ctl(*words, status=1) == f"trimtabctl: {what}\n"


def test_a_result_that_cannot_be_printed_is_an_error(tmp_path):
    for words in (["--help"], ["help", "record"], ["--version"]):
        with open("/dev/full", "wb") as full:
            assert subprocess.run([CTL, *words], stdout=full, stderr=subprocess.PIPE, timeout=20).returncode == 1


@pytest.mark.parametrize("words, what", [
    ([], "no policy: give --policy FILE or NAME, or --set"),
    (["--policy", "none.ini"], "policy 'none.ini': no such policy"),
    (["--policy", "./none.ini"], "policy './none.ini': no such file"),
    (["--policy", "bad.ini"], "./bad.ini:2: [recycle] att: unknown key; did you mean 'at'?"),
    (["--policy", "./bad.ini"], "./bad.ini:2: [recycle] att: unknown key; did you mean 'at'?"),
    (["--set", "recycle.at=1Q"], "--set recycle.at=1Q: '1Q' is not a size"),
    (["--set", "trim.at=1M", "--set", "trim.signal=none"], "nothing would be asked to trim"),
    (["--set", "recycle.at=2G"], "t.csv: [recycle] at is 2G, above the limit of 1G: the kernel would act first"),
])
def test_a_bad_policy_is_refused_as_by_trimtab(replay, tmp_path, words, what):
    from conftest import row
    (tmp_path / "bad.ini").write_text("[recycle]\natt = 1G\n")
    assert what in replay([row(0)], more=words, status=1)


def test_settings_come_from_file_environment_and_command_line(replay, tmp_path):
    from conftest import row, table
    (tmp_path / "p.ini").write_text("[recycle]\nat = 10M\n")
    rows = [row(second, 1, 15 << 20) for second in range(8)]
    assert table(replay(rows, more=["--policy", "p.ini"]))[1]["above_recycle"] == "0:00:07"
    out = replay(rows, more=["--policy", "p.ini"], environment={"TRIMTAB_RECYCLE_AT": "16M"})
    assert table(out)[1]["above_recycle"] == "0:00:00"
    out = replay(rows, "recycle.at=14M", more=["--policy", "p.ini"], environment={"TRIMTAB_RECYCLE_AT": "16M"})
    assert table(out)[1]["above_recycle"] == "0:00:07"
    assert "policy auto;" in replay(rows, environment={"TRIMTAB_POLICY": "auto"})


def test_a_directory_is_no_recording(ctl, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "folder: Is a directory" in ctl("replay", "folder", "--policy", "auto", status=1)
    assert "none.csv: No such file or directory" in ctl("replay", "none.csv", "--policy", "auto", status=1)


def test_a_recording_may_come_by_a_pipe(ctl):
    from conftest import row
    out = ctl("replay", "-", "--set", "recycle.at=10M", given=(HEADER + "\n" + row(0) + "\n").encode())
    assert "recording -," in out
    assert "-: is empty" in ctl("replay", "-", "--set", "recycle.at=10M", given=b"", status=1)
