/* SPDX-License-Identifier: MIT */
/* Where llama.cpp would put a model when some of its layers go to a GPU, by its
 * own dry run, against what gov_model_need() says. There is no GPU here: a fake
 * one takes every operation (fake_gpu.h), so layers, KV and weights lie where they
 * would on real ones, and buffers are those of a backend without tricks. */
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
#else
    skip_test("llama_gpu", "this llama.cpp comes without its sources, so it "
                           "cannot be asked for a dry run");
#endif
    return s;
}
