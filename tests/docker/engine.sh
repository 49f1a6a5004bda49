#!/bin/sh
# A Docker engine of our own, which touches no other: engine.sh up DIR | engine.sh down DIR
#
# `up` starts dockerd with all that it writes below DIR and no network, waits until it answers, and prints the
# address for DOCKER_HOST. `down` removes its containers and ends it, by its pid file, and takes away what it leaves.
# DIR must be short: a socket's path has at most 107 bytes.
set -u

[ $# -eq 2 ] || {
    echo "usage: engine.sh up|down DIR" >&2
    exit 1
}
action=$1
mkdir -p "$2" || exit 1
directory=$(cd "$2" && pwd) || exit 1
DOCKER_HOST=unix://$directory/socket
export DOCKER_HOST

# wait_for SECONDS COMMAND...
wait_for() {
    tries=$(($1 * 10))
    shift
    while [ "$tries" -gt 0 ]; do
        "$@" && return 0
        tries=$((tries - 1))
        sleep 0.1
    done
    return 1
}

answers() { docker info >/dev/null 2>&1; }

ended() { [ ! -d "/proc/$pid" ]; }

up() {
    setsid dockerd --host "$DOCKER_HOST" --data-root "$directory/data" --exec-root "$directory/exec" \
        --pidfile "$directory/pid" --bridge=none --iptables=false --ip6tables=false \
        >"$directory/log" 2>&1 </dev/null &
    if wait_for 30 answers; then
        echo "$DOCKER_HOST"
        return 0
    fi
    tail -n 5 "$directory/log" >&2
    down
    return 1
}

down() {
    [ -f "$directory/pid" ] || return 0
    pid=$(cat "$directory/pid")
    docker ps -aq 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1
    kill "$pid" 2>/dev/null
    wait_for 20 ended || kill -9 "$pid"
    umount "$directory/exec/netns/default" 2>/dev/null
    # Empty groups stay behind; those of another engine are not empty and stay.
    for group in /sys/fs/cgroup/*/docker /sys/fs/cgroup/docker; do
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
    done
    rm -f "$directory/pid"
}

case $action in
up | down) "$action" ;;
*) exit 1 ;;
esac
