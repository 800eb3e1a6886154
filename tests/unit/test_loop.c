/* SPDX-License-Identifier: MIT */
/* Two threads of the runtime, one that looks and one that works: what hangs keeps
 * nobody else; a loop of the host's; a child of fork(). The clock is set by hand,
 * the threads and what they wait for are real. */
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "governor/activity.h"
#include "governor/models.h"
#include "tests/unit/runtime_fixture.h"

/* Long enough for a thread to come by on a machine that is busy. */
#define PATIENCE_MS 20000

static void nap(void)
{
    const struct timespec ms = {0, 1000000};

    nanosleep(&ms, NULL);
}

/* The clock goes on while we wait, as it does. */
#define wait_until(condition)                                                  \
    do {                                                                       \
        int left_ = PATIENCE_MS;                                               \
                                                                               \
        while (!(condition) && left_-- > 0) {                                  \
            sim_advance_ms(&sim, 1);                                           \
            nap();                                                             \
        }                                                                      \
        ck_assert_msg(left_ > 0, "waited in vain for %s", #condition);         \
    } while (0)

static struct gate held = GATE;
static _Atomic int told, relieved, blocked;

static void open_threaded(const char *directory)
{
    struct gov_options options = gov_options_default();

    faults_reset();
    sim_init(&sim);
    happened[0] = '\0';
    held.stage = 0;
    atomic_store(&told, 0);
    atomic_store(&relieved, 0);
    atomic_store(&blocked, 0);
    options.budget_bytes = 4 * GIB;
    options.sample_ms = 100;
    options.no_publish = directory == NULL;
    options.no_policy_files = true;
    options.alloc = faults_alloc();
    ck_assert_int_eq(gov__open_on(&rt, &options, &sim.table, directory, &err),
                     GOV_OK);
}

static uint64_t offer_one(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    return MIB;
}

static void relieve_one(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    sim_grow(&sim, -(int64_t)MIB);
    atomic_fetch_add(&relieved, 1);
}

static void hold(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    atomic_fetch_add(&blocked, 1);
    gate_wait(&held, 1);
}

static void add_action(const char *name, uint32_t cost,
                       void (*run)(void *ctx, gov_level level))
{
    struct gov_relief relief = gov_relief_default();
    uint32_t id;

    relief.name = name;
    relief.rebuild_cost = cost;
    relief.offer = offer_one;
    relief.run = run;
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_OK);
}

/* ---- what does not come back ------------------------------------------------------ */

static void listen_and_hold(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    (void)event;
    if (atomic_fetch_add(&told, 1) == 0)
        gate_wait(&held, 1);
}

static bool is_telling(void)
{
    bool telling;

    pthread_mutex_lock(&rt->lock);
    telling = rt->delivering > 0;
    pthread_mutex_unlock(&rt->lock);
    return telling;
}

START_TEST(a_listener_that_hangs_hangs_nobody_else)
{
    open_threaded(NULL);
    add_action("cache.one", 1, relieve_one);
    gov_on_event(rt, listen_and_hold, NULL);
    simulate(WARN);
    wait_until(atomic_load(&told) == 1);
    /* Levels are known, and what there is to give back is given. */
    wait_until(atomic_load(&relieved) > 0);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    simulate(CRITICAL);
    wait_until(gov_level_now(rt) == CRITICAL);
    /* It is told nothing more until it comes back. */
    ck_assert_int_eq(atomic_load(&told), 1);
    gate_open(&held, 1);
    wait_until(!is_telling());
    ck_assert_int_eq(gov_simulate_end(rt, 0, &err), GOV_OK);
    wait_until(atomic_load(&told) > 1);
    tear_down();
}
END_TEST

START_TEST(an_action_that_hangs_keeps_no_other_from_running)
{
    open_threaded(NULL);
    add_action("first.hangs", 1, hold);
    add_action("then.one", 2, relieve_one);
    simulate(WARN);
    wait_until(atomic_load(&blocked) == 1);
    wait_until(atomic_load(&relieved) > 0);
    ck_assert_int_eq(atomic_load(&blocked), 1);
    gate_open(&held, 1);
    tear_down();
}
END_TEST

START_TEST(when_all_hang_the_level_is_known_and_it_is_said)
{
    char text[1024];

    open_threaded(NULL);
    add_action("a.hangs", 1, hold);
    add_action("b.hangs", 2, hold);
    add_action("c.hangs", 3, hold);
    add_action("d.one", 4, relieve_one);
    simulate(WARN);
    wait_until(atomic_load(&blocked) == 3);
    wait_until(strstr(gov_describe(rt, text, sizeof(text)),
                      "what gives memory back does not come back") != NULL);
    ck_assert_int_eq(atomic_load(&relieved), 0);
    simulate(CRITICAL);
    wait_until(gov_level_now(rt) == CRITICAL);
    /* They do after all, and the rest goes on. */
    gate_open(&held, 1);
    wait_until(atomic_load(&relieved) > 0);
    wait_until(strstr(gov_describe(rt, text, sizeof(text)),
                      "does not come back") == NULL);
    tear_down();
}
END_TEST

static void hold_relief(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    if (event->kind == GOV_EVENT_RELIEF && atomic_fetch_add(&told, 1) == 0)
        gate_wait(&held, 1);
}

/* It is told within the turn of relief, which goes to another thread, too. */
START_TEST(a_listener_that_hangs_at_relief_keeps_no_other_from_running)
{
    open_threaded(NULL);
    add_action("cache.one", 1, relieve_one);
    add_action("cache.two", 2, relieve_one);
    gov_on_event(rt, hold_relief, NULL);
    simulate(WARN);
    wait_until(atomic_load(&relieved) > 1);
    ck_assert_int_eq(atomic_load(&told), 1);
    gate_open(&held, 1);
    wait_until(!is_telling());
    tear_down();
}
END_TEST

static _Atomic int last_level;

static void hold_level(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    if (event->kind != GOV_EVENT_LEVEL)
        return;
    if (atomic_fetch_add(&told, 1) == 0)
        gate_wait(&held, 1);
    atomic_store(&last_level, (int)event->level);
}

START_TEST(who_hung_is_told_the_level)
{
    open_threaded(NULL);
    gov_on_event(rt, hold_level, NULL);
    simulate(WARN);
    wait_until(atomic_load(&told) == 1);
    simulate(CRITICAL);
    wait_until(gov_level_now(rt) == CRITICAL);
    sim_advance_ms(&sim, 2000);
    for (int i = 0; i < 300; i++) { /* and who works looks at it */
        sim_advance_ms(&sim, 1);
        nap();
    }
    ck_assert_int_eq(atomic_load(&told), 1);
    gate_open(&held, 1);
    wait_until(atomic_load(&last_level) == CRITICAL);
    ck_assert_int_eq(atomic_load(&told), 2);
    tear_down();
}
END_TEST

/* No thread, no descriptor, nothing is to be had any more. */
START_TEST(who_comes_back_works_where_no_other_thread_can_be_had)
{
    char text[1024];

    open_threaded(NULL);
    add_action("a.hangs", 1, hold);
    add_action("d.one", 2, relieve_one);
    simulate(WARN);
    wait_until(atomic_load(&blocked) == 1);
    faults_arm(0, true);
    wait_until(strstr(gov_describe(rt, text, sizeof(text)),
                      "what gives memory back does not come back") != NULL);
    ck_assert_int_eq(atomic_load(&relieved), 0);
    gate_open(&held, 1);
    wait_until(atomic_load(&relieved) > 0);
    wait_until(strstr(gov_describe(rt, text, sizeof(text)),
                      "does not come back") == NULL);
    faults_disarm();
    tear_down();
}
END_TEST

/* The NOTICE about a policy comes while the files are at hand. */
START_TEST(a_file_system_is_waited_for_after_an_event_too)
{
    struct gov_event event = {.kind = GOV_EVENT_NOTICE, .text = "notice"};

    set_up();
    rt->working = true;
    rt->worker = pthread_self();
    rt->waits_since_us = 1;
    gov__runtime_event(rt, &event);
    ck_happened("event notice\n");
    ck_assert_uint_eq(rt->waits_since_us, sim.now_us);
    rt->waits_since_us = 0;
    gov__runtime_event(rt, &event);
    ck_assert_uint_eq(rt->waits_since_us, 0);
    rt->working = false;
    tear_down();
}
END_TEST

/* Relief of an engine's thread that hangs is not the worker's. */
START_TEST(only_who_hangs_loses_the_turn_to_work)
{
    set_up();
    pthread_mutex_lock(&rt->lock);
    rt->working = true;
    rt->worker = pthread_self();
    ck_assert_uint_ne(gov__turn_take_locked(rt, GOV__LANE_TURN), 0);
    gov__turn_tells_locked(rt, sim.now_us);
    memset(&rt->worker, 0, sizeof(rt->worker)); /* another one */
    pthread_mutex_unlock(&rt->lock);
    sim_advance_ms(&sim, 1000);
    ck_assert(!gov__work_abandon(rt));
    ck_assert(rt->relieving);
    sim_advance_ms(&sim, 1);
    ck_assert(!gov__work_abandon(rt));
    ck_assert(!rt->relieving);
    ck_assert(rt->working);
    pthread_mutex_lock(&rt->lock);
    rt->worker = pthread_self();
    ck_assert_uint_ne(gov__turn_take_locked(rt, GOV__LANE_TURN), 0);
    gov__turn_tells_locked(rt, sim.now_us);
    pthread_mutex_unlock(&rt->lock);
    sim_advance_ms(&sim, 1001);
    ck_assert(gov__work_abandon(rt));
    ck_assert(!rt->working);
    ck_assert(!gov__work_abandon(rt));
    tear_down();
}
END_TEST

static int ran_inside;

static void pass_in_budget(void *ctx, uint64_t budget_bytes)
{
    (void)ctx;
    (void)budget_bytes;
    pthread_mutex_lock(&rt->lock);
    rt->pending = true;
    pthread_mutex_unlock(&rt->lock);
    gov_pass_begin(rt);
    gov_pass_end(rt);
    ran_inside = atomic_load(&relieved);
    note("budget", "");
}

START_TEST(a_pass_in_a_callback_runs_nothing)
{
    struct gov_relief relief = gov_relief_default();
    uint32_t id;

    set_up();
    atomic_store(&relieved, 0);
    ran_inside = -1;
    relief.name = "with.budget";
    relief.offer = offer_one;
    relief.run = relieve_one;
    relief.budget = pass_in_budget;
    relief.between_passes = true; /* no other runs at the end of a pass */
    ck_assert_int_eq(gov_relief_add(rt, &relief, &id, &err), GOV_OK);
    gov_set_budget(rt, 3 * GIB);
    simulate(WARN);
    turn(250);
    ck_assert_int_eq(ran_inside, 0);
    ck_assert_int_eq(atomic_load(&relieved), 1);
    tear_down();
}
END_TEST

START_TEST(no_news_is_lost_where_nobody_works)
{
    struct gov__judged judged = {.before = NORMAL, .level = NORMAL};

    set_up();
    judged.budget_changed = true;
    snprintf(judged.news, sizeof(judged.news), "another budget");
    gov__work_add(rt, &judged);
    judged.budget_changed = false;
    for (int i = 0; i < 2 * GOV__TODO; i++)
        gov__work_add(rt, &judged);
    ck_assert_uint_eq(rt->todo_count, GOV__TODO);
    gov__work(rt, false);
    ck_happened("event another budget\n");
    ck_assert_uint_eq(rt->todo_count, 0);
    tear_down();
}
END_TEST

/* poll() takes no more descriptors than a process may have. */
START_TEST(who_may_have_no_descriptors_looks_at_its_pace)
{
    struct rlimit before, none;
    uint64_t calls;

    open_threaded(NULL);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    gov__runtime_wake(rt);
    nap();
    calls = atomic_load(&sim.calls);
    for (int i = 0; i < 300; i++)
        nap();
    calls = atomic_load(&sim.calls) - calls;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    /* Up to ten looks a second, and a machine that is busy. */
    ck_assert_uint_lt(calls, 2000);
    simulate(WARN);
    wait_until(gov_level_now(rt) == WARN);
    tear_down();
}
END_TEST

/* ---- what wakes ---------------------------------------------------------------------- */

START_TEST(what_was_expected_adds_up)
{
    open_threaded(NULL);
    gov_expect(rt, 100);
    gov_expect(rt, 50);
    ck_assert_uint_eq(atomic_load(&rt->expected), 150);
    gov_expect(rt, -60);
    ck_assert_uint_eq(atomic_load(&rt->expected), 90);
    gov_expect(rt, -200);
    ck_assert_uint_eq(atomic_load(&rt->expected), 0);
    gov_expect(rt, INT64_MIN);
    ck_assert_uint_eq(atomic_load(&rt->expected), 0);
    gov_expect(rt, INT64_MAX);
    gov_expect(rt, INT64_MAX);
    gov_expect(rt, INT64_MAX);
    ck_assert_uint_eq(atomic_load(&rt->expected), UINT64_MAX);
    gov_expect(NULL, 1);
    tear_down();
}
END_TEST

START_TEST(what_is_expected_is_evidence_once_it_was_said)
{
    set_up();
    turn(250);
    ck_assert((rt->last.evidence.have & GOV_HAVE_EXPECTED) == 0);
    gov_expect(rt, 7 * (int64_t)MIB);
    turn(250);
    ck_assert((rt->last.evidence.have & GOV_HAVE_EXPECTED) != 0);
    ck_assert_uint_eq(rt->last.evidence.expected_bytes, 7 * MIB);
    gov_expect(rt, -7 * (int64_t)MIB);
    turn(250);
    ck_assert((rt->last.evidence.have & GOV_HAVE_EXPECTED) != 0);
    ck_assert_uint_eq(rt->last.evidence.expected_bytes, 0);
    tear_down();
}
END_TEST

START_TEST(sources_are_listed)
{
    struct gov_source sources[24];
    size_t count;

    set_up();
    turn(250);
    count = gov_sources(rt, sources, 24);
    ck_assert_uint_ge(count, 5);
    ck_assert_uint_eq(gov_sources(rt, sources, 1), count);
    ck_assert_uint_eq(gov_sources(NULL, sources, 24), 0);
    count = gov_sources(rt, sources, 24);
    ck_assert_str_eq(sources[0].name, "PSI totals");
    ck_assert_int_eq(sources[0].state, GOV_SOURCE_LIVE);
    ck_assert_str_eq(sources[0].why, "system");
    ck_assert_str_eq(sources[4].name, "the system's own level");
    ck_assert_int_eq(sources[4].state, GOV_SOURCE_ABSENT);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(sources[i].size, sizeof(sources[i]));
    tear_down();
}
END_TEST

/* ---- a loop of the host's ------------------------------------------------------------ */

static void open_native(bool no_thread)
{
    struct gov_options options = gov_options_default();

    faults_reset();
    options.no_thread = no_thread;
    options.no_publish = true;
    options.no_policy_files = true;
    options.alloc = faults_alloc();
    ck_assert_int_eq(
        gov__open_on(&rt, &options, gov__platform_native(), NULL, &err),
        GOV_OK);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};

    return poll(&polled, 1, timeout_ms) == 1;
}

START_TEST(a_loop_of_the_hosts_is_told_when)
{
    uint64_t before;
    int fd, again;

    open_native(true);
    if (rt->platform->gather == NULL) {
        printf("skipped: this system has nothing to gather descriptors with\n");
        tear_down();
        return;
    }
    ck_assert_int_eq(gov_fd(rt, &fd, &err), GOV_OK);
    ck_assert_int_eq(gov_fd(rt, &again, &err), GOV_OK);
    ck_assert_int_eq(fd, again);
    /* By time, or by what the system tells, which may come to nothing. */
    before = rt->last.evidence.now_ms;
    for (int i = 0; i < 100 && rt->last.evidence.now_ms == before; i++) {
        ck_assert(readable(fd, PATIENCE_MS));
        gov_dispatch(rt);
    }
    ck_assert_uint_gt(rt->last.evidence.now_ms, before);
    /* By what somebody asks for. */
    simulate(WARN);
    ck_assert(readable(fd, 0));
    gov_dispatch(rt);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    ck_assert(!readable(fd, 0));
    /* Where nothing is due nothing is done. */
    before = rt->last.evidence.now_ms;
    gov_dispatch(rt);
    ck_assert_uint_eq(rt->last.evidence.now_ms, before);
    tear_down();
}
END_TEST

START_TEST(who_has_a_thread_needs_no_loop)
{
    int fd;

    open_native(false);
    ck_assert_int_eq(gov_fd(rt, &fd, &err), GOV_E_UNSUPPORTED);
    ck_assert_str_eq(err.message,
                     "the runtime has a thread of its own and needs no loop; "
                     "set no_thread");
    gov_dispatch(rt);
    ck_assert_int_eq(gov_fd(NULL, &fd, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_fd(rt, NULL, &err), GOV_E_INVALID);
    gov_dispatch(NULL);
    tear_down();
}
END_TEST

START_TEST(where_there_is_nothing_to_wait_for_it_is_said)
{
    int fd;

    set_up();
    ck_assert_int_eq(gov_fd(rt, &fd, &err), GOV_E_UNSUPPORTED);
    ck_assert_str_eq(err.message,
                     "this system has no descriptor to wait for all of it; "
                     "call gov_step() by a timer");
    gov_dispatch(rt);
    tear_down();
}
END_TEST

static void loop_once(uint64_t n, bool forever)
{
    int fd;

    open_native(true);
    faults_arm(n, forever);
    if (gov_fd(rt, &fd, &err) == GOV_OK) {
        simulate(n % 2 == 0 ? WARN : CRITICAL);
        gov_dispatch(rt);
        gov_dispatch(rt);
    }
    faults_disarm();
    gov_step(rt);
    gov_close(rt);
}

/* Every call of gov_fd() and of a dispatch fails in turn, once and for good: nothing
 * stays open, and steps go on. */
START_TEST(a_loop_survives_calls_that_fail)
{
    const int before = faults_open_descriptors();
    uint64_t calls;

    loop_once(FAULTS_NEVER, false);
    calls = faults_count();
    ck_assert_uint_gt(calls, 5);
    for (uint64_t n = 0; n < calls; n++) {
        loop_once(n, _i != 0);
        ck_assert_int_eq(faults_open_descriptors(), before);
    }
}
END_TEST

/* ---- fork -------------------------------------------------------------------------- */

static uint64_t bytes_none(void *ctx)
{
    (void)ctx;
    return 0;
}

static gov_status load_none(void *ctx, gov_error *why)
{
    (void)ctx;
    (void)why;
    return GOV_OK;
}

static void unload_none(void *ctx)
{
    (void)ctx;
}

START_TEST(a_child_of_fork_is_not_governed)
{
    struct gov_source source;
    int status = -1;
    pid_t child;

    open_native(false);
    pthread_mutex_lock(
        &rt->lock); /* as a thread may that is not in the child */
    child = fork();
    if (child != 0)
        pthread_mutex_unlock(&rt->lock);
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct gov_model_entry model = gov_model_entry_default();
        uint32_t id;
        int fd;

        alarm(20);
        model.name = "one";
        model.bytes = bytes_none;
        model.load = load_none;
        model.unload = unload_none;
        if (gov_models_add(rt, &model, &id, &err) != GOV_E_UNSUPPORTED ||
            gov_simulate(rt, WARN, 0, &err) != GOV_E_UNSUPPORTED ||
            gov_policy_reload(rt, &err) != GOV_E_UNSUPPORTED ||
            gov_gauges_new(rt) != 0)
            _exit(2);
        gov_publish_text(rt, GOV_PAGE_TEXT_APP, "child");
        gov_activity_begin(rt, "child");
        gov_activity_end(rt);
        gov_step(rt);
        gov_dispatch(rt);
        gov_pass_begin(rt);
        gov_pass_end(rt);
        if (gov_sources(rt, &source, 1) != 0 || gov_fd(rt, &fd, &err) == GOV_OK)
            _exit(1);
        gov_close(rt);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    /* The parent goes on. */
    simulate(WARN);
    for (int i = 0; i < PATIENCE_MS && gov_level_now(rt) != WARN; i++)
        nap();
    ck_assert_int_eq(gov_level_now(rt), WARN);
    tear_down();
}
END_TEST

/* ---- what it costs ----------------------------------------------------------------- */

static uint64_t woken_at(void)
{
    uint64_t at;

    pthread_mutex_lock(&rt->lock);
    at = rt->woke_ms;
    pthread_mutex_unlock(&rt->lock);
    return at;
}

/* What gave and never takes anything again is no reason to wake who works. */
START_TEST(after_relief_that_does_not_regrow_it_is_quiet)
{
    uint64_t at;

    open_threaded(NULL);
    add_action("gives.for_good", 1, relieve_one);
    simulate(WARN);
    wait_until(atomic_load(&relieved) > 0);
    ck_assert_int_eq(gov_simulate_end(rt, 0, &err), GOV_OK);
    wait_until(gov_level_now(rt) == NORMAL);
    at = woken_at();
    wait_until(woken_at() > at);
    at = woken_at();
    for (int i = 0; i < 1000; i++) { /* some ten looks */
        sim_advance_ms(&sim, 1);
        nap();
    }
    ck_assert_uint_eq(woken_at(), at);
    tear_down();
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("loop");
    TCase *tc = tcase_create("hangs");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_listener_that_hangs_hangs_nobody_else);
    tcase_add_test(tc, an_action_that_hangs_keeps_no_other_from_running);
    tcase_add_test(tc, when_all_hang_the_level_is_known_and_it_is_said);
    tcase_add_test(tc,
                   a_listener_that_hangs_at_relief_keeps_no_other_from_running);
    tcase_add_test(tc, who_hung_is_told_the_level);
    tcase_add_test(tc, who_comes_back_works_where_no_other_thread_can_be_had);
    tcase_add_test(tc, a_file_system_is_waited_for_after_an_event_too);
    tcase_add_test(tc, only_who_hangs_loses_the_turn_to_work);
    tcase_add_test(tc, a_pass_in_a_callback_runs_nothing);
    tcase_add_test(tc, no_news_is_lost_where_nobody_works);
    tcase_add_test(tc, who_may_have_no_descriptors_looks_at_its_pace);
    suite_add_tcase(s, tc);
    tc = tcase_create("evidence");
    tcase_add_test(tc, what_was_expected_adds_up);
    tcase_add_test(tc, what_is_expected_is_evidence_once_it_was_said);
    tcase_add_test(tc, sources_are_listed);
    suite_add_tcase(s, tc);
    tc = tcase_create("host");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_loop_of_the_hosts_is_told_when);
    tcase_add_test(tc, who_has_a_thread_needs_no_loop);
    tcase_add_test(tc, where_there_is_nothing_to_wait_for_it_is_said);
    tcase_add_loop_test(tc, a_loop_survives_calls_that_fail, 0, 2);
    suite_add_tcase(s, tc);
    tc = tcase_create("cost");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, after_relief_that_does_not_regrow_it_is_quiet);
    suite_add_tcase(s, tc);
    tc = tcase_create("fork");
    tcase_add_test(tc, a_child_of_fork_is_not_governed);
    suite_add_tcase(s, tc);
    return s;
}
