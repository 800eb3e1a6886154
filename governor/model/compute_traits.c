/* SPDX-License-Identifier: MIT */
/* Which architecture does what of enum gov__compute_trait, as src/models/ of
 * llama.cpp v0.5.0 has it. */
#include <string.h>

#include "governor/model/compute_priv.h"

static const struct {
    const char *architecture;
    unsigned traits;
} special[] = {
    {"arcee", NO_GATE},
    {"arwkv7", WKV7},
    {"bailingmoe3", LATE},
    {"bert", NO_GATE | LAYER_NORM},
    {"bloom", NO_GATE | FUSED | LAYER_NORM | NO_ROPE},
    {"chatglm", FUSED},
    {"codeshell", NO_GATE | FUSED | LAYER_NORM},
    {"cohere2", PARALLEL | LAYER_NORM},
    {"cohere2moe", PARALLEL | LAYER_NORM | LATE},
    {"command-r", PARALLEL | LAYER_NORM},
    {"dbrx", FUSED | LAYER_NORM},
    {"exaone4", POST_NORM},
    {"falcon", NO_GATE | PARALLEL | FUSED | LAYER_NORM},
    {"gemma3n", PARALLEL | GEMMA | STACKED},
    {"gemma4", LATE | GEMMA},
    {"gpt-oss", LATE},
    {"gpt2", NO_GATE | FUSED | LAYER_NORM | NO_ROPE},
    {"gptneox", NO_GATE | FUSED | LAYER_NORM},
    {"granitehybrid", SCALED},
    {"hy_v3", LATE},
    {"jais", FUSED | LAYER_NORM | NO_ROPE},
    {"jais2", NO_GATE | LAYER_NORM},
    {"jina-bert-v2", LAYER_NORM},
    {"jina-bert-v3", NO_GATE | FUSED | LAYER_NORM},
    {"lfm2", KEEPS | KEEPS_MIXED},
    {"lfm2moe", KEEPS | KEEPS_MIXED},
    {"llama4", WEIGHED},
    {"minimax-01", POST_NORM | KEEPS_MIXED},
    {"mpt", NO_GATE | FUSED | LAYER_NORM | NO_ROPE},
    {"nemotron", NO_GATE | LAYER_NORM},
    {"nemotron_h", NO_GATE | LATE},
    {"nomic-bert", FUSED | LAYER_NORM},
    {"nomic-bert-moe", NO_GATE | FUSED | LAYER_NORM},
    {"olmo", LAYER_NORM},
    {"olmo2", POST_NORM},
    {"openelm", FUSED},
    {"phi2", NO_GATE | PARALLEL | LAYER_NORM},
    {"phi3", FUSED | KEEPS},
    {"phimoe", LAYER_NORM | KEEPS},
    {"plamo", PARALLEL},
    {"plm", NO_GATE},
    {"qwen", FUSED},
    {"qwen35", GATED | LATE},
    {"qwen35moe", GATED | LATE},
    {"qwen3next", GATED | LATE},
    {"rwkv6", WKV_OWN | LAYER_NORM},
    {"rwkv7", WKV7 | WKV_OWN | LAYER_NORM},
    {"stablelm", PARALLEL | LAYER_NORM},
    {"starcoder", NO_GATE | FUSED | LAYER_NORM | NO_ROPE},
    {"starcoder2", NO_GATE | LAYER_NORM},
    {"step35", LATE},
    {"t5encoder", NO_GATE},
};

unsigned gov__compute_traits(const char *architecture)
{
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        if (strcmp(special[i].architecture, architecture) == 0)
            return special[i].traits;
    }
    return 0;
}
