#!/bin/sh
# Four incidents of workers whose memory stays though their work is done, as workloads of our own, and two that no
# trim can help; bare, and under trimtab in several environments:
#
#   sh tests/bench/incidents/run.sh [--quick] [--jobs N] [INCIDENT ...]
#
# Prints a table of idle RSS, yields and verdicts, and holds the runs with the shipped policies against the numbers
# trimtab has to reach; exit status 1 when one is missed. Draws build/incidents/incidents.svg. --quick: only bare and
# with the shipped policy, for CI. INCIDENT: pusher, requests, decoder, spikes, holes, small; also by the variable
# INCIDENTS='pusher decoder'. TRIMTAB_BIN: another binary.
#
# For Debian 12, as root: what is missing is installed by apt, and trimtab is built. Nothing listens on a network.
# --jobs runs are under way at one time (12), and each takes up to 0.6 GB. About 5 minutes on two cores, and 1.5 with
# --quick.
set -eu
top=$(cd "$(dirname "$0")/../../.." && pwd)
cd "$top"
out=$top/build/incidents
mkdir -p "$out"

missing=''
for package in gunicorn libjemalloc2 python3 util-linux gcc libc6-dev cmake ninja-build pkg-config libcap-dev \
    libinih-dev libcmocka-dev libcairo2-dev libcsv-dev; do
    case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
    'install ok installed') ;;
    *) missing="$missing $package" ;;
    esac
done
if [ -n "$missing" ]; then
    echo "incidents: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of names
    if ! { apt-get -o DPkg::Lock::Timeout=600 -qq update &&
        apt-get -o DPkg::Lock::Timeout=600 -qq -y install --no-install-recommends $missing
    } >"$out/apt.log" 2>&1; then
        tail -n 20 "$out/apt.log" >&2
        echo "incidents: apt-get could not install$missing (as root?)" >&2
        exit 1
    fi
fi

if [ -z "${TRIMTAB_BIN:-}" ]; then
    if ! {
        cmake --preset release && cmake --build --preset release --target trimtab trimtab-agent
    } >"$out/build.log" 2>&1; then
        tail -n 40 "$out/build.log" >&2
        exit 1
    fi
fi
# shellcheck disable=SC2086 # a list of names
exec /usr/bin/python3 -B tests/bench/incidents/table.py "${TRIMTAB_BIN:-$top/build/release/bin/trimtab}" "$out" "$@" \
    ${INCIDENTS:-}
