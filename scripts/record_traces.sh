#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Records the pressure traces in configs/traces/ anew: a small model of random
# weights, governed, in a memory cgroup that it shares with a neighbour. Takes six
# minutes; needs the right to make memory cgroups, an engine, a disk to read from
# (stalls are the waiting for pages that were dropped too early), and a machine
# that does nothing else meanwhile.
#
#   scripts/record_traces.sh [NAME]...      all of them without a name
set -eu

B=${B:-build/plain}
export B LC_ALL=C
names='idle squeeze spike sawtooth load churn thrash'

note_of() {
    case $1 in
    idle) echo 'A conversation with nothing beside it: no pressure, and nothing to do.' ;;
    squeeze) echo 'A neighbour grows by 13 MiB a second until little is left, stays, and goes away. Warn by headroom; 15 s after that is over the prompt cache is told to grow again.' ;;
    spike) echo 'A neighbour takes 560 MiB at once and 98 MiB more two seconds later, and both again after half a minute. Critical by headroom twice; the prompt cache grows again between.' ;;
    sawtooth) echo 'A neighbour grows and shrinks every four seconds, six times, is quiet for half a minute, and does it three times more. Warn by headroom, held between the teeth.' ;;
    load) echo 'A model is loaded beside a neighbour that its plan knew nothing of and that goes away after 13 s. Critical by headroom from the start.' ;;
    churn) echo 'A mapped model, and a neighbour that holds 60 MiB and reads a file again and again that does not fit beside it. Warn, later critical, by stalls alone: two fifths of the budget are left, in pages that can be dropped. The kernel empties the prompt cache by itself.' ;;
    thrash) echo 'The same with 90 MiB and hardly a pause: weights are dropped and read again all the time. Critical by stalls alone; the kernel empties the prompt cache by itself.' ;;
    *)
        echo "record_traces: there is no $1; there are $names" >&2
        exit 2
        ;;
    esac
}

limit_of() {
    case $1 in
    spike) echo $((800 * 1024 * 1024)) ;;
    churn | thrash) echo $((200 * 1024 * 1024)) ;;
    *) echo $((400 * 1024 * 1024)) ;;
    esac
}

seconds_of() {
    case $1 in
    idle) echo 20 ;;
    load) echo 45 ;;
    churn | thrash) echo 35 ;;
    squeeze) echo 60 ;;
    *) echo 70 ;;
    esac
}

# A neighbour that holds so many MiB for so many seconds: tail keeps what it has
# not printed yet.
hold() {
    { head -c "$1M" /dev/zero && sleep "$2"; } | tail -c "$1M" > /dev/null &
}

# So many times three steps up by MiB, all the way down, and a second of peace. The
# first time lower, while nothing was given back yet.
teeth() {
    mib=64
    for _ in $(seq "$1"); do
        for n in 3 2 1; do
            hold "$mib" "$n"
            sleep 1
        done
        mib=75
        sleep 1
    done
}

# Reads a file so many times, with a pause after each.
reread() {
    for _ in $(seq "$2"); do
        cat "$1" > /dev/null
        sleep "$3"
    done
}

neighbour() {
    case $1 in
    squeeze)
        sleep 5
        for n in $(seq 23 -1 6); do
            hold 13 "$n"
            sleep 1
        done
        ;;
    spike)
        for _ in 1 2; do
            sleep 6
            hold 560 6
            sleep 2
            hold 98 4
            sleep 32
        done
        ;;
    sawtooth)
        sleep 6
        teeth 6
        sleep 26
        teeth 3
        ;;
    load) hold 245 15 ;;
    churn)
        sleep 6
        hold 60 16
        reread "$2/file" 20 0.7
        ;;
    thrash)
        sleep 6
        hold 90 8
        sleep 1
        reread "$2/file" 60 0.1
        ;;
    esac
}

# A first prompt of 1300 tokens, which the engine keeps; its state takes 50 MiB.
words() {
    for i in $(seq 130); do
        printf 'Once upon a time the little robot %d ' "$i"
    done
}

# What runs in the cgroup.
inside() {
    name=$1 work=$2
    neighbour "$name" "$work" &
    set -- "$work/chat.gguf" --strategy heap
    case $name in
    load)
        sleep 2
        set -- "$@" --budget 330M # more than the neighbour has left
        ;;
    churn | thrash) set -- "$work/mapped.gguf" --strategy mmap ;;
    esac
    rc=0
    timeout -s INT "$(seconds_of "$name")" "$B/bin/gov" run "$@" --ctx 2048 --threads 1 \
        --prompt "$(words)" --tokens 600 --repeat 1000 --ignore-end \
        --record "$work/$name.trace" --note "$(note_of "$name")" > /dev/null || rc=$?
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
"$B/tests/mkmodel" --quiet --preset small --kv-heads 8 --layers 20 --ctx 8192 "$work/chat.gguf"
"$B/tests/mkmodel" --quiet --target-size 100MB --type Q4_0 --ctx 8192 "$work/mapped.gguf"
head -c 150M /dev/urandom > "$work/file"
mkdir -p configs/traces
# shellcheck disable=SC2086 # names without blanks
[ "$#" -gt 0 ] || set -- $names
for name in "$@"; do
    echo "== $name: $(note_of "$name")"
    # Pages are charged to the group that reads them.
    sync "$work"/*
    for file in "$work/mapped.gguf" "$work/file"; do
        dd if="$file" iflag=nocache count=0 2> /dev/null
    done
    rc=0
    "$B/tests/memlimit" "$(limit_of "$name")" sh "$0" --inside "$name" "$work" 2> "$work/err" || rc=$?
    cat "$work/err"
    if [ "$rc" -ne 0 ] || ! grep -q 'oom_kills=0' "$work/err"; then
        echo "record_traces: $name went wrong; nothing is kept of it" >&2
        exit 1
    fi
    "$B/bin/gov" replay "$work/$name.trace" --policy balanced --events
    install -m 644 "$work/$name.trace" "configs/traces/$name.trace"
done
wc -c configs/traces/*.trace
