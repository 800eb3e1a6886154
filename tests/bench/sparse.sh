#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A mixture of experts with memory for half of its experts: stock llama.cpp, the
# governor with the shipped policy, whose goal is 1.5x stock, and with each `hold`
# and each advice that a policy may give, alternating, medians, file cache dropped
# before each run; of stock the bytes read while decoding, of the governor those of
# the load, too. Goes to build/bench/sparse.md.
#
#   RUNS=5 TOKENS=16 THREADS=1 tests/bench/sparse.sh
set -eu

B=${B:-build/plain}
RUNS=${RUNS:-5}
TOKENS=${TOKENS:-16}
THREADS=${THREADS:-1}
# Of 510 MB of weights experts are 453: half of those, the other 57, and 41 for KV,
# buffers and the engine; the cgroup also charges what the kernel keeps for it.
BUDGET=325000000
LIMIT=340000000
export LC_ALL=C
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/governor/demo
out=build/bench/sparse.md
mkdir -p "$cache" build/bench
model=$cache/sparse-64x4.gguf
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-sparse.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM HUP
[ -f "$model" ] || "$B/tests/mkmodel" --arch qwen3moe --layers 16 --embd 1024 --experts 64 \
    --experts-used 4 --expert-ff 256 --heads 16 --kv-heads 4 --vocab 4096 --type Q4_0 --quiet "$model"

rc=0
"$B/tests/memlimit" "$LIMIT" true 2> "$work/why" || rc=$?
if [ "$rc" -eq 77 ]; then
    sed 's/^/bench: /' "$work/why" >&2
    exit 77
fi

# one NAME COMMAND...: a cold run, "tokens a second, first token, MB read".
one() {
    name=$1
    shift
    sync "$model" 2> /dev/null || :
    dd if="$model" iflag=nocache count=0 2> /dev/null || :
    "$B/tests/memlimit" "$LIMIT" "$@" > "$work/out" 2> "$work/err"
    sed -n '/"event": *"done"/p' "$work/out" > "$work/done"
    rate=$(sed -n 's/.*"tokens_per_second": *\([0-9.]*\).*/\1/p' "$work/done")
    first=$(sed -n 's/.*"first_token_ms": *\([0-9]*\).*/\1/p' "$work/done")
    # The first of them: the governor also tells how many for each token.
    read=$(grep -o 'read_bytes": *[0-9]*' "$work/done" | head -n 1 | sed 's/.*: *//')
    echo "$rate $first $((read / 1000000))" >> "$work/$name"
}

governed() {
    hold=$1 advice=$2
    cat > "$work/policy.yaml" << EOF
version: 1
base: none
rules:
  - name: bench
    then: { strategy: hybrid, hold: $hold, advise_pass: $advice }
    because: a bench
EOF
    one "$hold-$advice" "$B/bin/gov" run "$model" --policy "$work/policy.yaml" --json --tokens "$TOKENS" \
        --threads "$THREADS" --ctx 512 --ignore-end --budget "$BUDGET" --prompt 'Once upon a time'
}

shipped() {
    one shipped "$B/bin/gov" run "$model" --json --tokens "$TOKENS" --threads "$THREADS" --ctx 512 \
        --ignore-end --budget "$BUDGET" --prompt 'Once upon a time'
}

run=0
while [ "$run" -lt "$RUNS" ]; do
    one stock "$B/tests/stock" "$model" --tokens "$TOKENS" --threads "$THREADS" --no-repack --prompt 'Once upon a time'
    shipped
    for hold in spread first dense; do
        for advice in normal random; do
            governed "$hold" "$advice"
        done
    done
    run=$((run + 1))
done

median() {
    cut -d' ' -f"$1" "$2" | sort -n | awk -v form="$3" '{ a[NR] = $1 } END { printf form, NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}
stock=$(median 1 "$work/stock" %.6g)
{
    printf '| mixture of experts, 510 MB in 340 MB | tokens/s | of stock | first token, ms | read, MB |\n|---|---|---|---|---|\n'
    for name in stock shipped spread-normal spread-random first-normal first-random dense-normal dense-random; do
        rate=$(median 1 "$work/$name" %.2f)
        printf '| %s | %s | %s | %s | %s |\n' "$name" "$rate" "$(awk "BEGIN { printf \"%.2fx\", $rate / $stock }")" \
            "$(median 2 "$work/$name" %.0f)" "$(median 3 "$work/$name" %.0f)"
    done
    awk -v a="$(median 1 "$work/shipped" %.6g)" -v b="$stock" 'BEGIN { printf "\nGoal: the shipped policy at 1.5x stock: %s.\n", (a >= 1.5 * b ? "met" : "not met") }'
} > "$out"
cat "$out"
