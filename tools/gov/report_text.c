/* SPDX-License-Identifier: MIT */
#include "tools/gov/report_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/progress.h"
#include "tools/cli/text.h"
#include "tools/gov/report_table.h"

#define COLUMNS_LEAST 40
#define COLUMNS_ELSEWHERE 80
#define LABEL 7 /* "  warm " */
#define ACTION 20

struct look {
    int columns;
    bool colour;
};

static void paint(const struct look *look, const char *code)
{
    if (look->colour)
        fputs(code, stdout);
}

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

static void put_note(const struct look *look, const char *text)
{
    paint(look, DIM);
    cli_put_wrapped(text, 0, 0, look->columns);
    paint(look, PLAIN);
    putchar('\n');
}

/* ---- the head ------------------------------------------------------------------ */

static const char *many(char *out, size_t bytes, uint64_t n, const char *one,
                        const char *more)
{
    snprintf(out, bytes, "%" PRIu64 " %s", n, n == 1 ? one : more);
    return out;
}

static void put_head(const struct look *look, const struct gov_report *report)
{
    const struct gov_telemetry_totals *t = &report->totals;
    char span[GOV_REPORT_SPAN_BYTES];
    char size[CLI_SIZE_BYTES], text[256], requests[48], reliefs[48];
    char samples[48];

    many(requests, sizeof(requests), t->requests, "request", "requests");
    many(reliefs, sizeof(reliefs), t->reliefs, "relief action",
         "relief actions");
    many(samples, sizeof(samples), t->samples, "sample", "samples");
    paint(look, BOLD);
    if (t->requests > 0)
        snprintf(text, sizeof(text), "%s %s", requests,
                 gov_report_span(span, t));
    else
        snprintf(text, sizeof(text), "No requests");
    cli_put_wrapped(text, 0, 0, look->columns);
    paint(look, PLAIN);
    putchar('\n');
    snprintf(text, sizeof(text), "Beside them %s and %s of memory; %s on disk.",
             reliefs, samples, cli_size(size, t->bytes));
    put_note(look, text);
    if (t->lost == 0)
        return;
    snprintf(text, sizeof(text),
             "%" PRIu64 " %s lost before being written, and %s missing here.",
             t->lost, t->lost == 1 ? "row was" : "rows were",
             t->lost == 1 ? "is" : "are");
    cli_put_wrapped(text, 0, 0, look->columns);
    putchar('\n');
}

/* ---- tables -------------------------------------------------------------------- */

static void put_left(const char *text, int width)
{
    int wide = cli_width(text);

    printf("%s%*s", text, wide < width ? width - wide : 0, "");
}

static int table_width(int label, const struct gov_report_column *columns,
                       int from, int to)
{
    for (int i = from; i < to; i++)
        label += 2 + columns[i].width;
    return label;
}

/* What neighbours have in common stands over them, at their right end. */
static void put_over(const struct gov_report_column *columns, int from, int to)
{
    int width = 0;

    for (int i = from; i < to; i++) {
        width += 2 + columns[i].width;
        if (columns[i].over[0] == '\0' ||
            (i + 1 < to && strcmp(columns[i].over, columns[i + 1].over) == 0))
            continue;
        printf("%*s", width, columns[i].over);
        width = 0;
    }
}

static void put_names(const struct look *look, const char *label, int width,
                      const struct gov_report_column *columns, int from, int to)
{
    putchar('\n');
    paint(look, BOLD);
    put_left(label, width);
    put_over(columns, from, to);
    paint(look, PLAIN);
    paint(look, DIM);
    printf("\n%*s", width, "");
    for (int i = from; i < to; i++)
        printf("  %*s", columns[i].width, columns[i].name);
    paint(look, PLAIN);
    putchar('\n');
}

static void put_group(const char *label, const struct gov_report_group *group,
                      int from, int to)
{
    char cell[GOV_FIGURE_BYTES];

    if (group == NULL)
        return;
    put_left(label, LABEL);
    for (int i = from; i < to; i++)
        printf("  %*s", gov_request_columns[i].width,
               gov_request_cell(cell, &group->sum, i));
    putchar('\n');
}

/* "Llama-3-8B, hybrid (llama)", over two rows. */
static void put_pair(const struct look *look,
                     const struct gov_report_pair *pair, int from, int to)
{
    const struct gov_telemetry_group *name = gov_report_name(pair);
    char text[256];

    snprintf(text, sizeof(text), "%s%s%s%s%s%s",
             name->model[0] != '\0' ? name->model : "a model without a name",
             name->strategy[0] != '\0' ? ", " : "", name->strategy,
             name->engine[0] != '\0' ? " (" : "", name->engine,
             name->engine[0] != '\0' ? ")" : "");
    cli_put_wrapped(text, 0, 2, look->columns);
    putchar('\n');
    put_group("  cold", pair->cold, from, to);
    put_group("  warm", pair->warm, from, to);
}

static void put_requests(const struct look *look,
                         const struct gov_report *report, const char *label,
                         int from, int to)
{
    put_names(look, label, LABEL, gov_request_columns, from, to);
    for (size_t i = 0; i < report->pair_count; i++)
        put_pair(look, &report->pairs[i], from, to);
}

static void put_relief(const struct look *look, const struct gov_report *report)
{
    int to = table_width(ACTION, gov_action_columns, 0, GOV_ACTION_COLUMNS) <=
                     look->columns
                 ? GOV_ACTION_COLUMNS
                 : GOV_COLUMN_YIELD_P50;
    char cell[GOV_FIGURE_BYTES];

    put_names(look, "Relief", ACTION, gov_action_columns, 0, to);
    for (size_t i = 0; i < report->action_count; i++) {
        const struct gov_telemetry_action *action = &report->actions[i];

        put_left(action->action, ACTION);
        if (cli_width(action->action) > ACTION)
            printf("\n%*s", ACTION, "");
        for (int c = 0; c < to; c++)
            printf("  %*s", gov_action_columns[c].width,
                   gov_action_cell(cell, action, c));
        putchar('\n');
    }
}

void gov_report_text(const struct gov_report *report)
{
    struct look look = {cli_columns(STDOUT_FILENO, COLUMNS_ELSEWHERE),
                        cli_colour(STDOUT_FILENO)};

    if (look.columns < COLUMNS_LEAST)
        look.columns = COLUMNS_LEAST;
    put_head(&look, report);
    if (report->pair_count > 0 &&
        table_width(LABEL, gov_request_columns, 0, GOV_REQUEST_COLUMNS) <=
            look.columns) {
        put_requests(&look, report, "Requests", 0, GOV_REQUEST_COLUMNS);
    } else if (report->pair_count > 0) {
        put_requests(&look, report, "Latency", 0, GOV_COLUMN_COST);
        put_requests(&look, report, "Memory", GOV_COLUMN_COST,
                     GOV_REQUEST_COLUMNS);
    }
    if (report->action_count > 0)
        put_relief(&look, report);
}
