#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A host that is hard on what it is governed by: no descriptor is left, no address
# space, nothing may be locked, every thread gets a thousand signals a second, children
# by fork(). Levels arrive, actions run, and it becomes calm again, all the same.
set -eu

. tests/pressure/common.sh
while read -r what words; do
    line=$("$B/tests/hostile" "$what" 2> "$tmp/said") || :
    row "WARN, $words" "$(key warn_ms "$line") ms, $(key given_mib "$line") MiB given" '1500 ms' \
        "$(key warn_ms "$line") < 1500 && $(key given_mib "$line") > 0 && $(key calm "$line") == 1 && ${line:+1} && \"$(key child "$line")\" == \"\""
done << END
nofile no descriptor is left
as no address space is left
memlock nothing may be locked
signals 1000 signals a second a thread
fork after three children
END
exit $bad
