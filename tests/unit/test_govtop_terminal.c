/* SPDX-License-Identifier: MIT */
/* The built govtop on a terminal of its own: it answers keys and sizes, and
 * gives the terminal back however it ends. $B is the build directory. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/support/pty.h"
#include "tests/support/run.h"

#define PATIENCE_MS 10000

static int master = -1;
static pid_t child;
static struct termios before;
static char output[1 << 18]; /* all that was printed */
static size_t printed;

static void resize(unsigned short columns, unsigned short rows)
{
    ck_assert(pty_resize(master, columns, rows));
}

static void run_govtop(const char *terminal, const char *type)
{
    const char *build = getenv("B");
    char path[512];

    pty_enter(terminal, type);
    close(master);
    setenv("LC_ALL", "C.UTF-8", 1);
    snprintf(path, sizeof(path), "%s/bin/govtop",
             build != NULL ? build : "build/plain");
    execl(path, "govtop", "--delay", "0.1", (char *)NULL);
    fprintf(stderr, "%s cannot be run: %s\n", path, strerror(errno));
    _exit(127);
}

static void start(const char *type)
{
    printed = 0;
    output[0] = '\0';
    setenv("XDG_RUNTIME_DIR", fresh_directory(), 1);
    master = pty_open(80, 24);
    ck_assert_int_ge(master, 0);
    ck_assert_int_eq(tcgetattr(master, &before), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        run_govtop(ptsname(master), type);
}

/* Reads what there is; false when there is nothing more to come. */
static bool take(void)
{
    struct pollfd input = {.fd = master, .events = POLLIN};
    ssize_t n;

    if (poll(&input, 1, PATIENCE_MS) <= 0)
        return false;
    if (printed + 1 >= sizeof(output))
        return false;
    n = read(master, output + printed, sizeof(output) - 1 - printed);
    if (n <= 0)
        return false;
    printed += (size_t)n;
    output[printed] = '\0';
    return true;
}

/* Waits for a text that is printed after what `from` counts. */
static void await(size_t from, const char *text)
{
    while (strstr(output + from, text) == NULL)
        ck_assert_msg(take(), "'%s' was not shown in\n%s", text, output + from);
}

static void press(const char *keys)
{
    ck_assert_int_eq(write(master, keys, strlen(keys)), (ssize_t)strlen(keys));
}

static int finish(void)
{
    int status = 0;

    while (take())
        ;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static void is_given_back(void)
{
    struct termios after;
    const char *left = NULL, *at = output;

    /* It is left once at the beginning, too (see top_screen_open()). */
    while ((at = strstr(at, "\033[?1049l")) != NULL)
        left = at++;
    ck_assert_int_eq(tcgetattr(master, &after), 0);
    ck_assert_uint_eq(after.c_lflag, before.c_lflag);
    ck_assert_uint_eq(after.c_iflag, before.c_iflag);
    ck_assert_uint_eq(after.c_oflag, before.c_oflag);
    ck_assert_msg(left != NULL, "the alternate screen was not left");
    ck_assert_msg(strstr(left, "\033[?1049h") == NULL,
                  "the alternate screen was entered again");
    ck_assert_msg(strstr(output, "\033[?25l") != NULL &&
                      (strstr(output, "\033[?12l\033[?25h") != NULL ||
                       strstr(output, "\033[?25h") != NULL),
                  "the cursor is hidden");
}

static void tear_down(void)
{
    if (master >= 0)
        close(master);
    master = -1;
    drop_directory();
}

START_TEST(keys_are_answered)
{
    size_t seen;
    int status;

    start("xterm-256color");
    await(0, "no governed process");
    seen = printed;
    press("?");
    await(seen, "is unknown, not zero");
    seen = printed;
    press("\033OP"); /* F1 closes it */
    await(seen, "no governed process");
    seen = printed;
    press(" ");
    await(seen, "paused");
    seen = printed;
    press("q");
    status = finish();
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    is_given_back();
}
END_TEST

/* As a terminal sends them, from view to view. */
START_TEST(views_are_reached_by_keys)
{
    static const struct {
        const char *keys, *shown;
    } steps[] = {
        {"\033[18~", "nothing has happened"}, /* F7 */
        {"\033", "no governed process"},
        {"\033[15~", "Escape goes back"}, /* F5 */
        {"\033", "no governed process"},
        {"\033[17~", "sort by"}, /* F6 */
        {"\033", "no governed process"},
        {"\033[20~", "there is no process to tell anything"}, /* F9 */
        {"\\", "filter:"},
        {"nobody", "nobody"},
        {"\177\177", "nobo"},
        {"\r", "no row has the text"},
        {"\033", "no governed process"},
        {"/", "search:"},
        {"\xE7\xBC\x96", "\xE7\xBC\x96"},
        {"\033", "F1"},
    };

    start("xterm-256color");
    await(0, "no governed process");
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        size_t seen = printed;

        press(steps[i].keys);
        /* What is on the screen already is not printed again: all of it is. */
        resize(i % 2 == 0 ? 90 : 80, 24);
        await(seen, steps[i].shown);
    }
    press("q");
    ck_assert_int_eq(finish(), 0);
    is_given_back();
}
END_TEST

START_TEST(sizes_are_followed)
{
    size_t seen;

    start("xterm");
    await(0, "no governed process");
    seen = printed;
    resize(40, 10);
    await(seen, "needs 60x16");
    seen = printed;
    resize(100, 30);
    await(seen, "no governed process");
    press("\033[21~"); /* F10 */
    ck_assert_int_eq(finish(), 0);
    is_given_back();
}
END_TEST

static const int signals[] = {SIGTERM, SIGINT,  SIGHUP, SIGQUIT,
                              SIGSEGV, SIGABRT, SIGBUS};

START_TEST(signals_give_the_terminal_back)
{
    int status;

    start("xterm-256color");
    await(0, "no governed process");
    ck_assert_int_eq(kill(child, signals[_i]), 0);
    status = finish();
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), signals[_i]);
    is_given_back();
}
END_TEST

START_TEST(the_interrupt_key_ends_it)
{
    int status;

    start("xterm");
    await(0, "no governed process");
    press("\003");
    status = finish();
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGINT);
    is_given_back();
}
END_TEST

/* A terminal that goes away must not leave a process that spins. */
START_TEST(a_lost_terminal_ends_it)
{
    int status;

    start("xterm");
    await(0, "no governed process");
    close(master);
    master = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    /* By the signal or by what poll() says, whichever comes first. */
    ck_assert(status == 0 ||
              (WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP));
}
END_TEST

START_TEST(an_unknown_type_is_said)
{
    int status;

    start("no-such-terminal");
    status = finish();
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    ck_assert_str_eq(output,
                     "govtop: the terminal type no-such-terminal cannot show "
                     "the live view; set TERM, or use --once or --batch\r\n");
}
END_TEST

START_TEST(no_colour_means_none)
{
    start("xterm-256color");
    await(0, "no governed process");
    press("q");
    ck_assert_int_eq(finish(), 0);
    ck_assert_ptr_nonnull(strstr(output, "\033[38;5;"));
    close(master);
    setenv("NO_COLOR", "1", 1);
    start("xterm-256color");
    await(0, "no governed process");
    press("q");
    ck_assert_int_eq(finish(), 0);
    ck_assert_ptr_null(strstr(output, "\033[38;5;"));
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("govtop terminal");
    TCase *tc = tcase_create("terminal");
    int probe = pty_open(80, 24);

    if (probe < 0) { /* a bare root without /dev/pts */
        skip_test("govtop terminal", "no pseudo-terminal can be had here");
        return s;
    }
    close(probe);
    tcase_add_checked_fixture(tc, NULL, tear_down);
    tcase_set_timeout(tc, 40);
    tcase_add_test(tc, keys_are_answered);
    tcase_add_test(tc, views_are_reached_by_keys);
    tcase_add_test(tc, sizes_are_followed);
    tcase_add_loop_test(tc, signals_give_the_terminal_back, 0,
                        (int)(sizeof(signals) / sizeof(signals[0])));
    tcase_add_test(tc, the_interrupt_key_ends_it);
    tcase_add_test(tc, a_lost_terminal_ends_it);
    tcase_add_test(tc, an_unknown_type_is_said);
    tcase_add_test(tc, no_colour_means_none);
    suite_add_tcase(s, tc);
    return s;
}
