/* SPDX-License-Identifier: MIT */
#include "tools/gov/pressure_watch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Pages change four times a second, and their levels seldom. */
#define LOOK_MS 100
#define STEP_LOOKS 2 /* looks to one step of the machine's own monitor */

/* One thing that has a level, as it was printed last. */
struct subject {
    int32_t pid; /* 0: this machine */
    uint64_t start_ticks;
    char app[32];
    gov_level level;
    bool simulated, seen;
};

struct watch {
    bool json, colour;
    uint64_t changes;
    gov_runtime *monitor; /* of the machine, without governed processes */
    struct subject machine;
    char machine_reason[192];
    bool machine_changed;
    size_t count;
    struct subject subject[GOV_WATCH_PROCESSES];
    struct gov_page pages[GOV_WATCH_PROCESSES];
};

/* What is said of one. */
struct line {
    const struct subject *subject;
    const char *event; /* "level" or "ended" */
    const char *reason;
    char evidence[192];
    const struct gov_page *page; /* NULL: the machine, or one that has ended */
};

/* ---- printing ---------------------------------------------------------------- */

static const char *paint(const struct watch *watch, gov_level level)
{
    if (!watch->colour)
        return "";
    return level >= GOV_LEVEL_CRITICAL ? "\033[31m"
           : level >= GOV_LEVEL_WARN   ? "\033[33m"
                                       : "\033[32m";
}

/* Local time with milliseconds: what happens here is set beside other logs. */
static void time_of_day(char *out, size_t bytes, const char *format)
{
    struct timespec now;
    struct tm parts;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    n = strftime(out, bytes, format, &parts);
    snprintf(out + n, bytes - n, ".%03ld", now.tv_nsec / 1000000);
}

static void print_text(const struct watch *watch, const struct line *line)
{
    const struct subject *subject = line->subject;
    const bool ended = strcmp(line->event, "ended") == 0;
    char clock[32], who[48] = "this machine";

    time_of_day(clock, sizeof(clock), "%H:%M:%S");
    if (subject->pid != 0)
        snprintf(who, sizeof(who), "%" PRId32 " %s", subject->pid,
                 subject->app);
    printf("%s  %-18s  %s%-8s%s  %s%s%s%s\n", clock, who,
           ended ? "" : paint(watch, subject->level),
           ended ? "ended" : gov_level_name(subject->level),
           watch->colour && !ended ? "\033[0m" : "", line->reason,
           line->evidence[0] != '\0' ? " (" : "", line->evidence,
           line->evidence[0] != '\0' ? ")" : "");
}

static void add_counters(json_t *object, const struct gov_page *page)
{
    static const gov_page_counter shown[] = {GOV_PAGE_BUDGET, GOV_PAGE_HEADROOM,
                                             GOV_PAGE_FOOTPRINT};

    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        if (page->have >> shown[i] & 1)
            json_object_set_new(
                object, gov_page_counter_name(shown[i]),
                json_integer((json_int_t)page->counter[shown[i]]));
    json_object_set_new(object, "backend", json_string(page->text_BACKEND));
}

static void print_json(const struct line *line)
{
    const struct subject *subject = line->subject;
    const bool ended = strcmp(line->event, "ended") == 0;
    char clock[48];
    json_t *object;

    time_of_day(clock, sizeof(clock), "%Y-%m-%dT%H:%M:%S");
    object = json_pack("{s:s, s:s}", "event", line->event, "time", clock);
    if (subject->pid != 0) {
        json_object_set_new(object, "pid", json_integer(subject->pid));
        json_object_set_new(object, "app", json_string(subject->app));
    }
    if (!ended) {
        json_object_set_new(object, "level",
                            json_string(gov_level_name(subject->level)));
        json_object_set_new(object, "simulated",
                            json_boolean(subject->simulated));
        json_object_set_new(object, "reason", json_string(line->reason));
    }
    if (line->page != NULL)
        add_counters(object, line->page);
    gov_print_json("pressure", object, false);
}

/* Each line is flushed: whoever reads along sees it when it happens. */
static void print_line(const struct watch *watch, const struct line *line)
{
    if (watch->json) {
        print_json(line);
        return;
    }
    print_text(watch, line);
    fflush(stdout);
}

/* ---- processes ---------------------------------------------------------------- */

static uint64_t counter(const struct gov_page *page, gov_page_counter which)
{
    return page->have >> which & 1 ? page->counter[which] : 0;
}

static void print_page(struct watch *watch, const struct subject *subject,
                       const struct gov_page *page)
{
    struct line line = {subject, "level", page->text_REASON, "", page};
    char left[CLI_SIZE_BYTES], of[CLI_SIZE_BYTES], used[CLI_SIZE_BYTES];

    if (page->have >> GOV_PAGE_HEADROOM & 1)
        snprintf(line.evidence, sizeof(line.evidence),
                 "headroom %s of %s, footprint %s",
                 cli_size(left, counter(page, GOV_PAGE_HEADROOM)),
                 cli_size(of, counter(page, GOV_PAGE_BUDGET)),
                 cli_size(used, counter(page, GOV_PAGE_FOOTPRINT)));
    print_line(watch, &line);
}

/* The process of a page among those known; NULL where it is new and there is no
 * room. *is_new: nothing was printed of it yet. */
static struct subject *subject_of(struct watch *watch,
                                  const struct gov_page *page, bool *is_new)
{
    struct subject *subject;

    *is_new = false;
    for (size_t i = 0; i < watch->count; i++)
        if (watch->subject[i].pid == page->pid &&
            watch->subject[i].start_ticks == page->start_ticks)
            return &watch->subject[i];
    if (watch->count == GOV_WATCH_PROCESSES)
        return NULL;
    *is_new = true;
    subject = &watch->subject[watch->count++];
    memset(subject, 0, sizeof(*subject));
    subject->pid = page->pid;
    subject->start_ticks = page->start_ticks;
    memcpy(subject->app, page->text_APP, sizeof(subject->app));
    return subject;
}

static void look_at_page(struct watch *watch, const struct gov_page *page)
{
    const gov_level level = (gov_level)counter(page, GOV_PAGE_LEVEL);
    const bool simulated = counter(page, GOV_PAGE_LEVEL_SIMULATED) != 0;
    struct subject *subject;
    bool is_new;

    subject = subject_of(watch, page, &is_new);
    if (subject == NULL)
        return;
    subject->seen = true;
    if (!is_new && subject->level == level && subject->simulated == simulated)
        return;
    watch->changes += !is_new && subject->level != level;
    subject->level = level;
    subject->simulated = simulated;
    print_page(watch, subject, page);
}

static void drop_ended(struct watch *watch)
{
    size_t kept = 0;

    for (size_t i = 0; i < watch->count; i++) {
        struct subject *subject = &watch->subject[i];
        const struct line line = {subject, "ended", "", "", NULL};

        if (!subject->seen) {
            print_line(watch, &line);
            continue;
        }
        subject->seen = false;
        watch->subject[kept++] = *subject;
    }
    watch->count = kept;
}

static gov_status look_at_processes(struct watch *watch, int32_t pid,
                                    gov_error *err)
{
    size_t count;
    gov_status status =
        gov_page_list(watch->pages, GOV_WATCH_PROCESSES, &count, NULL, err);

    if (status != GOV_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (pid == 0 || watch->pages[i].pid == pid)
            look_at_page(watch, &watch->pages[i]);
    drop_ended(watch);
    return GOV_OK;
}

/* ---- this machine -------------------------------------------------------------- */

static void on_event(void *ctx, const struct gov_event *event)
{
    struct watch *watch = ctx;

    if (event->kind != GOV_EVENT_LEVEL)
        return;
    /* The text starts with the level's name, which has a column here. */
    snprintf(watch->machine_reason, sizeof(watch->machine_reason), "%s",
             strchr(event->text, ' ') != NULL ? strchr(event->text, ' ') + 1
                                              : event->text);
    watch->machine_changed = true;
}

static void print_machine(struct watch *watch)
{
    struct line line = {&watch->machine, "level", watch->machine_reason, "",
                        NULL};
    char left[CLI_SIZE_BYTES], of[CLI_SIZE_BYTES];
    struct gov_machine now;

    gov_machine_now(&now);
    if ((now.have & GOV_MACHINE_HAVE_RAM) != 0)
        snprintf(line.evidence, sizeof(line.evidence), "%s of %s available",
                 cli_size(left, now.available_bytes),
                 cli_size(of, now.ram_bytes));
    watch->machine.level = gov_level_now(watch->monitor);
    print_line(watch, &line);
}

static gov_status open_monitor(struct watch *watch, gov_error *err)
{
    struct gov_options options = gov_options_default();
    gov_status status;

    options.app = "gov pressure";
    options.no_thread = true;
    options.no_publish = true;
    status = gov_open(&watch->monitor, &options, err);
    if (status != GOV_OK)
        return status;
    gov_on_event(watch->monitor, on_event, watch);
    gov_describe(watch->monitor, watch->machine_reason,
                 sizeof(watch->machine_reason));
    print_machine(watch);
    return GOV_OK;
}

static void look_at_machine(struct watch *watch)
{
    gov_step(watch->monitor);
    if (!watch->machine_changed)
        return;
    watch->machine_changed = false;
    watch->changes++;
    print_machine(watch);
}

/* ---- the watch ----------------------------------------------------------------- */

/* The last line: whoever reads it knows that nothing is missing. */
static void print_end(const struct watch *watch, uint64_t began_us)
{
    const uint64_t ms = (cli_now_us() - began_us) / 1000;

    if (watch->json)
        gov_print_json("pressure",
                       json_pack("{s:s, s:I, s:I}", "event", "end",
                                 "watched_ms", (json_int_t)ms, "changes",
                                 (json_int_t)watch->changes),
                       false);
    else
        printf("watched for %" PRIu64 ".%" PRIu64 " s: %" PRIu64
               " change%s of level\n",
               ms / 1000, ms % 1000 / 100, watch->changes,
               watch->changes == 1 ? "" : "s");
}

static gov_status begin(struct watch *watch, int32_t pid, gov_error *err)
{
    gov_status status = look_at_processes(watch, pid, err);

    if (status != GOV_OK || watch->count > 0)
        return status;
    if (pid != 0)
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "process %" PRId32 " is not governed, or not this "
                        "user's; govtop shows those that are",
                        pid);
    return open_monitor(watch, err);
}

static bool goes_on(const struct watch *watch, int32_t pid, uint64_t end_us)
{
    return cli_signal() == 0 && ferror(stdout) == 0 &&
           (pid == 0 || watch->count > 0) &&
           (end_us == 0 || cli_now_us() < end_us);
}

static gov_status go_on(struct watch *watch, int32_t pid, uint64_t end_us,
                        gov_error *err)
{
    const struct timespec pause = {0, LOOK_MS * 1000000L};
    gov_status status = GOV_OK;

    for (unsigned int look = 1; status == GOV_OK && goes_on(watch, pid, end_us);
         look++) {
        nanosleep(&pause, NULL); /* a signal ends it early */
        status = look_at_processes(watch, pid, err);
        if (watch->monitor != NULL && look % STEP_LOOKS == 0)
            look_at_machine(watch);
    }
    return status;
}

int gov_pressure_watch(int32_t pid, uint64_t for_ms, bool json)
{
    const uint64_t began_us = cli_now_us();
    struct watch *watch = calloc(1, sizeof(*watch));
    gov_error err;
    gov_status status;
    int exit_code;

    if (watch == NULL) {
        fprintf(stderr, "gov pressure: no memory for %zu bytes\n",
                sizeof(*watch));
        return GOV_EXIT_FAILURE;
    }
    cli_catch_signals();
    watch->json = json;
    watch->colour = !json && cli_colour(STDOUT_FILENO);
    status = begin(watch, pid, &err);
    if (status == GOV_OK)
        status =
            go_on(watch, pid, for_ms == 0 ? 0 : began_us + for_ms * 1000, &err);
    if (status == GOV_OK)
        print_end(watch, began_us);
    exit_code =
        status == GOV_OK ? gov_finish("pressure") : gov_fails("pressure", &err);
    gov_close(watch->monitor);
    free(watch);
    if (cli_signal() != 0)
        cli_end_by_signal(cli_signal());
    return exit_code;
}
