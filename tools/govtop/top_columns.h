/* SPDX-License-Identifier: MIT */
/* The columns of the table: one row each in a table of their own, which drives
 * the heads, the cells, the order, the help screen and what a narrow terminal
 * leaves out. */
#ifndef GOV_GOVTOP_COLUMNS_H
#define GOV_GOVTOP_COLUMNS_H

#include "tools/govtop/top_grid.h"
#include "tools/govtop/top_model.h"

/* From left to right. */
enum top_column {
    TOP_PID,
    TOP_APP,
    TOP_ENGINE,
    TOP_MODEL,
    TOP_STRATEGY,
    TOP_LEVEL,
    TOP_FOOTPRINT,
    TOP_FOOTPRINT_LINE,
    TOP_HEADROOM,
    TOP_BUDGET,
    TOP_WEIGHTS,
    TOP_HOT,
    TOP_KV,
    TOP_CACHES,
    TOP_FAULTS,
    TOP_READ,
    TOP_TOKENS,
    TOP_WAIT,
    TOP_STALL_LINE,
    TOP_RELIEF,
    TOP_COLUMNS,
};

#define TOP_CELL_BYTES 128

const char *top_column_title(enum top_column column);
/* What the help screen says about it. */
const char *top_column_sentence(enum top_column column);
bool top_column_is_right(enum top_column column);

/* A history instead of text; NULL for a column of text. *full is the value at
 * which it is as high as it gets. */
const struct top_series *top_column_line(enum top_column column,
                                         const struct top_process *process,
                                         uint64_t *full);

/* Writes the cell of a process and returns its style. */
enum top_style top_column_cell(enum top_column column,
                               const struct top_process *process,
                               char out[TOP_CELL_BYTES]);

/* Below 0 when a comes before b in a table sorted by the column: large numbers
 * and early letters first, the unknown at the end in either direction. */
int top_column_compare(enum top_column column, bool reverse,
                       const struct top_process *a,
                       const struct top_process *b);

/* Chooses what fits into `width`: widths[c] is 0 for columns left out. Returns
 * the gap between two columns. others: there are rows that are not governed. */
int top_columns_fit(int width, bool others, int widths[TOP_COLUMNS]);

/* How a level shows; an unknown one is faint. */
enum top_style top_level_style(uint64_t level);
/* "normal", "warn", "critical", or "-". */
const char *top_level_text(uint64_t level);
/* How much of a budget is left, as a colour. */
enum top_style top_room_style(uint64_t left, uint64_t whole);
/* How a share of time lost shows. */
enum top_style top_stall_style(uint64_t permille);
/* The share of a limit at which a line of stall is as high as it gets: far beyond
 * what a person bears, and low enough to show a few percent. */
#define TOP_STALL_FULL 400
/* Nothing was heard of the process for long. */
bool top_is_stale(const struct top_process *process);

#endif
