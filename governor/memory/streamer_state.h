/* SPDX-License-Identifier: MIT */
/* What a streamer consists of, for the files that it is made of, each of which knows
 * those above it alone:
 *
 *   stream_sleep   the thread's sleep, and what ends it
 *   shown          what other threads see of units
 *   parts          what happens to one part: read, put in place, dropped
 *   advice         what the kernel is told about the whole mapping
 *   stream_reads   which reads are begun, by whom, and their ends
 *   shares         how much stays, and how far is read ahead
 *   arrivals       who waits for what is to come, or is told of it
 *   streamer       the thread, and what is asked of it from outside */
#ifndef GOV_MEMORY_STREAMER_STATE_H
#define GOV_MEMORY_STREAMER_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "governor/memory/crew.h"
#include "governor/memory/distance.h"
#include "governor/memory/flights.h"
#include "governor/memory/pace.h"
#include "governor/memory/pass_meter.h"
#include "governor/memory/range.h"
#include "governor/memory/residency.h"
#include "governor/memory/slots.h"

/* A unit as other threads may see it: the characters of gov_weights_map(). */
enum gov__shown {
    GOV__SHOWN_HOT = 'H',      /* all hot, all there */
    GOV__SHOWN_WARMING = 'h',  /* what is hot of it is still being read */
    GOV__SHOWN_STREAMED = 's', /* cold in part or whole, all there */
    GOV__SHOWN_PARTLY = '+',   /* what is hot of it is there */
    GOV__SHOWN_ABSENT = '-',   /* all cold, not all there */
    GOV__SHOWN_ROWS = '.',     /* left to demand paging, or to somebody else */
    GOV__SHOWN_MISSING = 0x80, /* a flag: who uses it now has to wait */
};

struct gov__streamer {
    /* Set by the caller before gov__streamer_start(), constant until stopped. */
    const struct gov__range *range;
    atomic_uchar *shown; /* one for each unit */
    enum gov__advice advise_load, advise_pass;
    bool anchor; /* what is hot is placed: anonymous memory */
    bool direct; /* what is cold is placed, too, read past the page cache */
    uint32_t readers, patience_ms;
    struct gov__distance distance; /* the thread's, then; now: `ahead` */
    struct gov__pass_meter *meter;
    gov_progress_fn progress; /* may be NULL, as the next two */
    void (*ready)(void *ctx);
    void (*tick)(void *ctx);    /* once a second, on the thread */
    void (*advised)(void *ctx); /* the whole mapping was given other advice */
    void *progress_ctx, *ready_ctx, *tick_ctx; /* the last is both's */

    /* After the start: what is named target_ under the lock, `hot` the thread's,
     * which changes it under the lock, the rest of it the thread's alone. Its hold
     * and warm are set by the caller. */
    struct gov__residency res;
    struct gov__pace pace; /* rate is set by the caller */
    struct gov__crew crew; /* for what is hot, while nobody waits for it */
    struct gov__crew mate; /* one more, for what is placed and waited for */
    struct gov__flights flights; /* what is placed, where it can be read so */
    bool has_crew, has_mate;
    struct gov__slots slots;       /* for what is cold, where it is placed */
    const struct gov_alloc *alloc; /* borrowed: for the slots' list */
    bool let_go;         /* some part was, and is read page by page by faults */
    bool asked_huge;     /* for huge pages of the files */
    bool huge_alone;     /* hot parts ask for them, and they come one by one */
    uint32_t coming;     /* parts whose read was started and not waited for */
    uint64_t start_us;   /* of the clock of the platform */
    uint64_t told_us;    /* progress */
    uint64_t pass_us;    /* when the pass began that is counted */
    uint64_t read_us;    /* spent reading in it */
    uint64_t reading_us; /* since when something is read; 0: nothing is */
    uint64_t waited_us;  /* of all passes, when it began */
    enum gov__advice advice; /* the mapping's, but for cold rows */

    /* Any thread. */
    _Atomic uint32_t position; /* the unit that the engine uses */
    _Atomic uint32_t orders;   /* changes with every decision */
    _Atomic uint32_t sleeping; /* enum sleep of stream_sleep.c */
    _Atomic uint32_t done;     /* jobs that the crew has done */
    _Atomic uint32_t waiters;  /* at `arrived` */
    atomic_bool stop, paused;
    atomic_bool is_ready, is_warm; /* for good */
    atomic_bool all_there;         /* until more is to be hot */
    atomic_bool readahead;         /* the kernel's is welcome: see advice.c */
    _Atomic uint64_t streamed_bytes, dropped_bytes, failures;
    _Atomic uint64_t late_units, passes, waited_sum_us;
    _Atomic uint64_t found_bytes, there_bytes, placed_bytes, warm_us;
    _Atomic uint64_t slot_bytes; /* that slots take, full or not */
    _Atomic uint32_t ahead;      /* in force */

    /* Lock order: this one is taken last, and nothing is called while it is
     * held but the pure decisions. Never held over I/O. */
    pthread_mutex_t lock;
    pthread_cond_t wake;    /* by the clock on the wall, as everywhere; not used
                             * with flights, which have a bell of their own */
    pthread_cond_t arrived; /* a unit is there, or all that is hot */
    uint64_t asked_bytes;   /* what set_hot was told */
    uint32_t asked_ahead, target_ahead;
    uint64_t hot_bytes, cold_bytes, window_bytes; /* of target_hot */
    pthread_t thread;
};

static inline uint64_t gov__streamer_now_us(const struct gov__streamer *s)
{
    return s->range->platform->now_us(s->range->platform->ctx);
}

static inline void gov__count(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

#endif
