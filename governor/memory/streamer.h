/* SPDX-License-Identifier: MIT */
/* The streamer: one thread that carries the residency decisions out on a governed
 * range, reading ahead of the engine and dropping behind it, with a mate where what
 * it reads is placed, and a crew that brings in what is hot while nobody waits for
 * it. Owns the threads and the parts' state; never allocates but what it anchors and
 * its slots, never touches a byte of the range itself, and never fails the engine:
 * what it cannot do, demand paging does. */
#ifndef GOV_MEMORY_STREAMER_H
#define GOV_MEMORY_STREAMER_H

#include "governor/memory/streamer_state.h"

/* Decides for hot_bytes and starts the threads. 0 or an errno value, after which
 * nothing is left running. */
int gov__streamer_start(struct gov__streamer *streamer, uint64_t hot_bytes);

/* Ends the threads, when the reads under way have ended, and hands the mapping back
 * with the advice it came with; what is placed stays, but for what is in a
 * slot. */
void gov__streamer_stop(struct gov__streamer *streamer);

/* The engine begins to use `unit`, which exists. */
void gov__streamer_reached(struct gov__streamer *streamer, uint32_t unit);

/* Decides anew; returns the bytes that will be hot. Any thread. */
uint64_t gov__streamer_set_hot(struct gov__streamer *streamer,
                               uint64_t hot_bytes);

void gov__streamer_pause(struct gov__streamer *streamer, bool pause);

#endif
