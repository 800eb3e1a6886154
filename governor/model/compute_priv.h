/* SPDX-License-Identifier: MIT */
/* Between compute.c, which replays a pass over a batch, and the files that know
 * what a part of it does. Included by nothing else: so names may be short. */
#ifndef GOV_MODEL_COMPUTE_PRIV_H
#define GOV_MODEL_COMPUTE_PRIV_H

#include "governor/model/architectures.h"
#include "governor/model/compute.h"
#include "governor/model/compute_gaps.h"
#include "policies/planning/sizes_priv.h"

/* What the graph of an architecture does otherwise than most: norm, attention,
 * norm, gated feed-forward, each added to the residual. */
enum gov__compute_trait {
    NO_GATE = 1,       /* a feed-forward of one matrix in, one out */
    PARALLEL = 2,      /* it and attention read the same norm */
    POST_NORM = 4,     /* norms are behind, not before */
    FUSED = 8,         /* one matrix makes Q, K and V */
    GATED = 16,        /* Q comes with a gate as large */
    LAYER_NORM = 32,   /* norms are not made in place */
    NO_ROPE = 64,      /* Q is not turned by its position */
    KEEPS = 128,       /* what feed-forward gives is added to the residual, in
                      * its memory; elsewhere the other way round */
    KEEPS_MIXED = 256, /* and what a mixer gives */
    LATE = 512,        /* the last layer is made for all tokens, and what it
                      * gives stays, to predict further tokens from */
    WEIGHED = 1024,    /* experts get weighed tokens, and one more sees all */
    GEMMA = 2048,      /* layers may have inputs of their own */
    STACKED = 4096,    /* the residual is Gemma 3n's */
    WKV7 = 8192,       /* RWKV: the seventh's mixer, */
    WKV_OWN = 16384,   /* and its own feed-forward */
    SCALED = 32768,    /* what a mixer gives is scaled, so the residual is added
                      * in its memory even where it recurs */
};

/* Of an architecture, by its name; 0 for most. */
unsigned gov__compute_traits(const char *architecture);

enum gov__layer_kind {
    ATTENDS = 1,
    RECURS = 2,
    LOOKS_BACK = 4, /* over no more than a window */
    BORROWS = 8,    /* keys and values of an earlier layer */
    SPARSE = 16,    /* has experts */
};

struct gov__pass {
    const struct gov__header *header;
    const struct gov__architecture *architecture; /* NULL: not known */
    unsigned traits;
    uint8_t kinds[GOV__LAYERS_MAX]; /* of each layer */
    bool encoder, flash;
    bool windows; /* some layers look back over one, and have their own cache */
    uint64_t streams;        /* caches that sequences have of their own */
    bool rotate_k, rotate_v; /* quantized caches: src/llama-kv-cache.cpp */
    uint64_t tokens, outputs, sequences, layers, vocabulary;
    bool fused_experts; /* their gates and ups are one matrix */
    uint64_t embedding, last_to_attend, last_to_recur;
    struct gov__gaps gaps;
    uint64_t rows; /* tokens, or in the end those that have outputs */
    /* Without flash attention: what is in memory beside the scores of the worst
     * layer, and the bytes of scores that a cell makes. */
    uint64_t beside_scores, score_bytes;
    uint64_t top; /* before the mask is freed */
};

struct gov__heads {
    uint64_t q, kv;          /* how many */
    uint64_t k, v;           /* length of each */
    uint64_t latent, turned; /* MLA: of a latent, and of what is rotated */
};

/* ---- words of every part ---------------------------------------------------- */

static inline void take(struct gov__pass *p, enum gov__compute_tensor tensor,
                        uint64_t bytes)
{
    gov__gaps_take(&p->gaps, tensor, bytes);
}

static inline void drop(struct gov__pass *p, enum gov__compute_tensor tensor)
{
    gov__gaps_drop(&p->gaps, tensor);
}

static inline void become(struct gov__pass *p, enum gov__compute_tensor from,
                          enum gov__compute_tensor to)
{
    gov__gaps_become(&p->gaps, from, to);
}

static inline void turn(struct gov__pass *p, enum gov__compute_tensor tensor,
                        uint64_t bytes)
{
    gov__gaps_turn(&p->gaps, tensor, bytes);
}

static inline uint64_t largest(const struct gov__pass *p, enum gov__key key)
{
    return gov__header_largest(p->header, key);
}

static inline uint64_t of_layer(const struct gov__pass *p, enum gov__key key,
                                uint64_t layer)
{
    uint64_t value;

    return gov__header_of_layer(p->header, key, layer, &value) ? value : 0;
}

/* Bytes of that many f32 for each row. */
static inline uint64_t rows_of(const struct gov__pass *p, uint64_t elements)
{
    return gov__sat_mul(gov__sat_mul(elements, p->rows), 4);
}

/* ---- parts ------------------------------------------------------------------- */

struct gov__heads gov__heads_of(const struct gov__pass *p, uint64_t layer);

/* A layer's mixer. It reads NORM, or where there is none the residual, and leaves
 * OUT. */
void gov__pass_attention(struct gov__pass *p, uint64_t layer);
void gov__pass_recurrence(struct gov__pass *p, uint64_t layer);

/* Bytes of what tells how a token fades for others; 0 for most. */
uint64_t gov__pass_decay(const struct gov__pass *p);

/* What its convolution keeps is read before a recurrent layer's norm. */
void gov__pass_window(struct gov__pass *p);

/* A whole layer. */
void gov__pass_layer(struct gov__pass *p, uint64_t layer);

/* Gemma: before the first layer; what follows a layer's feed-forward and leaves
 * OUT; a whole layer of Gemma 3n, and what follows its last. */
void gov__pass_gemma_begins(struct gov__pass *p);
void gov__pass_gemma_inputs(struct gov__pass *p, uint64_t layer);
void gov__pass_gemma3n_layer(struct gov__pass *p, uint64_t layer);
void gov__pass_gemma3n_ends(struct gov__pass *p);

/* A whole layer of RWKV. */
void gov__pass_rwkv_layer(struct gov__pass *p, uint64_t layer);

#endif
