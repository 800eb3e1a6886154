/* SPDX-License-Identifier: MIT */
/* The ladder: which relief action comes next, how long one rests, and when memory
 * is taken again. Pure: level, inventory, prices and the time in; an index and a
 * sentence out. */
#ifndef GOV_POLICIES_LADDER_H
#define GOV_POLICIES_LADDER_H

#include "policies/level.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what a policy says --------------------------------------------------- */

#define GOV_LADDER_STEPS 32
#define GOV_ACTION_NAME 32 /* bytes of an action's name, its NUL included */
/* Actions that run for one sample, at most: one that keeps offering is looked at
 * again at the next, and not forever now. */
#define GOV_LADDER_PER_TURN 8

/* Above every level: an action that begins there never runs. */
#define GOV_LEVEL_NEVER ((gov_level)1000)

/* One step of the ladder. Members that the policy does not give are 0. */
struct gov_ladder_step {
    char action[GOV_ACTION_NAME]; /* a name, or a pattern: `*` for any
                                   * characters, `?` for one */
    gov_level from_level;    /* not before it; 0: as the action itself says */
    uint64_t floor_bytes;    /* what the action leaves, at least */
    uint32_t floor_tokens;   /* the same for what is counted in tokens */
    uint32_t rest_ms;        /* after it gave; 0: as the ladder says */
    uint32_t rest_little_ms; /* after it gave little; 0: as the ladder says */
};

/* How fast memory is taken again. */
struct gov_regrow_rules {
    uint32_t after_ms; /* of NORMAL before the first action regrows */
    uint32_t every_ms; /* between one and the next */
    uint32_t
        step_permille; /* of the budget that one step takes; 0: all at once */
};

/* What a policy says of relief. Plain data; copy it freely. */
struct gov_relief_rules {
    uint32_t count; /* steps, in the order in which they are taken */
    struct gov_ladder_step step[GOV_LADDER_STEPS];
    struct gov_regrow_rules regrow;
};

/* No steps: actions by their own level and cost. Sources of the figures:
 * ladder.c. */
GOV_API void gov_relief_rules_default(struct gov_relief_rules *rules);

/* The place of an action in the ladder: the number of the first step whose name
 * or pattern is that of the action, or rules->count where there is none. */
GOV_API uint32_t gov_ladder_place(const struct gov_relief_rules *rules,
                                  const char *action);

/* The step at a place; one that says nothing where there is none. Static, or of
 * *rules. */
GOV_API const struct gov_ladder_step *
gov_ladder_step(const struct gov_relief_rules *rules, uint32_t place);

/* The level from which an action runs: the step's, or `own` where that gives none.
 * GOV_LEVEL_NEVER where the step has a floor and the action cannot leave a part:
 * a floor is a promise. */
GOV_API gov_level gov_ladder_from(const struct gov_ladder_step *step,
                                  gov_level own, bool leaves);

/* ---- the next action ------------------------------------------------------ */

/* What one relief action offers now, and what it gave before. */
struct gov_rung {
    const char *name;       /* borrowed; e.g. "kv.unused" */
    gov_level from_level;   /* not before this level */
    uint32_t place;         /* gov_ladder_place(); lower goes first */
    uint32_t rebuild_cost;  /* 0 is free to rebuild; lower goes first */
    uint64_t offered_bytes; /* estimate; less than GOV_LADDER_LEAST_BYTES is
                             * nothing to give */
    uint64_t rest_until_ms; /* not before */
    bool blocked;           /* cannot run where the caller stands */
    bool gave;              /* ran since it last regrew */
    bool destructive;       /* as it says itself, or by gov_ladder_guard() */
};

/* The smallest page of any system that this runs on: the kernel takes no less. */
#define GOV_LADDER_LEAST_BYTES 4096

/* Returned when no rung should run, or regrow. */
#define GOV_LADDER_DONE (-1)

/* The index of the rung to run next, or GOV_LADDER_DONE: the one with the lowest
 * place that the level allows, that offers something, rests no longer and is not
 * blocked; at one place the cheapest to rebuild; among equals the one that offers
 * most, then the first. What was measured so far is `given_bytes`, what is wanted
 * `target_bytes`; at given >= target it is done (a target of 0 means everything
 * the level allows). reason may be NULL; otherwise it receives a sentence. */
GOV_API int gov_ladder_next(const struct gov_rung *rungs, size_t count,
                            gov_level level, uint64_t now_ms,
                            uint64_t given_bytes, uint64_t target_bytes,
                            char *reason, size_t reason_bytes);

/* Whether what an action gives cannot be had again without loss to whoever uses
 * the app: a conversation, or a model that has to be loaded. By name: model.* and
 * kv.history. An action may say so of itself, too. */
GOV_API bool gov_ladder_destructive(const char *action);

/* Sets rung->destructive where the name says so, and blocks a destructive rung
 * until the machine is corroborated: nobody loses a conversation to one look at
 * one counter. To be called on each rung before gov_ladder_next(). */
GOV_API void gov_ladder_guard(struct gov_rung *rung,
                              const struct gov_level_machine *machine);

/* How long an action at `place` rests after giving `yield` of `offered` bytes in
 * `took_ms`: by its step in the ladder, 5 s where that says nothing; after it gave
 * less than 1 MiB, or less than a tenth, 30 s, or what it rests otherwise where
 * that is longer. Never less than twenty times what it took: relief may spend a
 * twentieth of the time, whatever a policy says. */
GOV_API uint64_t gov_ladder_rest_ms(const struct gov_relief_rules *rules,
                                    uint32_t place, uint64_t offered_bytes,
                                    uint64_t yield_bytes, uint64_t took_ms);

/* ---- regrow --------------------------------------------------------------- */

/* State between steps; zero it to start. */
struct gov_regrow {
    bool calm; /* the level is NORMAL */
    uint64_t calm_since_ms;
    bool grew; /* since it is NORMAL */
    uint64_t grew_ms;
    uint64_t last_ms; /* of the last call at NORMAL */
    /* What a WARN does not end. */
    uint32_t doubled; /* how often the waits are */
    bool regrew;      /* and no WARN came since */
    uint64_t regrew_ms;
};

/* To be called with every sample. The index of the rung that may take memory
 * again now, or GOV_LADDER_DONE: one at a time, the one that goes last in the
 * ladder first (at one place the dearest to rebuild, then the last), only rungs
 * that gave, after_ms after the level became NORMAL and every_ms apart. Any other
 * level starts anew. A clock that runs backwards does, too.
 *
 * Memory that was taken again and is wanted back at once was taken too early: a
 * WARN within a minute of a regrow doubles both waits, up to 64 times what the
 * rules say; an hour of NORMAL, and they are the rules' again. reason may be
 * NULL. */
GOV_API int gov_regrow_next(struct gov_regrow *state,
                            const struct gov_regrow_rules *rules,
                            const struct gov_rung *rungs, size_t count,
                            gov_level level, uint64_t now_ms, char *reason,
                            size_t reason_bytes);

/* What an action may take in one step: a share of the budget, 1 MiB at least;
 * UINT64_MAX where the rules have no steps. An action that lacks more than that
 * still `gave`, and takes the rest every_ms later. */
GOV_API uint64_t gov_regrow_bytes(const struct gov_regrow_rules *rules,
                                  uint64_t budget_bytes);

#ifdef __cplusplus
}
#endif
#endif
