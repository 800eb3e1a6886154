/* SPDX-License-Identifier: MIT */
/* Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Where the
 * document and llama.cpp's reader (ggml/src/gguf.cpp) differ, the latter is
 * followed, with one exception: gaps between tensors are allowed. */
#include "governor/model/gguf_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "governor/model/model_cursor.h"
#include "governor/model/model_text.h"
#include "governor/model/tensor_types.h"

/* The largest model with a tensor for each expert (llama.cpp before 2024) had
 * fewer than 5000; a limit keeps what is allocated for a hostile file small. */
#define TENSOR_LIMIT ((uint64_t)256 * 1024)
/* ggml cuts names at 63 bytes, some forks at 127. */
#define TENSOR_NAME_LIMIT 255
/* Bytes of the smallest tensor there can be in a header: the length of a name,
 * one character, the number of dimensions, type and offset. */
#define TENSOR_LEAST 25
/* Models have about 50 keys. */
#define KEY_COUNT_LIMIT 65536
#define DEFAULT_ALIGNMENT 32

static struct gov__shown_name show(const char *name)
{
    return gov__text_show(name, strlen(name));
}

/* "model X is damaged: <detail>; download it again" for a tensor. */
static gov_status damaged_tensor(const struct gov__gguf_reader *r,
                                 const char *name, const char *fact)
{
    return gov_fail(r->err, GOV_E_FORMAT, 0,
                    "model %s is damaged: tensor \"%s\" %s; download it again",
                    r->label, show(name).text, fact);
}

/* ---- the start ------------------------------------------------------------ */

static gov_status read_start(struct gov__gguf_reader *r)
{
    struct gov__cursor *c = &r->cursor;
    unsigned char magic[4];
    uint32_t version;

    if (r->cursor.file->id.bytes == 0)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is empty; download it again", r->label);
    if (r->cursor.file->id.bytes < sizeof(magic))
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "%s is not a model: it has %" PRIu64
                        " bytes; name a .gguf or .safetensors file",
                        r->label, r->cursor.file->id.bytes);
    if (!gov__cursor_bytes(c, magic, sizeof(magic)))
        return c->status;
    if (memcmp(magic, "GGUF", sizeof(magic)) != 0)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "%s is not a model: it starts with \"%s\"; name a "
                        ".gguf or .safetensors file",
                        r->label, gov__text_show(magic, sizeof(magic)).text);
    if (!gov__cursor_u32(c, &version))
        return c->status;
    if (version != 0 && (version & 0xFFFF) == 0)
        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s is a big-endian GGUF file, which is not "
                        "read; use the little-endian one",
                        r->label);
    if (version != 2 && version != 3)
        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s is of GGUF version %" PRIu32
                        ", and versions 2 and 3 are read; convert it with a "
                        "current llama.cpp",
                        r->label, version);
    if (!gov__cursor_u64(c, &r->tensor_count) ||
        !gov__cursor_u64(c, &r->key_count))
        return c->status;
    if (r->key_count > KEY_COUNT_LIMIT)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: it claims %" PRIu64
                        " keys; download it again",
                        r->label, r->key_count);
    return GOV_OK;
}

/* ---- tensors -------------------------------------------------------------- */

/* Names go to screens and into scripts: nothing but printable ASCII is taken,
 * and there has never been another. */
static gov_status read_tensor_name(struct gov__gguf_reader *r,
                                   struct gov_tensor *tensor)
{
    struct gov__cursor *c = &r->cursor;
    char name[TENSOR_NAME_LIMIT];
    uint64_t length;
    bool fine = true;

    if (!gov__cursor_u64(c, &length))
        return c->status;
    if (length == 0 || length > sizeof(name))
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: a tensor's name has %" PRIu64
                        " bytes; download it again",
                        r->label, length);
    if (!gov__cursor_bytes(c, name, (size_t)length))
        return c->status;
    for (size_t i = 0; i < length; i++)
        fine = fine && name[i] >= 0x20 && name[i] < 0x7F;
    if (!fine)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: a tensor's name is \"%s\"; "
                        "download it again",
                        r->label, gov__text_show(name, (size_t)length).text);
    tensor->name = gov__header_keep(r->header, name, (size_t)length);
    return tensor->name != NULL ? GOV_OK
                                : gov__header_no_memory(r->label, r->err);
}

/* As in ggml, no dimension makes one element and a dimension may be 0. */
static gov_status read_shape(struct gov__gguf_reader *r,
                             struct gov_tensor *tensor, uint64_t *elements)
{
    struct gov__cursor *c = &r->cursor;

    if (!gov__cursor_u32(c, &tensor->dims))
        return c->status;
    if (tensor->dims > 4)
        return damaged_tensor(r, tensor->name, "has more than 4 dimensions");
    *elements = 1;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t n = 1;

        if (i < tensor->dims && !gov__cursor_u64(c, &n))
            return c->status;
        if (n > INT64_MAX || (n != 0 && *elements > (uint64_t)INT64_MAX / n))
            return damaged_tensor(r, tensor->name, "is larger than any memory");
        *elements *= n;
        tensor->shape[i] = n;
    }
    return GOV_OK;
}

static gov_status read_type(struct gov__gguf_reader *r,
                            struct gov_tensor *tensor, uint32_t *number,
                            uint64_t elements)
{
    struct gov__cursor *c = &r->cursor;
    const struct gov__tensor_type *type;
    uint64_t blocks;

    if (!gov__cursor_u32(c, number))
        return c->status;
    type = gov__tensor_type(*number);
    if (type == NULL || type->block_elements == 0)
        return gov_fail(
            r->err, GOV_E_UNSUPPORTED, 0,
            "model %s has tensor \"%s\" of type %" PRIu32
            "%s%s, which is not read; quantize it again with a current "
            "llama.cpp",
            r->label, show(tensor->name).text, *number,
            type != NULL ? ", " : "", type != NULL ? type->name : "");
    if (tensor->shape[0] % type->block_elements != 0)
        return damaged_tensor(r, tensor->name,
                              "has rows that are no whole number of blocks");
    blocks = elements / type->block_elements;
    if (blocks > (uint64_t)INT64_MAX / type->block_bytes)
        return damaged_tensor(r, tensor->name, "is larger than any memory");
    tensor->type = type->name;
    tensor->bytes = blocks * type->block_bytes;
    return GOV_OK;
}

static gov_status read_tensor(struct gov__gguf_reader *r, uint32_t index)
{
    struct gov_tensor *tensor = &r->header->tensors[index];
    struct gov__place *place = &r->header->places[index];
    uint64_t elements = 0;
    gov_status status = read_tensor_name(r, tensor);

    if (status == GOV_OK)
        status = read_shape(r, tensor, &elements);
    if (status == GOV_OK)
        status = read_type(r, tensor, &place->type, elements);
    if (status != GOV_OK)
        return status;
    place->file = tensor->file = (uint32_t)r->header->file_count;
    place->tensor = index;
    /* From the start of the data, which is not known yet. */
    if (!gov__cursor_u64(&r->cursor, &tensor->file_offset))
        return r->cursor.status;
    if (tensor->file_offset % r->alignment != 0)
        return damaged_tensor(r, tensor->name, "is not aligned");
    return GOV_OK;
}

static gov_status read_tensors(struct gov__gguf_reader *r)
{
    struct gov__header *header = r->header;
    size_t first = header->count;

    if (r->tensor_count > TENSOR_LIMIT - first ||
        r->tensor_count > gov__cursor_left(&r->cursor) / TENSOR_LEAST)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: it claims %" PRIu64
                        " tensors; download it again",
                        r->label, r->tensor_count);
    if (r->tensor_count == 0) /* as the first part of some split models */
        return GOV_OK;
    if (!gov__header_make_room(header, (size_t)r->tensor_count))
        return gov__header_no_memory(r->label, r->err);
    header->count += (size_t)r->tensor_count;
    memset(header->tensors + first, 0,
           (size_t)r->tensor_count * sizeof(*header->tensors));
    for (size_t i = first; i < header->count; i++) {
        gov_status status = read_tensor(r, (uint32_t)i);

        if (status != GOV_OK)
            return status;
    }
    return GOV_OK;
}

/* Of what a block is made of: the largest power of two, up to 8, that divides its
 * bytes. */
static uint64_t element_bytes(const struct gov__place *place)
{
    const struct gov__tensor_type *type = gov__tensor_type(place->type);
    uint64_t bytes = 8;

    while (type != NULL && type->block_bytes % bytes != 0)
        bytes /= 2;
    return bytes;
}

/* Offsets become those in the file, and every tensor is found to lie in it. */
static gov_status place_tensors(struct gov__gguf_reader *r)
{
    struct gov__header *header = r->header;
    uint64_t file_bytes = r->cursor.file->id.bytes, align = r->alignment - 1;
    uint64_t data = (gov__cursor_offset(&r->cursor) + align) & ~align;

    for (size_t i = header->count - (size_t)r->tensor_count; i < header->count;
         i++) {
        struct gov_tensor *tensor = &header->tensors[i];
        uint64_t end = data + tensor->file_offset + tensor->bytes;

        /* data and bytes are below 2^63: their sum cannot wrap. */
        if (end < tensor->file_offset)
            return damaged_tensor(r, tensor->name,
                                  "lies behind any file's end");
        if (end > file_bytes)
            return gov_fail(r->err, GOV_E_FORMAT, 0,
                            "model %s is truncated: tensor \"%s\" ends at byte "
                            "%" PRIu64 " of %" PRIu64 "; download it again",
                            r->label, show(tensor->name).text, end, file_bytes);
        tensor->file_offset += data;
        header->places[i].offset = tensor->file_offset;
        tensor->aligned =
            tensor->file_offset % element_bytes(&header->places[i]) == 0;
    }
    return GOV_OK;
}

/* ---- the whole ------------------------------------------------------------ */

gov_status gov__gguf_read(struct gov__gguf *model,
                          const struct gov__model_file *file,
                          struct gov__gguf_part *part)
{
    gov_status (*const steps[])(struct gov__gguf_reader *) = {
        read_start, gov__gguf_metadata, read_tensors, place_tensors};
    struct gov__gguf_reader r = {
        .cursor = {.file = file, .err = model->err, .window = model->window},
        .header = model->header,
        .part = part,
        .err = model->err,
        .label = file->label,
        .alignment = DEFAULT_ALIGNMENT};
    gov_status status = GOV_OK;

    *part = (struct gov__gguf_part){0};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        status = steps[i](&r);
        if (status != GOV_OK)
            return status;
    }
    return GOV_OK;
}
