/* SPDX-License-Identifier: MIT */
/* publish_time DIRECTORY [--check]: what publishing takes of a processor, in
 * microseconds of its time, as a table: a page with everything that a page can hold,
 * all of which changes, written into the directory and read again. The medians of
 * many.
 *
 *   --check   exit status 1 where ten updates a second are 0.1 % of a core or more
 *
 * Links the library's insides: an update has no public name. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "governor/runtime/runtime_priv.h"

#define ROUNDS 201
#define AT_ONCE 20 /* to a reading of the clock */

static struct gov_runtime *runtime;
static uint32_t gauges;
static int directory = -1;
static uint64_t turn;
static struct gov_page page;

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double time_of(void (*work)(void))
{
    double took[ROUNDS];

    for (int round = 0; round < ROUNDS; round++) {
        const double began = now_us();

        for (int i = 0; i < AT_ONCE; i++)
            work();
        took[round] = (now_us() - began) / AT_ONCE;
    }
    qsort(took, ROUNDS, sizeof(took[0]), by_size);
    return took[ROUNDS / 2];
}

/* ---- what is timed --------------------------------------------------------------- */

static void change(void)
{
    turn++;
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        gov_gauges_set(runtime, gauges, (gov_page_counter)i, turn);
}

/* All that is done for the page after a look; what the look takes is not its. */
static void publish(void)
{
    change();
    gov__publish(runtime, &runtime->last, "headroom is half of the budget");
}

static void write_only(void)
{
    if (gov__page_writer_update(&runtime->writer, &page, NULL) != GOV_OK)
        exit(1);
}

static void sum(void)
{
    static uint8_t bytes[GOV__PAGE_BYTES];

    bytes[GOV__PAGE_AT_SEQUENCE] = (uint8_t)gov__page_checksum(bytes);
}

static void read_again(void)
{
    if (!gov__page_find(directory, (int32_t)getpid(), &page))
        exit(1);
}

static void step(void)
{
    gov_step(runtime);
}

/* ---- a full page ------------------------------------------------------------------ */

static uint64_t offer(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
    return 0;
}

static void run(void *ctx, gov_level level)
{
    (void)ctx;
    (void)level;
}

static bool fill(gov_error *err)
{
    char name[32], units[512];
    uint32_t id;

    gauges = gov_gauges_new(runtime);
    memset(units, 'H', sizeof(units) - 1);
    units[sizeof(units) - 1] = '\0';
    gov_gauges_text(runtime, gauges, GOV_PAGE_TEXT_UNITS, units);
    gov_gauges_text(runtime, gauges, GOV_PAGE_TEXT_MODEL, "a model");
    for (int i = 0; i < GOV_PAGE_ACTIONS; i++) {
        struct gov_relief relief = gov_relief_default();

        snprintf(name, sizeof(name), "action.%d", i);
        relief.name = name;
        relief.offer = offer;
        relief.run = run;
        if (gov_relief_add(runtime, &relief, &id, err) != GOV_OK)
            return false;
    }
    for (int i = 0; i < GOV_PAGE_EVENTS; i++)
        gov_notice(runtime,
                   "something happened that takes a whole sentence to tell");
    gov_step(runtime);
    return gov__page_directory_open(&directory, runtime->writer.directory,
                                    false, err) == GOV_OK &&
           gov__page_find(directory, (int32_t)getpid(), &page) &&
           page.action[GOV_PAGE_ACTIONS - 1].name[0] != '\0' &&
           page.event[GOV_PAGE_EVENTS - 1].at_us != 0;
}

static bool open_in(const char *name, gov_error *err)
{
    struct gov_options options = gov_options_default();

    *err = (gov_error){.message = "the page is not as it was to be"};
    options.app = "publish_time";
    options.no_thread = options.no_policy_files = true;
    return gov__open_on(&runtime, &options, gov__platform_native(), name,
                        err) == GOV_OK &&
           fill(err);
}

int main(int argc, char **argv)
{
    const bool check = argc == 3 && strcmp(argv[2], "--check") == 0;
    double all;
    gov_error err;

    if (argc != 2 && !check) {
        fprintf(stderr, "usage: publish_time DIRECTORY [--check]\n");
        return 2;
    }
    if (!open_in(argv[1], &err)) {
        fprintf(stderr, "publish_time: %s\n", err.message);
        gov_close(runtime);
        return 1;
    }
    all = time_of(publish);
    printf("| what | of a processor |\n|---|---|\n");
    printf("| an update, all that is done for it | %.1f us |\n", all);
    printf("| of that, encoding and writing | %.1f us |\n",
           time_of(write_only));
    printf("| of that, the checksum | %.2f us |\n", time_of(sum));
    printf("| updates once a second | %.4f %% of a core |\n", all / 1e4);
    printf("| updates ten times a second | %.4f %% of a core |\n", all / 1e3);
    printf("| a whole step, the look included | %.1f us |\n", time_of(step));
    printf("| reading a page | %.1f us |\n", time_of(read_again));
    close(directory);
    gov_close(runtime);
    return check && all / 1e3 >= 0.1 ? 1 : 0;
}
