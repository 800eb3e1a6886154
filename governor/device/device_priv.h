/* SPDX-License-Identifier: MIT */
/* What the files of governor/device share, and what their tests reach for. */
#ifndef GOV_DEVICE_DEVICE_PRIV_H
#define GOV_DEVICE_DEVICE_PRIV_H

#include "governor/device.h"
#include "governor/platform/platform.h"

/* As gov_device_probe(), on any platform. */
gov_status gov__device_probe(const struct gov_platform *platform,
                             struct gov_device *out, gov_error *err);

/* Derives reserve_bytes and budget_bytes from ram_bytes, limit_bytes,
 * others_bytes and `have`; nothing else is read. */
void gov__device_budget(struct gov_device *device);

/* As gov_device_measure(), on any platform, directory not NULL. */
gov_status gov__device_measure(const struct gov_platform *platform,
                               struct gov_device *device, const char *directory,
                               gov_progress_fn progress, void *progress_ctx,
                               gov_error *err);

/* As gov_device_load() on the text of a file; `path` is for messages only. */
gov_status gov__profile_parse(struct gov_device *out, const char *text,
                              size_t bytes, const char *path, gov_error *err);

/* True when `now` is another machine than `stored` was measured on, as far as
 * measurements go; note (may be NULL) then says what changed. */
bool gov__profile_differs(const struct gov_device *stored,
                          const struct gov_device *now, char *note,
                          size_t note_bytes);

/* As gov_device_current(), on any platform. */
gov_status gov__device_current(const struct gov_platform *platform,
                               struct gov_device *out, char *note,
                               size_t note_bytes, gov_error *err);

/* Replaces everything but printable ASCII by '?': texts of the system and of
 * files reach screens. */
void gov__make_printable(char *text);

#endif
