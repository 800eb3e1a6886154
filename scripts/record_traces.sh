#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Records the pressure traces in configs/traces/ anew: a small model of random
# weights, governed, in a memory cgroup that it shares with a neighbour who takes
# memory and gives it back. Takes three minutes; needs the right to make memory
# cgroups, an engine, and a machine that does nothing else meanwhile.
#
#   scripts/record_traces.sh [NAME]...      all of them without a name
set -eu

B=${B:-build/plain}
export B LC_ALL=C
limit=$((520 * 1024 * 1024))
prompt='Once upon a time the little robot'
names='idle squeeze spike sawtooth load'

note_of() {
    case $1 in
    idle) echo 'a conversation with nothing beside it' ;;
    squeeze) echo 'a neighbour grows slowly until little is left, stays, and goes away' ;;
    spike) echo 'a neighbour takes much memory at once, for five seconds, twice' ;;
    sawtooth) echo 'a neighbour grows and shrinks, again and again' ;;
    load) echo 'a model is loaded beside a neighbour that its plan knew nothing of' ;;
    *)
        echo "record_traces: there is no $1; there are $names" >&2
        exit 2
        ;;
    esac
}

# A neighbour that holds so many MiB for so many seconds: tail keeps what it has
# not printed yet.
hold() {
    { head -c "$1M" /dev/zero && sleep "$2"; } | tail -c "$1M" > /dev/null &
}

neighbour() {
    case $1 in
    squeeze)
        sleep 4
        for n in 22 21 20 19 18 17 16 15 14 13; do
            hold 22 "$n"
            sleep 1
        done
        ;;
    spike)
        sleep 5
        hold 255 5
        sleep 15
        hold 255 5
        ;;
    sawtooth)
        sleep 3
        for _ in 1 2 3 4 5; do
            hold 90 6
            sleep 1
            hold 80 5
            sleep 1
            hold 70 4
            sleep 6
        done
        ;;
    load) hold 252 15 ;;
    esac
}

# What runs in the cgroup.
inside() {
    out=$1 name=$2 model=$3 seconds=40
    [ "$name" != idle ] || seconds=20
    [ "$name" != load ] || seconds=25
    neighbour "$name" &
    set --
    if [ "$name" = load ]; then
        sleep 2
        set -- --budget 330M # more than the neighbour has left
    fi
    rc=0
    timeout -s INT "$seconds" "$B/bin/gov" run "$model" --ctx 8192 --strategy heap --threads 1 \
        --prompt "$prompt" --tokens 8000 --ignore-end \
        "$@" --record "$out" --note "$(note_of "$name")" > /dev/null || rc=$?
    [ "$rc" -eq 124 ] || {
        echo "record_traces: gov run ended by itself, with status $rc" >&2
        exit 1
    }
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
    exit
fi

for name in "$@"; do
    note_of "$name" > /dev/null
done
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-traces.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
"$B/tests/mkmodel" --quiet --target-size 100MB --type Q4_0 --ctx 8192 "$work/m.gguf"
mkdir -p configs/traces
# shellcheck disable=SC2086 # names without blanks
[ "$#" -gt 0 ] || set -- $names
for name in "$@"; do
    echo "== $name: $(note_of "$name")"
    rm -f "$work/$name.trace"
    "$B/tests/memlimit" "$limit" sh "$0" --inside "$work/$name.trace" "$name" "$work/m.gguf"
    "$B/bin/gov" replay "$work/$name.trace" --policy balanced --events
    install -m 644 "$work/$name.trace" "configs/traces/$name.trace"
done
wc -c configs/traces/*.trace
