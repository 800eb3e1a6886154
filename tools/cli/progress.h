/* SPDX-License-Identifier: MIT */
/* What goes to a person's eyes: a progress bar on stderr, sizes, colours. Knows
 * terminals; knows nothing of the governor. */
#ifndef GOV_TOOLS_CLI_PROGRESS_H
#define GOV_TOOLS_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A bar that shows itself only on a terminal, and only for what takes longer
 * than a quarter of a second. Zeroed is ready. */
struct cli_bar {
    bool started;
    int shown; /* characters on the line */
    uint64_t start_us, drawn_us;
};

/* Draws or redraws: `permille` of the whole, `what` is being done. */
void cli_bar_draw(struct cli_bar *bar, uint32_t permille, const char *what);
/* Removes what was drawn, so that the next line starts clean. */
void cli_bar_clear(struct cli_bar *bar);

/* Columns of the terminal behind a descriptor; `otherwise` where it is none or
 * does not say. */
int cli_columns(int fd, int otherwise);

/* Whether colours may be used on that descriptor: a terminal, TERM is not
 * "dumb", NO_COLOR is unset or empty (https://no-color.org). */
bool cli_colour(int fd);

/* "1.50 GiB": three significant digits, binary units. At most 16 bytes. */
char *cli_size(char *out, uint64_t bytes);
#define CLI_SIZE_BYTES 24

uint64_t cli_now_us(void);

/* ---- stopping -------------------------------------------------------------- */

/* From now on SIGINT, SIGTERM and SIGHUP only set a flag; another one later
 * than 0.7 s after the first ends the process at once. What was ignored stays
 * ignored, and SIGPIPE is from now on. */
void cli_catch_signals(void);
/* The signal that came, or 0. */
int cli_signal(void);
/* Ends the process as that signal would have, so that a shell sees it. Call
 * after cleaning up. */
void cli_end_by_signal(int number);

#endif
