/* SPDX-License-Identifier: MIT */
/* The plan of a model: which tensors an architecture of a given shape has, of
 * which type and where in the data section. Pure arithmetic; never writes a
 * byte and never decides a shape. */
#ifndef MKMODEL_PLAN_H
#define MKMODEL_PLAN_H

#include "mkmodel_types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MK_ALIGNMENT = 32, MK_LAYERS_MAX = 512 };

enum mk_dim {
    MK_DIM_NONE,
    MK_DIM_EMBD,
    MK_DIM_Q,  /* heads x head_dim */
    MK_DIM_KV, /* kv_heads x head_dim */
    MK_DIM_FF,
    MK_DIM_VOCAB
};

enum mk_role { MK_MATRIX, MK_NORM, MK_EMBEDDING, MK_OUTPUT };
enum mk_place { MK_BEFORE, MK_LAYER, MK_AFTER };

/* One tensor of an architecture, in file order: those before the layers, those
 * of each layer, those after. */
struct mk_tensor_rule {
    const char *name; /* without "blk.N." and without ".weight" */
    enum mk_place place;
    enum mk_role role;
    enum mk_dim columns; /* elements of a row, which is the fan-in */
    enum mk_dim rows;
    uint32_t gain_q8; /* standard deviation x sqrt(fan-in) x 256 */
};

struct mk_arch {
    const char *name;
    const struct mk_tensor_rule *rules;
    size_t rule_count;
    uint32_t rope_freq_base;
};

struct mk_shape {
    const struct mk_arch *arch;
    const struct mk_type *type;        /* of the matrices */
    const struct mk_type *embd_type;   /* of the embedding */
    const struct mk_type *output_type; /* of the output matrix */
    const char *name;
    uint64_t seed;
    uint32_t layers;
    uint32_t embd;
    uint32_t ff;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t head_dim;
    uint32_t vocab;
    uint32_t ctx;
    bool tied; /* the embedding is the output matrix too */
};

struct mk_tensor {
    char name[64];
    const struct mk_tensor_rule *rule;
    const struct mk_type *type;
    uint64_t columns;
    uint64_t rows; /* 0 for a vector */
    uint64_t bytes;
    uint64_t offset; /* from the start of the data section */
};

struct mk_plan {
    struct mk_tensor *tensors;
    size_t count;
    uint64_t data_bytes; /* padded, as ggml counts it */
    uint64_t weights;
};

/* NULL for an unknown name; mk_arch_at() gives NULL behind the last. */
const struct mk_arch *mk_arch_find(const char *name);
const struct mk_arch *mk_arch_at(unsigned i);

uint32_t mk_dim_value(const struct mk_shape *shape, enum mk_dim dim);
void mk_plan_init(struct mk_plan *plan, const struct mk_shape *shape);
void mk_plan_fini(struct mk_plan *plan);

/* True for the tensor that makes the logits. */
bool mk_makes_logits(const struct mk_tensor *tensor,
                     const struct mk_shape *shape);

#endif
