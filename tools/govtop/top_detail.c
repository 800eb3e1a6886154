/* SPDX-License-Identifier: MIT */
/* One process: a line for each matter, all of them in one table with their rank,
 * so that the pane below the table keeps what tells most on a small terminal; and
 * all of it on a screen of its own. */
#include "tools/govtop/top_parts.h"

#define NEVER 99 /* rank of what only the full screen has */

static const struct line {
    const char *label;
    int rank; /* the lowest stay longest on a small terminal */
    bool history;
    void (*draw)(struct top_pane *pane);
} lines[] = {
    {"level", 0, false, top_figures_level},
    {"evidence", 13, false, top_figures_backend},
    {"footprint", 1, false, top_figures_footprint},
    {"memory", 11, false, top_figures_memory},
    {"weights", 3, false, top_figures_weights},
    {"units", 2, false, top_map_line},
    {"KV cache", 4, false, top_figures_kv},
    {"talks", NEVER, false, top_figures_talks},
    {"speed", 7, false, top_figures_speed},
    {"pass", 8, false, top_figures_pass},
    {"storage", 9, false, top_figures_storage},
    {"relief", 10, false, top_figures_relief},
    {"footprint", 5, true, top_history_footprint},
    {"stall", 6, true, top_history_stall},
    {"read/s", 12, true, top_history_read},
    {"tokens/s", 14, true, top_history_tokens},
};

#define LINE_COUNT ((int)(sizeof(lines) / sizeof(lines[0])))
/* Lines of the pane. */
#define PANE_COUNT (LINE_COUNT - 1)
#define HISTORY_COUNT 4
/* As high as a history gets where there is room. */
#define HISTORY_ROWS 4

int top_detail_pane_height(bool plain)
{
    int height = 1;

    for (int i = 0; i < LINE_COUNT; i++)
        height += lines[i].rank != NEVER && !(plain && lines[i].history);
    return height;
}

void top_detail_rule(struct top_grid *grid, int row,
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

/* Draws one line; returns the row after it. */
static int draw_line(struct top_pane *pane, const struct line *line, int row)
{
    pane->row = row;
    pane->column = TOP_VALUES;
    top_grid_put(pane->grid, row, TOP_LABELS, TOP_VALUES, TOP_LABEL,
                 line->label);
    line->draw(pane);
    if (pane->column == TOP_VALUES) /* nothing is known */
        top_grid_put(pane->grid, row, TOP_VALUES, pane->grid->width, TOP_FAINT,
                     "-");
    return row + (line->history ? pane->rows : 1);
}

void top_detail_pane(struct top_grid *grid, const struct top_model *model,
                     const struct top_process *process, bool plain, int row,
                     int end)
{
    struct top_pane pane = {grid, model, process, row, TOP_VALUES, 1};
    int room = end - row - 1, spare = room - PANE_COUNT;

    if (room < 2)
        return;
    pane.rows = 1 + (spare > 0 ? spare / HISTORY_COUNT : 0);
    if (pane.rows > HISTORY_ROWS)
        pane.rows = HISTORY_ROWS;
    top_detail_rule(grid, row++, &process->page);
    for (int i = 0; i < LINE_COUNT; i++)
        if (lines[i].rank != NEVER &&
            (plain ? !lines[i].history : lines[i].rank < room))
            row = draw_line(&pane, &lines[i], row);
}

/* ---- full screen ------------------------------------------------------------ */

/* From `row` on, which may be above the screen; returns the row after all of it. */
static int draw_all(struct top_pane *pane, int row)
{
    for (int i = 0; i < LINE_COUNT; i++) {
        if (lines[i].draw == top_map_line) {
            pane->row = row;
            row = top_map_draw(pane);
        } else if (!lines[i].history) {
            row = draw_line(pane, &lines[i], row);
        }
    }
    if (pane->process->page.action[0].name[0] != '\0') {
        pane->row = row + 1;
        row = top_ladder_draw(pane);
    }
    row++;
    for (int i = 0; i < LINE_COUNT; i++)
        if (lines[i].history)
            row = draw_line(pane, &lines[i], row);
    return row;
}

void top_detail_draw(struct top_grid *grid, const struct top_model *model,
                     struct top_state *state, int end)
{
    const struct top_process *process = top_table_selected(model, state);
    struct top_pane pane = {grid, model, process, 0, TOP_VALUES, 2};
    int lines_of_it;

    if (process == NULL) {
        top_grid_put(grid, 1, 1, grid->width, TOP_FAINT,
                     "no process; Escape goes back");
        return;
    }
    /* Twice: the first time without a row to draw to, to learn how much it is. */
    pane.rows = grid->height >= 40 ? 3 : 2;
    top_grid_clip(grid, 0, 0);
    lines_of_it = draw_all(&pane, 0);
    top_grid_clip(grid, 1, end);
    top_scroll(state, &state->scroll, lines_of_it, end - 1);
    draw_all(&pane, 1 - state->scroll);
    top_grid_clip(grid, 0, grid->height);
    top_detail_rule(grid, 0, &process->page);
}
