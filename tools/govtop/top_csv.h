/* SPDX-License-Identifier: MIT */
/* Samples as a table for other programs: a header, then a row for each process
 * (RFC 4180). */
#ifndef GOV_GOVTOP_CSV_H
#define GOV_GOVTOP_CSV_H

#include <stdio.h>

#include "tools/govtop/top_model.h"

/* The names of the columns, and the rows of one sample, taken at `at_ms` (Unix
 * time). What is absent is empty. Of the map of units and what wakes a process
 * nothing: they are for people. others: with those that are not governed. false
 * when out does not take it. */
bool top_csv_header(FILE *out);
bool top_csv_write(const struct top_model *model, bool others, int64_t at_ms,
                   FILE *out);

#endif
