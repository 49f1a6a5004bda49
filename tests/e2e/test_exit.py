"""Exit statuses, the command line, and what is said on which stream."""
import os
import signal

import pytest

from conftest import TOP

# Signals whose default is to end a process.
FATAL = sorted(set(range(1, 65)) - {
    signal.SIGCHLD, signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGURG,
    signal.SIGWINCH})


def test_every_exit_code_is_passed_on(init, programs):
    got = {code: init.run(programs / "end", "exit", code).code for code in range(256)}
    assert got == {code: code for code in range(256)}


def test_death_by_a_signal_is_128_plus_its_number(init, programs):
    got = {number: init.run(programs / "end", "signal", number).code for number in FATAL}
    assert got == {number: 128 + number for number in FATAL}


def test_remap_turns_each_code_into_0_and_leaves_the_others(init, programs):
    for code in range(256):
        assert init.run("-e", code, "--", programs / "end", "exit", code).code == 0, code
    assert init.run("-e", 143, programs / "end", "exit", 144).code == 144


def test_remap_is_repeatable_and_sees_the_status_of_a_signal(init, programs):
    options = ["-e", "3", "-e143", "-e", "255"]
    assert [init.run(*options, programs / "end", "exit", code).code for code in (3, 143, 255, 4)] == [0, 0, 0, 4]
    assert init.run(*options, programs / "end", "signal", signal.SIGTERM).code == 0


@pytest.mark.parametrize("option", [["-e", "256"], ["-e", "-1"], ["-e", "x"], ["-e", "1x"], ["-e"]])
def test_a_bad_remap_is_refused(subreaper, option):
    result = subreaper.run(*option, "--", "true") if len(option) > 1 else subreaper.run(*option)
    assert (result.code, result.out) == (1, "")
    assert result.err != ""


def test_a_missing_program_is_127_and_named(init):
    result = init.run("--", "no-such-program")
    assert (result.code, result.out) == (127, "")
    assert "no-such-program" in result.err
    assert init.run("/no/such/program").code == 127


def test_what_cannot_be_run_is_126_and_named(init, tmp_path):
    plain = tmp_path / "plain-file"
    plain.write_text("exit 0\n")
    for program in (plain, tmp_path):
        result = init.run(program)
        assert (result.code, result.out) == (126, "")
        assert str(program) in result.err


def test_a_bad_interpreter_is_127(init, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    result = init.run(script)
    assert result.code == 127
    assert str(script) in result.err


def test_a_broken_path_is_not_taken_for_the_programs_own_status(init, tmp_path):
    (tmp_path / "file").write_text("")
    result = init.run(tmp_path / "file/below")
    assert result.code in (126, 127)
    assert "below" in result.err


def test_a_script_without_a_first_line_is_run_by_sh(init, tmp_path):
    script = tmp_path / "script"
    script.write_text('printf "%s|" "$@"; exit 21\n')
    script.chmod(0o755)
    result = init.run(script, "a b", "", "c")
    assert (result.code, result.out) == (21, "a b||c|")


def test_path_is_searched_past_what_cannot_be_run(init, tmp_path):
    for name, mode, text in (("one", 0o644, ""), ("two", 0o755, "#!/bin/sh\nexit 7\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(text)
        (tmp_path / name / "tool").chmod(mode)
    assert init.run("tool", env={"PATH": f"{tmp_path}/one:{tmp_path}/two:/usr/bin"}).code == 7
    assert init.run("tool", env={"PATH": f"{tmp_path}/one:/usr/bin"}).code == 126


def test_options_end_at_the_first_word_that_is_none(init):
    assert init.run("sh", "-c", "exit 3").code == 3
    assert init.run("echo", "-h").out == "-h\n"
    assert init.run("echo", "-v", "--version").out == "-v --version\n"
    assert init.run("--", "echo", "--", "-g").out == "-- -g\n"
    assert init.run("-v", "--", "sh", "-c", "exit 4").code == 4


def test_flags_can_be_joined(init):
    assert init.run("-sgw", "-vv", "-e3", "sh", "-c", "exit 3").code == 0


def test_help_version_and_license_go_to_stdout(init):
    for option in (["-h"], ["--help"]):
        result = init.run(*option)
        assert (result.code, result.err) == (0, "")
        for word in ("-s", "-p", "-v", "-w", "-g", "-e", "-l", "--policy", "--set", "--check", "--dry-run", "--rewrite"):
            assert word in result.out
    result = init.run("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("trimtab version ")
    result = init.run("-l")
    assert (result.code, result.err) == (0, "")
    assert result.out.strip() == (TOP / "LICENSE").read_text().strip()


@pytest.mark.parametrize("arguments", [
    [], ["--"], ["-s"], ["-Z"], ["-Z", "true"], ["--no-such-option", "true"], ["-p"], ["-p", "NOSUCH", "true"],
    ["-p", "", "true"], ["-p", "0", "true"], ["-p", "65", "true"], ["--rewrite", "TERM", "true"],
    ["--rewrite", "TERM:NOSUCH", "true"], ["--rewrite", "KILL:TERM", "true"], ["--set", "true", "true"],
    ["--set", "no.such=1", "true"], ["--policy", "no-such-policy", "true"]])
def test_bad_usage_is_1_and_said_on_stderr(subreaper, arguments):
    result = subreaper.run(*arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err.strip() != ""


def test_nothing_of_ours_is_ever_on_stdout(init, programs):
    result = init.run("-vvvv", "-w", programs / "orphans", 3, "exit=5")
    assert (result.code, result.out) == (5, "")
    assert init.run("-vvv", "echo", "mine").out == "mine\n"


def test_it_is_silent_by_default(init, programs):
    result = init.run(programs / "end", "exit", 0)
    assert (result.code, result.out, result.err) == (0, "", "")
    assert init.run(programs / "orphans", 2, "exit=0").err == ""


def test_verbosity_by_flag_and_by_environment(init):
    assert init.run("true", env={"TINI_VERBOSITY": "3"}).err != ""
    assert init.run("-vvv", "true").err != ""
    assert init.run("-vvv", "true", env={"TINI_VERBOSITY": "0"}).err == ""


def test_junk_in_the_environment_is_no_reason_to_fail(init):
    assert init.run("true", env={"TINI_VERBOSITY": "junk", "TINI_SUBREAPER": "", "TINI_KILL_PROCESS_GROUP": ""}).code == 0


def test_the_environment_is_handed_down_unchanged(init):
    given = {"PATH": os.environ["PATH"], "A": "1", "EMPTY": "", "TINI_SUBREAPER": "", "NO": "a=b=c"}
    lines = init.run("env", env=given, clean=True).out.splitlines()
    assert sorted(lines) == sorted(f"{key}={value}" for key, value in given.items())


def test_an_empty_environment_works(init, programs):
    assert init.run(programs / "end", "exit", 6, env={}, clean=True).code == 6


def test_a_huge_command_line_works(init):
    arguments = ["x" * 1000] * 1500
    assert init.run("sh", "-c", "exit $(($# / 10))", "sh", *arguments).code == 150


def test_it_can_be_nested(init):
    assert init.run(init.path, "--", init.path, "-s", "sh", "-c", "exit 9").code == 9
