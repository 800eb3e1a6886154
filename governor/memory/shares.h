/* SPDX-License-Identifier: MIT */
/* How much of the weights stays, and how far is read ahead: decided by what was
 * asked, in what was promised, and put in force by the streamer's thread. */
#ifndef GOV_MEMORY_SHARES_H
#define GOV_MEMORY_SHARES_H

#include "governor/memory/streamer_state.h"

/* Sets target_hot, and the bytes of it, by asked_bytes and target_ahead. Any
 * thread. */
void gov__shares_decide_locked(struct gov__streamer *s);

/* Puts the decision in force; under the lock, or before there is a thread. */
void gov__shares_apply_locked(struct gov__streamer *s);

/* A pass has gone by: perhaps fewer layers ahead will do, or more are needed. For
 * the streamer's thread. */
void gov__shares_adapt(struct gov__streamer *s);

#endif
