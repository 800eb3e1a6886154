/* SPDX-License-Identifier: MIT */
/* Every tensor type a GGUF file may name, by table. Knows what a type is, never
 * what a tensor is for. */
#ifndef GOV_MODEL_TENSOR_TYPES_H
#define GOV_MODEL_TENSOR_TYPES_H

#include <stdint.h>

struct gov__tensor_type {
    const char *name;        /* "Q4_0" */
    uint32_t block_elements; /* a row is a whole number of blocks; 0: the type
                              * was withdrawn and no engine reads it */
    uint32_t block_bytes;
    uint32_t repack_rows; /* llama.cpp's CPU backend copies a matrix of this
                           * type into a layout of its own when its rows are a
                           * multiple of this; 0: it does not */
};

/* The type of that number (enum ggml_type); NULL for one that is not known. */
const struct gov__tensor_type *gov__tensor_type(uint32_t number);

#endif
