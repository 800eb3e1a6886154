/* SPDX-License-Identifier: MIT */
/* Somebody waits for what this process does: the system is told not to put it to
 * sleep, nor to stretch its timers, meanwhile. */
#ifndef GOV_ACTIVITY_H
#define GOV_ACTIVITY_H

#include "governor/relief.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Around a load, or an answer that somebody waits for. They may overlap: the system
 * is told once, when the first begins and when the last ends. `why` is a few words
 * for who lists such things, used during the call. Does something on Darwin
 * (NSProcessInfo's activities); nothing elsewhere, nor without a runtime. A failure
 * is passed over. Any thread; not for every token. */
GOV_API void gov_activity_begin(gov_runtime *runtime, const char *why);
GOV_API void gov_activity_end(gov_runtime *runtime);

#ifdef __cplusplus
}
#endif
#endif
