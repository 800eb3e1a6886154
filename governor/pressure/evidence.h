/* SPDX-License-Identifier: MIT */
/* Gathers evidence of memory pressure: stall totals, headroom, refaults. Reads the
 * platform's figures; judges nothing (policies/pressure/level.c does). */
#ifndef GOV_PRESSURE_EVIDENCE_H
#define GOV_PRESSURE_EVIDENCE_H

#include "governor/platform/platform.h"
#include "policies/level.h"

/* What one look found, for the level machine and for publishing. */
struct gov__sample {
    struct gov_evidence evidence;
    bool have_process;
    struct gov__process process;
    const char *stall_source;    /* static; NULL where there is no PSI */
    const char *headroom_source; /* static: what bounds it; NULL if unknown */
    bool have_bounds;            /* both of these could be read just now */
    uint64_t limit_bytes, ram_bytes; /* UINT64_MAX: no limit */
    uint64_t used_bytes; /* charged to the group that binds; 0: none does */
};

/* Takes a sample at now_ms against a budget (0: unknown). Headroom is the
 * tightest of three: budget less own footprint; the group's limit less what is
 * charged to it and cannot be dropped; what the system says is available. It
 * never exceeds the budget.
 * Never fails: what cannot be read is absent. No allocation; about 200 us. */
void gov__evidence_sample(const struct gov_platform *platform,
                          uint64_t budget_bytes, uint64_t now_ms,
                          struct gov__sample *out);

#endif
