/* SPDX-License-Identifier: MIT */
/* The map of residency: the units of a model in the order of the file, as one line
 * or as many as it takes. */
#include <string.h>

#include "tools/govtop/top_parts.h"

enum { HOT, RESIDENT, STREAMING, PARTLY, ABSENT, DEMAND, KINDS };

static const struct kind {
    const char *name;
    char letter; /* in the page; what is none of them is absent */
    enum top_symbol symbol;
    enum top_style style;
    int halves; /* how much of it is there */
} kinds[KINDS] = {
    [HOT] = {"hot", 'H', TOP_UNIT_HOT, TOP_GOOD, 2},
    [RESIDENT] = {"resident", 's', TOP_UNIT_RESIDENT, TOP_COOL, 2},
    [STREAMING] = {"streaming", 'h', TOP_UNIT_STREAMING, TOP_WARN, 1},
    [PARTLY] = {"partly", '+', TOP_UNIT_PARTLY, TOP_GOOD, 1},
    [ABSENT] = {"absent", '-', TOP_UNIT_ABSENT, TOP_FAINT, 0},
    [DEMAND] = {"on demand", '.', TOP_UNIT_DEMAND, TOP_FAINT, 0},
};

static int kind_of(char unit)
{
    for (int i = 0; i < KINDS; i++)
        if (kinds[i].letter == unit)
            return i;
    return ABSENT;
}

static void add_up(const char *units, size_t n, size_t count[KINDS])
{
    memset(count, 0, KINDS * sizeof(count[0]));
    for (size_t i = 0; i < n; i++)
        count[kind_of(units[i])]++;
}

/* One cell for `n` units. Of one kind they show it, else a column is as high as
 * their share in memory. */
static void draw_cell(struct top_pane *pane, const char *units, size_t n)
{
    size_t count[KINDS], halves = 0;
    int shown = kind_of(units[0]), most = HOT;

    add_up(units, n, count);
    for (int i = 0; i < KINDS; i++) {
        halves += count[i] * (size_t)kinds[i].halves;
        if (count[i] > count[most] && kinds[i].halves > 0)
            most = i;
    }
    if (count[shown] != n)
        shown = halves > 0 ? most : ABSENT;
    top_grid_fill(pane->grid, pane->row, pane->column, pane->column + 1,
                  kinds[shown].style,
                  top_grid_symbol(pane->grid, kinds[shown].symbol));
    if (count[shown] != n && halves > 0 && pane->grid->utf8)
        top_grid_spark(pane->grid, pane->row, pane->column, 1,
                       kinds[shown].style, top_permille(halves, 2 * n));
    pane->column++;
}

/* "18 hot": nothing where there are none. */
static void draw_count(struct top_pane *pane, int kind, size_t n, bool sign)
{
    char number[32];

    if (n == 0)
        return;
    if (sign) {
        top_grid_fill(pane->grid, pane->row, pane->column, pane->column + 1,
                      kinds[kind].style,
                      top_grid_symbol(pane->grid, kinds[kind].symbol));
        pane->column += 2;
    }
    snprintf(number, sizeof(number), "%zu", n);
    top_pane_figure(pane, number, kinds[kind].name);
}

/* ---- a line ----------------------------------------------------------------- */

static int legend_width(const size_t count[KINDS])
{
    int width = 0;
    char number[64];

    for (int i = 0; i < KINDS; i++)
        if (count[i] > 0)
            width += 3 + snprintf(number, sizeof(number), "%zu %s", count[i],
                                  kinds[i].name);
    return width - 3;
}

void top_map_line(struct top_pane *pane)
{
    const char *units = pane->process->page.text_UNITS;
    size_t total = strlen(units), count[KINDS], each, twice;
    size_t width = (size_t)(pane->grid->width - pane->column - 1);

    if (total == 0)
        return;
    add_up(units, total, count);
    /* Many units share a cell; few get two, if the legend keeps its place. */
    each = (total + width - 1) / width;
    twice = 2 * total + 2 + (size_t)legend_width(count) <= width ? 2 : 1;
    for (size_t from = 0; from < total; from += each)
        for (size_t i = 0; i < twice; i++)
            draw_cell(pane, units + from,
                      from + each < total ? each : total - from);
    pane->column += 2;
    /* All of the legend or nothing. */
    if (pane->column + legend_width(count) > pane->grid->width)
        return;
    for (int i = 0; i < KINDS; i++)
        draw_count(pane, i, count[i], false);
}

/* ---- all of them ------------------------------------------------------------ */

/* A cell is at most so wide: few units make no bar of a few blocks. */
#define WIDEST 3

int top_map_draw(struct top_pane *pane)
{
    const char *units = pane->process->page.text_UNITS;
    size_t total = strlen(units), count[KINDS], cells, a_row;
    size_t width = (size_t)(pane->grid->width - TOP_VALUES - 1);
    char number[TOP_NUMBER];

    if (total == 0)
        return pane->row;
    add_up(units, total, count);
    cells = width / total;
    cells = cells > WIDEST ? WIDEST : cells < 1 ? 1 : cells;
    a_row = width / cells;
    /* Rows of round numbers are easier to count in. */
    if (a_row < total)
        a_row -= a_row % 8;
    top_grid_put(pane->grid, pane->row, TOP_LABELS, TOP_VALUES, TOP_LABEL,
                 "units");
    for (size_t from = 0; from < total; from += a_row, pane->row++) {
        pane->column = TOP_VALUES;
        if (from > 0)
            top_grid_put_right(pane->grid, pane->row, TOP_LABELS,
                               TOP_VALUES - 1, TOP_FAINT,
                               top_count(number, from));
        for (size_t i = from; i < total && i < from + a_row; i++)
            for (size_t c = 0; c < cells; c++)
                draw_cell(pane, units + i, 1);
    }
    pane->column = TOP_VALUES;
    for (int i = 0; i < KINDS; i++) {
        char text[64];
        int room =
            snprintf(text, sizeof(text), "x %zu %s", count[i], kinds[i].name);

        if (pane->column + room > pane->grid->width) {
            pane->column = TOP_VALUES;
            pane->row++;
        }
        draw_count(pane, i, count[i], true);
    }
    return pane->row + 1;
}
