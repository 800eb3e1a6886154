/* SPDX-License-Identifier: MIT */
/* What is probed, where each fact is said to be from, and the budget that
 * follows: on a made-up machine, and once on the real one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "governor/device/device_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"
#include "tests/support/sim_platform.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define ADD_ROWS(tc, test, table)                                              \
    tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

static struct sim sim;

static const struct gov_device_fact *fact(const struct gov_device *device,
                                          gov_fact which)
{
    const struct gov_device_fact *at = gov_device_fact(device, which);

    ck_assert_msg(at != NULL, "%s is not listed", gov_fact_info(which)->name);
    ck_assert_int_eq(at->fact, which);
    return at;
}

static void check_number(const struct gov_device *device, gov_fact which,
                         uint64_t number, const char *source)
{
    const struct gov_device_fact *at = fact(device, which);

    ck_assert_msg(at->known, "%s is not known", gov_fact_info(which)->name);
    ck_assert_msg(at->number == number, "%s is %" PRIu64,
                  gov_fact_info(which)->name, at->number);
    ck_assert_str_eq(at->source, source);
}

static void check_text(const struct gov_device *device, gov_fact which,
                       const char *text, const char *source)
{
    const struct gov_device_fact *at = fact(device, which);

    ck_assert_msg(at->known, "%s is not known", gov_fact_info(which)->name);
    ck_assert_str_eq(at->text, text);
    ck_assert_str_eq(at->source, source);
    ck_assert_uint_eq(at->number, 0);
}

static void check_unknown(const struct gov_device *device, gov_fact which,
                          const char *why)
{
    const struct gov_device_fact *at = fact(device, which);

    ck_assert_msg(!at->known, "%s is known", gov_fact_info(which)->name);
    ck_assert_str_eq(at->source, why);
    ck_assert_uint_eq(at->number, 0);
    ck_assert_str_eq(at->text, "");
    ck_assert_uint_eq(gov_device_number(device, which, 77), 77);
}

static uint64_t number(const struct gov_device *device, gov_fact which)
{
    return gov_device_number(device, which, UINT64_MAX);
}

/* ---- budget ---------------------------------------------------------------- */

#define TENTH "10 % of RAM, at least 512 MiB, at most 25 %"
#define TWENTIETH "5 % of the limit, at least 32 MiB, at most 25 %"
#define CLOSE "10 % of RAM, to which the limit is close"

static const struct {
    const char *name;
    uint64_t ram, limit, others; /* 0: no such */
    uint64_t reserve, budget;
    const char *source; /* of the reserve */
} budgets[] = {
    {"64 GiB: a tenth", 64 * GIB, 0, 0, 64 * GIB / 10, 64 * GIB - 64 * GIB / 10,
     TENTH},
    {"8 GiB: still a tenth", 8 * GIB, 0, 0, 8 * GIB / 10,
     8 * GIB - 8 * GIB / 10, TENTH},
    {"5 GiB: the floor and the tenth meet", 5 * GIB, 0, 0, 512 * MIB,
     4608 * MIB, TENTH},
    {"4 GiB: the floor", 4 * GIB, 0, 0, 512 * MIB, 3584 * MIB, TENTH},
    {"2 GiB: the floor is a quarter", 2 * GIB, 0, 0, 512 * MIB, 1536 * MIB,
     TENTH},
    {"1 GiB: never more than a quarter", GIB, 0, 0, 256 * MIB, 768 * MIB,
     TENTH},
    {"3 bytes", 3, 0, 0, 0, 3, TENTH},
    {"others do not count without a limit", 4 * GIB, 0, GIB, 512 * MIB,
     3584 * MIB, TENTH},
    {"a limit: a twentieth", 64 * GIB, 8 * GIB, 0, 8 * GIB / 20,
     8 * GIB - 8 * GIB / 20, TWENTIETH},
    {"640 MiB: the floor of a limit", 64 * GIB, 640 * MIB, 0, 32 * MIB,
     608 * MIB, TWENTIETH},
    {"256 MiB", 64 * GIB, 256 * MIB, 0, 32 * MIB, 224 * MIB, TWENTIETH},
    {"64 MiB: never more than a quarter", 64 * GIB, 64 * MIB, 0, 16 * MIB,
     48 * MIB, TWENTIETH},
    {"others share the limit", 64 * GIB, 640 * MIB, 100 * MIB, 32 * MIB,
     508 * MIB, TWENTIETH},
    {"others take all of it", 64 * GIB, 640 * MIB, 608 * MIB, 32 * MIB, 0,
     TWENTIETH},
    {"others take more than all", 64 * GIB, 640 * MIB, 10 * GIB, 32 * MIB, 0,
     TWENTIETH},
    {"a limit near RAM keeps the machine's reserve", 16 * GIB, 16 * GIB - MIB,
     0, 16 * GIB / 10 - MIB, 16 * GIB - 16 * GIB / 10, CLOSE},
    {"a limit equal to RAM, as lxcfs shows", 2 * GIB, 2 * GIB, 100 * MIB,
     512 * MIB, 1436 * MIB, CLOSE},
    {"a limit beyond RAM", 2 * GIB, 4 * GIB, 0, 2560 * MIB, 1536 * MIB, CLOSE},
    {"a limit and no RAM figure", 0, 640 * MIB, 0, 32 * MIB, 608 * MIB,
     TWENTIETH},
    {"the largest numbers", INT64_MAX, INT64_MAX - 1, 0, INT64_MAX / 10 - 1,
     INT64_MAX - INT64_MAX / 10, CLOSE},
};

START_TEST(budget_is_what_is_left)
{
    struct gov_device device = {0};

    if (budgets[_i].ram != 0)
        gov__device_set(&device, GOV_FACT_DEVICE_RAM, budgets[_i].ram, "");
    if (budgets[_i].limit != 0)
        gov__device_set(&device, GOV_FACT_DEVICE_LIMIT, budgets[_i].limit, "");
    if (budgets[_i].others != 0)
        gov__device_set(&device, GOV_FACT_DEVICE_OTHERS, budgets[_i].others,
                        "");
    gov__device_budget(&device);
    ck_assert_msg(
        number(&device, GOV_FACT_DEVICE_RESERVE) == budgets[_i].reserve &&
            number(&device, GOV_FACT_BUDGET_RAM) == budgets[_i].budget,
        "%s: reserve %" PRIu64 ", budget %" PRIu64, budgets[_i].name,
        number(&device, GOV_FACT_DEVICE_RESERVE),
        number(&device, GOV_FACT_BUDGET_RAM));
    ck_assert_str_eq(fact(&device, GOV_FACT_DEVICE_RESERVE)->source,
                     budgets[_i].source);
    ck_assert_str_eq(fact(&device, GOV_FACT_BUDGET_RAM)->source,
                     budgets[_i].limit != 0
                         ? "limit less reserve less what others have of it"
                         : "RAM less reserve");
}
END_TEST

/* A limit of nothing is known, and is not "no limit". */
START_TEST(budget_of_a_zero_limit)
{
    struct gov_device device = {0};

    gov__device_set(&device, GOV_FACT_DEVICE_RAM, GIB, "");
    gov__device_set(&device, GOV_FACT_DEVICE_LIMIT, 0, "");
    gov__device_budget(&device);
    ck_assert_uint_eq(number(&device, GOV_FACT_BUDGET_RAM), 0);
    ck_assert_uint_eq(number(&device, GOV_FACT_DEVICE_RESERVE), 0);
}
END_TEST

START_TEST(budget_of_nothing_known)
{
    struct gov_device device = {0};

    gov__device_unknown(&device, GOV_FACT_DEVICE_RAM, "");
    gov__device_budget(&device);
    check_unknown(&device, GOV_FACT_DEVICE_RESERVE,
                  "neither RAM nor a limit is known");
    check_unknown(&device, GOV_FACT_BUDGET_RAM,
                  "neither RAM nor a limit is known");
    /* Once it is, it takes the same places. */
    gov__device_set(&device, GOV_FACT_DEVICE_RAM, 4 * GIB, "");
    gov__device_budget(&device);
    ck_assert_uint_eq(device.fact_count, 3);
    ck_assert_uint_eq(number(&device, GOV_FACT_BUDGET_RAM), 3584 * MIB);
}
END_TEST

static const struct {
    uint64_t used, file, less, own, others;
} charges[] = {
    {400, 100, 0, 200, 100},
    {400, 100, 60, 200, 160},
    {400, 100, 0, 300, 0},
    {400, 100, 0, 9999, 0},
    {400, 500, 0, 0, 0},
    {UINT64_MAX, 0, 1, 0, UINT64_MAX},
    {UINT64_MAX, 0, UINT64_MAX, UINT64_MAX, 0},
};

START_TEST(others_are_what_is_charged)
{
    struct gov__limit limit = {.used_bytes = charges[_i].used,
                               .used_file_bytes = charges[_i].file,
                               .short_bytes = charges[_i].less};

    ck_assert_uint_eq(gov__device_others(&limit, charges[_i].own),
                      charges[_i].others);
}
END_TEST

/* ---- a made-up machine --------------------------------------------------------- */

static struct gov_device probe(void)
{
    struct gov_device device;
    gov_error err = {0};

    memset(&device, 0x5a, sizeof(device));
    ck_assert_msg(gov__device_probe(&sim.table, &device, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(device.size, sizeof(device));
    return device;
}

/* Everything a platform can tell. */
static void tell_all(void)
{
    sim_init(&sim);
    sim.machine.swap_total_bytes = GIB;
    sim_tell(&sim, GOV_FACT_DEVICE_ZRAM, 2 * GIB, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_ZSWAP, 0, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_OVERCOMMIT, 0, "heuristic");
    sim_tell(&sim, GOV_FACT_DEVICE_MEMLOCK, 8 * MIB, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_PAGE_SIZE, 16384, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_HUGE_PAGE, 2 * MIB, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_HUGE_PAGES, 0, "madvise");
    sim_tell(&sim, GOV_FACT_DEVICE_CPU, 0, "Made-up");
    sim_tell(&sim, GOV_FACT_DEVICE_CORES, 12, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_PERFORMANCE_CORES, 4, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_EFFICIENCY_CORES, 8, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_SIMD, 0, "sse4.2 avx2");
    sim_tell(&sim, GOV_FACT_DEVICE_ARCH, 0, "x86_64");
    sim_tell(&sim, GOV_FACT_DEVICE_OS, 0, "linux");
    sim_tell(&sim, GOV_FACT_DEVICE_SYSTEM, 0, "Linux 6.1.0");
    sim_tell(&sim, GOV_FACT_DEVICE_PSI, 1, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_USERFAULTFD, 0, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_CACHESTAT, 1, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_IO_URING, 1, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_WIRED_LIMIT, GIB, NULL);
}

#define SIM "the simulator"

START_TEST(probe_tells_what_there_is)
{
    struct gov_device device;

    tell_all();
    device = probe();
    check_number(&device, GOV_FACT_DEVICE_RAM, 16 * GIB,
                 "the system's memory totals");
    check_unknown(&device, GOV_FACT_DEVICE_LIMIT, "no limit");
    check_number(&device, GOV_FACT_DEVICE_RESERVE, 16 * GIB / 10, TENTH);
    check_unknown(&device, GOV_FACT_DEVICE_OTHERS, "no limit");
    check_number(&device, GOV_FACT_BUDGET_RAM, 16 * GIB - 16 * GIB / 10,
                 "RAM less reserve");
    check_number(&device, GOV_FACT_DEVICE_SWAP, GIB,
                 "the system's memory totals");
    check_number(&device, GOV_FACT_DEVICE_ZSWAP, 0, SIM);
    check_number(&device, GOV_FACT_DEVICE_PAGE_SIZE, 16384, SIM);
    check_number(&device, GOV_FACT_DEVICE_CORES, 12, SIM);
    check_number(&device, GOV_FACT_DEVICE_IO_URING, 1, SIM);
    check_text(&device, GOV_FACT_DEVICE_CPU, "Made-up", SIM);
    check_text(&device, GOV_FACT_DEVICE_OS, "linux", SIM);
    check_text(&device, GOV_FACT_DEVICE_PRESSURE_BACKEND, "PSI (system)",
               "memory stalls were read");
    ck_assert_int_eq(device.measured_at, 0);
    ck_assert_uint_eq(device.gpu_count, 0);
    /* Where the platform tells of memory, that is what counts. */
    sim_tell(&sim, GOV_FACT_DEVICE_RAM, 8 * GIB, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_SWAP, 0, NULL);
    device = probe();
    check_number(&device, GOV_FACT_DEVICE_RAM, 8 * GIB, SIM);
    check_number(&device, GOV_FACT_DEVICE_SWAP, 0, SIM);
    check_number(&device, GOV_FACT_DEVICE_RESERVE, 8 * GIB / 10, TENTH);
}
END_TEST

START_TEST(cores_alone)
{
    struct gov_device device;

    ck_assert_int_eq(gov_device_probe(&device, NULL), GOV_OK);
    ck_assert_uint_eq(gov_device_cores(),
                      gov_device_number(&device, GOV_FACT_DEVICE_CORES, 0));
}
END_TEST

/* What is printed and stored is in this order, each once. */
START_TEST(probe_has_an_order)
{
    static const gov_fact order[] = {
        GOV_FACT_DEVICE_RAM,
        GOV_FACT_DEVICE_LIMIT,
        GOV_FACT_DEVICE_RESERVE,
        GOV_FACT_DEVICE_OTHERS,
        GOV_FACT_BUDGET_RAM,
        GOV_FACT_DEVICE_SWAP,
        GOV_FACT_DEVICE_ZRAM,
        GOV_FACT_DEVICE_ZSWAP,
        GOV_FACT_DEVICE_OVERCOMMIT,
        GOV_FACT_DEVICE_MEMLOCK,
        GOV_FACT_DEVICE_PAGE_SIZE,
        GOV_FACT_DEVICE_HUGE_PAGE,
        GOV_FACT_DEVICE_HUGE_PAGES,
        GOV_FACT_DEVICE_CPU,
        GOV_FACT_DEVICE_CORES,
        GOV_FACT_DEVICE_PERFORMANCE_CORES,
        GOV_FACT_DEVICE_EFFICIENCY_CORES,
        GOV_FACT_DEVICE_SIMD,
        GOV_FACT_DEVICE_ARCH,
        GOV_FACT_DEVICE_OS,
        GOV_FACT_DEVICE_SYSTEM,
        GOV_FACT_DEVICE_PSI,
        GOV_FACT_DEVICE_USERFAULTFD,
        GOV_FACT_DEVICE_CACHESTAT,
        GOV_FACT_DEVICE_IO_URING,
        GOV_FACT_DEVICE_PRESSURE_BACKEND,
        GOV_FACT_DEVICE_WIRED_LIMIT,
        GOV_FACT_GPU_COUNT,
        GOV_FACT_DEVICE_TIER,
        GOV_FACT_DEVICE_REPACK_GAIN,
        GOV_FACT_DEVICE_HUGE_GAIN,
    };
    const size_t count = sizeof(order) / sizeof(order[0]);
    struct gov_device device;

    tell_all();
    sim.limit.limit_bytes = _i == 0 ? UINT64_MAX : GIB;
    strcpy(sim.limit.source, "a cgroup");
    device = probe();
    ck_assert_uint_eq(device.fact_count, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(gov_fact_info(device.facts[i].fact)->name,
                         gov_fact_info(order[i])->name);
        ck_assert_str_ne(device.facts[i].source, "");
    }
}
END_TEST

START_TEST(probe_counts_the_others)
{
    struct gov_device device;

    sim_init(&sim);
    sim.limit.limit_bytes = 640 * MIB;
    sim.limit.used_bytes = 400 * MIB;
    sim.limit.used_file_bytes = 100 * MIB;
    strcpy(sim.limit.source, "cgroup v2 /app, memory.max");
    sim.process.anon_bytes = 150 * MIB;
    sim.process.shmem_bytes = 50 * MIB;
    sim.process.swap_bytes = 70 * MIB; /* not charged */
    device = probe();
    check_number(&device, GOV_FACT_DEVICE_LIMIT, 640 * MIB,
                 "cgroup v2 /app, memory.max");
    check_number(&device, GOV_FACT_DEVICE_OTHERS, 100 * MIB,
                 "charged to the limit's group, less file pages and this "
                 "process");
    check_number(&device, GOV_FACT_BUDGET_RAM, (640 - 32 - 100) * MIB,
                 "limit less reserve less what others have of it");
    /* A neighbour has filled the group above. */
    sim.limit.short_bytes = 60 * MIB;
    device = probe();
    ck_assert_uint_eq(number(&device, GOV_FACT_BUDGET_RAM),
                      (640 - 32 - 160) * MIB);
    /* Alone in the group. */
    sim.limit.short_bytes = 0;
    sim.limit.used_bytes = 290 * MIB;
    device = probe();
    ck_assert_uint_eq(number(&device, GOV_FACT_DEVICE_OTHERS), 0);
    ck_assert_uint_eq(number(&device, GOV_FACT_BUDGET_RAM), 608 * MIB);
    /* What we use ourselves is not told: all of it counts. */
    sim.process_rc = ENOTSUP;
    device = probe();
    check_number(&device, GOV_FACT_DEVICE_OTHERS, 190 * MIB,
                 "charged to the limit's group, less file pages; what this "
                 "process has is not told");
}
END_TEST

/* What the system does not tell is left out or unknown, never taken for zero. */
START_TEST(probe_of_a_silent_system)
{
    struct gov_facts facts = {0};
    struct gov_device device;

    sim_init(&sim);
    sim.machine_rc = sim.limit_rc = sim.stall_rc = ENOTSUP;
    for (size_t i = 0; i < GOV_FACT_COUNT; i++)
        sim.tell_rc[i] = ENOTSUP;
    device = probe();
    check_unknown(&device, GOV_FACT_DEVICE_RAM, "the system does not say");
    check_unknown(&device, GOV_FACT_DEVICE_SWAP, "the system does not say");
    check_unknown(&device, GOV_FACT_DEVICE_LIMIT, "no limit");
    check_unknown(&device, GOV_FACT_BUDGET_RAM,
                  "neither RAM nor a limit is known");
    check_text(&device, GOV_FACT_DEVICE_PRESSURE_BACKEND, "none",
               "memory stalls cannot be read");
    ck_assert_ptr_null(gov_device_fact(&device, GOV_FACT_DEVICE_CPU));
    ck_assert_ptr_null(gov_device_fact(&device, GOV_FACT_DEVICE_CORES));
    ck_assert_ptr_null(gov_device_fact(&device, GOV_FACT_DEVICE_WIRED_LIMIT));
    /* POSIX has these. */
    check_number(&device, GOV_FACT_DEVICE_PAGE_SIZE, (uint64_t)getpagesize(),
                 "sysconf(_SC_PAGESIZE)");
    check_text(&device, GOV_FACT_DEVICE_OS, "other",
               "what the library was built for");
    ck_assert_str_eq(fact(&device, GOV_FACT_DEVICE_ARCH)->source, "uname()");
    ck_assert_str_ne(gov_device_text(&device, GOV_FACT_DEVICE_ARCH, ""), "");
    gov_device_facts(&device, &facts);
    ck_assert(!facts.value[GOV_FACT_DEVICE_RAM].known);
    ck_assert(!facts.value[GOV_FACT_BUDGET_RAM].known);
    sim.table.name = "darwin";
    device = probe();
    ck_assert_str_eq(gov_device_text(&device, GOV_FACT_DEVICE_OS, ""),
                     "darwin");
}
END_TEST

START_TEST(probe_knows_the_pressure_backend)
{
    struct gov_device device;

    sim_init(&sim);
    sim.stall.source = "own cgroup";
    device = probe();
    check_text(&device, GOV_FACT_DEVICE_PRESSURE_BACKEND, "PSI (own cgroup)",
               "memory stalls were read");
    sim.stall.have_memory = false;
    device = probe();
    check_text(&device, GOV_FACT_DEVICE_PRESSURE_BACKEND, "headroom only",
               "memory stalls cannot be read");
    sim.machine.total_bytes = 0;
    device = probe();
    check_unknown(&device, GOV_FACT_DEVICE_RAM, "the system does not say");
    check_text(&device, GOV_FACT_DEVICE_PRESSURE_BACKEND, "none",
               "memory stalls cannot be read");
}
END_TEST

/* A fact that a platform has and cannot tell is listed with why. */
START_TEST(probe_says_why_not)
{
    struct gov_device device;

    sim_init(&sim);
    sim.tell_rc[GOV_FACT_DEVICE_CPU] = ENODATA;
    strcpy(sim.told[GOV_FACT_DEVICE_CPU].source, "/proc/cpuinfo has no model");
    sim.tell_rc[GOV_FACT_DEVICE_RAM] = EMFILE;
    sim_tell(&sim, GOV_FACT_DEVICE_CORES, 0, NULL);
    sim_tell(&sim, GOV_FACT_DEVICE_SIMD, 0, "");
    device = probe();
    check_unknown(&device, GOV_FACT_DEVICE_CPU, "/proc/cpuinfo has no model");
    check_unknown(&device, GOV_FACT_DEVICE_RAM, "the system does not say");
    /* No processors, and an empty text, are no answers. */
    check_unknown(&device, GOV_FACT_DEVICE_CORES, SIM);
    check_unknown(&device, GOV_FACT_DEVICE_SIMD, SIM);
}
END_TEST

/* A limit that cannot be read must not pass for none. */
START_TEST(probe_without_descriptors)
{
    struct gov_device device;
    gov_error err = {0};

    sim_init(&sim);
    sim.limit_rc = EMFILE;
    memset(&device, 0x5a, sizeof(device));
    ck_assert_int_eq(gov__device_probe(&sim.table, &device, &err), GOV_E_IO);
    ck_assert_str_eq(err.message, "cannot read the memory limit of this "
                                  "process: Too many open files");
    for (size_t i = 0; i < sizeof(device); i++)
        ck_assert_int_eq(((const char *)&device)[i], 0);
    ck_assert_int_eq(gov__device_probe(&sim.table, NULL, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_device_probe(NULL, NULL), GOV_E_INVALID);
}
END_TEST

/* Each question fails in turn, and for good: only the limit's is fatal, and
 * nobody takes an error for an answer. */
START_TEST(probe_survives_failing_questions)
{
    bool forever = _i != 0;
    uint64_t calls;

    tell_all();
    sim.limit.limit_bytes = GIB;
    strcpy(sim.limit.source, "a cgroup");
    sim_fail(&sim, SIM_NEVER, false);
    (void)probe();
    calls = sim.calls;
    ck_assert_uint_gt(calls, 20);
    for (uint64_t n = 0; n < calls; n++) {
        struct gov_device device;
        gov_error err = {0};
        gov_status status;
        uint32_t unknown = 0;

        sim_fail(&sim, n, forever);
        status = gov__device_probe(&sim.table, &device, &err);
        if (status != GOV_OK) {
            ck_assert_int_eq(status, GOV_E_IO);
            ck_assert_str_ne(err.message, "");
            ck_assert_uint_eq(device.size, 0);
            continue;
        }
        ck_assert_str_ne(sim.failed, "limit");
        for (uint32_t i = 0; i < device.fact_count; i++) {
            unknown += !device.facts[i].known;
            ck_assert_str_ne(device.facts[i].source, "");
        }
        /* No system tells GPUs and the two gains. */
        if (!forever && strcmp(sim.failed, "tell") == 0)
            ck_assert_uint_le(unknown, 4);
    }
}
END_TEST

START_TEST(probe_makes_texts_printable)
{
    struct gov_device device;

    sim_init(&sim);
    sim_tell(&sim, GOV_FACT_DEVICE_CPU, 0, "a\x1b[2Jb\xc3\xa9\n\x7f~");
    strcpy(sim.told[GOV_FACT_DEVICE_CPU].source, "/proc\x9b/x");
    sim.limit.limit_bytes = GIB;
    memset(sim.limit.source, '\t', sizeof(sim.limit.source) - 1);
    /* Not even terminated. */
    memset(sim.told[GOV_FACT_DEVICE_SYSTEM].text, 'x', 96);
    memset(sim.told[GOV_FACT_DEVICE_SYSTEM].source, 'y', 160);
    device = probe();
    check_text(&device, GOV_FACT_DEVICE_CPU, "a?[2Jb????~", "/proc?/x");
    ck_assert_uint_eq(strspn(fact(&device, GOV_FACT_DEVICE_LIMIT)->source, "?"),
                      159);
    ck_assert_uint_eq(
        strspn(gov_device_text(&device, GOV_FACT_DEVICE_SYSTEM, ""), "x"), 95);
    ck_assert_uint_eq(
        strspn(fact(&device, GOV_FACT_DEVICE_SYSTEM)->source, "y"), 159);
    /* "Without a limit" is more than any number a fact can be. */
    sim_tell(&sim, GOV_FACT_DEVICE_MEMLOCK, UINT64_MAX, NULL);
    device = probe();
    ck_assert_uint_eq(number(&device, GOV_FACT_DEVICE_MEMLOCK), INT64_MAX);
}
END_TEST

/* ---- reading facts --------------------------------------------------------------- */

START_TEST(facts_are_read_by_type)
{
    struct gov_device device;

    tell_all();
    device = probe();
    ck_assert_uint_eq(gov_device_number(&device, GOV_FACT_DEVICE_CPU, 7), 7);
    ck_assert_str_eq(gov_device_text(&device, GOV_FACT_DEVICE_CORES, "no"),
                     "no");
    ck_assert_str_eq(gov_device_text(&device, GOV_FACT_DEVICE_CPU, "no"),
                     "Made-up");
    ck_assert_ptr_null(gov_device_fact(&device, GOV_FACT_MODEL_FILE));
    ck_assert_ptr_null(gov_device_fact(&device, GOV_FACT_DEVICE_READ_RATE));
    ck_assert_uint_eq(gov_device_number(&device, GOV_FACT_MODEL_FILE, 7), 7);
    /* A count beyond the list is not believed. */
    device.fact_count = UINT32_MAX;
    ck_assert_ptr_null(gov_device_fact(&device, GOV_FACT_MODEL_FILE));
}
END_TEST

START_TEST(the_list_cannot_overflow)
{
    struct gov_device device = {0};

    for (int i = 0; i < 2 * GOV_DEVICE_FACTS; i++)
        gov__device_set(&device, (gov_fact)i, 1, "");
    ck_assert_uint_eq(device.fact_count, GOV_DEVICE_FACTS < GOV_FACT_COUNT * 2
                                             ? GOV_DEVICE_FACTS
                                             : GOV_FACT_COUNT);
    gov__device_unknown(&device, (gov_fact)999, "");
    gov__device_set_text(&device, (gov_fact)999, "", "");
    ck_assert_uint_eq(device.gpu_count, 0); /* what lies behind the list */
}
END_TEST

START_TEST(figures_are_declared)
{
    struct gov_device device = {0};

    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++) {
        const struct gov_figure_info *info = gov_figure_info((gov_figure)i);

        ck_assert_ptr_nonnull(strchr(info->name, '.'));
        ck_assert_str_ne(info->sentence, "");
        for (unsigned j = 0; j < i; j++)
            ck_assert_str_ne(info->name, gov_figure_info((gov_figure)j)->name);
    }
    ck_assert(gov_figure_info(GOV_FIGURE_READ_DIRECT)->full);
    ck_assert(!gov_figure_info(GOV_FIGURE_GIVE_BACK)->full);
    ck_assert_int_eq(gov_figure_info(GOV_FIGURE_GIVE_BACK)->unit, GOV_UNIT_NS);
    ck_assert_ptr_null(gov_figure_info(GOV_FIGURE_COUNT));
    ck_assert_ptr_null(gov_figure_info((gov_figure)-1));
    device.figures[GOV_FIGURE_MINOR_FAULT].median = 5;
    ck_assert_uint_eq(gov_device_measured(&device, GOV_FIGURE_MINOR_FAULT, 9),
                      9);
    device.figures[GOV_FIGURE_MINOR_FAULT].known = true;
    ck_assert_uint_eq(gov_device_measured(&device, GOV_FIGURE_MINOR_FAULT, 9),
                      5);
    ck_assert_uint_eq(gov_device_measured(&device, GOV_FIGURE_COUNT, 9), 9);
    ck_assert_uint_eq(gov_device_measured(&device, (gov_figure)-1, 9), 9);
}
END_TEST

START_TEST(facts_are_set)
{
    struct gov_facts facts = {0};
    struct gov_device device;

    tell_all();
    device = probe();
    gov_device_facts(&device, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_RAM, 1), 16 * GIB);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_SWAP, 1), GIB);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_CORES, 1), 12);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_BUDGET_RAM, 1),
                      number(&device, GOV_FACT_BUDGET_RAM));
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_ZSWAP, 1), 0);
    /* Texts are borrowed from the device. */
    ck_assert_ptr_eq(facts.value[GOV_FACT_DEVICE_OS].text,
                     fact(&device, GOV_FACT_DEVICE_OS)->text);
    ck_assert_str_eq(facts.value[GOV_FACT_DEVICE_SIMD].text, "sse4.2 avx2");
    /* No limit and no measurement: unknown. */
    ck_assert(!facts.value[GOV_FACT_DEVICE_LIMIT].known);
    ck_assert(!facts.value[GOV_FACT_DEVICE_OTHERS].known);
    ck_assert(!facts.value[GOV_FACT_DEVICE_READ_RATE].known);
    ck_assert(!facts.value[GOV_FACT_DEVICE_READ_PATH].known);
    ck_assert(!facts.value[GOV_FACT_GPU_COUNT].known);
    ck_assert(!facts.value[GOV_FACT_BUDGET_GPU].known);
}
END_TEST

static void measured(struct gov_device *device, gov_figure figure,
                     uint64_t median)
{
    device->figures[figure].known = true;
    device->figures[figure].median = median;
    device->measured_at = 1;
}

START_TEST(facts_follow_from_figures)
{
    struct gov_device device = {0};
    struct gov_facts facts = {0};

    measured(&device, GOV_FIGURE_READ_READAHEAD, 100);
    measured(&device, GOV_FIGURE_MEMORY_READ, 7000);
    gov_device_facts(&device, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_READ_RATE, 0), 100);
    ck_assert_str_eq(facts.value[GOV_FACT_DEVICE_READ_PATH].text, "readahead");
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_MEMORY_RATE, 0),
                      7000);
    ck_assert(!facts.value[GOV_FACT_DEVICE_RANDOM_READ_RATE].known);

    measured(&device, GOV_FIGURE_READ_POPULATE, 120);
    measured(&device, GOV_FIGURE_READ_DIRECT, 500);
    measured(&device, GOV_FIGURE_READ_IO_URING, 499);
    measured(&device, GOV_FIGURE_READ_RANDOM, 30);
    measured(&device, GOV_FIGURE_MEMORY_READ_ALL, 9000);
    gov_device_facts(&device, &facts);
    /* The governor reads through the page cache. */
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_READ_RATE, 0), 120);
    ck_assert_str_eq(facts.value[GOV_FACT_DEVICE_READ_PATH].text, "direct");
    ck_assert_uint_eq(
        gov_facts_get(&facts, GOV_FACT_DEVICE_RANDOM_READ_RATE, 0), 30);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_MEMORY_RATE, 0),
                      9000);
    measured(&device, GOV_FIGURE_READ_PARALLEL, 501);
    gov_device_facts(&device, &facts);
    ck_assert_str_eq(facts.value[GOV_FACT_DEVICE_READ_PATH].text, "parallel");
    measured(&device, GOV_FIGURE_READ_POPULATE, 502);
    gov_device_facts(&device, &facts);
    ck_assert_str_eq(facts.value[GOV_FACT_DEVICE_READ_PATH].text, "populate");
    ck_assert(!facts.value[GOV_FACT_DEVICE_DIRECT_RATE].known);
    measured(&device, GOV_FIGURE_READ_HUGE, 503);
    gov_device_facts(&device, &facts);
    ck_assert_str_eq(facts.value[GOV_FACT_DEVICE_READ_PATH].text, "huge");
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_DIRECT_RATE, 0),
                      503);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_READ_RATE, 0), 502);
    measured(&device, GOV_FIGURE_READ_IO_URING, 504);
    gov_device_facts(&device, &facts);
    ck_assert_str_eq(facts.value[GOV_FACT_DEVICE_READ_PATH].text, "io_uring");
}
END_TEST

#define UNKNOWN UINT64_MAX

/* name, working set, shares RAM, software; the end is a name of NULL */
struct gpu_row {
    const char *name;
    uint64_t working_set;
    bool shares_ram, software;
};

static const struct {
    struct gpu_row gpus[4];
    uint64_t count, working_set, shares_ram, budget;
} gpu_sets[] = {
    {{{NULL, 0, false, false}}, 0, UNKNOWN, UNKNOWN, 0},
    {{{"lavapipe", 9 * GIB, true, true}}, 0, UNKNOWN, UNKNOWN, 0},
    {{{"integrated", 9 * GIB, true, false}}, 1, 9 * GIB, 1, 0},
    {{{"a", 8 * GIB, false, false}}, 1, 8 * GIB, 0, 8 * GIB},
    /* Two do not make a larger one. */
    {{{"a", 8 * GIB, false, false}, {"b", 24 * GIB, false, false}},
     2,
     24 * GIB,
     0,
     24 * GIB},
    {{{"integrated", 28 * GIB, true, false}, {"b", 8 * GIB, false, false}},
     2,
     28 * GIB,
     1,
     8 * GIB},
    /* Not told is not zero. */
    {{{"a", 0, false, false}}, 1, UNKNOWN, UNKNOWN, UNKNOWN},
    {{{"a", 0, false, false}, {"i", GIB, true, false}}, 2, GIB, 1, UNKNOWN},
    {{{"a", 0, false, false}, {"b", GIB, false, false}}, 2, GIB, 0, GIB},
    {{{"integrated", 0, true, false}}, 1, UNKNOWN, UNKNOWN, 0},
};

START_TEST(facts_follow_from_gpus)
{
    struct gov_device device = {0};
    struct gov_facts facts = {0};

    for (const struct gpu_row *row = gpu_sets[_i].gpus; row->name; row++) {
        struct gov_gpu *gpu = &device.gpus[device.gpu_count++];

        strcpy(gpu->name, row->name);
        gpu->working_set_bytes = row->working_set;
        gpu->shares_ram = row->shares_ram;
        gpu->software = row->software;
    }
    gov_device_facts(&device, &facts);
    ck_assert(!facts.value[GOV_FACT_GPU_COUNT].known);
    device.measured_at = 1;
    gov__device_unknown(&device, GOV_FACT_GPU_COUNT, "nobody was asked");
    gov_device_facts(&device, &facts);
    ck_assert(!facts.value[GOV_FACT_GPU_COUNT].known);
    ck_assert(!facts.value[GOV_FACT_BUDGET_GPU].known);
    gov__device_set(&device, GOV_FACT_GPU_COUNT, gpu_sets[_i].count, "");
    gov_device_facts(&device, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_GPU_COUNT, UNKNOWN),
                      gpu_sets[_i].count);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_GPU_WORKING_SET, UNKNOWN),
                      gpu_sets[_i].working_set);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_GPU_SHARES_RAM, UNKNOWN),
                      gpu_sets[_i].shares_ram);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_BUDGET_GPU, UNKNOWN),
                      gpu_sets[_i].budget);
}
END_TEST

/* ---- the stored profile ------------------------------------------------------- */

static void check_current(struct gov_device *device, const char *want)
{
    char note[256] = "?";

    memset(device, 0x5a, sizeof(*device));
    ck_assert_int_eq(
        gov__device_current(&sim.table, device, note, sizeof(note), NULL),
        GOV_OK);
    ck_assert_str_eq(note, want);
}

START_TEST(current_takes_measurements)
{
    struct gov_device device, stored;
    char want[512];

    tell_all();
    setenv("XDG_CONFIG_HOME", fresh_directory(), 1);
    snprintf(want, sizeof(want),
             "there is no profile %s/governor/device.json; run gov profile",
             getenv("XDG_CONFIG_HOME"));
    check_current(&device, want);
    ck_assert_int_eq(device.measured_at, 0);

    stored = device;
    ck_assert_int_eq(gov_device_save(&stored, NULL, NULL), GOV_OK);
    check_current(&device,
                  "the stored profile has no figures; run gov profile again");

    stored.figures[GOV_FIGURE_READ_POPULATE] = (struct gov_device_figure){
        true, true, 3, 123456789, 100000000, 200000000, "a note"};
    stored.gpu_count = 1;
    strcpy(stored.gpus[0].name, "Made-up GPU");
    gov__device_set(&stored, GOV_FACT_GPU_COUNT, 1, "NVML: broken");
    stored.gpus[0].working_set_bytes = GIB;
    gov__device_set(&stored, GOV_FACT_DEVICE_REPACK_GAIN, 1255, "an engine");
    gov__device_unknown(&stored, GOV_FACT_DEVICE_HUGE_GAIN, "no huge pages");
    stored.measured_at = 99;
    stored.measured_full = true;
    strcpy(stored.measured_on, "/models");
    ck_assert_int_eq(gov_device_save(&stored, NULL, NULL), GOV_OK);
    /* What changes by the minute is as it is now. */
    sim.machine.swap_total_bytes = 2 * GIB;
    check_current(&device, "");
    ck_assert_int_eq(
        memcmp(device.figures, stored.figures, sizeof(device.figures)), 0);
    ck_assert_int_eq(memcmp(device.gpus, stored.gpus, sizeof(device.gpus)), 0);
    ck_assert_uint_eq(device.gpu_count, 1);
    check_number(&device, GOV_FACT_GPU_COUNT, 1, "NVML: broken");
    check_number(&device, GOV_FACT_DEVICE_REPACK_GAIN, 1255, "an engine");
    check_unknown(&device, GOV_FACT_DEVICE_HUGE_GAIN, "no huge pages");
    ck_assert_int_eq(device.measured_at, 99);
    ck_assert(device.measured_full);
    ck_assert_str_eq(device.measured_on, "/models");
    ck_assert_uint_eq(number(&device, GOV_FACT_DEVICE_SWAP), 2 * GIB);

    sim.limit.limit_bytes = 8 * GIB;
    check_current(&device, "memory limit was none, now 8.00 GiB; run gov "
                           "profile again");
    ck_assert(!device.figures[GOV_FIGURE_READ_POPULATE].known);
    check_unknown(&device, GOV_FACT_DEVICE_REPACK_GAIN,
                  "the engine is asked when it is measured");
    ck_assert_uint_eq(device.gpu_count, 0);
    ck_assert_int_eq(device.measured_at, 0);
    ck_assert_int_eq(gov__device_current(&sim.table, &device, NULL, 0, NULL),
                     GOV_OK);
    sim.limit_rc = EIO;
    ck_assert_int_eq(gov__device_current(&sim.table, &device, NULL, 0, NULL),
                     GOV_E_IO);
}
END_TEST

/* ---- what an engine gains --------------------------------------------------- */

START_TEST(takes_gains)
{
    static const struct {
        uint64_t repack, huge; /* 0: not set */
        uint64_t kept_repack, kept_huge;
    } rows[] = {{1255, 985, 1255, 985},
                {1, 1000000, 1, 1000000},
                {0, 1042, 0, 1042},
                {1000001, UINT64_MAX, 0, 0},
                {0, 0, 0, 0}};
    static const gov_fact facts[] = {GOV_FACT_DEVICE_REPACK_GAIN,
                                     GOV_FACT_DEVICE_HUGE_GAIN};
    struct gov_device device;
    struct gov_facts gains = {0};
    uint32_t count;

    tell_all();
    device = probe();
    count = device.fact_count;
    if (rows[_i].repack != 0)
        gov_facts_set(&gains, facts[0], rows[_i].repack);
    if (rows[_i].huge != 0)
        gov_facts_set(&gains, facts[1], rows[_i].huge);
    /* Not the engine's to say. */
    gov_facts_set(&gains, GOV_FACT_DEVICE_RAM, 1);
    gov_device_set_gains(&device, &gains, "an engine", "it\tdid not say");
    for (size_t i = 0; i < 2; i++) {
        uint64_t kept = i == 0 ? rows[_i].kept_repack : rows[_i].kept_huge;

        if (kept != 0)
            check_number(&device, facts[i], kept, "an engine");
        else
            check_unknown(&device, facts[i], "it?did not say");
    }
    ck_assert_uint_gt(number(&device, GOV_FACT_DEVICE_RAM), 1);
    gov_device_set_gains(&device, NULL, "an engine", "nobody was asked");
    check_unknown(&device, facts[0], "nobody was asked");
    check_unknown(&device, facts[1], "nobody was asked");
    ck_assert_uint_eq(device.fact_count, count);
}
END_TEST

/* However many changes there are, what to do about them has room. */
START_TEST(current_cuts_changes_short)
{
    struct gov_device device;
    char note[64] = "?", long_text[96];

    tell_all();
    setenv("XDG_CONFIG_HOME", fresh_directory(), 1);
    device = probe();
    device.measured_at = 1;
    ck_assert_int_eq(gov_device_save(&device, NULL, NULL), GOV_OK);
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    sim_tell(&sim, GOV_FACT_DEVICE_CPU, 0, long_text);
    sim_tell(&sim, GOV_FACT_DEVICE_SYSTEM, 0, long_text);
    for (size_t bytes = 0; bytes <= sizeof(note); bytes++) {
        memset(note, '?', sizeof(note));
        ck_assert_int_eq(
            gov__device_current(&sim.table, &device, note, bytes, NULL),
            GOV_OK);
        ck_assert_int_eq(device.measured_at, 0);
        if (bytes > 0)
            ck_assert_uint_eq(strlen(note), bytes - 1);
        if (bytes < sizeof(note))
            ck_assert_int_eq(note[bytes], '?');
    }
    ck_assert_str_eq(note + strlen(note) - 23, "; run gov profile again");
}
END_TEST

/* ---- the tier --------------------------------------------------------------------- */

START_TEST(a_tier_is_listed)
{
    struct gov_device device;
    struct gov_facts facts = {0};
    const struct gov_device_fact *tier;

    tell_all();
    device = probe();
    tier = fact(&device, GOV_FACT_DEVICE_TIER);
    ck_assert_str_ne(tier->source, "");
    gov_device_facts(&device, &facts);
    ck_assert(facts.value[GOV_FACT_DEVICE_TIER].known == tier->known);
    if (tier->known) {
        ck_assert_ptr_eq(facts.value[GOV_FACT_DEVICE_TIER].text, tier->text);
        ck_assert_str_eq(tier->source, "tiers.yaml");
    }
    /* It does not hang on what it was before. */
    gov__device_set_text(&device, GOV_FACT_DEVICE_TIER, "mainframe", "");
    gov__device_tier(&device);
    ck_assert_str_ne(gov_device_text(&device, GOV_FACT_DEVICE_TIER, ""),
                     "mainframe");
}
END_TEST

/* ---- for real ----------------------------------------------------------------------- */

START_TEST(probe_the_real_machine)
{
    struct gov_device device, back;
    int before = faults_open_descriptors();
    static char text[65536];
    gov_error err = {0};

    ck_assert_msg(gov_device_probe(&device, &err) == GOV_OK, "%s", err.message);
    ck_assert_int_eq(faults_open_descriptors(), before);
    ck_assert_uint_gt(gov_device_number(&device, GOV_FACT_DEVICE_RAM, 0), MIB);
    for (uint32_t i = 0; i < device.fact_count; i++)
        ck_assert_msg(device.facts[i].source[0] != '\0', "%s has no source",
                      gov_fact_info(device.facts[i].fact)->name);
    /* What is told can be stored and believed. */
    ck_assert_int_eq(gov_device_json(&device, text, sizeof(text), NULL),
                     GOV_OK);
    memset(&back, 0, sizeof(back));
    ck_assert_msg(gov__profile_parse(&back, text, strlen(text), "it", &err) ==
                      GOV_OK,
                  "%s", err.message);
    ck_assert_int_eq(memcmp(&device, &back, sizeof(device)), 0);
    ck_assert_uint_eq(gov_device_changes(&device, &back, text, sizeof(text)),
                      0);
}
END_TEST

/* What a fact is must not hang on a call that failed: it is as it was, or not
 * known, and nothing stays open. Those that change by themselves, and those that
 * were tried and failed, are left out. */
static bool may_change(gov_fact which)
{
    static const gov_fact facts[] = {
        GOV_FACT_DEVICE_OTHERS,
        GOV_FACT_BUDGET_RAM,
        GOV_FACT_DEVICE_SWAP,
        GOV_FACT_DEVICE_TIER,
        GOV_FACT_DEVICE_PRESSURE_BACKEND,
        GOV_FACT_DEVICE_RESERVE,
        GOV_FACT_DEVICE_ZRAM,
        GOV_FACT_DEVICE_MEMLOCK,
    };

    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
        if (facts[i] == which)
            return true;
    return false;
}

START_TEST(probe_survives_failing_calls)
{
    struct gov_device before, device;
    int descriptors = faults_open_descriptors();
    bool forever = _i != 0;
    uint64_t calls;

    faults_reset();
    ck_assert_int_eq(gov_device_probe(&before, NULL), GOV_OK);
    calls = faults_count();
    for (uint64_t n = 0; n < calls; n++) {
        gov_error err = {0};
        gov_status status;

        faults_arm(n, forever);
        status = gov_device_probe(&device, &err);
        faults_disarm();
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
        if (status != GOV_OK) {
            ck_assert_int_eq(status, GOV_E_IO);
            ck_assert_str_ne(err.message, "");
            continue;
        }
        for (uint32_t i = 0; i < device.fact_count; i++) {
            const struct gov_device_fact *at = &device.facts[i];
            const struct gov_device_fact *was =
                gov_device_fact(&before, at->fact);

            ck_assert_str_ne(at->source, "");
            if (!at->known || may_change(at->fact))
                continue;
            ck_assert_msg(
                was != NULL && was->known && was->number == at->number &&
                    strcmp(was->text, at->text) == 0,
                "call %d (%s) makes %s another: %s", (int)n, faults_last(),
                gov_fact_info(at->fact)->name, at->source);
        }
    }
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("device");
    TCase *tc = tcase_create("budget");

    suite_add_tcase(s, tc);
    ADD_ROWS(tc, budget_is_what_is_left, budgets);
    tcase_add_test(tc, budget_of_a_zero_limit);
    tcase_add_test(tc, budget_of_nothing_known);
    ADD_ROWS(tc, others_are_what_is_charged, charges);
    tc = tcase_create("probe");
    suite_add_tcase(s, tc);
    tcase_add_test(tc, probe_tells_what_there_is);
    tcase_add_loop_test(tc, probe_has_an_order, 0, 2);
    tcase_add_test(tc, cores_alone);
    tcase_add_test(tc, probe_counts_the_others);
    tcase_add_test(tc, probe_of_a_silent_system);
    tcase_add_test(tc, probe_knows_the_pressure_backend);
    tcase_add_test(tc, probe_says_why_not);
    tcase_add_test(tc, probe_without_descriptors);
    tcase_add_loop_test(tc, probe_survives_failing_questions, 0, 2);
    tcase_add_test(tc, probe_makes_texts_printable);
    tcase_add_test(tc, probe_the_real_machine);
    tcase_add_loop_test(tc, probe_survives_failing_calls, 0, 2);
    tc = tcase_create("facts");
    suite_add_tcase(s, tc);
    tcase_add_test(tc, facts_are_read_by_type);
    tcase_add_test(tc, the_list_cannot_overflow);
    tcase_add_test(tc, figures_are_declared);
    tcase_add_test(tc, facts_are_set);
    tcase_add_test(tc, facts_follow_from_figures);
    ADD_ROWS(tc, facts_follow_from_gpus, gpu_sets);
    tcase_add_test(tc, a_tier_is_listed);
    tc = tcase_create("current");
    suite_add_tcase(s, tc);
    tcase_add_test(tc, current_takes_measurements);
    tcase_add_loop_test(tc, takes_gains, 0, 5);
    tcase_add_test(tc, current_cuts_changes_short);
    return s;
}
