/* SPDX-License-Identifier: MIT */
/* One decision under way: what plan.c, plan_sizes.c, plan_gpu.c and plan_words.c
 * share. */
#ifndef GOV_POLICIES_PLAN_PRIV_H
#define GOV_POLICIES_PLAN_PRIV_H

#include "policies/plan.h"
#include "policies/rules/policy_priv.h"

/* What the rules have settled so far; the earliest rule that sets wins. */
struct gov__settings {
    bool set[GOV__SETTINGS];
    int64_t value[GOV__SETTINGS];
    size_t by[GOV__SETTINGS]; /* index of the rule */
};

/* Bytes that follow from what is settled. */
struct gov__sizes {
    gov_kv_type kv_type;
    uint32_t context, sequences;
    uint32_t ahead_wish, gpu_wish; /* as settled; those below as they fit */
    uint32_t ahead;
    bool direct; /* as settled */
    uint64_t kv, compute;
    uint64_t buffers; /* both together; cannot be dropped */
    uint64_t window;  /* what streaming needs beside them */
    /* On a GPU, unless weights are streamed. */
    uint32_t gpu_layers;
    uint64_t gpu_weights, gpu_bytes; /* at most */
    uint64_t moved; /* weights that RAM need not hold then, at least */
    uint64_t added; /* what RAM holds for the GPU, at most */
};

/* One gov_plan_decide() under way. */
struct gov__decision {
    const gov_policy *rules;
    struct gov_facts
        early[GOV__STAGE_REST]; /* as rules of those stages see them */
    struct gov_facts facts;     /* sizes as settled so far */
    struct gov__settings settings;
    struct gov_plan *plan;
    gov_trace_fn trace;
    void *trace_ctx;
    gov_error *err;
    uint64_t budget, weights, unit;
    uint64_t compute, compute_per_token, engine;
    uint64_t kv_per_token, window_kv_per_token; /* as f16 */
    uint64_t window;                            /* tokens */
    uint64_t state;
    uint64_t compute_per_sequence;
    uint64_t layers, smallest_layer; /* 0: not known */
    bool gpu;            /* the engine uses one, whose memory is known */
    bool gpu_shares;     /* it has no memory of its own */
    uint64_t gpu_budget; /* 0 without one */
    uint32_t sequences_wish, gpu_wish; /* of the app; 1 and 0 without */
    bool encrypted;
    bool known; /* the architecture is */
    bool cache; /* it keeps keys and values at all */
    gov_strategy wish;
    gov_kv_type kv_wish;
};

/* ---- plan_sizes.c ---- */

/* What can be no value of its type is not known any more. */
void gov__clean_facts(struct gov_facts *facts);

/* Fills the decision from the facts of the caller; fails where one is missing that
 * no plan can do without, or the app asks for what there is not. */
gov_status gov__plan_take_facts(struct gov__decision *d,
                                const struct gov_facts *facts);

uint64_t gov__plan_setting(const struct gov__settings *s,
                           enum gov__setting which, uint64_t otherwise);

/* What everything takes with those settings. */
struct gov__sizes gov__plan_size(const struct gov__decision *d,
                                 const struct gov__settings *s);

/* Sets the derived facts as settled so far. */
void gov__plan_derive(struct gov__decision *d);

/* Whether the model's heads can be held in that type: llama.cpp makes no cache in
 * which a head is no whole number of blocks. */
enum gov__truth gov__plan_heads_take(const struct gov__decision *d,
                                     gov_kv_type type);

/* Bytes that must be in memory at once under a strategy. */
uint64_t gov__plan_need(const struct gov__decision *d,
                        const struct gov__sizes *z, gov_strategy strategy);

/* The invariant. */
bool gov__plan_fits(const struct gov__decision *d, const struct gov__sizes *z,
                    gov_strategy strategy);

/* The largest context of 2^n or 3 * 2^n tokens, from one block, that would fit
 * where that of *z does not; 0 when none would. */
uint64_t gov__plan_context_that_fits(const struct gov__decision *d,
                                     const struct gov__sizes *z,
                                     gov_strategy strategy);

/* ---- plan_gpu.c ---- */

/* Reads what the facts say of a GPU. */
void gov__plan_find_gpu(struct gov__decision *d);

/* How many layers go there, of the wish of *z, and what that takes; after all
 * other sizes. */
void gov__plan_place(const struct gov__decision *d, struct gov__sizes *z);

/* All layers of the model and its output; INT32_MAX where it is not known. */
uint32_t gov__plan_all_layers(const struct gov__decision *d);

/* ---- plan_words.c: each refusal fills the plan and returns GOV_E_REFUSED ---- */

/* With plan->reason as it is; `rule` is who refused. */
gov_status gov__plan_refuse(struct gov__decision *d, const char *rule,
                            const struct gov__sizes *z);
/* Nothing that the rules allow fits, not even the smallest. */
gov_status gov__plan_refuse_all(struct gov__decision *d);
/* The app asked for exactly this: it is told, not given something else. */
gov_status gov__plan_refuse_wish(struct gov__decision *d,
                                 const struct gov__rule *rule,
                                 const struct gov__sizes *z);
/* Another type than the app asked for would change its results unasked, and this
 * one no engine can make. */
gov_status gov__plan_refuse_kv_type(struct gov__decision *d,
                                    const struct gov__sizes *z);

/* What the app asked for and does not get, and what a person should know. */
void gov__plan_warn(struct gov__decision *d, const struct gov__sizes *z,
                    const struct gov__settings *s);

/* "; sets kv_type q8_0, context 4096; warn was set by other": what a rule that
 * matches comes to, for the trace. */
size_t gov__plan_put_settings(const struct gov__decision *d,
                              const struct gov__settings *s, size_t rule,
                              char *out, size_t bytes, size_t used);

#endif
