#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Stall onset to WARN delivered, without privileges of its own: from the alert state,
# where 15 % of the budget are left, and from idle. Two scanners of a file that does
# not fit stall in the group of the governed process.
set -eu

. tests/pressure/common.sh
need_groups
make_file 400
times=$(long 5 100)

line=$(in_group 1024 "$time" onset "$tmp/scan" "$times" 1)
row 'stall to WARN, from alert' "p50 $(key p50_ms "$line"), p99 $(key p99_ms "$line") ms, $(key n "$line") of $times" '250, 600 ms' \
    "$(key n "$line") == $times && $(key p50_ms "$line") < 250 && $(key p99_ms "$line") < 600"
forget
line=$(in_group 200 "$time" onset "$tmp/scan" "$times" 0)
row 'stall to WARN, from idle' "p50 $(key p50_ms "$line"), p99 $(key p99_ms "$line") ms, $(key n "$line") of $times" 'p99 1500 ms' \
    "$(key n "$line") == $times && $(key p99_ms "$line") < 1500"
exit $bad
