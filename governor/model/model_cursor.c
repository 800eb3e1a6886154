/* SPDX-License-Identifier: MIT */
/* The window over the start of a file. */
#include "governor/model/model_cursor.h"

#include <inttypes.h>
#include <string.h>

/* Little-endian, whatever the machine. Written out, since gcc 12 makes one load
 * of this and eight of a loop: three times as long for a vocabulary. */
static inline uint32_t little32(const unsigned char *in)
{
    return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 |
           (uint32_t)in[3] << 24;
}

static inline uint64_t little64(const unsigned char *in)
{
    return in[0] | (uint64_t)in[1] << 8 | (uint64_t)in[2] << 16 |
           (uint64_t)in[3] << 24 | (uint64_t)in[4] << 32 |
           (uint64_t)in[5] << 40 | (uint64_t)in[6] << 48 |
           (uint64_t)in[7] << 56;
}

uint64_t gov__cursor_offset(const struct gov__cursor *cursor)
{
    return cursor->window_offset + cursor->at;
}

uint64_t gov__cursor_left(const struct gov__cursor *cursor)
{
    return cursor->file->id.bytes - gov__cursor_offset(cursor);
}

static bool too_short(struct gov__cursor *cursor)
{
    cursor->status = gov_fail(
        cursor->err, GOV_E_FORMAT, 0,
        "model %s is truncated: its header does not end within the %" PRIu64
        " bytes of the file; download it again",
        cursor->file->label, cursor->file->id.bytes);
    return false;
}

/* Moves the window so that it begins at the next byte. */
static bool fill(struct gov__cursor *cursor)
{
    uint64_t left = gov__cursor_left(cursor);
    size_t bytes =
        left < GOV__CURSOR_WINDOW ? (size_t)left : GOV__CURSOR_WINDOW;

    cursor->window_offset = gov__cursor_offset(cursor);
    cursor->window_bytes = 0;
    cursor->at = 0;
    cursor->status = gov__model_file_read(cursor->file, cursor->window_offset,
                                          cursor->window, bytes, cursor->err);
    if (cursor->status != GOV_OK)
        return false;
    cursor->window_bytes = bytes;
    return true;
}

/* Makes the next `bytes` bytes lie in the window. */
static bool reach(struct gov__cursor *cursor, size_t bytes)
{
    if (cursor->at <= cursor->window_bytes &&
        cursor->window_bytes - cursor->at >= bytes)
        return true;
    if (bytes > gov__cursor_left(cursor))
        return too_short(cursor);
    if (gov__cursor_offset(cursor) > GOV__CURSOR_LIMIT) {
        cursor->status =
            gov_fail(cursor->err, GOV_E_FORMAT, 0,
                     "model %s has a header of more than %u MiB, which no "
                     "model needs; download it again",
                     cursor->file->label, (unsigned)(GOV__CURSOR_LIMIT >> 20));
        return false;
    }
    return fill(cursor);
}

bool gov__cursor_bytes(struct gov__cursor *cursor, void *out, size_t bytes)
{
    if (!reach(cursor, bytes))
        return false;
    memcpy(out, cursor->window + cursor->at, bytes);
    cursor->at += bytes;
    return true;
}

bool gov__cursor_u32(struct gov__cursor *cursor, uint32_t *out)
{
    if (!reach(cursor, 4))
        return false;
    *out = little32(cursor->window + cursor->at);
    cursor->at += 4;
    return true;
}

bool gov__cursor_u64(struct gov__cursor *cursor, uint64_t *out)
{
    if (!reach(cursor, 8))
        return false;
    *out = little64(cursor->window + cursor->at);
    cursor->at += 8;
    return true;
}

bool gov__cursor_skip(struct gov__cursor *cursor, uint64_t bytes)
{
    if (bytes > gov__cursor_left(cursor))
        return too_short(cursor);
    if (bytes <= SIZE_MAX - cursor->at) {
        cursor->at += (size_t)bytes;
    } else {
        cursor->window_offset += cursor->at + bytes;
        cursor->at = 0;
        cursor->window_bytes = 0;
    }
    return true;
}

/* Skips as many of them as lie in the window, and returns how many do not. Most
 * of a header is strings of a vocabulary: this loop is most of reading one. */
static uint64_t skip_in_window(struct gov__cursor *cursor, uint64_t count)
{
    const unsigned char *window = cursor->window;
    size_t at = cursor->at, end = cursor->window_bytes;

    while (count > 0 && at < end && end - at >= 8) {
        uint64_t length = little64(window + at);

        if (length > end - at - 8)
            break;
        at += 8 + (size_t)length;
        count--;
    }
    cursor->at = at;
    return count;
}

bool gov__cursor_skip_strings(struct gov__cursor *cursor, uint64_t count)
{
    uint64_t length;

    /* Each takes at least its own length: a count that cannot be right is told
     * before half the file is read. */
    if (count > gov__cursor_left(cursor) / 8)
        return too_short(cursor);
    while ((count = skip_in_window(cursor, count)) > 0) {
        if (!gov__cursor_u64(cursor, &length) ||
            !gov__cursor_skip(cursor, length))
            return false;
        count--;
    }
    return true;
}

void gov__cursor_rewind(struct gov__cursor *cursor, uint64_t offset)
{
    if (offset >= cursor->window_offset &&
        offset - cursor->window_offset <= cursor->window_bytes) {
        cursor->at = (size_t)(offset - cursor->window_offset);
        return;
    }
    cursor->window_offset = offset;
    cursor->window_bytes = 0;
    cursor->at = 0;
}
