/* SPDX-License-Identifier: MIT */
/* Telling a governed process of the same user what to do: to take a level for the
 * one in force, as if there were that pressure. For trying out what an app does
 * under pressure, and for scripts. */
#ifndef GOV_CONTROL_H
#define GOV_CONTROL_H

#include "policies/level.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In process `pid` the level becomes `level`, whatever the evidence, for so many
 * milliseconds; 0: back to real evidence, now, and `level` does not matter. What
 * was simulated before is replaced, steps that the app itself has waiting for
 * (gov_simulate()) are not. directory is the one of its page; NULL means the
 * default.
 *
 * GOV_OK says that it was told. It follows at once unless it is stopped, or its
 * host does not call gov_step(); its page shows it (GOV_PAGE_LEVEL_SIMULATED).
 * Never waits; any thread.
 *
 * GOV_E_INVALID      no level, no process id, a directory whose name is too long
 * GOV_E_NOT_FOUND    there is no such process, or it is not governed
 * GOV_E_PERMISSION   it is another user's, or the directory cannot be trusted
 * GOV_E_UNSUPPORTED  it is governed by an older version
 * GOV_E_BUSY         it has not read yet what it was told before
 * GOV_E_IO */
GOV_API GOV_NODISCARD gov_status gov_control_simulate(int32_t pid,
                                                      gov_level level,
                                                      uint64_t for_ms,
                                                      const char *directory,
                                                      gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
