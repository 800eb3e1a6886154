/* SPDX-License-Identifier: MIT */
/* What the files of the Darwin platform have in common, one concept a file:
 * platform_darwin.c fills the table with it. None of it has ever run: see
 * docs/platforms.md. "xnu" in comments is https://github.com/apple-oss-distributions/xnu
 * at xnu-11417.101.15 (macOS 15.4), read to learn what calls do. */
#ifndef GOV_PLATFORM_DARWIN_PARTS_H
#define GOV_PLATFORM_DARWIN_PARTS_H

#include "governor/platform/platform.h"

/* platform_darwin.c: an integer of 4 or 8 bytes by its name in sysctl. ENODATA
 * for one that is negative or of another size. */
int gov__darwin_number(const char *name, uint64_t *out);

/* darwin_watch.c. The system's own level, as gov_level counts; EPERM: iOS, where
 * that is a privilege. */
int gov__darwin_os_level(int *level);
int gov__darwin_watch_open(void *ctx, struct gov__watch *watch);
size_t gov__darwin_watch_polls(void *ctx, struct gov__watch *watch,
                               const struct gov__watch_for *want,
                               struct pollfd *out);
bool gov__darwin_watch_heard(void *ctx, struct gov__watch *watch,
                             const struct pollfd *polled, size_t count,
                             uint64_t now_us);
size_t gov__darwin_watch_sources(void *ctx, const struct gov__watch *watch,
                                 struct gov__source *out, size_t room);
void gov__darwin_watch_close(void *ctx, struct gov__watch *watch);

/* darwin_gather.c */
int gov__darwin_gather_open(void *ctx, struct gov__gather *gather);
int gov__darwin_gather(void *ctx, struct gov__gather *gather,
                       const struct pollfd *polled, size_t count,
                       int timeout_ms);
void gov__darwin_gather_close(void *ctx, struct gov__gather *gather);

/* darwin_activity.c */
int gov__darwin_activity_begin(void *ctx, const char *why, void **out);
int gov__darwin_activity_end(void *ctx, void *activity);

/* darwin_memory.c. What mmap() takes instead of a descriptor for memory without a
 * file: see gov__darwin_tag_of(). */
int gov__darwin_vm_tag(const char *text);
int gov__darwin_discard(void *ctx, void *base, size_t bytes);
int gov__darwin_populate(void *ctx, void *base, size_t bytes);
int gov__darwin_drop_cached(void *ctx, int fd, uint64_t offset, uint64_t bytes);
int gov__darwin_resident(void *ctx, void *base, size_t bytes, uint64_t *out);
int gov__darwin_find_mapping(void *ctx, int fd, const void *within,
                             size_t bytes, struct gov__mapping *out);

/* darwin_place.c */
int gov__darwin_map_file(void *ctx, int fd, uint64_t offset, size_t bytes,
                         void *at, void **out);
int gov__darwin_stage(void *ctx, const void *target, size_t bytes, void **out);
int gov__darwin_place(void *ctx, void *staged, size_t bytes, void *target);
int gov__darwin_unstage(void *ctx, void *staged, size_t bytes);
int gov__darwin_cover(void *ctx, void *page, size_t bytes);
int gov__darwin_step_back(void *ctx);
int gov__darwin_pass_counts(void *ctx, struct gov__pass_counts *out);
int gov__darwin_slots_open(void *ctx, size_t bytes, void **fill, void **view);
int gov__darwin_slots_show(void *ctx, void *view, size_t bytes, void *target);
int gov__darwin_slots_close(void *ctx, void *fill, void *view, size_t bytes);
int gov__darwin_bell_open(void *ctx, int *handle);
int gov__darwin_bell_page(void *ctx, int handle, void *page, size_t bytes);
int gov__darwin_bell_wait(void *ctx, int handle, uint32_t timeout_ms,
                          void **address);
int gov__darwin_bell_answer(void *ctx, int handle, void *page,
                            const void *bytes, size_t count);
int gov__darwin_no_file(void *ctx, int fd);
int gov__darwin_lease_wanted(void *ctx, int fd, bool *wanted);

/* darwin_facts.c */
int gov__darwin_tell(void *ctx, gov_fact fact, struct gov__told *out);

/* darwin_metal.c */
int gov__darwin_gpus(void *ctx, struct gov__gpu *out, size_t max,
                     size_t *count);

#endif
