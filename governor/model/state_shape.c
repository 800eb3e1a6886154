/* SPDX-License-Identifier: MIT */
/* Reads a header as its architecture does: layers, heads, windows, sharing,
 * indexers. What does not fit llama.cpp's loaders makes it inexact, never fails.
 * See state.c for names in quotes. */
#include "governor/model/state_priv.h"

static void read_layers(struct gov__shape *s)
{
    uint64_t blocks = needed(s, GOV__KEY_BLOCKS);
    uint64_t nextn = single(s, GOV__KEY_NEXTN, 0);
    uint64_t loops = 1;

    if (blocks == 0 || blocks > GOV__LAYERS_MAX || nextn > blocks) {
        s->exact = false;
        return;
    }
    s->file_layers = (uint32_t)blocks;
    s->trunk = (uint32_t)(blocks - nextn);
    if (s->arch->flags & GOV__ROUTER) {
        nextn = 1;
        blocks = (uint64_t)s->trunk + 1;
    }
    if (s->arch->flags & GOV__LOOPED && s->file_layers != 0)
        loops = single(s, GOV__KEY_LOOPS, 1);
    if (loops == 0 || loops > GOV__LAYERS_MAX || (loops > 1 && nextn != 0) ||
        blocks * loops > GOV__LAYERS_MAX) {
        s->exact = false;
        return;
    }
    s->layers = (uint32_t)(blocks * loops);
    s->trunk = (uint32_t)(s->layers - nextn);
}

static void read_heads(struct gov__shape *s)
{
    uint64_t heads, width = single(s, GOV__KEY_EMBEDDING, 0);

    check_list(s, GOV__KEY_HEADS, s->file_layers);
    check_list(s, GOV__KEY_HEADS_KV, s->file_layers);
    if (s->arch->recurrent == GOV__RECURRENT_NO_HEADS_NO_FFN)
        check_list(s, GOV__KEY_FEED_FORWARD, s->file_layers);
    /* Models without attention say 0 or nothing, and then their lengths do not
     * count. */
    heads = of_layer(s, GOV__KEY_HEADS, 0);
    if (heads != 0) {
        s->k = single(s, GOV__KEY_KEY_LENGTH, width / heads);
        s->v = single(s, GOV__KEY_VALUE_LENGTH, width / heads);
    } else if (s->arch->flags & GOV__FULL_LENGTHS) {
        s->k = single(s, GOV__KEY_KEY_LENGTH, 0);
        s->v = single(s, GOV__KEY_VALUE_LENGTH, 0);
    }
    if (s->arch->keeps != GOV__KEEPS_STATE &&
        s->arch->keeps != GOV__KEEPS_NOTHING &&
        (s->header->number[GOV__KEY_HEADS].count == 0 || width == 0))
        s->exact = false;
    s->window_k = single(s, GOV__KEY_KEY_LENGTH_WINDOW, s->k);
    s->window_v = single(s, GOV__KEY_VALUE_LENGTH_WINDOW, s->v);
    if (s->arch->mla == GOV__MLA_NONE)
        return;
    s->latents = single(s, GOV__KEY_KEY_LENGTH_MLA, 0) != 0 &&
                 single(s, GOV__KEY_VALUE_LENGTH_MLA, 0) != 0;
    if (s->arch->mla == GOV__MLA_NEEDED && !s->latents)
        s->exact = false;
    if (s->arch->flags & GOV__LATENT_VALUES)
        s->v = needed(s, GOV__KEY_KV_LORA_RANK);
}

static void read_pattern(struct gov__shape *s)
{
    const struct gov__number *listed =
        &s->header->number[GOV__KEY_WINDOW_PATTERN];

    if (s->pattern == GOV__PATTERN_ALL)
        return;
    /* A header does not tell a number from a list of one. */
    if (s->pattern == GOV__PATTERN_LISTED
            ? listed->count == 0 || (listed->count == 1 && s->layers != 1)
            : listed->count == 1 && s->layers == 1)
        s->exact = false;
}

static void read_window(struct gov__shape *s)
{
    bool given = s->header->number[GOV__KEY_WINDOW].count != 0;
    uint64_t says = single(s, GOV__KEY_WINDOW, 0);
    unsigned rule = s->arch->window;

    s->pattern = (enum gov__pattern)s->arch->pattern;
    if (s->arch->flags & GOV__HYPER_WINDOW &&
        single(s, GOV__KEY_HYPER_CONNECTIONS, 0) != 0) {
        s->pattern = GOV__PATTERN_ALL;
        rule = GOV__WINDOW_NEEDED;
    }
    if (s->arch->window_layers != 0 && s->trunk != s->arch->window_layers)
        rule = GOV__WINDOW_NONE;
    switch ((enum gov__window)rule) {
    case GOV__WINDOW_NONE:
        return;
    case GOV__WINDOW_NEEDED:
        s->window = needed(s, GOV__KEY_WINDOW);
        if (s->window == 0) /* room for a batch and nothing before it */
            s->exact = false;
        break;
    case GOV__WINDOW_OPTIONAL:
        s->window = says;
        break;
    case GOV__WINDOW_ASSUMED:
        s->window = given ? says : s->arch->window_tokens;
        if (s->window == 0)
            s->exact = false;
        break;
    case GOV__WINDOW_FIXED:
        s->window = given && says == 0 ? 0 : s->arch->window_tokens;
        break;
    case GOV__WINDOW_FIXED_IF_SET:
        s->window = says != 0 ? s->arch->window_tokens : 0;
        break;
    }
    if (s->window != 0)
        read_pattern(s);
}

static void read_shared(struct gov__shape *s)
{
    uint64_t last;

    s->kv_layers = s->layers;
    if (s->arch->shared == GOV__SHARED_FROM_20 && s->layers > 20)
        s->kv_layers = 20;
    if (s->arch->shared != GOV__SHARED_LAST)
        return;
    last = single(s, GOV__KEY_SHARED_KV_LAYERS, 0);
    /* One with a window and one without are there to share. */
    if (last > s->layers || s->layers - last < 2)
        s->exact = false;
    else
        s->kv_layers = (uint32_t)(s->layers - last);
}

static void read_indexer(struct gov__shape *s)
{
    const struct gov__number *types =
        &s->header->number[GOV__KEY_INDEXER_TYPES];
    unsigned rule = s->arch->indexer;

    if (rule == GOV__INDEXER_NONE)
        return;
    if (rule == GOV__INDEXER_IF_USED &&
        single(s, GOV__KEY_INDEXER_TOP_K, 0) == 0)
        return;
    s->indexer_k = needed(s, GOV__KEY_INDEXER_KEY_LENGTH);
    if (s->indexer_k == 0)
        s->exact = false;
    if (rule == GOV__INDEXER_LISTED_LATE || rule == GOV__INDEXER_IF_USED)
        check_list(s, GOV__KEY_INDEXER_TYPES, s->trunk);
    if (rule == GOV__INDEXER_LISTED && types->count < 2 && s->layers > 1)
        s->exact = false;
    /* Its loader stops at the first layer without an indexer before it, and its
     * cache at the first that predicts further tokens. */
    if (rule == GOV__INDEXER_IF_USED &&
        (types->one == 0 || s->trunk != s->layers))
        s->exact = false;
    if (rule == GOV__INDEXER_BEHIND_LEAD)
        (void)single(s, GOV__KEY_DENSE_LEAD, 0);
    for (uint32_t i = 0; rule == GOV__INDEXER_LISTED && i < s->layers; i++)
        if (gov__layer_has_window(s, i) && gov__layer_has_indexer(s, i))
            s->exact = false; /* cells of two numbers in one layer */
}

static const struct gov__architecture plain = {.name = "",
                                               .keeps = GOV__KEEPS_UNKNOWN};

struct gov__shape gov__shape_read(const struct gov__header *header)
{
    struct gov__shape s = {.header = header, .exact = true};

    s.arch = gov__architecture_find(header->architecture);
    if (s.arch == NULL)
        s.arch = &plain;
    if (s.arch->keeps == GOV__KEEPS_UNKNOWN ||
        s.arch->keeps == GOV__KEEPS_COMPRESSED)
        s.exact = false;
    read_layers(&s);
    if (s.layers == 0)
        return s;
    read_heads(&s);
    read_window(&s);
    read_shared(&s);
    read_indexer(&s);
    gov__shape_read_state(&s);
    (void)gov__shape_ple_state(&s, 0);
    for (uint32_t i = 0; i < s.layers; i++)
        s.longest_v = larger(
            s.longest_v,
            gov__sat_mul(gov__layer_kv_heads(&s, i),
                         gov__layer_has_window(&s, i) ? s.window_v : s.v));
    return s;
}
