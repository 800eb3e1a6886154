/* SPDX-License-Identifier: MIT */
/* Tiers: the first condition that is true, unknown is not, and what a condition
 * may not ask. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/capacity.h"
#include "tests/support/run.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define GIB (UINT64_C(1) << 30)
#define MODELS 64

#define TIER(name, when)                                                       \
    "  - name: " name "\n    when: " when "\n    means: m of " name "\n"
#define TIERS(rows) "version: 1\ntiers:\n" rows

static gov_status find(const char *text, const struct gov_facts *facts,
                       struct gov_tier *tier, gov_error *err)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + 1); /* exact, for the sanitizer */
    struct gov_table_text from = {copy, bytes, "f"};
    gov_status status;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, bytes);
    memset(err, 0, sizeof(*err));
    status = gov_tier_find(tier, facts, &from, err);
    free(copy);
    return status;
}

/* Budgets of the shipped table, in bytes; the last that is in a tier, and the
 * first of the next. */
static const struct {
    uint64_t budget, gpu;
    bool has_gpu;
    const char *want;
    size_t number;
} shipped[] = {
    {1, 0, false, "tiny", 0},
    {2 * GIB - 1, 0, false, "tiny", 0},
    {2 * GIB, 0, false, "small", 1},
    {8 * GIB - 1, 0, true, "small", 1},
    {8 * GIB, 0, false, "laptop", 2},
    {8 * GIB, 0, true, "laptop", 2},
    {8 * GIB, 16 * GIB - 1, true, "laptop", 2},
    {8 * GIB, 16 * GIB, true, "workstation", 3},
    {32 * GIB - 1, 0, false, "laptop", 2},
    {32 * GIB, 0, false, "workstation", 3},
    {128 * GIB - 1, 0, false, "workstation", 3},
    {128 * GIB, 0, false, "server", 4},
    {INT64_MAX, 0, false, "server", 4},
};

START_TEST(shipped_tiers)
{
    struct gov_facts facts = {0};
    struct gov_tier tier;
    gov_error err;

    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, shipped[_i].budget);
    if (shipped[_i].has_gpu)
        gov_facts_set(&facts, GOV_FACT_BUDGET_GPU, shipped[_i].gpu);
    ck_assert_msg(gov_tier_find(&tier, &facts, NULL, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_str_eq(tier.name, shipped[_i].want);
    ck_assert_uint_eq(tier.number, shipped[_i].number);
    ck_assert_uint_gt(strlen(tier.sentence), 20);
}
END_TEST

/* Of a model of the shipped table in so large a budget, with 4096 tokens. */
static bool runs(const char *name, gov_way way, uint64_t budget)
{
    struct gov_capacity_device device = {.budget_bytes = budget};
    struct gov_capacity_verdict out[GOV_WAY_COUNT];
    struct gov_capacity_model models[MODELS];
    size_t count, i;

    ck_assert_int_eq(gov_capacity_models(models, MODELS, &count, NULL, NULL),
                     GOV_OK);
    for (i = 0; i < count && strcmp(models[i].name, name) != 0; i++)
        continue;
    ck_assert_msg(i < count, "no %s", name);
    gov_capacity_estimate(&device, &models[i], 4096, out);
    return out[way].runs;
}

/* A container of 16 MiB is tiny, too, and no model fits it. */
START_TEST(tiny_promises_what_runs)
{
    struct gov_facts facts = {0};
    struct gov_tier tier;
    gov_error err;

    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, GIB / 64);
    ck_assert_int_eq(gov_tier_find(&tier, &facts, NULL, &err), GOV_OK);
    ck_assert_str_eq(tier.sentence,
                     "1B models at 4 bits fit from 1.1 GiB for models on, and "
                     "3B ones run from 1.6 GiB on, read from storage again for "
                     "every token; below 1 GiB none of them runs");
    ck_assert(runs("1B Q4_K_M", GOV_WAY_MMAP, 11 * GIB / 10));
    ck_assert(!runs("1B Q4_K_M", GOV_WAY_STREAMED, 15 * GIB / 16));
    ck_assert(runs("3B Q4_K_M", GOV_WAY_STREAMED, 16 * GIB / 10));
    ck_assert(!runs("3B Q4_K_M", GOV_WAY_STREAMED, 15 * GIB / 10));
    ck_assert(!runs("3B Q4_K_M", GOV_WAY_MMAP, 2 * GIB - 1));
}
END_TEST

START_TEST(unknown_is_in_no_tier)
{
    struct gov_facts facts = {0};
    struct gov_tier tier;
    gov_error err;

    ck_assert_int_eq(gov_tier_find(&tier, &facts, NULL, &err), GOV_E_NOT_FOUND);
    ck_assert_str_eq(err.message,
                     "no tier of shipped tiers has a condition that is true of "
                     "this machine; add one that ends with \"when: true\"");
    ck_assert_str_eq(tier.name, "");
}
END_TEST

START_TEST(first_that_is_true)
{
    static const char text[] =
        TIERS(TIER("a", "budget.ram > 1 GiB") TIER("b", "device.cores == 4")
                  TIER("c", "device.os == 'linux'") TIER("d", "true"));
    struct gov_facts facts = {0};
    struct gov_tier tier;
    gov_error err;

    ck_assert_int_eq(find(text, &facts, &tier, &err), GOV_OK);
    ck_assert_str_eq(tier.name, "d");
    ck_assert_str_eq(tier.sentence, "m of d");
    ck_assert_uint_eq(tier.number, 3);
    gov_facts_set_text(&facts, GOV_FACT_DEVICE_OS, "linux");
    ck_assert_int_eq(find(text, &facts, &tier, &err), GOV_OK);
    ck_assert_str_eq(tier.name, "c");
    gov_facts_set(&facts, GOV_FACT_DEVICE_CORES, 4);
    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, GIB);
    ck_assert_int_eq(find(text, &facts, &tier, &err), GOV_OK);
    ck_assert_str_eq(tier.name, "b");
    ck_assert_uint_eq(tier.number, 1);
}
END_TEST

/* A mistake behind the tier that is found is a mistake; nothing is half given. */
static const struct {
    const char *text, *want;
} wrong[] = {
    {TIERS(TIER("a", "true") TIER("b", "device.rum > 1 GiB")),
     "7:11: unknown fact \"device.rum\"; did you mean device.ram?"},
    {TIERS(TIER("a", "model.weights > 1 GiB")),
     "4:11: a tier depends on device.*, gpu.* and budget.* alone, not on "
     "model.weights"},
    {TIERS(TIER("a", "true and known(request.context)")),
     "4:26: a tier depends on device.*, gpu.* and budget.* alone, not on "
     "request.context"},
    {TIERS(TIER("a", "device.tier == 'a'")),
     "4:11: a tier depends on device.*, gpu.* and budget.* alone, not on "
     "device.tier"},
    {TIERS(TIER("a", "pressure.level == 'warn'")),
     "4:11: a tier depends on device.*, gpu.* and budget.* alone, not on "
     "pressure.level"},
    {TIERS(TIER("a", "device.ram > 1 s")),
     "4:24: bytes compared with a duration"},
    {TIERS(TIER("a", "gpu.count + 1 GiB > 1")), "4:23: bytes added to a count"},
    {TIERS("  - name: a\n    means: m\n"), "3:5: a tier without when"},
    {TIERS("  - name: a\n    when: true\n"), "3:5: a tier without means"},
    {TIERS("  - name: a\n    when: true\n    when: true\n    means: m\n"),
     "5:5: when is given twice"},
    {TIERS("  - when: true\n    name: 01234567890123456789012345678901\n"),
     "4:11: name is longer than 31 bytes"},
    {"version: 1\ntires: []\n",
     "2:1: a table has no key \"tires\"; did you mean tiers?"},
};

START_TEST(says_where)
{
    struct gov_facts facts = {0};
    struct gov_tier tier;
    char want[300];
    gov_error err;

    gov_facts_set(&facts, GOV_FACT_BUDGET_RAM, GIB);
    snprintf(want, sizeof(want), "f:%s", wrong[_i].want);
    ck_assert_msg(find(wrong[_i].text, &facts, &tier, &err) == GOV_E_FORMAT,
                  "%s", wrong[_i].text);
    ck_assert_str_eq(err.message, want);
    ck_assert_str_eq(tier.name, "");
}
END_TEST

START_TEST(none)
{
    struct gov_table_text nothing = {"x", 1, NULL};
    struct gov_facts facts = {0};
    struct gov_tier tier;
    gov_error err;

    ck_assert_int_eq(find(TIERS("  []\n"), &facts, &tier, &err),
                     GOV_E_NOT_FOUND);
    ck_assert_int_eq(find(TIERS(TIER("a", "false")), &facts, &tier, &err),
                     GOV_E_NOT_FOUND);
    ck_assert_int_eq(gov_tier_find(&tier, &facts, &nothing, NULL),
                     GOV_E_FORMAT);
    /* An empty text is no table; only no text at all means the shipped one. */
    nothing = (struct gov_table_text){NULL, 0, NULL};
    ck_assert_int_eq(gov_tier_find(&tier, &facts, &nothing, NULL),
                     GOV_E_FORMAT);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("tiers");
    TCase *t = tcase_create("tiers");

    tcase_add_loop_test(t, shipped_tiers, 0, COUNT_OF(shipped));
    tcase_add_test(t, tiny_promises_what_runs);
    tcase_add_test(t, unknown_is_in_no_tier);
    tcase_add_test(t, first_that_is_true);
    tcase_add_loop_test(t, says_where, 0, COUNT_OF(wrong));
    tcase_add_test(t, none);
    suite_add_tcase(s, t);
    return s;
}
