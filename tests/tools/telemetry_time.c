/* SPDX-License-Identifier: MIT */
/* telemetry_time FILE [ROWS]: makes a database of ROWS requests (a million) over 90
 * days, and says what writing them took, and what a report of all of them takes.
 * The goal is 2 s for ten million. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "governor/telemetry.h"

#define DAYS 90
#define DAY_MS INT64_C(86400000)
#define FIRST_MS (INT64_C(20000) * DAY_MS)

static uint64_t seed = 1;

static uint64_t chance(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void must(gov_status status, const gov_error *err)
{
    if (status == GOV_OK)
        return;
    fprintf(stderr, "telemetry_time: %s\n", err->message);
    exit(1);
}

/* Two models, of which one has nine of ten requests; one in fifty is cold. */
static void fill(struct gov_request *row, uint64_t n, uint64_t rows)
{
    memset(row, 0, sizeof(*row));
    row->size = sizeof(*row);
    row->at_ms =
        FIRST_MS + (int64_t)((double)n / (double)rows * DAYS * (double)DAY_MS);
    snprintf(row->app, sizeof(row->app), "app %d", (int)chance(2));
    snprintf(row->engine, sizeof(row->engine), "llama.cpp");
    snprintf(row->model, sizeof(row->model), "model %d",
             chance(10) == 0 ? 2 : 1);
    snprintf(row->strategy, sizeof(row->strategy), "mmap");
    row->cold = chance(50) == 0;
    row->prompt_tokens = (uint32_t)chance(4000);
    row->tokens = 1 + (uint32_t)chance(400);
    row->first_token_us =
        50000 + chance(150000) + chance(150000) + (row->cold ? 3000000 : 0);
    row->took_us = row->first_token_us + row->tokens * (40000 + chance(20000));
    row->footprint_bytes = UINT64_C(4) << 30;
}

static void write_rows(const char *path, uint64_t rows)
{
    static struct gov_request row[GOV_TELEMETRY_BATCH];
    struct gov_telemetry_batch batch = {.requests = row};
    const double from = now_s();
    gov_telemetry *t;
    gov_error err;

    must(gov_telemetry_open(&t, path, UINT64_C(1) << 40, NULL, &err), &err);
    for (uint64_t n = 0; n < rows; n += batch.request_count) {
        batch.request_count = 0;
        while (batch.request_count < GOV_TELEMETRY_BATCH &&
               n + batch.request_count < rows) {
            fill(&row[batch.request_count], n + batch.request_count, rows);
            batch.request_count++;
        }
        must(gov_telemetry_write(t, &batch, &err), &err);
    }
    gov_telemetry_close(t);
    printf("%" PRIu64 " requests written in %.1f s\n", rows, now_s() - from);
}

static bool print(void *ctx, const struct gov_telemetry_group *g)
{
    (void)ctx;
    printf("  %s %s: %" PRIu64 " requests, first token %" PRIu64 " %" PRIu64
           " %" PRIu64 " us, rate %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
           g->model, g->cold ? "cold" : "warm", g->requests,
           g->first_token_us.p50, g->first_token_us.p95, g->first_token_us.p99,
           g->rate_milli.p50, g->rate_milli.p95, g->rate_milli.p99);
    return true;
}

static void report(const char *path, const char *what,
                   const struct gov_telemetry_span *span)
{
    const double from = now_s();
    struct gov_telemetry_totals totals;
    gov_telemetry *t;
    gov_error err;

    must(gov_telemetry_read(&t, path, &err), &err);
    must(gov_telemetry_sum(t, span, &totals, &err), &err);
    must(gov_telemetry_groups(t, span, print, NULL, &err), &err);
    gov_telemetry_close(t);
    printf("%s: %" PRIu64 " requests of %" PRIu64 " MiB in %.3f s\n", what,
           totals.requests, totals.bytes >> 20, now_s() - from);
}

int main(int argc, char **argv)
{
    const struct gov_telemetry_span week = {20000 + DAYS - 7, INT64_MAX, NULL};
    const struct gov_telemetry_span app = {INT64_MIN, INT64_MAX, "app 1"};
    const uint64_t rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;

    if (argc < 2) {
        fprintf(stderr, "usage: telemetry_time FILE [ROWS]\n");
        return 2;
    }
    write_rows(argv[1], rows);
    report(argv[1], "all", NULL);
    report(argv[1], "a week", &week);
    report(argv[1], "one app", &app);
    return 0;
}
