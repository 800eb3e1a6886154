/* SPDX-License-Identifier: MIT */
/* What the kernel is told about the whole mapping, while it is loaded, in use, and
 * when it is handed back; rows that are only looked up have advice of their own. For
 * the streamer's thread. */
#ifndef GOV_MEMORY_ADVICE_H
#define GOV_MEMORY_ADVICE_H

#include "governor/memory/streamer_state.h"

/* Gives it, where it is another than before. */
void gov__advice_give(struct gov__streamer *s, enum gov__advice advice);

/* Loading is over when what is hot is there, or was left to the engine's first
 * pass; it is over once. */
void gov__advice_when_warm(struct gov__streamer *s);

/* Asks for huge pages of the files, once, where all stays. */
void gov__advice_huge(struct gov__streamer *s);

/* Finds out by a read whether what stays can come in huge pages of the files, one at a
 * time, beside what does not. Before any other read. */
void gov__advice_try_huge(struct gov__streamer *s);

/* Decides whether the kernel's own readahead is welcome. */
void gov__advice_readahead(struct gov__streamer *s);

/* Rows that became hot are read as everything else. */
void gov__advice_take_rows_in(struct gov__streamer *s);

/* The mapping with the advice it came with, but that huge pages were asked for; all
 * pages left as they are. */
void gov__advice_take_back(struct gov__streamer *s);

#endif
