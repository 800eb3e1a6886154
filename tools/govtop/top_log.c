/* SPDX-License-Identifier: MIT */
/* The log: events of all processes that the table shows, the last one first. */
#include <stdlib.h>
#include <string.h>

#include "tools/govtop/top_parts.h"

struct entry {
    const struct top_process *process;
    const struct gov_page_event *event;
};

/* The later first; at the same time by pid, and of one process as they came. */
static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->event->at_us != y->event->at_us)
        return x->event->at_us > y->event->at_us ? -1 : 1;
    if (x->process != y->process)
        return x->process->page.pid < y->process->page.pid ? -1 : 1;
    return x->event > y->event ? -1 : x->event < y->event;
}

static size_t gather(const struct top_model *model,
                     const struct top_state *state,
                     struct entry out[TOP_PROCESSES * GOV_PAGE_EVENTS])
{
    size_t order[TOP_ROWS], rows = top_table_order(model, state, order), n = 0;

    for (size_t i = 0; i < rows; i++) {
        const struct top_process *process = &model->process[order[i]];

        if (!process->governed)
            continue;
        for (int e = 0; e < GOV_PAGE_EVENTS; e++)
            if (process->page.event[e].at_us > 0)
                out[n++] = (struct entry){process, &process->page.event[e]};
    }
    qsort(out, n, sizeof(out[0]), compare);
    return n;
}

/* Columns in which things start; the narrow one has no names. */
static void draw_entry(struct top_grid *grid, int row,
                       const struct top_model *model, const struct entry *entry)
{
    const struct gov_page_event *event = entry->event;
    uint64_t now = model->machine.now_us;
    int end = grid->width - 1, at = grid->width >= 80 ? 31 : 20;
    char number[TOP_NUMBER];

    top_grid_put_right(
        grid, row, 1, 11, TOP_FAINT,
        top_ago(number, now > event->at_us ? now - event->at_us : 0));
    top_grid_print(grid, row, 12, TOP_PLAIN, "%7d",
                   (int)entry->process->page.pid);
    if (grid->width >= 80)
        top_grid_put(grid, row, 20, 30, TOP_PLAIN,
                     entry->process->page.text_APP);
    top_grid_put(grid, row, at, at + 8, top_level_style(event->level),
                 top_level_text(event->level));
    if (event->kind == (uint32_t)GOV_EVENT_RELIEF) {
        top_grid_put_right(grid, row, end - 6, end,
                           event->yield_bytes > 0 ? TOP_STRONG : TOP_FAINT,
                           top_bytes(number, event->yield_bytes));
        end -= 7;
    }
    top_grid_put(grid, row, at + 9, end,
                 event->kind == (uint32_t)GOV_EVENT_NOTICE ? TOP_LABEL
                                                           : TOP_PLAIN,
                 event->text);
}

static void draw_heads(struct top_grid *grid, int row)
{
    int at = grid->width >= 80 ? 31 : 20;

    top_grid_put_right(grid, row, 1, 11, TOP_HEAD, "WHEN");
    top_grid_put_right(grid, row, 12, 19, TOP_HEAD, "PID");
    if (grid->width >= 80)
        top_grid_put(grid, row, 20, 30, TOP_HEAD, "APP");
    top_grid_put(grid, row, at, at + 8, TOP_HEAD, "LEVEL");
    top_grid_put(grid, row, at + 9, grid->width, TOP_HEAD, "WHAT HAPPENED");
    top_grid_put_right(grid, row, grid->width - 7, grid->width - 1, TOP_HEAD,
                       "GAVE");
}

void top_log_draw(struct top_grid *grid, const struct top_model *model,
                  struct top_state *state, int end)
{
    static struct entry entries[TOP_PROCESSES * GOV_PAGE_EVENTS];
    size_t count = gather(model, state, entries);
    int column, room = end - 2;

    top_scroll(state, &state->scroll, (int)count, room);
    column = top_grid_put(grid, 0, 1, grid->width, TOP_TITLE, "events");
    column = top_grid_print(grid, 0, column + 2, TOP_PLAIN, "%zu", count);
    column = top_grid_put(grid, 0, column + 1, grid->width, TOP_FAINT,
                          "that pages still tell, the last one first");
    if (state->filter[0] != '\0')
        top_grid_print(grid, 0, column + 2, TOP_WARN, "of \"%s\"",
                       state->filter);
    draw_heads(grid, 1);
    if (count == 0)
        top_grid_put(grid, 3, 1, grid->width, TOP_FAINT,
                     "nothing has happened that a page tells of");
    for (int i = 0; i < room && state->scroll + i < (int)count; i++)
        draw_entry(grid, 2 + i, model, &entries[state->scroll + i]);
}
