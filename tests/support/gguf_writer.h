/* SPDX-License-Identifier: MIT */
/* Builds a GGUF file in memory, right or wrong: every part can also be written
 * raw. Knows nothing of the reader under test. Ends the program when memory or
 * the file system fails. */
#ifndef GOV_TESTS_GGUF_WRITER_H
#define GOV_TESTS_GGUF_WRITER_H

#include <stddef.h>
#include <stdint.h>

/* Numbers of value and tensor types, as in the format. */
enum {
    GGUF_U8 = 0,
    GGUF_I8 = 1,
    GGUF_U16 = 2,
    GGUF_U32 = 4,
    GGUF_I32 = 5,
    GGUF_F32 = 6,
    GGUF_BOOL = 7,
    GGUF_TEXT = 8,
    GGUF_ARRAY = 9,
    GGUF_U64 = 10,
};
enum { T_F32 = 0, T_F16 = 1, T_Q4_0 = 2, T_Q8_0 = 8, T_Q4_K = 12, T_Q6_K = 14 };

struct gguf_writer {
    uint8_t *data; /* the header so far */
    size_t bytes, room;
    uint64_t keys, tensors; /* counts, patched in by gguf_finish() */
    uint64_t next;          /* offset of the next tensor in the data */
    uint64_t align;         /* 32 unless changed before the first tensor */
    uint64_t file_bytes;    /* header and data; set by gguf_finish() */
};

/* Magic, version 3 and places for the counts. */
void gguf_begin(struct gguf_writer *w);
void gguf_free(struct gguf_writer *w);

/* Raw parts. */
void gguf_raw(struct gguf_writer *w, const void *data, size_t bytes);
void gguf_u32(struct gguf_writer *w, uint32_t value);
void gguf_u64(struct gguf_writer *w, uint64_t value);
void gguf_text(struct gguf_writer *w, const char *text);
/* A key and the type of the value that the caller writes next. */
void gguf_key(struct gguf_writer *w, const char *key, uint32_t type);
/* A tensor with up to four dimensions (0 ends them) at that offset. */
void gguf_tensor(struct gguf_writer *w, const char *name, uint32_t type,
                 const uint64_t shape[4], uint64_t offset);

/* Whole keys. */
void gguf_key_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_key_text(struct gguf_writer *w, const char *key, const char *text);
void gguf_key_u32s(struct gguf_writer *w, const char *key,
                   const uint32_t *values, uint64_t count);
/* An array of that many texts, "t0", "t1", ... */
void gguf_key_texts(struct gguf_writer *w, const char *key, uint64_t count);
/* What llama-gguf-split writes into part `number` (from 0) of `count`, which have
 * `tensors` together. */
void gguf_key_split(struct gguf_writer *w, uint16_t number, uint16_t count,
                    uint32_t tensors);
/* A matrix (a vector for rows 0) behind the tensors before it; returns its
 * bytes. Types above only. */
uint64_t gguf_add(struct gguf_writer *w, const char *name, uint32_t type,
                  uint64_t columns, uint64_t rows);

/* Patches the counts in and pads the header to where the data starts. Returns
 * that offset. */
uint64_t gguf_finish(struct gguf_writer *w);
/* Writes `bytes` bytes of it to a file, data as a hole. */
void gguf_save(const struct gguf_writer *w, const char *path, uint64_t bytes);

#endif
