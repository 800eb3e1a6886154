/* SPDX-License-Identifier: MIT */
/* What a session shows of itself, and what it announces to take. Decides
 * nothing. */
#include <stdio.h>

#include "adapters/llama/llama_session.h"

/* Reading which weights are resident takes 6 ms a GiB. */
#define SETTLED_US 2000000

/* ---- what will be taken --------------------------------------------------------- */

static void expect(gov_session *session, uint64_t bytes)
{
    const uint64_t before = atomic_exchange(&session->expected, bytes);

    if (bytes != before)
        gov_expect(session->runtime, (int64_t)bytes - (int64_t)before);
}

void gov__llama_expect_load(gov_session *session)
{
    const struct gov_plan *plan = &session->plan;
    uint64_t bytes = plan->footprint_bytes;

    /* What is anonymous is in that. */
    if (plan->strategy != GOV_STRATEGY_HEAP && !plan->anchor)
        bytes += plan->hot_bytes;
    expect(session, bytes < INT64_MAX ? bytes : INT64_MAX);
}

void gov__llama_expect_warming(gov_session *session)
{
    struct gov_weights_account account = {0};

    if (session->weights != NULL)
        gov_weights_account(session->weights, false, &account);
    expect(session, account.hot_bytes > account.there_bytes
                        ? account.hot_bytes - account.there_bytes
                        : 0);
    /* That may have been told while we looked. */
    if (atomic_load(&session->expects_no_more) ||
        gov__llama_wait(session, true, 0))
        expect(session, 0);
}

void gov__llama_expect_nothing(gov_session *session)
{
    if (atomic_load_explicit(&session->expected, memory_order_relaxed) == 0 &&
        atomic_load_explicit(&session->expects_no_more, memory_order_relaxed))
        return;
    atomic_store(&session->expects_no_more, true);
    expect(session, 0);
}

/* ---- the page --------------------------------------------------------------------- */

static void set(gov_session *session, gov_page_counter counter, uint64_t value)
{
    gov_gauges_set(session->runtime, session->gauges, counter, value);
}

static void set_text(gov_session *session, gov_page_text text,
                     const char *value)
{
    gov_gauges_text(session->runtime, session->gauges, text, value);
}

void gov__llama_publish_names(gov_session *session)
{
    const char *name = gov_model_name(session->file);
    char engine[48];

    snprintf(engine, sizeof(engine), "llama.cpp %s", llama_version());
    gov_publish_text(session->runtime, GOV_PAGE_TEXT_ENGINE, engine);
    set_text(session, GOV_PAGE_TEXT_MODEL,
             *name != '\0' ? name : gov_model_path(session->file));
    set_text(session, GOV_PAGE_TEXT_STRATEGY,
             gov_strategy_name(session->strategy));
}

/* What changes with every token. */
static void publish_pace(gov_session *session)
{
    struct gov__llama_kv *kv = &session->kv;

    set(session, GOV_PAGE_TOKENS, session->generated);
    set(session, GOV_PAGE_CONTEXT_USED, session->past);
    set(session, GOV_PAGE_CONTEXT, llama_n_ctx(session->context));
    set(session, GOV_PAGE_KV_RESERVED, atomic_load(&kv->reserved_bytes));
    set(session, GOV_PAGE_KV_USED, atomic_load(&kv->used_bytes));
    set(session, GOV_PAGE_KV_GIVEN_BACK, atomic_load(&kv->given_back_bytes));
}

void gov__llama_publish_talks(gov_session *session)
{
    uint64_t count = 0, stored = 0, bytes = 0;

    if (session->gauges == 0)
        return;
    pthread_mutex_lock(&session->shown);
    for (const struct gov__llama_talk *talk = session->talks; talk != NULL;
         talk = talk->next) {
        count++;
        stored += gov__llama_talk_place(talk) == GOV_CONVERSATION_STORED;
        bytes += talk->stored_bytes;
    }
    pthread_mutex_unlock(&session->shown);
    set(session, GOV_PAGE_CONVERSATIONS, count);
    set(session, GOV_PAGE_CONVERSATIONS_STORED, stored);
    set(session, GOV_PAGE_STATE_BYTES, bytes);
}

void gov__llama_publish(gov_session *session, bool settled)
{
    if (session->gauges == 0)
        return;
    publish_pace(session);
    set(session, GOV_PAGE_REQUESTS, session->requests);
    gov__llama_publish_talks(session);
    if (settled && session->weights != NULL)
        gov__llama_publish_weights(session, true);
}

void gov__llama_publish_weights(gov_session *session, bool exact)
{
    struct gov_weights_account account;
    char map[512];

    gov_weights_account(session->weights, exact, &account);
    set(session, GOV_PAGE_WEIGHTS_MAPPED, account.mapped_bytes);
    if (account.resident_known)
        set(session, GOV_PAGE_WEIGHTS_RESIDENT, account.resident_bytes);
    set(session, GOV_PAGE_WEIGHTS_HOT, account.hot_bytes);
    set(session, GOV_PAGE_WEIGHTS_COLD, account.cold_bytes);
    set(session, GOV_PAGE_WEIGHTS_STREAMED, account.streamed_bytes);
    set(session, GOV_PAGE_WEIGHTS_LATE, account.late_units);
    set(session, GOV_PAGE_WEIGHTS_ANCHORED, account.anchored_bytes);
    if (account.hot_bytes > 0)
        set(session, GOV_PAGE_WEIGHTS_WARM,
            account.there_bytes * 1000 / account.hot_bytes);
    gov_weights_map(session->weights, map, sizeof(map));
    set_text(session, GOV_PAGE_TEXT_UNITS, map);
}

static void publish_at_rest(void *ctx)
{
    gov__llama_publish_weights(ctx, true);
}

void gov__llama_publish_rest(gov_session *session)
{
    gov__llama_publish_weights(session, false);
    if (session->gauges != 0)
        gov_weights_on_rest(session->weights, publish_at_rest, session);
}

void gov__llama_publish_pass(gov_session *session)
{
    const struct gov_pass_account *pass = &session->pass;

    set(session, GOV_PAGE_PASS_US, pass->pass_us);
    set(session, GOV_PAGE_PASS_WEIGHTS_US, pass->weights_us);
    session->weights_wait_us += pass->weights_us;
    set(session, GOV_PAGE_WEIGHTS_WAIT_US, session->weights_wait_us);
    if (pass->reclaim_known) {
        set(session, GOV_PAGE_PASS_RECLAIM_US, pass->reclaim_us);
        session->stall_us += pass->reclaim_us;
        set(session, GOV_PAGE_STALL_US, session->stall_us);
    }
    set(session, GOV_PAGE_PASS_MAJOR_FAULTS, pass->major_faults);
    if (pass->read_known)
        set(session, GOV_PAGE_PASS_READ, pass->read_bytes);
}

void gov__llama_publish_progress(gov_session *session,
                                 const struct gov_generated *out)
{
    const uint64_t now = gov__llama_now_us();
    const bool settled = now - session->published_us >= SETTLED_US;

    if (out->decode_us > 0)
        set(session, GOV_PAGE_TOKEN_RATE_MILLI,
            (uint64_t)(out->tokens - 1) * 1000000000 / out->decode_us);
    if (!settled) {
        publish_pace(session);
        return;
    }
    session->published_us = now;
    gov__llama_publish(session, true);
}
