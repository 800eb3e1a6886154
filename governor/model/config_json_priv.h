/* SPDX-License-Identifier: MIT */
/* A configuration as its readers see it: members by name, numbers by key. */
#ifndef GOV_MODEL_CONFIG_JSON_PRIV_H
#define GOV_MODEL_CONFIG_JSON_PRIV_H

#include <jansson.h>

#include "governor/model/header.h"

struct gov__config {
    const json_t *root;
    const json_t *text; /* the language model's part, whose members come first;
                         * NULL where there is none */
    struct gov__header *header;
    bool no_memory; /* a number could not be kept */
};

/* The first of these members that is there, be it null; NULL for none. */
const json_t *gov__config_find(const struct gov__config *config,
                               const char *const *names);
#define GOV__FIND(config, ...)                                                 \
    gov__config_find(config, (const char *const[]){__VA_ARGS__, NULL})

/* Whether it is a whole number of 32 bits, not negative. */
bool gov__config_whole(const json_t *value, uint32_t *out);
/* The same, or what is given for anything else. */
uint32_t gov__config_number(const json_t *value, uint32_t otherwise);

/* Gives a number its value, or one for each layer. */
void gov__config_set(struct gov__config *config, enum gov__key key,
                     uint32_t value);
void gov__config_set_each(struct gov__config *config, enum gov__key key,
                          const uint32_t *values, size_t count);
/* From JSON: a number, or an array of them; anything else changes nothing. */
void gov__config_take(struct gov__config *config, enum gov__key key,
                      const json_t *value);
/* Makes it unknown. */
void gov__config_clear(struct gov__config *config, enum gov__key key);

/* Fills in what the architecture keeps elsewhere or in another form, and its
 * name: see config_models.c. */
void gov__config_models(struct gov__config *config);

/* Fills header->quantization from "quantization_config" or MLX's "quantization",
 * and from a quantize_config.json: see quantization_config.c. */
void gov__config_quantization(struct gov__config *config);
void gov__config_quantize_file(struct gov__config *config);

#endif
