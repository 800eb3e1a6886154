/* SPDX-License-Identifier: MIT */
#include "tools/gov/schedule.h"

#include <string.h>

#include "tools/cli/options.h"

static const struct {
    const char *name;
    gov_level level;
    bool end;
} words[] = {
    {"normal", GOV_LEVEL_NORMAL, false},
    {"warn", GOV_LEVEL_WARN, false},
    {"critical", GOV_LEVEL_CRITICAL, false},
    {"real", GOV_LEVEL_NORMAL, true},
};

/* Copies the next comma-separated word; false when it is too long. */
static bool next_word(const char **at, char *out, size_t bytes)
{
    size_t n = strcspn(*at, ",");

    if (n >= bytes)
        return false;
    memcpy(out, *at, n);
    out[n] = '\0';
    *at += n;
    if (**at == ',')
        (*at)++;
    return true;
}

/* "2s" and "500ms" as well as plain seconds. */
static bool read_delay(char *text, uint64_t *out_ms)
{
    size_t n = strlen(text);

    if (n > 2 && strcmp(text + n - 2, "ms") == 0) {
        text[n - 2] = '\0';
        return cli_read_count(text, out_ms);
    }
    return cli_read_seconds(text, out_ms);
}

gov_status gov_schedule_read(struct gov_schedule *out, const char *text,
                             gov_error *err)
{
    char word[64], whole[64];
    const char *at = text;

    memset(out, 0, sizeof(*out));
    do {
        char *delay;
        size_t i = 0;

        if (out->count == GOV_SCHEDULE_STEPS)
            return gov_fail(err, GOV_E_INVALID, 0,
                            "--simulate takes at most %d steps",
                            GOV_SCHEDULE_STEPS);
        if (!next_word(&at, word, sizeof(word)))
            return gov_fail(err, GOV_E_INVALID, 0,
                            "--simulate has a step that is too long; write "
                            "LEVEL@TIME, for instance warn@2s");
        memcpy(whole, word, sizeof(whole));
        delay = strchr(word, '@');
        if (delay != NULL)
            *delay++ = '\0';
        while (i < sizeof(words) / sizeof(words[0]) &&
               strcmp(words[i].name, word) != 0)
            i++;
        if (delay == NULL || i == sizeof(words) / sizeof(words[0]) ||
            !read_delay(delay, &out->step[out->count].at_ms))
            return gov_fail(err, GOV_E_INVALID, 0,
                            "--simulate step \"%s\" is not LEVEL@TIME; levels "
                            "are normal, warn, critical and real, times 2s or "
                            "500ms",
                            cli_show(whole).text);
        out->step[out->count].level = words[i].level;
        out->step[out->count].end = words[i].end;
        out->count++;
    } while (*at != '\0');
    return GOV_OK;
}

gov_status gov_schedule_start(const struct gov_schedule *schedule,
                              gov_runtime *runtime, bool at_start,
                              gov_error *err)
{
    gov_status status = GOV_OK;

    for (size_t i = 0; i < schedule->count && status == GOV_OK; i++) {
        uint64_t at_ms = schedule->step[i].at_ms;

        if ((at_ms == 0) != at_start)
            continue;
        status =
            schedule->step[i].end
                ? gov_simulate_end(runtime, at_ms, err)
                : gov_simulate(runtime, schedule->step[i].level, at_ms, err);
    }
    return status;
}
