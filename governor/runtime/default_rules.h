/* SPDX-License-Identifier: MIT */
/* configs/balanced.yaml as the build put it into the library. */
#ifndef GOV_RUNTIME_DEFAULT_RULES_H
#define GOV_RUNTIME_DEFAULT_RULES_H

#include <stddef.h>

extern const char gov__default_rules[];
extern const size_t gov__default_rules_bytes; /* without the NUL */

#endif
