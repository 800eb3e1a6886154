/* SPDX-License-Identifier: MIT */
/* The GGUF v3 header of a planned model, as bytes in memory, with a note of
 * where its numbers lie so that a hostile one can be made from it. Never
 * touches tensor data and never writes a file. */
#include "mkmodel_header.h"

#include "mkmodel_keys.h"
#include "mkmodel_tokenizer.h"

#include <stdlib.h>
#include <string.h>

static void put_windows(struct mk_keys_out *out, const struct mk_shape *s,
                        const struct mk_key *key)
{
    mk_put_key_array(out, key->name, MK_BOOL, s->layers);
    for (uint32_t layer = 0; layer < s->layers; layer++) {
        uint8_t byte = mk_layer_has_window(s, layer);

        mk_put(&out->bytes, &byte, 1);
    }
}

static void put_layers(struct mk_keys_out *out, const struct mk_shape *s,
                       const struct mk_key *key)
{
    uint32_t first = mk_dim_value(s, key->dim, 0);
    uint32_t layer = 1;

    while (layer < s->layers && mk_dim_value(s, key->dim, layer) == first)
        layer++;
    if (layer >= s->layers) {
        mk_put_key_u32(out, key->name, first);
        return;
    }
    mk_put_key_array(out, key->name, MK_I32, s->layers);
    for (layer = 0; layer < s->layers; layer++)
        mk_put_u32(&out->bytes, mk_dim_value(s, key->dim, layer));
}

static void put_arch_key(struct mk_keys_out *out, const struct mk_shape *s,
                         const struct mk_key *key)
{
    uint32_t value = mk_dim_value(s, key->dim, 0);

    switch (key->kind) {
    case MK_KEY_OPTIONAL:
        if (value == 0)
            return;
        /* fall through */
    case MK_KEY_U32:
        mk_put_key_u32(out, key->name, value);
        return;
    case MK_KEY_LAYERS:
        put_layers(out, s, key);
        return;
    case MK_KEY_WINDOWS:
        put_windows(out, s, key);
        return;
    case MK_KEY_CONSTANT:
        mk_put_key_u32(out, key->name, (uint32_t)key->constant);
        return;
    case MK_KEY_F32:
        mk_put_key_f32(out, key->name, key->constant);
        return;
    case MK_KEY_BOOL:
        mk_put_key_bool(out, key->name, key->constant > 0);
        return;
    }
}

static void put_model_keys(struct mk_header *h, struct mk_keys_out *out,
                           const struct mk_shape *s)
{
    const struct mk_keys *const *group = s->arch->keys;

    mk_put_key_text(out, "general.architecture", s->arch->name);
    h->string_len = mk_put_key_text(out, "general.name", s->name);
    mk_put_key_u32(out, "general.alignment", MK_ALIGNMENT);
    mk_put_key_u32(out, "general.file_type", s->type->file_type);
    mk_put_key_u32(out, "general.quantization_version", 2);
    for (size_t g = 0; g < MK_GROUPS_MAX && group[g] != NULL; g++)
        for (size_t i = 0; i < group[g]->count; i++)
            put_arch_key(out, s, &group[g]->list[i]);
    h->array_len = mk_put_tokenizer(out, s->tokenizer, s->vocab);
}

static void put_deep_arrays(struct mk_keys_out *out, uint32_t depth)
{
    if (depth == 0)
        return;
    mk_put_key_array(out, "general.nested", depth == 1 ? MK_U32 : MK_ARRAY,
                     depth > 1);
    for (uint32_t level = 2; level <= depth; level++) {
        mk_put_u32(&out->bytes, level == depth ? MK_U32 : MK_ARRAY);
        mk_put_u64(&out->bytes, level != depth);
    }
}

/* In the order of llama-gguf-split. */
static void put_split_keys(struct mk_keys_out *out,
                           const struct mk_split *split)
{
    mk_put_key_u16(out, "split.no", (uint16_t)split->number);
    mk_put_key_i32(out, "split.tensors.count", (uint32_t)split->tensors);
    mk_put_key_u16(out, "split.count", (uint16_t)split->count);
}

static void put_tensor(struct mk_bytes *out, const struct mk_tensor *tensor,
                       struct mk_tensor_marks *marks)
{
    uint32_t dims = tensor->rows == 0 ? 1 : tensor->planes == 0 ? 2 : 3;

    marks->name = mk_put_text(out, tensor->name, strlen(tensor->name));
    mk_put_u32(out, dims);
    marks->columns = mk_put_u64(out, tensor->columns);
    if (dims > 1)
        marks->rows = mk_put_u64(out, tensor->rows);
    if (dims > 2)
        mk_put_u64(out, tensor->planes);
    marks->type = mk_put_u32(out, tensor->type->id);
    marks->offset = mk_put_u64(out, tensor->offset);
}

void mk_header_init(struct mk_header *h, const struct mk_shape *shape,
                    const struct mk_plan *plan, uint32_t deep_arrays,
                    const struct mk_split *split)
{
    static const uint8_t zeros[MK_ALIGNMENT];
    struct mk_keys_out out = {.arch = shape->arch->name};

    memset(h, 0, sizeof(*h));
    h->tensors = mk_alloc(plan->count, sizeof(h->tensors[0]));
    h->magic = mk_put(&out.bytes, "GGUF", 4);
    h->version = mk_put_u32(&out.bytes, 3);
    h->tensor_count = mk_put_u64(&out.bytes, plan->count);
    h->kv_count = mk_put_u64(&out.bytes, 0);
    out.count_at = h->kv_count;
    if (split == NULL || split->number == 0)
        put_model_keys(h, &out, shape);
    if (split != NULL)
        put_split_keys(&out, split);
    put_deep_arrays(&out, deep_arrays);
    for (size_t i = 0; i < plan->count; i++)
        put_tensor(&out.bytes, &plan->tensors[i], &h->tensors[i]);
    mk_put(&out.bytes, zeros,
           mk_round_up(out.bytes.len, MK_ALIGNMENT) - out.bytes.len);
    h->bytes = out.bytes;
}

void mk_header_fini(struct mk_header *header)
{
    free(header->bytes.data);
    free(header->tensors);
    memset(header, 0, sizeof(*header));
}
