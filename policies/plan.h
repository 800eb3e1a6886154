/* SPDX-License-Identifier: MIT */
/* The plan: what the policy decided for one model on one device, with reasons,
 * and the invariant that no policy file can talk away: what is loaded fits. */
#ifndef GOV_POLICIES_PLAN_H
#define GOV_POLICIES_PLAN_H

#include "policies/alloc.h"
#include "policies/facts.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers are ABI. */
typedef enum gov_strategy {
    GOV_STRATEGY_UNSET = 0,
    GOV_STRATEGY_MMAP = 1,   /* file pages, all may stay */
    GOV_STRATEGY_HYBRID = 2, /* hot units stay, cold units are streamed */
    GOV_STRATEGY_HEAP = 3,   /* anonymous memory, repacked by the engine */
    GOV_STRATEGY_REFUSE = 4,
} gov_strategy;

/* "mmap", "hybrid", "heap", "refuse" or "unset". */
GOV_API const char *gov_strategy_name(gov_strategy strategy);

/* Element types of the KV cache; those that llama.cpp takes. Numbers are ABI. */
typedef enum gov_kv_type {
    GOV_KV_UNSET = 0,
    GOV_KV_F16 = 1,
    GOV_KV_Q8_0 = 2,
    GOV_KV_F32 = 3,
    GOV_KV_BF16 = 4,
    GOV_KV_Q4_0 = 5,
    GOV_KV_Q4_1 = 6,
    GOV_KV_Q5_0 = 7,
    GOV_KV_Q5_1 = 8,
    GOV_KV_IQ4_NL = 9,
} gov_kv_type;

/* "f16", "q8_0" and so on, in lower case; "unset" for what is none. */
GOV_API const char *gov_kv_type_name(gov_kv_type type);

/* The type of that name; GOV_KV_UNSET for one that is none. Accepts NULL. */
GOV_API gov_kv_type gov_kv_type_find(const char *name);

/* Elements in a block of that type, and its bytes: 1 and 2 for f16, 32 and 34 for
 * q8_0. Both are 0 for what is no type. A head must be a whole number of
 * blocks. */
GOV_API uint32_t gov_kv_type_block(gov_kv_type type, uint32_t *block_bytes);

/* Rules as read from a YAML file: opaque, immutable, shared between threads. */
typedef struct gov_policy gov_policy;

/* Reads rules from `text` (`bytes` long, need not end in NUL). `name` is used
 * in messages only. Memory comes from `alloc`, copied; NULL means the C
 * library's. On success *out is owned by the caller, gov_policy_free().
 *
 * GOV_E_FORMAT  the text is no policy file; the message has NAME:LINE:COLUMN
 * GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status gov_policy_parse(
    gov_policy **out, const char *text, size_t bytes, const char *name,
    const struct gov_alloc *alloc, gov_error *err);

/* Accepts NULL. */
GOV_API void gov_policy_free(gov_policy *rules);

/* Number of rules. */
GOV_API size_t gov_policy_rules(const gov_policy *rules);

/* A rule that says nothing: its name, its line in the file, and why. */
typedef void (*gov_doubt_fn)(void *ctx, const char *rule, size_t line,
                             const char *sentence);

/* Finds rules that can never have an effect: the condition contradicts itself,
 * or an earlier rule always comes first. Not an error, but hardly meant. Calls
 * `doubt` (may be NULL) for each and returns how many there are. Finds no false
 * ones; does not find all. */
GOV_API size_t gov_policy_doubts(const gov_policy *rules, gov_doubt_fn doubt,
                                 void *ctx);

/* After GOV_E_FORMAT: the offending line with a caret under the column, two
 * lines without a line break behind the second, written to out (NUL-terminated,
 * empty when there is none to show).
 * `text` and `err` are those of the failed call. */
GOV_API void gov_policy_point(const char *text, size_t bytes,
                              const gov_error *err, char *out,
                              size_t out_bytes);

/* What was decided. Filled by gov_plan_decide(); plain data, copy it freely. */
struct gov_plan {
    gov_strategy strategy;
    gov_kv_type kv_type;
    uint32_t context;         /* tokens */
    bool repack;              /* let the engine repack weights */
    bool warn;                /* show `warning` to the person */
    uint32_t ahead;           /* layers with cold parts to read ahead; hybrid */
    uint64_t budget_bytes;    /* what it was checked against */
    uint64_t weights_bytes;   /* all tensors */
    uint64_t kv_bytes;        /* KV for `context`, once all of it is used, and
                               * state that does not grow */
    uint64_t footprint_bytes; /* predicted, cannot be dropped */
    uint64_t hot_bytes;       /* weights that stay; all of them for mmap */
    uint64_t cold_bytes;      /* weights that come and go each pass */
    uint64_t compute_bytes;   /* the engine's buffers for that context */
    uint64_t engine_bytes;    /* and what it keeps beside them: vocabulary,
                               * graphs, working space; an estimate */
    char rule[64]; /* name of the rule that chose; in parentheses: of none */
    char reason[GOV_MESSAGE_BYTES];
    char warning[GOV_MESSAGE_BYTES];
};

/* Called once per rule tried, in order, when a trace is wanted. `verdict` is
 * "matched", "no match", "unknown" or "not reached"; `detail` shows the
 * condition with the values filled in, or names the fact that was missing.
 * Strings are valid during the call. */
typedef void (*gov_trace_fn)(void *ctx, const char *rule, const char *verdict,
                             const char *detail);

/* Decides. Facts are copied and the derived ones (model.context, model.kv,
 * model.mapped_footprint, model.heap_footprint) are filled in from the rest;
 * the KV facts are to be those of f16. Facts that can be no value of their
 * type (negative, a context or a window of 0, text of a KiB or more) count as
 * unknown. What a model keeps beside model.kv_per_token and model.compute counts
 * as nothing where it is unknown (model.window_kv_per_token, model.state,
 * model.compute_per_token), a window without a length as the whole context.
 * Where model.known is false the KV facts are taken as the most it may be, and
 * plan->warning says so.
 * A KV type in blocks is planned only where model.kv_quantizable is true: a rule
 * that sets one is passed over, and what the app asks for (request.kv_type) is
 * refused where it is false, and planned with a warning where it is unknown.
 * Allocates nothing; any thread. A refusal is GOV_E_REFUSED, with the sentence
 * in err and in plan->reason, and names what would fit.
 *
 * GOV_E_REFUSED  the rules refuse, nothing they chose fits the budget, or the
 *                model's heads cannot be held in the KV type asked for
 * GOV_E_INVALID  facts that no plan can do without are unknown */
GOV_API GOV_NODISCARD gov_status gov_plan_decide(struct gov_plan *plan,
                                                 const gov_policy *rules,
                                                 const struct gov_facts *facts,
                                                 gov_trace_fn trace,
                                                 void *trace_ctx,
                                                 gov_error *err);

/* Whether the rules refuse this machine whatever is asked of it: a rule with
 * `strategy: refuse` that is true by facts of the machine alone (device.*, gpu.*,
 * budget.*). All other facts are taken as unknown, and so is whether they will be
 * known, whatever *facts holds. A rule that is unknown refuses nothing here, and
 * the order of the rules does not matter. When refused, `rule` (may be NULL)
 * receives its name and `reason` (may be NULL) its reason with the condition as
 * it was found. Pure; any thread.
 *
 * GOV_E_REFUSED  such a rule is true
 * GOV_E_INVALID  rules or facts is NULL */
GOV_API GOV_NODISCARD gov_status gov_policy_judge_device(
    const gov_policy *rules, const struct gov_facts *facts, char rule[64],
    char reason[GOV_MESSAGE_BYTES], gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
