#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck source=/dev/null
#
# 1 GiB, cgroup v2, ext4: facts against what the kernel says, limits, swap.
. /guest/checks.sh
. /guest/facts.sh
. /guest/limits.sh
holds 'kernel log' kernel_is_content
