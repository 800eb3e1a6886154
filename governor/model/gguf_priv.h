/* SPDX-License-Identifier: MIT */
/* Between gguf_split.c, which finds the files of a model, gguf.c, which reads one,
 * and gguf_metadata.c, which reads its keys. */
#ifndef GOV_MODEL_GGUF_PRIV_H
#define GOV_MODEL_GGUF_PRIV_H

#include "governor/model/gguf.h"
#include "governor/model/model_cursor.h"

/* A model some of whose files were read. */
struct gov__gguf {
    struct gov__header *header; /* so far; every file adds its tensors */
    gov_error *err;
    unsigned char *window; /* GOV__CURSOR_WINDOW bytes */
};

/* What a file says of the model that it is a part of. */
struct gov__gguf_part {
    uint64_t number;       /* from 0 */
    uint64_t count;        /* of parts; 0 or 1: the model is not split */
    uint64_t tensors;      /* of all parts */
    bool numbered, summed; /* number and tensors are said */
};

/* Adds what the header of that file has: its tensors and, of the first file, the
 * numbers too. */
gov_status gov__gguf_read(struct gov__gguf *model,
                          const struct gov__model_file *file,
                          struct gov__gguf_part *part);

/* A file that is being read. */
struct gov__gguf_reader {
    struct gov__cursor cursor;
    struct gov__header *header;
    struct gov__gguf_part *part;
    gov_error *err;
    const char *label;
    uint64_t key_count, tensor_count;
    uint64_t alignment;        /* of tensors; a power of two */
    char raw_architecture[64]; /* as it prefixes keys */
};

/* Reads the keys, which come next. */
gov_status gov__gguf_metadata(struct gov__gguf_reader *r);

#endif
