/* SPDX-License-Identifier: MIT */
/* Rows that wait in memory of the caller's, the oldest first. Pure; under the caller's
 * lock. */
#ifndef GOV_RUNTIME_RING_H
#define GOV_RUNTIME_RING_H

#include <stddef.h>

/* The caller sets the first three; room is not 0. */
struct gov__ring {
    unsigned char *items;
    size_t bytes, room; /* of a row; rows */
    size_t first, count;
};

/* Copies a row in; the oldest goes when it is full. Returns how many were lost. */
size_t gov__ring_push(struct gov__ring *ring, const void *row);

/* Moves all of them to `out`, which has room for as many; returns how many. */
size_t gov__ring_take(struct gov__ring *ring, void *out);

/* Puts rows that were taken in front of those that came meanwhile; returns how many
 * had no room, the oldest of them. */
size_t gov__ring_put_back(struct gov__ring *ring, const void *rows,
                          size_t count);

#endif
