/* SPDX-License-Identifier: MIT */
#include "tools/gov/report_series.h"

#include <stdlib.h>
#include <string.h>

/* While it is shorter than this a pause is not shown as one. */
#define GAP_MS INT64_C(600000)

void gov_series_row(struct gov_series_point *point, int64_t at_ms,
                    gov_level level)
{
    memset(point, 0, sizeof(*point));
    point->from_ms = point->to_ms = at_ms;
    point->rows = 1;
    point->level = level;
    for (int i = 0; i < GOV_SERIES_VALUES; i++)
        point->low[i] = point->high[i] = UINT64_MAX;
}

static uint64_t add(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

static void merge_value(struct gov_series_point *to,
                        const struct gov_series_point *from, int i)
{
    to->sum[i] = add(to->sum[i], from->sum[i]);
    if (from->high[i] == UINT64_MAX)
        return;
    if (to->high[i] == UINT64_MAX) {
        to->high[i] = from->high[i];
        to->low[i] = from->low[i];
        return;
    }
    if (from->high[i] > to->high[i])
        to->high[i] = from->high[i];
    if (from->low[i] < to->low[i])
        to->low[i] = from->low[i];
}

static void merge(struct gov_series_point *to,
                  const struct gov_series_point *from)
{
    if (to->high[0] == UINT64_MAX ||
        (from->high[0] != UINT64_MAX && from->high[0] > to->high[0]))
        memcpy(to->label, from->label, sizeof(to->label));
    for (int i = 0; i < GOV_SERIES_VALUES; i++)
        merge_value(to, from, i);
    if (from->from_ms < to->from_ms)
        to->from_ms = from->from_ms;
    if (from->to_ms > to->to_ms)
        to->to_ms = from->to_ms;
    if (from->level > to->level)
        to->level = from->level;
    to->rows += from->rows;
}

/* Whether no pause lies between. Differences of a hostile database may not fit. */
static bool is_near(const struct gov_series *series, int64_t before,
                    int64_t after)
{
    return after <= before ||
           (uint64_t)after - (uint64_t)before <= (uint64_t)series->gap_ms;
}

/* Neighbours become one, twice as many rows a point. Where all that is left are
 * pauses, the shorter ones go, too. */
static void halve(struct gov_series *series)
{
    const size_t most = series->most * 3 / 4;

    while (series->count > most) {
        size_t kept = 0;

        for (size_t i = 0; i < series->count; kept++) {
            struct gov_series_point *point = &series->points[kept];

            *point = series->points[i++];
            if (i < series->count &&
                is_near(series, point->to_ms, series->points[i].from_ms))
                merge(point, &series->points[i++]);
        }
        series->count = kept;
        series->each *= 2;
        if (kept > most && series->gap_ms <= INT64_MAX / 2)
            series->gap_ms *= 2;
    }
}

static bool start(struct gov_series *series)
{
    if (series->points != NULL)
        return true;
    series->points = calloc(series->most, sizeof(*series->points));
    series->each = 1;
    series->gap_ms = GAP_MS;
    return series->points != NULL;
}

bool gov_series_add(struct gov_series *series,
                    const struct gov_series_point *row)
{
    struct gov_series_point *last;

    if (!start(series))
        return false;
    series->rows++;
    last = &series->points[series->count > 0 ? series->count - 1 : 0];
    if (series->count > 0 && last->rows < series->each &&
        is_near(series, last->to_ms, row->from_ms)) {
        merge(last, row);
        return true;
    }
    if (series->count == series->most)
        halve(series);
    series->points[series->count++] = *row;
    return true;
}

void gov_series_free(struct gov_series *series)
{
    free(series->points);
    memset(series, 0, sizeof(*series));
}
