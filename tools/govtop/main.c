/* SPDX-License-Identifier: MIT */
/* govtop: what governed processes publish, live. Reads pages and the machine's
 * own figures; never writes to a process. */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/cli/options.h"
#include "tools/cli/text.h"
#include "tools/govtop/top_json.h"
#include "tools/govtop/top_screen.h"

/* Between the two samples of --once, from which rates come. */
#define ONCE_MS 500

static struct {
    bool once, json;
    uint64_t delay_ms;
    const char *directory;
} wish = {false, false, 1000, NULL};

static const struct cli_option options[] = {
    {"--delay", 'd', CLI_SECONDS, 100, 60000, &wish.delay_ms, "SECONDS",
     "time between two samples, 0.1 to 60; 1 unless given"},
    {"--once", '1', CLI_FLAG, 0, 0, &wish.once, NULL,
     "print one frame as text and exit; as wide as $COLUMNS, or 100"},
    {"--json", 'j', CLI_FLAG, 0, 0, &wish.json, NULL,
     "print one sample as a JSON object and exit"},
    {"--directory", 0, CLI_TEXT, 0, 0, &wish.directory, "DIR",
     "read the pages in DIR"},
};

static const struct cli_command command = {
    .name = "govtop",
    .synopsis = "[OPTION]...",
    .sentence = "Shows the memory of processes under the governor, live: "
                "footprint, pressure, weights, KV cache, and what relief gave "
                "back.",
    .version = GOV_VERSION,
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .notes = "In the live view, F1 lists the keys. See govtop(1).",
};

/* ---- sampling --------------------------------------------------------------- */

static struct gov_machine machine;
static struct gov_page pages[TOP_PROCESSES];
static size_t page_count;
static struct top_model model;

static gov_status sample(gov_error *err)
{
    gov_machine_now(&machine);
    return gov_page_list(pages, TOP_PROCESSES, &page_count, wish.directory,
                         err);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int fail(const char *message)
{
    fprintf(stderr, "govtop: %s\n", message);
    return 1;
}

/* ---- one frame -------------------------------------------------------------- */

static int print_json(void)
{
    gov_error err;

    if (sample(&err) != GOV_OK)
        return fail(err.message);
    if (!top_json_write(&machine, pages, page_count, stdout))
        return fail("cannot write the sample to the standard output");
    return 0;
}

static int columns(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *text = getenv("COLUMNS");
    uint64_t n;

    if (text == NULL || !cli_read_count(text, &n) || n == 0)
        return 100;
    return n < TOP_LEAST_WIDTH ? TOP_LEAST_WIDTH : n > 1000 ? 1000 : (int)n;
}

static bool wants_colour(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
    const char *no_colour = getenv("NO_COLOR"), *type = getenv("TERM");
    /* NOLINTEND(concurrency-mt-unsafe) */

    return isatty(STDOUT_FILENO) && type != NULL && type[0] != '\0' &&
           strcmp(type, "dumb") != 0 &&
           (no_colour == NULL || no_colour[0] == '\0');
}

static int print_frame(void)
{
    struct top_state state = {.sort = TOP_FOOTPRINT, .plain = true};
    struct timespec pause = {0, (long)ONCE_MS * 1000000};
    struct top_grid grid = {0};
    gov_error err;

    if (sample(&err) != GOV_OK)
        return fail(err.message);
    top_model_update(&model, &machine, pages, page_count);
    nanosleep(&pause, NULL);
    if (sample(&err) != GOV_OK)
        return fail(err.message);
    top_model_update(&model, &machine, pages, page_count);
    if (!top_grid_open(&grid, columns(), top_view_height(&model, &state),
                       cli_utf8()))
        return fail("out of memory");
    top_view_draw(&grid, &model, &state);
    top_grid_write(&grid, stdout, wants_colour());
    top_grid_close(&grid);
    if (fflush(stdout) != 0 || ferror(stdout))
        return fail("cannot write the frame to the standard output");
    return 0;
}

/* ---- live ------------------------------------------------------------------- */

static bool draw(struct top_grid *grid, struct top_state *state)
{
    int width, height;

    top_screen_size(&width, &height);
    if (!top_grid_open(grid, width, height, cli_utf8()))
        return false;
    top_view_draw(grid, &model, state);
    top_screen_show(grid);
    return true;
}

/* Takes the keys that are there; false when one of them ends the program. */
static bool take_keys(struct top_state *state)
{
    bool more = true;

    while (more)
        if (!top_view_key(state, &model, top_screen_key(&more)))
            return false;
    return true;
}

static void take_sample(struct top_state *state)
{
    gov_error err;

    state->problem[0] = '\0';
    if (sample(&err) != GOV_OK) {
        memcpy(state->problem, err.message, sizeof(state->problem));
        page_count = 0;
    }
    top_model_update(&model, &machine, pages, page_count);
}

static bool live(struct top_grid *grid)
{
    struct top_state state = {.sort = TOP_FOOTPRINT, .delay_ms = wish.delay_ms};
    uint64_t last = now_ms();

    take_sample(&state);
    for (;;) {
        uint64_t now, due;
        enum top_wait wait;

        if (!draw(grid, &state))
            return false;
        now = now_ms();
        due = last + state.delay_ms;
        wait = top_screen_wait(due > now ? due - now : 0);
        if (wait == TOP_WAIT_END)
            return true;
        if (wait == TOP_WAIT_INPUT && !take_keys(&state))
            return true;
        if (now_ms() < last + state.delay_ms)
            continue;
        last = now_ms();
        if (!state.paused)
            take_sample(&state);
    }
}

static int run_live(void)
{
    struct top_grid grid = {0};
    char message[GOV_MESSAGE_BYTES];
    bool done;

    if (!top_screen_open(message))
        return fail(message);
    done = live(&grid);
    top_screen_close();
    top_grid_close(&grid);
    if (!done)
        return fail("out of memory");
    if (top_screen_signal() != 0) {
        /* Whoever sent it learns that it was heeded. */
        signal(top_screen_signal(), SIG_DFL);
        raise(top_screen_signal());
    }
    return 0;
}

int main(int argc, char **argv)
{
    int exit_code;

    setlocale(LC_CTYPE, ""); /* NOLINT(concurrency-mt-unsafe): one thread */
    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (wish.json && wish.once) {
        fail("--json and --once are two kinds of output; choose one");
        return CLI_EXIT_USAGE;
    }
    if (wish.json)
        return print_json();
    return wish.once ? print_frame() : run_live();
}
