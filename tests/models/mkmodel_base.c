/* SPDX-License-Identifier: MIT */
/* What every part of mkmodel stands on: the one way to fail, memory that is
 * either there or ends the program, and a growing buffer of little-endian
 * bytes. Never opens a file and never knows what a model is. */
#include "mkmodel_base.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mk_die(enum mk_exit code, const char *format, ...)
{
    va_list args;

    fputs("mkmodel: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit((int)code); /* NOLINT(concurrency-mt-unsafe): main thread alone */
}

void *mk_alloc(size_t count, size_t size)
{
    void *p = calloc(count == 0 ? 1 : count, size);

    if (p == NULL)
        mk_die(MK_FAILED,
               "cannot get %zu bytes of memory; close other "
               "programs or make a smaller model",
               count * size);
    return p;
}

size_t mk_put(struct mk_bytes *out, const void *data, size_t len)
{
    size_t at = out->len;

    if (len > out->cap - out->len) {
        size_t cap = 2 * (out->len + len);
        uint8_t *grown = mk_alloc(cap, 1);

        if (out->len != 0)
            memcpy(grown, out->data, out->len);
        free(out->data);
        out->data = grown;
        out->cap = cap;
    }
    if (len != 0)
        memcpy(out->data + at, data, len);
    out->len += len;
    return at;
}

size_t mk_put_u32(struct mk_bytes *out, uint32_t value)
{
    uint8_t raw[4];

    mk_store_u32(raw, value);
    return mk_put(out, raw, sizeof(raw));
}

size_t mk_put_u64(struct mk_bytes *out, uint64_t value)
{
    uint8_t raw[8];

    mk_store_u64(raw, value);
    return mk_put(out, raw, sizeof(raw));
}

struct mk_text mk_size_text(uint64_t bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
    struct mk_text text;
    uint64_t unit = 1;
    size_t i = 0;

    while (i < 5 && bytes / unit >= 1000) {
        unit *= 1000;
        i++;
    }
    if (i == 0) {
        snprintf(text.s, sizeof(text.s), "%" PRIu64 " bytes", bytes);
    } else {
        bytes += unit / 200; /* round, do not cut */
        snprintf(text.s, sizeof(text.s), "%" PRIu64 ".%02" PRIu64 " %s",
                 bytes / unit, bytes % unit / (unit / 100), units[i]);
    }
    return text;
}
