/* SPDX-License-Identifier: MIT */
/* The ladder: the relief actions of one process, in the order in which they go. */
#include "tools/govtop/top_parts.h"

#include <string.h>

enum { NAME, FROM, CLAIMED, LAST, TOTAL, RUNS, REST, STATE, HEADS };

static const struct {
    const char *title;
    int width;
    bool right;
} heads[HEADS] = {
    [NAME] = {"ACTION", 15, false},   [FROM] = {"FROM", 8, false},
    [CLAIMED] = {"CLAIMED", 7, true}, [LAST] = {"LAST", 6, true},
    [TOTAL] = {"TOTAL", 6, true},     [RUNS] = {"RUNS", 5, true},
    [REST] = {"REST", 5, true},       [STATE] = {"", 8, false},
};

/* Names get what is left, up to what a name may have. */
static int name_width(const struct top_grid *grid)
{
    int width = grid->width - TOP_LABELS - 2;

    for (int i = FROM; i < HEADS; i++)
        width -= heads[i].width + 1;
    return width > 31 ? 31 : width;
}

static void cell(struct top_pane *pane, int head, enum top_style style,
                 const char *text)
{
    int width = head == NAME ? name_width(pane->grid) : heads[head].width;
    int end = pane->column + width;

    if (heads[head].right)
        top_grid_put_right(pane->grid, pane->row, pane->column, end,
                           strcmp(text, "-") == 0 ? TOP_FAINT : style, text);
    else
        top_grid_put(pane->grid, pane->row, pane->column, end, style, text);
    pane->column = end + 1;
}

/* Nothing that it would claim is as good as nothing that it gave. */
static enum top_style state_of(const struct gov_page_action *action,
                               const char **text)
{
    if ((action->flags & GOV_PAGE_ACTION_OVERDUE) != 0) {
        *text = "overdue";
        return TOP_BAD;
    }
    if ((action->flags & GOV_PAGE_ACTION_RUNNING) != 0) {
        *text = "running";
        return TOP_GOOD;
    }
    if ((action->flags & GOV_PAGE_ACTION_RETIRED) != 0) {
        *text = "retired";
        return TOP_WARN;
    }
    *text = action->rest_ms > 0 ? "rests" : "ready";
    return TOP_FAINT;
}

static void draw_action(struct top_pane *pane,
                        const struct gov_page_action *action)
{
    char number[TOP_NUMBER];
    bool ran = action->runs > 0;
    const char *state;
    enum top_style style = state_of(action, &state);

    pane->column = TOP_LABELS + 1;
    cell(pane, NAME, TOP_PLAIN, action->name);
    cell(pane, FROM, top_level_style(action->from_level),
         top_level_text(action->from_level));
    cell(pane, CLAIMED, TOP_PLAIN, top_bytes(number, action->claimed_bytes));
    cell(pane, LAST, TOP_STRONG,
         top_bytes(number, ran ? action->last_yield_bytes : TOP_UNKNOWN));
    cell(pane, TOTAL, TOP_PLAIN,
         top_bytes(number, ran ? action->yield_bytes : TOP_UNKNOWN));
    cell(pane, RUNS, TOP_PLAIN, top_count(number, action->runs));
    cell(pane, REST, TOP_PLAIN,
         action->rest_ms == 0
             ? "-"
             : top_duration(number, (uint64_t)action->rest_ms * 1000));
    cell(pane, STATE, style, state);
    pane->row++;
}

int top_ladder_draw(struct top_pane *pane)
{
    const struct gov_page_action *action = pane->process->page.action;

    if (action[0].name[0] == '\0')
        return pane->row;
    pane->column = TOP_LABELS;
    top_grid_put(pane->grid, pane->row, TOP_LABELS, pane->grid->width,
                 TOP_LABEL, "relief, in this order");
    pane->row++;
    pane->column = TOP_LABELS + 1;
    for (int i = 0; i < HEADS; i++)
        cell(pane, i, TOP_HEAD, heads[i].title);
    pane->row++;
    for (int i = 0; i < GOV_PAGE_ACTIONS && action[i].name[0] != '\0'; i++)
        draw_action(pane, &action[i]);
    return pane->row;
}
