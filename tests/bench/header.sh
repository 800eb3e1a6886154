#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What reading a header takes, beside llama.cpp's own reader of GGUF on the same
# file: 256k tokens with scores and types, 500k merges, 1000 tensors, in the page
# cache, by turns. llama.cpp keeps the vocabulary, the governor passes over it. Goes
# to build/bench/header.md. The promise is 5 ms, and less than llama.cpp.
#
#   TURNS=101 tests/bench/header.sh
set -eu

B=${B:-build/plain}
TURNS=${TURNS:-101}
export LC_ALL=C
mkdir -p build/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/governor-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM HUP

megabytes=$("$B/tests/header_make" "$work/header.gguf")
{
    printf 'A header of %s MB: 262144 tokens, 500000 merges, 1000 tensors.\n\n' "$megabytes"
    printf '| governor ms | llama.cpp ms | times faster | governor best | llama.cpp best | turns |\n'
    printf '|---|---|---|---|---|---|\n'
    "$B/tests/header_time" "$work/header.gguf" "$TURNS"
} > build/bench/header.md
cat build/bench/header.md
