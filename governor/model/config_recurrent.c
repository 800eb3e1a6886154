/* SPDX-License-Identifier: MIT */
/* Rows of models with layers that keep a state: Mamba, RWKV, delta nets, short
 * convolutions. See config_models_priv.h. */
#include "governor/model/config_models_priv.h"

#include <string.h>

/* The checkpoint, not config.json, tells of such layers: "mtp.layers.0. ...". */
static uint32_t count_mtp(const struct gov__header *header)
{
    uint32_t count = 0;

    for (size_t i = 0; i < header->count; i++) {
        const char *at = strstr(header->tensors[i].name, "mtp.layers.");
        uint32_t number = 0;

        for (at = at != NULL ? at + 11 : ""; *at >= '0' && *at <= '9'; at++)
            if (number <= GOV__LAYERS_MAX)
                number = number * 10 + (uint32_t)(*at - '0');
        if (*at == '.' && number >= count)
            count = number + 1;
    }
    return count;
}

/* Also Qwen 3.5: gated delta nets in most layers. */
static void adapt_qwen3_next(struct gov__config *config)
{
    uint32_t flags[GOV__LAYERS_MAX], more, count = gov__config_layers(config);
    const struct gov__number *found =
        &config->header->number[GOV__KEY_RECURRENT_LAYERS];
    uint32_t heads = NUMBER(config, 0, "linear_num_value_heads");
    uint32_t length = NUMBER(config, 0, "linear_value_head_dim");

    TAKE(config, SSM_CONV_KERNEL, "linear_conv_kernel_dim");
    TAKE(config, SSM_STATE, "linear_key_head_dim");
    TAKE(config, SSM_GROUPS, "linear_num_key_heads");
    TAKE(config, SSM_TIME_STEP, "linear_num_value_heads");
    if (heads != 0 && length != 0)
        gov__config_set(config, GOV__KEY_SSM_INNER,
                        gov__config_times(heads, length));
    gov__config_set(config, GOV__KEY_FULL_INTERVAL,
                    NUMBER(config, 4, "full_attention_interval"));
    more = count_mtp(config->header);
    gov__config_take_words(config, GOV__KEY_RECURRENT_LAYERS,
                           GOV__FIND(config, "layer_types"),
                           "linear_attention");
    if (found->count == count && count > 1 && count + more < GOV__LAYERS_MAX) {
        memset(flags, 0, sizeof(flags));
        memcpy(flags, found->each, count * sizeof(flags[0]));
        gov__config_set_each(config, GOV__KEY_RECURRENT_LAYERS, flags,
                             count + more);
    } else {
        gov__config_clear(config, GOV__KEY_RECURRENT_LAYERS);
    }
    if (more != 0)
        gov__config_add_predicting(config, more);
}

static uint32_t nonzero(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

#define MILLION 1048576 /* tokens; "arbitrary" where nothing limits a context */

static void adapt_mamba(struct gov__config *config)
{
    uint32_t width = NUMBER(config, 0, "hidden_size", "d_model");

    gov__config_set(config, GOV__KEY_CONTEXT, MILLION);
    gov__config_set(config, GOV__KEY_EMBEDDING, width);
    gov__config_set(config, GOV__KEY_FEED_FORWARD, 0);
    gov__config_set(config, GOV__KEY_HEADS, 0);
    gov__config_clear(config, GOV__KEY_HEADS_KV);
    gov__config_clear_head_length(config);
    gov__config_set(config, GOV__KEY_SSM_CONV_KERNEL,
                    nonzero(NUMBER(config, 0, "conv_kernel", "d_conv"), 4));
    gov__config_set(config, GOV__KEY_SSM_INNER,
                    nonzero(NUMBER(config, 0, "intermediate_size", "d_inner"),
                            gov__config_times(2, width)));
    gov__config_set(config, GOV__KEY_SSM_STATE,
                    nonzero(NUMBER(config, 0, "state_size", "d_state"), 16));
    gov__config_set(config, GOV__KEY_SSM_TIME_STEP,
                    nonzero(NUMBER(config, 0, "time_step_rank", "dt_rank"),
                            width / 16 + (width % 16 != 0)));
}

/* The state of Mamba 2; names with a prefix are those of hybrids. */
static void take_mamba2(struct gov__config *config)
{
    uint32_t width = NUMBER(config, 0, "hidden_size", "d_model", "dim");
    uint32_t expand = nonzero(NUMBER(config, 0, "mamba_expand", "expand"), 2);
    uint32_t inner = nonzero(
        NUMBER(config, 0, "mamba_d_ssm", "intermediate_size", "d_inner"),
        gov__config_times(expand, width));
    uint32_t head = nonzero(NUMBER(config, 0, "mamba_d_head", "head_dim"), 64);

    gov__config_set(config, GOV__KEY_SSM_CONV_KERNEL,
                    nonzero(NUMBER(config, 0, "conv_kernel", "d_conv",
                                   "mamba_conv_kernel", "mamba_d_conv"),
                            4));
    gov__config_set(config, GOV__KEY_SSM_STATE,
                    nonzero(NUMBER(config, 0, "state_size", "d_state",
                                   "mamba_state_size", "mamba_d_state"),
                            128));
    gov__config_set(config, GOV__KEY_SSM_INNER, inner);
    gov__config_set(config, GOV__KEY_SSM_TIME_STEP, inner / head);
    gov__config_set(
        config, GOV__KEY_SSM_GROUPS,
        nonzero(NUMBER(config, 0, "n_groups", "mamba_n_groups"), 1));
    gov__config_set(config, GOV__KEY_EMBEDDING, width);
}

static void adapt_mamba2(struct gov__config *config)
{
    take_mamba2(config);
    gov__config_set(config, GOV__KEY_CONTEXT, MILLION);
    gov__config_set(config, GOV__KEY_FEED_FORWARD, 0);
    gov__config_set(config, GOV__KEY_HEADS, 0);
    gov__config_clear(config, GOV__KEY_HEADS_KV);
    gov__config_clear_head_length(config);
}

static void adapt_jamba(struct gov__config *config)
{
    uint32_t width = NUMBER(config, 0, "hidden_size", "mamba_d_model");
    uint32_t offset = NUMBER(config, 0, "attn_layer_offset");
    uint32_t period = NUMBER(config, 0, "attn_layer_period");
    bool attends[GOV__LAYERS_MAX];

    gov__config_set(config, GOV__KEY_SSM_CONV_KERNEL,
                    nonzero(NUMBER(config, 0, "mamba_d_conv"), 4));
    gov__config_set(
        config, GOV__KEY_SSM_INNER,
        gov__config_times(NUMBER(config, 2, "mamba_expand"), width));
    gov__config_set(config, GOV__KEY_SSM_STATE,
                    nonzero(NUMBER(config, 0, "mamba_d_state"), 16));
    gov__config_set(config, GOV__KEY_SSM_TIME_STEP,
                    nonzero(NUMBER(config, 0, "mamba_dt_rank"),
                            width / 16 + (width % 16 != 0)));
    if (period ==
        0) { /* of all gov__config_layers, then: the most there can be */
        gov__config_clear(config, GOV__KEY_HEADS_KV);
        return;
    }
    for (uint32_t i = 0; i < GOV__LAYERS_MAX; i++)
        attends[i] = i >= offset && (i - offset) % period == 0;
    gov__config_set_attending(config, attends);
}

static bool is_word(const json_t *value, const char *word)
{
    const char *text = json_string_value(value);

    return text != NULL && strcmp(text, word) == 0;
}

/* Which layers of a Granite or Bamba attend; false when it is not said. */
static bool granite_layers(const struct gov__config *config,
                           bool attends[GOV__LAYERS_MAX])
{
    const json_t *types = GOV__FIND(config, "layer_types");
    const json_t *numbers = GOV__FIND(config, "attn_layer_indices");
    uint32_t period = NUMBER(config, 0, "attn_layer_period");
    uint32_t offset = NUMBER(config, 0, "attn_layer_offset"), number;

    memset(attends, 0, GOV__LAYERS_MAX * sizeof(*attends));
    for (size_t i = 0; i < json_array_size(types) && i < GOV__LAYERS_MAX; i++)
        attends[i] = is_word(json_array_get(types, i), "attention");
    if (json_array_size(types) != 0)
        return true;
    for (size_t i = 0; i < json_array_size(numbers); i++)
        if (gov__config_whole(json_array_get(numbers, i), &number) &&
            number < GOV__LAYERS_MAX)
            attends[number] = true;
    if (json_array_size(numbers) != 0)
        return true;
    for (uint32_t i = 0; period != 0 && i < GOV__LAYERS_MAX; i++)
        attends[i] = i % period == offset;
    return period != 0;
}

static void take_hybrid(struct gov__config *config)
{
    TAKE(config, SSM_CONV_KERNEL, "conv_kernel", "d_conv", "mamba_conv_kernel",
         "mamba_d_conv");
    TAKE(config, SSM_STATE, "state_size", "d_state", "state_dim",
         "ssm_state_size", "mamba_state_size", "mamba_d_state",
         "mamba_state_dim");
    TAKE(config, SSM_GROUPS, "n_groups", "num_groups", "mamba_n_groups",
         "mamba_num_groups");
    TAKE(config, SSM_TIME_STEP, "n_heads", "num_heads", "mamba_n_heads",
         "mamba_num_heads");
    TAKE(config, HEADS_KV, "num_key_value_heads", "n_head_kv");
}

static void adapt_granite(struct gov__config *config)
{
    gov__config_clear_head_length(config);
    gov__adapt_llama(config);
}

static void adapt_granite_hybrid(struct gov__config *config)
{
    uint32_t width =
        NUMBER(config, 0, "mamba_head_dim", "hidden_size", "d_model");
    uint32_t expand = NUMBER(config, 0, "expand", "num_heads", "mamba_expand",
                             "mamba_num_heads");
    bool attends[GOV__LAYERS_MAX], all = true;
    bool bamba = is_word(json_array_get(GOV__FIND(config, "architectures"), 0),
                         "BambaForCausalLM");

    adapt_granite(config);
    if (!granite_layers(config, attends)) {
        gov__config_clear(config, GOV__KEY_HEADS_KV);
        return;
    }
    for (uint32_t i = 0; i < gov__config_layers(config); i++)
        all = all && attends[i];
    take_hybrid(config);
    gov__config_set(config, GOV__KEY_SSM_INNER,
                    gov__config_times(expand, width));
    gov__config_set_attending(config, attends);
    if (all)
        gov__config_rename_to(config,
                              GOV__FIND(config, "num_experts_per_tok") != NULL
                                  ? "granitemoe"
                                  : "granite");
    else if (!bamba)
        gov__config_set(config, GOV__KEY_CONTEXT, MILLION);
}

static void adapt_granite_swa(struct gov__config *config)
{
    uint32_t flags[GOV__LAYERS_MAX], count = gov__config_layers(config);

    adapt_granite(config);
    gov__config_set(config, GOV__KEY_WINDOW,
                    NUMBER(config, 128, "sliding_window"));
    for (uint32_t i = 0; i < count; i++)
        flags[i] = i % 4 != 0;
    gov__config_set_each(config, GOV__KEY_WINDOW_PATTERN, flags, count);
    gov__config_take_window_layers(config);
}

static void adapt_falcon_h1(struct gov__config *config)
{
    take_mamba2(config);
    TAKE(config, FEED_FORWARD, "intermediate_size");
}

/* A letter or a word for each layer: M and mamba, * and attention, - or E and
 * moe for the rest. Returns how many. */
static size_t nemotron_layers(const json_t *pattern, bool experts,
                              bool attends[GOV__LAYERS_MAX],
                              bool feeds[GOV__LAYERS_MAX])
{
    const char *letters = json_string_value(pattern);
    size_t count = letters != NULL ? strlen(letters) : json_array_size(pattern);

    if (count > GOV__LAYERS_MAX)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *word = json_array_get(pattern, i);

        attends[i] = letters != NULL ? letters[i] == '*'
                                     : is_word(word, "attention") ||
                                           is_word(word, "full_attention");
        feeds[i] = letters != NULL ? letters[i] == (experts ? 'E' : '-')
                                   : is_word(word, "moe");
    }
    return count;
}

static void adapt_nemotron_h(struct gov__config *config)
{
    bool attends[GOV__LAYERS_MAX] = {false}, feeds[GOV__LAYERS_MAX] = {false};
    bool experts = GOV__FIND(config, "num_experts_per_tok") != NULL;
    uint32_t widths[GOV__LAYERS_MAX], count;
    uint32_t width =
        NUMBER(config, 0, "mamba_head_dim", "hidden_size", "d_model");
    const json_t *pattern = GOV__FIND(config, "hybrid_override_pattern");

    if (!json_is_string(pattern))
        pattern = GOV__FIND(config, "layers_block_type");
    gov__config_rename_to(config, experts ? "nemotron_h_moe" : "nemotron_h");
    gov__adapt_llama(config);
    gov__config_clear_head_length(config);
    take_hybrid(config);
    TAKE(config, KEY_LENGTH, "head_dim", "attention_head_dim");
    TAKE(config, VALUE_LENGTH, "head_dim", "attention_head_dim");
    gov__config_set(
        config, GOV__KEY_SSM_INNER,
        gov__config_times(NUMBER(config, 0, "num_heads", "mamba_num_heads"),
                          width));
    gov__config_set(config, GOV__KEY_CONTEXT, MILLION);
    count = (uint32_t)nemotron_layers(pattern, experts, attends, feeds);
    if (count == 0) {
        gov__config_clear(config, GOV__KEY_HEADS_KV);
        return;
    }
    gov__config_set(config, GOV__KEY_BLOCKS, count);
    if (experts && NUMBER(config, 0, "num_nextn_predict_layers") == 1 &&
        count < GOV__LAYERS_MAX) {
        attends[count] = feeds[count] = true;
        count++;
        gov__config_add_predicting(config, 1);
    }
    gov__config_set_attending(config, attends);
    width = experts ? NUMBER(config, 0, "moe_intermediate_size")
                    : NUMBER(config, 0, "intermediate_size", "n_inner",
                             "hidden_dim");
    for (uint32_t i = 0; i < count; i++)
        widths[i] = feeds[i] ? width : 0;
    gov__config_set_each(config, GOV__KEY_FEED_FORWARD, widths, count);
}

static void set_lfm2_layers(struct gov__config *config, bool conv_is_named)
{
    const json_t *types = GOV__FIND(config, "layer_types");
    const json_t *full = GOV__FIND(config, "full_attn_idxs");
    bool attends[GOV__LAYERS_MAX] = {false};
    uint32_t number;

    for (size_t i = 0; i < json_array_size(types) && i < GOV__LAYERS_MAX; i++)
        attends[i] = conv_is_named
                         ? !is_word(json_array_get(types, i), "conv")
                         : is_word(json_array_get(types, i), "full_attention");
    for (size_t i = 0; types == NULL && i < json_array_size(full); i++)
        if (gov__config_whole(json_array_get(full, i), &number) &&
            number < GOV__LAYERS_MAX)
            attends[number] = true;
    if (json_array_size(types) != 0 || json_array_size(full) != 0)
        gov__config_set_attending(config, attends);
    TAKE(config, SHORTCONV, "conv_L_cache");
}

static void adapt_lfm2(struct gov__config *config)
{
    uint64_t width = NUMBER(config, 0, "block_ff_dim", "intermediate_size");
    uint32_t multiple = NUMBER(config, 0, "block_multiple_of");
    const json_t *factor = GOV__FIND(config, "block_ffn_dim_multiplier");

    set_lfm2_layers(config, true);
    if (json_is_true(GOV__FIND(config, "block_auto_adjust_ff_dim"))) {
        width = 2 * width / 3;
        if (json_is_number(factor) && json_number_value(factor) > 0 &&
            json_number_value(factor) < 1000)
            width = (uint64_t)(json_number_value(factor) * (double)width);
        if (multiple != 0)
            width = (width + multiple - 1) / multiple * multiple;
    }
    if (width != 0 && width <= UINT32_MAX)
        gov__config_set(config, GOV__KEY_FEED_FORWARD, (uint32_t)width);
}

static void adapt_lfm2_moe(struct gov__config *config)
{
    set_lfm2_layers(config, false);
}

static void adapt_kimi_linear(struct gov__config *config)
{
    const json_t *linear = GOV__FIND(config, "linear_attn_config");
    const json_t *full = json_object_get(linear, "full_attn_layers");
    bool attends[GOV__LAYERS_MAX] = {false};
    uint32_t number;

    gov__adapt_mla(config);
    if (GOV__FIND(config, "kv_lora_rank") == NULL)
        gov__config_clear(config, GOV__KEY_KEY_LENGTH);
    gov__config_take(config, GOV__KEY_SSM_CONV_KERNEL,
                     json_object_get(linear, "short_conv_kernel_size"));
    gov__config_take(config, GOV__KEY_KDA_HEAD,
                     json_object_get(linear, "head_dim"));
    for (size_t i = 0; i < json_array_size(full); i++) /* counted from 1 */
        if (gov__config_whole(json_array_get(full, i), &number) &&
            number >= 1 && number <= GOV__LAYERS_MAX)
            attends[number - 1] = true;
    if (json_array_size(full) != 0)
        gov__config_set_attending(config, attends);
}

static void adapt_rwkv(struct gov__config *config)
{
    gov__config_set(config, GOV__KEY_CONTEXT, MILLION);
    gov__config_set(config, GOV__KEY_HEADS, 0);
    gov__config_clear(config, GOV__KEY_HEADS_KV);
    gov__config_clear_head_length(config);
    TAKE(config, WKV_HEAD, "head_size", "head_dim");
}

static void adapt_rwkv6(struct gov__config *config)
{
    uint64_t width = gov__config_one(config, GOV__KEY_EMBEDDING);

    adapt_rwkv(config); /* 3.5 gov__config_times, in multiples of 32 */
    gov__config_fall_back(config, GOV__KEY_FEED_FORWARD,
                          (uint32_t)(width * 7 / 2 / 32 * 32));
}

static void adapt_rwkv7(struct gov__config *config)
{
    adapt_rwkv(config);
    gov__config_fall_back(
        config, GOV__KEY_FEED_FORWARD,
        gov__config_times(4, gov__config_one(config, GOV__KEY_EMBEDDING)));
}

static void adapt_rwkv6_qwen2(struct gov__config *config)
{
    uint32_t heads = gov__config_one(config, GOV__KEY_HEADS);

    gov__config_set(config, GOV__KEY_CONTEXT, MILLION);
    gov__config_clear_head_length(config);
    if (heads != 0)
        gov__config_set(config, GOV__KEY_WKV_HEAD,
                        gov__config_one(config, GOV__KEY_EMBEDDING) / heads);
    gov__config_set(config, GOV__KEY_HEADS, 0);
    gov__config_set(config, GOV__KEY_TOKEN_SHIFT, 1);
}

static void adapt_arwkv7(struct gov__config *config)
{
    adapt_rwkv(config);
    gov__config_set(config, GOV__KEY_TOKEN_SHIFT, 1);
}

static const struct gov__config_row rows[] = {
    {"qwen3_next", "Qwen3NextForCausalLM", "qwen3next", adapt_qwen3_next},
    {"qwen3_5", "Qwen3_5ForConditionalGeneration", "qwen35", adapt_qwen3_next},
    {"qwen3_5_text", "Qwen3_5ForCausalLM", "qwen35", adapt_qwen3_next},
    {"qwen3_5_moe", "Qwen3_5MoeForConditionalGeneration", "qwen35moe",
     adapt_qwen3_next},
    {"qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", "qwen35moe",
     adapt_qwen3_next},
    {"kimi_linear", "KimiLinearForCausalLM", "kimi-linear", adapt_kimi_linear},
    {"mamba", "MambaForCausalLM", "mamba", adapt_mamba},
    {NULL, "MambaLMHeadModel", "mamba", adapt_mamba},
    {"falcon_mamba", "FalconMambaForCausalLM", "mamba", adapt_mamba},
    {"mamba2", "Mamba2ForCausalLM", "mamba2", adapt_mamba2},
    {"jamba", "JambaForCausalLM", "jamba", adapt_jamba},
    {"falcon_h1", "FalconH1ForCausalLM", "falcon-h1", adapt_falcon_h1},
    {"granitemoehybrid", "GraniteMoeHybridForCausalLM", "granitehybrid",
     adapt_granite_hybrid},
    {"bamba", "BambaForCausalLM", "granitehybrid", adapt_granite_hybrid},
    {"nemotron_h", "NemotronHForCausalLM", "nemotron_h", adapt_nemotron_h},
    {"lfm2", "Lfm2ForCausalLM", "lfm2", adapt_lfm2},
    {NULL, "LFM2ForCausalLM", "lfm2", adapt_lfm2},
    {"lfm2_moe", "Lfm2MoeForCausalLM", "lfm2moe", adapt_lfm2_moe},
    {"rwkv6", "Rwkv6ForCausalLM", "rwkv6", adapt_rwkv6},
    {"rwkv7", "RWKV7ForCausalLM", "rwkv7", adapt_rwkv7},
    {NULL, "Rwkv7ForCausalLM", "rwkv7", adapt_rwkv7},
    {"rwkv6qwen2", "RWKV6Qwen2ForCausalLM", "rwkv6qwen2", adapt_rwkv6_qwen2},
    {"rwkv_hybrid", "RwkvHybridForCausalLM", "arwkv7", adapt_arwkv7},
    {"granite", "GraniteForCausalLM", "granite", adapt_granite},
    {"granitemoe", "GraniteMoeForCausalLM", "granitemoe", adapt_granite},
    {"granitemoeshared", "GraniteMoeSharedForCausalLM", "granitemoe",
     adapt_granite},
    {NULL, "GraniteSWAForCausalLM", "granite_swa", adapt_granite_swa},
    {NULL, "GraniteMoeSWAForCausalLM", "granite_swa", adapt_granite_swa},
};

const struct gov__config_rows gov__rows_recurrent = {rows, sizeof(rows) /
                                                               sizeof(rows[0])};
