/* SPDX-License-Identifier: MIT */
/* The ladder: which relief action comes next, and how long one rests. Runs
 * nothing. */
#include "policies/ladder.h"

#include <inttypes.h>
#include <string.h>

#include "policies/language/words_priv.h"

/* Where the numbers come from:
 *   rest     WebKit's MemoryPressureHandler holds off for twenty times what the
 *            cleanup took, 5 s at least, 30 s when it freed less than a megabyte.
 *            Less than a tenth of what was offered counts as nothing, too
 *   after    systemd-oomd and oomd let 15 s pass after an action before they
 *            believe what they measure. The level took 5 s to fall before that
 *   every    senpai probes every 6 s, long enough for the window of 2 s (level.c)
 *            to show what the last action cost. Giving back takes a turn of a
 *            quarter of a second for eight actions; taking them again 57 s:
 *            CacheLib regrows rate-limited, too, and slower than it shrinks
 *   step     a hundredth of the budget: what senpai probes by
 */
#define LITTLE_BYTES (UINT64_C(1) << 20)
#define LITTLE_OF_OFFER 10
#define REST_MS 5000
#define REST_LITTLE_MS 30000
#define REST_PER_COST 20
#define REGROW_AFTER_MS 15000
#define REGROW_EVERY_MS 6000
#define REGROW_STEP_PERMILLE 10

void gov_relief_rules_default(struct gov_relief_rules *rules)
{
    *rules = (struct gov_relief_rules){
        .regrow = {.after_ms = REGROW_AFTER_MS,
                   .every_ms = REGROW_EVERY_MS,
                   .step_permille = REGROW_STEP_PERMILLE},
    };
}

/* ---- places -------------------------------------------------------------- */

static size_t name_bytes(const char name[GOV_ACTION_NAME])
{
    const char *end = memchr(name, '\0', GOV_ACTION_NAME);

    return end == NULL ? GOV_ACTION_NAME : (size_t)(end - name);
}

static uint32_t steps(const struct gov_relief_rules *rules)
{
    return rules->count < GOV_LADDER_STEPS ? rules->count : GOV_LADDER_STEPS;
}

uint32_t gov_ladder_place(const struct gov_relief_rules *rules,
                          const char *action)
{
    const size_t bytes = strlen(action);

    for (uint32_t i = 0; i < steps(rules); i++)
        if (gov__matches(action, bytes, rules->step[i].action,
                         name_bytes(rules->step[i].action)))
            return i;
    return rules->count;
}

/* ---- the next action ------------------------------------------------------ */

const struct gov_ladder_step *
gov_ladder_step(const struct gov_relief_rules *rules, uint32_t place)
{
    static const struct gov_ladder_step nothing;

    return place < rules->count ? &rules->step[place] : &nothing;
}

gov_level gov_ladder_from(const struct gov_ladder_step *step, gov_level own,
                          bool leaves)
{
    if (!leaves && (step->floor_bytes > 0 || step->floor_tokens > 0))
        return GOV_LEVEL_NEVER;
    return step->from_level != 0 ? step->from_level : own;
}

static bool may_run(const struct gov_rung *rung, gov_level level,
                    uint64_t now_ms)
{
    return !rung->blocked && rung->offered_bytes >= GOV_LADDER_LEAST_BYTES &&
           rung->from_level < GOV_LEVEL_NEVER && level >= rung->from_level &&
           now_ms >= rung->rest_until_ms;
}

static bool better(const struct gov_rung *a, const struct gov_rung *b)
{
    if (a->place != b->place)
        return a->place < b->place;
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

    if (reason == NULL)
        reason_bytes = 0;
    if (level < GOV_LEVEL_WARN) {
        gov__put(reason, reason_bytes, 0, "the level is normal");
        return GOV_LADDER_DONE;
    }
    if (target_bytes != 0 && given_bytes >= target_bytes) {
        gov__put(reason, reason_bytes, 0,
                 "%" PRIu64 " MiB were given back, enough for now",
                 given_bytes >> 20);
        return GOV_LADDER_DONE;
    }
    for (size_t i = 0; i < count; i++)
        if (may_run(&rungs[i], level, now_ms) &&
            (best == GOV_LADDER_DONE || better(&rungs[i], &rungs[best])))
            best = (int)i;
    if (best == GOV_LADDER_DONE)
        gov__put(reason, reason_bytes, 0, "no action has anything to give");
    else
        gov__put(reason, reason_bytes, 0,
                 "%s is next in the ladder and offers %" PRIu64 " KiB",
                 rungs[best].name, rungs[best].offered_bytes >> 10);
    return best;
}

/* ---- what cannot be undone ------------------------------------------------ */

bool gov_ladder_destructive(const char *action)
{
    static const char *const patterns[] = {"model.*", "kv.history"};
    const size_t bytes = strlen(action);

    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        if (gov__matches(action, bytes, patterns[i], strlen(patterns[i])))
            return true;
    return false;
}

void gov_ladder_guard(struct gov_rung *rung,
                      const struct gov_level_machine *machine)
{
    if (gov_ladder_destructive(rung->name))
        rung->destructive = true;
    if (rung->destructive && !machine->corroborated)
        rung->blocked = true;
}

/* ---- rest ---------------------------------------------------------------- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t gov_ladder_rest_ms(const struct gov_relief_rules *rules,
                            uint32_t place, uint64_t offered_bytes,
                            uint64_t yield_bytes, uint64_t took_ms)
{
    const struct gov_ladder_step *step =
        rules != NULL && place < steps(rules) ? &rules->step[place] : NULL;
    uint64_t cost = took_ms > UINT64_MAX / REST_PER_COST
                        ? UINT64_MAX
                        : took_ms * REST_PER_COST;
    uint64_t rest =
        step == NULL || step->rest_ms == 0 ? REST_MS : step->rest_ms;

    if (yield_bytes < LITTLE_BYTES ||
        yield_bytes < offered_bytes / LITTLE_OF_OFFER) {
        if (step != NULL && step->rest_little_ms != 0)
            rest = step->rest_little_ms;
        else
            rest = larger(rest, REST_LITTLE_MS);
    }
    return larger(rest, cost);
}
