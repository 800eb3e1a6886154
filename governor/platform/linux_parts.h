/* SPDX-License-Identifier: MIT */
/* What the files of the Linux platform have in common, one concept a file:
 * platform_linux.c fills the table with it. `ctx` is always a
 * struct gov__linux_root *. Linux only. */
#ifndef GOV_PLATFORM_LINUX_PARTS_H
#define GOV_PLATFORM_LINUX_PARTS_H

#include "governor/platform/platform.h"

/* platform_linux.c */
int gov__linux_machine(void *ctx, struct gov__machine *out);
int gov__linux_limit(void *ctx, struct gov__limit *out);
int gov__linux_stall(void *ctx, struct gov__stall *out);

/* linux_file.c */
int gov__linux_set_direct(void *ctx, int fd, bool direct);
int gov__linux_file_system(void *ctx, int fd, char *out, size_t bytes);

/* linux_uring.c */
int gov__linux_read_queued(void *ctx, const struct gov__queued_read *read,
                           uint64_t *done);

/* linux_gpu.c: what sysfs below the root shows, and natively what the drivers'
 * libraries tell. */
int gov__linux_gpus(void *ctx, struct gov__gpu *out, size_t max, size_t *count);

/* ---- telling ------------------------------------------------------------------ */

/* linux_facts.c */
int gov__linux_tell(void *ctx, gov_fact fact, struct gov__told *out);

/* Fill *out; the format is that of the source. Return 0, 0 and ENODATA. Texts are
 * cut at their end, and get single spaces between words. */
__attribute__((format(printf, 3, 4))) int
gov__told_number(struct gov__told *out, uint64_t number, const char *source,
                 ...);
__attribute__((format(printf, 3, 4))) int gov__told_text(struct gov__told *out,
                                                         const char *text,
                                                         const char *source,
                                                         ...);
__attribute__((format(printf, 2, 3))) int
gov__told_nothing(struct gov__told *out, const char *why, ...);
/* Why a file does not tell: "/proc/swaps is not there". Returns ENODATA. */
int gov__told_unread(struct gov__told *out, const char *path, int error);

/* Reads a small file below the root, without its last newline. */
int gov__linux_read(void *ctx, const char *path, char *out, size_t bytes);
/* Whether the root is that of this machine, so that its calls may be asked too. */
bool gov__linux_is_native(void *ctx);

/* linux_processors.c: DEVICE_CPU, _CORES, _PERFORMANCE_CORES, _EFFICIENCY_CORES
 * and _SIMD. */
int gov__linux_tell_cpu(void *ctx, struct gov__told *out);
int gov__linux_tell_cores(void *ctx, struct gov__told *out);
int gov__linux_tell_kind(void *ctx, bool fast, struct gov__told *out);
int gov__linux_tell_simd(void *ctx, struct gov__told *out);

/* linux_tries.c: DEVICE_MEMLOCK, _USERFAULTFD, _CACHESTAT and _IO_URING. */
int gov__linux_tell_memlock(void *ctx, struct gov__told *out);
int gov__linux_try_userfaultfd(void *ctx, struct gov__told *out);
int gov__linux_try_cachestat(void *ctx, struct gov__told *out);
int gov__linux_try_io_uring(void *ctx, struct gov__told *out);

#endif
