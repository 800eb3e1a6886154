/* SPDX-License-Identifier: MIT */
/* Measuring: on a made-up machine with a clock that is set by hand, and on the
 * real one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "governor/device/measure_priv.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define NONE UINT64_MAX

#define ADD_ROWS(tc, test, table)                                              \
    tcase_add_loop_test(tc, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

/* A clock that leaps at every look makes all of it short: each box is full after
 * one step. */
#define LEAP_US 600000

static const gov_figure quick_figures[] = {
    GOV_FIGURE_READ_READAHEAD, GOV_FIGURE_READ_POPULATE, GOV_FIGURE_READ_HUGE,
    GOV_FIGURE_MEMORY_READ,    GOV_FIGURE_MINOR_FAULT,   GOV_FIGURE_GIVE_BACK};

/* ---- a made-up machine --------------------------------------------------------- */

static struct {
    struct gov__machine machine;
    struct gov__limit limit;
    int limit_error;
    _Atomic uint64_t clock_us, tick_us; /* each look at the clock moves it */
    int discard_error, drop_error, direct_error, queue_error, populate_error,
        stage_error, gpus_error;
    bool all_resident;
    uint64_t resident; /* of a file that should be cold */
    /* Storage of so many bytes a microsecond, when not 0. */
    uint64_t slow;
    _Atomic uint64_t written_at_us; /* when writing began */
    _Atomic int maps;               /* that were not unmapped */
    bool direct, was_direct;
} fake;

static const char *directory_watched(void);

/* Bytes of the scratch file; 0 when it is not open. Check has files without a
 * name of its own. */
static uint64_t nameless_bytes(void)
{
    char link[64], name[512];
    struct stat st;

    for (int fd = 3; fd < 64; fd++) {
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, name, sizeof(name) - 1);
        name[n > 0 ? n : 0] = '\0';
        if (strstr(name, "(deleted)") != NULL &&
            strncmp(name, directory_watched(), strlen(directory_watched())) ==
                0 &&
            fstat(fd, &st) == 0)
            return (uint64_t)st.st_size;
    }
    return 0;
}

static uint64_t fake_now(void *ctx)
{
    (void)ctx;
    if (fake.written_at_us != 0) {
        uint64_t at = fake.written_at_us + nameless_bytes() / fake.slow;

        if (fake.clock_us < at)
            fake.clock_us = at;
    }
    return atomic_fetch_add(&fake.clock_us, fake.tick_us) + fake.tick_us;
}

static int fake_machine(void *ctx, struct gov__machine *out)
{
    (void)ctx;
    *out = fake.machine;
    return 0;
}

static int fake_limit(void *ctx, struct gov__limit *out)
{
    (void)ctx;
    *out = fake.limit;
    return fake.limit_error;
}

static int fake_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    const struct gov_platform *native = gov__platform_native();
    int error = native->map(native->ctx, bytes, tag, out);

    (void)ctx;
    fake.maps += error == 0;
    return error;
}

/* It asks for huge pages, and does without, which is no fault to be told. */
static int fake_stage(void *ctx, const void *target, size_t bytes, void **out)
{
    ck_assert_ptr_null(target);
    ck_assert_uint_le(bytes, 4 * MIB);
    return fake.stage_error != 0 ? fake.stage_error
                                 : fake_map(ctx, bytes, "staged", out);
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
    return fake.drop_error;
}

static int fake_resident(void *ctx, void *base, size_t bytes, uint64_t *out)
{
    (void)ctx;
    (void)base;
    *out = fake.all_resident ? bytes : fake.resident;
    return 0;
}

static int fake_set_direct(void *ctx, int fd, bool direct)
{
    (void)ctx;
    (void)fd;
    if (fake.direct_error != 0)
        return fake.direct_error;
    fake.direct = direct;
    fake.was_direct |= direct;
    return 0;
}

static int fake_read_queued(void *ctx, const struct gov__queued_read *read,
                            uint64_t *done)
{
    (void)ctx;
    ck_assert(fake.direct);
    ck_assert_uint_eq(read->depth, 8);
    ck_assert_uint_eq(read->chunk, MIB);
    ck_assert_uint_le(read->offset + read->bytes, nameless_bytes());
    memset(read->buffer, 0, read->depth * read->chunk);
    if (fake.slow != 0)
        fake.clock_us += read->bytes / fake.slow;
    *done = read->bytes;
    return fake.queue_error;
}

static int fake_populate(void *ctx, void *base, size_t bytes)
{
    const struct gov_platform *native = gov__platform_native();
    int error;

    (void)ctx;
    if (fake.slow != 0)
        fake.clock_us += bytes / fake.slow;
    if (fake.populate_error != 0)
        return fake.populate_error;
    error = native->populate(native->ctx, base, bytes);
    return error == ENOTSUP ? 0 : error; /* the generic platform */
}

static int fake_advise(void *ctx, void *base, size_t bytes,
                       enum gov__advice advice)
{
    (void)ctx;
    (void)base;
    (void)bytes;
    ck_assert_int_eq(advice, GOV__ADVICE_RANDOM);
    return 0;
}

static int fake_file_system(void *ctx, int fd, char *out, size_t bytes)
{
    (void)ctx;
    (void)fd;
    snprintf(out, bytes, "fakefs");
    return 0;
}

static int fake_gpus(void *ctx, struct gov__gpu *out, size_t max, size_t *count)
{
    (void)ctx;
    (void)out;
    (void)max;
    *count = 0;
    return fake.gpus_error;
}

/* A machine of 16 GiB without a limit. */
static struct gov_platform fake_platform(void)
{
    struct gov_platform platform = *gov__platform_native();

    memset(&fake, 0, sizeof(fake));
    fake.machine.total_bytes = 16 * GIB;
    fake.machine.available_bytes = 8 * GIB;
    fake.limit.limit_bytes = NONE;
    fake.tick_us = LEAP_US;
    platform.now_us = fake_now;
    platform.machine = fake_machine;
    platform.limit = fake_limit;
    platform.map = fake_map;
    platform.unmap = fake_unmap;
    platform.stage = fake_stage;
    platform.unstage = fake_unmap;
    platform.discard = fake_discard;
    platform.drop_cached = fake_drop_cached;
    platform.resident = fake_resident;
    platform.set_direct = fake_set_direct;
    platform.read_queued = fake_read_queued;
    platform.populate = fake_populate;
    platform.advise = fake_advise;
    platform.file_system = fake_file_system;
    platform.gpus = fake_gpus;
    return platform;
}

/* What measuring reads of a probe; the scratch file is a quarter of the budget. */
static struct gov_device probed(void)
{
    struct gov_device device;

    memset(&device, 0, sizeof(device));
    device.size = sizeof(device);
    gov__device_set(&device, GOV_FACT_BUDGET_RAM, 64 * MIB, "test");
    gov__device_set(&device, GOV_FACT_DEVICE_CORES, 2, "test");
    return device;
}

/* ---- watching it ------------------------------------------------------------- */

static struct {
    int calls, stop_at;
    const char *directory;
    uint32_t last;
    char whats[4096]; /* each once, in order */
} watched;

static const char *directory_watched(void)
{
    return watched.directory;
}

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

/* ThreadSanitizer starts one of its own. */
static int threads(void)
{
#if !defined(__SANITIZE_THREAD__)
    if (access("/proc/self/task", F_OK) == 0)
        return entries("/proc/self/task");
#endif
    return 1;
}

/* At every step: progress grows, and the scratch file has no name. */
static bool watch(void *ctx, uint32_t permille, const char *what)
{
    ck_assert_ptr_eq(ctx, &watched);
    ck_assert_uint_ge(permille, watched.last);
    ck_assert_uint_le(permille, 1000);
    ck_assert_int_eq(entries(watched.directory), 0);
    watched.last = permille;
    if (strstr(watched.whats, what) == NULL) {
        size_t used = strlen(watched.whats);

        snprintf(watched.whats + used, sizeof(watched.whats) - used, "%s\n",
                 what);
    }
    if (fake.slow != 0) {
        bool writing = strcmp(what, "writing a scratch file") == 0;
        bool reading = strncmp(what, "sequential", 10) == 0;

        if (writing && fake.written_at_us == 0)
            fake.written_at_us = fake.clock_us;
        if (!writing)
            fake.written_at_us = 0;
        /* A chunk between two looks; populate() and the queue add their own. */
        fake.tick_us =
            reading && strstr(what, "pread") != NULL ? MIB / fake.slow : 500;
        if (strstr(what, "4 MiB") != NULL)
            fake.tick_us *= UINT64_C(4);
    }
    return ++watched.calls != watched.stop_at;
}

static gov_status measure(const struct gov_platform *platform,
                          struct gov_device *device, bool full, int stop_at,
                          gov_error *err)
{
    struct gov_measure_options options = {.size = sizeof(options),
                                          .full = full,
                                          .progress = watch,
                                          .progress_ctx = &watched};
    int open_before = faults_open_descriptors(), threads_before = threads();
    gov_status status;

    memset(&watched, 0, sizeof(watched));
    options.directory = watched.directory = fresh_directory();
    watched.stop_at = stop_at;
    status = gov__device_measure(platform, device, &options, err);
    ck_assert_int_eq(fake.maps, 0);
    ck_assert(!fake.direct);
    ck_assert_int_eq(entries(watched.directory), 0);
    ck_assert_int_eq(faults_open_descriptors(), open_before);
    /* A thread that was joined may be listed for a moment. */
    for (int i = 0; i < 1000 && threads() > threads_before; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    ck_assert_int_le(threads(), threads_before);
    return status;
}

static uint64_t median(const struct gov_device *device, gov_figure figure)
{
    return gov_device_measured(device, figure, 0);
}

static bool is_quick(gov_figure figure)
{
    return !gov_figure_info(figure)->full;
}

/* ---- what comes of it ---------------------------------------------------------- */

START_TEST(measure_quick)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probed();
    gov_error err = {0};
    char on[512];

    ck_assert_int_eq(measure(&platform, &device, false, 0, &err), GOV_OK);
    ck_assert_str_eq(err.message, "");
    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++) {
        const struct gov_device_figure *f = &device.figures[i];

        ck_assert_int_eq(f->known, is_quick((gov_figure)i));
        if (!f->known)
            ck_assert_str_eq(f->note, "left out of a quick run");
    }
    /* 1 MiB was read: from the start to the look that ended it, and one more. */
    ck_assert_uint_eq(median(&device, GOV_FIGURE_READ_READAHEAD),
                      MIB * 1000000 / (2 * LEAP_US));
    ck_assert_str_eq(device.figures[GOV_FIGURE_READ_READAHEAD].note,
                     "in a file of 1 MiB only");
    ck_assert_uint_eq(median(&device, GOV_FIGURE_MEMORY_READ),
                      64 * MIB * 1000000 / LEAP_US);
    ck_assert_str_eq(device.figures[GOV_FIGURE_MEMORY_READ].note, "");
    ck_assert_uint_eq(median(&device, GOV_FIGURE_GIVE_BACK),
                      UINT64_C(3000) * LEAP_US);
    ck_assert_uint_eq(median(&device, GOV_FIGURE_MINOR_FAULT),
                      UINT64_C(1000) * LEAP_US /
                          (64 * MIB / (uint64_t)getpagesize()));
    ck_assert_uint_eq(device.figures[GOV_FIGURE_MINOR_FAULT].samples, 2);
    ck_assert(!device.figures[GOV_FIGURE_MINOR_FAULT].noisy);
    ck_assert_int_gt(device.measured_at, 1600000000);
    ck_assert(!device.measured_full);
    snprintf(on, sizeof(on), "%.128s (fakefs)", watched.directory);
    ck_assert_str_eq(device.measured_on, on);
    ck_assert_uint_eq(watched.last, 1000);
    ck_assert(fake.was_direct);
    ck_assert_uint_eq(median(&device, GOV_FIGURE_READ_HUGE),
                      MIB * 1000000 / (2 * LEAP_US));
}
END_TEST

START_TEST(measure_full)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probed();
    gov_error err = {0};

    ck_assert_int_eq(measure(&platform, &device, true, 0, &err), GOV_OK);
    ck_assert_str_eq(err.message, "");
    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++) {
        const struct gov_device_figure *f = &device.figures[i];

        ck_assert_msg(f->known && f->median > 0 && f->samples > 0, "%s: %s",
                      gov_figure_info((gov_figure)i)->name, f->note);
        ck_assert_uint_le(f->low, f->median);
        ck_assert_uint_le(f->median, f->high);
    }
    ck_assert(fake.was_direct);
    ck_assert_uint_eq(median(&device, GOV_FIGURE_READ_RANDOM),
                      UINT64_C(16384) * 1000000 / (2 * LEAP_US));
    ck_assert_uint_eq(median(&device, GOV_FIGURE_MAJOR_FAULT),
                      UINT64_C(2000) * LEAP_US);
    /* 2 members of 32 MiB; each looks at the clock when it is done. */
    ck_assert_uint_eq(median(&device, GOV_FIGURE_MEMORY_READ_ALL),
                      64 * MIB * 1000000 / (2 * LEAP_US));
    ck_assert(device.measured_full);
    ck_assert_str_eq(
        watched.whats,
        "touching memory\nwriting a scratch file\n"
        "sequential, pread() of 1 MiB through the page cache\n"
        "sequential, a mapping read in by the kernel (MADV_POPULATE_READ)\n"
        "sequential, pread() by four threads through the page cache\n"
        "sequential, pread() of 1 MiB past the page cache\n"
        "sequential, eight queued reads of 1 MiB past the page cache\n"
        "sequential, pread() of 4 MiB past the page cache into huge pages\n"
        "16 KiB at random places, one at a time\n"
        "first touch of a page of a file that is not in memory\n"
        "removing the scratch file\n"
        "reading memory\nreading memory with all processors\n"
        "giving memory back\nasking graphics drivers\ndone\n");
}
END_TEST

/* Storage of 20 MB/s, which is a memory card: quick in 2 s, full in 30. */
START_TEST(measure_keeps_to_its_boxes)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probed();
    bool full = _i != 0;
    gov_error err = {0};

    if (access("/proc/self/fd", F_OK) != 0) {
        skip_test("slow storage", "no /proc to see the scratch file by");
        return;
    }
    gov__device_set(&device, GOV_FACT_BUDGET_RAM, 14 * GIB, "test");
    fake.slow = 20;
    fake.tick_us = 10;
    ck_assert_int_eq(measure(&platform, &device, full, 0, &err), GOV_OK);
    ck_assert_str_eq(err.message, "");
    ck_assert_uint_lt(fake.clock_us, full ? 30000000 : 2000000);
    /* Not in no time either: the boxes are used. */
    ck_assert_uint_gt(fake.clock_us, full ? 15000000 : 800000);
    for (unsigned i = GOV_FIGURE_READ_READAHEAD; i <= GOV_FIGURE_READ_IO_URING;
         i++) {
        uint64_t mb = median(&device, (gov_figure)i) / 1000000;

        if (full || is_quick((gov_figure)i))
            ck_assert_msg(mb >= 12 && mb <= 21, "%s: %" PRIu64 " MB/s",
                          gov_figure_info((gov_figure)i)->name, mb);
    }
}
END_TEST

/* Progress tells every few milliseconds in reads, so how many calls there are
 * is not known: until one run is not stopped any more. */
START_TEST(measure_can_be_cancelled_anywhere)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probed(), before = device;
    bool full = _i != 0;
    gov_status status = GOV_E_CANCELLED;
    int n;

    fake.tick_us = 5 * LEAP_US; /* a file of 1 MiB */
    for (n = 1; n < 1000; n++) {
        gov_error err = {0};

        status = measure(&platform, &device, full, n, &err);
        if (status == GOV_OK)
            break;
        ck_assert_int_eq(status, GOV_E_CANCELLED);
        ck_assert_str_eq(err.message,
                         "measuring was cancelled; nothing was kept");
        ck_assert_int_eq(watched.calls, n); /* and is not asked again */
        ck_assert_int_eq(memcmp(&device, &before, sizeof(device)), 0);
    }
    ck_assert_int_eq(status, GOV_OK);
    ck_assert_int_gt(n, full ? 14 : 8); /* every phase has some */
}
END_TEST

/* On a clock that stands still no box ever fills: only the cancel ends it. */
START_TEST(measure_stops_soon)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probed();

    gov__device_set(&device, GOV_FACT_BUDGET_RAM, 14 * GIB, "test");
    fake.tick_us = 0;
    faults_reset();
    faults_only("write");
    /* As writing is about to begin, and a few milliseconds later. */
    ck_assert_int_eq(measure(&platform, &device, true, 2, NULL),
                     GOV_E_CANCELLED);
    ck_assert_uint_eq(faults_count(), 0);
    ck_assert_int_eq(measure(&platform, &device, true, 3, NULL),
                     GOV_E_CANCELLED);
    ck_assert_uint_gt(faults_count(), 0);
    ck_assert_uint_lt(faults_count(), 512); /* of 1024 */
    faults_reset();
}
END_TEST

/* Over a quarter of the median; and a figure that is known is never 0. */
START_TEST(measure_marks_what_is_noisy)
{
    struct gov_device device = probed();
    struct gov__measuring m = {.device = &device};
    uint64_t steady[] = {125, 100, 100}, noisy[] = {126, 100, 100},
             none[] = {0};
    const struct gov_device_figure *f = &device.figures[0];

    gov__measure_known(&m, (gov_figure)0, steady, 3);
    ck_assert(f->known && !f->noisy);
    ck_assert_uint_eq(f->low, 100);
    ck_assert_uint_eq(f->median, 100);
    ck_assert_uint_eq(f->high, 125);
    ck_assert_uint_eq(f->samples, 3);
    gov__measure_known(&m, (gov_figure)0, noisy, 3);
    ck_assert(f->noisy);
    gov__measure_known(&m, (gov_figure)0, none, 1);
    ck_assert(!f->noisy && f->low == 1 && f->median == 1 && f->high == 1);
}
END_TEST

/* ---- what is left out ------------------------------------------------------------ */

static void no_drop(void)
{
    fake.drop_error = ENOTSUP;
}

static void in_memory(void)
{
    fake.all_resident = true;
}

static void stays_cached(void)
{
    fake.resident = MIB;
}

static void no_discard(void)
{
    fake.discard_error = EINVAL;
}

static void no_direct(void)
{
    fake.direct_error = ENOTSUP;
}

static void no_uring(void)
{
    fake.queue_error = ENOSYS;
}

static void no_populate(void)
{
    fake.populate_error = EFAULT;
}

static void no_gpus(void)
{
    fake.gpus_error = EIO;
}

static void no_stage(void)
{
    fake.stage_error = ENOMEM;
}

static void no_room(void)
{
    fake.machine.available_bytes = 16 * MIB;
}

#define READS                                                                  \
    "read.readahead, read.populate, read.parallel, read.direct, "              \
    "read.io_uring, read.random, fault.major, read.huge"

static const struct {
    void (*arrange)(void);
    unsigned missing;
    const char *message; /* its beginning */
} unmeasurable[] = {
    {no_drop, 8,
     READS " not measured: the page cache cannot be emptied: Operation not "
           "supported"},
    {in_memory, 8,
     READS " not measured: this file system keeps files in memory"},
    {stays_cached, 8,
     READS " not measured: this file system keeps files in memory"},
    {no_discard, 1,
     "memory.give_back not measured: memory cannot be given back: Invalid "
     "argument"},
    {no_direct, 3,
     "read.direct, read.io_uring, read.huge not measured: the page cache "
     "cannot be passed "
     "by: Operation not supported"},
    {no_uring, 1,
     "read.io_uring not measured: reads cannot be queued with io_uring: "
     "Function not implemented"},
    {no_populate, 2,
     "read.populate, fault.major not measured: the scratch file cannot be "
     "read: Bad address"},
    {no_stage, 1,
     "read.huge not measured: the scratch file cannot be read: Cannot allocate "
     "memory"},
    {no_room, 5,
     "read.parallel, read.io_uring, read.huge not measured: too little memory "
     "is free; "
     "memory.read, memory.read_all not measured: too little memory is free "
     "for more than the caches hold"},
    {no_gpus, 0, ""},
};

START_TEST(measure_says_what_it_left_out)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probed();
    const char *want = unmeasurable[_i].message;
    unsigned missing = 0;
    gov_error err = {0};

    unmeasurable[_i].arrange();
    /* What an older profile said must not survive. */
    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++)
        device.figures[i] = (struct gov_device_figure){
            .known = true, .samples = 1, .median = 7, .low = 7, .high = 7};
    ck_assert_int_eq(measure(&platform, &device, true, 0, &err), GOV_OK);
    if (want[0] != '\0')
        ck_assert_str_eq(err.message, want);
    else
        ck_assert_str_ne(err.message, "");
    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++) {
        const struct gov_device_figure *f = &device.figures[i];

        missing += !f->known;
        if (f->known)
            ck_assert_uint_ne(f->median, 7);
        else
            ck_assert_uint_eq(f->median + f->low + f->high + f->samples, 0);
    }
    ck_assert_uint_eq(missing, unmeasurable[_i].missing);
}
END_TEST

/* Random reads go through the page cache then, and say so. */
START_TEST(measure_random_without_direct)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probed();

    fake.direct_error = ENOTSUP;
    ck_assert_int_eq(measure(&platform, &device, true, 0, NULL), GOV_OK);
    ck_assert(device.figures[GOV_FIGURE_READ_RANDOM].known);
    ck_assert_str_eq(device.figures[GOV_FIGURE_READ_RANDOM].note,
                     "through the page cache");
}
END_TEST

/* A profile is read later and elsewhere. */
START_TEST(measure_in_a_relative_directory)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probed();
    struct gov_measure_options options = {.size = sizeof(options),
                                          .directory = "."};
    char before[4096], where[4096], expected[sizeof(device.measured_on)];
    gov_error err = {0};

    ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
    ck_assert_int_eq(chdir(fresh_directory()), 0);
    ck_assert_ptr_nonnull(getcwd(where, sizeof(where)));
    ck_assert_int_eq(gov__device_measure(&platform, &device, &options, &err),
                     GOV_OK);
    ck_assert_int_eq(chdir(before), 0);
    snprintf(expected, sizeof(expected), "%.128s (fakefs)", where);
    ck_assert_str_eq(device.measured_on, expected);
}
END_TEST

START_TEST(measure_where_nothing_can_be_written)
{
    struct gov_platform platform = fake_platform();
    struct gov_device device = probed();
    struct gov_measure_options options = {.size = sizeof(options),
                                          .directory = "/no/such"};
    struct rlimit limit, before;
    gov_error err = {0};
    char far[200];

    ck_assert_int_eq(gov__device_measure(&platform, &device, &options, &err),
                     GOV_OK);
    ck_assert_str_eq(
        err.message,
        "read.readahead, read.populate, read.huge not measured: no scratch "
        "file in /no/such: No such file or directory");
    ck_assert_str_eq(device.measured_on, "");
    memset(far, 'x', sizeof(far) - 1);
    far[0] = '/';
    far[sizeof(far) - 1] = '\0';
    options.directory = far;
    ck_assert_int_eq(gov__device_measure(&platform, &device, &options, &err),
                     GOV_OK);
    ck_assert_str_eq(
        err.message,
        "read.readahead, read.populate, read.huge not measured: no scratch "
        "file in /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: No such "
        "file or directory");
    /* SIGXFSZ would end the host. */
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 8 * MIB;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(measure(&platform, &device, false, 0, &err), GOV_OK);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_str_eq(err.message,
                     "read.readahead, read.populate, read.huge not measured: "
                     "a file of this process may not have 16 MiB "
                     "(ulimit -f)");
    gov__device_set(&device, GOV_FACT_BUDGET_RAM, 60 * MIB, "test");
    ck_assert_int_eq(measure(&platform, &device, false, 0, &err), GOV_OK);
    ck_assert_ptr_nonnull(strstr(err.message, "less than 64 MiB"));
}
END_TEST

START_TEST(measure_refuses_what_is_no_device)
{
    struct gov_measure_options options = {.size = sizeof(options)};
    struct gov_device device = {0};
    struct {
        struct gov_measure_options known;
        uint64_t more;
    } newer = {.known.size = sizeof(newer), .more = 1};
    gov_error err = {0};

    ck_assert_int_eq(gov_device_measure(&device, &options, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "the device was never probed; call "
                                  "gov_device_probe() first");
    ck_assert_int_eq(gov_device_measure(NULL, NULL, NULL), GOV_E_INVALID);
    ck_assert_int_eq(gov_device_measure(&device, &newer.known, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "the measure options are of a newer version; "
                                  "leave what this library does not know at 0");
    options.size = 0;
    ck_assert_int_eq(gov_device_measure(&device, &options, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "measure options of 0 bytes are none; set size to "
                     "sizeof(struct gov_measure_options)");
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
    struct gov_device device = probed();

    fake.machine.available_bytes = rooms[_i].available;
    fake.limit.limit_bytes = rooms[_i].limit;
    fake.limit.used_bytes = rooms[_i].used;
    fake.limit.short_bytes = rooms[_i].less;
    fake.limit_error = rooms[_i].limit_error;
    ck_assert_int_eq(measure(&platform, &device, false, 0, NULL), GOV_OK);
    /* A smaller buffer would measure the caches. */
    ck_assert_uint_eq(median(&device, GOV_FIGURE_MEMORY_READ),
                      rooms[_i].buffer >= 32 * MIB
                          ? rooms[_i].buffer * 1000000 / LEAP_US
                          : 0);
    ck_assert_uint_eq(median(&device, GOV_FIGURE_GIVE_BACK),
                      UINT64_C(3000) * LEAP_US * (64 * MIB / rooms[_i].buffer));
}
END_TEST

/* ---- failing calls ---------------------------------------------------------------- */

/* Each call fails in turn: the figure is missing with a reason, the rest is
 * there, nothing leaks. Absorbed: that there are no files that never had a name
 * (the first open), and that there is no thread to close the file on. */
START_TEST(measure_survives_failing_calls)
{
    struct gov_platform platform = fake_platform();
    bool forever = _i != 0;
    int absorbed = 0;
    uint64_t calls;

    fake.machine.available_bytes = 768 * MIB;
    fake.tick_us = 5 * LEAP_US; /* a file of 1 MiB */
    faults_reset();
    faults_only("open,write,fdatasync,pread,mmap,madvise,pthread_create");
    for (uint64_t n = calls = 0; n <= calls; n++) {
        struct gov_device device = probed();
        gov_error err = {0};
        unsigned known = 0;

        if (n > 0)
            faults_arm(n - 1, forever);
        ck_assert_int_eq(measure(&platform, &device, true, 0, &err), GOV_OK);
        faults_disarm();
        for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++)
            known += device.figures[i].known;
        ck_assert((device.measured_at != 0) == (known != 0));
        if (n == 0) {
            calls = faults_count();
            ck_assert_uint_gt(calls, 20);
        }
        if (n > 0 && known == GOV_FIGURE_COUNT) {
            ck_assert_msg(strcmp(faults_last(), "open") == 0 ||
                              strcmp(faults_last(), "pthread_create") == 0,
                          "%s was swallowed", faults_last());
            absorbed++;
            continue;
        }
        ck_assert_int_eq(known<GOV_FIGURE_COUNT, n> 0);
        if (n > 0)
            ck_assert_ptr_nonnull(strstr(err.message, " not measured: "));
    }
    ck_assert_int_le(absorbed, 2);
    faults_reset();
}
END_TEST

/* ---- reading by a queue -------------------------------------------------------------- */

/* A file of 3 MiB and a bit, no two pages of it alike; a descriptor. */
static int make_file(uint64_t bytes)
{
    char name[512];
    uint32_t words[1024];
    int fd;

    snprintf(name, sizeof(name), "%s/file", fresh_directory());
    fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    ck_assert_int_ge(fd, 0);
    for (uint64_t at = 0; at < bytes; at += sizeof(words)) {
        size_t n =
            bytes - at < sizeof(words) ? (size_t)(bytes - at) : sizeof(words);

        for (size_t i = 0; i < 1024; i++)
            words[i] = (uint32_t)(at + i * 2654435761u);
        ck_assert_int_eq(write(fd, words, n), (ssize_t)n);
    }
    return fd;
}

/* Returns false, and says so, where reads cannot be queued. */
static bool can_queue(int fd)
{
    const struct gov_platform *native = gov__platform_native();
    unsigned char byte;
    struct gov__queued_read read = {
        .fd = fd, .buffer = &byte, .chunk = 1, .depth = 1, .bytes = 1};
    uint64_t done;
    int error = native->read_queued(native->ctx, &read, &done);

    if (error == ENOSYS || error == EPERM || error == ENOTSUP ||
        error == ENOMEM) {
        skip_test("queued reads", strerror(error));
        return false;
    }
    ck_assert_int_eq(error, 0);
    ck_assert_uint_eq(done, 1);
    return true;
}

static const struct {
    uint64_t offset, bytes;
    size_t chunk;
    unsigned depth;
} queued[] = {
    {0, 3 * MIB + 5000, MIB, 4},
    {4096, 2 * MIB, 256 * 1024, 8},
    {1, 70001, 4096, 33},
    {0, 1, MIB, 1},
    {0, 0, MIB, 8},
    {12345, 64 * 4096, 4096, 64},
};

START_TEST(queued_reads_bring_the_bytes)
{
    const struct gov_platform *native = gov__platform_native();
    struct gov__queued_read read = {.fd = make_file(3 * MIB + 5000),
                                    .chunk = queued[_i].chunk,
                                    .depth = queued[_i].depth,
                                    .offset = queued[_i].offset,
                                    .bytes = queued[_i].bytes};
    unsigned char *want = malloc(queued[_i].bytes + 1);
    int before = faults_open_descriptors();
    uint64_t done;

    read.buffer = malloc(read.chunk * read.depth);
    ck_assert(want != NULL && read.buffer != NULL);
    if (can_queue(read.fd)) {
        ck_assert_int_eq(native->read_queued(native->ctx, &read, &done), 0);
        ck_assert_uint_eq(done, read.bytes);
        ck_assert_int_eq(pread(read.fd, want, read.bytes, (off_t)read.offset),
                         (ssize_t)read.bytes);
        ck_assert_int_eq(memcmp(read.buffer, want, read.bytes), 0);
        ck_assert_int_eq(faults_open_descriptors(), before);
    }
    free(read.buffer);
    free(want);
    close(read.fd);
}
END_TEST

/* Far more chunks than places: every byte passes through the buffer once. */
START_TEST(queued_reads_go_round)
{
    const struct gov_platform *native = gov__platform_native();
    unsigned char buffer[3 * 4096];
    struct gov__queued_read read = {.fd = make_file(3 * MIB),
                                    .buffer = buffer,
                                    .chunk = 4096,
                                    .depth = 3,
                                    .bytes = 3 * MIB};
    uint64_t done;

    if (can_queue(read.fd)) {
        ck_assert_int_eq(native->read_queued(native->ctx, &read, &done), 0);
        ck_assert_uint_eq(done, 3 * MIB);
    }
    close(read.fd);
}
END_TEST

START_TEST(queued_reads_fail_cleanly)
{
    const struct gov_platform *native = gov__platform_native();
    unsigned char buffer[4 * 4096];
    struct gov__queued_read read = {.fd = make_file(64 * 1024),
                                    .buffer = buffer,
                                    .chunk = 4096,
                                    .depth = 4,
                                    .bytes = MIB};
    struct gov__queued_read bad = read;
    int before = faults_open_descriptors();
    uint64_t done, calls;

    if (!can_queue(read.fd)) {
        close(read.fd);
        return;
    }
    /* The file ends before what was asked for. */
    ck_assert_int_eq(native->read_queued(native->ctx, &read, &done), EIO);
    ck_assert_int_eq(ftruncate(read.fd, 62000), 0); /* within a chunk */
    bad.bytes = 64 * 1024;
    ck_assert_int_eq(native->read_queued(native->ctx, &bad, &done), EIO);
    ck_assert_int_eq(ftruncate(read.fd, 64 * 1024), 0);
    bad.fd = -1;
    ck_assert_int_eq(native->read_queued(native->ctx, &bad, &done), EBADF);
    bad = read;
    bad.buffer = NULL;
    ck_assert_int_eq(native->read_queued(native->ctx, &bad, &done), EFAULT);
    bad = read;
    bad.depth = 0;
    ck_assert_int_eq(native->read_queued(native->ctx, &bad, &done), EINVAL);
    bad.depth = 65;
    ck_assert_int_eq(native->read_queued(native->ctx, &bad, &done), EINVAL);
    read.bytes = 64 * 1024;
    faults_reset();
    faults_only("mmap");
    ck_assert_int_eq(native->read_queued(native->ctx, &read, &done), 0);
    calls = faults_count();
    ck_assert_uint_eq(calls, 3);
    for (uint64_t n = 0; n < calls; n++) {
        faults_arm(n, false);
        ck_assert_int_eq(native->read_queued(native->ctx, &read, &done), EIO);
    }
    faults_reset();
    ck_assert_int_eq(faults_open_descriptors(), before);
    close(read.fd);
}
END_TEST

/* ---- the real machine ------------------------------------------------------------------ */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Through the public call, graphics drivers included. */
START_TEST(measure_the_real_machine_quickly)
{
    struct gov_device device;
    struct gov_measure_options options = {.size = sizeof(options),
                                          .directory = fresh_directory()};
    gov_error err = {0};
    int64_t begin;

    ck_assert_int_eq(gov_device_probe(&device, &err), GOV_OK);
    begin = now_ms();
    ck_assert_int_eq(gov_device_measure(&device, &options, &err), GOV_OK);
    ck_assert_int_eq(entries(options.directory), 0);
    /* The promise is 2 s; a loaded machine under a sanitizer gets more. */
    ck_assert_int_lt(now_ms() - begin, 10000);
    for (size_t i = 0; i < sizeof(quick_figures) / sizeof(quick_figures[0]);
         i++) {
        const struct gov_device_figure *f = &device.figures[quick_figures[i]];

        if (f->known)
            ck_assert_uint_gt(f->median, 0);
        else
            skip_test(gov_figure_info(quick_figures[i])->name, f->note);
    }
    ck_assert_uint_gt(median(&device, GOV_FIGURE_MEMORY_READ), 50 * MIB);
}
END_TEST

START_TEST(measure_the_real_machine_fully)
{
    struct gov_platform platform = *gov__platform_native();
    struct gov_device device;
    gov_error err = {0};

    memset(&fake, 0, sizeof(fake));
    platform.gpus = fake_gpus;
    ck_assert_int_eq(gov_device_probe(&device, &err), GOV_OK);
    /* The scratch file is 64 MiB then: `make check` is run often. */
    gov__device_set(&device, GOV_FACT_BUDGET_RAM, 256 * MIB, "test");
    ck_assert_int_eq(measure(&platform, &device, true, 0, &err), GOV_OK);
    for (unsigned i = 0; i < GOV_FIGURE_COUNT; i++) {
        const struct gov_device_figure *f = &device.figures[i];

        if (!f->known) {
            skip_test(gov_figure_info((gov_figure)i)->name, f->note);
            continue;
        }
        ck_assert_uint_gt(f->low, 0);
        ck_assert_uint_le(f->low, f->median);
        ck_assert_uint_le(f->median, f->high);
        if (gov_figure_info((gov_figure)i)->unit == GOV_UNIT_RATE)
            ck_assert_uint_gt(f->median, MIB / 2);
    }
    ck_assert(device.figures[GOV_FIGURE_MEMORY_READ].known);
    ck_assert(device.figures[GOV_FIGURE_MINOR_FAULT].known);
}
END_TEST

/* A file system that is made of memory. */
START_TEST(measure_in_memory)
{
    struct gov_platform platform = *gov__platform_native();
    char directory[] = "/dev/shm/governor-XXXXXX";
    struct gov_measure_options options = {.size = sizeof(options),
                                          .directory = directory};
    struct gov_device device;
    gov_error err = {0};

    memset(&fake, 0, sizeof(fake));
    platform.gpus = fake_gpus;
    if (mkdtemp(directory) == NULL) {
        skip_test("a file system in memory", "there is no /dev/shm");
        return;
    }
    ck_assert_int_eq(gov_device_probe(&device, &err), GOV_OK);
    ck_assert_int_eq(gov__device_measure(&platform, &device, &options, &err),
                     GOV_OK);
    ck_assert_int_eq(rmdir(directory), 0);
    if (strstr(device.measured_on, "(tmpfs)") == NULL) {
        skip_test("a file system in memory", device.measured_on);
        return;
    }
    ck_assert(!device.figures[GOV_FIGURE_READ_READAHEAD].known);
    ck_assert_str_eq(device.figures[GOV_FIGURE_READ_READAHEAD].note,
                     "this file system keeps files in memory");
    ck_assert(device.figures[GOV_FIGURE_MEMORY_READ].known);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("measure");
    TCase *tc = tcase_create("measure");

    suite_add_tcase(s, tc);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, measure_quick);
    tcase_add_test(tc, measure_full);
    tcase_add_loop_test(tc, measure_keeps_to_its_boxes, 0, 2);
    tcase_add_loop_test(tc, measure_can_be_cancelled_anywhere, 0, 2);
    tcase_add_test(tc, measure_stops_soon);
    tcase_add_test(tc, measure_marks_what_is_noisy);
    ADD_ROWS(tc, measure_says_what_it_left_out, unmeasurable);
    tcase_add_test(tc, measure_random_without_direct);
    tcase_add_test(tc, measure_in_a_relative_directory);
    tcase_add_test(tc, measure_where_nothing_can_be_written);
    tcase_add_test(tc, measure_refuses_what_is_no_device);
    ADD_ROWS(tc, measure_is_modest, rooms);
    tcase_add_loop_test(tc, measure_survives_failing_calls, 0, 2);
    tc = tcase_create("queue");
    suite_add_tcase(s, tc);
    tcase_set_timeout(tc, 30);
    ADD_ROWS(tc, queued_reads_bring_the_bytes, queued);
    tcase_add_test(tc, queued_reads_go_round);
    tcase_add_test(tc, queued_reads_fail_cleanly);
    tc = tcase_create("real");
    suite_add_tcase(s, tc);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, measure_the_real_machine_quickly);
    tcase_add_test(tc, measure_the_real_machine_fully);
    tcase_add_test(tc, measure_in_memory);
    return s;
}
