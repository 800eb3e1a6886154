/* SPDX-License-Identifier: MIT */
/* The plan of a model: which tensors an architecture of a given shape has, of
 * which type and where in the data section. Pure arithmetic; never writes a
 * byte and never decides a shape. */
#include "mkmodel_plan.h"

#include "mkmodel_base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_attention(const struct mk_shape *s, uint32_t layer)
{
    uint32_t period = s->n[MK_DIM_ATTN_PERIOD];

    return period == 0 || (layer + 1) % period == 0;
}

/* In later layers of an architecture that grows: from half the width on. */
static uint32_t grown(const struct mk_shape *s, uint32_t width, uint32_t step,
                      uint32_t layer)
{
    uint32_t least = width / 2 < step ? step : width / 2;

    if (!s->arch->grows || s->layers < 2)
        return width;
    width = least + (width - least) * layer / (s->layers - 1);
    return (uint32_t)mk_round_up(width, step);
}

static uint32_t kv_heads(const struct mk_shape *s, uint32_t layer)
{
    return is_attention(s, layer) ? grown(s, s->kv_heads, 1, layer) : 0;
}

static uint32_t heads(const struct mk_shape *s, uint32_t layer)
{
    return grown(s, s->kv_heads, 1, layer) * (s->heads / s->kv_heads);
}

static uint32_t feed_forward(const struct mk_shape *s, uint32_t layer)
{
    return grown(s, s->ff, 256, layer);
}

/* The widths that follow from others. */
static uint32_t derived(const struct mk_shape *s, enum mk_dim dim,
                        uint32_t layer)
{
    const uint32_t *n = s->n;
    uint32_t inner = 2 * s->embd;
    uint32_t conv = inner + 2 * n[MK_DIM_GROUPS] * n[MK_DIM_STATE];

    switch (dim) {
    case MK_DIM_Q:
        return heads(s, layer) * s->head_dim;
    case MK_DIM_KV:
        return kv_heads(s, layer) * s->head_dim;
    case MK_DIM_QKV:
        return (heads(s, layer) + 2 * kv_heads(s, layer)) * s->head_dim;
    case MK_DIM_HEAD_2:
        return s->head_dim / 2;
    case MK_DIM_FF_2:
        return 2 * feed_forward(s, layer);
    case MK_DIM_EMBD_3:
        return 3 * s->embd;
    case MK_DIM_SHARED_FF:
        return n[MK_DIM_SHARED_EXPERTS] * n[MK_DIM_EXPERT_FF];
    case MK_DIM_KV_CACHED:
        return n[MK_DIM_KV_LORA] + n[MK_DIM_ROT];
    case MK_DIM_NOPE:
        return n[MK_DIM_KEY_MLA] - n[MK_DIM_ROT];
    case MK_DIM_Q_MLA:
        return s->heads * n[MK_DIM_KEY_MLA];
    case MK_DIM_V_MLA:
        return s->heads * n[MK_DIM_VALUE_MLA];
    case MK_DIM_INNER:
        return inner;
    case MK_DIM_INNER_2:
        return 2 * inner;
    case MK_DIM_SSM_X:
        return n[MK_DIM_DT_RANK] + 2 * n[MK_DIM_STATE];
    case MK_DIM_SSM_CONV:
        return conv;
    case MK_DIM_SSM_IN:
        return inner + conv + n[MK_DIM_DT_RANK];
    case MK_DIM_SSM_GROUP:
        return inner / n[MK_DIM_GROUPS];
    default:
        return 0;
    }
}

uint32_t mk_dim_value(const struct mk_shape *shape, enum mk_dim dim,
                      uint32_t layer)
{
    switch (dim) {
    case MK_DIM_NONE:
        return 0;
    case MK_DIM_EXPERT_FF:
        return shape->arch->own_widths ? shape->n[dim] : shape->ff;
    case MK_DIM_EMBD:
        return shape->embd;
    case MK_DIM_FF:
        return feed_forward(shape, layer);
    case MK_DIM_VOCAB:
        return shape->vocab;
    case MK_DIM_CTX:
        return shape->ctx;
    case MK_DIM_LAYERS:
        return shape->layers;
    case MK_DIM_HEADS:
        return heads(shape, layer);
    case MK_DIM_KV_HEADS:
        return kv_heads(shape, layer);
    case MK_DIM_HEAD:
        return shape->head_dim;
    case MK_DIM_ONE:
        return 1;
    case MK_DIM_TWO:
        return 2;
    default:
        return dim < MK_NUMBERS ? shape->n[dim] : derived(shape, dim, layer);
    }
}

bool mk_layer_has_window(const struct mk_shape *shape, uint32_t layer)
{
    uint32_t period = shape->n[MK_DIM_WINDOW_PERIOD];

    return period == 0 || (layer + 1) % period != 0;
}

static bool holds(const struct mk_shape *s, enum mk_when when, uint32_t layer)
{
    bool experts =
        s->n[MK_DIM_EXPERTS] != 0 && layer >= s->n[MK_DIM_DENSE_LEAD];

    switch (when) {
    case MK_WHEN_DENSE:
        return !experts;
    case MK_WHEN_EXPERTS:
        return experts;
    case MK_WHEN_ATTENTION:
        return is_attention(s, layer);
    case MK_WHEN_RECURRENT: /* without a period each layer has both */
        return s->n[MK_DIM_ATTN_PERIOD] == 0 || !is_attention(s, layer);
    case MK_WHEN_Q_LORA:
        return s->n[MK_DIM_Q_LORA] != 0;
    case MK_WHEN_NO_Q_LORA:
        return s->n[MK_DIM_Q_LORA] == 0;
    case MK_WHEN_ALWAYS:
        break;
    }
    return true;
}

/* As llama-quantize: what a type cannot divide becomes Q8_0, else F16. */
static const struct mk_type *type_for_any(const struct mk_type *type,
                                          uint32_t row)
{
    if (row % type->block_elements == 0)
        return type;
    return mk_type_find(row % 32 == 0 ? "Q8_0" : "F16");
}

static const struct mk_type *type_for(const struct mk_shape *shape,
                                      enum mk_role role, uint32_t row)
{
    switch (role) {
    case MK_NORM:
        return &mk_norm_type;
    case MK_DECAY:
        return &mk_decay_type;
    case MK_VECTOR:
    case MK_FULL:
        return mk_type_find("F32");
    case MK_EMBEDDING:
        return shape->embd_type;
    case MK_OUTPUT:
        return shape->output_type;
    case MK_EXPERT:
        return shape->expert_type;
    case MK_ANY:
        return type_for_any(shape->type, row);
    case MK_MATRIX:
        break;
    }
    return shape->type;
}

static void set_name(struct mk_tensor *tensor, uint32_t layer)
{
    static const char *const suffixes[] = {
        [MK_WEIGHT] = ".weight", [MK_BIAS] = ".bias", [MK_BARE] = ""};
    const char *suffix = suffixes[tensor->rule->suffix];

    if (tensor->rule->place == MK_LAYER)
        snprintf(tensor->name, sizeof(tensor->name), "blk.%u.%s%s", layer,
                 tensor->rule->name, suffix);
    else
        snprintf(tensor->name, sizeof(tensor->name), "%s%s", tensor->rule->name,
                 suffix);
}

uint64_t mk_tensor_rows(const struct mk_tensor *tensor)
{
    uint64_t rows = tensor->rows == 0 ? 1 : tensor->rows;

    return tensor->planes == 0 ? rows : rows * tensor->planes;
}

static void add_tensor(struct mk_plan *plan, const struct mk_shape *shape,
                       const struct mk_tensor_rule *rule, uint32_t layer)
{
    struct mk_tensor *tensor = &plan->tensors[plan->count];
    uint64_t elements;

    if (rule->role == MK_OUTPUT && shape->tied)
        return;
    if (rule->place == MK_LAYER && !holds(shape, rule->when, layer))
        return;
    tensor->rule = rule;
    set_name(tensor, layer);
    tensor->columns = mk_dim_value(shape, rule->columns, layer);
    tensor->rows = mk_dim_value(shape, rule->rows, layer);
    tensor->planes = mk_dim_value(shape, rule->planes, layer);
    tensor->type = type_for(shape, rule->role, (uint32_t)tensor->columns);
    tensor->seed = mk_seed_mix(shape->seed, plan->count);
    elements = tensor->columns * mk_tensor_rows(tensor);
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
    const struct mk_tensor_rules *const *group = shape->arch->tensors;

    for (size_t g = 0; g < MK_GROUPS_MAX && group[g] != NULL; g++)
        for (size_t i = 0; i < group[g]->count; i++)
            if (group[g]->list[i].place == place)
                add_tensor(plan, shape, &group[g]->list[i], layer);
}

static size_t most_tensors(const struct mk_shape *shape)
{
    const struct mk_tensor_rules *const *group = shape->arch->tensors;
    size_t rules = 0;

    for (size_t g = 0; g < MK_GROUPS_MAX && group[g] != NULL; g++)
        rules += group[g]->count;
    return rules * (shape->layers + (size_t)1);
}

void mk_plan_init(struct mk_plan *plan, const struct mk_shape *shape)
{
    memset(plan, 0, sizeof(*plan));
    plan->tensors = mk_alloc(most_tensors(shape), sizeof(plan->tensors[0]));
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

static long layer_of(const struct mk_tensor *tensor)
{
    return tensor->rule->place == MK_LAYER
               ? strtol(tensor->name + strlen("blk."), NULL, 10)
               : -1;
}

static int by_layer_and_name(const void *left, const void *right)
{
    const struct mk_tensor *a = left;
    const struct mk_tensor *b = right;
    long a_layer = layer_of(a);
    long b_layer = layer_of(b);

    if (a_layer != b_layer)
        return a_layer < b_layer ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* llama-quantize (src/llama-quant.cpp) writes tensors in the order of a map whose
 * weight_name_comparer (src/llama-model-loader.h) takes the layer's number first
 * and then the name; what belongs to no layer comes before all layers. */
void mk_plan_sort(struct mk_plan *plan)
{
    uint64_t offset = 0;

    qsort(plan->tensors, plan->count, sizeof(plan->tensors[0]),
          by_layer_and_name);
    for (size_t i = 0; i < plan->count; i++) {
        plan->tensors[i].offset = offset;
        offset += mk_round_up(plan->tensors[i].bytes, MK_ALIGNMENT);
    }
}

size_t mk_plan_part(struct mk_plan *part, const struct mk_plan *plan,
                    size_t first, uint32_t files_left)
{
    uint64_t base = plan->tensors[first].offset;
    uint64_t share = (plan->data_bytes - base) / files_left;
    size_t end = plan->count - (files_left - 1); /* each has at least one */
    size_t next = first;

    memset(part, 0, sizeof(*part));
    part->tensors = mk_alloc(plan->count - first, sizeof(part->tensors[0]));
    do {
        struct mk_tensor *tensor = &part->tensors[part->count++];

        *tensor = plan->tensors[next++];
        tensor->offset -= base;
        part->data_bytes += mk_round_up(tensor->bytes, MK_ALIGNMENT);
        part->weights += tensor->columns * mk_tensor_rows(tensor);
    } while (next < end && (files_left == 1 || part->data_bytes < share));
    return next;
}

bool mk_makes_logits(const struct mk_tensor *tensor,
                     const struct mk_shape *shape)
{
    return tensor->rule->role == MK_OUTPUT ||
           (shape->tied && tensor->rule->role == MK_EMBEDDING);
}
