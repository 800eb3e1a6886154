/* SPDX-License-Identifier: MIT */
/* One action: run as a whole, or in slices between which passes go on and the need
 * is looked at again. Chooses none (relief.c does), and believes nothing
 * (relief_yield.c does). */
#include "governor/runtime/runtime_priv.h"

/* Of one action in a turn, at most: 100 ms, the pace of looking at WARN. One that
 * always says that it gave something goes on at the next turn. */
#define SLICES 50
#define TURN_US 100000
#define SLICE_LEAST_US 250

/* Claims the right to run an action that must not race a pass; false when a
 * pass has begun meanwhile, and then the end of the pass runs it. */
static bool claim(struct gov_runtime *runtime,
                  const struct gov__relief_slot *slot)
{
    bool mine = true;

    if (!slot->relief.between_passes)
        return true;
    pthread_mutex_lock(&runtime->lock);
    mine = runtime->passes == 0 && !runtime->exclusive;
    if (mine) {
        runtime->exclusive = true;
        runtime->turn.exclusive_by = pthread_self();
    } else {
        runtime->pending = true;
    }
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static void let_passes_go(struct gov_runtime *runtime,
                          const struct gov__relief_slot *slot)
{
    if (!slot->relief.between_passes)
        return;
    pthread_mutex_lock(&runtime->lock);
    runtime->exclusive = runtime->turn.exclusive_late = false;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

/* Calls run(), or relieve() once. False: the turn was taken away meanwhile. */
static bool call(struct gov_runtime *runtime, const struct gov__act *act,
                 const struct gov__relief_slot *slot,
                 const struct gov_relief_want *want, struct gov__slice *slice)
{
    const struct gov_platform *p = runtime->platform;
    const struct gov_relief *relief = &slot->relief;
    struct gov__call one = {.turn = act->turn, .at = act->at};
    const bool sliced = relief->relieve != NULL;
    const uint64_t start_us = p->now_us(p->ctx);

    gov__call_begin(runtime, &one,
                    sliced ? GOV__PATIENCE_US : GOV__PATIENCE_WHOLE_US,
                    sliced ? "relieve()" : "run()");
    if (sliced) {
        slice->claimed_bytes = relief->relieve(relief->ctx, want);
    } else {
        relief->run(relief->ctx, want->level);
        slice->claimed_bytes = act->offered_bytes;
    }
    slice->lost = !gov__call_end(runtime, &one);
    slice->took_us = p->now_us(p->ctx) - start_us;
    gov__weigh(runtime, &slice->after);
    return !slice->lost;
}

/* Whether another slice is needed, and what it is asked for. */
static bool is_wanted(struct gov_runtime *runtime, const struct gov__act *act,
                      const struct gov__relief_slot *slot,
                      struct gov_relief_want *want)
{
    struct gov__need need;
    uint64_t given;
    bool wanted;

    pthread_mutex_lock(&runtime->lock);
    need = gov__need_locked(runtime, act->asked);
    /* What it set on its way itself is not there yet, but it is not missing. */
    given = need.given_bytes;
    if (slot->relief.settle_ms > 0 && runtime->slots[act->at].barren == 0 &&
        runtime->slots[act->at].account.claimed_bytes >
            runtime->slots[act->at].account.yield_bytes)
        given += runtime->slots[act->at].account.claimed_bytes -
                 runtime->slots[act->at].account.yield_bytes;
    given += gov__relief_expected_locked(runtime);
    want->level = need.level;
    want->bytes = need.wanted_bytes > given ? need.wanted_bytes - given : 0;
    wanted = need.pressed && need.level >= slot->from_level &&
             !runtime->slots[act->at].removed &&
             (need.wanted_bytes == 0 || want->bytes > 0);
    pthread_mutex_unlock(&runtime->lock);
    return wanted;
}

static uint64_t now_us(const struct gov_runtime *runtime)
{
    return runtime->platform->now_us(runtime->platform->ctx);
}

/* False where no slice fits before the end of the turn. */
static bool fit_slice(const struct gov_runtime *runtime,
                      const struct gov__act *act, struct gov_relief_want *want)
{
    const uint64_t now = now_us(runtime);

    want->slice_us = GOV__SLICE_US;
    if (now >= act->until_us)
        return false;
    if (act->until_us - now < want->slice_us)
        want->slice_us = act->until_us - now > SLICE_LEAST_US
                             ? act->until_us - now
                             : SLICE_LEAST_US;
    return true;
}

/* Whether it had its time of a turn. One that was seen to give nothing in it is at
 * its end, whatever it says; what it set on its way is waited for before it gets
 * more. */
static bool is_full(struct gov_runtime *runtime, const struct gov__act *act,
                    int slices, uint64_t start_us, bool *ended)
{
    const bool full = slices == SLICES || now_us(runtime) - start_us >= TURN_US;

    pthread_mutex_lock(&runtime->lock);
    if (full &&
        runtime->slots[act->at].account.yield_bytes < GOV_LADDER_LEAST_BYTES)
        *ended = true;
    pthread_mutex_unlock(&runtime->lock);
    return full;
}

/* The first slice is claimed already. What it cannot finish here goes on at the
 * next turn, and its account stays open. */
static bool run_slices(struct gov_runtime *runtime, struct gov__act *act,
                       const struct gov__relief_slot *slot, bool *ended)
{
    struct gov_relief_want want = {.size = sizeof(want),
                                   .slice_us = GOV__SLICE_US};
    struct gov__slice slice = {0};
    const uint64_t start_us = now_us(runtime);
    bool claimed = true, mine = true;

    *ended = false;
    gov__weigh(runtime, &slice.before);
    for (int n = 0; mine; n++) {
        act->full = is_full(runtime, act, n, start_us, ended);
        if (!is_wanted(runtime, act, slot, &want)) {
            *ended = true;
            break;
        }
        if (act->full || !fit_slice(runtime, act, &want))
            break;
        if (!claimed) {
            claimed = claim(runtime, slot);
            if (!claimed)
                return true;
        }
        mine = call(runtime, act, slot, &want, &slice);
        gov__account_slice(runtime, act->at, &slice);
        let_passes_go(runtime, slot);
        claimed = false;
        slice.before = slice.after;
        if (!mine || slice.claimed_bytes == 0) {
            *ended = true;
            break;
        }
    }
    if (claimed)
        let_passes_go(runtime, slot);
    return mine;
}

static bool run_whole(struct gov_runtime *runtime, const struct gov__act *act,
                      const struct gov__relief_slot *slot)
{
    const struct gov_relief_want want = {.size = sizeof(want),
                                         .level = act->level};
    struct gov__slice slice = {0};
    bool mine;

    gov__weigh(runtime, &slice.before);
    mine = call(runtime, act, slot, &want, &slice);
    gov__account_slice(runtime, act->at, &slice);
    let_passes_go(runtime, slot);
    return mine;
}

bool gov__relief_act(struct gov_runtime *runtime, struct gov__act *act)
{
    struct gov__relief_slot slot;
    bool mine, ended = true;

    if (!gov__slot_enter(runtime, act->at, act->id, &slot))
        return true;
    if (!claim(runtime, &slot)) {
        gov__slot_leave(runtime, act->at);
        return true;
    }
    gov__account_open(runtime, act->at, act->offered_bytes);
    mine = slot.relief.relieve != NULL ? run_slices(runtime, act, &slot, &ended)
                                       : run_whole(runtime, act, &slot);
    gov__account_leave(runtime, act->at, ended);
    return mine;
}
