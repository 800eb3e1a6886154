/* SPDX-License-Identifier: MIT */
/* One sample as one JSON object. */
#ifndef GOV_GOVTOP_JSON_H
#define GOV_GOVTOP_JSON_H

#include <stdio.h>

#include "governor/governor.h"

/* Prints the object and a newline; what is absent is null. false when there is
 * no memory or out does not take it. */
bool top_json_write(const struct gov_machine *machine,
                    const struct gov_page *pages, size_t count, FILE *out);

#endif
