#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A context whose cache would take 537 MB is made in a memory cgroup of 60 MB,
# because it takes memory as it is used, and a conversation of 512 tokens is had in it;
# stock llama.cpp is killed there.
set -eu

B=${B:-build/plain}
if [ -n "${SAN:-}" ]; then
    echo 'a sanitizer needs more memory than the limit'
    exit 77
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-context.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM HUP
"$B/tests/mkmodel" --quiet --preset small --type Q4_0 "$tmp/m.gguf"
rc=0
"$B/tests/memlimit" 60000000 true 2> "$tmp/err" || rc=$?
if [ "$rc" -eq 77 ]; then
    cat "$tmp/err"
    exit 77
fi
mkdir -m 700 "$tmp/talks"
"$B/tests/memlimit" 60000000 "$B/tests/talk_time" "$tmp/m.gguf" 512 "$tmp/talks" 65536 > "$tmp/out" 2> "$tmp/err" || {
    cat "$tmp/err"
    exit 1
}
cat "$tmp/err"
grep -q 'oom_kills=0' "$tmp/err"
rc=0
"$B/tests/memlimit" 60000000 "$B/tests/stock" "$tmp/m.gguf" --no-repack --ctx 65536 --prompt x --tokens 1 > /dev/null 2>&1 || rc=$?
[ "$rc" -eq 137 ] || {
    echo "stock was expected to be killed and ended with $rc"
    exit 1
}
