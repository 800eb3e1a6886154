/* SPDX-License-Identifier: MIT */
/* What the kernel charges to this process now. Reads its counters; keeps
 * nothing, adds nothing up that the platform did not. */
#include "governor/memory/memory_priv.h"

#include <errno.h>

gov_status gov__footprint_on(const struct gov_platform *platform,
                             struct gov_footprint *out, gov_error *err)
{
    struct gov__process now;
    int rc = platform->process(platform->ctx, 0, &now);

    if (rc != 0)
        return gov_fail(err, rc == ENOTSUP ? GOV_E_UNSUPPORTED : GOV_E_IO, rc,
                        "the system does not tell what memory this process "
                        "uses; go on without");
    *out = (struct gov_footprint){
        .footprint_bytes = now.footprint_bytes,
        .anon_bytes = now.anon_bytes,
        .swap_bytes = now.swap_bytes,
        .resident_file_bytes = now.resident_file_bytes,
        .minor_faults = now.minor_faults,
        .major_faults = now.major_faults,
        .read_bytes = now.have_read_bytes ? now.read_bytes : 0,
    };
    return GOV_OK;
}

gov_status gov_footprint_now(struct gov_footprint *out, gov_error *err)
{
    return gov__footprint_on(gov__platform_native(), out, err);
}
