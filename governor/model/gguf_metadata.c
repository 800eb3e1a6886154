/* SPDX-License-Identifier: MIT */
/* The keys and values in front of a GGUF file's tensors. Format:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. What is wanted is
 * kept, and all else passed over, whatever it is called. */
#include <inttypes.h>
#include <string.h>

#include "governor/model/gguf_priv.h"
#include "governor/model/model_text.h"

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
    WANTED_TYPE,
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
    [WANTED_TYPE] = "general.type",
    [WANTED_TOKENS] = "tokenizer.ggml.tokens",
    [WANTED_MERGES] = "tokenizer.ggml.merges",
    [WANTED_ALIGNMENT] = "general.alignment",
    [WANTED_SPLIT_NUMBER] = "split.no",
    [WANTED_SPLIT_COUNT] = "split.count",
    [WANTED_SPLIT_TENSORS] = "split.tensors.count",
};

/* Longer keys than any that is wanted are passed over unread. */
#define KEY_LIMIT 128

/* A value's type and, for an array, how many there are of it. */
struct value {
    uint32_t type;
    uint64_t count;
    bool array;
};

static struct gov__shown_name show(const char *name)
{
    return gov__text_show(name, strlen(name));
}

static gov_status damaged_key(const struct gov__gguf_reader *r, const char *key,
                              const char *fact)
{
    return gov_fail(r->err, GOV_E_FORMAT, 0,
                    "model %s is damaged: key \"%s\" %s; download it again",
                    r->label, show(key).text, fact);
}

/* Reads a key and the type of its value. A key that cannot be of interest, being
 * too long or with a NUL in it, becomes "". */
static gov_status read_key(struct gov__gguf_reader *r, char key[KEY_LIMIT],
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
                        r->label, show(key).text);
    if (value->type >= VALUE_TYPES)
        return damaged_key(r, key, "has a value of no known type");
    return GOV_OK;
}

static gov_status skip_value(struct gov__gguf_reader *r,
                             const struct value *value)
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
static gov_status read_number(struct gov__gguf_reader *r,
                              const struct value *value, enum gov__key key)
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
        return gov__header_no_memory(r->label, r->err);
    return GOV_OK;
}

/* A number without which the rest cannot be read. */
static gov_status read_needed(struct gov__gguf_reader *r, const char *key,
                              const struct value *value, uint64_t *out)
{
    bool fits = false;

    if (value->array || value->type > VALUE_I32)
        return damaged_key(r, key, "is no whole number of 32 bits");
    if (!read_integer(&r->cursor, value->type, out, &fits))
        return r->cursor.status;
    return fits ? GOV_OK : damaged_key(r, key, "is negative");
}

/* Reads a string, of which at most *bytes bytes are kept; *bytes becomes how
 * many there are. No NUL is added. */
static gov_status read_string(struct gov__gguf_reader *r, const char *key,
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

static gov_status read_architecture(struct gov__gguf_reader *r, const char *key,
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

static gov_status read_name(struct gov__gguf_reader *r, const char *key,
                            const struct value *value)
{
    char text[sizeof(r->header->name)];
    size_t bytes = sizeof(text);
    gov_status status = read_string(r, key, value, text, &bytes);

    if (status == GOV_OK)
        gov__text_safe(r->header->name, sizeof(r->header->name), text, bytes);
    return status;
}

/* "model", "mmproj", "adapter"; before 2024 nothing said so. */
static gov_status read_type(struct gov__gguf_reader *r, const char *key,
                            const struct value *value)
{
    char text[sizeof("adapter")];
    size_t bytes = sizeof(text);
    gov_status status = read_string(r, key, value, text, &bytes);

    if (status == GOV_OK && bytes == strlen("adapter") &&
        memcmp(text, "adapter", bytes) == 0)
        status = gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                          "%s is an adapter (LoRA) and no model; name the "
                          "model that it is for",
                          r->label);
    return status;
}

/* The texts themselves are nobody's business here. */
static gov_status read_count(struct gov__gguf_reader *r,
                             const struct value *value, uint32_t *out)
{
    gov_status status = skip_value(r, value);

    if (status == GOV_OK && value->array && value->type == VALUE_STRING &&
        value->count <= UINT32_MAX)
        *out = (uint32_t)value->count;
    return status;
}

/* The first file of a model has its numbers. */
static bool is_first(const struct gov__gguf_reader *r)
{
    return r->header->file_count == 0;
}

/* Which of the wanted keys it is; WANTED_KEYS for none. */
static unsigned find_wanted(const struct gov__gguf_reader *r, const char *key)
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

static gov_status read_wanted(struct gov__gguf_reader *r, unsigned which,
                              const char *key, const struct value *value)
{
    switch (which) {
    case WANTED_ARCHITECTURE:
        return read_architecture(r, key, value);
    case WANTED_NAME:
        return read_name(r, key, value);
    case WANTED_TYPE:
        return read_type(r, key, value);
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
static gov_status find_architecture(struct gov__gguf_reader *r)
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
    return GOV_OK;
}

static gov_status read_metadata(struct gov__gguf_reader *r)
{
    bool seen[WANTED_KEYS] = {false};
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
            if (seen[which])
                return damaged_key(r, key, "comes twice");
            seen[which] = true;
            status = read_wanted(r, which, key, &value);
        }
        if (status != GOV_OK)
            return status;
    }
    r->part->numbered = seen[WANTED_SPLIT_NUMBER];
    r->part->summed = seen[WANTED_SPLIT_TENSORS];
    return GOV_OK;
}

static gov_status check_metadata(struct gov__gguf_reader *r)
{
    const struct gov__number *layers = &r->header->number[GOV__KEY_BLOCKS];

    if (r->alignment == 0 || (r->alignment & (r->alignment - 1)) != 0)
        return damaged_key(r, wanted_keys[WANTED_ALIGNMENT],
                           "is no power of two");
    if (layers->count == 1 && layers->one > GOV__LAYERS_MAX)
        return gov_fail(r->err, GOV_E_UNSUPPORTED, 0,
                        "model %s has %" PRIu32
                        " layers, more than the %d that engines run; name "
                        "another model",
                        r->label, layers->one, GOV__LAYERS_MAX);
    return GOV_OK;
}

gov_status gov__gguf_metadata(struct gov__gguf_reader *r)
{
    uint64_t first_key = gov__cursor_offset(&r->cursor);
    gov_status status = find_architecture(r);

    if (status != GOV_OK)
        return status;
    gov__cursor_rewind(&r->cursor, first_key);
    status = read_metadata(r);
    return status == GOV_OK ? check_metadata(r) : status;
}
