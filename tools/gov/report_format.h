/* SPDX-License-Identifier: MIT */
/* Figures of a report as people read them: three digits, a unit, and a dash for what
 * is not known. ASCII. */
#ifndef GOV_TOOLS_REPORT_FORMAT_H
#define GOV_TOOLS_REPORT_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#define GOV_FIGURE_BYTES 40

/* "310 ms", "2.41 s", "17.3 min". */
char *gov_figure_time(char out[GOV_FIGURE_BYTES], bool known, uint64_t us);
/* "42.3" of 42300. */
char *gov_figure_rate(char out[GOV_FIGURE_BYTES], bool known, uint64_t milli);
/* "3412", "1.20 M". */
char *gov_figure_count(char out[GOV_FIGURE_BYTES], uint64_t n);
/* `part` for each of `whole`, which is not known of none. */
char *gov_figure_each(char out[GOV_FIGURE_BYTES], uint64_t part,
                      uint64_t whole);
char *gov_figure_bytes(char out[GOV_FIGURE_BYTES], bool known, uint64_t bytes);
/* "1.2 %" of a whole, which is not known of none. */
char *gov_figure_share(char out[GOV_FIGURE_BYTES], uint64_t part,
                       uint64_t whole);

#endif
