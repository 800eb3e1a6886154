/* SPDX-License-Identifier: MIT */
/* Numbers as short as a column needs them. Every function fills out, at most
 * TOP_NUMBER bytes with the NUL, and returns it. Unknown is TOP_UNKNOWN and is
 * written "-", never 0. */
#ifndef GOV_GOVTOP_FORMAT_H
#define GOV_GOVTOP_FORMAT_H

#include <stdint.h>

#define TOP_UNKNOWN UINT64_MAX
#define TOP_NUMBER 16

char *top_bytes(char out[TOP_NUMBER], uint64_t bytes); /* "1.42G", "0B" */
char *top_count(char out[TOP_NUMBER], uint64_t n);     /* "9999", "12.3k" */
char *top_milli(char out[TOP_NUMBER], uint64_t milli); /* 11234: "11.2" */
char *top_percent(char out[TOP_NUMBER], uint64_t permille); /* "3.2%" */
char *top_duration(char out[TOP_NUMBER], uint64_t us); /* "312ms", "1.42s" */
char *top_ago(char out[TOP_NUMBER], uint64_t us);      /* "now", "12 s ago" */

/* part / whole in thousandths, which may be over 1000; unknown when one of them
 * is, or when whole is 0. */
uint64_t top_permille(uint64_t part, uint64_t whole);

#endif
