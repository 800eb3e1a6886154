/* SPDX-License-Identifier: MIT */
/* Histories of one process: a column a sample, the last one at the right. */
#include "tools/govtop/top_parts.h"

static int history_end(const struct top_pane *pane)
{
    int end = pane->grid->width - 20;

    return end - pane->column > TOP_HISTORY ? pane->column + TOP_HISTORY : end;
}

static uint64_t peak(const struct top_pane *pane,
                     const struct top_series *series)
{
    return top_series_peak(series,
                           (uint32_t)(history_end(pane) - pane->column));
}

/* The style of each column follows from its value, or is `style`. */
static void draw_history(struct top_pane *pane, const struct top_series *series,
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
void top_history_footprint(struct top_pane *pane)
{
    const struct top_series *series = &pane->process->footprint;
    uint64_t budget = top_pane_counter(pane, GOV_PAGE_BUDGET),
             top = peak(pane, series);
    char number[TOP_NUMBER];

    if (budget != TOP_UNKNOWN)
        draw_history(pane, series, budget, TOP_GOOD, footprint_style);
    else
        draw_history(pane, series, top, TOP_GOOD, NULL);
    top_pane_figure(pane, top_bytes(number, top), "peak");
}

void top_history_read(struct top_pane *pane)
{
    const struct top_series *series = &pane->process->read;
    uint64_t top = peak(pane, series);
    char number[TOP_NUMBER];

    draw_history(pane, series, top, TOP_COOL, NULL);
    top_pane_figure(pane, top_bytes(number, top), "peak");
}

void top_history_tokens(struct top_pane *pane)
{
    const struct top_series *series = &pane->process->tokens;
    uint64_t top = peak(pane, series);
    char number[TOP_NUMBER];

    draw_history(pane, series, top, TOP_LABEL, NULL);
    top_pane_figure(pane, top_milli(number, top), "peak");
}

static enum top_style stall_style(uint64_t value, uint64_t top)
{
    (void)top;
    return top_stall_style(value);
}

/* Its own where it tells, else the machine's. */
void top_history_stall(struct top_pane *pane)
{
    const struct top_series *own = &pane->process->stall;
    const struct top_series *series =
        top_series_peak(own, TOP_HISTORY) != TOP_UNKNOWN ? own
                                                         : &pane->model->stall;
    uint64_t top = peak(pane, series);
    char number[TOP_NUMBER];

    draw_history(pane, series, TOP_STALL_FULL, TOP_WARN, stall_style);
    top_pane_figure(pane, top_percent(number, top), "peak");
}
