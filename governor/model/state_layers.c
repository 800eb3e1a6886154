/* SPDX-License-Identifier: MIT */
/* Which layers attend, look back over a window, recur, share an earlier layer's
 * cache, or have an indexer. Counts no bytes. See state.c for names in quotes. */
#include "governor/model/state_priv.h"

static bool is_router(const struct gov__shape *s, uint32_t layer)
{
    return s->arch->flags & GOV__ROUTER && layer == s->trunk;
}

uint64_t gov__layer_kv_heads(const struct gov__shape *s, uint32_t layer)
{
    bool given = s->header->number[GOV__KEY_HEADS_KV].count != 0;

    if (is_router(s, layer))
        return 1;
    return of_layer(s, given ? GOV__KEY_HEADS_KV : GOV__KEY_HEADS, layer);
}

bool gov__layer_has_window(const struct gov__shape *s, uint32_t layer)
{
    const struct gov__number *listed =
        &s->header->number[GOV__KEY_WINDOW_PATTERN];
    uint32_t period = s->arch->period;

    if (s->window == 0)
        return false;
    if (s->pattern == GOV__PATTERN_ALL)
        return true;
    /* A list may be short; the rest have none. */
    if (listed->count > 1 || s->pattern == GOV__PATTERN_LISTED)
        return of_layer(s, GOV__KEY_WINDOW_PATTERN, layer) != 0;
    if (layer >= s->trunk)
        return false;
    if (listed->count == 1)
        period = listed->one;
    if (period == 0)
        return true;
    return layer % period != (s->arch->dense_first ? 0 : period - 1);
}

bool gov__layer_is_recurrent(const struct gov__shape *s, uint32_t layer)
{
    uint64_t interval;

    if (s->arch->keeps == GOV__KEEPS_STATE)
        return layer < s->trunk;
    if (s->arch->keeps != GOV__KEEPS_BOTH || layer >= s->trunk)
        return false;
    switch ((enum gov__recurrent)s->arch->recurrent) {
    case GOV__RECURRENT_NO_HEADS:
        return gov__layer_kv_heads(s, layer) == 0;
    case GOV__RECURRENT_NO_HEADS_NO_FFN:
        return gov__layer_kv_heads(s, layer) == 0 &&
               of_layer(s, GOV__KEY_FEED_FORWARD, layer) == 0;
    case GOV__RECURRENT_INTERVAL:
        if (s->header->number[GOV__KEY_RECURRENT_LAYERS].count != 0)
            return of_layer(s, GOV__KEY_RECURRENT_LAYERS, layer) != 0;
        interval = s->header->number[GOV__KEY_FULL_INTERVAL].count != 0
                       ? s->header->number[GOV__KEY_FULL_INTERVAL].one
                       : s->arch->period;
        return interval == 0 || (layer + 1) % interval != 0;
    case GOV__RECURRENT_EVERY:
        break;
    }
    return true;
}

bool gov__layer_has_cache(const struct gov__shape *s, uint32_t layer)
{
    if (s->arch->keeps == GOV__KEEPS_NOTHING ||
        s->arch->keeps == GOV__KEEPS_STATE || layer >= s->kv_layers)
        return false;
    /* A file of nothing but such layers is a draft model: its trunk. */
    if (layer >= s->trunk && !is_router(s, layer) &&
        !(s->arch->flags & GOV__KEEPS_NEXTN) &&
        (s->trunk != 0 || s->arch->indexer != GOV__INDEXER_NONE ||
         s->arch->keeps == GOV__KEEPS_BOTH))
        return false;
    if (s->arch->keeps != GOV__KEEPS_BOTH ||
        s->arch->recurrent == GOV__RECURRENT_EVERY)
        return true;
    if (s->arch->recurrent == GOV__RECURRENT_NO_HEADS_NO_FFN &&
        of_layer(s, GOV__KEY_FEED_FORWARD, layer) != 0)
        return false;
    return !gov__layer_is_recurrent(s, layer);
}

/* GLM 5.2 before its files listed them: the first two, and each fourth of the
 * rest of its 78 layers. Those before it have a context below 2^20 tokens. */
static bool glm_has_indexer(const struct gov__shape *s, uint32_t layer)
{
    const struct gov__number *context = &s->header->number[GOV__KEY_CONTEXT];

    if (context->one < UINT32_C(1) << 20)
        return true;
    return layer < 2 || (layer < 78 && (layer - 2) % 4 == 0);
}

bool gov__layer_has_indexer(const struct gov__shape *s, uint32_t layer)
{
    bool listed = of_layer(s, GOV__KEY_INDEXER_TYPES, layer) != 0;

    switch ((enum gov__indexer)s->arch->indexer) {
    case GOV__INDEXER_NONE:
        return false;
    case GOV__INDEXER_EVERY:
        return layer < s->trunk;
    case GOV__INDEXER_LISTED_LATE:
        if (s->header->number[GOV__KEY_INDEXER_TYPES].count == 0)
            listed = glm_has_indexer(s, layer);
        return layer < s->trunk && listed;
    case GOV__INDEXER_LISTED:
        return layer < s->trunk && listed;
    case GOV__INDEXER_IF_USED:
        return s->indexer_k != 0 && listed;
    case GOV__INDEXER_BEHIND_LEAD:
        return layer >= s->header->number[GOV__KEY_DENSE_LEAD].one;
    case GOV__INDEXER_ATTENTION:
        break;
    }
    return gov__layer_has_cache(s, layer);
}
