/* SPDX-License-Identifier: MIT */
/* Between config_models.c, which finds the row of a model, and the files that have
 * the rows: which numbers of a configuration an architecture of llama.cpp keeps
 * under another name or in another form. Facts are from the classes in
 * conversion/ of llama.cpp's tree (v0.5.0), whose names and set_gguf_parameters()
 * they follow row by row. */
#ifndef GOV_MODEL_CONFIG_MODELS_PRIV_H
#define GOV_MODEL_CONFIG_MODELS_PRIV_H

#include "governor/model/config_json_priv.h"

#define TAKE(config, key, ...)                                                 \
    gov__config_take(config, GOV__KEY_##key, GOV__FIND(config, __VA_ARGS__))
#define NUMBER(config, otherwise, ...)                                         \
    gov__config_number(GOV__FIND(config, __VA_ARGS__), otherwise)

struct gov__config_row {
    const char *type;         /* "model_type"; NULL: not used to find it */
    const char *model_class;  /* "architectures", by which the converter goes */
    const char *architecture; /* in llama.cpp */
    void (*adapt)(struct gov__config *config); /* NULL: nothing is special */
};

struct gov__config_rows {
    const struct gov__config_row *rows;
    size_t count;
};

extern const struct gov__config_rows gov__rows_attention;
extern const struct gov__config_rows gov__rows_recurrent;
extern const struct gov__config_rows gov__rows_others;

/* ---- what several rows need ------------------------------------------------------ */

/* A number that holds for the whole model; 0 where it is not known. */
uint32_t gov__config_one(const struct gov__config *config, enum gov__key key);
/* How many there are, GOV__LAYERS_MAX at most. */
uint32_t gov__config_layers(const struct gov__config *config);
/* What the library fills in where config.json does not say. */
void gov__config_fall_back(struct gov__config *config, enum gov__key key,
                           uint32_t value);
/* The product, UINT32_MAX at most. */
uint32_t gov__config_times(uint32_t a, uint32_t b);
/* Flags: which of a list of words are that word. */
void gov__config_take_words(struct gov__config *config, enum gov__key key,
                            const json_t *list, const char *word);
void gov__config_take_window_layers(struct gov__config *config);
/* A layer in `period` attends to everything: that whose number is last of them. */
void gov__config_set_window_period(struct gov__config *config, uint32_t period);
/* Key and value heads of the layers that attend; none in the others. */
void gov__config_set_attending(struct gov__config *config,
                               const bool attends[GOV__LAYERS_MAX]);
/* Layers that predict further tokens lie behind the others and are counted. */
void gov__config_add_predicting(struct gov__config *config, uint32_t count);
void gov__config_set_head_length(struct gov__config *config, uint32_t length);
void gov__config_clear_head_length(struct gov__config *config);
void gov__config_rename_to(struct gov__config *config,
                           const char *architecture);

/* Rotary positions turn whole heads. */
void gov__adapt_llama(struct gov__config *config);
void gov__adapt_bidirectional(struct gov__config *config);
/* "num_nextn_predict_layers" lie behind the others. */
void gov__adapt_nextn(struct gov__config *config);
/* Keys and values of all heads are made from one compressed vector, which is what
 * the cache holds: as if there were one head. */
void gov__adapt_mla(struct gov__config *config);

#endif
