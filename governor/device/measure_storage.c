/* SPDX-License-Identifier: MIT */
/* How fast storage is, by every way to read a file, in a scratch file that has
 * no name. All ways take turns, so that a bad minute of the storage hits all of
 * them. Each read is cold: what it reads is not in memory, as the kernel says. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "governor/device/measure_priv.h"

/* Boxes of time. What is begun is finished: on storage of 20 MB/s the longest
 * is 8 MiB, 400 ms. A quick run is 450 ms of writing and 900 ms of reading, a
 * full one 5 s and 16 s. */
#define QUICK_WRITE_US 450000
#define FULL_WRITE_US 5000000
#define QUICK_READ_US 900000
#define FULL_READ_US 16000000
#define QUICK_PASS_US 100000
#define FULL_PASS_US 500000

#define QUICK_ROUNDS 3
#define FULL_ROUNDS 5
#define QUICK_FILE_BYTES (256 * GOV__MIB)
#define FULL_FILE_BYTES (1024 * GOV__MIB)
#define FILE_MIN_BYTES (16 * GOV__MIB) /* less says little about a rate */
#define STEP_MAX_BYTES (64 * GOV__MIB) /* written and forced out at once */
#define CHUNK_BYTES GOV__MIB           /* of one read */
#define POPULATE_BYTES (4 * GOV__MIB)
#define HUGE_BYTES (4 * GOV__MIB) /* as the governor streams: GOV__PART_BYTES */
#define QUEUE_DEPTH 8
#define RANDOM_BYTES 16384
#define RANDOM_READS 4096 /* a pass */
#define FAULTS 256        /* a pass */
#define WAITS 50          /* of 5 ms, in all */

#define READ_FROM 200 /* permille */
#define READ_TO 850

struct scratch {
    int fd;
    uint64_t bytes;
    bool direct;     /* the last pass passed the page cache by */
    uint64_t random; /* state of xorshift64, the same in every run */
    unsigned waits;  /* for what was still being read ahead */
};

enum direct { NEVER, ALWAYS, IF_POSSIBLE };

struct path {
    gov_figure figure;
    enum direct direct;
    unsigned members;
    unsigned chunks;     /* of the buffer that it reads into */
    unsigned box_divide; /* of the box of a pass */
    int (*work)(struct gov__team *team, unsigned member);
};

struct state {
    uint64_t samples[FULL_ROUNDS];
    size_t count;
    bool broken;     /* it failed, or cannot be; its figure has the note */
    bool not_direct; /* IF_POSSIBLE, and it was not */
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- the scratch file ---------------------------------------------------- */

/* A file that never had a name: nothing is left of it even after kill -9.
 * Returns its descriptor, or -1 where this system or file system has none. */
static int open_nameless(const char *directory)
{
#ifdef O_TMPFILE
    return open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
#else
    (void)directory;
    return -1;
#endif
}

/* Returns its descriptor, or -1 with errno. */
static int open_scratch(const struct gov__measuring *m, const char *directory)
{
    char name[4096];
    int fd = open_nameless(directory), error;

    for (unsigned attempt = 0; fd < 0 && attempt < 16; attempt++) {
        int n =
            snprintf(name, sizeof(name), "%s/governor-%ld-%" PRIu64 "-%u",
                     directory, (long)getpid(), gov__measure_now(m), attempt);

        if (n < 0 || (size_t)n >= sizeof(name)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  0600);
        if (fd >= 0 && unlink(name) != 0) {
            error = errno;
            close(fd);
            errno = error;
            return -1;
        }
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd;
}

/* A quarter of what is free and of the budget, in whole chunks; 0 when that is
 * too little, and *why says of what. Writing beyond RLIMIT_FSIZE would raise
 * SIGXFSZ in the host. */
static uint64_t scratch_bytes(const struct gov__measuring *m, int fd,
                              const char **why)
{
    uint64_t bytes = m->full ? FULL_FILE_BYTES : QUICK_FILE_BYTES;
    /* Its pages push others out of the cache of a small container. */
    uint64_t budget =
        gov_device_number(m->device, GOV_FACT_BUDGET_RAM, UINT64_MAX);
    struct statvfs info;
    struct rlimit own;

    *why = "less than 64 MiB of storage or memory are free";
    if (fstatvfs(fd, &info) == 0 && info.f_frsize > 0 &&
        info.f_bavail < bytes * 4 / info.f_frsize)
        bytes = (uint64_t)info.f_bavail * info.f_frsize / 4;
    if (budget / 4 < bytes)
        bytes = budget / 4;
    if (getrlimit(RLIMIT_FSIZE, &own) == 0 && own.rlim_cur < bytes) {
        bytes = (uint64_t)own.rlim_cur;
        *why = "a file of this process may not have 16 MiB (ulimit -f)";
    }
    bytes -= bytes % CHUNK_BYTES;
    return bytes >= FILE_MIN_BYTES ? bytes : 0;
}

/* Bytes that no file system or drive can make smaller. */
static void fill_chunk(unsigned char *chunk)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    for (size_t at = 0; at < CHUNK_BYTES; at += sizeof(state)) {
        (void)next_random(&state);
        memcpy(chunk + at, &state, sizeof(state));
    }
}

/* Writes one chunk, no block of which is the same as another of the file. */
static int write_chunk(int fd, unsigned char *chunk, uint64_t number)
{
    for (size_t at = 0; at < CHUNK_BYTES; at += 4096)
        memcpy(chunk + at, &number, sizeof(number));
    for (size_t done = 0; done < CHUNK_BYTES;) {
        ssize_t n = write(fd, chunk + done, CHUNK_BYTES - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        done += (size_t)n;
    }
    return 0;
}

/* In doubling steps, each forced out, until the file has all it should or the
 * next step would not fit the box. */
static int write_scratch(struct gov__team *team, unsigned member)
{
    struct gov__measuring *m = team->m;
    struct scratch *scratch = team->ctx;
    const uint64_t box = m->full ? FULL_WRITE_US : QUICK_WRITE_US;
    uint64_t begin = gov__measure_now(m), last = begin, step = CHUNK_BYTES;

    (void)member;
    while (scratch->bytes < team->want) {
        uint64_t end = scratch->bytes + step, now;

        while (scratch->bytes < end) {
            int error = write_chunk(scratch->fd, m->buffer, scratch->bytes);

            if (error != 0)
                return error;
            scratch->bytes += CHUNK_BYTES;
            if (!gov__team_go_on(team, CHUNK_BYTES))
                return 0;
        }
        if (fsync(scratch->fd) != 0)
            return errno;
        now = gov__measure_now(m);
        if (now - begin + 2 * (now - last) > box)
            break;
        last = now;
        if (step < STEP_MAX_BYTES)
            step *= 2;
        if (step > team->want - scratch->bytes)
            step = team->want - scratch->bytes;
    }
    return 0;
}

/* ---- cold ---------------------------------------------------------------- */

/* Returns NULL, and *error, when it cannot be mapped. */
static unsigned char *map_scratch(const struct scratch *scratch, int *error)
{
    void *base = mmap(NULL, (size_t)scratch->bytes, PROT_READ, MAP_SHARED,
                      scratch->fd, 0);

    *error = base == MAP_FAILED ? errno : 0;
    return base == MAP_FAILED ? NULL : base;
}

static int cached_bytes(const struct gov__measuring *m,
                        const struct scratch *scratch, uint64_t *out)
{
    int error;
    unsigned char *base = map_scratch(scratch, &error);

    if (base == NULL)
        return error;
    error = m->platform->resident(m->platform->ctx, base,
                                  (size_t)scratch->bytes, out);
    (void)munmap(base, (size_t)scratch->bytes);
    return error;
}

/* Empties the file out of memory. Returns NULL, or why it is not; then *error is
 * 0 when it may work the next time. What the kernel is still reading ahead cannot
 * be dropped, so that is waited for; a file system that is made of memory keeps
 * all of it, always. */
static const char *make_cold(struct gov__measuring *m, struct scratch *scratch,
                             uint64_t permille, int *error)
{
    const struct timespec pause = {0, 5000000};
    const struct gov_platform *platform = m->platform;

    for (;;) {
        uint64_t cached = 0;

        *error = platform->drop_cached(platform->ctx, scratch->fd, 0,
                                       scratch->bytes);
        if (*error != 0)
            return "the page cache cannot be emptied";
        *error = cached_bytes(m, scratch, &cached);
        if (*error != 0)
            return "what is in the page cache cannot be told";
        if (cached <= scratch->bytes / 32)
            return NULL;
        if (cached >= scratch->bytes || scratch->waits++ >= WAITS)
            return "this file system keeps files in memory";
        if (!gov__measure_go_on(m, permille, "emptying the page cache"))
            return "cancelled";
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- ways to read ---------------------------------------------------------- */

static int read_fully(int fd, unsigned char *to, size_t bytes, uint64_t offset)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, to + done, bytes - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        done += (size_t)n;
    }
    return 0;
}

/* Each member its share of the file, in order. */
static int read_in_order(struct gov__team *team, unsigned member)
{
    const struct scratch *scratch = team->ctx;
    unsigned char *to = team->m->buffer + member * CHUNK_BYTES;
    uint64_t share = scratch->bytes / team->members;
    uint64_t at = share * member, end = at + share;
    bool more = true;

    while (more && at < end) {
        uint64_t n = end - at < CHUNK_BYTES ? end - at : CHUNK_BYTES;
        int error = read_fully(scratch->fd, to, (size_t)n, at);

        if (error != 0)
            return error;
        at += n;
        more = gov__team_go_on(team, n);
    }
    return 0;
}

/* As cold weights are streamed: each part into memory of its own, whose pages are
 * zeroed first. What is filled is not put over a mapping: that takes 1 us. */
static int read_into_huge(struct gov__team *team, unsigned member)
{
    const struct gov_platform *platform = team->m->platform;
    const struct scratch *scratch = team->ctx;
    bool more = true;
    int error = 0;

    (void)member;
    for (uint64_t at = 0; more && error == 0 && at < scratch->bytes;) {
        uint64_t n = scratch->bytes - at;
        void *part;

        if (n > HUGE_BYTES)
            n = HUGE_BYTES;
        error = platform->stage(platform->ctx, NULL, (size_t)n, &part);
        if (error != 0)
            return error;
        error = read_fully(scratch->fd, part, (size_t)n, at);
        (void)platform->unstage(platform->ctx, part, (size_t)n);
        at += n;
        more = error == 0 && gov__team_go_on(team, n);
    }
    return error;
}

static int read_by_mapping(struct gov__team *team, unsigned member)
{
    const struct gov_platform *platform = team->m->platform;
    const struct scratch *scratch = team->ctx;
    bool more = true;
    int error;
    unsigned char *base = map_scratch(scratch, &error);

    (void)member;
    if (base == NULL)
        return error;
    for (uint64_t at = 0; more && error == 0 && at < scratch->bytes;) {
        uint64_t n = scratch->bytes - at;

        if (n > POPULATE_BYTES)
            n = POPULATE_BYTES;
        error = platform->populate(platform->ctx, base + at, (size_t)n);
        at += n;
        more = error == 0 && gov__team_go_on(team, n);
    }
    (void)munmap(base, (size_t)scratch->bytes);
    return error;
}

/* In pieces of about a tenth of a second, so that it can be stopped: each ends
 * with an empty queue, so they should not be short. */
static int read_by_queue(struct gov__team *team, unsigned member)
{
    const struct gov_platform *platform = team->m->platform;
    const struct scratch *scratch = team->ctx;
    uint64_t piece = QUEUE_DEPTH * CHUNK_BYTES;
    struct gov__queued_read read = {.fd = scratch->fd,
                                    .buffer = team->m->buffer,
                                    .chunk = CHUNK_BYTES,
                                    .depth = QUEUE_DEPTH};
    bool more = true;

    (void)member;
    /* A seccomp filter may end whoever tries again: the probe tried in a child
     * of its own. */
    if (gov_device_number(team->m->device, GOV_FACT_DEVICE_IO_URING, 1) == 0)
        return EPERM;
    while (more && read.offset < scratch->bytes) {
        uint64_t from = gov__measure_now(team->m), done = 0;
        int error;

        read.bytes = scratch->bytes - read.offset;
        if (read.bytes > piece)
            read.bytes = piece;
        error = platform->read_queued(platform->ctx, &read, &done);
        if (error != 0)
            return error;
        read.offset += read.bytes;
        more = gov__team_go_on(team, read.bytes);
        if (gov__measure_now(team->m) - from < 50000)
            piece *= 2;
    }
    return 0;
}

static int read_at_random(struct gov__team *team, unsigned member)
{
    struct scratch *scratch = team->ctx;
    const uint64_t places = scratch->bytes / RANDOM_BYTES;
    bool more = true;

    (void)member;
    for (unsigned i = 0; more && i < RANDOM_READS; i++) {
        uint64_t at = next_random(&scratch->random) % places * RANDOM_BYTES;
        int error = read_fully(scratch->fd, team->m->buffer, RANDOM_BYTES, at);

        if (error != 0)
            return error;
        more = gov__team_go_on(team, RANDOM_BYTES);
    }
    return 0;
}

/* populate() of one page is the fault that a touch would be, but answers an
 * error where a touch raises SIGBUS in the host. Where it only starts to read
 * (before Linux 5.14), the touch waits for the page. */
static int fault_at_random(struct gov__team *team, unsigned member)
{
    const struct gov_platform *platform = team->m->platform;
    struct scratch *scratch = team->ctx;
    const size_t page = platform->page_bytes(platform->ctx);
    bool more = true;
    int error;
    unsigned char *base = map_scratch(scratch, &error);

    (void)member;
    if (base == NULL)
        return error;
    error = platform->advise(platform->ctx, base, (size_t)scratch->bytes,
                             GOV__ADVICE_RANDOM);
    for (unsigned i = 0; more && error == 0 && i < FAULTS; i++) {
        uint64_t number =
            next_random(&scratch->random) % (scratch->bytes / page);

        error = platform->populate(platform->ctx, base + number * page, page);
        if (error == 0) {
            (void)*(volatile unsigned char *)(base + number * page);
            more = gov__team_go_on(team, 1);
        }
    }
    (void)munmap(base, (size_t)scratch->bytes);
    return error;
}

static const struct path paths[] = {
    {GOV_FIGURE_READ_READAHEAD, NEVER, 1, 1, 1, read_in_order},
    {GOV_FIGURE_READ_POPULATE, NEVER, 1, 0, 1, read_by_mapping},
    {GOV_FIGURE_READ_PARALLEL, NEVER, 4, 4, 1, read_in_order},
    {GOV_FIGURE_READ_DIRECT, ALWAYS, 1, 1, 1, read_in_order},
    {GOV_FIGURE_READ_IO_URING, ALWAYS, 1, QUEUE_DEPTH, 1, read_by_queue},
    {GOV_FIGURE_READ_HUGE, ALWAYS, 1, 4, 1, read_into_huge},
    {GOV_FIGURE_READ_RANDOM, IF_POSSIBLE, 1, 1, 2, read_at_random},
    {GOV_FIGURE_MAJOR_FAULT, NEVER, 1, 0, 2, fault_at_random},
};

enum { PATHS = sizeof(paths) / sizeof(paths[0]) };

/* ---- rounds ---------------------------------------------------------------- */

static uint64_t want_of(const struct path *path, const struct scratch *scratch)
{
    if (path->work == read_at_random)
        return (uint64_t)RANDOM_READS * RANDOM_BYTES;
    return path->work == fault_at_random ? FAULTS : scratch->bytes;
}

/* Runs the path once. Returns NULL, or why it did not come to an end. */
static const char *run_once(struct scratch *scratch, const struct path *path,
                            struct gov__team *team, int *error)
{
    const struct gov_platform *platform = team->m->platform;
    bool direct = false;

    if (path->direct != NEVER) {
        *error = platform->set_direct(platform->ctx, scratch->fd, true);
        direct = *error == 0;
    }
    if (path->direct == ALWAYS && !direct)
        return "the page cache cannot be passed by";
    *error = gov__team_run(team);
    if (direct)
        (void)platform->set_direct(platform->ctx, scratch->fd, false);
    scratch->direct = direct;
    if (*error == 0)
        return NULL;
    if (team->unstarted)
        return "a thread cannot be started";
    return path->work == read_by_queue ? "reads cannot be queued with io_uring"
                                       : "the scratch file cannot be read";
}

static void run_pass(struct gov__measuring *m, struct scratch *scratch,
                     const struct path *path, struct state *state,
                     uint32_t from)
{
    struct gov__team team = {
        .m = m,
        .work = path->work,
        .ctx = scratch,
        .members = path->members,
        .box_us = (m->full ? FULL_PASS_US : QUICK_PASS_US) / path->box_divide,
        .what = gov_figure_info(path->figure)->sentence,
        .from = from,
        .to = from + (READ_TO - READ_FROM) / (FULL_ROUNDS * PATHS),
        .want = want_of(path, scratch)};
    int error = 0;
    const char *why = run_once(scratch, path, &team, &error);
    uint64_t done = atomic_load(&team.done);

    if (why != NULL) {
        state->broken = true;
        gov__measure_note(m, path->figure, error, why);
        return;
    }
    state->not_direct = path->direct != NEVER && !scratch->direct;
    state->samples[state->count++] =
        gov_figure_info(path->figure)->unit == GOV_UNIT_NS
            ? team.us * 1000 / (done > 0 ? done : 1)
            : gov__measure_rate(done, team.us);
}

static void measure_path(struct gov__measuring *m, struct scratch *scratch,
                         unsigned index, struct state *state, uint32_t permille)
{
    const struct path *path = &paths[index];
    const char *why;
    int error;

    if (state->broken || (gov_figure_info(path->figure)->full && !m->full))
        return;
    if (path->chunks * CHUNK_BYTES > m->buffer_bytes) {
        state->broken = true;
        gov__measure_note(m, path->figure, 0, "too little memory is free");
        return;
    }
    why = make_cold(m, scratch, permille, &error);
    if (why == NULL) {
        run_pass(m, scratch, path, state, permille);
    } else if (error != 0 || state->count == 0) {
        state->broken = error != 0;
        gov__measure_note(m, path->figure, error, why);
    }
}

static void read_scratch(struct gov__measuring *m, struct scratch *scratch)
{
    struct state states[PATHS];
    const unsigned rounds = m->full ? FULL_ROUNDS : QUICK_ROUNDS;
    const uint64_t box = m->full ? FULL_READ_US : QUICK_READ_US;
    uint64_t begin = gov__measure_now(m);

    memset(states, 0, sizeof(states));
    for (unsigned i = 0; i < rounds * PATHS && !m->cancelled; i++) {
        if (i >= PATHS && gov__measure_now(m) - begin > box)
            break;
        measure_path(m, scratch, i % PATHS, &states[i % PATHS],
                     READ_FROM + i * (READ_TO - READ_FROM) / (rounds * PATHS));
    }
    for (unsigned i = 0; i < PATHS && !m->cancelled; i++) {
        char note[96];

        if (states[i].broken || states[i].count == 0)
            continue;
        gov__measure_known(m, paths[i].figure, states[i].samples,
                           states[i].count);
        snprintf(note, sizeof(note), "in a file of %" PRIu64 " MiB only",
                 scratch->bytes / GOV__MIB);
        if (states[i].not_direct)
            gov__measure_note(m, paths[i].figure, 0, "through the page cache");
        else if (scratch->bytes < FILE_MIN_BYTES)
            gov__measure_note(m, paths[i].figure, 0, note);
    }
}

/* ---- the whole ------------------------------------------------------------- */

static void none(struct gov__measuring *m, int error, const char *why)
{
    for (unsigned i = 0; i < PATHS; i++)
        if (m->full || !gov_figure_info(paths[i].figure)->full)
            gov__measure_note(m, paths[i].figure, error, why);
}

/* "/var/tmp (ext4)". It is read later and elsewhere, where a relative name means
 * another directory. */
static void tell_where(struct gov__measuring *m, int fd, const char *directory)
{
    char text[sizeof(m->device->measured_on)], kind[24], whole[PATH_MAX];
    int error =
        m->platform->file_system(m->platform->ctx, fd, kind, sizeof(kind));

    if (directory[0] != '/' && realpath(directory, whole) != NULL)
        directory = whole;
    if (error == 0)
        snprintf(text, sizeof(text), "%.128s (%s)", directory, kind);
    else
        snprintf(text, sizeof(text), "%.159s", directory);
    gov__copy_printable(m->device->measured_on, sizeof(text), text);
}

static void write_and_read(struct gov__measuring *m, struct scratch *scratch)
{
    struct gov__team team = {.m = m,
                             .work = write_scratch,
                             .ctx = scratch,
                             .members = 1,
                             .what = "writing a scratch file",
                             .from = 20,
                             .to = READ_FROM};
    const char *why;
    int error;

    team.want = scratch_bytes(m, scratch->fd, &why);
    if (team.want == 0) {
        none(m, 0, why);
        return;
    }
    fill_chunk(m->buffer);
    error = gov__team_run(&team);
    if (error != 0)
        none(m, error,
             team.unstarted ? "a thread cannot be started"
                            : "the scratch file cannot be written");
    else
        read_scratch(m, scratch);
}

static int close_scratch(struct gov__team *team, unsigned member)
{
    struct scratch *scratch = team->ctx;

    (void)member;
    close(scratch->fd);
    scratch->fd = -1;
    return 0;
}

/* Its bytes go back to the file system, which takes a second for 1 GiB where that
 * tells the drive (ext4 with "discard"): no screen should wait for it. */
static void let_go(struct gov__measuring *m, struct scratch *scratch)
{
    struct gov__team team = {.m = m,
                             .work = close_scratch,
                             .ctx = scratch,
                             .members = 1,
                             .what = "removing the scratch file",
                             .from = READ_TO,
                             .to = READ_TO};

    (void)gov__team_run(&team);
    if (scratch->fd >= 0) /* cancelled, or no thread */
        close(scratch->fd);
}

void gov__measure_storage(struct gov__measuring *m, const char *directory)
{
    struct scratch scratch = {.fd = open_scratch(m, directory),
                              .random = UINT64_C(0x9e3779b97f4a7c15)};
    char why[80];

    if (scratch.fd < 0) {
        int error = errno;

        snprintf(why, sizeof(why), "no scratch file in %.32s%s", directory,
                 strlen(directory) > 32 ? "..." : "");
        none(m, error, why);
        return;
    }
    tell_where(m, scratch.fd, directory);
    write_and_read(m, &scratch);
    let_go(m, &scratch);
}
