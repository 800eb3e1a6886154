/* SPDX-License-Identifier: MIT */
/* The architectures as data: which tensors each has, of which widths, in which
 * layers, and which keys tell a reader so. Names and shapes are those of
 * llama.cpp's src/models/ and src/llama-arch.cpp. Never computes an offset and
 * never writes a byte.
 *
 * The gains make a lively network out of noise. Scores of queries and keys
 * spread over a few units, so attention picks words instead of averaging them
 * all and the text depends on its past; logits spread enough that sampling has
 * something to choose; and each layer adds about as much as the embedding. */
#include "mkmodel_arch.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* name, place, role, columns, rows, planes, gain, layers in which, suffix */
#define T(n, p, r, c, w, z, g, i, s)                                           \
    {                                                                          \
        .name = (n), .place = MK_##p, .role = MK_##r, .columns = MK_DIM_##c,   \
        .rows = MK_DIM_##w, .planes = MK_DIM_##z, .gain_q8 = (g),              \
        .when = MK_WHEN_##i, .suffix = MK_##s                                  \
    }

/* name, kind, which number or else the constant */
#define K(n, k, d, c)                                                          \
    {                                                                          \
        .name = (n), .kind = MK_KEY_##k, .dim = MK_DIM_##d, .constant = (c)    \
    }

#define TENSORS(name, ...)                                                     \
    static const struct mk_tensor_rule name##_list[] = {__VA_ARGS__};          \
    static const struct mk_tensor_rules name = {name##_list, COUNT(name##_list)}

#define KEYS(name, ...)                                                        \
    static const struct mk_key name##_list[] = {__VA_ARGS__};                  \
    static const struct mk_keys name = {name##_list, COUNT(name##_list)}

/* clang-format off */

TENSORS(embedding,
    T("token_embd", BEFORE, EMBEDDING, EMBD, VOCAB, NONE, 640, ALWAYS, WEIGHT),
    T("attn_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT));

/* The embedding is multiplied by the root of its width, and it is the output
 * matrix too: a stronger one would say each word again. */
TENSORS(embedding_gemma,
    T("token_embd", BEFORE, EMBEDDING, EMBD, VOCAB, NONE, 36, ALWAYS, WEIGHT),
    T("attn_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT));

TENSORS(output_gemma,
    T("output_norm", AFTER, NORM, EMBD, NONE, NONE, 4000, ALWAYS, WEIGHT));

TENSORS(attention,
    T("attn_q", LAYER, MATRIX, EMBD, Q, NONE, 435, ATTENTION, WEIGHT),
    T("attn_k", LAYER, MATRIX, EMBD, KV, NONE, 435, ATTENTION, WEIGHT),
    T("attn_v", LAYER, MATRIX, EMBD, KV, NONE, 384, ATTENTION, WEIGHT),
    T("attn_output", LAYER, MATRIX, Q, EMBD, NONE, 512, ATTENTION, WEIGHT));

TENSORS(attention_fused,
    T("attn_qkv", LAYER, MATRIX, EMBD, QKV, NONE, 420, ALWAYS, WEIGHT),
    T("attn_output", LAYER, MATRIX, Q, EMBD, NONE, 512, ALWAYS, WEIGHT));

TENSORS(qk_norms,
    T("attn_q_norm", LAYER, NORM, HEAD, NONE, NONE, 384, ATTENTION, WEIGHT),
    T("attn_k_norm", LAYER, NORM, HEAD, NONE, NONE, 384, ATTENTION, WEIGHT));

TENSORS(qkv_biases,
    T("attn_q", LAYER, VECTOR, Q, NONE, NONE, 64, ALWAYS, BIAS),
    T("attn_k", LAYER, VECTOR, KV, NONE, NONE, 64, ALWAYS, BIAS),
    T("attn_v", LAYER, VECTOR, KV, NONE, NONE, 64, ALWAYS, BIAS));

TENSORS(sinks,
    T("attn_output", LAYER, VECTOR, EMBD, NONE, NONE, 64, ALWAYS, BIAS),
    T("attn_sinks", LAYER, VECTOR, HEADS, NONE, NONE, 256, ALWAYS, WEIGHT));

TENSORS(mla,
    T("attn_q_a", LAYER, MATRIX, EMBD, Q_LORA, NONE, 256, Q_LORA, WEIGHT),
    T("attn_q_a_norm", LAYER, NORM, Q_LORA, NONE, NONE, 256, Q_LORA, WEIGHT),
    T("attn_q_b", LAYER, MATRIX, Q_LORA, Q_MLA, NONE, 435, Q_LORA, WEIGHT),
    T("attn_q", LAYER, MATRIX, EMBD, Q_MLA, NONE, 435, NO_Q_LORA, WEIGHT),
    T("attn_kv_a_mqa", LAYER, MATRIX, EMBD, KV_CACHED, NONE, 384, ALWAYS,
      WEIGHT),
    T("attn_kv_a_norm", LAYER, NORM, KV_LORA, NONE, NONE, 256, ALWAYS, WEIGHT),
    T("attn_k_b", LAYER, ANY, NOPE, KV_LORA, HEADS, 256, ALWAYS, WEIGHT),
    T("attn_v_b", LAYER, ANY, KV_LORA, VALUE_MLA, HEADS, 384, ALWAYS, WEIGHT),
    T("attn_output", LAYER, MATRIX, V_MLA, EMBD, NONE, 512, ALWAYS, WEIGHT));

TENSORS(post_norms,
    T("post_attention_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS,
      WEIGHT),
    T("post_ffw_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT));

TENSORS(rotation,
    T("rope_freqs", BEFORE, NORM, HEAD_2, NONE, NONE, 256, ALWAYS, WEIGHT));

TENSORS(mamba,
    T("ssm_in", LAYER, MATRIX, EMBD, INNER_2, NONE, 256, ALWAYS, WEIGHT),
    T("ssm_conv1d", LAYER, FULL, CONV, INNER, NONE, 384, ALWAYS, WEIGHT),
    T("ssm_conv1d", LAYER, VECTOR, INNER, NONE, NONE, 32, ALWAYS, BIAS),
    T("ssm_x", LAYER, MATRIX, INNER, SSM_X, NONE, 512, ALWAYS, WEIGHT),
    T("ssm_dt", LAYER, ANY, DT_RANK, INNER, NONE, 256, ALWAYS, WEIGHT),
    T("ssm_dt", LAYER, VECTOR, INNER, NONE, NONE, 256, ALWAYS, BIAS),
    T("ssm_a", LAYER, DECAY, STATE, INNER, NONE, 256, ALWAYS, BARE),
    T("ssm_d", LAYER, NORM, INNER, NONE, NONE, 256, ALWAYS, BARE),
    T("ssm_out", LAYER, MATRIX, INNER, EMBD, NONE, 768, ALWAYS, WEIGHT));

TENSORS(mamba2,
    T("ssm_in", LAYER, MATRIX, EMBD, SSM_IN, NONE, 256, RECURRENT, WEIGHT),
    T("ssm_conv1d", LAYER, FULL, CONV, SSM_CONV, NONE, 384, RECURRENT, WEIGHT),
    T("ssm_conv1d", LAYER, VECTOR, SSM_CONV, NONE, NONE, 32, RECURRENT, BIAS),
    T("ssm_dt", LAYER, VECTOR, DT_RANK, NONE, NONE, 256, RECURRENT, BIAS),
    T("ssm_a", LAYER, DECAY, ONE, DT_RANK, NONE, 256, RECURRENT, BARE),
    T("ssm_d", LAYER, NORM, ONE, DT_RANK, NONE, 256, RECURRENT, BARE),
    T("ssm_norm", LAYER, NORM, SSM_GROUP, GROUPS, NONE, 256, RECURRENT, WEIGHT),
    T("ssm_out", LAYER, MATRIX, INNER, EMBD, NONE, 512, RECURRENT, WEIGHT));

TENSORS(short_convolution,
    T("shortconv.conv", LAYER, FULL, CONV, EMBD, NONE, 384, RECURRENT, WEIGHT),
    T("shortconv.in_proj", LAYER, MATRIX, EMBD, EMBD_3, NONE, 256, RECURRENT,
      WEIGHT),
    T("shortconv.out_proj", LAYER, MATRIX, EMBD, EMBD, NONE, 512, RECURRENT,
      WEIGHT));

TENSORS(feed_forward,
    T("ffn_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT),
    T("ffn_gate", LAYER, MATRIX, EMBD, FF, NONE, 384, DENSE, WEIGHT),
    T("ffn_up", LAYER, MATRIX, EMBD, FF, NONE, 256, DENSE, WEIGHT),
    T("ffn_down", LAYER, MATRIX, FF, EMBD, NONE, 640, DENSE, WEIGHT));

/* The norm of Falcon-H1 has no suffix. */
TENSORS(feed_forward_bare,
    T("ffn_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS, BARE),
    T("ffn_gate", LAYER, MATRIX, EMBD, FF, NONE, 384, ALWAYS, WEIGHT),
    T("ffn_up", LAYER, MATRIX, EMBD, FF, NONE, 256, ALWAYS, WEIGHT),
    T("ffn_down", LAYER, MATRIX, FF, EMBD, NONE, 640, ALWAYS, WEIGHT));

TENSORS(feed_forward_fused,
    T("ffn_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT),
    T("ffn_up", LAYER, MATRIX, EMBD, FF_2, NONE, 320, ALWAYS, WEIGHT),
    T("ffn_down", LAYER, MATRIX, FF, EMBD, NONE, 640, ALWAYS, WEIGHT));

TENSORS(experts,
    T("ffn_gate_inp", LAYER, FULL, EMBD, EXPERTS, NONE, 512, EXPERTS, WEIGHT),
    T("ffn_gate_exps", LAYER, EXPERT, EMBD, EXPERT_FF, EXPERTS, 384, EXPERTS,
      WEIGHT),
    T("ffn_up_exps", LAYER, EXPERT, EMBD, EXPERT_FF, EXPERTS, 256, EXPERTS,
      WEIGHT),
    T("ffn_down_exps", LAYER, EXPERT, EXPERT_FF, EMBD, EXPERTS, 640, EXPERTS,
      WEIGHT));

TENSORS(expert_biases,
    T("ffn_gate_inp", LAYER, VECTOR, EXPERTS, NONE, NONE, 64, ALWAYS, BIAS),
    T("ffn_gate_exps", LAYER, VECTOR, EXPERT_FF, EXPERTS, NONE, 32, ALWAYS,
      BIAS),
    T("ffn_up_exps", LAYER, VECTOR, EXPERT_FF, EXPERTS, NONE, 32, ALWAYS, BIAS),
    T("ffn_down_exps", LAYER, VECTOR, EMBD, EXPERTS, NONE, 32, ALWAYS, BIAS));

TENSORS(post_attention_norm,
    T("post_attention_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS,
      WEIGHT));

TENSORS(shared_experts,
    T("ffn_gate_shexp", LAYER, MATRIX, EMBD, SHARED_FF, NONE, 384, EXPERTS,
      WEIGHT),
    T("ffn_up_shexp", LAYER, MATRIX, EMBD, SHARED_FF, NONE, 256, EXPERTS,
      WEIGHT),
    T("ffn_down_shexp", LAYER, MATRIX, SHARED_FF, EMBD, NONE, 640, EXPERTS,
      WEIGHT));

TENSORS(output,
    T("output_norm", AFTER, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT),
    T("output", AFTER, OUTPUT, EMBD, VOCAB, NONE, 640, ALWAYS, WEIGHT));

TENSORS(output_lfm2,
    T("token_embd_norm", AFTER, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT),
    T("output", AFTER, OUTPUT, EMBD, VOCAB, NONE, 640, ALWAYS, WEIGHT));

TENSORS(bert,
    T("token_embd", BEFORE, EMBEDDING, EMBD, VOCAB, NONE, 640, ALWAYS, WEIGHT),
    T("position_embd", BEFORE, FULL, EMBD, CTX, NONE, 640, ALWAYS, WEIGHT),
    T("token_types", BEFORE, FULL, EMBD, TWO, NONE, 640, ALWAYS, WEIGHT),
    T("token_embd_norm", BEFORE, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT),
    T("token_embd_norm", BEFORE, VECTOR, EMBD, NONE, NONE, 16, ALWAYS, BIAS),
    T("attn_output", LAYER, VECTOR, EMBD, NONE, NONE, 16, ALWAYS, BIAS),
    T("attn_output_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT),
    T("attn_output_norm", LAYER, VECTOR, EMBD, NONE, NONE, 16, ALWAYS, BIAS),
    T("ffn_up", LAYER, MATRIX, EMBD, FF, NONE, 384, ALWAYS, WEIGHT),
    T("ffn_up", LAYER, VECTOR, FF, NONE, NONE, 16, ALWAYS, BIAS),
    T("ffn_down", LAYER, MATRIX, FF, EMBD, NONE, 512, ALWAYS, WEIGHT),
    T("ffn_down", LAYER, VECTOR, EMBD, NONE, NONE, 16, ALWAYS, BIAS),
    T("layer_output_norm", LAYER, NORM, EMBD, NONE, NONE, 256, ALWAYS, WEIGHT),
    T("layer_output_norm", LAYER, VECTOR, EMBD, NONE, NONE, 16, ALWAYS, BIAS));

KEYS(size_keys,
    K("vocab_size", U32, VOCAB, 0),
    K("context_length", U32, CTX, 0),
    K("embedding_length", U32, EMBD, 0),
    K("block_count", U32, LAYERS, 0),
    K("feed_forward_length", LAYERS, FF, 0));

KEYS(head_keys,
    K("attention.head_count", LAYERS, HEADS, 0),
    K("attention.head_count_kv", LAYERS, KV_HEADS, 0),
    K("attention.key_length", U32, HEAD, 0),
    K("attention.value_length", U32, HEAD, 0),
    K("rope.dimension_count", U32, HEAD, 0),
    K("attention.layer_norm_rms_epsilon", F32, NONE, 1e-5f),
    K("rope.freq_base", F32, NONE, 10000));

KEYS(window_keys,
    K("attention.sliding_window", OPTIONAL, WINDOW, 0),
    K("attention.sliding_window_pattern", OPTIONAL, WINDOW_PERIOD, 0));

KEYS(gemma4_keys,
    K("attention.sliding_window", U32, WINDOW, 0),
    K("attention.sliding_window_pattern", WINDOWS, WINDOW_PERIOD, 0),
    K("attention.key_length_swa", U32, HEAD, 0),
    K("attention.value_length_swa", U32, HEAD, 0),
    K("attention.shared_kv_layers", U32, SHARED_KV, 0),
    K("embedding_length_per_layer_input", CONSTANT, NONE, 0));

/* Their experts are as wide as feed_forward_length says. */
KEYS(llama_expert_keys,
    K("expert_count", OPTIONAL, EXPERTS, 0),
    K("expert_used_count", OPTIONAL, EXPERTS_USED, 0));

KEYS(expert_keys,
    K("expert_count", OPTIONAL, EXPERTS, 0),
    K("expert_used_count", OPTIONAL, EXPERTS_USED, 0),
    K("expert_feed_forward_length", OPTIONAL, EXPERT_FF, 0),
    K("expert_shared_count", OPTIONAL, SHARED_EXPERTS, 0),
    K("leading_dense_block_count", OPTIONAL, DENSE_LEAD, 0));

/* What is cached is one head of all that MLA keeps of a token. */
KEYS(mla_keys,
    K("attention.head_count", U32, HEADS, 0),
    K("attention.head_count_kv", U32, ONE, 0),
    K("attention.key_length", U32, KV_CACHED, 0),
    K("attention.value_length", U32, KV_LORA, 0),
    K("attention.key_length_mla", U32, KEY_MLA, 0),
    K("attention.value_length_mla", U32, VALUE_MLA, 0),
    K("attention.q_lora_rank", OPTIONAL, Q_LORA, 0),
    K("attention.kv_lora_rank", U32, KV_LORA, 0),
    K("rope.dimension_count", U32, ROT, 0),
    K("attention.layer_norm_rms_epsilon", F32, NONE, 1e-5f),
    K("rope.freq_base", F32, NONE, 10000),
    K("expert_weights_scale", F32, NONE, 1));

KEYS(state_keys,
    K("ssm.conv_kernel", U32, CONV, 0),
    K("ssm.inner_size", U32, INNER, 0),
    K("ssm.state_size", U32, STATE, 0),
    K("ssm.time_step_rank", U32, DT_RANK, 0),
    K("ssm.group_count", OPTIONAL, GROUPS, 0));

KEYS(no_head_keys,
    K("attention.head_count", CONSTANT, NONE, 0),
    K("attention.layer_norm_rms_epsilon", F32, NONE, 1e-5f));

KEYS(short_keys,
    K("shortconv.l_cache", U32, CONV, 0));

KEYS(bert_keys,
    K("attention.head_count", U32, HEADS, 0),
    K("attention.head_count_kv", U32, KV_HEADS, 0),
    K("attention.layer_norm_epsilon", F32, NONE, 1e-12f),
    K("attention.causal", BOOL, NONE, 0),
    K("pooling_type", CONSTANT, NONE, 1));

static const struct mk_arch archs[] = {
    {.name = "llama",
     .tensors = {&embedding, &attention, &feed_forward, &output, &experts},
     .keys = {&size_keys, &head_keys, &llama_expert_keys}},
    {.name = "qwen2",
     .tensors = {&embedding, &attention, &qkv_biases, &feed_forward, &output},
     .keys = {&size_keys, &head_keys}},
    {.name = "qwen3",
     .tensors = {&embedding, &attention, &qk_norms, &feed_forward, &output},
     .keys = {&size_keys, &head_keys}},
    {.name = "qwen3moe",
     .tensors = {&embedding, &attention, &qk_norms, &feed_forward, &experts,
                 &output},
     .keys = {&size_keys, &head_keys, &expert_keys},
     .own_widths = true},
    {.name = "gemma2",
     .tensors = {&embedding_gemma, &attention, &post_norms, &feed_forward,
                 &output_gemma},
     .keys = {&size_keys, &head_keys, &window_keys},
     .tie = MK_TIE_ALWAYS},
    {.name = "gemma3",
     .tensors = {&embedding_gemma, &attention, &qk_norms, &post_norms,
                 &feed_forward, &output_gemma},
     .keys = {&size_keys, &head_keys, &window_keys},
     .tie = MK_TIE_ALWAYS},
    {.name = "gemma4",
     .tensors = {&embedding_gemma, &rotation, &attention, &qk_norms,
                 &post_norms, &feed_forward, &output_gemma},
     .keys = {&size_keys, &head_keys, &gemma4_keys},
     .tie = MK_TIE_ALWAYS},
    {.name = "phi3",
     .tensors = {&embedding, &attention_fused, &feed_forward_fused, &output},
     .keys = {&size_keys, &head_keys},
     .square = true},
    {.name = "deepseek2",
     .tensors = {&embedding, &mla, &feed_forward, &experts, &shared_experts,
                 &output},
     .keys = {&size_keys, &mla_keys, &expert_keys},
     .own_widths = true},
    {.name = "gpt-oss",
     .tensors = {&embedding, &attention, &qkv_biases, &sinks,
                 &post_attention_norm, &experts, &expert_biases, &output},
     .keys = {&size_keys, &head_keys, &window_keys, &expert_keys},
     .tie = MK_TIE_NEVER, .own_widths = true},
    {.name = "mamba",
     .tensors = {&embedding, &mamba, &output},
     .keys = {&size_keys, &no_head_keys, &state_keys}},
    {.name = "falcon-h1",
     .tensors = {&embedding, &attention, &mamba2, &feed_forward_bare, &output},
     .keys = {&size_keys, &head_keys, &state_keys}},
    {.name = "granitehybrid",
     .tensors = {&embedding, &attention, &mamba2, &feed_forward, &experts,
                 &output},
     .keys = {&size_keys, &head_keys, &state_keys, &llama_expert_keys}},
    {.name = "lfm2",
     .tensors = {&embedding, &attention, &qk_norms, &short_convolution,
                 &feed_forward, &output_lfm2},
     .keys = {&size_keys, &head_keys, &short_keys},
     .square = true},
    {.name = "openelm",
     .tensors = {&embedding, &attention_fused, &qk_norms, &feed_forward,
                 &output},
     .keys = {&size_keys, &head_keys},
     .tie = MK_TIE_ALWAYS, .grows = true},
    {.name = "bert",
     .tensors = {&bert, &attention, &qkv_biases},
     .keys = {&size_keys, &bert_keys},
     .tokenizer = MK_WPM, .tie = MK_TIE_NEVER, .square = true},
};

/* clang-format on */

const struct mk_arch *mk_arch_at(unsigned i)
{
    return i < COUNT(archs) ? &archs[i] : NULL;
}

const struct mk_arch *mk_arch_find(const char *name)
{
    for (size_t i = 0; i < COUNT(archs); i++)
        if (strcmp(archs[i].name, name) == 0)
            return &archs[i];
    return NULL;
}
