#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Somebody else thrashes in a group of its own: no level of ours changes, neither
# with a PSI of our own nor where there is only the system's.
set -eu

. tests/pressure/common.sh
need_groups
make_file 400
ms=$(long 10000 3600000)

beside() {
    forget
    "$B/tests/memlimit" --stall 100000000 "$press" scan "$tmp/scan" --for $((ms + 3000)) > "$tmp/scanned" 2> /dev/null &
    started=$!
    sleep 1
    line=$("$@")
    wait "$started" || :
    started=
    rate=$(key mb_s "$(cat "$tmp/scanned")")
}

beside in_group 512 "$time" count "$ms"
row 'a neighbour thrashes, own PSI' "$(key events "$line") events, it read ${rate:-?} MB/s" '0' "$(key events "$line") == 0"
beside "$time" count "$ms"
row "a neighbour thrashes, the system's PSI" "$(key events "$line") events, it read ${rate:-?} MB/s" '0' "$(key events "$line") == 0"
exit $bad
