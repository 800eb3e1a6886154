#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every benchmark, each with a script and a table of its own in build/bench:
# weights against stock llama.cpp and the floor (weights.sh), a mixture of experts
# (sparse.sh), what a conversation costs (kv.sh), what gov profile measures against
# fio (device.sh), what reading a header takes (header.sh), what models need against
# llama.cpp's own word (need.sh), what a decision takes (policy.sh), what holding a
# purgeable block takes (purgeable.sh), and what publishing costs (publish.sh). One
# that cannot be run here says why.
set -eu

B=${B:-build/plain}
for one in weights sparse kv device header need policy purgeable publish; do
    B=$B "$(dirname "$0")/$one.sh" || [ $? -eq 77 ]
    echo
done
