/* SPDX-License-Identifier: MIT */
/* The GGUF v3 header of a planned model, as bytes in memory, with a note of
 * where its numbers lie so that a hostile one can be made from it. Never
 * touches tensor data and never writes a file. */
#ifndef MKMODEL_HEADER_H
#define MKMODEL_HEADER_H

#include "mkmodel_base.h"
#include "mkmodel_plan.h"

/* Positions in the header of one tensor's description. */
struct mk_tensor_marks {
    size_t name; /* its length; the text follows */
    size_t columns;
    size_t rows;
    size_t type;
    size_t offset;
};

struct mk_header {
    struct mk_bytes bytes; /* padded up to the data section */
    size_t magic;
    size_t version;
    size_t tensor_count;
    size_t kv_count;
    size_t string_len; /* of the value of general.name */
    size_t array_len;  /* of tokenizer.ggml.tokens */
    struct mk_tensor_marks *tensors;
};

/* Which of several files a header is of. */
struct mk_split {
    uint32_t number; /* from 0 on; the first holds what the model is */
    uint32_t count;
    uint64_t tensors; /* in all files */
};

/* deep_arrays adds a key whose value is that many arrays, each inside the one
 * before: well-formed, and nothing that a reader should recurse into. split is
 * NULL for a model in one file. */
void mk_header_init(struct mk_header *header, const struct mk_shape *shape,
                    const struct mk_plan *plan, uint32_t deep_arrays,
                    const struct mk_split *split);
void mk_header_fini(struct mk_header *header);

#endif
