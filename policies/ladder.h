/* SPDX-License-Identifier: MIT */
/* The ladder chooser: which relief action comes next, and why. Pure: level,
 * inventory and prices in, an index and a sentence out. */
#ifndef GOV_POLICIES_LADDER_H
#define GOV_POLICIES_LADDER_H

#include "policies/level.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What one relief action offers now, and what it gave before. */
struct gov_rung {
    const char *name;       /* borrowed; e.g. "kv.unused" */
    gov_level from_level;   /* not before this level */
    uint32_t rebuild_cost;  /* 0 is free to rebuild; lower goes first */
    uint64_t offered_bytes; /* estimate; 0 means nothing to give */
    uint64_t rest_until_ms; /* not before */
    bool blocked;           /* cannot run where the caller stands */
};

/* Returned by gov_ladder_next() when no rung should run. */
#define GOV_LADDER_DONE (-1)

/* The index of the rung to run next, or GOV_LADDER_DONE: the cheapest to
 * rebuild that the level allows, that offers something, rests no longer and is
 * not blocked; among equals the one that offers most, then the first. What was
 * measured so far is `given_bytes`, what is wanted `target_bytes`; at
 * given >= target it is done (a target of 0 means everything the level allows).
 * reason may be NULL; otherwise it receives a sentence. */
GOV_API int gov_ladder_next(const struct gov_rung *rungs, size_t count,
                            gov_level level, uint64_t now_ms,
                            uint64_t given_bytes, uint64_t target_bytes,
                            char *reason, size_t reason_bytes);

/* How long an action rests after giving `yield` of `offered` bytes in
 * `took_ms`: longer the less it gave. Source of the constants: ladder.c. */
GOV_API uint64_t gov_ladder_rest_ms(uint64_t offered_bytes,
                                    uint64_t yield_bytes, uint64_t took_ms);

#ifdef __cplusplus
}
#endif
#endif
