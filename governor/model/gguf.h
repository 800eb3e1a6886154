/* SPDX-License-Identifier: MIT */
/* The header of a GGUF file (version 2 or 3, little-endian), read and checked:
 * what comes out may be relied on, whatever was in the file. Knows the format
 * and the few keys that matter to memory; judges nothing. */
#ifndef GOV_MODEL_GGUF_H
#define GOV_MODEL_GGUF_H

#include <stdbool.h>

#include "governor/model.h"

/* llama.cpp's own limit (LLAMA_MAX_LAYERS). */
#define GOV__LAYERS_MAX 512

/* A number of the metadata, given once or for each layer. */
struct gov__gguf_number {
    uint32_t count; /* 0: not in the file, or not as whole numbers of 32 bits;
                     * 1: value[0] holds for all layers; else one a layer */
    uint32_t value[GOV__LAYERS_MAX];
};

/* X(id, "key without the architecture"). */
#define GOV__GGUF_NUMBER_MAP(X)                                                \
    X(BLOCKS, "block_count")                                                   \
    X(EMBEDDING, "embedding_length")                                           \
    X(FEED_FORWARD, "feed_forward_length")                                     \
    X(HEADS, "attention.head_count")                                           \
    X(HEADS_KV, "attention.head_count_kv")                                     \
    X(KEY_LENGTH, "attention.key_length")                                      \
    X(VALUE_LENGTH, "attention.value_length")                                  \
    X(CONTEXT, "context_length")                                               \
    X(EXPERTS, "expert_count")                                                 \
    X(EXPERTS_USED, "expert_used_count")                                       \
    X(EXPERT_FEED_FORWARD, "expert_feed_forward_length")

enum gov__gguf_key {
#define GOV__GGUF_ENUM(id, key) GOV__GGUF_##id,
    GOV__GGUF_NUMBER_MAP(GOV__GGUF_ENUM)
#undef GOV__GGUF_ENUM
        GOV__GGUF_NUMBERS
};

/* Where a tensor lies; `tensor` indexes the tensors. */
struct gov__gguf_place {
    uint64_t offset; /* in the file */
    uint32_t tensor;
    uint32_t type; /* for gov__tensor_type() */
};

struct gov__gguf_names; /* the memory that the tensors' names live in */

struct gov__gguf {
    struct gov_alloc alloc;
    char architecture[64]; /* printable; "" if none */
    char name[256];        /* printable; "" if none */
    struct gov__gguf_number number[GOV__GGUF_NUMBERS];

    struct gov_tensor *tensors;     /* as in the file; `unit` is not set */
    struct gov__gguf_place *places; /* one for each, in order of offset */
    size_t count;                   /* at least 1 */
    struct gov__gguf_names *names;
};

/* Reads the header of the regular file open at fd, which has that many bytes
 * and stays open. `label` names it in messages and is printable. On failure
 * *out holds nothing that must be released. */
gov_status gov__gguf_read_fd(struct gov__gguf *out, int fd, uint64_t file_bytes,
                             const char *label, const struct gov_alloc *alloc,
                             gov_error *err);

/* Releases what a successful read left behind. */
void gov__gguf_fini(struct gov__gguf *gguf);

#endif
