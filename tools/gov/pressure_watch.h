/* SPDX-License-Identifier: MIT */
/* gov pressure --watch: prints levels as they change, of governed processes by
 * their pages, and of this machine where there are none. */
#ifndef GOV_TOOLS_PRESSURE_WATCH_H
#define GOV_TOOLS_PRESSURE_WATCH_H

#include "tools/gov/gov.h"

#define GOV_WATCH_PROCESSES 256

/* Watches one process (0: all there are) for so long (0: until a signal). Returns
 * the exit status. */
int gov_pressure_watch(int32_t pid, uint64_t for_ms, bool json);

#endif
