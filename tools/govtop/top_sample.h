/* SPDX-License-Identifier: MIT */
/* Takes samples of this machine and its processes, and tells processes what the
 * user wants of them: all that govtop asks of the library. */
#ifndef GOV_GOVTOP_SAMPLE_H
#define GOV_GOVTOP_SAMPLE_H

#include "tools/govtop/top_view.h"

/* Zeroed, then `directory` set, to start; several 100 KiB. */
struct top_source {
    const char *directory; /* of the pages; NULL: the default */
    struct gov_machine machine;
    struct gov_page pages[TOP_PROCESSES];
    struct gov_process other[TOP_OTHERS];
    uint64_t looked_ms; /* when that was; 0: never */
    struct top_sample sample;
};

/* Takes the machine and all pages into source->sample, which points into the
 * source. On failure it has no pages. */
gov_status top_source_take(struct top_source *source, gov_error *err);
/* Then those that are not governed where they are wanted: looked up every two
 * seconds at most, as a look at each process of the system costs more than all
 * pages. On failure there are none. */
gov_status top_source_look(struct top_source *source, bool wanted,
                           gov_error *err);

/* The graphics processor of the stored profile; nothing where there is none. */
void top_source_gpu(struct top_gpu *out);

/* Milliseconds that only grow. */
uint64_t top_now_ms(void);

/* Does what state->order says, and says what came of it. */
void top_order_run(struct top_state *state, const char *directory);

#endif
