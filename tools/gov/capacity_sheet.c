/* SPDX-License-Identifier: MIT */
/* See capacity_sheet.h. */
#include "tools/gov/capacity_sheet.h"

#include <inttypes.h>
#include <string.h>

#include "tools/gov/gov.h"

#define SHORT_TEXT 24

void gov_sheet_judge(const struct gov_sheet *sheet, size_t machine,
                     size_t model, struct gov_sheet_match *out)
{
    const struct gov_capacity_device *device = &sheet->machines[machine].device;
    const struct gov_capacity_verdict *v = out->verdict;

    gov_capacity_estimate(device, &sheet->models[model], sheet->context,
                          out->verdict);
    out->gpu = gov_capacity_gpu(device, &sheet->models[model], sheet->context);
    out->way = GOV_WAY_COUNT;
    if (device->budget_bytes == 0) {
        out->fit = GOV_FIT_UNKNOWN;
    } else if (v[GOV_WAY_MMAP].runs) {
        /* As fast as the heap, there sooner, and the system can have it back. */
        out->way = GOV_WAY_MMAP;
        out->fit = v[GOV_WAY_TRADITIONAL].runs ? GOV_FIT_EASY : GOV_FIT_WHOLE;
    } else if (v[GOV_WAY_STREAMED].runs) {
        out->way = GOV_WAY_STREAMED;
        out->fit = GOV_FIT_STREAMED;
    } else {
        out->fit = GOV_FIT_NOT;
    }
}

size_t gov_sheet_size_bytes(const char *name)
{
    const char *space = strrchr(name, ' ');

    return space != NULL ? (size_t)(space - name) : strlen(name);
}

bool gov_sheet_same_size(const char *a, const char *b)
{
    size_t bytes = gov_sheet_size_bytes(a);

    return gov_sheet_size_bytes(b) == bytes && memcmp(a, b, bytes) == 0;
}

char *gov_sheet_speed(char *out, uint64_t tokens_per_1000s)
{
    uint64_t n = tokens_per_1000s;

    if (n == 0)
        snprintf(out, SHORT_TEXT, "?");
    else if (n < 10)
        snprintf(out, SHORT_TEXT, "<0.01");
    else if (n < 10000)
        snprintf(out, SHORT_TEXT, "%" PRIu64 ".%02" PRIu64, n / 1000,
                 n % 1000 / 10);
    else if (n < 100000)
        snprintf(out, SHORT_TEXT, "%" PRIu64 ".%" PRIu64, n / 1000,
                 n % 1000 / 100);
    else
        snprintf(out, SHORT_TEXT, "%" PRIu64, n / 1000);
    return out;
}

char *gov_sheet_time(char *out, uint64_t ms)
{
    struct gov_value us = {ms > 0, 0, NULL};

    us.number = ms < INT64_MAX / 1000 ? (int64_t)ms * 1000 : INT64_MAX;
    return gov_value_print(out, SHORT_TEXT, GOV_TYPE_DURATION, &us);
}
