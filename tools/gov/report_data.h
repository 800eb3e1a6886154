/* SPDX-License-Identifier: MIT */
/* What a report tells, read from a database of telemetry once, for every form that it
 * can take. Every text of it is valid UTF-8 without controls. */
#ifndef GOV_TOOLS_REPORT_DATA_H
#define GOV_TOOLS_REPORT_DATA_H

#include "governor/telemetry.h"
#include "tools/gov/report_series.h"
#include "tools/gov/report_together.h"

/* What is drawn; tables have everything. */
#define GOV_REPORT_APPS 4
#define GOV_REPORT_DRAWN 8
#define GOV_REPORT_SAMPLES 1000
#define GOV_REPORT_RELIEFS 400
#define GOV_REPORT_RATES 400
/* The last rows of each kind that are drawn. */
#define GOV_REPORT_ROWS 2000000

struct gov_report_bucket {
    uint64_t from_us, to_us, requests;
};

/* The requests of one engine, model and strategy that were cold, or warm. */
struct gov_report_group {
    struct gov_telemetry_group sum;
    struct gov_report_bucket *buckets; /* of the first token; if drawn */
    size_t bucket_count;
    struct gov_series rates; /* tokens/s x 1000 over time; if drawn */
};

/* Both, either of which may be missing (NULL). */
struct gov_report_pair {
    struct gov_report_group *cold, *warm;
};

/* Values of the samples, of all its processes together: footprint, budget, resident
 * weights. Of relief: yield, claimed, took. */
struct gov_report_app {
    char name[32];
    struct gov_together together;
    struct gov_series samples, reliefs;
};

struct gov_report {
    char path[1024];
    struct gov_telemetry_span span;
    struct gov_telemetry_totals totals;
    struct gov_report_group
        *groups; /* by model, strategy, engine; cold first */
    size_t group_count;
    struct gov_report_pair *pairs;
    size_t pair_count;
    struct gov_telemetry_action *actions;
    size_t action_count;
    /* If drawn: */
    struct gov_report_app apps[GOV_REPORT_APPS];
    size_t app_count;
    bool apps_left; /* there are more */
    const struct gov_report_pair *drawn[GOV_REPORT_DRAWN];
    size_t drawn_count;
};

/* `report->path` and `report->span` are set. Signals (cli_signal()) end it with
 * GOV_E_CANCELLED. gov_report_free() in either case. */
gov_status gov_report_read(struct gov_report *report, bool drawn,
                           gov_error *err);
void gov_report_free(struct gov_report *report);

/* "cold" or "warm", that there is: of a name. */
const struct gov_telemetry_group *
gov_report_name(const struct gov_report_pair *pair);
uint64_t gov_report_requests(const struct gov_report_pair *pair);

/* Makes a text of the database fit for people and for JSON. */
void gov_report_clean(char *text, size_t bytes);

/* Tokens a second x 1000 behind the first token; UINT64_MAX where there is none. */
uint64_t gov_report_rate(const struct gov_request *request);

/* "2026-11-21", UTC. */
#define GOV_REPORT_TIME_BYTES 32
char *gov_report_date(char out[GOV_REPORT_TIME_BYTES], int64_t ms);
/* "from 2026-11-21 10:04 to 2026-11-22 09:01 UTC", "at 2026-11-21 10:04 UTC". */
#define GOV_REPORT_SPAN_BYTES 80
char *gov_report_span(char out[GOV_REPORT_SPAN_BYTES],
                      const struct gov_telemetry_totals *totals);

#endif
