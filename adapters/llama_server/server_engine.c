/* SPDX-License-Identifier: MIT */
/* The adapter of llama-server: the engine in a process of its own, over HTTP. The
 * router is one that runs already (GOVERNOR_LLAMA_SERVER names it: a URL of this
 * machine; LLAMA_API_KEY is its key) or one of our own. GOVERNOR_LLAMA_SERVER_TIMEOUT
 * is how many seconds it may say nothing, 60 unless set. */
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "adapters/llama_server/server_session.h"

#ifndef GOV_LLAMA_SERVER_VERSION
#define GOV_LLAMA_SERVER_VERSION "unknown"
#endif
#define SILENCE_S 60
#define SILENCE_MOST_S 3600
#define MOST_THREADS 512 /* GGML_MAX_N_THREADS */

/* ---- memory, time ------------------------------------------------------------------ */

void *gov__server_new(size_t bytes)
{
    const struct gov_alloc *alloc = gov_alloc_default();
    void *block = alloc->alloc(alloc->ctx, bytes);

    if (block != NULL)
        memset(block, 0, bytes);
    return block;
}

void gov__server_delete(void *block)
{
    const struct gov_alloc *alloc = gov_alloc_default();

    alloc->release(alloc->ctx, block);
}

bool gov__server_grow(void **block, size_t *room, size_t used, size_t bytes)
{
    const struct gov_alloc *alloc = gov_alloc_default();
    size_t more = *room < 256 ? 256 : *room;
    void *larger;

    if (bytes <= *room)
        return true;
    while (more < bytes) {
        if (more > SIZE_MAX / 2)
            return false;
        more *= 2;
    }
    larger = alloc->alloc(alloc->ctx, more);
    if (larger == NULL)
        return false;
    if (used > 0)
        memcpy(larger, *block, used);
    alloc->release(alloc->ctx, *block);
    *block = larger;
    *room = more;
    return true;
}

uint64_t gov__server_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void gov__server_plain(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

/* ---- loading -------------------------------------------------------------------------- */

static const char *setting(const char *name)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

static struct gov_need_request request_of(const struct gov_plan *plan)
{
    struct gov_need_request request = gov_need_request_default();

    request.context = plan->context;
    request.strategy = plan->strategy;
    request.repack = plan->repack;
    request.gpu_layers = plan->gpu_layers;
    if (plan->kv_type != GOV_KV_UNSET)
        request.k_type = request.v_type = plan->kv_type;
    if (plan->sequences != 0)
        request.sequences = plan->sequences;
    return request;
}

static gov_status check_plan(const struct gov_plan *plan, gov_error *err)
{
    uint32_t bytes;

    if (plan->context == 0 || plan->context > INT32_MAX - 256)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "load: a context of %" PRIu32 " tokens is none that "
                        "llama.cpp can make",
                        plan->context);
    if (plan->sequences > SERVER_SLOTS)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "load: %" PRIu32 " sequences are more than llama.cpp "
                        "can keep apart",
                        plan->sequences);
    if (plan->kv_type != GOV_KV_UNSET &&
        gov_kv_type_block(plan->kv_type, &bytes) == 0)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "load: K and V of type %d are none that are known",
                        (int)plan->kv_type);
    return GOV_OK;
}

static gov_status check_load(const struct gov_load *load, gov_error *err)
{
    struct gov_facts facts;
    const char *format;

    if (load->size != sizeof(*load) || load->model == NULL ||
        load->plan == NULL ||
        (load->plan->strategy != GOV_STRATEGY_MMAP &&
         load->plan->strategy != GOV_STRATEGY_HYBRID &&
         load->plan->strategy != GOV_STRATEGY_HEAP))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "load: needs a model and a plan that loads it, of this "
                        "version");
    if (load->decrypt != NULL)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "load: llama-server reads the file itself, and cannot "
                        "have it decrypted; use the llama adapter");
    if (load->threads > MOST_THREADS)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "load: %" PRIu32 " threads are more than the %d that "
                        "llama.cpp can use",
                        load->threads, MOST_THREADS);
    memset(&facts, 0, sizeof(facts));
    gov_model_facts(load->model, &facts);
    format = facts.value[GOV_FACT_MODEL_FORMAT].text;
    if (format == NULL || strcmp(format, "gguf") != 0)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "llama.cpp runs no models in %s files; %.150s is one",
                        format != NULL ? format : "other",
                        gov_model_path(load->model));
    return check_plan(load->plan, err);
}

/* A prompt is not for other machines, nor for who listens on the way. */
static bool is_here(const char *url)
{
    static const char *const here[] = {"http://127.0.0.1", "http://localhost",
                                       "http://[::1]"};

    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
        const size_t n = strlen(here[i]);
        const char *rest = url + n;

        if (strncmp(url, here[i], n) != 0)
            continue;
        if (*rest == ':')
            rest += 1 + strspn(rest + 1, "0123456789");
        return strcmp(rest, "") == 0 || strcmp(rest, "/") == 0;
    }
    return false;
}

static gov_status meet_router(gov_session *session, const char *url,
                              gov_error *err)
{
    const char *key = setting("LLAMA_API_KEY");
    char base[SERVER_PATH_BYTES];
    gov_status status;

    if (!is_here(url) || strlen(url) >= sizeof(base))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "GOVERNOR_LLAMA_SERVER is %.100s, and has to be a "
                        "server of this machine, http://127.0.0.1:8080 say",
                        url);
    snprintf(base, sizeof(base), "%s", url);
    if (base[strlen(base) - 1] == '/')
        base[strlen(base) - 1] = '\0';
    status = gov__server_http_open(&session->http, base, "",
                                   key != NULL ? key : "", err);
    if (status == GOV_OK)
        status = gov__server_wait_router(session, err);
    return status == GOV_OK ? gov__server_find_model(session, err) : status;
}

/* The server is told where it is in full; NULL where that has no room. */
static const char *spill_path(const gov_spill *spill, char out[PATH_MAX])
{
    if (spill == NULL || realpath(gov_spill_directory(spill), out) == NULL ||
        strlen(out) >= SERVER_PATH_BYTES)
        return NULL;
    return out;
}

static gov_status own_router(gov_session *session, const struct gov_load *load,
                             gov_error *err)
{
    char key[65] = "", path[SERVER_PATH_BYTES], spilled[PATH_MAX];
    const char *slots = spill_path(load->spill, spilled);
    gov_status status =
        gov__server_router_start(&session->router, load, slots, key, err);

    session->spill = slots != NULL ? load->spill : NULL;
    if (status != GOV_OK)
        return status;
    snprintf(session->model, sizeof(session->model), SERVER_OWN_MODEL);
    snprintf(path, sizeof(path), "%s/router.sock", session->router.home);
    status = gov__server_http_open(&session->http, "http://localhost", path,
                                   key, err);
    memset(key, 0, sizeof(key));
    return status == GOV_OK ? gov__server_wait_router(session, err) : status;
}

static void set_silence(gov_session *session)
{
    const char *text = setting("GOVERNOR_LLAMA_SERVER_TIMEOUT");
    unsigned long seconds = text == NULL ? 0 : strtoul(text, NULL, 10);

    if (seconds == 0 || seconds > SILENCE_MOST_S)
        seconds = SILENCE_S;
    session->http.silence_us = seconds * 1000000ULL;
}

/* What the plan has for the context; somebody else's router may have other ideas,
 * which describe() tells. */
static void size_context(gov_session *session)
{
    struct gov_need_request request = request_of(&session->plan);
    struct gov_need need;
    gov_error passed;

    /* Of another's we know neither how slots share it nor its types. */
    if (session->router.home[0] == '\0') {
        const uint64_t all = (uint64_t)session->slot_context * session->slots;

        session->context = all < UINT32_MAX ? (uint32_t)all : UINT32_MAX;
        return;
    }
    session->context = session->slot_context;
    request.context = session->context;
    if (gov_model_need(session->file, &request, &need, &passed) == GOV_OK)
        session->kv_bytes = need.ram.kv + need.gpu.kv;
}

static gov_status open_engine(gov_session *session, const struct gov_load *load,
                              gov_error *err)
{
    const char *url = setting("GOVERNOR_LLAMA_SERVER");
    gov_status status = url != NULL ? meet_router(session, url, err)
                                    : own_router(session, load, err);

    if (status == GOV_OK)
        status = gov__server_load_model(session, load, err);
    if (status == GOV_OK)
        status = gov__server_look(session, err);
    if (status == GOV_OK)
        status = gov__server_talks_open(session, err);
    if (status == GOV_OK)
        size_context(session);
    return status;
}

static void close_session(gov_session *session)
{
    gov__server_talks_close(session);
    if (session->http.curl != NULL)
        gov__server_unload_model(session);
    gov__server_http_close(&session->http);
    gov__server_router_stop(&session->router);
    gov_gauges_free(session->runtime, session->gauges);
    pthread_mutex_destroy(&session->lock);
    gov__server_delete(session->text);
    gov__server_delete(session);
}

static void server_unload(gov_session *session)
{
    if (session != NULL)
        close_session(session);
}

static gov_session *session_new(const struct gov_load *load)
{
    static atomic_uint sessions;
    gov_session *session = gov__server_new(sizeof(*session));

    if (session == NULL)
        return NULL;
    session->text = gov__server_new(SERVER_TEXT_BYTES);
    if (session->text == NULL ||
        pthread_mutex_init(&session->lock, NULL) != 0) {
        gov__server_delete(session->text);
        gov__server_delete(session);
        return NULL;
    }
    session->router.leash = -1;
    session->file = load->model;
    session->plan = *load->plan;
    session->runtime = load->runtime;
    snprintf(session->tag, sizeof(session->tag), "gov-%ld-%u", (long)getpid(),
             atomic_fetch_add(&sessions, 1));
    set_silence(session);
    return session;
}

/* The other process may be in the same memory cgroup, and takes from the same
 * machine. */
static int64_t taken_by(const struct gov_plan *plan)
{
    const uint64_t bytes = plan->footprint_bytes + plan->hot_bytes;

    return bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX;
}

static void publish_names(gov_session *session)
{
    const char *name = gov_model_name(session->file);

    gov_publish_text(session->runtime, GOV_PAGE_TEXT_ENGINE, "llama-server");
    gov_gauges_text(session->runtime, session->gauges, GOV_PAGE_TEXT_MODEL,
                    *name != '\0' ? name : gov_model_path(session->file));
    gov_gauges_text(
        session->runtime, session->gauges, GOV_PAGE_TEXT_STRATEGY,
        gov_strategy_name(session->plan.strategy == GOV_STRATEGY_HEAP
                              ? GOV_STRATEGY_HEAP
                              : GOV_STRATEGY_MMAP));
    gov_gauges_set(session->runtime, session->gauges, GOV_PAGE_CONTEXT,
                   session->context);
    gov_gauges_set(session->runtime, session->gauges, GOV_PAGE_KV_RESERVED,
                   session->kv_bytes);
}

static gov_status server_load(gov_session **out, const struct gov_load *load,
                              gov_error *err)
{
    int64_t taken;
    gov_session *session;
    gov_status status;

    *out = NULL;
    status = check_load(load, err);
    if (status != GOV_OK)
        return status;
    session = session_new(load);
    if (session == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a session");
    session->gauges = gov_gauges_new(session->runtime);
    taken = taken_by(&session->plan);
    gov_expect(session->runtime, taken);
    gov_activity_begin(session->runtime, "loading a model");
    status = open_engine(session, load, err);
    gov_activity_end(session->runtime);
    gov_expect(session->runtime, -taken);
    if (status != GOV_OK) {
        close_session(session);
        return status;
    }
    publish_names(session);
    *out = session;
    return GOV_OK;
}

/* ---- what is told ----------------------------------------------------------------------- */

static void add(const gov_session *session, const char *format, ...)
    GOV_PRINTF(2, 3);

static void add(const gov_session *session, const char *format, ...)
{
    const size_t at = strlen(session->text);
    va_list values;

    va_start(values, format);
    vsnprintf(session->text + at, SERVER_TEXT_BYTES - at, format, values);
    va_end(values);
}

static void add_process(const gov_session *session)
{
    struct gov__server_process process;

    if (gov__server_process_memory(session->pid, &process))
        add(session,
            ", in process %ld with a footprint of %" PRIu64 " MiB and %" PRIu64
            " MiB of files",
            (long)process.pid, process.footprint_bytes >> 20,
            process.file_bytes >> 20);
    else
        add(session, ", in a process whose memory is not known");
}

static void add_differences(const gov_session *session)
{
    const struct gov_plan *plan = &session->plan;
    const uint32_t slots = plan->sequences == 0 ? 1 : plan->sequences;

    if (session->router.home[0] == '\0')
        add(session,
            "; it is somebody else's router, by whose settings the model runs");
    if (session->slot_context < plan->context || session->slots != slots)
        add(session, "; %" PRIu32 " slots of %" PRIu32 " tokens were planned",
            slots, plan->context);
    if (plan->strategy == GOV_STRATEGY_HYBRID)
        add(session,
            "; planned was hybrid, but what of another process's mapping stays "
            "is the system's to decide");
}

static const char *server_describe(const gov_session *session)
{
    const bool heap = session->plan.strategy == GOV_STRATEGY_HEAP;

    session->text[0] = '\0';
    add(session, "%s: llama-server %s at %s",
        session->router.home[0] == '\0' ? "as its router says"
        : heap                          ? "heap"
                                        : "mmap",
        session->build,
        session->http.socket[0] != '\0' ? session->http.socket
                                        : session->http.base);
    add_process(session);
    add(session, "; %" PRIu32 " slots of %" PRIu32 " tokens", session->slots,
        session->slot_context);
    add_differences(session);
    if (session->notice[0] != '\0')
        add(session, "; %s", session->notice);
    return session->text;
}

static const char *server_version(void)
{
    return GOV_LLAMA_SERVER_VERSION;
}

static void server_kv_usage(gov_session *session, struct gov_kv_usage *out)
{
    uint64_t tokens = 0;

    memset(out, 0, sizeof(*out));
    pthread_mutex_lock(&session->lock);
    for (size_t i = 0; i < SERVER_TALKS; i++)
        if (session->talk[i] != NULL &&
            session->talk[i]->shown.place == GOV_CONVERSATION_MEMORY)
            tokens += session->talk[i]->shown.tokens;
    pthread_mutex_unlock(&session->lock);
    out->context_tokens = session->context;
    out->used_tokens =
        (uint32_t)(tokens < session->context ? tokens : session->context);
    out->reserved_bytes = session->kv_bytes;
    out->used_bytes = session->kv_bytes / session->context * out->used_tokens;
    /* llama.cpp writes to all of it when it makes a context. */
    out->held_bytes = session->kv_bytes;
    out->on_device = session->plan.gpu_layers > 0;
}

static const struct gov_engine engine = {
    .size = sizeof(struct gov_engine),
    .abi = GOV_ENGINE_ABI,
    .name = "llama-server",
    .version = server_version,
    .load = server_load,
    .unload = server_unload,
    .describe = server_describe,
    .generate = gov__server_generate,
    .kv_usage = server_kv_usage,
    .reset = gov__server_reset,
    .converse = gov__server_converse,
    .leave = gov__server_leave,
    .erase = gov__server_erase,
    .conversations = gov__server_conversations,
    .store = gov__server_store,
    .bring = gov__server_bring,
    .cost = gov__server_cost,
};

GOV_API const struct gov_engine *gov_engine_entry(void);

const struct gov_engine *gov_engine_entry(void)
{
    return &engine;
}
