#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck source=/dev/null
#
# 1 GiB in pages of 16 KiB, where an offset or a size that is a multiple of
# 4 KiB alone is refused: facts and limits.
. /guest/checks.sh
. /guest/facts.sh
same 'page, as built in' 16384 "$(fact device.page_size)"
. /guest/limits.sh
holds 'kernel log' kernel_is_content
