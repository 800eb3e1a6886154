/* SPDX-License-Identifier: MIT */
/* The tables, and that a file has exactly these: what somebody else put into it
 * (triggers, views, indexes that refuse rows) is not run. */
#include <stdio.h>
#include <string.h>

#include "governor/telemetry/telemetry_priv.h"

/* "govt". With another schema the version is another one. */
#define APPLICATION 0x676f7674
#define VERSION 2 /* 1 had no sample.process, and was in no release */

/* SQLite keeps these texts, so they are compared as they are. */
static const char *const schema[] = {
    "CREATE TABLE name(id INTEGER PRIMARY KEY, sort INTEGER NOT NULL,"
    " text TEXT NOT NULL, UNIQUE(sort, text))",
    "CREATE TABLE kind(id INTEGER PRIMARY KEY, engine INTEGER NOT NULL,"
    " model INTEGER NOT NULL, strategy INTEGER NOT NULL,"
    " cold INTEGER NOT NULL, UNIQUE(model, strategy, cold, engine))",
    "CREATE TABLE request(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
    " app INTEGER NOT NULL, profile INTEGER NOT NULL, ended INTEGER NOT NULL,"
    " level INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,"
    " reused_tokens INTEGER NOT NULL, tokens INTEGER NOT NULL,"
    " first_token_us INTEGER, rate_milli INTEGER, took_us INTEGER NOT NULL,"
    " weights_wait_us INTEGER NOT NULL, stall_us INTEGER NOT NULL,"
    " major_faults INTEGER NOT NULL, read_bytes INTEGER NOT NULL,"
    " evictions INTEGER NOT NULL, footprint_bytes INTEGER NOT NULL)",
    "CREATE INDEX request_first ON request(kind, first_token_us, app)"
    " WHERE first_token_us IS NOT NULL",
    "CREATE INDEX request_rate ON request(kind, rate_milli, app)"
    " WHERE rate_milli IS NOT NULL",
    "CREATE TABLE relief(id INTEGER PRIMARY KEY, app INTEGER NOT NULL,"
    " action INTEGER NOT NULL, level INTEGER NOT NULL,"
    " claimed_bytes INTEGER NOT NULL, yield_bytes INTEGER NOT NULL,"
    " took_us INTEGER NOT NULL)",
    "CREATE INDEX relief_yield ON relief(action, yield_bytes, app)",
    "CREATE INDEX relief_took ON relief(action, took_us, app)",
    "CREATE TABLE sample(id INTEGER PRIMARY KEY, app INTEGER NOT NULL,"
    " level INTEGER NOT NULL, footprint_bytes INTEGER NOT NULL,"
    " budget_bytes INTEGER NOT NULL, headroom_bytes INTEGER,"
    " weights_resident_bytes INTEGER, process INTEGER NOT NULL)",
    "CREATE TABLE request_day(kind INTEGER, day INTEGER, app INTEGER,"
    " requests INTEGER NOT NULL, stopped INTEGER NOT NULL,"
    " failed INTEGER NOT NULL, answered INTEGER NOT NULL,"
    " rated INTEGER NOT NULL, tokens INTEGER NOT NULL,"
    " prompt_tokens INTEGER NOT NULL, reused_tokens INTEGER NOT NULL,"
    " major_faults INTEGER NOT NULL, read_bytes INTEGER NOT NULL,"
    " weights_wait_us INTEGER NOT NULL, stall_us INTEGER NOT NULL,"
    " took_us INTEGER NOT NULL, evictions INTEGER NOT NULL,"
    " PRIMARY KEY(kind, day, app)) WITHOUT ROWID",
    "CREATE TABLE relief_day(action INTEGER, day INTEGER, app INTEGER,"
    " runs INTEGER NOT NULL, barren INTEGER NOT NULL,"
    " claimed_bytes INTEGER NOT NULL, yield_bytes INTEGER NOT NULL,"
    " PRIMARY KEY(action, day, app)) WITHOUT ROWID",
    "CREATE TABLE tally(what INTEGER, kind INTEGER, day INTEGER, app INTEGER,"
    " bucket INTEGER, count INTEGER NOT NULL,"
    " PRIMARY KEY(what, kind, day, app, bucket)) WITHOUT ROWID",
    "CREATE TABLE lost(day INTEGER PRIMARY KEY, count INTEGER NOT NULL)",
};

#define SCHEMA (sizeof(schema) / sizeof(schema[0]))

static const char *const statements[GOV__STATEMENTS] = {
    [S_BEGIN] = "BEGIN IMMEDIATE",
    [S_COMMIT] = "COMMIT",
    [S_NAME_FIND] = "SELECT id FROM name WHERE sort = ? AND text = ?",
    [S_NAME_COUNT] = "SELECT count(*) FROM name WHERE sort = ?",
    [S_NAME_ADD] = "INSERT INTO name(sort, text) VALUES(?, ?)",
    [S_KIND_FIND] = "SELECT id FROM kind WHERE engine = ? AND model = ?"
                    " AND strategy = ? AND cold = ?",
    [S_KIND_COUNT] = "SELECT count(*) FROM kind",
    [S_KIND_ADD] = "INSERT INTO kind(engine, model, strategy, cold)"
                   " VALUES(?, ?, ?, ?)",
    [S_REQUEST_LAST] = "SELECT max(id) FROM request WHERE id < ?",
    [S_REQUEST_ADD] = "INSERT INTO request VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?,"
                      " ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [S_REQUEST_DAY] =
        "INSERT INTO request_day VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " requests = requests + excluded.requests,"
        " stopped = stopped + excluded.stopped,"
        " failed = failed + excluded.failed,"
        " answered = answered + excluded.answered,"
        " rated = rated + excluded.rated, tokens = tokens + excluded.tokens,"
        " prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
        " reused_tokens = reused_tokens + excluded.reused_tokens,"
        " major_faults = major_faults + excluded.major_faults,"
        " read_bytes = read_bytes + excluded.read_bytes,"
        " weights_wait_us = weights_wait_us + excluded.weights_wait_us,"
        " stall_us = stall_us + excluded.stall_us,"
        " took_us = took_us + excluded.took_us,"
        " evictions = evictions + excluded.evictions",
    [S_RELIEF_LAST] = "SELECT max(id) FROM relief WHERE id < ?",
    [S_RELIEF_ADD] = "INSERT INTO relief VALUES(?, ?, ?, ?, ?, ?, ?)",
    [S_RELIEF_DAY] = "INSERT INTO relief_day VALUES(?, ?, ?, ?, ?, ?, ?)"
                     " ON CONFLICT DO UPDATE SET runs = runs + excluded.runs,"
                     " barren = barren + excluded.barren,"
                     " claimed_bytes = claimed_bytes + excluded.claimed_bytes,"
                     " yield_bytes = yield_bytes + excluded.yield_bytes",
    [S_SAMPLE_LAST] = "SELECT max(id) FROM sample WHERE id < ?",
    [S_SAMPLE_ADD] = "INSERT INTO sample VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
    [S_TALLY] = "INSERT INTO tally VALUES(?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET count = count + excluded.count",
    [S_LOST] = "INSERT INTO lost VALUES(?, ?)"
               " ON CONFLICT DO UPDATE SET count = count + excluded.count",
    [S_REQUEST_OLD] = "SELECT id FROM request ORDER BY id LIMIT 1 OFFSET ?",
    [S_RELIEF_OLD] = "SELECT id FROM relief ORDER BY id LIMIT 1 OFFSET ?",
    [S_SAMPLE_OLD] = "SELECT id FROM sample ORDER BY id LIMIT 1 OFFSET ?",
    [S_REQUEST_UPTO] = "SELECT * FROM request WHERE id <= ?",
    [S_RELIEF_UPTO] = "SELECT * FROM relief WHERE id <= ?",
    [S_REQUEST_DROP] = "DELETE FROM request WHERE id <= ?",
    [S_RELIEF_DROP] = "DELETE FROM relief WHERE id <= ?",
    [S_SAMPLE_DROP] = "DELETE FROM sample WHERE id <= ?",
    [S_REQUEST_DAY_EMPTY] = "DELETE FROM request_day WHERE kind = ?"
                            " AND day = ? AND app = ? AND requests <= 0",
    [S_RELIEF_DAY_EMPTY] = "DELETE FROM relief_day WHERE action = ?"
                           " AND day = ? AND app = ? AND runs <= 0",
    [S_TALLY_EMPTY] = "DELETE FROM tally WHERE what = ? AND kind = ?"
                      " AND day = ? AND app = ? AND bucket = ? AND count <= 0",
    [S_KIND_EMPTY] = "DELETE FROM kind WHERE NOT EXISTS"
                     " (SELECT 1 FROM request_day WHERE kind = kind.id)",
    [S_LOST_OLD] = "DELETE FROM lost WHERE day < ?",
    [S_VACUUM] = "PRAGMA incremental_vacuum(64)",
    [S_PAGES] = "PRAGMA page_count",
    [S_FREE] = "PRAGMA freelist_count",
};

bool gov__telemetry_number(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *s = NULL;
    bool good = sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK &&
                sqlite3_step(s) == SQLITE_ROW;

    if (good)
        *out = sqlite3_column_int64(s, 0);
    return sqlite3_finalize(s) == SQLITE_OK && good;
}

static bool is_ours(const char *type, const char *name, const char *sql)
{
    if (sql == NULL) /* of a UNIQUE or a PRIMARY KEY */
        return strcmp(type, "index") == 0;
    /* Of ANALYZE, by which nothing is refused. */
    if (strcmp(name, "sqlite_stat1") == 0 || strcmp(name, "sqlite_stat4") == 0)
        return strcmp(type, "table") == 0;
    for (size_t i = 0; i < SCHEMA; i++)
        if (strcmp(sql, schema[i]) == 0)
            return true;
    return false;
}

/* Whether all tables are there and nothing else is. GOV_OK with *count 0: it is
 * empty. */
static gov_status compare(gov_telemetry *t, size_t *count, gov_error *err)
{
    sqlite3_stmt *s = NULL;
    bool good = true;
    int rc;

    *count = 0;
    rc = sqlite3_prepare_v2(t->db, "SELECT type, name, sql FROM sqlite_master",
                            -1, &s, NULL);
    while (rc == SQLITE_OK && good && sqlite3_step(s) == SQLITE_ROW) {
        const char *type = (const char *)sqlite3_column_text(s, 0);
        const char *name = (const char *)sqlite3_column_text(s, 1);
        const char *sql = (const char *)sqlite3_column_text(s, 2);

        good = type != NULL && name != NULL && is_ours(type, name, sql);
        *count +=
            sql != NULL && strncmp(name == NULL ? "" : name, "sqlite_", 7) != 0;
    }
    if (sqlite3_finalize(s) != SQLITE_OK || rc != SQLITE_OK)
        return gov__telemetry_fail(t, "read", err);
    if (!good || (*count != 0 && *count != SCHEMA))
        return gov__telemetry_odd(
            t, "has other tables than a database of telemetry", err);
    return GOV_OK;
}

static gov_status check_version(gov_telemetry *t, gov_error *err)
{
    int64_t application = 0, version = 0;

    if (!gov__telemetry_number(t->db, "PRAGMA application_id", &application) ||
        !gov__telemetry_number(t->db, "PRAGMA user_version", &version))
        return gov__telemetry_fail(t, "read", err);
    if (application != APPLICATION)
        return gov__telemetry_odd(t, "is a database of another program", err);
    if (version > VERSION)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%.160s is of version %lld, newer than this library's "
                        "%d; update it, or name another file",
                        t->path, (long long)version, VERSION);
    if (version > 0 && version < VERSION)
        return gov__telemetry_odd(t, "is of an older version", err);
    if (version != VERSION)
        return gov__telemetry_odd(t, "has no version that there was", err);
    return GOV_OK;
}

/* In a transaction, so that of two that begin one finds it done. */
gov_status gov__telemetry_make(gov_telemetry *t, gov_error *err)
{
    char sql[96];
    size_t count = 0;
    gov_status status;
    bool good =
        sqlite3_exec(t->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;

    if (!good)
        return gov__telemetry_fail(t, "write to", err);
    status = compare(t, &count, err);
    if (status == GOV_OK && count == 0) {
        for (size_t i = 0; i < SCHEMA && good; i++)
            good =
                sqlite3_exec(t->db, schema[i], NULL, NULL, NULL) == SQLITE_OK;
        (void)snprintf(sql, sizeof(sql),
                       "PRAGMA application_id = %d; PRAGMA user_version = %d",
                       APPLICATION, VERSION);
        good = good && sqlite3_exec(t->db, sql, NULL, NULL, NULL) == SQLITE_OK;
    }
    good = good && status == GOV_OK &&
           sqlite3_exec(t->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    if (!good && status == GOV_OK)
        status = gov__telemetry_fail(t, "write to", err);
    if (!good && sqlite3_get_autocommit(t->db) == 0)
        (void)sqlite3_exec(t->db, "ROLLBACK", NULL, NULL, NULL);
    return status == GOV_OK ? check_version(t, err) : status;
}

gov_status gov__telemetry_known(gov_telemetry *t, bool *empty, gov_error *err)
{
    int64_t application = 0;
    size_t count = 0;
    gov_status status;

    if (!gov__telemetry_number(t->db, "PRAGMA application_id", &application))
        return gov__telemetry_fail(t, "read", err);
    /* A newer version may have other tables. */
    status = application != 0 ? check_version(t, err) : GOV_OK;
    if (status == GOV_OK)
        status = compare(t, &count, err);
    *empty = count == 0;
    return status == GOV_OK && !*empty ? check_version(t, err) : status;
}

gov_status gov__telemetry_prepare(gov_telemetry *t, gov_error *err)
{
    for (int i = 0; i < GOV__STATEMENTS; i++)
        if (sqlite3_prepare_v3(t->db, statements[i], -1,
                               SQLITE_PREPARE_PERSISTENT, &t->statement[i],
                               NULL) != SQLITE_OK)
            return gov__telemetry_fail(t, "write to", err);
    return GOV_OK;
}
