/* SPDX-License-Identifier: MIT */
/* Who waits for what is to come, or is told of it: the engine for a unit, the app
 * for the first pass and for all that is hot, and how far that is. */
#ifndef GOV_MEMORY_ARRIVALS_H
#define GOV_MEMORY_ARRIVALS_H

#include "governor/memory/streamer_state.h"

/* Tells how much is there, if it is time; who hears of it may want no more. For the
 * streamer's thread, as the next. */
void gov__arrivals_tell(struct gov__streamer *s);

/* Tells what has been reached, with the decision of that number in force. */
void gov__arrivals_look(struct gov__streamer *s, uint32_t orders);

/* As long as its patience lasts, until all that the unit's layer needs is there.
 * For the engine's thread. */
void gov__arrivals_wait_for_unit(struct gov__streamer *s, uint32_t unit);

/* As gov_weights_wait(). */
bool gov__arrivals_wait(struct gov__streamer *s, bool all, uint32_t timeout_ms);

#endif
