/* SPDX-License-Identifier: MIT */
/* When the next of a row of reads may begin, so that together they take no more
 * than so many bytes a second. Pure: the time is passed in. */
#ifndef GOV_MEMORY_PACE_H
#define GOV_MEMORY_PACE_H

#include <stdint.h>

struct gov__pace {
    uint64_t rate;    /* bytes a second; 0: no limit */
    uint64_t next_us; /* the next read may begin then; starts at 0 */
};

/* Microseconds to wait before a read may begin; 0: now. */
uint64_t gov__pace_wait_us(const struct gov__pace *pace, uint64_t now_us);

/* A read of so many bytes begins. */
void gov__pace_charge(struct gov__pace *pace, uint64_t now_us, uint64_t bytes);

#endif
