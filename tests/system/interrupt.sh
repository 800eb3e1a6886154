#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Ctrl-C (and TERM) at many points of a run leaves no process, file, page or
# cgroup, and ends by that signal.
set -eu
. tests/support/cgroups.sh

B=${B:-build/plain}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-interrupt.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM HUP
mkdir "$tmp/run" "$tmp/home" "$tmp/models"
chmod 700 "$tmp/run"
HOME=$tmp/home XDG_RUNTIME_DIR=$tmp/run TMPDIR=$tmp/home
export HOME XDG_RUNTIME_DIR TMPDIR
unset XDG_CONFIG_HOME XDG_CACHE_HOME || :
"$B/tests/mkmodel" --quiet --preset small "$tmp/models/m.gguf"

# Runs a command in a shell that reports the status; a background child of a
# script ignores SIGINT, so a fresh interactive-like shell resets it.
stopped_by() {
    signal=$1 delay=$2 want=$3
    shift 3
    rc=0
    timeout --preserve-status -k 20 -s "$signal" "$delay" "$@" > "$tmp/out" 2> "$tmp/err" || rc=$?
    if [ "$rc" -ne "$want" ] && [ "$rc" -ne 0 ]; then
        echo "$* stopped by $signal after $delay s ended with $rc, not $want"
        cat "$tmp/err"
        exit 1
    fi
    left=$(find "$tmp/run" "$tmp/home" -type f ! -name device.json ! -name x.gguf)
    [ -z "$left" ] || {
        echo "$* stopped by $signal after $delay s left: $left"
        exit 1
    }
}

for delay in 0.02 0.1 0.3 0.7 1.5; do
    stopped_by INT "$delay" 130 "$B/bin/gov" profile --models "$tmp/home"
    stopped_by TERM "$delay" 143 "$B/bin/gov" run "$tmp/models/m.gguf" -p 'Once upon a time' -n 100000 --ignore-end --ctx 4096 --repeat 1000
    stopped_by INT "$delay" 130 "$B/bin/gov" run "$tmp/models/m.gguf" -p 'Once upon a time' -n 100000 --ignore-end --repeat 1000 --strategy hybrid --simulate warn@0s,critical@10ms,normal@20ms
    stopped_by INT "$delay" 130 "$B/tests/mkmodel" --quiet --preset 350m "$tmp/home/x.gguf"
    rm -f "$tmp/home/x.gguf"
done

# A run that is killed outright leaves its page; the next reader removes it.
"$B/bin/gov" run "$tmp/models/m.gguf" -p 'Once' -n 100000 --ignore-end --repeat 1000 > /dev/null 2>&1 &
pid=$!
for _ in $(seq 100); do
    [ -f "$tmp/run/governor/$pid.page" ] && break
    sleep 0.05
done
kill -9 "$pid"
wait "$pid" 2> /dev/null || :
"$B/bin/govtop" --once > "$tmp/out"
if [ -e "$tmp/run/governor/$pid.page" ]; then
    echo 'the page of a dead process is still there'
    exit 1
fi

# A cgroup goes with the command that was stopped in it.
before=$(dead_groups)
if "$B/tests/memlimit" 300000000 true 2> /dev/null; then
    stopped_by INT 0.5 130 "$B/tests/memlimit" 300000000 "$B/bin/gov" run "$tmp/models/m.gguf" -p 'Once' -n 100000 --ignore-end --repeat 1000
    no_group_left "$before"
else
    echo 'skip: interrupt: no memory cgroup can be made here'
fi
