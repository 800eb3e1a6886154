/* SPDX-License-Identifier: MIT */
/* Which reads are begun, who makes them, and how their ends are taken: this thread,
 * through the page cache; flights, past it, or a mate where there are none; a crew,
 * of what is hot and nobody waits for. As fast as the pace allows. For the
 * streamer's thread. */
#ifndef GOV_MEMORY_STREAM_READS_H
#define GOV_MEMORY_STREAM_READS_H

#include "governor/memory/streamer_state.h"

/* Parts being read at a time through the page cache: one that is waited for, the
 * others behind it. Measured, 1 GB model, 2.7 GB/s: with 1, 2, 3 and 4 a token
 * takes 178, 140, 135 and 127 ms; but each is memory that cannot be hot. */
#define GOV__READS_IN_FLIGHT 3

/* Those who read; what cannot be had is done without. */
void gov__stream_reads_open(struct gov__streamer *s);
/* When the thread has ended. */
void gov__stream_reads_close(struct gov__streamer *s);

/* Finishes what has ended. */
void gov__stream_reads_take(struct gov__streamer *s);

/* `from`, in the following: the first part of the unit in use. Begins what others
 * read, and takes back from them what the engine needs now. */
void gov__stream_reads_begin(struct gov__streamer *s, uint32_t from);

/* Reads one part on this thread; false: others read what is left of it now, or
 * nothing may be read. */
bool gov__stream_reads_one(struct gov__streamer *s, uint32_t from);

/* How long until more may be read; 0: there will be news of it. */
uint64_t gov__stream_reads_wait_us(const struct gov__streamer *s,
                                   uint32_t from);

/* Time since it was last asked in which something was read that the engine waits
 * for, or that it will use soon. */
uint64_t gov__stream_reads_spent_us(struct gov__streamer *s, uint64_t now_us);

/* Waits for the ends of all that go on by themselves. */
void gov__stream_reads_end(struct gov__streamer *s);

#endif
