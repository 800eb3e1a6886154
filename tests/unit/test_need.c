/* SPDX-License-Identifier: MIT */
/* What a model needs, pool by pool: cells, types, layers on a GPU, ranges where
 * the architecture is not known. Every number was worked out by hand; what
 * llama.cpp itself says is asked in tests/engine/test_llama_need.c. */
#include <stdio.h>
#include <string.h>

#include "governor/model.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"

static char path[512];
static struct gguf_writer w;
static gov_model *model;
static struct gov_need need;
static gov_error err;

static void setup(void)
{
    snprintf(path, sizeof(path), "%s/m.gguf", fresh_directory());
    faults_reset();
    gguf_begin(&w);
    model = NULL;
}

static void teardown(void)
{
    gov_model_close(model);
    gguf_free(&w);
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    drop_directory();
}

static void key(const char *architecture, const char *name, uint32_t value)
{
    char text[128];

    snprintf(text, sizeof(text), "%s.%s", architecture, name);
    gguf_key_u32(&w, text, value);
}

/* 3 layers, 128 wide, 4 heads; how many hold KV is for the caller to say. */
static void begin(const char *architecture, uint32_t context)
{
    gguf_key_text(&w, "general.architecture", architecture);
    gguf_key_texts(&w, "tokenizer.ggml.tokens", 100);
    key(architecture, "block_count", 3);
    key(architecture, "embedding_length", 128);
    key(architecture, "attention.head_count", 4);
    key(architecture, "feed_forward_length", 256);
    key(architecture, "context_length", context);
}

/* With heads of 32 of which 2 hold KV: 128 elements a layer and token, K and V
 * together. Q4_0: 18 bytes for 32. */
static void plain(const char *architecture)
{
    begin(architecture, 2048);
    key(architecture, "attention.head_count_kv", 2);
}

static void open_it(void)
{
    (void)gguf_finish(&w);
    gguf_save(&w, path, w.file_bytes);
    ck_assert_msg(gov_model_open(&model, path, faults_alloc(), &err) == GOV_OK,
                  "%s", err.message);
}

static void ask(const struct gov_need_request *request)
{
    ck_assert_msg(gov_model_need(model, request, &need, &err) == GOV_OK, "%s",
                  err.message);
}

/* With the tensors of plain(). */
static void open_plain(void)
{
    gguf_add(&w, "token_embd.weight", T_Q4_0, 128, 100);   /* 7200 */
    gguf_add(&w, "blk.0.attn_q.weight", T_Q4_0, 128, 128); /* 9216 */
    gguf_add(&w, "blk.1.attn_q.weight", T_Q4_0, 128, 64);  /* 4608 */
    gguf_add(&w, "blk.2.attn_q.weight", T_Q4_0, 128, 32);  /* 2304 */
    gguf_add(&w, "output_norm.weight", T_F32, 128, 0);     /* 512 */
    open_it();
}

START_TEST(counts_a_plain_model)
{
    struct gov_need_request r = gov_need_request_default();

    plain("llama");
    open_plain();
    r.context = 1000;
    ask(&r);
    ck_assert_uint_eq(need.cells, 1024);
    ck_assert_uint_eq(need.window_cells, 0);
    ck_assert_uint_eq(need.ram.weights, 7200 + 9216 + 4608 + 2304 + 512);
    ck_assert_uint_eq(need.ram.kv, UINT64_C(1024) * 3 * 128 * 2);
    ck_assert_uint_eq(need.ram.state, 0);
    ck_assert_uint_eq(need.ram.output, 100 * 4);
    ck_assert_uint_gt(need.ram.compute, 0);
    ck_assert_uint_eq(need.gpu.weights + need.gpu.kv + need.gpu.compute, 0);
    ck_assert_uint_eq(need.repack, 0);
    ck_assert(need.kv_exact && need.compute_known);
    ck_assert_uint_eq(need.kv_least, need.ram.kv);
    /* The model's own context when none is given. */
    r.context = 0;
    ask(&r);
    ck_assert_uint_eq(need.cells, 2048);
}
END_TEST

/* A token of the vocabulary 145 bytes, a layer 80000, 750000 in any case; and a
 * batch of the widest product, to 17/16 bytes a number or to 2. */
START_TEST(counts_the_engine)
{
    static const struct {
        uint32_t type;
        uint64_t work;
    } rows[] = {{T_Q4_0, 17}, {T_F16, 32}, {T_F32, 32}};
    struct gov_need_request r = gov_need_request_default();

    plain("llama");
    gguf_add(&w, "token_embd.weight", T_Q4_0, 4096, 4); /* looked up */
    gguf_add(&w, "blk.0.attn_q.weight", rows[_i].type, 128, 1024);
    gguf_add(&w, "blk.1.ffn_down.weight", rows[_i].type, 256, 128);
    gguf_add(&w, "output.weight", T_Q4_0, 64, 4);
    open_it();
    r.context = 256;
    ask(&r);
    ck_assert_uint_eq(need.engine, 100 * 145 + 3 * 80000 + 750000 +
                                       256 * 512 * rows[_i].work / 16);
    r.batch = 64;
    ask(&r);
    ck_assert_uint_eq(need.engine, 100 * 145 + 3 * 80000 + 750000 +
                                       256 * 64 * rows[_i].work / 16);
}
END_TEST

/* A token brings its row to as many experts as it uses. Without a tokenizer the
 * rows of the output matrix are the vocabulary, each a token and a merge. */
START_TEST(counts_the_engine_of_experts)
{
    static const uint64_t stack[4] = {128, 32, 8, 0};
    struct gov_need_request r = gov_need_request_default();

    gguf_key_text(&w, "general.architecture", "llama");
    key("llama", "block_count", 1);
    key("llama", "embedding_length", 128);
    key("llama", "attention.head_count", 4);
    key("llama", "expert_count", 8);
    key("llama", "expert_used_count", 3);
    gguf_tensor(&w, "blk.0.ffn_up_exps.weight", T_Q4_0, stack, 0);
    w.next = (uint64_t)128 * 32 * 8 / 32 * 18;
    gguf_add(&w, "blk.0.attn_q.weight", T_Q4_0, 256, 8);
    gguf_add(&w, "output.weight", T_Q4_0, 128, 50);
    open_it();
    r.context = 256;
    ask(&r);
    ck_assert_uint_eq(need.engine,
                      2 * 50 * 145 + 80000 + 750000 + 3 * 128 * 512 * 17 / 16);
    ck_assert_uint_eq(need.ram.output, 50 * 4);
}
END_TEST

/* Mamba: (4 - 1) x 256 of the convolution and 16 x 256 of the state, f32, in each
 * of 3 layers and for each sequence, however long the context. */
START_TEST(counts_recurrent_state)
{
    struct gov_need_request r = gov_need_request_default();

    plain("mamba");
    key("mamba", "ssm.conv_kernel", 4);
    key("mamba", "ssm.inner_size", 256);
    key("mamba", "ssm.state_size", 16);
    key("mamba", "ssm.time_step_rank", 8);
    open_plain();
    r.context = 256;
    ask(&r);
    ck_assert_uint_eq(need.ram.state, 3 * 4 * (3 * 256 + 16 * 256));
    ck_assert_uint_eq(need.ram.kv, 0);
    r.context = 2048;
    r.sequences = 5;
    r.gpu_layers = 2;
    ask(&r);
    ck_assert_uint_eq(need.ram.state, 5 * 2 * 4 * (3 * 256 + 16 * 256));
    ck_assert_uint_eq(need.gpu.state, 5 * 4 * (3 * 256 + 16 * 256));
    ck_assert_uint_eq(need.kv_least, need.ram.state + need.gpu.state);
}
END_TEST

/* Where K and V are one latent, they have one type. */
START_TEST(wants_one_type_for_a_latent)
{
    struct gov_need_request r = gov_need_request_default();

    plain("deepseek2");
    key("deepseek2", "attention.key_length", 96);
    key("deepseek2", "attention.value_length", 64);
    key("deepseek2", "attention.key_length_mla", 64);
    key("deepseek2", "attention.value_length_mla", 32);
    key("deepseek2", "attention.kv_lora_rank", 64);
    open_plain();
    r.context = 256;
    ask(&r);
    r.k_type = GOV_KV_F32;
    ck_assert_int_eq(gov_model_need(model, &r, &need, &err), GOV_E_UNSUPPORTED);
    ck_assert_str_eq(err.message, "this architecture wants K and V of one "
                                  "type, not f32 and f16");
    r.v_type = GOV_KV_F32;
    ask(&r);
}
END_TEST

/* In a buffer of ggml's a tensor begins at a multiple of 32 bytes. */
START_TEST(pads_tensors)
{
    struct gov_need_request r = gov_need_request_default();

    plain("llama");
    gguf_add(&w, "token_embd.weight", T_Q4_0, 32, 1);   /* 18 */
    gguf_add(&w, "blk.0.attn_q.weight", T_F16, 17, 1);  /* 34 */
    gguf_add(&w, "blk.1.attn_q.weight", T_Q4_0, 32, 9); /* 162 */
    gguf_add(&w, "output.weight", T_F32, 8, 1);         /* 32 */
    open_it();
    r.context = 256;
    ask(&r);
    ck_assert_uint_eq(need.ram.weights, 32 + 64 + 192 + 32);
}
END_TEST

/* An encoder keeps nothing, and that is known. */
START_TEST(encoders_keep_nothing)
{
    struct gov_need_request r = gov_need_request_default();
    struct gov_facts facts = {0};

    plain("bert");
    open_plain();
    r.context = 256;
    ask(&r);
    ck_assert_uint_eq(need.ram.kv + need.ram.state, 0);
    ck_assert(need.kv_exact);
    gov_model_facts(model, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_KV_PER_TOKEN, 9), 0);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_GENERATES, 9), 0);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_KV_QUANTIZABLE, 9),
                      0);
}
END_TEST

static const struct {
    gov_kv_type k, v;
    uint64_t bytes; /* of 64 elements of each */
} types[] = {
    {GOV_KV_F16, GOV_KV_F16, 256},   {GOV_KV_F32, GOV_KV_BF16, 384},
    {GOV_KV_Q8_0, GOV_KV_Q8_0, 136}, {GOV_KV_Q8_0, GOV_KV_Q4_0, 104},
    {GOV_KV_Q4_1, GOV_KV_Q5_0, 84},  {GOV_KV_Q5_1, GOV_KV_IQ4_NL, 84},
    {GOV_KV_F16, GOV_KV_Q8_0, 196},
};

START_TEST(counts_every_type)
{
    struct gov_need_request r = gov_need_request_default();

    plain("llama");
    open_plain();
    r.context = 256;
    r.k_type = types[_i].k;
    r.v_type = types[_i].v;
    ask(&r);
    ck_assert_uint_eq(need.ram.kv, 256 * 3 * types[_i].bytes);
    if (types[_i].k == types[_i].v)
        ck_assert_uint_eq(gov_model_kv_per_token(model, types[_i].k),
                          3 * types[_i].bytes);
}
END_TEST

/* Sequences with cells of their own have an equal part each, in whole blocks. */
START_TEST(counts_sequences)
{
    struct gov_need_request r = gov_need_request_default();

    plain("llama");
    open_plain();
    r.context = 1024;
    r.sequences = 3;
    ask(&r);
    ck_assert_uint_eq(need.cells, 1024);
    ck_assert_uint_eq(need.ram.output, 3 * 400);
    r.unified = false;
    ask(&r);
    ck_assert_uint_eq(need.cells, 3 * 512);
    ck_assert_uint_eq(need.ram.kv, UINT64_C(1536) * 3 * 256);
    r.sequences = 64;
    ask(&r);
    ck_assert_uint_eq(need.cells, 64 * 256);
    r.outputs = 100;
    ask(&r);
    ck_assert_uint_eq(need.ram.output, 100 * 400);
    r.outputs = 0; /* all of a batch */
    ask(&r);
    ck_assert_uint_eq(need.ram.output, 512 * 400);
    r.context = 1280;
    r.sequences = 2;
    ask(&r);
    ck_assert_uint_eq(need.cells, 2 * 768);
    r.sequences = 1;
    ask(&r);
    ck_assert_uint_eq(need.cells, 1280);
}
END_TEST

/* gemma3: every sixth layer attends to everything, the others to a window. */
START_TEST(counts_windows)
{
    static const struct {
        uint32_t context, batch;
        uint64_t cells;
    } rows[] = {
        {4096, 512, 768}, /* 100 + 512, in blocks */
        {4096, 200, 512}, /* 100 + 200 */
        {512, 512, 512},  /* never more than the context */
        {300, 2048, 512}, /* a batch is no longer than the context: 400 */
        {200, 512, 256},
    };
    struct gov_need_request r = gov_need_request_default();
    struct gov_facts facts = {0};
    uint64_t full;

    plain("gemma3");
    key("gemma3", "attention.sliding_window", 100);
    open_plain();
    r.context = rows[_i].context;
    r.batch = rows[_i].batch;
    ask(&r);
    full = (rows[_i].context + 255) / 256 * 256;
    ck_assert_uint_eq(need.cells, full);
    ck_assert_uint_eq(need.window_cells, rows[_i].cells);
    /* Layers 0 to 2 of a pattern of 6 all have the window. */
    ck_assert_uint_eq(need.ram.kv, rows[_i].cells * 3 * 256);
    /* Each of three that share it has its window: 300 + the batch. */
    r.sequences = 3;
    ask(&r);
    if (_i == 0)
        ck_assert_uint_eq(need.window_cells, 1024);
    r.unified = false;
    ask(&r);
    if (_i == 0)
        ck_assert_uint_eq(need.window_cells, 3 * 768);
    gov_model_facts(model, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_KV_PER_TOKEN, 9), 0);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_WINDOW_KV, 9), 768);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_WINDOW, 9), 612);
}
END_TEST

/* As llama.cpp places them: the output first, then layers from the last on. */
START_TEST(places_layers)
{
    static const struct {
        uint32_t layers;
        uint64_t gpu, kv_layers; /* weights; layers whose KV is there */
    } rows[] = {
        {0, 0, 0},
        {1, 512 + 7200, 0}, /* a tied embedding is copied */
        {2, 512 + 7200 + 2304, 1},
        {4, 512 + 7200 + 2304 + 4608 + 9216, 3},
        {UINT32_MAX, 512 + 7200 + 2304 + 4608 + 9216, 3},
    };
    const uint64_t all = 7200 + 9216 + 4608 + 2304 + 512;
    struct gov_need_request r = gov_need_request_default();

    plain("llama");
    open_plain();
    r.context = 256;
    r.gpu_layers = rows[_i].layers;
    ask(&r);
    ck_assert_uint_eq(need.gpu.weights, rows[_i].gpu);
    ck_assert_uint_eq(need.ram.weights + need.gpu.weights,
                      all + (rows[_i].layers > 0 ? 7200 : 0));
    ck_assert_uint_eq(need.gpu.kv, rows[_i].kv_layers * 256 * 256);
    ck_assert_uint_eq(need.ram.kv + need.gpu.kv, UINT64_C(3) * 256 * 256);
    ck_assert(need.ram.compute > 0);
    ck_assert((need.gpu.compute > 0) == (rows[_i].layers > 0));
    ck_assert_uint_eq(need.gpu.output, 0);
    /* All there: rows of 128 numbers, twice, and a mask of 256 halves, for each
     * token of a batch stay with the processor. */
    if (rows[_i].layers >= 4)
        ck_assert_uint_eq(need.ram.compute, 512 * (128 * 8 + 256 * 2));
    /* The output alone there: the rows, and the logits of one token. */
    if (rows[_i].layers == 1)
        ck_assert_uint_eq(need.gpu.compute, 512 * 128 * 8 + 100 * 4);
}
END_TEST

START_TEST(counts_repacking)
{
    struct gov_need_request r = gov_need_request_default();

    plain("llama");
    open_plain();
    r.repack = true;
    ask(&r);
    ck_assert_uint_eq(need.repack, 0); /* mapped weights are not repacked */
    r.strategy = GOV_STRATEGY_HEAP;
    ask(&r);
    /* The embedding makes the logits, but 100 rows are no multiple of 8. */
#if defined(__aarch64__)
    ck_assert_uint_eq(need.repack, 9216 + 4608 + 2304 + 7200);
#else
    ck_assert_uint_eq(need.repack, 9216 + 4608 + 2304);
#endif
}
END_TEST

/* The most, and the least, that it may be. */
START_TEST(gives_ranges)
{
    struct gov_need_request r = gov_need_request_default();
    struct gov_facts facts = {0};

    plain("unheard-of");
    open_plain();
    r.context = 256;
    ask(&r);
    ck_assert(!need.kv_exact && !gov_model_known(model));
    ck_assert_uint_ge(need.ram.kv, UINT64_C(256) * 3 * 256);
    ck_assert_uint_lt(need.kv_least, need.ram.kv + need.ram.state);
    ck_assert_uint_eq(need.ram.weights, 7200 + 9216 + 4608 + 2304 + 512);
    gov_model_facts(model, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_KNOWN, 9), 0);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_KV_PER_TOKEN, 0) *
                          256,
                      need.ram.kv);
}
END_TEST

/* The facts that a plan is made of add up to what is needed. */
START_TEST(tells_the_same_as_facts)
{
    static const uint32_t contexts[] = {512, 1000, 4096, 32768};
    static const char *const architectures[] = {"llama", "gemma3", "qwen2"};
    const char *architecture = architectures[_i / 4];
    struct gov_need_request r = gov_need_request_default();
    struct gov_facts facts = {0};
    uint64_t window, told;

    plain(architecture);
    key(architecture, "attention.sliding_window", 100);
    open_plain();
    r.context = contexts[_i % 4];
    ask(&r);
    gov_model_facts(model, &facts);
    window = gov_facts_get(&facts, GOV_FACT_MODEL_WINDOW, 0);
    if (window > need.cells)
        window = need.cells;
    window = (window + 255) / 256 * 256;
    told = gov_facts_get(&facts, GOV_FACT_MODEL_KV_PER_TOKEN, 0) * need.cells +
           gov_facts_get(&facts, GOV_FACT_MODEL_WINDOW_KV, 0) * window +
           gov_facts_get(&facts, GOV_FACT_MODEL_STATE, 0);
    ck_assert_uint_eq(told, need.ram.kv + need.ram.state);
    told =
        gov_facts_get(&facts, GOV_FACT_MODEL_COMPUTE, 0) +
        gov_facts_get(&facts, GOV_FACT_MODEL_COMPUTE_PER_TOKEN, 0) * need.cells;
    ck_assert_uint_ge(told, need.ram.compute + need.ram.output);
    ck_assert_uint_le(told, (need.ram.compute + need.ram.output) * 11 / 10);
}
END_TEST

#define LONGEST 32768

static void ssm(const char *architecture)
{
    key(architecture, "ssm.conv_kernel", 4);
    key(architecture, "ssm.inner_size", 256);
    key(architecture, "ssm.state_size", 16);
    key(architecture, "ssm.time_step_rank", 8);
    key(architecture, "ssm.group_count", 1);
}

/* Attention in the middle layer alone. */
static void write_hybrid(const char *architecture)
{
    static const uint32_t heads[] = {0, 2, 0};
    char text[128];

    begin(architecture, LONGEST);
    snprintf(text, sizeof(text), "%s.attention.head_count_kv", architecture);
    gguf_key_u32s(&w, text, heads, 3);
    ssm(architecture);
}

static void write_latent(const char *architecture)
{
    begin(architecture, LONGEST);
    key(architecture, "attention.head_count_kv", 1);
    key(architecture, "attention.key_length", 96);
    key(architecture, "attention.value_length", 64);
    key(architecture, "attention.key_length_mla", 64);
    key(architecture, "attention.value_length_mla", 32);
    key(architecture, "attention.kv_lora_rank", 64);
}

static void write_recurrent(const char *architecture)
{
    begin(architecture, LONGEST);
    ssm(architecture);
}

static void write_usual(const char *architecture)
{
    begin(architecture, LONGEST);
    key(architecture, "attention.head_count_kv", 2);
    key(architecture, "attention.key_length", 64); /* rotated if quantized */
    key(architecture, "attention.value_length", 64);
    key(architecture, "attention.sliding_window", 100);
}

/* All that might be kept: a bound of both kinds. */
static void write_unknown(const char *architecture)
{
    write_usual(architecture);
    ssm(architecture);
}

static const struct {
    const char *name;
    void (*write)(const char *architecture);
    bool known, cache, state;
} planned[] = {
    {"llama", write_usual, true, true, false},
    {"gemma3", write_usual, true, true, false},
    {"deepseek2", write_latent, true, true, false},
    {"mamba", write_recurrent, true, false, true},
    {"granitehybrid", write_hybrid, true, true, true},
    {"unheard-of", write_unknown, false, true, true},
};
static const gov_kv_type planned_types[] = {GOV_KV_F16, GOV_KV_Q8_0,
                                            GOV_KV_Q4_0};

/* What is planned by the model's facts, for what is asked; with `gpu`, on a
 * machine with one that has memory of its own and much of it. */
static void plan_it(struct gov_plan *plan, const struct gov_need_request *r,
                    bool gpu)
{
    static const char text[] = "version: 1\nrules: []\nbase: none\n";
    gov_policy *rules = NULL;
    struct gov_facts facts = {0};
    gov_status status;

    ck_assert_msg(gov_policy_parse(&rules, text, sizeof(text) - 1, "test",
                                   faults_alloc(), &err) == GOV_OK,
                  "%s", err.message);
    gov_model_facts(model, &facts);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, UINT64_C(1) << 36);
    gov_facts_set(&facts, GOV_FACT_DEVICE_RAM, UINT64_C(1) << 36);
    gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, r->context);
    gov_facts_set(&facts, GOV_FACT_REQUEST_SEQUENCES, r->sequences);
    gov_facts_set(&facts, GOV_FACT_REQUEST_GPU_LAYERS, r->gpu_layers);
    gov_facts_set_text(&facts, GOV_FACT_REQUEST_KV_TYPE,
                       gov_kv_type_name(r->k_type));
    if (gpu) {
        gov_facts_set(&facts, GOV_FACT_ENGINE_GPU, 1);
        gov_facts_set(&facts, GOV_FACT_GPU_COUNT, 1);
        gov_facts_set(&facts, GOV_FACT_GPU_SHARES_RAM, 0);
        gov_facts_set(&facts, GOV_FACT_BUDGET_GPU, UINT64_C(1) << 36);
    }
    status = gov_plan_decide(plan, rules, &facts, NULL, NULL, &err);
    gov_policy_free(rules);
    ck_assert_msg(status == GOV_OK, "%s", err.message);
    ck_assert_uint_eq(plan->context, r->context);
    ck_assert_uint_eq(plan->sequences, r->sequences);
    ck_assert_int_eq(plan->strategy, GOV_STRATEGY_MMAP);
}

/* A plan is made of facts, of KV as f16 and of a line through the engine's
 * buffers; it counts what gov_model_need() does, whatever the type. */
START_TEST(plans_what_is_needed)
{
    static const uint32_t contexts[] = {512, 1000, 4096, LONGEST};
    struct gov_need_request r = gov_need_request_default();
    struct gov_plan plan;
    uint64_t told, asked;

    planned[_i].write(planned[_i].name);
    open_plain();
    ck_assert(gov_model_known(model) == planned[_i].known);
    for (int i = 0; i < 12; i++) {
        r.context = contexts[i / 3];
        r.k_type = r.v_type = planned_types[i % 3];
        ask(&r);
        ck_assert((need.ram.kv != 0) == planned[_i].cache);
        ck_assert((need.ram.state != 0) == planned[_i].state);
        ck_assert(need.compute_known);
        plan_it(&plan, &r, false);
        if (planned[_i].cache)
            ck_assert_int_eq(plan.kv_type, r.k_type);
        ck_assert_uint_eq(plan.kv_bytes, need.ram.kv + need.ram.state);
        told = plan.compute_bytes + plan.engine_bytes;
        asked = need.ram.compute + need.ram.output + need.engine;
        ck_assert_msg(told >= asked && told <= asked / 10 * 11,
                      "%s, %u tokens, %s: planned %llu, needs %llu",
                      planned[_i].name, (unsigned)r.context,
                      gov_kv_type_name(r.k_type), (unsigned long long)told,
                      (unsigned long long)asked);
    }
}
END_TEST

/* Conversations share cells, have a window and a state each, and a row of logits;
 * where the architecture is not known they may have all cells each. */
START_TEST(plans_sequences)
{
    static const uint32_t sequences[] = {1, 2, 3, 8, 33, 256};
    static const uint32_t contexts[] = {300, 1000, 4096, LONGEST};
    struct gov_need_request r = gov_need_request_default();
    struct gov_plan plan;
    uint64_t told, asked;

    planned[_i].write(planned[_i].name);
    open_plain();
    for (int i = 0; i < 24; i++) {
        r.context = contexts[i % 4];
        r.sequences = sequences[i / 4];
        ask(&r);
        plan_it(&plan, &r, false);
        asked = need.ram.kv + need.ram.state;
        if (planned[_i].known)
            ck_assert_uint_eq(plan.kv_bytes, asked);
        else
            ck_assert_uint_eq(plan.kv_bytes,
                              need.ram.kv * r.sequences + need.ram.state);
        told = plan.compute_bytes + plan.engine_bytes;
        asked = need.ram.compute + need.ram.output + need.engine;
        ck_assert_msg(told >= asked && (r.context < 4096 || r.sequences > 8 ||
                                        told <= asked * 3 / 2),
                      "%s, %u tokens, %u sequences: planned %llu, needs %llu",
                      planned[_i].name, (unsigned)r.context,
                      (unsigned)r.sequences, (unsigned long long)told,
                      (unsigned long long)asked);
    }
}
END_TEST

/* The one architecture that is known to have all cells for each sequence. */
START_TEST(plans_sequences_apart)
{
    struct gov_need_request r = gov_need_request_default();
    struct gov_plan plan;

    write_usual("deepseek4");
    open_plain();
    r.context = 4096;
    r.sequences = 5;
    ask(&r);
    ck_assert_uint_eq(need.cells, 5 * 4096);
    plan_it(&plan, &r, false);
    ck_assert_uint_eq(plan.kv_bytes, need.ram.kv + need.ram.state);
}
END_TEST

/* Layers of three sizes, and an output that is the embedding, the largest of all:
 * what a plan counts on a GPU is never too little, nor what it counts in RAM. */
START_TEST(plans_layers_on_a_gpu)
{
    const uint64_t small = UINT64_C(4) << 20;
    struct gov_need_request r = gov_need_request_default();
    struct gov_plan plan;
    struct gov_facts facts = {0};
    uint64_t there, moved;

    planned[_i].write(planned[_i].name);
    gguf_add(&w, "token_embd.weight", T_F16, 1024, 16384);  /* 32 MiB */
    gguf_add(&w, "blk.0.attn_q.weight", T_F16, 1024, 8192); /* 16 MiB */
    gguf_add(&w, "blk.1.attn_q.weight", T_F16, 1024, 4096); /* 8 MiB */
    gguf_add(&w, "blk.2.attn_q.weight", T_F16, 1024, 2048); /* 4 MiB */
    gguf_add(&w, "output_norm.weight", T_F32, 1024, 0);
    open_it();
    gov_model_facts(model, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_SMALLEST_LAYER, 0),
                      small);
    for (r.gpu_layers = 0; r.gpu_layers <= 5; r.gpu_layers++) {
        r.context = 4096;
        r.sequences = planned[_i].known ? 1 + r.gpu_layers : 1;
        ask(&r);
        plan_it(&plan, &r, true);
        ck_assert_uint_eq(plan.gpu_layers, r.gpu_layers < 4 ? r.gpu_layers : 4);
        there = need.gpu.weights + need.gpu.kv + need.gpu.state +
                need.gpu.compute + need.gpu.output;
        ck_assert_msg(
            plan.gpu_bytes >= there, "%s, %u layers: planned %llu, needs %llu",
            planned[_i].name, (unsigned)r.gpu_layers,
            (unsigned long long)plan.gpu_bytes, (unsigned long long)there);
        moved = r.gpu_layers > 1 ? small * (plan.gpu_layers - 1) : 0;
        ck_assert_uint_ge(plan.weights_bytes - moved, need.ram.weights);
    }
}
END_TEST

/* A layer is all that is its own, wherever that lies, and nothing where there is
 * none. Which are the last is not said of a model whose layers run twice. */
START_TEST(finds_the_smallest_layer)
{
    static const uint64_t smallest[] = {4608, 0, 9};
    struct gov_facts facts = {0};

    plain(_i == 2 ? "nanbeige" : "llama");
    if (_i == 2)
        key("nanbeige", "num_loops", 2);
    gguf_add(&w, "blk.0.attn_q.weight", T_Q4_0, 128, 32); /* 2304 */
    gguf_add(&w, "blk.1.attn_q.weight", T_Q4_0, 128, 128);
    if (_i != 1)
        gguf_add(&w, "blk.2.attn_q.weight", T_Q4_0, 128, 128);
    gguf_add(&w, "blk.0.attn_k.weight", T_Q4_0, 128, 32);
    open_it();
    ck_assert_int_eq(gov_model_known(model), true);
    gov_model_facts(model, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_MODEL_SMALLEST_LAYER, 9),
                      smallest[_i]);
}
END_TEST

START_TEST(refuses)
{
    struct gov_need_request r = gov_need_request_default(), odd = r;

    plain("llama");
    key("llama", "attention.key_length", 80);
    open_plain();
    r.k_type = GOV_KV_Q8_0;
    ck_assert_int_eq(gov_model_need(model, &r, &need, &err), GOV_E_UNSUPPORTED);
    ck_assert_str_eq(err.message,
                     "K cannot be held as q8_0: this model's heads are no "
                     "whole number of blocks of 32; f16 works");
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_Q8_0), 0);
    r.k_type = GOV_KV_F16;
    r.v_type = GOV_KV_Q8_0;
    ask(&r);
    r.flash_attention = false;
    ck_assert_int_eq(gov_model_need(model, &r, &need, &err), GOV_E_UNSUPPORTED);
    ck_assert_str_eq(err.message, "V cannot be held as q8_0 without flash "
                                  "attention; ask for f16");
    r = odd;
    r.v_type = (gov_kv_type)77;
    ck_assert_int_eq(gov_model_need(model, &r, &need, &err), GOV_E_INVALID);
    r = odd;
    r.sequences = 0;
    ck_assert_int_eq(gov_model_need(model, &r, &need, &err), GOV_E_INVALID);
    r = odd;
    r.batch = 0;
    ck_assert_int_eq(gov_model_need(model, &r, &need, &err), GOV_E_INVALID);
    r = odd;
    r.size--;
    ck_assert_int_eq(gov_model_need(model, &r, &need, &err), GOV_E_INVALID);
    r = odd;
    ck_assert_int_eq(gov_model_need(NULL, &r, &need, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_model_need(model, NULL, &need, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_model_need(model, &r, NULL, &err), GOV_E_INVALID);
}
END_TEST

START_TEST(needs_a_context)
{
    struct gov_need_request r = gov_need_request_default();

    gguf_key_text(&w, "general.architecture", "llama");
    gguf_add(&w, "t", T_F32, 8, 0);
    open_it();
    ck_assert_int_eq(gov_model_need(model, &r, &need, &err), GOV_E_INVALID);
    ck_assert_ptr_nonnull(strstr(err.message, "does not tell its context"));
    r.context = 512;
    ask(&r);
    ck_assert(!need.compute_known);
    ck_assert_uint_eq(need.ram.weights, 32);
}
END_TEST

/* Absurd numbers give absurd costs, not small ones. */
START_TEST(does_not_wrap)
{
    static const char *const keys[] = {
        "attention.key_length", "attention.value_length",
        "attention.head_count", "embedding_length"};
    struct gov_need_request r = gov_need_request_default();

    gguf_key_text(&w, "general.architecture", "llama");
    key("llama", "block_count", 512);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        key("llama", keys[i], UINT32_MAX - 31);
    gguf_add(&w, "t", T_F32, 8, 0);
    open_it();
    r.context = r.batch = r.sequences = UINT32_MAX;
    r.unified = _i == 0;
    r.gpu_layers = _i == 0 ? 0 : 7;
    ask(&r);
    ck_assert_uint_eq(need.ram.kv, UINT64_MAX);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("need");
    TCase *t = tcase_create("need");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, counts_a_plain_model);
    tcase_add_loop_test(t, counts_the_engine, 0, 3);
    tcase_add_test(t, counts_the_engine_of_experts);
    tcase_add_test(t, counts_recurrent_state);
    tcase_add_test(t, wants_one_type_for_a_latent);
    tcase_add_test(t, pads_tensors);
    tcase_add_test(t, encoders_keep_nothing);
    tcase_add_loop_test(t, counts_every_type, 0,
                        sizeof(types) / sizeof(types[0]));
    tcase_add_test(t, counts_sequences);
    tcase_add_loop_test(t, counts_windows, 0, 5);
    tcase_add_loop_test(t, places_layers, 0, 5);
    tcase_add_test(t, counts_repacking);
    tcase_add_test(t, gives_ranges);
    tcase_add_loop_test(t, tells_the_same_as_facts, 0, 12);
    tcase_add_loop_test(t, plans_what_is_needed, 0,
                        sizeof(planned) / sizeof(planned[0]));
    tcase_add_loop_test(t, plans_sequences, 0,
                        sizeof(planned) / sizeof(planned[0]));
    tcase_add_test(t, plans_sequences_apart);
    tcase_add_loop_test(t, plans_layers_on_a_gpu, 0,
                        sizeof(planned) / sizeof(planned[0]));
    tcase_add_loop_test(t, finds_the_smallest_layer, 0, 3);
    tcase_add_test(t, refuses);
    tcase_add_test(t, needs_a_context);
    tcase_add_loop_test(t, does_not_wrap, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
