/* SPDX-License-Identifier: MIT */
/* Where rules come from: a file that is named, the user's, the system's, or the
 * shipped ones, which are part of the library. */
#ifndef GOV_POLICY_H
#define GOV_POLICY_H

#include "policies/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens rules. `path` NULL means the first that exists of
 * $XDG_CONFIG_HOME/governor/rules.yaml (~/.config/...), /etc/governor/rules.yaml
 * and the shipped rules. `source` (may be NULL) receives where they came from,
 * for a person. On GOV_E_FORMAT `pointed` (may be NULL) receives the offending
 * line and a caret under the place. alloc NULL means the C library's.
 *
 * GOV_E_NOT_FOUND, GOV_E_PERMISSION, GOV_E_IO  a file that is there, or was
 *                                              named, cannot be read
 * GOV_E_FORMAT, GOV_E_NOMEM                    as gov_policy_parse() */
GOV_API GOV_NODISCARD gov_status gov_policy_open(gov_policy **out,
                                                const char *path,
                                                char source[GOV_MESSAGE_BYTES],
                                                char pointed[GOV_MESSAGE_BYTES],
                                                const struct gov_alloc *alloc,
                                                gov_error *err);

/* The shipped rules as text; static, NUL-terminated. */
GOV_API const char *gov_policy_shipped(void);

#ifdef __cplusplus
}
#endif
#endif
