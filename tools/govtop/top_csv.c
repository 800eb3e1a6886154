/* SPDX-License-Identifier: MIT */
#include "tools/govtop/top_csv.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

/* Quoted where it has to be. */
/* A spreadsheet runs what begins like a formula: an apostrophe keeps it a text. */
static void put_text(FILE *out, const char *text)
{
    const bool formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;

    if (!formula && strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, out);
        return;
    }
    fputs(formula ? "\"'" : "\"", out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static bool is_left_out(int text)
{
    return text == GOV_PAGE_TEXT_UNITS || text == GOV_PAGE_TEXT_WAKES;
}

static const struct {
    const char *name;
    size_t at; /* in struct top_rates */
} rates[] = {
    {"read_bytes_per_second", offsetof(struct top_rates, read_bytes)},
    {"major_faults_per_second", offsetof(struct top_rates, major_faults)},
    {"minor_faults_per_second", offsetof(struct top_rates, minor_faults)},
    {"weights_wait_permille", offsetof(struct top_rates, weights)},
    {"stall_permille", offsetof(struct top_rates, stall)},
};

#define RATES (sizeof(rates) / sizeof(rates[0]))

bool top_csv_header(FILE *out)
{
    fputs("time_ms,pid,governed,page_version", out);
    for (int i = 0; i < GOV_PAGE_TEXTS; i++)
        if (!is_left_out(i))
            fprintf(out, ",%s", gov_page_text_name((gov_page_text)i));
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        fprintf(out, ",%s", gov_page_counter_name((gov_page_counter)i));
    for (size_t i = 0; i < RATES; i++)
        fprintf(out, ",%s", rates[i].name);
    fputs("\r\n", out);
    return fflush(out) == 0 && ferror(out) == 0;
}

static void put_number(FILE *out, uint64_t n)
{
    fputc(',', out);
    if (n != TOP_UNKNOWN)
        fprintf(out, "%" PRIu64, n);
}

static void put_row(const struct top_process *process, int64_t at_ms, FILE *out)
{
    const struct gov_page *page = &process->page;

    fprintf(out, "%" PRId64 ",%d,%d,%u", at_ms, (int)page->pid,
            process->governed ? 1 : 0, (unsigned)page->version);
    for (int i = 0; i < GOV_PAGE_TEXTS; i++) {
        if (is_left_out(i))
            continue;
        fputc(',', out);
        put_text(out, gov_page_text_get(page, (gov_page_text)i));
    }
    for (int i = 0; i < GOV_PAGE_COUNTERS; i++)
        put_number(out, top_counter(page, (gov_page_counter)i));
    for (size_t i = 0; i < RATES; i++) {
        uint64_t n;

        memcpy(&n, (const char *)&process->rates + rates[i].at, sizeof(n));
        put_number(out, n);
    }
    fputs("\r\n", out);
}

bool top_csv_write(const struct top_model *model, bool others, int64_t at_ms,
                   FILE *out)
{
    for (size_t i = 0; i < model->count; i++)
        if (others || model->process[i].governed)
            put_row(&model->process[i], at_ms, out);
    return fflush(out) == 0 && ferror(out) == 0;
}
