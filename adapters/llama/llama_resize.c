/* SPDX-License-Identifier: MIT */
/* Another context in the place of the one there is: larger or smaller, or with KV of
 * another type. It is made beside the old one, so that a failure changes nothing;
 * conversations move one by one. */
#include <inttypes.h>
#include <string.h>

#include "adapters/llama/llama_params.h"
#include "adapters/llama/llama_session.h"

static gov_status check(gov_session *session, const struct gov_resize *what,
                        gov_error *err)
{
    struct gov_need_request request = gov_need_request_default();
    gov_status status;

    if (what->size != sizeof(*what))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "resize: the request is of another version");
    request.context =
        what->context != 0 ? what->context : session->plan.context;
    request.k_type = request.v_type =
        what->kv_type != GOV_KV_UNSET ? what->kv_type : session->plan.kv_type;
    status = gov__llama_check(&request, "resize", err);
    if (status != GOV_OK)
        return status;
    for (const struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next)
        if (talk->count >= request.context)
            return gov_fail(err, GOV_E_INVALID, 0,
                            "resize: conversation %" PRIu32 " has %" PRIu32
                            " tokens, which a context of %" PRIu32
                            " has no room for; forget some of them first",
                            talk->id, (uint32_t)talk->count, request.context);
    return GOV_OK;
}

/* Rooms for tokens of the new context; all or none. */
static bool make_lists(gov_session *session, uint32_t context)
{
    const struct gov_alloc *alloc = gov_alloc_default();

    for (struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next) {
        talk->wider = alloc->alloc(alloc->ctx, ((size_t)context + 1) *
                                                   sizeof(*talk->tokens));
        if (talk->wider == NULL)
            return false;
        memcpy(talk->wider, talk->tokens, talk->count * sizeof(*talk->tokens));
    }
    return true;
}

static void end_lists(gov_session *session, bool take)
{
    const struct gov_alloc *alloc = gov_alloc_default();

    for (struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next) {
        llama_token *gone = take ? talk->tokens : talk->wider;

        if (take)
            talk->tokens = talk->wider;
        alloc->release(alloc->ctx, gone);
        talk->wider = NULL;
    }
}

/* One conversation's state, in `block`; 0: it has none, or there is no memory. */
static size_t take_state(struct llama_context *from, int32_t sequence,
                         unsigned char **block)
{
    const size_t bytes = llama_state_seq_get_size_ext(
        from, sequence, LLAMA_STATE_SEQ_FLAGS_NONE);

    *block = bytes > 0 ? gov_heap_alloc(bytes, "conversation") : NULL;
    if (*block == NULL)
        return 0;
    if (llama_state_seq_get_data_ext(from, *block, bytes, sequence,
                                     LLAMA_STATE_SEQ_FLAGS_NONE) == bytes)
        return bytes;
    gov_heap_free(*block);
    *block = NULL;
    return 0;
}

#define STRETCHES 256

/* What does not fit is read again when it is used. */
static void move(gov_session *session, struct gov__llama_talk *talk,
                 struct llama_context *from, const struct gov__llama_kv *cells)
{
    struct gov__kv_stretch stretch[STRETCHES];
    const int32_t sequence = talk->sequence;
    unsigned char *block;
    size_t bytes;
    uint32_t count;

    if (sequence < 0)
        return;
    count = gov__kv_stretches(cells, (uint32_t)sequence, stretch, STRETCHES);
    /* Positions that were moved and K that was not yet are no state. */
    bytes = talk->past > 0 && !cells->shifting
                ? take_state(from, sequence, &block)
                : 0;
    if (bytes > 0 &&
        llama_state_seq_set_data_ext(session->context, block, bytes, sequence,
                                     LLAMA_STATE_SEQ_FLAGS_NONE) == bytes) {
        gov__kv_restored(&session->kv, (uint32_t)sequence,
                         count <= STRETCHES ? stretch : NULL, count);
    } else {
        if (bytes > 0) { /* a part of it may be there */
            (void)llama_memory_seq_rm(llama_get_memory(session->context),
                                      sequence, -1, -1);
            gov__kv_restored(&session->kv, (uint32_t)sequence, NULL, 0);
            gov__kv_removed(&session->kv, (uint32_t)sequence, 0, -1);
        }
        pthread_mutex_lock(&session->shown);
        talk->sequence = -1;
        talk->gap = talk->gap_at = 0;
        talk->bytes = 0;
        pthread_mutex_unlock(&session->shown);
        gov__llama_set_past(session, talk, 0);
    }
    if (bytes > 0)
        gov_heap_free(block);
}

/* What is stored, or kept of prompts, is of the other type. */
static void forget_states(gov_session *session)
{
    pthread_mutex_lock(&session->shown);
    for (struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next)
        talk->loadable = false;
    pthread_mutex_unlock(&session->shown);
}

/* The context is held. */
static gov_status replace(gov_session *session, const struct gov_resize *what,
                          gov_error *err)
{
    const struct gov_plan plan = session->plan;
    const uint32_t threads = (uint32_t)llama_n_threads(session->context);
    struct llama_context *old = session->context, *made;
    struct gov__llama_kv *cells = gov__llama_new(sizeof(*cells));

    if (cells == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "resize: no memory");
    if (what->context != 0)
        session->plan.context = what->context;
    if (what->kv_type != GOV_KV_UNSET)
        session->plan.kv_type = what->kv_type;
    pthread_mutex_lock(&session->shown);
    memcpy(cells, &session->kv, sizeof(*cells));
    memset(&session->kv, 0, sizeof(session->kv));
    session->kv.page_bytes = cells->page_bytes;
    pthread_mutex_unlock(&session->shown);
    gov__llama_log_begin();
    made = gov__llama_context_new(session, threads, err);
    if (made == NULL || !make_lists(session, llama_n_ctx(made))) {
        gov__kv_close(&session->kv);
        pthread_mutex_lock(&session->shown);
        memcpy(&session->kv, cells, sizeof(*cells));
        pthread_mutex_unlock(&session->shown);
        gov__llama_delete(cells);
        session->plan = plan;
        end_lists(session, false);
        if (made == NULL)
            return err->status;
        llama_free(made);
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "resize: no memory for lists of %" PRIu32 " tokens",
                        what->context);
    }
    end_lists(session, true);
    session->context = made;
    atomic_store(&session->context_tokens, llama_n_ctx(made));
    atomic_store(&session->kv.given_back_bytes,
                 atomic_load(&cells->given_back_bytes));
    gov__llama_explore(session);
    for (struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next)
        move(session, talk, old, cells);
    if (plan.kv_type != session->plan.kv_type)
        forget_states(session);
    llama_free(old);
    gov__kv_close(cells);
    gov__llama_delete(cells);
    return GOV_OK;
}

gov_status gov__llama_resize(gov_session *session,
                             const struct gov_resize *what, gov_error *err)
{
    gov_error why;
    gov_status status = check(session, what, err);

    if (status != GOV_OK)
        return status;
    gov__llama_drive_settled(session);
    status = replace(session, what, &why);
    gov__llama_rest(session);
    if (status != GOV_OK && err != NULL)
        *err = why;
    if (status == GOV_OK)
        session->logits = NULL;
    gov__llama_publish(session, false);
    return status;
}
