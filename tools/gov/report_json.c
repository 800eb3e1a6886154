/* SPDX-License-Identifier: MIT */
#include "tools/gov/report_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/cli/progress.h"

json_t *gov_report_number(uint64_t n)
{
    if (n == UINT64_MAX)
        return json_null();
    return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *percentiles(bool known, const struct gov_percentiles *p)
{
    if (!known)
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "p50", gov_report_number(p->p50), "p95",
                     gov_report_number(p->p95), "p99",
                     gov_report_number(p->p99));
}

static json_t *group_object(const struct gov_telemetry_group *g)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"requests", g->requests},
        {"stopped", g->stopped},
        {"failed", g->failed},
        {"answered", g->answered},
        {"rated", g->rated},
        {"tokens", g->tokens},
        {"prompt_tokens", g->prompt_tokens},
        {"reused_tokens", g->reused_tokens},
        {"major_faults", g->major_faults},
        {"read_bytes", g->read_bytes},
        {"weights_wait_us", g->weights_wait_us},
        {"stall_us", g->stall_us},
        {"took_us", g->took_us},
        {"evictions", g->evictions},
    };
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:b}", "engine", g->engine, "model",
                  g->model, "strategy", g->strategy, "cold", (int)g->cold);

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        json_object_set_new(object, numbers[i].name,
                            gov_report_number(numbers[i].value));
    json_object_set_new(object, "first_token_us",
                        percentiles(g->answered > 0, &g->first_token_us));
    json_object_set_new(object, "tokens_per_second_milli",
                        percentiles(g->rated > 0, &g->rate_milli));
    return object;
}

static json_t *action_object(const struct gov_telemetry_action *a)
{
    bool ran = a->runs > 0;

    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "action", a->action, "runs",
        gov_report_number(a->runs), "barren", gov_report_number(a->barren),
        "claimed_bytes", gov_report_number(a->claimed_bytes), "yield_bytes",
        gov_report_number(a->yield_bytes), "yield_bytes_of_a_run",
        percentiles(ran, &a->yield), "took_us", percentiles(ran, &a->took_us));
}

static json_t *totals_object(const struct gov_telemetry_totals *t)
{
    bool any = t->requests > 0;

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "requests",
                     gov_report_number(t->requests), "reliefs",
                     gov_report_number(t->reliefs), "samples",
                     gov_report_number(t->samples), "lost",
                     gov_report_number(t->lost), "first_ms",
                     any ? json_integer(t->first_ms) : json_null(), "last_ms",
                     any ? json_integer(t->last_ms) : json_null(), "bytes",
                     gov_report_number(t->bytes));
}

json_t *gov_report_json(const struct gov_report *report)
{
    json_t *groups = json_array(), *actions = json_array();

    for (size_t i = 0; i < report->group_count; i++)
        json_array_append_new(groups, group_object(&report->groups[i].sum));
    for (size_t i = 0; i < report->action_count; i++)
        json_array_append_new(actions, action_object(&report->actions[i]));
    return json_pack("{s:i, s:o, s:o, s:o}", "version", 1, "totals",
                     totals_object(&report->totals), "groups", groups,
                     "actions", actions);
}

/* ---- rows for a spreadsheet ------------------------------------------------------ */

/* A text as a cell. A spreadsheet takes one that begins like a formula for one, and
 * runs it: an apostrophe in front keeps it a text. */
static void put_cell(const char *text, size_t bytes)
{
    char clean[128];

    memcpy(clean, text, bytes);
    clean[bytes - 1] = '\0';
    gov_report_clean(clean, bytes);
    putchar('"');
    if (clean[0] != '\0' && strchr("=+-@", clean[0]) != NULL)
        putchar('\'');
    for (const char *at = clean; *at != '\0'; at++) {
        if (*at == '"')
            putchar('"');
        putchar(*at);
    }
    fputs("\",", stdout);
}

static void put_time(int64_t ms)
{
    char day[GOV_REPORT_TIME_BYTES];
    int64_t of_day = ((ms % 86400000) + 86400000) % 86400000;

    printf("%sT%02" PRId64 ":%02" PRId64 ":%02" PRId64 ".%03" PRId64 "Z,",
           gov_report_date(day, ms), of_day / 3600000, of_day / 60000 % 60,
           of_day / 1000 % 60, of_day % 1000);
}

static bool on_request(void *ctx, const struct gov_request *r)
{
    static const char *const ends[] = {"done", "stopped", "failed"};

    (void)ctx;
    put_time(r->at_ms);
    put_cell(r->app, sizeof(r->app));
    put_cell(r->engine, sizeof(r->engine));
    put_cell(r->model, sizeof(r->model));
    put_cell(r->strategy, sizeof(r->strategy));
    put_cell(r->profile, sizeof(r->profile));
    printf("%s,%s,%s,", r->cold ? "cold" : "warm",
           (unsigned)r->end < 3 ? ends[r->end] : "unknown",
           gov_level_name(r->level));
    printf("%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",", r->prompt_tokens,
           r->reused_tokens, r->tokens);
    if (r->first_token_us > 0)
        printf("%" PRIu64, r->first_token_us);
    printf(",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
           ",%" PRIu32 ",%" PRIu64 "\n",
           r->took_us, r->weights_wait_us, r->stall_us, r->major_faults,
           r->read_bytes, r->evictions, r->footprint_bytes);
    return ferror(stdout) == 0 && cli_signal() == 0;
}

gov_status gov_report_csv(const char *path,
                          const struct gov_telemetry_span *span, gov_error *err)
{
    gov_telemetry *telemetry = NULL;
    gov_status status = gov_telemetry_read(&telemetry, path, err);

    if (status != GOV_OK)
        return status;
    puts("at,app,engine,model,strategy,profile,start,end,level,prompt_tokens,"
         "reused_tokens,tokens,first_token_us,took_us,weights_wait_us,stall_us,"
         "major_faults,read_bytes,evictions,footprint_bytes");
    status = gov_telemetry_requests(telemetry, span, 0, on_request, NULL, err);
    gov_telemetry_close(telemetry);
    return status;
}
