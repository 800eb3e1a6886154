/* SPDX-License-Identifier: MIT */
/* Where llama.cpp puts a model when some of its layers go to a GPU, by its own dry
 * run and by a load, against what gov_model_need() says. There is no GPU here: a fake
 * one takes every operation (fake_gpu.h), so layers, KV and weights lie where they
 * would on real ones, and buffers are those of a backend without tricks. */
#include "adapters/llama/llama_session.h"
#include "governor/engine.h"
#include "tests/engine/fake_gpu.h"
#include "tests/engine/llama_fixture.h"

static const struct gov_engine *engine;
static gov_error err;

static const struct {
    const char *file, *preset, *type;
} models[] = {
    {"gpu-llama.gguf", "tiny", "Q4_0"},
    {"gpu-gemma3.gguf", "tiny-gemma3", "F16"},
    {"gpu-moe.gguf", "tiny-qwen3moe", "F16"},
    {"gpu-mla.gguf", "tiny-deepseek2", "F16"},
    {"gpu-mamba.gguf", "tiny-mamba", "F16"},
};

static const uint32_t gpu_layers[] = {0, 1, 2, 3, 999};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static void same(const char *what, uint64_t ours, uint64_t theirs)
{
    ck_assert_msg(ours == theirs, "%s: %llu, llama.cpp %llu", what,
                  (unsigned long long)ours, (unsigned long long)theirs);
}

/* Never less than nine tenths, nor more than twice and a MiB. */
static void near(const char *what, uint64_t ours, uint64_t theirs)
{
    ck_assert_msg(ours >= theirs / 10 * 9 && ours <= theirs * 2 + (1 << 20),
                  "%s: %llu, llama.cpp %llu", what, (unsigned long long)ours,
                  (unsigned long long)theirs);
}

START_TEST(places_as_llama_does)
{
    size_t which = (size_t)_i / COUNT_OF(gpu_layers);
    struct gov_need_request r = gov_need_request_default();
    struct gov_need ours, theirs;
    gov_model *model;

    ck_assert_msg(gov_engine_open(&engine, "llama", &err) == GOV_OK, "%s",
                  err.message);
    make_model(models[which].file, models[which].type, models[which].preset);
    ck_assert_msg(gov_model_open(&model, in_directory(models[which].file), NULL,
                                 &err) == GOV_OK,
                  "%s", err.message);
    r.context = 2048;
    r.gpu_layers = gpu_layers[(size_t)_i % COUNT_OF(gpu_layers)];
    ck_assert_msg(gov_model_need(model, &r, &ours, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_msg(engine->dry_run(model, &r, &theirs, &err) == GOV_OK, "%s",
                  err.message);
    same("weights on the GPU", ours.gpu.weights, theirs.gpu.weights);
    same("weights in RAM", ours.ram.weights, theirs.ram.weights);
    same("KV on the GPU", ours.gpu.kv + ours.gpu.state,
         theirs.gpu.kv + theirs.gpu.state);
    same("KV in RAM", ours.ram.kv + ours.ram.state,
         theirs.ram.kv + theirs.ram.state);
    near("buffers on the GPU", ours.gpu.compute, theirs.gpu.compute);
    near("buffers in RAM", ours.ram.compute, theirs.ram.compute);
    gov_model_close(model);
}
END_TEST

/* ---- loads --------------------------------------------------------------------- */

static const struct {
    uint32_t layers;
    gov_strategy strategy;
    const char *described;
} loads[] = {
    {0, GOV_STRATEGY_MMAP, "mmap: "},
    {2, GOV_STRATEGY_MMAP,
     "mmap, not governed: layers are on a GPU; 2 of 5 layers are on the GPU, "
     "the output being one"},
    {2, GOV_STRATEGY_HYBRID,
     "mmap, not governed: layers are on a GPU; 2 of 5 layers are on the GPU, "
     "the output being one"},
    {2, GOV_STRATEGY_HEAP, "; 2 of 5 layers are on the GPU"},
    {UINT32_MAX, GOV_STRATEGY_HEAP, "; 5 of 5 layers are on the GPU"},
};

/* Of a cache that is on the GPU nothing is remembered; returns the layers that
 * are. */
static uint32_t check_learned(const gov_session *session)
{
    uint32_t seen = 0;

    for (uint32_t i = 0; i < session->kv.layers; i++) {
        const struct gov__kv_layer *layer = &session->kv.layer[i];

        ck_assert(layer->k == NULL || !fake_gpu_holds(layer->k->data));
        ck_assert(layer->v == NULL || !fake_gpu_holds(layer->v->data));
        seen += layer->k != NULL ? 1 : 0;
    }
    return seen;
}

/* Before the first pass, and given back; the output is one of the layers there. */
static void check_cache(gov_session *session, uint32_t there)
{
    uint32_t seen = check_learned(session);

    ck_assert_uint_eq(seen, there == 0 ? 4 : there < 5 ? 5 - there : 0);
    ck_assert_int_eq(
        gov_simulate(session->runtime, GOV_LEVEL_CRITICAL, 0, &err), GOV_OK);
    gov_step(session->runtime);
    ck_assert_int_eq(seen == 0,
                     atomic_load(&session->kv.given_back_bytes) == 0);
}

/* Layers lie where the plan has them, nothing of them is left behind, and what
 * the GPU does not compute is an error. */
START_TEST(layers_are_where_the_plan_has_them)
{
    struct gov_need_request r = gov_need_request_default();
    struct gov_facts facts = {0};
    struct gov_plan plan = {.strategy = loads[_i].strategy,
                            .kv_type = GOV_KV_F16,
                            .context = 2048,
                            .ahead = 2,
                            .sequences = 1,
                            .gpu_layers = loads[_i].layers};
    struct gov_load load = {.size = sizeof(load), .plan = &plan, .threads = 1};
    struct gov_generate request = {
        .size = sizeof(request), .prompt = "Once", .tokens = 2};
    struct gov_options options = gov_options_default();
    struct gov_generated out;
    gov_session *session;
    gov_model *model;
    struct gov_need need;
    gov_status status;

    ck_assert_msg(gov_engine_open(&engine, "llama", &err) == GOV_OK, "%s",
                  err.message);
    engine->facts(&facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_ENGINE_GPU, 0), 1);
    make_model("gpu-llama.gguf", "Q4_0", "tiny");
    ck_assert_int_eq(
        gov_model_open(&model, in_directory("gpu-llama.gguf"), NULL, &err),
        GOV_OK);
    r.context = 2048;
    r.gpu_layers = loads[_i].layers;
    r.strategy = loads[_i].strategy;
    ck_assert_int_eq(gov_model_need(model, &r, &need, &err), GOV_OK);
    load.model = model;
    options.no_thread = options.no_publish = true;
    ck_assert_msg(gov_open(&load.runtime, &options, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_msg(engine->load(&session, &load, &err) == GOV_OK, "%s",
                  err.message);
    same("weights on the GPU", need.gpu.weights, fake_gpu_weights());
    ck_assert_uint_ge(fake_gpu_others(), need.gpu.kv);
    near("the rest on the GPU", need.gpu.kv + need.gpu.compute,
         fake_gpu_others());
    ck_assert_msg(strstr(engine->describe(session), loads[_i].described), "%s",
                  engine->describe(session));
    check_cache(session, loads[_i].layers);
    status = engine->generate(session, &request, &out, &err);
    ck_assert_int_eq(status, loads[_i].layers > 0 ? GOV_E_ENGINE : GOV_OK);
    /* The pass has shown them all. */
    (void)check_learned(session);
    ck_assert_int_eq(session->kv.ungovernable, loads[_i].layers > 0);
    engine->unload(session);
    ck_assert_uint_eq(fake_gpu_weights() + fake_gpu_others(), 0);
    gov_close(load.runtime);
    gov_model_close(model);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama_gpu");
    TCase *t = tcase_create("llama_gpu");

    suite_add_tcase(s, t);
#ifdef GOV_LLAMA_VERSION
    fake_gpu_register();
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, places_as_llama_does, 0,
                        (int)(COUNT_OF(models) * COUNT_OF(gpu_layers)));
    tcase_add_loop_test(t, layers_are_where_the_plan_has_them, 0,
                        (int)COUNT_OF(loads));
#else
    skip_test("llama_gpu", "this llama.cpp comes without its sources, so it "
                           "cannot be asked for a dry run");
#endif
    return s;
}
