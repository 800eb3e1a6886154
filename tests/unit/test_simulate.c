/* SPDX-License-Identifier: MIT */
/* Simulated levels: the schedule, its order and its limits. */
#include "tests/unit/runtime_fixture.h"

static gov_level after(uint64_t ms)
{
    turn(ms);
    return gov_level_now(rt);
}

static void at(uint64_t delay_ms, gov_level level)
{
    ck_assert_int_eq(gov_simulate(rt, level, delay_ms, &err), GOV_OK);
}

static void end_at(uint64_t delay_ms)
{
    ck_assert_int_eq(gov_simulate_end(rt, delay_ms, &err), GOV_OK);
}

START_TEST(steps_take_effect_in_their_time)
{
    at(1000, WARN);
    at(3000, NORMAL);
    at(2000, CRITICAL);
    end_at(4000);
    ck_assert_int_eq(after(999), NORMAL);
    ck_assert_int_eq(after(1), WARN);
    ck_assert_int_eq(after(999), WARN);
    ck_assert_int_eq(after(1), CRITICAL);
    ck_assert_int_eq(after(1000), NORMAL);
    ck_assert_int_eq(after(999), NORMAL);
    ck_assert(rt->simulating);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_LEVEL_SIMULATED], 1);
    after(1);
    ck_assert(!rt->simulating);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_LEVEL_SIMULATED], 0);
    ck_happened("event warn: simulated\n"
                "event critical: simulated\n"
                "event normal: simulated\n");
}
END_TEST

START_TEST(equal_times_keep_the_order_of_calls)
{
    at(500, WARN);
    at(500, CRITICAL);
    at(100, WARN);
    at(500, WARN);
    ck_assert_int_eq(after(100), WARN);
    ck_assert_int_eq(after(400), WARN);
    at(0, WARN);
    at(0, CRITICAL);
    ck_assert_int_eq(after(0), CRITICAL);
    ck_happened("event warn: simulated\nevent critical: simulated\n");
}
END_TEST

START_TEST(of_steps_due_together_the_last_counts)
{
    at(10, CRITICAL);
    at(20, WARN);
    ck_assert_int_eq(after(250), WARN);
    at(10, CRITICAL);
    end_at(20);
    ck_assert_int_eq(after(250), NORMAL);
    at(5, CRITICAL);
    end_at(10);
    at(20, WARN);
    ck_assert_int_eq(after(250), WARN);
    ck_happened("event warn: simulated\n"
                "event normal: no sign of pressure\n"
                "event warn: simulated\n");
}
END_TEST

START_TEST(the_end_returns_to_evidence_judged_from_normal)
{
    at(0, CRITICAL);
    ck_assert_int_eq(after(250), CRITICAL);
    sim.process.footprint_bytes = 4 * GIB - 400 * MIB; /* WARN by itself */
    ck_assert_int_eq(after(250), CRITICAL);
    end_at(0);
    ck_assert_int_eq(after(250), WARN);
    ck_happened("event critical: simulated\n"
                "event warn: 400 MiB of the 4096 MiB budget are left\n");
}
END_TEST

START_TEST(an_end_without_a_simulation_changes_nothing)
{
    sim.process.footprint_bytes = 4 * GIB - 700 * MIB;
    ck_assert_int_eq(after(250), NORMAL);
    sim.process.footprint_bytes = 4 * GIB - 400 * MIB;
    ck_assert_int_eq(after(250), WARN);
    sim.process.footprint_bytes = 4 * GIB - 600 * MIB; /* holds, not enters */
    end_at(0);
    ck_assert_int_eq(after(250), WARN);
    at(10, CRITICAL); /* and so does one that never came into force */
    end_at(20);
    ck_assert_int_eq(after(250), WARN);
}
END_TEST

START_TEST(at_most_16_wait)
{
    for (int i = 0; i < 8; i++) {
        at(1000, WARN);
        end_at(2000);
    }
    ck_assert_int_eq(gov_simulate(rt, WARN, 0, &err), GOV_E_BUSY);
    ck_assert_str_eq(err.message, "16 simulated steps are waiting already; "
                                  "simulate fewer, or later");
    ck_assert_int_eq(gov_simulate_end(rt, 0, NULL), GOV_E_BUSY);
    after(1000);
    for (int i = 0; i < 8; i++)
        at(0, WARN);
    ck_assert_int_eq(gov_simulate(rt, WARN, 0, &err), GOV_E_BUSY);
}
END_TEST

START_TEST(what_is_no_step_is_refused)
{
    ck_assert_int_eq(gov_simulate(rt, (gov_level)75, 0, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "75 is no level; simulate normal, warn or critical");
    ck_assert_int_eq(gov_simulate(NULL, WARN, 0, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "no runtime to simulate on; open one first");
    ck_assert_int_eq(gov_simulate_end(NULL, 0, NULL), GOV_E_INVALID);
    ck_assert_uint_eq(rt->step_count, 0);
}
END_TEST

START_TEST(delays_beyond_reason_never_come)
{
    turn(250);
    at(UINT64_MAX, CRITICAL);
    at(UINT64_MAX - 1, CRITICAL);
    ck_assert_int_eq(after(250), NORMAL);
    ck_assert_int_eq(after((uint64_t)1 << 40), NORMAL);
    ck_assert_uint_eq(rt->step_count, 2);
}
END_TEST

START_TEST(a_step_wakes_the_thread)
{
    watch_wakes();
    at(1000, WARN);
    ck_assert_int_eq(wakes(), 1);
    end_at(0);
    ck_assert_int_eq(wakes(), 1);
}
END_TEST

START_TEST(the_thread_waits_for_the_next_step)
{
    const uint64_t now = gov__runtime_ms(rt);

    ck_assert_uint_eq(gov__simulate_wait_locked(rt, now, 250), 250);
    at(100, WARN);
    ck_assert_uint_eq(gov__simulate_wait_locked(rt, now, 250), 100);
    ck_assert_uint_eq(gov__simulate_wait_locked(rt, now, 60), 60);
    ck_assert_uint_eq(gov__simulate_wait_locked(rt, now + 100, 250), 0);
    ck_assert_uint_eq(gov__simulate_wait_locked(rt, now + 999, 250), 0);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("simulate");
    TCase *tc = tcase_create("steps");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, steps_take_effect_in_their_time);
    tcase_add_test(tc, equal_times_keep_the_order_of_calls);
    tcase_add_test(tc, of_steps_due_together_the_last_counts);
    tcase_add_test(tc, the_end_returns_to_evidence_judged_from_normal);
    tcase_add_test(tc, an_end_without_a_simulation_changes_nothing);
    tcase_add_test(tc, at_most_16_wait);
    tcase_add_test(tc, what_is_no_step_is_refused);
    tcase_add_test(tc, delays_beyond_reason_never_come);
    tcase_add_test(tc, a_step_wakes_the_thread);
    tcase_add_test(tc, the_thread_waits_for_the_next_step);
    suite_add_tcase(s, tc);
    return s;
}
