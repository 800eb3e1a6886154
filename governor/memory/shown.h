/* SPDX-License-Identifier: MIT */
/* What other threads see of units: a character each, whether who uses one has to
 * wait, and how many hot bytes are there. Written by the streamer's thread alone;
 * decides nothing and does nothing to memory. */
#ifndef GOV_MEMORY_SHOWN_H
#define GOV_MEMORY_SHOWN_H

#include "governor/memory/streamer_state.h"

/* Sets what is known of a part, shows it, and wakes who waits for its unit when
 * nothing of that is missing any more. */
void gov__shown_hold(struct gov__streamer *s, uint32_t index,
                     enum gov__held held);

/* After a decision: who is hot has changed. */
void gov__shown_all(struct gov__streamer *s);

/* Who uses that unit, and those of its layer, would have to wait. Any thread. */
bool gov__shown_missing(const struct gov__streamer *s, uint32_t unit);

/* Whether the streamer has something to do when the engine comes from one unit to
 * another. Any thread. */
bool gov__shown_interest(const struct gov__streamer *s, uint32_t before,
                         uint32_t unit);

#endif
