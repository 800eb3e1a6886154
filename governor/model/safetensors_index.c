/* SPDX-License-Identifier: MIT */
/* A model of several files: model.safetensors.index.json says in which of them,
 * its shards, each tensor is. Believes only that: what is in a shard is what the
 * shard's own header says. And where in a directory a model is, and what lies
 * beside it. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "governor/model/config_json.h"
#include "governor/model/model_text.h"
#include "governor/model/safetensors.h"
#include "governor/model/safetensors_priv.h"

#define INDEX "model.safetensors.index.json"
#define SINGLE "model.safetensors"
#define TAIL ".safetensors"

/* gov__header_keep() takes no more. */
#define PATH_LIMIT 4000

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
                    gov__safetensors_show(index->reader, name, strlen(name)));
}

/* ---- paths -------------------------------------------------------------------- */

/* Writes the path of a file in the directory of `path`, or in `path` itself when
 * it is a directory; false when it is too long. */
static bool beside(char out[PATH_LIMIT], const char *path, bool is_directory,
                   const char *name)
{
    const char *slash = strrchr(path, '/');
    size_t bytes = is_directory    ? strlen(path)
                   : slash != NULL ? (size_t)(slash - path) + 1
                                   : 0;
    size_t more = strlen(name) + 2;

    if (bytes > PATH_LIMIT - more || more > PATH_LIMIT)
        return false;
    memcpy(out, path, bytes);
    if (is_directory && bytes > 0 && path[bytes - 1] != '/')
        out[bytes++] = '/';
    memcpy(out + bytes, name, strlen(name) + 1);
    return true;
}

static gov_status too_long(const char *path, gov_error *err)
{
    char text[160];

    return gov_fail(err, GOV_E_INVALID, 0,
                    "the path of model %s is too long; move it",
                    gov__text_path(text, sizeof(text), path));
}

static bool ends(const char *text, const char *tail)
{
    size_t a = strlen(text), b = strlen(tail);

    return a > b && strcmp(text + a - b, tail) == 0;
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
    grown =
        gov__safetensors_grow(&r->header->alloc, &shards, &index->shard_room,
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
    if (index->count == GOV__SAFETENSORS_TENSORS ||
        index->shard_count > GOV__SAFETENSORS_SHARDS)
        return damaged(index, "it has more entries than any needs, at", tensor);
    named.shard = keep_shard(index, shard);
    named.tensor = gov__header_keep(r->header, tensor, strlen(tensor));
    grown = gov__safetensors_grow(&r->header->alloc, &array, &index->room,
                                  index->count, sizeof(*index->named));
    index->named = array;
    if (!grown || named.shard == NULL || named.tensor == NULL)
        return gov__safetensors_no_memory(r, index->label);
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
    char at[PATH_LIMIT];
    gov_status status;

    if (!beside(at, path, false, shard))
        return too_long(path, r->err);
    status = gov__safetensors_add(r, at);
    if (status == GOV_E_NOT_FOUND)
        return gov_fail(r->err, GOV_E_NOT_FOUND, 0,
                        "model %s lacks its shard \"%s\"; download that too",
                        index->label,
                        gov__safetensors_show(r, shard, strlen(shard)));
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
        return gov__safetensors_no_memory(r, index->label);
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

static gov_status check(struct gov__safetensors *r, const char *label)
{
    if (r->header->count == 0)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "%s has no tensors and so is not a model; name a file "
                        "with weights",
                        label);
    return gov__header_check(r->header, label, r->err);
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
        status = check(reader, label);
    if (status == GOV_OK && index.named != NULL && index.shards != NULL)
        status = match(&index);
    alloc->release(alloc->ctx, index.named);
    alloc->release(alloc->ctx, index.shards);
    return status;
}

/* ---- finding the model ------------------------------------------------------------- */

/* GOV_OK when there is such a file; GOV_E_NOT_FOUND fills no error. */
static gov_status probe(const char *path, gov_error *err)
{
    struct gov__model_file file;
    gov_error why = {0};
    gov_status status = gov__model_file_open(&file, path, &why);

    gov__model_file_close(&file);
    if (status != GOV_OK && status != GOV_E_NOT_FOUND && err != NULL)
        *err = why;
    return status;
}

/* The one *.safetensors of a directory. */
static gov_status find_only(char out[PATH_LIMIT], const char *directory,
                            gov_error *err)
{
    char text[120];
    struct dirent *entry;
    unsigned found = 0;
    bool fits = true;
    DIR *dir = opendir(directory);

    gov__text_path(text, sizeof(text), directory);
    if (dir == NULL)
        return gov_fail(err,
                        errno == EACCES                       ? GOV_E_PERMISSION
                        : errno == ENOENT || errno == ENOTDIR ? GOV_E_NOT_FOUND
                                                              : GOV_E_IO,
                        errno, "cannot read directory %s", text);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own */
    while ((entry = readdir(dir)) != NULL) {
        if (!ends(entry->d_name, TAIL) || entry->d_name[0] == '.')
            continue;
        found++;
        fits = beside(out, directory, true, entry->d_name);
    }
    closedir(dir);
    if (found == 1)
        return fits ? GOV_OK : too_long(directory, err);
    return gov_fail(
        err, GOV_E_NOT_FOUND, 0,
        found == 0 ? "there is no model in %s, neither " INDEX " nor " SINGLE
                     " nor another *.safetensors; name the directory of one"
                   : "there are several *.safetensors in %s, but neither " INDEX
                     " nor " SINGLE "; name one of them",
        text);
}

static gov_status find_in(char out[PATH_LIMIT], const char *directory,
                          gov_error *err)
{
    static const char *const names[] = {INDEX, SINGLE};

    for (unsigned i = 0; i < 2; i++) {
        gov_status status;

        if (!beside(out, directory, true, names[i]))
            return too_long(directory, err);
        status = probe(out, err);
        if (status != GOV_E_NOT_FOUND)
            return status;
    }
    return find_only(out, directory, err);
}

/* NAME-00001-of-00003.safetensors is a part, and NAME.safetensors.index.json says
 * of what. Writes that path into out; false when it is no part. */
static bool index_of(char out[PATH_LIMIT], const char *path)
{
    static const char part[] = "-00000-of-00000" TAIL;
    size_t bytes = strlen(path), tail = sizeof(part) - 1;
    const char *at = path + bytes - tail;

    if (bytes <= tail || bytes - tail > PATH_LIMIT - 40)
        return false;
    for (size_t i = 0; i < tail; i++)
        if (part[i] == '0' ? at[i] < '0' || at[i] > '9' : at[i] != part[i])
            return false;
    if (memcmp(at + 10, "00001", 5) == 0) /* of one */
        return false;
    memcpy(out, path, bytes - tail);
    memcpy(out + bytes - tail, TAIL ".index.json", sizeof(TAIL ".index.json"));
    return true;
}

/* ---- what lies beside it ------------------------------------------------------------- */

typedef gov_status read_beside(struct gov__header *header,
                               const struct gov__model_file *file,
                               gov_error *err);

/* Reads a file if it is there. */
static gov_status read_if_there(struct gov__safetensors *r, const char *path,
                                const char *name, read_beside *read)
{
    struct gov__model_file file;
    char at[PATH_LIMIT];
    gov_error why = {0};
    gov_status status;

    if (!beside(at, path, false, name))
        return too_long(path, r->err);
    status = gov__model_file_open(&file, at, &why);
    if (status == GOV_E_NOT_FOUND)
        return GOV_OK;
    if (status == GOV_OK)
        status = read(r->header, &file, &why);
    if (status == GOV_OK)
        status = gov__model_file_unchanged(&file, &why);
    gov__model_file_close(&file);
    if (status != GOV_OK && r->err != NULL)
        *r->err = why;
    return status;
}

static gov_status read_configuration(struct gov__safetensors *r,
                                     const char *path)
{
    gov_status status =
        read_if_there(r, path, "config.json", gov__config_json_read);

    return status == GOV_OK ? read_if_there(r, path, "quantize_config.json",
                                            gov__quantize_config_read)
                            : status;
}

/* ---- the whole -------------------------------------------------------------------- */

static bool is_directory(const char *path)
{
    DIR *dir = opendir(path);

    if (dir == NULL)
        return false;
    closedir(dir);
    return true;
}

static gov_status read_model(struct gov__safetensors *r, const char *path)
{
    char found[PATH_LIMIT], label[GOV__LABEL_BYTES];
    gov_status status = GOV_OK;

    if (is_directory(path)) {
        status = find_in(found, path, r->err);
        path = found;
    } else if (index_of(found, path)) {
        status = probe(found, r->err);
        if (status == GOV_E_NOT_FOUND)
            return gov_fail(r->err, GOV_E_NOT_FOUND, 0,
                            "model %s is one of several shards, and no "
                            ".index.json beside it names the others; download "
                            "that too",
                            gov__model_file_label(label, path));
        path = found;
    }
    if (status == GOV_OK && ends(path, ".index.json")) {
        status = gov__safetensors_index(r, path);
    } else if (status == GOV_OK) {
        status = gov__safetensors_add(r, path);
        if (status == GOV_OK)
            status = check(r, gov__model_file_label(label, path));
    }
    return status == GOV_OK ? read_configuration(r, path) : status;
}

gov_status gov__safetensors_open(struct gov__header *out, const char *path,
                                 const struct gov_alloc *alloc, gov_error *err)
{
    struct gov__safetensors reader = {.header = out, .err = err};
    gov_status status;

    gov__header_init(out, "safetensors", alloc);
    status = read_model(&reader, path);
    if (status != GOV_OK)
        gov__header_fini(out);
    return status;
}
