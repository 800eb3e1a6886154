/* SPDX-License-Identifier: MIT */
/* What Darwin tells of the machine, fact by fact, and where it is from: sysctl for
 * nearly all. Never measures, never sets anything. Never run. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysctl.h>

#include "governor/platform/darwin_parts.h"

/* ---- telling ------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static int
told_number(struct gov__told *out, uint64_t number, const char *source, ...)
{
    va_list args;

    va_start(args, source);
    vsnprintf(out->source, sizeof(out->source), source, args);
    va_end(args);
    out->number = number;
    return 0;
}

__attribute__((format(printf, 3, 4))) static int
told_text(struct gov__told *out, const char *text, const char *source, ...)
{
    va_list args;

    va_start(args, source);
    vsnprintf(out->source, sizeof(out->source), source, args);
    va_end(args);
    snprintf(out->text, sizeof(out->text), "%s", text);
    return 0;
}

__attribute__((format(printf, 2, 3))) static int
told_nothing(struct gov__told *out, const char *why, ...)
{
    va_list args;

    va_start(args, why);
    vsnprintf(out->source, sizeof(out->source), why, args);
    va_end(args);
    return ENODATA;
}

/* Why a name in sysctl does not tell. */
static int told_unread(struct gov__told *out, const char *name, int error)
{
    switch (error) {
    case ENOENT:
        return told_nothing(out, "there is no %s", name);
    case ENODATA:
        return told_nothing(out, "%s has no number", name);
    case EPERM:
    case EACCES:
        return told_nothing(out, "%s may not be read", name);
    default:
        return told_nothing(out, "%s cannot be read (errno %d)", name, error);
    }
}

/* A number by its name in sysctl. */
static int tell_sysctl(struct gov__told *out, const char *name)
{
    uint64_t number = 0;
    int rc = gov__darwin_number(name, &number);

    return rc == 0 ? told_number(out, number, "%s", name)
                   : told_unread(out, name, rc);
}

/* A text by its name in sysctl; always NUL-terminated, too long ones are cut. */
static int read_text(const char *name, char *out, size_t bytes)
{
    char text[256];
    size_t length = sizeof(text) - 1;

    out[0] = '\0';
    if (sysctlbyname(name, text, &length, NULL, 0) != 0)
        return errno;
    text[length] = '\0';
    snprintf(out, bytes, "%s", text);
    return out[0] != '\0' ? 0 : ENODATA;
}

static bool is_set(const char *name)
{
    uint64_t number = 0;

    return gov__darwin_number(name, &number) == 0 && number != 0;
}

/* ---- the processor ------------------------------------------------------------- */

static int tell_cpu(struct gov__told *out)
{
    static const char brand[] = "machdep.cpu.brand_string",
                      model[] = "hw.model";
    char text[sizeof(out->text)];
    int rc = read_text(brand, text, sizeof(text));

    if (rc == 0)
        return told_text(out, text, "%s", brand);
    /* iOS has no brand; "iPhone16,1" says as much. */
    if (read_text(model, text, sizeof(text)) == 0)
        return told_text(out, text, "%s", model);
    return told_unread(out, brand, rc);
}

static int tell_arch(struct gov__told *out)
{
#if defined(__aarch64__)
    return told_text(out, "arm64", "what the library was built for");
#else
    if (is_set("sysctl.proc_translated"))
        return told_text(out, "x86_64",
                         "what the library was built for; on arm64 under "
                         "Rosetta (sysctl.proc_translated)");
    return told_text(out, "x86_64", "what the library was built for");
#endif
}

/* Those of the kind's levels. Level 0 is the fastest; before macOS 12 levels had no
 * names, and Intel's have one level of them. */
static int tell_kind(struct gov__told *out, bool fast)
{
    uint64_t levels = 0, sum = 0;
    char name[48], kind[32];
    int rc = gov__darwin_number("hw.nperflevels", &levels);

    if (rc != 0)
        return told_unread(out, "hw.nperflevels", rc);
    if (levels < 2)
        return told_nothing(out, "hw.nperflevels is 1: all are alike");
    for (unsigned level = 0; level < levels && level < 8; level++) {
        uint64_t number = 0;
        bool slow;

        snprintf(name, sizeof(name), "hw.perflevel%u.name", level);
        slow = read_text(name, kind, sizeof(kind)) == 0
                   ? strncmp(kind, "Efficiency", 10) == 0
                   : level > 0;
        if (slow == fast)
            continue;
        snprintf(name, sizeof(name), "hw.perflevel%u.physicalcpu", level);
        rc = gov__darwin_number(name, &number);
        if (rc != 0)
            return told_unread(out, name, rc);
        sum += number;
    }
    return told_number(out, sum, "hw.perflevel*.physicalcpu, %s",
                       fast ? "all but \"Efficiency\"" : "\"Efficiency\"");
}

/* Named as on Linux, whose rules then hold here too. */
static int tell_simd(struct gov__told *out)
{
    static const struct {
        const char *name, *sysctl;
    } known[] = {
#if defined(__aarch64__)
        {"asimd", "hw.optional.neon"},
        {"asimddp", "hw.optional.arm.FEAT_DotProd"},
        {"i8mm", "hw.optional.arm.FEAT_I8MM"},
        {"bf16", "hw.optional.arm.FEAT_BF16"},
        {"sme", "hw.optional.arm.FEAT_SME"},
#else
        {"sse4_2", "hw.optional.sse4_2"},
        {"avx", "hw.optional.avx1_0"},
        {"f16c", "hw.optional.f16c"},
        {"fma", "hw.optional.fma"},
        {"avx2", "hw.optional.avx2_0"},
        {"avx512f", "hw.optional.avx512f"},
        {"avx512_vnni", "hw.optional.avx512vnni"},
#endif
    };
    char text[sizeof(out->text)];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t length = strlen(known[i].name) + 1;

        if (!is_set(known[i].sysctl) || used + length >= sizeof(text))
            continue;
        snprintf(text + used, sizeof(text) - used, "%s%s", used > 0 ? " " : "",
                 known[i].name);
        used = strlen(text);
    }
    if (used == 0)
        return told_nothing(out, "none that engines use in hw.optional");
    return told_text(out, text, "hw.optional");
}

/* ---- the system ----------------------------------------------------------------- */

static int tell_system(struct gov__told *out)
{
    static const char product[] = "kern.osproductversion",
                      release[] = "kern.osrelease";
    char macos[32], darwin[32], text[sizeof(out->text)];
    int rc = read_text(release, darwin, sizeof(darwin));

    if (rc != 0)
        return told_unread(out, release, rc);
    if (read_text(product, macos, sizeof(macos)) == 0) {
        snprintf(text, sizeof(text), "Darwin %s (%s)", darwin, macos);
        return told_text(out, text, "%s, %s", release, product);
    }
    snprintf(text, sizeof(text), "Darwin %s", darwin);
    return told_text(out, text, "%s", release);
}

/* The memory compressor, in front of swap files where there are any: modes are
 * single bits, and all but 0 and 1 compress (xnu: osfmk/vm/vm_pageout.h). */
static int tell_zswap(struct gov__told *out)
{
    static const char name[] = "vm.compressor_mode";
    uint64_t mode = 0;
    int rc = gov__darwin_number(name, &mode);

    if (rc != 0)
        return told_unread(out, name, rc);
    return told_number(out, mode > 1, "%s is %u", name, (unsigned)mode);
}

/* The smaller of what the shell allows and what the kernel allows one process. */
static int tell_memlock(struct gov__told *out)
{
    static const char name[] = "vm.user_wire_limit";
    struct rlimit limit;
    uint64_t kernel = 0;
    bool bound;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return told_unread(out, "RLIMIT_MEMLOCK", errno);
    bound = limit.rlim_cur != RLIM_INFINITY;
    if (gov__darwin_number(name, &kernel) == 0 &&
        (!bound || kernel < limit.rlim_cur))
        return told_number(out, kernel, "%s", name);
    if (!bound)
        return told_number(out, INT64_MAX, "RLIMIT_MEMLOCK: unlimited");
    return told_number(out, limit.rlim_cur, "RLIMIT_MEMLOCK");
}

/* Read, never set: raising it starves the system, which has to wire memory too.
 * Whole MiB, 0 for the system's own choice; its first name was another. */
static int tell_wired_limit(struct gov__told *out)
{
    static const char *const names[] = {"iogpu.wired_limit_mb",
                                        "debug.iogpu.wired_limit"};
    uint64_t mib = 0;
    int rc = ENOENT;

    for (size_t i = 0; i < 2; i++) {
        rc = gov__darwin_number(names[i], &mib);
        if (rc != 0)
            continue;
        if (mib == 0)
            return told_nothing(out, "%s is 0: nobody has set it", names[i]);
        if (mib > UINT64_MAX >> 20)
            return told_nothing(out, "%s is out of range", names[i]);
        return told_number(out, mib << 20, "%s", names[i]);
    }
    return told_unread(out, names[0], rc);
}

int gov__darwin_tell(void *ctx, gov_fact fact, struct gov__told *out)
{
    struct gov__machine machine;
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    memset(out, 0, sizeof(*out));
    switch ((int)fact) {
    case GOV_FACT_DEVICE_RAM:
        return tell_sysctl(out, "hw.memsize");
    case GOV_FACT_DEVICE_SWAP:
        if (native->machine(native->ctx, &machine) != 0)
            return told_nothing(out, "vm.swapusage cannot be read");
        return told_number(out, machine.swap_total_bytes,
                           "vm.swapusage; swap files come and go");
    case GOV_FACT_DEVICE_CPU:
        return tell_cpu(out);
    case GOV_FACT_DEVICE_CORES:
        return tell_sysctl(out, "hw.ncpu");
    case GOV_FACT_DEVICE_PERFORMANCE_CORES:
        return tell_kind(out, true);
    case GOV_FACT_DEVICE_EFFICIENCY_CORES:
        return tell_kind(out, false);
    case GOV_FACT_DEVICE_SIMD:
        return tell_simd(out);
    case GOV_FACT_DEVICE_SYSTEM:
        return tell_system(out);
    case GOV_FACT_DEVICE_OS:
        return told_text(out, "darwin", "what the library was built for");
    case GOV_FACT_DEVICE_ARCH:
        return tell_arch(out);
    case GOV_FACT_DEVICE_PAGE_SIZE:
        return tell_sysctl(out, "hw.pagesize");
    case GOV_FACT_DEVICE_ZSWAP:
        return tell_zswap(out);
    case GOV_FACT_DEVICE_MEMLOCK:
        return tell_memlock(out);
    case GOV_FACT_DEVICE_WIRED_LIMIT:
        return tell_wired_limit(out);
    default:
        snprintf(out->source, sizeof(out->source), "Darwin has no such fact");
        return ENOTSUP;
    }
}
