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
/* As gov__linux_limit(); `group`, of GOV__CGROUP_PATH bytes, becomes the directory
 * of the group whose limit it is, and stays as it is where there is none. */
int gov__linux_binding(const struct gov__linux_root *root,
                       struct gov__limit *out, char *group);
/* Fills the table that reads through `root`. */
void gov__linux_table(struct gov_platform *out, struct gov__linux_root *root);

/* linux_psi.c: the totals of a PSI file. */
int gov__linux_pressure(const char *path, uint64_t *some, uint64_t *full);

/* linux_watch.c */
int gov__linux_watch_open(void *ctx, struct gov__watch *room);
size_t gov__linux_watch_polls(void *ctx, struct gov__watch *room,
                              const struct gov__watch_for *want,
                              struct pollfd *out);
bool gov__linux_watch_heard(void *ctx, struct gov__watch *room,
                            const struct pollfd *polled, size_t count,
                            uint64_t now_us);
size_t gov__linux_watch_sources(void *ctx, const struct gov__watch *room,
                                struct gov__source *out, size_t max);
void gov__linux_watch_close(void *ctx, struct gov__watch *room);

/* linux_gather.c */
int gov__linux_gather_open(void *ctx, struct gov__gather *gather);
int gov__linux_gather(void *ctx, struct gov__gather *gather,
                      const struct pollfd *polled, size_t count,
                      int timeout_ms);
void gov__linux_gather_close(void *ctx, struct gov__gather *gather);

/* linux_maps.c */
int gov__linux_find_mapping(void *ctx, int fd, const void *within, size_t bytes,
                            struct gov__mapping *out);
int gov__linux_mapped_elsewhere(void *ctx, int fd, bool *out);

/* One line of /proc/PID/maps or, before its figures, of smaps. */
struct gov__map_line {
    uint64_t start, end, offset, inode;
    unsigned int major, minor;
    char permissions[5]; /* "r--s" */
    const char *path;
};

bool gov__map_line_parse(const char *line, struct gov__map_line *out);

/* linux_processes.c */
int gov__linux_others(void *ctx, const struct gov__others *wanted);

/* What /proc/PID/stat says. */
struct gov__linux_stat {
    char name[64];
    char state;     /* 'R', 'S', 'D', ... */
    uint64_t flags; /* PF_ of the kernel's include/linux/sched.h */
    uint64_t minor_faults, major_faults, start_ticks;
    uint64_t resident_pages; /* of all kinds */
};

/* Cuts the text up. ESRCH: of a zombie, of which nothing is left but this line;
 * ENODATA: it is none. */
int gov__linux_stat_parse(char *text, struct gov__linux_stat *out);

/* linux_place.c */
int gov__linux_map_file(void *ctx, int fd, uint64_t offset, size_t bytes,
                        void *at, void **out);
int gov__linux_stage(void *ctx, const void *target, size_t bytes, void **out);
int gov__linux_place(void *ctx, void *staged, size_t bytes, void *target);
int gov__linux_unstage(void *ctx, void *staged, size_t bytes);
int gov__linux_cover(void *ctx, void *page, size_t bytes);
/* What a huge page holds. */
size_t gov__linux_huge_bytes(void);
/* Moves a range over another as place() does; `flags` of mremap() besides. */
int gov__linux_move(void *from, size_t bytes, void *target, int flags);

/* linux_slots.c */
int gov__linux_slots_open(void *ctx, size_t bytes, void **fill, void **view);
int gov__linux_slots_show(void *ctx, void *view, size_t bytes, void *target);
int gov__linux_slots_close(void *ctx, void *fill, void *view, size_t bytes);

/* linux_reads.c */
int gov__linux_reads_open(void *ctx, struct gov__read_queue *reads,
                          uint32_t most);
int gov__linux_reads_start(void *ctx, struct gov__read_queue *reads,
                           const struct gov__read *read);
int gov__linux_reads_take(void *ctx, struct gov__read_queue *reads,
                          uint32_t *tag, int64_t *result);
int gov__linux_reads_sleep(void *ctx, struct gov__read_queue *reads,
                           uint64_t timeout_us);
int gov__linux_reads_wake(void *ctx, struct gov__read_queue *reads);
int gov__linux_reads_close(void *ctx, struct gov__read_queue *reads);

/* linux_pass.c */
int gov__linux_step_back(void *ctx);
int gov__linux_pass_counts(void *ctx, struct gov__pass_counts *out);

/* linux_bells.c */
int gov__linux_bell_open(void *ctx, int *handle);
int gov__linux_bell_lay(void *ctx, int handle, void *page, size_t bytes);
int gov__linux_bell_arm(void *ctx, int handle, void *page, size_t bytes);
int gov__linux_bell_wait(void *ctx, int handle, uint32_t timeout_ms,
                         void **address);
int gov__linux_bell_answer(void *ctx, int handle, void *page, const void *bytes,
                           size_t count);
int gov__linux_bell_close(void *ctx, int handle);

/* linux_lease.c */
int gov__linux_lease_take(void *ctx, int fd);
int gov__linux_lease_wanted(void *ctx, int fd, bool *wanted);
int gov__linux_lease_drop(void *ctx, int fd);

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
