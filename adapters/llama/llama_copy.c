/* SPDX-License-Identifier: MIT */
/* While the engine copies weights out of its mapping, to repack them: they are read
 * ahead of it and dropped behind it, so that its copying and the disk go on at the
 * same time and the file is not in memory twice. Owns session->copying. */
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "adapters/llama/llama_session.h"

/* Layers ahead of the one that is copied: repacking one takes longer than reading
 * it (33 MB: 9 ms and 6). */
#define AHEAD 1
/* Longest that a layer's copy waits for it. */
#define PATIENCE_MS 1000

/* What there is of a model: all of it, in layers, and its largest layer. */
struct sizes {
    uint64_t all, layers, largest;
    uint64_t embedding, heads;
};

static bool is_layer(const struct gov_unit *unit)
{
    return unit->kind == GOV_UNIT_LAYER || unit->kind == GOV_UNIT_EXPERTS;
}

static void measure(const gov_session *session, struct sizes *out)
{
    size_t count;
    const struct gov_unit *units = gov_model_units(session->file, &count);
    uint64_t layer = 0;

    *out = (struct sizes){.largest = 1};
    for (size_t i = 0; i < count; i++) {
        out->all += units[i].bytes;
        if (units[i].kind == GOV_UNIT_EMBEDDING)
            out->embedding += units[i].bytes;
        if (units[i].kind == GOV_UNIT_OUTPUT)
            out->heads += units[i].bytes;
        if (!is_layer(&units[i]))
            continue;
        if (i == 0 || units[i].layer != units[i - 1].layer)
            layer = 0;
        layer += units[i].bytes;
        out->layers += units[i].bytes;
        if (layer > out->largest)
            out->largest = layer;
    }
}

/* The engine says how many bytes there were, not of which tensor. When the first one
 * is the embedding, which is not copied, all that is of no layer comes first. */
static bool begins_with_embedding(const struct sizes *sizes, float share)
{
    double first = (double)share * (double)sizes->all;

    /* A float has 24 bits. */
    return sizes->embedding > 0 && fabs(first - (double)sizes->embedding) <
                                       (double)sizes->all / (1 << 20);
}

/* Else the layers are somewhere up to what is of none further on. */
void gov__llama_copy_begin(gov_session *session, float share)
{
    struct gov_weights_options options = gov_weights_options_default();
    struct sizes sizes;

    measure(session, &sizes);
    /* Where heads are not copied they are used from the mapping. */
    options.hot_bytes = sizes.heads;
    options.ahead = AHEAD;
    if (!begins_with_embedding(&sizes, share))
        options.ahead +=
            (uint32_t)((sizes.all - sizes.layers) / sizes.largest) + 1;
    options.direct = true;
    options.patience_ms = PATIENCE_MS;
    options.places = session->places;
    (void)gov_model_files(session->file, &options.place_count);
    /* What the engine would have asked for. */
    if (gov_weights_adopt(&session->copying, session->file, &options, NULL) !=
        GOV_OK)
        gov__llama_advise(session, POSIX_MADV_WILLNEED);
}

/* At the first layer that may not have been copied whole. */
void gov__llama_copy_reached(gov_session *session, float share)
{
    size_t count;
    const struct gov_unit *units = gov_model_units(session->file, &count);
    struct sizes sizes;
    uint64_t sum = 0, at;
    size_t unit = count;

    if (session->copying == NULL)
        return;
    measure(session, &sizes);
    at = (uint64_t)((double)share * (double)sizes.all);
    at -= at < sizes.all - sizes.layers ? at : sizes.all - sizes.layers;
    for (size_t i = 0; i < count && sum <= at; i++)
        if (is_layer(&units[i])) {
            sum += units[i].bytes;
            unit = i;
        }
    if (unit < count)
        gov_weights_reached(session->copying, (uint32_t)unit);
}

/* What stays in the mapping of a layer are norms: a page each, where the system would
 * read megabytes around it (measured, 1 GB: 400 MB, and 0.1 s of the first token). */
void gov__llama_copy_end(gov_session *session)
{
    gov_weights_release(session->copying);
    session->copying = NULL;
    gov__llama_advise(session, POSIX_MADV_RANDOM);
}
