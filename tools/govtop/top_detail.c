/* SPDX-License-Identifier: MIT */
/* The pane that shows one process: a line for each matter, all of them in one
 * table with their rank, so that a small terminal keeps what tells most. */
#include <inttypes.h>
#include <string.h>

#include "tools/govtop/top_view.h"

#define LABEL 1
#define VALUES 12

struct pane {
    struct top_grid *grid;
    const struct top_model *model;
    const struct top_process *process;
    int row, column; /* where the next figure goes */
    int rows;        /* height of the histories */
};

static uint64_t counter(const struct pane *pane, gov_page_counter c)
{
    return top_counter(&pane->process->page, c);
}

/* Writes "value label", or nothing when it is unknown or does not fit as a
 * whole. */
static void figure(struct pane *pane, const char *value, const char *label)
{
    int width = (int)strlen(value) + 1 + (int)strlen(label);

    if (strcmp(value, "-") == 0 || pane->column + width > pane->grid->width)
        return;
    pane->column = top_grid_put(pane->grid, pane->row, pane->column,
                                pane->grid->width, TOP_PLAIN, value);
    pane->column = top_grid_put(pane->grid, pane->row, pane->column + 1,
                                pane->grid->width, TOP_FAINT, label) +
                   3;
}

static void bytes(struct pane *pane, gov_page_counter c, const char *label)
{
    char number[TOP_NUMBER];

    figure(pane, top_bytes(number, counter(pane, c)), label);
}

static void count(struct pane *pane, uint64_t n, const char *label)
{
    char number[TOP_NUMBER];

    figure(pane, top_count(number, n), label);
}

/* What is worth a word only when there is some of it. */
static bool some(const struct pane *pane, gov_page_counter c)
{
    uint64_t n = counter(pane, c);

    return n != TOP_UNKNOWN && n > 0;
}

/* "82.0M of 1.69G"; one side may be unknown. */
static void share(struct pane *pane, gov_page_counter part,
                  gov_page_counter whole, const char *label)
{
    uint64_t a = counter(pane, part), b = counter(pane, whole);
    char first[TOP_NUMBER], second[TOP_NUMBER], text[3 * TOP_NUMBER];

    if (a == TOP_UNKNOWN && b == TOP_UNKNOWN)
        return;
    if (b == TOP_UNKNOWN)
        snprintf(text, sizeof(text), "%s", top_bytes(first, a));
    else
        snprintf(text, sizeof(text), "%s of %s",
                 a == TOP_UNKNOWN ? "?" : top_bytes(first, a),
                 top_bytes(second, b));
    figure(pane, text, label);
}

/* ---- the lines ------------------------------------------------------------- */

static void draw_level(struct pane *pane)
{
    uint64_t level = counter(pane, GOV_PAGE_LEVEL);
    uint64_t simulated = counter(pane, GOV_PAGE_LEVEL_SIMULATED);
    const char *reason = pane->process->page.text_REASON;
    char dash[5];

    pane->column =
        top_grid_put(pane->grid, pane->row, pane->column, pane->grid->width,
                     top_level_style(level), top_level_text(level));
    if (simulated != TOP_UNKNOWN && simulated != 0)
        pane->column =
            top_grid_put(pane->grid, pane->row, pane->column + 1,
                         pane->grid->width, TOP_FAINT, "(simulated)");
    if (top_is_stale(pane->process))
        pane->column = top_grid_print(pane->grid, pane->row, pane->column + 1,
                                      TOP_WARN, "no update for %" PRIu64 " s",
                                      pane->process->age_us / 1000000);
    if (reason[0] == '\0')
        return;
    top_encode(dash, top_grid_symbol(pane->grid, TOP_DASH));
    top_grid_print(pane->grid, pane->row, pane->column + 1, TOP_PLAIN, "%s %s",
                   dash, reason);
}

static void draw_backend(struct pane *pane)
{
    const struct gov_page *page = &pane->process->page;
    char dot[5];

    pane->column =
        top_grid_put(pane->grid, pane->row, pane->column, pane->grid->width - 1,
                     TOP_PLAIN, page->text_BACKEND);
    if (page->text_WAKES[0] == '\0')
        return;
    top_encode(dot, top_grid_symbol(pane->grid, TOP_DOT));
    pane->column = top_grid_print(pane->grid, pane->row, pane->column,
                                  TOP_FAINT, " %s %s", dot, page->text_WAKES);
}

static void draw_footprint(struct pane *pane)
{
    uint64_t footprint = counter(pane, GOV_PAGE_FOOTPRINT);
    uint64_t budget = counter(pane, GOV_PAGE_BUDGET);
    uint64_t left = counter(pane, GOV_PAGE_HEADROOM);
    int end = pane->column + (pane->grid->width > 120 ? 40 : 20);

    if (budget != TOP_UNKNOWN) {
        top_grid_bar(pane->grid, pane->row, pane->column, end,
                     top_room_style(left, budget),
                     top_permille(footprint, budget));
        pane->column = end + 2;
    }
    share(pane, GOV_PAGE_FOOTPRINT, GOV_PAGE_BUDGET,
          budget != TOP_UNKNOWN ? "budget" : "and no budget is known");
    bytes(pane, GOV_PAGE_HEADROOM, "headroom");
    if (some(pane, GOV_PAGE_FILL))
        bytes(pane, GOV_PAGE_FILL, "less/s");
    if (some(pane, GOV_PAGE_EXPECTED))
        bytes(pane, GOV_PAGE_EXPECTED, "announced");
}

static void draw_memory(struct pane *pane)
{
    bytes(pane, GOV_PAGE_ANON, "anonymous");
    bytes(pane, GOV_PAGE_SWAP, "swapped");
    bytes(pane, GOV_PAGE_CACHE, "caches");
    bytes(pane, GOV_PAGE_RESIDENT_FILE, "file pages, not footprint");
}

static void draw_weights(struct pane *pane)
{
    uint64_t warm = counter(pane, GOV_PAGE_WEIGHTS_WARM);
    char number[TOP_NUMBER];

    share(pane, GOV_PAGE_WEIGHTS_RESIDENT, GOV_PAGE_WEIGHTS_MAPPED, "resident");
    bytes(pane, GOV_PAGE_WEIGHTS_HOT, "hot");
    if (warm < 1000)
        figure(pane, top_percent(number, warm), "of it there");
    if (counter(pane, GOV_PAGE_WEIGHTS_ANCHORED) != 0)
        bytes(pane, GOV_PAGE_WEIGHTS_ANCHORED, "anchored");
    bytes(pane, GOV_PAGE_WEIGHTS_COLD, "cold");
    bytes(pane, GOV_PAGE_WEIGHTS_STREAMED, "streamed");
    count(pane, counter(pane, GOV_PAGE_WEIGHTS_LATE), "late units");
}

/* Only what is hot of it is there, or some of that. */
static bool is_partly(char unit)
{
    return unit == '+' || unit == 'h';
}

/* One cell for the units from `from` to before `end`: a unit that is there or not
 * shows its state, else a column is as high as their share in memory, what is
 * there in part counting as half. */
static void draw_cell(struct pane *pane, const char *units, size_t from,
                      size_t end)
{
    size_t hot = 0, streamed = 0, halves = 0, all = 2 * (end - from);
    enum top_style style = TOP_FAINT;
    uint32_t shown;

    for (size_t i = from; i < end; i++) {
        hot += units[i] == 'H';
        streamed += units[i] == 's';
        halves += is_partly(units[i]);
    }
    halves += 2 * (hot + streamed);
    shown = top_grid_symbol(pane->grid, TOP_UNIT_ABSENT);
    if (halves > 0) {
        style = hot >= streamed ? TOP_GOOD : TOP_COOL;
        shown = top_grid_symbol(pane->grid, hot > 0 && hot >= streamed
                                                ? TOP_UNIT_HOT
                                                : TOP_UNIT_STREAMED);
    }
    top_grid_fill(pane->grid, pane->row, pane->column, pane->column + 1, style,
                  shown);
    if (halves > 0 && halves < all && pane->grid->utf8)
        top_grid_spark(pane->grid, pane->row, pane->column, 1, style,
                       top_permille(halves, all));
    pane->column++;
}

static void draw_units(struct pane *pane)
{
    static const char *const names[] = {"hot", "streamed", "partly", "absent"};
    const char *units = pane->process->page.text_UNITS;
    size_t total = strlen(units), n[4] = {0, 0, 0, 0}, each, twice;
    size_t width = (size_t)(pane->grid->width - pane->column - 1);
    char number[64];
    int room;

    if (total == 0)
        return;
    for (size_t i = 0; i < total; i++) {
        if (units[i] == 'H')
            n[0]++;
        else if (units[i] == 's')
            n[1]++;
        else
            n[is_partly(units[i]) ? 2 : 3]++;
    }
    /* Many units share a cell; few get two, if the legend keeps its place. */
    each = (total + width - 1) / width;
    twice = 2 * total + 44 <= width ? 2 : 1;
    for (size_t from = 0; from < total; from += each)
        for (size_t i = 0; i < twice; i++)
            draw_cell(pane, units, from,
                      from + each < total ? from + each : total);
    pane->column += 2;
    /* All of the legend or nothing; without room those in part pass for absent. */
    room = pane->grid->width - pane->column;
    if (snprintf(number, sizeof(number), "%zu%zu%zu%zu", n[0], n[1], n[2],
                 n[3]) +
            37 >
        room) {
        n[3] += n[2];
        n[2] = 0;
    }
    if (snprintf(number, sizeof(number), "%zu%zu%zu", n[0], n[1], n[3]) + 27 >
        room)
        return;
    for (int i = 0; i < 4; i++) {
        if (i == 2 && n[2] == 0)
            continue;
        snprintf(number, sizeof(number), "%zu", n[i]);
        figure(pane, number, names[i]);
    }
}

static void draw_kv(struct pane *pane)
{
    char text[48];
    uint64_t used = counter(pane, GOV_PAGE_CONTEXT_USED);
    uint64_t context = counter(pane, GOV_PAGE_CONTEXT);

    share(pane, GOV_PAGE_KV_USED, GOV_PAGE_KV_RESERVED, "used");
    if (used != TOP_UNKNOWN && context != TOP_UNKNOWN) {
        snprintf(text, sizeof(text), "%" PRIu64 " of %" PRIu64, used, context);
        figure(pane, text, "tokens");
    }
    bytes(pane, GOV_PAGE_KV_GIVEN_BACK, "given back");
}

static void draw_speed(struct pane *pane)
{
    char number[TOP_NUMBER];

    figure(pane, top_milli(number, counter(pane, GOV_PAGE_TOKEN_RATE_MILLI)),
           "tokens/s");
    count(pane, counter(pane, GOV_PAGE_TOKENS), "tokens");
    figure(pane, top_duration(number, counter(pane, GOV_PAGE_FIRST_TOKEN_US)),
           "to first token");
}

/* What the last one took, and what of that was waiting. */
static void draw_pass(struct pane *pane)
{
    char number[TOP_NUMBER];

    figure(pane, top_duration(number, counter(pane, GOV_PAGE_PASS_US)),
           "a pass");
    figure(pane, top_duration(number, counter(pane, GOV_PAGE_PASS_WEIGHTS_US)),
           "for weights");
    figure(pane, top_duration(number, counter(pane, GOV_PAGE_PASS_RECLAIM_US)),
           "for memory");
    bytes(pane, GOV_PAGE_PASS_READ, "read");
    count(pane, counter(pane, GOV_PAGE_PASS_MAJOR_FAULTS), "major faults");
}

static void draw_storage(struct pane *pane)
{
    char number[TOP_NUMBER];

    figure(pane, top_bytes(number, pane->process->rates.read_bytes), "read/s");
    count(pane, pane->process->rates.major_faults, "major faults/s");
    count(pane, pane->process->rates.minor_faults, "minor faults/s");
    bytes(pane, GOV_PAGE_READ_BYTES, "read in all");
}

static void draw_relief(struct pane *pane)
{
    const char *last = pane->process->page.text_LAST_RELIEF;
    char text[48], label[64];

    count(pane, counter(pane, GOV_PAGE_RELIEFS), "actions");
    if (some(pane, GOV_PAGE_RELIEF_OVERDUE))
        count(pane, counter(pane, GOV_PAGE_RELIEF_OVERDUE), "overdue");
    if (some(pane, GOV_PAGE_RELIEF_BARREN))
        count(pane, counter(pane, GOV_PAGE_RELIEF_BARREN), "gave nothing");
    if (some(pane, GOV_PAGE_MODELS)) {
        snprintf(text, sizeof(text), "%" PRIu64 " of %" PRIu64,
                 counter(pane, GOV_PAGE_MODELS_LOADED),
                 counter(pane, GOV_PAGE_MODELS));
        figure(pane, text, "models loaded");
    }
    bytes(pane, GOV_PAGE_YIELD_TOTAL, "given back");
    if (last[0] == '\0')
        return;
    snprintf(label, sizeof(label), "by the last, %s", last);
    figure(pane, top_bytes(text, counter(pane, GOV_PAGE_YIELD_LAST)), label);
}

/* ---- histories ------------------------------------------------------------- */

static int history_end(const struct pane *pane)
{
    int end = pane->grid->width - 20;

    return end - pane->column > TOP_HISTORY ? pane->column + TOP_HISTORY : end;
}

static uint64_t peak(const struct pane *pane, const struct top_series *series)
{
    return top_series_peak(series,
                           (uint32_t)(history_end(pane) - pane->column));
}

/* The style of each column follows from its value, or is `style`. */
static void draw_history(struct pane *pane, const struct top_series *series,
                         uint64_t top, enum top_style style,
                         enum top_style (*style_of)(uint64_t value,
                                                    uint64_t top))
{
    int end = history_end(pane);

    for (int column = end - 1; column >= pane->column; column--) {
        uint64_t value = top_series_at(series, (uint32_t)(end - 1 - column));

        top_grid_spark(pane->grid, pane->row, column, pane->rows,
                       style_of != NULL ? style_of(value, top) : style,
                       top_permille(value, top > 0 ? top : 1));
    }
    pane->column = end + 2;
}

static enum top_style footprint_style(uint64_t value, uint64_t budget)
{
    return top_room_style(value < budget ? budget - value : 0, budget);
}

/* Against the budget where there is one: a line at the top means trouble. */
static void draw_footprint_history(struct pane *pane)
{
    const struct top_series *series = &pane->process->footprint;
    uint64_t budget = counter(pane, GOV_PAGE_BUDGET), top = peak(pane, series);
    char number[TOP_NUMBER];

    if (budget != TOP_UNKNOWN)
        draw_history(pane, series, budget, TOP_GOOD, footprint_style);
    else
        draw_history(pane, series, top, TOP_GOOD, NULL);
    figure(pane, top_bytes(number, top), "peak");
}

static void draw_read_history(struct pane *pane)
{
    const struct top_series *series = &pane->process->read;
    uint64_t top = peak(pane, series);
    char number[TOP_NUMBER];

    draw_history(pane, series, top, TOP_COOL, NULL);
    figure(pane, top_bytes(number, top), "peak");
}

static void draw_token_history(struct pane *pane)
{
    const struct top_series *series = &pane->process->tokens;
    uint64_t top = peak(pane, series);
    char number[TOP_NUMBER];

    draw_history(pane, series, top, TOP_LABEL, NULL);
    figure(pane, top_milli(number, top), "peak");
}

static enum top_style stall_style(uint64_t value, uint64_t top)
{
    (void)top;
    return top_stall_style(value);
}

static void draw_stall_history(struct pane *pane)
{
    const struct top_series *series = &pane->model->stall;
    uint64_t top = peak(pane, series);
    char number[TOP_NUMBER];

    draw_history(pane, series, TOP_STALL_FULL, TOP_WARN, stall_style);
    figure(pane, top_percent(number, top), "peak");
}

/* ---- the pane -------------------------------------------------------------- */

static const struct line {
    const char *label;
    int rank; /* the lowest stay longest on a small terminal */
    bool history;
    void (*draw)(struct pane *pane);
} lines[] = {
    {"level", 0, false, draw_level},
    {"evidence", 13, false, draw_backend},
    {"footprint", 1, false, draw_footprint},
    {"memory", 11, false, draw_memory},
    {"weights", 3, false, draw_weights},
    {"units", 2, false, draw_units},
    {"KV cache", 4, false, draw_kv},
    {"speed", 7, false, draw_speed},
    {"pass", 8, false, draw_pass},
    {"storage", 9, false, draw_storage},
    {"relief", 10, false, draw_relief},
    {"footprint", 5, true, draw_footprint_history},
    {"stall", 6, true, draw_stall_history},
    {"read/s", 12, true, draw_read_history},
    {"tokens/s", 14, true, draw_token_history},
};

#define LINE_COUNT ((int)(sizeof(lines) / sizeof(lines[0])))
#define HISTORY_COUNT 4
/* As high as a history gets where there is room. */
#define HISTORY_ROWS 4

int top_detail_height(bool plain)
{
    int height = 1;

    for (int i = 0; i < LINE_COUNT; i++)
        height += !(plain && lines[i].history);
    return height;
}

static void draw_rule(struct top_grid *grid, int row,
                      const struct gov_page *page)
{
    uint32_t rule = top_grid_symbol(grid, TOP_RULE);
    char dot[5];
    int column;

    top_encode(dot, top_grid_symbol(grid, TOP_DOT));
    top_grid_fill(grid, row, 0, grid->width, TOP_FAINT, rule);
    column =
        top_grid_print(grid, row, 2, TOP_STRONG, " %d%s%s", (int)page->pid,
                       page->text_APP[0] != '\0' ? " " : "", page->text_APP);
    if (page->text_MODEL[0] != '\0')
        column = top_grid_print(grid, row, column, TOP_PLAIN, " %s %s", dot,
                                page->text_MODEL);
    if (page->text_ENGINE[0] != '\0')
        column = top_grid_print(grid, row, column, TOP_PLAIN, " %s %s", dot,
                                page->text_ENGINE);
    top_grid_put(grid, row, column, grid->width, TOP_PLAIN, " ");
}

void top_detail_draw(struct top_grid *grid, const struct top_model *model,
                     const struct top_process *process, bool plain, int row,
                     int end)
{
    int room = end - row - 1, spare, rows;

    if (room < 2)
        return;
    spare = room - LINE_COUNT;
    rows = 1 + (spare > 0 ? spare / HISTORY_COUNT : 0);
    if (rows > HISTORY_ROWS)
        rows = HISTORY_ROWS;
    draw_rule(grid, row++, &process->page);
    for (int i = 0; i < LINE_COUNT; i++) {
        struct pane pane = {grid, model, process, row, VALUES, rows};

        if (plain ? lines[i].history : lines[i].rank >= room)
            continue;
        top_grid_put(grid, row, LABEL, VALUES, TOP_LABEL, lines[i].label);
        lines[i].draw(&pane);
        if (pane.column == VALUES) /* nothing is known */
            top_grid_put(grid, row, VALUES, grid->width, TOP_FAINT, "-");
        row += lines[i].history ? rows : 1;
    }
}
