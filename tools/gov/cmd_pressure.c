/* SPDX-License-Identifier: MIT */
/* gov pressure: simulates pressure in governed processes, makes them give memory
 * back, shows levels as they change, and what tells of them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/gov/pressure_sources.h"
#include "tools/gov/pressure_watch.h"

/* A monitor looks four times a second; a host of its own loop perhaps less. */
#define FOLLOW_MS 2000
/* Relief waits for the end of a pass, and is measured for a while. */
#define RELIEVE_MS 10000
#define NOT_GIVEN UINT64_MAX

struct pressure {
    const char *simulate; /* NULL: not given */
    uint64_t relieve;     /* NOT_GIVEN */
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

/* NULL: there is none. */
static const struct gov_page *page_of(int32_t pid)
{
    size_t count;

    if (gov_page_list(pages, GOV_WATCH_PROCESSES, &count, NULL, NULL) != GOV_OK)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (pages[i].pid == pid)
            return &pages[i];
    return NULL;
}

/* Whether the page shows what was asked for. */
static bool follows(const struct pressure *pressure, int32_t pid)
{
    const struct gov_page *page = page_of(pid);

    if (page == NULL)
        return false;
    return pressure->end
               ? page->counter[GOV_PAGE_LEVEL_SIMULATED] == 0
               : page->counter[GOV_PAGE_LEVEL_SIMULATED] == 1 &&
                     page->counter[GOV_PAGE_LEVEL] == (uint64_t)pressure->level;
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

/* ---- relieving ------------------------------------------------------------------- */

/* What came of it, which its page shows when it is over; NULL: it is not. Somebody
 * else may have asked for something else meanwhile. */
static const char *outcome(int32_t pid, uint64_t bytes, uint64_t since_us)
{
    const struct gov_page *page = page_of(pid);
    char begin[64] = "asked to give back what there is:";

    if (bytes != 0)
        snprintf(begin, sizeof(begin),
                 "asked to give back %" PRIu64 " KiB:", bytes >> 10);

    for (size_t i = 0; page != NULL && i < GOV_PAGE_EVENTS; i++) {
        const struct gov_page_event *event = &page->event[i];

        if (event->at_us >= since_us && event->kind == GOV_EVENT_NOTICE &&
            strncmp(event->text, begin, strlen(begin)) == 0)
            return event->text;
    }
    return NULL;
}

/* False, and it has printed why, when the process was not told or is not done. */
static bool relieve_in(const struct pressure *pressure, int32_t pid,
                       const char *app)
{
    const struct timespec pause = {0, 20000000};
    const uint64_t now_us = cli_now_us();
    const char *what = NULL;
    gov_error err;

    if (gov_control_relieve(pid, pressure->relieve, NULL, &err) != GOV_OK) {
        gov_fails("pressure", &err);
        return false;
    }
    while ((what = outcome(pid, pressure->relieve, now_us)) == NULL) {
        if (cli_now_us() - now_us > RELIEVE_MS * UINT64_C(1000)) {
            fprintf(stderr,
                    "gov pressure: process %" PRId32 " was told and is not "
                    "done; is it stopped, or in a long pass?\n",
                    pid);
            return false;
        }
        nanosleep(&pause, NULL);
    }
    printf("%" PRId32 "%s%s: %s\n", pid, app[0] != '\0' ? " " : "", app, what);
    return true;
}

/* ---- all of them ----------------------------------------------------------------- */

static bool tell(const struct pressure *pressure, int32_t pid, const char *app)
{
    return pressure->simulate != NULL ? simulate_in(pressure, pid, app)
                                      : relieve_in(pressure, pid, app);
}

static int tell_them(const struct pressure *pressure)
{
    struct {
        int32_t pid;
        char app[sizeof(pages[0].text_APP)];
    } targets[GOV_WATCH_PROCESSES];
    gov_error err;
    size_t count;
    bool all = true;

    if (pressure->pid != 0) {
        all = tell(pressure, (int32_t)pressure->pid, "");
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
        all &= tell(pressure, targets[i].pid, targets[i].app);
    return all ? gov_finish("pressure") : GOV_EXIT_FAILURE;
}

/* ---- the command ------------------------------------------------------------------ */

static int run_command(struct pressure *pressure)
{
    const bool relieve = pressure->relieve != NOT_GIVEN;

    if (pressure->watch + pressure->sources + (pressure->simulate != NULL) +
            relieve !=
        1)
        return wrong("give one of --simulate LEVEL, --relieve BYTES, --watch "
                     "and --sources.");
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
    if (relieve)
        return pressure->for_ms != 0
                   ? wrong("--for is for --simulate and --watch.")
                   : tell_them(pressure);
    if (!read_level(pressure)) {
        fprintf(stderr,
                "gov pressure: %s is no level; simulate normal, warn or "
                "critical, or real to end it\n",
                cli_show(pressure->simulate).text);
        return CLI_EXIT_USAGE;
    }
    if (pressure->for_ms == 0)
        pressure->for_ms = 60000;
    return tell_them(pressure);
}

int gov_cmd_pressure(int argc, char **argv)
{
    struct pressure pressure = {.relieve = NOT_GIVEN};
    const struct cli_option options[] = {
        {"--simulate", 's', CLI_TEXT, 0, 0, &pressure.simulate, "LEVEL",
         "tell a governed process to take normal, warn or critical for the "
         "level in force; real ends it"},
        {"--relieve", 'r', CLI_BYTES, 0, INT64_MAX, &pressure.relieve, "BYTES",
         "make a governed process give back so much now, as at warn, and print "
         "what it gave; 0: all that it would"},
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
         "tell all governed processes of this user"},
        {"--json", 0, CLI_FLAG, 0, 0, &pressure.json, NULL,
         "print JSON; with --watch, one object a line"},
    };
    const struct cli_command command = {
        .name = "gov pressure",
        .synopsis =
            "--simulate LEVEL [--for TIME] [--pid N | --all]\n"
            "       gov pressure --relieve BYTES [--pid N | --all]\n"
            "       gov pressure --watch [--for TIME] [--pid N] [--json]\n"
            "       gov pressure --sources [--json]",
        .sentence =
            "Simulates memory pressure in running governed processes, "
            "to see what they do; makes them give memory back; or shows levels "
            "as they change, and what tells of them.",
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    return run_command(&pressure);
}
