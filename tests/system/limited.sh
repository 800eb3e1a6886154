#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A model in a memory cgroup of 70 % of its size: stock repacked llama.cpp is
# killed there, the governor plans hybrid by itself and generates the same text
# as without a limit.
set -eu

B=${B:-build/plain}
if [ -n "${SAN:-}" ]; then
    echo 'a sanitizer needs more memory than the limit'
    exit 77
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-limited.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM HUP
"$B/tests/mkmodel" --quiet --target-size 300MB --type Q4_0 "$tmp/m.gguf"
limit=$(($(wc -c < "$tmp/m.gguf") * 7 / 10))
rc=0
"$B/tests/memlimit" "$limit" true 2> "$tmp/err" || rc=$?
if [ "$rc" -eq 77 ]; then
    cat "$tmp/err"
    exit 77
fi
run() {
    sync "$tmp/m.gguf"
    dd if="$tmp/m.gguf" iflag=nocache count=0 2> /dev/null
    "$@" --prompt 'Once upon a time' --tokens 8
}

want=$(run "$B/bin/gov" run "$tmp/m.gguf" --ctx 256 --strategy mmap --ignore-end 2> "$tmp/free.err")
got=$(run "$B/tests/memlimit" "$limit" "$B/bin/gov" run "$tmp/m.gguf" --ctx 256 --ignore-end 2> "$tmp/err")
cat "$tmp/err"
grep -q '^plan: hybrid' "$tmp/err"
grep -q 'oom_kills=0' "$tmp/err"
[ "$got" = "$want" ] || {
    printf 'the text differs:\n%s\n%s\n' "$want" "$got"
    exit 1
}
rc=0
run "$B/tests/memlimit" "$limit" "$B/tests/stock" "$tmp/m.gguf" --ctx 256 > /dev/null 2>&1 || rc=$?
[ "$rc" -eq 137 ] || {
    echo "stock, repacked, was expected to be killed and ended with $rc"
    exit 1
}
