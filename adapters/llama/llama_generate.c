/* SPDX-License-Identifier: MIT */
/* The conversation: prompt in, tokens out, one forward pass at a time. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "adapters/llama/llama_session.h"

uint64_t gov__llama_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- where the engine is -------------------------------------------------------- */

/* "l_out-12" is the last node of layer 12, "ffn_moe_topk-12" its choice of
 * experts. */
static bool layer_of(const char *name, const char *prefix, uint32_t *layer)
{
    const size_t length = strlen(prefix);
    uint32_t n = 0;

    if (strncmp(name, prefix, length) != 0 || name[length] == '\0')
        return false;
    for (name += length; *name >= '0' && *name <= '9'; name++)
        n = n * 10 + (uint32_t)(*name - '0');
    *layer = n;
    return *name == '\0';
}

bool gov__llama_node(struct ggml_tensor *node, bool ask, void *data)
{
    gov_session *session = data;
    uint32_t layer;

    if (ask)
        gov__kv_watch(&session->kv, node);
    if (session->exploring) {
        session->layers_shown += layer_of(node->name, "l_out-", &layer);
        session->choices_shown += layer_of(node->name, "ffn_moe_topk-", &layer);
        return !ask; /* not wanted; and if it was computed, go on */
    }
    if (atomic_load_explicit(&session->reporting, memory_order_relaxed) &&
        layer_of(node->name, "l_out-", &layer)) {
        if (!ask)
            gov__llama_reached(session, layer);
        return true;
    }
    if (session->follows_experts &&
        layer_of(node->name, "ffn_moe_topk-", &layer)) {
        if (!ask)
            gov__llama_chosen(session, node, layer);
        return true;
    }
    return !ask;
}

static bool wants_stop(const gov_session *session)
{
    const struct gov_generate *request = session->request;

    return request != NULL && request->stop != NULL &&
           request->stop(request->ctx);
}

bool gov__llama_stop(void *data)
{
    const gov_session *session = data;

    return session->exploring || (session->revocable && wants_stop(session));
}

/* All nodes are shown before the first is computed, after which the pass ends:
 * it costs as much as looking one token up, whose page alone is to be read: with
 * its neighbours, which nobody needs yet, that took 30 ms of a cold disk. */
void gov__llama_explore(gov_session *session)
{
    const int32_t threads = llama_n_threads(session->context);
    const int32_t batch_threads = llama_n_threads_batch(session->context);
    llama_token token = 0;

    gov__llama_advise(session, POSIX_MADV_RANDOM);
    /* Several would meet for each node: 0.6 ms became 40 on two busy cores. */
    llama_set_n_threads(session->context, 1, 1);
    session->exploring = true;
    (void)llama_decode(session->context, llama_batch_get_one(&token, 1));
    session->exploring = false;
    llama_set_n_threads(session->context, threads, batch_threads);
    gov__llama_advise(session, POSIX_MADV_NORMAL);
    llama_memory_clear(llama_get_memory(session->context), false);
    gov__kv_cleared(&session->kv);
}

/* ---- one pass ------------------------------------------------------------------- */

/* Makes the conversation end after its first `length` tokens again. False when
 * the engine cannot: a recurrent state has no past, and a sliding window has
 * let go of what a shorter conversation would see. */
static bool take_back(gov_session *session, uint32_t length)
{
    llama_memory_t memory = llama_get_memory(session->context);
    int32_t window = llama_model_n_swa(session->model);
    llama_pos oldest;

    if (!llama_memory_seq_rm(memory, 0, (llama_pos)length, -1))
        return false;
    session->past = length;
    if (length == 0 || window <= 0)
        return true;
    oldest = llama_memory_seq_pos_min(memory, 0);
    return oldest == 0 || (oldest > 0 && oldest + window <= (llama_pos)length);
}

static gov_status fail_pass(gov_session *session, int rc, uint32_t count,
                            bool forgotten, gov_error *err)
{
    const char *and = forgotten ? "; the conversation is forgotten, since this "
                                  "model's state cannot be taken back"
                                : "";

    session->logits = NULL;
    if (forgotten)
        gov__llama_reset(session);
    if (rc == 2)
        return gov_fail(err, GOV_E_CANCELLED, 0, "generation was stopped%s",
                        and);
    if (rc == 1)
        return gov_fail(err, GOV_E_ENGINE, 0,
                        "llama.cpp has no room for %u more tokens in its "
                        "context; ask for a larger one%s",
                        count, and);
    return gov_fail(err, GOV_E_ENGINE, 0,
                    "llama.cpp failed to compute a pass (%d)%s", rc, and);
}

/* Evaluates tokens at the end of the conversation. A pass that fails or is
 * stopped leaves the conversation as it was before the call. */
static gov_status evaluate(gov_session *session, llama_token *tokens,
                           uint32_t count, gov_error *err)
{
    uint32_t before = session->past;
    uint32_t batch = llama_n_batch(session->context);
    gov_status status = GOV_OK;
    int rc = 0;

    for (uint32_t at = 0; at < count && rc == 0; at += batch) {
        uint32_t n = count - at < batch ? count - at : batch;

        gov_pass_begin(session->runtime);
        status = gov__llama_pass_begin(session, n, err);
        if (status == GOV_OK) {
            rc = llama_decode(session->context,
                              llama_batch_get_one(tokens + at, (int32_t)n));
            gov__llama_pass_end(session, rc == 0);
            if (session->pass.changed)
                status = gov_fail(err, GOV_E_IO, 0,
                                  "the model's file was written to while a "
                                  "pass was under way; unload it and load it "
                                  "again");
        }
        gov__kv_account(&session->kv);
        gov_pass_end(session->runtime);
        if (status != GOV_OK) { /* err says why */
            session->logits = NULL;
            if (!take_back(session, before))
                gov__llama_reset(session);
            return status;
        }
        if (rc == 0)
            session->past += n;
        if (rc == 0 && at + n < count && wants_stop(session))
            rc = 2;
    }
    if (rc == 0 && count > 0) {
        session->logits = llama_get_logits_ith(session->context, -1);
        if (session->logits == NULL)
            rc = -1;
    }
    if (rc != 0)
        return fail_pass(session, rc, count, !take_back(session, before), err);
    return GOV_OK;
}

/* ---- prompts -------------------------------------------------------------------- */

/* FNV-1a over the tokens; the cache's key. */
static uint64_t hash_tokens(const llama_token *tokens, uint32_t count)
{
    const unsigned char *bytes = (const unsigned char *)tokens;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < count * sizeof(*tokens); i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* What is kept of a prompt: how many tokens and which, so that a hash is never
 * believed; the logits of the last, so that nothing need be computed; and the
 * engine's state of the sequence. All of it is this session's, so the model and
 * the type of the cache are the same. */
struct kept {
    size_t tokens, logits, state; /* offsets */
};

static struct kept layout(const gov_session *session, uint32_t count)
{
    struct kept at;

    at.tokens = sizeof(count);
    at.logits = at.tokens + count * sizeof(llama_token);
    at.state = at.logits +
               (size_t)llama_vocab_n_tokens(session->vocab) * sizeof(float);
    return at;
}

/* Whether so much, and a copy of it while it is put there or back, has room beside
 * what was planned: nobody else knows of it. A conversation of 3400 tokens in a
 * memory cgroup of four times its cache ended the process otherwise. */
static bool has_room(const gov_session *session, uint64_t bytes)
{
    const struct gov_plan *plan = &session->plan;
    const uint64_t now = gov_budget_now(session->runtime);
    uint64_t budget = plan->budget_bytes, taken = plan->footprint_bytes;

    if (budget == 0)
        return true;
    if (now != 0 && now < budget)
        budget = now;
    if (plan->strategy == GOV_STRATEGY_HYBRID && !plan->anchor)
        taken += plan->hot_bytes;
    return budget > taken && bytes <= (budget - taken) / 2;
}

/* Keeps the state after a first prompt. It is a cache: what fails is not kept,
 * and nothing is when memory is short. */
static void keep_prompt(gov_session *session, uint32_t count)
{
    struct kept at = layout(session, count);
    size_t state = llama_state_seq_get_size_ext(session->context, 0,
                                                LLAMA_STATE_SEQ_FLAGS_NONE);
    uint64_t key = hash_tokens(session->tokens, count);
    unsigned char *block;

    if (state == 0 || session->logits == NULL ||
        at.state + state > GOV__LLAMA_PROMPT_BYTES ||
        !has_room(session, at.state + state) ||
        gov_level_now(session->runtime) >= GOV_LEVEL_WARN)
        return;
    block = gov_heap_alloc(at.state + state, "prompt state");
    if (block == NULL)
        return;
    memcpy(block, &count, sizeof(count));
    memcpy(block + at.tokens, session->tokens, at.logits - at.tokens);
    memcpy(block + at.logits, session->logits, at.state - at.logits);
    if (llama_state_seq_get_data_ext(session->context, block + at.state, state,
                                     0, LLAMA_STATE_SEQ_FLAGS_NONE) != state ||
        gov_cache_put(session->prompts, key, block, at.state + state, NULL) !=
            GOV_OK)
        gov_cache_remove(session->prompts, key);
    gov_heap_free(block);
}

/* Puts the state in `block` back, if it is this prompt's. */
static bool restore(gov_session *session, const unsigned char *block,
                    size_t bytes, uint32_t count)
{
    struct kept at = layout(session, count);
    bool restored;

    if (bytes <= at.state || memcmp(block, &count, sizeof(count)) != 0 ||
        memcmp(block + at.tokens, session->tokens, at.logits - at.tokens) != 0)
        return false;
    /* Cells are filled that no graph node shows. */
    gov_pass_begin(session->runtime);
    restored = llama_state_seq_set_data_ext(
                   session->context, block + at.state, bytes - at.state, 0,
                   LLAMA_STATE_SEQ_FLAGS_NONE) == bytes - at.state;
    gov__kv_restored(&session->kv, count); /* also where only a part was */
    if (!restored) {
        llama_memory_clear(llama_get_memory(session->context), false);
        gov__kv_cleared(&session->kv);
    }
    gov_pass_end(session->runtime);
    if (restored) {
        memcpy(session->kept_logits, block + at.logits, at.state - at.logits);
        session->logits = session->kept_logits;
    }
    return restored;
}

/* Puts a kept first prompt back and returns how many tokens need no reading:
 * all of them or none. */
static uint32_t recall_prompt(gov_session *session, uint32_t count)
{
    uint64_t key = hash_tokens(session->tokens, count);
    unsigned char *block;
    size_t bytes = 0;
    bool restored = false;

    if (!gov_cache_get(session->prompts, key, NULL, 0, &bytes))
        return 0;
    block = gov_heap_alloc(bytes, "prompt state");
    if (block == NULL)
        return 0;
    if (gov_cache_get(session->prompts, key, block, bytes, NULL))
        restored = restore(session, block, bytes, count);
    gov_heap_free(block);
    return restored ? count : 0;
}

static gov_status tokenize(gov_session *session, const char *prompt,
                           uint32_t *count, gov_error *err)
{
    uint32_t room = llama_n_ctx(session->context) - session->past;
    size_t bytes = strlen(prompt);
    int64_t needed;
    int32_t n;

    if (bytes > INT32_MAX)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the prompt has %zu bytes, more than the engine takes",
                        bytes);
    n = llama_tokenize(session->vocab, prompt, (int32_t)bytes, session->tokens,
                       (int32_t)room, session->past == 0, true);
    /* A negative count is the room that it would have taken. */
    needed = n < 0 ? -(int64_t)n : n;
    if (needed >= room)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the prompt needs %" PRId64 " tokens and the context "
                        "has room for %u; ask for a larger context or shorten "
                        "it",
                        needed, room == 0 ? 0 : room - 1);
    if (n == 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the prompt has no tokens; give some text");
    *count = (uint32_t)n;
    return GOV_OK;
}

static gov_status read_prompt(gov_session *session, const char *prompt,
                              struct gov_generated *out, gov_error *err)
{
    bool first = session->past == 0;
    uint32_t count = 0, known = 0;
    gov_status status = tokenize(session, prompt, &count, err);

    if (status != GOV_OK)
        return status;
    if (first)
        known = recall_prompt(session, count);
    session->past += known;
    status = evaluate(session, session->tokens + known, count - known, err);
    if (status != GOV_OK) {
        if (first)
            gov__llama_reset(session);
        return status;
    }
    out->prompt_tokens = count;
    if (first && known == 0)
        keep_prompt(session, count);
    return GOV_OK;
}

/* ---- tokens ---------------------------------------------------------------------- */

/* Greedy: the same prompt gives the same text, which is what tests and
 * comparisons with a stock engine need. */
static llama_token choose(const gov_session *session)
{
    const float *logits = session->logits;
    int32_t count = llama_vocab_n_tokens(session->vocab);
    llama_token best = 0;
    float top;

    assert(logits != NULL); /* something was read, or put back */
    top = logits[0];        /* kept at hand: saves 90 us a token of 32000 */
    for (llama_token i = 1; i < count; i++)
        if (logits[i] > top) {
            top = logits[i];
            best = i;
        }
    return best;
}

/* Hands one token's text out; false when the receiver wants no more. */
static bool emit(gov_session *session, llama_token token)
{
    const struct gov_generate *request = session->request;
    char piece[256], *text = piece;
    int32_t n;
    bool go_on;

    if (request->piece == NULL)
        return true;
    n = llama_token_to_piece(session->vocab, token, piece, sizeof(piece), 0,
                             false);
    /* A negative count is the room that it would have taken. */
    if (n < 0 && n > INT32_MIN) {
        text = gov__llama_new((size_t)-n);
        if (text != NULL)
            n = llama_token_to_piece(session->vocab, token, text, -n, 0, false);
    }
    go_on = request->piece(request->ctx, text == NULL ? "" : text,
                           n > 0 ? (size_t)n : 0);
    if (text != piece)
        gov__llama_delete(text);
    return go_on;
}

static gov_status decode_tokens(gov_session *session, struct gov_generated *out,
                                uint64_t start_us, gov_error *err)
{
    const struct gov_generate *request = session->request;
    gov_status status = GOV_OK;

    while (status == GOV_OK && out->tokens < request->tokens) {
        llama_token token = choose(session);
        uint64_t now = gov__llama_now_us();

        if (!request->ignore_end && llama_vocab_is_eog(session->vocab, token)) {
            out->ended = true;
            break;
        }
        if (out->tokens++ == 0) {
            out->first_token_us = now - start_us;
            gov_gauges_set(session->runtime, session->gauges,
                           GOV_PAGE_FIRST_TOKEN_US, out->first_token_us);
        }
        out->decode_us = now - start_us - out->first_token_us;
        session->generated++;
        gov__llama_publish_progress(session, out);
        if (!emit(session, token) || wants_stop(session))
            status =
                gov_fail(err, GOV_E_CANCELLED, 0, "generation was stopped");
        else if (session->past >= llama_n_ctx(session->context)) {
            out->context_full = true;
            break;
        }
        /* The token is part of the conversation from here on, also the last
         * one: the next prompt continues behind it. */
        if (status == GOV_OK)
            status = evaluate(session, &token, 1, err);
    }
    return status;
}

gov_status gov__llama_generate(gov_session *session,
                               const struct gov_generate *request,
                               struct gov_generated *out, gov_error *err)
{
    uint64_t start_us = gov__llama_now_us();
    gov_status status;

    memset(out, 0, sizeof(*out));
    if (request->size != sizeof(*request) || request->prompt == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "generate: the request is of another version or has no "
                        "prompt");
    gov_activity_begin(session->runtime, "answering");
    session->request = request;
    status = read_prompt(session, request->prompt, out, err);
    if (status == GOV_OK)
        status = decode_tokens(session, out, start_us, err);
    session->request = NULL;
    gov_activity_end(session->runtime);
    gov__llama_publish(session, true);
    return status;
}

void gov__llama_reset(gov_session *session)
{
    gov_pass_begin(session->runtime);
    llama_memory_clear(llama_get_memory(session->context), false);
    gov__kv_cleared(&session->kv);
    gov_pass_end(session->runtime);
    session->past = 0;
    session->logits = NULL;
    gov__llama_publish(session, false);
}
