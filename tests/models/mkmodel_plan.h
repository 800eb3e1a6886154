/* SPDX-License-Identifier: MIT */
/* The plan of a model: which tensors an architecture of a given shape has, of
 * which type and where in the data section. Pure arithmetic; never writes a
 * byte and never decides a shape. */
#ifndef MKMODEL_PLAN_H
#define MKMODEL_PLAN_H

#include "mkmodel_arch.h"

#include <stddef.h>

enum { MK_ALIGNMENT = 32, MK_LAYERS_MAX = 512 };

struct mk_tensor {
    char name[64];
    const struct mk_tensor_rule *rule;
    const struct mk_type *type;
    uint64_t columns;
    uint64_t rows;   /* 0 for a vector */
    uint64_t planes; /* 0 for a vector or a matrix */
    uint64_t bytes;
    uint64_t offset; /* from the start of the data section */
    uint64_t seed;   /* of its random stream */
};

struct mk_plan {
    struct mk_tensor *tensors;
    size_t count;
    uint64_t data_bytes; /* padded, as ggml counts it */
    uint64_t weights;
};

void mk_plan_init(struct mk_plan *plan, const struct mk_shape *shape);
void mk_plan_fini(struct mk_plan *plan);

/* Orders the tensors as llama-quantize writes them; what each holds stays. */
void mk_plan_sort(struct mk_plan *plan);

/* The tensors from the first on that go into the next of files_left files, an
 * equal share of the bytes and at least one tensor; returns the first that does
 * not. At least files_left tensors are left. Released as a plan is. */
size_t mk_plan_part(struct mk_plan *part, const struct mk_plan *plan,
                    size_t first, uint32_t files_left);

/* The width in a layer; what is the same in all layers ignores it. */
uint32_t mk_dim_value(const struct mk_shape *shape, enum mk_dim dim,
                      uint32_t layer);

/* False where each token sees all before it. */
bool mk_layer_has_window(const struct mk_shape *shape, uint32_t layer);

/* True for the tensor that makes the logits. */
bool mk_makes_logits(const struct mk_tensor *tensor,
                     const struct mk_shape *shape);

/* Rows in all planes; a vector is one row. */
uint64_t mk_tensor_rows(const struct mk_tensor *tensor);

#endif
