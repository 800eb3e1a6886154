/* SPDX-License-Identifier: MIT */
/* Reads of parts past the page cache that go on while their thread does something
 * else: into slots, or into new memory that takes the file's place when it has the
 * bytes. One thread's, but for gov__flights_wake(); never allocates but what it
 * anchors. */
#ifndef GOV_MEMORY_FLIGHTS_H
#define GOV_MEMORY_FLIGHTS_H

#include "governor/memory/slots.h"

/* Into slots: one being read, and the next for when that one ends. Measured with 1 to
 * 4, 1 GB model in 70 %: 10.8, 10.9, 10.5 and 10.4 tokens a second on two threads;
 * on one 10.8, 11.2, 10.7 and 9.5. New memory has to be zeroed before: a GB takes 290
 * ms with 2, and with 3 or more 225. */
#define GOV__FLIGHTS_SLOTS 2u
#define GOV__FLIGHTS 3u

struct gov__flights {
    const struct gov__range *range; /* borrowed, as the next */
    const struct gov__slots *slots;
    struct gov__read_queue queue;
    struct gov__flight {
        bool used;
        uint32_t part, slot; /* slot: from 1; 0: new memory */
        struct gov__fill fill;
    } flight[GOV__FLIGHTS];
    uint32_t count; /* used ones */
    bool open;
};

/* 0 or an errno value (ENOTSUP: not here, or no file can be read past the page cache),
 * after which it is not open: nothing can be started, and closing it does nothing. */
int gov__flights_open(struct gov__flights *flights,
                      const struct gov__range *range,
                      const struct gov__slots *slots);
/* When none is under way. */
void gov__flights_close(struct gov__flights *flights);

/* Starts to read the pages [begin, end) of a file for that part: into the slot, from
 * 1, that is shown nowhere; 0: into new memory. 0 or an errno value (EAGAIN: as many
 * as there may be are under way; ENOTSUP: it cannot be read so). */
int gov__flights_start(struct gov__flights *flights, uint32_t part,
                       uint32_t slot, uint32_t file, uint64_t begin,
                       uint64_t end);

/* A part whose read has ended; false: none has. *rc 0: its bytes are in the slot, which
 * is still shown nowhere, or anchored; else an errno value, and nothing has changed. */
bool gov__flights_take(struct gov__flights *flights, uint32_t *part, int *rc);

/* Until one has ended, somebody woke, or so long where that is not 0. */
void gov__flights_sleep(struct gov__flights *flights, uint64_t timeout_us);
void gov__flights_wake(struct gov__flights *flights);

#endif
