/* SPDX-License-Identifier: MIT */
/* govtop: what governed processes publish, live. Reads pages and the machine's own
 * figures; a process is told something only when the user asks for it. */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/cli/options.h"
#include "tools/cli/text.h"
#include "tools/govtop/top_csv.h"
#include "tools/govtop/top_json.h"
#include "tools/govtop/top_parts.h"
#include "tools/govtop/top_sample.h"
#include "tools/govtop/top_screen.h"

/* Between the first two samples, from which the first rates come: pages are written
 * once a second while there is plenty. */
#define FIRST_MS 1200
#define NO_BATCH UINT64_MAX

static struct {
    bool once, json, csv, all;
    uint64_t delay_ms, batch;
    const char *directory;
} wish = {.delay_ms = 1000, .batch = NO_BATCH};

static const struct cli_option options[] = {
    {"--delay", 'd', CLI_SECONDS, 100, 60000, &wish.delay_ms, "SECONDS",
     "time between two samples, 0.1 to 60; 1 unless given"},
    {"--all", 'a', CLI_FLAG, 0, 0, &wish.all, NULL,
     "also processes that run models and are not governed"},
    {"--once", '1', CLI_FLAG, 0, 0, &wish.once, NULL,
     "print one frame as text and exit; as wide as $COLUMNS, or 100"},
    {"--json", 'j', CLI_FLAG, 0, 0, &wish.json, NULL,
     "print one sample as a JSON object and exit"},
    {"--csv", 'c', CLI_FLAG, 0, 0, &wish.csv, NULL,
     "print one sample as comma-separated values, a row a process, and exit"},
    {"--batch", 'b', CLI_COUNT, 0, 0, &wish.batch, "N",
     "print N samples, the delay apart, and exit; 0 for ever; frames, or with "
     "--json or --csv lines"},
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

static struct top_source source;
static struct top_model model;

static int fail(const char *message)
{
    fprintf(stderr, "govtop: %s\n", message);
    return 1;
}

/* ---- output that is not live ------------------------------------------------ */

/* Whoever reads the pipe has seen enough. */
static int fail_output(const char *message)
{
    return errno == EPIPE ? 0 : fail(message);
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

static bool print_frame(uint64_t number)
{
    struct top_state state = {
        .sort = TOP_FOOTPRINT, .plain = true, .others = wish.all};
    struct top_grid grid = {0};

    if (number > 0)
        putchar('\n');
    if (!top_grid_open(&grid, columns(), top_view_height(&model, &state),
                       cli_utf8()))
        return false;
    top_view_draw(&grid, &model, &state);
    top_grid_write(&grid, stdout, wants_colour());
    top_grid_close(&grid);
    return fflush(stdout) == 0 && !ferror(stdout);
}

static int64_t unix_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool print_sample(uint64_t number)
{
    if (wish.csv)
        return top_csv_write(&model, wish.all, unix_ms(), stdout);
    if (wish.json)
        return top_json_write(&source.sample, wish.all, wish.batch != NO_BATCH,
                              stdout);
    return print_frame(number);
}

static void wait_until(uint64_t due_ms)
{
    uint64_t now = top_now_ms(), left = due_ms > now ? due_ms - now : 0;
    struct timespec pause = {(time_t)(left / 1000),
                             (long)(left % 1000 * 1000000)};

    while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
        ;
}

/* A sample of nothing has no rows to be written, and who would have read them may be
 * gone all the same. */
static bool reader_is_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};

    return poll(&output, 1, 0) > 0 && (output.revents & POLLERR) != 0;
}

static bool sample(gov_error *err)
{
    if (top_source_take(&source, err) != GOV_OK ||
        top_source_look(&source, wish.all, err) != GOV_OK)
        return false;
    top_model_update(&model, &source.sample);
    return true;
}

static int print_all(void)
{
    const char *what = wish.csv || wish.json
                           ? "cannot write the sample to the standard output"
                           : "cannot write the frame to the standard output";
    uint64_t wanted = wish.batch == NO_BATCH ? 1 : wish.batch, n = 0, due;
    gov_error err;

    /* A reader that has gone is told by write(). */
    signal(SIGPIPE, SIG_IGN);
    if (wish.csv && !top_csv_header(stdout))
        return fail_output(what);
    if (!sample(&err))
        return fail(err.message);
    due = top_now_ms();
    if (!wish.json) { /* rates need a sample before */
        due += wish.batch != NO_BATCH && wish.delay_ms < FIRST_MS
                   ? wish.delay_ms
                   : FIRST_MS;
        wait_until(due);
    }
    for (;;) {
        if ((n > 0 || !wish.json) && !sample(&err))
            return fail(err.message);
        errno = 0;
        if (!print_sample(n))
            return fail_output(what);
        n++;
        if (n == wanted || reader_is_gone())
            return 0;
        due += wish.delay_ms;
        wait_until(due);
    }
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

static void take_sample(struct top_state *state)
{
    gov_error err;

    state->problem[0] = '\0';
    if (top_source_take(&source, &err) != GOV_OK)
        memcpy(state->problem, err.message, sizeof(state->problem));
    if (top_source_look(&source, state->others, &err) != GOV_OK) {
        top_say(state, true, "%s", err.message);
        state->others = false;
    }
    top_model_update(&model, &source.sample);
}

/* Takes the keys that are there; false when one of them ends the program. */
static bool take_keys(struct top_state *state)
{
    bool more = true, others = state->others;

    while (more) {
        if (!top_view_key(state, &model, top_screen_key(&more)))
            return false;
        top_order_run(state, wish.directory);
    }
    if (state->others && !others)
        take_sample(state); /* whoever asks for them sees them at once */
    return true;
}

static bool live(struct top_grid *grid)
{
    struct top_state state = {
        .sort = TOP_FOOTPRINT, .others = wish.all, .delay_ms = wish.delay_ms};
    uint64_t last = top_now_ms();

    take_sample(&state);
    for (;;) {
        uint64_t now, due;
        enum top_wait wait;

        if (!draw(grid, &state))
            return false;
        now = top_now_ms();
        due = last + state.delay_ms;
        wait = top_screen_wait(due > now ? due - now : 0);
        if (wait == TOP_WAIT_END)
            return true;
        if (wait == TOP_WAIT_INPUT && !take_keys(&state))
            return true;
        if (top_now_ms() < last + state.delay_ms)
            continue;
        last = top_now_ms();
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
    if (wish.json + wish.csv + wish.once > 1) {
        fail("--once, --json and --csv are kinds of output; choose one");
        return CLI_EXIT_USAGE;
    }
    if (wish.once && wish.batch != NO_BATCH) {
        fail("--once is one frame; use --batch without it");
        return CLI_EXIT_USAGE;
    }
    source.directory = wish.directory;
    top_source_gpu(&model.gpu);
    if (wish.once || wish.json || wish.csv || wish.batch != NO_BATCH)
        return print_all();
    return run_live();
}
