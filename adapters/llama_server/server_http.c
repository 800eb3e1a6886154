/* SPDX-License-Identifier: MIT */
/* Calls to a server of this machine, by libcurl. Every wait has an end, every reply a
 * limit, and what is in it is not believed. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "adapters/llama_server/server_session.h"

#define REPLY_BYTES (4U << 20) /* of one that is collected */
#define CONNECT_MS 5000L
#define WAIT_MS 20 /* between two questions whether to stop */

/* ---- one handle ------------------------------------------------------------------ */

static bool add_header(struct gov__server_http *http, const char *line)
{
    struct curl_slist *list = curl_slist_append(http->headers, line);

    if (list != NULL)
        http->headers = list;
    return list != NULL;
}

static bool set_up(struct gov__server_http *http)
{
    CURL *curl = http->curl;
    bool good = true;

#define SET(option, value)                                                     \
    good = good && curl_easy_setopt(curl, option, value) == CURLE_OK
    SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http");
#else
    SET(CURLOPT_PROTOCOLS, (long)CURLPROTO_HTTP);
#endif
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* also none of the environment */
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    SET(CURLOPT_HTTPHEADER, http->headers);
    SET(CURLOPT_NOPROGRESS, 1L);
    if (http->socket[0] != '\0')
        SET(CURLOPT_UNIX_SOCKET_PATH, http->socket);
#undef SET
    return good;
}

gov_status gov__server_http_open(struct gov__server_http *http,
                                 const char *base, const char *socket,
                                 const char *key, gov_error *err)
{
    char line[SERVER_PATH_BYTES];
    bool good;

    /* Counted by libcurl, so that others in the process may do the same. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return gov_fail(err, GOV_E_NOMEM, 0, "libcurl cannot be set up");
    http->global = true;
    snprintf(http->base, sizeof(http->base), "%s", base);
    snprintf(http->socket, sizeof(http->socket), "%s", socket);
    http->curl = curl_easy_init();
    http->multi = curl_multi_init();
    snprintf(line, sizeof(line), "Authorization: Bearer %s", key);
    good = http->curl != NULL && http->multi != NULL &&
           add_header(http, "Content-Type: application/json") &&
           add_header(http, "Expect:") &&
           (*key == '\0' || add_header(http, line)) && set_up(http);
    memset(line, 0, sizeof(line));
    return good ? GOV_OK
                : gov_fail(err, GOV_E_NOMEM, 0,
                           "no memory for a connection to llama-server");
}

void gov__server_http_close(struct gov__server_http *http)
{
    if (http->curl != NULL)
        curl_easy_cleanup(http->curl);
    if (http->multi != NULL)
        curl_multi_cleanup(http->multi);
    curl_slist_free_all(http->headers);
    if (http->global)
        curl_global_cleanup();
    memset(http, 0, sizeof(*http));
}

/* ---- one call --------------------------------------------------------------------- */

enum end { END_NONE, END_STOPPED, END_LONG, END_NOMEM, END_SILENT };

struct transfer {
    struct gov__server_http *http;
    const struct gov__server_call *call;
    struct gov__server_reply *reply;
    size_t room;
    uint64_t heard_us;
    enum end end; /* why we ended it */
};

static bool collect(struct transfer *t, const char *data, size_t bytes)
{
    struct gov__server_reply *reply = t->reply;
    void *block = reply->data;

    if (bytes >= REPLY_BYTES - reply->bytes) {
        t->end = END_LONG;
        return false;
    }
    if (!gov__server_grow(&block, &t->room, reply->bytes,
                          reply->bytes + bytes + 1)) {
        t->end = END_NOMEM;
        return false;
    }
    reply->data = block;
    memcpy(reply->data + reply->bytes, data, bytes);
    reply->bytes += bytes;
    reply->data[reply->bytes] = '\0';
    return true;
}

static size_t on_data(char *data, size_t one, size_t bytes, void *ctx)
{
    struct transfer *t = ctx;
    bool go_on;

    (void)one; /* is 1 */
    t->heard_us = gov__server_now_us();
    (void)curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE,
                            &t->reply->code);
    if (t->call->sink == NULL || t->reply->code != 200)
        return collect(t, data, bytes) ? bytes : 0;
    go_on = t->call->sink(t->call->ctx, data, bytes);
    if (!go_on)
        t->end = END_STOPPED;
    return go_on ? bytes : 0;
}

/* Whether it is to be given up although nothing has failed. */
static bool wants_end(struct transfer *t)
{
    if (t->call->stop != NULL && t->call->stop(t->call->ctx))
        t->end = END_STOPPED;
    else if (gov__server_now_us() - t->heard_us > t->http->silence_us)
        t->end = END_SILENT;
    return t->end != END_NONE;
}

/* Taking the handle out of the other one closes a connection that is still in use:
 * the server notices, and computes no further. */
static CURLcode drive(struct transfer *t)
{
    CURLM *multi = t->http->multi;
    CURLcode result = CURLE_OK;
    CURLMsg *message;
    int running = 1, left;

    if (curl_multi_add_handle(multi, t->http->curl) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    while (curl_multi_perform(multi, &running) == CURLM_OK && running > 0 &&
           !wants_end(t))
        if (curl_multi_poll(multi, NULL, 0, WAIT_MS, NULL) != CURLM_OK)
            break;
    if (running > 0 && t->end == END_NONE)
        result = CURLE_FAILED_INIT;
    while ((message = curl_multi_info_read(multi, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            result = message->data.result;
    (void)curl_multi_remove_handle(multi, t->http->curl);
    return result;
}

static gov_status tell(const struct transfer *t, CURLcode result,
                       gov_error *err)
{
    const char *path = t->call->path;
    const int bytes = (int)strcspn(path, "?");

    switch (t->end) {
    case END_STOPPED:
        t->reply->stopped = true;
        return GOV_OK;
    case END_LONG:
        return gov_fail(err, GOV_E_ENGINE, 0,
                        "llama-server's reply to %.*s has more than %u MiB, "
                        "which is none that it should give",
                        bytes, path, REPLY_BYTES >> 20);
    case END_NOMEM:
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for llama-server's reply to %.*s", bytes,
                        path);
    case END_SILENT:
        return gov_fail(err, GOV_E_ENGINE, 0,
                        "llama-server says nothing to %.*s for %" PRIu64 " s; "
                        "GOVERNOR_LLAMA_SERVER_TIMEOUT gives it longer",
                        bytes, path, t->http->silence_us / 1000000);
    default:
        break;
    }
    if (result == CURLE_OK)
        return GOV_OK;
    return gov_fail(err, GOV_E_ENGINE, 0,
                    "llama-server does not answer to %.*s: %s", bytes, path,
                    curl_easy_strerror(result));
}

gov_status gov__server_call(struct gov__server_http *http,
                            const struct gov__server_call *call,
                            struct gov__server_reply *reply, gov_error *err)
{
    struct transfer t = {.http = http, .call = call, .reply = reply};
    char url[2 * SERVER_PATH_BYTES];
    CURL *curl = http->curl;
    CURLcode result;
    gov_status status;

    memset(reply, 0, sizeof(*reply));
    if ((size_t)snprintf(url, sizeof(url), "%s%s", http->base, call->path) >=
        sizeof(url))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "llama-server's address is too long");
    t.heard_us = gov__server_now_us();
    result = curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (call->body != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)strlen(call->body));
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body);
    }
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &t);
    if (result == CURLE_OK)
        result = drive(&t);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->code);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
                           NULL); /* not ours to keep */
    status = tell(&t, result, err);
    if (status != GOV_OK)
        gov__server_reply_free(reply);
    return status;
}

void gov__server_reply_free(struct gov__server_reply *reply)
{
    gov__server_delete(reply->data);
    reply->data = NULL;
    reply->bytes = 0;
}

/* ---- JSON -------------------------------------------------------------------------- */

static json_t *parse(const char *data, size_t bytes)
{
    /* A model's text may hold any character. */
    return data == NULL ? NULL : json_loadb(data, bytes, JSON_ALLOW_NUL, NULL);
}

char *gov__server_json_text(const json_t *root)
{
    const size_t bytes = json_dumpb(root, NULL, 0, JSON_COMPACT);
    char *text = bytes == 0 ? NULL : gov__server_new(bytes + 1);

    if (text != NULL && json_dumpb(root, text, bytes, JSON_COMPACT) != bytes) {
        gov__server_delete(text);
        text = NULL;
    }
    return text;
}

static gov_status status_of(long code)
{
    if (code == 401 || code == 403)
        return GOV_E_PERMISSION;
    return code == 501 ? GOV_E_UNSUPPORTED : GOV_E_ENGINE;
}

gov_status gov__server_refused(const char *path,
                               const struct gov__server_reply *reply,
                               gov_error *err)
{
    json_t *root = parse(reply->data, reply->bytes);
    const char *words = json_string_value(
        json_object_get(json_object_get(root, "error"), "message"));
    char why[160];

    snprintf(why, sizeof(why), "%s",
             words != NULL && *words != '\0' ? words : "it does not say why");
    json_decref(root);
    gov__server_plain(why);
    return gov_fail(err, status_of(reply->code), 0,
                    "llama-server refuses %.*s (%ld): %s",
                    (int)strcspn(path, "?"), path, reply->code, why);
}

static gov_status ask(struct gov__server_http *http, const char *path,
                      const char *body, json_t **out, gov_error *err)
{
    struct gov__server_call call = {.path = path, .body = body};
    struct gov__server_reply reply;
    gov_status status = gov__server_call(http, &call, &reply, err);

    *out = NULL;
    if (status != GOV_OK)
        return status;
    if (reply.code != 200)
        status = gov__server_refused(path, &reply, err);
    else {
        *out = parse(reply.data, reply.bytes);
        if (!json_is_object(*out)) {
            json_decref(*out);
            *out = NULL;
            status = gov_fail(err, GOV_E_ENGINE, 0,
                              "llama-server's reply to %.*s is no JSON object; "
                              "is it a llama-server?",
                              (int)strcspn(path, "?"), path);
        }
    }
    gov__server_reply_free(&reply);
    return status;
}

gov_status gov__server_get(struct gov__server_http *http, const char *path,
                           json_t **out, gov_error *err)
{
    return ask(http, path, NULL, out, err);
}

gov_status gov__server_post(struct gov__server_http *http, const char *path,
                            json_t *body, json_t **out, gov_error *err)
{
    char *text = body == NULL ? NULL : gov__server_json_text(body);
    gov_status status;

    *out = NULL;
    json_decref(body);
    if (text == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for what to ask llama-server");
    status = ask(http, path, text, out, err);
    gov__server_delete(text);
    return status;
}

bool gov__server_count(const json_t *object, const char *key, uint64_t most,
                       uint64_t *out)
{
    const json_t *value = json_object_get(object, key);

    *out = 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > most)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

bool gov__server_ms(const json_t *object, const char *key, uint64_t *us)
{
    const json_t *value = json_object_get(object, key);
    const double ms = json_number_value(value);

    *us = 0;
    if (!json_is_number(value) || !isfinite(ms) || ms < 0 || ms > 1e9)
        return false;
    *us = (uint64_t)(ms * 1000);
    return true;
}
