/* SPDX-License-Identifier: MIT */
/* A frame: cells of one character and one style each, drawn by the view and
 * shown by a terminal, a file or a test. */
#ifndef GOV_GOVTOP_GRID_H
#define GOV_GOVTOP_GRID_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "policies/status.h"

/* What a cell means; each output has its own colours for it. */
enum top_style {
    TOP_PLAIN,
    TOP_STRONG,
    TOP_FAINT,
    TOP_TITLE, /* the line at the top and the key names at the bottom */
    TOP_HEAD,  /* heads of columns */
    TOP_LABEL,
    TOP_GOOD,
    TOP_WARN,
    TOP_BAD,
    TOP_COOL, /* streamed weights, history */
    TOP_STYLES,
};

struct top_cell {
    uint32_t character; /* 0: the right half of a wide one */
    uint8_t style;
    bool selected;
};

struct top_grid {
    int width, height;
    bool utf8; /* the output shows more than ASCII */
    struct top_cell *cell;
    int top, end; /* rows that can be drawn to: top_grid_clip() */
};

/* Figures that differ between a UTF-8 and an ASCII output. */
enum top_symbol {
    TOP_BAR_FULL,
    TOP_BAR_EMPTY,
    TOP_RULE,
    TOP_CUT,
    TOP_UNIT_HOT,
    TOP_UNIT_RESIDENT,
    TOP_UNIT_STREAMING,
    TOP_UNIT_DEMAND,
    TOP_UNIT_ABSENT,
    TOP_NO_VALUE,
    TOP_SORT_UP,
    TOP_SORT_DOWN,
    TOP_DOT,
    TOP_DASH,
    TOP_UNIT_PARTLY,
    TOP_EDGE, /* of a box, and its corners clockwise from the upper left */
    TOP_CORNER_1,
    TOP_CORNER_2,
    TOP_CORNER_3,
    TOP_CORNER_4,
    TOP_CURSOR,
};

/* Blank cells. false when there is no memory. A grid may be opened again with
 * another size; zeroed, it is closed. */
bool top_grid_open(struct top_grid *grid, int width, int height, bool utf8);
void top_grid_close(struct top_grid *grid);

/* Writes UTF-8 from `column` up to, not including, `end`; what does not fit is
 * cut and marked. Cells outside the grid are passed over, what is not printable
 * becomes '?'. Returns the column after the last one written. */
int top_grid_put(struct top_grid *grid, int row, int column, int end,
                 enum top_style style, const char *text);
/* The same, so that it ends before `end`. */
void top_grid_put_right(struct top_grid *grid, int row, int column, int end,
                        enum top_style style, const char *text);
/* The same from a format; the result is cut at 512 bytes. */
int top_grid_print(struct top_grid *grid, int row, int column,
                   enum top_style style, const char *format, ...)
    GOV_PRINTF(5, 6);
void top_grid_fill(struct top_grid *grid, int row, int from, int end,
                   enum top_style style, uint32_t character);
/* Marks cells of a row as selected. */
void top_grid_select(struct top_grid *grid, int row, int from, int end);
/* Until the next call, or the next opening, only rows from `top` to before `end`
 * are drawn to. */
void top_grid_clip(struct top_grid *grid, int top, int end);
/* An empty box with a frame around it and a title in its upper edge. */
void top_grid_box(struct top_grid *grid, int row, int column, int height,
                  int width, const char *title);
/* Cells that a text takes. */
int top_grid_width(const struct top_grid *grid, const char *text);
uint32_t top_grid_symbol(const struct top_grid *grid, enum top_symbol symbol);

/* A bar that is full at 1000 permille and empty when unknown. */
void top_grid_bar(struct top_grid *grid, int row, int from, int end,
                  enum top_style style, uint64_t permille);
/* One column of a history, in `rows` rows from `row` down, full at 1000 permille
 * but for a gap on top. Unknown leaves the cells as they are. */
void top_grid_spark(struct top_grid *grid, int row, int column, int rows,
                    enum top_style style, uint64_t permille);

/* Prints the rows without trailing blanks; colour adds escape sequences. */
void top_grid_write(const struct top_grid *grid, FILE *out, bool colour);

/* One character as UTF-8, NUL-terminated. */
void top_encode(char out[5], uint32_t character);

#endif
