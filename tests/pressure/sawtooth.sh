#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Headroom goes from all to 2 % and back once a second. Levels rise at once and fall
# after a time of calm, so there is one change for the rise and no more than one a
# rest of 5 s; an action runs once a rest.
set -eu

. tests/pressure/common.sh
ms=$(long 10000 300000)
line=$("$time" saw 200000000 "$ms")
most=$((2 + ms / 5000))
row 'a 1 Hz sawtooth: changes of level' "$(key events "$line") in $((ms / 1000)) s" "at most $most" "$(key events "$line") <= $most"
row 'a 1 Hz sawtooth: actions run' "$(key reliefs "$line") in $((ms / 1000)) s" "at most $((2 * most))" "$(key reliefs "$line") <= $((2 * most))"
exit $bad
