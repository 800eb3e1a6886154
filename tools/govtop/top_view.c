/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define VALUES 8 /* column where what follows a label starts */
#define PAGE_ROWS 10

/* ---- order and selection --------------------------------------------------- */

/* Fills order with indexes into model->process, as the table shows them. */
static void sort(const struct top_model *model, const struct top_state *state,
                 size_t order[TOP_PROCESSES])
{
    for (size_t i = 0; i < model->count; i++) {
        size_t at = i;

        while (at > 0 && top_column_compare(
                             state->sort, state->reverse, &model->process[i],
                             &model->process[order[at - 1]]) < 0) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

/* The row of the selected process. One that has ended leaves the first. */
static size_t selected_row(const struct top_model *model,
                           const struct top_state *state,
                           const size_t order[TOP_PROCESSES])
{
    for (size_t i = 0; i < model->count; i++)
        if (model->process[order[i]].page.pid == state->selected)
            return i;
    return 0;
}

static void move(struct top_state *state, const struct top_model *model,
                 int64_t by)
{
    size_t order[TOP_PROCESSES];
    int64_t row, last = (int64_t)model->count - 1;

    if (model->count == 0)
        return;
    sort(model, state, order);
    row = (int64_t)selected_row(model, state, order) + by;
    if (row > last)
        row = last;
    if (row < 0)
        row = 0;
    state->selected = model->process[order[row]].page.pid;
}

/* ---- keys ------------------------------------------------------------------ */

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

    top_columns_fit(state->width, widths);
    do
        column = (column + TOP_COLUMNS + by) % TOP_COLUMNS;
    while (widths[column] == 0 && column != (int)state->sort);
    state->sort = (enum top_column)column;
    state->reverse = false;
}

bool top_view_key(struct top_state *state, const struct top_model *model,
                  enum top_key key)
{
    bool help = state->help;

    state->help = false; /* any key closes it */
    switch (key) {
    case TOP_KEY_NONE:
        state->help = help;
        break;
    case TOP_KEY_UP:
        move(state, model, -1);
        break;
    case TOP_KEY_DOWN:
        move(state, model, 1);
        break;
    case TOP_KEY_PAGE_UP:
        move(state, model, -PAGE_ROWS);
        break;
    case TOP_KEY_PAGE_DOWN:
        move(state, model, PAGE_ROWS);
        break;
    case TOP_KEY_HOME:
        move(state, model, -TOP_PROCESSES);
        break;
    case TOP_KEY_END:
        move(state, model, TOP_PROCESSES);
        break;
    case TOP_KEY_SORT_NEXT:
        change_sort(state, 1);
        break;
    case TOP_KEY_SORT_PREVIOUS:
        change_sort(state, -1);
        break;
    case TOP_KEY_SORT_TURN:
        state->reverse = !state->reverse;
        break;
    case TOP_KEY_PAUSE:
        state->paused = !state->paused;
        break;
    case TOP_KEY_SLOWER:
        change_delay(state, 1);
        break;
    case TOP_KEY_FASTER:
        change_delay(state, -1);
        break;
    case TOP_KEY_HELP:
        state->help = !help;
        break;
    case TOP_KEY_QUIT:
        return help;
    }
    return true;
}

/* ---- header ---------------------------------------------------------------- */

static void draw_title(struct top_grid *grid, const struct top_model *model,
                       const struct top_state *state)
{
    size_t warn = 0, critical = 0;
    char delay[64];
    int column;

    for (size_t i = 0; i < model->count; i++) {
        uint64_t level = top_counter(&model->process[i].page, GOV_PAGE_LEVEL);

        if (level != TOP_UNKNOWN && level >= GOV_LEVEL_CRITICAL)
            critical++;
        else if (level != TOP_UNKNOWN && level >= GOV_LEVEL_WARN)
            warn++;
    }
    column = top_grid_put(grid, 0, 1, grid->width, TOP_TITLE, "govtop");
    column = top_grid_print(grid, 0, column + 2, TOP_PLAIN, "%zu governed %s",
                            model->count,
                            model->count == 1 ? "process" : "processes");
    if (critical > 0)
        column = top_grid_print(grid, 0, column + 2, TOP_BAD, "%zu critical",
                                critical);
    if (warn > 0)
        column =
            top_grid_print(grid, 0, column + 2, TOP_WARN, "%zu warn", warn);
    snprintf(delay, sizeof(delay), "every %" PRIu64 ".%" PRIu64 " s",
             state->delay_ms / 1000, state->delay_ms / 100 % 10);
    if (state->paused)
        snprintf(delay, sizeof(delay), "paused");
    if (!state->plain && column + 2 + (int)strlen(delay) < grid->width)
        top_grid_put_right(grid, 0, column + 2, grid->width - 1,
                           state->paused ? TOP_WARN : TOP_FAINT, delay);
}

/* Width of the bars and the sparkline of the header. */
static int bar_end(const struct top_grid *grid)
{
    int width = grid->width / (grid->width < 80 ? 5 : 3);

    return VALUES + (width > 40 ? 40 : width);
}

static int add(struct top_grid *grid, int row, int column, enum top_style style,
               const char *format, ...) GOV_PRINTF(5, 6);

/* Writes on from `column` if all of it fits, else nothing. ASCII only. */
static int add(struct top_grid *grid, int row, int column, enum top_style style,
               const char *format, ...)
{
    char text[64];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (column + (int)strlen(text) > grid->width)
        return column;
    return top_grid_put(grid, row, column, grid->width, style, text);
}

static void draw_ram(struct top_grid *grid, int row,
                     const struct gov_machine *machine)
{
    uint64_t total = machine->ram_bytes, left = machine->available_bytes;
    char a[TOP_NUMBER], b[TOP_NUMBER], c[TOP_NUMBER];
    int column;

    top_grid_put(grid, row, 1, VALUES, TOP_LABEL, "RAM");
    if ((machine->have & GOV_MACHINE_HAVE_RAM) == 0) {
        top_grid_bar(grid, row, VALUES, bar_end(grid), TOP_PLAIN, TOP_UNKNOWN);
        top_grid_put(grid, row, bar_end(grid) + 2, grid->width, TOP_FAINT, "?");
        return;
    }
    if (left > total)
        left = total;
    top_grid_bar(grid, row, VALUES, bar_end(grid), top_room_style(left, total),
                 top_permille(total - left, total));
    column =
        top_grid_print(grid, row, bar_end(grid) + 2, TOP_PLAIN, "%s of %s used",
                       top_bytes(a, total - left), top_bytes(b, total));
    add(grid, row, column, TOP_PLAIN, ", %s available", top_bytes(c, left));
}

static void draw_limit(struct top_grid *grid, int row,
                       const struct gov_machine *machine)
{
    uint64_t limit = machine->limit_bytes, used = machine->limit_used_bytes;
    uint64_t file = machine->limit_file_bytes;
    char a[TOP_NUMBER], b[TOP_NUMBER], c[TOP_NUMBER];
    uint64_t held = used > file ? used - file : 0;
    int column;

    top_grid_put(grid, row, 1, VALUES, TOP_LABEL, "limit");
    top_grid_bar(grid, row, VALUES, bar_end(grid),
                 top_room_style(limit > held ? limit - held : 0, limit),
                 top_permille(held, limit));
    column =
        top_grid_print(grid, row, bar_end(grid) + 2, TOP_PLAIN, "%s of %s used",
                       top_bytes(a, held), top_bytes(b, limit));
    column = add(grid, row, column, TOP_PLAIN, ", %s file pages",
                 top_bytes(c, file));
    top_grid_put(grid, row, column + 2, grid->width - 1, TOP_FAINT,
                 machine->limit_source);
}

static void draw_swap(struct top_grid *grid, int row,
                      const struct gov_machine *machine)
{
    uint64_t total = machine->swap_bytes, left = machine->swap_free_bytes;
    char a[TOP_NUMBER], b[TOP_NUMBER];

    if (left > total)
        left = total;
    top_grid_put(grid, row, 1, VALUES, TOP_LABEL, "swap");
    top_grid_bar(grid, row, VALUES, bar_end(grid), TOP_COOL,
                 top_permille(total - left, total));
    top_grid_print(grid, row, bar_end(grid) + 2, TOP_PLAIN, "%s of %s used",
                   top_bytes(a, total - left), top_bytes(b, total));
}

/* A history; in a frame that stands alone, a bar. */
static void draw_stall(struct top_grid *grid, int row,
                       const struct top_model *model, bool plain)
{
    const struct {
        const char *name;
        uint64_t permille;
    } figures[] = {{"some ", model->stall_some},
                   {"full ", model->stall_full},
                   {"storage ", model->stall_io}};
    char number[TOP_NUMBER];
    int column = bar_end(grid) + 2;

    top_grid_put(grid, row, 1, VALUES, TOP_LABEL, "stall");
    if (plain)
        top_grid_bar(grid, row, VALUES, bar_end(grid),
                     top_stall_style(model->stall_some), model->stall_some);
    else
        top_grid_fill(grid, row, VALUES, bar_end(grid), TOP_FAINT,
                      top_grid_symbol(grid, TOP_NO_VALUE));
    for (int i = 0; i < bar_end(grid) - VALUES && !plain; i++) {
        uint64_t value = top_series_at(&model->stall, (uint32_t)i);

        top_grid_spark(grid, row, bar_end(grid) - 1 - i, 1,
                       top_stall_style(value),
                       top_permille(value, TOP_STALL_FULL));
    }
    for (int i = 0; i < 3; i++) {
        top_percent(number, figures[i].permille);
        if (column + (int)(strlen(figures[i].name) + strlen(number)) >
            grid->width)
            return;
        column = add(grid, row, column, TOP_FAINT, "%s", figures[i].name);
        column = add(grid, row, column, top_stall_style(figures[i].permille),
                     "%s", number) +
                 2;
    }
    if (model->machine.stall_source[0] != '\0')
        add(grid, row, column, TOP_FAINT, "(%s)", model->machine.stall_source);
}

/* Draws what is known of the machine; returns the row after it. With `draw`
 * false it only counts. */
static int header(struct top_grid *grid, const struct top_model *model,
                  const struct top_state *state, bool draw)
{
    const uint32_t stalls = GOV_MACHINE_HAVE_STALL | GOV_MACHINE_HAVE_IO_STALL;
    uint32_t have = model->machine.have;
    int row = 1;

    if (draw)
        draw_title(grid, model, state);
    if (draw)
        draw_ram(grid, row, &model->machine);
    row++;
    if ((have & GOV_MACHINE_HAVE_LIMIT) != 0) {
        if (draw)
            draw_limit(grid, row, &model->machine);
        row++;
    }
    if ((have & GOV_MACHINE_HAVE_SWAP) != 0) {
        if (draw)
            draw_swap(grid, row, &model->machine);
        row++;
    }
    if ((have & stalls) != 0) {
        if (draw)
            draw_stall(grid, row, model, state->plain);
        row++;
    }
    return row;
}

/* ---- table ----------------------------------------------------------------- */

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
        style = top_column_cell((enum top_column)c, process, text);
        if (top_is_stale(process))
            style = TOP_FAINT;
        if (top_column_is_right((enum top_column)c))
            top_grid_put_right(grid, row, at, at + widths[c], style, text);
        else
            top_grid_put(grid, row, at, at + widths[c], style, text);
        at += widths[c] + gap;
    }
}

/* Says in the middle of the rows why there is no table. */
static void draw_notice(struct top_grid *grid, const struct top_state *state,
                        int row, int end)
{
    static const char empty[] =
        "no governed process; start one with gov run MODEL --prompt TEXT";
    const char *text = state->problem[0] != '\0' ? state->problem : empty;
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

static void draw_table(struct top_grid *grid, const struct top_model *model,
                       struct top_state *state, int row, int rows)
{
    size_t order[TOP_PROCESSES], chosen, shown = (size_t)(rows - 1);
    int widths[TOP_COLUMNS], gap = top_columns_fit(grid->width, widths);

    sort(model, state, order);
    chosen = selected_row(model, state, order);
    if (state->first + shown > model->count)
        state->first = model->count > shown ? model->count - shown : 0;
    if (chosen < state->first)
        state->first = chosen;
    if (chosen >= state->first + shown)
        state->first = chosen - shown + 1;
    draw_heads(grid, row, state, widths, gap);
    for (size_t i = 0; i < shown && state->first + i < model->count; i++) {
        int at = row + 1 + (int)i;

        draw_process(grid, at, &model->process[order[state->first + i]], widths,
                     gap);
        if (state->first + i == chosen && !state->plain)
            top_grid_select(grid, at);
    }
}

/* ---- keys and help --------------------------------------------------------- */

static void draw_keys(struct top_grid *grid, int row)
{
    static const struct {
        const char *key, *text;
    } keys[] = {{"F1", "Help"},     {"F6", "Sort"},   {"I", "Turn"},
                {"Space", "Pause"}, {"+ -", "Delay"}, {"F10", "Quit"}};
    int column = 1;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        column = top_grid_put(grid, row, column, grid->width, TOP_TITLE,
                              keys[i].key);
        column = top_grid_put(grid, row, column + 1, grid->width, TOP_FAINT,
                              keys[i].text) +
                 2;
    }
}

static void draw_help(struct top_grid *grid)
{
    static const struct {
        const char *key, *text;
    } keys[] = {
        {"Up Down", "select; also k j, PgUp PgDn, Home End"},
        {"F6 > <", "sort by the next or the previous column"},
        {"I", "turn the order around"},
        {"Space p", "pause"},
        {"+ -", "more or less time between two samples"},
        {"F1 h ?", "this help; any key closes it"},
        {"F10 q", "quit"},
    };
    const int count = (int)(sizeof(keys) / sizeof(keys[0]));
    /* Beside each other where a terminal is low. */
    bool beside = grid->height < count + TOP_COLUMNS + 3 && grid->width >= 110;
    int row = 0, column;

    column = top_grid_put(grid, row, 1, grid->width, TOP_TITLE, "govtop");
    top_grid_put(grid, row, column + 3, grid->width, TOP_FAINT,
                 "- is unknown, which is not zero");
    row = 2;
    column = 1;
    for (int i = 0; i < count; i++, row++) {
        top_grid_put(grid, row, column, grid->width, TOP_LABEL, keys[i].key);
        top_grid_put(grid, row, column + 10, grid->width, TOP_PLAIN,
                     keys[i].text);
    }
    row = beside ? 2 : row + 1;
    column = beside ? 52 : 1;
    for (int c = 0; c < TOP_COLUMNS && row < grid->height; c++, row++) {
        top_grid_put(grid, row, column, grid->width, TOP_HEAD,
                     top_column_title((enum top_column)c));
        top_grid_put(grid, row, column + 13, grid->width, TOP_PLAIN,
                     top_column_sentence((enum top_column)c));
    }
}

/* ---- frame ----------------------------------------------------------------- */

/* Splits rows between table and detail; both get what they need when there is
 * room, else the table keeps a third. */
static int table_rows(int rows, int processes, bool plain)
{
    int wanted = processes + 1, least = rows / 3 > 3 ? rows / 3 : 3;
    int table = rows - top_detail_height(plain);

    if (table > wanted)
        table = wanted;
    if (table < least)
        table = least < wanted ? least : wanted;
    return table;
}

int top_view_height(const struct top_model *model,
                    const struct top_state *state)
{
    int rows = header(NULL, model, state, false);

    if (model->count == 0)
        return rows + 3;
    return rows + 1 + 1 + (int)model->count + 1 +
           top_detail_height(state->plain);
}

void top_view_draw(struct top_grid *grid, const struct top_model *model,
                   struct top_state *state)
{
    int row, end = grid->height - (state->plain ? 0 : 1), table;
    size_t order[TOP_PROCESSES];

    state->width = grid->width;
    if (grid->width < TOP_LEAST_WIDTH ||
        (grid->height < TOP_LEAST_HEIGHT && !state->plain)) {
        top_grid_print(grid, 0, 0, TOP_PLAIN, "govtop needs %dx%d,",
                       TOP_LEAST_WIDTH, TOP_LEAST_HEIGHT);
        top_grid_print(grid, 1, 0, TOP_PLAIN, "this is %dx%d", grid->width,
                       grid->height);
        return;
    }
    if (state->help) {
        draw_help(grid);
        return;
    }
    row = header(grid, model, state, true);
    if (!state->plain)
        draw_keys(grid, end);
    if (model->count == 0 || state->problem[0] != '\0') {
        draw_notice(grid, state, row, end);
        return;
    }
    if (state->plain || grid->height >= 20)
        row++;
    table = table_rows(end - row, (int)model->count, state->plain);
    draw_table(grid, model, state, row, table);
    row += table;
    if (end - row > top_detail_height(state->plain))
        row++;
    sort(model, state, order);
    top_detail_draw(grid, model,
                    &model->process[order[selected_row(model, state, order)]],
                    state->plain, row, end);
}
