/* SPDX-License-Identifier: MIT */
/* Estimates by hand, at their boundaries, and where sums do not fit; the same
 * share as the plan; the largest that runs. */
#include <stdio.h>
#include <string.h>

#include "policies/capacity.h"
#include "policies/plan.h"
#include "policies/planning/sizes_priv.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* 4 GiB of weights; 1024 tokens of KV are 1 GiB, buffers 256 MiB, and three units
 * 768 MiB. */
static const struct gov_capacity_model model = {
    .name = "m",
    .weights_bytes = 4 * GIB,
    .largest_unit_bytes = 256 * MIB,
    .kv_per_token_bytes = MIB,
    .compute_bytes = 256 * MIB,
};

static struct gov_capacity_device machine(uint64_t budget)
{
    struct gov_capacity_device device = {
        .budget_bytes = budget, .read_rate = GIB, .memory_rate = 10 * GIB};

    return device;
}

/* By hand: peaks 9.25, 5.25, 5.25 and 2 GiB; 10 GiB/s over 4 GiB is 2.5 tokens a
 * second; reading takes 4 s, a pass 0.4 s, a copy two passes. Streamed in 3 GiB:
 * room 1.75 GiB, hot (1 GiB - 12 MiB) * 4096 / 3328 = 318857 pages, and 1 GiB/s
 * over the 2988929024 bytes that are cold is 0.359 tokens a second. */
static const struct {
    const char *name;
    uint64_t budget;
    gov_way way;
    struct gov_capacity_verdict want;
} rows[] = {
    {"traditional",
     16 * GIB,
     GOV_WAY_TRADITIONAL,
     {true, 9 * GIB + 256 * MIB, 0, 5200, 2500}},
    {"heap", 16 * GIB, GOV_WAY_HEAP, {true, 5376 * MIB, 0, 5200, 2500}},
    {"mmap", 16 * GIB, GOV_WAY_MMAP, {true, 5376 * MIB, 0, 4400, 2500}},
    {"streamed, all stays",
     16 * GIB,
     GOV_WAY_STREAMED,
     {true, 2 * GIB, 0, 4400, 2500}},
    {"streamed",
     3 * GIB,
     GOV_WAY_STREAMED,
     {true, 2 * GIB, 2988929024, 4400, 359}},
    {"traditional exactly",
     9472 * MIB,
     GOV_WAY_TRADITIONAL,
     {true, 9472 * MIB, 0, 5200, 2500}},
    {"traditional a byte short",
     9472 * MIB - 1,
     GOV_WAY_TRADITIONAL,
     {false, 9472 * MIB, 0, 0, 0}},
    {"heap exactly",
     5376 * MIB,
     GOV_WAY_HEAP,
     {true, 5376 * MIB, 0, 5200, 2500}},
    {"heap a byte short",
     5376 * MIB - 1,
     GOV_WAY_HEAP,
     {false, 5376 * MIB, 0, 0, 0}},
    {"mmap exactly",
     5376 * MIB,
     GOV_WAY_MMAP,
     {true, 5376 * MIB, 0, 4400, 2500}},
    {"mmap a byte short",
     5376 * MIB - 1,
     GOV_WAY_MMAP,
     {false, 5376 * MIB, 0, 0, 0}},
    /* Nothing is left for what stays. */
    {"streamed exactly",
     2 * GIB,
     GOV_WAY_STREAMED,
     {true, 2 * GIB, 4 * GIB, 4400, 250}},
    {"streamed a byte short",
     2 * GIB - 1,
     GOV_WAY_STREAMED,
     {false, 2 * GIB, 0, 0, 0}},
    {"no budget", 0, GOV_WAY_STREAMED, {false, 2 * GIB, 0, 0, 0}},
};

static void check(const char *name, const struct gov_capacity_verdict *got,
                  const struct gov_capacity_verdict *want)
{
    ck_assert_msg(got->runs == want->runs, "%s: runs %d", name, got->runs);
    ck_assert_msg(got->peak_bytes == want->peak_bytes, "%s: peak %llu", name,
                  (unsigned long long)got->peak_bytes);
    ck_assert_msg(got->cold_bytes == want->cold_bytes, "%s: cold %llu", name,
                  (unsigned long long)got->cold_bytes);
    ck_assert_msg(got->first_token_ms == want->first_token_ms,
                  "%s: first token %llu", name,
                  (unsigned long long)got->first_token_ms);
    ck_assert_msg(got->tokens_per_1000s == want->tokens_per_1000s,
                  "%s: tokens %llu", name,
                  (unsigned long long)got->tokens_per_1000s);
}

START_TEST(estimates)
{
    struct gov_capacity_verdict got[GOV_WAY_COUNT];
    struct gov_capacity_device device = machine(rows[_i].budget);

    gov_capacity_estimate(&device, &model, 1024, got);
    check(rows[_i].name, &got[rows[_i].way], &rows[_i].want);
    /* KV comes in blocks of 256 tokens. */
    gov_capacity_estimate(&device, &model, 769, got);
    check(rows[_i].name, &got[rows[_i].way], &rows[_i].want);
}
END_TEST

/* What is unknown stays so; what does not depend on it is known. */
START_TEST(unknown_is_not_zero)
{
    struct gov_capacity_verdict got[GOV_WAY_COUNT];
    struct gov_capacity_device device = machine(3 * GIB);

    device.read_rate = 0;
    gov_capacity_estimate(&device, &model, 1024, got);
    ck_assert(got[GOV_WAY_STREAMED].runs);
    ck_assert_uint_eq(got[GOV_WAY_STREAMED].tokens_per_1000s, 0);
    ck_assert_uint_eq(got[GOV_WAY_STREAMED].first_token_ms, 0);
    device.budget_bytes = 16 * GIB;
    gov_capacity_estimate(&device, &model, 1024, got);
    for (int way = 0; way < GOV_WAY_COUNT; way++) {
        ck_assert_uint_eq(got[way].tokens_per_1000s, 2500);
        ck_assert_uint_eq(got[way].first_token_ms, 0);
    }
    device = machine(16 * GIB);
    device.memory_rate = 0;
    gov_capacity_estimate(&device, &model, 1024, got);
    for (int way = 0; way < GOV_WAY_COUNT; way++) {
        ck_assert(got[way].runs);
        ck_assert_uint_eq(got[way].tokens_per_1000s, 0);
        ck_assert_uint_eq(got[way].first_token_ms, 0);
    }
}
END_TEST

/* A known figure is never rounded to 0, which would be unknown. */
START_TEST(never_rounds_to_unknown)
{
    struct gov_capacity_verdict got[GOV_WAY_COUNT];
    struct gov_capacity_device device = machine(16 * GIB);
    struct gov_capacity_model small = {.weights_bytes = 1};

    device.memory_rate = 1;
    device.read_rate = 1;
    gov_capacity_estimate(&device, &model, 1024, got);
    ck_assert_uint_eq(got[GOV_WAY_MMAP].tokens_per_1000s, 1);
    device = machine(16 * GIB);
    gov_capacity_estimate(&device, &small, 1, got);
    ck_assert_uint_eq(got[GOV_WAY_MMAP].first_token_ms, 1);
}
END_TEST

/* Sums that do not fit 64 bits do not run, whatever the budget. */
START_TEST(overflow_does_not_run)
{
    static const struct {
        struct gov_capacity_model model;
        uint64_t context;
        bool runs[GOV_WAY_COUNT];
    } cases[] = {
        {{.weights_bytes = UINT64_MAX}, 1, {false, false, false, true}},
        {{.weights_bytes = UINT64_MAX / 2 + 1}, 1, {false, true, true, true}},
        {{.weights_bytes = UINT64_MAX / 2}, 1, {true, true, true, true}},
        {{.weights_bytes = 1, .kv_per_token_bytes = UINT64_MAX}, 1, {false}},
        {{.weights_bytes = 1, .kv_per_token_bytes = 2}, UINT64_MAX, {false}},
        {{.weights_bytes = 1, .compute_bytes = UINT64_MAX}, 1, {false}},
        {{.weights_bytes = 1, .largest_unit_bytes = UINT64_MAX / 3 + 1},
         1,
         {true, true, true, false}},
        {{.weights_bytes = 0}, 1, {false}},
    };
    struct gov_capacity_verdict got[GOV_WAY_COUNT];
    struct gov_capacity_device device = machine(UINT64_MAX);

    device.read_rate = UINT64_MAX;
    device.memory_rate = UINT64_MAX;
    gov_capacity_estimate(&device, &cases[_i].model, cases[_i].context, got);
    for (int way = 0; way < GOV_WAY_COUNT; way++)
        ck_assert_msg(got[way].runs == cases[_i].runs[way], "case %d, %s", _i,
                      gov_way_name((gov_way)way));
}
END_TEST

/* What stays of a streamed model is what the plan lets stay. */
START_TEST(streams_as_the_plan_does)
{
    static const char text[] =
        "version: 1\nrules:\n  - name: a\n    then: {strategy: hybrid}\n"
        "    because: b\n";
    static const uint64_t budgets[] = {2 * GIB,    2 * GIB + 1, 2060 * MIB,
                                       2061 * MIB, 3 * GIB,     5 * GIB,
                                       9 * GIB};
    struct gov_facts facts = {0};
    gov_policy *rules;

    ck_assert_int_eq(
        gov_policy_parse(&rules, text, sizeof(text) - 1, "f", NULL, NULL), 0);
    gov_facts_set(&facts, GOV_FACT_MODEL_WEIGHTS, model.weights_bytes);
    gov_facts_set(&facts, GOV_FACT_MODEL_KV_PER_TOKEN,
                  model.kv_per_token_bytes);
    gov_facts_set(&facts, GOV_FACT_MODEL_COMPUTE, model.compute_bytes);
    gov_facts_set(&facts, GOV_FACT_MODEL_LARGEST_UNIT,
                  model.largest_unit_bytes);
    gov_facts_set(&facts, GOV_FACT_REQUEST_CONTEXT, 1024);
    for (size_t i = 0; i < COUNT_OF(budgets); i++) {
        struct gov_capacity_verdict got[GOV_WAY_COUNT];
        struct gov_capacity_device device = machine(budgets[i]);
        struct gov_plan plan;

        gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, budgets[i]);
        ck_assert_int_eq(
            gov_plan_decide(&plan, rules, &facts, NULL, NULL, NULL), 0);
        ck_assert_int_eq(plan.strategy, GOV_STRATEGY_HYBRID);
        gov_capacity_estimate(&device, &model, 1024, got);
        ck_assert_uint_eq(got[GOV_WAY_STREAMED].cold_bytes, plan.cold_bytes);
    }
    gov_policy_free(rules);
}
END_TEST

START_TEST(gpu)
{
    struct gov_capacity_device device = machine(GIB);

    ck_assert_int_eq(gov_capacity_gpu(&device, &model, 1024), GOV_GPU_UNKNOWN);
    device.gpu_bytes = 5376 * MIB;
    ck_assert_int_eq(gov_capacity_gpu(&device, &model, 1024), GOV_GPU_FITS);
    device.gpu_bytes--;
    ck_assert_int_eq(gov_capacity_gpu(&device, &model, 1024),
                     GOV_GPU_TOO_SMALL);
    device.gpu_bytes = UINT64_MAX;
    ck_assert_int_eq(gov_capacity_gpu(&device, &model, UINT64_MAX),
                     GOV_GPU_TOO_SMALL);
}
END_TEST

/* ---- the largest ---- */

START_TEST(largest_grows_with_the_budget)
{
    uint64_t last[GOV_WAY_COUNT] = {0};

    for (uint64_t budget = 256 * MIB; budget < 8192 * GIB; budget += budget) {
        struct gov_capacity_device device = machine(budget);
        uint64_t got[GOV_WAY_COUNT];

        for (int way = 0; way < GOV_WAY_COUNT; way++) {
            got[way] = gov_capacity_largest(&device, (gov_way)way, 4096);
            ck_assert_uint_gt(got[way], last[way]);
            last[way] = got[way];
        }
        ck_assert_uint_eq(got[GOV_WAY_HEAP], got[GOV_WAY_MMAP]);
        ck_assert_uint_lt(got[GOV_WAY_TRADITIONAL], got[GOV_WAY_HEAP]);
        ck_assert_uint_lt(got[GOV_WAY_MMAP], got[GOV_WAY_STREAMED]);
        ck_assert_uint_lt(got[GOV_WAY_MMAP], budget);
    }
}
END_TEST

START_TEST(largest_at_the_ends)
{
    struct gov_capacity_device device = machine(0);

    ck_assert_uint_eq(gov_capacity_largest(&device, GOV_WAY_MMAP, 4096), 0);
    ck_assert_uint_eq(gov_capacity_largest(&device, GOV_WAY_COUNT, 4096), 0);
    ck_assert_uint_eq(gov_capacity_largest(&device, (gov_way)-1, 4096), 0);
    device.budget_bytes = UINT64_MAX;
    for (int way = 0; way < GOV_WAY_COUNT; way++)
        ck_assert_uint_gt(gov_capacity_largest(&device, (gov_way)way, 4096),
                          UINT64_MAX / 4);
}
END_TEST

/* A row of the table runs in exactly its own peak, and is then the largest. */
START_TEST(largest_is_a_row)
{
    struct gov_capacity_model models[64];
    size_t count;

    ck_assert_int_eq(gov_capacity_models(models, 64, &count, NULL, NULL), 0);
    for (size_t i = 0; i < count && i < 64; i += 3) {
        struct gov_capacity_device device = machine(1);
        struct gov_capacity_verdict got[GOV_WAY_COUNT];

        gov_capacity_estimate(&device, &models[i], 4096, got);
        for (int way = 0; way < GOV_WAY_STREAMED; way++) {
            device.budget_bytes = got[way].peak_bytes;
            ck_assert_uint_eq(gov_capacity_largest(&device, (gov_way)way, 4096),
                              models[i].weights_bytes);
        }
    }
}
END_TEST

/* ---- arithmetic ---- */

__extension__ typedef unsigned __int128 wide;

START_TEST(scales)
{
    static const uint64_t n[] = {0,
                                 1,
                                 2,
                                 999,
                                 1000,
                                 UINT64_C(1) << 31,
                                 UINT64_C(4294967297),
                                 UINT64_C(1) << 53,
                                 (UINT64_C(1) << 54) + 12345,
                                 UINT64_MAX / 1000,
                                 UINT64_MAX / 2,
                                 UINT64_MAX - 1,
                                 UINT64_MAX};

    for (size_t i = 0; i < COUNT_OF(n) * COUNT_OF(n) * COUNT_OF(n); i++) {
        uint64_t a = n[i / COUNT_OF(n) / COUNT_OF(n)];
        uint64_t b = n[i / COUNT_OF(n) % COUNT_OF(n)];
        uint64_t c = n[i % COUNT_OF(n)];
        wide exact = c == 0 ? UINT64_MAX : (wide)a * b / c;
        uint64_t want = exact > UINT64_MAX ? UINT64_MAX : (uint64_t)exact;
        uint64_t got = gov__scaled(a, b, c);

        ck_assert_msg(got == want, "%llu * %llu / %llu: %llu, not %llu",
                      (unsigned long long)a, (unsigned long long)b,
                      (unsigned long long)c, (unsigned long long)got,
                      (unsigned long long)want);
    }
    ck_assert_uint_eq(gov__scaled(10, 1000, 4), 2500);
    ck_assert_uint_eq(gov__scaled(8030261248, 48944, 80000), 4912913831);
}
END_TEST

START_TEST(blocks)
{
    ck_assert_uint_eq(gov__kv_cells(0), 0);
    ck_assert_uint_eq(gov__kv_cells(1), 256);
    ck_assert_uint_eq(gov__kv_cells(256), 256);
    ck_assert_uint_eq(gov__kv_cells(257), 512);
    ck_assert_uint_eq(gov__kv_cells(UINT64_MAX), UINT64_MAX);
}
END_TEST

START_TEST(names)
{
    static const char *const want[] = {"traditional", "heap", "mmap",
                                       "streamed", "unknown"};

    for (int way = 0; way <= GOV_WAY_COUNT; way++)
        ck_assert_str_eq(gov_way_name((gov_way)way), want[way]);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("capacity");
    TCase *t = tcase_create("capacity");

    tcase_add_loop_test(t, estimates, 0, COUNT_OF(rows));
    tcase_add_test(t, unknown_is_not_zero);
    tcase_add_test(t, never_rounds_to_unknown);
    tcase_add_loop_test(t, overflow_does_not_run, 0, 8);
    tcase_add_test(t, streams_as_the_plan_does);
    tcase_add_test(t, gpu);
    tcase_add_test(t, largest_grows_with_the_budget);
    tcase_add_test(t, largest_at_the_ends);
    tcase_add_test(t, largest_is_a_row);
    tcase_add_test(t, scales);
    tcase_add_test(t, blocks);
    tcase_add_test(t, names);
    suite_add_tcase(s, t);
    return s;
}
