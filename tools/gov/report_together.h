/* SPDX-License-Identifier: MIT */
/* Samples of several processes of one app as those of one: each tells of itself every
 * ten seconds, and they take turns in the database. */
#ifndef GOV_TOOLS_REPORT_TOGETHER_H
#define GOV_TOOLS_REPORT_TOGETHER_H

#include <stddef.h>

#include "governor/telemetry.h"

#define GOV_TOGETHER_MOST 32 /* processes at a time; of more the newest */

/* Zeroed to start. */
struct gov_together {
    struct gov_telemetry_sample last[GOV_TOGETHER_MOST]; /* of each */
    size_t count;
};

/* Takes the next sample in order of time, and makes of it how it was with all those
 * that told of themselves a short time ago: the sum of their footprints, the highest
 * level, the largest budget, and the most weights that one of them has in memory, since
 * others may have the same. */
void gov_together_add(struct gov_together *together,
                      struct gov_telemetry_sample *sample);

#endif
