#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What being governed costs where nothing happens, and that nothing is told then.
set -eu

. tests/pressure/common.sh
line=$("$time" idle "$(long 10000 3600000)")
row 'idle: wake-ups a second' "$(key wakeups_s "$line")" 'under 2' "$(key wakeups_s "$line") < 2"
row 'idle: share of a core' "$(key core_percent "$line") %" 'under 0.1 %' "$(key core_percent "$line") < 0.1"
row 'idle: private memory' "$(key private_kib "$line") KiB" 'under 3072 KiB' "$(key private_kib "$line") < 3072"
row 'idle: events' "$(key events "$line")" '0' "$(key events "$line") == 0"
exit $bad
