/* SPDX-License-Identifier: MIT */
/* telemetry_make FILE KIND [ROWS]: writes a database of telemetry that is the same
 * each time.
 *
 *   days     four days of two apps and three models, with pressure now and then
 *   one      one request, one relief action, one sample
 *   mute     one request that failed before there was a token
 *   empty    none
 *   hostile  names that try to be markup, to end a line, to turn its direction
 *   many     ROWS requests, as many samples, and a relief action for every tenth
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "governor/telemetry.h"

#define MIB (UINT64_C(1) << 20)
#define START_MS INT64_C(1793865600000) /* 2026-11-05, 08:00 UTC */
#define BATCH 512

static struct {
    gov_telemetry *telemetry;
    struct gov_request requests[BATCH];
    struct gov_telemetry_relief reliefs[BATCH];
    struct gov_telemetry_sample samples[BATCH];
    struct gov_telemetry_batch batch;
    uint32_t seed;
} made = {.seed = 1};

static void must(gov_status status, const gov_error *err)
{
    if (status == GOV_OK)
        return;
    fprintf(stderr, "telemetry_make: %s\n", err->message);
    exit(1);
}

/* 0 to 999. */
static uint32_t chance(void)
{
    made.seed = made.seed * 1664525 + 1013904223;
    return (made.seed >> 8) % 1000;
}

/* A long tail: most near `least`, few far above. */
static uint64_t spread(uint64_t least)
{
    uint64_t u = chance();

    return least + least * u / 2000 + least * u * u * u / 900000000;
}

static void flush(void)
{
    gov_error err;

    made.batch.requests = made.requests;
    made.batch.reliefs = made.reliefs;
    made.batch.samples = made.samples;
    must(gov_telemetry_write(made.telemetry, &made.batch, &err), &err);
    memset(&made.batch, 0, sizeof(made.batch));
}

static void room(size_t count)
{
    if (count == BATCH)
        flush();
}

#define PUT(array, text) snprintf(array, sizeof(array), "%s", text)

static struct gov_request *request(int64_t at_ms, const char *app,
                                   const char *model, const char *strategy)
{
    struct gov_request *r;

    room(made.batch.request_count);
    r = &made.requests[made.batch.request_count++];
    memset(r, 0, sizeof(*r));
    r->size = sizeof(*r);
    r->at_ms = at_ms;
    PUT(r->app, app);
    PUT(r->engine, "llama");
    PUT(r->model, model);
    PUT(r->strategy, strategy);
    PUT(r->profile, "laptop-16");
    return r;
}

static void sample(int64_t at_ms, const char *app, gov_level level,
                   uint64_t footprint, uint64_t budget, uint64_t resident)
{
    struct gov_telemetry_sample *s;

    room(made.batch.sample_count);
    s = &made.samples[made.batch.sample_count++];
    memset(s, 0, sizeof(*s));
    s->at_ms = at_ms;
    PUT(s->app, app);
    s->level = level;
    s->footprint_bytes = footprint;
    s->budget_bytes = budget;
    s->headroom_bytes = budget > footprint ? budget - footprint : 0;
    s->weights_resident_bytes = resident;
}

static void relief(int64_t at_ms, const char *app, const char *action,
                   gov_level level, uint64_t claimed, uint64_t yield)
{
    struct gov_telemetry_relief *r;

    room(made.batch.relief_count);
    r = &made.reliefs[made.batch.relief_count++];
    memset(r, 0, sizeof(*r));
    r->at_ms = at_ms;
    PUT(r->app, app);
    PUT(r->action, action);
    r->level = level;
    r->claimed_bytes = claimed;
    r->yield_bytes = yield;
    r->took_us = 300 + spread(yield / 20000);
}

/* ---- days ---------------------------------------------------------------------- */

struct use {
    const char *app, *model, *strategy;
    uint64_t first_us, token_us, footprint, budget, weights;
};

/* Under pressure for a while in the middle of each hour. */
static gov_level level_at(int minute)
{
    return minute >= 31 && minute < 34   ? GOV_LEVEL_CRITICAL
           : minute >= 28 && minute < 41 ? GOV_LEVEL_WARN
                                         : GOV_LEVEL_NORMAL;
}

static void ask(const struct use *use, int64_t at_ms, gov_level level,
                bool cold)
{
    struct gov_request *r = request(at_ms, use->app, use->model, use->strategy);
    uint64_t slow = level >= GOV_LEVEL_WARN ? 2 : 1;
    uint32_t luck = chance();

    r->cold = cold;
    r->level = level;
    r->end = luck < 8    ? GOV_REQUEST_FAILED
             : luck < 40 ? GOV_REQUEST_STOPPED
                         : GOV_REQUEST_DONE;
    r->prompt_tokens = 200 + chance();
    r->reused_tokens = cold ? 0 : r->prompt_tokens / 2;
    r->tokens = r->end == GOV_REQUEST_FAILED ? 0 : 20 + chance() / 4;
    r->first_token_us =
        r->tokens > 0 ? spread(use->first_us) * slow * (cold ? 7 : 1) : 0;
    r->took_us = r->first_token_us + r->tokens * spread(use->token_us) * slow;
    r->weights_wait_us = cold ? r->first_token_us / 2 : r->took_us / 40;
    r->stall_us = level >= GOV_LEVEL_WARN ? r->took_us / 9 : r->took_us / 700;
    r->major_faults = cold ? 4000 + chance() : chance() / 20;
    r->read_bytes = cold ? use->weights : MIB * (chance() / 40);
    r->evictions = level >= GOV_LEVEL_WARN ? 2 : 0;
    r->footprint_bytes = use->footprint;
}

static void give_back(const struct use *use, int64_t at_ms, gov_level level,
                      uint64_t *taken)
{
    static const char *const actions[] = {"cache.prompts", "heap.purge",
                                          "kv.unused", "weights.hot"};
    uint32_t which = chance() % (level >= GOV_LEVEL_CRITICAL ? 4 : 3);
    uint64_t claimed = (20 + chance() / 3) * MIB * (which + 1) / 2;
    uint64_t yield = chance() < 150 ? 0 : claimed * (700 + chance() / 4) / 1000;

    if (yield > *taken)
        yield = *taken;
    *taken -= yield;
    relief(at_ms, use->app, actions[which], level, claimed, yield);
}

/* An hour of one app, in steps of 20 s. */
static void hour(const struct use *use, int64_t at_ms)
{
    uint64_t taken = 0, resident = 0;

    for (int step = 0; step < 180; step++, at_ms += 20000) {
        gov_level level = level_at(step / 3);

        if (taken < use->budget / 3)
            taken += (4 + chance() / 60) * MIB;
        if (level >= GOV_LEVEL_WARN && chance() < 420)
            give_back(use, at_ms + 7000, level, &taken);
        resident += (use->weights - resident) / 12;
        if (level >= GOV_LEVEL_CRITICAL)
            resident = resident * 9 / 10;
        sample(at_ms, use->app, level, use->footprint + taken,
               level >= GOV_LEVEL_CRITICAL ? use->budget * 7 / 8 : use->budget,
               resident);
        if (step == 0 || chance() < 300)
            ask(use, at_ms + 3000, level, step == 0 || chance() < 25);
    }
}

static void days(void)
{
    static const struct use uses[] = {
        {"editor", "Llama-3.1-8B-Instruct Q4_K_M", "hybrid", 280000, 61000,
         900 * MIB, 3072 * MIB, 4692 * MIB},
        {"editor", "Qwen2.5-Coder-1.5B Q8_0", "heap", 90000, 21000, 1900 * MIB,
         3072 * MIB, 1570 * MIB},
        {"chat", "Mixtral-8x7B-Instruct Q3_K_M", "mmap", 900000, 240000,
         1400 * MIB, 6144 * MIB, 9000 * MIB},
    };
    const int64_t hour_ms = 3600000;

    for (int64_t day = 0; day < 4; day++) {
        int64_t at = START_MS + day * 24 * hour_ms;

        hour(&uses[0], at + hour_ms);
        hour(&uses[2], at + hour_ms + 600000);
        if (day % 2 == 0)
            hour(&uses[0], at + 5 * hour_ms);
        else
            hour(&uses[1], at + 6 * hour_ms);
    }
    made.batch.lost = 3;
}

/* ---- the others ------------------------------------------------------------------ */

static void one(void)
{
    struct gov_request *r = request(START_MS, "app", "model", "mmap");

    r->cold = true;
    r->tokens = 11;
    r->first_token_us = 1500000;
    r->took_us = 2500000;
    relief(START_MS + 500, "app", "cache.prompts", GOV_LEVEL_WARN, 4 * MIB,
           3 * MIB);
    sample(START_MS, "app", GOV_LEVEL_NORMAL, 100 * MIB, 200 * MIB, UINT64_MAX);
}

static void mute(void)
{
    struct gov_request *r = request(START_MS, "app", "model", "mmap");

    r->end = GOV_REQUEST_FAILED;
}

static void hostile(void)
{
    static const char *const names[] = {
        "</script><script>document.title='owned'</script>",
        "<!--<script>",
        "\"'><img src=x onerror=document.title=1>",
        "=HYPERLINK(\"x\")",
        "a,b\nc\r\td",
        "\xE2\x80\xAEright to left\xE2\x81\xA6",
        "\xE2\x80\xA8line\xE2\x80\xA9paragraph",
        "\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99"
        "\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99"
        "\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99"
        "\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99"
        "\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99"
        "\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99",
        "\xED\xA0\x80 \xC0\xAF \xFF \xF4\x90\x80\x80 \x1B[31m",
        "{{data}} ${x} `y` &lt; \\u003c \\",
        "",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (int64_t n = 0; n < 3; n++) {
            int64_t at = START_MS + (int64_t)i * 1000 + n;
            struct gov_request *r = request(at, names[i], names[i], names[i]);

            PUT(r->engine, names[i]);
            r->cold = n == 0;
            r->tokens = 5;
            r->first_token_us = n == 1 ? UINT64_C(1) << 52 : 1 + (uint64_t)n;
            r->took_us = r->first_token_us + 5000;
            relief(at, names[i], names[i], GOV_LEVEL_CRITICAL, 0,
                   INT64_MAX / 4);
            sample(at, names[i], GOV_LEVEL_WARN, INT64_MAX / 2, 0, 0);
        }
}

static void many(uint64_t rows)
{
    static const struct use use = {"bulk",     "Bulk-3B Q4_0", "mmap",
                                   150000,     30000,          500 * MIB,
                                   4096 * MIB, 2048 * MIB};

    for (uint64_t i = 0; i < rows; i++) {
        int64_t at = START_MS + (int64_t)i * 2000;
        gov_level level = level_at((int)(i / 30 % 60));
        uint64_t peak = i == rows / 3 ? 3000 * MIB : i % 500 * MIB;

        ask(&use, at, level, i % 100 == 0);
        sample(at, use.app, level, use.footprint + peak, use.budget,
               use.weights - i % 300 * MIB);
        if (i % 10 == 0)
            relief(at, use.app, "kv.unused", level, 40 * MIB, i % 40 * MIB);
    }
}

int main(int argc, char **argv)
{
    gov_error err;

    if (argc < 3) {
        fprintf(stderr, "usage: telemetry_make FILE KIND [ROWS]\n");
        return 2;
    }
    must(gov_telemetry_open(&made.telemetry, argv[1], UINT64_C(1) << 40, NULL,
                            &err),
         &err);
    if (strcmp(argv[2], "days") == 0)
        days();
    else if (strcmp(argv[2], "one") == 0)
        one();
    else if (strcmp(argv[2], "mute") == 0)
        mute();
    else if (strcmp(argv[2], "hostile") == 0)
        hostile();
    else if (strcmp(argv[2], "many") == 0 && argc > 3)
        many(strtoull(argv[3], NULL, 10));
    flush();
    gov_telemetry_close(made.telemetry);
    return 0;
}
