/* SPDX-License-Identifier: MIT */
/* config.json against what llama.cpp's converter writes of it: configurations
 * with the numbers of models that exist, and expectations worked out by hand from
 * the converter's classes (conversion/ of llama.cpp's tree). And against
 * everything that is not as it should be. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "governor/model/config_json.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/safetensors_writer.h"

static char path[512];

static void setup(void)
{
    snprintf(path, sizeof(path), "%s/config.json", fresh_directory());
    faults_reset();
}

static void teardown(void)
{
    ck_assert_int_eq((int)faults_live_blocks(), 0);
    drop_directory();
}

static gov_status read_text(struct gov__header *header, const char *text,
                            gov_error *err)
{
    struct gov__model_file file;
    gov_status status;

    write_text(path, text);
    gov__header_init(header, "safetensors", faults_alloc());
    ck_assert_int_eq(gov__model_file_open(&file, path, err), GOV_OK);
    status = gov__config_json_read(header, &file, err);
    gov__model_file_close(&file);
    return status;
}

/* A number as text: "7", "[1,0,1]", "3*[1,0]" for a pattern that repeats, "-" where
 * it is not known. */
static const char *show(const struct gov__header *header, enum gov__key key)
{
    static char text[4000];
    const struct gov__number *n = &header->number[key];
    size_t used;

    if (n->count == 0)
        return "-";
    if (n->count == 1) {
        snprintf(text, sizeof(text), "%" PRIu32, n->one);
        return text;
    }
    used = (size_t)snprintf(text, sizeof(text), "[");
    for (uint32_t i = 0; i < n->count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIu32,
                                 i > 0 ? "," : "", n->each[i]);
    snprintf(text + used, sizeof(text) - used, "]");
    return text;
}

struct expected {
    enum gov__key key;
    const char *value;
};

static const struct config {
    const char *json;
    const char *architecture;
    struct expected numbers[13];
} configs[] = {
    /* meta-llama/Llama-3.2-1B */
    {"{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\","
     "\"head_dim\":64,\"hidden_size\":2048,\"intermediate_size\":8192,"
     "\"max_position_embeddings\":131072,\"num_attention_heads\":32,"
     "\"num_hidden_layers\":16,\"num_key_value_heads\":8,"
     "\"tie_word_embeddings\":true,\"vocab_size\":128256}",
     "llama",
     {{GOV__KEY_BLOCKS, "16"},
      {GOV__KEY_CONTEXT, "131072"},
      {GOV__KEY_EMBEDDING, "2048"},
      {GOV__KEY_FEED_FORWARD, "8192"},
      {GOV__KEY_HEADS, "32"},
      {GOV__KEY_HEADS_KV, "8"},
      {GOV__KEY_KEY_LENGTH, "64"},
      {GOV__KEY_VALUE_LENGTH, "64"},
      {GOV__KEY_ROPE_DIMENSIONS, "64"},
      {GOV__KEY_VOCABULARY, "128256"},
      {GOV__KEY_WINDOW, "-"}}},
    /* mistralai/Mistral-7B-v0.1: its window is not converted */
    {"{\"architectures\":[\"MistralForCausalLM\"],\"model_type\":\"mistral\","
     "\"hidden_size\":4096,\"num_attention_heads\":32,\"sliding_window\":4096,"
     "\"num_hidden_layers\":32,\"num_key_value_heads\":8}",
     "llama",
     {{GOV__KEY_WINDOW, "-"},
      {GOV__KEY_KEY_LENGTH, "-"},
      {GOV__KEY_ROPE_DIMENSIONS, "128"}}},
    /* mistralai/Mixtral-8x7B-v0.1 */
    {"{\"architectures\":[\"MixtralForCausalLM\"],\"model_type\":\"mixtral\","
     "\"hidden_size\":4096,\"num_attention_heads\":32,\"sliding_window\":null,"
     "\"num_experts_per_tok\":2,\"num_hidden_layers\":32,"
     "\"num_key_value_heads\":8,\"num_local_experts\":8}",
     "llama",
     {{GOV__KEY_EXPERTS, "8"}, {GOV__KEY_EXPERTS_USED, "2"}}},
    {"{\"model_type\":\"mixtral\"}", "llama", {{GOV__KEY_BLOCKS, "-"}}},
    /* a vision model: the language model's part comes first */
    {"{\"architectures\":[\"LlavaForConditionalGeneration\"],"
     "\"model_type\":\"llava\",\"hidden_size\":1,"
     "\"text_config\":{\"model_type\":\"llama\",\"hidden_size\":4096,"
     "\"num_hidden_layers\":32},\"vision_config\":{\"hidden_size\":1024}}",
     "llama",
     {{GOV__KEY_EMBEDDING, "4096"}, {GOV__KEY_BLOCKS, "32"}}},
    {"{\"architectures\":[\"InternVLChatModel\"],\"llm_config\":{"
     "\"architectures\":[\"Qwen2ForCausalLM\"],\"num_hidden_layers\":24}}",
     "qwen2",
     {{GOV__KEY_BLOCKS, "24"}}},
    {"{\"architectures\":[\"Mistral3ForConditionalGeneration\"],"
     "\"model_type\":\"mistral3\",\"text_config\":{\"model_type\":\"mistral\","
     "\"head_dim\":128,\"num_hidden_layers\":40}}",
     "mistral3",
     {{GOV__KEY_BLOCKS, "40"}, {GOV__KEY_KEY_LENGTH, "128"}}},
    /* Qwen/Qwen3-30B-A3B */
    {"{\"architectures\":[\"Qwen3MoeForCausalLM\"],\"model_type\":"
     "\"qwen3_moe\",\"head_dim\":128,\"hidden_size\":2048,"
     "\"intermediate_size\":6144,\"moe_intermediate_size\":768,"
     "\"num_attention_heads\":32,\"num_experts\":128,"
     "\"num_experts_per_tok\":8,\"num_hidden_layers\":48,"
     "\"num_key_value_heads\":4,\"sliding_window\":null}",
     "qwen3moe",
     {{GOV__KEY_EXPERTS, "128"},
      {GOV__KEY_EXPERTS_USED, "8"},
      {GOV__KEY_EXPERT_FEED_FORWARD, "768"},
      {GOV__KEY_FEED_FORWARD, "6144"},
      {GOV__KEY_HEADS_KV, "4"}}},
    {"{\"model_type\":\"qwen2_moe\",\"moe_intermediate_size\":1408,"
     "\"shared_expert_intermediate_size\":5632}",
     "qwen2moe",
     {{GOV__KEY_EXPERT_FEED_FORWARD, "1408"},
      {GOV__KEY_EXPERT_SHARED_FEED_FORWARD, "5632"}}},
    /* Qwen/Qwen3-Next-80B-A3B, shortened to four layers */
    {"{\"architectures\":[\"Qwen3NextForCausalLM\"],\"num_hidden_layers\":4,"
     "\"full_attention_interval\":4,\"head_dim\":256,"
     "\"linear_conv_kernel_dim\":4,\"linear_key_head_dim\":128,"
     "\"linear_num_key_heads\":16,\"linear_num_value_heads\":32,"
     "\"linear_value_head_dim\":128,\"num_key_value_heads\":2,"
     "\"layer_types\":[\"linear_attention\",\"linear_attention\","
     "\"linear_attention\",\"full_attention\"]}",
     "qwen3next",
     {{GOV__KEY_SSM_CONV_KERNEL, "4"},
      {GOV__KEY_SSM_STATE, "128"},
      {GOV__KEY_SSM_GROUPS, "16"},
      {GOV__KEY_SSM_TIME_STEP, "32"},
      {GOV__KEY_SSM_INNER, "4096"},
      {GOV__KEY_FULL_INTERVAL, "4"},
      {GOV__KEY_RECURRENT_LAYERS, "[1,1,1,0]"},
      {GOV__KEY_BLOCKS, "4"},
      {GOV__KEY_NEXTN, "-"}}},
    /* google/gemma-2-2b */
    {"{\"model_type\":\"gemma2\",\"head_dim\":256,\"sliding_window\":4096}",
     "gemma2",
     {{GOV__KEY_WINDOW, "4096"},
      {GOV__KEY_WINDOW_PATTERN, "-"},
      {GOV__KEY_KEY_LENGTH, "256"}}},
    /* google/gemma-3-4b-it, which leaves half to the library */
    {"{\"architectures\":[\"Gemma3ForConditionalGeneration\"],"
     "\"model_type\":\"gemma3\",\"text_config\":{\"hidden_size\":2560,"
     "\"intermediate_size\":10240,\"model_type\":\"gemma3_text\","
     "\"num_hidden_layers\":34,\"sliding_window\":1024}}",
     "gemma3",
     {{GOV__KEY_BLOCKS, "34"},
      {GOV__KEY_HEADS, "8"},
      {GOV__KEY_HEADS_KV, "4"},
      {GOV__KEY_KEY_LENGTH, "256"},
      {GOV__KEY_VALUE_LENGTH, "256"},
      {GOV__KEY_CONTEXT, "131072"},
      {GOV__KEY_WINDOW, "1024"},
      {GOV__KEY_WINDOW_PATTERN, "-"}}},
    {"{\"architectures\":[\"Gemma3TextModel\"],\"model_type\":"
     "\"gemma3_text\",\"sliding_window\":512,\"sliding_window_pattern\":1}",
     "gemma-embedding",
     {{GOV__KEY_WINDOW, "-"}}},
    {"{\"model_type\":\"gemma3n_text\",\"num_hidden_layers\":3,"
     "\"hidden_size_per_layer_input\":256,\"num_kv_shared_layers\":1,"
     "\"intermediate_size\":[8,9,10],\"sliding_window\":512,"
     "\"layer_types\":[\"sliding_attention\",\"sliding_attention\","
     "\"full_attention\"]}",
     "gemma3n",
     {{GOV__KEY_EMBEDDING_PER_LAYER, "256"},
      {GOV__KEY_SHARED_KV_LAYERS, "1"},
      {GOV__KEY_FEED_FORWARD, "[8,9,10]"},
      {GOV__KEY_WINDOW_PATTERN, "[1,1,0]"}}},
    {"{\"model_type\":\"gemma4_text\",\"num_hidden_layers\":4,"
     "\"head_dim\":256,\"global_head_dim\":512,\"num_key_value_heads\":8,"
     "\"num_global_key_value_heads\":2,\"num_kv_shared_layers\":1,"
     "\"use_double_wide_mlp\":true,\"intermediate_size\":100,"
     "\"sliding_window\":512,\"layer_types\":[\"sliding_attention\","
     "\"sliding_attention\",\"sliding_attention\",\"full_attention\"]}",
     "gemma4",
     {{GOV__KEY_KEY_LENGTH, "512"},
      {GOV__KEY_VALUE_LENGTH, "512"},
      {GOV__KEY_KEY_LENGTH_WINDOW, "256"},
      {GOV__KEY_VALUE_LENGTH_WINDOW, "256"},
      {GOV__KEY_HEADS_KV, "[8,8,8,2]"},
      {GOV__KEY_FEED_FORWARD, "[100,100,100,200]"},
      {GOV__KEY_SHARED_KV_LAYERS, "1"}}},
    /* microsoft/Phi-3-mini-4k-instruct, microsoft/phi-4, microsoft/phi-2 */
    {"{\"model_type\":\"phi3\",\"hidden_size\":3072,\"sliding_window\":2047,"
     "\"num_attention_heads\":32,\"num_key_value_heads\":32}",
     "phi3",
     {{GOV__KEY_WINDOW, "2047"}, {GOV__KEY_HEADS_KV, "32"}}},
    {"{\"model_type\":\"phi3\",\"sliding_window\":null}",
     "phi3",
     {{GOV__KEY_WINDOW, "0"}}},
    {"{\"model_type\":\"phi\",\"hidden_size\":2560,"
     "\"num_attention_heads\":32,\"num_key_value_heads\":null}",
     "phi2",
     {{GOV__KEY_FEED_FORWARD, "10240"}, {GOV__KEY_HEADS_KV, "32"}}},
    /* deepseek-ai/DeepSeek-V3 */
    {"{\"architectures\":[\"DeepseekV3ForCausalLM\"],\"model_type\":"
     "\"deepseek_v3\",\"first_k_dense_replace\":3,\"kv_lora_rank\":512,"
     "\"moe_intermediate_size\":2048,\"n_routed_experts\":256,"
     "\"n_shared_experts\":1,\"num_attention_heads\":128,"
     "\"num_experts_per_tok\":8,\"num_hidden_layers\":61,"
     "\"num_key_value_heads\":128,\"num_nextn_predict_layers\":1,"
     "\"q_lora_rank\":1536,\"qk_nope_head_dim\":128,\"qk_rope_head_dim\":64,"
     "\"v_head_dim\":128}",
     "deepseek2",
     {{GOV__KEY_BLOCKS, "61"},
      {GOV__KEY_HEADS_KV, "1"},
      {GOV__KEY_KEY_LENGTH, "576"},
      {GOV__KEY_VALUE_LENGTH, "512"},
      {GOV__KEY_KEY_LENGTH_MLA, "192"},
      {GOV__KEY_VALUE_LENGTH_MLA, "128"},
      {GOV__KEY_KV_LORA_RANK, "512"},
      {GOV__KEY_Q_LORA_RANK, "1536"},
      {GOV__KEY_DENSE_LEAD, "3"},
      {GOV__KEY_EXPERTS, "256"},
      {GOV__KEY_EXPERTS_SHARED, "1"},
      {GOV__KEY_NEXTN, "-"}}},
    {"{\"model_type\":\"deepseek_v2\",\"num_hidden_layers\":2,"
     "\"intermediate_size\":77,\"q_lora_rank\":null,\"qk_nope_head_dim\":128,"
     "\"qk_rope_head_dim\":64}",
     "deepseek2",
     {{GOV__KEY_Q_LORA_RANK, "-"},
      {GOV__KEY_KV_LORA_RANK, "512"},
      {GOV__KEY_DENSE_LEAD, "2"},
      {GOV__KEY_EXPERTS_SHARED, "0"},
      {GOV__KEY_EXPERT_FEED_FORWARD, "77"}}},
    {"{\"model_type\":\"deepseek_v32\",\"num_hidden_layers\":61,"
     "\"num_nextn_predict_layers\":1,\"index_head_dim\":128,"
     "\"index_topk\":2048,\"qk_rope_head_dim\":64}",
     "deepseek32",
     {{GOV__KEY_BLOCKS, "62"},
      {GOV__KEY_NEXTN, "1"},
      {GOV__KEY_INDEXER_KEY_LENGTH, "128"},
      {GOV__KEY_INDEXER_TOP_K, "2048"}}},
    {"{\"model_type\":\"mistral3\",\"text_config\":{\"model_type\":"
     "\"mistral4\",\"kv_lora_rank\":256,\"qk_rope_head_dim\":64}}",
     "mistral4",
     {{GOV__KEY_KEY_LENGTH, "320"}}},
    {"{\"model_type\":\"glm4_moe\",\"num_hidden_layers\":46,"
     "\"num_nextn_predict_layers\":1,\"n_routed_experts\":128}",
     "glm4moe",
     {{GOV__KEY_BLOCKS, "47"},
      {GOV__KEY_NEXTN, "1"},
      {GOV__KEY_EXPERTS, "128"}}},
    {"{\"model_type\":\"kimi_linear\",\"num_hidden_layers\":4,"
     "\"kv_lora_rank\":512,\"qk_rope_head_dim\":64,\"linear_attn_config\":{"
     "\"full_attn_layers\":[4,4294967295],\"short_conv_kernel_size\":4,"
     "\"head_dim\":128}}",
     "kimi-linear",
     {{GOV__KEY_HEADS_KV, "[0,0,0,1]"},
      {GOV__KEY_SSM_CONV_KERNEL, "4"},
      {GOV__KEY_KDA_HEAD, "128"},
      {GOV__KEY_KEY_LENGTH, "576"}}},
    /* openai/gpt-oss-20b */
    {"{\"architectures\":[\"GptOssForCausalLM\"],\"model_type\":\"gpt_oss\","
     "\"head_dim\":64,\"intermediate_size\":2880,\"num_local_experts\":32,"
     "\"num_experts_per_tok\":4,\"sliding_window\":128}",
     "gpt-oss",
     {{GOV__KEY_WINDOW, "128"},
      {GOV__KEY_EXPERT_FEED_FORWARD, "2880"},
      {GOV__KEY_EXPERTS, "32"}}},
    /* state-spaces/mamba-130m-hf */
    {"{\"architectures\":[\"MambaForCausalLM\"],\"model_type\":\"mamba\","
     "\"hidden_size\":768,\"num_hidden_layers\":24,\"state_size\":16,"
     "\"conv_kernel\":4,\"expand\":2,\"intermediate_size\":1536,"
     "\"time_step_rank\":48,\"vocab_size\":50280}",
     "mamba",
     {{GOV__KEY_SSM_INNER, "1536"},
      {GOV__KEY_SSM_STATE, "16"},
      {GOV__KEY_SSM_CONV_KERNEL, "4"},
      {GOV__KEY_SSM_TIME_STEP, "48"},
      {GOV__KEY_HEADS, "0"},
      {GOV__KEY_FEED_FORWARD, "0"},
      {GOV__KEY_CONTEXT, "1048576"}}},
    {"{\"model_type\":\"mamba\",\"d_model\":100,\"n_layer\":2}",
     "mamba",
     {{GOV__KEY_BLOCKS, "2"},
      {GOV__KEY_EMBEDDING, "100"},
      {GOV__KEY_SSM_INNER, "200"},
      {GOV__KEY_SSM_TIME_STEP, "7"},
      {GOV__KEY_SSM_STATE, "16"}}},
    /* mistralai/Mamba-Codestral-7B-v0.1; Python's own words in it */
    {"{\"model_type\":\"mamba2\",\"hidden_size\":4096,\"expand\":2,"
     "\"head_dim\":64,\"n_groups\":8,\"state_size\":128,\"conv_kernel\":4,"
     "\"num_hidden_layers\":64,\"time_step_limit\":[0.0,Infinity],"
     "\"x\":[-Infinity,NaN,\"Infinity \\\"NaN\"]}",
     "mamba2",
     {{GOV__KEY_SSM_INNER, "8192"},
      {GOV__KEY_SSM_TIME_STEP, "128"},
      {GOV__KEY_SSM_GROUPS, "8"},
      {GOV__KEY_KEY_LENGTH, "-"}}},
    /* ai21labs/Jamba-v0.1, shortened */
    {"{\"model_type\":\"jamba\",\"hidden_size\":4096,\"attn_layer_offset\":4,"
     "\"attn_layer_period\":8,\"mamba_d_conv\":4,\"mamba_d_state\":16,"
     "\"mamba_dt_rank\":256,\"mamba_expand\":2,\"num_hidden_layers\":13,"
     "\"num_key_value_heads\":8,\"num_attention_heads\":32}",
     "jamba",
     {{GOV__KEY_HEADS_KV, "[0,0,0,0,8,0,0,0,0,0,0,0,8]"},
      {GOV__KEY_SSM_INNER, "8192"},
      {GOV__KEY_SSM_TIME_STEP, "256"}}},
    {"{\"model_type\":\"jamba\",\"num_hidden_layers\":2,"
     "\"num_key_value_heads\":8}",
     "jamba",
     {{GOV__KEY_HEADS_KV, "-"}}},
    /* tiiuae/Falcon-H1-0.5B */
    {"{\"model_type\":\"falcon_h1\",\"hidden_size\":1024,\"head_dim\":64,"
     "\"mamba_d_conv\":4,\"mamba_d_head\":64,\"mamba_d_ssm\":1536,"
     "\"mamba_d_state\":128,\"mamba_n_groups\":1,\"intermediate_size\":2048,"
     "\"num_attention_heads\":8,\"num_key_value_heads\":2}",
     "falcon-h1",
     {{GOV__KEY_SSM_INNER, "1536"},
      {GOV__KEY_SSM_TIME_STEP, "24"},
      {GOV__KEY_SSM_STATE, "128"},
      {GOV__KEY_SSM_GROUPS, "1"},
      {GOV__KEY_KEY_LENGTH, "64"},
      {GOV__KEY_FEED_FORWARD, "2048"},
      {GOV__KEY_HEADS_KV, "2"}}},
    /* ibm-granite/granite-4.0-h-tiny, shortened */
    {"{\"architectures\":[\"GraniteMoeHybridForCausalLM\"],\"model_type\":"
     "\"granitemoehybrid\",\"hidden_size\":1536,\"num_hidden_layers\":4,"
     "\"layer_types\":[\"mamba\",\"mamba\",\"attention\",\"mamba\"],"
     "\"mamba_d_conv\":4,\"mamba_d_head\":64,\"mamba_d_state\":128,"
     "\"mamba_expand\":2,\"mamba_n_groups\":1,\"mamba_n_heads\":48,"
     "\"num_attention_heads\":12,\"num_key_value_heads\":4,"
     "\"shared_intermediate_size\":1024,\"num_local_experts\":64}",
     "granitehybrid",
     {{GOV__KEY_HEADS_KV, "[0,0,4,0]"},
      {GOV__KEY_SSM_INNER, "3072"},
      {GOV__KEY_SSM_TIME_STEP, "48"},
      {GOV__KEY_SSM_STATE, "128"},
      {GOV__KEY_SSM_GROUPS, "1"},
      {GOV__KEY_SSM_CONV_KERNEL, "4"},
      {GOV__KEY_EXPERT_SHARED_FEED_FORWARD, "1024"},
      {GOV__KEY_CONTEXT, "1048576"}}},
    {"{\"model_type\":\"granitemoehybrid\",\"num_hidden_layers\":2,"
     "\"layer_types\":[\"attention\",\"attention\"],"
     "\"num_experts_per_tok\":8,\"num_key_value_heads\":4}",
     "granitemoe",
     {{GOV__KEY_HEADS_KV, "[4,4]"}, {GOV__KEY_CONTEXT, "-"}}},
    {"{\"architectures\":[\"BambaForCausalLM\"],\"model_type\":\"bamba\","
     "\"num_hidden_layers\":3,\"attn_layer_indices\":[1],"
     "\"max_position_embeddings\":262144,\"num_key_value_heads\":8}",
     "granitehybrid",
     {{GOV__KEY_HEADS_KV, "[0,8,0]"}, {GOV__KEY_CONTEXT, "262144"}}},
    /* nvidia/Nemotron-H-8B, shortened */
    {"{\"model_type\":\"nemotron_h\",\"num_hidden_layers\":4,"
     "\"hybrid_override_pattern\":\"M-M*\",\"attention_head_dim\":128,"
     "\"mamba_num_heads\":128,\"mamba_head_dim\":64,\"ssm_state_size\":128,"
     "\"n_groups\":8,\"conv_kernel\":4,\"intermediate_size\":21504,"
     "\"num_key_value_heads\":8,\"hidden_size\":4096}",
     "nemotron_h",
     {{GOV__KEY_HEADS_KV, "[0,0,0,8]"},
      {GOV__KEY_FEED_FORWARD, "[0,21504,0,0]"},
      {GOV__KEY_SSM_INNER, "8192"},
      {GOV__KEY_SSM_TIME_STEP, "128"},
      {GOV__KEY_KEY_LENGTH, "128"}}},
    {"{\"model_type\":\"nemotron_h\",\"layers_block_type\":[\"mamba\","
     "\"moe\",\"attention\"],\"num_experts_per_tok\":6,"
     "\"moe_intermediate_size\":1856,\"num_key_value_heads\":2}",
     "nemotron_h_moe",
     {{GOV__KEY_BLOCKS, "3"},
      {GOV__KEY_HEADS_KV, "[0,0,2]"},
      {GOV__KEY_FEED_FORWARD, "[0,1856,0]"}}},
    /* LiquidAI/LFM2-1.2B, shortened */
    {"{\"model_type\":\"lfm2\",\"num_hidden_layers\":3,\"conv_L_cache\":3,"
     "\"block_ff_dim\":12288,\"block_auto_adjust_ff_dim\":true,"
     "\"block_ffn_dim_multiplier\":1.0,\"block_multiple_of\":256,"
     "\"num_key_value_heads\":8,"
     "\"layer_types\":[\"conv\",\"conv\",\"full_attention\"]}",
     "lfm2",
     {{GOV__KEY_HEADS_KV, "[0,0,8]"},
      {GOV__KEY_SHORTCONV, "3"},
      {GOV__KEY_FEED_FORWARD, "8192"}}},
    {"{\"model_type\":\"lfm2\",\"num_hidden_layers\":3,"
     "\"full_attn_idxs\":[2],\"num_key_value_heads\":8}",
     "lfm2",
     {{GOV__KEY_HEADS_KV, "[0,0,8]"}}},
    {"{\"model_type\":\"rwkv6\",\"hidden_size\":2048,\"head_size\":64,"
     "\"intermediate_size\":null}",
     "rwkv6",
     {{GOV__KEY_WKV_HEAD, "64"},
      {GOV__KEY_FEED_FORWARD, "7168"},
      {GOV__KEY_HEADS, "0"}}},
    {"{\"model_type\":\"rwkv7\",\"hidden_size\":2048,\"head_dim\":64,"
     "\"intermediate_size\":null}",
     "rwkv7",
     {{GOV__KEY_WKV_HEAD, "64"}, {GOV__KEY_FEED_FORWARD, "8192"}}},
    /* allenai/OLMo-2 and Olmo-3 */
    {"{\"model_type\":\"olmo2\",\"num_hidden_layers\":4}",
     "olmo2",
     {{GOV__KEY_WINDOW, "-"}, {GOV__KEY_WINDOW_PATTERN, "-"}}},
    {"{\"model_type\":\"olmo3\",\"num_hidden_layers\":5,"
     "\"sliding_window\":4096}",
     "olmo2",
     {{GOV__KEY_WINDOW, "4096"}, {GOV__KEY_WINDOW_PATTERN, "[1,1,1,0,1]"}}},
    {"{\"model_type\":\"cohere2\",\"sliding_window\":4096}",
     "cohere2",
     {{GOV__KEY_WINDOW, "4096"}}},
    {"{\"model_type\":\"cohere\",\"max_position_embeddings\":8192,"
     "\"model_max_length\":131072}",
     "command-r",
     {{GOV__KEY_CONTEXT, "131072"}}},
    {"{\"model_type\":\"exaone4\",\"num_hidden_layers\":5,"
     "\"sliding_window\":4096,\"sliding_window_pattern\":\"LLLG\"}",
     "exaone4",
     {{GOV__KEY_WINDOW_PATTERN, "[1,1,1,0,1]"}}},
    {"{\"model_type\":\"exaone4\",\"num_hidden_layers\":5,"
     "\"sliding_window\":4096,\"sliding_window_pattern\":4}",
     "exaone4",
     {{GOV__KEY_WINDOW_PATTERN, "[1,1,1,0,1]"}}},
    {"{\"model_type\":\"exaone4\",\"num_hidden_layers\":5,"
     "\"sliding_window\":null,\"sliding_window_pattern\":4}",
     "exaone4",
     {{GOV__KEY_WINDOW, "-"}, {GOV__KEY_WINDOW_PATTERN, "-"}}},
    {"{\"model_type\":\"exaone4\",\"num_hidden_layers\":5,"
     "\"sliding_window\":8,\"sliding_window_pattern\":\"\"}",
     "exaone4",
     {{GOV__KEY_WINDOW, "8"}, {GOV__KEY_WINDOW_PATTERN, "-"}}},
    {"{\"model_type\":\"hunyuan_v1_moe\",\"intermediate_size\":3072,"
     "\"moe_intermediate_size\":[3072,3072],\"moe_topk\":[8,8],"
     "\"num_shared_expert\":[1,1],\"num_experts\":64}",
     "hunyuan-moe",
     {{GOV__KEY_EXPERT_FEED_FORWARD, "3072"},
      {GOV__KEY_EXPERTS_USED, "8"},
      {GOV__KEY_EXPERTS_SHARED, "1"}}},
    {"{\"model_type\":\"ernie4_5_moe\",\"moe_num_experts\":64,\"moe_k\":6,"
     "\"moe_layer_start_index\":1,\"moe_num_shared_experts\":2,"
     "\"intermediate_size\":12288,\"num_key_value_heads\":4}",
     "ernie4_5-moe",
     {{GOV__KEY_EXPERTS, "64"},
      {GOV__KEY_EXPERTS_USED, "6"},
      {GOV__KEY_EXPERT_SHARED_FEED_FORWARD, "3072"}}},
    {"{\"model_type\":\"dbrx\",\"d_model\":6144,\"max_seq_len\":32768,"
     "\"n_heads\":48,\"n_layers\":40,\"attn_config\":{\"kv_n_heads\":8},"
     "\"ffn_config\":{\"ffn_hidden_size\":10752,\"moe_num_experts\":16,"
     "\"moe_top_k\":4}}",
     "dbrx",
     {{GOV__KEY_EMBEDDING, "6144"},
      {GOV__KEY_HEADS_KV, "8"},
      {GOV__KEY_EXPERTS, "16"},
      {GOV__KEY_CONTEXT, "32768"}}},
    {"{\"model_type\":\"llama4_text\",\"intermediate_size\":8192,"
     "\"intermediate_size_mlp\":16384,\"layer_types\":[\"full_attention\"]}",
     "llama4",
     {{GOV__KEY_EXPERT_FEED_FORWARD, "8192"},
      {GOV__KEY_FEED_FORWARD, "16384"},
      {GOV__KEY_WINDOW, "0"}}},
    {"{\"model_type\":\"gpt2\",\"n_ctx\":1024,\"n_embd\":768,\"n_head\":12,"
     "\"n_layer\":12,\"n_inner\":null}",
     "gpt2",
     {{GOV__KEY_FEED_FORWARD, "3072"},
      {GOV__KEY_HEADS, "12"},
      {GOV__KEY_BLOCKS, "12"}}},
    {"{\"model_type\":\"bloom\",\"n_embed\":1024,\"n_head\":16,"
     "\"seq_length\":2048}",
     "bloom",
     {{GOV__KEY_CONTEXT, "2048"},
      {GOV__KEY_HEADS_KV, "16"},
      {GOV__KEY_FEED_FORWARD, "4096"}}},
    {"{\"model_type\":\"falcon\",\"hidden_size\":4544,"
     "\"num_attention_heads\":71}",
     "falcon",
     {{GOV__KEY_HEADS_KV, "1"}, {GOV__KEY_CONTEXT, "2048"}}},
    {"{\"model_type\":\"mpt\",\"d_model\":4096,\"n_heads\":32,"
     "\"max_seq_len\":2048,\"attn_config\":{\"kv_n_heads\":8}}",
     "mpt",
     {{GOV__KEY_HEADS_KV, "8"}, {GOV__KEY_EMBEDDING, "4096"}}},
    /* BAAI/bge-small-en-v1.5, FacebookAI/xlm-roberta-base */
    {"{\"architectures\":[\"BertModel\"],\"model_type\":\"bert\","
     "\"max_position_embeddings\":512}",
     "bert",
     {{GOV__KEY_CAUSAL, "0"}, {GOV__KEY_CONTEXT, "512"}}},
    {"{\"model_type\":\"xlm-roberta\",\"max_position_embeddings\":514,"
     "\"pad_token_id\":1}",
     "bert",
     {{GOV__KEY_CAUSAL, "0"}, {GOV__KEY_CONTEXT, "512"}}},
    {"{\"model_type\":\"nomic_bert\",\"n_positions\":8192,\"n_embd\":768,"
     "\"max_trained_positions\":2048}",
     "nomic-bert",
     {{GOV__KEY_CONTEXT, "2048"}, {GOV__KEY_CAUSAL, "0"}}},
    {"{\"model_type\":\"nomic_bert\",\"n_positions\":2048,"
     "\"moe_every_n_layers\":2,\"moe_top_k\":2}",
     "nomic-bert-moe",
     {{GOV__KEY_CONTEXT, "512"}, {GOV__KEY_EXPERTS_USED, "2"}}},
    {"{\"model_type\":\"modernbert\",\"local_attention\":128,"
     "\"global_attn_every_n_layers\":3}",
     "modern-bert",
     {{GOV__KEY_WINDOW, "128"},
      {GOV__KEY_WINDOW_PATTERN, "3"},
      {GOV__KEY_CAUSAL, "0"}}},
    {"{\"model_type\":\"t5\",\"d_model\":512,\"d_ff\":2048,\"d_kv\":64,"
     "\"num_heads\":8,\"num_layers\":6}",
     "t5",
     {{GOV__KEY_BLOCKS, "6"},
      {GOV__KEY_HEADS, "8"},
      {GOV__KEY_KEY_LENGTH, "64"},
      {GOV__KEY_CONTEXT, "512"}}},
    {"{\"model_type\":\"chatglm\",\"hidden_size\":4096,"
     "\"num_attention_heads\":32,\"multi_query_group_num\":2,"
     "\"seq_length\":131072,\"ffn_hidden_size\":13696,\"num_layers\":40}",
     "chatglm",
     {{GOV__KEY_HEADS_KV, "2"},
      {GOV__KEY_FEED_FORWARD, "13696"},
      {GOV__KEY_CONTEXT, "131072"}}},

    /* ---- not as it should be ---- */
    {"{}", "", {{GOV__KEY_BLOCKS, "-"}, {GOV__KEY_HEADS, "-"}}},
    {"{\"model_type\":\"new\\u001bone\",\"num_hidden_layers\":3,"
     "\"num_attention_heads\":7}",
     "new\\x1Bone",
     {{GOV__KEY_BLOCKS, "3"}, {GOV__KEY_HEADS, "7"}}},
    {"{\"architectures\":[\"BrandNewForCausalLM\"]}",
     "BrandNewForCausalLM",
     {{GOV__KEY_BLOCKS, "-"}}},
    {"{\"model_type\":7,\"architectures\":{\"0\":\"LlamaForCausalLM\"},"
     "\"text_config\":[1]}",
     "",
     {{GOV__KEY_BLOCKS, "-"}}},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":null,"
     "\"hidden_size\":\"4096\",\"num_attention_heads\":32.5,"
     "\"num_key_value_heads\":-8,\"vocab_size\":4294967296,"
     "\"max_position_embeddings\":1000000000000000019884624838656,"
     "\"head_dim\":true,\"intermediate_size\":{}}",
     "llama",
     {{GOV__KEY_BLOCKS, "-"},
      {GOV__KEY_EMBEDDING, "-"},
      {GOV__KEY_HEADS, "-"},
      {GOV__KEY_HEADS_KV, "-"},
      {GOV__KEY_VOCABULARY, "-"},
      {GOV__KEY_CONTEXT, "-"},
      {GOV__KEY_KEY_LENGTH, "-"},
      {GOV__KEY_FEED_FORWARD, "-"}}},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":[1,2],"
     "\"num_key_value_heads\":[1,null],\"vocab_size\":4294967295,"
     "\"hidden_size\":-0,\"num_attention_heads\":4.0,"
     "\"num_attention_heads\":8}",
     "llama",
     {{GOV__KEY_BLOCKS, "-"},
      {GOV__KEY_HEADS_KV, "-"},
      {GOV__KEY_VOCABULARY, "4294967295"},
      {GOV__KEY_EMBEDDING, "0"},
      {GOV__KEY_HEADS, "8"}}},
    {"{\"model_type\":\"deepseek_v3\",\"kv_lora_rank\":4294967295,"
     "\"qk_rope_head_dim\":64,\"qk_nope_head_dim\":4294967295}",
     "deepseek2",
     {{GOV__KEY_KEY_LENGTH, "-"}, {GOV__KEY_KEY_LENGTH_MLA, "-"}}},
    {"{\"model_type\":\"qwen3_next\",\"num_hidden_layers\":4,"
     "\"layer_types\":[\"linear_attention\",1]}",
     "qwen3next",
     {{GOV__KEY_RECURRENT_LAYERS, "-"}}},
    {"{\"model_type\":\"x\\\"Infinity\\\\NaN\"}",
     "x\"Infinity\\NaN",
     {{GOV__KEY_BLOCKS, "-"}}},
    {"{\"is_causal\":false,\"model_type\":\"x\"}",
     "x",
     {{GOV__KEY_CAUSAL, "0"}}},
    {"{\"architectures\":[\"CodeShellForCausalLM\"],\"n_embd\":4096,"
     "\"n_head\":32,\"num_query_groups\":8,\"n_positions\":8192}",
     "codeshell",
     {{GOV__KEY_HEADS_KV, "8"},
      {GOV__KEY_CONTEXT, "8192"},
      {GOV__KEY_FEED_FORWARD, "16384"}}},
    {"{\"architectures\":[\"Exaone4_5_ForConditionalGeneration\"],"
     "\"text_config\":{\"num_hidden_layers\":4,\"sliding_window\":8,"
     "\"sliding_window_pattern\":\"LLLG\",\"num_nextn_predict_layers\":1}}",
     "exaone4",
     {{GOV__KEY_BLOCKS, "5"},
      {GOV__KEY_NEXTN, "1"},
      {GOV__KEY_WINDOW_PATTERN, "[1,1,1,0]"}}},
    {"{\"architectures\":[\"Exaone4_5_ForConditionalGeneration\"],"
     "\"num_hidden_layers\":4}",
     "exaone4",
     {{GOV__KEY_BLOCKS, "4"}, {GOV__KEY_NEXTN, "-"}}},
    /* A model type with the name of an architecture, but of no row: nothing may
     * take its numbers for those of the architecture. */
    {"{\"architectures\":[\"PlamoForCausalLM\"],\"model_type\":\"plamo\"}",
     "PlamoForCausalLM",
     {{GOV__KEY_BLOCKS, "-"}}},
    {"{\"model_type\":\"openelm\",\"num_transformer_layers\":16}",
     "",
     {{GOV__KEY_BLOCKS, "-"}}},
};

START_TEST(says_what_the_converter_writes)
{
    const struct config *config = &configs[_i];
    struct gov__header header;
    gov_error err = {0};

    ck_assert_msg(read_text(&header, config->json, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_str_eq(header.architecture, config->architecture);
    for (int i = 0; config->numbers[i].value != NULL; i++)
        ck_assert_msg(strcmp(show(&header, config->numbers[i].key),
                             config->numbers[i].value) == 0,
                      "%s: key %d is %s, not %s", config->architecture,
                      (int)config->numbers[i].key,
                      show(&header, config->numbers[i].key),
                      config->numbers[i].value);
    gov__header_fini(&header);
}
END_TEST

/* Layers that predict tokens are found among the tensors. */
START_TEST(counts_predicting_layers)
{
    static const char config[] =
        "{\"model_type\":\"qwen3_next\",\"num_hidden_layers\":2,"
        "\"layer_types\":[\"linear_attention\",\"full_attention\"]}";
    const struct gov_alloc *alloc = faults_alloc();
    struct gov__model_file file;
    struct gov__header header;

    write_text(path, config);
    gov__header_init(&header, "safetensors", alloc);
    header.tensors = alloc->alloc(alloc->ctx, 2 * sizeof(*header.tensors));
    ck_assert_ptr_nonnull(header.tensors);
    header.tensors[0].name = "mtp.layers.0.mlp.gate.weight";
    header.tensors[1].name = "mtp.layers.99999999999.x";
    header.count = 1;
    ck_assert_int_eq(gov__model_file_open(&file, path, NULL), GOV_OK);
    ck_assert_int_eq(gov__config_json_read(&header, &file, NULL), GOV_OK);
    ck_assert_str_eq(show(&header, GOV__KEY_BLOCKS), "3");
    ck_assert_str_eq(show(&header, GOV__KEY_NEXTN), "1");
    ck_assert_str_eq(show(&header, GOV__KEY_RECURRENT_LAYERS), "[1,0,0]");
    header.count = 2;
    ck_assert_int_eq(gov__config_json_read(&header, &file, NULL), GOV_OK);
    gov__model_file_close(&file);
    gov__header_fini(&header);
}
END_TEST

static const struct {
    const char *json;
    gov_status status;
    const char *message;
} broken[] = {
    {"", GOV_E_FORMAT,
     "config.json is broken at line 1, column 0 ('[' or '{' expected near end "
     "of file); download it again"},
    {"[]", GOV_E_FORMAT,
     "config.json is broken at line 1, column 1 (an object is wanted); "
     "download it again"},
    {"{\n \"a\": 1,\n}", GOV_E_FORMAT,
     "config.json is broken at line 3, column 1 (string or '}' expected near "
     "'}'); download it again"},
    {"{\"a\": 1e400}", GOV_E_FORMAT,
     "config.json is broken at line 1, column 11 (real number overflow near "
     "'1e400'); download it again"},
    {"{\"a\": Infinitx}", GOV_E_FORMAT, NULL},
    {"{\"a\": Inf}", GOV_E_FORMAT, NULL},
    {"{\"a\": NaM}", GOV_E_FORMAT, NULL},
    {"{\"a\": \033[2J}", GOV_E_FORMAT, NULL},
    {"{\"a\": 1} x", GOV_E_FORMAT, NULL},
    {"{\"num_hidden_layers\":4000000000}", GOV_E_UNSUPPORTED,
     "config.json tells of 4000000000 layers, more than the 512 that engines "
     "run; name another model"},
    {"{\"model_type\":\"glm4_moe\",\"num_hidden_layers\":512,"
     "\"num_nextn_predict_layers\":1}",
     GOV_E_UNSUPPORTED,
     "config.json tells of 513 layers, more than the 512 that engines run; "
     "name another model"},
};

START_TEST(refuses_broken)
{
    struct gov__header header;
    gov_error err = {0};

    ck_assert_int_eq(read_text(&header, broken[_i].json, &err),
                     broken[_i].status);
    if (broken[_i].message != NULL)
        ck_assert_str_eq(err.message, broken[_i].message);
    for (const char *at = err.message; *at != '\0'; at++)
        ck_assert(*at >= 0x20 && *at != 0x7F);
    ck_assert_str_ne(err.message, "");
    gov__header_fini(&header);
}
END_TEST

/* Members of any row with values that have no place there. */
START_TEST(bears_absurd_values)
{
    static const char *const values[] = {"null",
                                         "true",
                                         "\"\"",
                                         "\"x\"",
                                         "-1",
                                         "0",
                                         "1",
                                         "0.5",
                                         "4294967295",
                                         "1e300",
                                         "[]",
                                         "[0]",
                                         "[4294967295,4294967295]",
                                         "[\"x\",null,{}]",
                                         "{}",
                                         "{\"bits\":1,\"a\":{\"weights\":[]}}"};
    static const char *const names[] = {"num_hidden_layers",
                                        "num_attention_heads",
                                        "num_key_value_heads",
                                        "hidden_size",
                                        "intermediate_size",
                                        "head_dim",
                                        "layer_types",
                                        "sliding_window",
                                        "sliding_window_pattern",
                                        "kv_lora_rank",
                                        "qk_rope_head_dim",
                                        "full_attn_idxs",
                                        "attn_layer_indices",
                                        "attn_layer_period",
                                        "attn_layer_offset",
                                        "hybrid_override_pattern",
                                        "layers_block_type",
                                        "linear_attn_config",
                                        "attn_config",
                                        "ffn_config",
                                        "text_config",
                                        "quantization",
                                        "quantization_config",
                                        "lora_adaptations",
                                        "pad_token_id",
                                        "block_auto_adjust_ff_dim",
                                        "block_multiple_of",
                                        "num_nextn_predict_layers",
                                        "expand",
                                        "mamba_expand",
                                        "architectures",
                                        "moe_intermediate_size",
                                        "global_head_dim",
                                        "num_kv_shared_layers",
                                        "num_global_key_value_heads",
                                        "indexer_types"};
    static const char *const types[] = {"llama",
                                        "llama4_text",
                                        "gemma3",
                                        "gemma3n",
                                        "gemma4",
                                        "gpt_oss",
                                        "phi",
                                        "phi3",
                                        "olmo3",
                                        "exaone4",
                                        "exaone_moe",
                                        "cohere",
                                        "deepseek_v3",
                                        "deepseek_v32",
                                        "glm4_moe",
                                        "glm4_moe_lite",
                                        "minicpm3",
                                        "qwen3_next",
                                        "mamba",
                                        "mamba2",
                                        "jamba",
                                        "falcon_h1",
                                        "granitemoehybrid",
                                        "bamba",
                                        "nemotron_h",
                                        "lfm2",
                                        "lfm2_moe",
                                        "kimi_linear",
                                        "rwkv6",
                                        "rwkv7",
                                        "rwkv6qwen2",
                                        "ernie4_5_moe",
                                        "hunyuan_v1_moe",
                                        "smallthinker",
                                        "bailing_moe_v2",
                                        "dbrx",
                                        "gpt2",
                                        "mpt",
                                        "bloom",
                                        "falcon",
                                        "chatglm",
                                        "roberta",
                                        "xlm-roberta",
                                        "nomic_bert",
                                        "modernbert",
                                        "neobert",
                                        "t5"};
    char text[512];

    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            struct gov__header header;
            gov_error err = {0};
            gov_status status;

            snprintf(text, sizeof(text),
                     "{\"num_hidden_layers\":3,\"num_key_value_heads\":2,"
                     "\"num_attention_heads\":4,\"hidden_size\":64,"
                     "\"model_type\":\"%s\",\"%s\":%s}",
                     types[_i], names[n], values[v]);
            status = read_text(&header, text, &err);
            ck_assert_msg(status == GOV_OK || status == GOV_E_UNSUPPORTED,
                          "%s: %d (%s)", text, (int)status, err.message);
            for (unsigned k = 0; k < GOV__KEYS; k++)
                ck_assert_uint_le(header.number[k].count, GOV__LAYERS_MAX);
            gov__header_fini(&header);
        }
}
END_TEST

START_TEST(bears_long_arrays)
{
    struct gov__header header;
    char *text = malloc(70000);
    size_t used;

    for (int count = 512; count <= 712; count += 100) {
        used = (size_t)snprintf(text, 70000,
                                "{\"model_type\":\"gemma3n\","
                                "\"num_key_value_heads\":[1");
        for (int i = 1; i < count; i++)
            used += (size_t)snprintf(text + used, 70000 - used, ",1");
        used += (size_t)snprintf(text + used, 70000 - used,
                                 "],\"layer_types\":[\"sliding_attention\"");
        for (int i = 1; i < count; i++)
            used += (size_t)snprintf(text + used, 70000 - used,
                                     ",\"sliding_attention\"");
        snprintf(text + used, 70000 - used, "]}");
        ck_assert_int_eq(read_text(&header, text, NULL), GOV_OK);
        ck_assert_uint_eq(header.number[GOV__KEY_WINDOW_PATTERN].count,
                          count == 512 ? 512 : 0);
        ck_assert_uint_eq(header.number[GOV__KEY_HEADS_KV].count,
                          count == 512 ? 512 : 1 /* the default */);
        gov__header_fini(&header);
    }
    free(text);
}
END_TEST

START_TEST(refuses_large_files)
{
    struct gov__header header;
    gov_error err = {0};
    char *text = malloc(2 * 1024 * 1024 + 2);

    memset(text, ' ', 2 * 1024 * 1024 + 1);
    text[2 * 1024 * 1024 + 1] = '\0';
    memcpy(text, "{}", 2);
    ck_assert_int_eq(read_text(&header, text, &err), GOV_E_FORMAT);
    ck_assert_str_eq(err.message, "config.json is larger than the 2 MiB that "
                                  "any needs; download it again");
    gov__header_fini(&header);
    text[2 * 1024 * 1024] = '\0';
    ck_assert_int_eq(read_text(&header, text, &err), GOV_OK);
    gov__header_fini(&header);
    free(text);
}
END_TEST

/* ---- a system that fails ------------------------------------------------------ */

static const char busy[] =
    "{\"model_type\":\"gemma4_text\",\"num_hidden_layers\":4,"
    "\"num_key_value_heads\":8,\"num_global_key_value_heads\":2,"
    "\"intermediate_size\":100,\"use_double_wide_mlp\":true,"
    "\"sliding_window\":512,\"layer_types\":[\"sliding_attention\","
    "\"sliding_attention\",\"sliding_attention\",\"full_attention\"]}";

START_TEST(survives_any_fault)
{
    struct gov__model_file file;
    struct gov__header header;
    uint64_t calls;

    ck_assert_int_eq(read_text(&header, busy, NULL), GOV_OK);
    gov__header_fini(&header);
    ck_assert_int_eq(gov__model_file_open(&file, path, NULL), GOV_OK);
    faults_reset();
    gov__header_init(&header, "safetensors", faults_alloc());
    ck_assert_int_eq(gov__config_json_read(&header, &file, NULL), GOV_OK);
    gov__header_fini(&header);
    calls = faults_count();
    ck_assert_uint_ge(calls, 5);
    for (uint64_t n = 0; n < calls; n++) {
        gov_error err = {0};
        gov_status status;

        faults_reset();
        faults_arm(n, _i != 0);
        gov__header_init(&header, "safetensors", faults_alloc());
        status = gov__config_json_read(&header, &file, &err);
        gov__header_fini(&header);
        ck_assert_msg(
            status ==
                (strcmp(faults_last(), "alloc") == 0 ? GOV_E_NOMEM : GOV_E_IO),
            "%s, call %d: got %d", faults_last(), (int)n, (int)status);
        ck_assert_str_ne(err.message, "");
    }
    gov__model_file_close(&file);
}
END_TEST

static int jansson_left;

static void *jansson_alloc(size_t bytes)
{
    return jansson_left-- > 0 ? malloc(bytes) : NULL;
}

/* The library never does this; a host may. */
START_TEST(survives_jansson_without_memory)
{
    struct gov__header header;
    json_malloc_t alloc;
    json_free_t release;
    int refused = 0;

    ck_assert_int_eq(read_text(&header, busy, NULL), GOV_OK);
    gov__header_fini(&header);
    json_get_alloc_funcs(&alloc, &release);
    for (int n = 0;; n++) {
        gov_error err = {0};
        gov_status status;

        jansson_left = n;
        json_set_alloc_funcs(jansson_alloc, free);
        status = read_text(&header, busy, &err);
        json_set_alloc_funcs(alloc, release);
        if (status == GOV_OK)
            ck_assert_str_eq(show(&header, GOV__KEY_HEADS_KV), "[8,8,8,2]");
        gov__header_fini(&header);
        if (status == GOV_OK)
            break;
        refused++;
        /* Where jansson takes a lack of memory for a fault of the text, it tells
         * nobody. */
        if (status == GOV_E_FORMAT)
            ck_assert_ptr_null(strstr(err.message, "()"));
        else
            ck_assert_str_eq(err.message, "out of memory while reading "
                                          "config.json; free some and try "
                                          "again");
    }
    ck_assert_int_gt(refused, 20);
}
END_TEST

START_TEST(sees_a_file_shrink)
{
    struct gov__model_file file;
    struct gov__header header;
    gov_error err = {0};

    write_text(path, "{\"a\":1,");
    ck_assert_int_eq(gov__model_file_open(&file, path, NULL), GOV_OK);
    file.id.bytes = 200;
    gov__header_init(&header, "safetensors", faults_alloc());
    ck_assert_int_eq(gov__config_json_read(&header, &file, &err), GOV_E_IO);
    ck_assert_str_eq(err.message,
                     "model config.json became shorter while it was read; "
                     "wait until nothing writes to it");
    gov__header_fini(&header);
    gov__model_file_close(&file);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *suite(void)
{
    Suite *s = suite_create("config_json");
    TCase *t = tcase_create("config_json");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, says_what_the_converter_writes, 0, ROWS(configs));
    tcase_add_test(t, counts_predicting_layers);
    tcase_add_loop_test(t, refuses_broken, 0, ROWS(broken));
    tcase_add_loop_test(t, bears_absurd_values, 0, 47);
    tcase_add_test(t, bears_long_arrays);
    tcase_add_test(t, refuses_large_files);
    tcase_add_loop_test(t, survives_any_fault, 0, 2);
    tcase_add_test(t, survives_jansson_without_memory);
    tcase_add_test(t, sees_a_file_shrink);
    suite_add_tcase(s, t);
    return s;
}
