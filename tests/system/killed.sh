#!/bin/sh
# SPDX-License-Identifier: MIT
#
# gov run, killed outright at random points of a load, a prompt and a generation,
# in every form that weights have: no file, no cgroup, no shared memory and no
# process stays, but what the next start sweeps, and that one works.
#
#   GOV_LONG=1 kills a thousand times; KILLS=N so often; SEED=N at those points.
set -eu
. tests/support/cgroups.sh

B=${B:-build/plain}
usual=40
[ -z "${SAN:-}" ] || usual=12
[ -z "${GOV_LONG:-}" ] || usual=1000
kills=${KILLS:-$usual}
seed=${SEED:-$$}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-killed.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2> /dev/null || :; wait; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
mkdir "$tmp/run" "$tmp/home" "$tmp/models"
chmod 700 "$tmp/run"
HOME=$tmp/home XDG_RUNTIME_DIR=$tmp/run TMPDIR=$tmp/home
export HOME XDG_RUNTIME_DIR TMPDIR
unset XDG_CONFIG_HOME XDG_CACHE_HOME || :
model=$tmp/models/m.gguf
"$B/tests/mkmodel" --quiet --preset small "$model"
# Past the page cache, with reads under way that the kernel ends for a dead process.
printf 'version: 1\nrules:\n  - name: direct\n    then: { strategy: hybrid, anchor: true, direct: true }\n    because: it is a test\n' > "$tmp/direct.yaml"
printf 'version: 1\nrules:\n  - name: plain\n    then: { strategy: heap, repack: false }\n    because: it is a test\n' > "$tmp/plain.yaml"
"$B/bin/gov" plan "$model" --ctx 512 --budget 42M --policy "$tmp/direct.yaml" --json | grep -q '"direct": *true'

run() {
    # shellcheck disable=SC2086 # words
    "$@" run "$model" --prompt 'Once upon a time' --tokens 100 --ctx 512 --ignore-end $form
}

# Within a memory cgroup where one can be made: then that is killed instead, and
# takes gov along.
group=
before=$(dead_groups)
if [ -n "${SAN:-}" ]; then
    echo 'skip: killed: not in a memory cgroup: a sanitizer needs more memory than the limit'
elif "$B/tests/memlimit" 300000000 true 2> /dev/null; then
    group="$B/tests/memlimit 300000000"
else
    echo 'skip: killed: no memory cgroup can be made here'
fi

# What the next start does not sweep; with a pattern, all that is not of that name.
left() {
    find "$tmp/run" "$tmp/home" ! -type d ! -name "${1:-[0-9]*.page}" ! -name "${1:-[0-9]*.ctl}"
    find /dev/shm -maxdepth 1 -type f -name '*gov*' -newer "$tmp/models" 2> /dev/null || :
    [ ! -r /proc/sysvipc/shm ] || awk -v pid="$pid" '$5 == pid { print "shared memory " $2 }' /proc/sysvipc/shm
}

form='--strategy hybrid --budget 40M'
start=$(date +%s%N)
want=$(run "$B/bin/gov" 2> "$tmp/err")
took=$((($(date +%s%N) - start) / 1000000))
[ "$took" -lt 1500 ] || took=1500 # a busy machine: earlier points, not fewer
n=0 killed=0
while [ "$n" -lt "$kills" ]; do
    case $((n % 7)) in
    0) form='--strategy hybrid --budget 40M' ;;
    1) form='--strategy hybrid --budget 30M --simulate warn@0s,critical@50ms,normal@100ms' ;;
    2) form='--strategy mmap' ;;
    3) form='--strategy heap' ;;
    4) form='--json' ;;
    5) form="--budget 42M --policy $tmp/direct.yaml" ;;
    6) form="--policy $tmp/plain.yaml" ;;
    esac
    in=
    [ $((n % 2)) -eq 0 ] || in=$group
    # exec, so that the process that is killed is not a shell that waits for it.
    # shellcheck disable=SC2086 # words
    (run exec $in "$B/bin/gov" > "$tmp/out" 2> "$tmp/err") &
    pid=$!
    sleep "$(awk -v seed="$((seed + n))" -v most="$took" 'BEGIN { srand(seed); printf "%.3f", rand() * most / 1000 }')"
    if kill -9 "$pid" 2> /dev/null; then
        killed=$((killed + 1))
    fi
    wait "$pid" 2> /dev/null || :
    found=$(left)
    if [ -n "$found" ]; then
        printf 'kill %d of seed %d (%s) left:\n%s\n' "$n" "$seed" "$form" "$found"
        exit 1
    fi
    n=$((n + 1))
done
pid=
[ "$killed" -gt $((kills / 3)) ] || {
    echo "only $killed of $kills runs were still there to be killed"
    exit 1
}

# The next start sweeps and works.
form='--strategy hybrid --budget 40M'
got=$(run "$B/bin/gov" 2> "$tmp/err")
[ "$got" = "$want" ] || {
    printf 'afterwards the text differs:\n%s\n%s\n' "$want" "$got"
    exit 1
}
# Whom nobody has waited for yet is still there: init's children may take a moment.
n=0
while "$B/bin/govtop" --once > "$tmp/out" && [ -n "$(left none)" ] && [ "$n" -lt 50 ]; do
    n=$((n + 1))
    sleep 0.1
done
if [ -n "$group" ]; then
    "$B/tests/memlimit" 300000000 true 2> /dev/null
    no_group_left "$before"
fi
found=$(left none)
[ -z "$found" ] || {
    printf 'the next start left:\n%s\n' "$found"
    ls -l "$tmp/run/governor"
    exit 1
}
echo "$killed of $kills runs were killed, at 0 to $took ms; the points are those of SEED=$seed"
# No process of those that were started runs on.
for proc in /proc/[0-9]*; do
    line=$({ tr '\0' ' ' < "$proc/cmdline"; } 2> /dev/null) || :
    case $line in
    *"$model"*)
        echo "still running: $line"
        exit 1
        ;;
    esac
done
