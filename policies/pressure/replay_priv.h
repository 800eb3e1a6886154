/* SPDX-License-Identifier: MIT */
/* What replay.c (a policy under replay, and what came of it), replay_turn.c (what
 * it does), replay_model.c (the machine) and replay_price.c share. */
#ifndef GOV_POLICIES_REPLAY_PRIV_H
#define GOV_POLICIES_REPLAY_PRIV_H

#include "policies/replay.h"

/* ---- prices: replay_price.c ----------------------------------------------- */

/* Copies a name that may lack its NUL; what is behind the NUL is 0. */
void gov__replay_name(char out[GOV_ACTION_NAME],
                      const char name[GOV_ACTION_NAME]);

/* The price of an action, or NULL where the trace has none. */
const struct gov_replay_price *
gov__replay_price(const struct gov_replay_prices *prices, const char *name);

/* What an offer gives at a price; all of it where there is none (NULL). */
uint64_t gov__replay_yield(const struct gov_replay_price *price,
                           uint64_t offered_bytes);

/* ---- the machine: replay_model.c ------------------------------------------ */

/* What is known of all actions of one name. */
struct gov__replay_slot {
    char name[GOV_ACTION_NAME];
    /* As the last sample has them. */
    uint32_t registered, leaving; /* how many; of them, told what to leave */
    bool regrows;
    gov_level from_level;
    uint32_t rebuild_cost;
    uint64_t offered_bytes, floor_bytes;
    /* Given and not taken again: when it was recorded, and under replay. */
    uint64_t recorded_bytes, given_bytes;
};

struct gov__replay_model {
    uint32_t count;
    struct gov__replay_slot slot[GOV_REPLAY_ACTIONS];
};

static inline uint64_t gov__sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Takes what a sample says of actions; one that is gone takes with it what it
 * gave. Names beyond the room are passed over. */
void gov__replay_list(struct gov__replay_model *model,
                      const struct gov_replay_event *sample);

/* Take a recorded RELIEF, or REGROW. */
void gov__replay_gave(struct gov__replay_model *model,
                      const char name[GOV_ACTION_NAME], uint64_t yield_bytes);
void gov__replay_grew(struct gov__replay_model *model,
                      const char name[GOV_ACTION_NAME]);

/* Puts the headroom under replay in the place of the recorded one. */
void gov__replay_headroom(const struct gov__replay_model *model,
                          struct gov_evidence *evidence);

/* What a slot offers under replay, where each that can be told so leaves that
 * much. */
uint64_t gov__replay_offer(const struct gov__replay_slot *slot,
                           uint64_t floor_bytes);

/* ---- the policy: replay.c and replay_turn.c -------------------------------- */

/* What the policy did with the action in the slot of the same number. */
struct gov__deeds {
    bool gave; /* ran since it last regrew */
    bool grew; /* in this span */
    uint64_t rest_until_ms, grew_ms;
    uint32_t runs;
    uint64_t given_bytes;
};

/* Levels, relief and regrow are replay_turn.c's, the rest replay.c's. */
struct gov_replay {
    struct gov_alloc alloc;
    struct gov_level_rules levels;
    struct gov_relief_rules relief;
    struct gov_replay_prices prices;
    gov_replay_told_fn told;
    void *told_ctx;
    struct gov__replay_model model;
    struct gov__deeds deeds[GOV_REPLAY_ACTIONS];
    struct gov_level_machine machine;
    struct gov_regrow regrow;
    bool started; /* a sample came; from here on, what it left behind */
    uint64_t last_ms;
    bool short_of; /* no headroom is left */
    bool fell;     /* the level, in this span */
    uint64_t fell_ms;
    struct gov_replay_result result;
};

/* gov_replay_open() with a policy's figures. */
gov_status gov__replay_open(gov_replay **out,
                            const struct gov_level_rules *levels,
                            const struct gov_relief_rules *relief,
                            const struct gov_replay_prices *prices,
                            const struct gov_alloc *alloc, gov_error *err);

/* replay_turn.c: what the runtime does with a sample: the level, then relief or
 * regrow. The headroom is that under replay. */
void gov__replay_turn(struct gov_replay *replay,
                      const struct gov_evidence *evidence);

#endif
