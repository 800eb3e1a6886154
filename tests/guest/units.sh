#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck source=/dev/null
#
# The unit tests of the device part, under this kernel and as root.
. /guest/checks.sh

# program PROGRAM [CASE]: one check.
program() {
    [ -x "/tests/$1" ] || return 0
    rc=0
    timed env ${2:+CK_RUN_CASE="$2"} "/tests/$1" >/tmp/test.log 2>&1 </dev/null || rc=$?
    sed -n 's/^skip:/ &/p; /^  took/p' /tmp/test.log
    if [ "$rc" -eq 0 ]; then
        echo "ok $*"
    else
        grep -v '^skip:' /tmp/test.log | tail -n 30
        echo "not ok $*: exit status $rc"
    fi
}

export TMPDIR=/disk CK_TIMEOUT_MULTIPLIER=10
# The rest of this one is over a simulated kernel, and takes minutes here.
program test_measure queue
program test_measure real
for test in /tests/test_*; do
    [ "$test" = /tests/test_measure ] || program "${test##*/}"
done
holds 'kernel log' kernel_is_content
