/* SPDX-License-Identifier: MIT */
#include "policies/ladder.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void say(char *out, size_t bytes, const char *format, ...)
    GOV_PRINTF(3, 4);

static void say(char *out, size_t bytes, const char *format, ...)
{
    va_list args;

    if (out == NULL)
        return;
    va_start(args, format);
    vsnprintf(out, bytes, format, args);
    va_end(args);
}

static bool may_run(const struct gov_rung *rung, gov_level level,
                    uint64_t now_ms)
{
    return !rung->blocked && rung->offered_bytes > 0 &&
           level >= rung->from_level && now_ms >= rung->rest_until_ms;
}

static bool better(const struct gov_rung *a, const struct gov_rung *b)
{
    if (a->rebuild_cost != b->rebuild_cost)
        return a->rebuild_cost < b->rebuild_cost;
    return a->offered_bytes > b->offered_bytes;
}

/* NOLINTNEXTLINE(readability-function-size): what decides is all in sight */
int gov_ladder_next(const struct gov_rung *rungs, size_t count, gov_level level,
                    uint64_t now_ms, uint64_t given_bytes,
                    uint64_t target_bytes, char *reason, size_t reason_bytes)
{
    int best = GOV_LADDER_DONE;

    if (level < GOV_LEVEL_WARN) {
        say(reason, reason_bytes, "the level is normal");
        return GOV_LADDER_DONE;
    }
    if (target_bytes != 0 && given_bytes >= target_bytes) {
        say(reason, reason_bytes,
            "%" PRIu64 " MiB were given back, enough for now",
            given_bytes >> 20);
        return GOV_LADDER_DONE;
    }
    for (size_t i = 0; i < count; i++)
        if (may_run(&rungs[i], level, now_ms) &&
            (best == GOV_LADDER_DONE || better(&rungs[i], &rungs[best])))
            best = (int)i;
    if (best == GOV_LADDER_DONE)
        say(reason, reason_bytes, "no action has anything to give");
    else
        say(reason, reason_bytes,
            "%s is the cheapest to rebuild and offers %" PRIu64 " KiB",
            rungs[best].name, rungs[best].offered_bytes >> 10);
    return best;
}

/* The figures are WebKit's (MemoryPressureHandler): a hold-off of twenty times
 * what the cleanup took, five seconds at least, thirty when it freed less than
 * a megabyte. Less than a tenth of what was offered counts as nothing, too. */
uint64_t gov_ladder_rest_ms(uint64_t offered_bytes, uint64_t yield_bytes,
                            uint64_t took_ms)
{
    const uint64_t little = UINT64_C(1) << 20;
    uint64_t rest = took_ms > UINT64_MAX / 20 ? UINT64_MAX : took_ms * 20;

    if (yield_bytes < little || yield_bytes < offered_bytes / 10)
        return rest > 30000 ? rest : 30000;
    return rest > 5000 ? rest : 5000;
}
