/* SPDX-License-Identifier: MIT */
/* What is behind a gov_model: the header as read, its units, and the sums over
 * its tensors that facts are made of. */
#ifndef GOV_MODEL_PRIV_H
#define GOV_MODEL_PRIV_H

#include "governor/model/header.h"
#include "governor/model/state.h"

/* Sums over tensors, taken once. */
struct gov__model_sums {
    uint64_t weight_bytes;
    uint64_t repack_bytes; /* see tensor_types.h */
    uint64_t largest_unit_bytes;
    uint64_t parameters, active_parameters;
    uint64_t sparse_pass, dense_pass; /* bytes, see model.h */
    uint64_t widest;     /* numbers that one token brings to the widest product
                          * of matrices: work for a batch */
    uint64_t vocabulary; /* rows of the output matrix; 0 if there is none */
    bool tied;           /* the embedding is the output matrix too */
    bool fused_experts;  /* gate and up of the experts are one tensor */
    const char *type;    /* that holds most bytes; static */
    char quantization[96];
    /* Of each layer: whether it has tensors of its own, and of experts. */
    uint8_t layer_has[GOV__LAYERS_MAX];
};

enum { GOV__HAS_TENSORS = 1, GOV__HAS_EXPERTS = 2 };

/* Where a unit lies among the header's places, and between which others of its
 * file: what is asked of one unit must not take a walk through all. */
struct gov__unit_place {
    size_t first;    /* of its `tensors` places */
    uint64_t before; /* where the unit in front of it ends; 0: there is none */
    uint64_t behind; /* where the next one begins; UINT64_MAX: there is none */
};

struct gov_model {
    struct gov_alloc alloc;
    struct gov__header header;
    struct gov_unit *units;
    struct gov__unit_place *unit_places;
    size_t unit_count;
    struct gov__model_sums sums;
    struct gov__state state;
    char path[]; /* as it was given */
};

/* Makes the units and gives each tensor its own. */
gov_status gov__model_make_units(struct gov_model *model, const char *label,
                                 gov_error *err);

/* Fills model->sums; after the units are made. */
void gov__model_sum(struct gov_model *model);

/* Finds which layers have experts, by the names of their tensors: part of the
 * above. */
void gov__model_find_experts(struct gov_model *model);

#endif
