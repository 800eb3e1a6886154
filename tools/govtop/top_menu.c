/* SPDX-License-Identifier: MIT */
/* Menus over the table: by which column to sort, and what to tell the selected
 * process. */
#include "tools/govtop/top_parts.h"

#include <string.h>

#define SIMULATED_MS 10000

static const struct {
    char key; /* chooses it, too */
    const char *text;
    enum top_order_kind kind;
    gov_level level;
} commands[] = {
    {'w', "w  simulate warn for 10 s", TOP_SIMULATE, GOV_LEVEL_WARN},
    {'c', "c  simulate critical for 10 s", TOP_SIMULATE, GOV_LEVEL_CRITICAL},
    {'e', "e  end the simulation", TOP_SIMULATE_END, GOV_LEVEL_NORMAL},
    {'r', "r  give memory back ...", TOP_GIVE, GOV_LEVEL_NORMAL},
};

#define COMMANDS ((int)(sizeof(commands) / sizeof(commands[0])))

static int count_of(enum top_over menu)
{
    return menu == TOP_SORT_MENU ? TOP_COLUMNS : COMMANDS;
}

void top_menu_open(struct top_state *state, const struct top_model *model,
                   enum top_over menu)
{
    const struct top_process *process = top_table_selected(model, state);

    if (menu == TOP_COMMAND_MENU) {
        if (process == NULL) {
            top_say(state, true, "there is no process to tell anything");
            return;
        }
        if (!process->governed) {
            top_say(state, true,
                    "%d is not governed: only governed processes take commands",
                    (int)process->page.pid);
            return;
        }
        /* Who ends meanwhile must not leave the command to another one. */
        state->selected = process->page.pid;
    }
    state->over = menu;
    state->chosen = menu == TOP_SORT_MENU ? (int)state->sort : 0;
}

static void run_command(struct top_state *state, int chosen)
{
    if (commands[chosen].kind == TOP_GIVE) {
        top_prompt_open(state, TOP_RELIEVE);
        return;
    }
    state->order = (struct top_order){commands[chosen].kind, state->selected,
                                      commands[chosen].level, SIMULATED_MS, 0};
}

static void choose(struct top_state *state, int chosen)
{
    enum top_over menu = state->over;

    state->over = TOP_NOTHING;
    if (menu == TOP_COMMAND_MENU) {
        run_command(state, chosen);
        return;
    }
    /* The same once more turns the order, as a click on a head would. */
    state->reverse = chosen == (int)state->sort && !state->reverse;
    state->sort = (enum top_column)chosen;
}

void top_menu_key(struct top_state *state, const struct top_model *model,
                  uint32_t key)
{
    int last = count_of(state->over) - 1;

    (void)model;
    if (key == TOP_KEY_NONE)
        return;
    if (state->chosen > last)
        state->chosen = last;
    if (key == TOP_KEY_UP || key == 'k')
        state->chosen = state->chosen > 0 ? state->chosen - 1 : last;
    else if (key == TOP_KEY_DOWN || key == 'j')
        state->chosen = state->chosen < last ? state->chosen + 1 : 0;
    else if (key == TOP_KEY_HOME || key == TOP_KEY_PAGE_UP)
        state->chosen = 0;
    else if (key == TOP_KEY_END || key == TOP_KEY_PAGE_DOWN)
        state->chosen = last;
    else if (key == TOP_KEY_ENTER)
        choose(state, state->chosen);
    else if (key == TOP_KEY_ESCAPE || key == 'q' || key == TOP_KEY_F + 10)
        state->over = TOP_NOTHING;
    else if (state->over == TOP_COMMAND_MENU)
        for (int i = 0; i < COMMANDS; i++)
            if (key == (uint32_t)commands[i].key)
                choose(state, i);
}

/* ---- drawing ---------------------------------------------------------------- */

static void draw_item(struct top_grid *grid, enum top_over menu, int item,
                      int row, int column, int end)
{
    if (menu == TOP_COMMAND_MENU) {
        top_grid_put(grid, row, column, end, TOP_PLAIN, commands[item].text);
        return;
    }
    top_grid_put(grid, row, column, end, TOP_STRONG,
                 top_column_title((enum top_column)item));
    top_grid_put(grid, row, column + 13, end, TOP_FAINT,
                 top_column_sentence((enum top_column)item));
}

void top_menu_draw(struct top_grid *grid, const struct top_model *model,
                   const struct top_state *state, int row, int end)
{
    bool sorts = state->over == TOP_SORT_MENU;
    const struct top_process *process = top_table_selected(model, state);
    int count = count_of(state->over), width = sorts ? 56 : 44, first = 0;
    int height = count + 2 < end - row ? count + 2 : end - row;
    int chosen = state->chosen < count ? state->chosen : count - 1;
    char title[64] = "sort by";

    /* Where it has ended another row is selected. */
    if (!sorts)
        snprintf(title, sizeof(title), "tell %d %s", (int)state->selected,
                 process != NULL && process->page.pid == state->selected
                     ? process->page.text_APP
                     : "(ended)");
    top_grid_box(grid, row, 2, height, width, title);
    if (chosen > height - 3)
        first = chosen - (height - 3);
    for (int i = 0; i < height - 2; i++) {
        draw_item(grid, state->over, first + i, row + 1 + i, 4, width);
        if (first + i == chosen)
            top_grid_select(grid, row + 1 + i, 3, width + 1);
    }
    /* Without colours the selection must show, too. */
    top_grid_put(grid, row + 1 + chosen - first, 3, 4, TOP_TITLE, ">");
}
