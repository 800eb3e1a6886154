/* SPDX-License-Identifier: MIT */
/* Runs the ladder: asks every action what it offers, lets the policy choose,
 * runs the choice, and believes the kernel's counters about what it gave.
 * Decides nothing itself (policies/pressure/ladder.c does). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "governor/runtime/trace_priv.h"

/* What every action offers now. The slots are copies. */
struct inventory {
    enum gov__where where;
    gov_level level;
    uint64_t wanted_bytes, given_bytes;
    size_t count;
    struct gov__relief_slot slots[GOV__RELIEFS];
    struct gov_rung rungs[GOV__RELIEFS];
    size_t at[GOV__RELIEFS];      /* index in runtime->slots */
    bool elsewhere[GOV__RELIEFS]; /* cannot run where we stand */
};

/* ---- one turn ------------------------------------------------------------ */

/* Takes the turn, or returns false when another thread has it, or when there is
 * nothing to do: while evidence is calm what was given back is enough, even if
 * the level takes its time to fall. */
static bool begin_turn(struct gov_runtime *runtime)
{
    bool pressed, mine;

    pthread_mutex_lock(&runtime->lock);
    pressed =
        runtime->machine.level >= GOV_LEVEL_WARN && !runtime->machine.calm;
    mine = pressed && !runtime->relieving;
    if (mine)
        runtime->relieving = true;
    if (mine || !pressed)
        runtime->pending = false;
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static void end_turn(struct gov_runtime *runtime)
{
    bool missed;

    pthread_mutex_lock(&runtime->lock);
    runtime->relieving = false;
    /* The pass that an action waited for may have ended during the turn. */
    missed = runtime->pending && runtime->passes == 0;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    if (missed)
        gov__runtime_wake(runtime);
}

/* Lists the actions, and `asks` what each offers, with no lock held. */
static void take_inventory(struct gov_runtime *runtime, struct inventory *inv,
                           bool asks)
{
    bool in_pass;

    pthread_mutex_lock(&runtime->lock);
    inv->level = runtime->machine.level;
    inv->wanted_bytes = runtime->wanted_bytes;
    inv->given_bytes = runtime->given_bytes;
    in_pass = runtime->passes > 0;
    pthread_mutex_unlock(&runtime->lock);
    inv->count = 0;
    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        struct gov__relief_slot *slot = &inv->slots[inv->count];
        const struct gov_relief *relief = &slot->relief;

        if (!gov__slot_enter_told(runtime, at, slot))
            continue;
        inv->rungs[inv->count] = (struct gov_rung){
            .name = slot->name,
            .from_level = slot->from_level,
            .place = slot->place,
            .rebuild_cost = relief->rebuild_cost,
            .offered_bytes = asks ? relief->offer(relief->ctx, inv->level) : 0,
            .rest_until_ms = slot->rest_until_ms,
            .gave = slot->gave && relief->regrow != NULL,
        };
        gov__slot_leave(runtime, at);
        pthread_mutex_lock(&runtime->lock);
        gov_ladder_guard(&inv->rungs[inv->count], &runtime->machine);
        pthread_mutex_unlock(&runtime->lock);
        inv->at[inv->count] = at;
        inv->elsewhere[inv->count] =
            relief->between_passes ? in_pass : inv->where == GOV__IN_PASS_END;
        inv->count++;
    }
}

static int next_rung(const struct gov_runtime *runtime,
                     const struct inventory *inv)
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
static int choose(struct gov_runtime *runtime, struct inventory *inv)
{
    int next = next_rung(runtime, inv);

    if (next == GOV_LADDER_DONE || !inv->elsewhere[next])
        return next;
    postpone(runtime, &inv->slots[next]);
    if (inv->level < GOV_LEVEL_CRITICAL)
        return GOV_LADDER_DONE;
    for (size_t i = 0; i < inv->count; i++)
        inv->rungs[i].blocked = inv->elsewhere[i];
    return next_rung(runtime, inv);
}

/* ---- one action ---------------------------------------------------------- */

/* Claims the right to run an action that must not race a pass; false when a
 * pass has begun meanwhile. */
static bool claim(struct gov_runtime *runtime,
                  const struct gov__relief_slot *slot)
{
    bool mine = true;

    if (!slot->relief.between_passes)
        return true;
    pthread_mutex_lock(&runtime->lock);
    mine = runtime->passes == 0;
    runtime->exclusive = mine;
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

/* Settles what was measured: rest, totals, and the counters govtop shows. */
static void settle(struct gov_runtime *runtime, size_t at,
                   const struct gov_event *event)
{
    const uint64_t yield = event->yield_bytes;
    struct gov__relief_slot *slot = &runtime->slots[at];
    const uint64_t now_ms = gov__runtime_ms(runtime);
    uint32_t place;

    pthread_mutex_lock(&runtime->lock);
    runtime->exclusive = false;
    runtime->given_bytes += yield;
    /* By the policy in force now: another one, maybe, than it ran under. */
    place = gov_ladder_place(&runtime->relief_rules, slot->name);
    slot->rest_until_ms =
        now_ms + gov_ladder_rest_ms(&runtime->relief_rules, place,
                                    event->offered_bytes, yield,
                                    event->took_us / 1000);
    slot->gave = true;
    slot->calls--;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    gov_publish(runtime, GOV_PAGE_YIELD_LAST, yield);
    gov_publish(runtime, GOV_PAGE_RELIEFS,
                atomic_load(&runtime->counter[GOV_PAGE_RELIEFS]) + 1);
    gov_publish(runtime, GOV_PAGE_YIELD_TOTAL,
                atomic_load(&runtime->counter[GOV_PAGE_YIELD_TOTAL]) + yield);
}

/* False where the system does not tell. */
static bool footprint_now(const struct gov_runtime *runtime, uint64_t *bytes)
{
    const struct gov_platform *p = runtime->platform;
    struct gov__process process;

    if (p->process(p->ctx, 0, &process) != 0)
        return false;
    *bytes = process.footprint_bytes;
    return true;
}

/* Runs it between two looks at the footprint. False when they told nothing. */
static bool run_measured(const struct gov_runtime *runtime,
                         const struct gov__relief_slot *slot, gov_level level,
                         struct gov_event *event)
{
    const struct gov_platform *p = runtime->platform;
    bool before = footprint_now(runtime, &event->before_bytes);
    uint64_t start = p->now_us(p->ctx);

    slot->relief.run(slot->relief.ctx, level);
    event->took_us = p->now_us(p->ctx) - start;
    if (!before || !footprint_now(runtime, &event->after_bytes)) {
        event->before_bytes = 0;
        return false;
    }
    if (event->before_bytes > event->after_bytes)
        event->yield_bytes = event->before_bytes - event->after_bytes;
    return true;
}

static void run_action(struct gov_runtime *runtime, const struct inventory *inv,
                       size_t n)
{
    const uint64_t offered = inv->rungs[n].offered_bytes;
    struct gov_event event = {.kind = GOV_EVENT_RELIEF,
                              .offered_bytes = offered};
    struct gov__relief_slot slot;
    char text[160];
    bool measured;

    if (!gov__slot_enter(runtime, inv->at[n], inv->slots[n].id, &slot))
        return;
    if (!claim(runtime, &slot)) {
        gov__slot_leave(runtime, inv->at[n]);
        return;
    }
    measured = run_measured(runtime, &slot, inv->level, &event);
    settle(runtime, inv->at[n], &event);
    gov__trace_relief(runtime, slot.name, offered, event.yield_bytes,
                      event.took_us, measured);
    gov_publish_text(runtime, GOV_PAGE_TEXT_LAST_RELIEF, slot.name);
    if (measured)
        snprintf(text, sizeof(text),
                 "%s gave back %" PRIu64 " KiB of %" PRIu64 " KiB offered",
                 slot.name, event.yield_bytes >> 10, offered >> 10);
    else
        snprintf(text, sizeof(text),
                 "%s ran; what it gave back cannot be measured", slot.name);
    event.action = slot.name;
    event.text = text;
    gov__runtime_event(runtime, &event);
}

void gov__relief_run(struct gov_runtime *runtime, enum gov__where where)
{
    struct inventory inv = {.where = where};

    if (!begin_turn(runtime))
        return;
    for (int n = 0; n < GOV_LADDER_PER_TURN; n++) {
        int next;

        take_inventory(runtime, &inv, true);
        next = choose(runtime, &inv);
        if (next == GOV_LADDER_DONE)
            break;
        run_action(runtime, &inv, (size_t)next);
    }
    pthread_mutex_lock(&runtime->lock);
    if (runtime->machine.level >= GOV_LEVEL_WARN)
        gov_level_relieved(&runtime->machine);
    pthread_mutex_unlock(&runtime->lock);
    end_turn(runtime);
}

/* ---- what is not giving back ---------------------------------------------- */

/* Takes the turn if there is a reason to and no other thread has it. */
static bool take_turn(struct gov_runtime *runtime,
                      bool (*reason)(const struct gov_runtime *runtime))
{
    bool mine;

    pthread_mutex_lock(&runtime->lock);
    mine = !runtime->relieving && reason(runtime);
    if (mine)
        runtime->relieving = true;
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static bool someone_is_not_told_locked(const struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (runtime->slots[at].id != 0 &&
            runtime->slots[at].policy_serial != runtime->policy_serial)
            return true;
    return false;
}

static void tell_floors(struct gov_runtime *runtime)
{
    struct gov__relief_slot slot;

    /* Another thread that has the turn tells them before it asks them. */
    if (!take_turn(runtime, someone_is_not_told_locked))
        return;
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (gov__slot_enter_told(runtime, at, &slot))
            gov__slot_leave(runtime, at);
    end_turn(runtime);
}

static bool always_locked(const struct gov_runtime *runtime)
{
    (void)runtime;
    return true;
}

/* All actions, for the trace: as they describe themselves, whatever the policy
 * says. While another thread has the turn they offer nothing. */
static uint32_t list_actions(struct gov_runtime *runtime, gov_level level,
                             struct gov_replay_action *actions)
{
    const bool mine = take_turn(runtime, always_locked);
    struct gov__relief_slot slot;
    uint32_t count = 0;

    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        struct gov_replay_action *action = &actions[count];

        if (!(mine ? gov__slot_enter_told(runtime, at, &slot)
                   : gov__slot_enter(runtime, at, 0, &slot)))
            continue;
        memset(action, 0, sizeof(*action));
        memcpy(action->name, slot.name, sizeof(slot.name));
        action->from_level = slot.relief.from_level;
        action->rebuild_cost = slot.relief.rebuild_cost;
        action->regrows = slot.relief.regrow != NULL;
        action->leaves = slot.cache != NULL || slot.relief.leave != NULL;
        action->floor_bytes = action->leaves ? slot.floor_bytes : 0;
        if (mine)
            action->offered_bytes = slot.relief.offer(slot.relief.ctx, level);
        gov__slot_leave(runtime, at);
        count++;
    }
    if (mine)
        end_turn(runtime);
    return count;
}

void gov__relief_sample(struct gov_runtime *runtime,
                        const struct gov_evidence *evidence, const char *reason)
{
    const gov_level level = gov_level_now(runtime);
    struct gov_replay_action actions[GOV__RELIEFS];
    uint32_t count;

    tell_floors(runtime);
    if (!gov__trace_on(runtime))
        return;
    count = list_actions(
        runtime, level > GOV_LEVEL_WARN ? level : GOV_LEVEL_WARN, actions);
    gov__trace_sample(runtime, evidence, level, reason, actions, count);
}

void gov__relief_budget(struct gov_runtime *runtime)
{
    const uint64_t budget = gov_budget_now(runtime);
    struct gov__relief_slot slot;

    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        if (!gov__slot_enter(runtime, at, 0, &slot))
            continue;
        if (slot.relief.budget != NULL)
            slot.relief.budget(slot.relief.ctx, budget);
        gov__slot_leave(runtime, at);
    }
}

static bool someone_gave_locked(const struct gov_runtime *runtime)
{
    if (runtime->machine.level >= GOV_LEVEL_WARN)
        return false;
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (runtime->slots[at].gave && runtime->slots[at].relief.regrow != NULL)
            return true;
    return false;
}

static void regrow(struct gov_runtime *runtime, size_t at, uint32_t id)
{
    struct gov__relief_slot slot;

    if (!gov__slot_enter(runtime, at, id, &slot))
        return;
    pthread_mutex_lock(&runtime->lock);
    runtime->slots[at].gave = false;
    pthread_mutex_unlock(&runtime->lock);
    slot.relief.regrow(slot.relief.ctx);
    gov__slot_leave(runtime, at);
    gov__trace_regrow(runtime, slot.name);
}

void gov__relief_regrow(struct gov_runtime *runtime)
{
    struct inventory inv = {.where = GOV__IN_STEP};
    struct gov_regrow_rules rules;
    bool mine;
    int next;

    /* While another thread is still giving back, a later step does it. */
    mine = take_turn(runtime, someone_gave_locked);
    if (mine)
        take_inventory(runtime, &inv, false);
    pthread_mutex_lock(&runtime->lock);
    rules = runtime->relief_rules.regrow;
    pthread_mutex_unlock(&runtime->lock);
    next = gov_regrow_next(&runtime->regrow, &rules, inv.rungs, inv.count,
                           gov_level_now(runtime), gov__runtime_ms(runtime),
                           NULL, 0);
    if (next != GOV_LADDER_DONE)
        regrow(runtime, inv.at[next], inv.slots[next].id);
    if (mine)
        end_turn(runtime);
}

/* ---- passes -------------------------------------------------------------- */

void gov_pass_begin(gov_runtime *runtime)
{
    if (runtime == NULL)
        return;
    pthread_mutex_lock(&runtime->lock);
    runtime->passes++; /* first, so that no further action gets in between */
    while (runtime->exclusive)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
}

void gov_pass_end(gov_runtime *runtime)
{
    bool run;

    if (runtime == NULL)
        return;
    pthread_mutex_lock(&runtime->lock);
    if (runtime->passes > 0)
        runtime->passes--;
    run = runtime->pending && runtime->passes == 0;
    pthread_mutex_unlock(&runtime->lock);
    if (run)
        gov__relief_run(runtime, GOV__IN_PASS_END);
}
