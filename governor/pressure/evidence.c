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

    if (platform->stall(platform->ctx, &stall) != 0)
        return;
    if (stall.have_os_level) {
        out->evidence.have |= GOV_HAVE_OS_LEVEL;
        out->evidence.os_level = (gov_level)stall.os_level;
    }
    if (!stall.have_memory)
        return;
    out->stall_source = stall.source;
    out->evidence.have |= GOV_HAVE_STALL;
    if (strcmp(stall.source, "system") == 0)
        out->evidence.have |= GOV_HAVE_SYSTEM_STALL;
    out->evidence.memory_some_us = stall.memory_some_us;
    out->evidence.memory_full_us = stall.memory_full_us;
    out->evidence.have |= GOV_HAVE_RECENT;
    out->evidence.recent_some_permille = stall.memory_recent_permille;
}

/* Of refaults the platform does not say whose they are. Where a limit binds there
 * is a group of our own, and they are its; else they are taken for everybody's,
 * which claims less. Where they cannot be judged they are not read: that opens
 * three files, 50 us. */
static void sample_own(const struct gov_platform *platform, bool have_group,
                       struct gov__sample *out)
{
    struct gov_evidence *e = &out->evidence;
    uint64_t bytes;

    if (!out->have_process)
        return;
    e->have |= GOV_HAVE_OWN;
    e->own_footprint_bytes = out->process.footprint_bytes;
    e->own_major_faults = out->process.major_faults;
    e->own_resident_file_bytes = out->process.resident_file_bytes;
    if (out->process.have_read_bytes) {
        e->have |= GOV_HAVE_OWN_READS;
        e->own_read_bytes = out->process.read_bytes;
    }
    if ((!have_group && !out->process.have_read_bytes) ||
        platform->refaults(platform->ctx, &bytes) != 0)
        return;
    e->have |= GOV_HAVE_REFAULT | (have_group ? 0 : GOV_HAVE_SYSTEM_REFAULT);
    e->refault_bytes = bytes;
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
    out->used_bytes =
        have_limit && limit.limit_bytes != UINT64_MAX ? limit.used_bytes : 0;
    sample_own(platform, have_limit && limit.limit_bytes != UINT64_MAX, out);
    if (have_limit && limit.have_hits) {
        out->evidence.have |= GOV_HAVE_LIMIT_HITS;
        out->evidence.limit_hits = limit.hits;
    }
    if (have_machine && machine.total_bytes != 0 &&
        machine.available_bytes != 0) {
        out->evidence.have |= GOV_HAVE_MACHINE;
        out->evidence.machine_available_bytes = machine.available_bytes;
        out->evidence.machine_total_bytes = machine.total_bytes;
    }
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
