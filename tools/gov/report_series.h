/* SPDX-License-Identifier: MIT */
/* Rows over time in few points: neighbours are added together as rows come in, so
 * that a plot has at most so many and still shows every peak and every pause. */
#ifndef GOV_TOOLS_REPORT_SERIES_H
#define GOV_TOOLS_REPORT_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policies/level.h"

#define GOV_SERIES_VALUES 3

/* So many rows that follow one another. A value that is not known is UINT64_MAX in
 * `low` and `high`. */
struct gov_series_point {
    int64_t from_ms, to_ms;
    uint64_t rows;
    uint64_t low[GOV_SERIES_VALUES], high[GOV_SERIES_VALUES];
    uint64_t sum[GOV_SERIES_VALUES]; /* of what is known */
    gov_level level;                 /* the highest */
    char label[32]; /* of the row whose first value is highest */
};

/* Zeroed to start, but for `most`. */
struct gov_series {
    size_t most; /* points; at least 8 */
    struct gov_series_point *points;
    size_t count;
    uint64_t rows;  /* in all points */
    uint64_t each;  /* rows that a point takes at most */
    int64_t gap_ms; /* rows further apart than that are never one point */
};

/* A point of one row; values start as not known. */
void gov_series_row(struct gov_series_point *point, int64_t at_ms,
                    gov_level level);

/* Adds a row behind all others. False without memory. */
bool gov_series_add(struct gov_series *series,
                    const struct gov_series_point *row);

void gov_series_free(struct gov_series *series);

#endif
