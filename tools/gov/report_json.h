/* SPDX-License-Identifier: MIT */
/* A report for programs: one JSON object with every figure in full, or its requests
 * as rows for a spreadsheet. */
#ifndef GOV_TOOLS_REPORT_JSON_H
#define GOV_TOOLS_REPORT_JSON_H

#include <jansson.h>

#include "tools/gov/report_data.h"

/* NULL without memory. */
json_t *gov_report_json(const struct gov_report *report);

/* A number; null for UINT64_MAX, which is not known. */
json_t *gov_report_number(uint64_t n);

/* Prints a line a request to stdout. */
gov_status gov_report_csv(const char *path,
                          const struct gov_telemetry_span *span,
                          gov_error *err);

#endif
