/* SPDX-License-Identifier: MIT */
/* "warn@2s,critical@4s,normal@6s": levels to simulate, and when. */
#ifndef GOV_TOOLS_SCHEDULE_H
#define GOV_TOOLS_SCHEDULE_H

#include "governor/governor.h"

#define GOV_SCHEDULE_STEPS 16

struct gov_schedule {
    size_t count;
    struct {
        gov_level level;
        uint64_t at_ms;
        bool end; /* "real": back to real evidence */
    } step[GOV_SCHEDULE_STEPS];
};

/* Reads a schedule. GOV_E_INVALID with one sentence that names the word. */
gov_status gov_schedule_read(struct gov_schedule *out, const char *text,
                             gov_error *err);

/* Gives steps to a runtime, counted from now: those at 0 s with `at_start`, the
 * others without. */
gov_status gov_schedule_start(const struct gov_schedule *schedule,
                              gov_runtime *runtime, bool at_start,
                              gov_error *err);

#endif
