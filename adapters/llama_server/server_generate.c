/* SPDX-License-Identifier: MIT */
/* A conversation goes on: all of its tokens are sent, and an answer comes as a stream
 * of events, a token each. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "adapters/llama_server/server_session.h"

#define LINE_BYTES (1U << 20) /* of one event */
#define PING_S 10 /* while it is silent the server sends a comment */

/* ---- what is asked ------------------------------------------------------------------- */

/* Greedy, as the other adapter: the same prompt gives the same text. */
static json_t *request_of(const gov_session *session,
                          const struct gov__server_talk *talk, uint32_t tokens,
                          bool stream, bool ignore_end)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < talk->count; i++)
        if (json_array_append_new(list, json_integer(talk->tokens[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return json_pack(
        "{s:s, s:o, s:i, s:I, s:b, s:b, s:b, s:b, s:f, s:i, s:[s], s:i, "
        "s:[sssssssss]}",
        "model", session->model, "prompt", list, "id_slot", (int)talk->slot,
        "n_predict", (json_int_t)tokens, "stream", stream, "cache_prompt", 1,
        "return_tokens", 1, "ignore_eos", ignore_end, "temperature", 0.0,
        "top_k", 1, "samplers", "top_k", "sse_ping_interval", PING_S,
        "response_fields", "content", "tokens", "stop", "timings",
        "tokens_cached", "stop_type", "truncated", "tokens_predicted",
        "tokens_evaluated");
}

/* Prompts of some tokens tell how fast they are read; one token does not. */
static void note_speed(gov_session *session, const json_t *timings)
{
    uint64_t tokens, us;

    if (!gov__server_count(timings, "prompt_n", INT32_MAX, &tokens) ||
        !gov__server_ms(timings, "prompt_ms", &us) || tokens < 4)
        return;
    pthread_mutex_lock(&session->lock);
    session->read_tokens += tokens;
    session->read_us += us;
    pthread_mutex_unlock(&session->lock);
}

/* Restored is what the server found in its cache, whatever it said before. */
static void check_cached(gov_session *session, struct gov__server_talk *talk,
                         uint64_t cached, uint64_t most)
{
    const uint64_t expected = talk->expected < most ? talk->expected : most;

    if (talk->expected > 0 && cached < expected)
        snprintf(session->notice, sizeof(session->notice),
                 "conversation %" PRIu32 " was restored with %" PRIu32
                 " tokens, of which llama-server used %" PRIu64
                 " and computed the rest again",
                 talk->shown.id, talk->expected, cached);
    talk->expected = 0;
    talk->cached = (uint32_t)(cached < most ? cached : most);
}

static gov_status odd(const char *what, gov_error *err)
{
    return gov_fail(err, GOV_E_ENGINE, 0,
                    "llama-server's answer %s; is it another version?", what);
}

gov_status gov__server_settle(gov_session *session,
                              struct gov__server_talk *talk, gov_error *err)
{
    uint64_t held, cached;
    json_t *reply;
    gov_status status;

    /* A full context has no room for the token that would be chosen next. */
    if (talk->exact || talk->count == 0 || talk->slot < 0 ||
        talk->count >= session->slot_context)
        return GOV_OK;
    status = gov__server_post(&session->http, "/completion",
                              request_of(session, talk, 0, false, false),
                              &reply, err);
    if (status != GOV_OK)
        return status;
    if (!gov__server_count(reply, "tokens_cached", INT32_MAX, &held) ||
        held != talk->count)
        status = odd("does not say that it holds the conversation", err);
    else
        talk->exact = true;
    note_speed(session, json_object_get(reply, "timings"));
    if (gov__server_count(json_object_get(reply, "timings"), "cache_n",
                          INT32_MAX, &cached))
        check_cached(session, talk, cached, talk->count - 1);
    json_decref(reply);
    return status;
}

/* ---- what is answered -------------------------------------------------------------------- */

struct answer {
    gov_session *session;
    struct gov__server_talk *talk;
    const struct gov_generate *request;
    struct gov_generated *out;
    uint64_t start_us;
    char *line; /* a part of one */
    size_t used, room;
    uint64_t told; /* tokens that the server says it has chosen */
    uint64_t cached;
    bool held; /* the last token has no text, and may be the model's end */
    /* From here on tokens were not told: those of a character that several of
     * them make. Its text was, and all text from there on is kept. */
    uint32_t gap;
    char *text;
    size_t text_used, text_room;
    bool has_gap, ended;
    bool refused; /* the receiver wants no more */
    bool failed;
    gov_error why;
};

static bool fail(struct answer *a, const char *what)
{
    a->failed = true;
    (void)odd(what, &a->why);
    return false;
}

static bool no_memory(struct answer *a)
{
    a->failed = true;
    gov_fail(&a->why, GOV_E_NOMEM, 0,
             "no memory for an answer of %" PRIu64 " tokens", a->told);
    return false;
}

/* Hands a token's text out; the token is the conversation's last one. */
static bool emit(struct answer *a, const char *text, size_t bytes)
{
    const struct gov_generate *request = a->request;

    if (request->piece == NULL || request->piece(request->ctx, text, bytes))
        return true;
    a->refused = true;
    return false;
}

static bool flush(struct answer *a)
{
    const bool held = a->held;

    a->held = false;
    return !held || emit(a, "", 0);
}

static bool keep_text(struct answer *a, const char *text, size_t bytes)
{
    void *block = a->text;

    if (!gov__server_grow(&block, &a->text_room, a->text_used,
                          a->text_used + bytes + 1))
        return no_memory(a);
    a->text = block;
    memcpy(a->text + a->text_used, text, bytes);
    a->text_used += bytes;
    return true;
}

static void publish(const struct answer *a)
{
    const struct gov_generated *out = a->out;
    gov_session *session = a->session;

    gov_gauges_set(session->runtime, session->gauges, GOV_PAGE_TOKENS,
                   session->generated);
    gov_gauges_set(session->runtime, session->gauges, GOV_PAGE_CONTEXT_USED,
                   a->talk->count);
    if (out->decode_us > 0 && a->told > 1)
        gov_gauges_set(session->runtime, session->gauges,
                       GOV_PAGE_TOKEN_RATE_MILLI,
                       (a->told - 1) * 1000000000 / out->decode_us);
}

static void note_time(struct answer *a, uint64_t told)
{
    const uint64_t now = gov__server_now_us();

    if (a->told == 0) {
        a->out->first_token_us = now - a->start_us;
        gov_gauges_set(a->session->runtime, a->session->gauges,
                       GOV_PAGE_FIRST_TOKEN_US, a->out->first_token_us);
    }
    a->out->decode_us = now - a->start_us - a->out->first_token_us;
    a->session->generated += told - a->told;
}

/* One more token. Those before it may have been kept back until a character was
 * whole. */
static bool on_token(struct answer *a, const json_t *event)
{
    const json_t *content = json_object_get(event, "content");
    const json_t *tokens = json_object_get(event, "tokens");
    const json_t *token = json_array_get(tokens, 0);
    const char *text = json_string_value(content);
    const size_t bytes = json_string_length(content);
    uint64_t told;

    if (text == NULL || json_array_size(tokens) != 1 ||
        !json_is_integer(token) || json_integer_value(token) < 0 ||
        json_integer_value(token) > INT32_MAX ||
        !gov__server_count(event, "tokens_predicted", a->request->tokens,
                           &told) ||
        told <= a->told)
        return fail(a, "has an event that is no token");
    if (!flush(a))
        return false;
    if (told > a->told + 1 && !a->has_gap) {
        a->has_gap = true;
        a->gap = a->talk->count;
    }
    note_time(a, told);
    a->told = told;
    if (!gov__server_talk_add(a->talk, (int32_t)json_integer_value(token)))
        return no_memory(a);
    if (a->has_gap && !keep_text(a, text, bytes))
        return false;
    publish(a);
    a->held = bytes == 0;
    return a->held || emit(a, text, bytes);
}

static bool on_end(struct answer *a, const json_t *event)
{
    const json_t *timings = json_object_get(event, "timings");
    const char *why = json_string_value(json_object_get(event, "stop_type"));
    struct gov_generated *out = a->out;
    uint64_t cached;

    if (why == NULL ||
        !gov__server_count(timings, "cache_n", INT32_MAX, &cached))
        return fail(a, "ends without its timings");
    a->ended = true;
    out->ended = strcmp(why, "eos") == 0;
    out->context_full =
        !out->ended && json_is_true(json_object_get(event, "truncated"));
    a->cached = cached;
    note_speed(a->session, timings);
    /* The end itself is no part of what was said. */
    if (out->ended && a->told > 0) {
        a->held = false;
        a->told--;
        if (a->talk->count > 0)
            a->talk->count--;
    }
    return flush(a);
}

static bool on_event(struct answer *a, const char *text, size_t bytes)
{
    json_t *event = json_loadb(text, bytes, JSON_ALLOW_NUL, NULL);
    const char *words = json_string_value(
        json_object_get(json_object_get(event, "error"), "message"));
    bool go_on;

    if (!json_is_object(event))
        go_on = fail(a, "has an event that is no JSON object");
    else if (words != NULL) {
        char plain[160];

        snprintf(plain, sizeof(plain), "%s", words);
        gov__server_plain(plain);
        a->failed = true;
        gov_fail(&a->why, GOV_E_ENGINE, 0, "llama-server gave up: %s", plain);
        go_on = false;
    } else if (a->ended) {
        go_on = fail(a, "goes on behind its end");
    } else if (json_is_true(json_object_get(event, "stop"))) {
        go_on = on_end(a, event);
    } else {
        go_on = on_token(a, event);
    }
    json_decref(event);
    return go_on;
}

static bool on_line(struct answer *a)
{
    static const char data[] = "data:";
    const size_t skip = sizeof(data) - 1;

    while (a->used > 0 && a->line[a->used - 1] == '\r')
        a->used--;
    /* Others are comments, and empty ones the end of an event. */
    if (a->used < skip || memcmp(a->line, data, skip) != 0)
        return true;
    return on_event(a, a->line + skip, a->used - skip);
}

static bool wants_stop(void *ctx)
{
    const struct answer *a = ctx;

    return a->request->stop != NULL && a->request->stop(a->request->ctx);
}

static bool on_stream(void *ctx, const char *data, size_t bytes)
{
    struct answer *a = ctx;
    void *block;

    while (bytes > 0) {
        const char *end = memchr(data, '\n', bytes);
        const size_t part = end != NULL ? (size_t)(end - data) : bytes;

        if (part > LINE_BYTES - a->used)
            return fail(a, "has an event of more than a MiB");
        block = a->line;
        if (!gov__server_grow(&block, &a->room, a->used, a->used + part + 1))
            return no_memory(a);
        a->line = block;
        memcpy(a->line + a->used, data, part);
        a->used += part;
        if (end == NULL)
            return true;
        if (!on_line(a))
            return false;
        a->used = 0;
        data += part + 1;
        bytes -= part + 1;
        if (!a->ended && wants_stop(a)) {
            a->refused = true;
            return false;
        }
    }
    return true;
}

/* ---- a turn ----------------------------------------------------------------------------------- */

/* The tokens of a text whose own were not all told. They may be others than the model
 * has chosen; the text is the same, and the server computes what differs. */
static gov_status fill_gap(struct answer *a, gov_error *err)
{
    if (!a->has_gap)
        return GOV_OK;
    a->talk->count = a->gap;
    return gov__server_tokenize(a->session, a->talk, a->text, a->text_used,
                                err);
}

static gov_status run(struct answer *a, gov_error *err)
{
    gov_session *session = a->session;
    struct gov__server_call call = {
        .path = "/completion", .sink = on_stream, .stop = wants_stop, .ctx = a};
    struct gov__server_reply reply;
    json_t *request = request_of(session, a->talk, a->request->tokens, true,
                                 a->request->ignore_end);
    char *body = request == NULL ? NULL : gov__server_json_text(request);
    gov_status status;

    json_decref(request);
    if (body == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for what to ask llama-server");
    call.body = body;
    status = gov__server_call(&session->http, &call, &reply, err);
    gov__server_delete(body);
    if (status != GOV_OK)
        return status;
    if (a->failed) {
        if (err != NULL)
            *err = a->why;
        status = a->why.status;
    } else if (reply.stopped || a->refused) {
        status = gov_fail(err, GOV_E_CANCELLED, 0, "generation was stopped");
    } else if (reply.code != 200) {
        status = gov__server_refused(call.path, &reply, err);
    } else if (!a->ended) {
        status = odd("breaks off", err);
    }
    gov__server_reply_free(&reply);
    return status;
}

static gov_status read_prompt(gov_session *session,
                              struct gov__server_talk *talk, const char *prompt,
                              struct gov_generated *out, gov_error *err)
{
    const uint32_t before = talk->count, most = session->slot_context;
    gov_status status =
        gov__server_tokenize(session, talk, prompt, strlen(prompt), err);
    const uint32_t count = talk->count - before;

    if (status != GOV_OK)
        return status;
    if (count == 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the prompt has no tokens; give some text");
    if (talk->count >= most) {
        talk->count = before;
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the prompt needs %" PRIu32 " tokens and the context "
                        "has room for %" PRIu32 "; ask for a larger context or "
                        "shorten it",
                        count, before + 1 < most ? most - before - 1 : 0);
    }
    out->prompt_tokens = count;
    return GOV_OK;
}

/* What was said stays said, also when it was stopped; a turn in which nothing was, or
 * which failed, has not been. */
static gov_status end_turn(struct answer *a, uint32_t before, gov_status status,
                           gov_error *err)
{
    struct gov__server_talk *talk = a->talk;
    struct gov_generated *out = a->out;
    gov_error passed;

    talk->exact = false;
    out->tokens = (uint32_t)a->told;
    if (status == GOV_E_CANCELLED && a->told > 0) {
        if (fill_gap(a, &passed) != GOV_OK)
            talk->count = before;
        return status;
    }
    if (status == GOV_OK)
        status = fill_gap(a, err);
    if (status != GOV_OK) {
        talk->count = before;
        return status;
    }
    check_cached(a->session, talk, a->cached, before);
    out->known_tokens = talk->cached;
    /* The last token is computed now, as it would be here: the next turn then
     * costs its own, and what is stored is whole. Where that fails the next
     * request says so. */
    (void)gov__server_settle(a->session, talk, &passed);
    return GOV_OK;
}

/* A stream would begin with a token that nobody asked for. */
static gov_status only_read(gov_session *session, struct gov__server_talk *talk,
                            uint32_t before, struct gov_generated *out,
                            gov_error *err)
{
    gov_status status;

    talk->exact = false;
    status = gov__server_settle(session, talk, err);
    if (status != GOV_OK)
        talk->count = before;
    else
        out->known_tokens = talk->cached < before ? talk->cached : before;
    return status;
}

/* What waited and was read is another process's to know. */
static void record(const struct answer *a, gov_status status)
{
    const gov_session *session = a->session;
    const struct gov_generated *out = a->out;
    const char *path = gov_model_path(session->file);
    const char *name = gov_model_name(session->file);
    const char *slash = strrchr(path, '/');
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
        .took_us = gov__server_now_us() - a->start_us,
    };

    if (*name == '\0')
        name = slash != NULL ? slash + 1 : path;
    snprintf(row.engine, sizeof(row.engine), "llama-server %.30s",
             session->build);
    snprintf(row.model, sizeof(row.model), "%s", name);
    snprintf(row.strategy, sizeof(row.strategy), "%s",
             gov_strategy_name(session->plan.strategy == GOV_STRATEGY_HEAP
                                   ? GOV_STRATEGY_HEAP
                                   : GOV_STRATEGY_MMAP));
    gov_request_done(session->runtime, &row);
}

gov_status gov__server_generate(gov_session *session,
                                const struct gov_generate *request,
                                struct gov_generated *out, gov_error *err)
{
    struct answer answer = {.session = session,
                            .request = request,
                            .out = out,
                            .start_us = gov__server_now_us()};
    struct gov__server_talk *talk;
    gov_status status;
    uint32_t before;

    memset(out, 0, sizeof(*out));
    if (request->size != sizeof(*request) || request->prompt == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "generate: the request is of another version or has no "
                        "prompt");
    answer.talk = talk = gov__server_talk_find(session, request->conversation);
    if (talk == NULL)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "%" PRIu32 " is no conversation of this session; "
                        "converse() begins one",
                        request->conversation);
    before = talk->count;
    gov_activity_begin(session->runtime, "answering");
    gov__server_talk_use(session, talk, true);
    status = gov__server_seat(session, talk, err);
    if (status == GOV_OK)
        status = read_prompt(session, talk, request->prompt, out, err);
    if (status == GOV_OK && request->tokens == 0) {
        status = only_read(session, talk, before, out, err);
    } else if (status == GOV_OK) {
        status = run(&answer, err);
        status = end_turn(&answer, before, status, err);
    }
    gov__server_talk_use(session, talk, false);
    record(&answer, status);
    session->requests += status == GOV_OK || answer.told > 0;
    gov_gauges_set(session->runtime, session->gauges, GOV_PAGE_REQUESTS,
                   session->requests);
    gov_activity_end(session->runtime);
    gov__server_delete(answer.line);
    gov__server_delete(answer.text);
    return status;
}
