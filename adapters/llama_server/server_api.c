/* SPDX-License-Identifier: MIT */
/* What is asked of the router and, through it, of the model's process. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "adapters/llama_server/server_session.h"

#define POLL_MS 10
#define LOADS 10 /* times the longest silence, for a model to be loaded */

/* ---- is it there -------------------------------------------------------------------- */

/* One that was just started has no socket yet. */
gov_status gov__server_wait_router(gov_session *session, gov_error *err)
{
    const uint64_t begin = gov__server_now_us();
    const bool own = session->router.pid != 0;
    gov_status status;
    char words[160];

    for (;;) {
        struct gov__server_call call = {.path = "/health"};
        struct gov__server_reply reply;

        status = gov__server_call(&session->http, &call, &reply, err);
        if (status == GOV_OK && reply.code == 200) {
            gov__server_reply_free(&reply);
            return GOV_OK;
        }
        if (status == GOV_OK) {
            status = gov__server_refused(call.path, &reply, err);
            gov__server_reply_free(&reply);
        }
        if (own && gov__server_router_ended(&session->router)) {
            gov__server_router_last_words(&session->router, words,
                                          sizeof(words));
            return gov_fail(err, GOV_E_ENGINE, 0,
                            "llama-server ended as it began: %s", words);
        }
        if (!own || gov__server_now_us() - begin > session->http.silence_us)
            return status;
        (void)poll(NULL, 0, POLL_MS);
    }
}

/* ---- models --------------------------------------------------------------------------- */

static const char *status_of(const json_t *model)
{
    return json_string_value(
        json_object_get(json_object_get(model, "status"), "value"));
}

static const json_t *arguments_of(const json_t *model)
{
    return json_object_get(json_object_get(model, "status"), "args");
}

/* What follows a word of the command that a model is started with. */
static const char *argument(const json_t *model, const char *word)
{
    const json_t *list = arguments_of(model);

    for (size_t i = 0; i + 1 < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));

        if (one != NULL && strcmp(one, word) == 0)
            return json_string_value(json_array_get(list, i + 1));
    }
    return NULL;
}

static bool is_same_file(const char *path, const struct gov_model_file *file)
{
    struct stat st;

    return path != NULL && *path == '/' && stat(path, &st) == 0 &&
           (uint64_t)st.st_dev == file->device &&
           (uint64_t)st.st_ino == file->inode;
}

/* One of the router's models, in a list that is to be json_decref()ed: the one of the
 * session's name, or before it has one the one with the session's file. */
static gov_status list_model(gov_session *session, json_t **list,
                             const json_t **model, gov_error *err)
{
    size_t count;
    const struct gov_model_file *files = gov_model_files(session->file, &count);
    gov_status status = gov__server_get(&session->http, "/models", list, err);
    const json_t *all;

    if (status != GOV_OK)
        return status;
    all = json_object_get(*list, "data");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        const char *id = json_string_value(json_object_get(one, "id"));

        if (id == NULL || strlen(id) >= SERVER_NAME_BYTES ||
            status_of(one) == NULL ||
            (session->model[0] != '\0'
                 ? strcmp(id, session->model) != 0
                 : !is_same_file(argument(one, "--model"), &files[0])))
            continue;
        *model = one;
        return GOV_OK;
    }
    json_decref(*list);
    *list = NULL;
    return gov_fail(err, GOV_E_NOT_FOUND, 0,
                    "the router at %.60s has no model %.120s; have it list the "
                    "file (--models-dir, --models-preset)",
                    session->http.base, files[0].path);
}

gov_status gov__server_find_model(gov_session *session, gov_error *err)
{
    const json_t *model = NULL;
    json_t *list = NULL;
    gov_status status = list_model(session, &list, &model, err);

    if (status != GOV_OK)
        return status;
    snprintf(session->model, sizeof(session->model), "%s",
             json_string_value(json_object_get(model, "id")));
    json_decref(list);
    return GOV_OK;
}

/* Notes what only the list tells of a model that runs. */
static void note_process(gov_session *session, const json_t *model)
{
    const char *directory = argument(model, "--slot-save-path");

    session->pid = gov__server_process_find(arguments_of(model));
    session->slots_directory[0] = '\0';
    if (directory != NULL && *directory == '/' &&
        strlen(directory) < sizeof(session->slots_directory))
        snprintf(session->slots_directory, sizeof(session->slots_directory),
                 "%s", directory);
}

static gov_status post(gov_session *session, const char *path, gov_error *err)
{
    json_t *reply;
    gov_status status = gov__server_post(
        &session->http, path, json_pack("{s:s}", "model", session->model),
        &reply, err);

    json_decref(reply);
    return status;
}

static gov_status failed(gov_session *session, gov_error *err)
{
    char words[160] = "it does not say why";

    if (session->router.home[0] != '\0')
        gov__server_router_last_words(&session->router, words, sizeof(words));
    return gov_fail(err, GOV_E_ENGINE, 0,
                    "llama-server cannot load %.80s: %.120s",
                    gov_model_path(session->file), words);
}

/* How far a model is: GOV_OK and *ready, or why it will not be. */
static gov_status look_once(gov_session *session, bool *ready, gov_error *err)
{
    const json_t *model = NULL;
    json_t *list = NULL;
    gov_status status = list_model(session, &list, &model, err);
    const char *now;

    if (status != GOV_OK)
        return status;
    now = status_of(model);
    *ready = strcmp(now, "loaded") == 0 || strcmp(now, "sleeping") == 0;
    if (*ready)
        note_process(session, model);
    else if (strcmp(now, "unloaded") == 0)
        status = failed(session, err);
    json_decref(list);
    return status;
}

static gov_status wait_model(gov_session *session, const struct gov_load *load,
                             gov_error *err)
{
    const uint64_t begin = gov__server_now_us();
    bool ready = false;
    gov_status status;

    for (;;) {
        status = look_once(session, &ready, err);
        if (status != GOV_OK || ready)
            return status;
        if (load->progress != NULL &&
            !load->progress(load->progress_ctx, 0, "loading the model"))
            return gov_fail(err, GOV_E_CANCELLED, 0, "loading was stopped");
        if (gov__server_now_us() - begin > LOADS * session->http.silence_us)
            return gov_fail(err, GOV_E_ENGINE, 0,
                            "llama-server has not loaded %.120s after %" PRIu64
                            " s; GOVERNOR_LLAMA_SERVER_TIMEOUT gives it longer",
                            gov_model_path(session->file),
                            LOADS * session->http.silence_us / 1000000);
        (void)poll(NULL, 0, POLL_MS);
    }
}

/* One that runs already in somebody else's router stays when we leave. */
gov_status gov__server_load_model(gov_session *session,
                                  const struct gov_load *load, gov_error *err)
{
    const json_t *model = NULL;
    json_t *list = NULL;
    gov_status status = list_model(session, &list, &model, err);
    bool idle;

    if (status != GOV_OK)
        return status;
    idle = strcmp(status_of(model), "unloaded") == 0;
    json_decref(list);
    if (idle) {
        session->loaded = true;
        status = post(session, "/models/load", err);
    }
    if (status == GOV_OK)
        status = wait_model(session, load, err);
    if (status == GOV_OK && load->progress != NULL &&
        !load->progress(load->progress_ctx, 1000, "loading the model"))
        status = gov_fail(err, GOV_E_CANCELLED, 0, "loading was stopped");
    return status;
}

static bool is_unloaded(gov_session *session)
{
    const json_t *model = NULL;
    json_t *list = NULL;
    gov_error passed;
    bool unloaded;

    if (list_model(session, &list, &model, &passed) != GOV_OK)
        return true;
    unloaded = strcmp(status_of(model), "unloaded") == 0;
    json_decref(list);
    return unloaded;
}

void gov__server_unload_model(gov_session *session)
{
    const uint64_t begin = gov__server_now_us();
    gov_error passed;

    if (!session->loaded || post(session, "/models/unload", &passed) != GOV_OK)
        return;
    session->loaded = false;
    while (!is_unloaded(session) &&
           gov__server_now_us() - begin < session->http.silence_us)
        (void)poll(NULL, 0, POLL_MS);
}

/* ---- the model's process ------------------------------------------------------------------ */

static gov_status odd(const char *path, const char *member, gov_error *err)
{
    return gov_fail(err, GOV_E_ENGINE, 0,
                    "llama-server's reply to %.*s has no %s that can be so; is "
                    "it another version?",
                    (int)strcspn(path, "?"), path, member);
}

/* The model as a query; its name may hold anything. */
static gov_status query(gov_session *session, const char *path, char *out,
                        size_t bytes, gov_error *err)
{
    char *name = curl_easy_escape(session->http.curl, session->model, 0);
    const int n =
        name == NULL ? -1 : snprintf(out, bytes, "%s?model=%s", path, name);

    curl_free(name);
    if (n < 0 || (size_t)n >= bytes)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a query");
    return GOV_OK;
}

gov_status gov__server_look(gov_session *session, gov_error *err)
{
    char path[4 * SERVER_NAME_BYTES];
    json_t *reply = NULL;
    const char *build;
    uint64_t context, slots;
    gov_status status = query(session, "/props", path, sizeof(path), err);

    if (status == GOV_OK)
        status = gov__server_get(&session->http, path, &reply, err);
    if (status != GOV_OK)
        return status;
    if (!gov__server_count(
            json_object_get(reply, "default_generation_settings"), "n_ctx",
            INT32_MAX, &context) ||
        context == 0)
        status = odd(path, "n_ctx", err);
    else if (!gov__server_count(reply, "total_slots", INT32_MAX, &slots) ||
             slots == 0)
        status = odd(path, "total_slots", err);
    else {
        session->slot_context = (uint32_t)context;
        session->slots = slots < SERVER_SLOTS ? (uint32_t)slots : SERVER_SLOTS;
    }
    build = json_string_value(json_object_get(reply, "build_info"));
    snprintf(session->build, sizeof(session->build), "%s",
             build != NULL ? build : "");
    gov__server_plain(session->build);
    json_decref(reply);
    return status;
}

gov_status gov__server_slot(gov_session *session, uint32_t slot,
                            enum gov__server_action action, const char *file,
                            struct gov__server_told *told, gov_error *err)
{
    static const struct {
        const char *name, *tokens, *bytes;
    } actions[] = {
        [SERVER_SAVE] = {"save", "n_saved", "n_written"},
        [SERVER_RESTORE] = {"restore", "n_restored", "n_read"},
        [SERVER_ERASE] = {"erase", "n_erased", ""},
    };
    char path[64];
    json_t *reply = NULL;
    gov_status status;

    memset(told, 0, sizeof(*told));
    snprintf(path, sizeof(path), "/slots/%" PRIu32 "?action=%s", slot,
             actions[action].name);
    status = gov__server_post(&session->http, path,
                              json_pack("{s:s, s:s}", "model", session->model,
                                        "filename", file != NULL ? file : ""),
                              &reply, err);
    if (status != GOV_OK)
        return status;
    if (!gov__server_count(reply, actions[action].tokens, INT32_MAX,
                           &told->tokens))
        status = odd(path, actions[action].tokens, err);
    (void)gov__server_count(reply, actions[action].bytes, INT64_MAX,
                            &told->bytes);
    json_decref(reply);
    return status;
}

static gov_status add_tokens(struct gov__server_talk *talk, const json_t *list,
                             gov_error *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        if (!json_is_integer(one) || json_integer_value(one) < 0 ||
            json_integer_value(one) > INT32_MAX)
            return odd("/tokenize", "tokens", err);
        if (!gov__server_talk_add(talk, (int32_t)json_integer_value(one)))
            return gov_fail(err, GOV_E_NOMEM, 0,
                            "no memory for a list of %" PRIu32 " tokens",
                            talk->count + 1);
    }
    return GOV_OK;
}

gov_status gov__server_tokenize(gov_session *session,
                                struct gov__server_talk *talk, const char *text,
                                size_t bytes, gov_error *err)
{
    json_t *content = json_stringn(text, bytes), *reply = NULL;
    const uint32_t before = talk->count;
    const json_t *list;
    gov_status status;

    if (content == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the prompt is not UTF-8, which is all that a server "
                        "takes");
    status = gov__server_post(
        &session->http, "/tokenize",
        json_pack("{s:s, s:o, s:b, s:b}", "model", session->model, "content",
                  content, "add_special", before == 0, "parse_special", 1),
        &reply, err);
    if (status != GOV_OK)
        return status;
    list = json_object_get(reply, "tokens");
    status = json_is_array(list) ? add_tokens(talk, list, err)
                                 : odd("/tokenize", "tokens", err);
    json_decref(reply);
    if (status != GOV_OK)
        talk->count = before;
    return status;
}
