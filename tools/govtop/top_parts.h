/* SPDX-License-Identifier: MIT */
/* The parts of a frame, for the view and for each other. */
#ifndef GOV_GOVTOP_PARTS_H
#define GOV_GOVTOP_PARTS_H

#include "tools/govtop/top_view.h"

/* ---- the machine ------------------------------------------------------------ */

/* Draws what is known of the machine; returns the row after it. grid NULL: only
 * counts, for a terminal of `height` rows. */
int top_head_draw(struct top_grid *grid, int height,
                  const struct top_model *model, const struct top_state *state);

/* ---- the table -------------------------------------------------------------- */

/* Fills order with indexes into model->process, as the table shows them; returns
 * how many: not those that are hidden. */
size_t top_table_order(const struct top_model *model,
                       const struct top_state *state, size_t order[TOP_ROWS]);
/* The selected process. One that has ended or is hidden leaves the first; NULL
 * where no row is shown. */
const struct top_process *top_table_selected(const struct top_model *model,
                                             const struct top_state *state);
void top_table_move(struct top_state *state, const struct top_model *model,
                    int64_t by);
/* Whether a process has the text in its name, engine, model or pid. */
bool top_table_matches(const struct top_process *process, const char *text);
/* Selects the next process that has the text, from the selected one (`on` 0) or
 * from the one behind it (1); false where there is none. */
bool top_table_find(struct top_state *state, const struct top_model *model,
                    const char *text, size_t on);
void top_table_draw(struct top_grid *grid, const struct top_model *model,
                    struct top_state *state, int row, int rows);

/* ---- one process ------------------------------------------------------------ */

#define TOP_LABELS 1
#define TOP_VALUES 12 /* column in which what follows a label starts */

/* A line of figures, or a history of several. */
struct top_pane {
    struct top_grid *grid;
    const struct top_model *model;
    const struct top_process *process;
    int row, column; /* where the next figure goes */
    int rows;        /* height of the histories */
};

uint64_t top_pane_counter(const struct top_pane *pane, gov_page_counter c);
/* Writes "value label", or nothing when it is unknown or does not fit as a
 * whole. */
void top_pane_figure(struct top_pane *pane, const char *value,
                     const char *label);

/* The lines of figures (top_figures.c), each on its row. */
void top_figures_level(struct top_pane *pane);
void top_figures_backend(struct top_pane *pane);
void top_figures_footprint(struct top_pane *pane);
void top_figures_memory(struct top_pane *pane);
void top_figures_weights(struct top_pane *pane);
void top_figures_kv(struct top_pane *pane);
void top_figures_talks(struct top_pane *pane);
void top_figures_speed(struct top_pane *pane);
void top_figures_pass(struct top_pane *pane);
void top_figures_storage(struct top_pane *pane);
void top_figures_relief(struct top_pane *pane);

/* The histories (top_history.c). */
void top_history_footprint(struct top_pane *pane);
void top_history_stall(struct top_pane *pane);
void top_history_read(struct top_pane *pane);
void top_history_tokens(struct top_pane *pane);

/* The units as one line, with a legend behind it where there is room. */
void top_map_line(struct top_pane *pane);
/* As many rows as it takes to show each unit by itself, up to a few, and a legend
 * below; returns the row after it. */
int top_map_draw(struct top_pane *pane);

/* The relief actions in their order; returns the row after them. */
int top_ladder_draw(struct top_pane *pane);

/* The title of a process over the whole width. */
void top_detail_rule(struct top_grid *grid, int row,
                     const struct gov_page *page);
/* The pane below the table, in rows from `row` to before `end`; draws what fits,
 * the most telling lines first. Plain: without histories. */
void top_detail_pane(struct top_grid *grid, const struct top_model *model,
                     const struct top_process *process, bool plain, int row,
                     int end);
/* Rows of a pane in which nothing is left out. */
int top_detail_pane_height(bool plain);
/* All of it, full screen, in rows from 0 to before `end`. */
void top_detail_draw(struct top_grid *grid, const struct top_model *model,
                     struct top_state *state, int end);

/* ---- what else there is ----------------------------------------------------- */

void top_log_draw(struct top_grid *grid, const struct top_model *model,
                  struct top_state *state, int end);
void top_help_draw(struct top_grid *grid, struct top_state *state);

/* Menus: draw, and take a key. */
void top_menu_open(struct top_state *state, const struct top_model *model,
                   enum top_over menu);
void top_menu_draw(struct top_grid *grid, const struct top_model *model,
                   const struct top_state *state, int row, int end);
void top_menu_key(struct top_state *state, const struct top_model *model,
                  uint32_t key);

/* Lines to type at the bottom. */
void top_prompt_open(struct top_state *state, enum top_over prompt);
void top_prompt_draw(struct top_grid *grid, const struct top_model *model,
                     const struct top_state *state, int row);
void top_prompt_key(struct top_state *state, const struct top_model *model,
                    uint32_t key);

/* Says something until the next key. */
void top_say(struct top_state *state, bool bad, const char *format, ...)
    GOV_PRINTF(3, 4);

/* Lines of a view that scrolls: takes how many there are and how many fit, and
 * keeps *scroll within them. */
void top_scroll(struct top_state *state, int *scroll, int lines, int room);

#endif
