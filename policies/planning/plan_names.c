/* SPDX-License-Identifier: MIT */
/* What a plan's choices are called. */
#include "policies/plan.h"

static const char *named(const char *const *names, size_t count, size_t n)
{
    return n < count ? names[n] : "unset";
}

const char *gov_strategy_name(gov_strategy strategy)
{
    switch (strategy) {
    case GOV_STRATEGY_UNSET:
        break;
    case GOV_STRATEGY_MMAP:
        return "mmap";
    case GOV_STRATEGY_HYBRID:
        return "hybrid";
    case GOV_STRATEGY_HEAP:
        return "heap";
    case GOV_STRATEGY_REFUSE:
        return "refuse";
    }
    return "unset";
}

const char *gov_hold_name(gov_hold hold)
{
    static const char *const names[] = {"spread", "first", "dense"};

    return named(names, 3, (size_t)hold);
}

const char *gov_warm_name(gov_warm warm)
{
    static const char *const names[] = {"use", "file", "none"};

    return named(names, 3, (size_t)warm);
}

const char *gov_advice_name(gov_advice advice)
{
    static const char *const names[] = {"normal", "sequential", "random"};

    return named(names, 3, (size_t)advice);
}
