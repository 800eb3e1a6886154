/* SPDX-License-Identifier: MIT */
/* gov pressure: simulates pressure in governed processes, shows levels as they
 * change, and what tells of them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/gov/pressure_sources.h"
#include "tools/gov/pressure_watch.h"

/* A monitor looks four times a second; a host of its own loop perhaps less. */
#define FOLLOW_MS 2000

struct pressure {
    const char *simulate; /* NULL: --watch or --sources */
    bool watch, sources, all, json;
    uint64_t pid, for_ms; /* 0: not given */
    bool end;             /* "real" */
    gov_level level;
};

static struct gov_page pages[GOV_WATCH_PROCESSES];

static int wrong(const char *sentence)
{
    fprintf(stderr, "gov pressure: %s See gov pressure --help\n", sentence);
    return CLI_EXIT_USAGE;
}

static bool read_level(struct pressure *pressure)
{
    static const gov_level levels[] = {GOV_LEVEL_NORMAL, GOV_LEVEL_WARN,
                                       GOV_LEVEL_CRITICAL};

    pressure->end = strcmp(pressure->simulate, "real") == 0;
    for (size_t i = 0; i < 3; i++)
        if (strcmp(pressure->simulate, gov_level_name(levels[i])) == 0) {
            pressure->level = levels[i];
            return true;
        }
    return pressure->end;
}

/* ---- simulating ------------------------------------------------------------------ */

/* Whether the page shows what was asked for. */
static bool follows(const struct pressure *pressure, int32_t pid)
{
    size_t count;

    if (gov_page_list(pages, GOV_WATCH_PROCESSES, &count, NULL, NULL) != GOV_OK)
        return false;
    for (size_t i = 0; i < count; i++)
        if (pages[i].pid == pid)
            return pressure->end
                       ? pages[i].counter[GOV_PAGE_LEVEL_SIMULATED] == 0
                       : pages[i].counter[GOV_PAGE_LEVEL_SIMULATED] == 1 &&
                             pages[i].counter[GOV_PAGE_LEVEL] ==
                                 (uint64_t)pressure->level;
    return false;
}

static bool wait_until_it_follows(const struct pressure *pressure, int32_t pid)
{
    const struct timespec pause = {0, 20000000};
    const uint64_t end_us = cli_now_us() + FOLLOW_MS * UINT64_C(1000);

    while (!follows(pressure, pid)) {
        if (cli_now_us() > end_us)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* False, and it has printed why, when the process was not told or does not
 * follow. */
static bool simulate_in(const struct pressure *pressure, int32_t pid,
                        const char *app)
{
    const uint64_t for_ms = pressure->end ? 0 : pressure->for_ms;
    gov_error err;

    if (gov_control_simulate(pid, pressure->level, for_ms, NULL, &err) !=
        GOV_OK) {
        gov_fails("pressure", &err);
        return false;
    }
    if (!wait_until_it_follows(pressure, pid)) {
        fprintf(stderr,
                "gov pressure: process %" PRId32 " was told and does not "
                "follow; is it stopped, or busy with relief?\n",
                pid);
        return false;
    }
    printf("%" PRId32 "%s%s: ", pid, app[0] != '\0' ? " " : "", app);
    if (pressure->end)
        printf("back to real evidence\n");
    else
        printf("%s is simulated for %g s\n", gov_level_name(pressure->level),
               (double)for_ms / 1000);
    return true;
}

static int simulate(const struct pressure *pressure)
{
    struct {
        int32_t pid;
        char app[sizeof(pages[0].text_APP)];
    } targets[GOV_WATCH_PROCESSES];
    gov_error err;
    size_t count;
    bool all = true;

    if (pressure->pid != 0) {
        all = simulate_in(pressure, (int32_t)pressure->pid, "");
        return all ? gov_finish("pressure") : GOV_EXIT_FAILURE;
    }
    if (gov_page_list(pages, GOV_WATCH_PROCESSES, &count, NULL, &err) != GOV_OK)
        return gov_fails("pressure", &err);
    if (count == 0) {
        fprintf(stderr, "gov pressure: no governed process of this user is "
                        "running; start one with gov run\n");
        return GOV_EXIT_FAILURE;
    }
    if (count > 1 && !pressure->all)
        return wrong("several processes are governed; give --pid N or --all.");
    /* Looking whether they follow overwrites the pages. */
    for (size_t i = 0; i < count; i++) {
        targets[i].pid = pages[i].pid;
        memcpy(targets[i].app, pages[i].text_APP, sizeof(targets[i].app));
    }
    for (size_t i = 0; i < count; i++)
        all &= simulate_in(pressure, targets[i].pid, targets[i].app);
    return all ? gov_finish("pressure") : GOV_EXIT_FAILURE;
}

/* ---- the command ------------------------------------------------------------------ */

static int run_command(struct pressure *pressure)
{
    if (pressure->watch + pressure->sources + (pressure->simulate != NULL) != 1)
        return wrong("give one of --simulate LEVEL, --watch and --sources.");
    if (pressure->sources)
        return pressure->pid != 0 || pressure->all || pressure->for_ms != 0
                   ? wrong("--sources takes nothing but --json.")
                   : gov_pressure_sources(pressure->json);
    if (pressure->watch && pressure->all)
        return wrong("--watch shows all processes without --all.");
    if (pressure->watch)
        return gov_pressure_watch((int32_t)pressure->pid, pressure->for_ms,
                                  pressure->json);
    if (pressure->json)
        return wrong("--json is for --watch and --sources.");
    if (pressure->pid != 0 && pressure->all)
        return wrong("--pid is one process and --all are all of them.");
    if (!read_level(pressure)) {
        fprintf(stderr,
                "gov pressure: %s is no level; simulate normal, warn or "
                "critical, or real to end it\n",
                cli_show(pressure->simulate).text);
        return CLI_EXIT_USAGE;
    }
    if (pressure->for_ms == 0)
        pressure->for_ms = 60000;
    return simulate(pressure);
}

int gov_cmd_pressure(int argc, char **argv)
{
    struct pressure pressure = {0};
    const struct cli_option options[] = {
        {"--simulate", 's', CLI_TEXT, 0, 0, &pressure.simulate, "LEVEL",
         "tell a governed process to take normal, warn or critical for the "
         "level in force; real ends it"},
        {"--watch", 'w', CLI_FLAG, 0, 0, &pressure.watch, NULL,
         "print levels as they change, with the reason, until interrupted; "
         "this "
         "machine's where no process is governed"},
        {"--sources", 0, CLI_FLAG, 0, 0, &pressure.sources, NULL,
         "print what tells of memory pressure here, and why what does not, "
         "does "
         "not"},
        {"--for", 'f', CLI_SECONDS, 100, 86400000, &pressure.for_ms, "TIME",
         "simulate for TIME (60s), or watch no longer"},
        {"--pid", 'p', CLI_COUNT, 1, INT32_MAX, &pressure.pid, "N",
         "the governed process N; not needed where there is only one"},
        {"--all", 'a', CLI_FLAG, 0, 0, &pressure.all, NULL,
         "simulate in all governed processes of this user"},
        {"--json", 0, CLI_FLAG, 0, 0, &pressure.json, NULL,
         "print JSON; with --watch, one object a line"},
    };
    const struct cli_command command = {
        .name = "gov pressure",
        .synopsis =
            "--simulate LEVEL [--for TIME] [--pid N | --all]\n"
            "       gov pressure --watch [--for TIME] [--pid N] [--json]\n"
            "       gov pressure --sources [--json]",
        .sentence =
            "Simulates memory pressure in running governed processes, "
            "to see what they do; or shows levels as they change, and what "
            "tells of them.",
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    return run_command(&pressure);
}
