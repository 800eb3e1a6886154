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
SETTINGS=${SETTINGS-batch-64 batch-2048 all-outputs 4-sequences 4-apart no-flash}
export LC_ALL=C
out=build/bench/footprint.md
mkdir -p build/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-need.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM HUP
: > "$work/rows"
: > "$work/refused"
: > "$work/settings"

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
    # One context is enough to see how far other settings are off.
    for setting in $SETTINGS; do
        "$B/tests/need" "$name" "$work/model.gguf" 4096 f16 "$setting" \
            2> "$work/why" | sed "s/^/$setting\t/" >> "$work/settings" || :
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
    [ ! -s "$work/settings" ] || {
        printf '\nOther settings, at 4096 tokens of f16: how far compute is off.\n\n'
        printf '| setting | models | within 10 %% | lowest | highest | lowest is | highest is |\n'
        printf '|---|---|---|---|---|---|---|\n'
        awk -F '\t' '
            {
                split($3, cell, "|"); name = cell[2]; off = $4 + 0
                if (!($1 in rows)) order[++settings] = $1
                rows[$1]++
                if (off >= -10 && off <= 10) within[$1]++
                if (rows[$1] == 1 || off < low[$1]) { low[$1] = off; lowest[$1] = name }
                if (rows[$1] == 1 || off > high[$1]) { high[$1] = off; highest[$1] = name }
            }
            END {
                for (i = 1; i <= settings; i++) {
                    s = order[i]
                    printf "| %s | %d | %d | %+.1f %% | %+.1f %% |%s|%s|\n", s, rows[s], within[s], low[s], high[s], lowest[s], highest[s]
                }
            }' "$work/settings"
    }
} > "$out"
cat "$out"
