/* SPDX-License-Identifier: MIT */
#include "governor/pressure/evidence.h"

#include <string.h>

struct bound {
    uint64_t bytes;
    const char *source;
};

static void tighten(struct bound *bound, uint64_t bytes, const char *source)
{
    if (bound->source != NULL && bytes >= bound->bytes)
        return;
    bound->bytes = bytes;
    bound->source = source;
}

static void sample_stall(const struct gov_platform *platform,
                         struct gov__sample *out)
{
    struct gov__stall stall;

    if (platform->stall(platform->ctx, &stall) != 0 || !stall.have_memory)
        return;
    out->stall_source = stall.source;
    out->evidence.have |= GOV_HAVE_STALL;
    if (strcmp(stall.source, "system") == 0)
        out->evidence.have |= GOV_HAVE_SYSTEM_STALL;
    out->evidence.memory_some_us = stall.memory_some_us;
    out->evidence.memory_full_us = stall.memory_full_us;
}

static void sample_headroom(const struct gov_platform *platform,
                            uint64_t budget_bytes, struct gov__sample *out)
{
    struct gov__machine machine;
    struct gov__limit limit;
    struct bound bound = {0, NULL};
    bool have_limit = platform->limit(platform->ctx, &limit) == 0;
    bool have_machine = platform->machine(platform->ctx, &machine) == 0;

    out->have_bounds = have_limit && have_machine;
    out->limit_bytes = out->have_bounds ? limit.limit_bytes : 0;
    out->ram_bytes = out->have_bounds ? machine.total_bytes : 0;
    if (budget_bytes == 0)
        return;
    if (out->have_process)
        tighten(&bound, gov__less(budget_bytes, out->process.footprint_bytes),
                "budget");
    /* File pages in the group can be dropped, so they are not in the way. */
    if (have_limit && limit.limit_bytes != UINT64_MAX && limit.used_bytes != 0)
        tighten(&bound,
                gov__less(gov__less(limit.limit_bytes,
                                    gov__less(limit.used_bytes,
                                              limit.used_file_bytes)),
                          limit.short_bytes),
                "container limit");
    if (have_machine && machine.available_bytes != 0)
        tighten(&bound, machine.available_bytes, "system memory");
    if (bound.source == NULL)
        return;
    out->evidence.have |= GOV_HAVE_HEADROOM;
    out->evidence.headroom_bytes =
        bound.bytes < budget_bytes ? bound.bytes : budget_bytes;
    out->evidence.budget_bytes = budget_bytes;
    out->headroom_source = bound.source;
}

void gov__evidence_sample(const struct gov_platform *platform,
                          uint64_t budget_bytes, uint64_t now_ms,
                          struct gov__sample *out)
{
    memset(out, 0, sizeof(*out));
    out->evidence.now_ms = now_ms;
    out->have_process = platform->process(platform->ctx, 0, &out->process) == 0;
    sample_stall(platform, out);
    sample_headroom(platform, budget_bytes, out);
}
