/* SPDX-License-Identifier: MIT */
/* What models keep between tokens, from the numbers of published ones and from
 * a small header that each architecture reads its own way. Expected numbers are
 * worked out by hand beside each row; the same rules were compared with what
 * llama.cpp v0.5.0 allocates. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "governor/model/architectures.h"
#include "governor/model/state.h"
#include "tests/support/run.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- headers ------------------------------------------------------------- */

static void *take(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static void drop(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static const struct gov_alloc memory = {.alloc = take, .release = drop};

/* A number: `count` values, of which the first `period` repeat. A period of 0
 * ends a list of them; a count of 0 alone takes the number away. */
struct given {
    enum gov__key key;
    uint32_t count, period;
    uint32_t values[16];
};

#define ONE(id, value)                                                         \
    {                                                                          \
        GOV__KEY_##id, 1, 1,                                                   \
        {                                                                      \
            value                                                              \
        }                                                                      \
    }
#define LIST(id, count, period, ...)                                           \
    {                                                                          \
        GOV__KEY_##id, count, period,                                          \
        {                                                                      \
            __VA_ARGS__                                                        \
        }                                                                      \
    }
#define NOT(id)                                                                \
    {                                                                          \
        GOV__KEY_##id, 0, 1,                                                   \
        {                                                                      \
            0                                                                  \
        }                                                                      \
    }

static void set_numbers(struct gov__header *header, const struct given *given,
                        size_t room)
{
    for (size_t i = 0; i < room && given[i].period != 0; i++) {
        uint32_t values[600];

        for (uint32_t n = 0; n < given[i].count; n++)
            values[n] = given[i].values[n % given[i].period];
        ck_assert(
            gov__header_set(header, given[i].key, values, given[i].count));
    }
}

static void start(struct gov__header *header, const char *architecture)
{
    gov__header_init(header, "gguf", &memory);
    ck_assert_uint_lt(strlen(architecture), sizeof(header->architecture));
    strncpy(header->architecture, architecture,
            sizeof(header->architecture) - 1);
}

/* The layers add up to the whole. */
static void check_layers(const struct gov__header *header,
                         const struct gov__state *state, const char *name)
{
    struct gov__state sum = {0};
    struct gov__layer_state layer;

    for (uint32_t i = 0; i < state->layers; i++) {
        gov__state_layer(header, state, i, &layer);
        sum.state += layer.state;
        if (layer.window) {
            sum.window_k += layer.k;
            sum.window_v += layer.v;
            sum.plain_window_v += layer.plain_v;
        } else {
            sum.k += layer.k;
            sum.v += layer.v;
            sum.plain_v += layer.plain_v;
        }
    }
    ck_assert_msg(sum.k == state->k && sum.v == state->v &&
                      sum.plain_v == state->plain_v &&
                      sum.window_k == state->window_k &&
                      sum.window_v == state->window_v &&
                      sum.plain_window_v == state->plain_window_v &&
                      sum.state == state->state,
                  "%s: the layers do not add up", name);
    gov__state_layer(header, state, state->layers, &layer);
    ck_assert_msg(layer.k == 0 && layer.v == 0 && layer.state == 0,
                  "%s: a layer behind the last", name);
}

/* ---- published models ---------------------------------------------------- */

#define LLAMA(layers, width, heads, kv)                                        \
    ONE(BLOCKS, layers), ONE(EMBEDDING, width), ONE(HEADS, heads),             \
        ONE(HEADS_KV, kv)
#define LENGTHS(length) ONE(KEY_LENGTH, length), ONE(VALUE_LENGTH, length)
#define MLA_LENGTHS                                                            \
    ONE(KEY_LENGTH, 576), ONE(VALUE_LENGTH, 512), ONE(KEY_LENGTH_MLA, 192),    \
        ONE(VALUE_LENGTH_MLA, 128), ONE(KV_LORA_RANK, 512)
#define SSM(kernel, inner, state, groups)                                      \
    ONE(SSM_CONV_KERNEL, kernel), ONE(SSM_INNER, inner),                       \
        ONE(SSM_STATE, state), ONE(SSM_GROUPS, groups)

/* clang-format off */
/* Bytes at a context of 8192 in f16, with batches of 512 and one sequence. */
static const struct model {
    const char *name, *architecture;
    struct given given[16];
    uint64_t kv, state;
    uint32_t block; /* of keys */
} models[] = {
    /* 32 layers of 8 heads of 4096 / 32, K and V */
    {"Llama 3.1 8B", "llama", {LLAMA(32, 4096, 32, 8)},
     UINT64_C(32) * 8192 * (8 * 128 + 8 * 128) * 2, 0, 128},
    {"Mixtral 8x7B", "llama", {LLAMA(32, 4096, 32, 8), ONE(EXPERTS, 8)},
     UINT64_C(32) * 8192 * (8 * 128 + 8 * 128) * 2, 0, 128},
    /* 4 heads of 3584 / 28 */
    {"Qwen2.5 7B", "qwen2", {LLAMA(28, 3584, 28, 4)},
     UINT64_C(28) * 8192 * (4 * 128 + 4 * 128) * 2, 0, 128},
    /* heads of 128, not of 2048 / 32 */
    {"Qwen3 30B-A3B", "qwen3moe", {LLAMA(48, 2048, 32, 4), LENGTHS(128)},
     UINT64_C(48) * 8192 * (4 * 128 + 4 * 128) * 2, 0, 128},
    /* every other layer has 4096 + 512 cells */
    {"Gemma 2 9B", "gemma2",
     {LLAMA(42, 3584, 16, 8), LENGTHS(256), ONE(WINDOW, 4096)},
     UINT64_C(21) * (8192 + 4608) * (8 * 256 + 8 * 256) * 2, 0, 256},
    /* full: 5, 11, 17, 23, 29; the other 29 have 1024 + 512 cells */
    {"Gemma 3 4B", "gemma3",
     {LLAMA(34, 2560, 8, 4), LENGTHS(256), ONE(WINDOW, 1024)},
     (UINT64_C(5) * 8192 + 29 * 1536) * (4 * 256 + 4 * 256) * 2, 0, 256},
    /* 62 = 10 * 6 + 2 */
    {"Gemma 3 27B", "gemma3",
     {LLAMA(62, 5376, 32, 16), LENGTHS(128), ONE(WINDOW, 1024)},
     (UINT64_C(10) * 8192 + 52 * 1536) * (16 * 128 + 16 * 128) * 2, 0, 128},
    /* of 35 layers 20 have a cache, 4 of these for everything */
    {"Gemma 3n E4B", "gemma3n",
     {LLAMA(35, 2048, 8, 2), LENGTHS(256), ONE(WINDOW, 512),
      LIST(WINDOW_PATTERN, 35, 5, 1, 1, 1, 1, 0)},
     (UINT64_C(4) * 8192 + 16 * 1024) * (2 * 256 + 2 * 256) * 2, 0, 256},
    /* llama.cpp has no window here, whatever the file says; heads of 96 */
    {"Phi-3-mini", "phi3", {LLAMA(32, 3072, 32, 32), ONE(WINDOW, 2047)},
     UINT64_C(32) * 8192 * (32 * 96 + 32 * 96) * 2, 0, 32},
    /* a latent of 512 and 64 for position, one for all heads, no V */
    {"DeepSeek-V2-Lite", "deepseek2", {LLAMA(27, 2048, 16, 1), MLA_LENGTHS},
     UINT64_C(27) * 8192 * 576 * 2, 0, 64},
    {"DeepSeek-V3", "deepseek2", {LLAMA(61, 7168, 128, 1), MLA_LENGTHS},
     UINT64_C(61) * 8192 * 576 * 2, 0, 64},
    /* 12 of 24 have 128 + 512 cells, in whole 256 */
    {"gpt-oss-20b", "gpt-oss",
     {LLAMA(24, 2880, 64, 8), LENGTHS(64), ONE(WINDOW, 128)},
     UINT64_C(12) * (8192 + 768) * (8 * 64 + 8 * 64) * 2, 0, 64},
    /* of 5120 channels 3 past inputs and 16 states */
    {"Mamba 2.8B", "mamba",
     {ONE(BLOCKS, 64), ONE(EMBEDDING, 2560), ONE(HEADS, 0),
      SSM(4, 5120, 16, 0)}, 0, UINT64_C(64) * (3 * 5120 + 16 * 5120) * 4, 0},
    /* every layer has both */
    {"Falcon-H1 1.5B", "falcon-h1",
     {LLAMA(24, 2048, 8, 2), LENGTHS(128), SSM(4, 3072, 256, 1)},
     UINT64_C(24) * 8192 * (2 * 128 + 2 * 128) * 2,
     UINT64_C(24) * (3 * (3072 + 2 * 256) + 256 * 3072) * 4, 128},
    /* attention in layers 4, 12, 20 and 28 */
    {"Jamba v0.1", "jamba",
     {ONE(BLOCKS, 32), ONE(EMBEDDING, 4096), ONE(HEADS, 32),
      LIST(HEADS_KV, 32, 8, 0, 0, 0, 0, 8, 0, 0, 0), SSM(4, 8192, 16, 0)},
     UINT64_C(4) * 8192 * (8 * 128 + 8 * 128) * 2,
     UINT64_C(28) * (3 * 8192 + 16 * 8192) * 4, 128},
    /* attention in every fourth of 48; 16 groups of keys and queries */
    {"Qwen3-Next 80B", "qwen3next",
     {LLAMA(48, 2048, 16, 2), LENGTHS(256), SSM(4, 4096, 128, 16)},
     UINT64_C(12) * 8192 * (2 * 256 + 2 * 256) * 2,
     UINT64_C(36) * (3 * (4096 + 2 * 16 * 128) + 128 * 4096) * 4, 256},
    /* attention in 2, 5, 8, 10, 12 and 14; else two past inputs */
    {"LFM2 1.2B", "lfm2",
     {ONE(BLOCKS, 16), ONE(EMBEDDING, 2048), ONE(HEADS, 32),
      LIST(HEADS_KV, 16, 16, 0, 0, 8, 0, 0, 8, 0, 0, 8, 0, 8, 0, 8, 0, 8, 0),
      ONE(SHORTCONV, 3)}, UINT64_C(6) * 8192 * (8 * 64 + 8 * 64) * 2,
     UINT64_C(10) * 2 * 2048 * 4, 64},
    /* two past inputs and 40 heads of 64 by 64 */
    {"RWKV-7 World 2.9B", "rwkv7",
     {ONE(BLOCKS, 32), ONE(EMBEDDING, 2560), ONE(WKV_HEAD, 64)}, 0,
     UINT64_C(32) * (2 * 2560 + 40 * 64 * 64) * 4, 0},
    {"bge-large", "bert", {LLAMA(24, 1024, 16, 16)}, 0, 0, 64},
    /* the decoder's; that of the encoder has as many layers */
    {"Flan-T5 large", "t5",
     {ONE(BLOCKS, 24), ONE(EMBEDDING, 1024), ONE(HEADS, 16), LENGTHS(64)},
     UINT64_C(24) * 8192 * (16 * 64 + 16 * 64) * 2, 0, 64},
    /* attention in 5, 15, 25 and 35 */
    {"Granite 4.0 H Tiny", "granitehybrid",
     {ONE(BLOCKS, 40), ONE(EMBEDDING, 1536), ONE(HEADS, 12),
      LIST(HEADS_KV, 40, 10, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0),
      SSM(4, 3072, 128, 1)}, UINT64_C(4) * 8192 * (4 * 128 + 4 * 128) * 2,
     UINT64_C(36) * (3 * (3072 + 2 * 128) + 128 * 3072) * 4, 128},
    /* one in four sees everything, the others 4096 + 512 */
    {"Command R7B", "cohere2", {LLAMA(32, 4096, 32, 8), ONE(WINDOW, 4096)},
     (UINT64_C(8) * 8192 + 24 * 4608) * (8 * 128 + 8 * 128) * 2, 0, 128},
    /* chunks of 8192 that the file does not speak of: all within the context */
    {"Llama 4 Scout", "llama4", {LLAMA(48, 5120, 40, 8), LENGTHS(128)},
     UINT64_C(48) * 8192 * (8 * 128 + 8 * 128) * 2, 0, 128},
};
/* clang-format on */

static uint64_t padded(uint64_t cells)
{
    return (cells + 255) / 256 * 256;
}

START_TEST(a_published_model_keeps_what_it_keeps)
{
    const struct model *m = &models[_i];
    struct gov__header header;
    struct gov__state s;
    uint64_t window, bytes;

    start(&header, m->architecture);
    set_numbers(&header, m->given, COUNT(m->given));
    gov__state_of(&header, &s);
    window = s.window + 512 < 8192 ? padded(s.window + 512) : 8192;
    ck_assert_msg(s.known, "%s is not known", m->name);
    ck_assert_uint_eq(s.cacheless, strcmp(m->architecture, "bert") == 0);
    bytes = (s.k + s.v) * 2 * 8192 + (s.window_k + s.window_v) * 2 * window;
    ck_assert_msg(bytes == m->kv, "%s: %llu bytes, want %llu", m->name,
                  (unsigned long long)bytes, (unsigned long long)m->kv);
    ck_assert_msg(s.state == m->state, "%s: state of %llu, want %llu", m->name,
                  (unsigned long long)s.state, (unsigned long long)m->state);
    ck_assert_msg(s.k_block == m->block, "%s: heads of blocks of %u", m->name,
                  (unsigned)s.k_block);
    ck_assert_uint_eq(s.least_k, s.k);
    ck_assert_uint_eq(s.least_v, s.v);
    ck_assert_uint_eq(s.least_state, s.state);
    check_layers(&header, &s, m->name);
    gov__header_fini(&header);
}
END_TEST

/* ---- what each architecture does with the same numbers ------------------- */

/* 12 layers; a layer's K is 2 heads of 64, its V 2 of 32. There are numbers for
 * everything an architecture might read. */
static const struct given small[] = {
    ONE(BLOCKS, 12),
    ONE(CONTEXT, 4096),
    ONE(EMBEDDING, 256),
    ONE(HEADS, 4),
    ONE(HEADS_KV, 2),
    ONE(KEY_LENGTH, 64),
    ONE(VALUE_LENGTH, 32),
    ONE(KEY_LENGTH_MLA, 24),
    ONE(VALUE_LENGTH_MLA, 16),
    ONE(KV_LORA_RANK, 48),
    ONE(FEED_FORWARD, 0),
    ONE(WINDOW, 1000),
    ONE(SHARED_KV_LAYERS, 4),
    ONE(DENSE_LEAD, 3),
    ONE(INDEXER_KEY_LENGTH, 128),
    ONE(INDEXER_TOP_K, 8),
    ONE(SSM_CONV_KERNEL, 4),
    ONE(SSM_INNER, 100),
    ONE(SSM_STATE, 10),
    ONE(SSM_GROUPS, 2),
    ONE(WKV_HEAD, 64),
    ONE(SHORTCONV, 3),
    ONE(KDA_HEAD, 8),
};

#define K UINT64_C(128)
#define V UINT64_C(64)
#define SSM1 (UINT64_C(4) * (3 * 100 + 1000))
#define SSM2 (UINT64_C(4) * (3 * (100 + 2 * 2 * 10) + 1000))
#define WKV (UINT64_C(4) * (2 * 256 + 64 * 256))
/* 3 convolutions of 3 past inputs for 4 heads of 8, and 4 states of 8 by 8 */
#define KDA (UINT64_C(4) * (3 * 3 * 32 + 4 * 8 * 8))
#define LIGHTNING (UINT64_C(4) * 4 * 64 * 64)
#define MIXED LIST(HEADS_KV, 12, 3, 2, 0, 2)
#define WINDOWS LIST(WINDOW_PATTERN, 12, 3, 1, 1, 0)

/* clang-format off */
static const struct rule {
    const char *what, *architecture;
    struct given given[8];
    uint64_t k, v, window_k, window_v, window, state;
} rules[] = {
    /* windows: all but the last, or the first, in each period */
    {"", "afmoe", {{0}}, 3 * K, 3 * V, 9 * K, 9 * V, 1000, 0},
    {"none", "afmoe", {ONE(WINDOW, 0)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"", "gemma3", {{0}}, 2 * K, 2 * V, 10 * K, 10 * V, 1000, 0},
    {"none", "gemma3", {NOT(WINDOW)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"", "mellum", {{0}}, 3 * K, 3 * V, 9 * K, 9 * V, 1000, 0},
    {"none", "mellum", {NOT(WINDOW)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"", "olmo2", {{0}}, 3 * K, 3 * V, 9 * K, 9 * V, 1000, 0},
    {"none", "olmo2", {NOT(WINDOW)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"", "plamo3", {ONE(BLOCKS, 16)}, 2 * K, 2 * V, 14 * K, 14 * V, 1000, 0},
    {"none", "plamo3", {NOT(WINDOW)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"the first of 13 is full: 0, 4, 8, 12", "laguna", {ONE(BLOCKS, 13)}, 4 * K,
     4 * V, 9 * K, 9 * V, 1000, 0},
    {"none", "laguna", {NOT(WINDOW)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"", "cohere2", {{0}}, 3 * K, 3 * V, 9 * K, 9 * V, 1000, 0},
    {"full: 3, 7, 11 of 13", "cohere2", {ONE(BLOCKS, 13)}, 3 * K, 3 * V, 10 * K,
     10 * V, 1000, 0},
    {"another period", "cohere2", {ONE(WINDOW_PATTERN, 6)}, 2 * K, 2 * V,
     10 * K, 10 * V, 1000, 0},
    {"no period: all", "cohere2", {ONE(WINDOW_PATTERN, 0)}, 0, 0, 12 * K,
     12 * V, 1000, 0},
    {"a period of 1: none", "cohere2", {ONE(WINDOW_PATTERN, 1)}, 12 * K, 12 * V,
     0, 0, 0, 0},
    {"listed", "cohere2", {WINDOWS}, 4 * K, 4 * V, 8 * K, 8 * V, 1000, 0},
    {"a short list", "cohere2", {LIST(WINDOW_PATTERN, 5, 5, 1, 1, 0, 1, 1)},
     8 * K, 8 * V, 4 * K, 4 * V, 1000, 0},
    {"other heads in windows", "cohere2",
     {ONE(KEY_LENGTH_WINDOW, 32), ONE(VALUE_LENGTH_WINDOW, 16)}, 3 * K, 3 * V,
     9 * 2 * 32, 9 * 2 * 16, 1000, 0},
    {"", "exaone-moe", {{0}}, 3 * K, 3 * V, 9 * K, 9 * V, 1000, 0},
    {"", "muse-glimmer", {{0}}, 3 * K, 3 * V, 9 * K, 9 * V, 1000, 0},
    {"", "gpt-oss", {{0}}, 6 * K, 6 * V, 6 * K, 6 * V, 1000, 0},
    {"the first of 13 is full", "cohere2moe", {ONE(BLOCKS, 13)}, 4 * K, 4 * V,
     9 * K, 9 * V, 1000, 0},
    {"", "gemma2", {{0}}, 6 * K, 6 * V, 6 * K, 6 * V, 1000, 0},
    {"4096", "gemma2", {NOT(WINDOW)}, 6 * K, 6 * V, 6 * K, 6 * V, 4096, 0},
    {"not its size", "exaone4", {{0}}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"its size", "exaone4", {ONE(BLOCKS, 64)}, 16 * K, 16 * V, 48 * K, 48 * V,
     1000, 0},
    {"its size, 4096", "exaone4", {ONE(BLOCKS, 64), NOT(WINDOW)}, 16 * K,
     16 * V, 48 * K, 48 * V, 4096, 0},
    {"always 8192", "llama4", {{0}}, 3 * K, 3 * V, 9 * K, 9 * V, 8192, 0},
    {"8192", "llama4", {NOT(WINDOW)}, 3 * K, 3 * V, 9 * K, 9 * V, 8192, 0},
    {"none", "llama4", {ONE(WINDOW, 0)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"always 4096, the first of 13 full", "smallthinker", {ONE(BLOCKS, 13)},
     4 * K, 4 * V, 9 * K, 9 * V, 4096, 0},
    {"none", "smallthinker", {NOT(WINDOW)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"none", "smallthinker", {ONE(WINDOW, 0)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"", "granite_swa", {WINDOWS}, 4 * K, 4 * V, 8 * K, 8 * V, 1000, 0},
    {"", "maple", {WINDOWS}, 4 * K, 4 * V, 8 * K, 8 * V, 1000, 0},
    {"", "mimo2", {WINDOWS}, 4 * K, 4 * V, 8 * K, 8 * V, 1000, 0},
    {"", "spark2_5", {WINDOWS}, 4 * K, 4 * V, 8 * K, 8 * V, 1000, 0},
    {"", "step35", {WINDOWS}, 4 * K, 4 * V, 8 * K, 8 * V, 1000, 0},
    {"", "dflash", {WINDOWS}, 4 * K, 4 * V, 8 * K, 8 * V, 1000, 0},
    {"none", "dflash", {NOT(WINDOW)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"a draft for DeepSeek-V4", "dflash", {ONE(HYPER_CONNECTIONS, 4)}, 0, 0,
     12 * K, 12 * V, 1000, 0},
    /* shared: 8 of 12 remain, of which 2 and 5 are full; or 20 of 22, of which
     * 4, 9, 14 and 19 are */
    {"", "gemma4", {WINDOWS}, 2 * K, 2 * V, 6 * K, 6 * V, 1000, 0},
    {"two left, with windows", "gemma4", {WINDOWS, ONE(SHARED_KV_LAYERS, 10)},
     0, 0, 2 * K, 2 * V, 1000, 0},
    {"none shared", "gemma4", {WINDOWS, NOT(SHARED_KV_LAYERS)}, 4 * K, 4 * V,
     8 * K, 8 * V, 1000, 0},
    {"", "gemma3n", {ONE(BLOCKS, 22)}, 4 * K, 4 * V, 16 * K, 16 * V, 1000, 0},
    {"few layers", "gemma3n", {{0}}, 2 * K, 2 * V, 10 * K, 10 * V, 1000, 0},
    /* latents: no V */
    {"", "deepseek2", {{0}}, 12 * K, 0, 0, 0, 0, 0},
    {"old", "deepseek2", {NOT(KEY_LENGTH_MLA)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"", "mistral4", {{0}}, 12 * K, 0, 0, 0, 0, 0},
    {"old", "mistral4", {NOT(VALUE_LENGTH_MLA)}, 12 * K, 12 * V, 0, 0, 0, 0},
    /* indexers: one head of 128 */
    {"", "deepseek32", {{0}}, 12 * K + 12 * 128, 0, 0, 0, 0, 0},
    {"old: with V of one head", "deepseek32", {NOT(KEY_LENGTH_MLA)},
     12 * K + 12 * 128, 12 * V + 12 * 32, 0, 0, 0, 0},
    {"", "glm-dsa", {{0}}, 12 * K + 12 * 128, 0, 0, 0, 0, 0},
    {"listed", "glm-dsa", {LIST(INDEXER_TYPES, 12, 4, 1, 0, 0, 0)},
     12 * K + 3 * 128, 0, 0, 0, 0, 0},
    {"5.2: in 0, 1, 2, 6, 10", "glm-dsa", {ONE(CONTEXT, 1048576)},
     12 * K + 5 * 128, 0, 0, 0, 0, 0},
    {"5.2: in 0, 1, 2 and each fourth up to 74", "glm-dsa",
     {ONE(CONTEXT, 1048576), ONE(BLOCKS, 90)}, 90 * K + 21 * 128, 0, 0, 0, 0,
     0},
    {"5.1", "glm-dsa", {ONE(CONTEXT, 1048575)}, 12 * K + 12 * 128, 0, 0, 0, 0,
     0},
    {"in full layers", "dots3note",
     {WINDOWS, LIST(INDEXER_TYPES, 12, 3, 0, 0, 1)}, 4 * K + 4 * 128, 0, 8 * K,
     0, 1000, 0},
    {"a short list", "dots3note", {WINDOWS, LIST(INDEXER_TYPES, 2, 2, 0, 0)},
     4 * K, 0, 8 * K, 0, 1000, 0},
    {"of one layer", "dots3note",
     {ONE(BLOCKS, 1), ONE(WINDOW_PATTERN, 0), ONE(INDEXER_TYPES, 1)},
     K + 128, 0, 0, 0, 0, 0},
    {"in half of the layers", "hy_v4", {LIST(INDEXER_TYPES, 12, 2, 1, 0)},
     12 * K + 6 * 128, 0, 0, 0, 0, 0},
    {"not used", "hy_v4", {NOT(INDEXER_TOP_K)}, 12 * K, 0, 0, 0, 0, 0},
    {"behind 3 layers, with V of one head", "minimax-m3", {{0}},
     12 * K + 9 * 128, 12 * V + 9 * 32, 0, 0, 0, 0},
    /* recurrent layers */
    {"", "mamba", {{0}}, 0, 0, 0, 0, 0, 12 * SSM1},
    {"", "mamba2", {{0}}, 0, 0, 0, 0, 0, 12 * SSM2},
    {"", "rwkv6", {{0}}, 0, 0, 0, 0, 0, 12 * WKV},
    {"", "rwkv6qwen2", {{0}}, 0, 0, 0, 0, 0, 12 * WKV},
    {"", "rwkv7", {{0}}, 0, 0, 0, 0, 0, 12 * WKV},
    {"one input shifted", "arwkv7", {ONE(TOKEN_SHIFT, 1)}, 0, 0, 0, 0, 0,
     12 * (WKV - 4 * 256)},
    {"", "jamba", {MIXED}, 8 * K, 8 * V, 0, 0, 0, 4 * SSM1},
    {"", "plamo2", {MIXED}, 8 * K, 8 * V, 0, 0, 0, 4 * SSM2},
    {"no heads in the first layer", "plamo2",
     {LIST(HEADS, 12, 2, 0, 4), LIST(HEADS_KV, 12, 2, 0, 2)}, 6 * K, 6 * V, 0,
     0, 0, 6 * SSM2},
    {"no heads in the first layer, so no lengths", "jamba",
     {LIST(HEADS, 12, 2, 0, 4), LIST(HEADS_KV, 12, 2, 0, 2)}, 0, 0, 0, 0, 0,
     6 * SSM1},
    {"", "granitehybrid", {MIXED}, 8 * K, 8 * V, 0, 0, 0, 4 * SSM2},
    {"further tokens' layer has a cache", "granitehybrid",
     {LIST(HEADS_KV, 12, 12, 2, 0, 2, 2, 0, 2, 2, 0, 2, 2, 0, 0),
      ONE(NEXTN, 1)}, 7 * K, 7 * V, 0, 0, 0, 4 * SSM2},
    {"", "falcon-h1", {{0}}, 12 * K, 12 * V, 0, 0, 0, 12 * SSM2},
    /* with a feed-forward part a layer is neither */
    {"", "nemotron_h",
     {LIST(HEADS_KV, 12, 4, 2, 0, 2, 0),
      LIST(FEED_FORWARD, 12, 6, 0, 0, 9, 9, 0, 0)},
     4 * K, 4 * V, 0, 0, 0, 4 * SSM2},
    {"", "nemotron_h_moe",
     {LIST(HEADS_KV, 12, 4, 2, 0, 2, 0),
      LIST(FEED_FORWARD, 12, 6, 0, 0, 9, 9, 0, 0)},
     4 * K, 4 * V, 0, 0, 0, 4 * SSM2},
    {"", "qwen3next", {{0}}, 3 * K, 3 * V, 0, 0, 0, 9 * SSM2},
    {"", "qwen35", {{0}}, 3 * K, 3 * V, 0, 0, 0, 9 * SSM2},
    {"", "qwen35moe", {{0}}, 3 * K, 3 * V, 0, 0, 0, 9 * SSM2},
    {"every third", "qwen35", {ONE(FULL_INTERVAL, 3)}, 4 * K, 4 * V, 0, 0, 0,
     8 * SSM2},
    {"listed", "qwen35", {LIST(RECURRENT_LAYERS, 12, 3, 1, 1, 0)},
     4 * K, 4 * V, 0, 0, 0, 8 * SSM2},
    {"two layers for further tokens: 3 and 7 of 10", "qwen35", {ONE(NEXTN, 2)},
     2 * K, 2 * V, 0, 0, 0, 8 * SSM2},
    {"with an indexer, without V for it", "qwen4exp", {{0}}, 3 * K + 3 * 128,
     3 * V, 0, 0, 0, 9 * SSM2},
    {"and 3 past inputs of 3 tokens and 4 streams in layer 1", "qwen4exp",
     {LIST(PLE_LAYERS, 1, 1, 1), ONE(PLE_NGRAM, 3), ONE(PLE_CONV_KERNEL, 4),
      ONE(HYPER_CONNECTIONS, 4)}, 3 * K + 3 * 128, 3 * V, 0, 0, 0,
     9 * SSM2 + UINT64_C(4) * 3 * 3 * 4 * 256},
    {"", "minimax-01", {ONE(BLOCKS, 16)}, 2 * K, 2 * V, 0, 0, 0,
     14 * LIGHTNING},
    {"", "lfm2moe", {MIXED}, 8 * K, 8 * V, 0, 0, 0, 4 * UINT64_C(4) * 2 * 256},
    {"attention with a window", "lfm2", {MIXED}, 0, 0, 8 * K, 8 * V, 1000,
     4 * UINT64_C(4) * 2 * 256},
    {"whatever is listed", "lfm2", {MIXED, WINDOWS}, 0, 0, 8 * K, 8 * V, 1000,
     4 * UINT64_C(4) * 2 * 256},
    {"", "kimi-linear", {MIXED}, 8 * K, 0, 0, 0, 0, 4 * KDA},
    {"", "kimi-k3", {MIXED}, 8 * K, 0, 0, 0, 0, 4 * KDA},
    {"", "bailingmoe3", {MIXED}, 8 * K, 0, 0, 0, 0, 4 * KDA},
    /* layers for further tokens */
    {"left out", "glm4moe", {ONE(NEXTN, 2)}, 10 * K, 10 * V, 0, 0, 0, 0},
    {"nothing else", "glm4moe", {ONE(NEXTN, 12)}, 12 * K, 12 * V, 0, 0, 0, 0},
    {"left out", "deepseek32", {ONE(NEXTN, 2)}, 10 * K + 10 * 128, 0, 0, 0, 0,
     0},
    {"nothing else", "deepseek32", {ONE(NEXTN, 12)}, 0, 0, 0, 0, 0, 0},
    {"left out", "mamba", {ONE(NEXTN, 1)}, 0, 0, 0, 0, 0, 11 * SSM1},
    {"left out", "glm-dsa", {ONE(NEXTN, 2)}, 10 * K + 10 * 128, 0, 0, 0, 0, 0},
    {"left out, though listed", "dots3note",
     {WINDOWS, LIST(INDEXER_TYPES, 12, 3, 0, 0, 1), ONE(NEXTN, 1)},
     3 * K + 3 * 128, 0, 8 * K, 0, 1000, 0},
    {"kept", "minimax-m3", {ONE(NEXTN, 2)}, 12 * K + 9 * 128, 12 * V + 9 * 32,
     0, 0, 0, 0},
    {"kept", "hy_v4", {ONE(NEXTN, 2), NOT(INDEXER_TOP_K)}, 12 * K, 0, 0, 0, 0,
     0},
    /* other numbers of layers */
    {"a router of one head", "graniteswitch", {{0}}, 12 * K + 64, 12 * V + 32,
     0, 0, 0, 0},
    {"the most", "llama", {ONE(BLOCKS, 512)}, 512 * K, 512 * V, 0, 0, 0, 0},
    {"the most", "nanbeige", {ONE(BLOCKS, 1), ONE(LOOPS, 512)}, 512 * K,
     512 * V, 0, 0, 0, 0},
    {"three times", "nanbeige", {ONE(LOOPS, 3)}, 36 * K, 36 * V, 0, 0, 0, 0},
    {"twice, by layer", "nanbeige",
     {ONE(LOOPS, 2), LIST(HEADS_KV, 12, 2, 1, 3)}, 24 * K, 24 * V, 0, 0, 0, 0},
    /* heads */
    {"one number a layer", "deci", {LIST(HEADS_KV, 12, 4, 1, 2, 0, 4)},
     3 * 7 * 64, 3 * 7 * 32, 0, 0, 0, 0},
    {"as many as queries", "llama", {NOT(HEADS_KV)}, 24 * K, 24 * V, 0, 0, 0,
     0},
    {"of the width", "llama", {NOT(KEY_LENGTH), NOT(VALUE_LENGTH)}, 12 * 2 * 64,
     12 * 2 * 64, 0, 0, 0, 0},
    {"of the width by the first layer's heads", "openelm",
     {NOT(KEY_LENGTH), NOT(VALUE_LENGTH), LIST(HEADS, 12, 2, 8, 4)},
     12 * 2 * 32, 12 * 2 * 32, 0, 0, 0, 0},
    /* nothing at all */
    {"", "clip", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "bert", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "jina-bert-v2", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "jina-bert-v3", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "nomic-bert", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "nomic-bert-moe", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "neo-bert", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "eurobert", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "wavtokenizer-dec", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "modern-bert", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "gemma-embedding", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "gemma4-assistant", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "dream", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "llada", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "llada-moe", {{0}}, 0, 0, 0, 0, 0, 0},
    {"", "rnd1", {{0}}, 0, 0, 0, 0, 0, 0},
};
/* clang-format on */

START_TEST(an_architecture_reads_a_header_its_own_way)
{
    const struct rule *r = &rules[_i];
    struct gov__header header;
    struct gov__state s;

    start(&header, r->architecture);
    set_numbers(&header, small, COUNT(small));
    set_numbers(&header, r->given, COUNT(r->given));
    gov__state_of(&header, &s);
    ck_assert_msg(s.known, "%s %s: not known", r->architecture, r->what);
    ck_assert_msg(
        s.k == r->k && s.v == r->v && s.window_k == r->window_k &&
            s.window_v == r->window_v && s.window == r->window &&
            s.state == r->state,
        "%s %s: k %llu v %llu window k %llu v %llu of %llu state %llu",
        r->architecture, r->what, (unsigned long long)s.k,
        (unsigned long long)s.v, (unsigned long long)s.window_k,
        (unsigned long long)s.window_v, (unsigned long long)s.window,
        (unsigned long long)s.state);
    ck_assert_msg(s.cacheless == (r->k + r->window_k + r->state == 0 &&
                                  strcmp(r->what, "nothing else") != 0),
                  "%s %s: cacheless is %d", r->architecture, r->what,
                  s.cacheless);
    check_layers(&header, &s, r->architecture);
    gov__header_fini(&header);
}
END_TEST

/* Every name in llama.cpp v0.5.0 (LLM_ARCH_NAMES). */
/* clang-format off */
static const char *const names[] = {
    "afmoe", "apertus", "arcee", "arctic", "arwkv7", "baichuan", "bailingmoe",
    "bailingmoe2", "bailingmoe3", "bert", "bitnet", "bloom", "chameleon",
    "chatglm", "clip", "codeshell", "cogvlm", "cohere2", "cohere2moe",
    "command-r", "dbrx", "deci", "deepseek", "deepseek2", "deepseek2-ocr",
    "deepseek32", "deepseek4", "dflash", "dots1", "dots3note", "dream",
    "eagle3", "ernie4_5", "ernie4_5-moe", "eurobert", "exaone", "exaone-moe",
    "exaone4", "falcon", "falcon-h1", "gemma", "gemma-embedding", "gemma2",
    "gemma3", "gemma3n", "gemma4", "gemma4-assistant", "glm-dsa", "glm4",
    "glm4moe", "gpt-oss", "gpt2", "gptj", "gptneox", "granite", "granite_swa",
    "granitehybrid", "granitemoe", "graniteswitch", "grok", "grovemoe",
    "hrm_text", "hunyuan-dense", "hunyuan-moe", "hunyuan_vl", "hy_v3", "hy_v4",
    "internlm2", "jais", "jais2", "jamba", "jina-bert-v2", "jina-bert-v3",
    "kimi-k3", "kimi-linear", "laguna", "lfm2", "lfm2moe", "llada", "llada-moe",
    "llama", "llama-embed", "llama4", "maincoder", "mamba", "mamba2", "maple",
    "mellum", "mimo2", "minicpm", "minicpm3", "minimax-01", "minimax-m2",
    "minimax-m3", "mistral3", "mistral4", "modern-bert", "mpt", "muse-glimmer",
    "nanbeige", "nemotron", "nemotron_h", "nemotron_h_moe", "neo-bert",
    "nomic-bert", "nomic-bert-moe", "olmo", "olmo2", "olmoe", "openelm",
    "orion", "paddleocr", "pangu-embedded", "phi2", "phi3", "phimoe", "plamo",
    "plamo2", "plamo3", "plm", "pockettts", "qwen", "qwen2", "qwen2moe",
    "qwen2vl", "qwen3", "qwen35", "qwen35moe", "qwen3moe", "qwen3next",
    "qwen3tts", "qwen3vl", "qwen3vlmoe", "qwen4exp", "refact", "rnd1", "rwkv6",
    "rwkv6qwen2", "rwkv7", "seed_oss", "smallthinker", "smollm3", "spark2_5",
    "stablelm", "starcoder", "starcoder2", "step35", "t5", "t5encoder",
    "talkie", "wavtokenizer-dec", "xverse"};
/* clang-format on */

static bool has_rule(const char *name)
{
    for (size_t i = 0; i < COUNT(rules); i++)
        if (strcmp(rules[i].architecture, name) == 0)
            return true;
    return false;
}

START_TEST(an_architecture_of_the_engine_is_known)
{
    const char *name = names[_i];
    const struct gov__architecture *found = gov__architecture_find(name);
    struct gov__header header;
    struct gov__state s;

    ck_assert_msg(found != NULL, "%s is missing", name);
    ck_assert_str_eq(found->name, name);
    start(&header, name);
    set_numbers(&header, small, COUNT(small));
    gov__state_of(&header, &s);
    /* One that llama.cpp cannot load, and one that is given as a range. */
    if (strcmp(name, "gptj") == 0 || strcmp(name, "deepseek4") == 0) {
        ck_assert(!s.known);
        ck_assert_uint_eq(s.apart, strcmp(name, "deepseek4") == 0);
    } else if (!has_rule(name) || strcmp(name, "llama") == 0 ||
               strcmp(name, "glm4moe") == 0) {
        /* An ordinary one pays no heed to what others would. */
        ck_assert_msg(s.known && !s.cacheless && s.layers == 12 &&
                          s.k == 12 * K && s.v == 12 * V && s.window_k == 0 &&
                          s.window == 0 && s.state == 0,
                      "%s is not ordinary", name);
        ck_assert_uint_eq(s.no_flash, strcmp(name, "grok") == 0);
        ck_assert(!s.same_type && !s.apart);
    }
    gov__header_fini(&header);
}
END_TEST

START_TEST(names_are_compared_whole)
{
    ck_assert_ptr_null(gov__architecture_find(""));
    ck_assert_ptr_null(gov__architecture_find("llam"));
    ck_assert_ptr_null(gov__architecture_find("llama5"));
    ck_assert_ptr_null(gov__architecture_find("LLAMA"));
}
END_TEST

static const char *const hybrids[] = {
    "jamba",      "plamo2",         "granitehybrid", "falcon-h1",
    "nemotron_h", "nemotron_h_moe", "lfm2",          "lfm2moe",
    "kimi-k3",    "kimi-linear",    "bailingmoe3"};

/* The last of 12 layers predicts a further token; it has heads. */
START_TEST(a_hybrid_has_a_cache_for_further_tokens)
{
    static const struct given given[] = {MIXED, ONE(NEXTN, 1)};
    struct gov__header header;
    struct gov__state s;

    start(&header, hybrids[_i]);
    set_numbers(&header, small, COUNT(small));
    set_numbers(&header, given, COUNT(given));
    gov__state_of(&header, &s);
    ck_assert_msg(s.known && s.k + s.window_k == 8 * K, "%s: k %llu",
                  hybrids[_i], (unsigned long long)(s.k + s.window_k));
    check_layers(&header, &s, hybrids[_i]);
    gov__header_fini(&header);
}
END_TEST

/* ---- types and flash attention ------------------------------------------- */

static struct gov__state state_of(const char *architecture,
                                  const struct given *given, size_t count)
{
    struct gov__header header;
    struct gov__state s;

    start(&header, architecture);
    set_numbers(&header, small, COUNT(small));
    set_numbers(&header, given, count);
    gov__state_of(&header, &s);
    check_layers(&header, &s, architecture);
    gov__header_fini(&header);
    return s;
}

#define STATE_OF(architecture, ...)                                            \
    state_of(architecture, (const struct given[]){__VA_ARGS__},                \
             COUNT(((const struct given[]){__VA_ARGS__})))

START_TEST(blocks_divide_every_head)
{
    struct gov__state s = STATE_OF("llama", LENGTHS(96));

    ck_assert_uint_eq(s.k_block, 32);
    ck_assert_uint_eq(s.v_block, 32);
    s = STATE_OF("llama", ONE(KEY_LENGTH, 80), ONE(VALUE_LENGTH, 1));
    ck_assert_uint_eq(s.k_block, 16);
    ck_assert_uint_eq(s.v_block, 1);
    s = STATE_OF("llama", LENGTHS(512));
    ck_assert_uint_eq(s.k_block, 256);
    /* in windows too, but only where there are any */
    s = STATE_OF("cohere2", ONE(KEY_LENGTH_WINDOW, 40),
                 ONE(VALUE_LENGTH_WINDOW, 20));
    ck_assert_uint_eq(s.k_block, 8);
    ck_assert_uint_eq(s.v_block, 4);
    s = STATE_OF("llama", ONE(KEY_LENGTH_WINDOW, 40));
    ck_assert_uint_eq(s.k_block, 64);
    /* and of an indexer */
    s = STATE_OF("deepseek32", ONE(INDEXER_KEY_LENGTH, 48));
    ck_assert_uint_eq(s.k_block, 16);
    /* llama.cpp looks at the length of values that are not there */
    s = STATE_OF("deepseek2", ONE(VALUE_LENGTH, 8));
    ck_assert_uint_eq(s.v_block, 8);
    s = STATE_OF("kimi-k3", ONE(VALUE_LENGTH, 8), MIXED);
    ck_assert_uint_eq(s.v_block, 16); /* of the latent of 48 */
    s = STATE_OF("mamba", ONE(HEADS, 0));
    ck_assert_uint_eq(s.k_block, 0);
}
END_TEST

START_TEST(latents_want_one_type)
{
    ck_assert(STATE_OF("deepseek2", NOT(WINDOW)).same_type);
    ck_assert(!STATE_OF("deepseek2", NOT(KEY_LENGTH_MLA)).same_type);
    ck_assert(STATE_OF("deepseek4", NOT(WINDOW)).same_type);
    ck_assert(!STATE_OF("llama", NOT(WINDOW)).same_type);
}
END_TEST

/* Each layer's V then is as long as the longest of all layers. */
START_TEST(without_flash_attention_values_are_padded)
{
    struct gov__state s = STATE_OF("deci", LIST(HEADS_KV, 12, 4, 1, 2, 0, 4));

    ck_assert_uint_eq(s.v, 3 * 7 * 32);
    ck_assert_uint_eq(s.plain_v, 12 * 4 * 32);
    s = STATE_OF("cohere2", ONE(VALUE_LENGTH_WINDOW, 16));
    ck_assert_uint_eq(s.window_v, 9 * 2 * 16);
    ck_assert_uint_eq(s.plain_window_v, 9 * V);
    ck_assert_uint_eq(s.plain_v, 3 * V);
    /* the layer for further tokens has no window */
    s = STATE_OF("cohere2", ONE(VALUE_LENGTH_WINDOW, 16),
                 ONE(WINDOW_PATTERN, 0), ONE(NEXTN, 1));
    ck_assert_uint_eq(s.window_v, 11 * 2 * 16);
    ck_assert_uint_eq(s.plain_window_v, 11 * V);
    s = STATE_OF("minimax-m3", NOT(WINDOW));
    ck_assert_uint_eq(s.plain_v, 12 * V + 9 * 32);
    s = STATE_OF("deepseek2", NOT(WINDOW));
    ck_assert_uint_eq(s.plain_v, 0);
}
END_TEST

/* ---- what llama.cpp would refuse ----------------------------------------- */

/* clang-format off */
static const struct refused {
    const char *what, *architecture;
    struct given given[8];
} refused[] = {
    {"no layers said", "llama", {NOT(BLOCKS)}},
    {"no layers", "llama", {ONE(BLOCKS, 0)}},
    {"too many layers", "llama", {ONE(BLOCKS, 513)}},
    {"many layers", "llama", {ONE(BLOCKS, UINT32_MAX)}},
    {"layers as a list", "llama", {LIST(BLOCKS, 2, 1, 12)}},
    {"more for further tokens than layers", "llama", {ONE(NEXTN, 13)}},
    {"no heads said", "llama", {NOT(HEADS)}},
    {"no width", "llama", {NOT(EMBEDDING)}},
    {"a short list of heads", "llama", {LIST(HEADS, 11, 1, 4)}},
    {"a long list of heads", "llama", {LIST(HEADS, 13, 1, 4)}},
    {"a short list of key heads", "llama", {LIST(HEADS_KV, 11, 1, 2)}},
    {"a list of lengths", "llama", {LIST(KEY_LENGTH, 12, 1, 64)}},
    {"a list of lengths of values", "llama", {LIST(VALUE_LENGTH, 12, 1, 64)}},
    {"a list of widths", "llama", {LIST(EMBEDDING, 12, 1, 256)}},
    {"a list of lengths in windows", "llama",
     {LIST(KEY_LENGTH_WINDOW, 12, 1, 64)}},
    {"a list of windows", "gemma3", {LIST(WINDOW, 12, 1, 64)}},
    {"no window", "cohere2", {NOT(WINDOW)}},
    {"a window of nothing", "cohere2", {ONE(WINDOW, 0)}},
    {"a window of nothing", "gemma2", {ONE(WINDOW, 0)}},
    {"no list of windows", "mimo2", {{0}}},
    {"no list of windows", "gemma4", {{0}}},
    {"no list of windows", "granite_swa", {{0}}},
    {"no list of windows", "maple", {{0}}},
    {"no list of windows", "spark2_5", {{0}}},
    {"no list of windows", "step35", {{0}}},
    {"no list of windows", "dots3note", {LIST(INDEXER_TYPES, 12, 1, 0)}},
    {"a period for a list", "mimo2", {ONE(WINDOW_PATTERN, 3)}},
    {"a period or a list of one", "cohere2",
     {ONE(BLOCKS, 1), ONE(WINDOW_PATTERN, 1)}},
    {"no list of windows", "dflash", {{0}}},
    {"no window for a draft", "dflash",
     {NOT(WINDOW), ONE(HYPER_CONNECTIONS, 4)}},
    {"more layers share than there are", "gemma4",
     {WINDOWS, ONE(SHARED_KV_LAYERS, 13)}},
    {"one layer to share", "gemma4", {WINDOWS, ONE(SHARED_KV_LAYERS, 11)}},
    {"no lengths of latents", "kimi-linear", {MIXED, NOT(KEY_LENGTH_MLA)}},
    {"no lengths of latents", "hy_v4",
     {NOT(VALUE_LENGTH_MLA), NOT(INDEXER_TOP_K)}},
    {"no latent", "kimi-k3", {MIXED, NOT(KV_LORA_RANK)}},
    {"no indexer", "deepseek32", {NOT(INDEXER_KEY_LENGTH)}},
    {"an indexer of nothing", "deepseek32", {ONE(INDEXER_KEY_LENGTH, 0)}},
    {"a short list of indexers", "glm-dsa", {LIST(INDEXER_TYPES, 11, 1, 1)}},
    {"a list of indexers for layers that have none", "glm-dsa",
     {LIST(INDEXER_TYPES, 12, 1, 1), ONE(NEXTN, 1)}},
    {"no list of indexers", "dots3note", {WINDOWS}},
    {"an indexer in a window", "dots3note",
     {WINDOWS, LIST(INDEXER_TYPES, 12, 3, 1, 0, 0)}},
    {"no indexer in the first layer", "hy_v4",
     {LIST(INDEXER_TYPES, 12, 2, 0, 1)}},
    {"an indexer for further tokens", "hy_v4",
     {LIST(INDEXER_TYPES, 11, 1, 1), ONE(NEXTN, 1)}},
    {"a list of leads", "minimax-m3", {LIST(DENSE_LEAD, 12, 1, 3)}},
    {"no convolution", "mamba", {NOT(SSM_CONV_KERNEL)}},
    {"no channels", "mamba", {NOT(SSM_INNER)}},
    {"no states", "mamba", {NOT(SSM_STATE)}},
    {"no groups", "mamba2", {NOT(SSM_GROUPS)}},
    {"a list of states", "mamba", {LIST(SSM_STATE, 12, 1, 16)}},
    {"no heads", "rwkv7", {ONE(WKV_HEAD, 0)}},
    {"no heads said", "rwkv7", {NOT(WKV_HEAD)}},
    {"no width", "rwkv7", {NOT(EMBEDDING)}},
    {"no past inputs", "lfm2moe", {MIXED, ONE(SHORTCONV, 0)}},
    {"no heads", "kimi-linear", {MIXED, ONE(KDA_HEAD, 0)}},
    {"an interval of 0", "qwen3next", {ONE(FULL_INTERVAL, 0)}},
    {"a list of intervals", "qwen3next", {LIST(FULL_INTERVAL, 12, 1, 4)}},
    {"a short list", "qwen3next", {LIST(RECURRENT_LAYERS, 11, 1, 1)}},
    {"a short list", "nemotron_h", {MIXED, LIST(FEED_FORWARD, 11, 1, 0)}},
    {"an n-gram embedding where attention is", "qwen4exp",
     {LIST(PLE_LAYERS, 1, 1, 3), ONE(PLE_NGRAM, 3), ONE(PLE_CONV_KERNEL, 4),
      ONE(HYPER_CONNECTIONS, 4)}},
    {"two of them", "qwen4exp",
     {LIST(PLE_LAYERS, 2, 2, 0, 1), ONE(PLE_NGRAM, 3), ONE(PLE_CONV_KERNEL, 4),
      ONE(HYPER_CONNECTIONS, 4)}},
    {"one without a kernel", "qwen4exp",
     {LIST(PLE_LAYERS, 1, 1, 0), ONE(PLE_NGRAM, 3), ONE(PLE_CONV_KERNEL, 0),
      ONE(HYPER_CONNECTIONS, 4)}},
    {"one of no length", "qwen4exp",
     {LIST(PLE_LAYERS, 1, 1, 0), ONE(PLE_CONV_KERNEL, 4),
      ONE(HYPER_CONNECTIONS, 4)}},
    {"one behind the last layer", "qwen4exp",
     {LIST(PLE_LAYERS, 1, 1, 12), ONE(PLE_NGRAM, 3), ONE(PLE_CONV_KERNEL, 4),
      ONE(HYPER_CONNECTIONS, 4)}},
    {"no loops", "nanbeige", {ONE(LOOPS, 0)}},
    {"too many loops", "nanbeige", {ONE(LOOPS, 43)}},
    {"many loops", "nanbeige", {ONE(LOOPS, UINT32_MAX)}},
    {"loops with further tokens", "nanbeige", {ONE(LOOPS, 2), ONE(NEXTN, 1)}},
    {"a router behind 512 layers", "graniteswitch", {ONE(BLOCKS, 512)}},
};
/* clang-format on */

START_TEST(what_is_refused_is_a_range)
{
    const struct refused *r = &refused[_i];
    struct gov__header header;
    struct gov__state s;

    start(&header, r->architecture);
    set_numbers(&header, small, COUNT(small));
    set_numbers(&header, r->given, COUNT(r->given));
    gov__state_of(&header, &s);
    ck_assert_msg(!s.known, "%s: %s is known", r->architecture, r->what);
    ck_assert(!s.cacheless);
    ck_assert_uint_le(s.layers, GOV__LAYERS_MAX);
    ck_assert_uint_eq(s.least_k + s.least_v + s.least_state, 0);
    check_layers(&header, &s, r->architecture);
    gov__header_fini(&header);
}
END_TEST

/* ---- what is not known --------------------------------------------------- */

START_TEST(an_unknown_architecture_is_a_range)
{
    struct gov__state s = STATE_OF("new", LIST(HEADS_KV, 12, 3, 0, 1, 2));

    /* 2 heads of 64 and an indexer of 128; 2 of 32 and one for it */
    ck_assert(!s.known);
    ck_assert_uint_eq(s.layers, 12);
    ck_assert_uint_eq(s.k, 12 * (K + 128));
    ck_assert_uint_eq(s.v, 12 * (V + 32));
    ck_assert_uint_eq(s.plain_v, s.v);
    ck_assert_uint_eq(s.window + s.window_k + s.window_v, 0);
    ck_assert_uint_eq(s.least_k + s.least_v + s.least_state, 0);
    ck_assert_uint_eq(s.k_block, 64);
    ck_assert_uint_eq(s.v_block, 32);
    /* every kind of state */
    ck_assert_uint_eq(s.state, 12 * (SSM2 + WKV + UINT64_C(4) * 2 * 256 + KDA));
    /* the longest heads */
    s = STATE_OF("new", ONE(KEY_LENGTH_WINDOW, 96), NOT(INDEXER_KEY_LENGTH));
    ck_assert_uint_eq(s.k, 12 * 2 * 96);
    ck_assert_uint_eq(s.k_block, 32);
    s = STATE_OF("new", NOT(KEY_LENGTH), NOT(INDEXER_KEY_LENGTH),
                 LIST(HEADS, 12, 3, 0, 4, 8));
    ck_assert_uint_eq(s.k, 12 * 2 * (256 / 4));
    /* as wide as the model */
    s = STATE_OF("new", NOT(HEADS), NOT(HEADS_KV), NOT(KEY_LENGTH),
                 NOT(VALUE_LENGTH), NOT(INDEXER_KEY_LENGTH), NOT(KDA_HEAD));
    ck_assert_uint_eq(s.k, 12 * 256);
    ck_assert_uint_eq(s.v, 12 * 256);
    /* layers used several times over */
    ck_assert_uint_eq(STATE_OF("new", ONE(LOOPS, 3)).layers, 36);
    ck_assert_uint_eq(STATE_OF("new", ONE(LOOPS, UINT32_MAX)).layers, 512);
}
END_TEST

/* 128 keys and scores of 64, and 16 of the indexer's 128, in f32 */
START_TEST(deepseek4_gathers_what_it_compresses)
{
    uint64_t without = STATE_OF("deepseek4", NOT(WINDOW)).state;
    struct gov__state s =
        STATE_OF("deepseek4", LIST(COMPRESS_RATIOS, 12, 2, 4, 128));

    ck_assert_uint_eq(s.state - without,
                      UINT64_C(12) * 4 * 2 * (128 * 64 + 16 * 128));
    ck_assert_uint_eq(s.k, 12 * (K + 128));
    ck_assert(s.apart);
}
END_TEST

START_TEST(nothing_said_is_nothing_known)
{
    struct gov__header header;
    struct gov__layer_state layer;
    struct gov__state s;

    start(&header, "");
    gov__state_of(&header, &s);
    ck_assert(!s.known && !s.cacheless);
    ck_assert_uint_eq(s.layers, 0);
    ck_assert_uint_eq(s.k + s.v + s.window_k + s.window_v + s.state, 0);
    ck_assert_uint_eq(s.k_block + s.v_block, 0);
    gov__state_layer(&header, &s, 0, &layer);
    ck_assert_uint_eq(layer.k + layer.v + layer.state, 0);
    gov__header_fini(&header);
}
END_TEST

/* ---- hostile numbers ----------------------------------------------------- */

static const uint32_t hostile[] = {0,   1,   2,         3,         255,
                                   512, 513, INT32_MAX, UINT32_MAX};

/* Every number of every architecture is each of these, once and in lists of
 * several lengths: nothing to divide by, nothing out of bounds (the sanitizers
 * look), and the layers still add up, at most to UINT64_MAX. */
START_TEST(no_number_is_trusted)
{
    static const uint32_t counts[] = {1, 2, 12, 512};

    for (unsigned key = 0; key < GOV__KEYS; key++)
        for (size_t n = 0; n < COUNT(hostile) * COUNT(counts); n++) {
            struct given one[] = {{(enum gov__key)key,
                                   counts[n % COUNT(counts)],
                                   1,
                                   {hostile[n / COUNT(counts)]}}};
            struct gov__header header;
            struct gov__state s;

            start(&header, names[_i]);
            set_numbers(&header, small, COUNT(small));
            set_numbers(&header, one, 1);
            gov__state_of(&header, &s);
            ck_assert_uint_le(s.layers, GOV__LAYERS_MAX);
            ck_assert_uint_le(s.k_block, 256);
            ck_assert_uint_le(s.v_block, 256);
            ck_assert_uint_le(s.least_k, s.k);
            gov__header_fini(&header);
        }
}
END_TEST

START_TEST(everything_at_once_saturates)
{
    struct gov__header header;
    struct gov__layer_state layer;
    struct gov__state s;
    uint32_t most = UINT32_MAX, blocks = 512;

    start(&header, names[_i]);
    for (unsigned key = 0; key < GOV__KEYS; key++)
        ck_assert(gov__header_set(&header, (enum gov__key)key, &most, 1));
    ck_assert(gov__header_set(&header, GOV__KEY_BLOCKS, &blocks, 1));
    gov__state_of(&header, &s);
    ck_assert_uint_le(s.layers, GOV__LAYERS_MAX);
    ck_assert(s.known || s.k == UINT64_MAX);
    for (uint32_t i = 0; i < s.layers; i++)
        gov__state_layer(&header, &s, i, &layer);
    gov__header_fini(&header);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("state");
    TCase *t = tcase_create("state");

    tcase_add_loop_test(t, a_published_model_keeps_what_it_keeps, 0,
                        COUNT(models));
    tcase_add_loop_test(t, an_architecture_reads_a_header_its_own_way, 0,
                        COUNT(rules));
    tcase_add_loop_test(t, an_architecture_of_the_engine_is_known, 0,
                        COUNT(names));
    tcase_add_test(t, names_are_compared_whole);
    tcase_add_loop_test(t, a_hybrid_has_a_cache_for_further_tokens, 0,
                        COUNT(hybrids));
    tcase_add_test(t, blocks_divide_every_head);
    tcase_add_test(t, latents_want_one_type);
    tcase_add_test(t, without_flash_attention_values_are_padded);
    tcase_add_loop_test(t, what_is_refused_is_a_range, 0, COUNT(refused));
    tcase_add_test(t, an_unknown_architecture_is_a_range);
    tcase_add_test(t, deepseek4_gathers_what_it_compresses);
    tcase_add_test(t, nothing_said_is_nothing_known);
    suite_add_tcase(s, t);
    t = tcase_create("hostile");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, no_number_is_trusted, 0, COUNT(names));
    tcase_add_loop_test(t, everything_at_once_saturates, 0, COUNT(names));
    suite_add_tcase(s, t);
    return s;
}
