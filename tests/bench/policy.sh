#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What reading and deciding by a policy takes. Goes to build/bench/policy.md.
set -eu

B=${B:-build/plain}
mkdir -p build/bench
"$B/tests/policy_time" > build/bench/policy.md || {
    cat build/bench/policy.md
    echo 'bench: a decision takes longer than promised' >&2
    exit 1
}
cat build/bench/policy.md
