/* SPDX-License-Identifier: MIT */
/* Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Where the
 * document and llama.cpp's reader (ggml/src/gguf.cpp) differ, the latter is
 * followed, with one exception: gaps between tensors are allowed. */
#include "governor/model/gguf_priv.h"

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
    WANTED_ARCHITECTURE = GOV__KEYS,
    WANTED_NAME,
    WANTED_TOKENS,
    WANTED_MERGES,
    WANTED_OF_EVERY_PART, /* of parts but the first, what is behind it */
    WANTED_ALIGNMENT = WANTED_OF_EVERY_PART,
    WANTED_SPLIT_NUMBER,
    WANTED_SPLIT_COUNT,
    WANTED_SPLIT_TENSORS,
    WANTED_KEYS
};

static const char *const wanted_keys[WANTED_KEYS] = {
#define KEY(id, key) [GOV__KEY_##id] = key,
    GOV__NUMBER_MAP(KEY)
#undef KEY
        [WANTED_ARCHITECTURE] = "general.architecture",
    [WANTED_NAME] = "general.name",
    [WANTED_TOKENS] = "tokenizer.ggml.tokens",
    [WANTED_MERGES] = "tokenizer.ggml.merges",
    [WANTED_ALIGNMENT] = "general.alignment",
    [WANTED_SPLIT_NUMBER] = "split.no",
    [WANTED_SPLIT_COUNT] = "split.count",
    [WANTED_SPLIT_TENSORS] = "split.tensors.count",
};

/* Longer keys than any that is wanted are passed over unread. */
#define KEY_LIMIT 128

struct reader {
    struct gov__cursor cursor;
    struct gov__gguf *model;
    struct gov__header *header;
    struct gov__gguf_part *part;
    gov_error *err;
    const char *label;
    uint64_t key_count, tensor_count;
    uint64_t keys_offset;      /* in the file, of the first key */
    uint64_t alignment;        /* of tensors */
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
                    r->label, show(name, strlen(name)).text, fact);
}

static gov_status damaged_key(const struct reader *r, const char *key,
                              const char *fact)
{
    return gov_fail(r->err, GOV_E_FORMAT, 0,
                    "model %s is damaged: key \"%s\" %s; download it again",
                    r->label, show(key, strlen(key)).text, fact);
}

static gov_status no_memory(const struct reader *r)
{
    return gov_fail(r->err, GOV_E_NOMEM, 0,
                    "out of memory while reading model %s; free some and try "
                    "again",
                    r->label);
}

/* ---- metadata ------------------------------------------------------------- */

static gov_status read_start(struct reader *r)
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
                        r->label, show(magic, sizeof(magic)).text);
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
                        r->label, show(key, strlen(key)).text);
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

/* A number that is no whole number, is negative, is huge or comes for more layers
 * than there can be stays unknown: a later llama.cpp may well give it a meaning. */
static gov_status read_number(struct reader *r, const struct value *value,
                              enum gov__key key)
{
    bool whole = value_bytes[value->type] != 0 && value->type != VALUE_F32 &&
                 value->type != VALUE_F64;
    uint32_t values[GOV__LAYERS_MAX];
    bool known = true;

    if (!whole || value->count > GOV__LAYERS_MAX)
        return skip_value(r, value);
    for (uint64_t i = 0; i < value->count; i++) {
        uint64_t one;
        bool fits;

        if (!read_integer(&r->cursor, value->type, &one, &fits))
            return r->cursor.status;
        values[i] = (uint32_t)one;
        known = known && fits && one <= UINT32_MAX;
    }
    if (known &&
        !gov__header_set(r->header, key, values, (uint32_t)value->count))
        return no_memory(r);
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
    gov__text_safe(r->header->architecture, sizeof(r->header->architecture),
                   text, bytes);
    return GOV_OK;
}

static gov_status read_name(struct reader *r, const char *key,
                            const struct value *value)
{
    char text[sizeof(r->header->name)];
    size_t bytes = sizeof(text);
    gov_status status = read_string(r, key, value, text, &bytes);

    if (status == GOV_OK)
        gov__text_safe(r->header->name, sizeof(r->header->name), text, bytes);
    return status;
}

/* The texts themselves are nobody's business here. */
static gov_status read_count(struct reader *r, const struct value *value,
                             uint32_t *out)
{
    gov_status status = skip_value(r, value);

    if (status == GOV_OK && value->array && value->type == VALUE_STRING &&
        value->count <= UINT32_MAX)
        *out = (uint32_t)value->count;
    return status;
}

/* The first file of a model has its numbers. */
static bool is_first(const struct reader *r)
{
    return r->header->file_count == 0;
}

/* Which of the wanted keys it is; WANTED_KEYS for none. */
static unsigned find_wanted(const struct reader *r, const char *key)
{
    size_t prefix = strlen(r->raw_architecture);
    unsigned i;

    for (i = is_first(r) ? WANTED_ARCHITECTURE : WANTED_OF_EVERY_PART;
         i < WANTED_KEYS; i++)
        if (strcmp(key, wanted_keys[i]) == 0)
            return i;
    if (prefix == 0 || strncmp(key, r->raw_architecture, prefix) != 0 ||
        key[prefix] != '.')
        return WANTED_KEYS;
    for (i = 0; i < GOV__KEYS; i++)
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
    case WANTED_TOKENS:
        return read_count(r, value, &r->header->vocabulary_tokens);
    case WANTED_MERGES:
        return read_count(r, value, &r->header->vocabulary_merges);
    case WANTED_SPLIT_NUMBER:
        return read_needed(r, key, value, &r->part->number);
    case WANTED_SPLIT_COUNT:
        return read_needed(r, key, value, &r->part->count);
    case WANTED_SPLIT_TENSORS:
        return read_needed(r, key, value, &r->part->tensors);
    default:
        return read_number(r, value, (enum gov__key)which);
    }
}

/* The architecture prefixes the keys that matter. By custom it is the first
 * key, so this reads one; a file that has it elsewhere is read twice. */
static gov_status find_architecture(struct reader *r)
{
    char key[KEY_LIMIT];
    struct value value;

    for (uint64_t i = 0; is_first(r) && i < r->key_count; i++) {
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
    const struct gov__number *layers = &r->header->number[GOV__KEY_BLOCKS];

    if (r->alignment == 0 || (r->alignment & (r->alignment - 1)) != 0)
        return damaged_key(r, wanted_keys[WANTED_ALIGNMENT],
                           "is no power of two");
    if (layers->count == 1 && layers->one > GOV__LAYERS_MAX)
        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s has %" PRIu32
                        " layers, more than the %d that engines run",
                        r->label, layers->one, GOV__LAYERS_MAX);
    return GOV_OK;
}

/* ---- tensors -------------------------------------------------------------- */

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
                        r->label, length);
    if (!gov__cursor_bytes(c, name, (size_t)length))
        return c->status;
    for (size_t i = 0; i < length; i++)
        fine = fine && name[i] >= 0x20 && name[i] < 0x7F;
    if (!fine)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is damaged: a tensor's name is \"%s\"; "
                        "download it again",
                        r->label, show(name, (size_t)length).text);
    tensor->name = gov__header_keep(r->header, name, (size_t)length);
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
            r->label, show(tensor->name, strlen(tensor->name)).text, *number,
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

/* Makes room for `more` tensors. */
static bool grow(struct reader *r, size_t more)
{
    struct gov__header *header = r->header;
    struct gov_alloc *alloc = &header->alloc;
    size_t room = header->count + more;
    struct gov_tensor *tensors;
    struct gov__place *places;

    if (room <= r->model->tensor_room)
        return true;
    if (room < 2 * header->count) /* parts may be many and small */
        room = 2 * header->count;
    tensors = alloc->alloc(alloc->ctx, room * sizeof(*tensors));
    places = alloc->alloc(alloc->ctx, room * sizeof(*places));
    if (tensors == NULL || places == NULL) {
        alloc->release(alloc->ctx, tensors);
        alloc->release(alloc->ctx, places);
        return false;
    }
    if (header->count > 0) {
        memcpy(tensors, header->tensors, header->count * sizeof(*tensors));
        memcpy(places, header->places, header->count * sizeof(*places));
    }
    alloc->release(alloc->ctx, header->tensors);
    alloc->release(alloc->ctx, header->places);
    header->tensors = tensors;
    header->places = places;
    r->model->tensor_room = room;
    return true;
}

static gov_status read_tensors(struct reader *r)
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
    if (!grow(r, (size_t)r->tensor_count))
        return no_memory(r);
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
static gov_status place_tensors(struct reader *r)
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
                            r->label,
                            show(tensor->name, strlen(tensor->name)).text, end,
                            file_bytes);
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
    gov_status (*const steps[])(struct reader *) = {
        read_start,     find_architecture, read_metadata,
        check_metadata, read_tensors,      place_tensors};
    struct reader r = {
        .cursor = {.file = file, .err = model->err, .window = model->window},
        .model = model,
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
    part->numbered = r.seen[WANTED_SPLIT_NUMBER];
    part->summed = r.seen[WANTED_SPLIT_TENSORS];
    return GOV_OK;
}
