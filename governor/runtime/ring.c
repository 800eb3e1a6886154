/* SPDX-License-Identifier: MIT */
#include "governor/runtime/ring.h"

#include <string.h>

static unsigned char *item(const struct gov__ring *ring, size_t n)
{
    return ring->items + (ring->first + n) % ring->room * ring->bytes;
}

size_t gov__ring_push(struct gov__ring *ring, const void *row)
{
    const size_t lost = ring->count == ring->room;

    if (lost != 0) {
        ring->first = (ring->first + 1) % ring->room;
        ring->count--;
    }
    memcpy(item(ring, ring->count++), row, ring->bytes);
    return lost;
}

size_t gov__ring_take(struct gov__ring *ring, void *out)
{
    const size_t count = ring->count;

    for (size_t i = 0; i < count; i++)
        memcpy((unsigned char *)out + i * ring->bytes, item(ring, i),
               ring->bytes);
    ring->count = 0;
    return count;
}

size_t gov__ring_put_back(struct gov__ring *ring, const void *rows,
                          size_t count)
{
    while (count > 0 && ring->count < ring->room) {
        ring->first = (ring->first + ring->room - 1) % ring->room;
        ring->count++;
        memcpy(item(ring, 0),
               (const unsigned char *)rows + --count * ring->bytes,
               ring->bytes);
    }
    return count;
}
