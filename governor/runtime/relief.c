/* SPDX-License-Identifier: MIT */
/* Runs the ladder: asks every action what it offers, lets the policy choose,
 * runs the choice, and believes the kernel's counters about what it gave.
 * Decides nothing itself (policies/pressure/ladder.c does). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "governor/memory/memory_priv.h"
#include "governor/runtime/trace_priv.h"

/* A turn is bounded: an action that keeps offering is looked at again at the
 * next sample, and not forever now. */
#define ACTIONS_PER_TURN 8

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

/* ---- slots --------------------------------------------------------------- */

/* Begins a call of the action in a slot, which then stays until leave(), and
 * copies it. False when there is none, or (id not 0) another one. */
static bool enter(struct gov_runtime *runtime, size_t at, uint32_t id,
                  struct gov__relief_slot *out)
{
    struct gov__relief_slot *slot = &runtime->slots[at];
    bool there;

    pthread_mutex_lock(&runtime->lock);
    there = slot->id != 0 && !slot->removed && (id == 0 || slot->id == id);
    if (there) {
        slot->calls++;
        *out = *slot;
    }
    pthread_mutex_unlock(&runtime->lock);
    return there;
}

static void leave(struct gov_runtime *runtime, size_t at)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->slots[at].calls--;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

/* What the policy in force says of an action. */
static void place_locked(const struct gov_runtime *runtime,
                         struct gov__relief_slot *slot)
{
    const struct gov_relief_rules *rules = &runtime->relief_rules;
    static const struct gov_ladder_step nothing;
    const struct gov_ladder_step *step;

    slot->policy_serial = runtime->policy_serial;
    slot->place = gov_ladder_place(rules, slot->name);
    step = slot->place < rules->count ? &rules->step[slot->place] : &nothing;
    slot->from_level =
        step->from_level != 0 ? step->from_level : slot->relief.from_level;
    slot->floor_bytes = step->floor_bytes;
    slot->floor_tokens = step->floor_tokens;
}

/* enter(), and the action knows what the policy in force wants it to leave. Only
 * for who has the turn: one thread at a time tells. */
static bool enter_told(struct gov_runtime *runtime, size_t at,
                       struct gov__relief_slot *out)
{
    struct gov__relief_slot *slot = &runtime->slots[at];
    bool news;

    if (!enter(runtime, at, 0, out))
        return false;
    pthread_mutex_lock(&runtime->lock);
    news = slot->policy_serial != runtime->policy_serial;
    if (news)
        place_locked(runtime, slot);
    *out = *slot;
    pthread_mutex_unlock(&runtime->lock);
    if (news && out->relief.leave != NULL)
        out->relief.leave(out->relief.ctx, out->floor_bytes, out->floor_tokens);
    return true;
}

static struct gov__relief_slot *find_locked(struct gov_runtime *runtime,
                                            uint32_t id)
{
    for (size_t i = 0; i < GOV__RELIEFS; i++)
        if (runtime->slots[i].id == id)
            return &runtime->slots[i];
    return NULL;
}

static gov_status add(struct gov_runtime *runtime,
                      const struct gov_relief *relief, gov_cache *cache,
                      uint32_t *id, gov_error *err)
{
    struct gov__relief_slot *slot;

    pthread_mutex_lock(&runtime->lock);
    slot = find_locked(runtime, 0);
    if (slot != NULL) {
        memset(slot, 0, sizeof(*slot));
        slot->relief = *relief;
        slot->relief.name = NULL; /* the copy is what is used */
        memcpy(slot->name, relief->name, strlen(relief->name));
        slot->cache = cache;
        if (cache != NULL)
            slot->relief.ctx = slot; /* its floor is there */
        if (++runtime->last_id == 0)
            runtime->last_id = 1;
        slot->id = *id = runtime->last_id;
    }
    pthread_mutex_unlock(&runtime->lock);
    if (slot == NULL)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "%d relief actions are registered already; remove one",
                        GOV__RELIEFS);
    return GOV_OK;
}

/* ---- registration -------------------------------------------------------- */

static gov_status check_name(const char *name, gov_error *err)
{
    const size_t room = sizeof(((struct gov__relief_slot *)NULL)->name);
    size_t length = name == NULL ? 0 : strlen(name);

    if (length == 0 || length >= room)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the name of relief action \"%.40s\" is not 1 to %zu "
                        "bytes long; change it",
                        name == NULL ? "" : name, room - 1);
    return GOV_OK;
}

gov_status gov_relief_add(gov_runtime *runtime, const struct gov_relief *relief,
                          uint32_t *id, gov_error *err)
{
    struct gov_relief own;
    gov_status status;

    if (runtime == NULL || relief == NULL || id == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_relief_add() needs a runtime, a relief action and "
                        "a place for its id");
    if (!gov__read_struct(&own, sizeof(own), relief, relief->size))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the relief action is of a newer version of this "
                        "library, or none; start from gov_relief_default()");
    status = check_name(own.name, err);
    if (status != GOV_OK)
        return status;
    if (own.offer == NULL || own.run == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "relief action %s has no %s(); set it", own.name,
                        own.offer == NULL ? "offer" : "run");
    if (own.from_level < GOV_LEVEL_WARN)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "relief action %s asks to run at level normal; use "
                        "warn or critical",
                        own.name);
    return add(runtime, &own, NULL, id, err);
}

/* Of a cache ctx is its slot. The floor in it changes only where no other thread
 * has the turn, and so does what reads it here. */
static uint64_t cache_offer(void *ctx, gov_level level)
{
    const struct gov__relief_slot *slot = ctx;
    struct gov_cache_usage usage;
    uint64_t keep;

    gov_cache_usage(slot->cache, &usage);
    keep = gov__cache_keeps(usage.limit_bytes, level, slot->floor_bytes);
    return usage.bytes > keep ? usage.bytes - keep : 0;
}

static void cache_run(void *ctx, gov_level level)
{
    const struct gov__relief_slot *slot = ctx;

    gov__cache_apply(slot->cache, level, slot->floor_bytes);
}

static void cache_regrow(void *ctx)
{
    const struct gov__relief_slot *slot = ctx;

    gov_cache_apply_level(slot->cache, GOV_LEVEL_NORMAL);
}

gov_status gov_relief_add_cache(gov_runtime *runtime, const char *name,
                                gov_cache *cache, uint32_t *id, gov_error *err)
{
    struct gov_relief relief = gov_relief_default();
    gov_status status;

    if (runtime == NULL || cache == NULL || id == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_relief_add_cache() needs a runtime, a cache and a "
                        "place for its id");
    status = check_name(name, err);
    if (status != GOV_OK)
        return status;
    relief.name = name;
    relief.offer = cache_offer;
    relief.run = cache_run;
    relief.regrow = cache_regrow;
    return add(runtime, &relief, cache, id, err);
}

void gov_relief_remove(gov_runtime *runtime, uint32_t id)
{
    struct gov__relief_slot *slot;
    gov_cache *cache = NULL;

    if (runtime == NULL || id == 0)
        return;
    pthread_mutex_lock(&runtime->lock);
    slot = find_locked(runtime, id);
    if (slot != NULL) {
        slot->removed = true;
        while (slot->id == id && slot->calls > 0)
            pthread_cond_wait(&runtime->changed, &runtime->lock);
        if (slot->id == id) {
            cache = slot->cache;
            memset(slot, 0, sizeof(*slot));
        }
    }
    pthread_mutex_unlock(&runtime->lock);
    if (cache != NULL)
        gov_cache_apply_level(cache, GOV_LEVEL_NORMAL);
}

bool gov__relief_cache_bytes(struct gov_runtime *runtime, uint64_t *bytes)
{
    struct gov__relief_slot slot;
    struct gov_cache_usage usage;
    bool any = false;

    *bytes = 0;
    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        if (!enter(runtime, at, 0, &slot))
            continue;
        if (slot.cache != NULL) {
            gov_cache_usage(slot.cache, &usage);
            *bytes += usage.bytes;
            any = true;
        }
        leave(runtime, at);
    }
    return any;
}

void gov__relief_close(struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (runtime->slots[at].cache != NULL)
            gov_cache_apply_level(runtime->slots[at].cache, GOV_LEVEL_NORMAL);
}

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

        if (!enter_told(runtime, at, slot))
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
        leave(runtime, at);
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

    if (!enter(runtime, inv->at[n], inv->slots[n].id, &slot))
        return;
    if (!claim(runtime, &slot)) {
        leave(runtime, inv->at[n]);
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
    for (int n = 0; n < ACTIONS_PER_TURN; n++) {
        int next;

        take_inventory(runtime, &inv, true);
        next = choose(runtime, &inv);
        if (next == GOV_LADDER_DONE)
            break;
        run_action(runtime, &inv, (size_t)next);
    }
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
        if (enter_told(runtime, at, &slot))
            leave(runtime, at);
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

        if (!(mine ? enter_told(runtime, at, &slot)
                   : enter(runtime, at, 0, &slot)))
            continue;
        memset(action, 0, sizeof(*action));
        memcpy(action->name, slot.name, sizeof(slot.name));
        action->from_level = slot.relief.from_level;
        action->rebuild_cost = slot.relief.rebuild_cost;
        if (mine)
            action->offered_bytes = slot.relief.offer(slot.relief.ctx, level);
        leave(runtime, at);
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

static bool someone_gave_locked(const struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (runtime->slots[at].gave)
            return runtime->machine.level < GOV_LEVEL_WARN;
    return false;
}

static void regrow(struct gov_runtime *runtime, size_t at, uint32_t id)
{
    struct gov__relief_slot slot;

    if (!enter(runtime, at, id, &slot))
        return;
    pthread_mutex_lock(&runtime->lock);
    runtime->slots[at].gave = false;
    pthread_mutex_unlock(&runtime->lock);
    slot.relief.regrow(slot.relief.ctx);
    leave(runtime, at);
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

void gov__relief_wake_locked(struct gov_runtime *runtime)
{
    for (size_t i = 0; i < GOV__RELIEFS; i++)
        runtime->slots[i].rest_until_ms = 0;
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
