#!/bin/sh
# What the preloaded library costs: a wrapped call, and a web server that is asked to trim once a second.
#
#   sh tests/bench/agent.sh [--quick] [--strict]
#
# Each with and without the library, taking turns. Numbers that are too high are marked MISSED; a second measurement
# has to confirm them. --quick: fewer rounds. --strict: exit status 1 when a number is missed. TRIMTAB_AGENT: the
# library (build/release/lib/libtrimtab-agent.so). Packages: gcc python3; nginx, gunicorn and wrk, or that part is left
# out. Takes about four minutes.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$top/build/bench
agent=${TRIMTAB_AGENT:-$top/build/release/lib/libtrimtab-agent.so}
rounds=41
pairs=30
strict=''
for option; do
    case $option in
    --quick)
        rounds=11
        pairs=7
        ;;
    --strict) strict=1 ;;
    *)
        echo "usage: sh tests/bench/agent.sh [--quick] [--strict]" >&2
        exit 2
        ;;
    esac
done
if [ ! -f "$agent" ]; then
    echo "bench: $agent is not there: build it first (README.md, \"Building\")" >&2
    exit 1
fi
mkdir -p "$out"
gcc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -pthread -o "$out/agent_cost" "$top/tests/bench/agent_cost.c"

missed=0
twice() { "$@" || "$@" || missed=1; }
twice "$out/agent_cost" "$agent" "$rounds"
echo
twice python3 "$top/tests/bench/agent_wrk.py" "$agent" "$pairs"
[ -z "$strict" ] || exit "$missed"
