#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A memory cgroup that is resized while a model runs in it: the budget follows,
# and is told once.
set -eu

B=${B:-build/plain}
if [ -n "${SAN:-}" ]; then
    echo 'a sanitizer needs more memory than the limit'
    exit 77
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-resized.XXXXXX")
holder=
trap '[ -z "$holder" ] || kill "$holder" 2> /dev/null || true; wait; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
"$B/tests/mkmodel" --quiet --target-size 100MB --type Q4_0 "$tmp/m.gguf"

"$B/tests/memlimit" 600000000 "$B/bin/gov" run "$tmp/m.gguf" --ctx 4096 --prompt 'Once' \
    --tokens 4000 --ignore-end --strategy mmap > "$tmp/out" 2> "$tmp/err" &
holder=$!

waits() {
    n=0
    until grep -q "$1" "$2"; do
        n=$((n + 1))
        if [ "$n" -gt 600 ] || ! kill -0 "$holder" 2> /dev/null; then
            return 1
        fi
        sleep 0.1
    done
}
waits 'loaded' "$tmp/err" || {
    if grep -q 'no memory cgroup can be made here' "$tmp/err"; then
        cat "$tmp/err"
        exit 77
    fi
    cat "$tmp/err"
    exit 1
}
group=$(find /sys/fs/cgroup -maxdepth 6 -type d -name "governor-test-$holder" | head -n 1)
for file in memory.limit_in_bytes memory.max; do
    [ -e "$group/$file" ] && break
done
echo 500000000 > "$group/$file"
waits 'the memory limit is now 476 MiB: the budget is ' "$tmp/err" || {
    echo 'the change was not noticed:'
    cat "$tmp/err"
    exit 1
}
[ "$(grep -c 'the memory limit is' "$tmp/err")" -eq 1 ]
