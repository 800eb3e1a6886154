/* SPDX-License-Identifier: MIT */
/* Replay: a recorded pressure trace through the level machine and the ladder of a
 * policy, with the trace's clock. Pure; governor/trace.h reads and writes traces.
 *
 * A trace was recorded while some policy gave memory back, so what it shows is
 * partly that policy's doing. Replay takes it out: the headroom without relief is
 * what was recorded less all that was given back until then and not taken again;
 * what an action would have offered is what it offered, and what it had given.
 * Then another policy's relief is put in. Recorded are evidence, offers, yields and
 * times. Under the policy that it was recorded under, a trace replays as it was.
 * Modelled are
 *
 *   - yields: an offer gives the share that it gave when it was recorded (median);
 *     all of it where it never ran, or nobody measured it. Headroom grows by it
 *     at once
 *   - regrowth: what an action gave is taken again at once when it regrows. What
 *     was taken again without being told so looks like new demand, and is kept
 *   - offers: as at the level that was recorded, though a cache offers more at
 *     CRITICAL than at WARN; a floor in bytes leaves that much, one in tokens
 *     cannot be modelled and counts as the recorded policy's
 *   - passes: every action may run with the sample; none waits for the engine
 *   - stalls: as recorded, whatever was given back (a policy that gives back
 *     earlier would see fewer)
 *   - refaults, faults, the machine's memory: the same
 *   - simulated levels: as recorded
 *   - destructive actions (gov_ladder_guard()): blocked until two causes agree, or
 *     a turn of relief did not help
 *   - headroom: between nothing and the budget. By how much the budget was
 *     exceeded is not recorded, so where nothing was left, a policy that gives
 *     back less than the recorded one looks right, and one that gives back more
 *     looks a little too good
 *   - names: actions of one name are one action, which offers what they offer
 *     together. Actions beyond GOV_REPLAY_ACTIONS names are passed over
 *
 * Events are hostile: figures saturate, names may lack their NUL. */
#ifndef GOV_POLICIES_REPLAY_H
#define GOV_POLICIES_REPLAY_H

#include "policies/policy_text.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GOV_REPLAY_ACTIONS 32
/* A level that rises, or an action that runs, so soon after it fell, or regrew,
 * has oscillated, once a fall or a regrowth. Twice the longest rest of an action
 * that gave little. */
#define GOV_REPLAY_OSCILLATION_MS 60000

struct gov_replay_action {
    char name[GOV_ACTION_NAME];
    gov_level from_level; /* the action's own, whatever a policy says */
    uint32_t rebuild_cost;
    uint64_t offered_bytes; /* at the level that the sample led to */
    bool regrows;           /* it can be told to take memory again */
    bool leaves;            /* it can be told how much to leave */
    uint64_t floor_bytes;   /* what it was told to leave then; 0: nothing */
};

/* What a trace has, one at a time, in the order of time. */
enum gov_replay_kind {
    GOV_REPLAY_SAMPLE = 1,
    GOV_REPLAY_RELIEF = 2, /* an action ran */
    GOV_REPLAY_REGROW = 3, /* an action was told to take memory again */
};

struct gov_replay_event {
    enum gov_replay_kind kind;
    /* SAMPLE; now_ms of the others, too */
    struct gov_evidence evidence;
    uint32_t count; /* actions registered then */
    struct gov_replay_action action[GOV_REPLAY_ACTIONS];
    /* RELIEF and REGROW */
    char name[GOV_ACTION_NAME];
    uint64_t offered_bytes, yield_bytes, took_us;
    bool unmeasured; /* RELIEF: the system did not tell what it gave */
};

/* Measured prices: made in a first pass over the trace. Zero it to start. */
struct gov_replay_price {
    char name[GOV_ACTION_NAME];
    uint32_t runs;            /* recorded; 0: what follows is modelled */
    uint32_t yield_ppm;       /* of what was offered; median of the last 64 */
    uint64_t took_us;         /* the same */
    uint32_t sample[64];      /* private */
    uint32_t took_sample[64]; /* private */
};

struct gov_replay_prices {
    uint32_t count;
    struct gov_replay_price price[GOV_REPLAY_ACTIONS];
};

/* Takes a recorded event into the price list; others than RELIEF are passed
 * over, and so are actions beyond GOV_REPLAY_ACTIONS, and what was not measured. */
GOV_API void gov_replay_learn(struct gov_replay_prices *prices,
                              const struct gov_replay_event *event);

/* One policy under replay: opaque. */
typedef struct gov_replay gov_replay;

/* Prices are copied; of the policy, what it says of levels and relief is. *out is
 * released with gov_replay_free(). alloc NULL means the C library's.
 *
 * GOV_E_NOMEM, GOV_E_INVALID (a NULL) */
GOV_API GOV_NODISCARD gov_status
gov_replay_open(gov_replay **out, const gov_policy *policy,
                const struct gov_replay_prices *prices,
                const struct gov_alloc *alloc, gov_error *err);
/* Accepts NULL. */
GOV_API void gov_replay_free(gov_replay *replay);

/* What the policy did, told as it happens: at_ms of the trace, the level in force
 * then, and a sentence, valid during the call. Names of actions in it are as in
 * the trace: whoever prints them minds control characters. */
typedef void (*gov_replay_told_fn)(void *ctx, uint64_t at_ms, gov_level level,
                                   const char *sentence);
GOV_API void gov_replay_listen(gov_replay *replay, gov_replay_told_fn told,
                               void *ctx);

/* Takes the next event. Never fails: a clock that runs backwards ends the span
 * that it is in and begins another, at NORMAL and with nothing given back. Time
 * passes with samples only. Allocates nothing. */
GOV_API void gov_replay_step(gov_replay *replay,
                             const struct gov_replay_event *event);

struct gov_replay_result {
    uint64_t span_ms;
    uint64_t normal_ms, warn_ms, critical_ms; /* add up to span_ms */
    uint32_t rises, falls;                    /* of the level, in steps */
    uint32_t actions, regrows;
    uint64_t given_bytes; /* sum of the yields */
    uint64_t taken_bytes; /* sum of what regrew */
    uint32_t oscillations;
    bool headroom_known;
    /* Of the samples, before their relief; 0: the budget was exceeded. */
    uint64_t least_headroom_bytes;
    uint64_t short_ms;      /* time with no headroom left, after relief */
    uint32_t modelled_runs; /* of actions that the trace has no price for */
};

GOV_API void gov_replay_result(const gov_replay *replay,
                               struct gov_replay_result *out);

/* What an action gave and how often it ran, for a table; false past the last. */
GOV_API bool gov_replay_action_at(const gov_replay *replay, uint32_t index,
                                  char name[GOV_ACTION_NAME], uint32_t *runs,
                                  uint64_t *given_bytes, bool *modelled);

#ifdef __cplusplus
}
#endif
#endif
