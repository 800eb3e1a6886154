/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_screen.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

/* ---- signals ---------------------------------------------------------------- */

static volatile sig_atomic_t asked_to_end, size_changed;

/* What a crash needs to give the terminal back without ncurses, which must not
 * be called from a handler: written once, before the handlers are there. */
static struct termios saved_mode;
static char saved_reset[128];
static size_t saved_reset_bytes;

static void on_end(int number)
{
    asked_to_end = number;
}

static void on_resize(int number)
{
    (void)number;
    size_changed = 1;
}

/* SA_RESETHAND: raised again, the signal does what it would have done. */
static void on_crash(int number)
{
    ssize_t n = write(STDOUT_FILENO, saved_reset, saved_reset_bytes);

    (void)n;
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved_mode);
    raise(number);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static void keep_string(const char *name)
{
    const char *text = tigetstr(name);
    size_t bytes;

    /* -1 says that there is no such string. */
    if (text == NULL || (intptr_t)text == -1)
        return;
    bytes = strlen(text);
    if (saved_reset_bytes + bytes > sizeof(saved_reset))
        return;
    memcpy(saved_reset + saved_reset_bytes, text, bytes);
    saved_reset_bytes += bytes;
}

static void take_signals(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

    keep_string("sgr0");
    keep_string("cnorm");
    keep_string("rmkx");
    keep_string("rmcup");
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        handle(ends[i], on_end, 0);
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        handle(crashes[i], on_crash, (int)SA_RESETHAND | SA_NODEFER);
    /* ncurses' own handler only works inside getch(). */
    handle(SIGWINCH, on_resize, 0);
}

int top_screen_signal(void)
{
    return asked_to_end;
}

/* ---- colours ---------------------------------------------------------------- */

/* [1]: in the selected row. */
static attr_t attributes[2][TOP_STYLES];
static short pairs[2][TOP_STYLES];

static void choose_colours(void)
{
    static const struct {
        short many, few;      /* of 256 and of 8; -1 is the terminal's own */
        attr_t with, without; /* attributes with and without colours */
    } styles[TOP_STYLES] = {
        [TOP_PLAIN] = {-1, -1, A_NORMAL, A_NORMAL},
        [TOP_STRONG] = {-1, -1, A_BOLD, A_BOLD},
        [TOP_FAINT] = {243, -1, A_NORMAL, A_DIM},
        [TOP_TITLE] = {74, COLOR_CYAN, A_BOLD, A_BOLD},
        [TOP_HEAD] = {250, -1, A_BOLD, A_BOLD | A_UNDERLINE},
        [TOP_LABEL] = {109, COLOR_CYAN, A_NORMAL, A_NORMAL},
        [TOP_GOOD] = {108, COLOR_GREEN, A_NORMAL, A_NORMAL},
        [TOP_WARN] = {179, COLOR_YELLOW, A_NORMAL, A_BOLD},
        [TOP_BAD] = {167, COLOR_RED, A_BOLD, A_BOLD},
        [TOP_COOL] = {67, COLOR_BLUE, A_NORMAL, A_NORMAL},
    };
    /* https://no-color.org: set and not empty. */
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *no_colour = getenv("NO_COLOR");
    bool colour = (no_colour == NULL || no_colour[0] == '\0') && has_colors() &&
                  start_color() == OK && use_default_colors() == OK;
    bool many = colour && COLORS >= 256;

    for (int i = 0; i < 2 * TOP_STYLES; i++) {
        int style = i % TOP_STYLES, row = i / TOP_STYLES;
        int foreground = many ? styles[style].many : styles[style].few;
        /* A quiet grey where there is one, else the row is turned around. */
        int background = row == 1 && many ? 238 : -1;

        attributes[row][style] =
            colour ? styles[style].with : styles[style].without;
        if (style == TOP_FAINT && !many)
            attributes[row][style] = A_DIM;
        if (row == 1 && !many)
            attributes[row][style] = A_REVERSE;
        pairs[row][style] = 0;
        if (colour && (foreground >= 0 || background >= 0) &&
            init_pair((short)(i + 1), (short)foreground, (short)background) ==
                OK)
            pairs[row][style] = (short)(i + 1);
    }
}

/* Most rows of a frame are those of the one before, and ncurses would find that
 * out cell by cell. */
static struct top_grid before;
static bool all_anew; /* what `before` has is not on the screen any more */

/* ---- screen ----------------------------------------------------------------- */

bool top_screen_open(char message[GOV_MESSAGE_BYTES])
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *type = getenv("TERM");
    int code; /* without it setupterm() would exit, too */
    bool known;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
        tcgetattr(STDIN_FILENO, &saved_mode) != 0) {
        snprintf(message, GOV_MESSAGE_BYTES,
                 "the live view needs a terminal; use --once or --batch");
        return false;
    }
    /* Asked first, because a newterm() that fails leaks; and initscr() would
     * print and exit by itself. */
    known = setupterm(NULL, STDOUT_FILENO, &code) == OK;
    if (known)
        del_curterm(cur_term);
    if (!known || newterm(NULL, stdout, stdin) == NULL) {
        snprintf(message, GOV_MESSAGE_BYTES,
                 "the terminal type %.64s cannot show the live view; set TERM, "
                 "or use --once or --batch",
                 type != NULL && type[0] != '\0' ? type : "(unset)");
        return false;
    }
    take_signals();
    cbreak();
    noecho();
    nonl();
    intrflush(stdscr, FALSE);
    nodelay(stdscr, TRUE);
    set_escdelay(50);
    /* Until it has come back once, ncurses (6.4) takes itself for a program that
     * only moves the cursor, and writes every move by itself: hundreds of system
     * calls a frame. */
    endwin();
    refresh();
    /* After these, which turn it off: the first arrow key would not be known. */
    keypad(stdscr, TRUE);
    curs_set(0);
    choose_colours();
    return true;
}

void top_screen_close(void)
{
    endwin();
    top_grid_close(&before);
}

void top_screen_size(int *width, int *height)
{
    getmaxyx(stdscr, *height, *width);
}

static void show_row(const struct top_grid *grid, int row)
{
    for (int column = 0; column < grid->width; column++) {
        const struct top_cell *cell =
            &grid->cell[(size_t)row * (size_t)grid->width + (size_t)column];
        const wchar_t text[] = {(wchar_t)cell->character, L'\0'};
        int chosen = cell->selected ? 1 : 0;
        cchar_t shown;

        if (cell->character == 0)
            continue; /* the wide one before it has drawn this */
        if (setcchar(&shown, text, attributes[chosen][cell->style],
                     pairs[chosen][cell->style], NULL) == OK)
            mvadd_wch(row, column, &shown);
    }
}

static bool same_row(const struct top_cell *a, const struct top_cell *b,
                     int width)
{
    for (int i = 0; i < width; i++)
        if (a[i].character != b[i].character || a[i].style != b[i].style ||
            a[i].selected != b[i].selected)
            return false;
    return true;
}

void top_screen_show(const struct top_grid *grid)
{
    size_t cells = (size_t)grid->width * (size_t)grid->height;
    bool same = before.cell != NULL && before.width == grid->width &&
                before.height == grid->height && !all_anew;

    all_anew = false;
    for (int row = 0; row < grid->height; row++) {
        size_t at = (size_t)row * (size_t)grid->width;

        if (same && same_row(&before.cell[at], &grid->cell[at], grid->width))
            continue;
        move(row, 0);
        clrtoeol();
        show_row(grid, row);
    }
    refresh();
    /* Without memory for it the next frame is drawn as a whole. */
    if (top_grid_open(&before, grid->width, grid->height, grid->utf8))
        memcpy(before.cell, grid->cell, cells * sizeof(grid->cell[0]));
    else
        top_grid_close(&before);
}

/* ---- keys ------------------------------------------------------------------- */

enum top_wait top_screen_wait(uint64_t wait_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int n;

    if (asked_to_end != 0)
        return TOP_WAIT_END;
    /* A signal that comes just before poll() waits for a second at most. */
    n = poll(&input, 1, (int)(wait_ms < 1000 ? wait_ms : 1000));
    /* A terminal that is gone would be "readable" for ever. */
    if (asked_to_end != 0 || (n > 0 && (input.revents & ~POLLIN) != 0))
        return TOP_WAIT_END;
    if (n < 0 && errno != EINTR)
        return TOP_WAIT_END;
    return n == 0 && !size_changed ? TOP_WAIT_TIME : TOP_WAIT_INPUT;
}

static uint32_t named(wint_t code)
{
    static const struct {
        int code;
        enum top_key key;
    } keys[] = {
        {KEY_UP, TOP_KEY_UP},         {KEY_DOWN, TOP_KEY_DOWN},
        {KEY_PPAGE, TOP_KEY_PAGE_UP}, {KEY_NPAGE, TOP_KEY_PAGE_DOWN},
        {KEY_HOME, TOP_KEY_HOME},     {KEY_END, TOP_KEY_END},
        {KEY_ENTER, TOP_KEY_ENTER},   {KEY_BACKSPACE, TOP_KEY_BACKSPACE},
        {KEY_DC, TOP_KEY_BACKSPACE},
    };

    if (code >= (wint_t)KEY_F(1) && code <= (wint_t)KEY_F(12))
        return (uint32_t)TOP_KEY_F + (uint32_t)(code - (wint_t)KEY_F0);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if ((wint_t)keys[i].code == code)
            return keys[i].key;
    return TOP_KEY_NONE;
}

uint32_t top_screen_key(bool *more)
{
    wint_t code;
    int kind;

    if (size_changed) {
        struct winsize size;

        size_changed = 0;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 &&
            size.ws_col > 0)
            resizeterm(size.ws_row, size.ws_col);
        clear(); /* what a terminal made of the old lines is its own idea */
        all_anew = true;
        *more = true;
        return TOP_KEY_NONE;
    }
    kind = get_wch(&code);
    *more = kind != ERR;
    if (kind == ERR)
        return TOP_KEY_NONE;
    if (kind == KEY_CODE_YES)
        return named(code);
    if (code == 127)
        return TOP_KEY_BACKSPACE;
    return code == L'\r' ? (uint32_t)TOP_KEY_ENTER : (uint32_t)code;
}
