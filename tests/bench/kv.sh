#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What a conversation costs: anonymous memory of a context of 32768 tokens of which 512
# are used, its peak, and the speed, against stock llama.cpp, both mapped without
# repacking, everything in memory; speeds in turns, medians. Then what a conversation of
# 8K tokens takes to the disk and back, beside reading it again, and what half of one of
# 16K gives: single runs, minutes of reading. Goes to build/bench/kv.md.
#
#   RUNS=5 SIZE=1GB TOKENS=64 THREADS=2 LONG=8192 CUT=16384 CUT_PRESET=100m tests/bench/kv.sh
#
# LONG=0 or CUT=0 leaves those rows out.
set -eu

B=${B:-build/plain}
RUNS=${RUNS:-5}
SIZE=${SIZE:-1GB}
TOKENS=${TOKENS:-64}
THREADS=${THREADS:-2}
LONG=${LONG:-8192}
CUT=${CUT:-16384}
CUT_PRESET=${CUT_PRESET:-100m}
CONTEXT=32768
export LC_ALL=C
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/governor/demo
out=build/bench/kv.md
mkdir -p "$cache" build/bench
model=$cache/demo-$SIZE.gguf
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-kv.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
[ -f "$model" ] || {
    "$B/tests/mkmodel" --target-size "$SIZE" --type Q4_0 --ctx 8192 --name "demo $SIZE" --progress "$model.part"
    mv "$model.part" "$model"
}
prompt='Once upon a time the little robot' # 8 tokens
printf 'version: 1\nbase: none\nrules:\n  - name: mapped\n    then: { strategy: mmap }\n    because: it is compared with that\n' > "$work/policy.yaml"

stock() {
    $group "$B/tests/stock" "$model" --no-repack --threads "$THREADS" --ctx "$CONTEXT" --prompt "$prompt" --tokens "$1" > "$work/out" 2> "$work/err"
}
governor() {
    $group "$B/bin/gov" run "$model" --policy "$work/policy.yaml" --json --ignore-end --threads "$THREADS" --ctx "$CONTEXT" --prompt "$prompt" --tokens "$1" > "$work/out" 2> "$work/err"
}
field() {
    sed -n "/\"event\": *\"done\"/s/.*\"$1\": *\([0-9.]*\).*/\1/p" "$work/out" | tail -n 1
}
peak() {
    sed -n 's/^memlimit: peak_bytes=\([0-9]*\).*/\1/p' "$work/err"
}
median() {
    sort -n "$1" | awk '{ a[NR] = $1 } END { printf "%.6g", NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}
# row WHAT STOCK GOVERNOR FIGURE GOAL CONDITION: CONDITION is awk's.
row() {
    met=$(awk "BEGIN { print (($6) ? \"yes\" : \"no\") }")
    printf '| %s | %s | %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4" "$5" "$met" >> "$work/table"
}
calc() {
    awk "BEGIN { printf \"$1\", $2 }"
}
# shares WHAT STOCK GOVERNOR GOAL CONDITION-ON-SHARE: bytes, as a share of stock's.
shares() {
    share=$(calc %.4f "$3 / $2")
    row "$1" "$(calc '%.0f MB' "$2 / 1e6")" "$(calc '%.0f MB' "$3 / 1e6")" "$(calc '%.1f %%' "$share * 100")" "$4" "$5"
}

group=
rc=0
"$B/tests/memlimit" 16000000000 true 2> /dev/null || rc=$?
[ "$rc" -eq 77 ] || group="$B/tests/memlimit 16000000000"
stock 504
stock_anon=$(field anon_bytes) stock_peak=$(peak)
governor 504
governor_anon=$(field footprint_bytes) governor_peak=$(peak)
shares "anonymous memory, context $CONTEXT, 512 tokens used" "$stock_anon" "$governor_anon" 'under 6 %' "$governor_anon < 0.06 * $stock_anon"
bytes=$(wc -c < "$model")
if [ -n "$group" ]; then
    # A group is charged for the model, too, by whoever reads it first.
    shares 'peak, with what of the model it brought in' "$stock_peak" "$governor_peak" "under stock's less half the cache" "$governor_peak < $stock_peak - $stock_anon / 2"
fi

group=
cat "$model" > /dev/null
for _ in $(seq "$RUNS"); do
    stock "$TOKENS"
    field tokens_per_second >> "$work/stock"
    governor "$TOKENS"
    field tokens_per_second >> "$work/governor"
done
ratio=$(calc %.4f "$(median "$work/governor") / $(median "$work/stock")")
row "tokens/s, $THREADS threads, everything in memory" "$(median "$work/stock")" "$(median "$work/governor")" "$(calc %.3fx "$ratio")" '0.995x' "$ratio >= 0.995"

# A conversation of so many tokens, by the tool's own account.
talk() {
    mkdir -p "$cache/talks"
    chmod 700 "$cache/talks"
    "$B/tests/talk_time" "$1" "$2" "$cache/talks" > "$work/talk"
}
told() {
    sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$work/talk"
}
seconds() {
    calc '%.3g s' "$1 / 1e6"
}

if [ "$LONG" -gt 0 ]; then
    talk "$model" "$LONG"
    both=$(($(told store_us) + $(told bring_us)))
    ratio=$(calc %.1f "$(told read_us) / $both")
    row "$(told tokens) tokens, $(calc '%.0f MB' "$(told state_bytes) / 1e6"): read again; stored, verified and brought back" \
        "$(seconds "$(told read_us)")" "$(seconds "$(told store_us)") + $(seconds "$(told bring_us)")" "${ratio}x" '10x' "$ratio >= 10"
    row 'memory that came back when it was stored, of its state' - "$(calc '%.0f MB' "($(told full_bytes) - $(told stored_bytes)) / 1e6")" \
        "$(calc '%.1f %%' "($(told full_bytes) - $(told stored_bytes)) * 100 / $(told state_bytes)")" - 1
fi
if [ "$CUT" -gt 0 ]; then
    cut_model=$cache/cut-$CUT_PRESET.gguf
    [ -f "$cut_model" ] || {
        "$B/tests/mkmodel" --quiet --preset "$CUT_PRESET" --type Q4_0 "$cut_model.part"
        mv "$cut_model.part" "$cut_model"
    }
    talk "$cut_model" "$CUT"
    gone=$(calc %.0f "$(told state_bytes) * $(told forgotten) / $(told tokens)")
    back=$(calc %.3f "($(told full_bytes) - $(told cut_bytes)) / $gone")
    row "half of $(told tokens) tokens forgotten: bytes that came back, of theirs" "$(calc '%.0f MB' "$gone / 1e6")" \
        "$(calc '%.0f MB' "($(told full_bytes) - $(told cut_bytes)) / 1e6")" "$(calc '%.1f %%' "$back * 100")" '95 %' "$back >= 0.95"
    row 'and the time it took' - "$(calc '%.1f ms' "$(told forget_us) / 1e3")" - '50 ms' "$(told forget_us) <= 50000"
    more=$(calc %.0f "$(told moved_bytes) - $(told cut_bytes)")
    row 'memory that moving up what follows left behind, after the next token' - "$(calc '%.1f MB' "$more / 1e6")" \
        "$(calc '%.1f %%' "$more * 100 / $gone")" 'under 5 %' "$more < 0.05 * $gone"
fi

{
    printf '%s of weights, medians of %s\n\n' "$(calc '%.0f MB' "$bytes / 1e6")" "$RUNS"
    echo '| what | stock | governor | figure | goal | met |'
    echo '|---|---|---|---|---|---|'
    cat "$work/table"
} | tee "$out"
