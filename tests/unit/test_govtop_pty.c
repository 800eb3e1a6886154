/* SPDX-License-Identifier: MIT */
/* The whole of govtop in a terminal, key by key: libvterm is the terminal, and what
 * stands in its cells must be what the views draw and what is saved. Pages and
 * machine are made up (tests/tools/govtop_fixed.c). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vterm.h>

#include "tests/support/pty.h"
#include "tests/unit/govtop_fixture.h"
#include "tests/unit/govtop_screens.h"

#define PATIENCE_MS (is_sanitized() ? 60000 : 15000)

static VTerm *terminal;
static VTermScreen *cells;
static int master = -1;
static pid_t child;

/* ---- the terminal ----------------------------------------------------------- */

static void run_govtop(const char *tty, const struct saved_screen *screen)
{
    const char *build = getenv("B");
    char path[512], turns[32];

    /* Two kinds; and libvterm 0.1.4 counts wrong where xterm's repeats a character
     * up to the last column, which it does with those of ASCII. */
    pty_enter(tty, screen->utf8 ? "xterm-256color" : "screen-256color");
    setenv("LC_ALL", screen->utf8 ? "C.UTF-8" : "C", 1);
    snprintf(turns, sizeof(turns), "%d", (int)screen->turns);
    setenv("GOVTOP_TURNS", turns, 1);
    unsetenv("NO_COLOR");
    snprintf(path, sizeof(path), "%s/tests/govtop_fixed",
             build != NULL ? build : "build/plain");
    execl(path, "govtop", (char *)NULL);
    fprintf(stderr, "%s cannot be run: %s\n", path, strerror(errno));
    _exit(127);
}

static void start(const struct saved_screen *screen)
{
    terminal = vterm_new(screen->height, screen->width);
    ck_assert_ptr_nonnull(terminal);
    vterm_set_utf8(terminal, 1);
    cells = vterm_obtain_screen(terminal);
    vterm_screen_enable_altscreen(cells, 1);
    vterm_screen_reset(cells, 1);
    master = pty_open(screen->width, screen->height);
    ck_assert_int_ge(master, 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        run_govtop(ptsname(master), screen);
}

static void close_all(void)
{
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    child = 0;
    if (master >= 0)
        close(master);
    master = -1;
    if (terminal != NULL)
        vterm_free(terminal);
    terminal = NULL;
    tear_down();
}

/* What the terminal says itself, keys and answers, goes to the program. */
static void send(void)
{
    char bytes[256];
    size_t n = vterm_output_read(terminal, bytes, sizeof(bytes));

    if (n > 0)
        ck_assert_int_eq(write(master, bytes, n), (ssize_t)n);
}

/* Gives the terminal what has been printed, waiting a moment for it. */
static void take(void)
{
    struct pollfd input = {.fd = master, .events = POLLIN};
    char bytes[4096];
    ssize_t n;

    if (poll(&input, 1, 20) <= 0)
        return;
    n = read(master, bytes, sizeof(bytes));
    if (n > 0)
        vterm_input_write(terminal, bytes, (size_t)n);
    send();
}

static void type_key(const char *key)
{
    static const struct {
        const char *name;
        VTermKey key;
    } names[] = {
        {"{Up}", VTERM_KEY_UP},          {"{Down}", VTERM_KEY_DOWN},
        {"{PgUp}", VTERM_KEY_PAGEUP},    {"{PgDn}", VTERM_KEY_PAGEDOWN},
        {"{Home}", VTERM_KEY_HOME},      {"{End}", VTERM_KEY_END},
        {"{Enter}", VTERM_KEY_ENTER},    {"{Esc}", VTERM_KEY_ESCAPE},
        {"{Back}", VTERM_KEY_BACKSPACE},
    };
    VTermKey code = VTERM_KEY_NONE;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(key, names[i].name) == 0)
            code = names[i].key;
    if (key[0] == '{' && key[1] == 'F')
        code = (VTermKey)VTERM_KEY_FUNCTION(atoi(key + 2));
    ck_assert_msg(code != VTERM_KEY_NONE || key[0] != '{', "no such key: %s",
                  key);
    if (code != VTERM_KEY_NONE)
        vterm_keyboard_key(terminal, code, VTERM_MOD_NONE);
    else
        vterm_keyboard_unichar(terminal, (unsigned char)key[0], VTERM_MOD_NONE);
    send();
}

static VTermScreenCell cell_at(int row, int column)
{
    VTermScreenCell cell;

    memset(&cell, 0, sizeof(cell));
    vterm_screen_get_cell(cells, (VTermPos){.row = row, .col = column}, &cell);
    return cell;
}

/* The text of a row as top_grid_write() has it, without blanks at its end. */
static char *read_row(int row, int width, char *out)
{
    char *end = out;

    for (int column = 0; column < width; column++) {
        uint32_t c = cell_at(row, column).chars[0];

        if (c == (uint32_t)-1) /* the second half of a wide one */
            continue;
        top_encode(out, c == 0 ? ' ' : c);
        out += strlen(out);
        if (c != 0 && c != ' ')
            end = out;
    }
    *end++ = '\n';
    *end = '\0';
    return end;
}

static void read_screen(char text[SCREEN_BYTES])
{
    int width, height;

    vterm_get_size(terminal, &height, &width);
    for (int row = 0; row < height; row++)
        text = read_row(row, width, text);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits until the terminal shows what the views draw; then, or when patience is at
 * its end, `have` is what it shows. */
static void await_drawn(void)
{
    static char want[SCREEN_BYTES];
    uint64_t end = now_ms() + (uint64_t)PATIENCE_MS;

    memset(want, 0, sizeof(want));
    render(want);
    for (;;) {
        read_screen(have);
        if (strcmp(have, want) == 0 || now_ms() > end)
            return;
        take();
    }
}

static void press_both(const struct saved_screen *screen, const char *key)
{
    type_key(key);
    press_one(screen, key);
    await_drawn();
}

/* ---- tests ------------------------------------------------------------------ */

START_TEST(a_terminal_shows_what_is_saved)
{
    const struct saved_screen *screen = &screens[_i];
    char key[16];

    if (!has_utf8("a_terminal_shows_what_is_saved"))
        return;
    start(screen);
    sample_all(screen->turns);
    draw(screen->width, screen->height, screen->utf8);
    await_drawn();
    for (const char *keys = screen->keys; (keys = next_key(keys, key)) != NULL;)
        press_both(screen, key);
    compare(screen->name);
}
END_TEST

/* The letter of a style, from what the terminal's cell looks like. */
static char style_of(const VTermScreenCell *cell)
{
    static const struct {
        int colour;
        bool bold;
        char letter;
    } styles[] = {{-1, false, '.'},  {-1, true, '!'},   {243, false, 'f'},
                  {74, true, 'T'},   {250, true, 'H'},  {109, false, 'l'},
                  {108, false, 'g'}, {179, false, 'w'}, {167, true, 'b'},
                  {67, false, 'c'}};
    int colour = VTERM_COLOR_IS_INDEXED(&cell->fg) ? cell->fg.indexed.idx : -1;

    if (VTERM_COLOR_IS_DEFAULT_FG(&cell->fg))
        colour = -1;
    for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
        if (styles[i].colour == colour &&
            styles[i].bold == (cell->attrs.bold != 0))
            return styles[i].letter;
    return '?';
}

/* Cells of which only the text matters: blanks look alike in every colour. */
static bool is_blank(const VTermScreenCell *cell)
{
    return cell->chars[0] == 0 || cell->chars[0] == ' ' ||
           cell->chars[0] == (uint32_t)-1;
}

START_TEST(colours_are_those_of_the_styles)
{
    const struct saved_screen screen = {"", 80, 24, true, 9, ""};
    static char want[SCREEN_BYTES];

    if (!has_utf8("colours_are_those_of_the_styles"))
        return;
    start(&screen);
    sample_all(9);
    draw(80, 24, true);
    await_drawn();
    press_both(&screen, "{Down}");
    render_styles(want);
    for (int row = 0; row < 24; row++)
        for (int column = 0; column < 80; column++) {
            VTermScreenCell cell = cell_at(row, column);
            bool chosen = VTERM_COLOR_IS_INDEXED(&cell.bg) &&
                          !VTERM_COLOR_IS_DEFAULT_BG(&cell.bg) &&
                          cell.bg.indexed.idx == 238;
            char letter = want[row * 81 + column];

            ck_assert_int_eq(chosen, grid.cell[row * 80 + column].selected);
            if (!is_blank(&cell) && letter != '>')
                ck_assert_msg(style_of(&cell) == letter,
                              "row %d, column %d: have %c, want %c", row,
                              column, style_of(&cell), letter);
        }
}
END_TEST

/* Every size on the way, and what is drawn after it. */
START_TEST(a_size_that_changes_leaves_nothing_behind)
{
    static const int sizes[][2] = {{200, 50}, {60, 16}, {80, 24},
                                   {59, 16},  {61, 40}, {80, 24}};
    struct saved_screen screen = {"80x24", 80, 24, true, 9, ""};

    if (!has_utf8("a_size_that_changes_leaves_nothing_behind"))
        return;
    start(&screen);
    sample_all(9);
    draw(80, 24, true);
    await_drawn();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        vterm_set_size(terminal, sizes[i][1], sizes[i][0]);
        ck_assert(pty_resize(master, sizes[i][0], sizes[i][1]));
        draw(sizes[i][0], sizes[i][1], true);
        await_drawn();
    }
    compare("80x24");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("govtop pty");
    TCase *tc = tcase_create("pty");
    int probe = pty_open(80, 24);

    if (probe < 0) { /* a bare root without /dev/pts */
        skip_test("govtop pty", "no pseudo-terminal can be had here");
        return s;
    }
    close(probe);
    tcase_add_checked_fixture(tc, set_up, close_all);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_terminal_shows_what_is_saved, 0, SCREENS);
    tcase_add_test(tc, colours_are_those_of_the_styles);
    tcase_add_test(tc, a_size_that_changes_leaves_nothing_behind);
    suite_add_tcase(s, tc);
    return s;
}
