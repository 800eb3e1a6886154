#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Memory is taken at 2 GB/s in a group of 1 GiB without swap, up to what is left once
# 600 MiB that can go have gone: the governed process survives, whether what can go is
# a cache or memory of the app's that a relief action gives back; the other one dies.
# The times are from when headroom was short: to WARN, and from there to enough.
set -eu

. tests/pressure/common.sh
need_groups
times=$(long 5 100)

# fill HOLDS: its row.
fill() {
    n=0
    : > "$tmp/fills"
    while [ "$n" -lt "$times" ]; do
        in_group 1024 "$B/tests/fill_time" "$1" 900000000 629145600 2000000000 >> "$tmp/fills" || :
        n=$((n + 1))
    done
    [ -z "${V:-}" ] || sed "s/^/  $1: /" "$tmp/fills"
    survived=$(grep -c '^survived=1' "$tmp/fills" || :)
    line=$(awk '
        {
            for (i = 1; i <= NF; i++) { split($i, part, "="); v[part[1]] = part[2] }
            if (v["survived"] != 1) next
            if (n++ == 0 || v["mb_s"] < slowest) slowest = v["mb_s"]
            if (v["warn_ms"] == "-" || v["below_ms"] == "-") next
            t = v["warn_ms"] - v["below_ms"]
            if (t > warn) warn = t
            if (v["enough_ms"] != "-" && v["enough_ms"] - v["warn_ms"] > enough)
                enough = v["enough_ms"] - v["warn_ms"]
        }
        END { printf "rate=%d warn=%.0f enough=%.0f", slowest, warn, enough }' "$tmp/fills")
    row "fill at 2 GB/s, $2" "$survived of $times survive, $(key rate "$line") MB/s" 'all' "$survived == $times"
    note "  its slowest times" "$(key warn "$line") ms to WARN, $(key enough "$line") more to enough"
}

fill cache 'a cache'
fill action 'an action'
rc=0
in_group 1024 "$B/tests/fill_time" none 900000000 629145600 2000000000 > /dev/null || rc=$?
row 'fill at 2 GB/s, control' "status $rc" 'killed' "$rc == 137"
exit $bad
