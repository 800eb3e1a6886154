/* SPDX-License-Identifier: MIT */
/* Regrow: when, who first, what a clock that runs backwards does, and that memory
 * is never taken again faster than the policy says. */
#include <string.h>

#include "policies/ladder.h"
#include "tests/support/run.h"

#define NORMAL GOV_LEVEL_NORMAL
#define WARN GOV_LEVEL_WARN
#define CRITICAL GOV_LEVEL_CRITICAL
#define DONE GOV_LADDER_DONE

static struct gov_regrow state;
static const struct gov_regrow_rules rules = {10000, 2000, 0};
static struct gov_rung rungs[4];
static char reason[128];

static void set_up(void)
{
    memset(&state, 0, sizeof(state));
    rungs[0] = (struct gov_rung){.name = "a", .place = 0, .gave = true};
    rungs[1] = (struct gov_rung){.name = "b", .place = 1, .gave = true};
    rungs[2] = (struct gov_rung){.name = "c", .place = 2, .gave = true};
    rungs[3] = (struct gov_rung){.name = "d", .place = 3, .gave = false};
}

/* As the runtime does: who takes memory again no longer gave it. */
static int step(gov_level level, uint64_t now_ms)
{
    int next = gov_regrow_next(&state, &rules, rungs, 4, level, now_ms, reason,
                               sizeof(reason));

    if (next != DONE)
        rungs[next].gave = false;
    return next;
}

START_TEST(one_at_a_time_the_last_first)
{
    ck_assert_int_eq(step(NORMAL, 500), DONE);
    ck_assert_int_eq(step(NORMAL, 10499), DONE);
    ck_assert_int_eq(step(NORMAL, 10500), 2);
    ck_assert_int_eq(step(NORMAL, 10500), DONE);
    ck_assert_int_eq(step(NORMAL, 12499), DONE);
    ck_assert_int_eq(step(NORMAL, 12500), 1);
    ck_assert_int_eq(step(NORMAL, 99999), 0);
    ck_assert_int_eq(step(NORMAL, 999999), DONE);
}
END_TEST

START_TEST(says_why)
{
    step(WARN, 0);
    ck_assert_str_eq(reason, "the level is warn");
    step(CRITICAL, 0);
    ck_assert_str_eq(reason, "the level is critical");
    step(NORMAL, 1000);
    step(NORMAL, 4200);
    ck_assert_str_eq(reason,
                     "normal for 3.2 s; memory is taken again after 10.0 s");
    step(NORMAL, 11000);
    ck_assert_str_eq(reason, "c is last in the ladder and may take memory "
                             "again");
    step(NORMAL, 11900);
    ck_assert_str_eq(reason, "memory was taken again 0.9 s ago; one action "
                             "every 2.0 s");
    step(NORMAL, 20000);
    step(NORMAL, 30000);
    step(NORMAL, 40000);
    ck_assert_str_eq(reason, "nothing that was given is missing");
}
END_TEST

START_TEST(any_other_level_starts_anew)
{
    static const gov_level levels[] = {WARN, CRITICAL, (gov_level)50,
                                       GOV_LEVEL_NEVER};

    step(NORMAL, 0);
    ck_assert_int_eq(step(levels[_i], 9999), DONE);
    ck_assert_int_eq(step(NORMAL, 10000), DONE);
    ck_assert_int_eq(step(NORMAL, 19999), DONE);
    ck_assert_int_eq(step(NORMAL, 20000), 2);
    ck_assert_int_eq(step(levels[_i], 30000), DONE);
    /* Soon after a regrow: twice as long. */
    ck_assert_int_eq(step(NORMAL, 30000), DONE);
    ck_assert_int_eq(step(NORMAL, 49999), DONE);
    ck_assert_int_eq(step(NORMAL, 50000), 1);
}
END_TEST

/* ---- back-off ---- */

/* Ten times: a regrow, a WARN so many ms later; how long the next wait is. */
START_TEST(a_regrow_that_brings_a_warning_doubles_the_waits)
{
    static const uint64_t want[] = {10000,  20000,  40000,  80000,  160000,
                                    320000, 640000, 640000, 640000, 640000};
    const uint64_t soon = _i == 0 ? 60000 : 1;
    uint64_t ms = 0;

    for (int i = 0; i < 10; i++) {
        rungs[2].gave = true;
        ck_assert_int_eq(step(NORMAL, ms), DONE);
        ck_assert_int_eq(step(NORMAL, ms + want[i] - 1), DONE);
        ms += want[i];
        ck_assert_int_eq(step(NORMAL, ms), 2);
        ms += soon;
        step(WARN, ms);
        step(CRITICAL, ms); /* is blamed once */
        step(WARN, ms);
    }
}
END_TEST

START_TEST(the_doubled_waits_are_told_and_kept)
{
    step(NORMAL, 0);
    ck_assert_int_eq(step(NORMAL, 10000), 2);
    step(WARN, 10000);
    step(NORMAL, 10000);
    ck_assert_str_eq(reason,
                     "normal for 0.0 s; memory is taken again after 20.0 s");
    ck_assert_int_eq(step(NORMAL, 30000), 1);
    ck_assert_int_eq(step(NORMAL, 33999), DONE);
    ck_assert_str_eq(reason, "memory was taken again 3.9 s ago; one action "
                             "every 4.0 s");
    ck_assert_int_eq(step(NORMAL, 34000), 0);
}
END_TEST

START_TEST(a_later_warning_is_another_matter)
{
    step(NORMAL, 0);
    ck_assert_int_eq(step(NORMAL, 10000), 2);
    step(WARN, 70001);
    step(NORMAL, 70001);
    ck_assert_int_eq(step(NORMAL, 80001), 1);
}
END_TEST

START_TEST(an_hour_of_calm_forgets)
{
    const uint64_t calm = _i == 0 ? 3600000 : 3599999;

    step(NORMAL, 0);
    ck_assert_int_eq(step(NORMAL, 10000), 2);
    step(WARN, 10000);
    step(NORMAL, 10000);
    ck_assert_int_eq(step(NORMAL, 30000), 1);
    ck_assert_int_eq(step(NORMAL, 40000), 0);
    step(NORMAL, 10000 + calm);
    ck_assert_uint_eq(state.doubled, _i == 0 ? 0 : 1);
    step(WARN, 10000 + calm);
    rungs[2].gave = true;
    step(NORMAL, 10000 + calm);
    ck_assert_int_eq(step(NORMAL, 20000 + calm), _i == 0 ? 2 : DONE);
}
END_TEST

START_TEST(a_step_is_a_share_of_the_budget)
{
    struct gov_regrow_rules some = {.step_permille = 10};

    ck_assert_uint_eq(gov_regrow_bytes(&some, UINT64_C(8000) << 20),
                      UINT64_C(80) << 20);
    ck_assert_uint_eq(gov_regrow_bytes(&some, 1000), 1 << 20);
    some.step_permille = UINT32_MAX; /* never more than all of it */
    ck_assert_uint_le(gov_regrow_bytes(&some, UINT64_MAX), UINT64_MAX);
    ck_assert_uint_ge(gov_regrow_bytes(&some, UINT64_MAX), UINT64_MAX - 1000);
    some.step_permille = 0;
    ck_assert_uint_eq(gov_regrow_bytes(&some, 1), UINT64_MAX);
}
END_TEST

START_TEST(below_warn_is_normal)
{
    step((gov_level)49, 0);
    ck_assert_int_eq(step((gov_level)49, 10000), 2);
}
END_TEST

/* Also by less than what it has counted so far. */
START_TEST(a_clock_that_runs_backwards_starts_anew)
{
    static const uint64_t back[] = {0, 5000, 14999};

    step(NORMAL, 5000);
    ck_assert_int_eq(step(NORMAL, 15000), 2);
    ck_assert_int_eq(step(NORMAL, back[_i]), DONE);
    ck_assert_int_eq(step(NORMAL, back[_i] + 9999), DONE);
    ck_assert_int_eq(step(NORMAL, back[_i] + 10000), 1);
}
END_TEST

START_TEST(at_one_place_the_dearest_then_the_last)
{
    for (int i = 0; i < 4; i++) {
        rungs[i].place = 7;
        rungs[i].gave = true;
        rungs[i].offered_bytes = (uint64_t)(4 - i); /* says nothing here */
    }
    rungs[1].rebuild_cost = 9;
    step(NORMAL, 0);
    ck_assert_int_eq(step(NORMAL, 10000), 1);
    ck_assert_int_eq(step(NORMAL, 12000), 3);
    ck_assert_int_eq(step(NORMAL, 14000), 2);
    ck_assert_int_eq(step(NORMAL, 16000), 0);
}
END_TEST

START_TEST(the_ends_of_time_and_of_rules)
{
    const struct gov_regrow_rules none = {0, 0, 0};
    const struct gov_regrow_rules most = {UINT32_MAX, UINT32_MAX, 0};
    const struct gov_regrow_rules first = {0, 10000, 0}; /* waits for no one */

    ck_assert_int_eq(
        gov_regrow_next(&state, &none, rungs, 4, NORMAL, 0, NULL, 9), 2);
    ck_assert_int_eq(
        gov_regrow_next(&state, &none, rungs, 4, NORMAL, 0, NULL, 0), 2);
    memset(&state, 0, sizeof(state));
    ck_assert_int_eq(
        gov_regrow_next(&state, &first, rungs, 4, NORMAL, 5, NULL, 0), 2);
    memset(&state, 0, sizeof(state));
    ck_assert_int_eq(
        gov_regrow_next(&state, &most, rungs, 4, NORMAL, 1, NULL, 0), DONE);
    ck_assert_int_eq(
        gov_regrow_next(&state, &most, rungs, 4, NORMAL, UINT64_MAX, NULL, 0),
        2);
    ck_assert_int_eq(
        gov_regrow_next(&state, &most, rungs, 0, NORMAL, UINT64_MAX, NULL, 0),
        DONE);
}
END_TEST

static uint64_t seed;

static uint64_t dice(uint64_t sides)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (seed >> 33) % sides;
}

static void random_rungs(void)
{
    for (int i = 0; i < 4; i++) {
        rungs[i].place = (uint32_t)dice(3);
        rungs[i].rebuild_cost = (uint32_t)dice(3);
        rungs[i].offered_bytes = dice(3);
        rungs[i].gave = dice(2) != 0;
    }
}

static void goes_last(int next)
{
    ck_assert(rungs[next].gave);
    for (int i = 0; i < 4; i++) {
        const struct gov_rung *other = &rungs[i], *it = &rungs[next];

        if (other->gave)
            ck_assert(other->place < it->place ||
                      (other->place == it->place &&
                       other->rebuild_cost <= it->rebuild_cost));
    }
}

/* Never but at NORMAL, never before after_ms of it, never two within every_ms,
 * only who gave; and what is due comes. Times run, jump and turn back. */
START_TEST(property)
{
    uint64_t now_ms = 0, since_ms = 0, grew_ms = 0;
    bool normal = false, grew = false;
    uint32_t doubled = 0;

    seed = (uint64_t)_i;
    for (int n = 0; n < 20000; n++) {
        const gov_level level =
            dice(200) == 0 ? (dice(2) != 0 ? CRITICAL : WARN) : NORMAL;
        const uint64_t before_ms = now_ms;
        struct gov_regrow twin = state;
        bool any = false, due;
        int next;

        now_ms = dice(300) == 0 ? dice(100000) : now_ms + dice(800);
        random_rungs();
        for (int i = 0; i < 4; i++)
            any |= rungs[i].gave;
        if (level != NORMAL && grew && now_ms >= grew_ms &&
            now_ms - grew_ms <= 60000 && doubled < 6)
            doubled++;
        if (level != NORMAL || !normal || now_ms < before_ms) {
            since_ms = now_ms;
            grew = false;
        }
        normal = level == NORMAL;
        due = normal && any && now_ms - since_ms >= rules.after_ms << doubled &&
              (!grew || now_ms - grew_ms >= rules.every_ms << doubled);
        next = gov_regrow_next(&state, &rules, rungs, 4, level, now_ms, reason,
                               sizeof(reason));
        ck_assert_int_eq(next != DONE, due);
        ck_assert_int_eq(
            gov_regrow_next(&twin, &rules, rungs, 4, level, now_ms, NULL, 0),
            next);
        ck_assert_mem_eq(&twin, &state, sizeof(twin));
        ck_assert(reason[0] != '\0');
        if (n % 2000 == 0)
            state.doubled = doubled = 0; /* else only the longest is tried */
        if (next == DONE)
            continue;
        goes_last(next);
        grew = true;
        grew_ms = now_ms;
    }
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("regrow");
    TCase *tc = tcase_create("regrow");

    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, one_at_a_time_the_last_first);
    tcase_add_test(tc, says_why);
    tcase_add_loop_test(tc, any_other_level_starts_anew, 0, 4);
    tcase_add_test(tc, below_warn_is_normal);
    tcase_add_loop_test(tc, a_regrow_that_brings_a_warning_doubles_the_waits, 0,
                        2);
    tcase_add_test(tc, the_doubled_waits_are_told_and_kept);
    tcase_add_test(tc, a_later_warning_is_another_matter);
    tcase_add_loop_test(tc, an_hour_of_calm_forgets, 0, 2);
    tcase_add_test(tc, a_step_is_a_share_of_the_budget);
    tcase_add_loop_test(tc, a_clock_that_runs_backwards_starts_anew, 0, 3);
    tcase_add_test(tc, at_one_place_the_dearest_then_the_last);
    tcase_add_test(tc, the_ends_of_time_and_of_rules);
    tcase_add_loop_test(tc, property, 0, 4);
    suite_add_tcase(s, tc);
    return s;
}
