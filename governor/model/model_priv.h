/* SPDX-License-Identifier: MIT */
/* What is behind a gov_model: the header as read, its units, and the sums over
 * its tensors that facts are made of. */
#ifndef GOV_MODEL_PRIV_H
#define GOV_MODEL_PRIV_H

#include "governor/model/gguf.h"

/* Sums over tensors, taken once. */
struct gov__model_sums {
    uint64_t weight_bytes;
    uint64_t repack_bytes; /* see tensor_types.h */
    uint64_t largest_unit_bytes;
    const char *quantization; /* type that holds most bytes; static */
    uint64_t vocabulary; /* rows of the output matrix; 0 if there is none */
    bool tied;           /* the embedding is the output matrix too */
};

struct gov_model {
    struct gov_alloc alloc;
    uint64_t device, inode, file_bytes;
    struct gov__gguf gguf;
    struct gov_unit *units;
    size_t unit_count;
    struct gov__model_sums sums;
    char path[]; /* as it was given */
};

/* Makes the units and gives each tensor its own. */
gov_status gov__model_make_units(struct gov_model *model, const char *label,
                                 gov_error *err);

/* Fills model->sums; after the units are made. */
void gov__model_sum(struct gov_model *model);

#endif
