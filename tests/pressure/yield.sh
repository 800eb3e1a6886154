#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What every action that ships says it gives, against what the kernel says it gave:
# what is charged to the group of the process, in one of its own.
set -eu

. tests/pressure/common.sh
need_groups
times=$(long 1 30)
model=$tmp/model.gguf
GOVERNOR_ENGINE_DIR=${GOVERNOR_ENGINE_DIR:-$B/lib/governor}
export GOVERNOR_ENGINE_DIR
[ ! -x "$B/tests/mkmodel" ] || [ ! -e "$B/lib/governor/libgovernor-llama.so" ] ||
    "$B/tests/mkmodel" --quiet --preset small --layers 32 "$model"

cat > "$tmp/inside" << END
[ ! -e "$model" ] || cat "$model" > "$tmp/own.gguf"
sync "$tmp"/*.gguf
exec "\$@"
END

# yielded NAME ACTION: no other action runs. A file's pages are charged to who has them
# first, so the group gets a model of its own.
yielded() {
    case $1 in
    kv.* | weights.* | model.* | cache.prompts)
        [ -e "$model" ] || {
            note "$1 gives what it says" 'skipped: there is no engine here'
            return 0
        }
        ;;
    esac
    cat > "$tmp/only.yaml" << END
version: 1
base: none
ladder:
  - { action: $2, from: warn }
  - { action: '*', from: never }
regrow: { after: 0 s, every: 0 s }
END
    rc=0
    in_group 2048 sh "$tmp/inside" "$B/tests/yield" "$1" "$times" "$tmp/only.yaml" "$tmp/own.gguf" > "$tmp/yield" || rc=$?
    line=$(cat "$tmp/yield")
    said=$(key claimed "$line") measured=$(key measured "$line") given=$(key group "$line")
    figure=$(awk "BEGIN { printf \"%.1f, %.1f of %.1f MB, %.3f\", ${measured:-0} / 1e6, ${given:-0} / 1e6, ${said:-0} / 1e6, ${given:-0} / (${said:-0} + 1e-9) }")
    row "$1: measured, given of claimed" "$figure" '0.95 of both' \
        "$rc == 0 && ${said:-0} > 0 && ${given:-0} >= 0.95 * ${said:-0} && ${measured:-0} <= 1.05 * ${given:-0} && ${measured:-0} >= 0.95 * ${said:-0}"
    [ -z "${V:-}" ] || echo "  $line"
    [ "$rc" -eq 0 ] || sed -n 's/^yield: /  /p' "$tmp/memlimit"
}

yielded heap.purge heap.purge
yielded cache.large cache.large
yielded cache.small cache.small
yielded cache.prompts cache.prompts
yielded kv.unused kv.unused
yielded weights.hot weights.hot
yielded weights.hot-streamed weights.hot
yielded weights.hot-anchored weights.hot
yielded model.second model.second
exit $bad
