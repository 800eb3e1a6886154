/* SPDX-License-Identifier: MIT */
/* Between the readers of one file (safetensors.c), of an index and of what else
 * there is in a directory. */
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

/* gov__header_keep() takes no more. */
#define GOV__PATH_LIMIT 4000

struct gov__safetensors {
    struct gov__header *header;
    gov_error *err;
    struct gov__cursor cursor; /* over the file that is read now */
    struct gov__json json;
    uint64_t data_offset; /* in that file */
    uint64_t data_bytes;  /* of its tensors so far */
};

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

/* Checks what the files added so far hold together: gov__header_check(), and that
 * there is anything. */
gov_status gov__safetensors_check(struct gov__safetensors *reader,
                                  const char *label);

/* Writes the path of a file in the same directory as `path`; GOV_E_INVALID when
 * that is too long. */
gov_status gov__safetensors_beside(char out[GOV__PATH_LIMIT], const char *path,
                                   const char *name, gov_error *err);

/* Adds all shards of an index, checks them, and holds it against them. */
gov_status gov__safetensors_index(struct gov__safetensors *reader,
                                  const char *path);

#endif
