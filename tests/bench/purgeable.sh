#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What holding a purgeable block and letting it go take. Goes to
# build/bench/purgeable.md.
set -eu

B=${B:-build/plain}
mkdir -p build/bench
"$B/tests/pin_time" --check > build/bench/purgeable.md || {
    cat build/bench/purgeable.md
    echo 'bench: holding a block takes longer than promised' >&2
    exit 1
}
cat build/bench/purgeable.md
