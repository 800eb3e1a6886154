/* SPDX-License-Identifier: MIT */
#include "tools/cli/progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 28
#define QUIET_US 250000
#define REDRAW_US 80000

uint64_t cli_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int cli_columns(int fd, int otherwise)
{
    struct winsize size;

    return isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
               ? size.ws_col
               : otherwise;
}

/* Over what stood there: with spaces, which the dumbest terminal knows. */
static void put_line(struct cli_bar *bar, const char *line, int length)
{
    int over = bar->shown > length ? bar->shown - length : 0;

    fprintf(stderr, "\r%.*s%*s", length, line, over, "");
    if (over > 0)
        fprintf(stderr, "\r%.*s", length, line);
    fflush(stderr);
    bar->shown = length;
}

void cli_bar_draw(struct cli_bar *bar, uint32_t permille, const char *what)
{
    char cells[BAR_WIDTH + 1], line[96];
    int columns = cli_columns(STDERR_FILENO, 80), length;
    uint64_t now;
    uint32_t full;

    if (!isatty(STDERR_FILENO))
        return;
    now = cli_now_us();
    if (!bar->started) {
        bar->started = true;
        bar->start_us = now;
    }
    if (now - bar->start_us < QUIET_US || now - bar->drawn_us < REDRAW_US)
        return;
    bar->drawn_us = now;
    if (permille > 1000)
        permille = 1000;
    full = permille * BAR_WIDTH / 1000;
    memset(cells, '-', BAR_WIDTH);
    memset(cells, '#', full);
    cells[BAR_WIDTH] = '\0';
    length = snprintf(line, sizeof(line), "[%s] %3" PRIu32 "%%  %.40s", cells,
                      permille / 10, what);
    /* A full line would wrap on some terminals. */
    if (length > columns - 1)
        length = columns > 1 ? columns - 1 : 0;
    put_line(bar, line, length);
}

void cli_bar_clear(struct cli_bar *bar)
{
    if (bar->shown > 0)
        put_line(bar, "", 0);
    memset(bar, 0, sizeof(*bar));
}

bool cli_colour(int fd)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a tool, which sets no variable */
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(fd) && (no_colour == NULL || *no_colour == '\0') &&
           term != NULL && strcmp(term, "dumb") != 0;
}

char *cli_size(char *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;

    /* 999.5 would print as 1000: go to the next unit just before. */
    while (value >= 999.5 && unit < 5) {
        value /= 1024;
        unit++;
    }
    snprintf(out, CLI_SIZE_BYTES, "%.*f %s",
             unit == 0 || value >= 99.95 ? 0
             : value >= 9.995            ? 1
                                         : 2,
             value, units[unit]);
    return out;
}

/* ---- stopping -------------------------------------------------------------- */

/* Lock-free, so a handler may write them; read by the engine's threads, too. */
static _Atomic int caught;
static _Atomic uint64_t caught_us;

/* A terminal or timeout(1) may deliver one Ctrl-C twice, to the process and to
 * its group; a person who means it again takes longer. */
#define SECOND_US 700000

static void on_signal(int number)
{
    uint64_t now = cli_now_us(); /* clock_gettime() may be called here */

    if (caught == 0) {
        caught = number;
        caught_us = now;
    } else if (now - caught_us > SECOND_US) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

void cli_catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction before;

        /* nohup(1), and a shell for its background jobs, ignore some. */
        if (sigaction(numbers[i], NULL, &before) == 0 &&
            before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    /* A closed pipe is a failed write, which is cleaned up after. */
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

int cli_signal(void)
{
    return caught;
}

void cli_end_by_signal(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}
