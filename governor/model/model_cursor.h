/* SPDX-License-Identifier: MIT */
/* Reads the start of an open file once, front to back, through a small window.
 * Counts what is really there and never maps the file; knows nothing of what
 * the bytes mean. */
#ifndef GOV_MODEL_MODEL_CURSOR_H
#define GOV_MODEL_MODEL_CURSOR_H

#include <stdbool.h>

#include "governor/model/model_file.h"

/* 16 KiB to 256 KiB were equally fast, within 8 %, on a header of 15 MB. */
#define GOV__CURSOR_WINDOW ((size_t)64 * 1024)

/* No header is larger: one with a vocabulary of 256 thousand has some 17 MB.
 * Bounds what a hostile file of holes can cost, to a quarter of a second. */
#define GOV__CURSOR_LIMIT ((uint64_t)128 * 1024 * 1024)

struct gov__cursor {
    const struct gov__model_file *file;
    gov_error *err;         /* where the first failure goes; may be NULL */
    gov_status status;      /* of the first failure */
    unsigned char *window;  /* GOV__CURSOR_WINDOW bytes; borrowed */
    uint64_t window_offset; /* in the file */
    size_t window_bytes;    /* read so far */
    size_t at;              /* in the window; may lie behind its end */
};

/* Offset in the file of the next byte. */
uint64_t gov__cursor_offset(const struct gov__cursor *cursor);
/* Bytes from there to the end of the file. */
uint64_t gov__cursor_left(const struct gov__cursor *cursor);

/* Each returns false when the file ends first or cannot be read; the cursor's
 * status and err then say why. */
bool gov__cursor_bytes(struct gov__cursor *cursor, void *out, size_t bytes);
bool gov__cursor_u32(struct gov__cursor *cursor, uint32_t *out);
bool gov__cursor_u64(struct gov__cursor *cursor, uint64_t *out);
bool gov__cursor_skip(struct gov__cursor *cursor, uint64_t bytes);
/* Skips `count` strings, each a length of 8 bytes and that many bytes. */
bool gov__cursor_skip_strings(struct gov__cursor *cursor, uint64_t count);
/* Goes back to an offset that was reached before. */
void gov__cursor_rewind(struct gov__cursor *cursor, uint64_t offset);

#endif
