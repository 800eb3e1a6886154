/* SPDX-License-Identifier: MIT */
/* How many layers ahead to read: fewer leave more memory to what stays, more
 * smooth over layers that take longer to read than to compute. Pure: what was
 * seen is passed in, a pass at a time. */
#ifndef GOV_MEMORY_DISTANCE_H
#define GOV_MEMORY_DISTANCE_H

#include <stdbool.h>
#include <stdint.h>

struct gov__distance {
    uint32_t least, most, now; /* layers; set by the caller, 1 <= least */
    uint32_t calm;             /* passes in a row without a wait */
    uint32_t tried; /* the least that was tried and found too short; 0: none */
    uint64_t last_us; /* what the pass before waited */
};

/* One pass ended. waited_us: for weights, all layers together; read_us: time that
 * the streamer spent reading in it; pass_us: all of it. Returns whether `now`
 * changed. Grows by one when the engine waited, in two passes in a row, while the
 * reader had idle time; does not when the reader worked all the time (the disk is
 * the limit, and more ahead cannot help). Shrinks by one after 16 calm passes, but
 * to what was too short only after 1024: the disk may be faster by then. */
bool gov__distance_pass(struct gov__distance *distance, uint64_t waited_us,
                        uint64_t read_us, uint64_t pass_us);

#endif
