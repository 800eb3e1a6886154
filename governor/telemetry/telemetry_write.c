/* SPDX-License-Identifier: MIT */
/* Writes a batch, in one transaction. */
#include <string.h>
#include <time.h>

#include "governor/telemetry/telemetry_priv.h"

/* Of each sort. An app that makes names up does not fill the database with them:
 * those that come later are this one. */
#define NAMES 1000
#define NO_MORE_NAMES "other"
#define KINDS 1000 /* and two for all that come later, cold or not */

static int64_t now_ms(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t value(uint64_t n)
{
    return n > (uint64_t)GOV__ROW_VALUE_MAX ? GOV__ROW_VALUE_MAX : (int64_t)n;
}

static int64_t known(uint64_t n)
{
    return n == UINT64_MAX ? GOV__ROW_UNKNOWN : value(n);
}

/* ---- names ----------------------------------------------------------------------- */

/* One number, or *out as it was. */
static bool find(gov_telemetry *t, enum gov__statement which, int64_t *out)
{
    sqlite3_stmt *s = t->statement[which];
    int rc = sqlite3_step(s);

    if (rc == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL)
        *out = sqlite3_column_int64(s, 0);
    return sqlite3_reset(s) == SQLITE_OK &&
           (rc == SQLITE_ROW || rc == SQLITE_DONE);
}

static bool bind_name(sqlite3_stmt *s, enum gov__name_sort sort,
                      const char *text, size_t bytes)
{
    return sqlite3_bind_int(s, 1, (int)sort) == SQLITE_OK &&
           sqlite3_bind_text(s, 2, text, (int)bytes, SQLITE_STATIC) ==
               SQLITE_OK;
}

static bool find_name(gov_telemetry *t, enum gov__name_sort sort,
                      const char *text, size_t bytes, int64_t *out)
{
    *out = 0;
    return bind_name(t->statement[S_NAME_FIND], sort, text, bytes) &&
           find(t, S_NAME_FIND, out);
}

static bool add_name(gov_telemetry *t, enum gov__name_sort sort,
                     const char *text, size_t bytes, int64_t *out)
{
    if (!bind_name(t->statement[S_NAME_ADD], sort, text, bytes) ||
        !gov__run(t, S_NAME_ADD))
        return false;
    *out = sqlite3_last_insert_rowid(t->db);
    return true;
}

/* The number of a text that ends within `room`, whatever comes behind it. */
static bool name(gov_telemetry *t, enum gov__name_sort sort, const char *text,
                 size_t room, int64_t *out)
{
    const size_t bytes = strnlen(text, room - 1);
    int64_t count = 0;

    if (!find_name(t, sort, text, bytes, out))
        return false;
    if (*out != 0)
        return true;
    if (sqlite3_bind_int(t->statement[S_NAME_COUNT], 1, (int)sort) !=
            SQLITE_OK ||
        !find(t, S_NAME_COUNT, &count))
        return false;
    if (count < NAMES - 1)
        return add_name(t, sort, text, bytes, out);
    if (!find_name(t, sort, NO_MORE_NAMES, strlen(NO_MORE_NAMES), out))
        return false;
    return *out != 0 ||
           add_name(t, sort, NO_MORE_NAMES, strlen(NO_MORE_NAMES), out);
}

#define NAME(t, sort, array, out) name(t, sort, array, sizeof(array), out)

static bool find_kind(gov_telemetry *t, const int64_t key[4], int64_t *out)
{
    *out = 0;
    return gov__row_bind(t->statement[S_KIND_FIND], key, 4) &&
           find(t, S_KIND_FIND, out);
}

static bool add_kind(gov_telemetry *t, const int64_t key[4], int64_t *out)
{
    if (!gov__row_bind(t->statement[S_KIND_ADD], key, 4) ||
        !gov__run(t, S_KIND_ADD))
        return false;
    *out = sqlite3_last_insert_rowid(t->db);
    return true;
}

static bool kind(gov_telemetry *t, const struct gov_request *r, int64_t *out)
{
    static const enum gov__name_sort sorts[] = {NAME_ENGINE, NAME_MODEL,
                                                NAME_STRATEGY};
    int64_t key[4] = {0, 0, 0, r->cold};
    int64_t count = 0;

    if (!NAME(t, NAME_ENGINE, r->engine, &key[0]) ||
        !NAME(t, NAME_MODEL, r->model, &key[1]) ||
        !NAME(t, NAME_STRATEGY, r->strategy, &key[2]) ||
        !find_kind(t, key, out))
        return false;
    if (*out != 0)
        return true;
    if (!find(t, S_KIND_COUNT, &count))
        return false;
    if (count < KINDS)
        return add_kind(t, key, out);
    for (size_t i = 0; i < 3; i++)
        if (!NAME(t, sorts[i], NO_MORE_NAMES, &key[i]))
            return false;
    return find_kind(t, key, out) && (*out != 0 || add_kind(t, key, out));
}

/* ---- rows -------------------------------------------------------------------------- */

/* The number of a new row: the next one of its millisecond, or of the next one
 * that has any left. */
static bool number(gov_telemetry *t, enum gov__statement last, int64_t at_ms,
                   int64_t *out)
{
    int64_t ms = at_ms == 0 ? now_ms() : at_ms, before;

    ms = ms < 0 ? 0 : ms > GOV__ROW_MS_MAX ? GOV__ROW_MS_MAX : ms;
    do {
        before = -1;
        if (sqlite3_bind_int64(t->statement[last], 1,
                               (ms + 1) << GOV__ROW_BITS) != SQLITE_OK ||
            !find(t, last, &before))
            return false;
        *out = ms << GOV__ROW_BITS;
        if (before >= *out)
            *out = before + 1;
    } while (*out == ++ms << GOV__ROW_BITS);
    return true;
}

static bool insert(gov_telemetry *t, enum gov__statement which,
                   const int64_t *row, int columns)
{
    return gov__row_bind(t->statement[which], row, columns) &&
           gov__run(t, which);
}

/* Tokens behind the first, over the time they took. */
static int64_t rate_of(const struct gov_request *r)
{
    const uint64_t us = r->took_us - r->first_token_us;

    if (r->first_token_us == 0 || r->tokens < 2 ||
        r->took_us <= r->first_token_us)
        return GOV__ROW_UNKNOWN;
    return value((uint64_t)(r->tokens - 1) * 1000000000 / us);
}

static bool write_request(gov_telemetry *t, const struct gov_request *r)
{
    int64_t row[REQUEST_COLUMNS] = {
        [REQUEST_ENDED] = (int64_t)r->end,
        [REQUEST_LEVEL] = (int64_t)r->level,
        [REQUEST_PROMPT] = r->prompt_tokens,
        [REQUEST_REUSED] = r->reused_tokens,
        [REQUEST_TOKENS] = r->tokens,
        [REQUEST_FIRST] = r->first_token_us == 0 ? GOV__ROW_UNKNOWN
                                                 : value(r->first_token_us),
        [REQUEST_RATE] = rate_of(r),
        [REQUEST_TOOK] = value(r->took_us),
        [REQUEST_WAIT] = value(r->weights_wait_us),
        [REQUEST_STALL] = value(r->stall_us),
        [REQUEST_FAULTS] = value(r->major_faults),
        [REQUEST_READ] = value(r->read_bytes),
        [REQUEST_EVICTIONS] = r->evictions,
        [REQUEST_FOOTPRINT] = value(r->footprint_bytes),
    };

    return kind(t, r, &row[REQUEST_KIND]) &&
           NAME(t, NAME_APP, r->app, &row[REQUEST_APP]) &&
           NAME(t, NAME_PROFILE, r->profile, &row[REQUEST_PROFILE]) &&
           number(t, S_REQUEST_LAST, r->at_ms, &row[REQUEST_ID]) &&
           insert(t, S_REQUEST_ADD, row, REQUEST_COLUMNS) &&
           gov__tally_request(t, row, 1);
}

static bool write_relief(gov_telemetry *t, const struct gov_telemetry_relief *r)
{
    int64_t row[RELIEF_COLUMNS] = {
        [RELIEF_LEVEL] = (int64_t)r->level,
        [RELIEF_CLAIMED] = value(r->claimed_bytes),
        [RELIEF_YIELD] = value(r->yield_bytes),
        [RELIEF_TOOK] = value(r->took_us),
    };

    return NAME(t, NAME_APP, r->app, &row[RELIEF_APP]) &&
           NAME(t, NAME_ACTION, r->action, &row[RELIEF_ACTION]) &&
           number(t, S_RELIEF_LAST, r->at_ms, &row[RELIEF_ID]) &&
           insert(t, S_RELIEF_ADD, row, RELIEF_COLUMNS) &&
           gov__tally_relief(t, row, 1);
}

static bool write_sample(gov_telemetry *t, const struct gov_telemetry_sample *r)
{
    int64_t row[SAMPLE_COLUMNS] = {
        [SAMPLE_LEVEL] = (int64_t)r->level,
        [SAMPLE_FOOTPRINT] = value(r->footprint_bytes),
        [SAMPLE_BUDGET] = value(r->budget_bytes),
        [SAMPLE_HEADROOM] = known(r->headroom_bytes),
        [SAMPLE_WEIGHTS] = known(r->weights_resident_bytes),
        [SAMPLE_PROCESS] = value(r->process),
    };

    return NAME(t, NAME_APP, r->app, &row[SAMPLE_APP]) &&
           number(t, S_SAMPLE_LAST, r->at_ms, &row[SAMPLE_ID]) &&
           insert(t, S_SAMPLE_ADD, row, SAMPLE_COLUMNS);
}

static bool write_lost(gov_telemetry *t, uint64_t lost)
{
    const int64_t row[2] = {now_ms() / GOV__DAY_MS, value(lost)};

    return lost == 0 || insert(t, S_LOST, row, 2);
}

static bool write_rows(gov_telemetry *t, const struct gov_telemetry_batch *b)
{
    bool good = true;

    for (size_t i = 0; good && i < b->request_count; i++)
        good = write_request(t, &b->requests[i]);
    for (size_t i = 0; good && i < b->relief_count; i++)
        good = write_relief(t, &b->reliefs[i]);
    for (size_t i = 0; good && i < b->sample_count; i++)
        good = write_sample(t, &b->samples[i]);
    return good && write_lost(t, b->lost);
}

/* ---- a batch ------------------------------------------------------------------------ */

static gov_status check_batch(gov_telemetry *t,
                              const struct gov_telemetry_batch *b, size_t *rows,
                              gov_error *err)
{
    gov_status status = gov__telemetry_usable(t, err);

    if (status != GOV_OK)
        return status;
    if (!t->writes || b == NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "telemetry is written with a batch, and opened for "
                        "that");
    *rows = b->request_count + b->relief_count + b->sample_count;
    if (b->request_count > GOV_TELEMETRY_BATCH ||
        b->relief_count > GOV_TELEMETRY_BATCH ||
        b->sample_count > GOV_TELEMETRY_BATCH)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "a batch of telemetry has %d rows of a sort at most; "
                        "write several",
                        GOV_TELEMETRY_BATCH);
    if (!gov__telemetry_stays(t))
        return gov_fail(err, GOV_E_IO, 0,
                        "%.160s was removed, or is another file now; open the "
                        "telemetry again",
                        t->path);
    if (gov__telemetry_log_bytes(t) > t->max_bytes)
        gov__telemetry_shorten(t);
    if (gov__telemetry_log_bytes(t) > t->max_bytes)
        return gov_fail(err, GOV_E_BUSY, 0,
                        "somebody has read %.140s for so long that its log is "
                        "as large as all of it may be; end that, and try again",
                        t->path);
    return gov__telemetry_may_grow(t, err);
}

gov_status gov_telemetry_write(gov_telemetry *telemetry,
                               const struct gov_telemetry_batch *batch,
                               gov_error *err)
{
    size_t rows = 0;
    gov_status status = check_batch(telemetry, batch, &rows, err);
    bool good;

    if (status != GOV_OK)
        return status;
    good = gov__telemetry_trim(telemetry, rows) &&
           gov__run(telemetry, S_BEGIN) && write_rows(telemetry, batch) &&
           gov__run(telemetry, S_COMMIT);
    if (!good)
        status = gov__telemetry_fail(telemetry, "write to", err);
    if (sqlite3_get_autocommit(telemetry->db) == 0)
        (void)sqlite3_exec(telemetry->db, "ROLLBACK", NULL, NULL, NULL);
    gov__telemetry_shorten(telemetry);
    return status;
}
