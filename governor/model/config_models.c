/* SPDX-License-Identifier: MIT */
/* Which architecture of llama.cpp a model of the Transformers library becomes: by
 * the rows of config_attention.c, config_recurrent.c and config_others.c. And what
 * several rows need. */
#include "governor/model/config_models_priv.h"

#include <string.h>

#include "governor/model/architectures.h"
#include "governor/model/model_text.h"

uint32_t gov__config_one(const struct gov__config *config, enum gov__key key)
{
    return (uint32_t)gov__header_single(config->header, key);
}

uint32_t gov__config_layers(const struct gov__config *config)
{
    uint32_t count = gov__config_one(config, GOV__KEY_BLOCKS);

    return count < GOV__LAYERS_MAX ? count : GOV__LAYERS_MAX;
}

void gov__config_fall_back(struct gov__config *config, enum gov__key key,
                           uint32_t value)
{
    if (config->header->number[key].count == 0)
        gov__config_set(config, key, value);
}

uint32_t gov__config_times(uint32_t a, uint32_t b)
{
    return b == 0 || a <= UINT32_MAX / b ? a * b : UINT32_MAX;
}

void gov__config_take_words(struct gov__config *config, enum gov__key key,
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

void gov__config_take_window_layers(struct gov__config *config)
{
    gov__config_take_words(config, GOV__KEY_WINDOW_PATTERN,
                           GOV__FIND(config, "layer_types"),
                           "sliding_attention");
}

void gov__config_set_window_period(struct gov__config *config, uint32_t period)
{
    uint32_t flags[GOV__LAYERS_MAX], count = gov__config_layers(config);

    for (uint32_t i = 0; i < count; i++)
        flags[i] = period != 0 && (i + 1) % period != 0;
    gov__config_set_each(config, GOV__KEY_WINDOW_PATTERN, flags, count);
}

void gov__config_set_attending(struct gov__config *config,
                               const bool attends[GOV__LAYERS_MAX])
{
    uint32_t heads[GOV__LAYERS_MAX], count = gov__config_layers(config);
    uint32_t all = gov__config_one(config, GOV__KEY_HEADS_KV);

    for (uint32_t i = 0; i < count; i++)
        heads[i] = attends[i] ? all : 0;
    if (all != 0)
        gov__config_set_each(config, GOV__KEY_HEADS_KV, heads, count);
}

void gov__config_add_predicting(struct gov__config *config, uint32_t count)
{
    uint32_t blocks = gov__config_one(config, GOV__KEY_BLOCKS);

    if (blocks == 0 || count > GOV__LAYERS_MAX)
        return;
    gov__config_set(config, GOV__KEY_BLOCKS, blocks + count);
    gov__config_set(config, GOV__KEY_NEXTN, count);
}

void gov__config_set_head_length(struct gov__config *config, uint32_t length)
{
    gov__config_set(config, GOV__KEY_KEY_LENGTH, length);
    gov__config_set(config, GOV__KEY_VALUE_LENGTH, length);
}

void gov__config_clear_head_length(struct gov__config *config)
{
    gov__config_clear(config, GOV__KEY_KEY_LENGTH);
    gov__config_clear(config, GOV__KEY_VALUE_LENGTH);
}

void gov__config_rename_to(struct gov__config *config, const char *architecture)
{
    gov__text_safe(config->header->architecture,
                   sizeof(config->header->architecture), architecture,
                   strlen(architecture));
}

/* ---- finding the row --------------------------------------------------------------- */

/* The row whose type or class has that name. */
static const struct gov__config_row *find_row(const char *name, bool by_class)
{
    const struct gov__config_rows *tables[] = {
        &gov__rows_attention, &gov__rows_recurrent, &gov__rows_others};

    for (size_t i = 0; name != NULL && i < 3; i++) {
        for (size_t j = 0; j < tables[i]->count; j++) {
            const struct gov__config_row *row = &tables[i]->rows[j];
            const char *has = by_class ? row->model_class : row->type;

            if (has != NULL && strcmp(has, name) == 0)
                return row;
        }
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

/* What to call a model that no row is about. Some have a model type that is also
 * an architecture of llama.cpp ("plamo", "openelm"), where numbers go by other
 * names: calling them so would tell that those found are the whole truth. */
static void show_unlisted(struct gov__config *config,
                          const char *const names[4])
{
    static const unsigned char to_show[] = {2, 3, 0, 1};

    for (unsigned i = 0; i < 4; i++) {
        const char *name = names[to_show[i]];

        if (name != NULL && gov__architecture_find(name) == NULL) {
            gov__config_rename_to(config, name);
            return;
        }
    }
}

/* The class first, as the converter does it, since model types of encoders are
 * those of their decoders ("gemma3_text"); the language model's before that of
 * the whole. */
void gov__config_models(struct gov__config *config)
{
    const char *names[] = {class_of(config->text), class_of(config->root),
                           type_of(config->text), type_of(config->root)};
    const struct gov__config_row *row = NULL;

    for (unsigned i = 0; i < 4 && row == NULL; i++)
        row = find_row(names[i], i < 2);
    if (row == NULL) {
        show_unlisted(config, names);
        return;
    }
    gov__config_rename_to(config, row->architecture);
    if (row->adapt != NULL)
        row->adapt(config);
}
