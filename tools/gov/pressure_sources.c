/* SPDX-License-Identifier: MIT */
#include "tools/gov/pressure_sources.h"

#include <inttypes.h>
#include <string.h>

/* A source that wakes tells nothing of itself before it is waited for. */
#define SOURCES_MAX 32

static const char *state_name(gov_source_state state)
{
    switch (state) {
    case GOV_SOURCE_LIVE:
        return "live";
    case GOV_SOURCE_SPARE:
        return "spare";
    case GOV_SOURCE_ABSENT:
        return "absent";
    case GOV_SOURCE_DENIED:
        return "denied";
    case GOV_SOURCE_BROKEN:
        return "broken";
    }
    return "unknown";
}

static void print_text(const struct gov_source *sources, size_t count)
{
    int width = 0;

    for (size_t i = 0; i < count; i++)
        if ((int)strlen(sources[i].name) > width)
            width = (int)strlen(sources[i].name);
    for (size_t i = 0; i < count; i++)
        printf("%-*s  %-6s  %s\n", width, sources[i].name,
               state_name(sources[i].state), sources[i].why);
}

static int print_json(const struct gov_source *sources, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:s, s:I, s:I}", "name", sources[i].name,
                      "state", state_name(sources[i].state), "why",
                      sources[i].why, "events", (json_int_t)sources[i].events,
                      "false_events", (json_int_t)sources[i].false_events));
    return gov_print_json("pressure", json_pack("{s:o}", "sources", list),
                          false);
}

int gov_pressure_sources(bool json)
{
    struct gov_source sources[SOURCES_MAX];
    struct gov_options options = gov_options_default();
    gov_runtime *runtime;
    gov_error err;
    size_t count;
    int fd;

    options.no_thread = true;
    options.no_publish = true;
    if (gov_open(&runtime, &options, &err) != GOV_OK)
        return gov_fails("pressure", &err);
    /* What wakes is armed when somebody waits; where nobody can, it is not. */
    (void)!gov_fd(runtime, &fd, NULL);
    count = gov_sources(runtime, sources, SOURCES_MAX);
    count = count < SOURCES_MAX ? count : SOURCES_MAX;
    gov_close(runtime);
    /* A path that somebody set is among what it says, and may be cut. */
    for (size_t i = 0; i < count; i++) {
        char why[sizeof(sources[i].why)];

        memcpy(why, sources[i].why, sizeof(why));
        cli_clean(sources[i].why, sizeof(sources[i].why), why);
    }
    if (json)
        return print_json(sources, count);
    print_text(sources, count);
    return gov_finish("pressure");
}
