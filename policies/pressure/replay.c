/* SPDX-License-Identifier: MIT */
/* A policy under replay: takes the events of a trace, and says what came of it.
 * What the policy does is replay_turn.c's. */
#include "policies/pressure/replay_priv.h"

#include <string.h>

/* ---- open and close ------------------------------------------------------- */

gov_status gov__replay_open(gov_replay **out,
                            const struct gov_level_rules *levels,
                            const struct gov_relief_rules *relief,
                            const struct gov_replay_prices *prices,
                            const struct gov_alloc *alloc, gov_error *err)
{
    struct gov_replay *replay;

    if (alloc == NULL)
        alloc = gov_alloc_default();
    replay = alloc->alloc(alloc->ctx, sizeof(*replay));
    *out = replay;
    if (replay == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for a replay of %zu bytes; free some first",
                        sizeof(*replay));
    memset(replay, 0, sizeof(*replay));
    replay->alloc = *alloc;
    replay->levels = *levels;
    replay->relief = *relief;
    replay->prices = *prices;
    return GOV_OK;
}

gov_status gov_replay_open(gov_replay **out, const gov_policy *policy,
                           const struct gov_replay_prices *prices,
                           const struct gov_alloc *alloc, gov_error *err)
{
    struct gov_level_rules levels;
    struct gov_relief_rules relief;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || policy == NULL || prices == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_replay_open() needs a place for the replay, a "
                        "policy and prices");
    gov_policy_levels(policy, &levels);
    gov_policy_relief(policy, &relief);
    return gov__replay_open(out, &levels, &relief, prices, alloc, err);
}

void gov_replay_free(gov_replay *replay)
{
    struct gov_alloc alloc;

    if (replay == NULL)
        return;
    alloc = replay->alloc;
    alloc.release(alloc.ctx, replay);
}

void gov_replay_listen(gov_replay *replay, gov_replay_told_fn told, void *ctx)
{
    replay->told = told;
    replay->told_ctx = ctx;
}

/* ---- events --------------------------------------------------------------- */

/* The time since the last sample goes to the state that it left behind. The sum
 * is what is bounded, so that the parts add up to it. */
static void account(struct gov_replay *r, uint64_t ms)
{
    struct gov_replay_result *result = &r->result;

    if (ms > UINT64_MAX - result->span_ms)
        ms = UINT64_MAX - result->span_ms;
    result->span_ms += ms;
    if (r->machine.level >= GOV_LEVEL_CRITICAL)
        result->critical_ms += ms;
    else if (r->machine.level >= GOV_LEVEL_WARN)
        result->warn_ms += ms;
    else
        result->normal_ms += ms;
    if (r->short_of)
        result->short_ms += ms;
}

static void forget(struct gov__deeds *deeds)
{
    deeds->gave = deeds->grew = false;
    deeds->rest_until_ms = 0;
}

/* The clock of a running system does not run backwards: this is another one, or
 * another trace. What was given back in the one before is nothing here. */
static void begin_span(struct gov_replay *r)
{
    memset(&r->machine, 0, sizeof(r->machine));
    r->fell = false;
    for (size_t i = 0; i < GOV_REPLAY_ACTIONS; i++) {
        forget(&r->deeds[i]);
        r->model.slot[i].given_bytes = r->model.slot[i].recorded_bytes = 0;
    }
}

static bool knows_headroom(const struct gov_evidence *evidence)
{
    return (evidence->have & GOV_HAVE_HEADROOM) != 0 &&
           evidence->budget_bytes != 0;
}

static void note_headroom(struct gov_replay *r, uint64_t headroom_bytes)
{
    struct gov_replay_result *result = &r->result;

    if (!result->headroom_known ||
        headroom_bytes < result->least_headroom_bytes)
        result->least_headroom_bytes = headroom_bytes;
    result->headroom_known = true;
}

/* Who is registered again later begins anew. */
static void list(struct gov_replay *r, const struct gov_replay_event *event)
{
    gov__replay_list(&r->model, event);
    for (uint32_t i = 0; i < r->model.count; i++)
        if (r->model.slot[i].registered == 0)
            forget(&r->deeds[i]);
}

static void take_sample(struct gov_replay *r,
                        const struct gov_replay_event *event)
{
    struct gov_evidence evidence = event->evidence, after;

    if (r->started && evidence.now_ms < r->last_ms)
        begin_span(r);
    else if (r->started)
        account(r, evidence.now_ms - r->last_ms);
    r->started = true;
    r->last_ms = evidence.now_ms;
    list(r, event);
    gov__replay_headroom(&r->model, &evidence);
    if (knows_headroom(&evidence))
        note_headroom(r, evidence.headroom_bytes);
    gov__replay_turn(r, &evidence);
    after = event->evidence;
    gov__replay_headroom(&r->model, &after);
    r->short_of = knows_headroom(&after) && after.headroom_bytes == 0;
}

/* What nobody measured is taken for what it is taken for under replay. */
static uint64_t yield_of(const struct gov_replay *r,
                         const struct gov_replay_event *event)
{
    char name[GOV_ACTION_NAME];

    if (!event->unmeasured)
        return event->yield_bytes;
    gov__replay_name(name, event->name);
    return gov__replay_yield(gov__replay_price(&r->prices, name),
                             event->offered_bytes);
}

void gov_replay_step(gov_replay *replay, const struct gov_replay_event *event)
{
    switch (event->kind) {
    case GOV_REPLAY_SAMPLE:
        take_sample(replay, event);
        break;
    case GOV_REPLAY_RELIEF:
        gov__replay_gave(&replay->model, event->name, yield_of(replay, event));
        break;
    case GOV_REPLAY_REGROW:
        gov__replay_grew(&replay->model, event->name);
        break;
    }
}

/* ---- what came of it ------------------------------------------------------ */

void gov_replay_result(const gov_replay *replay, struct gov_replay_result *out)
{
    *out = replay->result;
}

bool gov_replay_action_at(const gov_replay *replay, uint32_t index,
                          char name[GOV_ACTION_NAME], uint32_t *runs,
                          uint64_t *given_bytes, bool *modelled)
{
    if (index >= replay->model.count)
        return false;
    memcpy(name, replay->model.slot[index].name, GOV_ACTION_NAME);
    *runs = replay->deeds[index].runs;
    *given_bytes = replay->deeds[index].given_bytes;
    *modelled = gov__replay_price(&replay->prices, name) == NULL;
    return true;
}
