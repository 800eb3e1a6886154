/* SPDX-License-Identifier: MIT */
/* The table: which processes it shows, in what order, and which is selected. */
#include "tools/govtop/top_parts.h"

#include <string.h>

/* ---- what is shown ---------------------------------------------------------- */

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* Letters of ASCII in either case are the same. */
static bool contains(const char *text, const char *part)
{
    for (; *text != '\0'; text++) {
        size_t n = 0;

        while (part[n] != '\0' && lower(text[n]) == lower(part[n]))
            n++;
        if (part[n] == '\0')
            return true;
    }
    return part[0] == '\0';
}

bool top_table_matches(const struct top_process *process, const char *text)
{
    char pid[TOP_NUMBER];

    snprintf(pid, sizeof(pid), "%d", (int)process->page.pid);
    return contains(process->page.text_APP, text) ||
           contains(process->page.text_MODEL, text) ||
           contains(process->page.text_ENGINE, text) || contains(pid, text);
}

size_t top_table_order(const struct top_model *model,
                       const struct top_state *state, size_t order[TOP_ROWS])
{
    size_t count = 0;

    for (size_t i = 0; i < model->count; i++) {
        const struct top_process *process = &model->process[i];
        size_t at = count;

        if ((!process->governed && !state->others) ||
            !top_table_matches(process, state->filter))
            continue;
        while (at > 0 &&
               top_column_compare(state->sort, state->reverse, process,
                                  &model->process[order[at - 1]]) < 0) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
        count++;
    }
    return count;
}

/* ---- selection -------------------------------------------------------------- */

static size_t selected_row(const struct top_model *model,
                           const struct top_state *state, const size_t *order,
                           size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (model->process[order[i]].page.pid == state->selected)
            return i;
    return 0;
}

const struct top_process *top_table_selected(const struct top_model *model,
                                             const struct top_state *state)
{
    size_t order[TOP_ROWS], count = top_table_order(model, state, order);

    if (count == 0)
        return NULL;
    return &model->process[order[selected_row(model, state, order, count)]];
}

void top_table_move(struct top_state *state, const struct top_model *model,
                    int64_t by)
{
    size_t order[TOP_ROWS], count = top_table_order(model, state, order);
    int64_t row, last = (int64_t)count - 1;

    if (count == 0)
        return;
    row = (int64_t)selected_row(model, state, order, count) + by;
    if (row > last)
        row = last;
    if (row < 0)
        row = 0;
    state->selected = model->process[order[row]].page.pid;
}

bool top_table_find(struct top_state *state, const struct top_model *model,
                    const char *text, size_t on)
{
    size_t order[TOP_ROWS], count = top_table_order(model, state, order);
    size_t from = selected_row(model, state, order, count) + on;

    for (size_t i = 0; i < count; i++) {
        const struct top_process *process =
            &model->process[order[(from + i) % count]];

        if (!top_table_matches(process, text))
            continue;
        state->selected = process->page.pid;
        return true;
    }
    return false;
}

/* ---- drawing ---------------------------------------------------------------- */

static void draw_heads(struct top_grid *grid, int row,
                       const struct top_state *state,
                       const int widths[TOP_COLUMNS], int gap)
{
    int at = 1;

    for (int c = 0; c < TOP_COLUMNS; c++) {
        char title[32], mark[5] = "";

        if (widths[c] == 0)
            continue;
        if ((int)state->sort == c && !state->plain)
            top_encode(mark,
                       top_grid_symbol(grid, state->reverse ? TOP_SORT_UP
                                                            : TOP_SORT_DOWN));
        snprintf(title, sizeof(title), "%s",
                 top_column_title((enum top_column)c));
        if (top_column_is_right((enum top_column)c)) {
            top_grid_put_right(grid, row, at, at + widths[c], TOP_HEAD, title);
            /* Into the gap on its left, so that no head is wider for it. */
            top_grid_put(grid, row, at + widths[c] - (int)strlen(title) - 1,
                         at + widths[c] - (int)strlen(title), TOP_TITLE, mark);
        } else {
            top_grid_put(grid, row, at, at + widths[c], TOP_HEAD, title);
            top_grid_put(grid, row, at + (int)strlen(title),
                         at + (int)strlen(title) + 1, TOP_TITLE, mark);
        }
        at += widths[c] + gap;
    }
}

static enum top_style line_style(enum top_column column,
                                 const struct top_process *process,
                                 uint64_t value)
{
    uint64_t budget = top_counter(&process->page, GOV_PAGE_BUDGET);

    if (!process->governed)
        return TOP_FAINT;
    if (column == TOP_STALL_LINE)
        return top_stall_style(value);
    if (budget == TOP_UNKNOWN)
        return TOP_COOL;
    return top_room_style(value < budget ? budget - value : 0, budget);
}

/* A small history; false for a column of text. */
static bool draw_line(struct top_grid *grid, int row, int at, int width,
                      enum top_column column, const struct top_process *process)
{
    uint64_t full;
    const struct top_series *line = top_column_line(column, process, &full);

    if (line == NULL)
        return false;
    for (int i = 0; i < width; i++) {
        uint64_t value = top_series_at(line, (uint32_t)i);

        top_grid_spark(grid, row, at + width - 1 - i, 1,
                       line_style(column, process, value),
                       top_permille(value, full));
    }
    if (top_series_peak(line, (uint32_t)width) == TOP_UNKNOWN)
        top_grid_put(grid, row, at, at + width, TOP_FAINT, "-");
    return true;
}

static void draw_process(struct top_grid *grid, int row,
                         const struct top_process *process,
                         const int widths[TOP_COLUMNS], int gap)
{
    int at = 1;

    for (int c = 0; c < TOP_COLUMNS; c++) {
        char text[TOP_CELL_BYTES];
        enum top_style style;

        if (widths[c] == 0)
            continue;
        if (draw_line(grid, row, at, widths[c], (enum top_column)c, process)) {
            at += widths[c] + gap;
            continue;
        }
        style = top_column_cell((enum top_column)c, process, text);
        if (top_is_stale(process) || !process->governed)
            style = TOP_FAINT;
        if (top_column_is_right((enum top_column)c))
            top_grid_put_right(grid, row, at, at + widths[c], style, text);
        else
            top_grid_put(grid, row, at, at + widths[c], style, text);
        at += widths[c] + gap;
    }
}

void top_table_draw(struct top_grid *grid, const struct top_model *model,
                    struct top_state *state, int row, int rows)
{
    size_t order[TOP_ROWS], count = top_table_order(model, state, order);
    size_t chosen = selected_row(model, state, order, count);
    size_t shown = (size_t)(rows - 1);
    int widths[TOP_COLUMNS], gap;

    gap = top_columns_fit(grid->width, state->others, widths);
    if (state->first + shown > count)
        state->first = count > shown ? count - shown : 0;
    if (chosen < state->first)
        state->first = chosen;
    if (chosen >= state->first + shown)
        state->first = chosen - shown + 1;
    draw_heads(grid, row, state, widths, gap);
    for (size_t i = 0; i < shown && state->first + i < count; i++) {
        int at = row + 1 + (int)i;

        draw_process(grid, at, &model->process[order[state->first + i]], widths,
                     gap);
        if (state->first + i == chosen && !state->plain)
            top_grid_select(grid, at, 0, grid->width);
    }
}
