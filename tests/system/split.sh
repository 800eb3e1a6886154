#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A model of several files, named as llama-gguf-split names them, in every form
# that weights have, streamed in a memory cgroup of 70 and of 50 % of it, too: the
# text is that of stock llama.cpp with the same files.
#
#   GOV_LONG=1 generates 100 tokens of a model of 720 MB; usually 8 of 290 MB.
set -eu

B=${B:-build/plain}
layers=160 tokens=8 parts=5
[ -z "${GOV_LONG:-}" ] || layers=400 tokens=100
if [ -n "${SAN:-}" ]; then
    echo 'a sanitizer needs more memory than the limit'
    exit 77
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-split.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
"$B/tests/mkmodel" --quiet --preset small --layers $layers --split "$parts" "$tmp/m.gguf"
model=$tmp/m-00001-of-0000$parts.gguf
bytes=$(cat "$tmp"/m-*.gguf | wc -c)
[ "$(find "$tmp" -name 'm-0000?-of-00005.gguf' -size +20000k | wc -l)" -eq "$parts" ]

# form NAME THEN: a policy of one rule.
form() {
    printf 'version: 1\nrules:\n  - name: form\n    then: { %s }\n    because: it is a test\n' "$2" > "$tmp/$1.yaml"
}
form mapped 'strategy: mmap'
form mapped-anchored 'strategy: mmap, anchor: true'
form streamed 'strategy: hybrid'
form streamed-some 'strategy: hybrid, hot: 30 %'
form streamed-anchored 'strategy: hybrid, anchor: true'
form streamed-direct 'strategy: hybrid, anchor: true, direct: true'
form heap 'strategy: heap, repack: false'
form heap-repacked 'strategy: heap, repack: true'

# One thread: what two compute depends on who came first.
say="--ctx 256 --tokens $tokens --threads 1"
cold() {
    for part in "$tmp"/m-*.gguf; do
        sync "$part"
        dd if="$part" iflag=nocache count=0 2> /dev/null
    done
}
# stock NAME OPTION...: text to NAME.text.
stock() {
    name=$1
    shift
    # shellcheck disable=SC2086 # words
    "$B/tests/stock" "$model" $say --print --prompt 'Once upon a time' "$@" > "$tmp/log" 2> "$tmp/$name.text" || {
        echo "stock, $name, failed:"
        cat "$tmp/$name.text"
        exit 1
    }
}
# same TEXT AS FORM WORDS [COMMAND]...: gov run by that form, behind the command,
# describes it with these words, and says what stock says.
same() {
    text=$1 form=$2 words=$3
    shift 3
    cold
    # shellcheck disable=SC2086
    "$@" "$B/bin/gov" run "$model" $say --ignore-end --policy "$tmp/$form.yaml" --prompt 'Once upon a time' > "$tmp/got" 2> "$tmp/err" || {
        echo "$form failed:"
        cat "$tmp/err"
        exit 1
    }
    grep -q "^$words" "$tmp/err" || {
        echo "$form: nothing says \"$words\":"
        cat "$tmp/err"
        exit 1
    }
    # gov says the prompt, too, and ends the line.
    printf 'Once upon a time%s\n' "$(cat "$tmp/$text.text")" | cmp -s - "$tmp/got" || {
        echo "$form: the text differs:"
        cat "$tmp/$text.text"
        echo
        cat "$tmp/got"
        exit 1
    }
}

stock plain --no-repack
stock repacked
same plain mapped 'mmap: .* are mapped'
same plain mapped-anchored 'mmap: '
same plain streamed-some 'hybrid: .* [1-9][0-9]* MB are streamed'
same plain heap 'heap: '
same repacked heap-repacked 'heap: .* repacks'
for share in 70 50; do
    limit=$((bytes * share / 100))
    rc=0
    "$B/tests/memlimit" "$limit" true 2> "$tmp/err" || rc=$?
    if [ "$rc" -eq 77 ]; then
        sed 's/^/skip: split: /' "$tmp/err"
        break
    fi
    forms='streamed streamed-anchored streamed-direct'
    [ -n "${GOV_LONG:-}" ] || [ "$share" -eq 50 ] || forms='streamed streamed-anchored'
    [ -n "${GOV_LONG:-}" ] || [ "$share" -eq 70 ] || forms=streamed-direct
    for form in $forms; do
        same plain "$form" 'hybrid: [1-9][0-9]* MB of weights stay in memory, [1-9][0-9]* MB are streamed' "$B/tests/memlimit" "$limit"
        grep -q 'oom_kills=0' "$tmp/err"
    done
done
# Or the last one was about nothing.
[ "$rc" -eq 77 ] || "$B/tests/memlimit" "$limit" "$B/bin/gov" plan "$model" --ctx 256 --policy "$tmp/streamed-direct.yaml" --json 2> "$tmp/err" | grep -q '"direct": *true'
