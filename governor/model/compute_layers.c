/* SPDX-License-Identifier: MIT */
/* A layer of a pass: its feed-forward, and how mixer and feed-forward are added to
 * the residual. See compute_priv.h. */
#include "governor/model/compute_priv.h"

/* From the norm, or where there is none the residual, to `out`. */
static void feed_forward(struct gov__pass *p, uint64_t width,
                         enum gov__compute_tensor out)
{
    take(p, WIDE, rows_of(p, width));
    if ((p->traits & NO_GATE) == 0) {
        take(p, WIDE2, rows_of(p, width));
        drop(p, NORM);
        take(p, Q, rows_of(p, width));
        drop(p, WIDE);
        drop(p, WIDE2);
        become(p, Q, WIDE);
    }
    drop(p, NORM);
    take(p, out, rows_of(p, p->embedding));
    drop(p, WIDE);
}

static void experts(struct gov__pass *p, uint64_t layer)
{
    uint64_t all = of_layer(p, GOV__KEY_EXPERTS, layer);
    uint64_t used = of_layer(p, GOV__KEY_EXPERTS_USED, layer);
    uint64_t width = of_layer(p, GOV__KEY_EXPERT_FEED_FORWARD, layer);
    uint64_t shared = of_layer(p, GOV__KEY_EXPERT_SHARED_FEED_FORWARD, layer);

    if (width == 0)
        width = of_layer(p, GOV__KEY_FEED_FORWARD, layer);
    if (shared == 0)
        shared = gov__sat_mul(largest(p, GOV__KEY_EXPERTS_SHARED), width);
    take(p, K, rows_of(p, all));
    take(p, ROUTES, rows_of(p, all));
    take(p, V, rows_of(p, used));
    drop(p, K);
    if ((p->traits & WEIGHED) != 0) {
        shared = width;
        take(p, STATE, rows_of(p, gov__sat_mul(used, p->embedding)));
    }
    width = rows_of(p, gov__sat_mul(used, width));
    if (p->fused_experts) {
        take(p, WIDE, gov__sat_mul(width, 2));
    } else {
        take(p, WIDE, width);
        take(p, WIDE2, width);
    }
    drop(p, STATE);
    if (shared == 0)
        drop(p, NORM);
    take(p, ACTIVE, width);
    drop(p, WIDE);
    drop(p, WIDE2);
    take(p, WIDE, rows_of(p, gov__sat_mul(used, p->embedding)));
    drop(p, ACTIVE);
    drop(p, ROUTES);
    drop(p, V);
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, WIDE);
    if (shared != 0) {
        feed_forward(p, shared, SHARED);
        drop(p, SHARED);
    }
}

/* What a mixer or feed-forward gives is added to the residual, in the memory of
 * either. */
static void add_residual(struct gov__pass *p, bool keep)
{
    if (keep) {
        drop(p, OUT);
        return;
    }
    drop(p, RESIDUAL);
    become(p, OUT, RESIDUAL);
}

/* Whether the residual keeps its memory. */
static bool mix(struct gov__pass *p, uint64_t layer)
{
    bool attends = (p->kinds[layer] & ATTENDS) != 0;

    if (attends)
        gov__pass_attention(p, layer);
    if ((p->kinds[layer] & RECURS) == 0)
        return false;
    if (attends) {
        gov__pass_window(p);
        take(p, NORM, rows_of(p, p->embedding));
    }
    gov__pass_recurrence(p, layer);
    if (attends)
        become(p, SHARED, OUT);
    return !attends && (p->traits & SCALED) == 0;
}

void gov__pass_layer(struct gov__pass *p, uint64_t layer)
{
    uint64_t wide = of_layer(p, GOV__KEY_FEED_FORWARD, layer);
    bool sparse = (p->kinds[layer] & SPARSE) != 0;
    bool keep, last = layer + 1 == p->layers;

    if ((p->kinds[layer] & (ATTENDS | RECURS)) == RECURS)
        gov__pass_window(p);
    if ((p->traits & POST_NORM) == 0 && !p->encoder)
        take(p, NORM, rows_of(p, p->embedding));
    keep = mix(p, layer);
    keep = (keep && !last) || (p->traits & KEEPS_MIXED) != 0;
    if (last && (p->traits & LATE) == 0) {
        p->rows = p->outputs;
        if ((p->kinds[layer] & (ATTENDS | RECURS)) == (ATTENDS | RECURS)) {
            /* added for all tokens; what it lies in is not used again */
            drop(p, RESIDUAL);
            turn(p, OUT, rows_of(p, p->embedding));
        } else {
            turn(p, OUT, rows_of(p, p->embedding));
            turn(p, RESIDUAL, rows_of(p, p->embedding));
        }
        drop(p, ROWS);
    }
    if (wide == 0 && !sparse) {
        add_residual(p, keep);
        return;
    }
    if ((p->traits & PARALLEL) == 0) {
        add_residual(p, keep);
        if (p->encoder)
            turn(p, RESIDUAL, rows_of(p, p->embedding));
        else if ((p->traits & POST_NORM) == 0)
            take(p, NORM, rows_of(p, p->embedding));
    } else {
        become(p, OUT, STATE);
    }
    if (sparse)
        experts(p, layer);
    else
        feed_forward(p, wide, OUT);
    drop(p, STATE);
    add_residual(p, (p->traits & KEEPS) != 0);
    if ((p->traits & GEMMA) != 0) {
        gov__pass_gemma_inputs(p, layer);
        drop(p, OUT);
    }
    if (p->encoder)
        turn(p, RESIDUAL, rows_of(p, p->embedding));
}
