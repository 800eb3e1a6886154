/* SPDX-License-Identifier: MIT */
/* What the page shows of relief and of what happened: the ladder, and the last
 * events, kept whether anybody listens or not. Zeroed there are none. */
#ifndef GOV_RUNTIME_PAGE_SHOWN_H
#define GOV_RUNTIME_PAGE_SHOWN_H

#include "governor/runtime/page_layout.h"

struct gov_runtime;
struct gov_event;

/* A ring, under the runtime's lock. */
struct gov__shown {
    struct gov_page_event event[GOV_PAGE_EVENTS];
    uint64_t count; /* of all that there ever were */
};

/* Keeps what is being told. Lock held. */
void gov__shown_add_locked(struct gov__shown *shown,
                           const struct gov_event *event, uint64_t now_us);

/* Fills the actions and events of a page. Takes the runtime's lock. */
void gov__shown_fill(struct gov_runtime *runtime, struct gov_page *page);

#endif
