/* SPDX-License-Identifier: MIT */
/* Draws a model into a grid, and turns keys into changes of what is shown.
 * Pure: the same renderer serves the terminal, --once and the tests. */
#ifndef GOV_GOVTOP_VIEW_H
#define GOV_GOVTOP_VIEW_H

#include "tools/govtop/top_columns.h"

#define TOP_LEAST_WIDTH 60
#define TOP_LEAST_HEIGHT 16
/* Permille of stall at which its history is as high as it gets: far beyond what
 * a person bears, and low enough to show a few percent. */
#define TOP_STALL_FULL 400

/* What the user chose. Zeroed, then sort and delay_ms set, to start. */
struct top_state {
    enum top_column sort;
    bool reverse, paused, help;
    bool plain;                      /* --once: no selection, no line of keys */
    uint64_t delay_ms;               /* between two samples */
    int32_t selected;                /* pid; 0 until something is selected */
    size_t first;                    /* row of the table that is shown first */
    int width;                       /* of the last frame */
    char problem[GOV_MESSAGE_BYTES]; /* why there are no pages; "" is well */
};

enum top_key {
    TOP_KEY_NONE,
    TOP_KEY_UP,
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
    TOP_KEY_SORT_NEXT,
    TOP_KEY_SORT_PREVIOUS,
    TOP_KEY_SORT_TURN,
    TOP_KEY_PAUSE,
    TOP_KEY_SLOWER,
    TOP_KEY_FASTER,
    TOP_KEY_HELP,
    TOP_KEY_QUIT, /* closes the help first */
};

void top_view_draw(struct top_grid *grid, const struct top_model *model,
                   struct top_state *state);

/* Rows that a frame takes in which nothing is left out. */
int top_view_height(const struct top_model *model,
                    const struct top_state *state);

/* Returns false when the key ends the program. */
bool top_view_key(struct top_state *state, const struct top_model *model,
                  enum top_key key);

/* The detail pane, in rows from `row` to before `end` of the grid; draws what
 * fits, the most telling lines first. Plain: without histories. */
void top_detail_draw(struct top_grid *grid, const struct top_model *model,
                     const struct top_process *process, bool plain, int row,
                     int end);
/* Rows of a pane in which nothing is left out. */
int top_detail_height(bool plain);

#endif
