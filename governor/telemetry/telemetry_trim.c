/* SPDX-License-Identifier: MIT */
/* Keeps the files below their limit: the oldest rows go before new ones come, in
 * steps, each a transaction with its counts; and the log is copied and cut. What a
 * transaction changes is in the log before it is in the database, so the log has a
 * part of the room to itself. */
#include "governor/telemetry/telemetry_priv.h"

#define LOG_BYTES (UINT64_C(16) << 20)
#define STEP_ROWS 64 /* of a table */
#define STEPS 64     /* a batch; a limit that was lowered is met in several */
#define ROW_BYTES 256

static uint64_t log_room(const gov_telemetry *t)
{
    const uint64_t part = t->max_bytes / 8 * 5;

    return part < LOG_BYTES ? part : LOG_BYTES;
}

static bool pages(gov_telemetry *t, enum gov__statement which, uint64_t *out)
{
    sqlite3_stmt *s = t->statement[which];
    const int rc = sqlite3_step(s);

    *out = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
    return sqlite3_reset(s) == SQLITE_OK && rc == SQLITE_ROW;
}

/* ---- the oldest rows ------------------------------------------------------------- */

/* The number of the n-th oldest row, or INT64_MAX. */
static bool oldest(gov_telemetry *t, enum gov__statement which, int64_t n,
                   int64_t *out)
{
    sqlite3_stmt *s = t->statement[which];
    int rc;

    *out = INT64_MAX;
    if (sqlite3_bind_int64(s, 1, n) != SQLITE_OK)
        return false;
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    return sqlite3_reset(s) == SQLITE_OK &&
           (rc == SQLITE_ROW || rc == SQLITE_DONE);
}

/* Up to which row a step goes: no table loses more than STEP_ROWS. INT64_MAX: all
 * of them are shorter than that. */
static bool find_step(gov_telemetry *t, int64_t *upto)
{
    static const enum gov__statement tables[] = {S_REQUEST_OLD, S_RELIEF_OLD,
                                                 S_SAMPLE_OLD};
    int64_t at;

    *upto = INT64_MAX;
    for (size_t i = 0; i < 3; i++) {
        if (!oldest(t, tables[i], STEP_ROWS - 1, &at))
            return false;
        *upto = at < *upto ? at : *upto;
    }
    return true;
}

static bool uncount(gov_telemetry *t, enum gov__statement which, int columns,
                    bool (*tally)(gov_telemetry *t, const int64_t *row,
                                  int sign),
                    int64_t upto)
{
    sqlite3_stmt *s = t->statement[which];
    int64_t row[GOV__ROW_COLUMNS];
    bool good = sqlite3_bind_int64(s, 1, upto) == SQLITE_OK;
    int rc = SQLITE_DONE;

    while (good && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        gov__row_read(s, row, columns);
        good = tally(t, row, -1);
    }
    return sqlite3_reset(s) == SQLITE_OK && good && rc == SQLITE_DONE;
}

static bool drop(gov_telemetry *t, enum gov__statement which, int64_t upto)
{
    return sqlite3_bind_int64(t->statement[which], 1, upto) == SQLITE_OK &&
           gov__run(t, which);
}

static bool drop_oldest(gov_telemetry *t, int64_t upto)
{
    return uncount(t, S_REQUEST_UPTO, REQUEST_COLUMNS, gov__tally_request,
                   upto) &&
           uncount(t, S_RELIEF_UPTO, RELIEF_COLUMNS, gov__tally_relief, upto) &&
           drop(t, S_REQUEST_DROP, upto) && drop(t, S_RELIEF_DROP, upto) &&
           drop(t, S_SAMPLE_DROP, upto) &&
           drop(t, S_LOST_OLD, upto / GOV__ROW_DAY);
}

/* ---- room ---------------------------------------------------------------------------- */

/* Whether what is in use and so many rows more are too much. */
static bool is_full(gov_telemetry *t, size_t rows, bool *full)
{
    const uint64_t most = t->max_bytes - log_room(t);
    uint64_t all, spare;

    if (!pages(t, S_PAGES, &all) || !pages(t, S_FREE, &spare))
        return false;
    *full =
        (all - (spare < all ? spare : all)) * t->page_bytes + rows * ROW_BYTES >
        most;
    return true;
}

/* What became free is used again; given back only where the file is too large. */
static bool give_back(gov_telemetry *t)
{
    uint64_t all, spare;

    if (!pages(t, S_PAGES, &all) || !pages(t, S_FREE, &spare))
        return false;
    if (spare == 0 || all * t->page_bytes <= t->max_bytes - log_room(t))
        return true;
    return gov__run(t, S_BEGIN) && gov__run(t, S_VACUUM) &&
           gov__run(t, S_COMMIT);
}

bool gov__telemetry_trim(gov_telemetry *t, size_t rows)
{
    int64_t upto = 0;
    bool full = true, dropped = false;

    for (int i = 0; i < STEPS; i++) {
        if (!is_full(t, rows, &full))
            return false;
        if (!full)
            break;
        if (!find_step(t, &upto))
            return false;
        if (upto ==
            INT64_MAX) /* few are left, and they are not what takes it */
            break;
        if (!gov__run(t, S_BEGIN) || !drop_oldest(t, upto) ||
            !gov__run(t, S_COMMIT))
            return false;
        dropped = true;
        gov__telemetry_shorten(t);
    }
    /* Kinds whose rows are gone make room for others: there are so many at most. */
    return (!dropped || gov__run(t, S_KIND_EMPTY)) && give_back(t);
}

/* Waits for nobody: who reads meanwhile keeps the log as it is, and the next batch
 * tries again. */
void gov__telemetry_shorten(gov_telemetry *t)
{
    if (gov__telemetry_log_bytes(t) <= log_room(t) / 2)
        return;
    (void)sqlite3_busy_timeout(t->db, 0);
    (void)sqlite3_wal_checkpoint_v2(t->db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                    NULL, NULL);
    (void)sqlite3_busy_timeout(t->db, GOV__TELEMETRY_BUSY_MS);
}
