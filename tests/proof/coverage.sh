#!/bin/sh
# What the unit tests reach of src/policy and src/config: sh tests/proof/coverage.sh
#
# Prints lines, branches and MC/DC for each file. Fails when a test fails, when a branch or a condition is not
# covered and not in coverage.list, and when an entry there matches nothing. Needs clang-19 and llvm-19 of Debian 12,
# whose gcc knows no MC/DC.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
build=$top/build/coverage
flags='-fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc'

cd "$top"
mkdir -p "$build"
# The tests that are linked with the two folders.
tests=$(sed -nE 's/^unit_test\(([a-z_]+) trimtab_(policy|config).*/test_\1/p' tests/CMakeLists.txt)
{
    cmake --preset dev -B "$build" -DCMAKE_C_COMPILER=clang-19 -DCMAKE_C_FLAGS="$flags"
    # shellcheck disable=SC2086 # a list of names
    cmake --build "$build" --target trimtab-conf $tests
} >"$build/log" 2>&1 || {
    tail -n 40 "$build/log"
    exit 1
}

rm -rf "$build/profiles"
mkdir "$build/profiles"
export LLVM_PROFILE_FILE="$build/profiles/%p"
set --
for test in $tests; do
    timeout 120 "$build/bin/$test" >"$build/log" 2>&1 || {
        cat "$build/log"
        exit 1
    }
    set -- "$@" -object "$build/bin/$test"
done
# print_conf.c is a program of its own, and what it writes is in the tree.
"$build/bin/trimtab-conf" | cmp - conf/trimtab.ini
if "$build/bin/trimtab-conf" >/dev/full; then
    echo 'trimtab-conf: a write that failed is not told'
    exit 1
fi
llvm-profdata-19 merge -o "$build/all.profdata" "$build"/profiles/*
llvm-cov-19 export -instr-profile "$build/all.profdata" "$build/bin/trimtab-conf" "$@" >"$build/coverage.json"
/usr/bin/python3 "$here/coverage.py" "$build/coverage.json" "$here/coverage.list"
