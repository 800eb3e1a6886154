/* SPDX-License-Identifier: MIT */
#include "tools/gov/report_together.h"

#include <string.h>

/* Two samples and a half: who has told nothing for so long has ended. */
#define SILENT_MS 25000

/* Times of a hostile database may be any. */
static bool is_silent(const struct gov_telemetry_sample *last, int64_t now_ms)
{
    return now_ms < last->at_ms ||
           (uint64_t)now_ms - (uint64_t)last->at_ms > SILENT_MS;
}

/* Forgets those that have ended, and what was known of this one; where there is no
 * room the oldest. */
static void make_room(struct gov_together *together,
                      const struct gov_telemetry_sample *sample)
{
    size_t kept = 0;

    for (size_t i = 0; i < together->count; i++)
        if (together->last[i].process != sample->process &&
            !is_silent(&together->last[i], sample->at_ms))
            together->last[kept++] = together->last[i];
    if (kept == GOV_TOGETHER_MOST) {
        kept--;
        memmove(&together->last[0], &together->last[1],
                kept * sizeof(together->last[0]));
    }
    together->count = kept;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a < UINT64_MAX - b ? a + b : UINT64_MAX;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Of what is not known (UINT64_MAX) nothing is larger. */
static uint64_t larger_known(uint64_t a, uint64_t b)
{
    return a == UINT64_MAX ? b : b == UINT64_MAX ? a : larger(a, b);
}

void gov_together_add(struct gov_together *together,
                      struct gov_telemetry_sample *sample)
{
    make_room(together, sample);
    together->last[together->count++] = *sample;
    for (size_t i = 0; i + 1 < together->count; i++) {
        const struct gov_telemetry_sample *other = &together->last[i];

        sample->footprint_bytes =
            sum(sample->footprint_bytes, other->footprint_bytes);
        sample->budget_bytes =
            larger(sample->budget_bytes, other->budget_bytes);
        sample->weights_resident_bytes = larger_known(
            sample->weights_resident_bytes, other->weights_resident_bytes);
        if (other->level > sample->level)
            sample->level = other->level;
    }
}
