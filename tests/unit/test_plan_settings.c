/* SPDX-License-Identifier: MIT */
/* What rules decide beside strategy, context and KV type: what stays and how it is
 * brought in, conversations, layers on a GPU, and what is said to a person. */
#include "tests/unit/plan_fixture.h"

static struct gov_facts facts;
static struct gov_plan plan;
static gov_error err;
static char traced[4096];

static void write_trace(void *ctx, const char *rule, const char *verdict,
                        const char *detail)
{
    size_t used = strlen(traced);

    ck_assert_ptr_eq(ctx, traced);
    snprintf(traced + used, sizeof(traced) - used, "%s|%s|%s\n", rule, verdict,
             detail);
}

/* The usual facts and those given; the plan for them. */
static gov_status decide(const char *text, const char *given)
{
    gov_policy *rules = read_rules(text);
    gov_status status;

    usual(&facts);
    give(&facts, given);
    traced[0] = '\0';
    err.message[0] = '\0';
    status = gov_plan_decide(&plan, rules, &facts, write_trace, traced, &err);
    gov_policy_free(rules);
    return status;
}

/* ---- mapped weights ---- */

static const struct {
    const char *rules, *given, *want;
} mapped[] = {
    {HEAD "  []\n", "", "mmap spread use 0 normal normal"},
    {ALWAYS("hybrid"), "model.moe=1", "hybrid spread use 0 normal normal"},
    {ALWAYS("hybrid, hold: dense, warm: file, warm_rate: 2 MiB, advise_load: "
            "sequential, advise_pass: random"),
     "", "hybrid dense file 2097152 sequential random"},
    {ALWAYS("hybrid, hold: first"), "", "hybrid first use 0 normal normal"},
    {HEAD RULE("a", "true", "hold: first") RULE("b", "true", "hold: dense")
         RULE("c", "true", "strategy: hybrid, hold: dense, warm: none")
             RULE("d", "true", "warm: file"),
     "", "hybrid first none 0 normal normal"},
    /* of a mapping of which all stays, nothing is held before the rest */
    {HEAD RULE("a", "true", "hold: first, advise_pass: sequential"), "",
     "mmap spread use 0 normal sequential"},
    {HEAD RULE("a", "true", "hold: first, advise_pass: sequential"),
     "budget.ram=3G", "hybrid first use 0 normal sequential"},
    /* what is not brought in has no speed */
    {HEAD RULE("a", "true", "warm: none, warm_rate: 5 MiB"), "",
     "mmap spread none 0 normal normal"},
    /* in the heap there is no mapping */
    {HEAD RULE("a", "true", "hold: first, warm: file, warm_rate: 5 MiB")
         RULE("b", "true", "advise_load: random, advise_pass: random")
             RULE("c", "true", "strategy: heap"),
     "", "heap spread use 0 normal normal"},
};

START_TEST(maps)
{
    char got[128];

    ck_assert_msg(decide(mapped[_i].rules, mapped[_i].given) == GOV_OK, "%s",
                  err.message);
    snprintf(got, sizeof(got), "%s %s %s %llu %s %s",
             gov_strategy_name(plan.strategy), gov_hold_name(plan.hold),
             gov_warm_name(plan.warm), (unsigned long long)plan.warm_rate,
             gov_advice_name(plan.advise_load),
             gov_advice_name(plan.advise_pass));
    ck_assert_str_eq(got, mapped[_i].want);
}
END_TEST

/* ---- conversations ---- */

#define WINDOWED                                                               \
    "model.window_kv_per_token=65536 model.window=1536 model.state=7M"
#define KV(full, window, state)                                                \
    ((full)*128 * KIB + (window)*64 * KIB + (state)*7 * MIB)

static const struct {
    const char *rules, *given;
    uint32_t sequences;
    uint64_t kv, compute;
    const char *warning;
} shared[] = {
    {HEAD "  []\n", WINDOWED, 1, KV(4096, 1536, 1), 256 * MIB, ""},
    {HEAD "  []\n", WINDOWED " request.sequences=2", 2, KV(4096, 2560, 2),
     256 * MIB, ""},
    {HEAD "  []\n", WINDOWED " request.sequences=3", 3, KV(4096, 3584, 3),
     256 * MIB, ""},
    {HEAD "  []\n", WINDOWED " request.sequences=4", 4, KV(4096, 4096, 4),
     256 * MIB, ""},
    {HEAD "  []\n", WINDOWED " request.sequences=0", 1, KV(4096, 1536, 1),
     256 * MIB, ""},
    {HEAD RULE("a", "true", "sequences: 3"), WINDOWED, 3, KV(4096, 3584, 3),
     256 * MIB, ""},
    {HEAD RULE("a", "true", "sequences: 2"),
     "request.sequences=3 model.state=7M", 2, KV(4096, 0, 2), 256 * MIB,
     "3 conversations at once were asked for, 2 is what the rules allow"},
    {HEAD "  []\n", "request.sequences=1000 model.state=1024", 256,
     KV(4096, 0, 0) + 256 * KIB, 256 * MIB,
     "1000 conversations at once were asked for, 256 is the most there can be"},
    {ALWAYS("mmap, sequences: 2"), "model.state=7M", 2, KV(4096, 0, 2),
     256 * MIB, ""},
    {HEAD "  []\n",
     "request.sequences=5 model.compute_per_sequence=1048576 "
     "model.compute_per_token=256",
     5, KV(4096, 0, 0), 261 * MIB, ""},
    /* a window that no batch is in */
    {HEAD "  []\n",
     "request.sequences=3 model.window_kv_per_token=65536 model.window=256", 3,
     KV(4096, 768, 0), 256 * MIB, ""},
    /* may be one that has all cells for each */
    {HEAD "  []\n", "request.sequences=2 model.known=0 model.state=7M", 2,
     KV(8192, 0, 2), 256 * MIB,
     "KV is counted at the most it may be, as the architecture is not known"},
    {HEAD "  []\n",
     "request.sequences=2 model.known=0 model.window_kv_per_token=65536 "
     "model.window=1024",
     2, 2 * KV(4096, 1536, 0), 256 * MIB,
     "KV is counted at the most it may be, as the architecture is not known"},
};

START_TEST(shares_a_context)
{
    ck_assert_msg(decide(shared[_i].rules, shared[_i].given) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(plan.sequences, shared[_i].sequences);
    ck_assert_uint_eq(plan.kv_bytes, shared[_i].kv);
    ck_assert_uint_eq(plan.compute_bytes, shared[_i].compute);
    ck_assert_str_eq(plan.warning, shared[_i].warning);
}
END_TEST

/* Settled with the context, before the KV type and all that asks for sizes. */
START_TEST(conversations_come_first)
{
    static const char text[] =
        HEAD RULE("a", "model.kv >= 1 GiB", "kv_type: q8_0")
            RULE("b", "model.kv < 1 GiB", "sequences: 8")
                RULE("c", "model.kv == 1296 MiB", "strategy: heap");

    ck_assert_int_eq(decide(text, "model.state=128M"), GOV_OK);
    ck_assert_uint_eq(plan.sequences, 8);
    ck_assert_int_eq(plan.kv_type, GOV_KV_Q8_0);
    ck_assert_str_eq(plan.rule, "c");
}
END_TEST

/* More state than there is room for: refused, with the conversations in the
 * plan. */
START_TEST(too_many_conversations)
{
    ck_assert_int_eq(
        decide(HEAD "  []\n", "request.sequences=100 model.state=100M"),
        GOV_E_REFUSED);
    ck_assert_uint_eq(plan.sequences, 100);
    ck_assert_uint_eq(plan.kv_bytes, (512 + 10000) * MIB);
}
END_TEST

/* ---- a GPU ---- */

/* With 8 GiB of its own, for 32 layers of at least 90 MiB and at most 100 MiB. */
#define GPU                                                                    \
    "engine.gpu=1 gpu.count=1 gpu.shares_ram=0 budget.gpu=8G model.layers=32 " \
    "model.smallest_layer=90M"
#define SHARED                                                                 \
    "engine.gpu=1 gpu.count=1 gpu.shares_ram=1 gpu.working_set=8G "            \
    "budget.gpu=0 model.layers=32 model.smallest_layer=90M"
#define ALL HEAD RULE("g", "true", "gpu_layers: all")

/* Padding, buffers twice, and KV from the second layer on. */
#define THERE(layers)                                                          \
    (MIB + ((uint64_t)(layers) + 1) * 100 * MIB + 512 * MIB +                  \
     ((layers) > 1 ? 512 * MIB : 0))
#define MOST (MIB + 4 * GIB + 1024 * MIB) /* all weights */

static const struct {
    const char *rules, *given;
    uint32_t layers;
    uint64_t bytes;
    const char *warning;
} placed[] = {
    {HEAD "  []\n", GPU, 0, 0, ""},
    {HEAD "  []\n", GPU " request.gpu_layers=0", 0, 0, ""},
    {HEAD "  []\n", GPU " request.gpu_layers=1", 1, THERE(1), ""},
    {HEAD "  []\n", GPU " request.gpu_layers=2", 2, THERE(2), ""},
    {HEAD "  []\n", GPU " request.gpu_layers=33", 33, THERE(33), ""},
    {HEAD "  []\n", GPU " request.gpu_layers=99 model.weights=3G", 33,
     MOST - GIB, ""},
    {HEAD RULE("g", "true", "gpu_layers: 5"), GPU, 5, THERE(5), ""},
    {ALL, GPU, 33, THERE(33), ""},
    {ALL, GPU " model.weights=3G", 33, MOST - GIB, ""},
    {ALWAYS("heap, gpu_layers: all"), GPU, 33, THERE(33), ""},
    /* as many as fit, to the byte: 12 are 1 + 1300 + 1024 MiB */
    {ALL, GPU " budget.gpu=2325M", 12, THERE(12), ""},
    {ALL, GPU " budget.gpu=2438987775", 12, THERE(12), ""},
    {ALL, GPU " budget.gpu=2437939199", 11, THERE(11), ""},
    {ALL, GPU " budget.gpu=600M", 0, 0, ""},
    {HEAD RULE("g", "true", "gpu_layers: 13"), GPU " budget.gpu=2325M", 12,
     THERE(12), "layers on a GPU: a rule sets 13, 12 fit"},
    {HEAD "  []\n", GPU " budget.gpu=2325M request.gpu_layers=13", 12,
     THERE(12), "layers on a GPU: 13 asked for, 12 fit"},
    {ALL, GPU " budget.gpu=2325M request.gpu_layers=13", 12, THERE(12),
     "layers on a GPU: 13 asked for, 12 fit"},
    {ALL, GPU " budget.gpu=2325M request.gpu_layers=7", 12, THERE(12), ""},
    {HEAD RULE("g", "true", "gpu_layers: 5"), GPU " request.gpu_layers=13", 5,
     THERE(5), "layers on a GPU: 13 asked for, 5 is what the rules allow"},
    /* numbers beyond 32 bits */
    {HEAD "  []\n", GPU " request.gpu_layers=4294967297", 33, THERE(33), ""},
    {ALL, GPU " model.layers=4294967295", INT32_MAX, MOST, ""},
    /* how many there are is not known: all are counted with the largest part */
    {HEAD "  []\n", GPU " model.layers=? request.gpu_layers=3", 3, THERE(3),
     ""},
    {ALL, GPU " model.layers=?", INT32_MAX, MOST, ""},
    {ALL, GPU " model.layers=? budget.gpu=2325M", 12, THERE(12), ""},
    {ALL, GPU " model.largest_unit=?", 33, MOST, ""},
    /* then a layer may be all of it, and only the output's KV is not there */
    {ALL, GPU " model.largest_unit=? budget.gpu=5G", 1, MOST - 512 * MIB, ""},
    {ALL, GPU " model.largest_unit=? budget.gpu=4G", 0, 0, ""},
    /* no GPU: only who asked for one is told */
    {ALL, "model.layers=32", 0, 0, ""},
    {ALL, GPU " engine.gpu=0 request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but the engine uses none"},
    {ALL, GPU " engine.gpu=? request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but the engine uses none"},
    {ALL, GPU " gpu.count=0 request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but there is none"},
    {ALL, GPU " gpu.count=? request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but there is none"},
    {ALL, GPU " gpu.shares_ram=? request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but its memory is not known"},
    {ALL, GPU " budget.gpu=? request.gpu_layers=4", 0, 0,
     "layers on a GPU: 4 asked for, but its memory is not known"},
    /* streamed weights */
    {ALWAYS("hybrid, gpu_layers: all"), GPU, 0, 0,
     "layers on a GPU: none while weights are streamed"},
    {ALWAYS("hybrid"), GPU " request.gpu_layers=4", 0, 0,
     "layers on a GPU: none while weights are streamed"},
    {ALWAYS("hybrid"), GPU, 0, 0, ""},
    {ALWAYS("hybrid, gpu_layers: all"), "model.layers=32", 0, 0, ""},
    /* a GPU without memory of its own */
    {ALL, SHARED, 33, THERE(33), ""},
    {ALL, SHARED " gpu.working_set=2325M", 12, THERE(12), ""},
    {ALL, SHARED " gpu.working_set=?", 0, 0, ""},
    /* its buffers are in RAM, too: 4 GiB + 768 MiB + 512 MiB + 1 MiB */
    {ALL, SHARED " budget.ram=5377M", 33, THERE(33), ""},
    {ALL, SHARED " budget.ram=5376M", 0, 0, ""},
    {HEAD "  []\n", SHARED " budget.ram=5376M request.gpu_layers=9", 0, 0,
     "layers on a GPU: 9 asked for, 0 fit"},
};

START_TEST(places_layers)
{
    ck_assert_msg(decide(placed[_i].rules, placed[_i].given) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(plan.gpu_layers, placed[_i].layers);
    ck_assert_uint_eq(plan.gpu_bytes, placed[_i].bytes);
    ck_assert_str_eq(plan.warning, placed[_i].warning);
}
END_TEST

/* What RAM holds: less where the GPU has memory of its own, to the byte. */
static const struct {
    const char *rules, *given;
    gov_strategy strategy;
    uint64_t footprint;
} rams[] = {
    {ALWAYS("heap"), GPU, GOV_STRATEGY_HEAP, 4864 * MIB},
    {ALWAYS("heap"), GPU " request.gpu_layers=11", GOV_STRATEGY_HEAP,
     3964 * MIB},
    {ALWAYS("heap"), GPU " request.gpu_layers=1", GOV_STRATEGY_HEAP,
     4864 * MIB},
    {ALWAYS("heap"), GPU " request.gpu_layers=11 budget.ram=3964M",
     GOV_STRATEGY_HEAP, 3964 * MIB},
    {ALWAYS("heap"), GPU " request.gpu_layers=11 budget.ram=4156555263",
     GOV_STRATEGY_MMAP, 0}, /* one byte short; see below */
    {ALWAYS("mmap"), GPU " request.gpu_layers=11 budget.ram=3964M",
     GOV_STRATEGY_MMAP, 768 * MIB},
    {ALWAYS("mmap"), GPU " request.gpu_layers=11 budget.ram=3963M",
     GOV_STRATEGY_HYBRID, 768 * MIB},
    {ALWAYS("mmap"),
     GPU " request.gpu_layers=11 model.smallest_layer=? budget.ram=4863M",
     GOV_STRATEGY_HYBRID, 768 * MIB},
    {ALWAYS("mmap"),
     GPU " request.gpu_layers=11 model.layers=? "
         "budget.ram=4863M",
     GOV_STRATEGY_HYBRID, 768 * MIB},
    /* a layer that is said to be larger than the model */
    {ALWAYS("heap"), GPU " request.gpu_layers=11 model.smallest_layer=900M",
     GOV_STRATEGY_HEAP, 768 * MIB},
    /* on a shared one nothing goes away, and what it uses cannot be dropped */
    {ALWAYS("heap"), SHARED " request.gpu_layers=11", GOV_STRATEGY_HEAP,
     5377 * MIB},
    {ALWAYS("mmap"), SHARED " request.gpu_layers=11", GOV_STRATEGY_MMAP,
     768 * MIB + 513 * MIB + 1201 * MIB},
};

START_TEST(counts_ram)
{
    ck_assert_msg(decide(rams[_i].rules, rams[_i].given) == GOV_OK, "%s",
                  err.message);
    if (rams[_i].footprint == 0) { /* nor does mmap fit, which needs as much */
        ck_assert_int_eq(plan.strategy, GOV_STRATEGY_HYBRID);
        return;
    }
    ck_assert_int_eq(plan.strategy, rams[_i].strategy);
    ck_assert_uint_eq(plan.footprint_bytes, rams[_i].footprint);
    ck_assert_uint_eq(plan.hot_bytes + plan.cold_bytes, 4 * GIB);
}
END_TEST

START_TEST(tells_the_gpu_budget)
{
    ck_assert_int_eq(decide(HEAD "  []\n", GPU), GOV_OK);
    ck_assert_uint_eq(plan.gpu_budget_bytes, 8 * GIB);
    ck_assert_int_eq(decide(HEAD "  []\n", SHARED " gpu.working_set=3G"),
                     GOV_OK);
    ck_assert_uint_eq(plan.gpu_budget_bytes, 3 * GIB);
    ck_assert_int_eq(decide(HEAD "  []\n", GPU " engine.gpu=0"), GOV_OK);
    ck_assert_uint_eq(plan.gpu_budget_bytes, 0);
    ck_assert_int_eq(decide(ALWAYS("refuse"), GPU), GOV_E_REFUSED);
    ck_assert_uint_eq(plan.gpu_budget_bytes, 8 * GIB);
    ck_assert_uint_eq(plan.gpu_layers, 0);
}
END_TEST

/* ---- what is said ---- */

START_TEST(warns_as_rules_say)
{
    static const struct {
        const char *rules, *given, *warning;
    } rows[] = {
        {HEAD RULE("a", "true", "warning: close the browser"), "",
         "close the browser"},
        {HEAD RULE("a", "true", "warning: one")
             RULE("b", "true", "warning: two"),
         "", "one"},
        {HEAD RULE("a", "false", "warning: one")
             RULE("b", "true", "strategy: heap, warning: two"),
         "", "two"},
        {HEAD RULE("b", "true", "strategy: heap")
             RULE("c", "true", "strategy: mmap, warning: not chosen"),
         "", ""},
        {HEAD RULE("a", "true", "warning: one, warn: true"), "",
         "one; the model takes 768 MiB of the 8.00 GiB budget that cannot be "
         "given back while it is loaded"},
        {HEAD RULE("a", "true", "warning: one"), "request.context=40000",
         "one; a context of 40000 tokens was asked for, 32768 is the most the "
         "model knows"},
    };

    ck_assert_int_eq(decide(rows[_i].rules, rows[_i].given), GOV_OK);
    ck_assert_str_eq(plan.warning, rows[_i].warning);
    ck_assert_int_eq(plan.warn, rows[_i].warning[0] != '\0');
}
END_TEST

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define REFUSE(when, because, instead)                                         \
    HEAD "  - name: r\n    when: " when                                        \
         "\n    then: {strategy: refuse, instead: " instead                    \
         "}\n    because: " because "\n"

START_TEST(says_what_would_fit)
{
    static const struct {
        const char *rules, *reason;
    } rows[] = {
        {REFUSE("'true'", "too slow", "take a model of 3 GiB"),
         "too slow; take a model of 3 GiB"},
        {REFUSE("model.moe and device.swap > 1 B", "too slow", "take another"),
         "too slow (model.moe, device.swap are unknown); take another"},
        /* a long reason is cut, never the way out */
        {REFUSE("'true'", HUNDRED HUNDRED, "b" HUNDRED),
         HUNDRED TEN TEN TEN TEN "012345678...; b" HUNDRED},
    };

    ck_assert_int_eq(decide(rows[_i].rules, ""), GOV_E_REFUSED);
    ck_assert_str_eq(plan.reason, rows[_i].reason);
    ck_assert_str_eq(err.message, rows[_i].reason);
}
END_TEST

START_TEST(traces_what_is_set)
{
    static const char text[] =
        HEAD RULE("a", "true",
                  "kv_type: q8_0, context: 2048, repack: false, warn: true, "
                  "hot: 25 %, ahead: 3")
            RULE("b", "true",
                 "hold: dense, warm: file, warm_rate: 5 MiB, advise_load: "
                 "random, advise_pass: sequential, gpu_layers: all, warning: w")
                RULE("c", "true", "warn: false, sequences: 2, gpu_layers: 7")
                    RULE("d", "true", "warn: false, ahead: 9") RULE(
                        "e", "true", "strategy: hybrid, ahead: 9, hold: first")
                        RULE("f", "true", "hot: 1 %");

    ck_assert_int_eq(decide(text, ""), GOV_OK);
    ck_assert_str_eq(
        traced,
        "a|matched|true; sets kv_type q8_0, context 2048, repack false, warn "
        "true, hot 25 %, ahead 3\n"
        "b|matched|true; sets hold dense, warm file, warm_rate 5 MiB, "
        "advise_load random, advise_pass sequential, gpu_layers all, warning\n"
        "c|matched|true; sets sequences 2; warn was set by a; gpu_layers was "
        "set by b\n"
        "d|matched|true; warn was set by a; ahead was set by a\n"
        "e|matched|true; ahead was set by a; hold was set by b\n"
        "f|matched|true; hot was set by a\n");
    ck_assert_int_eq(
        decide(HEAD RULE("e", "true", "strategy: heap, gpu_layers: 5")
                   RULE("a", "true", "gpu_layers: 9, ahead: 2"),
               "budget.ram=3G"),
        GOV_OK);
    ck_assert_str_eq(traced,
                     "e|matched|true; does not fit: heap needs 4.75 GiB of the "
                     "3.00 GiB budget\n"
                     "a|matched|true; sets ahead 2, gpu_layers 9\n");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("plan_settings");
    TCase *t = tcase_create("plan_settings");

    tcase_add_loop_test(t, maps, 0, (int)COUNT_OF(mapped));
    tcase_add_loop_test(t, shares_a_context, 0, (int)COUNT_OF(shared));
    tcase_add_test(t, conversations_come_first);
    tcase_add_test(t, too_many_conversations);
    tcase_add_loop_test(t, places_layers, 0, (int)COUNT_OF(placed));
    tcase_add_loop_test(t, counts_ram, 0, (int)COUNT_OF(rams));
    tcase_add_test(t, tells_the_gpu_budget);
    tcase_add_loop_test(t, warns_as_rules_say, 0, 6);
    tcase_add_loop_test(t, says_what_would_fit, 0, 3);
    tcase_add_test(t, traces_what_is_set);
    suite_add_tcase(s, t);
    return s;
}
