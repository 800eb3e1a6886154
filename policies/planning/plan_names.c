/* SPDX-License-Identifier: MIT */
/* What a plan's choices are called. */
#include "policies/language/words_priv.h"
#include "policies/plan.h"

#define WORDS(names, first)                                                    \
    {                                                                          \
        names, sizeof(names) / sizeof((names)[0]), first                       \
    }

static const char *const strategies[] = {"mmap", "hybrid", "heap", "refuse"};
static const char *const holds[] = {"spread", "first", "dense"};
static const char *const warms[] = {"use", "file", "none"};
static const char *const advices[] = {"normal", "sequential", "random"};

const struct gov__words gov__strategies = WORDS(strategies, GOV_STRATEGY_MMAP);
const struct gov__words gov__holds = WORDS(holds, GOV_HOLD_SPREAD);
const struct gov__words gov__warms = WORDS(warms, GOV_WARM_USE);
const struct gov__words gov__advices = WORDS(advices, GOV_ADVICE_NORMAL);

static const char *named(const struct gov__words *words, unsigned n)
{
    unsigned first = (unsigned)words->first;

    return n >= first && n - first < words->count ? words->names[n - first]
                                                  : "unset";
}

const char *gov_strategy_name(gov_strategy strategy)
{
    return named(&gov__strategies, (unsigned)strategy);
}

const char *gov_hold_name(gov_hold hold)
{
    return named(&gov__holds, (unsigned)hold);
}

const char *gov_warm_name(gov_warm warm)
{
    return named(&gov__warms, (unsigned)warm);
}

const char *gov_advice_name(gov_advice advice)
{
    return named(&gov__advices, (unsigned)advice);
}
