/* SPDX-License-Identifier: MIT */
/* Where ggml's allocator (ggml/src/ggml-alloc.c) would put the large tensors of a
 * pass: addresses and sizes, never memory. */
#ifndef GOV_MODEL_COMPUTE_GAPS_H
#define GOV_MODEL_COMPUTE_GAPS_H

#include <stdint.h>

/* What of a graph may be in memory at once. */
enum gov__compute_tensor {
    TOKENS,
    INPUTS,   /* embeddings in place of tokens: room for them is kept */
    PLACES,   /* positions, and what K is rotated by */
    ROTATION, /* of V */
    MASK,     /* and cells to write to. All are freed by the last layer that
             * attends */
    ROWS,     /* numbers of those that have outputs */
    RESIDUAL,
    NORM, /* of the residual, for the layer's matrices */
    Q,
    K,
    V,
    WIDE, /* what a mixer or feed-forward works in */
    WIDE2,
    ACTIVE, /* and what comes of it */
    STATE,
    WINDOW, /* what a convolution keeps of the tokens before */
    SPARE,
    ROUTES,
    SHARED,
    EMBEDDED,  /* the residual before the first layer, where that is needed
               * again */
    PER_LAYER, /* inputs of each layer */
    PREDICTED, /* what the residual is to be */
    DECAY,     /* of what a token sees of each other */
    OUT,       /* of a mixer or feed-forward, to be added to the residual */
    TENSORS
};

struct gov__block {
    uint64_t at, bytes;
    enum gov__compute_tensor tensor;
};

/* Sorted by address. */
struct gov__gaps {
    struct gov__block blocks[TENSORS];
    unsigned count;
    uint64_t top; /* the highest end so far */
};

/* The end of the last tensor that is still there. */
uint64_t gov__gaps_end(const struct gov__gaps *gaps);

/* Nothing where it is not there. */
void gov__gaps_drop(struct gov__gaps *gaps, enum gov__compute_tensor tensor);

/* Puts it to the smallest gap that takes it, in place of one of that name; 0
 * bytes are nothing. */
void gov__gaps_take(struct gov__gaps *gaps, enum gov__compute_tensor tensor,
                    uint64_t bytes);

/* The same memory goes on as another tensor. */
void gov__gaps_become(struct gov__gaps *gaps, enum gov__compute_tensor from,
                      enum gov__compute_tensor to);

/* A new tensor of that size in place of one that it is made from. */
void gov__gaps_turn(struct gov__gaps *gaps, enum gov__compute_tensor tensor,
                    uint64_t bytes);

#endif
