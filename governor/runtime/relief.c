/* SPDX-License-Identifier: MIT */
/* Runs the ladder: asks every action what it offers, lets the policy choose, and
 * runs the choice (relief_slices.c). Decides nothing itself
 * (policies/pressure/ladder.c does).
 *
 * Allocates nothing, from the level that was judged to the action that runs: what
 * it needs is in the runtime, or on the stack, of which calm samples touch as
 * much. */
#include <string.h>

#include "governor/runtime/trace_priv.h"

/* ---- one turn ------------------------------------------------------------ */

/* Takes the turn, or returns 0 when another thread has it, or when there is
 * nothing to do: while evidence is calm what was given back is enough, even if
 * the level takes its time to fall. */
static uint64_t begin_turn(struct gov_runtime *runtime)
{
    uint64_t turn = 0;
    bool pressed;

    pthread_mutex_lock(&runtime->lock);
    pressed = gov__need_any_locked(runtime);
    if (pressed)
        turn = gov__turn_take_locked(runtime, GOV__LANE_TURN);
    if (turn != 0 || !pressed)
        runtime->pending = false;
    pthread_mutex_unlock(&runtime->lock);
    return turn;
}

/* A model takes seconds to go: meanwhile no other one is unloaded for the same
 * bytes. */
static bool is_late_for_good_locked(const struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        const struct gov__relief_slot *slot = &runtime->slots[at];

        if (slot->id != 0 && slot->overdue > 0 &&
            (slot->relief.destructive || gov_ladder_destructive(slot->name)))
            return true;
    }
    return false;
}

/* An action that keeps `exclusive` and does not return is not waited for: what
 * must not race a pass is left out, and the rest goes on. */
static void place_rung_locked(struct gov_runtime *runtime,
                              struct gov__inventory *inv, size_t at)
{
    struct gov__relief_slot *slot = &runtime->slots[at];
    struct gov_rung *rung = &inv->rungs[inv->count];
    const bool between = inv->slots[inv->count].relief.between_passes;
    const bool late = runtime->exclusive && runtime->turn.exclusive_late;

    rung->blocked = slot->retired || slot->account.settling || inv->full[at] ||
                    (between && late);
    rung->gave = rung->gave && !slot->account.open;
    gov_ladder_guard(rung, &runtime->machine);
    if (rung->destructive && (inv->asked || is_late_for_good_locked(runtime)))
        rung->blocked = true;
    inv->at[inv->count] = at;
    inv->elsewhere[inv->count] =
        between ? runtime->passes > 0 : inv->where == GOV__IN_PASS_END;
}

/* False: the turn is another thread's. */
static bool list_slot(struct gov_runtime *runtime, struct gov__inventory *inv,
                      size_t at, bool asks)
{
    struct gov__relief_slot *slot = &inv->slots[inv->count];
    const struct gov_relief *relief = &slot->relief;
    struct gov__call call = {.turn = inv->turn, .at = at};
    uint64_t offered = 0;
    bool mine = true;

    if (!gov__slot_enter_told(runtime, inv->turn, at, slot))
        return gov__turn_mine(runtime, inv->turn);
    if (asks) {
        gov__call_begin(runtime, &call, GOV__PATIENCE_US, "offer()");
        offered = relief->offer(relief->ctx, inv->level);
        mine = gov__call_end(runtime, &call);
    }
    inv->rungs[inv->count] = (struct gov_rung){
        .name = slot->name,
        .from_level = slot->from_level,
        .place = slot->place,
        .rebuild_cost = relief->rebuild_cost,
        .offered_bytes = offered,
        .rest_until_ms = slot->rest_until_ms,
        .gave =
            slot->gave && (relief->regrow != NULL || relief->regrow_by != NULL),
        .destructive = relief->destructive,
    };
    pthread_mutex_lock(&runtime->lock);
    place_rung_locked(runtime, inv, at);
    gov__slot_leave_locked(runtime, at);
    pthread_mutex_unlock(&runtime->lock);
    inv->count++;
    return mine;
}

bool gov__inventory_take(struct gov_runtime *runtime,
                         struct gov__inventory *inv, bool asks)
{
    struct gov__need need;
    bool mine = true;

    pthread_mutex_lock(&runtime->lock);
    need = gov__need_locked(runtime, inv->asked);
    inv->level = need.level;
    inv->wanted_bytes = need.wanted_bytes;
    inv->given_bytes = need.given_bytes + gov__relief_expected_locked(runtime);
    pthread_mutex_unlock(&runtime->lock);
    inv->count = 0;
    for (size_t at = 0; mine && at < GOV__RELIEFS; at++)
        mine = list_slot(runtime, inv, at, asks);
    return mine;
}

static int next_rung(const struct gov_runtime *runtime,
                     const struct gov__inventory *inv)
{
    return gov_ladder_next(inv->rungs, inv->count, inv->level,
                           gov__runtime_ms(runtime), inv->given_bytes,
                           inv->wanted_bytes, NULL, 0);
}

/* The action comes when its place does. */
static void postpone(struct gov_runtime *runtime,
                     const struct gov__relief_slot *slot)
{
    if (!slot->relief.between_passes) {
        gov__runtime_wake(runtime);
        return;
    }
    pthread_mutex_lock(&runtime->lock);
    runtime->pending = true;
    pthread_mutex_unlock(&runtime->lock);
}

/* The index of the action to run here, or GOV_LADDER_DONE. The cheapest goes
 * first also when it has to wait for a pass to end: an engine at work is nearly
 * always in a pass, so all that is dearer would go before it, and need not.
 * At CRITICAL nothing waits for anything. */
static int choose(struct gov_runtime *runtime, struct gov__inventory *inv)
{
    int next = next_rung(runtime, inv);

    if (next == GOV_LADDER_DONE || !inv->elsewhere[next])
        return next;
    inv->more = true;
    postpone(runtime, &inv->slots[next]);
    if (inv->level < GOV_LEVEL_CRITICAL)
        return GOV_LADDER_DONE;
    for (size_t i = 0; i < inv->count; i++)
        inv->rungs[i].blocked |= inv->elsewhere[i];
    return next_rung(runtime, inv);
}

/* Whether the time of the engine's thread is over. The rest comes at the end of
 * the next pass, or with the next sample while there is none. */
static bool is_late(struct gov_runtime *runtime,
                    const struct gov__inventory *inv)
{
    const struct gov_platform *p = runtime->platform;

    return inv->where == GOV__IN_PASS_END && p->now_us(p->ctx) >= inv->until_us;
}

/* False: the turn is another thread's. */
static bool run_turn(struct gov_runtime *runtime, struct gov__inventory *inv,
                     bool *late)
{
    bool mine = gov__regrow_stop(runtime, inv->turn);

    for (int n = 0; mine && n < GOV_LADDER_PER_TURN; n++) {
        struct gov__act act = {
            .turn = inv->turn, .where = inv->where, .asked = inv->asked};
        int next;

        if (!gov__inventory_take(runtime, inv, true))
            return false;
        next = choose(runtime, inv);
        if (next == GOV_LADDER_DONE)
            break;
        act.at = inv->at[next];
        act.id = inv->slots[next].id;
        act.level = inv->level;
        act.offered_bytes = inv->rungs[next].offered_bytes;
        act.until_us = inv->until_us;
        /* It is told within the turn, to a listener that may have hung. */
        mine = gov__relief_act(runtime, &act) &&
               gov__turn_mine(runtime, inv->turn);
        inv->full[act.at] = act.full;
        inv->more = true;
        *late = mine && is_late(runtime, inv);
        if (*late)
            break;
    }
    return mine;
}

/* Whether all that was begun is given: what still comes, by an action that gave
 * before, may be enough, and then nothing needs to be destroyed. */
static bool is_all_given_locked(const struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (runtime->slots[at].id != 0 && runtime->slots[at].account.open &&
            runtime->slots[at].barren == 0)
            return false;
    return true;
}

/* For the level, or for what was asked for: nothing where there is no such need.
 * False: the turn is another thread's. */
static bool run_for(struct gov_runtime *runtime, struct gov__inventory *inv,
                    bool asked, bool *late)
{
    bool pressed, mine;
    uint32_t serial;

    pthread_mutex_lock(&runtime->lock);
    pressed = gov__need_locked(runtime, asked).pressed;
    serial = runtime->asked.serial;
    pthread_mutex_unlock(&runtime->lock);
    if (!pressed || *late)
        return true;
    inv->asked = asked;
    inv->more = false;
    mine = run_turn(runtime, inv, late);
    if (!asked || !mine)
        return mine;
    pthread_mutex_lock(&runtime->lock);
    if (runtime->asked.serial == serial)
        runtime->asked.more = inv->more;
    pthread_mutex_unlock(&runtime->lock);
    return true;
}

void gov__relief_run(struct gov_runtime *runtime, enum gov__where where)
{
    const struct gov_platform *p = runtime->platform;
    struct gov__inventory inv = {.where = where, .until_us = UINT64_MAX};
    bool late = false;

    inv.turn = begin_turn(runtime);
    if (inv.turn == 0)
        return;
    if (where == GOV__IN_PASS_END)
        inv.until_us = p->now_us(p->ctx) + GOV__SLICE_US;
    if (!run_for(runtime, &inv, false, &late) ||
        !run_for(runtime, &inv, true, &late))
        return;
    pthread_mutex_lock(&runtime->lock);
    if (gov__turn_mine_locked(runtime, inv.turn) &&
        runtime->machine.level >= GOV_LEVEL_WARN && !late &&
        is_all_given_locked(runtime))
        gov_level_relieved(&runtime->machine);
    if (late) /* and nobody is woken for it: the next pass ends soon */
        gov__turn_end_locked(runtime, inv.turn);
    runtime->pending |= late;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    gov__turn_over(runtime, inv.turn);
}

/* ---- what is not giving back ---------------------------------------------- */

/* Takes the turn if there is a reason to and no other thread has it; else 0. */
static uint64_t take_turn(struct gov_runtime *runtime,
                          bool (*reason)(const struct gov_runtime *runtime))
{
    uint64_t turn = 0;

    pthread_mutex_lock(&runtime->lock);
    if (reason(runtime))
        turn = gov__turn_take_locked(runtime, GOV__LANE_TURN);
    pthread_mutex_unlock(&runtime->lock);
    return turn;
}

static bool someone_is_not_told_locked(const struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (runtime->slots[at].id != 0 &&
            runtime->slots[at].policy_serial != runtime->policy_serial)
            return true;
    return gov__regrow_stops_locked(runtime);
}

static void tell_floors(struct gov_runtime *runtime)
{
    /* Another thread that has the turn tells them before it asks them. */
    const uint64_t turn = take_turn(runtime, someone_is_not_told_locked);
    struct gov__relief_slot slot;
    bool mine;

    if (turn == 0)
        return;
    mine = gov__regrow_stop(runtime, turn);
    for (size_t at = 0; mine && at < GOV__RELIEFS; at++) {
        if (gov__slot_enter_told(runtime, turn, at, &slot))
            gov__slot_leave(runtime, at);
        else
            mine = gov__turn_mine(runtime, turn);
    }
    gov__turn_over(runtime, turn);
}

static bool always_locked(const struct gov_runtime *runtime)
{
    (void)runtime;
    return true;
}

static void describe(const struct gov__relief_slot *slot,
                     struct gov_replay_action *action)
{
    memset(action, 0, sizeof(*action));
    memcpy(action->name, slot->name, sizeof(slot->name));
    action->from_level = slot->relief.from_level;
    action->rebuild_cost = slot->relief.rebuild_cost;
    action->regrows =
        slot->relief.regrow != NULL || slot->relief.regrow_by != NULL;
    action->leaves = slot->cache != NULL || slot->relief.leave != NULL;
    action->floor_bytes = action->leaves ? slot->floor_bytes : 0;
}

/* All actions, for the trace: as they describe themselves, whatever the policy
 * says. While another thread has the turn they offer nothing. */
static uint32_t list_actions(struct gov_runtime *runtime, gov_level level,
                             struct gov_replay_action *actions)
{
    const uint64_t turn = take_turn(runtime, always_locked);
    struct gov__relief_slot slot;
    bool mine = turn != 0;
    uint32_t count = 0;

    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        struct gov__call call = {.turn = turn, .at = at};

        if (!(mine ? gov__slot_enter_told(runtime, turn, at, &slot)
                   : gov__slot_enter(runtime, at, 0, &slot))) {
            mine = mine && gov__turn_mine(runtime, turn);
            continue;
        }
        describe(&slot, &actions[count]);
        if (mine) {
            gov__call_begin(runtime, &call, GOV__PATIENCE_US, "offer()");
            actions[count].offered_bytes =
                slot.relief.offer(slot.relief.ctx, level);
            mine = gov__call_end(runtime, &call);
        }
        gov__slot_leave(runtime, at);
        count++;
    }
    gov__turn_over(runtime, turn);
    return count;
}

void gov__relief_sample(struct gov_runtime *runtime,
                        const struct gov_evidence *evidence, gov_level level,
                        const char *reason)
{
    struct gov_replay_action actions[GOV__RELIEFS];
    uint32_t count;

    gov__relief_tell_overdue(runtime);
    gov__relief_settle(runtime);
    gov__relief_budget_rest(runtime);
    tell_floors(runtime);
    if (!gov__trace_on(runtime))
        return;
    count = list_actions(
        runtime, level > GOV_LEVEL_WARN ? level : GOV_LEVEL_WARN, actions);
    gov__trace_sample(runtime, evidence, level, reason, actions, count);
}

/* ---- passes -------------------------------------------------------------- */

void gov_pass_begin(gov_runtime *runtime)
{
    if (runtime == NULL || gov__runtime_forked(runtime))
        return;
    pthread_mutex_lock(&runtime->lock);
    runtime->passes++; /* first, so that no further action gets in between */
    while (runtime->exclusive &&
           pthread_equal(runtime->turn.exclusive_by, pthread_self()) == 0)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
}

void gov_pass_end(gov_runtime *runtime)
{
    bool run;

    if (runtime == NULL || gov__runtime_forked(runtime))
        return;
    pthread_mutex_lock(&runtime->lock);
    if (runtime->passes > 0)
        runtime->passes--;
    run = runtime->pending && runtime->passes == 0;
    pthread_mutex_unlock(&runtime->lock);
    if (run)
        gov__relief_run(runtime, GOV__IN_PASS_END);
}
