/* SPDX-License-Identifier: MIT */
/* Slots: memory that cold parts are read into and shown from, over and over, where
 * anchoring would take new memory for each. Knows which are free; which are shown,
 * and where, is the caller's to know.
 *
 * The caller's duty: a slot goes back only after gov__anchor_undo() over all that it
 * was shown at. Then nobody reads there any more; but pages that somebody holds by
 * other means than a mapping (direct writes from there, memory registered with a
 * device) show what comes next. A child of fork() has no memory where a slot is
 * shown. */
#ifndef GOV_MEMORY_SLOTS_H
#define GOV_MEMORY_SLOTS_H

#include "governor/memory/anchor.h"

#define GOV__NO_SLOT UINT32_MAX

struct gov__slots {
    const struct gov__range *range; /* borrowed */
    const struct gov_alloc *alloc;  /* borrowed */
    char *fill, *view;              /* all slots, as slots_open() made them */
    uint64_t huge;                  /* bytes of a huge page */
    uint32_t *free;                 /* those that are */
    bool *cached; /* of each: what is in it came through the page cache */
    uint32_t count, free_count;
};

/* `count` slots of GOV__PART_BYTES; that much memory is in use from then on. 0 or
 * an errno value (ENOTSUP: not here; ENOMEM), after which there are none: take()
 * finds none and fini() has nothing to do. */
int gov__slots_init(struct gov__slots *slots, const struct gov__range *range,
                    const struct gov_alloc *alloc, uint32_t count);

/* What is shown stays, and nothing comes into it any more. Zeros are a fine
 * argument, too. */
void gov__slots_fini(struct gov__slots *slots);

/* A free slot, or GOV__NO_SLOT; one thread at a time, as for the next. */
uint32_t gov__slots_take(struct gov__slots *slots);

/* The slot is free: it was taken, and is shown nowhere. */
void gov__slots_give(struct gov__slots *slots, uint32_t slot);

/* Whether such pages of a file can be placed: at a multiple of the huge page, and
 * at most GOV__PART_BYTES. */
bool gov__slots_fits(const struct gov__slots *slots, uint32_t file,
                     uint64_t begin, uint64_t end);

/* Reads the pages [begin, end) of a file, as gov__anchor() past the page cache
 * does, into a slot that is taken and shown nowhere. Threads may do so at once for
 * different slots. 0 or an errno value (ERANGE: they do not fit; else as
 * gov__anchor()). */
int gov__slots_fill(const struct gov__slots *slots, uint32_t slot,
                    uint32_t file, uint64_t begin, uint64_t end);

/* The same in two steps, for a read that goes on by itself: *fill is what
 * gov__fill_plan() then tells to be read (ERANGE: it does not fit), and, when that has
 * ended with that result, whether the bytes are in the slot. */
int gov__slots_begin(const struct gov__slots *slots, uint32_t slot,
                     uint32_t file, uint64_t begin, uint64_t end,
                     struct gov__fill *fill);
int gov__slots_end(const struct gov__slots *slots, uint32_t slot,
                   struct gov__fill *fill, int64_t result);

/* Shows what gov__slots_fill() has put there, with the same arguments, in the place
 * of those pages. 0 or an errno value, after which the file is there and the slot is
 * shown nowhere. gov__anchor_undo() ends it. */
int gov__slots_show(const struct gov__slots *slots, uint32_t slot,
                    uint32_t file, uint64_t begin, uint64_t end);

#endif
