/* SPDX-License-Identifier: MIT */
/* Experts by recency: which of a mixture's experts are in memory, and which go
 * when others come. Never by a fixed list: what is popular changes with the text.
 * experts.c is the order and its account, pure; experts_learn.c finds the experts
 * of a model; experts_read.c carries the order out on the governed range.
 *
 * An expert is one number in one layer: the units of experts of a layer that
 * follow one another (a router lies between them in most files) have theirs in
 * common, so that all of its matrices come with one deep queue. */
#ifndef GOV_MEMORY_EXPERTS_H
#define GOV_MEMORY_EXPERTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "governor/memory/range.h"
#include "governor/weights.h"

#define GOV__NO_EXPERT UINT32_MAX
#define GOV__NO_SLICE UINT32_MAX

/* One matrix of an expert, or a unit that is none of ours: a neighbour, whose
 * pages stay. In order of place, and none overlap (the header was checked). */
struct gov__slice {
    uint64_t offset, bytes;
    uint32_t file;
    uint32_t expert; /* GOV__NO_EXPERT: a neighbour */
    uint32_t next;   /* of the same expert, or GOV__NO_SLICE */
};

struct gov__expert {
    uint64_t step;         /* the last call that needed it; 0: none */
    uint32_t slices;       /* the first of them; GOV__NO_SLICE: there is no such
                            * expert, only its number lies between others */
    uint32_t newer, older; /* in the list of those that are there */
    uint32_t at;           /* of the call under way: the slice to do next */
    bool there;            /* read, or being read */
    bool whole;            /* of one that is there: all, as far as is known */
    bool coming;           /* missing in the call under way */
};

/* Of each unit of the model: the experts of its layer. */
struct gov__expert_unit {
    uint32_t first; /* index of number `low` */
    uint32_t low, count;
    bool owned; /* else these members are 0: not governed by recency */
};

struct gov__experts {
    struct gov_alloc alloc;
    const struct gov__range *range;
    struct gov__expert *experts;
    struct gov__slice *slices;
    struct gov__expert_unit *units;
    const struct gov_unit *model_units; /* borrowed */
    uint32_t expert_count, slice_count, unit_count;
    uint64_t all_bytes; /* of pages, were all experts there */

    uint64_t pending_bytes; /* of the call under way: not asked for yet */

    pthread_mutex_t lock; /* all that follows; over drops, never over reads */
    uint32_t newest, oldest;
    uint64_t step; /* from 1, counts calls: what the last named is needed */
    /* Whole pages, each once, but for those that a neighbour keeps anyway. */
    uint64_t limit_bytes, there_bytes;

    _Atomic uint64_t used, missed, read_bytes, dropped_bytes, failures;
};

/* Learns the experts of a model; all pass for absent, and may keep nothing until
 * gov__experts_set_limit(). Everything that is needed later is allocated here.
 * What lies outside of the range's mappings, or is not cut evenly into experts, is
 * left alone: gov__experts_owns(). Gives MADV_RANDOM to what is owned, so that a
 * stray touch reads one page. 0, ENOMEM, or ENOENT: nothing is owned. */
int gov__experts_init(struct gov__experts *experts,
                      const struct gov__range *range, const gov_model *model,
                      const struct gov_alloc *alloc);
/* After an init that returned 0. The advice is as it was before; nothing is
 * dropped. */
void gov__experts_fini(struct gov__experts *experts);

/* Whether that unit's experts are kept here; nobody else may read, drop, anchor
 * or lay doorbells over its pages then. */
static inline bool gov__experts_owns(const struct gov__experts *experts,
                                     uint32_t unit)
{
    return unit < experts->unit_count && experts->units[unit].owned;
}

/* Whole pages of owned units get that advice; again after somebody gave another
 * to the whole mapping. */
void gov__experts_advise(struct gov__experts *experts, enum gov__advice advice);

/* Asks the kernel what is in memory: experts that are whole count as there, as
 * the least recently used, while they fit the limit; what is there of the others
 * is dropped; and those the system has taken pages of are read again when they
 * are used. To be called once the limit is set (on what was left by the last run,
 * or read by the engine's loader), and whenever something else than this module
 * may have reclaimed. About 23 ns a page. Any thread, during other calls. */
void gov__experts_look(struct gov__experts *experts);

/* How many bytes may stay; drops the least recently used until that is so. What
 * the last call named stays until the next. Any thread, during other calls. */
void gov__experts_set_limit(struct gov__experts *experts, uint64_t bytes);

/* What a call made the engine wait, and what was read. 0 where nothing was
 * missing. */
struct gov__experts_wait {
    uint64_t us, bytes;
};

/* gov_weights_used(): one thread at a time. Before each read is started as much is
 * dropped as it needs, so that the peak is the limit; then all are waited for.
 * What is named is never dropped before the next call: when that alone is more
 * than the limit, the surplus goes then. A read that fails is counted, and tried
 * again when the expert is next used. */
struct gov__experts_wait gov__experts_used(struct gov__experts *experts,
                                           uint32_t unit,
                                           const uint32_t *numbers,
                                           size_t count);

/* Sets the four members of experts, and adds to streamed_bytes, dropped_bytes and
 * failures. Any thread. */
void gov__experts_account(struct gov__experts *experts,
                          struct gov_weights_account *out);

/* ---- the order, pure: under the lock ---- */

/* The expert of that number in a unit's layer, or GOV__NO_EXPERT. */
uint32_t gov__experts_find(const struct gov__experts *experts, uint32_t unit,
                           uint32_t number);
/* It was used now: there from now on, and at the front of the list. */
void gov__experts_touch(struct gov__experts *experts, uint32_t index);
/* It is there already, and was used longer ago than all others. */
void gov__experts_append(struct gov__experts *experts, uint32_t index);
/* The one to drop: the oldest, while more is there than may. GOV__NO_EXPERT:
 * there is not, or all that is there is needed. */
uint32_t gov__experts_next_drop(const struct gov__experts *experts);
/* It is no longer there. */
void gov__experts_forget(struct gov__experts *experts, uint32_t index);

/* The pages that a slice touches. */
void gov__experts_pages(const struct gov__experts *experts, uint32_t slice,
                        uint64_t *begin, uint64_t *end);
/* Of those, what comes and goes with its expert: what no neighbour, no other
 * expert that is there, and no earlier slice of its own touches. Empty:
 * begin == end. */
void gov__experts_own_pages(const struct gov__experts *experts, uint32_t slice,
                            uint64_t *begin, uint64_t *end);
/* The sum of those of an expert. */
uint64_t gov__experts_own_bytes(const struct gov__experts *experts,
                                uint32_t index);

/* ---- experts_learn.c ---- */

/* Fills experts, slices and units, and all_bytes. As gov__experts_init(), which
 * calls it; on failure nothing is left allocated. */
int gov__experts_learn(struct gov__experts *experts, const gov_model *model);

#endif
