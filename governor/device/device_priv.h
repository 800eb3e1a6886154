/* SPDX-License-Identifier: MIT */
/* What the files of governor/device share, and what their tests reach for. */
#ifndef GOV_DEVICE_DEVICE_PRIV_H
#define GOV_DEVICE_DEVICE_PRIV_H

#include "governor/device.h"
#include "governor/platform/platform.h"

/* As gov_device_probe(), on any platform. */
gov_status gov__device_probe(const struct gov_platform *platform,
                             struct gov_device *out, gov_error *err);

/* The facts on memory alone, the budget among them: nothing is tried and nobody
 * else asked, which is what a runtime needs in somebody's app. */
gov_status gov__device_probe_memory(const struct gov_platform *platform,
                                    struct gov_device *out, gov_error *err);

/* What others have of the limit's group that cannot be dropped: own_bytes is
 * what of it this process has. */
uint64_t gov__device_others(const struct gov__limit *limit, uint64_t own_bytes);

/* Lists device.reserve and budget.ram, from device.ram, device.limit and
 * device.others; nothing else is read. */
void gov__device_budget(struct gov_device *device);

/* Lists device.tier as tiers.yaml has it for what is known by now: to be called
 * again after measuring. */
void gov__device_tier(struct gov_device *device);

/* List a fact, in the place where it is listed already or at the end. Texts are
 * copied, cut, and made printable; numbers beyond INT64_MAX become that, as in
 * gov_facts_set(). `why`: why it is not known. */
void gov__device_set(struct gov_device *device, gov_fact fact, uint64_t number,
                     const char *source);
void gov__device_set_text(struct gov_device *device, gov_fact fact,
                          const char *text, const char *source);
void gov__device_unknown(struct gov_device *device, gov_fact fact,
                         const char *why);

/* A gain is from 1 to this, in thousandths. */
#define GOV__GAIN_MOST 1000000

/* Whether a device lists the fact, rather than deriving it from figures and
 * graphics processors. */
bool gov__device_lists(gov_fact fact);

/* As gov_device_measure(), on any platform, options->directory not NULL. */
gov_status gov__device_measure(const struct gov_platform *platform,
                               struct gov_device *device,
                               const struct gov_measure_options *options,
                               gov_error *err);

/* Replaces device->gpus by what the platform's drivers tell, each processor
 * once, and lists gpu.count with the drivers that failed as its source. Takes as
 * long as the drivers do. */
gov_status gov__device_gpus(const struct gov_platform *platform,
                            struct gov_device *device, gov_error *err);

/* As gov_device_load() on the text of a file; `path` is for messages only. */
gov_status gov__profile_parse(struct gov_device *out, const char *text,
                              size_t bytes, const char *path, gov_error *err);

/* The n-th of the facts that figures depend on, which a profile is of; false when
 * there is no such. */
bool gov__device_depends_on(size_t n, gov_fact *out);

/* What of a profile goes into rows of telemetry: 16 digits that follow from those
 * facts, the same for every profile of a machine that did not change, on whatever
 * day. Nothing else goes into it: no name of a host, a user or a place. */
#define GOV__DEVICE_ID 17
void gov__device_id(const struct gov_device *device, char out[GOV__DEVICE_ID]);

/* As gov_device_current(), on any platform. */
gov_status gov__device_current(const struct gov_platform *platform,
                               struct gov_device *out, char *note,
                               size_t note_bytes, gov_error *err);

/* Copies a text, cut to fit, everything but printable ASCII replaced by '?':
 * texts of the system and of files reach screens. */
void gov__copy_printable(char *out, size_t bytes, const char *text);

/* The same in place. */
void gov__make_printable(char *text);

#endif
