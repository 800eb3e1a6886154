/* SPDX-License-Identifier: MIT */
/* Attention of a pass. See compute_priv.h. */
#include "governor/model/compute_priv.h"

struct gov__heads gov__heads_of(const struct gov__pass *p, uint64_t layer)
{
    struct gov__heads out = {0};

    out.q = of_layer(p, GOV__KEY_HEADS, layer);
    out.kv = of_layer(p, GOV__KEY_HEADS_KV, layer);
    if (out.kv == 0)
        out.kv = out.q;
    out.k = largest(p, GOV__KEY_KEY_LENGTH);
    out.v = largest(p, GOV__KEY_VALUE_LENGTH);
    if ((p->kinds[layer] & LOOKS_BACK) != 0) {
        uint64_t k = largest(p, GOV__KEY_KEY_LENGTH_WINDOW);
        uint64_t v = largest(p, GOV__KEY_VALUE_LENGTH_WINDOW);

        out.k = k != 0 ? k : out.k;
        out.v = v != 0 ? v : out.v;
    }
    if (out.k == 0 && out.q != 0)
        out.k = p->embedding / out.q;
    if (out.v == 0)
        out.v = out.k;
    if (largest(p, GOV__KEY_KEY_LENGTH_MLA) != 0) {
        out.latent = largest(p, GOV__KEY_KV_LORA_RANK);
        out.k = largest(p, GOV__KEY_KEY_LENGTH_MLA);
        out.v = largest(p, GOV__KEY_VALUE_LENGTH_MLA);
        out.turned = largest(p, GOV__KEY_ROPE_DIMENSIONS);
    }
    return out;
}

/* Q is in memory, K and V are in the cache. Leaves what attention gives in
 * ACTIVE. */
static void attend(struct gov__pass *p, uint64_t layer,
                   const struct gov__heads *heads)
{
    uint64_t value = heads->latent != 0 ? heads->latent : heads->v;
    uint64_t out = rows_of(p, gov__sat_mul(heads->q, value));

    if (!p->flash) {
        /* The scores end the buffer: nothing is as large. */
        uint64_t beside = gov__sat_add(gov__gaps_end(&p->gaps), out);
        uint64_t cell = rows_of(p, heads->q);

        /* values are a part of the latents, and turned round */
        if (heads->latent != 0)
            cell = gov__sat_add(
                cell, gov__sat_mul(gov__sat_mul(heads->latent, 2), p->streams));

        if (beside > p->beside_scores)
            p->beside_scores = beside;
        if (cell > p->score_bytes)
            p->score_bytes = cell;
        take(p, WIDE2, out);
    }
    take(p, ACTIVE, out);
    drop(p, WIDE2);
    drop(p, Q);
    if (layer != p->last_to_attend)
        return;
    p->top = p->gaps.top;
    drop(p, MASK);
    drop(p, PLACES);
    p->gaps.top = gov__gaps_end(&p->gaps);
}

/* With a cache for windows K is made before V; elsewhere V is. */
static void make_k_then_v(struct gov__pass *p, uint64_t k, uint64_t v)
{
    take(p, K, k);
    turn(p, K, k);
    if (p->rotate_k)
        turn(p, K, k);
    take(p, V, v);
    if ((p->traits & PARALLEL) == 0)
        drop(p, NORM);
    if ((p->traits & GEMMA) != 0) /* it has a norm */
        turn(p, V, v);
    if (p->rotate_v)
        turn(p, V, v);
}

static void make_v_then_k(struct gov__pass *p, uint64_t k, uint64_t v)
{
    bool fused = (p->traits & FUSED) != 0;

    if (!fused || p->rotate_v)
        take(p, V, v);
    if (p->rotate_v)
        turn(p, V, v);
    if (!fused)
        take(p, K, k);
    if ((p->traits & (PARALLEL | FUSED)) == 0)
        drop(p, NORM);
    turn(p, K, k);
    if (p->rotate_k) {
        if (p->rotate_v && fused)
            drop(p, WIDE);
        turn(p, K, k);
    }
}

static void make_qkv(struct gov__pass *p, uint64_t layer,
                     const struct gov__heads *heads)
{
    uint64_t q = rows_of(p, gov__sat_mul(heads->q, heads->k));
    uint64_t kv = (p->kinds[layer] & BORROWS) != 0 ? 0 : heads->kv;
    uint64_t k = rows_of(p, gov__sat_mul(kv, heads->k));
    uint64_t v = rows_of(p, gov__sat_mul(kv, heads->v));

    if ((p->traits & FUSED) != 0) {
        take(p, WIDE, gov__sat_add(q, gov__sat_add(k, v)));
        drop(p, NORM);
    } else {
        take(p, (p->traits & GATED) != 0 ? WIDE : Q,
             (p->traits & GATED) != 0 ? gov__sat_mul(q, 2) : q);
    }
    if ((p->traits & NO_ROPE) != 0 && !p->rotate_k) {
        /* all three are used where they are */
        drop(p, NORM);
        return;
    }
    turn(p, Q, q); /* turned by its position */
    if (p->rotate_k)
        turn(p, Q, q);
    if (p->windows && (p->traits & FUSED) == 0)
        make_k_then_v(p, k, v);
    else
        make_v_then_k(p, k, v);
    drop(p, K);
    drop(p, V);
    if ((p->traits & FUSED) != 0)
        drop(p, WIDE);
}

/* Attention with keys and values in a cache. */
static void cached_attention(struct gov__pass *p, uint64_t layer)
{
    struct gov__heads heads = gov__heads_of(p, layer);
    uint64_t value = rows_of(p, gov__sat_mul(heads.q, heads.v));

    make_qkv(p, layer, &heads);
    attend(p, layer, &heads);
    if ((p->traits & GATED) == 0)
        drop(p, WIDE);
    if ((p->kinds[layer] & RECURS) != 0) {
        become(p, ACTIVE, ROUTES); /* it goes on after the scan */
        return;
    }
    if (p->rotate_v)
        turn(p, ACTIVE, value);
    if (layer == p->last_to_attend)
        drop(p, ROTATION);
    if ((p->traits & GATED) != 0) {
        take(p, WIDE2, value);
        drop(p, WIDE);
        drop(p, ACTIVE);
        become(p, WIDE2, ACTIVE);
    }
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, ACTIVE);
}

/* Without a cache, K and V are handed to attention as f16. */
static void encoder_attention(struct gov__pass *p, uint64_t layer)
{
    struct gov__heads heads = gov__heads_of(p, layer);
    uint64_t q = rows_of(p, gov__sat_mul(heads.q, heads.k));
    uint64_t k = rows_of(p, gov__sat_mul(heads.kv, heads.k));
    uint64_t v = rows_of(p, gov__sat_mul(heads.kv, heads.v));

    if ((p->traits & FUSED) != 0)
        take(p, WIDE, gov__sat_add(q, gov__sat_add(k, v)));
    take(p, Q, q);
    take(p, K, k);
    if ((p->traits & FUSED) == 0)
        take(p, V, v);
    drop(p, NORM);
    if (p->flash) {
        turn(p, K, k / 2);
        turn(p, V, v / 2);
    }
    drop(p, WIDE);
    attend(p, layer, &heads);
    drop(p, K);
    drop(p, V);
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, ACTIVE);
}

/* DeepSeek's: Q is brought into the space of the latent that is cached. */
static void latent_attention(struct gov__pass *p, uint64_t layer)
{
    struct gov__heads heads = gov__heads_of(p, layer);
    uint64_t rank = largest(p, GOV__KEY_Q_LORA_RANK);
    uint64_t latent = gov__sat_add(heads.latent, heads.turned);

    if (rank != 0)
        take(p, V, rows_of(p, rank));
    take(p, WIDE, rows_of(p, gov__sat_mul(heads.q, heads.k)));
    drop(p, V);
    take(p, WIDE2, rows_of(p, gov__sat_mul(heads.q, heads.latent)));
    take(p, K, rows_of(p, gov__sat_mul(heads.q, heads.turned)));
    drop(p, WIDE);
    take(p, Q, rows_of(p, gov__sat_mul(heads.q, latent)));
    drop(p, WIDE2);
    drop(p, K);
    take(p, WIDE, rows_of(p, latent));
    drop(p, NORM);
    take(p, V, rows_of(p, heads.latent));
    take(p, K, rows_of(p, heads.turned));
    turn(p, WIDE, rows_of(p, latent));
    drop(p, V);
    drop(p, K);
    drop(p, WIDE);
    attend(p, layer, &heads);
    turn(p, ACTIVE, rows_of(p, gov__sat_mul(heads.q, heads.v)));
    turn(p, ACTIVE, rows_of(p, gov__sat_mul(heads.q, heads.v)));
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, ACTIVE);
}

void gov__pass_attention(struct gov__pass *p, uint64_t layer)
{
    if (p->encoder)
        encoder_attention(p, layer);
    else if (largest(p, GOV__KEY_KEY_LENGTH_MLA) != 0)
        latent_attention(p, layer);
    else
        cached_attention(p, layer);
}
