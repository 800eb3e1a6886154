/* SPDX-License-Identifier: MIT */
/* What rows add up to: totals, groups of requests, latencies, actions. Reads sums of
 * days, counts of buckets and three values of each, not the rows. */
#include <string.h>

#include "governor/telemetry/telemetry_priv.h"

uint64_t gov__sum(uint64_t a, int64_t b)
{
    const uint64_t more = b < 0 ? 0 : (uint64_t)b;

    return a < UINT64_MAX - more ? a + more : UINT64_MAX;
}

/* ---- totals ------------------------------------------------------------------------ */

/* Adds the columns of all rows up; those behind are unknown to the caller. */
static bool add_up(gov_telemetry *t, const char *sql, const int64_t *bound,
                   int bounds, uint64_t *sums, int count)
{
    sqlite3_stmt *s = gov__read_prepare(t, sql);
    bool good = s != NULL && gov__row_bind(s, bound, bounds);

    memset(sums, 0, (size_t)count * sizeof(*sums));
    while (good && sqlite3_step(s) == SQLITE_ROW)
        for (int i = 0; i < count; i++)
            sums[i] = gov__sum(sums[i], sqlite3_column_int64(s, i));
    return sqlite3_finalize(s) == SQLITE_OK && good;
}

/* The time of the first request of the day, or the last one. */
static bool find_time(gov_telemetry *t, const char *sql, int64_t day,
                      const struct gov__span *span, int64_t *out)
{
    const int64_t from = day * GOV__ROW_DAY;
    const int64_t bound[3] = {from, from + GOV__ROW_DAY - 1, span->app};
    sqlite3_stmt *s = gov__read_prepare(t, sql);
    bool good = s != NULL && gov__row_bind(s, bound, 3);

    if (good && sqlite3_step(s) == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0) >> GOV__ROW_BITS;
    return sqlite3_finalize(s) == SQLITE_OK && good;
}

#define IN_DAY                                                                 \
    "SELECT id FROM request WHERE id BETWEEN ?1 AND ?2"                        \
    " AND (?3 = 0 OR app = ?3) ORDER BY id"

static bool find_times(gov_telemetry *t, const struct gov__span *span,
                       struct gov_telemetry_totals *out)
{
    const int64_t bound[3] = {span->from_day, span->to_day, span->app};
    sqlite3_stmt *s = gov__read_prepare(
        t, "SELECT min(day), max(day) FROM request_day WHERE day BETWEEN ?1"
           " AND ?2 AND (?3 = 0 OR app = ?3)");
    bool good = s != NULL && gov__row_bind(s, bound, 3) &&
                sqlite3_step(s) == SQLITE_ROW;
    const bool any = good && sqlite3_column_type(s, 0) == SQLITE_INTEGER;
    int64_t first = 0, last = 0;

    if (any) {
        first = gov__day_within(sqlite3_column_int64(s, 0));
        last = gov__day_within(sqlite3_column_int64(s, 1));
    }
    if (sqlite3_finalize(s) != SQLITE_OK || !good)
        return false;
    return !any ||
           (find_time(t, IN_DAY " LIMIT 1", first, span, &out->first_ms) &&
            find_time(t, IN_DAY " DESC LIMIT 1", last, span, &out->last_ms));
}

static bool read_totals(gov_telemetry *t, const struct gov__span *span,
                        struct gov_telemetry_totals *out)
{
    const int64_t days[3] = {span->from_day, span->to_day, span->app};
    const int64_t ids[3] = {span->from, span->to, span->app};

    return add_up(t,
                  "SELECT requests FROM request_day WHERE day BETWEEN ?1 AND ?2"
                  " AND (?3 = 0 OR app = ?3)",
                  days, 3, &out->requests, 1) &&
           add_up(t,
                  "SELECT runs FROM relief_day WHERE day BETWEEN ?1 AND ?2"
                  " AND (?3 = 0 OR app = ?3)",
                  days, 3, &out->reliefs, 1) &&
           add_up(t,
                  "SELECT count(*) FROM sample WHERE id BETWEEN ?1 AND ?2"
                  " AND (?3 = 0 OR app = ?3)",
                  ids, 3, &out->samples, 1) &&
           add_up(t, "SELECT count FROM lost WHERE day BETWEEN ?1 AND ?2", days,
                  2, &out->lost, 1) &&
           find_times(t, span, out);
}

gov_status gov_telemetry_sum(gov_telemetry *telemetry,
                             const struct gov_telemetry_span *span,
                             struct gov_telemetry_totals *out, gov_error *err)
{
    struct gov__span own;
    bool began = false;
    gov_status status;

    memset(out, 0, sizeof(*out));
    status = gov__read_begin(telemetry, span, &own, &began, err);
    if (status == GOV_OK && !read_totals(telemetry, &own, out))
        status = gov__telemetry_fail(telemetry, "read", err);
    status = gov__read_end(telemetry, began, status);
    if (status == GOV_OK)
        out->bytes = gov__telemetry_bytes(telemetry) +
                     gov__telemetry_log_bytes(telemetry);
    return status;
}

/* ---- groups ------------------------------------------------------------------------- */

static gov_status read_group(gov_telemetry *t, const struct gov__span *span,
                             int64_t kind, struct gov_telemetry_group *g,
                             gov_error *err)
{
    const int64_t bound[4] = {kind, span->from_day, span->to_day, span->app};
    uint64_t sum[REQUEST_SUMS];
    gov_status status;

    if (!add_up(t,
                "SELECT requests, stopped, failed, answered, rated, tokens,"
                " prompt_tokens, reused_tokens, major_faults, read_bytes,"
                " weights_wait_us, stall_us, took_us, evictions"
                " FROM request_day WHERE kind = ?1 AND day BETWEEN ?2 AND ?3"
                " AND (?4 = 0 OR app = ?4)",
                bound, 4, sum, REQUEST_SUMS))
        return gov__telemetry_fail(t, "read", err);
    g->requests = sum[SUM_REQUESTS];
    g->stopped = sum[SUM_STOPPED];
    g->failed = sum[SUM_FAILED];
    g->answered = sum[SUM_ANSWERED];
    g->rated = sum[SUM_RATED];
    g->tokens = sum[SUM_TOKENS];
    g->prompt_tokens = sum[SUM_PROMPT];
    g->reused_tokens = sum[SUM_REUSED];
    g->major_faults = sum[SUM_FAULTS];
    g->read_bytes = sum[SUM_READ];
    g->weights_wait_us = sum[SUM_WAIT];
    g->stall_us = sum[SUM_STALL];
    g->took_us = sum[SUM_TOOK];
    g->evictions = sum[SUM_EVICTIONS];
    status =
        gov__percentiles(t, TALLY_FIRST, kind, span, &g->first_token_us, err);
    return status != GOV_OK ? status
                            : gov__percentiles(t, TALLY_RATE, kind, span,
                                               &g->rate_milli, err);
}

#define KINDS                                                                  \
    "SELECT kind.id, e.text, m.text, s.text, kind.cold FROM kind"              \
    " LEFT JOIN name e ON e.id = kind.engine"                                  \
    " LEFT JOIN name m ON m.id = kind.model"                                   \
    " LEFT JOIN name s ON s.id = kind.strategy"

static void read_names(sqlite3_stmt *s, struct gov_telemetry_group *g)
{
    memset(g, 0, sizeof(*g));
    gov__column_text(s, 1, g->engine, sizeof(g->engine));
    gov__column_text(s, 2, g->model, sizeof(g->model));
    gov__column_text(s, 3, g->strategy, sizeof(g->strategy));
    g->cold = sqlite3_column_int(s, 4) != 0;
}

static gov_status each_group(gov_telemetry *t, const struct gov__span *span,
                             gov_telemetry_group_fn fn, void *ctx,
                             gov_error *err)
{
    sqlite3_stmt *s = gov__read_prepare(
        t, KINDS " ORDER BY m.text, s.text, kind.cold DESC, e.text");
    struct gov_telemetry_group group;
    gov_status status = GOV_OK;
    bool goes_on = s != NULL;

    while (goes_on && status == GOV_OK && sqlite3_step(s) == SQLITE_ROW) {
        read_names(s, &group);
        status = read_group(t, span, sqlite3_column_int64(s, 0), &group, err);
        if (status == GOV_OK && group.requests > 0)
            goes_on = fn(ctx, &group);
    }
    if ((s == NULL || sqlite3_finalize(s) != SQLITE_OK) && status == GOV_OK)
        status = gov__telemetry_fail(t, "read", err);
    return status;
}

gov_status gov_telemetry_groups(gov_telemetry *telemetry,
                                const struct gov_telemetry_span *span,
                                gov_telemetry_group_fn fn, void *ctx,
                                gov_error *err)
{
    struct gov__span own;
    bool began = false;
    gov_status status = gov__read_begin(telemetry, span, &own, &began, err);

    if (status == GOV_OK)
        status = each_group(telemetry, &own, fn, ctx, err);
    return gov__read_end(telemetry, began, status);
}

/* ---- latencies ------------------------------------------------------------------------ */

/* 0: there is none of these names. They are compared as they are shown. */
static bool find_kind(gov_telemetry *t, const struct gov_telemetry_group *group,
                      int64_t *kind)
{
    sqlite3_stmt *s = gov__read_prepare(t, KINDS);
    struct gov_telemetry_group each = {0};
    bool found = false;

    *kind = 0;
    while (s != NULL && !found && sqlite3_step(s) == SQLITE_ROW) {
        read_names(s, &each);
        found = strcmp(each.engine, group->engine) == 0 &&
                strcmp(each.model, group->model) == 0 &&
                strcmp(each.strategy, group->strategy) == 0 &&
                each.cold == group->cold;
        if (found)
            *kind = sqlite3_column_int64(s, 0);
    }
    return s != NULL && sqlite3_finalize(s) == SQLITE_OK;
}

static void tell_buckets(const struct gov__tallied *tallied,
                         gov_telemetry_bucket_fn fn, void *ctx)
{
    bool goes_on = true;
    int64_t from, to;

    for (uint32_t i = 0; i < GOV__BUCKETS && goes_on; i++) {
        if (tallied->bucket[i] == 0)
            continue;
        gov__bucket_range(i, &from, &to);
        goes_on = fn(ctx, (uint64_t)from, (uint64_t)to, tallied->bucket[i]);
    }
}

gov_status gov_telemetry_latencies(gov_telemetry *telemetry,
                                   const struct gov_telemetry_span *span,
                                   const struct gov_telemetry_group *group,
                                   gov_telemetry_bucket_fn fn, void *ctx,
                                   gov_error *err)
{
    struct gov__tallied tallied = {0};
    struct gov__span own;
    bool began = false;
    int64_t kind;
    gov_status status = gov__read_begin(telemetry, span, &own, &began, err);

    if (status == GOV_OK &&
        (!find_kind(telemetry, group, &kind) ||
         !gov__tally_read(telemetry, TALLY_FIRST, kind, &own, &tallied)))
        status = gov__telemetry_fail(telemetry, "read", err);
    status = gov__read_end(telemetry, began, status);
    if (status == GOV_OK)
        tell_buckets(&tallied, fn, ctx);
    return status;
}

/* ---- actions ---------------------------------------------------------------------------- */

static gov_status read_action(gov_telemetry *t, const struct gov__span *span,
                              int64_t id, struct gov_telemetry_action *action,
                              gov_error *err)
{
    const int64_t bound[4] = {id, span->from_day, span->to_day, span->app};
    uint64_t sum[RELIEF_SUMS];
    gov_status status;

    if (!add_up(t,
                "SELECT runs, barren, claimed_bytes, yield_bytes FROM"
                " relief_day WHERE action = ?1 AND day BETWEEN ?2 AND ?3"
                " AND (?4 = 0 OR app = ?4)",
                bound, 4, sum, RELIEF_SUMS))
        return gov__telemetry_fail(t, "read", err);
    action->runs = sum[SUM_RUNS];
    action->barren = sum[SUM_BARREN];
    action->claimed_bytes = sum[SUM_CLAIMED];
    action->yield_bytes = sum[SUM_YIELD];
    status = gov__percentiles(t, TALLY_YIELD, id, span, &action->yield, err);
    return status != GOV_OK ? status
                            : gov__percentiles(t, TALLY_RELIEF_TOOK, id, span,
                                               &action->took_us, err);
}

static gov_status each_action(gov_telemetry *t, const struct gov__span *span,
                              gov_telemetry_action_fn fn, void *ctx,
                              gov_error *err)
{
    sqlite3_stmt *s = gov__read_prepare(
        t, "SELECT id, text FROM name WHERE sort = ?1 ORDER BY text");
    const int64_t sort = NAME_ACTION;
    struct gov_telemetry_action action;
    gov_status status = GOV_OK;
    bool goes_on = s != NULL && gov__row_bind(s, &sort, 1);
    const bool good = goes_on;

    while (goes_on && status == GOV_OK && sqlite3_step(s) == SQLITE_ROW) {
        memset(&action, 0, sizeof(action));
        gov__column_text(s, 1, action.action, sizeof(action.action));
        status = read_action(t, span, sqlite3_column_int64(s, 0), &action, err);
        if (status == GOV_OK && action.runs > 0)
            goes_on = fn(ctx, &action);
    }
    if ((sqlite3_finalize(s) != SQLITE_OK || !good) && status == GOV_OK)
        status = gov__telemetry_fail(t, "read", err);
    return status;
}

gov_status gov_telemetry_actions(gov_telemetry *telemetry,
                                 const struct gov_telemetry_span *span,
                                 gov_telemetry_action_fn fn, void *ctx,
                                 gov_error *err)
{
    struct gov__span own;
    bool began = false;
    gov_status status = gov__read_begin(telemetry, span, &own, &began, err);

    if (status == GOV_OK)
        status = each_action(telemetry, &own, fn, ctx, err);
    return gov__read_end(telemetry, began, status);
}
