/* SPDX-License-Identifier: MIT */
/* Linux: /proc, control groups, PSI and madvise(). Reads figures and moves
 * memory; decides nothing. Built only here: the Makefile picks this file by the
 * system's name. */
#include "governor/platform/platform.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/linux_kept.h"
#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"
#include "governor/platform/linux_watch.h"

/* Newer than Debian 12's headers on some architectures; numbers from
 * include/uapi/asm-generic/mman-common.h and linux/prctl.h. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* A v1 group without a limit reports the largest multiple of its page size
 * below 2^63; anything this large is none. */
#define UNLIMITED_V1 (UINT64_C(1) << 62)

static const char *root_of(void *ctx)
{
    return ((const struct gov__linux_root *)ctx)->root;
}

/* NULL but in a table of keep(). */
static struct gov__linux_kept *kept_of(void *ctx)
{
    return ((const struct gov__linux_root *)ctx)->kept;
}

static int path_in(void *ctx, const char *path, char *out, size_t bytes)
{
    return gov__path_join(out, bytes, root_of(ctx), path);
}

static uint64_t linux_now_us(void *ctx)
{
    struct timespec ts;

    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static size_t linux_page_bytes(void *ctx)
{
    (void)ctx;
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- evidence -------------------------------------------------------------- */

int gov__linux_machine(void *ctx, struct gov__machine *out)
{
    static const char *const keys[] = {
        "MemTotal:", "MemAvailable:", "SwapTotal:", "SwapFree:"};
    struct gov__linux_kept *kept = kept_of(ctx);
    uint64_t kib[4] = {0};
    bool have[4];
    char path[GOV__CGROUP_PATH];
    int rc = path_in(ctx, "/proc/meminfo", path, sizeof(path));

    if (rc == 0)
        rc = gov__file_numbers(kept, path, keys, 4, kib, have);
    if (rc != 0)
        return rc;
    if (!have[0] || kib[0] == 0 || kib[0] > UINT64_MAX / 1024)
        return ENODATA;
    out->total_bytes = kib[0] * 1024;
    out->available_bytes = kib[1] * 1024;
    out->swap_total_bytes = kib[2] * 1024;
    out->swap_free_bytes = kib[3] * 1024;
    if (kept != NULL)
        kept->total_bytes = out->total_bytes;
    return 0;
}

/* One hierarchy's file names and words. */
struct cgroup_words {
    const char *version, *limits[2], *usage, *file_keys[2];
    /* Where it is counted that the limit was run into: in the first that is there,
     * the sum of the keys. */
    const char *hits[2], *hit_keys[2];
};

/* Above memory.high a group is not killed but made so slow by reclaim that it
 * makes no difference here. File pages are those on the lists that reclaim
 * takes from: "cache" and "file" would count tmpfs and shared memory, which
 * cannot be dropped. */
static const struct cgroup_words words_v1 = {
    "v1",
    {"memory.limit_in_bytes", NULL},
    "memory.usage_in_bytes",
    {"total_inactive_file ", "total_active_file "},
    {"memory.failcnt", NULL},
    {"", NULL}};
static const struct cgroup_words words_v2 = {
    "v2",
    {"memory.max", "memory.high"},
    "memory.current",
    {"inactive_file ", "active_file "},
    {"memory.events.local", "memory.events"},
    {"max ", "high "}};

/* Numbers of a file of a group, as gov__file_numbers(); of a file that is not there
 * none is had. */
static int numbers_in(struct gov__linux_kept *kept, const char *group,
                      const char *file, const char *const keys[2],
                      uint64_t out[2], bool have[2])
{
    char path[GOV__CGROUP_PATH + 32];
    int rc;

    have[0] = have[1] = false;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", group, file) >=
        sizeof(path))
        return 0;
    rc =
        gov__file_numbers(kept, path, keys, keys[1] != NULL ? 2 : 1, out, have);
    return gov__cgroup_absent(rc) ? 0 : rc;
}

/* What is not there leaves *out as it is. */
static int optional_number(struct gov__linux_kept *kept, const char *group,
                           const char *file, uint64_t *out)
{
    static const char *const first[2] = {"", NULL};
    uint64_t numbers[2] = {*out};
    bool have[2];
    int rc = numbers_in(kept, group, file, first, numbers, have);

    *out = numbers[0];
    return rc;
}

static int read_hits(struct gov__linux_kept *kept, const char *group,
                     const struct cgroup_words *words, struct gov__limit *out)
{
    bool have[2] = {false, false};
    int rc = 0;

    for (size_t i = 0;
         i < 2 && words->hits[i] != NULL && rc == 0 && !out->have_hits; i++) {
        uint64_t hits[2] = {0};

        rc = numbers_in(kept, group, words->hits[i], words->hit_keys, hits,
                        have);
        out->have_hits = rc == 0 && have[0];
        out->hits = hits[0] + hits[1];
    }
    return rc;
}

/* The limit of one group, and what is charged to it; UINT64_MAX without one:
 * "max" is no number. `name` is for the source. Returns 0 or an errno value. */
static int read_limit(struct gov__linux_kept *kept, const char *group,
                      const char *name, const struct cgroup_words *words,
                      struct gov__limit *out)
{
    uint64_t file[2] = {0};
    bool have[2];
    int rc = 0;

    memset(out, 0, sizeof(*out));
    out->limit_bytes = UINT64_MAX;
    for (size_t i = 0; i < 2 && words->limits[i] != NULL && rc == 0; i++) {
        uint64_t bytes = UINT64_MAX;

        rc = optional_number(kept, group, words->limits[i], &bytes);
        if (bytes >= UNLIMITED_V1 || bytes >= out->limit_bytes)
            continue;
        out->limit_bytes = bytes;
        snprintf(out->source, sizeof(out->source), "cgroup %s %.100s, %s",
                 words->version, *name == '\0' ? "/" : name, words->limits[i]);
    }
    if (rc != 0 || out->limit_bytes == UINT64_MAX)
        return rc;
    rc = optional_number(kept, group, words->usage, &out->used_bytes);
    if (rc == 0)
        rc = numbers_in(kept, group, "memory.stat", words->file_keys, file,
                        have);
    out->used_file_bytes = file[0] + file[1];
    return rc;
}

static uint64_t room_in(const struct gov__limit *limit)
{
    uint64_t kept = limit->used_bytes > limit->used_file_bytes
                        ? limit->used_bytes - limit->used_file_bytes
                        : 0;

    return limit->limit_bytes > kept ? limit->limit_bytes - kept : 0;
}

/* Walks from the group up to the mount and keeps the tightest limit. Among
 * equal ones that is the outermost: more is charged to it. */
static int tightest(struct gov__linux_kept *kept,
                    const struct gov__cgroup *cgroup,
                    const struct cgroup_words *words, struct gov__limit *out,
                    char *binding)
{
    char group[GOV__CGROUP_PATH];
    uint64_t least = UINT64_MAX;

    memcpy(group, cgroup->group, sizeof(group));
    do {
        struct gov__limit here;
        int rc = read_limit(kept, group, group + strlen(cgroup->mount), words,
                            &here);

        if (rc != 0)
            return rc;
        if (here.limit_bytes == UINT64_MAX)
            continue;
        if (room_in(&here) < least)
            least = room_in(&here);
        if (here.limit_bytes <= out->limit_bytes) {
            *out = here;
            memcpy(binding, group, sizeof(group));
        }
    } while (gov__cgroup_parent(group, cgroup->mount));
    if (least < room_in(out))
        out->short_bytes = room_in(out) - least;
    return 0;
}

/* The least swap that the group or one above it allows; v2 only, as v1 limits
 * the sum of both. */
static int swap_limit(struct gov__linux_kept *kept,
                      const struct gov__cgroup *cgroup, struct gov__limit *out)
{
    char group[GOV__CGROUP_PATH];
    uint64_t least = UINT64_MAX;

    memcpy(group, cgroup->group, sizeof(group));
    do {
        uint64_t bytes = UINT64_MAX;
        int rc = optional_number(kept, group, "memory.swap.max", &bytes);

        if (rc != 0)
            return rc;
        if (bytes < least)
            least = bytes;
    } while (gov__cgroup_parent(group, cgroup->mount));
    out->have_swap_limit = least != UINT64_MAX;
    out->swap_limit_bytes = out->have_swap_limit ? least : 0;
    return 0;
}

/* Whether the limit is above what is installed, and binds nobody. One that equals
 * it does: lxcfs shows a container its limit as the machine's total. */
static bool is_above_all(void *ctx, const struct gov__limit *limit)
{
    const struct gov__linux_kept *kept = kept_of(ctx);
    struct gov__machine machine;

    if (kept != NULL && kept->total_bytes != 0)
        return limit->limit_bytes > kept->total_bytes;
    return gov__linux_machine(ctx, &machine) == 0 &&
           limit->limit_bytes > machine.total_bytes;
}

int gov__linux_binding(const struct gov__linux_root *root,
                       struct gov__limit *out, char *group)
{
    const struct gov__limit none = {.limit_bytes = UINT64_MAX};
    const struct cgroup_words *words = NULL;
    const struct gov__cgroups *groups;
    struct gov__linux_root ctx = *root;
    struct gov__cgroups room;
    char binding[GOV__CGROUP_PATH];
    int rc = gov__kept_groups(root, &room, &groups);

    *out = none;
    /* The memory controller lives in one hierarchy only, so a hybrid system
     * finds a limit in one of them at most. */
    if (rc == 0 && groups->memory_v1.found)
        words = &words_v1;
    else if (rc == 0 && groups->unified.found)
        words = &words_v2;
    if (words != NULL)
        rc =
            tightest(root->kept,
                     words == &words_v1 ? &groups->memory_v1 : &groups->unified,
                     words, out, binding);
    if (words == NULL || out->limit_bytes == UINT64_MAX ||
        is_above_all(&ctx, out)) {
        *out = none;
    } else {
        memcpy(group, binding, sizeof(binding));
        if (rc == 0)
            rc = read_hits(root->kept, group, words, out);
    }
    if (rc == 0 && groups->unified.found)
        rc = swap_limit(root->kept, &groups->unified, out);
    /* That a limit cannot be read does not mean that there is none. */
    return rc;
}

int gov__linux_limit(void *ctx, struct gov__limit *out)
{
    char group[GOV__CGROUP_PATH];

    return gov__linux_binding(ctx, out, group);
}

/* Both files of one place: "/proc/pressure/memory", "GROUP/memory.pressure". */
static void read_stall(void *ctx, const char *place, bool own,
                       struct gov__stall *out)
{
    struct gov__linux_kept *kept = kept_of(ctx);
    char path[GOV__CGROUP_PATH + 32];
    struct gov__psi psi;

    snprintf(path, sizeof(path), own ? "%s/memory.pressure" : "%s/memory",
             place);
    out->have_memory = gov__psi_read(kept, path, &psi) == 0;
    if (out->have_memory) {
        out->memory_some_us = psi.some_us;
        out->memory_full_us = psi.full_us;
        out->memory_recent_permille = psi.some_permille;
    }
    snprintf(path, sizeof(path), own ? "%s/io.pressure" : "%s/io", place);
    out->have_io = gov__psi_read(kept, path, &psi) == 0;
    if (out->have_io)
        out->io_some_us = psi.some_us;
    out->source = own ? "own cgroup" : "system";
}

int gov__linux_stall(void *ctx, struct gov__stall *out)
{
    const struct gov__cgroups *groups;
    struct gov__cgroups room;
    char path[GOV__CGROUP_PATH];

    memset(out, 0, sizeof(*out));
    (void)gov__kept_groups(ctx, &room, &groups);
    /* The top group's pressure is the system's: read that the ordinary way. */
    if (groups->unified.found && !groups->unified.top)
        read_stall(ctx, groups->unified.group, true, out);
    if (out->have_memory)
        return 0;
    if (path_in(ctx, "/proc/pressure", path, sizeof(path)) == 0)
        read_stall(ctx, path, false, out);
    return out->have_memory || out->have_io ? 0 : ENOTSUP;
}

static int linux_refaults(void *ctx, uint64_t *out_bytes)
{
    static const char *const keys[2] = {"workingset_refault_file ", NULL};
    struct gov__linux_kept *kept = kept_of(ctx);
    const struct gov__cgroups *groups;
    struct gov__cgroups room;
    char path[GOV__CGROUP_PATH];
    uint64_t pages[2] = {0};
    bool have[2] = {false, false};
    int rc = 0;

    (void)gov__kept_groups(ctx, &room, &groups);
    if (groups->unified.found && !groups->unified.top)
        rc = numbers_in(kept, groups->unified.group, "memory.stat", keys, pages,
                        have);
    if (!have[0] && groups->memory_v1.found)
        rc = numbers_in(kept, groups->memory_v1.group, "memory.stat", keys,
                        pages, have);
    if (!have[0]) {
        rc = path_in(ctx, "/proc/vmstat", path, sizeof(path));
        if (rc == 0)
            rc = gov__file_numbers(kept, path, keys, 1, pages, have);
    }
    if (have[0])
        *out_bytes = pages[0] * linux_page_bytes(ctx);
    return have[0] ? 0 : rc != 0 ? rc : ENOENT;
}

/* ---- processes ------------------------------------------------------------- */

static int process_path(void *ctx, int pid, const char *file, char *out,
                        size_t bytes)
{
    char relative[64];

    if (pid == 0)
        snprintf(relative, sizeof(relative), "/proc/self/%s", file);
    else
        snprintf(relative, sizeof(relative), "/proc/%d/%s", pid, file);
    return path_in(ctx, relative, out, bytes);
}

/* Only what is this process's own is read again and again. */
static struct gov__linux_kept *kept_for(void *ctx, int pid)
{
    return pid == 0 ? kept_of(ctx) : NULL;
}

static int read_stat(void *ctx, int pid, struct gov__process *out)
{
    char path[GOV__CGROUP_PATH], text[2048];
    struct gov__linux_stat stat;
    int rc = process_path(ctx, pid, "stat", path, sizeof(path));

    if (rc == 0)
        rc = gov__file_text(kept_for(ctx, pid), path, text, sizeof(text));
    if (rc == 0)
        rc = gov__linux_stat_parse(text, &stat);
    if (rc != 0)
        return rc == ENOENT ? ESRCH : rc;
    out->minor_faults = stat.minor_faults;
    out->major_faults = stat.major_faults;
    out->start_ticks = stat.start_ticks;
    return 0;
}

static int read_status(void *ctx, int pid, struct gov__process *out)
{
    static const char *const keys[] = {
        "RssAnon:", "RssFile:", "RssShmem:", "VmSwap:"};
    uint64_t *const fields[] = {&out->anon_bytes, &out->resident_file_bytes,
                                &out->shmem_bytes, &out->swap_bytes};
    uint64_t kib[4] = {0};
    bool have[4], found = false;
    char path[GOV__CGROUP_PATH];
    int rc = process_path(ctx, pid, "status", path, sizeof(path));

    if (rc == 0)
        rc = gov__file_numbers(kept_for(ctx, pid), path, keys, 4, kib, have);
    if (rc != 0)
        return rc == ENOENT ? ESRCH : rc;
    for (size_t i = 0; i < 4; i++) {
        *fields[i] = kib[i] * 1024;
        found = found || have[i];
    }
    return found ? 0 : ENODATA;
}

static int linux_process(void *ctx, int pid, struct gov__process *out)
{
    static const char *const key = "read_bytes:";
    char path[GOV__CGROUP_PATH];
    bool have;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = read_status(ctx, pid, out);
    if (rc == 0)
        rc = read_stat(ctx, pid, out);
    if (rc != 0)
        return rc;
    out->footprint_bytes = out->anon_bytes + out->swap_bytes + out->shmem_bytes;
    if (process_path(ctx, pid, "io", path, sizeof(path)) == 0)
        out->have_read_bytes =
            gov__file_numbers(kept_for(ctx, pid), path, &key, 1,
                              &out->read_bytes, &have) == 0 &&
            have;
    return 0;
}

static int linux_alive(void *ctx, int pid, uint64_t start_ticks)
{
    struct gov__process process;
    int rc;

    if (pid <= 0)
        return ESRCH;
    memset(&process, 0, sizeof(process));
    rc = read_stat(ctx, pid, &process);
    if (rc == 0 && start_ticks != 0 && process.start_ticks != start_ticks)
        rc = ESRCH;
    return rc;
}

/* ---- address space ---------------------------------------------------------- */

static int linux_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)ctx;
    if (base == MAP_FAILED)
        return errno;
    /* A name in /proc/PID/maps; needs CONFIG_ANON_VMA_NAME (5.17), and that it
     * fails elsewhere loses nothing. */
    if (tag != NULL)
        (void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, base, bytes, tag);
    *out = base;
    return 0;
}

static int linux_unmap(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return munmap(base, bytes) == 0 ? 0 : errno;
}

static int linux_discard(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return madvise(base, bytes, MADV_DONTNEED) == 0 ? 0 : errno;
}

static int linux_offer(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return madvise(base, bytes, MADV_FREE) == 0 ? 0 : errno;
}

/* One call of MADV_WILLNEED reads no more than the larger of the readahead
 * window and the device's request, whatever it is asked for, and says nothing
 * (1280 KiB on a stock kernel): hence steps. */
static int linux_prefetch(void *ctx, void *base, size_t bytes)
{
    const size_t step = (size_t)512 * 1024;

    (void)ctx;
    for (size_t at = 0; at < bytes; at += step)
        if (madvise((char *)base + at, bytes - at < step ? bytes - at : step,
                    MADV_WILLNEED) != 0)
            return errno;
    return 0;
}

/* What is not in memory yet is read through the fault path, in readahead windows
 * around each fault: one window at a time, and up to half a window (4 MiB where
 * this was measured) of what lies before and behind the range comes along. So
 * prefetch first. MADV_POPULATE_READ needs Linux 5.14. */
static int linux_populate(void *ctx, void *base, size_t bytes)
{
    while (madvise(base, bytes, MADV_POPULATE_READ) != 0) {
        if (errno == EINVAL)
            return linux_prefetch(ctx, base, bytes);
        if (errno != EINTR)
            return errno;
    }
    return 0;
}

static int linux_drop_cached(void *ctx, int fd, uint64_t offset, uint64_t bytes)
{
    (void)ctx;
    return posix_fadvise(fd, (off_t)offset, (off_t)bytes, POSIX_FADV_DONTNEED);
}

static int linux_advise(void *ctx, void *base, size_t bytes,
                        enum gov__advice advice)
{
    static const int kernel[] = {
        [GOV__ADVICE_NORMAL] = MADV_NORMAL,
        [GOV__ADVICE_SEQUENTIAL] = MADV_SEQUENTIAL,
        [GOV__ADVICE_RANDOM] = MADV_RANDOM,
        [GOV__ADVICE_HUGE] = MADV_HUGEPAGE,
    };

    (void)ctx;
    return madvise(base, bytes, kernel[advice]) == 0 ? 0 : errno;
}

static int linux_resident(void *ctx, void *base, size_t bytes, uint64_t *out)
{
    unsigned char present[1024];
    size_t page = linux_page_bytes(ctx);
    uint64_t pages = 0;

    for (size_t at = 0; at < bytes; at += sizeof(present) * page) {
        size_t length = bytes - at;
        size_t count;

        if (length > sizeof(present) * page)
            length = sizeof(present) * page;
        if (mincore((char *)base + at, length, present) != 0)
            return errno;
        count = (length + page - 1) / page;
        for (size_t i = 0; i < count; i++)
            pages += present[i] & 1;
    }
    *out = pages * page;
    return 0;
}

/* ---- the C library and what is loaded --------------------------------------- */

static int linux_trim(void *ctx)
{
    (void)ctx;
#ifdef __GLIBC__
    malloc_trim(0);
    return 0;
#else
    return ENOTSUP;
#endif
}

static int linux_idle(void *ctx, uint64_t *out_bytes)
{
    (void)ctx;
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    *out_bytes = mallinfo2().fordblks;
    return 0;
#else
    *out_bytes = 0;
    return ENOTSUP;
#endif
}

static void *linux_symbol(void *ctx, const char *name)
{
    (void)ctx;
    return dlsym(RTLD_DEFAULT, name);
}

static int linux_object_path(void *ctx, const void *address, char *out,
                             size_t bytes)
{
    Dl_info info;
    int n;

    (void)ctx;
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL)
        return ENOENT;
    n = snprintf(out, bytes, "%s", info.dli_fname);
    return n < 0 || (size_t)n >= bytes ? ENAMETOOLONG : 0;
}

/* The table but for its context; written once for the native one, which is
 * constant, and for those of tests. */
#define LINUX_TABLE(context)                                                   \
    {                                                                          \
        .ctx = (context), .name = "linux", .now_us = linux_now_us,             \
        .page_bytes = linux_page_bytes, .machine = gov__linux_machine,         \
        .limit = gov__linux_limit, .stall = gov__linux_stall,                  \
        .refaults = linux_refaults, .keep = gov__linux_keep,                   \
        .unkeep = gov__linux_unkeep, .process = linux_process,                 \
        .others = gov__linux_others, .watch_open = gov__linux_watch_open,      \
        .watch_polls = gov__linux_watch_polls,                                 \
        .watch_heard = gov__linux_watch_heard,                                 \
        .watch_sources = gov__linux_watch_sources,                             \
        .watch_close = gov__linux_watch_close,                                 \
        .gather_open = gov__linux_gather_open, .gather = gov__linux_gather,    \
        .gather_close = gov__linux_gather_close, .alive = linux_alive,         \
        .map = linux_map, .unmap = linux_unmap, .discard = linux_discard,      \
        .offer = linux_offer, .prefetch = linux_prefetch,                      \
        .populate = linux_populate, .drop_cached = linux_drop_cached,          \
        .advise = linux_advise, .resident = linux_resident,                    \
        .find_mapping = gov__linux_find_mapping,                               \
        .mapped_elsewhere = gov__linux_mapped_elsewhere,                       \
        .map_file = gov__linux_map_file, .stage = gov__linux_stage,            \
        .place = gov__linux_place, .unstage = gov__linux_unstage,              \
        .slots_open = gov__linux_slots_open,                                   \
        .slots_show = gov__linux_slots_show,                                   \
        .slots_close = gov__linux_slots_close,                                 \
        .reads_open = gov__linux_reads_open,                                   \
        .reads_start = gov__linux_reads_start,                                 \
        .reads_take = gov__linux_reads_take,                                   \
        .reads_sleep = gov__linux_reads_sleep,                                 \
        .reads_wake = gov__linux_reads_wake,                                   \
        .reads_close = gov__linux_reads_close, .cover = gov__linux_cover,      \
        .step_back = gov__linux_step_back,                                     \
        .pass_counts = gov__linux_pass_counts,                                 \
        .bell_open = gov__linux_bell_open, .bell_lay = gov__linux_bell_lay,    \
        .bell_arm = gov__linux_bell_arm, .bell_wait = gov__linux_bell_wait,    \
        .bell_answer = gov__linux_bell_answer,                                 \
        .bell_close = gov__linux_bell_close,                                   \
        .lease_take = gov__linux_lease_take,                                   \
        .lease_wanted = gov__linux_lease_wanted,                               \
        .lease_drop = gov__linux_lease_drop, .trim = linux_trim,               \
        .idle = linux_idle, .symbol = linux_symbol,                            \
        .object_path = linux_object_path, .tell = gov__linux_tell,             \
        .gpus = gov__linux_gpus, .set_direct = gov__linux_set_direct,          \
        .read_queued = gov__linux_read_queued,                                 \
        .file_system = gov__linux_file_system,                                 \
    }

void gov__linux_table(struct gov_platform *out, struct gov__linux_root *root)
{
    *out = (struct gov_platform)LINUX_TABLE(root);
}

void gov__platform_linux_at(struct gov_platform *out,
                            struct gov__linux_root *root)
{
    root->kept = NULL;
    gov__linux_table(out, root);
}

const struct gov_platform *gov__platform_native(void)
{
    static struct gov__linux_root root = {"", NULL};
    static const struct gov_platform native = LINUX_TABLE(&root);

    return &native;
}
