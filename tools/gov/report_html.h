/* SPDX-License-Identifier: MIT */
/* A report as one page that needs nothing else: headline and tables are in it as they
 * are, plots are drawn from a JSON object by the script of report.html. */
#ifndef GOV_TOOLS_REPORT_HTML_H
#define GOV_TOOLS_REPORT_HTML_H

#include <stdio.h>

#include "tools/gov/report_data.h"

/* report.html, by the build. */
extern const char gov_report_page[];

/* False without memory. What could not be written, ferror() knows. */
bool gov_report_html(const struct gov_report *report, FILE *out);

/* Writes it to a file that is complete or, after a failure, as it was. */
gov_status gov_report_html_file(const struct gov_report *report,
                                const char *path, gov_error *err);

#endif
