/* SPDX-License-Identifier: MIT */
/* Actions in slices: how long they go on, what lets passes go, and what it costs. */
#include <sched.h>
#include <sys/resource.h>

#include "tests/unit/relief_fixture.h"

/* ---- how long it goes on ------------------------------------------------------ */

START_TEST(until_it_says_that_there_is_no_more)
{
    struct slicer a = {.name = "a",
                       .offers = 9 * MIB,
                       .says = 2 * MIB,
                       .gives = MIB,
                       .slices = 3};

    add_slicer(&a);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(a.calls, 3);
    ck_assert_uint_eq(a.want.size, sizeof(a.want));
    ck_assert_int_eq(a.want.level, WARN);
    ck_assert_uint_eq(a.want.bytes, 0); /* nobody knows how much is enough */
    ck_assert_uint_eq(a.want.slice_us, 2000);
    ck_happened("event warn: simulated\n"
                "event a gave back 3072 KiB of 9216 KiB offered; it says "
                "6144 KiB\n");
    ck_assert_uint_eq(state_of("a").runs, 1);
    ck_assert_uint_eq(state_of("a").claimed_bytes, 6 * MIB);
    ck_assert_uint_eq(state_of("a").measured_bytes, 3 * MIB);
    ck_assert_uint_eq(state_of("a").rest_ms, 5000);
}
END_TEST

START_TEST(until_what_is_missing_is_given)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = 100 * MIB,
                       .gives = 100 * MIB,
                       .slices = -1};

    add_slicer(&a);
    headroom_permille(100); /* 160 let go: 250 MiB are wanted */
    turn(250);
    ck_assert_int_eq(a.calls, 3);
    ck_assert_uint_lt(a.want.bytes, 51 * MIB);
    ck_assert_uint_gt(a.want.bytes, 40 * MIB);
    ck_assert_uint_eq(state_of("a").measured_bytes, 300 * MIB);
}
END_TEST

static void falls_calm(struct slicer *s, const char *where)
{
    if (strcmp(where, "relieve") != 0 || s->calls != 2)
        return;
    pthread_mutex_lock(&rt->lock);
    rt->machine.calm = true;
    pthread_mutex_unlock(&rt->lock);
}

START_TEST(until_evidence_is_calm)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .slices = -1,
                       .inside = falls_calm};

    add_slicer(&a);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(a.calls, 3);
    ck_assert_uint_eq(state_of("a").runs, 1);
}
END_TEST

/* One that always says that it gave goes on at the next turn, and rests not in
 * between; where the level falls before that it is told then. */
START_TEST(not_for_ever)
{
    struct slicer a = {
        .name = "a", .offers = GIB, .says = MIB, .gives = MIB, .slices = -1};
    struct slicer b = {.name = "b", .cost = 1, .offers = GIB, .slices = 0};
    int first;

    add_slicer(&a);
    add_slicer(&b);
    simulate(WARN);
    turn(250);
    first = a.calls;
    ck_assert_int_eq(first, 50);
    turn(250);
    ck_assert_int_eq(a.calls, 100);
    ck_assert_uint_eq(state_of("a").runs, 0);
    ck_happened("event warn: simulated\n"
                "event b gave back 0 KiB of 1048576 KiB offered; it says "
                "0 KiB\n");
    if (_i == 0)
        simulate(NORMAL);
    else
        a.offers = 0; /* and nobody asks it again */
    turn(_i == 0 ? 250 : 999);
    ck_assert_uint_eq(state_of("a").runs, _i == 0);
    turn(1);
    ck_assert_uint_eq(state_of("a").runs, 1);
    ck_assert_uint_eq(state_of("a").measured_bytes, (uint64_t)a.calls * MIB);
}
END_TEST

/* 100 ms of a turn, if slices are long. */
START_TEST(no_longer_than_a_look)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .takes_us = 60000,
                       .slices = -1};

    add_slicer(&a);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(a.calls, 2);
    turn(250);
    ck_assert_int_eq(a.calls, 4);
}
END_TEST

/* Whatever it says: what is seen counts. */
START_TEST(a_liar_ends)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = MIB,
                       .slices = -1,
                       .settle_ms = _i == 0 ? 0 : 10};

    gov_on_event(rt, NULL, NULL);
    add_slicer(&a);
    simulate(WARN);
    for (int i = 1; i <= 3; i++) {
        turn(30000);
        ck_assert_int_eq(a.calls, 50 * i);
        turn(250); /* and what it set on its way does not come */
        ck_assert_int_eq(a.calls, 50 * i);
        ck_assert_uint_eq(state_of("a").runs, (uint32_t)i);
    }
    ck_assert(state_of("a").retired);
}
END_TEST

static void is_calm_already(struct slicer *s, const char *where)
{
    (void)s;
    if (strcmp(where, "offer") != 0)
        return;
    pthread_mutex_lock(&rt->lock);
    rt->machine.calm = true;
    pthread_mutex_unlock(&rt->lock);
}

/* No slice, no event. */
START_TEST(not_where_it_is_calm_meanwhile)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .slices = -1,
                       .between_passes = true,
                       .inside = is_calm_already};

    add_slicer(&a);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(a.calls, 0);
    ck_assert(!rt->slots[0].account.open);
    ck_assert(!rt->exclusive);
    ck_happened("event warn: simulated\n");
}
END_TEST

/* ---- passes ---------------------------------------------------------------------- */

/* The engine's thread gives a slice's time, and the rest at its next end. */
START_TEST(a_slice_at_the_end_of_a_pass)
{
    struct slicer a = {.name = "a",
                       .between_passes = true,
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .takes_us = 1200,
                       .slices = 5};

    add_slicer(&a);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    ck_assert_int_eq(a.calls, 0);
    for (int pass = 1; pass <= 2; pass++) {
        gov_pass_end(rt);
        ck_assert_int_eq(a.calls, 2 * pass);
        ck_assert_uint_eq(a.want.slice_us, 800); /* what is left of it */
        ck_assert(rt->pending);
        ck_assert_uint_eq(state_of("a").runs, 0);
        gov_pass_begin(rt);
    }
    gov_pass_end(rt);
    ck_assert_int_eq(a.calls, 5);
    ck_happened("event warn: simulated\n"
                "event a gave back 5120 KiB of 1048576 KiB offered; it says "
                "5120 KiB\n");
}
END_TEST

/* The prompt of a large model takes longer than a second. */
START_TEST(what_waits_for_a_long_pass_goes_on_after_it)
{
    struct slicer a = {.name = "a",
                       .between_passes = true,
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .takes_us = 2000,
                       .slices = 2};

    add_slicer(&a);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    gov_pass_end(rt);
    ck_assert_int_eq(a.calls, 1);
    gov_pass_begin(rt);
    turn(10000);
    ck_assert_uint_eq(state_of("a").runs, 0);
    gov_pass_end(rt);
    gov_pass_begin(rt);
    gov_pass_end(rt);
    ck_assert_int_eq(a.calls, 2);
    ck_assert_uint_eq(state_of("a").runs, 1);
}
END_TEST

/* A run() is not cut short, but nothing follows it in the same end. */
START_TEST(one_long_run_at_the_end_of_a_pass)
{
    struct slicer a = {.name = "a",
                       .whole = true,
                       .between_passes = true,
                       .offers = GIB,
                       .gives = MIB,
                       .takes_us = 3000};
    struct slicer b = a;

    b.name = "b";
    b.cost = 1;
    add_slicer(&a);
    add_slicer(&b);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    watch_wakes();
    gov_pass_end(rt);
    ck_assert_int_eq(a.calls, 1);
    ck_assert_int_eq(b.calls, 0);
    ck_assert_int_eq(wakes(), 0); /* the next pass ends soon */
    gov_pass_begin(rt);
    gov_pass_end(rt);
    ck_assert_int_eq(b.calls, 1);
}
END_TEST

static void wait_in_first(struct slicer *s, const char *where)
{
    if (strcmp(where, "relieve") != 0)
        return;
    note("slice", "");
    if (s->calls > 0)
        return;
    gate_open(&gate, 1);
    gate_wait(&gate, 2);
}

START_TEST(a_pass_goes_on_between_two_slices)
{
    struct slicer a = {.name = "a",
                       .between_passes = true,
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .slices = 2,
                       .inside = wait_in_first};
    pthread_t stepper, engine;

    gov_on_event(rt, NULL, NULL);
    gate.stage = 0;
    add_slicer(&a);
    simulate(WARN);
    stepper = start(step_once, NULL);
    gate_wait(&gate, 1);
    engine = start(one_pass, NULL);
    while (passes() == 0)
        sched_yield();
    gate_open(&gate, 2);
    gate_wait(&gate, 3); /* it is in the pass, and the run is not over */
    pthread_join(stepper, NULL);
    ck_assert_int_eq(a.calls, 1);
    gate_open(&gate, 4);
    pthread_join(engine, NULL);
    ck_assert_int_eq(a.calls, 2);
    ck_happened("slice\npass\nslice\nslice\n");
}
END_TEST

/* ---- who is there ------------------------------------------------------------------ */

START_TEST(the_list)
{
    struct slicer a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};
    struct gov_relief_state states[3];

    ck_assert_uint_eq(gov_relief_list(NULL, states, 3), 0);
    ck_assert_uint_eq(gov_relief_list(rt, states, 3), 0);
    add_slicer(&a);
    add_slicer(&b);
    gov_relief_remove(rt, a.id);
    add_slicer(&c); /* in the first slot */
    add_slicer(&a);
    ck_assert_uint_eq(gov_relief_list(rt, NULL, 0), 3);
    memset(states, 0xff, sizeof(states));
    ck_assert_uint_eq(gov_relief_list(rt, states, 2), 3);
    ck_assert_uint_eq(states[0].size, sizeof(states[0]));
    ck_assert_str_eq(states[0].name, "b");
    ck_assert_str_eq(states[1].name, "c");
    ck_assert_uint_eq(states[2].size, SIZE_MAX);
    ck_assert(!states[0].running && !states[0].overdue && !states[0].retired);
}
END_TEST

/* ---- what it costs ------------------------------------------------------------------ */

static long major_before, faults_inside;

static void count_faults(struct slicer *s, const char *where)
{
    struct rusage now;

    (void)s;
    if (strcmp(where, "relieve") != 0)
        return;
    getrusage(RUSAGE_THREAD, &now);
    faults_inside = now.ru_minflt - major_before;
}

/* From the level that was judged to the action: no allocation, and no page of its
 * own that was not touched while all was calm. */
START_TEST(relief_takes_no_memory)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .slices = 1,
                       .lacks = 1,
                       .inside = count_faults};
    struct rusage now;

    gov_on_event(rt, NULL, NULL);
    add_slicer(&a);
    turn(250);
    simulate(WARN); /* what the dynamic linker binds lazily is bound now */
    turn(250);
    simulate(NORMAL);
    turn(250);
    turn(30000);
    a.slices = 1;
    simulate(WARN);
    faults_reset();
    faults_arm(0, true); /* whatever allocates, fails */
    getrusage(RUSAGE_THREAD, &now);
    major_before = now.ru_minflt;
    turn(250);
    ck_assert_uint_eq(faults_count(), 0);
    faults_reset();
    ck_assert_int_eq(a.calls, 2);
    /* Theirs are frames on a heap, or shadows of ours. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_int_eq(faults_inside, 0);
#endif
}
END_TEST

#define ADD(tc, name) tcase_add_test(tc, name)

Suite *suite(void)
{
    Suite *s = suite_create("relief_slices");
    TCase *tc = tcase_create("slices");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    ADD(tc, until_it_says_that_there_is_no_more);
    ADD(tc, until_what_is_missing_is_given);
    ADD(tc, until_evidence_is_calm);
    tcase_add_loop_test(tc, not_for_ever, 0, 2);
    ADD(tc, no_longer_than_a_look);
    tcase_add_loop_test(tc, a_liar_ends, 0, 2);
    ADD(tc, not_where_it_is_calm_meanwhile);
    ADD(tc, a_slice_at_the_end_of_a_pass);
    ADD(tc, what_waits_for_a_long_pass_goes_on_after_it);
    ADD(tc, one_long_run_at_the_end_of_a_pass);
    ADD(tc, a_pass_goes_on_between_two_slices);
    ADD(tc, the_list);
    ADD(tc, relief_takes_no_memory);
    suite_add_tcase(s, tc);
    return s;
}
