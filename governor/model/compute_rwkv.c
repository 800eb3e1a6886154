/* SPDX-License-Identifier: MIT */
/* Layers of RWKV 6 and 7, and of what takes their mixer into a transformer: each
 * token is mixed with the one before it, five or six times over. In the order of
 * src/models/rwkv6-base.cpp and rwkv7-base.cpp. See compute_priv.h. */
#include "governor/model/compute_priv.h"

static bool is_seventh(const struct gov__pass *p)
{
    return (p->traits & WKV7) != 0;
}

/* Bytes of the state of all sequences. */
static uint64_t states(const struct gov__pass *p)
{
    return gov__sat_mul(gov__sat_mul(p->embedding, p->sequences),
                        gov__sat_mul(largest(p, GOV__KEY_WKV_HEAD), 4));
}

/* And of the tokens before. */
static uint64_t shifted(const struct gov__pass *p)
{
    return gov__sat_mul(gov__sat_mul(p->embedding, p->sequences), 8);
}

/* That of a layer is read early in the one before. */
static void read_next_state(struct gov__pass *p, uint64_t layer)
{
    if (layer + 1 == p->layers)
        return;
    take(p, WINDOW, shifted(p));
    take(p, STATE, states(p));
}

/* Leaves what tokens are mixed to in WIDE. */
static void mix_tokens(struct gov__pass *p)
{
    uint64_t row = rows_of(p, p->embedding);

    take(p, V, row); /* how a token differs from the one before */
    if (is_seventh(p)) {
        take(p, WIDE, gov__sat_mul(row, 6));
        drop(p, V);
        return;
    }
    take(p, K, row);
    drop(p, K);
    take(p, WIDE, gov__sat_mul(row, 5));
    drop(p, V);
}

/* What goes into the state and comes out of it, in WIDE2. Where V is of the first
 * layer, RWKV 7 mixes it into those of all others. */
static void update_state(struct gov__pass *p, uint64_t layer)
{
    uint64_t row = rows_of(p, p->embedding);
    bool seventh = is_seventh(p);

    take(p, Q, row);
    if (seventh)
        take(p, ACTIVE, row);
    take(p, K, row);
    if (seventh && layer == 0)
        take(p, EMBEDDED, row);
    else
        take(p, V, row);
    if (seventh) {
        take(p, ROUTES, row);
        take(p, SHARED, row);
        take(p, OUT, row);
        drop(p, K);
        take(p, K, row);
        drop(p, ROUTES);
    } else {
        take(p, ACTIVE, row);
    }
    take(p, WIDE2, gov__sat_add(row, states(p)));
    drop(p, ACTIVE);
    drop(p, K);
    drop(p, OUT);
    drop(p, STATE);
    if ((p->traits & WKV_OWN) == 0) {
        drop(p, NORM);
        read_next_state(p, layer);
    }
    if (!seventh) {
        drop(p, Q);
        drop(p, V);
    }
}

static void time_mix(struct gov__pass *p, uint64_t layer)
{
    uint64_t row = rows_of(p, p->embedding);

    mix_tokens(p);
    if (layer + 1 == p->layers)
        drop(p, WINDOW);
    update_state(p, layer);
    turn(p, WIDE2, row); /* a norm, */
    turn(p, WIDE2, row); /* its weights */
    if (is_seventh(p)) {
        take(p, ACTIVE, row);
        drop(p, SHARED);
        drop(p, Q);
        turn(p, ACTIVE, row);
        drop(p, ACTIVE);
        drop(p, V);
        if (layer + 1 == p->layers)
            drop(p, EMBEDDED);
    }
    take(p, Q, row); /* and a gate */
    drop(p, WIDE);
    drop(p, Q);
    take(p, OUT, row);
    drop(p, WIDE2);
    turn(p, OUT, row);
    drop(p, RESIDUAL);
    become(p, OUT, RESIDUAL);
}

/* RWKV's own feed-forward also looks at the token before. */
static void channel_mix(struct gov__pass *p, uint64_t layer)
{
    uint64_t row = rows_of(p, p->embedding);

    take(p, Q, row); /* a norm */
    drop(p, NORM);
    read_next_state(p, layer);
    take(p, V, row);
    if (layer + 1 == p->layers) {
        p->rows = p->outputs;
        row = rows_of(p, p->embedding);
    }
    take(p, K, row);
    drop(p, V);
    if (!is_seventh(p)) {
        turn(p, NORM, row);
        turn(p, NORM, row);
    }
    drop(p, Q);
    take(p, WIDE, rows_of(p, of_layer(p, GOV__KEY_FEED_FORWARD, layer)));
    drop(p, K);
    take(p, OUT, row);
    drop(p, WIDE);
    drop(p, NORM);
    drop(p, RESIDUAL);
    become(p, OUT, RESIDUAL);
}

static void gated_feed_forward(struct gov__pass *p, uint64_t layer)
{
    uint64_t width = of_layer(p, GOV__KEY_FEED_FORWARD, layer);

    if (layer + 1 == p->layers) {
        p->rows = p->outputs;
        turn(p, RESIDUAL, rows_of(p, p->embedding));
    }
    take(p, NORM, rows_of(p, p->embedding));
    take(p, WIDE, rows_of(p, width));
    take(p, WIDE2, rows_of(p, width));
    drop(p, NORM);
    take(p, ACTIVE, rows_of(p, width));
    drop(p, WIDE);
    drop(p, WIDE2);
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, ACTIVE);
    drop(p, RESIDUAL);
    become(p, OUT, RESIDUAL);
}

void gov__pass_rwkv_layer(struct gov__pass *p, uint64_t layer)
{
    bool own = (p->traits & WKV_OWN) != 0;

    if (own && layer == 0) /* a norm of the embedding */
        turn(p, RESIDUAL, rows_of(p, p->embedding));
    if (layer == 0) {
        take(p, WINDOW, shifted(p));
        take(p, STATE, states(p));
    }
    take(p, NORM, rows_of(p, p->embedding));
    time_mix(p, layer);
    if (own)
        channel_mix(p, layer);
    else
        gated_feed_forward(p, layer);
}
