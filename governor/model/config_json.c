/* SPDX-License-Identifier: MIT */
/* See config_json.h. */
#include "governor/model/config_json.h"

#include <string.h>

#include "governor/model/config_json_priv.h"
#include "governor/model/model_cursor.h"
#include "governor/model/model_text.h"

/* The largest seen, with the names of all modules that are not quantized, have
 * some 300 KB. Bounds what jansson takes, which is at most 50 times that: its
 * memory does not come from our gov_alloc, for the one way to give it another
 * (json_set_alloc_funcs) holds for the whole process, and that is the host's. */
#define CONFIG_LIMIT ((uint64_t)2 * 1024 * 1024)

/* ---- members ----------------------------------------------------------------- */

const json_t *gov__config_find(const struct gov__config *config,
                               const char *const *names)
{
    for (; *names != NULL; names++) {
        const json_t *value = json_object_get(config->text, *names);

        if (value == NULL)
            value = json_object_get(config->root, *names);
        if (value != NULL)
            return value;
    }
    return NULL;
}

bool gov__config_whole(const json_t *value, uint32_t *out)
{
    double number = json_is_number(value) ? json_number_value(value) : -1;

    if (!(number >= 0 && number <= UINT32_MAX))
        return false;
    *out = (uint32_t)number;
    return (double)*out == number;
}

uint32_t gov__config_number(const json_t *value, uint32_t otherwise)
{
    uint32_t number;

    return gov__config_whole(value, &number) ? number : otherwise;
}

void gov__config_set_each(struct gov__config *config, enum gov__key key,
                          const uint32_t *values, size_t count)
{
    if (!gov__header_set(config->header, key, values, (uint32_t)count))
        config->no_memory = true;
}

void gov__config_set(struct gov__config *config, enum gov__key key,
                     uint32_t value)
{
    gov__config_set_each(config, key, &value, 1);
}

void gov__config_clear(struct gov__config *config, enum gov__key key)
{
    gov__config_set_each(config, key, NULL, 0);
}

void gov__config_take(struct gov__config *config, enum gov__key key,
                      const json_t *value)
{
    size_t count = json_array_size(value); /* 0 for what is no array */
    uint32_t values[GOV__LAYERS_MAX];

    if (gov__config_whole(value, values)) {
        gov__config_set(config, key, values[0]);
        return;
    }
    if (count == 0 || count > GOV__LAYERS_MAX)
        return;
    for (size_t i = 0; i < count; i++)
        if (!gov__config_whole(json_array_get(value, i), &values[i]))
            return;
    gov__config_set_each(config, key, values, count);
}

/* ---- what most have ------------------------------------------------------------ */

/* Names: TextModel.set_gguf_parameters() in llama.cpp's conversion/base.py, and
 * below them those that only some classes there look for, always for this. */
static const struct {
    enum gov__key key;
    const char *const names[7];
} common[] = {
    {GOV__KEY_BLOCKS,
     {"n_layers", "num_hidden_layers", "n_layer", "num_layers"}},
    {GOV__KEY_CONTEXT,
     {"max_position_embeddings", "n_ctx", "n_positions", "max_length",
      "max_sequence_length", "model_max_length"}},
    {GOV__KEY_EMBEDDING, {"hidden_size", "n_embd", "dim"}},
    {GOV__KEY_FEED_FORWARD,
     {"prefix_dense_intermediate_size", "dense_intermediate_size",
      "intermediate_size", "n_inner", "hidden_dim"}},
    {GOV__KEY_HEADS, {"num_attention_heads", "n_head", "n_heads"}},
    {GOV__KEY_HEADS_KV, {"num_key_value_heads", "n_kv_heads"}},
    {GOV__KEY_EXPERTS,
     {"num_local_experts", "num_experts", "n_routed_experts"}},
    {GOV__KEY_EXPERTS_USED,
     {"num_experts_per_tok", "num_experts_per_token", "top_k_experts"}},
    {GOV__KEY_KEY_LENGTH, {"head_dim"}},
    {GOV__KEY_VALUE_LENGTH, {"head_dim"}},

    {GOV__KEY_VOCABULARY, {"vocab_size"}},
    {GOV__KEY_DENSE_LEAD, {"first_k_dense_replace", "num_dense_layers"}},
    {GOV__KEY_EXPERTS_SHARED, {"n_shared_experts", "num_shared_experts"}},
    {GOV__KEY_EXPERT_FEED_FORWARD, {"moe_intermediate_size"}},
    {GOV__KEY_EXPERT_SHARED_FEED_FORWARD,
     {"shared_expert_intermediate_size", "shared_intermediate_size",
      "moe_shared_expert_intermediate_size"}},
};

/* Where models of several parts keep the language model's: load_hparams() and
 * TextModel in conversion/base.py. */
static const json_t *text_part(const json_t *root)
{
    static const char *const names[] = {
        "llm_config", "lm_config", "language_config", "lfm", "text_config"};
    const json_t *thinker = json_object_get(root, "thinker_config");
    const json_t *text = json_object_get(thinker, "text_config");

    for (size_t i = 0; !json_is_object(text) && i < 5; i++)
        text = json_object_get(root, names[i]);
    return json_is_object(text) ? text : NULL;
}

static gov_status check_layers(const struct gov__header *header,
                               const char *label, gov_error *err)
{
    uint64_t layers = gov__header_largest(header, GOV__KEY_BLOCKS);

    if (layers > GOV__LAYERS_MAX)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s tells of %u layers, more than the %d that engines "
                        "run; name another model",
                        label, (unsigned)layers, GOV__LAYERS_MAX);
    return GOV_OK;
}

static gov_status read_config(struct gov__config *config, const char *label,
                              gov_error *err)
{
    gov_status status;

    config->text = text_part(config->root);
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        gov__config_take(config, common[i].key,
                         gov__config_find(config, common[i].names));
    /* One number is meant, whatever comes. */
    if (config->header->number[GOV__KEY_BLOCKS].count > 1)
        gov__config_clear(config, GOV__KEY_BLOCKS);
    if (json_is_false(GOV__FIND(config, "is_causal")))
        gov__config_set(config, GOV__KEY_CAUSAL, 0);
    status = check_layers(config->header, label, err);
    if (status != GOV_OK)
        return status;
    gov__config_models(config);
    gov__config_quantization(config);
    return check_layers(config->header, label, err);
}

/* ---- the file ------------------------------------------------------------------- */

struct source {
    struct gov__cursor cursor;
    const char *word; /* that replaces one of Python's, from here on; or NULL */
    const char *expected;
    bool in_text, escaped;
};

/* Python writes Infinity and NaN (time_step_limit of Mamba), which are no JSON.
 * They become numbers of the same length, which no key of ours can be. */
static char filter(struct source *s, char c)
{
    if (s->in_text) {
        s->in_text = s->escaped || c != '"';
        s->escaped = c == '\\' && !s->escaped;
        return c;
    }
    if (s->word == NULL && (c == 'I' || c == 'N')) {
        s->expected = c == 'I' ? "Infinity" : "NaN";
        s->word = c == 'I' ? "0.500000" : "0.5";
    }
    if (s->word != NULL) {
        if (c == *s->expected)
            c = *s->word;
        else
            c = '!';

        s->expected++;
        s->word = s->word[1] != '\0' ? s->word + 1 : NULL;
        return c;
    }
    s->in_text = c == '"';
    return c;
}

/* For json_load_callback(); (size_t)-1 means that reading failed. */
static size_t more(void *buffer, size_t room, void *data)
{
    struct source *s = data;
    uint64_t left = gov__cursor_left(&s->cursor);
    char *text = buffer;

    if (left < room)
        room = (size_t)left;
    if (room == 0)
        return 0;
    if (!gov__cursor_bytes(&s->cursor, text, room))
        return (size_t)-1;
    for (size_t i = 0; i < room; i++)
        text[i] = filter(s, text[i]);
    return room;
}

static gov_status no_memory(const char *label, gov_error *err)
{
    return gov_fail(err, GOV_E_NOMEM, 0,
                    "out of memory while reading %s; free some and try again",
                    label);
}

/* Whole numbers become real ones, so that one that is too large for an integer
 * leaves its key unknown instead of the whole model unread. Of members with the
 * same name the last counts, as in Python. */
static gov_status load(json_t **out, struct source *source, gov_error *err)
{
    const char *label = source->cursor.file->label;
    json_error_t json;
    char fact[JSON_ERROR_TEXT_LENGTH];

    *out = json_load_callback(more, source, JSON_DECODE_INT_AS_REAL, &json);
    if (source->cursor.status != GOV_OK) {
        json_decref(*out);
        *out = NULL;
        return source->cursor.status;
    }
    /* Without memory for its first buffer jansson says nothing at all. */
    if (*out == NULL && (json_error_code(&json) == json_error_out_of_memory ||
                         json.text[0] == '\0'))
        return no_memory(label, err);
    if (*out == NULL) /* it quotes the file */
        return gov_fail(
            err, GOV_E_FORMAT, 0,
            "%s is broken at line %d, column %d (%s); download it "
            "again",
            label, json.line, json.column,
            gov__text_safe(fact, sizeof(fact), json.text, strlen(json.text)));
    if (json_is_object(*out))
        return GOV_OK;
    json_decref(*out);
    *out = NULL;
    return gov_fail(err, GOV_E_FORMAT, 0,
                    "%s is broken at line 1, column 1 (an object is wanted); "
                    "download it again",
                    label);
}

static gov_status load_file(json_t **out, const struct gov_alloc *alloc,
                            const struct gov__model_file *file, gov_error *err)
{
    struct source source = {.cursor = {.file = file, .err = err}};
    gov_status status;

    *out = NULL;
    if (file->id.bytes > CONFIG_LIMIT)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "%s is larger than the %u MiB that any needs; download "
                        "it again",
                        file->label, (unsigned)(CONFIG_LIMIT >> 20));
    source.cursor.window = alloc->alloc(alloc->ctx, GOV__CURSOR_WINDOW);
    if (source.cursor.window == NULL)
        return no_memory(file->label, err);
    status = load(out, &source, err);
    alloc->release(alloc->ctx, source.cursor.window);
    return status;
}

gov_status gov__config_json_read(struct gov__header *header,
                                 const struct gov__model_file *file,
                                 gov_error *err)
{
    struct gov__config config = {.header = header};
    json_t *root;
    gov_status status = load_file(&root, &header->alloc, file, err);

    if (status != GOV_OK)
        return status;
    config.root = root;
    status = read_config(&config, file->label, err);
    json_decref(root);
    if (status == GOV_OK && config.no_memory)
        status = no_memory(file->label, err);
    return status;
}

gov_status gov__quantize_config_read(struct gov__header *header,
                                     const struct gov__model_file *file,
                                     gov_error *err)
{
    struct gov__config config = {.header = header};
    json_t *root;
    gov_status status = load_file(&root, &header->alloc, file, err);

    if (status != GOV_OK)
        return status;
    config.root = root;
    gov__config_quantize_file(&config);
    json_decref(root);
    return GOV_OK;
}
