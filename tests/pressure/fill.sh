#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Memory is taken at 2 GB/s in a group of 1 GiB without swap, up to what is left once
# a cache of 600 MiB has gone: the governed process survives, the other one dies.
set -eu

. tests/pressure/common.sh
need_groups
times=$(long 3 100) n=0 survived=0 slowest=99999
while [ "$n" -lt "$times" ]; do
    if line=$(in_group 1024 "$time" fill 900000000 629145600 2000000000); then
        survived=$((survived + 1))
        rate=$(key mb_s "$line")
        [ "$rate" -ge "$slowest" ] || slowest=$rate
    fi
    n=$((n + 1))
done
rc=0
in_group 1024 "$time" control 900000000 629145600 2000000000 > /dev/null || rc=$?
row 'fill at 2 GB/s, governed' "$survived of $times survive, $slowest MB/s" 'all' "$survived == $times"
row 'fill at 2 GB/s, control' "status $rc" 'killed' "$rc == 137"
exit $bad
