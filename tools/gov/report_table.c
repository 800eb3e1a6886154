/* SPDX-License-Identifier: MIT */
#include "tools/gov/report_table.h"

#include <inttypes.h>
#include <stdio.h>

const struct gov_report_column gov_request_columns[GOV_REQUEST_COLUMNS] = {
    [GOV_COLUMN_REQUESTS] = {"", "requests", "how many there were", 8},
    [GOV_COLUMN_P50] = {"first token", "P50",
                        "half had their first token sooner", 8},
    [GOV_COLUMN_P95] = {"first token", "P95", "95 % had it sooner", 8},
    [GOV_COLUMN_P99] = {"first token", "P99", "99 % had it sooner", 8},
    [GOV_COLUMN_RATE] = {"", "tokens/s",
                         "half were slower, behind the first token", 8},
    [GOV_COLUMN_TOKENS] = {"", "tokens", "that answered", 7},
    [GOV_COLUMN_ENDED] = {"", "stop/fail", "stopped by the app, and failed", 9},
    [GOV_COLUMN_FAULTS] = {"a request", "faults",
                           "page faults that read storage", 7},
    [GOV_COLUMN_READ] = {"a request", "read", "bytes read from storage", 8},
    [GOV_COLUMN_WAIT] = {"share of time", "waited",
                         "for weights that were not in memory", 7},
    [GOV_COLUMN_STALL] = {"share of time", "stalled", "for memory", 7},
    [GOV_COLUMN_EVICTIONS] = {"", "evictions", "relief actions meanwhile", 9},
};

char *gov_request_cell(char out[GOV_FIGURE_BYTES],
                       const struct gov_telemetry_group *g, int column)
{
    bool answered = g->answered > 0;

    switch ((enum gov_request_column)column) {
    case GOV_COLUMN_REQUESTS:
        return gov_figure_count(out, g->requests);
    case GOV_COLUMN_P50:
        return gov_figure_time(out, answered, g->first_token_us.p50);
    case GOV_COLUMN_P95:
        return gov_figure_time(out, answered, g->first_token_us.p95);
    case GOV_COLUMN_P99:
        return gov_figure_time(out, answered, g->first_token_us.p99);
    case GOV_COLUMN_RATE:
        return gov_figure_rate(out, g->rated > 0, g->rate_milli.p50);
    case GOV_COLUMN_TOKENS:
        return gov_figure_count(out, g->tokens);
    case GOV_COLUMN_ENDED:
        snprintf(out, GOV_FIGURE_BYTES, "%" PRIu64 "/%" PRIu64, g->stopped,
                 g->failed);
        return out;
    case GOV_COLUMN_FAULTS:
        return gov_figure_each(out, g->major_faults, g->requests);
    case GOV_COLUMN_READ:
        return gov_figure_bytes(out, g->requests > 0,
                                g->requests > 0 ? g->read_bytes / g->requests
                                                : 0);
    case GOV_COLUMN_WAIT:
        return gov_figure_share(out, g->weights_wait_us, g->took_us);
    case GOV_COLUMN_STALL:
        return gov_figure_share(out, g->stall_us, g->took_us);
    case GOV_COLUMN_EVICTIONS:
        return gov_figure_count(out, g->evictions);
    case GOV_REQUEST_COLUMNS:
        break;
    }
    out[0] = '\0';
    return out;
}

const struct gov_report_column gov_action_columns[GOV_ACTION_COLUMNS] = {
    [GOV_COLUMN_RUNS] = {"", "runs", "how often it ran", 5},
    [GOV_COLUMN_BARREN] = {"", "barren", "of those, gave nothing", 6},
    [GOV_COLUMN_CLAIMED] = {"", "claimed", "what it said that it gave", 8},
    [GOV_COLUMN_YIELD] = {"", "yield", "what was measured", 8},
    [GOV_COLUMN_KEPT] = {"", "kept", "yield of what was claimed", 5},
    [GOV_COLUMN_TOOK_P50] = {"took", "P50", "half of its runs were shorter", 7},
    [GOV_COLUMN_TOOK_P95] = {"took", "P95", "95 % of its runs were shorter", 7},
    [GOV_COLUMN_YIELD_P50] = {"yield", "P50", "half of its runs gave less", 8},
};

char *gov_action_cell(char out[GOV_FIGURE_BYTES],
                      const struct gov_telemetry_action *a, int column)
{
    bool ran = a->runs > 0;

    switch ((enum gov_action_column)column) {
    case GOV_COLUMN_RUNS:
        return gov_figure_count(out, a->runs);
    case GOV_COLUMN_BARREN:
        return gov_figure_count(out, a->barren);
    case GOV_COLUMN_CLAIMED:
        return gov_figure_bytes(out, ran, a->claimed_bytes);
    case GOV_COLUMN_YIELD:
        return gov_figure_bytes(out, ran, a->yield_bytes);
    case GOV_COLUMN_KEPT:
        return gov_figure_share(out, a->yield_bytes, a->claimed_bytes);
    case GOV_COLUMN_YIELD_P50:
        return gov_figure_bytes(out, ran, a->yield.p50);
    case GOV_COLUMN_TOOK_P50:
        return gov_figure_time(out, ran, a->took_us.p50);
    case GOV_COLUMN_TOOK_P95:
        return gov_figure_time(out, ran, a->took_us.p95);
    case GOV_ACTION_COLUMNS:
        break;
    }
    out[0] = '\0';
    return out;
}
