/* SPDX-License-Identifier: MIT */
/* Any POSIX system: what the standard offers, and ENOTSUP for the rest. Always
 * builds (make check-generic), and is the template of a port. */
#include "governor/platform/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static uint64_t generic_now_us(void *ctx)
{
    struct timespec ts;

    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static size_t generic_page_bytes(void *ctx)
{
    (void)ctx;
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int generic_machine(void *ctx, struct gov__machine *out)
{
    memset(out, 0, sizeof(*out));
#ifdef _SC_PHYS_PAGES
    {
        long pages = sysconf(_SC_PHYS_PAGES);

        if (pages > 0) {
            out->total_bytes = (uint64_t)pages * generic_page_bytes(ctx);
            return 0;
        }
    }
#endif
    (void)ctx;
    return ENOTSUP;
}

static int generic_limit(void *ctx, struct gov__limit *out)
{
    (void)ctx;
    memset(out, 0, sizeof(*out));
    out->limit_bytes = UINT64_MAX;
    return 0;
}

static int generic_stall(void *ctx, struct gov__stall *out)
{
    (void)ctx;
    memset(out, 0, sizeof(*out));
    return ENOTSUP;
}

static int generic_refaults(void *ctx, uint64_t *out_bytes)
{
    (void)ctx;
    *out_bytes = 0;
    return ENOTSUP;
}

/* The standard tells faults only; POSIX has no word for a footprint, and the
 * peak that getrusage() gives is not one. */
static int generic_process(void *ctx, int pid, struct gov__process *out)
{
    (void)ctx;
    (void)pid;
    memset(out, 0, sizeof(*out));
    return ENOTSUP;
}

static int generic_alive(void *ctx, int pid, uint64_t start_ticks)
{
    (void)ctx;
    (void)start_ticks;
    if (pid <= 0)
        return ESRCH;
    return kill((pid_t)pid, 0) == 0 || errno == EPERM ? 0 : errno;
}

static int map_zeros(void *at, size_t bytes, int protection, void **out)
{
    int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    void *base;
    int rc;

    if (fd < 0)
        return errno;
    base = mmap(at, bytes, protection,
                MAP_PRIVATE | (at != NULL ? MAP_FIXED : 0), fd, 0);
    rc = base == MAP_FAILED ? errno : 0;
    close(fd);
    if (rc == 0)
        *out = base;
    return rc;
}

static int generic_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    (void)ctx;
    (void)tag;
    return map_zeros(NULL, bytes, PROT_READ | PROT_WRITE, out);
}

static int generic_unmap(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return munmap(base, bytes) == 0 ? 0 : errno;
}

static int generic_range(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    (void)base;
    (void)bytes;
    return ENOTSUP;
}

static int generic_prefetch(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return posix_madvise(base, bytes, POSIX_MADV_WILLNEED);
}

static int generic_populate(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return posix_madvise(base, bytes, POSIX_MADV_WILLNEED);
}

static int generic_drop_cached(void *ctx, int fd, uint64_t offset,
                               uint64_t bytes)
{
    (void)ctx;
    (void)fd;
    (void)offset;
    (void)bytes;
    return ENOTSUP;
}

static int generic_advise(void *ctx, void *base, size_t bytes,
                          enum gov__advice advice)
{
    (void)ctx;
    switch (advice) {
    case GOV__ADVICE_NORMAL:
        return posix_madvise(base, bytes, POSIX_MADV_NORMAL);
    case GOV__ADVICE_SEQUENTIAL:
        return posix_madvise(base, bytes, POSIX_MADV_SEQUENTIAL);
    case GOV__ADVICE_RANDOM:
        return posix_madvise(base, bytes, POSIX_MADV_RANDOM);
    case GOV__ADVICE_HUGE:
        break;
    }
    return ENOTSUP;
}

static int generic_resident(void *ctx, void *base, size_t bytes, uint64_t *out)
{
    (void)ctx;
    (void)base;
    (void)bytes;
    *out = 0;
    return ENOTSUP;
}

static int generic_find_mapping(void *ctx, int fd, const void *within,
                                size_t bytes, struct gov__mapping *out)
{
    (void)within;
    (void)bytes;
    (void)ctx;
    (void)fd;
    memset(out, 0, sizeof(*out));
    return ENOTSUP;
}

static int generic_mapped_elsewhere(void *ctx, int fd, bool *out)
{
    (void)ctx;
    (void)fd;
    (void)out;
    return ENOTSUP;
}

static int generic_map_file(void *ctx, int fd, uint64_t offset, size_t bytes,
                            void *at, void **out)
{
    void *base =
        mmap(at, bytes, PROT_READ, MAP_SHARED | (at != NULL ? MAP_FIXED : 0),
             fd, (off_t)offset);

    (void)ctx;
    if (base == MAP_FAILED)
        return errno;
    *out = base;
    return 0;
}

static int generic_stage(void *ctx, const void *target, size_t bytes,
                         void **out)
{
    (void)target;
    return generic_map(ctx, bytes, NULL, out);
}

/* POSIX has no call that moves memory to other addresses. */
static int generic_place(void *ctx, void *staged, size_t bytes, void *target)
{
    (void)target;
    return generic_range(ctx, staged, bytes);
}

static int generic_cover(void *ctx, void *page, size_t bytes)
{
    (void)ctx;
    return map_zeros(page, bytes, PROT_READ, &page);
}

static int generic_step_back(void *ctx)
{
    (void)ctx;
    return ENOTSUP;
}

static int generic_pass_counts(void *ctx, struct gov__pass_counts *out)
{
    struct rusage usage;

    (void)ctx;
    memset(out, 0, sizeof(*out));
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return errno;
    out->minor_faults = (uint64_t)usage.ru_minflt;
    out->major_faults = (uint64_t)usage.ru_majflt;
    return 0;
}

static int generic_slots_open(void *ctx, size_t bytes, void **fill, void **view)
{
    (void)ctx;
    (void)bytes;
    (void)fill;
    (void)view;
    return ENOTSUP;
}

static int generic_slots_show(void *ctx, void *view, size_t bytes, void *target)
{
    (void)ctx;
    (void)view;
    (void)bytes;
    (void)target;
    return ENOTSUP;
}

static int generic_slots_close(void *ctx, void *fill, void *view, size_t bytes)
{
    (void)ctx;
    (void)fill;
    (void)view;
    (void)bytes;
    return ENOTSUP;
}

static int generic_bell_open(void *ctx, int *handle)
{
    (void)ctx;
    *handle = -1;
    return ENOTSUP;
}

static int generic_bell_page(void *ctx, int handle, void *page, size_t bytes)
{
    (void)handle;
    return generic_range(ctx, page, bytes);
}

static int generic_bell_wait(void *ctx, int handle, uint32_t timeout_ms,
                             void **address)
{
    (void)ctx;
    (void)handle;
    (void)timeout_ms;
    *address = NULL;
    return ENOTSUP;
}

static int generic_bell_answer(void *ctx, int handle, void *page,
                               const void *bytes, size_t count)
{
    (void)handle;
    (void)bytes;
    return generic_range(ctx, page, count);
}

static int generic_no_file(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
    return ENOTSUP;
}

static int generic_lease_wanted(void *ctx, int fd, bool *wanted)
{
    *wanted = false;
    return generic_no_file(ctx, fd);
}

static int generic_trim(void *ctx)
{
    (void)ctx;
    return ENOTSUP;
}

static int generic_idle(void *ctx, uint64_t *out_bytes)
{
    (void)ctx;
    *out_bytes = 0;
    return ENOTSUP;
}

static void *generic_symbol(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

static int generic_object_path(void *ctx, const void *address, char *out,
                               size_t bytes)
{
    (void)ctx;
    (void)address;
    (void)out;
    (void)bytes;
    return ENOTSUP;
}

static int tell_number(struct gov__told *out, uint64_t number,
                       const char *source)
{
    out->number = number;
    snprintf(out->source, sizeof(out->source), "%s", source);
    return 0;
}

static int tell_text(struct gov__told *out, const char *text,
                     const char *source)
{
    snprintf(out->text, sizeof(out->text), "%s", text);
    snprintf(out->source, sizeof(out->source), "%s", source);
    return 0;
}

static int tell_cores(struct gov__told *out)
{
#ifdef _SC_NPROCESSORS_ONLN
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    if (n > 0)
        return tell_number(out, (uint64_t)n, "sysconf(_SC_NPROCESSORS_ONLN)");
#endif
    (void)tell_text(out, "", "the system does not say");
    return ENODATA;
}

static int tell_memlock(struct gov__told *out)
{
#ifdef RLIMIT_MEMLOCK
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
        return limit.rlim_cur < INT64_MAX
                   ? tell_number(out, limit.rlim_cur, "RLIMIT_MEMLOCK")
                   : tell_number(out, INT64_MAX, "RLIMIT_MEMLOCK: unlimited");
#endif
    (void)tell_text(out, "", "the system does not say");
    return ENODATA;
}

static int tell_uname(gov_fact fact, struct gov__told *out)
{
    struct utsname names;
    char text[96];

    if (uname(&names) < 0) {
        (void)tell_text(out, "", "uname() failed");
        return ENODATA;
    }
    if (fact == GOV_FACT_DEVICE_ARCH)
        return tell_text(out,
                         strcmp(names.machine, "aarch64") == 0 ? "arm64"
                                                               : names.machine,
                         "uname()");
    snprintf(text, sizeof(text), "%.40s %.50s", names.sysname, names.release);
    return tell_text(out, text, "uname()");
}

static int generic_tell(void *ctx, gov_fact fact, struct gov__told *out)
{
    memset(out, 0, sizeof(*out));
    switch ((int)fact) {
    case GOV_FACT_DEVICE_CORES:
        return tell_cores(out);
    case GOV_FACT_DEVICE_OS:
        return tell_text(out, "other", "what the library was built for");
    case GOV_FACT_DEVICE_ARCH:
    case GOV_FACT_DEVICE_SYSTEM:
        return tell_uname(fact, out);
    case GOV_FACT_DEVICE_PAGE_SIZE:
        return tell_number(out, generic_page_bytes(ctx),
                           "sysconf(_SC_PAGESIZE)");
    case GOV_FACT_DEVICE_MEMLOCK:
        return tell_memlock(out);
    default:
        (void)tell_text(out, "", "POSIX has no such fact");
        return ENOTSUP;
    }
}

static int generic_gpus(void *ctx, struct gov__gpu *out, size_t max,
                        size_t *count)
{
    (void)ctx;
    (void)out;
    (void)max;
    *count = 0;
    return ENOTSUP;
}

static int generic_set_direct(void *ctx, int fd, bool direct)
{
    (void)ctx;
    (void)fd;
    (void)direct;
    return ENOTSUP;
}

static int generic_read_queued(void *ctx, const struct gov__queued_read *read,
                               uint64_t *done)
{
    (void)ctx;
    (void)read;
    *done = 0;
    return ENOTSUP;
}

static int generic_file_system(void *ctx, int fd, char *out, size_t bytes)
{
    (void)ctx;
    (void)fd;
    (void)out;
    (void)bytes;
    return ENOTSUP;
}

const struct gov_platform *gov__platform_native(void)
{
    static const struct gov_platform native = {
        .name = "generic",
        .now_us = generic_now_us,
        .page_bytes = generic_page_bytes,
        .machine = generic_machine,
        .limit = generic_limit,
        .stall = generic_stall,
        .refaults = generic_refaults,
        .process = generic_process,
        .alive = generic_alive,
        .map = generic_map,
        .unmap = generic_unmap,
        .discard = generic_range,
        .offer = generic_range,
        .prefetch = generic_prefetch,
        .populate = generic_populate,
        .drop_cached = generic_drop_cached,
        .advise = generic_advise,
        .resident = generic_resident,
        .find_mapping = generic_find_mapping,
        .mapped_elsewhere = generic_mapped_elsewhere,
        .map_file = generic_map_file,
        .stage = generic_stage,
        .place = generic_place,
        .unstage = generic_unmap,
        .slots_open = generic_slots_open,
        .slots_show = generic_slots_show,
        .slots_close = generic_slots_close,
        .cover = generic_cover,
        .step_back = generic_step_back,
        .pass_counts = generic_pass_counts,
        .bell_open = generic_bell_open,
        .bell_lay = generic_bell_page,
        .bell_arm = generic_bell_page,
        .bell_wait = generic_bell_wait,
        .bell_answer = generic_bell_answer,
        .bell_close = generic_no_file,
        .lease_take = generic_no_file,
        .lease_wanted = generic_lease_wanted,
        .lease_drop = generic_no_file,
        .trim = generic_trim,
        .idle = generic_idle,
        .symbol = generic_symbol,
        .object_path = generic_object_path,
        .tell = generic_tell,
        .gpus = generic_gpus,
        .set_direct = generic_set_direct,
        .read_queued = generic_read_queued,
        .file_system = generic_file_system,
    };

    return &native;
}
