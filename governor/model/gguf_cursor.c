/* SPDX-License-Identifier: MIT */
/* The window over the start of a file; the only place that reads it. */
#include "governor/model/gguf_cursor.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* Little-endian, whatever the machine; compilers make one load of it. */
static uint64_t little(const unsigned char *in, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

uint64_t gov__cursor_offset(const struct gov__cursor *cursor)
{
    return cursor->window_offset + cursor->at;
}

uint64_t gov__cursor_left(const struct gov__cursor *cursor)
{
    return cursor->file_bytes - gov__cursor_offset(cursor);
}

static bool too_short(struct gov__cursor *cursor)
{
    cursor->status = gov_fail(
        cursor->err, GOV_E_FORMAT, 0,
        "model %s is truncated: its header does not end within the %" PRIu64
        " bytes of the file; download it again",
        cursor->label, cursor->file_bytes);
    return false;
}

/* Moves the window so that it begins at the next byte, and fills it with at
 * least `want` bytes, which the file has by its size. */
static bool fill(struct gov__cursor *cursor, size_t want)
{
    size_t have = 0, room = GOV__CURSOR_WINDOW;

    cursor->window_offset = gov__cursor_offset(cursor);
    cursor->window_bytes = 0;
    cursor->at = 0;
    if (room > gov__cursor_left(cursor))
        room = (size_t)gov__cursor_left(cursor);
    while (have < want) {
        ssize_t n = pread(cursor->fd, cursor->window + have, room - have,
                          (off_t)(cursor->window_offset + have));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            cursor->status = gov_fail(cursor->err, GOV_E_IO, errno,
                                      "cannot read model %s", cursor->label);
            return false;
        }
        if (n == 0) {
            cursor->status = gov_fail(
                cursor->err, GOV_E_IO, 0,
                "model %s became shorter while it was read; wait until "
                "nothing writes to it",
                cursor->label);
            return false;
        }
        have += (size_t)n;
    }
    cursor->window_bytes = have;
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
                     cursor->label, (unsigned)(GOV__CURSOR_LIMIT >> 20));
        return false;
    }
    return fill(cursor, bytes);
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
    *out = (uint32_t)little(cursor->window + cursor->at, 4);
    cursor->at += 4;
    return true;
}

bool gov__cursor_u64(struct gov__cursor *cursor, uint64_t *out)
{
    if (!reach(cursor, 8))
        return false;
    *out = little(cursor->window + cursor->at, 8);
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

bool gov__cursor_skip_strings(struct gov__cursor *cursor, uint64_t count)
{
    uint64_t length;

    /* Each takes at least its own length: a count that cannot be right is told
     * before half the file is read. */
    if (count > gov__cursor_left(cursor) / 8)
        return too_short(cursor);
    while (count-- > 0) {
        if (!gov__cursor_u64(cursor, &length) ||
            !gov__cursor_skip(cursor, length))
            return false;
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
