/* SPDX-License-Identifier: MIT */
/* See reserve.h. */
#include "policies/planning/reserve.h"

uint64_t gov__reserve_of_ram(uint64_t ram)
{
    uint64_t least = UINT64_C(512) << 20;
    uint64_t reserve = ram / 10 > least ? ram / 10 : least;

    return reserve < ram / 4 ? reserve : ram / 4;
}
