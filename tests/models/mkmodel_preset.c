/* SPDX-License-Identifier: MIT */
/* The presets: the widths and depths that a shape starts from, one row each.
 * Never checks them. */
#include "mkmodel_preset.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define N(name, value) [MK_DIM_##name] = (value)

/* name, layers, embd, ff, heads, kv-heads, vocab */
#define P(name_, l, e, f, h, k, v)                                             \
    .name = (name_), .layers = (l), .embd = (e), .ff = (f), .heads = (h),      \
    .kv_heads = (k), .vocab = (v)

/* clang-format off */

/* Every width of the small ones is a multiple of 256, so that every type
 * divides every row, but for 27 layers of experts. From 1b on the plain ones
 * have the widths of the Llamas of that size; those named after a model have
 * its own. */
static const struct mk_preset presets[] = {
    {P("tiny", 4, 256, 512, 4, 2, 1024)},
    {P("small", 8, 512, 1536, 8, 4, 4096)},
    {P("100m", 12, 768, 2048, 12, 4, 32000)},
    {P("350m", 24, 1024, 2816, 16, 8, 32000)},
    {P("1b", 16, 2048, 8192, 32, 8, 32000)},
    {P("3b", 28, 3072, 8192, 24, 8, 32000)},
    {P("8b", 32, 4096, 14336, 32, 8, 32000)},
    {P("70b", 80, 8192, 28672, 64, 8, 32000)},
    {P("tiny-mixtral", 4, 256, 256, 4, 2, 1024),
     .n = {N(EXPERTS, 8), N(EXPERTS_USED, 2)}},
    {P("mixtral-8x7b", 32, 4096, 14336, 32, 8, 32000), .ctx = 32768,
     .n = {N(EXPERTS, 8), N(EXPERTS_USED, 2)}},
    {P("tiny-qwen2", 4, 256, 512, 4, 2, 1024), .arch = "qwen2"},
    {P("tiny-qwen3", 4, 256, 512, 4, 2, 1024), .arch = "qwen3",
     .head_dim = 128},
    {P("tiny-qwen3moe", 4, 256, 512, 4, 2, 1024), .arch = "qwen3moe",
     .head_dim = 128,
     .n = {N(EXPERTS, 8), N(EXPERTS_USED, 2), N(EXPERT_FF, 256)}},
    {P("qwen3-30b-a3b", 48, 2048, 6144, 32, 4, 151936), .arch = "qwen3moe",
     .head_dim = 128, .ctx = 40960,
     .n = {N(EXPERTS, 128), N(EXPERTS_USED, 8), N(EXPERT_FF, 768)}},
    {P("tiny-gemma2", 6, 256, 512, 4, 2, 1024), .arch = "gemma2",
     .head_dim = 128,
     .n = {N(WINDOW, 256)}},
    {P("tiny-gemma3", 8, 256, 512, 4, 2, 1024), .arch = "gemma3",
     .head_dim = 128,
     .n = {N(WINDOW, 256)}},
    {P("gemma3-12b", 48, 3840, 15360, 16, 8, 262144), .arch = "gemma3",
     .head_dim = 256,
     .ctx = 131072, .n = {N(WINDOW, 1024)}},
    {P("tiny-gemma4", 10, 256, 512, 4, 2, 1024), .arch = "gemma4",
     .head_dim = 128,
     .n = {N(WINDOW, 256), N(WINDOW_PERIOD, 5), N(SHARED_KV, 5)}},
    {P("tiny-phi3", 4, 256, 512, 4, 2, 1024), .arch = "phi3"},
    {P("tiny-deepseek2", 4, 256, 512, 4, 4, 1024), .arch = "deepseek2",
     .head_dim = 64,
     .n = {N(EXPERTS, 8), N(EXPERTS_USED, 2), N(EXPERT_FF, 256),
           N(SHARED_EXPERTS, 1), N(DENSE_LEAD, 1), N(Q_LORA, 256),
           N(KV_LORA, 256), N(ROT, 32), N(KEY_MLA, 96), N(VALUE_MLA, 64)}},
    {P("tiny-deepseek2-lite", 27, 256, 512, 4, 4, 1024), .arch = "deepseek2",
     .head_dim = 64,
     .n = {N(EXPERTS, 4), N(EXPERTS_USED, 2), N(EXPERT_FF, 64),
           N(SHARED_EXPERTS, 2), N(DENSE_LEAD, 1), N(KV_LORA, 128), N(ROT, 32),
           N(KEY_MLA, 64), N(VALUE_MLA, 64)}},
    {P("deepseek-v2-lite", 27, 2048, 10944, 16, 16, 102400),
     .arch = "deepseek2",
     .head_dim = 128, .ctx = 163840,
     .n = {N(EXPERTS, 64), N(EXPERTS_USED, 6), N(EXPERT_FF, 1408),
           N(SHARED_EXPERTS, 2), N(DENSE_LEAD, 1), N(KV_LORA, 512), N(ROT, 64),
           N(KEY_MLA, 192), N(VALUE_MLA, 128)}},
    {P("tiny-gpt-oss", 4, 256, 256, 4, 2, 1024), .arch = "gpt-oss",
     .head_dim = 64,
     .expert_type = "MXFP4",
     .n = {N(EXPERTS, 8), N(EXPERTS_USED, 2), N(EXPERT_FF, 256),
           N(WINDOW, 128)}},
    {P("gpt-oss-20b", 24, 2880, 2880, 64, 8, 201088), .arch = "gpt-oss",
     .head_dim = 64,
     .ctx = 131072, .expert_type = "MXFP4",
     .n = {N(EXPERTS, 32), N(EXPERTS_USED, 4), N(EXPERT_FF, 2880),
           N(WINDOW, 128)}},
    {P("tiny-mamba", 4, 256, 256, 4, 4, 1024), .arch = "mamba",
     .n = {N(CONV, 4), N(STATE, 16), N(DT_RANK, 16)}},
    {P("tiny-falcon-h1", 4, 256, 512, 4, 2, 1024), .arch = "falcon-h1",
     .n = {N(CONV, 4), N(STATE, 64), N(DT_RANK, 8), N(GROUPS, 1)}},
    {P("tiny-granitehybrid", 8, 256, 512, 4, 2, 1024), .arch = "granitehybrid",
     .n = {N(ATTN_PERIOD, 4), N(CONV, 4), N(STATE, 64), N(DT_RANK, 8),
           N(GROUPS, 1)}},
    {P("tiny-lfm2", 6, 256, 512, 4, 2, 1024), .arch = "lfm2",
     .n = {N(ATTN_PERIOD, 3), N(CONV, 3)}},
    {P("tiny-openelm", 5, 256, 1024, 8, 4, 1024), .arch = "openelm",
     .head_dim = 128},
    {P("tiny-bert", 4, 256, 512, 4, 4, 1024), .arch = "bert", .ctx = 512},
};

/* clang-format on */

const struct mk_preset *mk_preset_at(unsigned i)
{
    return i < COUNT(presets) ? &presets[i] : NULL;
}

const struct mk_preset *mk_preset_find(const char *name)
{
    for (size_t i = 0; i < COUNT(presets); i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    return NULL;
}

const char *mk_preset_arch(const struct mk_preset *preset)
{
    return preset->arch == NULL ? "llama" : preset->arch;
}

const struct mk_preset *mk_preset_for(const struct mk_arch *arch)
{
    for (size_t i = 0; i < COUNT(presets); i++)
        if (strcmp(mk_preset_arch(&presets[i]), arch->name) == 0)
            return &presets[i];
    return &presets[0];
}
