/* SPDX-License-Identifier: MIT */
/* Plans: which rule wins, which settings count, what fits, and what is said when
 * nothing does. What no policy file can ever bring about is in
 * test_plan_properties.c. */
#include "tests/unit/plan_fixture.h"

/* ---- which rule wins ---- */

static const struct {
    const char *name, *rules;
    gov_strategy strategy;
    const char *rule;
    bool repack, warn;
    uint32_t context, ahead;
    gov_kv_type kv_type;
} wins[] = {
    {"no rules: mapped", HEAD "  []\n", GOV_STRATEGY_MMAP, "(default)", false,
     false, 4096, 0, GOV_KV_F16},
    {"first match wins",
     HEAD RULE("a", "false", "strategy: mmap") RULE(
         "b", "true", "strategy: heap") RULE("c", "true", "strategy: hybrid"),
     GOV_STRATEGY_HEAP, "b", true, false, 4096, 0, GOV_KV_F16},
    {"unknown is no match",
     HEAD RULE("a", "model.encrypted", "strategy: heap")
         RULE("b", "not model.encrypted", "strategy: heap")
             RULE("c", "true", "strategy: hybrid"),
     GOV_STRATEGY_HYBRID, "c", false, false, 4096, 2, GOV_KV_F16},
    {"the first that sets wins, before or behind the strategy",
     HEAD RULE("a", "true", "ahead: 3") RULE("b", "true", "strategy: hybrid")
         RULE("c", "true", "ahead: 4, warn: true")
             RULE("d", "true", "warn: false"),
     GOV_STRATEGY_HYBRID, "b", false, true, 4096, 3, GOV_KV_F16},
    {"a setting beside the strategy counts against later ones",
     HEAD RULE("b", "true", "strategy: hybrid, ahead: 5")
         RULE("c", "true", "ahead: 4"),
     GOV_STRATEGY_HYBRID, "b", false, false, 4096, 5, GOV_KV_F16},
    {"and gives way to earlier ones",
     HEAD RULE("a", "true", "ahead: 4")
         RULE("b", "true", "strategy: hybrid, ahead: 5"),
     GOV_STRATEGY_HYBRID, "b", false, false, 4096, 4, GOV_KV_F16},
    {"settings of a strategy that was not chosen do not count",
     HEAD RULE("b", "true", "strategy: heap")
         RULE("c", "true", "strategy: mmap, repack: false, warn: true"),
     GOV_STRATEGY_HEAP, "b", true, false, 4096, 0, GOV_KV_F16},
    {"heap without repacking",
     HEAD RULE("b", "true", "strategy: heap, repack: false"), GOV_STRATEGY_HEAP,
     "b", false, false, 4096, 0, GOV_KV_F16},
    {"mapped weights are never repacked",
     HEAD RULE("a", "true", "repack: true") RULE("b", "true", "strategy: mmap"),
     GOV_STRATEGY_MMAP, "b", false, false, 4096, 0, GOV_KV_F16},
    {"context and KV type from rules",
     HEAD RULE("a", "true", "context: 512")
         RULE("b", "true", "kv_type: q8_0, context: 1024"),
     GOV_STRATEGY_MMAP, "(default)", false, false, 512, 0, GOV_KV_Q8_0},
    {"a strategy brings its own context",
     HEAD RULE("b", "true", "strategy: hybrid, context: 100, kv_type: q8_0"),
     GOV_STRATEGY_HYBRID, "b", false, false, 100, 2, GOV_KV_Q8_0},
    /* 512 MiB of KV as f16 become 272 MiB: rules on sizes see what the rules
     * on KV settled. */
    {"sizes follow from the KV type",
     HEAD RULE("b", "model.kv <= 272 MiB", "strategy: heap")
         RULE("a", "model.kv >= 512 MiB", "kv_type: q8_0"),
     GOV_STRATEGY_HEAP, "b", true, false, 4096, 0, GOV_KV_Q8_0},
    {"KV per token is that of the type",
     HEAD RULE("a", "true", "kv_type: q8_0")
         RULE("b", "model.kv_per_token == 68 KiB", "strategy: heap"),
     GOV_STRATEGY_HEAP, "b", true, false, 4096, 0, GOV_KV_Q8_0},
    {"derived facts",
     HEAD RULE("b",
               "model.mapped_footprint == 768 MiB and model.heap_footprint == "
               "4.75 GiB and model.kv == 512 MiB",
               "strategy: heap"),
     GOV_STRATEGY_HEAP, "b", true, false, 4096, 0, GOV_KV_F16},
    {"the context is settled before the KV type",
     HEAD RULE("a", "model.context > 8192", "kv_type: q8_0")
         RULE("b", "model.context == 4096", "context: 16384")
             RULE("c", "model.context == 16384", "strategy: heap"),
     GOV_STRATEGY_HEAP, "c", true, false, 16384, 0, GOV_KV_Q8_0},
    {"the first that sets the KV type wins, whichever stage it is in",
     HEAD RULE("a", "true", "kv_type: q4_0")
         RULE("b", "true", "context: 100, kv_type: q8_0"),
     GOV_STRATEGY_MMAP, "(default)", false, false, 100, 0, GOV_KV_Q4_0},
    {"a context beyond the model's is cut before it is judged",
     HEAD RULE("a", "true", "context: 65536")
         RULE("b", "model.context > 32768", "kv_type: q8_0"),
     GOV_STRATEGY_HYBRID, "(default)", false, false, 32768, 2, GOV_KV_F16},
    {"refuse that does not match",
     HEAD RULE("a", "budget.ram < 1 GiB", "strategy: refuse")
         RULE("b", "true", "strategy: heap"),
     GOV_STRATEGY_HEAP, "b", true, false, 4096, 0, GOV_KV_F16},
};

START_TEST(rules_win)
{
    gov_policy *rules = read_rules(wins[_i].rules);
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err;

    usual(&facts);
    ck_assert_msg(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err) ==
                      GOV_OK,
                  "%s: %s", wins[_i].name, err.message);
    ck_assert_msg(plan.strategy == wins[_i].strategy, "%s: %s", wins[_i].name,
                  gov_strategy_name(plan.strategy));
    ck_assert_str_eq(plan.rule, wins[_i].rule);
    ck_assert_msg(plan.repack == wins[_i].repack, "%s", wins[_i].name);
    ck_assert_msg(plan.warn == wins[_i].warn, "%s", wins[_i].name);
    ck_assert_int_eq(plan.warning[0] != '\0', plan.warn);
    ck_assert_uint_eq(plan.context, wins[_i].context);
    ck_assert_uint_eq(plan.ahead, wins[_i].ahead);
    ck_assert_int_eq(plan.kv_type, wins[_i].kv_type);
    gov_policy_free(rules);
}
END_TEST

/* ---- what fits ---- */

/* Of 4 GiB of weights, what may stay with `room` beside the buffers: the window
 * holds the cold share of its units, and 12 MiB of reads are under way. */
#define STAYS(room, window)                                                    \
    ((((room) - (window)-12 * MIB) >> 12) * ((4 * GIB) >> 12) /                \
         ((4 * GIB - (window)) >> 12)                                          \
     << 12)

static const struct {
    const char *name, *rules;
    uint64_t budget, context;
    gov_strategy strategy;
    uint64_t footprint, hot, cold;
} fit[] = {
    {"heap to the byte", ALWAYS("heap"), 4864 * MIB, 4096, GOV_STRATEGY_HEAP,
     4864 * MIB, 4 * GIB, 0},
    {"heap, one byte short: nothing is left but the default", ALWAYS("heap"),
     4864 * MIB - 1, 4096, GOV_STRATEGY_HYBRID, 768 * MIB,
     STAYS(4096 * MIB - 1, 300 * MIB),
     4 * GIB - STAYS(4096 * MIB - 1, 300 * MIB)},
    {"mmap to the byte", ALWAYS("mmap"), 4864 * MIB, 4096, GOV_STRATEGY_MMAP,
     768 * MIB, 4 * GIB, 0},
    {"mmap, one byte short, streams", ALWAYS("mmap"), 4864 * MIB - 1, 4096,
     GOV_STRATEGY_HYBRID, 768 * MIB, STAYS(4096 * MIB - 1, 300 * MIB),
     4 * GIB - STAYS(4096 * MIB - 1, 300 * MIB)},
    {"hybrid with all weights hot", ALWAYS("hybrid"), 8 * GIB, 4096,
     GOV_STRATEGY_HYBRID, 768 * MIB, 4 * GIB, 0},
    {"hybrid to the byte", ALWAYS("hybrid"), 1068 * MIB, 4096,
     GOV_STRATEGY_HYBRID, 768 * MIB, 0, 4 * GIB},
    {"a larger window", ALWAYS("hybrid, ahead: 4"), 2 * GIB, 4096,
     GOV_STRATEGY_HYBRID, 768 * MIB, STAYS(1280 * MIB, 500 * MIB),
     4 * GIB - STAYS(1280 * MIB, 500 * MIB)},
    {"a window that does not fit shrinks", ALWAYS("hybrid, ahead: 4"),
     1068 * MIB, 4096, GOV_STRATEGY_HYBRID, 768 * MIB, 0, 4 * GIB},
    {"at most a share is hot", ALWAYS("hybrid, hot: 25 %"), 8 * GIB, 4096,
     GOV_STRATEGY_HYBRID, 768 * MIB, 1 * GIB, 3 * GIB},
    {"nothing is hot", ALWAYS("hybrid, hot: 0 %"), 8 * GIB, 4096,
     GOV_STRATEGY_HYBRID, 768 * MIB, 0, 4 * GIB},
    {"a smaller context of its own makes it fit",
     HEAD RULE("a", "true", "strategy: heap")
         RULE("b", "true", "strategy: heap, context: 1024"),
     4480 * MIB, 4096, GOV_STRATEGY_HEAP, 4480 * MIB, 4 * GIB, 0},
    {"the next rule takes over",
     ALWAYS("heap") RULE("s", "true", "strategy: hybrid"), 2 * GIB, 4096,
     GOV_STRATEGY_HYBRID, 768 * MIB, STAYS(1280 * MIB, 300 * MIB),
     4 * GIB - STAYS(1280 * MIB, 300 * MIB)},
};

START_TEST(fits)
{
    gov_policy *rules = read_rules(fit[_i].rules);
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err;

    usual(&facts);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, fit[_i].budget);
    gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, fit[_i].context);
    ck_assert_msg(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err) ==
                      GOV_OK,
                  "%s: %s", fit[_i].name, err.message);
    ck_assert_msg(plan.strategy == fit[_i].strategy, "%s: %s", fit[_i].name,
                  gov_strategy_name(plan.strategy));
    ck_assert_uint_eq(plan.budget_bytes, fit[_i].budget);
    ck_assert_uint_eq(plan.weights_bytes, 4 * GIB);
    ck_assert_uint_eq(plan.footprint_bytes, fit[_i].footprint);
    ck_assert_uint_eq(plan.hot_bytes, fit[_i].hot);
    ck_assert_uint_eq(plan.cold_bytes, fit[_i].cold);
    gov_policy_free(rules);
}
END_TEST

/* ---- what is said ---- */

static const struct {
    const char *rules;
    const char *given;
    gov_status status;
    const char *rule, *sentence; /* reason, or the error */
} says[] = {
    {ALWAYS("mmap"), "", GOV_OK, "r", "because of r"},
    {ALWAYS("mmap"), "budget.ram=3G", GOV_OK, "r",
     "4.75 GiB do not fit the 3.00 GiB budget as a whole, so part of the "
     "weights is streamed; because of r"},
    {ALWAYS("heap"), "budget.ram=3G", GOV_OK, "(default)",
     "no rule chose a strategy that fits"},
    {ALWAYS("mmap"), "budget.ram=1G", GOV_E_REFUSED, "(budget)",
     "model needs at least 1.04 GiB (window 300 MiB, KV 512 MiB for 4096 "
     "tokens, buffers 256 MiB) of the 1.00 GiB budget; a context of 3072 "
     "tokens would fit"},
    {ALWAYS("mmap"), "budget.ram=768M request.context=32768", GOV_E_REFUSED,
     "(budget)",
     "model needs at least 4.54 GiB (window 300 MiB, KV 4.00 GiB for 32768 "
     "tokens, buffers 256 MiB) of the 768 MiB budget; a context of 1536 tokens "
     "would fit"},
    {ALWAYS("mmap"), "budget.ram=571M", GOV_E_REFUSED, "(budget)",
     "model needs at least 1.04 GiB (window 300 MiB, KV 512 MiB for 4096 "
     "tokens, buffers 256 MiB) of the 571 MiB budget; no context would fit"},
    /* what a model keeps beside plain KV */
    {ALWAYS("mmap"),
     "budget.ram=1G model.window_kv_per_token=65536 model.window=1024",
     GOV_E_REFUSED, "(budget)",
     "model needs at least 1.11 GiB (window 300 MiB, KV 576 MiB for 4096 "
     "tokens, buffers 256 MiB) of the 1.00 GiB budget; a context of 3072 "
     "tokens would fit"},
    {ALWAYS("mmap"), "budget.ram=1G model.compute_per_token=65536",
     GOV_E_REFUSED, "(budget)",
     "model needs at least 1.29 GiB (window 300 MiB, KV 512 MiB for 4096 "
     "tokens, buffers 512 MiB) of the 1.00 GiB budget; a context of 2048 "
     "tokens would fit"},
    {ALWAYS("mmap"), "budget.ram=1G model.state=500M", GOV_E_REFUSED,
     "(budget)",
     "model needs at least 1.53 GiB (window 300 MiB, KV 1012 MiB for 4096 "
     "tokens, buffers 256 MiB) of the 1.00 GiB budget; no context would fit"},
    {ALWAYS("mmap"), "budget.ram=300M model.kv_per_token=0", GOV_E_REFUSED,
     "(budget)",
     "model needs at least 556 MiB (window 300 MiB, KV 0 B for 4096 tokens, "
     "buffers 256 MiB) of the 300 MiB budget; no context would fit"},
    {ALWAYS("mmap"), "budget.ram=1G model.known=0", GOV_E_REFUSED, "(budget)",
     "model may need 1.04 GiB (window 300 MiB, KV at most 512 MiB for 4096 "
     "tokens, buffers 256 MiB) of the 1.00 GiB budget; a context of 3072 "
     "tokens would fit"},
    /* a context that fits in a type that only a rule chose */
    {ALWAYS("mmap") RULE("k", "model.context > 8192", "kv_type: q8_0"),
     "budget.ram=1G request.context=16384", GOV_E_REFUSED, "(budget)",
     "model needs at least 1.61 GiB (window 300 MiB, KV 1.06 GiB for 16384 "
     "tokens, buffers 256 MiB) of the 1.00 GiB budget; a context of 6144 "
     "tokens and KV as q8_0 would fit"},
    {ALWAYS("mmap"), "budget.ram=1G request.context=16384 request.kv_type=q8_0",
     GOV_E_REFUSED, "(budget)",
     "model needs at least 1.61 GiB (window 300 MiB, KV 1.06 GiB for 16384 "
     "tokens, buffers 256 MiB) of the 1.00 GiB budget; a context of 6144 "
     "tokens would fit"},
    {ALWAYS("mmap"),
     "budget.ram=1G request.context=300 model.kv_per_token=1048576",
     GOV_E_REFUSED, "(budget)",
     "model needs at least 1.04 GiB (window 300 MiB, KV 512 MiB for 300 "
     "tokens, buffers 256 MiB) of the 1.00 GiB budget; a context of 256 tokens "
     "would fit"},
    /* where a unit is large, mapping all needs less than streaming */
    {ALWAYS("hybrid"), "budget.ram=5100273663 model.largest_unit=2G",
     GOV_E_REFUSED, "(budget)",
     "model needs at least 4.75 GiB (weights 4.00 GiB, KV 512 MiB for 4096 "
     "tokens, buffers 256 MiB) of the 4.75 GiB budget; a context of 3072 "
     "tokens would fit"},
    {ALWAYS("mmap"), "budget.ram=4G model.encrypted=1", GOV_E_REFUSED,
     "(budget)",
     "encrypted model needs at least 4.75 GiB (weights 4.00 GiB, KV 512 MiB "
     "for 4096 tokens, buffers 256 MiB) of the 4.00 GiB budget; no context "
     "would fit"},
    {ALWAYS("refuse"), "", GOV_E_REFUSED, "r", "because of r"},
    {HEAD RULE("r", "model.moe and device.swap > 1 B", "strategy: refuse"), "",
     GOV_E_REFUSED, "r", "because of r (model.moe, device.swap are unknown)"},
    {HEAD RULE("r", "budget.ram * 4611686018427387904 > 1 B",
               "strategy: refuse"),
     "", GOV_E_REFUSED, "r",
     "because of r (the numbers are too large to add up)"},
    {HEAD "  - {name: r, when: model.moe, then: {strategy: refuse}, unknown: "
          "no-match, because: b}\n",
     "", GOV_OK, "(default)", "no rule chose a strategy that fits"},
    /* wishes */
    {ALWAYS("heap"), "budget.ram=3G request.strategy=heap", GOV_E_REFUSED, "r",
     "heap was asked for and needs 4.75 GiB (weights 4.00 GiB, KV 512 MiB for "
     "4096 tokens, buffers 256 MiB) of the 3.00 GiB budget; hybrid would fit"},
    {ALWAYS("heap"),
     "budget.ram=4480M model.largest_unit=2G request.strategy=heap",
     GOV_E_REFUSED, "r",
     "heap was asked for and needs 4.75 GiB (weights 4.00 GiB, KV 512 MiB for "
     "4096 tokens, buffers 256 MiB) of the 4.38 GiB budget; a context of 1024 "
     "tokens would fit"},
    {ALWAYS("heap"), "budget.ram=1G request.strategy=heap", GOV_E_REFUSED, "r",
     "heap was asked for and needs 4.75 GiB (weights 4.00 GiB, KV 512 MiB for "
     "4096 tokens, buffers 256 MiB) of the 1.00 GiB budget; hybrid with a "
     "context of 3072 tokens would fit"},
    {ALWAYS("mmap"), "budget.ram=3G request.strategy=mmap", GOV_E_REFUSED, "r",
     "mmap was asked for and needs 4.75 GiB (weights 4.00 GiB, KV 512 MiB for "
     "4096 tokens, buffers 256 MiB) of the 3.00 GiB budget; hybrid would fit"},
    {ALWAYS("mmap"), "model.encrypted=1 request.strategy=mmap", GOV_E_REFUSED,
     "r",
     "mmap was asked for, but the weights are encrypted on disk; heap would "
     "fit"},
    {ALWAYS("hybrid"),
     "model.encrypted=1 budget.ram=4480M request.strategy=hybrid",
     GOV_E_REFUSED, "r",
     "hybrid was asked for, but the weights are encrypted on disk; a context "
     "of 1024 tokens would fit"},
    {ALWAYS("mmap"), "request.strategy=map\x1b", GOV_E_INVALID, "",
     "strategy \"map?\" is asked for; there are mmap, hybrid and heap"},
    {ALWAYS("mmap"), "request.strategy=refuse", GOV_E_INVALID, "",
     "strategy \"refuse\" is asked for; there are mmap, hybrid and heap"},
    {ALWAYS("mmap"), "request.kv_type=q4_\x1b", GOV_E_INVALID, "",
     "KV type \"q4_?\" is asked for; write f16, q8_0, f32, bf16, q4_0, q4_1, "
     "q5_0, q5_1 or iq4_nl"},
    {ALWAYS("mmap"), "request.kv_type=unset", GOV_E_INVALID, "",
     "KV type \"unset\" is asked for; write f16, q8_0, f32, bf16, q4_0, q4_1, "
     "q5_0, q5_1 or iq4_nl"},
    /* heads that cannot be held in what was asked for */
    {ALWAYS("mmap"), "model.kv_quantizable=0 request.kv_type=q8_0",
     GOV_E_REFUSED, "(kv type)",
     "q8_0 was asked for, but heads of this model are no whole number of its "
     "blocks of 32; ask for f16, bf16 or f32"},
    {HEAD "  []\n", "model.kv_quantizable=0 request.kv_type=iq4_nl",
     GOV_E_REFUSED, "(kv type)",
     "iq4_nl was asked for, but heads of this model are no whole number of its "
     "blocks of 32; ask for f16, bf16 or f32"},
    {ALWAYS("refuse"), "model.kv_quantizable=0 request.kv_type=q8_0",
     GOV_E_REFUSED, "r", "because of r"},
    {ALWAYS("mmap"), "model.kv_quantizable=0 request.kv_type=bf16", GOV_OK, "r",
     "because of r"},
};

START_TEST(says_why)
{
    gov_policy *rules = read_rules(says[_i].rules);
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err = {GOV_OK, 0, ""};
    gov_status status;

    usual(&facts);
    give(&facts, says[_i].given);
    status = gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err);
    ck_assert_int_eq(status, says[_i].status);
    ck_assert_str_eq(plan.rule, says[_i].rule);
    if (status == GOV_E_INVALID) {
        ck_assert_str_eq(err.message, says[_i].sentence);
        ck_assert_int_eq(plan.strategy, GOV_STRATEGY_UNSET);
    } else {
        ck_assert_str_eq(plan.reason, says[_i].sentence);
    }
    if (status == GOV_E_REFUSED) {
        ck_assert_str_eq(err.message, says[_i].sentence);
        ck_assert_int_eq(plan.strategy, GOV_STRATEGY_REFUSE);
    }
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     status);
    gov_policy_free(rules);
}
END_TEST

static const struct {
    const char *rules;
    const char *given;
    uint32_t context;
    gov_kv_type kv_type;
    const char *warning;
} warns[] = {
    {ALWAYS("mmap"), "request.context=32768", 32768, GOV_KV_F16, ""},
    {ALWAYS("mmap"), "request.context=32769", 32768, GOV_KV_F16,
     "a context of 32769 tokens was asked for, 32768 is the most the model "
     "knows"},
    {HEAD RULE("a", "true", "context: 2048"), "request.context=4096", 2048,
     GOV_KV_F16,
     "a context of 4096 tokens was asked for, 2048 is what the rules allow"},
    {HEAD RULE("a", "true", "context: 65536"), "", 32768, GOV_KV_F16, ""},
    {ALWAYS("mmap"), "model.context_max=2048", 2048, GOV_KV_F16, ""},
    {ALWAYS("mmap"), "request.kv_type=q8_0", 4096, GOV_KV_Q8_0, ""},
    {ALWAYS("mmap, kv_type: f16"), "request.kv_type=q8_0", 4096, GOV_KV_F16,
     "KV as q8_0 was asked for, f16 was chosen"},
    /* which a rule may bring about, so that it is no refusal */
    {ALWAYS("mmap, kv_type: f16"),
     "request.kv_type=q8_0 model.kv_quantizable=0", 4096, GOV_KV_F16,
     "KV as q8_0 was asked for, f16 was chosen"},
    {HEAD RULE("a", "true", "kv_type: q4_0"), "request.kv_type=f16", 4096,
     GOV_KV_Q4_0, "KV as f16 was asked for, q4_0 was chosen"},
    {ALWAYS("mmap"), "model.known=1 model.architecture=llama", 4096, GOV_KV_F16,
     ""},
    {ALWAYS("mmap"), "model.known=0 model.architecture=frob\x1b", 4096,
     GOV_KV_F16,
     "KV is counted at the most it may be, as architecture frob? is not known"},
    {ALWAYS("mmap"), "model.known=0", 4096, GOV_KV_F16,
     "KV is counted at the most it may be, as the architecture is not known"},
    {ALWAYS("mmap"),
     "model.known=0 model.context_max=2048 request.context=4096", 2048,
     GOV_KV_F16,
     "KV is counted at the most it may be, as the architecture is not known; a "
     "context of 4096 tokens was asked for, 2048 is the most the model knows"},
    {ALWAYS("heap, warn: true"), "", 4096, GOV_KV_F16,
     "the model takes 4.75 GiB of the 8.00 GiB budget that cannot be given "
     "back while it is loaded"},
    {ALWAYS("heap, warn: true"),
     "request.strategy=hybrid request.context=40000 budget.ram=9G", 32768,
     GOV_KV_F16,
     "the model takes 8.25 GiB of the 9.00 GiB budget that cannot be given "
     "back while it is loaded; a context of 40000 tokens was asked for, 32768 "
     "is the most the model knows; hybrid was asked for, heap was chosen"},
};

START_TEST(warns_of)
{
    gov_policy *rules = read_rules(warns[_i].rules);
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err;

    usual(&facts);
    give(&facts, warns[_i].given);
    ck_assert_msg(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err) == 0,
                  "%s", err.message);
    ck_assert_uint_eq(plan.context, warns[_i].context);
    ck_assert_int_eq(plan.kv_type, warns[_i].kv_type);
    ck_assert_str_eq(plan.warning, warns[_i].warning);
    ck_assert_int_eq(plan.warn, warns[_i].warning[0] != '\0');
    gov_policy_free(rules);
}
END_TEST

/* ---- facts that lie or lack ---- */

START_TEST(needs_facts)
{
    static const struct {
        gov_fact fact;
        const char *message;
    } rows[] = {
        {GOV_FACT_BUDGET_RAM,
         "budget.ram is unknown (bytes of memory the app may use: limit less "
         "reserve); no plan can do without it, and the device profile does not "
         "tell"},
        {GOV_FACT_MODEL_WEIGHTS,
         "model.weights is unknown (bytes of all tensors); no plan can do "
         "without it, and the model file does not tell; name a whole "
         "model, which a projector or a part is not"},
        {GOV_FACT_MODEL_KV_PER_TOKEN,
         "model.kv_per_token is unknown (KV cache per token of layers that "
         "attend to everything, with the planned element type); no plan can do "
         "without it, and the model file does not tell; name a whole "
         "model, which a projector or a part is not"},
        {GOV_FACT_MODEL_COMPUTE,
         "model.compute is unknown (estimate of the engine's buffers, without "
         "what the context adds); no plan can do without it, and the model "
         "file "
         "does not tell; name a whole model, which a projector or a part "
         "is not"},
    };
    gov_policy *rules = read_rules(ALWAYS("mmap"));
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err;

    usual(&facts);
    facts.value[rows[_i].fact].known = false;
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, rows[_i].message);
    ck_assert_int_eq(plan.strategy, GOV_STRATEGY_UNSET);
    facts.value[rows[_i].fact].known = true;
    facts.value[rows[_i].fact].number = -1; /* no such size */
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_plan_decide(&plan, NULL, &facts, NULL, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, NULL, NULL, NULL, &err),
                     GOV_E_INVALID);
    gov_policy_free(rules);
}
END_TEST

/* The tightest of budget, limit and RAM counts, whatever the budget says. */
START_TEST(budget_is_the_tightest)
{
    gov_policy *rules = read_rules(ALWAYS("mmap"));
    struct gov_facts facts;
    struct gov_plan plan;

    usual(&facts);
    gov_facts_set(&facts, GOV_FACT_DEVICE_RAM, 6 * GIB);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_uint_eq(plan.budget_bytes, 6 * GIB);
    gov_facts_set(&facts, GOV_FACT_DEVICE_LIMIT, 2 * GIB);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_uint_eq(plan.budget_bytes, 2 * GIB);
    ck_assert_int_eq(plan.strategy, GOV_STRATEGY_HYBRID);
    gov_policy_free(rules);
}
END_TEST

/* Without units there is no streaming: one unit, the whole model. */
START_TEST(unknown_units_do_not_stream)
{
    gov_policy *rules = read_rules(ALWAYS("hybrid"));
    struct gov_facts facts;
    struct gov_plan plan;

    usual(&facts);
    facts.value[GOV_FACT_MODEL_LARGEST_UNIT].known = false;
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_int_eq(plan.strategy, GOV_STRATEGY_MMAP);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, 4 * GIB);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     GOV_E_REFUSED);
    gov_policy_free(rules);
}
END_TEST

/* Sizes near the end of the range neither wrap nor fit. */
START_TEST(huge_sizes)
{
    static const gov_fact sizes[] = {
        GOV_FACT_MODEL_WEIGHTS,   GOV_FACT_MODEL_KV_PER_TOKEN,
        GOV_FACT_MODEL_COMPUTE,   GOV_FACT_MODEL_LARGEST_UNIT,
        GOV_FACT_MODEL_WINDOW_KV, GOV_FACT_MODEL_COMPUTE_PER_TOKEN,
        GOV_FACT_MODEL_STATE};
    static const char *const strategies[] = {ALWAYS("mmap"), ALWAYS("hybrid"),
                                             ALWAYS("heap")};
    gov_policy *rules = read_rules(strategies[_i % 3]);
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err;
    gov_status status;

    usual(&facts);
    gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, UINT64_MAX);
    gov_facts_set(&facts, GOV_FACT_MODEL_CONTEXT_MAX, UINT64_MAX);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, INT64_MAX);
    gov_facts_set(&facts, sizes[_i / 3], UINT64_MAX);
    status = gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err);
    ck_assert_uint_eq(plan.context, INT32_MAX);
    if (sizes[_i / 3] == GOV_FACT_MODEL_WEIGHTS) {
        ck_assert_int_eq(status, GOV_OK); /* streamed, a unit at a time */
        ck_assert_int_eq(plan.strategy, GOV_STRATEGY_HYBRID);
    } else if (sizes[_i / 3] == GOV_FACT_MODEL_LARGEST_UNIT) {
        ck_assert_int_eq(status, GOV_OK);
        ck_assert_int_ne(plan.strategy, GOV_STRATEGY_HYBRID);
    } else {
        ck_assert_int_eq(status, GOV_E_REFUSED);
        ck_assert_ptr_nonnull(strstr(err.message, " of the 8.00 EiB budget"));
    }
    gov_policy_free(rules);
}
END_TEST

/* 2^33 bytes for each of 2^31 tokens are 2^64: more than anybody has, and not
 * nothing. */
START_TEST(what_grows_does_not_wrap)
{
    static const gov_fact each[] = {GOV_FACT_MODEL_KV_PER_TOKEN,
                                    GOV_FACT_MODEL_WINDOW_KV,
                                    GOV_FACT_MODEL_COMPUTE_PER_TOKEN};
    gov_policy *rules = read_rules(ALWAYS("mmap"));
    struct gov_facts facts;
    struct gov_plan plan;

    usual(&facts);
    gov_facts_set(&facts, GOV_FACT_MODEL_KV_PER_TOKEN, 0);
    gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, INT32_MAX);
    gov_facts_set(&facts, GOV_FACT_MODEL_CONTEXT_MAX, INT32_MAX);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, INT64_MAX);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    gov_facts_set(&facts, each[_i], UINT64_C(1) << 33);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     GOV_E_REFUSED);
    ck_assert_uint_eq(_i < 2 ? plan.kv_bytes : plan.compute_bytes, UINT64_MAX);
    gov_policy_free(rules);
}
END_TEST

/* 32 elements: 64 bytes as f16, 34 as q8_0; what is no whole block, rounded
 * up. */
static const struct {
    const char *type;
    uint64_t f16, bytes;
} typed[] = {
    {"q8_0", 0, 0},       {"q8_0", 64, 34},       {"q8_0", 131072, 69632},
    {"q8_0", 1, 1},       {"q8_0", 2, 2},         {"q8_0", 63, 34},
    {"q8_0", 65, 35},     {"q8_0", 96, 51},       {"q8_0", 100, 54},
    {"q8_0", 4096, 2176}, {"f16", 4096, 4096},    {"f16", 4095, 4095},
    {"bf16", 4096, 4096}, {"bf16", 4095, 4095},   {"f32", 4096, 8192},
    {"f32", 4095, 8190},  {"q4_0", 4096, 1152},   {"q4_0", 4095, 1152},
    {"q4_1", 4096, 1280}, {"q4_1", 4097, 1281},   {"q5_0", 4096, 1408},
    {"q5_1", 4096, 1536}, {"iq4_nl", 4096, 1152}, {"q8_0", 1 << 30, 570425344},
};

START_TEST(kv_bytes_of_types)
{
    uint64_t f16 = typed[_i].f16, bytes = typed[_i].bytes;
    char text[256];
    struct gov_facts facts;
    struct gov_plan plan;
    gov_policy *rules;

    snprintf(text, sizeof(text), HEAD RULE("a", "true", "kv_type: %s"),
             typed[_i].type);
    rules = read_rules(text);
    usual(&facts);
    gov_facts_set(&facts, GOV_FACT_MODEL_KV_PER_TOKEN, f16);
    gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, 1);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, (uint64_t)1 << 40);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    /* The engine makes room for a block of 256 tokens at least. */
    ck_assert_uint_eq(plan.kv_bytes, bytes * 256);
    if (f16 != 0)
        ck_assert_str_eq(gov_kv_type_name(plan.kv_type), typed[_i].type);
    /* A window's layers are sized the same way, by themselves. */
    gov_facts_set(&facts, GOV_FACT_MODEL_KV_PER_TOKEN, 0);
    gov_facts_set(&facts, GOV_FACT_MODEL_WINDOW_KV, f16);
    gov_facts_set(&facts, GOV_FACT_MODEL_WINDOW, 1024);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_uint_eq(plan.kv_bytes, bytes * 256);
    gov_policy_free(rules);
}
END_TEST

/* What a model keeps: full layers for every token, others for a window of them,
 * and state that no token adds to. */
static const struct {
    const char *name, *given;
    uint64_t kv, compute;
} keeping[] = {
    {"plain", "", 4096 * 128 * KIB, 256 * MIB},
    {"a window", "model.window_kv_per_token=65536 model.window=1536",
     4096 * 128 * KIB + 1536 * 64 * KIB, 256 * MIB},
    {"a window of no whole blocks",
     "model.window_kv_per_token=65536 model.window=1537",
     4096 * 128 * KIB + 1792 * 64 * KIB, 256 * MIB},
    {"a window longer than the context",
     "model.window_kv_per_token=65536 model.window=4097", 4096 * 192 * KIB,
     256 * MIB},
    {"longer than the tokens, not than their cells",
     "model.window_kv_per_token=65536 model.window=400 request.context=300",
     512 * 192 * KIB, 256 * MIB},
    {"shorter than one block",
     "model.window_kv_per_token=65536 model.window=1 request.context=300",
     512 * 128 * KIB + 256 * 64 * KIB, 256 * MIB},
    {"a window of unknown length is the whole context",
     "model.window_kv_per_token=65536", 4096 * 192 * KIB, 256 * MIB},
    {"a window of 0 is unknown",
     "model.window_kv_per_token=65536 model.window=0", 4096 * 192 * KIB,
     256 * MIB},
    {"a window without layers", "model.window=1024", 4096 * 128 * KIB,
     256 * MIB},
    {"windows only",
     "model.kv_per_token=0 model.window_kv_per_token=65536 model.window=1024",
     1024 * 64 * KIB, 256 * MIB},
    {"state", "model.state=7M", 4096 * 128 * KIB + 7 * MIB, 256 * MIB},
    {"state alone", "model.kv_per_token=0 model.state=7M", 7 * MIB, 256 * MIB},
    {"nothing", "model.kv_per_token=0", 0, 256 * MIB},
    {"buffers that grow", "model.compute_per_token=1024", 4096 * 128 * KIB,
     260 * MIB},
    {"buffers grow by blocks",
     "model.compute_per_token=1024 request.context=257", 512 * 128 * KIB,
     256 * MIB + 512 * KIB},
    {"all of it, quantized",
     "model.window_kv_per_token=65536 model.window=1536 model.state=7M "
     "model.compute_per_token=1024 request.kv_type=q8_0",
     4096 * 68 * KIB + 1536 * 34 * KIB + 7 * MIB, 260 * MIB},
    {"all of it, larger",
     "model.window_kv_per_token=65536 model.window=1536 model.state=7M "
     "model.compute_per_token=1024 request.kv_type=f32",
     4096 * 256 * KIB + 1536 * 128 * KIB + 7 * MIB, 260 * MIB},
};

START_TEST(keeps)
{
    gov_policy *rules = read_rules(ALWAYS("mmap"));
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err;

    usual(&facts);
    give(&facts, keeping[_i].given);
    ck_assert_msg(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err) == 0,
                  "%s: %s", keeping[_i].name, err.message);
    ck_assert_uint_eq(plan.kv_bytes, keeping[_i].kv);
    ck_assert_uint_eq(plan.compute_bytes, keeping[_i].compute);
    ck_assert_uint_eq(plan.footprint_bytes,
                      keeping[_i].kv + keeping[_i].compute);
    /* To the byte: with one less it is refused, and says so of these. */
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM,
                  300 * MIB + keeping[_i].kv + keeping[_i].compute);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err),
                     0);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM,
                  300 * MIB + keeping[_i].kv + keeping[_i].compute - 1);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err),
                     GOV_E_REFUSED);
    ck_assert_uint_eq(plan.kv_bytes, keeping[_i].kv);
    ck_assert_uint_eq(plan.compute_bytes, keeping[_i].compute);
    gov_policy_free(rules);
}
END_TEST

/* What rules see of it: KV as planned, buffers without the context's part, and
 * the sum in the footprints. */
START_TEST(rules_see_what_is_kept)
{
    gov_policy *rules = read_rules(HEAD RULE("k", "true", "kv_type: q8_0") RULE(
        "a",
        "model.kv_per_token == 68 KiB and model.kv == 324 MiB and "
        "model.window_kv_per_token == 34 KiB and model.compute == "
        "256 MiB and model.mapped_footprint == 584 MiB and "
        "model.heap_footprint == 4680 MiB and model.context == 4096",
        "strategy: heap"));
    struct gov_facts facts;
    struct gov_plan plan;

    usual(&facts);
    give(&facts, "model.window_kv_per_token=65536 model.window=1536 "
                 "model.state=1M model.compute_per_token=1024");
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_str_eq(plan.rule, "a");
    gov_policy_free(rules);
    /* What is not there stays unknown. */
    rules = read_rules(
        HEAD RULE("a", "known(model.window_kv_per_token)", "strategy: heap"));
    usual(&facts);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_str_eq(plan.rule, "(default)");
    gov_policy_free(rules);
}
END_TEST

/* ---- KV types and heads ---- */

static const struct {
    const char *name, *rules, *given;
    const char *outcome; /* strategy, KV type, context: the rule; the warning */
} typing[] = {
    {"a type in blocks", HEAD RULE("a", "true", "kv_type: q4_0"), "",
     "mmap q4_0 4096: (default)"},
    {"which the heads forbid", HEAD RULE("a", "true", "kv_type: q4_0"),
     "model.kv_quantizable=0", "mmap f16 4096: (default)"},
    {"a rule is passed over as a whole",
     HEAD RULE("a", "true", "kv_type: q4_0, context: 64, warn: true"),
     "model.kv_quantizable=0", "mmap f16 4096: (default)"},
    {"and the next one counts",
     HEAD RULE("a", "true", "kv_type: q4_0")
         RULE("b", "true", "kv_type: f32, context: 64"),
     "model.kv_quantizable=0", "mmap f32 64: (default)"},
    {"so is one that chooses",
     HEAD RULE("a", "true", "strategy: heap, kv_type: q8_0")
         RULE("b", "true", "strategy: hybrid, kv_type: bf16"),
     "model.kv_quantizable=0", "hybrid bf16 4096: b"},
    {"one that chooses, where the heads take it",
     HEAD RULE("a", "true", "strategy: heap, kv_type: q5_1"), "",
     "heap q5_1 4096: a"},
    {"unknown heads take no rule's word",
     HEAD RULE("a", "true", "kv_type: q8_0")
         RULE("b", "true", "strategy: heap, kv_type: q8_0"),
     "model.kv_quantizable=?", "mmap f16 4096: (default)"},
    {"but the app's", HEAD "  []\n",
     "model.kv_quantizable=? request.kv_type=q8_0",
     "mmap q8_0 4096: (default); whether the model's heads take KV as q8_0 is "
     "not known"},
    {"which for types without blocks is no question", HEAD "  []\n",
     "model.kv_quantizable=? request.kv_type=f32", "mmap f32 4096: (default)"},
    {"the app's wish stands where a rule is passed over",
     HEAD RULE("a", "true", "kv_type: q4_0"),
     "model.kv_quantizable=0 request.kv_type=bf16",
     "mmap bf16 4096: (default)"},
    /* where there is no cache, there is no type that matters */
    {"no cache, a wish", HEAD "  []\n",
     "model.kv_per_token=0 model.kv_quantizable=0 request.kv_type=q8_0",
     "mmap f16 4096: (default)"},
    {"no cache, a rule", HEAD RULE("a", "true", "kv_type: q8_0, context: 64"),
     "model.kv_per_token=0 model.window_kv_per_token=0 model.kv_quantizable=0",
     "mmap f16 64: (default)"},
    {"no cache, unknown heads", HEAD "  []\n",
     "model.kv_per_token=0 model.kv_quantizable=? request.kv_type=q8_0",
     "mmap f16 4096: (default)"},
    {"windows are a cache", HEAD RULE("a", "true", "kv_type: q8_0"),
     "model.kv_per_token=0 model.window_kv_per_token=64",
     "mmap q8_0 4096: "
     "(default)"},
};

static void put_outcome(char *out, size_t bytes, const struct gov_plan *plan)
{
    snprintf(out, bytes, "%s %s %u: %s%s%s", gov_strategy_name(plan->strategy),
             gov_kv_type_name(plan->kv_type), plan->context, plan->rule,
             plan->warning[0] != '\0' ? "; " : "", plan->warning);
}

START_TEST(heads_take)
{
    gov_policy *rules = read_rules(typing[_i].rules);
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err;
    char outcome[512];

    usual(&facts);
    give(&facts, typing[_i].given);
    ck_assert_msg(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err) == 0,
                  "%s: %s", typing[_i].name, err.message);
    put_outcome(outcome, sizeof(outcome), &plan);
    ck_assert_msg(strcmp(outcome, typing[_i].outcome) == 0, "%s: %s",
                  typing[_i].name, outcome);
    gov_policy_free(rules);
}
END_TEST

/* llama.cpp makes room for blocks of 256 tokens, and so does the plan; a context
 * that is advised fits with its whole block. */
START_TEST(kv_comes_in_blocks)
{
    static const struct {
        uint64_t context, cells;
    } rows[] = {{1, 256}, {256, 256}, {257, 512}, {300, 512}, {4096, 4096}};
    gov_policy *rules = read_rules(HEAD RULE("a", "true", "strategy: mmap"));
    struct gov_facts facts;
    struct gov_plan plan;
    gov_error err;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        usual(&facts);
        gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, rows[i].context);
        ck_assert_int_eq(
            gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL), 0);
        ck_assert_uint_eq(plan.context, rows[i].context);
        ck_assert_uint_eq(plan.kv_bytes, rows[i].cells * 128 * KIB);
    }
    /* The context that is advised fits with its whole block: room for 400
     * tokens beside the window is room for 256, not for 384. */
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM,
                  300 * MIB + 256 * MIB + 400 * 128 * KIB);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, &err),
                     GOV_E_REFUSED);
    ck_assert_msg(strstr(err.message, "a context of 256 tokens would fit") !=
                      NULL,
                  "%s", err.message);
    gov_policy_free(rules);
}
END_TEST

/* What no value of its type can be is unknown, not believed. */
START_TEST(nonsense_is_unknown)
{
    gov_policy *rules = read_rules(HEAD RULE(
        "a",
        "known(request.context) or known(model.context_max) or "
        "known(device.os) or known(device.arch) or known(device.swap) or "
        "known(model.window) or "
        "model.moe != true",
        "strategy: heap"));
    struct gov_facts facts;
    struct gov_plan plan;
    char *text = malloc(4096);

    ck_assert_ptr_nonnull(text);
    memset(text, 'a', 4095);
    text[4095] = '\0';
    usual(&facts);
    gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, 0);
    gov_facts_set(&facts, GOV_FACT_MODEL_CONTEXT_MAX, 0);
    gov_facts_set(&facts, GOV_FACT_MODEL_WINDOW, 0);
    gov_facts_set(&facts, GOV_FACT_MODEL_MOE, 77);
    facts.value[GOV_FACT_DEVICE_OS].known = true; /* without a text */
    facts.value[GOV_FACT_DEVICE_SWAP] = (struct gov_value){true, -1, NULL};
    gov_facts_set_text(&facts, GOV_FACT_DEVICE_ARCH, text);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_str_eq(plan.rule, "(default)");
    ck_assert_uint_eq(plan.context, 4096);
    free(text);
    gov_policy_free(rules);
}
END_TEST

/* Derived facts are worked out, not believed. */
START_TEST(derived_facts_are_ours)
{
    gov_policy *rules = read_rules(
        HEAD RULE("a", "model.kv < 2 B", "warn: true")
            RULE("b", "model.heap_footprint < 2 B or model.context == 7",
                 "context: 1")
                RULE("c", "model.mapped_footprint < 2 B", "strategy: heap"));
    struct gov_facts facts;
    struct gov_plan plan;

    usual(&facts);
    give(&facts, "model.kv=1 model.heap_footprint=1 model.mapped_footprint=1 "
                 "model.context=7");
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert(!plan.warn);
    ck_assert_uint_eq(plan.context, 4096);
    ck_assert_str_eq(plan.rule, "(default)");
    gov_policy_free(rules);
}
END_TEST

/* An engine may not see plain weights that it could repack. */
START_TEST(encrypted_weights_are_not_repacked)
{
    static const char *const rows[] = {ALWAYS("heap"),
                                       ALWAYS("heap, repack: true")};
    gov_policy *rules = read_rules(rows[_i]);
    struct gov_facts facts;
    struct gov_plan plan;

    usual(&facts);
    give(&facts, "model.encrypted=1");
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_int_eq(plan.strategy, GOV_STRATEGY_HEAP);
    ck_assert_int_eq(plan.repack, _i == 1); /* unless a rule says so */
    gov_policy_free(rules);
}
END_TEST

/* ---- the trace ---- */

static char traced[4096];

static void write_trace(void *ctx, const char *rule, const char *verdict,
                        const char *detail)
{
    size_t used = strlen(traced);

    ck_assert_ptr_eq(ctx, traced);
    snprintf(traced + used, sizeof(traced) - used, "%s|%s|%s\n", rule, verdict,
             detail);
}

START_TEST(traces_every_rule)
{
    static const char text[] = HEAD RULE(
        "k", "model.kv > 256 MiB",
        "kv_type: q8_0") RULE("s", "model.kv > 272 MiB", "warn: true")
        RULE("e", "model.encrypted", "strategy: heap") RULE(
            "h", "device.os == \"linux\" and model.weights > 1 GiB",
            "strategy: heap")
            RULE("n", "budget.ram > 1 TiB",
                 "strategy: refuse") "  - {name: m, then: {strategy: mmap}, "
                                     "because: b}\n" RULE("l", "true",
                                                          "strategy: hybrid")
                                         RULE("w", "device.swap > 1 B",
                                              "ahead: 3");
    static const char want[] =
        "k|matched|model.kv (512 MiB) > 256 MiB; sets kv_type q8_0\n"
        "s|no match|model.kv (272 MiB) > 272 MiB\n"
        "e|unknown|model.encrypted is unknown\n"
        "h|matched|device.os (linux) == \"linux\" and model.weights (4.00 GiB) "
        "> 1 GiB; does not fit: heap needs 4.52 GiB of the 3.00 GiB budget\n"
        "n|no match|budget.ram (3.00 GiB) > 1 TiB\n"
        "m|matched|always; streamed, to fit\n"
        "l|not reached|\n"
        "w|unknown|device.swap is unknown\n";
    gov_policy *rules = read_rules(text);
    struct gov_facts facts;
    struct gov_plan plan, quiet;

    usual(&facts);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, 3 * GIB);
    gov_facts_set_text(&facts, GOV_FACT_DEVICE_OS, "linux");
    traced[0] = '\0';
    ck_assert_int_eq(
        gov_plan_decide(&plan, rules, &facts, write_trace, traced, NULL), 0);
    ck_assert_str_eq(traced, want);
    ck_assert_int_eq(gov_plan_decide(&quiet, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_mem_eq(&plan, &quiet, sizeof(plan));

    gov_facts_set(&facts, GOV_FACT_MODEL_ENCRYPTED, 1);
    traced[0] = '\0';
    ck_assert_int_eq(
        gov_plan_decide(&plan, rules, &facts, write_trace, traced, NULL),
        GOV_E_REFUSED);
    ck_assert_ptr_nonnull(
        strstr(traced, "l|matched|true; cannot be: the weights are encrypted "
                       "on disk\n"));
    gov_policy_free(rules);

    rules = read_rules(HEAD RULE("k", "true", "kv_type: q4_0") RULE(
        "n", "false", "kv_type: q4_0") RULE("u", "model.moe", "kv_type: q4_0")
                           RULE("s", "true", "strategy: heap, kv_type: q8_0")
                               RULE("t", "true", "strategy: mmap")
                                   RULE("l", "true", "strategy: hybrid"));
    usual(&facts);
    give(&facts, "model.kv_quantizable=0");
    traced[0] = '\0';
    ck_assert_int_eq(
        gov_plan_decide(&plan, rules, &facts, write_trace, traced, NULL), 0);
    ck_assert_str_eq(
        traced,
        "k|matched|true; passed over: heads of this model are no whole blocks "
        "of its kv_type\n"
        "n|no match|false\nu|unknown|model.moe is unknown\n"
        "s|matched|true; passed over: heads of this model are no whole blocks "
        "of its kv_type\n"
        "t|matched|true\nl|not reached|\n");
    give(&facts, "model.kv_quantizable=?");
    traced[0] = '\0';
    ck_assert_int_eq(
        gov_plan_decide(&plan, rules, &facts, write_trace, traced, NULL), 0);
    ck_assert_ptr_eq(
        strstr(traced, "k|matched|true; passed over: whether the heads are "
                       "whole blocks of its kv_type is unknown\nn|no match|"),
        traced);
    give(&facts, "model.kv_quantizable=0 request.kv_type=q8_0");
    traced[0] = '\0';
    ck_assert_int_eq(
        gov_plan_decide(&plan, rules, &facts, write_trace, traced, NULL),
        GOV_E_REFUSED);
    ck_assert_ptr_nonnull(
        strstr(traced, "t|matched|true; the KV type asked for cannot be\n"
                       "l|not reached|\n"));
    gov_policy_free(rules);

    rules = read_rules(HEAD RULE("r", "model.moe", "strategy: refuse"));
    traced[0] = '\0';
    ck_assert_int_eq(
        gov_plan_decide(&plan, rules, &facts, write_trace, traced, NULL),
        GOV_E_REFUSED);
    ck_assert_str_eq(traced, "r|unknown|model.moe is unknown, so it refuses\n");
    gov_policy_free(rules);
}
END_TEST

START_TEST(names)
{
    ck_assert_str_eq(gov_strategy_name(GOV_STRATEGY_UNSET), "unset");
    ck_assert_str_eq(gov_strategy_name(GOV_STRATEGY_REFUSE), "refuse");
    ck_assert_str_eq(gov_strategy_name((gov_strategy)77), "unset");
    ck_assert_str_eq(gov_hold_name(GOV_HOLD_DENSE), "dense");
    ck_assert_str_eq(gov_hold_name((gov_hold)3), "unset");
    ck_assert_str_eq(gov_hold_name((gov_hold)-1), "unset");
    ck_assert_str_eq(gov_warm_name(GOV_WARM_NONE), "none");
    ck_assert_str_eq(gov_warm_name((gov_warm)3), "unset");
    ck_assert_str_eq(gov_advice_name(GOV_ADVICE_RANDOM), "random");
    ck_assert_str_eq(gov_advice_name((gov_advice)3), "unset");
}
END_TEST

static const struct {
    gov_kv_type type;
    const char *name;
    uint32_t elements, bytes;
} kv_types[] = {
    {GOV_KV_F16, "f16", 1, 2},         {GOV_KV_Q8_0, "q8_0", 32, 34},
    {GOV_KV_F32, "f32", 1, 4},         {GOV_KV_BF16, "bf16", 1, 2},
    {GOV_KV_Q4_0, "q4_0", 32, 18},     {GOV_KV_Q4_1, "q4_1", 32, 20},
    {GOV_KV_Q5_0, "q5_0", 32, 22},     {GOV_KV_Q5_1, "q5_1", 32, 24},
    {GOV_KV_IQ4_NL, "iq4_nl", 32, 18},
};

/* Each type by name and number, in a rule, in its condition, and asked for. */
START_TEST(kv_types_everywhere)
{
    gov_kv_type type = kv_types[_i].type;
    const char *name = kv_types[_i].name;
    struct gov_facts facts;
    struct gov_plan plan;
    gov_policy *rules;
    char text[512];
    uint32_t bytes;

    ck_assert_str_eq(gov_kv_type_name(type), name);
    ck_assert_int_eq(gov_kv_type_find(name), type);
    ck_assert_uint_eq(gov_kv_type_block(type, &bytes), kv_types[_i].elements);
    ck_assert_uint_eq(bytes, kv_types[_i].bytes);
    snprintf(text, sizeof(text), HEAD RULE("a", "true", "kv_type: %s"), name);
    rules = read_rules(text);
    usual(&facts);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_int_eq(plan.kv_type, type);
    gov_policy_free(rules);
    snprintf(text, sizeof(text),
             HEAD RULE("a", "request.kv_type == \"%s\"", "strategy: heap"),
             name);
    rules = read_rules(text);
    gov_facts_set_text(&facts, GOV_FACT_REQUEST_KV_TYPE, name);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_int_eq(plan.kv_type, type);
    ck_assert_str_eq(plan.rule, "a");
    gov_policy_free(rules);
}
END_TEST

START_TEST(no_such_kv_type)
{
    static const gov_kv_type none[] = {GOV_KV_UNSET, (gov_kv_type)10,
                                       (gov_kv_type)77, (gov_kv_type)-1};
    uint32_t bytes;

    for (size_t i = 0; i < COUNT_OF(none); i++) {
        bytes = 7;
        ck_assert_str_eq(gov_kv_type_name(none[i]), "unset");
        ck_assert_uint_eq(gov_kv_type_block(none[i], &bytes), 0);
        ck_assert_uint_eq(bytes, 0);
    }
    ck_assert_int_eq(gov_kv_type_find("unset"), GOV_KV_UNSET);
    ck_assert_int_eq(gov_kv_type_find("F16"), GOV_KV_UNSET);
    ck_assert_int_eq(gov_kv_type_find(""), GOV_KV_UNSET);
    ck_assert_int_eq(gov_kv_type_find(NULL), GOV_KV_UNSET);
}
END_TEST

/* ---- the shipped file ---- */

static char *shipped_text(void)
{
    static char text[65536];
    FILE *file = fopen("configs/policies/balanced.yaml", "rb");
    size_t bytes;

    ck_assert_ptr_nonnull(file);
    bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[bytes] = '\0';
    return text;
}

static gov_policy *shipped(void)
{
    return read_rules(shipped_text());
}

enum device { PHONE, LAPTOP, DESKTOP, CONTAINER, SERVER };
enum model { SMALL, SEVEN, LARGE, MIXED, ODD, RECURRENT, ENCODER, EMBEDDER };

static const struct {
    uint64_t ram, limit, budget;
} devices[] = {
    [PHONE] = {4 * GIB, 0, 2 * GIB},
    [LAPTOP] = {16 * GIB, 0, 10 * GIB},
    [DESKTOP] = {32 * GIB, 0, 28 * GIB},
    [CONTAINER] = {64 * GIB, 3 * GIB, 2560 * MIB},
    [SERVER] = {256 * GIB, 0, 230 * GIB},
};

/* Figures of the usual quantised sizes, rounded: about 1B, 7B, 70B, a 7B whose
 * types the engine does not repack, one like it whose heads are no whole blocks,
 * one that keeps state alone, an encoder, and a decoder that gives embeddings. */
static const struct {
    uint64_t weights, repack, kv, compute, unit, context_max;
    const char *rest;
} models[] = {
    [SMALL] = {700 * MIB, 600 * MIB, 32 * KIB, 100 * MIB, 210 * MIB, 131072,
               "model.kv_quantizable=1 model.generates=1"},
    [SEVEN] = {4 * GIB, 3800 * MIB, 128 * KIB, 300 * MIB, 150 * MIB, 32768,
               "model.kv_quantizable=1 model.generates=1"},
    [LARGE] = {40 * GIB, 38 * GIB, 320 * KIB, 600 * MIB, 800 * MIB, 131072,
               "model.kv_quantizable=1 model.generates=1"},
    [MIXED] = {5 * GIB, 1 * GIB, 128 * KIB, 300 * MIB, 200 * MIB, 32768,
               "model.kv_quantizable=1 model.generates=1"},
    [ODD] = {5 * GIB, 1 * GIB, 128 * KIB, 300 * MIB, 200 * MIB, 32768,
             "model.kv_quantizable=0 model.generates=1"},
    [RECURRENT] = {5 * GIB, 1 * GIB, 0, 300 * MIB, 200 * MIB, 1048576,
                   "model.kv_quantizable=1 model.state=20M model.generates=1"},
    [ENCODER] = {600 * MIB, 100 * MIB, 0, 60 * MIB, 100 * MIB, 8192,
                 "model.kv_quantizable=0 model.generates=0"},
    [EMBEDDER] = {600 * MIB, 100 * MIB, 32 * KIB, 60 * MIB, 100 * MIB, 32768,
                  "model.kv_quantizable=1 model.generates=0"},
};

static const struct {
    enum device device;
    enum model model;
    const char *given;
    const char *outcome; /* strategy, KV type, a context other than 4096, what
                          * else; the rule */
} ships[] = {
    {PHONE, SMALL, "", "heap f16 repacked warned: small-device"},
    {PHONE, SEVEN, "", "hybrid f16: streams"},
    {PHONE, LARGE, "", "refuse f16: (budget)"},
    {LAPTOP, SMALL, "", "heap f16 repacked: repack-pays"},
    {LAPTOP, SEVEN, "", "heap f16 repacked: repack-pays"},
    {LAPTOP, MIXED, "", "mmap f16: fits"},
    {LAPTOP, LARGE, "", "hybrid f16: streams"},
    {DESKTOP, LARGE, "", "hybrid f16: streams"},
    {SERVER, LARGE, "", "heap f16 repacked: repack-pays"},
    {CONTAINER, SMALL, "", "heap f16 repacked: repack-pays"},
    {CONTAINER, SEVEN, "", "hybrid f16: streams"},
    /* the level at launch */
    {LAPTOP, SMALL, "pressure.level=normal", "heap f16 repacked: repack-pays"},
    {LAPTOP, SMALL, "pressure.level=warn", "mmap f16: fits"},
    {LAPTOP, SMALL, "pressure.level=critical", "mmap f16: fits"},
    /* many requests: heap although nothing is repacked, if it fits twice */
    {DESKTOP, MIXED, "request.queries_per_minute=60",
     "heap f16 repacked: many-requests"},
    {DESKTOP, MIXED, "request.queries_per_minute=59", "mmap f16: fits"},
    {LAPTOP, MIXED, "request.queries_per_minute=600", "mmap f16: fits"},
    /* KV */
    {LAPTOP, MIXED, "request.context=8192", "mmap f16 8192: fits"},
    {LAPTOP, MIXED, "request.context=8193", "mmap q8_0 8193: fits"},
    {LAPTOP, MIXED, "request.context=16384 request.kv_type=f16",
     "mmap f16 16384: fits"},
    {LAPTOP, MIXED, "request.context=16384 request.kv_type=q4_0",
     "mmap q4_0 16384: fits"},
    {LAPTOP, MIXED, "request.kv_type=q8_0", "mmap q8_0: fits"},
    /* past 8K as planned, not as asked */
    {LAPTOP, MIXED, "request.context=16384 model.context_max=8192",
     "mmap f16 8192 warned: fits"},
    {LAPTOP, MIXED, "request.context=40000", "mmap q8_0 32768 warned: fits"},
    {LAPTOP, MIXED, "request.context=16384 model.context_max=?",
     "mmap q8_0 16384: fits"},
    /* heads */
    {LAPTOP, ODD, "request.context=16384", "mmap f16 16384: fits"},
    {LAPTOP, ODD, "request.context=16384 request.kv_type=q8_0",
     "refuse q8_0 16384: (kv type)"},
    {LAPTOP, ODD, "request.context=16384 request.kv_type=bf16",
     "mmap bf16 16384: fits"},
    {LAPTOP, MIXED, "request.context=16384 model.kv_quantizable=?",
     "mmap f16 16384: fits"},
    {LAPTOP, MIXED,
     "request.context=16384 model.kv_quantizable=? request.kv_type=q8_0",
     "mmap q8_0 16384 warned: fits"},
    /* no KV */
    {LAPTOP, RECURRENT, "", "mmap f16: fits"},
    {LAPTOP, RECURRENT, "request.context=500000", "mmap f16 500000: fits"},
    /* models that give embeddings */
    {LAPTOP, ENCODER, "", "mmap f16 512: fits"},
    {LAPTOP, ENCODER, "request.context=16384 request.kv_type=q8_0",
     "mmap f16 8192 warned: fits"},
    {LAPTOP, ENCODER, "model.context_max=256", "mmap f16 256: fits"},
    {LAPTOP, EMBEDDER, "", "mmap f16 512: fits"},
    {LAPTOP, EMBEDDER, "request.context=16384", "mmap q8_0 16384: fits"},
    {LAPTOP, EMBEDDER, "model.generates=?", "mmap f16: fits"},
    /* an architecture that is not known: its most is the need */
    {LAPTOP, MIXED, "model.known=0", "mmap f16 warned: fits"},
    {LAPTOP, MIXED, "model.known=0 model.kv_per_token=2M",
     "hybrid f16 warned: streams"},
    /* encrypted */
    {LAPTOP, MIXED, "model.encrypted=1", "heap f16: encrypted-weights"},
    {PHONE, SEVEN, "model.encrypted=1", "refuse f16: (budget)"},
    {LAPTOP, MIXED, "model.encrypted=1 request.strategy=mmap",
     "heap f16 warned: encrypted-weights"},
    /* wishes */
    {LAPTOP, SEVEN, "request.strategy=mmap", "mmap f16: asked-for-mmap"},
    {LAPTOP, SEVEN, "request.strategy=hybrid", "hybrid f16: asked-for-hybrid"},
    {LAPTOP, MIXED, "request.strategy=heap",
     "heap f16 repacked: asked-for-heap"},
    {PHONE, SEVEN, "request.strategy=heap", "refuse f16: asked-for-heap"},
    {PHONE, SEVEN, "request.strategy=mmap", "refuse f16: asked-for-mmap"},
    {PHONE, LARGE, "request.strategy=hybrid", "refuse f16: asked-for-hybrid"},
};

START_TEST(shipped_rules)
{
    gov_policy *rules = shipped();
    struct gov_facts f = {0};
    struct gov_plan plan;
    gov_error err = {GOV_OK, 0, ""};
    char outcome[128], context[16];
    enum device d = ships[_i].device;
    enum model m = ships[_i].model;
    gov_status status;

    gov_facts_set(&f, GOV_FACT_DEVICE_RAM, devices[d].ram);
    if (devices[d].limit != 0)
        gov_facts_set(&f, GOV_FACT_DEVICE_LIMIT, devices[d].limit);
    gov_facts_set(&f, GOV_FACT_BUDGET_RAM, devices[d].budget);
    gov_facts_set(&f, GOV_FACT_MODEL_WEIGHTS, models[m].weights);
    gov_facts_set(&f, GOV_FACT_MODEL_REPACK, models[m].repack);
    gov_facts_set(&f, GOV_FACT_MODEL_KV_PER_TOKEN, models[m].kv);
    gov_facts_set(&f, GOV_FACT_MODEL_COMPUTE, models[m].compute);
    gov_facts_set(&f, GOV_FACT_MODEL_LARGEST_UNIT, models[m].unit);
    gov_facts_set(&f, GOV_FACT_MODEL_CONTEXT_MAX, models[m].context_max);
    give(&f, models[m].rest);
    give(&f, ships[_i].given);
    status = gov_plan_decide(&plan, rules, &f, NULL, NULL, &err);
    ck_assert_int_eq(
        status, plan.strategy == GOV_STRATEGY_REFUSE ? GOV_E_REFUSED : GOV_OK);
    snprintf(context, sizeof(context), " %u", plan.context);
    snprintf(outcome, sizeof(outcome), "%s %s%s%s%s: %s",
             gov_strategy_name(plan.strategy), gov_kv_type_name(plan.kv_type),
             plan.context != 4096 ? context : "",
             plan.repack ? " repacked" : "", plan.warn ? " warned" : "",
             plan.rule);
    ck_assert_str_eq(outcome, ships[_i].outcome);
    gov_policy_free(rules);
}
END_TEST

/* The comment of the shipped file tells how to opt out of quantized KV: the rule
 * that stands there, put where it says. */
START_TEST(opts_out_as_the_comment_says)
{
    static const char begin[] = "  #   - name: plain-kv";
    static const char end[] = "  - name: long-context-kv";
    char *text = shipped_text(), *at = strstr(text, begin);
    struct gov_facts facts;
    struct gov_plan plan;
    gov_policy *rules = read_rules(text);

    usual(&facts);
    give(&facts, "budget.ram=16G request.context=16384");
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_int_eq(plan.kv_type, GOV_KV_Q8_0);
    gov_policy_free(rules);
    ck_assert_ptr_nonnull(at);
    for (; strncmp(at, end, strlen(end)) != 0; at = strchr(at, '\n') + 1) {
        ck_assert_int_eq(memcmp(at, "  #   ", 6), 0);
        memmove(at + 2, at + 6, strlen(at + 6) + 1);
    }
    rules = read_rules(text);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_int_eq(plan.kv_type, GOV_KV_F16);
    ck_assert_uint_eq(plan.context, 16384);
    gov_policy_free(rules);
}
END_TEST

/* The rule itself asks about the heads, so that its trace says why. */
START_TEST(long_context_asks_about_heads)
{
    static const struct {
        const char *given, *want;
    } rows[] = {
        {"model.kv_quantizable=1", "long-context-kv|matched|"},
        {"model.kv_quantizable=0", "long-context-kv|no match|"},
        {"model.kv_quantizable=?",
         "long-context-kv|unknown|model.kv_quantizable is unknown\n"},
    };
    gov_policy *rules = shipped();
    struct gov_facts facts;
    struct gov_plan plan;

    usual(&facts);
    give(&facts, "budget.ram=16G request.context=16384");
    give(&facts, rows[_i].given);
    traced[0] = '\0';
    ck_assert_int_eq(
        gov_plan_decide(&plan, rules, &facts, write_trace, traced, NULL), 0);
    ck_assert_msg(strstr(traced, rows[_i].want) != NULL, "%s", traced);
    gov_policy_free(rules);
}
END_TEST

/* A rule that makes the usual context longer need not think of the KV type. */
START_TEST(long_by_a_rule)
{
    char *text = shipped_text(), *at = strstr(text, "context: 4096");
    struct gov_facts facts;
    struct gov_plan plan;
    gov_policy *rules;

    ck_assert_ptr_nonnull(at);
    memcpy(at, "context: 9999", 13);
    rules = read_rules(text);
    usual(&facts);
    ck_assert_int_eq(gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL),
                     0);
    ck_assert_uint_eq(plan.context, 9999);
    ck_assert_int_eq(plan.kv_type, GOV_KV_Q8_0);
    gov_policy_free(rules);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("plan");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, rules_win, 0, (int)COUNT_OF(wins));
    tcase_add_loop_test(t, fits, 0, (int)COUNT_OF(fit));
    tcase_add_loop_test(t, says_why, 0, (int)COUNT_OF(says));
    tcase_add_loop_test(t, warns_of, 0, (int)COUNT_OF(warns));
    tcase_add_loop_test(t, needs_facts, 0, 4);
    tcase_add_test(t, budget_is_the_tightest);
    tcase_add_test(t, unknown_units_do_not_stream);
    tcase_add_loop_test(t, huge_sizes, 0, 21);
    tcase_add_loop_test(t, what_grows_does_not_wrap, 0, 3);
    tcase_add_loop_test(t, kv_bytes_of_types, 0, (int)COUNT_OF(typed));
    tcase_add_loop_test(t, keeps, 0, (int)COUNT_OF(keeping));
    tcase_add_test(t, rules_see_what_is_kept);
    tcase_add_loop_test(t, heads_take, 0, (int)COUNT_OF(typing));
    tcase_add_test(t, kv_comes_in_blocks);
    tcase_add_test(t, nonsense_is_unknown);
    tcase_add_test(t, derived_facts_are_ours);
    tcase_add_loop_test(t, encrypted_weights_are_not_repacked, 0, 2);
    tcase_add_test(t, traces_every_rule);
    tcase_add_test(t, names);
    tcase_add_loop_test(t, kv_types_everywhere, 0, (int)COUNT_OF(kv_types));
    tcase_add_test(t, no_such_kv_type);
    tcase_add_loop_test(t, shipped_rules, 0, (int)COUNT_OF(ships));
    tcase_add_test(t, opts_out_as_the_comment_says);
    tcase_add_loop_test(t, long_context_asks_about_heads, 0, 3);
    tcase_add_test(t, long_by_a_rule);
    suite_add_tcase(s, t);
    return s;
}
