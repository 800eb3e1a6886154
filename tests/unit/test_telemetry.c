/* SPDX-License-Identifier: MIT */
/* The store of telemetry: what is written comes back, percentiles are those of the
 * rows, it stays as small as it is told, and believes no file. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/telemetry_fixture.h"

#define ROWS 6000

/* ---- there and back ---------------------------------------------------------------- */

struct seen {
    size_t count;
    struct gov_request request;
    struct gov_telemetry_relief relief;
    struct gov_telemetry_sample sample;
};

static bool see_request(void *ctx, const struct gov_request *row)
{
    struct seen *seen = ctx;

    ck_assert(seen->count == 0 || seen->request.at_ms <= row->at_ms);
    seen->request = *row;
    seen->count++;
    return true;
}

static bool see_relief(void *ctx, const struct gov_telemetry_relief *row)
{
    struct seen *seen = ctx;

    seen->relief = *row;
    seen->count++;
    return true;
}

static bool see_sample(void *ctx, const struct gov_telemetry_sample *row)
{
    struct seen *seen = ctx;

    seen->sample = *row;
    seen->count++;
    return true;
}

START_TEST(comes_back)
{
    const struct gov_request request = random_request();
    const struct gov_telemetry_relief relief = random_relief();
    const struct gov_telemetry_sample sample = random_sample();
    const struct gov_telemetry_batch batch = {&request, &relief, &sample, 1,
                                              1,        1,       7};
    struct gov_telemetry_totals totals;
    struct seen seen = {0};
    struct stat st;

    open_writer(0);
    ck_assert_int_eq(gov_telemetry_write(t, &batch, &err), GOV_OK);
    shut();
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    open_reader();
    ck_assert_int_eq(
        gov_telemetry_requests(t, NULL, 0, see_request, &seen, &err), GOV_OK);
    ck_assert_int_eq(gov_telemetry_reliefs(t, NULL, 0, see_relief, &seen, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_telemetry_samples(t, NULL, 0, see_sample, &seen, &err),
                     GOV_OK);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert_mem_eq(&seen.request, &request, sizeof(request));
    ck_assert_mem_eq(&seen.relief, &relief, sizeof(relief));
    ck_assert_mem_eq(&seen.sample, &sample, sizeof(sample));
    ck_assert_int_eq(gov_telemetry_sum(t, NULL, &totals, &err), GOV_OK);
    ck_assert_uint_eq(totals.requests, 1);
    ck_assert_uint_eq(totals.reliefs, 1);
    ck_assert_uint_eq(totals.samples, 1);
    ck_assert_uint_eq(totals.lost, 7);
    ck_assert_int_eq(totals.first_ms, request.at_ms);
    ck_assert_int_eq(totals.last_ms, request.at_ms);
    ck_assert_uint_gt(totals.bytes, 4096);
    shut();
}
END_TEST

/* The last ones of a span, in order, also where all have one time. */
START_TEST(last_ones)
{
    const struct gov_telemetry_span span = {DAY + 1, DAY + 1, "b"};
    struct gov_request row = random_request();
    struct seen seen = {0};

    open_writer(0);
    for (uint32_t i = 0; i < 30; i++) {
        row.at_ms = (DAY + i / 10) * DAY_MS + 5;
        row.tokens = i;
        snprintf(row.app, sizeof(row.app), "%s", i % 2 != 0 ? "b" : "a");
        ck_assert_int_eq(write_requests(&row, 1, 0), GOV_OK);
    }
    ck_assert_int_eq(
        gov_telemetry_requests(t, &span, 2, see_request, &seen, &err), GOV_OK);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(seen.request.tokens, 19);
    memset(&seen, 0, sizeof(seen));
    ck_assert_int_eq(
        gov_telemetry_requests(t, &span, 99, see_request, &seen, &err), GOV_OK);
    ck_assert_uint_eq(seen.count, 5);
    shut();
    check_counts();
}
END_TEST

/* ---- percentiles ----------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static struct gov_percentiles exact(uint64_t *values, size_t n)
{
    struct gov_percentiles p = {0};

    qsort(values, n, sizeof(*values), by_value);
    if (n > 0) {
        p.p50 = values[(n * 50 + 99) / 100 - 1];
        p.p95 = values[(n * 95 + 99) / 100 - 1];
        p.p99 = values[(n * 99 + 99) / 100 - 1];
    }
    return p;
}

static struct {
    const struct gov_telemetry_span *span;
    size_t groups, requests;
    struct gov_telemetry_group last;
    uint64_t value[ROWS], rate[ROWS];
    size_t values, rates, latencies;
} report;

static bool collect(void *ctx, const struct gov_request *r)
{
    const struct gov_telemetry_group *g = ctx;

    if (strcmp(r->model, g->model) != 0 || strcmp(r->engine, g->engine) != 0 ||
        strcmp(r->strategy, g->strategy) != 0 || r->cold != g->cold)
        return true;
    if (r->first_token_us == 0)
        return true;
    report.value[report.values++] = r->first_token_us;
    if (r->tokens >= 2 && r->took_us > r->first_token_us)
        report.rate[report.rates++] = (uint64_t)(r->tokens - 1) * 1000000000 /
                                      (r->took_us - r->first_token_us);
    return true;
}

static bool add_bucket(void *ctx, uint64_t from, uint64_t to, uint64_t count)
{
    size_t in = 0;

    (void)ctx;
    ck_assert_uint_le(to - from, from / 16 + 1);
    for (size_t i = 0; i < report.values; i++)
        in += report.value[i] >= from && report.value[i] < to;
    ck_assert_uint_eq(in, count);
    report.latencies += count;
    return true;
}

static void same_percentiles(const struct gov_percentiles *a,
                             const struct gov_percentiles *b)
{
    ck_assert_uint_eq(a->p50, b->p50);
    ck_assert_uint_eq(a->p95, b->p95);
    ck_assert_uint_eq(a->p99, b->p99);
}

/* The rows themselves, read one by one, say the same of the group. */
static bool compare_group(void *ctx, const struct gov_telemetry_group *g)
{
    struct gov_percentiles first, rate;
    struct gov_telemetry_group own = *g;

    (void)ctx;
    if (report.groups++ > 0) {
        const int order = strcmp(report.last.model, g->model);

        ck_assert_int_le(order, 0);
    }
    report.last = *g;
    report.requests += g->requests;
    report.values = report.rates = report.latencies = 0;
    ck_assert_int_eq(
        gov_telemetry_requests(t, report.span, 0, collect, &own, &err), GOV_OK);
    first = exact(report.value, report.values);
    rate = exact(report.rate, report.rates);
    ck_assert_uint_eq(g->answered, report.values);
    ck_assert_uint_eq(g->rated, report.rates);
    same_percentiles(&g->first_token_us, &first);
    same_percentiles(&g->rate_milli, &rate);
    ck_assert_int_eq(
        gov_telemetry_latencies(t, report.span, g, add_bucket, NULL, &err),
        GOV_OK);
    ck_assert_uint_eq(report.latencies, report.values);
    return true;
}

static bool keep_group(void *ctx, const struct gov_telemetry_group *g)
{
    (void)ctx;
    report.last = *g;
    return true;
}

static bool collect_yield(void *ctx, const struct gov_telemetry_relief *r)
{
    const struct gov_telemetry_action *action = ctx;

    if (strcmp(r->action, action->action) == 0) {
        report.value[report.values++] = r->yield_bytes;
        report.rate[report.rates++] = r->took_us;
    }
    return true;
}

static bool compare_action(void *ctx, const struct gov_telemetry_action *action)
{
    struct gov_telemetry_action own = *action;
    struct gov_percentiles yield, took;

    (void)ctx;
    report.values = report.rates = 0;
    ck_assert_int_eq(
        gov_telemetry_reliefs(t, report.span, 0, collect_yield, &own, &err),
        GOV_OK);
    yield = exact(report.value, report.values);
    took = exact(report.rate, report.rates);
    ck_assert_uint_eq(action->runs, report.values);
    same_percentiles(&action->yield, &yield);
    same_percentiles(&action->took_us, &took);
    report.groups++;
    return true;
}

static const struct gov_telemetry_span spans[] = {
    {INT64_MIN, INT64_MAX, NULL}, {DAY + 1, DAY + 2, NULL},
    {DAY + 2, DAY + 2, "app 1"},  {INT64_MIN, INT64_MAX, "app 0"},
    {DAY + 4, INT64_MAX, NULL},
};

static void compare_all(void)
{
    struct gov_telemetry_totals totals;

    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        memset(&report, 0, sizeof(report));
        report.span = &spans[i];
        ck_assert_int_eq(
            gov_telemetry_groups(t, &spans[i], compare_group, NULL, &err),
            GOV_OK);
        ck_assert_uint_gt(report.groups, 0);
        ck_assert_int_eq(gov_telemetry_sum(t, &spans[i], &totals, &err),
                         GOV_OK);
        ck_assert_uint_eq(totals.requests, report.requests);
        report.groups = 0;
        ck_assert_int_eq(
            gov_telemetry_actions(t, &spans[i], compare_action, NULL, &err),
            GOV_OK);
        ck_assert_uint_eq(report.groups, 3);
    }
}

START_TEST(percentiles_are_exact)
{
    open_writer(0);
    for (size_t i = 0; i < ROWS / 250; i++)
        ck_assert_int_eq(write_random(250, 30), GOV_OK);
    shut();
    check_counts();
    open_reader();
    compare_all();
    ck_assert_uint_gt(report.values, 0);
    shut();
}
END_TEST

/* One bucket holds all, and all are equal, but one. */
START_TEST(percentiles_of_one_bucket)
{
    struct gov_request row = random_request();

    open_writer(0);
    for (uint64_t i = 0; i < 100; i++) {
        row.tokens = 10;
        row.first_token_us = i == 99 ? 1023 : 1000;
        row.took_us = 2000;
        ck_assert_int_eq(write_requests(&row, 1, 0), GOV_OK);
    }
    memset(&report, 0, sizeof(report));
    report.span = &spans[0];
    ck_assert_int_eq(gov_telemetry_groups(t, NULL, compare_group, NULL, &err),
                     GOV_OK);
    ck_assert_uint_eq(report.groups, 1);
    ck_assert_uint_eq(report.last.first_token_us.p99, 1000);
    shut();
}
END_TEST

START_TEST(buckets_meet)
{
    int64_t from, to, end = 0;

    for (uint32_t i = 0; i < GOV__BUCKETS; i++) {
        gov__bucket_range(i, &from, &to);
        ck_assert_int_eq(from, end);
        ck_assert_uint_eq(gov__bucket_of(from), i);
        ck_assert_uint_eq(gov__bucket_of(to - 1), i);
        end = to;
    }
    ck_assert_int_eq(end, GOV__ROW_VALUE_MAX + 1);
    ck_assert_uint_eq(gov__bucket_of(INT64_MAX), GOV__BUCKETS - 1);
    ck_assert_uint_eq(gov__bucket_of(-1), 0);
}
END_TEST

/* ---- its size -------------------------------------------------------------------------- */

static uint64_t size_of(const char *end)
{
    char name[600];
    struct stat st;

    snprintf(name, sizeof(name), "%s%s", path, end);
    return stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}

START_TEST(stays_small)
{
    uint64_t most = 0, bytes;
    struct seen seen = {0};

    open_writer(MIB);
    for (size_t i = 0; i < 300; i++) {
        ck_assert_msg(write_random(60, 4) == GOV_OK, "%s", err.message);
        bytes = size_of("") + size_of("-wal");
        most = bytes > most ? bytes : most;
    }
    ck_assert_uint_le(most, MIB);
    ck_assert_int_eq(
        gov_telemetry_requests(t, NULL, 0, see_request, &seen, &err), GOV_OK);
    /* Of 18 000, and those of the last days. */
    ck_assert_uint_gt(seen.count, 500);
    ck_assert_uint_lt(seen.count, 6000);
    ck_assert_int_eq(seen.request.at_ms / DAY_MS, DAY + 4);
    shut();
    check_counts();
    open_reader();
    memset(&report, 0, sizeof(report));
    report.span = &spans[0];
    ck_assert_int_eq(gov_telemetry_groups(t, NULL, compare_group, NULL, &err),
                     GOV_OK);
    ck_assert_uint_eq(report.requests, seen.count);
    shut();
}
END_TEST

/* A limit that was lowered is met by and by, and no write fails for it. */
START_TEST(becomes_smaller)
{
    open_writer(16 * MIB);
    for (size_t i = 0; i < 40; i++)
        ck_assert_int_eq(write_random(500, 0), GOV_OK);
    ck_assert_uint_gt(size_of(""), 2 * MIB);
    shut();
    open_writer(MIB);
    for (size_t i = 0; i < 40; i++)
        ck_assert_msg(write_random(1, 0) == GOV_OK, "%s", err.message);
    shut();
    ck_assert_uint_le(size_of(""), MIB);
    check_counts();
}
END_TEST

START_TEST(made_up_names)
{
    struct gov_request row = random_request();

    open_writer(0);
    for (int i = 0; i < 1100; i++) {
        snprintf(row.model, sizeof(row.model), "made up %d", i);
        ck_assert_int_eq(write_requests(&row, 1, 0), GOV_OK);
    }
    shut();
    ck_assert_int_eq(raw_number("SELECT count(*) FROM name WHERE sort = 2"),
                     1000);
    ck_assert_int_eq(raw_number("SELECT sum(requests) FROM request_day r JOIN"
                                " kind k ON k.id = r.kind JOIN name n ON"
                                " n.id = k.model WHERE n.text = 'other'"),
                     101);
    check_counts();
}
END_TEST

/* Nothing that an app says becomes a wrong sum. */
START_TEST(absurd_values)
{
    struct gov_request row = random_request();
    struct seen seen = {0};

    row.at_ms = INT64_MAX;
    row.took_us = row.read_bytes = row.stall_us = UINT64_MAX;
    row.first_token_us = UINT64_MAX - 1;
    memset(row.model, 'x', sizeof(row.model)); /* no NUL */
    memset(row.app, 0xff, sizeof(row.app));
    open_writer(0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(write_requests(&row, 1, UINT64_MAX), GOV_OK);
    row.at_ms = INT64_MIN;
    ck_assert_int_eq(write_requests(&row, 1, 0), GOV_OK);
    ck_assert_int_eq(
        gov_telemetry_requests(t, NULL, 0, see_request, &seen, &err), GOV_OK);
    ck_assert_uint_eq(seen.count, 4);
    ck_assert_uint_eq(seen.request.read_bytes, GOV__ROW_VALUE_MAX);
    ck_assert_uint_eq(strlen(seen.request.model), sizeof(row.model) - 1);
    ck_assert_ptr_null(strchr(seen.request.app, '\xff'));
    shut();
    check_counts();
}
END_TEST

/* A rate that is cut is counted where it is. */
START_TEST(a_rate_that_is_too_large)
{
    struct gov_request r = {.size = sizeof(r), .tokens = 300000};

    r.at_ms = DAY * DAY_MS;
    r.first_token_us = 5;
    r.took_us = 6;
    open_writer(0);
    ck_assert_int_eq(write_requests(&r, 1, 0), GOV_OK);
    memset(&report, 0, sizeof(report));
    ck_assert_int_eq(gov_telemetry_groups(t, NULL, keep_group, NULL, &err),
                     GOV_OK);
    ck_assert_uint_eq(report.last.rate_milli.p99, GOV__ROW_VALUE_MAX);
    shut();
    check_counts();
}
END_TEST

/* So many models of an engine, a row each. */
static void write_models(int engine, int models, int64_t day)
{
    static struct gov_request row[GOV_TELEMETRY_BATCH];

    memset(row, 0, sizeof(row));
    for (int i = 0; i < models; i++) {
        row[i].size = sizeof(row[i]);
        row[i].at_ms = day * DAY_MS + engine;
        snprintf(row[i].engine, sizeof(row[i].engine), "engine %d", engine);
        snprintf(row[i].model, sizeof(row[i].model), "of many %d", i);
        row[i].cold = i % 2 != 0;
    }
    ck_assert_int_eq(write_requests(row, (size_t)models, 0), GOV_OK);
}

/* Names that are few, and combined in all ways. */
START_TEST(combined_names)
{
    open_writer(MIB);
    for (int i = 0; i < 40; i++)
        write_models(i, 40, DAY);
    shut();
    ck_assert_int_eq(raw_number("SELECT count(*) FROM request"), 1600);
    ck_assert_int_eq(raw_number("SELECT count(*) FROM kind"), 1002);
    ck_assert_int_eq(
        raw_number("SELECT count(*) FROM request r JOIN kind k ON k.id = r.kind"
                   " JOIN name e ON e.id = k.engine JOIN name m ON m.id ="
                   " k.model JOIN name s ON s.id = k.strategy WHERE e.text ="
                   " 'other' AND m.text = 'other' AND s.text = 'other'"),
        600);
    check_counts();
}
END_TEST

/* Those whose rows went make room for others. */
START_TEST(kinds_that_went)
{
    open_writer(MIB);
    for (int i = 0; i < 10; i++)
        write_models(i, 40, DAY - 1);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(write_random(100, 4), GOV_OK);
    shut();
    ck_assert_int_eq(raw_number("SELECT count(*) FROM request WHERE id <"
                                " (20000 * 86400000) << 20"),
                     0);
    ck_assert_int_eq(
        raw_number("SELECT count(*) FROM kind k JOIN name n ON n.id = k.model"
                   " WHERE n.text LIKE 'of many %'"),
        0);
    ck_assert_int_gt(raw_number("SELECT count(*) FROM kind"), 2);
    check_counts();
}
END_TEST

/* ---- other processes --------------------------------------------------------------------- */

START_TEST(waits_for_a_writer_only_so_long)
{
    struct timespec from, to;
    sqlite3 *db;

    open_writer(0);
    db = raw();
    ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL),
                     SQLITE_OK);
    clock_gettime(CLOCK_MONOTONIC, &from);
    ck_assert_int_eq(write_random(1, 1), GOV_E_BUSY);
    clock_gettime(CLOCK_MONOTONIC, &to);
    ck_assert_int_lt(to.tv_sec - from.tv_sec, 10);
    ck_assert_ptr_nonnull(strstr(err.message, "another process"));
    sqlite3_close(db);
    ck_assert_int_eq(write_random(1, 1), GOV_OK);
    shut();
    check_counts();
}
END_TEST

/* Who reads and does not end keeps the log; it does not grow for ever. */
START_TEST(a_reader_that_stays)
{
    gov_status status = GOV_OK;
    sqlite3 *db;

    open_writer(MIB);
    ck_assert_int_eq(write_random(10, 0), GOV_OK);
    db = raw();
    ck_assert_int_eq(
        sqlite3_exec(db, "BEGIN; SELECT * FROM request", NULL, NULL, NULL),
        SQLITE_OK);
    for (int i = 0; i < 200 && status == GOV_OK; i++)
        status = write_random(100, 0);
    ck_assert_int_eq(status, GOV_E_BUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "has read"));
    ck_assert_uint_lt(size_of("") + size_of("-wal"), 4 * MIB);
    sqlite3_close(db);
    ck_assert_int_eq(write_random(1, 1), GOV_OK);
    ck_assert_uint_lt(size_of("") + size_of("-wal"), MIB);
    shut();
    check_counts();
}
END_TEST

START_TEST(forked)
{
    int how = 0;
    pid_t pid;

    open_writer(0);
    ck_assert_int_eq(write_random(5, 0), GOV_OK);
    pid = fork();
    if (pid == 0) {
        const bool good = write_random(1, 0) == GOV_E_INVALID;

        gov_telemetry_close(t);
        _exit(good ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &how, 0), pid);
    ck_assert_int_eq(how, 0);
    ck_assert_uint_gt(size_of("-wal"), 0);
    ck_assert_int_eq(write_random(5, 0), GOV_OK);
    shut();
    ck_assert_int_eq(raw_number("SELECT count(*) FROM request"), 10);
    check_counts();
}
END_TEST

START_TEST(removed)
{
    open_writer(0);
    ck_assert_int_eq(write_random(1, 0), GOV_OK);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(write_random(1, 0), GOV_E_IO);
    ck_assert_ptr_nonnull(strstr(err.message, "was removed"));
    shut();
}
END_TEST

/* Writes until it is killed, and says what was acknowledged. */
static void write_for_ever(int fd)
{
    uint32_t count = 0;

    seed = (uint64_t)getpid();
    open_writer(MIB);
    for (;;) {
        if (write_random(7, 1) != GOV_OK)
            _exit(1);
        count += 7;
        if (write(fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
            _exit(2);
    }
}

static uint32_t write_and_be_killed(void)
{
    const struct timespec pause = {0, (long)(1000000 * chance(40))};
    uint32_t count = 0, last = 0;
    int pipes[2], how;
    pid_t pid;

    ck_assert_int_eq(pipe(pipes), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(pipes[0]);
        write_for_ever(pipes[1]);
    }
    close(pipes[1]);
    nanosleep(&pause, NULL);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &how, 0), pid);
    ck_assert_msg(WIFSIGNALED(how), "the writer ended by itself: %d", how);
    while (read(pipes[0], &count, sizeof(count)) == (ssize_t)sizeof(count))
        last = count;
    close(pipes[0]);
    return last;
}

/* Whatever was acknowledged is there, and at most one batch more. */
START_TEST(killed)
{
    const int times = getenv("GOV_LONG") != NULL ? 1000 : 30;
    uint32_t written = 0;

    for (int i = 0; i < times; i++) {
        /* The one before may have been killed before it made the file. */
        int64_t before = i % 10 == 0 || access(path, F_OK) != 0
                             ? 0
                             : raw_number("SELECT count(*) FROM request");
        uint32_t acknowledged;
        int64_t now;

        if (i % 10 == 0)
            fresh();
        seed += (uint64_t)i;
        acknowledged = write_and_be_killed();
        written += acknowledged;
        if (access(path, F_OK) != 0)
            continue;
        open_writer(0); /* what was begun is rolled back, or made */
        shut();
        now = raw_number("SELECT count(*) FROM request");
        if (size_of("") < 256 * 1024) { /* none went for the limit */
            ck_assert_int_ge(now, before + acknowledged);
            ck_assert_int_le(now, before + acknowledged + 7);
        }
        check_counts();
    }
    ck_assert_uint_gt(written, 0);
}
END_TEST

/* ---- files that are none of ours ----------------------------------------------------- */

static void put_file(const char *text, size_t bytes)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
    ck_assert_int_eq(fclose(file), 0);
}

static void make_one(void)
{
    open_writer(0);
    ck_assert_int_eq(write_random(50, 5), GOV_OK);
    shut();
}

static void garbage(void)
{
    put_file("this is no database, and it is longer than a header of one would "
             "be, which has 100 bytes; so that is it, and nothing more",
             120);
}

static void cut(void)
{
    make_one();
    ck_assert_int_eq(truncate(path, 8192), 0);
}

static void foreign(void)
{
    raw_do("CREATE TABLE bookmark(url)");
}

static void foreign_application(void)
{
    raw_do("PRAGMA application_id = 77; CREATE TABLE bookmark(url)");
}

static void newer(void)
{
    make_one();
    raw_do("PRAGMA user_version = 3; CREATE TABLE more(x)");
}

static void older(void)
{
    make_one();
    raw_do("PRAGMA user_version = 1");
}

static void no_version(void)
{
    make_one();
    raw_do("PRAGMA user_version = 0");
}

static void with_trigger(void)
{
    make_one();
    raw_do("CREATE TRIGGER evil AFTER INSERT ON request BEGIN"
           " DELETE FROM sample; END");
}

static void with_view(void)
{
    make_one();
    raw_do("DROP TABLE lost; CREATE VIEW lost AS SELECT 1 day, 2 count");
}

static void with_index(void)
{
    make_one();
    raw_do("CREATE UNIQUE INDEX refuses ON sample(app, footprint_bytes)");
}

static void without_table(void)
{
    make_one();
    raw_do("DROP TABLE tally");
}

static void a_link(void)
{
    char other[600];

    snprintf(other, sizeof(other), "%s.other", path);
    ck_assert_int_eq(symlink(other, path), 0);
}

static void a_pipe(void)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void a_directory(void)
{
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

static const struct {
    void (*make)(void);
    gov_status writing, reading;
    const char *says;
} odd[] = {
    {garbage, GOV_E_FORMAT, GOV_E_FORMAT, "is no database"},
    {cut, GOV_E_FORMAT, GOV_E_FORMAT, ""},
    {foreign, GOV_E_FORMAT, GOV_E_FORMAT, "has other tables"},
    {foreign_application, GOV_E_FORMAT, GOV_E_FORMAT, "of another program"},
    {newer, GOV_E_UNSUPPORTED, GOV_E_UNSUPPORTED, "newer"},
    {no_version, GOV_E_FORMAT, GOV_E_FORMAT, "no version"},
    {older, GOV_E_FORMAT, GOV_E_FORMAT, "is of an older version"},
    {with_trigger, GOV_E_FORMAT, GOV_E_FORMAT, "has other tables"},
    {with_view, GOV_E_FORMAT, GOV_E_FORMAT, "has other tables"},
    {with_index, GOV_E_FORMAT, GOV_E_FORMAT, "has other tables"},
    {without_table, GOV_E_FORMAT, GOV_E_FORMAT, "has other tables"},
    {a_link, GOV_E_PERMISSION, GOV_E_PERMISSION, "a link"},
    {a_pipe, GOV_E_PERMISSION, GOV_E_PERMISSION, "no file"},
    {a_directory, GOV_E_INVALID, GOV_E_INVALID, "names a directory"},
};

static bool take_group(void *ctx, const struct gov_telemetry_group *group)
{
    (void)ctx;
    (void)group;
    return true;
}

static bool take_request(void *ctx, const struct gov_request *request)
{
    (void)ctx;
    ck_assert_uint_lt(strlen(request->model), sizeof(request->model));
    return true;
}

/* A damaged one may be found out only where it is read. */
static gov_status read_all(void)
{
    gov_status status = gov_telemetry_read(&t, path, &err);

    if (status == GOV_OK)
        status = gov_telemetry_groups(t, NULL, take_group, NULL, &err);
    if (status == GOV_OK)
        status = gov_telemetry_requests(t, NULL, 0, take_request, NULL, &err);
    gov_telemetry_close(t);
    t = NULL;
    return status;
}

static gov_status write_all(void)
{
    gov_status status = gov_telemetry_open(&t, path, 0, NULL, &err);

    for (int i = 0; i < 5 && status == GOV_OK; i++)
        status = write_random(200, 5);
    gov_telemetry_close(t);
    t = NULL;
    return status;
}

START_TEST(odd_files)
{
    struct stat before, after;

    odd[_i].make();
    ck_assert_int_eq(lstat(path, &before), 0);
    ck_assert_msg(read_all() == odd[_i].reading, "%d: %s", _i, err.message);
    ck_assert_msg(strstr(err.message, odd[_i].says) != NULL, "%d: %s", _i,
                  err.message);
    ck_assert_msg(write_all() == odd[_i].writing, "%d: %s", _i, err.message);
    ck_assert_int_eq(lstat(path, &after), 0);
    /* What is somebody else's is left as it is. */
    ck_assert_int_eq(before.st_mode, after.st_mode);
    if (odd[_i].make == foreign)
        ck_assert_int_eq(raw_number("SELECT count(*) FROM pragma_journal_mode"
                                    " WHERE journal_mode = 'delete'"),
                         1);
}
END_TEST

/* Every byte of a small one is another one: an answer, and never a crash. */
START_TEST(damaged_anywhere)
{
    static char good[1 << 20];
    size_t bytes, wrong = 0;
    FILE *file;

    make_one();
    file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    bytes = fread(good, 1, sizeof(good), file);
    fclose(file);
    ck_assert_uint_gt(bytes, 4096);
    for (size_t i = 0; i < 400; i++) {
        const size_t at = chance(i < 200 ? 4096 : bytes);
        const char was = good[at];

        good[at] = (char)(was ^ (1 + (int)chance(255)));
        put_file(good, bytes);
        good[at] = was;
        wrong += read_all() != GOV_OK;
        if (i % 8 == 0)
            (void)!write_all();
    }
    ck_assert_uint_gt(wrong, 10);
}
END_TEST

START_TEST(directories)
{
    char below[600], *slash;
    struct stat st;

    snprintf(below, sizeof(below), "%s", path);
    slash = strrchr(path, '/');
    snprintf(slash, sizeof(path) - (size_t)(slash - path), "/a/b/telemetry.db");
    ck_assert_int_eq(gov_telemetry_read(&t, path, &err), GOV_E_NOT_FOUND);
    open_writer(0);
    shut();
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0700);
    ck_assert_int_eq(chmod(path, 0777), 0);
    snprintf(below, sizeof(below), "%s/telemetry.db", path);
    ck_assert_int_eq(gov_telemetry_open(&t, below, 0, NULL, &err),
                     GOV_E_PERMISSION);
    ck_assert_ptr_nonnull(strstr(err.message, "everybody may write"));
    ck_assert_int_eq(gov_telemetry_open(&t, "/", 0, NULL, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_telemetry_open(&t, below, 5, NULL, &err),
                     GOV_E_INVALID);
    memset(below, 'x', sizeof(below) - 1);
    below[sizeof(below) - 1] = '\0';
    ck_assert_int_eq(gov_telemetry_open(&t, below, 0, NULL, &err),
                     GOV_E_INVALID);
}
END_TEST

START_TEST(usual_place)
{
    char out[512];

    ck_assert_int_eq(setenv("XDG_STATE_HOME", "/state", 1), 0);
    ck_assert_int_eq(gov_telemetry_path(out, sizeof(out), &err), GOV_OK);
    ck_assert_str_eq(out, "/state/governor/telemetry.db");
    ck_assert_int_eq(gov_telemetry_path(out, 10, &err), GOV_E_INVALID);
    ck_assert_int_eq(setenv("XDG_STATE_HOME", "not/absolute", 1), 0);
    ck_assert_int_eq(setenv("HOME", "/home/me", 1), 0);
    ck_assert_int_eq(gov_telemetry_path(out, sizeof(out), &err), GOV_OK);
    ck_assert_str_eq(out, "/home/me/.local/state/governor/telemetry.db");
    unsetenv("HOME");
    unsetenv("XDG_STATE_HOME");
    ck_assert_int_eq(gov_telemetry_path(out, sizeof(out), &err), GOV_E_INVALID);
}
END_TEST

/* Past its limit a write would end the process. In one of its own: the limit stays. */
START_TEST(limited_files)
{
    int how = 0;
    pid_t pid = fork();

    if (pid == 0) {
        const struct rlimit limit = {2 * MIB, 2 * MIB};
        bool good = setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                    gov_telemetry_open(&t, path, 0, NULL, &err) == GOV_E_IO &&
                    strstr(err.message, "ulimit -f") != NULL &&
                    gov_telemetry_open(&t, path, MIB, NULL, &err) == GOV_OK;

        for (int i = 0; i < 50 && good; i++)
            good = write_random(300, 0) == GOV_OK;
        gov_telemetry_close(t);
        _exit(good ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &how, 0), pid);
    ck_assert_int_eq(how, 0);
    check_counts();
}
END_TEST

/* SQLite would wait for who opens the other end of one. */
START_TEST(pipes_beside_it)
{
    static const char *const ends[] = {"-journal", "-wal", "-shm"};
    char beside[sizeof(path) + 16];

    snprintf(beside, sizeof(beside), "%s%s", path, ends[_i]);
    ck_assert_int_eq(mkfifo(beside, 0600), 0);
    ck_assert_int_eq(gov_telemetry_open(&t, path, 0, NULL, &err),
                     GOV_E_PERMISSION);
    ck_assert_ptr_nonnull(strstr(err.message, ends[_i]));
    ck_assert_int_eq(access(path, F_OK), -1); /* nothing was begun */
    ck_assert_int_eq(unlink(beside), 0);
    open_writer(0);
    ck_assert_int_eq(write_random(1, 1), GOV_OK);
    shut();
    ck_assert_int_eq(mkfifo(beside, 0600), 0);
    ck_assert_int_eq(gov_telemetry_open(&t, path, 0, NULL, &err),
                     GOV_E_PERMISSION);
    ck_assert_int_eq(gov_telemetry_read(&t, path, &err), GOV_E_PERMISSION);
    ck_assert_int_eq(unlink(beside), 0);
    check_counts();
}
END_TEST

START_TEST(wrong_calls)
{
    static const struct gov_telemetry_batch many = {
        .request_count = GOV_TELEMETRY_BATCH + 1};

    ck_assert_int_eq(gov_telemetry_open(NULL, path, 0, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_telemetry_read(NULL, path, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_telemetry_write(NULL, &many, &err), GOV_E_INVALID);
    open_writer(0);
    ck_assert_int_eq(gov_telemetry_write(t, &many, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_telemetry_write(t, NULL, &err), GOV_E_INVALID);
    shut();
    open_reader();
    ck_assert_int_eq(write_random(1, 0), GOV_E_INVALID);
    shut();
    gov_telemetry_close(NULL);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("telemetry");
    TCase *rows = tcase_create("rows"), *size = tcase_create("size");
    TCase *others = tcase_create("others"), *files = tcase_create("files");
    TCase *cases[] = {rows, size, others, files};

    tcase_add_test(rows, comes_back);
    tcase_add_test(rows, last_ones);
    tcase_add_test(rows, percentiles_are_exact);
    tcase_add_test(rows, percentiles_of_one_bucket);
    tcase_add_test(rows, buckets_meet);
    tcase_add_test(size, stays_small);
    tcase_add_test(size, becomes_smaller);
    tcase_add_test(size, made_up_names);
    tcase_add_test(size, absurd_values);
    tcase_add_test(size, a_rate_that_is_too_large);
    tcase_add_test(size, combined_names);
    tcase_add_test(size, kinds_that_went);
    tcase_add_test(others, waits_for_a_writer_only_so_long);
    tcase_add_test(others, a_reader_that_stays);
    tcase_add_test(others, forked);
    tcase_add_test(others, removed);
    tcase_add_test(others, killed);
    tcase_add_loop_test(files, odd_files, 0, sizeof(odd) / sizeof(odd[0]));
    tcase_add_test(files, damaged_anywhere);
    tcase_add_test(files, directories);
    tcase_add_test(files, usual_place);
    tcase_add_test(files, limited_files);
    tcase_add_loop_test(files, pipes_beside_it, 0, 3);
    tcase_add_test(files, wrong_calls);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tcase_add_checked_fixture(cases[i], fresh, drop_directory);
        tcase_set_timeout(cases[i], getenv("GOV_LONG") != NULL ? 3600 : 300);
        suite_add_tcase(s, cases[i]);
    }
    return s;
}
