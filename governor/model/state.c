/* SPDX-License-Identifier: MIT */
/* See state.h. Names in quotes are those of llama.cpp v0.5.0, whose arithmetic
 * this is: load_hparams() and create_memory() in src/llama-model.cpp, src/
 * llama-hparams.cpp, and the constructors in src/llama-kv-cache*.cpp and src/
 * llama-memory-*.cpp. It multiplies in 32 bits and would wrap where this does
 * not; a header for which that matters is nobody's model. */
#include "governor/model/state_priv.h"

/* ---- one layer ----------------------------------------------------------- */

static void layer_of(struct gov__shape *s, uint32_t layer,
                     struct gov__layer_state *out)
{
    uint64_t heads = gov__layer_kv_heads(s, layer);

    out->window =
        gov__layer_has_window(s, layer) && gov__layer_has_cache(s, layer);
    if (gov__layer_has_cache(s, layer)) {
        out->k = gov__sat_mul(heads, out->window ? s->window_k : s->k);
        if (!s->latents) {
            out->v = gov__sat_mul(heads, out->window ? s->window_v : s->v);
            out->plain_v = s->longest_v;
        }
    }
    if (gov__layer_has_indexer(s, layer)) {
        out->k = gov__sat_add(out->k, s->indexer_k);
        if (!s->latents && s->arch->indexer != GOV__INDEXER_ATTENTION) {
            out->v = gov__sat_add(out->v, s->v);
            out->plain_v = gov__sat_add(out->plain_v, s->v);
        }
    }
    if (gov__layer_is_recurrent(s, layer))
        out->state = gov__sat_add(s->state, gov__shape_ple_state(s, layer));
}

void gov__state_layer(const struct gov__header *header,
                      const struct gov__state *state, uint32_t layer,
                      struct gov__layer_state *out)
{
    struct gov__shape s;

    *out = (struct gov__layer_state){0};
    if (layer >= state->layers)
        return;
    if (!state->known) {
        gov__state_most(header, out);
        return;
    }
    s = gov__shape_read(header);
    layer_of(&s, layer, out);
}

/* ---- the model ----------------------------------------------------------- */

uint32_t gov__state_block(uint32_t block, uint64_t length)
{
    if (length == 0)
        return block;
    if (block == 0)
        block = 256;
    while (length % block != 0)
        block /= 2;
    return block;
}

/* llama_init_from_model() compares every layer's heads, used or not. */
static void find_blocks(const struct gov__shape *s, struct gov__state *out)
{
    for (uint32_t i = 0; i < s->layers; i++) {
        bool window = gov__layer_has_window(s, i);

        out->k_block =
            gov__state_block(out->k_block, window ? s->window_k : s->k);
        out->v_block =
            gov__state_block(out->v_block, window ? s->window_v : s->v);
    }
    out->k_block = gov__state_block(out->k_block, s->indexer_k);
}

void gov__state_add(struct gov__state *out,
                    const struct gov__layer_state *layer)
{
    uint64_t *k = layer->window ? &out->window_k : &out->k;
    uint64_t *v = layer->window ? &out->window_v : &out->v;
    uint64_t *plain_v = layer->window ? &out->plain_window_v : &out->plain_v;

    *k = gov__sat_add(*k, layer->k);
    *v = gov__sat_add(*v, layer->v);
    *plain_v = gov__sat_add(*plain_v, layer->plain_v);
    out->state = gov__sat_add(out->state, layer->state);
}

void gov__state_of(const struct gov__header *header, struct gov__state *out)
{
    struct gov__shape s = gov__shape_read(header);

    *out = (struct gov__state){.known = s.exact};
    out->no_flash = (s.arch->flags & GOV__NO_FLASH) != 0;
    out->apart = s.arch->keeps == GOV__KEEPS_COMPRESSED;
    out->same_type = s.latents || out->apart;
    if (!s.exact) {
        gov__state_bounds(header, out);
        return;
    }
    out->cacheless = s.arch->keeps == GOV__KEEPS_NOTHING;
    out->layers = s.layers;
    for (uint32_t i = 0; i < s.layers; i++) {
        struct gov__layer_state layer = {0};

        layer_of(&s, i, &layer);
        gov__state_add(out, &layer);
        if (layer.window)
            out->window = s.window;
    }
    out->least_k = out->k;
    out->least_v = out->v;
    out->least_state = out->state;
    find_blocks(&s, out);
}
