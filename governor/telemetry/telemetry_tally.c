/* SPDX-License-Identifier: MIT */
/* What is added up a day and counted by bucket while rows come and go, so that a
 * report of many rows reads few. In the transaction of the row, so the counts are
 * always those of the rows, also after a crash. */
#include "governor/telemetry/telemetry_priv.h"

uint32_t gov__bucket_of(int64_t value)
{
    const uint64_t v = value < 0                    ? 0
                       : value > GOV__ROW_VALUE_MAX ? GOV__ROW_VALUE_MAX
                                                    : (uint64_t)value;
    uint32_t bits = 0;

    while (v >> bits >= 32)
        bits++;
    /* The upper five bits, of which the first is set. */
    return v < 16 ? (uint32_t)v : bits * 16 + (uint32_t)(v >> bits);
}

void gov__bucket_range(uint32_t bucket, int64_t *from, int64_t *to)
{
    const uint32_t bits = bucket < 32 ? 0 : bucket / 16 - 1;
    const int64_t upper = bucket < 32 ? bucket : 16 + bucket % 16;

    *from = upper << bits;
    *to = (upper + 1) << bits;
}

bool gov__row_bind(sqlite3_stmt *s, const int64_t *row, int columns)
{
    bool good = true;

    for (int i = 0; i < columns && good; i++)
        good = (row[i] == GOV__ROW_UNKNOWN
                    ? sqlite3_bind_null(s, i + 1)
                    : sqlite3_bind_int64(s, i + 1, row[i])) == SQLITE_OK;
    return good;
}

void gov__row_read(sqlite3_stmt *s, int64_t *row, int columns)
{
    for (int i = 0; i < columns; i++)
        row[i] = sqlite3_column_type(s, i) == SQLITE_NULL
                     ? GOV__ROW_UNKNOWN
                     : sqlite3_column_int64(s, i);
}

bool gov__run(gov_telemetry *t, enum gov__statement which)
{
    sqlite3_stmt *s = t->statement[which];
    int rc = sqlite3_step(s);

    while (rc == SQLITE_ROW)
        rc = sqlite3_step(s);
    return sqlite3_reset(s) == SQLITE_OK && rc == SQLITE_DONE;
}

/* Sums may be negative here, which is not what is unknown. */
static bool add(gov_telemetry *t, enum gov__statement which,
                const int64_t key[3], const int64_t *sums, int count, int sign)
{
    sqlite3_stmt *s = t->statement[which];

    for (int i = 0; i < 3; i++)
        if (sqlite3_bind_int64(s, i + 1, key[i]) != SQLITE_OK)
            return false;
    for (int i = 0; i < count; i++)
        if (sqlite3_bind_int64(s, i + 4, sign * sums[i]) != SQLITE_OK)
            return false;
    return gov__run(t, which);
}

static bool remove_empty(gov_telemetry *t, enum gov__statement which,
                         const int64_t *key, int columns)
{
    return gov__row_bind(t->statement[which], key, columns) &&
           gov__run(t, which);
}

static bool tally(gov_telemetry *t, enum gov__tally what, const int64_t key[3],
                  int64_t value, int sign)
{
    const int64_t row[5] = {(int64_t)what, key[0], key[1], key[2],
                            (int64_t)gov__bucket_of(value)};
    sqlite3_stmt *s = t->statement[S_TALLY];

    if (value == GOV__ROW_UNKNOWN)
        return true;
    if (!gov__row_bind(s, row, 5) ||
        sqlite3_bind_int64(s, 6, sign) != SQLITE_OK || !gov__run(t, S_TALLY))
        return false;
    return sign > 0 || remove_empty(t, S_TALLY_EMPTY, row, 5);
}

bool gov__tally_request(gov_telemetry *t, const int64_t *row, int sign)
{
    const int64_t key[3] = {row[REQUEST_KIND], row[REQUEST_ID] / GOV__ROW_DAY,
                            row[REQUEST_APP]};
    const int64_t sums[REQUEST_SUMS] = {
        [SUM_REQUESTS] = 1,
        [SUM_STOPPED] = row[REQUEST_ENDED] == GOV_REQUEST_STOPPED,
        [SUM_FAILED] = row[REQUEST_ENDED] == GOV_REQUEST_FAILED,
        [SUM_ANSWERED] = row[REQUEST_FIRST] != GOV__ROW_UNKNOWN,
        [SUM_RATED] = row[REQUEST_RATE] != GOV__ROW_UNKNOWN,
        [SUM_TOKENS] = row[REQUEST_TOKENS],
        [SUM_PROMPT] = row[REQUEST_PROMPT],
        [SUM_REUSED] = row[REQUEST_REUSED],
        [SUM_FAULTS] = row[REQUEST_FAULTS],
        [SUM_READ] = row[REQUEST_READ],
        [SUM_WAIT] = row[REQUEST_WAIT],
        [SUM_STALL] = row[REQUEST_STALL],
        [SUM_TOOK] = row[REQUEST_TOOK],
        [SUM_EVICTIONS] = row[REQUEST_EVICTIONS],
    };

    return add(t, S_REQUEST_DAY, key, sums, REQUEST_SUMS, sign) &&
           tally(t, TALLY_FIRST, key, row[REQUEST_FIRST], sign) &&
           tally(t, TALLY_RATE, key, row[REQUEST_RATE], sign) &&
           (sign > 0 || remove_empty(t, S_REQUEST_DAY_EMPTY, key, 3));
}

bool gov__tally_relief(gov_telemetry *t, const int64_t *row, int sign)
{
    const int64_t key[3] = {row[RELIEF_ACTION], row[RELIEF_ID] / GOV__ROW_DAY,
                            row[RELIEF_APP]};
    const int64_t sums[RELIEF_SUMS] = {
        [SUM_RUNS] = 1,
        [SUM_BARREN] = row[RELIEF_YIELD] == 0,
        [SUM_CLAIMED] = row[RELIEF_CLAIMED],
        [SUM_YIELD] = row[RELIEF_YIELD],
    };

    return add(t, S_RELIEF_DAY, key, sums, RELIEF_SUMS, sign) &&
           tally(t, TALLY_YIELD, key, row[RELIEF_YIELD], sign) &&
           tally(t, TALLY_RELIEF_TOOK, key, row[RELIEF_TOOK], sign) &&
           (sign > 0 || remove_empty(t, S_RELIEF_DAY_EMPTY, key, 3));
}
