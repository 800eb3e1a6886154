/* SPDX-License-Identifier: MIT */
/* What several sessions of one runtime publish beside each other, and how one page
 * comes of it. Zeroed there are none. */
#ifndef GOV_RUNTIME_GAUGES_H
#define GOV_RUNTIME_GAUGES_H

#include <stdatomic.h>

#include "governor/runtime/page_layout.h"

#define GOV__GAUGES 16

struct gov_runtime;

/* One session's. Its owner writes the counters with no lock. */
struct gov__gauge_set {
    _Atomic uint32_t id;   /* 0: free */
    _Atomic uint64_t have; /* as in struct gov_page */
    _Atomic uint64_t counter[GOV_PAGE_COUNTERS];
    /* The runtime's lock. */
    uint32_t have_text; /* bit n: text n was set */
    uint64_t changed;   /* gauges->changes when a text of it last did */
    struct gov__page_texts texts;
};

struct gov__gauges {
    struct gov__gauge_set set[GOV__GAUGES];
    /* The runtime's lock. What was counted by sets that were freed goes on to be
     * shown. */
    uint64_t changes;
    uint64_t ever; /* counters that those had */
    uint64_t ended[GOV_PAGE_COUNTERS];
    uint32_t last_id;
};

/* Adds what the sets have, and what the runtime knows of itself beside the sample,
 * to a page that has what gov_publish() set. Takes the runtime's lock. */
void gov__gauges_fill(struct gov_runtime *runtime, struct gov_page *page);

/* Weights read ahead since the runtime was opened, by sessions that are gone, too:
 * only grows. Takes the runtime's lock. */
uint64_t gov__gauges_streamed(struct gov_runtime *runtime);

#endif
