#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Weights that thrash: the governed process itself reads a file over and over that
# does not fit its group. WARN within a second.
set -eu

. tests/pressure/common.sh
need_groups
make_file 400
times=$(long 3 30) n=0 late=0 worst=0
while [ "$n" -lt "$times" ]; do
    forget
    line=$(in_group 200 "$time" thrash "$tmp/scan")
    ms=$(key max_ms "$line")
    [ -n "$ms" ] || ms=99999 late=$((late + 1))
    worst=$(awk "BEGIN { print ($ms > $worst) ? $ms : $worst }")
    n=$((n + 1))
done
row 'weights thrash to WARN' "worst $worst ms of $times" '1000 ms' "$late == 0 && $worst < 1000"
exit $bad
