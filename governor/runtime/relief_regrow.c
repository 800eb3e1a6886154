/* SPDX-License-Identifier: MIT */
/* Memory is taken again, in steps, and that is stopped when it grows short; and the
 * budget is told. When, and who first, decides policies/pressure/regrow.c. */
#include <string.h>

#include "governor/runtime/trace_priv.h"

/* ---- taking ------------------------------------------------------------------ */

bool gov__relief_regrows_locked(const struct gov_runtime *runtime)
{
    if (gov__need_level_locked(runtime) >= GOV_LEVEL_WARN)
        return false;
    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        const struct gov__relief_slot *slot = &runtime->slots[at];

        if (slot->gave &&
            (slot->relief.regrow != NULL || slot->relief.regrow_by != NULL))
            return true;
    }
    return false;
}

/* One step of one action. */
static void regrow(struct gov_runtime *runtime, uint64_t turn, size_t at,
                   uint32_t id)
{
    struct gov__call call = {.turn = turn, .at = at};
    struct gov__relief_slot slot;
    struct gov_regrow_rules rules;
    uint64_t lacks = 0;

    if (!gov__slot_enter(runtime, at, id, &slot))
        return;
    pthread_mutex_lock(&runtime->lock);
    rules = runtime->relief_rules.regrow;
    runtime->slots[at].gave = slot.relief.regrow_by != NULL;
    runtime->slots[at].growing = true;
    pthread_mutex_unlock(&runtime->lock);
    if (slot.relief.regrow_by != NULL) {
        gov__call_begin(runtime, &call, GOV__PATIENCE_US, "regrow_by()");
        lacks = slot.relief.regrow_by(
            slot.relief.ctx, gov_regrow_bytes(&rules, gov_budget_now(runtime)));
    } else {
        gov__call_begin(runtime, &call, GOV__PATIENCE_WHOLE_US, "regrow()");
        slot.relief.regrow(slot.relief.ctx);
    }
    (void)gov__call_end(runtime, &call); /* the slot is ours either way */
    pthread_mutex_lock(&runtime->lock);
    if (slot.relief.regrow_by != NULL)
        runtime->slots[at].gave = lacks > 0;
    gov__slot_leave_locked(runtime, at);
    pthread_mutex_unlock(&runtime->lock);
    gov__trace_regrow(runtime, slot.name);
}

void gov__relief_regrow(struct gov_runtime *runtime)
{
    struct gov__inventory inv = {.where = GOV__IN_STEP};
    uint64_t turn = 0;
    int next;

    /* While another thread is still giving back, a later step does it. */
    pthread_mutex_lock(&runtime->lock);
    if (gov__relief_regrows_locked(runtime))
        turn = gov__turn_take_locked(runtime, GOV__LANE_TURN);
    pthread_mutex_unlock(&runtime->lock);
    inv.turn = turn;
    if (turn != 0 && !gov__inventory_take(runtime, &inv, false))
        return;
    pthread_mutex_lock(&runtime->lock);
    next = gov_regrow_next(
        &runtime->regrow, &runtime->relief_rules.regrow, inv.rungs, inv.count,
        gov__need_level_locked(runtime), gov__runtime_ms(runtime), NULL, 0);
    pthread_mutex_unlock(&runtime->lock);
    if (next != GOV_LADDER_DONE)
        regrow(runtime, turn, inv.at[next], inv.slots[next].id);
    gov__turn_over(runtime, turn);
}

/* ---- stopping ------------------------------------------------------------------- */

bool gov__regrow_stops_locked(const struct gov_runtime *runtime)
{
    if (gov__need_level_locked(runtime) < GOV_LEVEL_WARN)
        return false;
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (runtime->slots[at].id != 0 && runtime->slots[at].growing)
            return true;
    return false;
}

/* Whether it is to stop; it is told once. */
static bool takes_stop(struct gov_runtime *runtime, size_t at)
{
    bool stops;

    pthread_mutex_lock(&runtime->lock);
    stops = gov__need_level_locked(runtime) >= GOV_LEVEL_WARN &&
            runtime->slots[at].growing;
    if (stops)
        runtime->slots[at].growing = false;
    pthread_mutex_unlock(&runtime->lock);
    return stops;
}

bool gov__regrow_stop(struct gov_runtime *runtime, uint64_t turn)
{
    bool mine = true;

    for (size_t at = 0; mine && at < GOV__RELIEFS; at++) {
        struct gov__call call = {.turn = turn, .at = at};
        struct gov__relief_slot slot;

        if (!gov__slot_enter(runtime, at, 0, &slot))
            continue;
        if (takes_stop(runtime, at) && slot.relief.regrow_stop != NULL) {
            gov__call_begin(runtime, &call, GOV__PATIENCE_US, "regrow_stop()");
            slot.relief.regrow_stop(slot.relief.ctx);
            mine = gov__call_end(runtime, &call);
        }
        gov__slot_leave(runtime, at);
    }
    return mine;
}

/* ---- the budget ------------------------------------------------------------------ */

static bool takes_budget(struct gov_runtime *runtime, size_t at)
{
    struct gov__relief_slot *slot = &runtime->slots[at];
    bool news;

    pthread_mutex_lock(&runtime->lock);
    news = slot->budget_serial != runtime->turn.budget_serial;
    slot->budget_serial = runtime->turn.budget_serial;
    pthread_mutex_unlock(&runtime->lock);
    return news;
}

static void tell_budgets(struct gov_runtime *runtime, uint64_t turn)
{
    bool mine = true;

    for (size_t at = 0; mine && at < GOV__RELIEFS; at++) {
        struct gov__call call = {.turn = turn, .at = at};
        struct gov__relief_slot slot;

        if (!gov__slot_enter(runtime, at, 0, &slot))
            continue;
        if (takes_budget(runtime, at) && slot.relief.budget != NULL) {
            gov__call_begin(runtime, &call, GOV__PATIENCE_US, "budget()");
            slot.relief.budget(slot.relief.ctx, gov_budget_now(runtime));
            mine = gov__call_end(runtime, &call);
        }
        gov__slot_leave(runtime, at);
    }
}

static bool someone_lacks_the_budget_locked(const struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        const struct gov__relief_slot *slot = &runtime->slots[at];

        if (slot->id != 0 && !slot->removed && slot->overdue == 0 &&
            slot->budget_serial != runtime->turn.budget_serial)
            return true;
    }
    return false;
}

void gov__relief_budget_rest(struct gov_runtime *runtime)
{
    uint64_t turn = 0;

    pthread_mutex_lock(&runtime->lock);
    if (someone_lacks_the_budget_locked(runtime))
        turn = gov__turn_take_locked(runtime, GOV__LANE_BUDGET);
    pthread_mutex_unlock(&runtime->lock);
    if (turn == 0)
        return;
    tell_budgets(runtime, turn);
    gov__turn_over(runtime, turn);
}

void gov__relief_budget(struct gov_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->turn.budget_serial++;
    pthread_mutex_unlock(&runtime->lock);
}
