/* SPDX-License-Identifier: MIT */
#include "tools/gov/report_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/cli/options.h"
#include "tools/cli/progress.h"

/* What is being read, and what ended it. */
struct reading {
    struct gov_report *report;
    gov_telemetry *telemetry;
    struct gov_report_group *group; /* whose buckets come */
    size_t room;                    /* of the array that grows */
    gov_status failed;
};

/* ---- texts ------------------------------------------------------------------- */

/* cli_clean() lets through what is too long for its value, surrogates, and what is
 * behind U+10FFFF; JSON does not. */
static bool is_scalar(const unsigned char *c)
{
    if (c[0] == 0xE0)
        return c[1] >= 0xA0;
    if (c[0] == 0xED)
        return c[1] < 0xA0;
    if (c[0] == 0xF0)
        return c[1] >= 0x90;
    return c[0] != 0xF4 || c[1] < 0x90;
}

void gov_report_clean(char *text, size_t bytes)
{
    char clean[128];

    cli_clean(clean, bytes < sizeof(clean) ? bytes : sizeof(clean), text);
    for (unsigned char *at = (unsigned char *)clean; *at != '\0'; at++)
        if (*at >= 0xE0 && !is_scalar(at))
            do
                *at = '?';
            while ((at[1] & 0xC0) == 0x80 && *++at != '\0');
    memcpy(text, clean, strlen(clean) + 1);
}

static char *print_time(char out[GOV_REPORT_TIME_BYTES], int64_t ms,
                        const char *format)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(out, GOV_REPORT_TIME_BYTES, format, &tm) == 0)
        memcpy(out, "?", 2);
    return out;
}

char *gov_report_date(char out[GOV_REPORT_TIME_BYTES], int64_t ms)
{
    return print_time(out, ms, "%Y-%m-%d");
}

char *gov_report_span(char out[GOV_REPORT_SPAN_BYTES],
                      const struct gov_telemetry_totals *totals)
{
    char first[GOV_REPORT_TIME_BYTES], last[GOV_REPORT_TIME_BYTES];

    print_time(first, totals->first_ms, "%Y-%m-%d %H:%M");
    print_time(last, totals->last_ms, "%Y-%m-%d %H:%M");
    if (strcmp(first, last) == 0)
        snprintf(out, GOV_REPORT_SPAN_BYTES, "at %s UTC", first);
    else
        snprintf(out, GOV_REPORT_SPAN_BYTES, "from %s to %s UTC", first, last);
    return out;
}

/* ---- reading ------------------------------------------------------------------- */

/* Room for one more in an array that doubles. */
static void *grown(struct reading *r, void *items, size_t count, size_t size)
{
    void *bigger;

    if (count < r->room)
        return items;
    bigger = realloc(items, (count > 0 ? 2 * count : 16) * size);
    if (bigger == NULL)
        r->failed = GOV_E_NOMEM;
    else
        r->room = count > 0 ? 2 * count : 16;
    return bigger;
}

static bool go_on(struct reading *r)
{
    if (cli_signal() != 0)
        r->failed = GOV_E_CANCELLED;
    return r->failed == GOV_OK;
}

static bool on_group(void *ctx, const struct gov_telemetry_group *group)
{
    struct reading *r = ctx;
    struct gov_report *report = r->report;
    struct gov_report_group *groups =
        grown(r, report->groups, report->group_count, sizeof(*report->groups));

    if (groups == NULL)
        return false;
    report->groups = groups;
    memset(&groups[report->group_count], 0, sizeof(*groups));
    groups[report->group_count].rates.most = GOV_REPORT_RATES;
    groups[report->group_count++].sum = *group;
    return go_on(r);
}

static bool on_action(void *ctx, const struct gov_telemetry_action *action)
{
    struct reading *r = ctx;
    struct gov_report *report = r->report;
    struct gov_telemetry_action *actions = grown(
        r, report->actions, report->action_count, sizeof(*report->actions));

    if (actions == NULL)
        return false;
    report->actions = actions;
    actions[report->action_count] = *action;
    gov_report_clean(actions[report->action_count++].action,
                     sizeof(actions->action));
    return go_on(r);
}

static bool on_bucket(void *ctx, uint64_t from_us, uint64_t to_us,
                      uint64_t requests)
{
    struct reading *r = ctx;
    struct gov_report_group *g = r->group;
    struct gov_report_bucket *buckets =
        grown(r, g->buckets, g->bucket_count, sizeof(*g->buckets));

    if (buckets == NULL)
        return false;
    g->buckets = buckets;
    buckets[g->bucket_count].from_us = from_us;
    buckets[g->bucket_count].to_us = to_us;
    buckets[g->bucket_count++].requests = requests;
    return go_on(r);
}

/* Of that app, or NULL when there are too many. */
static struct gov_report_app *find_app(struct gov_report *report,
                                       const char *name)
{
    struct gov_report_app *app;

    for (size_t i = 0; i < report->app_count; i++)
        if (strncmp(report->apps[i].name, name, sizeof(report->apps[i].name)) ==
            0)
            return &report->apps[i];
    if (report->app_count == GOV_REPORT_APPS) {
        report->apps_left = true;
        return NULL;
    }
    app = &report->apps[report->app_count++];
    memcpy(app->name, name, sizeof(app->name));
    app->name[sizeof(app->name) - 1] = '\0';
    app->samples.most = GOV_REPORT_SAMPLES;
    app->reliefs.most = GOV_REPORT_RELIEFS;
    return app;
}

static void set(struct gov_series_point *row, int i, uint64_t value)
{
    row->low[i] = row->high[i] = value;
    row->sum[i] = value != UINT64_MAX ? value : 0;
}

static bool on_sample(void *ctx, const struct gov_telemetry_sample *sample)
{
    struct reading *r = ctx;
    struct gov_report_app *app = find_app(r->report, sample->app);
    struct gov_telemetry_sample all = *sample;
    struct gov_series_point row;

    if (app == NULL)
        return go_on(r);
    gov_together_add(&app->together, &all);
    gov_series_row(&row, all.at_ms, all.level);
    set(&row, 0, all.footprint_bytes);
    set(&row, 1, all.budget_bytes);
    set(&row, 2, all.weights_resident_bytes);
    if (!gov_series_add(&app->samples, &row))
        r->failed = GOV_E_NOMEM;
    return go_on(r);
}

static bool on_relief(void *ctx, const struct gov_telemetry_relief *relief)
{
    struct reading *r = ctx;
    struct gov_report_app *app = find_app(r->report, relief->app);
    struct gov_series_point row;

    if (app == NULL)
        return go_on(r);
    gov_series_row(&row, relief->at_ms, relief->level);
    set(&row, 0, relief->yield_bytes);
    set(&row, 1, relief->claimed_bytes);
    set(&row, 2, relief->took_us);
    memcpy(row.label, relief->action, sizeof(row.label));
    row.label[sizeof(row.label) - 1] = '\0';
    gov_report_clean(row.label, sizeof(row.label));
    if (!gov_series_add(&app->reliefs, &row))
        r->failed = GOV_E_NOMEM;
    return go_on(r);
}

uint64_t gov_report_rate(const struct gov_request *request)
{
    uint64_t us = request->took_us - request->first_token_us;

    if (request->tokens < 2 || request->first_token_us == 0 ||
        request->took_us <= request->first_token_us)
        return UINT64_MAX;
    return (uint64_t)((double)(request->tokens - 1) * 1e9 / (double)us);
}

static bool is_of(const struct gov_report_group *group,
                  const struct gov_request *request)
{
    return group != NULL && group->sum.cold == request->cold &&
           strcmp(group->sum.model, request->model) == 0 &&
           strcmp(group->sum.strategy, request->strategy) == 0 &&
           strcmp(group->sum.engine, request->engine) == 0;
}

static bool on_request(void *ctx, const struct gov_request *request)
{
    struct reading *r = ctx;
    const struct gov_report *report = r->report;
    uint64_t rate = gov_report_rate(request);
    struct gov_series_point row;

    for (size_t i = 0; rate != UINT64_MAX && i < report->drawn_count; i++) {
        const struct gov_report_pair *pair = report->drawn[i];
        struct gov_report_group *group =
            is_of(pair->cold, request) ? pair->cold : pair->warm;

        if (!is_of(group, request))
            continue;
        gov_series_row(&row, request->at_ms, request->level);
        set(&row, 0, rate);
        if (!gov_series_add(&group->rates, &row))
            r->failed = GOV_E_NOMEM;
        break;
    }
    return go_on(r);
}

/* ---- order --------------------------------------------------------------------- */

static int by_pair(const struct gov_report_group *a,
                   const struct gov_report_group *b)
{
    int d = strcmp(a->sum.model, b->sum.model);

    if (d == 0)
        d = strcmp(a->sum.strategy, b->sum.strategy);
    return d != 0 ? d : strcmp(a->sum.engine, b->sum.engine);
}

static int by_group(const void *a, const void *b)
{
    const struct gov_report_group *x = a, *y = b;
    int d = by_pair(x, y);

    return d != 0 ? d : (int)y->sum.cold - (int)x->sum.cold;
}

const struct gov_telemetry_group *
gov_report_name(const struct gov_report_pair *pair)
{
    return pair->warm != NULL ? &pair->warm->sum : &pair->cold->sum;
}

uint64_t gov_report_requests(const struct gov_report_pair *pair)
{
    return (pair->cold != NULL ? pair->cold->sum.requests : 0) +
           (pair->warm != NULL ? pair->warm->sum.requests : 0);
}

static bool make_pairs(struct gov_report *report)
{
    size_t n = report->group_count;

    if (n == 0)
        return true;
    qsort(report->groups, n, sizeof(*report->groups), by_group);
    report->pairs = calloc(n, sizeof(*report->pairs));
    if (report->pairs == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct gov_report_group *g = &report->groups[i];
        struct gov_report_pair *pair;

        if (i == 0 || by_pair(&report->groups[i - 1], g) != 0)
            report->pair_count++;
        pair = &report->pairs[report->pair_count - 1];
        *(g->sum.cold ? &pair->cold : &pair->warm) = g;
    }
    return true;
}

/* The pairs with most requests are drawn, the first of them first. */
static void choose_drawn(struct gov_report *report)
{
    for (size_t i = 0; i < report->pair_count; i++) {
        const struct gov_report_pair *pair = &report->pairs[i];
        size_t at = report->drawn_count;

        if (at == GOV_REPORT_DRAWN &&
            gov_report_requests(pair) <=
                gov_report_requests(report->drawn[at - 1]))
            continue;
        if (at < GOV_REPORT_DRAWN)
            report->drawn_count++;
        else
            at--;
        for (; at > 0 && gov_report_requests(pair) >
                             gov_report_requests(report->drawn[at - 1]);
             at--)
            report->drawn[at] = report->drawn[at - 1];
        report->drawn[at] = pair;
    }
}

/* ---- all of it ----------------------------------------------------------------- */

static gov_status read_buckets(struct reading *r,
                               struct gov_report_group *group, gov_error *err)
{
    if (group == NULL)
        return GOV_OK;
    r->group = group;
    r->room = 0;
    return gov_telemetry_latencies(r->telemetry, &r->report->span, &group->sum,
                                   on_bucket, r, err);
}

static gov_status read_drawn(struct reading *r, gov_error *err)
{
    struct gov_report *report = r->report;
    const struct gov_telemetry_span *span = &report->span;
    gov_status status = GOV_OK;

    choose_drawn(report);
    for (size_t i = 0; i < report->drawn_count && status == GOV_OK; i++) {
        status = read_buckets(r, report->drawn[i]->cold, err);
        if (status == GOV_OK)
            status = read_buckets(r, report->drawn[i]->warm, err);
    }
    if (status == GOV_OK && go_on(r))
        status = gov_telemetry_requests(r->telemetry, span, GOV_REPORT_ROWS,
                                        on_request, r, err);
    if (status == GOV_OK && go_on(r))
        status = gov_telemetry_samples(r->telemetry, span, GOV_REPORT_ROWS,
                                       on_sample, r, err);
    if (status == GOV_OK && go_on(r))
        status = gov_telemetry_reliefs(r->telemetry, span, GOV_REPORT_ROWS,
                                       on_relief, r, err);
    return status;
}

static gov_status read_all(struct reading *r, bool drawn, gov_error *err)
{
    struct gov_report *report = r->report;
    gov_status status =
        gov_telemetry_sum(r->telemetry, &report->span, &report->totals, err);

    if (status == GOV_OK)
        status =
            gov_telemetry_groups(r->telemetry, &report->span, on_group, r, err);
    r->room = 0;
    if (status == GOV_OK && go_on(r))
        status = gov_telemetry_actions(r->telemetry, &report->span, on_action,
                                       r, err);
    if (status == GOV_OK && go_on(r) && !make_pairs(report))
        r->failed = GOV_E_NOMEM;
    if (status == GOV_OK && drawn && go_on(r))
        status = read_drawn(r, err);
    return status;
}

gov_status gov_report_read(struct gov_report *report, bool drawn,
                           gov_error *err)
{
    struct reading r = {.report = report};
    gov_status status = gov_telemetry_read(
        &r.telemetry, report->path[0] != '\0' ? report->path : NULL, err);

    if (status != GOV_OK)
        return status;
    status = read_all(&r, drawn, err);
    gov_telemetry_close(r.telemetry);
    /* Names are as they were written until all that is asked by them is. */
    for (size_t i = 0; i < report->group_count; i++) {
        struct gov_telemetry_group *sum = &report->groups[i].sum;

        gov_report_clean(sum->engine, sizeof(sum->engine));
        gov_report_clean(sum->model, sizeof(sum->model));
        gov_report_clean(sum->strategy, sizeof(sum->strategy));
    }
    for (size_t i = 0; i < report->app_count; i++)
        gov_report_clean(report->apps[i].name, sizeof(report->apps[i].name));
    if (status == GOV_OK && r.failed == GOV_E_NOMEM)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for the report");
    if (status == GOV_OK && r.failed != GOV_OK)
        return gov_fail(err, r.failed, 0, "stopped");
    return status;
}

void gov_report_free(struct gov_report *report)
{
    for (size_t i = 0; i < report->group_count; i++) {
        free(report->groups[i].buckets);
        gov_series_free(&report->groups[i].rates);
    }
    for (size_t i = 0; i < report->app_count; i++) {
        gov_series_free(&report->apps[i].samples);
        gov_series_free(&report->apps[i].reliefs);
    }
    free(report->groups);
    free(report->pairs);
    free(report->actions);
}
