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
                 "the live view needs a terminal; use --once or --json");
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
                 "or use --once or --json",
                 type != NULL && type[0] != '\0' ? type : "(unset)");
        return false;
    }
    take_signals();
    cbreak();
    noecho();
    nonl();
    intrflush(stdscr, FALSE);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    choose_colours();
    return true;
}

void top_screen_close(void)
{
    endwin();
}

void top_screen_size(int *width, int *height)
{
    getmaxyx(stdscr, *height, *width);
}

void top_screen_show(const struct top_grid *grid)
{
    erase();
    for (int row = 0; row < grid->height; row++)
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
    refresh();
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

static enum top_key named(int key)
{
    static const struct {
        int code;
        enum top_key key;
    } keys[] = {
        {KEY_UP, TOP_KEY_UP},
        {'k', TOP_KEY_UP},
        {KEY_DOWN, TOP_KEY_DOWN},
        {'j', TOP_KEY_DOWN},
        {KEY_PPAGE, TOP_KEY_PAGE_UP},
        {KEY_NPAGE, TOP_KEY_PAGE_DOWN},
        {KEY_HOME, TOP_KEY_HOME},
        {KEY_END, TOP_KEY_END},
        {KEY_F(6), TOP_KEY_SORT_NEXT},
        {'>', TOP_KEY_SORT_NEXT},
        {'.', TOP_KEY_SORT_NEXT},
        {'<', TOP_KEY_SORT_PREVIOUS},
        {',', TOP_KEY_SORT_PREVIOUS},
        {'I', TOP_KEY_SORT_TURN},
        {'i', TOP_KEY_SORT_TURN},
        {' ', TOP_KEY_PAUSE},
        {'p', TOP_KEY_PAUSE},
        {'+', TOP_KEY_SLOWER},
        {'=', TOP_KEY_SLOWER}, /* + without shift */
        {'-', TOP_KEY_FASTER},
        {KEY_F(1), TOP_KEY_HELP},
        {'h', TOP_KEY_HELP},
        {'?', TOP_KEY_HELP},
        {KEY_F(10), TOP_KEY_QUIT},
        {'q', TOP_KEY_QUIT},
        {27, TOP_KEY_QUIT}, /* Escape */
    };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i].code == key)
            return keys[i].key;
    return TOP_KEY_NONE;
}

enum top_key top_screen_key(bool *more)
{
    int key;

    if (size_changed) {
        struct winsize size;

        size_changed = 0;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 &&
            size.ws_col > 0)
            resizeterm(size.ws_row, size.ws_col);
        clear(); /* what a terminal made of the old lines is its own idea */
        *more = true;
        return TOP_KEY_NONE;
    }
    key = getch();
    *more = key != ERR;
    return key == ERR ? TOP_KEY_NONE : named(key);
}
