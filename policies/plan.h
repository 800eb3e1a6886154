/* SPDX-License-Identifier: MIT */
/* The plan: what the policy decided for one model on one device, with reasons,
 * and the invariant that no policy file can talk away: what is loaded fits. */
#ifndef GOV_POLICIES_PLAN_H
#define GOV_POLICIES_PLAN_H

#include "policies/alloc.h"
#include "policies/facts.h"
#include "policies/policy_text.h"

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

/* Which of the weights stay, where not all do. Numbers are ABI. */
typedef enum gov_hold {
    GOV_HOLD_SPREAD = 0, /* the same share of every layer, so that the disk has
                          * as much to read for one as for the next */
    GOV_HOLD_FIRST = 1,  /* whole layers from the first one on: the first token
                          * comes sooner, the pauses are longer */
    GOV_HOLD_DENSE = 2,  /* what every token uses before experts; then spread */
} gov_hold;

/* In which order what is to stay is brought in. Numbers are ABI. */
typedef enum gov_warm {
    GOV_WARM_USE = 0,  /* as a pass uses it */
    GOV_WARM_FILE = 1, /* as it lies in the file: a disk that seeks */
    GOV_WARM_NONE = 2, /* not before it is used */
} gov_warm;

/* What the system is told of how a mapping is read. Numbers are ABI. */
typedef enum gov_advice {
    GOV_ADVICE_NORMAL = 0,
    GOV_ADVICE_SEQUENTIAL = 1,
    GOV_ADVICE_RANDOM = 2, /* no readahead: a scan goes page by page */
} gov_advice;

/* Their names in policy files; "unset" for a number that is none. */
GOV_API const char *gov_hold_name(gov_hold hold);
GOV_API const char *gov_warm_name(gov_warm warm);
GOV_API const char *gov_advice_name(gov_advice advice);

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
    uint64_t hot_bytes;       /* weights that stay, be it on a GPU; all of them
                               * for mmap */
    uint64_t cold_bytes;      /* weights that come and go each pass */
    uint64_t compute_bytes;   /* the engine's buffers for that context */
    uint64_t engine_bytes;    /* and what it keeps beside them: vocabulary,
                               * graphs, working space; an estimate */
    gov_hold hold;            /* hybrid: which units are hot; else spread */
    gov_warm warm;            /* mapped weights: how they are brought in */
    uint64_t warm_rate; /* at most so many bytes a second while nobody waits
                         * for them; 0: as fast as the disk gives */
    bool anchor; /* what is hot is anonymous memory in the mapping's place, and
                  * so part of footprint_bytes; heap without repacking is that */
    bool direct; /* what becomes anonymous memory is read past the page cache:
                  * hybrid: cold weights become that, too, and the window they
                  * pass through is part of footprint_bytes; else as anchor */
    /* By which reading is predicted, in bytes a second: device.direct_rate where
     * the page cache is passed by and that is known, else device.read_rate. */
    uint64_t read_rate; /* what stays; 0: not known, nothing is predicted */
    uint64_t cold_rate; /* the rest; 0: the same */
    /* Predicted: bringing in what stays, when nothing of it is in memory; 0 where
     * the read rate is not known. */
    uint64_t warm_us;
    gov_advice advise_load; /* the mapping, until it is warm */
    gov_advice advise_pass; /* and from then on */
    uint32_t sequences;  /* conversations that share the context, 1 or more */
    uint32_t gpu_layers; /* from the last one on, the output being the first;
                          * 0 where the engine uses no GPU or weights are
                          * streamed; INT32_MAX: all, however many there are */
    uint64_t gpu_bytes;  /* what those take there, at most */
    uint64_t gpu_budget_bytes; /* 0: no GPU that the engine uses, or its memory
                                * is not known */
    char rule[64]; /* name of the rule that chose; in parentheses: of none */
    char reason[GOV_MESSAGE_BYTES];
    char warning[GOV_MESSAGE_BYTES];
};

/* Called once per rule tried, in order, when a trace is wanted. `verdict` is
 * "matched", "no match", "unknown" or "not reached"; `detail` shows the
 * condition with the values filled in, or names the fact that was missing, and
 * what a rule that matched has set, or which one before it had.
 * Strings are valid during the call. */
typedef void (*gov_trace_fn)(void *ctx, const char *rule, const char *verdict,
                             const char *detail);

/* Decides. Facts are copied and the derived ones (model.context, model.kv,
 * model.mapped_footprint, model.heap_footprint) are filled in from the rest;
 * the KV facts are to be those of f16. Facts that can be no value of their
 * type (negative, a context, a window or a number of conversations of 0, text of a
 * KiB or more) count as unknown. What a model keeps beside model.kv_per_token and
 * model.compute counts as nothing where it is unknown (model.window_kv_per_token,
 * model.state, model.compute_per_token, .compute_per_sequence), a window without a
 * length as the whole context.
 * Where model.known is false the KV facts are taken as the most it may be, for
 * each conversation, and plan->warning says so.
 * A KV type in blocks is planned only where model.kv_quantizable is true: a rule
 * that sets one is passed over, and what the app asks for (request.kv_type) is
 * refused where it is false, and planned with a warning where it is unknown.
 * Layers go to a GPU where engine.gpu is true, there is one and its memory is
 * known: as many of those asked for as fit there at most (policies/planning/plan_gpu.c).
 * Derived facts do not count a GPU: rules see a model as it is without one.
 * Allocates nothing; any thread; what it returns and tells follows from rules and
 * facts alone. A refusal is GOV_E_REFUSED, with the sentence in err and in
 * plan->reason, and names what would fit.
 *
 * What is planned never needs more than budget.ram, device.limit or device.ram,
 * nor on a GPU more than its budget, whatever the rules say.
 *
 * What holds when less is known. Say that a decision was refused by a rule R with
 * `strategy: refuse` and without `unknown: no-match`, and that it is made again
 * with some facts unknown that were known:
 *
 *  1. If R's condition asks neither for derived facts nor known(FACT), then only a
 *     rule before R can load the model; R and all behind it cannot. Which facts
 *     are unknown does not matter.
 *  2. If no size, budget or wish follows from those facts (request.strategy and
 *     the like), no rule that sets context, sequences, kv_type or gpu_layers asks
 *     for them, and no condition asks known() of them, then it is refused again.
 *     The same holds for a refusal because nothing fits.
 *
 * The exceptions are real: a rule before R may match because known(x) is false
 * now, or fit because the context that the app asked for is not known any more.
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

/* Predicted: what reading `bytes` of the model from storage takes, in microseconds,
 * rounded up; 0 where the read rate is not known, or there is nothing to read.
 * What stays counts first, as much as there is of it, and then what is cold.
 * Pure; any thread. */
GOV_API uint64_t gov_plan_read_us(const struct gov_plan *plan, uint64_t bytes);

/* What it costs when others take memory. */
struct gov_evicted {
    uint64_t bytes; /* read again */
    uint64_t us;    /* as gov_plan_read_us() */
};

/* Predicted: the system takes that share (a thousand: all) of what a plan keeps
 * as file pages, rounded up to bytes: at most, as what a GPU holds is counted.
 * Nothing of weights that are anchored or in the heap, nor of a refusal. Pure;
 * any thread. */
GOV_API struct gov_evicted gov_plan_evicted(const struct gov_plan *plan,
                                            uint32_t permille);

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
