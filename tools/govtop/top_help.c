/* SPDX-License-Identifier: MIT */
/* The help: keys, and what the columns are. */
#include "tools/govtop/top_parts.h"

static const struct {
    const char *key, *text;
} keys[] = {
    {"Up Down", "select; also k j, PgUp PgDn, Home End"},
    {"F5 Enter", "all about the selected process"},
    {"F7 l", "the log of events"},
    {"F3 /", "search; again: the next one"},
    {"F4 \\", "show only rows that have a text"},
    {"F6", "sort by; also > <"},
    {"M P T", "by footprint, tokens/s, waiting"},
    {"I", "turn the order around"},
    {"u", "processes that are not governed, too"},
    {"F9", "commands: simulate a level, relieve"},
    {"Space p", "pause"},
    {"+ -", "more or less time between two samples"},
    {"Escape", "back; without the filter"},
    {"F1 h ?", "this help"},
    {"F10 q", "quit"},
};

#define KEYS ((int)(sizeof(keys) / sizeof(keys[0])))
#define COLUMN 52 /* of what stands beside the keys */

static int draw_keys(struct top_grid *grid, int row, int end)
{
    for (int i = 0; i < KEYS; i++, row++) {
        top_grid_put(grid, row, 1, 11, TOP_LABEL, keys[i].key);
        top_grid_put(grid, row, 11, end, TOP_PLAIN, keys[i].text);
    }
    return row;
}

static int draw_columns(struct top_grid *grid, int row, int column)
{
    for (int c = 0; c < TOP_COLUMNS; c++, row++) {
        top_grid_put(grid, row, column, grid->width, TOP_HEAD,
                     top_column_title((enum top_column)c));
        top_grid_put(grid, row, column + 12, grid->width, TOP_PLAIN,
                     top_column_sentence((enum top_column)c));
    }
    return row;
}

void top_help_draw(struct top_grid *grid, struct top_state *state)
{
    /* Beside each other where it is wide. */
    bool beside = grid->width >= 110;
    int lines = beside ? TOP_COLUMNS : KEYS + 1 + TOP_COLUMNS;
    int end = grid->height - 1, column, row;

    column = top_grid_put(grid, 0, 1, grid->width, TOP_TITLE, "govtop");
    column =
        top_grid_put(grid, 0, column + 1, grid->width, TOP_PLAIN, GOV_VERSION);
    top_grid_put(grid, 0, column + 2, grid->width, TOP_FAINT,
                 "- is unknown, not zero; rates are per second");
    top_scroll(state, &state->help_scroll, lines, end - 2);
    top_grid_clip(grid, 2, end);
    row = draw_keys(grid, 2 - state->help_scroll,
                    beside ? COLUMN - 2 : grid->width);
    row = beside ? 2 - state->help_scroll : row + 1;
    draw_columns(grid, row, beside ? COLUMN : 1);
    top_grid_clip(grid, 0, grid->height);
    top_grid_put(grid, end, 1, grid->width, TOP_FAINT,
                 state->scroll_most > 0
                     ? "Up and Down go through it, any other key closes it"
                     : "any key closes it");
}
