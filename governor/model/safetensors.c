/* SPDX-License-Identifier: MIT */
/* One file. Format: https://huggingface.co/docs/safetensors, which is 8 bytes of
 * length, that much JSON and data. What the reference reader refuses is refused
 * (Metadata::validate() in its tensor.rs): offsets leave no holes, do not overlap
 * and reach exactly to the end of the file. Tensors need not be aligned to their
 * elements, and of old files are not. */
#include "governor/model/safetensors.h"

#include <inttypes.h>
#include <string.h>

#include "governor/model/model_text.h"
#include "governor/model/safetensors_priv.h"
#include "policies/planning/sizes_priv.h"

/* PyTorch has 64. */
#define DIMENSIONS 64

/* Every Dtype of the reference. */
static const struct dtype {
    const char *name;
    unsigned bits;
} dtypes[] = {
    {"BF16", 16},   {"F16", 16},    {"F32", 32},        {"U8", 8},
    {"I8", 8},      {"F8_E4M3", 8}, {"U32", 32},        {"I32", 32},
    {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"BOOL", 8},
    {"I16", 16},    {"U16", 16},    {"I64", 64},        {"U64", 64},
    {"F64", 64},    {"C64", 64},
};

/* What the header says of a tensor. */
struct entry {
    struct dtype dtype; /* without a name until it is said */
    bool has_shape, has_offsets;
    uint32_t dims;
    uint64_t shape[DIMENSIONS]; /* slowest first */
    uint64_t begin, end;        /* in the data */
};

/* ---- shared with the index --------------------------------------------------- */

gov_status gov__safetensors_begin(struct gov__safetensors *reader,
                                  const struct gov__model_file *file)
{
    const struct gov_alloc *alloc = &reader->header->alloc;

    reader->cursor = (struct gov__cursor){.file = file, .err = reader->err};
    reader->cursor.window = alloc->alloc(alloc->ctx, GOV__CURSOR_WINDOW);
    if (reader->cursor.window == NULL)
        return gov__header_no_memory(file->label, reader->err);
    return GOV_OK;
}

void gov__safetensors_end(struct gov__safetensors *reader)
{
    const struct gov_alloc *alloc = &reader->header->alloc;

    alloc->release(alloc->ctx, reader->cursor.window);
    reader->cursor.window = NULL;
}

/* Names go to screens and into scripts: nothing but printable ASCII is taken,
 * and there has never been another. */
gov_status gov__safetensors_name(struct gov__safetensors *reader,
                                 char name[GOV__TENSOR_NAME_LIMIT + 1],
                                 const char *what)
{
    struct gov__cursor *c = &reader->cursor;
    uint64_t bytes;
    bool fine = true;

    if (!gov__json_text(&reader->json, name, GOV__TENSOR_NAME_LIMIT, &bytes))
        return c->status;
    if (bytes == 0 || bytes > GOV__TENSOR_NAME_LIMIT)
        return gov_fail(reader->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: %s name has %" PRIu64
                        " bytes; download it again",
                        c->file->label, what, bytes);
    for (size_t i = 0; i < bytes; i++)
        fine = fine && name[i] >= 0x20 && name[i] < 0x7F;
    if (!fine)
        return gov_fail(reader->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: %s name is \"%s\"; download it "
                        "again",
                        c->file->label, what,
                        gov__text_show(name, (size_t)bytes).text);
    name[bytes] = '\0';
    return GOV_OK;
}

/* ---- one tensor --------------------------------------------------------------- */

static struct gov__shown_name show(const char *name)
{
    return gov__text_show(name, strlen(name));
}

static gov_status damaged(struct gov__safetensors *r, const char *name,
                          const char *fact)
{
    return gov_fail(r->err, GOV_E_FORMAT, 0,
                    "model %s is damaged: tensor \"%s\" %s; download it again",
                    r->cursor.file->label, show(name).text, fact);
}

static gov_status read_dtype(struct gov__safetensors *r, const char *name,
                             struct entry *entry)
{
    char text[32];
    uint64_t bytes;

    if (entry->dtype.name != NULL)
        return damaged(r, name, "has two types");
    if (!gov__json_text(&r->json, text, sizeof(text) - 1, &bytes))
        return r->cursor.status;
    text[bytes < sizeof(text) ? bytes : sizeof(text) - 1] = '\0';
    for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
        if (strcmp(text, dtypes[i].name) == 0 && strlen(text) == bytes)
            entry->dtype = dtypes[i];
    if (entry->dtype.name == NULL) {
        char safe[sizeof(text)];

        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s has tensor \"%s\" of type \"%s\", which is "
                        "not known; update governor",
                        r->cursor.file->label, show(name).text,
                        gov__text_safe(safe, sizeof(safe), text, strlen(text)));
    }
    return GOV_OK;
}

static gov_status read_shape(struct gov__safetensors *r, const char *name,
                             struct entry *entry)
{
    bool more;

    if (entry->has_shape)
        return damaged(r, name, "has two shapes");
    entry->has_shape = true;
    if (!gov__json_enter(&r->json, '[', &more))
        return r->cursor.status;
    while (more) {
        if (entry->dims == DIMENSIONS)
            return damaged(r, name, "has more than 64 dimensions");
        if (!gov__json_whole(&r->json, &entry->shape[entry->dims++]) ||
            !gov__json_more(&r->json, '[', &more))
            return r->cursor.status;
    }
    return GOV_OK;
}

static gov_status read_offsets(struct gov__safetensors *r, const char *name,
                               struct entry *entry)
{
    uint64_t *const out[] = {&entry->begin, &entry->end};
    bool more;

    if (entry->has_offsets)
        return damaged(r, name, "has two places");
    entry->has_offsets = true;
    if (!gov__json_enter(&r->json, '[', &more))
        return r->cursor.status;
    for (unsigned i = 0; i < 2; i++) {
        if (!more)
            return damaged(r, name, "has no two offsets");
        if (!gov__json_whole(&r->json, out[i]) ||
            !gov__json_more(&r->json, '[', &more))
            return r->cursor.status;
    }
    return more ? damaged(r, name, "has no two offsets") : GOV_OK;
}

static gov_status read_entry(struct gov__safetensors *r, const char *name,
                             struct entry *entry)
{
    char key[16];
    uint64_t bytes;
    bool more;

    if (!gov__json_enter(&r->json, '{', &more))
        return r->cursor.status;
    while (more) {
        gov_status status = GOV_OK;

        if (!gov__json_name(&r->json, key, sizeof(key), &bytes))
            return r->cursor.status;
        if (bytes == 5 && memcmp(key, "dtype", 5) == 0)
            status = read_dtype(r, name, entry);
        else if (bytes == 5 && memcmp(key, "shape", 5) == 0)
            status = read_shape(r, name, entry);
        else if (bytes == 12 && memcmp(key, "data_offsets", 12) == 0)
            status = read_offsets(r, name, entry);
        else if (!gov__json_skip(&r->json))
            status = r->cursor.status;
        if (status != GOV_OK)
            return status;
        if (!gov__json_more(&r->json, '{', &more))
            return r->cursor.status;
    }
    if (entry->dtype.name == NULL || !entry->has_shape || !entry->has_offsets)
        return damaged(r, name, "has no type, no shape or no offsets");
    return GOV_OK;
}

/* Bits, since some types have less than 8; whole bytes all the same. No dimension
 * makes one element, and a dimension may be 0. */
static gov_status check_size(struct gov__safetensors *r, const char *name,
                             const struct entry *entry)
{
    uint64_t bits = entry->dtype.bits;

    for (uint32_t i = 0; i < entry->dims; i++) {
        uint64_t n = entry->shape[i];

        if (n > INT64_MAX || (n != 0 && bits > (uint64_t)INT64_MAX / n))
            return damaged(r, name, "is larger than any memory");
        bits *= n;
    }
    if (bits % 8 != 0)
        return damaged(r, name, "is no whole number of bytes");
    if (entry->begin > entry->end)
        return damaged(r, name, "ends before it begins");
    if (entry->end - entry->begin != bits / 8)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: tensor \"%s\" has %" PRIu64
                        " bytes by its offsets and %" PRIu64
                        " by its shape; download it again",
                        r->cursor.file->label, show(name).text,
                        entry->end - entry->begin, bits / 8);
    if (entry->end > r->cursor.file->id.bytes - r->data_offset)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is truncated: tensor \"%s\" ends at byte "
                        "%" PRIu64 " of its data, which has %" PRIu64
                        "; download it again",
                        r->cursor.file->label, show(name).text, entry->end,
                        r->cursor.file->id.bytes - r->data_offset);
    return GOV_OK;
}

/* Shapes turn around: what varies fastest comes first, as in ggml. */
static void set_shape(struct gov_tensor *tensor, const struct entry *entry)
{
    tensor->dims = entry->dims < 4 ? entry->dims : 4;
    for (unsigned i = 0; i < 4; i++)
        tensor->shape[i] = 1;
    for (uint32_t i = 0; i < entry->dims; i++)
        tensor->shape[i < 3 ? i : 3] *= entry->shape[entry->dims - 1 - i];
}

static gov_status read_tensor(struct gov__safetensors *r, const char *name)
{
    struct gov__header *header = r->header;
    struct entry entry = {0};
    struct gov_tensor tensor = {0};
    gov_status status = read_entry(r, name, &entry);

    if (status == GOV_OK)
        status = check_size(r, name, &entry);
    if (status != GOV_OK)
        return status;
    if (header->count == GOV__SAFETENSORS_TENSORS)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s has more than the %zu tensors that any "
                        "needs; download it again",
                        r->cursor.file->label, GOV__SAFETENSORS_TENSORS);
    tensor.name = gov__header_keep(header, name, strlen(name));
    if (tensor.name == NULL || !gov__header_make_room(header, 1))
        return gov__header_no_memory(r->cursor.file->label, r->err);
    tensor.type = entry.dtype.name;
    tensor.bytes = entry.end - entry.begin;
    tensor.file_offset = r->data_offset + entry.begin;
    tensor.aligned = entry.dtype.bits < 8 ||
                     tensor.file_offset % (entry.dtype.bits / 8) == 0;
    tensor.file = (uint32_t)(header->file_count - 1);
    set_shape(&tensor, &entry);
    header->tensors[header->count] = tensor;
    header->places[header->count] = (struct gov__place){
        tensor.file_offset, tensor.file, (uint32_t)header->count, GOV__NO_TYPE};
    header->count++;
    r->data_bytes = gov__sat_add(r->data_bytes, tensor.bytes);
    return GOV_OK;
}

/* ---- the header ------------------------------------------------------------------ */

/* Texts by name, of which nothing matters here; or null. */
static gov_status skip_metadata(struct gov__safetensors *r)
{
    uint64_t bytes;
    bool more;

    if (gov__json_peek(&r->json) == 'n')
        return gov__json_skip(&r->json) ? GOV_OK : r->cursor.status;
    if (!gov__json_enter(&r->json, '{', &more))
        return r->cursor.status;
    while (more)
        if (!gov__json_name(&r->json, NULL, 0, &bytes) ||
            !gov__json_text(&r->json, NULL, 0, &bytes) ||
            !gov__json_more(&r->json, '{', &more))
            return r->cursor.status;
    return GOV_OK;
}

static gov_status read_members(struct gov__safetensors *r)
{
    char name[GOV__TENSOR_NAME_LIMIT + 1];
    bool more, metadata = false;

    if (!gov__json_enter(&r->json, '{', &more))
        return r->cursor.status;
    while (more) {
        gov_status status = gov__safetensors_name(r, name, "a tensor's");

        if (status != GOV_OK)
            return status;
        if (!gov__json_colon(&r->json))
            return r->cursor.status;
        if (strcmp(name, "__metadata__") != 0) {
            status = read_tensor(r, name);
        } else {
            if (metadata)
                return damaged(r, name, "comes twice");
            metadata = true;
            status = skip_metadata(r);
        }
        if (status != GOV_OK)
            return status;
        if (!gov__json_more(&r->json, '{', &more))
            return r->cursor.status;
    }
    return gov__json_end(&r->json) ? GOV_OK : r->cursor.status;
}

/* Reads how long the header is. What is no safetensors at all has, in all
 * likelihood, an absurd length: a page of HTML, a pointer of Git LFS, a GGUF. */
static gov_status read_length(struct gov__safetensors *r, uint64_t *length)
{
    struct gov__cursor *c = &r->cursor;
    unsigned char start[8];

    if (c->file->id.bytes == 0)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is empty; download it again", c->file->label);
    if (c->file->id.bytes < sizeof(start))
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "%s is not a safetensors model: it has %" PRIu64
                        " bytes; name a .safetensors file",
                        c->file->label, c->file->id.bytes);
    if (!gov__cursor_bytes(c, start, sizeof(start)))
        return c->status;
    *length = 0;
    for (unsigned i = 0; i < sizeof(start); i++)
        *length |= (uint64_t)start[i] << (8 * i);
    if (*length > GOV__SAFETENSORS_LIMIT)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "%s is not a safetensors model: it starts with \"%s\", "
                        "which is no length; download it again",
                        c->file->label,
                        gov__text_show(start, sizeof(start)).text);
    if (*length > gov__cursor_left(c))
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is truncated: its header has %" PRIu64
                        " bytes and the file %" PRIu64 "; download it again",
                        c->file->label, *length, c->file->id.bytes);
    return GOV_OK;
}

static gov_status read_header(struct gov__safetensors *r)
{
    uint64_t length = 0, data;
    gov_status status = read_length(r, &length);

    if (status != GOV_OK)
        return status;
    r->data_offset = 8 + length;
    r->data_bytes = 0;
    data = r->cursor.file->id.bytes - r->data_offset;
    gov__json_begin(&r->json, &r->cursor, length);
    status = read_members(r);
    /* Nor can there be less without an overlap, which gov__header_check()
     * finds: so nothing is left between tensors or behind them. */
    if (status == GOV_OK && r->data_bytes < data)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: %" PRIu64
                        " bytes of it belong to no tensor; download it again",
                        r->cursor.file->label, data - r->data_bytes);
    return status;
}

static gov_status add_file(struct gov__safetensors *r,
                           const struct gov_model_file *file)
{
    char *path = gov__header_keep(r->header, file->path, strlen(file->path));

    return path != NULL && gov__header_add_file(r->header, file, path)
               ? GOV_OK
               : gov__header_no_memory(r->cursor.file->label, r->err);
}

gov_status gov__safetensors_add(struct gov__safetensors *r, const char *path)
{
    struct gov__model_file file;
    gov_status status = gov__model_file_open(&file, path, r->err);

    if (status != GOV_OK)
        return status;
    status = gov__safetensors_begin(r, &file);
    if (status == GOV_OK)
        status = add_file(r, &file.id);
    if (status == GOV_OK)
        status = read_header(r);
    if (status == GOV_OK)
        status = gov__model_file_unchanged(&file, r->err);
    gov__safetensors_end(r);
    gov__model_file_close(&file);
    return status;
}

gov_status gov__safetensors_check(struct gov__safetensors *r, const char *label)
{
    if (r->header->count == 0)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "%s has no tensors and so is not a model; name a file "
                        "with weights",
                        label);
    return gov__header_check(r->header, label, r->err);
}
