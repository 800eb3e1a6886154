#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The group of a governed process is removed while it is watched, twice: nothing spins
# (how often its threads went to sleep, by the kernel), and levels still arrive.
set -eu

. tests/pressure/common.sh
need_groups
line=$(in_group 2048 "$B/tests/hostile" groups) || :
row 'its group is removed: wake-ups a second' "$(key removed_s "$line"), $(key again_s "$line") after another" 'under 12' \
    "$(key removed_s "$line") < 12 && $(key again_s "$line") < 12"
row 'its group is removed: WARN' "$(key warn_ms "$line") ms, $(key given_mib "$line") MiB given" '1500 ms' \
    "$(key warn_ms "$line") < 1500 && $(key given_mib "$line") > 0 && $(key calm "$line") == 1"
exit $bad
