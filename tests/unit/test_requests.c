/* SPDX-License-Identifier: MIT */
/* What the runtime records: rows that wait, when they are written, what it knows of
 * them itself, and that a database that cannot be written holds nobody up. */
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "governor/device/device_priv.h"
#include "tests/unit/runtime_fixture.h"

static char path[512];

static void open_it(const char *telemetry)
{
    struct gov_options options = gov_options_default();

    faults_reset();
    sim_init(&sim);
    happened[0] = '\0';
    options.app = "an app";
    options.budget_bytes = 4 * GIB;
    options.no_thread = true;
    options.no_publish = true;
    options.no_policy_files = true;
    options.telemetry = telemetry;
    options.telemetry_bytes = MIB;
    options.alloc = faults_alloc();
    ck_assert_int_eq(gov__open_on(&rt, &options, &sim.table, NULL, &err),
                     GOV_OK);
    gov_on_event(rt, on_event, NULL);
}

static void begin(void)
{
    /* Where the profile of whoever runs this is not. */
    ck_assert_int_eq(setenv("XDG_CONFIG_HOME", fresh_directory(), 1), 0);
    snprintf(path, sizeof(path), "%s/telemetry.db", fresh_directory());
    open_it(path);
}

static void finish(void)
{
    if (rt != NULL)
        tear_down();
    drop_directory();
}

static void done(uint32_t tokens)
{
    struct gov_request row = {.size = sizeof(row), .tokens = tokens};

    snprintf(row.model, sizeof(row.model), "a model");
    row.took_us = 1000;
    gov_request_done(rt, &row);
}

static uint64_t counter(gov_page_counter which)
{
    return atomic_load(&rt->counter[which]);
}

struct rows {
    size_t requests, samples, reliefs;
    struct gov_request last, first;
    struct gov_telemetry_sample sample;
    struct gov_telemetry_relief relief;
    struct gov_telemetry_totals totals;
};

static bool on_request(void *ctx, const struct gov_request *row)
{
    struct rows *rows = ctx;

    if (rows->requests++ == 0)
        rows->first = *row;
    rows->last = *row;
    return true;
}

static bool on_sample(void *ctx, const struct gov_telemetry_sample *row)
{
    struct rows *rows = ctx;

    rows->samples++;
    rows->sample = *row;
    return true;
}

static bool on_relief(void *ctx, const struct gov_telemetry_relief *row)
{
    struct rows *rows = ctx;

    rows->reliefs++;
    rows->relief = *row;
    return true;
}

/* Nothing where there is no database. */
static struct rows look(void)
{
    struct rows rows;
    gov_telemetry *t;

    memset(&rows, 0, sizeof(rows));
    if (gov_telemetry_read(&t, path, &err) != GOV_OK)
        return rows;
    ck_assert_int_eq(
        gov_telemetry_requests(t, NULL, 0, on_request, &rows, &err), GOV_OK);
    ck_assert_int_eq(gov_telemetry_samples(t, NULL, 0, on_sample, &rows, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_telemetry_reliefs(t, NULL, 0, on_relief, &rows, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_telemetry_sum(t, NULL, &rows.totals, &err), GOV_OK);
    gov_telemetry_close(t);
    return rows;
}

/* ---- when -------------------------------------------------------------------------- */

START_TEST(written_two_seconds_later)
{
    struct rows rows;

    turn(2500); /* the first sample */
    done(1);
    turn(1000);
    ck_assert_uint_eq(look().requests, 0);
    done(2);
    turn(1100);
    rows = look();
    ck_assert_uint_eq(rows.requests, 2);
    ck_assert_uint_eq(rows.samples, 1);
    ck_assert_str_eq(rows.last.app, "an app");
    ck_assert_str_eq(rows.sample.app, "an app");
    ck_assert_uint_eq(rows.last.footprint_bytes, counter(GOV_PAGE_FOOTPRINT));
    ck_assert_uint_gt(rows.last.footprint_bytes, 0);
    ck_assert_int_gt(rows.last.at_ms, 0);
    ck_happened("");
}
END_TEST

START_TEST(written_at_once_when_many_wait)
{
    turn(2500);
    for (uint32_t i = 0; i < 64; i++)
        done(i);
    turn(100);
    ck_assert_uint_eq(look().requests, 64);
}
END_TEST

/* By its own threads, too. Time stands still, so that nothing else wakes the one that
 * writes: it was woken for the first look alone. */
START_TEST(woken_when_many_wait)
{
    struct gov_options options = gov_options_default();
    const struct timespec pause = {0, 10000000};
    size_t requests = 0;

    tear_down();
    options.no_publish = options.no_policy_files = true;
    options.telemetry = path;
    options.budget_bytes = 4 * GIB;
    options.alloc = faults_alloc();
    ck_assert_int_eq(gov__open_on(&rt, &options, &sim.table, NULL, &err),
                     GOV_OK);
    for (size_t round = 1; round <= 8; round++) {
        for (uint32_t i = 0; i < 64; i++)
            done(i);
        for (int i = 0; i < 1500 && requests < round * 64; i++) {
            requests = look().requests;
            nanosleep(&pause, NULL);
        }
        /* Samples are counted: a few may wait for the next ones. */
        ck_assert_uint_ge(requests, round * 64 - 2);
    }
    ck_assert_uint_eq(counter(GOV_PAGE_TELEMETRY_LOST), 0);
}
END_TEST

/* A loop of the host's hears of it. */
START_TEST(wakes_the_host)
{
    watch_wakes();
    turn(2500);
    for (uint32_t i = 0; i < 60; i++)
        done(i);
    ck_assert_int_eq(wakes(), 0);
    for (uint32_t i = 0; i < 1000; i++)
        done(i);
    /* Not for each: there is no more room. */
    ck_assert_int_ge(wakes(), 1);
    ck_assert_int_le(wakes(), 4);
}
END_TEST

START_TEST(written_at_the_end)
{
    struct rows rows;

    done(3);
    tear_down();
    rows = look();
    ck_assert_uint_eq(rows.requests, 1);
    ck_assert_uint_eq(rows.last.tokens, 3);
    ck_assert_uint_eq(rows.samples, 1);
}
END_TEST

START_TEST(nothing_unasked)
{
    tear_down();
    ck_assert_int_eq(unlink(path), 0);
    open_it(NULL);
    done(1);
    turn(5000);
    tear_down();
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* Every 10 s, and when the level becomes another one. */
START_TEST(samples)
{
    for (int i = 0; i < 21; i++)
        turn(1000);
    tear_down();
    ck_assert_uint_eq(look().samples, 3);
    finish();
    begin();
    turn(100);
    simulate(WARN);
    turn(100);
    simulate(CRITICAL);
    turn(100);
    tear_down();
    ck_assert_uint_eq(look().samples, 3);
    ck_assert_int_eq(look().sample.level, CRITICAL);
    ck_assert_uint_eq(look().sample.budget_bytes, 4 * GIB);
}
END_TEST

/* ---- what the runtime knows ------------------------------------------------------------ */

START_TEST(what_happened_meanwhile)
{
    struct action action = {.name = "gives", .offers = MIB, .gives = MIB};
    struct gov_request row = {.size = sizeof(row)};
    struct rows rows;

    add(&action);
    row.at_ms = (int64_t)time(NULL) * 1000 - 1000;
    simulate(WARN);
    turn(100);
    turn(1100);
    ck_assert_int_eq(action.runs, 1);
    simulate(NORMAL);
    turn(100);
    gov_request_done(rt, &row);
    row.at_ms = (int64_t)time(NULL) * 1000 + 60000; /* before it, nothing */
    gov_request_done(rt, &row);
    tear_down();
    rows = look();
    ck_assert_uint_eq(rows.requests, 2);
    ck_assert_int_eq(rows.first.level, WARN);
    ck_assert_uint_eq(rows.first.evictions, 1);
    ck_assert_int_eq(rows.last.level, NORMAL);
    ck_assert_uint_eq(rows.last.evictions, 0);
    ck_assert_uint_eq(rows.reliefs, 1);
    ck_assert_str_eq(rows.relief.action, "gives");
    ck_assert_uint_eq(rows.relief.yield_bytes, MIB);
    ck_assert_int_eq(rows.relief.level, WARN);
}
END_TEST

START_TEST(odd_rows)
{
    struct gov_request row = {.size = 3};

    gov_request_done(rt, &row);
    row.size = 0;
    gov_request_done(rt, &row);
    gov_request_done(rt, NULL);
    gov_request_done(NULL, &row);
    tear_down();
    ck_assert_uint_eq(look().requests, 0);
}
END_TEST

/* A name for people: of a path the end, and of one that was cut off nothing. */
START_TEST(no_paths)
{
    static const char *const names[][2] = {
        {"a model", "a model"},
        {"", ""},
        {"/home/someone/secret/m.gguf", "m.gguf"},
        {"C:\\Users\\someone\\m.gguf", "m.gguf"},
        {"someone/m", "m"},
        {"/home/someone/", "model"},
        {"\\", "model"},
        {"/home/someone/0123456789012345678901234567890123456789012345678901"
         "23456789/a secret directory/m.gguf",
         "model"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct gov_request row = {.size = sizeof(row)};

        snprintf(row.model, sizeof(row.model), "%s", names[i][0]);
        gov_request_done(rt, &row);
        turn(2500);
        ck_assert_str_eq(look().last.model, names[i][1]);
    }
}
END_TEST

/* A name of eight facts, which is in each row unless the app has another. */
START_TEST(of_the_stored_profile)
{
    struct gov_request row = {.size = sizeof(row)};
    struct gov_device device;
    char id[GOV__DEVICE_ID], other[GOV__DEVICE_ID];
    struct rows rows;

    done(1);
    tear_down();
    ck_assert_str_eq(look().last.profile, ""); /* there is none */

    ck_assert_int_eq(gov_device_probe(&device, &err), GOV_OK);
    ck_assert_int_eq(gov_device_save(&device, NULL, &err), GOV_OK);
    gov__device_id(&device, id);
    ck_assert_uint_eq(strlen(id), 16);
    ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 16);
    open_it(path);
    done(2);
    snprintf(row.profile, sizeof(row.profile), "the app's own");
    gov_request_done(rt, &row);
    tear_down();
    rows = look();
    ck_assert_uint_eq(rows.requests, 3);
    ck_assert_str_eq(rows.last.profile, "the app's own");

    open_it(path);
    done(3);
    tear_down();
    ck_assert_str_eq(look().last.profile, id);

    /* When it was measured is not in it, and what it depends on is. */
    device.measured_at += 86400;
    gov__device_id(&device, other);
    ck_assert_str_eq(other, id);
    gov__device_set(&device, GOV_FACT_DEVICE_PAGE_SIZE, 65536, "a test");
    gov__device_id(&device, other);
    ck_assert_str_ne(other, id);
    gov__device_unknown(&device, GOV_FACT_DEVICE_PAGE_SIZE, "a test");
    gov__device_id(&device, id);
    ck_assert_str_ne(other, id);
}
END_TEST

/* ---- trouble --------------------------------------------------------------------------- */

START_TEST(the_oldest_are_lost)
{
    struct rows rows;

    for (uint32_t i = 0; i < 300; i++)
        done(i);
    ck_assert_uint_eq(counter(GOV_PAGE_TELEMETRY_LOST), 44);
    turn(100);
    rows = look();
    ck_assert_uint_eq(rows.requests, 256);
    ck_assert_uint_eq(rows.totals.lost, 44);
    ck_assert_uint_eq(rows.last.tokens, 299);
}
END_TEST

/* It says so once, tries again ever more seldom, and loses nothing that has room. */
START_TEST(a_place_that_is_none)
{
    char line[1024];
    struct rows rows;

    ck_assert_int_eq(mkdir(path, 0700), 0);
    done(1);
    turn(2500);
    ck_assert_ptr_nonnull(strstr(happened, "no telemetry is recorded for now"));
    happened[0] = '\0';
    ck_assert_ptr_nonnull(strstr(gov_describe(rt, line, sizeof(line)),
                                 "no telemetry is recorded: "));
    for (int i = 0; i < 20; i++)
        turn(3000);
    ck_happened("");
    ck_assert_uint_eq(counter(GOV_PAGE_TELEMETRY_LOST), 0);
    ck_assert_int_eq(rmdir(path), 0);
    turn(70000);
    turn(2500);
    rows = look();
    ck_assert_uint_eq(rows.requests, 1);
    ck_assert_uint_eq(rows.totals.lost, 0);
    ck_assert_ptr_null(strstr(gov_describe(rt, line, sizeof(line)),
                              "no telemetry is recorded"));
}
END_TEST

START_TEST(lost_while_it_fails)
{
    ck_assert_int_eq(mkdir(path, 0700), 0);
    for (uint32_t i = 0; i < 200; i++)
        done(i);
    turn(100);
    for (uint32_t i = 200; i < 400; i++)
        done(i);
    turn(100);
    ck_assert_uint_eq(counter(GOV_PAGE_TELEMETRY_LOST), 144);
    ck_assert_int_eq(rmdir(path), 0);
    turn(70000);
    ck_assert_uint_eq(look().requests, 256);
    ck_assert_uint_eq(look().totals.lost, 144);
    ck_assert_uint_eq(look().first.tokens, 144);
    ck_assert_uint_eq(look().last.tokens, 399);
}
END_TEST

static bool page_was_late;

static void on_problem(void *ctx, const struct gov_event *event)
{
    on_event(ctx, event);
    page_was_late =
        counter(GOV_PAGE_UPDATED_US) != sim.table.now_us(sim.table.ctx);
}

/* Who reads the page does not wait for who holds the file. */
START_TEST(the_page_comes_first)
{
    gov_on_event(rt, on_problem, NULL);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    done(1);
    turn(100);
    ck_happened("");
    turn(2500);
    ck_assert_ptr_nonnull(strstr(happened, "no telemetry is recorded for now"));
    ck_assert(!page_was_late);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

/* The file is made anew, and what waited is in it. */
START_TEST(removed_meanwhile)
{
    done(1);
    turn(2500);
    ck_assert_uint_eq(look().requests, 1);
    ck_assert_int_eq(unlink(path), 0);
    done(2);
    turn(2500);
    ck_assert_uint_eq(look().requests, 1);
    ck_assert_uint_eq(look().last.tokens, 2);
    ck_happened("");
}
END_TEST

/* Another process has it for good: a second of waiting at the most, and then less
 * and less often. */
START_TEST(held_for_ever)
{
    struct timespec from, to;
    sqlite3 *db = NULL;

    done(1);
    turn(2500);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL),
                     SQLITE_OK);
    done(2);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 50; i++) /* 150 s: of 50 turns six wait */
        turn(3000);
    clock_gettime(CLOCK_MONOTONIC, &to);
    ck_assert_int_lt(to.tv_sec - from.tv_sec, 30);
    ck_assert_ptr_nonnull(strstr(happened, "another process holds"));
    happened[0] = '\0';
    sqlite3_close(db);
    turn(70000);
    ck_assert_uint_eq(look().requests, 2);
    ck_happened("");
}
END_TEST

START_TEST(in_a_child)
{
    int how = 0;
    pid_t pid;

    done(1);
    turn(2500);
    done(2);
    pid = fork();
    if (pid == 0) {
        done(3);
        gov_close(rt);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &how, 0), pid);
    ck_assert_int_eq(how, 0);
    turn(2500);
    ck_assert_uint_eq(look().requests, 2);
}
END_TEST

START_TEST(no_memory)
{
    struct gov_options options = gov_options_default();
    uint64_t calls;
    int failed = 0;

    tear_down();
    options.no_thread = options.no_publish = options.no_policy_files = true;
    options.telemetry = path;
    options.alloc = faults_alloc();
    options.budget_bytes = GIB;
    faults_only("alloc");
    ck_assert_int_eq(gov__open_on(&rt, &options, &sim.table, NULL, &err),
                     GOV_OK);
    calls = faults_count();
    tear_down();
    /* What is not needed to be governed may be missing. */
    for (uint64_t n = 0; n < calls; n++) {
        faults_arm(n, false);
        rt = NULL;
        if (gov__open_on(&rt, &options, &sim.table, NULL, &err) == GOV_OK)
            tear_down();
        else
            failed += err.status == GOV_E_NOMEM &&
                      strstr(err.message, "telemetry") != NULL;
        ck_assert_int_eq(faults_live_blocks(), 0);
    }
    ck_assert_int_eq(failed, 1);
    rt = NULL;
    faults_reset();
}
END_TEST

/* Rows come from several threads while they are written. */
static void *many(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < 2000; i++)
        done(i);
    return NULL;
}

START_TEST(from_threads)
{
    pthread_t threads[4];
    struct rows rows;

    for (int i = 0; i < 4; i++)
        threads[i] = start(many, NULL);
    for (int i = 0; i < 50; i++)
        turn(2100);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    tear_down();
    rows = look();
    ck_assert_uint_eq(rows.requests + rows.totals.lost, 8000);
}
END_TEST

static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    return false;
}

START_TEST(costs_little)
{
    struct timespec from, to;
    int64_t ns, least = INT64_MAX;

    if (sanitized()) {
        skip_test("costs_little", "it measures time, and there is a sanitizer");
        return;
    }
    for (int round = 0; round < 20; round++) {
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (uint32_t i = 0; i < 1000; i++)
            done(i);
        clock_gettime(CLOCK_MONOTONIC, &to);
        ns = (to.tv_sec - from.tv_sec) * INT64_C(1000000000) + to.tv_nsec -
             from.tv_nsec;
        least = ns < least ? ns : least;
    }
    printf("a request recorded: %d ns\n", (int)(least / 1000));
    /* 1 us is the goal; the machine may be busy. */
    ck_assert_int_lt(least / 1000, 5000);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("requests");
    TCase *tc = tcase_create("requests");

    tcase_add_checked_fixture(tc, begin, finish);
    tcase_add_test(tc, written_two_seconds_later);
    tcase_add_test(tc, written_at_once_when_many_wait);
    tcase_add_test(tc, woken_when_many_wait);
    tcase_add_test(tc, wakes_the_host);
    tcase_add_test(tc, written_at_the_end);
    tcase_add_test(tc, nothing_unasked);
    tcase_add_test(tc, samples);
    tcase_add_test(tc, what_happened_meanwhile);
    tcase_add_test(tc, odd_rows);
    tcase_add_test(tc, no_paths);
    tcase_add_test(tc, of_the_stored_profile);
    tcase_add_test(tc, the_oldest_are_lost);
    tcase_add_test(tc, a_place_that_is_none);
    tcase_add_test(tc, lost_while_it_fails);
    tcase_add_test(tc, the_page_comes_first);
    tcase_add_test(tc, removed_meanwhile);
    tcase_add_test(tc, held_for_ever);
    tcase_add_test(tc, in_a_child);
    tcase_add_test(tc, no_memory);
    tcase_add_test(tc, from_threads);
    tcase_add_test(tc, costs_little);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return s;
}
