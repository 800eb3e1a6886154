/* SPDX-License-Identifier: MIT */
/* Who has the turn, which call of an action it is in, and how another thread takes
 * it away when that call does not return. Calls nothing itself but the listener. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "governor/runtime/runtime_priv.h"

/* Also one whose turn was taken, and that is back in the app. */
static bool is_in_callback_locked(const struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++)
        if (gov__slot_calls_us_locked(&runtime->slots[at]))
            return true;
    return false;
}

uint64_t gov__turn_take_locked(struct gov_runtime *runtime, enum gov__lane lane)
{
    struct gov__relief_running *running = &runtime->turn.running[lane];

    if (running->turn != 0 || is_in_callback_locked(runtime))
        return 0;
    *running = (struct gov__relief_running){.turn = ++runtime->turn.last,
                                            .by = pthread_self()};
    if (lane == GOV__LANE_TURN)
        runtime->relieving = true;
    return running->turn;
}

/* The lane of a turn, or NULL: it was taken away. */
static const struct gov__relief_running *
lane_locked(const struct gov_runtime *runtime, uint64_t turn)
{
    for (size_t lane = 0; lane < 2; lane++)
        if (turn != 0 && runtime->turn.running[lane].turn == turn)
            return &runtime->turn.running[lane];
    return NULL;
}

bool gov__turn_mine_locked(const struct gov_runtime *runtime, uint64_t turn)
{
    return lane_locked(runtime, turn) != NULL;
}

bool gov__turn_mine(struct gov_runtime *runtime, uint64_t turn)
{
    bool mine;

    pthread_mutex_lock(&runtime->lock);
    mine = gov__turn_mine_locked(runtime, turn);
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

static void free_lane_locked(struct gov_runtime *runtime, size_t lane)
{
    memset(&runtime->turn.running[lane], 0,
           sizeof(runtime->turn.running[lane]));
    if (lane == GOV__LANE_TURN)
        runtime->relieving = false;
}

void gov__turn_end_locked(struct gov_runtime *runtime, uint64_t turn)
{
    const struct gov__relief_running *lane = lane_locked(runtime, turn);

    if (lane != NULL)
        free_lane_locked(runtime, (size_t)(lane - runtime->turn.running));
}

void gov__turn_over(struct gov_runtime *runtime, uint64_t turn)
{
    bool missed;

    pthread_mutex_lock(&runtime->lock);
    /* The pass that an action waited for may have ended during the turn. */
    missed = gov__turn_mine_locked(runtime, turn) && runtime->pending &&
             runtime->passes == 0;
    gov__turn_end_locked(runtime, turn);
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    if (missed)
        gov__runtime_wake(runtime);
}

void gov__turn_tells_locked(struct gov_runtime *runtime, uint64_t since_us)
{
    for (size_t lane = 0; lane < 2; lane++) {
        struct gov__relief_running *running = &runtime->turn.running[lane];

        if (running->turn != 0 && pthread_equal(running->by, pthread_self()))
            running->tells_since_us = since_us;
    }
}

/* ---- calls ----------------------------------------------------------------- */

void gov__call_begin(struct gov_runtime *runtime, struct gov__call *call,
                     uint64_t patience_us, const char *what)
{
    const uint64_t now_us = runtime->platform->now_us(runtime->platform->ctx);
    struct gov__relief_slot *slot = &runtime->slots[call->at];
    struct gov__relief_running *running;

    pthread_mutex_lock(&runtime->lock);
    call->lane = runtime->turn.running[GOV__LANE_BUDGET].turn == call->turn
                     ? GOV__LANE_BUDGET
                     : GOV__LANE_TURN;
    running = &runtime->turn.running[call->lane];
    running->at = call->at;
    running->id = slot->id;
    running->since_us = now_us;
    running->patience_us = patience_us;
    running->what = what;
    slot->inside[call->lane] = true;
    slot->caller[call->lane] = pthread_self();
    pthread_mutex_unlock(&runtime->lock);
}

bool gov__call_end(struct gov_runtime *runtime, const struct gov__call *call)
{
    struct gov__relief_slot *slot = &runtime->slots[call->at];
    bool mine;

    pthread_mutex_lock(&runtime->lock);
    slot->inside[call->lane] = false;
    mine = gov__turn_mine_locked(runtime, call->turn);
    if (mine)
        runtime->turn.running[call->lane].id = 0;
    else
        slot->overdue--;
    pthread_mutex_unlock(&runtime->lock);
    return mine;
}

/* ---- a call that does not return -------------------------------------------- */

/* Takes the lane from who is in a call for too long. A between_passes action keeps
 * `exclusive`: it may be touching the engine's memory, so passes wait for it, and
 * so do others that must not race one. */
static bool take_away_locked(struct gov_runtime *runtime, size_t lane,
                             uint64_t now_us)
{
    const struct gov__relief_running was = runtime->turn.running[lane];
    struct gov__relief_slot *slot = &runtime->slots[was.at];
    const bool tells = was.turn != 0 && was.tells_since_us != 0;
    const uint64_t since_us = tells ? was.tells_since_us : was.since_us;

    if ((was.id == 0 && !tells) || now_us < since_us ||
        now_us - since_us <= (tells ? GOV__STUCK_US : was.patience_us))
        return false;
    gov__work_lost_locked(runtime, was.by);
    free_lane_locked(runtime, lane);
    pthread_cond_broadcast(&runtime->changed);
    if (tells)
        return true;
    slot->late_what = was.what;
    slot->late_ms = (now_us - was.since_us) / 1000;
    slot->late_in_pass =
        lane == GOV__LANE_TURN && runtime->exclusive &&
        pthread_equal(runtime->turn.exclusive_by, slot->caller[lane]) != 0;
    if (slot->late_in_pass)
        runtime->turn.exclusive_late = true;
    slot->overdue++;
    return true;
}

bool gov__relief_overdue(struct gov_runtime *runtime, uint64_t now_us)
{
    bool any = false;

    pthread_mutex_lock(&runtime->lock);
    for (size_t lane = 0; lane < 2; lane++)
        any |= take_away_locked(runtime, lane, now_us);
    pthread_mutex_unlock(&runtime->lock);
    return any;
}

static bool take_late(struct gov_runtime *runtime, size_t at,
                      struct gov__relief_slot *out)
{
    bool late;

    pthread_mutex_lock(&runtime->lock);
    *out = runtime->slots[at];
    late = out->id != 0 && out->late_what != NULL;
    runtime->slots[at].late_what = NULL;
    pthread_mutex_unlock(&runtime->lock);
    return late;
}

void gov__relief_tell_overdue(struct gov_runtime *runtime)
{
    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        struct gov_event event = {.kind = GOV_EVENT_NOTICE};
        struct gov__relief_slot slot;
        char text[192];

        if (!take_late(runtime, at, &slot))
            continue;
        snprintf(text, sizeof(text),
                 "%s of %s has not returned for %" PRIu64
                 " ms: relief goes on without it%s; see what it waits for",
                 slot.late_what, slot.name, slot.late_ms,
                 slot.late_in_pass ? ", and passes wait" : "");
        event.text = text;
        gov__runtime_event(runtime, &event);
    }
}
