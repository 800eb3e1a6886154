/* SPDX-License-Identifier: MIT */
/* What the ways to graphics processors have in common: each writes the
 * processors that it knows, at most `max`, and returns 0 or an errno value. What
 * is not installed knows of none; a library that is there and refuses as a whole
 * is one entry that says so. Linux only.
 *
 * A driver's library is opened with RTLD_NODELETE, so that it stays when it is
 * closed: drivers keep threads and destructors of thread-local data, and a call
 * into unmapped code would end the host at some later time. */
#ifndef GOV_PLATFORM_GPU_DRIVERS_H
#define GOV_PLATFORM_GPU_DRIVERS_H

#include "governor/platform/platform.h"

/* Keeps every library that is loaded and exports the symbol until the process
 * ends, whoever closes it. */
void gov__keep_loaded(const char *symbol);

/* Makes one entry of a driver that failed, when there is room; the format is that
 * of why. Returns how many were made. */
__attribute__((format(printf, 3, 4))) size_t
gov__gpu_failed(struct gov__gpu *out, size_t max, const char *why, ...);

/* The kernel: <root>/sys/class/drm. */
int gov__drm_read(const char *root, struct gov__gpu *out, size_t max,
                  size_t *count);

/* NVIDIA's management library, by name or path. */
int gov__nvml_read_from(const char *library, struct gov__gpu *out, size_t max,
                        size_t *count);

/* The Vulkan loader, by name or path. */
int gov__vulkan_read_from(const char *library, struct gov__gpu *out, size_t max,
                          size_t *count);

#endif
