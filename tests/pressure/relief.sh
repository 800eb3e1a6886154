#!/bin/sh
# SPDX-License-Identifier: MIT
#
# WARN to the first MiB given back, by a level that is simulated: no group needed.
set -eu

. tests/pressure/common.sh
line=$("$time" relief "$(long 30 300)")
row 'WARN to first bytes given back' "p50 $(key p50_ms "$line"), p99 $(key p99_ms "$line") ms, n=$(key n "$line")" 'p99 20 ms' \
    "$(key n "$line") == $(key of "$line") && $(key p99_ms "$line") < 20"
exit $bad
