/* SPDX-License-Identifier: MIT */
/* The meter of passes on a clock and counters that the test sets by hand. */
#include <errno.h>
#include <string.h>

#include "governor/memory/pass_meter.h"
#include "tests/support/run.h"

#define UNITS 4
#define SPANS ((uint64_t)GOV__METER_SPANS)

static uint64_t now_us;
static struct gov__pass_counts counts;
static int counts_rc;
static struct gov_platform table;
static struct gov__unit_meter units[UNITS];
static uint64_t worst_from[UNITS];
static struct gov__pass_meter meter;

static uint64_t tell_now(void *ctx)
{
    (void)ctx;
    return now_us;
}

static int tell_counts(void *ctx, struct gov__pass_counts *out)
{
    (void)ctx;
    *out = counts;
    return counts_rc;
}

static void set_up(void)
{
    now_us = 1000000;
    memset(&counts, 0, sizeof(counts));
    counts_rc = 0;
    memset(&table, 0, sizeof(table));
    table.now_us = tell_now;
    table.pass_counts = tell_counts;
    memset(units, 0, sizeof(units));
    memset(&meter, 0, sizeof(meter));
    meter.platform = &table;
    meter.units = units;
    meter.unit_count = UNITS;
    meter.worst_from = worst_from;
    ck_assert_int_eq(gov__pass_meter_init(&meter), 0);
}

static void tear_down(void)
{
    gov__pass_meter_fini(&meter);
}

static struct gov_pass_account end_pass(void)
{
    struct gov_pass_account pass;

    memset(&pass, 0xff, sizeof(pass));
    ck_assert(gov__pass_meter_end(&meter, &pass));
    return pass;
}

static struct gov_weights_account account(void)
{
    struct gov_weights_account out;

    memset(&out, 0, sizeof(out));
    gov__pass_meter_account(&meter, &out);
    return out;
}

static void wait_until(uint64_t at, uint32_t unit, uint64_t us)
{
    now_us = 1000000 + at;
    gov__pass_meter_waited(&meter, unit, us);
}

static void expect_times(const struct gov_pass_account *pass, uint64_t whole,
                         uint64_t weights, uint64_t reclaim, uint64_t compute)
{
    ck_assert_uint_eq(pass->pass_us, whole);
    ck_assert_uint_eq(pass->weights_us, weights);
    ck_assert_uint_eq(pass->reclaim_us, reclaim);
    ck_assert_uint_eq(pass->compute_us, compute);
}

START_TEST(tells_what_a_pass_took)
{
    struct gov_pass_account pass;
    struct gov_weights_account all;

    counts = (struct gov__pass_counts){100, 10, true, true, 5000, 700};
    gov__pass_meter_begin(&meter);
    gov__pass_meter_late(&meter, 2);
    wait_until(300, 2, 200);
    wait_until(500, 1, 100);
    now_us = 1001000;
    counts = (struct gov__pass_counts){130, 12, true, true, 9096, 750};
    pass = end_pass();
    expect_times(&pass, 1000, 300, 50, 650);
    ck_assert_uint_eq(pass.minor_faults, 30);
    ck_assert_uint_eq(pass.major_faults, 2);
    ck_assert(pass.read_known && pass.reclaim_known);
    ck_assert_uint_eq(pass.read_bytes, 4096);
    ck_assert_uint_eq(pass.late_units, 1);
    ck_assert_uint_eq(pass.worst_unit, 2);
    all = account();
    ck_assert_mem_eq(&all.last, &pass, sizeof(pass));
    ck_assert_mem_eq(&all.sum, &pass, sizeof(pass));
}
END_TEST

START_TEST(counts_each_pass_by_itself)
{
    struct gov_pass_account pass;
    struct gov_weights_account all;

    counts = (struct gov__pass_counts){0, 0, true, true, 0, 0};
    gov__pass_meter_begin(&meter);
    wait_until(300, 3, 250);
    gov__pass_meter_late(&meter, 3);
    gov__pass_meter_late(&meter, 1);
    now_us += 700;
    counts = (struct gov__pass_counts){7, 5, true, true, 300, 20};
    (void)end_pass();
    gov__pass_meter_begin(&meter);
    wait_until(1200, 0, 40);
    now_us += 60;
    counts = (struct gov__pass_counts){8, 5, true, true, 400, 21};
    pass = end_pass();
    expect_times(&pass, 260, 40, 1, 219);
    ck_assert_uint_eq(pass.late_units, 0);
    ck_assert_uint_eq(pass.worst_unit, 0);
    all = account();
    ck_assert_mem_eq(&all.last, &pass, sizeof(pass));
    expect_times(&all.sum, 1260, 290, 21, 949);
    ck_assert_uint_eq(all.sum.minor_faults, 8);
    ck_assert_uint_eq(all.sum.major_faults, 5);
    ck_assert_uint_eq(all.sum.read_bytes, 400);
    ck_assert_uint_eq(all.sum.late_units, 2);
    ck_assert_uint_eq(all.sum.worst_unit, 3);
    ck_assert(all.sum.read_known && all.sum.reclaim_known);
}
END_TEST

START_TEST(knows_no_pass_before_one_ended)
{
    struct gov_pass_account pass, zero;
    struct gov_weights_account all = account();

    memset(&zero, 0, sizeof(zero));
    memset(&pass, 0xff, sizeof(pass));
    ck_assert(!gov__pass_meter_end(&meter, &pass));
    ck_assert_mem_eq(&pass, &zero, sizeof(pass));
    ck_assert(!gov__pass_meter_end(&meter, NULL));
    expect_times(&all.sum, 0, 0, 0, 0);
    ck_assert_uint_eq(all.last.worst_unit, UINT32_MAX);
    ck_assert_uint_eq(all.sum.worst_unit, UINT32_MAX);
    ck_assert(!all.sum.read_known && !all.sum.reclaim_known);
    gov__pass_meter_begin(&meter);
    now_us += 5;
    ck_assert(gov__pass_meter_end(&meter, NULL));
    ck_assert(!gov__pass_meter_end(&meter, NULL));
    ck_assert_uint_eq(account().sum.pass_us, 5);
    ck_assert_uint_eq(account().last.worst_unit, UINT32_MAX);
}
END_TEST

START_TEST(begins_anew)
{
    struct gov_pass_account pass;

    counts.minor_faults = 10;
    gov__pass_meter_begin(&meter);
    wait_until(100, 1, 90);
    gov__pass_meter_late(&meter, 1);
    counts.minor_faults = 20;
    gov__pass_meter_begin(&meter);
    now_us += 30;
    counts.minor_faults = 21;
    pass = end_pass();
    expect_times(&pass, 30, 0, 0, 30);
    ck_assert_uint_eq(pass.minor_faults, 1);
    ck_assert_uint_eq(pass.late_units, 0);
    ck_assert_uint_eq(pass.worst_unit, UINT32_MAX);
    ck_assert_uint_eq(account().sum.pass_us, 30);
}
END_TEST

/* Waits of several threads: when each ended, and how long it was. */
static const struct {
    const char *name;
    struct {
        uint64_t at, us;
    } waits[5];
    uint64_t want;
} waits[] = {
    {"one", {{50, 20}}, 20},
    {"the same twice", {{50, 20}, {50, 20}}, 20},
    {"apart", {{50, 20}, {90, 10}}, 30},
    {"side by side", {{50, 20}, {60, 10}}, 30},
    {"overlapping", {{50, 20}, {60, 25}}, 30},
    {"within a longer one", {{50, 20}, {60, 40}}, 40},
    {"two within a longer one", {{20, 5}, {50, 20}, {60, 50}}, 50},
    {"over the first of two", {{20, 10}, {50, 20}, {60, 45}}, 50},
    {"over the second of two", {{20, 10}, {50, 20}, {60, 35}}, 45},
    {"from before the pass", {{50, 500}}, 50},
    {"from before the clock", {{50, UINT64_MAX}}, 50},
    {"none", {{50, 0}}, 0},
};

START_TEST(counts_waits_once)
{
    struct gov_pass_account pass;
    uint64_t sum = 0;

    gov__pass_meter_begin(&meter);
    for (int i = 0; i < 5 && waits[_i].waits[i].at != 0; i++) {
        wait_until(waits[_i].waits[i].at, 1, waits[_i].waits[i].us);
        sum += waits[_i].waits[i].us;
    }
    now_us = 1000100;
    pass = end_pass();
    ck_assert_msg(pass.weights_us == waits[_i].want, "%s: %llu, want %llu",
                  waits[_i].name, (unsigned long long)pass.weights_us,
                  (unsigned long long)waits[_i].want);
    ck_assert_uint_eq(pass.compute_us, 100 - waits[_i].want);
    ck_assert_uint_eq(units[1].waited_us, sum);
}
END_TEST

/* More spans than are kept, and then one wait over all: what was forgotten is
 * counted twice, and the pass still holds no more than it took. */
START_TEST(forgets_old_waits)
{
    struct gov_pass_account pass;

    gov__pass_meter_begin(&meter);
    for (uint64_t i = 1; i <= SPANS + 4; i++)
        wait_until(10 * i, 0, 5);
    now_us = 1000000 + 10 * (SPANS + 4);
    ck_assert_uint_eq(meter.waited_us, 5 * (SPANS + 4));
    gov__pass_meter_waited(&meter, 0, 10 * (SPANS + 4));
    pass = end_pass();
    expect_times(&pass, 200, 200, 0, 0);
}
END_TEST

START_TEST(leaves_waits_outside_a_pass_to_the_unit)
{
    struct gov_unit_account unit;
    struct gov_pass_account pass;

    wait_until(0, 3, 70);
    gov__pass_meter_begin(&meter);
    wait_until(10, 2, 5);
    pass = end_pass();
    ck_assert_uint_eq(pass.weights_us, 5);
    ck_assert_uint_eq(pass.worst_unit, 2);
    ck_assert_uint_eq(account().sum.worst_unit, 3);
    ck_assert(gov__pass_meter_unit(&meter, 3, &unit));
    ck_assert_uint_eq(unit.waited_us, 70);
}
END_TEST

START_TEST(never_tells_more_than_the_whole)
{
    struct gov_pass_account pass;

    counts.have_reclaim = true;
    gov__pass_meter_begin(&meter);
    wait_until(80, 0, 80);
    now_us = 1000100;
    counts.reclaim_us = 90;
    pass = end_pass();
    expect_times(&pass, 100, 80, 20, 0);
    gov__pass_meter_begin(&meter);
    gov__pass_meter_waited(&meter, 0, 1);
    counts.reclaim_us = 100;
    pass = end_pass();
    expect_times(&pass, 0, 0, 0, 0);
}
END_TEST

START_TEST(takes_counters_that_go_back)
{
    struct gov_pass_account pass;

    counts = (struct gov__pass_counts){100, 10, true, true, 5000, 700};
    gov__pass_meter_begin(&meter);
    now_us += 10;
    counts = (struct gov__pass_counts){99, 9, true, true, 4999, 699};
    pass = end_pass();
    expect_times(&pass, 10, 0, 0, 10);
    ck_assert_uint_eq(pass.minor_faults + pass.major_faults, 0);
    ck_assert_uint_eq(pass.read_bytes, 0);
    ck_assert(pass.read_known && pass.reclaim_known);
}
END_TEST

/* What is not told at one end is not known: 0 counted there, in its flags, or no
 * answer at all. */
static const struct {
    const char *name;
    int rc[2];
    bool read[2], reclaim[2];
    bool want_faults, want_read, want_reclaim;
} telling[] = {
    {"all", {0, 0}, {true, true}, {true, true}, true, true, true},
    {"reads at the end",
     {0, 0},
     {false, true},
     {true, true},
     true,
     false,
     true},
    {"reads at first", {0, 0}, {true, false}, {true, true}, true, false, true},
    {"reclaim at the end", {0, 0}, {true, true}, {false, true}, true, true, 0},
    {"reclaim at first", {0, 0}, {true, true}, {true, false}, true, true, 0},
    {"nothing at first", {EIO, 0}, {true, true}, {true, true}, 0, 0, 0},
    {"nothing at the end", {0, EIO}, {true, true}, {true, true}, 0, 0, 0},
};

START_TEST(does_not_take_unknown_for_zero)
{
    struct gov_pass_account pass;
    struct gov_weights_account all;

    for (int i = 0; i < 2; i++) {
        uint64_t n = (uint64_t)i * 10;

        counts_rc = telling[_i].rc[i];
        counts = (struct gov__pass_counts){
            50 + n, 60 + n, telling[_i].read[i], telling[_i].reclaim[i],
            70 + n, 80 + n};
        if (i == 0)
            gov__pass_meter_begin(&meter);
        now_us += 500;
    }
    pass = end_pass();
    expect_times(&pass, 1000, 0, telling[_i].want_reclaim ? 10 : 0,
                 telling[_i].want_reclaim ? 990 : 1000);
    ck_assert_uint_eq(pass.minor_faults, telling[_i].want_faults ? 10 : 0);
    ck_assert_uint_eq(pass.major_faults, telling[_i].want_faults ? 10 : 0);
    ck_assert_uint_eq(pass.read_bytes, telling[_i].want_read ? 10 : 0);
    ck_assert_int_eq(pass.read_known, telling[_i].want_read);
    ck_assert_int_eq(pass.reclaim_known, telling[_i].want_reclaim);

    /* A sum is known when all of it is. */
    counts_rc = 0;
    counts.have_read_bytes = counts.have_reclaim = true;
    gov__pass_meter_begin(&meter);
    (void)end_pass();
    all = account();
    ck_assert(all.last.read_known && all.last.reclaim_known);
    ck_assert_int_eq(all.sum.read_known, telling[_i].want_read);
    ck_assert_int_eq(all.sum.reclaim_known, telling[_i].want_reclaim);
}
END_TEST

START_TEST(does_without_counters)
{
    struct gov_pass_account pass;

    table.pass_counts = NULL;
    gov__pass_meter_begin(&meter);
    wait_until(20, 0, 5);
    pass = end_pass();
    expect_times(&pass, 20, 5, 0, 15);
    ck_assert_uint_eq(pass.minor_faults + pass.major_faults, 0);
    ck_assert(!pass.read_known && !pass.reclaim_known);
}
END_TEST

START_TEST(stops_at_the_largest_number)
{
    const uint64_t most = UINT64_MAX;
    struct gov_weights_account all;
    struct gov_unit_account unit;

    now_us = 0;
    for (int i = 0; i < 2; i++) {
        counts = (struct gov__pass_counts){0, 0, true, true, 0, 0};
        gov__pass_meter_begin(&meter);
        atomic_store(&meter.pass_late, UINT32_MAX - 1);
        gov__pass_meter_late(&meter, 0);
        gov__pass_meter_late(&meter, 0);
        gov__pass_meter_waited(&meter, 1, most - 1);
        gov__pass_meter_read(&meter, 1, most - 1);
        /* So that a second pass of the same length can be told. */
        now_us = most - 1;
        counts = (struct gov__pass_counts){most, most, true, true, most, 0};
        ck_assert_uint_eq(end_pass().late_units, UINT32_MAX);
        now_us = 0;
    }
    all = account();
    ck_assert_uint_eq(all.sum.pass_us, most);
    ck_assert_uint_eq(all.sum.compute_us, most);
    ck_assert_uint_eq(all.sum.minor_faults, most);
    ck_assert_uint_eq(all.sum.major_faults, most);
    ck_assert_uint_eq(all.sum.read_bytes, most);
    ck_assert_uint_eq(all.sum.late_units, UINT32_MAX);
    ck_assert(gov__pass_meter_unit(&meter, 1, &unit));
    ck_assert_uint_eq(unit.waited_us, most);
    ck_assert_uint_eq(unit.read_bytes, most);
}
END_TEST

START_TEST(tells_units)
{
    struct gov_unit_account unit, zero;

    memset(&zero, 0, sizeof(zero));
    gov__pass_meter_read(&meter, 2, 4096);
    gov__pass_meter_read(&meter, 2, 100);
    gov__pass_meter_waited(&meter, 2, 9);
    gov__pass_meter_late(&meter, 2);
    ck_assert(gov__pass_meter_unit(&meter, 2, &unit));
    ck_assert_uint_eq(unit.read_bytes, 4196);
    ck_assert_uint_eq(unit.reads, 2);
    ck_assert_uint_eq(unit.waited_us, 9);
    ck_assert_uint_eq(unit.late, 1);
    ck_assert(gov__pass_meter_unit(&meter, 1, &unit));
    ck_assert_mem_eq(&unit, &zero, sizeof(unit));

    /* One that there is not. */
    gov__pass_meter_begin(&meter);
    gov__pass_meter_read(&meter, UNITS, 1);
    gov__pass_meter_late(&meter, UNITS);
    wait_until(50, UINT32_MAX, 9);
    memset(&unit, 0xff, sizeof(unit));
    ck_assert(!gov__pass_meter_unit(&meter, UNITS, &unit));
    ck_assert_mem_eq(&unit, &zero, sizeof(unit));
    ck_assert_uint_eq(end_pass().late_units, 0);
    ck_assert_uint_eq(account().last.weights_us, 0);
}
END_TEST

#define THREADS UINT64_C(4)
#define TURNS UINT64_C(200000)

static atomic_int there;

static void *tell_on(void *arg)
{
    (void)arg;
    atomic_fetch_add(&there, 1);
    while (atomic_load(&there) < (int)THREADS)
        ;
    /* By themselves, since the lock of the first would keep the others apart. */
    for (uint64_t i = 0; i < TURNS / 10; i++)
        gov__pass_meter_waited(&meter, 1, 3);
    for (uint64_t i = 0; i < TURNS; i++)
        gov__pass_meter_late(&meter, 2);
    for (uint64_t i = 0; i < TURNS; i++)
        gov__pass_meter_read(&meter, 3, 5);
    return NULL;
}

START_TEST(listens_to_several_threads)
{
    pthread_t threads[THREADS];
    struct gov_pass_account pass;

    gov__pass_meter_begin(&meter);
    now_us += 100;
    for (uint64_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, tell_on, NULL), 0);
    for (uint64_t i = 0; i < TURNS / 100; i++)
        (void)account();
    for (uint64_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pass = end_pass();
    expect_times(&pass, 100, 3, 0, 97);
    ck_assert_uint_eq(pass.late_units, THREADS * TURNS);
    ck_assert_uint_eq(pass.worst_unit, 1);
    ck_assert_uint_eq(units[1].waited_us, 3 * THREADS * (TURNS / 10));
    ck_assert_uint_eq(units[2].late, THREADS * TURNS);
    ck_assert_uint_eq(units[3].read_bytes, 5 * THREADS * TURNS);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("pass_meter");
    TCase *t = tcase_create("passes");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, tells_what_a_pass_took);
    tcase_add_test(t, counts_each_pass_by_itself);
    tcase_add_test(t, knows_no_pass_before_one_ended);
    tcase_add_test(t, begins_anew);
    tcase_add_loop_test(t, counts_waits_once, 0,
                        (int)(sizeof(waits) / sizeof(*waits)));
    tcase_add_test(t, forgets_old_waits);
    tcase_add_test(t, leaves_waits_outside_a_pass_to_the_unit);
    tcase_add_test(t, never_tells_more_than_the_whole);
    tcase_add_test(t, takes_counters_that_go_back);
    tcase_add_loop_test(t, does_not_take_unknown_for_zero, 0,
                        (int)(sizeof(telling) / sizeof(*telling)));
    tcase_add_test(t, does_without_counters);
    tcase_add_test(t, stops_at_the_largest_number);
    tcase_add_test(t, tells_units);
    tcase_add_test(t, listens_to_several_threads);
    suite_add_tcase(s, t);
    return s;
}
