#!/bin/sh
# What trimtab costs, beside Debian's tini, tini-static, dumb-init and catatonit and beside the bare floor:
#
#   sh tests/bench/run.sh [--quick] [--strict]
#
# One table and one line for each number trimtab has to reach. --quick: fewer rounds, for CI. --strict: exit
# status 1 when a number is missed. TRIMTAB_BIN: the binary (build/static/bin/trimtab, else the release one).
# Packages: musl-tools gcc python3; tini dumb-init catatonit are left out where they are not installed. Needs root
# for pid namespaces. Takes about two minutes.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$top/build/bench
mkdir -p "$out"

binary=${TRIMTAB_BIN:-}
if [ -z "$binary" ]; then
    for binary in "$top/build/static/bin/trimtab" "$top/build/release/bin/trimtab"; do
        [ ! -x "$binary" ] || break
    done
fi
if [ ! -x "$binary" ]; then
    echo "bench: $binary is not there: build it first (README.md, \"Building\")" >&2
    exit 1
fi
for tool in musl-gcc python3 strip; do
    if ! command -v "$tool" >/dev/null; then
        echo "bench: no $tool: apt-get install musl-tools gcc binutils python3" >&2
        exit 1
    fi
done

build() {
    program=$1
    shift
    musl-gcc -std=c11 -D_GNU_SOURCE -Os -Wall -Wextra -static -s -I "$top/src" -I "$top/include" -o "$out/$program" "$@"
}
cd "$top/tests/bench"
build floor_init floor_init.c
build static_true static_true.c
build idle_worker idle_worker.c
for driver in startup latency orphans; do
    build "$driver" "$driver.c" bench.c
done
build look look.c "$top/src/os/process.c" "$top/src/os/text.c" "$top"/src/policy/fleet.c "$top"/src/policy/trim.c \
    "$top"/src/policy/recycle.c "$top"/src/policy/trend.c "$top"/src/policy/verdict.c

exec python3 "$top/tests/bench/table.py" "$binary" "$out" "$@"
