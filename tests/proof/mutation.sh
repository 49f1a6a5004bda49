#!/bin/sh
# Whether the tests notice every small change of src/policy: sh tests/proof/mutation.sh [FILE...]
#
# Without a file: all of src/policy. Prints how many mutants were killed, by file and kind. Fails when one survives
# that is not in survivors.list, and when an entry there matches nothing. Needs gcc, clang-19 and libcmocka-dev.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 "$here/mutate.py" "$@"
