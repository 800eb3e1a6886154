/* SPDX-License-Identifier: MIT */
/* What is probed, the budget that follows, and measuring: on a made-up machine,
 * with a clock that is set by hand, and once on the real one. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "governor/device/device_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define NONE UINT64_MAX

#define ADD_ROWS(tc, test, table)                                              \
    tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

/* ---- budget ---------------------------------------------------------------- */

static const struct {
    const char *name;
    uint64_t ram, limit, others; /* 0: no such */
    uint64_t reserve, budget;
} budgets[] = {
    {"nothing known", 0, 0, 0, 0, 0},
    {"64 GiB: a tenth", 64 * GIB, 0, 0, 64 * GIB / 10,
     64 * GIB - 64 * GIB / 10},
    {"8 GiB: still a tenth", 8 * GIB, 0, 0, 8 * GIB / 10,
     8 * GIB - 8 * GIB / 10},
    {"5 GiB: the floor and the tenth meet", 5 * GIB, 0, 0, 512 * MIB,
     4608 * MIB},
    {"4 GiB: the floor", 4 * GIB, 0, 0, 512 * MIB, 3584 * MIB},
    {"2 GiB: the floor is a quarter", 2 * GIB, 0, 0, 512 * MIB, 1536 * MIB},
    {"1 GiB: never more than a quarter", GIB, 0, 0, 256 * MIB, 768 * MIB},
    {"3 bytes", 3, 0, 0, 0, 3},
    {"others do not count without a limit", 4 * GIB, 0, GIB, 512 * MIB,
     3584 * MIB},
    {"a limit: a twentieth", 64 * GIB, 8 * GIB, 0, 8 * GIB / 20,
     8 * GIB - 8 * GIB / 20},
    {"640 MiB: the floor of a limit", 64 * GIB, 640 * MIB, 0, 32 * MIB,
     608 * MIB},
    {"256 MiB", 64 * GIB, 256 * MIB, 0, 32 * MIB, 224 * MIB},
    {"64 MiB: never more than a quarter", 64 * GIB, 64 * MIB, 0, 16 * MIB,
     48 * MIB},
    {"others share the limit", 64 * GIB, 640 * MIB, 100 * MIB, 32 * MIB,
     508 * MIB},
    {"others take all of it", 64 * GIB, 640 * MIB, 608 * MIB, 32 * MIB, 0},
    {"others take more than all", 64 * GIB, 640 * MIB, 10 * GIB, 32 * MIB, 0},
    {"a limit near RAM keeps the machine's reserve", 16 * GIB, 16 * GIB - MIB,
     0, 16 * GIB / 10 - MIB, 16 * GIB - 16 * GIB / 10},
    {"a limit equal to RAM, as lxcfs shows", 2 * GIB, 2 * GIB, 100 * MIB,
     512 * MIB, 1436 * MIB},
    {"a limit and no RAM figure", 0, 640 * MIB, 0, 32 * MIB, 608 * MIB},
    {"the largest numbers", UINT64_MAX, UINT64_MAX - 1, 0, UINT64_MAX / 10 - 1,
     UINT64_MAX - UINT64_MAX / 10},
};

START_TEST(budget_is_what_is_left)
{
    struct gov_device device = {0};

    device.ram_bytes = budgets[_i].ram;
    device.limit_bytes = budgets[_i].limit;
    device.others_bytes = budgets[_i].others;
    if (device.ram_bytes != 0)
        device.have |= GOV_DEVICE_HAVE_RAM;
    if (device.limit_bytes != 0)
        device.have |= GOV_DEVICE_HAVE_LIMIT;
    gov__device_budget(&device);
    ck_assert_msg(device.reserve_bytes == budgets[_i].reserve &&
                      device.budget_bytes == budgets[_i].budget,
                  "%s: reserve %" PRIu64 ", budget %" PRIu64, budgets[_i].name,
                  device.reserve_bytes, device.budget_bytes);
}
END_TEST

/* A limit of nothing is known, and is not "no limit". */
START_TEST(budget_of_a_zero_limit)
{
    struct gov_device device = {0};

    device.have = GOV_DEVICE_HAVE_RAM | GOV_DEVICE_HAVE_LIMIT;
    device.ram_bytes = GIB;
    gov__device_budget(&device);
    ck_assert_uint_eq(device.budget_bytes, 0);
    ck_assert_uint_eq(device.reserve_bytes, 0);
}
END_TEST

/* ---- a made-up machine --------------------------------------------------------- */

static struct {
    struct gov__machine machine;
    struct gov__limit limit;
    struct gov__process process;
    struct gov__stall stall;
    int machine_error, limit_error, process_error, stall_error, text_error;
    const char *cpu, *system;
    uint64_t clock_us, tick_us; /* each look at the clock moves it */
    int discard_error, drop_error;
    uint64_t resident;     /* of a file that should be cold */
    uint64_t read_tick_us; /* when not 0: the clock's, once reading begins */
    int maps;              /* that were not unmapped */
} fake;

static uint64_t fake_now(void *ctx)
{
    (void)ctx;
    fake.clock_us += fake.tick_us;
    return fake.clock_us;
}

static int fake_machine(void *ctx, struct gov__machine *out)
{
    (void)ctx;
    *out = fake.machine;
    return fake.machine_error;
}

static int fake_limit(void *ctx, struct gov__limit *out)
{
    (void)ctx;
    *out = fake.limit;
    return fake.limit_error;
}

static int fake_process(void *ctx, int pid, struct gov__process *out)
{
    (void)ctx;
    ck_assert_int_eq(pid, 0);
    *out = fake.process;
    return fake.process_error;
}

static int fake_stall(void *ctx, struct gov__stall *out)
{
    (void)ctx;
    *out = fake.stall;
    return fake.stall_error;
}

static int fake_cpu(void *ctx, char *model, size_t bytes, uint32_t *cores)
{
    (void)ctx;
    snprintf(model, bytes, "%s", fake.cpu);
    *cores = 4;
    return fake.text_error;
}

static int fake_system(void *ctx, char *text, size_t bytes)
{
    (void)ctx;
    snprintf(text, bytes, "%s", fake.system);
    return fake.text_error;
}

static int fake_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    const struct gov_platform *native = gov__platform_native();
    int error = native->map(native->ctx, bytes, tag, out);

    (void)ctx;
    fake.maps += error == 0;
    return error;
}

static int fake_unmap(void *ctx, void *base, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();

    (void)ctx;
    fake.maps--;
    return native->unmap(native->ctx, base, bytes);
}

static int fake_discard(void *ctx, void *base, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();
    int error = fake.discard_error;

    (void)ctx;
    if (error == 0)
        error = native->discard(native->ctx, base, bytes);
    if (error == ENOTSUP) { /* the generic platform */
        memset(base, 0, bytes);
        error = 0;
    }
    return error;
}

static int fake_drop_cached(void *ctx, int fd, uint64_t offset, uint64_t bytes)
{
    (void)ctx;
    (void)fd;
    (void)offset;
    (void)bytes;
    if (fake.read_tick_us != 0)
        fake.tick_us = fake.read_tick_us;
    return fake.drop_error;
}

static int fake_resident(void *ctx, void *base, size_t bytes, uint64_t *out)
{
    (void)ctx;
    (void)base;
    (void)bytes;
    *out = fake.resident;
    return 0;
}

/* A machine of 16 GiB without a limit. */
static struct gov_platform fake_platform(void)
{
    struct gov_platform platform = *gov__platform_native();

    memset(&fake, 0, sizeof(fake));
    fake.machine.total_bytes = 16 * GIB;
    fake.machine.available_bytes = 8 * GIB;
    fake.machine.swap_total_bytes = GIB;
    fake.limit.limit_bytes = NONE;
    fake.stall.have_memory = true;
    fake.stall.source = "system";
    fake.cpu = "Made-up";
    fake.system = "Linux 6.1.0";
    fake.tick_us = 10;
    platform.now_us = fake_now;
    platform.machine = fake_machine;
    platform.limit = fake_limit;
    platform.process = fake_process;
    platform.stall = fake_stall;
    platform.cpu = fake_cpu;
    platform.system = fake_system;
    platform.map = fake_map;
    platform.unmap = fake_unmap;
    platform.discard = fake_discard;
    platform.drop_cached = fake_drop_cached;
    platform.resident = fake_resident;
    return platform;
}

static struct gov_device probe(const struct gov_platform *platform)
{
    struct gov_device device;
    gov_error err = {0};

    memset(&device, 0x5a, sizeof(device));
    ck_assert_msg(gov__device_probe(platform, &device, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(device.size, sizeof(device));
    return device;
}

START_TEST(probe_tells_what_there_is)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device;

    platform.name = "linux";
    device = probe(&platform);
    ck_assert_uint_eq(device.have, GOV_DEVICE_HAVE_RAM | GOV_DEVICE_HAVE_SWAP |
                                       GOV_DEVICE_HAVE_CORES);
    ck_assert_uint_eq(device.ram_bytes, 16 * GIB);
    ck_assert_uint_eq(device.swap_bytes, GIB);
    ck_assert_uint_eq(device.budget_bytes, 16 * GIB - 16 * GIB / 10);
    ck_assert_uint_eq(device.limit_bytes, 0);
    ck_assert_uint_eq(device.page_bytes, (uint64_t)getpagesize());
    ck_assert_uint_eq(device.cores, 4);
    ck_assert_str_eq(device.cpu, "Made-up");
    ck_assert_str_eq(device.system, "Linux 6.1.0");
    ck_assert_str_eq(device.os, "linux");
    ck_assert_str_eq(device.pressure_backend, "PSI (system)");
    ck_assert_int_eq(device.measured_at, 0);
    platform.name = "generic";
    device = probe(&platform);
    ck_assert_str_eq(device.os, "other");
}
END_TEST

START_TEST(probe_counts_the_others)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device;

    fake.limit.limit_bytes = 640 * MIB;
    fake.limit.used_bytes = 400 * MIB;
    fake.limit.used_file_bytes = 100 * MIB;
    strcpy(fake.limit.source, "cgroup v2 /app, memory.max");
    fake.process.anon_bytes = 150 * MIB;
    fake.process.shmem_bytes = 50 * MIB;
    fake.process.swap_bytes = 70 * MIB; /* not charged */
    device = probe(&platform);
    ck_assert(device.have & GOV_DEVICE_HAVE_LIMIT);
    ck_assert_str_eq(device.limit_source, "cgroup v2 /app, memory.max");
    ck_assert_uint_eq(device.others_bytes, 100 * MIB);
    ck_assert_uint_eq(device.budget_bytes, (640 - 32 - 100) * MIB);
    /* A neighbour has filled the group above. */
    fake.limit.short_bytes = 60 * MIB;
    device = probe(&platform);
    ck_assert_uint_eq(device.budget_bytes, (640 - 32 - 160) * MIB);
    /* Alone in the group. */
    fake.limit.short_bytes = 0;
    fake.limit.used_bytes = 290 * MIB;
    device = probe(&platform);
    ck_assert_uint_eq(device.others_bytes, 0);
    ck_assert_uint_eq(device.budget_bytes, 608 * MIB);
    /* What we use ourselves is not told: all of it counts. */
    fake.process_error = ENOTSUP;
    device = probe(&platform);
    ck_assert_uint_eq(device.others_bytes, 190 * MIB);
}
END_TEST

/* What the system does not tell is left out, and never taken for zero. */
START_TEST(probe_of_a_silent_system)
{
    struct gov_platform platform = fake_platform();
    struct gov_facts facts = {0};
    struct gov_device device;

    fake.machine_error = fake.limit_error = fake.stall_error = fake.text_error =
        ENOTSUP;
    device = probe(&platform);
    ck_assert_uint_eq(device.have, 0);
    ck_assert_uint_eq(device.budget_bytes, 0);
    ck_assert_str_eq(device.cpu, "");
    ck_assert_str_eq(device.system, "");
    ck_assert_str_eq(device.pressure_backend, "none");
    gov_device_facts(&device, &facts);
    ck_assert(!facts.value[GOV_FACT_DEVICE_RAM].known);
    ck_assert(!facts.value[GOV_FACT_BUDGET_RAM].known);
    fake.machine_error = 0;
    device = probe(&platform);
    ck_assert_str_eq(device.pressure_backend, "headroom only");
    fake.stall_error = 0;
    fake.stall.source = "own cgroup";
    device = probe(&platform);
    ck_assert_str_eq(device.pressure_backend, "PSI (own cgroup)");
    fake.machine.total_bytes = 0;
    device = probe(&platform);
    ck_assert_uint_eq(device.have & GOV_DEVICE_HAVE_RAM, 0);
}
END_TEST

/* A limit that cannot be read must not pass for none. */
START_TEST(probe_without_descriptors)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device;
    gov_error err = {0};

    fake.limit_error = EMFILE;
    ck_assert_int_eq(gov__device_probe(&platform, &device, &err), GOV_E_IO);
    ck_assert_str_eq(err.message, "cannot read the memory limit of this "
                                  "process: Too many open files");
    ck_assert_uint_eq(device.size, 0);
    ck_assert_int_eq(gov__device_probe(&platform, NULL, &err), GOV_E_INVALID);
    ck_assert_int_eq(gov_device_probe(NULL, NULL), GOV_E_INVALID);
}
END_TEST

START_TEST(probe_makes_texts_printable)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device;
    char long_text[400];

    fake.cpu = "a\x1b[2Jb\xc3\xa9\n\x7f~";
    fake.limit.limit_bytes = GIB;
    memset(fake.limit.source, '\t', sizeof(fake.limit.source) - 1);
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    fake.system = long_text;
    device = probe(&platform);
    ck_assert_str_eq(device.cpu, "a?[2Jb????~");
    ck_assert_uint_eq(strspn(device.limit_source, "?"),
                      sizeof(device.limit_source) - 1);
    ck_assert_uint_eq(strlen(device.system), sizeof(device.system) - 1);
}
END_TEST

START_TEST(facts_are_set)
{
    struct gov_platform platform = fake_platform();
    struct gov_facts facts = {0};
    struct gov_device device;

    device = probe(&platform);
    gov_device_facts(&device, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_RAM, 1), 16 * GIB);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_SWAP, 1), GIB);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_CORES, 1), 4);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_BUDGET_RAM, 1),
                      device.budget_bytes);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_PAGE_SIZE, 1),
                      (uint64_t)getpagesize());
    ck_assert_ptr_eq(facts.value[GOV_FACT_DEVICE_OS].text, device.os);
    ck_assert_ptr_eq(facts.value[GOV_FACT_DEVICE_ARCH].text, device.arch);
    /* No limit and no measurement: unknown. */
    ck_assert(!facts.value[GOV_FACT_DEVICE_LIMIT].known);
    ck_assert(!facts.value[GOV_FACT_DEVICE_READ_RATE].known);
    device.have |= GOV_DEVICE_HAVE_READ_RATE | GOV_DEVICE_HAVE_LIMIT;
    device.read_rate = 5;
    gov_device_facts(&device, &facts);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_READ_RATE, 1), 5);
    ck_assert_uint_eq(gov_facts_get(&facts, GOV_FACT_DEVICE_LIMIT, 1), 0);
}
END_TEST

/* ---- the stored profile ------------------------------------------------------- */

START_TEST(current_takes_measurements)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device, stored;
    char note[256], want[512];

    setenv("XDG_CONFIG_HOME", fresh_directory(), 1);
    snprintf(want, sizeof(want),
             "there is no profile %s/governor/device.json; run gov profile",
             getenv("XDG_CONFIG_HOME"));
    strcpy(note, "?");
    ck_assert_int_eq(
        gov__device_current(&platform, &device, note, sizeof(note), NULL),
        GOV_OK);
    ck_assert_str_eq(note, want);
    ck_assert_uint_eq(device.have & GOV_DEVICE_HAVE_READ_RATE, 0);

    stored = device;
    stored.have |= GOV_DEVICE_HAVE_READ_RATE;
    stored.read_rate = 123456789;
    stored.read_rate_noisy = true;
    stored.measured_at = 99;
    ck_assert_int_eq(gov_device_save(&stored, NULL, NULL), GOV_OK);
    /* The figures that change by the minute are those of now. */
    fake.machine.swap_total_bytes = 0;
    ck_assert_int_eq(
        gov__device_current(&platform, &device, note, sizeof(note), NULL),
        GOV_OK);
    ck_assert_str_eq(note, "");
    ck_assert_uint_eq(device.read_rate, 123456789);
    ck_assert(device.read_rate_noisy);
    ck_assert_int_eq(device.measured_at, 99);
    ck_assert_uint_eq(device.swap_bytes, 0);

    fake.limit.limit_bytes = 8 * GIB;
    ck_assert_int_eq(
        gov__device_current(&platform, &device, note, sizeof(note), NULL),
        GOV_OK);
    ck_assert_str_eq(
        note, "memory limit was none, now 8.00 GiB; run gov profile again");
    ck_assert_uint_eq(device.have & GOV_DEVICE_HAVE_READ_RATE, 0);
    ck_assert_int_eq(device.measured_at, 0);
    ck_assert_int_eq(gov__device_current(&platform, &device, NULL, 0, NULL),
                     GOV_OK);
    fake.limit_error = EIO;
    ck_assert_int_eq(gov__device_current(&platform, &device, NULL, 0, NULL),
                     GOV_E_IO);
}
END_TEST

/* ---- measuring ---------------------------------------------------------------- */

static struct {
    int calls, stop_at;
    const char *directory;
    uint32_t last;
} watched;

static int entries(const char *directory)
{
    DIR *stream = opendir(directory);
    int n = 0;

    ck_assert_ptr_nonnull(stream);
    while (readdir(stream) != NULL)
        n++;
    closedir(stream);
    return n - 2;
}

/* At every step: progress grows, and the scratch file has no name. */
static bool watch(void *ctx, uint32_t permille, const char *what)
{
    ck_assert_ptr_eq(ctx, &watched);
    ck_assert_ptr_nonnull(what);
    ck_assert_uint_ge(permille, watched.last);
    ck_assert_uint_le(permille, 1000);
    ck_assert_int_eq(entries(watched.directory), 0);
    watched.last = permille;
    return ++watched.calls != watched.stop_at;
}

static gov_status measure(const struct gov_platform *platform,
                          struct gov_device *device, int stop_at,
                          gov_error *err)
{
    gov_status status;

    memset(&watched, 0, sizeof(watched));
    watched.directory = fresh_directory();
    watched.stop_at = stop_at;
    status = gov__device_measure(platform, device, watched.directory, watch,
                                 &watched, err);
    ck_assert_int_eq(fake.maps, 0);
    return status;
}

#define MEASURED                                                               \
    (GOV_DEVICE_HAVE_READ_RATE | GOV_DEVICE_HAVE_MEMORY_RATE |                 \
     GOV_DEVICE_HAVE_FAULT_COST | GOV_DEVICE_HAVE_GIVE_BACK)

/* A clock that leaps at every look makes all of it short: each box is full
 * after one step. */
#define LEAP_US 600000

START_TEST(measure_keeps_to_its_box)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probe(&platform);
    gov_error err = {0};
    struct stat st;

    fake.tick_us = LEAP_US;
    ck_assert_int_eq(measure(&platform, &device, 0, &err), GOV_OK);
    ck_assert_str_eq(err.message, "");
    ck_assert_uint_eq(device.have & MEASURED, MEASURED);
    /* 1 MiB was read in each pass: a figure, but not one to rely on. */
    ck_assert_uint_eq(device.read_rate, MIB * 1000000 / LEAP_US);
    ck_assert(device.read_rate_noisy);
    ck_assert_uint_eq(device.memory_rate, 64 * MIB * 1000000 / LEAP_US);
    ck_assert(!device.memory_rate_noisy);
    ck_assert_uint_eq(device.give_back_us, 3 * LEAP_US);
    ck_assert_int_gt(device.measured_at, 1600000000);
    ck_assert_uint_eq(watched.last, 920); /* one return of three */
    ck_assert_int_eq(stat(watched.directory, &st), 0);
    ck_assert_int_eq(entries(watched.directory), 0);
}
END_TEST

/* A file that was written quickly and is read slowly. */
START_TEST(measure_stops_a_slow_read)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probe(&platform);
    gov_error err = {0};

    fake.read_tick_us = LEAP_US;
    device.budget_bytes = 128 * MIB; /* a quarter is written */
    ck_assert_int_eq(measure(&platform, &device, 0, &err), GOV_OK);
    ck_assert_str_eq(err.message, "");
    ck_assert_uint_eq(device.read_rate, MIB * 1000000 / LEAP_US);
    ck_assert(!device.read_rate_noisy);
    ck_assert_uint_lt(fake.clock_us, 40 * LEAP_US); /* 96 were all of it */
}
END_TEST

START_TEST(measure_can_be_cancelled_anywhere)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probe(&platform), before;
    int all, open_before = faults_open_descriptors();

    fake.tick_us = 60000;
    fake.machine.available_bytes = 256 * MIB;
    memcpy(&before, &device, sizeof(device));
    ck_assert_int_eq(measure(&platform, &device, 0, NULL), GOV_OK);
    all = watched.calls;
    ck_assert_int_gt(all, 8); /* every phase has some */
    memcpy(&device, &before, sizeof(device));
    for (int n = 1; n <= all; n++) {
        gov_error err = {0};

        ck_assert_int_eq(measure(&platform, &device, n, &err), GOV_E_CANCELLED);
        ck_assert_str_eq(err.message,
                         "measuring was cancelled; nothing was kept");
        ck_assert_int_eq(watched.calls, n);
        ck_assert_int_eq(memcmp(&device, &before, sizeof(device)), 0);
        ck_assert_int_eq(entries(watched.directory), 0);
        ck_assert_int_eq(faults_open_descriptors(), open_before);
    }
}
END_TEST

static void no_drop(void)
{
    fake.drop_error = ENOTSUP;
}

static void stays_cached(void)
{
    fake.resident = MIB;
}

static void no_discard(void)
{
    fake.discard_error = EINVAL;
}

static void no_storage_or_discard(void)
{
    no_drop();
    no_discard();
}

static const struct {
    void (*arrange)(void);
    uint32_t missing;
    const char *message;
} unmeasurable[] = {
    {no_drop, GOV_DEVICE_HAVE_READ_RATE,
     "read rate not measured: the page cache cannot be emptied: Operation not "
     "supported"},
    {stays_cached, GOV_DEVICE_HAVE_READ_RATE,
     "read rate not measured: this file system keeps files in memory"},
    {no_discard, GOV_DEVICE_HAVE_GIVE_BACK,
     "give-back not measured: memory cannot be given back: Invalid argument"},
    {no_storage_or_discard,
     GOV_DEVICE_HAVE_READ_RATE | GOV_DEVICE_HAVE_GIVE_BACK,
     "read rate not measured: the page cache cannot be emptied: Operation not "
     "supported; give-back not measured: memory cannot be given back: Invalid "
     "argument"},
};

START_TEST(measure_says_what_it_left_out)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probe(&platform);
    gov_error err = {0};

    fake.tick_us = LEAP_US;
    unmeasurable[_i].arrange();
    /* What an older profile said must not survive. */
    device.have |= MEASURED;
    ck_assert_int_eq(measure(&platform, &device, 0, &err), GOV_OK);
    ck_assert_str_eq(err.message, unmeasurable[_i].message);
    ck_assert_uint_eq(device.have & MEASURED,
                      MEASURED & ~unmeasurable[_i].missing);
}
END_TEST

START_TEST(measure_where_nothing_can_be_written)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probe(&platform);
    struct rlimit limit, before;
    gov_error err = {0};

    fake.tick_us = LEAP_US;
    ck_assert_int_eq(
        gov__device_measure(&platform, &device, "/no/such", NULL, NULL, &err),
        GOV_OK);
    ck_assert_str_eq(err.message, "read rate not measured: /no/such: No such "
                                  "file or directory");
    /* SIGXFSZ would end the host. */
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 8 * MIB;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(measure(&platform, &device, 0, &err), GOV_OK);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_str_eq(err.message, "read rate not measured: less than 64 MiB of "
                                  "storage or memory are free");
    memset(&device, 0, sizeof(device));
    ck_assert_int_eq(measure(&platform, &device, 0, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "the device was never probed; call "
                                  "gov_device_probe() first");
    ck_assert_int_eq(gov_device_measure(NULL, NULL, NULL, NULL, NULL),
                     GOV_E_INVALID);
}
END_TEST

/* Measuring takes an eighth of what may still be used: it must not be what gets
 * the app killed. Seen by what give-back is scaled from. */
static const struct {
    uint64_t available, limit, used, less;
    int limit_error;
    uint64_t buffer;
} rooms[] = {
    {8 * GIB, NONE, 0, 0, 0, 64 * MIB},
    {256 * MIB, NONE, 0, 0, 0, 32 * MIB},
    {8 * GIB, 256 * MIB, 0, 0, 0, 32 * MIB},
    {8 * GIB, 256 * MIB, 128 * MIB, 0, 0, 16 * MIB},
    {8 * GIB, 256 * MIB, 128 * MIB, 64 * MIB, 0, 8 * MIB},
    {8 * GIB, 256 * MIB, 512 * MIB, 0, 0, MIB},
    {8 * GIB, NONE, 0, 0, EIO, MIB},
    {0, NONE, 0, 0, 0, 64 * MIB},
};

START_TEST(measure_is_modest)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probe(&platform);

    fake.tick_us = LEAP_US;
    fake.machine.available_bytes = rooms[_i].available;
    fake.limit.limit_bytes = rooms[_i].limit;
    fake.limit.used_bytes = rooms[_i].used;
    fake.limit.short_bytes = rooms[_i].less;
    fake.limit_error = rooms[_i].limit_error;
    ck_assert_int_eq(measure(&platform, &device, 0, NULL), GOV_OK);
    /* A smaller buffer would measure the caches. */
    ck_assert_uint_eq(device.memory_rate,
                      rooms[_i].buffer >= 32 * MIB
                          ? rooms[_i].buffer * 1000000 / LEAP_US
                          : 0);
    ck_assert_uint_eq(device.give_back_us,
                      3 * LEAP_US * (64 * MIB / rooms[_i].buffer));
}
END_TEST

/* Each call fails in turn: the figure is missing with a reason, the rest is
 * there, nothing leaks. */
START_TEST(measure_survives_failing_calls)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probe(&platform);
    int open_before = faults_open_descriptors();
    uint64_t calls;

    fake.tick_us = LEAP_US;
    faults_reset();
    fake.machine.available_bytes = 256 * MIB;
    faults_only("open,unlink,write,fdatasync,pread,mmap,madvise");
    ck_assert_int_eq(measure(&platform, &device, 0, NULL), GOV_OK);
    calls = faults_count();
    ck_assert_uint_gt(calls, 9);
    for (uint64_t n = 0; n < 2 * calls; n++) {
        gov_error err = {0};
        gov_status status;
        uint32_t have;

        memset(&watched, 0, sizeof(watched));
        watched.directory = fresh_directory();
        device = probe(&platform);
        faults_arm(n % calls, n >= calls);
        status = gov__device_measure(&platform, &device, watched.directory,
                                     NULL, NULL, &err);
        faults_disarm();
        have = device.have & MEASURED;
        ck_assert_int_eq(status, GOV_OK);
        ck_assert_msg(have != MEASURED, "%s was swallowed", faults_last());
        ck_assert_ptr_nonnull(strstr(err.message, "not measured: "));
        ck_assert_ptr_nonnull(strstr(err.message, "Input/output error"));
        ck_assert((device.measured_at != 0) == (have != 0));
        ck_assert_int_eq(faults_open_descriptors(), open_before);
        /* A name that cannot be removed is all that may stay. */
        if (strcmp(faults_last(), "unlink") != 0 && n < calls)
            ck_assert_int_eq(entries(watched.directory), 0);
    }
}
END_TEST

/* For real, on the storage of the temporary directory. */
START_TEST(measure_the_real_machine)
{
    struct timespec from, to;
    struct gov_device device;
    const char *directory = fresh_directory();
    gov_error err = {0};
    int64_t ms;

    ck_assert_int_eq(gov_device_probe(&device, &err), GOV_OK);
    clock_gettime(CLOCK_MONOTONIC, &from);
    ck_assert_int_eq(gov_device_measure(&device, directory, NULL, NULL, &err),
                     GOV_OK);
    clock_gettime(CLOCK_MONOTONIC, &to);
    ms = (to.tv_sec - from.tv_sec) * 1000 +
         (to.tv_nsec - from.tv_nsec) / 1000000;
    ck_assert_int_eq(entries(directory), 0);
    /* The promise is 2 s; a loaded machine under a sanitizer gets more. */
    ck_assert_int_lt(ms, 8000);
    ck_assert(device.have & GOV_DEVICE_HAVE_MEMORY_RATE);
    ck_assert_uint_gt(device.memory_rate, 50 * MIB);
    ck_assert(device.have & GOV_DEVICE_HAVE_FAULT_COST);
    ck_assert_uint_gt(device.minor_fault_ns, 0);
    if (!(device.have & GOV_DEVICE_HAVE_GIVE_BACK)) {
        skip_test("give-back of the real machine", err.message);
        return;
    }
    ck_assert_uint_gt(device.give_back_us, 100);
    if (!(device.have & GOV_DEVICE_HAVE_READ_RATE)) {
        skip_test("read rate of the real machine", err.message);
        return;
    }
    ck_assert_str_eq(err.message, "");
    ck_assert_uint_gt(device.read_rate, MIB);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("device");
    TCase *tc = tcase_create("budget");

    suite_add_tcase(s, tc);
    ADD_ROWS(tc, budget_is_what_is_left, budgets);
    tcase_add_test(tc, budget_of_a_zero_limit);
    tc = tcase_create("probe");
    suite_add_tcase(s, tc);
    tcase_add_test(tc, probe_tells_what_there_is);
    tcase_add_test(tc, probe_counts_the_others);
    tcase_add_test(tc, probe_of_a_silent_system);
    tcase_add_test(tc, probe_without_descriptors);
    tcase_add_test(tc, probe_makes_texts_printable);
    tcase_add_test(tc, facts_are_set);
    tcase_add_test(tc, current_takes_measurements);
    tc = tcase_create("measure");
    suite_add_tcase(s, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, measure_keeps_to_its_box);
    tcase_add_test(tc, measure_stops_a_slow_read);
    tcase_add_test(tc, measure_can_be_cancelled_anywhere);
    ADD_ROWS(tc, measure_says_what_it_left_out, unmeasurable);
    tcase_add_test(tc, measure_where_nothing_can_be_written);
    ADD_ROWS(tc, measure_is_modest, rooms);
    tcase_add_test(tc, measure_survives_failing_calls);
    tcase_add_test(tc, measure_the_real_machine);
    return s;
}
