/* SPDX-License-Identifier: MIT */
/* Which architecture of llama.cpp a model of the Transformers library becomes,
 * and which of its numbers then have another name or form than config_json.c
 * expects. Facts are from the classes in conversion/ of llama.cpp's tree (v0.5.0),
 * whose names and set_gguf_parameters() this follows row by row. */
#include <string.h>

#include "governor/model/config_json_priv.h"
#include "governor/model/model_text.h"

#define TAKE(config, key, ...)                                                 \
    gov__config_take(config, GOV__KEY_##key, GOV__FIND(config, __VA_ARGS__))
#define NUMBER(config, otherwise, ...)                                         \
    gov__config_number(GOV__FIND(config, __VA_ARGS__), otherwise)

typedef void adapt(struct gov__config *config);

/* ---- parts of several ------------------------------------------------------------ */

static uint32_t one(const struct gov__config *config, enum gov__key key)
{
    return (uint32_t)gov__header_single(config->header, key);
}

static uint32_t layers(const struct gov__config *config)
{
    uint32_t count = one(config, GOV__KEY_BLOCKS);

    return count < GOV__LAYERS_MAX ? count : GOV__LAYERS_MAX;
}

/* What the library fills in where config.json does not say. */
static void fall_back(struct gov__config *config, enum gov__key key,
                      uint32_t value)
{
    if (config->header->number[key].count == 0)
        gov__config_set(config, key, value);
}

static uint32_t times(uint32_t a, uint32_t b)
{
    return b == 0 || a <= UINT32_MAX / b ? a * b : UINT32_MAX;
}

/* Flags: which of a list of words are that word. */
static void take_words(struct gov__config *config, enum gov__key key,
                       const json_t *list, const char *word)
{
    size_t count = json_array_size(list);
    uint32_t flags[GOV__LAYERS_MAX];

    if (count == 0 || count > GOV__LAYERS_MAX)
        return;
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        flags[i] = text != NULL && strcmp(text, word) == 0;
    }
    gov__config_set_each(config, key, flags, count);
}

static void take_window_layers(struct gov__config *config)
{
    take_words(config, GOV__KEY_WINDOW_PATTERN,
               GOV__FIND(config, "layer_types"), "sliding_attention");
}

/* A layer in `period` attends to everything: that whose number is last of them. */
static void set_window_period(struct gov__config *config, uint32_t period)
{
    uint32_t flags[GOV__LAYERS_MAX], count = layers(config);

    for (uint32_t i = 0; i < count; i++)
        flags[i] = period != 0 && (i + 1) % period != 0;
    gov__config_set_each(config, GOV__KEY_WINDOW_PATTERN, flags, count);
}

/* Key and value heads of the layers that attend; none in the others. */
static void set_attending(struct gov__config *config,
                          const bool attends[GOV__LAYERS_MAX])
{
    uint32_t heads[GOV__LAYERS_MAX], count = layers(config);
    uint32_t all = one(config, GOV__KEY_HEADS_KV);

    for (uint32_t i = 0; i < count; i++)
        heads[i] = attends[i] ? all : 0;
    if (all != 0)
        gov__config_set_each(config, GOV__KEY_HEADS_KV, heads, count);
}

/* Layers that predict further tokens lie behind the others and are counted. */
static void add_predicting(struct gov__config *config, uint32_t count)
{
    uint32_t blocks = one(config, GOV__KEY_BLOCKS);

    if (blocks == 0 || count > GOV__LAYERS_MAX)
        return;
    gov__config_set(config, GOV__KEY_BLOCKS, blocks + count);
    gov__config_set(config, GOV__KEY_NEXTN, count);
}

static void set_head_length(struct gov__config *config, uint32_t length)
{
    gov__config_set(config, GOV__KEY_KEY_LENGTH, length);
    gov__config_set(config, GOV__KEY_VALUE_LENGTH, length);
}

static void clear_head_length(struct gov__config *config)
{
    gov__config_clear(config, GOV__KEY_KEY_LENGTH);
    gov__config_clear(config, GOV__KEY_VALUE_LENGTH);
}

static void rename_to(struct gov__config *config, const char *architecture)
{
    gov__text_safe(config->header->architecture,
                   sizeof(config->header->architecture), architecture,
                   strlen(architecture));
}

/* ---- attention -------------------------------------------------------------------- */

static void adapt_llama(struct gov__config *config)
{
    uint32_t heads = one(config, GOV__KEY_HEADS);
    uint32_t length = one(config, GOV__KEY_KEY_LENGTH);

    if (length == 0 && heads != 0)
        length = one(config, GOV__KEY_EMBEDDING) / heads;
    if (length != 0)
        gov__config_set(config, GOV__KEY_ROPE_DIMENSIONS, length);
}

static void adapt_llama4(struct gov__config *config)
{
    const json_t *types = GOV__FIND(config, "layer_types");
    bool full = json_array_size(types) > 0;

    adapt_llama(config);
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
    adapt_llama(config);
    adapt_window(config);
}

static void adapt_bidirectional(struct gov__config *config)
{
    gov__config_set(config, GOV__KEY_CAUSAL, 0);
}

/* Defaults: Gemma3TextConfig in the Transformers library. */
static void adapt_gemma3(struct gov__config *config)
{
    fall_back(config, GOV__KEY_CONTEXT, 131072);
    fall_back(config, GOV__KEY_HEADS, 8);
    fall_back(config, GOV__KEY_HEADS_KV, 4);
    fall_back(config, GOV__KEY_KEY_LENGTH, 256);
    fall_back(config, GOV__KEY_VALUE_LENGTH, 256);
    fall_back(config, GOV__KEY_VOCABULARY, 262208);
    if (NUMBER(config, 0, "sliding_window_pattern") != 1) {
        adapt_window(config);
        fall_back(config, GOV__KEY_WINDOW, 4096);
    }
}

static void adapt_gemma3n(struct gov__config *config)
{
    adapt_gemma3(config);
    TAKE(config, EMBEDDING_PER_LAYER, "hidden_size_per_layer_input");
    TAKE(config, SHARED_KV_LAYERS, "num_kv_shared_layers");
    take_window_layers(config);
}

/* Twice as wide in the layers that share their keys. */
static void widen_feed_forward(struct gov__config *config, uint32_t shared)
{
    uint32_t widths[GOV__LAYERS_MAX], count = layers(config);
    uint32_t width = one(config, GOV__KEY_FEED_FORWARD);

    for (uint32_t i = 0; i < count; i++)
        widths[i] = i + shared < count ? width : times(width, 2);
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
    length = one(config, GOV__KEY_KEY_LENGTH);
    if (length != 0) {
        gov__config_set(config, GOV__KEY_KEY_LENGTH_WINDOW, length);
        gov__config_set(config, GOV__KEY_VALUE_LENGTH_WINDOW, length);
    }
    clear_head_length(config);
    if (full != 0)
        set_head_length(config, full);
    if (json_is_true(GOV__FIND(config, "use_double_wide_mlp")))
        widen_feed_forward(config, shared);
    if (heads == 0 || window->count < 2)
        return;
    for (uint32_t i = 0; i < window->count; i++)
        each[i] = window->each[i] != 0 ? one(config, GOV__KEY_HEADS_KV) : heads;
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
    gov__config_set(config, GOV__KEY_FEED_FORWARD,
                    times(4, one(config, GOV__KEY_EMBEDDING)));
    gov__config_set(config, GOV__KEY_HEADS_KV, one(config, GOV__KEY_HEADS));
}

/* Without a window it is Phi-4, which llama.cpp tells by the 0. */
static void adapt_phi3(struct gov__config *config)
{
    TAKE(config, CONTEXT, "n_positions", "max_position_embeddings");
    TAKE(config, HEADS_KV, "num_key_value_heads", "n_head_kv");
    clear_head_length(config);
    gov__config_set(config, GOV__KEY_WINDOW,
                    NUMBER(config, 0, "sliding_window"));
}

static void adapt_olmo2(struct gov__config *config)
{
    if (GOV__FIND(config, "sliding_window") == NULL)
        return;
    adapt_window(config);
    if (GOV__FIND(config, "layer_types") != NULL)
        take_window_layers(config);
    else
        set_window_period(config, 4);
}

static void adapt_exaone4(struct gov__config *config)
{
    const json_t *pattern = GOV__FIND(config, "sliding_window_pattern");
    const char *letters = json_string_value(pattern);
    uint32_t flags[GOV__LAYERS_MAX], count = layers(config), period;

    adapt_window(config);
    if (config->header->number[GOV__KEY_WINDOW].count == 0)
        return;
    if (GOV__FIND(config, "layer_types") != NULL) {
        take_window_layers(config);
    } else if (letters != NULL && letters[0] != '\0') { /* "LLLG" */
        for (uint32_t i = 0; i < count; i++)
            flags[i] = letters[i % strlen(letters)] == 'L';
        gov__config_set_each(config, GOV__KEY_WINDOW_PATTERN, flags, count);
    } else if (gov__config_whole(pattern, &period) && period != 0) {
        set_window_period(config, period);
    }
}

static void adapt_nextn(struct gov__config *config)
{
    add_predicting(config, NUMBER(config, 0, "num_nextn_predict_layers"));
}

static void adapt_exaone_moe(struct gov__config *config)
{
    uint32_t shared = NUMBER(config, 0, "num_shared_experts");

    adapt_exaone4(config);
    gov__config_set(config, GOV__KEY_EXPERT_SHARED_FEED_FORWARD,
                    times(shared, one(config, GOV__KEY_EXPERT_FEED_FORWARD)));
    TAKE(config, DENSE_LEAD, "first_k_dense_replace",
         "first_last_k_dense_replace");
    adapt_nextn(config);
}

static void adapt_cohere2_moe(struct gov__config *config)
{
    adapt_window(config);
    take_window_layers(config);
    TAKE(config, EXPERT_FEED_FORWARD, "intermediate_size");
    adapt_nextn(config);
}

static void adapt_command_r(struct gov__config *config)
{
    TAKE(config, CONTEXT, "model_max_length", "max_position_embeddings");
}

/* Keys and values of all heads are made from one compressed vector, which is what
 * the cache holds: as if there were one head. */
static void adapt_mla(struct gov__config *config)
{
    uint32_t rank = NUMBER(config, 512, "kv_lora_rank"), rope, nope;

    gov__config_set(config, GOV__KEY_HEADS_KV, 1);
    gov__config_set(config, GOV__KEY_KV_LORA_RANK, rank);
    clear_head_length(config);
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

    adapt_mla(config);
    fall_back(config, GOV__KEY_DENSE_LEAD, sparse ? 0 : layers(config));
    fall_back(config, GOV__KEY_EXPERTS_SHARED, 0);
    if (GOV__FIND(config, "moe_intermediate_size") == NULL)
        TAKE(config, EXPERT_FEED_FORWARD, "intermediate_size");
}

static void adapt_mistral3(struct gov__config *config)
{
    const char *type = json_string_value(GOV__FIND(config, "model_type"));

    if (type != NULL && strcmp(type, "mistral4") == 0) {
        rename_to(config, "mistral4");
        adapt_deepseek2(config);
    } else {
        adapt_llama(config);
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
        adapt_nextn(config);
}

static void adapt_sparse_attention(struct gov__config *config)
{
    adapt_deepseek2(config);
    adapt_nextn(config);
    TAKE(config, INDEXER_KEY_LENGTH, "index_head_dim");
    TAKE(config, INDEXER_TOP_K, "index_topk");
    take_words(config, GOV__KEY_INDEXER_TYPES,
               GOV__FIND(config, "indexer_types"), "full");
}

static void adapt_minicpm3(struct gov__config *config)
{
    uint32_t rope, nope;

    clear_head_length(config);
    TAKE(config, KV_LORA_RANK, "kv_lora_rank");
    TAKE(config, Q_LORA_RANK, "q_lora_rank");
    TAKE(config, ROPE_DIMENSIONS, "qk_rope_head_dim");
    if (gov__config_whole(GOV__FIND(config, "qk_rope_head_dim"), &rope) &&
        gov__config_whole(GOV__FIND(config, "qk_nope_head_dim"), &nope) &&
        nope <= UINT32_MAX - rope)
        gov__config_set(config, GOV__KEY_KEY_LENGTH, nope + rope);
}

/* ---- recurrent and hybrid ----------------------------------------------------------- */

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
    uint32_t flags[GOV__LAYERS_MAX], more, count = layers(config);
    const struct gov__number *found =
        &config->header->number[GOV__KEY_RECURRENT_LAYERS];
    uint32_t heads = NUMBER(config, 0, "linear_num_value_heads");
    uint32_t length = NUMBER(config, 0, "linear_value_head_dim");

    TAKE(config, SSM_CONV_KERNEL, "linear_conv_kernel_dim");
    TAKE(config, SSM_STATE, "linear_key_head_dim");
    TAKE(config, SSM_GROUPS, "linear_num_key_heads");
    TAKE(config, SSM_TIME_STEP, "linear_num_value_heads");
    if (heads != 0 && length != 0)
        gov__config_set(config, GOV__KEY_SSM_INNER, times(heads, length));
    gov__config_set(config, GOV__KEY_FULL_INTERVAL,
                    NUMBER(config, 4, "full_attention_interval"));
    more = count_mtp(config->header);
    take_words(config, GOV__KEY_RECURRENT_LAYERS,
               GOV__FIND(config, "layer_types"), "linear_attention");
    if (found->count == count && count > 1 && count + more < GOV__LAYERS_MAX) {
        memset(flags, 0, sizeof(flags));
        memcpy(flags, found->each, count * sizeof(flags[0]));
        gov__config_set_each(config, GOV__KEY_RECURRENT_LAYERS, flags,
                             count + more);
    } else {
        gov__config_clear(config, GOV__KEY_RECURRENT_LAYERS);
    }
    if (more != 0)
        add_predicting(config, more);
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
    clear_head_length(config);
    gov__config_set(config, GOV__KEY_SSM_CONV_KERNEL,
                    nonzero(NUMBER(config, 0, "conv_kernel", "d_conv"), 4));
    gov__config_set(config, GOV__KEY_SSM_INNER,
                    nonzero(NUMBER(config, 0, "intermediate_size", "d_inner"),
                            times(2, width)));
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
        times(expand, width));
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
    clear_head_length(config);
}

static void adapt_jamba(struct gov__config *config)
{
    uint32_t width = NUMBER(config, 0, "hidden_size", "mamba_d_model");
    uint32_t offset = NUMBER(config, 0, "attn_layer_offset");
    uint32_t period = NUMBER(config, 0, "attn_layer_period");
    bool attends[GOV__LAYERS_MAX];

    gov__config_set(config, GOV__KEY_SSM_CONV_KERNEL,
                    nonzero(NUMBER(config, 0, "mamba_d_conv"), 4));
    gov__config_set(config, GOV__KEY_SSM_INNER,
                    times(NUMBER(config, 2, "mamba_expand"), width));
    gov__config_set(config, GOV__KEY_SSM_STATE,
                    nonzero(NUMBER(config, 0, "mamba_d_state"), 16));
    gov__config_set(config, GOV__KEY_SSM_TIME_STEP,
                    nonzero(NUMBER(config, 0, "mamba_dt_rank"),
                            width / 16 + (width % 16 != 0)));
    if (period == 0) { /* of all layers, then: the most there can be */
        gov__config_clear(config, GOV__KEY_HEADS_KV);
        return;
    }
    for (uint32_t i = 0; i < GOV__LAYERS_MAX; i++)
        attends[i] = i >= offset && (i - offset) % period == 0;
    set_attending(config, attends);
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
    clear_head_length(config);
    adapt_llama(config);
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
    for (uint32_t i = 0; i < layers(config); i++)
        all = all && attends[i];
    take_hybrid(config);
    gov__config_set(config, GOV__KEY_SSM_INNER, times(expand, width));
    set_attending(config, attends);
    if (all)
        rename_to(config, GOV__FIND(config, "num_experts_per_tok") != NULL
                              ? "granitemoe"
                              : "granite");
    else if (!bamba)
        gov__config_set(config, GOV__KEY_CONTEXT, MILLION);
}

static void adapt_granite_swa(struct gov__config *config)
{
    uint32_t flags[GOV__LAYERS_MAX], count = layers(config);

    adapt_granite(config);
    gov__config_set(config, GOV__KEY_WINDOW,
                    NUMBER(config, 128, "sliding_window"));
    for (uint32_t i = 0; i < count; i++)
        flags[i] = i % 4 != 0;
    gov__config_set_each(config, GOV__KEY_WINDOW_PATTERN, flags, count);
    take_window_layers(config);
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
    rename_to(config, experts ? "nemotron_h_moe" : "nemotron_h");
    adapt_llama(config);
    clear_head_length(config);
    take_hybrid(config);
    TAKE(config, KEY_LENGTH, "head_dim", "attention_head_dim");
    TAKE(config, VALUE_LENGTH, "head_dim", "attention_head_dim");
    gov__config_set(
        config, GOV__KEY_SSM_INNER,
        times(NUMBER(config, 0, "num_heads", "mamba_num_heads"), width));
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
        add_predicting(config, 1);
    }
    set_attending(config, attends);
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
        set_attending(config, attends);
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

    adapt_mla(config);
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
        set_attending(config, attends);
}

static void adapt_rwkv(struct gov__config *config)
{
    gov__config_set(config, GOV__KEY_CONTEXT, MILLION);
    gov__config_set(config, GOV__KEY_HEADS, 0);
    gov__config_clear(config, GOV__KEY_HEADS_KV);
    clear_head_length(config);
    TAKE(config, WKV_HEAD, "head_size", "head_dim");
}

static void adapt_rwkv6(struct gov__config *config)
{
    uint64_t width = one(config, GOV__KEY_EMBEDDING);

    adapt_rwkv(config); /* 3.5 times, in multiples of 32 */
    fall_back(config, GOV__KEY_FEED_FORWARD,
              (uint32_t)(width * 7 / 2 / 32 * 32));
}

static void adapt_rwkv7(struct gov__config *config)
{
    adapt_rwkv(config);
    fall_back(config, GOV__KEY_FEED_FORWARD,
              times(4, one(config, GOV__KEY_EMBEDDING)));
}

static void adapt_rwkv6_qwen2(struct gov__config *config)
{
    uint32_t heads = one(config, GOV__KEY_HEADS);

    gov__config_set(config, GOV__KEY_CONTEXT, MILLION);
    clear_head_length(config);
    if (heads != 0)
        gov__config_set(config, GOV__KEY_WKV_HEAD,
                        one(config, GOV__KEY_EMBEDDING) / heads);
    gov__config_set(config, GOV__KEY_HEADS, 0);
    gov__config_set(config, GOV__KEY_TOKEN_SHIFT, 1);
}

static void adapt_arwkv7(struct gov__config *config)
{
    adapt_rwkv(config);
    gov__config_set(config, GOV__KEY_TOKEN_SHIFT, 1);
}

/* ---- experts ----------------------------------------------------------------------- */

static void adapt_ernie_moe(struct gov__config *config)
{
    uint32_t heads = one(config, GOV__KEY_HEADS_KV);

    TAKE(config, EXPERTS, "moe_num_experts");
    TAKE(config, EXPERTS_USED, "moe_k");
    TAKE(config, DENSE_LEAD, "moe_layer_start_index");
    TAKE(config, EXPERTS_SHARED, "moe_num_shared_experts");
    if (heads != 0 && one(config, GOV__KEY_EXPERTS_SHARED) != 0)
        gov__config_set(config, GOV__KEY_EXPERT_SHARED_FEED_FORWARD,
                        one(config, GOV__KEY_FEED_FORWARD) / heads);
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
    uint32_t shared = one(config, GOV__KEY_EXPERTS_SHARED);

    fall_back(config, GOV__KEY_EXPERT_SHARED_FEED_FORWARD,
              times(shared, one(config, GOV__KEY_EXPERT_FEED_FORWARD)));
    if (NUMBER(config, 0, "num_nextn_predict_layers") != 0)
        adapt_nextn(config);
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

/* ---- older ones ----------------------------------------------------------------------- */

static void set_wide_feed_forward(struct gov__config *config)
{
    gov__config_set(config, GOV__KEY_FEED_FORWARD,
                    times(4, one(config, GOV__KEY_EMBEDDING)));
}

static void adapt_gpt2(struct gov__config *config)
{
    TAKE(config, CONTEXT, "n_ctx", "n_positions");
    set_wide_feed_forward(config);
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
    gov__config_set(
        config, GOV__KEY_CONTEXT,
        NUMBER(config, one(config, GOV__KEY_EMBEDDING), "seq_length"));
    set_wide_feed_forward(config);
    gov__config_set(config, GOV__KEY_HEADS_KV, one(config, GOV__KEY_HEADS));
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
                    NUMBER(config, times(4, width), "ffn_hidden_size",
                           "intermediate_size"));
    TAKE(config, HEADS, "n_head", "num_attention_heads");
    gov__config_set(config, GOV__KEY_HEADS_KV,
                    NUMBER(config, one(config, GOV__KEY_HEADS),
                           "multi_query_group_num", "num_key_value_heads"));
    clear_head_length(config);
}

/* ---- encoders ---------------------------------------------------------------------- */

/* Positions are counted behind that of the padding token. */
static void adapt_roberta(struct gov__config *config)
{
    uint32_t context = one(config, GOV__KEY_CONTEXT), padding;

    adapt_bidirectional(config);
    if (gov__config_whole(GOV__FIND(config, "pad_token_id"), &padding) &&
        padding < context)
        gov__config_set(config, GOV__KEY_CONTEXT, context - padding - 1);
}

static void adapt_xlm_roberta(struct gov__config *config)
{
    if (json_array_size(GOV__FIND(config, "lora_adaptations")) != 0)
        rename_to(config, "jina-bert-v3");
    adapt_roberta(config);
}

static void adapt_nomic(struct gov__config *config)
{
    uint32_t positions = NUMBER(config, 0, "n_positions");
    bool experts = NUMBER(config, 0, "moe_every_n_layers") != 0;

    adapt_bidirectional(config);
    rename_to(config, experts ? "nomic-bert-moe" : "nomic-bert");
    if (experts)
        TAKE(config, EXPERTS_USED, "moe_top_k");
    if (NUMBER(config, 2048, "max_trained_positions") == 2048 &&
        (positions == 8192 || positions == 2048))
        gov__config_set(config, GOV__KEY_CONTEXT,
                        positions == 8192 ? 2048 : 512);
}

static void adapt_modern_bert(struct gov__config *config)
{
    adapt_bidirectional(config);
    TAKE(config, WINDOW, "local_attention");
    TAKE(config, WINDOW_PATTERN, "global_attn_every_n_layers");
}

static void adapt_neo_bert(struct gov__config *config)
{
    uint64_t width = NUMBER(config, 0, "intermediate_size");

    adapt_bidirectional(config);
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

/* ---- the table ----------------------------------------------------------------------- */

static const struct row {
    const char *type;         /* "model_type"; NULL: not used to find it */
    const char *model_class;  /* "architectures", by which the converter goes */
    const char *architecture; /* in llama.cpp */
    adapt *adapt;             /* NULL: nothing is special */
} rows[] = {
    {"llama", "LlamaForCausalLM", "llama", adapt_llama},
    {NULL, "LLaMAForCausalLM", "llama", adapt_llama},
    {NULL, "LlamaModel", "llama", adapt_llama},
    {NULL, "LlavaForConditionalGeneration", "llama", adapt_llama},
    {NULL, "VoxtralForConditionalGeneration", "llama", adapt_llama},
    {"mistral", "MistralForCausalLM", "llama", adapt_llama},
    {"mixtral", "MixtralForCausalLM", "llama", adapt_llama},
    {"internlm3", "InternLM3ForCausalLM", "llama", adapt_llama},
    {"mistral3", "Mistral3ForConditionalGeneration", "mistral3",
     adapt_mistral3},
    {"ministral3", "Ministral3ForCausalLM", "mistral3", adapt_mistral3},
    {"mistral4", NULL, "mistral4", adapt_deepseek2},
    {"arcee", "ArceeForCausalLM", "arcee", adapt_llama},
    {"smollm3", "SmolLM3ForCausalLM", "smollm3", adapt_llama},
    {"apertus", "ApertusForCausalLM", "apertus", adapt_llama},
    {"llama4", "Llama4ForConditionalGeneration", "llama4", adapt_llama4},
    {"llama4_text", "Llama4ForCausalLM", "llama4", adapt_llama4},
    {"afmoe", "AfmoeForCausalLM", "afmoe", adapt_afmoe},
    {NULL, "LlamaBidirectionalModel", "llama-embed", adapt_llama},

    {"qwen", "QWenLMHeadModel", "qwen", NULL},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", NULL},
    {NULL, "Qwen2Model", "qwen2", NULL},
    {NULL, "Qwen2AudioForConditionalGeneration", "qwen2", NULL},
    {NULL, "DotsOCRForCausalLM", "qwen2", NULL},
    {"qwen2_vl", "Qwen2VLForConditionalGeneration", "qwen2vl", NULL},
    {"qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", "qwen2vl", NULL},
    {"qwen2_5_omni", "Qwen2_5OmniModel", "qwen2vl", NULL},
    {"qwen2_moe", "Qwen2MoeForCausalLM", "qwen2moe", NULL},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", NULL},
    {NULL, "Qwen3Model", "qwen3", NULL},
    {"qwen3_moe", "Qwen3MoeForCausalLM", "qwen3moe", NULL},
    {"qwen3_vl", "Qwen3VLForConditionalGeneration", "qwen3vl", NULL},
    {"qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration", "qwen3vlmoe", NULL},
    {"qwen3_next", "Qwen3NextForCausalLM", "qwen3next", adapt_qwen3_next},
    {"qwen3_5", "Qwen3_5ForConditionalGeneration", "qwen35", adapt_qwen3_next},
    {"qwen3_5_text", "Qwen3_5ForCausalLM", "qwen35", adapt_qwen3_next},
    {"qwen3_5_moe", "Qwen3_5MoeForConditionalGeneration", "qwen35moe",
     adapt_qwen3_next},
    {"qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", "qwen35moe",
     adapt_qwen3_next},
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

    {"phi", "PhiForCausalLM", "phi2", adapt_phi2},
    {"phi3", "Phi3ForCausalLM", "phi3", adapt_phi3},
    {"phimoe", "PhiMoEForCausalLM", "phimoe", adapt_phi3},

    {"deepseek", "DeepseekForCausalLM", "deepseek", adapt_llama},
    {"deepseek_v2", "DeepseekV2ForCausalLM", "deepseek2", adapt_deepseek2},
    {"deepseek_v3", "DeepseekV3ForCausalLM", "deepseek2", adapt_deepseek2},
    {"deepseek_v32", "DeepseekV32ForCausalLM", "deepseek32",
     adapt_sparse_attention},
    {NULL, "DeepseekOCRForCausalLM", "deepseek2-ocr", adapt_deepseek_ocr},
    {"kimi_k2", "KimiVLForConditionalGeneration", "deepseek2", adapt_deepseek2},
    {NULL, "KimiK25ForConditionalGeneration", "deepseek2", adapt_deepseek2},
    {"kimi_linear", "KimiLinearForCausalLM", "kimi-linear", adapt_kimi_linear},
    {"minicpm", "MiniCPMForCausalLM", "minicpm", NULL},
    {"minicpm3", "MiniCPM3ForCausalLM", "minicpm3", adapt_minicpm3},

    {"glm4", "Glm4ForCausalLM", "glm4", NULL},
    {"glm4v_text", "Glm4vForConditionalGeneration", "glm4", NULL},
    {"glm4_moe", "Glm4MoeForCausalLM", "glm4moe", adapt_nextn},
    {"glm4v_moe_text", "Glm4vMoeForConditionalGeneration", "glm4moe",
     adapt_nextn},
    {"glm4_moe_lite", "Glm4MoeLiteForCausalLM", "deepseek2", adapt_glm_lite},
    {"glm_moe_dsa", "GlmMoeDsaForCausalLM", "glm-dsa", adapt_sparse_attention},
    {"chatglm", "ChatGLMModel", "chatglm", adapt_chatglm},
    {"glm", "GlmForCausalLM", "chatglm", adapt_chatglm},
    {NULL, "ChatGLMForConditionalGeneration", "chatglm", adapt_chatglm},

    {"gpt_oss", "GptOssForCausalLM", "gpt-oss", adapt_gpt_oss},
    {"minimax_m2", "MiniMaxM2ForCausalLM", "minimax-m2", adapt_minimax_m2},
    {"ernie4_5", "Ernie4_5ForCausalLM", "ernie4_5", NULL},
    {NULL, "Ernie4_5_ForCausalLM", "ernie4_5", NULL},
    {"ernie4_5_moe", "Ernie4_5_MoeForCausalLM", "ernie4_5-moe",
     adapt_ernie_moe},
    {"hunyuan_v1_moe", "HunYuanMoEV1ForCausalLM", "hunyuan-moe",
     adapt_hunyuan_moe},
    {"smallthinker", "SmallThinkerForCausalLM", "smallthinker",
     adapt_smallthinker},
    {"bailing_moe", "BailingMoeForCausalLM", "bailingmoe", adapt_llama},
    {"bailing_moe_v2", "BailingMoeV2ForCausalLM", "bailingmoe2",
     adapt_bailing2},
    {"dbrx", "DbrxForCausalLM", "dbrx", adapt_dbrx},

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
    {NULL, "DreamModel", "dream", adapt_bidirectional},

    {"gpt2", "GPT2LMHeadModel", "gpt2", adapt_gpt2},
    {"gpt_neox", "GPTNeoXForCausalLM", "gptneox", NULL},
    {"gpt_bigcode", "GPTBigCodeForCausalLM", "starcoder", adapt_starcoder},
    {"starcoder2", "Starcoder2ForCausalLM", "starcoder2", NULL},
    {"stablelm", "StableLmForCausalLM", "stablelm", NULL},
    {"stablelm_epoch", "StableLMEpochForCausalLM", "stablelm", NULL},
    {"mpt", "MPTForCausalLM", "mpt", adapt_mpt},
    {"bloom", "BloomForCausalLM", "bloom", adapt_bloom},
    {NULL, "BloomModel", "bloom", adapt_bloom},
    {"falcon", "FalconForCausalLM", "falcon", adapt_falcon},
    {NULL, "RWForCausalLM", "falcon", adapt_falcon},

    {"bert", "BertModel", "bert", adapt_bidirectional},
    {NULL, "BertForMaskedLM", "bert", adapt_bidirectional},
    {NULL, "BertForSequenceClassification", "bert", adapt_bidirectional},
    {"camembert", "CamembertModel", "bert", adapt_bidirectional},
    {"distilbert", "DistilBertModel", "bert", adapt_bidirectional},
    {NULL, "DistilBertForMaskedLM", "bert", adapt_bidirectional},
    {"roberta", "RobertaModel", "bert", adapt_roberta},
    {NULL, "RobertaForSequenceClassification", "bert", adapt_roberta},
    {"xlm-roberta", "XLMRobertaModel", "bert", adapt_xlm_roberta},
    {NULL, "XLMRobertaForSequenceClassification", "bert", adapt_xlm_roberta},
    {"nomic_bert", "NomicBertModel", "nomic-bert", adapt_nomic},
    {NULL, "JinaBertModel", "jina-bert-v2", adapt_bidirectional},
    {NULL, "JinaBertForMaskedLM", "jina-bert-v2", adapt_bidirectional},
    {"modernbert", "ModernBertModel", "modern-bert", adapt_modern_bert},
    {NULL, "ModernBertForMaskedLM", "modern-bert", adapt_modern_bert},
    {NULL, "ModernBertForSequenceClassification", "modern-bert",
     adapt_modern_bert},
    {"neobert", "NeoBERT", "neo-bert", adapt_neo_bert},
    {NULL, "NeoBERTLMHead", "neo-bert", adapt_neo_bert},
    {"eurobert", "EuroBertModel", "eurobert", adapt_bidirectional},
    {"t5", "T5ForConditionalGeneration", "t5", adapt_t5},
    {NULL, "T5WithLMHeadModel", "t5", adapt_t5},
    {"mt5", "MT5ForConditionalGeneration", "t5", adapt_t5},
    {"umt5", "UMT5ForConditionalGeneration", "t5", adapt_t5},
};

/* The row whose type or class has that name. */
static const struct row *find_row(const char *name, bool by_class)
{
    for (size_t i = 0; name != NULL && i < sizeof(rows) / sizeof(rows[0]);
         i++) {
        const char *has = by_class ? rows[i].model_class : rows[i].type;

        if (has != NULL && strcmp(has, name) == 0)
            return &rows[i];
    }
    return NULL;
}

static const char *class_of(const json_t *part)
{
    return json_string_value(
        json_array_get(json_object_get(part, "architectures"), 0));
}

static const char *type_of(const json_t *part)
{
    return json_string_value(json_object_get(part, "model_type"));
}

/* The class first, as the converter does it, since model types of encoders are
 * those of their decoders ("gemma3_text"); the language model's before that of
 * the whole. */
void gov__config_models(struct gov__config *config)
{
    const char *names[] = {class_of(config->text), class_of(config->root),
                           type_of(config->text), type_of(config->root)};
    static const unsigned char to_show[] = {2, 3, 0, 1};
    const struct row *row = NULL;

    for (unsigned i = 0; i < 4 && row == NULL; i++)
        row = find_row(names[i], i < 2);
    if (row != NULL) {
        rename_to(config, row->architecture);
        if (row->adapt != NULL)
            row->adapt(config);
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (names[to_show[i]] != NULL) {
            rename_to(config, names[to_show[i]]);
            return;
        }
    }
}
