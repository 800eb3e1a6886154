/* SPDX-License-Identifier: MIT */
/* The format, written down a second time: shares nothing with the reader. */
#include "tests/support/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void give_up(const char *what)
{
    perror(what);
    abort();
}

void gguf_raw(struct gguf_writer *w, const void *data, size_t bytes)
{
    if (w->room - w->bytes < bytes) {
        w->room = 2 * w->room + bytes + 4096;
        w->data = realloc(w->data, w->room);
        if (w->data == NULL)
            give_up("realloc");
    }
    if (bytes > 0)
        memcpy(w->data + w->bytes, data, bytes);
    w->bytes += bytes;
}

static void little(struct gguf_writer *w, uint64_t value, unsigned bytes)
{
    uint8_t out[8];

    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
    gguf_raw(w, out, bytes);
}

void gguf_u32(struct gguf_writer *w, uint32_t value)
{
    little(w, value, 4);
}

void gguf_u64(struct gguf_writer *w, uint64_t value)
{
    little(w, value, 8);
}

void gguf_text(struct gguf_writer *w, const char *text)
{
    gguf_u64(w, strlen(text));
    gguf_raw(w, text, strlen(text));
}

void gguf_begin(struct gguf_writer *w)
{
    memset(w, 0, sizeof(*w));
    w->align = 32;
    gguf_raw(w, "GGUF", 4);
    gguf_u32(w, 3);
    gguf_u64(w, 0);
    gguf_u64(w, 0);
}

void gguf_free(struct gguf_writer *w)
{
    free(w->data);
    memset(w, 0, sizeof(*w));
}

void gguf_key(struct gguf_writer *w, const char *key, uint32_t type)
{
    gguf_text(w, key);
    gguf_u32(w, type);
    w->keys++;
}

void gguf_key_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    gguf_key(w, key, GGUF_U32);
    gguf_u32(w, value);
}

void gguf_key_text(struct gguf_writer *w, const char *key, const char *text)
{
    gguf_key(w, key, GGUF_TEXT);
    gguf_text(w, text);
}

void gguf_key_u32s(struct gguf_writer *w, const char *key,
                   const uint32_t *values, uint64_t count)
{
    gguf_key(w, key, GGUF_ARRAY);
    gguf_u32(w, GGUF_U32);
    gguf_u64(w, count);
    for (uint64_t i = 0; i < count; i++)
        gguf_u32(w, values[i]);
}

void gguf_key_texts(struct gguf_writer *w, const char *key, uint64_t count)
{
    gguf_key(w, key, GGUF_ARRAY);
    gguf_u32(w, GGUF_TEXT);
    gguf_u64(w, count);
    for (uint64_t i = 0; i < count; i++) {
        char text[32];

        snprintf(text, sizeof(text), "t%llu", (unsigned long long)i);
        gguf_text(w, text);
    }
}

void gguf_key_split(struct gguf_writer *w, uint16_t number, uint16_t count,
                    uint32_t tensors)
{
    gguf_key(w, "split.no", GGUF_U16);
    little(w, number, 2);
    gguf_key(w, "split.count", GGUF_U16);
    little(w, count, 2);
    gguf_key(w, "split.tensors.count", GGUF_I32);
    gguf_u32(w, tensors);
}

void gguf_tensor(struct gguf_writer *w, const char *name, uint32_t type,
                 const uint64_t shape[4], uint64_t offset)
{
    uint32_t dims = 0;

    while (dims < 4 && shape[dims] != 0)
        dims++;
    gguf_text(w, name);
    gguf_u32(w, dims);
    for (uint32_t i = 0; i < dims; i++)
        gguf_u64(w, shape[i]);
    gguf_u32(w, type);
    gguf_u64(w, offset);
    w->tensors++;
}

static uint64_t size_of(uint32_t type, uint64_t elements)
{
    switch (type) {
    case T_F32:
        return elements * 4;
    case T_F16:
        return elements * 2;
    case T_Q4_0:
        return elements / 32 * 18;
    case T_Q8_0:
        return elements / 32 * 34;
    case T_Q4_K:
        return elements / 256 * 144;
    case T_Q6_K:
        return elements / 256 * 210;
    }
    fprintf(stderr, "gguf_add: type %u is not known here\n", type);
    abort();
}

uint64_t gguf_add(struct gguf_writer *w, const char *name, uint32_t type,
                  uint64_t columns, uint64_t rows)
{
    uint64_t shape[4] = {columns, rows, 0, 0};
    uint64_t bytes = size_of(type, columns * (rows != 0 ? rows : 1));

    gguf_tensor(w, name, type, shape, w->next);
    w->next = (w->next + bytes + w->align - 1) / w->align * w->align;
    return bytes;
}

uint64_t gguf_finish(struct gguf_writer *w)
{
    static const uint8_t zeros[32];

    for (unsigned i = 0; i < 8; i++) {
        w->data[8 + i] = (uint8_t)(w->tensors >> (8 * i));
        w->data[16 + i] = (uint8_t)(w->keys >> (8 * i));
    }
    while (w->bytes % w->align != 0) {
        uint64_t pad = w->align - w->bytes % w->align;

        gguf_raw(w, zeros, pad < sizeof(zeros) ? (size_t)pad : sizeof(zeros));
    }
    w->file_bytes = w->bytes + w->next;
    return w->bytes;
}

void gguf_save(const struct gguf_writer *w, const char *path, uint64_t bytes)
{
    FILE *file = fopen(path, "wb");
    size_t head = bytes < w->bytes ? (size_t)bytes : w->bytes;

    if (file == NULL || (head > 0 && fwrite(w->data, 1, head, file) != head) ||
        fflush(file) != 0 || ftruncate(fileno(file), (off_t)bytes) != 0 ||
        fclose(file) != 0)
        give_up(path);
}
