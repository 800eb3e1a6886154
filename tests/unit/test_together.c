/* SPDX-License-Identifier: MIT */
/* Samples of several processes of one app, as one line in a plot. */
#include <string.h>

#include "tests/support/run.h"
#include "tools/gov/report_together.h"

static struct gov_together together;

static void set_up(void)
{
    memset(&together, 0, sizeof(together));
}

static struct gov_telemetry_sample add(int64_t at_ms, uint64_t process,
                                       gov_level level, uint64_t footprint,
                                       uint64_t weights)
{
    struct gov_telemetry_sample sample = {.at_ms = at_ms,
                                          .level = level,
                                          .footprint_bytes = footprint,
                                          .budget_bytes = 10 * process,
                                          .weights_resident_bytes = weights,
                                          .process = process};

    gov_together_add(&together, &sample);
    ck_assert_int_eq(sample.at_ms, at_ms);
    return sample;
}

START_TEST(one_is_as_it_is)
{
    struct gov_telemetry_sample all;

    for (int64_t at = 0; at < 100000; at += 10000) {
        all = add(at, 7, GOV_LEVEL_WARN, 50, UINT64_MAX);
        ck_assert_uint_eq(all.footprint_bytes, 50);
        ck_assert_uint_eq(all.budget_bytes, 70);
        ck_assert_uint_eq(all.weights_resident_bytes, UINT64_MAX);
        ck_assert_int_eq(all.level, GOV_LEVEL_WARN);
    }
    all = add(100001, 7, GOV_LEVEL_NORMAL, 30, 4);
    ck_assert_uint_eq(all.footprint_bytes, 30);
    ck_assert_int_eq(all.level, GOV_LEVEL_NORMAL);
}
END_TEST

START_TEST(two_are_added_up)
{
    struct gov_telemetry_sample all;

    for (int64_t at = 0; at < 100000; at += 10000) {
        (void)add(at, 7, GOV_LEVEL_CRITICAL, 50, 9);
        all = add(at + 5000, 8, GOV_LEVEL_NORMAL, 3, UINT64_MAX);
        ck_assert_uint_eq(all.footprint_bytes, 53);
        ck_assert_uint_eq(all.budget_bytes, 80);
        ck_assert_uint_eq(all.weights_resident_bytes, 9);
        ck_assert_int_eq(all.level, GOV_LEVEL_CRITICAL);
    }
    /* The first one has ended: 90 s was its last word. */
    ck_assert_uint_eq(add(115000, 8, GOV_LEVEL_NORMAL, 3, 1).footprint_bytes,
                      53);
    all = add(115001, 8, GOV_LEVEL_NORMAL, 3, 1);
    ck_assert_uint_eq(all.footprint_bytes, 3);
    ck_assert_int_eq(all.level, GOV_LEVEL_NORMAL);
}
END_TEST

/* More than there is room for, times that run backwards, and the ends of time. */
START_TEST(a_hostile_database_is_survived)
{
    struct gov_telemetry_sample all = {0};

    for (uint64_t process = 1; process <= 3 * GOV_TOGETHER_MOST; process++)
        all = add((int64_t)process, process, GOV_LEVEL_NORMAL, 1, 0);
    ck_assert_uint_eq(all.footprint_bytes, GOV_TOGETHER_MOST);
    all = add(3 * GOV_TOGETHER_MOST, 999, GOV_LEVEL_NORMAL, UINT64_MAX - 1, 0);
    ck_assert_uint_eq(all.footprint_bytes, UINT64_MAX);
    ck_assert_uint_eq(add(0, 1, GOV_LEVEL_NORMAL, 1, 0).footprint_bytes, 1);
    ck_assert_uint_eq(add(INT64_MIN, 1, GOV_LEVEL_NORMAL, 1, 0).footprint_bytes,
                      1);
    ck_assert_uint_eq(add(INT64_MAX, 2, GOV_LEVEL_NORMAL, 1, 0).footprint_bytes,
                      1);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("together");
    TCase *tc = tcase_create("together");

    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, one_is_as_it_is);
    tcase_add_test(tc, two_are_added_up);
    tcase_add_test(tc, a_hostile_database_is_survived);
    suite_add_tcase(s, tc);
    return s;
}
