/* SPDX-License-Identifier: MIT */
/* Regrow: who may take memory again once pressure is over, and when. Decides
 * only; the caller tells the action. */
#include "policies/ladder.h"

#include <inttypes.h>

#include "policies/language/words_priv.h"

/* As soon as this after a regrow a WARN is blamed on it: two rests of an action
 * that gave little, and what a replay calls an oscillation. */
#define SOON_MS 60000
#define DOUBLED_MOST 6
#define FORGET_MS 3600000

/* The other way round than gov_ladder_next(), but for what is offered: what an
 * action offers once it gave says nothing. */
static bool later(const struct gov_rung *a, const struct gov_rung *b)
{
    if (a->place != b->place)
        return a->place > b->place;
    return a->rebuild_cost >= b->rebuild_cost;
}

static int last_that_gave(const struct gov_rung *rungs, size_t count)
{
    int last = GOV_LADDER_DONE;

    for (size_t i = 0; i < count; i++)
        if (rungs[i].gave &&
            (last == GOV_LADDER_DONE || later(&rungs[i], &rungs[last])))
            last = (int)i;
    return last;
}

static void pressed(struct gov_regrow *state, uint64_t now_ms)
{
    uint32_t doubled = state->doubled;

    if (state->regrew && now_ms >= state->regrew_ms &&
        now_ms - state->regrew_ms <= SOON_MS && doubled < DOUBLED_MOST)
        doubled++;
    *state = (struct gov_regrow){.doubled = doubled};
}

static void follow(struct gov_regrow *state, uint64_t now_ms)
{
    if (!state->calm || now_ms < state->last_ms)
        *state = (struct gov_regrow){
            .calm = true, .calm_since_ms = now_ms, .doubled = state->doubled};
    if (now_ms - state->calm_since_ms >= FORGET_MS)
        state->doubled = 0;
    state->last_ms = now_ms;
}

uint64_t gov_regrow_bytes(const struct gov_regrow_rules *rules,
                          uint64_t budget_bytes)
{
    const uint64_t least = (uint64_t)1 << 20, share = budget_bytes / 1000;
    const uint64_t permille =
        rules->step_permille < 1000 ? rules->step_permille : 1000;

    if (permille == 0)
        return UINT64_MAX;
    return share * permille > least ? share * permille : least;
}

/* NOLINTNEXTLINE(readability-function-size): what decides is all in sight */
int gov_regrow_next(struct gov_regrow *state,
                    const struct gov_regrow_rules *rules,
                    const struct gov_rung *rungs, size_t count, gov_level level,
                    uint64_t now_ms, char *reason, size_t reason_bytes)
{
    uint64_t calm_ms, grew_ms, after_ms, every_ms;
    int next;

    if (reason == NULL)
        reason_bytes = 0;
    if (level >= GOV_LEVEL_WARN) {
        pressed(state, now_ms);
        gov__put(reason, reason_bytes, 0, "the level is %s",
                 gov_level_name(level));
        return GOV_LADDER_DONE;
    }
    follow(state, now_ms);
    calm_ms = now_ms - state->calm_since_ms;
    grew_ms = now_ms - state->grew_ms;
    after_ms = (uint64_t)rules->after_ms << state->doubled;
    every_ms = (uint64_t)rules->every_ms << state->doubled;
    next = last_that_gave(rungs, count);
    if (next == GOV_LADDER_DONE) {
        gov__put(reason, reason_bytes, 0, "nothing that was given is missing");
    } else if (calm_ms < after_ms) {
        gov__put(reason, reason_bytes, 0,
                 "normal for %" PRIu64 ".%" PRIu64 " s; memory is taken again "
                 "after %" PRIu64 ".%" PRIu64 " s",
                 calm_ms / 1000, calm_ms % 1000 / 100, after_ms / 1000,
                 after_ms % 1000 / 100);
        next = GOV_LADDER_DONE;
    } else if (state->grew && grew_ms < every_ms) {
        gov__put(reason, reason_bytes, 0,
                 "memory was taken again %" PRIu64 ".%" PRIu64
                 " s ago; one action every %" PRIu64 ".%" PRIu64 " s",
                 grew_ms / 1000, grew_ms % 1000 / 100, every_ms / 1000,
                 every_ms % 1000 / 100);
        next = GOV_LADDER_DONE;
    } else {
        gov__put(reason, reason_bytes, 0,
                 "%s is last in the ladder and may take memory again",
                 rungs[next].name);
        state->grew = state->regrew = true;
        state->grew_ms = state->regrew_ms = now_ms;
    }
    return next;
}
