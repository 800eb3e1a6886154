/* SPDX-License-Identifier: MIT */
/* How a profile looks to a person. Knows the words and the columns; measures and
 * stores nothing. */
#ifndef GOV_TOOLS_PROFILE_TEXT_H
#define GOV_TOOLS_PROFILE_TEXT_H

#include "tools/gov/gov.h"

/* Where it is shown. */
struct gov_profile_look {
    int columns; /* never exceeded; at least 60 */
    bool colour;
    int64_t now; /* seconds since the epoch, for "3 days ago" */
};

/* As stdout wants it: as wide as its terminal, 60 to 100 columns. */
struct gov_profile_look gov_profile_look(void);

/* Prints all there is to stdout. */
void gov_profile_print(const struct gov_device *device,
                       const struct gov_profile_look *look);

/* Prints "title: text", broken between words. */
void gov_profile_say(const struct gov_profile_look *look, const char *title,
                     const char *text);

#endif
