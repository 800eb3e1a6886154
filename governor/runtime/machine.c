/* SPDX-License-Identifier: MIT */
/* The machine as viewers show it: the platform's samples under public names. */
#include <stdio.h>
#include <string.h>

#include "governor/page.h"
#include "governor/platform/platform.h"

static void add_memory(const struct gov_platform *platform,
                       struct gov_machine *out)
{
    struct gov__machine machine;

    if (platform->machine(platform->ctx, &machine) != 0)
        return;
    out->have |= GOV_MACHINE_HAVE_RAM;
    out->ram_bytes = machine.total_bytes;
    out->available_bytes = machine.available_bytes;
    if (machine.swap_total_bytes == 0)
        return;
    out->have |= GOV_MACHINE_HAVE_SWAP;
    out->swap_bytes = machine.swap_total_bytes;
    out->swap_free_bytes = machine.swap_free_bytes;
}

static void add_limit(const struct gov_platform *platform,
                      struct gov_machine *out)
{
    struct gov__limit limit;

    if (platform->limit(platform->ctx, &limit) != 0 ||
        limit.limit_bytes == UINT64_MAX)
        return;
    out->have |= GOV_MACHINE_HAVE_LIMIT;
    out->limit_bytes = limit.limit_bytes;
    out->limit_used_bytes = limit.used_bytes;
    out->limit_file_bytes = limit.used_file_bytes;
    snprintf(out->limit_source, sizeof(out->limit_source), "%s", limit.source);
}

static void add_stall(const struct gov_platform *platform,
                      struct gov_machine *out)
{
    struct gov__stall stall;

    if (platform->stall(platform->ctx, &stall) != 0)
        return;
    if (stall.have_memory) {
        out->have |= GOV_MACHINE_HAVE_STALL;
        out->stall_some_us = stall.memory_some_us;
        out->stall_full_us = stall.memory_full_us;
    }
    if (stall.have_io) {
        out->have |= GOV_MACHINE_HAVE_IO_STALL;
        out->io_some_us = stall.io_some_us;
    }
    snprintf(out->stall_source, sizeof(out->stall_source), "%s", stall.source);
}

void gov_machine_now(struct gov_machine *out)
{
    const struct gov_platform *platform = gov__platform_native();

    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    out->now_us = platform->now_us(platform->ctx);
    add_memory(platform, out);
    add_limit(platform, out);
    add_stall(platform, out);
}
