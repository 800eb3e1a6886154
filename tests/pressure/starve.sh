#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Somebody reads the system's pressure file a hundred times a second, which starves
# triggers on it: WARN comes all the same.
set -eu

. tests/pressure/common.sh
need_groups
make_file 400
cat > "$tmp/inside" << END
file=\$(sed -n 's|^0::|/sys/fs/cgroup/unified|p' /proc/self/cgroup)/memory.pressure
[ -r "\$file" ] || file=\$(sed -n 's|^0::|/sys/fs/cgroup|p' /proc/self/cgroup)/memory.pressure
(while read -r _ < "\$file"; do sleep 0.01; done) 2> /dev/null &
reader=\$!
"$time" onset "$tmp/scan" $(long 2 20) 0
kill \$reader
END
line=$(in_group 200 sh "$tmp/inside")
row 'stall to WARN beside a 100 Hz reader' "max $(key max_ms "$line") ms, n=$(key n "$line")" '1500 ms' \
    "$(key n "$line") == $(key of "$line") && $(key max_ms "$line") < 1500"
exit $bad
