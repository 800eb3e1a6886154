/* SPDX-License-Identifier: MIT */
/* Sums over a model's tensors: bytes, numbers, what a pass reads, what an engine
 * would repack. All stop at UINT64_MAX instead of wrapping: an absurd header gives
 * an absurd cost, which no budget admits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "governor/model/model_priv.h"
#include "governor/model/quantization_config.h"
#include "governor/model/tensor_names.h"
#include "governor/model/tensor_types.h"
#include "policies/planning/sizes_priv.h"

static void find_output(struct gov_model *model)
{
    const struct gov__header *header = &model->header;
    struct gov__model_sums *sums = &model->sums;

    /* An encoder makes no logits, whatever it has or lacks. */
    sums->tied = !model->state.cacheless;
    for (size_t i = 0; i < header->count; i++) {
        const struct gov_tensor *tensor = &header->tensors[i];
        bool output = gov__is_output_matrix(tensor->name);

        if (output ||
            (sums->vocabulary == 0 && gov__is_token_embedding(tensor->name)))
            sums->vocabulary = tensor->shape[1];
        if (output)
            sums->tied = false;
    }
}

/* ---- types -------------------------------------------------------------------- */

#define TYPES_MAX 64

struct share {
    const char *type;
    uint64_t bytes;
};

static int by_bytes(const void *left, const void *right)
{
    const struct share *a = left, *b = right;

    return (a->bytes < b->bytes) - (a->bytes > b->bytes);
}

/* Names of types are static and each is there once, but compare by text all the
 * same: two tables hold F32. */
static void add_share(struct share shares[TYPES_MAX], size_t *count,
                      const struct gov_tensor *tensor)
{
    size_t i = 0;

    while (i < *count && strcmp(shares[i].type, tensor->type) != 0)
        i++;
    if (i == TYPES_MAX)
        return;
    if (i == *count)
        shares[(*count)++] = (struct share){tensor->type, 0};
    shares[i].bytes = gov__sat_add(shares[i].bytes, tensor->bytes);
}

/* "Q4_K, some Q6_K": what holds at least a fiftieth is named, up to three. */
static void describe_types(struct gov_model *model, const struct share *shares,
                           size_t count)
{
    struct gov__model_sums *sums = &model->sums;
    char *out = sums->quantization;
    size_t room = sizeof(sums->quantization), used;

    used = (size_t)snprintf(out, room, "%s", sums->type);
    for (size_t i = 1; i < count && i < 3; i++)
        if (shares[i].bytes >= sums->weight_bytes / 50)
            used +=
                (size_t)snprintf(out + used, room - used, "%s %s",
                                 i == 1 ? ", some" : " and", shares[i].type);
}

static void describe_method(struct gov_model *model)
{
    const struct gov__quantization *q = &model->header.quantization;
    struct gov__model_sums *sums = &model->sums;
    char bits[24] = "", group[32] = "", method[sizeof(q->method)];

    for (size_t i = 0; i < sizeof(method); i++)
        method[i] = (char)(q->method[i] >= 'a' && q->method[i] <= 'z'
                               ? q->method[i] - 'a' + 'A'
                               : q->method[i]);
    if (strcmp(q->method, "exl2") == 0 && q->bits != 0)
        snprintf(bits, sizeof(bits), ", %u.%u bits", q->bits / 10,
                 q->bits % 10);
    else if (q->bits != 0)
        snprintf(bits, sizeof(bits), ", %u bits", q->bits);
    if (q->group != 0)
        snprintf(group, sizeof(group), ", groups of %u", q->group);
    snprintf(sums->quantization, sizeof(sums->quantization), "%s%s%s", method,
             bits, group);
}

static void sum_types(struct gov_model *model)
{
    const struct gov__header *header = &model->header;
    struct share shares[TYPES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < header->count; i++)
        add_share(shares, &count, &header->tensors[i]);
    qsort(shares, count, sizeof(*shares), by_bytes);
    model->sums.type = shares[0].type;
    if (header->quantization.method[0] != '\0')
        describe_method(model);
    else
        describe_types(model, shares, count);
}

/* ---- repacking ----------------------------------------------------------------- */

/* Whether llama.cpp multiplies by the tensor in a way that it repacks for: 2-D
 * matrices and 3-D stacks of experts, but not what it only takes rows of, nor the
 * stacks of latent attention. */
static bool is_multiplied(const struct gov_model *model,
                          const struct gov_tensor *tensor)
{
    uint32_t dims = tensor->dims;

    while (dims > 1 && tensor->shape[dims - 1] == 1)
        dims--;
    if (dims != 2 &&
        (dims != 3 || model->units[tensor->unit].kind != GOV_UNIT_EXPERTS))
        return false;
    return model->units[tensor->unit].kind != GOV_UNIT_EMBEDDING ||
           (model->sums.tied && gov__is_token_embedding(tensor->name));
}

static uint64_t repacked(const struct gov_model *model,
                         const struct gov__place *place)
{
    const struct gov_tensor *tensor = &model->header.tensors[place->tensor];
    const struct gov__tensor_type *type = gov__tensor_type(place->type);

    return type != NULL && type->repack_rows != 0 &&
                   tensor->shape[1] % type->repack_rows == 0 &&
                   is_multiplied(model, tensor)
               ? tensor->bytes
               : 0;
}

/* ---- passes --------------------------------------------------------------------- */

/* Of something counted in bytes or in numbers: what a pass over one token uses
 * of it, and what one that uses every expert does. */
struct use {
    uint64_t sparse, dense;
};

/* An embedding is looked up, one row a token, unless it makes the logits too. */
static struct use use_of(const struct gov_model *model,
                         const struct gov_tensor *tensor, uint64_t amount)
{
    const struct gov__header *header = &model->header;
    const struct gov_unit *unit = &model->units[tensor->unit];
    uint64_t experts = gov__header_single(header, GOV__KEY_EXPERTS);
    uint64_t used = gov__header_largest(header, GOV__KEY_EXPERTS_USED);
    struct use use = {amount, amount};
    uint64_t of_layer;

    switch (unit->kind) {
    case GOV_UNIT_PROJECTOR:
        return (struct use){0, 0};
    case GOV_UNIT_EMBEDDING:
        if (tensor->dims > 1 && tensor->shape[1] != 0 &&
            !(model->sums.tied && gov__is_token_embedding(tensor->name)))
            use.sparse = use.dense = amount / tensor->shape[1];
        return use;
    case GOV_UNIT_EXPERTS:
        if (gov__header_of_layer(header, GOV__KEY_EXPERTS_USED, unit->layer,
                                 &of_layer) &&
            of_layer != 0)
            used = of_layer;
        if (experts != 0 && used != 0 && used < experts)
            use.sparse = gov__scaled(amount, used, experts);
        return use;
    case GOV_UNIT_LAYER:
    case GOV_UNIT_OUTPUT:
        break;
    }
    return use;
}

/* Columns of a matrix, for each expert that a token uses. */
static uint64_t width_of(const struct gov_model *model,
                         const struct gov_tensor *tensor)
{
    gov_unit_kind kind = model->units[tensor->unit].kind;
    uint64_t used = gov__header_largest(&model->header, GOV__KEY_EXPERTS_USED);

    if (tensor->dims < 2 || kind == GOV_UNIT_EMBEDDING ||
        kind == GOV_UNIT_PROJECTOR)
        return 0;
    return kind == GOV_UNIT_EXPERTS && used != 0
               ? gov__sat_mul(tensor->shape[0], used)
               : tensor->shape[0];
}

void gov__model_find_experts(struct gov_model *model)
{
    const struct gov__header *header = &model->header;
    struct gov__model_sums *sums = &model->sums;

    if (gov__header_largest(header, GOV__KEY_EXPERTS) == 0)
        return;
    for (size_t i = 0; i < header->count; i++) {
        const char *name = header->tensors[i].name;
        struct gov__tensor_role role = gov__tensor_role(name);

        if (role.kind == GOV_UNIT_LAYER)
            sums->layer_has[role.layer] |= GOV__HAS_TENSORS;
        if (role.kind != GOV_UNIT_EXPERTS)
            continue;
        sums->layer_has[role.layer] |= GOV__HAS_EXPERTS;
        if (strstr(name, "ffn_gate_up_exps") != NULL)
            sums->fused_experts = true;
    }
}

static uint64_t elements(const struct gov__header *header,
                         const struct gov_tensor *tensor)
{
    uint64_t count = 1;

    if (strcmp(header->format, "safetensors") == 0)
        return gov__quantized_parameters(header, tensor);
    for (uint32_t i = 0; i < 4; i++)
        count = gov__sat_mul(count, tensor->shape[i]);
    return count;
}

static bool same_layer(const struct gov_unit *a, const struct gov_unit *b)
{
    return (a->kind == GOV_UNIT_LAYER || a->kind == GOV_UNIT_EXPERTS) &&
           (b->kind == GOV_UNIT_LAYER || b->kind == GOV_UNIT_EXPERTS) &&
           a->layer == b->layer;
}

/* A layer is used as a whole, however many units it lies in: what llama.cpp has
 * quantized has four in each layer with experts. */
static void find_largest(struct gov_model *model)
{
    uint64_t *most = &model->sums.largest_unit_bytes, together = 0;

    for (size_t i = 0; i < model->unit_count; i++) {
        const struct gov_unit *unit = &model->units[i];

        if (i == 0 || !same_layer(unit - 1, unit))
            together = 0;
        together = gov__sat_add(together, unit->bytes);
        if (together > *most)
            *most = together;
    }
}

void gov__model_sum(struct gov_model *model)
{
    const struct gov__header *header = &model->header;
    struct gov__model_sums *sums = &model->sums;

    find_output(model);
    gov__model_find_experts(model);
    for (size_t i = 0; i < header->count; i++) {
        const struct gov__place *place = &header->places[i];
        const struct gov_tensor *tensor = &header->tensors[place->tensor];
        uint64_t numbers = elements(header, tensor);
        struct use bytes = use_of(model, tensor, tensor->bytes);

        if (width_of(model, tensor) > sums->widest)
            sums->widest = width_of(model, tensor);
        sums->weight_bytes = gov__sat_add(sums->weight_bytes, tensor->bytes);
        sums->repack_bytes =
            gov__sat_add(sums->repack_bytes, repacked(model, place));
        sums->sparse_pass = gov__sat_add(sums->sparse_pass, bytes.sparse);
        sums->dense_pass = gov__sat_add(sums->dense_pass, bytes.dense);
        sums->parameters = gov__sat_add(sums->parameters, numbers);
        sums->active_parameters = gov__sat_add(
            sums->active_parameters, use_of(model, tensor, numbers).sparse);
    }
    sum_types(model);
    find_largest(model);
}

uint64_t gov_model_sparse_pass(const gov_model *model)
{
    return model->sums.sparse_pass;
}

uint64_t gov_model_dense_pass(const gov_model *model)
{
    return model->sums.dense_pass;
}

uint64_t gov_model_parameters(const gov_model *model)
{
    return model->sums.parameters;
}

uint64_t gov_model_active_parameters(const gov_model *model)
{
    return model->sums.active_parameters;
}

const char *gov_model_quantization(const gov_model *model)
{
    return model->sums.quantization;
}
