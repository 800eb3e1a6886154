/* SPDX-License-Identifier: MIT */
#include "tools/gov/report_html.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "governor/version.h"
#include "tools/cli/progress.h"
#include "tools/gov/report_json.h"
#include "tools/gov/report_table.h"

/* Pairs of cold and warm, and actions, that the tables have; --json has all. */
#define TABLE_ROWS 200

/* ---- text ---------------------------------------------------------------------- */

/* A name is somebody else's text. It holds no control characters: see
 * gov_report_clean(). */
static void put_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(*text, out);
        }
}

/* A dash that is no minus, for what is not known. */
static void put_figure(FILE *out, const char *text)
{
    put_text(out, strcmp(text, "-") == 0 ? "\xE2\x80\x93" : text);
}

static void put_name(FILE *out, const struct gov_report_pair *pair)
{
    const struct gov_telemetry_group *g = gov_report_name(pair);

    fputs("<bdi class=\"model\">", out);
    put_text(out, g->model[0] != '\0' ? g->model : "a model without a name");
    fputs("</bdi>", out);
    if (g->strategy[0] != '\0' || g->engine[0] != '\0') {
        fputs(" <span class=\"how\"><bdi>", out);
        put_text(out, g->strategy);
        fputs(g->strategy[0] != '\0' && g->engine[0] != '\0' ? "</bdi>, <bdi>"
                                                             : "</bdi><bdi>",
              out);
        put_text(out, g->engine);
        fputs("</bdi></span>", out);
    }
}

/* ---- the headline ---------------------------------------------------------------- */

static void put_first_token(FILE *out, const char *what,
                            const struct gov_report_group *group)
{
    bool known = group != NULL && group->sum.answered > 0;
    char p50[GOV_FIGURE_BYTES], p95[GOV_FIGURE_BYTES];

    gov_figure_time(p50, known, known ? group->sum.first_token_us.p50 : 0);
    gov_figure_time(p95, known, known ? group->sum.first_token_us.p95 : 0);
    fprintf(out, "<div><dt>First token, %s</dt><dd><b>", what);
    put_figure(out, p50);
    fputs("</b><span>", out);
    if (known)
        fprintf(out, "median; P95 %s", p95);
    else
        fputs("none was recorded", out);
    fputs("</span></dd></div>\n", out);
}

static void put_speed(FILE *out, const struct gov_report_pair *pair)
{
    bool warm = pair->warm != NULL && pair->warm->sum.rated > 0;
    const struct gov_report_group *group = warm ? pair->warm : pair->cold;
    bool known = group != NULL && group->sum.rated > 0;
    char rate[GOV_FIGURE_BYTES];

    gov_figure_rate(rate, known, known ? group->sum.rate_milli.p50 : 0);
    fputs("<div><dt>Tokens a second</dt><dd><b>", out);
    put_figure(out, rate);
    fprintf(out, "</b><span>%s</span></dd></div>\n",
            !known ? "none was recorded"
            : warm ? "median, warm"
                   : "median, cold");
}

static void put_stall(FILE *out, const struct gov_report_pair *pair)
{
    uint64_t stall = 0, wait = 0, took = 0;
    const struct gov_report_group *both[] = {pair->cold, pair->warm};
    char share[GOV_FIGURE_BYTES];

    for (int i = 0; i < 2; i++) {
        if (both[i] == NULL)
            continue;
        stall += both[i]->sum.stall_us;
        wait += both[i]->sum.weights_wait_us;
        took += both[i]->sum.took_us;
    }
    fputs("<div><dt>Stalled for memory</dt><dd><b>", out);
    put_figure(out, gov_figure_share(share, stall, took));
    fputs("</b><span>of the time; ", out);
    put_figure(out, gov_figure_share(share, wait, took));
    fputs(" waited for weights</span></dd></div>\n", out);
}

static void put_headline(const struct gov_report *report, FILE *out)
{
    const struct gov_report_pair *pair;

    if (report->drawn_count == 0) {
        fputs("<p class=\"none\">There is no request in what this report "
              "covers.</p>\n",
              out);
        return;
    }
    pair = report->drawn[0];
    fputs("<h2 class=\"scope\">", out);
    put_name(out, pair);
    if (report->pair_count > 1)
        fprintf(out,
                " <span class=\"of\">%" PRIu64 " of %" PRIu64
                " requests</span>",
                gov_report_requests(pair), report->totals.requests);
    fputs("</h2>\n<dl class=\"figures\">\n", out);
    put_first_token(out, "warm", pair->warm);
    put_first_token(out, "cold", pair->cold);
    put_speed(out, pair);
    put_stall(out, pair);
    fputs("</dl>\n", out);
}

static void put_span(const struct gov_report *report, FILE *out)
{
    const struct gov_telemetry_totals *t = &report->totals;
    char span[GOV_REPORT_SPAN_BYTES];
    uint64_t yield = 0;
    char size[CLI_SIZE_BYTES];

    for (size_t i = 0; i < report->action_count; i++)
        yield += report->actions[i].yield_bytes;
    fprintf(out, "%" PRIu64 " request%s", t->requests,
            t->requests == 1 ? "" : "s");
    if (t->requests > 0)
        fprintf(out, " %s", gov_report_span(span, t));
    if (report->span.app != NULL) {
        char name[64];

        snprintf(name, sizeof(name), "%s", report->span.app);
        gov_report_clean(name, sizeof(name));
        fputs(" of <bdi>", out);
        put_text(out, name);
        fputs("</bdi>", out);
    }
    fprintf(out, "; %" PRIu64 " relief action%s gave back %s.", t->reliefs,
            t->reliefs == 1 ? "" : "s", cli_size(size, yield));
    if (t->lost > 0)
        fprintf(out,
                " <strong>%" PRIu64 " row%s lost before being written and "
                "%s missing here.</strong>",
                t->lost, t->lost == 1 ? " was" : "s were",
                t->lost == 1 ? "is" : "are");
}

/* ---- tables ---------------------------------------------------------------------- */

/* Neighbours with the same words over them share one cell. */
static void put_heads(FILE *out, const char *label,
                      const struct gov_report_column *columns, int count)
{
    fprintf(out, "<thead>\n<tr><th rowspan=\"2\" scope=\"col\">%s</th>", label);
    for (int i = 0, end; i < count; i = end) {
        for (end = i + 1;
             end < count && strcmp(columns[i].over, columns[end].over) == 0;)
            end++;
        fprintf(out, "<th colspan=\"%d\" scope=\"colgroup\"%s>%s</th>", end - i,
                columns[i].over[0] != '\0' ? " class=\"over\"" : "",
                columns[i].over);
    }
    fputs("</tr>\n<tr>", out);
    for (int i = 0; i < count; i++)
        fprintf(out, "<th scope=\"col\">%s</th>", columns[i].name);
    fputs("</tr>\n</thead>\n", out);
}

static void put_group(FILE *out, const char *start,
                      const struct gov_report_group *group)
{
    char cell[GOV_FIGURE_BYTES];

    if (group == NULL)
        return;
    fprintf(out, "<tr class=\"%s\"><th scope=\"row\">%s</th>", start, start);
    for (int i = 0; i < GOV_REQUEST_COLUMNS; i++) {
        fputs("<td>", out);
        put_figure(out, gov_request_cell(cell, &group->sum, i));
        fputs("</td>", out);
    }
    fputs("</tr>\n", out);
}

static void put_more(FILE *out, size_t count)
{
    if (count > TABLE_ROWS)
        fprintf(out,
                "<p class=\"note\">%zu more are left out here; gov report "
                "--json has them.</p>\n",
                count - TABLE_ROWS);
}

static void put_requests(const struct gov_report *report, FILE *out)
{
    fputs("<div class=\"wide\" role=\"region\" tabindex=\"0\" "
          "aria-labelledby=\"requests\"><table>\n",
          out);
    put_heads(out, "Model", gov_request_columns, GOV_REQUEST_COLUMNS);
    for (size_t i = 0; i < report->pair_count && i < TABLE_ROWS; i++) {
        fprintf(out,
                "<tbody><tr class=\"pair\"><th colspan=\"%d\" "
                "scope=\"rowgroup\"><span>",
                GOV_REQUEST_COLUMNS + 1);
        put_name(out, &report->pairs[i]);
        fputs("</span></th></tr>\n", out);
        put_group(out, "cold", report->pairs[i].cold);
        put_group(out, "warm", report->pairs[i].warm);
        fputs("</tbody>\n", out);
    }
    fputs("</table></div>\n", out);
    put_more(out, report->pair_count);
}

static void put_actions(const struct gov_report *report, FILE *out)
{
    char cell[GOV_FIGURE_BYTES];

    fputs("<div class=\"wide\" role=\"region\" tabindex=\"0\" "
          "aria-labelledby=\"relief\"><table>\n",
          out);
    put_heads(out, "Action", gov_action_columns, GOV_ACTION_COLUMNS);
    fputs("<tbody>\n", out);
    for (size_t i = 0; i < report->action_count && i < TABLE_ROWS; i++) {
        fputs("<tr><th scope=\"row\"><bdi>", out);
        put_text(out, report->actions[i].action);
        fputs("</bdi></th>", out);
        for (int c = 0; c < GOV_ACTION_COLUMNS; c++) {
            fputs("<td>", out);
            put_figure(out, gov_action_cell(cell, &report->actions[i], c));
            fputs("</td>", out);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
    put_more(out, report->action_count);
}

static void put_meanings(FILE *out, const struct gov_report_column *columns,
                         int count)
{
    fputs("<p class=\"note\">", out);
    for (int i = 0; i < count; i++)
        fprintf(out, "<b>%s%s%s</b>: %s%s", columns[i].over,
                columns[i].over[0] != '\0' ? ", " : "", columns[i].name,
                columns[i].means, i + 1 < count ? "; " : ".</p>\n");
}

static void put_tables(const struct gov_report *report, FILE *out)
{
    if (report->pair_count > 0) {
        fputs("<section><h2 id=\"requests\">Requests</h2>\n", out);
        put_requests(report, out);
        put_meanings(out, gov_request_columns, GOV_REQUEST_COLUMNS);
        fputs("</section>\n", out);
    }
    if (report->action_count > 0) {
        fputs("<section><h2 id=\"relief\">Relief</h2>\n", out);
        put_actions(report, out);
        put_meanings(out, gov_action_columns, GOV_ACTION_COLUMNS);
        fputs("</section>\n", out);
    }
}

/* ---- what is drawn ----------------------------------------------------------------- */

/* [from, to, rows, level, then low and high and sum of each value, label] */
static json_t *points_array(const struct gov_series *series, int values,
                            bool labelled)
{
    json_t *points = json_array();

    for (size_t i = 0; i < series->count; i++) {
        const struct gov_series_point *p = &series->points[i];
        json_t *point = json_pack("[I, I, o, i]", (json_int_t)p->from_ms,
                                  (json_int_t)p->to_ms,
                                  gov_report_number(p->rows), (int)p->level);

        for (int v = 0; v < values; v++) {
            json_array_append_new(point, gov_report_number(p->low[v]));
            json_array_append_new(point, gov_report_number(p->high[v]));
            json_array_append_new(point, gov_report_number(p->sum[v]));
        }
        if (labelled)
            json_array_append_new(point, json_string(p->label));
        json_array_append_new(points, point);
    }
    return points;
}

static json_t *group_object(const struct gov_report_group *group)
{
    json_t *buckets;

    if (group == NULL)
        return json_null();
    buckets = json_array();
    for (size_t i = 0; i < group->bucket_count; i++) {
        const struct gov_report_bucket *b = &group->buckets[i];

        json_array_append_new(
            buckets, json_pack("[o, o, o]", gov_report_number(b->from_us),
                               gov_report_number(b->to_us),
                               gov_report_number(b->requests)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "requests",
                     gov_report_number(group->sum.requests), "answered",
                     gov_report_number(group->sum.answered), "p50",
                     gov_report_number(group->sum.first_token_us.p50), "p95",
                     gov_report_number(group->sum.first_token_us.p95), "p99",
                     gov_report_number(group->sum.first_token_us.p99),
                     "buckets", buckets, "rates",
                     points_array(&group->rates, 1, false));
}

static json_t *data_object(const struct gov_report *report)
{
    json_t *apps = json_array(), *pairs = json_array();

    for (size_t i = 0; i < report->app_count; i++) {
        const struct gov_report_app *app = &report->apps[i];

        json_array_append_new(
            apps, json_pack("{s:s, s:o, s:o}", "name", app->name, "samples",
                            points_array(&app->samples, 3, false), "reliefs",
                            points_array(&app->reliefs, 3, true)));
    }
    for (size_t i = 0; i < report->drawn_count; i++) {
        const struct gov_report_pair *pair = report->drawn[i];
        const struct gov_telemetry_group *name = gov_report_name(pair);

        json_array_append_new(
            pairs, json_pack("{s:s, s:s, s:s, s:o, s:o}", "model", name->model,
                             "strategy", name->strategy, "engine", name->engine,
                             "cold", group_object(pair->cold), "warm",
                             group_object(pair->warm)));
    }
    return json_pack("{s:o, s:b, s:o, s:i}", "apps", apps, "appsLeft",
                     (int)report->apps_left, "pairs", pairs, "pairsLeft",
                     (int)(report->pair_count - report->drawn_count));
}

/* Within a script element, where no entity is read: whatever could end it, or be
 * markup, is written as an escape of JSON. */
static bool put_data(const struct gov_report *report, FILE *out)
{
    json_t *object = data_object(report);
    char *text = object != NULL
                     ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII |
                                              JSON_PRESERVE_ORDER)
                     : NULL;

    json_decref(object);
    if (text == NULL)
        return false;
    for (const char *at = text; *at != '\0'; at++)
        if (strchr("<>&'", *at) != NULL)
            fprintf(out, "\\u%04x", (unsigned)*at);
        else
            fputc(*at, out);
    free(text);
    return true;
}

/* ---- the page ------------------------------------------------------------------------ */

static bool fill(const struct gov_report *report, const char *name,
                 size_t bytes, FILE *out)
{
    if (strncmp(name, "span", bytes) == 0)
        put_span(report, out);
    else if (strncmp(name, "headline", bytes) == 0)
        put_headline(report, out);
    else if (strncmp(name, "tables", bytes) == 0)
        put_tables(report, out);
    else if (strncmp(name, "version", bytes) == 0)
        fputs(GOV_VERSION, out);
    else if (strncmp(name, "data", bytes) == 0)
        return put_data(report, out);
    return true;
}

bool gov_report_html(const struct gov_report *report, FILE *out)
{
    const char *at = gov_report_page, *open, *close;

    while ((open = strstr(at, "{{")) != NULL &&
           (close = strstr(open, "}}")) != NULL) {
        fwrite(at, 1, (size_t)(open - at), out);
        if (!fill(report, open + 2, (size_t)(close - open) - 2, out))
            return false;
        at = close + 2;
    }
    fputs(at, out);
    return true;
}
