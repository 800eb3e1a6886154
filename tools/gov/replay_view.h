/* SPDX-License-Identifier: MIT */
/* What a replay showed, for one policy or two, and the table of it for a
 * person. */
#ifndef GOV_TOOLS_REPLAY_VIEW_H
#define GOV_TOOLS_REPLAY_VIEW_H

#include "tools/gov/gov.h"

#define GOV_REPLAY_POLICIES 2

struct gov_replay_row {
    char name[GOV_ACTION_NAME];
    uint32_t runs;
    uint64_t given_bytes;
    bool unpriced; /* never ran while the trace was recorded */
};

struct gov_replay_view {
    char policy[GOV_MESSAGE_BYTES]; /* as it was named, or where it is from */
    struct gov_replay_result result;
    uint32_t count;
    struct gov_replay_row row[GOV_REPLAY_ACTIONS];
};

struct gov_replay_trace {
    const char *path;
    struct gov_trace_head head;
    uint32_t samples, reliefs, regrows;
    uint64_t first_ms, last_ms;
};

/* Prints both side by side, as wide as a terminal of 80 columns. */
void gov_replay_print(const struct gov_replay_trace *trace,
                      const struct gov_replay_view *view, size_t count,
                      bool colour);

/* "41.2 s", "12 min 5 s". */
char *gov_replay_time(char out[40], uint64_t ms);

#endif
