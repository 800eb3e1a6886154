/* SPDX-License-Identifier: MIT */
/* The llama.cpp adapter: loads a model under a plan and hands the rest to
 * llama_generate.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "adapters/llama/llama_params.h"
#include "adapters/llama/llama_session.h"

/* Sessions and lists: gov_heap_alloc() is for large blocks. */
void *gov__llama_new(size_t bytes)
{
    const struct gov_alloc *alloc = gov_alloc_default();
    void *block = alloc->alloc(alloc->ctx, bytes);

    if (block != NULL)
        memset(block, 0, bytes);
    return block;
}

void gov__llama_delete(void *block)
{
    const struct gov_alloc *alloc = gov_alloc_default();

    alloc->release(alloc->ctx, block);
}

/* ---- loading ------------------------------------------------------------------- */

struct progress {
    gov_progress_fn fn;
    void *ctx;
    bool stopped;
    gov_session *session;
};

static bool report(float share, void *data)
{
    struct progress *progress = data;

    gov__llama_loading(progress->session, share);
    if (progress->fn == NULL)
        return true;
    if (!progress->fn(progress->ctx, (uint32_t)(share * 1000),
                      "loading the model"))
        progress->stopped = true;
    return !progress->stopped;
}

static struct llama_model_params model_params(const gov_session *session,
                                              struct progress *progress)
{
    const struct gov_plan *plan = &session->plan;
    struct llama_model_params params =
        gov__llama_model_params(plan->gpu_layers);

    /* Without repacking heap is a mapping whose pages become anonymous. */
    if (plan->strategy == GOV_STRATEGY_HEAP &&
        !gov__llama_anchors_heap(session)) {
        params.use_extra_bufts = plan->repack;
        if (!session->copy.wanted)
            params.load_mode = LLAMA_LOAD_MODE_NONE;
    }
    params.progress_callback = report;
    params.progress_callback_user_data = progress;
    return params;
}

/* What gov_model_need() is asked for the same plan. */
static struct gov_need_request request_of(const struct gov_plan *plan)
{
    struct gov_need_request request = gov_need_request_default();

    request.context = plan->context;
    request.k_type = request.v_type = plan->kv_type;
    request.strategy = plan->strategy;
    request.repack = plan->repack;
    request.gpu_layers = plan->gpu_layers;
    if (plan->sequences != 0)
        request.sequences = plan->sequences;
    return request;
}

static struct llama_context_params context_params(gov_session *session,
                                                  uint32_t threads)
{
    struct gov_need_request request = request_of(&session->plan);
    struct llama_context_params params = gov__llama_context_params(&request);

    params.n_threads = params.n_threads_batch = (int32_t)threads;
    params.cb_eval = gov__llama_node;
    params.cb_eval_user_data = session;
    params.abort_callback = gov__llama_stop;
    params.abort_callback_data = session;
    params.no_perf = true;
    return params;
}

void gov__llama_say(gov_session *session, const char *format, ...)
{
    size_t at = strlen(session->text);
    va_list values;

    va_start(values, format);
    vsnprintf(session->text + at, sizeof(session->text) - at, format, values);
    va_end(values);
}

/* A plan that was made for an engine with a GPU runs without one, too. */
static void place(gov_session *session, uint32_t gpu_layers)
{
    const uint32_t most = session->layers + 1; /* and the output */

    if (gpu_layers > most)
        gpu_layers = most;
    if (session->plan.gpu_layers > 0)
        gov__llama_say(session,
                       "; %u of %u layers are on the GPU, the output being one",
                       gpu_layers, most);
    else if (gpu_layers > 0)
        gov__llama_say(
            session,
            "; this llama.cpp has no GPU, so the %u layers planned there are "
            "in memory, too",
            gpu_layers);
}

static gov_status check_load(const struct gov_load *load, gov_error *err)
{
    struct gov_need_request request;
    gov_status status;

    if (load->size != sizeof(*load) || load->model == NULL ||
        load->plan == NULL ||
        (load->plan->strategy != GOV_STRATEGY_MMAP &&
         load->plan->strategy != GOV_STRATEGY_HYBRID &&
         load->plan->strategy != GOV_STRATEGY_HEAP))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "load: needs a model and a plan that loads it, of this "
                        "version");
    request = request_of(load->plan);
    status = gov__llama_check(&request, "load", err);
    if (status != GOV_OK)
        return status;
    if (load->decrypt != NULL &&
        (load->plan->strategy != GOV_STRATEGY_HEAP || load->plan->repack ||
         load->plan->gpu_layers > 0))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "load: encrypted weights are decrypted into memory of "
                        "their own; plan heap without repacking or a GPU");
    if (load->threads > GGML_MAX_N_THREADS)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "load: %" PRIu32 " threads are more than the %d that "
                        "llama.cpp can use",
                        load->threads, GGML_MAX_N_THREADS);
    return GOV_OK;
}

/* While weights are streamed one processor is left to the thread that reads them
 * (0.2 ms a MB): llama.cpp's threads spin while they wait for one another. Two of
 * them on two cores, one of which somebody else used, took 2.7 s a token where
 * one took 0.16 s. */
static uint32_t thread_count(uint32_t wanted, gov_strategy strategy)
{
    uint32_t cores = gov_device_cores();

    if (wanted != 0)
        return wanted;
    if (cores == 0)
        return 1;
    if (strategy == GOV_STRATEGY_HYBRID && cores > 1)
        cores--;
    return cores < GGML_MAX_N_THREADS ? cores : GGML_MAX_N_THREADS;
}

static gov_status refuse(const char *doing, gov_error *err)
{
    char why[192];

    gov__llama_log_error(why, sizeof(why));
    return gov_fail(err, GOV_E_ENGINE, 0, "llama.cpp cannot %s: %s", doing,
                    why[0] != '\0' ? why : "it does not say why");
}

/* Plan and units are those of the header that was read; the engine has opened the
 * files for itself. What is written or cut later still ends a process that maps
 * them (SIGBUS), as it does without us. */
static gov_status check_files(const gov_session *session, gov_error *err)
{
    size_t count;
    const struct gov_model_file *files = gov_model_files(session->file, &count);
    const bool changed =
        session->copy.changed || !gov__llama_copy_unchanged(session);

    for (size_t i = 0; i < count; i++) {
        struct stat st;

        if (stat(files[i].path, &st) != 0)
            return gov_fail(err, GOV_E_IO, errno,
                            "cannot examine %s once it is loaded",
                            files[i].path);
        if ((uint64_t)st.st_dev != files[i].device ||
            (uint64_t)st.st_ino != files[i].inode ||
            (uint64_t)st.st_size != files[i].bytes || changed)
            return gov_fail(err, GOV_E_IO, 0,
                            "%s was replaced or written to since its header "
                            "was read; load it again when nothing does",
                            files[i].path);
    }
    return GOV_OK;
}

static gov_status load_model(gov_session *session, const struct gov_load *load,
                             gov_error *err)
{
    struct progress progress = {load->progress, load->progress_ctx, false,
                                session};
    /* llama.cpp finds the parts of a split model from the first, and refuses
     * the others, one of which may have been named. */
    size_t count;
    const char *path = gov_model_files(session->file, &count)[0].path;
    char doing[128];
    const uint64_t start_us = gov__llama_now_us();

    session->model =
        gov__llama_map_model(session, path, model_params(session, &progress));
    session->engine_us += gov__llama_now_us() - start_us;
    if (session->model == NULL && progress.stopped)
        return gov_fail(err, GOV_E_CANCELLED, 0, "loading was stopped");
    if (session->model == NULL) {
        snprintf(doing, sizeof(doing), "load %s", path);
        return refuse(doing, err);
    }
    session->vocab = llama_model_get_vocab(session->model);
    session->revocable = !llama_model_is_recurrent(session->model) &&
                         !llama_model_is_hybrid(session->model);
    if (llama_model_has_encoder(session->model) ||
        !llama_model_has_decoder(session->model) ||
        llama_vocab_n_tokens(session->vocab) <= 0)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s does not just continue a text; name a model with a "
                        "vocabulary and a decoder alone",
                        path);
    return GOV_OK;
}

struct llama_context *gov__llama_context_new(gov_session *session,
                                             uint32_t threads, gov_error *err)
{
    struct llama_context *context =
        gov__llama_make_context(session, context_params(session, threads));
    const int32_t window = llama_model_n_swa(session->model);
    char doing[64];

    session->kv.window = window > 0 ? (uint32_t)window : 0;

    if (context == NULL) {
        snprintf(doing, sizeof(doing), "make a context of %u tokens",
                 session->plan.context);
        (void)refuse(doing, err);
    }
    return context;
}

/* What every batch says of its tokens: one sequence each, the same. */
static gov_status make_batch(gov_session *session, gov_error *err)
{
    /* A context made later may take larger ones than a small one does. */
    const uint32_t room = gov_need_request_default().batch;

    session->batch_count = gov__llama_new(room * sizeof(int32_t));
    session->batch_sequence = gov__llama_new(room * sizeof(llama_seq_id *));
    if (session->batch_count == NULL || session->batch_sequence == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for a batch of %" PRIu32 " tokens", room);
    for (uint32_t i = 0; i < room; i++) {
        session->batch_count[i] = 1;
        session->batch_sequence[i] = &session->sequence;
    }
    return GOV_OK;
}

static gov_status make_context(gov_session *session,
                               const struct gov_load *load, gov_error *err)
{
    const struct gov_alloc *alloc = gov_alloc_default();
    const uint64_t start_us = gov__llama_now_us();

    session->context = gov__llama_context_new(
        session, thread_count(load->threads, session->plan.strategy), err);
    session->engine_us += gov__llama_now_us() - start_us;
    if (session->context != NULL)
        atomic_store(&session->context_tokens, llama_n_ctx(session->context));
    if (session->context == NULL)
        return err != NULL ? err->status : GOV_E_ENGINE;
    if (llama_get_memory(session->context) == NULL)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s keeps no conversation and so generates no text; "
                        "name another model",
                        gov_model_path(session->file));
    /* Not touched, so it costs nothing, until a prompt is put back. */
    session->kept_logits =
        alloc->alloc(alloc->ctx, (size_t)llama_vocab_n_tokens(session->vocab) *
                                     sizeof(*session->kept_logits));
    if (session->kept_logits == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "no memory for the logits of a token");
    return make_batch(session, err);
}

static void close_engine(gov_session *session)
{
    gov_weights_release(session->weights);
    if (session->context != NULL)
        llama_free(session->context);
    if (session->model != NULL)
        llama_model_free(session->model);
    gov__llama_delete(session->unit_of_layer);
    gov__llama_delete(session->kept_logits);
    gov__llama_delete(session->batch_count);
    gov__llama_delete(session->batch_sequence);
    gov__kv_close(&session->kv);
    session->weights = NULL;
    session->context = NULL;
    session->model = NULL;
    session->unit_of_layer = session->experts_of_layer = NULL;
    session->kept_logits = NULL;
    session->batch_count = NULL;
    session->batch_sequence = NULL;
    memset(&session->kv, 0, sizeof(session->kv));
    session->kv.page_bytes = gov_page_bytes();
}

static gov_status open_engine(gov_session *session, const struct gov_load *load,
                              gov_error *err)
{
    gov_status status;

    session->layers_shown = session->choices_shown = 0;
    status = load_model(session, load, err);
    if (status == GOV_OK)
        status = check_files(session, err);
    if (status == GOV_OK)
        status = make_context(session, load, err);
    if (status == GOV_OK)
        status = gov__llama_map_layers(session, err);
    /* What the engine has copied nobody streams. */
    if (status == GOV_OK && !session->copy.wanted)
        gov__llama_explore(session);
    return status;
}

/* Where a mapping cannot be made anonymous the engine copies the weights itself,
 * as it would without us. What is encrypted only we can read. */
static gov_status open_held(gov_session *session, const struct gov_load *load,
                            gov_error *err)
{
    gov_error why;
    gov_status status = open_engine(session, load, err);

    if (status != GOV_OK)
        return status;
    status = gov__llama_hold_weights(session, &why);
    if (status == GOV_OK)
        return GOV_OK;
    if (session->decrypt != NULL) {
        *err = why;
        return status;
    }
    snprintf(session->no_anchor, sizeof(session->no_anchor), "%s", why.message);
    close_engine(session);
    status = open_engine(session, load, err);
    return status == GOV_OK ? gov__llama_hold_weights(session, err) : status;
}

/* ---- relief -------------------------------------------------------------------- */

static uint64_t offer_unused(void *ctx, gov_level level)
{
    gov_session *session = ctx;
    uint64_t bytes;

    (void)level;
    pthread_mutex_lock(&session->shown);
    bytes = atomic_load(&session->kv.unused_bytes);
    pthread_mutex_unlock(&session->shown);
    return bytes;
}

static void release_unused(void *ctx, gov_level level)
{
    gov_session *session = ctx;

    (void)level;
    gov__kv_release(&session->kv);
}

static gov_status register_relief(gov_session *session, gov_error *err)
{
    struct gov_cache_options options = gov_cache_options_default();
    struct gov_relief relief = gov_relief_default();
    gov_status status;

    options.name = "prompts";
    options.limit_bytes = GOV__LLAMA_PROMPT_BYTES;
    status = gov_cache_new(&session->prompts, &options, err);
    if (status != GOV_OK || session->runtime == NULL)
        return status;
    status = gov_relief_add_cache(session->runtime, "cache.prompts",
                                  session->prompts, &session->cache_id, err);
    if (status != GOV_OK)
        return status;
    relief.name = "kv.unused";
    relief.rebuild_cost = 2; /* a page fault when the conversation grows */
    relief.between_passes = true;
    relief.ctx = session;
    relief.offer = offer_unused;
    relief.run = release_unused;
    status =
        gov_relief_add(session->runtime, &relief, &session->relief_id, err);
    if (status == GOV_OK)
        status = gov__llama_offer_talks(session, err);
    if (status != GOV_OK)
        return status;
    return gov__llama_offer_weights(session, err);
}

/* ---- the interface --------------------------------------------------------------- */

static void close_locks(gov_session *session)
{
    pthread_mutex_destroy(&session->shown);
    pthread_mutex_destroy(&session->drive);
    pthread_mutex_destroy(&session->hot.lock);
}

/* Linux's never fail. */
static bool open_locks(gov_session *session)
{
    if (pthread_mutex_init(&session->hot.lock, NULL) != 0)
        return false;
    if (pthread_mutex_init(&session->drive, NULL) == 0) {
        if (pthread_mutex_init(&session->shown, NULL) == 0)
            return true;
        pthread_mutex_destroy(&session->drive);
    }
    pthread_mutex_destroy(&session->hot.lock);
    return false;
}

static void close_session(gov_session *session)
{
    gov_relief_remove(session->runtime, session->weights_id);
    gov_relief_remove(session->runtime, session->relief_id);
    gov_relief_remove(session->runtime, session->idle_id);
    gov_relief_remove(session->runtime, session->history_id);
    gov_relief_remove(session->runtime, session->cache_id);
    gov__llama_talks_close(session);
    close_engine(session);
    gov__llama_expect_nothing(session);
    gov_gauges_free(session->runtime, session->gauges);
    gov_cache_free(session->prompts);
    gov__llama_delete(session->places);
    gov__llama_delete(session->copy.stamps);
    close_locks(session);
    gov__llama_delete(session);
    gov__llama_log_release();
}

static void llama_unload(gov_session *session)
{
    if (session != NULL)
        close_session(session);
}

static gov_status llama_load(gov_session **out, const struct gov_load *load,
                             gov_error *err)
{
    const uint64_t start_us = gov__llama_now_us();
    gov_session *session;
    gov_status status;

    *out = NULL;
    status = check_load(load, err);
    if (status != GOV_OK)
        return status;
    session = gov__llama_new(sizeof(*session));
    if (session == NULL || !open_locks(session)) {
        gov__llama_delete(session);
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a session");
    }
    gov__llama_log_acquire();
    session->file = load->model;
    session->plan = *load->plan;
    if (session->plan.gpu_layers > 0 && !gov__llama_has_gpu())
        session->plan.gpu_layers = 0;
    session->runtime = load->runtime;
    session->spill = load->spill;
    session->talk = session->talks = &session->first;
    session->first.sequence = -1;
    session->decrypt = load->decrypt;
    session->decrypt_ctx = load->decrypt_ctx;
    session->warming = load->warming;
    session->warming_ctx = load->warming_ctx;
    session->kv.page_bytes = gov_page_bytes();
    session->copy.wanted = gov__llama_can_copy(session);
    session->gauges = gov_gauges_new(session->runtime);
    gov__llama_note_anon(session);
    gov__llama_expect_load(session);
    gov_activity_begin(session->runtime, "loading a model");
    status = open_held(session, load, err);
    if (status == GOV_OK)
        status = gov__llama_talks_open(session, err);
    if (status == GOV_OK)
        status = register_relief(session, err);
    gov_activity_end(session->runtime);
    if (status != GOV_OK) {
        close_session(session);
        return status;
    }
    place(session, load->plan->gpu_layers);
    gov__llama_say_lost(session);
    gov__llama_publish_names(session);
    gov__llama_publish(session, false);
    if (session->weights != NULL)
        gov__llama_publish_rest(session);
    gov__llama_expect_warming(session);
    session->own_us = gov__llama_now_us() - start_us - session->engine_us;
    *out = session;
    return GOV_OK;
}

static uint64_t llama_load_own_us(const gov_session *session)
{
    return session->own_us;
}

static const char *llama_describe(const gov_session *session)
{
    return session->text;
}

/* The context may be made anew meanwhile. */
static void llama_kv_usage(gov_session *session, struct gov_kv_usage *out)
{
    pthread_mutex_lock(&session->shown);
    out->reserved_bytes = atomic_load(&session->kv.reserved_bytes);
    out->used_bytes = atomic_load(&session->kv.used_bytes);
    out->held_bytes = atomic_load(&session->kv.held_bytes);
    out->context_tokens = atomic_load(&session->context_tokens);
    out->used_tokens = atomic_load(&session->past);
    out->given_back_bytes = atomic_load(&session->kv.given_back_bytes);
    out->unused_bytes = atomic_load(&session->kv.unused_bytes);
    out->on_device = session->kv.on_device;
    pthread_mutex_unlock(&session->shown);
}

static void llama_where(gov_session *session, struct gov_where *out)
{
    const uint32_t layer = atomic_load(&session->layer_now);

    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    out->computing = atomic_load(&session->computing);
    out->passes = atomic_load(&session->passes);
    out->layers = session->layers;
    out->layer = layer > 0 ? layer - 1 : 0;
}

static void llama_facts(struct gov_facts *facts)
{
    gov_facts_set(facts, GOV_FACT_ENGINE_GPU, gov__llama_has_gpu());
}

static const float *llama_logits(gov_session *session, size_t *count)
{
    *count = session->logits != NULL
                 ? (size_t)llama_vocab_n_tokens(session->vocab)
                 : 0;
    return session->logits;
}

static const struct gov_engine engine = {
    .size = sizeof(struct gov_engine),
    .abi = GOV_ENGINE_ABI,
    .name = "llama.cpp",
    .version = llama_version,
    .load = llama_load,
    .unload = llama_unload,
    .describe = llama_describe,
    .generate = gov__llama_generate,
    .kv_usage = llama_kv_usage,
    .reset = gov__llama_reset,
    .logits = llama_logits,
    .facts = llama_facts,
    .weights = gov__llama_weights,
    .wait = gov__llama_wait,
    .gains = gov__llama_gains,
    .load_own_us = llama_load_own_us,
    .where = llama_where,
    .converse = gov__llama_converse,
    .leave = gov__llama_leave,
    .erase = gov__llama_erase,
    .conversations = gov__llama_conversations,
    .store = gov__llama_store,
    .bring = gov__llama_bring,
    .cost = gov__llama_cost,
    .forget = gov__llama_forget,
    .resize = gov__llama_resize,
#ifdef GOV_LLAMA_VERSION
    .dry_run = gov__llama_ask,
#endif
};

GOV_API const struct gov_engine *gov_engine_entry(void);

const struct gov_engine *gov_engine_entry(void)
{
    return &engine;
}
