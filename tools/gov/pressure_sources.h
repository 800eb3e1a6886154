/* SPDX-License-Identifier: MIT */
/* gov pressure --sources: what tells of memory pressure here, and why what does not,
 * does not. */
#ifndef GOV_TOOLS_PRESSURE_SOURCES_H
#define GOV_TOOLS_PRESSURE_SOURCES_H

#include "tools/gov/gov.h"

/* Prints the sources of a governor that is opened here. Returns the exit status. */
int gov_pressure_sources(bool json);

#endif
