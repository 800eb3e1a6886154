#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Relief races generation: as often as the shipped rests allow in an hour (720 times
# each action, with GOV_LONG=1), and every logit has the bits of llama.cpp alone.
# `make check-tsan` runs the same program, shorter, under ThreadSanitizer.
set -eu

. tests/pressure/common.sh
program=$B/tests/test_llama_race
[ -x "$program" ] || {
    echo 'there is no engine here (make engine)'
    exit 77
}
GOVERNOR_ENGINE_DIR=${GOVERNOR_ENGINE_DIR:-$B/lib/governor}
GOV_RACE=$(long 40 720)
export GOVERNOR_ENGINE_DIR GOV_RACE
rc=0
"$program" > "$tmp/race" 2>&1 || rc=$?
for way in mapped streamed anchored; do
    line=$(grep "^race way=$way " "$tmp/race" || :)
    row "relief races generation, $way" "$(key cycles "$line") times each, $(key tokens "$line") tokens" \
        "$GOV_RACE, no bit differs" "$(key cycles "$line") >= $GOV_RACE && $(key wrong "$line") == 0"
done
[ "$rc" -eq 0 ] || {
    grep -v '^race ' "$tmp/race" | tail -n 5
    bad=1
}
exit $bad
