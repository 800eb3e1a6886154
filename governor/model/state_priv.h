/* SPDX-License-Identifier: MIT */
/* Between the files of state.h: a header as its architecture reads it. Included by
 * nothing else: so names may be short. */
#ifndef GOV_MODEL_STATE_PRIV_H
#define GOV_MODEL_STATE_PRIV_H

#include "governor/model/architectures.h"
#include "governor/model/state.h"
#include "policies/planning/sizes_priv.h"

/* Recurrent state is f32. */
#define STATE_BYTES 4

/* A header as its architecture reads it. */
struct gov__shape {
    const struct gov__header *header;
    const struct gov__architecture *arch;
    bool exact;           /* everything that is needed is there and fits */
    uint32_t file_layers; /* that numbers given one a layer are for */
    uint32_t layers;      /* "n_layer_all" */
    uint32_t trunk;       /* "n_layer()": without those for further tokens */
    uint64_t k, v;        /* length of a head, */
    uint64_t window_k, window_v; /* in layers with a window, */
    uint64_t indexer_k;          /* and of an indexer's only one */
    uint64_t window;             /* tokens; 0: no layer has one */
    enum gov__pattern pattern;
    bool latents;       /* "is_mla()" */
    uint32_t kv_layers; /* layers from this one on share an earlier's cache */
    uint64_t state;     /* bytes of a recurrent layer */
    uint64_t longest_v; /* "n_embd_v_gqa_max()" */
};

/* Reads all of it; `exact` tells whether the rest can be relied on. */
struct gov__shape gov__shape_read(const struct gov__header *header);

/* ---- numbers ------------------------------------------------------------- */

static inline uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* llama.cpp refuses a file that gives one of these for each layer. */
static inline uint64_t single(struct gov__shape *s, enum gov__key key,
                              uint64_t absent)
{
    const struct gov__number *n = &s->header->number[key];

    if (n->count > 1)
        s->exact = false;
    return n->count == 0 ? absent : n->one;
}

static inline uint64_t needed(struct gov__shape *s, enum gov__key key)
{
    if (s->header->number[key].count == 0)
        s->exact = false;
    return single(s, key, 0);
}

/* Given once, or once for each of that many layers; else it is refused too. */
static inline void check_list(struct gov__shape *s, enum gov__key key,
                              uint32_t layers)
{
    uint32_t count = s->header->number[key].count;

    if (count > 1 && count != layers)
        s->exact = false;
}

static inline uint64_t of_layer(const struct gov__shape *s, enum gov__key key,
                                uint32_t layer)
{
    uint64_t value = 0;

    if (s->arch->flags & GOV__LOOPED && s->file_layers != 0)
        layer %= s->file_layers;
    return gov__header_of_layer(s->header, key, layer, &value) ? value : 0;
}

/* ---- which layers are what (state_layers.c) ------------------------------ */

uint64_t gov__layer_kv_heads(const struct gov__shape *s, uint32_t layer);
bool gov__layer_has_window(const struct gov__shape *s, uint32_t layer);
bool gov__layer_is_recurrent(const struct gov__shape *s, uint32_t layer);

/* Whether attention has a cache of its own there. */
bool gov__layer_has_cache(const struct gov__shape *s, uint32_t layer);
bool gov__layer_has_indexer(const struct gov__shape *s, uint32_t layer);

/* ---- recurrent state (state_recurrence.c) -------------------------------- */

/* Numbers, not bytes: "n_embd_r() + n_embd_s()" of convolutions and states of
 * that many channels, and of Kimi delta attention. */
uint64_t gov__ssm_state(uint64_t kernel, uint64_t inner, uint64_t state,
                        uint64_t groups);
uint64_t gov__kda_state(uint64_t kernel, uint64_t head, uint64_t heads);

/* Fills in `state`. */
void gov__shape_read_state(struct gov__shape *s);

/* "ple_conv_state()": bytes that the one layer with an n-gram embedding has
 * more. */
uint64_t gov__shape_ple_state(struct gov__shape *s, uint32_t layer);

/* ---- what is not known (state_bounds.c) ---------------------------------- */

/* The most that one layer may keep, and the model. */
void gov__state_most(const struct gov__header *header,
                     struct gov__layer_state *out);
void gov__state_bounds(const struct gov__header *header,
                       struct gov__state *out);

/* ---- sums (state.c) ------------------------------------------------------ */

/* The largest power of two, at most 256, that divides that length and all those
 * before it, of which `block` came; 0 before the first. */
uint32_t gov__state_block(uint32_t block, uint64_t length);
void gov__state_add(struct gov__state *out,
                    const struct gov__layer_state *layer);

#endif
