/* SPDX-License-Identifier: MIT */
/* How much a recurrent layer keeps for each sequence. Which layers recur is in
 * state_layers.c. See state.c for names in quotes. */
#include "governor/model/state_priv.h"

uint64_t gov__ssm_state(uint64_t kernel, uint64_t inner, uint64_t state,
                        uint64_t groups)
{
    uint64_t channels =
        gov__sat_add(inner, gov__sat_mul(gov__sat_mul(2, groups), state));

    return gov__sat_add(gov__sat_mul(kernel != 0 ? kernel - 1 : 0, channels),
                        gov__sat_mul(state, inner));
}

uint64_t gov__kda_state(uint64_t kernel, uint64_t head, uint64_t heads)
{
    uint64_t inner = gov__sat_mul(heads, head);

    return gov__sat_add(
        gov__sat_mul(gov__sat_mul(3, kernel != 0 ? kernel - 1 : 3), inner),
        gov__sat_mul(head, inner));
}

static uint64_t state_numbers(struct gov__shape *s)
{
    uint64_t heads = of_layer(s, GOV__KEY_HEADS, 0);
    uint64_t groups, cache, head;

    switch ((enum gov__recurrence)s->arch->recurrence) {
    case GOV__RECURRENCE_NONE:
        break;
    case GOV__RECURRENCE_SSM:
    case GOV__RECURRENCE_SSM_GROUPS:
        groups = s->arch->recurrence == GOV__RECURRENCE_SSM_GROUPS
                     ? needed(s, GOV__KEY_SSM_GROUPS)
                     : 0;
        return gov__ssm_state(needed(s, GOV__KEY_SSM_CONV_KERNEL),
                              needed(s, GOV__KEY_SSM_INNER),
                              needed(s, GOV__KEY_SSM_STATE), groups);
    case GOV__RECURRENCE_WKV:
        head = needed(s, GOV__KEY_WKV_HEAD);
        if (head == 0)
            s->exact = false;
        return gov__sat_mul(
            needed(s, GOV__KEY_EMBEDDING),
            gov__sat_add(single(s, GOV__KEY_TOKEN_SHIFT, 2), head));
    case GOV__RECURRENCE_SHORTCONV:
        cache = needed(s, GOV__KEY_SHORTCONV);
        if (cache == 0)
            s->exact = false;
        return gov__sat_mul(needed(s, GOV__KEY_EMBEDDING),
                            cache != 0 ? cache - 1 : 0);
    case GOV__RECURRENCE_KDA:
        head = needed(s, GOV__KEY_KDA_HEAD);
        if (head == 0)
            s->exact = false;
        return gov__kda_state(needed(s, GOV__KEY_SSM_CONV_KERNEL), head, heads);
    case GOV__RECURRENCE_LIGHTNING:
        return gov__sat_mul(gov__sat_mul(s->k, s->k), heads);
    }
    return 0;
}

void gov__shape_read_state(struct gov__shape *s)
{
    s->state = gov__sat_mul(state_numbers(s), STATE_BYTES);
    if (s->arch->recurrent != GOV__RECURRENT_INTERVAL)
        return;
    check_list(s, GOV__KEY_RECURRENT_LAYERS, s->layers);
    if (s->header->number[GOV__KEY_RECURRENT_LAYERS].count == 0 &&
        single(s, GOV__KEY_FULL_INTERVAL, 1) == 0)
        s->exact = false;
}

uint64_t gov__shape_ple_state(struct gov__shape *s, uint32_t layer)
{
    const struct gov__number *at = &s->header->number[GOV__KEY_PLE_LAYERS];
    uint64_t kernel;

    if (!(s->arch->flags & GOV__PLE) || at->count == 0)
        return 0;
    kernel = needed(s, GOV__KEY_PLE_CONV_KERNEL);
    if (at->count > 1 || !gov__layer_is_recurrent(s, at->one) || kernel == 0)
        s->exact = false;
    if (layer != at->one || kernel == 0)
        return 0;
    return gov__sat_mul(
        gov__sat_mul(gov__sat_mul(kernel - 1, needed(s, GOV__KEY_PLE_NGRAM)),
                     gov__sat_mul(needed(s, GOV__KEY_HYPER_CONNECTIONS),
                                  needed(s, GOV__KEY_EMBEDDING))),
        STATE_BYTES);
}
