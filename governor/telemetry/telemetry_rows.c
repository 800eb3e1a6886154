/* SPDX-License-Identifier: MIT */
/* Reads: a span of rows, consistent throughout a call, and the rows themselves. */
#include <string.h>

#include "governor/model/model_text.h"
#include "governor/telemetry/telemetry_priv.h"

/* ---- a span ------------------------------------------------------------------------ */

int64_t gov__day_within(int64_t day)
{
    const int64_t last = GOV__ROW_MS_MAX / GOV__DAY_MS;

    return day < 0 ? 0 : day > last ? last : day;
}

static bool find_app(gov_telemetry *t, const char *app, int64_t *out)
{
    sqlite3_stmt *s = gov__read_prepare(
        t, "SELECT id FROM name WHERE sort = ?1 AND text = ?2");
    bool good = s != NULL && sqlite3_bind_int(s, 1, NAME_APP) == SQLITE_OK &&
                sqlite3_bind_text(s, 2, app, -1, SQLITE_STATIC) == SQLITE_OK;

    *out = -1;
    if (good && sqlite3_step(s) == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    return sqlite3_finalize(s) == SQLITE_OK && good;
}

gov_status gov__read_begin(gov_telemetry *t,
                           const struct gov_telemetry_span *in,
                           struct gov__span *out, bool *began, gov_error *err)
{
    const struct gov_telemetry_span all = {INT64_MIN, INT64_MAX, NULL};
    const struct gov_telemetry_span *span = in != NULL ? in : &all;
    gov_status status = gov__telemetry_usable(t, err);

    *began = false;
    memset(out, 0, sizeof(*out));
    if (status != GOV_OK)
        return status;
    out->from_day = gov__day_within(span->from_day);
    out->to_day = gov__day_within(span->to_day);
    if (span->to_day < 0)
        out->to_day = -1; /* there are no rows of then */
    out->from = out->from_day * GOV__ROW_DAY;
    out->to = (out->to_day + 1) * GOV__ROW_DAY - 1;
    /* A callback may ask on: it sees what its caller sees. */
    if (sqlite3_get_autocommit(t->db) != 0) {
        if (sqlite3_exec(t->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
            return gov__telemetry_fail(t, "read", err);
        *began = true;
    }
    if (span->app != NULL && !find_app(t, span->app, &out->app))
        return gov__telemetry_fail(t, "read", err);
    return GOV_OK;
}

/* Nothing was changed: ending it cannot lose anything. */
gov_status gov__read_end(gov_telemetry *t, bool began, gov_status status)
{
    if (began)
        (void)sqlite3_exec(t->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

sqlite3_stmt *gov__read_prepare(gov_telemetry *t, const char *sql)
{
    sqlite3_stmt *s = NULL;

    return sqlite3_prepare_v2(t->db, sql, -1, &s, NULL) == SQLITE_OK ? s : NULL;
}

void gov__column_text(sqlite3_stmt *s, int column, char *out, size_t bytes)
{
    const void *text = sqlite3_column_text(s, column);
    const int n = sqlite3_column_bytes(s, column);

    gov__text_safe(out, bytes, text == NULL ? "" : text,
                   text == NULL || n < 0 ? 0 : (size_t)n);
}

/* ---- rows ------------------------------------------------------------------------- */

/* Up to `most` from the end, in order: a row to begin with is found first. */
#define FROM(table)                                                            \
    "SELECT id FROM " table " WHERE id BETWEEN ?1 AND ?2"                      \
    " AND (?3 = 0 OR app = ?3) ORDER BY id DESC LIMIT 1 OFFSET ?4"
#define WITHIN " BETWEEN ?1 AND ?2 AND (?3 = 0 OR r.app = ?3) ORDER BY r.id"

static const char *const requests =
    "SELECT r.id, a.text, e.text, m.text, s.text, p.text, k.cold, r.ended,"
    " r.level, r.prompt_tokens, r.reused_tokens, r.tokens, r.first_token_us,"
    " r.took_us, r.weights_wait_us, r.stall_us, r.major_faults, r.read_bytes,"
    " r.evictions, r.footprint_bytes FROM request r"
    " LEFT JOIN name a ON a.id = r.app LEFT JOIN kind k ON k.id = r.kind"
    " LEFT JOIN name e ON e.id = k.engine LEFT JOIN name m ON m.id = k.model"
    " LEFT JOIN name s ON s.id = k.strategy"
    " LEFT JOIN name p ON p.id = r.profile WHERE r.id" WITHIN;
static const char *const reliefs =
    "SELECT r.id, a.text, x.text, r.level, r.claimed_bytes, r.yield_bytes,"
    " r.took_us FROM relief r LEFT JOIN name a ON a.id = r.app"
    " LEFT JOIN name x ON x.id = r.action WHERE r.id" WITHIN;
static const char *const samples =
    "SELECT r.id, a.text, r.level, r.footprint_bytes, r.budget_bytes,"
    " r.headroom_bytes, r.weights_resident_bytes, r.process FROM sample r"
    " LEFT JOIN name a ON a.id = r.app WHERE r.id" WITHIN;

static uint64_t number(sqlite3_stmt *s, int column)
{
    const int64_t n = sqlite3_column_int64(s, column);

    return n < 0 ? 0 : (uint64_t)n;
}

static uint32_t small(sqlite3_stmt *s, int column)
{
    const uint64_t n = number(s, column);

    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static uint64_t known(sqlite3_stmt *s, int column)
{
    return sqlite3_column_type(s, column) == SQLITE_NULL ? UINT64_MAX
                                                         : number(s, column);
}

static int64_t time_of(sqlite3_stmt *s)
{
    return sqlite3_column_int64(s, 0) >> GOV__ROW_BITS;
}

static gov_level level_of(sqlite3_stmt *s, int column)
{
    const uint64_t n = number(s, column);

    return n >= GOV_LEVEL_CRITICAL ? GOV_LEVEL_CRITICAL
           : n >= GOV_LEVEL_WARN   ? GOV_LEVEL_WARN
                                   : GOV_LEVEL_NORMAL;
}

union told {
    gov_telemetry_request_fn request;
    gov_telemetry_relief_fn relief;
    gov_telemetry_sample_fn sample;
};

static bool tell_request(sqlite3_stmt *s, union told fn, void *ctx)
{
    struct gov_request r = {.size = sizeof(r)};
    const uint64_t end = number(s, 7);

    r.at_ms = time_of(s);
    gov__column_text(s, 1, r.app, sizeof(r.app));
    gov__column_text(s, 2, r.engine, sizeof(r.engine));
    gov__column_text(s, 3, r.model, sizeof(r.model));
    gov__column_text(s, 4, r.strategy, sizeof(r.strategy));
    gov__column_text(s, 5, r.profile, sizeof(r.profile));
    r.cold = number(s, 6) != 0;
    r.end =
        end > GOV_REQUEST_FAILED ? GOV_REQUEST_FAILED : (gov_request_end)end;
    r.level = level_of(s, 8);
    r.prompt_tokens = small(s, 9);
    r.reused_tokens = small(s, 10);
    r.tokens = small(s, 11);
    r.first_token_us = number(s, 12);
    r.took_us = number(s, 13);
    r.weights_wait_us = number(s, 14);
    r.stall_us = number(s, 15);
    r.major_faults = number(s, 16);
    r.read_bytes = number(s, 17);
    r.evictions = small(s, 18);
    r.footprint_bytes = number(s, 19);
    return fn.request(ctx, &r);
}

static bool tell_relief(sqlite3_stmt *s, union told fn, void *ctx)
{
    struct gov_telemetry_relief r;

    memset(&r, 0, sizeof(r));
    r.at_ms = time_of(s);
    gov__column_text(s, 1, r.app, sizeof(r.app));
    gov__column_text(s, 2, r.action, sizeof(r.action));
    r.level = level_of(s, 3);
    r.claimed_bytes = number(s, 4);
    r.yield_bytes = number(s, 5);
    r.took_us = number(s, 6);
    return fn.relief(ctx, &r);
}

static bool tell_sample(sqlite3_stmt *s, union told fn, void *ctx)
{
    struct gov_telemetry_sample r;

    memset(&r, 0, sizeof(r));
    r.at_ms = time_of(s);
    gov__column_text(s, 1, r.app, sizeof(r.app));
    r.level = level_of(s, 2);
    r.footprint_bytes = number(s, 3);
    r.budget_bytes = number(s, 4);
    r.headroom_bytes = known(s, 5);
    r.weights_resident_bytes = known(s, 6);
    r.process = number(s, 7);
    return fn.sample(ctx, &r);
}

struct query {
    const char *first, *rows;
    bool (*tell)(sqlite3_stmt *s, union told fn, void *ctx);
    union told fn;
    void *ctx;
};

/* Moves the beginning of the span up, so that `most` rows are left. */
static bool shorten(gov_telemetry *t, const char *sql, uint64_t most,
                    struct gov__span *span)
{
    const int64_t bound[4] = {span->from, span->to, span->app,
                              most > INT64_MAX ? INT64_MAX
                                               : (int64_t)(most - 1)};
    sqlite3_stmt *s = gov__read_prepare(t, sql);
    bool good = s != NULL && gov__row_bind(s, bound, 4);

    if (good && sqlite3_step(s) == SQLITE_ROW)
        span->from = sqlite3_column_int64(s, 0);
    return sqlite3_finalize(s) == SQLITE_OK && good;
}

static bool each(gov_telemetry *t, const struct query *query,
                 const struct gov__span *span)
{
    const int64_t bound[3] = {span->from, span->to, span->app};
    sqlite3_stmt *s = gov__read_prepare(t, query->rows);
    const bool good = s != NULL && gov__row_bind(s, bound, 3);

    while (good && sqlite3_step(s) == SQLITE_ROW)
        if (!query->tell(s, query->fn, query->ctx))
            break;
    return sqlite3_finalize(s) == SQLITE_OK && good;
}

static gov_status read_rows(gov_telemetry *t, const struct query *query,
                            const struct gov_telemetry_span *span,
                            uint64_t most, gov_error *err)
{
    struct gov__span own;
    bool began = false;
    gov_status status = gov__read_begin(t, span, &own, &began, err);

    if (status == GOV_OK &&
        ((most != 0 && !shorten(t, query->first, most, &own)) ||
         !each(t, query, &own)))
        status = gov__telemetry_fail(t, "read", err);
    return gov__read_end(t, began, status);
}

gov_status gov_telemetry_requests(gov_telemetry *telemetry,
                                  const struct gov_telemetry_span *span,
                                  uint64_t most, gov_telemetry_request_fn fn,
                                  void *ctx, gov_error *err)
{
    static const char first[] = FROM("request");
    const struct query query = {
        first, requests, tell_request, {.request = fn}, ctx};

    return read_rows(telemetry, &query, span, most, err);
}

gov_status gov_telemetry_reliefs(gov_telemetry *telemetry,
                                 const struct gov_telemetry_span *span,
                                 uint64_t most, gov_telemetry_relief_fn fn,
                                 void *ctx, gov_error *err)
{
    static const char first[] = FROM("relief");
    const struct query query = {
        first, reliefs, tell_relief, {.relief = fn}, ctx};

    return read_rows(telemetry, &query, span, most, err);
}

gov_status gov_telemetry_samples(gov_telemetry *telemetry,
                                 const struct gov_telemetry_span *span,
                                 uint64_t most, gov_telemetry_sample_fn fn,
                                 void *ctx, gov_error *err)
{
    static const char first[] = FROM("sample");
    const struct query query = {
        first, samples, tell_sample, {.sample = fn}, ctx};

    return read_rows(telemetry, &query, span, most, err);
}
