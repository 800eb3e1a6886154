/* SPDX-License-Identifier: MIT */
/* How much of a machine's memory is never lent to models. */
#ifndef GOV_POLICIES_RESERVE_H
#define GOV_POLICIES_RESERVE_H

#include <stdint.h>

/* 10 %, at least 512 MiB, at most 25 %: kernel, page tables and everything else
 * that runs there. A small Debian system with nothing open uses 200 to 500 MiB, a
 * quarter is where a 1 GiB board would otherwise have nothing left for the app. */
uint64_t gov__reserve_of_ram(uint64_t ram);

#endif
