/* SPDX-License-Identifier: MIT */
/* Two real models under one runtime: at CRITICAL the idle one goes, with its memory,
 * and comes back when it is used; the one in use computes the same bits. And what a
 * load announces to take. */
#include <pthread.h>
#include <stdlib.h>

#include "adapters/llama/llama_session.h"
#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define TOKENS 24
#define MIB ((uint64_t)1 << 20)

static void make_models(void)
{
    make_model("q4_0.gguf", "Q4_0", "tiny");
    make_model("small.gguf", "Q4_0", "small");
}

static void check_ok(gov_status status, const gov_error *err)
{
    ck_assert_msg(status == GOV_OK, "%s", err->message);
}

/* ---- models that an app has registered -------------------------------------------- */

struct model {
    const struct gov_engine *engine;
    gov_runtime *runtime;
    gov_model *file;
    struct gov_plan plan;
    gov_session *session;
    int loads, unloads;
    uint32_t id;
};

static uint64_t bytes(void *ctx)
{
    const struct model *model = ctx;

    return model->plan.weights_bytes + model->plan.kv_bytes;
}

static gov_status load(void *ctx, gov_error *err)
{
    struct model *model = ctx;
    struct gov_load request = {.size = sizeof(request),
                               .model = model->file,
                               .plan = &model->plan,
                               .runtime = model->runtime,
                               .threads = 1};

    model->loads++;
    return model->engine->load(&model->session, &request, err);
}

static void unload(void *ctx)
{
    struct model *model = ctx;

    model->unloads++;
    model->engine->unload(model->session);
    model->session = NULL;
}

static void open_model(struct model *model, gov_runtime *runtime,
                       const char *name, uint32_t priority,
                       gov_strategy strategy)
{
    struct gov_model_entry entry = gov_model_entry_default();
    const struct gov_unit *units;
    size_t count;
    gov_error err;

    memset(model, 0, sizeof(*model));
    model->runtime = runtime;
    check_ok(gov_engine_open(&model->engine, "llama", &err), &err);
    check_ok(gov_model_open(&model->file, in_directory(name), NULL, &err),
             &err);
    model->plan = (struct gov_plan){.strategy = strategy,
                                    .kv_type = GOV_KV_F16,
                                    .context = 4096,
                                    .ahead = 2};
    units = gov_model_units(model->file, &count);
    for (size_t i = 0; i < count; i++)
        model->plan.weights_bytes += units[i].bytes;
    model->plan.hot_bytes = strategy == GOV_STRATEGY_HYBRID
                                ? model->plan.weights_bytes / 2
                                : model->plan.weights_bytes;
    model->plan.cold_bytes = model->plan.weights_bytes - model->plan.hot_bytes;
    model->plan.kv_bytes = 8 * MIB;
    model->plan.footprint_bytes =
        model->plan.kv_bytes +
        (strategy == GOV_STRATEGY_HEAP ? model->plan.weights_bytes : 0);
    entry.name = name;
    entry.priority = priority;
    entry.ctx = model;
    entry.bytes = bytes;
    entry.load = load;
    entry.unload = unload;
    check_ok(gov_models_add(runtime, &entry, &model->id, &err), &err);
}

static void close_model(struct model *model)
{
    gov_models_remove(model->runtime, model->id);
    model->engine->unload(model->session);
    gov_model_close(model->file);
}

/* ---- what they say ------------------------------------------------------------------ */

struct text {
    const struct model *model;
    gov_runtime *relieve; /* in the middle of it */
    uint32_t tokens;
    size_t length, vocabulary;
    char text[2048];
    float *logits; /* of each token that was chosen from */
};

static void simulate(gov_runtime *runtime, gov_level level)
{
    gov_error err;

    check_ok(gov_simulate(runtime, level, 0, &err), &err);
    gov_step(runtime);
}

/* CRITICAL from normal, so that no action rests, with a look after relief; and
 * NORMAL again, or what is idle later would go, too. */
static void relieve_twice(gov_runtime *runtime)
{
    for (int i = 0; i < 2; i++) {
        simulate(runtime, GOV_LEVEL_CRITICAL);
        gov_step(runtime);
        simulate(runtime, GOV_LEVEL_NORMAL);
    }
}

static bool on_piece(void *ctx, const char *piece, size_t length)
{
    struct text *text = ctx;
    const float *logits =
        text->model->engine->logits(text->model->session, &text->vocabulary);

    if (text->length + length < sizeof(text->text)) {
        memcpy(text->text + text->length, piece, length);
        text->length += length;
    }
    if (text->logits == NULL)
        text->logits =
            calloc((size_t)TOKENS * text->vocabulary, sizeof(*logits));
    ck_assert_ptr_nonnull(text->logits);
    memcpy(text->logits + text->tokens * text->vocabulary, logits,
           text->vocabulary * sizeof(*logits));
    text->tokens++;
    if (text->relieve != NULL && text->tokens == TOKENS / 2)
        relieve_twice(text->relieve);
    return true;
}

/* Use of a model, from the first word of a conversation. */
static void answer(struct model *model, gov_runtime *relieve, struct text *text)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = "Once upon a time there was",
                                   .tokens = TOKENS,
                                   .ignore_end = true,
                                   .piece = on_piece,
                                   .ctx = text};
    struct gov_generated out;
    gov_error err;

    memset(text, 0, sizeof(*text));
    text->model = model;
    text->relieve = relieve;
    check_ok(gov_models_use(model->runtime, model->id, &err), &err);
    model->engine->reset(model->session);
    check_ok(model->engine->generate(model->session, &request, &out, &err),
             &err);
    gov_models_done(model->runtime, model->id);
    ck_assert_uint_eq(text->tokens, TOKENS);
}

static void check_same(struct text *a, struct text *b)
{
    ck_assert_str_eq(a->text, b->text);
    ck_assert_uint_eq(a->vocabulary, b->vocabulary);
    ck_assert(memcmp(a->logits, b->logits,
                     TOKENS * a->vocabulary * sizeof(*a->logits)) == 0);
    free(b->logits);
}

/* ---- the page ------------------------------------------------------------------------ */

static struct gov_page page;

static uint64_t shown(gov_runtime *runtime, gov_page_counter counter)
{
    static struct gov_page pages[64];
    size_t count;
    gov_error err;

    gov_step(runtime);
    check_ok(gov_page_list(pages, 64, &count, NULL, &err), &err);
    memset(&page, 0, sizeof(page));
    for (size_t i = 0; i < count && i < 64; i++)
        if (pages[i].pid == getpid())
            page = pages[i];
    return page.counter[counter];
}

static gov_runtime *runtime_new(void)
{
    struct gov_options options = gov_options_default();
    gov_runtime *runtime;
    gov_error err;

    setenv("XDG_RUNTIME_DIR", models_directory, 1);
    options.no_thread = true;
    options.no_policy_files = true;
    check_ok(gov_open(&runtime, &options, &err), &err);
    return runtime;
}

static uint64_t taken(void)
{
    struct gov_footprint now;
    gov_error err;

    check_ok(gov_footprint_now(&now, &err), &err);
    return now.footprint_bytes + now.resident_file_bytes;
}

/* An allocator that keeps what is freed, to find who uses it, tells nothing. */
static void check_gone(uint64_t without, uint64_t with, uint64_t after)
{
#ifdef __SANITIZE_ADDRESS__
    (void)without;
    ck_assert_uint_le(after, with);
#else
    ck_assert_msg(after < without + (with - without) / 8,
                  "%llu KiB without it, %llu with it, %llu after it went",
                  (unsigned long long)without >> 10,
                  (unsigned long long)with >> 10,
                  (unsigned long long)after >> 10);
#endif
}

/* ---- tests ---------------------------------------------------------------------------- */

static const gov_strategy strategies[] = {
    GOV_STRATEGY_MMAP, GOV_STRATEGY_HYBRID, GOV_STRATEGY_HEAP};

START_TEST(the_idle_one_goes_and_comes_back)
{
    gov_runtime *runtime = runtime_new();
    struct model idle, busy;
    struct text fresh, before, now;
    uint64_t without, with, after;

    /* Higher numbers stay longer; the idle one goes although it is used last. */
    open_model(&busy, runtime, "q4_0.gguf", 5, strategies[_i]);
    open_model(&idle, runtime, "small.gguf", 1, strategies[_i]);
    answer(&busy, NULL, &before);
    without = taken();
    answer(&idle, NULL, &fresh);
    with = taken();
    ck_assert_uint_gt(with, without + idle.plan.hot_bytes / 2);
    ck_assert_uint_eq(shown(runtime, GOV_PAGE_MODELS_LOADED), 2);
    ck_assert_uint_eq(page.counter[GOV_PAGE_TOKENS], 2 * TOKENS);

    answer(&busy, runtime, &now);
    after = taken();
    check_same(&before, &now);
    ck_assert_int_eq(busy.loads, 1);
    ck_assert_int_eq(busy.unloads, 0);
    ck_assert_int_eq(idle.unloads, 1);
    ck_assert(!gov_models_loaded(runtime, idle.id));
    ck_assert_ptr_null(idle.session);
    check_gone(without, with, after);
    ck_assert_uint_eq(shown(runtime, GOV_PAGE_MODELS_LOADED), 1);
    ck_assert_uint_eq(page.counter[GOV_PAGE_MODELS], 2);
    ck_assert_uint_eq(page.counter[GOV_PAGE_TOKENS], 3 * TOKENS);
    ck_assert_uint_eq(page.counter[GOV_PAGE_CONTEXT], 4096);

    answer(&idle, NULL, &now);
    check_same(&fresh, &now);
    ck_assert_int_eq(idle.loads, 2);
    answer(&busy, NULL, &now);
    check_same(&before, &now);
    free(fresh.logits);
    free(before.logits);
    close_model(&idle);
    close_model(&busy);
    gov_close(runtime);
}
END_TEST

struct watch {
    gov_runtime *runtime;
    uint64_t most;
    bool stops;
};

static bool on_progress(void *ctx, uint32_t permille, const char *what)
{
    struct watch *watch = ctx;
    const uint64_t now = shown(watch->runtime, GOV_PAGE_EXPECTED);

    (void)what;
    if (now > watch->most)
        watch->most = now;
    return !watch->stops || permille < 300;
}

/* Announced while it loads, and taken back, once, however that ends. */
START_TEST(a_load_is_announced)
{
    gov_runtime *runtime = runtime_new();
    struct watch watch = {.runtime = runtime};
    struct model model;
    struct gov_load request;
    struct text text;
    gov_error err;
    uint64_t want;

    open_model(&model, runtime, "small.gguf", 0, strategies[_i]);
    want = model.plan.kv_bytes + model.plan.hot_bytes;
    request = (struct gov_load){.size = sizeof(request),
                                .model = model.file,
                                .plan = &model.plan,
                                .runtime = runtime,
                                .threads = 1,
                                .progress = on_progress,
                                .progress_ctx = &watch};
    gov_expect(runtime, 1000); /* somebody else's */
    for (int i = 0; i < 2; i++) {
        watch.stops = i == 0;
        watch.most = 0;
        ck_assert_int_eq(model.engine->load(&model.session, &request, &err),
                         i == 0 ? GOV_E_CANCELLED : GOV_OK);
        ck_assert_uint_eq(watch.most, want + 1000);
        if (i == 0)
            ck_assert_uint_eq(shown(runtime, GOV_PAGE_EXPECTED), 1000);
        ck_assert_uint_lt(shown(runtime, GOV_PAGE_EXPECTED), want + 1000);
    }
    model.engine->unload(model.session);
    ck_assert_uint_eq(shown(runtime, GOV_PAGE_EXPECTED), 1000);
    answer(&model, NULL, &text);
    free(text.logits);
    ck_assert_uint_eq(shown(runtime, GOV_PAGE_EXPECTED), 1000);
    if (model.session->weights != NULL) {
        /* As if they were still read; a pass has brought them in. */
        atomic_store(&model.session->expected, 500);
        gov_expect(runtime, 500);
        answer(&model, NULL, &text);
        free(text.logits);
    }
    ck_assert_uint_eq(shown(runtime, GOV_PAGE_EXPECTED), 1000);
    close_model(&model);
    ck_assert_uint_eq(shown(runtime, GOV_PAGE_EXPECTED), 1000);
    gov_close(runtime);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama_models");
    TCase *t = tcase_create("models");

    tcase_add_unchecked_fixture(t, make_models, NULL);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, the_idle_one_goes_and_comes_back, 0,
                        COUNT(strategies));
    tcase_add_loop_test(t, a_load_is_announced, 0, COUNT(strategies));
    suite_add_tcase(s, t);
    return s;
}
