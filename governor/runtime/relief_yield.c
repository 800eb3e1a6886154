/* SPDX-License-Identifier: MIT */
/* What an action gave: believes the kernel's counters, and an action's own account
 * nowhere but where it says when to stop waiting. Calls no action.
 *
 * What can be confused. The counters are the process's: while an action runs they
 * move for others, too.
 *   - What the app frees in the milliseconds of a slice is taken for the action's,
 *     and what it allocates is missing in it. A yield is never negative.
 *   - While one settles, others run. What they are seen to give is theirs and is
 *     taken from what came later; and where both are seen by the same counter
 *     (footprint is in resident, too) one that runs is believed no more than it
 *     says itself, so that it does not get what came by and by of the other.
 *   - Of two that settle by one counter the one in the lower slot is believed
 *     first, up to what it claims.
 *   - Growth while one settles hides what it gives; so the most that was seen
 *     counts, and a dip of the app's own counts with it.
 *   - What an action gives whose call was overdue nobody can tell from what ran
 *     beside it: it is told as not measured. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "governor/runtime/trace_priv.h"

/* What nobody asked for a next slice for so long is told: it offers no more. While
 * a pass runs it waits for its end; the prompt of a large model takes longer. */
#define SUSPENDED_MS 1000

void gov__weigh(struct gov_runtime *runtime, struct gov__weight *look)
{
    const struct gov_platform *p = &runtime->weighs;
    struct gov__process process;
    int rc;

    memset(look, 0, sizeof(*look));
    pthread_mutex_lock(&runtime->weighing);
    rc = p->process(p->ctx, 0, &process);
    pthread_mutex_unlock(&runtime->weighing);
    if (rc != 0)
        return;
    look->known = true;
    look->bytes[GOV_RELIEF_FOOTPRINT] = process.footprint_bytes;
    look->bytes[GOV_RELIEF_RESIDENT] =
        process.footprint_bytes + process.resident_file_bytes;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t fell(uint64_t before, uint64_t after)
{
    return before > after ? before - after : 0;
}

/* ---- the account of a run ---------------------------------------------------- */

void gov__account_open(struct gov_runtime *runtime, size_t at,
                       uint64_t offered_bytes)
{
    struct gov__relief_slot *slot = &runtime->slots[at];

    pthread_mutex_lock(&runtime->lock);
    if (!slot->account.open) {
        memset(&slot->account, 0, sizeof(slot->account));
        slot->account.open = true;
        slot->account.offered_bytes = offered_bytes;
    }
    slot->account.active = true;
    pthread_mutex_unlock(&runtime->lock);
}

/* Whether another one settles that the same counter shows. */
static bool is_disturbed_locked(const struct gov_runtime *runtime, size_t at)
{
    const enum gov_relief_measure measure = runtime->slots[at].relief.measure;

    for (size_t i = 0; i < GOV__RELIEFS; i++) {
        const struct gov__relief_slot *other = &runtime->slots[i];

        if (other->id != 0 && other->account.settling &&
            (other->relief.measure == GOV_RELIEF_FOOTPRINT ||
             measure == GOV_RELIEF_RESIDENT))
            return true;
    }
    return false;
}

/* Both looks told something, and the call was the turn's. */
static void believe_locked(struct gov_runtime *runtime, size_t at,
                           const struct gov__slice *slice)
{
    struct gov__relief_slot *slot = &runtime->slots[at];
    struct gov__account *account = &slot->account;
    const enum gov_relief_measure measure = slot->relief.measure;
    const uint64_t before = slice->before.bytes[measure],
                   after = slice->after.bytes[measure];
    const uint64_t most =
        is_disturbed_locked(runtime, at) ? slice->claimed_bytes : UINT64_MAX;
    const uint64_t given = smaller(fell(before, after), most);

    if (account->before_bytes == 0)
        account->before_bytes = before;
    account->after_bytes = after;
    account->fell_bytes +=
        after > before ? -(int64_t)(after - before) : (int64_t)given;
    account->yield_bytes =
        account->fell_bytes > 0 ? (uint64_t)account->fell_bytes : 0;
    runtime->given_bytes += given;
    gov__asked_given_locked(runtime, given);
    for (size_t m = 0; m < 2; m++)
        runtime->turn.credited_bytes[m] +=
            smaller(fell(slice->before.bytes[m], slice->after.bytes[m]), most);
    account->others_bytes = runtime->turn.credited_bytes[measure];
}

void gov__account_slice(struct gov_runtime *runtime, size_t at,
                        const struct gov__slice *slice)
{
    struct gov__relief_slot *slot = &runtime->slots[at];
    struct gov__account *account = &slot->account;
    const uint64_t now_ms = gov__runtime_ms(runtime);

    pthread_mutex_lock(&runtime->lock);
    if (slice->lost || !slice->before.known || !slice->after.known) {
        account->unknown = true;
        account->before_bytes = account->after_bytes = account->yield_bytes = 0;
    } else if (!account->unknown) {
        believe_locked(runtime, at, slice);
    }
    account->claimed_bytes +=
        slice->claimed_bytes < UINT64_MAX - account->claimed_bytes
            ? slice->claimed_bytes
            : UINT64_MAX - account->claimed_bytes;
    account->took_us += slice->took_us;
    account->slices++;
    account->slice_ms = now_ms;
    slot->gave = true;
    pthread_mutex_unlock(&runtime->lock);
}

/* ---- its end ------------------------------------------------------------------ */

/* What there is to tell once the lock is let go. */
struct told {
    char name[sizeof(((struct gov__relief_slot *)NULL)->name)];
    struct gov__account account;
    enum gov_relief_measure measure;
    bool sliced;  /* it keeps an account of its own */
    bool retired; /* by this run */
};

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a < UINT64_MAX - b ? a + b : UINT64_MAX;
}

/* Under the lock, so that two threads that tell lose no count. */
static void count_locked(struct gov_runtime *runtime, uint64_t yield_bytes)
{
    gov_publish(runtime, GOV_PAGE_YIELD_LAST, yield_bytes);
    gov_publish(runtime, GOV_PAGE_RELIEFS,
                atomic_load(&runtime->counter[GOV_PAGE_RELIEFS]) + 1);
    gov_publish(runtime, GOV_PAGE_YIELD_TOTAL,
                atomic_load(&runtime->counter[GOV_PAGE_YIELD_TOTAL]) +
                    yield_bytes);
}

static void close_locked(struct gov_runtime *runtime,
                         struct gov__relief_slot *slot, uint64_t now_ms,
                         struct told *told)
{
    struct gov__account *account = &slot->account;
    /* By the policy in force now: another one, maybe, than it ran under. */
    const uint32_t place = gov_ladder_place(&runtime->relief_rules, slot->name);

    slot->rest_until_ms =
        now_ms + gov_ladder_rest_ms(
                     &runtime->relief_rules, place, account->offered_bytes,
                     account->yield_bytes, account->took_us / 1000);
    count_locked(runtime, account->yield_bytes);
    slot->runs++;
    slot->last_yield_bytes = account->yield_bytes;
    slot->claimed_bytes = sum(slot->claimed_bytes, account->claimed_bytes);
    slot->measured_bytes = sum(slot->measured_bytes, account->yield_bytes);
    if (!account->unknown)
        slot->barren = account->yield_bytes < GOV_LADDER_LEAST_BYTES
                           ? slot->barren + 1
                           : 0;
    told->retired = slot->barren >= GOV__BARREN_RUNS && !slot->retired;
    slot->retired = slot->barren >= GOV__BARREN_RUNS;
    memcpy(told->name, slot->name, sizeof(told->name));
    told->account = *account;
    told->measure = slot->relief.measure;
    told->sliced = slot->relief.relieve != NULL;
    memset(account, 0, sizeof(*account));
}

static void tell_event(struct gov_runtime *runtime, const struct told *told)
{
    const struct gov__account *account = &told->account;
    struct gov_event event = {.kind = GOV_EVENT_RELIEF,
                              .action = told->name,
                              .offered_bytes = account->offered_bytes,
                              .before_bytes = account->before_bytes,
                              .after_bytes = account->after_bytes,
                              .yield_bytes = account->yield_bytes,
                              .took_us = account->took_us,
                              .measure = told->measure};
    char text[192];

    if (account->unknown)
        snprintf(text, sizeof(text),
                 "%s ran; what it gave back cannot be measured", told->name);
    else if (told->sliced)
        snprintf(text, sizeof(text),
                 "%s gave back %" PRIu64 " KiB of %" PRIu64
                 " KiB offered; it says %" PRIu64 " KiB",
                 told->name, account->yield_bytes >> 10,
                 account->offered_bytes >> 10, account->claimed_bytes >> 10);
    else
        snprintf(text, sizeof(text),
                 "%s gave back %" PRIu64 " KiB of %" PRIu64 " KiB offered",
                 told->name, account->yield_bytes >> 10,
                 account->offered_bytes >> 10);
    event.text = text;
    gov__runtime_event(runtime, &event);
}

static void tell_retired(struct gov_runtime *runtime, const char *name)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE};
    char text[192];

    snprintf(text, sizeof(text),
             "%s gave nothing %d times in a row: it does not run again until "
             "the level is normal; see to what it offers, or remove it",
             name, GOV__BARREN_RUNS);
    event.text = text;
    gov__runtime_event(runtime, &event);
}

static void tell(struct gov_runtime *runtime, const struct told *told)
{
    const struct gov__account *account = &told->account;

    gov__trace_relief(runtime, told->name, account->offered_bytes,
                      account->yield_bytes, account->took_us,
                      !account->unknown);
    gov__requests_relief(runtime, told->name, account->claimed_bytes,
                         account->yield_bytes, account->took_us,
                         !account->unknown);
    gov_publish_text(runtime, GOV_PAGE_TEXT_LAST_RELIEF, told->name);
    tell_event(runtime, told);
    if (told->retired)
        tell_retired(runtime, told->name);
}

/* No slice follows. True: it is closed, and to be told; not where it settles, and
 * not where there was no slice at all. */
static bool end_locked(struct gov_runtime *runtime,
                       struct gov__relief_slot *slot, uint64_t now_ms,
                       struct told *told)
{
    struct gov__account *account = &slot->account;

    if (account->slices == 0) {
        memset(account, 0, sizeof(*account));
        return false;
    }
    if (slot->relief.settle_ms > 0 && !account->unknown &&
        account->yield_bytes < account->claimed_bytes) {
        account->settling = true;
        return false;
    }
    close_locked(runtime, slot, now_ms, told);
    return true;
}

void gov__account_leave(struct gov_runtime *runtime, size_t at, bool ended)
{
    struct gov__relief_slot *slot = &runtime->slots[at];
    const uint64_t now_ms = gov__runtime_ms(runtime);
    struct told told;
    bool closed;

    pthread_mutex_lock(&runtime->lock);
    slot->account.active = false;
    closed = ended && end_locked(runtime, slot, now_ms, &told);
    gov__slot_leave_locked(runtime, at);
    pthread_mutex_unlock(&runtime->lock);
    if (closed)
        tell(runtime, &told);
}

/* ---- what comes by and by ------------------------------------------------------ */

/* An action that gave nothing the last time is not believed again. */
uint64_t gov__relief_expected_locked(const struct gov_runtime *runtime)
{
    uint64_t expected = 0;

    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        const struct gov__relief_slot *slot = &runtime->slots[at];
        const struct gov__account *account = &slot->account;

        if (slot->id != 0 && !slot->removed && account->settling &&
            slot->barren == 0)
            expected =
                sum(expected, account->claimed_bytes - account->yield_bytes);
    }
    return expected;
}

static void measure_locked(struct gov_runtime *runtime,
                           struct gov__relief_slot *slot,
                           const struct gov__weight *look)
{
    struct gov__account *account = &slot->account;
    const enum gov_relief_measure measure = slot->relief.measure;
    const uint64_t others = runtime->turn.credited_bytes[measure] -
                            account->others_bytes - account->later_bytes;
    const uint64_t early = account->yield_bytes - account->later_bytes;
    uint64_t later =
        fell(fell(account->after_bytes, look->bytes[measure]), others);

    later = smaller(later, account->claimed_bytes - early);
    if (later <= account->later_bytes)
        return;
    runtime->turn.credited_bytes[measure] += later - account->later_bytes;
    if (measure == GOV_RELIEF_FOOTPRINT) /* resident is that and more */
        runtime->turn.credited_bytes[GOV_RELIEF_RESIDENT] +=
            later - account->later_bytes;
    gov__asked_given_locked(runtime, later - account->later_bytes);
    account->later_bytes = later;
    account->yield_bytes = early + later;
}

/* Whether the account is closed now. */
static bool settle_locked(struct gov_runtime *runtime,
                          struct gov__relief_slot *slot,
                          const struct gov__weight *look, uint64_t now_ms,
                          struct told *told)
{
    struct gov__account *account = &slot->account;
    const bool pressed = gov__need_any_locked(runtime);
    const bool waits = slot->relief.between_passes && runtime->passes > 0;
    const uint64_t past_ms =
        now_ms > account->slice_ms ? now_ms - account->slice_ms : 0;

    if (slot->id == 0 || !account->open || account->active)
        return false;
    if (!account->settling) /* and its rest began with its last slice */
        return (!pressed || (past_ms >= SUSPENDED_MS && !waits)) &&
               end_locked(runtime, slot, account->slice_ms, told);
    if (look->known)
        measure_locked(runtime, slot, look);
    if (account->yield_bytes < account->claimed_bytes &&
        past_ms < slot->relief.settle_ms)
        return false;
    account->after_bytes = fell(account->before_bytes, account->yield_bytes);
    close_locked(runtime, slot, now_ms, told);
    return true;
}

/* True: an account is open. */
static bool lift_locked(struct gov_runtime *runtime)
{
    const bool normal = runtime->machine.level < GOV_LEVEL_WARN;
    bool any = false;

    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        struct gov__relief_slot *slot = &runtime->slots[at];

        any |= slot->id != 0 && slot->account.open;
        if (normal && slot->retired) {
            slot->retired = false;
            slot->barren = 0;
        }
    }
    return any;
}

void gov__relief_settle(struct gov_runtime *runtime)
{
    const uint64_t now_ms = gov__runtime_ms(runtime);
    struct gov__weight look;
    bool any;

    pthread_mutex_lock(&runtime->lock);
    any = lift_locked(runtime);
    pthread_mutex_unlock(&runtime->lock);
    if (!any)
        return;
    gov__weigh(runtime, &look);
    for (size_t at = 0; at < GOV__RELIEFS; at++) {
        struct told told;
        bool closed;

        pthread_mutex_lock(&runtime->lock);
        closed =
            settle_locked(runtime, &runtime->slots[at], &look, now_ms, &told);
        pthread_mutex_unlock(&runtime->lock);
        if (closed)
            tell(runtime, &told);
    }
}
