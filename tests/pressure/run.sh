#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Measures how pressure is answered and holds it against the goals: one row each.
# Five minutes; GOV_LONG=1 takes hours. Names of scripts run only those. V=1 shows what
# some of them add up.
set -eu

B=${B:-build/plain}
export B
rc=0
out=$(mktemp "${TMPDIR:-/tmp}/governor-pressure.XXXXXX")
trap 'rm -f "$out"' EXIT
printf '%-44s %-34s %-22s %s\n' what measured goal ''
[ $# -gt 0 ] || set -- alert thrash relief fill yield race idle neighbour sawtooth regrow starve removed host
for name; do
    status=0
    "tests/pressure/$name.sh" > "$out" 2>&1 < /dev/null || status=$?
    case $status in
    0 | 1) cat "$out" ;;
    77) printf '%-44s skipped: %s\n' "$name" "$(tail -n 1 "$out")" ;;
    *)
        printf '%-44s failed with %s\n' "$name" "$status"
        cat "$out"
        ;;
    esac
    [ "$status" -eq 0 ] || [ "$status" -eq 77 ] || rc=1
done
exit $rc
