/* SPDX-License-Identifier: MIT */
/* One sample as one JSON object. */
#ifndef GOV_GOVTOP_JSON_H
#define GOV_GOVTOP_JSON_H

#include <stdio.h>

#include "tools/govtop/top_model.h"

/* Prints the object and a newline; what is absent is null. others: with those that
 * are not governed. a_line: without line breaks in it. false when there is no
 * memory or out does not take it. */
bool top_json_write(const struct top_sample *sample, bool others, bool a_line,
                    FILE *out);

#endif
