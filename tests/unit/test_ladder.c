/* SPDX-License-Identifier: MIT */
/* The ladder chooser: a table of inventories, ties, rests, and the arithmetic
 * of resting at its ends. */
#include <stdlib.h>
#include <string.h>

#include "policies/ladder.h"
#include "tests/support/run.h"

#define NORMAL GOV_LEVEL_NORMAL
#define WARN GOV_LEVEL_WARN
#define CRITICAL GOV_LEVEL_CRITICAL
#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

static const struct {
    const char *name;
    struct gov_rung rungs[3]; /* up to the first without a name */
    gov_level level;
    uint64_t now_ms, given_bytes, target_bytes;
    int want;
    const char *reason;
} cases[] = {
    {"no rungs", {{0}}, WARN, 0, 0, 0, -1, "no action has anything to give"},
    {"normal",
     {{"a", WARN, 0, MIB, 0, false}},
     NORMAL,
     0,
     0,
     0,
     -1,
     "the level is normal"},
    {"just below warn",
     {{"a", WARN, 0, MIB, 0, false}},
     (gov_level)49,
     0,
     0,
     0,
     -1,
     "the level is normal"},
    {"one",
     {{"a", WARN, 0, MIB, 0, false}},
     WARN,
     0,
     0,
     0,
     0,
     "a is the cheapest to rebuild and offers 1024 KiB"},
    {"nothing offered",
     {{"a", WARN, 0, 0, 0, false}},
     CRITICAL,
     0,
     0,
     0,
     -1,
     "no action has anything to give"},
    {"one byte offered",
     {{"a", WARN, 0, 1, 0, false}},
     WARN,
     0,
     0,
     0,
     0,
     "a is the cheapest to rebuild and offers 0 KiB"},
    {"not at warn",
     {{"a", CRITICAL, 0, MIB, 0, false}, {"b", WARN, 9, MIB, 0, false}},
     WARN,
     0,
     0,
     0,
     1,
     "b is the cheapest to rebuild and offers 1024 KiB"},
    {"between two levels",
     {{"a", CRITICAL, 0, MIB, 0, false},
      {"b", (gov_level)75, 9, MIB, 0, false}},
     (gov_level)99,
     0,
     0,
     0,
     1,
     "b is the cheapest to rebuild and offers 1024 KiB"},
    {"cheapest first",
     {{"a", WARN, 9, 99 * MIB, 0, false},
      {"b", WARN, 1, KIB, 0, false},
      {"c", WARN, 5, MIB, 0, false}},
     CRITICAL,
     0,
     0,
     0,
     1,
     "b is the cheapest to rebuild and offers 1 KiB"},
    {"a tie: most offered",
     {{"a", WARN, 1, MIB, 0, false},
      {"b", WARN, 1, 3 * MIB, 0, false},
      {"c", WARN, 1, 2 * MIB, 0, false}},
     WARN,
     0,
     0,
     0,
     1,
     "b is the cheapest to rebuild and offers 3072 KiB"},
    {"a full tie: the first",
     {{"a", WARN, 1, MIB, 0, false}, {"b", WARN, 1, MIB, 0, false}},
     WARN,
     0,
     0,
     0,
     0,
     "a is the cheapest to rebuild and offers 1024 KiB"},
    {"resting",
     {{"a", WARN, 0, MIB, 1000, false}, {"b", WARN, 9, MIB, 0, false}},
     WARN,
     999,
     0,
     0,
     1,
     "b is the cheapest to rebuild and offers 1024 KiB"},
    {"rested",
     {{"a", WARN, 0, MIB, 1000, false}, {"b", WARN, 9, MIB, 0, false}},
     WARN,
     1000,
     0,
     0,
     0,
     "a is the cheapest to rebuild and offers 1024 KiB"},
    {"blocked",
     {{"a", WARN, 0, MIB, 0, true}, {"b", WARN, 9, MIB, 0, false}},
     CRITICAL,
     0,
     0,
     0,
     1,
     "b is the cheapest to rebuild and offers 1024 KiB"},
    {"all blocked",
     {{"a", WARN, 0, MIB, 0, true}},
     CRITICAL,
     0,
     0,
     0,
     -1,
     "no action has anything to give"},
    {"short of the target",
     {{"a", WARN, 0, MIB, 0, false}},
     WARN,
     0,
     7 * MIB - 1,
     7 * MIB,
     0,
     "a is the cheapest to rebuild and offers 1024 KiB"},
    {"at the target",
     {{"a", WARN, 0, MIB, 0, false}},
     WARN,
     0,
     7 * MIB,
     7 * MIB,
     -1,
     "7 MiB were given back, enough for now"},
    {"no target",
     {{"a", WARN, 0, MIB, 0, false}},
     WARN,
     0,
     UINT64_MAX,
     0,
     0,
     "a is the cheapest to rebuild and offers 1024 KiB"},
    {"the largest numbers",
     {{"a", WARN, UINT32_MAX, UINT64_MAX, UINT64_MAX, false}},
     CRITICAL,
     UINT64_MAX,
     UINT64_MAX - 1,
     UINT64_MAX,
     0,
     "a is the cheapest to rebuild and offers 18014398509481983 KiB"},
};

START_TEST(chooses)
{
    char reason[128] = "untouched";
    size_t count = 0;
    int got;

    while (count < 3 && cases[_i].rungs[count].name != NULL)
        count++;
    got = gov_ladder_next(cases[_i].rungs, count, cases[_i].level,
                          cases[_i].now_ms, cases[_i].given_bytes,
                          cases[_i].target_bytes, reason, sizeof(reason));
    ck_assert_msg(got == cases[_i].want, "%s: got %d", cases[_i].name, got);
    ck_assert_str_eq(reason, cases[_i].reason);
}
END_TEST

START_TEST(a_reason_may_be_cut_or_unwanted)
{
    const struct gov_rung rung = {"a", WARN, 0, MIB, 0, false};
    char small[8] = "xxxxxxx";

    ck_assert_int_eq(gov_ladder_next(&rung, 1, WARN, 0, 0, 0, small, 4), 0);
    ck_assert_str_eq(small, "a i");
    ck_assert_str_eq(small + 4, "xxx");
    ck_assert_int_eq(gov_ladder_next(&rung, 1, WARN, 0, 0, 0, small, 0), 0);
    ck_assert_str_eq(small, "a i");
    ck_assert_int_eq(gov_ladder_next(&rung, 1, WARN, 0, 0, 0, NULL, 9), 0);
}
END_TEST

static const struct {
    uint64_t offered, yield, took_ms, rest_ms;
} rests[] = {
    {0, 0, 0, 30000},
    {MIB, 0, 0, 30000},
    {MIB, MIB - 1, 0, 30000},
    {MIB, MIB, 0, 5000},
    {10 * MIB, MIB, 0, 5000},
    {10 * MIB + 10, MIB, 0, 30000},
    {100 * MIB, 10 * MIB, 0, 5000},
    {100 * MIB, 10 * MIB - 1, 0, 30000},
    {MIB, 9 * MIB, 250, 5000},
    {MIB, MIB, 251, 5020},
    {MIB, 0, 1500, 30000},
    {MIB, 0, 1501, 30020},
    {MIB, MIB, UINT64_MAX / 20, UINT64_MAX / 20 * 20},
    {MIB, MIB, UINT64_MAX / 20 + 1, UINT64_MAX},
    {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
    {UINT64_MAX, 0, UINT64_MAX, UINT64_MAX},
};

START_TEST(rests_longer_the_less_it_gave)
{
    ck_assert_uint_eq(gov_ladder_rest_ms(rests[_i].offered, rests[_i].yield,
                                         rests[_i].took_ms),
                      rests[_i].rest_ms);
}
END_TEST

static uint64_t seed;

static uint64_t dice(uint64_t sides)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (seed >> 33) % sides;
}

/* Whatever the inventory, what is chosen may run and nothing that may run is
 * cheaper. */
START_TEST(property)
{
    struct gov_rung rungs[8];

    seed = (uint64_t)_i;
    for (int round = 0; round < 500; round++) {
        const gov_level level = dice(2) != 0 ? CRITICAL : WARN;
        int got;

        for (size_t i = 0; i < 8; i++)
            rungs[i] = (struct gov_rung){"r",
                                         dice(2) != 0 ? CRITICAL : WARN,
                                         (uint32_t)dice(3),
                                         dice(3),
                                         dice(3),
                                         dice(2) != 0};
        got = gov_ladder_next(rungs, 8, level, 1, 0, 0, NULL, 0);
        for (int i = 0; i < 8; i++) {
            const struct gov_rung *r = &rungs[i];
            bool may = !r->blocked && r->offered_bytes > 0 &&
                       r->rest_until_ms <= 1 && r->from_level <= level;

            ck_assert(i != got || may);
            ck_assert(!may || got >= 0);
            ck_assert(!may || rungs[got].rebuild_cost <= r->rebuild_cost);
        }
    }
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("ladder");
    TCase *tc = tcase_create("choice");

    tcase_add_loop_test(tc, chooses, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(tc, a_reason_may_be_cut_or_unwanted);
    tcase_add_loop_test(tc, rests_longer_the_less_it_gave, 0,
                        sizeof(rests) / sizeof(rests[0]));
    tcase_add_loop_test(tc, property, 0, 4);
    suite_add_tcase(s, tc);
    return s;
}
