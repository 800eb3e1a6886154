/* SPDX-License-Identifier: MIT */
/* The conversation: prompt in, tokens out, one forward pass at a time. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
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
    if (!ask && layer_of(node->name, "l_out-", &layer))
        atomic_store_explicit(&session->layer_now, layer + 1,
                              memory_order_relaxed);
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
    gov__kv_begin(&session->kv, 0, 0);
    (void)llama_decode(session->context, llama_batch_get_one(&token, 1));
    session->exploring = false;
    llama_set_n_threads(session->context, threads, batch_threads);
    gov__llama_log_begin(); /* that it was stopped is no error */
    gov__llama_advise(session, POSIX_MADV_NORMAL);
    llama_memory_clear(llama_get_memory(session->context), false);
    gov__kv_cleared(&session->kv);
}

/* ---- one pass ------------------------------------------------------------------- */

/* The lock comes first: relief that runs between passes never takes it, and
 * gov_pass_begin() waits for that. */
void gov__llama_drive(gov_session *session)
{
    pthread_mutex_lock(&session->drive);
    gov_pass_begin(session->runtime);
    if (atomic_load(&session->storing.done))
        (void)gov__llama_spill_end(session, true, NULL);
}

void gov__llama_rest(gov_session *session)
{
    struct gov__llama_talk *talk = session->talk;

    gov__kv_account(&session->kv);
    if (talk->sequence >= 0)
        talk->bytes = gov__kv_bytes_of(&session->kv, (uint32_t)talk->sequence);
    gov_pass_end(session->runtime);
    pthread_mutex_unlock(&session->drive);
}

static int32_t position_of(const struct gov__llama_talk *talk, uint32_t token)
{
    return (int32_t)(token + (token >= talk->gap_at ? talk->gap : 0));
}

/* Makes the conversation end after its first `length` tokens again. False when
 * the engine cannot: a recurrent state has no past, and a sliding window has
 * let go of what a shorter conversation would see. */
static bool take_back(gov_session *session, struct gov__llama_talk *talk,
                      uint32_t length)
{
    llama_memory_t memory = llama_get_memory(session->context);
    const int32_t window = llama_model_n_swa(session->model);
    const int32_t from = position_of(talk, length);
    llama_pos oldest;

    if (!llama_memory_seq_rm(memory, talk->sequence, from, -1))
        return false;
    gov__kv_removed(&session->kv, (uint32_t)talk->sequence, from, -1);
    gov__llama_set_past(session, talk, length);
    if (length == 0 || window <= 0)
        return true;
    oldest = llama_memory_seq_pos_min(memory, talk->sequence);
    return oldest == 0 || (oldest > 0 && oldest + window <= from);
}

static gov_status fail_pass(int rc, uint32_t count, bool dropped,
                            gov_error *err)
{
    const char *and = dropped ? "; the conversation is read again when it goes "
                                "on, since this model's state cannot be taken "
                                "back"
                              : "";

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

/* llama.cpp's own batch of one sequence is always of the first. */
static int decode(gov_session *session, const struct gov__llama_talk *talk,
                  uint32_t count)
{
    struct llama_batch batch =
        llama_batch_get_one(talk->tokens + talk->past, (int32_t)count);
    int rc;

    session->sequence = talk->sequence;
    batch.n_seq_id = session->batch_count;
    batch.seq_id = session->batch_sequence;
    gov__kv_begin(&session->kv, (uint32_t)talk->sequence,
                  position_of(talk, talk->past));
    atomic_store_explicit(&session->computing, true, memory_order_relaxed);
    rc = llama_decode(session->context, batch);
    atomic_store_explicit(&session->computing, false, memory_order_relaxed);
    atomic_fetch_add_explicit(&session->passes, 1, memory_order_relaxed);
    return rc;
}

/* A call of gov__llama_evaluate(). */
struct evaluation {
    const llama_token *tokens; /* NULL: those in its list */
    uint32_t before, count_before;
    int rc; /* the engine's answer */
    bool begun, dropped;
};

/* Takes back what was computed since; the context is held. */
static void undo(gov_session *session, struct gov__llama_talk *talk,
                 struct evaluation *e)
{
    session->logits = NULL;
    if (!take_back(session, talk, e->before)) {
        e->dropped = true;
        gov__llama_drop(session, talk);
    }
    talk->count = e->count_before;
}

/* Relief may have cut its history since the last pass: how long it is shows here. */
static void begin(struct gov__llama_talk *talk, struct evaluation *e,
                  uint32_t count)
{
    if (!e->begun) {
        e->before = talk->past;
        e->count_before = talk->count;
        e->begun = true;
    }
    if (e->tokens != NULL)
        memcpy(talk->tokens + talk->past, e->tokens,
               count * sizeof(*e->tokens));
}

static gov_status evaluate_batch(gov_session *session,
                                 struct gov__llama_talk *talk, uint32_t count,
                                 struct evaluation *e, gov_error *err)
{
    bool shifting;
    gov_status status;

    gov__llama_drive(session);
    shifting = session->kv.shifting;
    begin(talk, e, count);
    status = gov__llama_pass_begin(session, count, err);
    if (status == GOV_OK) {
        e->rc = decode(session, talk, count);
        gov__llama_pass_end(session, e->rc == 0);
        if (session->pass.changed)
            status = gov_fail(err, GOV_E_IO, 0,
                              "the model's file was written to while a "
                              "pass was under way; unload it and load it "
                              "again");
    }
    if (status == GOV_OK && e->rc == 0) {
        gov__llama_set_past(session, talk, talk->past + count);
        if (talk->count < talk->past)
            talk->count = talk->past;
        gov__llama_touch(session, talk);
    } else {
        undo(session, talk, e);
    }
    /* Moving positions touched all of K. */
    if (shifting) {
        gov__kv_account(&session->kv);
        gov__kv_release(&session->kv);
    }
    gov__llama_rest(session);
    return status;
}

gov_status gov__llama_evaluate(gov_session *session,
                               struct gov__llama_talk *talk,
                               const llama_token *tokens, uint32_t count,
                               gov_error *err)
{
    const uint32_t batch = llama_n_batch(session->context);
    struct evaluation e = {.tokens = tokens};

    for (uint32_t at = 0; at < count && e.rc == 0; at += batch) {
        const uint32_t n = count - at < batch ? count - at : batch;
        gov_status status = evaluate_batch(session, talk, n, &e, err);

        if (status != GOV_OK)
            return status;
        if (e.rc == 0 && at + n < count && wants_stop(session)) {
            gov__llama_drive(session);
            undo(session, talk, &e);
            gov__llama_rest(session);
            e.rc = 2;
        }
    }
    if (e.rc == 0 && count > 0) {
        session->logits = llama_get_logits_ith(session->context, -1);
        if (session->logits == NULL)
            e.rc = -1;
    }
    return e.rc == 0 ? GOV_OK : fail_pass(e.rc, count, e.dropped, err);
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
 * believed; where its cells had their positions; the logits of the last token, so
 * that nothing need be computed; and the engine's state of the sequence. All of it
 * is this session's, so the model and the type of the cache are the same. */
#define STRETCHES 16

struct kept {
    uint32_t tokens, stretches;
    struct gov__kv_stretch stretch[STRETCHES];
};

struct offsets {
    size_t tokens, logits, state;
};

static struct offsets layout(const gov_session *session, uint32_t count)
{
    struct offsets at;

    at.tokens = sizeof(struct kept);
    at.logits = at.tokens + count * sizeof(llama_token);
    at.state = at.logits +
               (size_t)llama_vocab_n_tokens(session->vocab) * sizeof(float);
    return at;
}

/* Whether so much, and a copy of it while it is put there or back, has room beside
 * what was planned: nobody else knows of it. A conversation of 3400 tokens in a
 * memory cgroup of four times its cache ended the process otherwise. */
bool gov__llama_has_room(const gov_session *session, uint64_t bytes)
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

static bool write_prompt(gov_session *session,
                         const struct gov__llama_talk *talk,
                         unsigned char *block, struct offsets at, size_t state)
{
    struct kept kept = {.tokens = talk->past};

    kept.stretches = gov__kv_stretches(&session->kv, (uint32_t)talk->sequence,
                                       kept.stretch, STRETCHES);
    if (kept.stretches > STRETCHES)
        return false;
    memcpy(block, &kept, sizeof(kept));
    memcpy(block + at.tokens, talk->tokens, at.logits - at.tokens);
    memcpy(block + at.logits, session->logits, at.state - at.logits);
    return llama_state_seq_get_data_ext(session->context, block + at.state,
                                        state, talk->sequence,
                                        LLAMA_STATE_SEQ_FLAGS_NONE) == state;
}

/* Keeps the state after a first prompt. It is a cache: what fails is not kept,
 * and nothing is when memory is short. */
static void keep_prompt(gov_session *session,
                        const struct gov__llama_talk *talk)
{
    const struct offsets at = layout(session, talk->past);
    const uint64_t key = hash_tokens(talk->tokens, talk->past);
    unsigned char *block;
    size_t state;

    gov__llama_drive(session);
    state = llama_state_seq_get_size_ext(session->context, talk->sequence,
                                         LLAMA_STATE_SEQ_FLAGS_NONE);
    block = state != 0 && session->logits != NULL &&
                    at.state + state <= GOV__LLAMA_PROMPT_BYTES &&
                    gov__llama_has_room(session, at.state + state) &&
                    gov_level_now(session->runtime) < GOV_LEVEL_WARN
                ? gov_heap_alloc(at.state + state, "prompt state")
                : NULL;
    if (block != NULL && !write_prompt(session, talk, block, at, state)) {
        gov_heap_free(block);
        block = NULL;
    }
    gov__llama_rest(session);
    if (block == NULL)
        return;
    if (gov_cache_put(session->prompts, key, block, at.state + state, NULL) !=
        GOV_OK)
        gov_cache_remove(session->prompts, key);
    gov_heap_free(block);
}

/* Puts the state in `block` back, if it is this prompt's. */
static bool restore(gov_session *session, struct gov__llama_talk *talk,
                    const unsigned char *block, size_t bytes, uint32_t count)
{
    const struct offsets at = layout(session, count);
    struct kept kept;
    bool restored;

    if (bytes <= at.state)
        return false;
    memcpy(&kept, block, sizeof(kept));
    if (kept.tokens != count ||
        memcmp(block + at.tokens, talk->tokens, at.logits - at.tokens) != 0)
        return false;
    /* Cells are filled that no graph node shows. */
    gov__llama_drive(session);
    restored = llama_state_seq_set_data_ext(session->context, block + at.state,
                                            bytes - at.state, talk->sequence,
                                            LLAMA_STATE_SEQ_FLAGS_NONE) ==
               bytes - at.state;
    gov__kv_restored(&session->kv, (uint32_t)talk->sequence, kept.stretch,
                     kept.stretches);
    if (restored) {
        gov__llama_set_past(session, talk, count);
        talk->count = count;
        gov__llama_touch(session, talk);
    } else {
        gov__llama_clear(session, talk);
    }
    gov__llama_rest(session);
    if (restored) {
        memcpy(session->kept_logits, block + at.logits, at.state - at.logits);
        session->logits = session->kept_logits;
    }
    return restored;
}

/* Puts a kept first prompt back and returns how many tokens need no reading:
 * all of them or none. */
static uint32_t recall_prompt(gov_session *session,
                              struct gov__llama_talk *talk, uint32_t count)
{
    const uint64_t key = hash_tokens(talk->tokens, count);
    unsigned char *block;
    size_t bytes = 0;
    bool restored = false;

    if (!gov_cache_get(session->prompts, key, NULL, 0, &bytes))
        return 0;
    block = gov_heap_alloc(bytes, "prompt state");
    if (block == NULL)
        return 0;
    if (gov_cache_get(session->prompts, key, block, bytes, NULL))
        restored = restore(session, talk, block, bytes, count);
    gov_heap_free(block);
    return restored ? count : 0;
}

/* Writes the prompt's tokens behind those of the conversation. */
static gov_status tokenize(gov_session *session, struct gov__llama_talk *talk,
                           const char *prompt, uint32_t *count, gov_error *err)
{
    const uint32_t room = llama_n_ctx(session->context) - talk->count;
    size_t bytes = strlen(prompt);
    int64_t needed;
    int32_t n;

    if (bytes > INT32_MAX)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the prompt has %zu bytes, more than the engine takes",
                        bytes);
    n = llama_tokenize(session->vocab, prompt, (int32_t)bytes,
                       talk->tokens + talk->count, (int32_t)room,
                       talk->count == 0, true);
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

static gov_status read_prompt(gov_session *session,
                              struct gov__llama_talk *talk, const char *prompt,
                              struct gov_generated *out, gov_error *err)
{
    const bool first = talk->count == 0;
    uint32_t count = 0, known = 0;
    uint64_t start_us;
    gov_status status = tokenize(session, talk, prompt, &count, err);

    if (status == GOV_OK)
        status = gov__llama_take_up(session, talk, count, err);
    if (status != GOV_OK)
        return status;
    out->known_tokens = talk->past;
    gov__llama_close_gap(session, talk);
    if (first)
        known = recall_prompt(session, talk, count);
    out->known_tokens += known;
    start_us = gov__llama_now_us();
    status = gov__llama_evaluate(session, talk, NULL, count - known, err);
    if (status != GOV_OK)
        return status;
    if (known == 0)
        gov__llama_rate_add(session, &session->read, count,
                            gov__llama_now_us() - start_us);
    out->prompt_tokens = count;
    if (first)
        talk->first = count;
    if (first && known == 0)
        keep_prompt(session, talk);
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

/* Others may have filled the context meanwhile. */
static gov_status add_token(gov_session *session, struct gov__llama_talk *talk,
                            llama_token token, gov_error *err)
{
    gov_status status = gov__llama_take_up(session, talk, 1, err);

    return status == GOV_OK ? gov__llama_evaluate(session, talk, &token, 1, err)
                            : status;
}

static gov_status decode_tokens(gov_session *session,
                                struct gov__llama_talk *talk,
                                struct gov_generated *out, uint64_t start_us,
                                gov_error *err)
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
        else if (talk->count >= llama_n_ctx(session->context)) {
            out->context_full = true;
            break;
        }
        /* The token is part of the conversation from here on, also the last
         * one: the next prompt continues behind it. */
        if (status == GOV_OK)
            status = add_token(session, talk, token, err);
    }
    return status;
}

static gov_status check_request(gov_session *session,
                                const struct gov_generate *request,
                                struct gov__llama_talk **talk, gov_error *err)
{
    if (request->size != sizeof(*request) || request->prompt == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "generate: the request is of another version or has no "
                        "prompt");
    *talk = gov__llama_talk_find(session, request->conversation);
    if (*talk == NULL)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "generate: there is no conversation %" PRIu32
                        " in this session",
                        request->conversation);
    return GOV_OK;
}

/* While it is in use relief leaves it alone, but for its history; and that, too,
 * while its prompt is read. Relief that is under way is waited for. */
static void use(gov_session *session, struct gov__llama_talk *talk, bool in_use,
                bool reading)
{
    gov__llama_drive(session);
    pthread_mutex_lock(&session->shown);
    talk->in_use = in_use;
    talk->reading = reading;
    talk->used_us = gov__llama_now_us();
    pthread_mutex_unlock(&session->shown);
    gov__llama_rest(session);
}

/* ---- a turn ---------------------------------------------------------------------- */

/* What the session has counted up to a moment. */
struct counted {
    uint64_t at_us, wait_us, stall_us, faults, read_bytes;
};

static struct counted count_now(gov_session *session)
{
    struct counted now = {.at_us = gov__llama_now_us(),
                          .wait_us = session->weights_wait_us,
                          .stall_us = session->stall_us};
    struct gov_weights_account account;

    if (session->weights != NULL) {
        gov_weights_account(session->weights, false, &account);
        now.faults = account.sum.major_faults;
        now.read_bytes = account.sum.read_bytes;
    }
    return now;
}

/* A name for people; of a model that has none that of its file. */
static const char *name_of(const gov_session *session)
{
    const char *name = gov_model_name(session->file);
    const char *path = gov_model_path(session->file);
    const char *slash = strrchr(path, '/');

    if (*name != '\0')
        return name;
    return slash != NULL ? slash + 1 : path;
}

static void record(gov_session *session, const struct counted *from,
                   const struct gov_generated *out, gov_status status)
{
    const struct counted now = count_now(session);
    struct gov_request row = {
        .size = sizeof(row),
        .cold = session->requests == 0,
        .end = status == GOV_OK            ? GOV_REQUEST_DONE
               : status == GOV_E_CANCELLED ? GOV_REQUEST_STOPPED
                                           : GOV_REQUEST_FAILED,
        .prompt_tokens = out->prompt_tokens,
        .reused_tokens = out->known_tokens,
        .tokens = out->tokens,
        .first_token_us = out->first_token_us,
        .took_us = now.at_us - from->at_us,
        .weights_wait_us = now.wait_us - from->wait_us,
        .stall_us = now.stall_us - from->stall_us,
        .major_faults = now.faults - from->faults,
        .read_bytes = now.read_bytes - from->read_bytes,
    };

    snprintf(row.engine, sizeof(row.engine), "llama.cpp %s", llama_version());
    /* Other quantizations, and other sizes, may have the same name. */
    snprintf(row.model, sizeof(row.model), "%.70s, %" PRIu64 " MB",
             name_of(session), (session->weights_bytes + 500000) / 1000000);
    snprintf(row.strategy, sizeof(row.strategy), "%s",
             gov_strategy_name(session->strategy));
    gov_request_done(session->runtime, &row);
}

gov_status gov__llama_generate(gov_session *session,
                               const struct gov_generate *request,
                               struct gov_generated *out, gov_error *err)
{
    const struct counted from = count_now(session);
    struct gov__llama_talk *talk = NULL;
    gov_status status;

    memset(out, 0, sizeof(*out));
    status = check_request(session, request, &talk, err);
    if (status != GOV_OK || talk == NULL)
        return status;
    gov_activity_begin(session->runtime, "answering");
    session->request = request;
    use(session, talk, true, true);
    status = read_prompt(session, talk, request->prompt, out, err);
    use(session, talk, true, false);
    if (status == GOV_OK)
        status = decode_tokens(session, talk, out, from.at_us, err);
    use(session, talk, false, false);
    session->request = NULL;
    gov_activity_end(session->runtime);
    record(session, &from, out, status);
    session->requests += status == GOV_OK || out->tokens > 0;
    gov__llama_publish(session, true);
    return status;
}

void gov__llama_reset(gov_session *session)
{
    gov__llama_erase(session, 0);
    session->logits = NULL;
    gov__llama_publish(session, false);
}
