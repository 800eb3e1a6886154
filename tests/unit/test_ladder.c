/* SPDX-License-Identifier: MIT */
/* The ladder: a table of inventories, places, rests, the arithmetic of resting at
 * its ends, and properties of the order. */
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
     {{"a", WARN, 0, 0, MIB, 0, false, false, false}},
     NORMAL,
     0,
     0,
     0,
     -1,
     "the level is normal"},
    {"just below warn",
     {{"a", WARN, 0, 0, MIB, 0, false, false, false}},
     (gov_level)49,
     0,
     0,
     0,
     -1,
     "the level is normal"},
    {"one",
     {{"a", WARN, 0, 0, MIB, 0, false, false, false}},
     WARN,
     0,
     0,
     0,
     0,
     "a is next in the ladder and offers 1024 KiB"},
    {"nothing offered",
     {{"a", WARN, 0, 0, 0, 0, false, false, false}},
     CRITICAL,
     0,
     0,
     0,
     -1,
     "no action has anything to give"},
    {"a page offered",
     {{"a", WARN, 0, 0, 4096, 0, false, false, false}},
     WARN,
     0,
     0,
     0,
     0,
     "a is next in the ladder and offers 4 KiB"},
    {"less than a page",
     {{"a", WARN, 0, 0, 4095, 0, false, false, false}},
     WARN,
     0,
     0,
     0,
     GOV_LADDER_DONE,
     "no action has anything to give"},
    {"not at warn",
     {{"a", CRITICAL, 0, 0, MIB, 0, false, false, false},
      {"b", WARN, 0, 9, MIB, 0, false, false, false}},
     WARN,
     0,
     0,
     0,
     1,
     "b is next in the ladder and offers 1024 KiB"},
    {"between two levels",
     {{"a", CRITICAL, 0, 0, MIB, 0, false, false, false},
      {"b", (gov_level)75, 0, 9, MIB, 0, false, false, false}},
     (gov_level)99,
     0,
     0,
     0,
     1,
     "b is next in the ladder and offers 1024 KiB"},
    {"cheapest first",
     {{"a", WARN, 0, 9, 99 * MIB, 0, false, false, false},
      {"b", WARN, 0, 1, 4 * KIB, 0, false, false, false},
      {"c", WARN, 0, 5, MIB, 0, false, false, false}},
     CRITICAL,
     0,
     0,
     0,
     1,
     "b is next in the ladder and offers 4 KiB"},
    {"a tie: most offered",
     {{"a", WARN, 0, 1, MIB, 0, false, false, false},
      {"b", WARN, 0, 1, 3 * MIB, 0, false, false, false},
      {"c", WARN, 0, 1, 2 * MIB, 0, false, false, false}},
     WARN,
     0,
     0,
     0,
     1,
     "b is next in the ladder and offers 3072 KiB"},
    {"a full tie: the first",
     {{"a", WARN, 0, 1, MIB, 0, false, false, false},
      {"b", WARN, 0, 1, MIB, 0, false, false, false}},
     WARN,
     0,
     0,
     0,
     0,
     "a is next in the ladder and offers 1024 KiB"},
    {"resting",
     {{"a", WARN, 0, 0, MIB, 1000, false, false, false},
      {"b", WARN, 0, 9, MIB, 0, false, false, false}},
     WARN,
     999,
     0,
     0,
     1,
     "b is next in the ladder and offers 1024 KiB"},
    {"rested",
     {{"a", WARN, 0, 0, MIB, 1000, false, false, false},
      {"b", WARN, 0, 9, MIB, 0, false, false, false}},
     WARN,
     1000,
     0,
     0,
     0,
     "a is next in the ladder and offers 1024 KiB"},
    {"blocked",
     {{"a", WARN, 0, 0, MIB, 0, true, false, false},
      {"b", WARN, 0, 9, MIB, 0, false, false, false}},
     CRITICAL,
     0,
     0,
     0,
     1,
     "b is next in the ladder and offers 1024 KiB"},
    {"all blocked",
     {{"a", WARN, 0, 0, MIB, 0, true, false, false}},
     CRITICAL,
     0,
     0,
     0,
     -1,
     "no action has anything to give"},
    {"short of the target",
     {{"a", WARN, 0, 0, MIB, 0, false, false, false}},
     WARN,
     0,
     7 * MIB - 1,
     7 * MIB,
     0,
     "a is next in the ladder and offers 1024 KiB"},
    {"at the target",
     {{"a", WARN, 0, 0, MIB, 0, false, false, false}},
     WARN,
     0,
     7 * MIB,
     7 * MIB,
     -1,
     "7 MiB were given back, enough for now"},
    {"no target",
     {{"a", WARN, 0, 0, MIB, 0, false, false, false}},
     WARN,
     0,
     UINT64_MAX,
     0,
     0,
     "a is next in the ladder and offers 1024 KiB"},
    {"place before cost",
     {{"a", WARN, 2, 0, 9 * MIB, 0, false, false, false},
      {"b", WARN, 1, 9, 4 * KIB, 0, false, false, false},
      {"c", WARN, 3, 0, MIB, 0, false, false, false}},
     WARN,
     0,
     0,
     0,
     1,
     "b is next in the ladder and offers 4 KiB"},
    {"cost within a place",
     {{"a", WARN, 1, 7, 9 * MIB, 0, false, false, false},
      {"b", WARN, 1, 6, 4 * KIB, 0, false, false, false},
      {"c", WARN, 2, 0, MIB, 0, false, false, false}},
     WARN,
     0,
     0,
     0,
     1,
     "b is next in the ladder and offers 4 KiB"},
    {"never at critical",
     {{"a", GOV_LEVEL_NEVER, 0, 0, MIB, 0, false, false, false}},
     CRITICAL,
     0,
     0,
     0,
     -1,
     "no action has anything to give"},
    {"never at a level beyond all",
     {{"a", GOV_LEVEL_NEVER, 0, 0, MIB, 0, false, false, false}},
     GOV_LEVEL_NEVER,
     0,
     0,
     0,
     -1,
     "no action has anything to give"},
    {"gave before, and offers again",
     {{"a", WARN, 0, 0, MIB, 0, false, true, false}},
     WARN,
     0,
     0,
     0,
     0,
     "a is next in the ladder and offers 1024 KiB"},
    {"the largest numbers",
     {{"a", WARN, 0, UINT32_MAX, UINT64_MAX, UINT64_MAX, false, false, false}},
     CRITICAL,
     UINT64_MAX,
     UINT64_MAX - 1,
     UINT64_MAX,
     0,
     "a is next in the ladder and offers 18014398509481983 KiB"},
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
    const struct gov_rung rung = {
        .name = "a", .from_level = WARN, .offered_bytes = MIB};
    char small[8] = "xxxxxxx";

    ck_assert_int_eq(gov_ladder_next(&rung, 1, WARN, 0, 0, 0, small, 4), 0);
    ck_assert_str_eq(small, "a i");
    ck_assert_str_eq(small + 4, "xxx");
    ck_assert_int_eq(gov_ladder_next(&rung, 1, WARN, 0, 0, 0, small, 0), 0);
    ck_assert_str_eq(small, "a i");
    ck_assert_int_eq(gov_ladder_next(&rung, 1, WARN, 0, 0, 0, NULL, 9), 0);
}
END_TEST

/* ---- places ---------------------------------------------------------------- */

static struct gov_relief_rules rules;

static void add_step(const char *action, uint32_t rest_ms, uint32_t little_ms)
{
    struct gov_ladder_step *step = &rules.step[rules.count++];

    memset(step, 0, sizeof(*step));
    memcpy(step->action, action, strlen(action));
    step->rest_ms = rest_ms;
    step->rest_little_ms = little_ms;
}

START_TEST(by_default_there_is_no_ladder)
{
    gov_relief_rules_default(&rules);
    ck_assert_uint_eq(rules.count, 0);
    ck_assert_uint_eq(gov_ladder_place(&rules, "kv.unused"), 0);
    ck_assert_uint_eq(rules.regrow.after_ms, 15000);
    ck_assert_uint_eq(rules.regrow.every_ms, 6000);
}
END_TEST

static const struct {
    const char *action;
    uint32_t want;
} places[] = {
    {"heap.purge", 0},
    {"kv.unused", 1},
    {"kv.idle", 2},
    {"kv.", 2},
    {"kv", 5},
    {"cache.a", 3},
    {"cache.ab", 4},
    {"cache.", 4},
    {"heap.purges", 5},
    {"heap.purg", 5},
    {"", 5},
    {"cache.\xc3\xbc", 3},
    {"xcache.a", 5},
    {"heap.purge ", 5},
    {"KV.unused", 5},
};

START_TEST(the_first_step_that_matches_is_the_place)
{
    gov_relief_rules_default(&rules);
    add_step("heap.purge", 0, 0);
    add_step("kv.unused", 0, 0);
    add_step("kv.*", 0, 0);
    add_step("cache.?", 0, 0);
    add_step("cache.*", 0, 0);
    ck_assert_msg(gov_ladder_place(&rules, places[_i].action) ==
                      places[_i].want,
                  "%s: %u", places[_i].action,
                  gov_ladder_place(&rules, places[_i].action));
}
END_TEST

/* A name that fills its field, a pattern that is all stars, and more steps than
 * there is room for. */
START_TEST(odd_steps_are_survived)
{
    const char longest[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; /* 31 */

    gov_relief_rules_default(&rules);
    for (int i = 0; i < GOV_LADDER_STEPS; i++) {
        add_step("", 0, 0);
        memset(rules.step[i].action, i % 2 != 0 ? 'a' : '*', GOV_ACTION_NAME);
        rules.step[i].action[GOV_ACTION_NAME - 1 - i % 2] =
            i % 2 != 0 ? 'b' : 'c';
    }
    ck_assert_uint_eq(gov_ladder_place(&rules, longest), GOV_LADDER_STEPS);
    rules.count = UINT32_MAX;
    ck_assert_uint_eq(gov_ladder_place(&rules, longest), UINT32_MAX);
    ck_assert_uint_eq(gov_ladder_place(&rules, "c"), 0);
    ck_assert_uint_eq(gov_ladder_rest_ms(&rules, UINT32_MAX - 1, 0, 0, 0),
                      30000);
}
END_TEST

/* ---- rest ------------------------------------------------------------------- */

enum { SILENT, BOTH, LONG, SHORT, LITTLE, NOWHERE };

static const struct {
    uint32_t place;
    uint64_t offered, yield, took_ms, rest_ms;
} rests[] = {
    {SILENT, 0, 0, 0, 30000},
    {SILENT, MIB, 0, 0, 30000},
    {SILENT, MIB, MIB - 1, 0, 30000},
    {SILENT, MIB, MIB, 0, 5000},
    {SILENT, 10 * MIB, MIB, 0, 5000},
    {SILENT, 10 * MIB + 10, MIB, 0, 30000},
    {SILENT, 100 * MIB, 10 * MIB, 0, 5000},
    {SILENT, 100 * MIB, 10 * MIB - 1, 0, 30000},
    {SILENT, MIB, 9 * MIB, 250, 5000},
    {SILENT, MIB, MIB, 251, 5020},
    {SILENT, MIB, 0, 1500, 30000},
    {SILENT, MIB, 0, 1501, 30020},
    {SILENT, MIB, MIB, UINT64_MAX / 20, UINT64_MAX / 20 * 20},
    {SILENT, MIB, MIB, UINT64_MAX / 20 + 1, UINT64_MAX},
    {SILENT, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
    {SILENT, UINT64_MAX, 0, UINT64_MAX, UINT64_MAX},
    {NOWHERE, MIB, MIB, 0, 5000},
    {NOWHERE, MIB, 0, 0, 30000},
    {BOTH, MIB, MIB, 0, 700},
    {BOTH, MIB, 0, 0, 900},
    {BOTH, MIB, MIB, 100, 2000}, /* a twentieth of the time, not more */
    {BOTH, MIB, 0, 100, 2000},
    {LONG, MIB, MIB, 0, 60000},
    {LONG, MIB, 0, 0, 60000}, /* not less than after it gave */
    {SHORT, MIB, MIB, 0, 1},
    {SHORT, MIB, 0, 0, 30000},
    {LITTLE, MIB, MIB, 0, 5000},
    {LITTLE, MIB, 0, 0, 2000},
};

START_TEST(rests_as_the_policy_says_or_the_ladder)
{
    gov_relief_rules_default(&rules);
    add_step("silent", 0, 0);
    add_step("both", 700, 900);
    add_step("long", 60000, 0);
    add_step("short", 1, 0);
    add_step("little", 0, 2000);
    ck_assert_uint_eq(gov_ladder_rest_ms(&rules, rests[_i].place,
                                         rests[_i].offered, rests[_i].yield,
                                         rests[_i].took_ms),
                      rests[_i].rest_ms);
}
END_TEST

/* ---- properties ------------------------------------------------------------- */

static uint64_t seed;

static uint64_t dice(uint64_t sides)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (seed >> 33) % sides;
}

static void random_rungs(struct gov_rung rungs[8])
{
    static const gov_level from[] = {WARN, CRITICAL, (gov_level)75,
                                     GOV_LEVEL_NEVER};

    for (size_t i = 0; i < 8; i++)
        rungs[i] = (struct gov_rung){.name = "r",
                                     .from_level = from[dice(4)],
                                     .place = (uint32_t)dice(3),
                                     .rebuild_cost = (uint32_t)dice(3),
                                     .offered_bytes = 4095 + dice(3),
                                     .rest_until_ms = dice(3),
                                     .blocked = dice(4) == 0,
                                     .gave = dice(2) != 0};
}

static bool may(const struct gov_rung *r, gov_level level)
{
    return !r->blocked && r->offered_bytes >= GOV_LADDER_LEAST_BYTES &&
           r->rest_until_ms <= 1 && r->from_level <= level &&
           r->from_level != GOV_LEVEL_NEVER;
}

/* Negative where a goes first: place, cost, offer. */
static int order(const struct gov_rung *a, const struct gov_rung *b)
{
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    if (a->rebuild_cost != b->rebuild_cost)
        return a->rebuild_cost < b->rebuild_cost ? -1 : 1;
    return (a->offered_bytes < b->offered_bytes) -
           (a->offered_bytes > b->offered_bytes);
}

/* Whatever the inventory, what is chosen may run, and nothing that may run goes
 * before it; among equals it is the first. */
START_TEST(property)
{
    static const gov_level levels[] = {WARN, CRITICAL, (gov_level)75,
                                       (gov_level)2000};
    struct gov_rung rungs[8];

    seed = (uint64_t)_i;
    for (int round = 0; round < 2000; round++) {
        const gov_level level = levels[dice(4)];
        int got;

        random_rungs(rungs);
        got = gov_ladder_next(rungs, 8, level, 1, 0, 0, NULL, 0);
        ck_assert_int_eq(gov_ladder_next(rungs, 8, level, 1, 0, 0, NULL, 0),
                         got);
        ck_assert(got == GOV_LADDER_DONE || may(&rungs[got], level));
        for (int i = 0; i < 8; i++) {
            if (!may(&rungs[i], level))
                continue;
            ck_assert_int_ne(got, GOV_LADDER_DONE);
            ck_assert_int_le(order(&rungs[got], &rungs[i]), 0);
            ck_assert(order(&rungs[got], &rungs[i]) < 0 || got <= i);
        }
        ck_assert_int_eq(
            gov_ladder_next(rungs, 8, (gov_level)49, 1, 0, 0, NULL, 0),
            GOV_LADDER_DONE);
    }
}
END_TEST

/* Where two rungs stand decides nothing, unless they are equal in everything that
 * is looked at: taken out one by one, a shuffled inventory gives the same. */
START_TEST(the_order_is_total)
{
    struct gov_rung rungs[8], shuffled[8];

    seed = (uint64_t)_i + 77;
    for (int round = 0; round < 500; round++) {
        random_rungs(rungs);
        memcpy(shuffled, rungs, sizeof(rungs));
        for (size_t i = 8; i > 1; i--) {
            const size_t with = dice(i);
            const struct gov_rung kept = shuffled[i - 1];

            shuffled[i - 1] = shuffled[with];
            shuffled[with] = kept;
        }
        for (;;) {
            int a = gov_ladder_next(rungs, 8, CRITICAL, 1, 0, 0, NULL, 0);
            int b = gov_ladder_next(shuffled, 8, CRITICAL, 1, 0, 0, NULL, 0);

            ck_assert_int_eq(a == GOV_LADDER_DONE, b == GOV_LADDER_DONE);
            if (a == GOV_LADDER_DONE)
                break;
            ck_assert_int_eq(order(&rungs[a], &shuffled[b]), 0);
            rungs[a].offered_bytes = shuffled[b].offered_bytes = 0;
        }
    }
}
END_TEST

/* It never rests less than a twentieth of the time allows. */
START_TEST(relief_costs_a_twentieth_at_most)
{
    seed = (uint64_t)_i;
    for (int round = 0; round < 2000; round++) {
        const uint64_t took = dice(1000000), offered = dice(9 * MIB);

        gov_relief_rules_default(&rules);
        add_step("*", (uint32_t)dice(9000), (uint32_t)dice(9000));
        ck_assert_uint_ge(
            gov_ladder_rest_ms(&rules, 0, offered, dice(9 * MIB), took),
            20 * took);
    }
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* ---- what cannot be undone ---- */

static const struct {
    const char *name;
    bool says_so, want;
} destroys[] = {
    {"model.small", false, true},  {"model.", false, true},
    {"kv.history", false, true},   {"kv.history2", false, false},
    {"kv.idle", false, false},     {"model", false, false},
    {"weights.hot", false, false}, {"app.scratch", true, true},
};

START_TEST(what_cannot_be_undone_waits_for_proof)
{
    struct gov_level_machine machine = {.level = CRITICAL};
    struct gov_rung rung = {.name = destroys[_i].name,
                            .destructive = destroys[_i].says_so,
                            .from_level = WARN,
                            .offered_bytes = MIB};
    struct gov_rung proven = rung, elsewhere = rung;

    gov_ladder_guard(&rung, &machine);
    ck_assert(rung.destructive == destroys[_i].want);
    ck_assert(rung.blocked == destroys[_i].want);
    ck_assert_int_eq(gov_ladder_next(&rung, 1, CRITICAL, 0, 0, 0, NULL, 0),
                     destroys[_i].want ? GOV_LADDER_DONE : 0);
    elsewhere.blocked = true; /* for another reason: stays so */
    gov_ladder_guard(&elsewhere, &machine);
    ck_assert(elsewhere.blocked);
    machine.corroborated = true;
    gov_ladder_guard(&proven, &machine);
    ck_assert(proven.destructive == destroys[_i].want);
    ck_assert_int_eq(gov_ladder_next(&proven, 1, CRITICAL, 0, 0, 0, NULL, 0),
                     0);
    gov_ladder_guard(&elsewhere, &machine);
    ck_assert(elsewhere.blocked);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("ladder");
    TCase *tc = tcase_create("choice"), *any = tcase_create("any");

    tcase_add_loop_test(tc, what_cannot_be_undone_waits_for_proof, 0,
                        sizeof(destroys) / sizeof(destroys[0]));
    tcase_add_loop_test(tc, chooses, 0, ROWS(cases));
    tcase_add_test(tc, a_reason_may_be_cut_or_unwanted);
    tcase_add_test(tc, by_default_there_is_no_ladder);
    tcase_add_loop_test(tc, the_first_step_that_matches_is_the_place, 0,
                        ROWS(places));
    tcase_add_test(tc, odd_steps_are_survived);
    tcase_add_loop_test(tc, rests_as_the_policy_says_or_the_ladder, 0,
                        ROWS(rests));
    tcase_add_loop_test(any, property, 0, 4);
    tcase_add_loop_test(any, the_order_is_total, 0, 4);
    tcase_add_loop_test(any, relief_costs_a_twentieth_at_most, 0, 2);
    suite_add_tcase(s, tc);
    suite_add_tcase(s, any);
    return s;
}
