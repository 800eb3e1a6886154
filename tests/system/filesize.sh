#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Where files may not grow (ulimit -f), no page is published and nobody dies of
# SIGXFSZ.
set -eu

B=${B:-build/plain}
if [ -n "${SAN:-}" ]; then
    echo 'the sanitizer writes files of its own'
    exit 77
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-filesize.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM HUP
"$B/tests/mkmodel" --quiet --preset tiny "$tmp/m.gguf"
(
    ulimit -f 0
    exec "$B/bin/gov" run "$tmp/m.gguf" --prompt x --tokens 2 --json 2>&1
) | tail -n 1 | grep '"event":"done","tokens":2,'
