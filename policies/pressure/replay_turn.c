/* SPDX-License-Identifier: MIT */
/* One turn of a policy under replay, as governor/runtime/ takes it live: level,
 * ladder, regrow. Decides nothing itself. */
#include "policies/pressure/replay_priv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void tell(const struct gov_replay *r, uint64_t at_ms, const char *format,
                 ...) GOV_PRINTF(3, 4);

static void tell(const struct gov_replay *r, uint64_t at_ms, const char *format,
                 ...)
{
    char sentence[256];
    va_list args;

    if (r->told == NULL)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    r->told(r->told_ctx, at_ms, r->machine.level, sentence);
}

/* ---- the level ------------------------------------------------------------ */

static uint32_t number_of(gov_level level)
{
    if (level >= GOV_LEVEL_CRITICAL)
        return 2;
    return level >= GOV_LEVEL_WARN ? 1 : 0;
}

static bool soon(uint64_t since_ms, uint64_t now_ms)
{
    return now_ms - since_ms < GOV_REPLAY_OSCILLATION_MS;
}

static void rise(struct gov_replay *r, uint32_t steps, uint64_t now_ms)
{
    r->result.rises += steps;
    if (r->fell && soon(r->fell_ms, now_ms))
        r->result.oscillations++;
    r->fell = false;
    for (size_t i = 0; i < GOV_REPLAY_ACTIONS; i++)
        r->deeds[i].rest_until_ms = 0;
    tell(r, now_ms, "the level rises to %s: %s",
         gov_level_name(r->machine.level), r->machine.reason);
}

static void fall(struct gov_replay *r, uint32_t steps, uint64_t now_ms)
{
    r->result.falls += steps;
    r->fell = true;
    r->fell_ms = now_ms;
    tell(r, now_ms, "the level falls to %s: %s",
         gov_level_name(r->machine.level), r->machine.reason);
}

static void judge(struct gov_replay *r, const struct gov_evidence *evidence)
{
    const uint32_t before = number_of(r->machine.level);
    uint32_t after;

    gov_level_step(&r->machine, &r->levels, evidence);
    after = number_of(r->machine.level);
    if (after > before)
        rise(r, after - before, evidence->now_ms);
    else if (after < before)
        fall(r, before - after, evidence->now_ms);
}

/* ---- relief and regrow ---------------------------------------------------- */

/* A rung for each slot; those whose action is not registered offer nothing, and
 * gave nothing. */
static void take_inventory(const struct gov_replay *r,
                           struct gov_rung rungs[GOV_REPLAY_ACTIONS])
{
    for (uint32_t i = 0; i < r->model.count; i++) {
        const struct gov__replay_slot *slot = &r->model.slot[i];
        const uint32_t place = gov_ladder_place(&r->relief, slot->name);
        const struct gov_ladder_step *step = gov_ladder_step(&r->relief, place);

        rungs[i] = (struct gov_rung){
            .name = slot->name,
            .from_level =
                gov_ladder_from(step, slot->from_level, slot->leaving > 0),
            .place = place,
            .rebuild_cost = slot->rebuild_cost,
            .offered_bytes = gov__replay_offer(slot, step->floor_bytes),
            .rest_until_ms = r->deeds[i].rest_until_ms,
            .gave = r->deeds[i].gave && slot->regrows,
        };
        gov_ladder_guard(&rungs[i], &r->machine);
    }
}

/* One turn: the sample's time, and what actions took since. */
struct turn {
    uint64_t sample_ms, spent_us;
    uint64_t wanted_bytes, given_bytes;
};

static uint64_t now_of(const struct turn *turn)
{
    return gov__sum(turn->sample_ms, turn->spent_us / 1000);
}

static void settle(struct gov_replay *r, size_t at, uint64_t yield,
                   uint64_t rest_until_ms)
{
    struct gov__deeds *deeds = &r->deeds[at];
    struct gov__replay_slot *slot = &r->model.slot[at];

    slot->given_bytes = gov__sum(slot->given_bytes, yield);
    deeds->given_bytes = gov__sum(deeds->given_bytes, yield);
    deeds->gave = true;
    deeds->rest_until_ms = rest_until_ms;
    deeds->runs++;
    r->result.given_bytes = gov__sum(r->result.given_bytes, yield);
    r->result.actions++;
}

static void run(struct gov_replay *r, const struct gov_rung *rung, size_t at,
                struct turn *turn)
{
    const struct gov_replay_price *price =
        gov__replay_price(&r->prices, rung->name);
    const uint64_t took_us = price == NULL ? 0 : price->took_us;
    const uint64_t at_ms = now_of(turn), offered = rung->offered_bytes;
    const uint64_t yield = gov__replay_yield(price, offered);
    uint64_t rest;

    if (price == NULL)
        r->result.modelled_runs++;
    if (r->deeds[at].grew && soon(r->deeds[at].grew_ms, at_ms))
        r->result.oscillations++;
    r->deeds[at].grew = false;
    rest = gov_ladder_rest_ms(&r->relief, rung->place, offered, yield,
                              took_us / 1000);
    turn->spent_us = gov__sum(turn->spent_us, took_us);
    turn->given_bytes = gov__sum(turn->given_bytes, yield);
    settle(r, at, yield, gov__sum(now_of(turn), rest));
    tell(r, at_ms, "%s gives back %" PRIu64 " KiB of %" PRIu64 " KiB offered%s",
         rung->name, yield >> 10, offered >> 10,
         price == NULL ? " (modelled: it was never measured)" : "");
}

static void give(struct gov_replay *r, struct turn *turn)
{
    struct gov_rung rungs[GOV_REPLAY_ACTIONS];

    for (int n = 0; n < GOV_LADDER_PER_TURN; n++) {
        int next;

        take_inventory(r, rungs);
        next = gov_ladder_next(rungs, r->model.count, r->machine.level,
                               now_of(turn), turn->given_bytes,
                               turn->wanted_bytes, NULL, 0);
        if (next == GOV_LADDER_DONE)
            return;
        run(r, &rungs[next], (size_t)next, turn);
    }
}

static void relieve(struct gov_replay *r, const struct gov_evidence *evidence)
{
    struct turn turn = {
        .sample_ms = evidence->now_ms,
        .wanted_bytes =
            gov_level_wanted(&r->levels, r->machine.level, evidence),
    };

    /* While evidence is calm what was given is enough. */
    if (r->machine.level < GOV_LEVEL_WARN || r->machine.calm)
        return;
    give(r, &turn);
    gov_level_relieved(&r->machine);
}

static void regrow(struct gov_replay *r, uint64_t now_ms)
{
    struct gov_rung rungs[GOV_REPLAY_ACTIONS];
    struct gov__replay_slot *slot;
    struct gov__deeds *deeds;
    int next;

    take_inventory(r, rungs);
    next = gov_regrow_next(&r->regrow, &r->relief.regrow, rungs, r->model.count,
                           r->machine.level, now_ms, NULL, 0);
    if (next == GOV_LADDER_DONE)
        return;
    slot = &r->model.slot[next];
    deeds = &r->deeds[next];
    deeds->gave = false;
    deeds->grew = true;
    deeds->grew_ms = now_ms;
    r->result.regrows++;
    r->result.taken_bytes = gov__sum(r->result.taken_bytes, slot->given_bytes);
    tell(r, now_ms, "%s takes %" PRIu64 " KiB again", slot->name,
         slot->given_bytes >> 10);
    slot->given_bytes = 0;
}

void gov__replay_turn(struct gov_replay *r, const struct gov_evidence *evidence)
{
    judge(r, evidence);
    relieve(r, evidence);
    regrow(r, evidence->now_ms);
}
