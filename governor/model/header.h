/* SPDX-License-Identifier: MIT */
/* What a reader of one format (gguf.c, safetensors.c) hands to everything else:
 * the model's files, its tensors and the numbers that matter to memory, under the
 * names that llama.cpp gives them. Read and checked: what is in it may be relied
 * on, whatever was in the files. Knows no format and judges no architecture. */
#ifndef GOV_MODEL_HEADER_H
#define GOV_MODEL_HEADER_H

#include <stdbool.h>

#include "governor/model.h"

/* llama.cpp's own limit (LLAMA_MAX_LAYERS). */
#define GOV__LAYERS_MAX 512

/* A number of the metadata, given once or for each layer. Flags are 0 and 1. */
struct gov__number {
    uint32_t count; /* 0: the file does not say, or not in whole numbers of 32
                     * bits; 1: `one` holds for all layers; else one a layer */
    uint32_t one;   /* the first */
    uint32_t *each; /* `count` of them when count > 1; owned by the header */
};

/* X(id, "key behind the architecture's name"). A row is all that a reader of
 * GGUF needs to find another number; config_json.c names those that the files
 * beside safetensors give. */
#define GOV__NUMBER_MAP(X)                                                     \
    X(BLOCKS, "block_count")                                                   \
    X(CONTEXT, "context_length")                                               \
    X(EMBEDDING, "embedding_length")                                           \
    X(EMBEDDING_OUT, "embedding_length_out")                                   \
    X(EMBEDDING_PER_LAYER, "embedding_length_per_layer_input")                 \
    X(FEED_FORWARD, "feed_forward_length")                                     \
    X(VOCABULARY, "vocab_size")                                                \
    X(DENSE_LEAD, "leading_dense_block_count")                                 \
    X(NEXTN, "nextn_predict_layers")                                           \
    X(EXPERTS, "expert_count")                                                 \
    X(EXPERTS_USED, "expert_used_count")                                       \
    X(EXPERTS_SHARED, "expert_shared_count")                                   \
    X(EXPERT_FEED_FORWARD, "expert_feed_forward_length")                       \
    X(EXPERT_SHARED_FEED_FORWARD, "expert_shared_feed_forward_length")         \
    X(HEADS, "attention.head_count")                                           \
    X(HEADS_KV, "attention.head_count_kv")                                     \
    X(KEY_LENGTH, "attention.key_length")                                      \
    X(VALUE_LENGTH, "attention.value_length")                                  \
    X(KEY_LENGTH_WINDOW, "attention.key_length_swa")                           \
    X(VALUE_LENGTH_WINDOW, "attention.value_length_swa")                       \
    X(KEY_LENGTH_MLA, "attention.key_length_mla")                              \
    X(VALUE_LENGTH_MLA, "attention.value_length_mla")                          \
    X(KV_LORA_RANK, "attention.kv_lora_rank")                                  \
    X(Q_LORA_RANK, "attention.q_lora_rank")                                    \
    X(WINDOW, "attention.sliding_window")                                      \
    X(WINDOW_PATTERN, "attention.sliding_window_pattern")                      \
    X(SHARED_KV_LAYERS, "attention.shared_kv_layers")                          \
    X(RECURRENT_LAYERS, "attention.recurrent_layers")                          \
    X(FULL_INTERVAL, "full_attention_interval")                                \
    X(CAUSAL, "attention.causal")                                              \
    X(INDEXER_KEY_LENGTH, "attention.indexer.key_length")                      \
    X(INDEXER_TOP_K, "attention.indexer.top_k")                                \
    X(INDEXER_TYPES, "attention.indexer.types")                                \
    X(ROPE_DIMENSIONS, "rope.dimension_count")                                 \
    X(POOLING, "pooling_type")                                                 \
    X(SSM_CONV_KERNEL, "ssm.conv_kernel")                                      \
    X(SSM_INNER, "ssm.inner_size")                                             \
    X(SSM_STATE, "ssm.state_size")                                             \
    X(SSM_TIME_STEP, "ssm.time_step_rank")                                     \
    X(SSM_GROUPS, "ssm.group_count")                                           \
    X(WKV_HEAD, "wkv.head_size")                                               \
    X(TOKEN_SHIFT, "token_shift_count")                                        \
    X(SHORTCONV, "shortconv.l_cache")                                          \
    X(KDA_HEAD, "kda.head_dim")                                                \
    X(LOOPS, "num_loops")                                                      \
    X(COMPRESS_RATIOS, "attention.compress_ratios")                            \
    X(HYPER_CONNECTIONS, "hyper_connection.count")                             \
    X(PLE_LAYERS, "ple.layers")                                                \
    X(PLE_NGRAM, "ple.ngram_size")                                             \
    X(PLE_CONV_KERNEL, "ple.conv_kernel")

enum gov__key {
#define GOV__KEY_ENUM(id, key) GOV__KEY_##id,
    GOV__NUMBER_MAP(GOV__KEY_ENUM)
#undef GOV__KEY_ENUM
        GOV__KEYS
};

/* Where a tensor lies; `tensor` indexes the tensors. */
struct gov__place {
    uint64_t offset; /* in its file */
    uint32_t file, tensor;
    uint32_t type; /* GGUF: for gov__tensor_type(); else GOV__NO_TYPE */
};

#define GOV__NO_TYPE UINT32_MAX

/* How safetensors are quantized; GGUF says it tensor by tensor. */
struct gov__quantization {
    char method[16]; /* "awq", "gptq", "exl2", "fp8", "mlx"; "" for none */
    uint32_t bits; /* of a weight; in tenths for exl2, where it is an average */
    uint32_t group; /* weights that share a scale; 0: not said */
};

struct gov__names; /* the memory that names and paths live in */

struct gov__header {
    struct gov_alloc alloc;
    const char *format;    /* "gguf" or "safetensors"; static */
    char architecture[64]; /* llama.cpp's name where it has one; printable; ""
                            * if none */
    char name[256];        /* printable; "" if none */
    struct gov__number number[GOV__KEYS];
    /* Listed by the tokenizer; 0: not in the file. Merges are of byte pairs. */
    uint32_t vocabulary_tokens, vocabulary_merges;
    struct gov__quantization quantization;

    struct gov_model_file *files;
    size_t file_count, file_room; /* at least 1; and how many would fit */

    struct gov_tensor *tensors; /* as in the files; `unit` is not set */
    struct gov__place *places;  /* one for each, by file and offset */
    size_t count, room;         /* as of the files */
    struct gov__names *names;
};

/* Makes *header empty, so that fini may be called. */
void gov__header_init(struct gov__header *header, const char *format,
                      const struct gov_alloc *alloc);

/* Releases everything. */
void gov__header_fini(struct gov__header *header);

/* A copy of that text, NUL-terminated, that lives as long as the header; NULL
 * when there is no memory. At most 4 KiB. */
char *gov__header_keep(struct gov__header *header, const char *text,
                       size_t bytes);

/* Adds a file, whose path lives as long as the header; false when there is no
 * memory. */
bool gov__header_add_file(struct gov__header *header,
                          const struct gov_model_file *file, const char *path);

/* Makes room for that many more tensors and their places; false when there is no
 * memory. */
bool gov__header_make_room(struct gov__header *header, size_t more);

/* What every reader says when there is none. */
gov_status gov__header_no_memory(const char *label, gov_error *err);

/* Gives a number its values (a copy); false when there is no memory. */
bool gov__header_set(struct gov__header *header, enum gov__key key,
                     const uint32_t *values, uint32_t count);

/* Sorts the places and finds that no two tensors of a file overlap or have the
 * same name. `label` names the model in messages. */
gov_status gov__header_check(struct gov__header *header, const char *label,
                             gov_error *err);

/* The number for a layer; false where the header does not say. */
bool gov__header_of_layer(const struct gov__header *header, enum gov__key key,
                          uint64_t layer, uint64_t *out);

/* A number that holds for the whole model (or that all layers agree on); 0 where
 * the header does not say. */
uint64_t gov__header_single(const struct gov__header *header,
                            enum gov__key key);

/* The largest of a number's values; 0 where the header does not say. */
uint64_t gov__header_largest(const struct gov__header *header,
                             enum gov__key key);

#endif
