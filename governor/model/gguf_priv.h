/* SPDX-License-Identifier: MIT */
/* Between gguf_split.c, which finds the files of a model, and gguf.c, which reads
 * one. */
#ifndef GOV_MODEL_GGUF_PRIV_H
#define GOV_MODEL_GGUF_PRIV_H

#include "governor/model/gguf.h"
#include "governor/model/model_file.h"

/* A model some of whose files were read. */
struct gov__gguf {
    struct gov__header *header; /* so far; every file adds its tensors */
    gov_error *err;
    unsigned char *window; /* GOV__CURSOR_WINDOW bytes */
    size_t file_room;      /* of header->files */
    size_t tensor_room;    /* of header->tensors and header->places */
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

#endif
