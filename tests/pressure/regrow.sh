#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What was given is taken again, live. Into the same shortage: each time it waits twice
# as long, so there are a handful of oscillations and not one every rest. And with a
# sawtooth so slow that it pays: once a tooth. Waits are a second here; those that ship,
# over an hour, with GOV_LONG=1.
set -eu

. tests/pressure/common.sh
cat > "$tmp/quick.yaml" << END
version: 1
regrow: { after: 1 s, every: 1 s }
END
policy=$(long "$tmp/quick.yaml" balanced)
ms=$(long 40000 3600000) most=$(long 5 9)

line=$("$time" regrow "$ms" 0 500 "$policy")
row 'growing again into a shortage' "$(key regrows "$line") times in $((ms / 1000)) s, $(key events "$line") changes" "at most $most" \
    "$(key regrows "$line") <= $most && $(key regrows "$line") >= 1 && $(key events "$line") <= 2 * $most + 1"
ms=$(long 36000 3600000)
# What ships blames a WARN within a minute of growing on that: teeth are longer.
line=$("$time" regrow "$ms" "$(long 2000 30000)" "$(long 10000 120000)" "$policy")
teeth=$(key teeth "$line")
row 'a slow sawtooth: grows again' "$(key regrows "$line") of $teeth, $(key events "$line") changes" 'once a tooth' \
    "$(key regrows "$line") <= $teeth && $(key regrows "$line") >= $teeth - 1 && $(key events "$line") <= 2 * $teeth"
exit $bad
