/* SPDX-License-Identifier: MIT */
/* What a model keeps between tokens: keys and values of attention, and the state
 * of recurrent layers. Follows llama.cpp (llama_model::create_memory() and the
 * caches it makes); which architecture does what is in architectures.c. Pure
 * arithmetic on a header; sums that do not fit 64 bits are UINT64_MAX. */
#ifndef GOV_MODEL_STATE_H
#define GOV_MODEL_STATE_H

#include "governor/model/header.h"

/* What one layer keeps. A layer may keep both a cache and state. */
struct gov__layer_state {
    uint64_t k, v;    /* elements of a cell in the cache, all heads together,
                        * caches of indexers among them; 0: none */
    uint64_t plain_v; /* v without flash attention, when llama.cpp makes each
                        * layer's as long as the longest */
    uint64_t state;   /* bytes for each sequence; f32 in llama.cpp */
    bool window;      /* its cells are those of a window */
};

/* How the whole model keeps it. */
struct gov__state {
    bool known;      /* the architecture is; else everything below is the most
                      * that it may be */
    bool cacheless;  /* encoders and diffusion models keep nothing */
    uint32_t layers; /* those that may keep something; for gov__state_layer() */
    uint64_t window; /* tokens that layers with a window look back over; 0: no
                      * layer has one */
    uint64_t k, v;   /* of a cell, summed over layers without a window */
    uint64_t window_k, window_v;      /* and over those with one */
    uint64_t plain_v, plain_window_v; /* v without flash attention */
    uint64_t state;                   /* bytes for each sequence, all layers */
    uint64_t least_k, least_v; /* k and v where known; else the least they may
                                  * be */
    uint64_t least_state;
    /* The largest power of two, at most 256, that divides the length of every
     * head's key and value: a KV type fits when its block divides it. 0 when the
     * header does not say. */
    uint32_t k_block, v_block;
    bool same_type; /* llama.cpp wants k and v of one type, be there v or not */
    bool apart; /* each sequence has the whole context's cells of its own, even
                 * when they are to share (DeepSeek-V4) */
    bool no_flash; /* it uses no flash attention, whatever is asked for */
};

/* Never fails: what the header does not say makes `known` false, and where not
 * even a bound can be given k and v are 0. */
void gov__state_of(const struct gov__header *header, struct gov__state *out);

/* One layer's part; sums over all layers give those above. */
void gov__state_layer(const struct gov__header *header,
                      const struct gov__state *state, uint32_t layer,
                      struct gov__layer_state *out);

#endif
