#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What is promised of weights, each as a row with its goal, whether it is met or
# not: decoding in less memory than the model has, with little to spare and with
# plenty, from nothing to the first token, the load call alone, the heap, a budget
# that is cut, and what governing costs where it has nothing to do. Against stock
# llama.cpp in its best setting that survives, in the same memory cgroup, with the
# same threads and prompt, and against the floor max(compute, cold bytes /
# bandwidth). Both are measured in the same run, in turns, the file cache dropped
# before each; figures are medians, in brackets the least and the most.
#
# Goes to build/bench/weights.md and .json. ROWS names the rows.
#
#   RUNS=5 SIZE=1GB LOAD_SIZE=4GB TOKENS=32 THREADS="1 2" ROWS="decode start load heap cut overhead" tests/bench/weights.sh
set -eu

B=${B:-build/plain}
RUNS=${RUNS:-5}
SIZE=${SIZE:-1GB}
LOAD_SIZE=${LOAD_SIZE:-4GB} # whose load call is timed
TOKENS=${TOKENS:-32}
THREADS=${THREADS:-1 2}
SHARES=${SHARES:-70 50 110 none} # memory, % of the model
ROWS=${ROWS:-decode start load heap cut overhead}
export LC_ALL=C
prompt='Once upon a time the little robot'
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/governor/demo
out=build/bench/weights
mkdir -p "$cache" build/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-weights.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# make_model SIZE: its path is $model, its size $bytes.
make_model() {
    model=$cache/demo-$1.gguf
    [ -f "$model" ] || {
        "$B/tests/mkmodel" --target-size "$1" --type Q4_0 --ctx 8192 --name "demo $1" --progress "$model.part"
        mv "$model.part" "$model"
    }
    bytes=$(wc -c < "$model")
}

# ---- figures -------------------------------------------------------------------

# note NAME FIGURE: one more measurement of that name.
note() {
    [ -z "$2" ] || echo "$2" >> "$work/$1"
}
median() {
    [ -s "$work/$1" ] || {
        echo 0
        return
    }
    sort -n "$work/$1" | awk '{ a[NR] = $1 } END { printf "%.6g", NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}
spread() {
    [ -s "$work/$1" ] || {
        echo 'no figure'
        return
    }
    sort -n "$work/$1" | awk '{ a[NR] = $1 } END { printf "%.4g..%.4g", a[1], a[NR] }'
}
both() {
    printf '%.4g (%s)' "$(median "$1")" "$(spread "$1")"
}
calc() {
    awk "BEGIN { printf \"%.6g\", ($1) }"
}
# Bytes a second by the faster way, through the page cache or past it.
rate() {
    calc "$(median m.cached) > $(median m.past) ? $(median m.cached) : $(median m.past)"
}
field() { # NAME EVENT: a number of the last run's JSON line of that event
    sed -n "/\"event\": *\"$2\"/s/.*\"$1\": *\\(-\\{0,1\\}[0-9.]*\\).*/\\1/p" "$work/out" | tail -n 1
}

# ---- rows ------------------------------------------------------------------------

# row WHAT STOCK GOVERNOR FLOOR FIGURE GOAL CONDITION REMARK: CONDITION is awk's.
row() {
    met=$(awk "BEGIN { print (($7) ? \"yes\" : \"no\") }")
    printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4" "$5" "$6" "$met" "$8" >> "$work/table"
    printf '%s{"what":"%s","stock":"%s","governor":"%s","floor":"%s","figure":"%s","goal":"%s","met":%s,"remark":"%s","runs":%s}' \
        "$(cat "$work/comma")" "$1" "$2" "$3" "$4" "$5" "$6" "$([ "$met" = yes ] && echo true || echo false)" "$8" "$RUNS" >> "$work/json"
    printf ',\n' > "$work/comma"
    tail -n 1 "$work/table" >&2
}

warm=''
cold() {
    [ -z "$warm" ] || return 0
    sync "$model" 2> /dev/null || :
    dd if="$model" iflag=nocache count=0 2> /dev/null || :
}
# measure COMMAND...: cold; false where it fails, whose status is $rc.
measure() {
    cold
    rc=0
    "$@" > "$work/out" 2> "$work/err" || rc=$?
    [ "$rc" -eq 0 ]
}
# In the cgroup of $limit, a command and its argument or nothing.
# shellcheck disable=SC2086 # words
stock() {
    measure $limit "$B/tests/stock" "$model" --tokens "$count" --prompt "$prompt" "$@"
}
# shellcheck disable=SC2086
governor() {
    measure $limit "$B/bin/gov" run "$model" --json --tokens "$count" --ctx 512 --ignore-end --prompt "$prompt" "$@"
}
# must COMMAND...: else the row says why there is no figure, and the next begins.
must() {
    "$@" && return 0
    echo "bench: failed with $rc: $*" >&2
    cat "$work/err" >&2
    row "$what" '' '' '' 'none' '' 0 "not measured: $(tail -n 1 "$work/err" | tr '"|' ' /')"
    return 1
}
bandwidth() { # NAME OPTIONS...: one more of it, bytes a second
    name=$1
    shift
    cold
    "$@" > "$work/rate" 2> "$work/err" || return 0
    note "$name" "$(sed -n 's/.*"bytes_per_second":\([0-9]*\).*/\1/p' "$work/rate" | tail -n 1)"
}
fresh() {
    find "$work" -name 'm.*' -delete
}

# What of the model cannot stay in that much memory, whoever decides: weights and
# the footprint of the plan just carried out, less the memory. At most all of it.
unavoidable() {
    [ "$1" = none ] && {
        echo 0
        return
    }
    awk -v w="$(field weights_bytes plan)" -v f="$(field footprint_bytes plan)" -v l="$1" 'BEGIN { c = w + f - l; print (c < 0 ? 0 : (c > w ? w : c)) }'
}
chosen() {
    sed -n '/"event": *"plan"/s/.*"strategy": *"\([a-z]*\)".*/\1/p' "$work/out" | tail -n 1
}

# The faster of stock's settings in $limit, as one run of each tells, in $flag;
# repacked is killed where it does not fit. False where there is no cgroup.
best_stock() {
    flag='' kind=repacked one=0 two=0
    if stock --threads "$1"; then one=$(field tokens_per_second 'done'); fi
    if stock --threads "$1" --no-repack; then two=$(field tokens_per_second 'done'); fi
    if [ "$rc" -eq 77 ]; then
        echo "bench: $(cat "$work/err"); rows with a limit are left out" >&2
        return 1
    fi
    if awk "BEGIN { exit !($two > $one) }"; then
        flag=--no-repack kind=mapped
    fi
    [ "$one" != 0 ] || kind='mapped; repacked is killed'
}

decode_row() {
    share=$1 threads=$2
    limit='' size=none label='no limit'
    if [ "$share" != none ]; then
        size=$((bytes * share / 100)) label="memory $share %"
        limit="$B/tests/memlimit $size"
    fi
    fresh
    what="decode, $label, $threads threads, tokens/s"
    best_stock "$threads" || return 0
    i=0
    while [ "$i" -lt "$RUNS" ]; do
        # shellcheck disable=SC2086
        must stock --threads "$threads" $flag || return 0
        note m.stock "$(field tokens_per_second 'done')"
        must governor --threads "$threads" || return 0
        note m.gov "$(field tokens_per_second 'done')"
        plan=$(chosen) missing=$(unavoidable "$size")
        if [ "$missing" != 0 ]; then
            # shellcheck disable=SC2086
            bandwidth m.cached $limit "$B/tests/readrate" "$model" --bytes "$missing"
            # shellcheck disable=SC2086
            bandwidth m.past $limit "$B/tests/readrate" "$model" --bytes "$missing" --direct 1
        fi
        whole=$limit limit=''
        must stock --threads "$threads" --no-repack || return 0
        limit=$whole
        note m.compute "$(field tokens_per_second 'done')"
        i=$((i + 1))
        printf '\rdecode, %s, %s threads: %d of %d' "$label" "$threads" "$i" "$RUNS" >&2
    done
    echo >&2
    a=$(median m.stock) b=$(median m.gov) c=$(median m.compute)
    floor=$c
    [ "$missing" = 0 ] || floor=$(calc "$(rate) / $missing < $c ? $(rate) / $missing : $c")
    of=$(calc "$b / $floor") ratio=$(calc "$b / $a")
    case $share in
    70) goal='2.5x stock, 0.90 of the floor' if="$ratio >= 2.5 && $of >= 0.9" ;;
    50) goal='1.8x stock, 0.85 of the floor' if="$ratio >= 1.8 && $of >= 0.85" ;;
    *) goal='1.00x stock' if="$ratio >= 1" ;;
    esac
    row "$what" "$(both m.stock), $kind" "$(both m.gov), $plan" \
        "$(printf '%.4g' "$floor")" "$(printf '%.2fx, %.2f of the floor' "$ratio" "$of")" "$goal" "$if" \
        "compute $(both m.compute), $((${missing%.*} / 1000000)) MB a token cannot stay, $(printf '%.2f' "$(calc "$(rate) / 1e9")") GB/s"
}
decode() {
    make_model "$SIZE"
    for share in $SHARES; do
        for threads in $THREADS; do
            decode_row "$share" "$threads"
        done
    done
}

# From the load call to the first token, nothing in memory.
start_row() {
    threads=$1 what="cold start to first token, $2, $1 threads, ms"
    shift 2
    limit=''
    fresh
    i=0
    while [ "$i" -lt "$RUNS" ]; do
        must stock --threads "$threads" || return 0
        note m.repacked "$(calc "$(field first_token_ms 'done') + $(field load_ms 'done')")"
        must stock --threads "$threads" --no-repack || return 0
        # Its load has read everything: the first pass is compute alone.
        note m.compute "$(field first_token_ms 'done')"
        note m.stock "$(calc "$(field first_token_ms 'done') + $(field load_ms 'done')")"
        must governor --threads "$threads" "$@" || return 0
        note m.gov "$(calc "$(field first_token_ms 'done') + $(field load_ms loaded)")"
        plan=$(chosen)
        bandwidth m.cached "$B/tests/readrate" "$model"
        bandwidth m.past "$B/tests/readrate" "$model" --direct 1
        i=$((i + 1))
    done
    floor=$(calc "$bytes / $(rate) * 1000 > $(median m.compute) ? $bytes / $(rate) * 1000 : $(median m.compute)")
    of=$(calc "$(median m.gov) / $floor")
    row "$what" "$(both m.repacked), repacked; $(both m.stock), mapped" "$(both m.gov), $plan" \
        "$(printf '%.4g' "$floor")" "$(printf '%.2f of the floor, stock %.2f and %.2f' "$of" "$(calc "$(median m.repacked) / $floor")" "$(calc "$(median m.stock) / $floor")")" \
        'at most 1.15x the floor' "$of <= 1.15" \
        "compute $(both m.compute) ms, $(printf '%.2f' "$(calc "$(rate) / 1e9")") GB/s"
}
start() {
    make_model "$SIZE"
    for threads in $THREADS; do
        start_row "$threads" 'the plan chosen'
        start_row "$threads" 'mapped' --strategy mmap
    done
}

load() {
    make_model "$LOAD_SIZE"
    what="load call returns, $LOAD_SIZE, ms"
    limit='' count=1
    fresh
    i=0
    while [ "$i" -lt "$RUNS" ]; do
        must stock --load-only --no-repack || return 0
        note m.stock "$(field load_ms loaded)"
        must stock --vocab-only || return 0
        note m.vocab "$(field load_ms loaded)"
        must governor --strategy mmap || return 0
        note m.gov "$(field load_ms loaded)"
        note m.own "$(calc "$(field own_us loaded | grep . || echo -1000) / 1000")"
        i=$((i + 1))
        printf '\rload: %d of %d' "$i" "$RUNS" >&2
    done
    echo >&2
    of=$(calc "$(median m.gov) / $(median m.vocab)")
    row "$what" "$(both m.stock), mapped" "$(both m.gov)" "$(both m.vocab), vocabulary only" \
        "$(printf '%.2f of vocabulary only' "$of")" 'at most 1.1x vocabulary only' "$of <= 1.1" ''
    row 'the governor'"'"'s own part of it, ms' '' "$(both m.own)" '' '' 'under 20 ms' "$(median m.own) >= 0 && $(median m.own) < 20" \
        "$(awk "BEGIN { if ($(median m.own) < 0) print \"gov run --json does not tell\" }")"
}

# Into anonymous memory, not repacked, while nobody computes. What stays takes memory
# that is not used again, which is slower to read into.
heap() {
    make_model "$SIZE"
    what='heap load, bytes/s'
    limit='' why=''
    fresh
    if "$B/tests/memlimit" $((bytes * 3)) true 2> "$work/why"; then
        limit="$B/tests/memlimit $((bytes * 3))"
    else
        why=$(cat "$work/why")
    fi
    i=0
    while [ "$i" -lt "$RUNS" ]; do
        # shellcheck disable=SC2086
        must measure $limit "$B/tests/heapload" "$model" || return 0
        note m.rates "$(sed -n 's/.*"bytes_per_second":\([0-9]*\).*/\1/p' "$work/out")"
        note m.peak "$(sed -n 's/.*peak_bytes=\([0-9]*\).*/\1/p' "$work/err")"
        bandwidth m.mapped "$B/tests/readrate" "$model"
        bandwidth m.one "$B/tests/readrate" "$model" --direct 1 --new
        bandwidth m.two "$B/tests/readrate" "$model" --direct 2 --new
        bandwidth m.again "$B/tests/readrate" "$model" --direct 1
        i=$((i + 1))
        printf '\rheap: %d of %d' "$i" "$RUNS" >&2
    done
    echo >&2
    best=0
    for way in mapped one two; do
        best=$(calc "$(median m.$way) > $best ? $(median m.$way) : $best")
    done
    of=$(calc "$(median m.rates) / $best")
    row "$what" '' "$(both m.rates)" "$(printf '%.4g' "$best")" \
        "$(printf '%.2f of the best bandwidth' "$of")" 'at least 0.9' "$of >= 0.9" \
        "mapped $(both m.mapped), past the cache into new memory $(both m.one), 2 threads $(both m.two), into the same memory again $(both m.again)"
    of=$(calc "$(median m.peak) / $bytes")
    row 'heap load, peak of the memory cgroup, bytes' '' "$(both m.peak)" "$bytes" "$(printf '%.3f of the file' "$of")" \
        'under 1.02x the file' "$of > 0 && $of < 1.02" "$why"
}

cut() {
    make_model "$SIZE"
    for threads in $THREADS; do
        fresh
        what="a budget cut by 30 %, $threads threads: slowest token from the third on, of the steady ones"
        i=0
        while [ "$i" -lt "$RUNS" ]; do
            must measure "$B/tests/budget_cut" "$model" --budget $((bytes * 85 / 100)) --cut 30 --tokens 48 --threads "$threads" || return 0
            note m.before "$(field before_ms cut)"
            note m.steady "$(field steady_ms cut)"
            note m.worst "$(field worst_of_steady cut)"
            note m.below "$(field below_ms cut)"
            i=$((i + 1))
            printf '\rcut, %s threads: %d of %d' "$threads" "$i" "$RUNS" >&2
        done
        echo >&2
        row "$what" '' "$(both m.worst)" '' '' \
            'at most 2' "$(median m.worst) <= 2" "before $(both m.before) ms, afterwards $(both m.steady) ms"
        row "the same: footprint and weights are below it, ms" '' "$(both m.below)" '' '' 'within 500 ms' "$(median m.below) <= 500" ''
    done
}

# Everything fits and is in memory, nothing is repacked on either side, and enough
# tokens that what is only done at the start does not count.
overhead() {
    make_model "$SIZE"
    limit='' warm=1 count=64
    for threads in $THREADS; do
        fresh
        what="everything fits, mapped, $threads threads, tokens/s"
        i=0
        while [ "$i" -lt "$RUNS" ]; do
            must stock --threads "$threads" --no-repack || return 0
            note m.stock "$(field tokens_per_second 'done')"
            must governor --threads "$threads" --strategy mmap || return 0
            note m.gov "$(field tokens_per_second 'done')"
            i=$((i + 1))
            printf '\roverhead, %s threads: %d of %d' "$threads" "$i" "$RUNS" >&2
        done
        echo >&2
        ratio=$(calc "$(median m.gov) / $(median m.stock)")
        row "$what" "$(both m.stock), mapped" "$(both m.gov)" '' \
            "$(printf '%.3fx' "$ratio")" 'costs under 0.5 %' "$ratio > 0.995" ''
    done
    warm=''
}

: > "$work/table"
: > "$work/json"
: > "$work/comma"
for one in $ROWS; do
    count=$TOKENS
    case $one in
    decode | start | load | heap | cut | overhead) "$one" ;;
    *)
        echo "bench: there is no row $one" >&2
        exit 2
        ;;
    esac
done
{
    printf '| what | stock | governor | floor | figure | goal | met | |\n|---|---|---|---|---|---|---|---|\n'
    cat "$work/table"
} > "$out.md"
printf '[\n%s\n]\n' "$(cat "$work/json")" > "$out.json"
cat "$out.md"
