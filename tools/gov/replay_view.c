/* SPDX-License-Identifier: MIT */
/* See replay_view.h. Prints; decides nothing. */
#include "tools/gov/replay_view.h"

#include <inttypes.h>
#include <string.h>

#include "tools/cli/text.h"

#define LABEL 20  /* columns of what a line is about */
#define COLUMN 28 /* and of each policy */
#define BAR 10
#define WIDTH 80

static const char *const off = "\033[0m";

struct sheet {
    const struct gov_replay_view *view;
    size_t count;
    bool colour, utf8;
};

static const char *style(const struct sheet *sheet, const char *code)
{
    return sheet->colour ? code : "";
}

char *gov_replay_time(char out[40], uint64_t ms)
{
    if (ms < 1000)
        snprintf(out, 40, "%" PRIu64 " ms", ms);
    else if (ms < 600000)
        snprintf(out, 40, "%" PRIu64 ".%" PRIu64 " s", ms / 1000,
                 ms / 100 % 10);
    else
        snprintf(out, 40, "%" PRIu64 " min %" PRIu64 " s", ms / 60000,
                 ms / 1000 % 60);
    return out;
}

/* Text and the blanks up to the width of its column. */
static void put_cell(const char *text, int columns)
{
    int wide = cli_width(text);

    printf("%s%*s", text, columns > wide ? columns - wide : 0, "");
}

static void put_label(const char *label, bool modelled)
{
    char text[64];

    snprintf(text, sizeof(text), "%s%s", label, modelled ? " ~" : "");
    put_cell(text, LABEL);
}

/* Blanks between two cells, not behind the last. */
static void end_cell(const struct sheet *sheet, size_t n, int wide)
{
    if (n + 1 == sheet->count)
        putchar('\n');
    else
        printf("%*s", COLUMN > wide ? COLUMN - wide : 1, "");
}

/* ---- lines ------------------------------------------------------------------- */

static uint64_t level_ms(const struct gov_replay_result *result,
                         gov_level level)
{
    return level == GOV_LEVEL_NORMAL ? result->normal_ms
           : level == GOV_LEVEL_WARN ? result->warn_ms
                                     : result->critical_ms;
}

/* Of `whole`, in parts of `parts`, rounded; without overflow for any time. */
static uint64_t share(uint64_t part, uint64_t whole, uint64_t parts)
{
    while (whole > UINT64_MAX / (4 * parts)) {
        part /= 2;
        whole /= 2;
    }
    return whole == 0 ? 0 : (2 * part * parts + whole) / (2 * whole);
}

/* Cells of a bar: none only for no time, and all only for all of it. */
static int bar_cells(uint64_t part, uint64_t whole)
{
    uint64_t cells = share(part, whole, BAR);

    if (part > 0 && cells == 0)
        return 1;
    return part < whole && cells == BAR ? BAR - 1 : (int)cells;
}

static void put_share(char out[8], uint64_t part, uint64_t whole)
{
    uint64_t percent = share(part, whole, 100);

    if (part > 0 && percent == 0)
        snprintf(out, 8, "<1 %%");
    else
        snprintf(out, 8, "%" PRIu64 " %%", percent % 1000);
}

static void print_level(const struct sheet *sheet, gov_level level)
{
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
    const char *colour = colours[level / GOV_LEVEL_WARN];
    char label[32], time[40], percent[8];

    snprintf(label, sizeof(label), "time at %s", gov_level_name(level));
    put_label(label, false);
    for (size_t n = 0; n < sheet->count; n++) {
        const struct gov_replay_result *result = &sheet->view[n].result;
        uint64_t ms = level_ms(result, level);
        int cells = bar_cells(ms, result->span_ms);

        put_share(percent, ms, result->span_ms);
        printf("%10s %5s%s%s", gov_replay_time(time, ms), percent,
               cells > 0 ? " " : "", cells > 0 ? style(sheet, colour) : "");
        for (int i = 0; i < cells; i++)
            fputs(sheet->utf8 ? "\xe2\x96\x88" : "#", stdout);
        fputs(cells > 0 ? style(sheet, off) : "", stdout);
        end_cell(sheet, n, 16 + (cells > 0) + cells);
    }
}

/* A line whose cells are texts, right-aligned as far as the times are. */
static void
print_line(const struct sheet *sheet, const char *label, bool modelled,
           void (*cell)(char out[40], const struct gov_replay_result *result))
{
    char text[40];

    put_label(label, modelled);
    for (size_t n = 0; n < sheet->count; n++) {
        cell(text, &sheet->view[n].result);
        end_cell(sheet, n, printf("%10s", text));
    }
}

static void rises(char out[40], const struct gov_replay_result *result)
{
    snprintf(out, 40, "%" PRIu32 " / %" PRIu32, result->rises, result->falls);
}

static void oscillations(char out[40], const struct gov_replay_result *result)
{
    snprintf(out, 40, "%" PRIu32, result->oscillations);
}

static void actions(char out[40], const struct gov_replay_result *result)
{
    snprintf(out, 40, "%" PRIu32, result->actions);
}

static void regrows(char out[40], const struct gov_replay_result *result)
{
    snprintf(out, 40, "%" PRIu32, result->regrows);
}

static void given(char out[40], const struct gov_replay_result *result)
{
    cli_size(out, result->given_bytes);
}

static void taken(char out[40], const struct gov_replay_result *result)
{
    cli_size(out, result->taken_bytes);
}

static void least(char out[40], const struct gov_replay_result *result)
{
    if (result->headroom_known)
        cli_size(out, result->least_headroom_bytes);
    else
        snprintf(out, 40, "unknown");
}

static void without(char out[40], const struct gov_replay_result *result)
{
    if (result->headroom_known)
        gov_replay_time(out, result->short_ms);
    else
        snprintf(out, 40, "unknown");
}

/* ---- actions ----------------------------------------------------------------- */

static const struct gov_replay_row *find(const struct gov_replay_view *view,
                                         const char *name)
{
    for (uint32_t i = 0; i < view->count; i++)
        if (strcmp(view->row[i].name, name) == 0)
            return &view->row[i];
    return NULL;
}

static void print_action(const struct sheet *sheet, const char *name)
{
    char label[LABEL], size[CLI_SIZE_BYTES];

    cli_clean(label, sizeof(label) - 1, name);
    put_cell(label, LABEL);
    for (size_t n = 0; n < sheet->count; n++) {
        const struct gov_replay_row *row = find(&sheet->view[n], name);

        if (row == NULL || row->runs == 0)
            end_cell(sheet, n, printf("%10s", "-"));
        else
            end_cell(sheet, n,
                     printf("%9" PRIu32 "x %10s %s", row->runs,
                            cli_size(size, row->given_bytes),
                            row->unpriced ? "~~" : "~"));
    }
}

static bool ran(const struct gov_replay_row *row)
{
    return row != NULL && row->runs > 0;
}

/* Those that ran under either policy; the first one's first. False when there
 * is none. */
static bool print_actions(const struct sheet *sheet)
{
    bool any = false;

    for (size_t n = 0; n < sheet->count; n++)
        for (uint32_t i = 0; i < sheet->view[n].count; i++) {
            const struct gov_replay_row *row = &sheet->view[n].row[i];

            if (!ran(row) || (n > 0 && ran(find(&sheet->view[0], row->name))))
                continue;
            if (!any)
                printf("\n%sactions that ran%s\n", style(sheet, "\033[1m"),
                       style(sheet, off));
            any = true;
            print_action(sheet, row->name);
        }
    return any;
}

/* ---- the whole --------------------------------------------------------------- */

static void print_head(const struct sheet *sheet,
                       const struct gov_replay_trace *trace)
{
    char path[1024], text[1024], app[128], policy[128], time[40];

    printf("%s%s%s\n", style(sheet, "\033[1m"),
           cli_clean(path, sizeof(path), trace->path), style(sheet, off));
    if (trace->head.note[0] != '\0') {
        cli_put_wrapped(cli_clean(text, sizeof(text), trace->head.note), 0, 0,
                        WIDTH);
        putchar('\n');
    }
    cli_clean(app, sizeof(app),
              trace->head.app[0] != '\0' ? trace->head.app : "an app");
    cli_clean(policy, sizeof(policy),
              trace->head.policy[0] != '\0' ? trace->head.policy
                                            : "an unnamed policy");
    snprintf(text, sizeof(text),
             "recorded of %s under %s: %s, %" PRIu32 " sample%s, %" PRIu32
             " action%s, %" PRIu32 " regrown",
             app, policy,
             gov_replay_time(time, trace->last_ms - trace->first_ms),
             trace->samples, trace->samples == 1 ? "" : "s", trace->reliefs,
             trace->reliefs == 1 ? "" : "s", trace->regrows);
    cli_put_wrapped(text, 0, 0, WIDTH);
    printf("\n\n%*s", LABEL, "");
    for (size_t n = 0; n < sheet->count; n++) {
        const char *name = sheet->view[n].policy;
        const char *slash = strrchr(name, '/');

        cli_clean(text, COLUMN - 1,
                  slash != NULL && slash[1] != '\0' ? slash + 1 : name);
        printf("%s%s%s", style(sheet, "\033[1m"), text, style(sheet, off));
        end_cell(sheet, n, cli_width(text));
    }
}

static void print_legend(const struct sheet *sheet,
                         const struct gov_replay_trace *trace, bool any)
{
    bool unpriced = false;

    for (size_t n = 0; n < sheet->count; n++)
        unpriced |= sheet->view[n].result.modelled_runs > 0;
    fputs(style(sheet, "\033[2m"), stdout);
    putchar('\n');
    cli_put_wrapped(
        "~ modelled, not recorded: an action gives the share of its offer that "
        "it gave when it was recorded (median), memory is taken again at once, "
        "and stalls stay as recorded, whatever was given back. Levels follow "
        "from the headroom that this leaves.",
        0, 2, WIDTH);
    putchar('\n');
    if (any && unpriced) {
        cli_put_wrapped("~~ never ran while the trace was recorded: taken to "
                        "give all that it offers.",
                        0, 3, WIDTH);
        putchar('\n');
    }
    if (trace->head.simulated) {
        cli_put_wrapped("A part of this trace is a simulated level, which no "
                        "policy can change.",
                        0, 0, WIDTH);
        putchar('\n');
    }
    fputs(style(sheet, off), stdout);
}

void gov_replay_print(const struct gov_replay_trace *trace,
                      const struct gov_replay_view *view, size_t count,
                      bool colour)
{
    const struct sheet sheet = {view, count, colour, cli_utf8()};
    bool any;

    print_head(&sheet, trace);
    print_level(&sheet, GOV_LEVEL_NORMAL);
    print_level(&sheet, GOV_LEVEL_WARN);
    print_level(&sheet, GOV_LEVEL_CRITICAL);
    print_line(&sheet, "rises / falls", false, rises);
    print_line(&sheet, "oscillations", false, oscillations);
    print_line(&sheet, "actions run", false, actions);
    print_line(&sheet, "actions regrown", false, regrows);
    print_line(&sheet, "given back", true, given);
    print_line(&sheet, "taken again", true, taken);
    print_line(&sheet, "least headroom", true, least);
    print_line(&sheet, "no headroom left", true, without);
    any = print_actions(&sheet);
    print_legend(&sheet, trace, any);
}
