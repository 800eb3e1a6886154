# shellcheck shell=sh disable=SC2034
# SPDX-License-Identifier: MIT
#
# What the scripts of this folder share: groups, a file to scan, and rows of the
# table. A script prints `row`s and exits 0 when each goal is met, 1 when one is not,
# 77 with a sentence when there is nothing to measure here.

B=${B:-build/plain}
time=$B/tests/pressure_time
press=$B/tests/press
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-pressure.XXXXXX")
HOME=$tmp XDG_RUNTIME_DIR=$tmp
export HOME XDG_RUNTIME_DIR
bad=0 started=
# shellcheck disable=SC2154 # rc is set by the trap itself
trap 'rc=$?; for p in $started; do kill "$p" 2> /dev/null || :; done; wait; rm -rf "$tmp"; exit $rc' EXIT
trap 'exit 1' INT TERM HUP

# long A B: A usually, B with GOV_LONG=1.
long() {
    if [ -n "${GOV_LONG:-}" ]; then echo "$2"; else echo "$1"; fi
}

# In a memory group of so many MiB with a PSI of its own: `in_group MIB COMMAND`.
in_group() {
    mib=$1
    shift
    "$B/tests/memlimit" --stall $((mib * 1048576)) "$@" 2> "$tmp/memlimit"
}

need_groups() {
    in_group 64 true && return
    sed 's/^memlimit: //' "$tmp/memlimit"
    exit 77
}

# A file of so many MiB that nobody has read yet: whose group it is in shows then.
make_file() {
    head -c $(($1 * 1048576)) /dev/zero > "$tmp/scan"
    forget
}

forget() {
    sync "$tmp/scan"
    dd if="$tmp/scan" iflag=nocache count=0 2> /dev/null
}

# key NAME LINE: the value of NAME=value.
key() {
    printf '%s\n' "$2" | tr ' ' '\n' | sed -n "s/^$1=//p"
}

# row WHAT FIGURE GOAL CONDITION: the condition is awk's.
row() {
    verdict=met
    [ "$(awk "BEGIN { print ($4) ? 1 : 0 }" 2> /dev/null || echo 0)" = 1 ] || {
        verdict='NOT MET'
        bad=1
    }
    printf '%-44s %-34s %-22s %s\n' "$1" "$2" "$3" "$verdict"
}

# note WHAT FIGURE: a figure that has no goal.
note() {
    printf '%-44s %s\n' "$1" "$2"
}
