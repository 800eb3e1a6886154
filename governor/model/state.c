/* SPDX-License-Identifier: MIT */
/* See state.h. Names in quotes are those of llama.cpp v0.5.0, whose arithmetic
 * this is: load_hparams() and create_memory() in src/llama-model.cpp, src/
 * llama-hparams.cpp, and the constructors in src/llama-kv-cache*.cpp and src/
 * llama-memory-*.cpp. It multiplies in 32 bits and would wrap where this does
 * not; a header for which that matters is nobody's model. */
#include "governor/model/state.h"

#include "governor/model/architectures.h"
#include "policies/sizes_priv.h"

/* Recurrent state is f32. */
#define STATE_BYTES 4

/* A header as its architecture reads it. */
struct shape {
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

/* ---- numbers ------------------------------------------------------------- */

/* llama.cpp refuses a file that gives one of these for each layer. */
static uint64_t single(struct shape *s, enum gov__key key, uint64_t absent)
{
    const struct gov__number *n = &s->header->number[key];

    if (n->count > 1)
        s->exact = false;
    return n->count == 0 ? absent : n->one;
}

static uint64_t needed(struct shape *s, enum gov__key key)
{
    if (s->header->number[key].count == 0)
        s->exact = false;
    return single(s, key, 0);
}

/* Given once, or once for each of that many layers; else it is refused too. */
static void check_list(struct shape *s, enum gov__key key, uint32_t layers)
{
    uint32_t count = s->header->number[key].count;

    if (count > 1 && count != layers)
        s->exact = false;
}

static uint64_t of_layer(const struct shape *s, enum gov__key key,
                         uint32_t layer)
{
    uint64_t value = 0;

    if (s->arch->flags & GOV__LOOPED && s->file_layers != 0)
        layer %= s->file_layers;
    return gov__header_of_layer(s->header, key, layer, &value) ? value : 0;
}

static bool is_router(const struct shape *s, uint32_t layer)
{
    return s->arch->flags & GOV__ROUTER && layer == s->trunk;
}

static uint64_t kv_heads(const struct shape *s, uint32_t layer)
{
    bool given = s->header->number[GOV__KEY_HEADS_KV].count != 0;

    if (is_router(s, layer))
        return 1;
    return of_layer(s, given ? GOV__KEY_HEADS_KV : GOV__KEY_HEADS, layer);
}

/* ---- which layers are what ----------------------------------------------- */

static bool has_window(const struct shape *s, uint32_t layer)
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

static bool is_recurrent(const struct shape *s, uint32_t layer)
{
    uint64_t interval;

    if (s->arch->keeps == GOV__KEEPS_STATE)
        return layer < s->trunk;
    if (s->arch->keeps != GOV__KEEPS_BOTH || layer >= s->trunk)
        return false;
    switch ((enum gov__recurrent)s->arch->recurrent) {
    case GOV__RECURRENT_NO_HEADS:
        return kv_heads(s, layer) == 0;
    case GOV__RECURRENT_NO_HEADS_NO_FFN:
        return kv_heads(s, layer) == 0 &&
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

/* Whether attention has a cache of its own there. */
static bool has_cache(const struct shape *s, uint32_t layer)
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
    return !is_recurrent(s, layer);
}

/* GLM 5.2 before its files listed them: the first two, and each fourth of the
 * rest of its 78 layers. Those before it have a context below 2^20 tokens. */
static bool glm_has_indexer(const struct shape *s, uint32_t layer)
{
    const struct gov__number *context = &s->header->number[GOV__KEY_CONTEXT];

    if (context->one < UINT32_C(1) << 20)
        return true;
    return layer < 2 || (layer < 78 && (layer - 2) % 4 == 0);
}

static bool has_indexer(const struct shape *s, uint32_t layer)
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
    return has_cache(s, layer);
}

/* ---- reading a header ---------------------------------------------------- */

static void read_layers(struct shape *s)
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

static void read_heads(struct shape *s)
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

static void read_pattern(struct shape *s)
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

static void read_window(struct shape *s)
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

static void read_shared(struct shape *s)
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

static void read_indexer(struct shape *s)
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
        if (has_window(s, i) && has_indexer(s, i))
            s->exact = false; /* cells of two numbers in one layer */
}

/* ---- recurrent state ----------------------------------------------------- */

/* "n_embd_r() + n_embd_s()" of convolutions and states of that many channels */
static uint64_t ssm_state(uint64_t kernel, uint64_t inner, uint64_t state,
                          uint64_t groups)
{
    uint64_t channels =
        gov__sat_add(inner, gov__sat_mul(gov__sat_mul(2, groups), state));

    return gov__sat_add(gov__sat_mul(kernel != 0 ? kernel - 1 : 0, channels),
                        gov__sat_mul(state, inner));
}

static uint64_t kda_state(uint64_t kernel, uint64_t head, uint64_t heads)
{
    uint64_t inner = gov__sat_mul(heads, head);

    return gov__sat_add(
        gov__sat_mul(gov__sat_mul(3, kernel != 0 ? kernel - 1 : 3), inner),
        gov__sat_mul(head, inner));
}

static uint64_t state_numbers(struct shape *s)
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
        return ssm_state(needed(s, GOV__KEY_SSM_CONV_KERNEL),
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
        return kda_state(needed(s, GOV__KEY_SSM_CONV_KERNEL), head, heads);
    case GOV__RECURRENCE_LIGHTNING:
        return gov__sat_mul(gov__sat_mul(s->k, s->k), heads);
    }
    return 0;
}

static void read_state(struct shape *s)
{
    s->state = gov__sat_mul(state_numbers(s), STATE_BYTES);
    if (s->arch->recurrent != GOV__RECURRENT_INTERVAL)
        return;
    check_list(s, GOV__KEY_RECURRENT_LAYERS, s->layers);
    if (s->header->number[GOV__KEY_RECURRENT_LAYERS].count == 0 &&
        single(s, GOV__KEY_FULL_INTERVAL, 1) == 0)
        s->exact = false;
}

/* "ple_conv_state()": what the one layer with an n-gram embedding has more. */
static uint64_t ple_state(struct shape *s, uint32_t layer)
{
    const struct gov__number *at = &s->header->number[GOV__KEY_PLE_LAYERS];
    uint64_t kernel;

    if (!(s->arch->flags & GOV__PLE) || at->count == 0)
        return 0;
    kernel = needed(s, GOV__KEY_PLE_CONV_KERNEL);
    if (at->count > 1 || !is_recurrent(s, at->one) || kernel == 0)
        s->exact = false;
    if (layer != at->one || kernel == 0)
        return 0;
    return gov__sat_mul(
        gov__sat_mul(gov__sat_mul(kernel - 1, needed(s, GOV__KEY_PLE_NGRAM)),
                     gov__sat_mul(needed(s, GOV__KEY_HYPER_CONNECTIONS),
                                  needed(s, GOV__KEY_EMBEDDING))),
        STATE_BYTES);
}

/* ---- bounds -------------------------------------------------------------- */

/* What is not known is given as a range. The least is nothing: it may be an
 * encoder. The most is attention to everything in every layer, with the largest
 * heads the header speaks of, or keys and values as wide as the model where it
 * speaks of none, an indexer where it names one, and all kinds of recurrent
 * state for which there are numbers, in every layer. DeepSeek-V4, with keys of
 * a window and of a part of what was before it, is within that. */
static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t most_length(const struct gov__header *header, enum gov__key key,
                            enum gov__key with_window)
{
    const struct gov__number *heads = &header->number[GOV__KEY_HEADS];
    uint64_t width = gov__header_largest(header, GOV__KEY_EMBEDDING);
    uint64_t length = gov__header_largest(header, key), fewest = 0;

    if (length == 0) {
        for (uint32_t i = 0; i < heads->count; i++) {
            uint64_t some = heads->count > 1 ? heads->each[i] : heads->one;

            if (some != 0 && (fewest == 0 || some < fewest))
                fewest = some;
        }
        length = fewest != 0 ? width / fewest : width;
    }
    return larger(length, gov__header_largest(header, with_window));
}

static uint64_t most_heads(const struct gov__header *header)
{
    uint64_t heads = gov__header_largest(header, GOV__KEY_HEADS_KV);

    if (heads == 0)
        heads = gov__header_largest(header, GOV__KEY_HEADS);
    return heads != 0 ? heads : 1;
}

/* What DeepSeek-V4 gathers until it compresses it ("llama_dsv4_comp_state"):
 * keys and scores of 128 tokens; or of 8, twice, with the indexer's. */
static uint64_t most_compressor(const struct gov__header *header)
{
    uint64_t k =
        most_length(header, GOV__KEY_KEY_LENGTH, GOV__KEY_KEY_LENGTH_WINDOW);
    uint64_t indexer = gov__header_largest(header, GOV__KEY_INDEXER_KEY_LENGTH);

    return gov__sat_mul(
        2, gov__sat_add(gov__sat_mul(128, k), gov__sat_mul(16, indexer)));
}

static uint64_t most_state(const struct gov__header *header)
{
    uint64_t width = gov__header_largest(header, GOV__KEY_EMBEDDING);
    uint64_t heads = gov__header_largest(header, GOV__KEY_HEADS);
    uint64_t wkv = gov__header_largest(header, GOV__KEY_WKV_HEAD);
    uint64_t cache = gov__header_largest(header, GOV__KEY_SHORTCONV);
    uint64_t kda = gov__header_largest(header, GOV__KEY_KDA_HEAD);
    uint64_t kernel = gov__header_largest(header, GOV__KEY_SSM_CONV_KERNEL);
    uint64_t shift = gov__header_largest(header, GOV__KEY_TOKEN_SHIFT);
    uint64_t sum =
        ssm_state(kernel, gov__header_largest(header, GOV__KEY_SSM_INNER),
                  gov__header_largest(header, GOV__KEY_SSM_STATE),
                  gov__header_largest(header, GOV__KEY_SSM_GROUPS));

    if (wkv != 0)
        sum = gov__sat_add(
            sum, gov__sat_mul(width, gov__sat_add(larger(shift, 2), wkv)));
    if (cache != 0)
        sum = gov__sat_add(sum, gov__sat_mul(width, cache - 1));
    if (kda != 0)
        sum = gov__sat_add(sum, kda_state(kernel, kda, larger(heads, 1)));
    if (header->number[GOV__KEY_COMPRESS_RATIOS].count != 0)
        sum = gov__sat_add(sum, most_compressor(header));
    return gov__sat_mul(sum, STATE_BYTES);
}

static void most_of_layer(const struct gov__header *header,
                          struct gov__layer_state *out)
{
    uint64_t heads = most_heads(header);
    uint64_t indexer = gov__header_largest(header, GOV__KEY_INDEXER_KEY_LENGTH);
    uint64_t k =
        most_length(header, GOV__KEY_KEY_LENGTH, GOV__KEY_KEY_LENGTH_WINDOW);
    uint64_t v = most_length(header, GOV__KEY_VALUE_LENGTH,
                             GOV__KEY_VALUE_LENGTH_WINDOW);

    out->k = gov__sat_add(gov__sat_mul(heads, k), indexer);
    out->v = gov__sat_add(gov__sat_mul(heads, v), indexer != 0 ? v : 0);
    out->plain_v = out->v;
    out->state = most_state(header);
}

/* ---- one layer ----------------------------------------------------------- */

static const struct gov__architecture plain = {.name = "",
                                               .keeps = GOV__KEEPS_UNKNOWN};

static struct shape read_shape(const struct gov__header *header)
{
    struct shape s = {.header = header, .exact = true};

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
    read_state(&s);
    (void)ple_state(&s, 0);
    for (uint32_t i = 0; i < s.layers; i++)
        s.longest_v = larger(
            s.longest_v, gov__sat_mul(kv_heads(&s, i),
                                      has_window(&s, i) ? s.window_v : s.v));
    return s;
}

static void layer_of(struct shape *s, uint32_t layer,
                     struct gov__layer_state *out)
{
    uint64_t heads = kv_heads(s, layer);

    out->window = has_window(s, layer) && has_cache(s, layer);
    if (has_cache(s, layer)) {
        out->k = gov__sat_mul(heads, out->window ? s->window_k : s->k);
        if (!s->latents) {
            out->v = gov__sat_mul(heads, out->window ? s->window_v : s->v);
            out->plain_v = s->longest_v;
        }
    }
    if (has_indexer(s, layer)) {
        out->k = gov__sat_add(out->k, s->indexer_k);
        if (!s->latents && s->arch->indexer != GOV__INDEXER_ATTENTION) {
            out->v = gov__sat_add(out->v, s->v);
            out->plain_v = gov__sat_add(out->plain_v, s->v);
        }
    }
    if (is_recurrent(s, layer))
        out->state = gov__sat_add(s->state, ple_state(s, layer));
}

void gov__state_layer(const struct gov__header *header,
                      const struct gov__state *state, uint32_t layer,
                      struct gov__layer_state *out)
{
    struct shape s;

    *out = (struct gov__layer_state){0};
    if (layer >= state->layers)
        return;
    if (!state->known) {
        most_of_layer(header, out);
        return;
    }
    s = read_shape(header);
    layer_of(&s, layer, out);
}

/* ---- the model ----------------------------------------------------------- */

static uint32_t block_of(uint32_t block, uint64_t length)
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
static void find_blocks(const struct shape *s, struct gov__state *out)
{
    for (uint32_t i = 0; i < s->layers; i++) {
        bool window = has_window(s, i);

        out->k_block = block_of(out->k_block, window ? s->window_k : s->k);
        out->v_block = block_of(out->v_block, window ? s->window_v : s->v);
    }
    out->k_block = block_of(out->k_block, s->indexer_k);
}

static void add_layer(struct gov__state *out,
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

static void unknown_state(const struct gov__header *header,
                          struct gov__state *out)
{
    uint64_t blocks = gov__header_largest(header, GOV__KEY_BLOCKS);
    uint64_t loops = gov__header_largest(header, GOV__KEY_LOOPS);
    struct gov__layer_state layer = {0};

    blocks = gov__sat_mul(blocks, larger(loops, 1));
    out->layers =
        (uint32_t)(blocks > GOV__LAYERS_MAX ? GOV__LAYERS_MAX : blocks);
    most_of_layer(header, &layer);
    for (uint32_t i = 0; i < out->layers; i++)
        add_layer(out, &layer);
    out->k_block =
        block_of(block_of(0, most_length(header, GOV__KEY_KEY_LENGTH,
                                         GOV__KEY_KEY_LENGTH_WINDOW)),
                 gov__header_largest(header, GOV__KEY_INDEXER_KEY_LENGTH));
    out->v_block = block_of(0, most_length(header, GOV__KEY_VALUE_LENGTH,
                                           GOV__KEY_VALUE_LENGTH_WINDOW));
}

void gov__state_of(const struct gov__header *header, struct gov__state *out)
{
    struct shape s = read_shape(header);

    *out = (struct gov__state){.known = s.exact};
    out->no_flash = (s.arch->flags & GOV__NO_FLASH) != 0;
    out->apart = s.arch->keeps == GOV__KEEPS_COMPRESSED;
    out->same_type = s.latents || out->apart;
    if (!s.exact) {
        unknown_state(header, out);
        return;
    }
    out->cacheless = s.arch->keeps == GOV__KEEPS_NOTHING;
    out->layers = s.layers;
    for (uint32_t i = 0; i < s.layers; i++) {
        struct gov__layer_state layer = {0};

        layer_of(&s, i, &layer);
        add_layer(out, &layer);
        if (layer.window)
            out->window = s.window;
    }
    out->least_k = out->k;
    out->least_v = out->v;
    out->least_state = out->state;
    find_blocks(&s, out);
}
