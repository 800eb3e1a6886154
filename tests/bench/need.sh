#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What gov_model_need() estimates against what llama.cpp's dry run says, for
# published models (tests/models/shapes). The worst first; what is not equal, or
# off by more than 10 % in compute buffers, is bold. Goes to
# build/bench/footprint.md.
#
#   CONTEXTS="4096 32768" TYPES="f16 q8_0" tests/bench/need.sh
set -eu

B=${B:-build/plain}
CONTEXTS=${CONTEXTS:-4096 32768}
TYPES=${TYPES:-f16 q8_0}
export LC_ALL=C
out=build/bench/footprint.md
mkdir -p build/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-need.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM HUP
: > "$work/rows"
: > "$work/refused"

for shape in tests/models/shapes/*.shape; do
    name=$(sed -n 's/^general\.name //p' "$shape")
    "$B/tests/shape" "$shape" "$work/model.gguf"
    for context in $CONTEXTS; do
        for type in $TYPES; do
            rc=0
            "$B/tests/need" "$name" "$work/model.gguf" "$context" "$type" \
                >> "$work/rows" 2> "$work/why" || rc=$?
            if [ "$rc" -eq 77 ]; then
                sed 's/^/bench: /' "$work/why" >&2
                exit 77
            fi
            [ "$rc" -eq 0 ] || sed "s|^need: |- $context, $type: |" "$work/why" >> "$work/refused"
        done
    done
    rm -f "$work/model.gguf"
    printf '\r%-40s' "$name" >&2
done
printf '\r%40s\r' '' >&2

{
    printf 'In MB. Where two numbers differ, the first is ours and the second llama.cpp'"'"'s.\n\n'
    printf '| model | context | KV | weights | KV bytes | state | output | compute, ours | compute, llama.cpp | difference |\n'
    printf '|---|---|---|---|---|---|---|---|---|---|\n'
    sort -s -rn "$work/rows" | cut -f 2
    [ ! -s "$work/refused" ] || {
        printf '\nNot to be had:\n\n'
        cat "$work/refused"
    }
    printf '\n%d rows; compute within 10 %%: %d; everything else equal: %d.\n' \
        "$(wc -l < "$work/rows")" \
        "$(grep -vc '\*\*[-+]' "$work/rows" || :)" \
        "$(grep -vc '\*\*[0-9]' "$work/rows" || :)"
} > "$out"
cat "$out"
