/* SPDX-License-Identifier: MIT */
/* Who gives memory back: the registered actions, caches among them, and calls of
 * them, which removing one waits for. Runs nothing itself (relief_slices.c does). */
#include <stdio.h>
#include <string.h>

#include "governor/memory/memory_priv.h"
#include "governor/runtime/runtime_priv.h"

/* ---- slots --------------------------------------------------------------- */

bool gov__slot_enter(struct gov_runtime *runtime, size_t at, uint32_t id,
                     struct gov__relief_slot *out)
{
    struct gov__relief_slot *slot = &runtime->slots[at];
    bool there;

    pthread_mutex_lock(&runtime->lock);
    there = slot->id != 0 && !slot->removed && slot->overdue == 0 &&
            (id == 0 || slot->id == id);
    if (there) {
        slot->calls++;
        *out = *slot;
    }
    pthread_mutex_unlock(&runtime->lock);
    return there;
}

void gov__slot_leave_locked(struct gov_runtime *runtime, size_t at)
{
    struct gov__relief_slot *slot = &runtime->slots[at];

    if (--slot->calls == 0 && slot->dies)
        memset(slot, 0, sizeof(*slot));
    pthread_cond_broadcast(&runtime->changed);
}

void gov__slot_leave(struct gov_runtime *runtime, size_t at)
{
    pthread_mutex_lock(&runtime->lock);
    gov__slot_leave_locked(runtime, at);
    pthread_mutex_unlock(&runtime->lock);
}

/* What the policy in force says of an action. */
static void place_locked(const struct gov_runtime *runtime,
                         struct gov__relief_slot *slot)
{
    const struct gov_relief_rules *rules = &runtime->relief_rules;
    const bool leaves = slot->cache != NULL || slot->relief.leave != NULL;
    const struct gov_ladder_step *step;

    slot->policy_serial = runtime->policy_serial;
    slot->place = gov_ladder_place(rules, slot->name);
    step = gov_ladder_step(rules, slot->place);
    slot->from_level = gov_ladder_from(step, slot->relief.from_level, leaves);
    slot->floor_bytes = step->floor_bytes;
    slot->floor_tokens = step->floor_tokens;
    slot->floor_broken =
        !leaves && (step->floor_bytes > 0 || step->floor_tokens > 0);
}

/* A floor that nobody keeps must not be broken, nor be passed over in silence. */
static void tell_broken_floor(struct gov_runtime *runtime,
                              const struct gov__relief_slot *slot)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE};
    char text[160];

    snprintf(text, sizeof(text),
             "the ladder has a floor for %s, which cannot leave a part, so it "
             "does not run; take the floor away",
             slot->name);
    event.text = text;
    gov__runtime_event(runtime, &event);
}

bool gov__slot_enter_told(struct gov_runtime *runtime, uint64_t turn, size_t at,
                          struct gov__relief_slot *out)
{
    struct gov__relief_slot *slot = &runtime->slots[at];
    struct gov__call call = {.turn = turn, .at = at};
    bool news, mine;

    if (!gov__slot_enter(runtime, at, 0, out))
        return false;
    pthread_mutex_lock(&runtime->lock);
    news = slot->policy_serial != runtime->policy_serial;
    if (news)
        place_locked(runtime, slot);
    *out = *slot;
    pthread_mutex_unlock(&runtime->lock);
    if (news && out->floor_broken)
        tell_broken_floor(runtime, out);
    mine = gov__turn_mine(runtime, turn); /* the listener may have hung */
    if (mine && news && out->relief.leave != NULL) {
        gov__call_begin(runtime, &call, GOV__PATIENCE_US, "leave()");
        out->relief.leave(out->relief.ctx, out->floor_bytes, out->floor_tokens);
        mine = gov__call_end(runtime, &call);
    }
    if (!mine)
        gov__slot_leave(runtime, at);
    return mine;
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

    if (gov__runtime_forked(runtime))
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "nothing is governed in a child of fork(); open a "
                        "runtime there");
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
        if (slot->relief.settle_ms > GOV__SETTLE_MS_MAX)
            slot->relief.settle_ms = GOV__SETTLE_MS_MAX;
        slot->budget_serial = runtime->turn.budget_serial;
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

bool gov__name_is_plain(const char *name)
{
    for (; *name != '\0'; name++)
        if ((unsigned char)*name <= ' ' || *name == 0x7f)
            return false;
    return true;
}

static gov_status check_name(const char *name, gov_error *err)
{
    const size_t room = sizeof(((struct gov__relief_slot *)NULL)->name);
    size_t length = name == NULL ? 0 : strlen(name);

    if (length == 0 || length >= room)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the name of relief action \"%.40s\" is not 1 to %zu "
                        "bytes long; change it",
                        name == NULL ? "" : name, room - 1);
    if (!gov__name_is_plain(name))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the name of a relief action has a space or a control "
                        "character in it; take letters, digits and dots");
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
    if (own.offer == NULL || (own.run == NULL && own.relieve == NULL))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "relief action %s has no %s(); set it", own.name,
                        own.offer == NULL ? "offer" : "run");
    if (own.from_level < GOV_LEVEL_WARN)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "relief action %s asks to run at level normal; use "
                        "warn or critical",
                        own.name);
    if (own.measure != GOV_RELIEF_FOOTPRINT &&
        own.measure != GOV_RELIEF_RESIDENT)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "relief action %s asks for measure %d, which there is "
                        "none of; use GOV_RELIEF_FOOTPRINT or "
                        "GOV_RELIEF_RESIDENT",
                        own.name, (int)own.measure);
    return add(runtime, &own, NULL, id, err);
}

/* Of a cache ctx is its slot. The floor in it changes only where no other thread
 * has the turn, and so does what reads it here. */
static uint64_t cache_offer(void *ctx, gov_level level)
{
    const struct gov__relief_slot *slot = ctx;

    return gov__cache_offer(slot->cache, level, slot->floor_bytes);
}

static void cache_run(void *ctx, gov_level level)
{
    const struct gov__relief_slot *slot = ctx;

    gov__cache_apply(slot->cache, level, slot->floor_bytes);
}

static uint64_t cache_regrow(void *ctx, uint64_t bytes)
{
    const struct gov__relief_slot *slot = ctx;

    return gov__cache_grow(slot->cache, bytes);
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
    relief.regrow_by = cache_regrow;
    status = add(runtime, &relief, cache, id, err);
    if (status == GOV_OK) /* gov__relief_hand_over() */
        gov__cache_lazy(cache, true);
    return status;
}

void gov__relief_hand_over(struct gov_runtime *runtime)
{
    struct gov__relief_slot slot;

    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        if (!gov__slot_enter(runtime, at, 0, &slot))
            continue;
        if (slot.cache != NULL)
            (void)gov__cache_hand_over(slot.cache);
        gov__slot_leave(runtime, at);
    }
}

static void leave_cache(gov_cache *cache)
{
    gov__cache_lazy(cache, false);
    gov_cache_apply_level(cache, GOV_LEVEL_NORMAL);
}

bool gov__slot_calls_us_locked(const struct gov__relief_slot *slot)
{
    for (size_t lane = 0; lane < 2; lane++)
        if (slot->inside[lane] &&
            pthread_equal(slot->caller[lane], pthread_self()) != 0)
            return true;
    return false;
}

void gov_relief_remove(gov_runtime *runtime, uint32_t id)
{
    struct gov__relief_slot *slot;
    gov_cache *cache = NULL;

    if (runtime == NULL || id == 0 || gov__runtime_forked(runtime))
        return;
    pthread_mutex_lock(&runtime->lock);
    slot = find_locked(runtime, id);
    if (slot != NULL) {
        slot->removed = true;
        if (gov__slot_calls_us_locked(slot)) /* nothing to wait for: it is us */
            slot->dies = true;
        while (slot->id == id && slot->calls > 0 &&
               !gov__slot_calls_us_locked(slot))
            pthread_cond_wait(&runtime->changed, &runtime->lock);
        if (slot->id == id && slot->calls == 0) {
            cache = slot->cache;
            memset(slot, 0, sizeof(*slot));
        }
    }
    pthread_mutex_unlock(&runtime->lock);
    if (cache != NULL)
        leave_cache(cache);
}

bool gov__relief_cache_bytes(struct gov_runtime *runtime, uint64_t *bytes)
{
    struct gov__relief_slot slot;
    struct gov_cache_usage usage;
    bool any = false;

    *bytes = 0;
    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        if (!gov__slot_enter(runtime, at, 0, &slot))
            continue;
        if (slot.cache != NULL) {
            gov_cache_usage(slot.cache, &usage);
            *bytes += usage.bytes;
            any = true;
        }
        gov__slot_leave(runtime, at);
    }
    return any;
}

void gov__relief_close(struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (runtime->slots[at].cache != NULL)
            leave_cache(runtime->slots[at].cache);
}

void gov__relief_wake_locked(struct gov_runtime *runtime)
{
    for (size_t i = 0; i < GOV__RELIEFS; i++)
        runtime->slots[i].rest_until_ms = 0;
}

/* ---- who is there ---------------------------------------------------------- */

void gov__slot_state_locked(const struct gov_runtime *runtime,
                            const struct gov__relief_slot *slot,
                            uint64_t now_ms, struct gov_relief_state *out)
{
    *out = (struct gov_relief_state){
        .size = sizeof(*out),
        .claimed_bytes = slot->claimed_bytes,
        .measured_bytes = slot->measured_bytes,
        .last_yield_bytes = slot->last_yield_bytes,
        .runs = slot->runs,
        .barren = slot->barren,
        .rest_ms =
            slot->rest_until_ms > now_ms ? slot->rest_until_ms - now_ms : 0,
        .retired = slot->retired,
        .running = slot->overdue > 0 ||
                   runtime->turn.running[GOV__LANE_TURN].id == slot->id ||
                   runtime->turn.running[GOV__LANE_BUDGET].id == slot->id,
        .overdue = slot->overdue > 0,
    };
    memcpy(out->name, slot->name, sizeof(out->name));
}

/* The one registered next after `last`, or NULL. */
static const struct gov__relief_slot *
after_locked(const struct gov_runtime *runtime, uint32_t last)
{
    const struct gov__relief_slot *next = NULL;

    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        const struct gov__relief_slot *slot = &runtime->slots[at];

        if (slot->id > last && !slot->removed &&
            (next == NULL || slot->id < next->id))
            next = slot;
    }
    return next;
}

size_t gov_relief_list(gov_runtime *runtime, struct gov_relief_state *out,
                       size_t room)
{
    const struct gov__relief_slot *slot;
    size_t count = 0;
    uint64_t now_ms;

    if (runtime == NULL || gov__runtime_forked(runtime))
        return 0;
    now_ms = gov__runtime_ms(runtime);
    pthread_mutex_lock(&runtime->lock);
    for (slot = after_locked(runtime, 0); slot != NULL;
         slot = after_locked(runtime, slot->id)) {
        if (out != NULL && count < room)
            gov__slot_state_locked(runtime, slot, now_ms, &out[count]);
        count++;
    }
    pthread_mutex_unlock(&runtime->lock);
    return count;
}
