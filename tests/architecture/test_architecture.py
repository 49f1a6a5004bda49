"""The shape of the code and of what is built: who may know whom, and how large things may get."""
import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).parent.parent.parent
SRC = TOP / "src"
RELEASE = TOP / "build/release"
STATIC = TOP / "build/static"

# What a compiler may call on its own, and the checks that hardening adds.
FREESTANDING = re.compile(r"(__)?mem(cpy|move|set|cmp)(_chk)?|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_")

FILE_LINES = 500
FUNCTION_LINES = 60
STATIC_BYTES = 122 << 10  # without the agent inside. The init alone had 93 KiB; the rest is the policy core and its eyes
AGENT_BYTES = 40 << 10

MAY_INCLUDE = {
    "policy": {"policy"}, "config": {"config"}, "os": {"os"}, "small": {"small"}, "agent": {"agent"},
    "ctl": {"ctl", "policy", "config", "os", "trimtab", "rules.h", "say.h", "pattern.h"},
    "": {"", "policy", "config", "os", "trimtab"}}


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def sources(*suffixes):
    files = [file for folder in ("src", "include", "tests") for file in sorted((TOP / folder).rglob("*"))
             if file.suffix in suffixes]
    assert files
    return files


def excused(file):
    """Whether the comment at the top says why the file breaks a rule: `over 500 lines, because ...`."""
    return re.search(r"over \d+\s+(\*\s+)?lines", file.read_text().split("*/", 1)[0])


def test_policy_is_pure():
    archive = RELEASE / "lib/libtrimtab_policy.a"
    symbols = [line.split() for line in run("nm", archive).splitlines()]
    defined = {words[2] for words in symbols if len(words) == 3}
    undefined = {words[1] for words in symbols if len(words) == 2 and words[0] == "U"}
    assert defined, "an empty archive proves nothing"
    assert [name for name in sorted(undefined - defined) if not FREESTANDING.fullmatch(name)] == []


@pytest.mark.parametrize("folder", sorted(MAY_INCLUDE))
def test_includes_point_one_way(folder):
    bad = []
    pattern = "*.[ch]"
    files = sorted((SRC / folder).glob(pattern))
    assert files
    for file in files:
        for name in re.findall(r'^#include "([^"]+)"', file.read_text(), re.M):
            target = name.split("/")[0] if "/" in name else folder
            if folder and (SRC / folder / name).exists():
                target = folder
            shared = target == "trimtab" or name.endswith(".inc")
            if target not in MAY_INCLUDE[folder] and not shared:
                bad.append(f"{file.relative_to(TOP)}: {name}")
    assert bad == []


def test_policy_includes_nothing_of_the_system():
    allowed = {"stdbool.h", "stddef.h", "stdint.h", "string.h", "limits.h"}
    bad = [f"{file.name}: {name}" for file in (SRC / "policy").glob("*.[ch]")
           for name in re.findall(r"^#include <([^>]+)>", file.read_text(), re.M) if name not in allowed]
    assert bad == []


def test_links_only_what_is_promised():
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", RELEASE / "bin/trimtab")))
    assert needed <= {"libc.so.6", "libcap.so.2", "libinih.so.1"}
    assert {"libcap.so.2", "libinih.so.1"} <= needed


def test_release_is_hardened():
    header = run("readelf", "-h", RELEASE / "bin/trimtab")
    dynamic = run("readelf", "-d", RELEASE / "bin/trimtab")
    segments = run("readelf", "-lW", RELEASE / "bin/trimtab")
    assert "DYN" in header
    assert "NOW" in dynamic
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK.* RW ", segments)
    assert not re.search(r"LOAD.* RWE ", segments)


def test_static_is_static_and_small(tmp_path):
    binary = STATIC / "bin/trimtab"
    segments = run("readelf", "-lW", binary)
    assert "INTERP" not in segments and "DYNAMIC" not in segments
    assert "statically linked" in run("file", "-L", binary)
    stripped = tmp_path / "stripped"
    run("strip", "-o", stripped, binary)
    agent = (STATIC / "src/agent/image.so").stat().st_size
    assert agent <= AGENT_BYTES
    assert stripped.stat().st_size - agent <= STATIC_BYTES
    assert re.search(r"GNU_STACK.* RW ", segments)


def test_static_has_no_name_service():
    names = run("nm", STATIC / "bin/trimtab") if "no symbols" not in run("file", "-L", STATIC / "bin/trimtab") else ""
    assert "getpwnam" not in names and "dlopen" not in names


def test_files_are_short():
    long = {str(file.relative_to(TOP)): n for file in sources(".c", ".h")
            if (n := len(file.read_text().splitlines())) > FILE_LINES and not excused(file)}
    assert long == {}


def test_functions_are_short():
    long = {}
    for file in sources(".c", ".h"):
        begin = None
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if line == "{":
                begin = number
            elif line.startswith("}") and begin is not None:
                if number - begin - 1 > FUNCTION_LINES and not excused(file):
                    long[f"{file.relative_to(TOP)}:{begin}"] = number - begin - 1
                begin = None
    assert long == {}


@pytest.mark.parametrize("compiler", ["gcc", "musl-gcc"])
def test_each_header_compiles_alone(compiler, tmp_path):
    caps = list((STATIC / "libcap/src/libcap_build/libcap").glob("include"))
    include = ["-I", SRC, "-I", TOP / "include"]
    for directory in caps if compiler == "musl-gcc" else []:
        include += ["-isystem", directory, "-isystem", directory / "uapi"]
    for header in sources(".h"):
        if "tests" in header.parts or ("ctl" in header.parts and compiler == "musl-gcc"):
            continue
        source = tmp_path / "one.c"
        source.write_text(f'#include "{header}"\n#include "{header}"\n')
        run(compiler, "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *include, source)


def test_no_path_of_the_build_machine_is_in_a_binary():
    for binary in (RELEASE / "bin/trimtab", STATIC / "bin/trimtab"):
        assert os.fsencode(TOP / "src") not in binary.read_bytes()
