/* SPDX-License-Identifier: MIT */
/* Layers with a state in a pass. See compute_priv.h. */
#include "governor/model/compute_priv.h"

/* Of all sequences. */
static uint64_t lightning_states(const struct gov__pass *p)
{
    struct gov__heads heads = gov__heads_of(p, 0);

    return gov__sat_mul(gov__sat_mul(gov__sat_mul(heads.q, heads.k), heads.k),
                        gov__sat_mul(p->sequences, 4));
}

void gov__pass_window(struct gov__pass *p)
{
    uint64_t kernel = largest(p, GOV__KEY_SSM_CONV_KERNEL);
    uint64_t width =
        gov__sat_add(largest(p, GOV__KEY_SSM_INNER),
                     gov__sat_mul(gov__sat_mul(largest(p, GOV__KEY_SSM_GROUPS),
                                               largest(p, GOV__KEY_SSM_STATE)),
                                  2));

    if (kernel == 0) {
        kernel = largest(p, GOV__KEY_SHORTCONV);
        width = p->embedding;
    }
    if (gov__pass_decay(p) != 0)
        take(p, STATE, lightning_states(p));
    if (kernel > 1)
        take(p, WINDOW,
             gov__sat_mul(gov__sat_mul(gov__sat_mul(kernel - 1, width), 4),
                          p->sequences));
}

/* Bytes of what a convolution sees: tokens, and those of before. */
static uint64_t convolved(const struct gov__pass *p, uint64_t width,
                          uint64_t kernel)
{
    uint64_t before = kernel > 1 ? kernel - 1 : 0;

    before = gov__sat_mul(gov__sat_mul(before, p->sequences), width);
    return gov__sat_add(rows_of(p, width), gov__sat_mul(before, 4));
}

/* src/models/mamba-base.cpp, both kinds. */
static void mamba(struct gov__pass *p, uint64_t layer)
{
    uint64_t inner = largest(p, GOV__KEY_SSM_INNER);
    uint64_t state = largest(p, GOV__KEY_SSM_STATE);
    uint64_t steps = of_layer(p, GOV__KEY_SSM_TIME_STEP, layer);
    uint64_t kernel = largest(p, GOV__KEY_SSM_CONV_KERNEL);
    bool grouped = p->architecture == NULL ||
                   p->architecture->recurrence == GOV__RECURRENCE_SSM_GROUPS;
    uint64_t groups = largest(p, GOV__KEY_SSM_GROUPS);
    uint64_t mixed = grouped ? gov__sat_mul(gov__sat_mul(groups, state), 2) : 0;
    uint64_t width = gov__sat_add(inner, mixed);
    uint64_t states =
        gov__sat_mul(gov__sat_mul(gov__sat_mul(state, inner), p->sequences), 4);

    take(p, WIDE,
         rows_of(
             p, gov__sat_add(gov__sat_add(inner, width), grouped ? steps : 0)));
    drop(p, NORM);
    take(p, V, convolved(p, width, kernel));
    drop(p, WINDOW);
    take(p, WIDE2, rows_of(p, width));
    drop(p, V);
    if (!grouped) {
        take(p, K, rows_of(p, gov__sat_add(steps, gov__sat_mul(state, 2))));
        take(p, V, rows_of(p, steps));
        turn(p, V, rows_of(p, inner));
    } else {
        take(p, V, rows_of(p, steps));
    }
    take(p, STATE, gov__sat_add(rows_of(p, inner), states));
    drop(p, V);
    drop(p, K);
    if ((p->kinds[layer] & ATTENDS) != 0) {
        struct gov__heads heads = gov__heads_of(p, layer);

        if (p->rotate_v)
            turn(p, ROUTES, rows_of(p, gov__sat_mul(heads.q, heads.v)));
        if (layer == p->last_to_attend)
            drop(p, ROTATION);
        take(p, SHARED, rows_of(p, p->embedding));
        drop(p, ROUTES);
    }
    take(p, Q, rows_of(p, inner));
    drop(p, WIDE);
    if (grouped) {
        turn(p, WIDE2, rows_of(p, inner));
    }
    drop(p, STATE);
    take(p, ACTIVE, rows_of(p, inner));
    drop(p, Q);
    drop(p, WIDE2);
    if (grouped)
        turn(p, ACTIVE, rows_of(p, inner));
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, ACTIVE);
}

/* src/models/delta-net-base.cpp: Qwen3-Next and what follows it. */
static void delta_net(struct gov__pass *p)
{
    uint64_t inner = largest(p, GOV__KEY_SSM_INNER);
    uint64_t length = largest(p, GOV__KEY_SSM_STATE);
    uint64_t keys = gov__sat_mul(largest(p, GOV__KEY_SSM_GROUPS), length);
    uint64_t width = gov__sat_add(gov__sat_mul(keys, 2), inner);
    uint64_t kernel = largest(p, GOV__KEY_SSM_CONV_KERNEL);
    uint64_t states = gov__sat_mul(
        gov__sat_mul(gov__sat_mul(length, inner), p->sequences), 4);

    take(p, WIDE, rows_of(p, width));
    take(p, WIDE2, convolved(p, width, kernel));
    drop(p, WINDOW);
    drop(p, WIDE);
    take(p, STATE, states);
    turn(p, WIDE2, rows_of(p, width));
    take(p, Q, rows_of(p, keys));
    turn(p, Q, rows_of(p, inner));
    take(p, K, rows_of(p, keys));
    turn(p, K, rows_of(p, inner));
    take(p, ACTIVE, gov__sat_add(rows_of(p, inner), states));
    drop(p, Q);
    drop(p, K);
    drop(p, WIDE2);
    drop(p, STATE);
    turn(p, ACTIVE, rows_of(p, inner));
    take(p, WIDE, rows_of(p, inner));
    drop(p, NORM);
    turn(p, WIDE, rows_of(p, inner));
    drop(p, WIDE);
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, ACTIVE);
}

/* src/models/lfm2.cpp. */
static void short_convolution(struct gov__pass *p)
{
    uint64_t kernel = largest(p, GOV__KEY_SHORTCONV);

    take(p, WIDE, rows_of(p, gov__sat_mul(p->embedding, 3)));
    drop(p, NORM);
    take(p, V, rows_of(p, p->embedding));
    take(p, WIDE2, convolved(p, p->embedding, kernel));
    drop(p, WINDOW);
    drop(p, V);
    take(p, ACTIVE, rows_of(p, p->embedding));
    drop(p, WIDE2);
    drop(p, WIDE);
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, ACTIVE);
}

/* A value for each pair of tokens of a sequence, for each head. */
uint64_t gov__pass_decay(const struct gov__pass *p)
{
    uint64_t heads = largest(p, GOV__KEY_HEADS);

    if (p->architecture == NULL ||
        p->architecture->recurrence != GOV__RECURRENCE_LIGHTNING)
        return 0;
    return rows_of(p, gov__sat_mul(heads, p->tokens / p->sequences));
}

/* src/models/minimax-01.cpp */
static void lightning(struct gov__pass *p, uint64_t layer)
{
    struct gov__heads heads = gov__heads_of(p, layer);
    uint64_t inner = rows_of(p, gov__sat_mul(heads.q, heads.k));

    take(p, WIDE, gov__sat_mul(inner, 3));
    take(p, Q, inner);
    turn(p, Q, inner);
    take(p, V, inner);
    take(p, WIDE2, gov__pass_decay(p)); /* Q with K */
    take(p, ACTIVE, gov__pass_decay(p));
    drop(p, ACTIVE);
    take(p, ACTIVE, inner);
    drop(p, WIDE2);
    drop(p, ACTIVE);
    if (layer == p->last_to_recur)
        drop(p, DECAY);
    take(p, SHARED, lightning_states(p));
    drop(p, STATE);
    take(p, K, inner);
    drop(p, WIDE);
    turn(p, K, inner);
    take(p, STATE, lightning_states(p));
    drop(p, K);
    drop(p, V);
    drop(p, STATE);
    drop(p, SHARED);
    take(p, WIDE, inner); /* a gate */
    turn(p, Q, inner);
    turn(p, Q, inner); /* a norm */
    drop(p, Q);
    take(p, OUT, rows_of(p, p->embedding));
    drop(p, WIDE);
}

void gov__pass_recurrence(struct gov__pass *p, uint64_t layer)
{
    unsigned kind = p->architecture != NULL ? p->architecture->recurrence
                                            : GOV__RECURRENCE_NONE;

    if (kind == GOV__RECURRENCE_SHORTCONV)
        short_convolution(p);
    else if (kind == GOV__RECURRENCE_LIGHTNING)
        lightning(p, layer);
    else if (largest(p, GOV__KEY_FULL_INTERVAL) != 0 ||
             (p->traits & GATED) != 0)
        delta_net(p);
    else
        mamba(p, layer);
}
