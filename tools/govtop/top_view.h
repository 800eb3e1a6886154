/* SPDX-License-Identifier: MIT */
/* Draws a model into a grid, and turns keys into changes of what is shown.
 * Pure: the same renderer serves the terminal, --once and the tests. */
#ifndef GOV_GOVTOP_VIEW_H
#define GOV_GOVTOP_VIEW_H

#include "tools/govtop/top_columns.h"

#define TOP_LEAST_WIDTH 60
#define TOP_LEAST_HEIGHT 16
#define TOP_TYPED_BYTES 64

/* What fills the screen. */
enum top_screen {
    TOP_TABLE,
    TOP_DETAIL, /* of the selected process */
    TOP_LOG,    /* events of all that the table shows */
};

/* What lies over it and takes the keys. */
enum top_over {
    TOP_NOTHING,
    TOP_HELP,
    TOP_SORT_MENU,
    TOP_COMMAND_MENU,
    TOP_SEARCH, /* lines to type */
    TOP_FILTER,
    TOP_RELIEVE,
};

/* What a process is to be told: by the caller of top_view_key(), who clears it
 * and puts what came of it into top_state.status. */
enum top_order_kind { TOP_NO_ORDER, TOP_SIMULATE, TOP_SIMULATE_END, TOP_GIVE };

struct top_order {
    enum top_order_kind kind;
    int32_t pid;
    gov_level level; /* SIMULATE, for so long */
    uint64_t for_ms;
    uint64_t bytes; /* GIVE; 0: all it may */
};

/* What the user chose. Zeroed, then sort and delay_ms set, to start. */
struct top_state {
    enum top_column sort;
    bool reverse, paused;
    bool others;       /* shows processes that are not governed, too */
    bool plain;        /* --once: no selection, no line of keys */
    uint64_t delay_ms; /* between two samples */
    int32_t selected;  /* pid; 0 until something is selected */
    size_t first;      /* row of the table that is shown first */
    int width;         /* of the last frame */
    enum top_screen screen;
    enum top_over over;
    int scroll;      /* lines of a long view above the screen */
    int scroll_most; /* of the last frame */
    int page;        /* lines that a page key goes */
    int help_scroll; /* as scroll, of the help that lies over it */
    int chosen;      /* in a menu */
    struct top_order order;
    char typed[TOP_TYPED_BYTES];
    bool mistyped;                /* what is typed is no size */
    char filter[TOP_TYPED_BYTES]; /* rows without it are hidden; "" for none */
    char status[GOV_MESSAGE_BYTES]; /* until the next key; "" for none */
    bool status_bad;
    char problem[GOV_MESSAGE_BYTES]; /* why there are no pages; "" is well */
};

/* Keys: a character as it was typed, or one of these. */
enum top_key {
    TOP_KEY_BACKSPACE = 8,
    TOP_KEY_ENTER = 10,
    TOP_KEY_ESCAPE = 27,
    TOP_KEY_NONE = 0x200000, /* behind all characters */
    TOP_KEY_UP,
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
    TOP_KEY_F, /* and the number: TOP_KEY_F + 1 is F1 */
};

void top_view_draw(struct top_grid *grid, const struct top_model *model,
                   struct top_state *state);

/* Rows that a frame takes in which nothing is left out. */
int top_view_height(const struct top_model *model,
                    const struct top_state *state);

/* Returns false when the key ends the program. */
bool top_view_key(struct top_state *state, const struct top_model *model,
                  uint32_t key);

#endif
