/* SPDX-License-Identifier: MIT */
/* The plan of a model: which tensors an architecture of a given shape has, of
 * which type and where in the data section. Pure arithmetic; never writes a
 * byte and never decides a shape. */
#include "mkmodel_plan.h"

#include "mkmodel_base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The gains make a lively network out of noise. Scores of queries and keys
 * spread over a few units, so attention picks words instead of averaging them
 * all and the text depends on its past; logits spread enough that sampling has
 * something to choose; and each layer adds about as much as the embedding. */
static const struct mk_tensor_rule llama_rules[] = {
    {"token_embd", MK_BEFORE, MK_EMBEDDING, MK_DIM_EMBD, MK_DIM_VOCAB, 640},
    {"attn_norm", MK_LAYER, MK_NORM, MK_DIM_EMBD, MK_DIM_NONE, 256},
    {"attn_q", MK_LAYER, MK_MATRIX, MK_DIM_EMBD, MK_DIM_Q, 435},
    {"attn_k", MK_LAYER, MK_MATRIX, MK_DIM_EMBD, MK_DIM_KV, 435},
    {"attn_v", MK_LAYER, MK_MATRIX, MK_DIM_EMBD, MK_DIM_KV, 384},
    {"attn_output", MK_LAYER, MK_MATRIX, MK_DIM_Q, MK_DIM_EMBD, 512},
    {"ffn_norm", MK_LAYER, MK_NORM, MK_DIM_EMBD, MK_DIM_NONE, 256},
    {"ffn_gate", MK_LAYER, MK_MATRIX, MK_DIM_EMBD, MK_DIM_FF, 384},
    {"ffn_up", MK_LAYER, MK_MATRIX, MK_DIM_EMBD, MK_DIM_FF, 256},
    {"ffn_down", MK_LAYER, MK_MATRIX, MK_DIM_FF, MK_DIM_EMBD, 640},
    {"output_norm", MK_AFTER, MK_NORM, MK_DIM_EMBD, MK_DIM_NONE, 256},
    {"output", MK_AFTER, MK_OUTPUT, MK_DIM_EMBD, MK_DIM_VOCAB, 640},
};

static const struct mk_arch archs[] = {
    {"llama", llama_rules, COUNT(llama_rules), 10000},
};

const struct mk_arch *mk_arch_at(unsigned i)
{
    return i < COUNT(archs) ? &archs[i] : NULL;
}

const struct mk_arch *mk_arch_find(const char *name)
{
    for (size_t i = 0; i < COUNT(archs); i++)
        if (strcmp(archs[i].name, name) == 0)
            return &archs[i];
    return NULL;
}

uint32_t mk_dim_value(const struct mk_shape *shape, enum mk_dim dim)
{
    switch (dim) {
    case MK_DIM_EMBD:
        return shape->embd;
    case MK_DIM_Q:
        return shape->heads * shape->head_dim;
    case MK_DIM_KV:
        return shape->kv_heads * shape->head_dim;
    case MK_DIM_FF:
        return shape->ff;
    case MK_DIM_VOCAB:
        return shape->vocab;
    case MK_DIM_NONE:
        break;
    }
    return 0;
}

static const struct mk_type *type_for(const struct mk_shape *shape,
                                      enum mk_role role)
{
    switch (role) {
    case MK_NORM:
        return &mk_norm_type;
    case MK_EMBEDDING:
        return shape->embd_type;
    case MK_OUTPUT:
        return shape->output_type;
    case MK_MATRIX:
        break;
    }
    return shape->type;
}

static void add_tensor(struct mk_plan *plan, const struct mk_shape *shape,
                       const struct mk_tensor_rule *rule, uint32_t layer)
{
    struct mk_tensor *tensor = &plan->tensors[plan->count];
    uint64_t elements;

    if (rule->role == MK_OUTPUT && shape->tied)
        return;
    if (rule->place == MK_LAYER)
        snprintf(tensor->name, sizeof(tensor->name), "blk.%u.%s.weight", layer,
                 rule->name);
    else
        snprintf(tensor->name, sizeof(tensor->name), "%s.weight", rule->name);
    tensor->rule = rule;
    tensor->type = type_for(shape, rule->role);
    tensor->columns = mk_dim_value(shape, rule->columns);
    tensor->rows = mk_dim_value(shape, rule->rows);
    elements = tensor->columns * (tensor->rows == 0 ? 1 : tensor->rows);
    tensor->bytes =
        elements / tensor->type->block_elements * tensor->type->block_bytes;
    tensor->offset = plan->data_bytes;
    plan->data_bytes += mk_round_up(tensor->bytes, MK_ALIGNMENT);
    plan->weights += elements;
    plan->count++;
}

static void add_place(struct mk_plan *plan, const struct mk_shape *shape,
                      enum mk_place place, uint32_t layer)
{
    for (size_t i = 0; i < shape->arch->rule_count; i++)
        if (shape->arch->rules[i].place == place)
            add_tensor(plan, shape, &shape->arch->rules[i], layer);
}

void mk_plan_init(struct mk_plan *plan, const struct mk_shape *shape)
{
    size_t most = shape->arch->rule_count * (shape->layers + (size_t)1);

    memset(plan, 0, sizeof(*plan));
    plan->tensors = mk_alloc(most, sizeof(plan->tensors[0]));
    add_place(plan, shape, MK_BEFORE, 0);
    for (uint32_t layer = 0; layer < shape->layers; layer++)
        add_place(plan, shape, MK_LAYER, layer);
    add_place(plan, shape, MK_AFTER, 0);
}

void mk_plan_fini(struct mk_plan *plan)
{
    free(plan->tensors);
    plan->tensors = NULL;
}

bool mk_makes_logits(const struct mk_tensor *tensor,
                     const struct mk_shape *shape)
{
    return tensor->rule->role == MK_OUTPUT ||
           (shape->tied && tensor->rule->role == MK_EMBEDDING);
}
