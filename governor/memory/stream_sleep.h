/* SPDX-License-Identifier: MIT */
/* The sleep of the streamer's thread: until when, and what ends it. Knows what
 * there can be to do, not what is done then. */
#ifndef GOV_MEMORY_STREAM_SLEEP_H
#define GOV_MEMORY_STREAM_SLEEP_H

#include <time.h>

#include "governor/memory/streamer_state.h"

#define GOV__TICK_US 1000000

/* What the thread last acted on. */
struct gov__seen {
    uint32_t position;
    uint32_t orders;
    uint32_t done;
    uint64_t passes;
};

/* So much later, by the clock on the wall: when somebody sets it, who waits looks
 * again too early or late. */
void gov__sleep_until(struct timespec *out, uint64_t wait_us);

bool gov__sleep_has_news(const struct gov__streamer *s,
                         const struct gov__seen *seen);

/* Sleeps until there is news, or so long where that is not 0. */
void gov__sleep_locked(struct gov__streamer *s, const struct gov__seen *seen,
                       uint64_t wait_us);

/* Whether a sleep goes on that the engine's way through the model ends. Any
 * thread. */
bool gov__sleep_is_for_position(const struct gov__streamer *s);

/* Ends the sleep, once there is something to be found. Any thread. */
void gov__sleep_end_locked(struct gov__streamer *s);

#endif
