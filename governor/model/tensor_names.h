/* SPDX-License-Identifier: MIT */
/* What a tensor is for, by its name: as llama.cpp writes it into GGUF files
 * (src/llama-arch.cpp) or as the Transformers library does into safetensors.
 * Knows names only, never a size. */
#ifndef GOV_MODEL_TENSOR_NAMES_H
#define GOV_MODEL_TENSOR_NAMES_H

#include "governor/model/header.h"

/* Expert tensors hold one expert, or all of a layer. */
#define GOV__ALL_EXPERTS UINT32_MAX

struct gov__tensor_role {
    gov_unit_kind kind;
    uint32_t stage; /* 0: an encoder's; 1: the rest */
    uint32_t layer; /* 0 where it belongs to none */
    uint32_t
        late; /* within a layer, attention comes before the rest; of what is
                      * global, the output matrix last */
    uint32_t part; /* of the embedding: 1 for rows by layer, which are looked up
                      * even where the rest makes the logits too */
    uint32_t expert; /* GOV_UNIT_EXPERTS: which, or GOV__ALL_EXPERTS */
};

struct gov__tensor_role gov__tensor_role(const char *name);

/* Whether it is the token embedding, or the matrix that makes the logits. */
bool gov__is_token_embedding(const char *name);
bool gov__is_output_matrix(const char *name);

#endif
