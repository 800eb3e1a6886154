/* SPDX-License-Identifier: MIT */
/* The terminal: shows a grid with ncurses, names keys, and gives the terminal
 * back as it was, however the program ends. */
#ifndef GOV_GOVTOP_SCREEN_H
#define GOV_GOVTOP_SCREEN_H

#include "tools/govtop/top_view.h"

/* Takes the terminal over. On failure message says why. */
bool top_screen_open(char message[GOV_MESSAGE_BYTES]);
void top_screen_close(void);

void top_screen_size(int *width, int *height);
void top_screen_show(const struct top_grid *grid);

enum top_wait {
    TOP_WAIT_TIME,  /* the time is over */
    TOP_WAIT_INPUT, /* there are keys, or another size */
    TOP_WAIT_END,   /* a signal asked to end, or the terminal is gone */
};

enum top_wait top_screen_wait(uint64_t wait_ms);
/* The next key that is there, as top_view_key() takes it; TOP_KEY_NONE with *more
 * false when there is none. A resize is a TOP_KEY_NONE with *more true. */
uint32_t top_screen_key(bool *more);

/* The signal that asked to end, 0 for none. */
int top_screen_signal(void);

#endif
