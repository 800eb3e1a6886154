#!/bin/sh
# SPDX-License-Identifier: MIT
#
# docs/examples: what the page quotes is in the programs, these build against an
# installed copy as a stranger would build them, and do what the page says: answer,
# tell of memory, give the context back and answer again.
set -eu

B=${B:-build/plain}
dir=docs/examples
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-example.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2> /dev/null || :; wait; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP

fail() {
    echo "$*"
    [ ! -s "$tmp/err" ] || cat "$tmp/err"
    exit 1
}

# ---- the page -----------------------------------------------------------------

shorter() {
    lines=$(wc -l < "$dir/$1")
    [ "$lines" -lt "$2" ] || fail "$1 has $lines lines; it is to have less than $2"
}
shorter chat.c 120
shorter chat_adapter.c 80

# Blocks are marked with the file that they are from: ```c chat.c
quoted() {
    awk -v from="\`\`\`c $1" '$0 == from { on = 1; next } /^```/ { on = 0 } on && NF' "$dir/README.md"
}
for file in chat.c chat_adapter.c; do
    quoted "$file" > "$tmp/quoted"
    [ "$(wc -l < "$tmp/quoted")" -ge 10 ] || fail "README.md quotes next to nothing of $file"
    while IFS= read -r line; do
        grep -Fxq -e "$line" "$dir/$file" || fail "README.md quotes what is not in $file: $line"
    done < "$tmp/quoted"
done
quoted chat.c > "$tmp/quoted"
grep -F '/* governor' "$dir/chat.c" > "$tmp/marked"
while IFS= read -r line; do
    grep -Fxq -e "$line" "$tmp/quoted" || fail "README.md does not quote what chat.c marks: $line"
done < "$tmp/marked"

# ---- the build ----------------------------------------------------------------

[ -f build/engine/engine.mk ] || {
    echo 'there is no llama.cpp to build them with'
    exit 77
}
# A copy of the same prefix as consumer.sh installs, or, where that is skipped, of the
# one that all was built for: another one builds everything anew.
prefix=/opt/governor sanitize=
case ${SAN:-} in
asan) prefix=/usr/local sanitize='-g -fsanitize=address,undefined -fno-sanitize-recover=all' ;;
tsan) prefix=/usr/local sanitize='-g -fsanitize=thread' ;;
esac
${MAKE:-make} --no-print-directory B="$B" DESTDIR="$tmp/stage" prefix=$prefix install > "$tmp/install.log"
root=$tmp/stage$prefix
PKG_CONFIG_PATH=$root/lib/pkgconfig
PKG_CONFIG_SYSROOT_DIR=$tmp/stage
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
flags=$(pkg-config --cflags --libs governor)
engine=$(sed -n -e 's/^ENGINE_CFLAGS := //p' -e 's/^ENGINE_LIBS := //p' build/engine/engine.mk)
# Away from the tree, so that no header of it is found.
cp "$dir"/*.[ch] "$tmp"
# shellcheck disable=SC2086 # flags are words
(
    cd "$tmp"
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror $sanitize -o chat chat.c $flags $engine
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror $sanitize -o chat_adapter chat_adapter.c $flags
)

# ---- the programs -------------------------------------------------------------

mkdir "$tmp/run" "$tmp/home"
chmod 700 "$tmp/run"
HOME=$tmp/home XDG_RUNTIME_DIR=$tmp/run LD_LIBRARY_PATH=$root/lib
export HOME XDG_RUNTIME_DIR LD_LIBRARY_PATH
unset XDG_CONFIG_HOME XDG_CACHE_HOME GOVERNOR_ENGINE_DIR || :
"$B/tests/mkmodel" --quiet --preset tiny --ctx 256 "$tmp/m.gguf"
"$B/tests/mkmodel" --quiet --preset tiny-bert "$tmp/bert.gguf"

# ends WITH PROGRAM [ARGUMENT]... < LINES: that is the exit status; a failure is one
# sentence and nothing else.
ends() {
    with=$1 name=$2 rc=0
    shift 2
    (cd "$tmp" && exec "./$name" "$@") > "$tmp/out" 2> "$tmp/err" || rc=$?
    [ "$rc" -eq "$with" ] || fail "$name $* ended with $rc, not $with:"
    [ "$with" -ne 0 ] || return 0
    [ "$(wc -l < "$tmp/err")" -eq 1 ] || fail "$name $* said not one sentence:"
    [ ! -s "$tmp/out" ] || fail "$name $* answered and failed:"
}

for program in chat chat_adapter; do
    printf 'Hello\nHow are you?\n' > "$tmp/lines"
    ends 0 $program m.gguf < "$tmp/lines"
    [ "$(wc -l < "$tmp/out")" -ge 2 ] || fail "$program did not answer twice:"
    [ "$(wc -c < "$tmp/out")" -ge 100 ] || fail "$program said next to nothing:"
    # This machine's memory may be short, too.
    ! grep -v '^memory: ' "$tmp/err" > /dev/null || fail "$program complained:"
    ends 0 $program m.gguf < /dev/null
    ends 2 $program < /dev/null
    ends 2 $program m.gguf m.gguf < /dev/null
    ends 1 $program none.gguf < /dev/null
    grep -q 'none.gguf' "$tmp/err" || fail "$program does not say which model:"
    ends 1 $program chat.c < /dev/null
done

# More than the context holds, many times over; and a line that is more.
yes 'Tell me more' | head -n 12 > "$tmp/lines"
for program in chat chat_adapter; do
    ends 0 $program m.gguf < "$tmp/lines"
    [ "$(wc -l < "$tmp/out")" -ge 12 ] || fail "$program stopped answering:"
done
{
    yes word | head -n 400 | tr '\n' ' '
    printf '\nHello\n'
} > "$tmp/lines"
ends 0 chat m.gguf < "$tmp/lines"
grep -q 'too long' "$tmp/err" || fail 'chat takes a line that is too long:'
[ -s "$tmp/out" ] || fail 'chat answers no more after a line that was too long:'
ends 1 chat bert.gguf < "$tmp/lines"

# The same model with a template is spoken to in another way: one key more, of 64
# bytes, so that the tensors stay aligned.
keys=$(od -An -t u1 -j 16 -N 1 "$tmp/m.gguf")
{
    head -c 16 "$tmp/m.gguf"
    printf '%b' "\\0$(printf '%o' $((keys + 1)))\\0\\0\\0\\0\\0\\0\\0"
    printf '\027\000\000\000\000\000\000\000tokenizer.chat_template'
    printf '\010\000\000\000\025\000\000\000\000\000\000\000<|im_start|>         '
    tail -c +25 "$tmp/m.gguf"
} > "$tmp/template.gguf"
echo Hello > "$tmp/lines"
ends 0 chat m.gguf < "$tmp/lines"
mv "$tmp/out" "$tmp/plain.out"
ends 0 chat template.gguf < "$tmp/lines"
[ -s "$tmp/out" ] || fail 'chat does not answer with a template:'
! cmp -s "$tmp/out" "$tmp/plain.out" || fail 'chat does not use the template:'

# ---- pressure -----------------------------------------------------------------

# for_a_while COMMAND...: until it holds, half a minute at most.
for_a_while() {
    n=0
    until "$@"; do
        n=$((n + 1))
        [ "$n" -lt 300 ] || return 1
        sleep 0.1
    done
}
answered() {
    [ "$(wc -l < "$tmp/out")" -ge "$1" ]
}
told() {
    grep -q "$1" "$tmp/err"
}

mkfifo "$tmp/lines.fifo"
for program in chat chat_adapter; do
    : > "$tmp/out"
    "$tmp/$program" "$tmp/m.gguf" < "$tmp/lines.fifo" > "$tmp/out" 2> "$tmp/err" &
    pid=$!
    exec 3> "$tmp/lines.fifo"
    echo Hello >&3
    for_a_while answered 1 || fail "$program does not answer:"
    "$B/bin/gov" pressure --simulate critical --for 60s --pid "$pid" > /dev/null
    for_a_while told '^memory: critical: simulated' || fail "$program does not tell of memory:"
    if [ "$program" = chat ]; then
        for_a_while told '^memory: kv.idle gave back' || fail 'chat does not give its context back:'
        # A sanitizer keeps for a while what is freed.
        [ -n "${SAN:-}" ] || told '^memory: kv.idle gave back [1-9]' || fail 'chat gave nothing back:'
    fi
    answers=$(wc -l < "$tmp/out")
    echo 'And now?' >&3
    for_a_while answered $((answers + 1)) || fail "$program does not answer under pressure:"
    exec 3>&-
    rc=0
    wait "$pid" || rc=$?
    pid=
    [ "$rc" -eq 0 ] || fail "$program ended with $rc:"
done
left=$(find "$tmp/run" -type f)
[ -z "$left" ] || fail "left: $left"
