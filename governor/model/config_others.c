/* SPDX-License-Identifier: MIT */
/* Rows of models with experts under names of their own, of older models, and of
 * encoders. See config_models_priv.h. */
#include "governor/model/config_models_priv.h"

#include <string.h>

/* ---- experts --------------------------------------------------------------- */

static void adapt_ernie_moe(struct gov__config *config)
{
    uint32_t heads = gov__config_one(config, GOV__KEY_HEADS_KV);

    TAKE(config, EXPERTS, "moe_num_experts");
    TAKE(config, EXPERTS_USED, "moe_k");
    TAKE(config, DENSE_LEAD, "moe_layer_start_index");
    TAKE(config, EXPERTS_SHARED, "moe_num_shared_experts");
    if (heads != 0 && gov__config_one(config, GOV__KEY_EXPERTS_SHARED) != 0)
        gov__config_set(config, GOV__KEY_EXPERT_SHARED_FEED_FORWARD,
                        gov__config_one(config, GOV__KEY_FEED_FORWARD) / heads);
}

/* Lists whose members are all the same. */
static void adapt_hunyuan_moe(struct gov__config *config)
{
    TAKE(config, EXPERT_SHARED_FEED_FORWARD, "intermediate_size");
    gov__config_take(
        config, GOV__KEY_EXPERT_FEED_FORWARD,
        json_array_get(GOV__FIND(config, "moe_intermediate_size"), 0));
    gov__config_take(config, GOV__KEY_EXPERTS_USED,
                     json_array_get(GOV__FIND(config, "moe_topk"), 0));
    gov__config_take(config, GOV__KEY_EXPERTS_SHARED,
                     json_array_get(GOV__FIND(config, "num_shared_expert"), 0));
}

static void adapt_smallthinker(struct gov__config *config)
{
    const json_t *layout = GOV__FIND(config, "sliding_window_layout");
    bool any = false;

    TAKE(config, EXPERTS, "moe_num_primary_experts");
    TAKE(config, EXPERTS_USED, "moe_num_active_primary_experts");
    TAKE(config, EXPERT_FEED_FORWARD, "moe_ffn_hidden_size");
    TAKE(config, FEED_FORWARD, "moe_ffn_hidden_size");
    for (size_t i = 0; i < json_array_size(layout); i++)
        any = any || gov__config_number(json_array_get(layout, i), 0) != 0;
    if (any && NUMBER(config, 0, "sliding_window_size") != 0)
        TAKE(config, WINDOW, "sliding_window_size");
}

static void adapt_bailing2(struct gov__config *config)
{
    uint32_t shared = gov__config_one(config, GOV__KEY_EXPERTS_SHARED);

    gov__config_fall_back(
        config, GOV__KEY_EXPERT_SHARED_FEED_FORWARD,
        gov__config_times(
            shared, gov__config_one(config, GOV__KEY_EXPERT_FEED_FORWARD)));
    if (NUMBER(config, 0, "num_nextn_predict_layers") != 0)
        gov__adapt_nextn(config);
}

static void adapt_minimax_m2(struct gov__config *config)
{
    TAKE(config, EXPERT_FEED_FORWARD, "intermediate_size");
    TAKE(config, ROPE_DIMENSIONS, "rotary_dim");
}

static void adapt_dbrx(struct gov__config *config)
{
    const json_t *feed = GOV__FIND(config, "ffn_config");

    TAKE(config, CONTEXT, "max_seq_len");
    TAKE(config, EMBEDDING, "d_model");
    gov__config_take(config, GOV__KEY_FEED_FORWARD,
                     json_object_get(feed, "ffn_hidden_size"));
    gov__config_take(config, GOV__KEY_EXPERTS,
                     json_object_get(feed, "moe_num_experts"));
    gov__config_take(config, GOV__KEY_EXPERTS_USED,
                     json_object_get(feed, "moe_top_k"));
    gov__config_take(
        config, GOV__KEY_HEADS_KV,
        json_object_get(GOV__FIND(config, "attn_config"), "kv_n_heads"));
}

/* ---- older ones ------------------------------------------------------------ */

static void set_wide_feed_forward(struct gov__config *config)
{
    gov__config_set(
        config, GOV__KEY_FEED_FORWARD,
        gov__config_times(4, gov__config_one(config, GOV__KEY_EMBEDDING)));
}

static void adapt_gpt2(struct gov__config *config)
{
    TAKE(config, CONTEXT, "n_ctx", "n_positions");
    set_wide_feed_forward(config);
}

static void adapt_codeshell(struct gov__config *config)
{
    TAKE(config, CONTEXT, "n_positions");
    set_wide_feed_forward(config);
    TAKE(config, HEADS_KV, "num_query_groups");
}

static void adapt_starcoder(struct gov__config *config)
{
    TAKE(config, CONTEXT, "n_positions");
    set_wide_feed_forward(config);
    gov__config_set(config, GOV__KEY_HEADS_KV, 1);
}

static void adapt_mpt(struct gov__config *config)
{
    TAKE(config, CONTEXT, "max_seq_len");
    TAKE(config, EMBEDDING, "d_model");
    set_wide_feed_forward(config);
    gov__config_take(
        config, GOV__KEY_HEADS_KV,
        json_object_get(GOV__FIND(config, "attn_config"), "kv_n_heads"));
}

static void adapt_bloom(struct gov__config *config)
{
    TAKE(config, EMBEDDING, "hidden_size", "n_embed");
    TAKE(config, HEADS, "n_head", "num_attention_heads");
    gov__config_set(config, GOV__KEY_CONTEXT,
                    NUMBER(config, gov__config_one(config, GOV__KEY_EMBEDDING),
                           "seq_length"));
    set_wide_feed_forward(config);
    gov__config_set(config, GOV__KEY_HEADS_KV,
                    gov__config_one(config, GOV__KEY_HEADS));
}

static void adapt_falcon(struct gov__config *config)
{
    gov__config_set(config, GOV__KEY_CONTEXT, 2048);
    set_wide_feed_forward(config);
    gov__config_set(config, GOV__KEY_HEADS_KV,
                    NUMBER(config, 1, "num_kv_heads", "n_head_kv"));
}

static void adapt_chatglm(struct gov__config *config)
{
    uint32_t width = NUMBER(config, 0, "hidden_size", "n_embed");

    gov__config_set(config, GOV__KEY_EMBEDDING, width);
    gov__config_set(config, GOV__KEY_CONTEXT,
                    NUMBER(config, width, "seq_length"));
    gov__config_set(config, GOV__KEY_FEED_FORWARD,
                    NUMBER(config, gov__config_times(4, width),
                           "ffn_hidden_size", "intermediate_size"));
    TAKE(config, HEADS, "n_head", "num_attention_heads");
    gov__config_set(config, GOV__KEY_HEADS_KV,
                    NUMBER(config, gov__config_one(config, GOV__KEY_HEADS),
                           "multi_query_group_num", "num_key_value_heads"));
    gov__config_clear_head_length(config);
}

/* ---- encoders -------------------------------------------------------------- */

/* Positions are counted behind that of the padding token. */
static void adapt_roberta(struct gov__config *config)
{
    uint32_t context = gov__config_one(config, GOV__KEY_CONTEXT), padding;

    gov__adapt_bidirectional(config);
    if (gov__config_whole(GOV__FIND(config, "pad_token_id"), &padding) &&
        padding < context)
        gov__config_set(config, GOV__KEY_CONTEXT, context - padding - 1);
}

static void adapt_xlm_roberta(struct gov__config *config)
{
    if (json_array_size(GOV__FIND(config, "lora_adaptations")) != 0)
        gov__config_rename_to(config, "jina-bert-v3");
    adapt_roberta(config);
}

static void adapt_nomic(struct gov__config *config)
{
    uint32_t positions = NUMBER(config, 0, "n_positions");
    bool experts = NUMBER(config, 0, "moe_every_n_layers") != 0;

    gov__adapt_bidirectional(config);
    gov__config_rename_to(config, experts ? "nomic-bert-moe" : "nomic-bert");
    if (experts)
        TAKE(config, EXPERTS_USED, "moe_top_k");
    if (NUMBER(config, 2048, "max_trained_positions") == 2048 &&
        (positions == 8192 || positions == 2048))
        gov__config_set(config, GOV__KEY_CONTEXT,
                        positions == 8192 ? 2048 : 512);
}

static void adapt_modern_bert(struct gov__config *config)
{
    gov__adapt_bidirectional(config);
    TAKE(config, WINDOW, "local_attention");
    TAKE(config, WINDOW_PATTERN, "global_attn_every_n_layers");
}

static void adapt_neo_bert(struct gov__config *config)
{
    uint64_t width = NUMBER(config, 0, "intermediate_size");

    gov__adapt_bidirectional(config);
    gov__config_set(config, GOV__KEY_FEED_FORWARD, (uint32_t)(2 * width / 3));
}

static void adapt_t5(struct gov__config *config)
{
    TAKE(config, EMBEDDING, "d_model");
    TAKE(config, FEED_FORWARD, "d_ff");
    TAKE(config, HEADS, "num_heads");
    TAKE(config, KEY_LENGTH, "d_kv");
    TAKE(config, VALUE_LENGTH, "d_kv");
    gov__config_set(config, GOV__KEY_CONTEXT,
                    NUMBER(config, 512, "n_positions"));
}

static const struct gov__config_row rows[] = {
    {"chatglm", "ChatGLMModel", "chatglm", adapt_chatglm},
    {"glm", "GlmForCausalLM", "chatglm", adapt_chatglm},
    {NULL, "ChatGLMForConditionalGeneration", "chatglm", adapt_chatglm},
    {"minimax_m2", "MiniMaxM2ForCausalLM", "minimax-m2", adapt_minimax_m2},
    {"ernie4_5_moe", "Ernie4_5_MoeForCausalLM", "ernie4_5-moe",
     adapt_ernie_moe},
    {"hunyuan_v1_moe", "HunYuanMoEV1ForCausalLM", "hunyuan-moe",
     adapt_hunyuan_moe},
    {"smallthinker", "SmallThinkerForCausalLM", "smallthinker",
     adapt_smallthinker},
    {"bailing_moe_v2", "BailingMoeV2ForCausalLM", "bailingmoe2",
     adapt_bailing2},
    {NULL, "SarvamMoEForCausalLM", "bailingmoe2", adapt_bailing2},
    {NULL, "modeling_sarvam_moe.SarvamMoEForCausalLM", "bailingmoe2",
     adapt_bailing2},
    {"dbrx", "DbrxForCausalLM", "dbrx", adapt_dbrx},
    {"gpt2", "GPT2LMHeadModel", "gpt2", adapt_gpt2},
    {"gpt_bigcode", "GPTBigCodeForCausalLM", "starcoder", adapt_starcoder},
    {"mpt", "MPTForCausalLM", "mpt", adapt_mpt},
    {"bloom", "BloomForCausalLM", "bloom", adapt_bloom},
    {NULL, "BloomModel", "bloom", adapt_bloom},
    {"falcon", "FalconForCausalLM", "falcon", adapt_falcon},
    {NULL, "RWForCausalLM", "falcon", adapt_falcon},
    {"codeshell", "CodeShellForCausalLM", "codeshell", adapt_codeshell},
    {"roberta", "RobertaModel", "bert", adapt_roberta},
    {NULL, "RobertaForSequenceClassification", "bert", adapt_roberta},
    {"xlm-roberta", "XLMRobertaModel", "bert", adapt_xlm_roberta},
    {NULL, "XLMRobertaForSequenceClassification", "bert", adapt_xlm_roberta},
    {"nomic_bert", "NomicBertModel", "nomic-bert", adapt_nomic},
    {"modernbert", "ModernBertModel", "modern-bert", adapt_modern_bert},
    {NULL, "ModernBertForMaskedLM", "modern-bert", adapt_modern_bert},
    {NULL, "ModernBertForSequenceClassification", "modern-bert",
     adapt_modern_bert},
    {"neobert", "NeoBERT", "neo-bert", adapt_neo_bert},
    {NULL, "NeoBERTLMHead", "neo-bert", adapt_neo_bert},
    {NULL, "NeoBERTForSequenceClassification", "neo-bert", adapt_neo_bert},
    {"t5", "T5ForConditionalGeneration", "t5", adapt_t5},
    {NULL, "T5WithLMHeadModel", "t5", adapt_t5},
    {"mt5", "MT5ForConditionalGeneration", "t5", adapt_t5},
    {"umt5", "UMT5ForConditionalGeneration", "t5", adapt_t5},
    {NULL, "UMT5Model", "t5", adapt_t5},
    {NULL, "T5EncoderModel", "t5encoder", adapt_t5},
};

const struct gov__config_rows gov__rows_others = {rows, sizeof(rows) /
                                                            sizeof(rows[0])};
