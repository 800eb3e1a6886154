/* SPDX-License-Identifier: MIT */
/* What is not known is given as a range. The least is nothing: it may be an
 * encoder. The most is attention to everything in every layer, with the largest
 * heads the header speaks of, or keys and values as wide as the model where it
 * speaks of none, an indexer where it names one, and all kinds of recurrent
 * state for which there are numbers, in every layer. DeepSeek-V4, with keys of
 * a window and of a part of what was before it, is within that. */
#include "governor/model/state_priv.h"

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
        gov__ssm_state(kernel, gov__header_largest(header, GOV__KEY_SSM_INNER),
                       gov__header_largest(header, GOV__KEY_SSM_STATE),
                       gov__header_largest(header, GOV__KEY_SSM_GROUPS));

    if (wkv != 0)
        sum = gov__sat_add(
            sum, gov__sat_mul(width, gov__sat_add(larger(shift, 2), wkv)));
    if (cache != 0)
        sum = gov__sat_add(sum, gov__sat_mul(width, cache - 1));
    if (kda != 0)
        sum = gov__sat_add(sum, gov__kda_state(kernel, kda, larger(heads, 1)));
    if (header->number[GOV__KEY_COMPRESS_RATIOS].count != 0)
        sum = gov__sat_add(sum, most_compressor(header));
    return gov__sat_mul(sum, STATE_BYTES);
}

void gov__state_most(const struct gov__header *header,
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

void gov__state_bounds(const struct gov__header *header, struct gov__state *out)
{
    uint64_t blocks = gov__header_largest(header, GOV__KEY_BLOCKS);
    uint64_t loops = gov__header_largest(header, GOV__KEY_LOOPS);
    struct gov__layer_state layer = {0};

    blocks = gov__sat_mul(blocks, larger(loops, 1));
    out->layers =
        (uint32_t)(blocks > GOV__LAYERS_MAX ? GOV__LAYERS_MAX : blocks);
    gov__state_most(header, &layer);
    for (uint32_t i = 0; i < out->layers; i++)
        gov__state_add(out, &layer);
    out->k_block = gov__state_block(
        gov__state_block(0, most_length(header, GOV__KEY_KEY_LENGTH,
                                        GOV__KEY_KEY_LENGTH_WINDOW)),
        gov__header_largest(header, GOV__KEY_INDEXER_KEY_LENGTH));
    out->v_block =
        gov__state_block(0, most_length(header, GOV__KEY_VALUE_LENGTH,
                                        GOV__KEY_VALUE_LENGTH_WINDOW));
}
