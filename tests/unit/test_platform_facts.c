/* SPDX-License-Identifier: MIT */
/* What the platform's tell() says, fact by fact, of machines that are not here
 * (support/tree.h); what it tries, on the machine that runs the tests, under
 * filters that refuse it; and file_system() and set_direct(). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "governor/platform/platform.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/tree.h"

/* Elsewhere than on Linux it does not exist; then there is nothing to test. */
#pragma weak gov__platform_linux_at

static struct gov_platform platform;
static const char *root; /* of the tree in use */

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

/* ---- facts of a tree ---------------------------------------------------------- */

#define STATUS "/proc/self/status, Cpus_allowed_list"
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define CAPACITY "/sys/devices/system/cpu/cpu*/cpu_capacity"
#define OSRELEASE "/proc/sys/kernel/osrelease"
#define OVERCOMMIT "/proc/sys/vm/overcommit_memory"
#define ZSWAP "/sys/module/zswap/parameters/enabled"
#define NO_PSI                                                                 \
    "tried: /proc/pressure/memory is not there (no CONFIG_PSI, or psi=0)"
#define NOT_TRIED "not tried on a written copy"

struct row {
    const char *tree;
    gov_fact fact;
    bool known;
    uint64_t number;
    const char *text, *source;
};

#define TEXT(tree, fact, text, source)                                         \
    {                                                                          \
        tree, GOV_FACT_DEVICE_##fact, true, 0, text, source                    \
    }
#define NUMBER(tree, fact, number, source)                                     \
    {                                                                          \
        tree, GOV_FACT_DEVICE_##fact, true, number, "", source                 \
    }
#define UNKNOWN(tree, fact, source)                                            \
    {                                                                          \
        tree, GOV_FACT_DEVICE_##fact, false, 0, "", source                     \
    }

static const struct row rows[] = {
    NUMBER("no-cgroup", RAM, 24684096 * KIB, "/proc/meminfo, MemTotal"),
    NUMBER("lxcfs", RAM, 2097152 * KIB, "/proc/meminfo, MemTotal"),
    NUMBER("android", RAM, 7749632 * KIB, "/proc/meminfo, MemTotal"),

    NUMBER("wsl2", SWAP, 4194304 * KIB, "/proc/meminfo, SwapTotal"),
    NUMBER("arm-server", SWAP, 0, "/proc/meminfo, SwapTotal"),
    NUMBER("v2-quota", SWAP, 2097152 * KIB,
           "/proc/meminfo, SwapTotal; the cgroup may use 0 bytes of it "
           "(memory.swap.max)"),
    NUMBER("lxcfs", SWAP, 0, "/proc/meminfo, SwapTotal"),

    TEXT("laptop-hybrid", CPU, "12th Gen Intel(R) Core(TM) i7-1255U",
         "/proc/cpuinfo"),
    TEXT("fedora-zram", CPU, "AMD Ryzen 7 7700X 8-Core Processor",
         "/proc/cpuinfo"),
    TEXT("lxcfs", CPU, "Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz",
         "/proc/cpuinfo"),
    TEXT("raspberry-pi", CPU, "Raspberry Pi 5 Model B Rev 1.0",
         "/proc/cpuinfo"),
    TEXT("asahi", CPU, "Apple MacBook Air (M1, 2020)",
         "/sys/firmware/devicetree/base/model"),
    TEXT("android", CPU, "GS101", "/proc/cpuinfo"),
    UNKNOWN("arm-server", CPU, "/proc/cpuinfo names no model"),
    UNKNOWN("no-cgroup", CPU, "/proc/cpuinfo is not there"),

    NUMBER("laptop-hybrid", CORES, 12, STATUS),
    NUMBER("arm-server", CORES, 8, STATUS), /* some are switched off */
    NUMBER("lxcfs", CORES, 2, STATUS),
    NUMBER("wsl2", CORES, 24, STATUS), /* cpu.cfs_quota_us is -1 */
    NUMBER("wsl1", CORES, 24, STATUS),
    NUMBER(
        "v2-quota", CORES, 2,
        "cgroup v2 /kubepods.slice/pod7.slice/cri-1.scope, cpu.max: the time "
        "of 2 of 7 processors"),
    NUMBER("v1-quota", CORES, 3,
           "cgroup v1 /, cpu.cfs_quota_us: the time of 3 of 8 processors"),
    UNKNOWN("no-cgroup", CORES, "/proc/self/status is not there"),

    NUMBER("laptop-hybrid", PERFORMANCE_CORES, 4,
           "/sys/devices/cpu_core/cpus and " STATUS),
    NUMBER("asahi", PERFORMANCE_CORES, 4, CAPACITY " and " STATUS),
    NUMBER("android", PERFORMANCE_CORES, 4, CAPACITY " and " STATUS),
    UNKNOWN("fedora-zram", PERFORMANCE_CORES, "all of one kind, by " CAPACITY),
    UNKNOWN("raspberry-pi", PERFORMANCE_CORES, "all of one kind, by " CAPACITY),
    UNKNOWN("wsl2", PERFORMANCE_CORES, "the system tells no kinds apart"),
    NUMBER("laptop-hybrid", EFFICIENCY_CORES, 8,
           "/sys/devices/cpu_atom/cpus and " STATUS),
    NUMBER("asahi", EFFICIENCY_CORES, 4, CAPACITY " and " STATUS),
    NUMBER("android", EFFICIENCY_CORES, 4, CAPACITY " and " STATUS),
    UNKNOWN("fedora-zram", EFFICIENCY_CORES, "all of one kind, by " CAPACITY),
    UNKNOWN("wsl1", EFFICIENCY_CORES, "the system tells no kinds apart"),
    UNKNOWN("no-cgroup", EFFICIENCY_CORES, "/proc/self/status is not there"),

    TEXT("laptop-hybrid", SIMD, "sse4_2 avx f16c fma avx2 avx_vnni",
         "/proc/cpuinfo"),
    TEXT("fedora-zram", SIMD,
         "sse4_2 avx f16c fma avx2 avx512f avx512_vnni avx512_bf16",
         "/proc/cpuinfo"),
    TEXT("wsl1", SIMD, "sse4_2 avx f16c fma", "/proc/cpuinfo"),
    TEXT("raspberry-pi", SIMD, "asimd asimddp", "/proc/cpuinfo"),
    TEXT("arm-server", SIMD, "asimd asimddp i8mm bf16 sve", "/proc/cpuinfo"),
    UNKNOWN("no-cgroup", SIMD, "/proc/cpuinfo is not there"),

    TEXT("laptop-hybrid", SYSTEM, "Linux 6.1.0-18-amd64", OSRELEASE),
    TEXT("wsl1", SYSTEM, "Linux 4.4.0-19041-Microsoft", OSRELEASE),
    TEXT("wsl2", SYSTEM, "Linux 5.15.153.1-microsoft-standard-WSL2", OSRELEASE),
    TEXT("android", SYSTEM, "Linux 5.10.189-android13-4-00003-g4a1b5cf3e2d1",
         OSRELEASE),
    UNKNOWN("no-cgroup", SYSTEM, OSRELEASE " is not there"),

    TEXT("wsl1", OS, "linux", "what the library was built for"),

    TEXT("laptop-hybrid", ARCH, "x86_64", "/proc/sys/kernel/arch"),
    TEXT("asahi", ARCH, "arm64", "/proc/sys/kernel/arch"),
    UNKNOWN("wsl2", ARCH, "/proc/sys/kernel/arch is not there"),

    /* 2 MiB, 32 MiB and 512 MiB: pages of 4, 16 and 64 KiB. */
    NUMBER("laptop-hybrid", HUGE_PAGE, 2 * MIB, THP "hpage_pmd_size"),
    NUMBER("asahi", HUGE_PAGE, 32 * MIB, THP "hpage_pmd_size"),
    NUMBER("raspberry-pi", HUGE_PAGE, 32 * MIB, THP "hpage_pmd_size"),
    NUMBER("arm-server", HUGE_PAGE, 512 * MIB, THP "hpage_pmd_size"),
    UNKNOWN("android", HUGE_PAGE, THP "hpage_pmd_size is not there"),

    TEXT("laptop-hybrid", HUGE_PAGES, "madvise", THP "enabled"),
    TEXT("fedora-zram", HUGE_PAGES, "always", THP "enabled"),
    TEXT("arm-server", HUGE_PAGES, "never", THP "enabled"),
    UNKNOWN("wsl1", HUGE_PAGES, THP "enabled is not there"),

    NUMBER("fedora-zram", ZRAM, 8388604 * KIB, "/proc/swaps: 1 zram, 0 other"),
    NUMBER("asahi", ZRAM, 7807984 * KIB, "/proc/swaps: 1 zram, 0 other"),
    NUMBER("v2-quota", ZRAM, 1048576 * KIB, "/proc/swaps: 2 zram, 2 other"),
    NUMBER("raspberry-pi", ZRAM, 0, "/proc/swaps: 0 zram, 1 other"),
    NUMBER("arm-server", ZRAM, 0, "/proc/swaps: 0 zram, 0 other"),
    UNKNOWN("android", ZRAM, "/proc/swaps is not there"),

    NUMBER("laptop-hybrid", ZSWAP, 0, ZSWAP),
    NUMBER("arm-server", ZSWAP, 1, ZSWAP),
    NUMBER("wsl2", ZSWAP, 0, ZSWAP " is not there"), /* /sys/module is */
    UNKNOWN("wsl1", ZSWAP, ZSWAP " is not there"),

    TEXT("laptop-hybrid", OVERCOMMIT, "heuristic", OVERCOMMIT),
    TEXT("fedora-zram", OVERCOMMIT, "always", OVERCOMMIT),
    TEXT("arm-server", OVERCOMMIT, "strict", OVERCOMMIT),
    UNKNOWN("android", OVERCOMMIT, OVERCOMMIT " is not there"),

    NUMBER("fedora-zram", MEMLOCK, 8 * MIB, "/proc/self/limits"),
    NUMBER("android", MEMLOCK, 64 * MIB, "/proc/self/limits"),
    NUMBER("arm-server", MEMLOCK, INT64_MAX, "/proc/self/limits: unlimited"),
    UNKNOWN("wsl1", MEMLOCK, "/proc/self/limits is not there"),

    NUMBER("laptop-hybrid", PSI, 1, "tried: memory.pressure of the own cgroup"),
    NUMBER("v2-docker", PSI, 1, "tried: memory.pressure of the own cgroup"),
    NUMBER("hybrid", PSI, 1, "tried: /proc/pressure/memory"),
    NUMBER("raspberry-pi", PSI, 0, NO_PSI),
    NUMBER("no-cgroup", PSI, 0, NO_PSI),
    NUMBER("wsl2", PSI, 0, NO_PSI),

    UNKNOWN("laptop-hybrid", USERFAULTFD, NOT_TRIED),
    UNKNOWN("laptop-hybrid", CACHESTAT, NOT_TRIED),
    UNKNOWN("laptop-hybrid", IO_URING, NOT_TRIED),
};

static void check_row(const struct row *row)
{
    const char *name = gov_fact_info(row->fact)->name;
    struct gov__told told;
    int rc = platform.tell(platform.ctx, row->fact, &told);

    ck_assert_msg(rc == (row->known ? 0 : ENODATA), "%s: %d", name, rc);
    ck_assert_str_eq(told.source, row->source);
    if (rc != 0)
        return;
    ck_assert_uint_eq(told.number, row->number);
    ck_assert_str_eq(told.text, row->text);
}

START_TEST(a_tree_tells)
{
    root = tree_platform(&platform, rows[_i].tree);
    check_row(&rows[_i]);
}
END_TEST

/* One file each, in a tree with nothing else. */
static const struct {
    const char *file, *text;
    struct row want;
} files[] = {
    {"proc/cpuinfo",
     "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\n"
     "model\t\t: 151\nmodel name\t: Some CPU @ 3.00GHz\nstepping\t: 2\n",
     TEXT("", CPU, "Some CPU @ 3.00GHz", "/proc/cpuinfo")},
    {"proc/cpuinfo", "processor\t: 0\ncpu\t\t: POWER9, altivec supported\n",
     TEXT("", CPU, "POWER9, altivec supported", "/proc/cpuinfo")},
    {"proc/cpuinfo",
     "processor\t: 0\nhart\t: 1\nisa\t: rv64imafdc\nuarch\t: sifive,u74\n",
     TEXT("", CPU, "sifive,u74", "/proc/cpuinfo")},
    {"proc/cpuinfo", "Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n",
     TEXT("", CPU, "Raspberry Pi 4", "/proc/cpuinfo")},
    {"proc/cpuinfo", "model name\t:\nmodel name\t: \n",
     UNKNOWN("", CPU, "/proc/cpuinfo names no model")},
    {"proc/cpuinfo", "", UNKNOWN("", CPU, "/proc/cpuinfo names no model")},
    {"sys/firmware/devicetree/base/model", "A board",
     TEXT("", CPU, "A board", "/sys/firmware/devicetree/base/model")},
    {"proc/cpuinfo", "Features\t: half thumb vfp edsp neon vfpv3 vfpv4\n",
     TEXT("", SIMD, "neon", "/proc/cpuinfo")},
    {"proc/cpuinfo",
     "Features\t: sme sve2 sve bf16 i8mm asimddp asimd fp sme2 svebf16\n",
     TEXT("", SIMD, "asimd asimddp i8mm bf16 sve sve2 sme", "/proc/cpuinfo")},
    {"proc/cpuinfo",
     "flags\t\t: amx_bf16 amx_tile amx_int8 avx512_bf16 avx512_vnni avx512f "
     "avx_vnni avx2 fma f16c avx sse4_2 avx512_vnni_x\n",
     TEXT("", SIMD,
          "sse4_2 avx f16c fma avx2 avx_vnni avx512f avx512_vnni avx512_bf16 "
          "amx_int8 amx_bf16",
          "/proc/cpuinfo")},
    {"proc/cpuinfo", "flags\t\t: fpu sse sse2\n",
     UNKNOWN("", SIMD, "none that engines use in /proc/cpuinfo")},
    {"proc/cpuinfo", "isa\t: rv64imafdc\n",
     UNKNOWN("", SIMD, "/proc/cpuinfo lists no flags")},
    {"proc/self/status", "Cpus_allowed_list:\t0-2,8191\n",
     NUMBER("", CORES, 4, STATUS)},
    {"proc/self/status", "Cpus_allowed_list:\t0-18446744073709551615\n",
     NUMBER("", CORES, 8192, STATUS)},
    {"proc/self/status", "Cpus_allowed_list:\t3-1,9999,x,5\n",
     UNKNOWN("", CORES, STATUS " names no processor")},
    {"proc/self/status", "Name:\tapp\n",
     UNKNOWN("", CORES, STATUS " names no processor")},
    {"proc/sys/kernel/osrelease", "  6.1\t-x \n",
     TEXT("", SYSTEM, "Linux 6.1 -x", OSRELEASE)},
    {"sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "0\n",
     UNKNOWN("", HUGE_PAGE, THP "hpage_pmd_size has no number")},
    {"sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "much\n",
     UNKNOWN("", HUGE_PAGE, THP "hpage_pmd_size has no number")},
    {"sys/kernel/mm/transparent_hugepage/enabled", "always madvise never\n",
     UNKNOWN("", HUGE_PAGES, THP "enabled has no word in brackets")},
    {"sys/kernel/mm/transparent_hugepage/enabled", "] [] [\n",
     UNKNOWN("", HUGE_PAGES, THP "enabled has no word in brackets")},
    {"proc/swaps", "", NUMBER("", ZRAM, 0, "/proc/swaps: 0 zram, 0 other")},
    {"proc/swaps",
     "Filename Type Size Used Priority\n/dev/block/zram0 partition 4 0 -2\n",
     NUMBER("", ZRAM, 4 * KIB, "/proc/swaps: 1 zram, 0 other")},
    {"proc/swaps",
     "Filename Type Size Used Priority\n/dev/zram0 partition much 0 -2\n"
     "/dev/zramx partition 4 0 -2\nzram1 partition 4 0 -2\nx\n",
     NUMBER("", ZRAM, 0, "/proc/swaps: 0 zram, 4 other")},
    {"proc/swaps",
     "Filename Type Size Used Priority\n"
     "/dev/zram0 partition 99999999999999999999 0 -2\n/dev/zram1 partition 1 "
     "0 -2",
     NUMBER("", ZRAM, UINT64_MAX, "/proc/swaps: 2 zram, 0 other")},
    {"sys/module/zswap/parameters/enabled", "maybe\n",
     UNKNOWN("", ZSWAP, ZSWAP " is neither Y nor N")},
    {"proc/sys/vm/overcommit_memory", "3\n",
     UNKNOWN("", OVERCOMMIT, OVERCOMMIT " is none of 0, 1 and 2")},
    {"proc/sys/vm/overcommit_memory", "99999999999999999999999999\n",
     UNKNOWN("", OVERCOMMIT, OVERCOMMIT " cannot be read (errno 27)")},
    {"proc/self/limits", "Max locked memory         65536      65536  bytes\n",
     NUMBER("", MEMLOCK, 65536, "/proc/self/limits")},
    {"proc/self/limits", "Max locked memory         lots\n",
     UNKNOWN("", MEMLOCK, "/proc/self/limits has no locked memory")},
    {"proc/pressure/memory", "full avg10=0.00 total=1\n",
     UNKNOWN("", PSI, "/proc/pressure/memory has no total")},
    {"proc/meminfo", "MemFree: 4 kB\n",
     UNKNOWN("", RAM, "/proc/meminfo cannot be read (errno 61)")},
};

START_TEST(a_file_tells)
{
    root = tree_platform(&platform, NULL);
    tree_plant_text(root, files[_i].file, files[_i].text);
    check_row(&files[_i].want);
}
END_TEST

/* Processors that this process may not use are not counted, of either kind. */
START_TEST(kinds_are_those_allowed)
{
    struct row row = NUMBER("", PERFORMANCE_CORES, 2,
                            "/sys/devices/cpu_core/cpus and " STATUS);

    root = tree_platform(&platform, "laptop-hybrid");
    tree_plant_text(root, "proc/self/status", "Cpus_allowed_list:\t2-3\n");
    check_row(&row);
    row.fact = GOV_FACT_DEVICE_EFFICIENCY_CORES;
    row.number = 0;
    row.source = "/sys/devices/cpu_atom/cpus and " STATUS;
    check_row(&row);
    /* The third kind of newer ones. */
    tree_plant_text(root, "sys/devices/cpu_lowpower/cpus", "12-13\n");
    tree_plant_text(root, "sys/devices/system/cpu/online", "0-13\n");
    tree_plant_text(root, "proc/self/status", "Cpus_allowed_list:\t0-13\n");
    row.number = 10;
    check_row(&row);
}
END_TEST

/* The page size comes from sysconf() and so is that of this machine in every
 * tree: what a 16 KiB kernel says of itself can only be seen on one. */
START_TEST(page_size_is_this_machines)
{
    struct gov__told told;

    root = tree_platform(&platform, "asahi");
    ck_assert_int_eq(
        platform.tell(platform.ctx, GOV_FACT_DEVICE_PAGE_SIZE, &told), 0);
    ck_assert_uint_eq(told.number, (uint64_t)sysconf(_SC_PAGESIZE));
    ck_assert_str_eq(told.source, "sysconf(_SC_PAGESIZE)");
}
END_TEST

/* device.c fills these, or Linux has none. */
static const gov_fact not_here[] = {
    GOV_FACT_DEVICE_LIMIT,      GOV_FACT_DEVICE_RESERVE,
    GOV_FACT_DEVICE_OTHERS,     GOV_FACT_BUDGET_RAM,
    GOV_FACT_DEVICE_READ_RATE,  GOV_FACT_DEVICE_PRESSURE_BACKEND,
    GOV_FACT_DEVICE_TIER,       GOV_FACT_GPU_COUNT,
    GOV_FACT_DEVICE_WIRED_LIMIT};

START_TEST(other_facts_are_not_here)
{
    struct gov__told told;

    root = tree_platform(&platform, "laptop-hybrid");
    ck_assert_int_eq(platform.tell(platform.ctx, not_here[_i], &told), ENOTSUP);
    ck_assert_str_eq(told.source, "Linux has no such fact");
}
END_TEST

static const char *const all_trees[] = {
    "laptop-hybrid", "fedora-zram", "raspberry-pi", "asahi",
    "android",       "wsl1",        "wsl2",         "arm-server",
    "v2-quota",      "v1-quota",    "lxcfs"};

/* Whatever the files hold: no crash, and what is told is in its bounds. */
START_TEST(garbage_is_survived)
{
    uint32_t seed = 1 + (uint32_t)_i;
    char *text = tree_read(all_trees[_i]);

    for (int round = 0; round < 8; round++) {
        char *tree = strdup(text);

        root = tree_platform(&platform, NULL);
        tree_plant_all(root, tree, &seed);
        free(tree);
        for (int fact = 0; fact < GOV_FACT_COUNT; fact++) {
            struct gov__told told;
            int rc = platform.tell(platform.ctx, (gov_fact)fact, &told);

            ck_assert(rc == 0 || rc == ENODATA || rc == ENOTSUP);
            ck_assert(memchr(told.text, '\0', sizeof(told.text)) != NULL);
            ck_assert(memchr(told.source, '\0', sizeof(told.source)) != NULL);
            ck_assert_uint_gt(strlen(told.source), 0);
            if (rc == 0 && fact == GOV_FACT_DEVICE_CORES)
                ck_assert(told.number >= 1 && told.number <= 8192);
        }
    }
    free(text);
}
END_TEST

/* ---- faults -------------------------------------------------------------------- */

static const char *const fault_trees[] = {"laptop-hybrid", "asahi", "v2-quota",
                                          "v1-quota", "raspberry-pi"};

/* Any call that fails makes a fact unknown or leaves it as it was. But for the
 * quota and a third kind, a part of the truth: then processors are more. */
START_TEST(failing_calls_are_survived)
{
    int open_before;

    root = tree_platform(&platform, fault_trees[_i]);
    open_before = faults_open_descriptors();
    for (int fact = 0; fact < GOV_FACT_COUNT; fact++) {
        struct gov__told clean, told;
        uint64_t calls;
        int want;

        faults_reset();
        want = platform.tell(platform.ctx, (gov_fact)fact, &clean);
        calls = faults_count();
        for (uint64_t n = 0; n < 2 * calls; n++) {
            int rc;

            faults_arm(n % calls, n >= calls);
            rc = platform.tell(platform.ctx, (gov_fact)fact, &told);
            faults_disarm();
            ck_assert(rc == want || rc == ENODATA);
            ck_assert_uint_gt(strlen(told.source), 0);
            if (rc == 0 && fact == GOV_FACT_DEVICE_CORES)
                ck_assert_uint_ge(told.number, clean.number);
            else if (rc == 0)
                ck_assert_uint_eq(told.number, clean.number);
            if (rc == 0)
                ck_assert_str_eq(told.text, clean.text);
            ck_assert_int_eq(faults_open_descriptors(), open_before);
        }
    }
}
END_TEST

static const struct {
    const char *call;
    int error;
    struct row want;
} denials[] = {
    {"open", EACCES, UNKNOWN("", ZRAM, "/proc/swaps may not be read")},
    {"open", EPERM, UNKNOWN("", OVERCOMMIT, OVERCOMMIT " may not be read")},
    {"open", EMFILE, UNKNOWN("", ZSWAP, ZSWAP " cannot be read (errno 24)")},
    {"open", EACCES, UNKNOWN("", CPU, "/proc/cpuinfo may not be read")},
    {"open", EACCES, UNKNOWN("", CORES, "/proc/self/status may not be read")},
    {"open", EACCES,
     NUMBER("", PSI, 0, "tried: /proc/pressure/memory may not be read")},
    {"read", EOPNOTSUPP,
     NUMBER("", PSI, 0,
            "tried: /proc/pressure/memory is switched off (psi=0)")},
    {"read", EIO,
     UNKNOWN("", PSI, "/proc/pressure/memory cannot be read (errno 5)")},
};

/* As root, which the tests may be, nothing is denied: so it is made up. */
START_TEST(what_is_denied_is_said)
{
    root = tree_platform(&platform, "laptop-hybrid");
    faults_reset();
    faults_only(denials[_i].call);
    faults_set_errno(denials[_i].error);
    faults_arm(0, true);
    check_row(&denials[_i].want);
    faults_reset();
}
END_TEST

/* ---- open files ---------------------------------------------------------------- */

static const struct {
    const char *tree, *mount, *want;
    int error;
} mounts[] = {
    {"laptop-hybrid", "mnt_id:\t26\n", "ext4", 0},
    {"laptop-hybrid", "pos:\t0\nmnt_id:\t30\n", NULL, ENODATA},
    {"laptop-hybrid", "pos:\t0\n", NULL, ENODATA},
    {"laptop-hybrid", NULL, NULL, ENODATA},
    {"wsl2", "mnt_id:\t120\n", "9p", 0},
    {"wsl1", "mnt_id:\t14\n", "drvfs", 0},
    {"wsl1", "mnt_id:\t2\n", "wslfs", 0},
};

START_TEST(file_system_is_named)
{
    char name[32], path[64];
    int fd;

    root = tree_platform(&platform, mounts[_i].tree);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    snprintf(path, sizeof(path), "proc/self/fdinfo/%d", fd);
    if (mounts[_i].mount != NULL)
        tree_plant_text(root, path, mounts[_i].mount);
    ck_assert_int_eq(platform.file_system(platform.ctx, fd, name, sizeof(name)),
                     mounts[_i].error);
    if (mounts[_i].want != NULL) {
        ck_assert_str_eq(name, mounts[_i].want);
        ck_assert_int_eq(platform.file_system(platform.ctx, fd, name, 2),
                         ENAMETOOLONG);
    }
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(platform.file_system(platform.ctx, fd, name, sizeof(name)),
                     EBADF);
}
END_TEST

START_TEST(native_file_system)
{
    const struct gov_platform *native = gov__platform_native();
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    char name[32];

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(native->file_system(native->ctx, fd, name, sizeof(name)),
                     0);
    ck_assert_str_eq(name, "proc");
    close(fd);
}
END_TEST

/* Not every file system can: tmpfs could not before Linux 6.6. */
START_TEST(direct_comes_and_goes)
{
    const struct gov_platform *native = gov__platform_native();
    char path[1024];
    int fd, rc;

    snprintf(path, sizeof(path), "%s/file", fresh_directory());
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    rc = native->set_direct(native->ctx, fd, true);
    ck_assert(rc == 0 || rc == ENOTSUP);
#ifdef O_DIRECT
    ck_assert_int_eq((fcntl(fd, F_GETFL) & O_DIRECT) != 0, rc == 0);
    ck_assert_int_eq(native->set_direct(native->ctx, fd, false), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_DIRECT, 0);
#endif
    close(fd);
    ck_assert_int_eq(native->set_direct(native->ctx, fd, true), EBADF);
}
END_TEST

/* ---- tries --------------------------------------------------------------------- */

#ifdef __linux__

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#endif

#define REFUSE(error) (SECCOMP_RET_ERRNO | (error))
#define FORBIDS "a seccomp filter or a security module"
#define ENDED "tried in a child process: a seccomp filter ended it"

/* From here on this process gets `action` for the call, with `second` as its
 * second argument unless that is 0. */
static bool filter(long call, uint32_t second, uint32_t action)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 3),
        /* The lower half; tests run on little-endian machines. */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args) + 8),
        BPF_JUMP(BPF_JMP | (second == 0 ? BPF_JGE : BPF_JEQ) | BPF_K, second, 0,
                 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

struct answer {
    bool filtered, tidy;
    int rc;
    struct gov__told told;
};

/* Asks, and sees that nothing stays behind: no descriptor, no child, no change
 * of what signals are blocked. */
static void ask(gov_fact fact, struct answer *out)
{
    const struct gov_platform *native = gov__platform_native();
    int before = faults_open_descriptors(), status;
    sigset_t mask, after;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    out->rc = native->tell(native->ctx, fact, &out->told);
    sigprocmask(SIG_SETMASK, NULL, &after);
    out->tidy = faults_open_descriptors() == before &&
                waitpid(-1, &status, __WALL) == -1 && errno == ECHILD &&
                sigismember(&after, SIGUSR2) == 1 &&
                sigismember(&after, SIGTERM) == 0;
}

static void nothing(int number)
{
    (void)number;
}

/* Asks in a process of its own, under a filter. One that has a handler for
 * SIGSYS, as Android's apps have. */
static void ask_filtered(gov_fact fact, long call, uint32_t second,
                         uint32_t action, struct answer *out)
{
    int fds[2], status = 0;
    pid_t pid;

    memset(out, 0, sizeof(*out));
    ck_assert_int_eq(pipe(fds), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        signal(SIGSYS, nothing);
        out->filtered = filter(call, second, action);
        if (out->filtered)
            ask(fact, out);
        _exit(write(fds[1], out, sizeof(*out)) == (ssize_t)sizeof(*out) ? 0
                                                                        : 1);
    }
    close(fds[1]);
    ck_assert_int_eq((int)read(fds[0], out, sizeof(*out)), (int)sizeof(*out));
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static const struct {
    gov_fact fact;
    long call;
    uint32_t second, action;
    int rc;
    const char *source;
} tries[] = {
    {GOV_FACT_DEVICE_IO_URING, SYS_io_uring_setup, 0, REFUSE(EPERM), 0,
     "tried: not permitted (" FORBIDS ")"},
    {GOV_FACT_DEVICE_IO_URING, SYS_io_uring_setup, 0, REFUSE(ENOSYS), 0,
     "tried: ENOSYS, there is no io_uring_setup() here"},
    {GOV_FACT_DEVICE_IO_URING, SYS_io_uring_setup, 0, REFUSE(ENOMEM), ENODATA,
     "could not be tried: io_uring_setup(), errno 12"},
    {GOV_FACT_DEVICE_IO_URING, SYS_io_uring_setup, 0, SECCOMP_RET_KILL_PROCESS,
     0, ENDED},
    {GOV_FACT_DEVICE_IO_URING, SYS_io_uring_setup, 0, SECCOMP_RET_TRAP, 0,
     ENDED},
    {GOV_FACT_DEVICE_IO_URING, SYS_clone, 0, REFUSE(EAGAIN), ENODATA,
     "could not be tried: io_uring_setup(), errno 11"},
    /* Of a child that cannot be had nothing follows either. */
    {GOV_FACT_DEVICE_IO_URING, SYS_clone, 0, REFUSE(EPERM), ENODATA,
     "could not be tried: io_uring_setup(), errno 10"},
    {GOV_FACT_DEVICE_CACHESTAT, SYS_clone, 0, REFUSE(ENOSYS), ENODATA,
     "could not be tried: cachestat(), errno 10"},
    {GOV_FACT_DEVICE_CACHESTAT, SYS_cachestat, 0, REFUSE(EPERM), 0,
     "tried: not permitted (" FORBIDS ")"},
    {GOV_FACT_DEVICE_CACHESTAT, SYS_cachestat, 0, REFUSE(ENOSYS), 0,
     "tried: ENOSYS, there is no cachestat() here"},
    {GOV_FACT_DEVICE_CACHESTAT, SYS_cachestat, 0, SECCOMP_RET_TRAP, 0, ENDED},
    {GOV_FACT_DEVICE_CACHESTAT, SYS_memfd_create, 0, REFUSE(EPERM), ENODATA,
     "could not be tried: cachestat(), errno 5"},
    {GOV_FACT_DEVICE_USERFAULTFD, SYS_userfaultfd, 0, REFUSE(EPERM), 0,
     "tried: not permitted (" FORBIDS ")"},
    {GOV_FACT_DEVICE_USERFAULTFD, SYS_userfaultfd, 0, REFUSE(EINVAL), 0,
     "tried: this kernel's userfaultfd(UFFD_USER_MODE_ONLY) is too old"},
    {GOV_FACT_DEVICE_USERFAULTFD, SYS_userfaultfd, 0, SECCOMP_RET_KILL_PROCESS,
     0, ENDED},
    {GOV_FACT_DEVICE_USERFAULTFD, SYS_ioctl, (uint32_t)UFFDIO_API,
     REFUSE(EINVAL), 0,
     "tried: this kernel's userfaultfd(UFFD_USER_MODE_ONLY) is too old"},
    {GOV_FACT_DEVICE_USERFAULTFD, SYS_ioctl, (uint32_t)UFFDIO_API,
     REFUSE(ENOMEM), ENODATA,
     "could not be tried: userfaultfd(UFFD_USER_MODE_ONLY), errno 12"},
};

START_TEST(refused_tries_are_told)
{
    struct answer answer;

    ask_filtered(tries[_i].fact, tries[_i].call, tries[_i].second,
                 tries[_i].action, &answer);
    if (!answer.filtered) {
        skip_test("refused_tries_are_told", "no seccomp filter can be set");
        return;
    }
    ck_assert_str_eq(answer.told.source, tries[_i].source);
    ck_assert_int_eq(answer.rc, tries[_i].rc);
    ck_assert_uint_eq(answer.told.number, 0);
    ck_assert(answer.tidy);
}
END_TEST

static const gov_fact tried[] = {
    GOV_FACT_DEVICE_IO_URING, GOV_FACT_DEVICE_CACHESTAT,
    GOV_FACT_DEVICE_USERFAULTFD, GOV_FACT_DEVICE_MEMLOCK};

/* A filter that is about something else changes nothing: the child says what the
 * process itself would. */
START_TEST(child_and_parent_agree)
{
    struct answer direct, filtered;

    memset(&direct, 0, sizeof(direct));
    ask(tried[_i], &direct);
    ck_assert(direct.tidy);
    ck_assert_uint_gt(strlen(direct.told.source), 0);
    ask_filtered(tried[_i], SYS_reboot, 0, REFUSE(EPERM), &filtered);
    if (!filtered.filtered) {
        skip_test("child_and_parent_agree", "no seccomp filter can be set");
        return;
    }
    ck_assert_int_eq(filtered.rc, direct.rc);
    ck_assert_str_eq(filtered.told.source, direct.told.source);
    ck_assert_uint_eq(filtered.told.number, direct.told.number);
    ck_assert(filtered.tidy);
}
END_TEST

/* Where more than the limit cannot be locked, the limit it is. */
START_TEST(memlock_is_the_limit)
{
    struct answer answer;
    struct rlimit limit = {65536, 65536};

    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    ask_filtered(GOV_FACT_DEVICE_MEMLOCK, SYS_mlock2, 0,
                 _i == 0 ? REFUSE(EPERM) : SECCOMP_RET_KILL_PROCESS, &answer);
    if (!answer.filtered) {
        skip_test("memlock_is_the_limit", "no seccomp filter can be set");
        return;
    }
    ck_assert_int_eq(answer.rc, 0);
    ck_assert_uint_eq(answer.told.number, 65536);
    ck_assert_str_eq(answer.told.source, "RLIMIT_MEMLOCK");
    ck_assert(answer.tidy);
}
END_TEST

/* Without a descriptor left nothing is known, and nothing said to be missing. */
START_TEST(no_descriptor_is_no_answer)
{
    const struct gov_platform *native = gov__platform_native();
    struct rlimit before, limit;
    struct gov__told told;
    int rc;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rc = native->tell(native->ctx, tried[_i], &told);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (rc == 0) /* this kernel has none, or it is not permitted */
        ck_assert_uint_eq(told.number, 0);
    else
        ck_assert_int_eq(rc, ENODATA);
}
END_TEST
#endif

/* Whatever this machine is, its texts are texts, and each fact has a source. */
START_TEST(native_tells)
{
    const struct gov_platform *native = gov__platform_native();
    static const gov_fact certain[] = {
        GOV_FACT_DEVICE_CORES, GOV_FACT_DEVICE_SYSTEM, GOV_FACT_DEVICE_OS,
        GOV_FACT_DEVICE_ARCH, GOV_FACT_DEVICE_PAGE_SIZE};
    struct gov__told told;

    for (int fact = 0; fact < GOV_FACT_COUNT; fact++) {
        int rc = native->tell(native->ctx, (gov_fact)fact, &told);

        ck_assert(rc == 0 || rc == ENODATA || rc == ENOTSUP);
        ck_assert_uint_gt(strlen(told.source), 0);
        ck_assert_uint_lt(strlen(told.text), sizeof(told.text));
    }
    for (size_t i = 0; i < sizeof(certain) / sizeof(certain[0]); i++)
        ck_assert_int_eq(native->tell(native->ctx, certain[i], &told), 0);
    ck_assert_uint_eq(told.number, (uint64_t)sysconf(_SC_PAGESIZE));
}
END_TEST

#define ADD_ROWS(tc, test, table)                                              \
    tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

Suite *suite(void)
{
    Suite *s = suite_create("platform_facts");
    TCase *tc = tcase_create("native");

    suite_add_tcase(s, tc);
    tcase_add_test(tc, native_tells);
    if (gov__platform_linux_at == NULL) {
        skip_test("platform_facts", "built for another platform");
        return s;
    }
    tcase_add_test(tc, native_file_system);
    tcase_add_test(tc, direct_comes_and_goes);
#ifdef __linux__
    ADD_ROWS(tc, refused_tries_are_told, tries);
    ADD_ROWS(tc, child_and_parent_agree, tried);
    tcase_add_loop_test(tc, memlock_is_the_limit, 0, 2);
    tcase_add_loop_test(tc, no_descriptor_is_no_answer, 0, 3);
#endif
    tc = tcase_create("trees");
    suite_add_tcase(s, tc);
    ADD_ROWS(tc, a_tree_tells, rows);
    ADD_ROWS(tc, a_file_tells, files);
    tcase_add_test(tc, kinds_are_those_allowed);
    tcase_add_test(tc, page_size_is_this_machines);
    ADD_ROWS(tc, other_facts_are_not_here, not_here);
    ADD_ROWS(tc, garbage_is_survived, all_trees);
    ADD_ROWS(tc, failing_calls_are_survived, fault_trees);
    ADD_ROWS(tc, what_is_denied_is_said, denials);
    ADD_ROWS(tc, file_system_is_named, mounts);
    return s;
}
