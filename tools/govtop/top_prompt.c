/* SPDX-License-Identifier: MIT */
/* A line at the bottom to type in: what to search, to filter by, or how much to
 * give back. */
#include "tools/govtop/top_parts.h"

#include <string.h>

#include "tools/cli/options.h"

void top_prompt_open(struct top_state *state, enum top_over prompt)
{
    state->over = prompt;
    state->mistyped = false;
    /* Searched again, it goes on with what was typed. */
    if (prompt == TOP_FILTER)
        memcpy(state->typed, state->filter, sizeof(state->typed));
    else
        state->typed[0] = '\0';
}

/* ---- typing ----------------------------------------------------------------- */

static void take_character(struct top_state *state, uint32_t key)
{
    char bytes[5];

    if (key < 0x20 || (key >= 0x7F && key < 0xA0) || key > 0x10FFFF)
        return;
    top_encode(bytes, key);
    if (strlen(state->typed) + strlen(bytes) < sizeof(state->typed))
        memcpy(state->typed + strlen(state->typed), bytes, strlen(bytes) + 1);
}

static void drop_character(struct top_state *state)
{
    size_t n = strlen(state->typed);

    /* Back to the first byte of the character. */
    while (n > 0 && ((unsigned char)state->typed[n - 1] & 0xC0) == 0x80)
        n--;
    state->typed[n > 0 ? n - 1 : 0] = '\0';
}

/* What follows from what is typed while it is typed. */
static void follow(struct top_state *state, const struct top_model *model)
{
    state->mistyped = false;
    if (state->over == TOP_FILTER)
        memcpy(state->filter, state->typed, sizeof(state->filter));
    if (state->over == TOP_SEARCH && state->typed[0] != '\0')
        state->mistyped = !top_table_find(state, model, state->typed, 0);
}

static void order_relief(struct top_state *state)
{
    uint64_t bytes = 0;

    if (state->typed[0] != '\0' && !cli_read_bytes(state->typed, &bytes)) {
        state->mistyped = true;
        return;
    }
    state->order = (struct top_order){TOP_GIVE, state->selected,
                                      GOV_LEVEL_NORMAL, 0, bytes};
    state->over = TOP_NOTHING;
}

void top_prompt_key(struct top_state *state, const struct top_model *model,
                    uint32_t key)
{
    if (key == TOP_KEY_NONE)
        return;
    if (key == TOP_KEY_ESCAPE) {
        if (state->over == TOP_FILTER)
            state->filter[0] = '\0';
        state->over = TOP_NOTHING;
    } else if (key == TOP_KEY_ENTER) {
        if (state->over == TOP_RELIEVE)
            order_relief(state);
        else
            state->over = TOP_NOTHING;
    } else if (state->over == TOP_SEARCH && key == TOP_KEY_F + 3) {
        state->mistyped = !top_table_find(state, model, state->typed, 1);
    } else if (key == TOP_KEY_UP || key == TOP_KEY_DOWN) {
        if (state->over != TOP_RELIEVE)
            top_table_move(state, model, key == TOP_KEY_UP ? -1 : 1);
    } else if (key == TOP_KEY_BACKSPACE) {
        drop_character(state);
        follow(state, model);
    } else if (key < TOP_KEY_NONE) {
        take_character(state, key);
        follow(state, model);
    }
}

/* ---- drawing ---------------------------------------------------------------- */

void top_prompt_draw(struct top_grid *grid, const struct top_model *model,
                     const struct top_state *state, int row)
{
    const char *wrong =
        state->over == TOP_RELIEVE ? "no size; write 512M, or 0" : "not found";
    const char *hint = "Enter keeps, Escape clears";
    char label[64] = "filter:", cursor[5];
    int column;

    (void)model;
    if (state->over == TOP_SEARCH) {
        snprintf(label, sizeof(label), "search:");
        hint = "F3 the next one, Enter closes";
    }
    if (state->over == TOP_RELIEVE) {
        snprintf(label, sizeof(label), "%d gives back:", (int)state->selected);
        hint = "K, M, G; 0 is all it may; Escape";
    }
    top_encode(cursor, top_grid_symbol(grid, TOP_CURSOR));
    column = top_grid_put(grid, row, 1, grid->width, TOP_LABEL, label);
    column = top_grid_put(grid, row, column + 1, grid->width - 1, TOP_STRONG,
                          state->typed);
    column = top_grid_put(grid, row, column, grid->width, TOP_TITLE, cursor);
    if (state->mistyped)
        top_grid_print(grid, row, column + 2, TOP_BAD, "%s", wrong);
    else if (column + 2 + (int)strlen(hint) < grid->width)
        top_grid_put_right(grid, row, column + 2, grid->width - 1, TOP_FAINT,
                           hint);
}
