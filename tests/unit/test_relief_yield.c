/* SPDX-License-Identifier: MIT */
/* What an action is believed to have given: measured, by and by, beside others; what
 * is done with one that gives nothing. */
#include "tests/unit/relief_fixture.h"

static void hear_nothing(void)
{
    gov_on_event(rt, NULL, NULL);
}

/* ---- by which counter ---------------------------------------------------------- */

static void note_measure(void *ctx, const struct gov_event *event)
{
    if (event->kind == GOV_EVENT_RELIEF)
        *(int *)ctx = (int)event->measure;
}

START_TEST(footprint_or_resident)
{
    int told = -1;
    struct slicer a = {.name = "a",
                       .whole = true,
                       .measure =
                           _i == 0 ? GOV_RELIEF_FOOTPRINT : GOV_RELIEF_RESIDENT,
                       .offers = GIB,
                       .gives = 3 * MIB,
                       .gives_file = 5 * MIB};

    sim.process.resident_file_bytes = GIB;
    gov_on_event(rt, note_measure, &told);
    add_slicer(&a);
    simulate(WARN);
    turn(250);
    ck_assert_uint_eq(state_of("a").measured_bytes,
                      _i == 0 ? 3 * MIB : 8 * MIB);
    ck_assert_int_eq(told, (int)a.measure);
    hear_nothing();
}
END_TEST

START_TEST(no_other_measure)
{
    struct gov_relief relief = gov_relief_default();
    uint32_t id;

    relief.name = "a";
    relief.offer = slicer_offer;
    relief.run = slicer_run;
    relief.measure = (enum gov_relief_measure)2;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "relief action a asks for measure 2, which there is none "
                     "of; use GOV_RELIEF_FOOTPRINT or GOV_RELIEF_RESIDENT");
}
END_TEST

/* An action that claims more than there are numbers. */
START_TEST(claims_do_not_overflow)
{
    struct slicer a = {.name = "a",
                       .offers = UINT64_MAX,
                       .says = UINT64_MAX,
                       .gives = MIB,
                       .slices = 3};

    hear_nothing();
    add_slicer(&a);
    for (int i = 0; i < 2; i++) {
        simulate(WARN);
        turn(60000);
        simulate(NORMAL);
        turn(250);
        a.slices = 3;
    }
    ck_assert_uint_eq(state_of("a").claimed_bytes, UINT64_MAX);
    ck_assert_uint_eq(state_of("a").measured_bytes, 6 * MIB);
}
END_TEST

/* ---- what comes by and by ---------------------------------------------------------- */

static struct slicer settles(const char *name)
{
    return (struct slicer){.name = name,
                           .settle_ms = 2000,
                           .offers = GIB,
                           .says = 100 * MIB,
                           .slices = 1};
}

/* It is told when its time is over, and does not run meanwhile. */
START_TEST(measured_until_its_time_is_over)
{
    struct slicer a = settles("a");

    add_slicer(&a);
    simulate(WARN);
    turn(250);
    a.slices = 1;
    ck_happened("event warn: simulated\n");
    sim_grow(&sim, -(int64_t)(30 * MIB));
    turn(1000);
    ck_happened("");
    sim_grow(&sim, -(int64_t)(30 * MIB));
    turn(999);
    ck_happened("");
    turn(1);
    ck_happened("event a gave back 61440 KiB of 1048576 KiB offered; it says "
                "102400 KiB\n");
    ck_assert_int_eq(a.slices, 1);
    ck_assert_uint_eq(state_of("a").rest_ms, 30000); /* a tenth is 102 MiB */
}
END_TEST

START_TEST(or_until_it_is_what_was_claimed)
{
    struct slicer a = settles("a");

    add_slicer(&a);
    simulate(WARN);
    turn(250);
    sim_grow(&sim, -(int64_t)(130 * MIB)); /* not all of it is its own */
    turn(250);
    ck_happened("event warn: simulated\n"
                "event a gave back 102400 KiB of 1048576 KiB offered; it says "
                "102400 KiB\n");
}
END_TEST

/* Growth hides what it gives: the most that was seen counts. */
START_TEST(the_most_that_was_seen_counts)
{
    struct slicer a = settles("a");

    hear_nothing();
    add_slicer(&a);
    simulate(WARN);
    turn(250);
    sim_grow(&sim, -(int64_t)(50 * MIB));
    turn(250);
    sim_grow(&sim, 80 * MIB);
    turn(2000);
    ck_assert_uint_eq(state_of("a").measured_bytes, 50 * MIB);
}
END_TEST

/* What it claims counts as given meanwhile, unless it gave nothing the last time. */
START_TEST(nobody_runs_for_what_is_on_its_way)
{
    struct slicer a = settles("a");
    struct slicer b = {
        .name = "b", .cost = 9, .whole = true, .offers = GIB, .gives = MIB};

    hear_nothing();
    a.says = 300 * MIB; /* 250 are wanted */
    add_slicer(&a);
    add_slicer(&b);
    pthread_mutex_lock(&rt->lock);
    rt->slots[0].barren = _i == 0 ? 0 : 1;
    pthread_mutex_unlock(&rt->lock);
    headroom_permille(100);
    turn(250);
    turn(250);
    ck_assert_int_eq(a.calls, 1);
    ck_assert_int_eq(b.calls, _i);
    turn(1750); /* none of it came */
    ck_assert_int_eq(b.calls, 1);
}
END_TEST

/* Nor does one that runs go on for it. */
START_TEST(a_slice_is_asked_for_what_does_not_come)
{
    struct slicer a = settles("a");
    struct slicer b = {.name = "b",
                       .cost = 9,
                       .offers = GIB,
                       .says = 100 * MIB,
                       .gives = 100 * MIB,
                       .slices = -1};

    hear_nothing();
    a.says = 200 * MIB; /* of 250, about */
    add_slicer(&a);
    add_slicer(&b);
    headroom_permille(100);
    turn(250);
    ck_assert_int_eq(b.calls, 1);
    ck_assert_uint_gt(b.want.bytes, 30 * MIB);
    ck_assert_uint_lt(b.want.bytes, 60 * MIB);
}
END_TEST

START_TEST(its_own_word_ends_its_slices_if_it_is_believed)
{
    struct slicer a = settles("a");

    hear_nothing();
    a.says = 300 * MIB;
    a.slices = 3;
    add_slicer(&a);
    pthread_mutex_lock(&rt->lock);
    rt->slots[0].barren = _i == 0 ? 0 : 1;
    pthread_mutex_unlock(&rt->lock);
    headroom_permille(100);
    turn(250);
    ck_assert_int_eq(a.calls, _i == 0 ? 1 : 3);
}
END_TEST

/* One that is seen by another counter has all that it gives; by the same, no more
 * than it says. What it has the one that settles has not. */
START_TEST(one_runs_while_another_settles)
{
    static const struct {
        enum gov_relief_measure settles, runs;
        uint64_t says, a, b;
    } rows[] = {
        {GOV_RELIEF_RESIDENT, GOV_RELIEF_FOOTPRINT, 1, 60, 20},
        {GOV_RELIEF_FOOTPRINT, GOV_RELIEF_FOOTPRINT, 5, 60, 5},
        {GOV_RELIEF_FOOTPRINT, GOV_RELIEF_RESIDENT, 5, 60, 5},
        {GOV_RELIEF_RESIDENT, GOV_RELIEF_RESIDENT, 50, 60, 20},
    };
    struct slicer a = settles("a"), b = {.name = "b",
                                         .cost = 9,
                                         .offers = GIB,
                                         .says = rows[_i].says * MIB,
                                         .gives = 20 * MIB,
                                         .slices = 1};

    hear_nothing();
    sim.process.resident_file_bytes = GIB;
    a.measure = rows[_i].settles;
    b.measure = rows[_i].runs;
    add_slicer(&a);
    add_slicer(&b);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(a.calls, 1);
    ck_assert_int_eq(b.calls, 1);
    ck_assert_uint_eq(state_of("b").measured_bytes, rows[_i].b * MIB);
    if (rows[_i].settles == GOV_RELIEF_RESIDENT)
        sim_grow_file(-(int64_t)((40 + rows[_i].b) * MIB));
    else
        sim_grow(&sim, -(int64_t)((40 + rows[_i].b) * MIB));
    turn(2000);
    /* Of what fell while it settled, all but what b is believed. */
    ck_assert_uint_eq(state_of("a").measured_bytes, rows[_i].a * MIB);
}
END_TEST

/* What came once is not given twice. */
START_TEST(two_settle_at_once)
{
    struct slicer a = settles("a"), b = settles("b");

    hear_nothing();
    b.cost = 9;
    b.gives = 10 * MIB;
    add_slicer(&a);
    add_slicer(&b);
    simulate(WARN);
    turn(250);
    sim_grow(&sim, -(int64_t)(60 * MIB));
    turn(250);
    sim_grow(&sim, -(int64_t)(60 * MIB));
    turn(2000);
    ck_assert_uint_eq(state_of("a").measured_bytes, 100 * MIB);
    ck_assert_uint_eq(state_of("b").measured_bytes, 30 * MIB);
}
END_TEST

/* Footprint is in resident, too. */
START_TEST(two_settle_by_two_counters)
{
    struct slicer a = settles("a"), b = settles("b");

    hear_nothing();
    b.measure = GOV_RELIEF_RESIDENT;
    sim.process.resident_file_bytes = GIB;
    add_slicer(&a);
    add_slicer(&b);
    simulate(WARN);
    turn(250);
    sim_grow(&sim, -(int64_t)(60 * MIB));
    sim_grow_file(-(int64_t)(20 * MIB));
    turn(250);
    turn(2000);
    ck_assert_uint_eq(state_of("a").measured_bytes, 60 * MIB);
    ck_assert_uint_eq(state_of("b").measured_bytes, 20 * MIB);
}
END_TEST

/* What still comes may be enough: nothing is destroyed before that is known. Of one
 * that gave nothing the last time it is. */
START_TEST(nothing_is_destroyed_while_it_settles)
{
    struct slicer a = settles("a");
    struct slicer b = {.name = "b",
                       .cost = 9,
                       .destructive = true,
                       .whole = true,
                       .offers = GIB,
                       .gives = MIB};

    hear_nothing();
    add_slicer(&a);
    add_slicer(&b);
    pthread_mutex_lock(&rt->lock);
    rt->slots[0].barren = _i == 0 ? 0 : 1;
    pthread_mutex_unlock(&rt->lock);
    headroom_permille(30);
    turn(250);
    turn(250);
    ck_assert_int_eq(gov_level_now(rt), CRITICAL);
    ck_assert_int_eq(b.calls, _i);
    turn(2000); /* it settled, and gave nothing */
    turn(250);
    ck_assert_int_eq(b.calls, 1);
}
END_TEST

START_TEST(who_settles_does_not_regrow)
{
    struct slicer a = settles("a");
    const struct gov_relief_rules rules = {.regrow = {0, 100, 0}};

    hear_nothing();
    put_relief(&rules);
    add_slicer(&a);
    simulate(WARN);
    turn(250);
    simulate(NORMAL);
    turn(250);
    turn(1000);
    ck_assert_int_eq(a.regrows, 0);
    turn(1000);
    ck_assert_int_eq(a.regrows, 1);
}
END_TEST

static void remove_now(struct slicer *s)
{
    gov_relief_remove(rt, s->id);
}

START_TEST(who_leaves_while_it_settles)
{
    struct slicer a = settles("a");

    add_slicer(&a);
    simulate(WARN);
    turn(250);
    remove_now(&a);
    turn(5000);
    ck_happened("event warn: simulated\n");
}
END_TEST

START_TEST(settling_has_an_end)
{
    struct slicer a = settles("a");

    hear_nothing();
    a.settle_ms = UINT32_MAX;
    add_slicer(&a);
    simulate(WARN);
    turn(250);
    turn(9999);
    ck_assert_uint_eq(state_of("a").runs, 0);
    turn(1);
    ck_assert_uint_eq(state_of("a").runs, 1);
}
END_TEST

/* ---- who gives nothing ------------------------------------------------------------ */

static void notices(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    if (event->kind == GOV_EVENT_NOTICE)
        note("", event->text);
}

static void three_in_vain(struct slicer *a)
{
    gov_on_event(rt, notices, NULL);
    add_slicer(a);
    simulate(WARN);
    turn(250);
    turn(30000);
    ck_happened("");
    ck_assert_uint_eq(state_of("a").barren, 2);
    turn(30000);
    ck_assert_int_eq(a->calls, 3);
}

START_TEST(three_times_nothing)
{
    struct slicer a = {
        .name = "a", .whole = true, .offers = GIB, .gives = 4095};

    three_in_vain(&a);
    ck_happened("a gave nothing 3 times in a row: it does not run again until "
                "the level is normal; see to what it offers, or remove it\n");
    ck_assert(state_of("a").retired);
    turn(30000);
    simulate(CRITICAL); /* a rising level ends every rest but this */
    turn(250);
    turn(60000);
    ck_assert_int_eq(a.calls, 3);
    simulate(NORMAL);
    turn(250);
    ck_assert(!state_of("a").retired);
    ck_assert_uint_eq(state_of("a").barren, 0);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(a.calls, 4);
    ck_happened("");
}
END_TEST

START_TEST(a_page_is_something)
{
    struct slicer a = {
        .name = "a", .whole = true, .offers = GIB, .gives = 4095};

    gov_on_event(rt, notices, NULL);
    add_slicer(&a);
    simulate(WARN);
    turn(250);
    turn(30000);
    a.gives = 4096;
    turn(30000);
    ck_assert_uint_eq(state_of("a").barren, 0);
    ck_happened("");
}
END_TEST

/* Nobody knows: neither something nor nothing. */
START_TEST(what_cannot_be_measured_is_not_barren)
{
    struct slicer a = {.name = "a", .whole = true, .offers = GIB};

    hear_nothing();
    add_slicer(&a);
    sim.process_rc = 5;
    simulate(WARN);
    for (int i = 0; i < 5; i++)
        turn(30000);
    ck_assert_int_eq(a.calls, 5);
    ck_assert_uint_eq(state_of("a").barren, 0);
}
END_TEST

#define ADD(tc, name) tcase_add_test(tc, name)

Suite *suite(void)
{
    Suite *s = suite_create("relief_yield");
    TCase *tc = tcase_create("yield");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, footprint_or_resident, 0, 2);
    ADD(tc, no_other_measure);
    ADD(tc, claims_do_not_overflow);
    ADD(tc, measured_until_its_time_is_over);
    ADD(tc, or_until_it_is_what_was_claimed);
    ADD(tc, the_most_that_was_seen_counts);
    tcase_add_loop_test(tc, nobody_runs_for_what_is_on_its_way, 0, 2);
    ADD(tc, a_slice_is_asked_for_what_does_not_come);
    tcase_add_loop_test(tc, its_own_word_ends_its_slices_if_it_is_believed, 0,
                        2);
    tcase_add_loop_test(tc, one_runs_while_another_settles, 0, 4);
    ADD(tc, two_settle_at_once);
    ADD(tc, two_settle_by_two_counters);
    tcase_add_loop_test(tc, nothing_is_destroyed_while_it_settles, 0, 2);
    ADD(tc, who_settles_does_not_regrow);
    ADD(tc, who_leaves_while_it_settles);
    ADD(tc, settling_has_an_end);
    ADD(tc, three_times_nothing);
    ADD(tc, a_page_is_something);
    ADD(tc, what_cannot_be_measured_is_not_barren);
    suite_add_tcase(s, tc);
    return s;
}
