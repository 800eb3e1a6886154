/* SPDX-License-Identifier: MIT */
/* See header.h. What readers of all formats have in common. */
#include "governor/model/header.h"

#include <stdlib.h>
#include <string.h>

#include "governor/model/model_text.h"

struct gov__names {
    struct gov__names *next;
    size_t used;
    char text[];
};

/* Names come in blocks, so that they cost what is in the file and not what its
 * header claims. A small model fills one. */
#define NAMES_BLOCK ((size_t)8 * 1024)

void gov__header_init(struct gov__header *header, const char *format,
                      const struct gov_alloc *alloc)
{
    memset(header, 0, sizeof(*header));
    header->alloc = *alloc;
    header->format = format;
}

void gov__header_fini(struct gov__header *header)
{
    struct gov_alloc *alloc = &header->alloc;

    while (header->names != NULL) {
        struct gov__names *block = header->names;

        header->names = block->next;
        alloc->release(alloc->ctx, block);
    }
    for (size_t i = 0; i < GOV__KEYS; i++) {
        alloc->release(alloc->ctx, header->number[i].each);
        header->number[i] = (struct gov__number){0};
    }
    alloc->release(alloc->ctx, header->files);
    alloc->release(alloc->ctx, header->tensors);
    alloc->release(alloc->ctx, header->places);
    header->files = NULL;
    header->tensors = NULL;
    header->places = NULL;
    header->count = header->file_count = header->room = header->file_room = 0;
}

char *gov__header_keep(struct gov__header *header, const char *text,
                       size_t bytes)
{
    struct gov_alloc *alloc = &header->alloc;
    struct gov__names *block = header->names;
    size_t room = NAMES_BLOCK - sizeof(*block);
    char *kept;

    if (bytes >= room)
        return NULL;
    if (block == NULL || room - block->used < bytes + 1) {
        block = alloc->alloc(alloc->ctx, NAMES_BLOCK);
        if (block == NULL)
            return NULL;
        block->next = header->names;
        block->used = 0;
        header->names = block;
    }
    kept = block->text + block->used;
    memcpy(kept, text, bytes);
    kept[bytes] = '\0';
    block->used += bytes + 1;
    return kept;
}

/* A larger copy of an array, whose old memory is released; NULL, and nothing done,
 * when there is no memory. */
static void *enlarged(struct gov_alloc *alloc, void *array, size_t bytes,
                      size_t room)
{
    void *larger = alloc->alloc(alloc->ctx, room);

    if (larger == NULL)
        return NULL;
    if (bytes > 0)
        memcpy(larger, array, bytes);
    alloc->release(alloc->ctx, array);
    return larger;
}

bool gov__header_add_file(struct gov__header *header,
                          const struct gov_model_file *file, const char *path)
{
    if (header->file_count == header->file_room) {
        size_t room = 2 * header->file_room + 1;
        struct gov_model_file *files = enlarged(
            &header->alloc, header->files, header->file_count * sizeof(*files),
            room * sizeof(*files));

        if (files == NULL)
            return false;
        header->files = files;
        header->file_room = room;
    }
    header->files[header->file_count] = *file;
    header->files[header->file_count++].path = path;
    return true;
}

/* Files may be many and small, and safetensors do not say how many tensors they
 * have: what is allocated follows what was read, and is copied seldom. */
bool gov__header_make_room(struct gov__header *header, size_t more)
{
    size_t count = header->count, room = count + more;
    struct gov_tensor *tensors;
    struct gov__place *places;

    if (room <= header->room)
        return true;
    if (room < 2 * count)
        room = 2 * count;
    tensors = enlarged(&header->alloc, header->tensors,
                       count * sizeof(*tensors), room * sizeof(*tensors));
    if (tensors == NULL)
        return false;
    header->tensors = tensors;
    places = enlarged(&header->alloc, header->places, count * sizeof(*places),
                      room * sizeof(*places));
    if (places == NULL)
        return false;
    header->places = places;
    header->room = room;
    return true;
}

gov_status gov__header_no_memory(const char *label, gov_error *err)
{
    return gov_fail(err, GOV_E_NOMEM, 0,
                    "out of memory while reading model %s; free some and try "
                    "again",
                    label);
}

bool gov__header_set(struct gov__header *header, enum gov__key key,
                     const uint32_t *values, uint32_t count)
{
    struct gov_alloc *alloc = &header->alloc;
    struct gov__number *number = &header->number[key];
    uint32_t *each = NULL;

    if (count > 1) {
        each = alloc->alloc(alloc->ctx, count * sizeof(*each));
        if (each == NULL)
            return false;
        memcpy(each, values, count * sizeof(*each));
    }
    alloc->release(alloc->ctx, number->each);
    *number = (struct gov__number){count, count > 0 ? values[0] : 0, each};
    return true;
}

bool gov__header_of_layer(const struct gov__header *header, enum gov__key key,
                          uint64_t layer, uint64_t *out)
{
    const struct gov__number *n = &header->number[key];

    if (n->count == 0 || (n->count > 1 && layer >= n->count))
        return false;
    *out = n->count > 1 ? n->each[layer] : n->one;
    return true;
}

uint64_t gov__header_single(const struct gov__header *header, enum gov__key key)
{
    const struct gov__number *n = &header->number[key];

    for (uint32_t i = 1; i < n->count; i++)
        if (n->each[i] != n->one)
            return 0;
    return n->count == 0 ? 0 : n->one;
}

uint64_t gov__header_largest(const struct gov__header *header,
                             enum gov__key key)
{
    const struct gov__number *n = &header->number[key];
    uint64_t most = n->count == 1 ? n->one : 0;

    for (uint32_t i = 0; n->count > 1 && i < n->count; i++)
        if (n->each[i] > most)
            most = n->each[i];
    return most;
}

/* ---- checks ---------------------------------------------------------------- */

static struct gov__shown_name show(const char *name)
{
    return gov__text_show(name, strlen(name));
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int by_offset(const void *left, const void *right)
{
    const struct gov__place *a = left, *b = right;
    int order = ORDER(a->file, b->file);

    if (order == 0)
        order = ORDER(a->offset, b->offset);
    return order != 0 ? order : ORDER(a->tensor, b->tensor);
}

static gov_status check_overlap(struct gov__header *header, const char *label,
                                gov_error *err)
{
    const struct gov_tensor *last = NULL;

    qsort(header->places, header->count, sizeof(*header->places), by_offset);
    for (size_t i = 0; i < header->count; i++) {
        const struct gov_tensor *tensor =
            &header->tensors[header->places[i].tensor];

        if (tensor->bytes == 0)
            continue;
        if (last != NULL && last->file == tensor->file &&
            tensor->file_offset - last->file_offset < last->bytes)
            return gov_fail(
                err, GOV_E_FORMAT, 0,
                "model %s is damaged: tensors \"%s\" and \"%s\" overlap; "
                "download it again",
                label, show(last->name).text, show(tensor->name).text);
        last = tensor;
    }
    return GOV_OK;
}

static int by_name(const void *left, const void *right)
{
    const char *const *a = left;
    const char *const *b = right;

    return strcmp(*a, *b);
}

/* By sorting: a hash table of names that somebody else chose can be made to
 * take quadratic time. */
static gov_status check_names(struct gov__header *header, const char *label,
                              gov_error *err)
{
    struct gov_alloc *alloc = &header->alloc;
    const char **names =
        alloc->alloc(alloc->ctx, header->count * sizeof(*names));
    gov_status status = GOV_OK;

    if (names == NULL)
        return gov__header_no_memory(label, err);
    for (size_t i = 0; i < header->count; i++)
        names[i] = header->tensors[i].name;
    qsort(names, header->count, sizeof(*names), by_name);
    for (size_t i = 1; i < header->count && status == GOV_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = gov_fail(err, GOV_E_FORMAT, 0,
                              "model %s is damaged: tensor \"%s\" comes twice; "
                              "download it again",
                              label, show(names[i]).text);
    alloc->release(alloc->ctx, names);
    return status;
}

gov_status gov__header_check(struct gov__header *header, const char *label,
                             gov_error *err)
{
    gov_status status = check_overlap(header, label, err);

    return status == GOV_OK ? check_names(header, label, err) : status;
}
