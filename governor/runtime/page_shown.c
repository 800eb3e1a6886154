/* SPDX-License-Identifier: MIT */
/* Owns runtime->shown. */
#include "governor/runtime/page_shown.h"

#include <string.h>

#include "governor/runtime/runtime_priv.h"

/* ---- events ---------------------------------------------------------------------- */

void gov__shown_add_locked(struct gov__shown *shown,
                           const struct gov_event *event, uint64_t now_us)
{
    struct gov_page_event *to = &shown->event[shown->count++ % GOV_PAGE_EVENTS];

    memset(to, 0, sizeof(*to));
    to->at_us = now_us;
    to->kind = (uint32_t)event->kind;
    to->level = (uint32_t)event->level;
    if (event->kind == GOV_EVENT_RELIEF)
        to->yield_bytes = event->yield_bytes;
    if (event->text != NULL)
        (void)gov__page_cut(to->text, sizeof(to->text), event->text);
}

static void copy_events_locked(const struct gov__shown *shown,
                               struct gov_page *page)
{
    const uint64_t count =
        shown->count < GOV_PAGE_EVENTS ? shown->count : GOV_PAGE_EVENTS;

    memset(page->event, 0, sizeof(page->event));
    for (uint64_t i = 0; i < count; i++)
        page->event[i] =
            shown->event[(shown->count - count + i) % GOV_PAGE_EVENTS];
}

/* ---- actions --------------------------------------------------------------------- */

/* By the policy in force: the action itself may not have been told yet. */
struct rank {
    const struct gov__relief_slot *slot;
    uint32_t place;
    gov_level from_level;
};

static struct rank rank_of(const struct gov_relief_rules *rules,
                           const struct gov__relief_slot *slot)
{
    const uint32_t place = gov_ladder_place(rules, slot->name);

    return (struct rank){
        slot, place,
        gov_ladder_from(gov_ladder_step(rules, place), slot->relief.from_level,
                        slot->cache != NULL || slot->relief.leave != NULL)};
}

/* As relief takes them (policies/pressure/ladder.c) where all offer as much: what
 * they offer only they know. */
static bool goes_before(const struct rank *a, const struct rank *b)
{
    if (a->place != b->place)
        return a->place < b->place;
    if (a->slot->relief.rebuild_cost != b->slot->relief.rebuild_cost)
        return a->slot->relief.rebuild_cost < b->slot->relief.rebuild_cost;
    return a->slot->id < b->slot->id;
}

/* Those that are registered, in order; returns how many. */
static size_t rank_locked(const struct gov_runtime *runtime,
                          struct rank ranks[GOV__RELIEFS])
{
    size_t count = 0;

    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        const struct gov__relief_slot *slot = &runtime->slots[at];
        struct rank rank;
        size_t to = count;

        if (slot->id == 0 || slot->removed)
            continue;
        rank = rank_of(&runtime->relief_rules, slot);
        for (; to > 0 && goes_before(&rank, &ranks[to - 1]); to--)
            ranks[to] = ranks[to - 1];
        ranks[to] = rank;
        count++;
    }
    return count;
}

static void show_action(const struct gov_runtime *runtime,
                        const struct rank *rank, uint64_t now_ms,
                        struct gov_page_action *out)
{
    struct gov_relief_state state;

    gov__slot_state_locked(runtime, rank->slot, now_ms, &state);
    memcpy(out->name, state.name, sizeof(out->name));
    out->from_level = (uint32_t)rank->from_level;
    out->flags = (state.running ? GOV_PAGE_ACTION_RUNNING : 0U) |
                 (state.retired ? GOV_PAGE_ACTION_RETIRED : 0U) |
                 (state.overdue ? GOV_PAGE_ACTION_OVERDUE : 0U);
    out->runs = state.runs;
    out->rest_ms =
        state.rest_ms < UINT32_MAX ? (uint32_t)state.rest_ms : UINT32_MAX;
    out->claimed_bytes = state.claimed_bytes;
    out->yield_bytes = state.measured_bytes;
    out->last_yield_bytes = state.last_yield_bytes;
}

void gov__shown_fill(struct gov_runtime *runtime, struct gov_page *page)
{
    struct rank ranks[GOV__RELIEFS];
    const uint64_t now_ms = gov__runtime_ms(runtime);
    size_t count;

    memset(page->action, 0, sizeof(page->action));
    pthread_mutex_lock(&runtime->lock);
    count = rank_locked(runtime, ranks);
    for (size_t i = 0; i < count && i < GOV_PAGE_ACTIONS; i++)
        show_action(runtime, &ranks[i], now_ms, &page->action[i]);
    copy_events_locked(&runtime->shown, page);
    pthread_mutex_unlock(&runtime->lock);
}
