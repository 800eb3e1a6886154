/* SPDX-License-Identifier: MIT */
/* Where policies come from: the shipped ones, which are part of the library, the
 * system's, the user's, and the one that the app names, each laid over those
 * before it. */
#ifndef GOV_POLICY_H
#define GOV_POLICY_H

#include "policies/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens the policy in force: /etc/governor/policy.yaml (the system's) and
 * $XDG_CONFIG_HOME/governor/policy.yaml, ~/.config/... without it (the user's),
 * where they are there, and `named` (may be NULL): the name of a shipped policy
 * ("frugal"), or the path of a file, which has a `/` or a `.` in it. A shipped
 * one that is named here is what the others lie over, whatever they say. A file
 * that is named though it is looked for anyway counts once, as the named one.
 * `source` (may be NULL) receives where it came from, for a person: "balanced,
 * /etc/governor/policy.yaml"; "" on failure. Flaws of the files are told as
 * gov_policy_build() does; `pointed` (may be NULL) receives the line of the first
 * error with a caret, "" where there is none. alloc NULL means the C library's.
 *
 * GOV_E_NOT_FOUND, GOV_E_PERMISSION, GOV_E_IO  a file that is there, or was
 *                                              named, cannot be read
 * GOV_E_INVALID                                `named` is neither a shipped
 *                                              policy nor a path
 * GOV_E_FORMAT, GOV_E_NOMEM                    as gov_policy_build() */
GOV_API GOV_NODISCARD gov_status gov_policy_open(
    gov_policy **out, const char *named, char source[GOV_MESSAGE_BYTES],
    char pointed[GOV_MESSAGE_BYTES], gov_flaw_fn flaw, void *ctx,
    const struct gov_alloc *alloc, gov_error *err);

/* Reads a whole policy file (or one of cases) as text: regular, 256 KiB at most,
 * unchanged while it is read. *text is NUL-terminated and released with alloc.
 *
 * GOV_E_NOT_FOUND, GOV_E_PERMISSION, GOV_E_IO, GOV_E_FORMAT, GOV_E_NOMEM */
GOV_API GOV_NODISCARD gov_status
gov_policy_read_text(char **text, size_t *bytes, const char *path,
                     const struct gov_alloc *alloc, gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
