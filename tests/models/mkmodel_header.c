/* SPDX-License-Identifier: MIT */
/* The GGUF v3 header of a planned model, as bytes in memory, with a note of
 * where its numbers lie so that a hostile one can be made from it. Never
 * touches tensor data and never writes a file. */
#include "mkmodel_header.h"

#include "mkmodel_vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum gguf_type { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9 };

static size_t put_text(struct mk_bytes *out, const char *text, size_t len)
{
    size_t at = mk_put_u64(out, len);

    mk_put(out, text, len);
    return at;
}

/* Keys without a dot belong to the architecture. */
static void put_key(struct mk_header *h, const struct mk_shape *shape,
                    const char *key, enum gguf_type type)
{
    char text[80];
    uint32_t count = h->bytes.data[h->kv_count];

    if (strncmp(key, "general.", 8) == 0 || strncmp(key, "tokenizer.", 10) == 0)
        snprintf(text, sizeof(text), "%s", key);
    else
        snprintf(text, sizeof(text), "%s.%s", shape->arch->name, key);
    put_text(&h->bytes, text, strlen(text));
    mk_put_u32(&h->bytes, type);
    h->bytes.data[h->kv_count] = (uint8_t)(count + 1);
}

static void put_u32(struct mk_header *h, const struct mk_shape *shape,
                    const char *key, uint32_t value)
{
    put_key(h, shape, key, U32);
    mk_put_u32(&h->bytes, value);
}

static void put_f32(struct mk_header *h, const struct mk_shape *shape,
                    const char *key, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    put_key(h, shape, key, F32);
    mk_put_u32(&h->bytes, bits);
}

static void put_bool(struct mk_header *h, const struct mk_shape *shape,
                     const char *key, bool value)
{
    uint8_t byte = value;

    put_key(h, shape, key, BOOL);
    mk_put(&h->bytes, &byte, 1);
}

static size_t put_string(struct mk_header *h, const struct mk_shape *shape,
                         const char *key, const char *value)
{
    put_key(h, shape, key, STRING);
    return put_text(&h->bytes, value, strlen(value));
}

static size_t put_array(struct mk_header *h, const struct mk_shape *shape,
                        const char *key, enum gguf_type type, uint64_t count)
{
    put_key(h, shape, key, ARRAY);
    mk_put_u32(&h->bytes, type);
    return mk_put_u64(&h->bytes, count);
}

static void put_model_keys(struct mk_header *h, const struct mk_shape *s)
{
    put_string(h, s, "general.architecture", s->arch->name);
    h->string_len = put_string(h, s, "general.name", s->name);
    put_u32(h, s, "general.alignment", MK_ALIGNMENT);
    put_u32(h, s, "general.file_type", s->type->file_type);
    put_u32(h, s, "general.quantization_version", 2);
    put_u32(h, s, "vocab_size", s->vocab);
    put_u32(h, s, "context_length", s->ctx);
    put_u32(h, s, "embedding_length", s->embd);
    put_u32(h, s, "block_count", s->layers);
    put_u32(h, s, "feed_forward_length", s->ff);
    put_u32(h, s, "attention.head_count", s->heads);
    put_u32(h, s, "attention.head_count_kv", s->kv_heads);
    put_u32(h, s, "attention.key_length", s->head_dim);
    put_u32(h, s, "attention.value_length", s->head_dim);
    put_u32(h, s, "rope.dimension_count", s->head_dim);
    put_f32(h, s, "attention.layer_norm_rms_epsilon", 1e-5f);
    put_f32(h, s, "rope.freq_base", (float)s->arch->rope_freq_base);
}

static void put_vocab_keys(struct mk_header *h, const struct mk_shape *s)
{
    struct mk_token *tokens = mk_vocab_new(s->vocab);

    put_string(h, s, "tokenizer.ggml.model", "llama");
    h->array_len = put_array(h, s, "tokenizer.ggml.tokens", STRING, s->vocab);
    for (uint32_t i = 0; i < s->vocab; i++)
        put_text(&h->bytes, tokens[i].text, tokens[i].len);
    put_array(h, s, "tokenizer.ggml.scores", F32, s->vocab);
    for (uint32_t i = 0; i < s->vocab; i++) {
        float score = -(float)i;
        uint32_t bits;

        memcpy(&bits, &score, sizeof(bits));
        mk_put_u32(&h->bytes, bits);
    }
    put_array(h, s, "tokenizer.ggml.token_type", I32, s->vocab);
    for (uint32_t i = 0; i < s->vocab; i++)
        mk_put_u32(&h->bytes, tokens[i].type);
    put_u32(h, s, "tokenizer.ggml.bos_token_id", MK_BOS);
    put_u32(h, s, "tokenizer.ggml.eos_token_id", MK_EOS);
    put_u32(h, s, "tokenizer.ggml.unknown_token_id", MK_UNK);
    put_bool(h, s, "tokenizer.ggml.add_bos_token", true);
    put_bool(h, s, "tokenizer.ggml.add_eos_token", false);
    put_bool(h, s, "tokenizer.ggml.add_space_prefix", true);
    free(tokens);
}

static void put_deep_arrays(struct mk_header *h, const struct mk_shape *s,
                            uint32_t depth)
{
    if (depth == 0)
        return;
    put_array(h, s, "general.nested", depth == 1 ? U32 : ARRAY, depth > 1);
    for (uint32_t level = 2; level <= depth; level++) {
        mk_put_u32(&h->bytes, level == depth ? U32 : ARRAY);
        mk_put_u64(&h->bytes, level != depth);
    }
}

static void put_tensor(struct mk_header *h, const struct mk_tensor *tensor,
                       struct mk_tensor_marks *marks)
{
    marks->name = put_text(&h->bytes, tensor->name, strlen(tensor->name));
    mk_put_u32(&h->bytes, tensor->rows == 0 ? 1 : 2);
    marks->columns = mk_put_u64(&h->bytes, tensor->columns);
    if (tensor->rows != 0)
        marks->rows = mk_put_u64(&h->bytes, tensor->rows);
    marks->type = mk_put_u32(&h->bytes, tensor->type->id);
    marks->offset = mk_put_u64(&h->bytes, tensor->offset);
}

void mk_header_init(struct mk_header *h, const struct mk_shape *shape,
                    const struct mk_plan *plan, uint32_t deep_arrays)
{
    static const uint8_t zeros[MK_ALIGNMENT];

    memset(h, 0, sizeof(*h));
    h->tensors = mk_alloc(plan->count, sizeof(h->tensors[0]));
    h->magic = mk_put(&h->bytes, "GGUF", 4);
    h->version = mk_put_u32(&h->bytes, 3);
    h->tensor_count = mk_put_u64(&h->bytes, plan->count);
    h->kv_count = mk_put_u64(&h->bytes, 0);
    put_model_keys(h, shape);
    put_vocab_keys(h, shape);
    put_deep_arrays(h, shape, deep_arrays);
    for (size_t i = 0; i < plan->count; i++)
        put_tensor(h, &plan->tensors[i], &h->tensors[i]);
    mk_put(&h->bytes, zeros,
           mk_round_up(h->bytes.len, MK_ALIGNMENT) - h->bytes.len);
}

void mk_header_fini(struct mk_header *header)
{
    free(header->bytes.data);
    free(header->tensors);
    memset(header, 0, sizeof(*header));
}
