#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What govtop shows of a process that is at rest is what the kernel says: of its memory
# (smaps_rollup, smaps), of its model in the page cache (fincore: cachestat or mincore),
# of its memory group. Within 1 %, or 256 KiB of what is small: until Linux 6.16 the
# kernel's own counters, which the page has, leave out up to 32 pages a processor, which
# smaps counts.
#
# At rest is a gov run whose first answer is done and whose second prompt is longer than
# the pipe takes that nobody reads: it still publishes, and nothing moves. Mapped and in
# the heap; then under a limit, which takes a memory cgroup.
set -eu

B=${B:-build/plain}
if [ -n "${SAN:-}" ]; then
    echo "a sanitizer's shadow is no memory of the process' own"
    exit 77
fi
for tool in "$B/bin/gov" "$B/bin/govtop" "$B/lib/governor/libgovernor-llama.so"; do
    [ -x "$tool" ] || {
        echo "there is no ${tool##*/}"
        exit 77
    }
done
if ! command -v fincore > /dev/null || ! [ -r /proc/self/smaps_rollup ]; then
    echo 'this system has no fincore, or no smaps_rollup'
    exit 77
fi
export LC_ALL=C
run=
end_run() {
    [ -z "$run" ] || {
        kill -9 "$run" 2> /dev/null || :
        wait "$run" 2> /dev/null || :
    }
    run=
}

# ---- what is compared -------------------------------------------------------------

# shown NAME: a counter of the process in the last look; of the machine: shown_head NAME.
shown() {
    sed -n '/"processes"/,$s/^ *"'"$1"'": \([0-9]*\),*$/\1/p' "$tmp/json" | head -n 1
}
shown_head() {
    sed -n '1,/"processes"/s/^ *"'"$1"'": \([0-9]*\),*$/\1/p' "$tmp/json" | head -n 1
}
in_csv() {
    tr -d '\r' < "$tmp/csv" | awk -F, -v name="$1" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i }
        NR == 2 && at { print $at }'
}
# on_screen TEXT: the number before that, in bytes.
on_screen() {
    sed -n "s/.*[ ]\([0-9.]*[BKMGT]\) $1.*/\1/p" "$tmp/once" | head -n 1 |
        awk '{ n = index("BKMGT", substr($1, length($1))); printf "%.0f", $1 * 1024 ^ (n - 1) }'
}
# smaps KEY: of the whole process, in bytes.
smaps() {
    awk -v key="$1:" '$1 == key { n += $2 } END { printf "%.0f", n * 1024 }' "$tmp/rollup"
}
# Shared memory that it alone has or not: mappings that no file of a disk is behind.
shared_memory() {
    awk '/^[0-9a-f]+-[0-9a-f]+ / { shm = $6 ~ /^(\/memfd:|\/dev\/shm\/|\/dev\/zero|\/SYSV)/ }
        shm && $1 == "Rss:" { n += $2 }
        shm && $1 == "Anonymous:" { n -= $2 }
        END { printf "%.0f", n * 1024 }' "$tmp/smaps"
}
# same WHAT SHOWN KERNEL
same() {
    awk -v what="$1" -v a="$2" -v b="$3" 'BEGIN {
        off = a > b ? a - b : b - a
        bad = a == "" || b == "" || (off > b / 100 && off > 262144)
        printf "  %-44s %12s %12s%s\n", what, a, b, bad ? "  differ" : ""
        exit bad
    }' >> "$tmp/table" || differ=1
}

# ---- a process at rest --------------------------------------------------------------

look() {
    "$B/bin/govtop" --json > "$tmp/json"
}
# at_rest ARGUMENT...: starts it, and comes back when all that it shows stands still.
at_rest() {
    exec 3>&- # what the one before wrote goes with its last reader
    exec 3<> "$tmp/pipe"
    "$B/bin/gov" run "$tmp/m.gguf" --ctx 256 --threads 1 --tokens 4 --ignore-end "$@" \
        --prompt 'Once upon a time' --prompt "$(cat "$tmp/long")" > "$tmp/pipe" 2> "$tmp/err" 3>&- &
    run=$!
    before='' updated=''
    for _ in $(seq 120); do
        kill -0 "$run" 2> /dev/null || {
            echo 'gov run ended:'
            cat "$tmp/err"
            exit 1
        }
        look
        now="$(shown footprint_bytes) $(shown resident_file_bytes) $(shown weights_streamed_bytes) $(shown weights_resident_bytes)"
        if [ "$(shown requests)" = 1 ] && [ "$now" = "$before" ] && [ "$(shown updated_us)" != "$updated" ]; then
            return
        fi
        before=$now
        updated=$(shown updated_us)
        sleep 3 # weights at rest are counted again within two seconds
    done
    echo 'gov run does not come to rest'
    exit 1
}

# One look by every way there is, and the kernel's word on the same.
compare() {
    differ=
    : > "$tmp/table"
    look
    "$B/bin/govtop" --csv > "$tmp/csv"
    "$B/bin/govtop" --once > "$tmp/once"
    cat "/proc/$run/smaps_rollup" > "$tmp/rollup"
    cat "/proc/$run/smaps" > "$tmp/smaps"
    cached=$(fincore --bytes --noheadings --output RES "$tmp/m.gguf" | tr -d ' ')
    anon=$(smaps Anonymous) swap=$(smaps Swap) shmem=$(shared_memory)
    footprint=$((anon + swap + shmem))
    file=$(($(smaps Rss) - anon - shmem))
    same 'footprint_bytes: anonymous, swapped, shared' "$(shown footprint_bytes)" "$footprint"
    same 'anon_bytes: Anonymous' "$(shown anon_bytes)" "$anon"
    same 'swap_bytes: Swap' "$(shown swap_bytes)" "$swap"
    same 'resident_file_bytes: Rss less those' "$(shown resident_file_bytes)" "$file"
    same 'headroom_bytes: budget less footprint' "$(shown headroom_bytes)" $(($(shown budget_bytes) - footprint))
    same 'footprint_bytes in the CSV' "$(in_csv footprint_bytes)" "$footprint"
    same 'anon_bytes in the CSV' "$(in_csv anon_bytes)" "$anon"
    same 'resident_file_bytes in the CSV' "$(in_csv resident_file_bytes)" "$file"
    same 'anonymous on the screen' "$(on_screen anonymous)" "$anon"
    same 'file pages on the screen' "$(on_screen 'file pages, not')" "$file"
    same 'footprint on the screen' "$(on_screen 'of [0-9.]*[KMGT] budget')" "$footprint"
    if [ "$1" = heap ]; then
        return
    fi
    # Of the mapping: not what is before the weights in the file, and with the pages that
    # stand in for some of it.
    cached=$((cached - $(wc -c < "$tmp/m.gguf") + $(shown weights_mapped_bytes) + $(shown weights_anchored_bytes)))
    same 'weights_resident_bytes: of the file in cache' "$(shown weights_resident_bytes)" "$cached"
    same 'weights_resident_bytes in the CSV' "$(in_csv weights_resident_bytes)" "$cached"
    same 'resident on the screen' "$(on_screen 'of [0-9.]*[KMGT] resident')" "$cached"
}

# What the group of this process is charged with, and what of that is file pages. v1
# has its own names, and is where it is mounted.
group_now() {
    path=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
    if [ -n "$path" ]; then
        group=/sys/fs/cgroup/memory$path files='total_(in)?active_file'
        [ -d "$group" ] || group=/sys/fs/cgroup/memory
        limit=$(cat "$group/memory.limit_in_bytes") used=$(cat "$group/memory.usage_in_bytes")
    else
        group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup) files='(in)?active_file'
        limit=$(cat "$group/memory.max") used=$(cat "$group/memory.current")
    fi
    cached=$(awk -v name="^$files\$" '$1 ~ name { n += $2 } END { printf "%.0f", n }' "$group/memory.stat")
}
# The head, while the same govtop is there: its memory is charged to the group, too.
compare_group() {
    "$B/bin/govtop" --json --batch 100 --delay 0.5 > "$tmp/batch" &
    top=$!
    sleep 2
    group_now
    sleep 1
    kill "$top" 2> /dev/null || :
    wait "$top" 2> /dev/null || :
    # The last line but one is whole, and is of after that.
    tail -n 2 "$tmp/batch" | head -n 1 | sed 's/[,{]/\n/g' | sed 's/":/": /' > "$tmp/json"
    same 'limit_bytes: the limit' "$(shown_head limit_bytes)" "$limit"
    same 'limit_used_bytes: usage' "$(shown_head limit_used_bytes)" "$used"
    same 'limit_file_bytes: file pages of the group' "$(shown_head limit_file_bytes)" "$cached"
}

# check WHAT ARGUMENT... Under a limit the tools that look take pages of the model away,
# which is counted within two seconds: there it is looked at again.
check() {
    what=$1
    shift
    at_rest "$@"
    for _ in 1 2 3 4; do
        compare "$what"
        [ -n "${INSIDE:-}" ] || break
        compare_group
        [ -n "$differ" ] || break
        sleep 3
    done
    echo "$what: shown, and as the kernel has it"
    cat "$tmp/table"
    [ -z "$differ" ]
}

# ---- the parts ------------------------------------------------------------------------

if [ -n "${INSIDE:-}" ]; then
    tmp=$INSIDE
    trap end_run EXIT
    check hybrid
    grep -q '^plan: hybrid' "$tmp/err" || {
        echo 'it was to be hybrid:'
        cat "$tmp/err"
        exit 1
    }
    exit
fi

tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-numbers.XXXXXX")
trap 'end_run; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
mkdir -m 700 "$tmp/run"
export XDG_RUNTIME_DIR="$tmp/run" XDG_CONFIG_HOME="$tmp/config"
mkfifo "$tmp/pipe"
head -c 100000 /dev/zero | tr '\0' a > "$tmp/long"
"$B/tests/mkmodel" --quiet --target-size 200MB --type Q4_0 "$tmp/m.gguf"

check mmap --strategy mmap
end_run

# A budget that is given is shown as it was.
check heap --strategy heap --budget 1000000000
[ "$(shown budget_bytes)" = 1000000000 ] || {
    echo "of a budget of 1000000000 $(shown budget_bytes) are shown"
    exit 1
}
end_run
exec 3>&- # or what is in it stays

sync "$tmp/m.gguf"
dd if="$tmp/m.gguf" iflag=nocache count=0 2> /dev/null
limit=$(($(wc -c < "$tmp/m.gguf") * 9 / 10 / 4096 * 4096))
rc=0
INSIDE=$tmp "$B/tests/memlimit" "$limit" "$0" > "$tmp/inside" 2>&1 || rc=$?
cat "$tmp/inside"
exit "$rc"
