#!/bin/sh
# A root directory with glibc 2.31, the last before 2.34 that Debian has, to build programs against and to start them
# with: sh tests/agent/old_glibc.sh ROOT
#
# From Debian 11 by apt, with a private list, so that the machine's stays as it is; nothing is installed.
set -eu
root=$1
[ ! -e "$root/lib/x86_64-linux-gnu/ld-2.31.so" ] || exit 0
apt=$root.apt
rm -rf "$apt" "$root"
mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial" "$root"
mirror=$(sed -n 's/^URIs: *\([^ ]*\/debian\)\/* *$/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
cat >"$apt/parts/old.sources" <<END
Types: deb
URIs: ${mirror:-http://deb.debian.org/debian}
Suites: bullseye
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
cd "$apt"
set -- -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts" -o Dir::State::lists="$apt/lists" \
    -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root -o APT::Architecture=amd64 -o APT::Architectures=amd64
apt-get "$@" update
version=$(apt-cache "$@" madison libc6 | sed -n 's/.*| *\(2\.31-[^ ]*\) *|.*/\1/p' | head -n 1)
headers=$(apt-cache "$@" madison linux-libc-dev | sed -n 's/.*| *\(5\.10\.[^ ]*\) *|.*/\1/p' | head -n 1)
gcc=$(apt-cache "$@" madison libgcc-s1 | sed -n 's/.*| *\(10\.[^ ]*\) *|.*/\1/p' | head -n 1)
apt-get "$@" download "libc6=$version" "libc6-dev=$version" "linux-libc-dev=$headers" "libgcc-s1=$gcc"
for package in *.deb; do
    dpkg-deb -x "$package" "$root"
done
# Its links lead to /: to within.
find "$root" -type l -lname '/*' | while read -r link; do
    ln -sfn "$root$(readlink "$link")" "$link"
done
rm -rf "$apt"
