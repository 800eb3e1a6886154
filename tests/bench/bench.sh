#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Tokens per second of `gov run` against stock llama.cpp: same model, same
# threads, same prompt, same memory cgroup, alternating, file cache dropped
# before each run. Medians and their ratio go to build/bench/decode.md and .json.
# "Stock" is its best setting that survives the limit.
#
# Then a mixture of experts (sparse.sh), what gov profile measures against fio
# (device.sh), what reading a header takes (header.sh), what models need against
# llama.cpp's own word (need.sh), and what a decision takes (policy.sh).
#
#   RUNS=5 SIZE=1GB TOKENS=16 THREADS="1 2" tests/bench/bench.sh
set -eu

B=${B:-build/plain}
RUNS=${RUNS:-5}
SIZE=${SIZE:-1GB}
TOKENS=${TOKENS:-16}
THREADS=${THREADS:-1 2}
SHARES=${SHARES:-none 110 70 50} # memory, % of the model
export LC_ALL=C
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/governor/demo
mkdir -p "$cache" build/bench
model=$cache/demo-$SIZE.gguf
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM HUP
[ -f "$model" ] || "$B/tests/mkmodel" --target-size "$SIZE" --type Q4_0 --ctx 8192 --name "demo $SIZE" --progress "$model"
bytes=$(wc -c < "$model")

drop_cache() {
    sync "$model" 2> /dev/null || :
    dd if="$model" iflag=nocache count=0 2> /dev/null || :
}

rate() {
    sed -n 's/.*"event": *"done".*"tokens_per_second": *\([0-9.]*\).*/\1/p' "$1"
}

median() {
    sort -n "$1" | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}

# measure NAME COMMAND...: one cold run; its rate is appended to NAME.
measure() {
    name=$1
    shift
    drop_cache
    rc=0
    "$@" > "$work/out" 2> "$work/err" || rc=$?
    if [ "$rc" -ne 0 ]; then
        echo "$rc" > "$work/$name.rc"
        return 0
    fi
    rate "$work/out" >> "$work/$name"
}

{
    printf '| memory | threads | stock tokens/s | governor tokens/s | ratio | stock is | governor chose |\n'
    printf '|---|---|---|---|---|---|---|\n'
} > build/bench/decode.md
: > "$work/json"

for share in $SHARES; do
    for threads in $THREADS; do
        rm -f "$work/stock" "$work/gov" "$work"/*.rc
        limit=
        [ "$share" = none ] || limit="$B/tests/memlimit $((bytes * share / 100))"
        # The faster of stock's two settings, as one run of each tells; repacked
        # is killed where it does not fit.
        rm -f "$work/repacked" "$work/mapped"
        # shellcheck disable=SC2086
        measure repacked $limit "$B/tests/stock" "$model" --tokens "$TOKENS" --threads "$threads"
        # shellcheck disable=SC2086
        measure mapped $limit "$B/tests/stock" "$model" --tokens "$TOKENS" --threads "$threads" --no-repack
        if [ -f "$work/mapped.rc" ] && [ "$(cat "$work/mapped.rc")" -eq 77 ]; then
            echo "bench: $(cat "$work/err"); rows with a limit are left out" >&2
            break 2
        fi
        kind=repacked flag=
        if [ -f "$work/repacked.rc" ]; then
            kind='mapped (repacked is killed)' flag=--no-repack
        elif awk -v a="$(cat "$work/mapped")" -v b="$(cat "$work/repacked")" 'BEGIN { exit !(a > b) }'; then
            kind=mapped flag=--no-repack
        fi
        i=0
        while [ "$i" -lt "$RUNS" ]; do
            # shellcheck disable=SC2086
            measure stock $limit "$B/tests/stock" "$model" --tokens "$TOKENS" --threads "$threads" $flag
            # shellcheck disable=SC2086
            measure gov $limit "$B/bin/gov" run "$model" --json --tokens "$TOKENS" --threads "$threads" --ctx 512 --ignore-end --prompt 'Once upon a time the little robot'
            i=$((i + 1))
            printf '\rmemory %s, %s threads: %d of %d' "$share" "$threads" "$i" "$RUNS" >&2
        done
        echo >&2
        chose=$(sed -n 's/.*"strategy":"\([a-z]*\)".*"event":"plan".*/\1/p' "$work/out")
        a=$(median "$work/stock") b=$(median "$work/gov")
        ratio=$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.2f", b / a }')
        [ "$share" = none ] && label=unlimited || label="$share % of the model"
        printf '| %s | %s | %.2f | %.2f | %s | %s | %s |\n' "$label" "$threads" "$a" "$b" "$ratio" "$kind" "$chose" >> build/bench/decode.md
        printf '{"memory":"%s","threads":%s,"stock":%s,"governor":%s,"ratio":%s,"runs":%s}\n' "$share" "$threads" "$a" "$b" "$ratio" "$RUNS" >> "$work/json"
    done
done
cp "$work/json" build/bench/decode.json
cat build/bench/decode.md
# Each of the other benchmarks has a script and a table of its own.
for other in sparse device header need policy; do
    echo
    B=$B "$(dirname "$0")/$other.sh" || [ $? -eq 77 ]
done
