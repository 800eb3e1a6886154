/* SPDX-License-Identifier: MIT */
/* Regrow: who may take memory again once pressure is over, and when. Decides
 * only; the caller tells the action. */
#include "policies/ladder.h"

#include <inttypes.h>

#include "policies/language/words_priv.h"

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

static void follow(struct gov_regrow *state, uint64_t now_ms)
{
    if (!state->calm || now_ms < state->last_ms)
        *state = (struct gov_regrow){.calm = true, .calm_since_ms = now_ms};
    state->last_ms = now_ms;
}

/* NOLINTNEXTLINE(readability-function-size): what decides is all in sight */
int gov_regrow_next(struct gov_regrow *state,
                    const struct gov_regrow_rules *rules,
                    const struct gov_rung *rungs, size_t count, gov_level level,
                    uint64_t now_ms, char *reason, size_t reason_bytes)
{
    uint64_t calm_ms, grew_ms;
    int next;

    if (reason == NULL)
        reason_bytes = 0;
    if (level >= GOV_LEVEL_WARN) {
        *state = (struct gov_regrow){.calm = false};
        gov__put(reason, reason_bytes, 0, "the level is %s",
                 gov_level_name(level));
        return GOV_LADDER_DONE;
    }
    follow(state, now_ms);
    calm_ms = now_ms - state->calm_since_ms;
    grew_ms = now_ms - state->grew_ms;
    next = last_that_gave(rungs, count);
    if (next == GOV_LADDER_DONE) {
        gov__put(reason, reason_bytes, 0, "nothing that was given is missing");
    } else if (calm_ms < rules->after_ms) {
        gov__put(reason, reason_bytes, 0,
                 "normal for %" PRIu64 ".%" PRIu64 " s; memory is taken again "
                 "after %" PRIu32 ".%" PRIu32 " s",
                 calm_ms / 1000, calm_ms % 1000 / 100, rules->after_ms / 1000,
                 rules->after_ms % 1000 / 100);
        next = GOV_LADDER_DONE;
    } else if (state->grew && grew_ms < rules->every_ms) {
        gov__put(reason, reason_bytes, 0,
                 "memory was taken again %" PRIu64 ".%" PRIu64
                 " s ago; one action every %" PRIu32 ".%" PRIu32 " s",
                 grew_ms / 1000, grew_ms % 1000 / 100, rules->every_ms / 1000,
                 rules->every_ms % 1000 / 100);
        next = GOV_LADDER_DONE;
    } else {
        gov__put(reason, reason_bytes, 0,
                 "%s is last in the ladder and may take memory again",
                 rungs[next].name);
        state->grew = true;
        state->grew_ms = now_ms;
    }
    return next;
}
