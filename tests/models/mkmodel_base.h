/* SPDX-License-Identifier: MIT */
/* What every part of mkmodel stands on: the one way to fail, memory that is
 * either there or ends the program, and a growing buffer of little-endian
 * bytes. Never opens a file and never knows what a model is. */
#ifndef MKMODEL_BASE_H
#define MKMODEL_BASE_H

#include <stddef.h>
#include <stdint.h>

enum mk_exit { MK_FAILED = 1, MK_USAGE = 2 };

/* Prints "mkmodel: " and one sentence on stderr, then exits with the code.
 * Only the main thread may call it, and only while no partial file exists. */
_Noreturn void mk_die(enum mk_exit code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Zeroed memory for count things of the given size; never NULL. */
void *mk_alloc(size_t count, size_t size);

struct mk_bytes {
    uint8_t *data; /* released with free() */
    size_t len;
    size_t cap;
};

/* Each returns the position in the buffer at which it wrote. */
size_t mk_put(struct mk_bytes *out, const void *data, size_t len);
size_t mk_put_u32(struct mk_bytes *out, uint32_t value);
size_t mk_put_u64(struct mk_bytes *out, uint64_t value);

/* "1.02 GB": decimal units, as disks are sold and as df -H counts. */
struct mk_text {
    char s[64];
};
struct mk_text mk_size_text(uint64_t bytes);

static inline void mk_store_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static inline void mk_store_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static inline void mk_store_u64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t mk_round_up(uint64_t value, uint64_t step)
{
    return (value + step - 1) / step * step;
}

#endif
