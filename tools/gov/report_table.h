/* SPDX-License-Identifier: MIT */
/* The columns of a report's tables, for text and for the page. */
#ifndef GOV_TOOLS_REPORT_TABLE_H
#define GOV_TOOLS_REPORT_TABLE_H

#include "tools/gov/report_data.h"
#include "tools/gov/report_format.h"

struct gov_report_column {
    const char *over; /* what it has in common with its neighbours, or "" */
    const char *name;
    const char *means; /* a sentence */
    int width;
};

/* Requests: those before GOV_COLUMN_COST are latency and speed, the others what it
 * cost. */
enum gov_request_column {
    GOV_COLUMN_REQUESTS,
    GOV_COLUMN_P50,
    GOV_COLUMN_P95,
    GOV_COLUMN_P99,
    GOV_COLUMN_RATE,
    GOV_COLUMN_TOKENS,
    GOV_COLUMN_ENDED,
    GOV_COLUMN_COST,
    GOV_COLUMN_FAULTS = GOV_COLUMN_COST,
    GOV_COLUMN_READ,
    GOV_COLUMN_WAIT,
    GOV_COLUMN_STALL,
    GOV_COLUMN_EVICTIONS,
    GOV_REQUEST_COLUMNS
};
extern const struct gov_report_column gov_request_columns[GOV_REQUEST_COLUMNS];
char *gov_request_cell(char out[GOV_FIGURE_BYTES],
                       const struct gov_telemetry_group *group, int column);

enum gov_action_column {
    GOV_COLUMN_RUNS,
    GOV_COLUMN_BARREN,
    GOV_COLUMN_CLAIMED,
    GOV_COLUMN_YIELD,
    GOV_COLUMN_KEPT,
    GOV_COLUMN_TOOK_P50,
    GOV_COLUMN_TOOK_P95,
    GOV_COLUMN_YIELD_P50, /* left out where there is no room */
    GOV_ACTION_COLUMNS
};
extern const struct gov_report_column gov_action_columns[GOV_ACTION_COLUMNS];
char *gov_action_cell(char out[GOV_FIGURE_BYTES],
                      const struct gov_telemetry_action *action, int column);

#endif
