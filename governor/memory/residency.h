/* SPDX-License-Identifier: MIT */
/* Which parts of a mapped model are hot, which cold ones are wanted when the
 * engine is at a unit, and what to drop and read next. Pure decisions on plain
 * data: no system calls, no threads, no allocation.
 *
 * A unit is what the engine uses together; a part is a few MiB of one, and what
 * is hot or cold. Parts because memory for streaming is memory not kept: with
 * whole layers cold, the one in use and two being read ahead cost three layers;
 * with a third of every layer cold they cost one, and the disk works evenly. */
#ifndef GOV_MEMORY_RESIDENCY_H
#define GOV_MEMORY_RESIDENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policies/plan.h"

/* The largest part: one read, after which the streamer looks where the engine
 * is. 0.6 ms on the disk that was measured, 50 ms on a slow one. */
#define GOV__PART_BYTES ((uint64_t)4 << 20)

#define GOV__NO_BELL_PAGE UINT64_MAX

/* How the engine uses a unit. */
enum gov__use {
    GOV__USE_LAYER,  /* read whole, once a pass */
    GOV__USE_HEAD,   /* the same, but cold only when all layers are */
    GOV__USE_ROWS,   /* a few rows are looked up: hot, or left alone */
    GOV__USE_OTHERS, /* somebody else's: experts that stay by recency */
};

/* Set all up to bell; the rest is the residency's. */
struct gov__unit {
    uint64_t begin, end; /* bytes of the file */
    uint32_t file;
    enum gov__use use;
    bool experts;   /* a layer's, of which a token uses some */
    bool joined;    /* of the same layer as the unit before it: the engine tells
                  * when it comes to a layer, and then uses all of it */
    uint64_t phase; /* an offset in the file and this is the address, as far as
                     * the grain goes */
    uint64_t bell;  /* offset of a page that is not the residency's, or
                     * GOV__NO_BELL_PAGE */
    uint32_t first, parts;      /* its parts */
    uint64_t target_cold_bytes; /* of its parts, by target_hot */
    uint32_t missing;           /* parts that are needed and not there */
    bool any_cold;              /* a part of it is streamed, by hot */
    bool wanted;                /* in the window */
};

/* What is in memory, as far as is known; compared with <. */
enum gov__held {
    GOV__ABSENT,
    GOV__UNKNOWN,
    GOV__COMING, /* its read has been started */
    GOV__PRESENT,
};

struct gov__part {
    uint64_t begin, end; /* bytes of the file */
    uint32_t file;
    uint32_t unit;
    uint32_t rank;   /* place in file order */
    bool edge;       /* not whole grains: the last to be cold */
    bool out;        /* in the hands of a reader: neither dropped nor read */
    bool placed;     /* memory that is no file's, where it lies */
    uint32_t slot;   /* the slot that it is in, from 1; 0: none */
    bool target_hot; /* as gov__residency_decide() chose */
    bool hot;        /* in force */
    enum gov__held held;
};

static inline uint64_t gov__part_bytes(const struct gov__part *part)
{
    return part->end - part->begin;
}

struct gov__residency {
    struct gov__unit *units;  /* in order of use; the pass is a ring */
    struct gov__part *parts;  /* in the same order */
    struct gov__part **order; /* parts in file order */
    uint32_t unit_count, part_count;
    uint32_t ahead; /* layers (units, where none is joined) with cold parts
                     * wanted after the one in use */
    gov_hold hold;  /* which parts are hot, where not all can be */
    gov_warm warm;  /* in which order hot parts are read, if at all */
    uint64_t page;  /* bytes, a power of two */
    uint64_t grain; /* parts begin at addresses that are multiples of it where
                        * they can: a huge page, or the page */
    uint32_t position; /* last aimed at */
};

#define GOV__NO_PART UINT32_MAX

/* How many parts a unit has; at least one. */
uint32_t gov__residency_parts_of(const struct gov__unit *unit, uint64_t page,
                                 uint64_t grain);

/* Makes the parts of units whose begin, end and use are set; parts and order
 * have room for the sum of gov__residency_parts_of(). All of it is borrowed.
 * Ends with every part hot and UNKNOWN. */
void gov__residency_init(struct gov__residency *res);

/* Sets target_hot of every part, by `hold` and `limit` alone, so that the hot
 * ones' bytes, which it returns, stay within `limit`. Rows are hot where all is. */
uint64_t gov__residency_decide(struct gov__residency *res, uint64_t limit);

/* By target_hot: bytes of all parts that come and go, and the most that wanted
 * units can have of them at any position, with so many layers ahead. */
uint64_t gov__residency_cold_bytes(const struct gov__residency *res);
uint64_t gov__residency_window_bytes(const struct gov__residency *res,
                                     uint32_t ahead);

/* Puts target_hot in force. */
void gov__residency_apply(struct gov__residency *res);

/* Marks what is wanted when the engine is at unit `position`: that one, those
 * joined to it, the next `ahead` layers with cold parts around the ring, and the
 * next `ahead` layers of any kind as far as something hot is missing of them. */
void gov__residency_aim(struct gov__residency *res, uint32_t position);

/* The engine has been over every unit since the last gov__residency_aim(): with
 * GOV_WARM_NONE all that is hot is there. */
void gov__residency_lap(struct gov__residency *res);

/* The first part from `from` on to drop now, or GOV__NO_PART. */
uint32_t gov__residency_next_drop(const struct gov__residency *res,
                                  uint32_t from);

/* Which parts are read. */
enum gov__reads {
    GOV__READS_ALL,    /* hot ones, too, unless they are read by nobody */
    GOV__READS_WANTED, /* of wanted units, and those whose read was started */
    GOV__READS_IDLE,   /* hot ones of units that are not wanted */
};

/* The next part to read that is held less than `held`; GOV__NO_PART when there is
 * none. From the first part of the unit in use, that is the one needed soonest:
 * the first around the ring from part `from` on. With GOV_WARM_FILE hot ones come
 * behind all that is wanted, as they lie in the file. With GOV_WARM_NONE they are
 * left to the engine. */
uint32_t gov__residency_next_missing(const struct gov__residency *res,
                                     uint32_t from, enum gov__held held,
                                     enum gov__reads reads);

/* Whether a read of that part can be put off: it is hot and no unit in the window
 * needs it. */
bool gov__residency_can_wait(const struct gov__residency *res, uint32_t index);

/* Sets what is known of a part, and of its unit what is missing. */
void gov__residency_hold(struct gov__residency *res, uint32_t index,
                         enum gov__held held);

/* All that is hot is there. */
bool gov__residency_is_warm(const struct gov__residency *res);

/* Page-aligned file offsets around the pages that a part touches. */
void gov__residency_pages(const struct gov__residency *res, uint32_t index,
                          uint64_t *begin, uint64_t *end);

/* The pages that dropping a part may free: all it touches except those that it
 * shares with a part that stays. begin == end when there are none. */
void gov__residency_drop_pages(const struct gov__residency *res, uint32_t index,
                               uint64_t *begin, uint64_t *end);

#endif
