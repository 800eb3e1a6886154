/* SPDX-License-Identifier: MIT */
/* What conversations give when memory is short: those that nobody continues go to
 * the disk, and the oldest history of the others is forgotten, but for its first
 * tokens. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "adapters/llama/llama_session.h"

/* One that was used so lately is somebody's who reads the answer. */
#define IDLE_US 10000000
/* Fewer are not worth a file. */
#define LEAST_TOKENS 16
/* Of history, where the policy names no floor: what the shipped ones leave. */
#define USUAL_FLOOR 1024
/* Until what was written was read back and its memory freed, at most. */
#define SETTLE_MS 10000

/* ---- history ----------------------------------------------------------------------- */

/* Which tokens go, [from, to). There is one gap in the positions of a conversation
 * at most: where it has one already, the next is made with it. */
struct cut {
    uint32_t from, to;
};

static struct cut plan_cut(const struct gov__llama_talk *talk, uint32_t first,
                           uint32_t recent)
{
    struct cut cut = {0, 0};

    if (recent == 0)
        recent = 1; /* what the next token is chosen by */
    if (first >= talk->past || recent >= talk->past - first)
        return cut;
    cut.from = first;
    cut.to = talk->past - recent;
    if (talk->gap > 0 && talk->gap_at < cut.from)
        cut.from = talk->gap_at;
    if (talk->gap > 0 && talk->gap_at > cut.to)
        cut.to = talk->gap_at;
    return cut;
}

static int32_t position_of(const struct gov__llama_talk *talk, uint32_t token)
{
    return (int32_t)(token + (token >= talk->gap_at ? talk->gap : 0));
}

static void tell(gov_session *session, const struct gov__llama_talk *talk,
                 struct cut cut)
{
    char text[256];

    snprintf(text, sizeof(text),
             "conversation %" PRIu32 " no longer knows %" PRIu32
             " of its tokens: the first %" PRIu32 " and the last %" PRIu32
             " are left",
             talk->id, cut.to - cut.from, cut.from, talk->past - cut.from);
    gov_notice(session->runtime, text);
}

/* What follows is moved up: the engine rotates all of K for it in the next pass,
 * which takes memory for all of it until that ends. Until then the state is half
 * one and half the other, so this comes right before a pass. */
static void close_gap(gov_session *session, struct gov__llama_talk *talk)
{
    const int32_t from = position_of(talk, talk->gap_at);

    llama_memory_seq_add(llama_get_memory(session->context), talk->sequence,
                         from, -1, -(int32_t)talk->gap);
    gov__kv_moved(&session->kv, (uint32_t)talk->sequence, from, -1,
                  -(int32_t)talk->gap);
    talk->gap = talk->gap_at = 0;
}

/* A context of 65536 tokens, of which 512 were used, took 268 MB for that moment and
 * ended the process in a memory cgroup of 60 MB. */
static bool has_room_to_move(const gov_session *session)
{
    const uint64_t budget = gov_budget_now(session->runtime);
    struct gov_footprint now;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < session->kv.caches; i++) {
        const struct gov__kv_cells *cells = &session->kv.cache[i];

        bytes +=
            ((uint64_t)cells->per_stream * cells->streams - cells->held[0]) *
            cells->bytes[0];
    }
    return budget == 0 || (gov_footprint_now(&now, NULL) == GOV_OK &&
                           now.footprint_bytes < budget &&
                           bytes <= budget - now.footprint_bytes);
}

static bool can_move(const gov_session *session)
{
    return llama_memory_can_shift(llama_get_memory(session->context)) &&
           gov_level_now(session->runtime) < GOV_LEVEL_WARN &&
           has_room_to_move(session);
}

void gov__llama_close_gap(gov_session *session, struct gov__llama_talk *talk)
{
    if (talk->gap == 0 || talk->keeps_gap)
        return;
    gov__llama_drive(session);
    if (talk->gap > 0 && can_move(session))
        close_gap(session, talk);
    gov__llama_rest(session);
}

/* The context is held; the conversation is in memory. */
static bool cut_out(gov_session *session, struct gov__llama_talk *talk,
                    struct cut cut)
{
    const int32_t from = position_of(talk, cut.from);
    const int32_t to = position_of(talk, cut.to);

    if (!llama_memory_seq_rm(llama_get_memory(session->context), talk->sequence,
                             from, to))
        return false;
    gov__kv_removed(&session->kv, (uint32_t)talk->sequence, from, to);
    pthread_mutex_lock(&session->shown);
    memmove(talk->tokens + cut.from, talk->tokens + cut.to,
            (talk->past - cut.to) * sizeof(*talk->tokens));
    talk->forgotten += cut.to - cut.from;
    talk->count -= cut.to - cut.from;
    talk->gap_at = cut.from;
    talk->gap = (uint32_t)to - cut.from;
    pthread_mutex_unlock(&session->shown);
    gov__llama_set_past(session, talk, talk->count);
    gov__llama_touch(session, talk);
    gov__kv_account(&session->kv);
    gov__kv_release(&session->kv);
    return true;
}

/* A recurrent state knows no tokens apart. */
static gov_status check(gov_session *session, const struct gov_forget *what,
                        const struct gov__llama_talk *talk, uint32_t id,
                        gov_error *err)
{
    if (what->size != sizeof(*what))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "forget: the request is of another version");
    if (talk == NULL)
        return gov_fail(
            err, GOV_E_NOT_FOUND, 0,
            "forget: there is no conversation %" PRIu32 " in this session", id);
    if (!session->revocable)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "forget: this model keeps one state for all of a "
                        "conversation; reset it instead");
    return GOV_OK;
}

gov_status gov__llama_forget(gov_session *session, uint32_t id,
                             const struct gov_forget *what, uint32_t *forgotten,
                             gov_error *err)
{
    struct gov__llama_talk *talk = gov__llama_talk_find(session, id);
    gov_status status = check(session, what, talk, id, err);
    struct cut cut = {0, 0};

    if (forgotten != NULL)
        *forgotten = 0;
    if (status == GOV_OK && talk->past < talk->count)
        status = gov__llama_take_up(session, talk, 0, err);
    if (status != GOV_OK)
        return status;
    gov__llama_drive(session);
    cut = plan_cut(talk, what->first_tokens, what->recent_tokens);
    talk->keeps_gap = what->keep_positions;
    if (cut.to > cut.from && !cut_out(session, talk, cut))
        status = gov_fail(err, GOV_E_UNSUPPORTED, 0,
                          "forget: llama.cpp cannot cut this model's history");
    gov__llama_rest(session);
    if (status != GOV_OK)
        return status;
    if (cut.to > cut.from)
        tell(session, talk, cut);
    if (forgotten != NULL)
        *forgotten = cut.to - cut.from;
    gov__llama_publish(session, false);
    return GOV_OK;
}

/* ---- as relief ---------------------------------------------------------------------- */

/* Of its first prompt so much stays; what is recent counts more. */
static struct cut history_of(const gov_session *session,
                             const struct gov__llama_talk *talk)
{
    const uint32_t floor = atomic_load(&session->floor_tokens);
    const uint32_t first = talk->first < floor / 4 ? talk->first : floor / 4;
    const struct cut none = {0, 0};

    return talk->sequence < 0 || talk->reading || talk->past < talk->count
               ? none
               : plan_cut(talk, first, floor - first);
}

static uint64_t offer_history(void *ctx, gov_level level)
{
    gov_session *session = ctx;
    uint64_t bytes = 0;

    (void)level;
    pthread_mutex_lock(&session->shown);
    for (const struct gov__llama_talk *talk = session->talks;
         talk != NULL && session->revocable; talk = talk->next) {
        const struct cut cut = history_of(session, talk);
        const uint32_t past = talk->past;

        if (cut.to > cut.from && past > 0)
            bytes += talk->bytes / past * (cut.to - cut.from);
    }
    pthread_mutex_unlock(&session->shown);
    return bytes;
}

static void run_history(void *ctx, gov_level level)
{
    gov_session *session = ctx;

    (void)level;
    if (!session->revocable)
        return;
    for (struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next) {
        const struct cut cut = history_of(session, talk);

        if (cut.to > cut.from && cut_out(session, talk, cut))
            tell(session, talk, cut);
    }
}

static void leave_history(void *ctx, uint64_t floor_bytes,
                          uint32_t floor_tokens)
{
    gov_session *session = ctx;

    (void)floor_bytes; /* a conversation is counted in tokens */
    atomic_store(&session->floor_tokens,
                 floor_tokens > 0 ? floor_tokens : USUAL_FLOOR);
}

/* Nobody continues it at the moment; longest ago first. With `shown` held. */
static struct gov__llama_talk *idle_talk(gov_session *session, gov_level level)
{
    const uint64_t now_us = gov__llama_now_us();
    struct gov__llama_talk *found = NULL;

    if (session->spill == NULL)
        return NULL;
    for (struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next) {
        if (talk->sequence < 0 || talk->in_use || talk->past < LEAST_TOKENS ||
            talk->past < talk->count || session->storing.talk == talk ||
            (level < GOV_LEVEL_CRITICAL && now_us - talk->used_us < IDLE_US))
            continue;
        if (found == NULL || talk->priority < found->priority ||
            (talk->priority == found->priority &&
             talk->used_us < found->used_us))
            found = talk;
    }
    return found;
}

static uint64_t offer_idle(void *ctx, gov_level level)
{
    gov_session *session = ctx;
    const struct gov__llama_talk *talk;
    uint64_t bytes;

    pthread_mutex_lock(&session->shown);
    talk = session->storing.talk == NULL ? idle_talk(session, level) : NULL;
    bytes = talk != NULL ? (uint64_t)talk->bytes : 0;
    pthread_mutex_unlock(&session->shown);
    return bytes;
}

static void drop_now(gov_session *session, struct gov__llama_talk *talk)
{
    gov__llama_drop(session, talk);
    gov__kv_account(&session->kv);
    gov__kv_release(&session->kv);
}

/* Between passes, on a thread that must not wait: the engine writes to the page
 * cache here, and the rest is done beside it. Returns what is on its way. */
static uint64_t relieve_idle(void *ctx, const struct gov_relief_want *want)
{
    gov_session *session = ctx;
    struct gov__llama_talk *talk;
    uint64_t bytes;
    gov_error why;

    if (!gov__llama_spill_settle(session))
        return 0;
    pthread_mutex_lock(&session->shown);
    talk = idle_talk(session, want->level);
    bytes = talk != NULL ? (uint64_t)talk->bytes : 0;
    pthread_mutex_unlock(&session->shown);
    if (talk == NULL)
        return 0;
    if (talk->stored == talk->version) {
        drop_now(session, talk);
        return bytes;
    }
    if (gov__llama_spill_begin(session, talk, &why) != GOV_OK) {
        gov_notice(session->runtime, why.message);
        return 0;
    }
    gov__llama_spill_go_on(session);
    return bytes;
}

gov_status gov__llama_offer_talks(gov_session *session, gov_error *err)
{
    struct gov_relief relief = gov_relief_default();
    gov_status status;

    leave_history(session, 0, 0); /* until the policy says */
    relief.name = "kv.idle";
    relief.rebuild_cost = 40; /* read from the disk when it goes on */
    relief.between_passes = true;
    relief.ctx = session;
    relief.offer = offer_idle;
    relief.relieve = relieve_idle;
    relief.settle_ms = SETTLE_MS;
    status = gov_relief_add(session->runtime, &relief, &session->idle_id, err);
    if (status != GOV_OK)
        return status;
    relief = gov_relief_default();
    relief.name = "kv.history";
    relief.from_level = GOV_LEVEL_CRITICAL;
    relief.rebuild_cost = 900; /* it does not come back */
    relief.between_passes = true;
    relief.destructive = true;
    relief.ctx = session;
    relief.offer = offer_history;
    relief.run = run_history;
    relief.leave = leave_history;
    return gov_relief_add(session->runtime, &relief, &session->history_id, err);
}
