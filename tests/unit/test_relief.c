/* SPDX-License-Identifier: MIT */
/* Running the ladder: what runs, in which order, where and how often; passes;
 * removal; caches. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "governor/memory/memory_priv.h"
#include "tests/unit/runtime_fixture.h"

/* ---- registering ------------------------------------------------------------ */

static uint64_t no_offer(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    return 0;
}

static void no_run(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
}

static struct gov_relief plain(void)
{
    struct gov_relief relief = gov_relief_default();

    relief.name = "plain";
    relief.offer = no_offer;
    relief.run = no_run;
    return relief;
}

START_TEST(what_is_no_action_is_refused)
{
    struct gov_relief relief = plain();
    uint32_t id = 7;

    ck_assert_int_eq(gov_relief_add(NULL, &relief, &id, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_relief_add(rt, NULL, &id, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_relief_add(rt, &relief, NULL, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "gov_relief_add() needs a runtime, a relief "
                                  "action and a place for its id");
    relief.name = NULL;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_E_INVALID);
    relief.name = "";
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "the name of relief action \"\" is not 1 to "
                                  "31 bytes long; change it");
    relief.name = "12345678901234567890123456789012";
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "the name of relief action "
                     "\"12345678901234567890123456789012\" is not 1 to 31 "
                     "bytes long; change it");
    relief.name = "kv\x1b.unused";
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "the name of a relief action has a space or a control "
                     "character in it; take letters, digits and dots");
    relief = plain();
    relief.offer = NULL;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "relief action plain has no offer(); set it");
    relief = plain();
    relief.run = NULL;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "relief action plain has no run(); set it");
    relief = plain();
    relief.from_level = NORMAL;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "relief action plain asks to run at level "
                                  "normal; use warn or critical");
    ck_assert_uint_eq(id, 7);
}
END_TEST

START_TEST(actions_of_other_versions)
{
    struct {
        struct gov_relief relief;
        uint64_t later;
    } newer = {plain(), 0};
    uint32_t id;

    newer.relief.size = sizeof(newer);
    ck_assert_int_eq(gov_relief_add(rt, &newer.relief, &id, &err), GOV_OK);
    newer.later = 1;
    ck_assert_int_eq(gov_relief_add(rt, &newer.relief, &id, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "the relief action is of a newer version of this library, "
                     "or none; start from gov_relief_default()");
    newer.relief.size = offsetof(struct gov_relief, regrow); /* an older one */
    ck_assert_int_eq(gov_relief_add(rt, &newer.relief, &id, &err), GOV_OK);
    newer.relief.size = 0;
    ck_assert_int_eq(gov_relief_add(rt, &newer.relief, &id, &err),
                     GOV_E_INVALID);
}
END_TEST

START_TEST(at_most_32_actions)
{
    struct gov_relief relief = plain();
    uint32_t id[32], more = 99;

    relief.name = "1234567890123456789012345678901"; /* the longest */
    for (int i = 0; i < 32; i++) {
        ck_assert_int_eq(gov_relief_add(rt, &relief, &id[i], &err), GOV_OK);
        ck_assert_uint_ne(id[i], 0);
        ck_assert(i == 0 || id[i] != id[i - 1]);
    }
    ck_assert_int_eq(gov_relief_add(rt, &relief, &more, &err), GOV_E_BUSY);
    ck_assert_str_eq(err.message,
                     "32 relief actions are registered already; remove one");
    ck_assert_uint_eq(more, 99);
    gov_relief_remove(rt, id[5]);
    gov_relief_remove(rt, id[5]); /* none: passed over */
    gov_relief_remove(rt, 0);
    gov_relief_remove(NULL, 3);
    ck_assert_int_eq(gov_relief_add(rt, &relief, &more, &err), GOV_OK);
    ck_assert_int_eq(gov_relief_add(rt, &relief, &more, &err), GOV_E_BUSY);
}
END_TEST

/* ---- what runs ----------------------------------------------------------------- */

START_TEST(cheap_before_dear_and_all_of_it_told)
{
    struct action dear = {
        .name = "dear", .cost = 9, .offers = 8 * MIB, .gives = 8 * MIB};
    struct action cheap = {
        .name = "cheap", .cost = 1, .offers = 4 * MIB, .gives = 3 * MIB};
    struct action late = {.name = "late",
                          .cost = 0,
                          .from_level = CRITICAL,
                          .offers = 2 * MIB,
                          .gives = 2 * MIB};

    add(&dear);
    add(&late);
    add(&cheap);
    turn(250);
    ck_happened("");
    simulate(WARN);
    turn(250);
    ck_happened("event warn: simulated\n"
                "run cheap\n"
                "event cheap gave back 3072 KiB of 4096 KiB offered\n"
                "run dear\n"
                "event dear gave back 8192 KiB of 8192 KiB offered\n");
    ck_assert_int_eq(cheap.level, WARN);
    simulate(CRITICAL);
    turn(250);
    ck_happened("event critical: simulated\n"
                "run late\n"
                "event late gave back 2048 KiB of 2048 KiB offered\n"
                "run cheap\n"
                "event cheap gave back 3072 KiB of 1024 KiB offered\n");
    ck_assert_int_eq(late.level, CRITICAL);
    simulate(NORMAL);
    turn(250);
    ck_happened("event normal: simulated\n");
    for (int i = 0; i < 400; i++)
        turn(250);
    ck_happened("regrow dear\nregrow cheap\nregrow late\n");
}
END_TEST

static struct gov_event last_relief;
static char last_action[32];

static void keep_event(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    if (event->kind != GOV_EVENT_RELIEF)
        return;
    last_relief = *event;
    snprintf(last_action, sizeof(last_action), "%s", event->action);
}

START_TEST(an_event_has_what_was_measured)
{
    struct action action = {.name = "kv.unused",
                            .offers = 40 * MIB,
                            .gives = 30 * MIB,
                            .takes_ms = 12};

    gov_on_event(rt, keep_event, NULL);
    add(&action);
    simulate(WARN);
    turn(500);
    ck_assert_str_eq(last_action, "kv.unused");
    ck_assert_int_eq(last_relief.level, WARN);
    ck_assert_uint_eq(last_relief.at_ms, 512);
    ck_assert_uint_eq(last_relief.offered_bytes, 40 * MIB);
    ck_assert_uint_eq(last_relief.before_bytes, GIB);
    ck_assert_uint_eq(last_relief.after_bytes, GIB - 30 * MIB);
    ck_assert_uint_eq(last_relief.yield_bytes, 30 * MIB);
    ck_assert_uint_eq(last_relief.took_us, 12000);
}
END_TEST

static void grow_instead(struct action *action)
{
    (void)action;
    sim_grow(&sim, 5 * (int64_t)MIB);
}

START_TEST(a_yield_is_never_negative)
{
    struct action action = {.name = "a", .offers = MIB, .inside = grow_instead};

    add(&action);
    simulate(WARN);
    turn(250);
    ck_happened("event warn: simulated\nrun a\n"
                "event a gave back 0 KiB of 1024 KiB offered\n");
}
END_TEST

static void lose_the_counters(struct action *action)
{
    (void)action;
    sim.process_rc = EIO;
}

/* 1 GiB before and nothing known after is no yield of 1 GiB. */
START_TEST(what_cannot_be_measured_is_no_yield)
{
    struct action action = {
        .name = "a", .offers = MIB, .inside = lose_the_counters};
    const char *want = "event warn: simulated\nrun a\n"
                       "event a ran; what it gave back cannot be measured\n";

    add(&action);
    simulate(WARN);
    turn(250);
    ck_happened(want);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_YIELD_TOTAL], 0);
    turn(29999);
    ck_assert_int_eq(action.runs, 1); /* rests as if it gave nothing */
    turn(1);
    ck_assert_int_eq(action.runs, 2);
}
END_TEST

static void find_the_counters(struct action *action)
{
    (void)action;
    sim.process_rc = 0;
}

/* Nothing known before and 1 GiB after is none either. */
START_TEST(half_a_measurement_is_none)
{
    struct action action = {
        .name = "a", .offers = MIB, .gives = MIB, .inside = find_the_counters};

    if (_i != 0)
        action.inside = lose_the_counters;
    gov_on_event(rt, keep_event, NULL);
    add(&action);
    sim.process_rc = _i == 0 ? EIO : 0;
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(action.runs, 1);
    ck_assert_uint_eq(last_relief.before_bytes, 0);
    ck_assert_uint_eq(last_relief.after_bytes, 0);
    ck_assert_uint_eq(last_relief.yield_bytes, 0);
}
END_TEST

START_TEST(who_gives_nothing_rests_30_s)
{
    struct action action = {.name = "a", .offers = 9 * MIB};

    add(&action);
    simulate(WARN);
    turn(0);
    ck_assert_int_eq(action.runs, 1);
    turn(29999);
    ck_assert_int_eq(action.runs, 1);
    turn(1);
    ck_assert_int_eq(action.runs, 2);
}
END_TEST

START_TEST(who_gives_rests_5_s_or_longer_the_longer_it_took)
{
    struct action quick = {
        .name = "a", .offers = 900 * MIB, .gives = 100 * MIB};
    struct action slow = {
        .name = "b", .offers = 900 * MIB, .gives = 100 * MIB, .takes_ms = 1000};

    add(&quick);
    simulate(WARN);
    turn(0);
    turn(4999);
    ck_assert_int_eq(quick.runs, 1);
    turn(1);
    ck_assert_int_eq(quick.runs, 2);
    gov_relief_remove(rt, quick.id);
    add(&slow);
    turn(0);
    turn(19999);
    ck_assert_int_eq(slow.runs, 1);
    turn(1);
    ck_assert_int_eq(slow.runs, 2);
}
END_TEST

START_TEST(a_rising_level_ends_every_rest)
{
    struct action action = {.name = "a", .offers = 9 * MIB};

    add(&action);
    simulate(WARN);
    turn(0);
    turn(250);
    ck_assert_int_eq(action.runs, 1);
    simulate(CRITICAL);
    turn(250);
    ck_assert_int_eq(action.runs, 2);
    simulate(WARN); /* falls: no reason to wake anybody */
    turn(250);
    ck_assert_int_eq(action.runs, 2);
    simulate(NORMAL);
    turn(250);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(action.runs, 3);
}
END_TEST

START_TEST(a_turn_is_bounded)
{
    struct action action[12];
    char name[12][8];
    int runs = 0;

    for (int i = 0; i < 12; i++) {
        snprintf(name[i], sizeof(name[i]), "a%d", i);
        action[i] = (struct action){
            .name = name[i], .cost = (uint32_t)i, .offers = 9 * MIB};
        add(&action[i]);
    }
    simulate(WARN);
    turn(0);
    for (int i = 0; i < 12; i++)
        runs += action[i].runs;
    ck_assert_int_eq(runs, 8);
    turn(250);
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(action[i].runs, 1);
}
END_TEST

/* ---- the policy's ladder ------------------------------------------------------------ */

/* Its order goes before cost; what it does not name comes after, cheapest
 * first. */
START_TEST(the_ladders_order_goes_first)
{
    struct action a = {.name = "a.one", .cost = 1, .offers = 9 * MIB};
    struct action b = {.name = "b.two", .cost = 2, .offers = 9 * MIB};
    struct action c = {.name = "c.three", .cost = 3, .offers = 9 * MIB};
    struct action d = {.name = "d.four", .cost = 9, .offers = 9 * MIB};
    const struct gov_relief_rules rules = {
        2, {{.action = "d.four"}, {.action = "c.*"}}, {1000, 1000, 0}};

    add(&a);
    add(&b);
    add(&c);
    add(&d);
    gov_on_event(rt, NULL, NULL);
    put_relief(&rules);
    simulate(WARN);
    turn(250);
    ck_happened("run d.four\nrun c.three\nrun a.one\nrun b.two\n");
    simulate(NORMAL);
    turn(250);
    for (int i = 0; i < 40; i++)
        turn(250);
    ck_happened("regrow b.two\nregrow a.one\nregrow c.three\nregrow d.four\n");
}
END_TEST

/* The policy's level counts, be it above or below the action's own. */
START_TEST(from_the_level_that_the_policy_names)
{
    struct action late = {.name = "late", .offers = 9 * MIB};
    struct action early = {
        .name = "early", .from_level = CRITICAL, .offers = 9 * MIB};
    struct action never = {.name = "never", .offers = 9 * MIB};
    struct action own = {
        .name = "own", .from_level = CRITICAL, .offers = 9 * MIB};
    const struct gov_relief_rules rules = {
        4,
        {{.action = "late", .from_level = CRITICAL},
         {.action = "early", .from_level = WARN},
         {.action = "never", .from_level = GOV_LEVEL_NEVER},
         {.action = "own"}},
        {1000, 1000, 0}};

    add(&late);
    add(&early);
    add(&never);
    add(&own);
    gov_on_event(rt, NULL, NULL);
    put_relief(&rules);
    simulate(WARN);
    turn(250);
    ck_happened("run early\n");
    simulate(CRITICAL);
    turn(250);
    ck_happened("run late\nrun early\nrun own\n");
}
END_TEST

START_TEST(rests_by_the_policy)
{
    struct action gives = {
        .name = "gives", .offers = 900 * MIB, .gives = 100 * MIB};
    struct action little = {.name = "little", .offers = 900 * MIB};
    const struct gov_relief_rules rules = {
        1,
        {{.action = "*", .rest_ms = 7000, .rest_little_ms = 11000}},
        {1000, 1000, 0}};

    add(&gives);
    add(&little);
    put_relief(&rules);
    simulate(WARN);
    turn(0);
    turn(6999);
    ck_assert_int_eq(gives.runs, 1);
    turn(1);
    ck_assert_int_eq(gives.runs, 2);
    turn(3999);
    ck_assert_int_eq(little.runs, 1);
    turn(1);
    ck_assert_int_eq(little.runs, 2);
}
END_TEST

static void told_before_asked(struct action *action)
{
    ck_assert_int_gt(action->told, 0);
}

/* Before it is asked for the first time, and again with each policy. */
START_TEST(an_action_is_told_its_floor)
{
    struct action action = {
        .name = "a", .offers = 9 * MIB, .on_offer = told_before_asked};
    struct gov_relief_rules rules = {
        1,
        {{.action = "a", .floor_bytes = 5 * MIB, .floor_tokens = 1024}},
        {1000, 1000, 0}};

    add(&action);
    if (_i == 0) /* at normal nothing is asked, and it is told */
        simulate(NORMAL);
    else
        simulate(WARN);
    turn(250);
    ck_assert_int_eq(action.told, 1);
    ck_assert_int_eq(action.asked > 0, _i != 0);
    ck_assert_uint_eq(action.floor_bytes, 0);
    turn(250);
    ck_assert_int_eq(action.told, 1);
    put_relief(&rules);
    turn(250);
    ck_assert_int_eq(action.told, 2);
    ck_assert_uint_eq(action.floor_bytes, 5 * MIB);
    ck_assert_uint_eq(action.floor_tokens, 1024);
    rules.count = 0;
    put_relief(&rules);
    turn(250);
    ck_assert_int_eq(action.told, 3);
    ck_assert_uint_eq(action.floor_bytes, 0);
    ck_assert_uint_eq(action.floor_tokens, 0);
}
END_TEST

/* One that runs at the end of a pass, on the engine's thread, was told, too. */
START_TEST(an_action_is_told_its_floor_at_the_end_of_a_pass)
{
    struct action action = {
        .name = "a", .between_passes = true, .offers = 9 * MIB};
    struct action late = {.name = "late",
                          .between_passes = true,
                          .cost = 9,
                          .offers = 9 * MIB,
                          .on_offer = told_before_asked};
    const struct gov_relief_rules rules = {
        1, {{.action = "*", .floor_bytes = MIB}}, {1000, 1000, 0}};

    add(&action);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    put_relief(&rules);
    add(&late);
    gov_pass_end(rt);
    ck_assert_int_eq(action.runs, 1);
    ck_assert_uint_eq(action.floor_bytes, MIB);
    ck_assert_int_eq(late.runs, 1);
    ck_assert_uint_eq(late.floor_bytes, MIB);
}
END_TEST

static void on_notice(void *ctx, const struct gov_event *event)
{
    char *text = ctx;

    if (event->kind == GOV_EVENT_NOTICE)
        strncat(text, event->text, 255 - strlen(text));
}

/* A floor is a promise: who cannot keep it does not run, and that is told once. */
START_TEST(who_cannot_leave_does_not_run_above_a_floor)
{
    struct action action = {.name = "a", .offers = 9 * MIB};
    struct gov_relief_rules rules = {1, {{.action = "a"}}, {1000, 1000, 0}};
    struct gov_relief relief = gov_relief_default();
    char told[256] = "";
    uint32_t id;

    if (_i == 0)
        rules.step[0].floor_bytes = 1;
    else
        rules.step[0].floor_tokens = 1;
    relief.name = "a";
    relief.ctx = &action;
    relief.offer = action_offer;
    relief.run = action_run;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, NULL), GOV_OK);
    put_relief(&rules);
    gov_on_event(rt, on_notice, told);
    simulate(CRITICAL);
    turn(250);
    turn(250);
    ck_assert_int_eq(action.runs, 0);
    ck_assert_str_eq(told, "the ladder has a floor for a, which cannot leave a "
                           "part, so it does not run; take the floor away");
    rules.count = 0;
    put_relief(&rules);
    turn(250);
    ck_assert_int_eq(action.runs, 1);
}
END_TEST

/* No regrow(), nothing to wait for. */
START_TEST(who_cannot_regrow_holds_nobody_up)
{
    struct action one = {.name = "one", .offers = 9 * MIB};
    struct action two = {.name = "two", .cost = 2, .offers = 9 * MIB};

    add(&one);
    add(&two);
    pthread_mutex_lock(&rt->lock);
    rt->slots[1].relief.regrow = NULL;
    pthread_mutex_unlock(&rt->lock);
    simulate(WARN);
    turn(250);
    simulate(NORMAL);
    turn(250);
    turn(rt->relief_rules.regrow.after_ms);
    ck_assert_int_eq(one.regrows, 1);
}
END_TEST

/* ---- the budget ------------------------------------------------------------ */

static void action_budget(void *ctx, uint64_t budget_bytes)
{
    struct action *action = ctx;
    char text[64];

    snprintf(text, sizeof(text), "%s %" PRIu64, action->name,
             budget_bytes / MIB);
    note("budget ", text);
}

/* Before relief for the same cut, once each, and nobody who did not ask. */
START_TEST(actions_follow_the_budget)
{
    struct action deaf = {.name = "deaf", .offers = MIB};
    struct action weights = {.name = "weights", .offers = MIB};
    struct gov_relief relief = gov_relief_default();

    add(&deaf);
    relief.name = weights.name;
    relief.rebuild_cost = 9;
    relief.ctx = &weights;
    relief.offer = action_offer;
    relief.run = action_run;
    relief.budget = action_budget;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &weights.id, &err), GOV_OK);
    turn(250);
    ck_happened("");
    simulate(WARN);
    gov_set_budget(rt, 3 * GIB);
    turn(250);
    ck_assert_ptr_nonnull(strstr(happened,
                                 "event the budget is another one: 3072 MiB\n"
                                 "budget weights 3072\n"));
    ck_assert_ptr_nonnull(strstr(happened, "run weights"));
    ck_assert_ptr_null(strstr(happened, "budget deaf"));
    ck_assert(strstr(happened, "budget weights") < strstr(happened, "run "));
    happened[0] = '\0';
    turn(250);
    ck_assert_ptr_null(strstr(happened, "budget"));
    gov_relief_remove(rt, weights.id);
    gov_set_budget(rt, 4 * GIB);
    turn(250);
    ck_assert_ptr_null(strstr(happened, "budget weights"));
}
END_TEST

/* ---- how much is enough ----------------------------------------------------------- */

/* Headroom, by the footprint, of so many permille of the budget of 4 GiB. */
static void leave_permille(uint64_t permille)
{
    sim.process.footprint_bytes = 4 * GIB - 4 * GIB / 1000 * permille;
}

START_TEST(stops_when_headroom_is_back)
{
    struct action cheap = {
        .name = "cheap", .cost = 1, .offers = 500 * MIB, .gives = 500 * MIB};
    struct action dear = {
        .name = "dear", .cost = 9, .offers = 500 * MIB, .gives = 500 * MIB};

    add(&cheap);
    add(&dear);
    leave_permille(100); /* 160 let go: 250 MiB are wanted */
    turn(250);
    ck_happened("event warn: 409 MiB of the 4096 MiB budget are left\n"
                "run cheap\n"
                "event cheap gave back 512000 KiB of 512000 KiB offered\n");
    for (int i = 0; i < 20; i++)
        turn(250); /* calm, and still at warn */
    ck_happened("");
    ck_assert_int_eq(gov_level_now(rt), WARN);
    turn(250);
    ck_happened("event normal: calm for 5.0 s\n");
    turn(rt->relief_rules.regrow.after_ms);
    turn(rt->relief_rules.regrow.every_ms);
    ck_happened("regrow cheap\n"); /* dear did not run */
}
END_TEST

START_TEST(goes_on_while_headroom_is_short)
{
    struct action cheap = {
        .name = "cheap", .cost = 1, .offers = 100 * MIB, .gives = 100 * MIB};
    struct action dear = {
        .name = "dear", .cost = 9, .offers = 500 * MIB, .gives = 500 * MIB};
    struct action dearest = {
        .name = "dearest", .cost = 99, .offers = 500 * MIB, .gives = 500 * MIB};

    add(&dearest);
    add(&cheap);
    add(&dear);
    leave_permille(100);
    turn(250);
    ck_assert_int_eq(cheap.runs, 1);
    ck_assert_int_eq(dear.runs, 1);
    ck_assert_int_eq(dearest.runs, 0);
}
END_TEST

/* What was given back before is in the headroom of the next sample already. */
START_TEST(what_was_given_counts_once)
{
    struct action action = {
        .name = "a", .offers = 2000 * MIB, .gives = 300 * MIB};

    add(&action);
    leave_permille(100);
    turn(250);
    ck_assert_int_eq(action.runs, 1);
    leave_permille(100);
    turn(5000);
    ck_assert_int_eq(action.runs, 2);
}
END_TEST

/* Nobody knows how many bytes end a stall. */
START_TEST(a_stall_wants_all_that_the_level_allows)
{
    struct action cheap = {
        .name = "cheap", .cost = 1, .offers = 500 * MIB, .gives = 500 * MIB};
    struct action dear = {
        .name = "dear", .cost = 9, .offers = 500 * MIB, .gives = 500 * MIB};

    add(&cheap);
    add(&dear);
    sim.stall.source = "own cgroup"; /* else it is taken for somebody else's */
    sim.stall.memory_some_us += 100000;
    turn(1000);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    ck_assert_int_eq(cheap.runs, 1);
    ck_assert_int_eq(dear.runs, 1);
}
END_TEST

/* ---- passes -------------------------------------------------------------------- */

START_TEST(between_passes_at_once_when_there_is_no_pass)
{
    struct action action = {
        .name = "a", .between_passes = true, .offers = 9 * MIB};

    add(&action);
    gov_pass_begin(rt);
    gov_pass_end(rt);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(action.runs, 1);
}
END_TEST

START_TEST(between_passes_waits_for_the_end_of_the_pass)
{
    struct action action = {
        .name = "a", .between_passes = true, .offers = 9 * MIB};

    add(&action);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    turn(250);
    ck_happened("event warn: simulated\n");
    gov_pass_end(rt);
    ck_happened("run a\nevent a gave back 0 KiB of 9216 KiB offered\n");
    ck_assert(!rt->pending);
    gov_pass_begin(rt);
    gov_pass_end(rt);
    ck_happened("");
}
END_TEST

START_TEST(overlapping_passes_are_over_when_all_are)
{
    struct action action = {
        .name = "a", .between_passes = true, .offers = 9 * MIB};

    add(&action);
    simulate(WARN);
    gov_pass_begin(rt);
    gov_pass_begin(rt);
    turn(250);
    gov_pass_end(rt);
    ck_assert_int_eq(action.runs, 0);
    gov_pass_end(rt);
    ck_assert_int_eq(action.runs, 1);
    gov_pass_end(rt); /* one too many is passed over */
    gov_pass_begin(rt);
    simulate(CRITICAL);
    turn(250);
    ck_assert_int_eq(action.runs, 1);
    gov_pass_end(rt);
    ck_assert_int_eq(action.runs, 2);
}
END_TEST

/* At WARN the cheapest goes first even where it has to wait, and the engine's
 * thread runs only what has to run there. */
START_TEST(cheap_before_dear_also_when_it_waits)
{
    struct action cheap = {
        .name = "cheap", .between_passes = true, .cost = 1, .offers = 9 * MIB};
    struct action dear = {.name = "dear", .cost = 5, .offers = 9 * MIB};
    struct action dearest = {.name = "dearest",
                             .between_passes = true,
                             .cost = 9,
                             .offers = 9 * MIB};

    add(&dearest);
    add(&dear);
    add(&cheap);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    ck_happened("event warn: simulated\n");
    gov_pass_end(rt);
    ck_happened("run cheap\nevent cheap gave back 0 KiB of 9216 KiB offered\n");
    gov_pass_begin(rt);
    turn(250);
    ck_happened("run dear\nevent dear gave back 0 KiB of 9216 KiB offered\n");
    gov_pass_end(rt);
    ck_happened("run dearest\n"
                "event dearest gave back 0 KiB of 9216 KiB offered\n");
}
END_TEST

START_TEST(critical_waits_for_nothing)
{
    struct action cheap = {
        .name = "cheap", .between_passes = true, .cost = 1, .offers = 9 * MIB};
    struct action dear = {.name = "dear", .cost = 5, .offers = 9 * MIB};

    add(&dear);
    add(&cheap);
    simulate(CRITICAL);
    gov_pass_begin(rt);
    turn(250);
    ck_happened("event critical: simulated\nrun dear\n"
                "event dear gave back 0 KiB of 9216 KiB offered\n");
    gov_pass_end(rt);
    ck_happened("run cheap\nevent cheap gave back 0 KiB of 9216 KiB offered\n");
}
END_TEST

START_TEST(a_level_that_fell_meanwhile_runs_nothing)
{
    struct action action = {
        .name = "a", .between_passes = true, .offers = 9 * MIB};

    add(&action);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    simulate(NORMAL);
    turn(250);
    gov_pass_end(rt);
    ck_assert_int_eq(action.runs, 0);
    ck_assert(!rt->pending);
}
END_TEST

static struct gate gate = GATE;

static void begin_pass_once(struct action *action)
{
    action->on_offer = NULL;
    gov_pass_begin(rt);
}

static void end_pass_once(struct action *action)
{
    action->on_offer = NULL;
    gov_pass_end(rt);
}

/* While other actions are asked, after this one was found free to run. */
START_TEST(a_pass_that_begins_at_the_last_moment)
{
    struct action action = {
        .name = "a", .between_passes = true, .offers = 9 * MIB};
    struct action last = {.name = "last", .on_offer = begin_pass_once};

    add(&action);
    add(&last);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(action.runs, 0);
    gov_pass_end(rt);
    ck_assert_int_eq(action.runs, 1);
}
END_TEST

START_TEST(a_pass_that_ends_at_the_last_moment)
{
    struct action action = {
        .name = "a", .between_passes = true, .offers = 9 * MIB};
    struct action last = {.name = "last", .on_offer = end_pass_once};

    add(&action);
    add(&last);
    simulate(WARN);
    watch_wakes();
    gov_pass_begin(rt);
    turn(250);
    ck_assert_int_eq(action.runs, 0);
    ck_assert_int_eq(wakes(), 1); /* and not a whole sample later */
    turn(0);
    ck_assert_int_eq(action.runs, 1);
    ck_assert_int_eq(wakes(), 0);
}
END_TEST

START_TEST(the_end_of_a_pass_hands_over_to_the_thread)
{
    struct action first = {
        .name = "first", .between_passes = true, .cost = 1, .offers = 9 * MIB};
    struct action second = {.name = "second", .cost = 2, .offers = 9 * MIB};

    add(&first);
    add(&second);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    watch_wakes();
    gov_pass_end(rt);
    ck_assert_int_eq(first.runs, 1);
    ck_assert_int_eq(second.runs, 0);
    ck_assert_int_eq(wakes(), 1);
}
END_TEST

static void wait_inside(struct action *action)
{
    (void)action;
    gate_open(&gate, 1);
    gate_wait(&gate, 2);
    note("inside", "");
}

static void *one_pass(void *arg)
{
    (void)arg;
    gov_pass_begin(rt);
    note("pass", "");
    gov_pass_end(rt);
    return NULL;
}

static bool locked(const bool *flag)
{
    bool now;

    pthread_mutex_lock(&rt->lock);
    now = *flag;
    pthread_mutex_unlock(&rt->lock);
    return now;
}

static uint32_t passes(void)
{
    uint32_t now;

    pthread_mutex_lock(&rt->lock);
    now = rt->passes;
    pthread_mutex_unlock(&rt->lock);
    return now;
}

/* Lets others run who could; those who must wait, wait. */
static void give_others_time(void)
{
    for (int i = 0; i < 2000; i++)
        sched_yield();
}

/* The pass is counted before it waits, so no further action gets in first. */
START_TEST(a_pass_waits_for_one_action_at_most)
{
    struct action first = {.name = "first",
                           .between_passes = true,
                           .cost = 1,
                           .offers = 9 * MIB,
                           .inside = wait_inside};
    struct action second = {
        .name = "second", .between_passes = true, .cost = 2, .offers = 9 * MIB};
    pthread_t stepper, engine;

    gov_on_event(rt, NULL, NULL);
    gate.stage = 0;
    add(&first);
    add(&second);
    simulate(WARN);
    stepper = start(step_once, NULL);
    gate_wait(&gate, 1);
    engine = start(one_pass, NULL);
    while (passes() == 0)
        sched_yield();
    give_others_time();
    gate_open(&gate, 2);
    pthread_join(stepper, NULL);
    pthread_join(engine, NULL);
    gov_step(rt);
    ck_assert_msg(strncmp(happened, "run first\ninside\n", 17) == 0, "%s",
                  happened);
    ck_assert_int_eq(second.runs, 1);
    ck_assert_uint_eq(passes(), 0);
}
END_TEST

START_TEST(an_action_that_may_race_a_pass_holds_none_up)
{
    struct action action = {
        .name = "a", .offers = 9 * MIB, .inside = wait_inside};
    pthread_t stepper;

    gov_on_event(rt, NULL, NULL);
    gate.stage = 0;
    add(&action);
    simulate(WARN);
    stepper = start(step_once, NULL);
    gate_wait(&gate, 1);
    one_pass(NULL);
    gate_open(&gate, 2);
    pthread_join(stepper, NULL);
    ck_happened("run a\npass\ninside\n");
}
END_TEST

/* While an action blocks, everything that promises not to wait does not. */
START_TEST(an_action_that_blocks_blocks_nobody_else)
{
    struct action action = {
        .name = "a", .offers = 9 * MIB, .inside = wait_inside};
    struct action other = {.name = "other"};
    char text[256];
    uint64_t calls;
    pthread_t stepper;

    gate.stage = 0;
    add(&action);
    simulate(WARN);
    stepper = start(step_once, NULL);
    gate_wait(&gate, 1);
    gov_publish(rt, GOV_PAGE_TOKENS, 5);
    gov_publish_text(rt, GOV_PAGE_TEXT_MODEL, "m");
    ck_assert_int_eq(gov_level_now(rt), WARN);
    gov_describe(rt, text, sizeof(text));
    calls = sim.calls;
    gov_step(rt); /* somebody is in it: nothing to do */
    ck_assert_uint_eq(sim.calls, calls);
    simulate(CRITICAL);
    add(&other);
    gov_relief_remove(rt, other.id);
    gov_on_event(rt, NULL, NULL);
    gate_open(&gate, 2);
    pthread_join(stepper, NULL);
    ck_assert_int_eq(action.runs, 1);
}
END_TEST

/* ---- removing -------------------------------------------------------------------- */

static void *remove_it(void *arg)
{
    struct action *action = arg;

    gov_relief_remove(rt, action->id);
    note("removed ", action->name);
    return NULL;
}

START_TEST(removing_waits_for_a_call_that_runs)
{
    struct action action = {
        .name = "a", .offers = 9 * MIB, .inside = wait_inside};
    pthread_t stepper, remover[2];
    gov_cache *cache;
    uint64_t bytes;

    gov_on_event(rt, NULL, NULL);
    gate.stage = 0;
    add(&action);
    simulate(WARN);
    stepper = start(step_once, NULL);
    gate_wait(&gate, 1);
    remover[0] = start(remove_it, &action);
    remover[1] = start(remove_it, &action); /* the same one twice */
    while (!locked(&rt->slots[0].removed))
        sched_yield();
    /* As if it were a cache's: publishing would ask it. */
    ck_assert_int_eq(gov_cache_new(&cache, NULL, &err), GOV_OK);
    pthread_mutex_lock(&rt->lock);
    rt->slots[0].cache = cache;
    pthread_mutex_unlock(&rt->lock);
    ck_assert(!gov__relief_cache_bytes(rt, &bytes));
    give_others_time();
    gate_open(&gate, 2);
    pthread_join(stepper, NULL);
    pthread_join(remover[0], NULL);
    pthread_join(remover[1], NULL);
    ck_happened("run a\ninside\nremoved a\nremoved a\n");
    ck_assert_int_eq(action.asked, 1); /* no call began any more */
    turn(60000);
    ck_assert_int_eq(action.runs, 1);
    ck_assert_uint_eq(rt->slots[0].id, 0);
    gov_cache_free(cache);
}
END_TEST

static void remove_the_other(struct action *action)
{
    (void)action;
    gate_open(&gate, 1);
    gate_wait(&gate, 2);
}

/* Removed between the inventory and its turn: it does not run. */
START_TEST(removed_before_its_turn)
{
    struct action first = {.name = "first",
                           .cost = 1,
                           .offers = 9 * MIB,
                           .inside = remove_the_other};
    struct action second = {.name = "second", .cost = 2, .offers = 9 * MIB};
    pthread_t stepper;

    gate.stage = 0;
    add(&first);
    add(&second);
    simulate(WARN);
    stepper = start(step_once, NULL);
    gate_wait(&gate, 1);
    gov_relief_remove(rt, second.id);
    gate_open(&gate, 2);
    pthread_join(stepper, NULL);
    ck_assert_int_eq(first.runs, 1);
    ck_assert_int_eq(second.runs, 0);
}
END_TEST

static struct action *leaver, *comer;

static void swap_once(struct action *action)
{
    action->on_offer = NULL;
    gov_relief_remove(rt, leaver->id);
    add(comer);
}

/* Replaced in its slot after it was chosen: the one that came is not run for
 * what the one that went offered. */
START_TEST(another_one_in_its_place)
{
    struct action went = {.name = "went", .offers = 9 * MIB};
    struct action came = {.name = "came"};
    struct action last = {.name = "last", .on_offer = swap_once};

    leaver = &went;
    comer = &came;
    add(&went);
    add(&last);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(went.runs, 0);
    ck_assert_int_eq(came.runs, 0);
    ck_assert_int_gt(came.asked, 0);
}
END_TEST

/* ---- regrowing ---------------------------------------------------------------------- */

/* The level falls while the engine's thread is still giving back: regrowing
 * waits for the next turn and is not lost. */
static void *end_pass(void *arg)
{
    (void)arg;
    gov_pass_end(rt);
    return NULL;
}

START_TEST(regrowing_is_put_off_and_not_lost)
{
    struct action action = {.name = "a",
                            .between_passes = true,
                            .offers = 9 * MIB,
                            .inside = wait_inside};
    pthread_t engine;

    gov_on_event(rt, NULL, NULL);
    gate.stage = 0;
    add(&action);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    engine = start(end_pass, NULL);
    gate_wait(&gate, 1);
    simulate(NORMAL);
    turn(250);
    ck_assert_int_eq(gov_level_now(rt), NORMAL);
    turn(rt->relief_rules.regrow.after_ms);
    ck_assert_int_eq(action.regrows, 0);
    gate_open(&gate, 2);
    pthread_join(engine, NULL);
    turn(250);
    ck_assert_int_eq(action.regrows, 1);
    turn(60000);
    ck_assert_int_eq(action.regrows, 1);
}
END_TEST

START_TEST(regrowing_is_not_due_when_the_level_rose_again)
{
    struct action action = {.name = "a",
                            .between_passes = true,
                            .offers = 9 * MIB,
                            .inside = wait_inside};
    pthread_t engine;

    gov_on_event(rt, NULL, NULL);
    gate.stage = 0;
    add(&action);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    engine = start(end_pass, NULL);
    gate_wait(&gate, 1);
    simulate(NORMAL);
    turn(250);
    simulate(WARN);
    turn(250);
    gate_open(&gate, 2);
    pthread_join(engine, NULL);
    action.inside = NULL;
    turn(rt->relief_rules.regrow.after_ms);
    ck_assert_int_eq(action.regrows, 0);
    simulate(NORMAL);
    turn(250);
    turn(rt->relief_rules.regrow.after_ms - 1);
    ck_assert_int_eq(action.regrows, 0);
    turn(1);
    ck_assert_int_eq(action.regrows, 1);
}
END_TEST

/* ---- caches -------------------------------------------------------------------------- */

static gov_cache *cache;
static uint32_t cache_id;

static uint64_t cache_bytes(void)
{
    struct gov_cache_usage usage;

    gov_cache_usage(cache, &usage);
    return usage.bytes;
}

static bool cache_put(uint64_t key)
{
    static const char value[64 << 10];

    return gov_cache_put(cache, key, value, sizeof(value), &err) == GOV_OK;
}

static void add_full_cache(void)
{
    struct gov_cache_options options = gov_cache_options_default();

    options.limit_bytes = 4 * MIB;
    options.alloc = faults_alloc();
    ck_assert_int_eq(gov__cache_new_on(&cache, &sim.table, &options, &err),
                     GOV_OK);
    ck_assert_int_eq(
        gov_relief_add_cache(rt, "cache.test", cache, &cache_id, &err), GOV_OK);
    for (uint64_t key = 0; key < 99; key++)
        ck_assert(cache_put(key));
    ck_assert_uint_gt(cache_bytes(), 3 * MIB);
}

static void drop_cache(void)
{
    gov_relief_remove(rt, cache_id);
    gov_cache_free(cache);
    cache = NULL;
    ck_assert_int_eq(sim.maps, 0);
}

START_TEST(a_cache_shrinks_by_level_and_grows_again)
{
    add_full_cache();
    turn(250);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_CACHE], cache_bytes());
    simulate(WARN);
    turn(250);
    ck_assert_uint_le(cache_bytes(), 2 * MIB);
    ck_assert_uint_gt(cache_bytes(), MIB);
    ck_assert(cache_put(1));
    simulate(CRITICAL);
    turn(250);
    ck_assert_uint_eq(cache_bytes(), 0);
    ck_assert_uint_eq(rt->counter[GOV_PAGE_CACHE], 0);
    ck_assert(!cache_put(1));
    simulate(NORMAL);
    turn(250);
    ck_assert(!cache_put(1)); /* its turn to grow is still to come */
    turn(rt->relief_rules.regrow.after_ms);
    for (uint64_t key = 0; key < 60; key++)
        ck_assert(cache_put(key));
    ck_assert_uint_gt(cache_bytes(), 3 * MIB);
    drop_cache();
    turn(250);
    ck_assert(!(rt->have & UINT64_C(1) << GOV_PAGE_CACHE));
}
END_TEST

/* What comes back are values as they lie in pages: within a twentieth. */
static void offers(gov_level level, uint64_t bytes)
{
    struct gov__relief_slot *slot = &rt->slots[0];
    uint64_t offered = slot->relief.offer(slot->relief.ctx, level);

    ck_assert_uint_ge(offered, bytes - bytes / 20);
    ck_assert_uint_le(offered, bytes + bytes / 20);
}

START_TEST(a_cache_offers_what_the_level_asks)
{
    struct gov__relief_slot *slot = &rt->slots[0];

    add_full_cache();
    offers(WARN, cache_bytes() - 2 * MIB);
    offers(CRITICAL, cache_bytes());
    gov_cache_shrink(cache, MIB);
    ck_assert_uint_eq(slot->relief.offer(slot->relief.ctx, WARN), 0);
    drop_cache();
}
END_TEST

/* A floor is kept at every level; one above the limit is the limit. */
START_TEST(a_cache_keeps_its_floor)
{
    static const struct {
        uint64_t floor, warn, critical; /* kept at most */
    } rows[] = {{0, 2 * MIB, 0},
                {MIB, 2 * MIB, MIB},
                {3 * MIB, 3 * MIB, 3 * MIB},
                {9 * MIB, 4 * MIB, 4 * MIB}};
    struct gov_relief_rules rules = {
        1, {{.action = "cache.*", .floor_bytes = rows[_i].floor}}, {0, 0, 0}};
    const uint64_t entry = 66 << 10; /* what one takes, about */

    ck_assert_uint_eq(gov__cache_keeps(4 * MIB, WARN, rows[_i].floor),
                      rows[_i].warn);
    ck_assert_uint_eq(gov__cache_keeps(4 * MIB, CRITICAL, rows[_i].floor),
                      rows[_i].critical);
    add_full_cache();
    put_relief(&rules);
    simulate(WARN);
    turn(250);
    ck_assert_uint_le(cache_bytes(), rows[_i].warn);
    ck_assert_uint_ge(cache_bytes() + entry, rows[_i].warn);
    simulate(CRITICAL);
    turn(250);
    ck_assert_uint_le(cache_bytes(), rows[_i].critical);
    ck_assert_uint_ge(cache_bytes() + entry, rows[_i].critical);
    ck_assert_uint_eq(
        rt->slots[0].relief.offer(rt->slots[0].relief.ctx, CRITICAL),
        0); /* nothing but its floor is left */
    for (uint64_t key = 200; key < 299; key++)
        ck_assert_int_eq(cache_put(key), rows[_i].critical > 0);
    ck_assert_uint_le(cache_bytes(), rows[_i].critical);
    drop_cache();
}
END_TEST

START_TEST(a_cache_that_leaves_is_as_it_was)
{
    add_full_cache();
    simulate(CRITICAL);
    turn(250);
    ck_assert(!cache_put(1));
    if (_i == 0)
        gov_relief_remove(rt, cache_id);
    else
        gov_close(rt);
    ck_assert(cache_put(1));
    gov_cache_free(cache);
    if (_i != 0)
        set_up();
}
END_TEST

START_TEST(what_is_no_cache_is_refused)
{
    add_full_cache();
    ck_assert_int_eq(gov_relief_add_cache(rt, "c", NULL, &cache_id, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "gov_relief_add_cache() needs a runtime, a "
                                  "cache and a place for its id");
    ck_assert_int_eq(gov_relief_add_cache(rt, NULL, cache, &cache_id, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "the name of relief action \"\" is not 1 to "
                                  "31 bytes long; change it");
    drop_cache();
}
END_TEST

/* ---- callbacks ------------------------------------------------------------------------ */

static void ask_everything(void *ctx, const struct gov_event *event)
{
    char text[256];

    (void)ctx;
    note("event ", event->text);
    ck_assert_int_eq(gov_level_now(rt), event->level);
    gov_describe(rt, text, sizeof(text));
    gov_publish(rt, GOV_PAGE_TOKENS, 1);
    gov_publish_text(rt, GOV_PAGE_TEXT_MODEL, "m");
    gov_step(rt);
    ck_assert_int_eq(pthread_mutex_trylock(&rt->lock), 0);
    pthread_mutex_unlock(&rt->lock);
}

static void lock_inside(struct action *action)
{
    (void)action;
    ask_everything(NULL, &(struct gov_event){.text = "inside",
                                             .level = gov_level_now(rt)});
}

START_TEST(callbacks_are_called_with_no_lock_held)
{
    struct action action = {.name = "a",
                            .between_passes = true,
                            .offers = 9 * MIB,
                            .inside = lock_inside};

    gov_on_event(rt, ask_everything, NULL);
    add(&action);
    simulate(WARN);
    gov_pass_begin(rt);
    turn(250);
    gov_pass_end(rt);
    ck_happened("event warn: simulated\nrun a\nevent inside\n"
                "event a gave back 0 KiB of 9216 KiB offered\n");
}
END_TEST

static void wait_in_event(void *ctx, const struct gov_event *event)
{
    (void)event;
    wait_inside(ctx);
}

static void *stop_listening(void *arg)
{
    (void)arg;
    gov_on_event(rt, NULL, NULL);
    note("silence", "");
    return NULL;
}

static bool has_listener(void)
{
    bool now;

    pthread_mutex_lock(&rt->lock);
    now = rt->event != NULL;
    pthread_mutex_unlock(&rt->lock);
    return now;
}

START_TEST(replacing_a_listener_waits_for_the_old_one)
{
    pthread_t stepper, other;

    gate.stage = 0;
    gov_on_event(rt, wait_in_event, NULL);
    simulate(WARN);
    stepper = start(step_once, NULL);
    gate_wait(&gate, 1);
    other = start(stop_listening, NULL);
    while (has_listener())
        sched_yield();
    give_others_time();
    gate_open(&gate, 2);
    pthread_join(stepper, NULL);
    pthread_join(other, NULL);
    ck_happened("inside\nsilence\n");
}
END_TEST

#define ADD(tc, name) tcase_add_test(tc, name)

Suite *suite(void)
{
    Suite *s = suite_create("relief");
    TCase *add_tc = tcase_create("registering"), *run = tcase_create("ladder"),
          *pass = tcase_create("passes"), *gone = tcase_create("leaving"),
          *caches = tcase_create("caches");
    TCase *all[] = {add_tc, run, pass, gone, caches};

    for (size_t i = 0; i < 5; i++) {
        tcase_add_checked_fixture(all[i], set_up, tear_down);
        suite_add_tcase(s, all[i]);
    }
    ADD(add_tc, what_is_no_action_is_refused);
    ADD(add_tc, actions_of_other_versions);
    ADD(add_tc, at_most_32_actions);
    ADD(run, cheap_before_dear_and_all_of_it_told);
    ADD(run, an_event_has_what_was_measured);
    ADD(run, a_yield_is_never_negative);
    ADD(run, what_cannot_be_measured_is_no_yield);
    tcase_add_loop_test(run, half_a_measurement_is_none, 0, 2);
    ADD(run, who_gives_nothing_rests_30_s);
    ADD(run, who_gives_rests_5_s_or_longer_the_longer_it_took);
    ADD(run, a_rising_level_ends_every_rest);
    ADD(run, a_turn_is_bounded);
    ADD(run, actions_follow_the_budget);
    ADD(run, stops_when_headroom_is_back);
    ADD(run, goes_on_while_headroom_is_short);
    ADD(run, what_was_given_counts_once);
    ADD(run, a_stall_wants_all_that_the_level_allows);
    ADD(run, the_ladders_order_goes_first);
    ADD(run, from_the_level_that_the_policy_names);
    ADD(run, rests_by_the_policy);
    tcase_add_loop_test(run, an_action_is_told_its_floor, 0, 2);
    ADD(run, an_action_is_told_its_floor_at_the_end_of_a_pass);
    tcase_add_loop_test(run, who_cannot_leave_does_not_run_above_a_floor, 0, 2);
    ADD(run, who_cannot_regrow_holds_nobody_up);
    ADD(run, callbacks_are_called_with_no_lock_held);
    ADD(pass, between_passes_at_once_when_there_is_no_pass);
    ADD(pass, between_passes_waits_for_the_end_of_the_pass);
    ADD(pass, overlapping_passes_are_over_when_all_are);
    ADD(pass, cheap_before_dear_also_when_it_waits);
    ADD(pass, critical_waits_for_nothing);
    ADD(pass, a_level_that_fell_meanwhile_runs_nothing);
    ADD(pass, a_pass_that_begins_at_the_last_moment);
    ADD(pass, a_pass_that_ends_at_the_last_moment);
    ADD(pass, the_end_of_a_pass_hands_over_to_the_thread);
    ADD(pass, a_pass_waits_for_one_action_at_most);
    ADD(pass, an_action_that_may_race_a_pass_holds_none_up);
    ADD(pass, an_action_that_blocks_blocks_nobody_else);
    ADD(gone, removing_waits_for_a_call_that_runs);
    ADD(gone, removed_before_its_turn);
    ADD(gone, another_one_in_its_place);
    ADD(gone, regrowing_is_put_off_and_not_lost);
    ADD(gone, regrowing_is_not_due_when_the_level_rose_again);
    ADD(gone, replacing_a_listener_waits_for_the_old_one);
    ADD(caches, a_cache_shrinks_by_level_and_grows_again);
    ADD(caches, a_cache_offers_what_the_level_asks);
    tcase_add_loop_test(caches, a_cache_keeps_its_floor, 0, 4);
    tcase_add_loop_test(caches, a_cache_that_leaves_is_as_it_was, 0, 2);
    ADD(caches, what_is_no_cache_is_refused);
    return s;
}
