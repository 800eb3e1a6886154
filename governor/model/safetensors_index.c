/* SPDX-License-Identifier: MIT */
/* A model of several files: model.safetensors.index.json says in which of them,
 * its shards, each tensor is. Believes only that: what is in a shard is what the
 * shard's own header says. */
#include <stdlib.h>
#include <string.h>

#include "governor/model/model_text.h"
#include "governor/model/safetensors_priv.h"

struct named {
    const char *tensor;
    const char *shard; /* one of the shards below, the same pointer */
};

struct index {
    struct gov__safetensors *reader;
    const char *label;
    struct named *named; /* what the weight map says */
    size_t count, room;
    const char **shards; /* sorted */
    size_t shard_count, shard_room;
};

static gov_status damaged(const struct index *index, const char *fact,
                          const char *name)
{
    return gov_fail(index->reader->err, GOV_E_FORMAT, 0,
                    "model %s is damaged: %s \"%s\"; download it again",
                    index->label, fact,
                    gov__text_show(name, strlen(name)).text);
}

/* Makes room for one more in an array that holds `count` of `*room`, each of that
 * size. */
static bool grow(const struct gov_alloc *alloc, void **array, size_t *room,
                 size_t count, size_t each)
{
    size_t more = *room != 0 ? 2 * *room : 64;
    void *larger;

    if (count < *room)
        return true;
    larger = alloc->alloc(alloc->ctx, more * each);
    if (larger == NULL)
        return false;
    if (count > 0)
        memcpy(larger, *array, count * each);
    alloc->release(alloc->ctx, *array);
    *array = larger;
    *room = more;
    return true;
}

/* ---- the weight map ------------------------------------------------------------- */

/* The shard of that name, which it becomes if there is none yet; NULL without
 * memory. */
static const char *keep_shard(struct index *index, const char *name)
{
    struct gov__safetensors *r = index->reader;
    size_t low = 0, high = index->shard_count;
    void *shards = index->shards;
    const char *kept;
    bool grown;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, index->shards[middle]);

        if (order == 0)
            return index->shards[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    grown = grow(&r->header->alloc, &shards, &index->shard_room,
                 index->shard_count, sizeof(*index->shards));
    index->shards = shards;
    kept = gov__header_keep(r->header, name, strlen(name));
    if (!grown || kept == NULL)
        return NULL;
    memmove(index->shards + low + 1, index->shards + low,
            (index->shard_count - low) * sizeof(*index->shards));
    index->shards[low] = kept;
    index->shard_count++;
    return kept;
}

/* A plain name, so that no index reaches out of its directory. */
static gov_status check_shard(const struct index *index, const char *name)
{
    if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return damaged(index, "it names a shard that is no plain file name,",
                       name);
    return GOV_OK;
}

static gov_status read_named(struct index *index)
{
    struct gov__safetensors *r = index->reader;
    char tensor[GOV__TENSOR_NAME_LIMIT + 1], shard[GOV__TENSOR_NAME_LIMIT + 1];
    void *array = index->named;
    struct named named;
    gov_status status = gov__safetensors_name(r, tensor, "a tensor's");
    bool grown;

    if (status != GOV_OK)
        return status;
    if (!gov__json_colon(&r->json))
        return r->cursor.status;
    status = gov__safetensors_name(r, shard, "a shard's");
    if (status == GOV_OK)
        status = check_shard(index, shard);
    if (status != GOV_OK)
        return status;
    named.shard = keep_shard(index, shard);
    named.tensor = gov__header_keep(r->header, tensor, strlen(tensor));
    grown = grow(&r->header->alloc, &array, &index->room, index->count,
                 sizeof(*index->named));
    index->named = array;
    if (!grown || named.shard == NULL || named.tensor == NULL)
        return gov__header_no_memory(index->label, r->err);
    if (index->count == GOV__SAFETENSORS_TENSORS ||
        index->shard_count > GOV__SAFETENSORS_SHARDS)
        return damaged(index, "it has more entries than any needs, at", tensor);
    index->named[index->count++] = named;
    return GOV_OK;
}

static gov_status read_map(struct index *index)
{
    struct gov__safetensors *r = index->reader;
    bool more;

    if (!gov__json_enter(&r->json, '{', &more))
        return r->cursor.status;
    while (more) {
        gov_status status = read_named(index);

        if (status != GOV_OK)
            return status;
        if (!gov__json_more(&r->json, '{', &more))
            return r->cursor.status;
    }
    return GOV_OK;
}

static gov_status read_index(struct index *index)
{
    struct gov__safetensors *r = index->reader;
    bool more, seen = false;
    char key[16];
    uint64_t bytes;

    if (!gov__json_enter(&r->json, '{', &more))
        return r->cursor.status;
    while (more) {
        gov_status status = GOV_OK;

        if (!gov__json_name(&r->json, key, sizeof(key), &bytes))
            return r->cursor.status;
        if (bytes == 10 && memcmp(key, "weight_map", 10) == 0) {
            if (seen)
                return damaged(index, "it has two of", "weight_map");
            seen = true;
            status = read_map(index);
        } else if (!gov__json_skip(&r->json)) { /* total_size: often wrong */
            status = r->cursor.status;
        }
        if (status != GOV_OK)
            return status;
        if (!gov__json_more(&r->json, '{', &more))
            return r->cursor.status;
    }
    if (!gov__json_end(&r->json))
        return r->cursor.status;
    if (index->count == 0)
        return damaged(index, "it names no tensors in", "weight_map");
    return GOV_OK;
}

static gov_status read_index_file(struct index *index, const char *path)
{
    struct gov__safetensors *r = index->reader;
    struct gov__model_file file;
    gov_status status = gov__model_file_open(&file, path, r->err);

    if (status != GOV_OK)
        return status;
    if (file.id.bytes > GOV__SAFETENSORS_LIMIT) {
        status =
            gov_fail(r->err, GOV_E_FORMAT, 0,
                     "model %s is larger than the %u MB that any index "
                     "needs; download it again",
                     file.label, (unsigned)(GOV__SAFETENSORS_LIMIT / 1000000));
        goto close_file;
    }
    status = gov__safetensors_begin(r, &file);
    if (status == GOV_OK) {
        gov__json_begin(&r->json, &r->cursor, file.id.bytes);
        status = read_index(index);
    }
    if (status == GOV_OK)
        status = gov__model_file_unchanged(&file, r->err);
    gov__safetensors_end(r);
close_file:
    gov__model_file_close(&file);
    return status;
}

/* ---- the shards ------------------------------------------------------------------- */

static gov_status read_shard(struct index *index, const char *path,
                             const char *shard)
{
    struct gov__safetensors *r = index->reader;
    char at[GOV__PATH_LIMIT];
    gov_status status = gov__safetensors_beside(at, path, shard, r->err);

    if (status != GOV_OK)
        return status;
    status = gov__safetensors_add(r, at);
    if (status == GOV_E_NOT_FOUND)
        return gov_fail(r->err, GOV_E_NOT_FOUND, 0,
                        "model %s lacks its shard \"%s\"; download that too",
                        index->label,
                        gov__text_show(shard, strlen(shard)).text);
    return status;
}

static int by_tensor(const void *left, const void *right)
{
    const struct named *a = left, *b = right;

    return strcmp(a->tensor, b->tensor);
}

/* Sorts what the index names and what the shards hold, and walks along both. A
 * shard may hold more than is named: whoever loads it loads that too. */
static gov_status match(struct index *index)
{
    struct gov__safetensors *r = index->reader;
    const struct gov_alloc *alloc = &r->header->alloc;
    size_t count = r->header->count, at = 0;
    struct named *held = alloc->alloc(alloc->ctx, (count + 1) * sizeof(*held));
    gov_status status = GOV_OK;

    if (held == NULL)
        return gov__header_no_memory(index->label, r->err);
    for (size_t i = 0; i < count; i++)
        held[i] = (struct named){r->header->tensors[i].name,
                                 index->shards[r->header->tensors[i].file]};
    qsort(held, count, sizeof(*held), by_tensor);
    qsort(index->named, index->count, sizeof(*index->named), by_tensor);
    for (size_t i = 0; i < index->count && status == GOV_OK; i++) {
        const struct named *wanted = &index->named[i];

        if (i > 0 && by_tensor(wanted - 1, wanted) == 0)
            status = damaged(index, "it names twice tensor", wanted->tensor);
        while (at < count && strcmp(held[at].tensor, wanted->tensor) < 0)
            at++;
        if (status == GOV_OK &&
            (at == count || by_tensor(&held[at], wanted) != 0 ||
             held[at].shard != wanted->shard))
            status = damaged(index, "the shard it names does not hold tensor",
                             wanted->tensor);
    }
    alloc->release(alloc->ctx, held);
    return status;
}

gov_status gov__safetensors_index(struct gov__safetensors *reader,
                                  const char *path)
{
    const struct gov_alloc *alloc = &reader->header->alloc;
    struct index index = {.reader = reader};
    char label[GOV__LABEL_BYTES];
    gov_status status;

    index.label = gov__model_file_label(label, path);
    status = read_index_file(&index, path);
    for (size_t i = 0; i < index.shard_count && status == GOV_OK; i++)
        status = read_shard(&index, path, index.shards[i]);
    if (status == GOV_OK)
        status = gov__safetensors_check(reader, label);
    if (status == GOV_OK && index.named != NULL && index.shards != NULL)
        status = match(&index);
    alloc->release(alloc->ctx, index.named);
    alloc->release(alloc->ctx, index.shards);
    return status;
}
