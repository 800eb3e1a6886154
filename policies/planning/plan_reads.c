/* SPDX-License-Identifier: MIT */
/* What a plan has to read from storage, and how long that takes. */
#include "policies/planning/sizes_priv.h"

/* a * b / c, rounded up. */
static uint64_t scaled_up(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t down = gov__scaled(a, b, c);

    /* Of what was rounded off there is less than a whole c; products wrap alike. */
    return down != UINT64_MAX && a * b != down * c ? down + 1 : down;
}

uint64_t gov_plan_read_us(const struct gov_plan *plan, uint64_t bytes)
{
    uint64_t hot = bytes < plan->hot_bytes ? bytes : plan->hot_bytes;

    if (plan->read_rate == 0)
        return 0;
    if (plan->cold_rate == 0 || plan->cold_rate == plan->read_rate)
        hot = bytes;
    return gov__sat_add(
        scaled_up(hot, 1000000, plan->read_rate),
        hot < bytes ? scaled_up(bytes - hot, 1000000, plan->cold_rate) : 0);
}

struct gov_evicted gov_plan_evicted(const struct gov_plan *plan,
                                    uint32_t permille)
{
    bool file_pages = (plan->strategy == GOV_STRATEGY_MMAP ||
                       plan->strategy == GOV_STRATEGY_HYBRID) &&
                      !plan->anchor;
    uint32_t share = permille < 1000 ? permille : 1000;
    struct gov_evicted out = {0, 0};

    if (file_pages)
        out.bytes = scaled_up(plan->hot_bytes, share, 1000);
    out.us = gov_plan_read_us(plan, out.bytes);
    return out;
}
