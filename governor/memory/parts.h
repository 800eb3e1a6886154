/* SPDX-License-Identifier: MIT */
/* What happens to one part, or to all in one form: it is read, put in place, shown
 * from a slot, dropped, read again in another form. When that happens is not
 * decided here. For the streamer's thread, where nothing else is said; what the
 * kernel refuses is counted, and left to demand paging. */
#ifndef GOV_MEMORY_PARTS_H
#define GOV_MEMORY_PARTS_H

#include "governor/memory/streamer_state.h"

/* How a read of a part ended, as a crew hands it back. */
enum gov__outcome {
    GOV__READ_KEPT,   /* file pages */
    GOV__READ_PLACED, /* anonymous ones */
    GOV__READ_FILLED, /* the slot that was taken for it, shown nowhere yet */
    GOV__READ_FAILED, /* left to demand paging */
};

struct gov__how {
    bool place, hot;
    bool started;  /* it was prefetched */
    uint32_t slot; /* as a part's */
};

bool gov__part_is_rows(const struct gov__streamer *s,
                       const struct gov__part *part);

/* Whether a read of what is hot, or cold, puts anonymous memory in its place. */
bool gov__part_comes_placed(const struct gov__streamer *s, bool hot);

/* Tells the kernel of its pages. */
void gov__part_advise(struct gov__streamer *s, uint32_t index,
                      enum gov__advice advice);

/* Whether its pages can come in huge pages of the file and nothing beside it: what is
 * kept, whole, and of whole ones. */
bool gov__part_may_be_huge(const struct gov__streamer *s, uint32_t index,
                           bool hot);

/* Asks for that, and for no readahead, until it has come; false where there is no such
 * advice, or no room for one more mapping. */
bool gov__part_ask_huge(const struct gov__streamer *s, uint32_t index);
void gov__part_has_come(struct gov__streamer *s, uint32_t index);

/* Whether a read of it comes so. */
bool gov__part_comes_huge(const struct gov__streamer *s, uint32_t index,
                          bool hot);

/* Bytes of these pages that are in memory; 0 where that cannot be told. */
uint64_t gov__part_resident(const struct gov__streamer *s, uint32_t index,
                            uint64_t begin, uint64_t end);

/* ---- reading -------------------------------------------------------------- */

/* Begins to read these pages into the page cache. Failing is harmless. */
void gov__part_prefetch(const struct gov__streamer *s, uint32_t index,
                        uint64_t begin, uint64_t end);

/* Takes a slot for the read that begins, where one fits and is free. Where no read
 * begins it is to be left at once: by the next time the part may be hot. */
void gov__part_enter_slot(struct gov__streamer *s, uint32_t index);

/* It is shown nowhere any more. */
void gov__part_leave_slot(struct gov__streamer *s, struct gov__part *part);

/* Reads one part, placed or kept; waits until it is there. What is hot and lies in
 * the page cache is copied from there. Looks only at what never changes of a part:
 * also called by the crews. */
enum gov__outcome gov__part_read(struct gov__streamer *s, uint32_t index,
                                 struct gov__how how);

/* A read of it has ended so: puts in place what is in its slot, and it is
 * present. */
void gov__part_finish(struct gov__streamer *s, uint32_t index,
                      enum gov__outcome outcome);

/* ---- all of them ------------------------------------------------------------ */

/* What is no longer wanted. */
void gov__parts_drop_behind(struct gov__streamer *s);

/* Drops a part of which something is in memory, and tells whether it went: false
 * where somebody else maps the file, too. True where that cannot be told. */
bool gov__parts_can_drop(struct gov__streamer *s);

/* A part that is there in the form that it shall not have any more is read again
 * in the other: the first marks it, before anybody sees it as one that stays; the
 * second drops what is to go for that. */
void gov__parts_doubt_forms(struct gov__streamer *s);
void gov__parts_leave_forms(struct gov__streamer *s);

/* Slots for the window, where what is cold is placed; gives them back while nothing
 * is cold; ends them, with the file where they are shown. */
void gov__parts_make_slots(struct gov__streamer *s);
void gov__parts_free_slots(struct gov__streamer *s);
void gov__parts_end_slots(struct gov__streamer *s);

#endif
