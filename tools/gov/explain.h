/* SPDX-License-Identifier: MIT */
/* What gov plan says before the plan: what a what-if changes, and every rule with
 * the values filled in. As text at once, or collected for --json. */
#ifndef GOV_TOOLS_EXPLAIN_H
#define GOV_TOOLS_EXPLAIN_H

#include "tools/gov/gov.h"

struct gov_explain {
    bool json;
    const struct gov_planning *planning; /* where rules are from */
    bool model_changed;                  /* a what-if is of the model */
    char budget[96];         /* why a what-if changed that; "" where none did */
    json_t *changes, *rules; /* --json: arrays, to be released */
    size_t change_count, rule_count;
    char because[96]; /* of the last change */
};

/* A gov_what_if_fn and a gov_trace_fn; ctx is a struct gov_explain. */
void gov_explain_change(void *ctx, const char *fact, const char *now,
                        const char *before, const char *because);
void gov_explain_rule(void *ctx, const char *rule, const char *verdict,
                      const char *detail);

/* Ends what was printed, if anything was: a plan follows. */
void gov_explain_end(const struct gov_explain *explain);

#endif
