/* SPDX-License-Identifier: MIT */
/* A frame: what of the parts is shown, and where. */
#include "tools/govtop/top_view.h"

#include <string.h>

#include "tools/govtop/top_parts.h"

/* Says in the middle of the rows why there is no table. */
static void draw_notice(struct top_grid *grid, const struct top_state *state,
                        int row, int end)
{
    static const char empty[] =
        "no governed process; start one with gov run MODEL --prompt TEXT";
    static const char hidden[] =
        "no row has the text of the filter; Escape clears it";
    const char *text = state->problem[0] != '\0'  ? state->problem
                       : state->filter[0] != '\0' ? hidden
                                                  : empty;
    enum top_style style = state->problem[0] != '\0' ? TOP_BAD : TOP_PLAIN;
    int width = grid->width - 4, lines;
    int length = (int)strlen(text);

    lines = (length + width - 1) / width;
    row += (end - row - lines) / 2;
    /* Broken between words where it is too long. */
    while (*text != '\0') {
        int take = (int)strlen(text);

        if (take > width) {
            take = width;
            while (take > 0 && text[take] != ' ')
                take--;
            if (take == 0)
                take = width;
        }
        top_grid_print(grid, row++, lines > 1 ? 2 : (grid->width - take) / 2,
                       style, "%.*s", take, text);
        text += take;
        while (*text == ' ')
            text++;
    }
}

/* ---- the line at the bottom ------------------------------------------------- */

struct hint {
    const char *key, *text;
    int least; /* width of a terminal that has room for it */
};

static void draw_hints(struct top_grid *grid, int row, const struct hint *hints,
                       size_t count, int gap)
{
    int column = 1;

    for (size_t i = 0; i < count; i++) {
        if (grid->width < hints[i].least)
            continue;
        column = top_grid_put(grid, row, column, grid->width, TOP_TITLE,
                              hints[i].key);
        column = top_grid_put(grid, row, column + gap, grid->width, TOP_FAINT,
                              hints[i].text) +
                 1 + (grid->width >= 90 ? 1 : 0);
    }
}

static void draw_bottom(struct top_grid *grid, int row,
                        const struct top_model *model,
                        const struct top_state *state)
{
    static const struct hint table[] = {
        {"F1", "Help", 0},       {"F3", "Find", 0},     {"F4", "Filter", 0},
        {"F5", "Detail", 0},     {"F6", "Sort", 0},     {"F7", "Log", 0},
        {"F9", "Tell", 0},       {"u", "Others", 80},   {"I", "Turn", 110},
        {"Space", "Pause", 120}, {"+ -", "Delay", 130}, {"F10", "Quit", 0},
    };
    static const struct hint views[] = {
        {"Esc", "Back", 0},    {"Up Down", "Scroll", 0}, {"F1", "Help", 0},
        {"F7", "Log", 0},      {"F9", "Tell", 0},        {"Space", "Pause", 80},
        {"+ -", "Delay", 100}, {"F10", "Quit", 0},
    };

    if (state->over == TOP_SEARCH || state->over == TOP_FILTER ||
        state->over == TOP_RELIEVE)
        top_prompt_draw(grid, model, state, row);
    else if (state->status[0] != '\0')
        top_grid_put(grid, row, 1, grid->width - 1,
                     state->status_bad ? TOP_BAD : TOP_GOOD, state->status);
    else if (state->over == TOP_SORT_MENU || state->over == TOP_COMMAND_MENU)
        top_grid_put(grid, row, 1, grid->width, TOP_FAINT,
                     "Up and Down choose, Enter takes it, Escape closes");
    else if (state->screen == TOP_TABLE)
        /* Key and word touch where that saves the rest. */
        draw_hints(grid, row, table, sizeof(table) / sizeof(table[0]),
                   grid->width >= 80 ? 1 : 0);
    else
        draw_hints(grid, row, views, sizeof(views) / sizeof(views[0]), 1);
}

/* ---- frame ------------------------------------------------------------------ */

/* Splits rows between table and detail; both get what they need when there is
 * room, else the table keeps a third. */
static int table_rows(int rows, int processes, bool plain)
{
    int wanted = processes + 1, least = rows / 3 > 3 ? rows / 3 : 3;
    int table = rows - top_detail_pane_height(plain);

    if (table > wanted)
        table = wanted;
    if (table < least)
        table = least < wanted ? least : wanted;
    return table;
}

int top_view_height(const struct top_model *model,
                    const struct top_state *state)
{
    int pane = top_detail_pane_height(state->plain);
    int rows = top_head_draw(NULL, 1000, model, state);

    if (model->count == 0)
        return rows + 3;
    return rows + 1 + 1 + (int)model->count + 1 + pane;
}

/* Returns the row after the head, below which menus open. */
static int draw_main(struct top_grid *grid, const struct top_model *model,
                     struct top_state *state, int end)
{
    const struct top_process *selected = top_table_selected(model, state);
    int row =
        top_head_draw(grid, state->plain ? 1000 : grid->height, model, state);
    int head = row, table;
    size_t order[TOP_ROWS], shown = top_table_order(model, state, order);

    if (selected == NULL || state->problem[0] != '\0') {
        draw_notice(grid, state, row, end);
        return head;
    }
    if (state->plain || grid->height >= 20)
        row++;
    table = table_rows(end - row, (int)shown, state->plain);
    top_table_draw(grid, model, state, row, table);
    row += table;
    if (end - row > top_detail_pane_height(state->plain))
        row++;
    top_detail_pane(grid, model, selected, state->plain, row, end);
    return head;
}

void top_view_draw(struct top_grid *grid, const struct top_model *model,
                   struct top_state *state)
{
    int end = grid->height - (state->plain ? 0 : 1), head = 1;

    state->width = grid->width;
    if (grid->width < TOP_LEAST_WIDTH ||
        (grid->height < TOP_LEAST_HEIGHT && !state->plain)) {
        top_grid_print(grid, 0, 0, TOP_PLAIN, "govtop needs %dx%d,",
                       TOP_LEAST_WIDTH, TOP_LEAST_HEIGHT);
        top_grid_print(grid, 1, 0, TOP_PLAIN, "this is %dx%d", grid->width,
                       grid->height);
        return;
    }
    if (state->over == TOP_HELP) {
        top_help_draw(grid, state);
        return;
    }
    if (state->screen == TOP_DETAIL)
        top_detail_draw(grid, model, state, end);
    else if (state->screen == TOP_LOG)
        top_log_draw(grid, model, state, end);
    else
        head = draw_main(grid, model, state, end);
    if (state->plain)
        return;
    draw_bottom(grid, end, model, state);
    if (state->over == TOP_SORT_MENU || state->over == TOP_COMMAND_MENU)
        top_menu_draw(grid, model, state, head, end);
}
