/* SPDX-License-Identifier: MIT */
/* A database of telemetry in a fresh directory, rows to fill it with, and whether
 * its counts are those of its rows: for the tests of the store. */
#ifndef GOV_TESTS_TELEMETRY_FIXTURE_H
#define GOV_TESTS_TELEMETRY_FIXTURE_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/telemetry/telemetry_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define MIB (UINT64_C(1) << 20)
#define DAY_MS INT64_C(86400000)
#define DAY INT64_C(20000) /* the first one of the rows here */

static char path[512];
static gov_telemetry *t;
static gov_error err;
static uint64_t seed;

static inline uint64_t chance(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

static inline void fresh(void)
{
    faults_reset();
    seed = 1;
    t = NULL;
    snprintf(path, sizeof(path), "%s/telemetry.db", fresh_directory());
}

static inline void open_writer(uint64_t max_bytes)
{
    const gov_status status =
        gov_telemetry_open(&t, path, max_bytes, faults_alloc(), &err);

    ck_assert_msg(status == GOV_OK, "%s", err.message);
}

static inline void open_reader(void)
{
    const gov_status status = gov_telemetry_read(&t, path, &err);

    ck_assert_msg(status == GOV_OK, "%s", err.message);
}

static inline void shut(void)
{
    gov_telemetry_close(t);
    t = NULL;
    ck_assert_int_eq(faults_live_blocks(), 0);
}

/* A request of one of two apps, three models, two strategies, cold or warm, in one
 * of five days; one in eight has no first token. */
static inline struct gov_request random_request(void)
{
    struct gov_request r = {.size = sizeof(r)};

    r.at_ms = (DAY + (int64_t)chance(5)) * DAY_MS + (int64_t)chance(DAY_MS);
    snprintf(r.app, sizeof(r.app), "app %d", (int)chance(2));
    snprintf(r.engine, sizeof(r.engine), "llama.cpp b1");
    snprintf(r.model, sizeof(r.model), "model %d", (int)chance(3));
    snprintf(r.strategy, sizeof(r.strategy), "%s",
             chance(2) != 0 ? "mmap" : "heap");
    snprintf(r.profile, sizeof(r.profile), "laptop");
    r.cold = chance(10) == 0;
    r.end = (gov_request_end)chance(3);
    r.level = chance(4) == 0 ? GOV_LEVEL_WARN : GOV_LEVEL_NORMAL;
    r.prompt_tokens = (uint32_t)chance(4000);
    r.reused_tokens = r.prompt_tokens / 2;
    r.tokens = (uint32_t)chance(300);
    if (chance(8) != 0)
        r.first_token_us = 1 + chance(UINT64_C(1) << chance(30));
    r.took_us = r.first_token_us + chance(20000000);
    r.weights_wait_us = chance(1000);
    r.stall_us = chance(1000);
    r.major_faults = chance(50);
    r.read_bytes = chance(1 << 20);
    r.evictions = (uint32_t)chance(3);
    r.footprint_bytes = chance(UINT64_C(8) << 30);
    return r;
}

static inline struct gov_telemetry_relief random_relief(void)
{
    struct gov_telemetry_relief r = {.level = GOV_LEVEL_WARN};

    r.at_ms = (DAY + (int64_t)chance(5)) * DAY_MS + (int64_t)chance(DAY_MS);
    snprintf(r.app, sizeof(r.app), "app %d", (int)chance(2));
    snprintf(r.action, sizeof(r.action), "action.%d", (int)chance(3));
    r.claimed_bytes = chance(100 * MIB);
    r.yield_bytes = chance(3) == 0 ? 0 : chance(90 * MIB);
    r.took_us = chance(50000);
    return r;
}

static inline struct gov_telemetry_sample random_sample(void)
{
    struct gov_telemetry_sample r = {.level = GOV_LEVEL_NORMAL};

    r.at_ms = (DAY + (int64_t)chance(5)) * DAY_MS + (int64_t)chance(DAY_MS);
    snprintf(r.app, sizeof(r.app), "app %d", (int)chance(2));
    r.footprint_bytes = chance(MIB);
    r.budget_bytes = MIB;
    r.headroom_bytes = chance(2) != 0 ? UINT64_MAX : chance(MIB);
    r.weights_resident_bytes = UINT64_MAX;
    r.process = 1 + chance(3);
    return r;
}

static inline gov_status write_requests(const struct gov_request *rows,
                                        size_t count, uint64_t lost)
{
    const struct gov_telemetry_batch batch = {
        .requests = rows, .request_count = count, .lost = lost};

    return gov_telemetry_write(t, &batch, &err);
}

/* So many random ones of each table. */
static inline gov_status write_random(size_t requests, size_t rest)
{
    static struct gov_request request[GOV_TELEMETRY_BATCH];
    static struct gov_telemetry_relief relief[GOV_TELEMETRY_BATCH];
    static struct gov_telemetry_sample sample[GOV_TELEMETRY_BATCH];
    const struct gov_telemetry_batch batch = {request, relief, sample, requests,
                                              rest,    rest,   0};

    for (size_t i = 0; i < requests; i++)
        request[i] = random_request();
    for (size_t i = 0; i < rest; i++) {
        relief[i] = random_relief();
        sample[i] = random_sample();
    }
    return gov_telemetry_write(t, &batch, &err);
}

/* ---- beside the store, by SQLite itself --------------------------------------------- */

static inline sqlite3 *raw(void)
{
    sqlite3 *db = NULL;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

static inline void raw_do(const char *sql)
{
    sqlite3 *db = raw();
    char *text = NULL;
    const int rc = sqlite3_exec(db, sql, NULL, NULL, &text);

    ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, text);
    sqlite3_close(db);
}

static inline int64_t raw_number(const char *sql)
{
    sqlite3 *db = raw();
    int64_t n = -1;

    ck_assert_msg(gov__telemetry_number(db, sql, &n), "%s: %s", sql,
                  sqlite3_errmsg(db));
    sqlite3_close(db);
    return n;
}

static inline void bucket_of(sqlite3_context *ctx, int count, sqlite3_value **v)
{
    (void)count;
    sqlite3_result_int(ctx, (int)gov__bucket_of(sqlite3_value_int64(v[0])));
}

/* What SQL that adds all rows up finds, and what the store has, are the same. */
static inline void check_counts(void)
{
    static const char *const same[] = {
        ("SELECT kind, id / (86400000 << 20) d, app, count(*), sum(ended = 1),"
         " sum(ended = 2), count(first_token_us), count(rate_milli),"
         " sum(tokens), sum(prompt_tokens), sum(reused_tokens),"
         " sum(major_faults), sum(read_bytes), sum(weights_wait_us),"
         " sum(stall_us), sum(took_us), sum(evictions) FROM request"
         " GROUP BY kind, d, app"),
        "SELECT * FROM request_day",
        ("SELECT action, id / (86400000 << 20) d, app, count(*),"
         " sum(yield_bytes = 0), sum(claimed_bytes), sum(yield_bytes)"
         " FROM relief GROUP BY action, d, app"),
        "SELECT * FROM relief_day",
        ("SELECT 0, kind, id / (86400000 << 20) d, app,"
         " bucket(first_token_us) b, count(*) FROM request"
         " WHERE first_token_us IS NOT NULL GROUP BY kind, d, app, b"),
        "SELECT * FROM tally WHERE what = 0",
        ("SELECT 1, kind, id / (86400000 << 20) d, app, bucket(rate_milli) b,"
         " count(*) FROM request WHERE rate_milli IS NOT NULL"
         " GROUP BY kind, d, app, b"),
        "SELECT * FROM tally WHERE what = 1",
        ("SELECT 2, action, id / (86400000 << 20) d, app,"
         " bucket(yield_bytes) b, count(*) FROM relief"
         " GROUP BY action, d, app, b"),
        "SELECT * FROM tally WHERE what = 2",
        ("SELECT 3, action, id / (86400000 << 20) d, app, bucket(took_us) b,"
         " count(*) FROM relief GROUP BY action, d, app, b"),
        "SELECT * FROM tally WHERE what = 3",
    };
    sqlite3 *db = raw();
    sqlite3_stmt *s;
    char sql[2048];
    int64_t n;

    ck_assert_int_eq(sqlite3_create_function(db, "bucket", 1, SQLITE_UTF8, NULL,
                                             bucket_of, NULL, NULL),
                     SQLITE_OK);
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        snprintf(sql, sizeof(sql),
                 "SELECT count(*) FROM (SELECT * FROM (%s) EXCEPT"
                 " SELECT * FROM (%s))",
                 same[i], same[i ^ 1]);
        ck_assert_msg(gov__telemetry_number(db, sql, &n), "%s",
                      sqlite3_errmsg(db));
        ck_assert_msg(n == 0, "%" PRId64 " counts differ: %s", n, sql);
    }
    ck_assert_int_eq(
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL),
        SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
    ck_assert_str_eq((const char *)sqlite3_column_text(s, 0), "ok");
    sqlite3_finalize(s);
    sqlite3_close(db);
}

#endif
