/* SPDX-License-Identifier: MIT */
/* Darwin (macOS, iOS): sysctl, Mach and madvise(). Reads figures and moves memory;
 * decides nothing. Built only there: the Makefile picks this file by the system's
 * name. Compiled, linked and analysed by make check-darwin, never run. */
#include "governor/platform/platform.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <mach/mach.h>
#include <mach/mach_host.h>
#include <malloc/malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysctl.h>
#include <time.h>
#include <unistd.h>

#include "governor/platform/darwin_parts.h"

/* CLOCK_MONOTONIC here is made from the time of day; this one is the processor's
 * counter and, as on Linux, stands still while the machine sleeps. */
static uint64_t darwin_now_us(void *ctx)
{
    (void)ctx;
    return clock_gettime_nsec_np(CLOCK_UPTIME_RAW) / 1000;
}

static size_t darwin_page_bytes(void *ctx)
{
    (void)ctx;
    return vm_page_size;
}

int gov__darwin_number(const char *name, uint64_t *out)
{
    union {
        int32_t small;
        int64_t large;
    } value = {.large = 0};
    size_t bytes = sizeof(value);
    int64_t number;

    if (sysctlbyname(name, &value, &bytes, NULL, 0) != 0)
        return errno;
    if (bytes != sizeof(value.small) && bytes != sizeof(value.large))
        return ENODATA;
    number = bytes == sizeof(value.small) ? value.small : value.large;
    if (number < 0)
        return ENODATA;
    *out = (uint64_t)number;
    return 0;
}

/* ---- evidence -------------------------------------------------------------- */

/* What programs can get without anything being compressed or swapped: free pages,
 * and those of files and of purgeable memory. free_count has the speculative pages
 * in it, and external_page_count has them again (xnu: osfmk/kern/host.c and
 * vm_page_speculate()). Inactive pages are not added: those of files are in, and
 * the others must be compressed first. */
static uint64_t available_pages(const struct vm_statistics64 *vm)
{
    uint64_t idle = vm->free_count > vm->speculative_count
                        ? vm->free_count - vm->speculative_count
                        : 0;

    return idle + vm->external_page_count + vm->purgeable_count;
}

static int darwin_machine(void *ctx, struct gov__machine *out)
{
    struct vm_statistics64 vm;
    struct xsw_usage swap;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    size_t bytes = sizeof(swap);
    mach_port_t host;
    int rc;

    (void)ctx;
    memset(out, 0, sizeof(*out));
    rc = gov__darwin_number("hw.memsize", &out->total_bytes);
    if (rc != 0)
        return rc;
    memset(&vm, 0, sizeof(vm));
    host = mach_host_self();
    /* In pages of the kernel, which under Rosetta are larger than ours. */
    if (host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&vm, &count) ==
        KERN_SUCCESS)
        out->available_bytes = available_pages(&vm) * vm_kernel_page_size;
    (void)mach_port_deallocate(mach_task_self(), host);
    if (out->available_bytes > out->total_bytes)
        out->available_bytes = out->total_bytes;
    /* Swap files come and go: this is what is there at present. */
    if (sysctlbyname("vm.swapusage", &swap, &bytes, NULL, 0) == 0 &&
        bytes == sizeof(swap)) {
        out->swap_total_bytes = swap.xsu_total;
        out->swap_free_bytes = swap.xsu_avail;
    }
    return 0;
}

/* Older kernels fill less of the structure. */
static int self_info(task_vm_info_data_t *out, mach_msg_type_number_t least)
{
    mach_msg_type_number_t count = TASK_VM_INFO_COUNT;

    memset(out, 0, sizeof(*out));
    if (task_info(mach_task_self(), TASK_VM_INFO, (task_info_t)out, &count) !=
        KERN_SUCCESS)
        return EIO;
    return count >= least ? 0 : ENODATA;
}

/* Jetsam counts phys_footprint. limit_bytes_remaining is what iOS calls
 * os_proc_available_memory(), from the same call as the footprint. It is 0 where
 * there is no limit, as for all that is no app on macOS, and also once a limit that
 * does not kill is passed: nothing tells the two apart. */
static int darwin_limit(void *ctx, struct gov__limit *out)
{
    const uint64_t mib = UINT64_C(1) << 20;
    task_vm_info_data_t info;
    int rc;

    (void)ctx;
    memset(out, 0, sizeof(*out));
    out->limit_bytes = UINT64_MAX;
    rc = self_info(&info, TASK_VM_INFO_REV4_COUNT);
    if (rc == ENODATA || (rc == 0 && info.limit_bytes_remaining == 0))
        return 0;
    if (rc != 0)
        return rc;
    /* Limits are whole MiB; the two figures are read one after the other. */
    out->limit_bytes =
        (info.phys_footprint + info.limit_bytes_remaining + mib / 2) / mib *
        mib;
    out->used_bytes = info.phys_footprint;
    snprintf(out->source, sizeof(out->source),
             "jetsam, task_info() limit_bytes_remaining");
    return 0;
}

/* Darwin keeps no account of time lost; it tells its own level instead. */
static int darwin_stall(void *ctx, struct gov__stall *out)
{
    (void)ctx;
    memset(out, 0, sizeof(*out));
    out->source = "";
    out->have_os_level = gov__darwin_os_level(&out->os_level) == 0;
    return out->have_os_level ? 0 : ENOTSUP;
}

/* Counts page-ins, but not which of those pages had been in memory before. */
static int darwin_refaults(void *ctx, uint64_t *out_bytes)
{
    (void)ctx;
    *out_bytes = 0;
    return ENOTSUP;
}

/* ---- processes ------------------------------------------------------------- */

/* Microseconds since 1970 when the process started: sysctl tells it of every
 * process, proc_pidinfo() only of the user's own. */
static int start_of(int pid, uint64_t *out)
{
    int mib[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, pid};
    struct kinfo_proc info;
    size_t bytes = sizeof(info);
    const struct timeval *start = &info.kp_proc.p_starttime;

    memset(&info, 0, sizeof(info));
    if (sysctl(mib, 4, &info, &bytes, NULL, 0) != 0)
        return errno;
    /* No process: no bytes. Of a zombie nothing is left but its number. */
    if (bytes < sizeof(info) || info.kp_proc.p_stat == SZOMB)
        return ESRCH;
    *out = (uint64_t)start->tv_sec * 1000000 + (uint64_t)start->tv_usec;
    return 0;
}

/* Compressed pages are in memory and in phys_footprint, at their full size, so
 * they are not told as swap: what jetsam charges is then all of this process's,
 * and nothing of it somebody else's. */
static int darwin_process(void *ctx, int pid, struct gov__process *out)
{
    struct rusage_info_v4 usage;
    struct proc_taskinfo task;
    task_vm_info_data_t info;
    int who = pid == 0 ? (int)getpid() : pid, rc;

    (void)ctx;
    memset(out, 0, sizeof(*out));
    memset(&usage, 0, sizeof(usage));
    rc = start_of(who, &out->start_ticks);
    if (rc != 0)
        return rc;
    if (proc_pid_rusage(who, RUSAGE_INFO_V4, (rusage_info_t *)&usage) != 0)
        return errno;
    out->footprint_bytes = usage.ri_phys_footprint;
    out->anon_bytes = usage.ri_phys_footprint;
    out->have_read_bytes = true;
    out->read_bytes = usage.ri_diskio_bytesread;
    out->major_faults = usage.ri_pageins;
    if (proc_pidinfo(who, PROC_PIDTASKINFO, 0, &task, (int)sizeof(task)) ==
        (int)sizeof(task)) {
        uint32_t faults = (uint32_t)task.pti_faults;
        uint32_t major = (uint32_t)task.pti_pageins;

        out->minor_faults = faults > major ? faults - major : 0;
    }
    /* Of others only a sum is told: file pages are not known. */
    if (who == (int)getpid() && self_info(&info, TASK_VM_INFO_REV1_COUNT) == 0)
        out->resident_file_bytes = info.external;
    return 0;
}

static int darwin_alive(void *ctx, int pid, uint64_t start_ticks)
{
    uint64_t start = 0;
    int rc;

    (void)ctx;
    if (pid <= 0)
        return ESRCH;
    rc = start_of(pid, &start);
    return rc == 0 && start_ticks != 0 && start != start_ticks ? ESRCH : rc;
}

/* ---- address space ---------------------------------------------------------- */

/* vmmap shows the tag by number: there is no way to give it a name. */
static int darwin_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANON, gov__darwin_vm_tag(tag), 0);

    (void)ctx;
    if (base == MAP_FAILED)
        return errno;
    *out = base;
    return 0;
}

static int darwin_unmap(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return munmap(base, bytes) == 0 ? 0 : errno;
}

/* Not MADV_FREE_REUSABLE: it takes the pages off the footprint at once, but wants
 * MADV_FREE_REUSE before they are used again, else the count stays wrong. */
static int darwin_offer(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return madvise(base, bytes, MADV_FREE) == 0 ? 0 : errno;
}

/* It seems to wait for its reads (xnu: vm_map_willneed() faults one page after the
 * other), unlike F_RDADVISE, which needs a descriptor. */
static int darwin_prefetch(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return madvise(base, bytes, MADV_WILLNEED) == 0 ? 0 : errno;
}

static int darwin_advise(void *ctx, void *base, size_t bytes,
                         enum gov__advice advice)
{
    int kernel = MADV_NORMAL;

    (void)ctx;
    switch (advice) {
    case GOV__ADVICE_NORMAL:
        break;
    case GOV__ADVICE_SEQUENTIAL:
        kernel = MADV_SEQUENTIAL;
        break;
    case GOV__ADVICE_RANDOM:
        kernel = MADV_RANDOM;
        break;
    case GOV__ADVICE_HUGE:
        return ENOTSUP;
    }
    return madvise(base, bytes, kernel) == 0 ? 0 : errno;
}

static int darwin_trim(void *ctx)
{
    (void)ctx;
    (void)malloc_zone_pressure_relief(NULL, 0);
    return 0;
}

static int darwin_idle(void *ctx, uint64_t *out_bytes)
{
    malloc_statistics_t all;

    (void)ctx;
    memset(&all, 0, sizeof(all));
    malloc_zone_statistics(NULL, &all);
    *out_bytes = all.size_allocated > all.size_in_use
                     ? all.size_allocated - all.size_in_use
                     : 0;
    return 0;
}

static void *darwin_symbol(void *ctx, const char *name)
{
    (void)ctx;
    return dlsym(RTLD_DEFAULT, name);
}

static int darwin_object_path(void *ctx, const void *address, char *out,
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

/* ---- files --------------------------------------------------------------------- */

static int darwin_mapped_elsewhere(void *ctx, int fd, bool *out)
{
    (void)ctx;
    (void)fd;
    (void)out;
    return ENOTSUP;
}

/* Pages that are cached already are still read from memory. */
static int darwin_set_direct(void *ctx, int fd, bool direct)
{
    (void)ctx;
    return fcntl(fd, F_NOCACHE, direct ? 1 : 0) == -1 ? errno : 0;
}

static int darwin_read_queued(void *ctx, const struct gov__queued_read *read,
                              uint64_t *done)
{
    (void)ctx;
    (void)read;
    *done = 0;
    return ENOTSUP;
}

static int darwin_file_system(void *ctx, int fd, char *out, size_t bytes)
{
    struct statfs fs;
    int n;

    (void)ctx;
    if (fstatfs(fd, &fs) != 0)
        return errno;
    n = snprintf(out, bytes, "%.*s", (int)sizeof(fs.f_fstypename),
                 fs.f_fstypename);
    return n < 0 || (size_t)n >= bytes ? ENAMETOOLONG : 0;
}

const struct gov_platform *gov__platform_native(void)
{
    static const struct gov_platform native = {
        .name = "darwin",
        .now_us = darwin_now_us,
        .page_bytes = darwin_page_bytes,
        .machine = darwin_machine,
        .limit = darwin_limit,
        .stall = darwin_stall,
        .refaults = darwin_refaults,
        .process = darwin_process,
        .alive = darwin_alive,
        /* No keep: nothing that is looked at is behind a descriptor. */
        .watch_open = gov__darwin_watch_open,
        .watch_polls = gov__darwin_watch_polls,
        .watch_heard = gov__darwin_watch_heard,
        .watch_sources = gov__darwin_watch_sources,
        .watch_close = gov__darwin_watch_close,
        .gather_open = gov__darwin_gather_open,
        .gather = gov__darwin_gather,
        .gather_close = gov__darwin_gather_close,
        .activity_begin = gov__darwin_activity_begin,
        .activity_end = gov__darwin_activity_end,
        .map = darwin_map,
        .unmap = darwin_unmap,
        .discard = gov__darwin_discard,
        .offer = darwin_offer,
        .prefetch = darwin_prefetch,
        .populate = gov__darwin_populate,
        .drop_cached = gov__darwin_drop_cached,
        .advise = darwin_advise,
        .resident = gov__darwin_resident,
        .find_mapping = gov__darwin_find_mapping,
        .mapped_elsewhere = darwin_mapped_elsewhere,
        .map_file = gov__darwin_map_file,
        .stage = gov__darwin_stage,
        .place = gov__darwin_place,
        .unstage = gov__darwin_unstage,
        .slots_open = gov__darwin_slots_open,
        .slots_show = gov__darwin_slots_show,
        .slots_close = gov__darwin_slots_close,
        .cover = gov__darwin_cover,
        .step_back = gov__darwin_step_back,
        .pass_counts = gov__darwin_pass_counts,
        .bell_open = gov__darwin_bell_open,
        .bell_lay = gov__darwin_bell_page,
        .bell_arm = gov__darwin_bell_page,
        .bell_wait = gov__darwin_bell_wait,
        .bell_answer = gov__darwin_bell_answer,
        .bell_close = gov__darwin_no_file,
        .lease_take = gov__darwin_no_file,
        .lease_wanted = gov__darwin_lease_wanted,
        .lease_drop = gov__darwin_no_file,
        .trim = darwin_trim,
        .idle = darwin_idle,
        .symbol = darwin_symbol,
        .object_path = darwin_object_path,
        .tell = gov__darwin_tell,
        .gpus = gov__darwin_gpus,
        .set_direct = darwin_set_direct,
        .read_queued = darwin_read_queued,
        .file_system = darwin_file_system,
    };

    return &native;
}
