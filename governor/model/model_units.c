/* SPDX-License-Identifier: MIT */
/* Groups tensors into units by name and place.
 *
 * The rule: walking through the file, consecutive tensors of the same layer (or
 * of the embedding, or of what is global) form one unit. In most files every
 * layer lies in one piece, and that gives one unit for each. Where it does not,
 * a layer has several units with the same number: files converted from several
 * safetensors shards split the layers at the shards' edges, and often the
 * output matrix lies at the front and its norm at the end. So units never
 * overlap, and no unit drags bytes along that something else needs. */
#include <stdlib.h>
#include <string.h>

#include "governor/model/model_priv.h"

struct key {
    gov_unit_kind kind;
    uint32_t stage; /* encoder, then the rest */
    uint32_t layer;
    uint32_t late; /* within a layer, attention comes before the rest */
};

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Reads "N." and returns what follows; NULL if that is not there or absurd. */
static const char *layer_number(const char *text, uint32_t *out)
{
    const char *at = text;

    *out = 0;
    while (*at >= '0' && *at <= '9' && *out < GOV__LAYERS_MAX)
        *out = *out * 10 + (uint32_t)(*at++ - '0');
    return at != text && *at == '.' && *out < GOV__LAYERS_MAX ? at + 1 : NULL;
}

/* Names: LLM_TENSOR_NAMES in llama.cpp's src/llama-arch.cpp. */
static struct key key_of(const char *tensor)
{
    static const char *const used_first[] = {"token_embd", "token_types",
                                             "position_embd", "per_layer_"};
    struct key key = {GOV_UNIT_OUTPUT, 0, 0, 0};
    const char *block = strstr(tensor, "blk."), *rest = NULL;

    if (block != NULL && (block == tensor || block[-1] == '.'))
        rest = layer_number(block + 4, &key.layer);
    if (rest != NULL) {
        key.kind = GOV_UNIT_LAYER;
        key.stage = !starts(tensor, "enc.");
        key.late = !starts(rest, "attn");
        return key;
    }
    key.layer = 0;
    key.late = starts(tensor, "output.");
    for (size_t i = 0; i < sizeof(used_first) / sizeof(used_first[0]); i++)
        if (starts(tensor, used_first[i]))
            key.kind = GOV_UNIT_EMBEDDING;
    return key;
}

static bool same_unit(const struct key *a, const struct key *b)
{
    return a->kind == b->kind && a->stage == b->stage && a->layer == b->layer;
}

/* A unit to be: the places first..last-1, in order of offset. */
struct run {
    struct key key;
    uint64_t offset, end, tensor_bytes;
    size_t first, last;
    uint32_t tensors;
};

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int by_first_use(const void *left, const void *right)
{
    const struct run *a = left, *b = right;
    int order = ORDER(a->key.kind, b->key.kind);

    if (order == 0)
        order = ORDER(a->key.stage, b->key.stage);
    if (order == 0)
        order = ORDER(a->key.layer, b->key.layer);
    if (order == 0)
        order = ORDER(a->key.late, b->key.late);
    return order != 0 ? order : ORDER(a->offset, b->offset);
}

/* Finds the runs and returns how many; runs NULL only counts. A tensor without
 * bytes goes with the run it stands in. */
static size_t find_runs(const struct gov__gguf *gguf, struct run *runs)
{
    struct key last = {0};
    size_t count = 0;

    for (size_t i = 0; i < gguf->count; i++) {
        const struct gov_tensor *tensor =
            &gguf->tensors[gguf->places[i].tensor];
        struct key key = key_of(tensor->name);
        struct run *run;

        if (tensor->bytes != 0 && (count == 0 || !same_unit(&key, &last))) {
            last = key;
            if (runs != NULL)
                runs[count] = (struct run){.key = key,
                                           .offset = tensor->file_offset,
                                           .first = count == 0 ? 0 : i};
            count++;
        }
        if (runs == NULL || count == 0)
            continue;
        run = &runs[count - 1];
        run->last = i + 1;
        if (tensor->bytes != 0) {
            run->end = tensor->file_offset + tensor->bytes;
            run->tensor_bytes += tensor->bytes;
            run->key.late = run->key.late && key.late;
        }
    }
    return count;
}

gov_status gov__model_make_units(struct gov_model *model, const char *label,
                                 gov_error *err)
{
    struct gov__gguf *gguf = &model->gguf;
    struct gov_alloc *alloc = &model->alloc;
    size_t count = find_runs(gguf, NULL);
    struct run *runs;

    if (count == 0)
        return gov_fail(err, GOV_E_FORMAT, 0,
                        "%s has no weights and so is not a model; name a file "
                        "with weights",
                        label);
    runs = alloc->alloc(alloc->ctx, count * sizeof(*runs));
    model->units = alloc->alloc(alloc->ctx, count * sizeof(*model->units));
    if (runs == NULL || model->units == NULL) {
        alloc->release(alloc->ctx, runs);
        return gov_fail(err, GOV_E_NOMEM, 0,
                        "out of memory while reading model %s; free some and "
                        "try again",
                        label);
    }
    find_runs(gguf, runs);
    qsort(runs, count, sizeof(*runs), by_first_use);
    for (size_t i = 0; i < count; i++) {
        const struct run *run = &runs[i];

        model->units[i] = (struct gov_unit){
            .kind = run->key.kind,
            .layer = run->key.layer,
            .file_offset = run->offset,
            .bytes = run->end - run->offset,
            .tensor_bytes = run->tensor_bytes,
            .tensors = (uint32_t)(run->last - run->first),
        };
        for (size_t n = run->first; n < run->last; n++)
            gguf->tensors[gguf->places[n].tensor].unit = (uint32_t)i;
    }
    model->unit_count = count;
    alloc->release(alloc->ctx, runs);
    return GOV_OK;
}
