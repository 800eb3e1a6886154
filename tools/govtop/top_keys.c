/* SPDX-License-Identifier: MIT */
/* What keys do. Whatever lies over the screen takes them first, then what fills
 * it; what is left is the same everywhere. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/govtop/top_parts.h"

#define PAGE_ROWS 10
#define F(n) ((uint32_t)TOP_KEY_F + (n))

void top_say(struct top_state *state, bool bad, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(state->status, sizeof(state->status), format, args);
    va_end(args);
    state->status_bad = bad;
}

void top_scroll(struct top_state *state, int *scroll, int lines, int room)
{
    state->scroll_most = lines > room ? lines - room : 0;
    state->page = room > 2 ? room - 2 : 1;
    if (*scroll > state->scroll_most)
        *scroll = state->scroll_most;
    if (*scroll < 0)
        *scroll = 0;
}

static void change_delay(struct top_state *state, int by)
{
    static const uint64_t delays[] = {100,  200,  500,   1000,
                                      2000, 5000, 10000, 60000};
    const int count = (int)(sizeof(delays) / sizeof(delays[0]));

    if (by > 0) {
        for (int i = 0; i < count; i++)
            if (delays[i] > state->delay_ms) {
                state->delay_ms = delays[i];
                return;
            }
        return;
    }
    for (int i = count - 1; i >= 0; i--)
        if (delays[i] < state->delay_ms) {
            state->delay_ms = delays[i];
            return;
        }
}

/* To the next column that is shown. */
static void change_sort(struct top_state *state, int by)
{
    int widths[TOP_COLUMNS], column = (int)state->sort;

    top_columns_fit(state->width, state->others, widths);
    do
        column = (column + TOP_COLUMNS + by) % TOP_COLUMNS;
    while (widths[column] == 0 && column != (int)state->sort);
    state->sort = (enum top_column)column;
    state->reverse = false;
}

static void sort_by(struct top_state *state, enum top_column column)
{
    state->sort = column;
    state->reverse = false;
}

/* How far a key goes in a list or a text whose page has so many lines; 0: it is
 * no such key. */
static int distance_of(uint32_t key, int page, int far)
{
    switch (key) {
    case TOP_KEY_UP:
    case 'k':
        return -1;
    case TOP_KEY_DOWN:
    case 'j':
        return 1;
    case TOP_KEY_PAGE_UP:
        return -page;
    case TOP_KEY_PAGE_DOWN:
        return page;
    case TOP_KEY_HOME:
        return -far;
    case TOP_KEY_END:
        return far;
    default:
        return 0;
    }
}

static bool scroll_key(struct top_state *state, int *scroll, uint32_t key)
{
    int by = distance_of(key, state->page, state->scroll_most);

    *scroll += by;
    if (*scroll > state->scroll_most)
        *scroll = state->scroll_most;
    if (*scroll < 0)
        *scroll = 0;
    return by != 0 || (state->scroll_most == 0 && distance_of(key, 1, 1) != 0);
}

static void show(struct top_state *state, enum top_screen screen)
{
    state->screen = state->screen == screen ? TOP_TABLE : screen;
    state->scroll = 0;
}

/* ---- by where --------------------------------------------------------------- */

/* Keys that only the table has; false: it is none of them. */
static bool table_key(struct top_state *state, const struct top_model *model,
                      uint32_t key)
{
    int by = distance_of(key, PAGE_ROWS, TOP_ROWS);

    if (by != 0) {
        top_table_move(state, model, by);
        return true;
    }
    switch (key) {
    case F(6):
        top_menu_open(state, model, TOP_SORT_MENU);
        return true;
    case '>':
    case '.':
        change_sort(state, 1);
        return true;
    case '<':
    case ',':
        change_sort(state, -1);
        return true;
    case 'I':
    case 'i':
        state->reverse = !state->reverse;
        return true;
    case 'M':
        sort_by(state, TOP_FOOTPRINT);
        return true;
    case 'P':
        sort_by(state, TOP_TOKENS);
        return true;
    case 'T':
        sort_by(state, TOP_WAIT);
        return true;
    case F(3):
    case '/':
        top_prompt_open(state, TOP_SEARCH);
        return true;
    default:
        return false;
    }
}

/* Escape goes back by one: from a view, then from the filter. */
static void go_back(struct top_state *state)
{
    if (state->screen != TOP_TABLE)
        show(state, TOP_TABLE);
    else
        state->filter[0] = '\0';
}

/* Keys that do the same in every view; false: the key ends the program. */
static bool common_key(struct top_state *state, const struct top_model *model,
                       uint32_t key)
{
    switch (key) {
    case F(5):
    case TOP_KEY_ENTER:
        show(state, TOP_DETAIL);
        break;
    case F(7):
    case 'l':
        show(state, TOP_LOG);
        break;
    case F(4):
    case '\\':
        top_prompt_open(state, TOP_FILTER);
        break;
    case F(9):
        top_menu_open(state, model, TOP_COMMAND_MENU);
        break;
    case 'u':
        state->others = !state->others;
        break;
    case ' ':
    case 'p':
        state->paused = !state->paused;
        break;
    case '+':
    case '=': /* + without shift */
        change_delay(state, 1);
        break;
    case '-':
        change_delay(state, -1);
        break;
    case F(1):
    case 'h':
    case '?':
        state->over = TOP_HELP;
        state->help_scroll = 0;
        break;
    case TOP_KEY_ESCAPE:
        go_back(state);
        break;
    case F(10):
    case 'q':
        return false;
    default:
        break;
    }
    return true;
}

bool top_view_key(struct top_state *state, const struct top_model *model,
                  uint32_t key)
{
    if (key == TOP_KEY_NONE)
        return true;
    state->status[0] = '\0';
    switch (state->over) {
    case TOP_HELP:
        if (!scroll_key(state, &state->help_scroll, key))
            state->over = TOP_NOTHING;
        return true;
    case TOP_SORT_MENU:
    case TOP_COMMAND_MENU:
        top_menu_key(state, model, key);
        return true;
    case TOP_SEARCH:
    case TOP_FILTER:
    case TOP_RELIEVE:
        top_prompt_key(state, model, key);
        return true;
    case TOP_NOTHING:
        break;
    }
    if (state->screen == TOP_TABLE && table_key(state, model, key))
        return true;
    if (state->screen != TOP_TABLE && scroll_key(state, &state->scroll, key))
        return true;
    return common_key(state, model, key);
}
