"""Policies: every error ends with status 1 and one line that says where and why, before a worker is started."""
import os
import pathlib
import re
import subprocess

import pytest

from conftest import TOP, TRIMTAB

CONF = TOP / "conf"
SIZE_OR_SHARE = "is not a size (512M, 1.5G) or a share (80%)"
USAGE = "usage: trimtab [options] [--] program [args]"


def run(*words, env=None, cwd=None, before=()):
    """trimtab with an environment of its own; none of the caller's settings reach it."""
    environment = {"PATH": os.environ["PATH"], **(env or {})}
    return subprocess.run([*before, TRIMTAB, *map(str, words)], env=environment, cwd=cwd, capture_output=True, text=True,
                          errors="replace", timeout=20, stdin=subprocess.DEVNULL)


@pytest.fixture
def refused(tmp_path):
    """Checks that a line is refused with a message, with --check and without, and that no worker was started."""
    mark = tmp_path / "worker-was-started"

    def check(error, *words, env=None, cwd=None, before=()):
        for result in (run(*words, "--", "/bin/sh", "-c", f": > {mark}", env=env, cwd=cwd, before=before),
                       run(*words, "--check", env=env, cwd=cwd, before=before)):
            assert result.returncode == 1, result
            assert result.stderr == f"trimtab: {error}\n"
            assert not mark.exists()

    return check


@pytest.fixture
def policy(tmp_path):
    def write(text, name="x.ini", mode=0o644):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return write


def values(result):
    """What --check prints: {(section, key): (value, origin)}."""
    assert result.returncode == 0, result
    found, section = {}, None
    for line in result.stdout.splitlines():
        if re.fullmatch(r"\[\w+\]", line):
            section = line[1:-1]
        elif match := re.fullmatch(r"(\w+) = (.*?)\s+; (.*)", line):
            found[section, match[1]] = match[2], match[3]
    return found


def checked(*words, **how):
    return values(run(*words, "--check", **how))


# Text of the policy, line of the error, what is said.
TEXTS = [
    ("[recycle]\natt = 1", 2, "[recycle] att: unknown key; did you mean 'at'?"),
    ("\n\n[trmi]\nat = 1G", 3, "[trmi]: unknown section; did you mean 'trim'?"),
    ("[nothing-like-it]", 1, "[nothing-like-it]: unknown section"),
    ("[]", 1, "[]: unknown section"),
    ("[trim]\ngrace = 1s", 2, "[trim] grace: unknown key; did you mean [recycle] grace?"),
    ("[trim]\nqqqq = 1s", 2, "[trim] qqqq: unknown key"),
    ("[trim]\nat = 51X2", 2, f"[trim] at: '51X2' {SIZE_OR_SHARE}"),
    ("[trim]\nat = 18446744073709551616", 2, f"[trim] at: '18446744073709551616' {SIZE_OR_SHARE}"),
    ("[trim]\nat = 512", 2, "[trim] at: '512' is below 64K: is its unit missing, as in 512M?"),
    ("[trim]\nat = 101%", 2, f"[trim] at: '101%' {SIZE_OR_SHARE}"),
    ("[recycle]\ngrace = 60", 2, "[recycle] grace: '60' is not a time (1.5s, 10m)"),
    ("[watch]\ninterval = 2h", 2, "[watch] interval: '2h' is not from 100ms to 1h"),
    ("[recycle]\nsamples = 0", 2, "[recycle] samples: '0' is not from 1 to 1000"),
    ("[recycle]\nat_once = 65", 2, "[recycle] at_once: '65' is not from 1 to 64"),
    ("[recycle]\njitter = 51%", 2, "[recycle] jitter: '51%' is not from 0% to 50%"),
    ("[recycle]\nsignal = FOO", 2, "[recycle] signal: 'FOO' is not a signal (TERM, RTMIN+3, 15)"),
    ("[recycle]\nsignal = KILL", 2,
     "[recycle] signal: 'KILL' is of no use here: a program cannot catch it, so there would be no grace"),
    ("[trim]\nsignal = STOP", 2, "[trim] signal: 'STOP' is of no use here: it cannot be caught"),
    ("[trim]\nsignal = CHLD", 2,
     "[trim] signal: 'CHLD' is of no use here: the kernel sends it for every child that ends"),
    ("[worker]\nstop_signals = TERM, KILL", 2,
     "[worker] stop_signals: 'TERM, KILL' is of no use here: it cannot be caught: 'KILL'"),
    ("[worker]\nrewrite = STOP:TERM", 2, "[worker] rewrite: 'STOP:TERM' is of no use here: it cannot be caught: 'STOP'"),
    ("[worker]\nrewrite = TERM", 2, "[worker] rewrite: 'TERM' is not a list of FROM:TO (TERM:QUIT, HUP:0): 'TERM'"),
    ("[worker]\nrestart = maybe", 2, "[worker] restart: 'maybe' is not one of never, recycled, failed, always"),
    ("[worker]\nno_new_privs = ja", 2, "[worker] no_new_privs: 'ja' is neither yes nor no"),
    ("[worker]\noom_score_adj = 2000", 2, "[worker] oom_score_adj: '2000' is not from -1000 to 1000"),
    ("[worker]\ncapabilities = chwon", 2,
     "[worker] capabilities: 'chwon' is neither inherit, none nor a list of capabilities (net_bind_service, chown): "
     "'chwon'"),
    ("[trim]\nat =", 2, "[trim] at: empty value"),
    ("[worker]\nuser = ", 2, "[worker] user: empty value"),
    ("[worker]\nuser = \"app\"", 2, "[worker] user: \"app\": a value is written without quotes"),
    ("[trim]\nat = 1G # x", 2, "at = 1G # x: '#' starts a comment only at the start of a line"),
    ("[trim]\nat = 1G ; x", 2, "at = 1G ; x: ';' starts a comment only at the start of a line"),
    ("[trim]\nat = 1G\n[log]\nlevel = info\n[trim]\nat = 1G", 6, "[trim] at: already set in line 2"),
    ("[trim\nat = 1G", 1, "'[' without ']'"),
    ("[trim] at = 1G", 1, "text after ']'; a comment has a line of its own"),
    ("at = 1G\n[trim]", 1, "at = 1G: key before any section"),
    ("[trim]\nat", 2, "at: no '='; a key is set as in 'at = 80%'"),
    ("[trim]\nat: 1G", 2, "at: 1G: no '='; a key is set as in 'at = 80%'"),
    ("[trim]\n/a:/b=1G", 2, "/a:/b=1G: ':' in the name of a key"),
    ("[trim]\n=1G", 2, "=1G: no key before '='"),
    ("[trim]\n  no_such = 1\n", 2, "[trim] no_such: unknown key"),
    ("[trim]\n# " + 197 * "x" + "\nat = 1G", 2, "line longer than 198 bytes"),
    ("[worker]\nuser = " + 192 * "x", 2, "line longer than 198 bytes"),
    (b"[trim]\nat = 1\0G", 2, "NUL byte; is this a text file?"),
    (b"[trim]\nat = \x1b[31m", 2, "control character 0x1b"),
    (b"[trim]\n\xc3\xa4\xff\xffxyz = 1", 2, "[trim] \\xc3\\xa4\\xff\\xffxyz: unknown key"),
    ("[trim]\nat = 1G\nsignal = USR2\n[recycle]\nat = 1G", 5,
     "[recycle] at: 1G must be above [trim] at, which is 1G"),
    ("[trim]\nat = 80%\nsignal = USR2\n[recycle]\nat = 75%", 5,
     "[recycle] at: 75% must be above [trim] at, which is 80%"),
    ("[trim]\nat = 80%\nsignal = none", 2,
     "[trim] at: nothing would be asked to trim; set [trim] signal to agent, or to one that the worker handles"),
    ("[trim]\nidle = 0\nsignal = USR2\n[container]\ntrim_at = off", 3,
     "[trim] signal: it would never be sent; set [trim] at"),
    ("[recycle]\nmethod = respawn\n[worker]\nrestart = never", 2,
     "[recycle] method: respawn cannot be while [worker] restart is never"),
]


@pytest.mark.parametrize("text, line, error", TEXTS, ids=[repr(row[2])[1:60] for row in TEXTS])
def test_error_in_a_file(refused, policy, text, line, error):
    path = policy(text)
    refused(f"./x.ini:{line}: {error}", "--policy", "./x.ini", cwd=path.parent)
    refused(f"./x.ini:{line}: {error}", cwd=path.parent, env={"TRIMTAB_POLICY": "./x.ini"})


VARIABLES = [
    ("TRIMTAB_TRIM_AT", "51X2", f"'51X2' {SIZE_OR_SHARE}"),
    ("TRIMTAB_TRIM_AT", "a\nb\x1b", f"'a\\x0ab\\x1b' {SIZE_OR_SHARE}"),
    ("TRIMTAB_WORKER_USER", "'app'", "'app': a value is written without quotes"),
    ("TRIMTAB_WORKER_USER", 200 * "u", 156 * "u" + "..."),
    ("TRIMTAB_RECYCLE_ATT", "1G", "unknown key; did you mean TRIMTAB_RECYCLE_AT?"),
    ("TRIMTAB_TRIM_GRACE", "1G", "unknown key; did you mean TRIMTAB_RECYCLE_GRACE?"),
    ("TRIMTAB_TRIM_QQQQ", "1G", "unknown key"),
    ("TRIMTAB_TRIM_SIGNAL", "FOO", "'FOO' is not a signal (TERM, RTMIN+3, 15), agent or none"),
    ("TRIMTAB_CONTAINER_PRESSURE", "some 200ms", "'some 200ms' is neither off nor a trigger (some 200ms/2s)"),
]


@pytest.mark.parametrize("name, value, error", VARIABLES)
def test_error_in_a_variable(refused, name, value, error):
    if len(value) == 200:
        error = f"'{error}' is too long (199 bytes at most)"
    refused(f"{name}: {error}", env={name: value})


SETTINGS = [
    ("trim.at=51X2", f"'51X2' {SIZE_OR_SHARE}"),
    ("trim.at=", "empty value"),
    ("trim.at", "no '='; write section.key=value"),
    ("at=1G", "no section; write section.key=value"),
    ("recycle.att=1G", "[recycle] att: unknown key; did you mean 'at'?"),
    ("trmi.at=1G", "[trmi]: unknown section; did you mean 'trim'?"),
    ("trim.grace=1s", "[trim] grace: unknown key; did you mean [recycle] grace?"),
    ("trim.signal=agnet", "'agnet' is not a signal (TERM, RTMIN+3, 15), agent or none"),
]


@pytest.mark.parametrize("setting, error", SETTINGS)
def test_error_in_a_setting(refused, setting, error):
    refused(f"--set {setting}: {error}", "--set", setting)


def test_a_setting_may_be_given_once(refused):
    refused("--set trim.settle=4s: already set by an earlier option", "--set=trim.settle=3s", "--set=trim.settle=4s")


@pytest.mark.parametrize("pair, error", [
    ("TERM", "not a list of FROM:TO (TERM:QUIT, HUP:0): 'TERM'"),
    ("FOO:TERM", "not a signal (TERM, RTMIN+3, 15): 'FOO'"),
    ("TERM:65", "neither a signal (TERM, RTMIN+3, 15) nor 0: '65'"),
    ("KILL:TERM", "of no use here: it cannot be caught: 'KILL'"),
    ("CHLD:TERM", "of no use here: the kernel sends it for every child that ends: 'CHLD'"),
    ("", "not FROM:TO (TERM:QUIT, HUP:0)"),
])
def test_error_in_a_rewrite(refused, pair, error):
    refused(f"--rewrite {pair}: '{pair}' is {error}", "--rewrite", pair)


@pytest.mark.parametrize("words, error", [
    (["--polcy", "x"], "unknown option '--polcy'; did you mean '--policy'?"),
    (["--p"], f"unknown option '--p'; {USAGE}, or --help"),
    (["-x"], f"unknown option '-x'; {USAGE}, or --help"),
    (["-p", "FOO"], "-p: 'FOO' is not a signal (TERM, SIGTERM, RTMIN+3, 15)"),
    (["-e", "256"], "-e: '256' is not an exit code (0 to 255)"),
    (["-e", "x"], "-e: 'x' is not an exit code (0 to 255)"),
    (["--dry-run=yes"], f"--dry-run takes no argument; {USAGE}"),
])
def test_error_on_the_command_line(refused, words, error):
    refused(error, *words)


@pytest.mark.parametrize("words, error", [
    ([], f"no program is given; {USAGE}"),
    (["--"], f"no program is given; {USAGE}"),
    (["-s", "-p"], "-p needs an argument: SIGNAL"),
    (["--policy"], "--policy needs an argument: FILE|NAME"),
])
def test_an_incomplete_command_line(words, error):
    result = run(*words)
    assert (result.returncode, result.stderr) == (1, f"trimtab: {error}\n")


class TestFile:
    """What may be read as a policy."""

    def test_a_directory(self, refused, tmp_path):
        refused(f"{tmp_path}: is a directory, not a file", "--policy", tmp_path)

    def test_a_fifo_is_not_waited_for(self, refused, tmp_path):
        os.mkfifo(tmp_path / "fifo", 0o644)
        refused(f"{tmp_path}/fifo: is not a regular file", "--policy", tmp_path / "fifo")

    def test_a_device(self, refused):
        refused("/dev/null: is not a regular file", "--policy", "/dev/null")

    def test_a_file_that_is_too_big(self, refused, policy):
        path = policy(65537 * "\n")
        refused(f"{path}: is larger than 64 KiB", "--policy", path)

    def test_the_biggest_file(self, policy):
        text = "[trim]\nsettle = 3s"
        path = policy((65536 - len(text)) * "\n" + text)
        assert checked("--policy", path)["trim", "settle"][0] == "3s"

    @pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777])
    def test_a_file_that_others_may_write(self, refused, policy, mode):
        path = policy("[trim]", mode=mode)
        refused(f"{path}: may be written by others (mode {mode:04o}); chmod go-w", "--policy", path)

    def test_a_file_of_another_user(self, refused, policy):
        path = policy("[trim]")
        os.chown(path, 4711, 0)
        refused(f"{path}: belongs to user 4711, neither to root nor to us", "--policy", path)

    def test_a_file_that_may_not_be_read(self, refused, policy, tmp_path):
        path = policy("[trim]", mode=0o600)
        for folder in [tmp_path, *tmp_path.parents]:
            if folder != pathlib.Path("/"):
                folder.chmod(folder.stat().st_mode | 0o011)
        before = ["setpriv", "--reuid=65534", "--clear-groups", "--"]
        # the binary itself must be reachable for that user
        if subprocess.run([*before, "test", "-x", TRIMTAB]).returncode != 0:
            pytest.fail(f"user 65534 cannot reach {TRIMTAB}")
        refused(f"{path}: cannot be opened: Permission denied", "--policy", path, before=before)

    def test_a_file_that_is_not_there(self, refused, tmp_path):
        refused(f"policy '{tmp_path}/none.ini': no such file; shipped policies: auto, gunicorn",
                "--policy", tmp_path / "none.ini")

    def test_links_are_followed_as_in_a_mounted_config_map(self, policy, tmp_path):
        (tmp_path / "..2026_data").mkdir()
        policy("[trim]\nsettle = 3s\n", "..2026_data/trimtab.ini")
        (tmp_path / "..data").symlink_to("..2026_data")
        (tmp_path / "trimtab.ini").symlink_to("..data/trimtab.ini")
        assert checked("--policy", tmp_path / "trimtab.ini")["trim", "settle"][0] == "3s"

    def test_byte_order_mark_and_line_ends_of_windows(self, policy):
        path = policy(b"\xef\xbb\xbf[trim]\r\nsettle = 3s\r\n\r\n[worker]\r\nuser = nobody\r\n")
        found = checked("--policy", path, "--set=worker.stop_grace=1s")
        assert found["trim", "settle"][0] == "3s"
        assert found["worker", "user"][0] == "nobody"

    def test_an_indented_key_is_a_key(self, policy):
        path = policy("[trim]\nsettle = 3s\n   min_yield = 7%\n")
        found = checked("--policy", path)
        assert (found["trim", "settle"][0], found["trim", "min_yield"][0]) == ("3s", "7%")


class TestName:
    """--policy NAME. /etc is a file system of the test's own."""

    @staticmethod
    def etc(*commands):
        return ["unshare", "--mount", "sh", "-ec",
                "; ".join(["mount -t tmpfs none /etc", "mkdir /etc/trimtab", *commands, 'exec "$@"']), "sh"]

    def test_unknown(self, refused):
        hint = "no such policy (a file is named with a '/', as in ./x.ini); shipped policies: auto, gunicorn"
        refused(f"policy 'gunicron': {hint}; did you mean 'gunicorn'?", "--policy", "gunicron")
        refused(f"policy 'x.ini': {hint}", "--policy", "x.ini")
        refused(f"policy 'gunicron': {hint}; did you mean 'gunicorn'?", env={"TRIMTAB_POLICY": "gunicron"})

    def test_shipped(self):
        found = checked("--policy", "gunicorn")
        assert found["recycle", "signal"][0] == "TERM"
        assert found["container", "recycle_at"][0] == "85%"

    def test_a_file_of_the_machine_wins(self):
        before = self.etc("printf '[trim]\\nsettle = 3s\\n' > /etc/trimtab/gunicorn")
        assert checked("--policy", "gunicorn", before=before)["container", "recycle_at"][0] == "off"

    def test_a_bad_file_of_the_machine_is_not_passed_over(self, refused):
        before = self.etc("printf '[trim]\\nsettle = 3\\n' > /etc/trimtab/gunicorn")
        refused("/etc/trimtab/gunicorn:2: [trim] settle: '3' is not a time (1.5s, 10m)", "--policy", "gunicorn",
                before=before)

    def test_none_named(self, refused):
        assert checked(before=self.etc("true"))["trim", "settle"][0] == "2s"
        before = self.etc("printf '[trim]\\nsettle = 3s\\n' > /etc/trimtab.ini")
        assert checked(before=before)["trim", "settle"][0] == "3s"
        before = self.etc("mkdir /etc/trimtab.ini")
        refused("/etc/trimtab.ini: is a directory, not a file", before=before)


def test_later_sources_win(policy):
    path = policy("[recycle]\nsamples = 4\ngrace = 40s\nmin_age = 4s\n")
    found = checked("--policy", path, "--set", "recycle.grace=61s",
                    env={"TRIMTAB_RECYCLE_SAMPLES": "5", "TRIMTAB_RECYCLE_GRACE": "50s", "TRIMTAB_WATCH_LIMIT": ""})
    assert found["recycle", "min_age"][0] == "4s"
    assert found["recycle", "samples"][0] == "5"
    assert found["recycle", "grace"][0] == "61s"
    assert found["watch", "limit"][0] == "auto"


def test_variables_of_kubernetes_are_passed_over():
    names = ["TRIMTAB_PORT", "TRIMTAB_SERVICE_HOST", "TRIMTAB_SERVICE_PORT", "TRIMTAB_SERVICE_PORT_HTTP",
             "TRIMTAB_PORT_80_TCP", "TRIMTAB_PORT_80_TCP_ADDR", "TRIMTAB_WATCH_SERVICE_HOST",
             "TRIMTAB_WORKER_PORT_80_TCP_PROTO", "TRIMTAB_VERSION", "TRIMTAB"]
    result = run("--", "true", env={name: "x" for name in names})
    assert (result.returncode, result.stderr) == (0, "")


def test_a_variable_that_is_nearly_ours_is_warned_about():
    result = run("--", "true", env={"TRIMTAB_TRMI_AT": "1G"})
    assert result.returncode == 0
    assert "TRIMTAB_TRMI_AT" in result.stderr and "did you mean 'trim'?" in result.stderr
    assert result.stderr.count("\n") == 1


def uncommented(text):
    """The shipped file with every key that has a default set to it."""
    return "\n".join(line[1:] if re.match(r"#\w+ = \S", line) else line for line in text.splitlines()) + "\n"


def test_the_shipped_file_has_every_key_with_its_default(policy):
    text = (CONF / "trimtab.ini").read_text()
    path = policy(uncommented(text), "all.ini")
    plain, shipped, everything = checked(), checked("--policy", CONF / "trimtab.ini"), checked("--policy", path)
    value = {key: row[0] for key, row in plain.items()}
    assert value == {key: row[0] for key, row in shipped.items()}
    assert value == {key: row[0] for key, row in everything.items()}
    section, keys = None, []
    for line in text.splitlines():
        if line.startswith("["):
            section = line[1:-1]
        elif match := re.match(r"#(\w+) =", line):
            keys.append((section, match[1]))
    assert keys == list(plain)


def test_the_shipped_file_is_what_the_table_prints():
    printer = pathlib.Path(os.environ.get("TRIMTAB_CONF_BIN", pathlib.Path(TRIMTAB).with_name("trimtab-conf")))
    printed = subprocess.run([printer], capture_output=True, check=True, timeout=20).stdout
    assert printed == (CONF / "trimtab.ini").read_bytes()


def test_all_shipped_policies_pass():
    for path in sorted(CONF.glob("*.ini")):
        assert checked("--policy", path)


def test_pressure_alone_is_reason_enough_to_watch(init):
    """With every other reason to trim turned off."""
    settings = ["trim.idle=0", "container.trim_at=off", "trim.signal=USR1"]
    words = [word for setting in [*settings, "container.pressure=some 200ms/2s"] for word in ("--set", setting)]
    assert "; memory is watched" in init.run("--check", *words, "true").out
