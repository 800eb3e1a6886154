/* SPDX-License-Identifier: MIT */
/* Telling a governed process of the same user what to do: to take a level for the
 * one in force, as if there were that pressure. For trying out what an app does
 * under pressure, and for scripts. Or to give memory back now. */
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

/* Process `pid` gives back `bytes` now (0: as much as it would at that level), by its
 * ladder and as if the level were WARN, and what cannot be undone stays. Actions that
 * rest run all the same, but for those that gave nothing; each runs as under
 * pressure, in slices and between passes, and takes memory again as after it. Its
 * level does not change, nothing is simulated; what came of it are its next events, a
 * RELIEF for each action and a NOTICE at the end, which is when the bytes were
 * measured, or there is no more to give, or after a minute. What was asked for before
 * is replaced. Told, and failing, as gov_control_simulate(). */
GOV_API GOV_NODISCARD gov_status gov_control_relieve(int32_t pid,
                                                     uint64_t bytes,
                                                     const char *directory,
                                                     gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
