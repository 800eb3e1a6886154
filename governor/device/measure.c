/* SPDX-License-Identifier: MIT */
/* Owns what can only be known by trying: how fast storage and memory are here.
 * Keeps inside a box of time and of memory, and leaves nothing behind, however
 * it ends. Never stores what it finds. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "governor/device/device_priv.h"

#define MIB ((uint64_t)1 << 20)

/* The boxes add up to 1.7 s; what is begun is finished, which is the rest of
 * the two seconds on storage of 20 MB/s and more. */
#define WRITE_BOX_US 500000 /* writing the scratch file */
#define PASS_BOX_US 250000  /* reading it, each time */
#define MEMORY_BOX_US 200000
#define GIVE_BACK_BOX_US 200000

#define PASSES 3        /* reads of the scratch file */
#define SUMS 5          /* reads of the buffer */
#define RETURNS 3       /* times the buffer is given back */
#define CHUNK_BYTES MIB /* of one read; readahead is far smaller */
#define FILE_MAX_BYTES (256 * MIB)
#define FILE_MIN_BYTES (16 * MIB) /* less says little about a rate */
#define BUFFER_BYTES (64 * MIB)
#define UNCACHED_BYTES (32 * MIB) /* as much as most cores have of any cache */

struct job {
    const struct gov_platform *platform;
    struct gov_device device; /* the caller's, until it is done */
    gov_progress_fn progress;
    void *progress_ctx;
    gov_error *err; /* never NULL: collects what was left out */
    unsigned char *buffer;
    size_t buffer_bytes;
};

static uint64_t now_us(const struct job *job)
{
    return job->platform->now_us(job->platform->ctx);
}

/* Returns false to stop. */
static bool go_on(const struct job *job, uint64_t permille, const char *what)
{
    return job->progress == NULL ||
           job->progress(job->progress_ctx, (uint32_t)permille, what);
}

/* Adds one sentence on a measurement that is missing. */
static void left_out(struct job *job, const char *what, int error,
                     const char *why)
{
    size_t used = strlen(job->err->message);
    gov_error one;

    (void)gov_fail(&one, GOV_E_IO, error, "%s not measured: %s", what, why);
    if (used == 0)
        *job->err = one;
    else
        snprintf(job->err->message + used, sizeof(job->err->message) - used,
                 "; %s", one.message);
}

/* ---- samples ------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The median, never 0; noisy when the spread is over a quarter of it. */
static uint64_t median(uint64_t *samples, size_t count, bool *noisy)
{
    uint64_t middle;

    qsort(samples, count, sizeof(samples[0]), compare);
    middle = samples[count / 2] > 0 ? samples[count / 2] : 1;
    *noisy = samples[count - 1] - samples[0] > middle / 4;
    return middle;
}

static uint64_t rate(uint64_t bytes, uint64_t us)
{
    return bytes * 1000000 / (us > 0 ? us : 1);
}

/* ---- storage ------------------------------------------------------------- */

/* A file without a name: nothing is left of it even after kill -9. Returns its
 * descriptor, or -1 with errno. */
static int open_scratch(const struct job *job, const char *directory)
{
    char name[4096];
    int fd = -1;

    for (unsigned attempt = 0; attempt < 16; attempt++) {
        int n = snprintf(name, sizeof(name), "%s/governor-%ld-%" PRIu64 "-%u",
                         directory, (long)getpid(), now_us(job), attempt);

        if (n < 0 || (size_t)n >= sizeof(name)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  0600);
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    if (fd >= 0 && unlink(name) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int write_fully(int fd, const unsigned char *from, uint64_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, from, (size_t)bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        from += n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

/* Fills the scratch file in doubling steps, each forced out, until it has
 * `want` bytes or the next step would not fit the box. */
static int write_scratch(struct job *job, int fd, uint64_t want,
                         uint64_t *written, bool *cancelled)
{
    uint64_t begin = now_us(job), last = begin, step = MIB;

    for (*written = 0; *written < want;) {
        uint64_t now;
        int error = 0;

        for (uint64_t done = 0; done < step && error == 0; done += CHUNK_BYTES)
            error = write_fully(fd, job->buffer, CHUNK_BYTES);
        if (error == 0 && fdatasync(fd) != 0)
            error = errno;
        if (error != 0)
            return error;
        *written += step;
        if (!go_on(job, *written * 300 / want, "writing a scratch file")) {
            *cancelled = true;
            return 0;
        }
        now = now_us(job);
        if (now - begin + 2 * (now - last) > WRITE_BOX_US)
            break;
        last = now;
        if (step < 32 * MIB)
            step *= 2;
        if (step > want - *written)
            step = want - *written;
    }
    return 0;
}

/* How much of the file is in memory; a file system that is made of memory keeps
 * all of it, and reading it would measure that. */
static int cached_bytes(struct job *job, int fd, uint64_t bytes, uint64_t *out)
{
    const struct gov_platform *platform = job->platform;
    void *base = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0);
    int error;

    if (base == MAP_FAILED)
        return errno;
    error = platform->resident(platform->ctx, base, (size_t)bytes, out);
    (void)munmap(base, (size_t)bytes);
    return error;
}

/* Empties the file out of memory. Returns NULL, or why it cannot. */
static const char *make_cold(struct job *job, int fd, uint64_t bytes,
                             int *error)
{
    const struct gov_platform *platform = job->platform;
    uint64_t cached = 0;

    *error = platform->drop_cached(platform->ctx, fd, 0, bytes);
    if (*error != 0)
        return "the page cache cannot be emptied";
    *error = cached_bytes(job, fd, bytes, &cached);
    if (*error != 0)
        return "what is in the page cache cannot be told";
    if (cached > bytes / 32)
        return "this file system keeps files in memory";
    return NULL;
}

/* One pass over the file, or over what the box allows. */
static int read_pass(struct job *job, int fd, uint64_t bytes, unsigned pass,
                     uint64_t *bytes_per_s, bool *cancelled)
{
    uint64_t begin = now_us(job), done = 0, us = 0;

    while (done < bytes && us < PASS_BOX_US) {
        ssize_t n = pread(fd, job->buffer, CHUNK_BYTES, (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        done += (uint64_t)n;
        us = now_us(job) - begin;
        /* Sixteen reads are a few milliseconds. */
        if (done % (16 * CHUNK_BYTES) == 0 &&
            !go_on(job, 300 + pass * 150 + done * 150 / bytes,
                   "reading it from storage")) {
            *cancelled = true;
            return 0;
        }
    }
    *bytes_per_s = rate(done, us);
    return 0;
}

static void read_scratch(struct job *job, int fd, uint64_t bytes,
                         bool *cancelled)
{
    uint64_t samples[PASSES];
    const char *why;
    int error = 0;

    for (unsigned pass = 0; pass < PASSES; pass++) {
        why = make_cold(job, fd, bytes, &error);
        if (why == NULL) {
            error = read_pass(job, fd, bytes, pass, &samples[pass], cancelled);
            if (*cancelled)
                return;
            if (error != 0)
                why = "the scratch file cannot be read";
        }
        if (why != NULL) {
            left_out(job, "read rate", error, why);
            return;
        }
    }
    job->device.read_rate =
        median(samples, PASSES, &job->device.read_rate_noisy);
    /* Storage so slow that the box held little of it. */
    if (bytes < FILE_MIN_BYTES)
        job->device.read_rate_noisy = true;
    job->device.have |= GOV_DEVICE_HAVE_READ_RATE;
}

/* A quarter of what is free and of the budget, in whole chunks; 0 when that is
 * too little. Writing beyond RLIMIT_FSIZE would raise SIGXFSZ in the host. */
static uint64_t scratch_bytes(const struct job *job, int fd)
{
    struct statvfs info;
    struct rlimit own;
    uint64_t bytes = FILE_MAX_BYTES;

    if (fstatvfs(fd, &info) == 0 && info.f_frsize > 0 &&
        info.f_bavail < FILE_MAX_BYTES * 4 / info.f_frsize)
        bytes = (uint64_t)info.f_bavail * info.f_frsize / 4;
    if (getrlimit(RLIMIT_FSIZE, &own) == 0 && own.rlim_cur < bytes)
        bytes = (uint64_t)own.rlim_cur;
    /* Its pages push others out of the cache of a small container. */
    if (job->device.budget_bytes > 0 && job->device.budget_bytes / 4 < bytes)
        bytes = job->device.budget_bytes / 4;
    bytes -= bytes % CHUNK_BYTES;
    return bytes >= FILE_MIN_BYTES ? bytes : 0;
}

static void measure_storage(struct job *job, const char *directory,
                            bool *cancelled)
{
    int fd = open_scratch(job, directory);
    uint64_t want, written = 0;
    int error;

    if (fd < 0) {
        left_out(job, "read rate", errno, directory);
        return;
    }
    want = scratch_bytes(job, fd);
    error = want > 0 ? write_scratch(job, fd, want, &written, cancelled) : 0;
    if (want == 0)
        left_out(job, "read rate", 0,
                 "less than 64 MiB of storage or memory are free");
    else if (error != 0)
        left_out(job, "read rate", error, "the scratch file cannot be written");
    else if (!*cancelled)
        read_scratch(job, fd, written, cancelled);
    close(fd);
}

/* ---- memory -------------------------------------------------------------- */

/* Writes one byte a page; returns nanoseconds a page. */
static uint64_t touch(const struct job *job)
{
    size_t page = job->platform->page_bytes(job->platform->ctx);
    uint64_t begin = now_us(job);

    for (size_t at = 0; at < job->buffer_bytes; at += page)
        *(volatile unsigned char *)(job->buffer + at) = 1;
    return (now_us(job) - begin) * 1000 / (job->buffer_bytes / page);
}

/* Four sums, so that adding never waits for the sum before. */
static uint64_t sum(const unsigned char *from, size_t bytes)
{
    uint64_t a = 0, b = 0, c = 0, d = 0, word[4];

    for (size_t at = 0; at + sizeof(word) <= bytes; at += sizeof(word)) {
        memcpy(word, from + at, sizeof(word));
        a += word[0];
        b += word[1];
        c += word[2];
        d += word[3];
    }
    return a + b + c + d;
}

static void measure_memory_rate(struct job *job, bool *cancelled)
{
    uint64_t begin = now_us(job), samples[SUMS];
    size_t count = 0;
    volatile uint64_t kept; /* or the loop would be taken out */

    if (job->buffer_bytes < UNCACHED_BYTES) {
        left_out(job, "memory rate", 0,
                 "too little memory is free for more than the caches hold");
        return;
    }
    while (count < SUMS &&
           (count == 0 || now_us(job) - begin < MEMORY_BOX_US)) {
        uint64_t from = now_us(job);

        kept = sum(job->buffer, job->buffer_bytes);
        (void)kept;
        samples[count++] = rate(job->buffer_bytes, now_us(job) - from);
        if (!go_on(job, 760 + count * 20, "reading memory")) {
            *cancelled = true;
            return;
        }
    }
    job->device.memory_rate =
        median(samples, count, &job->device.memory_rate_noisy);
    job->device.have |= GOV_DEVICE_HAVE_MEMORY_RATE;
}

/* Gives the buffer back and touches it again; `first_ns` is what the first
 * touch cost a page. */
static void measure_give_back(struct job *job, uint64_t first_ns,
                              bool *cancelled)
{
    const struct gov_platform *platform = job->platform;
    uint64_t returns[RETURNS], faults[RETURNS + 1] = {first_ns};
    uint64_t begin = now_us(job);
    size_t count = 0;
    int error = 0;

    while (count < RETURNS &&
           (count == 0 || now_us(job) - begin < GIVE_BACK_BOX_US)) {
        uint64_t from = now_us(job);

        error =
            platform->discard(platform->ctx, job->buffer, job->buffer_bytes);
        if (error != 0)
            break;
        faults[count + 1] = touch(job);
        /* A smaller buffer costs less in proportion: it is all per page. */
        returns[count] =
            (now_us(job) - from) * BUFFER_BYTES / job->buffer_bytes;
        count++;
        if (!go_on(job, 880 + count * 40, "giving memory back")) {
            *cancelled = true;
            return;
        }
    }
    job->device.minor_fault_ns =
        median(faults, count + 1, &job->device.minor_fault_noisy);
    job->device.have |= GOV_DEVICE_HAVE_FAULT_COST;
    if (error != 0 || count == 0) {
        left_out(job, "give-back", error, "memory cannot be given back");
        return;
    }
    job->device.give_back_us =
        median(returns, count, &job->device.give_back_noisy);
    job->device.have |= GOV_DEVICE_HAVE_GIVE_BACK;
}

static uint64_t less(uint64_t n, uint64_t by)
{
    return n > by ? n - by : 0;
}

/* An eighth of what may still be used at most: measuring must not be what gets
 * the app killed. At least one chunk, without which nothing can be done. */
static size_t buffer_bytes(const struct job *job)
{
    const struct gov_platform *platform = job->platform;
    struct gov__machine machine;
    struct gov__limit limit;
    uint64_t left = UINT64_MAX, bytes = BUFFER_BYTES;
    int error = platform->limit(platform->ctx, &limit);

    if (error == 0 && limit.limit_bytes != UINT64_MAX)
        left = less(less(limit.limit_bytes,
                         less(limit.used_bytes, limit.used_file_bytes)),
                    limit.short_bytes);
    else if (error != 0 && error != ENOTSUP)
        left = 0; /* there may be one */
    /* Where what is available is not told, a quarter may be. */
    if (platform->machine(platform->ctx, &machine) == 0) {
        if (machine.available_bytes == 0)
            machine.available_bytes = machine.total_bytes / 4;
        if (machine.available_bytes < left)
            left = machine.available_bytes;
    }
    if (left / 8 < bytes)
        bytes = left / 8;
    bytes -= bytes % CHUNK_BYTES;
    return (size_t)(bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES);
}

/* Bytes that no file system or drive can make smaller (xorshift64). */
static void fill_chunk(unsigned char *chunk)
{
    uint64_t word = UINT64_C(0x9e3779b97f4a7c15);

    for (size_t at = 0; at < CHUNK_BYTES; at += sizeof(word)) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        memcpy(chunk + at, &word, sizeof(word));
    }
}

/* ---- the whole ----------------------------------------------------------- */

static gov_status measure_all(struct job *job, const char *directory)
{
    bool cancelled = !go_on(job, 0, "touching memory");
    uint64_t first_ns = 0;

    if (!cancelled) {
        first_ns = touch(job);
        fill_chunk(job->buffer);
        measure_storage(job, directory, &cancelled);
    }
    if (!cancelled)
        measure_memory_rate(job, &cancelled);
    if (!cancelled)
        measure_give_back(job, first_ns, &cancelled);
    if (cancelled)
        return gov_fail(job->err, GOV_E_CANCELLED, 0,
                        "measuring was cancelled; nothing was kept");
    return GOV_OK;
}

gov_status gov__device_measure(const struct gov_platform *platform,
                               struct gov_device *device, const char *directory,
                               gov_progress_fn progress, void *progress_ctx,
                               gov_error *err)
{
    const uint32_t figures =
        GOV_DEVICE_HAVE_READ_RATE | GOV_DEVICE_HAVE_FAULT_COST |
        GOV_DEVICE_HAVE_MEMORY_RATE | GOV_DEVICE_HAVE_GIVE_BACK;
    struct job job = {.platform = platform,
                      .progress = progress,
                      .progress_ctx = progress_ctx};
    gov_error unwanted;
    gov_status status;
    void *buffer;
    int error;

    if (device == NULL || device->size != sizeof(*device))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the device was never probed; call gov_device_probe() "
                        "first");
    job.err = err != NULL ? err : &unwanted;
    memset(job.err, 0, sizeof(*job.err));
    job.device = *device;
    job.device.have &= ~figures;
    job.buffer_bytes = buffer_bytes(&job);
    error = platform->map(platform->ctx, job.buffer_bytes, "governor measure",
                          &buffer);
    if (error != 0) {
        left_out(&job, "the device", error, "no memory to measure with");
        return GOV_OK;
    }
    job.buffer = buffer;
    status = measure_all(&job, directory);
    (void)platform->unmap(platform->ctx, buffer, job.buffer_bytes);
    if (status != GOV_OK)
        return status;
    if (job.device.have & figures)
        job.device.measured_at = (int64_t)time(NULL);
    *device = job.device;
    return GOV_OK;
}

gov_status gov_device_measure(struct gov_device *device, const char *directory,
                              gov_progress_fn progress, void *progress_ctx,
                              gov_error *err)
{
    if (directory == NULL) /* NOLINTNEXTLINE(concurrency-mt-unsafe): reads */
        directory = getenv("TMPDIR");
    if (directory == NULL || directory[0] == '\0')
        directory = "/var/tmp";
    return gov__device_measure(gov__platform_native(), device, directory,
                               progress, progress_ctx, err);
}
