#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Bandwidth as `gov profile` measures it against fio (where there is none, dd) in
# the same directory, by the same pattern, on a file of the same size, in turn:
# first gov, then each pattern PASSES times, and so on for ROUNDS. Medians and
# their ratio go to build/bench/device.md. Storage that others use is noisy: the
# range is printed beside each median, and a path whose own range is wider than
# the 15 % says so.
#
#   ROUNDS=3 PASSES=5 DIR=/var/tmp tests/bench/device.sh
set -eu

B=${B:-build/plain}
ROUNDS=${ROUNDS:-3}
PASSES=${PASSES:-5}
DIR=${DIR:-/var/tmp}
export LC_ALL=C
mkdir -p build/bench
work=$(mktemp -d "$DIR/governor-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM HUP
file=$work/file
out=build/bench/device.md

# One line a path: gov's name, and fio's way to do the same. gov reads for half a
# second at most (random: a quarter, 4096 reads), and gives the kernel no advice.
paths='
read.readahead  --rw=read --bs=1M --direct=0 --ioengine=psync --runtime=500ms
read.direct     --rw=read --bs=1M --direct=1 --ioengine=psync --runtime=500ms
read.io_uring   --rw=read --bs=1M --direct=1 --ioengine=io_uring --iodepth=8 --runtime=500ms
read.random     --rw=randread --bs=16k --direct=1 --ioengine=psync --randrepeat=0 --norandommap=1 --number_ios=4096 --runtime=250ms
'

die() {
    printf 'device.sh: %s\n' "$1" >&2
    exit 1
}

# median_of PROFILE PATH: bytes a second; "" when gov could not measure it.
median_of() {
    awk -v path="\"$2\":" '
        $1 == path { here = 1 }
        here && $1 == "\"median\":" { gsub(/[^0-9]/, "", $2); print $2; exit }
        here && $1 == "}," { exit }' "$1"
}

# A virtual machine gives memory that was idle for seconds back to its host, and
# its next use costs several times the read. gov's passes follow each other at
# once; so does this pass, whose page cache is dropped but still the guest's.
take_memory() {
    case $1 in
    *--direct=0*)
        dd if="$file" of=/dev/null bs=1M 2> /dev/null
        dd if="$file" iflag=nocache count=0 2> /dev/null
        ;;
    esac
}

with_fio() {
    take_memory "$1"
    # shellcheck disable=SC2086 # the options of one path are words
    fio --name=bench --filename="$file" --size="$bytes" --invalidate=1 --fadvise_hint=0 --allow_file_create=0 \
        --minimal --terse-version=3 $1 | awk -F';' '{ if ($5 == 0 && $7 > 0) printf "%.0f\n", $7 * 1024 }'
}

# Only what dd can do: one read at a time, in order.
with_dd() {
    case $1 in
    *--iodepth* | *randread*) return 0 ;;
    *--direct=1*) flag=iflag=direct ;;
    *)
        flag=iflag=fullblock
        take_memory "$1"
        ;;
    esac
    dd if="$file" of=/dev/null bs=1M "$flag" 2>&1 |
        awk '/copied/ { for (i = 2; i <= NF; i++) if ($i == "s,") printf "%.0f\n", $1 / $(i - 1) }'
}

# Prints "median low high" in MB/s, and nothing where there are no samples.
summary() {
    [ -s "$1" ] || return 0
    sort -n "$1" | awk '{ a[NR] = $1 / 1e6 }
        END { printf "%.0f %.0f %.0f\n", NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2, a[1], a[NR] }'
}

# As large as the scratch file of gov profile, which is a quarter of the free
# space at most and 1 GiB.
bytes=$(df -Pk "$work" | awk 'NR == 2 { b = int($4 / 4096); print (b < 1024 ? b : 1024) * 1048576 }')
if command -v fio > /dev/null 2>&1; then
    tool='fio'
    fio --name=bench --filename="$file" --size="$bytes" --rw=write --bs=1M --ioengine=psync --refill_buffers=1 \
        --buffer_compress_percentage=0 --end_fsync=1 --minimal > /dev/null || die "fio cannot write $file"
else
    tool='dd'
    dd if=/dev/urandom of="$file" bs=1M count=$((bytes / 1048576)) conv=fsync 2> /dev/null || die "dd cannot write $file"
fi

round=1
while [ "$round" -le "$ROUNDS" ]; do
    printf '\rdevice: round %d of %d' "$round" "$ROUNDS" >&2
    "$B/bin/gov" profile --full --json --no-save --models "$work" > "$work/profile" 2> "$work/err" ||
        die "gov profile failed: $(cat "$work/err")"
    printf '%s\n' "$paths" | while read -r path options; do
        [ -n "$path" ] || continue
        median_of "$work/profile" "$path" >> "$work/gov.$path"
    done
    pass=0
    while [ "$pass" -lt "$PASSES" ]; do
        printf '%s\n' "$paths" | while read -r path options; do
            [ -n "$path" ] || continue
            "with_$tool" "$options" < /dev/null >> "$work/$tool.$path" 2> "$work/err" || die "$tool: $(cat "$work/err")"
        done
        pass=$((pass + 1))
    done
    round=$((round + 1))
done
echo >&2

{
    printf '| path | gov profile, MB/s | %s, MB/s | ratio | within 15 %% |\n|---|---|---|---|---|\n' "$tool"
    printf '%s\n' "$paths" | while read -r path options; do
        [ -n "$path" ] || continue
        ours=$(summary "$work/gov.$path") theirs=$(summary "$work/$tool.$path")
        if [ -z "$ours" ] || [ -z "$theirs" ]; then
            [ -z "$ours" ] && why='gov could not measure it' || why="$tool does not do it here"
            printf '| %s | %s | %s | | not compared: %s |\n' "$path" "${ours%% *}" "${theirs%% *}" "$why"
            continue
        fi
        printf '%s %s\n' "$ours" "$theirs" | awk -v path="$path" '{
            ratio = $1 / $4
            verdict = ratio >= 0.85 && ratio <= 1.15 ? "PASS" : "outside"
            if (verdict == "outside" && ($6 - $5) / $4 > 0.15)
                verdict = verdict ", and so are the runs of the other from one another"
            printf "| %s | %d (%d-%d) | %d (%d-%d) | %.2f | %s |\n", path, $1, $2, $3, $4, $5, $6, ratio, verdict
        }'
    done
    printf '\nOn %s: %d rounds, %d passes of %s each, a file of %d MiB, cold.\n' \
        "$(sed -n 's/.*"measured_on": "\(.*\)".*/\1/p' "$work/profile" | sed 's/governor-bench\.[A-Za-z0-9]*//')" \
        "$ROUNDS" "$PASSES" "$tool" $((bytes / 1048576))
} > "$out"
cat "$out"
