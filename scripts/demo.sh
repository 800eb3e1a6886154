#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The governor's whole job around a real engine, in about two minutes: profile,
# plan, load, generate, pressure, relief, the same conversation going on, govtop, the
# report, another policy, and the comparison with stock llama.cpp in a small memory cgroup.
#
# Every figure is measured here and now, but for the recorded trace. What it makes
# is a model of random weights in the cache directory, kept between runs;
# everything else is removed, also when it is interrupted.
set -eu

B=${B:-build/plain}
export LC_ALL=C
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/governor/demo
prompt='Once upon a time the little robot'

bold='' dim='' green='' off=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m')
    green=$(printf '\033[32m') off=$(printf '\033[0m')
fi

work=
child=
clean() {
    trap - EXIT INT TERM HUP
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || :
        wait "$child" 2>/dev/null || :
    fi
    [ -z "$work" ] || rm -rf "$work"
}
trap clean EXIT
trap 'clean; trap - INT; kill -INT $$' INT
trap 'clean; exit 143' TERM HUP

title() {
    printf '\n%s== %s%s\n\n' "$bold" "$1" "$off"
}

shown() {
    printf '%s$ %s%s\n' "$dim" "$1" "$off"
}

# The number of a field of a JSON line that gov or stock printed.
field() {
    sed -n 's/.*"event": *"done".*"'"$1"'": *\([0-9.]*\).*/\1/p' "$2" | head -n 1
}

# Drops the model from the page cache, so that every run starts cold and its
# pages are charged to the group that reads them.
drop_cache() {
    sync "$model" 2>/dev/null || :
    dd if="$model" iflag=nocache count=0 2>/dev/null || :
}

if ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
    cache=$B/demo
    mkdir -p "$cache"
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-demo.XXXXXX")

# ---- a model ------------------------------------------------------------------

free_kib=$(df -Pk "$cache" | awk 'NR == 2 { print $4 }')
size=1GB
if [ "$free_kib" -lt 2500000 ]; then
    size=300MB
    printf 'Only %s MB are free in %s: the model is made smaller (%s).\n' \
        $((free_kib / 1000)) "$cache" "$size"
fi
model=$cache/demo-$size.gguf
if [ ! -f "$model" ]; then
    title "A model of $size, random weights, real architecture"
    "$B/tests/mkmodel" --target-size "$size" --type Q4_0 --ctx 8192 \
        --name "demo $size" --progress "$model"
fi

# ---- profile and plan -----------------------------------------------------------

title 'What this machine is'
shown "gov profile --quick --models $(dirname "$model")"
"$B/bin/gov" profile --quick --no-save --models "$cache"

title 'How the model will be loaded, and why'
shown "gov plan $(basename "$model") --ctx 8192"
"$B/bin/gov" plan "$model" --ctx 8192

# ---- pressure ---------------------------------------------------------------------

title 'Generate; simulated WARN after 1 s, CRITICAL after 2 s, NORMAL after 3 s'
shown "gov run $(basename "$model") --prompt '...' --prompt '...' --simulate warn@1s,critical@2s,normal@3s"
"$B/bin/gov" run "$model" --ctx 8192 --tokens 90 --ignore-end \
    --prompt "$prompt" --prompt ' and the robot answered' \
    --simulate warn@1s,critical@2s,normal@3s --telemetry-file "$work/telemetry.db" \
    > "$work/run.out" 2> "$work/run.err" &
child=$!

# One frame of govtop while it runs, of two samples from where the level is raised.
: > "$work/top"
while kill -0 "$child" 2>/dev/null; do
    if [ ! -s "$work/top" ] && grep -q '] warn: ' "$work/run.err"; then
        "$B/bin/govtop" --once > "$work/top" || :
    fi
    sleep 0.1
done
rc=0
wait "$child" || rc=$?
child=
fold -s -w 100 "$work/run.out"
echo
sed "s/^\(\[.*gave back.*\)\$/$green\1$off/" "$work/run.err"
if [ "$rc" -ne 0 ]; then
    echo "demo: gov run failed with status $rc" >&2
    exit 1
fi
printf '\n%sThe bytes given back are the difference of the kernel'\''s own counters. The second paragraph is the\nsame conversation, continued after the pressure was over.%s\n' "$dim" "$off"
# What the same context takes in stock llama.cpp: all of it, before its first token.
stock_bytes=$("$B/tests/stock" "$model" --ctx 8192 --tokens 1 | sed -n 's/.*"anon_bytes":\([0-9]*\).*/\1/p')
own=$(sed -n 's/.* tokens\/s, .*, footprint \(.*\)/\1/p' "$work/run.err" | tail -n 1)
[ -z "$stock_bytes" ] || [ -z "$own" ] ||
    printf '\nStock llama.cpp takes %s MiB for a context of 8192 tokens at its first token;\nthe governor has taken %s after 180.\n' $((stock_bytes >> 20)) "$own"

title 'govtop, while it ran'
shown 'govtop --once'
cat "$work/top"

title 'What the two turns cost: telemetry that the app asked for, no word of it'
shown 'gov report'
"$B/bin/gov" report "$work/telemetry.db"
"$B/bin/gov" report "$work/telemetry.db" --html "$cache/report.html"
printf '\nThe same with plots, one page without network: %s\n' "$cache/report.html"

# ---- another policy ---------------------------------------------------------------

title 'A neighbour that took memory, as it was recorded: under two policies'
shown 'gov replay configs/traces/squeeze.trace --policy balanced --policy frugal'
"$B/bin/gov" replay configs/traces/squeeze.trace --policy balanced --policy frugal

# ---- less memory than model ------------------------------------------------------

# One processor is left to the thread that reads weights ahead, and to whatever
# else this machine does: engines wait in a loop and suffer when they share one.
threads=$(($(getconf _NPROCESSORS_ONLN) - 1))
[ "$threads" -ge 1 ] || threads=1
[ "$threads" -le 4 ] || threads=4

# One cold run; appends "RATE FIRST_TOKEN_MS" to a file, or "killed".
limited() {
    out=$1
    shift
    drop_cache
    rc=0
    "$B/tests/memlimit" "$limit" "$@" > "$out.run" 2> "$out.err" || rc=$?
    if [ "$rc" -eq 0 ]; then
        echo "$(field tokens_per_second "$out.run") $(field first_token_ms "$out.run")" >> "$out"
    elif [ "$rc" -eq 137 ]; then
        echo killed >> "$out"
    else
        echo "failed ($rc)" >> "$out"
    fi
}

# The line in the middle.
median() {
    sort -n "$1" | awk '{ line[NR] = $0 } END { print line[int((NR + 1) / 2)] }'
}

row() {
    label=$1
    # shellcheck disable=SC2046
    set -- $(median "$2")
    case $1 in
    killed) printf '  %-46s killed: out of memory\n' "$label" ;;
    failed) printf '  %-46s failed %s\n' "$label" "${2:-}" ;;
    *) printf '  %-46s %6.2f tokens/s, first token after %s ms\n' "$label" "$1" "$2" ;;
    esac
}

# compare NAME: stock's best against the governor on $model within $limit bytes.
compare() {
    name=$work/$1
    printf '%s MB of weights, %s MB of memory, %s thread(s), 16 tokens a run, alternating, medians of 3; the\nfile cache is dropped before each run.\n\n' \
        $(($(wc -c < "$model") / 1000000)) $((limit / 1000000)) "$threads"
    limited "$name.stock" "$B/tests/stock" "$model" --tokens 16 --threads "$threads" --prompt "$prompt"
    row 'stock llama.cpp, as it comes (repacked)' "$name.stock"
    started=$(date +%s)
    for _ in 1 2 3; do
        limited "$name.mapped" "$B/tests/stock" "$model" --tokens 16 --threads "$threads" --no-repack --prompt "$prompt"
        limited "$name.gov" "$B/bin/gov" run "$model" --json --tokens 16 --threads "$threads" --ctx 512 --ignore-end --prompt "$prompt"
        # A busy machine must not make this take for ever.
        [ $(($(date +%s) - started)) -lt 40 ] || break
    done
    row 'stock llama.cpp, mapped: its best that lives' "$name.mapped"
    row 'governor' "$name.gov"
    echo
    grep -o '"weights":"[^"]*"' "$name.gov.run" | sed 's/"weights":"/The governor chose /; s/"$/./'
    # shellcheck disable=SC2046
    set -- $(median "$name.mapped") $(median "$name.gov")
    [ $# -ne 4 ] || awk -v a="$3" -v b="$1" 'BEGIN { if (b > 0) printf "%.2f times the tokens of stock in the same memory.\n", a / b }'
}

limit=$(($(wc -c < "$model") * 7 / 10))
rc=0
"$B/tests/memlimit" "$limit" true 2> "$work/probe" || rc=$?
if [ "$rc" -ne 0 ]; then
    title 'Less memory than the model takes: left out'
    printf '%s\n' "$(head -n 1 "$work/probe" | sed 's/^memlimit: //')"
    exit 0
fi
title 'A memory cgroup of 70 % of the model: stock llama.cpp against the governor'
compare dense

# Its 64 experts in each of 16 layers are 453 MB, of which a token uses a
# sixteenth: half of them stay, by how recently they were used.
model=$cache/sparse-64x4.gguf
[ -f "$model" ] || "$B/tests/mkmodel" --arch qwen3moe --layers 16 --embd 1024 --experts 64 \
    --experts-used 4 --expert-ff 256 --heads 16 --kv-heads 4 --vocab 4096 --type Q4_0 --quiet "$model"
limit=340000000
title 'A mixture of 64 experts, memory for half of them'
compare sparse
