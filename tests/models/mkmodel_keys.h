/* SPDX-License-Identifier: MIT */
/* Writing one GGUF key and its value. Never knows what a key means. */
#ifndef MKMODEL_KEYS_H
#define MKMODEL_KEYS_H

#include "mkmodel_base.h"

#include <stdbool.h>

enum mk_value {
    MK_U16 = 2,
    MK_U32 = 4,
    MK_I32 = 5,
    MK_F32 = 6,
    MK_BOOL = 7,
    MK_STRING = 8,
    MK_ARRAY = 9
};

/* The keys so far: their bytes, and the prefix of those that belong to the
 * architecture. */
struct mk_keys_out {
    struct mk_bytes bytes;
    const char *arch; /* borrowed */
    size_t count_at;  /* where the bytes hold the number of keys */
};

/* A length and the text; returns where the length is. */
size_t mk_put_text(struct mk_bytes *out, const char *text, size_t len);
size_t mk_put_float(struct mk_bytes *out, float value);

/* Names that begin with neither "general.", "tokenizer." nor "split." belong to
 * the architecture. */
void mk_put_key(struct mk_keys_out *out, const char *name, enum mk_value type);
void mk_put_key_u16(struct mk_keys_out *out, const char *name, uint16_t value);
void mk_put_key_u32(struct mk_keys_out *out, const char *name, uint32_t value);
void mk_put_key_i32(struct mk_keys_out *out, const char *name, uint32_t value);
void mk_put_key_f32(struct mk_keys_out *out, const char *name, float value);
void mk_put_key_bool(struct mk_keys_out *out, const char *name, bool value);

/* Return where the length of the value is. */
size_t mk_put_key_text(struct mk_keys_out *out, const char *name,
                       const char *value);
/* The elements follow. */
size_t mk_put_key_array(struct mk_keys_out *out, const char *name,
                        enum mk_value type, uint64_t count);

#endif
