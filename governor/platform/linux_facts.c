/* SPDX-License-Identifier: MIT */
/* What Linux tells of the machine, fact by fact, and where it is from. Reads text
 * files; those facts that need more have files of their own (linux_processors.c,
 * linux_tries.c). Never measures. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "governor/platform/linux_cgroup.h"
#include "governor/platform/linux_lines.h"
#include "governor/platform/linux_parts.h"

/* ---- telling ------------------------------------------------------------------ */

int gov__told_number(struct gov__told *out, uint64_t number, const char *source,
                     ...)
{
    va_list args;

    va_start(args, source);
    vsnprintf(out->source, sizeof(out->source), source, args);
    va_end(args);
    out->number = number;
    return 0;
}

int gov__told_text(struct gov__told *out, const char *text, const char *source,
                   ...)
{
    va_list args;
    size_t n = 0;

    va_start(args, source);
    vsnprintf(out->source, sizeof(out->source), source, args);
    va_end(args);
    for (const char *at = text; *at != '\0' && n < sizeof(out->text) - 1;
         at++) {
        bool blank = *at == ' ' || *at == '\t';

        /* "Intel(R) Core(TM) i7 CPU         920  @ 2.67GHz" */
        if (!blank)
            out->text[n++] = *at;
        else if (n > 0 && out->text[n - 1] != ' ')
            out->text[n++] = ' ';
    }
    if (n > 0 && out->text[n - 1] == ' ')
        n--;
    out->text[n] = '\0';
    return 0;
}

int gov__told_nothing(struct gov__told *out, const char *why, ...)
{
    va_list args;

    va_start(args, why);
    vsnprintf(out->source, sizeof(out->source), why, args);
    va_end(args);
    return ENODATA;
}

int gov__told_unread(struct gov__told *out, const char *path, int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return gov__told_nothing(out, "%s is not there", path);
    case EACCES:
    case EPERM:
        return gov__told_nothing(out, "%s may not be read", path);
    default:
        return gov__told_nothing(out, "%s cannot be read (errno %d)", path,
                                 error);
    }
}

int gov__linux_read(void *ctx, const char *path, char *out, size_t bytes)
{
    const struct gov__linux_root *root = ctx;
    char full[GOV__CGROUP_PATH];
    int rc = gov__path_join(full, sizeof(full), root->root, path);

    if (rc == 0)
        rc = gov__read_text(full, out, bytes, NULL);
    if (rc == 0)
        out[strcspn(out, "\n")] = '\0';
    return rc;
}

bool gov__linux_is_native(void *ctx)
{
    return ((const struct gov__linux_root *)ctx)->root[0] == '\0';
}

/* ---- the system ----------------------------------------------------------------- */

static int tell_ram(void *ctx, struct gov__told *out)
{
    struct gov__machine machine;
    int rc = gov__linux_machine(ctx, &machine);

    if (rc != 0)
        return gov__told_unread(out, "/proc/meminfo", rc);
    return gov__told_number(out, machine.total_bytes,
                            "/proc/meminfo, MemTotal");
}

static int tell_swap(void *ctx, struct gov__told *out)
{
    struct gov__machine machine;
    struct gov__limit limit;
    int rc = gov__linux_machine(ctx, &machine);

    if (rc != 0)
        return gov__told_unread(out, "/proc/meminfo", rc);
    if (gov__linux_limit(ctx, &limit) == 0 && limit.have_swap_limit &&
        limit.swap_limit_bytes < machine.swap_total_bytes)
        return gov__told_number(out, machine.swap_total_bytes,
                                "/proc/meminfo, SwapTotal; the cgroup may use "
                                "%llu bytes of it (memory.swap.max)",
                                (unsigned long long)limit.swap_limit_bytes);
    return gov__told_number(out, machine.swap_total_bytes,
                            "/proc/meminfo, SwapTotal");
}

static int tell_system(void *ctx, struct gov__told *out)
{
    static const char path[] = "/proc/sys/kernel/osrelease";
    struct utsname names;
    char release[80], text[96];
    int rc = gov__linux_read(ctx, path, release, sizeof(release));

    if (rc == 0) {
        snprintf(text, sizeof(text), "Linux %s", release);
        return gov__told_text(out, text, "%s", path);
    }
    if (!gov__linux_is_native(ctx) || uname(&names) < 0)
        return gov__told_unread(out, path, rc);
    snprintf(text, sizeof(text), "%.15s %.79s", names.sysname, names.release);
    return gov__told_text(out, text, "uname()");
}

/* The file is there since Linux 6.1. */
static int tell_arch(void *ctx, struct gov__told *out)
{
    static const char path[] = "/proc/sys/kernel/arch";
    struct utsname names;
    char arch[64];
    int rc;

    if (gov__linux_is_native(ctx) && uname(&names) >= 0)
        return gov__told_text(
            out,
            strcmp(names.machine, "aarch64") == 0 ? "arm64" : names.machine,
            "uname()");
    rc = gov__linux_read(ctx, path, arch, sizeof(arch));
    if (rc != 0)
        return gov__told_unread(out, path, rc);
    return gov__told_text(out, strcmp(arch, "aarch64") == 0 ? "arm64" : arch,
                          "%s", path);
}

static int tell_page_size(struct gov__told *out)
{
    return gov__told_number(out, (uint64_t)sysconf(_SC_PAGESIZE),
                            "sysconf(_SC_PAGESIZE)");
}

static int tell_huge_page(void *ctx, struct gov__told *out)
{
    static const char path[] =
        "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
    char text[32];
    uint64_t bytes = 0;
    int rc = gov__linux_read(ctx, path, text, sizeof(text));

    if (rc != 0)
        return gov__told_unread(out, path, rc);
    if (!gov__parse_number(text, &bytes) || bytes == 0)
        return gov__told_nothing(out, "%s has no number", path);
    return gov__told_number(out, bytes, "%s", path);
}

/* "always [madvise] never" */
static int tell_huge_pages(void *ctx, struct gov__told *out)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    char text[128], *start, *end;
    int rc = gov__linux_read(ctx, path, text, sizeof(text));

    if (rc != 0)
        return gov__told_unread(out, path, rc);
    start = strchr(text, '[');
    end = start == NULL ? NULL : strchr(start, ']');
    if (end == NULL || end == start + 1)
        return gov__told_nothing(out, "%s has no word in brackets", path);
    *end = '\0';
    return gov__told_text(out, start + 1, "%s", path);
}

/* "/dev/zram0  partition  8388604  0  100", sizes in KiB. Android has its devices
 * in /dev/block. A file may have any name; a device node has that of its driver. */
static bool zram_line(const char *line, uint64_t *kib)
{
    char path[256], kind[16];
    const char *name;
    int at = 0;

    if (sscanf(line, "%255s %15s %n", path, kind, &at) != 2 ||
        strcmp(kind, "partition") != 0)
        return false;
    name = strrchr(path, '/');
    return name != NULL && strncmp(name, "/zram", 5) == 0 && name[5] >= '0' &&
           name[5] <= '9' && gov__parse_number(line + at, kib);
}

static int tell_zram(void *ctx, struct gov__told *out)
{
    static const char path[] = "/proc/swaps";
    const struct gov__linux_root *root = ctx;
    struct gov__lines lines;
    char full[GOV__CGROUP_PATH], *line;
    uint64_t sum = 0, kib = 0;
    unsigned devices = 0, others = 0;
    int rc = gov__path_join(full, sizeof(full), root->root, path);

    if (rc == 0)
        rc = gov__lines_open(&lines, full);
    if (rc != 0)
        return gov__told_unread(out, path, rc);
    (void)gov__lines_next(&lines); /* the headings */
    while ((line = gov__lines_next(&lines)) != NULL) {
        if (!zram_line(line, &kib)) {
            others++;
            continue;
        }
        devices++;
        kib = kib < UINT64_MAX / 1024 ? kib * 1024 : UINT64_MAX;
        sum = sum + kib < sum ? UINT64_MAX : sum + kib;
    }
    rc = lines.error;
    gov__lines_close(&lines);
    if (rc != 0)
        return gov__told_unread(out, path, rc);
    return gov__told_number(out, sum, "%s: %u zram, %u other", path, devices,
                            others);
}

static int tell_zswap(void *ctx, struct gov__told *out)
{
    static const char path[] = "/sys/module/zswap/parameters/enabled";
    const struct gov__linux_root *root = ctx;
    char text[8], modules[GOV__CGROUP_PATH];
    int rc = gov__linux_read(ctx, path, text, sizeof(text));

    /* It is never a loadable module: where modules are listed and it is not, the
     * kernel is without it. */
    if (rc == ENOENT &&
        gov__path_join(modules, sizeof(modules), root->root, "/sys/module") ==
            0 &&
        access(modules, R_OK) == 0)
        return gov__told_number(out, 0, "%s is not there", path);
    if (rc != 0)
        return gov__told_unread(out, path, rc);
    if (text[0] != 'Y' && text[0] != 'N')
        return gov__told_nothing(out, "%s is neither Y nor N", path);
    return gov__told_number(out, text[0] == 'Y', "%s", path);
}

static int tell_overcommit(void *ctx, struct gov__told *out)
{
    static const char path[] = "/proc/sys/vm/overcommit_memory";
    static const char *const words[] = {"heuristic", "always", "strict"};
    char text[16];
    uint64_t mode = 0;
    int rc = gov__linux_read(ctx, path, text, sizeof(text));

    if (rc != 0)
        return gov__told_unread(out, path, rc);
    if (!gov__parse_number(text, &mode) || mode > 2)
        return gov__told_nothing(out, "%s is none of 0, 1 and 2", path);
    return gov__told_text(out, words[mode], "%s", path);
}

/* Read as the pressure source will read it. */
static int tell_psi(void *ctx, struct gov__told *out)
{
    static const char path[] = "/proc/pressure/memory";
    struct gov__stall stall;
    char text[512];
    int rc;

    if (gov__linux_stall(ctx, &stall) == 0 && stall.have_memory)
        return gov__told_number(out, 1, "tried: %s",
                                strcmp(stall.source, "system") == 0
                                    ? path
                                    : "memory.pressure of the own cgroup");
    rc = gov__linux_read(ctx, path, text, sizeof(text));
    switch (rc) {
    case ENOENT:
        return gov__told_number(
            out, 0, "tried: %s is not there (no CONFIG_PSI, or psi=0)", path);
    case EOPNOTSUPP:
        return gov__told_number(out, 0, "tried: %s is switched off (psi=0)",
                                path);
    case EACCES:
    case EPERM:
        return gov__told_number(out, 0, "tried: %s may not be read", path);
    case 0:
        return gov__told_nothing(out, "%s has no total", path);
    default:
        return gov__told_unread(out, path, rc);
    }
}

int gov__linux_tell(void *ctx, gov_fact fact, struct gov__told *out)
{
    memset(out, 0, sizeof(*out));
    switch ((int)fact) {
    case GOV_FACT_DEVICE_RAM:
        return tell_ram(ctx, out);
    case GOV_FACT_DEVICE_SWAP:
        return tell_swap(ctx, out);
    case GOV_FACT_DEVICE_CPU:
        return gov__linux_tell_cpu(ctx, out);
    case GOV_FACT_DEVICE_CORES:
        return gov__linux_tell_cores(ctx, out);
    case GOV_FACT_DEVICE_PERFORMANCE_CORES:
        return gov__linux_tell_kind(ctx, true, out);
    case GOV_FACT_DEVICE_EFFICIENCY_CORES:
        return gov__linux_tell_kind(ctx, false, out);
    case GOV_FACT_DEVICE_SIMD:
        return gov__linux_tell_simd(ctx, out);
    case GOV_FACT_DEVICE_SYSTEM:
        return tell_system(ctx, out);
    case GOV_FACT_DEVICE_OS:
        return gov__told_text(out, "linux", "what the library was built for");
    case GOV_FACT_DEVICE_ARCH:
        return tell_arch(ctx, out);
    case GOV_FACT_DEVICE_PAGE_SIZE:
        return tell_page_size(out);
    case GOV_FACT_DEVICE_HUGE_PAGE:
        return tell_huge_page(ctx, out);
    case GOV_FACT_DEVICE_HUGE_PAGES:
        return tell_huge_pages(ctx, out);
    case GOV_FACT_DEVICE_ZRAM:
        return tell_zram(ctx, out);
    case GOV_FACT_DEVICE_ZSWAP:
        return tell_zswap(ctx, out);
    case GOV_FACT_DEVICE_OVERCOMMIT:
        return tell_overcommit(ctx, out);
    case GOV_FACT_DEVICE_MEMLOCK:
        return gov__linux_tell_memlock(ctx, out);
    case GOV_FACT_DEVICE_PSI:
        return tell_psi(ctx, out);
    case GOV_FACT_DEVICE_USERFAULTFD:
        return gov__linux_try_userfaultfd(ctx, out);
    case GOV_FACT_DEVICE_CACHESTAT:
        return gov__linux_try_cachestat(ctx, out);
    case GOV_FACT_DEVICE_IO_URING:
        return gov__linux_try_io_uring(ctx, out);
    default:
        snprintf(out->source, sizeof(out->source), "Linux has no such fact");
        return ENOTSUP;
    }
}
