/* SPDX-License-Identifier: MIT */
/* Callbacks of actions: what one may do inside, and what one that does not return
 * holds up. */
#include <sched.h>

#include "tests/unit/relief_fixture.h"

/* ---- inside a callback -------------------------------------------------------------- */

static const char *const callbacks[] = {"leave",     "offer",       "relieve",
                                        "regrow_by", "regrow_stop", "budget",
                                        "run",       "regrow"};
static const char *wanted_callback;

static void remove_self(struct slicer *s, const char *where)
{
    if (strcmp(where, wanted_callback) == 0) {
        note("removes itself in ", where);
        gov_relief_remove(rt, s->id);
        gov_relief_remove(rt, s->id);
        ck_assert_uint_eq(gov_relief_list(rt, NULL, 0), 0);
    }
}

static void go_through_all(void)
{
    gov_set_budget(rt, 3 * GIB);
    simulate(WARN);
    turn(250);
    simulate(NORMAL);
    turn(250);
    turn(20000);
    simulate(WARN);
    turn(250);
    turn(250);
}

START_TEST(an_action_removes_itself)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .lacks = GIB,
                       .slices = 2,
                       .whole = _i >= 6,
                       .inside = remove_self};
    struct slicer b = {.name = "b", .offers = MIB};
    char told[64];

    wanted_callback = callbacks[_i];
    gov_on_event(rt, NULL, NULL);
    add_slicer(&a);
    go_through_all();
    snprintf(told, sizeof(told), "removes itself in %s\n", wanted_callback);
    ck_happened(told);
    ck_assert_uint_eq(gov_relief_list(rt, NULL, 0), 0);
    ck_assert_uint_eq(rt->slots[0].id, 0);
    add_slicer(&b); /* its place is free */
    ck_assert_uint_eq(rt->slots[0].id, b.id);
}
END_TEST

static void reenter(struct slicer *s, const char *where)
{
    struct gov_relief_state state[2];
    char text[256];

    (void)s;
    (void)where;
    gov_pass_begin(rt);
    gov_step(rt);
    gov_pass_end(rt);
    gov_describe(rt, text, sizeof(text));
    ck_assert_uint_eq(gov_relief_list(rt, state, 2), 1);
    ck_assert(state[0].running);
    ck_assert(!gov__relief_overdue(rt, sim.now_us));
}

START_TEST(a_callback_reenters)
{
    struct slicer a = {.name = "a",
                       .between_passes = true,
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .lacks = GIB,
                       .slices = 2,
                       .whole = _i == 1,
                       .inside = reenter};

    add_slicer(&a);
    go_through_all();
    ck_assert_int_gt(a.calls, 0);
    ck_assert_int_gt(a.regrows, 0);
    ck_assert_int_gt(a.stops, 0);
    ck_assert_int_gt(a.budgets, 0);
    ck_assert_uint_eq(passes(), 0);
    ck_assert(!rt->exclusive);
    ck_assert(!rt->relieving);
}
END_TEST

/* ---- a callback that does not return ------------------------------------------------- */

static void block(struct slicer *s, const char *where)
{
    (void)s;
    if (strcmp(where, wanted_callback) != 0)
        return;
    gate_open(&gate, 1);
    gate_wait(&gate, 2);
}

static void *go_through(void *arg)
{
    (void)arg;
    go_through_all();
    return NULL;
}

/* As the thread does that takes over. */
static void take_over(void)
{
    const struct gov_evidence nothing = {0};

    gov__relief_sample(rt, &nothing, NORMAL, "");
    gov__relief_run(rt, GOV__IN_STEP);
    gov__relief_regrow(rt);
}

/* Whatever callback it is, others go on, and it is one of them when it returns. */
START_TEST(who_does_not_return_is_left_out)
{
    const bool whole = _i >= 6;
    const uint64_t patience_us = whole ? 1000000 : 250000;
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = 64 << 10,
                       .gives = 64 << 10,
                       .cost = 9,
                       .lacks = GIB,
                       .slices = -1,
                       .whole = whole,
                       .inside = block};
    struct slicer b = {
        .name = "b", .cost = 0, .whole = true, .offers = GIB, .gives = MIB};
    char told[160];
    pthread_t thread;
    int before;

    wanted_callback = callbacks[_i];
    gate.stage = 0;
    add_slicer(&a);
    add_slicer(&b);
    gov_on_event(rt, on_event, NULL);
    thread = start(go_through, NULL);
    gate_wait(&gate, 1);
    happened[0] = '\0';
    ck_assert(state_of("a").running);
    ck_assert(!gov__relief_overdue(rt, sim.now_us + patience_us));
    ck_assert(gov__relief_overdue(rt, sim.now_us + patience_us + 1));
    ck_assert(!gov__relief_overdue(rt, sim.now_us + 10 * patience_us));
    ck_assert(state_of("a").overdue);
    ck_assert(!state_of("b").overdue);
    pthread_mutex_lock(&rt->lock);
    rt->machine.level = WARN;
    rt->machine.calm = false;
    atomic_store(&rt->level, WARN);
    rt->wanted_bytes = 0;
    pthread_mutex_unlock(&rt->lock);
    sim_advance_ms(&sim, 60000);
    before = b.calls;
    take_over();
    ck_assert_int_eq(b.calls, before + 1);
    snprintf(told, sizeof(told),
             "event %s() of a has not returned for %d ms: relief goes on "
             "without it; see what it waits for\n",
             wanted_callback, whole ? 1000 : 250);
    ck_assert_msg(strncmp(happened, told, strlen(told)) == 0, "%s", happened);
    a.inside = NULL;
    gate_open(&gate, 2);
    pthread_join(thread, NULL);
    ck_assert(!state_of("a").overdue);
    ck_assert(!rt->relieving);
    before = a.calls;
    sim_advance_ms(&sim, 1200000);
    simulate(CRITICAL);
    turn(250);
    ck_assert_int_gt(a.calls, before);
}
END_TEST

/* Its turn is over, and the one that another thread has is not touched: neither
 * ended, nor is what it holds let go. */
START_TEST(who_returns_late_leaves_the_new_turn_alone)
{
    struct slicer a = {.name = "a",
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .slices = -1,
                       .inside = block};
    pthread_t thread;
    uint64_t turn_then;

    wanted_callback = "relieve";
    gate.stage = 0;
    add_slicer(&a);
    simulate(WARN);
    thread = start(step_once, NULL);
    gate_wait(&gate, 1);
    ck_assert(gov__relief_overdue(rt, sim.now_us + 250001));
    pthread_mutex_lock(&rt->lock);
    turn_then = gov__turn_take_locked(rt, GOV__LANE_TURN);
    pthread_mutex_unlock(&rt->lock);
    ck_assert_uint_ne(turn_then, 0);
    happened[0] = '\0';
    a.inside = NULL;
    gate_open(&gate, 2);
    pthread_join(thread, NULL);
    ck_assert(rt->relieving);
    ck_assert(gov__turn_mine(rt, turn_then));
    ck_assert_int_eq(a.calls, 1);
    ck_happened("event a ran; what it gave back cannot be measured\n");
    ck_assert_uint_eq(state_of("a").barren, 0);
    gov__turn_over(rt, turn_then);
    ck_assert(!rt->relieving);
}
END_TEST

/* Passes wait for it; relief that need not does not. */
START_TEST(who_does_not_return_between_passes_holds_passes)
{
    struct slicer a = {.name = "a",
                       .between_passes = true,
                       .offers = GIB,
                       .says = MIB,
                       .gives = MIB,
                       .slices = -1,
                       .inside = block};
    struct slicer b = {.name = "b",
                       .between_passes = true,
                       .cost = 1,
                       .whole = true,
                       .offers = GIB,
                       .gives = MIB};
    struct slicer c = {
        .name = "c", .cost = 2, .whole = true, .offers = GIB, .gives = MIB};
    pthread_t thread, engine;

    wanted_callback = "relieve";
    gate.stage = 0;
    add_slicer(&a);
    add_slicer(&b);
    add_slicer(&c);
    simulate(WARN);
    thread = start(step_once, NULL);
    gate_wait(&gate, 1);
    ck_assert(gov__relief_overdue(rt, sim.now_us + 250001));
    happened[0] = '\0';
    take_over();
    ck_assert_msg(strstr(happened, "goes on without it, and passes wait; see"),
                  "%s", happened);
    ck_assert_int_eq(b.calls, 0);
    ck_assert_int_eq(c.calls, 1);
    gov_on_event(rt, NULL, NULL);
    engine = start(one_pass, NULL);
    while (passes() == 0)
        sched_yield();
    ck_assert(rt->exclusive);
    a.inside = NULL;
    gate_open(&gate, 2);
    gate_wait(&gate, 3);
    pthread_join(thread, NULL);
    ck_assert(!rt->exclusive);
    ck_assert(!rt->turn.exclusive_late);
    gate_open(&gate, 4);
    pthread_join(engine, NULL);
    take_over();
    ck_assert_int_eq(b.calls, 1);
}
END_TEST

/* A second model is not unloaded because the first one takes long. */
START_TEST(nothing_else_is_destroyed_meanwhile)
{
    struct slicer a = {.name = "a",
                       .destructive = true,
                       .whole = true,
                       .offers = GIB,
                       .gives = MIB,
                       .inside = block};
    struct slicer b = {.name = "b",
                       .destructive = true,
                       .cost = 1,
                       .whole = true,
                       .offers = GIB,
                       .gives = MIB};
    pthread_t thread;

    wanted_callback = "run";
    gate.stage = 0;
    add_slicer(&a);
    add_slicer(&b);
    simulate(CRITICAL);
    thread = start(step_once, NULL);
    gate_wait(&gate, 1);
    ck_assert(gov__relief_overdue(rt, sim.now_us + 1000001));
    take_over();
    ck_assert_int_eq(b.calls, 0);
    a.inside = NULL;
    gate_open(&gate, 2);
    pthread_join(thread, NULL);
    take_over();
    ck_assert_int_eq(b.calls, 1);
}
END_TEST

/* As it says itself, whatever its name. */
START_TEST(destructive_by_its_own_word)
{
    struct slicer a = {.name = "a",
                       .destructive = _i == 0,
                       .whole = true,
                       .offers = GIB,
                       .gives = MIB};

    add_slicer(&a);
    headroom_permille(40); /* one look at one counter */
    turn(250);
    ck_assert_int_eq(gov_level_now(rt), CRITICAL);
    ck_assert_int_eq(a.calls, _i);
    headroom_permille(40);
    turn(31000); /* still so after relief */
    ck_assert_int_eq(a.calls, _i + 1);
}
END_TEST

#define ADD(tc, name) tcase_add_test(tc, name)

Suite *suite(void)
{
    Suite *s = suite_create("relief_calls");
    TCase *tc = tcase_create("calls");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, an_action_removes_itself, 0, 8);
    tcase_add_loop_test(tc, a_callback_reenters, 0, 2);
    tcase_add_loop_test(tc, who_does_not_return_is_left_out, 0, 8);
    ADD(tc, who_returns_late_leaves_the_new_turn_alone);
    ADD(tc, who_does_not_return_between_passes_holds_passes);
    ADD(tc, nothing_else_is_destroyed_meanwhile);
    tcase_add_loop_test(tc, destructive_by_its_own_word, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
