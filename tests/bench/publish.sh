#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What publishing costs: an update's processor time, what that is of a core at the two
# paces, and tokens/s with the page and without one, in turns, the median of the pairs.
# The second says that nothing is wrong; of what publishing costs only the first can
# tell, since two runs of the same differ by far more. Goes to build/bench/publish.md.
#
#   RUNS=5 SIZE=300MB TOKENS=64 THREADS=2 tests/bench/publish.sh
#
# RUNS=0 leaves the pairs out.
set -eu

B=${B:-build/plain}
RUNS=${RUNS:-5}
SIZE=${SIZE:-300MB}
TOKENS=${TOKENS:-64}
THREADS=${THREADS:-2}
export LC_ALL=C
out=build/bench/publish.md
mkdir -p build/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-publish.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -m 700 "$work/pages" "$work/run"
"$B/tests/publish_time" "$work/pages" --check > "$work/table" || {
    cat "$work/table"
    echo 'bench: publishing ten times a second is 0.1 % of a core or more' >&2
    exit 1
}

# speed ENVIRONMENT...: where neither names a directory, there is no page.
speed() {
    env "$@" "$B/bin/gov" run "$work/m.gguf" --json --strategy mmap --ignore-end --threads "$THREADS" --ctx 512 \
        --prompt 'Once upon a time' --tokens "$TOKENS" > "$work/out" 2> /dev/null
    sed -n '/"event": *"done"/s/.*"tokens_per_second": *\([0-9.]*\).*/\1/p' "$work/out"
}
if [ "$RUNS" -gt 0 ]; then
    "$B/tests/mkmodel" --quiet --target-size "$SIZE" --type Q4_0 "$work/m.gguf"
    for _ in $(seq "$RUNS"); do
        without=$(speed XDG_RUNTIME_DIR= TMPDIR=/dev/null)
        echo "$(speed XDG_RUNTIME_DIR="$work/run") $without" >> "$work/pairs"
    done
    awk '{ print $1 / $2 }' "$work/pairs" | sort -n | awk -v runs="$RUNS" '
        { a[NR] = $1 }
        END { printf "| tokens/s with the page, of those without, of %d pairs | %.4f (%.4f to %.4f) |\n", runs, \
            NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2, a[1], a[NR] }' >> "$work/table"
fi
tee "$out" < "$work/table"
