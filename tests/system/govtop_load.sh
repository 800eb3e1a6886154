#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What govtop costs with fifty governed processes, twice a second on a terminal of
# 200x50: under 1 % of a core and under 10 MiB. By the processor time that it has
# used, so that what else the machine does counts for little; it still takes the
# caches away, so the best of three counts.
#
#   SECONDS_LONG=N measures for so long instead of 10; GOV_LONG=1 for a minute.
set -eu

B=${B:-build/plain}
if [ -n "${SAN:-}" ]; then
    echo 'a sanitizer takes time and memory of its own'
    exit 77
fi
[ -x "$B/tests/crowd" ] || {
    echo 'this system does not tell what another process has used'
    exit 77
}
usual=10
[ -z "${GOV_LONG:-}" ] || usual=60
seconds=${SECONDS_LONG:-$usual}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-load.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
mkdir -m 700 "$tmp/pages"
unset NO_COLOR LINES COLUMNS || :

# One measurement, to $tmp/out; succeeds when it is within the limits.
measure() {
    HOME=$tmp "$B/tests/crowd" 50 "$tmp/pages" "$seconds" "$B/bin/govtop" --delay 0.5 --directory "$tmp/pages" > "$tmp/out" 2> "$tmp/err" || {
        echo 'it did not run:'
        cat "$tmp/err"
        exit 1
    }
    awk '{
        printf "50 governed processes: %.2f %% of a core, %.1f MiB\n", 100 * $1 / $2, $3 / 1024
        exit !($1 > 0 && $1 / $2 < 0.01 && $3 < 10240)
    }' "$tmp/out"
}

measure || measure || measure || {
    echo 'that is more than 1 % of a core, or than 10 MiB, or nothing at all'
    exit 1
}
