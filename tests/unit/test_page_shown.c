/* SPDX-License-Identifier: MIT */
/* What the page shows of relief and of what happened; and what it costs a hot path to
 * be shown. */
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "tests/unit/runtime_fixture.h"

static struct gov_page page;

static void look(void)
{
    memset(&page, 0xA5, sizeof(page));
    gov__shown_fill(rt, &page);
}

/* ---- actions ---------------------------------------------------------------------- */

/* The names, in order, a space before each. */
static const char *names(void)
{
    static char out[GOV_PAGE_ACTIONS * 33 + 1];
    size_t at = 0;

    look();
    out[0] = '\0';
    for (size_t i = 0; i < GOV_PAGE_ACTIONS && page.action[i].name[0] != '\0';
         i++)
        at += (size_t)snprintf(out + at, sizeof(out) - at, " %s",
                               page.action[i].name);
    return out;
}

START_TEST(actions_come_in_the_order_of_the_ladder)
{
    struct action actions[] = {{.name = "unused", .cost = 5},
                               {.name = "crumbs", .cost = 5},
                               {.name = "heavy", .cost = 9},
                               {.name = "first", .cost = 1},
                               {.name = "late", .from_level = CRITICAL}};
    struct gov_relief_rules rules;

    ck_assert_str_eq(names(), "");
    for (size_t i = 0; i < 5; i++)
        add(&actions[i]);
    ck_assert_str_eq(names(), " late first unused crumbs heavy");
    ck_assert_uint_eq(page.action[0].from_level, CRITICAL);
    ck_assert_uint_eq(page.action[1].from_level, WARN);
    gov_relief_rules_default(&rules);
    rules.count = 2;
    memcpy(rules.step[0].action, "heavy", 6);
    rules.step[0].from_level = CRITICAL;
    memcpy(rules.step[1].action, "c*", 3);
    put_relief(&rules); /* nobody was told of it yet */
    ck_assert_str_eq(names(), " heavy crumbs late first unused");
    ck_assert_uint_eq(page.action[0].from_level, CRITICAL);
    gov_relief_remove(rt, actions[1].id);
    ck_assert_str_eq(names(), " heavy late first unused");
    for (size_t i = 0; i < 5; i++)
        gov_relief_remove(rt, actions[i].id);
    ck_assert_str_eq(names(), "");
}
END_TEST

/* A floor that nobody keeps. */
START_TEST(one_that_never_runs_says_so)
{
    struct gov_relief relief = gov_relief_default();
    struct action action = {.name = "whole"};
    struct gov_relief_rules rules;
    uint32_t id;

    relief.name = action.name;
    relief.ctx = &action;
    relief.offer = action_offer;
    relief.run = action_run;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_OK);
    gov_relief_rules_default(&rules);
    rules.count = 1;
    memcpy(rules.step[0].action, "whole", 6);
    rules.step[0].floor_bytes = 1;
    put_relief(&rules);
    look();
    ck_assert_uint_eq(page.action[0].from_level, GOV_LEVEL_NEVER);
    gov_relief_remove(rt, id);
}
END_TEST

START_TEST(more_than_sixteen_are_cut)
{
    static char name[GOV__RELIEFS][8];
    struct action actions[GOV__RELIEFS] = {{0}};

    for (int i = 0; i < GOV__RELIEFS; i++) {
        snprintf(name[i], sizeof(name[i]), "a%d", i);
        actions[i].name = name[i];
        actions[i].cost = (uint32_t)(GOV__RELIEFS - i);
        add(&actions[i]);
    }
    look();
    for (int i = 0; i < GOV_PAGE_ACTIONS; i++)
        ck_assert_str_eq(page.action[i].name, name[GOV__RELIEFS - 1 - i]);
    for (int i = 0; i < GOV__RELIEFS; i++)
        gov_relief_remove(rt, actions[i].id);
}
END_TEST

static void look_within(struct action *action)
{
    (void)action;
    look();
    ck_assert_uint_eq(page.action[0].flags, GOV_PAGE_ACTION_RUNNING);
    ck_assert_uint_eq(page.action[0].runs, 0);
    sim_advance_ms(&sim, 2000);
    ck_assert(gov__relief_overdue(rt, sim.now_us));
    look();
    ck_assert_uint_eq(page.action[0].flags,
                      GOV_PAGE_ACTION_RUNNING | GOV_PAGE_ACTION_OVERDUE);
}

static void remove_within(struct action *action)
{
    gov_relief_remove(rt, action->id);
    ck_assert_str_eq(names(), "");
}

START_TEST(one_that_is_being_removed_is_not_shown)
{
    struct action action = {
        .name = "a", .offers = MIB, .inside = remove_within};

    add(&action);
    ck_assert_str_eq(names(), " a");
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(action.runs, 1);
}
END_TEST

START_TEST(an_action_shows_what_became_of_it)
{
    struct action action = {.name = "a",
                            .offers = 100 * MIB,
                            .gives = 40 * MIB,
                            .inside = look_within};

    add(&action);
    simulate(WARN);
    turn(250);
    look();
    ck_assert_uint_eq(page.action[0].flags, 0);
    ck_assert_uint_eq(page.action[0].runs, 1);
    action.inside = NULL;
    turn(60000);
    look();
    ck_assert_uint_eq(page.action[0].runs, 2);
    ck_assert_uint_eq(page.action[0].claimed_bytes, 160 * MIB);
    ck_assert_uint_eq(page.action[0].yield_bytes, 40 * MIB);
    ck_assert_uint_eq(page.action[0].last_yield_bytes, 40 * MIB);
    ck_assert_uint_eq(page.action[0].rest_ms, 5000);
    rt->slots[0].retired = true;
    rt->slots[0].rest_until_ms = UINT64_MAX;
    look();
    ck_assert_uint_eq(page.action[0].flags, GOV_PAGE_ACTION_RETIRED);
    ck_assert_uint_eq(page.action[0].rest_ms, UINT32_MAX);
    gov_relief_remove(rt, action.id);
}
END_TEST

/* ---- events ----------------------------------------------------------------------- */

START_TEST(events_are_kept_without_a_listener)
{
    struct action action = {.name = "a", .offers = MIB, .gives = MIB};

    add(&action);
    gov_on_event(rt, NULL, NULL);
    look();
    ck_assert_uint_eq(page.event[0].at_us, 0);
    simulate(CRITICAL);
    turn(250);
    gov_notice(rt, "by the app");
    look();
    ck_assert_uint_eq(page.event[0].at_us, sim.now_us);
    ck_assert_uint_eq(page.event[0].kind, GOV_EVENT_LEVEL);
    ck_assert_uint_eq(page.event[0].level, CRITICAL);
    ck_assert_uint_eq(page.event[0].yield_bytes, 0);
    ck_assert_str_eq(page.event[0].text, "critical: simulated");
    ck_assert_uint_eq(page.event[1].kind, GOV_EVENT_RELIEF);
    ck_assert_uint_eq(page.event[1].level, CRITICAL);
    ck_assert_uint_eq(page.event[1].yield_bytes, MIB);
    ck_assert_str_eq(page.event[1].text,
                     "a gave back 1024 KiB of 1024 KiB offered");
    ck_assert_uint_eq(page.event[2].kind, GOV_EVENT_NOTICE);
    ck_assert_uint_eq(page.event[2].level, CRITICAL);
    ck_assert_str_eq(page.event[2].text, "by the app");
    ck_assert_uint_eq(page.event[3].at_us, 0);
    gov_relief_remove(rt, action.id);
}
END_TEST

START_TEST(the_last_ones_are_kept)
{
    char text[200];

    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "notice %d", i);
        sim_advance_ms(&sim, 1);
        gov_notice(rt, text);
        look();
        for (int n = 0; n < GOV_PAGE_EVENTS; n++) {
            const int first = i < GOV_PAGE_EVENTS ? 0 : i + 1 - GOV_PAGE_EVENTS;

            snprintf(text, sizeof(text), "notice %d", first + n);
            ck_assert_str_eq(page.event[n].text, first + n <= i ? text : "");
            if (n > 0 && first + n <= i)
                ck_assert_uint_eq(page.event[n].at_us,
                                  page.event[n - 1].at_us + 1000);
        }
    }
    /* Cut at a character. */
    memset(text, 'x', sizeof(text));
    memcpy(text + 118, "\xC3\xA4", 2);
    text[199] = '\0';
    gov_notice(rt, text);
    look();
    ck_assert_uint_eq(strlen(page.event[GOV_PAGE_EVENTS - 1].text), 118);
}
END_TEST

static struct gate hung = GATE;

static void hang(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    (void)event;
    gate_open(&hung, 1);
    gate_wait(&hung, 2);
}

static void *notify(void *arg)
{
    (void)arg;
    gov_notice(rt, "hangs");
    return NULL;
}

/* A level that nobody could be told is told when the listener is back, and shown
 * once; what else happens meanwhile is shown though it is lost to it. */
START_TEST(a_listener_that_hangs_hides_nothing)
{
    pthread_t thread;

    gov_on_event(rt, hang, NULL);
    thread = start(notify, NULL);
    gate_wait(&hung, 1);
    sim_advance_ms(&sim, 2000);
    simulate(WARN);
    turn(250);
    turn(250);
    gov_notice(rt, "meanwhile");
    look();
    ck_assert_str_eq(page.event[0].text, "hangs");
    ck_assert_str_eq(page.event[1].text, "meanwhile");
    ck_assert_uint_eq(page.event[2].at_us, 0);
    gate_open(&hung, 2);
    pthread_join(thread, NULL);
    gov_on_event(rt, on_event, NULL);
    turn(250);
    turn(250);
    look();
    ck_assert_str_eq(page.event[2].text, "warn: simulated");
    ck_assert_uint_eq(page.event[3].at_us, 0);
}
END_TEST

/* ---- all of it, in the file -------------------------------------------------------- */

START_TEST(a_viewer_reads_it)
{
    const struct gov_platform *native = gov__platform_native();
    const char *directory = fresh_directory();
    struct gov_options options = gov_options_default();
    struct action action = {.name = "a", .offers = MIB, .gives = MIB};
    size_t count;

    tear_down();
    ck_assert_int_eq(chmod(directory, 0700), 0);
    ck_assert_int_eq(native->process(native->ctx, 0, &sim.process), 0);
    options.budget_bytes = sim.process.footprint_bytes + GIB;
    options.no_thread = options.no_policy_files = true;
    options.alloc = faults_alloc();
    ck_assert_int_eq(gov__open_on(&rt, &options, &sim.table, directory, &err),
                     GOV_OK);
    add(&action);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(gov_page_list(&page, 1, &count, directory, &err), GOV_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(page.version, 2);
    ck_assert_str_eq(page.action[0].name, "a");
    ck_assert_uint_eq(page.action[0].runs, 1);
    ck_assert_str_eq(page.action[1].name, "");
    ck_assert_str_eq(page.event[0].text, "warn: simulated");
    ck_assert_uint_eq(page.event[0].at_us, page.counter[GOV_PAGE_UPDATED_US]);
    ck_assert_uint_eq(page.event[1].yield_bytes, MIB);
    ck_assert_uint_eq(page.event[2].at_us, 0);
    gov_relief_remove(rt, action.id);
    drop_directory();
}
END_TEST

static _Atomic bool over;

static void *look_on(void *arg)
{
    struct gov_page own;

    (void)arg;
    while (!atomic_load(&over)) {
        gov__shown_fill(rt, &own);
        for (int i = 0; i < GOV_PAGE_EVENTS; i++)
            ck_assert(own.event[i].at_us == 0 ||
                      strcmp(own.event[i].text, "told") == 0);
        sched_yield();
    }
    return NULL;
}

static void *tell_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++)
        gov_notice(rt, "told");
    return NULL;
}

START_TEST(several_threads_tell)
{
    pthread_t thread[2], looks;

    atomic_store(&over, false);
    gov_on_event(rt, NULL, NULL);
    looks = start(look_on, NULL);
    for (int i = 0; i < 2; i++)
        thread[i] = start(tell_often, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    atomic_store(&over, true);
    pthread_join(looks, NULL);
    ck_assert_uint_eq(rt->shown.count, 1000);
}
END_TEST

/* ---- what it costs ----------------------------------------------------------------- */

#define ROUNDS 101
#define CALLS 1000

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Of a pair of calls, as an engine makes them after a token. */
START_TEST(a_hot_path_pays_less_than_100_ns)
{
    const uint32_t id = gov_gauges_new(rt);
    double took[ROUNDS];

    if (is_sanitized()) {
        skip_test("a_hot_path_pays_less_than_100_ns",
                  "a sanitizer's atomics are no measure");
        gov_gauges_free(rt, id);
        return;
    }
    for (int round = 0; round < ROUNDS; round++) {
        const double began = now_ns();

        for (uint64_t i = 0; i < CALLS; i++) {
            gov_publish(rt, GOV_PAGE_PASS_US, i);
            gov_gauges_set(rt, id, GOV_PAGE_TOKENS, i);
        }
        took[round] = (now_ns() - began) / CALLS;
    }
    qsort(took, ROUNDS, sizeof(took[0]), by_value);
    ck_assert_msg(took[ROUNDS / 2] < 100, "%.1f ns", took[ROUNDS / 2]);
    gov_gauges_free(rt, id);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("page_shown");
    TCase *t = tcase_create("shown");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, actions_come_in_the_order_of_the_ladder);
    tcase_add_test(t, one_that_never_runs_says_so);
    tcase_add_test(t, more_than_sixteen_are_cut);
    tcase_add_test(t, one_that_is_being_removed_is_not_shown);
    tcase_add_test(t, an_action_shows_what_became_of_it);
    tcase_add_test(t, events_are_kept_without_a_listener);
    tcase_add_test(t, the_last_ones_are_kept);
    tcase_add_test(t, a_listener_that_hangs_hides_nothing);
    tcase_add_test(t, a_viewer_reads_it);
    tcase_add_test(t, several_threads_tell);
    tcase_add_test(t, a_hot_path_pays_less_than_100_ns);
    suite_add_tcase(s, t);
    return s;
}
