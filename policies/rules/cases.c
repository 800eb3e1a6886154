/* SPDX-License-Identifier: MIT */
/* Decides cases and compares. See cases.h; cases_read.c reads them. */
#include "policies/rules/cases_priv.h"

#include <string.h>

#include "policies/language/words_priv.h"

/* ---- what can be expected ------------------------------------------------- */

#define ANSWER(name, field)                                                    \
    static struct gov__answer name(const struct gov_plan *plan)                \
    {                                                                          \
        return (struct gov__answer){NULL, (int64_t)plan->field};               \
    }
#define ANSWER_TEXT(name, text)                                                \
    static struct gov__answer name(const struct gov_plan *plan)                \
    {                                                                          \
        return (struct gov__answer){text, 0};                                  \
    }

ANSWER_TEXT(strategy_of, gov_strategy_name(plan->strategy))
ANSWER_TEXT(rule_of, plan->rule)
ANSWER_TEXT(kv_type_of, gov_kv_type_name(plan->kv_type))
ANSWER_TEXT(hold_of, gov_hold_name(plan->hold))
ANSWER_TEXT(warm_of, gov_warm_name(plan->warm))
ANSWER_TEXT(advise_load_of, gov_advice_name(plan->advise_load))
ANSWER_TEXT(advise_pass_of, gov_advice_name(plan->advise_pass))
ANSWER_TEXT(reason_of, plan->reason)
ANSWER_TEXT(warning_of, plan->warning)
ANSWER(context_of, context)
ANSWER(sequences_of, sequences)
ANSWER(gpu_layers_of, gpu_layers)
ANSWER(repack_of, repack)
ANSWER(anchor_of, anchor)
ANSWER(direct_of, direct)
ANSWER(ahead_of, ahead)
ANSWER(warm_rate_of, warm_rate)
ANSWER(warn_of, warn)
ANSWER(hot_of, hot_bytes)

#define WORD(key, words, answer)                                               \
    {                                                                          \
        key, GOV__CASE_PLAN, GOV__EXPECT_WORD, GOV_TYPE_TEXT, &(words), answer \
    }
#define TEXT(key, as, answer)                                                  \
    {                                                                          \
        key, GOV__CASE_PLAN, as, GOV_TYPE_TEXT, NULL, answer                   \
    }
#define NUMBER(key, type, answer)                                              \
    {                                                                          \
        key, GOV__CASE_PLAN, GOV__EXPECT_NUMBER, GOV_TYPE_##type, NULL, answer \
    }

const struct gov__expectation gov__expectations[GOV__EXPECTATIONS] = {
    WORD("strategy", gov__strategies, strategy_of),
    TEXT("rule", GOV__EXPECT_NAME, rule_of),
    WORD("kv_type", gov__kv_types, kv_type_of),
    NUMBER("context", COUNT, context_of),
    NUMBER("sequences", COUNT, sequences_of),
    NUMBER("gpu_layers", COUNT, gpu_layers_of),
    NUMBER("repack", FLAG, repack_of),
    NUMBER("hot", BYTES, hot_of),
    WORD("hold", gov__holds, hold_of),
    NUMBER("anchor", FLAG, anchor_of),
    NUMBER("direct", FLAG, direct_of),
    NUMBER("ahead", COUNT, ahead_of),
    WORD("warm", gov__warms, warm_of),
    NUMBER("warm_rate", BYTES, warm_rate_of),
    WORD("advise_load", gov__advices, advise_load_of),
    WORD("advise_pass", gov__advices, advise_pass_of),
    NUMBER("warn", FLAG, warn_of),
    TEXT("reason", GOV__EXPECT_PATTERN, reason_of),
    TEXT("warning", GOV__EXPECT_PATTERN, warning_of),
    {"order", GOV__CASE_LADDER, GOV__EXPECT_ORDER, GOV_TYPE_TEXT, NULL, NULL},
    {"level", GOV__CASE_LEVEL, GOV__EXPECT_WORD, GOV_TYPE_TEXT, &gov__levels,
     NULL},
    {"because", GOV__CASE_LEVEL, GOV__EXPECT_PATTERN, GOV_TYPE_TEXT, NULL,
     NULL},
};

enum gov__case_kind gov__case_kind(const struct gov__case *c)
{
    if (c->has_evidence)
        return GOV__CASE_LEVEL;
    return c->has_actions ? GOV__CASE_LADDER : GOV__CASE_PLAN;
}

/* ---- comparing ------------------------------------------------------------ */

struct run {
    const gov_policy *policy;
    const char *file;
    gov_case_fn told;
    void *ctx;
};

#define SENTENCE 512

static bool same(const struct gov__case *c, size_t n, struct gov__answer came)
{
    const char *want = c->word[n];

    switch (gov__expectations[n].as) {
    case GOV__EXPECT_NUMBER:
        return c->number[n] == came.number;
    case GOV__EXPECT_PATTERN:
        return gov__matches(came.text, strlen(came.text), want, strlen(want));
    default:
        return strcmp(came.text, want) == 0;
    }
}

static size_t put_number(char *out, size_t used, gov_type type, int64_t number)
{
    const struct gov_value value = {true, number, NULL};
    char text[64];

    return gov__put(out, SENTENCE, used, "%s",
                    gov_value_print(text, sizeof(text), type, &value));
}

/* "strategy is mmap, not heap; " */
static size_t compare(const struct gov__case *c, size_t n,
                      struct gov__answer came, char *out, size_t used)
{
    const struct gov__expectation *e = &gov__expectations[n];
    bool number = e->as == GOV__EXPECT_NUMBER;

    if (!c->expects[n] || same(c, n, came))
        return used;
    used =
        gov__put(out, SENTENCE, used, "%s%s is ", used > 0 ? "; " : "", e->key);
    if (number) {
        used = put_number(out, used, e->type, came.number);
        used = gov__put(out, SENTENCE, used, ", not ");
        return put_number(out, used, e->type, c->number[n]);
    }
    return gov__put(out, SENTENCE, used, "%s, not %s",
                    came.text[0] == '\0' ? "empty" : came.text, c->word[n]);
}

/* ---- the three kinds ------------------------------------------------------ */

static void run_plan(const struct run *run, const struct gov__case *c,
                     char out[SENTENCE])
{
    struct gov_plan plan;
    gov_error err;
    gov_status status =
        gov_plan_decide(&plan, run->policy, &c->facts, NULL, NULL, &err);
    size_t used = 0;

    if (status != GOV_OK && status != GOV_E_REFUSED) {
        gov__put(out, SENTENCE, 0, "there is no plan: %s", err.message);
        return;
    }
    for (size_t n = 0; n < GOV__EXPECTATIONS; n++)
        if (gov__expectations[n].kind == GOV__CASE_PLAN)
            used = compare(c, n, gov__expectations[n].answer(&plan), out, used);
    /* Which rule it was says more than anything else. */
    if (used > 0 && !c->expects[1])
        gov__put(out, SENTENCE, used, " (rule %s)", plan.rule);
}

static struct gov_rung make_rung(const struct gov_relief_rules *rules,
                                 const struct gov__case *c, uint32_t i)
{
    const uint32_t place = gov_ladder_place(rules, c->actions[i].name);
    const struct gov_ladder_step *step = gov_ladder_step(rules, place);
    const uint64_t offered = c->actions[i].offered_bytes;

    return (struct gov_rung){
        .name = c->actions[i].name,
        .from_level = gov_ladder_from(step, c->actions[i].from_level,
                                      c->actions[i].leaves != 0),
        .place = place,
        .rebuild_cost = (uint32_t)c->actions[i].cost,
        .offered_bytes =
            offered > step->floor_bytes ? offered - step->floor_bytes : 0,
    };
}

/* Each action gives what it offers, once. */
static void run_ladder(const struct run *run, const struct gov__case *c,
                       char out[SENTENCE])
{
    struct gov_rung rungs[GOV__CASE_ACTIONS];
    struct gov_relief_rules rules;
    uint64_t given = 0;
    uint32_t steps = 0;
    bool equal = true;
    size_t used = gov__put(out, SENTENCE, 0, "the order is");
    int next;

    gov_policy_relief(run->policy, &rules);
    for (uint32_t i = 0; i < c->action_count; i++)
        rungs[i] = make_rung(&rules, c, i);
    while ((next = gov_ladder_next(rungs, c->action_count, c->level, 0, given,
                                   c->wanted_bytes, NULL, 0)) !=
           GOV_LADDER_DONE) {
        equal = equal && steps < c->order_count &&
                strcmp(rungs[next].name, c->order[steps]) == 0;
        used = gov__put(out, SENTENCE, used, "%s %s", steps > 0 ? "," : "",
                        rungs[next].name);
        steps++;
        given += rungs[next].offered_bytes;
        rungs[next].offered_bytes = 0;
    }
    if (equal && steps == c->order_count)
        out[0] = '\0';
    else if (steps == 0)
        gov__put(out, SENTENCE, used, " empty");
}

static void run_level(const struct run *run, const struct gov__case *c,
                      char out[SENTENCE])
{
    struct gov_level_machine machine = {0};
    struct gov_level_rules rules;
    size_t used = 0;

    gov_policy_levels(run->policy, &rules);
    for (uint32_t i = 0; i < c->sample_count; i++)
        gov_level_step(&machine, &rules, &c->samples[i]);
    for (size_t n = 0; n < GOV__EXPECTATIONS; n++) {
        const struct gov__expectation *e = &gov__expectations[n];
        struct gov__answer came = {machine.reason, 0};

        if (e->kind != GOV__CASE_LEVEL)
            continue;
        if (e->as == GOV__EXPECT_WORD)
            came.text = gov_level_name(machine.level);
        used = compare(c, n, came, out, used);
    }
    if (used > 0 && c->expects[GOV__EXPECTATIONS - 2])
        gov__put(out, SENTENCE, used, " (%s)", machine.reason);
}

static void run_case(void *ctx, const struct gov__case *c)
{
    const struct run *run = ctx;
    char sentence[SENTENCE] = "";
    struct gov_case_result result = {.file = run->file,
                                     .name = c->name,
                                     .requirement = c->requirement,
                                     .line = c->line,
                                     .sentence = sentence};

    switch (gov__case_kind(c)) {
    case GOV__CASE_PLAN:
        run_plan(run, c, sentence);
        break;
    case GOV__CASE_LADDER:
        run_ladder(run, c, sentence);
        break;
    case GOV__CASE_LEVEL:
        run_level(run, c, sentence);
        break;
    }
    result.passed = sentence[0] == '\0';
    if (run->told != NULL)
        run->told(run->ctx, &result);
}

gov_status gov_cases_policy(const char *text, size_t bytes, const char *name,
                            char policy[64], gov_error *err)
{
    const struct gov_policy_layer cases = {name, text, bytes};
    struct gov__flaws flaws = {NULL, NULL, 0};
    const struct gov__cases_request request = {.cases = &cases,
                                               .policy = policy,
                                               .flaws = &flaws,
                                               .alloc = gov_alloc_default()};

    policy[0] = '\0';
    return gov__cases_read(&request, err);
}

/* NOLINTNEXTLINE(readability-function-size): two functions and their ctx */
gov_status gov_cases_run(const gov_policy *policy,
                         const struct gov_policy_layer *cases, gov_case_fn told,
                         void *told_ctx, gov_flaw_fn flaw, void *flaw_ctx,
                         const struct gov_alloc *alloc, gov_error *err)
{
    struct run run = {policy, "cases", told, told_ctx};
    struct gov__flaws flaws = {flaw, flaw_ctx, 0};
    struct gov__cases_request request = {
        .cases = cases,
        .ctx = &run,
        .flaws = &flaws,
        .alloc = alloc != NULL ? alloc : gov_alloc_default()};
    gov_status status;

    if (policy == NULL || cases == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "gov_cases_run() needs cases and a policy to decide "
                        "them by");
    if (cases->name != NULL)
        run.file = cases->name;
    /* Once for the mistakes, so that no case is decided beside one. */
    status = gov__cases_read(&request, err);
    if (status != GOV_OK)
        return status;
    request.each = run_case;
    return gov__cases_read(&request, err);
}
