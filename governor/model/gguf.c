/* SPDX-License-Identifier: MIT */
/* Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Where the
 * document and llama.cpp's reader (ggml/src/gguf.cpp) differ, the latter is
 * followed, with one exception: gaps between tensors are allowed. */
#include "governor/model/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "governor/model/gguf_cursor.h"
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

enum value_type {
    VALUE_U8,
    VALUE_I8,
    VALUE_U16,
    VALUE_I16,
    VALUE_U32,
    VALUE_I32,
    VALUE_F32,
    VALUE_BOOL,
    VALUE_STRING,
    VALUE_ARRAY,
    VALUE_U64,
    VALUE_I64,
    VALUE_F64,
    VALUE_TYPES
};

/* 0 for those that have no fixed size. */
static const unsigned char value_bytes[VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4,
                                                       1, 0, 0, 8, 8, 8};

/* What of the metadata is kept. Those with a prefix are looked for behind the
 * architecture's name. */
enum wanted {
    WANTED_ARCHITECTURE = GOV__GGUF_NUMBERS,
    WANTED_NAME,
    WANTED_ALIGNMENT,
    WANTED_SPLIT_COUNT,
    WANTED_SPLIT_NUMBER,
    WANTED_KEYS
};

static const char *const wanted_keys[WANTED_KEYS] = {
#define KEY(id, key) [GOV__GGUF_##id] = key,
    GOV__GGUF_NUMBER_MAP(KEY)
#undef KEY
        [WANTED_ARCHITECTURE] = "general.architecture",
    [WANTED_NAME] = "general.name",
    [WANTED_ALIGNMENT] = "general.alignment",
    [WANTED_SPLIT_COUNT] = "split.count",
    [WANTED_SPLIT_NUMBER] = "split.no",
};

/* Longer keys than any that is wanted are passed over unread. */
#define KEY_LIMIT 128

struct reader {
    struct gov__cursor cursor;
    struct gov__gguf *gguf;
    gov_error *err;
    uint64_t key_count, tensor_count;
    uint64_t keys_offset;      /* in the file, of the first key */
    uint64_t alignment;        /* of tensors */
    uint64_t split_count;      /* files the model is split into */
    uint64_t split_number;     /* of this one, from 0 */
    char raw_architecture[64]; /* as it prefixes keys */
    bool seen[WANTED_KEYS];
};

/* A value's type and, for an array, how many there are of it. */
struct value {
    uint32_t type;
    uint64_t count;
    bool array;
};

/* ---- messages ------------------------------------------------------------- */

struct shown {
    char text[68]; /* a name of ggml's limit, 63, fits */
};

static struct shown show(const void *name, size_t bytes)
{
    struct shown shown;

    gov__text_safe(shown.text, sizeof(shown.text), name, bytes);
    return shown;
}

/* "model X is damaged: <detail>; download it again" for a tensor. */
static gov_status damaged_tensor(const struct reader *r, const char *name,
                                 const char *fact)
{
    return gov_fail(r->err, GOV_E_FORMAT, 0,
                    "model %s is damaged: tensor \"%s\" %s; download it again",
                    r->cursor.label, show(name, strlen(name)).text, fact);
}

static gov_status damaged_key(const struct reader *r, const char *key,
                              const char *fact)
{
    return gov_fail(r->err, GOV_E_FORMAT, 0,
                    "model %s is damaged: key \"%s\" %s; download it again",
                    r->cursor.label, show(key, strlen(key)).text, fact);
}

static gov_status no_memory(const struct reader *r)
{
    return gov_fail(r->err, GOV_E_NOMEM, 0,
                    "out of memory while reading model %s; free some and try "
                    "again",
                    r->cursor.label);
}

/* ---- metadata ------------------------------------------------------------- */

static gov_status read_start(struct reader *r)
{
    struct gov__cursor *c = &r->cursor;
    unsigned char magic[4];
    uint32_t version;

    if (c->file_bytes == 0)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is empty; download it again", c->label);
    if (c->file_bytes < sizeof(magic))
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "%s is not a GGUF model: it has %" PRIu64
                        " bytes; name a .gguf file",
                        c->label, c->file_bytes);
    if (!gov__cursor_bytes(c, magic, sizeof(magic)))
        return c->status;
    if (memcmp(magic, "GGUF", sizeof(magic)) != 0)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "%s is not a GGUF model: it starts with \"%s\"; name "
                        "a .gguf file",
                        c->label, show(magic, sizeof(magic)).text);
    if (!gov__cursor_u32(c, &version))
        return c->status;
    if (version != 0 && (version & 0xFFFF) == 0)
        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s is a big-endian GGUF file, which is not "
                        "read; use the little-endian one",
                        c->label);
    if (version != 2 && version != 3)
        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s is of GGUF version %" PRIu32
                        ", and versions 2 and 3 are read; convert it with a "
                        "current llama.cpp",
                        c->label, version);
    if (!gov__cursor_u64(c, &r->tensor_count) ||
        !gov__cursor_u64(c, &r->key_count))
        return c->status;
    if (r->key_count > KEY_COUNT_LIMIT)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: it claims %" PRIu64
                        " keys; download it again",
                        c->label, r->key_count);
    r->keys_offset = gov__cursor_offset(c);
    return GOV_OK;
}

/* Reads a key and the type of its value. A key that cannot be of interest, being
 * too long or with a NUL in it, becomes "". */
static gov_status read_key(struct reader *r, char key[KEY_LIMIT],
                           struct value *value)
{
    struct gov__cursor *c = &r->cursor;
    uint64_t length;

    *value = (struct value){VALUE_U8, 1, false};
    key[0] = '\0';
    if (!gov__cursor_u64(c, &length))
        return c->status;
    if (length >= KEY_LIMIT) {
        if (!gov__cursor_skip(c, length))
            return c->status;
    } else {
        if (!gov__cursor_bytes(c, key, (size_t)length))
            return c->status;
        key[length] = '\0';
        if (strlen(key) != length)
            key[0] = '\0';
    }
    if (!gov__cursor_u32(c, &value->type))
        return c->status;
    value->array = value->type == VALUE_ARRAY;
    if (value->array && (!gov__cursor_u32(c, &value->type) ||
                         !gov__cursor_u64(c, &value->count)))
        return c->status;
    if (value->array && value->type == VALUE_ARRAY)
        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s has an array of arrays at key \"%s\", which "
                        "is not read; convert it with a current llama.cpp",
                        c->label, show(key, strlen(key)).text);
    if (value->type >= VALUE_TYPES)
        return damaged_key(r, key, "has a value of no known type");
    return GOV_OK;
}

static gov_status skip_value(struct reader *r, const struct value *value)
{
    struct gov__cursor *c = &r->cursor;
    uint64_t bytes = value_bytes[value->type];
    bool ok;

    if (bytes == 0)
        ok = gov__cursor_skip_strings(c, value->count);
    else if (value->count > UINT64_MAX / bytes)
        ok = gov__cursor_skip(c, UINT64_MAX);
    else
        ok = gov__cursor_skip(c, value->count * bytes);
    return ok ? GOV_OK : c->status;
}

/* Reads one whole number; *fits is false for a negative one. */
static bool read_integer(struct gov__cursor *c, uint32_t type, uint64_t *out,
                         bool *fits)
{
    unsigned char raw[8] = {0};
    unsigned bytes = value_bytes[type];
    bool is_signed = type == VALUE_I8 || type == VALUE_I16 ||
                     type == VALUE_I32 || type == VALUE_I64;

    if (!gov__cursor_bytes(c, raw, bytes))
        return false;
    *out = 0;
    for (unsigned i = 0; i < bytes; i++)
        *out |= (uint64_t)raw[i] << (8 * i);
    *fits = !(is_signed && raw[bytes - 1] >= 0x80);
    return true;
}

/* A number that is no whole number, is negative, is huge or comes for more layers than
 * there can be stays unknown: a later llama.cpp may well give it a meaning. */
static gov_status read_number(struct reader *r, const struct value *value,
                              struct gov__gguf_number *number)
{
    bool whole = value_bytes[value->type] != 0 && value->type != VALUE_F32 &&
                 value->type != VALUE_F64 && value->type != VALUE_BOOL;
    bool known = true;

    if (!whole || value->count > GOV__LAYERS_MAX)
        return skip_value(r, value);
    for (uint64_t i = 0; i < value->count; i++) {
        uint64_t one;
        bool fits;

        if (!read_integer(&r->cursor, value->type, &one, &fits))
            return r->cursor.status;
        number->value[i] = (uint32_t)one;
        known = known && fits && one <= UINT32_MAX;
    }
    number->count = known ? (uint32_t)value->count : 0;
    return GOV_OK;
}

/* A number without which the rest cannot be read. */
static gov_status read_needed(struct reader *r, const char *key,
                              const struct value *value, uint64_t *out)
{
    bool fits = false;

    if (value->array || value->type > VALUE_I32)
        return damaged_key(r, key, "is no whole number");
    if (!read_integer(&r->cursor, value->type, out, &fits))
        return r->cursor.status;
    return fits ? GOV_OK : damaged_key(r, key, "is negative");
}

/* Reads a string, of which at most *bytes bytes are kept; *bytes becomes how
 * many there are. No NUL is added. */
static gov_status read_string(struct reader *r, const char *key,
                              const struct value *value, char *out,
                              size_t *bytes)
{
    struct gov__cursor *c = &r->cursor;
    size_t room = *bytes;
    uint64_t length;

    if (value->array || value->type != VALUE_STRING)
        return damaged_key(r, key, "is no text");
    if (!gov__cursor_u64(c, &length))
        return c->status;
    *bytes = length < room ? (size_t)length : room;
    if (!gov__cursor_bytes(c, out, *bytes) ||
        !gov__cursor_skip(c, length - *bytes))
        return c->status;
    return GOV_OK;
}

static gov_status read_architecture(struct reader *r, const char *key,
                                    const struct value *value)
{
    char text[sizeof(r->raw_architecture)];
    size_t bytes = sizeof(text);
    gov_status status = read_string(r, key, value, text, &bytes);

    if (status != GOV_OK)
        return status;
    if (bytes == sizeof(text) || memchr(text, '\0', bytes) != NULL)
        return damaged_key(r, key, "is no name of an architecture");
    memcpy(r->raw_architecture, text, bytes);
    r->raw_architecture[bytes] = '\0';
    gov__text_safe(r->gguf->architecture, sizeof(r->gguf->architecture), text,
                   bytes);
    return GOV_OK;
}

static gov_status read_name(struct reader *r, const char *key,
                            const struct value *value)
{
    char text[sizeof(r->gguf->name)];
    size_t bytes = sizeof(text);
    gov_status status = read_string(r, key, value, text, &bytes);

    if (status == GOV_OK)
        gov__text_safe(r->gguf->name, sizeof(r->gguf->name), text, bytes);
    return status;
}

/* Which of the wanted keys it is; WANTED_KEYS for none. */
static unsigned find_wanted(const struct reader *r, const char *key)
{
    size_t prefix = strlen(r->raw_architecture);
    unsigned i;

    for (i = WANTED_ARCHITECTURE; i < WANTED_KEYS; i++)
        if (strcmp(key, wanted_keys[i]) == 0)
            return i;
    if (prefix == 0 || strncmp(key, r->raw_architecture, prefix) != 0 ||
        key[prefix] != '.')
        return WANTED_KEYS;
    for (i = 0; i < GOV__GGUF_NUMBERS; i++)
        if (strcmp(key + prefix + 1, wanted_keys[i]) == 0)
            return i;
    return WANTED_KEYS;
}

static gov_status read_wanted(struct reader *r, unsigned which, const char *key,
                              const struct value *value)
{
    switch (which) {
    case WANTED_ARCHITECTURE:
        return read_architecture(r, key, value);
    case WANTED_NAME:
        return read_name(r, key, value);
    case WANTED_ALIGNMENT:
        return read_needed(r, key, value, &r->alignment);
    case WANTED_SPLIT_COUNT:
        return read_needed(r, key, value, &r->split_count);
    case WANTED_SPLIT_NUMBER:
        return read_needed(r, key, value, &r->split_number);
    default:
        return read_number(r, value, &r->gguf->number[which]);
    }
}

/* The architecture prefixes the keys that matter. By custom it is the first
 * key, so this reads one; a file that has it elsewhere is read twice. */
static gov_status find_architecture(struct reader *r)
{
    char key[KEY_LIMIT];
    struct value value;

    for (uint64_t i = 0; i < r->key_count; i++) {
        gov_status status = read_key(r, key, &value);

        if (status != GOV_OK)
            return status;
        if (find_wanted(r, key) == WANTED_ARCHITECTURE) {
            status = read_architecture(r, key, &value);
            if (status != GOV_OK)
                return status;
            break;
        }
        status = skip_value(r, &value);
        if (status != GOV_OK)
            return status;
    }
    gov__cursor_rewind(&r->cursor, r->keys_offset);
    return GOV_OK;
}

static gov_status read_metadata(struct reader *r)
{
    char key[KEY_LIMIT];
    struct value value;

    for (uint64_t i = 0; i < r->key_count; i++) {
        gov_status status = read_key(r, key, &value);
        unsigned which;

        if (status != GOV_OK)
            return status;
        which = find_wanted(r, key);
        if (which == WANTED_KEYS) {
            status = skip_value(r, &value);
        } else {
            if (r->seen[which])
                return damaged_key(r, key, "comes twice");
            r->seen[which] = true;
            status = read_wanted(r, which, key, &value);
        }
        if (status != GOV_OK)
            return status;
    }
    return GOV_OK;
}

static gov_status check_metadata(struct reader *r)
{
    const struct gov__gguf_number *layers = &r->gguf->number[GOV__GGUF_BLOCKS];

    if (r->alignment == 0 || (r->alignment & (r->alignment - 1)) != 0)
        return damaged_key(r, wanted_keys[WANTED_ALIGNMENT],
                           "is no power of two");
    if (r->split_count > 1)
        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s is part %" PRIu64 " of %" PRIu64
                        "; split files are not read yet; join them with "
                        "llama-gguf-split --merge",
                        r->cursor.label, r->split_number + 1, r->split_count);
    if (layers->count == 1 && layers->value[0] > GOV__LAYERS_MAX)
        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s has %" PRIu32
                        " layers, more than the %d that engines run",
                        r->cursor.label, layers->value[0], GOV__LAYERS_MAX);
    return GOV_OK;
}

/* ---- tensors -------------------------------------------------------------- */

struct gov__gguf_names {
    struct gov__gguf_names *next;
    size_t used;
    char text[];
};

/* Names come in blocks, so that they cost what is in the file and not what its
 * header claims. A small model fills one. */
#define NAMES_BLOCK ((size_t)8 * 1024)

static char *keep_name(struct gov__gguf *gguf, const char *name, size_t bytes)
{
    struct gov__gguf_names *block = gguf->names;
    size_t room = NAMES_BLOCK - sizeof(*block);
    char *kept;

    if (block == NULL || room - block->used < bytes + 1) {
        block = gguf->alloc.alloc(gguf->alloc.ctx, NAMES_BLOCK);
        if (block == NULL)
            return NULL;
        block->next = gguf->names;
        block->used = 0;
        gguf->names = block;
    }
    kept = block->text + block->used;
    memcpy(kept, name, bytes);
    kept[bytes] = '\0';
    block->used += bytes + 1;
    return kept;
}

/* Names go to screens and into scripts: nothing but printable ASCII is taken,
 * and there has never been another. */
static gov_status read_tensor_name(struct reader *r, struct gov_tensor *tensor)
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
                        c->label, length);
    if (!gov__cursor_bytes(c, name, (size_t)length))
        return c->status;
    for (size_t i = 0; i < length; i++)
        fine = fine && name[i] >= 0x20 && name[i] < 0x7F;
    if (!fine)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: a tensor's name is \"%s\"; "
                        "download it again",
                        c->label, show(name, (size_t)length).text);
    tensor->name = keep_name(r->gguf, name, (size_t)length);
    return tensor->name != NULL ? GOV_OK : no_memory(r);
}

/* As in ggml, no dimension makes one element and a dimension may be 0. */
static gov_status read_shape(struct reader *r, struct gov_tensor *tensor,
                             uint64_t *elements)
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

static gov_status read_type(struct reader *r, struct gov_tensor *tensor,
                            uint32_t *number, uint64_t elements)
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
            c->label, show(tensor->name, strlen(tensor->name)).text, *number,
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

static gov_status read_tensor(struct reader *r, uint32_t index)
{
    struct gov_tensor *tensor = &r->gguf->tensors[index];
    struct gov__gguf_place *place = &r->gguf->places[index];
    uint64_t elements = 0;
    gov_status status = read_tensor_name(r, tensor);

    if (status == GOV_OK)
        status = read_shape(r, tensor, &elements);
    if (status == GOV_OK)
        status = read_type(r, tensor, &place->type, elements);
    if (status != GOV_OK)
        return status;
    place->tensor = index;
    /* From the start of the data, which is not known yet. */
    if (!gov__cursor_u64(&r->cursor, &tensor->file_offset))
        return r->cursor.status;
    if (tensor->file_offset % r->alignment != 0)
        return damaged_tensor(r, tensor->name, "is not aligned");
    return GOV_OK;
}

static gov_status read_tensors(struct reader *r)
{
    struct gov__gguf *gguf = r->gguf;
    struct gov_alloc *alloc = &gguf->alloc;

    if (r->tensor_count == 0)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "%s has no tensors and so is not a model; name a file "
                        "with weights",
                        r->cursor.label);
    if (r->tensor_count > TENSOR_LIMIT ||
        r->tensor_count > gov__cursor_left(&r->cursor) / TENSOR_LEAST)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: it claims %" PRIu64
                        " tensors; download it again",
                        r->cursor.label, r->tensor_count);
    gguf->count = (size_t)r->tensor_count;
    gguf->tensors =
        alloc->alloc(alloc->ctx, gguf->count * sizeof(*gguf->tensors));
    gguf->places =
        alloc->alloc(alloc->ctx, gguf->count * sizeof(*gguf->places));
    if (gguf->tensors == NULL || gguf->places == NULL)
        return no_memory(r);
    memset(gguf->tensors, 0, gguf->count * sizeof(*gguf->tensors));
    for (size_t i = 0; i < gguf->count; i++) {
        gov_status status = read_tensor(r, (uint32_t)i);

        if (status != GOV_OK)
            return status;
    }
    return GOV_OK;
}

/* Offsets become those in the file, and every tensor is found to lie in it. */
static gov_status place_tensors(struct reader *r)
{
    struct gov__gguf *gguf = r->gguf;
    uint64_t file_bytes = r->cursor.file_bytes, align = r->alignment - 1;
    uint64_t data = (gov__cursor_offset(&r->cursor) + align) & ~align;

    for (size_t i = 0; i < gguf->count; i++) {
        struct gov_tensor *tensor = &gguf->tensors[i];
        uint64_t end = data + tensor->file_offset + tensor->bytes;

        /* data and bytes are below 2^63: their sum cannot wrap. */
        if (end < tensor->file_offset)
            return damaged_tensor(r, tensor->name,
                                  "lies behind any file's end");
        if (end > file_bytes)
            return gov_fail(r->err, GOV_E_FORMAT, 0,
                            "model %s is truncated: tensor \"%s\" ends at byte "
                            "%" PRIu64 " of %" PRIu64 "; download it again",
                            r->cursor.label,
                            show(tensor->name, strlen(tensor->name)).text, end,
                            file_bytes);
        tensor->file_offset += data;
        gguf->places[i].offset = tensor->file_offset;
    }
    return GOV_OK;
}

static int by_offset(const void *left, const void *right)
{
    const struct gov__gguf_place *a = left, *b = right;

    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->tensor < b->tensor ? -1 : a->tensor > b->tensor;
}

static gov_status check_overlap(struct reader *r)
{
    struct gov__gguf *gguf = r->gguf;
    const struct gov_tensor *last = NULL;

    qsort(gguf->places, gguf->count, sizeof(*gguf->places), by_offset);
    for (size_t i = 0; i < gguf->count; i++) {
        const struct gov_tensor *tensor =
            &gguf->tensors[gguf->places[i].tensor];

        if (tensor->bytes == 0)
            continue;
        if (last != NULL &&
            tensor->file_offset - last->file_offset < last->bytes)
            return gov_fail(
                r->err, GOV_E_FORMAT, 0,
                "model %s is damaged: tensors \"%s\" and \"%s\" overlap; "
                "download it again",
                r->cursor.label, show(last->name, strlen(last->name)).text,
                show(tensor->name, strlen(tensor->name)).text);
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
static gov_status check_names(struct reader *r)
{
    struct gov__gguf *gguf = r->gguf;
    struct gov_alloc *alloc = &gguf->alloc;
    const char **names = alloc->alloc(alloc->ctx, gguf->count * sizeof(*names));
    gov_status status = GOV_OK;

    if (names == NULL)
        return no_memory(r);
    for (size_t i = 0; i < gguf->count; i++)
        names[i] = gguf->tensors[i].name;
    qsort(names, gguf->count, sizeof(*names), by_name);
    for (size_t i = 1; i < gguf->count && status == GOV_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = damaged_tensor(r, names[i], "comes twice");
    alloc->release(alloc->ctx, names);
    return status;
}

/* ---- the whole ------------------------------------------------------------ */

static gov_status read_header(struct reader *r)
{
    gov_status (*const steps[])(struct reader *) = {
        read_start,   find_architecture, read_metadata, check_metadata,
        read_tensors, place_tensors,     check_overlap, check_names};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        gov_status status = steps[i](r);

        if (status != GOV_OK)
            return status;
    }
    return GOV_OK;
}

gov_status gov__gguf_read_fd(struct gov__gguf *out, int fd, uint64_t file_bytes,
                             const char *label, const struct gov_alloc *alloc,
                             gov_error *err)
{
    struct reader r = {.gguf = out, .err = err, .alignment = DEFAULT_ALIGNMENT};
    gov_status status;

    memset(out, 0, sizeof(*out));
    out->alloc = *alloc;
    r.cursor = (struct gov__cursor){
        .fd = fd, .label = label, .err = err, .file_bytes = file_bytes};
    r.cursor.window = alloc->alloc(alloc->ctx, GOV__CURSOR_WINDOW);
    status = r.cursor.window != NULL ? read_header(&r) : no_memory(&r);
    alloc->release(alloc->ctx, r.cursor.window);
    if (status != GOV_OK)
        gov__gguf_fini(out);
    return status;
}

void gov__gguf_fini(struct gov__gguf *gguf)
{
    struct gov_alloc *alloc = &gguf->alloc;

    while (gguf->names != NULL) {
        struct gov__gguf_names *block = gguf->names;

        gguf->names = block->next;
        alloc->release(alloc->ctx, block);
    }
    alloc->release(alloc->ctx, gguf->tensors);
    alloc->release(alloc->ctx, gguf->places);
    gguf->tensors = NULL;
    gguf->places = NULL;
    gguf->count = 0;
}
