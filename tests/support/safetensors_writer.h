/* SPDX-License-Identifier: MIT */
/* Builds a safetensors file in memory, right or wrong. Knows nothing of the
 * reader under test. Ends the program when memory or the file system fails. */
#ifndef GOV_TESTS_SAFETENSORS_WRITER_H
#define GOV_TESTS_SAFETENSORS_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct safetensors_writer {
    char *json; /* the header so far, NUL-terminated */
    size_t bytes, room;
    uint64_t next; /* offset of the next tensor in the data */
};

void safetensors_begin(struct safetensors_writer *w);
void safetensors_free(struct safetensors_writer *w);

/* Appends to the header as it is. */
void safetensors_raw(struct safetensors_writer *w, const char *json);
/* A tensor with any text as its shape and offsets. */
void safetensors_tensor(struct safetensors_writer *w, const char *name,
                        const char *dtype, const char *shape, uint64_t begin,
                        uint64_t end);
/* A tensor of up to four dimensions (0 ends them, slowest first) behind those
 * before it; returns its bytes. */
uint64_t safetensors_add(struct safetensors_writer *w, const char *name,
                         const char *dtype, const uint64_t shape[4]);
#define SHAPE(...) ((const uint64_t[4]){__VA_ARGS__})

/* Closes the object and pads the header to a multiple of 8. */
void safetensors_finish(struct safetensors_writer *w);
/* Length, header, and a hole of `data` bytes. */
void safetensors_save(const struct safetensors_writer *w, const char *path,
                      uint64_t data);
/* Finishes, saves with all data, frees. */
void safetensors_write(struct safetensors_writer *w, const char *path);

/* A file of these bytes, or of a text. */
void write_bytes(const char *path, const void *data, size_t bytes);
void write_text(const char *path, const char *text);

#endif
