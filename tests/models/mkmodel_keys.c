/* SPDX-License-Identifier: MIT */
/* Writing one GGUF key and its value. Never knows what a key means. */
#include "mkmodel_keys.h"

#include <stdio.h>
#include <string.h>

size_t mk_put_text(struct mk_bytes *out, const char *text, size_t len)
{
    size_t at = mk_put_u64(out, len);

    mk_put(out, text, len);
    return at;
}

size_t mk_put_float(struct mk_bytes *out, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return mk_put_u32(out, bits);
}

static bool is_common(const char *name)
{
    return strncmp(name, "general.", 8) == 0 ||
           strncmp(name, "tokenizer.", 10) == 0 ||
           strncmp(name, "split.", 6) == 0;
}

void mk_put_key(struct mk_keys_out *out, const char *name, enum mk_value type)
{
    char text[80];
    uint8_t count = out->bytes.data[out->count_at];

    if (is_common(name))
        snprintf(text, sizeof(text), "%s", name);
    else
        snprintf(text, sizeof(text), "%s.%s", out->arch, name);
    mk_put_text(&out->bytes, text, strlen(text));
    mk_put_u32(&out->bytes, type);
    out->bytes.data[out->count_at] = (uint8_t)(count + 1);
}

void mk_put_key_u16(struct mk_keys_out *out, const char *name, uint16_t value)
{
    uint8_t raw[2];

    mk_store_u16(raw, value);
    mk_put_key(out, name, MK_U16);
    mk_put(&out->bytes, raw, sizeof(raw));
}

void mk_put_key_u32(struct mk_keys_out *out, const char *name, uint32_t value)
{
    mk_put_key(out, name, MK_U32);
    mk_put_u32(&out->bytes, value);
}

void mk_put_key_i32(struct mk_keys_out *out, const char *name, uint32_t value)
{
    mk_put_key(out, name, MK_I32);
    mk_put_u32(&out->bytes, value);
}

void mk_put_key_f32(struct mk_keys_out *out, const char *name, float value)
{
    mk_put_key(out, name, MK_F32);
    mk_put_float(&out->bytes, value);
}

void mk_put_key_bool(struct mk_keys_out *out, const char *name, bool value)
{
    uint8_t byte = value;

    mk_put_key(out, name, MK_BOOL);
    mk_put(&out->bytes, &byte, 1);
}

size_t mk_put_key_text(struct mk_keys_out *out, const char *name,
                       const char *value)
{
    mk_put_key(out, name, MK_STRING);
    return mk_put_text(&out->bytes, value, strlen(value));
}

size_t mk_put_key_array(struct mk_keys_out *out, const char *name,
                        enum mk_value type, uint64_t count)
{
    mk_put_key(out, name, MK_ARRAY);
    mk_put_u32(&out->bytes, type);
    return mk_put_u64(&out->bytes, count);
}
