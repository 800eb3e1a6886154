/* SPDX-License-Identifier: MIT */
/* The lines at the top: what there is, how the machine does, and the process that
 * is worst off. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "tools/govtop/top_parts.h"

#define VALUES 8 /* column where what follows a label starts */
/* From so many rows on there is room for a second line about the worst off. */
#define TALL 28

/* What is shown, and what is not. */
static int put_counts(struct top_grid *grid, const struct top_model *model,
                      const struct top_state *state, int column)
{
    size_t order[TOP_ROWS], shown = top_table_order(model, state, order);
    size_t others = state->others ? model->count - model->governed : 0;
    size_t hidden = model->governed + others - shown;

    column = top_grid_print(grid, 0, column, TOP_PLAIN, "%zu governed %s",
                            model->governed,
                            model->governed == 1 ? "process" : "processes");
    if (others > 0)
        column = top_grid_print(grid, 0, column, TOP_FAINT, ", %zu other%s",
                                others, others == 1 ? "" : "s");
    if (hidden > 0)
        column =
            top_grid_print(grid, 0, column, TOP_WARN, ", %zu hidden", hidden);
    return column;
}

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
    column = put_counts(grid, model, state, column + 2);
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

static void draw_gpu(struct top_grid *grid, int row,
                     const struct top_model *model)
{
    char number[TOP_NUMBER];
    int column;

    top_grid_put(grid, row, 1, VALUES, TOP_LABEL, "GPU");
    column =
        top_grid_print(grid, row, VALUES, TOP_PLAIN, "%s", model->gpu.name);
    add(grid, row, column, TOP_FAINT, ", %s may be used at once",
        top_bytes(number, model->gpu.working_set_bytes));
}

/* ---- who is worst off ------------------------------------------------------- */

static bool is_worse(const struct top_process *a, const struct top_process *b)
{
    uint64_t level_a = top_counter(&a->page, GOV_PAGE_LEVEL);
    uint64_t level_b = top_counter(&b->page, GOV_PAGE_LEVEL);

    uint64_t left_a = top_counter(&a->page, GOV_PAGE_HEADROOM);
    uint64_t left_b = top_counter(&b->page, GOV_PAGE_HEADROOM);
    uint64_t share_a =
        top_permille(left_a, top_counter(&a->page, GOV_PAGE_BUDGET));
    uint64_t share_b =
        top_permille(left_b, top_counter(&b->page, GOV_PAGE_BUDGET));

    if (level_a != level_b)
        return level_a > level_b;
    return share_a != share_b ? share_a < share_b : left_a < left_b;
}

/* The process under the highest level, of these the one with the least headroom
 * in proportion. NULL: none has told. */
static const struct top_process *worst_off(const struct top_model *model)
{
    const struct top_process *worst = NULL;

    for (size_t i = 0; i < model->count; i++) {
        const struct top_process *process = &model->process[i];

        if (top_counter(&process->page, GOV_PAGE_LEVEL) == TOP_UNKNOWN)
            continue;
        if (worst == NULL || is_worse(process, worst))
            worst = process;
    }
    return worst;
}

static void draw_worst(struct top_grid *grid, int row,
                       const struct top_process *worst)
{
    const struct gov_page *page = &worst->page;
    uint64_t level = top_counter(page, GOV_PAGE_LEVEL);
    char dash[5];
    int column;

    top_encode(dash, top_grid_symbol(grid, TOP_DASH));
    top_grid_put(grid, row, 1, VALUES, TOP_LABEL, "worst");
    column = top_grid_put(grid, row, VALUES, grid->width,
                          top_level_style(level), top_level_text(level));
    column = top_grid_print(grid, row, column + 1, TOP_STRONG, "%d %s",
                            (int)page->pid, page->text_APP);
    if (page->text_REASON[0] != '\0')
        column = top_grid_print(grid, row, column, TOP_PLAIN, " %s %s", dash,
                                page->text_REASON);
    if (page->text_BACKEND[0] != '\0' &&
        column + 3 + top_grid_width(grid, page->text_BACKEND) < grid->width)
        top_grid_print(grid, row, column + 1, TOP_FAINT, "(%s)",
                       page->text_BACKEND);
}

/* What bounds the headroom, in words; "" where the process does not tell. */
static void put_source(struct top_grid *grid, int row, int column,
                       const struct gov_page *page)
{
    const char *source = page->text_HEADROOM_SOURCE;
    char number[TOP_NUMBER];

    if (strcmp(source, "budget") == 0)
        add(grid, row, column, TOP_FAINT,
            ": its budget, %s, less its footprint",
            top_bytes(number, top_counter(page, GOV_PAGE_BUDGET)));
    else if (source[0] != '\0')
        add(grid, row, column, TOP_FAINT, ": the %s leaves no more", source);
}

/* Its headroom, and what that is. */
static void draw_room(struct top_grid *grid, int row,
                      const struct top_process *worst)
{
    const struct gov_page *page = &worst->page;
    uint64_t left = top_counter(page, GOV_PAGE_HEADROOM);
    uint64_t budget = top_counter(page, GOV_PAGE_BUDGET);
    char number[TOP_NUMBER];
    int column;

    top_grid_put(grid, row, 1, VALUES, TOP_LABEL, "room");
    top_grid_bar(grid, row, VALUES, bar_end(grid), top_room_style(left, budget),
                 top_permille(left, budget));
    column = top_grid_print(grid, row, bar_end(grid) + 2, TOP_PLAIN,
                            "%s of headroom", top_bytes(number, left));
    put_source(grid, row, column, page);
}

/* ---- all of it -------------------------------------------------------------- */

int top_head_draw(struct top_grid *grid, int height,
                  const struct top_model *model, const struct top_state *state)
{
    const uint32_t stalls = GOV_MACHINE_HAVE_STALL | GOV_MACHINE_HAVE_IO_STALL;
    const struct top_process *worst = worst_off(model);
    uint32_t have = model->machine.have;
    int row = 1;

    if (grid != NULL) {
        draw_title(grid, model, state);
        draw_ram(grid, row, &model->machine);
    }
    row++;
    if ((have & GOV_MACHINE_HAVE_LIMIT) != 0) {
        if (grid != NULL)
            draw_limit(grid, row, &model->machine);
        row++;
    }
    if ((have & GOV_MACHINE_HAVE_SWAP) != 0) {
        if (grid != NULL)
            draw_swap(grid, row, &model->machine);
        row++;
    }
    if (model->gpu.name[0] != '\0') {
        if (grid != NULL)
            draw_gpu(grid, row, model);
        row++;
    }
    if ((have & stalls) != 0) {
        if (grid != NULL)
            draw_stall(grid, row, model, state->plain);
        row++;
    }
    if (worst == NULL || height < TOP_LEAST_HEIGHT + 4)
        return row;
    if (grid != NULL)
        draw_worst(grid, row, worst);
    row++;
    if (height < TALL ||
        top_counter(&worst->page, GOV_PAGE_HEADROOM) == TOP_UNKNOWN)
        return row;
    if (grid != NULL)
        draw_room(grid, row, worst);
    return row + 1;
}
