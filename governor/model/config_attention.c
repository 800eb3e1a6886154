/* SPDX-License-Identifier: MIT */
/* Rows of models whose every layer attends, and of plain ones. See
 * config_models_priv.h. */
#include "governor/model/config_models_priv.h"

#include <string.h>

void gov__adapt_llama(struct gov__config *config)
{
    uint32_t heads = gov__config_one(config, GOV__KEY_HEADS);
    uint32_t length = gov__config_one(config, GOV__KEY_KEY_LENGTH);

    if (length == 0 && heads != 0)
        length = gov__config_one(config, GOV__KEY_EMBEDDING) / heads;
    if (length != 0)
        gov__config_set(config, GOV__KEY_ROPE_DIMENSIONS, length);
}

static void adapt_llama4(struct gov__config *config)
{
    const json_t *types = GOV__FIND(config, "layer_types");
    bool full = json_array_size(types) > 0;

    gov__adapt_llama(config);
    TAKE(config, EXPERT_FEED_FORWARD, "intermediate_size");
    TAKE(config, FEED_FORWARD, "intermediate_size_mlp");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *text = json_string_value(json_array_get(types, i));

        full = full && text != NULL && strcmp(text, "full_attention") == 0;
    }
    if (full)
        gov__config_set(config, GOV__KEY_WINDOW, 0);
}

static void adapt_window(struct gov__config *config)
{
    TAKE(config, WINDOW, "sliding_window");
}

static void adapt_afmoe(struct gov__config *config)
{
    gov__adapt_llama(config);
    adapt_window(config);
}

void gov__adapt_bidirectional(struct gov__config *config)
{
    gov__config_set(config, GOV__KEY_CAUSAL, 0);
}

/* Defaults: Gemma3TextConfig in the Transformers library. */
static void adapt_gemma3(struct gov__config *config)
{
    gov__config_fall_back(config, GOV__KEY_CONTEXT, 131072);
    gov__config_fall_back(config, GOV__KEY_HEADS, 8);
    gov__config_fall_back(config, GOV__KEY_HEADS_KV, 4);
    gov__config_fall_back(config, GOV__KEY_KEY_LENGTH, 256);
    gov__config_fall_back(config, GOV__KEY_VALUE_LENGTH, 256);
    gov__config_fall_back(config, GOV__KEY_VOCABULARY, 262208);
    if (NUMBER(config, 0, "sliding_window_pattern") != 1) {
        adapt_window(config);
        gov__config_fall_back(config, GOV__KEY_WINDOW, 4096);
    }
}

static void adapt_gemma3n(struct gov__config *config)
{
    adapt_gemma3(config);
    TAKE(config, EMBEDDING_PER_LAYER, "hidden_size_per_layer_input");
    TAKE(config, SHARED_KV_LAYERS, "num_kv_shared_layers");
    gov__config_take_window_layers(config);
}

/* Twice as wide in the layers that share their keys. */
static void widen_feed_forward(struct gov__config *config, uint32_t shared)
{
    uint32_t widths[GOV__LAYERS_MAX], count = gov__config_layers(config);
    uint32_t width = gov__config_one(config, GOV__KEY_FEED_FORWARD);

    for (uint32_t i = 0; i < count; i++)
        widths[i] = i + shared < count ? width : gov__config_times(width, 2);
    if (width != 0)
        gov__config_set_each(config, GOV__KEY_FEED_FORWARD, widths, count);
}

static void adapt_gemma4(struct gov__config *config)
{
    uint32_t shared = NUMBER(config, 0, "num_kv_shared_layers");
    uint32_t full = NUMBER(config, 0, "global_head_dim"), length;
    uint32_t heads = NUMBER(config, 0, "num_global_key_value_heads");
    const struct gov__number *window =
        &config->header->number[GOV__KEY_WINDOW_PATTERN];
    uint32_t each[GOV__LAYERS_MAX];

    adapt_gemma3n(config);
    TAKE(config, EXPERT_FEED_FORWARD, "expert_intermediate_size",
         "moe_intermediate_size");
    length = gov__config_one(config, GOV__KEY_KEY_LENGTH);
    if (length != 0) {
        gov__config_set(config, GOV__KEY_KEY_LENGTH_WINDOW, length);
        gov__config_set(config, GOV__KEY_VALUE_LENGTH_WINDOW, length);
    }
    gov__config_clear_head_length(config);
    if (full != 0)
        gov__config_set_head_length(config, full);
    if (json_is_true(GOV__FIND(config, "use_double_wide_mlp")))
        widen_feed_forward(config, shared);
    if (heads == 0 || window->count < 2)
        return;
    for (uint32_t i = 0; i < window->count; i++)
        each[i] = window->each[i] != 0
                      ? gov__config_one(config, GOV__KEY_HEADS_KV)
                      : heads;
    gov__config_set_each(config, GOV__KEY_HEADS_KV, each, window->count);
}

static void adapt_gpt_oss(struct gov__config *config)
{
    adapt_window(config);
    TAKE(config, EXPERT_FEED_FORWARD, "intermediate_size");
}

static void adapt_phi2(struct gov__config *config)
{
    TAKE(config, CONTEXT, "n_positions", "max_position_embeddings");
    gov__config_set(
        config, GOV__KEY_FEED_FORWARD,
        gov__config_times(4, gov__config_one(config, GOV__KEY_EMBEDDING)));
    gov__config_set(config, GOV__KEY_HEADS_KV,
                    gov__config_one(config, GOV__KEY_HEADS));
}

/* Without a window it is Phi-4, which llama.cpp tells by the 0. */
static void adapt_phi3(struct gov__config *config)
{
    TAKE(config, CONTEXT, "n_positions", "max_position_embeddings");
    TAKE(config, HEADS_KV, "num_key_value_heads", "n_head_kv");
    gov__config_clear_head_length(config);
    gov__config_set(config, GOV__KEY_WINDOW,
                    NUMBER(config, 0, "sliding_window"));
}

static void adapt_olmo2(struct gov__config *config)
{
    if (GOV__FIND(config, "sliding_window") == NULL)
        return;
    adapt_window(config);
    if (GOV__FIND(config, "layer_types") != NULL)
        gov__config_take_window_layers(config);
    else
        gov__config_set_window_period(config, 4);
}

static void adapt_exaone4(struct gov__config *config)
{
    const json_t *pattern = GOV__FIND(config, "sliding_window_pattern");
    const char *letters = json_string_value(pattern);
    uint32_t flags[GOV__LAYERS_MAX], count = gov__config_layers(config), period;

    adapt_window(config);
    if (config->header->number[GOV__KEY_WINDOW].count == 0)
        return;
    if (GOV__FIND(config, "layer_types") != NULL) {
        gov__config_take_window_layers(config);
    } else if (letters != NULL && letters[0] != '\0') { /* "LLLG" */
        for (uint32_t i = 0; i < count; i++)
            flags[i] = letters[i % strlen(letters)] == 'L';
        gov__config_set_each(config, GOV__KEY_WINDOW_PATTERN, flags, count);
    } else if (gov__config_whole(pattern, &period) && period != 0) {
        gov__config_set_window_period(config, period);
    }
}

void gov__adapt_nextn(struct gov__config *config)
{
    gov__config_add_predicting(config,
                               NUMBER(config, 0, "num_nextn_predict_layers"));
}

static void adapt_exaone4_5(struct gov__config *config)
{
    adapt_exaone4(config);
    if (NUMBER(config, 0, "num_nextn_predict_layers") != 0)
        gov__adapt_nextn(config);
}

static void adapt_exaone_moe(struct gov__config *config)
{
    uint32_t shared = NUMBER(config, 0, "num_shared_experts");

    adapt_exaone4(config);
    gov__config_set(
        config, GOV__KEY_EXPERT_SHARED_FEED_FORWARD,
        gov__config_times(
            shared, gov__config_one(config, GOV__KEY_EXPERT_FEED_FORWARD)));
    TAKE(config, DENSE_LEAD, "first_k_dense_replace",
         "first_last_k_dense_replace");
    gov__adapt_nextn(config);
}

static void adapt_cohere2_moe(struct gov__config *config)
{
    adapt_window(config);
    gov__config_take_window_layers(config);
    TAKE(config, EXPERT_FEED_FORWARD, "intermediate_size");
    gov__adapt_nextn(config);
}

static void adapt_command_r(struct gov__config *config)
{
    TAKE(config, CONTEXT, "model_max_length", "max_position_embeddings");
}

void gov__adapt_mla(struct gov__config *config)
{
    uint32_t rank = NUMBER(config, 512, "kv_lora_rank"), rope, nope;

    gov__config_set(config, GOV__KEY_HEADS_KV, 1);
    gov__config_set(config, GOV__KEY_KV_LORA_RANK, rank);
    gov__config_clear_head_length(config);
    gov__config_set(config, GOV__KEY_VALUE_LENGTH, rank);
    if (gov__config_whole(GOV__FIND(config, "qk_rope_head_dim"), &rope)) {
        gov__config_set(config, GOV__KEY_ROPE_DIMENSIONS, rope);
        if (rope <= UINT32_MAX - rank)
            gov__config_set(config, GOV__KEY_KEY_LENGTH, rank + rope);
        if (gov__config_whole(GOV__FIND(config, "qk_nope_head_dim"), &nope) &&
            nope <= UINT32_MAX - rope)
            gov__config_set(config, GOV__KEY_KEY_LENGTH_MLA, nope + rope);
    }
    TAKE(config, VALUE_LENGTH_MLA, "v_head_dim");
    TAKE(config, Q_LORA_RANK, "q_lora_rank");
}

static void adapt_deepseek2(struct gov__config *config)
{
    uint32_t experts;
    bool sparse =
        gov__config_whole(GOV__FIND(config, "n_routed_experts"), &experts);

    gov__adapt_mla(config);
    gov__config_fall_back(config, GOV__KEY_DENSE_LEAD,
                          sparse ? 0 : gov__config_layers(config));
    gov__config_fall_back(config, GOV__KEY_EXPERTS_SHARED, 0);
    if (GOV__FIND(config, "moe_intermediate_size") == NULL)
        TAKE(config, EXPERT_FEED_FORWARD, "intermediate_size");
}

static void adapt_mistral3(struct gov__config *config)
{
    const char *type = json_string_value(GOV__FIND(config, "model_type"));

    if (type != NULL && strcmp(type, "mistral4") == 0) {
        gov__config_rename_to(config, "mistral4");
        adapt_deepseek2(config);
    } else {
        gov__adapt_llama(config);
    }
}

/* DeepSeek's OCR models are not MLA. */
static void adapt_deepseek_ocr(struct gov__config *config)
{
    TAKE(config, WINDOW, "sliding_window_size", "sliding_window");
}

static void adapt_glm_lite(struct gov__config *config)
{
    adapt_deepseek2(config);
    if (NUMBER(config, 0, "num_nextn_predict_layers") != 0)
        gov__adapt_nextn(config);
}

static void adapt_sparse_attention(struct gov__config *config)
{
    adapt_deepseek2(config);
    gov__adapt_nextn(config);
    TAKE(config, INDEXER_KEY_LENGTH, "index_head_dim");
    TAKE(config, INDEXER_TOP_K, "index_topk");
    gov__config_take_words(config, GOV__KEY_INDEXER_TYPES,
                           GOV__FIND(config, "indexer_types"), "full");
}

static void adapt_minicpm3(struct gov__config *config)
{
    uint32_t rope, nope;

    gov__config_clear_head_length(config);
    TAKE(config, KV_LORA_RANK, "kv_lora_rank");
    TAKE(config, Q_LORA_RANK, "q_lora_rank");
    TAKE(config, ROPE_DIMENSIONS, "qk_rope_head_dim");
    if (gov__config_whole(GOV__FIND(config, "qk_rope_head_dim"), &rope) &&
        gov__config_whole(GOV__FIND(config, "qk_nope_head_dim"), &nope) &&
        nope <= UINT32_MAX - rope)
        gov__config_set(config, GOV__KEY_KEY_LENGTH, nope + rope);
}

static const struct gov__config_row rows[] = {
    {"llama", "LlamaForCausalLM", "llama", gov__adapt_llama},
    {NULL, "LLaMAForCausalLM", "llama", gov__adapt_llama},
    {NULL, "LlamaModel", "llama", gov__adapt_llama},
    {NULL, "LlavaForConditionalGeneration", "llama", gov__adapt_llama},
    {NULL, "VoxtralForConditionalGeneration", "llama", gov__adapt_llama},
    {"mistral", "MistralForCausalLM", "llama", gov__adapt_llama},
    {"mixtral", "MixtralForCausalLM", "llama", gov__adapt_llama},
    {"internlm3", "InternLM3ForCausalLM", "llama", gov__adapt_llama},
    {NULL, "IQuestCoderForCausalLM", "llama", gov__adapt_llama},
    {NULL, "JanusForConditionalGeneration", "llama", gov__adapt_llama},
    {NULL, "Sarashina2VisionForCausalLM", "llama", gov__adapt_llama},
    {NULL, "VLlama3ForCausalLM", "llama", gov__adapt_llama},
    {"mistral3", "Mistral3ForConditionalGeneration", "mistral3",
     adapt_mistral3},
    {"ministral3", "Ministral3ForCausalLM", "mistral3", adapt_mistral3},
    {"mistral4", NULL, "mistral4", adapt_deepseek2},
    {"arcee", "ArceeForCausalLM", "arcee", gov__adapt_llama},
    {"smollm3", "SmolLM3ForCausalLM", "smollm3", gov__adapt_llama},
    {"apertus", "ApertusForCausalLM", "apertus", gov__adapt_llama},
    {"llama4", "Llama4ForConditionalGeneration", "llama4", adapt_llama4},
    {"llama4_text", "Llama4ForCausalLM", "llama4", adapt_llama4},
    {"afmoe", "AfmoeForCausalLM", "afmoe", adapt_afmoe},
    {NULL, "LlamaBidirectionalModel", "llama-embed", gov__adapt_llama},
    {"qwen", "QWenLMHeadModel", "qwen", NULL},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", NULL},
    {NULL, "Qwen2Model", "qwen2", NULL},
    {NULL, "Qwen2AudioForConditionalGeneration", "qwen2", NULL},
    {NULL, "DotsOCRForCausalLM", "qwen2", NULL},
    {NULL, "AudioFlamingo3ForConditionalGeneration", "qwen2", NULL},
    {NULL, "KORMoForCausalLM", "qwen2", NULL},
    {"qwen2_vl", "Qwen2VLForConditionalGeneration", "qwen2vl", NULL},
    {"qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", "qwen2vl", NULL},
    {"qwen2_5_omni", "Qwen2_5OmniModel", "qwen2vl", NULL},
    {"qwen2_moe", "Qwen2MoeForCausalLM", "qwen2moe", NULL},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", NULL},
    {NULL, "Qwen3Model", "qwen3", NULL},
    {NULL, "StepVLForConditionalGeneration", "qwen3", NULL},
    {"qwen3_moe", "Qwen3MoeForCausalLM", "qwen3moe", NULL},
    {"qwen3_vl", "Qwen3VLForConditionalGeneration", "qwen3vl", NULL},
    {"qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration", "qwen3vlmoe", NULL},
    {NULL, "Qwen3ASRForConditionalGeneration", "qwen3vl", NULL},
    {NULL, "Qwen3OmniMoeForConditionalGeneration", "qwen3vlmoe", NULL},
    {"dots1", "Dots1ForCausalLM", "dots1", NULL},
    {"gemma", "GemmaForCausalLM", "gemma", NULL},
    {"gemma2", "Gemma2ForCausalLM", "gemma2", adapt_window},
    {"gemma3_text", "Gemma3ForCausalLM", "gemma3", adapt_gemma3},
    {"gemma3", "Gemma3ForConditionalGeneration", "gemma3", adapt_gemma3},
    {NULL, "Gemma3TextModel", "gemma-embedding", adapt_gemma3},
    {"gemma3n_text", "Gemma3nForCausalLM", "gemma3n", adapt_gemma3n},
    {"gemma3n", "Gemma3nForConditionalGeneration", "gemma3n", adapt_gemma3n},
    {"gemma4_text", "Gemma4ForCausalLM", "gemma4", adapt_gemma4},
    {"gemma4", "Gemma4ForConditionalGeneration", "gemma4", adapt_gemma4},
    {NULL, "Gemma4UnifiedForConditionalGeneration", "gemma4", adapt_gemma4},
    {"phi", "PhiForCausalLM", "phi2", adapt_phi2},
    {"phi3", "Phi3ForCausalLM", "phi3", adapt_phi3},
    {"phimoe", "PhiMoEForCausalLM", "phimoe", adapt_phi3},
    {"deepseek", "DeepseekForCausalLM", "deepseek", gov__adapt_llama},
    {"deepseek_v2", "DeepseekV2ForCausalLM", "deepseek2", adapt_deepseek2},
    {"deepseek_v3", "DeepseekV3ForCausalLM", "deepseek2", adapt_deepseek2},
    {"deepseek_v32", "DeepseekV32ForCausalLM", "deepseek32",
     adapt_sparse_attention},
    {NULL, "DeepseekOCRForCausalLM", "deepseek2-ocr", adapt_deepseek_ocr},
    {"kimi_k2", "KimiVLForConditionalGeneration", "deepseek2", adapt_deepseek2},
    {NULL, "KimiK25ForConditionalGeneration", "deepseek2", adapt_deepseek2},
    {NULL, "YoutuForCausalLM", "deepseek2", adapt_deepseek2},
    {NULL, "YoutuVLForConditionalGeneration", "deepseek2", adapt_deepseek2},
    {"minicpm", "MiniCPMForCausalLM", "minicpm", NULL},
    {"minicpm3", "MiniCPM3ForCausalLM", "minicpm3", adapt_minicpm3},
    {"glm4", "Glm4ForCausalLM", "glm4", NULL},
    {"glm4v_text", "Glm4vForConditionalGeneration", "glm4", NULL},
    {NULL, "GlmOcrForConditionalGeneration", "glm4", gov__adapt_nextn},
    {"glm4_moe", "Glm4MoeForCausalLM", "glm4moe", gov__adapt_nextn},
    {NULL, "SolarOpenForCausalLM", "glm4moe", gov__adapt_nextn},
    {"glm4v_moe_text", "Glm4vMoeForConditionalGeneration", "glm4moe",
     gov__adapt_nextn},
    {"glm4_moe_lite", "Glm4MoeLiteForCausalLM", "deepseek2", adapt_glm_lite},
    {"glm_moe_dsa", "GlmMoeDsaForCausalLM", "glm-dsa", adapt_sparse_attention},
    {"gpt_oss", "GptOssForCausalLM", "gpt-oss", adapt_gpt_oss},
    {"ernie4_5", "Ernie4_5ForCausalLM", "ernie4_5", NULL},
    {NULL, "Ernie4_5_ForCausalLM", "ernie4_5", NULL},
    {NULL, "PaddleOCRVLForConditionalGeneration", "paddleocr", NULL},
    {"bailing_moe", "BailingMoeForCausalLM", "bailingmoe", gov__adapt_llama},
    {"olmo", "OlmoForCausalLM", "olmo", NULL},
    {"olmo2", "Olmo2ForCausalLM", "olmo2", adapt_olmo2},
    {"olmo3", "Olmo3ForCausalLM", "olmo2", adapt_olmo2},
    {"olmoe", "OlmoeForCausalLM", "olmoe", NULL},
    {"seed_oss", "SeedOssForCausalLM", "seed_oss", NULL},
    {"cohere", "CohereForCausalLM", "command-r", adapt_command_r},
    {"cohere2", "Cohere2ForCausalLM", "cohere2", adapt_window},
    {NULL, "Cohere2MoeForCausalLM", "cohere2moe", adapt_cohere2_moe},
    {"exaone", "ExaoneForCausalLM", "exaone", NULL},
    {"exaone4", "Exaone4ForCausalLM", "exaone4", adapt_exaone4},
    {NULL, "Exaone4_5_ForConditionalGeneration", "exaone4", adapt_exaone4_5},
    {"exaone_moe", "ExaoneMoeForCausalLM", "exaone-moe", adapt_exaone_moe},
    {NULL, "ExaoneMoEForCausalLM", "exaone-moe", adapt_exaone_moe},
    {"internlm2", "InternLM2ForCausalLM", "internlm2", NULL},
    {"nemotron", "NemotronForCausalLM", "nemotron", NULL},
    {"baichuan", "BaichuanForCausalLM", "baichuan", NULL},
    {NULL, "BaiChuanForCausalLM", "baichuan", NULL},
    {"orion", "OrionForCausalLM", "orion", NULL},
    {"bitnet", "BitNetForCausalLM", "bitnet", NULL},
    {NULL, "BitnetForCausalLM", "bitnet", NULL},
    {"arctic", "ArcticForCausalLM", "arctic", NULL},
    {NULL, "DreamModel", "dream", gov__adapt_bidirectional},
    {"gpt_neox", "GPTNeoXForCausalLM", "gptneox", NULL},
    {"starcoder2", "Starcoder2ForCausalLM", "starcoder2", NULL},
    {"stablelm", "StableLmForCausalLM", "stablelm", NULL},
    {"stablelm_epoch", "StableLMEpochForCausalLM", "stablelm", NULL},
    {"chameleon", "ChameleonForConditionalGeneration", "chameleon", NULL},
    {"xverse", "XverseForCausalLM", "xverse", gov__adapt_llama},
    {"bert", "BertModel", "bert", gov__adapt_bidirectional},
    {NULL, "BertForMaskedLM", "bert", gov__adapt_bidirectional},
    {NULL, "BertForSequenceClassification", "bert", gov__adapt_bidirectional},
    {"camembert", "CamembertModel", "bert", gov__adapt_bidirectional},
    {"distilbert", "DistilBertModel", "bert", gov__adapt_bidirectional},
    {NULL, "DistilBertForMaskedLM", "bert", gov__adapt_bidirectional},
    {NULL, "DistilBertForSequenceClassification", "bert",
     gov__adapt_bidirectional},
    {NULL, "JinaBertModel", "jina-bert-v2", gov__adapt_bidirectional},
    {NULL, "JinaBertForMaskedLM", "jina-bert-v2", gov__adapt_bidirectional},
    {"eurobert", "EuroBertModel", "eurobert", gov__adapt_bidirectional},
};

const struct gov__config_rows gov__rows_attention = {rows, sizeof(rows) /
                                                               sizeof(rows[0])};
