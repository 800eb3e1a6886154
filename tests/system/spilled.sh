#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Processes that store states, two at a time in one directory, killed outright at
# random points: every state that was acknowledged is there, whole, the last one or
# one that was begun after it; what was being written is swept, and what the other
# one is writing is not.
#
#   GOV_LONG=1 kills a thousand times; KILLS=N so often; SEED=N at those points.
set -eu

B=${B:-build/plain}
usual=40
[ -z "${GOV_LONG:-}" ] || usual=1000
kills=${KILLS:-$usual}
seed=${SEED:-$$}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-spilled.XXXXXX")
pid0='' pid1=''
trap 'for pid in $pid0 $pid1; do kill -9 "$pid" 2> /dev/null || :; done; wait; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
umask 077

start() {
    "$B/tests/spiller" write "$tmp/states" "$tmp/log.$1" "w$1" "$((n * 100000 + 1))" 2> "$tmp/err.$1" &
    eval "pid$1=\$!"
}

# Milliseconds from 0 to 60: a state takes a few.
pause() {
    sleep "$(awk -v seed="$((seed + n))" 'BEGIN { srand(seed); printf "%.3f", rand() * 0.06 }')"
}

n=0
start 0
start 1
while [ "$n" -lt "$kills" ]; do
    n=$((n + 1))
    which=$((n % 2))
    eval "pid=\$pid$which"
    pause
    kill -9 "$pid" 2> /dev/null || {
        echo "kill $n of seed $seed: it had ended"
        cat "$tmp/err.$which"
        exit 1
    }
    wait "$pid" 2> /dev/null || :
    "$B/tests/spiller" check "$tmp/states" "$tmp/log.$which" 1 || {
        echo "kill $n of seed $seed"
        tail -n 20 "$tmp/log.$which"
        ls -l "$tmp/states"
        exit 1
    }
    start "$which"
done
for pid in $pid0 $pid1; do
    kill -9 "$pid"
    wait "$pid" 2> /dev/null || :
done
pid0='' pid1=''
"$B/tests/spiller" check "$tmp/states" "$tmp/log.0" 0
"$B/tests/spiller" check "$tmp/states" "$tmp/log.1" 0
done=$(cat "$tmp"/log.? | grep -c '^d' || :)
[ "$done" -ge "$kills" ] || {
    echo "only $done states were stored in $kills lives"
    exit 1
}
echo "$kills kills, $done states stored or removed; the points are those of SEED=$seed"
