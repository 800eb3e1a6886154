/* SPDX-License-Identifier: MIT */
/* Units and facts of model files whose every number was worked out by hand. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "governor/model.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"

static char path[512];
static struct gguf_writer w;
static gov_model *model;
static const struct gov_unit *units;
static const struct gov_tensor *tensors;
static size_t unit_count, tensor_count;
static uint64_t data; /* where the tensors begin in the file */

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

static void open_it(void)
{
    gov_error err = {0};
    gov_status status;

    data = gguf_finish(&w);
    gguf_save(&w, path, w.file_bytes);
    status = gov_model_open(&model, path, faults_alloc(), &err);
    ck_assert_msg(status == GOV_OK, "%s", err.message);
    units = gov_model_units(model, &unit_count);
    tensors = gov_model_tensors(model, &tensor_count);
}

/* "e", "0", "12x", "o", "p": embedding, layers, experts, output, projector; one
 * word a unit. */
static const char *unit_line(void)
{
    static char line[256];
    size_t used = 0;

    for (size_t i = 0; i < unit_count && used < sizeof(line) - 16; i++) {
        if (i > 0)
            line[used++] = ' ';
        if (units[i].kind == GOV_UNIT_LAYER ||
            units[i].kind == GOV_UNIT_EXPERTS)
            used += (size_t)snprintf(
                line + used, 16, "%" PRIu32 "%s", units[i].layer,
                units[i].kind == GOV_UNIT_EXPERTS ? "x" : "");
        else
            line[used++] = units[i].kind == GOV_UNIT_EMBEDDING   ? 'e'
                           : units[i].kind == GOV_UNIT_PROJECTOR ? 'p'
                                                                 : 'o';
    }
    line[used] = '\0';
    return line;
}

static void vector(const char *name)
{
    gguf_add(&w, name, T_F32, 8, 0); /* 32 bytes */
}

static uint32_t unit_of(const char *name)
{
    for (size_t i = 0; i < tensor_count; i++)
        if (strcmp(tensors[i].name, name) == 0)
            return tensors[i].unit;
    ck_abort_msg("no tensor %s", name);
    return 0;
}

static uint64_t fact(gov_fact id)
{
    struct gov_facts facts = {0};

    gov_model_facts(model, &facts);
    return gov_facts_get(&facts, id, UINT64_MAX);
}

/* Pages of 64 bytes hold two of these tests' tensors: that of a neighbour's is
 * looked for among all units. */
static void check_pages(size_t unit)
{
    const struct gov_unit *u = &units[unit];
    struct gov_unit_pages pages;
    bool before = false, behind = false;

    gov_unit_pages(model, unit, 64, &pages);
    for (size_t i = 0; i < unit_count; i++) {
        uint64_t end = units[i].file_offset + units[i].bytes;

        if (i == unit || units[i].file != u->file)
            continue;
        before =
            before || (end <= u->file_offset && end > u->file_offset / 64 * 64);
        behind = behind || (units[i].file_offset >= u->file_offset + u->bytes &&
                            units[i].file_offset <
                                pages.outer_offset + pages.outer_bytes);
    }
    ck_assert_int_eq(pages.shared_before, before);
    ck_assert_int_eq(pages.shared_behind, behind);
}

/* What the header promises of every model. */
static void check_units(void)
{
    uint64_t sum = 0, of_tensors = 0, count = 0;

    for (size_t i = 0; i < unit_count; i++) {
        count += units[i].tensors;
        sum += units[i].tensor_bytes;
        ck_assert_uint_le(units[i].tensor_bytes, units[i].bytes);
        check_pages(i);
        for (size_t j = 0; j < i; j++)
            ck_assert(
                units[j].file_offset + units[j].bytes <= units[i].file_offset ||
                units[i].file_offset + units[i].bytes <= units[j].file_offset);
    }
    ck_assert_uint_eq(count, tensor_count);
    for (size_t i = 0; i < tensor_count; i++) {
        const struct gov_unit *unit = &units[tensors[i].unit];

        of_tensors += tensors[i].bytes;
        ck_assert_uint_ge(tensors[i].file_offset, unit->file_offset);
        ck_assert_uint_le(tensors[i].file_offset + tensors[i].bytes,
                          unit->file_offset + unit->bytes);
    }
    ck_assert_uint_eq(sum, of_tensors);
}

/* ---- units ----------------------------------------------------------------- */

START_TEST(groups_a_plain_file)
{
    vector("token_embd.weight");
    vector("blk.0.attn_q.weight");
    gguf_add(&w, "blk.0.ffn_norm.weight", T_F32, 3, 0); /* 12 + 20 padding */
    gguf_add(&w, "blk.0.ffn_up.weight", T_F32, 5, 0);   /* 20 + 12 padding */
    vector("blk.1.attn_q.weight");
    vector("output_norm.weight");
    vector("output.weight");
    open_it();
    check_units();
    ck_assert_str_eq(unit_line(), "e 0 1 o");
    ck_assert_uint_eq(units[1].file_offset, data + 32);
    ck_assert_uint_eq(units[1].bytes, 32 + 32 + 20);
    ck_assert_uint_eq(units[1].tensor_bytes, 32 + 12 + 20);
    ck_assert_uint_eq(units[1].tensors, 3);
    ck_assert_uint_eq(unit_of("output.weight"), 3);
    ck_assert_uint_eq(unit_of("blk.0.ffn_up.weight"), 1);
}
END_TEST

/* As llama-quantize writes: what is global first, by name. */
START_TEST(orders_by_first_use)
{
    vector("output.weight");
    vector("output_norm.weight");
    vector("rope_freqs.weight");
    vector("token_embd.weight");
    vector("blk.1.attn_q.weight");
    vector("blk.10.attn_q.weight");
    vector("blk.2.attn_q.weight");
    vector("blk.0.attn_q.weight");
    open_it();
    check_units();
    ck_assert_str_eq(unit_line(), "e 0 1 2 10 o");
    ck_assert_uint_eq(units[0].file_offset, data + 96);
    ck_assert_uint_eq(units[1].file_offset, data + 224);
    ck_assert_uint_eq(units[5].file_offset, data);
    ck_assert_uint_eq(units[5].bytes, 96);
}
END_TEST

/* As convert_hf_to_gguf.py writes models of several shards: layer 1 is split
 * between two, its later half first in the file, and the output matrix is far
 * from its norm. */
START_TEST(splits_what_is_scattered)
{
    vector("output.weight");
    vector("token_embd.weight");
    vector("blk.1.ffn_up.weight");
    vector("blk.1.ffn_down.weight");
    vector("blk.0.attn_q.weight");
    vector("blk.0.ffn_up.weight");
    vector("blk.1.ffn_norm.weight");
    vector("blk.1.attn_q.weight");
    vector("output_norm.weight");
    vector("blk.1.ffn_gate.weight");
    open_it();
    check_units();
    ck_assert_str_eq(unit_line(), "e 0 1 1 1 o o");
    ck_assert_uint_eq(unit_of("blk.1.attn_q.weight"), 2);
    ck_assert_uint_eq(unit_of("blk.1.ffn_norm.weight"), 2);
    ck_assert_uint_eq(unit_of("blk.1.ffn_up.weight"), 3);
    ck_assert_uint_eq(units[3].bytes, 64);
    ck_assert_uint_eq(unit_of("blk.1.ffn_gate.weight"), 4);
    ck_assert_uint_eq(unit_of("output_norm.weight"), 5);
    ck_assert_uint_eq(unit_of("output.weight"), 6);
}
END_TEST

START_TEST(knows_tables_and_stages)
{
    vector("position_embd.weight");
    vector("token_embd.weight");
    vector("token_embd_norm.weight");
    vector("token_types.weight");
    vector("per_layer_token_embd.weight");
    vector("dec.blk.0.attn_q.weight");
    vector("enc.blk.0.attn_q.weight");
    vector("enc.blk.1.attn_q.weight");
    vector("blk.512.attn_q.weight"); /* no such layer: global */
    vector("blk.99999999999999999999.attn_q.weight");
    vector("blk.4294967299.attn_q.weight"); /* not 3 */
    vector("blk..attn_q.weight");
    vector("xblk.3.attn_q.weight");
    vector("blk.7");
    open_it();
    check_units();
    /* Rows by layer are a unit of their own: they are looked up even where the
     * embedding makes the logits too. */
    ck_assert_str_eq(unit_line(), "e e 0 1 0 o");
    ck_assert_uint_eq(unit_of("per_layer_token_embd.weight"), 1);
    ck_assert_uint_eq(unit_of("enc.blk.0.attn_q.weight"), 2);
    ck_assert_uint_eq(unit_of("enc.blk.1.attn_q.weight"), 3);
    ck_assert_uint_eq(unit_of("dec.blk.0.attn_q.weight"), 4);
    ck_assert_uint_eq(units[0].tensors, 4);
    ck_assert_uint_eq(units[5].tensors, 6);
}
END_TEST

/* A tensor without bytes neither makes a unit nor breaks one. */
static void no_bytes(const char *name)
{
    gguf_text(&w, name);
    gguf_u32(&w, 2);
    gguf_u64(&w, 32);
    gguf_u64(&w, 0);
    gguf_u32(&w, T_F32);
    gguf_u64(&w, w.next);
    w.tensors++;
}

START_TEST(passes_over_empty_tensors)
{
    no_bytes("output_norm.weight");
    vector("blk.0.attn_q.weight");
    no_bytes("output.weight");
    vector("blk.0.ffn_up.weight");
    no_bytes("blk.7.ffn_up.weight");
    open_it();
    check_units();
    ck_assert_str_eq(unit_line(), "0");
    ck_assert_uint_eq(units[0].bytes, 64);
    ck_assert_uint_eq(units[0].tensors, 5);
}
END_TEST

/* ---- experts, projectors, pages ---------------------------------------------- */

static void stack(const char *name, uint32_t type, uint64_t columns,
                  uint64_t rows, uint64_t experts, uint64_t bytes)
{
    const uint64_t shape[4] = {columns, rows, experts, 0};

    gguf_tensor(&w, name, type, shape, w.next);
    w.next += (bytes + 31) / 32 * 32;
}

/* As files are written today: by name, with the router between the experts. */
START_TEST(groups_fused_experts)
{
    struct gov_file_range range[4];

    gguf_key_text(&w, "general.architecture", "qwen3moe");
    gguf_key_u32(&w, "qwen3moe.expert_count", 4);
    gguf_key_u32(&w, "qwen3moe.expert_used_count", 1);
    vector("token_embd.weight");
    vector("blk.0.attn_q.weight");
    stack("blk.0.ffn_down_exps.weight", T_F32, 8, 2, 4, 256);
    stack("blk.0.ffn_gate_exps.weight", T_F32, 8, 3, 4, 384);
    vector("blk.0.ffn_gate_inp.weight");
    vector("blk.0.ffn_up_shexp.weight");
    stack("blk.0.ffn_up_exps.weight", T_F32, 8, 3, 4, 384);
    vector("output.weight");
    open_it();
    check_units();
    ck_assert_str_eq(unit_line(), "e 0 0 0x 0x o");
    ck_assert_uint_eq(units[3].experts, 4);
    ck_assert_uint_eq(units[1].experts, 0);
    ck_assert_uint_eq(unit_of("blk.0.ffn_gate_inp.weight"), 2);
    ck_assert_uint_eq(unit_of("blk.0.ffn_up_shexp.weight"), 2);
    ck_assert_uint_eq(gov_unit_expert(model, 3, 2, range, 4), 2);
    ck_assert_uint_eq(range[0].offset, data + 64 + 2 * 64);
    ck_assert_uint_eq(range[0].bytes, 64);
    ck_assert_uint_eq(range[1].offset, data + 64 + 256 + 2 * 96);
    ck_assert_uint_eq(range[1].bytes, 96);
    ck_assert_uint_eq(gov_unit_expert(model, 3, 2, range, 0), 2);
    ck_assert_uint_eq(gov_unit_expert(model, 3, 4, range, 4), 0);
    ck_assert_uint_eq(gov_unit_expert(model, 3, UINT32_MAX, range, 4), 0);
    ck_assert_uint_eq(gov_unit_expert(model, 1, 0, range, 4), 0);
    ck_assert_uint_eq(gov_unit_expert(model, 99, 0, range, 4), 0);
    /* One of four: 32 + 64 + 256 / 4 + 2 x 384 / 4 + 32, and the whole
     * embedding, which has no rows to choose from. */
    ck_assert_uint_eq(gov_model_dense_pass(model), 32 * 5 + 256 + 2 * 384);
    ck_assert_uint_eq(gov_model_sparse_pass(model), 32 * 5 + 64 + 2 * 96);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_PASS), 32 * 5 + 64 + 2 * 96);
    ck_assert_uint_eq(gov_model_parameters(model), (32 * 5 + 1024) / 4);
    ck_assert_uint_eq(gov_model_active_parameters(model), (32 * 5 + 256) / 4);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_EXPERTS), 4);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_EXPERTS_USED), 1);
}
END_TEST

/* As they were before April 2024, a tensor for each expert; and as Transformers
 * names them. */
START_TEST(groups_single_experts)
{
    static const char *const form[2] = {
        "blk.1.ffn_up.%u.weight", "model.layers.1.mlp.experts.%u.up.weight"};
    struct gov_file_range range[4];
    char name[64];

    vector("blk.1.ffn_norm.weight");
    for (unsigned i = 3; i < 6; i++) {
        snprintf(name, sizeof(name), form[_i], i);
        vector(name);
    }
    vector("blk.1.ffn_up.weight");
    vector("model.layers.1.mlp.shared_expert.up_proj.weight");
    vector("model.layers.1.mlp.shared_experts.up_proj.weight");
    open_it();
    check_units();
    ck_assert_str_eq(unit_line(), "1 1 1x");
    ck_assert_uint_eq(units[2].experts, 3);
    ck_assert_uint_eq(gov_unit_expert(model, 2, 4, range, 4), 1);
    ck_assert_uint_eq(range[0].offset, data + 64);
    ck_assert_uint_eq(range[0].bytes, 32);
    ck_assert_uint_eq(gov_unit_expert(model, 2, 0, range, 4), 0);
    ck_assert_uint_eq(gov_unit_expert(model, 2, 6, range, 4), 0);
}
END_TEST

/* An expert count that no dimension has: nothing is sliced by it. */
START_TEST(slices_no_other_stack)
{
    struct gov_file_range range;

    gguf_key_text(&w, "general.architecture", "x");
    if (_i == 1)
        gguf_key_u32(&w, "x.expert_count", 5);
    stack("blk.0.ffn_up_exps.weight", T_F32, 8, 2, 4, 256);
    open_it();
    ck_assert_uint_eq(units[0].experts, 0);
    ck_assert_uint_eq(gov_unit_expert(model, 0, 0, &range, 1), 0);
    ck_assert_uint_eq(gov_model_sparse_pass(model), 256);
}
END_TEST

static const struct {
    const char *name, *unit;
} names[] = {
    {"v.blk.3.attn_q.weight", "p"},
    {"v.patch_embd.weight", "p"},
    {"mm.0.weight", "p"},
    {"a.blk.0.ffn_up.weight", "p"},
    {"resampler.proj.weight", "p"},
    {"vision_tower.vision_model.encoder.layers.3.mlp.fc1.weight", "p"},
    {"model.visual.blocks.0.attn.qkv.weight", "p"},
    {"multi_modal_projector.linear_1.weight", "p"},
    {"audio_tower.layers.0.fc1.weight", "p"},
    {"model.embed_tokens.weight", "e"},
    {"model.language_model.embed_tokens.weight", "e"},
    {"model.language_model.embed_tokens_per_layer.weight", "e"},
    {"transformer.wte.weight", "e"},
    {"transformer.wpe.weight", "e"},
    {"gpt_neox.embed_in.weight", "e"},
    {"backbone.embeddings.weight", "e"},
    {"embeddings.position_embeddings.weight", "e"},
    {"bert.embeddings.word_embeddings.weight", "e"},
    {"model.layers.12.self_attn.q_proj.weight", "12"},
    {"language_model.model.layers.7.mlp.up_proj.qweight", "7"},
    {"transformer.h.5.mlp.c_fc.weight", "5"},
    {"encoder.layer.2.output.dense.weight", "2"},
    {"decoder.block.1.layer.0.SelfAttention.q.weight", "1"},
    {"rwkv.blocks.4.att.key.weight", "4"},
    {"model.layers.0.mlp.experts.gate_up_proj", "0x"},
    {"model.layers.9.block_sparse_moe.experts.3.w1.weight", "9x"},
    {"model.layers.9.block_sparse_moe.gate.weight", "9"},
    {"lm_head.weight", "o"},
    {"lm_head.qweight", "o"},
    {"model.norm.weight", "o"},
    {"blk.0.ffn_up_shexp.weight", "0"},
    {"blk.0.ffn_up_chexps.weight", "0x"},
    {"output_norm.weight", "o"},
    {"rope_freqs.weight", "o"},
};

START_TEST(knows_names)
{
    vector(names[_i].name);
    open_it();
    ck_assert_str_eq(unit_line(), names[_i].unit);
}
END_TEST

START_TEST(keeps_projectors_apart)
{
    vector("v.patch_embd.weight");
    vector("token_embd.weight");
    vector("blk.0.attn_q.weight");
    vector("output.weight");
    open_it();
    ck_assert_str_eq(unit_line(), "e 0 o p");
    ck_assert_uint_eq(gov_model_dense_pass(model), 96);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_WEIGHTS), 128);
}
END_TEST

/* Three units, of which the middle one shares its first page and no more. */
START_TEST(knows_shared_pages)
{
    struct gov_unit_pages pages;

    gguf_add(&w, "token_embd.weight", T_F32, 8, 0);
    gguf_add(&w, "blk.0.attn_q.weight", T_F32, 2048, 0); /* 8 KiB */
    w.next = (w.next + 8191) / 4096 * 4096;
    gguf_add(&w, "output.weight", T_F32, 8, 0);
    open_it();
    ck_assert_str_eq(unit_line(), "e 0 o");
    ck_assert_uint_lt(data, 4096);
    gov_unit_pages(model, 1, 4096, &pages);
    ck_assert_uint_eq(pages.outer_offset, 0);
    ck_assert_uint_eq(pages.outer_bytes, 3 * 4096);
    ck_assert(pages.shared_before && !pages.shared_behind);
    ck_assert_uint_eq(pages.inner_offset, 4096);
    ck_assert_uint_eq(pages.inner_bytes, 2 * 4096);
    /* The first shares with the second; the header in front is nobody's. */
    gov_unit_pages(model, 0, 4096, &pages);
    ck_assert_uint_eq(pages.outer_offset, 0);
    ck_assert_uint_eq(pages.outer_bytes, 4096);
    ck_assert(!pages.shared_before && pages.shared_behind);
    ck_assert_uint_eq(pages.inner_offset, 0);
    ck_assert_uint_eq(pages.inner_bytes, 0);
    /* Pages of 32 bytes: all is its own. */
    gov_unit_pages(model, 0, 32, &pages);
    ck_assert_uint_eq(pages.outer_offset, data);
    ck_assert_uint_eq(pages.outer_bytes, 32);
    ck_assert_uint_eq(pages.inner_bytes, 32);
    ck_assert(!pages.shared_before && !pages.shared_behind);
    gov_unit_pages(model, 2, 65536, &pages);
    ck_assert(pages.shared_before && !pages.shared_behind);
    ck_assert_uint_eq(pages.inner_bytes, 0);
    gov_unit_pages(model, 3, 4096, &pages);
    ck_assert_uint_eq(pages.outer_bytes, 0);
}
END_TEST

/* Of a file with as many units as tensors one answer takes no walk through all:
 * asking of each took over a minute for what a header may hold. */
START_TEST(answers_of_many_units)
{
    enum { UNITS = 65536 };
    struct gov_file_range range;
    struct gov_unit_pages pages;
    struct timespec start, end;
    char name[64];

    for (unsigned i = 0; i < UNITS; i++) {
        snprintf(name, sizeof(name), "blk.%u.ffn_up.%u.weight", i % 2, i / 2);
        vector(name);
    }
    open_it();
    ck_assert_uint_eq(unit_count, UNITS);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0; i < UNITS; i++) {
        gov_unit_pages(model, i, 4096, &pages);
        ck_assert_uint_eq(gov_unit_expert(model, i, i % (UNITS / 2), &range, 1),
                          1);
        ck_assert_uint_eq(range.offset, units[i].file_offset);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    /* 10 ms; 5 seconds and more when each walks through all. */
    ck_assert_int_lt(end.tv_sec - start.tv_sec, 2);
}
END_TEST

/* ---- facts ----------------------------------------------------------------- */

static const char *text_fact(gov_fact id)
{
    struct gov_facts facts = {0};

    gov_model_facts(model, &facts);
    return facts.value[id].known ? facts.value[id].text : NULL;
}

/* 2 layers, 128 wide, 4 heads of 32 of which 2 hold KV, 256 in the middle. */
static void plain_keys(const char *architecture, uint32_t layers)
{
    static const struct {
        const char *key;
        uint32_t value;
    } keys[] = {
        {"embedding_length", 128},      {"attention.head_count", 4},
        {"attention.head_count_kv", 2}, {"feed_forward_length", 256},
        {"context_length", 2048},
    };
    char key[128];

    gguf_key_text(&w, "general.architecture", architecture);
    snprintf(key, sizeof(key), "%s.block_count", architecture);
    gguf_key_u32(&w, key, layers);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        snprintf(key, sizeof(key), "%s.%s", architecture, keys[i].key);
        gguf_key_u32(&w, key, keys[i].value);
    }
}

START_TEST(counts_a_plain_model)
{
    plain_keys("llama", 2);
    gguf_key_text(&w, "general.name", "Test 1B");
    gguf_add(&w, "token_embd.weight", T_Q4_0, 128, 96);    /* 6912 */
    gguf_add(&w, "blk.0.attn_norm.weight", T_F32, 128, 0); /* 512 */
    gguf_add(&w, "blk.0.attn_q.weight", T_Q4_0, 128, 128); /* 9216 */
    gguf_add(&w, "blk.0.ffn_up.weight", T_F16, 128, 8);    /* 2048 */
    gguf_add(&w, "blk.1.attn_k.weight", T_Q4_0, 128, 30);  /* 2160 + 16 */
    gguf_add(&w, "output_norm.weight", T_F32, 128, 0);     /* 512 */
    gguf_add(&w, "output.weight", T_Q6_K, 256, 96);        /* 20160 */
    open_it();
    check_units();
    ck_assert_str_eq(gov_model_name(model), "Test 1B");
    ck_assert_str_eq(text_fact(GOV_FACT_MODEL_FORMAT), "gguf");
    ck_assert_str_eq(text_fact(GOV_FACT_MODEL_ARCHITECTURE), "llama");
    ck_assert_str_eq(text_fact(GOV_FACT_MODEL_QUANTIZATION), "Q6_K");
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_FILE), w.file_bytes);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_WEIGHTS),
                      6912 + 512 + 9216 + 2048 + 2160 + 512 + 20160);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_LAYERS), 2);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_CONTEXT_MAX), 2048);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_LARGEST_UNIT), 512 + 20160);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_MOE), 0);
    /* blk.0.attn_q alone: the embedding is only looked up, 30 rows are no
     * multiple of 8 or 4. Q6_K counts on arm64. */
#if defined(__aarch64__)
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_REPACK), 9216 + 20160);
#else
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_REPACK), 9216);
#endif
    /* 2 layers x 2 heads x 32 x (K + V): 256 elements. */
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_KV_PER_TOKEN), 512);
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_Q8_0), 272);
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_UNSET), 0);
    /* Not the file's to say. */
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_KV), UINT64_MAX);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_ENCRYPTED), UINT64_MAX);
    ck_assert_uint_eq(fact(GOV_FACT_DEVICE_RAM), UINT64_MAX);
}
END_TEST

/* Without output.weight the embedding makes the logits: its rows count, and the
 * engine repacks a copy of it. */
START_TEST(counts_a_tied_model)
{
    plain_keys("llama", 2);
    gguf_add(&w, "token_embd.weight", T_Q4_0, 128, 8192); /* 589824 */
    gguf_add(&w, "blk.0.attn_q.weight", T_Q4_0, 128, 128);
    gguf_add(&w, "output_norm.weight", T_F32, 128, 0);
    open_it();
    ck_assert_str_eq(unit_line(), "e 0 o");
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_REPACK), 589824 + 9216);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_WEIGHTS), 589824 + 9216 + 512);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_LARGEST_UNIT), 589824);
    ck_assert_str_eq(text_fact(GOV_FACT_MODEL_QUANTIZATION), "Q4_0");
}
END_TEST

START_TEST(counts_experts)
{
    static const uint64_t stack[4] = {128, 512, 4, 0};

    plain_keys("llama", 1);
    gguf_key_u32(&w, "llama.expert_count", 4);
    gguf_key_u32(&w, "llama.expert_used_count", 2);
    gguf_tensor(&w, "blk.0.ffn_up_exps.weight", T_Q4_0, stack, 0);
    w.next = 147456;
    open_it();
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_MOE), 1);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_REPACK), 147456);
}
END_TEST

/* As llama.cpp writes a layer that it has quantized: by name, so that the router
 * lies between the experts. Streaming needs room for all of it at once. */
START_TEST(counts_a_layer_in_pieces)
{
    static const char *const pieces[] = {"attn_q", "ffn_down_exps",
                                         "ffn_gate_inp", "ffn_up_exps"};
    char name[64];

    plain_keys("llama", 2);
    for (int layer = 0; layer < 2; layer++)
        for (int i = 0; i < 4; i++) {
            snprintf(name, sizeof(name), "blk.%d.%s.weight", layer, pieces[i]);
            gguf_add(&w, name, T_Q4_0, 128, 32 * (uint64_t)(i + layer + 1));
        }
    open_it();
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_LARGEST_UNIT),
                      72 * 32 * (2 + 3 + 4 + 5));
}
END_TEST

/* Experts are told apart along the slowest dimension alone, however many there
 * are along another; a single one counts, too. */
START_TEST(finds_experts_in_the_slowest_dimension)
{
    static const uint64_t across[4] = {8, 4, 2, 0}, trailing[4] = {8, 2, 8, 1};
    struct gov_file_range range;

    plain_keys("llama", 3);
    gguf_key_u32(&w, "llama.expert_count", 8);
    gguf_tensor(&w, "blk.0.ffn_up_exps.weight", T_F32, across, 0);
    gguf_tensor(&w, "blk.1.ffn_up_exps.weight", T_F32, trailing, 256);
    w.next = 256 + 512;
    gguf_add(&w, "blk.2.ffn_up.0.weight", T_F32, 8, 0);
    open_it();
    ck_assert_str_eq(unit_line(), "0x 1x 2x");
    ck_assert_uint_eq(units[0].experts, 0);
    ck_assert_uint_eq(gov_unit_expert(model, 0, 1, &range, 1), 0);
    ck_assert_uint_eq(units[1].experts, 8);
    ck_assert_uint_eq(gov_unit_expert(model, 1, 1, &range, 1), 1);
    ck_assert_uint_eq(range.bytes, 64);
    ck_assert_uint_eq(units[2].experts, 1);
}
END_TEST

START_TEST(knows_an_only_expert)
{
    static const uint64_t one[4] = {8, 2, 1, 0};

    plain_keys("llama", 1);
    gguf_key_u32(&w, "llama.expert_count", 1);
    gguf_tensor(&w, "blk.0.ffn_up_exps.weight", T_F32, one, 0);
    w.next = 64;
    open_it();
    ck_assert_uint_eq(units[0].experts, 1);
}
END_TEST

/* How config.json says that it is quantized. */
START_TEST(names_methods)
{
    static const struct {
        const char *config, *text;
    } rows[] = {
        {"\"quant_method\":\"awq\",\"bits\":4,\"group_size\":128",
         "AWQ, 4 bits, groups of 128"},
        {"\"quant_method\":\"exl2\",\"bits\":4.6", "EXL2, 4.6 bits"},
        {"\"quant_method\":\"fp8\"", "FP8, 8 bits"},
        {"\"quant_method\":\"xyz\",\"bits\":8", "XYZ"},
    };
    static const char header[] =
        "{\"lm_head.weight\":{\"dtype\":\"F32\",\"shape\":[1],"
        "\"data_offsets\":[0,4]}}";
    char at[600];
    gov_error err;
    FILE *f;

    snprintf(at, sizeof(at), "%.*s/config.json",
             (int)(strrchr(path, '/') - path), path);
    f = fopen(at, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "{\"model_type\":\"llama\",\"quantization_config\":{%s}}",
            rows[_i].config);
    fclose(f);
    snprintf(at, sizeof(at), "%.*s/model.safetensors",
             (int)(strrchr(path, '/') - path), path);
    f = fopen(at, "wb");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "%c%c%c%c%c%c%c%c%s%c%c%c%c", (int)sizeof(header) - 1, 0, 0, 0,
            0, 0, 0, 0, header, 0, 0, 0, 0);
    fclose(f);
    ck_assert_msg(gov_model_open(&model, at, faults_alloc(), &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_str_eq(gov_model_quantization(model), rows[_i].text);
}
END_TEST

/* A file may say for each layer how many of its experts a token uses. */
START_TEST(counts_experts_used_by_layer)
{
    static const uint32_t used[3] = {1, 4, 8};
    char name[64];

    plain_keys("llama", 3);
    gguf_key_u32(&w, "llama.expert_count", 8);
    gguf_key_u32s(&w, "llama.expert_used_count", used, 3);
    for (int i = 0; i < 3; i++) {
        const uint64_t shape[4] = {8, 2, 8, 0}; /* 512 bytes */

        snprintf(name, sizeof(name), "blk.%d.ffn_up_exps.weight", i);
        gguf_tensor(&w, name, T_F32, shape, 512 * (uint64_t)i);
    }
    w.next = 3 * 512;
    open_it();
    ck_assert_uint_eq(gov_model_sparse_pass(model), 64 + 256 + 512);
    ck_assert_uint_eq(gov_model_dense_pass(model), 3 * 512);
    ck_assert_uint_eq(gov_model_active_parameters(model), (64 + 256 + 512) / 4);
}
END_TEST

/* What holds at least a fiftieth of the bytes is named, up to three types. */
START_TEST(names_types)
{
    static const struct {
        uint64_t q4_0, q6_k, f16, q8_0; /* rows of 256 */
        const char *text;
    } rows[] = {
        {100, 0, 0, 0, "Q4_0"},
        {1000, 10, 0, 0, "Q4_0"},            /* 144 000 and 2 100: 1.4 % */
        {1000, 20, 0, 0, "Q4_0, some Q6_K"}, /* 2.8 % */
        {1000, 100, 30, 0, "Q4_0, some Q6_K and F16"},
        {1000, 100, 1, 0, "Q4_0, some Q6_K"},
        {1000, 200, 60, 100, "Q4_0, some Q6_K and F16"},
        {1000, 200, 30, 100, "Q4_0, some Q6_K and Q8_0"},
        {10, 500, 0, 0, "Q6_K"},
    };

    plain_keys("llama", 1);
    gguf_add(&w, "blk.0.a", T_Q4_0, 256, rows[_i].q4_0);
    if (rows[_i].q6_k != 0)
        gguf_add(&w, "blk.0.b", T_Q6_K, 256, rows[_i].q6_k);
    if (rows[_i].f16 != 0)
        gguf_add(&w, "blk.0.c", T_F16, 256, rows[_i].f16);
    if (rows[_i].q8_0 != 0)
        gguf_add(&w, "blk.0.d", T_Q8_0, 256, rows[_i].q8_0);
    open_it();
    ck_assert_str_eq(gov_model_quantization(model), rows[_i].text);
}
END_TEST

/* Of an embedding one row is read, unless it makes the logits, too; a projector
 * is not read at all. */
START_TEST(counts_what_a_pass_reads)
{
    plain_keys("llama", 1);
    gguf_add(&w, "token_embd.weight", T_F32, 8, 50);   /* 32 a row */
    gguf_add(&w, "blk.0.attn_q.weight", T_F32, 8, 10); /* 320 */
    gguf_add(&w, "v.blk.0.attn_q.weight", T_F32, 8, 7);
    if (_i == 0)
        gguf_add(&w, "output.weight", T_F32, 8, 50); /* 1600 */
    open_it();
    ck_assert_uint_eq(gov_model_sparse_pass(model),
                      320 + 1600 + (_i == 0 ? 32 : 0));
    ck_assert_uint_eq(gov_model_dense_pass(model),
                      gov_model_sparse_pass(model));
    ck_assert_uint_eq(gov_model_parameters(model),
                      50 * 8 + 80 + 56 + (_i == 0 ? 400 : 0));
    ck_assert_uint_eq(gov_model_active_parameters(model),
                      80 + 400 + (_i == 0 ? 8 : 0));
}
END_TEST

/* Heads differ by layer, keys and values in length. */
START_TEST(counts_kv_by_layer)
{
    static const uint32_t heads[3] = {1, 0, 3};

    gguf_key_text(&w, "general.architecture", "openelm");
    gguf_key_u32(&w, "openelm.block_count", 3);
    gguf_key_u32(&w, "openelm.embedding_length", 128);
    gguf_key_u32(&w, "openelm.attention.head_count", 4);
    gguf_key_u32s(&w, "openelm.attention.head_count_kv", heads, 3);
    gguf_key_u32(&w, "openelm.attention.key_length", 64);
    gguf_key_u32(&w, "openelm.attention.value_length", 96);
    vector("t");
    open_it();
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_F16),
                      4 * (64 + 96) * 2);
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_Q8_0),
                      4 * (68 + 102));
}
END_TEST

/* Without head_count_kv every head has its own; arrays of signed numbers and
 * single 64-bit ones are as good. */
START_TEST(counts_kv_without_kv_heads)
{
    gguf_key_text(&w, "general.architecture", "gpt2");
    gguf_key(&w, "gpt2.block_count", GGUF_U64);
    gguf_u64(&w, 2);
    gguf_key_u32(&w, "gpt2.embedding_length", 128);
    gguf_key(&w, "gpt2.attention.head_count", GGUF_ARRAY);
    gguf_u32(&w, GGUF_I32);
    gguf_u64(&w, 2);
    gguf_u32(&w, 4);
    gguf_u32(&w, 4);
    vector("t");
    open_it();
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_F16),
                      2 * 4 * 32 * 2 * 2);
}
END_TEST

/* More layers than there can be: the key says nothing. Different lengths by
 * layer: the longest bounds them. */
START_TEST(counts_kv_of_odd_lengths)
{
    static uint32_t lengths[513];

    for (size_t i = 0; i < 513; i++)
        lengths[i] = i == 1 ? 96 : 32;
    plain_keys("llama", 2);
    gguf_key_u32s(&w, "llama.attention.key_length", lengths, _i == 0 ? 513 : 2);
    vector("t");
    open_it();
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_F16),
                      _i == 0 ? 512 : 2 * 2 * (96 + 32) * 2);
}
END_TEST

/* q8_0 wants heads of whole blocks. */
START_TEST(knows_no_q8_kv_for_odd_heads)
{
    plain_keys("llama", 2);
    gguf_key_u32(&w, "llama.attention.key_length", 80);
    vector("t");
    open_it();
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_F16),
                      2 * 2 * (80 + 32) * 2);
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_Q8_0), 0);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_KV_QUANTIZABLE), 0);
}
END_TEST

/* The architecture's name may come behind the keys it prefixes. */
START_TEST(reads_keys_in_any_order)
{
    gguf_key_u32(&w, "qwen2.block_count", 24);
    gguf_key_u32(&w, "llama.block_count", 7);
    gguf_key_texts(&w, "tokenizer.ggml.tokens", 100000); /* past the window */
    gguf_key_text(&w, "general.architecture", "llama");
    gguf_key_u32(&w, "llama_context_length", 1);
    gguf_key_u32(&w, "llama.context_length", 99);
    vector("t");
    open_it();
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_LAYERS), 7);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_CONTEXT_MAX), 99);
}
END_TEST

/* What the header does not say, or says in a way that is not understood, is
 * unknown and not zero. */
START_TEST(leaves_the_rest_unknown)
{
    static const uint32_t lengths[2] = {64, 32};
    static uint32_t many[513];

    for (size_t i = 0; i < 513; i++)
        many[i] = 4;

    if (_i > 0)
        gguf_key_text(&w, "general.architecture", "llama");
    if (_i == 2) {
        gguf_key(&w, "llama.block_count", GGUF_F32);
        gguf_u32(&w, 0x3F800000);
        gguf_key(&w, "llama.embedding_length", GGUF_I32);
        gguf_u32(&w, (uint32_t)-1);
        gguf_key_u32s(&w, "llama.attention.head_count", many, 513);
        gguf_key_u32s(&w, "llama.attention.key_length", lengths, 2);
        gguf_key(&w, "llama.context_length", GGUF_U64);
        gguf_u64(&w, (UINT64_C(1) << 32) + 7);
        gguf_key_u32s(&w, "llama.expert_count", lengths, 2);
        gguf_key_u32s(&w, "llama.feed_forward_length", lengths, 0);
    }
    if (_i >= 3) {
        gguf_key_u32(&w, "llama.block_count", 3);
        gguf_key_u32(&w, "llama.embedding_length", 128);
        gguf_key_u32s(&w, "llama.attention.head_count",
                      _i == 3 ? lengths : many, _i == 3 ? 2 : 513);
    }
    vector("t");
    open_it();
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_LAYERS), _i >= 3 ? 3 : UINT64_MAX);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_CONTEXT_MAX), UINT64_MAX);
    /* Heads that llama.cpp would refuse: not less than rows of the embedding. */
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_KNOWN), 0);
    if (_i >= 3)
        ck_assert_uint_ge(fact(GOV_FACT_MODEL_KV_PER_TOKEN), 3 * 2 * 128 * 2);
    else
        ck_assert_uint_eq(fact(GOV_FACT_MODEL_KV_PER_TOKEN), UINT64_MAX);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_MOE), 0);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_WEIGHTS), 32);
    if (_i == 0)
        ck_assert_ptr_null(text_fact(GOV_FACT_MODEL_ARCHITECTURE));
    else
        ck_assert_str_eq(text_fact(GOV_FACT_MODEL_ARCHITECTURE), "llama");
}
END_TEST

/* An absurd header gives an absurd cost, not a small one by wrapping. */
START_TEST(does_not_wrap)
{
    static const char *const keys[] = {
        "llama.embedding_length", "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.key_length",
        "llama.expert_used_count"};

    gguf_key_text(&w, "general.architecture", "llama");
    gguf_key_u32(&w, "llama.block_count", _i == 0 ? 1 : 512);
    gguf_key_u32(&w, "llama.attention.value_length",
                 _i == 0 ? 32 : UINT32_MAX - 31);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        gguf_key_u32(&w, keys[i], UINT32_MAX - 31);
    vector("t");
    open_it();
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_F16), UINT64_MAX);
    ck_assert_uint_eq(gov_model_kv_per_token(model, GOV_KV_Q8_0), UINT64_MAX);
    ck_assert_uint_eq(fact(GOV_FACT_MODEL_COMPUTE), INT64_MAX);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("model");
    TCase *t = tcase_create("model");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, groups_a_plain_file);
    tcase_add_test(t, orders_by_first_use);
    tcase_add_test(t, splits_what_is_scattered);
    tcase_add_test(t, knows_tables_and_stages);
    tcase_add_test(t, passes_over_empty_tensors);
    tcase_add_test(t, groups_fused_experts);
    tcase_add_loop_test(t, groups_single_experts, 0, 2);
    tcase_add_loop_test(t, slices_no_other_stack, 0, 2);
    tcase_add_loop_test(t, knows_names, 0, sizeof(names) / sizeof(names[0]));
    tcase_add_test(t, keeps_projectors_apart);
    tcase_add_test(t, knows_shared_pages);
    tcase_add_test(t, answers_of_many_units);
    tcase_add_test(t, counts_a_plain_model);
    tcase_add_test(t, counts_a_tied_model);
    tcase_add_test(t, counts_experts);
    tcase_add_test(t, counts_a_layer_in_pieces);
    tcase_add_test(t, finds_experts_in_the_slowest_dimension);
    tcase_add_test(t, counts_experts_used_by_layer);
    tcase_add_test(t, knows_an_only_expert);
    tcase_add_loop_test(t, names_methods, 0, 4);
    tcase_add_loop_test(t, names_types, 0, 8);
    tcase_add_loop_test(t, counts_what_a_pass_reads, 0, 2);
    tcase_add_test(t, counts_kv_by_layer);
    tcase_add_test(t, counts_kv_without_kv_heads);
    tcase_add_loop_test(t, counts_kv_of_odd_lengths, 0, 2);
    tcase_add_test(t, knows_no_q8_kv_for_odd_heads);
    tcase_add_test(t, reads_keys_in_any_order);
    tcase_add_loop_test(t, leaves_the_rest_unknown, 0, 5);
    tcase_add_loop_test(t, does_not_wrap, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
