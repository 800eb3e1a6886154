/* SPDX-License-Identifier: MIT */
/* Percentiles that are exact without reading all rows: the counts tell in which
 * bucket the wanted one is, and an index has the values of that bucket in order. It
 * is walked from the end that is nearer: at most half of a bucket is read. */
#include <string.h>

#include "governor/telemetry/telemetry_priv.h"

/* Behind both: the span. */
#define SPAN " AND id BETWEEN ?5 AND ?6 AND (?7 = 0 OR app = ?7)"

static const struct {
    const char *up, *down;
} walks[GOV__TALLIES] = {
#define WALK(table, index, kind, value)                                        \
    {                                                                          \
        "SELECT " value " FROM " table " INDEXED BY " index " WHERE " kind     \
        " = ?1 AND " value " >= ?2 AND " value " < ?3" SPAN " ORDER BY " value \
        " LIMIT 1 OFFSET ?4",                                                  \
            "SELECT " value " FROM " table " INDEXED BY " index " WHERE " kind \
            " = ?1 AND " value " >= ?2 AND " value " < ?3" SPAN                \
            " ORDER BY " value " DESC LIMIT 1 OFFSET ?4"                       \
    }
    [TALLY_FIRST] = WALK("request", "request_first", "kind", "first_token_us"),
    [TALLY_RATE] = WALK("request", "request_rate", "kind", "rate_milli"),
    [TALLY_YIELD] = WALK("relief", "relief_yield", "action", "yield_bytes"),
    [TALLY_RELIEF_TOOK] = WALK("relief", "relief_took", "action", "took_us"),
#undef WALK
};

bool gov__tally_read(gov_telemetry *t, enum gov__tally what, int64_t kind,
                     const struct gov__span *span, struct gov__tallied *out)
{
    const int64_t bound[5] = {(int64_t)what, kind, span->from_day, span->to_day,
                              span->app};
    sqlite3_stmt *s = gov__read_prepare(
        t, "SELECT bucket, count FROM tally WHERE what = ?1 AND kind = ?2"
           " AND day BETWEEN ?3 AND ?4 AND (?5 = 0 OR app = ?5)");
    bool good = s != NULL && gov__row_bind(s, bound, 5);

    memset(out, 0, sizeof(*out));
    while (good && sqlite3_step(s) == SQLITE_ROW) {
        const int64_t bucket = sqlite3_column_int64(s, 0);
        const int64_t count = sqlite3_column_int64(s, 1);

        if (bucket < 0 || bucket >= GOV__BUCKETS || count <= 0)
            continue;
        out->bucket[bucket] = gov__sum(out->bucket[bucket], count);
        out->all = gov__sum(out->all, count);
    }
    return sqlite3_finalize(s) == SQLITE_OK && good;
}

struct wanted {
    uint32_t bucket;
    uint64_t before; /* of that bucket, smaller ones */
};

static struct wanted locate(const struct gov__tallied *tallied, uint64_t at)
{
    struct wanted found = {0, at};

    while (found.bucket < GOV__BUCKETS - 1 &&
           found.before >= tallied->bucket[found.bucket])
        found.before -= tallied->bucket[found.bucket++];
    return found;
}

/* Of what values, and how many of them are in which bucket. */
struct asked {
    enum gov__tally what;
    int64_t kind;
    const struct gov__span *span;
    struct gov__tallied tallied;
};

/* The value that so many are before, of all in order. */
static gov_status value_at(gov_telemetry *t, const struct asked *asked,
                           uint64_t at, uint64_t *out, gov_error *err)
{
    const struct wanted w = locate(&asked->tallied, at);
    const uint64_t count = asked->tallied.bucket[w.bucket];
    const bool up = w.before < count / 2;
    int64_t bound[7] = {[0] = asked->kind,
                        [3] = (int64_t)(up ? w.before : count - 1 - w.before),
                        [4] = asked->span->from,
                        [5] = asked->span->to,
                        [6] = asked->span->app};
    sqlite3_stmt *s = gov__read_prepare(t, up ? walks[asked->what].up
                                              : walks[asked->what].down);
    bool good;
    int rc = SQLITE_DONE;

    gov__bucket_range(w.bucket, &bound[1], &bound[2]);
    good = s != NULL && gov__row_bind(s, bound, 7);
    if (good)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(s, 0);
    if (sqlite3_finalize(s) != SQLITE_OK || !good)
        return gov__telemetry_fail(t, "read", err);
    if (rc != SQLITE_ROW)
        return gov__telemetry_odd(t, "has counts that are not of its rows",
                                  err);
    return GOV_OK;
}

gov_status gov__percentiles(gov_telemetry *t, enum gov__tally what,
                            int64_t kind, const struct gov__span *span,
                            struct gov_percentiles *out, gov_error *err)
{
    static const unsigned percent[] = {50, 95, 99};
    uint64_t *const to[] = {&out->p50, &out->p95, &out->p99};
    struct asked asked = {.what = what, .kind = kind, .span = span};
    gov_status status = GOV_OK;

    memset(out, 0, sizeof(*out));
    if (!gov__tally_read(t, what, kind, span, &asked.tallied))
        return gov__telemetry_fail(t, "read", err);
    /* Rows have numbers below 2^63: no product is too large. */
    for (size_t i = 0; i < 3 && asked.tallied.all > 0 && status == GOV_OK;
         i++) {
        const uint64_t n = asked.tallied.all;
        const uint64_t at =
            n / 100 * percent[i] + (n % 100 * percent[i] + 99) / 100;

        status = value_at(t, &asked, at - 1, to[i], err);
    }
    return status;
}
