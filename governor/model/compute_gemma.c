/* SPDX-License-Identifier: MIT */
/* What Gemma 3n and 4 have and nothing else: inputs of each layer, looked up for
 * all of them at once, and a residual of several streams. See compute_priv.h. */
#include "governor/model/compute_priv.h"

#define STREAMS ((uint64_t)4) /* altup.num_inputs of both Gemma 3n's */
#define SPARSE_LAYERS                                                          \
    10 /* n_layer_sparsity in src/models/models.h: those that cut small values */
#define LAUREL 64 /* rank of a second way around attention */

static uint64_t inputs(const struct gov__pass *p)
{
    return rows_of(
        p, gov__sat_mul(largest(p, GOV__KEY_EMBEDDING_PER_LAYER), p->layers));
}

/* Gemma 3n: the embedding, and three matrices of it scaled to its length. */
static void stack(struct gov__pass *p)
{
    uint64_t others = rows_of(p, gov__sat_mul(p->embedding, STREAMS - 1));

    take(p, WIDE, others);
    take(p, WIDE2, others);
    drop(p, WIDE);
    take(p, ACTIVE, others);
    drop(p, WIDE2);
    take(p, RESIDUAL, rows_of(p, gov__sat_mul(p->embedding, STREAMS)));
    drop(p, ACTIVE);
}

void gov__pass_gemma_begins(struct gov__pass *p)
{
    if (inputs(p) != 0) {
        take(p, WIDE, inputs(p));
        take(p, PER_LAYER, inputs(p));
        drop(p, WIDE);
        become(p, RESIDUAL, EMBEDDED);
    }
    if ((p->traits & STACKED) != 0)
        stack(p);
}

/* The first layer is where what the embedding says is added to what was looked
 * up. */
void gov__pass_gemma_inputs(struct gov__pass *p, uint64_t layer)
{
    if (inputs(p) == 0)
        return;
    take(p, V, rows_of(p, largest(p, GOV__KEY_EMBEDDING_PER_LAYER)));
    if (layer == 0) {
        take(p, WIDE, inputs(p));
        drop(p, EMBEDDED);
        turn(p, WIDE, inputs(p));
        take(p, PER_LAYER, inputs(p)); /* turned round */
        drop(p, WIDE);
    }
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, V);
}

/* What all streams are to be, if this layer did nothing. */
static void predict(struct gov__pass *p)
{
    uint64_t streams = rows_of(p, gov__sat_mul(p->embedding, STREAMS));

    take(p, WIDE, streams);
    take(p, NORM, rows_of(p, p->embedding));
    take(p, V, rows_of(p, STREAMS * STREAMS));
    drop(p, NORM);
    take(p, WIDE2, streams);
    drop(p, WIDE);
    drop(p, V);
    take(p, PREDICTED, streams);
    drop(p, WIDE2);
    drop(p, RESIDUAL);
}

static void gemma3n_feed_forward(struct gov__pass *p, uint64_t layer)
{
    uint64_t width = rows_of(p, of_layer(p, GOV__KEY_FEED_FORWARD, layer));

    take(p, NORM, rows_of(p, p->embedding));
    take(p, WIDE, width);
    take(p, WIDE2, width);
    drop(p, NORM);
    if (layer < SPARSE_LAYERS)
        take(p, Q, width);
    drop(p, Q);
    drop(p, WIDE2);
    turn(p, OUT, rows_of(p, p->embedding));
    drop(p, WIDE);
}

/* How far it was off corrects all streams, and its inputs all but one. */
static void correct(struct gov__pass *p, uint64_t layer)
{
    uint64_t streams = rows_of(p, gov__sat_mul(p->embedding, STREAMS));

    take(p, V, rows_of(p, p->embedding));
    take(p, STATE, streams);
    drop(p, V);
    drop(p, OUT);
    drop(p, PREDICTED);
    take(p, NORM, rows_of(p, p->embedding));
    gov__pass_gemma_inputs(p, layer);
    drop(p, NORM);
    take(p, ACTIVE, rows_of(p, gov__sat_mul(p->embedding, STREAMS - 1)));
    drop(p, OUT);
    take(p, RESIDUAL, streams);
    drop(p, STATE);
    drop(p, ACTIVE);
}

void gov__pass_gemma3n_layer(struct gov__pass *p, uint64_t layer)
{
    predict(p);
    take(p, NORM, rows_of(p, p->embedding));
    gov__pass_attention(p, layer);
    take(p, V, rows_of(p, LAUREL));
    take(p, SHARED, rows_of(p, p->embedding));
    drop(p, V);
    drop(p, NORM);
    drop(p, SHARED);
    gemma3n_feed_forward(p, layer);
    correct(p, layer);
}

void gov__pass_gemma3n_ends(struct gov__pass *p)
{
    uint64_t others = rows_of(p, gov__sat_mul(p->embedding, STREAMS - 1));

    take(p, WIDE, others);
    take(p, WIDE2, others);
    drop(p, WIDE);
    turn(p, RESIDUAL, rows_of(p, p->embedding));
    drop(p, WIDE2);
}
