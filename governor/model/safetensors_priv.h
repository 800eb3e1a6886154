/* SPDX-License-Identifier: MIT */
/* Between the reader of one file and that of an index. */
#ifndef GOV_MODEL_SAFETENSORS_PRIV_H
#define GOV_MODEL_SAFETENSORS_PRIV_H

#include "governor/model/header.h"
#include "governor/model/model_file.h"
#include "governor/model/safetensors_json.h"

/* The reference reader's limit: MAX_HEADER_SIZE in safetensors/src/tensor.rs of
 * https://github.com/huggingface/safetensors. Nothing is kept of what is read but
 * tensors, so that such a header costs half a second and no memory; the largest
 * index known (a tensor for each of 384 experts) has 30 MB. */
#define GOV__SAFETENSORS_LIMIT ((uint64_t)100 * 1000 * 1000)

/* Kimi K2 quantized to NVFP4 has 280 thousand, four for each expert's matrix. */
#define GOV__SAFETENSORS_TENSORS ((size_t)1024 * 1024)

/* Grok 1 has 770. */
#define GOV__SAFETENSORS_SHARDS 4096

#define GOV__TENSOR_NAME_LIMIT 255

struct gov__safetensors {
    struct gov__header *header;
    size_t tensor_room, file_room;
    gov_error *err;
    struct gov__cursor cursor; /* over the file that is read now */
    struct gov__json json;
    uint64_t data_offset; /* in that file */
    uint64_t data_bytes;  /* of its tensors so far */
    char shown[68];       /* the last result of gov__safetensors_show() */
};

/* A name fit for a message; one at a time. */
const char *gov__safetensors_show(struct gov__safetensors *reader,
                                  const void *name, size_t bytes);

gov_status gov__safetensors_no_memory(struct gov__safetensors *reader,
                                      const char *label);

/* Makes room for one more in an array that holds `count` of `*room`, each of that
 * size: what is allocated follows what was read. */
bool gov__safetensors_grow(const struct gov_alloc *alloc, void **array,
                           size_t *room, size_t count, size_t each);

/* Begins to read an open file from its start; _end() must follow, whatever
 * comes between. */
gov_status gov__safetensors_begin(struct gov__safetensors *reader,
                                  const struct gov__model_file *file);
void gov__safetensors_end(struct gov__safetensors *reader);

/* Reads a name of printable ASCII into name, NUL-terminated; `what` says of what
 * it is the name. */
gov_status gov__safetensors_name(struct gov__safetensors *reader,
                                 char name[GOV__TENSOR_NAME_LIMIT + 1],
                                 const char *what);

/* Adds a file and its tensors to the header. */
gov_status gov__safetensors_add(struct gov__safetensors *reader,
                                const char *path);

/* Adds all shards of an index, and holds it against them. */
gov_status gov__safetensors_index(struct gov__safetensors *reader,
                                  const char *path);

#endif
