#!/bin/sh
# The main job of trimtab, on real gunicorn, in about a minute:
#
#   sh examples/demo.sh
#
# Four gunicorn workers run an application that grows with every request (examples/gunicorn/app.py), under load
# from wrk: first bare, then under trimtab with the policy examples/gunicorn/trimtab.ini. Each run is PID 1 of a
# pid namespace of its own, as in a container. Prints both memory curves and a table, and writes the curves to
# build/demo/memory.svg.
#
# For Debian 12, as root: what is missing is installed by apt, and trimtab is built if it is not there.
# DEMO_SECONDS: how long each run is under load (25). TRIMTAB_BIN: another binary.
# Nothing listens but on the loopback interface. The bare run takes about 1.1 GB at its end.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
seconds=${DEMO_SECONDS:-25}
binary=${TRIMTAB_BIN:-$top/build/release/bin/trimtab}
out=$top/build/demo
mkdir -p "$out"

server=''
sampler=''
stop_server() {
    for pid in $sampler $server; do
        python3 examples/demo/sample.py stop "$pid" || continue
        wait "$pid" 2>/dev/null || :
    done
    server=''
    sampler=''
}
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

need() {
    missing=''
    for package; do
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
        'install ok installed') ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    echo "demo: installing$missing"
    # shellcheck disable=SC2086 # a list of names
    if ! { apt-get -o DPkg::Lock::Timeout=600 -qq update &&
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq -y install --no-install-recommends $missing
    } >"$out/apt.log" 2>&1; then
        tail -n 20 "$out/apt.log" >&2
        echo "demo: apt-get could not install$missing (as root?)" >&2
        exit 1
    fi
}

build() {
    [ ! -x "$binary" ] || return 0
    need gcc libc6-dev cmake ninja-build pkg-config libcap-dev libinih-dev libcmocka-dev \
        libcairo2-dev libcsv-dev
    echo 'demo: building trimtab'
    if ! { cmake --preset release && cmake --build --preset release --target trimtab; } >"$out/build.log" 2>&1; then
        tail -n 40 "$out/build.log" >&2
        exit 1
    fi
}

# run NAME [init words]: gunicorn under load, below those words; into $out/NAME.{samples,wrk,log}
run() {
    name=$1
    shift
    echo "demo: $name, $seconds s"
    BIND=127.0.0.1:$port $namespace "$@" gunicorn --chdir "$top/examples/gunicorn" \
        --config "$top/examples/gunicorn/gunicorn.conf.py" app:application >"$out/$name.log" 2>&1 &
    server=$!
    if ! python3 examples/demo/sample.py wait "http://127.0.0.1:$port/health" "$server"; then
        cat "$out/$name.log" >&2
        exit 1
    fi
    python3 examples/demo/sample.py record "$server" "$seconds" >"$out/$name.samples" &
    sampler=$!
    wrk -t 1 -c 8 -d "${seconds}s" --timeout 10s --latency -H 'Connection: close' "http://127.0.0.1:$port/" \
        >"$out/$name.wrk" 2>&1 || :
    wait "$sampler" || :
    sampler=''
    stop_server
}

need gunicorn wrk python3 util-linux
build
namespace='unshare --pid --fork --kill-child --mount-proc'
if ! $namespace true 2>/dev/null; then
    echo 'demo: no pid namespace to be had here: not as PID 1'
    namespace=''
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
line=$(sed -n 's/^at = \([0-9]*\)M$/\1/p' examples/gunicorn/trimtab.ini)

run bare
run trimtab "$binary" --policy examples/gunicorn/trimtab.ini --
python3 examples/demo/report.py "$out" "$((line * 1024 * 1024))" "$out/memory.svg"
echo "trimtab's own log: $out/trimtab.log"
