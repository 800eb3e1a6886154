/* SPDX-License-Identifier: MIT */
/* What the engine itself says that a plan takes, beside the governor's estimate.
 * The plan is decided by the estimate, which is the same on every machine. */
#ifndef GOV_TOOLS_ENGINE_VIEW_H
#define GOV_TOOLS_ENGINE_VIEW_H

#include "tools/gov/gov.h"

enum gov_view_row {
    GOV_VIEW_WEIGHTS,
    GOV_VIEW_KV,
    GOV_VIEW_BUFFERS,
    GOV_VIEW_ROWS
};

struct gov_engine_view {
    const struct gov_engine *engine; /* NULL: missing, or not to be loaded */
    bool missing;                    /* there is no adapter, which is usual */
    bool answered;
    struct gov_need need;
    uint64_t bytes[GOV_VIEW_ROWS]; /* both pools together */
    char why[GOV_MESSAGE_BYTES];   /* not answered */
    /* Of a row that differs by more than 1 %; else "". */
    char difference[GOV_VIEW_ROWS][GOV_MESSAGE_BYTES];
    char warning[GOV_MESSAGE_BYTES]; /* it would not fit the budget; else "" */
};

/* Asks; takes the time of a load without weights. */
void gov_engine_view_ask(struct gov_engine_view *view,
                         const struct gov_planning *planning);

/* null where nothing was asked. */
json_t *gov_engine_view_to_json(const struct gov_engine_view *view);

#endif
