/* SPDX-License-Identifier: MIT */
/* readrate FILE: how fast this machine reads a share of a file now, in this
 * memory cgroup: the bandwidth that a benchmark's floor is made of. Knows nothing
 * of the governor.
 *
 *   --bytes N      read so many of the file, in parts of 4 MiB spread evenly over
 *                  it (all)
 *   --direct N     past the page cache, N threads with reads of 4 MiB, into huge
 *                  pages that are used again, 32 MiB in turns, which is what a window
 *                  of weights takes; else through a mapping, dropped behind: all of
 *                  the file as the kernel reads ahead, of a share of it a part ahead
 *   --new          with --direct: into memory that is not used again, touched
 *                  before, as what stays takes
 *   --huge         through a mapping in huge pages of the file (MADV_HUGEPAGE), one
 *                  part after the other
 *   --passes N     once again (1)
 *
 * What is in the page cache of the file is dropped first. Prints one JSON object
 * a pass. Exit status 77 where the file cannot be read in that way. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PART ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20)
#define TURNS 8 /* parts that the memory of a thread holds */
/* One call of more is cut short without a word (read_ahead_kb). */
#define AHEAD ((size_t)512 << 10)
#define THREADS 16
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; Debian 12's headers have it */
#endif

struct reader {
    const char *path;
    int fd;
    uint64_t size, bytes; /* of the file; to read of it */
    unsigned char *base;
    int threads; /* 0: through the mapping */
    bool fresh;  /* no memory is used again */
    bool huge;   /* pages of the file */
    int passes;
    pthread_mutex_t lock;
    pthread_cond_t all;
    int made;              /* threads whose memory is made */
    double start, cpu;     /* when all of them were */
    uint64_t next, failed; /* part; errno value */
};

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Of all threads, in seconds. */
static double cpu(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static uint64_t parts(const struct reader *reader)
{
    return (reader->bytes + PART - 1) / PART;
}

/* The nth part that is read: its offset and bytes. */
static uint64_t part_at(const struct reader *reader, uint64_t n, size_t *bytes)
{
    const uint64_t all = (reader->size + PART - 1) / PART;
    uint64_t offset = n * all / parts(reader) * PART;

    *bytes =
        reader->size - offset < PART ? (size_t)(reader->size - offset) : PART;
    return offset;
}

static void drop(const struct reader *reader, uint64_t offset, size_t bytes)
{
    if (reader->base != NULL)
        madvise(reader->base + offset, bytes, MADV_DONTNEED);
    posix_fadvise(reader->fd, (off_t)offset, (off_t)bytes, POSIX_FADV_DONTNEED);
}

static void look_ahead(const struct reader *reader, uint64_t n)
{
    size_t bytes, at = 0;
    uint64_t offset;

    if (n >= parts(reader) || reader->bytes == reader->size || reader->huge)
        return;
    for (offset = part_at(reader, n, &bytes); at < bytes; at += AHEAD)
        madvise(reader->base + offset + at,
                bytes - at < AHEAD ? bytes - at : AHEAD, MADV_WILLNEED);
}

static uint64_t read_mapped(struct reader *reader)
{
    uint64_t done = 0;
    size_t bytes;

    look_ahead(reader, 0);
    for (uint64_t n = 0; n < parts(reader); n++) {
        uint64_t offset = part_at(reader, n, &bytes);

        look_ahead(reader, n + 1);
        if (madvise(reader->base + offset, bytes, MADV_POPULATE_READ) != 0) {
            reader->failed = (uint64_t)errno;
            return 0;
        }
        drop(reader, offset, bytes);
        done += bytes;
    }
    return done;
}

/* The next part that nobody has taken. */
static bool take(struct reader *reader, uint64_t *offset, size_t *bytes)
{
    bool there;

    pthread_mutex_lock(&reader->lock);
    there = reader->failed == 0 && reader->next < parts(reader);
    if (there)
        *offset = part_at(reader, reader->next++, bytes);
    pthread_mutex_unlock(&reader->lock);
    return there;
}

static void fail(struct reader *reader, int error)
{
    pthread_mutex_lock(&reader->lock);
    reader->failed = (uint64_t)error;
    pthread_mutex_unlock(&reader->lock);
}

/* Making the memory is no part of reading. */
static void wait_for_all(struct reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    if (++reader->made == reader->threads) {
        reader->start = now();
        reader->cpu = cpu();
        pthread_cond_broadcast(&reader->all);
    }
    while (reader->made < reader->threads)
        pthread_cond_wait(&reader->all, &reader->lock);
    pthread_mutex_unlock(&reader->lock);
}

static void *read_some(void *arg)
{
    struct reader *reader = arg;
    void *buffer = NULL;
    const uint64_t turns = reader->fresh ? parts(reader) : TURNS;
    uint64_t offset, turn = 0;
    size_t bytes;
    int rc = posix_memalign(&buffer, HUGE_PAGE, turns * PART);

    if (rc != 0) {
        fail(reader, rc);
        return NULL;
    }
    madvise(buffer, turns * PART, MADV_HUGEPAGE);
    memset(buffer, 1, turns * PART);
    wait_for_all(reader);
    while (take(reader, &offset, &bytes)) {
        char *part = (char *)buffer + turn++ % turns * PART;

        for (size_t done = 0; done < bytes;) {
            ssize_t n = pread(reader->fd, part + done, PART - done,
                              (off_t)(offset + done));

            if (n <= 0) {
                fail(reader, n < 0 ? errno : EIO);
                break;
            }
            done += (size_t)n;
        }
    }
    free(buffer);
    return NULL;
}

static uint64_t read_direct(struct reader *reader)
{
    pthread_t thread[THREADS];
    uint64_t done = 0;
    size_t bytes;
    int started = 0;

    reader->next = 0;
    reader->made = 0;
    while (started < reader->threads &&
           pthread_create(&thread[started], NULL, read_some, reader) == 0)
        started++;
    if (started < reader->threads) {
        pthread_mutex_lock(&reader->lock);
        reader->failed = EAGAIN;
        reader->made = reader->threads;
        pthread_cond_broadcast(&reader->all);
        pthread_mutex_unlock(&reader->lock);
    }
    while (started > 0)
        pthread_join(thread[--started], NULL);
    for (uint64_t n = 0; n < parts(reader); n++) {
        part_at(reader, n, &bytes);
        done += bytes;
    }
    return reader->failed == 0 ? done : 0;
}

static bool parse(int argc, char **argv, struct reader *reader)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--bytes") == 0)
            reader->bytes = strtoull(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--direct") == 0)
            reader->threads = (int)strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--passes") == 0)
            reader->passes = (int)strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--new") == 0)
            reader->fresh = true;
        else if (strcmp(argv[i], "--huge") == 0)
            reader->huge = true;
        else if (argv[i][0] != '-' && reader->path == NULL)
            reader->path = argv[i];
        else
            return false;
    }
    return reader->path != NULL && reader->threads >= 0 &&
           reader->threads <= THREADS && reader->passes > 0;
}

static bool open_file(struct reader *reader)
{
    struct stat st;

    reader->fd = open(reader->path, O_RDONLY | O_CLOEXEC |
                                        (reader->threads > 0 ? O_DIRECT : 0));
    if (reader->fd < 0 || fstat(reader->fd, &st) != 0 || st.st_size == 0)
        return false;
    reader->size = (uint64_t)st.st_size;
    if (reader->bytes == 0 || reader->bytes > reader->size)
        reader->bytes = reader->size;
    if (reader->threads > 0)
        return true;
    reader->base =
        mmap(NULL, reader->size, PROT_READ, MAP_SHARED, reader->fd, 0);
    if (reader->base == MAP_FAILED)
        return false;
    return !reader->huge ||
           madvise(reader->base, reader->size, MADV_HUGEPAGE) == 0;
}

static int give_up(const char *path, int error)
{
    fprintf(stderr, "readrate: %s: %s\n", path, strerror(error));
    return 77;
}

int main(int argc, char **argv)
{
    struct reader reader = {.passes = 1,
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .all = PTHREAD_COND_INITIALIZER};

    if (!parse(argc, argv, &reader)) {
        fprintf(stderr, "usage: readrate FILE [--bytes N] [--direct THREADS] "
                        "[--new] [--huge] [--passes N]\n");
        return 2;
    }
    if (!open_file(&reader))
        return give_up(reader.path, errno);
    for (int pass = 0; pass < reader.passes; pass++) {
        double seconds;
        uint64_t bytes;

        drop(&reader, 0, reader.size);
        reader.start = now();
        reader.cpu = cpu();
        bytes =
            reader.threads > 0 ? read_direct(&reader) : read_mapped(&reader);
        seconds = now() - reader.start;
        if (reader.failed != 0)
            return give_up(reader.path, (int)reader.failed);
        printf("{\"bytes\":%llu,\"bytes_per_second\":%.0f,"
               "\"cpu_seconds_per_gb\":%.4f}\n",
               (unsigned long long)bytes, (double)bytes / seconds,
               (cpu() - reader.cpu) * 1e9 / (double)bytes);
    }
    return 0;
}
