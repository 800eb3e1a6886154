/* SPDX-License-Identifier: MIT */
/* A report as text: aligned tables within 80 columns, or as wide as the terminal. */
#ifndef GOV_TOOLS_REPORT_TEXT_H
#define GOV_TOOLS_REPORT_TEXT_H

#include "tools/gov/report_data.h"

void gov_report_text(const struct gov_report *report);

#endif
