#!/bin/sh
# All tests of trimtab on a Debian 12 machine, as root: sh tests/run.sh [STAGE ...]
#
#   build   presets release, static and asan with gcc, and one build with clang
#   unit    cmocka tests, on release and on asan
#   lint    formatting, static analysis, the shape of the code
#   proof   what the unit tests are worth: branches and MC/DC reached, random input with a new seed
#   mutants small changes of src/policy, none of which the tests may miss
#   sim     the policy core in 10^9 steps of random containers, and a day of a fleet of 10^5 pods
#   ctl     pytest against trimtabctl, release and asan
#   e2e     pytest against the release and the static binary, as PID 1 and as subreaper
#   agent   the preloaded library: in every call it wraps, and in storms of requests
#   servers real servers with the library preloaded: asked when idle and under load, and what it costs
#   incidents  idle memory after the load of four real incidents, bare and with the shipped policies
#   docker  in a Docker engine of its own, with images made here
#
# Without a stage: all of these. A stage builds what it needs. Packages that are missing are installed by apt.
# The last line is `N passed, N failed, N skipped`; the exit status is 0 if nothing failed.
# PYTEST_ARGS is handed to pytest, as in PYTEST_ARGS='-k orphans' sh tests/run.sh e2e.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
build=$top/build
logs=$build/logs
mkdir -p "$logs"
export PYTHONDONTWRITEBYTECODE=1

passed=0
failed=0
skipped=0
skips=''
failures=''

say() { printf '%s\n' "$*"; }

pass() { passed=$((passed + 1)); }

fail() {
    failed=$((failed + 1))
    failures="$failures
  $1"
    say "FAILED: $1"
}

skip() {
    skipped=$((skipped + 1))
    skips="$skips
  $1"
    say "SKIPPED: $1"
}

# check WHAT COMMAND...: one test that passes if the command does; its output is shown only if it does not.
check() {
    what=$1
    shift
    if "$@" >"$logs/check" 2>&1; then
        pass
        say "ok: $what"
    else
        fail "$what"
        tail -n 60 "$logs/check"
    fi
}

# need PACKAGE...: install what is missing.
need() {
    missing=''
    for package; do
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
        'install ok installed') ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    say "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of names
    if ! { apt-get -o DPkg::Lock::Timeout=600 -qq update &&
        apt-get -o DPkg::Lock::Timeout=600 -qq -y install --no-install-recommends $missing; } >"$logs/apt" 2>&1; then
        say "apt-get could not install:$missing (see $logs/apt)"
        return 1
    fi
}

# Source of libcap, which the static build compiles. Debian's own deb-src entries are often off: they are derived
# from the active ones into a private list, so that the machine's stays as it is.
libcap_source() {
    if [ -n "${TRIMTAB_LIBCAP_SOURCE:-}" ]; then
        libcap=$TRIMTAB_LIBCAP_SOURCE
        return 0
    fi
    apt=$build/apt
    libcap=$(find "$apt" -maxdepth 1 -type d -name 'libcap2-*' 2>/dev/null | head -n 1)
    [ -z "$libcap" ] || return 0
    rm -rf "$apt"
    mkdir -p "$apt/parts" "$apt/lists/partial"
    for list in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$list" ] || sed 's/^Types:.*/Types: deb-src/' "$list" >"$apt/parts/${list##*/}"
    done
    # One of the two forms: the same archive in both, told apart by Signed-By, would be refused.
    if [ -z "$(find "$apt/parts" -type f)" ]; then
        for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
            [ ! -f "$list" ] || sed -n 's/^deb[[:space:]]/deb-src /p' "$list" >"$apt/parts/${list##*/}.list"
        done
    fi
    (
        cd "$apt" || exit 1
        set -- -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts" \
            -o Dir::State::lists="$apt/lists" -o APT::Sandbox::User=root
        apt-get "$@" update
        apt-get "$@" source libcap2
    ) >"$logs/apt-source" 2>&1
    libcap=$(find "$apt" -maxdepth 1 -type d -name 'libcap2-*' | head -n 1)
    rm -rf "$apt/lists"
    [ -n "$libcap" ]
}

# make_preset PRESET [cmake option...]
make_preset() {
    preset=$1
    shift
    cmake --preset "$preset" "$@" >"$logs/build-$preset" 2>&1 &&
        cmake --build --preset "$preset" >>"$logs/build-$preset" 2>&1 && return 0
    grep -E 'error|FAILED|warning:' -A 3 "$logs/build-$preset" | head -n 60
    return 1
}

build_release() {
    [ -z "${release_built:-}" ] || return 0
    release_built=1
    need gcc libc6-dev cmake ninja-build pkg-config libcap-dev libinih-dev libcmocka-dev libcairo2-dev libcsv-dev || {
        fail 'packages for the release build'
        return 1
    }
    if make_preset release; then pass; else fail 'build of preset release'; fi
}

build_static() {
    [ -z "${static_built:-}" ] || return 0
    static_built=1
    need gcc libc6-dev make cmake ninja-build pkg-config libinih-dev musl-tools dpkg-dev file binutils || {
        fail 'packages for the static build'
        return 1
    }
    if ! libcap_source; then
        fail "source of libcap by apt-get source (see $logs/apt-source)"
        return 1
    fi
    if make_preset static -DTRIMTAB_LIBCAP_SOURCE="$libcap"; then pass; else fail 'build of preset static'; fi
}

build_asan() {
    [ -z "${asan_built:-}" ] || return 0
    asan_built=1
    build_release
    if make_preset asan; then pass; else fail 'build of preset asan'; fi
}

build_clang() {
    need clang || return 1
    cmake --preset dev -B "$build/clang" -DCMAKE_C_COMPILER=clang && cmake --build "$build/clang"
}

# unit PRESET: ctest, counted one by one
unit() {
    ctest --preset "$1" -L unit >"$logs/unit-$1" 2>&1
    good=$(grep -c ' Passed ' "$logs/unit-$1")
    bad=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of.*/\1/p' "$logs/unit-$1")
    passed=$((passed + good))
    say "unit on $1: $good passed, ${bad:-?} failed"
    if [ "${bad:-1}" -ne 0 ] || [ "$good" -eq 0 ]; then
        fail "unit tests on $1"
        failed=$((failed + ${bad:-1} - 1))
        tail -n 80 "$logs/unit-$1"
    fi
}

# count_pytest NAME: add what a pytest run in $logs/NAME says; show its failures and skips.
count_pytest() {
    last=$(grep -E '(passed|failed|skipped|error).* in [0-9.]+s' "$logs/$1" | tail -n 1)
    n() { printf ' %s\n' "$last" | sed -n "s/.*[^0-9]\([0-9][0-9]*\) $1.*/\1/p"; }
    p=$(n passed)
    f=$(n failed)
    e=$(n error)
    s=$(n skipped)
    say "$1: ${p:-0} passed, $((${f:-0} + ${e:-0})) failed, ${s:-0} skipped"
    passed=$((passed + ${p:-0}))
    skipped=$((skipped + ${s:-0}))
    if [ "${s:-0}" -ne 0 ]; then
        reasons=$(grep '^SKIPPED' "$logs/$1")
        say "$reasons"
        skips="$skips
$(printf '%s\n' "$reasons" | sed "s/^/  $1: /")"
    fi
    if [ -z "$last" ] || [ $((${f:-0} + ${e:-0})) -ne 0 ] || [ "${p:-0}" -eq 0 ]; then
        fail "$1"
        [ $((${f:-0} + ${e:-0})) -eq 0 ] || failed=$((failed + ${f:-0} + ${e:-0} - 1))
        tail -n 300 "$logs/$1"
    fi
}

# run_pytest NAME PATH...: into $logs/NAME
run_pytest() {
    name=$1
    shift
    # shellcheck disable=SC2086 # a list of options
    timeout 900 /usr/bin/python3 -m pytest -p no:cacheprovider -q -rs --tb=short "$@" ${PYTEST_ARGS:-} >"$logs/$name" 2>&1
}

stage_build() {
    build_release
    build_static
    build_asan
    check 'build with clang' build_clang
}

stage_unit() {
    build_release
    build_asan
    unit release
    unit asan
}

# Seeds that nobody chose: the one of a run that failed is in its output.
no_property_fails() {
    TRIMTAB_SEED=$(od -A n -t u4 -N 4 /dev/urandom | tr -d ' ')
    export TRIMTAB_SEED
    timeout 300 "$build/asan/bin/test_properties" && timeout 300 "$build/asan/bin/test_properties_os"
}

stage_proof() {
    need gcc clang-19 llvm-19 libclang-rt-19-dev cmake ninja-build pkg-config libcap-dev libinih-dev libcmocka-dev python3 || {
        fail 'packages for the proof of the tests'
        return
    }
    build_asan
    check 'branches and MC/DC of src/policy and src/config' sh tests/proof/coverage.sh
    check 'properties with a new seed' no_property_fails
}

stage_mutants() {
    need gcc cmake ninja-build pkg-config libcap-dev libinih-dev libcmocka-dev python3 || {
        fail 'packages for the mutants'
        return
    }
    build_asan
    check 'mutants of src/policy' sh tests/proof/mutation.sh
}

# shown WHAT PATTERN COMMAND...: as check, and shows the lines of its output that match, with the figures.
shown() {
    what=$1
    pattern=$2
    shift 2
    if "$@" >"$logs/sim" 2>&1; then
        pass
        say "ok: $what"
        grep -E "$pattern" "$logs/sim"
    else
        fail "$what"
        tail -n 80 "$logs/sim"
    fi
}

stage_sim() {
    build_release
    shown 'promises of the policy core at every step' '^  |seeds of' \
        "$build/release/bin/sim" --seeds "${SIM_SEEDS:-1-100}" --steps "${SIM_STEPS:-10000000}"
    shown 'a day of a fleet' . "$build/release/bin/sim" --fleet "${SIM_PODS:-100000}" --hours 24
}

no_diff() {
    find src include tests examples -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run -Werror
}

no_cppcheck_finding() {
    cppcheck -q --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -D_GNU_SOURCE \
        -D__x86_64__ -D'TRIMTAB_VERSION="0"' -I include -I src -I "$build/release/src/generated" src
}

# Without fortification: its macros would rewrite what src/small defines. One file at a time: after the first,
# clang-tidy 14 takes every va_list for an uninitialised one.
no_tidy_finding() {
    find src -name '*.c' -print0 | sort -z |
        xargs -0 -n 1 -P 2 clang-tidy -quiet -p "$build/release" --extra-arg=-U_FORTIFY_SOURCE
}

no_shell_finding() {
    find .ci/run tests examples -name '*.sh' -print0 -o -path .ci/run -print0 | xargs -0 shellcheck
}

stage_lint() {
    need clang-format clang-tidy cppcheck shellcheck python3 python3-pytest binutils || {
        fail 'packages for the static checks'
        return
    }
    build_release
    build_static
    check 'clang-format' no_diff
    check 'cppcheck' no_cppcheck_finding
    check 'clang-tidy' no_tidy_finding
    check 'shellcheck' no_shell_finding
    run_pytest architecture tests/architecture
    count_pytest architecture
}

stage_e2e() {
    need gcc libc6-dev python3 python3-pytest strace util-linux libcap2-bin gunicorn wrk libjemalloc2 || {
        fail 'packages for the end-to-end tests'
        return
    }
    build_release
    build_static
    # The two binaries at the same time: most of a test is waiting.
    TRIMTAB_BIN=$build/release/bin/trimtab run_pytest e2e-release tests/e2e &
    TRIMTAB_BIN=$build/static/bin/trimtab run_pytest e2e-static tests/e2e
    wait
    count_pytest e2e-release
    count_pytest e2e-static
}

stage_ctl() {
    need python3 python3-pytest util-linux || {
        fail 'packages for the tests of trimtabctl'
        return
    }
    build_release
    build_asan
    TRIMTABCTL_BIN=$build/release/bin/trimtabctl run_pytest ctl-release tests/ctl
    TRIMTABCTL_BIN=$build/asan/bin/trimtabctl run_pytest ctl-asan tests/ctl
    count_pytest ctl-release
    count_pytest ctl-asan
}

stage_agent() {
    need gcc libc6-dev binutils musl-tools python3 python3-pytest libjemalloc2 libtcmalloc-minimal4 libmimalloc2.0 \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static || {
        fail 'packages for the tests of the agent'
        return
    }
    build_release
    run_pytest agent tests/agent
    count_pytest agent
}

# without_services COMMAND...: packages it installs start no daemons (invoke-rc.d(8), policy-rc.d).
without_services() {
    policy=/usr/sbin/policy-rc.d
    made=''
    if [ ! -e "$policy" ]; then
        made=1
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    fi
    "$@"
    result=$?
    [ -z "$made" ] || rm -f "$policy"
    return "$result"
}

stage_servers() {
    need python3 python3-pytest || {
        fail 'packages for the tests with servers'
        return
    }
    build_release
    set -- wrk gunicorn python3-gevent uvicorn python3-uvloop celery python3-redis nodejs puma nginx-light redis-server \
        redis-tools
    # What cannot be installed is missing alone; its tests are skipped and say so.
    if ! without_services need "$@"; then
        for server; do
            without_services need "$server"
        done
    fi
    rm -f "$build/servers.txt"
    run_pytest servers tests/servers
    count_pytest servers
    [ ! -f "$build/servers.txt" ] || cat "$build/servers.txt"
}

stage_incidents() {
    build_release
    shown 'idle memory and verdicts after the incidents' . timeout 300 sh tests/bench/incidents/run.sh --quick
}

stage_docker() {
    need gcc libc6-dev python3 python3-pytest debootstrap docker.io iptables || {
        skip 'docker: its packages cannot be installed'
        return
    }
    build_static
    TRIMTAB_BIN=$build/static/bin/trimtab run_pytest docker tests/docker
    count_pytest docker
}

[ "$(id -u)" -eq 0 ] || {
    say 'tests/run.sh needs root: it installs packages and makes namespaces, users and cgroups'
    exit 1
}
[ $# -gt 0 ] || set -- build unit lint proof mutants sim ctl e2e agent servers incidents docker
begin=$(date +%s)
for stage; do
    case $stage in
    build | unit | lint | proof | mutants | sim | ctl | e2e | agent | servers | incidents | docker) ;;
    *)
        say "unknown stage '$stage'; there are build, unit, lint, proof, mutants, sim, ctl, e2e, agent, servers, incidents and docker"
        exit 1
        ;;
    esac
    say "==== $stage ===="
    stage_begin=$(date +%s)
    "stage_$stage"
    say "---- $stage: $(($(date +%s) - stage_begin)) s"
done
say "---- all: $(($(date +%s) - begin)) s"
[ -z "$skips" ] || say "SKIPPED:$skips"
[ -z "$failures" ] || say "FAILED:$failures"
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
