/* SPDX-License-Identifier: MIT */
/* What forward passes cost: time, waiting for weights, faults, bytes read. Reads
 * counters at both ends of a pass and is told of waits in between. Owns the
 * accounts; never waits, allocates nothing. */
#ifndef GOV_MEMORY_PASS_METER_H
#define GOV_MEMORY_PASS_METER_H

#include <stdatomic.h>

#include "governor/platform/platform.h"
#include "governor/weights.h"

struct gov__unit_meter {
    _Atomic uint64_t read_bytes, reads, waited_us, late;
};

/* Times with a wait in them that lie apart from each other; see waited(). */
#define GOV__METER_SPANS 16

struct gov__meter_span {
    uint64_t begin_us, end_us;
};

struct gov__pass_meter {
    /* Set by the caller before init(), the rest is init()'s. */
    const struct gov_platform *platform;
    struct gov__unit_meter *units; /* borrowed, zeroed by the caller */
    uint32_t unit_count;
    uint64_t
        *worst_from; /* borrowed: waited_us of each unit as the pass began */

    _Atomic uint32_t pass_late; /* any thread */

    pthread_mutex_t lock; /* what follows; held for the clock at longest */
    bool begun;
    uint64_t began_us;
    bool counted; /* `before` is known */
    struct gov__pass_counts before;
    uint64_t waited_us; /* in this pass, by whichever thread */
    struct gov__meter_span spans[GOV__METER_SPANS]; /* by time */
    uint32_t span_count;
    bool ended; /* a pass has, so that last and sum are of some */
    struct gov_pass_account last, sum;
};

/* 0 or an errno value. */
int gov__pass_meter_init(struct gov__pass_meter *meter);
void gov__pass_meter_fini(struct gov__pass_meter *meter);

/* A pass that began and did not end is forgotten. */
void gov__pass_meter_begin(struct gov__pass_meter *meter);
/* out may be NULL; zeroed where no pass had begun, which is false. */
bool gov__pass_meter_end(struct gov__pass_meter *meter,
                         struct gov_pass_account *out);
/* last and sum, and nothing else of *out. What a sum has of reads and reclaim is
 * known when it is of all passes. */
void gov__pass_meter_account(struct gov__pass_meter *meter,
                             struct gov_weights_account *out);
/* False for a unit that there is not. */
bool gov__pass_meter_unit(const struct gov__pass_meter *meter, uint32_t unit,
                          struct gov_unit_account *out);

/* The engine has just waited so long for that unit (told as the wait ends: what
 * threads wait for at the same time is counted once, and what was waited before
 * the pass is not of it); it reached it before it was there; something of it was
 * read. Any thread; the last two take no lock. */
void gov__pass_meter_waited(struct gov__pass_meter *meter, uint32_t unit,
                            uint64_t us);
void gov__pass_meter_late(struct gov__pass_meter *meter, uint32_t unit);
void gov__pass_meter_read(struct gov__pass_meter *meter, uint32_t unit,
                          uint64_t bytes);

#endif
